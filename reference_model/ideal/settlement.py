"""Settlement prices: time-weighted averages of the half hour before an expiry.

Source: specification, Market data, section 6.
"""

import numpy as np

EPS = float(np.finfo(np.float64).eps)
WEI = 1e-18
WINDOW_SECONDS = 1_800
LONGEST_SECONDS = 600


def average(observed_at, prices, disputed, expiry):
    """Time-weighted average of one window, and the seconds that it covers.

    Parameters
    ----------
    observed_at : array_like of float64, shape (paths, n)
        Times of observations, ascending, seconds.
    prices : array_like of float64, shape (paths, n)
        Price in force from each observation to the next, USD.
    disputed : array_like of bool, shape (paths, n)
        Prices that do not count.
    expiry : float
        End of the window, a full hour. Observations of the hour before count.

    Returns
    -------
    price, covered_seconds : ndarray of float64, shape (paths,)
        NaN where less than half of the window is covered.
    """
    times = np.asarray(observed_at, float)
    following = np.concatenate([times[:, 1:], np.full((len(times), 1), np.inf)], axis=1)
    ends = np.minimum(np.minimum(following, times + LONGEST_SECONDS), expiry)
    weights = np.maximum(ends - np.maximum(times, expiry - WINDOW_SECONDS), 0)
    weights = np.where(disputed, 0, weights)
    covered = weights.sum(axis=1)
    total = (weights * prices).sum(axis=1)
    enough = covered >= WINDOW_SECONDS / 2
    price = np.divide(total, covered, out=np.full(len(times), np.nan), where=enough)
    return price, covered


def tolerance(prices):
    """How far integers may be from the price of `average`: n + 2 roundings, and a wei."""
    prices = np.asarray(prices, float)
    return (prices.shape[1] + 2) * EPS * prices.max(axis=1) + WEI
