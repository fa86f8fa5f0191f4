"""The ideal layer against published prices and margins."""

import json
from pathlib import Path

import numpy as np
import pytest
from model.ideal_market import BTC, DAY, NOW, PARAMETERS, books, grid, market

from reference_model.ideal import black76, margin, scenarios
from reference_model.ideal.market import Scenarios

PUBLISHED = json.loads((Path(__file__).parents[1] / "vectors/published.json").read_text())


def black_inputs(row):
    """Forward, strike, deviation, is put, discount of a published Black-Scholes case."""
    t = row["t_years"]
    forward = row["spot"] * np.exp((row["rate"] - row["dividend_yield"]) * t)
    discount = np.exp(-row["rate"] * t)
    return forward, row["strike"], row["vol"] * np.sqrt(t), row["type"] == "put", discount


@pytest.mark.parametrize("row", PUBLISHED["black_scholes"]["values"])
def test_values_of_haug(row):
    assert black76.value(*black_inputs(row)) == pytest.approx(row["expected"], abs=row["tol"])


@pytest.mark.parametrize("row", PUBLISHED["black_scholes"]["greeks"])
def test_greeks_of_haug(row):
    forward, strike, deviation, is_put, discount = black_inputs(row)
    per_spot = forward / row["spot"]
    greek = {
        "delta": lambda: per_spot * black76.delta(forward, strike, deviation, is_put, discount),
        "gamma": lambda: per_spot**2 * black76.gamma(forward, strike, deviation, discount),
        "vega": lambda: (
            np.sqrt(row["t_years"]) * black76.vega(forward, strike, deviation, discount)
        ),
    }[row["greek"]]()
    assert greek == pytest.approx(row["expected"], abs=6e-5)


@pytest.mark.parametrize(("days", "move", "multiplier"), PUBLISHED["vol_shock"]["rows"])
def test_vol_shock_by_time_to_expiry(days, move, multiplier):
    got = scenarios.vol_multiplier(1.0, move, days * DAY, PARAMETERS)
    assert got == pytest.approx(multiplier, abs=5e-5)


def test_vol_shock_stops_growing_below_one_day():
    shocks = scenarios.vol_multiplier(1.0, 0.4, np.array([1, 3600, DAY]), PARAMETERS)
    assert shocks == pytest.approx(2.1097, abs=5e-5)


def test_largest_loss_of_published_risk_arrays():
    """SPAN's arrays in place of our own prices: selection and netting of the largest loss."""
    arrays = PUBLISHED["risk_array"]
    here, pnl = market(), np.array([arrays["long_future"], arrays["long_call"]], float).T
    here = here._replace(scenarios=Scenarios(np.zeros(16), np.zeros(16), np.ones(16)))
    rows = np.zeros(2, np.int64)
    risk = scenarios.InstrumentRisk(
        rows,
        rows,
        np.zeros(2),
        np.zeros(2),
        np.zeros(2),
        np.zeros(2, bool),
        np.zeros(2),
        np.zeros(2),
        pnl,
        -pnl.min(axis=0),
        pnl.max(axis=0),
        np.zeros((3, 1)),
    )
    result = margin.margin(here, risk, books(here, [[1, 0], [0, 1], [1, -1]]), True)
    netted, worst = result.underlyings.netted[:, :, 0], result.underlyings.worst_loss[:, 0]
    assert netted[:, 2].tolist() == arrays["covered_write"]
    names = ("long_future_requirement", "long_call_requirement", "covered_write_requirement")
    assert worst.tolist() == [arrays[name] for name in names]
    assert result.underlyings.binding_scenario[:, 0].tolist() == [12, 13, 12]
    assert result.underlyings.isolated_loss[2, 0] == 10_000 + 8_060


def deviation_of(forward, strike, premium, is_put):
    """Total deviation at which the option is worth its premium, by bisection."""
    low, high = 1e-4, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if black76.value(forward, strike, middle, is_put) < premium:
            low = middle
        else:
            high = middle
    return low


@pytest.mark.parametrize(
    ("name", "shares", "legs", "expected", "tolerance"), PUBLISHED["strategies"]["rows"]
)
def test_portfolio_margin_of_cboe_strategies(name, shares, legs, expected, tolerance):
    forward = 100 + 1.68 - 3.18  # put-call parity at the 100 strike
    x = np.linspace(-1, 1, 11)
    here = market(Scenarios(x, np.zeros(11), np.ones(11)), scan_range=0.15, vol_floor=0)
    moved = scenarios.moves(here)[:, 0]
    pnl = shares * PUBLISHED["strategies"]["spot"] * (moved - 1)
    for contracts, strike, premium, is_put in legs:
        deviation = deviation_of(forward, strike, premium, is_put)
        after = black76.value(forward * moved, strike, deviation, is_put)
        pnl += contracts * 100 * (after - premium)
    assert -pnl.min() == pytest.approx(expected, rel=tolerance), name


def test_extreme_moves_carry_their_weight():
    """A long future of 100,000 loses the same at four ranges, weighted a quarter, as at one."""
    here = market(grid())
    assert here.underlyings.underlying[0] == BTC and here.now == NOW
    weighted = here.scenarios.weight[:, None] * (scenarios.moves(here) - 1)
    assert weighted[7, 0] == pytest.approx(-0.25 * 4 * 0.15)
    assert weighted[10, 0] == pytest.approx(0.25 * 4 * 0.15)
