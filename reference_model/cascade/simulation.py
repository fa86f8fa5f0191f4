"""Play a path of prices against accounts, a policy and a market.

Source: docs/cascade.md.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from reference_model.cascade.books import (
    DAY_SECONDS,
    LINEAR,
    PUT,
    UNDERLYINGS,
    Assessment,
    Crowd,
    Margin,
    Terms,
    draw,
)
from reference_model.cascade.market import Liquidity, Market
from reference_model.cascade.policies import Bidders, Bidding, Bucket, bidders_gain, largest_slice
from reference_model.ideal import scan_range

STEP_SECONDS = 60
BETA = np.array([1.0, 1.25])
CORRELATION = 0.8
SCAN_MULTIPLIER = 4.0
GREATEST_SCAN_RANGE = 0.6
FALL_RATE = 0.005
TOP_UP = 1.1
TINY = 1e-12


@dataclass(frozen=True)
class World:
    """All but the policy and the path."""

    crowd: Crowd = field(default_factory=Crowd)
    terms: Terms = field(default_factory=Terms)
    liquidity: Liquidity = field(default_factory=Liquidity)
    bidding: Bidding = field(default_factory=Bidding)


class Outcome(NamedTuple):
    """What came of a run.

    Attributes
    ----------
    initial
        Exposure of the accounts that the path alone puts below maintenance, daily volumes.
    forced
        Exposure taken from accounts, at the prices of the start.
    overshoot
        Greatest fall of a price below the path, as a fraction, the worse underlying.
    displaced
        The same for good, at the end.
    bad_debt
        Value below zero of what was sold, over `initial`; what a fund pays beside it is in `fund`.
    fund
        All that an insurance fund pays, over `initial`.
    cost
        What owners lose against selling at the prices of the path, over `forced`.
    clear_seconds
        From the first liquidation until none is left; the horizon if some are.
    unsold
        Exposure still below maintenance at the end, over `initial`.
    bidders_profit
        Over the exposure they bought; 0 without auctions.
    """

    initial: float
    forced: float
    overshoot: float
    displaced: float
    bad_debt: float
    fund: float
    cost: float
    clear_seconds: float
    unsold: float
    bidders_profit: float


class Path(NamedTuple):
    """Prices without forced sales.

    Attributes
    ----------
    log_prices : ndarray of float64, shape (steps, underlyings)
        One a minute, 0 at first.
    quiet_from : int
        Step from which on a run may end as soon as nothing is in liquidation.
    """

    log_prices: np.ndarray
    quiet_from: int


def shock(size, seed, seconds=900, horizon_seconds=4 * 3600, volatility=(0.6, 0.8)):
    """Path of a fall of the first underlying by `size` within some minutes, with noise.

    Parameters
    ----------
    size : float
        Fraction, negative for a rise; the second underlying moves `BETA` times as far in log.
    seed : int
    seconds, horizon_seconds : int
    volatility : tuple of float
        Annual, of the noise.

    Returns
    -------
    Path
    """
    rng = np.random.default_rng([seed, 1])
    steps = horizon_seconds // STEP_SECONDS
    sigma = np.array(volatility) * np.sqrt(STEP_SECONDS / (365 * DAY_SECONDS))
    root = np.linalg.cholesky([[1, CORRELATION], [CORRELATION, 1]])
    noise = np.cumsum(rng.standard_normal((steps, UNDERLYINGS)) @ root.T * sigma, axis=0)
    passed = np.clip(np.arange(1, steps + 1) * STEP_SECONDS / seconds, 0, 1)
    moved = noise + passed[:, None] * np.log1p(-size) * BETA
    quiet_from = (seconds + 1_800) // STEP_SECONDS
    return Path(np.concatenate([np.zeros((1, UNDERLYINGS)), moved]), quiet_from)


def simulate(world, policy, path, seed, trace=None):
    """Play one path.

    Parameters
    ----------
    world : World
    policy : Policy
    path : Path
    seed : int
        Of accounts and bidders: the same ones for every policy.
    trace : list, optional
        Receives ``(seconds, prices, forced so far, accounts in liquidation)`` after every step.

    Returns
    -------
    Outcome
    """
    run = Simulation(world, policy, seed)
    initial = run.under_water(path.log_prices)
    for step, fundamental in enumerate(path.log_prices):
        busy = run.step(step * STEP_SECONDS, fundamental)
        if trace is not None:
            trace.append((run.now, run.prices, run.forced, int(run.in_liquidation.sum())))
        if step >= path.quiet_from and not busy:
            break
    return run.outcome(initial)


class Simulation:
    """State of one run; `step` is one minute.

    Attributes
    ----------
    started : ndarray of float64, shape (accounts,)
        When the liquidation of an account began, seconds; infinite if there is none.
    delayed : ndarray of float64, shape (accounts,)
        Seconds by which the clock of its auction stands back.
    seen_insolvent : ndarray of bool, shape (accounts,)
        Whether it was found insolvent in this auction.
    called : ndarray of float64, shape (accounts,)
        Seconds since it fell below initial margin.
    """

    def __init__(self, world, policy, seed):
        rng = np.random.default_rng([seed, 0])
        self.world, self.policy = world, policy
        self.margin = Margin(world.terms)
        self.books = draw(rng, world.crowd, self.margin)
        count = len(self.books.cash)
        self.patience = rng.exponential(world.crowd.patience_seconds, count)
        self.market = Market(world.liquidity)
        self.bucket = Bucket(policy.window, UNDERLYINGS)
        self.now, self.prices = 0, np.ones(UNDERLYINGS)
        self.scan_range = np.array(world.terms.scan_range)
        first = self._assess(self.books)
        capital = world.bidding.capital * first.maintenance_margin.sum()
        self.bidders = Bidders(rng, world.bidding, capital, UNDERLYINGS)
        self.started = np.full(count, np.inf)
        self.delayed, self.called = np.zeros(count), np.zeros(count)
        self.seen_insolvent = np.zeros(count, bool)
        self.variance = np.array(world.liquidity.volatility) ** 2 / 365
        self.sampled = self.prices
        self.forced = self.bought = self.bad_debt = self.fund = self.cost = 0.0
        self.overshoot, self.first, self.last, self.unsold = 0.0, None, 0, 0.0

    @property
    def in_liquidation(self):
        """Mask of the accounts that are being unwound."""
        return np.isfinite(self.started)

    def _assess(self, books):
        return self.margin.assess(books, self.prices, self.scan_range)

    def under_water(self, log_prices):
        """Exposure of the accounts that are below maintenance at an extreme of the path alone."""
        extremes = {*log_prices.argmin(axis=0).tolist(), *log_prices.argmax(axis=0).tolist()}
        below = np.zeros(len(self.books.cash), bool)
        for step in extremes:
            at = self.margin.assess(self.books, np.exp(log_prices[step]), self.scan_range)
            below |= at.equity < at.maintenance_margin
        return np.abs(self._assess(self.books).delta[:, below]).sum()

    def step(self, now, fundamental):
        """Play one minute; returns whether something is still being unwound."""
        self.now, before = now, self.prices
        self.market.recover(STEP_SECONDS)
        self.bucket.leak(STEP_SECONDS)
        self.prices = np.exp(fundamental + self.market.displacement)
        self.bidders.profit += self.bidders.units @ (self.prices - before)
        if self.policy.follow:
            self._follow_volatility()
        state = self._assess(self.books)
        self._top_up(state)
        self._flag(state)
        below = self.in_liquidation & (state.equity < state.maintenance_margin)
        rows = np.flatnonzero(below)
        part = Assessment(*(each[..., rows] for each in state))
        self.unsold = np.abs(part.delta / self.prices[:, None]).sum()
        if self.policy.auctions:
            self._auction(rows, part)
        elif len(rows):
            self._sell(rows, part)
        self.overshoot = max(self.overshoot, 1 - np.exp(self.market.displacement.min()))
        return bool(len(rows))

    def _follow_volatility(self):
        """Move scan ranges towards what realised volatility asks for."""
        follow = self.policy.follow
        if self.now and self.now % follow.sample_seconds == 0:
            weight = np.exp(-follow.sample_seconds / follow.decay_seconds)
            daily = np.log(self.prices / self.sampled) ** 2 * DAY_SECONDS / follow.sample_seconds
            daily = np.minimum(daily, follow.most_deviations**2 * self.variance)
            self.variance = weight * self.variance + (1 - weight) * daily
            self.sampled = self.prices
        target = SCAN_MULTIPLIER * np.sqrt(self.variance)
        target = np.clip(target, self.world.terms.scan_range, GREATEST_SCAN_RANGE)
        rates = follow.rise_rate, FALL_RATE
        self.scan_range = scan_range.moved(self.scan_range, target, STEP_SECONDS, *rates)

    def _top_up(self, state):
        """Owners who have been in margin call for as long as they stand it add cash."""
        called = (state.equity < state.initial_margin) & (state.equity >= state.maintenance_margin)
        self.called = np.where(called, self.called + STEP_SECONDS, 0)
        acts = self.called > self.patience
        missing = np.where(acts, TOP_UP * state.initial_margin - state.equity, 0)
        self.books = self.books._replace(cash=self.books.cash + missing)
        state.equity[:] += missing

    def _flag(self, state):
        """Begin and end liquidations.

        Clocks stand while an account recovers. They begin anew when it is first found insolvent,
        and when they have run out and it is not.
        """
        below, inside = state.equity < state.maintenance_margin, self.in_liquidation
        if below.any():
            self.first = self.now if self.first is None else self.first
            self.last = self.now
        run_out = self.now - self.started - self.delayed >= self.policy.discount.whole_seconds
        insolvent = inside & (state.equity < 0) & ~self.seen_insolvent
        begins = below & (~inside | insolvent | (run_out & (state.equity >= 0)))
        self.started[begins], self.delayed[begins] = self.now, 0
        self.seen_insolvent = (self.seen_insolvent & inside) | (below & (state.equity < 0))
        restored = state.equity >= (1 + self.policy.buffer) * state.initial_margin * (1 - 1e-9)
        over = self.now - self.started >= self.policy.discount.whole_seconds
        self.started[inside & ~below & (restored | over)] = np.inf
        self.delayed[self.in_liquidation & ~below] += STEP_SECONDS

    def _volumes(self, rows):
        """What windows count of each account: the larger delta at the ends of the price axis."""
        linear, puts = self.books.sizes[:, LINEAR, rows], self.books.sizes[:, PUT, rows]
        return np.maximum(np.abs(linear), np.abs(linear - puts))

    def _sell(self, rows, part):
        """Sell in the market, the weakest first, at the average price of this step."""
        order = np.argsort(part.equity / np.maximum(part.maintenance_margin, TINY))
        fraction = largest_slice(part, 0.0, self.policy)
        self._limit(rows, part, fraction, order)
        units = part.delta / self.prices[:, None]
        displacement = self.market.displacement
        move = self.market.trade(-units @ fraction)
        price = part.equity + move @ part.delta / 2
        short = fraction @ np.maximum(-price, 0)
        self.bad_debt += short
        self.fund += short
        self._book(rows, part, fraction, np.maximum(price, 0), displacement)

    def _auction(self, rows, part):
        """Offer slices to bidders; the greatest share offered goes first."""
        margin, insolvent = part.maintenance_margin, part.equity < 0
        age = self.now - self.started[rows] - self.delayed[rows]
        share = self.policy.discount.share(age)
        gain = bidders_gain(part, share, self.policy)
        offered = gain / np.maximum(margin, TINY)
        order = np.argsort(-offered)
        fraction = largest_slice(part, share, self.policy)
        self._limit(rows, part, fraction, order)
        held = np.zeros(len(rows))
        held[order] = self.bidders.admit(offered[order], (fraction * margin)[order])
        held *= fraction
        units = part.delta / self.prices[:, None]
        hedge = self.bidders.buy(units @ held, margin @ held) + self.bidders.unwind(STEP_SECONDS)
        resold = self._resell(units, fraction - held, gain, margin, order, hedge)
        sold, fraction = hedge + units @ resold, held + resold
        displacement = self.market.displacement
        slippage = (sold * self.prices) @ self.market.trade(-sold) / 2
        self.bidders.profit += gain @ fraction + slippage
        self.bought += np.abs(units).sum(axis=0) @ fraction
        self.bad_debt += fraction @ np.where(insolvent, -part.equity, 0)
        self.fund += fraction @ np.where(insolvent, gain - part.equity, 0)
        self._book(rows, part, fraction, np.where(insolvent, 0, part.equity - gain), displacement)

    def _resell(self, units, fraction, gain, margin, order, hedge):
        """Fraction of each account that is bought to be sold at once, after the hedges."""
        volumes = (units * fraction)[:, order]
        moves = self.market.move(-hedge[:, None] - volumes.cumsum(axis=1))
        costs = -np.einsum("up,up->p", moves, units[:, order] * self.prices[:, None])
        resold = np.zeros(len(order))
        resold[order] = self.bidders.resell(gain[order], costs, margin[order])
        return fraction * resold

    def _limit(self, rows, part, fraction, order):
        """Cut slices to what windows have room for."""
        if not self.policy.window:
            return
        urgent = part.equity < self.policy.window.urgent * part.maintenance_margin
        volumes = self._volumes(rows)
        fraction[order] *= self.bucket.admit((volumes * fraction)[:, order], urgent[order])

    def _book(self, rows, part, fraction, price, displacement):
        """Take the slices from the accounts and pay their owners."""
        volumes = self._volumes(rows)
        self.bucket.fill(volumes @ fraction)
        if self.policy.clock_waits:
            waits = (volumes > 0)[self.bucket.full].any(axis=0) & (part.equity > 0)
            self.delayed[rows[waits]] += STEP_SECONDS
        self.forced += (np.abs(part.delta) / self.prices[:, None]).sum(axis=0) @ fraction
        self.cost += fraction @ (np.maximum(part.equity, 0) - price - displacement @ part.delta)
        cash, sizes = self.books
        cash[rows] = (1 - fraction) * cash[rows] + fraction * price
        sizes[:, :, rows] *= 1 - fraction

    def outcome(self, initial):
        """Sum the run up."""
        some, sold = initial > 0, self.forced > 0
        per_initial = 1 / initial if some else 0.0
        return Outcome(
            initial=initial,
            forced=self.forced,
            overshoot=self.overshoot,
            displaced=1 - np.exp(self.market.permanent.min()),
            bad_debt=self.bad_debt * per_initial,
            fund=self.fund * per_initial,
            cost=self.cost / self.forced if sold else 0.0,
            clear_seconds=0 if self.first is None else self.last - self.first + STEP_SECONDS,
            unsold=self.unsold * per_initial,
            bidders_profit=self.bidders.profit / self.bought if self.bought else 0.0,
        )
