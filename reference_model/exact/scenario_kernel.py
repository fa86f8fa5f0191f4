"""Scenarios of price and volatility, bit for bit as the kernel on chain.

The kernel's sums are exact; who holds the positions forms them. Here is what one option adds, and
the error bound.

Source: specification, Mathematics (Scenario kernel).
"""

from reference_model.exact.black76 import MAX_DEVIATION
from reference_model.exact.black76 import unit_call as call_x64

__all__ = [
    "KERNEL_ERROR",
    "LOSS_UNIT",
    "MAX_DEVIATION",
    "ROUNDING_ERROR",
    "call_x64",
    "error_bound",
    "error_notional",
]

KERNEL_ERROR = 500_000
ROUNDING_ERROR = 32
LOSS_UNIT = 10**6 * 2**64


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
