"""Standard normal distribution from the table, bit for bit as on chain.

Source: specification, Mathematics (Normal distribution).
"""

from reference_model.exact.normal_table import table, unpack

INTERVAL = 2**48
STEPS_PER_UNIT = 40 * INTERVAL
CENTRE = 300 * INTERVAL
END = 600 * INTERVAL


def cdf_at(step: int) -> int:
    """Distribution at a place of the table; 0 before it and 1 after.

    Parameters
    ----------
    step : int
        Steps from the start of the table: argument · STEPS_PER_UNIT + CENTRE.

    Returns
    -------
    int
        X48, Down.
    """
    if step < 0:
        return 0
    if step >= END:
        return 2**48
    return cdf_x244(step) >> 196


def cdf_x244(step: int) -> int:
    """Value of the interval's polynomial for ``0 <= step < END``, X244 and exact.

    The chain extracts ``c_k·2^(48·(4 − k))`` with whatever lies in the lanes below it, which are
    the higher coefficients: less than one unit of ``c_k``, and part of the polynomial as defined.
    """
    interval, t = divmod(step, INTERVAL)
    lanes = value = 0
    for power, coefficient in reversed(list(enumerate(unpack(table()[interval])))):
        lanes += coefficient << 48 * (4 - power)
        value = value * t + lanes
    return value


def cdf_x64(x_x64: int) -> int:
    """Distribution function of a signed X64 argument; X64, a multiple of 2^-48, Down."""
    return cdf_at((x_x64 * STEPS_PER_UNIT >> 64) + CENTRE) << 16
