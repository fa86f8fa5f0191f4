"""Funding of perpetuals.

Source: specification, section 5.
"""

from reference_model.exact.fixed_point import clamp, div_to_zero
from reference_model.types import DAY, WAD

INTERVAL_SECONDS = 28_800
MAX_SECONDS = DAY


def premium(mark: int, index: int, funding_cap: int) -> int:
    """Rate that longs pay per eight hours, WAD, signed: ``(mark − index) / index``, clamped.

    Rounded towards zero. `mark` and `index` are USD, WAD, above zero.
    """
    return clamp(div_to_zero(mark - index, index), -funding_cap, funding_cap)


def due(
    funding_at: int, active_time: int, now: int, timestamp: int, max_age_seconds: int
) -> tuple[int, int]:
    """Time for which funding is due, at most a day, and how far its clock gets by it; seconds.

    Time for which no price is known stays due.

    Parameters
    ----------
    funding_at : int
        Active time up to which funding has accrued, seconds.
    active_time : int
        Seconds; less than `funding_at` if an outage was learned of late.
    now, timestamp : int
        Present time, and that of the spot price, 0 if it must not be relied on; seconds.
    max_age_seconds : int
        Age up to which the price counts as known: ``marginMaxAge``.
    """
    unknown = max(0, now - (timestamp + max_age_seconds))
    until = max(funding_at, active_time - unknown)
    return min(until - funding_at, MAX_SECONDS), until


def accrue(
    funding_index: int, mark: int, index: int, funding_cap: int, elapsed_seconds: int
) -> int:
    """Funding index after some time, USD per unit, WAD, signed, rounded Down.

    Formula: ``fundingIndex + ⌊index·premium·dt / (1e18·28,800)⌋``.
    """
    rate = premium(mark, index, funding_cap)
    return funding_index + index * rate * elapsed_seconds // (WAD * INTERVAL_SECONDS)
