"""The hub's world and those who act in it."""

from types import SimpleNamespace

import pytest
from oracle.hub_world import HubWorld


@pytest.fixture(scope="module")
def actors(accounts):
    names = ("admin", "governor", "guardian", "poster", "treasurer", "outsider")
    return SimpleNamespace(**dict(zip(names, accounts, strict=False)))


@pytest.fixture(scope="module")
def world(project, actors):
    return HubWorld(project, actors)


@pytest.fixture(scope="module")
def hub(world):
    return world.hub


@pytest.fixture(scope="module")
def harness(project, actors):
    return actors.admin.deploy(project.OracleHarness)
