"""How an account below maintenance margin is unwound.

Source: specification, Liquidation, sections 3 and 5; docs/cascade.md.
"""

from dataclasses import dataclass, field

import numpy as np

LEVELS = np.linspace(0, 1.5, 301)


@dataclass(frozen=True)
class Discount:
    """Share δ of maintenance margin given away at an age of an auction: fast, then slowly."""

    opening: float = 0.05
    cusp: float = 0.3
    fast_seconds: float = 600
    slow_seconds: float = 7_200

    @property
    def whole_seconds(self):
        """Age at which it is widest."""
        return self.fast_seconds + self.slow_seconds

    def share(self, age_seconds):
        """δ at the age of each auction."""
        times = np.cumsum([0, self.fast_seconds, self.slow_seconds])
        return np.interp(age_seconds, times, [self.opening, self.cusp, 1])


@dataclass(frozen=True)
class Window:
    """Forced volume per market: a bucket of `capacity` daily volumes that empties in a period.

    It does not hold up accounts with equity below the share `urgent` of maintenance margin, whose
    sales fill it all the same, but not beyond its capacity.
    """

    capacity: float = 0.04
    period_seconds: float = 1_800
    urgent: float = 0.5


@dataclass(frozen=True)
class Follow:
    """How scan ranges follow realised volatility.

    Attributes
    ----------
    rise_rate
        Logarithm per hour by which they may rise; infinite: they jump.
    decay_seconds, sample_seconds
        Memory of the volatility, and time between two of its returns.
    most_deviations
        A return counts up to so many standard deviations.
    """

    rise_rate: float = 0.25
    decay_seconds: float = 86_400
    sample_seconds: int = 900
    most_deviations: float = np.inf


@dataclass(frozen=True)
class Policy:
    """What is done with an account below maintenance.

    Attributes
    ----------
    auctions
        Slices are auctioned to bidders; else they are sold at market.
    partial
        A sale restores initial margin plus `buffer` if that is possible; else it is of everything.
    insolvency_bonus
        Of an insolvent account bidders get the deficit and this share of maintenance margin, times
        the discount.
    clock_waits
        The discount of an auction does not widen while a window is full; not as specified.
    dust
        What would be left with less maintenance margin is sold too, in daily volumes.
    follow
        How scan ranges move; None: they stand still.
    """

    auctions: bool = True
    partial: bool = True
    buffer: float = 0.1
    discount: Discount = field(default_factory=Discount)
    window: Window | None = field(default_factory=Window)
    insolvency_bonus: float = 0.5
    clock_waits: bool = False
    dust: float = 1e-7
    follow: Follow | None = None


def bidders_gain(assessment, share, policy):
    """What a bidder gets for taking a whole account at a discount, money, signed; (p,).

    ``min(δ·MM, E)`` of a solvent one, which is never sold below nothing; of an insolvent one a
    fund pays ``δ·(−E + bonus·MM)``, and the bidder takes over E.
    """
    equity, maintenance = assessment.equity, assessment.maintenance_margin
    paid = share * (policy.insolvency_bonus * maintenance - equity)
    return np.where(equity < 0, paid + equity, np.minimum(share * maintenance, equity))


def largest_slice(assessment, share, policy):
    """Smallest fraction whose sale restores initial margin plus the buffer, else 1.

    ``f = N / (N + E − δ·MM)`` with ``N = (1 + b)·IM − E``: what is left, ``E − f·δ·MM``, is then
    ``(1 + b)·(1 − f)·IM``.
    """
    equity, maintenance = assessment.equity, assessment.maintenance_margin
    if not policy.partial:
        return np.ones(len(equity))
    needed = (1 + policy.buffer) * assessment.initial_margin - equity
    left = equity - share * maintenance
    restorable = (left > 0) & (needed > 0)
    fraction = np.where(restorable, needed / np.where(restorable, needed + left, 1), 1.0)
    return np.where((1 - fraction) * maintenance < policy.dust, 1.0, fraction)


class Bucket:
    """Leaky buckets of a window, one for each underlying."""

    def __init__(self, window, underlyings):
        self.capacity = window.capacity if window else np.inf
        self.rate = window.capacity / window.period_seconds if window else np.inf
        self.level = np.zeros(underlyings)

    def leak(self, seconds):
        """Empty with time."""
        self.level = np.maximum(self.level - self.rate * seconds, 0)

    def admit(self, volumes, is_urgent):
        """Fraction of each volume (u, p) there is room for, first come, first served; (p,)."""
        room = (self.capacity - self.level)[:, None] - (volumes.cumsum(axis=1) - volumes)
        some = volumes > 0
        fits = np.where(some, room / np.where(some, volumes, 1), 1.0)
        return np.where(is_urgent, 1.0, np.clip(fits.min(axis=0), 0, 1))

    @property
    def full(self):
        """Mask of the underlyings with no room left, within a hundredth."""
        return self.level > 0.99 * self.capacity

    def fill(self, volumes):
        """Take volumes (u,) in."""
        self.level = np.minimum(self.level + volumes, self.capacity)


@dataclass(frozen=True)
class Bidding:
    """Who buys at auctions.

    Attributes
    ----------
    bidders
        Number of them; their least discounts are spread lognormally around `least`, by `spread`.
    capital
        Inventory they can hold, over the maintenance margin of all accounts.
    slope
        What inventory up to the limit adds to a bidder's least discount.
    hedged_at_once
        Share of a slice that is hedged in the market as it is bought.
    hedging_seconds
        Time constant in which the rest is.
    """

    bidders: int = 20
    least: float = 0.05
    spread: float = 0.8
    capital: float = 0.1
    slope: float = 0.4
    hedged_at_once: float = 0.5
    hedging_seconds: float = 4 * 3600


class Bidders:
    """Their common inventory, allotted to whoever takes it at the least discount.

    Inventory is counted in the maintenance margin it carries. Losses on what is not hedged yet
    reduce how much of it bidders can hold. What they cannot hold they buy only to sell it at once,
    where the discount pays for that.
    """

    def __init__(self, rng, bidding, capital, underlyings):
        self.bidding, self.capital = bidding, capital
        least = bidding.least * rng.lognormal(0, bidding.spread, bidding.bidders)
        capacity = rng.dirichlet(np.full(bidding.bidders, 2.0)) * capital
        held = np.clip((LEVELS[:, None] - least) / bidding.slope, 0, 1)
        self.supply = held @ capacity
        self.inventory = 0.0
        self.units = np.zeros(underlyings)
        self.profit = 0.0

    def admit(self, offered, margins):
        """Fraction of each slice that is bought, in descending order of the share offered; (p,)."""
        added = (1 - self.bidding.hedged_at_once) * margins
        lost = np.clip(1 + self.profit / self.capital, 0, 1)
        willing = np.interp(offered, LEVELS, self.supply) * lost
        room = willing - self.inventory - (np.cumsum(added) - added)
        return np.where(added > 0, np.clip(room / np.where(added > 0, added, 1), 0, 1), 1.0)

    def resell(self, gains, costs, margins):
        """Fraction of each slice that pays when all of it is sold in the market at once; (p,).

        A fraction f of it moves the price by at most √f of what all of it would, so a slice that
        costs c times what it brings pays for the fraction 1/c².
        """
        least = self.bidding.least * margins
        return np.clip((gains - least) / np.maximum(costs, 1e-15), 0, 1) ** 2

    def buy(self, units, margin):
        """Take slices on; returns the units (u,) to sell in the market at once as a hedge."""
        hedged = self.bidding.hedged_at_once
        self.units = self.units + (1 - hedged) * units
        self.inventory += (1 - hedged) * margin
        return hedged * units

    def unwind(self, seconds):
        """Go on hedging; returns the units (u,) to sell in the market."""
        share = 1 - np.exp(-seconds / self.bidding.hedging_seconds)
        sold = share * self.units
        self.units = self.units - sold
        self.inventory *= 1 - share
        return sold
