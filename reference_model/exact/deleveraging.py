"""Shares in what is closed against an insolvent account, and in its deficit.

Source: specification, Liquidation, section 8.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise

from reference_model.exact.fixed_point import mul_div_up, mul_down
from reference_model.types import Assessment


def closed_size(size: int, opposite: int, max_share: int) -> int:
    """Units closed in all: the account's `size`, at most a share of the `opposite` sizes."""
    return min(abs(size), mul_down(max_share, opposite))


def split(total: int, weights: Sequence[int]) -> list[int]:
    """Parts of a total in proportion to weights, whose sum is the total to the last unit.

    ``⌊total·Σ_{i≤k} w_i / W⌋ − ⌊total·Σ_{i<k} w_i / W⌋``; the weights' sum is above zero.
    """
    whole = sum(weights)
    reached = [total * cumulative // whole for cumulative in accumulate(weights, initial=0)]
    return [after - before for before, after in pairwise(reached)]


def haircut(deficit: int, closed: int, size: int, index: int, others: int) -> int:
    """Part of a deficit that goes with what is closed, USD, WAD, Up; all, with all of the last.

    Parameters
    ----------
    deficit : int
        ``−E``, USD, WAD.
    closed, size : int
        Units closed, and all units of the position, unsigned.
    index : int
        Price of the position's underlying, USD, WAD.
    others : int
        Σ abs(size)·index of the account's other positions, 1e-36 USD.
    """
    return mul_div_up(deficit, closed * index, size * index + others)


def unpaid_profit(value: int, closed: int, size: int) -> int:
    """Profit never paid in of what is closed of a linear position worth `value`, USD, Down."""
    return max(0, value) * closed // size


def haircut_for(premium: int, funds: int, share: int, deficit: int) -> int:
    """Haircut of what is closed, USD, WAD: its share, and at least what the account cannot pay.

    Parameters
    ----------
    premium : int
        That the account owes for it, USD, WAD; negative is received.
    funds : int
        Collateral equity of the account, USD, WAD.
    share, deficit : int
        Share of the deficit, and all that is left of it, USD, WAD.
    """
    return min(max(share, premium - max(0, funds)), deficit)


def is_paid(premium: int, haircut: int, funds: int, left: int) -> bool:
    """Whether a premium is paid out of one's own: by a trade nobody could pay it otherwise.

    Parameters
    ----------
    premium, haircut, funds : int
        As in `haircut_for`.
    left : int
        Collateral equity of the counterparty afterwards, USD, WAD.
    """
    return left >= 0 if premium < 0 else premium - haircut <= max(0, funds)


def hurts(before: Assessment, after: Assessment) -> bool:
    """Whether a counterparty's requirement rose, or rose for its equity."""
    if after.maintenance_margin > before.maintenance_margin:
        return True
    kept = after.equity * before.maintenance_margin
    return kept < before.equity * after.maintenance_margin
