"""Tests of coverage, and how margins rise.

Source: P. Kupiec, "Techniques for verifying the accuracy of risk measurement models", Journal of
Derivatives 3 (1995); P. Christoffersen, "Evaluating interval forecasts", International Economic
Review 39 (1998).
"""

from typing import NamedTuple

import numpy as np
from scipy.special import chdtrc, xlogy


class Coverage(NamedTuple):
    """How often losses exceeded a requirement, and whether chance explains it.

    Attributes
    ----------
    days, exceptions : int
    rate : float
        Share of the days with an exception.
    unconditional, independence, conditional : float
        p-values of Kupiec's test of the rate, of Christoffersen's tests of independence and of
        both; small ones speak against the expected rate, or for clusters.
    """

    days: int
    exceptions: int
    rate: float
    unconditional: float
    independence: float
    conditional: float


def coverage(exceptions, expected):
    """Test a row of days against an expected rate of exceptions.

    Parameters
    ----------
    exceptions : array_like of bool, shape (days,)
        In order of time.
    expected : float
        Rate, in (0, 1).

    Returns
    -------
    Coverage
    """
    hits = np.asarray(exceptions, bool)
    count, days = int(hits.sum()), len(hits)
    unconditional = likelihood_ratio_of_rate(count, days, expected)
    independence = likelihood_ratio_of_independence(hits)
    return Coverage(
        days,
        count,
        count / days,
        float(chdtrc(1, unconditional)),
        float(chdtrc(1, independence)),
        float(chdtrc(2, unconditional + independence)),
    )


def _log_likelihood(hits, misses, rate):
    return xlogy(hits, rate) + xlogy(misses, 1 - rate)


def likelihood_ratio_of_rate(count, days, expected):
    """Kupiec's ``2·(ln L(x/n) − ln L(p))``, at least 0; chi-squared with one degree of freedom."""
    misses = days - count
    free = _log_likelihood(count, misses, count / days)
    return max(0.0, float(2 * (free - _log_likelihood(count, misses, expected))))


def likelihood_ratio_of_independence(hits):
    """Christoffersen's ratio of a first-order Markov chain to independent days, at least 0."""
    before, after = hits[:-1], hits[1:]
    n00, n01, n10, n11 = (
        int(np.sum((before == i) & (after == j))) for i in (False, True) for j in (False, True)
    )
    if n00 + n01 == 0 or n10 + n11 == 0:
        return 0.0
    common = (n01 + n11) / (n00 + n01 + n10 + n11)
    chain = _log_likelihood(n01, n00, n01 / (n00 + n01))
    chain += _log_likelihood(n11, n10, n11 / (n10 + n11))
    return max(0.0, float(2 * (chain - _log_likelihood(n01 + n11, n00 + n10, common))))


def shortfall_ratio(losses, value_at_risk, shortfall):
    """Mean of loss over expected shortfall on the days beyond value at risk; NaN without any.

    1 is what an exact forecast gives on average; more is a tail that was forecast too thin.
    """
    beyond = losses > value_at_risk
    return float(np.mean(losses[beyond] / shortfall[beyond])) if beyond.any() else np.nan


def greatest_rise(margins, days):
    """Greatest relative rise over a number of days, ``max_t M_{t+n}/M_t − 1``; along axis 0.

    NaN if the path is not longer.
    """
    if len(margins) <= days:
        return np.full(margins.shape[1:], np.nan)
    return np.max(margins[days:] / margins[:-days], axis=0) - 1


def peak_to_trough(margins):
    """Greatest over least margin of the same book, along axis 0."""
    return margins.max(axis=0) / margins.min(axis=0)
