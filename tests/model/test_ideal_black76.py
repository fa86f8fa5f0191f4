"""Black-76 and SVI of the ideal layer against mpmath over the whole domain."""

import mpmath as mp
import numpy as np
import pytest

from reference_model.ideal import black76, svi

EPS = np.finfo(float).eps


def exact_kernel(log_moneyness, deviation, log_move):
    """Call value per unit of forward to 60 digits, from the formula as it stands."""
    with mp.workdps(60):
        x, s, move = (mp.mpf(each) for each in (log_moneyness, deviation, log_move))
        d1 = (x + move) / s + s / 2
        return mp.exp(move) * mp.ncdf(d1) - mp.exp(-x) * mp.ncdf(d1 - s)


def wide_points(seed, count):
    """Log-moneyness, deviation and log-move over and beyond what a market can hold."""
    rng = np.random.default_rng(seed)
    deviation = 10 ** rng.uniform(-8, 1.2, count)
    near = deviation * rng.normal(size=count) * 4
    log_moneyness = np.where(rng.random(count) < 0.7, near, rng.uniform(-67, 43, count))
    log_move = np.where(rng.random(count) < 0.3, 0.0, rng.uniform(-4.6, 3, count))
    return log_moneyness, deviation, log_move


def largest_error(kernel, points):
    """Largest error in units of what `tolerance` allows: a few eps, more with the deviation."""
    values = kernel(*points)
    errors = [
        abs(float(value - exact_kernel(*point))) / np.exp(point[2])
        for value, point in zip(values, zip(*points, strict=True), strict=True)
    ]
    return np.max(errors / (8 * EPS * (1 + points[1] ** 2 / 4)))


def test_kernel_is_exact_to_float64_over_the_domain():
    assert largest_error(black76.kernel, wide_points(1, 1500)) < 1


@pytest.mark.parametrize(
    "twin",
    [
        lambda x, s, move: black76.kernel(x, s * (1 + 1e-9), move),
        lambda x, s, move: black76.kernel(x + 1e-12, s, move),
        lambda x, s, move: black76.kernel(x, s, move) + 1e-13,
        lambda x, s, move: black76.kernel(x + move, s) * np.exp(move) + (move == 0) * 1e-12,
    ],
    ids=["deviation", "moneyness", "offset", "offset-at-rest"],
)
def test_wrong_kernel_is_caught(twin):
    assert largest_error(twin, wide_points(2, 300)) > 1


def test_kernel_keeps_relative_accuracy_in_the_tail():
    for x, s in ((-1.0, 0.05), (-3.0, 0.2), (-10.0, 0.5), (-0.01, 0.0005)):
        exact = exact_kernel(x, s, 0)
        assert abs(float(black76.kernel(x, s) / exact - 1)) < 1e-10


def test_kernel_at_zero_deviation_is_intrinsic():
    x = np.array([-5.0, -1e-9, 0.0, 1e-9, 2.0])
    assert black76.kernel(x, 0.0) == pytest.approx(np.maximum(1 - np.exp(-x), 0), abs=1e-16)
    assert np.array_equal(black76.call_delta(x, 0.0), [0, 0, 0, 1, 1])


def test_put_call_parity_and_bounds():
    rng = np.random.default_rng(3)
    forward, strike = np.exp(rng.uniform(-20, 20, (2, 2000)))
    deviation, discount = 10 ** rng.uniform(-6, 1, 2000), rng.uniform(0.5, 1, 2000)
    call = black76.value(forward, strike, deviation, False, discount)
    put = black76.value(forward, strike, deviation, True, discount)
    scale = np.maximum(forward, strike)
    assert np.max(np.abs(call - put - discount * (forward - strike)) / scale) < 4 * EPS
    slack = 1 + 4 * EPS
    assert np.all(call <= discount * forward * slack) and np.all(put <= discount * strike * slack)
    assert np.all(call >= 0) and np.all(put >= 0)


def exact_value(forward, strike, deviation, is_put, discount):
    call = forward * exact_kernel(mp.log(forward / mp.mpf(strike)), deviation, 0)
    return discount * (call - (forward - strike if is_put else 0))


def exact_greeks(forward, strike, deviation, is_put, discount):
    """Delta, gamma and vega by central differences of the exact value."""
    with mp.workdps(60):
        h, rest = mp.mpf("1e-12"), (is_put, discount)
        low, middle, high = (
            exact_value(forward + i * h, strike, deviation, *rest) for i in (-1, 0, 1)
        )
        narrow, wide = (exact_value(forward, strike, deviation + i * h, *rest) for i in (-1, 1))
        derivatives = (high - low) / (2 * h), (high - 2 * middle + low) / h**2
        return [float(each) for each in (*derivatives, (wide - narrow) / (2 * h))]


def test_greeks_are_the_derivatives():
    rng = np.random.default_rng(4)
    for _ in range(40):
        forward, strike = np.exp(rng.normal(0, 0.3, 2))
        deviation, discount, is_put = rng.uniform(0.1, 1), rng.uniform(0.8, 1), rng.random() < 0.5
        greeks = (
            black76.delta(forward, strike, deviation, is_put, discount),
            black76.gamma(forward, strike, deviation, discount),
            black76.vega(forward, strike, deviation, discount),
        )
        exact = exact_greeks(forward, strike, deviation, is_put, discount)
        assert greeks == pytest.approx(exact, rel=1e-9, abs=1e-12)


def random_slices(seed, count):
    rng = np.random.default_rng(seed)
    b, sigma = rng.uniform(1e-3, 1, count), rng.uniform(1e-2, 1, count)
    rho, m = rng.uniform(-0.95, 0.95, count), rng.normal(0, 0.3, count)
    lowest = b * sigma * np.sqrt(1 - rho**2)
    a = rng.uniform(-1, 1, count) * lowest * 0.999
    return np.stack([a, b, rho, m, sigma], axis=1)


def test_total_variance_matches_mpmath():
    slices, rng = random_slices(5, 500), np.random.default_rng(6)
    log_strike = rng.uniform(-5, 5, 500)
    got = svi.total_variance(slices, log_strike)
    for value, (a, b, rho, m, sigma), k in zip(got, slices.tolist(), log_strike, strict=True):
        with mp.workdps(40):
            x = mp.mpf(float(k)) - m
            exact = a + b * (rho * x + mp.sqrt(x * x + mp.mpf(sigma) ** 2))
        assert abs(float(value - exact)) < 4 * EPS * (abs(a) + 2 * b * (abs(k - m) + sigma))


def test_total_variance_is_positive_at_its_lowest():
    slices = random_slices(7, 1000)
    _, _, rho, m, sigma = slices.T
    lowest = m - rho * sigma / np.sqrt(1 - rho**2)
    at_lowest = svi.total_variance(slices, lowest)
    assert np.all(at_lowest > 0)
    assert np.all(svi.total_variance(slices, lowest + 1e-3) >= at_lowest)
    assert np.all(svi.total_variance(slices, lowest - 1e-3) >= at_lowest)


def test_implied_vol_annualises_the_deviation():
    flat = np.array([0.09, 0.0, 0.0, 0.0, 1.0])
    assert svi.implied_vol(flat, 0.7, 0.25) == pytest.approx(0.6)


def test_density_factor_is_positive_exactly_where_call_prices_are_convex():
    """Second differences of prices in the strike have the sign of Durrleman's function."""
    fair, arbitrage = (0.01, 0.1, -0.3, 0.0, 0.1), (0.001, 0.9, -0.9, 0.3, 0.05)
    grid = np.linspace(-1, 1, 201)
    for each, expected in ((fair, True), (arbitrage, False)):
        slices, step = np.array(each), 1e-3
        strikes = np.exp(grid[:, None]) * (1 + step * np.array([-1, 0, 1]))
        log_strikes = np.log(strikes)
        prices = black76.value(1.0, strikes, svi.total_deviation(slices, log_strikes))
        convexity = prices @ np.array([1, -2, 1])
        factor = svi.density_factor(slices, grid)
        clear = np.abs(convexity) > 1e-9
        assert np.array_equal(np.sign(convexity[clear]), np.sign(factor[clear]))
        assert svi.free_of_butterflies(slices, grid) == expected


def test_calendar_check_compares_total_variance():
    near, grid = np.array([0.01, 0.1, -0.3, 0.0, 0.1]), np.linspace(-1, 1, 41)
    assert svi.free_of_calendars(near, near * [1.2, 1.2, 1, 1, 1], grid)
    assert not svi.free_of_calendars(near, near * [1.2, 0.8, 1, 1, 1], grid)
