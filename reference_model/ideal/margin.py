"""Requirement, equity and health of many accounts at once.

Holdings of all accounts form one sparse matrix (`book`). The instruments are shared: each is
priced once per scenario (`scenarios.price`), and an account's netted profit and loss is the product
of the two. Axes: p accounts, u underlyings, c cells (an account's holdings in one underlying), j
scenarios, a assets.

Source: specification, sections 8 to 10.
"""

from typing import NamedTuple

import numpy as np

from reference_model.ideal import book as books
from reference_model.ideal import instruments as packed
from reference_model.ideal import predictive, scenarios
from reference_model.ideal.book import GROUPS, Portfolios
from reference_model.ideal.predictive import PREDICTIVE, PredictiveMargin

THIRTY_DAYS_SECONDS = 30 * 86_400
MAX_PRICE = (2**96 - 1) / 1e18
MAX_COLLATERAL_VALUE = (2**128 - 1) / 1e18
ISOLATED = 1


class UnderlyingMargin(NamedTuple):
    """Intermediates per account and underlying, USD, shape (accounts, underlyings), or (cells,).

    `error` is error_u. `netted`, with a first axis of scenarios, and `binding_scenario` are None
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
    """Results, USD, shape (accounts,); `group_risk` (accounts, 8). Equities are signed.

    `predictive` is None where nothing is published and no account is in that mode.
    """

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
    predictive: PredictiveMargin | None = None


class _Scan(NamedTuple):
    """What signed sizes add up to; shapes (c,), but `comove` per account and group."""

    worst: np.ndarray
    comove: np.ndarray
    delta: np.ndarray
    transport: np.ndarray
    value: np.ndarray


class _Gross(NamedTuple):
    """What holdings one by one, whatever their sign, add up to; shapes (c,)."""

    error: np.ndarray
    isolated_loss: np.ndarray
    gross_delta: np.ndarray
    short_options: np.ndarray


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
        With `underlyings` per account and underlying.
    """
    book = books.arrange(market, risk, portfolios)
    result = remargin(market, risk, book, keep_scenarios)
    shape = len(portfolios.cash), len(market.underlyings.index)
    dense = (_spread(book.cells, each, shape) for each in result.underlyings)
    return result._replace(underlyings=UnderlyingMargin(*dense))


def _spread(cells, values, shape):
    """Cells as an array of accounts and underlyings, 0 where there is none."""
    if values is None:
        return None
    out = np.zeros((*values.shape[:-1], *shape), values.dtype)
    out[..., cells.account, cells.key] = values
    return out


def remargin(market, risk, book, keep_scenarios=False):
    """Margin all accounts of a book that was arranged before, at the prices of `market` and `risk`.

    Parameters
    ----------
    market, risk, keep_scenarios
        As for `margin`.
    book : reference_model.ideal.book.Book

    Returns
    -------
    Margin
        With `underlyings` per cell of the book.
    """
    values, initial_values = collateral_values(market, book.portfolios.collateral)
    held = books.sizes(book, books.by_underlying(market, values))
    netted = _netted(market, risk, book, held) if keep_scenarios else None
    gross = _gross(market, risk, book, held)
    scan = _scan(market, risk, book, held)
    underlyings = _charges(market, risk, book, scan, gross, netted)
    group_risk = _group_risk(market, book, scan.worst, scan.comove, gross.error)
    derivative = book.quote + _per_account(book, scan.value - gross.error)
    result = _totals(market, book, underlyings, group_risk, derivative, values, initial_values)
    if market.predictive is None:
        if not np.any(book.portfolios.margin_mode == PREDICTIVE):
            return result
        silent = predictive.unpublished(len(market.underlyings.index))
        market = market._replace(predictive=silent)
    return _with_predictive(market, risk, book, held, result)


def _per_account(book, values):
    """Sum of the cells of each account, shape (p,)."""
    return np.bincount(book.cells.account, values, len(book.portfolios.cash))


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


def _spot_pnl(market):
    """Weighted P&L of a dollar of spot collateral, ``ω·(m − 1)``, shape (j, u)."""
    return market.scenarios.weight[:, None] * (scenarios.moves(market) - 1)


def _netted(market, risk, book, held):
    """P&L of every scenario, shape (j, c)."""
    pnl = np.concatenate([risk.pnl, _spot_pnl(market)], axis=1)
    return books.product(book, book.cells, held, pnl.T)


def _gross(market, risk, book, held):
    """Error, worst losses one by one, gross deltas and short options of every cell."""
    count, spot_loss = len(market.underlyings.index), np.max(-_spot_pnl(market), 0, initial=0)
    none, one = np.zeros(count), np.ones(count)
    error, delta = np.append(risk.error, none), np.append(np.abs(risk.delta), one)
    long = np.stack([error, np.append(risk.worst_long, spot_loss), delta], axis=1)
    short = np.stack(
        [error, np.append(risk.worst_short, none), delta, np.append(risk.is_live_option, none)],
        axis=1,
    )
    of_long = books.product(book, book.cells, np.maximum(held, 0), long)
    *of_short, options = books.product(book, book.cells, np.maximum(-held, 0), short)
    error, isolated, gross_delta = of_long + of_short
    fixed = books.total(book, book.cells, np.append(risk.fixed_error, none))
    error += fixed + np.where(fixed > 0, scenarios.WEI, 0.0)
    return _Gross(error, isolated + 3 * error, gross_delta, options)


def _scan(market, risk, book, held):
    """Worst netted losses of cells and groups, deltas, basis and value, all in one pass.

    The flow over a cut between buckets is the smaller of the deltas before and after it where they
    have opposite signs; `transport` is the sum of flow times seconds.
    """
    count, scenario_count = len(market.underlyings.index), len(risk.pnl)
    pnl = np.concatenate([risk.pnl, _spot_pnl(market)], axis=1).T
    bucket = np.append(risk.bucket, np.zeros(count, np.int64))
    delta = np.append(risk.delta, np.ones(count))
    until = delta[:, None] * (bucket[:, None] <= np.arange(risk.bucket_time.shape[1]))
    value = np.append(risk.value, np.zeros(count))[:, None]
    gaps = np.diff(risk.bucket_time, axis=1)
    worst, net_delta, transport, worth = np.empty((4, len(book.cells.account)))
    columns = np.concatenate([pnl, until, value], axis=1)
    for slab, sums in books.products(book, book.cells, held, columns):
        worst[slab] = -sums[:, :scenario_count].min(axis=1, initial=0)
        before, worth[slab] = sums[:, scenario_count:-1], sums[:, -1]
        net_delta[slab] = before[:, -1]
        less = before[:, :-1] - before[:, -1:]  # What is after the cut, negated.
        flow = np.maximum(np.minimum(before[:, :-1], less), -np.maximum(before[:, :-1], less))
        transport[slab] = (np.maximum(flow, 0) * gaps[book.cells.key[slab]]).sum(axis=1)
    comove = np.empty(len(book.groups.account))
    for slab, sums in books.products(book, book.groups, held, pnl):
        comove[slab] = -sums.min(axis=1, initial=0)
    return _Scan(worst, comove, net_delta, transport, worth)


def _group_risk(market, book, worst, comove, error):
    """``R_g = comove + λ·(gross − comove)``, shape (p, 8)."""
    gross, errors = (np.bincount(book.group_of_cell, each, len(comove)) for each in (worst, error))
    out = np.zeros((len(book.portfolios.cash), GROUPS))
    share = market.decorrelation[book.groups.key]
    out[book.groups.account, book.groups.key] = comove + errors + share * (gross - comove)
    return out


def _charges(market, risk, book, scan, gross, netted):
    """Deltas and charges of every cell; see `UnderlyingMargin`."""
    u, of = market.underlyings, book.cells.key
    worst, isolated = scan.worst + gross.error, gross.isolated_loss
    exposure, gross_exposure = np.abs(scan.delta) + gross.error, gross.gross_delta + gross.error
    time = risk.bucket_time[risk.underlying, risk.bucket]
    last = books.greatest(book, book.cells, np.append(time, np.zeros(len(u.index))))
    transport = scan.transport + gross.error * last
    scan_range, open_interest = scan_range_rate(market)[of], _open_interest_rate(market, book)
    confidence = (u.confidence / u.index)[of]
    rate, depth = u.concentration_rate[of], u.depth[of]
    return UnderlyingMargin(
        netted,
        gross.error,
        worst,
        None if netted is None else np.argmin(netted, axis=0),
        isolated,
        scan.delta,
        gross.gross_delta,
        u.basis_rate[of] * transport / THIRTY_DAYS_SECONDS,
        (u.short_option_rate * u.index)[of] * gross.short_options,
        concentration(exposure, rate, depth),
        confidence * exposure,
        scan_range * worst,
        open_interest * worst,
        concentration(gross_exposure, rate, depth),
        confidence * gross_exposure,
        scan_range * isolated,
        open_interest * isolated,
    )


def concentration(exposure, rate, depth):
    """``rate·a·(√(a/depth) − 1)`` where a > depth, else 0; USD, at least 0."""
    return rate * exposure * (np.sqrt(np.maximum(exposure / depth, 1.0)) - 1)


def scan_range_rate(market):
    """``φ_IM · (R_init / R − 1)``, shape (u,): what initial margin adds before R has followed."""
    u = market.underlyings
    return market.parameters.initial_factor * (u.initial_scan_range / u.scan_range - 1)


def _open_interest_rate(market, book):
    """``φ_IM · maxOiMultiplier · clamp((OI − lower)/(upper − lower), 0, 1)``, shape (c,)."""
    u, (_, account, of) = market.underlyings, book.cells
    both_sides = np.where(book.has_position, book.portfolios.open_interest[account, of], 0)
    above, width = both_sides / 2 - u.oi_lower[of], (u.oi_upper - u.oi_lower)[of]
    ramp = np.where(above < width, np.maximum(above, 0) / np.where(width > 0, width, 1), 1.0)
    return (market.parameters.initial_factor * u.max_oi_multiplier)[of] * ramp


def _totals(market, book, underlyings, group_risk, derivative, values, initial_values):
    """Add up requirements in both modes, equities and health; see `Margin`."""
    g, u, cash = market.parameters, underlyings, book.portfolios.cash
    cash_like = market.assets.underlying < 0
    depeg = values @ np.where(cash_like, market.assets.depeg_rate, 0)
    netted = u.basis_charge + u.concentration_charge + u.confidence_charge
    gross = u.isolated_concentration_charge + u.isolated_confidence_charge
    net, iso, extra, iso_extra, isolated_risk = (
        _per_account(book, each)
        for each in (
            netted + u.short_option_charge,
            gross + u.short_option_charge,
            u.scan_range_charge + u.open_interest_charge,
            u.isolated_scan_range_charge + u.isolated_open_interest_charge,
            u.isolated_loss,
        )
    )
    risk, net, iso = group_risk.sum(axis=1), net + depeg, iso + depeg
    net_mm, iso_mm = g.maintenance_factor * risk + net, g.maintenance_factor * isolated_risk + iso
    net_im = g.initial_factor * risk + net + extra
    iso_im = g.initial_factor * isolated_risk + iso + iso_extra
    is_isolated = book.portfolios.margin_mode == ISOLATED
    mm = np.where(is_isolated, iso_mm, np.minimum(net_mm, iso_mm))
    im = np.where(is_isolated, iso_im, np.minimum(net_im, iso_im))
    equity = cash + values.sum(axis=1) + derivative
    collateral_equity = cash + initial_values.sum(axis=1)
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


def _with_predictive(market, risk, book, held, result):
    """Add the requirement of mode PREDICTIVE; accounts in it that it can speak for are held to it.

    The tails are scanned by themselves, the charges are those of portfolio margin.
    """
    u, chosen = result.underlyings, predictive.tails(market)
    spot = _spot_pnl(market)[chosen]
    pnl = np.concatenate([risk.pnl[chosen], spot], axis=1).T
    worst = -books.product(book, book.cells, held, pnl).min(axis=0, initial=0)
    comove = -books.product(book, book.groups, held, pnl).min(axis=0, initial=0)
    tail_risk = _group_risk(market, book, worst, comove, u.error).sum(axis=1)
    netted = u.basis_charge + u.concentration_charge + u.confidence_charge + u.short_option_charge
    charges = _per_account(book, netted) + result.depeg_charge
    ahead = _open_interest_rate(market, book)
    found = predictive.requirement(
        market, risk, book, held, u, worst + u.error, tail_risk, charges, ahead
    )
    is_held = (book.portfolios.margin_mode == PREDICTIVE) & found.applies
    mm = np.where(is_held, found.maintenance_margin, result.maintenance_margin)
    im = np.where(is_held, found.initial_margin, result.initial_margin)
    return result._replace(
        maintenance_margin=mm,
        initial_margin=im,
        health=health(result.equity, result.initial_equity, mm, im),
        predictive=found,
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
