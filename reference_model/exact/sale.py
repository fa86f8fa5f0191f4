"""A slice of a portfolio, from one account to another.

Source: specification, Liquidation, section 4.
"""

from collections import Counter
from typing import NamedTuple

from reference_model.exact import instrument as instruments
from reference_model.exact import position as slots
from reference_model.types import WAD


class Transfer(NamedTuple):
    """Positions of both sides after a slice has passed, and what netted out, in units.

    Attributes
    ----------
    kept, received : tuple of int
        Slots of the account sold and of the bidder.
    netted : dict
        By how much open interest falls, by underlying.
    """

    kept: tuple[int, ...]
    received: tuple[int, ...]
    netted: dict[int, int]


def part(x: int, fraction: int) -> int:
    """Part of a signed amount that goes with a slice, towards zero."""
    whole = abs(x) * fraction // WAD
    return whole if x >= 0 else -whole


def transfer(sold: tuple[int, ...], bidder: tuple[int, ...], fraction: int) -> Transfer:
    """Pass a slice of every position, in slot order.

    Parameters
    ----------
    sold, bidder : tuple of int
        Slots of the account sold and of the bidder.
    fraction : int
        WAD.

    Raises
    ------
    PositionOverflow
        If a slot of the bidder cannot hold what it would receive.
    """
    kept, received = list(sold), list(bidder)
    netted: Counter[int] = Counter()
    for place, slot in enumerate(sold):
        instrument = slots.instrument(slot)
        size, quote = part(slots.size(slot), fraction), part(slots.quote(slot), fraction)
        kept[place] = slots.pack(instrument, slots.size(slot) - size, slots.quote(slot) - quote)
        before = _merge(received, instrument, size, quote)
        netted[instruments.underlying(instrument)] += abs(size) + abs(before) - abs(before + size)
    slots.remove_empty(kept)
    slots.remove_empty(received)
    return Transfer(tuple(kept), tuple(received), dict(netted))


def _merge(held: list[int], instrument: int, size: int, quote: int) -> int:
    """Add to the slot of an instrument, or append one; return the size before."""
    place = slots.place(held, instrument)
    if place is None:
        held.append(slots.pack(instrument, size, quote))
        return 0
    before = slots.size(held[place])
    held[place] = slots.pack(instrument, before + size, slots.quote(held[place]) + quote)
    return before
