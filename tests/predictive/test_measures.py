"""Measures of books on the chain against the exact model, and what they promise."""

from random import Random

import pytest
from predictive.books import BASKET, market_words, random_exposure, random_words

from reference_model.exact import predictive_model as exact

IDS = sorted(BASKET)


@pytest.fixture(scope="module")
def published(world):
    rng = Random(1)
    world.sample(rng)
    words = random_words(rng, 260)
    world.publish_in_force(words)
    return world, words


def agree(world, words, exposures, hints=(0,)):
    """Compare every measure of a book; return the shortfall."""
    read = world.prediction(words)
    model = world.model
    assert tuple(model.measure(exposures)) == exact.measure(read, exposures)
    assert tuple(model.losses(exposures)) == exact.losses(read, exposures)
    for hint in hints:
        assert model.shortfallAt(exposures, hint) == exact.shortfall_at(read, exposures, hint)
        assert tuple(model.exceedances(exposures, hint)) == exact.exceedances(
            read, exposures, hint
        )


@pytest.mark.parametrize("seed", range(12))
def test_measures_of_any_book_agree_with_the_model(published, seed):
    world, words = published
    rng = Random(seed)
    chosen = sorted(rng.sample(IDS, rng.randint(1, 8)))
    bits = rng.choice([10, 60, 90, 140])
    exposures = [random_exposure(rng, u, bits, rng.random() < 0.7) for u in chosen]
    agree(world, words, exposures, hints=[0, 2 ** (bits - 1), rng.randrange(2**bits)])


def test_gas(published):
    world, words = published
    rng = Random(0)
    for n in (1, 2, 4, 8):
        exposures = [random_exposure(rng, u, 90) for u in IDS[:n]]
        print(n, world.gas("measure", exposures), world.gas("shortfallAt", exposures, 2**89))
    w = market_words(rng, 500)
    world.publish_in_force(w, len(words))
    for n in (1, 2, 4, 8):
        exposures = [random_exposure(rng, u, 90) for u in IDS[:n]]
        print("500", n, world.gas("measure", exposures), world.gas("shortfallAt", exposures, 2**89))
