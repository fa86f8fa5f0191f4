"""Paths that replay real days.

Prices are used from the moment they were known on, with the time of their observation. Smiles,
observed every few hours only, are interpolated between observations.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from oracle_mock import history
from oracle_mock.extract import load
from oracle_mock.market import Market, Rate, Slice, Snapshot, postponed
from oracle_mock.paths import (
    DAY,
    Path,
    advance,
    confidence,
    from_chain,
    settled,
    stabilised,
    volatility_response,
)
from oracle_mock.surface import (
    YEAR_SECONDS,
    Svi,
    delta_moneyness,
    fit_slice,
    scale_level,
    shift,
    slope_through,
)

_FLOAT = NDArray[np.float64]

Smiles = Mapping[int, history.SmileHistory]

# In the calm chain; 13 weeks earlier they are the weekly and quarterly expiries of October 2025.
CALM_WEEKS = 13
CALM_EXPIRIES = tuple(
    history.seconds(f"2026-{day}T08:00:00Z") for day in ("01-23", "01-30", "03-27")
)


@dataclass(frozen=True)
class Series:
    """Observed values, each known from its time on."""

    time: NDArray[np.int64]
    value: _FLOAT

    def at(self, time: int) -> tuple[float, int]:
        """Last value known at a time, and since when."""
        position = int(np.searchsorted(self.time, time, side="right")) - 1
        if position < 0:
            raise ValueError(f"nothing known at {time}, first value at {self.time[0]}")
        return float(self.value[position]), int(self.time[position])

    def last_move(self, time: int) -> float:
        """Relative change that led to the last value known at a time."""
        position = int(np.searchsorted(self.time, time, side="right")) - 1
        return float(self.value[position] / self.value[max(0, position - 1)] - 1)


def closes(bars: history.Bars) -> Series:
    """Return closing prices, known at the end of their bars."""
    return Series(bars.time + bars.length_seconds, bars.close)


def swings(bars: history.Bars, falling: NDArray[np.bool_] | None = None) -> Series:
    """Three values per bar: its extremes a third of the time apart, then its close.

    Which extreme came first is not known. The one the bar ended further from is put first, unless
    `falling` says for each bar: a falling bar sees its high before its low.
    """
    falling = bars.close < bars.open if falling is None else falling
    first = np.where(falling, bars.high, bars.low)
    second = np.where(falling, bars.low, bars.high)
    value = np.stack([first, second, bars.close], axis=1).ravel()
    third = bars.length_seconds // 3
    return Series((bars.time[:, None] + third * np.arange(1, 4)).ravel(), value)


def _level_and_slope(svi: Svi, smile: history.SmileHistory, time: int) -> tuple[float, float]:
    """Ratio of variance and slope that bring a slice to the smile quoted at a time."""
    years = (smile.expiry - time) / YEAR_SECONDS
    atm = float(np.interp(time, smile.time, smile.atm))
    ratio = atm**2 * years / float(svi.total_variance(0.0))
    k, variance = [], []
    wings = ((0.90, smile.put10), (0.75, smile.put25), (0.25, smile.call25), (0.10, smile.call10))
    for call_delta, quoted in wings:
        known = np.isfinite(quoted)
        if known.any():
            volatility = float(np.interp(time, smile.time[known], quoted[known]))
            k.append(delta_moneyness(call_delta, volatility * np.sqrt(years)))
            variance.append(volatility**2 * years)
    return ratio, slope_through(scale_level(svi, ratio), k, np.array(variance))


def _slices(shapes: Mapping[int, Svi], smiles: Smiles, index: float, time: int) -> list[Slice]:
    """Slices at a time: shapes moved to the quoted smiles, forwards at the quoted basis."""
    live = [expiry for expiry in sorted(shapes) if expiry > time and expiry in smiles]
    moves = [_level_and_slope(shapes[expiry], smiles[expiry], time) for expiry in live]
    moved = shift(
        [shapes[expiry] for expiry in live],
        [ratio for ratio, _ in moves],
        [slope for _, slope in moves],
    )
    slices = []
    for expiry, svi in zip(live, moved, strict=True):
        basis = float(np.interp(time, smiles[expiry].time, smiles[expiry].basis))
        slices.append(Slice(expiry, index * (1 + basis), min(1.0, 1 / (1 + basis)), svi))
    return slices


def _rate_at(series: Series, time: int) -> Rate:
    value, observed = series.at(time)
    return Rate(value, value, observed)


def replay(
    start: Snapshot,
    times: Sequence[int],
    prices: Mapping[str, Series],
    smiles: Mapping[str, Smiles],
    premiums: Mapping[str, Series] | None = None,
    rates: Mapping[str, Series] | None = None,
) -> Path:
    """Replay observed histories.

    Parameters
    ----------
    start : Snapshot
        Supplies expiries and the shape of their smiles; it is no part of the path.
    times : sequence of int
        Unix times of the snapshots.
    prices : mapping of str to Series
        Index prices by underlying. A value is used until the next one is known, and keeps the
        time at which it was observed.
    smiles : mapping of str to mapping of int to SmileHistory
        Smiles by underlying and expiry, interpolated in time: each slice of `start` is moved to
        them (`shift`). An expiry without a smile is left out.
    premiums : mapping of str to Series, optional
        Premium of mark over index; zero by default.
    rates : mapping of str to Series, optional
        Collateral rates by token.
    """
    shapes = {
        name: {part.expiry: part.svi for part in market.slices}
        for name, market in start.markets.items()
    }
    path: Path = []
    for time in map(int, times):
        markets = {}
        for name, series in prices.items():
            index, observed = series.at(time)
            slices = _slices(shapes.get(name, {}), smiles.get(name, {}), index, time)
            premium = premiums[name].at(time)[0] if name in (premiums or {}) else 0.0
            width = confidence(index, series.last_move(time))
            mark = index * (1 + premium)
            markets[name] = Market(index, mark, width, index, observed, tuple(slices))
        known = {token: _rate_at(series, time) for token, series in (rates or {}).items()}
        earlier = path[-1] if path else Snapshot(time, {})
        path.append(Snapshot(time, markets, known, settled(earlier, start, time, markets)))
    return stabilised(path)


# --- named days ------------------------------------------------------------------------------


def crash_2026_02(with_extremes: bool = False) -> Path:
    """BTC, ETH and SOL, hourly, 4 to 7 February 2026, with quoted smiles of BTC and ETH.

    The smiles' shapes are those of the chain of 31 January; their level and skew follow the term
    structures quoted every few hours. The prices are those of the perpetuals, for which no
    funding is at hand: mark is index. The expiry of 6 February settles on the way.

    Parameters
    ----------
    with_extremes : bool
        Pass through each hour's high and low as well (`swings`).
    """
    series = swings if with_extremes else closes
    prices = {
        name: series(history.bars("bars_1h_2026-02.csv.gz", name)) for name in ("BTC", "ETH", "SOL")
    }
    times = prices["BTC"].time
    smiles = {
        name: history.term_structure("term_structure_2026-02.csv.gz", name)
        for name in ("BTC", "ETH")
    }
    start = from_chain(history.FALL_CHAIN)
    return replay(_living(start, int(times[0])), times, prices, smiles)


def _living(start: Snapshot, time: int) -> Snapshot:
    """Leave out expiries that are past at a time."""
    for name, market in start.markets.items():
        slices = tuple(part for part in market.slices if part.expiry > time)
        start = start.with_market(name, replace(market, slices=slices))
    return start


def crash_2020_03() -> Path:
    """BTC and ETH, every ten minutes, 12 March 2020 to noon of the 13th, with BTC's smiles.

    BTC is known hourly, ETH by ten minutes on the 12th and hourly on the 13th. The two smiles of
    BTC are dated by day only and placed at noon. Premiums follow from the funding rates.
    """
    hourly = {name: closes(history.bars("bars_1h_2020-03.csv.gz", name)) for name in ("BTC", "ETH")}
    fine = closes(history.bars("bars_10m_2020-03-12_ETH.csv.gz", "ETH"))
    later = hourly["ETH"].time > fine.time[-1]
    ether = Series(
        np.concatenate([fine.time, hourly["ETH"].time[later]]),
        np.concatenate([fine.value, hourly["ETH"].value[later]]),
    )
    first, last = int(hourly["BTC"].time[0]), int(hourly["BTC"].time[-1])
    start, smiles = _smiles_2020_03(hourly["BTC"])
    return replay(
        start,
        range(first, last + 1, 600),
        {"BTC": hourly["BTC"], "ETH": ether},
        {"BTC": smiles},
        premiums={name: _premium(name) for name in ("BTC", "ETH")},
    )


def _premium(underlying: str) -> Series:
    rows = history.funding("funding_8h_2020-03.csv.gz", underlying)
    return Series(rows.time, np.array([history.premium_from_funding(rate) for rate in rows.rate]))


def _smiles_2020_03(prices: Series) -> tuple[Snapshot, dict[int, history.SmileHistory]]:
    """Start and smiles fitted to the surface of each day."""
    by_expiry: dict[int, list[tuple[int, float, Svi]]] = {}
    for (day, expiry), (k, volatility) in history.daily_surface("iv_surface_BTC_2020-03.csv.gz"):
        time = day + DAY // 2
        years = (expiry - time) / YEAR_SECONDS
        by_expiry.setdefault(expiry, []).append((time, years, fit_slice(k, volatility, years)))
    smiles = {expiry: _history(expiry, fits) for expiry, fits in by_expiry.items()}
    time, index = int(prices.time[0]), float(prices.value[0])
    slices = tuple(Slice(expiry, index, 1.0, fits[0][2]) for expiry, fits in by_expiry.items())
    return Snapshot(time, {"BTC": Market(index, index, 0.0, index, time, slices)}), smiles


def _history(expiry: int, fits: Sequence[tuple[int, float, Svi]]) -> history.SmileHistory:
    """Quotes at the usual deltas, read off fitted slices."""

    def quoted(call_delta: float) -> _FLOAT:
        values = []
        for _, years, svi in fits:
            deviation = float(np.sqrt(svi.total_variance(0.0)))
            values.append(svi.volatility(delta_moneyness(call_delta, deviation), years))
        return np.array(values)

    atm = np.array([float(svi.volatility(0.0, years)) for _, years, svi in fits])
    time = np.array([time for time, _, _ in fits])
    return history.SmileHistory(
        expiry, time, np.zeros(len(fits)), atm, quoted(0.75), quoted(0.25), quoted(0.9), quoted(0.1)
    )


def usdc_2023_03() -> Path:
    """BTC and ETH with USDC, hourly, 10 to 13 March 2023; no options."""
    prices = {name: closes(history.bars("bars_1h_2023-03.csv.gz", name)) for name in ("BTC", "ETH")}
    usdc = closes(history.bars("usdc_usd_1h_2023-03.csv.gz", "USDC"))
    times = prices["BTC"].time
    return replay(Snapshot(int(times[0]), {}), times, prices, {}, rates={"USDC": usdc})


def steth_2022_06() -> Path:
    """ETH with stETH, daily, June 2022; no options. A day's values are known at its end."""
    rows = load("steth_eth_1d_2022-06.csv.gz")
    times = np.array([history.seconds(row["timestamp"]) + DAY for row in rows])
    ether = Series(times, np.array([float(row["close_eth"]) for row in rows]))
    ratio = Series(times, np.array([float(row["steth_eth_close_ratio"]) for row in rows]))
    return replay(Snapshot(int(times[0]), {}), times, {"ETH": ether}, {}, rates={"stETH": ratio})


def usde_2025_10() -> Path:
    """BTC and ETH with USDe, by the minute, 10 October 2025, 20:30 to 23:30; no options.

    Elsewhere USDe kept its peg while one venue, which alone is known here (`usde_venue`), printed
    0.65: its rate is one dollar. BTC and ETH are known hourly with extremes, and drawn on straight
    lines in between.
    """
    times = np.arange(*(history.seconds(f"2025-10-10T{t}:00Z") for t in ("20:30", "23:30")), 60)
    prices = {
        name: _between(swings(history.bars("bars_1h_2025-10.csv.gz", name)), times)
        for name in ("BTC", "ETH")
    }
    peg = Series(times, np.ones(len(times)))
    return replay(Snapshot(int(times[0]), {}), times, prices, {}, rates={"USDe": peg})


def crash_2025_10(times: Sequence[int]) -> Path:
    """BTC and ETH with options, 10 October 2025, from 12:20 to noon of the 11th.

    Prices and volatility are known hourly with extremes, and drawn on straight lines in between.
    The order of the extremes is one for all (`swings`, by the mean move): they fell together, and
    volatility was highest when prices were lowest. No option chain of these days is at hand: smiles
    and carry are those of the calm chain of January 2026, 13 weeks earlier, when 30-day volatility
    was as high as on this noon (40 %); from then on volatility moves with Deribit's index of BTC,
    more for short tenors.

    Parameters
    ----------
    times : sequence of int
        Unix times of the snapshots, ascending.
    """
    bars = {name: history.bars("bars_1h_2025-10.csv.gz", name) for name in ("BTC", "ETH")}
    falling = np.prod([each.close / each.open for each in bars.values()], axis=0) < 1
    prices = {name: _between(swings(each, falling), times) for name, each in bars.items()}
    level = swings(history.volatility_index("dvol_1h_2025-10_BTC.csv.gz"), ~falling)
    moves = np.log(_between(level, times).value / level.value[0])
    calm = postponed(from_chain(history.CALM_CHAIN, expiries=CALM_EXPIRIES), -CALM_WEEKS * 7 * DAY)
    path: Path = []
    for time, move in zip(times, moves, strict=True):
        markets = {}
        for name, market in calm.markets.items():
            index, factors = prices[name].at(time)[0], volatility_response(market, time, move)
            width = confidence(index, prices[name].last_move(time))
            moved = advance(market, calm.time, time, index, factors)
            markets[name] = replace(moved, confidence=width)
        earlier = path[-1] if path else Snapshot(time, {})
        path.append(Snapshot(time, markets, {}, settled(earlier, calm, time, markets)))
    return stabilised(path)


def _between(known: Series, times: Sequence[int]) -> Series:
    """Values at given times, on straight lines of their logarithms between those known."""
    values = np.exp(np.interp(times, known.time, np.log(known.value)))
    return Series(np.asarray(times), values)


def usde_venue() -> Series:
    """Trades in USDe at the one venue, 10 October 2025, three values a minute (`swings`)."""
    return swings(history.bars("usde_usdt_1m_2025-10-10.csv.gz", "USDe"))
