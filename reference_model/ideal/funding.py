"""Funding of perpetuals.

Source: specification, section 5.
"""

import numpy as np

FUNDING_INTERVAL_SECONDS = 8 * 3600
DAY_SECONDS = 86_400


def premium(mark, index, funding_cap):
    """``(mark − index)/index`` within ±`funding_cap`; fraction per 8 hours, positive: longs pay."""
    return np.clip((np.asarray(mark, float) - index) / index, -np.asarray(funding_cap), funding_cap)


def due(funding_at, active_time, now, timestamp, max_age_seconds):
    """Seconds for which funding is due, and active time up to which it has accrued then.

    Due is what lies between the last accrual and the time from which on the price is too old, at
    most a day of it.

    Parameters
    ----------
    funding_at, active_time : array_like of float64
        Active time of the last accrual, and at present.
    now, timestamp : array_like of float64
        Present time, and time of the spot price; 0 if it must not be relied on.
    max_age_seconds : array_like of float64
        Greatest age of a price for the use as margin.
    """
    known = np.minimum(now, np.asarray(timestamp) + max_age_seconds)
    until = np.maximum(active_time - (now - known), funding_at)
    return np.clip(until - funding_at, 0, DAY_SECONDS), until


def accrue(funding_index, mark, index, funding_cap, elapsed_seconds):
    """Funding index after `elapsed_seconds` at one mark and index.

    Parameters
    ----------
    funding_index : array_like of float64
        USD per unit, signed; what a long has paid since the beginning.
    mark, index : array_like of float64
        USD, above zero.
    funding_cap : array_like of float64
        Fraction per 8 hours, at least zero.
    elapsed_seconds : array_like of float64

    Returns
    -------
    ndarray of float64
        ``fundingIndex + index·premium·dt/28,800``; the contract's is at most one unit less.
    """
    rate = premium(mark, index, funding_cap)
    return funding_index + index * rate * np.asarray(elapsed_seconds) / FUNDING_INTERVAL_SECONDS


def perpetual_value(size, quote, mark, funding_index):
    """Worth of a perpetual position, USD: ``size·(mark − fundingIndex) + quote``."""
    return np.asarray(size) * (np.asarray(mark) - funding_index) + quote
