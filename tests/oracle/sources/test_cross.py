"""Products and quotients of two sources, and what their intervals are worth."""

import random
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reverts import reverts_with

from reference_model.exact.price_sources import Reading, cross_read

WAD = 10**18
NOW = 1_800_000_000
MAX_WORD = 2**256 - 1

# Whatever a source may say, and what prices look like: half of the draws each.
words = st.one_of(
    st.integers(0, MAX_WORD),
    st.integers(0, 10**30),
    st.sampled_from([0, 1, WAD, 2**128, MAX_WORD]),
)
anything = st.builds(Reading, words, words, st.integers(0, 2**64))


@st.composite
def prices(draw):
    """Draw a price from 1e-9 to 1e9, so that no cross vanishes, its interval above zero."""
    price = draw(st.integers(10**9, 10**27))
    share = draw(st.fractions(0, 1))
    return Reading(price, min(int(price * share), price - 1), draw(st.integers(0, NOW)))


def inside(draw, reading):
    """Draw any value of an interval, its ends included."""
    share = draw(st.one_of(st.sampled_from([Fraction(-1), Fraction(1)]), st.fractions(-1, 1)))
    return reading.price + share * reading.confidence


def seeded_cases(count):
    draw = random.Random(29)

    def reading():
        price = draw.randint(1, 10 ** draw.randint(1, 30))
        confidence = draw.randint(0, 10 ** draw.randint(0, 28))
        return Reading(price, confidence, NOW - draw.randint(0, 3_600))

    return [(reading(), reading(), draw.random() < 0.5) for _ in range(count)]


@pytest.fixture
def pair(project, actors):
    def deploy(a, b, is_quotient):
        doubles = [actors.governor.deploy(project.SourceDouble) for _ in range(2)]
        for double, reading in zip(doubles, (a, b), strict=True):
            double.set(*reading, sender=actors.poster)
        cross = actors.governor.deploy(project.CrossSource, *doubles, is_quotient)
        return (*doubles, cross)

    return deploy


def test_a_product_has_the_widest_interval_and_the_older_time(pair, bench):
    a = Reading(3 * WAD, WAD // 10, NOW - 7)
    b = Reading(2_000 * WAD, 10 * WAD, NOW - 9)
    *_, cross = pair(a, b, False)
    # 3.1 · 2,010 = 6,231
    assert bench.reading(cross) == Reading(6_000 * WAD, 231 * WAD, NOW - 9)


def test_a_quotient_has_the_widest_interval_and_the_older_time(pair, bench):
    a = Reading(2_200 * WAD, 20 * WAD, NOW - 9)
    b = Reading(2_000 * WAD, 150 * WAD, NOW - 7)
    *_, cross = pair(a, b, True)
    # 2,220 / 1,850 = 1.2
    assert bench.reading(cross) == Reading(11 * WAD // 10, WAD // 10, NOW - 9)


@settings(max_examples=30)
@given(st.lists(st.tuples(anything, anything, st.booleans()), min_size=1, max_size=20))
def test_outcomes_are_those_of_the_model(bench, drawn):
    assert not bench.disagreements("cross", cross_read, drawn)


def test_many_outcomes_are_those_of_the_model(bench):
    assert not bench.disagreements("cross", cross_read, seeded_cases(1_000))


def test_the_newer_time_would_be_found(bench):
    def newer(a, b, is_quotient):
        return cross_read(a, b, is_quotient)._replace(timestamp=max(a.timestamp, b.timestamp))

    a, b = Reading(WAD, 0, NOW), Reading(WAD, 0, NOW - 1)
    assert len(bench.disagreements("cross", newer, [(a, b, True), (a, a, True)])) == 1


@settings(max_examples=500)
@given(prices(), prices(), st.booleans(), st.data())
def test_the_interval_holds_the_cross_of_any_two_values(a, b, is_quotient, data):
    price, confidence, _ = cross_read(a, b, is_quotient)
    x, y = inside(data.draw, a), inside(data.draw, b)
    true = x / y * WAD if is_quotient else x * y / WAD
    assert price - confidence <= true <= price + confidence


def test_an_interval_of_the_first_order_alone_would_be_too_narrow():
    a = b = Reading(WAD, WAD // 10, NOW)
    _, confidence, _ = cross_read(a, b, False)
    first_order = 2 * WAD // 10
    highest = (a.price + a.confidence) * (b.price + b.confidence) // WAD
    assert WAD + first_order < highest == WAD + confidence


@pytest.mark.parametrize(("divisor", "confidence"), [(0, 0), (5, 5), (5, 6)])
def test_a_divisor_that_may_be_zero_is_refused(pair, divisor, confidence):
    *_, cross = pair(Reading(WAD, 0, NOW), Reading(divisor, confidence, NOW), True)
    with reverts_with("DivisorUncertain", divisor=divisor, confidence=confidence):
        cross.read()


@pytest.mark.parametrize(("a", "b", "is_quotient"), [(1, WAD - 1, False), (1, WAD + 1, True)])
def test_a_cross_that_rounds_to_zero_is_refused(pair, a, b, is_quotient):
    *_, cross = pair(Reading(a, 0, NOW), Reading(b, 0, NOW), is_quotient)
    with reverts_with("CrossTooSmall", a=a, b=b):
        cross.read()


@pytest.mark.parametrize("broken", [0, 1])
def test_a_source_without_a_price_leaves_the_cross_without_one(pair, actors, broken):
    *doubles, cross = pair(Reading(WAD, 0, NOW), Reading(WAD, 0, NOW), False)
    doubles[broken].setMode(1, sender=actors.poster)
    with reverts_with("NoPrice"):
        cross.read()


def test_a_dollar_price_follows_from_two_feeds_of_chainlink(project, actors, bench):
    """The cbETH price that a feed of its rate alone misses: in dollars it takes both."""

    def feed(decimals, answer, updated_at):
        aggregator = actors.governor.deploy(project.MockAggregator, decimals, "")
        aggregator.setRound(1, answer, updated_at, updated_at, 1, sender=actors.poster)
        return actors.governor.deploy(project.ChainlinkSource, aggregator, 0)

    rate, ether = feed(18, 112 * WAD // 100, NOW - 60), feed(8, 2_200 * 10**8, NOW)
    dollars = actors.governor.deploy(project.CrossSource, rate, ether, False)
    back = actors.governor.deploy(project.CrossSource, dollars, ether, True)
    assert bench.reading(dollars) == Reading(2_464 * WAD, 0, NOW - 60)
    assert bench.reading(back) == Reading(112 * WAD // 100, 0, NOW - 60)
