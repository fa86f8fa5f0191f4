"""Random actions around liquidation: whatever makes accounts fall, be sold, and be paid for.

They aim where the rules change: fractions and prices at the limit, one more and one less; auctions
that are over; windows that are full; funds that are empty.
"""

from model.ledger_actions import (
    KINDS,
    Action,
    Cast,
    Chooser,
    Order,
    account_of,
    as_caller,
    deposit,
    fair_price,
    near,
    owner_of,
)

from reference_model.exact import auction, risk_model
from reference_model.exact import instrument as instruments
from reference_model.exact import position as slots
from reference_model.exact.engine import Engine
from reference_model.exact.errors import ModelError
from reference_model.types import DAY, WAD, Health, LastStep, Market, Portfolio, Window

UNLIMITED = 2**255 - 1
# Seconds that may pass between prices: most auctions should be seen running.
JUMPS = (1, 12, 60, 60, 300, 600, 900, 3_600, 3_600, 7_200, 8 * 3_600)


def crash(choose: Chooser, market: Market, prices: dict[int, int]) -> Market:
    """Let prices be a multiple of the `prices` at the start, far from where they were or near.

    Now and then one of them is not heard of.
    """
    now = market.now + choose.item((1, 12, 600, 3_600, 8_000))
    ppm = choose.item((300_000, 500_000, 700_000, 900_000, 1_000_000, 1_300_000, 1_700_000))
    silent = choose.item((0, 0, 0, 0, 0, *prices))
    spots = tuple(
        s
        if s.underlying == silent
        else s._replace(
            index=prices[s.underlying] * ppm // 10**6,
            mark=prices[s.underlying] * ppm // 10**6 * choose.integer(995, 1_005) // 1_000,
            stable_index=(s.stable_index + prices[s.underlying] * ppm // 10**6) // 2,
            timestamp=now,
        )
        for s in market.spots
    )
    slices = tuple(
        s._replace(forward=prices[s.underlying] * ppm // 10**6, timestamp=now)
        if s.expiry > now and s.underlying != silent
        else s
        for s in market.slices
    )
    return market._replace(now=now, spots=spots, slices=slices)


def below_maintenance(engine: Engine, cast: Cast) -> list[int]:
    """Accounts that could be put up for sale, or are."""
    found = []
    for account in cast.accounts:
        try:
            seen = risk_model.assess(engine.portfolio(account), engine.market)
        except ModelError:
            continue
        if auction.is_liquidatable(seen) or engine.account(account).in_auction:
            found.append(account)
    return found


def _fallen(choose: Chooser, engine: Engine, cast: Cast) -> int:
    """Mostly an account that is for sale, or could be."""
    fallen = below_maintenance(engine, cast)
    for_sale = [account for account in fallen if engine.account(account).in_auction]
    if choose.integer(0, 12) == 0 or not fallen:
        return account_of(choose, cast)
    return choose.item(for_sale if for_sale and choose.integer(0, 2) else fallen)


def _leverage(choose: Chooser, engine: Engine, cast: Cast) -> Action:
    """Two accounts trade about as much as the poorer can bear, mostly in a linear instrument."""
    linear = [i for i in cast.instruments if not instruments.is_option(i)]
    alive = [
        i
        for i in (linear if choose.integer(0, 2) else cast.instruments)
        if not 0 < instruments.expiry(i) <= engine.market.now
    ]
    instrument, free = choose.item(alive), {}
    for account in cast.accounts:
        seen = risk_model.assess(engine.portfolio(account), engine.market)
        free[account] = seen.initial_equity - seen.initial_margin
    able = [account for account in cast.accounts if free[account] > 10**20]
    if len(able) < 2:
        return deposit(choose, engine, cast)
    maker = choose.item(able)
    taker = choose.item([account for account in able if account != maker])
    unit = Portfolio(0, 0, (), (slots.pack(instrument, -WAD, 0),), ())
    margin = risk_model.assess(unit, engine.market).initial_margin
    share = choose.item((30, 60, 80, 95, 110))
    most = min(free[maker], free[taker]) * WAD // margin * share // 100
    size = max(most // 10**15, 1) * 10**15 * choose.item((-1, 1))
    price = fair_price(engine, instrument)
    cast.nonce += 1
    order = Order(
        *(maker, maker >> 8, instrument, -size, price, engine.market.now + DAY),
        *(cast.nonce, False),
    )
    answer = order._replace(account=taker, signer=taker >> 8, size=size)
    return Action("match_orders", (order, True, answer, True, abs(size)))


def _borrow(choose: Chooser, engine: Engine, cast: Cast) -> Action:
    """Deposit a token and withdraw about as much cash as it is good for, in one batch."""
    tokens = [c for c in engine.market.collaterals if c.rate and c.parameters.enabled]
    collateral = choose.item([c for c in tokens if c.parameters.underlying])
    parameters, account = collateral.parameters, choose.item(cast.accounts)
    spots = {spot.underlying: spot for spot in engine.market.spots}
    price = collateral.rate * spots[parameters.underlying].index // WAD
    amount = parameters.cap_raw // choose.item((50, 150, 300))
    value = amount * price // 10**parameters.decimals * (WAD - parameters.haircut) // WAD
    loan = value * choose.item((60, 75, 85)) // 100 // 10 ** (18 - engine.settlement_token.decimals)
    cash = max(0, engine.cash_of(account)) // 10 ** (18 - engine.settlement_token.decimals)
    caller = account >> 8
    items = (
        Action("deposit", (caller, account, collateral.asset, amount)),
        Action("withdraw", (caller, account, 0, loan + cash)),
    )
    return Action("batch", (caller, items))


def _when_fallen(kind):
    """Return the kind, in whose place accounts mostly borrow more while none has fallen."""

    def drawn(choose: Chooser, engine: Engine, cast: Cast) -> Action:
        if not below_maintenance(engine, cast) and choose.integer(0, 9):
            return choose.item((_leverage, _leverage, _borrow))(choose, engine, cast)
        return kind(choose, engine, cast)

    return drawn


def _update_status(choose: Chooser, engine: Engine, cast: Cast) -> Action:
    return Action("update_status", (_fallen(choose, engine, cast),))


def _start_auction(choose: Chooser, engine: Engine, cast: Cast) -> Action:
    waiting = [a for a in below_maintenance(engine, cast) if not engine.account(a).in_auction]
    account = choose.item(waiting or [_fallen(choose, engine, cast)])
    return Action("start_auction", (account, account_of(choose, cast)))


def _bid(choose: Chooser, engine: Engine, cast: Cast) -> Action:
    account, bidder = _fallen(choose, engine, cast), account_of(choose, cast)
    for_sale = [a for a in cast.accounts if engine.account(a).in_auction]
    if for_sale and choose.integer(0, 5):
        account = choose.item(for_sale)
    if bidder == account and choose.integer(0, 9):
        bidder = next(a for a in cast.accounts if a != account)
    try:
        offer = engine.auction_of(account)
        largest, price = offer.largest_fraction, offer.price
    except ModelError:
        largest, price = WAD, 0
    fraction = choose.item((largest, largest, WAD, near(choose, largest), 2**128, 1))
    exact = (price, price + 1, price - 1, price + WAD, -UNLIMITED)
    limit = choose.item((*[UNLIMITED] * 5, 0, *exact))
    return Action("bid", (owner_of(choose, cast, bidder), account, bidder, fraction, limit))


def _deleverage(choose: Chooser, engine: Engine, cast: Cast) -> Action:
    account = _fallen(choose, engine, cast)
    insolvent = [a for a in cast.accounts if engine.account(a).health == Health.INSOLVENT]
    if insolvent and choose.integer(0, 5):
        account = choose.item(insolvent)
    held = [slots.instrument(slot) for slot in engine.account(account).positions]
    instrument = choose.item([*held, *held, choose.item(cast.instruments)])
    size, _ = engine.position_of(account, instrument)
    others = [a for a in cast.accounts if engine.position_of(a, instrument)[0] * size < 0]
    listed = sorted(others)
    if len(listed) > 1 and choose.integer(0, 2) == 0:
        listed = [choose.item(listed)]
    if choose.integer(0, 2) == 0:
        listed = choose.item(
            (listed[::-1], [*listed, choose.item(cast.accounts)], [], [*listed, 7])
        )
    return Action("deleverage", (account, instrument, tuple(listed)))


def _contribute(choose: Chooser, engine: Engine, cast: Cast) -> Action:
    return Action("contribute", (choose.item(cast.people), choose.item((0, 1, 10**9, 10**11))))


def _top_up(choose: Chooser, engine: Engine, cast: Cast) -> Action:
    """Top up, and have it seen, in one batch; now and then withdraw at once."""
    account = _fallen(choose, engine, cast)
    caller = account >> 8 & 2**160 - 1
    items = [
        Action("deposit", (caller, account, 0, choose.item((10**9, 10**10, 10**12)))),
        Action("update_status", (account,)),
        Action("withdraw", (caller, account, 0, choose.item((1, 10**9, 10**11)))),
    ]
    return Action("batch", (caller, tuple(items[: choose.integer(2, 3)])))


# What is not the engine's, or not for everybody.
UNBATCHED = (
    *("batch", "cancel_order", "cancel_orders_below", "collect_fees"),
    *("declare_outage", "end_outage"),
)


def _batch(choose: Chooser, engine: Engine, cast: Cast) -> Action:
    """Some of all this by one caller, and trades and withdrawals between."""
    caller = choose.item(cast.people)
    kinds = (_bid, _bid, _start_auction, _update_status, _deleverage, *KINDS)
    items = []
    while len(items) < 3:
        item = as_caller(caller, choose.item(kinds)(choose, engine, cast))
        if item.name in ("bid", "start_auction") and choose.integer(0, 1):
            account = _fallen(choose, engine, cast)
            items.append(Action("start_auction", (account, caller << 8)))
        if item.name not in UNBATCHED:
            items.append(item)
    return Action("batch", (caller, tuple(items)))


def _set_rules(choose: Chooser, engine: Engine, cast: Cast) -> Action:
    """Change the rules of auctions: mostly who pays in the end."""
    rules = engine.rules.auction
    changes = choose.item(
        (
            {"last_step": LastStep.SOCIALISE},
            {"last_step": LastStep.DELEVERAGE},
            {"last_step": LastStep.DELEVERAGE, "max_deleverage_share": WAD},
            {"max_deleverage_share": choose.item((WAD // 100, WAD // 3, WAD))},
            {"max_socialised_share": choose.item((0, WAD // 1000, WAD // 4))},
            {"dust_margin": choose.item((0, 50 * WAD, 10_000 * WAD))},
            {"opening_discount": choose.item((0, WAD // 50, WAD // 2 + 1))},
            {"buffer": choose.item((0, WAD // 10, WAD))},
            {"reward_cap": choose.item((0, 500 * WAD, 10**6 * WAD))},
            {"insolvency_bonus": choose.item((0, WAD // 2))},
        )
    )
    return Action("set_auction_parameters", (rules._replace(**changes),))


def _set_window(choose: Chooser, engine: Engine, cast: Cast) -> Action:
    underlying = choose.item([spot.underlying for spot in engine.market.spots])
    capacity = choose.item((0, 1, WAD // 10, WAD, 20 * WAD, 500 * WAD))
    return Action(
        "set_window", (underlying, Window(capacity, choose.item((0, 1, 600, 3_600, DAY))))
    )


def _stake(choose: Chooser, engine: Engine, cast: Cast) -> Action:
    """Something with the insurance fund, by one of its owners."""
    fund, caller = engine.rules.insurance_fund, choose.item(cast.people)
    held, most = fund.balance_of(caller), fund.max_redeem(caller)
    assets = fund.max_withdraw(caller)
    kinds = {
        "fund_deposit": (caller, choose.item((0, 1, 10**8, 10**10)), caller),
        "fund_mint": (caller, choose.item((1, 10**13, 10**16 + 1)), caller),
        "fund_request_exit": (caller, choose.item((held, held + 1, held // 2, 0))),
        "fund_redeem": (caller, choose.item((most, most + 1, most // 3)), caller),
        "fund_withdraw": (caller, choose.item((assets, assets + 1, assets // 3)), caller),
        "fund_transfer": (caller, choose.item(cast.people), choose.item((held // 3, held + 1))),
        "fund_reward": (choose.item((1, 10**7, 10**11)),),
    }
    weighted = [*kinds, "fund_request_exit", "fund_redeem", "fund_redeem", "fund_withdraw"]
    name = choose.item(weighted)
    return Action(name, kinds[name])


# How often each kind of action is drawn beside those of the ledger.
LIQUIDATION_KINDS = {
    **{kind: max(1, weight // 3) for kind, weight in KINDS.items()},
    _leverage: 4,
    _borrow: 3,
    _when_fallen(_update_status): 3,
    _when_fallen(_start_auction): 10,
    _when_fallen(_bid): 14,
    _when_fallen(_deleverage): 6,
    _contribute: 1,
    _when_fallen(_top_up): 2,
    _when_fallen(_batch): 4,
    _set_rules: 2,
    _set_window: 2,
    _stake: 4,
}
