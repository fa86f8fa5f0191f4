"""EWMA variances and covariances of a basket, along many paths at once.

Source: specification, Market data, section 7.
"""

import numpy as np

EPS = float(np.finfo(np.float64).eps)
YEAR_SECONDS = 365 * 86_400
DAY_SECONDS = 86_400
LEAST_VOLATILITY = 0.05
X40 = 2.0**-40
RETURN_ERROR = 64 * EPS + 2.0**-62


def estimate(prices, active_times, annual_volatility, decay_seconds, max_deviation):
    """Annual covariances after each sample, all underlyings fresh at each.

    Parameters
    ----------
    prices : array_like of float64, shape (paths, n, underlyings)
    active_times : array_like of float64, shape (n,)
        Seconds.
    annual_volatility : array_like of float64, shape (underlyings,)
        To start from; without correlation.
    decay_seconds : float
    max_deviation : float
        Greatest return that counts, in standard deviations of its time.

    Returns
    -------
    ndarray of float64, shape (paths, n, underlyings, underlyings)
        ``C ← C + (1 − e^(−Δ/τ))·(r·rᵀ·YEAR/Δ − C)``, variances at least 5 % squared.
    """
    logs = np.log(np.asarray(prices, float))
    paths, count, size = logs.shape
    result = np.empty((paths, count, size, size))
    result[:, 0] = np.diag(np.square(np.asarray(annual_volatility, float)))
    for i in range(1, count):
        elapsed = active_times[i] - active_times[i - 1]
        before = result[:, i - 1]
        variances = np.diagonal(before, axis1=1, axis2=2)
        bound = max_deviation * np.sqrt(variances * elapsed / YEAR_SECONDS)
        returns = np.clip(logs[:, i] - logs[:, i - 1], -bound, bound)
        sample = returns[:, :, None] * returns[:, None, :] * YEAR_SECONDS / elapsed
        after = before + -np.expm1(-elapsed / decay_seconds) * (sample - before)
        result[:, i] = _at_least(after, LEAST_VOLATILITY**2)
    return result


def _at_least(covariances, variance):
    """Raise variances to a minimum; covariances stay."""
    own = np.arange(covariances.shape[-1])
    covariances[:, own, own] = np.maximum(covariances[:, own, own], variance)
    return covariances


def daily_deviation(variance):
    """Standard deviation of a day's return at an annual variance."""
    return np.sqrt(np.asarray(variance, float) * DAY_SECONDS / YEAR_SECONDS)


def reach(variance, weight, max_deviation, observations):
    """Least and greatest variance whoever decides that many observations in a row can leave.

    Returns
    -------
    low, high : ndarray of float64
        ``v·(1 − w)^k`` and ``v·(1 + w·(z² − 1))^k``; integers stay within k units of 2^-40, each
        carried on by the steps that follow.
    """
    low = variance * (1 - weight) ** observations
    high = variance * (1 + weight * (max_deviation**2 - 1)) ** observations
    return np.maximum(low, LEAST_VOLATILITY**2), high


def tolerance(covariances, prices, active_times, decay_seconds, max_deviation):
    """How far integers may be from `estimate`; shape of `covariances`.

    A return is off by `RETURN_ERROR`, the logarithms of two float64 prices; one that is cut also by
    what its bound ``z·√(v·Δ/YEAR)`` makes of the error of v: twice that of the first order. A
    sample is a product of two returns. Each step keeps ``1 − w`` of the error before it, takes in w
    of the sample's, and rounds to 2^-40 three times (sample, update, minimum).
    """
    logs = np.log(np.asarray(prices, float))
    errors = np.zeros(covariances.shape)
    for i in range(1, covariances.shape[1]):
        elapsed = active_times[i] - active_times[i - 1]
        weight = -np.expm1(-elapsed / decay_seconds)
        deviations = np.sqrt(np.diagonal(covariances[:, i - 1], axis1=1, axis2=2))
        own = np.diagonal(errors[:, i - 1], axis1=1, axis2=2)
        per_year = np.sqrt(YEAR_SECONDS / elapsed)
        shown = np.abs(logs[:, i] - logs[:, i - 1]) * per_year
        is_cut = shown > max_deviation * deviations * (1 - 1e-6)
        returns = np.minimum(shown, max_deviation * deviations)
        error = RETURN_ERROR * per_year + np.where(is_cut, max_deviation * own / deviations, 0)
        crossed = returns[:, :, None] * error[:, None, :]
        sample = crossed + np.swapaxes(crossed, 1, 2) + error[:, :, None] * error[:, None, :]
        rounding = 3 * X40 + 16 * EPS * np.abs(covariances[:, i]).max(axis=(1, 2), keepdims=True)
        errors[:, i] = (1 - weight) * errors[:, i - 1] + weight * sample + rounding
    return errors
