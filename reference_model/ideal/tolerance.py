"""How far the ideal layer may be from the exact one, derived and not fitted.

Both evaluate the same formulas, the ideal layer in float64 with unit roundoff ε/2, the exact one in
integers with the stated errors of its mathematics. Per account the allowance is a sum over
positions, each in proportion to its notional ``n = |size|·price``:

* *Kernel.* The exact layer's call value, change of it, and Φ(d1) are within
  ``KERNEL_ERROR·(m + K/F)`` for the deviation in whole steps of its table. `black76.kernel` is
  within ``8ε·(1 + s²/4)·m`` (measured in its test), that is ``520ε·m`` up to `MAX_DEVIATION` = 16.
* *Moneyness.* ``x = ln(F/K)`` of two rounded floats is within ``ε·(2 + |x|)``; since
  ``0 ≤ ∂c/∂x ≤ m`` so is c, times m. Likewise ``0 ≤ ∂c/∂m ≤ 1`` for the rounding of m.
* *Deviation.* Rounding of a sum of terms leaves the total variance w within ``8ε`` of their
  magnitude, plus the exact layer's `VARIANCE_ERROR`; that is δw, and ``δs = min(√δw, δw/s)`` plus
  a step of the exact layer's table. A shock v multiplies it, and adds ``20ε·(1 + |y·ν·f|)``
  relative. ``0 ≤ ∂c/∂s = m·φ(d1) ≤ 0.4·m``.
* *Delta.* ``|δΦ(d1)| ≤ φ(d1)·(δx/s + |d2|·δs/s)``, never more than 1.
* *Sums* of k terms lose less than ``k·ε`` times the sum of their magnitudes.
* *Integer rounding* costs a wei per operation, times what is multiplied with it afterwards; a wei
  of notional moves error_u by the part of it that is the same for every position.

Requirements are Lipschitz in these: a maximum, a minimum and a clamp with constant 1, each charge
with its rate. All results have the shape of the values they belong to.

Source: specification, sections 8 to 10 and Mathematics; N. J. Higham, "Accuracy and stability of
numerical algorithms" (2002), chapters 3 and 4.
"""

from typing import NamedTuple

import numpy as np

from reference_model.ideal import book, margin, predictive, predictive_tolerance, scenarios
from reference_model.ideal import market as markets
from reference_model.ideal.predictive import PREDICTIVE
from reference_model.ideal.unit_tolerance import EPS, WEI, Cells, per_unit, sums

THIRTY_DAYS_SECONDS = 30 * 86_400


class Disagreement(NamedTuple):
    """A number of an account on which the layers are further apart than they may be; USD."""

    account: int
    name: str
    ideal: float
    exact: float
    allowance: float


def of_margin(market, instruments, risk, portfolios, result):
    """Allowance for each number of a `margin.Margin`.

    Parameters
    ----------
    market, instruments, risk, portfolios
        What `result` was computed from.
    result : margin.Margin
        With its scenarios kept or not.

    Returns
    -------
    margin.Margin
        Half-widths in USD around the values of `result`. ``health`` is 0 where the health is
        certain and 3 where a border is within the allowance; ``binding_scenario`` is None;
        ``predictive`` is a `predictive_tolerance.Reach`.
    """
    unit = per_unit(market, instruments, risk)
    cells = Cells(portfolios, risk)
    spot, initial_spot = _of_collateral(market, portfolios, result)
    underlyings = _of_underlyings(market, risk, portfolios, cells, unit, spot, result.underlyings)
    derivative = _of_derivatives(portfolios, risk, unit) + underlyings.error.sum(axis=1)
    totals = _of_totals(market, portfolios, result, underlyings, derivative, spot, initial_spot)
    if result.predictive is None:
        return totals
    if market.predictive is None:
        silent = predictive.unpublished(len(market.underlyings.index))
        market = market._replace(predictive=silent)
    spot = book.by_underlying(market, spot)
    reach = predictive_tolerance.of_margin(
        market, instruments, risk, portfolios, result, totals, spot
    )
    return _with_predictive(portfolios, result, totals, reach)


def _with_predictive(portfolios, result, totals, reach):
    """Allow an account that is held to predictive margin what that may reach, either way."""
    held = (portfolios.margin_mode == PREDICTIVE) & result.predictive.applies
    mm, im = (
        np.where(held, np.maximum(getattr(reach.below, name), getattr(reach.above, name)), own)
        for name, own in (
            ("maintenance_margin", totals.maintenance_margin),
            ("initial_margin", totals.initial_margin),
        )
    )
    return totals._replace(
        maintenance_margin=mm,
        initial_margin=im,
        health=_of_health(result, totals.equity, totals.initial_equity, mm, im),
        predictive=reach,
    )


def assess(market, portfolios):
    """Margin accounts given in contract units, with the allowance of every number.

    Parameters
    ----------
    market : reference_model.types.Market
    portfolios : sequence of reference_model.types.Portfolio

    Returns
    -------
    margin.Margin, margin.Margin
        Values with all scenarios kept, and half-widths.
    """
    arrays = markets.from_integers(market)
    instruments, books = margin.from_integers(arrays, portfolios)
    risk = scenarios.price(arrays, instruments)
    result = margin.margin(arrays, risk, books, keep_scenarios=True)
    return result, of_margin(arrays, instruments, risk, books, result)


def compare(market, portfolios, breakdowns):
    """Every number of the exact breakdowns that the ideal layer does not confirm.

    Parameters
    ----------
    market : reference_model.types.Market
    portfolios : sequence of reference_model.types.Portfolio
    breakdowns : sequence of reference_model.types.Breakdown
        One for each portfolio, from the exact layer or from a chain.

    Returns
    -------
    list of Disagreement
    """
    result, allowance = assess(market, portfolios)
    rows = {spot.underlying: row for row, spot in enumerate(market.spots)}
    found = []
    for account, breakdown in enumerate(breakdowns):
        for name, exact in _named_totals(breakdown):
            ideal, allowed = (getattr(each, name)[account] for each in (result, allowance))
            _judge(found, account, name, ideal, exact, allowed)
        if result.predictive is not None:
            _compare_predictive(found, account, breakdown.predictive, result, allowance)
        for each in breakdown.underlyings:
            at = account, rows[each.underlying]
            _compare_underlying(found, at, each, result.underlyings, allowance.underlyings)
    return found


def _compare_underlying(found, at, breakdown, result, allowance):
    """Compare one underlying of one account; `at` is its place in the arrays."""
    netted, allowed = (each.netted[:, at[0], at[1]] for each in (result, allowance))
    name = f"binding_scenario[{breakdown.underlying}]"
    binding = netted[breakdown.binding_scenario]
    _judge(found, at[0], name, netted.min(), binding, 2 * allowed)
    for name, exact in _named_of_underlying(breakdown):
        ideal, allowed = (getattr(each, name)[..., at[0], at[1]] for each in (result, allowance))
        _judge(found, at[0], f"{name}[{breakdown.underlying}]", ideal, exact, allowed)


def _compare_predictive(found, account, breakdown, result, allowance):
    """Compare predictive margin, which may be further above a full revaluation than below it."""
    for name, each in zip(breakdown._fields, breakdown, strict=True):
        exact = float(each) if name == "applies" else each / 10**18
        ideal, below, above = (
            float(getattr(which, name)[account])
            for which in (result.predictive, *allowance.predictive)
        )
        allowed = above if exact > ideal else below
        _judge(found, account, f"predictive.{name}", ideal, exact, allowed)


def _named_totals(breakdown):
    """Names and values in USD of the totals, as in `margin.Margin`."""
    for name in margin.Margin._fields[:5]:
        yield name, getattr(breakdown.assessment, name) / 10**18
    yield "health", float(breakdown.health)
    for name in margin.Margin._fields[6:15]:
        yield name, getattr(breakdown, name) / 10**18
    yield "group_risk", np.array([each / 10**18 for each in breakdown.group_risk])


def _named_of_underlying(breakdown):
    """Names and values in USD of one underlying, as in `margin.UnderlyingMargin`."""
    yield "netted", np.array([each / 10**18 for each in breakdown.netted])
    for name in breakdown._fields[2:]:
        if name != "binding_scenario":
            yield name, getattr(breakdown, name) / 10**18


def _judge(found, account, name, ideal, exact, allowed):
    """Record the largest excess of ``|ideal − exact|`` over the allowance, if there is one."""
    ideal, exact, allowed = np.broadcast_arrays(*map(np.atleast_1d, (ideal, exact, allowed)))
    excess = np.abs(ideal - exact) - allowed
    if not np.all(excess <= 0):
        worst = int(np.argmax(excess))
        values = (float(each[worst]) for each in (ideal, exact, allowed))
        found.append(Disagreement(account, name, *values))


def _of_collateral(market, portfolios, result):
    """Allowance of collateral values at maintenance prices per underlying, and of both totals."""
    values = margin.collateral_values(market, portfolios.collateral)
    allowed, initial = (
        8 * EPS * each + WEI * (portfolios.collateral + 4 * (portfolios.collateral > 0))
        for each in values
    )
    return allowed, initial


def _of_underlyings(market, risk, portfolios, cells, unit, spot, result):
    """Allowances of an `margin.UnderlyingMargin`."""
    u, size = market.underlyings, np.abs(portfolios.size)
    count = cells.total(1, np.ones(len(unit.value)))
    if market.predictive is None:
        silent = predictive.unpublished(len(market.underlyings.index))
        market = market._replace(predictive=silent)
    spot = book.by_underlying(market, spot)
    sums = EPS * (16 + count) * (cells.total(size, unit.magnitude) + result.gross_delta)
    rounding = WEI * 64 * (1 + count)
    largest_move = np.maximum(scenarios.moves(market).max(axis=0, initial=1), 1)
    loss = cells.total(size, unit.pnl) + largest_move * (sums + spot) + rounding
    delta = cells.total(size, unit.delta) + sums + spot + rounding
    error = 8 * EPS * result.error + cells.total(1, risk.fixed_error) + rounding
    loss_error, isolated_error, exposure = loss + error, loss + 3 * error, delta + error
    days = risk.bucket_time[:, -1] / THIRTY_DAYS_SECONDS
    open_interest, isolated_open_interest = (
        _of_open_interest(market, portfolios, charge, each, allowance)
        for charge, each, allowance in (
            (result.open_interest_charge, result.worst_loss, loss_error),
            (result.isolated_open_interest_charge, result.isolated_loss, isolated_error),
        )
    )
    scan_range, isolated_scan_range = (
        _of_scan_range(market, charge, each, allowance)
        for charge, each, allowance in (
            (result.scan_range_charge, result.worst_loss, loss_error),
            (result.isolated_scan_range_charge, result.isolated_loss, isolated_error),
        )
    )
    short = result.short_option_charge * EPS * (16 + count)
    per_delta = u.confidence / u.index
    return margin.UnderlyingMargin(
        loss[None] if result.netted is not None else None,
        error,
        loss_error,
        None,
        isolated_error,
        delta,
        delta,
        u.basis_rate * days * 2 * exposure + 16 * EPS * result.basis_charge + WEI,
        short + WEI * (2 + cells.total(size, np.ones(len(unit.value)))),
        _of_concentration(market, result.delta, result, exposure),
        per_delta * exposure + 8 * EPS * result.confidence_charge + WEI,
        scan_range,
        open_interest,
        _of_concentration(market, result.gross_delta, result, exposure),
        per_delta * exposure + 8 * EPS * result.isolated_confidence_charge + WEI,
        isolated_scan_range,
        isolated_open_interest,
    )


def _of_concentration(market, delta, result, exposure):
    """Allow for a charge that grows by at most ``1.5·rate·√(a/depth)`` per unit of a."""
    u = market.underlyings
    a = np.abs(delta) + result.error + exposure
    root = np.sqrt(np.maximum(a / u.depth, 1.0))
    charge = u.concentration_rate * a * root
    relevant = np.where(a > u.depth, 1.0, 0.0)
    return relevant * (
        1.5 * u.concentration_rate * root * exposure + 32 * EPS * charge + WEI * root
    )


def _of_scan_range(market, charge, risk, loss):
    """Rate times the allowance of the loss, and loss times that of the rate, which may cancel."""
    u, phi = market.underlyings, market.parameters.initial_factor
    rate = phi * 4 * EPS * u.initial_scan_range / u.scan_range
    rounding = 16 * EPS * charge + WEI * (2 + 8 * risk)
    return margin.scan_range_rate(market) * loss + rate * (risk + loss) + rounding


def _of_open_interest(market, portfolios, charge, risk, loss):
    """Rate times the allowance of the loss, and loss times that of the ramp, which may cancel."""
    u, phi = market.underlyings, market.parameters.initial_factor
    one_side = portfolios.open_interest / 2
    width = np.maximum(u.oi_upper - u.oi_lower, WEI)
    ramp = np.minimum((4 * EPS * (one_side + u.oi_upper) + WEI) / width + 4 * WEI, 1.0)
    inside = (one_side < u.oi_upper * (1 + 4 * EPS)) & (one_side > u.oi_lower * (1 - 4 * EPS))
    steepest = phi * u.max_oi_multiplier
    rounding = 16 * EPS * charge + WEI * (2 + 8 * risk)
    return steepest * (loss + np.where(inside, ramp, 0) * (risk + loss)) + rounding


def _of_derivatives(portfolios, risk, unit):
    """Allowance of the mark-to-market per account, without that of error_u."""
    shape = len(portfolios.cash)
    size = np.abs(portfolios.size)
    count = sums(portfolios.account, None, shape)
    worth = np.maximum(unit.magnitude, np.abs(risk.value))[portfolios.instrument]
    each = size * worth + np.abs(portfolios.quote)
    return (
        sums(portfolios.account, size * unit.value[portfolios.instrument], shape)
        + EPS * (16 + count) * sums(portfolios.account, each, shape)
        + WEI * 4 * (1 + count)
    )


def _of_totals(market, portfolios, result, underlyings, derivative, spot, initial_spot):
    """Allowances of the totals; every step is Lipschitz with a constant of at most its factor."""
    g, u = market.parameters, underlyings
    values, initial_values = spot.sum(axis=1), initial_spot.sum(axis=1)
    depeg = values + WEI * portfolios.collateral.shape[1]
    common = u.short_option_charge.sum(axis=1) + depeg
    net = common + sum(
        each.sum(axis=1) for each in (u.basis_charge, u.concentration_charge, u.confidence_charge)
    )
    iso = common + sum(
        each.sum(axis=1) for each in (u.isolated_concentration_charge, u.isolated_confidence_charge)
    )
    small = 16 * EPS * result.isolated_initial_margin + 16 * WEI
    risk, isolated_risk = (
        each.sum(axis=1) + 16 * EPS * result.isolated_scan_risk
        for each in (u.worst_loss, u.isolated_loss)
    )
    net_mm = g.maintenance_factor * risk + net + small
    iso_mm = g.maintenance_factor * isolated_risk + iso + small
    extra = (u.scan_range_charge + u.open_interest_charge).sum(axis=1)
    iso_extra = (u.isolated_scan_range_charge + u.isolated_open_interest_charge).sum(axis=1)
    net_im = g.initial_factor * risk + net + extra + small
    iso_im = g.initial_factor * isolated_risk + iso + iso_extra + small
    mm, im = np.maximum(net_mm, iso_mm), np.maximum(net_im, iso_im)
    derivative = derivative + 16 * EPS * np.abs(result.derivative_value)
    cash = 16 * EPS * (np.abs(portfolios.cash) + result.collateral_value) + 4 * WEI
    equity, collateral_equity = cash + values + derivative, cash + initial_values
    initial_equity = collateral_equity + derivative + 4 * EPS * g.profit_cap
    return margin.Margin(
        equity,
        initial_equity,
        collateral_equity,
        mm,
        im,
        _of_health(result, equity, initial_equity, mm, im),
        values + 16 * EPS * result.collateral_value,
        derivative,
        risk,
        isolated_risk,
        depeg,
        net_mm,
        net_im,
        iso_mm,
        iso_im,
        np.repeat(risk[:, None], margin.GROUPS, axis=1),
        underlyings,
    )


def _of_health(result, equity, initial_equity, mm, im):
    """0 where no border is within the allowance, else 3."""
    certain = np.abs(result.equity) > equity
    certain &= np.abs(result.equity - result.maintenance_margin) > equity + mm
    certain &= np.abs(result.initial_equity - result.initial_margin) > initial_equity + im
    return np.where(certain, 0, 3)
