"""Every step of a liquidation fits into a block, on the largest books there can be."""

from engine.test_liquidation import ANY_PRICE, HEALTHY, Venue, close
from engine.world import BTC, CASH, WAD, WETH, account_of, option, perpetual

from reference_model.cases import pack_svi

LIMIT = 8_000_000
SMILE = pack_svi(0.01, 0.05, -0.2, 0.0, 0.2)
EXPIRIES, PRICE, BATCH = 8, 2_000, 16
LARGEST = 64  # what maxPositions may be
PPM = 10**6
# As many as there may be, in as many classes.
SCENARIOS = [
    (x * PPM // 3, y * PPM // 2, PPM)
    for y in (2, -2, 1, -1)
    for x in (-12, -6, -3, -2, -1, 1, 2, 3, 6, 12)
]


class Desk(Venue):
    """A venue with the real risk model and a trader who has a book of many options."""

    def __init__(self, project, actors):
        super().__init__(project, actors, risk_model=project.RiskModel)
        self.set_global(maintenanceFactor=8 * WAD // 10, maxPositions=LARGEST)
        self.parameters.setScenarios(SCENARIOS, sender=self.admin)
        self.end_ramps()
        self.expiries = [self.list_expiry(days=7 * n) for n in range(1, EXPIRIES + 1)]
        self.price(PRICE)

    def price(self, dollars):
        """Post the index, and forwards with a smile."""
        super().price(dollars)
        for expiry in getattr(self, "expiries", ()):
            self.set_forward(expiry, dollars, svi=SMILE)

    def build(self, count):
        """Let the trader hold so many options, long and short in turn, against the maker."""
        for owner in (self.maker, self.bidder, self.lender, self.trader):
            self.deposit(owner, CASH, 10**6)
        # A second underlying, so that no scenario can be left out.
        legs = [self.leg(perpetual(BTC), 1, 50_000)]
        for i in range(count - 1):
            strike = 1_200 + 100 * (i // EXPIRIES)
            instrument = option(self.expiries[i % EXPIRIES], strike, is_put=i % 3 == 0)
            size = (1 - 2 * (i % 2)) * (100 + i) / 1_000
            legs.append(self.leg(instrument, size, 100))
        for i in range(0, count, BATCH):
            self.batch(self.outsider, *legs[i : i + BATCH])

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
        for price in range(PRICE, 100, -20):
            self.price(price)
            if is_reached(self.preview()):
                return
        raise AssertionError("the book stands any price")


def test_every_step_fits_into_a_block(project, actors):
    desk = Desk(project, actors)
    desk.build(LARGEST)
    desk.lever()
    trader = account_of(desk.trader)
    assert len(desk.engine.positionsOf(trader)) == LARGEST
    desk.fall_until(lambda preview: preview.restoringFraction > 0)
    used = {"start": desk.start(), "update": desk.update(desk.trader)}
    used["bid"] = desk.bid(WAD // 1_000)
    used["bid again"] = desk.bid(WAD // 1_000)
    used["bid of a counterparty"] = desk.bid(WAD // 1_000, bidder=desk.maker)
    desk.fall_until(lambda preview: preview.assessment.equity < 0)
    desk.update(desk.trader)
    desk.pass_time(7_800)
    desk.fall_until(lambda preview: preview.assessment.equity < 0)
    instrument = option(desk.expiries[0], 1_200, is_put=True)
    used["deleverage"] = close(desk, desk.maker, instrument=instrument)
    used["bid for all"] = desk.bid(WAD, ANY_PRICE, bidder=desk.lender)
    assert {step: r.gas_used for step, r in used.items() if r.gas_used >= LIMIT} == {}
    assert desk.status(desk.trader) == HEALTHY
    assert desk.engine.positionsOf(trader) == []
    desk.require_balance()
