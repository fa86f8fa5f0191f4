"""Every fault changes what it says, where it says, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from oracle_mock import faults, paths
from oracle_mock.market import InvalidSnapshotError, validate

MODEL = paths.JumpDiffusion({"BTC": 0.6, "ETH": 0.8})
STEP_SECONDS = 2 * 3_600
FIRST, LAST = 5, 9  # snapshots of the window, the last excluded

FAULTS = {
    "stale": lambda path, where: faults.stale(path, where),
    "frozen": lambda path, where: faults.frozen(path, where),
    "jump": lambda path, where: faults.jump(path, where, 1.5),
    "zero": lambda path, where: faults.zero(path, where),
    "negative": lambda path, where: faults.negative(path, where),
    "disagreeing": lambda path, where: faults.disagreeing(path, where, 1.1),
    "confidence_blow_out": lambda path, where: faults.confidence_blow_out(path, where, 50.0),
    "outage": lambda path, where: faults.outage(path, where),
}
OF_RATES = [name for name in FAULTS if name != "confidence_blow_out"]


@pytest.fixture(scope="module")
def path(start):
    # The first expiry of the start passes inside the window of the faults.
    steps = 14
    moves = {
        name: np.cumsum(returns)
        for name, returns in MODEL.log_returns(steps, STEP_SECONDS, seed=11).items()
    }
    return paths.along(start, STEP_SECONDS, moves, {"USDC": np.linspace(0.99, 0.9, steps)})


def window(path, name):
    return faults.Where(name, path[FIRST].time, path[LAST].time)


def inside(path):
    return path[FIRST:LAST]


def without(snapshot, name):
    return replace(
        snapshot,
        markets={key: value for key, value in snapshot.markets.items() if key != name},
        rates={key: value for key, value in snapshot.rates.items() if key != name},
    )


def check_only_the_window_changes(path, faulty, name):
    assert len(faulty) == len(path)
    assert faulty[:FIRST] == path[:FIRST]
    assert faulty[LAST:] == path[LAST:]
    for sound, hit in zip(inside(path), inside(faulty), strict=True):
        assert hit != sound
        assert without(hit, name) == without(sound, name)


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_of_a_market_changes_its_window_alone(path, fault):
    before = list(path)
    faulty = FAULTS[fault](path, window(path, "BTC"))
    check_only_the_window_changes(path, faulty, "BTC")
    assert path == before, "the original is untouched"


@pytest.mark.parametrize("fault", OF_RATES)
def test_fault_of_a_rate_changes_its_window_alone(path, fault):
    faulty = FAULTS[fault](path, window(path, "USDC"))
    check_only_the_window_changes(path, faulty, "USDC")


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_of_an_unknown_name_is_refused(path, fault):
    with pytest.raises(KeyError, match="DOGE"):
        FAULTS[fault](path, window(path, "DOGE"))


def test_stale_repeats_the_last_observation_with_its_time(path):
    faulty = faults.stale(path, window(path, "BTC"))
    last = path[FIRST - 1].markets["BTC"]
    for snapshot in inside(faulty):
        live = tuple(part for part in last.slices if part.expiry > snapshot.time)
        assert snapshot.markets["BTC"] == replace(last, slices=live)
        validate(snapshot)


def test_frozen_repeats_the_last_values_as_if_new(path):
    faulty = faults.frozen(path, window(path, "BTC"))
    last = path[FIRST - 1].markets["BTC"]
    for sound, hit in zip(inside(path), inside(faulty), strict=True):
        market = hit.markets["BTC"]
        assert (market.index, market.mark) == (last.index, last.mark)
        assert market.observed == sound.markets["BTC"].observed
        validate(hit)


@pytest.mark.parametrize(("fault", "factor"), [("jump", 1.5), ("zero", 0.0), ("negative", -1.0)])
def test_price_faults_scale_index_mark_and_forwards(path, fault, factor):
    faulty = FAULTS[fault](path, window(path, "ETH"))
    for sound, hit in zip(inside(path), inside(faulty), strict=True):
        old, new = sound.markets["ETH"], hit.markets["ETH"]
        expected = replace(
            old,
            index=old.index * factor,
            mark=old.mark * factor,
            slices=tuple(replace(part, forward=part.forward * factor) for part in old.slices),
        )
        assert new == expected


@pytest.mark.parametrize("fault", ["zero", "negative"])
def test_impossible_prices_do_not_pass_validation(path, fault):
    for name, complaint in (("BTC", "index"), ("USDC", "rate")):
        for snapshot in inside(FAULTS[fault](path, window(path, name))):
            with pytest.raises(InvalidSnapshotError, match=f"{name}: {complaint}"):
                validate(snapshot)


def test_price_fault_can_be_confined_to_one_field(path):
    faulty = faults.zero(path, window(path, "BTC"), fields=("mark",))
    for sound, hit in zip(inside(path), inside(faulty), strict=True):
        assert hit.markets["BTC"] == replace(sound.markets["BTC"], mark=0.0)


@pytest.mark.parametrize("field", ["index", "mark"])
def test_disagreeing_moves_one_price_against_the_others(path, field):
    faulty = faults.disagreeing(path, window(path, "BTC"), 1.1, field)
    for sound, hit in zip(inside(path), inside(faulty), strict=True):
        old = sound.markets["BTC"]
        assert hit.markets["BTC"] == replace(old, **{field: getattr(old, field) * 1.1})


def test_disagreeing_forwards_leave_spot_alone(path):
    faulty = faults.disagreeing(path, window(path, "BTC"), 0.9, "forward")
    for sound, hit in zip(inside(path), inside(faulty), strict=True):
        old, new = sound.markets["BTC"], hit.markets["BTC"]
        assert replace(new, slices=old.slices) == old
        assert [part.forward for part in new.slices] == [p.forward * 0.9 for p in old.slices]


def test_disagreeing_refuses_what_is_no_price(path):
    with pytest.raises(ValueError, match="observed"):
        faults.disagreeing(path, window(path, "BTC"), 1.1, "observed")


def test_confidence_blow_out_touches_confidence_alone(path):
    faulty = faults.confidence_blow_out(path, window(path, "BTC"), 50.0)
    for sound, hit in zip(inside(path), inside(faulty), strict=True):
        old = sound.markets["BTC"]
        assert hit.markets["BTC"] == replace(old, confidence=old.confidence * 50)


def test_confidence_of_a_rate_cannot_blow_out(path):
    with pytest.raises(TypeError, match="USDC"):
        faults.confidence_blow_out(path, window(path, "USDC"), 50.0)


def test_outage_publishes_nothing(path):
    for snapshot in inside(faults.outage(path, window(path, "BTC"))):
        assert "BTC" not in snapshot.markets
        validate(snapshot)


def test_fault_from_the_very_start_repeats_the_first_snapshot(path):
    where = faults.Where("BTC", path[0].time, path[2].time)
    assert faults.stale(path, where)[1].markets["BTC"].index == path[0].markets["BTC"].index


def test_faults_compose(path):
    where = window(path, "BTC")
    both = faults.jump(faults.frozen(path, where), where, 2.0)
    assert both[FIRST].markets["BTC"].index == 2 * path[FIRST - 1].markets["BTC"].index
