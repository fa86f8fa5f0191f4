"""Random books in random states of the predictive model, against its contract."""

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from ape.contracts import ContractInstance
from eth_abi import encode

from reference_model.cases import drawn, log_uniform, random_market
from reference_model.exact import predictive_model
from reference_model.exact.errors import ModelError
from reference_model.exact.shortfall import Z_PPM
from reference_model.types import Exposure, Prediction
from scripts.fuzzing import chain
from scripts.fuzzing.campaign import Outcome
from scripts.fuzzing.portfolios import fewer, random_state, rebuild, selector

VIEWS = {
    "measure": predictive_model.measure,
    "shortfallAt": predictive_model.shortfall_at,
    "exceedances": predictive_model.exceedances,
    "losses": predictive_model.losses,
}
MAX_BITS = 130


class PredictionCase(NamedTuple):
    """A view of the predictive model, the state it is in, and what it is asked of."""

    view: str
    prediction: Prediction
    exposures: tuple[Exposure, ...]
    amount: int


class Predictions:
    """Views of ``PredictiveModel`` through ``PredictionHarness.ask``."""

    name = "prediction"
    batch = 32

    def __init__(self, harness: ContractInstance, model: ContractInstance, weight: float) -> None:
        self.weight = weight
        self.harness, self.model = harness, model
        methods = model.contract_type.view_methods
        self.views = {name: next(m for m in methods if m.name == name) for name in VIEWS}
        self.method = harness.contract_type.mutable_methods["ask"]

    def draw(self, rng: Random, count: int) -> list[PredictionCase]:
        """Many books in one state."""
        prediction = random_state(rng, random_market(rng))
        return [self._draw(rng, prediction) for _ in range(count)]

    def _draw(self, rng: Random, prediction: Prediction) -> PredictionCase:
        exposures = random_exposures(rng, prediction)
        losses = predictive_model.losses(prediction, exposures) or (0,)
        amount = rng.choice((0, rng.choice(losses), rng.choice(losses), max(losses) * 2))
        amount = max(0, amount + rng.randint(-1, 1))
        return PredictionCase(rng.choice(list(VIEWS)), prediction, exposures, amount)

    def restore(self, plain: tuple) -> PredictionCase:
        """Give the case its names back."""
        return rebuild(PredictionCase, plain)

    def ask(self, cases: list[PredictionCase]) -> list[Outcome]:
        """One call; all cases are in the state of the first."""
        calls = [self._call(case) for case in cases]
        types = [parameter.canonical_type for parameter in self.method.inputs]
        arguments = (self.model.address, cases[0].prediction.case(), calls)
        data = selector(self.method) + encode(types, arguments)
        return chain.outcomes(chain.call(self.harness.address, data, 2**31))

    def _call(self, case: PredictionCase) -> bytes:
        abi = self.views[case.view]
        types = [parameter.canonical_type for parameter in abi.inputs]
        return selector(abi) + encode(types, _arguments(case))

    def expect(self, cases: list[PredictionCase]) -> list[Outcome]:
        """The exact model's answers."""
        return [self._expect(case) for case in cases]

    def _expect(self, case: PredictionCase) -> Outcome:
        types = [parameter.canonical_type for parameter in self.views[case.view].outputs]
        try:
            result = VIEWS[case.view](case.prediction, *_arguments(case))
        except ModelError as error:
            return False, chain.encode_error(error.name, error.arguments)
        return True, encode(types, result if len(types) > 1 else [result])

    def smaller(self, case: PredictionCase) -> Iterator[PredictionCase]:
        """Fewer underlyings, smaller amounts."""
        for exposures in fewer(case.exposures):
            yield case._replace(exposures=exposures)
        if case.amount:
            yield case._replace(amount=case.amount // 2)

    def describe(self, outcome: Outcome) -> str:
        """Values or error, as words: which view was asked the case says."""
        ok, data = outcome
        if not ok:
            return chain.describe(ok, data, [])
        return str([int.from_bytes(data[i : i + 32], "big") for i in range(0, len(data), 32)])


def _arguments(case: PredictionCase) -> tuple:
    if case.view in ("shortfallAt", "exceedances"):
        return case.exposures, case.amount
    return (case.exposures,)


def random_exposures(rng: Random, prediction: Prediction) -> tuple[Exposure, ...]:
    """Profiles that no book needs to have, of some underlyings, one of them perhaps unknown."""
    stranger = next(u for u in range(1, 256) if u not in prediction.basket)
    known = [*prediction.basket, stranger]
    chosen = sorted(rng.sample(known, rng.randint(0, min(len(known), 8))))
    terms = predictive_model.terms(prediction, chosen)
    bits = rng.choice((10, 70, 90, MAX_BITS))
    return tuple(
        _exposure(rng, u, deviation, bits, is_covered=not terms.uncovered >> u & 1)
        for u, deviation in zip(chosen, terms.deviations, strict=True)
    )


def _exposure(
    rng: Random, underlying: int, deviation: int, bits: int, *, is_covered: bool
) -> Exposure:
    def amount() -> int:
        return log_uniform(rng, 0, 2**bits)

    def signed() -> int:
        return rng.choice((-1, 1)) * amount()

    nodes = len(Z_PPM) * rng.choice((1, 4)) if deviation else 0
    has_options = nodes > len(Z_PPM)
    slopes = [signed() for _ in range(nodes)]
    return Exposure(
        underlying,
        deviation,
        rng.choice((0, signed())),
        log_uniform(rng, 16, 10**12),
        0 if is_covered else amount(),
        tuple(drawn(rng, 0, amount()) if has_options else 0 for _ in range(3)),
        _profile(rng, nodes, bits),
        tuple(sorted(slopes) if rng.random() < 0.5 else slopes),
    )


def _profile(rng: Random, nodes: int, bits: int) -> tuple[int, ...]:
    """Profits and losses at the nodes: a line with something on it, or anything."""
    size = log_uniform(rng, 1, 2**bits)
    tilt, noise = rng.choice((-1, 0, 1)), rng.choice((0, 1, 100))
    count = len(Z_PPM)
    return tuple(
        (tilt * size * (n % count - count // 2) + noise * rng.randint(-size, size)) // 100
        for n in range(nodes)
    )
