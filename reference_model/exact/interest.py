"""Utilisation-based interest on cash.

Source: specification, section 4.
"""

from typing import NamedTuple

from reference_model.exact.fixed_point import div_down, div_up, mul_down, mul_up
from reference_model.types import WAD, YEAR, InterestParameters

MAX_INDEX = 2**88 - 1
MAX_DEBT = 2**128 - 1


class InterestState(NamedTuple):
    """What accrual changes; indices and USD are WAD, time is active time in seconds."""

    borrow_index: int
    supply_index: int
    total_debt: int
    accrued_at: int


def utilisation(total_debt: int, cash_held: int) -> int:
    """Fraction of all cash that is lent, WAD, Down."""
    return div_down(total_debt, total_debt + cash_held) if total_debt else 0


def borrow_rate(parameters: InterestParameters, used: int) -> int:
    """Rate per year at utilisation `used`, WAD, Up."""
    p = parameters
    if used <= p.kink:
        return p.base + mul_up(p.slope1, div_up(used, p.kink))
    return p.base + p.slope1 + mul_up(p.slope2, div_up(used - p.kink, WAD - p.kink))


def accrue(
    state: InterestState, cash_held: int, parameters: InterestParameters, active_time: int
) -> InterestState:
    """State at `active_time`, which an outage learned of late may have set back.

    All rates use the values before. Interest stops rather than blocks: an accrual after which the
    borrow index or the debt would not fit its field counts with growth 0.
    """
    seconds = active_time - state.accrued_at
    if seconds <= 0:
        return state
    used = utilisation(state.total_debt, cash_held)
    growth = -(-borrow_rate(parameters, used) * seconds // YEAR)
    supply_growth = mul_down(mul_down(growth, used), WAD - parameters.reserve_factor)
    grown = InterestState(
        state.borrow_index + mul_up(state.borrow_index, growth),
        state.supply_index + mul_down(state.supply_index, supply_growth),
        state.total_debt + mul_up(state.total_debt, growth),
        active_time,
    )
    if grown.borrow_index > MAX_INDEX or grown.total_debt > MAX_DEBT:
        return state._replace(accrued_at=active_time)
    return grown


def current_cash(cash: int, cash_index: int, borrow_index: int, supply_index: int) -> int:
    """Cash with its interest, USD, WAD, signed.

    What is owned rounds Down and what is owed Up, so both go towards minus infinity. `cash_index`
    0 is that of an account never touched, whose cash is 0.
    """
    if cash_index == 0:
        return cash
    return cash * (supply_index if cash >= 0 else borrow_index) // cash_index
