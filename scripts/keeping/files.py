"""Prices and volatility surfaces from files, checked before anything is sent.

A file is CSV with a header, or JSON with a list of objects; a row of either has the same fields.
"""

import csv
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import click
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from oracle_mock.market import PRICE_LIMIT
from oracle_mock.surface import ArbitrageError, Svi, require_arbitrage_free

Positive = Annotated[float, Field(gt=0, lt=PRICE_LIMIT, allow_inf_nan=False)]
AtLeastZero = Annotated[float, Field(ge=0, lt=PRICE_LIMIT, allow_inf_nan=False)]
Number = Annotated[float, Field(allow_inf_nan=False)]
# As wide as an instrument holds it.
Expiry = Annotated[int, Field(ge=0, lt=2**32)]
HOUR = 3_600
TOLERATED_CLOCK_SECONDS = 60


class FileError(click.ClickException):
    """A file that cannot be used; the message says where and why."""


class Row(BaseModel):
    """What all rows have in common: whole fields, and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PriceRow(Row):
    """One price.

    Attributes
    ----------
    name
        An underlying or collateral token of the deployment, ``SOL-rate`` where both have the name.
    price
        USD; of a token that follows an underlying, units of it.
    confidence
        Half-width of the interval vouched for, at most the price.
    mark
        Mark of the perpetual; the price if it is left out.
    stable
        Rate-limited price, for a feed that is told one; the price if it is left out.
    time
        When it was seen; now if it is left out.
    """

    name: str
    price: Positive
    confidence: AtLeastZero = 0.0
    mark: Positive | None = None
    stable: Positive | None = None
    time: int | None = None

    @model_validator(mode="after")
    def _interval(self) -> "PriceRow":
        if self.confidence > self.price:
            raise ValueError(f"confidence {self.confidence} is more than the price {self.price}")
        return self


class SliceRow(Row):
    """One expiry of a surface.

    Attributes
    ----------
    underlying
        Its symbol.
    expiry
        Unix seconds, or a date and time like ``2026-03-27T08:00:00Z``.
    forward, discount
        USD; in (0, 1].
    a, b, rho, m, sigma
        SVI parameters of the total variance left.
    index
        Index that the forward belongs to; that of the chain if it is left out.
    time
        When it was seen; now if it is left out.
    """

    underlying: str
    expiry: Expiry
    forward: Positive
    discount: Annotated[float, Field(gt=0, le=1)] = 1.0
    a: Number
    b: AtLeastZero
    rho: Annotated[float, Field(gt=-1, lt=1)]
    m: Number
    sigma: Positive
    index: Positive | None = None
    time: int | None = None

    @model_validator(mode="before")
    @classmethod
    def _expiry_as_a_date(cls, row: Any) -> Any:
        text = row.get("expiry") if isinstance(row, dict) else None
        if isinstance(text, str) and not text.strip().isdigit():
            try:
                moment = datetime.fromisoformat(text.strip())
            except ValueError as error:
                raise ValueError(f"expiry '{text}' is neither Unix seconds nor a date") from error
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return row | {"expiry": int(moment.timestamp())}
        return row

    @property
    def svi(self) -> Svi:
        return Svi(self.a, self.b, self.rho, self.m, self.sigma)


Kind = TypeVar("Kind", bound=Row)


def read_rows(path: Path, kind: type[Kind]) -> list[Kind]:
    """Rows of a file; `FileError` names the first row that is wrong, and what is wrong with it."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path} cannot be read: {error}") from error
    if path.suffix.lower() == ".json":
        raw = _json_rows(path, text)
    elif path.suffix.lower() == ".csv":
        try:
            raw = _csv_rows(path, text, kind)
        except csv.Error as error:
            raise FileError(f"{path} is not CSV: {error}") from error
    else:
        raise FileError(f"{path}: name a .csv or .json file")
    if not raw:
        raise FileError(f"{path} has no rows")
    rows = []
    for where, content in raw:
        try:
            rows.append(kind.model_validate(content))
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            what = first["msg"].removeprefix("Value error, ")
            raise FileError(f"{path}, {where}: {field + ': ' if field else ''}{what}") from error
    return rows


def _csv_rows(path: Path, text: str, kind: type[Row]) -> list[tuple[str, dict]]:
    reader = csv.DictReader(text.splitlines())
    names = [name.strip() for name in reader.fieldnames or ()]
    require_once(path, names)
    required = {name for name, field in kind.model_fields.items() if field.is_required()}
    if missing := sorted(required - set(names)):
        raise FileError(
            f"{path}: the first line must name the columns; missing: {', '.join(missing)}"
        )
    rows = []
    for row in reader:
        if None in row or None in row.values():
            raise FileError(
                f"{path}, line {reader.line_num}: it has not as many fields as the first line"
            )
        filled = {k.strip(): v.strip() for k, v in row.items() if v.strip()}
        rows.append((f"line {reader.line_num}", filled))
    return rows


def _json_rows(path: Path, text: str) -> list[tuple[str, dict]]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise FileError(f"{path}, line {error.lineno}: not JSON: {error.msg}") from error
    except ValueError as error:  # a number of thousands of digits
        raise FileError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise FileError(f"{path}: write a list of objects, one for each row")
    return [(f"row {place}", row) for place, row in enumerate(content, 1)]


def require_known(path: Path, rows: Sequence[Any], field: str, known: Sequence[str]) -> None:
    """Require that the names in a field are the deployment's, each price there once."""
    for row in rows:
        if getattr(row, field) not in known:
            raise FileError(
                f"{path}: no {field} '{getattr(row, field)}' in the deployment; "
                f"there are {', '.join(known)}"
            )


def require_times(path: Path, rows: Sequence[PriceRow | SliceRow], now: int) -> None:
    """Require that nothing was seen in the future."""
    latest = max(now, int(time.time())) + TOLERATED_CLOCK_SECONDS
    for row in rows:
        if row.time is not None and not 0 < row.time <= latest:
            raise FileError(f"{path}: time {row.time} lies ahead; now it is {now} on the chain")


def require_once(path: Path, keys: Sequence[Any]) -> None:
    """Require that no row comes twice."""
    for key in keys:
        if keys.count(key) > 1:
            raise FileError(f"{path}: {key} is there more than once")


def surfaces(path: Path, rows: Sequence[SliceRow], now: int) -> dict[str, list[SliceRow]]:
    """Slices by underlying, ascending, ahead and free of arbitrage."""
    require_once(path, [f"{row.underlying} {row.expiry}" for row in rows])
    found: dict[str, list[SliceRow]] = {}
    for row in sorted(rows, key=lambda row: (row.underlying, row.expiry)):
        if row.expiry <= now:
            raise FileError(f"{path}: expiry {row.expiry} of {row.underlying} has passed")
        if row.expiry % HOUR:
            raise FileError(f"{path}: expiry {row.expiry} of {row.underlying} is not on the hour")
        found.setdefault(row.underlying, []).append(row)
    for name, slices in found.items():
        if len({(row.index, row.time) for row in slices}) > 1:
            raise FileError(f"{path}: the slices of {name} are one report, of one time and index")
        try:
            require_arbitrage_free([row.svi for row in slices])
        except ArbitrageError as error:
            raise FileError(f"{path}: {name}: {error}") from error
    return found
