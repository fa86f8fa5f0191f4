"""Positions, premiums, fees, caps on positions and open interest, reduce-only."""

from dataclasses import replace

import pytest
from engine.world import BTC, CASH, ETH, WAD, account_of, future, option, perpetual

PRICE = 2_000
MAKER_FEE, TAKER_FEE = WAD // 10_000, 3 * WAD // 10_000


@pytest.fixture(scope="module", autouse=True)
def funds(world, trader, maker):
    for owner in (trader, maker):
        world.deposit(owner, CASH, 1_000_000)


@pytest.fixture
def next_month(world):
    return world.list_expiry()


def no_time_passes(world):
    """Keep interest out of a test: loans are what it comes from, and there are none."""
    assert world.engine.cashState().totalDebt == 0


def test_a_perpetual_trade_moves_quotes_and_takes_fees(world, engine, trader, maker):
    no_time_passes(world)
    receipt = world.trade(trader, maker, perpetual(), 3, 1_950)
    assert world.position(trader, perpetual()) == (3 * WAD, -3 * 1_950 * WAD)
    assert world.position(maker, perpetual()) == (-3 * WAD, 3 * 1_950 * WAD)
    notional = 3 * PRICE  # fees are on the index
    maker_fee, taker_fee = notional * MAKER_FEE, notional * TAKER_FEE
    assert world.cash_of(maker) == 1_000_000 * WAD - maker_fee
    assert world.cash_of(trader) == 1_000_000 * WAD - taker_fee
    assert engine.cashState().fees == maker_fee + taker_fee
    assert engine.marketState(ETH).openInterest == 6 * WAD
    common = {"instrument": perpetual(), "price": 1_950 * WAD, "cashChange": 0}
    traded = [
        engine.Traded(
            account=account_of(maker), size=-3 * WAD, fee=maker_fee, sizeAfter=-3 * WAD, **common
        ),
        engine.Traded(
            account=account_of(trader), size=3 * WAD, fee=taker_fee, sizeAfter=3 * WAD, **common
        ),
    ]
    assert [log for log in receipt.events if log.event_name == "Traded"] == traded
    assert world.unaccounted_cash([account_of(trader), account_of(maker)]) == 0


def test_an_option_trade_exchanges_its_premium(world, engine, trader, maker, next_month):
    call = option(next_month, PRICE)
    world.trade(trader, maker, call, 2, 150)
    assert world.position(trader, call) == (2 * WAD, 0)
    assert world.position(maker, call) == (-2 * WAD, 0)
    fees = 2 * PRICE * MAKER_FEE, 2 * PRICE * TAKER_FEE
    assert world.cash_of(maker) == (1_000_000 + 300) * WAD - fees[0]
    assert world.cash_of(trader) == (1_000_000 - 300) * WAD - fees[1]
    assert engine.cashState().fees == sum(fees)
    assert world.unaccounted_cash([account_of(trader), account_of(maker)]) == 0


def test_the_fee_on_a_cheap_option_is_capped_by_its_premium(
    world, engine, trader, maker, next_month
):
    world.trade(trader, maker, option(next_month, PRICE), 1, 1.2)
    maker_fee, eighth = PRICE * MAKER_FEE, WAD * 12 // 10 // 8
    assert maker_fee > eighth
    assert engine.cashState().fees == 2 * eighth


def test_open_interest_is_not_to_be_had_for_nothing(world, engine, trader, maker, next_month):
    """Options at a price of 0 paid no fee, and open interest raises everyone's initial margin."""
    world.trade(trader, maker, option(next_month, PRICE, is_put=True), 100, 0)
    least = 100 * PRICE * WAD // 2_000
    assert engine.cashState().fees == 2 * (least // 8)


@pytest.mark.parametrize("is_put", [False, True])
@pytest.mark.parametrize("strike", [PRICE // 10, 10 * PRICE])
def test_no_option_is_opened_far_from_the_index(
    world, engine, trader, maker, next_month, strike, is_put
):
    """At any strike, deep in the money, they were loans at hardly any margin."""
    instrument, step = option(next_month, strike, is_put), 1 if strike < PRICE else -1
    world.trade(trader, maker, instrument, 2, 1)
    index = PRICE + step
    world.set_spot(ETH, index)
    refused = {"strike": strike * WAD, "index": index * WAD}
    for buyer, seller in ((trader, maker), (maker, trader)):
        with world.refuses("StrikeTooFar", **refused):
            world.trade(buyer, seller, instrument, 3, 1)
    # A third party that opens for one that closes; and one that turns round.
    world.deposit(world.actors[5], CASH, 10_000)
    with world.refuses("StrikeTooFar", **refused):
        world.trade(world.actors[5], trader, instrument, 1, 1)
    # Reducing and closing are never refused.
    for size in (1, 1):
        world.trade(maker, trader, instrument, size, 1)
    assert world.position(trader, instrument) == (0, 0)
    # Nor is anything but an option.
    world.trade(trader, maker, perpetual(), 1, index)


def test_reduce_only_comes_before_the_strike(world, trader, maker, next_month):
    instrument = option(next_month, 10 * PRICE + 1)
    sell = replace(world.order(maker, instrument, -1, 1), reduce_only=True)
    with world.refuses("ReduceOnly", account=account_of(maker), sizeBefore=0, sizeAfter=-WAD):
        world.match(sell, world.order(trader, instrument, 1, 1))


def test_fees_round_up(world, engine, trader, maker):
    world.set_spot(ETH, 1e-18)  # the smallest price there is
    before = engine.cashState().fees
    world.trade(trader, maker, perpetual(), 0.001, 1e-18)
    assert engine.cashState().fees == before + 2


def test_a_position_grows_shrinks_flips_and_goes(world, engine, trader, maker):
    expected_size = expected_quote = 0
    for size, price in ((2, 2_000), (3, 2_010), (-1, 1_990), (-7, 2_005), (1, 2_000)):
        buyer, seller = (trader, maker) if size > 0 else (maker, trader)
        world.trade(buyer, seller, perpetual(), abs(size), price)
        expected_size += size
        expected_quote -= size * price
        assert world.position(trader, perpetual()) == (expected_size * WAD, expected_quote * WAD)
        assert world.position(maker, perpetual()) == (-expected_size * WAD, -expected_quote * WAD)
        assert engine.marketState(ETH).openInterest == 2 * abs(expected_size) * WAD
    world.trade(trader, maker, perpetual(), 2, 2_000)
    assert list(engine.positionsOf(account_of(maker))) == []
    assert engine.marketState(ETH).openInterest == 0


def test_closing_settles_profit_and_loss_in_cash_at_once(world, engine, trader, maker, next_month):
    for instrument in (perpetual(), future(next_month)):
        before = world.cash_of(trader), world.cash_of(maker), engine.cashState().fees
        world.trade(trader, maker, instrument, 2, 2_000)
        receipt = world.trade(maker, trader, instrument, 2, 2_100)
        assert list(engine.positionsOf(account_of(trader))) == []
        assert list(engine.positionsOf(account_of(maker))) == []
        paid = engine.cashState().fees - before[2]
        gained = world.cash_of(trader) - before[0], world.cash_of(maker) - before[1]
        assert sum(gained) == -paid
        settled = [log for log in receipt.events if log.event_name == "PnlSettled"]
        assert settled == [
            engine.PnlSettled(account=account_of(maker), cashChange=-200 * WAD, pool=200 * WAD),
            engine.PnlSettled(account=account_of(trader), cashChange=200 * WAD, pool=0),
        ]
    assert engine.marketState(ETH).pnlPool == 0


def test_slots_of_each_instrument_are_told_apart(world, engine, trader, maker, next_month):
    world.set_global(maxPositions=8)
    other = world.list_expiry(days=60)
    book = [
        (perpetual(), 1),
        (perpetual(BTC), 0.01),
        (future(next_month), 2),
        (future(other), 3),
        (option(next_month, PRICE), 4),
        (option(next_month, PRICE, is_put=True), 5),
        (option(other, PRICE), 6),
        (option(next_month, PRICE + 1), 7),
    ]
    for instrument, size in book:
        price = 50_000 if instrument == perpetual(BTC) else 100 if instrument >> 80 & 1 else PRICE
        world.trade(trader, maker, instrument, size, price)
    for instrument, size in book:
        assert world.position(trader, instrument)[0] == int(size * WAD)
        assert world.position(maker, instrument)[0] == -int(size * WAD)
    assert len(engine.positionsOf(account_of(trader))) == len(book)
    assert world.position(trader, option(other, PRICE + 1)) == (0, 0)


def test_the_last_slot_moves_into_the_hole(world, engine, trader, maker, next_month):
    calls = [option(next_month, PRICE + k) for k in range(4)]
    for call in calls:
        world.trade(trader, maker, call, 1, 10)
    slots = list(engine.positionsOf(account_of(trader)))
    world.trade(maker, trader, calls[1], 1, 10)
    assert list(engine.positionsOf(account_of(trader))) == [slots[0], slots[3], slots[2]]


def test_more_positions_than_allowed_are_refused(world, trader, maker, next_month):
    calls = [option(next_month, PRICE + k) for k in range(5)]
    for call in calls[:4]:
        world.trade(trader, maker, call, 1, 10)
    with world.refuses("TooManyPositions", account=account_of(maker), cap=4):
        world.trade(trader, maker, calls[4], 1, 10)
    world.set_global(maxPositions=2)  # those there are may still be traded
    world.trade(trader, maker, calls[0], 1, 10)


def test_open_interest_above_the_cap_is_refused(world, engine, trader, maker):
    world.set_underlying(ETH, openInterestCap=5 * WAD)
    world.trade(trader, maker, perpetual(), 4, PRICE)
    with world.refuses("OpenInterestCap", underlying=ETH, openInterest=6 * WAD, cap=5 * WAD):
        world.trade(trader, maker, perpetual(), 2, PRICE)
    world.trade(trader, maker, perpetual(), 1, PRICE)
    world.set_underlying(ETH, openInterestCap=0)
    world.trade(maker, trader, perpetual(), 2, PRICE)  # what falls is never refused
    assert engine.marketState(ETH).openInterest == 6 * WAD


def test_the_cap_judges_both_sides_together(world, trader, maker, lender):
    """A third party takes over a position: open interest stays."""
    world.deposit(lender, CASH, 100_000)
    world.set_underlying(ETH, openInterestCap=5 * WAD)
    world.trade(trader, maker, perpetual(), 5, PRICE)
    world.trade(lender, trader, perpetual(), 5, PRICE)
    assert world.position(lender, perpetual())[0] == 5 * WAD


@pytest.mark.parametrize(
    "size_before, size, after", [(0, 1, 1), (2, 1, 3), (2, -3, -1), (-2, 4, 2)]
)
@pytest.mark.parametrize("who", ["maker", "taker", "market"])
def test_reduce_only_refuses_all_but_reduction(world, trader, maker, size_before, size, after, who):
    if size_before:
        buyer, seller = (trader, maker) if size_before > 0 else (maker, trader)
        world.trade(buyer, seller, perpetual(), abs(size_before), PRICE)
    taker_order = world.order(trader, perpetual(), size, PRICE)
    maker_order = world.order(maker, perpetual(), -size, PRICE)
    owner, sign = (trader, 1) if who == "taker" else (maker, -1)
    if who == "market":
        world.set_underlying(ETH, reduceOnly=True)
    elif who == "taker":
        taker_order = replace(taker_order, reduce_only=True)
    else:
        maker_order = replace(maker_order, reduce_only=True)
    with world.refuses(
        "ReduceOnly",
        account=account_of(owner),
        sizeBefore=sign * size_before * WAD,
        sizeAfter=sign * after * WAD,
    ):
        world.match(maker_order, taker_order)


def test_reduce_only_admits_reduction_to_zero(world, trader, maker):
    world.trade(trader, maker, perpetual(), 2, PRICE)
    world.set_underlying(ETH, reduceOnly=True)
    for _ in range(2):
        sell = world.order(trader, perpetual(), -1, PRICE, reduce_only=True)
        world.match(world.order(maker, perpetual(), 1, PRICE, reduce_only=True), sell)
    assert world.position(trader, perpetual()) == (0, 0)


def test_sizes_and_quotes_beyond_their_fields_are_refused(world, trader, maker, next_month):
    world.set_underlying(ETH, openInterestCap=2**96 - 1)
    lot = WAD // 1_000
    largest = (2**95 - 1) // lot * lot
    too_large = largest + lot
    pair = world.order(maker, perpetual(), -1, PRICE), world.order(trader, perpetual(), 1, PRICE)

    def match(instrument, size, price):
        sell, buy = (
            replace(order, instrument=instrument, size=sign * size, price=price)
            for order, sign in zip(pair, (-1, 1), strict=True)
        )
        arguments = world.match_arguments(sell, buy)
        world.engine.matchOrders(*arguments, sender=trader)

    for instrument in (perpetual(), option(next_month, PRICE)):
        for size in (too_large, (2**127 - 1) // lot * lot):
            with world.refuses("PositionOverflow", instrument=instrument, value=-size):
                match(instrument, size, 2**128 - 1)
    amount = largest * (2**128 - 1) // WAD
    with world.refuses("PositionOverflow", instrument=perpetual(), value=amount):
        match(perpetual(), largest, 2**128 - 1)
    with world.refuses(
        "CashOverflow",
        account=account_of(maker),
        value=1_000_000 * WAD + amount - largest * PRICE * MAKER_FEE // WAD,
    ):
        match(option(next_month, PRICE), largest, 2**128 - 1)


def test_trades_within_one_instrument_leave_no_new_slots(world, trader, maker):
    """All that grows with repeated trades is what was filled of each order."""
    sell = world.order(maker, perpetual(), -10, PRICE)
    buy = world.order(trader, perpetual(), 10, PRICE)
    costs = []
    for _ in range(4):
        world.next_block_at(world.now + 10)
        costs.append(world.match(sell, buy, 1).gas_used)
    new_slot = 20_000
    assert max(costs[1:]) - min(costs[1:]) < new_slot // 4
    assert costs[0] > costs[1] + new_slot
