"""Six incidents, each described once: what prices truly were, what venues said of them.

`test_incidents` leads the exact models through them, `test_incidents_on_chain` a deployment.
What happened, and its sources, stand in the former.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from oracle_mock import catalogue, faults, replays, sources
from oracle_mock.faults import Fault
from oracle_mock.market import Market, Rate, Snapshot, postponed, to_wad
from oracle_mock.paths import Path, depeg
from oracle_mock.sources import Broadcast, Reading, Tape, Venue
from reference_model.types import DAY, WAD, YEAR

SEED = 11
MINUTE = 60


@dataclass(frozen=True)
class Incident:
    """What happened.

    Attributes
    ----------
    path : Path
        The truth.
    faults : tuple of Fault
        Of the venues.
    source : int
        The one that is taken at its word where everything is lost.
    printed : dict of (str, int) to Tape
        What a real venue published, by name of the price and number of the source.
    """

    path: Path
    faults: tuple[Fault, ...] = ()
    source: int = 1
    printed: Mapping[tuple[str, int], Tape] | None = None

    def broadcast(self, venues: Mapping[str, Sequence[Venue]]) -> Broadcast:
        """Let venues publish it."""
        published = faults.applied(sources.broadcast(self.path, SEED, venues), self.faults)
        for (name, source), tape in (self.printed or {}).items():
            published = faults.replayed(published, name, source, tape)
        return published

    def later(self, seconds: int) -> "Incident":
        """Let it happen some time later."""

        def moved(reading: Reading) -> Reading:
            times = {"time": reading.time + seconds, "observed": reading.observed + seconds}
            return reading._replace(**times)

        return replace(
            self,
            path=[postponed(snapshot, seconds) for snapshot in self.path],
            faults=tuple(
                replace(fault, start=fault.start + seconds, end=fault.end + seconds)
                for fault in self.faults
            ),
            printed={key: tuple(map(moved, tape)) for key, tape in (self.printed or {}).items()},
        )

    def seen_at(self, places: Sequence[int], names: Sequence[str]) -> "Incident":
        """Look at some moments alone, and at the prices named, without options."""

        def seen(snapshot: Snapshot) -> Snapshot:
            def bare(market: Market) -> Market:
                return replace(market, slices=())

            markets = {n: bare(m) for n, m in snapshot.markets.items() if n in names}
            rates = {t: r for t, r in snapshot.rates.items() if t in names}
            return Snapshot(snapshot.time, markets, rates)

        return replace(self, path=[seen(self.path[place]) for place in places])


def mango() -> Incident:
    """Every venue says, truly, that a thin market rose 24 times."""
    return Incident(catalogue.build("pump", SEED))


def usdc() -> Incident:
    """Every venue says, truly, what a dollar token was worth in March 2023."""
    return Incident(catalogue.build("usdc-2023-03", SEED))


# Dollars for a token, ether for it; the cash-like token plays it, for its feed is in dollars.
CBETH_PRICE, CBETH_RATIO = 2_200.0, 1.12
CBETH_BEGINS = 20


def cbeth() -> Incident:
    """All venues at once give the ratio to ether for a price in dollars, for forty minutes."""
    start = catalogue.start()
    begun = start.with_rate("USDT", Rate(CBETH_PRICE, CBETH_PRICE, start.time))
    path = [begun, *still(begun, 60, MINUTE)]
    window = path[CBETH_BEGINS].time, path[-1].time + 1
    wrong = Fault("jump", "USDT", *window, (1, 2, 3), CBETH_RATIO / CBETH_PRICE)
    return Incident(path, (wrong,))


def one_venue() -> Incident:
    """One of three venues publishes the trades of 10 October 2025, the others the peg."""
    venue = replays.usde_venue()
    printed = tuple(
        Reading(int(time), float(price), float(price) * 5e-4, int(time))
        for time, price in zip(venue.time, venue.value, strict=True)
    )
    path = catalogue.build("usde-2025-10", SEED)
    lowest = min(printed, key=lambda reading: reading.price).time
    before = next(place for place, snapshot in enumerate(path) if snapshot.time > lowest)
    path[before:before] = [_at(path[before - 1], lowest)]
    return Incident(path, source=2, printed={("USDT", 2): printed})


def frozen_feed(kind: str) -> Incident:
    """One of three venues stops just before a token falls by 90 % within two hours.

    `kind` is ``stale``, with old timestamps, or ``frozen``, with new ones.
    """
    path = depeg(
        catalogue.start(), "USDT", 0.9, SEED, recovery=0.0, step_seconds=300, fall_steps=24
    )
    return Incident(path, (Fault(kind, "USDT", path[1].time, path[-1].time + 1),))


class Capo:
    """Numbers of the cap on wstETH: stored two years before, its target of a week before, now."""

    STORED, TARGET, RATE = to_wad(1.1572), to_wad(1.2282), to_wad(1.2289)
    GROWTH = to_wad(0.0875)
    DAYS = 2 * 365

    @classmethod
    def grown(cls, day: int) -> int:
        """Rate on a day since the ratio was stored, growing evenly."""
        return cls.STORED + (cls.RATE - cls.STORED) * day // cls.DAYS

    @classmethod
    def split_cap(cls) -> int:
        """Cap of a naive limit: the ratio may rise by 3 %, its time moves all the way."""
        stored = min(cls.TARGET, cls.STORED * 103 // 100)
        return stored + stored * cls.GROWTH * 7 * DAY // (WAD * YEAR)


def still(snapshot: Snapshot, count: int, seconds: int) -> Path:
    """Let everything stay as it is for a while."""
    return [_at(snapshot, snapshot.time + seconds * (i + 1)) for i in range(count)]


def _at(snapshot: Snapshot, time: int) -> Snapshot:
    markets = {n: replace(m, observed=time) for n, m in snapshot.markets.items()}
    rates = {t: replace(r, observed=time) for t, r in snapshot.rates.items()}
    return replace(snapshot, time=time, markets=markets, rates=rates)
