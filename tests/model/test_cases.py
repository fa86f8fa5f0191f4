"""The generated cases: valid by construction, reproducible, and reaching every corner."""

from functools import cache
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_model import cases
from reference_model.ideal import instruments as packed
from reference_model.ideal import svi
from reference_model.types import DAY, PPM, WAD, Assessment


@cache
def sample():
    return [cases.random_case(Random(seed), 40) for seed in range(150)]


def markets():
    return [market for market, _ in sample()]


def slots():
    return [slot for _, group in sample() for each in group for slot in each.positions]


def require_valid(market, portfolios):
    """Ranges of the specification, sections 3, 7, 8 and 13."""
    g = market.global_parameters
    assert WAD // 10 <= g.maintenance_factor <= g.initial_factor <= 4 * WAD
    assert 3600 <= g.minimum_tau_seconds <= 30 * DAY
    vols = [each.vol_ppm for each in market.scenarios]
    classes = [vol for i, vol in enumerate(vols) if i == 0 or vol != vols[i - 1]]
    assert len(set(vols)) == len(classes) <= 4 and 1 <= len(vols) <= 40
    for x, y, weight in market.scenarios:
        assert abs(x) <= 20 * PPM and abs(y) <= 5 * PPM and 0 < weight <= PPM
    ids = {spot.underlying for spot in market.spots}
    for spot in market.spots:
        p = spot.parameters
        assert all(0 < price < 2**96 for price in (spot.index, spot.mark, spot.stable_index))
        assert WAD // 1000 <= p.scan_range <= p.max_scan_range <= 9 * WAD // 10
        assert p.scan_range <= spot.scan_range <= spot.initial_scan_range <= p.max_scan_range
        assert p.vol_range <= 2 * WAD
        assert p.oi_lower < p.oi_upper < 2**96 and WAD <= p.depth < 2**96 and p.group < 8
    for each in market.slices:
        assert each.underlying in ids and 0 < each.forward < 2**96 and 0 < each.discount <= WAD
    assets = {each.asset for each in market.collaterals}
    for each in market.collaterals:
        assert each.parameters.underlying in ids | {0} and 0 < each.rate < 2**96
        assert each.parameters.decimals <= 24 and each.parameters.haircut < WAD
    dated = {(each.underlying, each.expiry) for each in market.slices}
    for portfolio in portfolios:
        require_valid_portfolio(portfolio, ids, dated, assets)


def require_valid_portfolio(portfolio, ids, dated, assets):
    words = [packed.decode_position(slot)[0] for slot in portfolio.positions]
    assert len(set(words)) == len(words) <= 128
    for slot, word in zip(portfolio.positions, words, strict=True):
        assert 0 <= slot < 2**256
        underlying, expiry, kind, strike = packed.decode_instrument(word)
        assert underlying in ids and (not expiry or (underlying, expiry) in dated)
        assert kind < packed.Kind.CALL or strike > 0
        _, size, quote = packed.decode_position(slot)
        assert abs(size) < 2**95 and abs(quote) < 2**111 and (size or quote)
        assert size or kind < packed.Kind.CALL
    held = [word >> 248 for word in portfolio.collateral]
    assert held == sorted(set(held)) and set(held) <= assets
    assert all(0 < word % 2**248 < 2**128 for word in portfolio.collateral)
    assert {word >> 248 for word in portfolio.open_interest} == {word >> 120 for word in words}
    assert abs(portfolio.cash) < 2**103


def test_cases_are_valid():
    for market, portfolios in sample():
        require_valid(market, portfolios)


@given(st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_cases_of_hypothesis_are_valid(rng):
    require_valid(*cases.random_case(rng, 2))


def test_the_seed_determines_the_case():
    assert cases.random_case(Random(3), 5) == cases.random_case(Random(3), 5)
    assert cases.random_case(Random(3), 5) != cases.random_case(Random(4), 5)


def test_sizes_of_portfolios_favour_small_ones():
    counts = [len(each.positions) for _, group in sample() for each in group]
    assert sorted(counts)[len(counts) // 2] <= 5
    assert counts.count(0) > 10 and max(counts) > 40


def test_all_kinds_both_modes_and_all_decimals_occur():
    decoded = [packed.decode_position(slot) for slot in slots()]
    kinds = {packed.decode_instrument(word)[2] for word, _, _ in decoded}
    assert kinds == set(packed.Kind)
    assert any(size == 0 and quote != 0 for _, size, quote in decoded)
    assert {each.margin_mode for _, group in sample() for each in group} == {0, 1}
    markets = [cases.random_market(Random(seed)) for seed in range(600)]
    decimals = {each.parameters.decimals for market in markets for each in market.collaterals}
    assert decimals == set(range(25))


def test_expiries_stand_at_and_beside_their_guards():
    taus, settled = set(), set()
    for seed in range(1500):
        market = cases.random_market(Random(seed))
        for each in market.slices:
            tau = each.expiry - market.now
            minimum = market.global_parameters.minimum_tau_seconds
            taus |= {("now", tau), ("30 days", tau - 30 * DAY), ("least", tau - minimum)}
            settled.add((tau <= 0, each.settlement_price > 0))
    for guard in ("now", "30 days", "least"):
        assert {(guard, offset) for offset in (-1, 0, 1)} <= taus
    assert settled == {(False, False), (True, False), (True, True)}


def test_prices_reach_both_ends():
    indices = [
        spot.index for seed in range(2000) for spot in cases.random_market(Random(seed)).spots
    ]
    assert min(indices) < 10 and max(indices) > 2**93


def test_packed_scenarios_are_sixteen_bytes_each():
    market = markets()[0]._replace(scenarios=cases.span_scenarios(), former_weights=())
    assert len(market.packed_scenarios()) == 16 * 18
    assert market.packed_scenarios()[:16].hex() == "fff0bdc0000f4240000f4240000f4240"
    ramping = market._replace(former_weights=(5, *range(17)))
    assert ramping.packed_scenarios()[:16].hex() == "fff0bdc0000f424000000005000f4240"


def test_ramps_scan_ranges_and_ages_reach_their_corners():
    markets = [cases.random_market(Random(seed)) for seed in range(600)]
    assert {0, 1, WAD - 1, WAD} <= {m.progress for m in markets if m.former_weights}
    assert {0, PPM} <= {weight for m in markets for weight in m.former_weights}
    spots = [spot for market in markets for spot in market.spots]
    assert {spot.initial_scan_range - spot.scan_range for spot in spots} >= {0, 1}
    dated = [each for m in markets for each in (*m.spots, *m.slices, *m.collaterals)]
    ages = {cases.NOW - each.timestamp for each in dated}
    assert {0, 899, 900, 901, 3_599, 3_600, 3_601, DAY - 1, DAY, DAY + 1, cases.NOW} <= ages


@pytest.mark.parametrize("size", [-(2**95) + 1, -1, 1, 2**95 - 1])
def test_position_survives_packing(size):
    linear = cases.instrument_word(7, 1_800_000_000)
    option = cases.instrument_word(7, 1_800_000_000, 123, True)
    assert packed.decode_position(cases.position_slot(linear, size, -size)) == (
        linear,
        size / WAD,
        -size / WAD,
    )
    assert packed.decode_position(cases.position_slot(option, size)) == (option, size / WAD, 0.0)
    assert packed.decode_instrument(option) == (7, 1_800_000_000, packed.Kind.PUT, 123e-8)


def test_slice_survives_packing():
    slices = [(-0.25, 1.5, -0.75, -0.5, 0.125), (0.125, 0.0, 0.5, 2.0, 3.0)]
    for each in slices:
        assert svi.unpack(cases.pack_svi(*each)) == list(each)
    assert cases.pack_svi(-0.25, 1.5, -0.75, -0.5, 0.125) == (
        (2**64 - 2**54)
        | 3 << 55 + 64
        | (2**32 - 3 * 2**28) << 128
        | (2**48 - 2**39) << 160
        | 1 << 245
    )


def test_slices_have_variance_of_at_least_zero():
    for market in markets():
        for a, b, rho, _, sigma in (svi.unpack(each.svi) for each in market.slices):
            assert b >= 0 and abs(rho) < 1 and sigma > 0
            assert a + b * sigma * (1 - rho**2) ** 0.5 > -1e-7


def test_cash_at_the_border_hits_it_within_one_unit():
    portfolio = sample()[0][1][0]._replace(cash=0)
    assessment = Assessment(70, 60, 50, 100, 130, 0)
    reached = {cases.at_the_border(Random(seed), portfolio, assessment).cash for seed in range(200)}
    assert reached == {-71, -70, -69, 29, 30, 31, 69, 70, 71}
