"""Incidents that cost others money, replayed: each is lost with a naive rule and held here.

Engine, hub, adapters and risk model are the exact models, which the contracts equal to the last
unit; parameters are those of `scripts/deploy.yaml` unless a test says otherwise. A naive run is the
same path through the same engine with the one rule that was missing then taken away.
"""

from dataclasses import dataclass

import pytest
from oracle import incidents
from oracle.incidents import CBETH_BEGINS, CBETH_PRICE, Capo, Incident, still

from oracle_mock import catalogue, sources
from oracle_mock.market import to_wad
from oracle_mock.sources import MARK
from reference_model.exact import instrument, price_sources
from reference_model.exact.engine import Engine
from reference_model.exact.errors import ModelError, UnrealisedProfitWithdrawal
from reference_model.exact.exchange import Order
from reference_model.exact.fixed_point import mul_down
from reference_model.exact.oracle_hub import COLLATERAL_FEEDS
from reference_model.exact.risk_model import health
from reference_model.exact.tokens import Token
from reference_model.types import DAY, WAD, YEAR, Health, InterestParameters
from scripts.fuzzing import faults
from scripts.fuzzing.faults import Desk, Holder, Rules, Subject, withdrawable

MILLION = 10**6
ETHER = Subject("ETH", "wstETH")
DEBTS_OF_OTHERS = InterestParameters(0, 0, 0, WAD // 2, 0)


@dataclass
class Moment:
    """One step of a replay: the market as it truly is, as the hub says, as one source says."""

    time: int
    true: object
    hub: object
    alone: object
    desk: Desk


def moments(incident, rules):
    """Lead an exact hub along what venues publish of an incident."""
    subject = rules.subject
    venues = {name: sources.VENUES for name in subject.names}
    venues[subject.underlying + MARK] = sources.VENUES[-1:]
    published = incident.broadcast(venues)
    desk = Desk(published, rules.feeds, rules.fixed)
    for step in published.steps():
        if step.halted:
            continue
        desk.take(step)
        now = step.truth.time
        markets = (rules.of_truth(step.truth), rules.of_hub(desk.hub, now))
        yield Moment(now, *markets, rules.of_source(desk, incident.source, now), desk)


def price_of(market, rules, token):
    """Value of a whole token in a market, USD."""
    (spot,) = market.spots
    asset, parameters = rules.collaterals[token]
    rate = next(c.rate for c in market.collaterals if c.asset == asset) / WAD
    return rate * spot.index / WAD if parameters.underlying else rate


def raid(rules, true, seen, token):
    """Bring tokens worth a million at true prices, leave with all the cash that is lent on them.

    Returns
    -------
    float
        USD by which what is left behind is worth less than what was taken.
    """
    price = price_of(true, rules, token)
    robber = Holder(0, {token: int(MILLION / price * WAD)})
    return withdrawable(robber.assess(rules, seen), seen) / WAD - MILLION


def without_liquidation(a):
    return a.equity >= a.maintenance_margin


# --- Mango, October 2022 -----------------------------------------------------------------------


OWNER, LENDER = 0xA77AC, 0x1E4DE4
DEPOSIT, LENT = 5 * MILLION, 100 * MILLION


def pumped():
    """Rules without a cap on the profit that counts as margin, so that one rule alone decides."""
    rules = Rules(Subject("SOL", "SOL"))
    rules.global_ = rules.global_._replace(profit_cap=2**90)
    return rules


def order(account, size, price, nonce):
    perpetual = instrument.perpetual(3)
    return Order(account, account >> 8, perpetual, size, price, 2**40, nonce, False)


def trade_with_oneself(engine, long, short, price):
    """Buy from one's other account as much as the margin of both bears."""
    size = engine.market.spots[0].parameters.lot_size * 1_000_000
    while size:
        maker, taker = order(short, -size, price, size), order(long, size, price, size)
        try:
            engine.match_orders(maker, True, taker, True, size)
        except ModelError:
            size //= 2
        else:
            return size
    raise AssertionError("no size could be traded")


def withdraw_most(engine, account, amount_raw):
    """Withdraw the most that admission lets go, to the unit; return it, raw."""
    low, high = 0, amount_raw
    while low < high:
        middle = (low + high + 1) // 2
        before = engine.state.copy()
        try:
            engine.withdraw(account >> 8, account, 0, middle)
            low = middle
        except ModelError:
            high = middle - 1
        engine.state = before
    if low:
        engine.withdraw(account >> 8, account, 0, low)
    return low


def mango(rules, incident):
    """One owner, two accounts, a pump on every venue: what may leave, and what naively."""
    engine, taken, naive, long = None, 0, 0, OWNER << 8
    for moment in moments(incident, rules):
        if engine is None:
            engine = Engine(moment.hub, DEBTS_OF_OTHERS, (), Token(1, 6))
            for account, amount in ((long, DEPOSIT), (long + 1, DEPOSIT), (LENDER << 8, LENT)):
                engine.deposit(account >> 8, account, 0, amount * 10**6)
            price = moment.hub.spots[0].mark
            size = trade_with_oneself(engine, long, long + 1, price)
            continue
        engine.market = moment.hub
        for account in (long, long + 1, long):
            engine.settle(account)
        taken += withdraw_most(engine, long, LENT * 10**6)
        a = Holder(DEPOSIT * WAD, {}, size, -mul_down(size, price)).assess(rules, moment.hub)
        naive = max(naive, min(LENT + DEPOSIT, (a.equity - a.initial_margin) / WAD))
    return engine, taken / 10**6, naive


def test_mango_profit_of_a_pump_is_not_lent_out():
    """11 October 2022: one owner held both sides of a perpetual, drove its price up on the venues.

    Spot prices rose many times over, all sources told the truth, and Mango lent 115 million dollars
    against the unrealised profit of one account while the other could not pay (SEC v. Eisenberg,
    complaint of 20 January 2023). Here the price rises 24 times on every source. Naive run: what
    E - IM allows may leave, without `C >= 0`: the whole pool, 100 million of a stranger's.
    """
    rules = pumped()
    _, taken, naive = mango(rules, incidents.mango())
    deposited = 2 * DEPOSIT
    assert naive >= 20 * MILLION, "the naive rule pays out money that strangers deposited"
    assert 0 < taken <= deposited, "what leaves is what was brought in, by one account or the other"


def test_mango_withdrawal_beyond_is_refused_by_name():
    """The refusal at the top names the rule: profit that nobody has paid in cannot leave."""
    rules = pumped()
    path = incidents.mango().path
    top = max(range(len(path)), key=lambda i: path[i].markets["SOL"].index)
    engine, _, _ = mango(rules, Incident([*path[: top + 1], *still(path[top], 3, 60)]))
    long = OWNER << 8
    a = engine.account(long)
    assert a.positions
    with pytest.raises(UnrealisedProfitWithdrawal):
        engine.withdraw(OWNER, long, 0, (max(0, a.cash) // 10**12) + 10**6)


# --- USDC, March 2023 --------------------------------------------------------------------------


def test_usdc_de_peg_lends_no_more_than_a_dollar_token_is_worth():
    """10 to 13 March 2023: USDC traded down to 0.874 dollars after its issuer's bank had failed.

    Kraken's hourly prices (data/README.md). Lenders that held a stablecoin for a dollar were handed
    discounted tokens at par. Naive run: the rate is one, as a constant; haircut 2 % and no de-peg
    charge in both runs, so that nothing but the price decides. Each hour someone brings tokens for
    a million dollars and borrows all he can: naively the lender loses more than 80,000 dollars
    of each million at the worst hour.
    """
    rules = Rules(ETHER)
    asset, parameters = rules.collaterals["USDT"]
    haircut = replace_(parameters, haircut=WAD // 50, depeg_rate=0)
    rules.collaterals["USDT"] = asset, haircut
    lost, naive = [], []
    for moment in moments(incidents.usdc(), rules):
        one = with_rate(moment.true, asset, WAD)
        naive.append(raid(rules, moment.true, one, "USDT"))
        lost.append(raid(rules, moment.true, moment.hub, "USDT"))
    assert max(naive) > 80_000
    assert max(lost) <= 0
    assert max(lost) > -MILLION / 2, "tokens are still lent against"


def replace_(parameters, **changes):
    return parameters._replace(**changes)


def with_rate(market, asset, rate):
    collaterals = tuple(
        c._replace(rate=rate, stable_rate=rate) if c.asset == asset else c
        for c in market.collaterals
    )
    return market._replace(collaterals=collaterals)


# --- cbETH, February 2026 ----------------------------------------------------------------------


def test_cbeth_without_its_second_leg_is_no_price():
    """15 February 2026: after a change of its feed Moonwell took cbETH/ETH, 1.12, for dollars.

    Liquidators repaid about a dollar for each of 1,096 cbETH worth 2,200; 1.78 million dollars of
    bad debt remained (post-mortem of MIP-X43 in Moonwell's forum). Here governance makes the same
    mistake: all three sources of a token priced in dollars lose their conversion leg at once. The
    sanity band set at the listing refuses them, the last price stands, disputed: withdrawals end,
    nobody can be liquidated. Naive run: the source is believed, and a borrower of 1.5 million
    against 1,100 tokens is insolvent at a price of 1.12; his lenders lose the loan.
    """
    rules = Rules(ETHER)  # the cash-like token plays cbETH: its feed is in dollars per token
    incident = incidents.cbeth()
    start = incident.path[CBETH_BEGINS].time
    borrower = Holder(-15 * 10**5 * WAD, {"USDT": 1_100 * WAD})
    asset = rules.collaterals["USDT"][0]
    states, naive = [], []
    for moment in moments(incident, rules):
        if moment.time >= start + 60:
            a = borrower.assess(rules, moment.hub)
            states.append((health(a), withdrawable(a, moment.hub), a.oldest_timestamp))
            naive.append(borrower.assess(rules, moment.alone))
            assert moment.hub.collaterals[1].rate == pytest.approx(to_wad(CBETH_PRICE), rel=6e-3)
    assert asset == moment.hub.collaterals[1].asset
    assert all(health(a) is Health.INSOLVENT for a in naive)
    assert max(a.equity for a in naive) < -14 * 10**5 * WAD
    assert set(states) == {(Health.HEALTHY, 0, 0)}, "the last price is disputed: nothing leaves"


def test_cbeth_crossed_with_the_price_of_ether_is_its_price_in_dollars():
    """The leg that was missing, as the specification has it: a product of two sources."""
    ratio = price_sources.Reading(to_wad(1.12), to_wad(0.001), 100)
    ether = price_sources.Reading(1_964 * WAD, WAD, 90)
    price, confidence, timestamp = price_sources.cross_read(ratio, ether, False)
    assert price == pytest.approx(2_200 * WAD, rel=1e-3)
    assert confidence == pytest.approx(3.085 * WAD, rel=1e-2)
    assert timestamp == 90


# --- CAPO, March 2026 --------------------------------------------------------------------------


def test_capo_ratio_and_time_move_together():
    """10 March 2026: the cap on wstETH at Aave fell 2.85 % below its rate; 34 accounts liquidated.

    The stored ratio, 1.1572, was to become the rate of a week before, 1.2282, but could rise by 3 %
    only, while its timestamp moved to that week before in full: cap 1.1939. 10,938 wstETH were
    liquidated, 512 ETH refunded (Aave's forum, "wstETH CAPO Oracle Incident"). Naive run: the same
    numbers by the same rule, an account with a tenth of its debt to spare fails. Here the line
    starts anew from the rate itself, ratio and time in one, every day or two years apart.
    """
    rate, cap, now = Capo.RATE, Capo.split_cap(), 1_773_100_000
    assert cap / rate - 1 == pytest.approx(-0.0285, abs=3e-4)

    begun = now - 2 * YEAR
    lines = {
        days: price_sources.CappedRate(Capo.STORED, Capo.GROWTH, begun) for days in (1, 30, 365)
    }
    for day in range(0, Capo.DAYS + 1):
        time, grown = begun + day * DAY, Capo.grown(day)
        for days, line in lines.items():
            assert line.read(grown, time).price == grown, "a rate within its bound is never cut"
            if day and day % days == 0:
                line.snapshot(grown, time)
    assert lines[1].read(3 * rate, now).price < to_wad(1.2293), "and a jump never gets past"

    rules, start = Rules(ETHER), catalogue.start()
    market = rules.of_truth(start)
    asset, _ = rules.collaterals["wstETH"]
    true, naive = with_rate(market, asset, rate), with_rate(market, asset, cap)
    spared, equity = leveraged(rules, true, "wstETH", to_spare=0.02)
    assert without_liquidation(spared.assess(rules, true))
    assert not without_liquidation(spared.assess(rules, naive))
    assert equity > 0, "what a liquidation would have fed on"


def leveraged(rules, market, token, to_spare):
    """Borrow against a million dollars of a token until MM leaves a share of them to spare."""
    holder = Holder(0, {token: int(MILLION / price_of(market, rules, token) * WAD)})
    a = holder.assess(rules, market)
    holder.cash = -(a.equity - a.maintenance_margin - int(to_spare * MILLION * WAD))
    return holder, holder.assess(rules, market).equity


# --- USDe, October 2025 ------------------------------------------------------------------------


def test_one_venue_at_65_cents_moves_nothing():
    """10 October 2025: USDe printed 0.65 at Binance while it kept its peg elsewhere.

    Binance valued collateral at its own book and liquidated accounts that held USDe; it paid some
    283 million dollars back (its statement of 12 October 2025). Real one-minute prices of that
    venue are one of three sources here, and an account with a hundredth to spare lives. Naive run:
    that venue alone decides; of a million dollars the account seems to have lost a quarter or more.
    """
    rules = Rules(ETHER)
    holder, lost, widths, naive = None, 0.0, [], []
    for moment in moments(incidents.one_venue(), rules):
        if holder is None:
            holder, _ = leveraged(rules, moment.true, "USDT", to_spare=0.01)
        a = holder.assess(rules, moment.hub)
        assert without_liquidation(a)
        observed = moment.desk.hub.state.observations[rules.feeds["USDT"]]
        widths.append(observed.confidence / observed.price)
        assert observed.price == pytest.approx(WAD, rel=2e-3)
        naive.append(holder.assess(rules, moment.alone))
        gap = holder.assess(rules, moment.true).equity - naive[-1].equity
        lost = max(lost, gap / WAD)
    assert any(not without_liquidation(a) for a in naive)
    assert lost > 250_000
    assert max(widths) < 0.011, "the interval is no wider than honest sources make it"


# --- a frozen feed through a crash -------------------------------------------------------------


@pytest.mark.parametrize("kind", ["stale", "frozen"])
def test_frozen_feed_lends_nothing_on_a_price_that_is_gone(kind):
    """12 May 2022: LUNA's feed stopped at 0.107 dollars while the market went on to 0.01.

    Tokens were bought at a cent and lent against at ten: Venus lost 11.2 million dollars, Blizz
    Finance all it had (statements of both, 12 and 13 May 2022). Here the cash-like token falls by
    90 % within two hours, one of its three sources stopping just before: with old timestamps, then
    with new ones. Naive run: that source alone; who brings tokens for a million takes millions.
    """
    rules = Rules(ETHER)
    lost, naive = [], []
    for moment in moments(incidents.frozen_feed(kind), rules):
        lost.append(raid(rules, moment.true, moment.hub, "USDT"))
        naive.append(raid(rules, moment.true, moment.alone, "USDT"))
    assert max(naive) > 5 * MILLION
    assert max(lost) <= 0


@pytest.mark.parametrize("kind", ["stale", "frozen"])
def test_frozen_feed_below_its_band_lends_nothing_at_once(monkeypatch, kind):
    """The same crash where the sanity band begins at a fifth of the price the token began with.

    Once the answers beyond it were as good as none: the last price, 0.20, stood until it was
    `withdrawMaxAge` old, and lent 1.09 dollars for each of the token's at 0.16. Now they dispute it
    at the first look, and whoever owes on the token keeps it at the last price that was believed.
    """
    monkeypatch.setattr(faults, "BAND", 5)
    rules, looks = Rules(ETHER), 0
    feed = rules.feeds["USDT"]
    for moment in moments(incidents.frozen_feed(kind), rules):
        hub, now = moment.desk.hub, followed(moment.desk.hub, feed, moment.time)
        assert raid(rules, moment.true, rules.of_hub(hub, now), "USDT") <= 0
        if hub.aggregate(now, feed).beyond >= 2:
            looks += 1
            rate, _, timestamp = hub.collateral_rate(now, feed - COLLATERAL_FEEDS)
            assert timestamp == 0, "whatever is allowed to be its age: it is disputed"
            assert WAD // 5 <= rate < WAD * 22 // 100
    assert looks > 3


def followed(hub, feed, now):
    """Observe a feed each second until the breaker has followed its sources; return the time."""
    end = now + 40
    while now < end and hub.state.observations[feed].disputed:
        now += 1
        hub.observe(now, feed)
    return now
