"""Logarithm and exponential: bit for bit as the model, and within their bounds of the truth."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf

from reference_model.exact import transcendental as model
from tests.math.cases import ONE, around, uniform, whole
from tests.math.harness import Refusal

CASES = 3000
ZERO_LOGARITHM = Refusal("LogarithmOfZero()")


def ln(x):
    return model.ln_x64(x) if x else ZERO_LOGARITHM


def ln_ratio(a, b):
    return model.ln_ratio_x64(a, b) if a and b else ZERO_LOGARITHM


def exp(x):
    if x > model.GREATEST_EXPONENT_X64:
        return Refusal("ExponentTooLarge(int256)", (x,))
    return model.exp_x64(x)


def logarithm_cases():
    rng = np.random.default_rng(1)
    edges = [1, *around(ONE, ONE // 2, 2 * ONE), *(2**n for n in range(1, 256))]
    edges += [2**n - 1 for n in range(1, 257)]
    return [0, *edges, *whole(rng, 256, CASES), *uniform(rng, 0.01, 20, CASES)]


def exponential_cases():
    rng = np.random.default_rng(2)
    half = model._HALF_LN2_X96 >> 32  # where the reduction changes
    edges = around(0, half, -half, 45 * ONE, -45 * ONE, 64 * ONE, -64 * ONE)
    return [
        *edges,
        *uniform(rng, -50, 65, CASES),
        *uniform(rng, -1, 1, CASES),
        -(2**255),
        2**255 - 1,
    ]


def test_logarithm_agrees_with_the_model(chain_math):
    cases = [(x,) for x in logarithm_cases()]
    assert chain_math.disagreements("lnX64", ln, cases) == []


def test_logarithm_of_a_ratio_agrees_with_the_model(chain_math):
    rng = np.random.default_rng(3)
    pairs = zip(whole(rng, 128, CASES), whole(rng, 256, CASES), strict=True)
    edges = [(0, 1), (1, 0), (0, 0), (1, 1), (1, 2**256 - 1), (2**128 - 1, 1), (2**128 - 1, 3)]
    assert chain_math.disagreements("lnRatioX64", ln_ratio, [*edges, *pairs]) == []


def test_exponential_agrees_with_the_model(chain_math):
    cases = [(x,) for x in exponential_cases()]
    assert chain_math.disagreements("expX64", exp, cases) == []


def test_a_twin_short_of_one_term_or_one_unit_is_caught(chain_math, monkeypatch):
    logarithms, exponents = [(x,) for x in logarithm_cases()], [(x,) for x in exponential_cases()]

    def off_by_one(x):
        outcome = exp(x)
        return outcome + 1 if isinstance(outcome, int) else outcome

    assert chain_math.disagreements("expX64", off_by_one, exponents) != []
    monkeypatch.setattr(model, "_ATANH_X96", model._ATANH_X96[1:])
    monkeypatch.setattr(model, "_EXP_X96", model._EXP_X96[1:])
    assert chain_math.disagreements("lnX64", ln, logarithms) != []
    assert chain_math.disagreements("expX64", exp, exponents) != []


def test_constants_are_the_rounded_numbers():
    with mp.workdps(60):
        assert int(mp.nint(mp.ln2 / 2 * 2**96)) == model._HALF_LN2_X96
        assert int(mp.nint(mp.ln2 * 2**96)) == model._LN2_X96
        assert int(mp.nint(mp.sqrt(2) * 2**96)) == model._SQRT2_X96
        assert int(mp.nint(2**64 / mp.ln2)) == model._INVERSE_LN2_X64


def test_logarithm_is_within_its_bound():
    with mp.workdps(60):
        for x in logarithm_cases():
            if x:
                error = mp.log(mpf(x) / ONE) * ONE - model.ln_x64(x)
                assert -0.12 < error < 1.12, (x, error)


def test_logarithm_of_a_ratio_is_within_its_bound():
    rng = np.random.default_rng(4)
    with mp.workdps(60):
        for b in whole(rng, 98, CASES):
            a = min(int(b * 2.0 ** rng.uniform(-60, 30)), 2**96)
            if a and b and a / b >= 2**-60:
                error = mp.log(mpf(a) / b) * ONE - model.ln_ratio_x64(a, b)
                assert -0.12 < error < 1.19, (a, b, error)


def test_exponential_is_below_the_exact_one_by_less_than_its_bound():
    with mp.workdps(60):
        for x in exponential_cases():
            if abs(x) <= model.GREATEST_EXPONENT_X64:
                exact = mp.exp(mpf(x) / ONE) * ONE
                error = exact - model.exp_x64(x)
                assert -exact * mpf(2) ** -70 <= error < exact * mpf(2) ** -66 + 1, (x, error)


@settings(max_examples=300)
@given(x=st.integers(1, 2**255), gap=st.integers(1, 2**64))
def test_logarithm_never_falls(x, gap):
    assert model.ln_x64(x + gap) >= model.ln_x64(x)
