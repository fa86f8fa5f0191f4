"""Trading fees.

Source: specification, section 6.
"""

from reference_model.exact import instrument as instruments
from reference_model.exact.fixed_point import mul_up
from reference_model.types import WAD

LEAST_PREMIUM = WAD // 2_000


def on_fill(
    instrument: int, size: int, index: int, fee_rate: int, premium: int, option_fee_cap: int
) -> int:
    """Fee on a fill, USD, WAD, Up: of an option, with the signed `premium`, or linear."""
    if not instruments.is_option(instrument):
        return fee(size, index, fee_rate)
    return option_fee(size, index, fee_rate, abs(premium), option_fee_cap)


def fee(size: int, index: int, fee_rate: int) -> int:
    """Fee on a linear instrument, USD, WAD, Up: ``mulUp(mulUp(size, index), feeRate)``.

    `size` is that of the fill, units, WAD, at least 0.
    """
    return mul_up(mul_up(size, index), fee_rate)


def option_fee(size: int, index: int, fee_rate: int, premium: int, option_fee_cap: int) -> int:
    """Fee on an option, at most `option_fee_cap` of the absolute `premium`; USD, WAD, Up.

    The premium counts as 0.05 % of the notional at least, so that no open interest is for nothing.
    """
    least = mul_up(mul_up(size, index), LEAST_PREMIUM)
    return min(fee(size, index, fee_rate), mul_up(max(premium, least), option_fee_cap))
