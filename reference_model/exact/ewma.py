"""Exponentially weighted variances and covariances, with returns cut to a bound.

Covariances are per year, X40; returns are logarithms, X64; times are seconds of active time.

Source: specification, Market data, section 7.
"""

from reference_model.exact.fixed_point import clamp, div_to_zero, sqrt
from reference_model.exact.transcendental import exp_x64
from reference_model.types import DAY, WAD, YEAR

ONE_X64 = 2**64
ONE_X40 = 2**40
MIN_VARIANCE_X40 = ONE_X40 // 400
MAX_COVARIANCE_X40 = 2**63 - 1


def variance_of(annual_volatility: int) -> int:
    """Variance of a volatility given in WAD; X40, Down."""
    return max(MIN_VARIANCE_X40, annual_volatility**2 * ONE_X40 // WAD**2)


def bound_x64(variance_x40: int, elapsed_seconds: int, max_deviation: int) -> int:
    """Greatest return that counts: `max_deviation` (WAD) standard deviations of that time."""
    deviation_x64 = sqrt((variance_x40 << 88) * elapsed_seconds // YEAR)
    return max_deviation * deviation_x64 // WAD


def winsorised(return_x64: int, variance_x40: int, max_deviation: int, elapsed_seconds: int) -> int:
    """Return a return cut to its bound, either way."""
    bound = bound_x64(variance_x40, elapsed_seconds, max_deviation)
    return clamp(return_x64, -bound, bound)


def weight_x64(elapsed_seconds: int, decay_seconds: int) -> int:
    """Weight of what happened in that time: ``1 − e^(−Δ/τ)``; X64."""
    return ONE_X64 - exp_x64(-(elapsed_seconds * ONE_X64 // decay_seconds))


def update(
    covariance_x40: int,
    return_i_x64: int,
    return_j_x64: int,
    elapsed_seconds: int,
    decay_seconds: int,
) -> int:
    """Covariance after a pair of returns over the same time.

    Formula: ``c + w·(x − c)`` with ``w = 1 − e^(−Δ/τ)`` and ``x = r_i·r_j·YEAR/Δ``, floors.
    """
    weight = weight_x64(elapsed_seconds, decay_seconds)
    sample_x40 = return_i_x64 * return_j_x64 * YEAR // (elapsed_seconds << 88)
    updated = covariance_x40 + (weight * (sample_x40 - covariance_x40) >> 64)
    return clamp(updated, -MAX_COVARIANCE_X40, MAX_COVARIANCE_X40)


def update_variance(
    variance_x40: int, return_x64: int, elapsed_seconds: int, decay_seconds: int
) -> int:
    """Variance after a return; never below `MIN_VARIANCE_X40`."""
    updated = update(variance_x40, return_x64, return_x64, elapsed_seconds, decay_seconds)
    return max(MIN_VARIANCE_X40, updated)


def daily_deviation(variance_x40: int) -> int:
    """Standard deviation of a day's return; WAD, Down."""
    return sqrt((variance_x40 << 88) * DAY // YEAR) * WAD // ONE_X64


def correlation(covariance_x40: int, v_i_x40: int, v_j_x40: int) -> int:
    """Correlation of two variances and their covariance; WAD in [−1, 1], ToZero."""
    return clamp(div_to_zero(covariance_x40, sqrt(v_i_x40 * v_j_x40)), -WAD, WAD)
