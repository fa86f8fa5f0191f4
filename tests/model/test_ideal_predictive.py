"""Predictive margin of the ideal layer against what it is defined as, date by date and by hand."""

import numpy as np
import pytest
from model.ideal_market import BTC, ETH, NOW, books, instruments, market, random_sizes

from reference_model import vectors
from reference_model.ideal import black76, margin, predictive, scenarios, svi
from reference_model.ideal.instruments import Kind

DATES = 250
NAMES = ("maintenance_margin", "initial_margin")
CORRELATION = np.array([[1, 0.8, 0.6], [0.8, 1, 0.5], [0.6, 0.5, 1]])


def given(rng, **changes):
    """Joint moves with fat tails, covering all three underlyings, in force."""
    common = rng.standard_t(3, (DATES, 1))
    columns = {
        "tail_share": 0.025,
        "horizon_seconds": 86_400.0,
        "floor_weight": 0.5,
        "parametric_weight": 1.0,
        "correlation_width": 0.3,
        "single_asset_floor": 0.5,
        "price_moves": np.clip(0.8 * common + 0.6 * rng.normal(size=(DATES, 3)), -12, 12),
        "vol_moves": np.clip(rng.normal(size=(DATES, 3)) * 0.5 - 0.2 * common, -0.5, 2.25),
        "before": DATES,
        "leaving": 0,
        "progress": 1.0,
        "covered_before": np.ones(3, bool),
        "covered": np.ones(3, bool),
        "deviation": np.array([0.03, 0.04, 0.06]),
        "initial_deviation": np.array([0.03, 0.06, 0.06]),
        "correlation": CORRELATION,
    }
    return predictive.Vectors(**columns | changes)


def margined(here, sizes, **holdings):
    risk = scenarios.price(here, instruments(here))
    return margin.margin(here, risk, books(here, sizes, mode=2, **holdings))


def sizes_of(here, holdings):
    """Dense sizes of one account from ``{(underlying, kind, row among its kind): size}``."""
    listed = instruments(here)
    out = np.zeros(len(listed.kind))
    for (underlying, kind, row), size in holdings.items():
        out[np.flatnonzero((listed.underlying == underlying) & (listed.kind == kind))[row]] = size
    return out


@pytest.fixture
def rng():
    return np.random.default_rng(17)


@pytest.fixture
def here(rng):
    return market()._replace(predictive=given(rng))


# Expected shortfall ------------------------------------------------------------------------------


def test_a_perpetual_loses_its_value_times_the_moves(here):
    v = here.predictive
    result = margined(here, sizes_of(here, {(ETH, Kind.PERPETUAL, 0): -2.0}))
    losses = np.maximum(2 * here.underlyings.mark[1] * v.price_moves[:, 1] * 0.04, 0)
    worst = np.sort(losses)[::-1]
    expected = (worst[:6].sum() + 0.25 * worst[6]) / 6.25
    assert result.predictive.shortfall[0] == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("kind", [Kind.CALL, Kind.PUT])
@pytest.mark.parametrize("size", [-3.0, 2.0])
def test_an_option_is_revalued_at_every_date(here, kind, size):
    """By the plain value of an option, the deviation on the way between two classes."""
    v, row = here.predictive, 0
    listed = instruments(here)
    at = np.flatnonzero((listed.underlying == BTC) & (listed.kind == kind))[row]
    slices = here.slices
    x = np.flatnonzero((slices.underlying == 0) & (slices.expiry == listed.expiry[at]))[0]
    forward, discount, strike = slices.forward[x], slices.discount[x], listed.strike[at]
    tau = float(listed.expiry[at] - NOW)
    s = svi.total_deviation(slices.svi[x][None], np.array([np.log(strike / forward)]))[0]
    multiplier = scenarios.vol_multiplier(vectors.VOL_NODES, 0.4, tau, here.parameters)
    of_class = scenarios.shocked_deviation(s, multiplier, 0.1, tau)
    shocked = np.interp(v.vol_moves[:, 0], vectors.VOL_NODES, of_class)
    moved = np.maximum(1 + v.price_moves[:, 0] * 0.03, 0.01)
    is_put = kind == Kind.PUT
    before = black76.value(forward, strike, s, is_put, discount)
    after = black76.value(forward * moved, strike, shocked, is_put, discount)
    losses = np.maximum(-size * (after - before), 0)
    result = margined(here, sizes_of(here, {(BTC, kind, row): size}))
    expected = vectors.expected_shortfall(losses, 0.025)
    assert result.predictive.shortfall[0] == pytest.approx(expected, rel=1e-9)


def test_underlyings_are_netted_date_by_date_and_collateral_stands_inside(here):
    v = here.predictive
    sizes = sizes_of(here, {(BTC, Kind.PERPETUAL, 0): -1.0, (ETH, Kind.PERPETUAL, 0): 15.0})
    collateral = np.array([[1.0, 0, 0, 0]])
    result = margined(here, sizes, collateral=collateral)
    dollars = np.array([-here.underlyings.mark[0] + 60_000 * 0.95, 15 * here.underlyings.mark[1]])
    losses = -(v.price_moves[:, :2] * [0.03, 0.04]) @ dollars
    expected = vectors.expected_shortfall(np.maximum(losses, 0), 0.025)
    assert result.predictive.shortfall[0] == pytest.approx(expected, rel=1e-12)


def test_what_expires_settled_loses_nothing(here, rng):
    settled = here.slices._replace(
        expiry=np.where(here.slices.expiry > 0, NOW - 3_600, 0),
        settlement_price=np.where(here.slices.expiry > 0, 50_000.0, 0.0),
    )
    past = here._replace(slices=settled)
    result = margined(past, sizes_of(past, {(BTC, Kind.CALL, 0): -3.0, (BTC, Kind.FUTURE, 0): 1.0}))
    assert result.predictive.shortfall[0] == 0


def test_a_ramp_goes_from_the_old_list_to_the_new(here, rng):
    sizes = random_sizes(rng, scenarios.price(here, instruments(here)), 20)

    def shortfall(**changes):
        changed = here._replace(predictive=here.predictive._replace(**changes))
        return margined(changed, sizes).predictive.shortfall

    stored = {"before": 150, "leaving": 50}
    old, new = shortfall(progress=0.0, **stored), shortfall(progress=1.0, **stored)
    moves = here.predictive
    cut = {"price_moves": moves.price_moves[:150], "vol_moves": moves.vol_moves[:150]}
    assert old == pytest.approx(shortfall(**cut))
    assert new == pytest.approx(shortfall(leaving=50))
    assert shortfall(progress=0.25, **stored) == pytest.approx(0.75 * old + 0.25 * new)


def test_what_no_list_covers_adds_its_own_worst_scenario(here, rng):
    priced = scenarios.price(here, instruments(here))
    sizes = random_sizes(rng, priced, 20)
    of_sol = priced.underlying == 2
    covered = np.array([True, True, False])
    partly = here._replace(
        predictive=here.predictive._replace(covered=covered, covered_before=covered)
    )
    result = margined(partly, sizes)
    rest = margined(here, np.where(of_sol, 0, sizes)).predictive
    alone = result.underlyings
    worst = alone.worst_loss[:, 2]
    assert result.predictive.shortfall == pytest.approx(rest.shortfall + worst)
    assert result.predictive.parametric == pytest.approx(rest.parametric + worst)
    to_come = rest.deviation_charge + alone.scan_range_charge[:, 2]
    assert result.predictive.deviation_charge == pytest.approx(to_come)


def test_before_the_first_publication_everything_is_its_own_worst_scenario(here, rng):
    sizes = random_sizes(rng, scenarios.price(here, instruments(here)), 20)
    nothing = here.predictive._replace(
        before=0, covered_before=np.zeros(3, bool), progress=0.0, floor_weight=0.1
    )
    result = margined(here._replace(predictive=nothing), sizes)
    assert result.predictive.shortfall == pytest.approx(result.underlyings.worst_loss.sum(axis=1))


# Requirement -------------------------------------------------------------------------------------


def test_the_requirement_is_put_together_as_specified(here, rng):
    sizes = random_sizes(rng, scenarios.price(here, instruments(here)), 200)
    result = margined(here, sizes, cash=1e5, open_interest=1e5)
    p, u, g = result.predictive, result.underlyings, here.parameters
    per_underlying = (
        u.basis_charge + u.short_option_charge + u.concentration_charge + u.confidence_charge
    )
    charges = per_underlying.sum(axis=1) + result.depeg_charge
    base = np.maximum(p.shortfall, 0.5 * p.tail_risk)
    ahead = p.deviation_charge + p.open_interest_charge
    assert p.applies.any()
    held = p.applies
    for name, expected in zip(
        NAMES,
        (
            g.maintenance_factor * base + charges,
            g.initial_factor * np.maximum(base, p.parametric) + charges + ahead,
        ),
        strict=True,
    ):
        assert getattr(p, name)[held] == pytest.approx(expected[held])
        assert np.array_equal(getattr(result, name)[held], getattr(p, name)[held])
    # Each of the three terms decides somewhere.
    assert (p.shortfall > 0.5 * p.tail_risk)[held].any()
    assert (p.shortfall < 0.5 * p.tail_risk)[held].any()
    assert (p.parametric > base)[held].any()


def test_who_is_exposed_to_nothing_needs_nothing(here):
    result = margined(here, np.zeros((1, len(instruments(here).kind))), cash=5.0)
    assert not result.predictive.applies[0]
    assert result.maintenance_margin[0] == result.initial_margin[0] == 0


def test_other_modes_are_what_they_are_without_vectors(here, rng):
    risk = scenarios.price(here, instruments(here))
    sizes = random_sizes(rng, risk, 50)
    silent = here._replace(predictive=None)
    for mode in (0, 1):
        holdings = books(here, sizes, mode=mode)
        beside = margin.margin(here, risk, holdings)
        alone = margin.margin(silent, scenarios.price(silent, instruments(here)), holdings)
        assert np.array_equal(beside.maintenance_margin, alone.maintenance_margin)
        assert np.array_equal(beside.initial_margin, alone.initial_margin)
        assert alone.predictive is None and beside.predictive is not None


def test_the_tails_are_scanned_alone(here, rng):
    """A list of tails alone makes the whole scan the tail's."""
    risk = scenarios.price(here, instruments(here))
    sizes = random_sizes(rng, risk, 50)
    chosen = predictive.tails(here)
    assert 0 < len(chosen) < len(here.scenarios.weight)
    tails = type(here.scenarios)(*(column[chosen] for column in here.scenarios))
    alone = margined(here._replace(scenarios=tails), sizes)
    # error_u follows the greatest move of all scenarios, which is a tail.
    assert margined(here, sizes).predictive.tail_risk == pytest.approx(alone.scan_risk)


def test_the_deviation_follows_the_horizon_up_to_one(here):
    assert predictive.horizon_deviation(0.03, 4 * 86_400) == pytest.approx(0.06)
    assert predictive.horizon_deviation(0.5, 10 * 86_400) == 1


# Parametric margin -------------------------------------------------------------------------------


def test_linear_parametric_margin_by_hand(here):
    sizes = sizes_of(here, {(BTC, Kind.PERPETUAL, 0): 1.0, (ETH, Kind.PERPETUAL, 0): -20.0})
    e = here.underlyings.mark[:2] * [0.03, 0.04] * [1, -20]
    rho = 0.7 * -0.8 + 0.3  # of a long and a short the worst correlation is the least
    expected = 3 * np.sqrt(e @ e + 2 * abs(e[0] * e[1]) * rho)
    result = margined(here, sizes).predictive.parametric[0]
    assert result == pytest.approx(max(expected, 1.5 * abs(e).max()))


def test_gamma_and_vega_add_the_worst_that_delta_does_not_see(here):
    """A short straddle: no delta to speak of, and yet it loses wherever the price goes."""
    listed = instruments(here)
    call, put = ((BTC, kind, 2) for kind in (Kind.CALL, Kind.PUT))
    sizes = sizes_of(here, {call: -1.0, put: -1.0})
    risk = scenarios.price(here, listed)
    unit = sizes != 0
    loss = -(risk.joint.nodes[:3, 2:9] * sizes).sum(axis=2)
    moved = np.arange(-3, 4) * 0.03
    beside = loss + (risk.delta[unit] * sizes[unit]).sum() * moved
    linear = abs((risk.delta * sizes).sum()) * 0.03 * 3
    result = margin.margin(here, risk, books(here, sizes, mode=2)).predictive.parametric[0]
    assert result == pytest.approx(linear + beside.max())
    assert beside.max() > linear
