"""Vectors: what a word keeps of a move, what a history says, where the tail of losses begins."""

import timeit

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from reference_model import vectors
from reference_model.ideal import volatility
from reference_model.vectors import DAY_SECONDS, NODES, VOL_NODES

DECAY = 10 * DAY_SECONDS
rng = np.random.default_rng(5)

shapes = st.tuples(st.integers(0, 5), st.integers(1, 8))
inner = st.floats(-1, 1)


def moves(nodes):
    """Moves anywhere, beyond the edges, and at the nodes and beside them."""
    at = st.sampled_from([x + d for x in nodes for d in (-1e-9, 0, 1e-9)])
    return st.one_of(st.floats(nodes[0] * 2, nodes[-1] * 2), at)


@st.composite
def joint_moves(draw):
    shape = draw(shapes)
    return tuple(draw(arrays.arrays(float, shape, elements=moves(x))) for x in (NODES, VOL_NODES))


def resolution(values, nodes):
    """Half a 1024th of the interval of each value on its wider side, a whole one at the edge."""
    cut = np.clip(values, nodes[0], nodes[-1])
    width = np.diff(nodes)
    before = np.clip(np.searchsorted(nodes, cut) - 1, 0, len(width) - 1)
    share = np.where(cut > nodes[-1] - width[-1] / 1024, 1.0, 0.5)
    return cut, share * width[before] / 1024


@given(joint_moves())
def test_a_word_resolves_a_move_to_half_a_share_of_its_interval(joint):
    decoded = vectors.decode(vectors.encode(*joint), joint[0].shape[1])
    for values, back, nodes in zip(joint, decoded, (NODES, VOL_NODES), strict=True):
        cut, within = resolution(values, nodes)
        assert (abs(back - cut) <= within + 1e-12).all()


@given(joint_moves())
def test_what_a_word_stands_for_is_encoded_as_the_same_move(joint):
    places = joint[0].shape[1]
    once = vectors.decode(vectors.encode(*joint), places)
    twice = vectors.decode(vectors.encode(*once), places)
    assert np.array_equal(once, twice)


@given(joint_moves())
def test_words_are_within_the_fields_that_the_contract_admits(joint):
    places = joint[0].shape[1]
    for word in vectors.encode(*joint):
        assert word & 31 == 0 and word < 2**255
        for p in range(places):
            row, a, b = (word >> at + 10 * p & 1023 for at in (5, 90, 175))
            assert row <= 59 and a + b <= 1024
        for p in range(places, 8):
            assert not any(word >> at + 10 * p & 1023 for at in (5, 90, 175))


@pytest.mark.parametrize(
    "z, y, row, a, b",
    [
        (-12, -0.5, 0, 0, 0),
        (-99, -9, 0, 0, 0),
        (12, -0.5, 9 * 6, 1023, 0),  # the far edge of z: no neighbour to carry into
        (-12, 2.25, 4, 0, 1023),
        (12, 2.25, 9 * 6 + 5, 0, 0),
        (99, 99, 9 * 6 + 5, 0, 0),
        (0, -0.5, 5 * 6, 0, 0),  # a whole interval is the next one's beginning
        (0, 0, 4 * 6 + 1, 0, 0),
        (-12, 0.5, 4, 0, 0),
        (0.5, -0.25, 5 * 6, 512, 512),  # on the diagonal: lower
        (0.5, -0.2495, 5 * 6 + 1, 512, 511),
        (9, 1.375, 9 * 6 + 4, 512, 512),
    ],
)
def test_corners_are_written_as_the_specification_says(z, y, row, a, b):
    (word,) = vectors.encode([[0.0, z]], [[0.0, y]])
    assert [word >> at + 10 & 1023 for at in (5, 90, 175)] == [row, a, b]


def test_known_words_stand_for_known_moves():
    lower = (5 * 6 + 2) << 5 | 256 << 90 | 512 << 175
    upper = (9 * 6 + 5) << 5 | 256 << 90 | 512 << 175
    z, y = vectors.decode([lower, upper], 1)
    assert z[:, 0].tolist() == [0.25, 10.5]
    assert y[:, 0].tolist() == [0.25, 1.375]


@pytest.mark.parametrize(
    "word",
    [
        60 << 5,
        1 << 90 | 1024 << 175,
        1,
        1 << 15,
        1 << 100,
        1 << 185,
        1 << 255,
        1023 << 90 | 2 << 175,
    ],
)
def test_words_that_the_contract_refuses_are_refused(word):
    with pytest.raises(ValueError, match="word 1 is not a vector of 1 places"):
        vectors.decode([0, word], 1)


@pytest.mark.parametrize("z, y", [([[np.nan]], [[0.0]]), ([[0.0]], [[np.nan]])])
def test_a_move_that_is_not_a_number_is_refused(z, y):
    with pytest.raises(ValueError, match="not a number"):
        vectors.encode(z, y)


@pytest.mark.parametrize("shape", [(3,), (3, 9), (3, 0)])
def test_moves_of_no_or_too_many_places_are_refused(shape):
    with pytest.raises(ValueError, match="moves of shapes"):
        vectors.encode(np.zeros(shape), np.zeros(shape))


# History -----------------------------------------------------------------------------------------


def paths(bars, places, daily, bar_seconds=DAY_SECONDS):
    steps = rng.normal(size=(bars, places)) * daily * np.sqrt(bar_seconds / DAY_SECONDS)
    return 1_000 * np.exp(np.cumsum(steps, axis=0))


def test_returns_are_simple_and_standardised_by_the_deviation_of_the_day_before():
    closes = paths(60, 2, 0.03)
    index = np.exp(rng.normal(size=closes.shape) * 0.1)
    history = vectors.from_history(closes, index, DECAY, [0.4, 0.5])
    known = vectors.deviations(closes, DECAY)
    t = history.bars
    assert t.tolist() == list(range(11, 60))
    assert history.price_moves == pytest.approx((closes[t] / closes[t - 1] - 1) / known[t - 1])
    assert history.vol_moves == pytest.approx((index[t] / index[t - 1] - 1) / [0.4, 0.5])


def test_no_date_knows_its_own_day():
    """A jump on the last day changes that day's move alone, and not its measure."""
    closes = paths(60, 1, 0.03)
    jumped = closes.copy()
    jumped[-1] *= 0.5
    before, after = (vectors.from_history(each, None, DECAY, 0.4) for each in (closes, jumped))
    assert np.array_equal(before.price_moves[:-1], after.price_moves[:-1])
    known = vectors.deviations(closes, DECAY)[-2]
    assert after.price_moves[-1] == pytest.approx((jumped[-1] / closes[-2] - 1) / known)


def test_moves_of_a_steady_market_have_deviation_one():
    z = vectors.from_history(paths(4_000, 1, 0.03), None, 40 * DAY_SECONDS, 0.4).price_moves
    assert z.std() == pytest.approx(1, abs=0.05)


def test_the_deviation_is_the_estimators_once_its_start_is_forgotten():
    closes = paths(24 * 200, 2, 0.04, 3_600)
    times = 3_600.0 * np.arange(len(closes))
    covariances = volatility.estimate(closes[None], times, [0.5, 2.0], DECAY, 6)[0, -1]
    estimated = volatility.daily_deviation(np.diag(covariances))
    assert vectors.deviations(closes, DECAY, 3_600)[-1] == pytest.approx(estimated, rel=1e-6)


def test_hours_give_days_that_end_with_the_last_bar():
    closes = paths(24 * 30 + 7, 1, 0.03, 3_600)
    history = vectors.from_history(closes, None, DECAY, 0.4, bar_seconds=3_600)
    assert history.bars[-1] == len(closes) - 1
    assert set(np.diff(history.bars)) == {24}
    assert history.bars[0] >= 24 * 10 + 24


def test_a_missing_bar_leaves_out_its_dates_for_all_places_and_no_other():
    closes = paths(60, 2, 0.03)
    whole = vectors.from_history(closes, None, DECAY, 0.4)
    closes[40, 1] = np.nan
    history = vectors.from_history(closes, None, DECAY, 0.4)
    assert set(whole.bars) - set(history.bars) == {40, 41}
    assert np.isfinite(history.price_moves).all()


def test_a_missing_index_leaves_out_its_dates():
    closes, index = paths(60, 2, 0.03), np.ones((60, 2))
    index[40, 0] = np.nan
    bars = vectors.from_history(closes, index, DECAY, 0.4).bars
    assert not {40, 41} & set(bars) and {39, 42} <= set(bars)


def test_an_underlying_that_came_later_is_waited_for_and_warmed_up():
    closes = paths(60, 2, 0.03)
    closes[:20, 1] = np.nan
    bars = vectors.from_history(closes, None, DECAY, 0.4, warm_up_seconds=5 * DAY_SECONDS).bars
    assert bars[0] == 20 + 5 + 1


def test_the_deviation_spans_a_gap_without_bias():
    closes = np.array([100.0, 102, 101, np.nan, 105])[:, None]
    rates = np.log(closes[[1, 2, 4], 0] / closes[[0, 1, 2], 0]) ** 2 / np.array([1, 1, 2])
    weights = -np.expm1(-np.array([1, 1, 2]) / 10)
    kept = weights * np.array([(1 - weights[1]) * (1 - weights[2]), 1 - weights[2], 1])
    expected = np.sqrt(kept @ rates / kept.sum())
    found = vectors.deviations(closes, DECAY)[:, 0]
    assert found[4] == pytest.approx(expected)
    assert found[3] == found[2] and np.isnan(found[0])


def test_one_day_counts_for_no_more_than_the_estimator_lets_it():
    closes = paths(100, 1, 0.03)
    closes[-1] = closes[-2] * 0.1
    before, after = vectors.deviations(closes, DECAY)[-2:, 0]
    most = before * np.sqrt(1 - np.expm1(-0.1) * (6**2 - 1))
    assert before < after <= most * 1.0001  # e^-10 of the weights are still to come


def test_bars_that_do_not_divide_a_day_are_refused():
    with pytest.raises(ValueError, match="do not divide a day"):
        vectors.from_history(np.ones((3, 1)), None, DECAY, 0.4, bar_seconds=50_000)


def test_an_index_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="differ"):
        vectors.from_history(np.ones((3, 1)), np.ones((3, 2)), DECAY, 0.4)


# Tail --------------------------------------------------------------------------------------------

shares = st.sampled_from([0.005, 0.01, 0.025, 0.05, 0.07, 0.1])
losses = arrays.arrays(float, st.integers(10, 1_000), elements=st.floats(0, 1e9))


def uryasev(losses, hint, share):
    return hint + np.maximum(losses - hint, 0).sum() / (share * len(losses))


@given(losses, shares)
def test_the_best_hint_gives_the_expected_shortfall(losses, share):
    shortfall = vectors.expected_shortfall(losses, share)
    hint = vectors.best_hint(losses, share)
    assert uryasev(losses, hint, share) == pytest.approx(shortfall, rel=1e-9, abs=1e-9)


@given(losses, shares, st.floats(0, 2e9))
def test_any_other_hint_gives_no_less(losses, share, hint):
    shortfall = vectors.expected_shortfall(losses, share)
    assert uryasev(losses, hint, share) >= shortfall * (1 - 1e-9) - 1e-9


@given(losses, shares)
def test_the_tail_is_the_sorted_losses_down_to_the_share(losses, share):
    """The mean of the quantile function over the tail, integrated step by step."""
    q, left, total = share * len(losses), share * len(losses), 0.0
    for loss in sorted(losses, reverse=True):
        taken = min(max(left, 0.0), 1.0)
        total, left = total + taken * loss, left - taken
    assert vectors.expected_shortfall(losses, share) == pytest.approx(total / q, rel=1e-9, abs=1e-9)


def test_many_accounts_have_their_shortfalls_at_once():
    losses = rng.exponential(size=(3, 4, 250))
    several = vectors.expected_shortfall(losses, 0.025)
    assert several.shape == (3, 4)
    assert several[2, 1] == vectors.expected_shortfall(losses[2, 1], 0.025)


def test_a_whole_number_of_worst_dates_is_not_one_more_for_rounding():
    """0.07 · 100 is a little above 7 in floats."""
    assert vectors.best_hint(np.arange(100), 0.07) == 93
    assert vectors.expected_shortfall(np.arange(100), 0.07) == pytest.approx(96)


def test_the_hint_of_integers_is_one_of_them_to_the_wei():
    losses = np.array([10**30 + i for i in range(500)], object)
    assert vectors.best_hint(losses, 0.025) == 10**30 + 487


def test_the_best_hint_is_found_in_microseconds():
    losses = rng.exponential(size=1_000)
    timer = timeit.Timer(lambda: vectors.best_hint(losses, 0.025))
    assert min(timer.repeat(20, 10)) / 10 < 200e-6
