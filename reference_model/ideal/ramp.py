"""Parameters on their way from one value to another.

Source: specification, Market data, section 9.
"""

import numpy as np

EPS = float(np.finfo(np.float64).eps)
WEI = 1e-18


def value(before, after, start, end, active):
    """Value in force at active times: linear between both ends, constant outside."""
    way = np.clip((np.asarray(active, float) - start) / (np.asarray(end, float) - start), 0, 1)
    return before + (np.asarray(after, float) - before) * way


def tolerance(before, after):
    """How far integers may be from `value`: four roundings, and a wei."""
    return 4 * EPS * (np.abs(before) + np.abs(after)) + WEI
