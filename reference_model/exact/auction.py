"""Auction of a portfolio: its clock, its price, and how much of it is for sale.

Source: specification, Liquidation, sections 2 and 3.
"""

from typing import NamedTuple

from reference_model.exact.fixed_point import div_up, mul_down, mul_up
from reference_model.types import (
    WAD,
    AccountStatus,
    Assessment,
    AuctionParameters,
    Health,
)

# More than the rounding of sizes can cost a copy, where an index is above its interval: 64 times
# 1e-18 units at prices below 2^96 and 2^11 USD of requirement for each USD of delta.
COPY_SLACK = 2**56


class Clock(NamedTuple):
    """Clock of an auction as stored, active times in seconds.

    Attributes
    ----------
    started_at : int
        0 if there is no auction.
    paused_at : int
        0 while it runs; it stands while the account is recovering.
    insolvency_seen : bool
        Whether it has been started again because the account is insolvent.
    """

    started_at: int = 0
    paused_at: int = 0
    insolvency_seen: bool = False


def started(assessment: Assessment, active_time: int) -> Clock:
    """Clock of an auction that starts now."""
    return Clock(active_time, 0, assessment.equity < 0)


def recorded(clock: Clock, assessment: Assessment, active_time: int) -> Clock:
    """Clock of an auction after the account was seen like this."""
    if is_liquidatable(assessment) and clock.paused_at:
        stood = max(0, active_time - clock.paused_at)
        clock = clock._replace(started_at=clock.started_at + stood, paused_at=0)
    if assessment.equity < 0 and not clock.insolvency_seen:
        clock = clock._replace(started_at=active_time, insolvency_seen=True)
    if not is_liquidatable(assessment) and not clock.paused_at:
        clock = clock._replace(paused_at=active_time)
    return clock


def elapsed(clock: Clock, active_time: int) -> int:
    """Seconds that an auction has run; the clock of active time may have been set back."""
    return max(0, (clock.paused_at or active_time) - clock.started_at)


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


def is_late(elapsed_seconds: int, p: AuctionParameters) -> bool:
    """Whether deleveraging has had its time, too, and socialisation may come instead."""
    return elapsed_seconds >= p.fast_seconds + 2 * p.slow_seconds


def has_lapsed(assessment: Assessment, elapsed_seconds: int, p: AuctionParameters) -> bool:
    """Whether nobody wanted a solvent account in all that time; it may be started again."""
    return assessment.equity >= 0 and has_ended(elapsed_seconds, p)


def may_end(assessment: Assessment, age_seconds: int, p: AuctionParameters) -> bool:
    """Whether an auction may end without a bid: restored with a buffer, or sound for long.

    Its age counts the time for which it was paused, too.
    """
    if assessment.initial_equity >= buffered(assessment, p):
        return True
    return not is_liquidatable(assessment) and has_ended(age_seconds, p)


def buffered(assessment: Assessment, p: AuctionParameters) -> int:
    """Initial equity that a restored account has, USD, WAD, Up: ``(1 + buffer)·IM``."""
    return mul_up(WAD + p.buffer, assessment.initial_margin)


def reward(assessment: Assessment, p: AuctionParameters) -> int:
    """What starting the auction earns, USD, WAD, Down: a share of MM, while there is enough."""
    if is_deep(assessment):
        return 0
    return min(p.reward_cap, mul_down(p.reward_rate, assessment.maintenance_margin))


def is_deep(assessment: Assessment) -> bool:
    """Whether less than half of maintenance margin is left; then windows do not bind."""
    return 2 * assessment.equity < assessment.maintenance_margin


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
        At or above maintenance margin nothing is for sale.
    price_ : int
        Of the whole portfolio, USD, WAD, signed.
    p : AuctionParameters
    """
    if not is_liquidatable(assessment):
        return 0
    if price_ <= 0:
        return WAD
    needed = buffered(assessment, p) - assessment.initial_equity
    restore = min(WAD, div_up(needed, needed + price_))
    return WAD if leaves_dust(assessment, restore, p) else restore


def largest_fraction(assessment: Assessment, restore: int, window: int) -> int:
    """Largest slice for sale, WAD: windows may cost equity, never solvency."""
    return restore if is_deep(assessment) else min(restore, window)


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


def is_copy_healthy(assessment: Assessment, sold_cash: int, cash: int, fraction: int) -> bool:
    """Whether a bidder who had nothing but cash is healthy with a slice, as far as can be told.

    Parameters
    ----------
    assessment : Assessment
        Of the account sold, before; its requirement and profit scale with its positions.
    sold_cash, cash : int
        Of that account before, and of the bidder afterwards, USD, WAD.
    fraction : int
        Sold, WAD.
    """
    margin = mul_up(fraction, assessment.initial_margin)
    initial_equity = cash + mul_down(assessment.initial_equity - sold_cash, fraction)
    collateral_equity = cash + mul_down(assessment.collateral_equity - sold_cash, fraction)
    return initial_equity >= margin + (margin >> 20) + COPY_SLACK and collateral_equity >= 0
