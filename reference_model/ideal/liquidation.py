"""Auctions of accounts below maintenance margin, and who pays what they lack, in float64.

All functions are vectorised: amounts are USD, sizes units, shares and fractions plain numbers.

Source: specification, Liquidation, sections 3 to 8.
"""

from typing import NamedTuple

import numpy as np

EPS = float(np.finfo(np.float64).eps)
WEI = 1e-18
WEEK = 604_800


class Rules(NamedTuple):
    """Rules of auctions; amounts in USD, times in seconds, shares plain numbers."""

    opening_discount: float = 0.02
    cusp_discount: float = 0.3
    fast_seconds: float = 600
    slow_seconds: float = 7_200
    buffer: float = 0.1
    dust_margin: float = 50
    reward_rate: float = 0.02
    reward_cap: float = 500
    insolvency_bonus: float = 0.5
    max_socialised_share: float = 0.25
    max_deleverage_share: float = 0.25


# ---------------------------------------------------------------------------------------- auction


def discount(elapsed, rules: Rules):
    """Share of maintenance margin given away: straight to the cusp, straight on to all of it."""
    corners = [0, rules.fast_seconds, rules.fast_seconds + rules.slow_seconds]
    return np.interp(elapsed, corners, [rules.opening_discount, rules.cusp_discount, 1.0])


def price(equity, maintenance_margin, discount_, rules: Rules):
    """Price of the whole portfolio; negative is paid to the bidder."""
    equity, margin = np.asarray(equity, float), np.asarray(maintenance_margin, float)
    sound = np.maximum(equity - discount_ * margin, 0)
    insolvent = discount_ * (equity - rules.insolvency_bonus * margin)
    return np.where(equity < 0, insolvent, sound)


def reward(equity, maintenance_margin, rules: Rules):
    """Reward for starting an auction: none where less than half of the margin is left."""
    margin = np.asarray(maintenance_margin, float)
    share = np.minimum(rules.reward_rate * margin, rules.reward_cap)
    return np.where(2 * np.asarray(equity, float) < margin, 0, share)


def restoring_fraction(initial_equity, initial_margin, maintenance_margin, price_, rules: Rules):
    """Least part f whose sale at f·price leaves ``E_IM ≥ (1 + buffer)·IM``; all if dust is left.

    For accounts below maintenance margin.
    """
    price_ = np.asarray(price_, float)
    needed = (1 + rules.buffer) * np.asarray(initial_margin, float) - initial_equity
    with np.errstate(divide="ignore", invalid="ignore"):
        least = np.where(price_ > 0, np.minimum(needed / (needed + price_), 1), 1)
    left = (1 - least) * np.asarray(maintenance_margin, float)
    return np.where(left < rules.dust_margin, 1, least)


def after_sale(equity, initial_equity, initial_margin, fraction, price_):
    """Equity, initial equity and initial margin of an account after a slice was sold.

    Exact for books without concentration and open interest charges and without a capped profit;
    otherwise initial equity is at least this and initial margin at most.
    """
    kept, paid = 1 - np.asarray(fraction, float), fraction * np.maximum(price_, 0)
    return kept * equity + paid, kept * initial_equity + paid, kept * initial_margin


# ---------------------------------------------------------------------------------------- windows


def volume(linear, calls, puts):
    """Larger delta that a book can have at the ends of the price axis, units, unsigned."""
    linear = np.asarray(linear, float)
    return np.maximum(np.abs(linear + calls), np.abs(linear - puts))


def window_level(level, capacity, period_seconds, seconds):
    """Forced volume still counted in a window after some time, units."""
    level = np.minimum(np.asarray(level, float), capacity)
    return np.maximum(level - capacity * (seconds / period_seconds), 0)


def window_fraction(volume_, level, capacity):
    """Largest part of a volume above zero that a window lets through."""
    room = np.maximum(np.asarray(capacity, float) - level, 0)
    return np.minimum(room / volume_, 1)


# -------------------------------------------------------------------------------------- waterfall


def pay_claim(claim, fees, fund, socialisable):
    """What protocol capital, insurance fund and all owners of cash pay of a claim, in order."""
    from_fees = np.minimum(claim, fees)
    from_fund = np.minimum(claim - from_fees, fund)
    socialised = np.minimum(claim - from_fees - from_fund, socialisable)
    return from_fees, from_fund, socialised


def socialisable(base, share, seconds, rules: Rules):
    """Most that may be taken from all cash: a share a week, of which some was taken before."""
    forgotten = rules.max_socialised_share * seconds / WEEK
    taken = np.maximum(np.asarray(share, float) - forgotten, 0)
    return np.maximum(rules.max_socialised_share - taken, 0) * np.maximum(base, 0)


def socialised_index(supply_index, base, amount):
    """Supply index after `amount` was taken from all cash, which was owed `base`."""
    return np.asarray(supply_index, float) * (1 - amount / base)


# ----------------------------------------------------------------------------------- deleveraging


def closed_sizes(size, opposite, rules: Rules):
    """Units closed with each counterparty, shape of `opposite`: in proportion to their sizes."""
    opposite = np.asarray(opposite, float)
    whole = opposite.sum(axis=-1, keepdims=True)
    return np.minimum(np.abs(size), rules.max_deleverage_share * whole) * opposite / whole


def haircuts(deficit, closed, size, index, others, profits):
    """What each counterparty gives of its unpaid profit, shape of `closed` and `profits`.

    Parameters
    ----------
    deficit : float
        What the account lacks.
    closed : array_like
        Units closed with each.
    size, index : float
        All units of the account's position, and the price of its underlying.
    others : float
        Σ abs(size)·index of its other positions.
    profits : array_like
        Of what is closed, never paid in.
    """
    shares = np.asarray(closed, float) * index / (np.abs(size) * index + others)
    return np.minimum(deficit * shares, profits)


# -------------------------------------------------------------------------------------- tolerance


def tolerance(*magnitudes, units=4):
    """How far integers may be from any of these: a rounding a step, of these magnitudes.

    Parameters
    ----------
    magnitudes : array_like
        Of everything that is added up, in the unit of the result.
    units : float, optional
        Roundings of the integers, each one unit of 1e-18.
    """
    return 16 * EPS * sum(np.abs(np.asarray(m, float)) for m in magnitudes) + units * WEI


def fraction_tolerance(needed, price_):
    """How far integers may be from a restoring fraction: that of both amounts over their sum."""
    whole = np.abs(needed) + np.abs(price_)
    return 32 * EPS + (4 * WEI + tolerance(needed, price_)) / whole
