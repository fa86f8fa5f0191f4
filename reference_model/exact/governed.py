"""Parameters as governance sets them and time brings them into force, as a state machine.

`GovernedParameters` has the entry points of ``contracts/Parameters.sol`` that matter to time: each
takes the time of its block. A first listing is in force at once; later changes ramp. Tokens are not
looked at. A refusal is a `ModelError` and leaves the state as it was.

Source: specification, section 13; Market data, sections 8 and 9.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from reference_model.exact import parameters as ranges_of
from reference_model.exact import ramp, scan_range
from reference_model.exact.errors import (
    ExpiryAlreadyListed,
    ExpiryNotOnTheHour,
    FixedOnceListed,
    LotSizeNotDivisor,
    ScenarioSideMissing,
    TooManyExpiries,
    UnderlyingNotListed,
    VolClassSplit,
)
from reference_model.exact.events import Event
from reference_model.exact.outage_clock import OutageClock
from reference_model.exact.scan_range import Movement, Ranges
from reference_model.types import (
    DAY,
    PPM,
    WAD,
    CollateralParameters,
    GlobalParameters,
    Scenario,
    UnderlyingParameters,
)

RAMPED = {
    GlobalParameters: (
        *("maintenance_factor", "initial_factor", "vol_exponent_short", "vol_exponent_long"),
        *("minimum_tau_seconds", "profit_weight", "profit_cap", "rise_rate", "fall_rate"),
    ),
    UnderlyingParameters: (
        *("scan_range", "max_scan_range", "vol_range", "vol_floor", "basis_rate"),
        *("short_option_rate", "concentration_rate", "depth", "max_oi_multiplier"),
        *("oi_lower", "oi_upper"),
    ),
    CollateralParameters: ("haircut", "depeg_rate"),
}
GROUPS = 8
MAX_DEVIATION = 2**128
HOUR_SECONDS = 3_600
MAX_LIVE_EXPIRIES = 16
MAX_TENOR_SECONDS = 1_095 * DAY


class Ramp(NamedTuple):
    """A set of parameters on its way; `start` and `end` are active times, seconds."""

    before: Any
    after: Any
    start: int = 0
    end: int = 0

    def in_force(self, active: int) -> Any:
        """Return the set in force at an active time."""
        when = self.start, self.end, active
        if type(self.after) is tuple:
            pairs = zip(self.before, self.after, strict=True)
            return tuple(ramp.value(before, after, *when) for before, after in pairs)
        values = {
            name: ramp.value(getattr(self.before, name), getattr(self.after, name), *when)
            for name in RAMPED[type(self.after)]
        }
        return self.after._replace(**values)


class GovernedParameters:
    """Parameters over time, with the clock they ramp by.

    Parameters
    ----------
    clock : OutageClock
    global_parameters : GlobalParameters
    scenarios : sequence of Scenario
    decorrelations : sequence of int
        Weight of each risk group.

    Attributes
    ----------
    movements : dict
        Movement of the scan range by underlying.
    expiries : dict
        Those listed and not yet dropped by underlying, in the order of the contract.
    ever_listed : set
        Underlying and expiry of each that ever was.

    Notes
    -----
    Events go to the clock's list: both are one contract.
    """

    def __init__(
        self,
        clock: OutageClock,
        global_parameters: GlobalParameters,
        scenarios: Sequence[Scenario],
        decorrelations: Sequence[int] = (WAD,) * GROUPS,
    ) -> None:
        ranges_of.require_global(global_parameters)
        require_scenarios(scenarios)
        self.clock = clock
        weights = tuple(scenario.weight_ppm for scenario in scenarios)
        self._global = Ramp(global_parameters, global_parameters)
        self._moves = tuple(scenario[:2] for scenario in scenarios)
        self._weights = Ramp(weights, weights)
        self._decorrelations = Ramp(tuple(decorrelations), tuple(decorrelations))
        self._underlyings: dict[int, Ramp] = {}
        self._collaterals: dict[int, Ramp] = {}
        self.movements: dict[int, Movement] = {}
        self.expiries: dict[int, tuple[int, ...]] = {}
        self.ever_listed: set[tuple[int, int]] = set()

    # -------------------------------------------------------------------------------------- setting

    def set_global_parameters(self, now: int, new: GlobalParameters) -> None:
        """Ramp to other parameters common to all underlyings.

        Raises
        ------
        ParameterOutOfRange
        """
        ranges_of.require_global(new)
        old = self.global_parameters(now)
        self._emit("GlobalParametersSet", old, new)
        self._global = self._ramp(now, self._global, new, "global")

    def set_underlying_parameters(
        self, now: int, underlying: int, new: UnderlyingParameters
    ) -> None:
        """List an underlying, or ramp to other parameters of it.

        Raises
        ------
        ParameterOutOfRange, FixedOnceListed, LotSizeNotDivisor
        """
        ranges_of.require_in_range("listed", int(new.listed), 1, 1)
        ranges_of.require_underlying(new)
        known = self._underlyings.get(underlying)
        if known is not None:
            if known.after.group != new.group:
                raise FixedOnceListed("group", known.after.group, new.group)
            if known.after.lot_size % new.lot_size:
                raise LotSizeNotDivisor(known.after.lot_size, new.lot_size)
        old = self.underlying_parameters(now, underlying)
        if new.scan_multiplier == 0 and underlying in self.movements:
            self._move(now, underlying, 0)
        self._emit("UnderlyingParametersSet", underlying, old, new)
        self._underlyings[underlying] = self._ramp(now, known, new, "underlying", underlying)

    def list_expiries(self, now: int, underlying: int, expiries: Sequence[int]) -> None:
        """List expiries of an underlying; those that have passed make room.

        Raises
        ------
        UnderlyingNotListed, ParameterOutOfRange, ExpiryNotOnTheHour, ExpiryAlreadyListed,
        TooManyExpiries
        """
        if underlying not in self._underlyings:
            raise UnderlyingNotListed(underlying)
        listed, live = set(self.ever_listed), self._without_passed(now, underlying)
        for expiry in expiries:
            ranges_of.require_in_range("expiry", expiry, now + 1, now + MAX_TENOR_SECONDS)
            if expiry % HOUR_SECONDS:
                raise ExpiryNotOnTheHour(expiry)
            if (underlying, expiry) in listed:
                raise ExpiryAlreadyListed(underlying, expiry)
            if len(live) == MAX_LIVE_EXPIRIES:
                raise TooManyExpiries(underlying, MAX_LIVE_EXPIRIES)
            listed.add((underlying, expiry))
            live.append(expiry)
        self.ever_listed, self.expiries[underlying] = listed, tuple(live)
        for expiry in expiries:
            self._emit("ExpiryListed", underlying, expiry)

    def _without_passed(self, now: int, underlying: int) -> list[int]:
        """Drop passed expiries from the last to the first, each replaced by the last there is."""
        known = list(self.expiries.get(underlying, ()))
        for place in reversed(range(len(known))):
            if known[place] <= now:
                known[place] = known[-1]
                known.pop()
        return known

    def is_expiry_listed(self, underlying: int, expiry: int) -> bool:
        """Whether an expiry was ever listed for an underlying."""
        return (underlying, expiry) in self.ever_listed

    def live_expiries(self, now: int, underlying: int) -> tuple[int, ...]:
        """Listed expiries that lie ahead."""
        return tuple(expiry for expiry in self.expiries.get(underlying, ()) if expiry > now)

    def halt_increases(self, now: int, underlying: int) -> None:
        """Let trades in an underlying reduce positions only, by the guardian, at once.

        Raises
        ------
        UnderlyingNotListed
        """
        known = self._underlyings.get(underlying)
        if known is None:
            raise UnderlyingNotListed(underlying)
        after = known.after._replace(reduce_only=True)
        old = self.underlying_parameters(now, underlying)
        self._emit("UnderlyingParametersSet", underlying, old, after)
        self._underlyings[underlying] = known._replace(after=after)

    def set_collateral_parameters(self, now: int, asset: int, new: CollateralParameters) -> None:
        """List a collateral asset, or ramp to other parameters of it.

        Raises
        ------
        ParameterOutOfRange, FixedOnceListed
        """
        ranges_of.require_collateral(asset, new)
        known = self._collaterals.get(asset)
        for name in ("token", "decimals", "underlying") if known else ():
            current, proposed = getattr(known.after, name), getattr(new, name)
            if current != proposed:
                raise FixedOnceListed(name, current, proposed)
        old = self.collateral_parameters(now, asset)
        self._emit("CollateralParametersSet", asset, old, new)
        self._collaterals[asset] = self._ramp(now, known, new, "collateral", asset)

    def set_decorrelation(self, now: int, group: int, decorrelation: int) -> None:
        """Ramp the weight of a risk group; the ramp of all groups begins anew.

        Raises
        ------
        ParameterOutOfRange
        """
        ranges_of.require_decorrelation(group, decorrelation)
        after = self._decorrelations.after
        new = (*after[:group], decorrelation, *after[group + 1 :])
        old = self.decorrelations(now)[group]
        self._emit("DecorrelationSet", group, old, decorrelation)
        self._decorrelations = self._ramp(now, self._decorrelations, new, "decorrelations")

    def set_scenarios(self, now: int, new: Sequence[Scenario]) -> None:
        """Ramp to other weights: from that in force of the same moves, or from 0.

        Raises
        ------
        ParameterOutOfRange, VolClassSplit, ScenarioSideMissing
        """
        require_scenarios(new)
        old = self.scenarios(now)
        in_force: dict[tuple, int] = {}
        for price, vol, weight in old:
            in_force[price, vol] = max(weight, in_force.get((price, vol), 0))
        before = tuple(in_force.get(scenario[:2], 0) for scenario in new)
        pairs = zip(new, before, strict=True)
        require_sides([scenario._replace(weight_ppm=weight) for scenario, weight in pairs])
        self._emit("ScenariosSet", old, tuple(new))
        weights = tuple(scenario.weight_ppm for scenario in new)
        self._moves = tuple(scenario[:2] for scenario in new)
        self._weights = Ramp(before, weights, *self._begin(now, "scenarios", 0))

    def move_scan_range(self, now: int, underlying: int, deviation: int) -> None:
        """Let a scan range that moves go to a multiple of the daily deviation (WAD)."""
        known = self._underlyings.get(underlying)
        if known is not None and known.after.scan_multiplier:
            deviation = min(deviation, MAX_DEVIATION)
            self._move(now, underlying, scan_range.aim(known.after.scan_multiplier, deviation))

    def _move(self, now: int, underlying: int, target: int) -> None:
        current = self.scan_ranges(now, underlying).current
        self.movements[underlying] = Movement(current, target, self.clock.active_time(now))
        self._emit("ScanRangeMoved", underlying, current, target)

    def _ramp(self, now: int, known: Ramp | None, new: Any, name: str, id_: int = 0) -> Ramp:
        """Ramp from what is in force; a first value is in force at once."""
        if known is None:
            return Ramp(new, new)
        before = known.in_force(self.clock.active_time(now))
        return Ramp(before, new, *self._begin(now, name, id_))

    def _begin(self, now: int, name: str, id_: int) -> tuple[int, int]:
        """Start and end of a ramp that begins now; active times."""
        start = self.clock.active_time(now)
        end = start + self.ramp_seconds
        self._emit("RampStarted", name, id_, start, end)
        return start, end

    def _emit(self, name: str, *values: Any) -> None:
        self.clock.events.append(Event(name, values))

    # -------------------------------------------------------------------------------------- reading

    @property
    def ramp_seconds(self) -> int:
        """Length of a ramp that begins now, active seconds."""
        return self._global.after.ramp_seconds

    def global_parameters(self, now: int) -> GlobalParameters:
        """Parameters common to all underlyings, in force."""
        return self._global.in_force(self.clock.active_time(now))

    def underlying_parameters(self, now: int, underlying: int) -> UnderlyingParameters | None:
        """Parameters of an underlying in force, or None if it is not listed."""
        known = self._underlyings.get(underlying)
        return known and known.in_force(self.clock.active_time(now))

    def collateral_parameters(self, now: int, asset: int) -> CollateralParameters | None:
        """Parameters of a collateral asset in force, or None if it is unknown."""
        known = self._collaterals.get(asset)
        return known and known.in_force(self.clock.active_time(now))

    def decorrelations(self, now: int) -> tuple[int, ...]:
        """Weights of the risk groups in force."""
        return self._decorrelations.in_force(self.clock.active_time(now))

    def progress(self, now: int) -> int:
        """How far the weights of the scenarios are on their way; WAD."""
        _, _, start, end = self._weights
        return ramp.progress(start, end, self.clock.active_time(now))

    def scenarios(self, now: int) -> tuple[Scenario, ...]:
        """Scenarios with the weights in force."""
        pairs = zip(self._moves, self._weights_in_force(now), strict=True)
        return tuple(Scenario(*moves, weight) for moves, weight in pairs)

    def scan_ranges(self, now: int, underlying: int) -> Ranges:
        """Scan range of an underlying, and the one initial margin looks ahead to; 0 if unlisted."""
        parameters = self.underlying_parameters(now, underlying)
        if parameters is None:
            return Ranges(0, 0)
        common = self.global_parameters(now)
        return scan_range.ranges(
            self.movements.get(underlying, Movement()),
            parameters.scan_range,
            parameters.max_scan_range,
            self.clock.active_time(now),
            common.rise_rate,
            common.fall_rate,
        )

    def _weights_in_force(self, now: int) -> list[int]:
        progress = self.progress(now)
        pairs = zip(self._weights.before, self._weights.after, strict=True)
        return [ramp.value_at(before, after, progress) for before, after in pairs]


def require_scenarios(scenarios: Sequence[Scenario]) -> None:
    """Check ranges, order and sides of scenarios.

    Raises
    ------
    ParameterOutOfRange, VolClassSplit, ScenarioSideMissing
    """
    ranges_of.require_scenarios(tuple(scenarios))
    seen: list[int] = []
    for scenario in scenarios:
        if scenario.vol_ppm in seen[:-1]:
            raise VolClassSplit(scenario.vol_ppm)
        if scenario.vol_ppm not in seen:
            seen.append(scenario.vol_ppm)
    require_sides(scenarios)


def require_sides(scenarios: Sequence[Scenario]) -> None:
    """Refuse scenarios that leave a side unseen, so that a position there needed no margin.

    Raises
    ------
    ScenarioSideMissing
    """
    full = [s.price_ppm for s in scenarios if s.weight_ppm == PPM]
    moves = [s.vol_ppm for s in scenarios if s.weight_ppm]
    sides = {
        "priceDown": min(full, default=0) <= -PPM,
        "priceUp": max(full, default=0) >= PPM,
        "volDown": min(moves, default=0) < 0,
        "volUp": max(moves, default=0) > 0,
    }
    for side, is_seen in sides.items():
        if not is_seen:
            raise ScenarioSideMissing(side)
