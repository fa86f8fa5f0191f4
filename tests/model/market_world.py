"""A world of prices for the models and the contracts: sources that say what a test wants.

`World` is the exact model of hub, clock, parameters and estimator, put together as a deployment
is; `run` does one action to it. Actions are plain data, drawn in `market_actions`.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

from reference_model.exact import predictive_model, profile
from reference_model.exact.aggregation import Answer
from reference_model.exact.errors import ModelError
from reference_model.exact.events import Event
from reference_model.exact.governed import GovernedParameters
from reference_model.exact.oracle_hub import FeedParameters, FeedSource, OracleHub
from reference_model.exact.outage_clock import OutageClock, UptimeFeed, UptimeRound
from reference_model.exact.predictive_model import PredictiveModel
from reference_model.exact.volatility_estimator import VolatilityEstimator
from reference_model.types import (
    DAY,
    PPM,
    WAD,
    CollateralParameters,
    Exposure,
    GlobalParameters,
    PredictiveParameters,
    Scenario,
    UnderlyingParameters,
)

# On the hour, so that hours and settlement windows fall where they are easy to read.
START = 1_800_000_000
UNDERLYINGS = (1, 2, 3, 4)
COLLATERALS = (257, 258, 259)
FEEDS = (*UNDERLYINGS, *COLLATERALS)
FIXED = (4, 258)
UNKNOWN_FEEDS = (5, 260)
# Feed by feed: number of sources and level at the start.
SOURCES = {1: 3, 2: 5, 3: 2, 257: 1, 259: 4}
LEVELS = {1: 60_000 * WAD, 2: 3_000 * WAD, 3: 150 * WAD, 257: 105 * WAD // 100, 259: WAD}
MARK_PUPPET = sum(SOURCES.values())
PUPPETS = MARK_PUPPET + 1
UP, DOWN = 0, 1
# Linear dollar deltas by underlying, ascending: one perhaps never covered.
BOOK = {1: 10**24, 2: -3 * 10**24, 3: 10**23, 9: 10**22}
NOTHING = Answer(0, 0, 0)


class Action(NamedTuple):
    """Something to do, and with what."""

    name: str
    arguments: tuple = ()


@dataclass
class Puppet:
    """A source that answers what it was told, in a mode of ``SourceDouble``."""

    world: "World"
    place: int
    mode: str = "ANSWER"
    answer: Answer = NOTHING
    address: int = 0

    def read(self) -> Answer | None:
        """Answer, or fail."""
        if self.mode in ("ANSWER", "LONG"):
            return self.answer
        return self.answer._replace(timestamp=self.world.now) if self.mode == "CURRENT" else None


@dataclass
class Sequencer:
    """An uptime feed with all its rounds."""

    rounds: list[UptimeRound]
    fails: bool = False
    address: int = 0

    def feed(self) -> UptimeFeed:
        """Return the feed as the clock reads it."""
        return UptimeFeed(
            self.address,
            lambda: None if self.fails else self.rounds[-1],
            lambda number: None if self.fails else self._find(number),
        )

    def _find(self, number: int) -> UptimeRound | None:
        return self.rounds[number - 1] if 0 < number <= len(self.rounds) else None


class World:
    """The models together, and the time.

    Parameters
    ----------
    addresses : sequence of int, optional
        Addresses of the puppets, so that errors name them.
    start : int, optional
        Time to begin at, on the hour.
    """

    def __init__(self, addresses=tuple(range(1, PUPPETS + 1)), start: int = START) -> None:
        self.now = start
        self.puppets = [Puppet(self, i, address=a) for i, a in enumerate(addresses)]
        self.levels = dict(LEVELS)
        self.volatility = 0.7
        self.sequencer = Sequencer([UptimeRound(1, UP, start - DAY)])
        self.clock = OutageClock()
        self.hub = OracleHub(self.clock, lambda *key: self.parameters.is_expiry_listed(*key))
        self.parameters = GovernedParameters(self.clock, GLOBAL, SCENARIOS)
        self.estimator = VolatilityEstimator(lambda u: self.hub.spot(self.now, u), self._rates)
        self.predictive = PredictiveModel(self.parameters, self.estimator)
        self.token = COLLATERAL.token

    def puppets_of(self, feed: int) -> list[Puppet]:
        """Sources a feed has at the start."""
        first = sum(count for f, count in SOURCES.items() if f < feed)
        return self.puppets[first : first + SOURCES.get(feed, 0)]

    def feed_parameters(self, feed: int) -> FeedParameters:
        """Parameters a feed has at the start."""
        if feed in FIXED:
            return FeedParameters((), 0, WAD, WAD, WAD // 10, WAD // 10, 0, 60)
        sources = tuple(FeedSource(p, 900 + 300 * i) for i, p in enumerate(self.puppets_of(feed)))
        level, mark = LEVELS[feed], None
        if feed == 1:
            mark = FeedSource(self.puppets[MARK_PUPPET], 600)
        quorum = len(sources) // 2 + 1
        return FeedParameters(
            sources, quorum, level // 50, level * 50, WAD // 10, 6 * WAD // 100, WAD // 50, 60, mark
        )

    def run(self, action: Action) -> tuple[str, tuple] | None:
        """Do an action and return the name and values of its error, if it was refused."""
        try:
            getattr(self, f"_{action.name}")(*action.arguments)
        except ModelError as error:
            return error.name, error.arguments
        return None

    # ------------------------------------------------------------------------ beside the contracts

    def _wait(self, seconds: int) -> None:
        self.now += seconds

    def _show(self, place: int, mode: str, answer: Answer) -> None:
        self.puppets[place].mode, self.puppets[place].answer = mode, answer

    def _fresh(self, feed: int) -> None:
        """All sources of a feed have just spoken."""
        for puppet in self.puppets_of(feed):
            puppet.answer = puppet.answer._replace(timestamp=self.now)

    def _move(self, feed: int, level: int) -> None:
        self.levels[feed] = level

    def _change_sequencer(self, answer: int, started_at: int) -> None:
        rounds = self.sequencer.rounds
        rounds.append(UptimeRound(len(rounds) + 1, answer, started_at))

    def _break_sequencer(self, fails: bool) -> None:
        self.sequencer.fails = fails

    # -------------------------------------------------------------------------------- entry points

    def _observe(self, feed: int) -> None:
        self.hub.observe(self.now, feed)

    def _observe_many(self, feeds: tuple) -> None:
        self.hub.observe_many(self.now, feeds)

    def _set_feed(self, feed: int, parameters: FeedParameters) -> None:
        self.hub.set_feed(self.now, feed, parameters)

    def _set_surface(self, underlying: int, parameters: Any) -> None:
        self.hub.set_surface(underlying, parameters)

    def _post_surface(self, report: Any) -> None:
        self.hub.post_surface(self.now, report)

    def _settle_uncovered(self, underlying: int, expiry: int, price: int) -> None:
        self.hub.settle_uncovered(self.now, underlying, expiry, price)

    def _declare_outage(self, seconds: int) -> None:
        self.clock.declare_outage(self.now, seconds)

    def _end_outage(self) -> None:
        self.clock.end_outage(self.now)

    def _sync_sequencer(self) -> None:
        self.clock.sync_sequencer(self.now)

    def _set_sequencer_feed(self, is_set: bool, grace_seconds: int) -> None:
        feed = self.sequencer.feed() if is_set else None
        self.clock.set_sequencer_feed(self.now, feed, grace_seconds)

    def _sample(self) -> None:
        moves = self.estimator.sample(self.now, self.clock.active_time(self.now))
        for underlying, deviation in moves:
            self.parameters.move_scan_range(self.now, underlying, deviation)

    def _rates(self) -> tuple[int, int]:
        p = self.parameters.global_parameters(self.now)
        return p.rise_rate, p.fall_rate

    def _add_underlying(self, underlying: int, volatility: int) -> None:
        active = self.clock.active_time(self.now)
        self.estimator.add_underlying(underlying, volatility, active)

    def _publish(self, words: tuple[int, ...], leaving: int, places: int) -> None:
        self.predictive.publish(self.now, words, leaving, places)

    def _cancel_publication(self) -> None:
        self.predictive.cancel_publication(self.now)

    def exposures(self) -> list[Exposure]:
        """What `BOOK` loses, as the predictive model is given it now."""
        terms = predictive_model.terms(self.predictive.prediction(self.now), BOOK)
        pairs = zip(BOOK.items(), terms.deviations, strict=True)
        return [
            profile.exposure(
                *(u, deviation, delta, delta, [], 2**64),
                abs(delta) // 5 if terms.uncovered >> u & 1 else 0,
            )
            for (u, delta), deviation in pairs
        ]

    def _set_predictive_parameters(self, parameters: PredictiveParameters) -> None:
        self.predictive.set_parameters(self.now, parameters)

    def _set_estimator(self, parameters: Any) -> None:
        self.estimator.set_estimator(parameters)

    def _move_scan_range(self, underlying: int, deviation: int) -> None:
        self.parameters.move_scan_range(self.now, underlying, deviation)

    def _set_global_parameters(self, parameters: GlobalParameters) -> None:
        self.parameters.set_global_parameters(self.now, parameters)

    def _set_underlying_parameters(self, underlying: int, parameters: Any) -> None:
        self.parameters.set_underlying_parameters(self.now, underlying, parameters)

    def _halt_increases(self, underlying: int) -> None:
        self.parameters.halt_increases(self.now, underlying)

    def _set_collateral_parameters(self, asset: int, parameters: CollateralParameters) -> None:
        parameters = parameters._replace(token=self.token)
        self.parameters.set_collateral_parameters(self.now, asset, parameters)

    def _set_decorrelation(self, group: int, decorrelation: int) -> None:
        self.parameters.set_decorrelation(self.now, group, decorrelation)

    def _list_expiries(self, underlying: int, expiries: tuple[int, ...]) -> None:
        self.parameters.list_expiries(self.now, underlying, expiries)

    def _set_scenarios(self, scenarios: tuple[Scenario, ...]) -> None:
        self.parameters.set_scenarios(self.now, scenarios)

    # -------------------------------------------------------------------------------------- start

    def opening(self) -> list[Action]:
        """Bring the world, and any deployment, to where the walks begin."""
        actions = [Action("set_sequencer_feed", (True, 600))]
        actions += [Action("set_feed", (feed, self.feed_parameters(feed))) for feed in FEEDS]
        for feed in SOURCES:
            actions += [
                Action(
                    "show",
                    (p.place, "ANSWER", Answer(LEVELS[feed], LEVELS[feed] // 1000, self.now)),
                )
                for p in self.puppets_of(feed)
            ]
        actions += [Action("observe", (feed,)) for feed in SOURCES if feed != 3]
        actions += [Action("add_underlying", (u, WAD // 2)) for u in (1, 2, 3)]
        actions += [Action("set_underlying_parameters", (u, UNDERLYING)) for u in (1, 2)]
        actions += [Action("set_collateral_parameters", (1, COLLATERAL))]
        return actions

    def drain(self) -> dict[str, list[Event]]:
        """Events of each contract since they were last asked for."""
        logs = {
            "hub": self.hub.events,
            "parameters": self.clock.events,
            "estimator": self.estimator.events,
            "predictive": self.predictive.events,
        }
        events = {name: list(log) for name, log in logs.items()}
        for log in logs.values():
            log.clear()
        return events


GLOBAL = GlobalParameters(profit_cap=10**7 * WAD)
UNDERLYING = UnderlyingParameters(
    listed=True,
    reduce_only=False,
    group=0,
    scan_range=15 * WAD // 100,
    max_scan_range=6 * WAD // 10,
    scan_multiplier=5 * WAD,
    vol_range=4 * WAD // 10,
    vol_floor=WAD // 10,
    basis_rate=WAD // 200,
    short_option_rate=WAD // 200,
    concentration_rate=WAD // 50,
    depth=25 * 10**6 * WAD,
    oi_lower=1_000 * WAD,
    oi_upper=5_000 * WAD,
    max_oi_multiplier=WAD,
    open_interest_cap=10_000 * WAD,
    funding_cap=75 * WAD // 10_000,
    maker_fee=WAD // 10_000,
    taker_fee=3 * WAD // 10_000,
    option_fee_cap=WAD // 8,
    lot_size=WAD // 1_000,
)
COLLATERAL = CollateralParameters("0x" + "0" * 39 + "1", 18, 0, True, WAD // 10, WAD // 20, 10**30)
SCENARIOS = tuple(
    Scenario(price * PPM // 3, vol * PPM, PPM)
    for vol in (-1, 1)
    for price in (-3, -2, -1, 0, 1, 2, 3)
)
