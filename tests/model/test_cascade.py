"""The cascade's parts against what they stand for, and a few runs against what must come out."""

from dataclasses import replace

import numpy as np
import pytest
from model import ideal_market as small

from reference_model.cascade.books import LINEAR, PUT, Assessment, Crowd, Margin, Terms, draw, grid
from reference_model.cascade.market import Liquidity, Market
from reference_model.cascade.policies import (
    Bidders,
    Bidding,
    Bucket,
    Discount,
    Follow,
    Policy,
    Window,
    bidders_gain,
    largest_slice,
)
from reference_model.cascade.simulation import Path, Simulation, World, shock, simulate
from reference_model.ideal import margin, scenarios
from reference_model.ideal.instruments import Instruments, Kind
from reference_model.ideal.market import BLANK, Assets, Slices

SMALL = World(crowd=Crowd(accounts=300))
FULL = Policy(auctions=False, partial=False, window=None)
NO_IMPACT = Liquidity(temporary=0, permanent=0)
FALL = shock(0.1, 1)


def still(size, steps=40):
    """A fall within fifteen minutes without any noise."""
    return shock(size, 1, horizon_seconds=60 * steps, volatility=(0, 0))


# Requirement -------------------------------------------------------------------------------------


def ideal_market(terms, prices, scan_range):
    """The cascade's market in the arrays of the ideal layer: flat smiles, no charges."""
    expiry = small.NOW + terms.tau_seconds
    variance = np.array(terms.volatility) ** 2 * terms.tau_seconds / (365 * small.DAY)
    slices = ([0, 1], [expiry] * 2, prices, [1.0, 1.0])
    svi = [[each, 0.0, 0.0, 0.0, 1.0] for each in variance]
    columns = zip((*slices, svi, [0.0, 0.0]), BLANK, strict=True)
    whole = small.market(grid(), terms.decorrelation)
    underlyings = {name: values[:2] * 0 for name, values in whole.underlyings._asdict().items()} | {
        "underlying": np.array([1, 2]),
        "depth": np.ones(2),
        "vol_range": np.full(2, terms.vol_range),
        "vol_floor": np.full(2, terms.vol_floor),
        "scan_range": scan_range,
        "initial_scan_range": scan_range,
    }
    underlyings |= dict.fromkeys(("index", "mark", "stable_index"), prices)
    return whole._replace(
        parameters=small.PARAMETERS._replace(
            maintenance_factor=terms.maintenance_factor, initial_factor=terms.initial_factor
        ),
        underlyings=whole.underlyings._replace(**underlyings),
        slices=Slices(*(np.append(x, blank, axis=0) for x, blank in columns)),
        assets=Assets(np.array([1, 2]), np.array([0, 1]), *(np.ones(2),) * 3, np.zeros(2)),
    )


@pytest.mark.parametrize(
    "prices, scan_range",
    [((1.0, 1.0), (0.16, 0.20)), ((0.7, 0.55), (0.16, 0.20)), ((1.3, 1.1), (0.45, 0.6))],
)
def test_requirement_is_that_of_the_ideal_layer(prices, scan_range):
    terms, prices, scan_range = Terms(), np.array(prices), np.array(scan_range)
    books = draw(np.random.default_rng(3), Crowd(accounts=400), Margin(terms))
    books.sizes[:, PUT, ::3] -= 0.3 * books.sizes[:, LINEAR, ::3]  # short puts, and odd books
    market = ideal_market(terms, prices, scan_range)
    expiry = small.NOW + terms.tau_seconds
    instruments = Instruments(
        np.array([1, 1, 2, 2]),
        np.array([0, expiry, 0, expiry]),
        np.array([Kind.PERPETUAL, Kind.PUT] * 2),
        np.array([1.0, terms.strike] * 2),
    )
    coins = 0.4 * np.maximum(books.sizes[:, LINEAR], 0).T  # the rest are perpetuals
    sizes = books.sizes.reshape(4, -1).T.copy()
    sizes[:, ::2] -= coins
    portfolios = small.books(market, sizes, coins)
    portfolios = portfolios._replace(cash=books.cash)
    expected = margin.margin(market, scenarios.price(market, instruments), portfolios)
    found = Margin(terms).assess(books, prices, scan_range)
    near = {"rel": 1e-8, "abs": 1e-9}  # the ideal layer adds its bound on the kernel's error
    assert found.equity == pytest.approx(expected.equity, **near)
    assert found.maintenance_margin == pytest.approx(expected.maintenance_margin, **near)
    assert found.initial_margin == pytest.approx(expected.initial_margin, **near)
    assert pytest.approx(expected.underlyings.delta, **near) == found.delta.T
    assert expected.maintenance_margin.max() > 1e-3


def test_accounts_are_drawn_above_maintenance_and_to_scale():
    crowd, terms = Crowd(accounts=1_000, open_interest=0.7), Terms()
    books = draw(np.random.default_rng(1), crowd, Margin(terms))
    found = Margin(terms).assess(books, np.ones(2), np.array(terms.scan_range))
    assert np.all(found.equity > found.maintenance_margin)
    assert 0.01 < np.mean(found.equity < found.initial_margin) < 0.25
    assert 0.7 < np.maximum(books.sizes[:, LINEAR], 0).sum(axis=1).min() < 1.2


# Parts -------------------------------------------------------------------------------------------


def test_impact_is_a_square_root_of_what_is_remembered():
    market = Market(Liquidity(depth=0.5, permanent=0, recovery_seconds=100))
    once = market.move(np.array([-0.01, 0.02]))
    assert market.move(np.array([-0.04, 0.08])) == pytest.approx(2 * once)
    assert once == pytest.approx(np.array([-0.6, 0.8]) / 365**0.5 * np.sqrt([0.02, 0.04]))
    halves = market.trade(np.array([-0.005, 0.01])) + market.trade(np.array([-0.005, 0.01]))
    assert halves == pytest.approx(once) and market.displacement == pytest.approx(once)
    market.recover(200)
    assert market.displacement == pytest.approx(once * np.exp(-1))


def test_permanent_impact_is_linear_and_stays():
    market = Market(Liquidity(temporary=0, permanent=0.3))
    moved = market.trade(np.array([-0.1, 0.0])) + market.trade(np.array([-0.2, 0.0]))
    market.recover(1e9)
    assert market.displacement == pytest.approx([-0.3 * 0.3 * 0.6 / 365**0.5, 0])
    assert moved == pytest.approx(market.displacement)


def test_discount_widens_fast_and_then_slowly():
    discount = Discount(0.02, 0.3, 600, 7_200)
    ages = np.array([0, 300, 600, 4_200, 7_800, 1e6])
    assert discount.share(ages) == pytest.approx([0.02, 0.16, 0.3, 0.65, 1, 1])


def test_the_largest_slice_restores_initial_margin_and_the_buffer():
    rng = np.random.default_rng(5)
    maintenance = rng.uniform(1, 2, 500)
    equity = rng.uniform(-0.2, 1, 500) * maintenance
    found = Assessment(equity, maintenance, maintenance / 0.8, None)
    share, policy = rng.uniform(0, 1, 500), Policy(buffer=0.1, dust=0)
    sold = largest_slice(found, share, policy)
    left = found.equity - sold * bidders_gain(found, share, policy)
    part = sold < 1
    aimed = (1.1 * (1 - sold) * found.initial_margin)[part]
    assert left[part] == pytest.approx(aimed) and 50 < part.sum() < 450
    assert np.all(found.equity[~part] <= (share * maintenance)[~part] + 1e-12)


def test_dust_is_sold_with_the_rest():
    found = Assessment(np.array([0.79]), np.array([0.8]), np.array([1.0]), None)
    alone = largest_slice(found, 0.02, Policy(dust=0))
    rest = (1 - alone) * 0.8
    assert largest_slice(found, 0.02, Policy(dust=rest * 0.99)) == alone < 1
    assert largest_slice(found, 0.02, Policy(dust=rest * 1.01)) == 1


def test_bidders_gain_what_the_specification_gives_away():
    """Price max(0, E − δ·MM), or −δ·(−E + bonus·MM) below nothing; a bidder gains E − price."""
    found = Assessment(np.array([0.5, 0.1, 0.0, -0.5]), np.ones(4), np.ones(4), None)
    gain = bidders_gain(found, 0.3, Policy(insolvency_bonus=0.5))
    assert gain == pytest.approx([0.3, 0.1, 0.0, -0.5 + 0.3 * (0.5 + 0.5)])


def test_a_window_lets_no_more_through_than_it_holds_and_leaks():
    bucket = Bucket(Window(capacity=1.0, period_seconds=100), 2)
    volumes = np.array([[0.6, 0.6, 0.0, 9.0], [0.0, 0.1, 0.5, 9.0]])
    urgent = np.array([False, False, False, True])
    share = bucket.admit(volumes, urgent)
    assert share == pytest.approx([1, 2 / 3, 1, 1])
    bucket.fill(volumes[:, :3] @ share[:3])
    assert bucket.level == pytest.approx([1, 0.5 + 0.2 / 3])
    assert list(bucket.full) == [True, False]
    bucket.leak(30)
    assert bucket.level[0] == pytest.approx(0.7)
    assert bucket.admit(np.array([[1.0], [0.0]]), np.array([False])) == pytest.approx([0.3])


def test_bidders_hold_more_for_a_greater_discount_and_less_after_losses():
    bidders = Bidders(np.random.default_rng(1), Bidding(hedged_at_once=0), 1.0, 2)
    offers = np.array([0.4, 0.2, 0.0])
    asked = np.full(3, 10.0)
    taken = bidders.admit(offers, asked) * asked
    assert taken[0] == pytest.approx(np.interp(0.4, np.linspace(0, 1.5, 301), bidders.supply))
    assert 0 < taken[0] < 1 and taken[1] == taken[2] == 0
    bidders.buy(np.array([1.0, 0.0]), taken[0])
    assert bidders.admit(np.array([0.4]), np.array([10.0])) == pytest.approx([0])
    assert bidders.admit(np.array([0.5]), np.array([10.0]))[0] > 0
    bidders.profit = -0.5
    assert bidders.admit(np.array([0.5]), np.array([10.0])) == pytest.approx([0])


def test_bidders_hedge_all_they_hold_in_time():
    bidders = Bidders(np.random.default_rng(1), Bidding(hedged_at_once=0.25), 1.0, 2)
    sold = bidders.buy(np.array([4.0, -2.0]), 1.0)
    assert sold == pytest.approx([1, -0.5]) and bidders.inventory == pytest.approx(0.75)
    for _ in range(100):
        sold = sold + bidders.unwind(3_600)
    assert sold == pytest.approx([4, -2]) and bidders.inventory < 1e-9


# Runs --------------------------------------------------------------------------------------------


def test_a_run_is_repeated_by_its_seed_and_changed_by_another():
    first, again, other = (simulate(SMALL, Policy(), FALL, seed) for seed in (1, 1, 2))
    assert first == again != other


def test_nothing_is_forced_where_nothing_falls():
    flat = Path(np.zeros((60, 2)), 0)
    outcome = simulate(SMALL, Policy(), flat, 1)
    assert outcome.forced == outcome.initial == outcome.fund == outcome.overshoot == 0


def test_without_impact_full_liquidation_takes_exactly_what_is_under_water():
    crowd = replace(SMALL.crowd, patience_seconds=1e12)
    world = replace(SMALL, liquidity=NO_IMPACT, crowd=crowd)
    outcome = simulate(world, FULL, still(0.1), 1)
    # A put's delta, and with it what a hedged book has to sell, changes on the way.
    assert outcome.forced == pytest.approx(outcome.initial, rel=2e-3) and outcome.initial > 0.05
    assert outcome.cost == pytest.approx(0, abs=1e-12) and outcome.unsold == 0


def test_impact_amplifies_full_liquidation_and_slices_damp_it():
    full, partial, auction, windowed = (
        simulate(SMALL, policy, FALL, 1)
        for policy in (FULL, replace(FULL, partial=True), Policy(window=None), Policy())
    )
    assert full.forced > 1.1 * full.initial
    assert partial.forced < 0.8 * full.forced and auction.forced < 0.8 * full.forced
    assert windowed.overshoot < auction.overshoot < full.overshoot
    assert full.initial == partial.initial == auction.initial == windowed.initial


def test_a_window_bounds_forced_volume_per_time():
    trace, window = [], Window(capacity=0.01, period_seconds=3_600, urgent=0)
    outcome = simulate(SMALL, Policy(window=window), still(0.08, 120), 1, trace)
    forced = np.array([row[2] for row in trace])
    allowed = 2 * (0.01 + 0.01 / 3_600 * np.arange(len(trace)) * 60)
    assert outcome.fund == 0 and forced[-1] > 0.01
    # A bucket for each underlying. It counts the greater delta of a book with puts, so it may
    # let a little less through.
    assert np.all(forced <= allowed * (1 + 1e-9))


def test_clocks_pause_in_recovery_and_begin_anew_once_insolvent_or_run_out():
    run = Simulation(SMALL, Policy(buffer=0.1), 1)

    def found(now, equity):
        run.now, ones = now, np.ones(len(run.started))
        run._flag(Assessment(equity * ones, ones, 1.25 * ones, None))
        return run.started[0], run.delayed[0]

    assert found(0, 0.9) == (0, 0)
    assert found(60, 1.1) == (0, 60) and found(120, 1.1) == (0, 120)
    assert found(180, 0.9) == (0, 120)
    assert found(240, -0.1) == (240, 0)
    assert found(300, 0.5) == found(360, -0.1) == (240, 0)
    run_out = 240 + Policy().discount.whole_seconds
    assert found(run_out, -0.1) == (240, 0)
    assert found(run_out + 60, 0.5) == (run_out + 60, 0)
    assert found(run_out + 120, 1.37)[0] == run_out + 60
    assert found(run_out + 180, 1.1 * 1.25)[0] == np.inf


def test_a_gap_leaves_bad_debt_which_the_fund_pays():
    log_prices = np.zeros((30, 2))
    log_prices[5:] = np.log(0.6)
    outcome = simulate(SMALL, FULL, Path(log_prices, 10), 1)
    assert outcome.fund == outcome.bad_debt > 0.01


def test_parameters_that_jump_liquidate_more_than_such_that_ramp():
    still_standing, ramp, jump = (
        simulate(SMALL, Policy(follow=follow), shock(0.06, 1, horizon_seconds=7_200), 1).forced
        for follow in (None, Follow(rise_rate=0.05), Follow(rise_rate=np.inf))
    )
    assert still_standing <= ramp < 0.6 * jump


def test_a_clock_that_waits_for_the_window_costs_owners_less():
    window = Window(capacity=0.01)
    runs, waits = (
        simulate(SMALL, Policy(window=window, clock_waits=waits), FALL, 1)
        for waits in (False, True)
    )
    assert waits.cost < runs.cost
