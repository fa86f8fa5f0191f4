"""A clock that stands still during outages.

Outages are declared by the guardian or reported by a sequencer-uptime feed. Times are whole
seconds of the epoch, active time is seconds too.

Source: specification, Market data, section 1.
"""

from collections.abc import Callable
from typing import NamedTuple

from reference_model.exact.errors import OutageTooSoon
from reference_model.exact.events import Event
from reference_model.exact.parameters import require_in_range
from reference_model.types import DAY

FOREVER = 2**40 - 1
MAX_LATE_SECONDS = DAY
SEQUENCER_UP, SEQUENCER_DOWN = 0, 1


class Outage(NamedTuple):
    """State of the clock, field by field that of ``IOutageClock.outage``."""

    stopped_seconds: int = 0
    outage_from: int = 0
    declared_until: int = 0
    sequencer_until: int = 0
    sequencer_round: int = 0


class UptimeRound(NamedTuple):
    """One round of a sequencer-uptime feed; `started_at` is the time of the change."""

    round_id: int
    answer: int
    started_at: int


class UptimeFeed(NamedTuple):
    """A sequencer-uptime feed as a caller sees it; None is a call that fails."""

    address: int
    latest: Callable[[], UptimeRound | None]
    get_round: Callable[[int], UptimeRound | None]


def until(outage: Outage) -> int:
    """End of the outage in memory; 0 before the first."""
    return max(outage.declared_until, outage.sequencer_until)


def active_time(outage: Outage, t: int) -> int:
    """Seconds since the epoch less all outages, at time t."""
    running = min(t, until(outage)) - outage.outage_from if t > outage.outage_from else 0
    return t - outage.stopped_seconds - running


def is_outage(outage: Outage, t: int, grace_seconds: int) -> bool:
    """Whether an outage, or the grace after one of the sequencer, is on at time t."""
    sequencer = outage.sequencer_until
    return t < outage.declared_until or (sequencer != 0 and t < sequencer + grace_seconds)


def extend(outage: Outage, start: int) -> Outage:
    """Fold the outage in memory away if it was over before `start`; else it goes on."""
    end = until(outage)
    if start <= end:
        return outage
    stopped = outage.stopped_seconds + end - outage.outage_from
    return outage._replace(stopped_seconds=stopped, outage_from=start)


def declared(outage: Outage, now: int, seconds: int) -> Outage:
    """State after an outage was declared from now on."""
    return extend(outage, now)._replace(declared_until=now + seconds)


class OutageClock:
    """The clock with its feed.

    Attributes
    ----------
    outage : Outage
    feed : UptimeFeed or None
    grace_seconds : int
    events : list of Event
        All that was emitted.
    """

    def __init__(self) -> None:
        self.outage = Outage()
        self.events: list[Event] = []
        self.feed: UptimeFeed | None = None
        self.grace_seconds = 0

    def active_time(self, now: int) -> int:
        """Seconds of active time at present, as a sync would find it."""
        return active_time(self._synced(now), now)

    def is_outage(self, now: int) -> bool:
        """Whether prices must not be relied on at present, as a sync would find it."""
        return is_outage(self._synced(now), now, self.grace_seconds)

    def declare_outage(self, now: int, seconds: int) -> None:
        """Stop the clock for a time, by the guardian.

        Raises
        ------
        ParameterOutOfRange, OutageTooSoon
            Of a day without a declared outage after each, which bounds what a guardian can do.
        """
        require_in_range("seconds", seconds, 1, DAY)
        earliest = self.outage.declared_until + DAY
        if self.outage.declared_until and now < earliest:
            raise OutageTooSoon(now, earliest)
        self.sync_sequencer(now)
        self.outage = declared(self.outage, now, seconds)
        self.events.append(Event("OutageDeclared", (now, now + seconds)))

    def end_outage(self, now: int) -> None:
        """End the declared outage early, if one is running."""
        if now < self.outage.declared_until:
            self.outage = self.outage._replace(declared_until=now)
            self.events.append(Event("OutageEnded", (now,)))

    def set_sequencer_feed(self, now: int, feed: UptimeFeed | None, grace_seconds: int) -> None:
        """Follow another feed, or none; a sequencer that was down counts as up from now on.

        Raises
        ------
        ParameterOutOfRange
        """
        require_in_range("graceSeconds", grace_seconds, 0, DAY)
        self.sync_sequencer(now)
        pairs = ((f.address if f else 0) for f in (self.feed, feed))
        self.events.append(Event("SequencerFeedSet", (*pairs, self.grace_seconds, grace_seconds)))
        self.feed, self.grace_seconds = feed, grace_seconds
        self.outage = self.outage._replace(sequencer_round=0)
        if self.outage.sequencer_until == FOREVER:
            self.outage = self.outage._replace(sequencer_until=now)
        self.sync_sequencer(now)

    def sync_sequencer(self, now: int) -> None:
        """Take in what the feed says; never fails."""
        before, self.outage = self.outage, self._synced(now)
        stopped, start, _, end, _ = self.outage
        if self.outage[:4] != before[:4]:
            self.events.append(Event("SequencerSynced", (stopped, start, end)))

    def _synced(self, now: int) -> Outage:
        """State that a sync leaves now."""
        latest = self.feed.latest() if self.feed else None
        if latest is None or not 0 < latest.started_at <= now:
            return self.outage
        if latest.answer not in (SEQUENCER_UP, SEQUENCER_DOWN):
            return self.outage
        after = self.outage
        if latest.answer == SEQUENCER_DOWN:
            # At the first look at a feed from then on: no setter moves a clock.
            is_first = after.sequencer_round == 0
            since = now if is_first else max(latest.started_at, now - MAX_LATE_SECONDS)
            after = _taken_down(after, since)
        elif after.sequencer_until == FOREVER:
            after = after._replace(sequencer_until=max(latest.started_at, after.outage_from))
        elif 0 != after.sequencer_round < latest.round_id:
            before = self.feed.get_round(latest.round_id - 1)
            after = _with_missed(after, before, latest.started_at, now - MAX_LATE_SECONDS)
        return after._replace(sequencer_round=latest.round_id)


def _taken_down(outage: Outage, started_at: int) -> Outage:
    """Stop the clock until the sequencer is up again; what is counted is not counted twice."""
    if outage.sequencer_until == FOREVER:
        return outage
    start = max(started_at, until(outage))
    return extend(outage, start)._replace(sequencer_until=FOREVER)


def _with_missed(outage: Outage, before: UptimeRound | None, end: int, least: int) -> Outage:
    """Count an outage between two looks at the feed, if the round before the latest was one.

    What lies before `least` is not counted.
    """
    if before is None or before.answer != SEQUENCER_DOWN or before.started_at == 0:
        return outage
    start = max(before.started_at, until(outage), least)
    return extend(outage, start)._replace(sequencer_until=end) if start < end else outage
