"""Interest on cash: rate from utilisation, and the growth of the two indices and of the debt.

Source: specification, section 4.
"""

from typing import NamedTuple

import numpy as np

YEAR_SECONDS = 365 * 86_400


class InterestParameters(NamedTuple):
    """Rates per year; `kink` a utilisation in (0, 1), `reserve_factor` a fraction."""

    base: float
    slope1: float
    slope2: float
    kink: float
    reserve_factor: float


class CashPool(NamedTuple):
    """Cash that is there and that is lent, USD, and the two indices; arrays of float64."""

    cash_held: np.ndarray
    total_debt: np.ndarray
    borrow_index: np.ndarray
    supply_index: np.ndarray


def utilisation(pool):
    """``totalDebt / (totalDebt + cashHeld)``, 0 without debt. In [0, 1]."""
    debt = np.asarray(pool.total_debt, float)
    total = debt + pool.cash_held
    return np.divide(debt, total, out=np.zeros_like(total), where=debt > 0)


def borrow_rate(parameters, used):
    """Rate per year, piecewise linear in the utilisation with a corner at the kink."""
    below = np.minimum(np.asarray(used) / parameters.kink, 1.0)
    above = np.maximum((np.asarray(used) - parameters.kink) / (1 - parameters.kink), 0.0)
    return parameters.base + parameters.slope1 * below + parameters.slope2 * above


def accrue(pool, parameters, elapsed_seconds):
    """Cash pool after `elapsed_seconds` of simple interest in one step.

    Parameters
    ----------
    pool : CashPool
    parameters : InterestParameters
    elapsed_seconds : array_like of float64

    Returns
    -------
    CashPool
        ``borrowIndex`` and ``totalDebt`` grown by ``g = rate·dt/YEAR``, ``supplyIndex`` by
        ``g·utilisation·(1 − reserveFactor)``.
    """
    used = utilisation(pool)
    growth = borrow_rate(parameters, used) * np.asarray(elapsed_seconds) / YEAR_SECONDS
    supply_growth = growth * used * (1 - parameters.reserve_factor)
    return CashPool(
        pool.cash_held,
        pool.total_debt * (1 + growth),
        pool.borrow_index * (1 + growth),
        pool.supply_index * (1 + supply_growth),
    )


def up_to_date(cash, cash_index, pool):
    """Cash with interest, USD: grown by the supply index if ≥ 0, by the borrow index if a debt.

    A `cash_index` of zero belongs to an account never touched and counts as the current index.
    """
    cash = np.asarray(cash, float)
    index = np.where(cash >= 0, pool.supply_index, pool.borrow_index)
    then = np.where(np.asarray(cash_index) == 0, index, cash_index)
    return cash * index / then
