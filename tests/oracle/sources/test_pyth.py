"""Prices of Pyth feeds: exponents, confidence, what is no price, what Pyth itself does."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reverts import reverts_with

from reference_model.exact.price_sources import Reading, pyth_read

WAD = 10**18
NOW = 1_800_000_000
FEED = b"ETH/USD".ljust(32, b"\0")
UPDATE_FEE = 3
MIN_PRICE, MAX_PRICE, MAX_CONFIDENCE = -(2**63), 2**63 - 1, 2**64 - 1
MIN_EXPONENT, MAX_EXPONENT = -(2**31), 2**31 - 1

cases = st.tuples(
    st.one_of(st.integers(MIN_PRICE, MAX_PRICE), st.sampled_from([-1, 0, 1, MAX_PRICE])),
    st.integers(0, MAX_CONFIDENCE),
    st.one_of(st.integers(-20, 20), st.sampled_from([MIN_EXPONENT, MAX_EXPONENT])),
    st.integers(1, 2**64 - 1),
)


@pytest.fixture(scope="module")
def pyth(project, actors):
    return actors.governor.deploy(project.MockPyth, 60, UPDATE_FEE)


@pytest.fixture(scope="module")
def source(project, actors, pyth):
    return actors.governor.deploy(project.PythSource, pyth, FEED)


@pytest.fixture
def push(pyth, actors):
    def update(price, confidence=0, exponent=-8, publish_time=NOW, fee=UPDATE_FEE):
        data = pyth.createPriceFeedUpdateData(
            FEED, price, confidence, exponent, price, confidence, publish_time, 0
        )
        pyth.updatePriceFeeds([data], value=fee, sender=actors.poster)

    return update


def test_price_confidence_and_time_are_those_last_pushed(push, source, bench):
    push(2_000 * 10**8, 3 * 10**8)
    assert bench.reading(source) == Reading(2_000 * WAD, 3 * WAD, NOW)


@pytest.mark.parametrize("exponent", range(-18, 19))
def test_every_exponent_is_scaled_exactly(bench, exponent):
    case = (MAX_PRICE, MAX_CONFIDENCE, exponent, NOW)
    unit = 10 ** (18 + exponent)
    assert pyth_read(*case) == (MAX_PRICE * unit, MAX_CONFIDENCE * unit, NOW)
    assert not bench.disagreements("pyth", pyth_read, [case])


@settings(max_examples=30)
@given(st.lists(cases, min_size=1, max_size=20))
def test_outcomes_are_those_of_the_model(bench, drawn):
    assert not bench.disagreements("pyth", pyth_read, drawn)


def test_many_outcomes_are_those_of_the_model(bench):
    draw = random.Random(23)
    drawn = [
        (
            draw.randint(1, 2 ** draw.randint(1, 63) - 1),
            draw.randint(0, 2 ** draw.randint(1, 64) - 1),
            draw.randint(-18, 18),
            draw.randint(1, 2**64 - 1),
        )
        for _ in range(1_000)
    ]
    assert not bench.disagreements("pyth", pyth_read, drawn)


def test_an_exponent_taken_with_the_wrong_sign_would_be_found(bench):
    def mirrored(price, confidence, exponent, publish_time):
        return pyth_read(price, confidence, -exponent, publish_time)

    assert len(bench.disagreements("pyth", mirrored, [(1, 0, -8, NOW), (1, 0, 0, NOW)])) == 1


@pytest.mark.parametrize(
    ("price", "exponent"),
    [(0, -8), (-1, -8), (MIN_PRICE, 0), (1, -19), (1, 19), (1, MIN_EXPONENT), (1, MAX_EXPONENT)],
)
def test_what_is_no_price_is_refused(push, source, price, exponent):
    push(price, exponent=exponent)
    with reverts_with("InvalidPythPrice", price=price, exponent=exponent):
        source.read()


def test_a_feed_that_was_never_pushed_has_no_price(source):
    with reverts_with("PriceFeedNotFound"):
        source.read()


def test_a_push_costs_the_update_fee_and_reading_nothing(push, source, pyth, bench):
    with reverts_with("InsufficientFee"):
        push(1, fee=UPDATE_FEE - 1)
    push(1)
    assert pyth.balance == UPDATE_FEE
    assert bench.reading(source).price == 10**10


def test_an_older_push_changes_nothing(push, source, bench):
    push(2, publish_time=NOW)
    push(1, publish_time=NOW - 1)
    push(1, publish_time=NOW)
    assert bench.reading(source) == Reading(2 * 10**10, 0, NOW)


def test_a_confidence_beyond_the_price_is_passed_on_for_the_reader_to_judge(push, source, bench):
    push(1, confidence=5)
    assert bench.reading(source) == Reading(10**10, 5 * 10**10, NOW)
