"""What the engine would have known at each hour of a history: volatilities, ranges, vectors.

Axes: h hours, u underlyings. The first two underlyings have prices from the first hour on; another
joins when its prices begin, as one is listed later.

Source: specification, Market data, sections 7 and 8; Predictive margin, sections 2 and 3.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from reference_model import vectors
from reference_model.ideal import scan_range, volatility

HOUR_SECONDS = 3_600
DAY_HOURS = 24


class Hourly(NamedTuple):
    """Prices and implied volatility at the end of every hour, NaN where unknown.

    Attributes
    ----------
    time : ndarray of int64, shape (hours,)
        Unix seconds, every hour without exception.
    prices, implied : ndarray of float64, shape (hours, underlyings)
        USD; per year, at the money, 30 days.
    """

    time: np.ndarray
    prices: np.ndarray
    implied: np.ndarray


@dataclass(frozen=True)
class Following:
    """The estimator and the ranges that follow it; the values of scripts/deploy.yaml.

    Tuples are per underlying: volatility to start from, bounds of scan ranges.
    """

    decay_seconds: float = 864_000
    max_deviation: float = 6
    rise_rate: float = 0.25
    fall_rate: float = 0.005
    start: tuple[float, ...] = (0.6, 0.8, 1.0)
    scan_range: tuple[float, ...] = (0.16, 0.20, 0.30)
    max_scan_range: tuple[float, ...] = (0.6, 0.6, 0.7)
    scan_multiplier: float = 4
    vol_range: float = 0.5


class State(NamedTuple):
    """What the engine knew at each hour; shapes (h, u), but `correlation` (h, u, u).

    `initial_…` is what initial margin looks ahead to.
    """

    scan_range: np.ndarray
    initial_scan_range: np.ndarray
    deviation: np.ndarray
    initial_deviation: np.ndarray
    correlation: np.ndarray


class Dates(NamedTuple):
    """Vectors of some underlyings, old first.

    Attributes
    ----------
    weights : ndarray of float64, shape (dates, places, cells · 4)
        Three corners of one cell each, which sum to one; see `corners`.
    hours : ndarray of int64, shape (dates,)
        The hour at which each ends.
    """

    weights: np.ndarray
    hours: np.ndarray


def observe(hourly, following):
    """Follow a history with the estimator, hour by hour.

    Parameters
    ----------
    hourly : Hourly
    following : Following

    Returns
    -------
    State
        At each hour, of prices up to that hour alone.
    """
    covariances = _covariances(hourly, following)
    variances = np.diagonal(covariances, axis1=1, axis2=2)
    target = volatility.daily_deviation(variances)
    deviation, ranges = _follow(target, following)
    multiplied = following.scan_multiplier * target
    low, high = np.array(following.scan_range), np.array(following.max_scan_range)
    deviations = np.sqrt(variances)
    return State(
        ranges,
        np.maximum(ranges, np.clip(multiplied, low, high)),
        deviation,
        np.maximum(deviation, target),
        covariances / (deviations[:, :, None] * deviations[:, None, :]),
    )


def _covariances(hourly, following):
    """Annual covariances in force at each hour, shape (h, u, u).

    A hour without a price of some underlying is not sampled. Before an underlying is listed it has
    the volatility to start from and no correlation.
    """
    count = hourly.prices.shape[1]
    out = np.tile(np.diag(np.square(following.start[:count])), (len(hourly.time), 1, 1))
    for places in range(2, count + 1):
        known = np.flatnonzero(np.isfinite(hourly.prices[:, :places]).all(axis=1))
        found = volatility.estimate(
            hourly.prices[None, known, :places],
            hourly.time[known],
            following.start[:places],
            following.decay_seconds,
            following.max_deviation,
        )[0]
        latest = np.searchsorted(known, np.arange(len(hourly.time)), "right") - 1
        seen = latest >= 0
        older = out[seen, : places - 1, : places - 1].copy()
        out[seen, :places, :places] = found[latest[seen]]
        if places > 2:
            out[seen, : places - 1, : places - 1] = older
    return out


def _follow(target, following):
    """Deviations and scan ranges in force after each hour, both shape (h, u)."""
    low = np.stack([np.zeros(target.shape[1]), following.scan_range])
    high = np.stack([np.full(target.shape[1], np.inf), following.max_scan_range])
    targets = np.stack([target, following.scan_multiplier * target], axis=1)
    out = np.empty(targets.shape)
    out[0] = np.clip(targets[0], low, high)
    rates = following.rise_rate, following.fall_rate
    for hour in range(1, len(out)):
        moved = scan_range.moved(out[hour - 1], targets[hour - 1], HOUR_SECONDS, *rates)
        out[hour] = np.minimum(np.maximum(moved, low), high)
    return out[:, 0], out[:, 1]


def dates(hourly, following, places, at_hour):
    """Vectors of the first `places` underlyings, one a day, by `reference_model.vectors`.

    Parameters
    ----------
    hourly : Hourly
    following : Following
    places : int
    at_hour : int
        Any row of the history at the hour of the day at which dates end.

    Returns
    -------
    Dates
        As the contract reads them: encoded and decoded.
    """
    end = len(hourly.time) - (len(hourly.time) - 1 - at_hour) % DAY_HOURS
    found = vectors.from_history(
        hourly.prices[:end, :places],
        hourly.implied[:end, :places],
        following.decay_seconds,
        following.vol_range,
        bar_seconds=HOUR_SECONDS,
        max_deviation=following.max_deviation,
    )
    words = vectors.encode(found.price_moves, found.vol_moves)
    return Dates(corners(*vectors.decode(words, places)), found.bars)


def corners(z, y):
    """Weights of the corners of the cells that moves lie in.

    Corner (c, d) of cell (k, v), class v + c at node k + d, stands at
    ((k · 3 + v) · 2 + c) · 2 + d. Each cell is cut by the diagonal that leaves out one corner.

    Parameters
    ----------
    z, y : ndarray of float64, shape (dates, places)
        Inside the grid.

    Returns
    -------
    ndarray of float64, shape (dates, places, cells · 4)
    """
    nodes, classes = vectors.NODES, vectors.VOL_NODES
    k, v = (np.searchsorted(n[1:-1], x) for n, x in ((nodes, z), (classes, y)))
    a = (z - nodes[k]) / np.diff(nodes)[k]
    b = (y - classes[v]) / np.diff(classes)[v]
    upper = a + b > 1
    out = np.zeros((*z.shape, (len(nodes) - 1) * vectors.VOL_INTERVALS, 4))
    cell = (k * vectors.VOL_INTERVALS + v)[..., None, None]
    lower_weights = np.stack([1 - a - b, a, b, np.zeros_like(a)], axis=-1)
    upper_weights = np.stack([np.zeros_like(a), 1 - b, 1 - a, a + b - 1], axis=-1)
    weight = np.where(upper[..., None], upper_weights, lower_weights)
    np.put_along_axis(out, np.broadcast_to(cell, (*z.shape, 1, 4)), weight[..., None, :], axis=-2)
    return out.reshape(*z.shape, -1)


def in_force(all_dates, hour, count, at_least):
    """Rows of the dates in force at an hour: the latest that ended a day before, or None.

    What is published today comes into force over a day, so the newest vector is that of yesterday.
    """
    end = int(np.searchsorted(all_dates.hours, hour - DAY_HOURS, "right"))
    return slice(max(0, end - count), end) if end >= at_least else None
