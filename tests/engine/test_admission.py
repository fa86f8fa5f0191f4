"""Who may act: the healthy, and those who strictly reduce their risk.

The risk double asks a tenth of the notional as maintenance and a fifth as initial margin.
"""

import pytest
from engine.world import (
    CASH,
    ETH,
    ISOLATED,
    PORTFOLIO,
    PREDICTIVE,
    USDX,
    WAD,
    WETH,
    account_of,
    perpetual,
)

PRICE = 2_000
HOUR = 3_600


@pytest.fixture(scope="module", autouse=True)
def funds(world, maker):
    world.set_underlying(ETH, makerFee=0, takerFee=0, fundingCap=0)
    world.deposit(maker, CASH, 1_000_000)


@pytest.fixture
def margin_call(world, trader, maker):
    """Bring the trader between its margins: long 10, initial margin 4,000, equity 3,000."""
    world.deposit(trader, CASH, 4_000)
    world.trade(trader, maker, perpetual(), 10, PRICE)
    world.set_spot(ETH, PRICE, mark=PRICE - 100)


@pytest.fixture
def stale(world, trader, maker):
    """Give the trader a healthy position and let the prices grow old."""
    world.deposit(trader, CASH, 10_000)
    world.trade(trader, maker, perpetual(), 10, PRICE)
    posted = world.now
    world.set_spot(ETH, PRICE, timestamp=posted)
    world.wait(HOUR + 10)
    return posted


# -------------------------------------------------------------------------- initial margin


def test_a_trade_needs_initial_margin_and_no_more(world, trader, maker):
    world.deposit(trader, CASH, 3_999)
    with world.refuses(
        "BelowInitialMargin",
        account=account_of(trader),
        initialEquity=3_999 * WAD,
        initialMargin=4_000 * WAD,
    ):
        world.trade(trader, maker, perpetual(), 10, PRICE)
    world.deposit(trader, CASH, 1)
    world.trade(trader, maker, perpetual(), 10, PRICE)


def test_both_parties_are_judged_the_maker_first(world, trader, lender):
    poor = {"initialEquity": 0, "initialMargin": 400 * WAD}
    with world.refuses("BelowInitialMargin", account=account_of(lender), **poor):
        world.trade(trader, lender, perpetual(), 1, PRICE)


def test_a_withdrawal_stops_at_initial_margin(world, trader, maker):
    world.deposit(trader, CASH, 10_000)
    world.trade(trader, maker, perpetual(), 10, PRICE)
    with world.refuses(
        "BelowInitialMargin",
        account=account_of(trader),
        initialEquity=4_000 * WAD - 10**12,
        initialMargin=4_000 * WAD,
    ):
        world.withdraw(trader, CASH, 6_000.000001)
    world.withdraw(trader, CASH, 6_000)


def test_an_empty_account_withdraws_its_cash_and_not_more(world, trader):
    world.deposit(trader, CASH, 5)
    with world.refuses(
        "BelowInitialMargin", account=account_of(trader), initialEquity=-WAD, initialMargin=0
    ):
        world.withdraw(trader, CASH, 6)
    world.withdraw(trader, CASH, 5)


def test_collateral_carries_a_loan_of_cash(world, trader):
    world.deposit(trader, WETH, 1)
    world.withdraw(trader, CASH, 2_000)
    assert world.cash_of(trader) == -2_000 * WAD
    assert world.engine.cashState().totalDebt == 2_000 * WAD
    with world.refuses(
        "BelowInitialMargin",
        account=account_of(trader),
        initialEquity=-2_000 * WAD,
        initialMargin=0,
    ):
        world.next_block_at(world.now)  # at the same second no interest is due
        world.withdraw(trader, WETH, 1)


def test_unrealised_profit_cannot_leave(world, trader, maker):
    world.deposit(trader, CASH, 4_000)
    world.trade(trader, maker, perpetual(), 10, PRICE)
    world.set_spot(ETH, PRICE, mark=PRICE + 1_000)  # 10,000 of profit
    with world.refuses(
        "UnrealisedProfitWithdrawal", account=account_of(trader), collateralEquity=-(10**12)
    ):
        world.withdraw(trader, CASH, 4_000.000001)
    world.withdraw(trader, CASH, 4_000)
    # As margin it serves: the account is healthy and may increase its risk.
    world.trade(trader, maker, perpetual(), 10, PRICE + 1_000)


def test_isolated_mode_asks_for_its_own_margin(world, engine, trader, maker):
    account = account_of(trader)
    world.deposit(trader, CASH, 7_999)
    world.trade(trader, maker, perpetual(), 10, PRICE)
    with world.refuses(
        "BelowInitialMargin",
        account=account,
        initialEquity=7_999 * WAD,
        initialMargin=8_000 * WAD,
    ):
        engine.setMarginMode(account, ISOLATED, sender=trader)
    world.deposit(trader, CASH, 1)
    engine.setMarginMode(account, ISOLATED, sender=trader)


@pytest.mark.parametrize("mode", [PORTFOLIO, ISOLATED, PREDICTIVE])
def test_only_the_healthy_change_their_mode(world, engine, trader, maker, mode):
    account = account_of(trader)
    engine.setMarginMode(account, ISOLATED, sender=trader)
    world.deposit(trader, CASH, 8_000)
    world.trade(trader, maker, perpetual(), 10, PRICE)
    world.set_spot(ETH, PRICE, mark=PRICE - 500)  # below even portfolio margin
    required = 8_000 if mode == ISOLATED else 4_000
    refused = {"initialEquity": 3_000 * WAD, "initialMargin": required * WAD}
    with world.refuses("BelowInitialMargin", account=account, **refused):
        engine.setMarginMode(account, mode, sender=trader)
    world.set_spot(ETH, PRICE, mark=PRICE)
    engine.setMarginMode(account, mode, sender=trader)


def test_a_reduction_of_risk_does_not_excuse_a_change_of_mode(world, engine, trader, maker):
    account = account_of(trader)
    world.deposit(trader, CASH, 4_000)
    world.trade(trader, maker, perpetual(), 10, PRICE)
    world.set_spot(ETH, PRICE, mark=PRICE - 100)
    orders = (
        world.order(trader, perpetual(), -1, PRICE - 100),
        world.order(maker, perpetual(), 1, PRICE - 100),
    )
    reduction = ("matchOrders", world.match_arguments(*orders))
    refused = {"initialEquity": 3_000 * WAD, "initialMargin": 3_600 * WAD}
    change = ("setMarginMode", (account, PREDICTIVE))
    with world.refuses("BelowInitialMargin", account=account, **refused):
        world.batch(trader, reduction, change)
    world.batch(trader, reduction)


# ------------------------------------------------------------------------ between the margins


def test_between_the_margins_a_position_may_shrink(world, margin_call, trader, maker):
    world.trade(maker, trader, perpetual(), 1, PRICE - 100)
    assert world.position(trader, perpetual())[0] == 9 * WAD


def test_between_the_margins_nothing_may_grow(world, margin_call, trader, maker):
    with world.refuses(
        "BelowInitialMargin",
        account=account_of(trader),
        initialEquity=3_000 * WAD,
        initialMargin=4_400 * WAD,
    ):
        world.trade(trader, maker, perpetual(), 1, PRICE - 100)


@pytest.mark.parametrize("price, admitted", [(1_700, True), (1_699, False)])
def test_a_reduction_must_not_cost_more_than_it_frees(
    world, margin_call, trader, maker, price, admitted
):
    """One unit frees 200 of maintenance margin, so it may sell 200 below the mark."""
    if admitted:
        world.trade(maker, trader, perpetual(), 1, price)
        return
    with world.refuses(
        "BelowInitialMargin",
        account=account_of(trader),
        initialEquity=(3_000 - 201) * WAD,
        initialMargin=3_600 * WAD,
    ):
        world.trade(maker, trader, perpetual(), 1, price)


def test_a_better_surplus_does_not_excuse_a_higher_requirement(world, margin_call, trader, maker):
    """Buying far below the mark improves the surplus, but the position grows."""
    with world.refuses(
        "BelowInitialMargin",
        account=account_of(trader),
        initialEquity=(3_000 + 1_000) * WAD,
        initialMargin=4_400 * WAD,
    ):
        world.trade(trader, maker, perpetual(), 1, PRICE - 1_100)


def test_liquidatable_accounts_may_reduce_too(world, trader, maker):
    world.deposit(trader, CASH, 4_000)
    world.trade(trader, maker, perpetual(), 10, PRICE)
    world.set_spot(ETH, PRICE, mark=PRICE - 600)  # insolvent, even
    world.trade(maker, trader, perpetual(), 5, PRICE - 600)


@pytest.mark.parametrize(
    "mark, size, least",
    [
        (1_650, 10, 1_600),  # equity 500, maintenance 2,000: all of the equity may go, no more
        (1_650, 5, 1_600),  # half of it may go with half of the position
        (1_650, 2, 1_600),
        (1_600, 10, 1_600),  # nothing is left to give
        (1_500, 10, 1_500),  # insolvent: equity may not fall at all
        (1_500, 5, 1_500),
    ],
)
def test_a_liquidatable_account_gives_away_no_more_than_it_owns(
    world, trader, maker, mark, size, least
):
    """Else it would sell below the mark to an accomplice, who takes the rest from the pool."""
    world.deposit(trader, CASH, 4_000)
    world.trade(trader, maker, perpetual(), 10, PRICE)
    world.set_spot(ETH, PRICE, mark=mark)
    with world.refuses(
        "BelowInitialMargin",
        account=account_of(trader),
        initialEquity=(4_000 - 10 * (PRICE - mark) - size * (mark - least + 1)) * WAD,
        initialMargin=(4_000 - 400 * size) * WAD,
    ):
        world.trade(maker, trader, perpetual(), size, least - 1)
    world.trade(maker, trader, perpetual(), size, least)
    assert world.position(trader, perpetual())[0] == (10 - size) * WAD


def test_between_the_margins_nothing_may_leave(world, margin_call, trader):
    """Even a withdrawal that comes with a reduction of risk."""
    with world.refuses(
        "BelowInitialMargin",
        account=account_of(trader),
        initialEquity=3_000 * WAD - 10**12,
        initialMargin=4_000 * WAD,
    ):
        world.withdraw(trader, CASH, 0.000001)


# ------------------------------------------------------------------------------ stale prices


def test_stale_prices_stop_increases_and_withdrawals(world, engine, stale, trader, maker):
    account = account_of(trader)
    expected = {"account": account, "oldestTimestamp": stale, "maxPriceAge": HOUR}
    with world.refuses("StalePrice", **expected | {"account": account_of(maker)}):
        world.trade(trader, maker, perpetual(), 1, PRICE)
    with world.refuses("StalePrice", **expected | {"maxPriceAge": HOUR // 2}):
        world.withdraw(trader, CASH, 1)
    with world.refuses("StalePrice", **expected):
        engine.setMarginMode(account, ISOLATED, sender=trader)


def test_stale_prices_stop_neither_deposit_nor_settlement(world, engine, stale, trader, maker):
    world.deposit(trader, CASH, 1)
    world.deposit(trader, WETH, 1)
    world.deposit(trader, USDX, 1)
    engine.accrue(ETH, sender=trader)
    engine.settle(account_of(trader), sender=maker)
    engine.setOperator(maker, 1, sender=trader)


def test_stale_prices_do_not_stop_reduction(world, stale, trader, maker):
    """Both parties come closer to zero."""
    world.trade(maker, trader, perpetual(), 4, PRICE)
    assert world.position(trader, perpetual())[0] == 6 * WAD


def test_a_price_is_fresh_to_its_last_second(world, trader, maker):
    world.deposit(trader, CASH, 10_000)
    posted = world.now
    world.set_spot(ETH, PRICE, timestamp=posted)
    world.next_block_at(posted + HOUR)
    world.trade(trader, maker, perpetual(), 1, PRICE)
    assert world.now == posted + HOUR
    with world.refuses(
        "StalePrice", account=account_of(maker), oldestTimestamp=posted, maxPriceAge=HOUR
    ):
        world.next_block_at(posted + HOUR + 1)
        world.trade(trader, maker, perpetual(), 1, PRICE)


def test_a_withdrawal_asks_for_younger_prices_than_a_trade(world, trader, maker):
    for owner in (trader, maker):
        world.deposit(owner, CASH, 10_000)
    posted = world.now
    world.set_spot(ETH, PRICE, timestamp=posted)
    world.next_block_at(posted + HOUR // 2)
    world.trade(trader, maker, perpetual(), 1, PRICE)
    world.next_block_at(posted + HOUR // 2)
    world.withdraw(trader, CASH, 1)
    expected = {
        "account": account_of(trader),
        "oldestTimestamp": posted,
        "maxPriceAge": HOUR // 2,
    }
    with world.refuses("StalePrice", **expected):
        world.next_block_at(posted + HOUR // 2 + 1)
        world.withdraw(trader, CASH, 1)
    world.trade(trader, maker, perpetual(), 1, PRICE)
    # Whoever withdraws in a batch is held to the stricter limit for all of it.
    orders = world.order(maker, perpetual(), -1, PRICE), world.order(trader, perpetual(), 1, PRICE)
    with world.refuses("StalePrice", **expected):
        world.batch(
            trader,
            withdrawal(world, trader, 1),
            ("matchOrders", world.match_arguments(*orders)),
        )


def test_a_disputed_price_is_too_old_for_everything_but_less_risk(world, engine, trader, maker):
    for owner in (trader, maker):
        world.deposit(owner, CASH, 10_000)
    world.trade(trader, maker, perpetual(), 2, PRICE)
    world.set_spot(ETH, PRICE, timestamp=0)
    disputed = {"oldestTimestamp": 0}
    with world.refuses("StalePrice", account=account_of(maker), maxPriceAge=HOUR, **disputed):
        world.trade(trader, maker, perpetual(), 1, PRICE)
    with world.refuses("StalePrice", account=account_of(trader), maxPriceAge=HOUR // 2, **disputed):
        world.withdraw(trader, CASH, 1)
    world.deposit(trader, CASH, 1)
    engine.settle(account_of(trader), sender=maker)
    world.trade(maker, trader, perpetual(), 1, PRICE)
    assert world.position(trader, perpetual())[0] == WAD


def test_cash_alone_needs_no_price(world, trader):
    world.deposit(trader, CASH, 5)
    world.wait(10 * HOUR)
    world.withdraw(trader, CASH, 5)


# ------------------------------------------------------------------------------------ batches


def withdrawal(world, owner, amount):
    return "withdraw", (account_of(owner), CASH, world.raw(CASH, amount), owner.address)


def test_a_batch_may_be_unhealthy_in_the_middle(world, trader, maker):
    world.fund(trader, CASH, 5_000 * 10**6)
    orders = (
        world.order(maker, perpetual(), -10, PRICE),
        world.order(trader, perpetual(), 10, PRICE),
    )
    world.batch(
        trader,
        ("matchOrders", world.match_arguments(*orders)),
        ("deposit", (account_of(trader), CASH, 5_000 * 10**6)),
    )
    assert world.position(trader, perpetual())[0] == 10 * WAD


def test_a_batch_must_be_healthy_at_the_end(world, trader, maker):
    world.fund(trader, CASH, 5_000 * 10**6)
    orders = (
        world.order(maker, perpetual(), -10, PRICE),
        world.order(trader, perpetual(), 10, PRICE),
    )
    with world.refuses(
        "BelowInitialMargin",
        account=account_of(trader),
        initialEquity=3_999 * WAD,
        initialMargin=4_000 * WAD,
    ):
        world.batch(
            trader,
            ("deposit", (account_of(trader), CASH, 5_000 * 10**6)),
            ("matchOrders", world.match_arguments(*orders)),
            withdrawal(world, trader, 1_001),
        )


def test_a_batch_cannot_hide_a_withdrawal_behind_a_reduction(world, margin_call, trader, maker):
    orders = (
        world.order(maker, perpetual(), 5, PRICE - 100),
        world.order(trader, perpetual(), -5, PRICE - 100),
    )
    reduction = ("matchOrders", world.match_arguments(*orders))
    with world.refuses(
        "BelowInitialMargin",
        account=account_of(trader),
        initialEquity=1_999 * WAD,
        initialMargin=2_000 * WAD,
    ):
        world.batch(trader, reduction, withdrawal(world, trader, 1_001))
    world.batch(trader, reduction, withdrawal(world, trader, 1_000))


def test_who_withdraws_must_be_healthy_however_much_risk_went(world, margin_call, trader, maker):
    """Selling one unit frees 200 of maintenance margin; not even half of it may leave."""
    orders = (
        world.order(maker, perpetual(), 1, PRICE - 100),
        world.order(trader, perpetual(), -1, PRICE - 100),
    )
    with world.refuses(
        "BelowInitialMargin",
        account=account_of(trader),
        initialEquity=2_900 * WAD,
        initialMargin=3_600 * WAD,
    ):
        world.batch(
            trader,
            ("matchOrders", world.match_arguments(*orders)),
            withdrawal(world, trader, 100),
        )


@pytest.mark.parametrize("deposit_first", [True, False])
def test_what_a_batch_deposits_counts_towards_its_exemption(
    world, margin_call, trader, maker, deposit_first
):
    """Selling 300 below the mark frees 200 of margin; a deposit of 100 makes up for it."""
    world.fund(trader, CASH, 100 * 10**6)
    orders = (
        world.order(maker, perpetual(), 1, PRICE - 400),
        world.order(trader, perpetual(), -1, PRICE - 400),
    )
    items = [
        ("deposit", (account_of(trader), CASH, 100 * 10**6)),
        ("matchOrders", world.match_arguments(*orders)),
    ]
    world.batch(trader, *(items if deposit_first else reversed(items)))
    assert world.position(trader, perpetual())[0] == 9 * WAD


def test_the_exemption_compares_with_the_start_of_the_batch(world, margin_call, trader, maker):
    """Growing by one and shrinking by two is a reduction by one, in whatever order."""
    grow = (
        world.order(maker, perpetual(), -1, PRICE - 100),
        world.order(trader, perpetual(), 1, PRICE - 100),
    )
    shrink = (
        world.order(maker, perpetual(), 2, PRICE - 100),
        world.order(trader, perpetual(), -2, PRICE - 100),
    )
    items = [("matchOrders", world.match_arguments(*pair)) for pair in (grow, shrink)]
    world.batch(trader, *items)
    assert world.position(trader, perpetual())[0] == 9 * WAD


def test_each_entry_point_of_a_transaction_is_judged_by_itself(
    world, engine, project, margin_call, trader, maker
):
    """What was saved for one call must not serve the next one of the same transaction."""
    shrink = (
        world.order(maker, perpetual(), 5, PRICE - 100),
        world.order(trader, perpetual(), -5, PRICE - 100),
    )
    grow = (
        world.order(maker, perpetual(), -4, PRICE - 200),
        world.order(trader, perpetual(), 4, PRICE - 200),
    )
    calls = [
        engine.matchOrders.encode_input(*world.match_arguments(*pair)) for pair in (shrink, grow)
    ]
    caller = trader.deploy(project.TryMany)
    receipt = caller.tryMany(engine, calls, sender=trader)
    assert not receipt.failed
    # Healthy after the reduction, and below initial margin again after the increase.
    assert world.position(trader, perpetual())[0] == 5 * WAD


def test_a_batch_needs_the_callers_own_authority(world, trader, outsider):
    world.deposit(trader, CASH, 5)
    with world.refuses("NotAuthorised", account=account_of(trader), caller=outsider):
        world.batch(outsider, withdrawal(world, trader, 5))


def test_a_batch_cannot_be_nested(world, engine, trader):
    with world.refuses("Reentrancy"):
        world.batch(trader, ("batch", ([],)))


def test_one_failing_item_undoes_the_batch(world, trader):
    world.fund(trader, CASH, 10**7)
    deposit = ("deposit", (account_of(trader), CASH, 10**7))
    with world.refuses("ZeroAmount"):
        world.batch(trader, deposit, ("deposit", (account_of(trader), CASH, 0)))
    world.batch(trader, deposit)
    world.batch(trader)


def test_a_batch_settles_and_judges_by_the_state_before(world, engine, margin_call, trader, maker):
    """Settlement moves the loss into cash; the reduction after it is still one."""
    orders = (
        world.order(maker, perpetual(), 1, PRICE - 100),
        world.order(trader, perpetual(), -1, PRICE - 100),
    )
    world.batch(
        trader,
        ("settle", (account_of(trader),)),
        ("matchOrders", world.match_arguments(*orders)),
    )
    assert world.cash_of(trader) == 3_000 * WAD
