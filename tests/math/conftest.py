"""The chain for all tests of the mathematics."""

import ape
import pytest

from tests.math.harness import Chain


@pytest.fixture(scope="session")
def chain_math(accounts):
    """Return the contracts' mathematics, ready to be called."""
    return Chain(accounts[0].deploy(ape.project.MathHarness))
