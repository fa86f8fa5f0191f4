"""A price that follows another no faster than at a rate, along many paths at once.

Source: specification, Market data, section 4.
"""

import numpy as np

EPS = float(np.finfo(np.float64).eps)
WEI = 1e-18
HOUR_SECONDS = 3_600
LONGEST_SECONDS = 3_600


def follow(prices, active_times, rate):
    """Stable prices along paths of observations.

    Parameters
    ----------
    prices : array_like of float64, shape (paths, n)
        Price in force from each observation to the next, USD.
    active_times : array_like of float64, shape (n,) or (paths, n)
        Seconds.
    rate : float
        Greatest change of the logarithm per hour.

    Returns
    -------
    ndarray of float64, shape (paths, n)
        At the first observation the price; then its logarithm goes towards that of the *previous*
        price by at most ``rate·min(dt, 1 h)``.
    """
    logs = np.log(np.asarray(prices, float))
    elapsed = np.diff(np.broadcast_to(np.asarray(active_times, float), logs.shape), axis=1)
    reach = rate * np.clip(elapsed, 0, LONGEST_SECONDS) / HOUR_SECONDS
    stable = np.empty_like(logs)
    stable[:, 0] = logs[:, 0]
    for i in range(1, logs.shape[1]):
        distance = logs[:, i - 1] - stable[:, i - 1]
        stable[:, i] = stable[:, i - 1] + np.clip(distance, -reach[:, i - 1], reach[:, i - 1])
    return np.exp(stable)


def tolerance(stable, prices):
    """How far integers may be from `follow`; shape (paths, n).

    Per step the exact exponential is off by 2^-64 absolute on a factor of at least 1, the exponent
    by another 2^-64, the product by a wei; here the logarithm of a price of magnitude x is off by
    ``ε·(1 + |ln x|)`` and each sum by ``ε·|ln|``. A step towards a target is Lipschitz with
    constant 1 in both, so errors add over the steps.
    """
    magnitude = 1 + np.abs(np.log(np.asarray(prices, float))).max(axis=1, keepdims=True)
    steps = np.arange(1, stable.shape[1] + 1)
    return steps * (stable * (4 * EPS * magnitude + 4 * 2.0**-64) + 2 * WEI)
