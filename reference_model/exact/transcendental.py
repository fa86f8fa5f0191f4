"""Logarithm and exponential in binary fixed point, step for step as on chain.

``>>`` floors, which is the EVM's arithmetic shift.

Source: specification, Mathematics (Logarithm, Exponential).
"""

from math import factorial

from reference_model.exact.errors import ExponentTooLarge, LogarithmOfZero

GREATEST_EXPONENT_X64 = 64 * 2**64

_LEAST_EXPONENT_X64 = -45 * 2**64
_HALF_LN2_X96 = 27458388733853736675570735564
_LN2_X96 = 54916777467707473351141471128
_SQRT2_X96 = 112045541949572279837463876455
_INVERSE_LN2_X64 = 26613026195688644983
_ATANH_X96 = [2**96 // (2 * k + 1) for k in reversed(range(12))]
_EXP_X96 = [2**96 // factorial(k) for k in reversed(range(16))]


def ln_x64(x_x64: int) -> int:
    """Natural logarithm.

    Parameters
    ----------
    x_x64 : int
        Argument, above zero, below 2^256; X64.

    Returns
    -------
    int
        X64; off by less than 1.12 · 2^-64.

    Raises
    ------
    LogarithmOfZero
    """
    if x_x64 == 0:
        raise LogarithmOfZero
    return _ln(x_x64, 64)


def ln_ratio_x64(a: int, b: int) -> int:
    """Natural logarithm of ``a / b``, a ratio below 2^-128 counting as 2^-128; X64.

    Raises
    ------
    LogarithmOfZero
        Either is zero.
    """
    if a == 0 or b == 0:
        raise LogarithmOfZero
    return _ln(max(1, (a << 128) // b), 128)


def exp_x64(x_x64: int) -> int:
    """Exponential.

    Parameters
    ----------
    x_x64 : int
        Argument, signed, X64, at most `GREATEST_EXPONENT_X64`.

    Returns
    -------
    int
        X64, Down; below ``e^x`` by less than ``2^-66 · e^x + 2^-64``.

    Raises
    ------
    ExponentTooLarge
    """
    if x_x64 > GREATEST_EXPONENT_X64:
        raise ExponentTooLarge(x_x64)
    if x_x64 < _LEAST_EXPONENT_X64:
        return 0
    k = (x_x64 * _INVERSE_LN2_X64 + 2**127) >> 128
    r = (x_x64 << 32) - k * _LN2_X96
    return (_horner(_EXP_X96, r) << 64) >> (96 - k)


def _ln(x: int, fraction_bits: int) -> int:
    """``ln(x / 2^fraction_bits)``, X64.

    Formula: ``x = 2^n·y``, y in [1, 2); ``(2n + 1 − 2·fraction_bits)·ln 2 / 2 + 2·atanh(z)``,
    ``z = (y − √2) / (y + √2)``.
    """
    n = x.bit_length() - 1
    y = (x << 255 - n) >> 159
    numerator = (y - _SQRT2_X96) << 96
    z = abs(numerator) // (y + _SQRT2_X96) * (1 if numerator >= 0 else -1)
    atanh = z * _horner(_ATANH_X96, z * z >> 96) >> 95
    return ((2 * n + 1 - 2 * fraction_bits) * _HALF_LN2_X96 + atanh) >> 32


def _horner(coefficients_x96: list[int], x_x96: int) -> int:
    """Value of a polynomial, highest power first, each product floored; X96."""
    total = coefficients_x96[0]
    for coefficient in coefficients_x96[1:]:
        total = coefficient + (x_x96 * total >> 96)
    return total
