"""Predictive margin: published joint moves, parameters on their way, and measures of books.

`PredictiveModel` is the state machine, each entry point taking the time of its block. What it reads
at one moment is a `Prediction`, on which the views are functions. A refusal is a `ModelError` and
leaves the state as it was.

Source: specification, Predictive margin; ``contracts/interfaces/IPredictiveModel.sol``.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from reference_model.exact import parametric, ramp, shortfall
from reference_model.exact.errors import (
    AmountTooLarge,
    InvalidVector,
    NoRampUnderWay,
    RampUnderWay,
)
from reference_model.exact.events import Event
from reference_model.exact.fixed_point import divide_up, mul_up, sqrt_up
from reference_model.exact.governed import GovernedParameters
from reference_model.exact.parameters import require_in_range
from reference_model.exact.volatility_estimator import MAX_UNDERLYINGS, VolatilityEstimator
from reference_model.types import (
    DAY,
    WAD,
    Exposure,
    Prediction,
    PredictiveParameters,
    PredictiveTerms,
    Publication,
)

MIN_DATES, MAX_DATES = 250, 1_000
MAX_STORED = 1_024
MAX_AMOUNT = 2**192 - 1
DEFAULTS = PredictiveParameters()


class PredictiveModel:
    """Vectors and parameters of predictive margin over time.

    Parameters
    ----------
    governed : GovernedParameters
        Has the clock and the length of ramps.
    estimator : VolatilityEstimator
    parameters : PredictiveParameters, optional
        In force at once.

    Attributes
    ----------
    publication : Publication
    words : tuple of int
        Vectors stored, old first.
    events : list of Event
        All that was emitted.

    Raises
    ------
    ParameterOutOfRange
    """

    def __init__(
        self,
        governed: GovernedParameters,
        estimator: VolatilityEstimator,
        parameters: PredictiveParameters = DEFAULTS,
    ) -> None:
        require_parameters(parameters)
        self._governed = governed
        self._estimator = estimator
        self._before = self._after = parameters
        self._start = self._end = 0
        self.publication = Publication()
        self.words: tuple[int, ...] = ()
        self.events: list[Event] = []

    def publish(self, now: int, words: Sequence[int], leaving: int, places: int) -> None:
        """Let new dates come and the `leaving` oldest go, over a ramp.

        Parameters
        ----------
        now : int
        words : sequence of int
            One per date, old first.
        leaving : int
        places : int
            Places of the basket that the words cover.

        Raises
        ------
        RampUnderWay, ParameterOutOfRange, InvalidVector
        """
        last = self.publication
        start, end = self._ramp(now)
        if is_ramping(last, start):
            raise RampUnderWay(last.end)
        in_force = _after(last)
        kept = self.words[in_force.dates]
        require_in_range("leaving", leaving, 0, len(kept))
        count = len(kept) - leaving + len(words)
        require_in_range("dates", count, MIN_DATES, MAX_DATES)
        require_in_range("stored", len(kept) + len(words), 0, MAX_STORED)
        most = min(len(self._estimator.basket), MAX_UNDERLYINGS)
        if leaving < len(kept):
            most = in_force.places
        require_in_range("places", places, in_force.places, most)
        for i, word in enumerate(words):
            if not shortfall.is_valid(word, places):
                raise InvalidVector(i, word)
        self.words = (*kept, *words)
        self.publication = Publication(
            len(self.words), len(kept), leaving, in_force.places, places, start, end
        )
        self.events.append(Event("Published", (count, len(words), leaving, places, start, end)))

    def cancel_publication(self, now: int) -> None:
        """Take back the last publication while it ramps: the ramp runs backwards from now on.

        Raises
        ------
        NoRampUnderWay, RampUnderWay
        """
        last, active = self.publication, self._governed.clock.active_time(now)
        if not is_ramping(last, active):
            raise NoRampUnderWay
        if last.cancelled_at:
            raise RampUnderWay(last.end)
        self.publication = last._replace(cancelled_at=active)
        self.events.append(Event("PublicationCancelled", (active, progress_of(last, active))))

    def set_parameters(self, now: int, new: PredictiveParameters) -> None:
        """Ramp to other parameters, from those in force.

        Raises
        ------
        ParameterOutOfRange
        """
        require_parameters(new)
        old = self.parameters(now)
        self._before, self._after = old, new
        self._start, self._end = self._ramp(now)
        self.events.append(Event("ParametersSet", (old, new, self._start, self._end)))

    def parameters(self, now: int) -> PredictiveParameters:
        """Parameters in force."""
        when = self._start, self._end, self._governed.clock.active_time(now)
        pairs = zip(self._before, self._after, strict=True)
        return PredictiveParameters(*(ramp.value(before, after, *when) for before, after in pairs))

    def target(self) -> PredictiveParameters:
        """Parameters in force at the end of the ramp."""
        return self._after

    def prediction(self, now: int) -> Prediction:
        """All that views read at a time."""
        active, basket = self._governed.clock.active_time(now), self._estimator.basket
        return Prediction(
            self.parameters(now),
            tuple(basket),
            tuple(self._estimator.deviations(u, active) for u in basket),
            tuple(tuple(self._estimator.correlation(u, v) for v in basket) for u in basket),
            self.publication,
            self.words,
            active,
        )

    def _ramp(self, now: int) -> tuple[int, int]:
        """Start and end, active times, of a ramp that begins now."""
        start = self._governed.clock.active_time(now)
        return start, start + self._governed.ramp_seconds


def require_parameters(p: PredictiveParameters) -> None:
    """Check the parameters of predictive margin; raises `ParameterOutOfRange`."""
    require_in_range("tailShare", p.tail_share, WAD // 200, WAD // 10)
    require_in_range("horizonSeconds", p.horizon_seconds, 3_600, 10 * DAY)
    require_in_range("floorWeight", p.floor_weight, WAD // 10, WAD)
    require_in_range("parametricWeight", p.parametric_weight, 0, WAD)
    require_in_range("correlationWidth", p.correlation_width, 0, WAD)
    require_in_range("singleAssetFloor", p.single_asset_floor, 0, WAD)


# ----------------------------------------------------------------------------------------- views


class _List(NamedTuple):
    """Dates that losses are selected from, of those stored, and the places they cover."""

    dates: slice
    places: int


def terms(prediction: Prediction, underlyings: Iterable[int]) -> PredictiveTerms:
    """What the risk model needs to make the profiles of a book."""
    p, chosen = prediction.parameters, sorted(underlyings)
    by_some, by_all = (choose(each.places for each in _lists(prediction)) for choose in (max, min))
    uncovered = sum(1 << u for u in chosen if not _covers(prediction, by_all, u))
    root = sqrt_up(divide_up(p.horizon_seconds * WAD**2, DAY))
    place = prediction.basket.index
    both = [
        prediction.deviations[place(u)] if _covers(prediction, by_some, u) else (0, 0)
        for u in chosen
    ]
    deviations, initial = (
        tuple(min(mul_up(each[i], root), WAD) for each in both) for i in range(2)
    )
    return PredictiveTerms(p.floor_weight, p.parametric_weight, uncovered, deviations, initial)


def measure(prediction: Prediction, exposures: Sequence[Exposure]) -> tuple[int, int]:
    """Expected shortfall and parametric margin of a book; USD, WAD, Up."""
    share = prediction.parameters.tail_share
    measured = _blended(
        prediction, exposures, lambda found: shortfall.shortfall(found.units, share)
    )
    return measured, _parametric(prediction, exposures)


def shortfall_at(prediction: Prediction, exposures: Sequence[Exposure], hint: int) -> int:
    """Upper bound of the expected shortfall from any hint; USD, WAD, Up.

    Raises
    ------
    AmountTooLarge
    """
    _require_amount(hint)
    share = prediction.parameters.tail_share

    def select(found: shortfall.Losses) -> int:
        units = divide_up(shortfall.UNITS * hint, 2**found.exponent)
        return shortfall.shortfall_at(found.units, share, units)

    return _blended(prediction, exposures, select)


def exceedances(
    prediction: Prediction, exposures: Sequence[Exposure], amount: int
) -> tuple[int, int]:
    """Dates of the list to come with a loss above an amount, and the count that certifies it.

    Raises
    ------
    AmountTooLarge
    """
    _require_amount(amount)
    to_come = _after(prediction.publication)
    found = _losses(prediction, exposures, to_come)
    certain = _slack(exposures) + _uncovered_loss(prediction, exposures, to_come)
    beyond = shortfall.UNITS * max(0, amount - certain)
    limit = shortfall.tail(len(found.units), prediction.parameters.tail_share) // WAD
    return sum(loss << found.exponent > beyond for loss in found.units), limit


def _require_amount(amount: int) -> None:
    if amount > MAX_AMOUNT:
        raise AmountTooLarge(amount, MAX_AMOUNT)


def losses(prediction: Prediction, exposures: Sequence[Exposure]) -> tuple[int, ...]:
    """What a book loses on every date stored; USD, WAD, Up."""
    publication, slack = prediction.publication, _slack(exposures)
    added = _List(slice(publication.before, publication.stored), publication.places)
    wei = []
    for dates in (_former(publication), added):
        found = _losses(prediction, exposures, dates)
        wei += [found.to_wei(loss) + slack if loss else 0 for loss in found.units]
    return tuple(wei)


def vectors(prediction: Prediction, offset: int, count: int) -> tuple[int, ...]:
    """Vectors stored, from `offset` on."""
    return prediction.words[offset : offset + count]


def _lists(prediction: Prediction) -> list[_List]:
    """Lists in force, the one to come last: two in a ramp."""
    p = prediction.publication
    if not is_ramping(p, prediction.active):
        return [_after(p)]
    return [_former(p), _latter(p)]


def _former(p: Publication) -> _List:
    return _List(slice(0, p.before), p.places_before)


def _latter(p: Publication) -> _List:
    return _List(slice(p.leaving, p.stored), p.places)


def _after(p: Publication) -> _List:
    """List in force at the end of the ramp, wherever it runs."""
    return _former(p) if p.cancelled_at else _latter(p)


def is_ramping(p: Publication, active: int) -> bool:
    """Whether two lists are in force."""
    return progress_of(p, active) > 0 if p.cancelled_at else active < p.end


def progress_of(p: Publication, active: int) -> int:
    """How far a publication has come, WAD: back to 0 once it is taken back."""
    if not p.cancelled_at:
        return ramp.progress(p.start, p.end, active)
    reached = ramp.progress(p.start, p.end, p.cancelled_at)
    # An outage that is learned of late sets the clock back, perhaps to before it was taken back.
    since = max(0, active - p.cancelled_at)
    return max(0, reached - since * WAD // (p.end - p.start))


def _covers(prediction: Prediction, places: int, underlying: int) -> bool:
    return underlying in prediction.basket[:places]


def _blended(
    prediction: Prediction,
    exposures: Sequence[Exposure],
    select: Callable[[shortfall.Losses], int],
) -> int:
    """Select from the lists in force and go from one to the other; USD, WAD, Up."""
    selected = []
    for each in _lists(prediction):
        found = _losses(prediction, exposures, each)
        measured = found.to_wei(select(found)) if found.units else 0
        selected.append(measured + _uncovered_loss(prediction, exposures, each))
    progress = progress_of(prediction.publication, prediction.active)
    return ramp.value_at(selected[0], selected[-1], progress) + _slack(exposures)


def _losses(
    prediction: Prediction, exposures: Sequence[Exposure], dates: _List
) -> shortfall.Losses:
    """Losses on the dates of a list in what it covers, in the units of all that is exposed."""
    place = prediction.basket.index
    covered = [x for x in exposures if x.pnl and _covers(prediction, dates.places, x.underlying)]
    return shortfall.losses(
        covered,
        [place(x.underlying) for x in covered],
        prediction.words[dates.dates],
        shortfall.exponent(exposures),
    )


def _uncovered_loss(prediction: Prediction, exposures: Sequence[Exposure], dates: _List) -> int:
    """Worst scenarios of what a list does not cover."""
    return sum(
        x.scenario_loss for x in exposures if not _covers(prediction, dates.places, x.underlying)
    )


def _parametric(prediction: Prediction, exposures: Sequence[Exposure]) -> int:
    p, place = prediction.parameters, prediction.basket.index

    def correlation(u: int, v: int) -> int:
        return prediction.correlations[place(u)][place(v)]

    return parametric.margin(exposures, correlation, p.correlation_width, p.single_asset_floor)


def _slack(exposures: Sequence[Exposure]) -> int:
    return sum(exposure.slack for exposure in exposures)
