"""Requirement, equity and health of many accounts at once.

Positions of all accounts form one sparse matrix (accounts × instruments) given by its entries. The
instruments are shared: each is priced once per scenario (`scenarios.price`), and an account's
netted profit and loss is the product of the two, one weighted count per scenario. Axes: p accounts,
u underlyings, j scenarios, a assets, e entries.

Source: specification, sections 8 to 10.
"""

from typing import NamedTuple

import numpy as np

from reference_model.ideal import instruments as packed
from reference_model.ideal import scenarios

GROUPS = 8
THIRTY_DAYS_SECONDS = 30 * 86_400
MAX_PRICE = (2**96 - 1) / 1e18
MAX_COLLATERAL_VALUE = (2**128 - 1) / 1e18
ISOLATED = 1


class Portfolios(NamedTuple):
    """Accounts, in natural units, floats unless said otherwise; interest and funding up to date.

    Attributes
    ----------
    account, instrument : ndarray of int64, shape (entries,)
        Row of the account and row of the instrument of each position, any order.
    size, quote : ndarray of float64, shape (entries,)
        Units, signed; USD, signed, 0 for options.
    cash : ndarray of float64, shape (accounts,)
        USD, signed.
    margin_mode : ndarray of int64, shape (accounts,)
        0 portfolio, 1 isolated.
    collateral : ndarray of float64, shape (accounts, assets)
        Whole tokens.
    open_interest : ndarray of float64, shape (accounts, underlyings)
        Units, both sides; 0 where an account has no position.
    """

    account: np.ndarray
    instrument: np.ndarray
    size: np.ndarray
    quote: np.ndarray
    cash: np.ndarray
    margin_mode: np.ndarray
    collateral: np.ndarray
    open_interest: np.ndarray


class UnderlyingMargin(NamedTuple):
    """Intermediates per account and underlying, USD, shape (accounts, underlyings).

    `error` is error_u. `netted` (scenarios, accounts, underlyings) and `binding_scenario` are None
    unless asked for.
    """

    netted: np.ndarray | None
    error: np.ndarray
    worst_loss: np.ndarray
    binding_scenario: np.ndarray | None
    isolated_loss: np.ndarray
    delta: np.ndarray
    gross_delta: np.ndarray
    basis_charge: np.ndarray
    short_option_charge: np.ndarray
    concentration_charge: np.ndarray
    confidence_charge: np.ndarray
    scan_range_charge: np.ndarray
    open_interest_charge: np.ndarray
    isolated_concentration_charge: np.ndarray
    isolated_confidence_charge: np.ndarray
    isolated_scan_range_charge: np.ndarray
    isolated_open_interest_charge: np.ndarray


class Margin(NamedTuple):
    """Results, USD, shape (accounts,); `group_risk` (accounts, 8). Equities are signed."""

    equity: np.ndarray
    initial_equity: np.ndarray
    collateral_equity: np.ndarray
    maintenance_margin: np.ndarray
    initial_margin: np.ndarray
    health: np.ndarray
    collateral_value: np.ndarray
    derivative_value: np.ndarray
    scan_risk: np.ndarray
    isolated_scan_risk: np.ndarray
    depeg_charge: np.ndarray
    net_maintenance_margin: np.ndarray
    net_initial_margin: np.ndarray
    isolated_maintenance_margin: np.ndarray
    isolated_initial_margin: np.ndarray
    group_risk: np.ndarray
    underlyings: UnderlyingMargin


class _Scan(NamedTuple):
    """Outcome of the pass over the scenarios; shapes (p, u), `comove` (p, 8)."""

    netted: np.ndarray | None
    worst: np.ndarray
    binding: np.ndarray | None
    comove: np.ndarray


def from_integers(market, portfolios):
    """Instruments and entries of accounts given in contract units.

    Parameters
    ----------
    market : reference_model.ideal.market.Market
    portfolios : sequence of reference_model.types.Portfolio

    Returns
    -------
    tuple of Instruments, Portfolios
    """
    decoded = [[packed.decode_position(slot) for slot in each.positions] for each in portfolios]
    account = np.repeat(np.arange(len(portfolios)), [len(each) for each in decoded])
    entries = [entry for each in decoded for entry in each]
    words, size, quote = zip(*entries, strict=True) if entries else ((), (), ())
    row_of = {word: row for row, word in enumerate(dict.fromkeys(words))}
    return packed.decode(row_of), Portfolios(
        account,
        np.array([row_of[word] for word in words], np.int64),
        np.array(size, np.float64),
        np.array(quote, np.float64),
        np.array([each.cash / 10**18 for each in portfolios]),
        np.array([each.margin_mode for each in portfolios], np.int64),
        _dense([each.collateral for each in portfolios], market.assets.asset),
        _dense([each.open_interest for each in portfolios], market.underlyings.underlying),
    )


def _dense(rows, ids):
    """Words (id in bits 248-255, WAD in bits 0-127) of each account as a dense array."""
    column = {int(each): i for i, each in enumerate(ids)}
    out = np.zeros((len(rows), len(ids)))
    for row, words in enumerate(rows):
        for word in words:
            out[row, column[word >> 248]] = (word & (1 << 128) - 1) / 10**18
    return out


def margin(market, risk, portfolios, keep_scenarios=False):
    """Margin all accounts.

    Parameters
    ----------
    market : reference_model.ideal.market.Market
    risk : reference_model.ideal.scenarios.InstrumentRisk
        The instruments that the entries of `portfolios` point to, priced in `market`.
    portfolios : Portfolios
    keep_scenarios : bool
        Whether to return the netted P&L of every scenario, shape (j, p, u).

    Returns
    -------
    Margin
    """
    values, initial_values = collateral_values(market, portfolios.collateral)
    spot = by_underlying(market, values)
    cells = Cells(portfolios, risk)
    error = _error(risk, portfolios, cells)
    scan = _scan(market, risk, portfolios, cells, spot, keep_scenarios)
    isolated = _isolated_loss(market, risk, portfolios, cells, spot) + 3 * error
    underlyings = _charges(market, risk, portfolios, cells, spot, scan, isolated, error)
    group_risk = _group_risk(market, scan, error)
    derivative = _derivative_value(risk, portfolios) - error.sum(axis=1)
    return _totals(market, portfolios, underlyings, group_risk, derivative, values, initial_values)


def sums(index, values, shape):
    """Sum of the values by flat index into an array of the given shape, float64."""
    total = np.bincount(index, values, int(np.prod(shape)))
    return total.astype(np.float64, copy=False).reshape(shape)


class Cells:
    """Sums of entries by account and underlying."""

    def __init__(self, portfolios, risk):
        self.instrument = portfolios.instrument
        self.shape = len(portfolios.cash), len(risk.bucket_time)
        self.cell = portfolios.account * self.shape[1] + risk.underlying[self.instrument]

    def total(self, weight, per_unit):
        """``Σ weight_e · per_unit[instrument_e]``, shape (p, u)."""
        terms = per_unit.take(self.instrument)
        terms *= weight
        return sums(self.cell, terms, self.shape)


def _error(risk, portfolios, cells):
    """``error_u``, the bound on the error of all options, shape (p, u); 0 without options."""
    of_positions = cells.total(1, risk.fixed_error)
    whole = np.where(of_positions > 0, scenarios.WEI, 0.0)
    return cells.total(np.abs(portfolios.size), risk.error) + of_positions + whole


def collateral_values(market, balances):
    """Haircut value of each balance at maintenance and at initial prices, USD, shape (p, a).

    ``balance · price · (1 − haircut)``; price is ``rate·S``, or the rate of a cash-like token; the
    initial price is the lower of it and the stable price.
    """
    assets = market.assets
    follows = assets.underlying >= 0
    index, stable_index = (
        np.where(follows, np.append(each, 0)[assets.underlying], 1.0)
        for each in (market.underlyings.index, market.underlyings.stable_index)
    )
    price = np.minimum(assets.rate * index, MAX_PRICE)
    stable_price = np.minimum(assets.stable_rate * stable_index, MAX_PRICE)
    return tuple(
        np.minimum(balances * each * assets.kept, MAX_COLLATERAL_VALUE)
        for each in (price, np.minimum(price, stable_price))
    )


def by_underlying(market, values):
    """Value of the collateral that follows each underlying, shape (p, u)."""
    return values @ (market.assets.underlying[:, None] == np.arange(len(market.underlyings.index)))


def _scan(market, risk, portfolios, cells, spot, keep):
    """Worst netted loss per underlying and worst common loss per group over all scenarios."""
    spot_pnl = market.scenarios.weight[:, None] * (scenarios.moves(market) - 1)
    in_group = (market.underlyings.group[:, None] == np.arange(GROUPS)).astype(float)
    worst = np.zeros(cells.shape)
    comove = np.zeros((cells.shape[0], GROUPS))
    netted = np.empty((len(risk.pnl), *cells.shape)) if keep else None
    for j, pnl in enumerate(risk.pnl):
        loss = -cells.total(portfolios.size, pnl) - spot * spot_pnl[j]
        np.maximum(worst, loss, out=worst)
        np.maximum(comove, loss @ in_group, out=comove)
        if keep:
            netted[j] = -loss
    binding = np.argmin(netted, axis=0) if keep else None
    return _Scan(netted, worst, binding, comove)


def _isolated_loss(market, risk, portfolios, cells, spot):
    """Sum of the worst loss of each position and balance alone, without the error, shape (p, u)."""
    spot_pnl = market.scenarios.weight[:, None] * (scenarios.moves(market) - 1)
    long, short = np.maximum(portfolios.size, 0), np.maximum(-portfolios.size, 0)
    of_positions = cells.total(long, risk.worst_long) + cells.total(short, risk.worst_short)
    return of_positions + spot * np.max(-spot_pnl, axis=0, initial=0)


def _group_risk(market, scan, error):
    """``R_g = comove + λ·(gross − comove)``, shape (p, 8)."""
    in_group = (market.underlyings.group[:, None] == np.arange(GROUPS)).astype(float)
    gross = (scan.worst + error) @ in_group
    comove = scan.comove + error @ in_group
    return comove + market.decorrelation * (gross - comove)


def _charges(market, risk, portfolios, cells, spot, scan, isolated, error):
    """Deltas and charges per underlying; see `UnderlyingMargin`."""
    u = market.underlyings
    size = portfolios.size
    delta = cells.total(size, risk.delta) + spot
    gross_delta = cells.total(np.abs(size), np.abs(risk.delta)) + spot
    exposure, gross_exposure = np.abs(delta) + error, gross_delta + error
    worst = scan.worst + error
    short = np.maximum(-size, 0)
    return UnderlyingMargin(
        scan.netted,
        error,
        worst,
        scan.binding,
        isolated,
        delta,
        gross_delta,
        _basis_charge(market, risk, portfolios, spot, error),
        u.short_option_rate * u.index * cells.total(short, risk.is_live_option.astype(float)),
        concentration(exposure, u.concentration_rate, u.depth),
        u.confidence * exposure / u.index,
        scan_range_rate(market) * worst,
        _open_interest_rate(market, portfolios) * worst,
        concentration(gross_exposure, u.concentration_rate, u.depth),
        u.confidence * gross_exposure / u.index,
        scan_range_rate(market) * isolated,
        _open_interest_rate(market, portfolios) * isolated,
    )


def concentration(exposure, rate, depth):
    """``rate·a·(√(a/depth) − 1)`` where a > depth, else 0; USD, at least 0."""
    return rate * exposure * (np.sqrt(np.maximum(exposure / depth, 1.0)) - 1)


def scan_range_rate(market):
    """``φ_IM · (R_init / R − 1)``, shape (u,): what initial margin adds before R has followed."""
    u = market.underlyings
    return market.parameters.initial_factor * (u.initial_scan_range / u.scan_range - 1)


def _open_interest_rate(market, portfolios):
    """``φ_IM · maxOiMultiplier · clamp((OI − lower)/(upper − lower), 0, 1)``, shape (p, u)."""
    u = market.underlyings
    above, width = portfolios.open_interest / 2 - u.oi_lower, u.oi_upper - u.oi_lower
    ramp = np.where(above < width, np.maximum(above, 0) / np.where(width > 0, width, 1), 1.0)
    return market.parameters.initial_factor * u.max_oi_multiplier * ramp


def _basis_charge(market, risk, portfolios, spot, error):
    """``κ · Σ_cuts gap/30d · flow``, shape (p, u).

    The flow over a cut is the smaller of the deltas before and after it where they have opposite
    signs, plus error_u for every cut up to the last bucket that holds something.
    """
    shape = (*spot.shape, risk.bucket_time.shape[1])
    width = shape[1] * shape[2]
    column = (risk.underlying * shape[2] + risk.bucket)[portfolios.instrument]
    flat = portfolios.account * width + column
    by_bucket = sums(flat, risk.delta[portfolios.instrument] * portfolios.size, shape)
    held = sums(flat, None, shape) > 0
    by_bucket[:, :, 0] += spot
    before = np.cumsum(by_bucket, axis=2)[:, :, :-1]
    after = np.cumsum(by_bucket[:, :, ::-1], axis=2)[:, :, -2::-1]
    flow = np.where(before * after < 0, np.minimum(np.abs(before), np.abs(after)), 0)
    gaps = np.diff(risk.bucket_time, axis=1)
    last = np.max(held * risk.bucket_time, axis=2)
    cost = (flow * gaps).sum(axis=2) + error * last
    return market.underlyings.basis_rate * cost / THIRTY_DAYS_SECONDS


def _derivative_value(risk, portfolios):
    """``Σ size·value + quote`` per account, USD, signed, without the error."""
    worth = portfolios.size * risk.value[portfolios.instrument] + portfolios.quote
    return sums(portfolios.account, worth, len(portfolios.cash))


def _totals(market, portfolios, underlyings, group_risk, derivative, values, initial_values):
    """Add up requirements in both modes, equities and health; see `Margin`."""
    g, u = market.parameters, underlyings
    cash_like = market.assets.underlying < 0
    depeg = values @ np.where(cash_like, market.assets.depeg_rate, 0)
    common = u.short_option_charge.sum(axis=1) + depeg
    netted = u.basis_charge + u.concentration_charge + u.confidence_charge
    isolated = u.isolated_concentration_charge + u.isolated_confidence_charge
    net, iso = common + netted.sum(axis=1), common + isolated.sum(axis=1)
    risk, isolated_risk = group_risk.sum(axis=1), u.isolated_loss.sum(axis=1)
    net_mm, iso_mm = g.maintenance_factor * risk + net, g.maintenance_factor * isolated_risk + iso
    extra = (u.scan_range_charge + u.open_interest_charge).sum(axis=1)
    iso_extra = (u.isolated_scan_range_charge + u.isolated_open_interest_charge).sum(axis=1)
    net_im = g.initial_factor * risk + net + extra
    iso_im = g.initial_factor * isolated_risk + iso + iso_extra
    is_isolated = portfolios.margin_mode == ISOLATED
    mm = np.where(is_isolated, iso_mm, np.minimum(net_mm, iso_mm))
    im = np.where(is_isolated, iso_im, np.minimum(net_im, iso_im))
    equity = portfolios.cash + values.sum(axis=1) + derivative
    collateral_equity = portfolios.cash + initial_values.sum(axis=1)
    profit = np.minimum(g.profit_weight * derivative, g.profit_cap)
    initial_equity = collateral_equity + np.where(derivative <= 0, derivative, profit)
    return Margin(
        equity,
        initial_equity,
        collateral_equity,
        mm,
        im,
        health(equity, initial_equity, mm, im),
        values.sum(axis=1),
        derivative,
        risk,
        isolated_risk,
        depeg,
        net_mm,
        net_im,
        iso_mm,
        iso_im,
        group_risk,
        underlyings,
    )


def health(equity, initial_equity, maintenance_margin, initial_margin):
    """Health, first that holds: 3 if E < 0, 2 if E < MM, 1 if E_IM < IM, else 0 (healthy)."""
    conditions = [equity < 0, equity < maintenance_margin, initial_equity < initial_margin]
    return np.select(conditions, [3, 2, 1], 0)


def select(portfolios, accounts):
    """Portfolios of the given rows only, in that order."""
    entries = [np.flatnonzero(portfolios.account == account) for account in accounts]
    chosen = np.concatenate([np.empty(0, np.int64), *entries])
    return Portfolios(
        np.repeat(np.arange(len(accounts)), [len(each) for each in entries]),
        *(each[chosen] for each in portfolios[1:4]),
        *(each[np.asarray(accounts, np.int64)] for each in portfolios[4:]),
    )


def breakdown(market, risk, portfolios, account):
    """Everything about one account, for tables and plots.

    Parameters
    ----------
    market, risk, portfolios
        As for `margin`.
    account : int
        Row of the account.

    Returns
    -------
    Margin
        Of this account alone, with ``underlyings.netted`` of shape (j, 1, u).
    ndarray of float64, shape (scenarios, positions)
        Weighted P&L of each of its positions, in the order of its entries, USD.
    """
    alone = select(portfolios, [account])
    position_pnl = risk.pnl[:, alone.instrument] * alone.size
    return margin(market, risk, alone, keep_scenarios=True), position_pnl


def capital_efficiency(result):
    """``1 − IM_portfolio/IM_isolated`` per account; 0 where nothing is required."""
    portfolio = np.minimum(result.net_initial_margin, result.isolated_initial_margin)
    isolated = result.isolated_initial_margin
    ratio = np.divide(portfolio, isolated, out=np.ones_like(portfolio), where=isolated > 0)
    return 1 - ratio
