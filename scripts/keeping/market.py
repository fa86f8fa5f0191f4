"""The market of one block as the model takes it: parameters, prices, surfaces, open interest."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from reference_model.ideal import market as ideal
from reference_model.types import (
    WAD,
    Collateral,
    CollateralParameters,
    GlobalParameters,
    Market,
    Scenario,
    Slice,
    Spot,
    UnderlyingParameters,
)
from scripts._deployment import Deployment
from scripts.keeping.chain import Call, Chain, Head, NodeError, Refusal, methods
from scripts.keeping.prediction import PredictionReader

OPEN_INTEREST = "openInterest"


class MarketView(NamedTuple):
    """What all accounts share.

    Attributes
    ----------
    integers, arrays
        The market in contract units, and as the ideal layer takes it.
    open_interest, funding_index : ndarray of float64, shape (underlyings,)
        Units of both sides; USD per unit held since the start.
    unpriced : tuple of (int, int)
        Underlying and expiry of slices that the chain refuses; they are taken at the index.
    """

    integers: Market
    arrays: ideal.Market
    open_interest: np.ndarray
    funding_index: np.ndarray
    unpriced: tuple[tuple[int, int], ...]


@dataclass
class MarketReader:
    """Reads the market that a deployment is in."""

    chain: Chain
    deployment: Deployment

    def __post_init__(self) -> None:
        d = self.deployment
        self._parameters, self._prices = methods(d.parameters), methods(d.market_data)
        self._prediction = PredictionReader(self.chain, d)
        self._engine = methods(d.margin_engine)
        outputs = next(
            abi.outputs[0].components
            for abi in d.margin_engine.contract_type.view_methods
            if abi.name == "marketState"
        )
        self._open_interest_at = [each.name for each in outputs].index(OPEN_INTEREST)

    def read(self, head: Head, expiries: Iterable[tuple[int, int]]) -> MarketView:
        """Return the market at a block.

        Parameters
        ----------
        head : Head
        expiries : iterable of (int, int)
            Underlyings and expiries of the instruments that are to be priced.
        """
        p = self._parameters
        shared = [p["globalParameters"](), p["decorrelations"](), p["scenarios"]()]
        (parameters,), (decorrelations,), (scenarios,) = self._all(shared, head)
        states = self._underlyings(head)
        spots = {u: state[0] for u, state in states.items()}
        slices, unpriced = self._slices(head, spots, expiries)
        market = Market(
            head.timestamp,
            GlobalParameters(*parameters),
            tuple(decorrelations),
            tuple(Scenario(*row) for row in scenarios),
            tuple(spots.values()),
            tuple(slices),
            tuple(self._collaterals(head, spots)),
            prediction=self._prediction.read(head.number),
        )
        open_interest, funding = (
            np.array([state[i] / WAD for state in states.values()]) for i in (1, 2)
        )
        arrays = ideal.from_integers(market)
        return MarketView(market, arrays, open_interest, funding, tuple(unpriced))

    def _all(self, calls: list[Call], head: Head) -> list[tuple]:
        outcomes = self.chain.read_many(calls, head.number)
        for outcome in outcomes:
            if isinstance(outcome, Refusal):
                raise NodeError(f"the chain refused a view: {outcome}")
        return outcomes

    def _underlyings(self, head: Head) -> dict[int, tuple[Spot, int, int]]:
        """Spot, open interest and funding index of every underlying that has a price."""
        numbers = sorted(self.deployment.manifest.underlyings.values())
        spots = self.chain.read_many([self._prices["spot"](u) for u in numbers], head.number)
        priced = [
            (u, spot)
            for u, spot in zip(numbers, spots, strict=True)
            if not isinstance(spot, Refusal)
        ]
        p, e = self._parameters, self._engine
        names = (
            p["underlyingParameters"],
            p["scanRanges"],
            e["marketState"],
            e["currentFundingIndex"],
        )
        rows = self._all([name(u) for u, _ in priced for name in names], head)
        states = {}
        for i, (u, spot) in enumerate(priced):
            (parameters,), ranges, (state,), (funding,) = rows[4 * i : 4 * i + 4]
            row = Spot(u, UnderlyingParameters(*parameters), *spot, *ranges)
            states[u] = row, state[self._open_interest_at], funding
        return states

    def _slices(
        self, head: Head, spots: Mapping[int, Spot], expiries: Iterable[tuple[int, int]]
    ) -> tuple[list[Slice], list[tuple[int, int]]]:
        keys = sorted({key for key in expiries if key[1] and key[0] in spots})
        calls = [
            self._prices["slice"](u, expiry, spots[u].index)
            if expiry > head.timestamp
            else self._prices["settlementPrice"](u, expiry)
            for u, expiry in keys
        ]
        slices, unpriced = [], []
        for key, row in zip(keys, self.chain.read_many(calls, head.number), strict=True):
            index = spots[key[0]].index
            if isinstance(row, Refusal):
                unpriced.append(key)
                row = (index, WAD, 0, 0)
            final = row[0] if key[1] <= head.timestamp and len(row) == 1 else 0
            forward = row if len(row) == 4 else (index, WAD, 0, head.timestamp)
            slices.append(Slice(*key, *forward, settlement_price=final))
        return slices, unpriced

    def _collaterals(self, head: Head, spots: Mapping[int, Spot]) -> Iterable[Collateral]:
        """Collateral that has a price."""
        assets = sorted(a for a in self.deployment.manifest.assets.values() if a)
        calls = [self._parameters["collateralParameters"](a) for a in assets]
        calls += [self._prices["collateralRate"](a) for a in assets]
        rows = self.chain.read_many(calls, head.number)
        for asset, (parameters, rate) in zip(
            assets, zip(rows[: len(assets)], rows[len(assets) :], strict=True), strict=True
        ):
            if isinstance(parameters, Refusal) or isinstance(rate, Refusal):
                continue
            (struct,) = parameters
            follows = CollateralParameters(*struct)
            if follows.underlying in (0, *spots):
                yield Collateral(asset, follows, *rate)
