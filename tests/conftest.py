"""What all tests share: up-to-date contracts, quick test accounts, patient Hypothesis."""

import subprocess
import sys
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import ape_test.accounts
import hypothesis
import pytest
from ape.managers.chain import ChainManager
from ape.pytest.fixtures import FixtureMap

# For those who run the tests without make.
subprocess.run([sys.executable, Path(__file__).parents[1] / ".tools/forget_stale.py"], check=True)

# ape derives the keys of its test accounts anew whenever it looks one up, for every address of
# every trace too. They never change, and the derivation costs more than most transactions.
ape_test.accounts.generate_dev_accounts = cache(ape_test.accounts.generate_dev_accounts)

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

_isolate = ChainManager.isolate


@contextmanager
def isolate(self):
    """Do what ape does, but pass on the errors of the block, which ape drops after its cleanup.

    An assertion in the block could not fail otherwise.
    """
    errors = []
    with _isolate(self):
        try:
            yield
        except Exception as error:
            errors.append(error)
    if errors:
        raise errors[0]


ChainManager.isolate = isolate


@pytest.fixture
def still(chain):
    """Let the chain's clock move only as it is told, however long the transactions take."""
    chain.provider.make_request("anvil_setBlockTimestampInterval", [0])
    yield
    chain.provider.make_request("anvil_removeBlockTimestampInterval", [])
