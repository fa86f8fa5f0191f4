"""Scan ranges that follow volatility, fast up and slow down, between bounds.

Ranges and rates are WAD, rates per hour, times seconds of active time.

Source: specification, Market data, section 8.
"""

from typing import NamedTuple

from reference_model.exact.fixed_point import clamp, divide_up, mul_up
from reference_model.exact.transcendental import exp_x64
from reference_model.types import WAD

ONE_X64 = 2**64
HOUR_SECONDS = 3_600
MAX_STEP_SECONDS = 864_000
MAX_EXPONENT_X64 = 40 * ONE_X64
MAX_TARGET = 2**63


class Movement(NamedTuple):
    """Where a range was, where it goes, and since when; all 0 before the first move."""

    range: int = 0
    target: int = 0
    moved_at: int = 0


class Ranges(NamedTuple):
    """Range of the scenarios, and the one the initial requirement looks ahead to."""

    current: int
    initial: int


def moved(start: int, target: int, elapsed_seconds: int, rise_rate: int, fall_rate: int) -> int:
    """Range after some active time on its way.

    Parameters
    ----------
    start, target : int
    elapsed_seconds : int
        Below zero counts as 0, and at most `MAX_STEP_SECONDS` count.
    rise_rate, fall_rate : int
        Greatest change of the logarithm per hour up and down.

    Returns
    -------
    int
        Down on the way up, Up on the way down.
    """
    rate = rise_rate if target > start else fall_rate
    elapsed = clamp(elapsed_seconds, 0, MAX_STEP_SECONDS)
    exponent_x64 = min(rate * elapsed * ONE_X64 // (WAD * HOUR_SECONDS), MAX_EXPONENT_X64)
    if target > start:
        return min(target, start * exp_x64(exponent_x64) // ONE_X64)
    return max(target, divide_up(start * exp_x64(-exponent_x64), ONE_X64))


def ranges(
    movement: Movement, low: int, high: int, now_active: int, rise_rate: int, fall_rate: int
) -> Ranges:
    """Both ranges at an active time, within the bounds [low, high]; `low` before the first move."""
    if movement == Movement():
        return Ranges(low, low)
    elapsed = now_active - movement.moved_at
    at = moved(movement.range, movement.target, elapsed, rise_rate, fall_rate)
    current = clamp(at, low, high)
    return Ranges(current, max(current, clamp(movement.target, low, high)))


def aim(multiplier: int, deviation: int) -> int:
    """Range to go to: `multiplier` standard deviations of a day."""
    return min(mul_up(multiplier, deviation), MAX_TARGET)
