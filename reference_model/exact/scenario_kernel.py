"""Scenarios of price and volatility, bit for bit as the kernel on chain.

The kernel's sums are exact; who holds the positions forms them. Here is what one option adds, and
the error bound.

Source: specification, Mathematics (Scenario kernel).
"""

from collections.abc import Sequence
from typing import NamedTuple

from reference_model.exact.black76 import MAX_DEVIATION
from reference_model.exact.black76 import unit_call as call_x64

__all__ = [
    "KERNEL_ERROR",
    "LOSS_UNIT",
    "MAX_DEVIATION",
    "ROUNDING_ERROR",
    "Place",
    "call_x64",
    "error_bound",
    "error_notional",
    "runs",
    "worst_places",
]

KERNEL_ERROR = 500_000
ROUNDING_ERROR = 32
LOSS_UNIT = 10**6 * 2**64


class Place(NamedTuple):
    """What of a scenario makes a run: its move (X64), weight (Ppm) and vol class."""

    move_x64: int
    weight_ppm: int
    vol_class: int


def runs(scenarios: Sequence[Place]) -> list[range]:
    """Cut scenarios into runs: adjacent ones of one vol class and weight, moves not falling."""

    def goes_on(before: Place, after: Place) -> bool:
        return (
            before.vol_class == after.vol_class
            and before.weight_ppm == after.weight_ppm
            and before.move_x64 <= after.move_x64
        )

    count = len(scenarios)
    starts = [j for j in range(count) if j == 0 or not goes_on(scenarios[j - 1], scenarios[j])]
    return [range(a, b) for a, b in zip(starts, [*starts[1:], count], strict=True)]


def worst_places(scenario_runs: Sequence[range], loses_from_rise: bool) -> list[int]:
    """Return where an option is at its worst within each run: the last scenario, or the first."""
    return [run[-1] if loses_from_rise else run[0] for run in scenario_runs]


def error_notional(notional: int, max_move_x64: int, strike_ratio_x64: int) -> int:
    """``(|N| + 1)·(M + K/F)``, ``M = max(1, greatest move)``; 2^-64 wei."""
    return (abs(notional) + 1) * (max(2**64, max_move_x64) + strike_ratio_x64)


def error_bound(notionals: int, options: int) -> int:
    """Bound on the error of any scenario's profit and loss and of all values; USD, WAD, Up.

    Parameters
    ----------
    notionals : int
        Sum of `error_notional` of all options.
    options : int
        Their number; none of them, no error.
    """
    if options == 0:
        return 0
    return -(-notionals // 2**64) * KERNEL_ERROR // 10**18 + 1 + ROUNDING_ERROR * options
