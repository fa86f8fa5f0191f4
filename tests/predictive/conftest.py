"""A predictive model with a basket of eight, and the exact model of what it reads."""

from types import SimpleNamespace

import pytest
from predictive.books import BASKET, World

from scripts._configuration import load_configuration
from scripts._deployment import ROLE_FUNCTIONS, selector

ROLES = {
    "Parameters": ("governor", "guardian"),
    "VolatilityEstimator": ("governor",),
    "PredictiveModel": ("governor", "guardian", "publisher"),
}


@pytest.fixture(scope="module")
def actors(accounts):
    names = ("admin", "governor", "guardian", "publisher", "outsider")
    return SimpleNamespace(**dict(zip(names, accounts, strict=False)))


@pytest.fixture(scope="module")
def world(project, actors, chain):
    """Return contracts under the roles of a deployment; nothing is published yet."""
    configuration, admin = load_configuration(), actors.admin
    governance = admin.deploy(project.Governance, admin)
    token = admin.deploy(project.MockToken, "T", "T", 6)
    parameters = admin.deploy(
        project.Parameters,
        governance,
        token,
        configuration.global_.struct(),
        configuration.interest.struct(),
        [10**18] * 8,
        configuration.scenario_structs(),
    )
    market = admin.deploy(project.MarketDouble)
    estimator = admin.deploy(project.VolatilityEstimator, governance, parameters, market)
    model = admin.deploy(
        project.PredictiveModel,
        governance,
        parameters,
        estimator,
        configuration.predictive.struct(),
    )
    contracts = {
        "Parameters": parameters,
        "VolatilityEstimator": estimator,
        "PredictiveModel": model,
    }
    for name, roles in ROLES.items():
        for role in roles:
            functions = ROLE_FUNCTIONS[role].get(name, ())
            selectors = [selector(contracts[name], function) for function in functions]
            role_id = getattr(governance, role.upper())()
            governance.setTargetFunctionRole(contracts[name], selectors, role_id, sender=admin)
            governance.grantRole(role_id, getattr(actors, role), 0, sender=admin)
    governance.grantRole(governance.ESTIMATOR(), estimator, 0, sender=admin)
    selectors = [selector(parameters, "moveScanRange")]
    governance.setTargetFunctionRole(parameters, selectors, governance.ESTIMATOR(), sender=admin)
    for underlying, volatility in BASKET.items():
        estimator.addUnderlying(underlying, volatility, sender=actors.governor)
    probe = admin.deploy(project.GasProbe)
    return World(chain, actors, parameters, market, estimator, model, probe)
