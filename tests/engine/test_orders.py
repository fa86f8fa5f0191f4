"""Signed orders: matching, limits, signatures, partial fills, cancellation and nonces."""

from dataclasses import replace

import ape
import pytest
from engine.world import (
    BTC,
    CANCELLED,
    CASH,
    ETH,
    WAD,
    Order,
    account_of,
    future,
    option,
    perpetual,
)
from eth_account import Account
from eth_account.messages import encode_typed_data

PRICE = 2_000


@pytest.fixture(scope="module", autouse=True)
def funds(world, trader, maker):
    for owner in (trader, maker):
        world.deposit(owner, CASH, 100_000)


@pytest.fixture
def sell(world, maker):
    return world.order(maker, perpetual(), -5, PRICE)


@pytest.fixture
def buy(world, trader):
    return world.order(trader, perpetual(), 5, PRICE)


def test_a_match_fills_both_orders_at_the_makers_price(world, engine, trader, maker):
    sell = world.order(maker, perpetual(), -5, 1_990)
    buy = world.order(trader, perpetual(), 3, 2_010)
    receipt = world.match(sell, buy, 2)
    assert world.position(trader, perpetual()) == (2 * WAD, -2 * 1_990 * WAD)
    assert world.position(maker, perpetual()) == (-2 * WAD, 2 * 1_990 * WAD)
    assert world.exchange.filled(world.hash(sell)) == 2 * WAD
    assert world.exchange.filled(world.hash(buy)) == 2 * WAD
    filled = world.exchange.OrderFilled
    assert receipt.events[:2] == [
        filled(orderHash=world.hash(sell), account=sell.account, filled=2 * WAD),
        filled(orderHash=world.hash(buy), account=buy.account, filled=2 * WAD),
    ]


def test_an_order_is_filled_in_parts_and_not_beyond(world, trader, maker, sell, buy):
    world.match(sell, buy, 2)
    world.match(sell, buy, 2.5)
    with world.refuses("OrderOverfilled", orderHash=world.hash(sell), remaining=WAD // 2, size=WAD):
        world.match(sell, buy, 1)
    world.match(sell, buy, 0.5)
    # Replayed as it is, the order has nothing left.
    with world.refuses(
        "OrderOverfilled", orderHash=world.hash(sell), remaining=0, size=WAD // 1_000
    ):
        world.match(sell, buy, 0.001)
    assert world.position(trader, perpetual())[0] == 5 * WAD


def test_the_takers_order_cannot_be_overfilled_either(world, trader, maker, sell):
    buy = world.order(trader, perpetual(), 1, PRICE)
    with world.refuses("OrderOverfilled", orderHash=world.hash(buy), remaining=WAD, size=2 * WAD):
        world.match(sell, buy, 2)


@pytest.mark.parametrize(
    "change",
    [
        {"size": 5 * WAD},
        {"size": 0},
        {"instrument": perpetual(BTC)},
        {"account": "the taker's"},
    ],
)
def test_orders_that_do_not_belong_together_are_refused(world, sell, buy, change):
    if "account" in change:
        change = {"account": buy.account, "signer": buy.signer}
    sell = replace(sell, **change)
    with world.refuses("OrdersDoNotMatch", makerHash=world.hash(sell), takerHash=world.hash(buy)):
        world.match(sell, buy, 1)


def test_a_taker_of_size_zero_matches_nobody(world, sell, buy):
    buy = replace(buy, size=0)
    with world.refuses("OrdersDoNotMatch", makerHash=world.hash(sell), takerHash=world.hash(buy)):
        world.match(sell, buy, 1)


@pytest.mark.parametrize("taker_size, limit", [(1, PRICE * WAD - 1), (-1, PRICE * WAD + 1)])
def test_a_price_beyond_the_takers_limit_is_refused(world, trader, maker, taker_size, limit):
    resting = world.order(maker, perpetual(), -taker_size, PRICE)
    taker = world.order(trader, perpetual(), taker_size, PRICE)
    with world.refuses("PriceNotAcceptable", price=PRICE * WAD, limit=limit):
        world.match(resting, replace(taker, price=limit))
    world.match(resting, taker)


def test_an_order_is_valid_to_the_last_second_of_its_deadline(world, engine, sell, buy, outsider):
    deadline = world.now + 100
    sell = replace(sell, deadline=deadline)
    arguments = world.match_arguments(sell, buy, 1)
    world.next_block_at(deadline)
    engine.matchOrders(*arguments, sender=outsider)
    assert world.now == deadline
    world.wait(1)
    with world.refuses("OrderExpired", orderHash=world.hash(sell), deadline=deadline):
        engine.matchOrders(*arguments, sender=outsider)


@pytest.mark.parametrize("side", ["maker", "taker"])
def test_a_signature_of_another_key_is_refused(world, engine, sell, buy, outsider, side):
    arguments = list(world.match_arguments(sell, buy, 1))
    order, position = (sell, 1) if side == "maker" else (buy, 3)
    for wrong in (world.sign(order, key=outsider), b"", b"\1" * 65, arguments[position][:-1]):
        arguments[position] = wrong
        with world.refuses("InvalidSignature", orderHash=world.hash(order), signer=order.signer):
            engine.matchOrders(*arguments, sender=outsider)


@pytest.mark.parametrize(
    "field, value",
    [
        ("price", PRICE * WAD - 1),
        ("size", -6 * WAD),
        ("deadline", 2**63),
        ("nonce", 10**6),
        ("reduce_only", True),
    ],
)
def test_a_signature_covers_every_field(world, engine, sell, buy, outsider, field, value):
    arguments = list(world.match_arguments(sell, buy, 1))
    forged = replace(sell, **{field: value})
    arguments[0] = forged.struct()
    with world.refuses("InvalidSignature", orderHash=world.hash(forged), signer=sell.signer):
        engine.matchOrders(*arguments, sender=outsider)


def test_a_signature_is_for_this_exchange_alone(world, engine, sell, buy, outsider):
    arguments = list(world.match_arguments(sell, buy, 1))
    elsewhere = world.exchange
    world.exchange = world.engine  # a domain that names another contract
    arguments[1] = world.sign(sell)
    world.exchange = elsewhere
    with world.refuses("InvalidSignature", orderHash=world.hash(sell), signer=sell.signer):
        engine.matchOrders(*arguments, sender=outsider)


def test_the_hash_of_an_order_is_that_of_its_typed_data(world, sell):
    fields = "account signer instrument size price deadline nonce reduceOnly".split()
    kinds = "uint256 address uint128 int128 uint128 uint64 uint64 bool".split()
    message = encode_typed_data(
        full_message={
            "primaryType": "Order",
            "domain": {
                "name": "Cross Margin Engine",
                "version": "1",
                "chainId": world.exchange.eip712Domain().chainId,
                "verifyingContract": world.exchange.address,
            },
            "types": {
                "EIP712Domain": [
                    {"name": "name", "type": "string"},
                    {"name": "version", "type": "string"},
                    {"name": "chainId", "type": "uint256"},
                    {"name": "verifyingContract", "type": "address"},
                ],
                "Order": [
                    {"name": name, "type": kind} for name, kind in zip(fields, kinds, strict=True)
                ],
            },
            "message": dict(zip(fields, sell.struct(), strict=True)),
        }
    )
    key = Account.create()
    signature = key.sign_message(message)
    assert Account._recover_hash(world.hash(sell), signature=signature.signature) == key.address


# ----------------------------------------------------------------------------------- authority


def test_a_stranger_cannot_sign_for_an_account(world, sell, buy, outsider):
    sell = replace(sell, signer=outsider)
    with world.refuses("NotAuthorised", account=sell.account, caller=outsider):
        world.match(sell, buy, 1)


def test_an_operator_signs_for_its_sub_account(world, engine, trader, maker, operator, sell):
    buy = world.order(trader, perpetual(), 1, PRICE, signer=operator)
    with world.refuses("NotAuthorised", account=buy.account, caller=operator):
        world.match(sell, buy)
    engine.setOperator(operator, 1, sender=trader)
    world.match(sell, buy)
    assert world.position(trader, perpetual())[0] == WAD
    engine.setOperator(operator, 0, sender=trader)
    again = replace(buy, nonce=10**9)
    with world.refuses("NotAuthorised", account=buy.account, caller=operator):
        world.match(sell, again)


def test_a_malformed_account_cannot_trade(world, sell, buy):
    sell = replace(sell, account=7)
    with world.refuses("InvalidAccount", account=7):
        world.match(sell, buy, 1)


def test_a_contract_wallet_trades_by_erc_1271(world, engine, project, trader, maker, outsider):
    wallet = maker.deploy(project.Wallet, maker)
    world.fund(maker, CASH, 10**10)
    engine.deposit(account_of(wallet), CASH, 10**10, sender=maker)
    sell = Order(account_of(wallet), wallet, perpetual(), -WAD, PRICE * WAD)
    buy = world.order(trader, perpetual(), 1, PRICE)
    arguments = [sell.struct(), world.sign(sell, key=outsider), buy.struct(), world.sign(buy), WAD]
    with world.refuses("InvalidSignature", orderHash=world.hash(sell), signer=wallet):
        engine.matchOrders(*arguments, sender=outsider)
    arguments[1] = world.sign(sell, key=maker)
    engine.matchOrders(*arguments, sender=outsider)
    assert engine.positionOf(account_of(wallet), perpetual()).size == -WAD


def test_a_contract_that_is_no_wallet_cannot_sign(world, engine, sell, buy):
    token = world.cash
    sell = Order(account_of(token), token, perpetual(), -WAD, PRICE * WAD)
    arguments = [sell.struct(), world.sign(buy), buy.struct(), world.sign(buy), WAD]
    with world.refuses("InvalidSignature", orderHash=world.hash(sell), signer=token):
        engine.matchOrders(*arguments, sender=buy.signer)


# -------------------------------------------------------------------------------- cancellation


def test_a_cancelled_order_is_dead(world, trader, maker, sell, buy):
    world.match(sell, buy, 1)
    receipt = world.exchange.cancelOrder(sell.struct(), sender=maker)
    assert receipt.events == [
        world.exchange.OrderWasCancelled(orderHash=world.hash(sell), account=sell.account)
    ]
    assert world.exchange.filled(world.hash(sell)) == CANCELLED
    with world.refuses("OrderCancelled", orderHash=world.hash(sell)):
        world.match(sell, buy, 1)
    world.exchange.cancelOrder(sell.struct(), sender=maker)


def test_an_operator_may_cancel(world, engine, trader, operator, sell, buy):
    engine.setOperator(operator, 1, sender=trader)
    world.exchange.cancelOrder(buy.struct(), sender=operator)
    with world.refuses("OrderCancelled", orderHash=world.hash(buy)):
        world.match(sell, buy, 1)


def test_nonces_below_the_least_are_dead(world, maker, sell, buy):
    exchange, account = world.exchange, account_of(maker)
    receipt = exchange.cancelOrdersBelow(account, sell.nonce + 1, sender=maker)
    assert receipt.events == [
        exchange.MinNonceSet(account=account, oldNonce=0, newNonce=sell.nonce + 1)
    ]
    with world.refuses("OrderCancelled", orderHash=world.hash(sell)):
        world.match(sell, buy, 1)
    for proposed in (0, sell.nonce + 1):
        with world.refuses(
            "NonceNotIncreasing", account=account, current=sell.nonce + 1, proposed=proposed
        ):
            exchange.cancelOrdersBelow(account, proposed, sender=maker)
    world.match(replace(sell, nonce=sell.nonce + 1), buy, 1)


def test_only_the_engine_may_record_fills(world, sell, buy, outsider):
    arguments = world.match_arguments(sell, buy, 1)
    with world.refuses("OnlyEngine", caller=outsider):
        world.exchange.matchOrders(*arguments, sender=outsider)


# --------------------------------------------------------------------- instruments, size, price

EXPIRY = 2_000_000_000


@pytest.mark.parametrize(
    "instrument",
    [
        perpetual(0),
        perpetual(3),
        perpetual() | 1,
        perpetual() | 1 << 80,
        perpetual() | 1 << 8,
        perpetual() | 1 << 16,
        future(EXPIRY),
        option(EXPIRY, 0),
        option(EXPIRY, 2_000),
        option(EXPIRY, 2_000) | 2 << 8,
        option(EXPIRY, 2_000) | 2 << 80,
        future(EXPIRY) | 1 << 8,
    ],
)
def test_unknown_instruments_are_refused(world, sell, buy, instrument):
    sell, buy = replace(sell, instrument=instrument), replace(buy, instrument=instrument)
    with world.refuses("UnknownInstrument", instrument=instrument):
        world.match(sell, buy, 1)


def test_non_canonical_bits_are_refused_for_a_listed_expiry_too(world, sell, buy):
    expiry = world.list_expiry()
    for instrument in (
        future(expiry) | 1,
        future(expiry) | 1 << 16,
        option(expiry, 2_000) | 2 << 8,
        option(expiry, 2_000) | 2 << 80,
        option(expiry, 0),
    ):
        wrong = {"instrument": instrument}
        with world.refuses("UnknownInstrument", instrument=instrument):
            world.match(replace(sell, **wrong), replace(buy, **wrong), 1)


def test_nothing_trades_at_or_after_its_expiry(world, sell, buy):
    expiry = world.list_expiry(days=2)
    for instrument in (future(expiry), option(expiry, PRICE)):
        if world.now < expiry:
            world.next_block_at(expiry)
            ape.chain.mine()
        pair = [replace(order, instrument=instrument) for order in (sell, buy)]
        with world.refuses("InstrumentExpired", instrument=instrument, expiry=expiry):
            world.match(*pair, 1)


@pytest.mark.parametrize("size", [0, 1, WAD // 1_000 - 1, WAD // 1_000 + 1])
def test_sizes_are_multiples_of_the_lot(world, engine, sell, buy, outsider, size):
    arguments = list(world.match_arguments(sell, buy))
    arguments[4] = size
    with world.refuses("InvalidSize", size=size, lotSize=WAD // 1_000):
        engine.matchOrders(*arguments, sender=outsider)


def test_a_price_of_zero_is_for_options_alone(world, sell, buy):
    expiry = world.list_expiry()
    for instrument in (perpetual(), future(expiry)):
        free = {"instrument": instrument, "price": 0}
        with world.refuses("InvalidPrice", price=0):
            world.match(replace(sell, **free), replace(buy, **free), 1)
    free = {"instrument": option(expiry, PRICE), "price": 0}
    world.match(replace(sell, **free), replace(buy, **free), 1)


def test_an_order_in_an_unpriced_market_is_refused(world, sell, buy):
    world.set_spot(ETH, 0)
    with world.refuses("MissingPrice", underlying=ETH, expiry=0):
        world.match(sell, buy, 1)
