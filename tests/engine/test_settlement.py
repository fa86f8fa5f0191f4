"""Settlement: losses before profits, pools that are short, next_week of futures and options."""

import pytest
from engine.world import (
    BTC,
    CASH,
    ETH,
    USDX,
    WAD,
    WETH,
    account_of,
    future,
    option,
    perpetual,
)

PRICE = 2_000


@pytest.fixture(scope="module", autouse=True)
def funds(world, maker):
    free = {"makerFee": 0, "takerFee": 0, "fundingCap": 0}
    world.set_underlying(ETH, **free)
    world.set_underlying(BTC, **free)
    world.set_interest(base=0, slope1=0, slope2=0)
    world.deposit(maker, CASH, 1_000_000)


@pytest.fixture
def next_week(world):
    return world.list_expiry(days=7)


def settle(world, owner):
    return world.engine.settle(account_of(owner), sender=world.outsider)


def pool(world, underlying=ETH):
    return world.engine.marketState(underlying).pnlPool


def settlements(receipt):
    return [log for log in receipt.events if log.event_name == "PnlSettled"]


def pass_expiry(world, expiry, price=None):
    world.next_block_at(expiry)
    world.set_spot(ETH, PRICE if price is None else price)
    if price is not None:
        world.set_settlement(expiry, price)


# ------------------------------------------------------------------------- profit and loss


def test_a_loss_is_paid_in_and_a_profit_paid_out(world, engine, trader, maker):
    world.deposit(trader, CASH, 10_000)
    world.trade(trader, maker, perpetual(), 10, PRICE)
    world.set_spot(ETH, PRICE, mark=PRICE - 50)
    receipt = settle(world, trader)
    assert settlements(receipt) == [
        engine.PnlSettled(
            account=account_of(trader),
            instrument=perpetual(),
            cashChange=-500 * WAD,
            pool=500 * WAD,
        )
    ]
    assert world.cash_of(trader) == 9_500 * WAD
    assert world.position(trader, perpetual()) == (10 * WAD, -(20_000 - 500) * WAD)
    settle(world, maker)
    assert world.cash_of(maker) == 1_000_500 * WAD
    assert pool(world) == 0
    # Nothing is left to settle, and nothing changes.
    assert settlements(settle(world, trader)) == settlements(settle(world, maker)) == []
    assert world.unaccounted_cash([account_of(trader), account_of(maker)]) == 0


def test_settling_leaves_equity_as_it_is(world, engine, trader, maker, next_week):
    world.deposit(trader, CASH, 10_000)
    world.trade(trader, maker, perpetual(), 3, PRICE)
    world.trade(maker, trader, future(next_week), 2, PRICE + 7)
    world.set_spot(ETH, PRICE, mark=PRICE - 13)
    world.set_forward(next_week, PRICE - 31)
    for owner in (trader, maker):
        before = world.risk.assess(engine.portfolio(account_of(owner))).equity
        settle(world, owner)
        assert world.risk.assess(engine.portfolio(account_of(owner))).equity == before


def test_a_profit_waits_until_the_pool_has_it(world, engine, trader, maker):
    world.deposit(trader, CASH, 10_000)
    world.trade(trader, maker, perpetual(), 10, PRICE)
    world.set_spot(ETH, PRICE, mark=PRICE + 30)
    assert settlements(settle(world, trader)) == []  # the pool is empty
    assert world.position(trader, perpetual()) == (10 * WAD, -20_000 * WAD)

    world.deposit(world.outsider, CASH, 10_000)  # another loser pays a third of it in
    world.trade(world.outsider, maker, perpetual(), 5, PRICE + 50)
    settle(world, world.outsider)
    assert pool(world) == 100 * WAD
    settle(world, trader)
    assert world.cash_of(trader) == 10_100 * WAD
    assert world.position(trader, perpetual()) == (10 * WAD, -20_100 * WAD)

    settle(world, maker)  # and the maker the rest
    settle(world, trader)
    assert world.cash_of(trader) == 10_300 * WAD
    assert pool(world) == 0


def test_a_loss_beyond_cash_is_borrowed_against_collateral(world, engine, trader, maker):
    world.set_collateral(WETH, haircut=WAD // 4)
    world.end_ramps()
    world.deposit(trader, CASH, 1_000)
    world.deposit(trader, WETH, 2)  # worth 3,000 after its haircut
    world.trade(trader, maker, perpetual(), 10, PRICE)
    world.set_spot(ETH, PRICE, mark=PRICE - 300)
    settle(world, trader)
    assert world.cash_of(trader) == -2_000 * WAD
    assert engine.cashState().totalDebt == 2_000 * WAD
    assert pool(world) == 3_000 * WAD


def test_a_loss_that_nothing_covers_stays_in_the_position(world, engine, trader, maker):
    world.set_collateral(WETH, haircut=WAD // 4)
    world.end_ramps()
    world.deposit(trader, CASH, 1_000)
    world.deposit(trader, WETH, 2)
    world.trade(trader, maker, perpetual(), 10, PRICE)
    world.set_spot(ETH, PRICE, mark=PRICE - 700)
    settle(world, trader)
    assert world.cash_of(trader) == -3_000 * WAD  # all that the collateral is worth
    assert world.position(trader, perpetual()) == (10 * WAD, -(20_000 - 4_000) * WAD)
    assert pool(world) == 4_000 * WAD
    assert settlements(settle(world, trader)) == []

    world.deposit(trader, CASH, 500)  # new cash is what it can pay more
    settle(world, trader)
    assert pool(world) == 4_500 * WAD
    world.deposit(trader, CASH, 10_000)
    settle(world, trader)
    assert pool(world) == 7_000 * WAD
    assert world.cash_of(trader) == 4_500 * WAD


@pytest.mark.parametrize("old", ["rate", "index"])
def test_collateral_at_old_prices_pays_no_loss(world, engine, trader, maker, old):
    world.deposit(trader, CASH, 4_000)
    world.deposit(maker, CASH, 100_000)
    world.trade(trader, maker, perpetual(), 10, PRICE)
    world.deposit(trader, WETH, 100)
    cash = world.cash_of(trader)
    # Two hours and a second before the settlement, which is a second too old.
    then = world.now + 60
    world.set_spot(ETH, PRICE - 1_000, timestamp=then if old == "index" else then + 7_200)
    world.set_rate(WETH, WAD, timestamp=then if old == "rate" else then + 7_200)
    world.next_block_at(then + 7_201)
    engine.settle(account_of(trader), sender=maker)
    assert world.cash_of(trader) == 0
    assert engine.marketState(ETH).pnlPool >= cash
    owed = world.position(trader, perpetual())[1] + 10 * WAD * (PRICE - 1_000)
    assert owed < -5_000 * WAD
    # As soon as the price is young enough the collateral pays for the rest.
    world.set_spot(ETH, PRICE - 1_000, timestamp=then + 7_201)
    world.set_rate(WETH, WAD, timestamp=then + 7_201)
    engine.settle(account_of(trader), sender=maker)
    assert world.position(trader, perpetual())[1] == -10 * WAD * (PRICE - 1_000)
    assert world.cash_of(trader) <= owed


def test_without_collateral_cash_never_falls_below_zero(world, trader, maker):
    world.deposit(trader, CASH, 5_000)
    world.trade(trader, maker, perpetual(), 10, PRICE)
    world.set_spot(ETH, PRICE, mark=PRICE - 900)
    settle(world, trader)
    assert world.cash_of(trader) == 0
    assert world.engine.cashState().totalDebt == 0
    assert pool(world) == 5_000 * WAD


def test_losses_are_settled_before_profits(world, engine, trader, maker, next_week):
    """The profit comes first in slot order, and is paid from the loss of the same call."""
    world.deposit(trader, CASH, 20_000)
    world.trade(trader, maker, perpetual(), 10, PRICE)
    world.trade(maker, trader, future(next_week), 10, PRICE)
    world.set_spot(ETH, PRICE, mark=PRICE + 40)
    world.set_forward(next_week, PRICE + 100)
    assert [
        (log.instrument, log.cashChange, log.pool) for log in settlements(settle(world, trader))
    ] == [(future(next_week), -1_000 * WAD, 1_000 * WAD), (perpetual(), 400 * WAD, 600 * WAD)]


def test_pools_of_different_underlyings_are_separate(world, trader, maker):
    world.deposit(trader, CASH, 50_000)
    world.trade(trader, maker, perpetual(ETH), 10, PRICE)
    world.trade(trader, maker, perpetual(BTC), 1, 50_000)
    world.set_spot(ETH, PRICE, mark=PRICE - 10)
    world.set_spot(BTC, 50_000, mark=50_500)
    settle(world, trader)
    assert (pool(world, ETH), pool(world, BTC)) == (100 * WAD, 0)
    assert world.position(trader, perpetual(BTC)) == (WAD, -50_000 * WAD)


def test_prices_of_idle_collateral_are_not_read(world, trader, maker):
    """A loss that cash covers is settled whatever has become of the collateral's price."""
    world.deposit(trader, CASH, 10_000)
    world.deposit(trader, USDX, 1)
    world.trade(trader, maker, perpetual(), 10, PRICE)
    world.set_spot(ETH, PRICE, mark=PRICE - 10)
    world.set_rate(USDX, 0)
    settle(world, trader)
    assert world.cash_of(trader) == 9_900 * WAD


# ------------------------------------------------------------------------- closing a position


def test_closing_with_a_loss_nothing_covers_leaves_a_debt_in_the_slot(world, trader, maker):
    world.deposit(trader, CASH, 4_000)
    world.trade(trader, maker, perpetual(), 10, PRICE)
    world.set_spot(ETH, PRICE, mark=PRICE - 600)
    world.trade(maker, trader, perpetual(), 10, PRICE - 600)  # strictly reduces the risk
    assert world.cash_of(trader) == 0
    assert world.position(trader, perpetual()) == (0, -2_000 * WAD)
    # The winner has what was paid in, and a claim on the rest.
    assert world.cash_of(maker) == 1_004_000 * WAD
    assert world.position(maker, perpetual()) == (0, 2_000 * WAD)

    world.deposit(trader, CASH, 3_000)
    world.set_spot(ETH, 0)  # a bare claim or debt reads no price
    settle(world, trader)
    settle(world, maker)
    assert world.cash_of(trader) == 1_000 * WAD
    assert world.cash_of(maker) == 1_006_000 * WAD
    assert list(world.engine.positionsOf(account_of(trader))) == []
    assert list(world.engine.positionsOf(account_of(maker))) == []


def test_a_claim_in_the_slot_is_taken_along_by_the_next_trade(world, trader, maker):
    world.deposit(trader, CASH, 4_000)
    world.trade(trader, maker, perpetual(), 10, PRICE)
    world.set_spot(ETH, PRICE, mark=PRICE - 600)
    world.trade(maker, trader, perpetual(), 10, PRICE - 600)
    world.deposit(trader, CASH, 10_000)
    world.trade(trader, maker, perpetual(), 1, PRICE - 600)
    assert world.position(trader, perpetual()) == (WAD, -(2_000 + 1_400) * WAD)


def test_when_both_close_the_loser_pays_first(world, engine, trader, maker):
    """The taker has the loss: it comes before the maker's profit."""
    world.deposit(trader, CASH, 10_000)
    world.trade(trader, maker, perpetual(), 1, PRICE)
    buy = world.order(maker, perpetual(), 1, PRICE - 100)
    receipt = world.match(buy, world.order(trader, perpetual(), -1, PRICE - 100))
    assert [(log.account, log.cashChange) for log in settlements(receipt)] == [
        (account_of(trader), -100 * WAD),
        (account_of(maker), 100 * WAD),
    ]


# ------------------------------------------------------------------------------------ next_week


def test_futures_expire_to_the_settlement_price(world, engine, trader, maker, next_week):
    world.deposit(trader, CASH, 20_000)
    world.trade(trader, maker, future(next_week), 4, PRICE)
    pass_expiry(world, next_week, PRICE + 25)
    receipt = settle(world, maker)
    expired = engine.PositionExpired(
        account=account_of(maker),
        instrument=future(next_week),
        size=-4 * WAD,
        settlementPrice=(PRICE + 25) * WAD,
        payoff=-100 * WAD,
    )
    assert [log for log in receipt.events if log.event_name == "PositionExpired"] == [expired]
    settle(world, trader)
    assert world.cash_of(trader) == 20_100 * WAD
    assert world.cash_of(maker) == (1_000_000 - 100) * WAD
    assert list(engine.positionsOf(account_of(trader))) == []
    assert engine.marketState(ETH).openInterest == 0
    assert pool(world) == 0


@pytest.mark.parametrize("is_put", [False, True])
@pytest.mark.parametrize("settlement", [PRICE - 150, PRICE, PRICE + 150])
def test_options_expire_to_their_intrinsic_value(
    world, trader, maker, next_week, is_put, settlement
):
    world.deposit(trader, CASH, 20_000)
    instrument = option(next_week, PRICE, is_put)
    world.trade(trader, maker, instrument, 3, 60)
    pass_expiry(world, next_week, settlement)
    settle(world, maker)
    settle(world, trader)
    payoff = 3 * max(0, (PRICE - settlement) if is_put else (settlement - PRICE))
    assert world.cash_of(trader) == (20_000 - 180 + payoff) * WAD
    assert world.cash_of(maker) == (1_000_000 + 180 - payoff) * WAD
    assert list(world.engine.positionsOf(account_of(trader))) == []
    assert world.unaccounted_cash([account_of(trader), account_of(maker)]) == 0


def test_a_payoff_the_pool_does_not_have_becomes_a_claim(world, trader, maker, next_week):
    world.deposit(trader, CASH, 20_000)
    world.trade(trader, maker, option(next_week, PRICE), 3, 60)
    pass_expiry(world, next_week, PRICE + 100)
    settle(world, trader)
    assert world.position(trader, perpetual()) == (0, 300 * WAD)
    assert world.position(trader, option(next_week, PRICE)) == (0, 0)
    settle(world, maker)
    settle(world, trader)
    assert world.cash_of(trader) == (20_000 - 180 + 300) * WAD
    assert list(world.engine.positionsOf(account_of(trader))) == []


def test_a_payoff_joins_the_perpetual_there_is(world, engine, trader, maker, next_week):
    world.deposit(trader, CASH, 20_000)
    world.trade(trader, maker, option(next_week, PRICE), 3, 0)
    world.trade(trader, maker, perpetual(), 2, PRICE)
    world.trade(trader, maker, option(next_week, PRICE + 1_000), 1, 0)
    pass_expiry(world, next_week, PRICE + 100)
    settle(world, trader)
    assert len(engine.positionsOf(account_of(trader))) == 1
    assert world.position(trader, perpetual()) == (2 * WAD, (-4_000 + 300) * WAD)


def test_payoffs_of_several_options_add_up_in_one_slot(world, engine, trader, maker, next_week):
    """A long strangle and a short straddle, all expired, and never a perpetual."""
    world.deposit(trader, CASH, 20_000)
    for strike, is_put, size in (
        (1_900, True, 2),
        (2_100, False, 2),
        (2_000, True, -1),
        (2_000, False, -1),
    ):
        buyer, seller = (trader, maker) if size > 0 else (maker, trader)
        world.trade(buyer, seller, option(next_week, strike, is_put), abs(size), 0)
    pass_expiry(world, next_week, 2_300)
    settle(world, maker)
    settle(world, trader)
    assert world.cash_of(trader) == (20_000 + 2 * 200 - 300) * WAD
    assert world.cash_of(maker) == (1_000_000 - 2 * 200 + 300) * WAD
    assert list(engine.positionsOf(account_of(trader))) == []
    assert engine.marketState(ETH).openInterest == 0


def test_an_expired_position_waits_for_its_settlement_price(
    world, engine, trader, maker, next_week
):
    world.deposit(trader, CASH, 20_000)
    world.trade(trader, maker, future(next_week), 4, PRICE)
    world.trade(trader, maker, option(next_week, PRICE), 1, 0)
    pass_expiry(world, next_week)
    slots = list(engine.positionsOf(account_of(trader)))
    settle(world, trader)
    assert list(engine.positionsOf(account_of(trader))) == slots
    world.set_settlement(next_week, PRICE + 10)
    settle(world, trader)
    assert world.position(trader, perpetual()) == (0, 50 * WAD)


def test_one_expiry_leaves_the_others_alone(world, trader, maker, next_week):
    later = world.list_expiry(days=14)
    world.deposit(trader, CASH, 20_000)
    world.trade(trader, maker, option(next_week, PRICE), 1, 0)
    world.trade(trader, maker, option(later, PRICE), 2, 0)
    world.trade(trader, maker, future(later), 1, PRICE)
    pass_expiry(world, next_week, PRICE - 100)
    settle(world, trader)
    assert world.position(trader, option(next_week, PRICE)) == (0, 0)
    assert world.position(trader, option(later, PRICE)) == (2 * WAD, 0)
    assert world.position(trader, future(later)) == (WAD, -PRICE * WAD)


def test_fractions_of_a_unit_round_against_both_sides(world, trader, maker, next_week):
    world.set_underlying(ETH, makerFee=0, takerFee=0, fundingCap=0, lotSize=1)
    world.deposit(trader, CASH, 20_000)
    size = 3e-18  # three units, worth a fraction of one in profit
    world.trade(trader, maker, option(next_week, PRICE), size, 0)
    pass_expiry(world, next_week, PRICE + 0.5)
    settle(world, maker)
    settle(world, trader)
    assert world.cash_of(trader) == 20_000 * WAD + 1  # 1.5 rounded down
    assert world.cash_of(maker) == 1_000_000 * WAD - 2  # 1.5 rounded up
    assert pool(world) == 1
    assert world.unaccounted_cash([account_of(trader), account_of(maker)]) == 0
