"""Fees leave the ledger only by who may collect them, and only those earned."""

import pytest
from engine.world import CASH, WAD, WETH, account_of, perpetual

PRICE = 2_000
EARNED = 20_000 * (WAD // 10_000 + 3 * WAD // 10_000)  # on 20,000 USD


@pytest.fixture(scope="module", autouse=True)
def earned(world, trader, maker):
    for owner in (trader, maker):
        world.deposit(owner, CASH, 100_000)
    world.trade(trader, maker, perpetual(), 10, PRICE)
    assert world.engine.cashState().fees == EARNED


def test_fees_are_collected_by_the_administrator(world, engine, outsider):
    held = engine.cashState().cashHeld
    receipt = engine.collectFees(outsider, 5 * 10**6, sender=world.admin)
    assert engine.FeesCollected(to=outsider, amountRaw=5 * 10**6) in receipt.events
    assert world.cash.balanceOf(outsider) == 5 * 10**6
    assert engine.cashState().fees == EARNED - 5 * WAD
    assert engine.cashState().cashHeld == held - 5 * WAD
    engine.collectFees(outsider, 3 * 10**6, sender=world.admin)
    assert engine.cashState().fees == 0


def test_fees_are_collected_within_a_batch_too(world, outsider):
    world.batch(world.admin, ("collectFees", (outsider.address, 10**6)))
    assert world.cash.balanceOf(outsider) == 10**6


def test_nobody_else_collects_fees(world, engine, trader, outsider):
    for caller in (trader, outsider):
        with world.refuses("AccessManagedUnauthorized", caller=caller):
            engine.collectFees(caller, 1, sender=caller)
        with world.refuses("AccessManagedUnauthorized", caller=caller):
            world.batch(caller, ("collectFees", (caller.address, 1)))


def test_no_more_fees_than_earned_are_collected(world, engine, outsider):
    with world.refuses("ZeroAmount"):
        engine.collectFees(outsider, 0, sender=world.admin)
    amount_raw = EARNED // 10**12
    with world.refuses("InsufficientFees", requested=EARNED + 10**12, fees=EARNED):
        engine.collectFees(outsider, amount_raw + 1, sender=world.admin)
    with world.refuses("InsufficientFees", requested=2**192 * 10**12, fees=EARNED):
        engine.collectFees(outsider, 2**256 - 1, sender=world.admin)
    with world.refuses("TransferMismatch", token=world.cash, expectedRaw=amount_raw, movedRaw=0):
        engine.collectFees(engine, amount_raw, sender=world.admin)


def test_fees_that_are_lent_are_collected_later(world, engine, lender, trader, maker, outsider):
    world.deposit(lender, WETH, 1_000)
    world.withdraw(lender, CASH, 200_000)
    with world.refuses("InsufficientCash", requested=WAD, cashHeld=0):
        engine.collectFees(outsider, 10**6, sender=world.admin)
    world.deposit(lender, CASH, 1)
    engine.collectFees(outsider, 10**6, sender=world.admin)


def test_the_access_manager_cannot_touch_the_funds_of_accounts(world, engine, trader):
    """A closed target stops the collection of fees, and nothing that a user does."""
    world.governance.setTargetClosed(engine, True, sender=world.admin)
    world.deposit(trader, CASH, 10)
    world.withdraw(trader, CASH, 10)
    engine.settle(account_of(trader), sender=trader)
    world.trade(world.actors[2], trader, perpetual(), 10, PRICE)
    with world.refuses("AccessManagedUnauthorized", caller=world.admin):
        engine.collectFees(world.admin, 1, sender=world.admin)
