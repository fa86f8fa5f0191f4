"""Slices of a volatility surface: their decay with time, and how far a new one may be from it.

Forward ratios and discount factors are WAD, times seconds of the epoch.

Source: specification, Market data, section 5.
"""

from typing import NamedTuple

from reference_model.exact import svi as slices
from reference_model.exact.errors import ForwardMoveTooLarge, VolMoveTooLarge
from reference_model.exact.fixed_point import mul_down, mul_up

ONE_X64 = 2**64
MAX_FORWARD = 2**96 - 1
_A_BITS = 64
_AB_BITS = 128


class PostedSlice(NamedTuple):
    """One expiry; `svi` is packed and as of `timestamp`, and was posted at `posted_at`."""

    forward_ratio: int
    discount: int
    svi: int
    timestamp: int
    posted_at: int


class SurfaceParameters(NamedTuple):
    """How far and how fast a surface may move."""

    max_vol_move: int
    max_forward_move: int
    min_interval_seconds: int


def decayed(svi: int, posted_at: int, expiry: int, now: int) -> int:
    """Slice with the total variance that is left now, ``posted_at ≤ now < expiry``; packed."""
    theta_x64 = (expiry - now) * ONE_X64 // (expiry - posted_at)
    a, b, *_ = slices.unpack(svi)
    a, b = a * theta_x64 >> 64, b * theta_x64 >> 64
    return svi >> _AB_BITS << _AB_BITS | b << _A_BITS | a % 2**_A_BITS


def forward(index: int, forward_ratio: int) -> int:
    """Forward price at an index; USD WAD, within (0, 2^96)."""
    return max(1, min(mul_down(index, forward_ratio), MAX_FORWARD))


def require_bounded_change(
    underlying: int,
    expiry: int,
    old: PostedSlice,
    new: PostedSlice,
    now: int,
    parameters: SurfaceParameters,
) -> None:
    """Refuse a slice too far from the one known before, both decayed to now.

    Raises
    ------
    VolMoveTooLarge, ForwardMoveTooLarge
    """
    old_svi, new_svi = (decayed(each.svi, each.timestamp, expiry, now) for each in (old, new))
    at_the_money = slices.total_deviation(old_svi, 0)
    for k in (0, -at_the_money, at_the_money, -2 * at_the_money, 2 * at_the_money):
        before, after = slices.total_deviation(old_svi, k), slices.total_deviation(new_svi, k)
        if abs(after - before) > mul_up(parameters.max_vol_move, before):
            raise VolMoveTooLarge(underlying, expiry, k, before, after)
    if abs(new.forward_ratio - old.forward_ratio) > parameters.max_forward_move:
        raise ForwardMoveTooLarge(underlying, expiry, old.forward_ratio, new.forward_ratio)
