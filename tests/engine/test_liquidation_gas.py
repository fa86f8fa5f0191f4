"""Gas of every step of a liquidation, on the largest books there can be."""

from itertools import product
from random import Random

import pytest
from engine.test_liquidation import ANY_PRICE, HEALTHY, Venue, close
from engine.world import (
    BTC,
    CASH,
    ETH,
    PORTFOLIO,
    PREDICTIVE,
    WAD,
    WETH,
    account_of,
    option,
    perpetual,
)
from predictive.books import market_words

from reference_model.cases import pack_svi
from scripts._configuration import load_configuration

LIMIT = 8_000_000
TRANSACTION_LIMIT = 2**24  # of a whole transaction, by EIP-7825
SMILE = pack_svi(0.01, 0.05, -0.2, 0.0, 0.2)
PRICE, BATCH = 2_000, 16
LARGEST = 64  # what maxPositions may be
MOST_PREDICTIVE = 32
DATES = 1_000  # as many as a list may have
PPM = 10**6
# As many as there may be, in as many classes.
SCENARIOS = [
    (x * PPM // 3, y * PPM // 2, PPM)
    for y in (2, -2, 1, -1)
    for x in (-12, -6, -3, -2, -1, 1, 2, 3, 6, 12)
]


class Desk(Venue):
    """A venue with the real risk model and a trader who has a book of many options."""

    mode, positions = PORTFOLIO, LARGEST
    underlyings, expiries = (ETH,), 8
    beyond = frozenset()  # steps that may need more than they should

    def __init__(self, project, actors):
        super().__init__(project, actors, risk_model=project.RiskModel)
        self.set_global(
            maintenanceFactor=8 * WAD // 10, maxPositions=LARGEST, rampSeconds=7 * 86_400
        )
        self.parameters.setScenarios(SCENARIOS, sender=self.admin)
        self.end_ramps()
        self.slices = [
            (underlying, self.list_expiry(days=7 * n, underlying=underlying))
            for n, underlying in product(range(1, self.expiries + 1), self.underlyings)
        ]
        self.price(PRICE)

    def price(self, dollars):
        """Post every index, and forwards with a smile."""
        self.level = dollars
        for underlying in self.underlyings:
            self.set_spot(underlying, dollars)
        for underlying, expiry in getattr(self, "slices", ()):
            self.set_forward(expiry, dollars, underlying, svi=SMILE)

    def build(self, count):
        """Let the trader hold so many options, long and short in turn, against the maker."""
        for owner in (self.maker, self.bidder, self.lender, self.trader):
            self.deposit(owner, CASH, 10**6)
        legs = [self.leg(self.instrument(i), self.size(i), 100) for i in range(count)]
        for i in range(0, count, BATCH):
            self.batch(self.outsider, *legs[i : i + BATCH])

    def instrument(self, i):
        if i == 0 and len(self.underlyings) == 1:
            return perpetual(BTC)  # a second underlying, so that no scenario can be left out
        underlying, expiry = self.slices[i % len(self.slices)]
        strike = 1_200 + 100 * (i // len(self.slices))
        return option(expiry, strike, is_put=i % 3 == 0, underlying=underlying)

    def size(self, i):
        return (1 - 2 * (i % 2)) * (100 + i) / 1_000

    def leg(self, instrument, size, price):
        """Return a trade in which the trader buys."""
        maker = self.order(self.maker, instrument, -size, price)
        taker = self.order(self.trader, instrument, size, price)
        return "matchOrders", self.match_arguments(maker, taker)

    def lever(self):
        """Swap the trader's cash for collateral, all but what initial margin asks for."""
        self.deposit(self.trader, WETH, 50)
        a = self.assessment(self.trader)
        free = min(a.initialEquity - a.initialMargin, a.collateralEquity) - a.initialMargin // 50
        self.withdraw(self.trader, CASH, free / WAD)

    def fall_until(self, is_reached):
        for price in range(self.level, 100, -100):
            self.price(price)
            if is_reached(self.preview()):
                return
        raise AssertionError("the book stands any price")


class PredictiveDesk(Desk):
    """A venue whose traders are held to predictive margin, at its dearest.

    That is while the first publication comes into force, as long and wide as there may be: nodes
    and all scenarios of governance are priced, and all dates run over.
    """

    mode, positions = PREDICTIVE, MOST_PREDICTIVE
    underlyings, expiries = (ETH, BTC, *range(3, 9)), 4
    # A known limit: specification, Predictive margin, 12. They assess two or three such accounts.
    beyond = frozenset({"bid", "bid again", "bid of a counterparty", "bid for all", "deleverage"})

    def __init__(self, project, actors):
        super().__init__(project, actors)
        words = market_words(Random(5), DATES, len(self.underlyings))
        self.predictive.publish(words, 0, len(self.underlyings), sender=self.admin)
        self.wait(86_400)
        self._post_prices()
        self.price(PRICE)

    def _deploy_parameters(self):
        super()._deploy_parameters()
        for underlying in self.underlyings[2:]:
            self.set_underlying(underlying)

    def _deploy_predictive(self):
        own = self.governance, self.parameters
        estimator = self.admin.deploy(self.project.VolatilityEstimator, *own, self.market)
        for underlying in self.underlyings:
            estimator.addUnderlying(underlying, 6 * WAD // 10, sender=self.admin)
        parameters = load_configuration().predictive.struct()
        return self.admin.deploy(self.project.PredictiveModel, *own, estimator, parameters)

    def predict(self, *owners):
        for owner in owners:
            self.engine.setMarginMode(account_of(owner), PREDICTIVE, sender=owner)


def steps_of_a_liquidation(desk):
    """Return a receipt of each step that margins the trader's account."""
    used = {"start": desk.start(), "update": desk.update(desk.trader)}
    used["bid"] = desk.bid(WAD // 1_000)
    used["bid again"] = desk.bid(WAD // 1_000)
    used["bid of a counterparty"] = desk.bid(WAD // 1_000, bidder=desk.maker)
    desk.fall_until(lambda preview: preview.assessment.equity < 0)
    desk.update(desk.trader)
    desk.pass_time(7_800)
    desk.fall_until(lambda preview: preview.assessment.equity < 0)
    used["deleverage"] = close(desk, desk.maker, instrument=desk.instrument(3))
    used["bid for all"] = desk.bid(WAD, ANY_PRICE, bidder=desk.lender)
    return used


@pytest.mark.parametrize("kind", [Desk, PredictiveDesk], ids=["net", "predictive"])
def test_steps_of_the_largest_accounts_fit_into_a_block(project, actors, kind):
    desk = kind(project, actors)
    desk.build(desk.positions)
    if desk.mode == PREDICTIVE:
        desk.predict(desk.trader, desk.maker, desk.bidder, desk.lender)
    desk.lever()
    trader = account_of(desk.trader)
    assert len(desk.engine.positionsOf(trader)) == desk.positions
    assert desk.engine.portfolio(trader).marginMode == desk.mode
    desk.fall_until(lambda preview: preview.restoringFraction > 0)
    used = {step: receipt.gas_used for step, receipt in steps_of_a_liquidation(desk).items()}
    assert {step for step, gas in used.items() if gas >= LIMIT} <= desk.beyond, used
    assert max(used.values()) < TRANSACTION_LIMIT, used
    assert desk.status(desk.trader) == HEALTHY
    assert desk.engine.positionsOf(trader) == []
    desk.require_balance()


def test_predictive_margin_is_for_few_positions(project, actors):
    desk = PredictiveDesk(project, actors)
    desk.build(MOST_PREDICTIVE)
    trader = account_of(desk.trader)
    desk.predict(desk.trader)
    another = desk.instrument(MOST_PREDICTIVE), 0.1, 100
    refused = {"account": trader, "cap": MOST_PREDICTIVE}
    with desk.refuses("TooManyPositions", **refused):
        desk.batch(desk.outsider, desk.leg(*another))
    # A position held already may change.
    desk.batch(desk.outsider, desk.leg(desk.instrument(0), 0.1, 100))
    desk.engine.setMarginMode(trader, PORTFOLIO, sender=desk.trader)
    desk.batch(desk.outsider, desk.leg(*another))
    with desk.refuses("TooManyPositions", **refused):
        desk.engine.setMarginMode(trader, PREDICTIVE, sender=desk.trader)
    # A bid brings a predictive account no more, either.
    desk.predict(desk.bidder)
    desk.lever()
    desk.fall_until(lambda preview: preview.restoringFraction > 0)
    desk.start()
    with desk.refuses("TooManyPositions", account=account_of(desk.bidder), cap=MOST_PREDICTIVE):
        desk.bid(WAD // 1_000)
    desk.bid(WAD // 1_000, bidder=desk.lender)
