"""Interest on cash and funding of perpetuals as active time passes."""

from math import exp, isclose

import pytest
from engine.world import BTC, CASH, ETH, INTEREST, WAD, WETH, YEAR, World, account_of, perpetual

PRICE = 2_000
PERIOD = 28_800
DAY = 3 * PERIOD
SEQUENCER_UP, SEQUENCER_DOWN = 0, 1


def ceil_div(a, b):
    return -(-a // b)


def expected_rate(utilisation):
    base, slope1, slope2, kink = (INTEREST[name] for name in ("base", "slope1", "slope2", "kink"))
    if utilisation <= kink:
        return base + ceil_div(slope1 * ceil_div(utilisation * WAD, kink), WAD)
    excess = ceil_div((utilisation - kink) * WAD, WAD - kink)
    return base + slope1 + ceil_div(slope2 * excess, WAD)


def utilisation_of(state):
    return state.totalDebt * WAD // (state.totalDebt + state.cashHeld)


@pytest.fixture
def loan(world, trader, lender):
    """Lend half of the pool to the trader, against plenty of collateral."""
    world.set_collateral(WETH, cap_raw=10**9 * WAD)
    world.deposit(lender, CASH, 100_000)
    world.deposit(trader, WETH, 1_000_000)
    world.withdraw(trader, CASH, 50_000)


def both(*owners):
    return [account_of(owner) for owner in owners]


# ----------------------------------------------------------------------------------- interest


@pytest.mark.parametrize("lent", [0, 1_000, 79_999, 80_000, 95_000, 100_000])
def test_interest_accrues_by_utilisation(world, engine, trader, lender, outsider, lent):
    world.deposit(lender, CASH, 100_000)
    world.deposit(trader, WETH, 1_000)
    world.set_interest(base=0, slope1=0, slope2=0)
    if lent:
        world.withdraw(trader, CASH, lent)
    engine.accrue(ETH, sender=outsider)
    world.set_interest()
    world.next_block_at(world.now)  # nothing accrues between
    engine.accrue(ETH, sender=outsider)
    before, seconds = engine.cashState(), YEAR // 12
    world.next_block_at(before.accruedAt + seconds)
    receipt = engine.accrue(ETH, sender=outsider)
    after = engine.cashState()

    # A second may have passed since the loan, so what is lent is read back.
    utilisation = before.totalDebt * WAD // (before.totalDebt + before.cashHeld)
    assert utilisation == pytest.approx(lent * WAD // 100_000, rel=1e-6)
    growth = ceil_div(expected_rate(utilisation) * seconds, YEAR)
    supply_growth = growth * utilisation // WAD * (WAD - INTEREST["reserveFactor"]) // WAD
    assert after.borrowIndex == before.borrowIndex + ceil_div(before.borrowIndex * growth, WAD)
    assert after.supplyIndex == before.supplyIndex + before.supplyIndex * supply_growth // WAD
    assert after.totalDebt == before.totalDebt + ceil_div(before.totalDebt * growth, WAD)
    assert after.accruedAt == before.accruedAt + seconds
    accrued = engine.InterestAccrued(
        borrowIndex=after.borrowIndex, supplyIndex=after.supplyIndex, totalDebt=after.totalDebt
    )
    assert receipt.events[0] == accrued


def test_fees_leave_after_the_interest_of_the_time_before(world, engine, loan, lender, outsider):
    """Else the cash that leaves would count as lent ever since the last accrual."""
    world.fund(lender, CASH, 50_000 * 10**6)
    engine.contribute(50_000 * 10**6, sender=lender)
    before, seconds = engine.cashState(), YEAR // 12
    world.next_block_at(before.accruedAt + seconds)
    engine.collectFees(outsider, 50_000 * 10**6, sender=world.admin)
    after = engine.cashState()
    growth = ceil_div(expected_rate(utilisation_of(before)) * seconds, YEAR)
    assert after.borrowIndex == before.borrowIndex + ceil_div(before.borrowIndex * growth, WAD)
    assert after.accruedAt == before.accruedAt + seconds
    assert utilisation_of(before) < utilisation_of(after)


def test_debtors_pay_and_owners_of_cash_earn(world, engine, loan, trader, lender, outsider):
    world.next_block_at(world.now + YEAR)
    receipt = engine.settle(account_of(trader), sender=outsider)
    world.next_block_at(world.now)
    engine.settle(account_of(lender), sender=outsider)
    state = engine.cashState()
    owed, owned = world.stored_cash(account_of(trader)), world.stored_cash(account_of(lender))
    paid = -owed - 50_000 * WAD
    rate = expected_rate(WAD // 2) / WAD
    assert isclose(paid, 50_000 * WAD * rate, rel_tol=1e-6)
    assert isclose(owned - 100_000 * WAD, 0.9 * paid, rel_tol=1e-6)
    # What the reserve keeps stays in the pool, and nothing is created.
    assert isclose(state.interestPool, 0.1 * paid, rel_tol=1e-6)
    assert world.unaccounted_cash(both(trader, lender)) == 0
    assert engine.InterestBooked(account=account_of(trader), amount=-paid) in receipt.events
    # The index has 18 decimals; what they leave open goes against the debtor.
    assert 0 <= -owed - state.totalDebt <= 2 * 50_000


def test_a_view_shows_interest_before_it_is_booked(world, engine, loan, trader, lender, outsider):
    world.wait(YEAR // 2)
    shown = world.cash_of(trader), world.cash_of(lender)
    assert shown[0] < -50_000 * WAD and shown[1] > 100_000 * WAD
    assert world.stored_cash(account_of(trader)) == -50_000 * WAD
    world.next_block_at(world.now)
    engine.settle(account_of(trader), sender=outsider)
    world.next_block_at(world.now)
    engine.settle(account_of(lender), sender=outsider)
    assert (
        world.stored_cash(account_of(trader)),
        world.stored_cash(account_of(lender)),
    ) == shown
    assert engine.portfolio(account_of(trader)).cash == shown[0]


def test_booking_often_never_pays(world, engine, loan, trader, lender, outsider, chain):
    """With the same accruals, who is booked at each has no more than who never was."""
    start = world.now

    def cash_after(steps, book):
        with chain.isolate():
            for step in range(1, steps + 1):
                world.next_block_at(start + step * 1_000)
                engine.accrue(ETH, sender=outsider)
                for owner in (trader, lender) if book else ():
                    world.next_block_at(world.now)
                    engine.settle(account_of(owner), sender=outsider)
            return world.cash_of(trader), world.cash_of(lender), engine.cashState().supplyIndex

    booked, never = cash_after(12, book=True), cash_after(12, book=False)
    assert booked[2] == never[2]
    assert booked[0] <= never[0]
    assert booked[1] <= never[1]


def test_a_repaid_loan_leaves_no_debt(world, engine, loan, trader, outsider):
    world.wait(YEAR)
    world.deposit(trader, CASH, 60_000)
    assert world.cash_of(trader) > 0
    assert engine.cashState().totalDebt == 0
    index = engine.cashState().borrowIndex
    world.wait(YEAR)
    engine.accrue(ETH, sender=outsider)
    # No one owes, so no one earns; the base rate moves the borrow index alone.
    assert engine.cashState().borrowIndex > index
    assert engine.cashState().totalDebt == 0


def test_a_deposit_of_collateral_books_no_interest(world, engine, loan, trader):
    world.wait(YEAR)
    receipt = world.deposit(trader, WETH, 1)
    assert [log.event_name for log in receipt.events if log.contract_address == engine.address] == [
        "Deposited"
    ]
    assert world.stored_cash(account_of(trader)) == -50_000 * WAD


def test_interest_without_bounds_stops_instead_of_blocking(world, engine, loan, trader, outsider):
    """Rates of 1,000 % a year: the index grows to the limit of its field, and no further."""
    world.set_interest(base=10 * WAD, slope1=10 * WAD, slope2=10 * WAD)
    for _ in range(40):
        world.next_block_at(world.now + YEAR)
        engine.accrue(ETH, sender=outsider)
    state = engine.cashState()
    assert 2**83 < state.borrowIndex < 2**88
    assert state.accruedAt == world.now
    world.next_block_at(world.now + YEAR)
    engine.accrue(ETH, sender=outsider)
    assert engine.cashState().borrowIndex == state.borrowIndex
    world.deposit(trader, CASH, 10**9)
    assert world.stored_cash(account_of(trader)) < 0


@pytest.fixture(scope="module")
def half_a_year_later(project, accounts):
    """Let interest at 100 % a year, and `slope` more if half is lent, accrue for half a year."""
    harness = accounts[0].deploy(project.LedgerHarness)

    def accrue(borrow, supply, debt, held, slope=0):
        times, rates = (7, 7 + YEAR // 2), (WAD, slope, 0, WAD // 2, 0)
        *indexes, rest = harness.accrueInterest(borrow, supply, debt, held, *times, rates)
        assert rest >> 128 == times[1]
        return (*indexes, rest % 2**128)

    return accrue


def test_interest_fills_its_fields_to_the_last_unit(half_a_year_later):
    """Growth by half of what makes two thirds of the greatest value, and by half of one more."""
    index, debt = 2 * (2**88 - 1) // 3, 2 * (2**128 - 1) // 3
    assert half_a_year_later(index, WAD, debt, 0) == (2**88 - 1, 3 * WAD // 2, 2**128 - 1)
    assert half_a_year_later(index + 1, WAD, debt, 0) == (index + 1, WAD, debt)
    assert half_a_year_later(index, WAD, debt + 1, 0) == (index, WAD, debt + 1)


def test_nothing_lent_is_no_utilisation_and_one_unit_is(half_a_year_later):
    """Where nobody has cash, too, there is no division by nothing."""
    assert half_a_year_later(2 * WAD, WAD, 0, 0, slope=WAD) == (3 * WAD, WAD, 0)
    assert half_a_year_later(2 * WAD, WAD, 0, 1, slope=WAD) == (3 * WAD, WAD, 0)
    assert half_a_year_later(2 * WAD, WAD, 1, 0) == (3 * WAD, 3 * WAD // 2, 2)


# ------------------------------------------------------------------------------------ funding


@pytest.fixture
def position(world, trader, maker):
    """Open a perpetual of 10 units at the index, without fees or interest."""
    world.set_underlying(ETH, makerFee=0, takerFee=0)
    world.set_interest(base=0, slope1=0, slope2=0)
    for owner in (trader, maker):
        world.deposit(owner, CASH, 1_000_000)
    world.trade(trader, maker, perpetual(), 10, PRICE)
    return world.engine.marketState(ETH).fundingAt


@pytest.mark.parametrize("mark", [PRICE - 1, PRICE, PRICE + 7, PRICE - 100, PRICE + 100])
@pytest.mark.parametrize("seconds", [1, PERIOD, DAY - 1, DAY])
def test_the_funding_index_follows_the_premium(world, engine, position, outsider, mark, seconds):
    world.next_block_at(position)
    engine.accrue(ETH, sender=outsider)
    world.set_spot(ETH, PRICE, mark=mark, timestamp=position + seconds)
    world.next_block_at(position + seconds)
    receipt = engine.accrue(ETH, sender=outsider)
    premium = (mark - PRICE) * WAD // PRICE
    cap = 75 * WAD // 10_000
    premium = max(-cap, min(cap, premium))
    expected = PRICE * WAD * premium * seconds // (WAD * PERIOD)
    assert engine.marketState(ETH).fundingIndex == expected
    assert engine.currentFundingIndex(ETH) == expected
    assert engine.FundingAccrued(underlying=ETH, fundingIndex=expected) in receipt.events


def test_longs_pay_shorts_above_the_index_and_the_sum_is_zero(
    world, engine, position, trader, maker, outsider
):
    world.set_spot(ETH, PRICE, mark=PRICE + 10, timestamp=position + 3 * PERIOD)
    world.next_block_at(position + 3 * PERIOD)
    engine.accrue(ETH, sender=outsider)
    world.set_spot(ETH, PRICE)
    world.next_block_at(world.now)
    engine.settle(account_of(trader), sender=outsider)
    world.next_block_at(world.now)
    engine.settle(account_of(maker), sender=outsider)
    paid = 1_000_000 * WAD - world.cash_of(trader)
    # Half a percent each eight hours, three times, on 20,000 USD.
    assert paid == 300 * WAD
    assert world.cash_of(maker) == 1_000_000 * WAD + paid
    assert engine.marketState(ETH).pnlPool == 0


def test_a_position_opened_later_pays_only_from_then_on(
    world, engine, position, trader, lender, maker, outsider
):
    world.deposit(lender, CASH, 100_000)
    world.set_spot(ETH, PRICE, mark=PRICE + 10, timestamp=position + PERIOD)
    world.next_block_at(position + PERIOD)
    world.trade(lender, maker, perpetual(), 1, PRICE)
    assert engine.marketState(ETH).fundingIndex == 10 * WAD
    world.set_spot(ETH, PRICE, mark=PRICE + 10, timestamp=position + 2 * PERIOD)
    world.next_block_at(position + 2 * PERIOD)
    engine.accrue(ETH, sender=outsider)
    world.set_spot(ETH, PRICE)
    world.next_block_at(world.now)
    engine.settle(account_of(lender), sender=outsider)
    world.next_block_at(world.now)
    engine.settle(account_of(trader), sender=outsider)
    assert world.cash_of(lender) == (100_000 - 10) * WAD
    assert world.cash_of(trader) == (1_000_000 - 200) * WAD


def test_the_risk_model_sees_funding_not_yet_stored(world, engine, position, trader, maker):
    world.next_block_at(position + PERIOD)
    world.set_spot(ETH, PRICE, mark=PRICE + 10, timestamp=position + PERIOD)
    shown = {
        owner: int(engine.portfolio(account_of(owner)).positions[0]) % 2**112
        for owner in (trader, maker)
    }
    quote = {trader: -20_000 * WAD - 100 * WAD, maker: 20_000 * WAD + 100 * WAD}
    assert shown == {owner: value % 2**112 for owner, value in quote.items()}
    assert world.position(trader, perpetual())[1] == -20_000 * WAD
    assert engine.marketState(ETH).fundingIndex == 0


@pytest.mark.parametrize(
    ("seen_at", "known"), [(0, 3_600), (-3_600, 0), (-3_601, 0), (None, 0), (10**6, 8 * 3_600)]
)
def test_funding_accrues_only_while_the_price_is_known(
    world, engine, position, outsider, seen_at, known
):
    """A price is known for an hour here; None is one that must not be relied on."""
    world.set_global(marginMaxAgeSeconds=3_600)
    world.next_block_at(position + 60)
    engine.accrue(ETH, sender=outsider)
    start = world.now
    timestamp = 0 if seen_at is None else start + seen_at
    world.set_spot(ETH, PRICE, mark=PRICE + 8, timestamp=timestamp)
    world.next_block_at(start + 8 * 3_600)
    engine.accrue(ETH, sender=outsider)
    expected = 8 * WAD * known // (8 * 3_600)
    assert engine.marketState(ETH).fundingIndex == expected
    # The rest of the time is due at the next price known: nobody can have it passed over.
    assert engine.marketState(ETH).fundingAt == start + known
    world.set_spot(ETH, PRICE, mark=PRICE + 8, timestamp=start + 9 * 3_600)
    world.next_block_at(start + 9 * 3_600)
    engine.accrue(ETH, sender=outsider)
    assert engine.marketState(ETH).fundingIndex == 9 * WAD
    assert engine.marketState(ETH).fundingAt == start + 9 * 3_600


def test_who_owes_funding_cannot_erase_it_in_a_dispute(world, engine, position, trader, maker):
    """An accrual at a disputed price passed over all time since the last one, for nothing.

    The long owes 60 a period on its ten units. Whenever a price is disputed it accrues.
    """
    for _ in range(3):
        start = world.now
        world.set_spot(ETH, PRICE, mark=PRICE + 6, timestamp=0)
        world.next_block_at(start + PERIOD)
        receipt = engine.accrue(ETH, sender=trader)
        assert not [log for log in receipt.events if log.event_name == "FundingAccrued"]
        assert engine.marketState(ETH).fundingAt == position
    world.set_spot(ETH, PRICE, mark=PRICE + 6, timestamp=position + DAY)
    world.next_block_at(world.now)
    engine.accrue(ETH, sender=maker)
    waited = min(world.now - position, DAY)
    assert engine.marketState(ETH).fundingIndex == 6 * WAD * waited // PERIOD
    assert world.now >= position + DAY


def test_nobody_answers_for_one_premium_over_more_than_a_day(world, engine, position, outsider):
    """A feed dead for a month comes back: a day is charged at its premium, and the clock is now."""
    back = position + 30 * DAY
    world.set_spot(ETH, PRICE, mark=PRICE + 8, timestamp=back)
    world.next_block_at(back)
    engine.accrue(ETH, sender=outsider)
    assert engine.marketState(ETH).fundingIndex == 3 * 8 * WAD
    assert engine.marketState(ETH).fundingAt == back
    world.set_spot(ETH, PRICE, mark=PRICE + 8, timestamp=back + PERIOD)
    world.next_block_at(back + PERIOD)
    engine.accrue(ETH, sender=outsider)
    assert engine.marketState(ETH).fundingIndex == 4 * 8 * WAD


def test_an_outage_stops_interest_and_funding(world, engine, loan, position, trader, outsider):
    """They counted block time: debts grew, and longs paid, while nobody could act."""
    world.set_interest()
    world.set_spot(ETH, PRICE, mark=PRICE + 8, timestamp=world.now + 2 * DAY)
    start = world.parameters.declareOutage(DAY, sender=world.admin).timestamp
    world.next_block_at(start)
    engine.accrue(ETH, sender=outsider)
    before, owed = engine.cashState(), world.cash_of(trader)
    index = engine.marketState(ETH).fundingIndex
    world.next_block_at(start + DAY)
    receipt = engine.accrue(ETH, sender=outsider)
    assert not [log for log in receipt.events if log.contract_address == engine.address]
    assert engine.cashState() == before and world.cash_of(trader) == owed
    assert engine.marketState(ETH).fundingIndex == engine.currentFundingIndex(ETH) == index
    # After it they go on from where they stood.
    world.next_block_at(start + DAY + PERIOD)
    engine.accrue(ETH, sender=outsider)
    assert engine.marketState(ETH).fundingIndex == index + 8 * WAD
    after = engine.cashState()
    growth = ceil_div(expected_rate(utilisation_of(before)) * PERIOD, YEAR)
    assert after.borrowIndex == before.borrowIndex + ceil_div(before.borrowIndex * growth, WAD)
    assert after.accruedAt == before.accruedAt + PERIOD == engine.marketState(ETH).fundingAt


def test_an_outage_learned_of_late_is_not_charged_twice(
    project, world, engine, loan, position, outsider
):
    """Time charged before anybody knew that it had stood still is made up for by what follows."""
    world.set_interest()
    feed = world.admin.deploy(project.MockAggregator, 0, "sequencer")
    down = world.now
    feed.setRound(1, SEQUENCER_UP, down, down, 1, sender=world.admin)
    world.parameters.setSequencerFeed(feed, 0, sender=world.admin)
    world.parameters.syncSequencer(sender=outsider)
    world.set_spot(ETH, PRICE, mark=PRICE + 8, timestamp=down + DAY)
    world.next_block_at(down + 2_000)
    engine.accrue(ETH, sender=outsider)
    cash, market = engine.cashState(), engine.marketState(ETH)
    for number, (answer, since) in enumerate(
        ((SEQUENCER_DOWN, down + 1_000), (SEQUENCER_UP, down + 1_900)), start=2
    ):
        feed.setRound(number, answer, since, since, number, sender=world.admin)
    world.parameters.syncSequencer(sender=outsider)
    world.next_block_at(down + 2_900)
    engine.accrue(ETH, sender=outsider)
    assert world.parameters.activeTime() == down + 2_000 == cash.accruedAt == market.fundingAt
    assert engine.cashState() == cash and engine.marketState(ETH) == market
    world.next_block_at(down + 3_000)
    engine.accrue(ETH, sender=outsider)
    assert engine.cashState().accruedAt == engine.marketState(ETH).fundingAt == down + 2_100
    assert engine.currentFundingIndex(ETH) in (
        market.fundingIndex + 8 * WAD * 100 // PERIOD,
        market.fundingIndex + 8 * WAD * 100 // PERIOD + 1,
    )


def test_the_first_accrual_only_starts_the_clock(world, engine, outsider):
    world.set_spot(BTC, 50_000, mark=51_000)
    assert engine.marketState(BTC).fundingAt == 0
    world.wait(YEAR)
    assert engine.currentFundingIndex(BTC) == 0
    receipt = engine.accrue(BTC, sender=outsider)
    assert engine.FundingAccrued(underlying=BTC, fundingIndex=0) in receipt.events
    assert engine.marketState(BTC).fundingAt == world.now


def test_accrual_of_an_unpriced_underlying_is_refused(world, engine, outsider):
    with world.refuses("MissingPrice", underlying=9, expiry=0):
        engine.accrue(9, sender=outsider)


def test_continuous_interest_is_the_exponential(project, actors, trader, lender, outsider):
    """Many accruals approach e^(rate·t): the figure a lender would reckon with."""
    world = World(project, actors)
    engine = world.engine
    world.set_interest(base=WAD // 10, slope1=0, slope2=0, reserveFactor=0)
    world.deposit(lender, CASH, 1_000)
    world.deposit(trader, WETH, 10)
    world.withdraw(trader, CASH, 1_000)
    start = world.now
    for step in range(1, 53):
        world.next_block_at(start + step * YEAR // 52)
        engine.accrue(ETH, sender=outsider)
    assert isclose(engine.cashState().borrowIndex / WAD, exp(0.1), rel_tol=2e-4)
