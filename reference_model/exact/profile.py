"""What a book earns in one underlying on the nodes of predictive margin, bit for bit as on chain.

Source: specification, Predictive margin, 4.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from reference_model.exact import scenarios
from reference_model.exact.black76 import to_steps
from reference_model.exact.fixed_point import divide_up
from reference_model.exact.normal import STEPS_PER_UNIT
from reference_model.exact.scenario_kernel import error_bound, error_notional
from reference_model.exact.shortfall import LEAST_MOVE, NODES, ONE, Y_PPM, Z_PPM, moves
from reference_model.types import PPM, Exposure

EXTRA_SLACK = 16
DELTA_BITS = 60


class Option(NamedTuple):
    """An option held: N (USD, WAD, signed), and its expiry's slice with the nodes' vol moves."""

    expiry: int
    strike: int
    notional: int
    is_put: bool
    slice_: scenarios.SliceRisk


class _Strike(NamedTuple):
    """Net notional of a strike of an expiry, and a call of it on all nodes."""

    notional: int
    row: scenarios.OptionRow


def exposure(
    underlying: int,
    deviation: int,
    delta: int,
    linear: int,
    options: Sequence[Option],
    greatest_move: int,
    scenario_loss: int,
) -> Exposure:
    """Profile of a book in one underlying.

    Parameters
    ----------
    underlying : int
    deviation : int
        Of the horizon, for maintenance; WAD. 0 if no list covers the underlying: then no nodes.
    delta : int
        Net dollar delta; USD, WAD.
    linear : int
        Sum of the linear things' values; USD, WAD.
    options : sequence of Option
    greatest_move : int
        Greatest move of the scenarios in the grid, X64.
    scenario_loss : int
        As in `Exposure`.
    """
    at = moves(deviation) * (len(Y_PPM) if options else 1)
    strikes, error = _strikes(options, deviation, max(greatest_move, *at))
    slack = 3 * error + (abs(delta) >> DELTA_BITS) + EXTRA_SLACK
    if deviation == 0:
        return Exposure(underlying, 0, delta, slack, scenario_loss, (0, 0, 0), (), ())
    slope = linear - sum(option.notional for option in options if option.is_put)
    long = [strike for strike in strikes if strike.notional > 0]
    pnl, slopes = [], []
    for j, move in enumerate(at):
        change = sum(notional * row.changes[j] for notional, row in strikes)
        pnl.append((slope * (move - ONE) + change) // ONE)
        rise = sum(notional * (row.deltas[j] >> 16) for notional, row in long) >> 48
        slopes.append(0 if move == LEAST_MOVE else rise + max(0, slope))
    return Exposure(
        underlying,
        deviation,
        delta,
        slack,
        scenario_loss,
        vol_errors(strikes),
        tuple(pnl),
        tuple(slopes),
    )


def vol_errors(strikes: Sequence[_Strike]) -> tuple[int, ...]:
    """Most that options lose between two classes beyond the chord; USD, WAD, per unit of move."""
    errors = [0] * (len(Y_PPM) - 1)
    for notional, row in strikes:
        steps = [to_steps(s) for s in row.deviations[:: len(Z_PPM)]]
        for v, (s, t) in enumerate(pairwise(steps)):
            bend = _bend(min(s, t), max(s, t), is_long=notional > 0)
            errors[v] += divide_up(abs(notional) * bend, ONE)
    return tuple(errors)


def _bend(low: int, high: int, *, is_long: bool) -> int:
    """Most by which a call is off its chord between two deviations in steps; X64."""
    if low == high:
        return 0
    width = (high - low) * ONE // STEPS_PER_UNIT + 1
    if is_long:
        curvature = divide_up(293_600 * STEPS_PER_UNIT, low) + 242_000
    else:
        curvature = divide_up(99_800 * high, STEPS_PER_UNIT)
    chord = divide_up(divide_up(width * width, ONE) * curvature, 8 * PPM)
    return min(chord, width // 10 + 1)


def _strikes(
    options: Sequence[Option], deviation: int, greatest_move: int
) -> tuple[list[_Strike], int]:
    """Strikes with their net notionals, and the error bound of all."""
    grid = scenarios.grid(NODES, deviation)
    rows, nets, notionals = {}, defaultdict(int), 0
    for option in options:
        key = option.expiry, option.strike
        rows[key] = scenarios.option_row(option.slice_, grid, option.strike)
        nets[key] += option.notional
        notionals += error_notional(option.notional, greatest_move, rows[key].strike_ratio)
    strikes = [_Strike(nets[key], row) for key, row in rows.items()]
    return strikes, error_bound(notionals, len(options))
