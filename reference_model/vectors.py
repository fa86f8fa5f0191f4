"""Vectors of predictive margin: joint moves of past dates, from a history and as packed words.

A date's vector says, for each place p of the basket, by how many of its own standard deviations z
the price moved in a day and by how many vol ranges y volatility moved. One word holds it: per place
the triangle of the grid that the move lies in (`row`) and where in it (`a`, `b`, in 1024ths). A
word resolves z and y to half a 1024th of their interval, and to a whole one at the far edge.

Source: specification, Predictive margin, sections 2 and 5; R. T. Rockafellar and S. Uryasev,
"Optimization of conditional value-at-risk" (2000); J. Hull and A. White, "Incorporating volatility
updating into the historical simulation method for value-at-risk" (1998).
"""

from typing import NamedTuple

import numpy as np

NODES = np.array([-12.0, -6, -3, -2, -1, 0, 1, 2, 3, 6, 12])
VOL_NODES = np.array([-0.5, 0, 0.5, 2.25])
MAX_PLACES = 8
SHARES = 1024
FIELD_BITS = 10
FIELD = (1 << FIELD_BITS) - 1
ROW_AT, A_AT, B_AT = 5, 90, 175
VOL_INTERVALS = len(VOL_NODES) - 1
ROWS = (len(NODES) - 1) * VOL_INTERVALS * 2
DAY_SECONDS = 86_400
YEAR_SECONDS = 365 * DAY_SECONDS
LEAST_VOLATILITY = 0.05


class History(NamedTuple):
    """Moves of past dates, old first.

    Attributes
    ----------
    price_moves, vol_moves : ndarray of float64, shape (dates, places)
        z in standard deviations of a day, known the day before; y in vol ranges.
    bars : ndarray of int64, shape (dates,)
        Row of the history at whose close each date ends.
    """

    price_moves: np.ndarray
    vol_moves: np.ndarray
    bars: np.ndarray


def encode(price_moves, vol_moves):
    """Pack dates, one word each.

    Parameters
    ----------
    price_moves, vol_moves : array_like of float64, shape (dates, places)
        z in standard deviations, y in vol ranges; cut to the outer nodes. At most 8 places.

    Returns
    -------
    list of int
        Words of 256 bits, in the order of the dates.

    Raises
    ------
    ValueError
        If the shapes differ, there are too many places, or a move is not a number.
    """
    z, y = np.asarray(price_moves, float), np.asarray(vol_moves, float)
    if z.shape != y.shape or z.ndim != 2 or not 1 <= z.shape[1] <= MAX_PLACES:
        raise ValueError(f"moves of shapes {z.shape} and {y.shape}: (dates, 1 to 8 places) twice")
    if np.isnan(z).any() or np.isnan(y).any():
        raise ValueError("a move is not a number; leave out dates that are not complete")
    interval, alpha = _located(z, NODES)
    vol_interval, beta = _located(y, VOL_NODES)
    upper = alpha + beta > SHARES
    a, b = np.where(upper, SHARES - alpha, alpha), np.where(upper, SHARES - beta, beta)
    interval, a = _carried(interval, a, len(NODES) - 2)
    vol_interval, b = _carried(vol_interval, b, VOL_INTERVALS - 1)
    row = (interval * VOL_INTERVALS + vol_interval) * 2 + upper
    return _packed(row, a, b)


def _located(values, nodes):
    """First interval that holds each value, and its place there in 1024ths, rounded."""
    cut = np.clip(values, nodes[0], nodes[-1])
    interval = np.searchsorted(nodes[1:-1], cut)
    share = (cut - nodes[interval]) / np.diff(nodes)[interval]
    return interval, np.rint(SHARES * share).astype(np.int64)


def _carried(interval, share, last):
    """Write a whole interval as the next one's 0; behind the last interval it is 1023."""
    whole = share == SHARES
    moves_on = whole & (interval < last)
    return interval + moves_on, np.select([moves_on, whole], [0, FIELD], share)


def _packed(row, a, b):
    words = [0] * len(row)
    for fields, lowest in ((row, ROW_AT), (a, A_AT), (b, B_AT)):
        for date, places in enumerate(fields.tolist()):
            words[date] |= sum(x << lowest + FIELD_BITS * p for p, x in enumerate(places))
    return words


def decode(words, places):
    """Moves that words stand for; the inverse of `encode` within its resolution.

    Parameters
    ----------
    words : sequence of int
    places : int
        How many places they cover.

    Returns
    -------
    price_moves, vol_moves : ndarray of float64, shape (dates, places)
        z in standard deviations, y in vol ranges; exact, being short binary fractions.

    Raises
    ------
    ValueError
        Where the contract refuses with ``InvalidVector(i, word)``.
    """
    row, a, b = (_fields(words, places, lowest) for lowest in (ROW_AT, A_AT, B_AT))
    _require_valid(words, places, row, a, b)
    upper = row % 2 == 1
    interval, vol_interval = np.divmod(row // 2, VOL_INTERVALS)
    return _moves(NODES, interval, a, upper), _moves(VOL_NODES, vol_interval, b, upper)


def _fields(words, places, lowest):
    shifts = [lowest + FIELD_BITS * p for p in range(places)]
    fields = [[int(word) >> shift & FIELD for shift in shifts] for word in words]
    return np.array(fields, np.int64).reshape(len(words), places)


def _require_valid(words, places, row, a, b):
    used = sum(FIELD << x + FIELD_BITS * p for x in (ROW_AT, A_AT, B_AT) for p in range(places))
    wrong = ((row >= ROWS) | (a + b > SHARES)).any(axis=1)
    for i, word in enumerate(words):
        if wrong[i] or int(word) & ~used:
            raise ValueError(f"word {i} is not a vector of {places} places: {int(word):#x}")


def _moves(nodes, interval, share, upper):
    low, high = nodes[interval], nodes[interval + 1]
    inward = (high - low) * share / SHARES
    return np.where(upper, high - inward, low + inward)


def from_history(
    closes,
    volatility_index,
    decay_seconds,
    vol_range,
    *,
    bar_seconds=DAY_SECONDS,
    warm_up_seconds=None,
    max_deviation=6.0,
):
    """Moves of each day of a history, standardised by what was known the day before.

    Days are whole days back from the last bar. ``z_t = r_t / σ_{t−1}`` with the simple return of
    24 hours and the estimator's deviation of a day, which sees every bar; ``y_t = (IV_t/IV_{t−1} −
    1)/ν``. A date is left out, for all places, if any place lacks a close, an index or a deviation
    that it needs: a joint move is known or it is not. A missing bar does not stop the estimator,
    whose next return then spans the gap.

    Parameters
    ----------
    closes : array_like of float64, shape (bars, places)
        USD, at equal steps, old first; NaN where a bar is missing.
    volatility_index : array_like of float64, shape (bars, places), or None
        At-the-money volatility at 30 days, in any unit; NaN where missing. An underlying without
        one is given that of the largest market, or any constant for no vol moves; None: none has.
    decay_seconds : float
        Of the estimator.
    vol_range : float or array_like of float64, shape (places,)
        ν, what one unit of y is.
    bar_seconds : int, optional
        From one bar to the next; divides a day.
    warm_up_seconds : float, optional
        History a place needs before its deviation counts; by default `decay_seconds`.
    max_deviation : float, optional
        Of the estimator: greatest return that counts, in standard deviations of its time.

    Returns
    -------
    History

    Raises
    ------
    ValueError
        If bars do not divide a day, or shapes do not fit.
    """
    closes = np.asarray(closes, float)
    index = np.ones(closes.shape) if volatility_index is None else np.asarray(volatility_index)
    if closes.ndim != 2 or index.shape != closes.shape:
        raise ValueError(f"closes {closes.shape} and volatility index {index.shape} differ")
    if DAY_SECONDS % bar_seconds:
        raise ValueError(f"bars of {bar_seconds} s do not divide a day")
    warm_up = decay_seconds if warm_up_seconds is None else warm_up_seconds
    known = deviations(closes, decay_seconds, bar_seconds, warm_up, max_deviation)
    day = DAY_SECONDS // bar_seconds
    bars = np.arange(len(closes) - 1, day - 1, -day)[::-1]
    z = (closes[bars] / closes[bars - day] - 1) / known[bars - day]
    y = (index[bars] / index[bars - day] - 1) / vol_range
    complete = np.isfinite(z).all(axis=1) & np.isfinite(y).all(axis=1)
    return History(z[complete], y[complete], bars[complete])


def deviations(closes, decay_seconds, bar_seconds=DAY_SECONDS, warm_up_seconds=0, max_deviation=6):
    """Deviation of a day's return, known at the close of each bar.

    The estimator's EWMA, started from nothing: the weights of the returns seen so far are scaled to
    one, so that no starting value biases it.

    Parameters
    ----------
    closes, decay_seconds, bar_seconds, warm_up_seconds, max_deviation
        As for `from_history`.

    Returns
    -------
    ndarray of float64, shape (bars, places)
        At least that of 5 % a year; NaN until a place's first close is `warm_up_seconds` back.
    """
    closes = np.asarray(closes, float)
    out = np.full(closes.shape, np.nan)
    since, anchor_at = np.full((2, closes.shape[1]), -1)
    anchor = np.full(closes.shape[1], np.nan)
    total, weight, variance = np.zeros((3, closes.shape[1]))
    for bar, logs in enumerate(np.log(closes)):
        fresh = ~np.isnan(logs)
        p = fresh & (anchor_at >= 0)
        elapsed = (bar - anchor_at[p]) * bar_seconds
        bound = max_deviation * np.sqrt(variance[p] * elapsed / YEAR_SECONDS)
        bound[weight[p] == 0] = np.inf  # The first return of all is measured against nothing.
        returns = np.clip(logs[p] - anchor[p], -bound, bound)
        share = -np.expm1(-elapsed / decay_seconds)
        total[p] += share * (returns**2 * YEAR_SECONDS / elapsed - total[p])
        weight[p] += share * (1 - weight[p])
        variance[p] = np.maximum(total[p] / weight[p], LEAST_VOLATILITY**2)
        anchor[fresh], anchor_at[fresh] = logs[fresh], bar
        since[fresh & (since < 0)] = bar
        warm = (weight > 0) & ((bar - since) * bar_seconds >= warm_up_seconds)
        out[bar, warm] = np.sqrt(variance[warm] * DAY_SECONDS / YEAR_SECONDS)
    return out


def expected_shortfall(losses, tail_share):
    """Mean of the worst ``q = tail_share·N`` losses, the last of them in part.

    Parameters
    ----------
    losses : array_like of float64, shape (..., dates)
        USD; at least 0 in this project, which the formula does not need.
    tail_share : float
        In (0, 1].

    Returns
    -------
    ndarray of float64, shape (...)
        ``(Σ_{i<K} ℓ_i + (q − (K − 1))·ℓ_K)/q``, K = ⌈q⌉, ℓ descending.
    """
    losses = np.asarray(losses, float)
    q, k = _tail(losses.shape[-1], tail_share)
    greatest = np.partition(losses, -k, axis=-1)[..., -k:]
    least = greatest[..., 0]
    return (greatest[..., 1:].sum(axis=-1) + (q - (k - 1)) * least) / q


def best_hint(losses, tail_share):
    """Value t at which ``t + Σ max(ℓ_i − t, 0)/q`` is least, and equal to the expected shortfall.

    Parameters
    ----------
    losses : array_like of float64 or int, shape (dates,)
        Of integers the hint is one of them, exactly (object arrays too).
    tail_share : float
        In (0, 1].

    Returns
    -------
    scalar of the losses' type
        The K-th greatest loss, K = ⌈tail_share·N⌉.
    """
    losses = np.asarray(losses)
    _, k = _tail(len(losses), tail_share)
    return np.partition(losses, -k)[-k]


def _tail(dates, tail_share):
    """``q = tail_share·N`` and ``K = ⌈q⌉``; what floats add to a whole q does not make one more."""
    q = tail_share * dates
    return q, max(int(np.ceil(q * (1 - 1e-12))), 1)
