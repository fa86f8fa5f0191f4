"""SVI slices: total variance by log-moneyness, and the conditions of no static arbitrage.

A slice is five numbers ``(a, b, ρ, m, σ)`` in the last axis of an array. ``k = ln(K/F)``.

Source: specification, Mathematics (SVI); J. Gatheral and A. Jacquier, "Arbitrage-free SVI
volatility surfaces" (2014).
"""

import numpy as np

# Fields of a packed slice, lowest first: bits, binary places, signed.
FIELDS = ((64, 56, True), (64, 56, False), (32, 30, True), (48, 40, True), (48, 40, False))


def unpack(word):
    """Return ``(a, b, ρ, m, σ)`` of a packed slice, floats."""
    values = []
    for bits, places, signed in FIELDS:
        field, word = word & (1 << bits) - 1, word >> bits
        negative = signed and field >> bits - 1
        values.append((field - (negative << bits)) / 2**places)
    return values


def total_variance(slices, log_strike):
    """``w(k) = a + b·(ρ·(k − m) + √((k − m)² + σ²))``.

    Parameters
    ----------
    slices : ndarray of float64, shape (..., 5)
        Columns a, b, ρ, m, σ.
    log_strike : array_like of float64
        ``k = ln(K/F)``; broadcasts against ``slices[..., 0]``.

    Returns
    -------
    ndarray of float64
        Total implied variance σ_imp²·τ; negative only if the slice is not admissible.
    """
    a, b, rho, m, sigma = np.moveaxis(np.asarray(slices, float), -1, 0)
    x = log_strike - m
    return a + b * (rho * x + np.hypot(x, sigma))


def total_deviation(slices, log_strike):
    """``s = √max(w, 0)``, the deviation that `black76` takes."""
    return np.sqrt(np.maximum(total_variance(slices, log_strike), 0.0))


def implied_vol(slices, log_strike, tau_years):
    """Annual implied volatility ``√(w/τ)``; τ in years of 365 days, above zero."""
    return total_deviation(slices, log_strike) / np.sqrt(tau_years)


def density_factor(slices, log_strike):
    """Durrleman's function g(k); the slice has no butterfly arbitrage where it is ≥ 0.

    ``g = (1 − k·w'/(2w))² − (w'²/4)·(1/w + 1/4) + w''/2``, where w > 0.
    """
    _, b, rho, m, sigma = np.moveaxis(np.asarray(slices, float), -1, 0)
    x = log_strike - m
    root = np.hypot(x, sigma)
    w = total_variance(slices, log_strike)
    first = b * (rho + x / root)
    second = b * sigma**2 / root**3
    skew = 1 - log_strike * first / (2 * w)
    return skew**2 - first**2 / 4 * (1 / w + 0.25) + second / 2


def free_of_butterflies(slices, log_strikes):
    """Whether ``w > 0`` and ``g ≥ 0`` at every log-strike of a grid, per slice."""
    each = np.asarray(slices, float)[..., None, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        no_arbitrage = density_factor(each, log_strikes) >= 0
    return np.all(no_arbitrage & (total_variance(each, log_strikes) > 0), axis=-1)


def free_of_calendars(near, far, log_strikes):
    """Whether total variance does not fall from the nearer to the farther slice on a grid."""
    w_near = total_variance(np.asarray(near, float)[..., None, :], log_strikes)
    w_far = total_variance(np.asarray(far, float)[..., None, :], log_strikes)
    return np.all(w_far >= w_near, axis=-1)
