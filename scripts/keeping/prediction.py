"""What predictive margin reads of one block, as the models take it."""

from dataclasses import dataclass, field

from reference_model.types import Prediction, PredictiveParameters, Publication
from scripts._deployment import Deployment
from scripts.keeping.chain import Call, Chain, NodeError, Refusal, methods


def settled_dates(publication: Publication) -> tuple[slice, int]:
    """Which dates stored are in force when the ramp is over, and how many places they cover."""
    p = publication
    if p.cancelled_at:
        return slice(0, p.before), p.places_before
    return slice(p.leaving, p.stored), p.places


def ramp_seconds(publication: Publication, active: int) -> int:
    """Active time until that: a publication that was taken back leaves as fast as it came."""
    p = publication
    if not p.cancelled_at:
        return max(0, p.end - active)
    return max(0, min(p.cancelled_at, p.end) - p.start - (active - p.cancelled_at))


@dataclass
class PredictionReader:
    """Reads vectors, estimates and parameters; vectors only after a publication."""

    chain: Chain
    deployment: Deployment
    _words: dict[Publication, tuple[int, ...]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        d = self.deployment
        self._model, self._parameters = methods(d.predictive_model), methods(d.parameters)
        self._estimator = methods(d.volatility_estimator)

    def read(self, block: int | None = None) -> Prediction:
        """Return all at a block, the latest by default."""
        (publication,), (parameters,), (basket,), (active,) = self._all(
            block,
            self._model["publication"](),
            self._model["parameters"](),
            self._estimator["basket"](),
            self._parameters["activeTime"](),
        )
        published = Publication(*publication)
        pairs = [self._estimator["correlation"](u, v) for u in basket for v in basket]
        deviations, *rows = self._all(block, self._estimator["deviations"](basket), *pairs)
        correlations, count = [row[0] for row in rows], len(basket)
        return Prediction(
            PredictiveParameters(*parameters),
            tuple(basket),
            tuple(zip(*deviations, strict=True)),
            tuple(tuple(correlations[count * i : count * (i + 1)]) for i in range(count)),
            published,
            self._vectors(published, block),
            active,
        )

    def _vectors(self, published: Publication, block: int | None) -> tuple[int, ...]:
        if published not in self._words:
            ((words,),) = self._all(block, self._model["vectors"](0, published.stored))
            self._words = {published: tuple(words)}
        return self._words[published]

    def _all(self, block: int | None, *calls: Call) -> list[tuple]:
        outcomes = self.chain.read_many(calls, block)
        for outcome in outcomes:
            if isinstance(outcome, Refusal):
                raise NodeError(f"the chain refused a view: {outcome}")
        return outcomes
