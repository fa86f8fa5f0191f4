"""Value of a call after a move of price and volatility, bit for bit as the kernel on chain.

Source: specification, Mathematics (Scenario kernel).
"""

from reference_model.exact.normal import CENTRE, STEPS_PER_UNIT, cdf_at

KERNEL_ERROR = 510_000
ROUNDING_ERROR = 32
LOSS_UNIT = 10**6 * 2**64
MAX_DEVIATION = 16 * 2**64

_INVERSE_NUMERATOR = STEPS_PER_UNIT**2 * 2**20


def to_steps(deviation_x64: int) -> int:
    """Total deviation in steps of the table, Down, at least one."""
    return max(1, deviation_x64 * STEPS_PER_UNIT >> 64)


def call_x64(
    strike_ratio_x64: int,
    ln_ratio_x64: int,
    deviation_x64: int,
    move_x64: int = 2**64,
    ln_move_x64: int = 0,
) -> tuple[int, int]:
    """Value of a call per unit of ``D·F``, and ``Φ(d1)``.

    Parameters
    ----------
    strike_ratio_x64 : int
        ``K/F``, Down; X64.
    ln_ratio_x64 : int
        ``ln(F/K)``, signed, X64.
    deviation_x64 : int
        Total deviation after the move, at most `MAX_DEVIATION`; X64.
    move_x64, ln_move_x64 : int
        Shocked forward over ``F`` and its logarithm; X64.

    Returns
    -------
    tuple of int
        ``m·Φ(d1) − K/F·Φ(d2)``, X64, Down, within the kernel's error of the exact value and so
        possibly just below zero; and Φ(d1), X64.
    """
    s = to_steps(deviation_x64)
    inverse = _INVERSE_NUMERATOR // s
    centre = (ln_ratio_x64 * inverse >> 84) + (s >> 1) + CENTRE
    step = centre + (ln_move_x64 * inverse >> 84)
    y1, y2 = cdf_at(step), cdf_at(step - s)
    return (move_x64 * y1 - strike_ratio_x64 * y2) >> 48, y1 << 16


def error_bound(notionals: int, options: int) -> int:
    """Bound on the error of any scenario's profit and loss, USD, WAD, Up.

    Parameters
    ----------
    notionals : int
        Sum of `error_notional` of all options.
    options : int
        Their number.
    """
    bound = -(-notionals // 2**64) * KERNEL_ERROR // 10**18 + 1
    return bound + ROUNDING_ERROR * options


def error_notional(notional: int, max_move_x64: int, strike_ratio_x64: int) -> int:
    """``(abs(N) + 1)·(M + K/F)``, ``M = max(1, greatest move)``; 2^-64 wei."""
    return (abs(notional) + 1) * (max(2**64, max_move_x64) + strike_ratio_x64)
