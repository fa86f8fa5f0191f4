"""Faults of sources: functions from a broadcast to a faulty one, the original untouched.

A `Fault` is of one kind, hits chosen sources of one price and lasts for a window of time. Within
the window the sources publish what the kind says, at its end they publish the sound price again.
Faults compose: `applied` takes one after the other.

A new kind is a function ``change(before, inside, size)`` from the readings before the window and
those inside it (the first repeats, at the start, what stood then) to the faulty ones inside.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from oracle_mock.sources import Broadcast, Reading, Tape, standing

Change = Callable[[Tape, Tape, float], Tape]


def _scale(reading: Reading, factor: float) -> Reading:
    if reading.price is None:
        return reading
    confidence = reading.confidence * abs(factor)
    return reading._replace(price=reading.price * factor, confidence=confidence)


def stale(before: Tape, inside: Tape, size: float) -> Tape:
    """Publish nothing: the last reading stands with its time."""
    return () if before else inside[:1]


def frozen(before: Tape, inside: Tape, size: float) -> Tape:
    """Repeat the last values as if seen just now: only the times advance."""
    value = {"price": inside[0].price, "confidence": inside[0].confidence}
    return tuple(reading._replace(**value) for reading in inside)


def jump(before: Tape, inside: Tape, size: float) -> Tape:
    """Multiply prices."""
    return tuple(_scale(reading, size) for reading in inside)


def zero(before: Tape, inside: Tape, size: float) -> Tape:
    """Publish prices of zero."""
    return jump(before, inside, 0.0)


def negative(before: Tape, inside: Tape, size: float) -> Tape:
    """Publish prices with the wrong sign."""
    return jump(before, inside, -1.0)


def wrong_decimals(before: Tape, inside: Tape, size: float) -> Tape:
    """Publish in a unit that is off by powers of ten."""
    return jump(before, inside, 10.0**size)


def out_of_order(before: Tape, inside: Tape, size: float) -> Tape:
    """Let every second arrival, the first to begin with, be older than the one before it."""
    known = (before[-2:-1] or inside[:1]) + inside
    return tuple(
        reading if place % 2 else known[max(0, place - 1)]._replace(time=reading.time)
        for place, reading in enumerate(inside)
    )


def confidence_blow_out(before: Tape, inside: Tape, size: float) -> Tape:
    """Multiply the interval the source vouches for; one that publishes none is not hit."""
    return tuple(reading._replace(confidence=reading.confidence * size) for reading in inside)


def outage(before: Tape, inside: Tape, size: float) -> Tape:
    """Let the source be unreadable."""
    return (inside[0]._replace(price=None),)


class Kind(NamedTuple):
    """Kind of a fault: what it does to a tape, and how much of it is usual.

    Attributes
    ----------
    change : function or None
        None for what stops the chain itself.
    size : float or None
        Unless told otherwise; None if there is nothing to tell.
    meaning : str
        Of the size.
    """

    change: Change | None
    size: float | None = None
    meaning: str = ""

    @property
    def text(self) -> str:
        """What it does, in a line."""
        return (self.change.__doc__ or "").splitlines()[0] if self.change else HALT_TEXT


HALT = "sequencer-outage"
HALT_TEXT = "Stop the chain: nobody sends anything, and the uptime feed tells so afterwards."

KINDS: dict[str, Kind] = {
    "stale": Kind(stale),
    "frozen": Kind(frozen),
    "jump": Kind(jump, 1.5, "factor"),
    "zero": Kind(zero),
    "negative": Kind(negative),
    "wrong-decimals": Kind(wrong_decimals, 2.0, "powers of ten"),
    "out-of-order": Kind(out_of_order),
    "disagreeing": Kind(jump, 1.05, "factor, its inverse for every second source"),
    "confidence-blow-out": Kind(confidence_blow_out, 100.0, "factor"),
    "outage": Kind(outage),
    HALT: Kind(None),
}


@dataclass(frozen=True)
class Fault:
    """One fault.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    name : str
        The price it hits: an underlying, a collateral token, or ``ETH-mark``.
    start, end : int
        Unix times; the end is excluded.
    sources : tuple of int
        Which of its sources, from 1; those of a halt do not matter.
    size : float, optional
        How much; the kind's own by default.
    """

    kind: str
    name: str
    start: int
    end: int
    sources: tuple[int, ...] = (1,)
    size: float | None = None

    def __post_init__(self) -> None:
        """Refuse what is no fault."""
        if self.kind not in KINDS:
            raise ValueError(f"no fault {self.kind!r}; there are {', '.join(KINDS)}")
        if self.start >= self.end:
            raise ValueError(f"a fault from {self.start} until {self.end} never begins")
        if self.size is not None and KINDS[self.kind].size is None:
            raise ValueError(f"{self.kind} has no size")

    def size_at(self, place: int) -> float:
        """Size for the n-th of its sources."""
        size = KINDS[self.kind].size if self.size is None else self.size
        if self.kind == "disagreeing" and place % 2:
            return 1 / size
        return size or 0.0


def hit(tape: Tape, start: int, end: int, change: Change, size: float) -> Tape:
    """Let a tape be faulty from `start` until `end`, and sound again from then on."""
    before = tuple(reading for reading in tape if reading.time < start)
    within = tuple(reading for reading in tape if start <= reading.time < end)
    if before and (not within or within[0].time > start):
        within = (before[-1]._replace(time=start, observed=start), *within)
    if not within:
        return tape
    sound = standing(tape, end)
    rest = tuple(reading for reading in tape if reading.time > end)
    faulty = change(before, within, size)
    return (*before, *faulty, sound._replace(time=end, observed=max(sound.observed, end)), *rest)


def applied(published: Broadcast, faults: Iterable[Fault]) -> Broadcast:
    """Apply faults, one after the other.

    Raises
    ------
    KeyError
        If the broadcast lacks a price or a source that a fault names.
    """
    for fault in faults:
        if fault.kind == HALT:
            halts = (*published.halts, (fault.start, fault.end))
            published = replace(published, halts=halts)
            continue
        if fault.name not in published.tapes:
            known = ", ".join(published.tapes)
            raise KeyError(f"no price {fault.name!r}; there are {known}")
        for place, source in enumerate(fault.sources):
            tapes = published.tapes[fault.name]
            if not 1 <= source <= len(tapes):
                raise KeyError(f"{fault.name} has sources 1 to {len(tapes)}, not {source}")
            change = KINDS[fault.kind].change
            tape = hit(tapes[source - 1], fault.start, fault.end, change, fault.size_at(place))
            published = published.with_tape(fault.name, source, tape)
    return published


def replayed(published: Broadcast, name: str, source: int, tape: Tape) -> Broadcast:
    """Let one source publish what a real venue did, from the first of its readings on."""
    before = tuple(r for r in published.tapes[name][source - 1] if r.time < tape[0].time)
    return published.with_tape(name, source, before + tape)
