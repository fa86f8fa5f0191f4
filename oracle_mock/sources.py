"""What venues publish of a path: one tape of readings for each source of each price.

A path says what prices truly are. A venue sees them late, unevenly and not quite right, and
publishes in its own units: rounds with a deviation threshold and a heartbeat, pulled prices with
an exponent and a confidence, signed reports. A `Broadcast` holds all tapes of a path; faults
change them (`faults`), `pusher` writes them into mock feeds, `combined` is what a single feed
that is taken at its word would say.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from oracle_mock.market import InvalidSnapshotError, Rate, Snapshot
from oracle_mock.paths import Path, stabilised

_FLOAT = NDArray[np.float64]
_INT = NDArray[np.int64]

TICK_SECONDS = 60
MARK, RATE = "-mark", "-rate"

# Widths of the contracts' integers.
ANSWER_BITS, PYTH_BITS, REPORT_BITS = 255, 63, 96


class Reading(NamedTuple):
    """One publication of one source.

    Attributes
    ----------
    time : int
        Unix time at which it reaches the chain.
    price : float or None
        As published, USD or a rate, sound or not; None: from now on the source cannot be read.
    confidence : float
        Half-width of the interval the source vouches for.
    observed : int
        Unix time that the source gives for it.
    """

    time: int
    price: float | None
    confidence: float
    observed: int


Tape = tuple[Reading, ...]


def standing(tape: Tape, time: int) -> Reading | None:
    """Return the last reading that has reached the chain at a time."""
    position = bisect_right(tape, time, key=lambda reading: reading.time)
    return tape[position - 1] if position else None


def rounds(tape: Tape) -> list[int]:
    """Round of each reading, from 1: its place by what it observed.

    So a reading out of order carries the number that it should have had.
    """
    order = sorted({reading.observed for reading in tape})
    number = {observed: place for place, observed in enumerate(order, 1)}
    return [number[reading.observed] for reading in tape]


# --- venues ----------------------------------------------------------------------------------


class Round(NamedTuple):
    """Arguments of an `AggregatorV3Interface` round."""

    round_id: int
    answer: int
    started_at: int
    updated_at: int
    answered_in_round: int


class PythPrice(NamedTuple):
    """Fields of a `PythStructs.Price`."""

    price: int
    conf: int
    expo: int
    publish_time: int


class Report(NamedTuple):
    """Fields of a `PriceReport` of `SignedReports`, WAD."""

    price: int
    confidence: int
    timestamp: int


def _scaled(value: float, digits: int, bits: int, signed: bool = True) -> int:
    """Value in units of 10^-digits, to the nearest; refuses what the field cannot hold."""
    shifted = Decimal(repr(float(value))).scaleb(digits)
    scaled = int(shifted.to_integral_value()) if shifted.is_finite() else 2**bits
    if not (-(2**bits) if signed else 0) <= scaled < 2**bits:
        raise InvalidSnapshotError(f"{value} cannot be encoded in {bits} bits")
    return scaled


@dataclass(frozen=True)
class ChainlinkLike:
    """Rounds, pushed when the price has moved or the heartbeat is over.

    Parameters
    ----------
    decimals : int
        Of the answer.
    deviation : float
        Relative move that starts a round.
    heartbeat_seconds : int
        Longest time between two rounds.
    latency_seconds : int
        From the price to the chain; the round carries the time of its arrival.
    noise : float
        Standard deviation of the venue's prices around the true one, relative.
    """

    decimals: int = 8
    deviation: float = 0.005
    heartbeat_seconds: int = 3_600
    latency_seconds: int = 12
    noise: float = 2e-4

    def publish(self, times: _INT, prices: _FLOAT, random: np.random.Generator) -> Tape:
        """Readings of a price known at some times."""
        seen = (prices * np.exp(self.noise * random.standard_normal(len(prices)))).tolist()
        # What was there before the path begins has long arrived.
        begun = int(times[0])
        tape = [Reading(begun, seen[0], seen[0] * self.deviation, begun)]
        following = [*times[1:].tolist(), int(times[-1])]
        for time, after, price in zip(times.tolist(), following, seen, strict=True):
            moved = abs(price / tape[-1].price - 1) >= self.deviation
            if moved or after - begun > self.heartbeat_seconds:
                begun = time
                arrival = time + self.latency_seconds
                tape.append(Reading(arrival, price, price * self.deviation, arrival))
        return tuple(tape)

    def encode(self, reading: Reading, number: int) -> Round:
        """Round with the number given."""
        answer = _scaled(reading.price, self.decimals, ANSWER_BITS)
        return Round(number, answer, reading.observed, reading.observed, number)


@dataclass(frozen=True)
class PythLike:
    """Prices with a confidence, there to be pulled at every tick.

    Parameters
    ----------
    exponent : int
        Power of ten of price and confidence.
    confidence : float
        Share of the price that the venue vouches for in calm.
    confidence_of_move : float
        Share of the last move that comes on top.
    jitter_seconds : int
        The publish time lies up to as many seconds back.
    noise : float
        As above.
    """

    exponent: int = -8
    confidence: float = 5e-4
    confidence_of_move: float = 0.1
    jitter_seconds: int = 5
    noise: float = 2e-4

    def publish(self, times: _INT, prices: _FLOAT, random: np.random.Generator) -> Tape:
        """Readings of a price known at some times."""
        seen = prices * np.exp(self.noise * random.standard_normal(len(prices)))
        moves = np.abs(np.diff(prices, prepend=prices[0]))
        widths = self.confidence * seen + self.confidence_of_move * moves
        late = random.integers(0, self.jitter_seconds + 1, len(times))
        observed = np.maximum.accumulate(times - late)
        rows = zip(*(a.tolist() for a in (times, seen, widths, observed)), strict=True)
        return tuple(Reading(*row) for row in rows)

    def encode(self, reading: Reading, number: int) -> PythPrice:
        """Price in the venue's unit; the number of its round is not published."""
        price = _scaled(reading.price, -self.exponent, PYTH_BITS)
        conf = _scaled(abs(reading.confidence), -self.exponent, PYTH_BITS + 1, signed=False)
        return PythPrice(price, conf, self.exponent, reading.observed)


@dataclass(frozen=True)
class SignedLike:
    """Reports that N of M signers agree on, posted at regular times.

    Parameters
    ----------
    interval_seconds : int
        Between two reports.
    confidence : float
        Share of the price that the signers vouch for.
    noise : float
        As above.
    """

    interval_seconds: int = 60
    confidence: float = 1e-3
    noise: float = 2e-4

    def publish(self, times: _INT, prices: _FLOAT, random: np.random.Generator) -> Tape:
        """Readings of a price known at some times."""
        seen = prices * np.exp(self.noise * random.standard_normal(len(prices)))
        tape: list[Reading] = []
        for time, price in zip(times.tolist(), seen.tolist(), strict=True):
            if not tape or time - tape[-1].time >= self.interval_seconds:
                tape.append(Reading(time, price, price * self.confidence, time))
        return tuple(tape)

    def encode(self, reading: Reading, number: int) -> Report:
        """Report in WAD; reports have no number but their time."""
        price = _scaled(reading.price, 18, REPORT_BITS, signed=False)
        confidence = _scaled(abs(reading.confidence), 18, REPORT_BITS, signed=False)
        return Report(price, confidence, reading.observed)


class ProvidedRate(NamedTuple):
    """What a rate provider answers, WAD."""

    rate: int


@dataclass(frozen=True)
class RateLike:
    """Rate of a staked token, known to its own contract exactly and at once."""

    def publish(self, times: _INT, prices: _FLOAT, random: np.random.Generator) -> Tape:
        """Readings of a price known at some times."""
        rows = zip(times.tolist(), prices.tolist(), strict=True)
        return tuple(Reading(time, price, 0.0, time) for time, price in rows)

    def encode(self, reading: Reading, number: int) -> ProvidedRate:
        """Rate in WAD."""
        return ProvidedRate(_scaled(reading.price, 18, REPORT_BITS, signed=False))


Venue = ChainlinkLike | PythLike | SignedLike | RateLike

# Three venues of three kinds: enough for a median that one of them cannot move.
VENUES: tuple[Venue, ...] = (ChainlinkLike(), PythLike(), SignedLike())


# --- broadcasts ------------------------------------------------------------------------------


class Step(NamedTuple):
    """What happens between one snapshot of the path and the next.

    Attributes
    ----------
    truth : Snapshot
        At the end of the step.
    arrived : dict of (str, int) to list of (int, Reading)
        New readings with the numbers of their rounds by name of the price and number of the source
        (from 1), in order of arrival.
    halted : bool
        The sequencer is down: nobody sends anything, the readings arrive afterwards.
    """

    truth: Snapshot
    arrived: dict[tuple[str, int], list[tuple[int, Reading]]]
    halted: bool


@dataclass(frozen=True)
class Broadcast:
    """All that venues publish along a path.

    Parameters
    ----------
    path : Path
        The truth.
    venues : mapping of str to sequence of Venue
        By name of the price: an underlying, a collateral token (``SOL-rate`` where an underlying
        has its name), or ``ETH-mark`` for the mark of a perpetual.
    tapes : mapping of str to tuple of Tape
        In the order of the venues.
    halts : tuple of (int, int)
        Unix times between which the sequencer is down.
    """

    path: Path
    venues: Mapping[str, Sequence[Venue]]
    tapes: Mapping[str, tuple[Tape, ...]]
    halts: tuple[tuple[int, int], ...] = ()

    def with_tape(self, name: str, source: int, tape: Tape) -> "Broadcast":
        """Return a copy in which one source (from 1) publishes something else."""
        tapes = list(self.tapes[name])
        tapes[source - 1] = tape
        return replace(self, tapes={**self.tapes, name: tuple(tapes)})

    def arrival(self, time: int) -> int:
        """When something sent at a time reaches the chain: after the halt, if there is one."""
        return next((end for start, end in self.halts if start <= time < end), time)

    def steps(self) -> Iterator[Step]:
        """Go along the path, with what has arrived since the step before."""
        position = {
            (name, i): 0 for name in self.tapes for i in range(1, len(self.tapes[name]) + 1)
        }
        numbers = {(name, i): rounds(self.tapes[name][i - 1]) for name, i in position}
        for truth in self.path:
            if halted := self.arrival(truth.time) != truth.time:
                yield Step(truth, {}, halted)
                continue
            arrived: dict[tuple[str, int], list[tuple[int, Reading]]] = {}
            for (name, i), first in position.items():
                tape = self.tapes[name][i - 1]
                last = first
                while last < len(tape) and self.arrival(tape[last].time) <= truth.time:
                    last += 1
                if last > first:
                    fresh = zip(numbers[name, i][first:last], tape[first:last], strict=True)
                    arrived[name, i] = list(fresh)
                    position[name, i] = last
            yield Step(truth, arrived, halted)


def true_price(snapshot: Snapshot, name: str) -> float:
    """Price of a name at a snapshot, as it truly is."""
    if name in snapshot.markets:
        return snapshot.markets[name].index
    if name in snapshot.rates:
        return snapshot.rates[name].value
    if name.endswith(RATE) and name.removesuffix(RATE) in snapshot.rates:
        return snapshot.rates[name.removesuffix(RATE)].value
    if name.endswith(MARK) and name.removesuffix(MARK) in snapshot.markets:
        return snapshot.markets[name.removesuffix(MARK)].mark
    known = ", ".join([*snapshot.markets, *snapshot.rates])
    raise KeyError(f"no price {name!r} at {snapshot.time}; there are {known}")


def names_of(path: Path) -> list[str]:
    """Names of all prices of a path."""
    markets = list(path[0].markets)
    rates = (token + RATE if token in markets else token for token in path[0].rates)
    return [*markets, *rates, *(name + MARK for name in markets)]


def ticks(path: Path, name: str) -> tuple[_INT, _FLOAT]:
    """Price between the snapshots of a path, on a straight line of its logarithm.

    Every minute, or sixty times between two snapshots if they are further apart than an hour.
    """
    known = np.array([snapshot.time for snapshot in path])
    prices = np.array([true_price(snapshot, name) for snapshot in path])
    spacing = int(np.diff(known).min()) if len(known) > 1 else TICK_SECONDS
    regular = np.arange(known[0], known[-1] + 1, max(TICK_SECONDS, spacing // 60))
    times = np.union1d(known, regular)
    return times, np.exp(np.interp(times, known, np.log(prices)))


def broadcast(
    path: Path, seed: int, venues: Mapping[str, Sequence[Venue]] | None = None
) -> Broadcast:
    """Let venues publish a path.

    Parameters
    ----------
    path : Path
    seed : int
        Of the venues' noise and jitter; each tape has its own stream, whatever others there are.
    venues : mapping of str to sequence of Venue, optional
        By name; `VENUES` for every underlying and rate by default, one signed source for a mark.
    """
    if venues is None:
        venues = {name: VENUES[-1:] if name.endswith(MARK) else VENUES for name in names_of(path)}
    tapes = {}
    for name, places in venues.items():
        times, prices = ticks(path, name)
        tapes[name] = tuple(
            venue.publish(times, prices, np.random.default_rng([seed, crc32(name.encode()), place]))
            for place, venue in enumerate(places)
        )
    return Broadcast(path, venues, tapes)


# --- a single feed ---------------------------------------------------------------------------


@dataclass
class _Single:
    """Readings of one source of each name, as they stand."""

    source: int
    standing: dict[str, Reading] = field(default_factory=dict)

    def take(self, step: Step) -> None:
        for (name, source), readings in step.arrived.items():
            if source == self.source or name.endswith(MARK):
                self.standing[name] = readings[-1][1]

    def snapshot(self, truth: Snapshot) -> Snapshot:
        markets, rates = {}, {}
        for name, market in truth.markets.items():
            if (reading := self.standing.get(name)) and reading.price is not None:
                mark = self.standing.get(name + MARK)
                ratio = reading.price / market.index
                markets[name] = replace(
                    market,
                    index=reading.price,
                    mark=mark.price if mark and mark.price is not None else market.mark * ratio,
                    confidence=reading.confidence,
                    observed=reading.observed,
                    slices=tuple(replace(s, forward=s.forward * ratio) for s in market.slices),
                )
        for token in truth.rates:
            name = token + RATE if token in truth.markets else token
            if (reading := self.standing.get(name)) and reading.price is not None:
                rates[token] = Rate(reading.price, reading.price, reading.observed)
        return replace(truth, markets=markets, rates=rates)


def combined(published: Broadcast, source: int = 1) -> Path:
    """Path that a single feed would publish if it took one source at its word.

    Halted steps are left out; a source that cannot be read leaves its price out. The mark follows
    its own source, forwards keep their basis.
    """
    single = _Single(source)
    path = []
    for step in published.steps():
        single.take(step)
        if not step.halted:
            path.append(single.snapshot(step.truth))
    return stabilised(path)
