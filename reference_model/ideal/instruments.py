"""Instruments and positions: what the packed words hold, and arrays of decoded instruments.

Source: specification, section 3.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np

E8 = 10**8
WAD = 10**18


class Kind(IntEnum):
    """Kind of an instrument."""

    PERPETUAL = 0
    FUTURE = 1
    CALL = 2
    PUT = 3


class Instruments(NamedTuple):
    """Decoded instruments, one per row.

    Attributes
    ----------
    underlying : ndarray of int64, shape (instruments,)
        Underlying id.
    expiry : ndarray of int64
        Unix seconds; 0 for a perpetual.
    kind : ndarray of int64
        A `Kind`.
    strike : ndarray of float64
        USD; 1 unless an option, so that logarithms exist.
    """

    underlying: np.ndarray
    expiry: np.ndarray
    kind: np.ndarray
    strike: np.ndarray

    @property
    def is_option(self):
        return self.kind >= Kind.CALL

    @property
    def is_put(self):
        return self.kind == Kind.PUT


def decode_instrument(word):
    """Underlying, expiry, kind and strike (USD) of one packed 128-bit instrument."""
    underlying, expiry = word >> 120, word >> 88 & 0xFFFFFFFF
    is_option, is_put = word >> 80 & 0xFF, word >> 8 & 0xFF
    if is_option:
        return underlying, expiry, Kind.PUT if is_put else Kind.CALL, (word >> 16 & 2**64 - 1) / E8
    return underlying, expiry, Kind.FUTURE if expiry else Kind.PERPETUAL, 1.0


def decode(words):
    """`Instruments` from packed 128-bit integers."""
    rows = [decode_instrument(word) for word in words]
    underlying, expiry, kind, strike = zip(*rows, strict=True) if rows else ((), (), (), ())
    as_int = [np.array(column, np.int64) for column in (underlying, expiry, kind)]
    return Instruments(*as_int, np.array(strike, np.float64))


def decode_position(slot):
    """Instrument word, size and quote (units and USD, float) of one packed position slot."""
    if slot >> 208 & 0xFF:
        return slot >> 128, _signed(slot, 128) / WAD, 0.0
    instrument = slot >> 208 << 80
    return instrument, _signed(slot >> 112, 96) / WAD, _signed(slot, 112) / WAD


def _signed(word, bits):
    """Two's complement value of the low `bits` of a word."""
    word &= (1 << bits) - 1
    return word - (1 << bits) if word >> bits - 1 else word
