"""Tapes are reproducible, follow the path as their venues would, and encode as their feeds do."""

import numpy as np
import pytest

from oracle_mock import faults, sources
from oracle_mock.market import InvalidSnapshotError, Market, Rate, Snapshot, validate
from oracle_mock.sources import ChainlinkLike, PythLike, Reading, SignedLike

BEGIN, STEP, STEPS = 1_800_000_000, 300, 200
PRICES = 2_000 * np.exp(0.004 * np.random.default_rng(4).standard_normal(STEPS).cumsum())
TIMES = BEGIN + STEP * np.arange(STEPS)


@pytest.fixture(scope="module")
def path():
    return [
        Snapshot(
            time,
            {"ETH": Market(price, price * 1.001, 1.0, price, time)},
            {"USDT": Rate(1.0, 1.0, time)},
        )
        for time, price in zip(TIMES.tolist(), PRICES.tolist(), strict=True)
    ]


def test_broadcast_is_that_of_its_seed(path):
    first = sources.broadcast(path, seed=1)
    assert sources.broadcast(path, seed=1) == first
    assert sources.broadcast(path, seed=2).tapes != first.tapes


def test_tape_does_not_depend_on_the_other_tapes(path):
    alone = sources.broadcast(path, 1, {"ETH": sources.VENUES})
    assert alone.tapes["ETH"] == sources.broadcast(path, 1).tapes["ETH"]


def test_rounds_begin_at_the_deviation_or_the_heartbeat():
    venue = ChainlinkLike(deviation=0.005, heartbeat_seconds=1_200, noise=0.0)
    tape = venue.publish(TIMES, PRICES, np.random.default_rng(0))
    assert tape[0] == Reading(BEGIN, PRICES[0], PRICES[0] * 0.005, BEGIN)
    begun = 0
    for i, (time, price) in enumerate(zip(TIMES.tolist(), PRICES.tolist(), strict=True)):
        last = sources.standing(tape, time)
        due = abs(price / PRICES[begun] - 1) >= 0.005 or time - TIMES[begun] >= 1_200
        if due:
            begun = i
            arrived = sources.standing(tape, time + venue.latency_seconds)
            assert (arrived.price, arrived.observed) == (price, time + venue.latency_seconds)
        else:
            assert last.price == pytest.approx(price, rel=0.005)
    assert 20 < len(tape) < STEPS, "neither silent nor at every tick"


def test_pulled_prices_are_there_at_every_tick_and_their_times_never_run_back():
    tape = PythLike().publish(TIMES, PRICES, np.random.default_rng(0))
    assert [r.time for r in tape] == TIMES.tolist()
    observed = np.array([r.observed for r in tape])
    assert (np.diff(observed) >= 0).all()
    assert ((observed <= TIMES) & (TIMES - observed <= 5)).all()
    assert len(set((TIMES - observed).tolist())) > 1
    widths = np.array([r.confidence / r.price for r in tape])
    moves = np.abs(np.diff(PRICES)) / PRICES[1:]
    assert widths[1:] == pytest.approx(5e-4 + 0.1 * moves, rel=0.01)


def test_reports_come_at_regular_times():
    tape = SignedLike(interval_seconds=900).publish(TIMES, PRICES, np.random.default_rng(0))
    assert set(np.diff([r.time for r in tape]).tolist()) == {900}


@pytest.mark.parametrize("venue", sources.VENUES)
def test_venues_stay_near_the_truth(venue):
    tape = venue.publish(TIMES, PRICES, np.random.default_rng(0))
    errors = [
        abs(sources.standing(tape, time + 12).price / price - 1)
        for time, price in zip(TIMES.tolist(), PRICES.tolist(), strict=True)
    ]
    assert max(errors) < 0.007


def test_feeds_encode_in_their_units():
    reading = Reading(BEGIN, 2_000.12345678, 1.5, BEGIN - 3)
    assert ChainlinkLike(decimals=8).encode(reading, 7) == (
        *(7, 200_012_345_678, BEGIN - 3, BEGIN - 3, 7),
    )
    assert PythLike(exponent=-5).encode(reading, 7) == (200_012_346, 150_000, -5, BEGIN - 3)
    assert PythLike(exponent=2).encode(reading, 7) == (20, 0, 2, BEGIN - 3)
    assert SignedLike().encode(reading, 7) == (*(2_000_12345678 * 10**10, 15 * 10**17, BEGIN - 3),)


def test_feeds_refuse_what_their_fields_cannot_hold():
    below = Reading(BEGIN, -1.0, 1.0, BEGIN)
    assert ChainlinkLike().encode(below, 1).answer == -(10**8)
    assert PythLike().encode(below, 1).price == -(10**8)
    with pytest.raises(InvalidSnapshotError, match="cannot be encoded"):
        SignedLike().encode(below, 1)
    with pytest.raises(InvalidSnapshotError, match="63 bits"):
        PythLike().encode(Reading(BEGIN, 1e11, 1.0, BEGIN), 1)


def test_steps_deliver_every_reading_once_and_in_order(path):
    published = sources.broadcast(path, seed=1)
    delivered = {}
    for step in published.steps():
        for key, readings in step.arrived.items():
            delivered.setdefault(key, []).extend(readings)
            assert all(reading.time <= step.truth.time for _, reading in readings)
    for name, tapes in published.tapes.items():
        for source, tape in enumerate(tapes, 1):
            got = delivered[name, source]
            arrived = [r for r in tape if r.time <= path[-1].time]
            assert [reading for _, reading in got] == arrived
            assert [number for number, _ in got] == sources.rounds(tape)[: len(got)]


def test_marks_have_a_source_of_their_own(path):
    published = sources.broadcast(path, seed=1)
    assert set(published.tapes) == {"ETH", "USDT", "ETH-mark"}
    assert published.tapes["ETH-mark"][0][0].price == pytest.approx(
        path[0].markets["ETH"].mark, rel=1e-3
    )


def test_single_feed_takes_its_source_at_its_word(path):
    published = sources.broadcast(path, seed=1)
    fault = faults.Fault("jump", "ETH", path[50].time, path[60].time, (2,), 3.0)
    hit = faults.applied(published, [fault])
    wrong, right = sources.combined(hit, source=2), sources.combined(hit, source=1)
    for i in range(len(path)):
        validate(wrong[i])
        true = path[i].markets["ETH"].index
        factor = 3.0 if 50 <= i < 60 else 1.0
        assert wrong[i].markets["ETH"].index == pytest.approx(true * factor, rel=2e-3)
        assert right[i].markets["ETH"].index == pytest.approx(true, rel=0.012)


def test_single_feed_in_an_outage_says_nothing(path):
    published = sources.broadcast(path, seed=1)
    fault = faults.Fault("outage", "ETH", path[50].time, path[60].time, (2,))
    single = sources.combined(faults.applied(published, [fault]), source=2)
    assert ["ETH" not in snapshot.markets for snapshot in single] == [
        50 <= i < 60 for i in range(len(path))
    ]
    halt = faults.Fault(faults.HALT, "ETH", path[50].time, path[60].time)
    halted = sources.combined(faults.applied(published, [halt]))
    assert [s.time for s in halted] == [s.time for s in path[:50] + path[60:]]
