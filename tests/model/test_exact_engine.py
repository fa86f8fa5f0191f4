"""The ledger's state machine against cases computed by hand."""

from contextlib import contextmanager

import pytest
from model import ledger_world as world

from reference_model.exact import instrument, invariants, lens, position
from reference_model.exact.engine import Engine
from reference_model.exact.errors import ModelError
from reference_model.exact.exchange import CANCELLED, Order
from reference_model.exact.tokens import Token
from reference_model.types import DAY, WAD, YEAR, MarginMode

MAKER, TAKER, OUTSIDER, TREASURER = 0xA11CE, 0xB0B, 0xBAD, 0xFEE
MAKER_ACCOUNT, TAKER_ACCOUNT = world.account(MAKER), world.account(TAKER, 3)
USD_RAW = 10**6
PERPETUAL = instrument.perpetual(world.ETH)
WEEK, QUARTER = world.EXPIRIES
FUTURE = instrument.future(world.ETH, WEEK)
CALL = instrument.option(world.ETH, WEEK, 3_000 * 10**8, False)
PUT = instrument.option(world.ETH, WEEK, 2_500 * 10**8, True)
FOREVER = 2**40


@pytest.fixture
def engine() -> Engine:
    """Two funded accounts in the small market."""
    engine = world.engine(fee_collectors={TREASURER})
    for account in (MAKER_ACCOUNT, TAKER_ACCOUNT):
        engine.deposit(account >> 8, account, 0, 100_000 * USD_RAW)
    return engine


@contextmanager
def refused(engine: Engine, name: str, *arguments):
    """Require this very error, and that it left no trace."""
    before = engine.state.copy()
    with pytest.raises(ModelError) as caught:
        yield
    assert (caught.value.name, caught.value.arguments) == (name, arguments)
    assert engine.state == before


def order(account: int, size: int, price: int, instrument_: int = PERPETUAL, **changes) -> Order:
    """Return an order signed by the owner."""
    whole = Order(account, account >> 8, instrument_, size, price, FOREVER, 0, False)
    return whole._replace(**changes)


def trade(
    engine: Engine, size: int, price: int, instrument_: int = PERPETUAL, /, **changes
) -> None:
    """Let the taker buy from the maker; changes are to the taker's order."""
    nonce = len(engine.state.filled)
    maker = order(MAKER_ACCOUNT, -size, price, instrument_, nonce=nonce)
    taker = order(TAKER_ACCOUNT, size, price, instrument_, nonce=nonce)._replace(**changes)
    engine.match_orders(maker, True, taker, True, abs(size))


def wait(engine: Engine, seconds: int) -> None:
    """Let time pass at fresh prices."""
    market = engine.market
    now = market.now + seconds
    engine.market = market._replace(
        now=now,
        spots=tuple(s._replace(timestamp=now) for s in market.spots),
        slices=tuple(s._replace(timestamp=now) for s in market.slices),
        collaterals=tuple(c._replace(timestamp=now) for c in market.collaterals),
    )


def set_price(engine: Engine, price: int) -> None:
    """Move ETH, the mark at the index and forwards with it."""
    market = world.change_spot(
        engine.market, world.ETH, index=price, mark=price, stable_index=price, confidence=0
    )
    for expiry in world.EXPIRIES:
        market = world.change_slice(market, world.ETH, expiry, forward=price)
    engine.market = market


def post_settlement(engine: Engine, price: int) -> None:
    """Post the final price of the first expiry of ETH."""
    engine.market = world.change_slice(engine.market, world.ETH, WEEK, settlement_price=price)


# ------------------------------------------------------------------------ deposit and withdraw


def test_cash_is_credited_in_wad(engine):
    assert engine.cash_of(MAKER_ACCOUNT) == 100_000 * WAD
    assert engine.state.cash_held == 200_000 * WAD
    assert engine.account(MAKER_ACCOUNT).cash_index == WAD


def test_a_token_with_more_decimals_than_wad_rounds_against_the_account():
    engine = Engine(world.market(), world.INTEREST, set(), Token(1, 20))
    engine.deposit(MAKER, MAKER_ACCOUNT, 0, 199)
    assert engine.cash_of(MAKER_ACCOUNT) == 1
    engine.deposit(MAKER, MAKER_ACCOUNT, 0, 200)
    engine.withdraw(MAKER, MAKER_ACCOUNT, 0, 101)
    assert engine.cash_of(MAKER_ACCOUNT) == 1
    assert engine.state.token_balance_raw[0] == 298
    with refused(engine, "ZeroAmount"):
        engine.deposit(MAKER, MAKER_ACCOUNT, 0, 99)


def test_a_settlement_token_of_25_decimals_is_refused():
    with pytest.raises(ModelError) as caught:
        Engine(world.market(), world.INTEREST, set(), Token(1, 25))
    assert (caught.value.name, caught.value.arguments) == ("UnsupportedDecimals", (1, 25))


@pytest.mark.parametrize("account", [0, 5, 1 << 168, MAKER_ACCOUNT | 1 << 200])
def test_a_malformed_account_is_refused_everywhere(engine, account):
    for call in (
        lambda: engine.deposit(MAKER, account, 0, 1),
        lambda: engine.withdraw(MAKER, account, 0, 1),
        lambda: engine.settle(account),
        lambda: engine.set_margin_mode(MAKER, account, 0),
        lambda: engine.exchange.cancel_order(MAKER, order(account, 1, 1)),
        lambda: engine.exchange.cancel_orders_below(MAKER, account, 1),
    ):
        with refused(engine, "InvalidAccount", account):
            call()


def test_deposits_are_refused_for_the_reasons_specified(engine):
    token = int(world.collaterals()[0].parameters.token, 16)
    cap = 10_000 * 10**18
    for error, arguments in (
        (("ZeroAmount",), (world.WETH, 0)),
        (("UnknownAsset", 7), (7, 1)),
        (("CollateralCap", world.WETH, cap + 1, cap), (world.WETH, cap + 1)),
        (("TransferMismatch", token, 100, 99), (world.WETH, 100, 99)),
    ):
        with refused(engine, *error):
            engine.deposit(MAKER, MAKER_ACCOUNT, *arguments)


def test_a_deposit_up_to_the_cap_is_taken(engine):
    engine.deposit(MAKER, MAKER_ACCOUNT, world.WETH, 10_000 * 10**18)
    with refused(engine, "CollateralCap", world.WETH, 10_000 * 10**18 + 1, 10_000 * 10**18):
        engine.deposit(TAKER, TAKER_ACCOUNT, world.WETH, 1)


def test_a_disabled_asset_is_refused(engine):
    weth = engine.market.collaterals[0]
    disabled = weth._replace(parameters=weth.parameters._replace(enabled=False))
    engine.market = engine.market._replace(collaterals=(disabled, *engine.market.collaterals[1:]))
    with refused(engine, "AssetDisabled", world.WETH):
        engine.deposit(MAKER, MAKER_ACCOUNT, world.WETH, 1)


def test_collateral_without_a_price_is_refused(engine):
    unposted = engine.market.collaterals[0]._replace(rate=0)
    engine.market = engine.market._replace(collaterals=(unposted, *engine.market.collaterals[1:]))
    with refused(engine, "MissingCollateralRate", world.WETH):
        engine.deposit(MAKER, MAKER_ACCOUNT, world.WETH, 1)
    engine.market = world.change_spot(world.market(), world.ETH, index=0)
    with refused(engine, "MissingPrice", world.ETH, 0):
        engine.deposit(MAKER, MAKER_ACCOUNT, world.WETH, 1)


def test_a_token_that_lost_balance_is_noticed(engine):
    engine.state.token_balance_raw[0] -= 1
    held = 200_001 * USD_RAW
    with refused(engine, "TokenShortfall", world.SETTLEMENT_TOKEN.address, held - 1, held):
        engine.deposit(MAKER, MAKER_ACCOUNT, 0, USD_RAW)


def test_withdrawals_are_refused_for_the_reasons_specified(engine):
    for error, arguments in (
        (("NotAuthorised", MAKER_ACCOUNT, OUTSIDER), (OUTSIDER, MAKER_ACCOUNT, 0, 1)),
        (("ZeroAmount",), (MAKER, MAKER_ACCOUNT, 0, 0)),
        (("UnknownAsset", 9), (MAKER, MAKER_ACCOUNT, 9, 1)),
        (("InsufficientCollateral", world.WETH, 1, 0), (MAKER, MAKER_ACCOUNT, world.WETH, 1)),
        (
            ("InsufficientCash", 200_001 * WAD, 200_000 * WAD),
            (MAKER, MAKER_ACCOUNT, 0, 200_001 * USD_RAW),
        ),
        (
            ("BelowInitialMargin", MAKER_ACCOUNT, -WAD, 0),
            (MAKER, MAKER_ACCOUNT, 0, 100_001 * USD_RAW),
        ),
    ):
        with refused(engine, *error):
            engine.withdraw(*arguments)


def test_everything_deposited_can_be_withdrawn(engine):
    engine.deposit(MAKER, MAKER_ACCOUNT, world.WETH, 5)
    engine.withdraw(MAKER, MAKER_ACCOUNT, world.WETH, 5)
    engine.withdraw(MAKER, MAKER_ACCOUNT, 0, 100_000 * USD_RAW)
    assert engine.account(MAKER_ACCOUNT).collateral_bitmap == 0
    assert engine.state.total_collateral_raw[world.WETH] == 0
    assert engine.cash_of(MAKER_ACCOUNT) == 0


def test_an_operator_may_withdraw_for_the_sub_accounts_allowed(engine):
    engine.set_operator(TAKER, OUTSIDER, 1 << 3)
    engine.withdraw(OUTSIDER, TAKER_ACCOUNT, 0, 1)
    with refused(engine, "NotAuthorised", world.account(TAKER, 2), OUTSIDER):
        engine.withdraw(OUTSIDER, world.account(TAKER, 2), 0, 1)
    engine.set_operator(TAKER, OUTSIDER, 0)
    with refused(engine, "NotAuthorised", TAKER_ACCOUNT, OUTSIDER):
        engine.withdraw(OUTSIDER, TAKER_ACCOUNT, 0, 1)


def test_a_loan_against_collateral_pays_interest_to_cash(engine):
    engine.deposit(TAKER, TAKER_ACCOUNT, world.WETH, 1_000 * 10**18)
    engine.withdraw(TAKER, TAKER_ACCOUNT, 0, 150_000 * USD_RAW)
    assert engine.cash_of(TAKER_ACCOUNT) == -50_000 * WAD
    assert engine.state.total_debt == 50_000 * WAD
    wait(engine, YEAR)
    # Half of the cash is lent: 1 % + 6 % · 0.5 / 0.8 = 4.75 %, of which suppliers get 90 %.
    assert engine.cash_of(TAKER_ACCOUNT) == -52_375 * WAD
    assert engine.cash_of(MAKER_ACCOUNT) == 100_000 * WAD + 2_137_500 * WAD // 1000
    engine.settle(TAKER_ACCOUNT)
    assert engine.state.interest_pool == 2_375 * WAD
    engine.settle(MAKER_ACCOUNT)
    assert engine.state.interest_pool == 237_500 * WAD // 1000
    assert not invariants.broken(engine, 0)


# ---------------------------------------------------------------------------------- matching


def test_a_perpetual_changes_quotes_and_takes_fees(engine):
    trade(engine, 2 * WAD, 3_010 * WAD)
    assert engine.position_of(TAKER_ACCOUNT, PERPETUAL) == (2 * WAD, -6_020 * WAD)
    assert engine.position_of(MAKER_ACCOUNT, PERPETUAL) == (-2 * WAD, 6_020 * WAD)
    # 0.01 % and 0.03 % of 2 · 3000.
    assert engine.cash_of(MAKER_ACCOUNT) == 100_000 * WAD - 6 * WAD // 10
    assert engine.cash_of(TAKER_ACCOUNT) == 100_000 * WAD - 18 * WAD // 10
    assert engine.state.fees == 24 * WAD // 10
    assert engine.market_state(world.ETH).open_interest == 4 * WAD


def test_an_option_changes_cash_by_premium_and_capped_fee(engine):
    trade(engine, 2 * WAD, 4 * WAD, CALL)
    # The premium is 8, an eighth of it 1; the maker's fee of 0.6 is below that.
    assert engine.cash_of(TAKER_ACCOUNT) == 100_000 * WAD - 9 * WAD
    assert engine.cash_of(MAKER_ACCOUNT) == 100_000 * WAD + 8 * WAD - 6 * WAD // 10


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"instrument": FUTURE}, "OrdersDoNotMatch"),
        ({"size": -WAD}, "OrdersDoNotMatch"),
        ({"size": 0}, "OrdersDoNotMatch"),
        ({"account": MAKER_ACCOUNT}, "OrdersDoNotMatch"),
    ],
)
def test_orders_that_do_not_match_are_refused(engine, changes, name):
    maker = order(MAKER_ACCOUNT, -WAD, 3_000 * WAD)
    taker = order(TAKER_ACCOUNT, WAD, 3_000 * WAD)._replace(**changes)
    hashes = engine.exchange.hash_order(maker), engine.exchange.hash_order(taker)
    with refused(engine, name, *hashes):
        engine.match_orders(maker, True, taker, True, WAD)


@pytest.mark.parametrize(("size", "limit"), [(WAD, 3_000 * WAD - 1), (-WAD, 3_000 * WAD + 1)])
def test_a_makers_price_beyond_the_takers_limit_is_refused(engine, size, limit):
    with refused(engine, "PriceNotAcceptable", 3_000 * WAD, limit):
        trade(engine, size, 3_000 * WAD, price=limit)


def test_orders_are_refused_for_the_reasons_specified(engine):
    now = engine.market.now
    engine.exchange.cancel_orders_below(TAKER, TAKER_ACCOUNT, 5)
    good = order(TAKER_ACCOUNT, WAD, 3_000 * WAD, nonce=5)
    maker = order(MAKER_ACCOUNT, -WAD, 3_000 * WAD)
    for changes, signed, error in (
        ({"account": 1}, True, lambda h: ("InvalidAccount", 1)),
        ({"signer": MAKER}, True, lambda h: ("NotAuthorised", TAKER_ACCOUNT, MAKER)),
        ({"deadline": now - 1}, True, lambda h: ("OrderExpired", h, now - 1)),
        ({"nonce": 4}, True, lambda h: ("OrderCancelled", h)),
        ({"size": WAD - 1}, True, lambda h: ("OrderOverfilled", h, WAD - 1, WAD)),
        ({}, False, lambda h: ("InvalidSignature", h, TAKER)),
    ):
        taker = good._replace(**changes)
        with refused(engine, *error(engine.exchange.hash_order(taker))):
            engine.match_orders(maker, True, taker, signed, WAD)
    engine.match_orders(maker, True, good._replace(deadline=now), True, WAD)


def test_an_order_is_filled_in_parts_and_never_twice(engine):
    maker = order(MAKER_ACCOUNT, -2 * WAD, 3_000 * WAD)
    taker = order(TAKER_ACCOUNT, 3 * WAD, 3_000 * WAD)
    engine.match_orders(maker, True, taker, True, WAD)
    engine.match_orders(maker, True, taker, True, WAD)
    order_hash = engine.exchange.hash_order(maker)
    with refused(engine, "OrderOverfilled", order_hash, 0, WAD):
        engine.match_orders(maker, True, taker, True, WAD)
    assert engine.exchange.filled(engine.exchange.hash_order(taker)) == 2 * WAD


def test_a_cancelled_order_cannot_be_filled(engine):
    taker = order(TAKER_ACCOUNT, WAD, 3_000 * WAD)
    engine.exchange.cancel_order(TAKER, taker)
    order_hash = engine.exchange.hash_order(taker)
    assert engine.exchange.filled(order_hash) == CANCELLED
    with refused(engine, "OrderCancelled", order_hash):
        engine.match_orders(order(MAKER_ACCOUNT, -WAD, 3_000 * WAD), True, taker, True, WAD)
    with refused(engine, "NonceNotIncreasing", TAKER_ACCOUNT, 0, 0):
        engine.exchange.cancel_orders_below(TAKER, TAKER_ACCOUNT, 0)


def test_fills_are_refused_for_the_reasons_specified(engine):
    unlisted = instrument.future(world.ETH, WEEK + 1)
    lot = 10**15
    for size, price, what, error in (
        (WAD, WAD, FUTURE | 1, ("UnknownInstrument", FUTURE | 1)),
        (WAD, WAD, unlisted, ("UnknownInstrument", unlisted)),
        (WAD, WAD, instrument.perpetual(9), ("UnknownInstrument", instrument.perpetual(9))),
        (lot + 1, WAD, FUTURE, ("InvalidSize", lot + 1, lot)),
        (WAD, 0, FUTURE, ("InvalidPrice", 0)),
        (WAD, 0, PERPETUAL, ("InvalidPrice", 0)),
    ):
        with refused(engine, *error):
            trade(engine, size, price, what)
    trade(engine, WAD, 0, PUT)
    wait(engine, 7 * DAY)
    with refused(engine, "InstrumentExpired", PUT, WEEK):
        trade(engine, WAD, WAD, PUT)


def test_a_position_that_does_not_fit_is_refused(engine):
    lot = 10**15
    size = position.SIZE_LIMIT // lot * lot + lot
    with refused(engine, "PositionOverflow", PUT, -size):
        trade(engine, size, 0, PUT)


def test_reduce_only_orders_only_reduce(engine):
    with refused(engine, "ReduceOnly", TAKER_ACCOUNT, 0, WAD):
        trade(engine, WAD, 3_000 * WAD, reduce_only=True)
    trade(engine, WAD, 3_000 * WAD)
    with refused(engine, "ReduceOnly", TAKER_ACCOUNT, WAD, -WAD // 1000):
        trade(engine, -WAD - WAD // 1000, 3_000 * WAD, reduce_only=True)
    trade(engine, -WAD, 3_000 * WAD, reduce_only=True)


def test_there_is_room_for_the_positions_allowed_and_no_more(engine):
    strikes = range(2_000, 2_700, 100)
    options = [instrument.option(world.ETH, WEEK, k * 10**8, True) for k in strikes]
    for put in options:
        trade(engine, WAD // 1000, 0, put)
    with refused(engine, "TooManyPositions", MAKER_ACCOUNT, 7):
        trade(engine, WAD // 1000, 0, CALL)
    trade(engine, -WAD // 1000, 0, options[1])
    held = [position.instrument(s) for s in engine.account(MAKER_ACCOUNT).positions]
    assert held == [options[0], options[6], *options[2:6]]


def test_predictive_margin_is_for_few_positions_on_few_underlyings(engine):
    engine.market = engine.market._replace(
        global_parameters=engine.market.global_parameters._replace(max_positions=40)
    )
    strikes = range(2_000, 4_900, 100)
    options = [instrument.option(world.ETH, WEEK, k * 10**8, True) for k in strikes]
    for put in options[:28]:
        trade(engine, WAD // 1000, 0, put)
    too_heavy = "AccountTooHeavy", TAKER_ACCOUNT, 33, 32
    engine.deposit(TAKER, TAKER_ACCOUNT, world.WETH, 1)
    engine.set_margin_mode(TAKER, TAKER_ACCOUNT, MarginMode.PREDICTIVE)
    bitcoin = instrument.perpetual(world.BTC)
    with refused(engine, "AccountTooHeavy", TAKER_ACCOUNT, 34, 32):
        trade(engine, WAD // 1000, world.PRICES[world.BTC], bitcoin)
    trade(engine, -WAD // 1000, 0, options[0])
    trade(engine, -WAD // 1000, 0, options[1])
    trade(engine, WAD // 1000, world.PRICES[world.BTC], bitcoin)
    with refused(engine, *too_heavy):
        trade(engine, WAD // 1000, 0, options[0])
    engine.set_margin_mode(TAKER, TAKER_ACCOUNT, MarginMode.PORTFOLIO)
    trade(engine, WAD // 1000, 0, options[0])
    with refused(engine, *too_heavy):
        engine.set_margin_mode(TAKER, TAKER_ACCOUNT, MarginMode.PREDICTIVE)


def test_one_more_collateral_may_be_too_much_for_predictive_margin(engine):
    engine.market = engine.market._replace(
        global_parameters=engine.market.global_parameters._replace(max_positions=40)
    )
    bitcoin = [
        instrument.option(world.BTC, WEEK, k * 10**8, False) for k in range(60_000, 88_000, 1_000)
    ]
    for call in bitcoin:
        trade(engine, WAD // 1000, 0, call)
    engine.set_margin_mode(TAKER, TAKER_ACCOUNT, MarginMode.PREDICTIVE)
    with refused(engine, "AccountTooHeavy", TAKER_ACCOUNT, 33, 32):
        engine.deposit(TAKER, TAKER_ACCOUNT, world.WETH, 1)
    engine.deposit(TAKER, TAKER_ACCOUNT, world.STABLE, 10**6)
    trade(engine, -WAD // 1000, 0, bitcoin[0])
    with refused(engine, "AccountTooHeavy", TAKER_ACCOUNT, 33, 32):
        engine.deposit(TAKER, TAKER_ACCOUNT, world.WETH, 1)
    trade(engine, -WAD // 1000, 0, bitcoin[1])
    for asset in (world.WETH, world.WETH, world.STABLE):
        engine.deposit(TAKER, TAKER_ACCOUNT, asset, 10**6)
    engine.deposit(TAKER, TAKER_ACCOUNT, 0, 10**6)


def test_open_interest_is_capped_per_side(engine):
    cap = 2_000 * WAD
    lot = WAD // 1000
    for account in (MAKER_ACCOUNT, TAKER_ACCOUNT):
        engine.deposit(OUTSIDER, account, 0, 10**8 * USD_RAW)
    with refused(engine, "OpenInterestCap", world.ETH, cap + lot, cap):
        trade(engine, cap + lot, 3_000 * WAD)
    trade(engine, cap, 3_000 * WAD)


def test_a_trade_beyond_margin_is_refused_maker_first(engine):
    with pytest.raises(ModelError) as caught:
        trade(engine, 500 * WAD, 3_000 * WAD)
    assert caught.value.name == "BelowInitialMargin"
    assert caught.value.arguments[0] == MAKER_ACCOUNT


def test_a_stale_price_stops_new_risk_but_not_less_risk(engine):
    trade(engine, 10 * WAD, 3_000 * WAD)
    stale = engine.market.now
    engine.market = engine.market._replace(now=stale + 3_600)
    trade(engine, WAD, 3_000 * WAD)
    engine.market = engine.market._replace(now=stale + 3_601)
    with refused(engine, "StalePrice", MAKER_ACCOUNT, stale, 3_600):
        trade(engine, WAD, 3_000 * WAD)
    # Closing at the mark takes off more margin than it costs in fees.
    mark = engine.market.spots[1].mark
    trade(engine, -5 * WAD, mark)


def test_a_withdrawal_asks_for_younger_prices_than_a_trade(engine):
    trade(engine, WAD, 3_000 * WAD)
    posted = engine.market.now
    engine.market = engine.market._replace(now=posted + 900)
    engine.withdraw(TAKER, TAKER_ACCOUNT, 0, 1)
    engine.market = engine.market._replace(now=posted + 901)
    with refused(engine, "StalePrice", TAKER_ACCOUNT, posted, 900):
        engine.withdraw(TAKER, TAKER_ACCOUNT, 0, 1)
    trade(engine, WAD, 3_000 * WAD)
    # The stricter limit holds for all that a batch does to the account.
    with refused(engine, "StalePrice", TAKER_ACCOUNT, posted, 900):
        engine.batch(
            [
                lambda: engine.withdraw(TAKER, TAKER_ACCOUNT, 0, 1),
                lambda: trade(engine, WAD, 3_000 * WAD),
            ]
        )


def test_a_price_not_to_be_relied_on_is_too_old_for_every_use(engine):
    trade(engine, 2 * WAD, 3_000 * WAD)
    engine.market = world.change_spot(engine.market, world.ETH, timestamp=0)
    with refused(engine, "StalePrice", MAKER_ACCOUNT, 0, 3_600):
        trade(engine, WAD, 3_000 * WAD)
    with refused(engine, "StalePrice", TAKER_ACCOUNT, 0, 900):
        engine.withdraw(TAKER, TAKER_ACCOUNT, 0, 1)
    engine.deposit(TAKER, TAKER_ACCOUNT, 0, 1)
    engine.settle(TAKER_ACCOUNT)
    trade(engine, -WAD, engine.market.spots[1].mark)
    assert lens.validity(engine, TAKER_ACCOUNT) == (0, False, False, False, False)


def test_the_lens_tells_what_prices_are_young_enough_for(engine):
    engine.deposit(MAKER, MAKER_ACCOUNT, world.WETH, WAD)
    posted = engine.market.now
    for age, fit in (
        *((0, 4), (900, 4), (901, 3), (3_600, 3), (3_601, 2), (7_200, 2)),
        *((7_201, 1), (DAY, 1), (DAY + 1, 0)),
    ):
        engine.market = engine.market._replace(now=posted + age)
        expected = (False,) * (4 - fit) + (True,) * fit
        assert lens.validity(engine, MAKER_ACCOUNT) == (posted, *expected)


def test_an_account_below_initial_margin_may_reduce_risk(engine):
    set_price(engine, 3_000 * WAD)
    trade(engine, 100 * WAD, 3_000 * WAD)
    set_price(engine, 3_700 * WAD)
    with pytest.raises(ModelError) as caught:
        trade(engine, WAD, 3_700 * WAD)
    assert caught.value.name == "BelowInitialMargin"
    trade(engine, -20 * WAD, 3_700 * WAD)
    with pytest.raises(ModelError) as caught:
        engine.withdraw(MAKER, MAKER_ACCOUNT, 0, 1)
    assert caught.value.name == "BelowInitialMargin"


def test_unrealised_profit_is_margin_but_cannot_leave(engine):
    set_price(engine, 3_000 * WAD)
    trade(engine, 20 * WAD, 3_000 * WAD)
    set_price(engine, 8_000 * WAD)
    engine.deposit(OUTSIDER, MAKER_ACCOUNT, 0, 10**6 * USD_RAW)
    cash = engine.cash_of(TAKER_ACCOUNT)
    dollars = cash // WAD + 1
    with refused(engine, "UnrealisedProfitWithdrawal", TAKER_ACCOUNT, cash - dollars * WAD):
        engine.withdraw(TAKER, TAKER_ACCOUNT, 0, dollars * USD_RAW)
    engine.withdraw(TAKER, TAKER_ACCOUNT, 0, (dollars - 1) * USD_RAW)


# -------------------------------------------------------------------------------- settlement


def test_settling_moves_a_loss_to_the_pool_and_the_profit_out_of_it(engine):
    set_price(engine, 3_000 * WAD)
    trade(engine, 10 * WAD, 3_000 * WAD)
    set_price(engine, 3_100 * WAD)
    before = engine.cash_of(TAKER_ACCOUNT), engine.cash_of(MAKER_ACCOUNT)
    engine.settle(TAKER_ACCOUNT)
    assert engine.cash_of(TAKER_ACCOUNT) == before[0]
    engine.settle(MAKER_ACCOUNT)
    assert engine.cash_of(MAKER_ACCOUNT) == before[1] - 1_000 * WAD
    assert engine.market_state(world.ETH).pnl_pool == 1_000 * WAD
    engine.settle(TAKER_ACCOUNT)
    assert engine.cash_of(TAKER_ACCOUNT) == before[0] + 1_000 * WAD
    assert engine.market_state(world.ETH).pnl_pool == 0
    assert engine.position_of(TAKER_ACCOUNT, PERPETUAL) == (10 * WAD, -31_000 * WAD)


def test_a_loss_beyond_cash_is_paid_as_far_as_collateral_covers_it(engine):
    set_price(engine, 3_000 * WAD)
    engine.deposit(MAKER, MAKER_ACCOUNT, world.STABLE, 100_000 * USD_RAW)
    trade(engine, 50 * WAD, 3_000 * WAD)
    set_price(engine, 10_000 * WAD)
    # Cash 99,985; 100,000 tokens at the stable rate of 0.998 less 2 %.
    covered = 99_985 * WAD + 97_804 * WAD
    engine.settle(MAKER_ACCOUNT)
    assert engine.cash_of(MAKER_ACCOUNT) == -97_804 * WAD
    assert engine.market_state(world.ETH).pnl_pool == covered
    assert engine.position_of(MAKER_ACCOUNT, PERPETUAL)[1] == 150_000 * WAD + covered
    engine.settle(MAKER_ACCOUNT)
    assert engine.market_state(world.ETH).pnl_pool == covered
    assert not invariants.broken(engine, 0)


@pytest.mark.parametrize("old", ["spot", "rate"])
def test_collateral_at_old_prices_pays_no_loss(engine, old):
    set_price(engine, 3_000 * WAD)
    engine.deposit(MAKER, MAKER_ACCOUNT, world.WETH, 10 * WAD)
    trade(engine, 50 * WAD, 3_000 * WAD)
    set_price(engine, 10_000 * WAD)
    posted = engine.market.now
    wait(engine, 7_201)
    if old == "spot":
        engine.market = world.change_spot(engine.market, world.ETH, timestamp=posted)
    else:
        rates = tuple(c._replace(timestamp=posted) for c in engine.market.collaterals)
        engine.market = engine.market._replace(collaterals=rates)
    engine.settle(MAKER_ACCOUNT)
    assert engine.cash_of(MAKER_ACCOUNT) == 0
    assert engine.market_state(world.ETH).pnl_pool == 99_985 * WAD
    wait(engine, 1)
    engine.settle(MAKER_ACCOUNT)
    assert engine.cash_of(MAKER_ACCOUNT) == -95_000 * WAD


@pytest.mark.parametrize("timestamp", [0, -7_200, -7_201, -1])
def test_funding_accrues_only_while_the_price_is_known(engine, timestamp):
    # What no price was known for is due at the next: nobody can have it passed over.
    set_price(engine, 3_000 * WAD)
    trade(engine, 10 * WAD, 3_000 * WAD)
    start = engine.market.now
    engine.market = world.change_spot(
        engine.market, world.ETH, mark=3_015 * WAD, timestamp=timestamp and start + timestamp
    )
    known = 0 if timestamp == 0 else 7_200 + timestamp
    engine.market = engine.market._replace(now=start + 8 * 3_600)
    expected = max(0, 15 * WAD * known // (8 * 3_600))
    assert engine.current_funding_index(world.ETH) == expected
    engine.accrue(world.ETH)
    assert engine.market_state(world.ETH)[:2] == (expected, start + max(0, known))
    engine.market = world.change_spot(engine.market, world.ETH, timestamp=start + 8 * 3_600)
    engine.market = engine.market._replace(now=start + 9 * 3_600)
    total = 15 * WAD * 9 // 8
    assert engine.current_funding_index(world.ETH) in (total - 1, total)


def test_a_closed_position_is_settled_at_once_the_loss_first(engine):
    set_price(engine, 3_000 * WAD)
    trade(engine, 10 * WAD, 3_000 * WAD)
    trade(engine, -10 * WAD, 3_100 * WAD)
    assert engine.account(MAKER_ACCOUNT).positions == ()
    assert engine.account(TAKER_ACCOUNT).positions == ()
    assert engine.market_state(world.ETH) == (0, engine.market.now, 0, 0)
    total = engine.cash_of(MAKER_ACCOUNT) + engine.cash_of(TAKER_ACCOUNT) + engine.state.fees
    assert total == 200_000 * WAD
    assert engine.cash_of(TAKER_ACCOUNT) > 100_900 * WAD


def test_longs_pay_funding_to_shorts(engine):
    set_price(engine, 3_000 * WAD)
    trade(engine, 10 * WAD, 3_000 * WAD)
    engine.market = world.change_spot(engine.market, world.ETH, mark=3_015 * WAD)
    wait(engine, 8 * 3_600)
    assert engine.current_funding_index(world.ETH) == 15 * WAD
    engine.accrue(world.ETH)
    set_price(engine, 3_000 * WAD)
    engine.settle(TAKER_ACCOUNT)
    engine.settle(MAKER_ACCOUNT)
    assert engine.cash_of(TAKER_ACCOUNT) == 100_000 * WAD - 9 * WAD - 150 * WAD
    assert engine.cash_of(MAKER_ACCOUNT) == 100_000 * WAD - 3 * WAD + 150 * WAD


def test_funding_that_never_began_is_known_without_a_price(engine):
    """The model refused with `MissingPrice` what the contract answers; its accrual does refuse."""
    engine.market = world.change_spot(engine.market, world.ETH, index=0)
    assert engine.current_funding_index(world.ETH) == 0
    with refused(engine, "MissingPrice", world.ETH, 0):
        engine.accrue(world.ETH)


def test_the_first_accrual_of_funding_starts_the_clock(engine):
    assert engine.current_funding_index(world.ETH) == 0
    engine.accrue(world.ETH)
    assert engine.market_state(world.ETH).funding_at == engine.market.now
    with refused(engine, "MissingPrice", 9, 0):
        engine.accrue(9)


def test_an_expired_option_becomes_a_claim_and_then_cash(engine):
    set_price(engine, 3_000 * WAD)
    trade(engine, 10 * WAD, 100 * WAD, CALL)
    wait(engine, 7 * DAY)
    engine.settle(TAKER_ACCOUNT)
    assert position.instrument(engine.account(TAKER_ACCOUNT).positions[0]) == CALL
    post_settlement(engine, 3_200 * WAD)
    cash = engine.cash_of(TAKER_ACCOUNT)
    engine.settle(TAKER_ACCOUNT)
    assert engine.position_of(TAKER_ACCOUNT, PERPETUAL) == (0, 2_000 * WAD)
    assert engine.market_state(world.ETH).open_interest == 10 * WAD
    engine.settle(MAKER_ACCOUNT)
    engine.settle(TAKER_ACCOUNT)
    assert engine.cash_of(TAKER_ACCOUNT) == cash + 2_000 * WAD
    assert engine.account(TAKER_ACCOUNT).positions == ()
    assert not invariants.broken(engine, 2)


def test_an_expired_future_joins_the_perpetual_that_is_there(engine):
    set_price(engine, 3_000 * WAD)
    trade(engine, WAD, 3_000 * WAD, FUTURE)
    trade(engine, WAD, 3_000 * WAD, PERPETUAL)
    trade(engine, WAD, 0, PUT)
    wait(engine, 7 * DAY)
    post_settlement(engine, 3_300 * WAD)
    engine.settle(TAKER_ACCOUNT)
    # The claim of 300 waits in the quote for the maker to pay its loss.
    assert engine.account(TAKER_ACCOUNT).positions == (position.pack(PERPETUAL, WAD, -2_700 * WAD),)
    engine.settle(MAKER_ACCOUNT)
    assert engine.market_state(world.ETH).pnl_pool == 300 * WAD
    assert not invariants.broken(engine, 4)


def test_payoffs_round_against_both_sides(engine):
    lot = WAD // 1000
    trade(engine, lot, 0, PUT)
    wait(engine, 7 * DAY)
    post_settlement(engine, 2_499 * WAD + 1)
    engine.settle(TAKER_ACCOUNT)
    engine.settle(MAKER_ACCOUNT)
    claim = engine.position_of(TAKER_ACCOUNT, PERPETUAL)[1]
    assert claim == lot - 1
    assert engine.market_state(world.ETH).pnl_pool == lot


# --------------------------------------------------------------------- modes, fees and batches


def test_an_isolated_account_needs_margin_for_both_sides_of_a_hedge(engine):
    trade(engine, 110 * WAD, 3_006 * WAD, FUTURE)
    trade(engine, -110 * WAD, 3_006 * WAD)
    with pytest.raises(ModelError) as caught:
        engine.set_margin_mode(TAKER, TAKER_ACCOUNT, MarginMode.ISOLATED)
    assert caught.value.name == "BelowInitialMargin"
    with refused(engine, "NotAuthorised", TAKER_ACCOUNT, MAKER):
        engine.set_margin_mode(MAKER, TAKER_ACCOUNT, MarginMode.PORTFOLIO)


def test_fees_go_to_the_collector_alone_and_no_more_than_earned(engine):
    trade(engine, 2 * WAD, 3_010 * WAD)
    earned_raw = 24 * USD_RAW // 10
    with refused(engine, "AccessManagedUnauthorized", OUTSIDER):
        engine.collect_fees(OUTSIDER, 1)
    with refused(engine, "ZeroAmount"):
        engine.collect_fees(TREASURER, 0)
    earned = 24 * WAD // 10
    with refused(engine, "InsufficientFees", earned + 10**12, earned):
        engine.collect_fees(TREASURER, earned_raw + 1)
    engine.collect_fees(TREASURER, earned_raw)
    assert engine.state.fees == 0
    assert not invariants.broken(engine, 0)


def test_a_batch_is_judged_once_at_its_end(engine):
    engine.batch(
        [
            lambda: engine.withdraw(MAKER, MAKER_ACCOUNT, 0, 150_000 * USD_RAW),
            lambda: engine.deposit(MAKER, MAKER_ACCOUNT, 0, 50_000 * USD_RAW),
        ]
    )
    assert engine.cash_of(MAKER_ACCOUNT) == 0


def test_a_batch_that_fails_has_not_happened(engine):
    with refused(engine, "ZeroAmount"):
        engine.batch(
            [
                lambda: engine.withdraw(MAKER, MAKER_ACCOUNT, 0, 50_000 * USD_RAW),
                lambda: engine.withdraw(MAKER, MAKER_ACCOUNT, 0, 0),
            ]
        )
    with refused(engine, "BelowInitialMargin", MAKER_ACCOUNT, -WAD, 0):
        engine.batch([lambda: engine.withdraw(MAKER, MAKER_ACCOUNT, 0, 100_001 * USD_RAW)])


def test_batches_do_not_nest(engine):
    with refused(engine, "Reentrancy"):
        engine.batch([lambda: engine.batch([])])


def test_a_batch_may_reduce_risk_as_one_of_its_calls(engine):
    set_price(engine, 3_000 * WAD)
    trade(engine, 100 * WAD, 3_000 * WAD)
    set_price(engine, 3_900 * WAD)
    engine.batch(
        [
            lambda: engine.deposit(MAKER, MAKER_ACCOUNT, 0, 1),
            lambda: trade(engine, -WAD, 3_900 * WAD),
        ]
    )
