"""Read the extracts in `data/` into arrays: chains, bars, term structures, funding, de-pegs."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from oracle_mock import extract
from oracle_mock.surface import YEAR_SECONDS

CALM_CHAIN = "chain_calm_2026-01-14.csv.gz"
FALL_CHAIN = "chain_fall_2026-01-31.csv.gz"

_FLOAT = NDArray[np.float64]


def seconds(timestamp: str) -> int:
    """Unix time of an ISO 8601 timestamp in UTC."""
    return int(datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp())


def _number(text: str) -> float:
    return float(text) if text else np.nan


def _column(rows: list[dict[str, str]], name: str) -> _FLOAT:
    return np.array([_number(row[name]) for row in rows])


@dataclass(frozen=True)
class ExpiryQuotes:
    """Quotes of all options of one expiry; arrays have one entry per option.

    Marks, bids and asks are in coin per unit, as the exchange quotes; a missing one is NaN.
    """

    expiry: int
    tau: float
    forward: float
    index: float
    instrument: tuple[str, ...]
    strike: _FLOAT
    is_put: NDArray[np.bool_]
    mark: _FLOAT
    mark_iv: _FLOAT
    bid: _FLOAT
    ask: _FLOAT

    @property
    def k(self) -> _FLOAT:
        """Log moneyness."""
        return np.log(self.strike / self.forward)

    @property
    def out_of_the_money(self) -> NDArray[np.bool_]:
        """Puts below the forward and calls from it on: one quote per strike."""
        return self.is_put == (self.strike < self.forward)

    @property
    def liquid(self) -> NDArray[np.bool_]:
        """Out of the money, a delta of five percent at least, and quoted on both sides."""
        deviation = self.mark_iv * np.sqrt(self.tau)
        delta = ndtr(-np.abs(self.k / deviation - deviation / 2))
        return self.out_of_the_money & (delta >= 0.05) & (self.bid > 0) & (self.ask > 0)


def chain(name: str, underlying: str) -> tuple[int, list[ExpiryQuotes]]:
    """Time of a chain and its quotes by expiry, ascending."""
    by_expiry = defaultdict(list)
    rows = [row for row in extract.load(name) if row["currency"] == underlying]
    for row in rows:
        by_expiry[seconds(row["expiry"])].append(row)
    time = seconds(rows[0]["timestamp"])
    return time, [_quotes(time, expiry, by_expiry[expiry]) for expiry in sorted(by_expiry)]


def _quotes(time: int, expiry: int, rows: list[dict[str, str]]) -> ExpiryQuotes:
    return ExpiryQuotes(
        expiry=expiry,
        tau=(expiry - time) / YEAR_SECONDS,
        forward=float(np.median(_column(rows, "underlying_price"))),
        index=float(np.median(_column(rows, "index_price"))),
        instrument=tuple(row["instrument_name"] for row in rows),
        strike=_column(rows, "strike"),
        is_put=np.array([row["option_type"] == "put" for row in rows]),
        mark=_column(rows, "mark_price"),
        mark_iv=_column(rows, "mark_iv"),
        bid=_column(rows, "bid_price"),
        ask=_column(rows, "ask_price"),
    )


@dataclass(frozen=True)
class Bars:
    """Price bars of one asset: times are those of the opening, Unix seconds."""

    time: NDArray[np.int64]
    open: _FLOAT
    high: _FLOAT
    low: _FLOAT
    close: _FLOAT

    @property
    def length_seconds(self) -> int:
        """Length of one bar."""
        return int(np.diff(self.time).min())


def bars(name: str, asset: str) -> Bars:
    """Read the bars of one asset."""
    return _bars([row for row in extract.load(name) if row["asset"] == asset])


def volatility_index(name: str) -> Bars:
    """Read the bars of Deribit's index of implied volatility over 30 days, in points."""
    return _bars(extract.load(name), "dvol_")


def _bars(rows: list[dict[str, str]], prefix: str = "") -> Bars:
    return Bars(
        np.array([seconds(row["timestamp"]) for row in rows]),
        *(_column(rows, prefix + column) for column in ("open", "high", "low", "close")),
    )


@dataclass(frozen=True)
class SmileHistory:
    """What was quoted for one expiry over time; arrays have one entry per observation.

    Volatilities are per year; deltas are those of puts and calls; a missing one is NaN.
    """

    expiry: int
    time: NDArray[np.int64]
    basis: _FLOAT
    atm: _FLOAT
    put25: _FLOAT
    call25: _FLOAT
    put10: _FLOAT
    call10: _FLOAT


def term_structure(name: str, underlying: str) -> dict[int, SmileHistory]:
    """Read smiles by expiry; `basis` is forward over index, less one."""
    by_expiry = defaultdict(list)
    for row in extract.load(name):
        if row["currency"] == underlying:
            by_expiry[seconds(row["expiry"])].append(row)
    return {
        expiry: SmileHistory(
            expiry,
            np.array([seconds(row["timestamp"]) for row in rows]),
            _column(rows, "forward") / _column(rows, "index_price") - 1,
            *(_column(rows, f"{part}_iv") for part in ("atm", "put25d", "call25d")),
            *(_column(rows, f"{part}_iv") for part in ("put10d", "call10d")),
        )
        for expiry, rows in sorted(by_expiry.items())
    }


def premium_from_funding(rate: float) -> float:
    """Premium of mark over index that explains an eight-hour funding rate.

    The exchange charges ``F = P + clamp(0.01% - P, -0.05%, 0.05%)``. Inside the clamp F is 0.01 %
    whatever P: zero is returned then.
    """
    interest, clamp = 1e-4, 5e-4
    if rate == interest:
        return 0.0
    return rate + (clamp if rate > interest else -clamp)


@dataclass(frozen=True)
class Funding:
    """Eight-hour funding rates; positive: longs pay. Times are those of payment."""

    time: NDArray[np.int64]
    rate: _FLOAT


def funding(name: str, underlying: str) -> Funding:
    """Read the funding rates of one perpetual."""
    rows = [row for row in extract.load(name) if row["instrument"] == f"{underlying}-PERP"]
    time = np.array([seconds(row["timestamp"]) for row in rows])
    return Funding(time, _column(rows, "funding_rate"))


def daily_surface(name: str) -> list[tuple[tuple[int, int], tuple[_FLOAT, _FLOAT]]]:
    """Read volatilities dated by day: ((day, expiry), (k, volatility)), in order of both.

    The source names moneyness as strike over price, less one, and whole days to expiry; options
    expire at 08:00 UTC.
    """
    groups = defaultdict(list)
    for row in extract.load(name):
        day = seconds(row["date"])
        groups[day, day + int(row["tau_days"]) * 86_400 + 8 * 3_600].append(row)
    return [
        (key, (np.log1p(_column(rows, "return_x")), _column(rows, "iv")))
        for key, rows in sorted(groups.items())
    ]
