"""Rounding, range and errors of the fixed-point library against plain integers."""

from fractions import Fraction
from itertools import product
from math import ceil, floor, isqrt, trunc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_model.exact import fixed_point as model
from tests.math.cases import WAD, around, whole
from tests.math.harness import OVERFLOW, ZERO_DIVISOR

CASES = 1000
UNSIGNED = (0, 2**256 - 1)
SIGNED = (-(2**255), 2**255 - 1)

# Function of the harness, of the model, range of the arguments, numerator and denominator.
FUNCTIONS = {
    "mulDown": (model.mul_down, UNSIGNED, lambda a, b: (a * b, WAD)),
    "mulUp": (model.mul_up, UNSIGNED, lambda a, b: (a * b, WAD)),
    "divDown": (model.div_down, UNSIGNED, lambda a, b: (a * WAD, b)),
    "divUp": (model.div_up, UNSIGNED, lambda a, b: (a * WAD, b)),
    "divideUp": (model.divide_up, UNSIGNED, lambda a, b: (a, b)),
    "mulDivDown": (model.mul_div_down, UNSIGNED, lambda a, b, c: (a * b, c)),
    "mulDivUp": (model.mul_div_up, UNSIGNED, lambda a, b, c: (a * b, c)),
    "mulDownSigned": (model.mul_down, SIGNED, lambda a, b: (a * b, WAD)),
    "mulUpSigned": (model.mul_up, SIGNED, lambda a, b: (a * b, WAD)),
    "mulToZero": (model.mul_to_zero, SIGNED, lambda a, b: (a * b, WAD)),
    "divToZero": (model.div_to_zero, SIGNED, lambda a, b: (a * WAD, b)),
    "floorDiv": (model.floor_div, SIGNED, lambda a, b: (a, b)),
    "mulDivDownSigned": (model.mul_div_down, SIGNED, lambda a, b, c: (a * b, c)),
}
POSITIVE_DIVISOR = ("floorDiv", "mulDivDownSigned")
DIRECTIONS = {"Down": floor, "Up": ceil, "ToZero": trunc, "floorDiv": floor}


def with_errors(name):
    """Give the model the contract's range: a panic beyond 256 bits or for a zero divisor."""
    function, (low, high), parts = FUNCTIONS[name]

    def outcome(*case):
        numerator, denominator = parts(*case)
        # The contract negates the product once in `mulUp` of signed values.
        lowest = low + 1 if name == "mulUpSigned" else low
        if not lowest <= numerator <= high:
            return OVERFLOW
        if denominator == 0:
            return ZERO_DIVISOR
        value = function(*case)
        return value if low <= value <= high else OVERFLOW

    return outcome


def arguments(name, seed=1):
    _, limits, parts = FUNCTIONS[name]
    signed = limits is SIGNED
    count = parts.__code__.co_argcount
    rng = np.random.default_rng(seed)
    columns = [whole(rng, 255 if signed else 256, CASES, signed) for _ in range(count)]
    edges = [0, 1, 2, WAD - 1, WAD, WAD + 1, 2**127, 2**128 - 1, *limits]
    if signed:
        edges += [-1, -WAD + 1, -WAD, -WAD - 1]
    cases = [*zip(*columns, strict=True), *product(edges, repeat=count)]
    if name in POSITIVE_DIVISOR:
        cases = [case for case in cases if case[-1] >= 0]
    return cases


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_agrees_with_the_model_in_value_and_error(chain_math, name):
    assert chain_math.disagreements(name, with_errors(name), arguments(name)) == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_rounds_as_its_name_says(name):
    function, _, parts = FUNCTIONS[name]
    exact = next(to for suffix, to in DIRECTIONS.items() if suffix in name)
    for case in arguments(name, seed=2):
        numerator, denominator = parts(*case)
        if denominator:
            assert function(*case) == exact(Fraction(numerator, denominator)), case


@pytest.mark.parametrize(
    ("name", "twin"),
    [
        ("mulUp", model.mul_down),
        ("divDown", model.div_up),
        ("mulDownSigned", model.mul_to_zero),
        ("mulUpSigned", model.mul_to_zero),
        ("mulToZero", model.mul_down),
        ("divToZero", lambda a, b: a * WAD // b),
        ("mulDivDown", model.mul_div_up),
    ],
)
def test_a_twin_that_rounds_the_other_way_is_caught(chain_math, name, twin):
    honest = with_errors(name)

    def wrong(*case):
        outcome = honest(*case)
        return twin(*case) if isinstance(outcome, int) else outcome

    assert chain_math.disagreements(name, wrong, arguments(name)) != []


def test_square_roots_are_exact(chain_math):
    rng = np.random.default_rng(3)
    squares = [root * root for root in whole(rng, 128, 300)]
    cases = [*whole(rng, 256, CASES), *around(*squares, reach=1), 2**256 - 1]
    cases = [(a,) for a in cases if 0 <= a < 2**256]
    assert chain_math.disagreements("sqrt", isqrt, cases) == []
    assert chain_math.disagreements("sqrtUp", model.sqrt_up, cases) == []


def test_absolute_value_and_clamp_hold_at_the_ends_of_the_range(chain_math):
    rng = np.random.default_rng(4)
    values = [*SIGNED, -1, 0, 1, *whole(rng, 255, CASES, signed=True)]
    assert chain_math.disagreements("absolute", abs, [(a,) for a in values]) == []
    triples = [(a, *sorted(rng.choice(len(values), 2))) for a in values]
    cases = [(a, *sorted((values[i], values[j]))) for a, i, j in triples]
    assert chain_math.disagreements("clamp", model.clamp, cases) == []


CONVERSIONS = ("toWadDown", "toWadUp", "toRawDown", "toRawUp")
MODELS = (model.to_wad_down, model.to_wad_up, model.to_raw_down, model.to_raw_up)


@pytest.mark.parametrize(("name", "function"), zip(CONVERSIONS, MODELS, strict=True))
def test_token_amounts_convert_exactly_for_all_decimals(chain_math, name, function):
    rng = np.random.default_rng(5)
    amounts = [*whole(rng, 256, 40), 0, 1, 10**6, 10**18, 10**24, 2**256 - 1]

    def outcome(amount, decimals):
        up = decimals < 18 if "Wad" in name else decimals > 18
        factor = 10 ** abs(18 - decimals)
        return OVERFLOW if up and amount * factor >= 2**256 else function(amount, decimals)

    cases = list(product(amounts, range(25)))
    assert chain_math.disagreements(name, outcome, cases) == []


@settings(max_examples=300)
@given(amount=st.integers(0, 2**160), decimals=st.integers(0, 24))
def test_a_round_trip_through_a_token_never_gains(amount, decimals):
    assert model.to_wad_down(model.to_raw_down(amount, decimals), decimals) <= amount
    assert model.to_wad_up(model.to_raw_up(amount, decimals), decimals) >= amount
