"""A stable price moves no faster than its rate, and no timing of observations bends it."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_model.exact import stable_price as exact
from reference_model.ideal import stable_price as ideal
from reference_model.types import WAD

RATE = 6 * WAD // 100
prices = st.integers(1, 2**95 - 1)
seconds = st.integers(0, exact.MAX_STEP_SECONDS)
rates = st.integers(WAD // 10_000, 10 * WAD)


def follow(observations, rate=RATE):
    """Stable price after (price, seconds in force) pairs."""
    stable = observations[0][0]
    for price, elapsed in observations:
        while elapsed > 0:
            stable = exact.step(stable, price, min(elapsed, exact.MAX_STEP_SECONDS), rate)
            elapsed -= exact.MAX_STEP_SECONDS
    return stable


@given(prices, prices, seconds, rates)
def test_a_step_goes_towards_the_price_and_never_past_it(stable, price, elapsed, rate):
    after = exact.step(stable, price, elapsed, rate)
    assert min(stable, price) <= after <= max(stable, price)
    if elapsed == 0:
        assert after == stable


@given(prices, prices, seconds, rates)
def test_a_step_is_at_most_the_rate_times_the_time(stable, price, elapsed, rate):
    after = exact.step(stable, price, elapsed, rate)
    most = np.exp(rate / WAD * elapsed / 3_600) * (1 + 1e-14)
    assert stable / most - 1 <= after <= stable * most


@given(st.lists(st.integers(1, 3_599), min_size=1, max_size=20), st.integers(500, 5_000))
def test_how_often_a_price_is_observed_makes_no_difference(pieces, target):
    """One observation an hour, or one a second: the price in force counts for its time."""
    start, price = 2_000 * WAD, target * WAD
    total = sum(pieces)
    often = rarely = start
    for elapsed in pieces:
        often = exact.step(often, price, elapsed, RATE)
    while total > 0:
        rarely = exact.step(rarely, price, min(total, 3_600), RATE)
        total -= 3_600
    assert often == pytest.approx(rarely, rel=1e-15, abs=100)


@given(st.integers(0, 600), st.integers(1, 100), st.integers(0, 100_000))
def test_a_price_shown_for_a_moment_counts_for_that_moment(moment, factor, quiet):
    """Whoever waits for a gap and shows a spike moves the stable price by the spike's time only."""
    usual = 2_000 * WAD
    stable = follow([(usual, quiet), (usual * factor, moment), (usual, 0)])
    assert usual <= stable <= usual * np.exp(0.06 * moment / 3_600) * (1 + 1e-14)


def test_counting_towards_the_new_price_would_fail_that():
    """The naive rule, a step towards the price just seen: one second of spike, an hour's worth."""
    usual = 2_000 * WAD
    naive = exact.step(usual, 10 * usual, 3_600, RATE)
    assert naive > usual * 1.06
    assert follow([(usual, 3_600), (10 * usual, 1), (usual, 0)]) < usual * 1.0001


def test_up_and_down_for_equal_times_cancel():
    """No drift from a price that swings around its mean, at whatever pace it is observed."""
    rng = np.random.default_rng(5)
    for pace in (60, 600, 3_600):
        swings = rng.choice([1.2, 1 / 1.2], size=(4_000, 200))
        times = np.arange(200) * float(pace)
        stable = ideal.follow(2_000 * swings, times, 0.06)
        drift = np.log(stable[:, -1] / 2_000)
        assert abs(drift.mean()) < 4 * drift.std() / np.sqrt(len(drift))


# By hand: one hour at a rate of 1 multiplies or divides by e = 2.718281828459045235…
@pytest.mark.parametrize(
    ("stable", "price", "elapsed", "rate", "expected"),
    [
        (WAD, 10 * WAD, 3_600, WAD, 2_718281828459045235),
        (WAD, WAD // 10, 3_600, WAD, 367879441171442322),
        (WAD, 2 * WAD, 3_600, WAD, 2 * WAD),
        (WAD, WAD // 2, 3_600, WAD, WAD // 2),
        (WAD, 10 * WAD, 1_800, 2 * WAD, 2_718281828459045235),
        (WAD, 10 * WAD, 0, WAD, WAD),
        (1, 10**30, 3_600, WAD, 2),
        (3, 1, 3_600, WAD, 2),
    ],
)
def test_vectors_worked_out_by_hand(stable, price, elapsed, rate, expected):
    assert exact.step(stable, price, elapsed, rate) == expected


@pytest.mark.parametrize("rate", [WAD // 10_000, RATE, 10 * WAD])
def test_both_layers_agree(rate):
    rng = Random(rate)
    count, paths = 40, 100
    observed = [[rng.randint(WAD, 10**5 * WAD) for _ in range(count)] for _ in range(paths)]
    times = np.cumsum([[rng.randint(0, 5_000) for _ in range(count)] for _ in range(paths)], axis=1)
    expected = np.empty((paths, count))
    for path, row in enumerate(observed):
        stable = row[0]
        expected[path, 0] = stable / WAD
        for i in range(1, count):
            elapsed = min(int(times[path, i] - times[path, i - 1]), exact.MAX_STEP_SECONDS)
            stable = exact.step(stable, row[i - 1], elapsed, rate)
            expected[path, i] = stable / WAD
    array = np.array(observed, float) / WAD
    result = ideal.follow(array, times, rate / WAD)
    assert np.all(np.abs(expected - result) <= ideal.tolerance(result, array))
