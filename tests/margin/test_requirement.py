"""Requirements small enough to be worked out by hand."""

import pytest
from margin import desk as books
from margin.desk import BTC, ETH, WETH, balance, book, linear, option, wad

from reference_model.types import DAY, PPM, WAD, Health, MarginMode, Scenario


def assert_close(actual, exact):
    """Require an integer equal to the exact one but for rounding.

    Moves are multiples of 2^-64, some weighted by a quarter; results are multiples of 1e-18.
    """
    assert abs(actual - exact) <= abs(exact) // 2**60 + 100, (actual, exact)


def test_empty_account_requires_nothing(desk, market, now):
    result = desk.breakdown(market, book())
    assert result.assessment == (0, 0, 0, 0, 0, now)
    assert result.health == Health.HEALTHY
    assert result.underlyings == ()


def test_perpetual_loses_one_scan_range(desk, market):
    result = desk.breakdown(market, book(linear(BTC, 2, quote=-120_000), cash=20_000))
    loss = 2 * 60_000 * WAD * 15 // 100
    assert_close(result.scan_risk, loss)
    assert result.isolated_scan_risk == result.scan_risk
    assert_close(result.assessment.maintenance_margin, loss * 8 // 10)
    assert_close(result.assessment.initial_margin, loss)
    assert result.assessment.equity == wad(20_000)
    assert result.derivative_value == 0
    assert result.underlyings[0].delta == wad(120_000)
    assert result.health == Health.HEALTHY


def test_scenarios_of_a_perpetual_are_weighted_moves(desk, market):
    (result,) = desk.breakdown(market, book(linear(BTC, -1))).underlyings
    assert len(result.netted) == len(market.scenarios)
    for scenario, pnl in zip(market.scenarios, result.netted, strict=True):
        exact = -60_000 * 0.15 * scenario.price_ppm / PPM * scenario.weight_ppm / PPM
        assert pnl / WAD == pytest.approx(exact, abs=1e-9)
    assert result.netted[result.binding_scenario] == min(result.netted)
    assert min(result.netted) not in result.netted[: result.binding_scenario]


def test_price_cannot_fall_below_a_hundredth(desk, now):
    # A scan range of 0.9 and a move of four of them.
    spots = [books.spot(BTC, 60_000, now, scan_range=wad(0.9))]
    down = (Scenario(-4 * PPM, 0, PPM),)
    market = books.market(now, spots=spots, scenarios=down)
    assert_close(desk.breakdown(market, book(linear(BTC, 1))).scan_risk, 60_000 * WAD * 99 // 100)


def test_cash_and_carry_on_spot_nets_to_nothing(desk, market):
    hedged = book(linear(ETH, -10, quote=30_000), collateral=[balance(WETH, 10)])
    result = desk.breakdown(market, hedged)
    assert result.scan_risk <= 10
    assert_close(result.isolated_scan_risk, 2 * 30_000 * WAD * 15 // 100)
    assert result.assessment.equity == wad(30_000)


def test_cash_and_carry_on_a_future_pays_for_the_basis(desk, now):
    spots = [books.spot(ETH, 3_000, now, basis_rate=wad(0.005))]
    market = books.market(now, spots=spots)
    future = linear(ETH, -10, quote=30_000, expiry=now + 90 * DAY)
    result = desk.breakdown(market, book(future, collateral=[balance(WETH, 10)]))
    assert result.scan_risk <= 10
    # Three times 30 days at 0.5 % of 30,000 USD hedged.
    assert result.underlyings[0].basis_charge == 450 * WAD
    assert_close(result.net_maintenance_margin, 450 * WAD)
    assert result.isolated_maintenance_margin > result.net_maintenance_margin


def test_basis_charge_grows_with_the_gap_and_vanishes_within_a_bucket(desk, now):
    near, far = now + 30 * DAY, now + 90 * DAY
    spots = [books.spot(ETH, 3_000, now, basis_rate=wad(0.01))]
    market = books.market(now, spots=spots)
    calendar = book(linear(ETH, 10, expiry=near), linear(ETH, -10, expiry=far))
    butterfly = book(linear(ETH, 10), linear(ETH, -20, expiry=near), linear(ETH, 10, expiry=far))
    outright = book(linear(ETH, 10), linear(ETH, 10, expiry=near))
    charges = [
        b.underlyings[0].basis_charge
        for b in desk.breakdowns(market, calendar, butterfly, outright)
    ]
    assert charges == [2 * 300 * WAD, (1 + 2) * 300 * WAD, 0]


def test_collateral_behind_a_short_put_is_wrong_way(desk, market, now):
    put = option(ETH, now + 30 * DAY, 2_700, -10, is_put=True)
    bare, backed = desk.breakdowns(market, book(put), book(put, collateral=[balance(WETH, 10)]))
    alone = desk.breakdown(market, book(collateral=[balance(WETH, 10)]))
    assert bare.scan_risk < backed.scan_risk
    # Both lose most when the price falls, so the losses add up in full.
    assert backed.scan_risk / WAD == pytest.approx(
        (bare.scan_risk + alone.scan_risk) / WAD, abs=1e-9
    )


def test_covered_call_requires_less_than_its_parts(desk, market, now):
    call = option(ETH, now + 30 * DAY, 3_300, -10)
    result = desk.breakdown(market, book(call, collateral=[balance(WETH, 10)]))
    assert result.scan_risk < result.isolated_scan_risk * 6 // 10
    assert result.assessment.initial_margin == result.net_initial_margin


def test_two_longs_get_no_diversification_benefit(desk, market):
    bitcoin, ether = linear(BTC, 1), linear(ETH, 20)
    both, first, second = desk.breakdowns(market, book(bitcoin, ether), book(bitcoin), book(ether))
    assert both.scan_risk == first.scan_risk + second.scan_risk


@pytest.mark.parametrize("decorrelation", [0, 0.3, 1])
def test_long_against_short_gets_one_less_lambda(desk, market, decorrelation):
    market = market._replace(decorrelations=(wad(decorrelation),) * 8)
    result = desk.breakdown(market, book(linear(BTC, 1), linear(ETH, -20)))
    gross = 2 * 60_000 * WAD * 15 // 100
    assert result.scan_risk / WAD == pytest.approx(decorrelation * gross / WAD, abs=1e-9)
    assert_close(result.isolated_scan_risk, gross)


def test_groups_do_not_offset_each_other(desk, now):
    spots = [books.spot(BTC, 60_000, now), books.spot(ETH, 3_000, now, group=7)]
    market = books.market(now, spots=spots, decorrelations=(0,) * 8)
    result = desk.breakdown(market, book(linear(BTC, 1), linear(ETH, -20)))
    assert_close(result.group_risk[0], 9_000 * WAD)
    assert_close(result.group_risk[7], 9_000 * WAD)
    assert result.scan_risk == sum(result.group_risk) == result.isolated_scan_risk


def test_mode_chooses_the_generation(desk, market):
    positions = linear(BTC, 1), linear(ETH, -20)
    portfolio, isolated = desk.breakdowns(
        market, book(*positions), book(*positions, mode=MarginMode.ISOLATED)
    )
    assert isolated._replace(assessment=portfolio.assessment) == portfolio
    assert portfolio.assessment.initial_margin == portfolio.net_initial_margin
    assert isolated.assessment.initial_margin == isolated.isolated_initial_margin
    assert isolated.assessment.maintenance_margin == isolated.isolated_maintenance_margin
    assert portfolio.assessment.initial_margin < isolated.assessment.initial_margin


def test_netted_requirement_is_capped_at_the_isolated_one(desk, now):
    # A calendar spread with a basis charge far above the risk of its legs.
    spots = [books.spot(ETH, 3_000, now, basis_rate=wad(0.2))]
    market = books.market(now, spots=spots)
    spread = book(linear(ETH, 1), linear(ETH, -1, expiry=now + 90 * DAY))
    result = desk.breakdown(market, spread)
    assert result.net_initial_margin > result.isolated_initial_margin
    assert result.assessment.initial_margin == result.isolated_initial_margin
    assert result.assessment.maintenance_margin == result.isolated_maintenance_margin


# ------------------------------------------------------------------------------------- options


@pytest.mark.parametrize("is_put", [False, True])
@pytest.mark.parametrize("strike", [2_000, 2_900, 3_000, 3_600])
@pytest.mark.parametrize("days", [30, 90])
def test_option_follows_black_in_every_scenario(desk, market, now, is_put, strike, days):
    tau = days * DAY
    result = desk.breakdown(market, book(option(ETH, now + tau, strike, 5, is_put)))
    deviation = books.VOLATILITY * (tau / books.YEAR) ** 0.5

    def value(price, total_deviation):
        call = books.black_call(price, strike, total_deviation)
        return 5 * (call - price + strike if is_put else call)

    present = value(3_000, deviation)
    assert result.derivative_value / WAD == pytest.approx(present, rel=1e-7, abs=1e-6)
    assert result.derivative_value / WAD < present + 1e-9
    for scenario, pnl in zip(market.scenarios, result.underlyings[0].netted, strict=True):
        shocked = books.shocked_deviation(deviation, tau, scenario.vol_ppm)
        price = 3_000 * max(1 + scenario.price_ppm / PPM * books.SCAN_RANGE, 0.01)
        exact = (value(price, shocked) - present) * scenario.weight_ppm / PPM
        assert pnl / WAD == pytest.approx(exact, rel=1e-6, abs=1e-5)


def test_call_less_put_is_a_future(desk, market, now):
    expiry = now + 30 * DAY
    synthetic, future = desk.breakdowns(
        market,
        book(option(ETH, expiry, 3_100, 1), option(ETH, expiry, 3_100, -1, is_put=True)),
        book(linear(ETH, 1, quote=-3_100, expiry=expiry)),
    )
    assert synthetic.derivative_value / WAD == pytest.approx(
        future.derivative_value / WAD, abs=1e-6
    )
    (both,), (one,) = synthetic.underlyings, future.underlyings
    assert [p / WAD for p in both.netted] == pytest.approx([p / WAD for p in one.netted], abs=1e-6)
    assert both.delta / WAD == pytest.approx(one.delta / WAD, abs=1e-6)


def test_discount_factor_scales_an_option(desk, now):
    expiry = now + 30 * DAY
    call = book(option(ETH, expiry, 3_000, 1))
    full, half = (
        desk.breakdown(books.market(now, slices=[flat]), call)
        for flat in (
            books.slice_(ETH, expiry, 3_000, now),
            books.slice_(ETH, expiry, 3_000, now, discount=WAD // 2),
        )
    )
    assert half.derivative_value / WAD == pytest.approx(full.derivative_value / WAD / 2, abs=1e-6)
    assert half.scan_risk / WAD == pytest.approx(full.scan_risk / WAD / 2, abs=1e-6)


def test_vol_floor_binds_when_volatility_is_tiny(desk, now):
    expiry = now + 90 * DAY
    spots = [books.spot(ETH, 3_000, now, vol_floor=wad(0.5))]
    scenario = (Scenario(0, -PPM, PPM),)
    quiet = books.slice_(ETH, expiry, 3_000, now, volatility=0.01)
    market = books.market(now, spots=spots, slices=[quiet], scenarios=scenario)
    (result,) = desk.breakdown(market, book(option(ETH, expiry, 3_000, -1))).underlyings
    root = (90 * DAY / books.YEAR) ** 0.5
    loss = books.black_call(3_000, 3_000, 0.5 * root) - books.black_call(3_000, 3_000, 0.01 * root)
    assert result.worst_loss / WAD == pytest.approx(loss, rel=1e-6)


# ----------------------------------------------------------------------------------- expiries


def test_settled_expiry_has_value_and_no_risk(desk, now):
    past = now - DAY
    settled = books.slice_(ETH, past, 3_000, now, settlement_price=wad(3_200))
    market = books.market(now, slices=[settled])
    expired = [
        option(ETH, past, 3_000, 2),
        option(ETH, past, 3_000, 7, is_put=True),
        option(ETH, past, 3_500, -3, is_put=True),
        linear(ETH, -1, quote=3_000, expiry=past),
    ]
    result = desk.breakdown(market, book(*expired))
    assert result.derivative_value == wad(2 * 200 - 3 * 300 - 200)
    assert result.isolated_initial_margin == 0
    assert result.underlyings[0].delta == result.underlyings[0].gross_delta == 0


def test_unsettled_expiry_is_intrinsic_and_stays_at_risk(desk, market, now):
    past = now - DAY
    result, future = desk.breakdowns(
        market, book(option(ETH, past, 2_800, -10)), book(linear(ETH, -10, expiry=past))
    )
    assert result.derivative_value / WAD == pytest.approx(-10 * 200, abs=1e-6)
    # In the money in its worst scenario, so it loses what a short future would.
    assert result.scan_risk / WAD == pytest.approx(10 * 3_000 * 0.15, abs=1e-6)
    assert_close(future.scan_risk, 4_500 * WAD)
    assert future.derivative_value == wad(-30_000)


# ------------------------------------------------------------------------------------- charges


def test_short_option_minimum_counts_shorts_only(desk, now):
    spots = [books.spot(ETH, 3_000, now, short_option_rate=wad(0.01))]
    market = books.market(now, spots=spots)
    expiry = now + 30 * DAY
    result = desk.breakdown(
        market, book(option(ETH, expiry, 9_000, -4), option(ETH, expiry, 9_500, 3))
    )
    assert result.underlyings[0].short_option_charge == 4 * 30 * WAD


def test_concentration_follows_the_square_root_beyond_depth(desk, now):
    spots = [
        books.spot(BTC, 60_000, now, concentration_rate=wad(0.02), depth=60_000 * WAD),
    ]
    market = books.market(now, spots=spots)
    at_depth, four_times = desk.breakdowns(market, book(linear(BTC, 1)), book(linear(BTC, -4)))
    assert at_depth.underlyings[0].concentration_charge == 0
    # 2 % of 240,000 times (sqrt 4 - 1).
    assert four_times.underlyings[0].concentration_charge == 4_800 * WAD
    assert_close(four_times.net_initial_margin, 4_800 * WAD + four_times.scan_risk)


def test_isolated_charges_take_the_gross_delta(desk, now):
    spots = [
        books.spot(ETH, 3_000, now, concentration_rate=wad(0.02), depth=1_500 * WAD)._replace(
            confidence=wad(3)
        )
    ]
    market = books.market(now, spots=spots)
    hedged = book(linear(ETH, 1), linear(ETH, -1, expiry=now + 30 * DAY))
    (result,) = desk.breakdown(market, hedged).underlyings
    assert result.delta == 0
    assert result.concentration_charge == result.confidence_charge == 0
    assert result.gross_delta == wad(6_000)
    assert result.isolated_concentration_charge == 120 * WAD
    assert result.isolated_confidence_charge == 6 * WAD


def test_requirement_is_monotone_in_confidence(desk, now):
    def initial_margin(confidence):
        spots = [books.spot(BTC, 60_000, now)._replace(confidence=wad(confidence))]
        market = books.market(now, spots=spots)
        return desk.breakdown(market, book(linear(BTC, -2))).assessment.initial_margin

    certain = initial_margin(0)
    assert initial_margin(30) == certain + 60 * WAD
    assert initial_margin(60) == certain + 120 * WAD


@pytest.mark.parametrize(
    ("one_side", "multiplier"), [(0, 0), (100, 0), (150, 0.5), (200, 1), (10**9, 1)]
)
def test_open_interest_scales_initial_margin(desk, now, one_side, multiplier):
    limits = {"oi_lower": 100 * WAD, "oi_upper": 200 * WAD, "max_oi_multiplier": WAD}
    market = books.market(now, spots=[books.spot(BTC, 60_000, now, **limits)])
    words = [BTC << 248 | 2 * one_side * WAD]
    result = desk.breakdown(market, book(linear(BTC, 1), open_interest=words))
    (part,) = result.underlyings
    assert_close(part.open_interest_charge, wad(multiplier * 9_000))
    assert result.net_initial_margin == result.scan_risk + part.open_interest_charge
    assert_close(result.net_maintenance_margin, result.scan_risk * 8 // 10)


@pytest.mark.parametrize(("initial_range", "growth"), [(0.15, 0), (0.225, 0.5), (0.6, 3)])
def test_initial_margin_runs_ahead_of_the_scan_range(desk, now, initial_range, growth):
    spots = [books.spot(BTC, 60_000, now, initial_scan_range=wad(initial_range))]
    market = books.market(now, spots=spots, global_parameters=books.global_parameters(
        initial_factor=2 * WAD
    ))  # fmt: skip
    hedged = book(linear(BTC, 3), linear(BTC, -1, expiry=now + 30 * DAY))
    result = desk.breakdown(market, hedged)
    (part,) = result.underlyings
    assert_close(part.worst_loss, 2 * 9_000 * WAD)
    assert_close(part.scan_range_charge, wad(growth * 2 * 2 * 9_000))
    assert_close(part.isolated_scan_range_charge, wad(growth * 2 * 4 * 9_000))
    charges = part.basis_charge
    assert result.net_initial_margin == 2 * result.scan_risk + charges + part.scan_range_charge
    assert_close(result.isolated_initial_margin, wad((1 + growth) * 2 * 4 * 9_000))
    # What would make an account liquidatable knows nothing of it.
    assert_close(result.net_maintenance_margin, wad(0.8 * 2 * 9_000) + charges)
    assert_close(result.isolated_maintenance_margin, wad(0.8 * 4 * 9_000))


def test_the_scan_range_in_force_moves_the_scenarios(desk, now):
    spots = [
        books.spot(BTC, 60_000, now)._replace(scan_range=wad(0.3), initial_scan_range=wad(0.3))
    ]
    result = desk.breakdown(books.market(now, spots=spots), book(linear(BTC, 1)))
    assert_close(result.scan_risk, 18_000 * WAD)
    assert result.underlyings[0].scan_range_charge == 0


@pytest.mark.parametrize(
    ("progress", "weights"),
    [
        (0, (0, PPM)),
        (1, (0, PPM)),
        (WAD // 4, (PPM // 4, PPM // 4 * 3)),
        (WAD // 3, (333_333, 666_667)),
        (WAD - 1, (PPM - 1, 1)),
        (WAD, (PPM, 0)),
    ],
)
def test_weights_come_into_force_over_a_ramp(desk, now, progress, weights):
    ramping = (Scenario(-PPM, 0, PPM), Scenario(PPM, 0, 0), Scenario(2 * PPM, 0, 7))
    market = books.market(now, scenarios=ramping)._replace(
        former_weights=(0, PPM, 7), progress=progress
    )
    (part,) = desk.breakdown(market, book(linear(BTC, 100))).underlyings
    down, up, steady = part.netted
    assert_close(down, -900_000 * WAD * weights[0] // PPM)
    assert_close(up, 900_000 * WAD * weights[1] // PPM)
    assert_close(steady, 1_800_000 * WAD * 7 // PPM)


def test_cash_like_collateral_pays_for_its_depeg_and_has_no_scenarios(desk, now):
    dollar = books.token(books.USDX, 0, now, rate=0.99, haircut=0.02)
    dollar = dollar._replace(parameters=dollar.parameters._replace(depeg_rate=wad(0.01)))
    market = books.market(now, collaterals=[dollar])
    result = desk.breakdown(market, book(collateral=[balance(books.USDX, 1_000)]))
    value = 1_000 * 0.99 * 0.98
    assert result.collateral_value == wad(value)
    assert result.depeg_charge == wad(value / 100)
    assert result.assessment.initial_margin == result.depeg_charge
    assert result.underlyings == ()


# ------------------------------------------------------------------------------------- equity


def test_initial_equity_takes_the_worse_collateral_price(desk, now):
    def equities(index, stable):
        spots = [books.spot(ETH, index, now)._replace(stable_index=wad(stable))]
        market = books.market(now, spots=spots)
        a = desk.breakdown(market, book(cash=5, collateral=[balance(WETH, 2)])).assessment
        return a.equity, a.initial_equity, a.collateral_equity

    assert equities(3_000, 2_500) == (wad(6_005), wad(5_005), wad(5_005))
    assert equities(3_000, 3_500) == (wad(6_005), wad(6_005), wad(6_005))


def test_haircut_lowers_value_and_delta_alike(desk, now):
    market = books.market(now, collaterals=[books.token(WETH, ETH, now, rate=1.2, haircut=0.1)])
    result = desk.breakdown(market, book(collateral=[balance(WETH, 10)]))
    assert result.collateral_value == wad(10 * 1.2 * 3_000 * 0.9)
    assert result.underlyings[0].delta == result.collateral_value


def test_profit_counts_at_its_weight_up_to_the_cap(desk, market):
    weighted = market._replace(
        global_parameters=books.global_parameters(profit_weight=wad(0.5), profit_cap=1_000 * WAD)
    )
    small, large, loss = (
        b.assessment
        for b in desk.breakdowns(
            weighted,
            book(linear(BTC, 0, quote=1_000)),
            book(linear(BTC, 0, quote=10_000)),
            book(linear(BTC, 0, quote=-10_000)),
        )
    )
    assert (small.equity, small.initial_equity, small.collateral_equity) == (
        wad(1_000),
        wad(500),
        0,
    )
    assert large.initial_equity == wad(1_000)
    assert loss.initial_equity == loss.equity == wad(-10_000)


@pytest.mark.parametrize(
    ("cash", "health"),
    [
        (9_001, Health.HEALTHY),
        (8_999, Health.MARGIN_CALL),
        (7_201, Health.MARGIN_CALL),
        (7_199, Health.LIQUIDATABLE),
        (0, Health.LIQUIDATABLE),
        (-1, Health.INSOLVENT),
    ],
)
def test_health_follows_equity(desk, market, cash, health):
    perpetual = linear(BTC, 1, quote=-60_000)
    assert desk.breakdown(market, book(perpetual, cash=cash)).health == health


# -------------------------------------------------------------------------------- market data


def test_oldest_timestamp_is_that_of_the_prices_used(desk, now):
    spots = [
        books.spot(BTC, 60_000, now)._replace(timestamp=now - 50),
        books.spot(ETH, 3_000, now)._replace(timestamp=now - 40),
    ]
    slices = [books.slice_(ETH, now + 30 * DAY, 3_000, now, timestamp=now - 60)]
    tokens = [books.token(books.USDX, 0, now, timestamp=now - 70)]
    market = books.market(now, spots=spots, slices=slices, collaterals=tokens)
    ages = [
        now - a.oldest_timestamp
        for a in desk.assessments(
            market,
            book(),
            book(linear(ETH, 1)),
            book(linear(ETH, 1), linear(BTC, 1)),
            book(linear(ETH, 1, expiry=now + 30 * DAY)),
            book(collateral=[balance(books.USDX, 1)]),
        )
    ]
    assert ages == [0, 40, 50, 60, 70]


def test_missing_prices_are_reported_by_name(desk, market, now):
    unknown = now + 7 * DAY
    outcomes = desk.outcomes(
        market,
        [
            book(linear(9, 1)),
            book(linear(BTC, 1, expiry=unknown)),
            book(collateral=[balance(9, 1)]),
        ],
    )
    assert [tuple(each) for each in outcomes] == [
        (False, books.error("MissingPrice(uint8,uint32)", 9, 0)),
        (False, books.error("MissingPrice(uint8,uint32)", BTC, unknown)),
        (False, books.error("MissingCollateralRate(uint8)", 9)),
    ]


def test_collateral_value_is_that_of_the_breakdown(desk, project, risk_officer, market):
    desk.harness.setMarket(market.case(), sender=risk_officer)
    model = project.RiskModel.at(desk.harness.riskModel())
    words = [balance(WETH, 3), balance(books.USDX, 7)]
    expected = desk.breakdown(market, book(collateral=words)).collateral_value
    assert tuple(model.collateralValue(words)) == (expected, market.now)
    assert expected == wad(9_007)


@pytest.mark.parametrize("stable, value", [(2_000, 6_007), (3_000, 9_007), (4_000, 9_007)])
def test_collateral_pays_at_the_lower_of_spot_and_stable_price(
    desk, project, risk_officer, market, stable, value
):
    bitcoin, ether = market.spots
    changed = market._replace(spots=(bitcoin, ether._replace(stable_index=wad(stable))))
    desk.harness.setMarket(changed.case(), sender=risk_officer)
    model = project.RiskModel.at(desk.harness.riskModel())
    words = [balance(WETH, 3), balance(books.USDX, 7)]
    assert model.collateralValue(words).value == wad(value)


@pytest.mark.parametrize("old", ["rate", "index"])
def test_collateral_value_tells_its_oldest_price(desk, project, risk_officer, market, old):
    ether, dollar = market.collaterals
    if old == "rate":
        changed = {"collaterals": (ether._replace(timestamp=market.now - 7), dollar)}
    else:
        bitcoin, spot = market.spots
        spots = bitcoin._replace(timestamp=0), spot._replace(timestamp=market.now - 7)
        changed = {"spots": spots}
    desk.harness.setMarket(market._replace(**changed).case(), sender=risk_officer)
    model = project.RiskModel.at(desk.harness.riskModel())
    assert model.collateralValue([balance(WETH, 3)]).oldestTimestamp == market.now - 7
    assert model.collateralValue([balance(books.USDX, 7)]).oldestTimestamp >= market.now
    assert model.collateralValue([]).value == 0
