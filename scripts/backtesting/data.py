"""The full histories, read from a folder that is not part of the repository.

Implied volatility at the money, 30 days, of BTC is Deribit's index where there is one, then what
its option chains quoted; before and between, realised volatility (the estimator's EWMA) times the
median ratio of the two while both are known. ETH and SOL have the volatility of BTC times the
median ratio of realised volatilities: its moves are those of BTC, as the specification has it for
an underlying without an index. Where one source follows another no day crosses the seam.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from oracle_mock import extract, history
from reference_model import vectors
from reference_model.backtest.history import DAY_HOURS, HOUR_SECONDS, Following, Hourly

FOLDER = Path("../shared/data")
PRICES = {
    "BTC": "stitched_BTCUSD_1h_2019-2026.csv.gz",
    "ETH": "stitched_ETHUSD_1h_2019-2026.csv.gz",
    "SOL": "stitched_SOLUSD_1h_2021-2026.csv.gz",
}
VOLATILITY_INDEX = "dvol_deribit_BTC_1h_2021-2025.csv.gz"
TERM_STRUCTURE = "deribit_iv_term_structure_BTC_ETH_2025-12_2026-08.csv.gz"
THIRTY_DAYS_SECONDS = 30 * 86_400
# Measured by `ratios` on the whole histories; constants here, so that no margin knows the future.
IMPLIED_OVER_REALISED = 1.23
OVER_BTC = (1.0, 1.27, 1.87)
# An observation counts for so many hours; the index has gaps of 23.
MOST_STALE_HOURS = 24

_FLOAT = NDArray[np.float64]


class MissingData(Exception):
    """The folder lacks files."""


class Sources(NamedTuple):
    """The history, and which source implied volatility is from: 0 realised, 1 index, 2 chains."""

    hourly: Hourly
    source: NDArray[np.int64]


def require(folder: Path) -> None:
    """Raise `MissingData` unless all files are there."""
    missing = [
        name
        for name in (*PRICES.values(), VOLATILITY_INDEX, TERM_STRUCTURE)
        if not (folder / name).is_file()
    ]
    if missing:
        raise MissingData(
            f"The backtest reads real histories, which are too large for the repository, from "
            f"{folder}, and does not find there: {', '.join(missing)}. Name the folder that holds "
            "them with --data FOLDER; what they are and who published them is in docs/backtest.md."
        )


def read(folder: Path) -> Sources:
    """Read prices and implied volatilities on one grid of hours."""
    require(folder)
    bars = [_bars(folder / name) for name in PRICES.values()]
    first, last = bars[0][0][0], max(time[-1] for time, _ in bars)
    # A bar is known at its end.
    time = np.arange(first, last + 1, HOUR_SECONDS)
    prices = np.full((len(time), len(bars)), np.nan)
    for column, (opened, closes) in enumerate(bars):
        inside = (opened >= first) & (opened <= last)
        prices[(opened[inside] - first) // HOUR_SECONDS, column] = closes[inside]
    time = time + HOUR_SECONDS
    implied, source = _implied(folder, time, prices)
    return Sources(Hourly(time, prices, implied[:, None] * np.array(OVER_BTC)), source)


def _bars(path: Path) -> tuple[NDArray[np.int64], _FLOAT]:
    """Opening times and closes."""
    rows = extract.read_rows(path)
    return _times(rows), np.array([float(row["close"]) for row in rows])


def _times(rows: list[dict[str, str]]) -> NDArray[np.int64]:
    """Unix seconds of the rows' times, which are all in UTC."""
    stamps = [row["timestamp"].removesuffix("Z") for row in rows]
    return np.array(stamps, "datetime64[s]").astype(np.int64)


def realised(prices: _FLOAT) -> _FLOAT:
    """Annual volatility by the estimator, (hours, underlyings); NaN while it warms up."""
    decay = Following().decay_seconds
    daily = vectors.deviations(prices, decay, HOUR_SECONDS, decay, Following().max_deviation)
    return daily * np.sqrt(vectors.YEAR_SECONDS / vectors.DAY_SECONDS)


def _implied(folder: Path, time: NDArray[np.int64], prices: _FLOAT):
    """Implied volatility of BTC at each hour, NaN at seams, and its source."""
    rows = extract.read_rows(folder / VOLATILITY_INDEX)
    seen = _times(rows) + HOUR_SECONDS
    index = _latest(time, seen, np.array([float(row["dvol_close"]) / 100 for row in rows]))
    chains = _latest(time, *_thirty_days(folder / TERM_STRUCTURE))
    proxy = IMPLIED_OVER_REALISED * realised(prices[:, :1])[:, 0]
    source = np.select([np.isfinite(index), np.isfinite(chains)], [1, 2], 0)
    implied = np.choose(source, [proxy, index, chains])
    for seam in np.flatnonzero(np.diff(source)) + 1:
        implied[max(0, seam - DAY_HOURS) : seam] = np.nan
    return implied, source


def _latest(time, seen, values) -> _FLOAT:
    """Return the latest value at each time, NaN if it is stale."""
    at = np.searchsorted(seen, time, "right") - 1
    fresh = (at >= 0) & (time - seen[at] <= MOST_STALE_HOURS * HOUR_SECONDS)
    return np.where(fresh, values[at], np.nan)


def _thirty_days(path: Path) -> tuple[NDArray[np.int64], _FLOAT]:
    """Interpolate the chains' volatility at 30 days, in total variance."""
    snapshots: dict[str, list[tuple[float, float]]] = {}
    for row in extract.read_rows(path):
        if row["currency"] == "BTC" and row["atm_iv"]:
            left = history.seconds(row["expiry"]) - history.seconds(row["timestamp"])
            variance = float(row["atm_iv"]) ** 2 * left
            snapshots.setdefault(row["timestamp"], []).append((left, variance))
    times, found = [], []
    for stamp, points in sorted(snapshots.items()):
        left, variance = np.array(sorted(points)).T
        if left[0] <= THIRTY_DAYS_SECONDS <= left[-1]:
            times.append(history.seconds(stamp))
            found.append(np.interp(THIRTY_DAYS_SECONDS, left, variance) / THIRTY_DAYS_SECONDS)
    return np.array(times), np.sqrt(found)


def ratios(sources: Sources) -> dict[str, float]:
    """Measure what `IMPLIED_OVER_REALISED` and `OVER_BTC` say, for the report."""
    found = realised(sources.hourly.prices)
    indexed = sources.source == 1
    implied = sources.hourly.implied[indexed, 0]
    return {
        "implied over realised, BTC": float(np.nanmedian(implied / found[indexed, 0])),
        "realised, ETH over BTC": float(np.nanmedian(found[:, 1] / found[:, 0])),
        "realised, SOL over BTC": float(np.nanmedian(found[:, 2] / found[:, 0])),
    }
