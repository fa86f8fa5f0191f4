"""Losses of one underlying in every scenario.

`option_row` prices one unit of an option's notional in all scenarios; it depends on the market
alone, so it is kept for the next portfolio.

Source: specification, section 8, "Order of operations".
"""

from functools import lru_cache
from math import isqrt
from typing import NamedTuple

from reference_model.exact import instrument as instruments
from reference_model.exact.black76 import unit_call
from reference_model.exact.ramp import value_at
from reference_model.exact.scenario_kernel import (
    MAX_DEVIATION,
    Place,
    error_bound,
    error_notional,
    runs,
    worst_places,
)
from reference_model.exact.svi import total_deviation
from reference_model.exact.transcendental import exp_x64, ln_ratio_x64, ln_x64
from reference_model.types import DAY, PPM, WAD, YEAR, GlobalParameters, Market, Scenario

ONE = 2**64
MINIMUM_MOVE = ONE // 100
THIRTY_DAYS = 30 * DAY


class Grid(NamedTuple):
    """Moves m_j of an underlying and their logarithms ℓ_j, X64; the runs they make."""

    moves: tuple[int, ...]
    logs: tuple[int, ...]
    runs: tuple[range, ...]


class SliceRisk(NamedTuple):
    """One expiry in the scenarios.

    Attributes
    ----------
    forward, discount : int
        USD, fraction, WAD.
    svi : int
        Packed; None for an expiry that has passed, whose options are worth their intrinsic value.
    deviation_floor : int
        s_floor, X64.
    vol_moves : tuple of int
        v_y of every scenario, X64.
    """

    forward: int
    discount: int
    svi: int | None
    deviation_floor: int
    vol_moves: tuple[int, ...]


class OptionRow(NamedTuple):
    """A call on one unit of ``D·F`` in the scenarios, X64.

    Attributes
    ----------
    strike_ratio, value, delta : int
        K/F, c_0 and Φ_0.
    changes, deltas, deviations : tuple of int
        c_j − c_0, Φ(d1)_j and s_y of every scenario.
    """

    strike_ratio: int
    value: int
    delta: int
    changes: tuple[int, ...]
    deltas: tuple[int, ...]
    deviations: tuple[int, ...]


class Thing(NamedTuple):
    """A position or a balance in the scenarios.

    Attributes
    ----------
    notional : int
        V of a linear thing, N of an option; USD, WAD, signed.
    delta : int
        Dollar delta, WAD, signed.
    bucket : int
        Expiry; 0 for spot, perpetual and what has expired.
    row : OptionRow or None
        None of a linear thing.
    is_put : bool
        Whether it is a put.
    direction : int
        Sign of an option's size, or of a linear thing's value.
    """

    notional: int
    delta: int
    bucket: int
    row: OptionRow | None = None
    is_put: bool = False
    direction: int = 0


class Scan(NamedTuple):
    """Outcome for one underlying, USD, WAD: net_u, error_u, W_u, the binding scenario and G_u."""

    netted: tuple[int, ...]
    error: int
    worst_loss: int
    binding_scenario: int
    isolated_loss: int


def in_force(market: Market) -> tuple[Scenario, ...]:
    """Return the scenarios with the weights in force: ``from ± ⌊|to − from|·progress / 1e18⌋``.

    Source: specification, Market data, section 9.
    """
    if not market.former_weights:
        return market.scenarios
    return tuple(
        goal._replace(weight_ppm=value_at(start, goal.weight_ppm, market.progress))
        for start, goal in zip(market.former_weights, market.scenarios, strict=True)
    )


@lru_cache(maxsize=256)
def grid(scenarios: tuple[Scenario, ...], scan_range: int) -> Grid:
    """Moves of an underlying with this scan range, WAD; each at least `MINIMUM_MOVE`."""
    moves = [ONE + s.price_ppm * scan_range * ONE // 10**24 for s in scenarios]
    moves = [max(move, MINIMUM_MOVE) for move in moves]
    places = [
        Place(move, s.weight_ppm, s.vol_ppm) for move, s in zip(moves, scenarios, strict=True)
    ]
    return Grid(tuple(moves), tuple(ln_x64(move) for move in moves), tuple(runs(places)))


@lru_cache(maxsize=4096)
def slice_risk(
    forward: int,
    discount: int,
    svi: int,
    tau_seconds: int,
    parameters: tuple[int, int, GlobalParameters],
    scenarios: tuple[Scenario, ...],
) -> SliceRisk:
    """Volatility moves of an expiry ahead.

    Parameters
    ----------
    forward, discount, svi : int
        USD, fraction, WAD; packed.
    tau_seconds : int
        Time to expiry, above 0.
    parameters : tuple
        `vol_range` and `vol_floor`, WAD, and the global parameters.
    scenarios : tuple of Scenario
    """
    vol_range, vol_floor, p = parameters
    exponent = p.vol_exponent_short if tau_seconds < THIRTY_DAYS else p.vol_exponent_long
    ratio = THIRTY_DAYS * ONE // max(tau_seconds, p.minimum_tau_seconds)
    scale = exp_x64(exponent * ln_x64(ratio) // WAD)
    root = isqrt(tau_seconds * 2**128 // YEAR)
    vol_moves = [max(0, ONE + s.vol_ppm * vol_range * scale // 10**24) for s in scenarios]
    return SliceRisk(forward, discount, svi, vol_floor * root // WAD, tuple(vol_moves))


def expired_slice(index: int, scenarios: tuple[Scenario, ...]) -> SliceRisk:
    """Return the slice of an expiry that has passed without a settlement price."""
    return SliceRisk(index, WAD, None, 0, (ONE,) * len(scenarios))


@lru_cache(maxsize=65536)
def option_row(slice_: SliceRisk, grid_: Grid, strike: int) -> OptionRow:
    """Price a call of this strike, USD, WAD, now and in every scenario."""
    ratio = strike * ONE // slice_.forward
    log = ln_ratio_x64(slice_.forward, strike)
    deviation = 0
    if slice_.svi is not None:
        deviation = min(total_deviation(slice_.svi, -log), MAX_DEVIATION)
    value, delta = unit_call(ratio, log, deviation)
    changes, deltas, deviations = [], [], []
    for move, log_move, vol_move in zip(grid_.moves, grid_.logs, slice_.vol_moves, strict=True):
        shocked = max(slice_.deviation_floor, deviation * vol_move // ONE)
        deviations.append(min(shocked, MAX_DEVIATION))
        moved, moved_delta = unit_call(ratio, log, deviations[-1], move, log_move)
        changes.append(moved - value)
        deltas.append(moved_delta)
    return OptionRow(ratio, value, delta, tuple(changes), tuple(deltas), tuple(deviations))


def option(slot_size: int, instrument: int, slice_: SliceRisk, grid_: Grid, bucket: int) -> Thing:
    """Return an option of signed size `slot_size`, units, WAD, in the scenarios."""
    row = option_row(slice_, grid_, instruments.strike(instrument))
    is_put = instruments.is_put(instrument)
    notional = slot_size * slice_.forward * slice_.discount // 10**36
    delta = notional * (row.delta - is_put * ONE) // ONE
    return Thing(notional, delta, bucket, row, is_put, sign(slot_size))


def linear(value: int, bucket: int) -> Thing:
    """Return a linear thing of signed dollar delta `value`, USD, WAD, in the scenarios."""
    return Thing(value, value, bucket, direction=sign(value))


def option_value(thing: Thing, slot_size: int, strike: int, slice_: SliceRisk) -> int:
    """Worth of an option by put-call parity, USD, WAD, Down.

    Formula: ``⌊N·c_0 / ONE⌋ − isPut·⌈q·D·(F − K) / 1e36⌉``.
    """
    value = thing.notional * thing.row.value // ONE
    if not thing.is_put:
        return value
    forward_value = slot_size * slice_.discount * (slice_.forward - strike)
    return value + -forward_value // 10**36


def scan(things: list[Thing], grid_: Grid, weights: tuple[int, ...]) -> Scan:
    """Netted and isolated losses of everything of one underlying.

    Parameters
    ----------
    things : list of Thing
    grid_ : Grid
    weights : tuple of int
        ω_j, Ppm.
    """
    moves = [move - ONE for move in grid_.moves]
    slope = sum(t.notional * ((t.row is None) - t.is_put) for t in things)
    options = [t for t in things if t.row is not None]
    netted = []
    for j, weight in enumerate(weights):
        change = slope * moves[j] + sum(t.notional * t.row.changes[j] for t in options)
        netted.append(weight * change // (PPM * ONE))
    greatest = max(grid_.moves)
    notionals = sum(error_notional(t.notional, greatest, t.row.strike_ratio) for t in options)
    error = error_bound(notionals, len(options)) if options else 0
    gross = sum(abs(t.notional) * _own_loss(t, grid_, weights) for t in things)
    worst = min(netted)
    return Scan(
        tuple(netted),
        error,
        max(0, -worst) + error,
        netted.index(worst),
        -(-gross // (PPM * ONE)) + 3 * error,
    )


def sign(value: int) -> int:
    """Return -1, 0 or 1."""
    return (value > 0) - (value < 0)


def _own_loss(thing: Thing, grid_: Grid, weights: tuple[int, ...]) -> int:
    """own_i: worst weighted loss per unit of absolute notional, Ppm times X64."""
    moves = [move - ONE for move in grid_.moves]
    if thing.row is None:
        changes, places = moves, range(len(moves))
    else:
        changes = [c - thing.is_put * m for c, m in zip(thing.row.changes, moves, strict=True)]
        places = worst_places(grid_.runs, (thing.direction < 0) != thing.is_put)
    return max(0, *(-thing.direction * weights[j] * changes[j] for j in places))
