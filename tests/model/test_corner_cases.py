"""Where the rules of other engines break, and figures they publish: the three generations on them.

Source: ``tests/vectors/corner_cases.json`` names each.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from model.ideal_market import BTC, DAY, ETH, NOW, books, grid, instruments, market, priced
from model.test_coherence import GENERATIONS, requirements
from model.test_ideal_predictive import given, sizes_of
from scipy.special import ndtri

from reference_model import vectors
from reference_model.ideal import black76, margin, scenarios
from reference_model.ideal.instruments import Instruments, Kind
from reference_model.ideal.market import BLANK, Scenarios, Slices

CASES = json.loads((Path(__file__).parents[1] / "vectors/corner_cases.json").read_text())
EVERY = pytest.mark.parametrize("generation", GENERATIONS)


@pytest.fixture
def rng():
    return np.random.default_rng(63)


# Credits -----------------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_a_spread_is_never_credited_more_than_its_legs_are_charged(rng, generation, side):
    """Spot at 100 against a perpetual at 130: a credit off the mean price exceeded the charge."""
    case = CASES["spread_credit"]
    legs = case["spot_price"], case["perpetual_price"]
    charge = (1 - case["spot_weight"]) * legs[0] + (1 - case["perpetual_weight"]) * legs[1]
    assert charge == pytest.approx(case["charge"]) and case["credit"] > charge
    here = market()
    here = here._replace(
        predictive=given(rng),
        underlyings=here.underlyings._replace(
            index=np.array([legs[0], 3_000.0, 150.0]), mark=np.array([legs[1], 3_000.0, 150.0])
        ),
    )
    perpetual = sizes_of(here, {(BTC, Kind.PERPETUAL, 0): -side})
    future = sizes_of(here, {(BTC, Kind.FUTURE, 0): side})
    spot = np.array([[side, 0, 0, 0]]) if side > 0 else np.zeros((1, 4))
    hedge = np.zeros(len(perpetual)) if side > 0 else future
    spread = requirements(here, perpetual + hedge, collateral=spot)[generation][:, 0]
    short = requirements(here, perpetual)[generation][:, 0]
    long = requirements(here, hedge, collateral=spot)[generation][:, 0]
    credit = short + long - spread
    assert np.all(spread > 0)
    assert np.all(credit < short + long)
    if generation != "isolated":
        assert np.all(credit > 0)


@EVERY
def test_a_loss_is_offset_only_once(rng, generation):
    """One long against two shorts that each would offset it: inter-commodity credits of SPAN.

    What is saved is at most twice the smaller side, shares of it as groups allow.
    """
    here = market(concentration_rate=0, basis_rate=0, decorrelation=0.3)
    here = here._replace(predictive=given(rng))
    mark = here.underlyings.mark
    names = [(BTC, Kind.PERPETUAL, 0), (ETH, Kind.PERPETUAL, 0)]
    long = sizes_of(here, {names[0]: 1e5 / mark[0]})
    other = sizes_of(here, {names[1]: -8e4 / mark[1]})
    again = sizes_of(here, {(ETH, Kind.FUTURE, 0): -8e4 / 3_000})

    def needed(*legs):
        return requirements(here, sum(legs))[generation][:, 0]

    apart = needed(long) + needed(other) + needed(again)
    credit = apart - needed(long, other, again)
    smaller = np.minimum(needed(long), needed(other) + needed(again))
    assert np.all(credit <= 2 * smaller + 1e-9)
    # Between the two shorts there is none, whichever of them the long is set against first.
    assert needed(other, again) == pytest.approx(needed(other) + needed(again), rel=1e-9)


# Options -----------------------------------------------------------------------------------------


@EVERY
def test_a_short_option_is_charged_however_far_out_of_the_money(rng, generation):
    here = market()._replace(predictive=given(rng))
    listed = instruments(here)
    far = np.array([NOW + 7 * DAY]), np.array([Kind.CALL]), np.array([60_000 * 1e4])
    chosen = Instruments(np.array([BTC]), *far)
    assert NOW + 7 * DAY in listed.expiry
    risk = scenarios.price(here, chosen)
    assert risk.value[0] < 1e-9
    found = requirements(here, [[-1.0]], risk)[generation]
    assert np.all(found >= 0.005 * 60_000)


def put_spread(rng):
    """Both puts in a market where the spread is worth what was published."""
    case, days = CASES["put_spread"], 25
    index, strikes = float(case["index"]), np.array([case["short_strike"], case["long_strike"]])
    deviations = np.linspace(0.01, 0.2, 20_000)
    short, long = (black76.value(index, strike, deviations, is_put=True) for strike in strikes)
    paid = case["long_mark"] - case["short_mark"]
    variance = deviations[np.argmin(np.abs(long - short - paid))] ** 2
    expiry, price = NOW + days * DAY, np.array([index, 3_000.0, 150.0])
    flat = Slices([0], [expiry], [index], [1.0], [[variance, 0, 0, 0, 0.1]], [0.0])
    here = market(concentration_rate=0, confidence=0)
    here = here._replace(
        slices=Slices(*(np.append(x, y, axis=0) for x, y in zip(flat, BLANK, strict=True))),
        underlyings=here.underlyings._replace(index=price, mark=price),
        predictive=given(rng, initial_deviation=np.array([0.03, 0.04, 0.06])),
    )
    both = np.ones(2, np.int64)
    chosen = Instruments(BTC * both, expiry * both, Kind.PUT * both, strikes.astype(float))
    return here, scenarios.price(here, chosen), case


@pytest.mark.parametrize("generation", ["portfolio", "predictive"])
def test_a_bought_spread_needs_no_more_than_it_can_lose(rng, generation):
    """Long the upper put, short the lower: naked the short leg costs other engines thousands."""
    here, risk, case = put_spread(rng)
    spread = requirements(here, [[-1.0, 1.0]], risk)[generation][:, 0]
    naked = requirements(here, [[-1.0, 0.0]], risk)[generation][:, 0]
    paid = risk.value[1] - risk.value[0]  # all that can be lost
    assert paid == pytest.approx(case["long_mark"] - case["short_mark"], abs=1)
    minimum = 0.005 * case["index"]  # the short option charge
    assert spread[0] <= paid + minimum
    assert spread[0] < naked[0] < 2 * case["naked_initial_margin"]
    assert naked[0] > case["naked_maintenance_margin"] / 2


# Published figures -------------------------------------------------------------------------------


def test_the_published_table_asks_a_scan_range_of_a_perpetual_on_either_side():
    """Its weighted tails, to −66 % and +500 %, never ask for more."""
    case = CASES["scan_table"]
    move, vol, weight = np.array(case["rows"]).T
    table = Scenarios(move / case["scan_range"], vol / case["vol_range"], weight)
    here = market(table, scan_range=case["scan_range"], vol_range=case["vol_range"])
    sizes = [sizes_of(here, {(BTC, Kind.PERPETUAL, 0): size}) for size in (1.0, -1.0)]
    result = margin.margin(here, priced(here)[1], books(here, sizes), keep_scenarios=True)
    expected = case["scan_range"] * here.underlyings.mark[0]
    assert result.scan_risk == pytest.approx([expected, expected])
    assert result.underlyings.binding_scenario[:, 0].tolist() == [15, 0]


def test_the_default_table_asks_the_same_and_sees_the_tails():
    here = market(grid(), scan_range=0.16)
    sizes = [sizes_of(here, {(BTC, Kind.PERPETUAL, 0): size}) for size in (1.0, -1.0)]
    scan = margin.margin(here, priced(here)[1], books(here, sizes)).scan_risk
    assert scan == pytest.approx(0.16 * here.underlyings.mark[0])


def test_shortfall_of_lognormal_returns_is_as_published():
    """On two million quantiles in place of dates, of a short and of a long."""
    case = CASES["expected_shortfall_factors"]
    deviation = case["volatility"] * np.sqrt(case["days"] / 365)
    count = 2_000_000
    quantiles = ndtri((np.arange(count) + 0.5) / count)
    returns = np.exp(deviation * quantiles - deviation**2 / 2) - 1
    for sign, name in ((1, "short"), (-1, "long")):
        found = vectors.expected_shortfall(sign * returns, case["tail_share"])
        assert found == pytest.approx(case[name], abs=5e-6)
