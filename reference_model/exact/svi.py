"""Volatility surface by SVI slices, bit for bit as on chain.

A packed slice is one word: a (int64, X56) in bits 0-63, b (uint64, X56) in 64-127, ρ (int32, X30)
in 128-159, m (int48, X40) in 160-207, σ (uint48, X40) in 208-255.

Source: specification, Mathematics (SVI).
"""

from math import isqrt
from typing import NamedTuple

from reference_model.exact.errors import ButterflyArbitrage, CalendarArbitrage, InvalidSlice

MAX_LOG_X64 = 128 * 2**64
CHECK_POINTS = 49


class Slice(NamedTuple):
    """Parameters in their own scales: a, b X56, ρ X30, m, σ X40."""

    a: int
    b: int
    rho: int
    m: int
    sigma: int


_FRACTION_BITS = Slice(56, 56, 30, 40, 40)
_BITS = Slice(64, 64, 32, 48, 48)
_SIGNED = Slice(True, False, True, True, False)


def total_variance(svi: int, k_x64: int) -> int:
    """``w(k) = a + b·(ρ·(k − m) + √((k − m)² + σ²))``.

    Parameters
    ----------
    svi : int
        Packed slice.
    k_x64 : int
        ln(K/F), signed, X64; counts as ±`MAX_LOG_X64` beyond.

    Returns
    -------
    int
        X64, Down: below ``w(k)`` by less than ``(b + 1)·2^-64``; 0 if ``w(k)`` is negative.
    """
    a, b, rho, m, sigma = unpack(svi)
    k_x64 = max(-MAX_LOG_X64, min(k_x64, MAX_LOG_X64))
    x = k_x64 - (m << 24)
    sigma <<= 24
    root = isqrt(x * x + sigma * sigma)
    wings = rho * x + (root << 30)
    return max(0, (a << 8) + (b * wings >> 86))


def total_deviation(svi: int, k_x64: int) -> int:
    """``s = √w(k)``: implied volatility times the root of time; X64, Down."""
    return isqrt(total_variance(svi, k_x64) << 64)


def require_butterfly_free(svi: int) -> None:
    """Refuse a slice that is invalid or whose density is negative at a check point.

    Raises
    ------
    InvalidSlice, ButterflyArbitrage
    """
    a, b, rho, _, sigma = unpack(svi)
    if abs(rho) >= 2**30 or sigma == 0:
        raise InvalidSlice(svi)
    least = a + (b * sigma * isqrt(2**60 - rho * rho) >> 70)
    if least <= 0 or b * (2**30 + abs(rho)) > 2**87:
        raise InvalidSlice(svi)
    for i in range(CHECK_POINTS):
        k = check_point(svi, i)
        g = density_x64(svi, k)
        if g < 0:
            raise ButterflyArbitrage(svi, k, g)


def require_calendar_free(near: int, far: int) -> None:
    """Refuse two expiries if total variance, or its slope in a wing, falls from near to far.

    Raises
    ------
    CalendarArbitrage
    """
    for svi in (near, far):
        for i in range(CHECK_POINTS):
            k = check_point(svi, i)
            if total_variance(far, k) < total_variance(near, k):
                raise CalendarArbitrage(near, far, k)
    n, f = unpack(near), unpack(far)
    for side in (-1, 1):
        if f.b * (2**30 + side * f.rho) < n.b * (2**30 + side * n.rho):
            raise CalendarArbitrage(near, far, side * MAX_LOG_X64)


def check_point(svi: int, i: int) -> int:
    """Return the i-th log-moneyness the checks look at, ``m + σ·t``; X64, Down.

    t = 0, 1/8, -1/8, … doubling every third step, up to 25.
    """
    *_, m, sigma = unpack(svi)
    if i == 0:
        return m << 24
    step = (i - 1) // 2
    octave, third = divmod(step, 3)
    offset = sigma * ((65536, 82570, 104032)[third] << octave + 45) >> 40
    return (m << 24) + (offset if i % 2 else -offset)


def density_x64(svi: int, k_x64: int) -> int:
    """Durrleman's function of a slice with ``w(k) > 0``; X64.

    Formula: ``g = (1 − k·w'/2w)² − w'²/4·(1/w + 1/4) + w''/2``.
    """
    _, b, rho, m, sigma = unpack(svi)
    w = total_variance(svi, k_x64)
    x = k_x64 - (m << 24)
    sigma <<= 24
    root = isqrt(x * x + sigma * sigma)
    first = b * ((rho << 34) + (x << 64) // root) >> 56
    ratio = (sigma << 64) // root
    second = (b << 8) * (ratio * ratio >> 64) // root
    skew = 2**64 - k_x64 * first // (2 * w)
    square = first * first >> 66
    return (skew * skew >> 64) - (square << 64) // w - (square >> 2) + (second >> 1)


def unpack(svi: int) -> Slice:
    """Return the five parameters in their own scales."""
    fields = []
    for bits, signed in zip(_BITS, _SIGNED, strict=True):
        field = svi % 2**bits
        fields.append(field - 2**bits if signed and field >> bits - 1 else field)
        svi >>= bits
    return Slice(*fields)


def pack(a: float, b: float, rho: float, m: float, sigma: float) -> int:
    """Pack five numbers, each rounded to nearest.

    Raises
    ------
    ValueError
        A parameter does not fit its field.
    """
    word = shift = 0
    layout = zip((a, b, rho, m, sigma), _FRACTION_BITS, _BITS, _SIGNED, strict=True)
    for value, fraction_bits, bits, signed in layout:
        field = round(value * 2**fraction_bits)
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if signed else (0, 2**bits)
        if not low <= field < high:
            raise ValueError(f"{value} does not fit {bits} bits, {fraction_bits} of them fraction")
        word |= field % 2**bits << shift
        shift += bits
    return word
