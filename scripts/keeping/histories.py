"""Joint moves of past days from files of prices, as words that the contract stores.

A file is CSV with a header, gzipped or not: `timestamp`, ISO 8601, when a bar opened, and `close`
(or one column whose name ends with `_close`), as exchanges and vendors give them, of any bar length
up to a day. Other columns are not read.
"""

import csv
import gzip
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from reference_model import vectors
from scripts.keeping.files import FileError

DAY, HOUR = 86_400, 3_600


class History(NamedTuple):
    """One series.

    Attributes
    ----------
    path : Path
    bar_seconds : int
        Length of its bars.
    known_at : ndarray of int64
        Unix times at which the closes were known, when the bars ended; ascending.
    close : ndarray of float64
        Above zero.
    """

    path: Path
    bar_seconds: int
    known_at: np.ndarray
    close: np.ndarray


class Rules(NamedTuple):
    """How moves are measured.

    Attributes
    ----------
    decay_seconds, max_deviation
        Of the estimator.
    vol_ranges
        By symbol: what one unit of a vol move is.
    """

    decay_seconds: int
    max_deviation: float
    vol_ranges: Mapping[str, float]


class Dates(NamedTuple):
    """Moves of dates, old first.

    Attributes
    ----------
    ends_at : list of int
        Unix times at which the dates end.
    price_moves, vol_moves : ndarray of float64, shape (dates, places)
        In standard deviations and vol ranges, not cut.
    words : list of int
        The same, cut and packed.
    left_out : list of int
        Ends of the days since the first date of which not all is known.
    """

    ends_at: list[int]
    price_moves: np.ndarray
    vol_moves: np.ndarray
    words: list[int]
    left_out: list[int]

    @property
    def cut(self) -> float:
        """Share of the price moves that lie beyond the outer nodes."""
        return float(np.mean(np.abs(self.price_moves) > vectors.NODES[-1]))

    @property
    def vol_cut(self) -> float:
        """Share of the vol moves that lie beyond the outer nodes."""
        low, *_, high = vectors.VOL_NODES
        return float(np.mean((self.vol_moves < low) | (self.vol_moves > high)))


def read_history(path: Path) -> History:
    """Read a file; `FileError` names the first line that is wrong, and what is wrong with it."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines)
            time_column, close_column = _columns(path, next(reader, []))
            rows = [
                _row(path, reader.line_num, row, time_column, close_column) for row in reader if row
            ]
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise FileError(f"{path} cannot be read: {error}") from error
    if len(rows) < 2:
        raise FileError(f"{path} has fewer than two rows")
    time, close = np.array([row[0] for row in rows], np.int64), np.array([row[1] for row in rows])
    steps = np.diff(time)
    if steps.min() <= 0:
        place = int(np.argmax(steps <= 0)) + 1
        raise FileError(f"{path}: {moment(time[place])} does not come after the row before it")
    # Most steps are a bar; the others are gaps.
    lengths, counts = np.unique(steps, return_counts=True)
    bar = int(lengths[np.argmax(counts)])
    if bar > DAY:
        raise FileError(f"{path}: its rows are {bar / DAY:.1f} days apart, daily ones are needed")
    return History(path, bar, time + bar, close)


def _columns(path: Path, header: list[str]) -> tuple[int, int]:
    names = [name.strip() for name in header]
    closes = [name for name in names if name == "close"]
    closes = closes or [name for name in names if name.endswith("_close")]
    if "timestamp" not in names or len(closes) != 1:
        raise FileError(f"{path}: the first line must name the columns timestamp and close")
    return names.index("timestamp"), names.index(closes[0])


def _row(
    path: Path, line: int, row: list[str], time_column: int, close_column: int
) -> tuple[int, float]:
    try:
        time = datetime.fromisoformat(row[time_column].strip())
        close = float(row[close_column])
    except (IndexError, ValueError) as error:
        raise FileError(f"{path}, line {line}: {error}") from error
    if not (math.isfinite(close) and close > 0):
        raise FileError(f"{path}, line {line}: close {close} is not above zero")
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    return int(time.timestamp()), close


def dates(
    prices: Mapping[str, History],
    volatilities: Mapping[str, History],
    rules: Rules,
    hour: int,
    until: int | None = None,
) -> Dates:
    """Moves of every day of which all is known.

    Parameters
    ----------
    prices
        By symbol, in the order of the basket.
    volatilities
        At-the-money volatility at 30 days, by symbol. An underlying without one is given that of
        the first place, or no vol moves if that has none either.
    rules
        How moves are measured.
    hour
        Of the day, UTC, at which a day ends.
    until
        Unix time after which nothing is taken.

    Raises
    ------
    FileError
        If no day is known.
    """
    series = [*prices.values(), *volatilities.values()]
    # The estimator samples by the hour; finer bars would say no more.
    bar = max(HOUR, math.gcd(DAY, *(each.bar_seconds for each in prices.values())))
    first = min(int(each.known_at[0]) for each in prices.values())
    last = min(int(each.known_at[-1]) for each in series)
    last = last if until is None else min(last, until)
    last -= (last - hour * HOUR) % DAY
    at = np.arange(last - max(0, last - first) // bar * bar, last + 1, bar, dtype=np.int64)
    closes = np.stack([_at(each, at) for each in prices.values()], axis=1)
    index = _volatility_index(list(prices), volatilities, at)
    ranges = np.array([rules.vol_ranges[symbol] for symbol in prices])
    found = vectors.from_history(
        *(closes, index, rules.decay_seconds, np.where(ranges > 0, ranges, np.inf)),
        bar_seconds=bar,
        max_deviation=rules.max_deviation,
    )
    if not len(found.bars):
        paths = ", ".join(str(each.path) for each in series)
        raise FileError(f"no day that ends at {hour:02}:00 UTC is known to all of {paths}")
    ends_at = at[found.bars]
    left_out = np.setdiff1d(np.arange(ends_at[0], last + 1, DAY), ends_at)
    words = vectors.encode(found.price_moves, found.vol_moves)
    return Dates(*(ends_at.tolist(), found.price_moves, found.vol_moves, words, left_out.tolist()))


def _at(history: History, at: np.ndarray) -> np.ndarray:
    """Closes known at these very times, NaN where there is none."""
    row = np.searchsorted(history.known_at, at).clip(max=len(history.known_at) - 1)
    return np.where(history.known_at[row] == at, history.close[row], np.nan)


def _volatility_index(
    symbols: Sequence[str], volatilities: Mapping[str, History], at: np.ndarray
) -> np.ndarray:
    largest = volatilities.get(symbols[0])
    columns = []
    for symbol in symbols:
        each = volatilities.get(symbol, largest)
        columns.append(np.ones(len(at)) if each is None else _at(each, at))
    return np.stack(columns, axis=1)


def moment(seconds: int) -> str:
    """A time as text."""
    return f"{datetime.fromtimestamp(int(seconds), UTC):%Y-%m-%d %H:%M} UTC"
