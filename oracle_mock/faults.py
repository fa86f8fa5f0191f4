"""Faults of feeds: functions from a path to a faulty path, the original untouched.

Every fault is ``fault(path, where, ...)``: it changes one underlying or one collateral rate,
inside a window of time, and nothing else. Faults compose by calling one on the result of another.
A new one is a function from the sound source to the faulty one, given to `_change`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from oracle_mock.market import Market, Rate, Snapshot
from oracle_mock.paths import Path

Source = Market | Rate

# What `jump`, `zero` and `negative` hit unless told otherwise: all prices of an underlying.
PRICES = ("index", "mark", "forward")


@dataclass(frozen=True)
class Where:
    """What a fault hits, and when.

    Parameters
    ----------
    name : str
        An underlying or a collateral token of the path.
    start, end : int
        Unix times; the end is excluded.
    """

    name: str
    start: int
    end: int

    def covers(self, snapshot: Snapshot) -> bool:
        """Whether a snapshot lies inside the window."""
        return self.start <= snapshot.time < self.end


def _source(snapshot: Snapshot, name: str) -> Source:
    if name in snapshot.markets:
        return snapshot.markets[name]
    if name in snapshot.rates:
        return snapshot.rates[name]
    raise KeyError(f"no underlying or collateral rate {name!r} at {snapshot.time}")


def _with_source(snapshot: Snapshot, name: str, source: Source) -> Snapshot:
    if isinstance(source, Market):
        return snapshot.with_market(name, source)
    return snapshot.with_rate(name, source)


def _change(path: Path, where: Where, change: Callable[[Source, Snapshot], Source]) -> Path:
    """Replace the source `where` names by `change(source, snapshot)` inside the window."""
    return [
        _with_source(snapshot, where.name, change(_source(snapshot, where.name), snapshot))
        if where.covers(snapshot)
        else snapshot
        for snapshot in path
    ]


def _last_before(path: Path, where: Where) -> Source:
    """Return the last sound source before the window; the first one of it if there is none."""
    before = [snapshot for snapshot in path if snapshot.time < where.start]
    return _source(before[-1] if before else path[0], where.name)


def _unexpired(source: Source, time: int) -> Source:
    """Leave out slices that have expired: an expired one is no stale price but no price."""
    if isinstance(source, Rate):
        return source
    return replace(source, slices=tuple(part for part in source.slices if part.expiry > time))


def _scaled(source: Source, factor: float, fields: tuple[str, ...]) -> Source:
    """Multiply a rate, or the prices of a market that `fields` names."""
    if isinstance(source, Rate):
        return replace(source, value=source.value * factor)
    changes = {name: getattr(source, name) * factor for name in fields if name != "forward"}
    if "forward" in fields:
        changes["slices"] = tuple(
            replace(part, forward=part.forward * factor) for part in source.slices
        )
    return replace(source, **changes)


def stale(path: Path, where: Where) -> Path:
    """Stop updating: values and times of observation stay those before the window."""
    last = _last_before(path, where)
    return _change(path, where, lambda _, snapshot: _unexpired(last, snapshot.time))


def frozen(path: Path, where: Where) -> Path:
    """Repeat the values before the window as if seen just now: only the times advance."""
    last = _last_before(path, where)
    return _change(
        path,
        where,
        lambda source, snapshot: replace(_unexpired(last, snapshot.time), observed=source.observed),
    )


def jump(path: Path, where: Where, factor: float, fields: tuple[str, ...] = PRICES) -> Path:
    """Multiply prices by a factor."""
    return _change(path, where, lambda source, _: _scaled(source, factor, fields))


def zero(path: Path, where: Where, fields: tuple[str, ...] = PRICES) -> Path:
    """Report prices of zero."""
    return jump(path, where, 0.0, fields)


def negative(path: Path, where: Where, fields: tuple[str, ...] = PRICES) -> Path:
    """Report prices with the wrong sign."""
    return jump(path, where, -1.0, fields)


def disagreeing(path: Path, where: Where, factor: float, field: str = "mark") -> Path:
    """Let one source ("index", "mark" or "forward") contradict the others by a factor."""
    if field not in PRICES:
        raise ValueError(f"{field!r} is none of {PRICES}")
    return jump(path, where, factor, (field,))


def confidence_blow_out(path: Path, where: Where, factor: float) -> Path:
    """Multiply the confidence interval of an underlying; a rate has none."""

    def change(source: Source, _: Snapshot) -> Source:
        if isinstance(source, Rate):
            raise TypeError(f"the rate of {where.name} has no confidence interval")
        return replace(source, confidence=source.confidence * factor)

    return _change(path, where, change)


def outage(path: Path, where: Where) -> Path:
    """Publish nothing at all for the underlying or the rate."""
    silent = []
    for snapshot in path:
        if where.covers(snapshot):
            _source(snapshot, where.name)  # refuses a name that the path does not hold
            markets = {k: v for k, v in snapshot.markets.items() if k != where.name}
            rates = {k: v for k, v in snapshot.rates.items() if k != where.name}
            snapshot = replace(snapshot, markets=markets, rates=rates)
        silent.append(snapshot)
    return silent
