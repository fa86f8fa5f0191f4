"""Those who act, and the bench on which sources are read."""

from types import SimpleNamespace

import pytest

from tests.oracle.sources.bench import Bench


@pytest.fixture(scope="module")
def actors(accounts):
    names = ("governor", "poster", "outsider")
    return SimpleNamespace(**dict(zip(names, accounts, strict=False)))


@pytest.fixture(scope="module")
def bench(actors):
    return Bench(actors.governor)
