"""Scenario losses: the grid, the volatility shock, and every instrument priced in every scenario.

Instruments are shared by all accounts, so each is priced once, per unit of size. Axes: j scenarios,
u underlyings, x slices, i instruments.

Source: specification, section 8.
"""

from typing import NamedTuple

import numpy as np

from reference_model.ideal import black76, predictive, svi
from reference_model.ideal.instruments import Kind
from reference_model.vectors import NODES, VOL_NODES

MIN_MOVE = 0.01
MAX_DEVIATION = 16.0
KERNEL_ERROR = 500_000e-18
ROUNDING_ERROR = 32e-18
WEI = 1e-18
THIRTY_DAYS_SECONDS = 30 * 86_400
YEAR_SECONDS = 365 * 86_400


class InstrumentRisk(NamedTuple):
    """Instruments priced in all scenarios, per unit of size.

    Attributes
    ----------
    underlying : ndarray of int64, shape (instruments,)
        Row of the market's underlyings.
    bucket : ndarray of int64
        Column of `bucket_time`.
    value : ndarray of float64
        USD; without the quote of a linear position.
    delta : ndarray of float64
        Dollar delta, USD.
    notional : ndarray of float64
        ``F·D`` of an option in the scenarios, else 0; USD.
    is_live_option : ndarray of bool
        Whether an option is in the scenarios.
    error, fixed_error : ndarray of float64
        Contribution of an option to error_u per unit of size, and of each position; USD.
    pnl : ndarray of float64, shape (scenarios, instruments)
        Weighted profit and loss, USD.
    worst_long, worst_short : ndarray of float64, shape (instruments,)
        Worst weighted loss of one unit held or owed, USD, at least 0.
    bucket_time : ndarray of float64, shape (underlyings, buckets)
        Seconds from now to a bucket's expiry, ascending; 0 in column 0, the last one repeated.
    joint : JointRisk or None
        Profit and loss in the joint moves of the past, if any are published.
    """

    underlying: np.ndarray
    bucket: np.ndarray
    value: np.ndarray
    delta: np.ndarray
    notional: np.ndarray
    is_live_option: np.ndarray
    error: np.ndarray
    fixed_error: np.ndarray
    pnl: np.ndarray
    worst_long: np.ndarray
    worst_short: np.ndarray
    bucket_time: np.ndarray
    joint: predictive.JointRisk | None = None


class Terms(NamedTuple):
    """What an instrument is priced from, each of shape (instruments,)."""

    underlying: np.ndarray
    slice: np.ndarray
    settled: np.ndarray
    live: np.ndarray
    price: np.ndarray
    discount: np.ndarray
    settlement_price: np.ndarray


def moves(market):
    """Price after over price before, ``m = max(1 + x·R_u, 0.01)``; shape (j, u)."""
    moved = 1 + market.scenarios.price_move[:, None] * market.underlyings.scan_range
    return np.maximum(moved, MIN_MOVE)


def vol_multiplier(vol_move, vol_range, tau_seconds, parameters):
    """Factor on the deviation, ``max(0, 1 + y·ν·(30 days/max(τ, τ_min))^p)``.

    Parameters
    ----------
    vol_move, vol_range, tau_seconds : array_like of float64
        y, ν and time to expiry; they broadcast.
    parameters : Globals
        Takes ``p_short`` below 30 days and ``p_long`` from there on.
    """
    tau = np.asarray(tau_seconds, float)
    p = np.where(
        tau < THIRTY_DAYS_SECONDS, parameters.vol_exponent_short, parameters.vol_exponent_long
    )
    scale = (THIRTY_DAYS_SECONDS / np.maximum(tau, parameters.minimum_tau_seconds)) ** p
    return np.maximum(1 + vol_move * vol_range * scale, 0.0)


def shocked_deviation(deviation, multiplier, vol_floor, tau_seconds):
    """``s_y = max(σ_min·√τ, s·multiplier)``, at most `MAX_DEVIATION`."""
    floor = vol_floor * np.sqrt(np.asarray(tau_seconds) / YEAR_SECONDS)
    return np.minimum(np.maximum(floor, deviation * multiplier), MAX_DEVIATION)


def price(market, instruments):
    """Value, delta and scenario losses of each instrument, per unit of size.

    Parameters
    ----------
    market : reference_model.ideal.market.Market
    instruments : reference_model.ideal.instruments.Instruments

    Returns
    -------
    InstrumentRisk
    """
    terms = find_terms(market, instruments)
    value, delta, pnl = _price_linear(market, terms)
    options = np.flatnonzero(instruments.is_option & ~terms.settled)
    chosen = [_take(each, options) for each in (instruments, terms)]
    value[options], delta[options], pnl[:, options] = _price_options(market, *chosen)
    settled = np.flatnonzero(terms.settled)
    value[settled] = _payoff(*(_take(each, settled) for each in (instruments, terms)))
    delta[settled] = pnl[:, settled] = 0
    is_live_option = instruments.is_option & ~terms.settled
    notional = np.where(is_live_option, terms.price * terms.discount, 0.0)
    rate = error_rate(market, instruments, terms)
    bucket, bucket_time = _buckets(market, terms, instruments)
    return InstrumentRisk(
        terms.underlying,
        bucket,
        value,
        delta,
        notional,
        is_live_option,
        notional * rate,
        np.where(is_live_option, WEI * rate + ROUNDING_ERROR, 0.0),
        pnl,
        np.max(-pnl, axis=0, initial=0),
        np.max(pnl, axis=0, initial=0),
        bucket_time,
        _price_jointly(market, instruments, terms) if _has_vectors(market) else None,
    )


def error_rate(market, instruments, terms):
    """Bound on the kernel's error per unit of an option's notional.

    ``KERNEL_ERROR · (max(1, max_j m_j) + K/F)``, shape (instruments,).
    """
    largest_move = np.max(moves(market), axis=0, initial=1)
    strike_ratio = instruments.strike / terms.price
    return KERNEL_ERROR * (largest_move[terms.underlying] + strike_ratio)


def _take(arrays, rows):
    return type(arrays)(*(column[rows] for column in arrays))


def find_terms(market, instruments):
    """Look up underlying row, slice row and prices of each instrument; see `Terms`."""
    row_of = {int(u): row for row, u in enumerate(market.underlyings.underlying)}
    underlying = np.array([row_of[int(u)] for u in instruments.underlying], np.int64)
    keys = zip(market.slices.underlying.tolist(), market.slices.expiry.tolist(), strict=True)
    slice_of = {key: row for row, key in enumerate(keys)}
    dated = zip(underlying.tolist(), instruments.expiry.tolist(), strict=True)
    slice_row = np.array([slice_of[key] if key[1] else -1 for key in dated], np.int64)
    expired = (slice_row >= 0) & (instruments.expiry <= market.now)
    settlement = np.where(expired, market.slices.settlement_price[slice_row], 0)
    live = (slice_row >= 0) & ~expired
    spot = np.where(
        slice_row < 0, market.underlyings.mark[underlying], market.underlyings.index[underlying]
    )
    return Terms(
        underlying,
        slice_row,
        settlement > 0,
        live,
        np.where(live, market.slices.forward[slice_row], spot),
        np.where(live, market.slices.discount[slice_row], 1.0),
        settlement,
    )


def _price_linear(market, terms):
    """Price, dollar delta and weighted P&L as if every instrument were a perpetual or a future."""
    weighted = market.scenarios.weight[:, None] * (moves(market) - 1)
    return terms.price.copy(), terms.price.copy(), weighted[:, terms.underlying] * terms.price


def _price_options(market, instruments, terms):
    """Value, dollar delta and weighted P&L of options that are in the scenarios."""
    log_moneyness = np.log(terms.price / instruments.strike)
    deviation, shocked = deviations(
        market, instruments, terms, -log_moneyness, market.scenarios.vol_move
    )
    moved = moves(market)[:, terms.underlying]
    pnl = _option_pnl(instruments, terms, moved, deviation, shocked)
    notional = terms.price * terms.discount
    value = black76.value(
        terms.price, instruments.strike, deviation, instruments.is_put, terms.discount
    )
    delta = notional * (black76.call_delta(log_moneyness, deviation) - instruments.is_put)
    return value, delta, market.scenarios.weight[:, None] * pnl


def _option_pnl(instruments, terms, moved, deviation, shocked):
    """Profit and loss of options at moves and deviations of shape (j, i).

    With ``N = F·D`` and the call value c per unit of N it is ``N·(c_j − c_0)``, less ``N·(m_j −
    1)`` for a put, which is the call less ``D·(F − K)``.
    """
    log_moneyness = np.log(terms.price / instruments.strike)
    change = black76.kernel(log_moneyness, shocked, np.log(moved))
    change -= black76.kernel(log_moneyness, deviation)
    change -= np.where(instruments.is_put, moved - 1, 0)
    return terms.price * terms.discount * change


def _has_vectors(market):
    """Whether any joint moves are known of anything."""
    given = market.predictive
    return given is not None and not predictive.is_silent(given).all()


def _price_jointly(market, instruments, terms):
    """Profit and loss at each joint move of the past, and at every node in every vol class."""
    given, options = market.predictive, np.flatnonzero(instruments.is_option & ~terms.settled)
    at_dates, at_nodes = (
        predictive.moves(given, z)[:, terms.underlying] for z in (given.price_moves, NODES[:, None])
    )
    at_nodes = np.tile(at_nodes, (len(VOL_NODES), 1))
    linear = np.where(terms.settled, 0.0, terms.price)
    dates, nodes = linear * (at_dates - 1), linear * (at_nodes - 1)
    chosen = [_take(each, options) for each in (instruments, terms)]
    log_strike = np.log(chosen[0].strike / chosen[1].price)
    deviation, of_class = deviations(market, *chosen, log_strike, VOL_NODES)
    of_date = predictive.between_classes(given.vol_moves[:, chosen[1].underlying], of_class)
    of_node = np.repeat(of_class, len(NODES), axis=0)
    dates[:, options] = _option_pnl(*chosen, at_dates[:, options], deviation, of_date)
    nodes[:, options] = _option_pnl(*chosen, at_nodes[:, options], deviation, of_node)
    return predictive.JointRisk(dates, nodes.reshape(len(VOL_NODES), len(NODES), -1))


def deviations(market, instruments, terms, log_strike, vol_moves):
    """Present total deviation (i,) and that after each vol move (j, i); 0 once expired."""
    deviation = svi.total_deviation(market.slices.svi[terms.slice], log_strike)
    deviation = np.where(terms.live, np.minimum(deviation, MAX_DEVIATION), 0.0)
    tau = np.where(terms.live, instruments.expiry - market.now, 1.0)
    vol_range, vol_floor = (
        each[terms.underlying]
        for each in (market.underlyings.vol_range, market.underlyings.vol_floor)
    )
    multiplier = vol_multiplier(vol_moves[:, None], vol_range, tau, market.parameters)
    shocked = shocked_deviation(deviation, multiplier, vol_floor, tau)
    return deviation, np.where(terms.live, shocked, 0.0)


def _payoff(instruments, terms):
    """Worth of one unit at the settlement price, USD."""
    price, strike = terms.settlement_price, instruments.strike
    call, put = np.maximum(price - strike, 0), np.maximum(strike - price, 0)
    return np.select([instruments.kind == Kind.CALL, instruments.is_put], [call, put], price)


def _buckets(market, terms, instruments):
    """Bucket of each instrument and the time of each bucket; bucket 0 is what has no time left."""
    count = len(market.underlyings.index)
    keys = np.stack([terms.underlying, instruments.expiry - market.now], axis=1)
    unique, inverse = np.unique(keys[terms.live], axis=0, return_inverse=True)
    first = np.searchsorted(unique[:, 0], np.arange(count))
    rank = np.arange(len(unique)) - first[unique[:, 0]] + 1
    time = np.zeros((count, rank.max(initial=0) + 1))
    time[unique[:, 0], rank] = unique[:, 1]
    bucket = np.zeros(len(terms.live), np.int64)
    bucket[terms.live] = rank[inverse.reshape(-1)]
    return bucket, np.maximum.accumulate(time, axis=1)
