"""The two layers of the model against each other."""

from reference_model.exact import risk_model
from reference_model.ideal import tolerance


def disagreements(market, portfolios):
    """Numbers of exact breakdowns that are farther from the ideal ones than is derived."""
    breakdowns = [risk_model.breakdown(each, market) for each in portfolios]
    return tolerance.compare(market, portfolios, breakdowns)
