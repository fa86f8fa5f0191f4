"""Scan ranges that follow volatility, fast up and slow down, between bounds.

Source: specification, Market data, section 8.
"""

import numpy as np

EPS = float(np.finfo(np.float64).eps)
WEI = 1e-18
HOUR_SECONDS = 3_600
LONGEST_SECONDS = 864_000
GREATEST_EXPONENT = 40


def moved(start, target, elapsed_seconds, rise_rate, fall_rate):
    """Range after some active time on the way from `start` to `target`; fractions.

    The logarithm moves by at most ``rate·dt``, whose rate (per hour) depends on the direction.
    """
    start, target = np.asarray(start, float), np.asarray(target, float)
    hours = np.clip(elapsed_seconds, 0, LONGEST_SECONDS) / HOUR_SECONDS
    up = start * np.exp(np.minimum(rise_rate * hours, GREATEST_EXPONENT))
    down = start * np.exp(-np.minimum(fall_rate * hours, GREATEST_EXPONENT))
    return np.clip(target, down, up)


def ranges(start, target, low, high, elapsed_seconds, rise_rate, fall_rate):
    """Range of the scenarios, and of the initial requirement, which looks ahead to the target."""
    current = np.clip(moved(start, target, elapsed_seconds, rise_rate, fall_rate), low, high)
    return current, np.maximum(current, np.clip(target, low, high))


def tolerance(value):
    """How far integers may be from `moved`: exponent up to 40 in both layers, and two wei.

    The exact exponent is off by 2^-64, so is its exponential (relative to at least 2^-66 of it, or
    2^-64 absolute, which counts against a range of at least 1e-3 only below a wei); here the
    exponent is off by ``40ε``.
    """
    return np.asarray(value, float) * 64 * EPS + 2 * WEI
