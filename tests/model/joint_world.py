"""One world for ledger and prices: the exact ledger's market is what the exact hub says of it.

Underlyings, sources and their moods are those of `market_world`; parameters, accounts and
instruments those of `ledger_world`.
"""

from collections.abc import Mapping

from model import ledger_world, market_actions
from model.ledger_actions import Chooser
from model.market_world import LEVELS, UNDERLYINGS, Action, World

from reference_model.exact.aggregation import Answer
from reference_model.exact.errors import MissingCollateralRate, MissingPrice
from reference_model.exact.governed import GovernedParameters
from reference_model.exact.oracle_hub import (
    COLLATERAL_FEEDS,
    FeedParameters,
    FeedSource,
    SurfaceReport,
)
from reference_model.exact.predictive_model import PredictiveModel
from reference_model.types import WAD, Collateral, Market, Scenario, Slice, Spot

HOUR, GAP, WINDOW = 3_600, 600, 1_800


class Silent:
    """A source that has never spoken."""

    def __init__(self, address: int) -> None:
        self.address = address

    def read(self) -> None:
        """Fail."""


class JointWorld(World):
    """The models together, their parameters those of a market.

    Parameters
    ----------
    addresses, start
        As in `World`.
    listed : Market
        Parameters that are in force from the start.
    """

    def __init__(self, addresses, start: int, listed: Market) -> None:
        super().__init__(addresses, start)
        self.parameters = GovernedParameters(
            self.clock, listed.global_parameters, listed.scenarios, listed.decorrelations
        )
        for spot in listed.spots:
            given = start, spot.underlying, spot.parameters
            self.parameters.set_underlying_parameters(*given)
            self.parameters.list_expiries(start, spot.underlying, ledger_world.EXPIRIES)
        for collateral in listed.collaterals:
            given = start, collateral.asset, collateral.parameters
            self.parameters.set_collateral_parameters(*given)
        given = self.parameters, self.estimator, listed.prediction.parameters
        self.predictive = PredictiveModel(*given)
        self.assets = tuple(c.asset for c in listed.collaterals)
        self.drain()

    def silence(self, feeds: Mapping[int, tuple]) -> None:
        """Know feeds with the fields a contract gives, whose sources have never spoken."""
        for feed, (sources, *values) in feeds.items():
            silent = tuple(FeedSource(Silent(int(source, 16)), age) for source, age in sources)
            self.hub.set_feed(self.now, feed, FeedParameters(silent, *values[:-1]))
        self.drain()

    # -------------------------------------------------------------------------------- the market

    def market(self) -> Market:
        """Everything that an assessment reads, as hub and parameters say now."""
        p, now = self.parameters, self.now
        former, after, _, _ = p._weights
        scenarios = (Scenario(*m, w) for m, w in zip(p._moves, after, strict=True))
        listed = [u for u in UNDERLYINGS if p.underlying_parameters(now, u)]
        spots = tuple(map(self._spot, listed))
        return Market(
            *(now, p.global_parameters(now), p.decorrelations(now), tuple(scenarios)),
            spots,
            tuple(self._slice(s, e) for s in spots for e in ledger_world.EXPIRIES),
            tuple(map(self._collateral, self.assets)),
            former,
            p.progress(now),
            self.predictive.prediction(now),
        )

    def _spot(self, underlying: int) -> Spot:
        parameters = self.parameters.underlying_parameters(self.now, underlying)
        ranges = self.parameters.scan_ranges(self.now, underlying)
        try:
            prices = self.hub.spot(self.now, underlying)
        except MissingPrice:
            prices = (0,) * 5
        return Spot(underlying, parameters, *prices, *ranges)

    def _slice(self, spot: Spot, expiry: int) -> Slice:
        settled = self.hub.settlement_price(spot.underlying, expiry)
        try:
            known = self.hub.slice(self.now, spot.underlying, expiry, spot.index)
        except MissingPrice:
            known = (0,) * 4
        return Slice(spot.underlying, expiry, *known, settled)

    def _collateral(self, asset: int) -> Collateral:
        parameters = self.parameters.collateral_parameters(self.now, asset)
        try:
            rates = self.hub.collateral_rate(self.now, asset)
        except MissingCollateralRate:
            rates = (0,) * 3
        return Collateral(asset, parameters, *rates)

    # --------------------------------------------------------------------------------------- start

    def prices(self) -> list[Action]:
        """All sources speak, are observed, and every listed expiry has its slice."""
        actions = [a for a in self.opening() if a.name in ("set_sequencer_feed", "set_feed")]
        actions += [a for a in self.opening() if a.name in ("show", "observe", "add_underlying")]
        for u in ledger_world.UNDERLYINGS:
            expiries = ledger_world.EXPIRIES
            svis = tuple(ledger_world.svi(u, expiry) for expiry in expiries)
            columns = (WAD * 1002 // 1000,) * 2, (WAD * 99 // 100,) * 2, svis
            report = SurfaceReport(u, expiries, *columns, self.now)
            actions.append(Action("post_surface", (report,)))
        return actions


def until_settled(choose: Chooser, world: JointWorld) -> list[Action]:
    """Go on to the next listed expiry, observing it in the half hour before, or hardly."""
    ahead = [expiry for expiry in ledger_world.EXPIRIES if expiry > world.now]
    if not ahead or choose.integer(0, 3):
        return market_actions.refresh(choose, world)
    pace = choose.item((GAP // 2, GAP - 1, 2 * GAP))
    actions = [Action("wait", (max(0, ahead[0] - WINDOW - world.now),))]
    for _ in range(WINDOW // pace + 1):
        for u in ledger_world.UNDERLYINGS:
            actions += [*market_actions.honest(choose, world, u), Action("fresh", (u,))]
        actions += [Action("observe_many", (ledger_world.UNDERLYINGS,)), Action("wait", (pace,))]
    return actions


def everything(choose: Chooser, world: JointWorld) -> list[Action]:
    """All sources speak at once: what was stale or disputed is not any more."""
    feeds = (1, 2, COLLATERAL_FEEDS + 1, COLLATERAL_FEEDS + 3)
    shown = [action for feed in feeds for action in market_actions.honest(choose, world, feed)]
    later = [Action("wait", (1,)), Action("observe_many", (feeds,))]
    return [*shown, *later, *later * choose.integer(0, 2)]


def crash(choose: Chooser, world: JointWorld) -> list[Action]:
    """Let an underlying be worth a share of what it was at first, and the breaker follow, or begin.

    Now and then one of its sources stays behind.
    """
    feed = choose.item(ledger_world.UNDERLYINGS)
    level = LEVELS[feed] * choose.item((30, 50, 50, 70, 90, 100, 130)) // 100
    actions = [Action("move", (feed, level))]
    for puppet in world.puppets_of(feed)[choose.integer(0, 1) :]:
        seen = Answer(level, level // 1_000, world.now)
        actions.append(Action("show", (puppet.place, "CURRENT", seen)))
    follow = [Action("wait", (choose.item((1, 12, 60)),)), Action("observe", (feed,))]
    return actions + follow * choose.integer(1, 12)


KINDS = {
    crash: 6,
    everything: 5,
    until_settled: 1,
    market_actions.wait: 4,
    market_actions.move: 3,
    market_actions.refresh: 5,
    market_actions.watch: 1,
    market_actions.show: 4,
    market_actions.leave: 1,
    market_actions.observe: 2,
    market_actions.post_surface: 2,
    market_actions.list_expiries: 1,
    market_actions.settle_uncovered: 1,
    market_actions.set_feed: 1,
    market_actions.outage: 5,
    market_actions.sample: 2,
    market_actions.parameters: 2,
}
