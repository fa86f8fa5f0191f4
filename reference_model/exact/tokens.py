"""Tokens, and cash between raw units and WAD.

Source: specification, sections 1 and 12.
"""

from typing import NamedTuple

from reference_model.exact import fixed_point
from reference_model.exact.errors import UnsupportedDecimals

MAX_DECIMALS = 24
MOST_RAW = 2**192


class Token(NamedTuple):
    """A token: its address as an integer and its decimals, 0 to 24."""

    address: int
    decimals: int


def require_supported(token: Token) -> None:
    """Refuse a token with too many decimals.

    Raises
    ------
    UnsupportedDecimals
        Above 24.
    """
    if token.decimals > MAX_DECIMALS:
        raise UnsupportedDecimals(*token)


def cash_down(amount_raw: int, token: Token) -> int:
    """Cash credited for tokens, WAD, Down; more than any field holds counts as `MOST_RAW`."""
    return fixed_point.to_wad_down(min(amount_raw, MOST_RAW), token.decimals)


def cash_up(amount_raw: int, token: Token) -> int:
    """Cash debited for tokens, WAD, Up; more than any field holds counts as `MOST_RAW`."""
    return fixed_point.to_wad_up(min(amount_raw, MOST_RAW), token.decimals)
