"""Scan ranges move fast up and slowly down, ramps without a jump; never at one stroke."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_model.exact import charges, ramp, scan_range
from reference_model.exact.scan_range import Movement
from reference_model.ideal import ramp as ideal_ramp
from reference_model.ideal import scan_range as ideal_range
from reference_model.types import DAY, WAD

LOW, HIGH = 15 * WAD // 100, 60 * WAD // 100
RISE, FALL = WAD // 4, WAD // 200
bounded = st.integers(LOW, HIGH)
targets = st.integers(0, 2**63)
times = st.integers(-DAY, 20 * DAY)
rises, falls = st.integers(WAD // 1_000, 2 * WAD), st.integers(WAD // 10_000, 2 * WAD)


@given(bounded, targets, times, rises, falls)
def test_a_range_goes_towards_its_target_and_never_past_it(start, target, elapsed, rise, fall):
    at = scan_range.moved(start, target, elapsed, rise, fall)
    assert min(start, target) <= at <= max(start, target)
    if elapsed <= 0:
        assert at == start


@given(bounded, targets, st.integers(0, 3_600))
def test_maintenance_rises_by_no_more_than_the_rate_and_not_at_all_at_once(start, target, elapsed):
    movement = Movement(start, target, 1_000)
    now = scan_range.ranges(movement, LOW, HIGH, 1_000, RISE, FALL)
    later = scan_range.ranges(movement, LOW, HIGH, 1_000 + elapsed, RISE, FALL)
    assert now.current == start
    assert later.current <= start * np.exp(0.25 * elapsed / 3_600) * (1 + 1e-14)
    assert later.current >= start * np.exp(-0.005 * elapsed / 3_600) * (1 - 1e-14)


@given(bounded, targets, times)
def test_both_ranges_keep_the_bounds_and_the_initial_one_looks_ahead(start, target, elapsed):
    both = scan_range.ranges(Movement(start, target, DAY), LOW, HIGH, DAY + elapsed, RISE, FALL)
    assert LOW <= both.current <= both.initial <= HIGH
    assert both.initial >= min(target, HIGH)


@given(bounded, targets, st.integers(1, 10 * DAY), st.integers(0, 100))
def test_looking_on_the_way_changes_nothing_but_rounding(start, target, elapsed, percent):
    """A move to the same target halfway: governance or a sample does not speed it up."""
    part = elapsed * percent // 100
    halfway = scan_range.moved(start, target, part, RISE, FALL)
    twice = scan_range.moved(halfway, target, elapsed - part, RISE, FALL)
    once = scan_range.moved(start, target, elapsed, RISE, FALL)
    assert twice == pytest.approx(once, rel=1e-15, abs=40)


def test_before_the_first_move_the_range_is_the_lower_bound():
    assert scan_range.ranges(Movement(), LOW, HIGH, DAY, RISE, FALL) == (LOW, LOW)


def test_the_initial_requirement_rises_at_once_and_maintenance_follows():
    movement = Movement(LOW, 2 * LOW, 0)
    at_once = scan_range.ranges(movement, LOW, HIGH, 0, RISE, FALL)
    assert at_once == (LOW, 2 * LOW)
    # ln 2 / 0.25 per hour: within two hours and 47 minutes maintenance is there too.
    assert scan_range.ranges(movement, LOW, HIGH, 9_900, RISE, FALL).current < 2 * LOW
    assert scan_range.ranges(movement, LOW, HIGH, 9_990, RISE, FALL) == (2 * LOW, 2 * LOW)
    assert charges.scan_range(100 * WAD, *at_once, WAD) == 100 * WAD
    assert charges.scan_range(100 * WAD, LOW, LOW, WAD) == 0


@pytest.mark.parametrize(
    ("start", "target", "elapsed", "expected"),
    [
        (WAD, 10 * WAD, 4 * 3_600, 2_718281828459045235),
        (WAD, WAD // 10, 200 * 3_600, 367879441171442322),
        (WAD, 10 * WAD, 10**9, 10 * WAD),
        (WAD, 0, 864_000, 301194211912202097),
        (WAD, 0, 864_001, 301194211912202097),
    ],
)
def test_vectors_worked_out_by_hand(start, target, elapsed, expected):
    """A quarter of a logarithm an hour up, a two-hundredth down, for ten days at most."""
    assert scan_range.moved(start, target, elapsed, RISE, FALL) == expected


def test_both_layers_agree_on_ranges():
    rng = Random(4)
    cases = [
        (rng.randint(LOW, HIGH), rng.randint(0, 2 * WAD), rng.randint(-DAY, 20 * DAY),
         rng.randint(WAD // 1_000, 2 * WAD), rng.randint(WAD // 10_000, 2 * WAD))
        for _ in range(4_000)
    ]  # fmt: skip
    expected = (
        np.array(
            [
                scan_range.ranges(Movement(start, target, DAY), LOW, HIGH, DAY + elapsed, *rates)
                for start, target, elapsed, *rates in cases
            ],
            float,
        )
        / WAD
    )
    start, target, elapsed, rise, fall = np.array(cases, float).T
    start, target, rise, fall = start / WAD, target / WAD, rise / WAD, fall / WAD
    result = ideal_range.ranges(start, target, LOW / WAD, HIGH / WAD, elapsed, rise, fall)
    for each, mine in zip(result, expected.T, strict=True):
        assert np.all(np.abs(mine - each) <= ideal_range.tolerance(each))


values = st.integers(-(2**127), 2**127)


@given(values, values, st.integers(0, 2**40), st.integers(3_600, 30 * DAY), st.integers(0, 2**40))
def test_a_ramp_stays_between_its_ends_and_meets_both(before, after, start, length, at):
    end = start + length
    value = ramp.value(before, after, start, end, at)
    assert min(before, after) <= value <= max(before, after)
    assert ramp.value(before, after, start, end, start) == before
    assert ramp.value(before, after, start, end, end) == after


@given(values, values, st.integers(3_600, 30 * DAY), st.integers(0, 30 * DAY))
def test_a_ramp_moves_by_its_share_each_second_and_never_back(before, after, length, at):
    first, second = (ramp.value(before, after, 0, length, t) for t in (at, at + 1))
    assert abs(second - first) <= abs(after - before) // length + 1
    assert (second - first) * (after - before) >= 0


@given(values, values, values, st.integers(3_600, 30 * DAY), st.integers(0, 30 * DAY))
def test_a_change_during_a_ramp_starts_from_what_is_in_force(before, after, another, length, at):
    in_force = ramp.value(before, after, 0, length, at)
    assert ramp.value(in_force, another, at, at + length, at) == in_force


@given(
    st.integers(0, 2**64),
    st.integers(0, 2**64),
    st.integers(0, 2**64),
    st.integers(0, 2**64),
    st.integers(0, DAY),
)
def test_an_order_that_holds_at_both_ends_holds_all_the_way(a, b, c, d, at):
    low, high = sorted((a, b)), sorted((c, d))
    lower, upper = (ramp.value(low[i], high[i], 0, DAY, at) for i in (0, 1))
    assert lower <= upper
    if low[0] < low[1] and high[0] < high[1]:
        assert lower < upper


@given(values, values, st.integers(0, DAY))
def test_the_weights_of_scenarios_go_the_same_way_by_progress(before, after, at):
    share = ramp.progress(0, DAY, at)
    direct, by_share = ramp.value(before, after, 0, DAY, at), ramp.value_at(before, after, share)
    assert abs(direct - by_share) <= abs(after - before) // WAD + 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((10, 20, 100, 200, 150), 15),
        ((20, 10, 100, 200, 150), 15),
        ((0, 10, 0, 3, 1), 3),
        ((10, 0, 0, 3, 1), 7),
        ((-5, 5, 0, 4, 1), -3),
        ((5, 6, 0, 2, 1), 5),
        ((6, 5, 0, 2, 1), 6),
    ],
)
def test_ramps_worked_out_by_hand(arguments, expected):
    assert ramp.value(*arguments) == expected


def test_both_layers_agree_on_ramps():
    rng = Random(6)
    cases = [
        (rng.randint(0, 10**24), rng.randint(0, 10**24), start := rng.randint(0, 10**9),
         start + rng.randint(3_600, 30 * DAY), start + rng.randint(-DAY, 31 * DAY))
        for _ in range(4_000)
    ]  # fmt: skip
    expected = np.array([ramp.value(*case) for case in cases], float) / WAD
    before, after, *when = np.array(cases, float).T
    result = ideal_ramp.value(before / WAD, after / WAD, *when)
    assert np.all(np.abs(expected - result) <= ideal_ramp.tolerance(before / WAD, after / WAD))
