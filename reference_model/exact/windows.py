"""Leaky buckets that bound what is sold by force in one market.

Source: specification, Liquidation, section 5.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from reference_model.exact import instrument as instruments
from reference_model.exact import position as slots
from reference_model.exact.fixed_point import div_down, mul_up
from reference_model.types import WAD, Window


class Level(NamedTuple):
    """Units counted in a window at an active time, seconds; as stored."""

    level: int = 0
    updated_at: int = 0


def volumes(
    positions: Iterable[int], balances: Iterable[tuple[int, int]], now: int
) -> dict[int, int]:
    """Volume of a portfolio in each underlying: its larger delta at the ends of the price axis.

    Parameters
    ----------
    positions : iterable of int
        Slots; those past their expiry do not count.
    balances : iterable of (int, int)
        Underlying followed, and balance in whole tokens, WAD.
    now : int
        Seconds.

    Returns
    -------
    dict
        Units, WAD, above zero, by underlying, ascending.
    """
    linear, calls, puts = defaultdict(int), defaultdict(int), defaultdict(int)
    for underlying, balance in balances:
        linear[underlying] += balance
    for slot in positions:
        instrument = slots.instrument(slot)
        if not 0 < instruments.expiry(instrument) <= now:
            _side(instrument, linear, calls, puts)[instrument >> 120] += slots.size(slot)
    at_ends = {
        u: max(abs(linear[u] + calls[u]), abs(linear[u] - puts[u]))
        for u in sorted({*linear, *calls, *puts})
    }
    return {u: volume for u, volume in at_ends.items() if volume}


def _side(instrument: int, linear: dict, calls: dict, puts: dict) -> dict:
    """Sum that an instrument's size belongs to."""
    if not instruments.is_option(instrument):
        return linear
    return puts if instruments.is_put(instrument) else calls


def level_at(stored: Level, window: Window, active_time: int) -> int:
    """Units counted at present: what was, at most the capacity now, less what has leaked."""
    if window.capacity == 0:
        return stored.level
    seconds = max(0, active_time - stored.updated_at)
    level = min(stored.level, window.capacity)
    return max(0, level - window.capacity * seconds // window.period_seconds)


def fraction(volume: int, level: int, capacity: int) -> int:
    """Largest slice of a volume above zero that a window lets through, WAD, Down."""
    return min(WAD, div_down(max(0, capacity - level), volume))


def filled(level: int, volume: int, fraction_: int, capacity: int) -> int:
    """Level after a slice, Up; at most the capacity, so that it is empty after one period."""
    return min(capacity, level + mul_up(volume, fraction_))
