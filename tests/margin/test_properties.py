"""What must hold for every book, on seeded random ones."""

import numpy as np
import pytest
from margin import desk as books
from margin import random_books
from margin.desk import wad

from reference_model.exact import risk_model
from reference_model.types import DAY, PPM, WAD, MarginMode, Scenario

COUNT = 60
# Per account: rounding of some dozens of terms, and the kernel's bound on books below 1e7 USD.
SLACK = 10**14


@pytest.fixture
def generator():
    return np.random.default_rng(20_260_205)


@pytest.fixture
def market(now):
    return random_books.rich_market(now)


@pytest.fixture
def portfolios(generator, now):
    return [random_books.random_book(generator, now) for _ in range(COUNT)]


def test_order_of_positions_is_irrelevant(desk, market, generator, portfolios):
    mixed = [random_books.shuffled(generator, each) for each in portfolios]
    assert mixed != portfolios
    assert desk.breakdowns(market, *mixed) == desk.breakdowns(market, *portfolios)


def test_assess_is_the_heart_of_the_breakdown(desk, market, portfolios):
    assessments = [each.assessment for each in desk.breakdowns(market, *portfolios)]
    assert desk.assessments(market, *portfolios) == assessments


def one_underlying(generator, now):
    """Options on one underlying, of every mix of longs and shorts, some with their delta hedged."""
    options = {}
    shape, spread = generator.integers(0, 4), generator.choice([0.02, 0.1, 0.4])
    for i in range(generator.integers(1, 48)):
        strike = max(500, 500 * round(120 * np.exp(generator.normal(0, spread))))
        expiry = now + int(generator.choice([1, 7, 30, 90])) * DAY
        size = generator.integers(1, 300) / 100
        size *= (1, -1, (-1) ** i, generator.choice([-1, 1]))[shape]
        options[strike, expiry, bool(generator.random() < 0.5)] = size
    slots = [books.option(1, t, k, size, put) for (k, t, put), size in options.items()]
    hedge = round(-sum(options.values()) * generator.choice([0, 0.5, 1]), 2)
    return books.book(*slots, *([books.linear(1, hedge)] if hedge else []))


@pytest.mark.parametrize("volatility", [0.05, 0.6, 3])
@pytest.mark.parametrize("mode", MarginMode)
def test_few_scenarios_say_what_all_say(desk, generator, now, volatility, mode):
    fine = tuple(Scenario(x * PPM // 3, y, PPM) for y in (PPM, 0, -PPM) for x in range(-5, 6))
    slices = [
        books.slice_(1, now + days * DAY, books.BTC_PRICE, now, volatility=volatility)
        for days in (1, 7, 30, 90)
    ]
    spots = [books.spot(1, books.BTC_PRICE, now, basis_rate=wad(0.005))]
    accounts = [one_underlying(generator, now)._replace(margin_mode=mode) for _ in range(COUNT)]
    for scenarios in (fine, books.span(), books.fine_span()):
        market = books.market(now, spots=spots, slices=slices, collaterals=(), scenarios=scenarios)
        full = [each.assessment for each in desk.breakdowns(market, *accounts)]
        assert desk.assessments(market, *accounts) == full
        assert full == [risk_model.assess(each, market) for each in accounts]


def test_netted_never_exceeds_isolated(desk, market, portfolios):
    for result in desk.breakdowns(market, *portfolios):
        for part in result.underlyings:
            assert part.worst_loss <= part.isolated_loss
            assert abs(part.delta) <= part.gross_delta
            assert part.concentration_charge <= part.isolated_concentration_charge
            assert part.confidence_charge <= part.isolated_confidence_charge
            assert part.open_interest_charge <= part.isolated_open_interest_charge
            assert 0 < part.scan_range_charge <= part.isolated_scan_range_charge
            assert part.netted[part.binding_scenario] == min(part.netted)
        assert result.scan_risk <= sum(part.worst_loss for part in result.underlyings)
        assert result.scan_risk <= result.isolated_scan_risk
        assert result.scan_risk == sum(result.group_risk)
        assessment = result.assessment
        assert assessment.maintenance_margin <= result.isolated_maintenance_margin
        assert assessment.initial_margin <= result.isolated_initial_margin
        assert 0 <= assessment.maintenance_margin <= assessment.initial_margin
        assert assessment.initial_equity <= assessment.equity


def test_isolated_mode_changes_nothing_but_what_is_required(desk, market, portfolios):
    isolated = [each._replace(margin_mode=MarginMode.ISOLATED) for each in portfolios]
    pairs = zip(
        desk.breakdowns(market, *portfolios), desk.breakdowns(market, *isolated), strict=True
    )
    for netted, alone in pairs:
        assert alone.assessment.initial_margin == netted.isolated_initial_margin
        assert alone.assessment.maintenance_margin == netted.isolated_maintenance_margin
        assert alone.underlyings == netted.underlyings


def test_scan_risk_is_positively_homogeneous(desk, market, now):
    small, large = (
        [
            random_books.random_book(np.random.default_rng(seed), now, scale=scale)
            for seed in range(COUNT)
        ]
        for scale in (1, 7)
    )
    pairs = zip(desk.breakdowns(market, *small), desk.breakdowns(market, *large), strict=True)
    for one, seven in pairs:
        assert abs(seven.scan_risk - 7 * one.scan_risk) <= SLACK
        assert abs(seven.isolated_scan_risk - 7 * one.isolated_scan_risk) <= SLACK


def test_scan_risk_is_subadditive(desk, market, portfolios):
    halves = [
        (
            each._replace(positions=each.positions[::2], collateral=()),
            each._replace(positions=each.positions[1::2]),
        )
        for each in portfolios
    ]
    whole = desk.breakdowns(market, *portfolios)
    first = desk.breakdowns(market, *(a for a, _ in halves))
    second = desk.breakdowns(market, *(b for _, b in halves))
    for together, one, other in zip(whole, first, second, strict=True):
        assert together.scan_risk <= one.scan_risk + other.scan_risk + SLACK
        isolated = one.isolated_scan_risk + other.isolated_scan_risk
        assert abs(together.isolated_scan_risk - isolated) <= SLACK


def test_another_scenario_never_lowers_a_requirement(desk, market, portfolios):
    harsher = market._replace(scenarios=(*market.scenarios, Scenario(3 * PPM, -PPM, PPM // 2)))
    pairs = zip(
        desk.breakdowns(market, *portfolios), desk.breakdowns(harsher, *portfolios), strict=True
    )
    for mild, harsh in pairs:
        assert mild.scan_risk <= harsh.scan_risk + SLACK
        assert mild.isolated_scan_risk <= harsh.isolated_scan_risk + SLACK


def test_less_offset_never_lowers_a_requirement(desk, market, portfolios):
    risks = [
        [
            each.scan_risk
            for each in desk.breakdowns(
                market._replace(decorrelations=(wad(weight),) * 8), *portfolios
            )
        ]
        for weight in (0, 0.3, 1)
    ]
    assert all(a <= b <= c for a, b, c in zip(*risks, strict=True))
    assert any(a < c for a, _, c in zip(*risks, strict=True))


def test_a_greater_range_to_come_raises_initial_margin_alone(desk, market, portfolios):
    def with_growth(ppm):
        spots = [
            spot._replace(initial_scan_range=spot.scan_range * (PPM + ppm) // PPM)
            for spot in market.spots
        ]
        return desk.breakdowns(market._replace(spots=tuple(spots)), *portfolios)

    calm, rising, wild = (with_growth(ppm) for ppm in (0, 1, 2 * PPM))
    for least, more, most in zip(calm, rising, wild, strict=True):
        assert least.net_initial_margin < more.net_initial_margin < most.net_initial_margin
        isolated = [each.isolated_initial_margin for each in (least, more, most)]
        assert isolated[0] < isolated[1] < isolated[2]
        for each in (more, most):
            assert each.net_maintenance_margin == least.net_maintenance_margin
            assert each.isolated_maintenance_margin == least.isolated_maintenance_margin
            assert each.assessment.equity == least.assessment.equity


def test_a_ramp_of_weights_stays_between_its_ends(desk, market, portfolios):
    ramping = market._replace(former_weights=tuple(s.weight_ppm // 2 for s in market.scenarios))
    risks = [
        [
            each.scan_risk
            for each in desk.breakdowns(ramping._replace(progress=progress), *portfolios)
        ]
        for progress in (0, WAD // 3, WAD)
    ]
    assert all(a <= b <= c for a, b, c in zip(*risks, strict=True))
    assert all(a < c for a, _, c in zip(*risks, strict=True))


def test_cash_adds_to_equity_and_nothing_else(desk, market, portfolios):
    richer = [each._replace(cash=each.cash + 5 * WAD) for each in portfolios]
    pairs = zip(
        desk.assessments(market, *portfolios), desk.assessments(market, *richer), strict=True
    )
    for poor, rich in pairs:
        assert rich == poor._replace(
            equity=poor.equity + 5 * WAD,
            initial_equity=poor.initial_equity + 5 * WAD,
            collateral_equity=poor.collateral_equity + 5 * WAD,
        )


def test_hedged_book_uses_less_capital_than_its_parts(desk, market, now):
    # A box spread: riskless, so netting removes all but the charges.
    expiry = now + 30 * books.DAY
    box = books.book(
        books.option(books.ETH, expiry, 2_800, 10),
        books.option(books.ETH, expiry, 2_800, -10, is_put=True),
        books.option(books.ETH, expiry, 3_200, -10),
        books.option(books.ETH, expiry, 3_200, 10, is_put=True),
    )
    result = desk.breakdown(market, box)
    assert result.scan_risk < 10**12
    assert result.net_initial_margin * 10 < result.isolated_initial_margin
    assert result.derivative_value / WAD == pytest.approx(10 * 400, abs=1e-6)
