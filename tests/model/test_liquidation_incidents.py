"""Liquidations that cost others money, replayed: each is lost by a naive venue and held here.

The engine is the exact model, which the contracts equal to the last unit; parameters are those of
`scripts/deploy.yaml` unless a test says otherwise. The naive venues had the rules that were in
force where it happened (`naive_venues`).
"""

from contextlib import suppress
from typing import NamedTuple

import numpy as np
import pytest
from model.incident_world import KEEPER, USD, Scene, listing
from model.naive_venues import VAULT, FirstComeFund, QueueVenue, VaultVenue

from oracle_mock import history, replays
from reference_model.exact import instrument
from reference_model.exact.errors import (
    AlreadyInAuction,
    DeleveragingNotDue,
    ERC4626ExceededMaxRedeem,
    NothingToDeleverage,
    PendingLoss,
)
from reference_model.types import WAD, Assessment, Health, LastStep

MILLION = 10**6
MINUTE = 60

# --- JELLY, 26 March 2025 ------------------------------------------------------------------------

JELLY = 3
SHORT, LONG = 0xBAD << 8, 0xBAD << 8 | 1
FIRST, REFUNDED, PEAK = 0.0095, 0.037555, 0.05
BROUGHT, SOLD_SHORT = 7.2 * MILLION, 4.1 * MILLION
PUMP = np.geomspace(FIRST, PEAK, 61)
CARELESS = {"oi_lower": 1e10, "oi_upper": 2e10, "open_interest_cap": 1e10, "lot_size": 10}


def jelly_vault():
    """What the vault had, and what the trader could take, by price."""
    venue = VaultVenue(20, {"JELLY": FIRST})
    venue.cash |= {VAULT: 230.0 * MILLION, "short": BROUGHT / 2, "long": BROUGHT / 2}
    venue.trade("long", "short", "JELLY", SOLD_SHORT / FIRST)
    venue.withdraw_most("short")
    vault = {}
    for price in PUMP[1:]:
        venue.move({"JELLY": price})
        vault[price] = venue.equity(VAULT) - 230 * MILLION
    return vault, venue.withdraw_most("long")


def jelly(wanted=0.0, **changes):
    """One owner short and long in a thin market, who takes out what he may, and pumps.

    Parameters
    ----------
    wanted : float
        Share of MM for which somebody bids; 0 for nobody.
    changes
        What differs from the parameters of SOL.

    Returns
    -------
    scene : Scene
    taken : float
        USD the owner took before the pump.
    hedge : float
        What a bidder gained outside, who bought each slice's worth of tokens there.
    """
    scene = Scene({JELLY: listing("SOL", **changes)}, {JELLY: FIRST}, staked=20 * MILLION)
    scene.deposit(KEEPER, 50 * MILLION)
    for account in (SHORT, LONG):
        scene.deposit(account, BROUGHT / 2)
    scene.trade_most(LONG, SHORT, JELLY, round(SOLD_SHORT / FIRST / 10))
    taken = scene.withdraw_most(SHORT) + scene.withdraw_most(LONG)
    hedge = 0.0
    for price in PUMP[1:]:
        scene.move(MINUTE, {JELLY: price})
        scene.engine.update_status(SHORT)
        before = scene.size(SHORT, JELLY)
        if wanted:
            scene.keep([SHORT], wanted)
        hedge += (scene.size(SHORT, JELLY) - before) * (PEAK - price)
    scene.require_conservation()
    return scene, taken, hedge


def test_jelly_margin_of_a_crowded_market_is_there_before_the_pump():
    """26 March 2025: one owner short 4.1 million dollars of JELLY, long as much elsewhere.

    He opened them at 0.0095 dollars within five minutes, took margin out, and bought the token;
    the short was liquidated into the vault of Hyperliquid's depositors, which was down some 12
    million dollars before the market was closed by vote; longs were refunded at 0.037555 (statement
    of Hyperliquid, 27 March 2025; Arkham Intelligence, 26 March 2025). The path between the
    reported prices is drawn. Naive run: 20-fold leverage, margin may leave, a vault takes over.

    Here a market that is one trader's asks for the pump in advance (open interest raises initial
    margin tenfold, a size beyond the market's depth raises both). With the same money he gets a
    sixth of the position, nothing of its margin leaves, and at five times the price, without a
    single bidder on the way, the short has still paid every dollar that the longs have gained.
    """
    vault, profit = jelly_vault()
    refunded = vault[min(vault, key=lambda price: abs(price - REFUNDED))]
    assert -14 * MILLION < refunded < -10 * MILLION
    assert profit > 12 * MILLION, "and the owner may leave with it"

    crowded = {"oi_lower": 2e7, "oi_upper": 1e8, "max_oi_multiplier": 10}
    thin = {"scan_range": 0.6, "max_scan_range": 0.6, "depth": 250_000, "concentration_rate": 0.1}
    scene, taken, _ = jelly(**crowded, **thin, open_interest_cap=1e9, lot_size=10)
    size = scene.size(LONG, JELLY)
    assert 0.1 < size * FIRST / SOLD_SHORT < 0.3
    assert taken < 1_000, "the position needs all that was brought"
    assert scene.assess(SHORT).equity > 0
    assert scene.fund.total_assets() == 20 * MILLION * USD
    scene.trade(SHORT, LONG, JELLY, size)
    for account in (SHORT, LONG):
        taken += scene.withdraw_most(account)
    assert 0.95 * BROUGHT < taken <= BROUGHT, "he leaves with his own money, less fees"


def test_jelly_on_a_careless_listing_is_sold_while_it_is_solvent():
    """The same with no regard to open interest, at the position's full size.

    He takes out more than half of what he brought. The short is then sold, slice by slice, to
    somebody who buys as many tokens outside and wants a twentieth of maintenance margin for it:
    nobody else has to take it, it is gone long before its margin, and the fund pays nothing.
    """
    scene, taken, hedge = jelly(wanted=0.05, **CARELESS)
    assert taken > BROUGHT / 2
    assert scene.size(LONG, JELLY) * FIRST == pytest.approx(SOLD_SHORT, rel=0.01)
    assert scene.paid_by_waterfall() == (0, 0, 0)
    assert scene.equity(SHORT) >= 0
    assert abs(scene.size(SHORT, JELLY)) < 1e-3 * scene.size(LONG, JELLY)
    assert scene.equity(KEEPER) + hedge > 50 * MILLION, "whoever took it was paid for it"


def test_jelly_without_a_bidder_costs_what_the_cap_on_open_interest_allows():
    """The worst case: a careless listing, nobody bids but the owner himself, as late as he can.

    His long takes the insolvent short for its deficit and the bonus, which the fund pays. That is
    bounded by the market's cap on open interest and the move, whatever else he does; so a token
    that may rise fivefold gets a cap that the fund can bear five times.
    """
    cap = 2e7
    scene, _, _ = jelly(**CARELESS | {"open_interest_cap": cap})
    rules = scene.rules.auction
    scene.engine.start_auction(SHORT, KEEPER)
    scene.move(rules.fast_seconds + rules.slow_seconds, {})
    bonus = rules.insolvency_bonus * scene.assess(SHORT).maintenance_margin / WAD / WAD
    scene.engine.bid(LONG >> 8, SHORT, LONG, WAD, 0)
    bound = cap * (PEAK - FIRST) + bonus
    paid = sum(scene.paid_by_waterfall())
    assert bound / 2 < paid <= bound < MILLION
    assert scene.paid_by_waterfall()[2] == 0, "owners of cash pay nothing while there is a fund"
    scene.require_conservation()


# --- the ETH whale, 12 March 2025 ----------------------------------------------------------------

ETH = 2
WHALE, COUNTERPARTY = 0xF3F4 << 8, 0xEE << 8
WHALE_BROUGHT, WHALE_BOUGHT, WHALE_SOLD = 15.23 * MILLION, 175_000, 15_000
WHALE_ENTRY, WHALE_EXIT = 1_884.4, 1_930.0


def minutes(bars, start, end):
    """Prices by the minute, on straight lines of their logarithms between hourly extremes."""
    known = replays.swings(bars)
    times = np.arange(history.seconds(start), history.seconds(end), MINUTE)
    return np.exp(np.interp(times, known.time, np.log(known.value)))


def whale_prices():
    """ETH from the average price the whale bought at to the low of that day."""
    bars = history.bars("bars_1h_2025-03.csv.gz", "ETH")
    return [WHALE_ENTRY, *minutes(bars, "2025-03-12T10:31:00Z", "2025-03-12T16:00:00Z")]


def whale_vault(prices):
    """What the vault lost when it had sold evenly by 16:00, and what the whale gained."""
    venue, left = VaultVenue(50, {"ETH": prices[0]}), 0.0
    venue.cash |= {VAULT: 400.0 * MILLION, "whale": WHALE_BROUGHT, "others": 1_000.0 * MILLION}
    venue.trade("whale", "others", "ETH", WHALE_BOUGHT)
    for step, price in enumerate(prices[1:], 1):
        venue.move({"ETH": price})
        if not left and price >= WHALE_EXIT:
            venue.trade("others", "whale", "ETH", WHALE_SOLD)
            left = venue.withdraw_most("whale")
        if venue.sizes[VAULT]["ETH"]:
            venue.unwind("ETH", 1 / (len(prices) - step))
    assert venue.sizes[VAULT]["ETH"] == pytest.approx(0)
    return 400 * MILLION - venue.equity(VAULT), left - WHALE_BROUGHT


def test_eth_whale_leaves_the_price_of_his_liquidation_behind():
    """12 March 2025: a whale took 17.09 million dollars out of a position of 340 million.

    15.23 million had bought 175,000 ETH at 1,884.4 dollars on average; 8 million in profit, he sold
    15,000 and withdrew what 50-fold leverage let him, unrealised profit too. The remaining 160,000
    were liquidated at some 1,915 into the vault of Hyperliquid's depositors, which lost about 4
    million selling them; he kept 1.8 million (statement of Hyperliquid and reports of that day).
    Naive run: these rules on the hourly prices of the day (Binance); it pays out those 17.09
    million to a promille.

    Here the same money buys a fifth, profit that nobody has paid in stays, and what stays is
    several times what it cost the vault to sell. ETH then falls to its low of the day and a fifth
    further: whoever bids takes slices, the fund pays nothing.
    """
    prices = whale_prices()
    lost, gained = whale_vault(prices)
    assert gained + WHALE_BROUGHT == pytest.approx(17.09 * MILLION, rel=2e-3)
    assert 3 * MILLION < lost < 5 * MILLION
    assert gained == pytest.approx(1.8 * MILLION, rel=0.1)

    scene, left = Scene({ETH: listing("ETH")}, {ETH: prices[0]}, staked=10 * MILLION), None
    deposits = {WHALE: WHALE_BROUGHT, COUNTERPARTY: 500 * MILLION, KEEPER: 200 * MILLION}
    for account, amount in deposits.items():
        scene.deposit(account, amount)
    bought = scene.trade_most(WHALE, COUNTERPARTY, ETH, WHALE_BOUGHT * 100)
    assert bought < WHALE_BOUGHT / 4
    for price in [*prices[1:], *np.geomspace(prices[-1], 0.8 * prices[-1], 60)]:
        scene.move(MINUTE, {ETH: price})
        if left is None and price >= WHALE_EXIT:
            left = scene.withdraw_most(WHALE)
            after = scene.assess(WHALE)
        scene.keep([WHALE], wanted=0.05)
    assert left < WHALE_BROUGHT / 10
    slippage = lost / ((WHALE_BOUGHT - WHALE_SOLD) * WHALE_EXIT)
    assert after.equity / WAD > 5 * slippage * bought * WHALE_EXIT
    assert 0 < scene.size(WHALE, ETH) < bought, "it was liquidated, in part"
    assert scene.equity(WHALE) > 0
    assert scene.paid_by_waterfall() == (0, 0, 0)
    scene.require_conservation()


# --- 10 October 2025 -----------------------------------------------------------------------------

BTC, WETH = 1, 1
LEVERAGE = 25
LONGS = [0x10 + n << 8 for n in range(5)]
WINNERS = [0x20 + n << 8 for n in range(3)]
HEDGED, LENDER = 0x52 << 8, 0x99 << 8
PERPETUAL = instrument.perpetual(ETH)
WINNERS_BROUGHT = (1.0 * MILLION, 2.0 * MILLION, 4.0 * MILLION)
# The hedged account's tokens; a twentieth of them is haircut, the rest it is short.
TOKENS, UNITS, BORROWED = 1_000, 950, 0.9
OCTOBER = CARELESS | {"scan_range": 1 / LEVERAGE, "concentration_rate": 0, "lot_size": 0.01}
LAST_STEP = {
    "last_step": LastStep.DELEVERAGE,
    "fast_seconds": 60,
    "slow_seconds": 240,
    "max_deleverage_share": WAD,
}


def october_prices(start="20:30", end="22:30", seconds=MINUTE):
    """BTC and ETH on 10 October 2025."""
    times = range(*(history.seconds(f"2025-10-10T{time}:00Z") for time in (start, end)), seconds)
    path = replays.crash_2025_10(times)
    return [{BTC: s.markets["BTC"].index, ETH: s.markets["ETH"].index} for s in path]


def sides(price):
    """What each long brings, from 25-fold leverage to half of it, and who sells to it."""
    sellers = [HEDGED, *WINNERS, WINNERS[2]]
    margins = [UNITS * price / LEVERAGE * (1 + n / 4) for n in range(len(LONGS))]
    return list(zip(LONGS, margins, sellers, strict=True))


def hedged_equity(price):
    """Equity of the hedged account after the haircut."""
    return (UNITS - BORROWED * TOKENS) * price


def october_queue(prices):
    """Lead the queue along; return the venue, and what the hedged account had."""
    first = prices[0][ETH]
    venue = QueueVenue(LEVERAGE, {"ETH": first})
    venue.cash |= dict(zip(WINNERS, WINNERS_BROUGHT, strict=True))
    venue.cash[HEDGED] = -BORROWED * TOKENS * first
    venue.spot[HEDGED]["ETH"] = TOKENS
    for buyer, margin, seller in sides(first):
        venue.cash[buyer] = margin
        venue.trade(buyer, seller, "ETH", UNITS)
    had = venue.equity(HEDGED)
    for price in prices[1:]:
        venue.move({"ETH": price[ETH]})
    return venue, had


class Closing(NamedTuple):
    """An account deleveraged: the deficit before, what each gave, all listed before and after."""

    deficit: int
    cuts: dict[int, int]
    passed_over: set[int]
    before: dict[int, Assessment]
    after: dict[int, Assessment]


def deleverage(scene, account):
    """Keep the books of an account; once it is due, close it against all, then all that may."""
    engine = scene.engine
    engine.update_status(account)
    if engine.account(account).health >= Health.LIQUIDATABLE:
        with suppress(AlreadyInAuction):
            engine.start_auction(account, KEEPER)
    listed = [c for c in sorted([*WINNERS, HEDGED]) if scene.size(c, ETH) < 0]
    before, deficit = {c: scene.assess(c) for c in listed}, -scene.assess(account).equity
    seen = len(engine.events)

    def cuts():
        closed = [e.values for e in engine.events[seen:] if e.name == "Deleveraged"]
        return {c: sum(v[-1] for v in closed if v[1] == c) for c in {v[1] for v in closed}}

    # Where a hedge is all that is left opposite, nothing can be closed.
    with suppress(DeleveragingNotDue, NothingToDeleverage):
        engine.deleverage(account, PERPETUAL, listed)
        passed_over = set(listed) - set(cuts())
        engine.deleverage(account, PERPETUAL, sorted(cuts()))
        after = {c: scene.assess(c) for c in listed}
        return Closing(deficit, cuts(), passed_over, before, after)
    return None


def october(prices, wanted=0.0):
    """Lead the same accounts along at the same leverage; return the scene and each closing.

    Parameters
    ----------
    prices : list of dict
    wanted : float
        Share of MM for which somebody bids; 0 for nobody, and who fails is deleveraged in time.
    """
    first = prices[0][ETH]
    scene = Scene({ETH: listing("ETH", **OCTOBER)}, {ETH: first}, **LAST_STEP)
    brought = dict(zip(WINNERS, WINNERS_BROUGHT, strict=True)) | {LENDER: 10e6, KEEPER: 10e6}
    for account, amount in brought.items():
        scene.deposit(account, amount)
    scene.deposit(HEDGED, TOKENS, WETH)
    scene.engine.withdraw(HEDGED >> 8, HEDGED, 0, int(BORROWED * TOKENS * first * USD))
    for buyer, margin, seller in sides(first):
        scene.deposit(buyer, 1.02 * margin)  # for the fees
        scene.trade(buyer, seller, ETH, UNITS)
    closings = []
    for price in prices[1:]:
        scene.move(MINUTE, {ETH: price[ETH]})
        if wanted:
            scene.keep(LONGS, wanted)
        else:
            closings += filter(None, [deleverage(scene, long) for long in LONGS])
    return scene, closings


def test_october_deleveraging_leaves_hedges_alone():
    """10 October 2025: exchanges closed the winning side of insolvent accounts, hedges included.

    19 billion dollars were liquidated within hours. Hyperliquid deleveraged its users by profit
    times leverage, at the price before; what winners lost by it was many times the deficits (28
    times, 650 million dollars, by T. Chitra's count of December 2025; less by later ones, arXiv
    2602.15182), and who held tokens against a short, or one market against another, was left with
    the other leg in a falling market. Prices are those of Binance, hourly with extremes, on
    straight lines in between. Naive run: that queue, at 25-fold leverage.

    Here the same accounts at the same leverage find no bidder either. Only what is lost is shared,
    out of profit nobody had paid in, by those whose risk falls with their position: the holder of
    tokens is passed over however often he is listed.
    """
    prices = october_prices()
    naive, had = october_queue(prices)
    assert naive.haircuts > 2 * naive.deficits > 0
    assert naive.deleveraged[HEDGED] == UNITS, "the hedge is gone"
    assert naive.equity(HEDGED) < 0.2 * had
    assert naive.spot[HEDGED]["ETH"] == 0, "and then the tokens, at the low"

    scene, closings = october(prices)
    assert len(closings) >= 3
    for closing in closings:
        assert closing.passed_over == {HEDGED}
        assert sum(closing.cuts.values()) == pytest.approx(closing.deficit, abs=1e3)
        shares = [closing.cuts[winner] for winner in WINNERS]
        assert [share * 4 / sum(shares) for share in shares] == pytest.approx([1, 1, 2])
        for account, before in closing.before.items():
            after = closing.after[account]
            margins = after.maintenance_margin, before.maintenance_margin
            assert after.equity * margins[1] >= before.equity * margins[0]
    assert scene.size(HEDGED, ETH) == -UNITS
    assert scene.equity(HEDGED) > 0.95 * hedged_equity(prices[0][ETH])
    for long in LONGS:
        assert scene.equity(long) >= 0, "nothing is lacking in the end"
    scene.require_conservation()


def test_october_with_a_bidder_needs_no_deleveraging():
    """The same with somebody who takes slices for a twentieth of maintenance margin."""
    prices = october_prices()
    scene, _ = october(prices, wanted=0.05)
    assert scene.paid_by_waterfall() == (0, 0, 0)
    assert all(scene.equity(long) >= 0 for long in LONGS)
    assert all(scene.engine.account(long).health < Health.INSOLVENT for long in LONGS)
    sizes = [scene.size(account, ETH) for account in (HEDGED, *WINNERS)]
    assert sizes == [-UNITS, -UNITS, -UNITS, -2 * UNITS]
    scene.require_conservation()


def test_october_a_slice_of_everything_keeps_a_hedge_a_hedge():
    """Long ETH against short BTC: ETH fell by 9 % more, the account fails, and stays a pair."""
    prices, legs = october_prices("13:00", "22:30", 300), 4 * MILLION
    wide = {"oi_lower": 1e9, "oi_upper": 2e9}
    markets = {BTC: listing("BTC", **wide), ETH: listing("ETH", **wide)}
    scene, pair, other = Scene(markets, prices[0]), HEDGED, LENDER
    for account in (pair, other, KEEPER):
        scene.deposit(account, 50 * MILLION if account != pair else MILLION)
    scene.trade(pair, other, ETH, round(legs / prices[0][ETH], 2))
    scene.trade(other, pair, BTC, round(legs / prices[0][BTC], 3))
    scene.withdraw_most(pair)
    bought = scene.size(pair, ETH)
    ratio = bought / scene.size(pair, BTC)
    for price in prices[1:]:
        scene.move(300, price)
        scene.keep([pair], wanted=0.05)
        assert scene.size(pair, ETH) / scene.size(pair, BTC) == pytest.approx(ratio, rel=1e-12)
    assert 0.3 < scene.size(pair, ETH) / bought < 0.9, "it was sold in part"
    assert scene.paid_by_waterfall() == (0, 0, 0)


# --- a run ahead of a loss -----------------------------------------------------------------------

DEBTOR, WINNER = 0xDEB << 8, 0x31 << 8
LENDERS = [0x41 + n << 8 for n in range(4)]
STAKES = {0x61: 400_000, 0x62: 300_000, 0x63: 300_000}
LENT, BORROWED_TOKENS, GAP = 2 * MILLION, 4_500, 0.65


def before_the_gap():
    """Stakers and lenders, all of whom may leave at any moment."""
    scene = Scene({ETH: listing("ETH")}, {ETH: 2_000.0})
    for staker, amount in STAKES.items():
        scene.fund.deposit(staker, amount * USD, staker)
        scene.fund.request_exit(staker, scene.fund.balance_of(staker))
    for account in (*LENDERS, KEEPER):
        scene.deposit(account, LENT)
    return scene


def gap(scene):
    """Let a week pass and ETH fall by 35 % at once, as it did within hours in March 2020."""
    scene.move(scene.fund.cooldown_seconds, {})
    assert all(scene.fund.max_redeem(staker) for staker in STAKES)
    scene.move(12, {ETH: 2_000 * GAP})
    return scene


def loan():
    """Lend against ETH as much as admission lets; the gap leaves cash missing."""
    scene = before_the_gap()
    scene.deposit(DEBTOR, BORROWED_TOKENS, WETH)
    scene.withdraw_most(DEBTOR)
    return gap(scene)


def bet():
    """Let a long of ETH stand against a short; the gap leaves profit that nobody can pay."""
    scene = before_the_gap()
    for account in (DEBTOR, WINNER):
        scene.deposit(account, 2.1 * MILLION)
    scene.trade(DEBTOR, WINNER, ETH, 5_000)
    scene.withdraw_most(DEBTOR)
    return gap(scene)


def first_come(stakes, loss):
    """What each gets who leaves in this order, the loss being noticed before the last does."""
    fund = FirstComeFund(stakes)
    *runners, last = stakes
    paid = {name: fund.leave(name) for name in runners}
    fund.pay(loss)
    return paid | {last: fund.leave(last)}


@pytest.mark.parametrize("happened", [loan, bet])
def test_run_of_stakers_and_lenders_meets_a_closed_door(happened):
    """6 to 11 November 2022: an exchange with a hole paid the first in full and the last nothing.

    Customers took some 6 billion dollars out of FTX within 72 hours, before it stopped paying with
    8 billion lacking (Reuters, 8 and 11 November 2022). Naive run, a thousandth of it on the money
    here: who asks first gets a dollar for a dollar, the loss is the last one's.

    Here an account lacks more than a million dollars after a gap, and the fund has a million. From
    the moment anyone records it, no staker leaves though his exit is open, no owner of cash, and no
    profit; deposits and trades go on.
    """
    scene = happened()
    deficit, claims = -scene.equity(DEBTOR), dict.fromkeys(LENDERS, LENT)
    assert deficit > 1.1 * MILLION
    cash = first_come(claims, deficit - sum(STAKES.values()))
    for stakes, paid in ((STAKES, first_come(STAKES, deficit)), (claims, cash)):
        *runners, last = stakes
        assert all(paid[name] == pytest.approx(stakes[name]) for name in runners)
        assert paid[last] < 0.95 * stakes[last]

    scene.engine.update_status(DEBTOR)
    for staker in STAKES:
        with pytest.raises(ERC4626ExceededMaxRedeem):
            scene.fund.redeem(staker, scene.fund.balance_of(staker), staker)
    for account in (DEBTOR, WINNER):
        scene.engine.settle(account)
    for account in (*LENDERS, WINNER):
        with pytest.raises(PendingLoss):
            scene.engine.withdraw(account >> 8, account, 0, 1)
    scene.deposit(LENDERS[0], 1)
    scene.trade(KEEPER, LENDERS[0], ETH, 1)


def close_all(scene):
    """Let deleveraging, if it is due, and a bidder who wants no loss end it; return haircuts."""
    engine, rules = scene.engine, scene.rules.auction
    engine.start_auction(DEBTOR, KEEPER)
    scene.move(rules.fast_seconds + rules.slow_seconds, {})
    with suppress(DeleveragingNotDue, NothingToDeleverage):
        while True:
            engine.deleverage(DEBTOR, PERPETUAL, [WINNER])
    engine.bid(KEEPER >> 8, DEBTOR, KEEPER, WAD, engine.auction_of(DEBTOR).assessment.equity)
    assert engine.pending_loss() == 0
    return sum(e.values[-1] for e in engine.events if e.name == "Deleveraged") / WAD


@pytest.mark.parametrize("happened", [loan, bet])
def test_run_is_pointless_as_all_bear_the_same(happened):
    """Stakers lose in proportion, then owners of cash, by the cent, whoever was quickest.

    Owners of cash answer for a loan that is missing; profit that nobody can pay is given up by
    whose it is, and who only lent loses nothing.
    """
    scene = happened()
    scene.engine.update_status(DEBTOR)
    haircuts = close_all(scene)
    scene.require_conservation()
    taken = {s: scene.fund.redeem(s, scene.fund.balance_of(s), s) for s in STAKES}
    kept = [taken[s] / (stake * USD) for s, stake in STAKES.items()]
    assert max(kept) - min(kept) < 1e-6
    cash = [scene.engine.cash_of(lender) / WAD / LENT for lender in LENDERS]
    assert max(cash) == pytest.approx(min(cash), abs=1e-12)
    if happened is loan:
        assert kept[0] == 0 and haircuts == 0
        assert 0.8 < cash[0] < 0.99
    else:
        assert 0 < kept[0] < 1 and haircuts > MILLION / 4
        assert cash[0] >= 1
    scene.deposit(KEEPER, 10 * MILLION)  # who has taken over a loan, and repays it
    for lender in LENDERS:
        assert scene.withdraw_most(lender) > 0.99 * cash[0] * LENT
