"""Prices of Chainlink feeds: decimals, rounding, answers that are no price, odd rounds."""

import random
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reverts import reverts_with

from reference_model.exact.price_sources import Reading, chainlink_read

WAD = 10**18
NOW = 1_800_000_000
MAX_INT = 2**255 - 1
MAX_DECIMALS = 36
MAX_DEVIATION = WAD // 10
HALF_PERCENT = WAD // 200


def name32(name):
    return name.encode().ljust(32, b"\0")


def magnitudes():
    """Draw answers of every size, and those at which something changes."""
    powers = [10**n + d for n in range(38) for d in (-1, 0, 1)]
    limits = [MAX_INT, 2**256 // 10**18, 2**256 // 10**18 + 1, 2**197, 2**198]
    return st.one_of(st.integers(-MAX_INT - 1, MAX_INT), st.sampled_from(powers + limits))


cases = st.tuples(
    magnitudes(),
    st.sampled_from([0, 1, NOW, 2**40, 2**256 - 1]),
    st.integers(0, MAX_DECIMALS),
    st.one_of(st.integers(0, MAX_DEVIATION), st.sampled_from([0, 1, MAX_DEVIATION])),
)


def seeded_cases(count):
    draw = random.Random(17)
    for _ in range(count):
        decimals = draw.randint(0, MAX_DECIMALS)
        answer = draw.randint(1, 10 ** draw.randint(1, 60))
        yield answer * draw.choice([1, 1, 1, -1]), NOW, decimals, draw.randint(0, MAX_DEVIATION)


@pytest.fixture
def feed(project, actors):
    def deploy(decimals=8, deviation=HALF_PERCENT):
        aggregator = actors.governor.deploy(project.MockAggregator, decimals, "ETH / USD")
        source = actors.governor.deploy(project.ChainlinkSource, aggregator, deviation)
        return aggregator, source

    return deploy


def test_price_confidence_and_time_are_those_of_the_latest_round(feed, bench, actors):
    aggregator, source = feed()
    aggregator.setRound(7, 2_000 * 10**8, NOW - 9, NOW - 5, 7, sender=actors.poster)
    assert bench.reading(source) == Reading(2_000 * WAD, 10 * WAD, NOW - 5)


@pytest.mark.parametrize("decimals", range(MAX_DECIMALS + 1))
def test_every_number_of_decimals_is_scaled_exactly(bench, decimals):
    answer = 1_234_567_890_123_456_789_012_345_678_901_234_567_890
    (price, confidence, _) = chainlink_read(answer, NOW, decimals, HALF_PERCENT)
    assert price == answer * WAD // 10**decimals
    assert confidence == -(-price * HALF_PERCENT // WAD)
    assert not bench.disagreements(
        "chainlink", chainlink_read, [(answer, NOW, decimals, HALF_PERCENT)]
    )


@settings(max_examples=30)
@given(st.lists(cases, min_size=1, max_size=20))
def test_outcomes_are_those_of_the_model(bench, drawn):
    assert not bench.disagreements("chainlink", chainlink_read, drawn)


def test_many_outcomes_are_those_of_the_model(bench):
    assert not bench.disagreements("chainlink", chainlink_read, list(seeded_cases(1_000)))


def test_a_confidence_rounded_the_wrong_way_would_be_found(bench):
    def rounded_down(answer, updated_at, decimals, deviation):
        right = chainlink_read(answer, updated_at, decimals, deviation)
        return right._replace(confidence=right.price * deviation // WAD)

    drawn = [(10**18 + 1, NOW, 18, HALF_PERCENT), (10**18, NOW, 18, HALF_PERCENT)]
    assert [found[0] for found in bench.disagreements("chainlink", rounded_down, drawn)] == drawn[
        :1
    ]


@pytest.mark.parametrize(
    ("answer", "updated_at", "decimals"),
    [(0, NOW, 8), (-1, NOW, 8), (-MAX_INT - 1, NOW, 8), (1, 0, 8), (10**18 - 1, NOW, 36)],
    ids=["zero", "negative", "most negative", "never updated", "rounds to zero"],
)
def test_an_answer_that_is_no_price_is_refused(feed, actors, answer, updated_at, decimals):
    aggregator, source = feed(decimals)
    aggregator.setRound(1, answer, updated_at, updated_at, 1, sender=actors.poster)
    with reverts_with("InvalidAnswer", answer=answer, updatedAt=updated_at):
        source.read()


def test_the_least_answer_that_does_not_round_to_zero_is_a_price(feed, bench, actors):
    aggregator, source = feed(36)
    aggregator.setRound(1, 10**18, NOW, NOW, 1, sender=actors.poster)
    assert bench.reading(source).price == 1


def test_a_feed_without_a_round_has_no_price(feed):
    _, source = feed()
    with reverts_with("Error", message="No data present"):
        source.read()


def test_a_round_that_comes_late_shows_in_its_time(feed, bench, actors):
    aggregator, source = feed()
    set_round = partial(aggregator.setRound, sender=actors.poster)
    set_round(9, 2_000 * 10**8, NOW, NOW, 9)
    set_round(5, 1_900 * 10**8, NOW - 400, NOW - 400, 5)
    assert bench.reading(source) == Reading(1_900 * WAD, 95 * WAD // 10, NOW - 400)
    assert aggregator.getRoundData(9) == (9, 2_000 * 10**8, NOW, NOW, 9)


def test_decimals_are_those_at_construction(feed, bench, actors):
    aggregator, source = feed(8)
    aggregator.setDecimals(18, sender=actors.poster)
    aggregator.setAnswer(2_000 * 10**8, sender=actors.poster)
    assert bench.reading(source).price == 2_000 * WAD


@pytest.mark.parametrize(
    ("name", "decimals", "deviation", "value", "most"),
    [
        ("decimals", MAX_DECIMALS + 1, 0, MAX_DECIMALS + 1, MAX_DECIMALS),
        ("decimals", 255, 0, 255, MAX_DECIMALS),
        ("deviation", 8, MAX_DEVIATION + 1, MAX_DEVIATION + 1, MAX_DEVIATION),
    ],
)
def test_construction_refuses_what_is_out_of_range(feed, name, decimals, deviation, value, most):
    with reverts_with("ParameterOutOfRange", name=name32(name), value=value, min=0, max=most):
        feed(decimals, deviation)


def test_construction_accepts_the_ends_of_the_ranges(feed):
    _, source = feed(MAX_DECIMALS, MAX_DEVIATION)
    assert (source.DECIMALS(), source.DEVIATION()) == (MAX_DECIMALS, MAX_DEVIATION)


def test_the_mock_keeps_every_round_as_it_was_set(project, actors):
    aggregator = actors.governor.deploy(project.MockAggregator, 0, "Uptime")
    first = (2**64 + 1, 1, NOW, NOW + 3, 2**64 + 1)
    second = (2**65 + 1, 0, NOW + 60, NOW + 61, 2**65)
    for round_data in (first, second):
        aggregator.setRound(*round_data, sender=actors.poster)
    assert aggregator.getRoundData(first[0]) == first
    assert aggregator.latestRoundData() == second
    assert (aggregator.decimals(), aggregator.description(), aggregator.version()) == (
        0,
        "Uptime",
        1,
    )
    with reverts_with("Error", message="No data present"):
        aggregator.getRoundData(first[0] + 1)


def test_the_mock_numbers_answers_from_the_latest_round_on(project, actors, chain):
    aggregator = actors.governor.deploy(project.MockAggregator, 8, "ETH / USD")
    aggregator.setRound(41, 1, 2, 3, 4, sender=actors.poster)
    aggregator.setAnswer(-5, sender=actors.poster)
    now = chain.blocks.head.timestamp
    assert aggregator.latestRoundData() == (42, -5, now, now, 42)
