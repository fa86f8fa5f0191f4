"""Liquidation in the exact model, step by step: the taker is long 100 ETH on margin and falls."""

import pytest
from model import ledger_world as world
from model.test_exact_engine import (
    CALL,
    FUTURE,
    MAKER,
    MAKER_ACCOUNT,
    PERPETUAL,
    TAKER,
    TAKER_ACCOUNT,
    TREASURER,
    USD_RAW,
    order,
    refused,
    set_price,
    trade,
    wait,
)

from reference_model.exact import (
    auction,
    instrument,
    invariants,
    liquidation_parameters,
    risk_model,
)
from reference_model.exact.engine import Engine
from reference_model.exact.errors import ModelError
from reference_model.exact.insurance_fund import InsuranceFund
from reference_model.types import DAY, WAD, AccountStatus, LastStep, MarginMode, Window

BIDDER, KEEPER, DEBTOR = 0xB1D, 0xCEE9, 0xDEB7
DEBTOR_ACCOUNT = world.account(DEBTOR)
BIDDER_ACCOUNT, KEEPER_ACCOUNT = world.account(BIDDER), world.account(KEEPER)
ANY = 2**255 - 1
SIZE = 100 * WAD
LENGTH = 7_800


@pytest.fixture
def engine() -> Engine:
    """The maker has sold 100 ETH to the taker at 3,000; a bidder stands by."""
    engine = world.engine(fee_collectors={TREASURER})
    for account in (MAKER_ACCOUNT, TAKER_ACCOUNT, BIDDER_ACCOUNT):
        engine.deposit(account >> 8, account, 0, 100_000 * USD_RAW)
    set_price(engine, 3_000 * WAD)
    trade(engine, SIZE, 3_000 * WAD)
    yield engine
    assert invariants.broken(engine, 0) == []


def fall(engine: Engine, price: int, account: int = TAKER_ACCOUNT) -> None:
    """Let the price fall and the auction start."""
    set_price(engine, price * WAD)
    engine.start_auction(account, KEEPER_ACCOUNT)


def bid(engine: Engine, fraction: int = WAD, max_price: int = ANY) -> tuple[int, int]:
    """Let the bidder bid for the taker's account."""
    return engine.bid(BIDDER, TAKER_ACCOUNT, BIDDER_ACCOUNT, fraction, max_price)


def lend(engine: Engine) -> None:
    """Let a debtor withdraw 90,000 against 50 ETH."""
    engine.deposit(DEBTOR, DEBTOR_ACCOUNT, world.WETH, 50 * 10**18)
    engine.withdraw(DEBTOR, DEBTOR_ACCOUNT, 0, 90_000 * USD_RAW)


def bid_for_debtor(engine: Engine, fraction: int = WAD) -> int:
    """Let the bidder bid for the debtor's account; return the payment."""
    return engine.bid(BIDDER, DEBTOR_ACCOUNT, BIDDER_ACCOUNT, fraction, ANY)[1]


def names(engine: Engine, count: int) -> list[str]:
    """Names of the latest events."""
    return [event.name for event in engine.events[-count:]]


# -------------------------------------------------------------------------------------- states


def test_an_account_above_maintenance_margin_is_not_for_sale(engine):
    set_price(engine, 2_300 * WAD)
    seen = risk_model.assess(engine.portfolio(TAKER_ACCOUNT), engine.market)
    arguments = TAKER_ACCOUNT, seen.equity, seen.maintenance_margin
    with refused(engine, "NotLiquidatable", *arguments):
        engine.start_auction(TAKER_ACCOUNT, KEEPER_ACCOUNT)
    with refused(engine, "NoAuction", TAKER_ACCOUNT):
        bid(engine)
    assert engine.auction_of(TAKER_ACCOUNT)[-2:] == (0, 0)
    assert engine.update_status(TAKER_ACCOUNT) == AccountStatus.MARGIN_CALL
    assert engine.events[-1].values == (TAKER_ACCOUNT, 0, 1)


def test_the_reward_is_paid_from_the_account_before_half_its_margin_is_gone(engine):
    before = engine.cash_of(TAKER_ACCOUNT)
    fall(engine, 2_250)
    assert engine.cash_of(KEEPER_ACCOUNT) == 500 * WAD
    assert engine.cash_of(TAKER_ACCOUNT) == before - 500 * WAD
    assert engine.status_of(TAKER_ACCOUNT) == AccountStatus.IN_AUCTION
    assert names(engine, 2) == ["AuctionStarted", "StatusChanged"]
    with refused(engine, "AlreadyInAuction", TAKER_ACCOUNT):
        engine.start_auction(TAKER_ACCOUNT, KEEPER_ACCOUNT)


def test_an_account_in_deep_trouble_gives_no_reward(engine):
    fall(engine, 2_110)
    assert engine.cash_of(KEEPER_ACCOUNT) == 0


def test_nobody_rewards_or_buys_from_itself(engine):
    set_price(engine, 2_250 * WAD)
    with refused(engine, "InvalidRewardAccount", TAKER_ACCOUNT):
        engine.start_auction(TAKER_ACCOUNT, TAKER_ACCOUNT)
    fall(engine, 2_250)
    with refused(engine, "InvalidBidder", TAKER_ACCOUNT):
        engine.bid(TAKER, TAKER_ACCOUNT, TAKER_ACCOUNT, WAD, ANY)


def test_an_owner_in_auction_may_only_top_up_and_reduce(engine):
    fall(engine, 2_250)
    engine.deposit(TAKER, TAKER_ACCOUNT, 0, 100_000 * USD_RAW)
    with refused(engine, "InAuction", TAKER_ACCOUNT):
        engine.withdraw(TAKER, TAKER_ACCOUNT, 0, 1)
    with refused(engine, "InAuction", TAKER_ACCOUNT):
        trade(engine, WAD, 2_250 * WAD)
    trade(engine, -WAD, 2_250 * WAD)
    assert engine.status_of(TAKER_ACCOUNT) == AccountStatus.RECOVERING
    engine.batch(
        [
            lambda: engine.update_status(TAKER_ACCOUNT),
            lambda: engine.withdraw(TAKER, TAKER_ACCOUNT, 0, 1),
        ]
    )
    assert engine.status_of(TAKER_ACCOUNT) == AccountStatus.HEALTHY


def test_an_auction_between_maintenance_and_buffer_ends_after_its_length_alone(engine):
    fall(engine, 2_250)
    set_price(engine, 2_300 * WAD)
    assert engine.update_status(TAKER_ACCOUNT) == AccountStatus.RECOVERING
    wait(engine, LENGTH - 1)
    assert engine.update_status(TAKER_ACCOUNT) == AccountStatus.RECOVERING
    with refused(engine, "NotLiquidatable", TAKER_ACCOUNT, *_equity_and_margin(engine)):
        bid(engine)
    wait(engine, 1)
    assert engine.update_status(TAKER_ACCOUNT) == AccountStatus.MARGIN_CALL
    assert names(engine, 2) == ["AuctionEnded", "StatusChanged"]


def _equity_and_margin(engine: Engine) -> tuple[int, int]:
    seen = risk_model.assess(engine.portfolio(TAKER_ACCOUNT), engine.market)
    return seen.equity, seen.maintenance_margin


def test_the_clock_of_a_recovering_account_stands(engine):
    fall(engine, 2_250)
    wait(engine, 300)
    set_price(engine, 2_300 * WAD)
    engine.update_status(TAKER_ACCOUNT)
    wait(engine, 3_000)
    set_price(engine, 2_250 * WAD)
    assert engine.auction_of(TAKER_ACCOUNT).elapsed_seconds == 300


def test_a_solvent_auction_lapses_and_starts_again(engine):
    fall(engine, 2_250)
    wait(engine, LENGTH)
    with refused(engine, "NoAuction", TAKER_ACCOUNT):
        bid(engine)
    engine.start_auction(TAKER_ACCOUNT, KEEPER_ACCOUNT)
    assert engine.auction_of(TAKER_ACCOUNT).elapsed_seconds == 0


def test_insolvency_starts_the_clock_again(engine):
    fall(engine, 2_250)
    wait(engine, 5_000)
    set_price(engine, 1_900 * WAD)
    assert engine.auction_of(TAKER_ACCOUNT).elapsed_seconds == 0
    assert engine.update_status(TAKER_ACCOUNT) == AccountStatus.INSOLVENT
    assert engine.pending_loss() == engine.account(TAKER_ACCOUNT).deficit > 10_000 * WAD


def test_the_clock_stands_in_an_outage(engine):
    fall(engine, 2_250)
    wait(engine, 100)
    engine.clock.declare_outage(engine.market.now, 1_000)
    wait(engine, 600)
    assert engine.auction_of(TAKER_ACCOUNT).elapsed_seconds == 100
    wait(engine, 500)
    assert engine.auction_of(TAKER_ACCOUNT).elapsed_seconds == 200


def test_an_account_whose_admission_is_owed_is_not_judged_in_the_same_batch(engine):
    with refused(engine, "AdmissionPending", MAKER_ACCOUNT):
        engine.batch(
            [
                lambda: engine.withdraw(MAKER, MAKER_ACCOUNT, 0, USD_RAW),
                lambda: engine.update_status(MAKER_ACCOUNT),
            ]
        )


# ----------------------------------------------------------------------------------------- bids


def test_the_restoring_slice_restores_and_ends_the_auction(engine):
    fall(engine, 2_250)
    offer = engine.auction_of(TAKER_ACCOUNT)
    fraction, payment = bid(engine)
    assert fraction == offer.restoring_fraction == offer.largest_fraction < WAD // 2
    assert payment == -(-offer.price * fraction // WAD)
    assert engine.position_of(BIDDER_ACCOUNT, PERPETUAL)[0] == SIZE * fraction // WAD
    seen = risk_model.assess(engine.portfolio(TAKER_ACCOUNT), engine.market)
    excess = seen.initial_equity - seen.initial_margin * 11 // 10
    assert 0 <= excess < 10**6
    assert engine.status_of(TAKER_ACCOUNT) == AccountStatus.HEALTHY
    assert names(engine, 3) == ["SliceSold", "AuctionEnded", "StatusChanged"]


def test_a_small_slice_leaves_the_auction_running(engine):
    fall(engine, 2_250)
    assert bid(engine, WAD // 10)[0] == WAD // 10
    assert engine.status_of(TAKER_ACCOUNT) == AccountStatus.IN_AUCTION
    assert names(engine, 1) == ["SliceSold"]


def test_what_would_leave_dust_is_sold_whole(engine):
    set_rules(engine, dust_margin=25_000 * WAD)
    fall(engine, 2_250)
    assert bid(engine, WAD // 10)[0] == WAD
    assert engine.account(TAKER_ACCOUNT).positions == ()


def set_rules(engine: Engine, **changes) -> None:
    """Change rules of auctions."""
    engine.rules.set_auction_parameters(engine.rules.auction._replace(**changes))


def test_the_bidder_names_its_limit_for_the_whole(engine):
    fall(engine, 2_250)
    price = engine.auction_of(TAKER_ACCOUNT).price
    tenth, less = -(-price // 10), -(-(price - 10) // 10)
    with refused(engine, "SlicePriceNotAcceptable", tenth, less):
        bid(engine, WAD // 10, price - 10)
    assert bid(engine, WAD // 10, price) == (WAD // 10, tenth)


def test_a_bid_for_nothing_is_refused(engine):
    fall(engine, 2_250)
    with refused(engine, "ZeroAmount"):
        bid(engine, 0)


def test_a_bidder_must_end_healthy(engine):
    fall(engine, 2_250)
    engine.withdraw(BIDDER, BIDDER_ACCOUNT, 0, 99_000 * USD_RAW)
    with pytest.raises(ModelError) as caught:
        bid(engine)
    assert caught.value.name == "BelowInitialMargin"
    assert engine.account(BIDDER_ACCOUNT).positions == ()


def test_a_bidder_in_auction_may_not_bid(engine):
    fall(engine, 2_250)
    trade_between = world.account(0xD06)
    engine.deposit(0xD06, trade_between, 0, 40_000 * USD_RAW)
    set_price(engine, 2_240 * WAD)
    engine.bid(0xD06, TAKER_ACCOUNT, trade_between, WAD // 4, ANY)
    set_price(engine, 1_500 * WAD)
    assert engine.update_status(trade_between) == AccountStatus.HEALTHY
    set_price(engine, 500 * WAD)
    engine.start_auction(trade_between, KEEPER_ACCOUNT)
    with pytest.raises(ModelError) as caught:
        engine.bid(0xD06, TAKER_ACCOUNT, trade_between, 1, ANY)
    assert (caught.value.name, caught.value.arguments) == ("InAuction", (trade_between,))


def test_a_bidder_against_the_account_nets_out(engine):
    fall(engine, 2_250)
    before = engine.market_state(world.ETH).open_interest
    fraction, _ = engine.bid(MAKER, TAKER_ACCOUNT, MAKER_ACCOUNT, WAD, ANY)
    size = SIZE * fraction // WAD
    assert engine.position_of(MAKER_ACCOUNT, PERPETUAL)[0] == size - SIZE
    assert engine.market_state(world.ETH).open_interest == before - 2 * size


def test_collateral_goes_with_the_slice(engine):
    engine.deposit(TAKER, TAKER_ACCOUNT, world.FINE, 10**22 + 3)
    fall(engine, 2_100)
    fraction, _ = bid(engine, WAD // 3)
    moved = (10**22 + 3) * fraction // WAD
    assert engine.account(BIDDER_ACCOUNT).collateral[world.FINE] == moved
    assert engine.account(TAKER_ACCOUNT).collateral[world.FINE] == 10**22 + 3 - moved


def test_odd_lots_trade_only_to_close(engine):
    fall(engine, 2_250)
    bid(engine, WAD // 3)
    odd = SIZE * (WAD // 3) // WAD
    set_price(engine, 3_000 * WAD)
    lot = WAD // 1_000
    maker, taker = orders(BIDDER_ACCOUNT, MAKER_ACCOUNT, odd - 7, 3_000 * WAD)
    with refused(engine, "InvalidSize", odd - 7, lot):
        engine.match_orders(maker, True, taker, True, odd - 7)
    maker, taker = orders(BIDDER_ACCOUNT, MAKER_ACCOUNT, odd, 3_000 * WAD)
    engine.match_orders(maker, True, taker, True, odd)
    assert engine.account(BIDDER_ACCOUNT).positions == ()


def orders(seller: int, buyer: int, size: int, price: int):
    """Orders of two accounts that match."""
    nonce = 10**6
    return order(seller, -size, price, nonce=nonce), order(buyer, size, price, nonce=nonce)


def test_a_dark_feed_keeps_a_solvent_account_at_the_opening_discount(engine):
    fall(engine, 2_250)
    market = engine.market
    engine.market = market._replace(now=market.now + 5_000)
    assert engine.auction_of(TAKER_ACCOUNT).discount > 3 * WAD // 10
    engine.market = market._replace(now=market.now + DAY)
    assert engine.auction_of(TAKER_ACCOUNT).discount == WAD
    engine.market = market._replace(now=market.now + DAY + 1)
    assert engine.auction_of(TAKER_ACCOUNT).discount == WAD // 50


# -------------------------------------------------------------------------------------- windows


def test_a_window_bounds_what_is_sold_and_leaks(engine):
    engine.rules.set_window(world.ETH, Window(10 * WAD, 1_000))
    fall(engine, 2_200)
    assert bid(engine)[0] == WAD // 10
    assert engine.window_of(world.ETH) == (10 * WAD, 10 * WAD)
    with refused(engine, "WindowExhausted", world.ETH, 10 * WAD, 10 * WAD):
        bid(engine)
    wait(engine, 100)
    assert engine.window_of(world.ETH) == (9 * WAD, 10 * WAD)
    assert 0 < bid(engine)[0] < WAD // 80


def test_a_window_does_not_bind_where_solvency_is_near(engine):
    engine.rules.set_window(world.ETH, Window(1, 1_000))
    fall(engine, 2_110)
    assert bid(engine)[0] > WAD // 2
    assert engine.window_of(world.ETH) == (1, 1)


# ------------------------------------------------------------------------------------ waterfall


def insured(engine: Engine, amount: int) -> InsuranceFund:
    """Set a fund with so many dollars."""
    fund = InsuranceFund(engine, 3_600, DAY)
    engine.rules.set_insurance_fund(fund)
    fund.deposit(KEEPER, amount * USD_RAW, KEEPER)
    return fund


def paid(engine: Engine) -> tuple[int, ...]:
    """What fees, fund and everybody have paid of the latest slice."""
    return next(e for e in reversed(engine.events) if e.name == "SliceSold").values[4:]


def test_fees_pay_first_then_the_fund(engine):
    fund = insured(engine, 30_000)
    fees = engine.state.fees
    fall(engine, 1_900)
    wait(engine, 3_000)
    offer = engine.auction_of(TAKER_ACCOUNT)
    fraction, payment = bid(engine)
    assert (fraction, payment) == (WAD, offer.price)
    from_fees, from_fund, socialised = paid(engine)
    assert from_fees == fees and from_fees + from_fund == -offer.price and socialised == 0
    assert 30_000 * USD_RAW - fund.total_assets() == -(-from_fund // 10**12)
    assert engine.state.fees == -from_fund % 10**12
    assert engine.pending_loss() == 0


def test_a_fund_that_fails_pays_nothing(engine):
    fund = insured(engine, 30_000)
    fund.cover = lambda caller, amount_raw: (_ for _ in ()).throw(ModelError())
    fall(engine, 1_900)
    wait(engine, 3_000)
    bid(engine)
    assert paid(engine)[1:] == (0, 0)


def test_missing_cash_that_nobody_covers_is_socialised_to_the_last_unit(engine):
    engine.deposit(KEEPER, KEEPER_ACCOUNT, 0, 50_000 * USD_RAW)
    lend(engine)
    fall(engine, 1_500, DEBTOR_ACCOUNT)
    wait(engine, LENGTH)
    accounts = (MAKER_ACCOUNT, TAKER_ACCOUNT, BIDDER_ACCOUNT, KEEPER_ACCOUNT, DEBTOR_ACCOUNT)
    before = {account: engine.cash_of(account) for account in accounts}
    offer = engine.auction_of(DEBTOR_ACCOUNT)
    payment = bid_for_debtor(engine)
    from_fees, _, socialised = paid(engine)
    assert socialised == -offer.assessment.collateral_equity > 18_000 * WAD
    assert offer.price < payment == -from_fees - socialised
    gained = sum(engine.cash_of(account) for account in accounts) - sum(before.values())
    # The interest pool bears its part, a little interest being retained there.
    assert 0 <= gained - from_fees < WAD // 100
    ratio = engine.cash_of(KEEPER_ACCOUNT) / before[KEEPER_ACCOUNT]
    assert engine.cash_of(MAKER_ACCOUNT) / before[MAKER_ACCOUNT] == pytest.approx(ratio)
    assert ratio < 0.95


def test_owners_of_cash_do_not_answer_for_the_profit_of_a_market(engine):
    set_rules(engine, last_step=LastStep.SOCIALISE)
    fall(engine, 1_900)
    wait(engine, LENGTH)
    fees = engine.state.fees
    assert bid(engine) == (WAD, -fees)
    assert paid(engine) == (fees, 0, 0)


def test_socialisation_comes_late_where_deleveraging_finds_nobody(engine):
    lend(engine)
    maker, taker = orders(MAKER_ACCOUNT, DEBTOR_ACCOUNT, WAD, 3_000 * WAD)
    engine.match_orders(maker, True, taker, True, WAD)
    fall(engine, 1_500, DEBTOR_ACCOUNT)
    wait(engine, LENGTH + 7_199)
    bid_for_debtor(engine, WAD // 100)
    assert paid(engine)[2] == 0
    wait(engine, 1)
    bid_for_debtor(engine, WAD // 100)
    assert paid(engine)[2] > 0


def test_no_more_than_a_share_of_all_cash_is_taken_in_a_week(engine):
    set_rules(engine, max_socialised_share=WAD // 100)
    lend(engine)
    fall(engine, 1_500, DEBTOR_ACCOUNT)
    wait(engine, LENGTH)
    bid_for_debtor(engine, WAD // 2)
    first = paid(engine)[2]
    assert first == pytest.approx(3_000 * WAD, rel=1e-2)
    bid_for_debtor(engine, WAD // 2)
    assert 0 <= paid(engine)[2] <= first // 10**9
    wait(engine, 7 * DAY // 2)
    set_price(engine, 1_500 * WAD)
    bid_for_debtor(engine, WAD // 2)
    assert first // 3 < paid(engine)[2] < first // 2


def test_a_debt_without_anything_waits_for_nothing(engine):
    lend(engine)
    engine.deposit(KEEPER, KEEPER_ACCOUNT, 0, 50_000 * USD_RAW)
    fall(engine, 1_500, DEBTOR_ACCOUNT)
    wait(engine, 1_000)
    debt = -engine.cash_of(DEBTOR_ACCOUNT)
    stored = engine.account(DEBTOR_ACCOUNT)
    engine.state.accounts[DEBTOR_ACCOUNT] = stored._replace(collateral=(0,) * 32)
    engine.state.total_collateral_raw[world.WETH] = 0
    offer = engine.auction_of(DEBTOR_ACCOUNT)
    assert (offer.discount, offer.price, offer.largest_fraction) == (WAD, -debt, WAD)
    bid_for_debtor(engine)
    assert paid(engine)[2] > 70_000 * WAD


# --------------------------------------------------------------------------------- pending losses


def test_nobody_leaves_ahead_of_a_pending_loss(engine):
    fund = insured(engine, 100)
    fund.request_exit(KEEPER, fund.balance_of(KEEPER))
    set_price(engine, 1_900 * WAD)
    wait(engine, 3_600)
    assert fund.max_redeem(KEEPER) == fund.balance_of(KEEPER)
    engine.update_status(TAKER_ACCOUNT)
    assert fund.max_redeem(KEEPER) == fund.max_withdraw(KEEPER) == 0
    with refused(engine, "PendingLoss", engine.pending_loss()):
        engine.collect_fees(TREASURER, 1)
    with refused(engine, "PendingLoss", engine.pending_loss()):
        engine.withdraw(BIDDER, BIDDER_ACCOUNT, 0, 1)
    fund.reward(20_000 * USD_RAW)
    engine.withdraw(BIDDER, BIDDER_ACCOUNT, 0, 1)
    assert fund.max_redeem(KEEPER) == 0


def test_a_frozen_pool_thaws_after_a_day(engine):
    set_price(engine, 1_900 * WAD)
    engine.update_status(TAKER_ACCOUNT)
    wait(engine, DAY - 1)
    engine.update_status(TAKER_ACCOUNT)
    with refused(engine, "PendingLoss", engine.pending_loss()):
        engine.withdraw(BIDDER, BIDDER_ACCOUNT, 0, 1)
    wait(engine, 1)
    engine.withdraw(BIDDER, BIDDER_ACCOUNT, 0, 1)
    engine.collect_fees(TREASURER, 1)
    assert engine.pending_loss() > 10_000 * WAD


def test_dust_is_no_pending_loss(engine):
    set_rules(engine, dust_margin=200 * WAD)
    set_price(engine, 2_000 * WAD)
    engine.update_status(TAKER_ACCOUNT)
    assert 0 < engine.pending_loss() < 200 * WAD
    assert not engine.is_loss_pending()
    engine.collect_fees(TREASURER, 1)


# --------------------------------------------------------------------------------- deleveraging


def test_the_last_position_closed_leaves_no_deficit(engine):
    set_rules(engine, max_deleverage_share=WAD)
    fall(engine, 1_900)
    wait(engine, LENGTH)
    set_price(engine, 1_900 * WAD)
    deficit = -engine.auction_of(TAKER_ACCOUNT).assessment.equity
    assert engine.deleverage(TAKER_ACCOUNT, PERPETUAL, [MAKER_ACCOUNT]) == SIZE
    values = next(e for e in reversed(engine.events) if e.name == "Deleveraged").values
    assert values[3:] == (-SIZE, 1_900 * WAD, deficit)
    assert engine.auction_of(TAKER_ACCOUNT).assessment.equity == 0
    assert engine.account(MAKER_ACCOUNT).positions[0] >> 112 & 2**96 - 1 == 0
    assert engine.update_status(TAKER_ACCOUNT) == AccountStatus.HEALTHY


def test_deleveraging_has_its_time(engine):
    set_rules(engine, max_deleverage_share=WAD)
    fall(engine, 1_900)
    wait(engine, LENGTH - 1)
    with refused(engine, "DeleveragingNotDue", TAKER_ACCOUNT):
        engine.deleverage(TAKER_ACCOUNT, PERPETUAL, [MAKER_ACCOUNT])
    wait(engine, 1)
    engine.state.fees += 10**6 * WAD
    with refused(engine, "DeleveragingNotDue", TAKER_ACCOUNT):
        engine.deleverage(TAKER_ACCOUNT, PERPETUAL, [MAKER_ACCOUNT])
    engine.state.fees -= 10**6 * WAD
    set_rules(engine, last_step=LastStep.SOCIALISE)
    with refused(engine, "DeleveragingNotDue", TAKER_ACCOUNT):
        engine.deleverage(TAKER_ACCOUNT, PERPETUAL, [MAKER_ACCOUNT])


def test_portfolio_margin_says_when_deleveraging_of_a_predictive_account_is_due(engine):
    """Predictive margin is a little more here, but a step has no room for a third one."""
    set_rules(engine, max_deleverage_share=WAD)
    engine.set_margin_mode(TAKER, TAKER_ACCOUNT, MarginMode.PREDICTIVE)
    fall(engine, 1_900)
    wait(engine, LENGTH)
    held = engine.portfolio(TAKER_ACCOUNT)
    portfolio, predictive = (
        auction.most_wanted(
            risk_model.assess(held._replace(margin_mode=mode), engine.market), engine.rules.auction
        )
        for mode in (MarginMode.PORTFOLIO, MarginMode.PREDICTIVE)
    )
    assert portfolio < predictive
    missing = portfolio - engine.state.fees
    engine.state.fees += missing
    with refused(engine, "DeleveragingNotDue", TAKER_ACCOUNT):
        engine.deleverage(TAKER_ACCOUNT, PERPETUAL, [MAKER_ACCOUNT])
    engine.state.fees -= 1
    engine.deleverage(TAKER_ACCOUNT, PERPETUAL, [MAKER_ACCOUNT])
    engine.state.fees -= missing - 1


def test_lists_for_deleveraging_ascend_and_hold_opposites(engine):
    set_rules(engine, max_deleverage_share=WAD)
    fall(engine, 1_900)
    wait(engine, LENGTH)
    with refused(engine, "NothingToDeleverage", TAKER_ACCOUNT, FUTURE):
        engine.deleverage(TAKER_ACCOUNT, FUTURE, [MAKER_ACCOUNT])
    with refused(engine, "NotOpposite", BIDDER_ACCOUNT):
        engine.deleverage(TAKER_ACCOUNT, PERPETUAL, [BIDDER_ACCOUNT])
    with refused(engine, "NotAscending", MAKER_ACCOUNT):
        engine.deleverage(TAKER_ACCOUNT, PERPETUAL, [MAKER_ACCOUNT, MAKER_ACCOUNT])
    with refused(engine, "NothingToDeleverage", TAKER_ACCOUNT, PERPETUAL):
        engine.deleverage(TAKER_ACCOUNT, PERPETUAL, [])


def test_a_hedge_is_passed_over(engine):
    set_rules(engine, max_deleverage_share=WAD)
    engine.deposit(MAKER, MAKER_ACCOUNT, world.WETH, 90 * 10**18)
    fall(engine, 1_900)
    wait(engine, LENGTH)
    before = engine.account(MAKER_ACCOUNT).positions
    assert engine.deleverage(TAKER_ACCOUNT, PERPETUAL, [MAKER_ACCOUNT]) == 0
    assert engine.account(MAKER_ACCOUNT).positions == before


# -------------------------------------------------------------------------- capital and parameters


def test_anyone_may_add_to_protocol_capital(engine):
    fees, held = engine.state.fees, engine.state.cash_held
    engine.contribute(KEEPER, 7 * USD_RAW)
    assert engine.state.fees - fees == engine.state.cash_held - held == 7 * WAD
    assert engine.events[-1].values == (KEEPER, 7 * USD_RAW, 7 * WAD)
    with refused(engine, "ZeroAmount"):
        engine.contribute(KEEPER, 0)


@pytest.mark.parametrize(
    ("changes", "arguments"),
    [
        ({"opening_discount": 31 * WAD // 100}, ("openingDiscount", 0, 3 * WAD // 10)),
        ({"cusp_discount": WAD + 1}, ("cuspDiscount", 0, WAD)),
        ({"fast_seconds": 0}, ("fastSeconds", 1, DAY)),
        ({"slow_seconds": 7 * DAY + 1}, ("slowSeconds", 1, 7 * DAY)),
        ({"buffer": WAD + 1}, ("buffer", 0, WAD)),
        ({"dust_margin": 10**24 + 1}, ("dustMargin", 0, 10**24)),
        ({"reward_rate": WAD // 10 + 1}, ("rewardRate", 0, WAD // 10)),
        ({"reward_cap": 10**24 + 1}, ("rewardCap", 0, 10**24)),
        ({"insolvency_bonus": WAD + 1}, ("insolvencyBonus", 0, WAD)),
        ({"max_socialised_share": WAD // 2 + 1}, ("maxSocialisedShare", 0, WAD // 2)),
        ({"max_deleverage_share": 0}, ("maxDeleverageShare", WAD // 100, WAD)),
    ],
)
def test_a_rule_outside_its_range_is_refused(engine, changes, arguments):
    name, low, high = arguments
    with refused(engine, "ParameterOutOfRange", name, *changes.values(), low, high):
        set_rules(engine, **changes)


def test_a_window_needs_a_period(engine):
    with refused(engine, "ParameterOutOfRange", "periodSeconds", 0, 1, 7 * DAY):
        engine.rules.set_window(world.ETH, Window(WAD, 0))
    assert engine.rules.window(world.ETH) == Window()
    assert engine.rules.auction == liquidation_parameters.DEFAULTS


def test_options_pass_with_a_slice(engine):
    trade(engine, 10 * WAD, 50 * WAD, CALL)
    fall(engine, 2_250)
    fraction, _ = bid(engine, WAD // 7)
    assert engine.position_of(BIDDER_ACCOUNT, CALL)[0] == 10 * WAD * fraction // WAD
    assert instrument.is_option(CALL)
