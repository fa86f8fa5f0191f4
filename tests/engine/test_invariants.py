"""Random sequences of actions: the invariants hold, and the events tell the whole story."""

from collections import defaultdict
from decimal import Decimal

import ape
import numpy as np
import pytest
from ape.exceptions import ContractLogicError, TransactionError
from engine.world import (
    BTC,
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

PRICES = {ETH: 2_000, BTC: 50_000}
ACTIONS = 60
HOUR = 3_600


def to_zero(size, price):
    product = size * price
    return product // WAD if product >= 0 else -(-product // WAD)


class Ledger:
    """Balances rebuilt from events alone."""

    def __init__(self):
        self.cash = defaultdict(int)
        self.balances = defaultdict(int)
        self.sizes = defaultdict(int)
        self.quotes = defaultdict(int)
        self.funding = defaultdict(int)
        self.pools = defaultdict(int)
        self.fees = self.interest_pool = self.cash_held = 0

    def replay(self, events):
        for event in events:
            handler = getattr(self, f"on_{event.event_name}", None)
            if handler is not None:
                handler(event)

    def on_Deposited(self, event):  # noqa: N802, the event's own name
        if event.asset == CASH:
            self.cash[event.account] += event.cashChange
            self.cash_held += event.cashChange
        else:
            self.balances[event.account, event.asset] += event.amountRaw

    def on_Withdrawn(self, event):  # noqa: N802
        if event.asset == CASH:
            self.cash[event.account] -= event.cashChange
            self.cash_held -= event.cashChange
        else:
            self.balances[event.account, event.asset] -= event.amountRaw

    def on_InterestBooked(self, event):  # noqa: N802
        self.cash[event.account] += event.amount
        self.interest_pool -= event.amount

    def on_FundingAccrued(self, event):  # noqa: N802
        self.funding[event.underlying] = event.fundingIndex

    def on_Traded(self, event):  # noqa: N802
        key = event.account, event.instrument
        self.cash[event.account] += event.cashChange - event.fee
        self.fees += event.fee
        self.sizes[key] += event.size
        assert self.sizes[key] == event.sizeAfter
        if not event.instrument >> 80 & 1:
            is_perpetual = event.instrument % 2**120 == 0
            funding = self.funding[event.instrument >> 120] if is_perpetual else 0
            self.quotes[key] -= to_zero(event.size, event.price - funding)

    def on_PositionExpired(self, event):  # noqa: N802
        key = event.account, event.instrument
        assert self.sizes.pop(key) == event.size
        self.quotes.pop(key, None)
        self.quotes[event.account, perpetual(event.instrument >> 120)] += event.payoff

    def on_PnlSettled(self, event):  # noqa: N802
        self.cash[event.account] += event.cashChange
        self.quotes[event.account, event.instrument] -= event.cashChange
        self.pools[event.instrument >> 120] -= event.cashChange
        assert self.pools[event.instrument >> 120] == event.pool


class Walk:
    """A random walk through the entry points; what is refused must change nothing."""

    def __init__(self, world, owners, seed):
        self.world, self.owners = world, owners
        self.random = np.random.default_rng(seed)
        self.accounts = [account_of(owner) for owner in owners]
        self.ledger = Ledger()
        self.expiries = [world.list_expiry(days=1), world.list_expiry(days=3)]
        self.prices = dict(PRICES)
        self.done = defaultdict(int)

    def pick(self, items):
        return items[self.random.integers(len(items))]

    def step(self):
        weights = {
            "trade": 10,
            "settle": 4,
            "deposit": 2,
            "withdraw": 3,
            "move_prices": 4,
            "batch": 2,
            "change_mode": 1,
        }
        names = list(weights)
        odds = np.array(list(weights.values())) / sum(weights.values())
        name = names[self.random.choice(len(names), p=odds)]
        before = self.world.storage_roots()[:2]  # not the tokens: some are minted on the way
        try:
            receipt = getattr(self, name)()
        except (ContractLogicError, TransactionError):
            assert self.world.storage_roots()[:2] == before
            self.done["refused"] += 1
            return
        if receipt is not None:
            self.ledger.replay(receipt.events)
        self.done[name] += 1

    def deposit(self):
        owner, asset = self.pick(self.owners), self.pick([CASH, WETH, USDX])
        amount = self.random.integers(1, 10**6) / 100
        return self.world.deposit(owner, asset, amount if asset != WETH else amount / 2_000)

    def withdraw(self):
        owner, asset = self.pick(self.owners), self.pick([CASH, CASH, WETH, USDX])
        amount = self.random.integers(1, 2 * 10**6) / 100
        return self.world.withdraw(owner, asset, amount if asset != WETH else amount / 2_000)

    def orders(self):
        buyer, seller = self.random.permutation(len(self.owners))[:2]
        underlying = self.pick([ETH, ETH, BTC])
        expiry, index = self.pick(self.expiries), self.prices[underlying]
        instrument = self.pick(
            [
                perpetual(underlying),
                perpetual(underlying),
                future(expiry),
                option(expiry, 2_000, is_put=bool(self.random.integers(2))),
            ]
        )
        underlying = instrument >> 120
        index = self.prices[underlying]
        is_option = instrument >> 80 & 1
        price = index * (0.05 if is_option else 1) * (1 + self.random.normal() * 0.01)
        size = self.random.integers(1, 5_000) / 1_000 * 2_000 / PRICES[underlying]
        size = max(1, int(size * 1_000)) / 1_000
        return (
            self.world.order(self.owners[seller], instrument, -size, round(price, 4)),
            self.world.order(self.owners[buyer], instrument, size, round(price, 4)),
        )

    def trade(self):
        return self.world.match(*self.orders())

    def settle(self):
        account = self.pick(self.accounts)
        return self.world.engine.settle(account, sender=self.world.outsider)

    def batch(self):
        owner = self.pick(self.owners)
        amount = int(self.random.integers(1, 10**9))
        self.world.fund(owner, CASH, amount)
        return self.world.batch(
            owner,
            ("settle", (account_of(owner),)),
            ("matchOrders", self.world.match_arguments(*self.orders())),
            ("deposit", (account_of(owner), CASH, amount)),
            ("withdraw", (account_of(owner), CASH, amount // 2, owner.address)),
        )

    def change_mode(self):
        owner, mode = self.pick(self.owners), int(self.random.integers(2))
        return self.world.engine.setMarginMode(account_of(owner), mode, sender=owner)

    def move_prices(self):
        world = self.world
        world.wait(int(self.random.integers(1, 12 * HOUR)))
        for underlying in PRICES:
            self.prices[underlying] = round(
                self.prices[underlying] * float(np.exp(self.random.normal() * 0.05)), 2
            )
            index = self.prices[underlying]
            world.set_spot(underlying, index, mark=round(index * 1.001, 2))
        for expiry in self.expiries:
            world.set_forward(expiry, round(self.prices[ETH] * 1.002, 2))
            if world.now >= expiry and not world.market.settlementPrice(ETH, expiry):
                world.set_settlement(expiry, self.prices[ETH])
        world.set_rate(WETH, WAD)
        world.set_rate(USDX, WAD)

    # ------------------------------------------------------------------------------ checks

    def check(self):
        """Check the invariants of the specification, section 15, by their ids."""
        world, engine = self.world, self.world.engine
        state = engine.cashState()
        assert world.unaccounted_cash(self.accounts) == 0, "I1"
        assert world.cash.balanceOf(engine) * 10**12 >= state.cashHeld, "I1"
        for asset in (WETH, USDX):
            total = sum(engine.collateralOf(account, asset) for account in self.accounts)
            held = world.token(asset).balanceOf(engine)
            assert total == engine.totalCollateralRaw(asset) <= held, "I2"
        self.check_positions()
        self.check_replay(state)

    def check_positions(self):
        engine = self.world.engine
        gross, net = defaultdict(int), defaultdict(int)
        for account in self.accounts:
            slots = list(engine.positionsOf(account))
            heads = [slot >> 128 if slot >> 208 & 1 else slot >> 208 for slot in slots]
            assert len(set(heads)) == len(heads), "I6: an instrument twice"
            for slot in slots:
                is_option = slot >> 208 & 1
                instrument = (slot >> 128) if is_option else slot >> 208 << 80
                size, quote = engine.positionOf(account, instrument)
                assert size or quote, "I6: an empty slot"
                gross[slot >> 248] += abs(size)
                net[instrument] += size
        for underlying in PRICES:
            assert gross[underlying] == engine.marketState(underlying).openInterest, "I4"
        now = self.world.now
        for instrument, size in net.items():
            expiry = instrument >> 88 & 0xFFFFFFFF
            assert size == 0 or 0 < expiry <= now, "I3"

    def check_replay(self, state):
        engine, ledger = self.world.engine, self.ledger
        for account in self.accounts:
            assert ledger.cash[account] == self.world.stored_cash(account)
            for asset in (WETH, USDX):
                assert ledger.balances[account, asset] == engine.collateralOf(account, asset)
        for (account, instrument), size in ledger.sizes.items():
            quote = ledger.quotes[account, instrument]
            assert (size, quote) == tuple(engine.positionOf(account, instrument))
        for underlying in PRICES:
            assert ledger.pools[underlying] == engine.marketState(underlying).pnlPool
        assert (ledger.fees, ledger.interest_pool, ledger.cash_held) == (
            state.fees,
            state.interestPool,
            state.cashHeld,
        )


@pytest.mark.parametrize("seed", [1, 2])
def test_invariants_hold_and_events_rebuild_every_balance(project, actors, seed):
    world = World(project, actors)
    world.set_global(maxPositions=6)
    walk = Walk(world, actors[1:5], seed)
    for owner in walk.owners:
        walk.ledger.replay(world.deposit(owner, CASH, 20_000).events)
        walk.ledger.replay(world.deposit(owner, WETH, 5).events)
    for count in range(1, ACTIONS + 1):
        walk.step()
        if count % 10 == 0:
            walk.check()
    # A walk that was refused everything would prove nothing.
    assert all(walk.done[name] for name in ("trade", "settle", "withdraw", "move_prices")), (
        walk.done
    )
    assert walk.done["trade"] > walk.done["refused"] / 2


def test_once_all_is_closed_and_settled_nothing_is_left_over(project, actors):
    """Close every position of a walk and settle: pools keep only what rounding left."""
    world = World(project, actors)
    world.set_global(maxPositions=6)
    owners = actors[1:5]
    for owner in owners:
        world.deposit(owner, CASH, 10**7)
    random = np.random.default_rng(4)
    for _ in range(12):
        buyer, seller = (owners[i] for i in random.permutation(4)[:2])
        price = round(float(random.uniform(1_900, 2_100)), 4)
        world.trade(buyer, seller, perpetual(), random.integers(1, 9_000) / 1_000, price)
    for step in range(6):
        world.wait(8 * HOUR)
        index = 2_000 + 17 * step
        world.set_spot(ETH, index, mark=index + 3)
        world.engine.settle(account_of(owners[step % 4]), sender=world.outsider)
    sizes = {owner: world.position(owner, perpetual())[0] for owner in owners}
    dealer = owners[0]
    for owner in owners[1:]:
        size = Decimal(sizes[owner]) / WAD
        if size > 0:
            world.trade(dealer, owner, perpetual(), size, 2_050)
        elif size < 0:
            world.trade(owner, dealer, perpetual(), -size, 2_050)
    for owner in owners * 2:
        world.engine.settle(account_of(owner), sender=world.outsider)
    assert all(not list(world.engine.positionsOf(account_of(owner))) for owner in owners)
    accounts = [account_of(owner) for owner in owners]
    assert world.unaccounted_cash(accounts) == 0
    dust_per_settlement = 1
    assert 0 <= world.engine.marketState(ETH).pnlPool <= 30 * dust_per_settlement
    assert all(world.engine.portfolio(account).marginMode == PORTFOLIO for account in accounts)


def test_many_small_trades_never_beat_one_large(project, actors, trader, maker):
    """Trades whose value is a fraction of a unit exchange nothing that is not there."""
    world = World(project, actors)
    world.set_underlying(ETH, lotSize=1)
    for owner in (trader, maker):
        world.deposit(owner, CASH, 1_000)
    price = 2_000.3
    pieces, size_raw = 20, 7
    start = world.cash_of(trader), world.cash_of(maker)
    for _ in range(pieces):
        world.trade(trader, maker, perpetual(), size_raw / WAD, price)
    for _ in range(pieces):
        world.trade(maker, trader, perpetual(), size_raw / WAD, price)
    for owner in (trader, maker):
        world.engine.settle(account_of(owner), sender=world.outsider)
    end = world.cash_of(trader), world.cash_of(maker)
    assert sum(end) <= sum(start)
    # Each fill costs both sides a unit of fee at least, more than its rounding can bring.
    assert end[0] < start[0] and end[1] < start[1]
    assert world.unaccounted_cash([account_of(trader), account_of(maker)]) == 0


def test_the_walk_would_notice_a_wrong_event(world, trader):
    """The replay is a judge: it must not accept whatever it is told."""
    walk = Walk(world, [trader], seed=0)
    walk.ledger.replay(world.deposit(trader, CASH, 10).events)
    walk.check()
    walk.ledger.cash[account_of(trader)] += 1
    with pytest.raises(AssertionError):
        walk.check()
    assert ape.chain.blocks.head.number > 0
