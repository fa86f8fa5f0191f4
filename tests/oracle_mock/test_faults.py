"""Every fault changes what it says, where it says, and nothing else."""

from itertools import pairwise

import numpy as np
import pytest

from oracle_mock import faults, sources
from oracle_mock.faults import Fault
from oracle_mock.market import Market, Rate, Snapshot
from oracle_mock.sources import Reading

BEGIN, STEP, STEPS = 1_800_000_000, 300, 60
FIRST, LAST = 20, 40  # steps of the window, the last excluded
OF_TAPES = [kind for kind in faults.KINDS if kind != faults.HALT]


@pytest.fixture(scope="module")
def path():
    prices = 2_000 * np.exp(0.02 * np.random.default_rng(5).standard_normal(STEPS).cumsum())
    return [
        Snapshot(
            BEGIN + STEP * i,
            {"ETH": Market(price, price * 1.001, 1.0, price, BEGIN + STEP * i)},
            {"USDT": Rate(1.0, 1.0, BEGIN + STEP * i)},
        )
        for i, price in enumerate(prices.tolist())
    ]


@pytest.fixture(scope="module")
def sound(path):
    return sources.broadcast(path, seed=3)


def window(kind, name="ETH", **changes):
    return Fault(kind, name, BEGIN + STEP * FIRST, BEGIN + STEP * LAST, **changes)


def faulty(sound, kind, source=1, name="ETH", **changes):
    """Tape of one source with a fault, split by the window."""
    fault = window(kind, name, sources=(source,), **changes)
    tape = faults.applied(sound, [fault]).tapes[name][source - 1]
    return (
        [r for r in tape if r.time < fault.start],
        [r for r in tape if fault.start <= r.time < fault.end],
        [r for r in tape if r.time >= fault.end],
    )


def at(tape, time):
    return sources.standing(tape, time)


@pytest.mark.parametrize("source", [1, 2, 3])
@pytest.mark.parametrize("kind", OF_TAPES)
def test_fault_hits_its_source_in_its_window_alone(sound, kind, source):
    before, _, after = faulty(sound, kind, source)
    tape = sound.tapes["ETH"][source - 1]
    start, end = BEGIN + STEP * FIRST, BEGIN + STEP * LAST
    assert before == [r for r in tape if r.time < start]
    assert after[1:] == [r for r in tape if r.time > end]
    assert after[0].time == end
    assert after[0].price == at(tape, end).price, "sound again from the end on"
    hit = faults.applied(sound, [window(kind, sources=(source,))])
    others = [t for i, t in enumerate(hit.tapes["ETH"], 1) if i != source]
    assert others == [t for i, t in enumerate(sound.tapes["ETH"], 1) if i != source]
    assert {n: t for n, t in hit.tapes.items() if n != "ETH"} == {
        n: t for n, t in sound.tapes.items() if n != "ETH"
    }


def test_stale_source_says_nothing(sound):
    before, inside, _ = faulty(sound, "stale", 2)
    assert before and not inside


def test_frozen_source_repeats_its_values_with_new_times(sound):
    before, inside, _ = faulty(sound, "frozen", 2)
    assert {(r.price, r.confidence) for r in inside[1:]} == {inside[0][1:3]}
    assert inside[-1].observed > inside[0].observed > before[-1].observed - STEP
    assert len(inside) == 5 * (LAST - FIRST)


@pytest.mark.parametrize(
    ("kind", "size", "factor"),
    [
        ("jump", 3.0, 3.0),
        ("zero", None, 0.0),
        ("negative", None, -1.0),
        ("wrong-decimals", -2, 0.01),
    ],
)
def test_price_faults_scale_price_and_confidence(sound, kind, size, factor):
    inside = faulty(sound, kind, 3, size=size)[1]
    tape = [r for r in sound.tapes["ETH"][2] if r.time >= BEGIN + STEP * FIRST]
    assert len(inside) > 10
    for hit, honest in zip(inside, tape, strict=False):
        assert hit.price == pytest.approx(honest.price * factor)
        assert hit.confidence == pytest.approx(honest.confidence * abs(factor))
        assert (hit.time, hit.observed) == (honest.time, honest.observed)


def test_every_second_arrival_is_older_than_the_one_before(sound):
    before, inside, _ = faulty(sound, "out-of-order", 3)
    arrivals = [before[-1], *inside]
    older = [late.observed < early.observed for early, late in pairwise(arrivals)]
    assert older[::2] == [True] * len(older[::2])
    assert older[1::2] == [False] * len(older[1::2])
    numbers = sources.rounds(tuple(arrivals))
    assert numbers[1] < numbers[0], "with the round it should have had"


def test_disagreeing_sources_go_opposite_ways(sound):
    hit = faults.applied(sound, [window("disagreeing", sources=(2, 3), size=1.1)])
    time = BEGIN + STEP * FIRST
    for source, factor in ((2, 1.1), (3, 1 / 1.1)):
        tapes = hit.tapes["ETH"][source - 1], sound.tapes["ETH"][source - 1]
        assert at(tapes[0], time).price == pytest.approx(at(tapes[1], time).price * factor)


def test_confidence_blow_out_touches_confidence_alone(sound):
    inside = faulty(sound, "confidence-blow-out", 2, size=50.0)[1]
    honest = [r for r in sound.tapes["ETH"][1] if r.time >= BEGIN + STEP * FIRST]
    for hit, true in zip(inside, honest, strict=False):
        assert hit == true._replace(confidence=true.confidence * 50)


def test_source_in_an_outage_cannot_be_read(sound):
    (only,) = faulty(sound, "outage", 1)[1]
    assert only.price is None


def test_halt_keeps_everything_back_until_its_end(sound, path):
    halted = faults.applied(sound, [window(faults.HALT)])
    steps = list(halted.steps())
    assert [step.halted for step in steps] == [FIRST <= i < LAST for i in range(STEPS)]
    assert not any(step.arrived for step in steps if step.halted)
    late = steps[LAST].arrived["ETH", 2]
    assert len(late) == 5 * (LAST - FIRST) + 5
    everything = [r for step in steps for _, r in step.arrived.get(("ETH", 2), [])]
    assert tuple(everything) == sound.tapes["ETH"][1]


def test_faults_compose(sound):
    both = faults.applied(
        sound, [window("frozen", sources=(2,)), window("jump", sources=(2,), size=2.0)]
    )
    inside = [r for r in both.tapes["ETH"][1] if r.time >= BEGIN + STEP * FIRST]
    last = at(sound.tapes["ETH"][1], BEGIN + STEP * FIRST - 1)
    assert inside[3].price == pytest.approx(2 * inside[0].price / 2)
    assert inside[3].price == pytest.approx(2 * last.price, rel=0.05)
    assert both.tapes["ETH"][0] == sound.tapes["ETH"][0]


def test_fault_of_a_rate_and_of_a_mark(sound):
    for name in ("USDT", "ETH-mark"):
        hit = faults.applied(sound, [window("jump", name, size=0.5)])
        time = BEGIN + STEP * FIRST
        ratio = at(hit.tapes[name][0], time).price / at(sound.tapes[name][0], time).price
        assert ratio == pytest.approx(0.5)


@pytest.mark.parametrize("kind", OF_TAPES)
def test_fault_of_what_is_unknown_is_refused(sound, kind):
    with pytest.raises(KeyError, match="DOGE"):
        faults.applied(sound, [window(kind, "DOGE")])
    with pytest.raises(KeyError, match="sources 1 to 3, not 4"):
        faults.applied(sound, [window(kind, sources=(4,))])


def test_what_is_no_fault_is_refused():
    with pytest.raises(ValueError, match="no fault 'flood'; there are stale"):
        window("flood")
    with pytest.raises(ValueError, match="never begins"):
        Fault("stale", "ETH", 10, 10)
    with pytest.raises(ValueError, match="zero has no size"):
        window("zero", size=2.0)


def test_fault_from_the_very_start_repeats_the_first_reading(sound):
    fault = Fault("stale", "ETH", BEGIN, BEGIN + STEP, (2,))
    tape = faults.applied(sound, [fault]).tapes["ETH"][1]
    assert tape[0] == sound.tapes["ETH"][1][0]
    assert tape[1].time == BEGIN + STEP


def test_venue_can_print_what_a_real_one_did(sound):
    printed = tuple(Reading(BEGIN + STEP * i, 0.65, 0.0, BEGIN + STEP * i) for i in (10, 11))
    tapes = faults.replayed(sound, "USDT", 1, printed).tapes["USDT"]
    assert tapes[0][-2:] == printed
    assert all(r.time < printed[0].time for r in tapes[0][:-2])
    assert tapes[1:] == sound.tapes["USDT"][1:]
