"""The engine with the real risk model: it admits to the unit what the model says."""

import pytest
from ape.exceptions import ContractLogicError
from engine.world import (
    CASH,
    ETH,
    PORTFOLIO,
    USDX,
    WAD,
    WETH,
    World,
    account_of,
    future,
    option,
    perpetual,
)

from reference_model.cases import pack_svi

PRICE = 2_000
SMILE = pack_svi(0.01, 0.05, -0.2, 0.0, 0.2)


@pytest.fixture(scope="module")
def world(project, actors):
    world = World(project, actors, risk_model=project.RiskModel)
    world.set_global(maintenanceFactor=8 * WAD // 10)
    world.end_ramps()
    return world


@pytest.fixture(scope="module")
def month_end(world):
    month_end = world.list_expiry(days=30)
    world.set_forward(month_end, PRICE, svi=SMILE)
    return month_end


@pytest.fixture
def covered_book(world, trader, maker, month_end):
    """A covered call with a future on top, on collateral of two kinds."""
    world.deposit(maker, CASH, 10**6)
    world.deposit(trader, CASH, 3_000)
    world.deposit(trader, WETH, 5)
    world.deposit(trader, USDX, 1_000)
    world.trade(maker, trader, option(month_end, 2_200), 5, 40)
    world.trade(trader, maker, future(month_end), 2, PRICE)
    world.trade(maker, trader, perpetual(), 1, PRICE)


def assess(world, owner):
    return world.risk.assess(world.engine.portfolio(account_of(owner)))


def test_cash_leaves_down_to_the_last_unit_above_initial_margin(world, covered_book, trader):
    before = assess(world, trader)
    free = before.initialEquity - before.initialMargin
    assert free > 0
    amount_raw = free // 10**12
    account = account_of(trader)
    moment = world.now  # what follows happens in one second, with no interest or funding
    with world.refuses(
        "BelowInitialMargin",
        account=account,
        initialEquity=before.initialEquity - (amount_raw + 1) * 10**12,
        initialMargin=before.initialMargin,
    ):
        world.next_block_at(moment)
        world.engine.withdraw(account, CASH, amount_raw + 1, trader, sender=trader)
    world.next_block_at(moment)
    world.engine.withdraw(account, CASH, amount_raw, trader, sender=trader)
    after = assess(world, trader)
    assert 0 <= after.initialEquity - after.initialMargin < 10**12


def test_settlement_leaves_equity_and_margin_as_they_are(world, covered_book, trader, maker):
    world.set_spot(ETH, PRICE - 60)
    for owner in (trader, maker):
        before = assess(world, owner)
        world.next_block_at(world.now)
        world.engine.settle(account_of(owner), sender=world.outsider)
        after = assess(world, owner)
        assert after.equity == before.equity
        assert after.maintenanceMargin == before.maintenanceMargin


def test_between_the_margins_a_short_call_can_be_bought_back(world, trader, maker, month_end):
    """The exemption: in distress the risk may be reduced and not increased."""
    call = option(month_end, 2_200)
    world.deposit(maker, CASH, 10**6)
    world.deposit(trader, CASH, 1_100)
    world.trade(maker, trader, call, 5, 40)
    world.set_spot(ETH, PRICE + 70)
    world.set_forward(month_end, PRICE + 70, svi=SMILE)
    state = assess(world, trader)
    assert state.equity >= state.maintenanceMargin
    assert state.initialEquity < state.initialMargin
    before = world.storage_roots()
    with pytest.raises(ContractLogicError) as refused:
        world.trade(maker, trader, call, 1, 60)
    assert type(refused.value).__name__ == "BelowInitialMargin"
    assert world.storage_roots() == before
    world.trade(trader, maker, call, 1, 60)
    assert world.position(trader, call)[0] == -4 * WAD


def test_an_expired_book_settles_into_cash(world, covered_book, trader, maker, month_end):
    world.next_block_at(month_end)
    world.set_spot(ETH, 2_300)
    world.set_settlement(month_end, 2_300)
    for owner in (maker, trader, maker):
        before = assess(world, owner).equity
        world.next_block_at(world.now)
        world.engine.settle(account_of(owner), sender=world.outsider)
        assert 0 <= before - assess(world, owner).equity <= 1
    accounts = [account_of(owner) for owner in (trader, maker)]
    assert world.position(trader, option(month_end, 2_200)) == (0, 0)
    assert world.position(trader, future(month_end)) == (0, 0)
    assert world.unaccounted_cash(accounts) == 0
    assert world.engine.portfolio(accounts[0]).marginMode == PORTFOLIO


def test_options_are_not_bought_with_debt_that_only_they_back(world, trader, maker, month_end):
    """Else two accounts of one owner borrow the whole pool at hardly any margin."""
    world.set_underlying(ETH, makerFee=0, takerFee=0)
    world.deposit(trader, CASH, 10)
    world.deposit(maker, CASH, 1_000)
    deep, fair = option(month_end, 10 * PRICE, True), 9 * PRICE
    with world.refuses(
        "UnrealisedProfitWithdrawal",
        account=account_of(trader),
        collateralEquity=(10 - fair // 100) * WAD,
    ):
        world.trade(trader, maker, deep, 0.01, fair)
    # What collateral equity pays for may be bought.
    world.trade(trader, maker, option(month_end, PRICE, True), 0.1, 90)


def test_a_pumped_collateral_pays_no_losses_to_an_accomplice(world, actors, trader, maker):
    """Losses were paid out of collateral at its spot price, where a loan looks at the stable one.

    One owner, two accounts, one price pumped to five times, by true trades: the short one, hedged
    by its collateral and so nearly without margin, borrowed 800,000 of the lenders' cash against
    it to pay the long one, who withdrew. Then the price fell back, and the debt stood against
    collateral of 200,000.
    """
    lender = actors[5]
    world.deposit(lender, CASH, 10**6)
    world.deposit(maker, CASH, 200_000)
    world.deposit(trader, WETH, 100)
    world.trade(maker, trader, perpetual(), 100, PRICE)
    pumped, stable = 5 * PRICE * WAD, 2_100 * WAD
    world.market.setSpot(ETH, (pumped, 0, pumped, stable, world.now), sender=world.admin)
    for owner in (trader, maker):
        world.engine.settle(account_of(owner), sender=world.outsider)
    assert world.cash_of(trader) == -100 * stable
    # The rest stays between the two, and is nothing that could leave.
    assert world.cash_of(maker) < (200_000 + 210_000) * WAD
    assert world.position(trader, perpetual())[0] == -100 * WAD


def test_a_pumped_collateral_buys_no_short_option_back_from_an_accomplice(
    world, actors, trader, maker, month_end
):
    """The same by a covered call, deep in the money after the pump.

    Bought back and replaced by a short perpetual in one batch, it left the account no riskier and
    with as much equity, and so was admitted; the premium, borrowed against the pumped collateral,
    was cash of the accomplice.
    """
    world.set_underlying(ETH, makerFee=0, takerFee=0)
    call = option(month_end, 2_200)
    world.deposit(actors[5], CASH, 10**6)
    world.deposit(maker, CASH, 200_000)
    world.deposit(trader, WETH, 100)
    world.trade(maker, trader, call, 100, 40)
    pumped, stable = 5 * PRICE * WAD, 2_100 * WAD
    world.market.setSpot(ETH, (pumped, 0, pumped, stable, world.now), sender=world.admin)
    world.set_forward(month_end, 5 * PRICE, svi=SMILE)
    before = world.cash_of(maker)

    def replace(size):
        legs = (call, -size, 7_800), (perpetual(), size, 5 * PRICE)
        return [
            (
                "matchOrders",
                world.match_arguments(
                    world.order(maker, instrument, sold, price),
                    world.order(trader, instrument, -sold, price),
                ),
            )
            for instrument, sold, price in legs
        ]

    with pytest.raises(ContractLogicError) as refused:
        world.batch(trader, *replace(100))
    assert type(refused.value).__name__ in ("BelowInitialMargin", "UnrealisedProfitWithdrawal")
    assert world.cash_of(maker) == before
    # What a loan may be taken for may be bought back.
    world.batch(trader, *replace(10))
    assert world.position(trader, call)[0] == -90 * WAD
