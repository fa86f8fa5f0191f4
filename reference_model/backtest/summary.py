"""What a rule of margin did to all books over all days, in a few numbers.

Axes: t days in order, b books. A day counts for a book where `counting` says so.
"""

from typing import NamedTuple

import numpy as np

from reference_model.backtest import statistics

MAINTENANCE_TARGET = 0.01
INITIAL_TARGET = 0.005
HORIZONS = (1, 5, 30)
SIGNIFICANT = 0.05


class Score(NamedTuple):
    """One rule over all books; money in USD per book.

    Attributes
    ----------
    maintenance, initial : float
        Share of all days of all books whose loss exceeded maintenance, initial margin.
    worst_maintenance, worst_initial : float
        The same of the book with the most.
    too_many : int
        Books with significantly more exceptions than a target (Kupiec, 5 %), of either margin.
    excess : float
        Mean loss over maintenance margin on the days on which it was more.
    peak_to_trough : float
        Of initial margin, median of the books.
    rise_1, rise_5, rise_30 : float
        Greatest relative rise of initial margin in so many days, median of the books.
    capital : float
        Mean initial margin.
    """

    maintenance: float
    worst_maintenance: float
    initial: float
    worst_initial: float
    too_many: int
    excess: float
    peak_to_trough: float
    rise_1: float
    rise_5: float
    rise_30: float
    capital: float


def score(margins, profits, counting):
    """Sum a rule up.

    Parameters
    ----------
    margins : reference_model.backtest.generations.Margins
    profits : ndarray of float64, shape (t, b)
        Of the 24 hours after each moment, USD.
    counting : ndarray of bool, shape (t, b)

    Returns
    -------
    Score
    """
    maintenance, worst_maintenance = _rates(-profits > margins.maintenance, counting)
    initial, worst_initial = _rates(-profits > margins.initial, counting)
    beyond = counting & (-profits > margins.maintenance)
    excess = float(np.mean(-profits[beyond] / margins.maintenance[beyond])) if beyond.any() else 0.0
    paths = [margins.initial[counting[:, b], b] for b in range(profits.shape[1])]
    return Score(
        maintenance,
        worst_maintenance,
        initial,
        worst_initial,
        _too_many(margins, profits, counting),
        excess,
        float(np.median([statistics.peak_to_trough(path) for path in paths])),
        *(
            float(np.median([statistics.greatest_rise(path, days) for path in paths]))
            for days in HORIZONS
        ),
        float(np.mean([path.mean() for path in paths])),
    )


def _rates(exceptions, counting):
    hits, days = (exceptions & counting).sum(axis=0), counting.sum(axis=0)
    return float(hits.sum() / days.sum()), float((hits / days).max())


def _too_many(margins, profits, counting):
    """Books of which one margin or the other is exceeded significantly more often than aimed at."""
    found = 0
    for book in range(profits.shape[1]):
        days = counting[:, book]
        losses = -profits[days, book]
        tests = (
            (statistics.coverage(losses > limit[days, book], target), target)
            for limit, target in zip(margins, (MAINTENANCE_TARGET, INITIAL_TARGET), strict=True)
        )
        found += any(t.rate > target and t.unconditional < SIGNIFICANT for t, target in tests)
    return found


def choose(scores):
    """Row of the score to take: of those that keep to the targets in every book the least dear.

    Dear is what binds much capital or lets it swing: the product of mean initial margin and of its
    peak over its trough.

    Parameters
    ----------
    scores : sequence of Score

    Returns
    -------
    int or None
        None if none keeps to the targets.
    """
    good = [row for row, found in enumerate(scores) if not found.too_many]
    return min(good, key=lambda row: scores[row].capital * scores[row].peak_to_trough, default=None)
