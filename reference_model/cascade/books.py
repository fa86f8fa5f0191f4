"""Accounts of a cascade: what they hold, what it is worth, what it must be backed with.

The requirement is that of the ideal layer on the things held here: in each of two underlyings a
linear exposure (spot collateral after its haircut, perpetuals) and one put. With one risk group,
no charges beside the scan and a flat smile it is the ideal layer's to the last digit, and costs a
hundredth of it, which a simulation of thousands of accounts over hundreds of steps needs. Prices
start at 1, so that a size is a notional; money is in daily volumes of the first underlying.

Axes: u underlyings, i instruments (linear, put), p accounts, j scenarios.

Source: specification, sections 8 to 10.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from reference_model.ideal import black76, scenarios
from reference_model.ideal.market import Globals, Scenarios

UNDERLYINGS = 2
LINEAR, PUT = 0, 1
DAY_SECONDS = 86_400
YEAR_SECONDS = 365 * DAY_SECONDS
THIRDS = np.arange(-3, 4) / 3
TAILS = ((-4, 0.25), (-2, 0.5), (2, 0.5), (4, 0.25))


@dataclass(frozen=True)
class Terms:
    """What margin asks for; the values of scripts/deploy.yaml for BTC and ETH."""

    maintenance_factor: float = 0.8
    initial_factor: float = 1.0
    decorrelation: float = 0.3
    scan_range: tuple[float, float] = (0.16, 0.20)
    vol_range: float = 0.5
    vol_floor: float = 0.1
    volatility: tuple[float, float] = (0.6, 0.8)
    strike: float = 0.9
    tau_seconds: int = 30 * DAY_SECONDS


class Books(NamedTuple):
    """Accounts: `cash` (p,) in money, `sizes` (u, i, p) in units, signed."""

    cash: np.ndarray
    sizes: np.ndarray

    def select(self, rows):
        """Return some of the accounts."""
        return Books(self.cash[rows], self.sizes[:, :, rows])


class Assessment(NamedTuple):
    """Equity, requirements (p,) and delta (u, p), all in money, signed."""

    equity: np.ndarray
    maintenance_margin: np.ndarray
    initial_margin: np.ndarray
    delta: np.ndarray


def grid():
    """Scenarios of scripts/deploy.yaml: the grid of SPAN and weighted tails."""
    return Scenarios(
        np.concatenate([THIRDS, [x for x, _ in TAILS], THIRDS]),
        np.concatenate([np.ones(7 + len(TAILS)), -np.ones(7)]),
        np.concatenate([np.ones(7), [weight for _, weight in TAILS], np.ones(7)]),
    )


class Margin:
    """Values and margins books at any prices and scan ranges.

    Parameters
    ----------
    terms : Terms
    """

    def __init__(self, terms):
        self.terms = terms
        self.scenarios = grid()
        tau = terms.tau_seconds
        parameters = Globals(
            terms.maintenance_factor, terms.initial_factor, 0.30, 0.13, DAY_SECONDS, 1.0, 0.0
        )
        multiplier = scenarios.vol_multiplier(
            self.scenarios.vol_move, terms.vol_range, tau, parameters
        )
        deviation = np.array(terms.volatility) * np.sqrt(tau / YEAR_SECONDS)
        shocked = scenarios.shocked_deviation(deviation, multiplier[:, None], terms.vol_floor, tau)
        self.deviations = np.vstack([deviation, shocked])

    def assess(self, books, prices, scan_range):
        """Value and margin accounts.

        Parameters
        ----------
        books : Books
        prices, scan_range : ndarray of float64, shape (u,)

        Returns
        -------
        Assessment
        """
        values, deltas, pnl = self.instruments(prices, scan_range)
        equity = books.cash + np.tensordot(values, books.sizes, 2)
        delta = (deltas[:, None, :] @ books.sizes)[:, 0]
        loss = np.matmul(-pnl, books.sizes)
        gross = np.maximum(loss.max(axis=1), 0).sum(axis=0)
        comove = np.maximum(loss.sum(axis=0).max(axis=0), 0)
        risk = comove + self.terms.decorrelation * (gross - comove)
        maintenance, initial = self.terms.maintenance_factor, self.terms.initial_factor
        return Assessment(equity, maintenance * risk, initial * risk, delta)

    def instruments(self, prices, scan_range):
        """Per unit: value (u, i), delta (u, i) and weighted profit and loss (u, j, i), money."""
        moves = np.maximum(1 + self.scenarios.price_move[:, None] * scan_range, scenarios.MIN_MOVE)
        after = np.vstack([prices, prices * moves])
        put = black76.value(after, self.terms.strike, self.deviations, True)
        put_delta = black76.call_delta(np.log(prices / self.terms.strike), self.deviations[0]) - 1
        pnl = np.stack([prices * (moves - 1), put[1:] - put[0]], axis=2)
        weighted = self.scenarios.weight[:, None, None] * pnl
        values, deltas = np.array([prices, put[0]]).T, np.array([prices, prices * put_delta]).T
        return values, deltas, weighted.transpose(1, 0, 2)


# Population --------------------------------------------------------------------------------------


class Kind(NamedTuple):
    """A way to trade: share of the accounts, and ranges of what it holds per unit of notional.

    `own` and `other` are linear exposures in the underlying traded and in the other one, `puts`
    the puts held.
    """

    share: float
    own: tuple[float, float]
    other: tuple[float, float] = (0.0, 0.0)
    puts: tuple[float, float] = (0.0, 0.0)


KINDS = {
    "long": Kind(0.40, (1, 1)),  # perpetual on stablecoins, or coins bought on credit
    "long on its own coin": Kind(0.15, (1.2, 1.6)),  # wrong-way collateral of 20 to 60 %
    "short": Kind(0.18, (-1, -1)),
    "coin against perpetual": Kind(0.12, (-0.1, 0.2)),
    "long with puts": Kind(0.07, (1, 1), puts=(0.5, 1)),
    "one against the other": Kind(0.08, (1, 1), other=(-1.1, -0.7)),
}


@dataclass(frozen=True)
class Crowd:
    """Who is in the market.

    Attributes
    ----------
    accounts
        Number of accounts.
    open_interest
        Long exposure of all directional accounts in an underlying, daily volumes.
    least, excess
        Equity over initial margin: at least `least` (not all are healthy; and above maintenance in
        any case), plus an exponential draw with the mean `excess`.
    dispersion
        Standard deviation of the logarithm of sizes.
    least_equity
        Equity over gross exposure of a hedged book, at least.
    patience_seconds
        Mean time for which an owner below initial margin waits before topping up.
    """

    accounts: int = 2_000
    open_interest: float = 0.5
    least: float = 0.81
    excess: float = 1.6
    dispersion: float = 1.2
    least_equity: float = 0.05
    patience_seconds: float = 6 * 3600


def draw(rng, crowd, margin):
    """Draw accounts, every one of them above maintenance.

    Parameters
    ----------
    rng : numpy.random.Generator
    crowd : Crowd
    margin : Margin

    Returns
    -------
    Books
    """
    count = crowd.accounts
    kinds = list(KINDS.values())
    kind = rng.choice(len(kinds), count, p=[each.share for each in kinds])
    home = rng.choice(UNDERLYINGS, count, p=(0.55, 0.45))
    notional = rng.lognormal(0, crowd.dispersion, count)
    own, other, puts = (
        rng.uniform(*np.array([getattr(each, name) for each in kinds])[kind].T)
        for name in ("own", "other", "puts")
    )
    sizes = np.zeros((UNDERLYINGS, 2, count))
    rows = np.arange(count)
    sizes[home, LINEAR, rows] = own * notional
    sizes[1 - home, LINEAR, rows] = other * notional
    sizes[home, PUT, rows] = puts * notional
    longs = np.where(own >= 1, own * notional, 0)
    scale = crowd.open_interest / np.bincount(home, longs, UNDERLYINGS)[home]
    books = Books(np.zeros(count), sizes * scale)
    start = np.ones(UNDERLYINGS), np.array(margin.terms.scan_range)
    empty = margin.assess(books, *start)
    least = np.maximum(crowd.least * empty.initial_margin, 1.01 * empty.maintenance_margin)
    wanted = least + empty.initial_margin * rng.exponential(crowd.excess, count)
    equity = np.maximum(wanted, crowd.least_equity * notional * scale)
    return books._replace(cash=equity - empty.equity)
