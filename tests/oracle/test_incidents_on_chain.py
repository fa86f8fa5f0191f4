"""The incidents of `test_incidents` played through everything that `ape run deploy` deploys.

Venues speak through mock feeds of the real interfaces; hub, risk model and engine make of it what
they do, while somebody attacks or is liquidated as on the day. Beside them stands a risk model that
takes one source at its word: there the same money is lost. Another is told the truth.
"""

from contextlib import contextmanager
from decimal import Decimal

import pytest
from ape.exceptions import ContractLogicError
from oracle import incidents
from oracle.incidents import CBETH_BEGINS, CBETH_PRICE, Capo, Incident
from reverts import reverts_with

from oracle_mock import catalogue
from oracle_mock.market import Ids, Rate, Snapshot, to_wad
from oracle_mock.pusher import HubPusher, Pusher, from_now
from oracle_mock.sources import combined
from reference_model.exact import instrument, position
from reference_model.exact.fixed_point import mul_down
from reference_model.types import DAY, WAD
from scripts._configuration import load_configuration
from scripts._deployment import deploy, selector
from scripts._hub import COLLATERAL_FEEDS, mock_signers
from scripts._orders import OrderDesk, account_of

MILLION = 10**6
CASH, WSTETH, USDT = 0, 3, 4
FOREVER = 2**40
HIGHEST = 2**200
# A dispute ends when the breaker has followed the price: 24 times is 34 steps of a tenth.
MOST_STEPS = 40
# USD lent on a million tokens: less than they secure at 0.25, more than at 0.20.
OWED_BELOW = 193_000
FOR_SALE = (4, 5)  # AccountStatus.IN_AUCTION and RECOVERING
pytestmark = pytest.mark.usefixtures("still")


class Believer:
    """A risk model whose prices are whatever it is told."""

    def __init__(self, project, deployment, admin):
        governance = deployment.governance
        feed = admin.deploy(project.MarketDataFeed, governance)
        role = governance.POSTER()
        governance.setTargetFunctionRole(feed, [selector(feed, "post")], role, sender=admin)
        manifest = deployment.manifest
        self.pusher = Pusher(feed, admin, Ids(manifest.underlyings, manifest.assets))
        terms = deployment.parameters, feed, deployment.predictive_model
        self.assess = admin.deploy(project.RiskModel, *terms).assess


class Stage:
    """A deployment, those who act on it, and two who believe other prices."""

    def __init__(self, project, chain, deployment, people):
        self.project, self.chain, self.deployment = project, chain, deployment
        self.admin, self.attacker, self.victim, self.lender, self.keeper = people
        self.engine, self.hub = deployment.margin_engine, deployment.market_data
        self.assess, self.desk = deployment.risk_model.assess, OrderDesk(self.engine)
        manifest = deployment.manifest
        self.pusher = HubPusher(
            *(self.hub, manifest.feeds, manifest.sources, self.admin, mock_signers())
        )
        self.alone, self.true = (Believer(project, deployment, self.admin) for _ in range(2))
        symbols = {asset: symbol for symbol, asset in manifest.assets.items()}
        self.tokens = {asset: deployment.tokens[symbols[asset]] for asset in (CASH, WSTETH, USDT)}
        for person in people:
            for token in self.tokens.values():
                token.approve(self.engine, 2**256 - 1, sender=person)

    # ------------------------------------------------------------------------------------- prices

    def play(self, incident, places, *names):
        """Lead the hub to some moments of an incident; yields the truth at each.

        While the breaker holds a price back, it is observed second by second.
        """
        incident = incident.seen_at(places, names)
        incident = incident.later(
            from_now(incident.path, self.chain)[0].time - incident.path[0].time
        )
        venues = {name: v for name, v in self.pusher.venues().items() if name in names}
        published = incident.broadcast(venues)
        alone = {snapshot.time: snapshot for snapshot in combined(published, incident.source)}
        feeds = [self.pusher.feeds[name] for name in names if name in self.pusher.feeds]
        for step in published.steps():
            self.chain.pending_timestamp = step.truth.time
            self.pusher.push(step)
            self.alone.pusher.push(alone[step.truth.time])
            self.true.pusher.push(step.truth)
            for _ in range(MOST_STEPS):
                if not any(self.is_held_back(feed) for feed in feeds):
                    break
                self.chain.pending_timestamp = self.chain.blocks.head.timestamp + 1
                self.hub.observeMany(feeds, sender=self.admin)
            yield step.truth

    def is_held_back(self, feed):
        """Whether a price is disputed that its sources agree on within the band."""
        return self.hub.observation(feed).disputed and self.hub.aggregate(feed).price > 0

    @property
    def now(self):
        return self.chain.blocks.head.timestamp

    # --------------------------------------------------------------------------------------- acts

    def deposit(self, owner, asset, amount, sub_id=0):
        """Deposit so many whole tokens."""
        token = self.tokens[asset]
        amount_raw = int(Decimal(str(amount)) * 10 ** token.decimals())
        token.mint(owner, amount_raw, sender=self.admin)
        self.engine.deposit(account_of(owner, sub_id), asset, amount_raw, sender=owner)

    def withdraw_most(self, owner, sub_id=0):
        """Withdraw all the cash that may leave; return it, USD."""
        account = account_of(owner, sub_id)
        seen = self.assess(self.engine.portfolio(account))
        withdrawable = withdrawable_raw(seen, self.now)
        amount_raw = min(withdrawable, self.engine.cashState().cashHeld // 10**12)
        if amount_raw:
            self.engine.withdraw(account, CASH, amount_raw, owner, sender=owner)
        return amount_raw / 10**6

    def raid(self, token, price):
        """Bring tokens worth a million, leave with all that is lent; return the lenders' loss.

        Nothing of it lasts.
        """
        with self.chain.isolate():
            self.deposit(self.attacker, token, MILLION / price)
            taken = self.withdraw_most(self.attacker)
        return taken - MILLION

    def naive_raid(self, token, price):
        """Do the same where one source is believed."""
        tokens = token << 248 | int(MILLION / price * WAD)
        seen = self.alone.assess((0, 0, [tokens], [], []))
        return withdrawable_raw(seen, self.now, max_age=FOREVER) / 10**6 - MILLION

    def fill(self, long, short, underlying, size, price):
        """Arguments of the trade of a perpetual between two pairs of owner and sub-account."""
        traded = instrument.perpetual(underlying)
        orders = [
            self.desk.order(who, account_of(who, sub_id), traded, units, price, FOREVER)
            for (who, sub_id), units in ((short, -size), (long, size))
        ]
        return self.desk.fill(short[0], orders[0], long[0], orders[1])

    def take_slices(self, account):
        """Start an auction, or bid in it, as soon as the account may be sold."""
        seen = self.engine.auctionOf(account)
        if seen.assessment.equity >= seen.assessment.maintenanceMargin:
            return
        bidder = account_of(self.keeper)
        if seen.status not in FOR_SALE:
            self.engine.startAuction(account, bidder, sender=self.keeper)
        self.engine.bid(account, bidder, WAD, HIGHEST, sender=self.keeper)

    # ------------------------------------------------------------------------------------- claims

    def require_spared(self, account):
        """Nobody can liquidate the account, and nobody should."""
        portfolio = self.engine.portfolio(account)
        true, seen = self.true.assess(portfolio), self.assess(portfolio)
        assert true.equity >= true.maintenanceMargin, "it is healthy at true prices"
        values = {"equity": seen.equity, "maintenanceMargin": seen.maintenanceMargin}
        with reverts_with("NotLiquidatable", account=account, **values):
            self.engine.startAuction.call(account, account_of(self.keeper), sender=self.keeper)

    @contextmanager
    def nobody_else_pays(self, lent, insured=0):
        """At the end lenders have all their cash, and the insurance fund what it had.

        `insured` is what the fund may have paid, USD.
        """
        before = self.deployment.insurance_fund.totalAssets()
        self.deposit(self.lender, CASH, lent)
        yield
        assert before - self.deployment.insurance_fund.totalAssets() <= insured * 10**6
        assert self.engine.pendingLoss() == 0
        raw = lent * 10**6
        self.engine.withdraw(account_of(self.lender), CASH, raw, self.lender, sender=self.lender)

    def nothing_leaves(self, owner):
        """A price that the owner's account depends on is disputed: no age is too great to allow."""
        error = {"account": account_of(owner), "oldestTimestamp": 0, "maxPriceAge": 900}
        with reverts_with("StalePrice", **error):
            self.engine.withdraw.call(account_of(owner), CASH, 1, owner, sender=owner)

    def what_reduces_stays_open(self, owner, token):
        """Whoever repays, or adds collateral, is not asked how old prices are."""
        with self.chain.isolate():
            before = self.engine.cashOf(account_of(owner))
            self.deposit(owner, CASH, MILLION)
            self.deposit(owner, token, 10)
            self.engine.settle(account_of(owner), sender=owner)
            assert self.engine.cashOf(account_of(owner)) == before + MILLION * WAD


def withdrawable_raw(seen, now, max_age=900):
    """Cash that admission lets go, raw (specification, section 11)."""
    if now > seen.oldestTimestamp + max_age:
        return 0
    return max(0, min(seen.initialEquity - seen.initialMargin, seen.collateralEquity)) // 10**12


@pytest.fixture(scope="module")
def stage(project, chain, accounts):
    configuration = load_configuration().model_copy(deep=True)
    # The cap of the day, in the place of the default's.
    cap = {"rate": Decimal(Capo.STORED) / WAD, "growth": Decimal(Capo.GROWTH) / WAD}
    sources = configuration.hub.rates["wstETH"].sources
    sources[0] = sources[0].model_copy(update=cap)
    people = [accounts[i] for i in range(5)]
    return Stage(project, chain, deploy(configuration, people[0]), people)


def test_mango_profit_of_a_pump_stays_with_those_who_paid_it(stage):
    """Both sides of a perpetual are one owner's, who pumps it 24 times and withdraws on the way."""
    brought, lent = 5 * MILLION, 100 * MILLION
    incident, owner, size = incidents.mango(), stage.attacker, 0
    long, short = (owner, 0), (owner, 1)
    taken, naive = 0.0, 0.0
    with stage.nobody_else_pays(lent):
        for truth in stage.play(incident, (0, *range(20, 61, 8), 70, 81), "SOL", "SOL-mark"):
            price = to_wad(truth.markets["SOL"].index)
            if not size:
                begun, size = price, 10**6 * WAD
                for sub_id in (0, 1):
                    stage.deposit(owner, CASH, brought, sub_id)
                size = largest_trade(stage, long, short, price)
                continue
            for sub_id in (0, 1, 0):
                stage.engine.settle(account_of(owner, sub_id), sender=owner)
            taken += stage.withdraw_most(owner)
            held = position.pack(instrument.perpetual(3), size, -mul_down(size, begun))
            kept = stage.true.assess((brought * WAD, 0, [], [held], []))
            naive = max(naive, min(lent, (kept.equity - kept.initialMargin) / WAD))
        assert naive >= 20 * MILLION, "without C >= 0 a stranger's money leaves"
        assert 0 < taken <= 2 * brought, "what leaves is what was brought in"


def largest_trade(stage, long, short, price):
    """Trade as much with oneself as the margin of both bears; return the size."""
    size = 100_000 * WAD
    while size:
        arguments = stage.fill(long, short, 3, size, price)
        try:
            stage.engine.matchOrders.call(*arguments, sender=stage.keeper)
        except ContractLogicError:
            size //= 2
        else:
            stage.engine.matchOrders(*arguments, sender=stage.keeper)
            return size
    raise AssertionError("no size could be traded")


def test_usdc_is_lent_against_at_its_price(stage):
    """Haircut 2 % and no charge for a de-peg, so that the price alone decides."""
    wanted = load_configuration().collaterals["USDT"].struct(stage.tokens[USDT].address, 0)
    parameters = stage.deployment.parameters
    parameters.setCollateralParameters(USDT, {**wanted, "depegRate": 0}, sender=stage.admin)
    stage.chain.pending_timestamp = stage.now + DAY + 1
    stage.deposit(stage.keeper, CASH, 1)
    lost, naive = [], []
    with stage.nobody_else_pays(10 * MILLION):
        places = (0, 10, 14, 15, 16, 18, 21, 24, 27, 33, 45, 57, 83)
        for truth in stage.play(incidents.usdc(), places, "USDT"):
            price = truth.rates["USDT"].value
            stage.alone.pusher.push(at_rate(truth, "USDT", 1.0))
            naive.append(stage.naive_raid(USDT, price))
            lost.append(stage.raid(USDT, price))
    assert max(naive) > 80_000
    assert max(lost) <= 0
    assert max(lost) > -MILLION / 2, "tokens are still lent against"


def at_rate(truth, token, value):
    """Snapshot of that time in which a token has another rate."""
    rates = {**truth.rates, token: Rate(value, value, truth.time)}
    return Snapshot(truth.time, truth.markets, rates)


def test_cbeth_without_its_second_leg_is_no_price(stage):
    """A borrower of 1.5 million against 1,100 tokens keeps them, and lenders their loan."""
    feed = COLLATERAL_FEEDS + USDT
    set_band(stage, feed, to_wad(CBETH_PRICE) // 100, to_wad(CBETH_PRICE) * 100)
    borrower, debt = account_of(stage.victim), 15 * 10**5
    with stage.nobody_else_pays(10 * MILLION):
        places = (0, CBETH_BEGINS - 1, *range(CBETH_BEGINS + 1, 61, 6))
        for place, _ in enumerate(stage.play(incidents.cbeth(), places, "USDT")):
            if place == 0:
                stage.deposit(stage.victim, USDT, 1_100)
                raw = debt * 10**6
                stage.engine.withdraw(borrower, CASH, raw, stage.victim, sender=stage.victim)
            if place < 2:
                continue
            naive = stage.alone.assess(stage.engine.portfolio(borrower))
            assert naive.equity < -14 * 10**5 * WAD, "for the naive rule he is insolvent"
            stage.require_spared(borrower)
            assert stage.hub.observation(feed).price == pytest.approx(to_wad(CBETH_PRICE), rel=6e-3)
            stage.nothing_leaves(stage.victim)
        stage.what_reduces_stays_open(stage.victim, USDT)
        stage.deposit(stage.victim, CASH, debt + 1_000)


def set_band(stage, feed, low, high):
    """Give a feed that was never observed another band, as its listing would have."""
    known = stage.hub.feedParameters(feed)
    names = ("quorum", "maxMove", "stableRate", "markBand", "cacheSeconds")
    changed = {name: known[name] for name in names} | {"minPrice": low, "maxPrice": high}
    changed["sources"] = [tuple(source) for source in known.sources]
    changed["markSource"] = tuple(known.markSource)
    stage.hub.setFeed(feed, changed, sender=stage.admin)


def test_capo_ratio_and_time_move_together(stage):
    """Two years of growth under the deployed cap, looked at now and then, and one with leverage."""
    entry = stage.pusher.sources["wstETH"][0]
    line = stage.project.CappedRateSource.at(entry["source"])
    provider = stage.project.MockRateProvider.at(entry["feed"])
    begun = line.ratioAt()
    for day in (1, 31, 200, 201, 600, Capo.DAYS):
        stage.chain.pending_timestamp = begun + day * DAY
        provider.setRate(Capo.grown(day), sender=stage.admin)
        assert line.read()[0] == Capo.grown(day), "a rate within its bound is never cut"
        if day < Capo.DAYS:
            line.snapshot(sender=stage.keeper)
    start = at_rate(catalogue.start(), "wstETH", Capo.RATE / WAD)
    hedged = account_of(stage.victim)
    path = [start, *incidents.still(start, 6, 60)]
    with stage.nobody_else_pays(10 * MILLION):
        moments = stage.play(Incident(path), range(7), "ETH", "ETH-mark", "wstETH")
        for place, truth in enumerate(moments):
            if place == 1:
                lever(stage, truth.markets["ETH"].index)
                line.snapshot(sender=stage.keeper)
                assert (line.ratio(), line.ratioAt()) == (Capo.RATE, stage.now)
            if place > 1:
                stage.require_spared(hedged)
            if place == 6:
                stage.alone.pusher.push(at_rate(truth, "wstETH", Capo.split_cap() / WAD))
                naive = stage.alone.assess(stage.engine.portfolio(hedged))
                assert naive.equity < naive.maintenanceMargin, "the split cap would sell him"
        provider.setRate(3 * Capo.RATE, sender=stage.admin)
        assert line.read()[0] < to_wad(1.2293), "and a jump never gets past"
        stage.deposit(stage.victim, CASH, 2 * MILLION)


def lever(stage, index):
    """Borrow as much as can be against a million dollars of staked ether, hedged."""
    units = round(MILLION / index, 2)
    stage.deposit(stage.victim, WSTETH, units * WAD / Capo.RATE)
    size, price = to_wad(units), to_wad(index)
    stage.deposit(stage.keeper, CASH, MILLION)
    arguments = stage.fill((stage.keeper, 0), (stage.victim, 0), 2, size, price)
    stage.engine.matchOrders(*arguments, sender=stage.keeper)
    assert stage.withdraw_most(stage.victim) > MILLION / 2


def test_one_venue_at_65_cents_liquidates_nobody(stage):
    """The trades of one venue on 10 October 2025, in front of one who owes all he may."""
    victim, incident = account_of(stage.victim), incidents.one_venue()
    lowest, fallen, lost = 85, 0, 0.0
    with stage.nobody_else_pays(10 * MILLION):
        places = (0, 50, 60, 66, 70, 75, lowest, 88, 95, 120)
        for place, _ in enumerate(stage.play(incident, places, "USDT")):
            if place == 0:
                stage.deposit(stage.victim, USDT, MILLION)
                assert stage.withdraw_most(stage.victim) > 0.8 * MILLION
                continue
            stage.require_spared(victim)
            portfolio = stage.engine.portfolio(victim)
            naive, true = stage.alone.assess(portfolio), stage.true.assess(portfolio)
            fallen += naive.equity < naive.maintenanceMargin
            lost = max(lost, (true.equity - naive.equity) / WAD)
        stage.deposit(stage.victim, CASH, MILLION)
    assert fallen > 4
    assert lost > 250_000


def test_frozen_feed_lends_nothing_and_lets_debtors_be_sold(stage):
    """One of three sources stops before a token falls by 90 %; whoever owes on it is sold.

    Of a loan of 860,000 dollars the fund pays less than 5,000, for truly the price was a sixth
    lower from one moment to the next; he who believes the one source loses most of the loan.
    """
    debtor, incident = account_of(stage.victim), incidents.frozen_feed("frozen")
    lost, naive, kept = [], [], None
    with stage.nobody_else_pays(10 * MILLION, insured=5_000):
        stage.deposit(stage.keeper, CASH, 2 * MILLION)
        for truth in stage.play(incident, (*range(0, 25, 2), 26), "USDT"):
            price = truth.rates["USDT"].value
            if kept is None:
                stage.deposit(stage.victim, USDT, MILLION)
                raw = 86 * 10**4 * 10**6
                stage.engine.withdraw(debtor, CASH, raw, stage.victim, sender=stage.victim)
                kept = stage.engine.portfolio(debtor)
            lost.append(stage.raid(USDT, price))
            naive.append(stage.naive_raid(USDT, price))
            stage.take_slices(debtor)
        blind, true = stage.alone.assess(kept), stage.true.assess(kept)
        assert blind.equity >= blind.maintenanceMargin, "the naive rule never sells him"
        assert true.equity < -MILLION / 2 * WAD, "and lenders lose"
        assert stage.assess(stage.engine.portfolio(debtor)).equity >= 0
    assert max(naive) > 5 * MILLION
    assert max(lost) <= 0


def test_frozen_feed_below_its_band_is_disputed_at_once(stage):
    """The same crash where the sanity band begins at 0.20: below it nothing is lent or leaves.

    Who repays, or adds collateral, may, and who owes too much at the last price believed is sold.
    """
    feed, debtor, looks = COLLATERAL_FEEDS + USDT, account_of(stage.victim), 0
    set_band(stage, feed, WAD // 5, 20 * WAD)
    with stage.nobody_else_pays(10 * MILLION):
        stage.deposit(stage.keeper, CASH, 2 * MILLION)
        incident, places = incidents.frozen_feed("frozen"), (0, 8, *range(16, 23), 26)
        for truth in stage.play(incident, places, "USDT"):
            price = truth.rates["USDT"].value
            if price == 1:
                stage.deposit(stage.victim, USDT, MILLION)
                raw = OWED_BELOW * 10**6
                stage.engine.withdraw(debtor, CASH, raw, stage.victim, sender=stage.victim)
            assert stage.raid(USDT, price) <= 0
            if price > 0.19:
                continue
            looks += 1
            seen = stage.hub.observation(feed)
            assert seen.disputed
            assert WAD // 5 <= seen.price < WAD * 21 // 100
            if looks == 1:
                stage.nothing_leaves(stage.victim)
                stage.what_reduces_stays_open(stage.victim, USDT)
            stage.take_slices(debtor)
    assert looks >= 3
    assert stage.engine.cashOf(debtor) > -OWED_BELOW * WAD // 2, "most of it is sold"
