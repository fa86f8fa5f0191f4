"""Requirements of the three generations for many books at many moments.

Isolated and portfolio margin are the ideal layer's own. Predictive margin is that of the
specification with its profile and charges, vectorised over moments; a test holds it against the
ideal layer. Axes: t moments, b books, u underlyings, i instruments, s strikes.

Source: specification, sections 8 and 9; Predictive margin, sections 4 to 7.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from reference_model import vectors
from reference_model.backtest import history
from reference_model.backtest.books import NOTIONAL
from reference_model.ideal import black76, margin, scenarios
from reference_model.ideal import market as markets
from reference_model.ideal.instruments import Instruments, Kind

DAY_SECONDS = 86_400
YEAR_SECONDS = 365 * DAY_SECONDS
THIRDS = np.arange(-3, 4) / 3
TAILS = ((-4, 0.25), (-2, 0.5), (2, 0.5), (4, 0.25))
LEAST_DATES = 250
PLACES = 3


@dataclass(frozen=True)
class Terms:
    """Terms of generations 1 and 2; the values of scripts/deploy.yaml for BTC, ETH and SOL."""

    maintenance_factor: float = 0.8
    initial_factor: float = 1.0
    decorrelation: float = 0.3
    vol_range: float = 0.5
    vol_floor: float = 0.1
    basis_rate: tuple[float, ...] = (0.005, 0.005, 0.01)
    short_option_rate: tuple[float, ...] = (0.005, 0.005, 0.01)

    @property
    def globals(self):
        """Parameters of the ideal layer."""
        return markets.Globals(
            self.maintenance_factor, self.initial_factor, 0.30, 0.13, DAY_SECONDS, 1.0, 0.0
        )


@dataclass(frozen=True)
class Predictive:
    """Parameters of generation 3, and how many dates are in force; the defaults."""

    tail_share: float = 0.025
    floor_weight: float = 0.6
    parametric_weight: float = 0.8
    correlation_width: float = 0.3
    single_asset_floor: float = 0.5
    dates: int = 500


class Moments(NamedTuple):
    """When books are margined: rows of the history, and those at which they were opened, (t,)."""

    hour: np.ndarray
    opened: np.ndarray


class World(NamedTuple):
    """A history and what the engine made of it."""

    hourly: history.Hourly
    state: history.State
    terms: Terms


class Scanned(NamedTuple):
    """Requirements from scenarios, USD, shape (t, b); `tail_worst` (t, b, u); NaN if unknown.

    `charges` are the netted ones that any generation but the first adds.
    """

    isolated_maintenance: np.ndarray
    isolated_initial: np.ndarray
    maintenance: np.ndarray
    initial: np.ndarray
    charges: np.ndarray
    tail_risk: np.ndarray
    tail_worst: np.ndarray


class Profile(NamedTuple):
    """Books on the grid of moves and vol classes; USD.

    Attributes
    ----------
    corners : ndarray of float64, shape (t, b, u, cells · 4)
        Profit and loss at the corners of each cell, less what may be missing inside it, in the
        order of `history.corners`.
    delta : ndarray of float64, shape (t, b, u)
        Dollar delta.
    curvature : ndarray of float64, shape (t, b, u)
        g_u of parametric margin.
    """

    corners: np.ndarray
    delta: np.ndarray
    curvature: np.ndarray


def known(world, moments, holdings):
    """Whether every underlying of a book has price and volatility, shape (t, b)."""
    there = np.isfinite(world.hourly.prices) & np.isfinite(world.hourly.implied)
    there = there[moments.hour] & there[moments.opened]
    missing = (~there).astype(float) @ _held(holdings).T.astype(float)
    return missing == 0


def _held(holdings):
    """Whether a book holds anything in an underlying, shape (b, u)."""
    of = holdings.underlying[:, None] == np.arange(PLACES)
    return (np.abs(holdings.sizes) @ of) > 0


def _filled(values):
    """Something harmless for what is unknown; `known` says which results count."""
    return np.where(np.isfinite(values), values, 1.0)


def grid():
    """Scenarios of scripts/deploy.yaml: the grid of SPAN and weighted tails."""
    return markets.Scenarios(
        np.concatenate([THIRDS, [x for x, _ in TAILS], THIRDS]),
        np.concatenate([np.ones(7 + len(TAILS)), -np.ones(7)]),
        np.concatenate([np.ones(7), [weight for _, weight in TAILS], np.ones(7)]),
    )


# Generations 1 and 2 -----------------------------------------------------------------------------


def scan(world, moments, holdings, after_each=lambda: None):
    """Isolated and portfolio margin, and the floor's parts; tells when a moment is done.

    Returns
    -------
    Scanned
    """
    count, shape = len(moments.hour), (len(moments.hour), len(holdings.sizes))
    out = Scanned(*np.full((6, *shape), np.nan), np.full((*shape, PLACES), np.nan))
    counts = known(world, moments, holdings)
    for t in range(count):
        row = _scan_once(world, moments.hour[t], moments.opened[t], holdings)
        for target, values in zip(out, row, strict=True):
            target[t, counts[t]] = values[counts[t]]
        after_each()
    return out


def _scan_once(world, hour, opened, holdings):
    """One moment of `scan`, by the ideal layer."""
    market = _market(world, hour, opened, holdings)
    first = _filled(world.hourly.prices[opened])[holdings.underlying]
    expiry = np.where(holdings.days > 0, world.hourly.time[opened] + holdings.days * DAY_SECONDS, 0)
    strike = np.where(holdings.kind >= Kind.CALL, holdings.strike * first, 1.0)
    instruments = Instruments(holdings.underlying + 1, expiry, holdings.kind, strike)
    account, column = np.nonzero(holdings.sizes)
    units = holdings.sizes[account, column] * NOTIONAL / first[column]
    books = len(holdings.sizes)
    portfolios = margin.Portfolios(
        account, column, units, np.zeros(len(units)), np.zeros(books), np.zeros(books, np.int64),
        np.zeros((books, 0)), np.zeros((books, PLACES)),
    )  # fmt: skip
    priced = scenarios.price(market, instruments)
    found = margin.margin(market, priced, portfolios, keep_scenarios=True)
    charges = found.net_maintenance_margin - world.terms.maintenance_factor * found.scan_risk
    risk, worst = _tails(found.underlyings, market, world.terms.decorrelation)
    return Scanned(
        found.isolated_maintenance_margin,
        found.isolated_initial_margin,
        found.maintenance_margin,
        found.initial_margin,
        charges,
        risk,
        worst,
    )


def _tails(underlyings, market, decorrelation):
    """R_tail (b,) and W_tail (b, u): one risk group, scenarios of a scan range or more."""
    netted = underlyings.netted[np.abs(market.scenarios.price_move) >= 1]
    worst = np.maximum(-netted.min(axis=0), 0) + underlyings.error
    comove = np.maximum(-netted.sum(axis=2).min(axis=0), 0) + underlyings.error.sum(axis=1)
    return comove + decorrelation * (worst.sum(axis=1) - comove), worst


def _market(world, hour, opened, holdings):
    """Arrays of the ideal layer: flat smiles, forwards at the index, no confidence interval."""
    terms, now = world.terms, int(world.hourly.time[hour])
    price, implied = (_filled(x[hour]) for x in (world.hourly.prices, world.hourly.implied))
    ones, none = np.ones(PLACES), np.zeros(PLACES)
    underlyings = markets.Underlyings(
        underlying=np.arange(PLACES) + 1,
        group=np.zeros(PLACES, np.int64),
        index=price,
        confidence=none,
        mark=price,
        stable_index=price,
        scan_range=world.state.scan_range[hour],
        initial_scan_range=world.state.initial_scan_range[hour],
        vol_range=terms.vol_range * ones,
        vol_floor=terms.vol_floor * ones,
        basis_rate=np.array(terms.basis_rate),
        short_option_rate=np.array(terms.short_option_rate),
        concentration_rate=none,
        depth=ones,
        max_oi_multiplier=none,
        oi_lower=none,
        oi_upper=ones,
    )
    return markets.Market(
        now,
        terms.globals,
        np.full(8, terms.decorrelation),
        grid(),
        underlyings,
        _slices(world, now, opened, holdings, price, implied),
        markets.Assets(*np.zeros((2, 0), np.int64), *np.zeros((4, 0))),
    )


def _slices(world, now, opened, holdings, price, implied):
    """One flat slice for each expiry that is held."""
    dated = np.stack([holdings.underlying, holdings.days], axis=1)[holdings.days > 0]
    underlying, days = np.unique(dated, axis=0).reshape(-1, 2).T
    expiry = world.hourly.time[opened] + days * DAY_SECONDS
    variance = np.square(implied[underlying]) * (expiry - now) / YEAR_SECONDS
    flat = np.zeros((len(days), 5))
    flat[:, 0], flat[:, 4] = variance, 1.0
    ones = np.ones(len(days))
    columns = (underlying, expiry, price[underlying], ones, flat, 0 * ones)
    pairs = zip(columns, markets.BLANK, strict=True)
    return markets.Slices(*(np.append(x, blank, axis=0) for x, blank in pairs))


# Generation 3 ------------------------------------------------------------------------------------


class _Strikes(NamedTuple):
    """Options as calls and a linear rest: strikes (s,), net calls (b, s), linear (b, u)."""

    underlying: np.ndarray
    strike: np.ndarray
    days: np.ndarray
    calls: np.ndarray
    linear: np.ndarray


def _strikes(holdings):
    """A put is the call less the forward; call and put of one strike add up."""
    is_option = holdings.kind >= Kind.CALL
    keys = np.stack([holdings.underlying, holdings.strike, holdings.days], axis=1)
    unique, inverse = np.unique(keys[is_option], axis=0, return_inverse=True)
    unique = unique.reshape(-1, 3)
    calls = np.zeros((len(holdings.sizes), len(unique)))
    np.add.at(calls.T, inverse.reshape(-1), holdings.sizes[:, is_option].T)
    sign = np.select([~is_option, holdings.kind == Kind.PUT], [1.0, -1.0], 0.0)
    linear = (holdings.sizes * sign) @ (holdings.underlying[:, None] == np.arange(PLACES))
    underlying, strike, days = unique.T
    return _Strikes(underlying.astype(int), strike, days, calls, linear)


def profile(world, moments, holdings):
    """Price books on the grid of moves and vol classes.

    Returns
    -------
    Profile
    """
    strikes, shape = _strikes(holdings), (len(moments.hour), len(holdings.sizes), PLACES)
    cells = (len(vectors.NODES) - 1) * vectors.VOL_INTERVALS
    out = Profile(np.empty((*shape, cells * 4)), *np.empty((2, *shape)))
    for u in range(PLACES):
        for target, values in zip(out, _profile_of(world, moments, strikes, u), strict=True):
            target[:, :, u] = values
    return out


def _profile_of(world, moments, strikes, u):
    """Corners (t, b, cells · 4), delta and curvature (t, b) in one underlying."""
    price = _filled(world.hourly.prices)[:, u]
    relative = price[moments.hour] / price[moments.opened]
    sigma = world.state.deviation[moments.hour, u]
    moves = np.maximum(1 + vectors.NODES * sigma[:, None], scenarios.MIN_MOVE)
    mine = strikes.underlying == u
    log_moneyness, deviation, shocked = _deviations(world, moments, strikes, mine, u, relative)
    log_moves = np.log(moves)[:, None, None, :]
    log_money, s = log_moneyness[:, :, None, None], shocked[..., None]
    change = black76.kernel(log_money, s, log_moves)
    change -= black76.kernel(log_moneyness, deviation)[:, :, None, None]
    slope = black76.call_delta(log_money + log_moves, s)
    dollars = NOTIONAL * relative[:, None]
    calls, linear = strikes.calls[:, mine], strikes.linear[:, u]
    pnl = np.einsum("bs,tscn->tbcn", calls, change)
    pnl += linear[:, None, None] * (moves - 1)[:, None, None, :]
    slopes = np.einsum("bs,tscn->tbcn", np.maximum(calls, 0), slope)
    slopes = (slopes + np.maximum(linear, 0)[:, None, None]) * (moves > scenarios.MIN_MOVE)[
        :, None, None, :
    ]
    delta = black76.call_delta(log_moneyness, deviation) @ calls.T + linear
    inner = np.ix_(np.abs(vectors.VOL_NODES) <= 0.75, np.abs(vectors.NODES) <= 3)
    rest = pnl - delta[:, :, None, None] * (moves - 1)[:, None, None, :]
    curvature = np.maximum(-rest[:, :, *inner].min(axis=(2, 3)), 0)
    corners = _corners(pnl, slopes, _bends(shocked, calls), moves, sigma)
    return corners * dollars[:, :, None], delta * dollars, curvature * dollars


def _deviations(world, moments, strikes, mine, u, relative):
    """``ln(F/K)`` and total deviation (t, s), and that of each vol class (t, s, c)."""
    elapsed = world.hourly.time[moments.hour] - world.hourly.time[moments.opened]
    tau = strikes.days[mine] * DAY_SECONDS - elapsed[:, None]
    implied = _filled(world.hourly.implied)[moments.hour, u]
    deviation = implied[:, None] * np.sqrt(tau / YEAR_SECONDS)
    tau = tau[:, :, None]
    multiplier = scenarios.vol_multiplier(
        vectors.VOL_NODES, world.terms.vol_range, tau, world.terms.globals
    )
    shocked = scenarios.shocked_deviation(
        deviation[:, :, None], multiplier, world.terms.vol_floor, tau
    )
    return np.log(relative[:, None] / strikes.strike[mine]), deviation, shocked


def _bends(shocked, calls):
    """What chords in volatility may hide, per unit of move: (t, b, v)."""
    low, high = np.sort(np.stack([shocked[..., :-1], shocked[..., 1:]]), axis=0)
    width = high - low
    long, short = 0.2936 / low + 0.242, 0.0998 * high
    per_long, per_short = (
        np.minimum(width**2 * curvature / 8, width / 10) for curvature in (long, short)
    )
    bends = np.einsum("bs,tsv->tbv", np.maximum(calls, 0), per_long)
    return bends + np.einsum("bs,tsv->tbv", np.maximum(-calls, 0), per_short)


def _corners(pnl, slopes, bends, moves, sigma):
    """Corners of all cells less gaps, bends and a quarter of the twist, (t, b, cells · 4)."""
    width = np.diff(vectors.NODES) * sigma[:, None]
    gap = np.maximum(np.diff(slopes, axis=3), 0) * width[:, None, None, :] / 4
    ends = np.stack([pnl[..., :-1] - gap, pnl[..., 1:] - gap], axis=-1)
    corners = np.stack([ends[:, :, :-1], ends[:, :, 1:]], axis=-2)
    twist = corners[..., 1, 1] - corners[..., 1, 0] - corners[..., 0, 1] + corners[..., 0, 0]
    greatest = np.maximum(moves[:, :-1], moves[:, 1:])[:, None, None, :]
    charge = bends[..., None] * greatest + np.maximum(-twist, 0) / 4
    by_cell = (corners - charge[..., None, None]).swapaxes(2, 3)
    return by_cell.reshape(*by_cell.shape[:2], -1)


def losses(corners, weights):
    """Losses of books at dates, USD, at least 0; shape (dates, books).

    Parameters
    ----------
    corners : ndarray of float64, shape (books, places, cells · 4)
        Of `Profile` at one moment.
    weights : ndarray of float64, shape (dates, places, cells · 4)
        Of `history.Dates`.
    """
    profit = weights.reshape(len(weights), -1) @ corners.reshape(len(corners), -1).T
    return np.maximum(-profit, 0)


def parametric(world, moments, found, predictive):
    """P of section 6, USD, shape (t, b)."""
    sigma = world.state.deviation[moments.hour][:, None, :]
    linear = found.delta * sigma
    width = predictive.correlation_width
    correlation = world.state.correlation[moments.hour]
    shrunk = np.einsum("tbu,tuv,tbv->tb", linear, correlation, linear)
    square = (1 - width) * shrunk + width * np.square(np.abs(linear).sum(axis=2))
    least = predictive.single_asset_floor * np.abs(linear).max(axis=2)
    root = np.maximum(np.sqrt(np.maximum(square, 0)), least)
    return 3 * root + found.curvature.sum(axis=2)


class Shortfalls(NamedTuple):
    """Expected shortfall and value at risk, USD, shape (t, b); NaN where no list is in force."""

    shortfall: np.ndarray
    value_at_risk: np.ndarray


def shortfalls(world, moments, holdings, found, lists, counts, tail_shares):
    """Measure books by the dates in force when they were opened.

    Parameters
    ----------
    world, moments, holdings
        As elsewhere.
    found : Profile
    lists : sequence of history.Dates
        Of the first two underlyings, three …: a book is measured by the first that covers it.
    counts, tail_shares : sequence
        How many dates, and which shares.

    Returns
    -------
    dict of (int, float) to Shortfalls
        By count and share.
    """
    shape = len(moments.hour), len(holdings.sizes)
    out = {(n, q): Shortfalls(*np.full((2, *shape), np.nan)) for n in counts for q in tail_shares}
    last = np.array([np.flatnonzero(row)[-1] for row in _held(holdings)])
    counting = known(world, moments, holdings)
    for at, dates in enumerate(lists):
        places = dates.weights.shape[1]
        mine = (last < places) & (last >= (lists[at - 1].weights.shape[1] if at else 0))
        for t, opened in enumerate(moments.opened):
            rows = history.in_force(dates, opened, max(counts), LEAST_DATES)
            books = np.flatnonzero(mine & counting[t])
            if rows is not None and len(books):
                lost = losses(found.corners[t, books, :places], dates.weights[rows])
                _select(out, t, books, lost)
    return out


def _select(out, t, books, lost):
    for (count, share), result in out.items():
        worst = -np.sort(-lost[-count:], axis=0)
        result.shortfall[t, books] = vectors.expected_shortfall(worst.T, share)
        result.value_at_risk[t, books] = worst[int(share * len(worst))]


class Margins(NamedTuple):
    """Maintenance and initial margin, USD, shape (t, b)."""

    maintenance: np.ndarray
    initial: np.ndarray


def predictive_margins(world, moments, scanned, shortfall, parametric_risk, predictive):
    """Requirements of mode PREDICTIVE, section 7.

    Parameters
    ----------
    scanned : Scanned
    shortfall, parametric_risk : ndarray of float64, shape (t, b)
    predictive : Predictive

    Returns
    -------
    Margins
    """
    terms = world.terms
    risk = np.maximum(shortfall, predictive.floor_weight * scanned.tail_risk)
    with_parametric = np.maximum(risk, predictive.parametric_weight * parametric_risk)
    sigma, ahead = (
        x[moments.hour][:, None, :] for x in (world.state.deviation, world.state.initial_deviation)
    )
    coming = terms.initial_factor * ((ahead / sigma - 1) * scanned.tail_worst).sum(axis=2)
    return Margins(
        terms.maintenance_factor * risk + scanned.charges,
        terms.initial_factor * with_parametric + scanned.charges + coming,
    )


# What happened -----------------------------------------------------------------------------------


def values(world, moments, holdings, ages=True):
    """Value of each instrument per dollar of notional, shape (t, i); see `profits` for `ages`."""
    prices, implied = _filled(world.hourly.prices), _filled(world.hourly.implied)
    of = holdings.underlying
    relative = prices[moments.hour][:, of] / prices[moments.opened][:, of]
    elapsed = world.hourly.time[moments.hour] - world.hourly.time[moments.opened]
    elapsed = elapsed if ages else 0 * elapsed
    tau = np.maximum(holdings.days * DAY_SECONDS - elapsed[:, None], 0) / YEAR_SECONDS
    deviation = implied[moments.hour][:, of] * np.sqrt(tau)
    option = black76.value(relative, holdings.strike, deviation, holdings.kind == Kind.PUT)
    return np.where(holdings.kind >= Kind.CALL, option, relative)


def profits(world, moments, holdings, ages=True):
    """Profit and loss of books since they were opened, USD, shape (t, b).

    Options are revalued in full at the price and the volatility of the moment. If `ages`, time has
    passed for them too; without, they are what margins stand for: moves, not the decay of time,
    which is known before and falls against equity with every hour.
    """
    start = moments._replace(hour=moments.opened)
    change = values(world, moments, holdings, ages) - values(world, start, holdings)
    profit = NOTIONAL * change @ holdings.sizes.T
    return np.where(known(world, moments, holdings), profit, np.nan)
