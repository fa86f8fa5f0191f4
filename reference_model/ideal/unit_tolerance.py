"""What rounding may do to one unit of an instrument, by the derivation in `tolerance`."""

from typing import NamedTuple

import numpy as np

from reference_model.ideal import black76, scenarios

EPS = float(np.finfo(np.float64).eps)
WEI = 1e-18
KERNEL_ROUNDING = 1000 * EPS
VARIANCE_ERROR = 2.0**-60
DEVIATION_STEP = 2.0**-50 / 10


class PerUnit(NamedTuple):
    """Allowance per unit of size, USD, shape (instruments,)."""

    magnitude: np.ndarray
    value: np.ndarray
    pnl: np.ndarray
    delta: np.ndarray


class Inputs(NamedTuple):
    """Log-moneyness and total deviation, and errors of both; each of shape (instruments,)."""

    moneyness: np.ndarray
    deviation: np.ndarray
    moneyness_error: np.ndarray
    deviation_error: np.ndarray


def sums(index, values, shape):
    """Sum of the values by flat index into an array of the given shape, float64."""
    total = np.bincount(index, values, int(np.prod(shape)))
    return total.astype(np.float64, copy=False).reshape(shape)


class Cells:
    """Sums of entries by account and underlying."""

    def __init__(self, portfolios, risk):
        self.instrument = portfolios.instrument
        self.shape = len(portfolios.cash), len(risk.bucket_time)
        self.cell = portfolios.account * self.shape[1] + risk.underlying[self.instrument]

    def total(self, weight, per_unit):
        """``Σ weight_e · per_unit[instrument_e]``, shape (p, u)."""
        terms = per_unit.take(self.instrument)
        terms *= weight
        return sums(self.cell, terms, self.shape)


def per_unit(market, instruments, risk):
    """Allowances of each instrument."""
    terms = scenarios.find_terms(market, instruments)
    largest_move = np.maximum(scenarios.moves(market).max(axis=0, initial=1), 1)
    settled = terms.settlement_price + instruments.strike
    price = np.where(terms.settled, settled, terms.price)
    linear = 8 * EPS * price
    given = inputs(market, instruments, terms)
    kernel_error = scenarios.error_rate(market, instruments, terms)
    largest_vol_move = market.scenarios.vol_move.max(initial=0)
    present = kernel_error + _of_call(given)
    shocked = kernel_error + of_change(market, instruments, terms, largest_move, largest_vol_move)
    option, notional = risk.is_live_option, risk.notional
    parity = 8 * EPS * instruments.strike * terms.discount
    delta = kernel_error + KERNEL_ROUNDING + of_delta(*given)
    return PerUnit(
        np.where(option, notional, price),
        np.where(option, notional * present + parity, linear) + WEI,
        np.where(option, notional * shocked, linear * largest_move[terms.underlying]),
        np.where(option, notional * delta, linear),
    )


def of_change(market, instruments, terms, largest_move, largest_vol_move):
    """Allowance of a call's change per unit of notional, without the kernel's own error.

    Parameters
    ----------
    largest_move : ndarray of float64, shape (underlyings,)
        At least 1.
    largest_vol_move : float
        In vol ranges.
    """
    given = inputs(market, instruments, terms)
    tau = np.where(terms.live, instruments.expiry - market.now, 1.0)
    vol_range = market.underlyings.vol_range[terms.underlying]
    multiplier = scenarios.vol_multiplier(largest_vol_move, vol_range, tau, market.parameters)
    shocked = _of_call(given, np.maximum(multiplier, 1.0))
    return _of_call(given) + largest_move[terms.underlying] * shocked


def _of_call(given, multiplier=1.0):
    return KERNEL_ROUNDING + given.moneyness_error + 0.4 * multiplier * given.deviation_error


def inputs(market, instruments, terms):
    """What the kernel is given, with the errors of a float; see `Inputs`."""
    x = np.log(terms.price / instruments.strike)
    s, _ = scenarios.deviations(market, instruments, terms, -x, market.scenarios.vol_move)
    a, b, rho, m, sigma = market.slices.svi[terms.slice].T
    wing = np.abs(x) + np.abs(m)
    terms_of_w = np.abs(a) + b * ((1 + np.abs(rho)) * wing + sigma)
    error = 8 * EPS * (terms_of_w + 2 * b) + VARIANCE_ERROR
    error = np.where(terms.live, error, 0.0)
    deviation_error = DEVIATION_STEP + np.minimum(np.sqrt(error), error / np.maximum(s, 1e-300))
    return Inputs(x, s, EPS * (2 + np.abs(x)), deviation_error)


def of_delta(x, s, moneyness_error, deviation_error):
    """``|δΦ(d1)|``; at deviation 0 it is a step at the money."""
    safe = np.maximum(s, 1e-300)
    d1 = black76.d1(x, safe)
    density = np.exp(-np.square(np.maximum(np.abs(d1) - 1, 0)) / 2)
    smooth = density * (moneyness_error + np.abs(d1 - safe) * deviation_error) / safe
    step = np.where(np.abs(x) <= 2 * moneyness_error, 1.0, 0.0)
    return np.where(s > 0, np.minimum(smooth, 1.0), step)
