"""Parameters and a feed under the roles they have in a deployment."""

from itertools import count
from types import SimpleNamespace

import pytest

from scripts._configuration import load_configuration
from scripts._deployment import ROLE_FUNCTIONS, selector


@pytest.fixture(scope="module")
def actors(accounts):
    staff = ("governor", "guardian", "poster", "treasurer", "estimator", "publisher")
    names = ("admin", *staff, "outsider")
    return SimpleNamespace(**dict(zip(names, accounts, strict=False)))


@pytest.fixture(scope="session")
def configuration():
    return load_configuration()


@pytest.fixture(scope="module")
def make_token(project, actors):
    numbers = count()

    def make(decimals=18):
        name = f"T{next(numbers)}"
        return actors.admin.deploy(project.MockToken, name, name, decimals)

    return make


@pytest.fixture(scope="module")
def settlement_token(make_token):
    return make_token(6)


@pytest.fixture(scope="module")
def governance(project, actors):
    return actors.admin.deploy(project.Governance, actors.admin)


@pytest.fixture(scope="module")
def appoint(governance, actors):
    """Give the roles' functions of a contract to the actors of the same names."""

    def appoint_on(contract, name):
        for role, functions in ROLE_FUNCTIONS.items():
            role_id = getattr(governance, role.upper())()
            selectors = [selector(contract, function) for function in functions.get(name, ())]
            governance.setTargetFunctionRole(contract, selectors, role_id, sender=actors.admin)
            governance.grantRole(role_id, getattr(actors, role), 0, sender=actors.admin)

    return appoint_on


@pytest.fixture(scope="module")
def parameters(project, actors, governance, settlement_token, configuration, appoint):
    contract = actors.admin.deploy(
        project.Parameters,
        governance,
        settlement_token,
        configuration.global_.struct(),
        configuration.interest.struct(),
        [10**18] * 8,
        configuration.scenario_structs(),
    )
    appoint(contract, "Parameters")
    return contract


@pytest.fixture(scope="module")
def feed(project, actors, governance, appoint):
    contract = actors.admin.deploy(project.MarketDataFeed, governance)
    appoint(contract, "MarketDataFeed")
    return contract


@pytest.fixture(scope="module")
def outcomes(project, governance, actors):
    """Make many calls as the governor within one, and return success and data of each."""
    caller = actors.admin.deploy(project.TryMany)
    governance.grantRole(governance.GOVERNOR(), caller, 0, sender=actors.admin)

    def run(target, calls):
        return [(o.ok, bytes(o.data)) for o in caller.tryMany.call(target, calls)]

    return run
