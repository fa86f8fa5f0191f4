"""What the aggregate of several sources is worth while fewer than half of them are wrong."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_model.exact import aggregation as exact
from reference_model.exact.aggregation import Answer
from reference_model.ideal import aggregation as ideal
from reference_model.types import WAD

NOW = 1_770_000_000
TRUTH = 2_000 * WAD


@st.composite
def witnesses(draw):
    """Honest answers, whose intervals hold the truth, and a minority that says anything."""
    count = draw(st.integers(1, 5))
    wrong = draw(st.integers(0, (count - 1) // 2))
    honest = []
    for _ in range(count - wrong):
        price = draw(st.integers(TRUTH // 2 + 1, 3 * TRUTH))
        least = abs(price - TRUTH)
        confidence = draw(st.integers(least, max(least, price - 1)))
        honest.append(Answer(price, confidence, draw(st.integers(NOW - 900, NOW))))
    liars = [
        Answer(
            price := draw(st.integers(1, 2**95 - 1)),
            draw(st.integers(0, price - 1)),
            draw(st.integers(0, NOW)),
        )
        for _ in range(wrong)
    ]
    return honest, draw(st.permutations(honest + liars))


@given(witnesses())
def test_the_price_lies_between_honest_prices(drawn):
    honest, answers = drawn
    price = exact.aggregate(answers).price
    assert min(a.price for a in honest) <= price <= max(a.price for a in honest)


@given(witnesses())
def test_the_interval_is_no_wider_than_an_honest_source_makes_it(drawn):
    honest, answers = drawn
    seen = exact.aggregate(answers)
    assert seen.confidence <= max(abs(a.price - seen.price) + a.confidence for a in honest)
    assert seen.confidence <= seen.price


@given(witnesses())
def test_the_interval_holds_the_truth_if_all_honest_intervals_do(drawn):
    seen = exact.aggregate(drawn[1])
    assert abs(seen.price - TRUTH) <= seen.confidence


@given(witnesses())
def test_the_price_lies_between_prices_no_older_than_its_time(drawn):
    honest, answers = drawn
    seen = exact.aggregate(answers)
    young = [a.price for a in answers if a.timestamp >= seen.timestamp]
    assert min(young) <= seen.price <= max(young)
    assert 2 * len(young) > len(answers)
    assert min(a.timestamp for a in honest) <= seen.timestamp


@pytest.mark.parametrize("wrong", [1, 2])
def test_half_of_the_sources_can_do_what_a_minority_cannot(wrong):
    """The theorems need a majority: at one half each of them fails."""
    honest = [Answer(TRUTH, 0, NOW)] * wrong
    seen = exact.aggregate([*honest, *[Answer(3 * TRUTH, TRUTH, NOW - 60)] * wrong])
    assert seen.price == 2 * TRUTH
    assert seen.timestamp < NOW


# By hand: prices, confidences, ages, then what they make.
VECTORS = [
    ("7", "2", "9", (7, 2, 9)),
    ("7 10", "2 1", "9 3", (8, 3, 9)),
    ("10 7 8", "1 2 0", "0 50 20", (8, 3, 20)),
    ("1 100 10 9", "0 0 1 5", "4 3 2 1", (9, 8, 3)),
    ("5 5 5 5 900", "1 1 1 1 899", "1 1 1 1 1", (5, 1, 1)),
    ("10 20 30 40 50", "0 0 0 0 0", "5 4 3 2 1", (30, 10, 3)),
    # The interval never goes below zero.
    ("4 4 40", "3 3 39", "0 0 0", (4, 3, 0)),
    ("2 40", "1 39", "0 0", (21, 21, 0)),
]


@pytest.mark.parametrize(("prices", "confidences", "ages", "expected"), VECTORS)
def test_vectors_worked_out_by_hand(prices, confidences, ages, expected):
    columns = ([int(v) for v in column.split()] for column in (prices, confidences, ages))
    answers = [Answer(p, c, NOW - age) for p, c, age in zip(*columns, strict=True)]
    price, confidence, age = expected
    assert exact.aggregate(answers) == (price, confidence, NOW - age)
    assert exact.aggregate(answers[::-1]) == (price, confidence, NOW - age)


@pytest.mark.parametrize(
    ("answer", "counts"),
    [
        (Answer(100, 99, NOW), True),
        (Answer(100, 100, NOW), False),
        (Answer(0, 0, NOW), False),
        (Answer(2**95 - 1, 0, NOW), True),
        (Answer(2**95, 0, NOW), False),
        (Answer(150, 0, NOW - 60), True),
        (Answer(150, 0, NOW - 61), False),
        (Answer(150, 0, NOW + 60), True),
        (Answer(150, 0, NOW + 61), False),
        (None, False),
    ],
)
def test_an_answer_counts_up_to_its_limits(answer, counts):
    seen = exact.valid(answer, NOW, 60)
    assert seen == (answer._replace(timestamp=min(answer.timestamp, NOW)) if counts else None)


@pytest.mark.parametrize("count", range(1, 6))
def test_both_layers_agree(count):
    rng = Random(count)
    cases = [
        [
            (p := rng.randint(1, 10 ** rng.randint(18, 24)), rng.randrange(p), rng.randint(0, NOW))
            for _ in range(count)
        ]
        for _ in range(4_000)
    ]
    array = np.array(cases, float) / [WAD, WAD, 1]
    result = ideal.aggregate(*np.moveaxis(array, -1, 0))
    expected = [exact.aggregate([Answer(*a) for a in case]) for case in cases]
    price, confidence, timestamp = np.array(expected, float).T
    allowed = ideal.tolerance(array[..., 0], array[..., 1])
    assert np.all(np.abs(price / WAD - result.price) <= allowed[0])
    assert np.all(np.abs(confidence / WAD - result.confidence) <= allowed[1])
    assert np.array_equal(timestamp, result.timestamp)
