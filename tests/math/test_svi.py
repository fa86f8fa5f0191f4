"""SVI slices: bit for bit as the model, within the bound of the truth, and the two checks."""

import numpy as np
import pytest
from mpmath import mp, mpf

from reference_model.exact import svi as model
from reference_model.exact.transcendental import ln_ratio_x64
from tests.math.cases import ONE, around, uniform
from tests.math.harness import Refusal

CASES = 2000


def random_slice(rng):
    """Parameters such as markets show, and wild ones."""
    if rng.random() < 0.3:
        return int.from_bytes(rng.bytes(32), "big")
    return model.pack(
        a=rng.uniform(-0.01, 0.2),
        b=10 ** rng.uniform(-4, 0),
        rho=rng.uniform(-1, 1),
        m=rng.uniform(-0.5, 0.5),
        sigma=10 ** rng.uniform(-3, 0),
    )


def smile(rng, level=1.0):
    """Return a slice of a liquid market: free of butterflies by a margin."""
    return model.pack(
        a=level * rng.uniform(0.01, 0.05),
        b=level * rng.uniform(0.02, 0.1),
        rho=rng.uniform(-0.6, 0.3),
        m=rng.uniform(-0.1, 0.1),
        sigma=rng.uniform(0.1, 0.5),
    )


def slice_cases(seed=1):
    rng = np.random.default_rng(seed)
    slices = [random_slice(rng) for _ in range(CASES)]
    places = [*uniform(rng, -5, 5, CASES - 7), 0, 1, -1, 2**255 - 1, -(2**255), 2**71, -(2**71)]
    return list(zip(slices, places, strict=True))


def numbers(svi):
    a, b, rho, m, sigma = model.unpack(svi)
    scales = (56, 56, 30, 40, 40)
    return [mpf(v) / 2**bits for v, bits in zip((a, b, rho, m, sigma), scales, strict=True)]


def exact_variance(svi, k):
    a, b, rho, m, sigma = numbers(svi)
    return a + b * (rho * (k - m) + mp.sqrt((k - m) ** 2 + sigma**2))


def exact_density(svi, k):
    _, b, rho, m, sigma = numbers(svi)
    root, w = mp.sqrt((k - m) ** 2 + sigma**2), exact_variance(svi, k)
    first, second = b * (rho + (k - m) / root), b * sigma**2 / root**3
    return (1 - k * first / (2 * w)) ** 2 - first**2 / 4 * (1 / w + mpf(1) / 4) + second / 2


def refused(check):
    """Turn the model's exceptions into the errors of the contract."""
    signatures = {
        model.InvalidSlice: "InvalidSlice(uint256)",
        model.ButterflyArbitrage: "ButterflyArbitrage(uint256,int256,int256)",
        model.CalendarArbitrage: "CalendarArbitrage(uint256,uint256,int256)",
    }

    def outcome(*case):
        try:
            return check(*case)
        except tuple(signatures) as error:
            return Refusal(signatures[type(error)], error.args)

    return outcome


def test_variance_and_deviation_agree_with_the_model(chain_math):
    assert chain_math.disagreements("totalVariance", model.total_variance, slice_cases()) == []
    assert chain_math.disagreements("totalDeviation", model.total_deviation, slice_cases()) == []


@pytest.mark.parametrize("twin", ["rho", "root", "m"])
def test_a_wrong_formula_of_the_variance_is_caught(chain_math, twin):
    def wrong(svi, k):
        a, b, rho, m, sigma = model.unpack(svi)
        k = max(-model.MAX_LOG_X64, min(k, model.MAX_LOG_X64))
        x = k + (m << 24) if twin == "m" else k - (m << 24)
        rho = -rho if twin == "rho" else rho
        root = model.isqrt(x * x + (sigma << 24) ** 2) + (twin == "root")
        return max(0, (a << 8) + (b * (rho * x + (root << 30)) >> 86))

    assert chain_math.disagreements("totalVariance", wrong, slice_cases()) != []


def test_variance_is_below_the_exact_one_by_less_than_its_bound():
    with mp.workdps(60):
        for svi, k in slice_cases(2):
            if abs(k) <= model.MAX_LOG_X64:
                exact = max(exact_variance(svi, mpf(k) / ONE), 0) * ONE
                b = numbers(svi)[1]
                assert 0 <= exact - model.total_variance(svi, k) < b + 1, (svi, k)


def test_packing_keeps_every_field():
    rng = np.random.default_rng(3)
    for _ in range(200):
        values = rng.uniform([-100, 0, -1, -100, 0], [100, 200, 1, 100, 200])
        fields = model.unpack(model.pack(*values))
        for value, field, bits in zip(values, fields, (56, 56, 30, 40, 40), strict=True):
            assert abs(field / 2**bits - value) <= 2.0**-bits
    with pytest.raises(ValueError, match="does not fit"):
        model.pack(0.04, -0.1, 0, 0, 0.1)


def check_cases():
    rng = np.random.default_rng(4)
    edges = [
        model.pack(0.04, 2, 0, 0, 0.1),
        model.pack(0.04, 1.0, 1 - 2**-30, 0, 0.1),
        model.pack(0.04, 0.1, 1, 0, 0.1),
        model.pack(0.04, 0.1, 0, 0, 0),
        model.pack(-0.1, 1, 0, 0, 0.1),
        model.pack(-0.1 + 2**-56, 1, 0, 0, 0.1),
        model.pack(0.0001, 0.4, -0.9, 0.1, 0.01),
    ]
    return edges + [random_slice(rng) for _ in range(150)] + [smile(rng) for _ in range(50)]


def test_butterfly_check_agrees_with_the_model(chain_math):
    check = refused(model.require_butterfly_free)
    cases = [(svi,) for svi in check_cases()]
    outcomes = [check(*case) for case in cases]
    kinds = {o.signature.split("(")[0] if o else "passed" for o in outcomes}
    assert kinds == {"InvalidSlice", "ButterflyArbitrage", "passed"}
    assert chain_math.disagreements("requireButterflyFree", check, cases) == []


def test_calendar_check_agrees_with_the_model(chain_math):
    rng = np.random.default_rng(5)
    check = refused(model.require_calendar_free)
    cases = [(smile(rng), smile(rng, level)) for level in (0.5, 1.0, 2.0, 4.0) for _ in range(40)]
    steep = model.pack(0.04, 0.1, -0.5, 0, 0.2)
    cases += [(steep, steep), (steep, model.pack(9, 0.099, -0.5, 0, 0.2))]
    cases += [
        (steep, model.pack(9, 0.12, -0.1, 0, 0.2)),
        (steep, model.pack(9, 0.12, -0.8, 0, 0.2)),
    ]
    passed = [check(*case) is None for case in cases]
    assert 20 < sum(passed) < len(cases) - 20
    assert chain_math.disagreements("requireCalendarFree", check, cases) == []


def test_density_agrees_with_the_model_and_with_the_exact_one(chain_math):
    rng = np.random.default_rng(6)
    cases = [(smile(rng), k) for k in uniform(rng, -3, 3, 400)]
    assert chain_math.disagreements("densityX64", model.density_x64, cases) == []
    with mp.workdps(60):
        for svi, k in cases:
            w = exact_variance(svi, mpf(k) / ONE)
            skewness = 1 + abs(mpf(k) / ONE) / w
            error = abs(mpf(model.density_x64(svi, k)) / ONE - exact_density(svi, mpf(k) / ONE))
            assert error < mpf(2) ** -58 * skewness**2 / w, (svi, k)


def test_slices_that_pass_the_check_have_no_negative_density_on_a_fine_grid():
    rng = np.random.default_rng(8)
    for _ in range(20):
        svi = smile(rng)
        model.require_butterfly_free(svi)
        with mp.workdps(30):
            for k in np.linspace(-3, 3, 301):
                assert exact_density(svi, mpf(float(k))) >= 0


def test_checks_look_at_both_wings_and_the_middle():
    svi = model.pack(0.04, 0.1, -0.3, 0.05, 0.2)
    points = sorted(model.check_point(svi, i) / ONE for i in range(model.CHECK_POINTS))
    assert len(set(points)) == model.CHECK_POINTS
    assert points[0] < -5 and points[-1] > 5
    assert min(abs(np.diff(points))) < 0.03


def test_log_moneyness_beyond_the_limit_counts_as_the_limit(chain_math):
    svi = model.pack(0.04, 0.1, -0.3, 0.05, 0.2)
    cases = [(svi, k) for k in around(model.MAX_LOG_X64, -model.MAX_LOG_X64)]
    cases += [(svi, ln_ratio_x64(1, 2**97)), (svi, -ln_ratio_x64(1, 2**97))]
    assert chain_math.disagreements("totalVariance", model.total_variance, cases) == []
