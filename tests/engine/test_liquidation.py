"""States, auctions, bids and the waterfall, with a risk model to reckon with in one's head.

Maintenance margin is a tenth of the notional, initial margin a fifth; there are no fees. The trader
is long one ETH from 2,000 on 400 of cash unless a test says otherwise.
"""

from itertools import count
from types import SimpleNamespace

import ape
import pytest
from engine.world import (
    AUCTION,
    BTC,
    CASH,
    ETH,
    ISOLATED,
    PORTFOLIO,
    PREDICTIVE,
    USDX,
    WAD,
    WETH,
    World,
    account_of,
    option,
    perpetual,
    wad,
)

HEALTHY, MARGIN_CALL, LIQUIDATABLE, INSOLVENT, IN_AUCTION, RECOVERING = range(6)
SOCIALISE, DELEVERAGE = range(2)
FAST, WHOLE = 600, 7_800
ANY_PRICE = 2**255 - 1

pytestmark = pytest.mark.usefixtures("still")


class Venue(World):
    """A world without fees and interest, whose tests speak of accounts by their owners."""

    def __init__(self, project, actors, **changes):
        super().__init__(project, actors, **changes)
        self.trader, self.maker, self.bidder, self.lender, self.other = actors[1:6]
        for underlying in (ETH, BTC):
            self.set_underlying(underlying, makerFee=0, takerFee=0)
        self.set_interest(base=0, slope1=0, slope2=0)
        self.set_rules(dustMargin=0)
        self.fund_contract = self.admin.deploy(
            *(project.InsuranceFund, self.engine, self.parameters, self.cash, 3_600, 3_600)
        )
        self.owners = (self.trader, self.maker, self.bidder, self.lender, self.other)

    def set_rules(self, **changes):
        self.rules.setAuctionParameters(tuple((AUCTION | changes).values()), sender=self.admin)

    def insure(self, amount):
        """Give the engine an insurance fund with so many dollars."""
        self.rules.setInsuranceFund(self.fund_contract, sender=self.admin)
        self.cash.mint(self.fund_contract, self.raw(CASH, amount), sender=self.admin)

    def contribute(self, amount):
        self.fund(self.lender, CASH, self.raw(CASH, amount))
        return self.engine.contribute(self.raw(CASH, amount), sender=self.lender)

    def price(self, dollars):
        self.set_spot(ETH, dollars)

    def update(self, owner):
        return self.engine.updateStatus(account_of(owner), sender=self.outsider)

    def status(self, owner):
        return self.engine.statusOf(account_of(owner))

    def start(self, owner=None, reward=None):
        accounts = account_of(owner or self.trader), account_of(reward or self.outsider)
        return self.engine.startAuction(*accounts, sender=self.outsider)

    def bid(self, fraction=WAD, max_price=ANY_PRICE, bidder=None, owner=None):
        bidder = bidder or self.bidder
        arguments = account_of(owner or self.trader), account_of(bidder), fraction, max_price
        return self.engine.bid(*arguments, sender=bidder)

    def preview(self, owner=None):
        return self.engine.auctionOf(account_of(owner or self.trader))

    def pass_time(self, seconds, price=None):
        """Wait, with prices that stay young."""
        self.wait(seconds)
        self._post_prices()
        if price is not None:
            self.price(price)

    def assessment(self, owner):
        return self.risk.assess(self.engine.portfolio(account_of(owner)))

    def require_balance(self):
        """Require conservation of cash to the last unit (L1)."""
        accounts = [account_of(owner) for owner in (*self.owners, self.outsider)]
        assert self.unaccounted_cash(accounts) == 0


@pytest.fixture(scope="module")
def venue(project, actors):
    return Venue(project, actors)


@pytest.fixture
def book(venue):
    """The trader is long one ETH against the maker; a bidder has cash."""
    venue.deposit(venue.maker, CASH, 10_000)
    venue.deposit(venue.bidder, CASH, 10_000)
    venue.deposit(venue.trader, CASH, 400)
    venue.trade(venue.trader, venue.maker, perpetual(), 1, 2_000)
    return venue


@pytest.fixture
def on_sale(book):
    """E = 150, MM = 175, IM = 350: for sale since this moment."""
    book.price(1_750)
    book.start()
    return book


@pytest.fixture
def insolvent(book):
    """E = −100, MM = 150, found so at once."""
    book.price(1_500)
    book.start()
    return book


def only(receipt, name):
    """Return the one event of a name."""
    events = [event for event in receipt.events if event.event_name == name]
    assert len(events) == 1, [event.event_name for event in receipt.events]
    return SimpleNamespace(**events[0].event_arguments)


def names(receipt):
    return [event.event_name for event in receipt.events]


# ---------------------------------------------------------------------------------------- states


@pytest.mark.parametrize(
    "price, status",
    [(2_000, HEALTHY), (1_999, MARGIN_CALL), (1_777, LIQUIDATABLE), (1_599, INSOLVENT)],
)
def test_anyone_records_the_status_that_prices_make(book, price, status):
    book.price(price)
    receipt = book.update(book.trader)
    assert book.status(book.trader) == status
    if status != HEALTHY:
        assert vars(only(receipt, "StatusChanged")) == {
            "account": account_of(book.trader),
            "before": HEALTHY,
            "afterwards": status,
        }
    assert "StatusChanged" not in names(book.update(book.trader))


def test_every_action_records_what_it_finds(book):
    book.price(1_900)
    book.deposit(book.trader, CASH, 1)  # asks nothing, so records nothing
    assert book.status(book.trader) == HEALTHY
    receipt = book.trade(book.maker, book.trader, perpetual(), 0.1, 1_900)
    assert only(receipt, "StatusChanged").afterwards == MARGIN_CALL
    book.deposit(book.trader, CASH, 1_000)
    book.withdraw(book.trader, CASH, 1)
    assert book.status(book.trader) == HEALTHY


def test_deficits_are_summed_while_they_are_known(book):
    book.set_rules(dustMargin=10 * WAD)
    book.price(1_595)
    book.update(book.trader)
    assert (book.engine.pendingLoss(), book.engine.isLossPending()) == (5 * WAD, False)
    book.price(1_500)
    book.update(book.trader)
    assert (book.engine.pendingLoss(), book.engine.isLossPending()) == (100 * WAD, True)
    book.wait(86_400)
    assert not book.engine.isLossPending()
    book.price(2_000)
    book.update(book.trader)
    assert (book.engine.pendingLoss(), book.engine.isLossPending()) == (0, False)


def test_cash_and_fees_stay_while_a_loss_is_not_covered(insolvent, operator):
    venue = insolvent
    venue.contribute(50)
    refused = {"pendingLoss": 100 * WAD}
    with venue.refuses("PendingLoss", **refused):
        venue.withdraw(venue.bidder, CASH, 1)
    with venue.refuses("PendingLoss", **refused):
        venue.engine.collectFees(operator, 1, sender=venue.admin)
    venue.insure(49)
    with venue.refuses("PendingLoss", **refused):
        venue.withdraw(venue.bidder, CASH, 1)
    venue.deposit(venue.bidder, WETH, 1)
    venue.withdraw(venue.bidder, WETH, 1)
    venue.insure(1)
    venue.withdraw(venue.bidder, CASH, 1)
    with venue.refuses("PendingLoss", **refused):
        venue.engine.collectFees(operator, 1, sender=venue.admin)
    venue.wait(86_400)
    venue.price(1_500)
    venue.engine.collectFees(operator, 1, sender=venue.admin)


# ---------------------------------------------------------------------------------------- auction


def test_an_auction_starts_below_maintenance_and_rewards_who_starts_it(book):
    trader, reward = account_of(book.trader), 35 * WAD // 10
    book.price(1_750)
    receipt = book.start()
    assert vars(only(receipt, "AuctionStarted")) == {
        "account": trader,
        "rewardAccount": account_of(book.outsider),
        "reward": reward,
        "equity": 150 * WAD,
        "maintenanceMargin": 175 * WAD,
    }
    assert book.cash_of(book.outsider) == reward
    assert book.cash_of(book.trader) == 400 * WAD - reward
    assert book.status(book.trader) == IN_AUCTION
    book.require_balance()


@pytest.mark.parametrize("price, reward", [(1_685, wad("3.37")), (1_684, 0), (1_500, 0)])
def test_there_is_no_reward_out_of_less_than_half_the_margin(book, price, reward):
    book.price(price)
    assert only(book.start(), "AuctionStarted").reward == reward


def test_unpaid_profit_rewards_nobody(book):
    """The trader has withdrawn all cash; profit may be margin, but it cannot leave."""
    book.price(2_600)
    book.withdraw(book.trader, CASH, 400)
    book.price(2_200)
    assert only(book.start(), "AuctionStarted").reward == 0
    assert book.cash_of(book.trader) == 0


def test_an_auction_is_refused_where_there_is_nothing_to_sell(book):
    trader = account_of(book.trader)
    book.price(1_778)
    equity, margin = 178 * WAD, wad("177.8")
    with book.refuses("NotLiquidatable", account=trader, equity=equity, maintenanceMargin=margin):
        book.start()
    book.price(1_750)
    with book.refuses("InvalidRewardAccount", account=trader):
        book.start(reward=book.trader)
    book.start()
    with book.refuses("AlreadyInAuction", account=trader):
        book.start()
    with book.refuses("InvalidAccount", account=1):
        book.engine.startAuction(1, trader, sender=book.outsider)
    with book.refuses("InvalidAccount", account=2):
        book.engine.startAuction(trader, 2, sender=book.outsider)


def test_the_discount_rises_fast_then_slowly(on_sale):
    started = on_sale.now
    for elapsed, discount in (
        (0, 2 * WAD // 100),
        (300, 16 * WAD // 100),
        (FAST, 3 * WAD // 10),
        (FAST + 3_600, 65 * WAD // 100),
    ):
        if elapsed:
            on_sale.wait(started + elapsed - on_sale.now)
        preview = on_sale.preview()
        assert (preview.elapsedSeconds, preview.discount) == (elapsed, discount)
        margin, equity = preview.assessment.maintenanceMargin, preview.assessment.equity
        assert preview.price == max(0, equity - -(-discount * margin // WAD))


def test_a_slice_restores_initial_margin_and_the_buffer(on_sale):
    """And no smaller one does."""
    venue, trader = on_sale, account_of(on_sale.trader)
    preview = venue.preview()
    assert 0 < preview.restoringFraction == preview.largestFraction < WAD
    receipt = venue.bid()
    sold = only(receipt, "SliceSold")
    assert sold.fraction <= preview.restoringFraction
    assert names(receipt)[-2:] == ["AuctionEnded", "StatusChanged"]
    after = venue.assessment(venue.trader)
    assert after.initialEquity * 10 >= after.initialMargin * 11
    assert after.initialEquity * 10 - after.initialMargin * 11 < WAD // 10**6
    assert venue.status(venue.trader) == HEALTHY
    size, _ = venue.position(venue.trader, perpetual())
    assert size + venue.position(venue.bidder, perpetual())[0] == WAD
    assert size == WAD - sold.fraction
    with venue.refuses("NoAuction", account=trader):
        venue.bid()
    venue.require_balance()


def test_a_smaller_slice_leaves_the_auction_on(on_sale):
    receipt = on_sale.bid(fraction=WAD // 10)
    assert only(receipt, "SliceSold").fraction == WAD // 10
    assert on_sale.position(on_sale.bidder, perpetual())[0] == WAD // 10
    assert on_sale.status(on_sale.trader) == IN_AUCTION
    assert on_sale.preview().largestFraction > 0
    on_sale.require_balance()


def test_nothing_worth_less_than_dust_is_left(on_sale):
    on_sale.set_rules(dustMargin=170 * WAD)
    assert on_sale.preview().restoringFraction == WAD
    receipt = on_sale.bid(fraction=WAD // 2)
    assert only(receipt, "SliceSold").fraction == WAD
    assert on_sale.engine.positionsOf(account_of(on_sale.trader)) == []
    on_sale.require_balance()


def test_self_liquidation_gains_nothing(on_sale):
    """What the account loses the bidder gains, to the last unit, and nobody else anything."""
    owners = (on_sale.trader, on_sale.bidder)
    before = sum(on_sale.assessment(owner).equity for owner in owners)
    on_sale.next_block_at(on_sale.now)
    on_sale.bid()
    after = sum(on_sale.assessment(owner).equity for owner in owners)
    assert 0 <= before - after <= 2  # valuation of each rounds down


def test_bids_that_name_the_wrong_account_are_refused(on_sale):
    venue = on_sale
    trader, bidder = account_of(venue.trader), account_of(venue.bidder)
    with venue.refuses("InvalidBidder", account=trader):
        venue.bid(bidder=venue.trader)
    with venue.refuses("NotAuthorised", account=bidder, caller=venue.outsider):
        venue.engine.bid(trader, bidder, WAD, 0, sender=venue.outsider)
    with venue.refuses("InvalidAccount", account=3):
        venue.engine.bid(3, bidder, WAD, 0, sender=venue.bidder)
    with venue.refuses("ZeroAmount"):
        venue.bid(fraction=0)
    with venue.refuses("NoAuction", account=account_of(venue.maker)):
        venue.bid(owner=venue.maker)


def test_a_bidder_names_the_price_it_accepts(on_sale):
    venue, fraction = on_sale, WAD // 10
    price = venue.preview().price
    venue.next_block_at(venue.now)
    payment = -(-price * fraction // WAD)
    limit = -(-(price - 10**18) * fraction // WAD)
    with venue.refuses("SlicePriceNotAcceptable", payment=payment, limit=limit):
        venue.bid(fraction, price - 10**18)
    venue.next_block_at(venue.now)
    assert only(venue.bid(fraction, price), "SliceSold").payment == payment


def test_the_bidder_must_end_healthy(on_sale):
    venue, account = on_sale, account_of(on_sale.other)
    venue.deposit(venue.other, CASH, 1)
    fraction = WAD // 10
    preview = venue.preview()
    # And what the discount leaves it.
    equity = WAD + (preview.assessment.equity - preview.price) // 10
    venue.next_block_at(venue.now)
    with venue.refuses(
        "BelowInitialMargin", account=account, initialEquity=equity, initialMargin=35 * WAD
    ):
        venue.bid(fraction, bidder=venue.other)
    venue.deposit(venue.other, CASH, 1_000)
    venue.bid(bidder=venue.other)
    assert venue.status(venue.other) == HEALTHY


@pytest.fixture
def sequencer(venue):
    """Let the sequencer go down or up, as seen by nobody yet."""
    feed = venue.admin.deploy(venue.project.MockAggregator, 0, "uptime")
    venue.parameters.setSequencerFeed(feed, 0, sender=venue.admin)
    rounds = count(1)

    def change(is_down):
        number, now = next(rounds), ape.chain.blocks.head.timestamp
        feed.setRound(number, int(is_down), now, now, number, sender=venue.admin)

    change(False)
    venue.parameters.syncSequencer(sender=venue.outsider)
    return change


def test_the_first_bid_after_an_outage_finds_the_clock_where_it_stood(book, sequencer):
    """Nobody has told the contracts of the outage yet; its time must not have been counted."""
    venue = book
    venue.price(1_750)
    venue.start()
    before = venue.preview()
    sequencer(True)
    venue.wait(7_000)
    sequencer(False)
    venue.set_spot(ETH, 1_750)
    assert venue.preview().elapsedSeconds <= before.elapsedSeconds + 20
    price = only(venue.bid(WAD // 10), "SliceSold").payment * 10
    assert price >= before.price - before.price // 100


def test_an_auction_started_first_after_an_outage_goes_on_at_once(book, sequencer):
    """A start ahead of what a sync leaves would have stopped the clock for as long."""
    venue = book
    venue.price(1_500)
    sequencer(True)
    venue.wait(40_000)
    sequencer(False)
    venue.start()
    venue.parameters.syncSequencer(sender=venue.outsider)
    venue.pass_time(600)
    assert venue.preview().elapsedSeconds >= 600


def test_a_bidder_with_cash_alone_is_judged_by_the_account_sold(on_sale):
    """Without an assessment; with less than what tells enough it is assessed like everybody."""
    venue, fraction = on_sale, WAD // 10
    preview = venue.preview()
    # Initial margin of a tenth, 35, less what the slice brings, and the slack of 2^56 + 35 / 2^20.
    least = 35 * WAD - (preview.assessment.equity - preview.price) // 10
    slack = 2**56 + 35 * WAD // 2**20
    used = {}
    for owner, more in (
        (venue.bidder, 10_000),
        (venue.other, (least + slack) / WAD + 1e-6),
        (venue.lender, (least + slack) / WAD - 1e-6),
    ):
        with ape.chain.isolate():
            if owner != venue.bidder:
                venue.deposit(owner, CASH, more)
            venue.next_block_at(venue.now)
            used[owner] = venue.bid(fraction, bidder=owner).gas_used
            assert venue.status(owner) == HEALTHY
    assert used[venue.other] + 15_000 < used[venue.lender]
    # Anything but cash, and it is no copy.
    venue.deposit(venue.lender, CASH, 1_000)
    venue.deposit(venue.lender, WETH, 1)
    venue.next_block_at(venue.now)
    assert venue.bid(fraction, bidder=venue.lender).gas_used > used[venue.other]


def test_a_copy_owes_what_its_owner_did_before_in_the_batch(on_sale):
    """What was withdrawn in the same batch is judged, copy or not."""
    venue, bidder = on_sale, account_of(on_sale.bidder)
    venue.wait(4_000)
    withdraw = "withdraw", (bidder, CASH, 1, venue.bidder)
    bid = "bid", (account_of(venue.trader), bidder, WAD // 10, ANY_PRICE)
    posted, most = venue.market.spot(ETH)[4], 1_800
    with venue.refuses("StalePrice", account=bidder, oldestTimestamp=posted, maxPriceAge=most):
        venue.batch(venue.bidder, withdraw, bid)
    venue.batch(venue.bidder, bid)


def test_an_account_in_auction_cannot_bid(on_sale):
    venue, other = on_sale, on_sale.other
    venue.deposit(other, CASH, 400)
    venue.price(2_000)
    venue.trade(other, venue.maker, perpetual(), 1, 2_000)
    venue.price(1_750)
    venue.start(other)
    venue.deposit(other, CASH, 10_000)
    with venue.refuses("InAuction", account=account_of(other)):
        venue.bid(bidder=other)


def test_opposite_positions_of_the_bidder_net_out(on_sale):
    venue = on_sale
    open_interest = venue.engine.marketState(ETH).openInterest
    sold = only(venue.bid(bidder=venue.maker), "SliceSold").fraction
    assert venue.position(venue.maker, perpetual())[0] == sold - WAD
    assert venue.engine.marketState(ETH).openInterest == open_interest - 2 * sold
    venue.require_balance()


def test_a_full_bidder_cannot_take_more_positions(on_sale):
    venue, other = on_sale, on_sale.other
    expiry = venue.list_expiry()
    venue.deposit(other, CASH, 10_000)
    venue.deposit(venue.lender, CASH, 10_000)
    venue.price(2_000)
    for strike in (2_000, 2_100, 2_200, 2_300):
        venue.trade(other, venue.lender, option(expiry, strike), 0.001, 1)
    venue.price(1_750)
    with venue.refuses("TooManyPositions", account=account_of(other), cap=4):
        venue.bid(bidder=other)


def test_an_account_from_before_the_cap_was_lowered_finds_a_bidder(book):
    book.deposit(book.trader, CASH, 100)
    book.trade(book.trader, book.maker, perpetual(BTC), 0.001, 50_000)
    book.price(1_650)
    book.start()
    book.set_global(maxPositions=1)
    book.bid()
    assert len(book.engine.positionsOf(account_of(book.bidder))) == 2
    assert book.status(book.trader) == HEALTHY


def legs(venue, buyer, instruments):
    """Return trades in which a buyer takes a little of each of some options from the maker."""
    orders = [
        (venue.order(venue.maker, each, -0.001, 1), venue.order(buyer, each, 0.001, 1))
        for each in instruments
    ]
    return [("matchOrders", venue.match_arguments(maker, taker)) for maker, taker in orders]


def test_predictive_margin_is_for_few_positions_on_few_underlyings(venue):
    """Positions, and of kinds of collateral and of underlyings all but one: no more than 32."""
    trader, bidder = account_of(venue.trader), account_of(venue.bidder)
    too_heavy = {"account": trader, "weight": 33, "limit": 32}
    venue.set_global(maxPositions=40)
    expiry = venue.list_expiry(underlying=BTC, price=50_000)
    calls = [option(expiry, 20_000 + k, underlying=BTC) for k in range(29)]
    for owner in (venue.maker, venue.trader, venue.bidder):
        venue.deposit(owner, CASH, 100_000)
    venue.batch(venue.outsider, *legs(venue, venue.trader, calls[:28]))
    venue.engine.setMarginMode(trader, PREDICTIVE, sender=venue.trader)
    venue.fund(venue.trader, WETH, WAD)
    with venue.refuses("AccountTooHeavy", **too_heavy):
        venue.engine.deposit(trader, WETH, WAD, sender=venue.trader)
    venue.trade(venue.maker, venue.trader, calls[27], 0.001, 1)
    venue.deposit(venue.trader, WETH, 1)
    venue.deposit(venue.trader, WETH, 1)
    venue.fund(venue.trader, USDX, WAD)
    with venue.refuses("AccountTooHeavy", **too_heavy):
        venue.engine.deposit(trader, USDX, WAD, sender=venue.trader)
    venue.deposit(venue.trader, CASH, 1)
    venue.trade(venue.trader, venue.maker, calls[0], 0.001, 1)
    with venue.refuses("AccountTooHeavy", **too_heavy):
        venue.trade(venue.trader, venue.maker, perpetual(ETH), 0.001, 2_000)
    venue.engine.setMarginMode(trader, PORTFOLIO, sender=venue.trader)
    venue.trade(venue.trader, venue.maker, calls[28], 0.001, 1)
    with venue.refuses("AccountTooHeavy", **too_heavy):
        venue.engine.setMarginMode(trader, PREDICTIVE, sender=venue.trader)
    # A bid brings no more, either: positions and, of the collateral alone, the other underlying.
    venue.engine.setMarginMode(bidder, PREDICTIVE, sender=venue.bidder)
    venue.withdraw(venue.trader, CASH, 99_991)
    venue.set_rate(WETH, WAD // 1_000)
    venue.set_spot(BTC, 15_000)
    venue.start()
    with venue.refuses("AccountTooHeavy", account=bidder, weight=33, limit=32):
        venue.bid()
    venue.engine.setMarginMode(bidder, PORTFOLIO, sender=venue.bidder)
    venue.bid()


# ----------------------------------------------------------------------------- the owner, recovery


def test_the_owner_in_auction_may_only_reduce_risk(on_sale):
    venue, trader = on_sale, account_of(on_sale.trader)
    with venue.refuses("InAuction", account=trader):
        venue.trade(venue.trader, venue.maker, perpetual(), 0.1, 1_750)
    venue.trade(venue.maker, venue.trader, perpetual(), 0.1, 1_750)
    venue.deposit(venue.trader, CASH, 1_000)
    with venue.refuses("InAuction", account=trader):
        venue.withdraw(venue.trader, CASH, 1)
    for mode in (PORTFOLIO, ISOLATED, PREDICTIVE):
        with venue.refuses("InAuction", account=trader):
            venue.engine.setMarginMode(trader, mode, sender=venue.trader)
    assert venue.status(venue.trader) == IN_AUCTION
    venue.fund(venue.trader, CASH, 10**6)
    receipt = venue.batch(
        venue.trader,
        ("deposit", (trader, CASH, 10**6)),
        ("updateStatus", (trader,)),
        ("withdraw", (trader, CASH, 10**6, venue.trader.address)),
    )
    assert {"AuctionEnded", "StatusChanged", "Withdrawn"} <= set(names(receipt))
    assert venue.status(venue.trader) == HEALTHY


def test_a_recovering_account_is_not_for_sale_and_its_clock_stands(on_sale):
    venue, trader = on_sale, account_of(on_sale.trader)
    venue.pass_time(300, price=1_900)
    venue.update(venue.trader)
    elapsed = venue.preview().elapsedSeconds
    assert venue.status(venue.trader) == RECOVERING
    with venue.refuses(
        "NotLiquidatable", account=trader, equity=wad("296.5"), maintenanceMargin=190 * WAD
    ):
        venue.bid()
    venue.pass_time(1_000, price=1_750)
    assert venue.preview().elapsedSeconds == elapsed
    venue.update(venue.trader)
    assert venue.status(venue.trader) == IN_AUCTION
    assert venue.preview().elapsedSeconds == elapsed
    venue.price(2_100)
    assert names(venue.update(venue.trader)) == ["AuctionEnded", "StatusChanged"]
    with venue.refuses("NoAuction", account=trader):
        venue.bid()


def test_an_auction_ends_above_maintenance_once_it_has_run_its_length(on_sale):
    venue = on_sale
    venue.pass_time(WHOLE - 100, price=1_900)
    venue.update(venue.trader)
    assert venue.status(venue.trader) == RECOVERING
    venue.pass_time(200, price=1_900)
    venue.update(venue.trader)
    assert venue.status(venue.trader) == MARGIN_CALL


def test_a_forgotten_auction_lapses_and_may_start_again(on_sale):
    venue, trader = on_sale, account_of(on_sale.trader)
    venue.pass_time(WHOLE, price=1_750)
    with venue.refuses("NoAuction", account=trader):
        venue.bid()
    venue.start()
    assert venue.preview().elapsedSeconds == 0
    venue.bid()
    venue.require_balance()


def test_clocks_stop_in_a_declared_outage(on_sale):
    venue = on_sale
    venue.pass_time(100, price=1_750)
    elapsed = venue.preview().elapsedSeconds
    venue.parameters.declareOutage(86_400, sender=venue.admin)
    venue.pass_time(1_000, price=1_750)
    assert 0 <= venue.preview().elapsedSeconds - elapsed <= 5
    venue.parameters.endOutage(sender=venue.admin)


def test_odd_lots_of_a_slice_can_be_closed(on_sale):
    venue = on_sale
    lot = WAD // 1_000
    sold = only(venue.bid(fraction=123_456_789), "SliceSold").fraction
    left = WAD - sold
    assert left % lot and sold % lot
    venue.deposit(venue.trader, CASH, 1_000)
    venue.update(venue.trader)
    maker = venue.order(venue.maker, perpetual(), 2, 1_750)
    taker = venue.order(venue.trader, perpetual(), -2, 1_750)
    odd = lot + 1
    with venue.refuses("InvalidSize", size=odd, lotSize=lot):
        venue.engine.matchOrders(
            *(maker.struct(), venue.sign(maker), taker.struct(), venue.sign(taker), odd),
            sender=venue.outsider,
        )
    venue.engine.matchOrders(
        *(maker.struct(), venue.sign(maker), taker.struct(), venue.sign(taker), left),
        sender=venue.outsider,
    )
    assert venue.position(venue.trader, perpetual())[0] == 0


# ---------------------------------------------------------------------------------------- windows


def test_windows_bound_forced_volume_but_not_solvency(on_sale):
    venue = on_sale
    venue.rules.setWindow(ETH, (wad("0.1"), 3_600), sender=venue.admin)
    assert venue.preview().largestFraction == wad("0.1")
    assert only(venue.bid(), "SliceSold").fraction == wad("0.1")
    level, capacity = venue.engine.windowOf(ETH)
    assert (level, capacity) == (wad("0.1"), wad("0.1"))
    venue.next_block_at(venue.now)
    with venue.refuses("WindowExhausted", underlying=ETH, level=wad("0.1"), capacity=wad("0.1")):
        venue.bid()
    venue.pass_time(1_800, price=1_750)
    assert abs(venue.engine.windowOf(ETH)[0] - wad("0.05")) < wad("0.001")
    venue.bid()
    # Below half of maintenance margin the window binds no more, and is not overfilled.
    venue.price(1_660)
    venue.bid()
    assert venue.engine.windowOf(ETH)[0] == wad("0.1")
    venue.require_balance()


# ------------------------------------------------------------------------- prices of all kinds


@pytest.mark.parametrize("age", [86_401, None])
def test_prices_that_nobody_vouches_for_buy_no_more_than_the_opening_discount(on_sale, age):
    venue = on_sale
    venue.wait(FAST)
    stamp = 0 if age is None else venue.now - age
    venue.set_spot(ETH, 1_750, timestamp=stamp)
    assert venue.preview().discount == 2 * WAD // 100
    venue.set_rate(WETH, WAD, timestamp=0)
    venue.bid()
    assert venue.status(venue.trader) == HEALTHY
    venue.require_balance()


@pytest.mark.parametrize("index", [1, 10**6])
def test_at_a_price_of_next_to_nothing_all_goes_on(book, index):
    venue = book
    venue.insure(10_000)
    venue.market.setSpot(ETH, (index, 0, index, index, venue.now), sender=venue.admin)
    venue.update(venue.trader)
    venue.start()
    venue.wait(FAST)
    assert only(venue.bid(), "SliceSold").fraction == WAD
    assert venue.engine.positionsOf(account_of(venue.trader)) == []
    assert venue.status(venue.trader) == HEALTHY
    venue.require_balance()


def test_collateral_that_is_shut_is_sold_all_the_same(venue):
    venue.deposit(venue.maker, CASH, 10_000)
    venue.deposit(venue.bidder, CASH, 10_000)
    venue.deposit(venue.trader, USDX, 300)
    venue.deposit(venue.trader, WETH, 0.05)
    venue.trade(venue.trader, venue.maker, perpetual(), 1, 2_000)
    venue.set_collateral(WETH, enabled=False, cap_raw=0)
    venue.set_collateral(USDX, enabled=False, cap_raw=0)
    venue.price(1_750)
    venue.start()
    trader, bidder = account_of(venue.trader), account_of(venue.bidder)
    sold = only(venue.bid(), "SliceSold").fraction
    for asset, amount in ((USDX, wad(300)), (WETH, wad("0.05"))):
        part = amount * sold // WAD
        assert venue.engine.collateralOf(bidder, asset) == part
        assert venue.engine.collateralOf(trader, asset) == amount - part
        assert venue.engine.totalCollateralRaw(asset) == amount
    venue.require_balance()


# -------------------------------------------------------------------------------------- waterfall


def test_an_insolvent_account_pays_its_bidder_more_and_more(insolvent):
    venue = insolvent
    venue.insure(10_000)
    compensation = 100 * WAD + 75 * WAD
    assert venue.preview().price == -(2 * compensation // 100)
    assert (venue.preview().largestFraction, venue.status(venue.trader)) == (WAD, INSOLVENT)
    venue.pass_time(WHOLE, price=1_500)
    assert venue.preview().price == -compensation
    sold = only(venue.bid(), "SliceSold")
    assert (sold.payment, sold.fromFund) == (-compensation, compensation)
    assert venue.assessment(venue.bidder).equity == wad(10_000) - 100 * WAD + compensation
    assert venue.engine.pendingLoss() == 0
    venue.require_balance()


def test_insolvency_starts_the_clock_anew_once(on_sale):
    venue = on_sale
    venue.pass_time(FAST, price=1_500)
    assert venue.preview().elapsedSeconds == 0
    venue.update(venue.trader)
    venue.pass_time(100, price=1_750)
    venue.update(venue.trader)
    venue.price(1_500)
    venue.update(venue.trader)
    assert venue.preview().elapsedSeconds >= 100


def test_each_source_pays_as_far_as_it_goes(insolvent):
    """Fees, then fund, then the owners of cash in proportion: to the last unit."""
    venue = insolvent
    venue.set_rules(dustMargin=0, lastStep=SOCIALISE, insolvencyBonus=0)
    venue.contribute(20)
    venue.insure(30)
    venue.deposit(venue.lender, CASH, 10_000)
    venue.pass_time(WHOLE, price=1_500)
    receipt = venue.bid()
    sold = only(receipt, "SliceSold")
    # The cash of the account is above zero: nothing that was lent is missing.
    assert (sold.fromFees, sold.fromFund, sold.socialised) == (20 * WAD, 30 * WAD, 0)
    assert sold.payment == -50 * WAD
    assert venue.cash.balanceOf(venue.fund_contract) == 0
    venue.require_balance()


def borrow_until_insolvent(venue):
    """The lender's cash is lent against collateral that falls by half."""
    venue.deposit(venue.lender, CASH, 10_000)
    venue.deposit(venue.bidder, CASH, 10_000)
    venue.deposit(venue.trader, WETH, 1)
    venue.withdraw(venue.trader, CASH, 1_800)
    venue.price(1_000)
    venue.start()


def test_missing_cash_is_taken_from_all_owners_of_cash_alike(venue):
    venue.set_rules(dustMargin=0, insolvencyBonus=0)
    borrow_until_insolvent(venue)
    venue.pass_time(WHOLE, price=1_000)
    receipt = venue.bid()
    sold = only(receipt, "SliceSold")
    assert sold.socialised == 800 * WAD == -sold.payment
    assert only(receipt, "LossSocialised").amount == 800 * WAD
    lost = [10_000 * WAD - venue.cash_of(venue.lender)]
    # The bidder bears its part, takes over debt and is paid.
    lost.append(10_000 * WAD - (venue.cash_of(venue.bidder) + 1_800 * WAD - 800 * WAD))
    assert abs(lost[0] - lost[1]) <= 1 and abs(sum(lost) - 800 * WAD) <= 10
    assert venue.engine.collateralOf(account_of(venue.bidder), WETH) == WAD
    for owner in venue.owners:
        venue.engine.settle(account_of(owner), sender=venue.outsider)
    venue.require_balance()


def test_no_more_than_a_share_of_all_cash_is_taken_in_a_week(venue):
    venue.set_rules(dustMargin=0, insolvencyBonus=0, maxSocialisedShare=WAD // 100)
    borrow_until_insolvent(venue)
    venue.pass_time(WHOLE, price=1_000)
    base = 20_000 * WAD
    assert only(venue.bid(WAD // 2), "SliceSold").socialised == base // 100
    venue.next_block_at(venue.now)
    assert only(venue.bid(WAD // 2), "SliceSold").socialised < base // 10**6
    venue.require_balance()


def test_a_fund_that_fails_or_lies_counts_with_what_arrives(project, insolvent):
    venue = insolvent
    venue.contribute(20)
    for liar in (venue.outsider.address, venue.market.address, venue.exchange.address):
        venue.rules.setInsuranceFund(liar, sender=venue.admin)
        sold = only(venue.bid(WAD // 10), "SliceSold")
        assert sold.fromFund == 0
    venue.require_balance()


def test_a_fund_that_burns_its_gas_leaves_enough_to_bid(insolvent, chain):
    insolvent.contribute(20)
    burner = "0x" + "fe" * 20
    chain.provider.set_code(burner, "0xfe")
    insolvent.rules.setInsuranceFund(burner, sender=insolvent.admin)
    bidder, seller = map(account_of, (insolvent.bidder, insolvent.trader))
    receipt = insolvent.engine.bid(
        *(seller, bidder, WAD // 10, ANY_PRICE), sender=insolvent.bidder, gas_limit=8_000_000
    )
    assert only(receipt, "SliceSold").fromFund == 0
    assert receipt.gas_used < 1_500_000
    insolvent.require_balance()


def test_a_hook_of_the_funds_transfer_finds_the_engine_shut(project, actors):
    venue = Venue(project, actors, cash_token=project.HookToken)
    venue.deposit(venue.maker, CASH, 10_000)
    venue.deposit(venue.bidder, CASH, 10_000)
    venue.deposit(venue.trader, CASH, 400)
    venue.trade(venue.trader, venue.maker, perpetual(), 1, 2_000)
    venue.insure(1_000)
    venue.price(1_500)
    venue.start()
    call = venue.engine.updateStatus.encode_input(account_of(venue.trader))
    venue.cash.setHook(venue.engine, call, sender=venue.admin)
    assert only(venue.bid(WAD // 10), "SliceSold").fromFund == 0
    venue.cash.setHook("0x" + "00" * 20, b"", sender=venue.admin)
    assert only(venue.bid(WAD // 10), "SliceSold").fromFund > 0
    venue.require_balance()


@pytest.mark.parametrize("decimals", [0, 24])
def test_tokens_of_any_decimals_pay_to_the_last_unit(project, actors, decimals):
    venue = Venue(project, actors, cash_decimals=decimals, weth_decimals=decimals)
    venue.deposit(venue.maker, CASH, 10_000)
    venue.deposit(venue.bidder, CASH, 10_000)
    venue.deposit(venue.trader, CASH, 400)
    venue.trade(venue.trader, venue.maker, perpetual(), 1, 2_000)
    venue.deposit(venue.trader, WETH, 1)
    venue.withdraw(venue.trader, WETH, 1)
    venue.insure(1_000)
    venue.price(1_500)
    venue.start()
    venue.wait(777)
    price = venue.preview().price
    sold = only(venue.bid(WAD // 3), "SliceSold")
    assert sold.payment == -sold.fromFund < 0
    assert -sold.payment >= -price * (WAD // 3) // WAD
    held = venue.engine.cashState().cashHeld
    unit = 10 ** max(0, 18 - decimals)
    assert held % unit == 0
    assert venue.cash.balanceOf(venue.engine) * 10**18 // 10**decimals == held
    venue.require_balance()


# ---------------------------------------------------------------------------------------- batches


def test_what_has_yet_to_be_admitted_is_not_judged(venue):
    """Else a batch could withdraw everything, and be sold at a deficit that nobody admits."""
    venue.deposit(venue.lender, CASH, 10_000)
    venue.deposit(venue.bidder, CASH, 100)
    mine, twin = account_of(venue.bidder), account_of(venue.bidder, 1)
    withdrawal = ("withdraw", (mine, CASH, 10**9, venue.bidder.address))
    for follows in (
        ("startAuction", (mine, twin)),
        ("updateStatus", (mine,)),
        ("bid", (mine, twin, WAD, 0)),
        ("deleverage", (mine, perpetual(), [])),
    ):
        with venue.refuses("AdmissionPending", account=mine):
            venue.batch(venue.bidder, withdrawal, follows)


def test_an_auction_and_its_bid_fit_in_one_batch(book):
    book.price(1_750)
    trader, bidder = account_of(book.trader), account_of(book.bidder)
    receipt = book.batch(
        book.bidder,
        ("startAuction", (trader, bidder)),
        ("bid", (trader, bidder, WAD, ANY_PRICE)),
    )
    assert {"AuctionStarted", "SliceSold", "AuctionEnded"} <= set(names(receipt))
    book.require_balance()


@pytest.mark.parametrize("sold", [99 * WAD // 100, WAD])
def test_what_others_paid_cannot_be_traded_away_in_the_same_batch(insolvent, sold):
    """Else the account, as deep in debt as before the bid, would be paid for again and again."""
    venue, trader, other = insolvent, account_of(insolvent.trader), insolvent.other
    venue.insure(10_000)
    venue.deposit(other, CASH, 10_000)
    venue.pass_time(WHOLE, price=1_500)
    sale = ("bid", (trader, account_of(venue.bidder), sold, ANY_PRICE))
    # 99 dollars worse than the mark.
    orders = (venue.order(other, perpetual(), -0.01, 11_400),)
    orders += (venue.order(venue.trader, perpetual(), 0.01, 11_400),)
    trade = ("matchOrders", venue.match_arguments(*orders))
    if sold == WAD:
        error = "BelowInitialMargin"
        arguments = {"initialEquity": -99 * WAD, "initialMargin": 3 * WAD}
    else:
        error, arguments = "InAuction", {}
    with venue.refuses(error, account=trader, **arguments):
        venue.batch(venue.bidder, sale, trade)
    venue.batch(venue.bidder, sale)


def test_an_auction_cannot_be_ended_with_money_that_is_traded_away_at_once(insolvent):
    """Else its clock would begin anew as often as the owner likes."""
    venue, trader = insolvent, account_of(insolvent.trader)
    thousand_raw = venue.raw(CASH, 1_000)
    venue.fund(venue.trader, CASH, thousand_raw)
    top_up = ("deposit", (trader, CASH, thousand_raw)), ("updateStatus", (trader,))
    # 999 dollars worse than the mark.
    orders = (venue.order(venue.maker, perpetual(), 0.9, 390),)
    orders += (venue.order(venue.trader, perpetual(), -0.9, 390),)
    trade = ("matchOrders", venue.match_arguments(*orders))
    arguments = {"initialEquity": -99 * WAD, "initialMargin": 30 * WAD}
    with venue.refuses("BelowInitialMargin", account=trader, **arguments):
        venue.batch(venue.trader, *top_up, trade)
    venue.batch(venue.trader, *top_up)
    assert venue.status(venue.trader) == HEALTHY


def test_a_haircut_cannot_be_traded_away_in_the_same_batch(due):
    venue, trader, other = due, account_of(due.trader), due.other
    venue.deposit(other, CASH, 10_000)
    closing = ("deleverage", (trader, perpetual(), [account_of(venue.maker)]))
    # 20 dollars worse than the mark, out of a haircut of 25.
    orders = (venue.order(other, perpetual(), -0.01, 3_500),)
    orders += (venue.order(venue.trader, perpetual(), 0.01, 3_500),)
    trade = ("matchOrders", venue.match_arguments(*orders))
    with venue.refuses("InAuction", account=trader):
        venue.batch(venue.outsider, closing, trade)
    venue.batch(venue.outsider, closing)


# ----------------------------------------------------------------------------------- deleveraging


@pytest.fixture
def due(book):
    """E = −100 for a whole auction; the maker has 500 of profit that was never paid in."""
    book.price(1_500)
    book.start()
    book.pass_time(WHOLE, price=1_500)
    return book


def close(venue, *owners, instrument=None):
    counterparties = sorted(account_of(owner) for owner in owners)
    instrument = perpetual() if instrument is None else instrument
    return venue.engine.deleverage(
        account_of(venue.trader), instrument, counterparties, sender=venue.outsider
    )


def test_deleveraging_takes_unpaid_profit_in_proportion(due):
    venue = due
    venue.set_rules(dustMargin=0, maxDeleverageShare=WAD)
    before = venue.assessment(venue.maker).equity
    receipt = close(venue, venue.maker)
    assert vars(only(receipt, "Deleveraged")) == {
        "account": account_of(venue.trader),
        "counterparty": account_of(venue.maker),
        "instrument": perpetual(),
        "size": -WAD,
        "price": 1_500 * WAD,
        "haircut": 100 * WAD,
    }
    assert venue.assessment(venue.trader).equity == 0
    assert venue.assessment(venue.maker).equity == before - 100 * WAD
    assert venue.position(venue.trader, perpetual()) == (0, -400 * WAD)
    assert venue.engine.marketState(ETH).openInterest == 0
    venue.update(venue.trader)
    assert venue.engine.pendingLoss() == 0
    venue.require_balance()


def test_at_most_a_share_of_the_listed_is_closed(due):
    receipt = close(due, due.maker)
    closed = only(receipt, "Deleveraged")
    assert (closed.size, closed.haircut) == (-WAD // 4, 25 * WAD)
    assert due.position(due.trader, perpetual())[0] == 3 * WAD // 4


def test_who_is_hedged_is_passed_over(book):
    """What the other gains in ETH it has lost in BTC: to close it would leave it worse."""
    venue, other = book, book.other
    venue.deposit(other, CASH, 351)
    venue.trade(venue.maker, other, perpetual(), 0.5, 2_000)
    venue.trade(venue.bidder, other, perpetual(BTC), 0.015, 50_000)
    venue.price(1_500)
    venue.start()
    venue.pass_time(WHOLE, price=1_500)
    venue.set_spot(BTC, 84_000)
    venue.set_rules(dustMargin=0, maxDeleverageShare=WAD)
    assert venue.assessment(other).equity == 91 * WAD
    closed = only(close(venue, venue.maker, other), "Deleveraged")
    assert closed.counterparty == account_of(venue.maker)
    assert (closed.size, closed.haircut) == (-WAD // 2, 50 * WAD)
    assert venue.position(other, perpetual()) == (-WAD // 2, 1_000 * WAD)
    assert venue.position(venue.trader, perpetual())[0] == WAD // 2
    venue.require_balance()


def short_a_call(venue, cash):
    """The trader is short a call against the maker and long a fifth of a bitcoin."""
    call = option(venue.list_expiry(), 2_000)
    venue.deposit(venue.maker, CASH, 10_000)
    venue.deposit(venue.bidder, CASH, 10_000)
    venue.deposit(venue.trader, CASH, cash)
    venue.trade(venue.maker, venue.trader, call, 1, 0)
    venue.trade(venue.trader, venue.bidder, perpetual(BTC), 0.2, 50_000)
    venue.set_rules(dustMargin=0, maxDeleverageShare=WAD)
    return call


def sell_for_a_whole_auction(venue, eth, btc):
    venue.price(eth)
    venue.set_spot(BTC, btc)
    venue.start()
    venue.pass_time(WHOLE, price=eth)
    venue.set_spot(BTC, btc)


def test_a_premium_is_paid_as_far_as_the_account_has_cash(venue):
    """By notional the call bears 375 of the deficit; the account can pay 3,000 of its 4,000."""
    call = short_a_call(venue, cash=3_000)
    sell_for_a_whole_auction(venue, 6_000, 50_000)
    before = venue.cash_of(venue.maker)
    assert only(close(venue, venue.maker, instrument=call), "Deleveraged").haircut == 1_000 * WAD
    assert venue.cash_of(venue.maker) - before == 3_000 * WAD
    assert venue.cash_of(venue.trader) == 0 == venue.assessment(venue.trader).equity
    venue.require_balance()


def test_no_premium_is_paid_with_what_others_lent(venue):
    """The account's bitcoin profit was never paid in: its deficit is less than it cannot pay."""
    call = short_a_call(venue, cash=3_000)
    sell_for_a_whole_auction(venue, 8_500, 60_000)
    assert venue.assessment(venue.trader).equity == -1_500 * WAD
    assert "Deleveraged" not in names(close(venue, venue.maker, instrument=call))
    assert venue.position(venue.maker, call)[0] == WAD
    assert venue.cash_of(venue.trader) == 3_000 * WAD
    venue.require_balance()


def test_no_counterparty_pays_a_premium_with_what_others_lent(venue):
    """The maker owes 1,000 for its call, has 500 of cash, and 1,000 of unpaid profit."""
    call = option(venue.list_expiry(), 2_000)
    venue.deposit(venue.bidder, CASH, 10_000)
    venue.deposit(venue.maker, CASH, 1_000)
    venue.deposit(venue.trader, CASH, 2_500)
    venue.trade(venue.trader, venue.maker, call, 1, 0)
    venue.trade(venue.maker, venue.trader, perpetual(BTC), 0.05, 50_000)
    venue.trade(venue.bidder, venue.trader, perpetual(BTC), 0.15, 50_000)
    venue.set_spot(BTC, 60_000)
    venue.withdraw(venue.maker, CASH, 500)
    venue.set_rules(dustMargin=0, maxDeleverageShare=WAD)
    sell_for_a_whole_auction(venue, 3_000, 70_000)
    assert venue.assessment(venue.maker).equity == 500 * WAD
    assert "Deleveraged" not in names(close(venue, venue.maker, instrument=call))
    assert venue.position(venue.maker, call)[0] == -WAD
    assert venue.cash_of(venue.maker) == 500 * WAD
    venue.deposit(venue.maker, CASH, 500)
    close(venue, venue.maker, instrument=call)
    assert (venue.position(venue.maker, call)[0], venue.cash_of(venue.maker)) == (0, 0)
    venue.require_balance()


def test_deleveraging_is_refused_before_its_time(book):
    venue, trader = book, account_of(book.trader)
    with venue.refuses("DeleveragingNotDue", account=trader):
        close(venue, venue.maker)
    venue.price(1_500)
    venue.start()
    with venue.refuses("DeleveragingNotDue", account=trader):
        close(venue, venue.maker)
    venue.pass_time(WHOLE, price=1_500)
    venue.insure(175)
    with venue.refuses("DeleveragingNotDue", account=trader):
        close(venue, venue.maker)
    venue.rules.setInsuranceFund("0x" + "00" * 20, sender=venue.admin)
    venue.set_rules(dustMargin=0, lastStep=SOCIALISE)
    with venue.refuses("DeleveragingNotDue", account=trader):
        close(venue, venue.maker)
    venue.set_rules(dustMargin=0)
    venue.price(1_750)
    with venue.refuses("DeleveragingNotDue", account=trader):
        close(venue, venue.maker)


def test_lists_that_are_wrong_are_refused(due):
    venue, trader = due, account_of(due.trader)
    maker, bidder = account_of(venue.maker), account_of(venue.bidder)
    engine, outsider = venue.engine, venue.outsider
    for counterparties, error, account in (
        ([bidder], "NotOpposite", bidder),
        ([maker, maker], "NotAscending", maker),
        ([trader], "NotAscending", trader),
    ):
        with venue.refuses(error, account=account):
            engine.deleverage(trader, perpetual(), counterparties, sender=outsider)
    for instrument in (perpetual(BTC), perpetual() | 1):
        with venue.refuses("NothingToDeleverage", account=trader, instrument=instrument):
            engine.deleverage(trader, instrument, [maker], sender=outsider)
    with venue.refuses("NothingToDeleverage", account=trader, instrument=perpetual()):
        engine.deleverage(trader, perpetual(), [], sender=outsider)
