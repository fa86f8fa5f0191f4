"""Normal distribution: proof of its error bound and monotony for every step, and vectors."""

import json
from fractions import Fraction
from math import comb
from pathlib import Path

import ape
import numpy as np
import pytest
from mpmath import mp, mpf

from reference_model.exact import normal as model
from reference_model.exact import normal_table
from tests.math.cases import ONE, around, uniform

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "contracts/math/NormalTable.sol"
VECTORS = ROOT / "tests/vectors/normal.json"
# Of the specification, Mathematics: of the polynomials, and of the result, rounded down to X48.
TABLE_ERROR = 2.46e-13
CDF_ERROR = TABLE_ERROR + 2**-48
TAYLOR_TERMS = 14
PIECES = 32


def polynomial(interval):
    """Coefficients in tau of what is evaluated, exactly, with the neighbouring lanes' share."""
    coefficients = normal_table.unpack(normal_table.table()[interval])
    lanes, powers = 0, []
    for power in reversed(range(5)):
        lanes += coefficients[power] << 48 * (4 - power)
        powers.append(Fraction(lanes, 2**244) * 2 ** (48 * power))
    return powers[::-1]


def bernstein(coefficients):
    """Bernstein coefficients on [0, 1]: their least and greatest bound the polynomial there."""
    n = len(coefficients) - 1
    return [
        sum(Fraction(comb(i, k), comb(n, k)) * coefficients[k] for k in range(i + 1))
        for i in range(n + 1)
    ]


def taylor(interval):
    """Taylor coefficients of the distribution in tau at the interval's start.

    The derivatives are Hermite polynomials times the density; the rest of the series is below
    1e-28 since abs(He_n(x)) * density <= sqrt(n!) and the interval is 1/40 long.
    """
    x = mpf(interval - 300) / 40
    density, hermite = mp.npdf(x), [mpf(1), x]
    for n in range(1, TAYLOR_TERMS):
        hermite.append(x * hermite[n] - n * hermite[n - 1])
    derivatives = [(-1) ** n * hermite[n] * density for n in range(TAYLOR_TERMS - 1)]
    scaled = [d / mp.factorial(n + 1) / mpf(40) ** (n + 1) for n, d in enumerate(derivatives)]
    return [mp.ncdf(x), *scaled]


def pieces_to_bernstein():
    """Matrices from powers of tau on [0, 1] to Bernstein coefficients on each of its pieces."""
    n = TAYLOR_TERMS - 1
    matrices = np.zeros((PIECES, n + 1, n + 1))
    for piece in range(PIECES):
        start, length = Fraction(piece, PIECES), Fraction(1, PIECES)
        for power in range(n + 1):
            local = [comb(power, k) * start ** (power - k) * length**k for k in range(power + 1)]
            local += [Fraction(0)] * (n - power)
            matrices[piece, :, power] = [float(c) for c in bernstein(local)]
    return matrices


def test_table_error_is_proven_for_every_interval():
    # The difference to the Taylor polynomial is taken in 50 digits; only then, at a size of
    # 1e-13, is it bounded in float64, whose rounding is a further factor 1e-13 down.
    matrices = pieces_to_bernstein()
    worst = 0
    with mp.workdps(50):
        for interval in range(600):
            exact = polynomial(interval) + [Fraction(0)] * (TAYLOR_TERMS - 5)
            difference = [
                mpf(p.numerator) / p.denominator - t
                for p, t in zip(exact, taylor(interval), strict=True)
            ]
            bounds = matrices @ np.array([float(d) for d in difference])
            worst = max(worst, np.abs(bounds).max())
    assert 2.4e-13 < worst < TABLE_ERROR
    assert float(mp.ncdf(-7.5)) < TABLE_ERROR


def test_distribution_rises_within_every_interval_and_across_every_knot():
    for interval in range(600):
        slopes = [k * c for k, c in enumerate(polynomial(interval))][1:]
        assert min(bernstein(slopes)) >= 0, interval
        start = interval * model.INTERVAL
        if interval:
            assert model.cdf_x244(start - 1) <= model.cdf_x244(start), interval
    assert model.cdf_x244(0) >= 0
    assert model.cdf_x244(model.END - 1) <= 2**244


def test_table_in_the_contract_is_the_derived_one():
    assert normal_table.rewrite(SOURCE.read_text()) == SOURCE.read_text()


def test_code_of_the_table_is_its_words_and_leaves_a_kilobyte_of_the_size_limit(accounts):
    code = bytes(accounts[0].deploy(ape.project.NormalTable).code)
    assert code == b"".join(word.to_bytes(32, "big") for word in normal_table.table())
    assert len(code) <= 24_576 - 1024
    # STOP: whoever calls it, nothing happens.
    assert code[0] == 0


def test_derivation_of_the_table_uses_the_normal_distribution():
    with mp.workdps(50):
        for index in range(0, 301, 7):
            value = normal_table.cdf(normal_table.Decimal(index) / 40)
            assert abs(mpf(str(value)) - mp.ncdf(mpf(index) / 40)) < mpf(10) ** -26


def step_cases():
    rng = np.random.default_rng(1)
    knots = around(*(i * model.INTERVAL for i in range(601)), reach=1)
    return [*knots, *(int(s) for s in rng.integers(-(2**50), 2**58, 3000)), -(2**255), 2**255 - 1]


def test_distribution_agrees_with_the_model_at_every_step_tried(chain_math):
    assert chain_math.disagreements("cdfAt", model.cdf_at, [(s,) for s in step_cases()]) == []
    rng = np.random.default_rng(2)
    cases = [(x,) for x in [*uniform(rng, -9, 9, 1000), 0, 1, -1, 2**127, -(2**127)]]
    assert chain_math.disagreements("cdfX64", model.cdf_x64, cases) == []


@pytest.mark.parametrize("damage", ["no quartic term", "one unit in one coefficient"])
def test_a_damaged_table_is_caught(chain_math, monkeypatch, damage):
    if damage == "no quartic term":
        broken = tuple(word >> 48 << 48 for word in normal_table.table())
    else:
        broken = tuple(word + 2**48 for word in normal_table.table())
    monkeypatch.setattr(model, "table", lambda: broken)
    # A unit of the cubic coefficient is below the last digit of the result nearly everywhere.
    values = [(s,) for s in range(2**40, model.END, 2**43)]
    assert chain_math.disagreements("cdfAt", model.cdf_at, values) != []


def test_distribution_is_symmetric_within_two_units():
    rng = np.random.default_rng(3)
    for offset in [0, 1, 2, *(int(x) for x in rng.integers(0, model.CENTRE + 2**50, 5000))]:
        total = model.cdf_at(model.CENTRE + offset) + model.cdf_at(model.CENTRE - offset)
        assert -2 <= total - 2**48 <= 0, offset


def test_distribution_is_within_its_bound_of_published_values():
    vectors = json.loads(VECTORS.read_text())
    rows = [(mpf(x), mpf(value)) for x, value in vectors["normal_cdf"]["rows"]]
    with mp.workdps(40):
        rows += [(-mp.sqrt(2) * x, mpf(v) / 2) for x, v in vectors["error_function"]["rows"]]
        for x, expected in rows:
            # Rounding the argument to X64 moves the value by less than 2^-65.
            error = mpf(model.cdf_x64(int(mp.nint(x * ONE)))) / ONE - expected
            assert -CDF_ERROR < error < TABLE_ERROR, x
    assert len(rows) > 150
