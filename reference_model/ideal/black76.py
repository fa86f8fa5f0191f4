"""Black-76: value and Greeks of European options on a forward, vectorised.

Everything is a function of the total deviation ``s = σ·√τ``, so there is no time and no rate in
here. All arguments broadcast; all results are float64.

Source: specification, section 8 and Mathematics (kernel); F. Black, "The pricing of commodity
contracts" (1976); P. Jäckel, "Let's be rational" (2013), for the out-of-the-money form.
"""

import numpy as np
from scipy.special import erfcx, ndtr

SQRT_HALF = np.sqrt(0.5)
INV_SQRT_2PI = 1 / np.sqrt(2 * np.pi)


def kernel(log_moneyness, deviation, log_move=0.0):
    """Value of a call per unit of discounted present forward, after a relative move of it.

    Parameters
    ----------
    log_moneyness : array_like of float64
        ``ln(F/K)``, present forward over strike.
    deviation : array_like of float64
        Total deviation s ≥ 0 after the move, at most 64.
    log_move : array_like of float64
        ``ℓ = ln(F'/F)``.

    Returns
    -------
    ndarray of float64
        ``c = m·Φ(d1) − (K/F)·Φ(d2)`` with ``m = e^ℓ``, ``d1 = (ln(F/K) + ℓ)/s + s/2`` and
        ``d2 = d1 − s``; ``max(0, m − K/F)`` at s = 0. In [0, m].

    Notes
    -----
    The out-of-the-money part is evaluated as one difference of scaled complementary error
    functions, which keeps its relative accuracy in the tails; the intrinsic value is added.
    """
    moneyness = np.asarray(log_moneyness) + log_move
    out = np.exp((log_move - log_moneyness) / 2) * _normalised_otm(-np.abs(moneyness), deviation)
    return out + np.where(moneyness > 0, np.exp(log_move) - np.exp(-np.asarray(log_moneyness)), 0.0)


def _normalised_otm(moneyness, deviation):
    """Call value over ``√(F·K)`` for ``moneyness = ln(F/K)`` ≤ 0; zero at deviation 0."""
    alive = np.asarray(deviation) > 0
    s = np.where(alive, deviation, 1.0)
    h, t = _ratio(moneyness, s), s / 2
    scale = np.exp(-(h * h + t * t) / 2) / 2
    value = scale * (erfcx(-(h + t) * SQRT_HALF) - erfcx((t - h) * SQRT_HALF))
    return np.where(alive, np.maximum(value, 0.0), 0.0)


def _ratio(moneyness, s):
    """``moneyness / s`` kept within ±1e9, beyond which every tail is zero anyway."""
    with np.errstate(over="ignore"):
        return np.clip(np.asarray(moneyness) / s, -1e9, 1e9)


def d1(log_moneyness, deviation):
    """``d1 = ln(F/K)/s + s/2``; at s = 0 it is +∞ in the money and −∞ otherwise."""
    alive = np.asarray(deviation) > 0
    s = np.where(alive, deviation, 1.0)
    at_zero = np.where(np.asarray(log_moneyness) > 0, np.inf, -np.inf)
    return np.where(alive, _ratio(log_moneyness, s) + s / 2, at_zero)


def call_delta(log_moneyness, deviation):
    """``Φ(d1)``: derivative of the undiscounted call by the forward; 0 or 1 at s = 0."""
    return ndtr(d1(log_moneyness, deviation))


def value(forward, strike, deviation, is_put=False, discount=1.0):
    """Present value of one option, USD.

    Parameters
    ----------
    forward, strike : array_like of float64
        USD, above zero.
    deviation : array_like of float64
        Total deviation s ≥ 0.
    is_put : array_like of bool
    discount : array_like of float64
        Discount factor D in (0, 1].

    Returns
    -------
    ndarray of float64
        ``D·(F·Φ(d1) − K·Φ(d2))`` for a call, ``D·(K·Φ(−d2) − F·Φ(−d1))`` for a put.
    """
    forward, strike = np.asarray(forward, float), np.asarray(strike, float)
    moneyness = np.log(forward / strike)
    out = np.sqrt(forward * strike) * _normalised_otm(-np.abs(moneyness), deviation)
    intrinsic = np.where(is_put, strike - forward, forward - strike)
    return discount * (out + np.maximum(intrinsic, 0.0))


def delta(forward, strike, deviation, is_put=False, discount=1.0):
    """Differentiate `value` by the forward: ``D·Φ(d1)``, less D for a put. In [−1, 1]."""
    x = np.log(np.asarray(forward, float) / strike)
    return discount * np.where(is_put, -ndtr(-d1(x, deviation)), call_delta(x, deviation))


def gamma(forward, strike, deviation, discount=1.0):
    """Differentiate `value` twice by the forward, 1/USD: ``D·φ(d1)/(F·s)``. Not at s = 0."""
    x = np.log(np.asarray(forward, float) / strike)
    return discount * _density(d1(x, deviation)) / (np.asarray(forward) * deviation)


def vega(forward, strike, deviation, discount=1.0):
    """Differentiate `value` by the total deviation, USD: ``D·F·φ(d1)``.

    The derivative by the annual volatility is this times √τ.
    """
    x = np.log(np.asarray(forward, float) / strike)
    return discount * np.asarray(forward) * _density(d1(x, deviation))


def _density(x):
    """Evaluate the standard normal density."""
    return INV_SQRT_2PI * np.exp(-np.square(x) / 2)
