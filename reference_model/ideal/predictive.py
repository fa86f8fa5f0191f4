"""Predictive margin of many accounts: every option revalued at every date, nothing interpolated.

The contract prices an account at nodes and charges for what lies between. Here each instrument is
priced at each joint move of the past itself, so this is what the contract must not fall short of;
`tolerance` says by how much it may exceed it. Axes: d dates, n nodes, u underlyings, i instruments,
p accounts, c cells.

Source: specification, Predictive margin; R. T. Rockafellar and S. Uryasev, "Optimization of
conditional value-at-risk" (2000).
"""

from typing import NamedTuple

import numpy as np

from reference_model import vectors
from reference_model.ideal import book as books
from reference_model.ideal.book import Rows
from reference_model.vectors import DAY_SECONDS, NODES, VOL_NODES

PREDICTIVE = 2
MIN_MOVE = 0.01
MAX_DEVIATION = 1.0
DEVIATIONS = 3
# Nodes and classes of the box in which gamma and vega are at their worst.
BOX_NODES = np.flatnonzero(np.abs(NODES) <= DEVIATIONS)
BOX_CLASSES = np.flatnonzero(np.abs(VOL_NODES) <= 0.5)


class Vectors(NamedTuple):
    """Joint moves, parameters in force and what volatility is; what mode PREDICTIVE needs.

    Attributes
    ----------
    tail_share, horizon_seconds, floor_weight, parametric_weight, correlation_width,
    single_asset_floor : float
        Parameters; `horizon_seconds` in seconds, the others fractions.
    price_moves, vol_moves : ndarray of float64, shape (dates, underlyings)
        z in deviations and y in vol ranges of the dates stored, by row of the market's underlyings;
        any for those not covered.
    before, leaving : int
        Dates in force before the last publication, the first of those stored; how many of them go.
    progress : float
        Share of the way to the new list, which falls again once the publication is taken back.
    covered_before, covered : ndarray of bool, shape (underlyings,)
        Of which underlyings the dates in force before it, and those in force at the end of its
        ramp, say something.
    deviation, initial_deviation : ndarray of float64, shape (underlyings,)
        Of a day, for maintenance and initial margin; any number above 0 where not covered.
    correlation : ndarray of float64, shape (underlyings, underlyings)
        The estimator's; 1 on the diagonal.
    """

    tail_share: float
    horizon_seconds: float
    floor_weight: float
    parametric_weight: float
    correlation_width: float
    single_asset_floor: float
    price_moves: np.ndarray
    vol_moves: np.ndarray
    before: int
    leaving: int
    progress: float
    covered_before: np.ndarray
    covered: np.ndarray
    deviation: np.ndarray
    initial_deviation: np.ndarray
    correlation: np.ndarray


class Dates(NamedTuple):
    """A list of dates: its weight in a ramp, which of those stored it has, what it covers (u,)."""

    weight: float
    stored: slice
    covered: np.ndarray


class JointRisk(NamedTuple):
    """Profit and loss of one unit of each instrument, USD.

    `dates` has shape (dates, instruments), `nodes` (classes, nodes, instruments).
    """

    dates: np.ndarray
    nodes: np.ndarray


class PredictiveMargin(NamedTuple):
    """Predictive margin, USD, shape (accounts,); 0 where `applies` is False."""

    applies: np.ndarray
    shortfall: np.ndarray
    tail_risk: np.ndarray
    parametric: np.ndarray
    deviation_charge: np.ndarray
    open_interest_charge: np.ndarray
    maintenance_margin: np.ndarray
    initial_margin: np.ndarray


def unpublished(count):
    """Vectors of nothing at all, with the default parameters, for so many underlyings."""
    nothing, ones = np.zeros((0, count)), np.ones(count)
    uncovered, identity = np.zeros(count, bool), np.eye(count)
    rules = 0.025, 86_400.0, 0.6, 0.8, 0.3, 0.5
    moves = nothing, nothing, 0, 0, 1.0
    return Vectors(*rules, *moves, uncovered, uncovered, ones, ones, identity)


# Moves -------------------------------------------------------------------------------------------


def horizon_deviation(deviation, horizon_seconds):
    """``min(σ·√(horizon/day), 1)``; the shape of `deviation`."""
    return np.minimum(deviation * np.sqrt(horizon_seconds / DAY_SECONDS), MAX_DEVIATION)


def deviations(given):
    """Deviations of the horizon for maintenance and initial margin, each of shape (u,)."""
    horizon = given.horizon_seconds
    return (horizon_deviation(x, horizon) for x in (given.deviation, given.initial_deviation))


def moves(given, standard):
    """Price after over price before, ``max(1 + z·σ, 0.01)``; z broadcasts against (u,)."""
    deviation, _ = deviations(given)
    return np.maximum(1 + np.asarray(standard) * deviation, MIN_MOVE)


def between_classes(vol_moves, of_class):
    """Interpolate in y between the two vol classes around it.

    Parameters
    ----------
    vol_moves : ndarray of float64, shape (dates, instruments)
        y, within the outer classes.
    of_class : ndarray of float64, shape (classes, instruments)

    Returns
    -------
    ndarray of float64, shape (dates, instruments)
    """
    low = np.clip(np.searchsorted(VOL_NODES, vol_moves, "right") - 1, 0, len(VOL_NODES) - 2)
    share = (vol_moves - VOL_NODES[low]) / np.diff(VOL_NODES)[low]
    column = np.arange(of_class.shape[1])
    below, above = of_class[low, column], of_class[low + 1, column]
    return below + share * (above - below)


# Measures ----------------------------------------------------------------------------------------


def lists(given):
    """Lists of dates in force: one, or two while the last publication ramps."""
    new = Dates(given.progress, slice(given.leaving, None), given.covered)
    old = Dates(1 - given.progress, slice(given.before), given.covered_before)
    return (old, new) if given.progress < 1 else (new,)


def applies(book):
    """Whether accounts are exposed to anything, shape (p,); else all requirements are the same."""
    exposed = np.zeros(len(book.portfolios.cash), bool)
    exposed[book.cells.account] = True
    return exposed


def shortfall(market, risk, book, held, worst_loss):
    """Expected shortfall of each account over the dates in force, USD, shape (p,).

    What a list does not cover adds its worst scenario, `worst_loss` of shape (c,), to it.
    """
    given, out = market.predictive, np.zeros(len(book.portfolios.cash))
    for each in lists(given):
        uncovered = np.where(each.covered[book.cells.key], 0.0, worst_loss)
        out += each.weight * np.bincount(book.cells.account, uncovered, len(out))
        if each.covered.any():
            out += each.weight * _of_covered(given, risk, book, held, each)
    return out


def _of_covered(given, risk, book, held, dates):
    """Expected shortfall over a list of dates of what it covers, USD, shape (p,)."""
    spot = moves(given, given.price_moves[dates.stored]) - 1
    pnl = np.concatenate([risk.joint.dates[dates.stored], spot], axis=1)
    of_column = np.append(risk.underlying, np.arange(len(given.covered)))
    out, rows = np.zeros(len(book.portfolios.cash)), _accounts(book)
    for slab, sums in books.products(book, rows, held, (pnl * dates.covered[of_column]).T):
        losses = np.maximum(-sums, 0)
        out[rows.account[slab]] = mean_of_worst(losses, given.tail_share)
    return out


def mean_of_worst(losses, tail_share):
    """Expected shortfall of losses of shape (..., dates), 0 of no dates."""
    return vectors.expected_shortfall(losses, tail_share) if losses.shape[-1] else 0.0


def is_silent(given):
    """Underlyings of which no list in force says anything, shape (u,)."""
    return ~np.any([each.covered for each in lists(given)], axis=0)


def _accounts(book):
    """Rows of all that an account holds."""
    first = np.flatnonzero(np.diff(book.groups.account, prepend=-1))
    start = np.append(book.groups.start[first], book.groups.start[-1])
    return Rows(start, book.groups.account[first], np.zeros(len(first), np.int64))


def parametric(market, risk, book, held, delta, worst_loss):
    """Parametric margin P of each account, USD, shape (p,).

    ``3·max(√(e'·R*·e), floor·max|e|) + Σ g``, ``e = Δ·σ``, with the worst correlations R* of the
    box, ``(1 − w)·ρ̂ + w·s·s'`` for the signs s of the deltas. What no list covers adds its worst
    scenario instead. `delta` and `worst_loss` in USD, shape (c,).
    """
    given, count = market.predictive, len(market.underlyings.index)
    silent, (deviation, _) = is_silent(given), deviations(given)
    if silent.all():
        return np.bincount(book.cells.account, worst_loss, len(book.portfolios.cash))
    linear = np.zeros((len(book.portfolios.cash), count))
    linear[book.cells.account, book.cells.key] = delta * deviation[book.cells.key]
    linear[:, silent] = 0
    worst = linear_risk(linear, given.correlation, given.correlation_width)
    least = given.single_asset_floor * np.abs(linear).max(axis=1, initial=0)
    columns = _unexplained(given, risk)
    bent = np.concatenate([columns, np.zeros((len(columns), count))], axis=1)
    unexplained = -books.product(book, book.cells, held, bent.T).min(axis=0, initial=0)
    beside = np.where(silent[book.cells.key], worst_loss, unexplained)
    return DEVIATIONS * np.maximum(worst, least) + np.bincount(
        book.cells.account, beside, len(least)
    )


def _unexplained(given, risk):
    """What the dollar delta does not explain of one unit, in the box; (classes · nodes, i)."""
    moved = moves(given, NODES[BOX_NODES, None])[:, risk.underlying]
    left = risk.joint.nodes[BOX_CLASSES][:, BOX_NODES] - risk.delta * (moved - 1)
    return left.reshape(len(BOX_CLASSES) * len(BOX_NODES), len(risk.delta))


def linear_risk(linear, correlation, width):
    """Greatest deviation of ``Σ e_u·z_u`` over the box of correlations, USD, shape (p,).

    Parameters
    ----------
    linear : ndarray of float64, shape (p, u)
        e, signed.
    correlation : ndarray of float64, shape (u, u)
        The estimate ρ̂ in the middle of the shrunk box.
    width : float
        w.

    Returns
    -------
    ndarray of float64
        ``√((1 − w)·e'ρ̂e + w·(Σ|e|)²)``.
    """
    estimated = np.einsum("pu,uv,pv->p", linear, correlation, linear)
    together = np.square(np.abs(linear).sum(axis=1))
    return np.sqrt(np.maximum((1 - width) * estimated + width * together, 0))


def worst_correlation(linear, correlation, width):
    """Correlation matrix of the box at which `linear_risk` is attained, for one e of shape (u,)."""
    sign = np.where(np.asarray(linear) < 0, -1.0, 1.0)
    return (1 - width) * correlation + width * np.outer(sign, sign)


# Requirement -------------------------------------------------------------------------------------


def tails(market):
    """Scenarios of governance that are tails, ``|x| ≥ 1``; indices."""
    return np.flatnonzero(np.abs(market.scenarios.price_move) >= 1)


def requirement(market, risk, book, held, cells, tail_loss, tail_risk, charges, oi_rate):
    """Put the requirement of mode PREDICTIVE together, for accounts of any mode.

    Parameters
    ----------
    market, risk, book, held
        As in `margin`.
    cells : reference_model.ideal.margin.UnderlyingMargin
        Net dollar delta, W_u and scan range charge of every cell.
    tail_loss : ndarray of float64, shape (c,)
        W_u over the tails alone.
    tail_risk : ndarray of float64, shape (p,)
        R over the tails alone.
    charges : ndarray of float64, shape (p,)
        The netted ones, of maintenance.
    oi_rate : ndarray of float64, shape (c,)
        What initial margin adds for open interest, per unit of W_u.

    Returns
    -------
    PredictiveMargin
    """
    given, g = market.predictive, market.parameters
    es = shortfall(market, risk, book, held, cells.worst_loss)
    p = parametric(market, risk, book, held, cells.delta, cells.worst_loss)
    of_deviation = np.where(
        is_silent(given)[book.cells.key],
        cells.scan_range_charge,
        deviation_rate(market)[book.cells.key] * tail_loss,
    )
    ahead = [
        np.bincount(book.cells.account, each, len(es))
        for each in (of_deviation, oi_rate * tail_loss)
    ]
    maintenance = np.maximum(es, given.floor_weight * tail_risk)
    initial = np.maximum(maintenance, given.parametric_weight * p)
    mm = g.maintenance_factor * maintenance + charges
    im = g.initial_factor * initial + charges + sum(ahead)
    speaks, every = applies(book), (es, tail_risk, p, *ahead, mm, im)
    return PredictiveMargin(speaks, *(np.where(speaks, each, 0.0) for each in every))


def deviation_rate(market):
    """``φ_IM·(σ^init/σ − 1)``, shape (u,): what initial margin adds for volatility to come."""
    now, to_come = deviations(market.predictive)
    return market.parameters.initial_factor * (to_come / now - 1)
