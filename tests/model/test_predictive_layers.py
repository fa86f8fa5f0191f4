"""Predictive margin of the exact layer against a full revaluation: never below, and how far above.

Downwards nothing but rounding is allowed, upwards the derived bound of what interpolation gives
away. Wrong twins show that either side is sharp.
"""

from collections import Counter
from functools import cache
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model.layers import disagreements

from reference_model import cases, vectors
from reference_model.exact import parametric, predictive_model, profile, risk_model, shortfall
from reference_model.ideal import tolerance
from reference_model.types import WAD, MarginMode, Publication

BATCHES = 8
MARKETS_PER_BATCH = 10
PORTFOLIOS = 6
TWIN_SEEDS = range(24)


@cache
def case(seed, portfolios=PORTFOLIOS):
    """Accounts of all modes in a market with vectors, or, one in ten, without."""
    return drawn(Random(seed), portfolios, silent=seed % 10 == 9)


def drawn(rng, count, *, silent=False):
    market, portfolios = cases.random_case(rng, count)
    if not silent:
        market = market._replace(prediction=prediction(rng, market))
    return market, [each._replace(margin_mode=rng.randint(0, 2)) for each in portfolios]


def prediction(rng, market):
    """Vectors, their last publication now and then taken back on its way."""
    drawn = cases.random_prediction(rng, market)
    last = drawn.publication
    if rng.random() < 0.6 or not last.start < drawn.active < last.end:
        return drawn
    cancelled_at = rng.randint(last.start + 1, drawn.active)
    return drawn._replace(publication=last._replace(cancelled_at=cancelled_at))


@cache
def middle(seed):
    """Short options, and few of either sign, on dates all in the middle of one cell.

    Nothing is charged there for the convexity of what is owed, and the bilinear term is greatest.
    """
    rng = Random(seed)
    market, portfolios = cases.random_case(rng, PORTFOLIOS)
    ids = tuple(spot.underlying for spot in market.spots)
    z, y = ([[rng.choice(x)] * len(ids)] * 250 for x in ((-4.5, -2.5, 2.5, 4.5), (-0.25, 0.25)))
    prediction = cases.random_prediction(rng, market)._replace(
        basket=ids,
        deviations=((WAD // 25, WAD // 25),) * len(ids),
        correlations=tuple(tuple(WAD * (u == v) for u in ids) for v in ids),
        publication=Publication(250, 0, 0, 0, len(ids), 0, 1),
        words=tuple(vectors.encode(z, y)),
        active=10,
    )
    options = [[slot for slot in each.positions if slot >> 208 & 1] for each in portfolios]
    short = [[slot for slot in each if slot >> 127 & 1] for each in options]
    books = [
        portfolio._replace(positions=tuple(chosen), collateral=())
        for few in (short, [each[:4] for each in options])
        for portfolio, chosen in zip(portfolios, few, strict=True)
    ]
    return market._replace(prediction=prediction), books


@pytest.mark.parametrize("batch", range(BATCHES))
def test_every_number_of_every_account_agrees(batch):
    for seed in range(batch * MARKETS_PER_BATCH, (batch + 1) * MARKETS_PER_BATCH):
        assert disagreements(*case(seed)) == [], f"case({seed})"


@pytest.mark.parametrize("seed", TWIN_SEEDS)
def test_the_bound_holds_where_the_bilinear_term_is_greatest(seed):
    assert disagreements(*middle(seed)) == []


@given(st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_corners_found_by_hypothesis_agree(rng):
    assert disagreements(*drawn(rng, 2, silent=rng.random() < 0.1)) == []


def test_the_cases_reach_every_state():
    """Publications of any kind, in, after and out of a ramp; whatever decides the margin."""
    seen = Counter()
    for seed in range(BATCHES * MARKETS_PER_BATCH):
        market, portfolios = case(seed)
        last, active = market.prediction.publication, market.prediction.active
        seen["nothing" if last.end == 0 else "first" if last.before == 0 else "later"] += 1
        seen["ramp" if active < last.end else "settled"] += 1
        reached = min(last.cancelled_at, last.end) - last.start
        if last.cancelled_at:
            seen["back" if active - last.cancelled_at >= reached else "on its way back"] += 1
        seen["new places"] += last.places > last.places_before > 0
        ideal, _ = tolerance.assess(market, portfolios)
        if ideal.predictive is None:
            continue
        modes = np.array([each.margin_mode for each in portfolios])
        held = (modes == MarginMode.PREDICTIVE) & ideal.predictive.applies
        risk, floor = ideal.predictive, market.prediction.parameters.floor_weight / WAD
        seen["held"] += int(held.sum())
        seen["exposed to nothing"] += int((~ideal.predictive.applies).sum())
        seen["shortfall"] += int((held & (risk.shortfall > floor * risk.tail_risk)).sum())
        seen["floor"] += int((held & (risk.shortfall < floor * risk.tail_risk)).sum())
    assert min(seen.values()) >= 2 and len(seen) == 12, seen


def test_the_bound_is_of_the_order_of_what_interpolation_costs():
    """Else a test against it would say nothing; and the cost is small on most books."""
    cost, bound = [], []
    for seed in range(BATCHES * MARKETS_PER_BATCH):
        market, portfolios = case(seed)
        ideal, allowance = tolerance.assess(market, portfolios)
        if ideal.predictive is None:
            continue
        above = allowance.predictive.above.shortfall
        for account, portfolio in enumerate(portfolios):
            exact = risk_model.breakdown(portfolio, market).predictive.shortfall / WAD
            true = ideal.predictive.shortfall[account]
            if true > 1 and above[account] > 1e-6 * true:
                cost.append((exact - true) / true)
                bound.append(above[account] / true)
    cost, bound = np.array(cost), np.array(bound)
    assert len(cost) > 50
    assert np.all(cost <= bound)
    assert np.median(cost / bound) > 0.1
    assert np.median(cost) < 0.1


# Wrong twins --------------------------------------------------------------------------------------


def without(field):
    """A profile that leaves a field out."""

    def twin(right, *args):
        exposure = right(*args)
        return exposure._replace(**{field: (0,) * len(getattr(exposure, field))})

    return profile, "exposure", twin


def other_triangle(right, exposure, exponent):
    rows = right(exposure, exponent)
    return [rows[i ^ 1] for i in range(len(rows))]


def untwisted(right, exposure, exponent):
    """Rows without the charge for the bilinear term, that is with a quarter of the twist back."""
    return [
        row._replace(corner=row.corner + 256 * max(0, -_twist(exposure, i // 2, exponent)))
        for i, row in enumerate(right(exposure, exponent))
    ]


def _twist(exposure, cell, exponent):
    k, v = divmod(cell, 3)
    if len(exposure.pnl) == 11:
        return 0
    node = [pnl >> exponent for pnl in exposure.pnl]
    near, far = 11 * v + k, 11 * (v + 1) + k
    return node[far + 1] - node[far] - node[near + 1] + node[near]


def one_more_date(right, units, share):
    return right((*units, max(units, default=0)), share)


TWINS = {
    "charge for convexity": without("slopes"),
    "charge for volatility": without("vol_errors"),
    "twice the charge for volatility": (
        profile,
        "vol_errors",
        lambda right, strikes: tuple(20 * each for each in right(strikes)),
    ),
    "charge for the twist": (shortfall, "rows", untwisted),
    "triangles": (shortfall, "rows", other_triangle),
    "selection": (shortfall, "shortfall", one_more_date),
    "horizon": (
        predictive_model,
        "sqrt_up",
        lambda right, value: right(value) * (WAD + 10**9) // WAD,
    ),
    "sign of correlation": (
        parametric,
        "margin",
        lambda right, x, rho, w, floor: right(x, lambda u, v: -rho(u, v), w, floor),
    ),
    "width of the box": (
        parametric,
        "margin",
        lambda right, x, rho, w, floor: right(x, rho, w * 999 // 1000, floor),
    ),
    "single-asset floor": (
        parametric,
        "margin",
        lambda right, x, rho, w, floor: right(x, rho, w, floor * 9 // 10),
    ),
    "gamma and vega": (parametric, "beyond_delta", lambda right, exposure: 0),
    "deviation to come": (risk_model, "_deviation_charge", lambda right, *args: 0),
}


@pytest.mark.parametrize("name", TWINS)
def test_wrong_twins_are_caught(name, monkeypatch):
    module, function, wrong = TWINS[name]
    right = getattr(module, function)
    monkeypatch.setattr(module, function, lambda *args, **named: wrong(right, *args, **named))
    assert any(disagreements(*draw(seed)) for seed in TWIN_SEEDS for draw in (case, middle))
