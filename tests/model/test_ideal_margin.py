"""Properties of the ideal requirement, equity and health: what margin must do in any code."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model import ideal_market as small

from reference_model.ideal import funding, interest, margin, scenarios
from reference_model.ideal.instruments import Kind

MARKET = small.market()
INSTRUMENTS, RISK = small.priced(MARKET)
SLACK = 1e-6  # USD, far above float64 rounding of books of about 1e5 USD


def assessed(sizes, collateral=None, market=MARKET, risk=RISK, **account):
    return margin.margin(market, risk, small.books(market, sizes, collateral, **account), True)


def find(underlying, kind, days=None, moneyness=1.0):
    """Row of an instrument; options by the strike nearest to a moneyness of the index."""
    expiry = small.NOW + days * small.DAY if days else 0
    match = (INSTRUMENTS.underlying == underlying) & (INSTRUMENTS.kind == kind)
    match &= INSTRUMENTS.expiry == expiry
    index = MARKET.underlyings.index[list(MARKET.underlyings.underlying).index(underlying)]
    distance = np.abs(INSTRUMENTS.strike / index - moneyness) if kind >= Kind.CALL else 0
    return int(np.argmin(np.where(match, distance, np.inf)))


def book(**positions):
    """Dense sizes from rows: ``book(p3=1.0)`` holds one unit of instrument 3."""
    sizes = np.zeros(len(RISK.value))
    for row, size in positions.items():
        sizes[int(row[1:])] = size
    return sizes


def holding(*pairs):
    return book(**{f"p{row}": size for row, size in pairs})


# Coherence of the scan risk ----------------------------------------------------------------------

sparse_sizes = st.lists(
    st.tuples(st.integers(0, len(RISK.value) - 1), st.floats(-10, 10)), max_size=8
).map(lambda pairs: holding(*pairs))


@given(sparse_sizes, sparse_sizes)
@settings(max_examples=150, deadline=None)
def test_scan_risk_is_subadditive(one, other):
    risk = assessed([one, other, one + other]).scan_risk
    assert risk[2] <= risk[0] + risk[1] + SLACK


@given(sparse_sizes, st.floats(0.01, 50))
@settings(max_examples=100, deadline=None)
def test_scan_risk_is_homogeneous(sizes, factor):
    risk = assessed([sizes, factor * sizes]).scan_risk
    assert risk[1] == pytest.approx(factor * risk[0], rel=1e-9, abs=SLACK * (1 + factor))


def test_coherence_holds_on_many_random_books():
    rng = np.random.default_rng(11)
    one, other = (small.random_sizes(rng, RISK, 3000) for _ in range(2))
    alone, added, both = (assessed(sizes).scan_risk for sizes in (one, other, one + other))
    assert np.all(both <= alone + added + SLACK)
    assert assessed(3 * one).scan_risk == pytest.approx(3 * alone, rel=1e-9)


def test_a_book_that_is_never_worse_needs_no_more():
    """Monotone: adding anything that loses in no scenario cannot raise the scan risk."""
    rng = np.random.default_rng(12)
    sizes = small.random_sizes(rng, RISK, 500)
    long_only = scenarios.price(small.market(small.grid(tails=())), INSTRUMENTS)
    scan = small.market(
        scenarios=MARKET.scenarios._replace(
            price_move=np.abs(MARKET.scenarios.price_move), vol_move=np.zeros(18)
        )
    )
    calls_gain = scenarios.price(scan, INSTRUMENTS)
    futures = np.where(INSTRUMENTS.kind == Kind.FUTURE, 1.0, 0.0)
    before = margin.margin(scan, calls_gain, small.books(scan, sizes)).scan_risk
    after = margin.margin(scan, calls_gain, small.books(scan, sizes + futures)).scan_risk
    assert np.all(calls_gain.pnl[:, futures > 0] >= 0) and np.all(after <= before + SLACK)
    assert np.any(after < before - 1) and np.any(long_only.pnl < 0)


def test_netted_never_exceeds_isolated():
    rng = np.random.default_rng(13)
    collateral = np.abs(rng.normal(size=(2000, 4))) * [1, 10, 100, 1e4]
    result = assessed(small.random_sizes(rng, RISK, 2000), collateral)
    assert np.all(result.underlyings.worst_loss <= result.underlyings.isolated_loss + SLACK)
    assert np.all(result.scan_risk <= result.isolated_scan_risk + SLACK)
    assert np.all(result.maintenance_margin <= result.isolated_maintenance_margin)
    assert np.all(result.maintenance_margin <= result.initial_margin + SLACK)
    saving = margin.capital_efficiency(result)
    assert np.all((saving >= 0) & (saving < 1)) and saving.mean() > 0.1


def test_isolated_mode_is_the_sum_of_its_positions():
    rng = np.random.default_rng(14)
    sizes = small.random_sizes(rng, RISK, 1)[0]
    rows = np.flatnonzero(sizes)
    singles = assessed([holding((row, sizes[row])) for row in rows])
    whole = assessed([sizes], mode=1)
    assert whole.isolated_scan_risk == pytest.approx(singles.scan_risk.sum())
    assert whole.maintenance_margin == whole.isolated_maintenance_margin
    assert np.all(whole.maintenance_margin >= whole.net_maintenance_margin)


def test_order_of_positions_and_accounts_is_irrelevant():
    rng = np.random.default_rng(15)
    books = small.books(MARKET, small.random_sizes(rng, RISK, 100))
    shuffled = rng.permutation(len(books.account))
    mixed = books._replace(
        **{
            name: getattr(books, name)[shuffled]
            for name in ("account", "instrument", "size", "quote")
        }
    )
    one, other = (margin.margin(MARKET, RISK, each) for each in (books, mixed))
    assert other.initial_margin == pytest.approx(one.initial_margin, rel=1e-12)
    alone = margin.margin(MARKET, RISK, margin.select(books, [7, 3]))
    assert alone.initial_margin == pytest.approx(one.initial_margin[[7, 3]], rel=1e-12)


# Hedges ------------------------------------------------------------------------------------------


def test_cash_and_carry_needs_little_more_than_its_basis():
    perpetual, future = find(small.BTC, Kind.PERPETUAL), find(small.BTC, Kind.FUTURE, 60)
    ratio = RISK.delta[perpetual] / RISK.delta[future]
    result = assessed([holding((perpetual, 1), (future, -ratio))])
    assert result.scan_risk == pytest.approx(0, abs=SLACK)
    expected = 0.005 * RISK.delta[perpetual] * 60 / 30
    assert result.underlyings.basis_charge[0, 0] == pytest.approx(expected)
    assert margin.capital_efficiency(result) > 0.9


def test_collateral_hedges_a_short_perpetual_and_not_a_short_put():
    perpetual, put = find(small.ETH, Kind.PERPETUAL), find(small.ETH, Kind.PUT, 60)
    collateral = np.zeros((2, 4))
    collateral[:, 1] = 10
    spot = 10 * 1.1 * 0.93 * 3000
    short = holding((perpetual, -spot / RISK.delta[perpetual])), holding((put, -10))
    without, backed = assessed(short), assessed(short, collateral)
    assert backed.scan_risk[0] == pytest.approx(0, abs=SLACK) and without.scan_risk[0] > 1000
    assert backed.scan_risk[1] > 1.5 * without.scan_risk[1]


def test_a_vertical_loses_at_most_its_width():
    low, high = (find(small.BTC, Kind.CALL, 7, moneyness) for moneyness in (1.0, 1.1))
    width = INSTRUMENTS.strike[high] - INSTRUMENTS.strike[low]
    risk = assessed([holding((low, -1), (high, 1)), holding((low, -1))]).scan_risk
    assert 0 < risk[0] < width < risk[1]


def test_two_longs_get_no_offset_and_a_long_against_a_short_at_most_its_share():
    btc, eth = find(small.BTC, Kind.PERPETUAL), find(small.ETH, Kind.PERPETUAL)
    dollars = 1e5 / np.array([RISK.delta[btc] * 0.15, RISK.delta[eth] * 0.18])
    singles = [holding((btc, dollars[0])), holding((eth, dollars[1]))]
    pair = assessed([*singles, singles[0] + singles[1], singles[0] - singles[1]]).scan_risk
    assert pair == pytest.approx([1e5, 1e5, 2e5, 0.3 * 2e5])


def test_underlyings_of_different_groups_never_offset():
    btc, sol = find(small.BTC, Kind.PERPETUAL), find(small.SOL, Kind.PERPETUAL)
    risk = assessed([holding((btc, 1)), holding((sol, -100)), holding((btc, 1), (sol, -100))])
    assert risk.scan_risk[2] == pytest.approx(risk.scan_risk[0] + risk.scan_risk[1])
    assert risk.group_risk[2, :2] == pytest.approx([risk.scan_risk[0], risk.scan_risk[1]])


# Charges, equity, health -------------------------------------------------------------------------


def basis_by_matching(deltas, times):
    """Cost of one way to hedge buckets with one another: each with the latest open opposite one."""
    open_deltas, cost = [], 0.0
    for delta, time in zip(deltas, times, strict=True):
        while delta and open_deltas and open_deltas[-1][0] * delta < 0:
            other, since = open_deltas.pop()
            matched = min(abs(delta), abs(other))
            cost += matched * (time - since)
            delta += matched * np.sign(other)
            if abs(other) > matched:
                open_deltas.append((other - matched * np.sign(other), since))
        if delta:
            open_deltas.append((delta, time))
    return cost


def test_basis_is_the_cheapest_transport_of_delta_over_time():
    """Equal to it for books that are hedged in full, never above it otherwise."""
    rng = np.random.default_rng(16)
    rows = [find(small.BTC, Kind.PERPETUAL), *(find(small.BTC, Kind.FUTURE, d) for d in (7, 60))]
    deltas = rng.normal(size=(100, 3)) * 1e5
    deltas[:50, 1] = -deltas[:50, 0] - deltas[:50, 2]
    sizes = [holding(*zip(rows, each / RISK.delta[rows], strict=True)) for each in deltas]
    charge = assessed(sizes).underlyings.basis_charge[:, 0]
    matched = np.array([basis_by_matching(each, [0, 7, 60]) for each in deltas]) / 30 * 0.005
    assert charge[:50] == pytest.approx(matched[:50], abs=SLACK)
    assert np.all(charge <= matched + SLACK) and np.any(charge[50:] > 100)


def test_concentration_starts_at_the_depth_and_follows_the_square_root():
    got = margin.concentration(np.array([0.0, 1.0, 4.0, 9.0]), 0.02, 1.0)
    assert got == pytest.approx([0, 0, 0.02 * 4 * 1, 0.02 * 9 * 2])


def test_confidence_is_charged_on_the_net_delta():
    perpetual = find(small.ETH, Kind.PERPETUAL)
    wide = small.market(confidence=30.0)
    near, far = (assessed([holding((perpetual, -5))], market=m) for m in (MARKET, wide))
    more = far.maintenance_margin - near.maintenance_margin
    assert more == pytest.approx((30 - 3) * 5 * 1.001)


def test_short_options_are_charged_however_far_out_of_the_money():
    call = find(small.BTC, Kind.CALL, 7, 1.4)
    result = assessed([holding((call, -2)), holding((call, 2))])
    assert result.underlyings.short_option_charge[:, 0] == pytest.approx([0.005 * 6e4 * 2, 0])


def test_open_interest_scales_initial_margin_only():
    perpetual = find(small.BTC, Kind.PERPETUAL)
    quiet, half, full, beyond = (
        assessed([holding((perpetual, 1))], open_interest=2 * oi) for oi in (1e4, 5.5e4, 1e5, 1e9)
    )
    base = 6e4 * 1.001 * 0.15
    extra = [(each.initial_margin - quiet.initial_margin) / base for each in (half, full, beyond)]
    assert np.concatenate(extra) == pytest.approx([0.25, 0.5, 0.5])
    assert beyond.maintenance_margin == quiet.maintenance_margin


def test_depeg_is_charged_on_cash_like_collateral():
    result = assessed([np.zeros(len(RISK.value))], np.array([[0.0, 0.0, 0.0, 1000.0]]))
    assert result.maintenance_margin == pytest.approx(0.01 * 999)
    assert result.equity == pytest.approx(999) and result.collateral_equity == pytest.approx(998)


def test_collateral_counts_initially_at_the_worse_of_spot_and_stable_price():
    balances = np.array([[2.0, 10.0, 0.0, 0.0]])
    high = MARKET._replace(underlyings=MARKET.underlyings._replace(stable_index=np.full(3, 1e6)))
    for market, expected in (
        (MARKET, 2 * 0.95 * 58_800 + 10 * 0.93 * 1.08 * 2940),
        (high, 2 * 0.95 * 60_000 + 10 * 0.93 * 1.1 * 3000),
    ):
        result = assessed([np.zeros(len(RISK.value))], balances, market=market, cash=7.0)
        assert result.collateral_equity == pytest.approx(7 + expected)
        assert result.equity == pytest.approx(7 + 2 * 0.95 * 60_000 + 10 * 0.93 * 1.1 * 3000)


def test_profit_is_weighted_and_capped_and_loss_is_not():
    perpetual = find(small.BTC, Kind.PERPETUAL)
    capped = MARKET._replace(parameters=MARKET.parameters._replace(profit_weight=0.5))
    books = small.books(capped, [holding((perpetual, 1))] * 3)
    books = books._replace(quote=-RISK.value[perpetual] + np.array([-100.0, 100.0, 1e9]))
    result = margin.margin(capped, RISK, books)
    assert result.equity == pytest.approx([-100, 100, 1e9])
    assert result.initial_equity == pytest.approx([-100, 50, 1e7])
    assert np.all(result.collateral_equity == 0)


def test_health_is_the_first_condition_that_holds():
    e = np.array([-1.0, 4.0, 9.0, 5.0, 10.0])
    ie = np.array([-1.0, 4.0, 9.0, 5.0, 10.0])
    assert margin.health(e, ie, 5.0, 10.0).tolist() == [3, 2, 1, 1, 0]


def test_isolated_mode_charges_collateral_and_confidence_without_offset():
    """Ten ETH against a short perpetual of the same delta: nothing netted, twice it isolated."""
    perpetual = find(small.ETH, Kind.PERPETUAL)
    collateral = np.array([[0.0, 10.0, 0.0, 0.0]])
    spot = 10 * 1.1 * 0.93 * 3000
    result = assessed([holding((perpetual, -spot / RISK.delta[perpetual]))], collateral, mode=1)
    u = result.underlyings
    assert u.isolated_loss[0, 1] == pytest.approx(2 * spot * 0.18)
    assert u.isolated_confidence_charge[0, 1] == pytest.approx(2 * spot * 1e-3)
    assert u.confidence_charge[0, 1] == pytest.approx(0, abs=SLACK)
    expected = 0.8 * 2 * spot * 0.18 + 2 * spot * 1e-3
    assert result.maintenance_margin[0] == pytest.approx(expected)


def test_settled_positions_carry_value_and_no_risk():
    expired = MARKET._replace(now=small.NOW + 8 * small.DAY)
    posted = expired.slices.settlement_price.copy()
    posted[0] = 58_000.0
    final = expired._replace(slices=expired.slices._replace(settlement_price=posted))
    put, future = find(small.BTC, Kind.PUT, 7, 1.1), find(small.BTC, Kind.FUTURE, 7)
    call, out = find(small.BTC, Kind.CALL, 7, 0.7), find(small.BTC, Kind.CALL, 7, 1.1)
    pairs = (put, -2), (future, 3), (call, 1), (out, 1)
    sizes = [holding(pair) for pair in pairs]
    payoff = INSTRUMENTS.strike[put] - 58_000
    done = assessed(sizes, market=final, risk=scenarios.price(final, INSTRUMENTS))
    exercised = 58_000 - INSTRUMENTS.strike[call]
    assert done.equity == pytest.approx([-2 * payoff, 3 * 58_000, exercised, 0])
    assert np.all(done.maintenance_margin == 0)
    waiting = assessed(sizes, market=expired, risk=scenarios.price(expired, INSTRUMENTS))
    assert waiting.equity[:2] == pytest.approx([2 * (6e4 - INSTRUMENTS.strike[put]), 3 * 6e4])
    assert np.all(waiting.maintenance_margin[:3] > 0)
    assert np.all(waiting.underlyings.basis_charge == 0)


def test_breakdown_adds_up_to_the_margin():
    rng = np.random.default_rng(17)
    books = small.books(MARKET, small.random_sizes(rng, RISK, 20), cash=1e4)
    result, position_pnl = margin.breakdown(MARKET, RISK, books, 5)
    every = margin.margin(MARKET, RISK, books)
    assert result.initial_margin[0] == pytest.approx(every.initial_margin[5], rel=1e-12)
    netted = result.underlyings.netted[:, 0]
    assert position_pnl.sum(axis=1) == pytest.approx(netted.sum(axis=1), rel=1e-9)
    worst = np.maximum(-netted.min(axis=0), 0) + result.underlyings.error[0]
    assert result.underlyings.worst_loss[0] == pytest.approx(worst)


# Wrong twins: each property above must notice a formula that is wrong ----------------------------


def test_netting_without_weights_is_caught():
    twin = scenarios.price(
        MARKET._replace(scenarios=MARKET.scenarios._replace(weight=np.ones(18))), INSTRUMENTS
    )
    perpetual = find(small.BTC, Kind.PERPETUAL)
    right, wrong = (assessed([holding((perpetual, 1))], risk=risk) for risk in (RISK, twin))
    assert wrong.scan_risk == pytest.approx(4 * right.scan_risk)


@pytest.mark.parametrize(
    "twin",
    [
        RISK._replace(pnl=-RISK.pnl),
        RISK._replace(pnl=np.where(INSTRUMENTS.is_put, -RISK.pnl, RISK.pnl)),
        RISK._replace(delta=np.abs(RISK.delta)),
        RISK._replace(bucket=np.zeros_like(RISK.bucket)),
        RISK._replace(worst_short=RISK.worst_long),
        RISK._replace(value=RISK.value * (1 + 1e-9)),
    ],
    ids=["sign", "put", "delta", "bucket", "short", "value"],
)
def test_wrong_risk_changes_a_result(twin):
    rng = np.random.default_rng(18)
    books = small.books(MARKET, small.random_sizes(rng, RISK, 200))
    right, wrong = (margin.margin(MARKET, risk, books) for risk in (RISK, twin))
    columns = [
        (one, other)
        for one, other in zip(right[:15], wrong[:15], strict=True)
        if not np.allclose(one, other, rtol=1e-11, atol=1e-7)
    ]
    assert columns


# Funding and interest ----------------------------------------------------------------------------


def test_funding_moves_from_long_to_short_at_the_capped_premium():
    eight_hours = 8 * 3600
    got = funding.accrue(5.0, np.array([101.0, 99.0, 200.0]), 100.0, 0.0075, eight_hours / 2)
    assert got == pytest.approx([5 + 0.5 * 0.75, 5 - 0.5 * 0.75, 5 + 0.5 * 0.75])
    assert funding.accrue(0.0, 100.5, 100.0, 0.0075, eight_hours) == pytest.approx(0.5)
    worth = funding.perpetual_value(np.array([2.0, -2.0]), 0.0, 100.0, 5.0)
    assert worth == pytest.approx([190, -190])


def test_interest_has_a_corner_at_the_kink_and_keeps_the_reserve():
    parameters = interest.InterestParameters(0.01, 0.06, 1.0, 0.8, 0.1)
    rates = interest.borrow_rate(parameters, np.array([0.0, 0.4, 0.8, 0.9, 1.0]))
    assert rates == pytest.approx([0.01, 0.04, 0.07, 0.57, 1.07])
    pool = interest.CashPool(*(np.array([x]) for x in (600.0, 400.0, 1.0, 1.0)))
    after = interest.accrue(pool, parameters, interest.YEAR_SECONDS)
    charged = after.total_debt - 400
    earned = interest.up_to_date(1000.0, 1.0, after) - 1000
    assert charged == pytest.approx(400 * 0.04) and earned == pytest.approx(0.9 * charged)
    assert interest.up_to_date(-400.0, 1.0, after) == pytest.approx(-after.total_debt)


def test_interest_without_debt_is_nothing():
    parameters = interest.InterestParameters(0.0, 0.06, 1.0, 0.8, 0.1)
    pool = interest.CashPool(*(np.array([x]) for x in (0.0, 0.0, 1.2, 1.1)))
    assert interest.accrue(pool, parameters, 1e9) == pool
    assert interest.up_to_date(5.0, 0, pool) == 5
