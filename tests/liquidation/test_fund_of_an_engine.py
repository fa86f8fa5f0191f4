"""The insurance fund beside the engine it serves: it pays, and nobody leaves ahead of a loss."""

import pytest
from engine.world import CASH, ETH, WAD, World, account_of, perpetual
from reverts import reverts_with

HOUR, DAY = 3_600, 86_400
STAKE = 10_000 * 10**6
ANY_PRICE = 2**255 - 1


@pytest.fixture(scope="module")
def actors(accounts):
    return [accounts[i] for i in range(10)]


@pytest.fixture(scope="module")
def world(project, actors):
    return World(project, actors)


@pytest.fixture(scope="module")
def outsider(actors):
    return actors[9]


@pytest.fixture(scope="module")
def staker(actors):
    return actors[5]


@pytest.fixture(scope="module")
def fund(project, world, staker):
    """Return the engine's fund, in which a staker has asked to leave with all he has."""
    world.set_interest(base=0, slope1=0, slope2=0)
    contract = world.admin.deploy(
        *(project.InsuranceFund, world.engine, world.parameters, world.cash, DAY, 10 * DAY)
    )
    world.rules.setInsuranceFund(contract, sender=world.admin)
    world.cash.mint(staker, STAKE, sender=world.admin)
    world.cash.approve(contract, STAKE, sender=staker)
    contract.deposit(STAKE, staker, sender=staker)
    contract.requestExit(contract.balanceOf(staker), sender=staker)
    world.wait(DAY)
    world._post_prices()
    return contract


@pytest.fixture
def insolvent(world, actors):
    """Return an account that lacks about 100 USD, which nobody has recorded yet."""
    trader, maker = actors[1], actors[2]
    world.deposit(maker, CASH, 100_000)
    world.deposit(trader, CASH, 402)
    world.trade(trader, maker, perpetual(), 1, 2_000)
    world.set_spot(ETH, 1_500)
    return account_of(trader)


def test_nobody_leaves_ahead_of_a_loss_that_anybody_made_known(
    fund, world, insolvent, staker, outsider
):
    shares = fund.balanceOf(staker)
    assert fund.maxRedeem(staker) == shares
    world.engine.updateStatus(insolvent, sender=outsider)
    assert world.engine.isLossPending()
    assert fund.maxRedeem(staker) == fund.maxWithdraw(staker) == 0
    with reverts_with("ERC4626ExceededMaxRedeem", owner=staker, shares=shares, max=0):
        fund.redeem(shares, staker, staker, sender=staker)
    with reverts_with("ERC4626ExceededMaxWithdraw", owner=staker, assets=1, max=0):
        fund.withdraw(1, staker, staker, sender=staker)


def test_whoever_was_in_the_fund_pays_before_leaving(
    fund, world, insolvent, staker, outsider, actors
):
    bidder, shares = actors[3], fund.balanceOf(staker)
    world.deposit(bidder, CASH, 10_000)
    world.engine.startAuction(insolvent, account_of(outsider), sender=outsider)
    world.wait(600)
    world._post_prices()
    world.set_spot(ETH, 1_500)
    fees = world.engine.cashState().fees
    receipt = world.engine.bid(insolvent, account_of(bidder), WAD, ANY_PRICE, sender=bidder)
    sold = next(event for event in receipt.events if event.event_name == "SliceSold")
    claim = -sold.event_arguments["payment"]
    assert sold.event_arguments["fromFees"] == fees < claim
    paid_raw = -(-(claim - fees) // 10**12)
    (event,) = receipt.decode_logs(fund.LossCovered)
    assert event.paidRaw == paid_raw == STAKE - fund.totalAssets()
    assert not world.engine.isLossPending()

    before = world.cash.balanceOf(staker)
    fund.redeem(shares, staker, staker, sender=staker)
    left = world.cash.balanceOf(staker) - before
    assert STAKE - paid_raw - 1 <= left <= STAKE - paid_raw


def test_a_loss_that_a_day_could_not_place_locks_nobody_in(
    fund, world, insolvent, staker, outsider
):
    world.engine.updateStatus(insolvent, sender=outsider)
    assert fund.maxRedeem(staker) == 0
    world.wait(DAY)
    assert world.engine.pendingLoss() > 0
    assert fund.maxRedeem(staker) == fund.balanceOf(staker)


def test_the_fund_serves_its_engine_alone(fund, staker, outsider):
    for caller in (staker, outsider):
        with reverts_with("OnlyEngine", caller=caller):
            fund.cover(1, sender=caller)
