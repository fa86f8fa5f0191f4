"""What all tests share: up-to-date contracts, a quick ape, patient Hypothesis."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import ape
import hypothesis
import pytest
from ape.managers.chain import ChainManager
from ape.pytest.fixtures import FixtureMap

from scripts._isolation import isolated
from tests.shortcuts import take_shortcuts

# For those who run the tests without make.
subprocess.run([sys.executable, Path(__file__).parents[1] / ".tools/forget_stale.py"], check=True)

# ape lists the nodes it starts in a folder of the user's, keeps those that were killed, and looks
# at each when one of its processes ends, which takes seconds where there are hundreds. The tests,
# their workers and the commands they start share a list that ends with them.
if "APE_DATA_FOLDER" not in os.environ:
    data_folder = TemporaryDirectory()
    os.environ["APE_DATA_FOLDER"] = data_folder.name
ape.config.DATA_FOLDER = Path(os.environ["APE_DATA_FOLDER"])

take_shortcuts()

# One example may wait for a chain, so its time says nothing.
hypothesis.settings.register_profile("chain", hypothesis.settings.default, deadline=None)
hypothesis.settings.load_profile("chain")


def fixtures_of(cls, item):
    """Return an item's own fixtures by scope.

    ape takes every fixture of that name in all the tests. Where another file gives the name to
    one of a wider scope, a fixture of a function would run before the state it changes is saved,
    and what it did would stay for the tests that follow.
    """
    fixtures = cls(item)
    for name, definitions in item.session._fixturemanager._arg2fixturedefs.items():
        if definitions and name in item.fixturenames:
            own = item._fixtureinfo.name2fixturedefs.get(name, definitions)
            fixtures[own[-1].scope].append(name)
    return fixtures


FixtureMap.from_test_item = classmethod(fixtures_of)

ChainManager.isolate = isolated


@pytest.fixture
def still(chain):
    """Let the chain's clock move only as it is told, however long the transactions take."""
    chain.provider.make_request("anvil_setBlockTimestampInterval", [0])
    yield
    chain.provider.make_request("anvil_removeBlockTimestampInterval", [])
