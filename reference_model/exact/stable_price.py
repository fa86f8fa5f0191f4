"""A price that follows another no faster than at a rate.

Source: specification, Market data, section 4.
"""

from reference_model.exact.fixed_point import divide_up
from reference_model.exact.transcendental import exp_x64
from reference_model.types import WAD

ONE_X64 = 2**64
HOUR_SECONDS = 3_600
MAX_STEP_SECONDS = 3_600


def step(stable: int, price: int, elapsed_seconds: int, rate: int) -> int:
    """Stable price after some active time at one price.

    Parameters
    ----------
    stable : int
        Before, above zero, WAD.
    price : int
        The price that was in force in the meantime, WAD.
    elapsed_seconds : int
        At most `MAX_STEP_SECONDS`.
    rate : int
        Greatest change of the logarithm per hour, WAD.

    Returns
    -------
    int
        WAD: at most ``stable·e^(rate·dt)`` (Down), at least ``stable·e^(−rate·dt)`` (Up).
    """
    growth_x64 = exp_x64(rate * elapsed_seconds * ONE_X64 // (WAD * HOUR_SECONDS))
    if price > stable:
        return min(price, stable * growth_x64 // ONE_X64)
    return max(price, divide_up(stable * ONE_X64, growth_x64))
