"""The volatility estimator as a state machine over integers.

Beside its variance every underlying has a deviation that follows it at a bounded pace.
Volatilities are WAD per year, covariances X40 per year, prices WAD, times seconds; sampling counts
active time. A refusal is a `ModelError` and leaves the state as it was.

Source: specification, Market data, section 7; Predictive margin, 3.
"""

from collections.abc import Callable
from typing import NamedTuple

from reference_model.exact import ewma, scan_range
from reference_model.exact.errors import (
    AlreadyInBasket,
    BasketFull,
    MissingPrice,
    NotInBasket,
    SampleTooEarly,
)
from reference_model.exact.events import Event
from reference_model.exact.parameters import require_in_range
from reference_model.exact.transcendental import ln_ratio_x64
from reference_model.types import DAY, WAD, YEAR

MAX_UNDERLYINGS = 8
HOUR_SECONDS = 3_600
USUAL_RATES = WAD // 4, WAD // 200


class EstimatorParameters(NamedTuple):
    """How often, with what memory, and how many standard deviations (WAD) of a return count."""

    interval_seconds: int = HOUR_SECONDS
    decay_seconds: int = 10 * DAY
    max_deviation: int = 6 * WAD


class Anchor(NamedTuple):
    """Price and active time of an underlying's last fresh sample."""

    price: int
    active_at: int


class MovingDeviation(NamedTuple):
    """Standard deviation of a day: where it was, where it goes (WAD), and since when (active)."""

    deviation: int
    target: int
    moved_at: int


class _Return(NamedTuple):
    elapsed_seconds: int
    return_x64: int


class VolatilityEstimator:
    """Variances and covariances of a basket.

    Parameters
    ----------
    spot : callable
        Takes an underlying; returns what ``IMarketData.spot`` does or raises `MissingPrice`.
    rates : callable, optional
        Returns `rise_rate` and `fall_rate` in force, WAD per hour.

    Attributes
    ----------
    basket : list of int
        Underlyings in the order in which they came.
    covariances_x40 : dict
        By places (i, j) in the basket, i ≤ j.
    anchors : dict
        By place in the basket.
    moving : dict
        Moving deviation by place in the basket.
    sampled_at : int
        Active time.
    events : list of Event
        All that was emitted.
    """

    def __init__(
        self,
        spot: Callable[[int], tuple[int, int, int, int, int]],
        rates: Callable[[], tuple[int, int]] = lambda: USUAL_RATES,
    ) -> None:
        self._spot = spot
        self._rates = rates
        self.parameters = EstimatorParameters()
        self.basket: list[int] = []
        self.covariances_x40: dict[tuple[int, int], int] = {}
        self.anchors: dict[int, Anchor] = {}
        self.moving: dict[int, MovingDeviation] = {}
        self.sampled_at = 0
        self.events: list[Event] = []

    def add_underlying(self, underlying: int, annual_volatility: int, active: int = 0) -> None:
        """Take an underlying into the basket at an active time, without correlation to others.

        Raises
        ------
        ParameterOutOfRange, AlreadyInBasket, BasketFull
        """
        require_in_range("annualVolatility", annual_volatility, WAD // 20, 5 * WAD)
        if underlying in self.basket:
            raise AlreadyInBasket(underlying)
        if len(self.basket) == MAX_UNDERLYINGS:
            raise BasketFull(MAX_UNDERLYINGS)
        place = len(self.basket)
        self.basket.append(underlying)
        self.covariances_x40 |= {(i, place): 0 for i in range(place)}
        self.covariances_x40[place, place] = ewma.variance_of(annual_volatility)
        deviation = ewma.daily_deviation(self._variance_x40(place))
        self.moving[place] = MovingDeviation(deviation, deviation, active)
        self.events.append(Event("UnderlyingAdded", (underlying, annual_volatility)))

    def set_estimator(self, parameters: EstimatorParameters) -> None:
        """Sample at another pace or with another memory.

        Raises
        ------
        ParameterOutOfRange
        """
        interval_seconds, decay_seconds, max_deviation = parameters
        require_in_range("intervalSeconds", interval_seconds, 60, DAY)
        require_in_range("decaySeconds", decay_seconds, DAY, YEAR)
        require_in_range("maxDeviation", max_deviation, 2 * WAD, 20 * WAD)
        self.events.append(Event("EstimatorSet", (*self.parameters, *parameters)))
        self.parameters = parameters

    def sample(self, now: int, active: int) -> list[tuple[int, int]]:
        """Take in the present prices.

        Parameters
        ----------
        now, active : int
            Time and active time of the block.

        Returns
        -------
        list of tuple of int
            Underlying and standard deviation of its daily return (WAD), for each that had a
            return: what ``moveScanRange`` is given.

        Raises
        ------
        SampleTooEarly
        """
        earliest = self.sampled_at + self.parameters.interval_seconds
        if active < earliest:
            raise SampleTooEarly(active, earliest)
        self.sampled_at = active
        returns = {
            place: found
            for place, underlying in enumerate(self.basket)
            if (found := self._return(place, underlying, now, active)) is not None
        }
        for (i, j), covariance in self.covariances_x40.items():
            if i in returns and j in returns:
                self.covariances_x40[i, j] = self._updated(
                    i == j, covariance, returns[i], returns[j]
                )
        targets = {i: ewma.daily_deviation(self._variance_x40(i)) for i in returns}
        for i, target in targets.items():
            self.moving[i] = MovingDeviation(self._deviation(i, active), target, active)
        self.events.append(Event("Sampled", (active, self.packed_covariances())))
        return [(self.basket[i], target) for i, target in targets.items()]

    def _return(self, place: int, underlying: int, now: int, active: int) -> _Return | None:
        """Bounded return since the anchor, which moves here; None if the price is not fresh."""
        try:
            price, _, _, _, timestamp = self._spot(underlying)
        except MissingPrice:
            return None
        if timestamp == 0 or now > timestamp + self.parameters.interval_seconds:
            return None
        anchor = self.anchors.get(place)
        self.anchors[place] = Anchor(price, active)
        if anchor is None:
            return None
        elapsed = active - anchor.active_at
        variance = self._variance_x40(place)
        moved = ln_ratio_x64(price, anchor.price)
        return _Return(
            elapsed, ewma.winsorised(moved, variance, self.parameters.max_deviation, elapsed)
        )

    def _updated(self, is_variance: bool, covariance: int, of_i: _Return, of_j: _Return) -> int:
        """Covariance after two returns; as it was if they are of different lengths."""
        if of_i.elapsed_seconds != of_j.elapsed_seconds:
            return covariance
        elapsed, decay = of_i.elapsed_seconds, self.parameters.decay_seconds
        if is_variance:
            return ewma.update_variance(covariance, of_i.return_x64, elapsed, decay)
        return ewma.update(covariance, of_i.return_x64, of_j.return_x64, elapsed, decay)

    def _variance_x40(self, place: int) -> int:
        return self.covariances_x40[place, place]

    # -------------------------------------------------------------------------------------- reading

    def variance(self, underlying: int) -> int:
        """Annual variance; WAD, Down."""
        return self.covariance(underlying, underlying)

    def covariance(self, u: int, v: int) -> int:
        """Annual covariance of two underlyings; WAD, Down.

        Raises
        ------
        NotInBasket
        """
        return self._covariance_x40(u, v) * WAD // ewma.ONE_X40

    def correlation(self, u: int, v: int) -> int:
        """Correlation of two underlyings; WAD in [−1, 1], ToZero."""
        variances = self._covariance_x40(u, u), self._covariance_x40(v, v)
        return ewma.correlation(self._covariance_x40(u, v), *variances)

    def deviations(self, underlying: int, active: int) -> tuple[int, int]:
        """Standard deviation of a day at an active time, for maintenance and initial margin; WAD.

        Raises
        ------
        NotInBasket
        """
        place = self._place(underlying)
        deviation = self._deviation(place, active)
        return deviation, max(deviation, self.moving[place].target)

    def _deviation(self, place: int, active: int) -> int:
        deviation, target, moved_at = self.moving[place]
        return scan_range.moved(deviation, target, active - moved_at, *self._rates())

    def packed_covariances(self) -> tuple[int, ...]:
        """Covariances X40 of all 36 pairs of places, row i, j ≥ i."""
        places = range(MAX_UNDERLYINGS)
        return tuple(self.covariances_x40.get((i, j), 0) for i in places for j in places[i:])

    def _covariance_x40(self, u: int, v: int) -> int:
        i, j = sorted((self._place(u), self._place(v)))
        return self.covariances_x40[i, j]

    def _place(self, underlying: int) -> int:
        if underlying not in self.basket:
            raise NotInBasket(underlying)
        return self.basket.index(underlying)
