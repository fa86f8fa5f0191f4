"""The two layers of the model against each other: every number of thousands of random accounts.

The exact layer follows the specification step by step, the ideal layer was written from its
formulas; a difference beyond the derived tolerance is a formula misread by one of them.
"""

from collections import Counter
from functools import cache
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model.layers import disagreements

from reference_model import cases
from reference_model.exact import charges, risk_model
from reference_model.exact import funding as exact_funding
from reference_model.exact import interest as exact_interest
from reference_model.exact import scenarios as exact_scenarios
from reference_model.ideal import funding, interest, scenarios, tolerance, unit_tolerance
from reference_model.types import DAY, WAD, YEAR, Health, InterestParameters

BATCHES = 20
MARKETS_PER_BATCH = 10
PORTFOLIOS = 40
TWIN_SEEDS = range(8)


@cache
def case(seed, portfolios=PORTFOLIOS):
    return cases.random_case(Random(seed), portfolios)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_every_number_of_every_account_agrees(batch):
    for seed in range(batch * MARKETS_PER_BATCH, (batch + 1) * MARKETS_PER_BATCH):
        assert disagreements(*case(seed)) == [], f"random_case(Random({seed}), {PORTFOLIOS})"


@given(st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_corners_found_by_hypothesis_agree(rng):
    assert disagreements(*cases.random_case(rng, 2)) == []


# Settled positions whose payoff nearly cancels, haircuts of all but one unit, a unit of notional
# against a strike of 1e29 forwards, half a unit of open interest: each once broke the tolerance.
@pytest.mark.parametrize("seed", [4, 5, 39, 72, 132, 391, 617, 630])
def test_cases_that_once_disagreed_agree(seed):
    assert disagreements(*case(seed, 32)) == []


def test_states_at_the_borders_of_health_are_decided_to_the_unit():
    seen = Counter()
    for seed in range(40):
        rng = Random(seed)
        market, portfolios = case(seed)
        for portfolio in portfolios[:10]:
            assessment = risk_model.assess(portfolio, market)
            there = cases.at_the_border(rng, portfolio, assessment)
            moved = risk_model.assess(there, market)
            shift = there.cash - portfolio.cash
            assert moved.equity == assessment.equity + shift
            assert moved.maintenance_margin == assessment.maintenance_margin
            seen[expected_health(moved), risk_model.health(moved)] += 1
    assert all(expected == got for expected, got in seen)
    assert {got for _, got in seen} == set(Health)


def expected_health(assessment):
    """Read the table of the specification, section 10, from its end."""
    solvent = assessment.equity >= 0
    safe = assessment.equity >= assessment.maintenance_margin
    if solvent and safe and assessment.initial_equity >= assessment.initial_margin:
        return Health.HEALTHY
    if solvent:
        return Health.MARGIN_CALL if safe else Health.LIQUIDATABLE
    return Health.INSOLVENT


def test_errors_of_the_mathematics_are_borne_by_the_account(monkeypatch):
    """Without the error terms the ideal requirement is no higher, and the ideal equity no lower."""
    for name in ("KERNEL_ERROR", "ROUNDING_ERROR", "WEI"):
        monkeypatch.setattr(scenarios, name, 0.0)
    monkeypatch.setattr(unit_tolerance, "DEVIATION_STEP", 0.0)
    margins = ("worst_loss", "isolated_loss")
    for seed in range(40):
        market, portfolios = case(seed)
        ideal, allowance = tolerance.assess(market, portfolios)
        rows = {spot.underlying: row for row, spot in enumerate(market.spots)}
        for account, portfolio in enumerate(portfolios):
            exact = risk_model.breakdown(portfolio, market)
            excess = ideal.derivative_value[account] - exact.derivative_value / WAD
            assert excess >= -allowance.derivative_value[account]
            for each in exact.underlyings:
                at = account, rows[each.underlying]
                for name in margins:
                    short = getattr(ideal.underlyings, name)[at] - getattr(each, name) / WAD
                    assert short <= getattr(allowance.underlyings, name)[at], (seed, account, name)


# Wrong twins: the exact layer with one formula changed must be caught by the ideal one ------------


def patched(module, name, wrong):
    """Replace a function by one that is given the right one before its arguments."""
    right = getattr(module, name)

    def twin(*args):
        return wrong(right, *args)

    return module, name, twin


def without_weights(right, things, grid, weights):
    return right(things, grid, (10**6,) * len(weights))


def swapped_exponents(right, forward, discount, svi, tau, parameters, shocks):
    vol_range, vol_floor, p = parameters
    swapped = p._replace(
        vol_exponent_short=p.vol_exponent_long, vol_exponent_long=p.vol_exponent_short
    )
    return right(forward, discount, svi, tau, (vol_range, vol_floor, swapped), shocks)


def no_vol_floor(right, *args):
    return right(*args)._replace(deviation_floor=0)


def mirrored_smile(right, svi, log_strike):
    return right(svi, -log_strike)


def put_without_parity(right, thing, size, strike, slice_):
    return right(thing._replace(is_put=False), size, strike, slice_)


def scan_without_error(right, *args):
    scan = right(*args)
    return scan._replace(worst_loss=scan.worst_loss - scan.error, error=0)


def undiscounted(right, size, instrument, slice_, grid, bucket):
    return right(size, instrument, slice_._replace(discount=WAD), grid, bucket)


def charged_on_the_range_itself(right, loss, scan_range, initial_scan_range, factor):
    return right(loss, scan_range, initial_scan_range + scan_range // 10**6, factor)


TWINS = {
    "weights": (exact_scenarios, "scan", without_weights),
    "ramp": (
        exact_scenarios,
        "in_force",
        lambda right, market: right(market._replace(progress=WAD)),
    ),
    "scan range charge": (charges, "scan_range", charged_on_the_range_itself),
    "error": (exact_scenarios, "scan", scan_without_error),
    "binding": (
        exact_scenarios,
        "scan",
        lambda right, *args: right(*args)._replace(binding_scenario=0),
    ),
    "exponents": (exact_scenarios, "slice_risk", swapped_exponents),
    "vol floor": (exact_scenarios, "slice_risk", no_vol_floor),
    "smile": (exact_scenarios, "total_deviation", mirrored_smile),
    "parity": (exact_scenarios, "option_value", put_without_parity),
    "discount": (exact_scenarios, "option", undiscounted),
    "scan range": (exact_scenarios, "grid", lambda right, s, r: right(s, r + r // 10**7 + 1)),
    "delta sign": (
        exact_scenarios,
        "option",
        lambda right, *args: (lambda t: t._replace(delta=-t.delta))(right(*args)),
    ),
    "own loss": (
        exact_scenarios,
        "_own_loss",
        lambda right, thing, *rest: right(thing._replace(is_put=False), *rest),
    ),
    "basis gaps": (
        charges,
        "basis",
        lambda right, deltas, rate, error, now: right(deltas, rate, error, now + DAY),
    ),
    "short option": (charges, "short_option", lambda right, size, *rest: right(2 * size, *rest)),
    "concentration": (
        charges,
        "concentration",
        lambda right, delta, rate, depth: right(delta, rate, 2 * depth),
    ),
    "confidence": (charges, "confidence", lambda right, *args: right(*args) * 1001 // 1000),
    "open interest": (
        charges,
        "open_interest",
        lambda right, loss, oi, *rest: right(loss, 2 * oi, *rest),
    ),
    "haircut": (
        risk_model,
        "_haircut_value",
        lambda right, amount, price, haircut: right(amount, price, 0),
    ),
    "group": (
        risk_model,
        "_group_risk",
        lambda right, results, market: right(
            results,
            market._replace(decorrelations=tuple(WAD - each for each in market.decorrelations)),
        ),
    ),
}


def clear_caches():
    exact_scenarios.grid.cache_clear()
    exact_scenarios.slice_risk.cache_clear()
    exact_scenarios.option_row.cache_clear()


@pytest.fixture
def fresh_caches():
    clear_caches()
    yield
    clear_caches()


@pytest.mark.parametrize("name", TWINS)
def test_wrong_twin_is_caught(name, monkeypatch, fresh_caches):
    module, attribute, twin = patched(*TWINS[name])
    if hasattr(getattr(module, attribute), "cache_clear"):
        twin.cache_clear = getattr(module, attribute).cache_clear
    monkeypatch.setattr(module, attribute, twin)
    assert any(disagreements(*case(seed, 24)) for seed in TWIN_SEEDS)


# Funding and interest ----------------------------------------------------------------------------


def test_funding_agrees_within_its_rounding():
    rng = Random(1)
    for _ in range(2000):
        index = cases.log_uniform(rng, 1, cases.MAX_PRICE)
        mark = cases.drawn(rng, 1, cases.MAX_PRICE, index, index * 101 // 100)
        cap, elapsed = cases.drawn(rng, 0, WAD // 10), cases.drawn(rng, 0, YEAR)
        before = rng.randint(-(10**24), 10**24)
        exact = exact_funding.accrue(before, mark, index, cap, elapsed) / WAD
        got = funding.accrue(before / WAD, mark / WAD, index / WAD, cap / WAD, elapsed)
        step = index / WAD * min(abs(mark - index) / index, cap / WAD) * elapsed / 28_800
        premium_rounding = index * 1e-36 * elapsed / 28_800
        allowed = 16 * tolerance.EPS * (abs(before / WAD) + step) + premium_rounding + 1e-18
        conversion = 4 * tolerance.EPS * max(mark, index) / WAD * elapsed / 28_800
        assert abs(got - exact) <= allowed + conversion


def test_the_time_that_funding_is_due_for_agrees():
    rng = Random(3)
    seen = set()
    for _ in range(2000):
        now, max_age = cases.NOW, cases.drawn(rng, 1, DAY, 3_600)
        timestamp = rng.choice((0, now - cases.drawn(rng, 0, 2 * DAY, max_age)))
        active = now - cases.drawn(rng, 0, 5 * DAY)
        since = active + cases.drawn(rng, -DAY // 24, 0) * cases.drawn(rng, -1, 50)
        exact = exact_funding.due(since, active, now, timestamp, max_age)
        assert exact == funding.due(since, active, now, timestamp, max_age)
        seconds, until = exact
        seen.add("nothing due" if seconds == 0 else "a day" if seconds == DAY else "some")
        seen.add("all due" if until == active else "set back" if active < since else "unknown")
    assert seen == {"nothing due", "a day", "some", "all due", "set back", "unknown"}


def test_interest_agrees_within_its_rounding():
    rng = Random(2)
    for _ in range(2000):
        rates = (cases.drawn(rng, 0, 10 * WAD) for _ in range(3))
        kink = cases.drawn(rng, WAD // 100, 99 * WAD // 100)
        parameters = InterestParameters(*rates, kink, cases.drawn(rng, 0, WAD))
        held, debt = (cases.log_uniform(rng, 0, 10**27) for _ in range(2))
        indices = [rng.randint(WAD, 10 * WAD) for _ in range(2)]
        elapsed = cases.drawn(rng, 0, YEAR)
        state = exact_interest.InterestState(*indices, debt, 0)
        exact = exact_interest.accrue(state, held, parameters, elapsed)
        natural = interest.InterestParameters(*(each / WAD for each in parameters))
        pool = interest.CashPool(*(np.array([x / WAD]) for x in (held, debt, *indices)))
        got = interest.accrue(pool, natural, elapsed)
        years = elapsed / YEAR
        steep = parameters.slope1 / kink + parameters.slope2 / (WAD - kink)
        relative = 32 * tolerance.EPS * (1 + 30 * years) + 8e-18 * (1 + steep) * (1 + years)
        for value, field in (
            (got.borrow_index, exact.borrow_index),
            (got.supply_index, exact.supply_index),
            (got.total_debt, exact.total_debt),
        ):
            assert abs(value[0] - field / WAD) <= relative * field / WAD + 4e-18
