"""Gas of every step of a liquidation, on the largest books there can be."""

from random import Random

import pytest
from engine.test_liquidation import ANY_PRICE, HEALTHY, Venue, close
from engine.world import (
    BTC,
    CASH,
    ETH,
    ISOLATED,
    PORTFOLIO,
    PREDICTIVE,
    WAD,
    WETH,
    account_of,
    option,
    perpetual,
    wad,
)
from predictive.books import market_words

from reference_model.cases import pack_svi
from scripts._configuration import load_configuration

LIMIT = 8_000_000
SMILE = pack_svi(0.01, 0.05, -0.2, 0.0, 0.2)
PRICE, BATCH = 2_000, 16
LARGEST = 64  # what maxPositions may be
EXPIRIES = 16  # as many as an underlying may have
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

    mode = PORTFOLIO
    underlyings, expiries = (ETH, BTC, *range(3, 12)), EXPIRIES

    def __init__(self, project, actors):
        super().__init__(project, actors, risk_model=project.RiskModel)
        self.many = self.admin.deploy(project.TryMany)
        for underlying in self.underlyings:
            self.set_underlying(underlying, makerFee=0, takerFee=0, scanMultiplier=5 * WAD)
        self.set_global(
            maintenanceFactor=8 * WAD // 10, maxPositions=LARGEST, rampSeconds=7 * 86_400
        )
        self.parameters.setScenarios(SCENARIOS, sender=self.admin)
        self.end_ramps()
        for underlying in self.underlyings:
            # To where it is; a range that has moved is dearer to tell than one that never did.
            self.parameters.moveScanRange(underlying, 3 * WAD // 100, sender=self.admin)
        first = (self.now + 7 * 86_400) // 3_600 * 3_600
        self.dates = [first + 7 * 86_400 * n for n in range(self.expiries)]
        for underlying in self.underlyings:
            self.parameters.listExpiries(underlying, self.dates, sender=self.admin)
        self.price(PRICE)

    def price(self, dollars):
        """Post every index, and forwards with a smile, in one transaction."""
        self.level = dollars
        spot = wad(dollars), 0, wad(dollars), wad(dollars), self.now
        forward = wad(dollars), WAD, SMILE, self.now
        calls = []
        for underlying in self.underlyings:
            calls.append(self.market.setSpot.encode_input(underlying, spot))
            for date in self.dates:
                calls.append(self.market.setSlice.encode_input(underlying, date, forward))
        self.many.tryMany(self.market, calls, sender=self.admin)

    def build(self, instruments):
        """Let the trader hold options, long and short in turn, against the maker."""
        for owner in (self.maker, self.bidder, self.lender, self.trader):
            self.deposit(owner, CASH, 10**6)
        legs = [self.leg(each, self.size(i), 100) for i, each in enumerate(instruments)]
        for i in range(0, len(legs), BATCH):
            self.batch(self.outsider, *legs[i : i + BATCH])

    def book(self, count, underlyings, expiries):
        """Options of so many underlyings and expiries in turn, then of the next strike."""
        return self.options(count, self.underlyings[:underlyings], self.dates[:expiries])

    def options(self, count, underlyings, dates):
        slices = [(u, date) for date in dates for u in underlyings]
        return [
            option(
                slices[i % len(slices)][1],
                1_200 + 100 * (i // len(slices)),
                is_put=i % 3 == 0,
                underlying=slices[i % len(slices)][0],
            )
            for i in range(count)
        ]

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

    mode = PREDICTIVE
    underlyings, expiries = (ETH, BTC, *range(3, 9)), EXPIRIES

    def __init__(self, project, actors):
        super().__init__(project, actors)
        words = market_words(Random(5), DATES, len(self.underlyings))
        self.predictive.publish(words, 0, len(self.underlyings), sender=self.admin)
        self.wait(86_400)
        self._post_prices()
        self.price(PRICE)

    def _deploy_predictive(self):
        own = self.governance, self.parameters
        estimator = self.admin.deploy(self.project.VolatilityEstimator, *own, self.market)
        for underlying in self.underlyings:
            estimator.addUnderlying(underlying, 6 * WAD // 10, sender=self.admin)
        parameters = load_configuration().predictive.struct()
        return self.admin.deploy(self.project.PredictiveModel, *own, estimator, parameters)


def steps_of_a_liquidation(desk, instrument):
    """Return a receipt of each step that margins the trader's account."""
    used = {"start": desk.start(), "update": desk.update(desk.trader)}
    used["bid"] = desk.bid(WAD // 1_000)
    used["bid again"] = desk.bid(WAD // 1_000)
    used["bid of a counterparty"] = desk.bid(WAD // 1_000, bidder=desk.maker)
    desk.fall_until(lambda preview: preview.assessment.equity < 0)
    desk.update(desk.trader)
    desk.pass_time(7_800)
    desk.fall_until(lambda preview: preview.assessment.equity < 0)
    used["deleverage"] = close(desk, desk.maker, instrument=instrument)
    used["bid for all"] = desk.bid(WAD, ANY_PRICE, bidder=desk.lender)
    return used


def require_that_all_steps_fit(desk, book):
    """Build a book for accounts of the desk's mode, liquidate it, and look at the gas."""
    desk.price(PRICE)
    desk.build(book)
    for owner in (desk.trader, desk.maker, desk.bidder, desk.lender):
        desk.engine.setMarginMode(account_of(owner), desk.mode, sender=owner)
    desk.lever()
    trader = account_of(desk.trader)
    assert len(desk.engine.positionsOf(trader)) == len(book)
    assert desk.engine.portfolio(trader).marginMode == desk.mode
    desk.fall_until(lambda preview: preview.restoringFraction > 0)
    receipts = steps_of_a_liquidation(desk, book[3])
    used = {step: receipt.gas_used for step, receipt in receipts.items()}
    assert max(used.values()) < LIMIT, used
    assert desk.status(desk.trader) == HEALTHY
    assert desk.engine.positionsOf(trader) == []
    desk.require_balance()


@pytest.fixture(scope="module")
def desk(project, actors):
    return Desk(project, actors)


@pytest.fixture(scope="module")
def predictive_desk(project, actors):
    return PredictiveDesk(project, actors)


@pytest.mark.parametrize("mode", [PORTFOLIO, ISOLATED])
def test_steps_of_the_largest_accounts_fit_into_a_block(desk, mode):
    desk.mode = mode
    # A second underlying, so that no scenario can be left out; with 14 slices a weight of 85.
    options = desk.options(40, [ETH], desk.dates[:7]) + desk.options(23, [BTC], desk.dates[:7])
    require_that_all_steps_fit(desk, [perpetual(BTC), *options])


@pytest.mark.parametrize(
    "shape",
    [(35, 3, 12), (18, 8, 4), (11, 9, 1)],
    ids=["three underlyings", "eight underlyings", "nine underlyings"],
)
def test_steps_of_the_widest_accounts_fit_into_a_block(desk, shape):
    """As heavy as an account may be, or nearly."""
    desk.mode = PORTFOLIO
    require_that_all_steps_fit(desk, desk.book(*shape))


def test_steps_of_an_account_with_a_perpetual_in_every_market_fit_into_a_block(desk):
    desk.mode = PORTFOLIO
    require_that_all_steps_fit(desk, [perpetual(u) for u in desk.underlyings])


def test_steps_of_an_account_in_every_market_fit_although_the_uptime_feed_burns_its_gas(
    desk, chain
):
    feed = "0x" + "fe" * 20
    chain.provider.set_code(feed, "0xfe")
    desk.parameters.setSequencerFeed(feed, 0, sender=desk.admin)
    desk.mode = PORTFOLIO
    require_that_all_steps_fit(desk, [perpetual(u) for u in desk.underlyings])


@pytest.mark.parametrize(
    "shape",
    [(32, 1, 16), (27, 2, 16), (7, 6, 1)],
    ids=["one underlying", "two underlyings", "many underlyings"],
)
def test_steps_of_the_heaviest_predictive_accounts_fit_into_a_block(predictive_desk, shape):
    require_that_all_steps_fit(predictive_desk, predictive_desk.book(*shape))
