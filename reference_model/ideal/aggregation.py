"""Median, interval and time of several sources, over many cases at once.

Source: specification, Market data, section 3.
"""

from typing import NamedTuple

import numpy as np

EPS = float(np.finfo(np.float64).eps)
WEI = 1e-18


class Aggregate(NamedTuple):
    """Price, half-width of the interval, and time; each of shape (cases,)."""

    price: np.ndarray
    confidence: np.ndarray
    timestamp: np.ndarray


def aggregate(prices, confidences, timestamps):
    """Aggregate the answers of n sources.

    Parameters
    ----------
    prices, confidences, timestamps : array_like of float64, shape (cases, n)
        Valid answers; USD, USD, seconds.

    Returns
    -------
    Aggregate
        The median m of the prices; the upper median of ``|p_i − m| + c_i``, at most m; the lower
        median of the times.
    """
    prices = np.asarray(prices, float)
    count = prices.shape[1]
    price = np.median(prices, axis=1)
    reach = np.abs(prices - price[:, None]) + confidences
    upper = np.sort(reach, axis=1)[:, count // 2]
    times = np.sort(np.asarray(timestamps, float), axis=1)[:, (count - 1) // 2]
    return Aggregate(price, np.minimum(upper, price), times)


def tolerance(prices, confidences):
    """How far integers may be from `aggregate`, price and confidence.

    Each input is rounded (``ε/2`` relative), the mean of two adds half an ulp and in integers at
    most half a wei; order statistics and absolute values are Lipschitz with constant 1, so a reach
    adds the errors of its price, the median and its confidence, and an ulp for each operation.
    """
    largest, widest = np.max(prices, axis=1), np.max(confidences, axis=1)
    price = 2 * EPS * largest + WEI
    return price, 2 * price + 4 * EPS * (largest + widest)
