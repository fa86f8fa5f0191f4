"""EWMA variances are unbiased, and bounded for whoever decides some of the observations."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_model.exact import ewma
from reference_model.exact.errors import (
    AlreadyInBasket,
    BasketFull,
    MissingPrice,
    ParameterOutOfRange,
    SampleTooEarly,
)
from reference_model.exact.volatility_estimator import EstimatorParameters, VolatilityEstimator
from reference_model.ideal import volatility as ideal
from reference_model.types import DAY, WAD, YEAR

X40 = 2**40
X64 = 2**64
HOUR = 3_600
DECAY = 10 * DAY
DEVIATION = 6 * WAD
variances = st.integers(ewma.MIN_VARIANCE_X40, 25 * X40)
START = 1_770_000_000


def observe(variance, shown_x64, elapsed, decay=DECAY, deviation=DEVIATION):
    """Variance after a return that somebody shows."""
    cut = ewma.winsorised(shown_x64, variance, deviation, elapsed)
    return ewma.update_variance(variance, cut, elapsed, decay)


@given(
    variances,
    st.lists(
        st.tuples(st.integers(-5 * X64, 5 * X64), st.integers(HOUR, DAY)), min_size=1, max_size=30
    ),
)
def test_an_attacker_of_k_observations_stays_within_the_bound(variance, shown):
    start, least, most = variance, float(variance), float(variance)
    for return_x64, elapsed in shown:
        variance = observe(variance, return_x64, elapsed)
        weight = -np.expm1(-elapsed / DECAY)
        least, most = least * (1 - weight), most * (1 + weight * 35)
    allowed = len(shown) + 1e-9 * most
    assert max(least, ewma.MIN_VARIANCE_X40) - allowed <= variance <= most + allowed, start


@pytest.mark.parametrize("count", [1, 3, 24])
def test_the_bound_is_reached(count):
    variance = X40 // 4
    weight = -np.expm1(-HOUR / DECAY)
    low, high = ideal.reach(0.25, weight, 6, count)
    up = down = variance
    for _ in range(count):
        up, down = observe(up, 64 * X64, HOUR), observe(down, 0, HOUR)
    assert high * (1 - 1e-8) < up / X40 <= high + count / X40
    assert low - count / X40 <= down / X40 <= low + 1e-12
    # What the specification says of the defaults: 7 % of volatility up and 0.2 % down.
    assert np.sqrt(up / variance) ** (1 / count) == pytest.approx(1.0703, abs=1e-4)
    assert np.sqrt(down / variance) ** (1 / count) == pytest.approx(0.9979, abs=1e-4)


@given(variances, st.lists(st.integers(60, 30 * DAY), min_size=1, max_size=30))
def test_returns_of_the_present_variance_leave_it_whatever_their_time(variance, times):
    """X = v: regular or not, the fixed point of the estimate is the variance itself."""
    before = variance
    for elapsed in times:
        return_x64 = ewma.sqrt((before << 88) * elapsed // YEAR)
        variance = ewma.update_variance(variance, return_x64, elapsed, DECAY)
    assert variance == pytest.approx(before, abs=2 * len(times) + 2)


def test_irregular_sampling_does_not_bias_the_estimate():
    rng = np.random.default_rng(11)
    paths, count, sigma = 400, 1_500, 0.6
    elapsed = rng.choice([60.0, 3_600.0, 40_000.0], size=count)
    shocks = rng.standard_normal((paths, count)) * sigma * np.sqrt(elapsed / YEAR)
    logs = np.concatenate([np.zeros((paths, 1)), np.cumsum(shocks, axis=1)], axis=1)
    times = np.concatenate([[0.0], np.cumsum(elapsed)])
    estimates = ideal.estimate(np.exp(logs)[..., None], times, [sigma], DECAY, 6)[:, 200:, 0, 0]
    mean = estimates.mean(axis=1)
    assert abs(mean.mean() - sigma**2) < 4 * mean.std() / np.sqrt(paths)
    # A weight that forgets the time, the naive rule, is far off.
    equal = np.square(shocks).mean() * YEAR / 3_600
    assert abs(equal - sigma**2) > 0.5 * sigma**2


class Prices:
    """Prices that are whatever a test says."""

    def __init__(self) -> None:
        self.spots = {}

    def spot(self, underlying):
        if underlying not in self.spots:
            raise MissingPrice(underlying, 0)
        price, timestamp = self.spots[underlying]
        return price, 0, price, price, timestamp


@pytest.fixture
def prices():
    return Prices()


@pytest.fixture
def estimator(prices):
    estimator = VolatilityEstimator(prices.spot)
    estimator.add_underlying(1, WAD // 2)
    estimator.add_underlying(2, WAD)
    return estimator


def test_the_basket_holds_eight_each_once(estimator):
    with pytest.raises(AlreadyInBasket):
        estimator.add_underlying(2, WAD)
    for underlying in range(3, 9):
        estimator.add_underlying(underlying, WAD)
    with pytest.raises(BasketFull):
        estimator.add_underlying(9, WAD)
    with pytest.raises(ParameterOutOfRange):
        estimator.add_underlying(9, WAD // 20 - 1)


def test_a_first_sample_only_sets_anchors(estimator, prices):
    prices.spots = {1: (WAD, START), 2: (WAD, START)}
    before = dict(estimator.covariances_x40)
    assert estimator.sample(START, START) == []
    assert estimator.covariances_x40 == before
    with pytest.raises(SampleTooEarly) as refusal:
        estimator.sample(START + 1, START + HOUR - 1)
    assert refusal.value.arguments == (START + HOUR - 1, START + HOUR)


@pytest.mark.parametrize("timestamp", [0, START + HOUR - 1])
def test_a_price_that_is_not_fresh_leaves_the_estimate_alone(estimator, prices, timestamp):
    prices.spots = {1: (WAD, START), 2: (WAD, START)}
    estimator.sample(START, START)
    later = START + 2 * HOUR
    prices.spots = {1: (2 * WAD, timestamp), 2: (2 * WAD, later)}
    before = dict(estimator.covariances_x40)
    assert [u for u, _ in estimator.sample(later, later)] == [2]
    assert estimator.covariances_x40[0, 0] == before[0, 0]
    assert estimator.covariances_x40[0, 1] == before[0, 1]
    assert estimator.covariances_x40[1, 1] > before[1, 1]
    # Next time its return is over twice the time, the other's is not: no covariance of the two.
    last = later + HOUR
    prices.spots = {1: (3 * WAD, last), 2: (3 * WAD, last)}
    estimator.sample(last, last)
    assert estimator.covariances_x40[0, 1] == 0
    assert estimator.covariances_x40[0, 0] > before[0, 0]


def test_what_moves_together_is_correlated(estimator, prices):
    rng = Random(3)
    price = 1.0
    for i in range(2_000):
        now = START + i * HOUR
        prices.spots = {1: (int(price * WAD), now), 2: (int(price**2 * WAD), now)}
        estimator.sample(now, now)
        price *= np.exp(rng.gauss(0, 0.005))
    assert estimator.correlation(1, 2) == pytest.approx(WAD, rel=1e-3)
    assert estimator.correlation(2, 1) == estimator.correlation(1, 2)
    assert estimator.correlation(1, 1) == pytest.approx(WAD, rel=1e-9)
    assert estimator.variance(2) == pytest.approx(4 * estimator.variance(1), rel=1e-3)


def test_both_layers_agree():
    rng = np.random.default_rng(7)
    count, size = 300, 4
    elapsed = rng.integers(HOUR, DAY, count)
    mixing = rng.standard_normal((size, size)) * 0.4
    shocks = rng.standard_t(3, (count, size)) @ mixing * np.sqrt(elapsed / YEAR)[:, None]
    integers = [[int(p * WAD) for p in row] for row in np.exp(np.cumsum(shocks, axis=0)) * 100]
    times = [int(t) for t in START + np.cumsum(elapsed)]
    prices = Prices()
    estimator = VolatilityEstimator(prices.spot)
    for underlying in range(size):
        estimator.add_underlying(underlying, (underlying + 1) * WAD // 4)
    exact = []
    for row, now in zip(integers, times, strict=True):
        prices.spots = {u: (price, now) for u, price in enumerate(row)}
        moves = estimator.sample(now, now)
        covariances = [
            [estimator._covariance_x40(i, j) / X40 for j in range(size)] for i in range(size)
        ]
        exact.append(covariances)
        for i, deviation in moves:
            daily = ideal.daily_deviation(covariances[i][i])
            assert deviation / WAD == pytest.approx(daily, rel=1e-9)
    array = np.array(integers, float)[None] / WAD
    start = np.arange(1, size + 1) / 4
    result = ideal.estimate(array, np.array(times, float), start, DECAY, 6)[0]
    allowed = ideal.tolerance(result[None], array, np.array(times, float), DECAY, 6)[0]
    assert np.all(np.abs(np.array(exact) - result) <= allowed)
    # The tolerance is of use while it is small against what it is held against.
    assert allowed.max() < 1e-9
    assert EstimatorParameters() == (HOUR, DECAY, DEVIATION)


# By hand: v = 0.25, a return of one deviation over a day leaves it; none takes w = 1 − e^(−1/10).
def test_vectors_worked_out_by_hand():
    assert ewma.variance_of(WAD // 2) == X40 // 4
    assert ewma.variance_of(WAD // 20) == ewma.MIN_VARIANCE_X40 == 2748779069
    assert ewma.update_variance(X40 // 4, 0, DAY, DECAY) == 248719815594
    assert ewma.daily_deviation(X40 // 4) == 26171196129510685
    assert ewma.bound_x64(X40 // 4, DAY, 6 * WAD) == pytest.approx(6 * 0.0261711961295 * X64)
