"""Seeded price paths: jump diffusion, flash crash and de-peg.

A path is a list of `Snapshot` in order of time. Every path starts from a snapshot, normally one
fitted to a real option chain (`from_chain`), and carries its surfaces along without arbitrage.
Paths that replay real days are in `replays`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from oracle_mock import history
from oracle_mock.market import Market, Rate, Slice, Snapshot, follow
from oracle_mock.surface import (
    YEAR_SECONDS,
    fit_surface,
    shift,
)

Path = list[Snapshot]
_FLOAT = NDArray[np.float64]

HOUR = 3_600
DAY = 86_400

# No source publishes a confidence interval. Ours is a share of the price, wider after a move.
CONFIDENCE_RATE = 5e-4
CONFIDENCE_OF_MOVE = 0.1

# Rise of log volatility for a fall of the log price. In February 2026 BTC fell by about a fifth
# while one-week volatility doubled; its growth with shorter tenors is that of the same days.
VOLATILITY_BETA = 2.0
VOLATILITY_EXPONENT = 0.35
MAX_VOLATILITY_FACTOR = 3.0


def confidence(price: float, relative_move: float) -> float:
    """Half-width of the price interval after a relative price move, USD."""
    return price * max(CONFIDENCE_RATE, CONFIDENCE_OF_MOVE * abs(relative_move))


# --- starts ----------------------------------------------------------------------------------


def from_chain(
    name: str = history.FALL_CHAIN,
    underlyings: Sequence[str] = ("BTC", "ETH"),
    expiries: Sequence[int] | None = None,
) -> Snapshot:
    """Fit surfaces to a real option chain.

    Parameters
    ----------
    name : str
        Extract that holds the chain.
    underlyings : sequence of str
    expiries : sequence of int, optional
        Keep these only; all by default.

    Returns
    -------
    Snapshot
        At the time of the chain. The exchange pays options in coin, so that the discount factor
        its prices imply is index over forward; it is held to one where that exceeds one.
    """
    markets = {}
    for underlying in underlyings:
        time, chain = history.chain(name, underlying)
        chain = [quotes for quotes in chain if expiries is None or quotes.expiry in expiries]
        fitted = fit_surface([_smile(quotes) for quotes in chain])
        slices = [
            Slice(quotes.expiry, quotes.forward, min(1.0, quotes.index / quotes.forward), svi)
            for quotes, svi in zip(chain, fitted, strict=True)
        ]
        index = chain[0].index
        width = confidence(index, 0)
        markets[underlying] = Market(index, index, width, index, time, tuple(slices))
    return Snapshot(time, markets)


def _smile(quotes: history.ExpiryQuotes) -> tuple[_FLOAT, _FLOAT, float]:
    use = quotes.out_of_the_money
    return quotes.k[use], quotes.mark_iv[use], quotes.tau


# --- carrying a snapshot forward --------------------------------------------------------------


def advance(
    market: Market,
    then: int,
    now: int,
    index: float,
    volatility: Mapping[int, float] | None = None,
) -> Market:
    """Carry one market to another time and index price.

    Carry rates stay as they are, so that basis and discount shrink towards expiry.

    Parameters
    ----------
    market : Market
        Market at the time `then`.
    then, now : int
        Unix times.
    index : float
        New index price, USD; the perpetual keeps its premium.
    volatility : mapping of int to float, optional
        Factor on at-the-money volatility by expiry; 1 where absent.

    Returns
    -------
    Market
        Without the slices that have expired; the stable index is left to `stabilised`.
    """
    live = [part for part in market.slices if part.expiry > now]
    left = [(part.expiry - now) / (part.expiry - then) for part in live]
    factors = [(volatility or {}).get(part.expiry, 1.0) for part in live]
    ratios = np.array(left) * np.array(factors) ** 2
    moved = shift([part.svi for part in live], ratios, np.zeros(len(live)))
    slices = tuple(
        Slice(
            part.expiry,
            index * (part.forward / market.index) ** share,
            part.discount**share,
            svi,
        )
        for part, share, svi in zip(live, left, moved, strict=True)
    )
    mark = index * market.mark / market.index
    width = confidence(index, index / market.index - 1)
    return Market(index, mark, width, index, now, slices)


def volatility_factors(market: Market, now: int, log_move: float) -> dict[int, float]:
    """Factor on volatility by expiry when the log price has moved: up in a fall, most up front."""
    return volatility_response(market, now, -VOLATILITY_BETA * log_move)


def volatility_response(market: Market, now: int, log_move_30d: float) -> dict[int, float]:
    """Factor on volatility by expiry when that of 30 days has moved: most up front."""
    factors = {}
    for part in market.slices:
        days = np.clip((part.expiry - now) / DAY, 2, 60)
        response = log_move_30d * (30 / days) ** VOLATILITY_EXPONENT
        limit = np.log(MAX_VOLATILITY_FACTOR)
        factors[part.expiry] = float(np.exp(np.clip(response, -limit, limit)))
    return factors


def settled(
    earlier: Snapshot, start: Snapshot, time: int, markets: Mapping[str, Market]
) -> dict[tuple[str, int], float]:
    """Settlement prices known at `time`: an expiry settles at the first index from then on."""
    settlements = dict(earlier.settlements)
    for name, market in start.markets.items():
        for part in market.slices:
            if part.expiry <= time and name in markets:
                settlements.setdefault((name, part.expiry), markets[name].index)
    return settlements


def stabilised(path: Path) -> Path:
    """Let all stable prices follow from those that each name has at first."""
    result: Path = []
    stable: dict[str, tuple[float, int]] = {}  # by name, with the time it is of

    def followed(name: str, price: float, first: float, time: int) -> float:
        before, then = stable.get(name, (first, time))
        stable[name] = follow(before, price, time - then), time
        return stable[name][0]

    for snapshot in path:
        time = snapshot.time
        for name, market in snapshot.markets.items():
            value = followed(name, market.index, market.stable_index, time)
            snapshot = snapshot.with_market(name, replace(market, stable_index=value))
        for token, rate in snapshot.rates.items():
            value = followed(token, rate.value, rate.stable_value, time)
            snapshot = snapshot.with_rate(token, replace(rate, stable_value=value))
        result.append(snapshot)
    return result


def along(
    start: Snapshot,
    step_seconds: int,
    log_moves: Mapping[str, _FLOAT],
    rates: Mapping[str, _FLOAT] | None = None,
) -> Path:
    """Lead a snapshot along given cumulative log moves of its underlyings.

    Parameters
    ----------
    start : Snapshot
        First snapshot of the path.
    step_seconds : int
        Time between snapshots.
    log_moves : mapping of str to ndarray, shape (steps,)
        Logarithm of index over starting index after each step; zero for underlyings not named.
    rates : mapping of str to ndarray, shape (steps,), optional
        Collateral rates after each step; those not named stay.
    """
    rates = rates or {}
    steps = len(next(iter({**log_moves, **rates}.values())))
    path = [start]
    for step in range(steps):
        time = start.time + (step + 1) * step_seconds
        markets = {}
        for name, market in start.markets.items():
            moves = log_moves.get(name, np.zeros(steps))
            index = market.index * float(np.exp(moves[step]))
            factors = volatility_factors(market, time, moves[step])
            moved = advance(market, start.time, time, index, factors)
            width = confidence(index, index / path[-1].markets[name].index - 1)
            markets[name] = replace(moved, confidence=width)
        now = {}
        for token, rate in start.rates.items():
            value = float(rates[token][step]) if token in rates else rate.value
            now[token] = Rate(value, value, time)
        path.append(Snapshot(time, markets, now, settled(path[-1], start, time, markets)))
    return stabilised(path)


# --- seeded paths ----------------------------------------------------------------------------


@dataclass(frozen=True)
class JumpDiffusion:
    """Correlated geometric Brownian motions that jump together.

    Parameters
    ----------
    volatility : mapping of str to float
        Annual volatility of the diffusion, by underlying.
    correlation : float
        Of every pair of diffusions, in [0, 1].
    jumps_per_year : float
        Mean number of jumps, common to all: in a crash everything falls.
    jump_mean, jump_deviation : float
        Of the log size of a jump, drawn for each underlying anew.
    """

    volatility: Mapping[str, float]
    correlation: float = 0.8
    jumps_per_year: float = 20.0
    jump_mean: float = -0.03
    jump_deviation: float = 0.04

    def log_returns(self, steps: int, step_seconds: int, seed: int) -> dict[str, _FLOAT]:
        """Log returns per step and underlying; the prices are martingales."""
        random = np.random.default_rng(seed)
        names = list(self.volatility)
        years = step_seconds / YEAR_SECONDS
        sigma = np.array([self.volatility[name] for name in names])
        common = random.standard_normal((steps, 1)) * np.sqrt(self.correlation)
        own = random.standard_normal((steps, len(names))) * np.sqrt(1 - self.correlation)
        count = random.poisson(self.jumps_per_year * years, (steps, 1))
        size = random.standard_normal((steps, len(names))) * np.sqrt(count) * self.jump_deviation
        jumps = count * self.jump_mean + size
        mean_jump = np.expm1(self.jump_mean + self.jump_deviation**2 / 2)
        drift = -(sigma**2) / 2 - self.jumps_per_year * mean_jump
        returns = drift * years + sigma * np.sqrt(years) * (common + own) + jumps
        return {name: returns[:, column] for column, name in enumerate(names)}


def jump_diffusion(
    start: Snapshot, model: JumpDiffusion, steps: int, step_seconds: int, seed: int
) -> Path:
    """Path of a seeded jump diffusion."""
    returns = model.log_returns(steps, step_seconds, seed)
    return along(start, step_seconds, {name: np.cumsum(part) for name, part in returns.items()})


def fall_and_recovery(
    depth: float, fall_steps: int, recovery: float, recovery_steps: int, random
) -> _FLOAT:
    """Price relative to the start: uneven steps down to 1 - depth, then back by a share of it.

    Neither half ever turns around, and the lowest value is exactly ``1 - depth``.
    """
    down = depth * np.cumsum(random.dirichlet(np.ones(fall_steps)))
    up = depth * recovery * np.cumsum(random.dirichlet(np.ones(recovery_steps)))
    return np.concatenate([1 - down[:-1], [1 - depth], 1 - depth + up])


def flash_crash(
    start: Snapshot,
    depth: Mapping[str, float],
    seed: int,
    *,
    fall_steps: int = 10,
    recovery: float = 0.5,
    recovery_steps: int = 20,
    step_seconds: int = 60,
    calm_steps: int = 0,
) -> Path:
    """Path on which prices fall by `depth` (a fraction, by underlying) and partly recover.

    Prices stand still for `calm_steps` before and as many after.
    """
    random = np.random.default_rng(seed)
    moves = {}
    for name, part in depth.items():
        profile = fall_and_recovery(part, fall_steps, recovery, recovery_steps, random)
        around = np.ones(calm_steps), np.full(calm_steps, profile[-1])
        moves[name] = np.log(np.concatenate([around[0], profile, around[1]]))
    return along(start, step_seconds, moves)


def pump(
    start: Snapshot,
    name: str,
    factor: float,
    seed: int,
    *,
    rise_steps: int = 40,
    fall_steps: int = 20,
    calm_steps: int = 20,
    step_seconds: int = 60,
) -> Path:
    """Path on which one price rises to a multiple in uneven steps, and falls back."""
    random = np.random.default_rng(seed)
    up = np.log(factor) * np.cumsum(random.dirichlet(np.ones(rise_steps)))
    down = np.log(factor) * (1 - np.cumsum(random.dirichlet(np.ones(fall_steps))))
    still = np.zeros(calm_steps)
    return along(start, step_seconds, {name: np.concatenate([still, up, down, still])})


def depeg(
    start: Snapshot,
    token: str,
    depth: float,
    seed: int,
    *,
    fall_steps: int = 10,
    recovery: float = 0.9,
    recovery_steps: int = 20,
    step_seconds: int = HOUR,
) -> Path:
    """Path on which a token's rate falls by a fraction of itself and partly recovers."""
    random = np.random.default_rng(seed)
    profile = fall_and_recovery(depth, fall_steps, recovery, recovery_steps, random)
    return along(start, step_seconds, {}, {token: start.rates[token].value * profile})
