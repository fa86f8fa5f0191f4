"""Accounts through a crash, hour by hour: which generation liquidates them, and which too late.

Positions are those of the opening; equity is the cash put in then, plus profit and loss.
"""

from typing import NamedTuple

import numpy as np

from reference_model.backtest import books as standard_books
from reference_model.backtest import generations as g

GENERATIONS = ("isolated", "portfolio", "predictive")


class Crash(NamedTuple):
    """Books through the hours after they were opened; money in USD.

    Attributes
    ----------
    margins : dict of str to Margins
        By generation, shape (h, b).
    profits : ndarray of float64, shape (h, b)
        Since the opening.
    leg_margins : Margins
        Of every position in an account of its own, shape (h, legs).
    leg_profits : ndarray of float64, shape (h, legs)
    leg_book : ndarray of int64, shape (legs,)
        The book a position belongs to.
    """

    margins: dict[str, g.Margins]
    profits: np.ndarray
    leg_margins: g.Margins
    leg_profits: np.ndarray
    leg_book: np.ndarray


class Outcome(NamedTuple):
    """What became of each account, shape (b,): sold below maintenance, and then below zero."""

    liquidated: np.ndarray
    insolvent: np.ndarray


def play(world, holdings, lists, opened, hours, predictive):
    """Margin books at every hour after their opening.

    Parameters
    ----------
    world : reference_model.backtest.generations.World
    holdings : reference_model.backtest.books.Holdings
    lists : sequence of reference_model.backtest.history.Dates
    opened : int
        Row of the history.
    hours : int
    predictive : reference_model.backtest.generations.Predictive

    Returns
    -------
    Crash
    """
    hour = np.arange(opened, opened + hours + 1)
    hour = hour[np.isfinite(world.hourly.prices[hour, :2]).all(axis=1)]
    moments = g.Moments(hour, np.full(len(hour), opened))
    legs, leg_book = standard_books.single_legs(holdings)
    count = len(holdings.sizes)
    both = holdings._replace(sizes=np.vstack([holdings.sizes, legs.sizes]))
    scanned = g.scan(world, moments, both)
    of_books = g.Scanned(*(each[:, :count] for each in scanned))
    found = g.profile(world, moments, holdings)
    key = predictive.dates, predictive.tail_share
    measured = g.shortfalls(world, moments, holdings, found, lists, *([x] for x in key))
    margins = {
        "isolated": g.Margins(of_books.isolated_maintenance, of_books.isolated_initial),
        "portfolio": g.Margins(of_books.maintenance, of_books.initial),
        "predictive": g.predictive_margins(
            world,
            moments,
            of_books,
            measured[key].shortfall,
            g.parametric(world, moments, found, predictive),
            predictive,
        ),
    }
    profits = g.profits(world, moments, both)
    leg_margins = g.Margins(scanned.isolated_maintenance, scanned.isolated_initial)
    return Crash(
        margins,
        profits[:, :count],
        g.Margins(*(each[:, count:] for each in leg_margins)),
        profits[:, count:],
        leg_book,
    )


def outcome(equity, maintenance):
    """Liquidate at the first hour below maintenance margin.

    Parameters
    ----------
    equity, maintenance : ndarray of float64, shape (h, b)
        NaN is unknown and liquidates nobody.

    Returns
    -------
    Outcome
    """
    below = equity < maintenance
    liquidated = below.any(axis=0)
    at_sale = np.take_along_axis(equity, below.argmax(axis=0)[None], axis=0)[0]
    return Outcome(liquidated, liquidated & (at_sale < 0))


def own_capital(crash, generation, capital):
    """Accounts that hold `capital` times the initial margin of their own generation."""
    margins = crash.margins[generation]
    return outcome(capital * margins.initial[0] + crash.profits, margins.maintenance)


def isolated_positions(crash, capital):
    """Books whose positions each stand alone, with `capital` times their own initial margin.

    Returns
    -------
    Outcome
        Of a book: whether any of its positions was sold.
    """
    equity = capital * crash.leg_margins.initial[0] + crash.leg_profits
    legs = outcome(equity, crash.leg_margins.maintenance)
    count = crash.profits.shape[1]
    return Outcome(*(np.bincount(crash.leg_book, each, count) > 0 for each in legs))


def same_capital(crash, generation, capital):
    """Accounts of a generation with the capital that their positions alone would have had."""
    legs = np.bincount(crash.leg_book, crash.leg_margins.initial[0], crash.profits.shape[1])
    margins = crash.margins[generation]
    return outcome(capital * legs + crash.profits, margins.maintenance)
