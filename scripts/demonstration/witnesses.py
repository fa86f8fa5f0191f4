"""Two witnesses of every state of every book: the exact model and the numpy model."""

from collections.abc import Sequence
from functools import cached_property

from oracle_mock.market import Snapshot, updates
from reference_model.exact import risk_model
from reference_model.ideal import tolerance
from reference_model.types import (
    Breakdown,
    Collateral,
    CollateralParameters,
    GlobalParameters,
    Market,
    Portfolio,
    Prediction,
    Scenario,
    Slice,
    Spot,
    UnderlyingParameters,
)
from scripts.demonstration.ledger import Ledger, call
from scripts.keeping.chain import Chain
from scripts.keeping.prediction import PredictionReader


class Witnesses:
    """Recomputes what the chain says, from the prices that were pushed.

    Attributes
    ----------
    compared
        Breakdowns compared so far.
    disagreements
        What differed, for a reader.
    """

    def __init__(self, ledger: Ledger) -> None:
        parameters = ledger.deployment.parameters
        self.ids = ledger.ids
        self.compared = 0
        self.disagreements: list[str] = []
        self._globals = GlobalParameters(*call(parameters, "globalParameters")[0])
        self._decorrelations = call(parameters, "decorrelations")[0]
        self.scenarios = tuple(Scenario(*row) for row in call(parameters, "scenarios")[0])
        self._underlyings = {
            number: UnderlyingParameters(*call(parameters, "underlyingParameters", number)[0])
            for number in self.ids.underlyings.values()
        }
        self._scan_ranges = {u: call(parameters, "scanRanges", u) for u in self._underlyings}
        self._collaterals = {
            asset: CollateralParameters(*call(parameters, "collateralParameters", asset)[0])
            for asset in self.ids.assets.values()
            if asset
        }
        self._slices: dict[tuple[int, int], Slice] = {}
        self._reader = PredictionReader(Chain(), ledger.deployment)

    @cached_property
    def _prediction(self) -> Prediction:
        """What predictive margin reads, once the vectors are in force; here nothing changes it."""
        return self._reader.read()

    def observe(self, snapshot: Snapshot) -> Market:
        """Return the models' market after a snapshot was pushed; past expiries stay known."""
        integers = updates(snapshot, self.ids)
        for row in integers.slices:
            self._slices[row[:2]] = Slice(*row, settlement_price=0)
        for underlying, expiry, price in integers.settlements:
            known = self._slices.get((underlying, expiry), Slice(underlying, expiry, *[0] * 5))
            self._slices[underlying, expiry] = known._replace(settlement_price=price)
        rates = integers.rates
        spots = (
            Spot(row[0], self._underlyings[row[0]], *row[1:], *self._scan_ranges[row[0]])
            for row in integers.spots
        )
        return Market(
            snapshot.time,
            self._globals,
            self._decorrelations,
            self.scenarios,
            tuple(spots),
            tuple(self._slices.values()),
            tuple(Collateral(row[0], self._collaterals[row[0]], *row[1:]) for row in rates),
            prediction=self._prediction,
        )

    def examine(
        self, market: Market, portfolios: Sequence[Portfolio], breakdowns: Sequence[Breakdown]
    ) -> None:
        """Compare the chain's breakdowns: equal to the exact model's, near the numpy model's."""
        for portfolio, breakdown in zip(portfolios, breakdowns, strict=True):
            expected = risk_model.breakdown(portfolio, market)
            if expected != breakdown:
                text = f"exact model at {market.now}: {expected} instead of {breakdown}"
                self.disagreements.append(text)
        found = tolerance.compare(market, portfolios, breakdowns)
        self.disagreements += [f"numpy model at {market.now}: {each}" for each in found]
        self.compared += len(breakdowns)
