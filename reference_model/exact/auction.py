"""Auction of a portfolio: its clock, its price, and how much of it is for sale.

Source: specification, Liquidation, sections 2 and 3.
"""

from reference_model.exact.fixed_point import div_up, mul_down, mul_up
from reference_model.types import (
    WAD,
    AccountStatus,
    Assessment,
    AuctionParameters,
    Health,
)


def status(health: int, in_auction: bool) -> AccountStatus:
    """Status of an account of this health."""
    if not in_auction or health == Health.INSOLVENT:
        return AccountStatus(health)
    if health == Health.LIQUIDATABLE:
        return AccountStatus.IN_AUCTION
    return AccountStatus.RECOVERING


def is_liquidatable(assessment: Assessment) -> bool:
    """Whether equity is below maintenance margin."""
    return assessment.equity < assessment.maintenance_margin


def has_ended(elapsed_seconds: int, p: AuctionParameters) -> bool:
    """Whether an auction has run its whole length."""
    return elapsed_seconds >= p.fast_seconds + p.slow_seconds


def may_end(assessment: Assessment, elapsed_seconds: int, p: AuctionParameters) -> bool:
    """Whether an auction may end without a bid: restored with a buffer, or sound and run out."""
    if assessment.initial_equity >= buffered(assessment, p):
        return True
    return not is_liquidatable(assessment) and has_ended(elapsed_seconds, p)


def buffered(assessment: Assessment, p: AuctionParameters) -> int:
    """Initial equity that a restored account has, USD, WAD, Up: ``(1 + buffer)·IM``."""
    return mul_up(WAD + p.buffer, assessment.initial_margin)


def reward(assessment: Assessment, p: AuctionParameters) -> int:
    """What starting the auction earns, USD, WAD, Down: a share of MM, of equity at most."""
    share = mul_down(p.reward_rate, assessment.maintenance_margin)
    return min(p.reward_cap, share, max(0, assessment.equity))


def elapsed(started_at: int, active_time: int) -> int:
    """Seconds of active time since an auction started; the clock may have been set back."""
    return max(0, active_time - started_at)


def discount(elapsed_seconds: int, p: AuctionParameters) -> int:
    """Share of maintenance margin given away, WAD, Down: fast to the cusp, then slowly to all."""
    if elapsed_seconds < p.fast_seconds:
        rise = p.cusp_discount - p.opening_discount
        return p.opening_discount + rise * elapsed_seconds // p.fast_seconds
    slow = elapsed_seconds - p.fast_seconds
    if slow < p.slow_seconds:
        return p.cusp_discount + (WAD - p.cusp_discount) * slow // p.slow_seconds
    return WAD


def price(assessment: Assessment, discount_: int, p: AuctionParameters) -> int:
    """Price of the whole portfolio at a discount, USD, WAD; negative is paid to the bidder."""
    equity, margin = assessment.equity, assessment.maintenance_margin
    if equity >= 0:
        return max(0, equity - mul_up(discount_, margin))
    return -mul_down(discount_, -equity + mul_down(p.insolvency_bonus, margin))


def most_wanted(assessment: Assessment, p: AuctionParameters) -> int:
    """Deficit and whole bonus of an insolvent account, USD, WAD: what its sale can cost."""
    return -assessment.equity + mul_down(p.insolvency_bonus, assessment.maintenance_margin)


def restoring_fraction(assessment: Assessment, price_: int, p: AuctionParameters) -> int:
    """Least slice, WAD, Up, whose sale leaves ``E_IM ≥ (1 + buffer)·IM``, without dust.

    Parameters
    ----------
    assessment : Assessment
        Of an account below maintenance margin.
    price_ : int
        Of the whole portfolio, USD, WAD, signed.
    p : AuctionParameters
    """
    if price_ <= 0:
        return WAD
    needed = buffered(assessment, p) - assessment.initial_equity
    restore = min(WAD, div_up(needed, needed + price_))
    return WAD if leaves_dust(assessment, restore, p) else restore


def leaves_dust(assessment: Assessment, fraction: int, p: AuctionParameters) -> bool:
    """Whether too little would be left of the requirement after a slice."""
    return mul_down(WAD - fraction, assessment.maintenance_margin) < p.dust_margin


def sold_fraction(
    wanted: int, restore: int, largest: int, assessment: Assessment, p: AuctionParameters
) -> int:
    """Slice that a bid for `wanted` gets, WAD: at most the largest, all if that leaves dust."""
    fraction = min(wanted, largest)
    if restore == largest == WAD and leaves_dust(assessment, fraction, p):
        return WAD
    return fraction
