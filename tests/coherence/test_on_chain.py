"""Coherence of the three generations on the contracts, and predictive margin against revaluation.

The same properties as of the ideal layer (``tests/model/test_coherence.py``), of what the chain
itself requires: interpolation, its charges and all roundings included. Concentration and basis,
which are not coherent by design, are off.

Source: specification, Predictive margin, 5 and 10.
"""

from random import Random

import ape
import numpy as np
import pytest
from eth_abi import decode
from hypothesis import given, settings
from hypothesis import strategies as st
from margin import desk, random_books
from margin.desk import BTC, ETH, WETH, wad

from reference_model import cases
from reference_model.ideal import tolerance
from reference_model.types import (
    DAY,
    WAD,
    MarginMode,
    Portfolio,
    Prediction,
    PredictiveParameters,
    Publication,
)
from scripts.fuzzing.portfolios import PortfolioCase, Portfolios, random_state

NOW = cases.NOW
DATES = 250
GENERATIONS = ("portfolio", "isolated", "predictive")
# Roundings of some dozens of terms, and of the units that losses are counted in.
SLACK, RELATIVE = 10**14, 10**12
INSTRUMENTS = random_books.instruments(NOW)
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=12, deadline=None)


@pytest.fixture(scope="module")
def subject():
    """What the campaign asks for breakdowns: the risk model and the predictive model."""
    account, project = ape.accounts.test_accounts[0], ape.project
    harness = account.deploy(project.PortfolioHarness)
    predictions = account.deploy(project.PredictionHarness)
    predictive = account.deploy(
        project.PredictiveModel, *(predictions,) * 3, PredictiveParameters()
    )
    model = account.deploy(project.RiskModel, harness, harness, predictive)
    harness.setRiskModel(model, sender=account)
    return Portfolios(harness, predictions, predictive, 1, full=True)


def breakdowns(subject, market, portfolios):
    outcomes = subject.ask([PortfolioCase(market, each) for each in portfolios])
    assert all(ok for ok, _ in outcomes)
    return [desk.to_breakdown(decode([desk.BREAKDOWN], data)[0]) for _, data in outcomes]


def market(rng):
    """Build BTC and ETH with every charge that is coherent, and vectors that cover both."""
    charges = {
        "short_option_rate": wad(0.005),
        "max_oi_multiplier": WAD,
        "oi_upper": 1_000 * WAD,
    }
    spots = [
        desk.spot(u, price, NOW, wad(0.18), **charges)._replace(confidence=wad(price / 1_000))
        for u, price in random_books.PRICES.items()
    ]
    prediction = Prediction(
        PredictiveParameters(),
        (ETH, BTC),
        ((wad(0.04), wad(0.05)), (wad(0.03), wad(0.03))),
        ((WAD, wad(0.8)), (wad(0.8), WAD)),
        Publication(DATES, 0, 0, 0, 2, 0, DAY),
        cases.random_words(rng, DATES, 2),
        2 * DAY,
    )
    return desk.market(NOW, spots=spots)._replace(prediction=prediction)


class Book:
    """Sizes by instrument, and a balance of WETH; books can be added and scaled."""

    def __init__(self, sizes, weth=0):
        self.sizes = {i: size for i, size in sizes.items() if size}
        self.weth = weth

    def __add__(self, other):
        keys = self.sizes.keys() | other.sizes.keys()
        sizes = {i: self.sizes.get(i, 0) + other.sizes.get(i, 0) for i in keys}
        return Book(sizes, self.weth + other.weth)

    def __mul__(self, factor):
        return Book({i: factor * size for i, size in self.sizes.items()}, factor * self.weth)

    def single(self):
        """Every position, and the collateral, as a book of its own."""
        alone = [Book({i: size}) for i, size in self.sizes.items()]
        return [*alone, Book({}, self.weth)] if self.weth else alone

    def portfolio(self, *, crowded=False, order=sorted):
        """Sizes are hundredths of a bitcoin, or as much of another underlying."""
        slots = [random_books.slot(INSTRUMENTS[i], size / 100, 0) for i, size in self.sizes.items()]
        open_interest = [u << 248 | 900 * WAD * crowded * 2 for u in (BTC, ETH)]
        collateral = (WETH << 248 | self.weth * WAD,) if self.weth else ()
        return Portfolio(
            0, MarginMode.PREDICTIVE, collateral, tuple(order(slots)), tuple(open_interest)
        )


def random_book(rng):
    """Between one position and a dozen, half of the books hedged by a perpetual."""
    chosen = rng.sample(range(len(INSTRUMENTS)), rng.randint(1, 12))
    sizes = {i: rng.choice((-1, 1)) * rng.randint(1, 500) for i in chosen}
    if rng.random() < 0.5:
        sizes[0] = -sum(sizes.values())
    return Book(sizes, rng.choice((0, 0, rng.randint(1, 40))))


def requirements(breakdown):
    """Maintenance and initial margin of every generation."""
    b, p = breakdown, breakdown.predictive
    isolated = b.isolated_maintenance_margin, b.isolated_initial_margin
    netted = b.net_maintenance_margin, b.net_initial_margin
    third = p.maintenance_margin, p.initial_margin
    return dict(zip(GENERATIONS, (tuple(map(min, netted, isolated)), isolated, third), strict=True))


def of_books(subject, here, books, **how):
    return [
        requirements(each)
        for each in breakdowns(subject, here, [book.portfolio(**how) for book in books])
    ]


def added(parts):
    """Sum of the requirements of several books."""
    return {
        generation: tuple(map(sum, zip(*(part[generation] for part in parts), strict=True)))
        for generation in GENERATIONS
    }


def assert_at_most(less, more):
    for generation in GENERATIONS:
        for a, b in zip(less[generation], more[generation], strict=True):
            assert a <= b + b // RELATIVE + SLACK, generation


@pytest.mark.parametrize("seed", range(12))
def test_the_chain_is_within_the_bound_of_a_full_revaluation(subject, seed):
    """Any market, portfolio and state of the vectors; every number of the breakdown."""
    rng = Random(seed)
    here, portfolios = cases.random_case(rng, 8)
    here = here._replace(prediction=random_state(rng, here))
    portfolios = [each._replace(margin_mode=i % 3) for i, each in enumerate(portfolios)]
    found = breakdowns(subject, here, portfolios)
    assert tolerance.compare(here, portfolios, found) == []


def test_no_position_alone_has_a_negative_margin(subject):
    books = [Book({i: sign}) for i in range(len(INSTRUMENTS)) for sign in (-100, 100)]
    books.append(Book({}, 1))
    here = market(Random(1))
    for start in range(0, len(books), 16):
        for found in of_books(subject, here, books[start : start + 16]):
            for maintenance, initial in found.values():
                assert 0 < maintenance <= initial


@given(seeds)
@few
def test_merging_two_accounts_never_needs_more(subject, seed):
    """In a crowded market too: splitting an account is never cheaper.

    Both have a position in what collateral follows: open interest scales its loss only there.
    """
    rng = Random(seed)
    here, crowded = market(rng), rng.random() < 0.5
    beside = Book({i: 1 for i, each in enumerate(INSTRUMENTS) if each[1:] == (0, None, False)})
    pairs = [(random_book(rng) + beside, random_book(rng) + beside) for _ in range(4)]
    books = [book for one, other in pairs for book in (one, other, one + other)]
    found = of_books(subject, here, books, crowded=crowded)
    for one, other, together in zip(found[::3], found[1::3], found[2::3], strict=True):
        assert_at_most(together, added([one, other]))


@given(seeds)
@few
def test_netted_is_at_most_the_sum_of_each_position_alone(subject, seed):
    rng = Random(seed)
    here, book = market(rng), random_book(rng)
    together, *alone = of_books(subject, here, [book, *book.single()])
    assert_at_most(together, added(alone))
    assert all(a <= b for a, b in zip(together["portfolio"], together["isolated"], strict=True))


@given(seeds)
@few
def test_requirements_are_homogeneous(subject, seed):
    rng = Random(seed)
    here, books = market(rng), [random_book(rng) for _ in range(4)]
    once = of_books(subject, here, books)
    seven = of_books(subject, here, [book * 7 for book in books])
    for small, large in zip(once, seven, strict=True):
        times = {generation: tuple(7 * x for x in small[generation]) for generation in small}
        assert_at_most(times, large)
        assert_at_most(large, times)


@given(seeds)
@few
def test_the_order_of_positions_does_not_matter(subject, seed):
    rng = Random(seed)
    here, books = market(rng), [random_book(rng) for _ in range(4)]
    listed = [book.portfolio() for book in books]
    mixed = [book.portfolio(order=lambda x: rng.sample(x, len(x))) for book in books]
    assert breakdowns(subject, here, mixed) == breakdowns(subject, here, listed)


@given(seeds)
@few
def test_a_market_of_more_doubt_never_needs_less(subject, seed):
    rng = Random(seed)
    here, books = market(rng), [random_book(rng) for _ in range(4)]
    spots = tuple(each._replace(confidence=3 * each.confidence) for each in here.spots)
    calm = of_books(subject, here, books)
    for before, after in zip(
        calm, of_books(subject, here._replace(spots=spots), books), strict=True
    ):
        assert_at_most(before, after)


@given(seeds)
@few
def test_losing_more_on_one_date_never_needs_less(subject, seed):
    """The worst date twice as far out, of books whose moves lose in proportion."""
    rng = Random(seed)
    here = market(rng)
    sign = rng.choice((-1, 1))
    books = [Book({0: sign * rng.randint(1, 500)}, 0) for _ in range(4)]
    moves = np.zeros((DATES, 2))
    moves[:, 1] = np.linspace(-5, 5, DATES)
    farther = np.where(sign * moves < -4, 1.5 * moves, moves)
    flat = np.zeros_like(moves)

    def published(z):
        words = tuple(cases.vectors.encode(z, flat))
        return here._replace(prediction=here.prediction._replace(words=words))

    near, far = (of_books(subject, published(z), books) for z in (moves, farther))
    for before, after in zip(near, far, strict=True):
        assert_at_most(before, after)
        assert before["predictive"][0] < after["predictive"][0]
