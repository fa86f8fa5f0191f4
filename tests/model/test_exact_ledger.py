"""The pure parts of the ledger: instruments, positions, interest, funding, fees, parameters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model import ledger_world as world

from reference_model.exact import fees, funding, instrument, interest, parameters, position
from reference_model.exact.errors import (
    MissingPrice,
    ModelError,
    ParameterOutOfRange,
    PositionOverflow,
    UnknownInstrument,
)
from reference_model.types import DAY, WAD, YEAR, InterestParameters, Scenario

EXPIRY = 1_900_000_000
CALL = instrument.option(1, EXPIRY, 60_000 * 10**8, False)
FUTURE = instrument.future(1, EXPIRY)
PERPETUAL = instrument.perpetual(1)

sizes = st.integers(1 - position.SIZE_LIMIT, position.SIZE_LIMIT - 1)
quotes = st.integers(1 - position.QUOTE_LIMIT, position.QUOTE_LIMIT - 1)


def test_an_error_has_the_name_and_the_values_of_solidity():
    error = MissingPrice(2, EXPIRY)
    assert (error.name, error.arguments) == ("MissingPrice", (2, EXPIRY))
    assert str(error) == f"MissingPrice(underlying=2, expiry={EXPIRY})"


def test_an_error_with_missing_values_cannot_be_made():
    with pytest.raises(TypeError):
        MissingPrice(2)


def test_an_instrument_is_packed_as_specified():
    put = instrument.option(255, EXPIRY, 2**64 - 1, True)
    assert put == 255 << 120 | EXPIRY << 88 | 1 << 80 | (2**64 - 1) << 16 | 1 << 8
    assert instrument.underlying(put) == 255
    assert instrument.expiry(put) == EXPIRY
    assert instrument.is_option(put)
    assert instrument.is_put(put)
    assert instrument.strike(put) == (2**64 - 1) * 10**10


@pytest.mark.parametrize("good", [CALL, FUTURE, PERPETUAL, CALL | 1 << 8])
def test_canonical_instruments_are_accepted(good):
    instrument.require_canonical(good)


@pytest.mark.parametrize(
    "bad",
    [
        0,
        FUTURE - (1 << 120),
        FUTURE | 1,
        FUTURE | 1 << 8,
        FUTURE | 1 << 16,
        CALL | 2 << 8,
        CALL | 2 << 80,
        CALL | 1,
        PERPETUAL | 1 << 80 | 1 << 16,
        FUTURE | 1 << 80,
    ],
)
def test_other_bits_are_no_instrument(bad):
    with pytest.raises(UnknownInstrument) as caught:
        instrument.require_canonical(bad)
    assert caught.value.arguments == (bad,)


@given(sizes, quotes)
def test_a_linear_slot_gives_back_what_was_packed(size, quote):
    slot = position.pack(FUTURE, size, quote)
    assert 0 <= slot < 2**256
    unpacked = position.instrument(slot), position.size(slot), position.quote(slot)
    assert unpacked == (FUTURE, size, quote)


@given(sizes)
def test_an_option_slot_gives_back_what_was_packed(size):
    slot = position.pack(CALL, size, 5)
    unpacked = position.instrument(slot), position.size(slot), position.quote(slot)
    assert unpacked == (CALL, size, 0)


def test_slots_sort_by_underlying_expiry_kind_strike_and_type():
    ordered = [
        PERPETUAL,
        FUTURE,
        instrument.option(1, EXPIRY, 1, False),
        instrument.option(1, EXPIRY, 1, True),
        instrument.option(1, EXPIRY, 2, False),
        instrument.future(1, EXPIRY + 1),
        instrument.perpetual(2),
    ]
    packed = [position.pack(each, -1, -1) for each in ordered]
    assert packed == sorted(packed)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("what", [CALL, FUTURE])
def test_a_size_at_the_limit_is_refused(what, sign):
    with pytest.raises(PositionOverflow) as caught:
        position.pack(what, sign * position.SIZE_LIMIT, sign * position.QUOTE_LIMIT)
    assert caught.value.arguments == (what, sign * position.SIZE_LIMIT)


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_quote_at_the_limit_is_refused(sign):
    with pytest.raises(PositionOverflow) as caught:
        position.pack(FUTURE, 1, sign * position.QUOTE_LIMIT)
    assert caught.value.arguments == (FUTURE, sign * position.QUOTE_LIMIT)


@given(st.integers(-(2**100), 2**100), st.integers(-(2**100), 2**100))
def test_the_amounts_of_two_parties_are_exactly_opposite(size, price):
    assert position.signed_amount(size, price) == -position.signed_amount(-size, price)


def test_amounts_are_cut_off_towards_zero():
    assert position.signed_amount(3, WAD // 2) == 1
    assert position.signed_amount(-3, WAD // 2) == -1
    assert position.signed_amount(-3, -WAD // 2) == 1


def test_a_trade_in_an_option_moves_the_premium():
    bought = position.apply_trade(CALL, 0, 2 * WAD, 100 * WAD)
    assert bought == (position.pack(CALL, 2 * WAD), -200 * WAD)
    sold = position.apply_trade(CALL, bought.slot, -2 * WAD, 150 * WAD)
    assert sold == (0, 300 * WAD)


def test_a_trade_in_a_future_moves_the_quote():
    bought = position.apply_trade(FUTURE, 0, 2 * WAD, 100 * WAD)
    assert bought == (position.pack(FUTURE, 2 * WAD, -200 * WAD), 0)
    closed = position.apply_trade(FUTURE, bought.slot, -2 * WAD, 150 * WAD)
    assert closed == (position.pack(FUTURE, 0, 100 * WAD), 0)
    flat = position.apply_trade(FUTURE, bought.slot, -2 * WAD, 100 * WAD)
    assert flat == (0, 0)


def test_the_price_of_a_perpetual_may_be_negative_after_funding():
    trade = position.apply_trade(PERPETUAL, 0, WAD, -7 * WAD)
    assert trade.slot == position.pack(PERPETUAL, WAD, 7 * WAD)


def test_borrow_rate_has_its_kink():
    assert interest.borrow_rate(world.INTEREST, 0) == WAD // 100
    assert interest.borrow_rate(world.INTEREST, 4 * WAD // 10) == 4 * WAD // 100
    assert interest.borrow_rate(world.INTEREST, 8 * WAD // 10) == 7 * WAD // 100
    assert interest.borrow_rate(world.INTEREST, WAD) == 107 * WAD // 100


def test_a_year_at_half_utilisation_without_slope():
    flat = InterestParameters(WAD // 10, 0, 0, WAD // 2, WAD // 5)
    start = interest.InterestState(WAD, WAD, 100 * WAD, 0)
    after = interest.accrue(start, 100 * WAD, flat, YEAR)
    # Debtors pay 10 %; half of the cash is lent and a fifth is kept: 4 % to suppliers.
    assert after == (WAD * 110 // 100, WAD * 104 // 100, 110 * WAD, YEAR)


def test_no_time_no_interest():
    start = interest.InterestState(WAD, WAD, 100 * WAD, 50)
    assert interest.accrue(start, 0, world.INTEREST, 50) == start


@pytest.mark.parametrize(
    "start",
    [
        interest.InterestState(interest.MAX_INDEX, WAD, WAD, 0),
        interest.InterestState(WAD, WAD, interest.MAX_DEBT, 0),
    ],
)
def test_interest_stops_where_a_field_would_overflow(start):
    assert interest.accrue(start, WAD, world.INTEREST, YEAR) == start._replace(accrued_at=YEAR)


@given(st.integers(0, 2**100), st.integers(0, 2**100), st.integers(0, 100 * YEAR))
def test_suppliers_never_get_more_than_debtors_pay(debt, held, seconds):
    start = interest.InterestState(WAD, WAD, debt, 0)
    after = interest.accrue(start, held, world.INTEREST, seconds)
    total = debt + held
    assert total * (after.supply_index - WAD) <= debt * (after.borrow_index - WAD)


@given(st.integers(-(2**103), 2**103 - 1), st.integers(WAD, 2**88 - 1), st.integers(WAD, 2**88 - 1))
def test_interest_never_favours_the_account(cash, old, new):
    new = max(old, new)
    exact = cash * new
    rounded = interest.current_cash(cash, old, new, new) * old
    assert exact - old < rounded <= exact


def test_longs_pay_funding_while_the_mark_is_above_the_index():
    index, mark = 100 * WAD, 100 * WAD + WAD // 2
    assert funding.premium(mark, index, WAD) == 5 * WAD // 1000
    assert funding.accrue(7, mark, index, WAD, 8 * 3_600) == 7 + WAD // 2
    assert funding.accrue(7, index - WAD // 2, index, WAD, 8 * 3_600) == 7 - WAD // 2


def test_funding_is_capped_on_both_sides():
    cap = 75 * WAD // 10_000
    assert funding.premium(2 * WAD, WAD, cap) == cap
    assert funding.premium(1, WAD, cap) == -cap


def test_the_premium_is_cut_off_and_the_index_goes_down():
    assert funding.premium(2, 3, WAD) == -(WAD // 3)
    assert funding.accrue(0, 2, 3, WAD, 1) == -1


def test_fees_round_against_the_payer():
    assert fees.fee(WAD, 60_000 * WAD, 3 * WAD // 10_000) == 18 * WAD
    assert fees.fee(1, 1, 1) == 1
    assert fees.option_fee(WAD, 60_000 * WAD, 3 * WAD // 10_000, 80 * WAD, WAD // 8) == 10 * WAD


def test_open_interest_in_options_is_never_for_nothing():
    """An option at a price of 0 paid no fee: it counts as worth 0.05 % of the notional."""
    least = 60_000 * WAD // 2_000
    for premium in (0, 1, least):
        fee = fees.option_fee(WAD, 60_000 * WAD, 3 * WAD // 10_000, premium, WAD // 8)
        assert fee == least // 8
    assert fees.option_fee(WAD, 60_000 * WAD, 3 * WAD // 10_000, least + 8, WAD // 8) > least // 8
    assert fees.option_fee(WAD, 60_000 * WAD, WAD // 10**6, 0, WAD // 8) == 60_000 * WAD // 10**6
    assert fees.option_fee(1, 1, WAD, 0, WAD // 8) == 1


def test_the_parameters_of_the_test_market_are_legal():
    parameters.require_global(world.GLOBAL)
    parameters.require_interest(world.INTEREST)
    parameters.require_scenarios(world.scenarios())
    for underlying in world.UNDERLYINGS:
        parameters.require_underlying(world.underlying_parameters(underlying))
    for collateral in world.collaterals():
        parameters.require_collateral(collateral.asset, collateral.parameters)


@pytest.mark.parametrize(
    ("check", "arguments"),
    [
        (
            lambda: parameters.require_global(world.GLOBAL._replace(maintenance_factor=WAD + 1)),
            ("maintenanceFactor", WAD + 1, WAD // 10, WAD),
        ),
        (
            lambda: parameters.require_global(world.GLOBAL._replace(minimum_tau_seconds=3_599)),
            ("minimumTau", 3_599, 3_600, 30 * DAY),
        ),
        (
            lambda: parameters.require_interest(world.INTEREST._replace(kink=WAD)),
            ("kink", WAD, WAD // 100, 99 * WAD // 100),
        ),
        (
            lambda: parameters.require_underlying(
                world.underlying_parameters(1)._replace(oi_lower=60 * WAD)
            ),
            ("oiLower", 60 * WAD, 0, 60 * WAD - 1),
        ),
        (
            lambda: parameters.require_collateral(
                1, world.collaterals()[0].parameters._replace(depeg_rate=1)
            ),
            ("depegRate", 1, 0, 0),
        ),
        (
            lambda: parameters.require_collateral(
                2, world.collaterals()[1].parameters._replace(cap_raw=2**127)
            ),
            ("capRaw", 2**127, 0, 2**127 // 10**12),
        ),
        (
            lambda: parameters.require_scenarios((Scenario(-20_000_001, 0, 1),)),
            ("pricePpm", 2**256 - 20_000_001, 2**256 - 20_000_000, 20_000_000),
        ),
        (
            lambda: parameters.require_scenarios(tuple(Scenario(0, y, 1) for y in range(5))),
            ("volClasses", 5, 1, 4),
        ),
        (lambda: parameters.require_scenarios(()), ("scenarios", 0, 1, 40)),
        (lambda: parameters.require_decorrelation(8, 0), ("group", 8, 0, 7)),
    ],
)
def test_a_parameter_outside_its_range_is_refused(check, arguments):
    with pytest.raises(ParameterOutOfRange) as caught:
        check()
    assert caught.value.arguments == arguments
    assert isinstance(caught.value, ModelError)
