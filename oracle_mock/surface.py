"""Volatility surfaces: SVI slices fitted to quotes and moved without arbitrage.

A slice gives total variance ``w(k) = a + b(rho(k - m) + sqrt((k - m)^2 + sigma^2))`` at log
moneyness ``k = ln(strike / forward)``; implied volatility is ``sqrt(w / tau)``.

Source: J. Gatheral and A. Jacquier, "Arbitrage-free SVI volatility surfaces" (2014).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import ndtr, ndtri

YEAR_SECONDS = 365 * 86_400
MAX_WING_SLOPE = 2.0
# Arbitrage is looked for as far out as this in log moneyness: it can hide far beyond any strike.
GRID_REACH = 25.0

# Least total variance anywhere over that at the money, of what we fit or repair: next to zero
# variance rounding decides what is arbitrage.
LEAST_VARIANCE_SHARE = 0.05

# Distances kept from arbitrage by fits and repairs, so that neither rounding, the contracts'
# included, nor the space between the points of a grid lets any in.
_FIT_DENSITY, _REPAIR_DENSITY = 1e-3, 1e-4
_FIT_RISE, _REPAIR_RISE = 1e-4, 1e-5
# A far quote has no vega, yet the wing should not be left to chance.
_LEAST_WEIGHT = 0.05
_MAX_LEAN = 0.999
_LEAST_SHARE = 1e-3
_BISECTIONS = 30

_FLOAT = NDArray[np.float64]


class ArbitrageError(ValueError):
    """A slice admits butterfly arbitrage, or a pair of slices calendar arbitrage."""


def black76(forward: float, strike: float, deviation: float, is_put: bool = False) -> float:
    """Undiscounted Black-76 value of an option.

    Parameters
    ----------
    forward, strike : float
        USD, above zero.
    deviation : float
        Implied volatility times the square root of time to expiry, >= 0.
    is_put : bool
        Put instead of call.

    Returns
    -------
    float
        USD per unit of the underlying.
    """
    if deviation == 0:
        return max(strike - forward if is_put else forward - strike, 0.0)
    d1 = np.log(forward / strike) / deviation + deviation / 2
    d2 = d1 - deviation
    if is_put:
        return float(strike * ndtr(-d2) - forward * ndtr(-d1))
    return float(forward * ndtr(d1) - strike * ndtr(d2))


def vega_weight(k: ArrayLike, deviation: ArrayLike) -> _FLOAT:
    """Vega relative to the largest possible: ``exp(-d1^2 / 2)``, in (0, 1]."""
    k, deviation = np.asarray(k, float), np.asarray(deviation, float)
    return np.exp(-((deviation / 2 - k / deviation) ** 2) / 2)


def delta_moneyness(call_delta: float, deviation: float) -> float:
    """Log moneyness at which a call has the undiscounted delta given, in (0, 1)."""
    return deviation**2 / 2 - deviation * float(ndtri(call_delta))


@dataclass(frozen=True)
class Svi:
    """Raw SVI parameters of one slice; all dimensionless."""

    a: float
    b: float
    rho: float
    m: float
    sigma: float

    def total_variance(self, k: ArrayLike) -> _FLOAT:
        """w(k)."""
        x = np.asarray(k, float) - self.m
        return self.a + self.b * (self.rho * x + np.sqrt(x * x + self.sigma**2))

    def volatility(self, k: ArrayLike, tau: float) -> _FLOAT:
        """Implied volatility at `k` for a time to expiry `tau` in years."""
        return np.sqrt(self.total_variance(k) / tau)

    @property
    def least_variance(self) -> float:
        """Minimum of w over all k."""
        return self.a + self.b * self.sigma * float(np.sqrt(1 - self.rho**2))

    @property
    def left_slope(self) -> float:
        """Limit of -w'(k) as k goes to minus infinity."""
        return self.b * (1 - self.rho)

    @property
    def right_slope(self) -> float:
        """Limit of w'(k) as k goes to infinity."""
        return self.b * (1 + self.rho)


def grid(svi: Svi, points: int = 801) -> _FLOAT:
    """Log moneyness dense around the vertex of a slice and reaching far beyond any strike."""
    reach = np.arcsinh(GRID_REACH / svi.sigma)
    return svi.m + svi.sigma * np.sinh(np.linspace(-reach, reach, points))


def durrleman(svi: Svi, k: ArrayLike) -> _FLOAT:
    """Durrleman's g(k); the density implied by a slice is g times a positive factor.

    ``g = (1 - k w'/(2w))^2 - w'^2/4 (1/w + 1/4) + w''/2``
    """
    k = np.asarray(k, float)
    x = k - svi.m
    root = np.sqrt(x * x + svi.sigma**2)
    w = svi.total_variance(k)
    first = svi.b * (svi.rho + x / root)
    second = svi.b * svi.sigma**2 / root**3
    return (1 - k * first / (2 * w)) ** 2 - first**2 / 4 * (1 / w + 0.25) + second / 2


def is_butterfly_free(svi: Svi, least_density: float = 0.0) -> bool:
    """Whether a slice implies a density.

    Positive variance, Lee's bound on the wings and g of at least `least_density`.
    """
    if svi.b < 0 or abs(svi.rho) >= 1 or svi.sigma <= 0 or svi.least_variance <= 0:
        return False
    if max(svi.left_slope, svi.right_slope) > MAX_WING_SLOPE:
        return False
    with np.errstate(all="ignore"):  # What is no number is no density either.
        return bool(durrleman(svi, grid(svi)).min() >= least_density)


def is_calendar_free(near: Svi, far: Svi, least_rise: float = 0.0) -> bool:
    """Whether total variance never falls from a slice to the next, wings to infinity included.

    With `least_rise` it must rise, everywhere, by that share at least.
    """
    factor = 1 + least_rise
    if far.left_slope < factor * near.left_slope or far.right_slope < factor * near.right_slope:
        return False
    k = np.concatenate([grid(near), grid(far)])
    return bool(np.all(far.total_variance(k) >= factor * near.total_variance(k)))


def require_arbitrage_free(slices: Sequence[Svi]) -> None:
    """Raise `ArbitrageError` unless slices, ordered by expiry, are free of static arbitrage."""
    for position, svi in enumerate(slices):
        if not is_butterfly_free(svi):
            raise ArbitrageError(f"butterfly arbitrage in slice {position}: {svi}")
        if position and not is_calendar_free(slices[position - 1], svi):
            raise ArbitrageError(f"calendar arbitrage before slice {position}: {svi}")


# --- fitting ---------------------------------------------------------------------------------


class FitError(NamedTuple):
    """Root mean square and largest error of a fit, in volatility (0.01 is one point)."""

    rms: float
    largest: float


def fit_error(svi: Svi, k: ArrayLike, volatility: ArrayLike, tau: float) -> FitError:
    """Unweighted error of a slice at quotes."""
    error = svi.volatility(k, tau) - np.asarray(volatility, float)
    return FitError(float(np.sqrt(np.mean(error**2))), float(np.abs(error).max()))


def _scaled(parameters: Sequence[float], deviation: float) -> Svi:
    """Slice from parameters in units of the at-the-money deviation (see `scale_level`)."""
    a, b, rho, m, sigma = (float(value) for value in parameters)
    return Svi(a * deviation**2, b * deviation, rho, m * deviation, sigma * deviation)


def _start(x: _FLOAT, variance: _FLOAT, weight: _FLOAT) -> _FLOAT:
    """Best of a coarse grid over (m, sigma); a, b and rho are linear once those are fixed.

    Source: Zeliade Systems, "Quasi-explicit calibration of Gatheral's SVI model" (2009).
    """
    best, best_error = None, np.inf
    for m in np.linspace(-1.5, 1.5, 13):
        for sigma in np.geomspace(0.2, 4, 9):
            design = np.stack([np.ones_like(x), x - m, np.hypot(x - m, sigma)], axis=1)
            root = np.sqrt(weight)
            solution = np.linalg.lstsq(design * root[:, None], variance * root, rcond=None)[0]
            a, slope, b = solution
            b = max(b, 1e-2)
            rho = np.clip(slope / b, -0.95, 0.95)
            candidate = np.array([a, b, rho, m, sigma])
            model = a + b * (rho * (x - m) + np.hypot(x - m, sigma))
            error = float(np.sum(weight * (model - variance) ** 2))
            if error < best_error:
                best, best_error = candidate, error
    return best


def _constraints(parameters: _FLOAT, deviation: float, ceiling: Svi | None) -> _FLOAT:
    """Values that must not be negative for an arbitrage-free slice below `ceiling`."""
    svi = _scaled(parameters, deviation)
    parts = [
        [svi.least_variance / deviation**2 - LEAST_VARIANCE_SHARE],
        [MAX_WING_SLOPE - svi.left_slope, MAX_WING_SLOPE - svi.right_slope],
    ]
    k = deviation * np.sinh(np.linspace(-4, 4, 61))
    parts.append(np.where(svi.total_variance(k) > 0, durrleman(svi, k) - _FIT_DENSITY, -1.0))
    if ceiling is not None:
        above = ceiling.total_variance(k) * (1 - _FIT_RISE)
        parts.append((above - svi.total_variance(k)) / deviation**2)
        slack = 1 - _FIT_RISE
        parts.append([slack * ceiling.left_slope - svi.left_slope])
        parts.append([slack * ceiling.right_slope - svi.right_slope])
    return np.concatenate(parts)


def fit_slice(k: ArrayLike, volatility: ArrayLike, tau: float, ceiling: Svi | None = None) -> Svi:
    """Fit one slice to quotes by vega-weighted least squares in volatility.

    Parameters
    ----------
    k : array_like, shape (n,)
        Log moneyness, on both sides of zero; at least five.
    volatility : array_like, shape (n,)
        Implied volatility per year.
    tau : float
        Years to expiry, above zero.
    ceiling : Svi, optional
        Slice of the next expiry, which the result must nowhere exceed.

    Returns
    -------
    Svi
        Free of butterfly arbitrage, and of calendar arbitrage against `ceiling`.

    Notes
    -----
    Minimises the squared error with the constraints by SLSQP. What the solver leaves violated, by
    its tolerance or between the points it looks at, `repair` removes.
    """
    k, volatility = np.asarray(k, float), np.asarray(volatility, float)
    order = np.argsort(k)
    deviation = float(np.interp(0, k[order], volatility[order])) * np.sqrt(tau)
    # In units of the at-the-money deviation slices of every expiry look alike.
    x, relative = k / deviation, volatility * np.sqrt(tau) / deviation
    weight = np.maximum(vega_weight(k, volatility * np.sqrt(tau)), _LEAST_WEIGHT)

    def error(parameters: _FLOAT) -> float:
        a, b, rho, m, sigma = parameters
        variance = a + b * (rho * (x - m) + np.hypot(x - m, sigma))
        model = np.sqrt(np.maximum(variance, 1e-6))
        return float(np.sum(weight * (model - relative) ** 2) / np.sum(weight))

    result = minimize(
        error,
        _start(x, relative**2, weight),
        method="SLSQP",
        bounds=[(-5, 5), (1e-3, 20), (-0.999, 0.999), (-4, 4), (0.02, 20)],
        constraints={"type": "ineq", "fun": _constraints, "args": (deviation, ceiling)},
        options={"maxiter": 500, "ftol": 1e-12},
    )
    return repair(_scaled(result.x, deviation), ceiling)


def fit_surface(quotes: Sequence[tuple[_FLOAT, _FLOAT, float]]) -> list[Svi]:
    """Fit slices to (k, volatility, tau) of each expiry, ordered by expiry.

    The last expiry is fitted first and each bounds the one before it: a far expiry has quotes
    far out, while the wing of a near one is free to give way.
    """
    slices: list[Svi] = []
    for k, volatility, tau in reversed(quotes):
        slices.insert(0, fit_slice(k, volatility, tau, slices[0] if slices else None))
    return slices


# --- moving ----------------------------------------------------------------------------------


def scale_level(svi: Svi, ratio: float) -> Svi:
    """Multiply at-the-money variance: ``w'(k) = ratio * w(k / sqrt(ratio))``.

    The smile keeps its shape as a function of moneyness counted in standard deviations. A ratio
    of at most 1 keeps a slice free of butterfly arbitrage and below itself.
    """
    root = float(np.sqrt(ratio))
    return Svi(svi.a * ratio, svi.b * root, svi.rho, svi.m * root, svi.sigma * root)


def tilt(svi: Svi, slope: float) -> Svi:
    """Add ``slope * k`` to total variance, as far as a slice can lean; w(0) stays as it is."""
    lean = float(np.clip(slope / svi.b, -_MAX_LEAN - svi.rho, _MAX_LEAN - svi.rho))
    return replace(svi, a=svi.a + lean * svi.b * svi.m, rho=svi.rho + lean)


def flatten(svi: Svi, share: float) -> Svi:
    """Keep a share of the smile: ``w'(k) = w(0) + share * (w(k) - w(0))``."""
    level = float(svi.total_variance(0.0))
    return replace(svi, a=level + share * (svi.a - level), b=svi.b * share)


def slope_through(svi: Svi, k: ArrayLike, variance: ArrayLike) -> float:
    """Slope by which `tilt` brings a slice closest (least squares) to total variances at `k`."""
    k = np.asarray(k, float)
    return float(np.sum(k * (variance - svi.total_variance(k))) / np.sum(k * k))


def repair(svi: Svi, ceiling: Svi | None = None) -> Svi:
    """Remove arbitrage with as little change as possible.

    Keeps the largest share of the smile (`flatten`) that is free of butterfly arbitrage and, with
    a `ceiling` (the next expiry), of calendar arbitrage. Where not even a flat slice fits under
    the ceiling, the slice takes the ceiling's shape, at a level of at most the ceiling's.
    """
    level = float(svi.total_variance(0.0))

    def is_good(share: float) -> bool:
        candidate = flatten(svi, share)
        high_enough = candidate.least_variance >= LEAST_VARIANCE_SHARE * level
        below = ceiling is None or is_calendar_free(candidate, ceiling, _REPAIR_RISE)
        return high_enough and below and is_butterfly_free(candidate, _REPAIR_DENSITY)

    if is_good(1.0):
        return svi
    if is_good(_LEAST_SHARE):
        low, high = _LEAST_SHARE, 1.0
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            low, high = (middle, high) if is_good(middle) else (low, middle)
        return flatten(svi, low)
    if ceiling is None:
        raise ArbitrageError(f"no smile around this level is free of arbitrage: {svi}")
    ratio = level / float(ceiling.total_variance(0.0))
    return scale_level(ceiling, min(ratio, 1 - _FIT_RISE))


def shift(slices: Sequence[Svi], ratios: ArrayLike, slopes: ArrayLike) -> list[Svi]:
    """Move slices, ordered by expiry, by level and skew; the result is free of arbitrage.

    Parameters
    ----------
    slices : sequence of Svi, length n
    ratios : array_like, shape (n,)
        Factor on each slice's variance at the money, above zero.
    slopes : array_like, shape (n,)
        Slope to add to each slice's total variance thereafter (`tilt`); negative raises puts.

    Returns
    -------
    list of Svi
        At-the-money variance is as asked for unless that itself is calendar arbitrage; skew is as
        asked for as far as arbitrage allows (`repair`).
    """
    moved: list[Svi] = []
    for svi, ratio, slope in reversed(list(zip(slices, ratios, slopes, strict=True))):
        wanted = tilt(scale_level(svi, float(ratio)), float(slope))
        moved.insert(0, repair(wanted, moved[0] if moved else None))
    return moved
