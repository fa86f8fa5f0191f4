"""Who pays what an insolvent account lacks.

Source: specification, Liquidation, section 6.
"""

from typing import NamedTuple

from reference_model.exact.fixed_point import div_up, mul_down
from reference_model.types import DAY

LEAST_INDEX = 10**12
WEEK = 7 * DAY


class Payment(NamedTuple):
    """What a claim was paid by protocol capital, insurance fund and all cash, USD, WAD."""

    from_fees: int = 0
    from_fund: int = 0
    socialised: int = 0

    @property
    def total(self) -> int:
        """What the bidder receives."""
        return sum(self)


class Socialised(NamedTuple):
    """Share of all cash taken of late, WAD, as of an active time, seconds."""

    share: int = 0
    updated_at: int = 0


class Socialisation(NamedTuple):
    """What all owners of cash pay, USD; the supply index and the share taken after it; WAD."""

    amount: int
    supply_index: int
    share: int


def share_taken(stored: Socialised, max_share: int, active_time: int) -> int:
    """Share of all cash that counts as taken at present, WAD: forgotten over a week."""
    seconds = max(0, active_time - stored.updated_at)
    return max(0, stored.share - max_share * seconds // WEEK)


def socialise(rest: int, base: int, supply_index: int, shares: tuple[int, int]) -> Socialisation:
    """Take a loss from all cash in proportion.

    Parameters
    ----------
    rest : int
        Loss, USD, WAD.
    base : int
        What all cash is owed, USD, WAD, signed.
    supply_index : int
        WAD.
    shares : (int, int)
        Share of `base` taken already, and the greatest that may be taken in all, WAD.
    """
    taken, most = shares
    if base <= 0 or supply_index < LEAST_INDEX:
        return Socialisation(0, supply_index, taken)
    amount = min(rest, mul_down(max(0, most - taken), base))
    index = supply_index * (base - amount) // base
    return Socialisation(amount, index, taken + div_up(amount, base))
