"""Funding of perpetuals.

Source: specification, section 5.
"""

from reference_model.exact.fixed_point import clamp, div_to_zero
from reference_model.types import WAD

INTERVAL_SECONDS = 28_800


def premium(mark: int, index: int, funding_cap: int) -> int:
    """Rate that longs pay per eight hours, WAD, signed: ``(mark − index) / index``, clamped.

    Rounded towards zero. `mark` and `index` are USD, WAD, above zero.
    """
    return clamp(div_to_zero(mark - index, index), -funding_cap, funding_cap)


def elapsed_seconds(funding_at: int, now: int, timestamp: int, max_age_seconds: int) -> int:
    """Time for which funding is due since `funding_at`: no longer than the price is known.

    Parameters
    ----------
    funding_at : int
        Time of the last accrual, seconds; 0 if there was none.
    now, timestamp : int
        Present time, and that of the spot price; seconds.
    max_age_seconds : int
        Age up to which the price counts as known: ``marginMaxAge``.
    """
    known_until = min(now, timestamp + max_age_seconds)
    return max(0, known_until - (funding_at or now))


def accrue(
    funding_index: int, mark: int, index: int, funding_cap: int, elapsed_seconds: int
) -> int:
    """Funding index after some time, USD per unit, WAD, signed, rounded Down.

    Formula: ``fundingIndex + ⌊index·premium·dt / (1e18·28,800)⌋``.
    """
    rate = premium(mark, index, funding_cap)
    return funding_index + index * rate * elapsed_seconds // (WAD * INTERVAL_SECONDS)
