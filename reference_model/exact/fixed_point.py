"""Fixed-point arithmetic in which every rounding has a name.

``down`` is towards minus infinity (Python's ``//``), ``up`` towards plus infinity, ``to_zero``
truncates, for negative operands too. Amounts are WAD. Arguments may have either sign where the
contract has the function for both. Python's integers have no end: a product that would leave 256
bits, a ``Panic(0x11)`` on chain, is for the caller to exclude.

Source: specification, Mathematics (Fixed point).
"""

from math import isqrt

from reference_model.types import WAD

_DECIMALS = 18


def mul_down(a: int, b: int) -> int:
    """``⌊a·b / 1e18⌋``."""
    return a * b // WAD


def mul_up(a: int, b: int) -> int:
    """``⌈a·b / 1e18⌉``."""
    return -(-a * b // WAD)


def div_down(a: int, b: int) -> int:
    """``⌊a·1e18 / b⌋``."""
    return a * WAD // b


def div_up(a: int, b: int) -> int:
    """``⌈a·1e18 / b⌉``."""
    return -(-a * WAD // b)


def divide_up(a: int, b: int) -> int:
    """``⌈a / b⌉`` of plain integers."""
    return -(-a // b)


def mul_div_up(a: int, b: int, denominator: int) -> int:
    """``⌈a·b / denominator⌉``."""
    return -(-a * b // denominator)


def mul_div_down(a: int, b: int, denominator: int) -> int:
    """``⌊a·b / denominator⌋``, denominator above zero."""
    return a * b // denominator


def floor_div(a: int, b: int) -> int:
    """``⌊a / b⌋`` of plain integers, b above zero."""
    return a // b


def mul_to_zero(a: int, b: int) -> int:
    """``a·b / 1e18``, truncated."""
    return _truncated(a * b, WAD)


def div_to_zero(a: int, b: int) -> int:
    """``a·1e18 / b``, truncated."""
    return _truncated(a * WAD, b)


def sqrt(x: int) -> int:
    """``⌊√x⌋`` of a plain integer."""
    return isqrt(x)


def sqrt_up(x: int) -> int:
    """``⌈√x⌉`` of a plain integer."""
    root = isqrt(x)
    return root + (root * root < x)


def clamp(a: int, low: int, high: int) -> int:
    """Value of [low, high] nearest to ``a``."""
    return max(low, min(a, high))


def to_wad_down(amount_raw: int, decimals: int) -> int:
    """Token amount as WAD, Down; decimals at most 36."""
    return amount_raw * 10**_DECIMALS // 10**decimals


def to_wad_up(amount_raw: int, decimals: int) -> int:
    """Token amount as WAD, Up; decimals at most 24."""
    return -(-amount_raw * 10**_DECIMALS // 10**decimals)


def to_raw_down(amount: int, decimals: int) -> int:
    """WAD as token amount, Down; decimals at most 24."""
    return amount * 10**decimals // 10**_DECIMALS


def to_raw_up(amount: int, decimals: int) -> int:
    """WAD as token amount, Up; decimals at most 24."""
    return -(-amount * 10**decimals // 10**_DECIMALS)


def _truncated(a: int, b: int) -> int:
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient
