"""Settlement prices: what is in the window counts for its time, and nobody chooses the rest."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_model.exact import settlement_window as exact
from reference_model.exact.settlement_window import Window
from reference_model.ideal import settlement as ideal
from reference_model.types import WAD

HOUR = 3_600
EXPIRY = 491_667 * HOUR
OPENING = EXPIRY - 1_800


def settle(observations, last):
    """Window after observations (time, price, disputed), the last of them at or after expiry."""
    window = Window()
    nexts = [time for time, *_ in observations[1:]] + [last]
    for (time, price, disputed), following in zip(observations, nexts, strict=True):
        window = exact.update(window, price, time, disputed, following)
    return window


def by_the_second(observations):
    """Sum and seconds, counted second by second and from scratch."""
    total = covered = 0
    for second in range(OPENING, EXPIRY):
        known = [o for o in observations if o[0] <= second]
        if known and second < known[-1][0] + 600 and not known[-1][2]:
            total, covered = total + known[-1][1], covered + 1
    return total, covered


@st.composite
def hours(draw):
    """Observations in the hour before the expiry."""
    times = draw(st.lists(st.integers(EXPIRY - HOUR, EXPIRY - 1), min_size=1, max_size=12))
    return [(t, draw(st.integers(1, 10**6)), draw(st.booleans())) for t in sorted(set(times))]


@given(hours(), st.integers(0, 10_000))
def test_the_window_is_what_counting_every_second_gives(observations, late):
    window = settle(observations, EXPIRY + late)
    assert window == (EXPIRY, *by_the_second(observations))


@given(hours())
def test_the_average_lies_between_the_prices_and_needs_half_of_the_window(observations):
    window = settle(observations, EXPIRY)
    price = exact.average(window)
    assert (price is None) == (window.covered_seconds < 900)
    if price is not None:
        counted = [p for _, p, disputed in observations if not disputed]
        assert min(counted) <= price <= max(counted)


@given(hours(), st.lists(st.integers(EXPIRY, EXPIRY + 50 * HOUR), min_size=2, max_size=2))
def test_who_comes_first_after_the_expiry_chooses_nothing(observations, lates):
    assert settle(observations, lates[0]) == settle(observations, lates[1])


@given(st.integers(0, 1_799), st.integers(1, 600), st.integers(1, 10**9))
def test_a_price_shown_within_the_window_moves_it_by_its_share_of_the_time(start, seconds, price):
    usual = 1_000
    times = sorted({*range(EXPIRY - HOUR, EXPIRY, 60), OPENING + start, OPENING + start + seconds})
    lie = range(OPENING + start, min(OPENING + start + seconds, EXPIRY))
    shown = [(t, price if t in lie else usual, False) for t in times if t < EXPIRY]
    settled = exact.average(settle(shown, EXPIRY))
    assert abs(settled - usual) <= abs(price - usual) * len(lie) / 1_800 + 1


@given(hours())
def test_an_observation_after_the_expiry_begins_another_window(observations):
    window = settle(observations, EXPIRY)
    after = exact.update(window, 5, EXPIRY, False, EXPIRY + 60)
    assert after == (EXPIRY + HOUR, 0, 0)


# By hand.
@pytest.mark.parametrize(
    ("observations", "window", "price"),
    [
        ([(-3_600, 7, 0)], (0, 0), None),
        ([(-2_000, 7, 0)], (400 * 7, 400), None),
        ([(-1_800, 7, 0)], (600 * 7, 600), None),
        ([(-1_800, 7, 0), (-1_200, 9, 0)], (600 * 7 + 600 * 9, 1_200), 8),
        ([(-1_800, 7, 0), (-1_200, 9, 1)], (600 * 7, 600), None),
        ([(-1_500, 7, 0), (-900, 8, 0)], (600 * 7 + 600 * 8, 1_200), 7),
        ([(-600, 7, 0), (-1, 1_000, 0)], (599 * 7 + 1_000, 600), None),
        ([(-1_199, 7, 0), (-900, 8, 0), (-300, 10, 0)], (299 * 7 + 600 * 8 + 300 * 10, 1_199), 8),
        ([(-1_200, 7, 0), (-300, 10, 0)], (600 * 7 + 300 * 10, 900), 8),
        ([(-1_199, 7, 0), (-299, 10, 0)], (600 * 7 + 299 * 10, 899), None),
    ],
)
def test_vectors_worked_out_by_hand(observations, window, price):
    found = settle([(EXPIRY + t, p, bool(d)) for t, p, d in observations], EXPIRY + 5)
    assert found == (EXPIRY, *window)
    assert exact.average(found) == price


def test_both_layers_agree():
    rng = Random(8)
    paths, count = 2_000, 12
    times = [sorted(rng.sample(range(EXPIRY - HOUR, EXPIRY), count)) for _ in range(paths)]
    prices = [[rng.randint(WAD, 10**5 * WAD) for _ in range(count)] for _ in range(paths)]
    disputed = [[rng.random() < 0.2 for _ in range(count)] for _ in range(paths)]
    windows = [
        settle(list(zip(*rows, strict=True)), EXPIRY)
        for rows in zip(times, prices, disputed, strict=True)
    ]
    array = np.array(prices, float) / WAD
    price, covered = ideal.average(times, array, disputed, EXPIRY)
    settled = [exact.average(window) for window in windows]
    assert np.array_equal(covered, [window.covered_seconds for window in windows])
    assert np.array_equal(np.isnan(price), [each is None for each in settled])
    assert 0 < np.isnan(price).sum() < paths
    expected = np.array([np.nan if each is None else each / WAD for each in settled])
    known = ~np.isnan(price)
    assert np.all(np.abs(expected - price)[known] <= ideal.tolerance(array)[known])
