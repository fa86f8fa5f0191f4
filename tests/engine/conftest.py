"""The world of the engine's tests and those who act in it."""

import pytest
from engine.world import World


@pytest.fixture(scope="module")
def actors(accounts):
    return [accounts[i] for i in range(10)]


@pytest.fixture(scope="module")
def trader(actors):
    return actors[1]


@pytest.fixture(scope="module")
def maker(actors):
    return actors[2]


@pytest.fixture(scope="module")
def operator(actors):
    return actors[3]


@pytest.fixture(scope="module")
def lender(actors):
    return actors[4]


@pytest.fixture(scope="module")
def outsider(actors):
    return actors[9]


@pytest.fixture(scope="module")
def world(project, actors):
    return World(project, actors)


@pytest.fixture(scope="module")
def engine(world):
    return world.engine
