"""Accounts, operators and margin modes."""

import pytest
from engine.world import CASH, ISOLATED, PORTFOLIO, WAD, account_of, perpetual


@pytest.mark.parametrize("account", [0, 5, 255, 1 << 168 | 1 << 8, 2**256 - 1])
def test_a_malformed_account_is_refused_everywhere(world, engine, trader, account):
    order = world.order(trader, perpetual(), 1, 2_000, account=account)
    calls = [
        lambda: engine.deposit(account, CASH, 1, sender=trader),
        lambda: engine.withdraw(account, CASH, 1, trader, sender=trader),
        lambda: engine.settle(account, sender=trader),
        lambda: engine.setMarginMode(account, ISOLATED, sender=trader),
        lambda: world.exchange.cancelOrder(order.struct(), sender=trader),
        lambda: world.exchange.cancelOrdersBelow(account, 1, sender=trader),
    ]
    for call in calls:
        with world.refuses("InvalidAccount", account=account):
            call()


def test_sub_accounts_are_separate(world, trader):
    world.deposit(trader, CASH, 10, sub_id=0)
    world.deposit(trader, CASH, 20, sub_id=255)
    assert world.cash_of(trader, 0) == 10 * WAD
    assert world.cash_of(trader, 255) == 20 * WAD
    assert world.cash_of(trader, 7) == 0


def test_an_outsider_may_not_act_for_an_account(world, engine, trader, outsider):
    world.deposit(trader, CASH, 10)
    account = account_of(trader)
    order = world.order(trader, perpetual(), 1, 2_000)
    calls = [
        lambda: engine.withdraw(account, CASH, 1, outsider, sender=outsider),
        lambda: engine.setMarginMode(account, ISOLATED, sender=outsider),
        lambda: world.exchange.cancelOrder(order.struct(), sender=outsider),
        lambda: world.exchange.cancelOrdersBelow(account, 1, sender=outsider),
    ]
    for call in calls:
        with world.refuses("NotAuthorised", account=account, caller=outsider):
            call()


def test_an_operator_acts_for_its_sub_accounts_alone(world, engine, trader, operator):
    for sub_id in (0, 3, 255):
        world.deposit(trader, CASH, 10, sub_id=sub_id)
    engine.setOperator(operator, 1 << 3 | 1 << 255, sender=trader)
    for sub_id in (3, 255):
        account = account_of(trader, sub_id)
        engine.withdraw(account, CASH, 10 * 10**6, operator, sender=operator)
    assert world.cash.balanceOf(operator) == 20 * 10**6
    with world.refuses("NotAuthorised", account=account_of(trader, 0), caller=operator):
        engine.withdraw(account_of(trader, 0), CASH, 1, operator, sender=operator)


def test_an_operator_is_dismissed_and_the_change_is_told(world, engine, trader, operator):
    engine.setOperator(operator, 1, sender=trader)
    receipt = engine.setOperator(operator, 0, sender=trader)
    assert receipt.events == [
        engine.OperatorSet(owner=trader, operator=operator, oldSubIds=1, newSubIds=0)
    ]
    with world.refuses("NotAuthorised", account=account_of(trader), caller=operator):
        engine.setMarginMode(account_of(trader), ISOLATED, sender=operator)


def test_an_operator_cannot_appoint_operators(engine, trader, operator, outsider):
    engine.setOperator(operator, 1, sender=trader)
    engine.setOperator(outsider, 1, sender=operator)
    assert engine.operatorSubIds(trader, outsider) == 0


def test_the_margin_mode_is_kept_and_told(engine, trader):
    account = account_of(trader)
    receipt = engine.setMarginMode(account, ISOLATED, sender=trader)
    assert receipt.events == [
        engine.MarginModeSet(account=account, oldMode=PORTFOLIO, newMode=ISOLATED)
    ]
    assert engine.portfolio(account).marginMode == ISOLATED


def test_an_account_nobody_opened_is_empty(engine, outsider):
    portfolio = engine.portfolio(account_of(outsider))
    assert portfolio.cash == 0
    assert list(portfolio.positions) == list(portfolio.collateral) == []
