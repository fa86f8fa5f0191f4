"""Packed positions and what a trade does to them.

A slot is an unsigned 256-bit integer with the instrument's leading bits at the top.

Source: specification, section 3.
"""

from typing import NamedTuple

from reference_model.exact import instrument as instruments
from reference_model.exact.errors import PositionOverflow
from reference_model.exact.fixed_point import mul_to_zero

SIZE_LIMIT = 2**95
QUOTE_LIMIT = 2**111

_OPTION_HEAD = (2**128 - 1) << 128
_LINEAR_HEAD = (2**48 - 1) << 208


class Trade(NamedTuple):
    """Outcome of `apply_trade`: the slot after it, 0 if nothing is left, and the cash it moves."""

    slot: int
    cash_change: int


def is_option(slot: int) -> bool:
    """Whether the slot holds an option."""
    return slot >> 208 & 0xFF != 0


def instrument(slot: int) -> int:
    """Instrument the slot holds."""
    return (slot & (_OPTION_HEAD if is_option(slot) else _LINEAR_HEAD)) >> 128


def size(slot: int) -> int:
    """Signed size, units of the underlying, WAD."""
    return _signed(slot, 128) if is_option(slot) else _signed(slot >> 112, 96)


def quote(slot: int) -> int:
    """Signed quote, USD, WAD; 0 for an option."""
    return 0 if is_option(slot) else _signed(slot, 112)


def pack(instrument_: int, size_: int, quote_: int = 0) -> int:
    """Pack a position.

    Parameters
    ----------
    instrument_ : int
        Canonical instrument id.
    size_ : int
        Units, WAD, signed.
    quote_ : int
        USD, WAD, signed; ignored for an option.

    Raises
    ------
    PositionOverflow
        Unless abs(size) < 2^95 and abs(quote) < 2^111, judged in this order.
    """
    if abs(size_) >= SIZE_LIMIT:
        raise PositionOverflow(instrument_, size_)
    if instruments.is_option(instrument_):
        return instrument_ << 128 | size_ % 2**128
    if abs(quote_) >= QUOTE_LIMIT:
        raise PositionOverflow(instrument_, quote_)
    return instrument_ << 128 | size_ % 2**96 << 112 | quote_ % 2**112


def is_empty(slot: int) -> bool:
    """Whether neither size nor quote is left."""
    return size(slot) == 0 and quote(slot) == 0


def place(held: list[int], instrument_: int) -> int | None:
    """Where an instrument is held; None if it is not."""
    return next((i for i, slot in enumerate(held) if instrument(slot) == instrument_), None)


def replace(held: list[int], place_: int | None, slot: int) -> None:
    """Write a slot: append a new one, move the last one into the hole of an empty one.

    `place_` is None for an instrument not held; `slot` is 0 if nothing is left.
    """
    if place_ is None:
        held.extend([slot] if slot else [])
    elif slot:
        held[place_] = slot
    else:
        held[place_] = held[-1]
        held.pop()


def remove_empty(held: list[int]) -> None:
    """Remove the slots in which nothing is left, from the last to the first."""
    for place_ in reversed(range(len(held))):
        if is_empty(held[place_]):
            replace(held, place_, 0)


def signed_amount(size_: int, price: int) -> int:
    """``size·price`` towards zero, USD, WAD, so that two parties' amounts are exactly opposite."""
    return mul_to_zero(size_, price)


def apply_trade(instrument_: int, slot: int, size_: int, price: int) -> Trade:
    """Position after buying `size_` at `price`.

    Parameters
    ----------
    instrument_ : int
        What is traded.
    slot : int
        Its slot before; 0 for a new position.
    size_ : int
        Units, WAD; positive buys.
    price : int
        USD, WAD; of a perpetual less its funding index, so possibly negative.

    Returns
    -------
    Trade
        The cash change is minus the premium of an option, 0 for linear instruments.

    Raises
    ------
    PositionOverflow
        If the result does not fit its slot.
    """
    amount = signed_amount(size_, price)
    if instruments.is_option(instrument_):
        return Trade(_packed(instrument_, size(slot) + size_, 0), -amount)
    return Trade(_packed(instrument_, size(slot) + size_, quote(slot) - amount), 0)


def _packed(instrument_: int, size_: int, quote_: int) -> int:
    slot = pack(instrument_, size_, quote_)
    return 0 if size_ == 0 and quote_ == 0 else slot


def _signed(word: int, bits: int) -> int:
    low = word & (2**bits - 1)
    return low - (low >> bits - 1 << bits)
