"""The default configuration deployed on the tests' chain."""

import pytest

from scripts._configuration import load_configuration
from scripts._deployment import deploy


@pytest.fixture(scope="session")
def configuration():
    return load_configuration()


@pytest.fixture(scope="module")
def deployer(accounts):
    return accounts[0]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("deployment") / "manifest.json"


@pytest.fixture(scope="module")
def deployment(configuration, deployer, path):
    return deploy(configuration, deployer, path)
