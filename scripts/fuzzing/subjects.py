"""All that a campaign compares, deployed on the connected chain."""

from typing import Any

import ape
from ape.api import AccountAPI

from reference_model.types import PredictiveParameters
from scripts.fuzzing.campaign import Subject
from scripts.fuzzing.formulas import LEDGER, MATHEMATICS, FormulaSubject
from scripts.fuzzing.market_data import HUB, PARAMETERS
from scripts.fuzzing.portfolios import DeployedPortfolios, Portfolios, RevaluedPortfolios
from scripts.fuzzing.predictions import Predictions

FORMULA_WEIGHT = 0.85
PORTFOLIO_WEIGHT = 0.15


def deploy(account: AccountAPI, deployment: Any = None) -> list[Subject]:
    """Deploy the harnesses and return everything there is to compare.

    Parameters
    ----------
    account
        Sends the deployments.
    deployment
        A deployment (``scripts._deployment.Deployment``) whose own risk model is to be compared as
        well, in the market it is in now.
    """
    mathematics = account.deploy(ape.project.MathHarness)
    ledger = account.deploy(ape.project.LedgerHarness)
    portfolios = account.deploy(ape.project.PortfolioHarness)
    predictions = account.deploy(ape.project.PredictionHarness)
    predictive = account.deploy(
        ape.project.PredictiveModel, *(predictions,) * 3, PredictiveParameters()
    )
    model = account.deploy(ape.project.RiskModel, portfolios, portfolios, predictive)
    portfolios.setRiskModel(model, sender=account)
    hub = account.deploy(ape.project.OracleHarness)
    parameters = account.deploy(ape.project.RiskParameterHarness)
    share = FORMULA_WEIGHT / (len(MATHEMATICS) + len(LEDGER) + len(HUB) + len(PARAMETERS))
    subjects: list[Subject] = [
        *(FormulaSubject(mathematics, formula, share) for formula in MATHEMATICS),
        *(FormulaSubject(ledger, formula, share) for formula in LEDGER),
        *(FormulaSubject(hub, formula, share) for formula in HUB),
        *(FormulaSubject(parameters, formula, share) for formula in PARAMETERS),
        Portfolios(portfolios, predictions, predictive, PORTFOLIO_WEIGHT * 0.5, full=False),
        Portfolios(portfolios, predictions, predictive, PORTFOLIO_WEIGHT * 0.2, full=True),
        RevaluedPortfolios(portfolios, predictions, predictive, PORTFOLIO_WEIGHT * 0.1),
        Predictions(predictions, predictive, PORTFOLIO_WEIGHT * 0.2),
    ]
    if deployment is not None:
        subjects.append(DeployedPortfolios(deployment, portfolios, PORTFOLIO_WEIGHT))
    return subjects
