"""Whole random portfolios in whole random markets, against the risk model."""

from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import ape
from ape.contracts import ContractInstance
from eth_abi import decode, encode

from reference_model.cases import (
    random_case,
    random_instruments,
    random_portfolio,
    random_prediction,
)
from reference_model.exact import risk_model
from reference_model.exact.errors import ModelError
from reference_model.ideal import tolerance
from reference_model.types import (
    PPM,
    Breakdown,
    Collateral,
    CollateralParameters,
    GlobalParameters,
    Market,
    Portfolio,
    Prediction,
    PredictiveParameters,
    Publication,
    Scenario,
    Slice,
    Spot,
    UnderlyingParameters,
)
from scripts.fuzzing import chain
from scripts.fuzzing.campaign import Outcome


def random_state(rng: Random, market: Market) -> Prediction:
    """State of a predictive model: nothing published, something, or something taken back."""
    if rng.random() < 0.1:
        return Prediction()
    prediction = random_prediction(rng, market, rng.choice((250, 251, 400)))
    last = prediction.publication
    if rng.random() < 0.2 and last.start <= prediction.active < last.end:
        # Even later than now: the clock is set back when an outage is learned of late.
        cancelled_at = rng.randint(max(last.start, 1), last.end - 1)
        prediction = prediction._replace(publication=last._replace(cancelled_at=cancelled_at))
    return prediction


class PortfolioCase(NamedTuple):
    """A portfolio and all that its assessment reads."""

    market: Market
    portfolio: Portfolio


class Portfolios:
    """``RiskModel.assess`` or ``breakdown`` through ``PortfolioHarness.assessMany``."""

    def __init__(
        self,
        harness: ContractInstance,
        predictions: ContractInstance | None,
        predictive: ContractInstance | None,
        weight: float,
        *,
        full: bool,
    ) -> None:
        self.name = "portfolio.breakdown" if full else "portfolio.assess"
        self.weight = weight
        self.batch = 16 if full else 48
        self.full = full
        self.harness = harness
        self.predictions, self.predictive = predictions, predictive
        self.method = harness.contract_type.mutable_methods["assessMany"]
        self.inputs = [parameter.canonical_type for parameter in self.method.inputs]
        view = "breakdown" if full else "assess"
        abi = ape.project.RiskModel.contract_type.view_methods[view]
        self.output = [parameter.canonical_type for parameter in abi.outputs]

    def draw(self, rng: Random, count: int) -> list[PortfolioCase]:
        """Many portfolios in one market, a third of them of one underlying, in all modes."""
        market, portfolios = random_case(rng, count)
        market = market._replace(prediction=random_state(rng, market))
        portfolios = [p._replace(margin_mode=rng.choice((0, 1, 2, 2))) for p in portfolios]
        return [
            PortfolioCase(market, portfolio if i % 3 else _of_one_underlying(portfolio, market))
            for i, portfolio in enumerate(portfolios)
        ]

    def restore(self, plain: tuple) -> PortfolioCase:
        """Give the fields their names back."""
        return rebuild(PortfolioCase, plain)

    def ask(self, cases: list[PortfolioCase]) -> list[Outcome]:
        """One call; all cases share the market of the first."""
        market = cases[0].market
        arguments = (market.case(), [case.portfolio for case in cases], self.full)
        assess = selector(self.method) + encode(self.inputs, arguments)
        prepare = chain.many(self.predictions.address, [self._prepare(market)])
        both = chain.many(self.harness.address, [prepare, assess])
        answers = chain.outcomes(chain.call(self.harness.address, both, market.now))
        prepared, assessed = (_returned(answer) for answer in answers)
        _returned(*chain.outcomes(prepared))
        return chain.outcomes(assessed)

    def _prepare(self, market: Market) -> bytes:
        """Call that brings the predictive model to the market's state."""
        method = self.predictions.contract_type.mutable_methods["prepare"]
        types = [parameter.canonical_type for parameter in method.inputs]
        arguments = self.predictive.address, market.prediction.case()
        return selector(method) + encode(types, arguments)

    def expect(self, cases: list[PortfolioCase]) -> list[Outcome]:
        """The exact model's answers."""
        return [self._expect(case) for case in cases]

    def _expect(self, case: PortfolioCase) -> Outcome:
        compute = risk_model.breakdown if self.full else risk_model.assess
        try:
            return True, encode(self.output, [compute(case.portfolio, case.market)])
        except ModelError as error:
            return False, chain.encode_error(error.name, error.arguments)

    def smaller(self, case: PortfolioCase) -> Iterator[PortfolioCase]:
        """Fewer positions, balances, scenarios; no cash."""
        for name in ("positions", "collateral", "open_interest"):
            for words in fewer(getattr(case.portfolio, name)):
                yield case._replace(portfolio=case.portfolio._replace(**{name: words}))
        if case.market.former_weights:
            yield case._replace(market=case.market._replace(former_weights=()))
        else:
            for scenarios in fewer(case.market.scenarios):
                if _have_tails(scenarios):
                    yield case._replace(market=case.market._replace(scenarios=scenarios))
        if case.portfolio.cash:
            yield case._replace(portfolio=case.portfolio._replace(cash=0))

    def describe(self, outcome: Outcome) -> str:
        """Values or error."""
        return chain.describe(*outcome, self.output)


class RevaluedPortfolios(Portfolios):
    """Breakdowns in float64, predictive margin by full revaluation; an outcome is what is off."""

    def __init__(
        self,
        harness: ContractInstance,
        predictions: ContractInstance,
        predictive: ContractInstance,
        weight: float,
    ) -> None:
        super().__init__(harness, predictions, predictive, weight, full=True)
        self.name = "portfolio.revalued"

    def ask(self, cases: list[PortfolioCase]) -> list[Outcome]:
        """Which numbers of the contracts are beyond what they may be off by."""
        answers = enumerate(super().ask(cases))
        answered = [(i, decode(self.output, data)[0]) for i, (ok, data) in answers if ok]
        found = tolerance.compare(
            cases[0].market,
            [cases[i].portfolio for i, _ in answered],
            [rebuild(Breakdown, breakdown) for _, breakdown in answered],
        )
        off = [""] * len(cases)
        for each in found:
            off[answered[each.account][0]] += f"{each}\n"
        return [(True, text.encode()) for text in off]

    def expect(self, cases: list[PortfolioCase]) -> list[Outcome]:
        """None; what the contracts refuse is compared with the exact model alone."""
        return [(True, b"")] * len(cases)

    def describe(self, outcome: Outcome) -> str:
        """List the numbers that are off."""
        return outcome[1].decode() or "every number within its bound"


def _have_tails(scenarios: tuple[Scenario, ...]) -> bool:
    """Whether they are a fall and a rise of a full scan range at least, as every list is."""
    moves = [scenario.price_ppm for scenario in scenarios]
    return min(moves, default=0) <= -PPM and max(moves, default=0) >= PPM


def _of_one_underlying(portfolio: Portfolio, market: Market) -> Portfolio:
    """Keep of an account what is of the underlying it holds most of; few scenarios assess it."""
    held = [slot >> 248 for slot in portfolio.positions]
    if not held:
        return portfolio
    one = max(held, key=held.count)
    assets = {each.asset for each in market.collaterals if each.parameters.underlying in (0, one)}
    return portfolio._replace(
        positions=tuple(slot for slot in portfolio.positions if slot >> 248 == one),
        collateral=tuple(word for word in portfolio.collateral if word >> 248 in assets),
    )


def rebuild(kind: Any, value: Any) -> Any:
    """Give plain nested tuples, as read from JSON, their named types back."""
    if get_origin(kind) is tuple:
        return tuple(rebuild(get_args(kind)[0], item) for item in value)
    if isinstance(kind, type) and issubclass(kind, tuple):
        hints = get_type_hints(kind)
        return kind(*(rebuild(hints[name], v) for name, v in zip(kind._fields, value, strict=True)))
    return value


def fewer(words: tuple) -> Iterator[tuple]:
    """Halves of words first, then all but one."""
    if len(words) > 2:
        yield words[: len(words) // 2]
        yield words[len(words) // 2 :]
    for i in range(len(words)):
        yield words[:i] + words[i + 1 :]


def _returned(outcome: Outcome) -> bytes:
    """What a call that must not fail returned."""
    ok, data = outcome
    if not ok:
        raise chain.CallFailed(data.hex())
    return data


def selector(method: Any) -> bytes:
    """Selector of a method of an ABI."""
    return chain.selector_of(method.selector)


class DeployedPortfolios(Portfolios):
    """Random portfolios margined by a deployment's own risk model, in its market of the moment."""

    def __init__(self, deployment: Any, harness: ContractInstance, weight: float) -> None:
        super().__init__(harness, None, None, weight, full=False)
        self.name = "portfolio.deployed"
        self.risk_model = deployment.risk_model
        self.market = market_of(deployment)

    def draw(self, rng: Random, count: int) -> list[PortfolioCase]:
        """Many portfolios in the deployed market."""
        chosen = random_instruments(rng, self.market)
        return [
            PortfolioCase(self.market, random_portfolio(rng, self.market, chosen))
            for _ in range(count)
        ]

    def ask(self, cases: list[PortfolioCase]) -> list[Outcome]:
        """One call to the deployed risk model per case, all in one to the chain."""
        abi = self.risk_model.contract_type.view_methods["assess"]
        types = [parameter.canonical_type for parameter in abi.inputs]
        calls = [selector(abi) + encode(types, [case.portfolio]) for case in cases]
        data = chain.many(self.risk_model.address, calls)
        return chain.outcomes(chain.call(self.harness.address, data, cases[0].market.now))


def market_of(deployment: Any) -> Market:
    """Read everything an assessment depends on from a deployment, as of the latest block."""
    parameters, feed = deployment.parameters, deployment.market_data
    ids = sorted(deployment.manifest.underlyings.values())
    assets = sorted(set(deployment.manifest.assets.values()) - {0})
    return Market(
        now=ape.chain.blocks.head.timestamp,
        global_parameters=GlobalParameters(*parameters.globalParameters()),
        decorrelations=tuple(parameters.decorrelations()),
        scenarios=tuple(Scenario(*scenario) for scenario in parameters.scenarios()),
        spots=tuple(
            Spot(u, UnderlyingParameters(*parameters.underlyingParameters(u)), *feed.spot(u),
                 *parameters.scanRanges(u))
            for u in ids
        ),
        slices=tuple(
            Slice(u, expiry, *feed.slice(u, expiry, 0), feed.settlementPrice(u, expiry))
            for u in ids
            for expiry in parameters.liveExpiries(u)
        ),
        collaterals=tuple(
            Collateral(a, CollateralParameters(*parameters.collateralParameters(a)),
                       *feed.collateralRate(a))
            for a in assets
        ),
        prediction=prediction_of(
            ape.project.PredictiveModel.at(deployment.risk_model.predictiveModel()),
            deployment.volatility_estimator,
            parameters.activeTime(),
        ),
    )  # fmt: skip


def prediction_of(model: ContractInstance, estimator: ContractInstance, active: int) -> Prediction:
    """Read the state of a deployed predictive model, at an active time."""
    basket, publication = tuple(estimator.basket()), Publication(*model.publication())
    return Prediction(
        PredictiveParameters(*model.parameters()),
        basket,
        tuple(zip(*estimator.deviations(basket), strict=True)),
        tuple(tuple(estimator.correlation(u, v) for v in basket) for u in basket),
        publication,
        tuple(model.vectors(0, publication.stored)),
        active,
    )
