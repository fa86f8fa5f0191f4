"""How far the contract's predictive margin may be from a full revaluation, derived and not fitted.

Downwards by the rounding of floats alone: between its nodes a profile is a lower bound of profit.
Upwards by what that bound gives away, too. In a cell of the grid, per unit and with the signs of
the *net* notional N of each strike,

* what is convex in the move lies below its chord by at most a quarter of the width times the
  change of slope: charged for N > 0, given away for N < 0 (linear things where a move is cut);
* a call's value lies below its chord in the deviation by at most an eighth of the squared width
  times ``0.2936/s + 0.242``, above it by that times ``0.0998·s``, and either way by a tenth of
  the width at most: one is charged, the other given away, according to the sign of N;
* the bilinear term is between 0 and a quarter of the twist: charged or given away by its sign.

The expected shortfall is monotone and subadditive, so it moves by no more than the expected
shortfall of these bounds, date by date; and by the slack, which the contract adds for the kernel's
error, once as such and once where the kernel errs that way. Parametric margin is a square root of a
quadratic form: ``|δ√Q| ≤ min(√δQ, δQ/√Q)``.

Source: specification, Predictive margin, 4 to 7.
"""

from typing import NamedTuple

import numpy as np

from reference_model.ideal import black76, margin, predictive, scenarios
from reference_model.ideal.predictive import PredictiveMargin, lists
from reference_model.ideal.unit_tolerance import (
    DEVIATION_STEP,
    EPS,
    WEI,
    Cells,
    inputs,
    of_change,
    of_delta,
)
from reference_model.vectors import NODES, VOL_NODES

WIDTHS = np.diff(NODES)
SLACK_ROUNDING = 2.0**-60
# By how much a call's value bends with its deviation: c_ss/m is within these.
BEND_UP = 0.2936, 0.242
BEND_DOWN = 0.0998
STEEPNESS = 0.1


class Reach(NamedTuple):
    """How far each number of the contract may be below and above the ideal one; USD."""

    below: PredictiveMargin
    above: PredictiveMargin


class _Strikes(NamedTuple):
    """Strikes of live options: a row of the instruments that stands for each, and what is held.

    `notional` is that of call and put together, signed, shape (accounts, strikes); USD.
    """

    row: np.ndarray
    notional: np.ndarray


def of_margin(market, instruments, risk, portfolios, result, totals, spot):
    """Bounds on each number of `result.predictive`.

    Parameters
    ----------
    market, instruments, risk, portfolios, result
        As for `tolerance.of_margin`.
    totals : margin.Margin
        Half-widths of what predictive margin shares with the other modes.
    spot : ndarray of float64, shape (p, u)
        Half-widths of the value of collateral.

    Returns
    -------
    Reach
        With 0 for `applies`, and everywhere where it does not apply.
    """
    g, given, found = market.parameters, market.predictive, result.predictive
    noise, slack = _of_nodes(market, instruments, risk, portfolios, result, spot)
    between = _interpolation(market, instruments, risk, portfolios, result)
    unspoken = totals.underlyings.worst_loss
    es = _over_lists(given, noise, unspoken) + 64 * EPS * found.shortfall
    given_away = _given_away(given, between) + 2 * slack.sum(axis=1)
    p_below, p_above = _of_parametric(market, result, totals, noise, slack)
    tail = totals.scan_risk
    deviation, open_interest = _of_charges_to_come(market, totals, result)
    reach = []
    for shortfall, parametric in ((es, p_below), (es + given_away, p_above)):
        maintenance = np.maximum(shortfall, given.floor_weight * tail)
        initial = np.maximum(maintenance, given.parametric_weight * parametric)
        mm = g.maintenance_factor * maintenance + totals.net_maintenance_margin
        im = g.initial_factor * initial + totals.net_initial_margin + deviation + open_interest
        numbers = shortfall, tail, parametric, deviation, open_interest, mm, im
        never = np.zeros(len(es))
        reach.append(
            PredictiveMargin(never, *(np.where(found.applies, x + 64 * WEI, 0.0) for x in numbers))
        )
    return Reach(*reach)


def _of_nodes(market, instruments, risk, portfolios, result, spot):
    """Rounding of a netted revaluation, and the contract's slack; USD, each of shape (p, u)."""
    terms, cells = scenarios.find_terms(market, instruments), Cells(portfolios, risk)
    size, largest = np.abs(portfolios.size), _largest_move(market)
    option, move = risk.is_live_option, largest[terms.underlying]
    change = of_change(market, instruments, terms, largest, VOL_NODES[-1])
    unit = np.where(option, risk.notional * change, 8 * EPS * np.abs(risk.delta) * move)
    count = cells.total(1, np.ones(len(option)))
    sums = EPS * (32 + count) * (result.underlyings.gross_delta + cells.total(size, risk.notional))
    noise = cells.total(size, unit) + largest * (sums + spot) + WEI * 64 * (1 + count)
    rate = scenarios.KERNEL_ERROR * (move + instruments.strike / terms.price)
    error = cells.total(size, risk.notional * rate) + cells.total(
        1, np.where(option, WEI * rate, 0)
    )
    error += WEI * (1 + 32 * cells.total(1, option.astype(float)))
    exposure = np.abs(result.underlyings.delta) + sums
    return noise, 3 * error + SLACK_ROUNDING * exposure + 64 * WEI


def _largest_move(market):
    """Greatest move of nodes and scenarios, at least 1; shape (u,)."""
    of_nodes = predictive.moves(market.predictive, NODES[-1])
    return np.maximum(scenarios.moves(market).max(axis=0, initial=1), of_nodes)


def _of_parametric(market, result, totals, noise, slack):
    """How far P may be below and above, USD; both (p,)."""
    given, u = market.predictive, result.underlyings
    deviation, _ = predictive.deviations(given)
    silent = predictive.is_silent(given)
    linear = np.where(silent, 0.0, u.delta * deviation)
    size = np.abs(linear).sum(axis=1)
    root = predictive.linear_risk(linear, given.correlation, given.correlation_width)
    for extra in (0.0, slack):
        moved = deviation * (totals.underlyings.delta + extra)
        moved = np.where(silent, 0.0, moved).sum(axis=1)
        form = 2 * size * moved + moved**2 + 64 * EPS * size**2
        of_root = np.minimum(np.sqrt(form), form / np.maximum(root, 1e-9 * size + 1e-300))
        bending = np.where(silent, totals.underlyings.worst_loss, noise) + 2 * extra
        bending = bending.sum(axis=1) + predictive.DEVIATIONS * moved
        rounding = 64 * EPS * (result.predictive.parametric + size)
        yield predictive.DEVIATIONS * np.maximum(of_root, moved) + bending + rounding


def _of_charges_to_come(market, totals, result):
    """Allowances of the deviation and the open-interest charge, USD; both (p,).

    The tails lose no more than all scenarios. A deviation in wei is off by one of them.
    """
    loss, risk = totals.underlyings.worst_loss, result.underlyings.worst_loss
    now, to_come = predictive.deviations(market.predictive)
    wrong = market.parameters.initial_factor * (8 * EPS + 4 * WEI / now) * to_come / now
    rate = predictive.deviation_rate(market)
    deviation = rate * loss + wrong * (risk + loss) + WEI * (2 + 8 * risk)
    silent = predictive.is_silent(market.predictive)
    deviation = np.where(silent, totals.underlyings.scan_range_charge, deviation)
    return deviation.sum(axis=1), totals.underlyings.open_interest_charge.sum(axis=1)


# Between the nodes -------------------------------------------------------------------------------


def _over_lists(given, of_covered, of_others):
    """Sum over underlyings of what applies to those that a list covers, and not; USD, (p,)."""
    terms = (
        weight * np.where(covered, of_covered, of_others) for weight, _, covered in lists(given)
    )
    return sum(terms).sum(axis=1)


def _given_away(given, between):
    """Expected shortfall of the bounds of the cells that the dates lie in, USD, shape (p,).

    A move on a node may be written as either of the cells beside it.
    """
    rows = np.arange(between.shape[1])
    at = np.zeros((between.shape[0], *given.price_moves.shape))
    for side in ("left", "right"):
        for vol_side in ("left", "right"):
            k = _cell(NODES, given.price_moves, side)
            v = _cell(VOL_NODES, given.vol_moves, vol_side)
            at = np.maximum(at, between[:, rows, k, v])
    return sum(
        weight * predictive.mean_of_worst((at[:, stored] * covered).sum(axis=2), given.tail_share)
        for weight, stored, covered in lists(given)
    )


def _cell(nodes, values, side):
    return np.clip(np.searchsorted(nodes, values, side) - 1, 0, len(nodes) - 2)


def _interpolation(market, instruments, risk, portfolios, result):
    """What the contract's interpolation gives away at most in each cell, USD; (p, u, k, v)."""
    given = market.predictive
    deviation, _ = predictive.deviations(given)
    moved = predictive.moves(given, NODES[:, None])
    strikes = _strikes(instruments, risk, portfolios)
    linear = _linear(market, instruments, risk, portfolios)
    if risk.joint is None:
        return np.zeros((*linear.shape, len(WIDTHS), len(VOL_NODES) - 1))
    held = [
        (np.maximum(sign * strikes.notional, 0), np.maximum(sign * linear, 0)) for sign in (1, -1)
    ]
    slopes, errors = _slopes(market, instruments, risk, strikes, moved)
    bends = _bends(market, instruments, strikes)
    out = np.empty((*linear.shape, len(WIDTHS), len(VOL_NODES) - 1))
    for u in range(linear.shape[1]):
        own = np.flatnonzero(risk.underlying[strikes.row] == u)
        width = WIDTHS * deviation[u] / 4
        total = np.zeros(out[:, u].shape)
        for notional, flat in held:
            n = notional[:, own]
            gap = _gaps(n, slopes[..., own], flat[:, u], 1 + NODES * deviation[u])
            gap += np.einsum("ps,cks->pck", n, errors[..., :-1, own] + errors[..., 1:, own])
            gap = np.maximum(gap[:, :-1], gap[:, 1:]) * width
            bend = n @ bends[:, own].T
            move = np.maximum(moved[:-1, u], moved[1:, u])
            total += np.swapaxes(gap, 1, 2) + bend[:, None, :] * move[:, None]
        out[:, u] = total
    return out + _twist(market, risk, portfolios, result) / 4


def _gaps(notional, slopes, linear, uncut):
    """Change of slope over each interval, positive part, per class; shape (p, classes, k).

    Where the move is cut there is no slope; a move that may be is taken for the greater change.
    """
    own = np.einsum("ps,cns->pcn", notional, slopes) + linear[:, None, None]
    left = np.where(uncut > predictive.MIN_MOVE + 1e-12, own, 0.0)
    right = np.where(uncut > predictive.MIN_MOVE - 1e-12, own, 0.0)
    return np.maximum(right[..., 1:] - left[..., :-1], 0)


def _strikes(instruments, risk, portfolios):
    """Net notional of each strike of an expiry; see `_Strikes`."""
    live = np.flatnonzero(risk.is_live_option)
    keys = np.stack([instruments.underlying, instruments.expiry, instruments.strike], axis=1)[live]
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    column = np.full(len(risk.value), -1)
    column[live] = inverse.reshape(-1)
    held = np.zeros((len(portfolios.cash), len(first)))
    at = column[portfolios.instrument]
    is_option = at >= 0
    notional = (portfolios.size * risk.notional[portfolios.instrument])[is_option]
    np.add.at(held, (portfolios.account[is_option], at[is_option]), notional)
    return _Strikes(live[first], held)


def _linear(market, instruments, risk, portfolios):
    """Linear value of each account and underlying, options' puts taken for calls; USD, (p, u)."""
    unit = np.where(risk.is_live_option, -risk.notional * instruments.is_put, risk.delta)
    cells = Cells(portfolios, risk)
    spot, _ = margin.collateral_values(market, portfolios.collateral)
    return cells.total(portfolios.size, unit) + margin.books.by_underlying(market, spot)


def _slopes(market, instruments, risk, strikes, moved):
    """Slope of a call per unit of notional at each node, and its error; (classes, nodes, s)."""
    chosen, terms = _chosen(market, instruments, strikes)
    given = inputs(market, chosen, terms)
    _, of_class = scenarios.deviations(market, chosen, terms, -given.moneyness, VOL_NODES)
    x = given.moneyness + np.log(moved)[:, risk.underlying[strikes.row]]
    s = np.maximum(of_class, DEVIATION_STEP)[:, None, :]
    rate = scenarios.KERNEL_ERROR * (1 + moved.max() + chosen.strike / terms.price)
    error = rate + 2.0**-47 + of_delta(x, s, given.moneyness_error, given.deviation_error)
    return black76.call_delta(x, s), error


def _chosen(market, instruments, strikes):
    chosen = type(instruments)(*(column[strikes.row] for column in instruments))
    return chosen, scenarios.find_terms(market, chosen)


def _bends(market, instruments, strikes):
    """By how much a call bends below and above its chord, together; per unit of N·m, (v, s)."""
    chosen, terms = _chosen(market, instruments, strikes)
    log_strike = np.log(chosen.strike / terms.price)
    _, of_class = scenarios.deviations(market, chosen, terms, log_strike, VOL_NODES)
    low = np.minimum(of_class[:-1], of_class[1:])
    high = np.maximum(of_class[:-1], of_class[1:])
    width = high - low + 2 * DEVIATION_STEP
    inverse, flat = BEND_UP
    curvatures = inverse / np.maximum(low, DEVIATION_STEP) + flat, BEND_DOWN * high
    return sum(
        np.minimum(width**2 * (each + 2e-6) / 8, STEEPNESS * width) + WEI for each in curvatures
    )


def _twist(market, risk, portfolios, result):
    """Size of the bilinear term in each cell, USD; shape (p, u, k, v)."""
    cells = Cells(portfolios, risk)
    corners = risk.joint.nodes
    change = corners[1:, 1:] - corners[1:, :-1] - corners[:-1, 1:] + corners[:-1, :-1]
    out = np.empty((*cells.shape, len(WIDTHS), len(VOL_NODES) - 1))
    for v in range(out.shape[3]):
        for k in range(out.shape[2]):
            out[..., k, v] = np.abs(cells.total(portfolios.size, change[v, k]))
    return out
