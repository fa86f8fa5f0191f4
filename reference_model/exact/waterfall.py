"""Who pays what an insolvent account lacks.

Source: specification, Liquidation, section 6.
"""

from typing import NamedTuple

from reference_model.exact.fixed_point import mul_down
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
    """What all owners of cash pay, USD, and the supply index after it; WAD."""

    amount: int
    supply_index: int


def share_taken(share: int, seconds: int, max_share: int) -> int:
    """Share of all cash that still counts as taken after some time, WAD: none after a week."""
    return max(0, share - max_share * seconds // WEEK)


def socialise(rest: int, base: int, supply_index: int, max_share: int) -> Socialisation:
    """Take a loss from all cash in proportion.

    Parameters
    ----------
    rest : int
        Loss, USD, WAD.
    base : int
        What all cash is owed, USD, WAD, signed.
    supply_index : int
        WAD.
    max_share : int
        Greatest share of `base` that may be taken, WAD.
    """
    if base <= 0 or supply_index < LEAST_INDEX:
        return Socialisation(0, supply_index)
    amount = min(rest, mul_down(max_share, base))
    return Socialisation(amount, supply_index * (base - amount) // base)
