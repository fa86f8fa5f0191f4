"""The clock counts every second once, except those of outages."""

from random import Random

import pytest

from reference_model.exact.errors import OutageTooSoon, ParameterOutOfRange
from reference_model.exact.outage_clock import (
    FOREVER,
    Outage,
    OutageClock,
    UptimeFeed,
    UptimeRound,
)
from reference_model.types import DAY

START = 1_770_000_000
UP, DOWN = 0, 1


class Sequencer:
    """A sequencer and its uptime feed."""

    def __init__(self) -> None:
        self.rounds = {1: UptimeRound(1, UP, START - DAY)}
        self.fails = False

    def change(self, answer: int, now: int) -> None:
        self.rounds[len(self.rounds) + 1] = UptimeRound(len(self.rounds) + 1, answer, now)

    @property
    def is_up(self) -> bool:
        return self.rounds[len(self.rounds)].answer == UP

    def feed(self) -> UptimeFeed:
        return UptimeFeed(
            7,
            lambda: None if self.fails else self.rounds[len(self.rounds)],
            lambda round_id: None if self.fails else self.rounds.get(round_id),
        )


@pytest.fixture
def sequencer():
    return Sequencer()


@pytest.fixture
def clock(sequencer):
    clock = OutageClock()
    clock.set_sequencer_feed(START, sequencer.feed(), 600)
    clock.sync_sequencer(START)
    return clock


def synced(clock):
    """How often the feed changed something since last asked."""
    count = sum(event.name == "SequencerSynced" for event in clock.events)
    clock.events.clear()
    return count


def test_without_an_outage_active_time_is_time(clock):
    assert clock.active_time(START + 5) == START + 5
    assert not clock.is_outage(START + 5)


def test_a_declared_outage_stops_the_clock_for_its_time(clock):
    clock.declare_outage(START, 1_000)
    assert [clock.active_time(START + t) - START for t in (0, 500, 1_000, 1_500)] == [0, 0, 0, 500]
    # No grace: a guardian who wants one declares it.
    assert [clock.is_outage(START + t) for t in (0, 999, 1_000)] == [True, True, False]


def test_an_outage_can_be_ended_early(clock):
    clock.declare_outage(START, 1_000)
    clock.end_outage(START + 400)
    clock.end_outage(START + 500)
    assert [event.name for event in clock.events[1:]] == ["OutageDeclared", "OutageEnded"]
    assert clock.active_time(START + 1_000) == START + 600


def test_a_guardian_can_hold_up_half_of_the_time_at_most(clock):
    for seconds in (0, DAY + 1):
        with pytest.raises(ParameterOutOfRange):
            clock.declare_outage(START, seconds)
    clock.declare_outage(START, DAY)
    with pytest.raises(OutageTooSoon) as refusal:
        clock.declare_outage(START + 2 * DAY - 1, 1)
    assert refusal.value.arguments == (START + 2 * DAY - 1, START + 2 * DAY)
    clock.declare_outage(START + 2 * DAY, 1)


def test_a_sequencer_outage_counts_from_its_start_to_its_end(clock, sequencer):
    sequencer.change(DOWN, START + 100)
    clock.sync_sequencer(START + 150)
    assert synced(clock) == 1
    assert clock.active_time(START + 150) == START + 100
    assert clock.is_outage(START + 10**6)
    sequencer.change(UP, START + 300)
    clock.sync_sequencer(START + 350)
    assert synced(clock) == 1
    assert clock.active_time(START + 350) == START + 150
    clock.sync_sequencer(START + 400)
    assert synced(clock) == 0
    assert not clock.is_outage(START + 900)


def test_an_outage_that_nobody_saw_is_counted_afterwards(clock, sequencer):
    sequencer.change(DOWN, START + 100)
    sequencer.change(UP, START + 300)
    clock.sync_sequencer(START + 1_000)
    assert synced(clock) == 1
    assert clock.active_time(START + 1_000) == START + 800


def test_a_sequencer_failing_in_a_declared_outage_folds_no_time_ahead(clock, sequencer):
    """It once folded away what was still to come: time ran backwards and prices counted."""
    clock.declare_outage(START, 1_000)
    sequencer.change(DOWN, START + 50)
    clock.sync_sequencer(START + 100)
    assert clock.active_time(START + 100) == START
    assert clock.is_outage(START + 100)
    sequencer.change(UP, START + 200)
    clock.sync_sequencer(START + 250)
    assert [clock.active_time(START + t) - START for t in (250, 1_000, 1_500)] == [0, 0, 500]
    assert clock.outage.outage_from == START


@pytest.mark.parametrize("rounds", [[(DOWN, 1)], [(DOWN, 1), (UP, START + 2 * DAY)]])
def test_an_outage_said_to_be_long_ago_sets_the_clock_back_by_a_day_at_most(
    clock, sequencer, rounds
):
    for round_ in rounds:
        sequencer.change(*round_)
    clock.sync_sequencer(START + 2 * DAY)
    assert clock.active_time(START + 2 * DAY) == START + DAY


@pytest.mark.parametrize("started_at", [0, START + 1])
def test_a_feed_without_a_start_or_from_the_future_says_nothing(clock, sequencer, started_at):
    sequencer.change(DOWN, started_at)
    before = clock.outage
    clock.sync_sequencer(START)
    assert synced(clock) == 0
    assert clock.outage == before


def test_a_feed_that_fails_says_nothing(clock, sequencer):
    sequencer.change(DOWN, START)
    sequencer.fails = True
    clock.sync_sequencer(START)
    assert synced(clock) == 0
    assert clock.outage.sequencer_until == 0


def test_another_feed_ends_the_outage_of_the_last(clock, sequencer):
    sequencer.change(DOWN, START)
    clock.sync_sequencer(START)
    assert clock.outage.sequencer_until == FOREVER
    clock.set_sequencer_feed(START + 50, None, 0)
    assert clock.outage == Outage(START * 0, START, 0, START + 50, 0)
    assert clock.active_time(START + 100) == START + 50


@pytest.mark.parametrize("seed", range(40))
def test_every_second_of_an_outage_is_left_out_once(clock, sequencer, seed):
    """Against intervals kept in a list: random outages of both kinds, each seen in time."""
    rng = Random(seed)
    now, declared, down = START, [], []
    for _ in range(60):
        now += rng.choice([1, 30, 500, 3_600, DAY])
        kind = rng.randrange(4)
        if kind == 0 and (not declared or now >= declared[-1][1] + DAY):
            seconds = rng.randint(1, DAY)
            clock.declare_outage(now, seconds)
            declared.append((now, now + seconds))
        elif kind == 1:
            clock.end_outage(now)
            if declared and now < declared[-1][1]:
                declared[-1] = declared[-1][0], now
        elif kind == 2:
            sequencer.change(DOWN if sequencer.is_up else UP, now)
            down.append((now, 2**40)) if not sequencer.is_up else down.append((down.pop()[0], now))
            now += rng.randrange(20)
            clock.sync_sequencer(now)
        stopped = _seconds([*declared, *down], now)
        assert clock.active_time(now) == now - stopped
        running = any(start <= now < end for start, end in declared + down)
        assert clock.is_outage(now) >= running


def _seconds(intervals, now) -> int:
    """Seconds before now in the union of intervals."""
    total, reached = 0, 0
    for start, end in sorted(intervals):
        start, end = max(start, reached), min(end, now)
        if end > start:
            total, reached = total + end - start, end
    return total
