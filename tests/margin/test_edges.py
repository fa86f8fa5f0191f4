"""Accounts at the edges of every range are margined, never refused."""

from itertools import cycle, islice, product

import numpy as np
import pytest
from margin import desk as books
from margin.desk import TOKEN

from reference_model.types import DAY, PPM, WAD, MarginMode, Portfolio, Scenario

SIZES = (1, -1, WAD, -WAD, 2**95 - 1, 1 - 2**95)
QUOTES = (0, 2**111 - 1, 1 - 2**111)
PRICES = (1, WAD, 60_000 * WAD, 2**96 - 1)
STRIKES_E8 = (1, 10**8, 3_000 * 10**8, 2**64 - 1)
MAX_POSITIONS, MAX_COLLATERALS, MAX_SCENARIOS = 128, 31, 40
GAS_LIMIT = 8_000_000

# Extreme packed slices: nothing, everything at its greatest, a total variance below zero.
SLICES = (
    0,
    2**63 - 1 | (2**64 - 1) << 64 | (2**31 - 1) << 128 | (2**47 - 1) << 160 | (2**48 - 1) << 208,
    2**63 | 2**63 << 64 | 2**31 << 128 | 2**47 << 160,
    round(0.3 * 2**56),
)
EXTREME = tuple(
    Scenario(x * PPM, y * PPM, PPM)
    for y in (-5, 0, 5)
    for x in (0, 1, -1, 2, -2, 4, -4, 8, -8, 20, -20)
)


def linear_slot(underlying, expiry, size, quote):
    head = underlying << 248 | expiry << 216
    return head | (size & (2**96 - 1)) << 112 | quote & (2**112 - 1)


def option_slot(underlying, expiry, strike_e8, size, is_put):
    head = underlying << 248 | expiry << 216 | 1 << 208
    return head | strike_e8 << 144 | is_put << 136 | size & (2**128 - 1)


def extreme_market(now, prices, svi, discount):
    greatest = {
        "scan_range": 9 * WAD // 10,
        "vol_range": 2 * WAD,
        "vol_floor": WAD,
        "basis_rate": WAD // 5,
        "short_option_rate": WAD // 5,
        "concentration_rate": WAD,
        "max_oi_multiplier": 10 * WAD,
        "oi_upper": 1,
    }
    expiries = (now - DAY, now - 1, now + 1, now + DAY, now + 1095 * DAY, 2**32 - 1)
    spots, slices = [], []
    for u, price in enumerate(prices, start=1):
        parameters = books.underlying_parameters(**greatest, group=u % 8)
        prices_of = price, 2**96 - 1, prices[u % len(prices)], price
        ranges = WAD // 10 * (9 if u % 2 else 1), WAD * 9 // 10
        spots.append(books.Spot(u, parameters, *prices_of, now, *ranges))
        for expiry, forward in zip(expiries, islice(cycle(prices), u, None), strict=False):
            settlement = forward if expiry == now - DAY else 0
            slices.append(books.Slice(u, expiry, forward, discount, svi, now, settlement))
    collaterals = [
        books.Collateral(
            asset,
            books.CollateralParameters(TOKEN, 18, asset % (len(prices) + 1), True, 0, WAD, 2**127),
            rate,
            2**96 - 1,
            now,
        )
        for asset, rate in zip(range(1, MAX_COLLATERALS + 1), cycle(PRICES))
    ]
    parameters = books.global_parameters(
        maintenance_factor=4 * WAD,
        initial_factor=4 * WAD,
        vol_exponent_short=WAD,
        vol_exponent_long=WAD,
        minimum_tau_seconds=3_600,
        profit_cap=2**96 - 1,
    )
    market = books.market(
        now, spots=spots, slices=slices, collaterals=collaterals, scenarios=EXTREME
    )
    return market._replace(global_parameters=parameters), expiries


def extreme_books(generator, underlyings, expiries, count):
    options = list(product(underlyings, expiries, STRIKES_E8, (False, True)))
    linears = list(product(underlyings, (0, *expiries)))
    for mode in islice(cycle(MarginMode), count):
        slots = [
            option_slot(*options[i][:3], int(generator.choice(SIZES)), options[i][3])
            for i in generator.choice(len(options), 100, replace=False)
        ]
        slots += [
            linear_slot(*linears[i], int(generator.choice(SIZES)), int(generator.choice(QUOTES)))
            for i in generator.choice(len(linears), 28, replace=False)
        ]
        amounts = generator.choice([1, WAD, 2**127], MAX_COLLATERALS)
        yield Portfolio(
            int(generator.choice([-(2**103), 0, 2**103 - 1])),
            mode,
            tuple(asset << 248 | int(a) for asset, a in enumerate(amounts, start=1)),
            tuple(slots),
            tuple(u << 248 | 2**104 - 1 for u in underlyings),
        )


@pytest.mark.parametrize("discount", [1, WAD])
@pytest.mark.parametrize("svi", SLICES)
def test_extreme_accounts_are_always_margined(desk, now, svi, discount):
    market, expiries = extreme_market(now, PRICES, svi, discount)
    generator = np.random.default_rng(7)
    portfolios = list(extreme_books(generator, range(1, len(PRICES) + 1), expiries, 6))
    for result in desk.breakdowns(market, *portfolios):
        assessment = result.assessment
        assert 0 <= assessment.maintenance_margin <= assessment.initial_margin
        assert result.scan_risk <= result.isolated_scan_risk
        assert assessment.initial_equity <= assessment.equity


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("price", PRICES)
def test_extreme_positions_lose_no_more_than_their_moves(desk, now, size, price):
    parameters = books.underlying_parameters(scan_range=9 * WAD // 10)
    ranges = (parameters.scan_range,) * 2
    spots = [books.Spot(1, parameters, price, 0, price, price, now, *ranges)]
    market = books.market(now, spots=spots, slices=(), collaterals=(), scenarios=EXTREME)
    result = desk.breakdown(market, books.book(linear_slot(1, 0, size, 0)))
    value = size * price // WAD
    assert result.derivative_value == value
    exact = abs(value) * 99 // 100 if value > 0 else abs(value) * 18
    assert abs(result.scan_risk - exact) <= exact // 2**60 + 2


def worst_legal_market(now):
    scenarios = tuple(
        Scenario(x * PPM // 10, y, PPM) for y in (-PPM, 0, PPM // 2, PPM) for x in range(-5, 5)
    )
    assert len(scenarios) == MAX_SCENARIOS
    prices = [60_000 / u for u in range(1, 9)]
    spots = [
        books.spot(u, price, now, basis_rate=WAD // 100, concentration_rate=WAD, group=u % 8)
        for u, price in enumerate(prices, start=1)
    ]
    slices = [
        books.slice_(u, now + week * 7 * DAY, price, now)
        for u, price in enumerate(prices, start=1)
        for week in range(1, 17)
    ]
    collaterals = [
        books.token(asset, 1 + asset % 8, now, haircut=0.1)
        for asset in range(1, MAX_COLLATERALS + 1)
    ]
    return books.market(
        now, spots=spots, slices=slices, collaterals=collaterals, scenarios=scenarios
    )


def test_worst_legal_account_can_be_checked(desk, project, risk_officer, now):
    """A full account: each option in its own expiry, of eight underlyings with sixteen each."""
    market = worst_legal_market(now)
    desk.harness.setMarket(market.case(), sender=risk_officer)
    positions = [
        books.option(u, now + week * 7 * DAY, round(60_000 / u) + week, (-1) ** week, u % 2)
        for u in range(1, 9)
        for week in range(1, 17)
    ]
    assert len(positions) == MAX_POSITIONS
    portfolio = books.book(
        *positions,
        collateral=[books.balance(asset, 1) for asset in range(1, MAX_COLLATERALS + 1)],
        open_interest=[u << 248 | WAD for u in range(1, 9)],
    )
    model = project.RiskModel.at(desk.harness.riskModel())
    used = desk.gas(model, portfolio)
    assert used < GAS_LIMIT
