"""Black-76: bit for bit as the model, within its bound of the truth, inside no-arbitrage."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf

from reference_model.exact import black76 as model
from reference_model.exact.transcendental import ln_ratio_x64
from tests.math.cases import ONE, WAD

VECTORS = Path(__file__).parents[1] / "vectors/published.json"
# Error of a unit call, per (1 + K/F): of the specification, Mathematics.
UNIT_ERROR = 2.5e-13
CASES = 3000


def markets(seed, count=CASES, spread=3.0):
    """Forwards, strikes, deviations from none to 16, discounts."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        forward = int(10 ** rng.uniform(-8, 9) * WAD)
        strike = max(1, int(forward * np.exp(rng.uniform(-spread, spread))))
        deviation = int(2.0 ** rng.uniform(-60, 4) * ONE) if rng.random() < 0.95 else 0
        yield forward, strike, deviation, int(rng.uniform(0.5, 1) * WAD)


def corners():
    """Every combination of extreme forwards, strikes and deviations, at and about the money."""
    prices = [1, WAD, 60_000 * WAD, 2**96 - 1]
    deviations = [0, 1, 2**11, 2**20, ONE // 1000, ONE // 3, ONE, 16 * ONE]
    for forward in prices:
        for strike in {1, 2**97, forward, forward + 1, max(1, forward - 1), 2 * forward}:
            for deviation in deviations:
                yield forward, strike, deviation, WAD


ALL = [*corners(), *markets(1), *markets(2, spread=40.0)]


def exact_call(forward, strike, deviation):
    """Undiscounted, at 50 digits."""
    f, k, s = mpf(forward), mpf(strike), mpf(deviation) / ONE
    if s == 0:
        return max(f - k, mpf(0))
    d1 = mp.log(f / k) / s + s / 2
    return f * mp.ncdf(d1) - k * mp.ncdf(d1 - s)


def test_calls_and_puts_agree_with_the_model(chain_math):
    assert chain_math.disagreements("call", model.call, ALL) == []
    assert chain_math.disagreements("put", model.put, ALL) == []


def test_unit_calls_and_deltas_agree_with_the_model(chain_math):
    cases = [((k << 64) // f, ln_ratio_x64(f, k), s) for f, k, s, _ in ALL]
    assert chain_math.disagreements("unitCall", model.unit_call, cases) == []


def d2_above(*case):
    ratio, logarithm, deviation = case
    s = model.to_steps(deviation)
    _, place = model.line(logarithm, s)
    y1, y2 = model.cdf_at(place), model.cdf_at(place + s)
    return (ONE * y1 - ratio * y2) >> 48, y1 << 16


def half_missing(*case):
    ratio, logarithm, deviation = case
    s = model.to_steps(deviation)
    place = model.line(logarithm, s)[1] - (s >> 1)
    y1, y2 = model.cdf_at(place), model.cdf_at(place - s)
    return (ONE * y1 - ratio * y2) >> 48, y1 << 16


def nearest_steps(ratio, logarithm, deviation):
    return model.unit_call(ratio, logarithm, deviation + 2**63 // model.STEPS_PER_UNIT)


@pytest.mark.parametrize("twin", [d2_above, half_missing, nearest_steps])
def test_a_wrong_d1_d2_or_rounding_is_caught(chain_math, twin):
    cases = [((k << 64) // f, ln_ratio_x64(f, k), s) for f, k, s, _ in markets(3)]
    assert chain_math.disagreements("unitCall", twin, cases) != []


def test_a_put_with_the_wrong_sign_of_parity_is_caught(chain_math):
    def twin(forward, strike, deviation, discount):
        value = model.call(forward, strike, deviation, WAD)
        return max(0, value + forward - strike) * discount // WAD

    assert chain_math.disagreements("put", twin, markets(3)) != []


def test_error_is_within_its_bound_over_the_whole_domain():
    worst = 0
    with mp.workdps(50):
        for forward, strike, deviation, _ in ALL:
            unit = mpf(model.call(forward, strike, deviation, WAD))
            error = abs(unit - exact_call(forward, strike, deviation))
            # One unit for the rounding of the result.
            assert error <= UNIT_ERROR * (forward + strike) + 1, (forward, strike, deviation)
            if forward > 10**15:
                worst = max(worst, error / (forward + strike))
    assert worst > UNIT_ERROR / 4, "the bound is far from what is reached"


def test_error_at_the_money_is_below_one_part_in_a_million_million():
    rng = np.random.default_rng(5)
    with mp.workdps(50):
        for _ in range(CASES):
            strike, s = int(rng.uniform(0.5, 2) * 10**24), int(rng.uniform(0.001, 2) * ONE)
            value = model.call(10**24, strike, s, WAD)
            assert abs(value - exact_call(10**24, strike, s)) <= 10**12


def test_published_values_are_reproduced():
    rows = json.loads(VECTORS.read_text())["black_scholes"]["values"]
    for row in rows:
        t = row["t_years"]
        forward = row["spot"] * np.exp((row["rate"] - row["dividend_yield"]) * t)
        discount = np.exp(-row["rate"] * t)
        price = model.put if row["type"] == "put" else model.call
        deviation = int(row["vol"] * np.sqrt(t) * ONE)
        value = price(int(forward * WAD), int(row["strike"] * WAD), deviation, int(discount * WAD))
        assert abs(value / WAD - row["expected"]) <= row["tol"], row
    assert len(rows) > 40


PRICES = st.integers(1, 2**96 - 1)


@settings(max_examples=500)
@given(forward=PRICES, strike=PRICES, s=st.integers(0, 16 * ONE), discount=st.integers(1, WAD))
def test_values_respect_the_bounds_of_no_arbitrage(forward, strike, s, discount):
    call = model.call(forward, strike, s, discount)
    put = model.put(forward, strike, s, discount)
    assert max(forward - strike, 0) * discount // WAD <= call <= forward * discount // WAD
    assert max(strike - forward, 0) * discount // WAD <= put <= strike * discount // WAD
    assert abs((call - put) * WAD - (forward - strike) * discount) < 2 * WAD
