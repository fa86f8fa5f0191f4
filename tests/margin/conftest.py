"""The desk that all tests of margin share; markets come with each call and leave no trace."""

import pytest
from margin import desk as books


@pytest.fixture(scope="session")
def risk_officer(accounts):
    return accounts[0]


@pytest.fixture(scope="session")
def desk(project, risk_officer):
    harness = risk_officer.deploy(project.PortfolioHarness)
    predictive = risk_officer.deploy(project.PredictiveDouble)
    model = risk_officer.deploy(project.RiskModel, harness, harness, predictive)
    harness.setRiskModel(model, sender=risk_officer)
    return books.Desk(harness, predictive, risk_officer.deploy(project.GasProbe))


@pytest.fixture
def now(chain):
    return chain.blocks.head.timestamp


@pytest.fixture
def market(now):
    return books.market(now)
