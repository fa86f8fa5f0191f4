"""The record of the crash day that its chapter is made of."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import numpy as np

from reference_model.types import MarginMode
from scripts.demonstration.crash_day.alternatives import CloseOut
from scripts.demonstration.crash_day.audit import Check

STATUSES = (
    "healthy",
    "margin call",
    "below maintenance",
    "for sale",
    "recovering",
    "insolvent",
)
HEALTHY, MARGIN_CALL, BELOW_MAINTENANCE, FOR_SALE, RECOVERING, INSOLVENT = STATUSES


@dataclass
class Sums:
    """What has happened up to a moment, USD but for the counts.

    Attributes
    ----------
    volume
        Dollar deltas of what was sold.
    discounts
        What slices of solvent accounts were worth above their price.
    bonuses
        The same of insolvent ones: what bidders received above the deficit they took over.
    """

    auctions: int = 0
    slices: int = 0
    volume: float = 0.0
    discounts: float = 0.0
    bonuses: float = 0.0
    rewards: float = 0.0
    from_fees: float = 0.0
    from_fund: float = 0.0
    socialised: float = 0.0


class Moment(NamedTuple):
    """The state of everything after the keepers have acted.

    Attributes
    ----------
    time
        As it was in 2025.
    prices
        Index prices, USD.
    counts
        Accounts of the owners in each of `STATUSES`.
    sums
        Since the day began.
    """

    time: datetime
    prices: dict[str, float]
    counts: dict[str, int]
    sums: Sums


@dataclass
class Tally:
    """What one keeper has done."""

    slices: int = 0
    rewards: float = 0.0
    gained: float = 0.0


class KeeperRow(NamedTuple):
    """A keeper's day, USD.

    Attributes
    ----------
    slices, rewards
        Slices bought, and what starting auctions brought.
    gained
        Fair value, at the time, of what was bought, over what was paid.
    before, after
        Equity.
    """

    name: str
    slices: int
    rewards: float
    gained: float
    before: float
    after: float


@dataclass
class Day:
    """Everything that happened.

    Attributes
    ----------
    kinds, modes
        Of every account.
    touched
        Rows of the accounts that were put up for sale.
    naive
        The same day where all is sold at once.
    unattended
        Worst health of each account if nobody had done anything; the same with the shipped margin.
    imagined_times
        Of the naive venue's steps.
    keepers
        What each did and made.
    refused
        Transactions of keepers that the chain refused, although it had not when they were tried.
    protocol_capital, insurance
        What could be drawn on, USD.
    checks
        Whether the books balance.
    blocks, seconds
        First and last block; how long it took.
    """

    seed: int
    kinds: list[str]
    modes: list[MarginMode]
    moments: list[Moment] = field(default_factory=list)
    touched: set[int] = field(default_factory=set)
    naive: CloseOut | None = None
    imagined_times: list[datetime] = field(default_factory=list)
    unattended: dict[str, np.ndarray] = field(default_factory=dict)
    keepers: list[KeeperRow] = field(default_factory=list)
    refused: int = 0
    protocol_capital: float = 0.0
    insurance: float = 0.0
    checks: list[Check] = field(default_factory=list)
    blocks: tuple[int, int] = (0, 0)
    seconds: float = 0.0

    def fall(self, name: str) -> float:
        """Return how far a price fell below its first, %."""
        prices = [moment.prices[name] for moment in self.moments]
        return 100 * (1 - min(prices) / prices[0])

    @property
    def predictive(self) -> set[int]:
        """Rows of the accounts in predictive mode."""
        return {row for row, mode in enumerate(self.modes) if mode is MarginMode.PREDICTIVE}

    @property
    def failures(self) -> list[Check]:
        """What does not hold."""
        return [check for check in self.checks if not check.holds]

    @property
    def sums(self) -> Sums:
        """What happened in all."""
        return self.moments[-1].sums
