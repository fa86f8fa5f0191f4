"""Random actions on a ledger: valid, just valid, just invalid and invalid.

An action is plain data, so that the same one can be done to the model and to the contracts. It is
drawn from what a `Chooser` picks, be it Hypothesis or a seeded generator, and aims at the guards:
amounts are often exactly what the model says is allowed, one more, or one less.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from hypothesis import strategies as st

from reference_model.exact import instrument as instruments
from reference_model.exact import lens, risk_model
from reference_model.exact import position as slots
from reference_model.exact.engine import Engine
from reference_model.exact.errors import ModelError
from reference_model.exact.exchange import Order
from reference_model.types import DAY, WAD, Market

T = TypeVar("T")


class Action(NamedTuple):
    """An entry point and its arguments, the caller first where it takes one."""

    name: str
    arguments: tuple


class Chooser(Protocol):
    """Where randomness comes from."""

    def integer(self, low: int, high: int) -> int:
        """Return an integer in the closed range."""

    def item(self, items: list[T] | tuple[T, ...]) -> T:
        """Return one of the items."""


class Drawn:
    """Choices of Hypothesis."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data

    def integer(self, low: int, high: int) -> int:
        return self._data.draw(st.integers(low, high))

    def item(self, items: list[T] | tuple[T, ...]) -> T:
        return self._data.draw(st.sampled_from(items))


class Seeded:
    """Choices of a seeded generator."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def integer(self, low: int, high: int) -> int:
        if high - low < 2**62:
            return low + int(self._rng.integers(high - low + 1))
        return low + int.from_bytes(self._rng.bytes(40), "big") % (high - low + 1)

    def item(self, items: list[T] | tuple[T, ...]) -> T:
        return items[self.integer(0, len(items) - 1)]


@dataclass
class Cast:
    """Who acts on what.

    Attributes
    ----------
    people : tuple of int
        Addresses; the first may collect fees.
    accounts : tuple of int
        Their accounts.
    instruments : list of int
        What trades.
    orders : list of Order
        Orders that were filled at least once, to be filled again.
    """

    people: tuple[int, ...]
    accounts: tuple[int, ...]
    instruments: list[int]
    orders: list[tuple[Order, Order]] = field(default_factory=list)
    nonce: int = 0


def perform(engine: Engine, action: Action) -> tuple | None:
    """Do an action to the model and return the error's name and arguments, if it was refused."""
    return attempt(engine, action)[0]


def attempt(engine: Engine, action: Action) -> tuple[tuple | None, Any]:
    """Do an action to the model and return its error, if it was refused, and its answer."""
    try:
        return None, run(engine, action)
    except ModelError as error:
        return (error.name, error.arguments), None


def run(engine: Engine, action: Action) -> Any:
    """Do an action to the model and return its answer."""
    name, given = action
    if name == "post":
        engine.market = given[0]
        return None
    if name in ("cancel_order", "cancel_orders_below"):
        return getattr(engine.exchange, name)(*given)
    if name.startswith("fund_"):
        return getattr(engine.rules.insurance_fund, name.removeprefix("fund_"))(*given)
    if name in ("set_auction_parameters", "set_window"):
        return getattr(engine.rules, name)(*given)
    if name in ("declare_outage", "end_outage"):
        return getattr(engine.clock, name)(engine.market.now, *given)
    if name == "batch":
        return engine.batch([lambda item=item: run(engine, item) for item in given[1]])
    return getattr(engine, name)(*given)


def draw(choose: Chooser, engine: Engine, cast: Cast, kinds: dict | None = None) -> Action:
    """Draw the next action, of the kinds given or else those of the ledger, weighted."""
    weights = (kinds or KINDS).items()
    kind = choose.item([kind for kind, weight in weights for _ in range(weight)])
    return kind(choose, engine, cast)


def draw_market(choose: Chooser, market: Market, jumps: tuple[int, ...] = ()) -> Market:
    """Let time pass, one of some jumps, and, mostly, post new prices and some settlements."""
    age = choose.item((900, 901, 3_600, 3_601, 7_200, 7_201))
    jumps = jumps or (1, 1, 60, 60, 60, age, age, 8 * 3_600, 8 * 3_600, DAY)
    jump = choose.item(jumps)
    if choose.integer(0, 30) == 0:
        ahead = [s.expiry - market.now for s in market.slices if s.expiry > market.now]
        jump = min(ahead, default=jump) - choose.integer(0, 1)
    market = market._replace(now=market.now + max(1, jump))
    if choose.integer(0, 3) == 0:
        return market
    moves = {spot.underlying: choose.integer(800_000, 1_250_000) for spot in market.spots}
    spots = tuple(_moved(choose, spot, moves[spot.underlying], market.now) for spot in market.spots)
    slices = []
    for slice_ in market.slices:
        if slice_.expiry > market.now:
            forward = slice_.forward * moves[slice_.underlying] // 10**6
            slice_ = slice_._replace(forward=forward, timestamp=market.now)
        elif slice_.settlement_price == 0 and choose.integer(0, 1):
            index = next(s.index for s in spots if s.underlying == slice_.underlying)
            slice_ = slice_._replace(settlement_price=index)
        slices.append(slice_)
    collaterals = tuple(
        c._replace(rate=c.rate * choose.integer(990, 1_005) // 1000, timestamp=market.now)
        for c in market.collaterals
    )
    return market._replace(spots=spots, slices=tuple(slices), collaterals=collaterals)


def _moved(choose: Chooser, spot: Any, ppm: int, now: int) -> Any:
    index = min(max(spot.index * ppm // 10**6, WAD), 10**6 * WAD)
    return spot._replace(
        index=index,
        confidence=index * choose.integer(0, 20) // 10_000,
        mark=index * choose.integer(9_850, 10_150) // 10_000,
        stable_index=(spot.stable_index + index) // 2,
        timestamp=now,
    )


def near(choose: Chooser, *guards: int) -> int:
    """Return a positive amount at, just below or just above a guard, or anywhere below one."""
    guard = choose.item(guards)
    amount = choose.item((guard - 1, guard, guard + 1, guard // 2, guard // 3, guard // 50))
    return max(0, amount)


def owner_of(choose: Chooser, cast: Cast, account: int) -> int:
    """Mostly the owner of the account."""
    return choose.item((*[account >> 8 & 2**160 - 1] * 12, choose.item(cast.people)))


def account_of(choose: Chooser, cast: Cast) -> int:
    """Mostly a well-formed account."""
    if choose.integer(0, 60):
        return choose.item(cast.accounts)
    return choose.item((7, cast.accounts[0] | 1 << 168))


def deposit(choose: Chooser, engine: Engine, cast: Cast) -> Action:
    asset = choose.item((0, 0, 0, *range(1, 5), *range(1, 8)))
    account = account_of(choose, cast)
    if asset == 0:
        caller = choose.item(cast.people)
        amount = choose.item((0, 1, 10**9, 50_000 * 10**6, 2_000_000 * 10**6))
        return Action("deposit", (caller, account, asset, amount))
    cap = next((c.parameters.cap_raw for c in engine.market.collaterals if c.asset == asset), 100)
    left = cap - engine.state.total_collateral_raw.get(asset, 0)
    caller = owner_of(choose, cast, account)
    return Action("deposit", (caller, account, asset, near(choose, left, cap // 10, cap // 30)))


def _withdraw(choose: Chooser, engine: Engine, cast: Cast) -> Action:
    account = account_of(choose, cast)
    held = [asset for asset, balance in enumerate(engine.account(account).collateral) if balance]
    asset = choose.item((0, 0, 0, *held, *held, choose.integer(1, 7)))
    if asset:
        balance = engine.account(account).collateral[asset]
        amount = near(choose, balance, balance // 2 + 1)
    else:
        scale = 10 ** (18 - engine.settlement_token.decimals)
        parts = risk_model.assess(engine.portfolio(account), engine.market)
        free = parts.initial_equity - parts.initial_margin
        equity = parts.collateral_equity
        guards = free, equity, equity, engine.state.cash_held, engine.cash_of(account)
        amount = near(choose, *(max(0, guard) // scale for guard in guards))
    return Action("withdraw", (owner_of(choose, cast, account), account, asset, amount))


def _settle(choose: Chooser, engine: Engine, cast: Cast) -> Action:
    return Action("settle", (account_of(choose, cast),))


def _accrue(choose: Chooser, engine: Engine, cast: Cast) -> Action:
    return Action("accrue", (choose.item((*[s.underlying for s in engine.market.spots], 9)),))


def _set_margin_mode(choose: Chooser, engine: Engine, cast: Cast) -> Action:
    account = account_of(choose, cast)
    caller = owner_of(choose, cast, account)
    return Action("set_margin_mode", (caller, account, choose.integer(0, 2)))


def _set_operator(choose: Chooser, engine: Engine, cast: Cast) -> Action:
    caller, operator = choose.item(cast.people), choose.item(cast.people)
    return Action("set_operator", (caller, operator, choose.item((0, 1, 2, 3))))


def _cancel(choose: Chooser, engine: Engine, cast: Cast) -> Action:
    if cast.orders and choose.integer(0, 1):
        order = choose.item(choose.item(cast.orders[-3:]))
        return Action("cancel_order", (owner_of(choose, cast, order.account), order))
    account = account_of(choose, cast)
    nonce = engine.exchange.min_nonce(account) + choose.integer(0, 2)
    return Action("cancel_orders_below", (owner_of(choose, cast, account), account, nonce))


def _collect_fees(choose: Chooser, engine: Engine, cast: Cast) -> Action:
    scale = 10 ** (18 - engine.settlement_token.decimals)
    amount = near(choose, engine.state.fees // scale)
    return Action("collect_fees", (choose.item((*[cast.people[0]] * 3, cast.people[1])), amount))


def _outage(choose: Chooser, engine: Engine, cast: Cast) -> Action:
    if choose.integer(0, 2) == 0:
        return Action("end_outage", ())
    return Action("declare_outage", (choose.item((0, 60, 3_600, DAY)),))


def _batch(choose: Chooser, engine: Engine, cast: Cast) -> Action:
    """Two or three calls by one caller; now and then one of them is a batch."""
    caller = choose.item(cast.people)
    kinds = (_trade, _trade, deposit, _withdraw, _settle, _set_margin_mode, _accrue)
    items = [as_caller(caller, choose.item(kinds)(choose, engine, cast)) for _ in range(3)]
    if choose.integer(0, 20) == 0:
        items.insert(0, Action("batch", (caller, ())))  # the first, lest another is refused before
    return Action("batch", (caller, tuple(items)))


def as_caller(caller: int, action: Action) -> Action:
    """Return the action of another caller, on an account of theirs."""
    given = action.arguments
    if action.name in ("deposit", "withdraw", "set_margin_mode"):
        return action._replace(arguments=(caller, caller << 8 | given[1] & 0xFF, *given[2:]))
    if action.name == "bid":
        bidder = caller << 8 | given[2] & 0xFF
        return action._replace(arguments=(caller, given[1], bidder, *given[3:]))
    if action.name in ("contribute", "set_operator"):
        return action._replace(arguments=(caller, *given[1:]))
    return action


def fair_price(engine: Engine, instrument: int) -> int:
    """Return about what one unit is worth, USD, WAD."""
    slot = slots.pack(instrument, WAD, 0)
    portfolio = engine.portfolio(0)._replace(positions=(slot,))
    try:
        value = risk_model.breakdown(portfolio, engine.market).derivative_value
    except ModelError:
        return 10**4 * WAD
    return max(value, 0)


def _trade(choose: Chooser, engine: Engine, cast: Cast) -> Action:
    """A new pair of orders, in most cases two that match."""
    instrument = _instrument(choose, engine, cast)
    parameters = _parameters(engine, instrument)
    lots = choose.item((1, 7, 1_000, 5_000, 40_000, 100_001))
    size = lots * parameters.lot_size
    price = fair_price(engine, instrument) * choose.integer(90, 110) // 100
    maker_account, taker_account = choose.item(cast.accounts), choose.item(cast.accounts)
    if maker_account == taker_account and choose.integer(0, 9):
        taker_account = next(a for a in cast.accounts if a != maker_account)
    side = choose.item((-1, 1))
    cast.nonce += 1
    deadline = engine.market.now + choose.item((0, 1, *[10**7] * 6))
    reduce_only = choose.integer(0, 7) == 0
    maker = Order(
        maker_account,
        maker_account >> 8,
        instrument,
        -side * size,
        price,
        deadline,
        cast.nonce,
        reduce_only,
    )
    taker = maker._replace(
        account=taker_account, signer=taker_account >> 8, size=side * size, reduce_only=False
    )
    fill = choose.item((size, size, size // 2, parameters.lot_size))
    action = Action("match_orders", (maker, True, taker, True, fill))
    if choose.integer(0, 3) == 0:
        action = _spoil(choose, engine, cast, action)
    cast.orders = [*cast.orders[-20:], (action.arguments[0], action.arguments[2])]
    return action


def draw_hypothesis(choose: Chooser, engine: Engine, cast: Cast) -> tuple[int, lens.Hypothesis]:
    """Draw an account and what might happen to it."""
    account = choose.item(cast.accounts)
    transfers = []
    for _ in range(choose.integer(0, 2)):
        asset = choose.item((0, 0, 1, 2, 3, 4, 7 * (choose.integer(0, 9) == 0)))
        balance = engine.account(account).collateral[asset]
        amount = choose.item((0, 1, 10**9, 10**18, -balance, -balance // 3, -balance - 1))
        transfers.append(lens.Transfer(asset, amount if asset else 10**6 * amount // 10**8))
    trades = []
    for _ in range(choose.integer(0, 3)):
        instrument = _instrument(choose, engine, cast)
        size = choose.item((-1, 1)) * 10**15 * choose.item((1, 1_000, 30_000))
        held, _ = engine.position_of(account, instrument)
        size = choose.item((size, -held or size, -held // 2 or size, 10**14 * size))
        price = fair_price(engine, instrument) * choose.integer(90, 110) // 100
        instrument |= choose.integer(0, 20) == 0
        trades.append(lens.Trade(instrument, size, price, bool(choose.integer(0, 1))))
    mode = bool(choose.integer(0, 1)), choose.integer(0, 1)
    return account, lens.Hypothesis(tuple(transfers), tuple(trades), *mode)


def _instrument(choose: Chooser, engine: Engine, cast: Cast) -> int:
    """Mostly something that still trades, often something that somebody holds."""
    held = [slots.instrument(s) for a in cast.accounts for s in engine.account(a).positions]
    instrument = choose.item(held if held and choose.integer(0, 1) else cast.instruments)
    if 0 < instruments.expiry(instrument) <= engine.market.now and choose.integer(0, 9):
        return instruments.perpetual(instruments.underlying(instrument))
    return instrument


def _parameters(engine: Engine, instrument: int) -> Any:
    underlying = instruments.underlying(instrument)
    return next(s.parameters for s in engine.market.spots if s.underlying == underlying)


def _trade_again(choose: Chooser, engine: Engine, cast: Cast) -> Action:
    """Orders seen before: what is left of them, or a lot more."""
    if not cast.orders:
        return _trade(choose, engine, cast)
    maker, taker = choose.item(cast.orders[-3:])
    filled = engine.exchange.filled(engine.exchange.hash_order(maker))
    lot = 10**15
    left = max(lot, abs(maker.size) - filled)
    size = choose.item((left, left + lot, lot))
    return Action("match_orders", (maker, True, taker, True, size))


def _spoil(choose: Chooser, engine: Engine, cast: Cast, action: Action) -> Action:
    """Return the fill with one thing changed that may be wrong."""
    maker, _, taker, _, size = action.arguments
    instrument = maker.instrument
    now = engine.market.now
    both = {"maker": maker, "taker": taker}
    side = choose.item(("maker", "taker"))
    unknown = choose.item((instrument | 1, 9 << 120, instrument ^ 1 << 88, instrument | 1 << 80))
    operator = choose.item(cast.people)
    changes = choose.item(
        (
            {"signer": operator},
            {"deadline": now - 1},
            {"nonce": max(0, engine.exchange.min_nonce(both[side].account) - 1)},
            {"nonce": 0},
            {"price": both[side].price + 1},
            {"price": max(0, both[side].price - 1)},
            {"size": -both[side].size},
            {"size": 0},
            {"account": 5},
            {"price": 0},
            {"instrument": instrument ^ 1 << 119},
            {"reduce_only": True},
            "instrument",
            "price",
            "unsigned",
            "size",
            "large",
        )
    )
    if changes == "unsigned":
        return action._replace(arguments=(maker, side == "taker", taker, side == "maker", size))
    if changes == "size":
        return action._replace(
            arguments=(maker, True, taker, True, choose.item((0, size + 1, 10 * size)))
        )
    if changes == "large":
        factor = choose.item((1_000, 10**6, 10**13))
        both = {k: order._replace(size=order.size * factor) for k, order in both.items()}
        return action._replace(arguments=(both["maker"], True, both["taker"], True, size * factor))
    if changes == "instrument":
        both = {k: order._replace(instrument=unknown) for k, order in both.items()}
    elif changes == "price":
        both = {k: order._replace(price=0) for k, order in both.items()}
    else:
        both[side] = both[side]._replace(**changes)
    return action._replace(arguments=(both["maker"], True, both["taker"], True, size))


# How often each kind of action is drawn.
KINDS = {
    _trade: 12,
    _trade_again: 3,
    deposit: 4,
    _withdraw: 4,
    _settle: 3,
    _accrue: 1,
    _set_margin_mode: 2,
    _set_operator: 1,
    _cancel: 2,
    _collect_fees: 1,
    _outage: 1,
    _batch: 2,
}
