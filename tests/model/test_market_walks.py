"""Long random walks of the model of market data, and what must hold after every step of one."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import pytest
from model.ledger_actions import Seeded
from model.market_actions import draw
from model.market_world import Action, World

from reference_model.exact import predictive_model
from reference_model.exact.errors import ModelError
from reference_model.exact.fixed_point import mul_down, mul_up
from reference_model.types import WAD

SEEDS = range(6)
STEPS = 600
LEFT_BAND = "observed without a quorum within the band"
# What could move expected shortfall at one stroke.
PREDICTED = (
    *("publish", "cancel_publication", "set_predictive_parameters"),
    *("sample", "add_underlying"),
)


def left_band(log: Sequence[tuple[str, tuple]]) -> list[str]:
    """Say if the hub's events of an action tell of a price that sources beyond its band dispute."""
    told = [(name, values[0]) for name, values in log if name in ("QuorumMissed", "Observed")]
    is_left = any(
        first[1] == second[1] and first[0] != second[0] for first, second in pairwise(told)
    )
    return [LEFT_BAND] if is_left else []


class Witness:
    """A walk under observation."""

    def __init__(self, seed: int) -> None:
        self.world, self.seen = World(), Counter()
        for action in self.world.opening():
            assert self.world.run(action) is None, action
        self.choose = Seeded(seed)

    def step(self) -> None:
        for action in draw(self.choose, self.world):
            before = self._state(action)
            error = self.world.run(action)
            after = self._state(action)
            self.seen[error[0] if error else action.name] += 1
            events = self.world.drain()
            self.seen.update(e.name for log in events.values() for e in log)
            self.seen.update(left_band(events["hub"]))
            if error:
                assert after == before, action
            elif before["now"] == after["now"]:
                self._check_continuity(before, after)
            self._check_observations(before, after)
            self._check_settlement(before, after)

    def _state(self, action: Action) -> dict:
        """All there is, as plain values, and what is in force."""
        w = self.world
        return {
            "now": w.now,
            "hub": w.hub.state.copy(),
            "active": w.clock.active_time(w.now),
            "movements": dict(w.parameters.movements),
            "expiries": (dict(w.parameters.expiries), set(w.parameters.ever_listed)),
            "global": w.parameters.global_parameters(w.now),
            "underlyings": {u: w.parameters.underlying_parameters(w.now, u) for u in (1, 2)},
            "scenarios": w.parameters.scenarios(w.now),
            "decorrelations": w.parameters.decorrelations(w.now),
            "ranges": {u: w.parameters.scan_ranges(w.now, u).current for u in (1, 2)},
            "covariances": dict(w.estimator.covariances_x40),
            "anchors": dict(w.estimator.anchors),
            "moving": dict(w.estimator.moving),
            "publication": w.predictive.publication,
            "words": w.predictive.words,
            "predictive": w.predictive.parameters(w.now),
            "shortfall": self._shortfall() if action.name in PREDICTED else 0,
        }

    def _shortfall(self) -> int:
        """Expected shortfall of a book, some of it in what may not be covered."""
        prediction = self.world.predictive.prediction(self.world.now)
        return predictive_model.measure(prediction, self.world.exposures())[0]

    def _check_continuity(self, before: dict, after: dict) -> None:
        """Nothing that maintenance margin reads moves at one stroke, whoever calls what."""
        if before["active"] != after["active"]:
            return  # An outage came to light, and with it the time that was not.
        assert after["ranges"] == before["ranges"]
        assert after["decorrelations"] == before["decorrelations"]
        assert after["predictive"] == before["predictive"]
        # A unit of losses is as great as the greatest loss needs.
        assert after["shortfall"] == pytest.approx(before["shortfall"], rel=1e-15)
        for name in ("maintenance_factor", "vol_exponent_short", "minimum_tau_seconds"):
            assert getattr(after["global"], name) == getattr(before["global"], name)
        for u, parameters in after["underlyings"].items():
            for name in ("scan_range", "vol_range", "basis_rate", "depth", "oi_lower"):
                assert getattr(parameters, name) == getattr(before["underlyings"][u], name)
        weights = {scenario[:2]: scenario.weight_ppm for scenario in before["scenarios"]}
        for scenario in after["scenarios"]:
            assert scenario.weight_ppm == weights.get(scenario[:2], 0)

    def _check_observations(self, before: dict, after: dict) -> None:
        for feed, seen in after["hub"].observations.items():
            known = before["hub"].observations.get(feed)
            assert 0 <= seen.confidence <= seen.price
            assert seen.timestamp <= seen.observed_at <= after["now"]
            if known is None or known == seen:
                continue
            # Setting a feed observes it as its parameters were.
            parameters = before["hub"].feeds[feed]
            assert seen.observed_at > known.observed_at
            low = mul_up(known.price, WAD - parameters.max_move)
            high = mul_down(known.price, WAD + parameters.max_move)
            assert low <= seen.price <= high
            least, most = sorted((known.stable_price, known.price))
            assert least <= seen.stable_price <= most
            band = mul_up(seen.price, parameters.mark_band)
            assert abs(seen.mark - seen.price) <= band

    def _check_settlement(self, before: dict, after: dict) -> None:
        assert after["hub"].slices.keys() <= self.world.parameters.ever_listed
        settled = before["hub"].settlement_prices
        assert settled.items() <= after["hub"].settlement_prices.items(), "a price was not final"
        assert all(window.covered_seconds <= 1_800 for window in after["hub"].windows.values())


@pytest.fixture(scope="module")
def seen():
    return Counter()


@pytest.mark.parametrize("seed", SEEDS)
def test_invariants_hold_along_a_walk(seen, seed):
    witness = Witness(seed)
    for _ in range(STEPS):
        witness.step()
    seen.update(witness.seen)


def test_the_walks_have_met_what_matters(seen):
    assert MET - set(seen) == set(), seen


MET = {
    *("observe", "observe_many", "post_surface", "settle_uncovered", "set_feed", "set_surface"),
    *("declare_outage", "end_outage", "sync_sequencer", "set_sequencer_feed", "sample"),
    *("add_underlying", "set_estimator", "set_global_parameters", "set_underlying_parameters"),
    *("set_scenarios", "set_decorrelation", "move_scan_range", "halt_increases"),
    *("Observed", "QuorumMissed", LEFT_BAND, "SlicePosted", "Settled"),
    *("SettlementUncovered", "UnknownFeed", "SourceTwice", "FixedOnceListed", "LengthMismatch"),
    *("TimestampAhead", "TimestampBackwards", "SlicesNotAscending", "SliceExpired"),
    *("VolMoveTooLarge", "ForwardMoveTooLarge", "ButterflyArbitrage", "InvalidSlice"),
    *("SliceTooEarly", "list_expiries", "ExpiryListed", "ExpiryNotListed"),
    *("ExpiryAlreadyListed", "ExpiryNotOnTheHour"),
    *("CalendarArbitrage", "TooManyExpiries", "MissingPrice", "ParameterOutOfRange"),
    *("SettlementTooEarly", "SettlementFinal", "OutageTooSoon", "SampleTooEarly"),
    *("AlreadyInBasket", "BasketFull", "LotSizeNotDivisor", "UnderlyingNotListed"),
    *("GlobalParametersSet", "UnderlyingParametersSet", "CollateralParametersSet"),
    *("ScenariosSet", "DecorrelationSet", "RampStarted", "ScanRangeMoved", "Sampled"),
    *("OutageDeclared", "OutageEnded", "SequencerSynced", "SequencerFeedSet"),
    *("ScenarioSideMissing", "FeedSet", "SurfaceSet"),
    *("publish", "set_predictive_parameters", "RampUnderWay", "InvalidVector"),
    *("cancel_publication", "NoRampUnderWay"),
}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_view_says_what_an_observation_would_store(seed):
    """`spot` out of the cache, and then `observe`: the same, pushed or not."""
    witness = Witness(seed)
    agreed = 0
    for _ in range(150):
        witness.step()
        world = witness.world
        world.clock.sync_sequencer(world.now)
        for feed in (1, 2, 3):
            try:
                viewed = world.hub.spot(world.now, feed)
            except ModelError:
                continue
            before = world.hub.state.observations[feed]
            cache = world.hub.state.feeds[feed].cache_seconds
            if world.now <= before.observed_at + cache:
                continue
            world.hub.observe(world.now, feed)
            assert world.hub.spot(world.now, feed) == viewed
            agreed += world.hub.state.observations[feed] != before
    assert agreed > 0
