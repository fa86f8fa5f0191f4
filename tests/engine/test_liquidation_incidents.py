"""Two of the incidents of `tests/model/test_liquidation_incidents.py` on the chain itself.

The naive venues lose there; here the contracts are held to the same outcome, with the real risk
model.
"""

import pytest
from engine.world import CASH, ETH, WAD, World, account_of, perpetual
from reverts import reverts_with

DAY = 86_400
MILLION = 10**6
PERPETUAL = perpetual()
FUND_TOKENS = 20 * MILLION
HIGHEST = 2**200
FOR_SALE = (4, 5)  # AccountStatus.IN_AUCTION and RECOVERING


class Insurance:
    """An insurance fund and its stakers."""

    def __init__(self, world):
        self.world = world
        self.fund = world.admin.deploy(
            *(world.project.InsuranceFund, world.engine, world.parameters, world.cash),
            *(7 * DAY, DAY),
        )
        world.rules.setInsuranceFund(self.fund, sender=world.admin)

    def stake(self, staker, usd):
        amount_raw = self.world.raw(CASH, usd)
        self.world.cash.mint(staker, amount_raw, sender=self.world.admin)
        self.world.cash.approve(self.fund, amount_raw, sender=staker)
        self.fund.deposit(amount_raw, staker, sender=staker)


def opened(project, actors, price, **underlying):
    """Return a world with the real risk model, one market and a fund."""
    world = World(project, actors, risk_model=project.RiskModel)
    world.set_global(maintenanceFactor=8 * WAD // 10)
    world.set_underlying(ETH, **underlying)
    world.end_ramps()
    world.set_spot(ETH, price)
    return world, Insurance(world)


def assess(world, account):
    return world.risk.assess(world.engine.portfolio(account))


def withdraw_most(world, owner, sub_id):
    """Withdraw what admission says is free; return it, USD."""
    account = account_of(owner, sub_id)
    seen = assess(world, account)
    free_raw = min(seen.initialEquity - seen.initialMargin, seen.collateralEquity) // 10**12
    if free_raw <= 0:
        return 0
    world.next_block_at(world.now)
    world.engine.withdraw(account, CASH, free_raw, owner, sender=owner)
    return free_raw / 10**6


def take_slices(world, account, keeper, wanted):
    """Start an auction, and bid where a bidder gains the share of MM wanted."""
    offer = world.engine.auctionOf(account)
    equity, margin = offer.assessment.equity, offer.assessment.maintenanceMargin
    if equity >= margin:
        return
    bidder = account_of(keeper)
    if world.engine.statusOf(account) not in FOR_SALE:
        world.engine.startAuction(account, bidder, sender=keeper)
        offer = world.engine.auctionOf(account)
        equity, margin = offer.assessment.equity, offer.assessment.maintenanceMargin
    if equity - offer.price >= wanted * margin and offer.largestFraction:
        world.engine.bid(account, bidder, WAD, HIGHEST, sender=keeper)


def test_jelly_short_is_sold_while_it_is_solvent(project, actors):
    """A careless listing, a position of 4.1 million dollars against oneself, a fivefold price."""
    trader, keeper, staker = actors[1:4]
    price, steps = 0.0095, 25
    world, insurance = opened(
        project,
        actors,
        price,
        openInterestCap=10**9 * WAD,
        scanRange=3 * WAD // 10,
    )
    insurance.stake(staker, FUND_TOKENS)
    world.deposit(keeper, CASH, 50 * MILLION)
    short, long = (account_of(trader, sub_id) for sub_id in (0, 1))
    for sub_id in (0, 1):
        world.deposit(trader, CASH, 3.6 * MILLION, sub_id)
    sell = world.order(trader, PERPETUAL, -431_000_000, price)
    world.match(sell, world.order(trader, PERPETUAL, 431_000_000, price, sub_id=1))
    taken = sum(withdraw_most(world, trader, sub_id) for sub_id in (0, 1))
    assert taken > 3.6 * MILLION, "more than half of what he brought is out again"
    for step in range(1, steps + 1):
        world.wait(120)
        world.set_spot(ETH, round(price * (0.05 / price) ** (step / steps), 6))
        take_slices(world, short, keeper, wanted=0.05)
    assert world.cash.balanceOf(insurance.fund) == FUND_TOKENS * 10**6
    assert assess(world, short).equity >= 0
    size, _ = world.engine.positionOf(short, PERPETUAL)
    assert abs(size) < 431_000_000 * WAD // 100
    assert world.unaccounted_cash([short, long, account_of(keeper)]) == 0


@pytest.fixture
def run(project, actors):
    """Everybody ready to leave, and a gap of 35 % that leaves an account insolvent."""
    world, insurance = opened(
        project, actors, 2_000, openInterestCap=10**6 * WAD, scanRange=WAD // 5
    )
    debtor, winner, keeper, *others = actors[1:9]
    stakers, lenders = others[:3], others[3:]
    for staker, usd in zip(stakers, (400_000, 300_000, 300_000), strict=True):
        insurance.stake(staker, usd)
        insurance.fund.requestExit(insurance.fund.balanceOf(staker), sender=staker)
    for owner, usd in {debtor: 2.1e6, winner: 2.1e6, keeper: 2e7}.items():
        world.deposit(owner, CASH, usd)
    for lender in lenders:
        world.deposit(lender, CASH, MILLION)
    world.trade(debtor, winner, PERPETUAL, 5_000, 2_000)
    world.wait(7 * DAY)
    world.set_spot(ETH, 2_000)
    withdraw_most(world, debtor, 0)
    world.set_spot(ETH, 1_300)
    return world, insurance.fund, debtor, winner, keeper, stakers, lenders


def test_run_meets_a_closed_door_and_all_bear_the_same(run):
    """A loss beyond the fund: recorded by anyone, it closes the exits of stakers and lenders.

    Deleveraging then takes what nobody had paid in from the winner, the fund pays the rest, each
    staker in proportion; who only lent loses nothing, and the doors open again.
    """
    world, fund, debtor, winner, keeper, stakers, lenders = run
    account = account_of(debtor)
    assert all(fund.maxRedeem(staker) > 0 for staker in stakers)
    world.engine.updateStatus(account, sender=keeper)
    pending = world.engine.pendingLoss()
    assert pending == pytest.approx(-assess(world, account).equity, rel=1e-6)
    assert pending > world.raw(CASH, MILLION) * 10**12
    for staker in stakers:
        shares = fund.balanceOf(staker)
        with reverts_with("ERC4626ExceededMaxRedeem", owner=staker, shares=shares, max=0):
            fund.redeem(shares, staker, staker, sender=staker)
    for lender in lenders:
        with world.refuses("PendingLoss", pendingLoss=pending):
            world.withdraw(lender, CASH, 1)
    world.engine.startAuction(account, account_of(keeper), sender=keeper)
    world.wait(600 + 7_200)
    world.set_spot(ETH, 1_300)
    listed = [account_of(winner)]
    before = [world.cash_of(lender) for lender in lenders]
    for _ in range(3):
        world.engine.deleverage(account, PERPETUAL, listed, sender=keeper)
    world.engine.bid(account, account_of(keeper), WAD, assess(world, account).equity, sender=keeper)
    assert world.engine.pendingLoss() == 0
    kept = [fund.convertToAssets(fund.balanceOf(s)) / fund.balanceOf(s) for s in stakers]
    assert max(kept) == pytest.approx(min(kept), rel=1e-6)
    assert 0 < fund.totalAssets() < MILLION * 10**6
    for lender, cash in zip(lenders, before, strict=True):
        assert world.cash_of(lender) >= cash
        world.withdraw(lender, CASH, MILLION)
    parties = [debtor, winner, keeper, *lenders]
    assert world.unaccounted_cash([account_of(owner) for owner in parties]) == 0


def test_an_account_is_not_sold_before_it_is_admitted(project, actors):
    """Withdraw what is not there and be sold for it in one batch: a draft's fund was empty then."""
    robber, lender, staker = actors[1:4]
    world, insurance = opened(project, actors, 2_000)
    insurance.stake(staker, MILLION)
    world.deposit(lender, CASH, 5 * MILLION)
    sold, bidder = account_of(robber, 0), account_of(robber, 1)
    calls = [
        ("withdraw", (sold, CASH, 2 * MILLION * 10**6, robber)),
        ("startAuction", (sold, bidder)),
        ("bid", (sold, bidder, WAD, 0)),
    ]
    with world.refuses("AdmissionPending", account=sold):
        world.batch(robber, *calls)
    assert insurance.fund.totalAssets() == MILLION * 10**6
