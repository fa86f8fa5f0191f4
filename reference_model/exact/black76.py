"""Black-76 on the total deviation, bit for bit as on chain.

``d1 = ln(F/K)/s + s/2``, ``d2 = d1 − s``; a call is worth ``D·(F·Φ(d1) − K·Φ(d2))`` and a put
``D·(F − K)`` less.

Source: specification, Mathematics (Black-76).
"""

from reference_model.exact.fixed_point import clamp, mul_down
from reference_model.exact.normal import CENTRE, STEPS_PER_UNIT, cdf_at
from reference_model.exact.transcendental import ln_ratio_x64

MAX_DEVIATION = 16 * 2**64

_SLOPE_NUMERATOR = STEPS_PER_UNIT**2 * 2**20


def to_steps(deviation_x64: int) -> int:
    """Total deviation in steps of the table, Down, at least one."""
    return max(1, deviation_x64 * STEPS_PER_UNIT >> 64)


def line(ln_ratio_x64: int, s: int) -> tuple[int, int]:
    """Place of d1 in the table as a line in the logarithm of the price.

    Parameters
    ----------
    ln_ratio_x64 : int
        ``ln(F/K)``, signed, X64.
    s : int
        Total deviation, steps.

    Returns
    -------
    tuple of int
        Slope and centre: ``place = centre + ⌊slope · logarithm / 2^84⌋``.
    """
    slope = _SLOPE_NUMERATOR // s
    return slope, (ln_ratio_x64 * slope >> 84) + (s >> 1) + CENTRE


def unit_call(
    strike_ratio_x64: int,
    ln_ratio_x64: int,
    deviation_x64: int,
    move_x64: int = 2**64,
    ln_move_x64: int = 0,
) -> tuple[int, int]:
    """Value of a call per unit of ``D·F``, and ``Φ(d1)``.

    Parameters
    ----------
    strike_ratio_x64, ln_ratio_x64 : int
        ``K/F``, Down, and ``ln(F/K)``; X64.
    deviation_x64 : int
        Total deviation, at most `MAX_DEVIATION`; X64.
    move_x64, ln_move_x64 : int
        Factor m by which the forward has moved since, and its logarithm; X64.

    Returns
    -------
    tuple of int
        ``m·Φ(d1) − K/F·Φ(d2)``, X64, Down, within its error of the exact value and so possibly
        just below zero; and Φ(d1), X64.
    """
    s = to_steps(deviation_x64)
    slope, centre = line(ln_ratio_x64, s)
    place = centre + (ln_move_x64 * slope >> 84)
    y1, y2 = cdf_at(place), cdf_at(place - s)
    return (move_x64 * y1 - strike_ratio_x64 * y2) >> 48, y1 << 16


def call(forward: int, strike: int, deviation_x64: int, discount: int) -> int:
    """Value of a call, USD, WAD, Down, in ``[D·max(F − K, 0), D·F]``.

    Parameters
    ----------
    forward, strike : int
        USD, WAD, above zero.
    deviation_x64 : int
        Total deviation, at most `MAX_DEVIATION`; X64.
    discount : int
        D, WAD.
    """
    return mul_down(_undiscounted(forward, strike, deviation_x64), discount)


def put(forward: int, strike: int, deviation_x64: int, discount: int) -> int:
    """Value of a put by parity, USD, WAD, Down, in ``[D·max(K − F, 0), D·K]``; as `call`."""
    return mul_down(_undiscounted(forward, strike, deviation_x64) + strike - forward, discount)


def _undiscounted(forward: int, strike: int, deviation_x64: int) -> int:
    intrinsic = max(forward - strike, 0)
    if deviation_x64 == 0:
        return intrinsic
    ratio = (strike << 64) // forward
    call_x64, _ = unit_call(ratio, ln_ratio_x64(forward, strike), deviation_x64)
    return clamp(call_x64 * forward >> 64, intrinsic, forward)
