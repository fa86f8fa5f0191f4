"""What must hold whatever happens, each as a function that explains what is broken.

Source: specification, section 15; Liquidation, section 12.
"""

from collections import Counter
from typing import NamedTuple

from reference_model.exact import auction, deleveraging, risk_model
from reference_model.exact import instrument as instruments
from reference_model.exact import position as slots
from reference_model.exact.engine import Engine
from reference_model.exact.events import Event
from reference_model.exact.fixed_point import mul_down, to_raw_up
from reference_model.exact.ledger import CASH, MarketState, State, is_risk_reducing
from reference_model.exact.market import indexed
from reference_model.types import WAD, Assessment, AuctionPreview, Health, MarginMode, Market

# What rounding may do to a requirement or an equity, USD, WAD.
DUST = 10**12


def broken(engine: Engine, settled_slots: int) -> list[str]:
    """Explanations of every invariant of a single state that does not hold.

    Parameters
    ----------
    engine : Engine
    settled_slots : int
        How many expired positions have been settled so far; each may leave one unit of dust.
    """
    state, market = engine.state, engine.market
    return [
        *cash_is_conserved(state, engine.settlement_token.decimals),
        *cash_is_covered(engine),
        *collateral_is_conserved(state),
        *sizes_cancel(state, market),
        *quotes_cancel(state, market, settled_slots),
        *open_interest_is_gross_size(state),
        *slots_are_tidy(state),
        *requirements_are_ordered(engine),
        *losses_are_recorded(state),
    ]


def cash_is_conserved(state: State, decimals: int) -> list[str]:
    """I1: cash, pools, fees and interest add up to what is held, exactly; tokens cover it."""
    owned = sum(account.cash for account in state.accounts.values())
    pools = sum(market.pnl_pool for market in state.markets.values())
    total = owned + pools + state.fees + state.interest_pool
    held_raw = state.token_balance_raw.get(CASH, 0)
    found = []
    if total != state.cash_held:
        found.append(f"I1: {total} of cash is accounted for, {state.cash_held} is held")
    if held_raw < to_raw_up(state.cash_held, decimals):
        found.append(f"I1: {held_raw} tokens do not cover {state.cash_held} of cash")
    return found


def cash_is_covered(engine: Engine) -> list[str]:
    """I1: with all interest and losses booked, the interest pool owes nobody more than dust."""
    state = engine.state
    booked = sum(
        engine.cash_of(account) - state.accounts[account].cash for account in state.accounts
    )
    left = state.interest_pool - booked
    return [f"I1: the interest pool lacks {-left}"] if left < -DUST else []


def collateral_is_conserved(state: State) -> list[str]:
    """I2: balances add up to the total of each asset, and tokens cover it."""
    found = []
    for asset, total in state.total_collateral_raw.items():
        balances = sum(account.collateral[asset] for account in state.accounts.values())
        held = state.token_balance_raw.get(asset, 0)
        if not balances == total <= held:
            found.append(f"I2: asset {asset}: balances {balances}, total {total}, tokens {held}")
    return found


def sizes_cancel(state: State, market: Market) -> list[str]:
    """I3: sizes of an instrument add up to 0, unless its settlement is under way."""
    sizes: Counter[int] = Counter()
    for slot in _slots(state):
        if not _settlement_price(slot, market):
            sizes[slots.instrument(slot)] += slots.size(slot)
    return [f"I3: sizes of {i:#x} add up to {total}" for i, total in sizes.items() if total]


def quotes_cancel(state: State, market: Market, settled_slots: int) -> list[str]:
    """I3: quotes and payoffs due of an underlying add up to its pool, less at most some dust."""
    quotes: Counter[int] = Counter()
    due: Counter[int] = Counter()
    for slot in _slots(state):
        instrument = slots.instrument(slot)
        underlying = instruments.underlying(instrument)
        quotes[underlying] += slots.quote(slot)
        price = _settlement_price(slot, market)
        if price:
            payoff = mul_down(slots.size(slot), instruments.payoff(instrument, price))
            quotes[underlying] += payoff
            due[underlying] += 1
    found = []
    for underlying, claims in quotes.items():
        pool = state.markets.get(underlying, MarketState()).pnl_pool
        if not -settled_slots - due[underlying] <= claims - pool <= 0:
            found.append(f"I3: claims {claims} on the pool of {underlying}, which holds {pool}")
    return found


def open_interest_is_gross_size(state: State) -> list[str]:
    """I4: open interest of an underlying is Σ abs(size)."""
    gross: Counter[int] = Counter(dict.fromkeys(state.markets, 0))
    for slot in _slots(state):
        gross[slots.instrument(slot) >> 120] += abs(slots.size(slot))
    found = []
    for underlying, total in gross.items():
        stored = state.markets.get(underlying, MarketState()).open_interest
        if stored != total:
            found.append(f"I4: open interest of {underlying} is {stored}, sizes add up to {total}")
    return found


def risk_is_admitted(engine: Engine, before: State, account: int) -> list[str]:
    """I5: a checked account is healthy, or no riskier than it was in the state `before`."""
    after = engine.portfolio(account)
    current, engine.state = engine.state, before
    try:
        accrued = engine.portfolio(account)._replace(open_interest=after.open_interest)
    finally:
        engine.state = current
    old = risk_model.assess(accrued, engine.market)
    new = risk_model.assess(after, engine.market)
    if is_risk_reducing(old, new) or new.initial_equity >= new.initial_margin:
        return []
    return [f"I5: account {account:#x} went from {old} to {new}"]


def slots_are_tidy(state: State) -> list[str]:
    """I6: no empty slot, no instrument twice."""
    found = []
    for account, stored in state.accounts.items():
        held = [slots.instrument(slot) for slot in stored.positions]
        if len(set(held)) < len(held):
            found.append(f"I6: account {account:#x} holds an instrument twice")
        if any(slots.is_empty(slot) for slot in stored.positions):
            found.append(f"I6: account {account:#x} has an empty slot")
    return found


def requirements_are_ordered(engine: Engine) -> list[str]:
    """I7: IM ≥ MM ≥ 0, neither above that of generation 1 but in mode PREDICTIVE."""
    found = []
    for account in engine.state.accounts:
        parts = risk_model.breakdown(engine.portfolio(account), engine.market)
        maintenance = parts.assessment.maintenance_margin
        initial = parts.assessment.initial_margin
        ordered = 0 <= maintenance <= initial
        netted = (
            maintenance <= parts.isolated_maintenance_margin
            and initial <= parts.isolated_initial_margin
        )
        is_predictive = engine.account(account).margin_mode == MarginMode.PREDICTIVE
        if not (ordered and (netted or is_predictive)):
            found.append(f"I7: requirements of account {account:#x}: {parts}")
    return found


def losses_are_recorded(state: State) -> list[str]:
    """L2: deficits add up, only the insolvent have one, only auctions have a clock."""
    found = []
    deficits = sum(stored.deficit for stored in state.accounts.values())
    if deficits != state.pending_loss:
        found.append(f"L2: deficits add up to {deficits}, {state.pending_loss} is recorded")
    for account, stored in state.accounts.items():
        runs = stored.clock.started_at != 0
        clean = stored.clock == auction.Clock() or stored.in_auction
        if stored.in_auction != runs or not clean:
            found.append(f"L2: clock of {account:#x}: {stored}")
        if (stored.deficit > 0) != (stored.health == Health.INSOLVENT):
            found.append(f"L2: deficit of {account:#x}: {stored}")
    return found


class Sale(NamedTuple):
    """One bid: state and offer before it, and the event ``SliceSold``."""

    before: State
    offer: AuctionPreview
    event: Event


def sale_is_fair(engine: Engine, sale: Sale) -> list[str]:
    """L1, L3, L4 and L5 of a bid, after which nothing else has happened."""
    return [
        *sizes_stay(engine, sale),
        *sale_restores(engine, sale),
        *sale_hurts_nobody(engine, sale),
        *losses_are_paid_in_order(engine, sale),
    ]


def sizes_stay(engine: Engine, sale: Sale) -> list[str]:
    """L1: sizes and quotes of every instrument add up to the same as before."""
    sums = []
    for state in (sale.before, engine.state):
        total: Counter[tuple[int, str]] = Counter()
        for slot in _slots(state):
            total[slots.instrument(slot), "size"] += slots.size(slot)
            total[slots.instrument(slot), "quote"] += slots.quote(slot)
        sums.append({key: value for key, value in total.items() if value})
    return [] if sums[0] == sums[1] else [f"L1: {sale.event} turned {sums[0]} into {sums[1]}"]


def sale_restores(engine: Engine, sale: Sale) -> list[str]:
    """L3: the restoring fraction of a sound account restores it, to rounding."""
    account, _, fraction, payment, *_ = sale.event.values
    if fraction < sale.offer.restoring_fraction or payment < 0:
        return []
    after = risk_model.assess(engine.portfolio(account), engine.market)
    needed = auction.buffered(after, engine.rules.auction)
    if after.initial_equity >= needed - _rounding(engine, after):
        return []
    return [f"L3: {sale.event} left {after}, which needs {needed}"]


def sale_hurts_nobody(engine: Engine, sale: Sale) -> list[str]:
    """L4: sizes, requirement and deficit do not rise; a sound account costs nobody anything."""
    account, bidder, _, payment, *_ = sale.event.values
    old, new = sale.offer.assessment, risk_model.assess(engine.portfolio(account), engine.market)
    before, after = sale.before.accounts[account], engine.account(account)
    rounding = _rounding(engine, old)
    found = []
    sizes = {slots.instrument(slot): abs(slots.size(slot)) for slot in before.positions}
    if any(abs(slots.size(s)) > sizes[slots.instrument(s)] for s in after.positions):
        found.append(f"L4: {sale.event} raised a size")
    if new.maintenance_margin > old.maintenance_margin + rounding:
        found.append(f"L4: {sale.event} raised the requirement from {old} to {new}")
    if min(0, new.equity) < min(0, old.equity) - rounding:
        found.append(f"L4: {sale.event} raised the deficit from {old} to {new}")
    if old.equity >= 0:
        cash = [_cash(engine, state, account, bidder) for state in (sale.before, engine.state)]
        if payment < 0 or cash[0] != cash[1] or sale.before.fees != engine.state.fees:
            found.append(f"L4: {sale.event} moved cash {cash} of a sound account")
    return found


def losses_are_paid_in_order(engine: Engine, sale: Sale) -> list[str]:
    """L5: what a bidder received is what was paid, and nobody paid while one before them could."""
    _, _, fraction, payment, from_fees, from_fund, socialised = sale.event.values
    fund = engine.rules.insurance_fund
    claim = max(0, -sale.offer.price) * fraction // WAD
    found = []
    if from_fees + from_fund + socialised != max(0, -payment) or claim < -payment:
        found.append(f"L5: {sale.event} does not add up to its claim {claim}")
    if from_fund + socialised and from_fees != sale.before.fees:
        found.append(f"L5: {sale.event} left fees of {sale.before.fees}")
    if socialised and fund and fund.total_assets():
        found.append(f"L5: {sale.event} left {fund.total_assets()} in the fund")
    return found


def closing_is_fair(engine: Engine, before: State, closed: list[Event]) -> list[str]:
    """L4 of deleveraging, given its events: nobody's ratio of requirement to equity rises.

    The insolvent account gains what the counterparties gave, to rounding.
    """
    found = []
    for account, counterparty, *_ in (event.values for event in closed):
        old, new = (_assessed(engine, state, counterparty) for state in (before, engine.state))
        if deleveraging.hurts(old, new):
            found.append(f"L4: deleveraging turned {counterparty:#x} from {old} to {new}")
        old, new = (_assessed(engine, state, account) for state in (before, engine.state))
        given = sum(event.values[-1] for event in closed)
        if not -old.equity >= given or abs(new.equity - old.equity - given) > _rounding(
            engine, old
        ):
            found.append(f"L4: {closed} gave {given} to {account:#x}, from {old} to {new}")
    return found


def _assessed(engine: Engine, state: State, account: int) -> Assessment:
    """Assess an account as it stands in a state."""
    current, engine.state = engine.state, state
    try:
        return risk_model.assess(engine.portfolio(account), engine.market)
    finally:
        engine.state = current


def _cash(engine: Engine, state: State, *accounts: int) -> int:
    """Cash of accounts in a state, with interest to now."""
    current, engine.state = engine.state, state
    try:
        return sum(engine.cash_of(account) for account in accounts)
    finally:
        engine.state = current


def _rounding(engine: Engine, assessment: Assessment) -> int:
    """What parts cut off towards zero may do to an account, USD: a raw unit of each token."""
    data = indexed(engine.market)
    units = 0
    for collateral in engine.market.collaterals:
        parameters, price = collateral.parameters, collateral.rate
        if parameters.underlying:
            price = mul_down(price, data.spot(parameters.underlying).index)
        units += price // 10**parameters.decimals
    return DUST + 2 * units + (abs(assessment.equity) + assessment.initial_margin) // 10**12


def _slots(state: State) -> list[int]:
    return [slot for account in state.accounts.values() for slot in account.positions]


def _settlement_price(slot: int, market: Market) -> int:
    """Settlement price of what has expired and has one, else 0."""
    instrument = slots.instrument(slot)
    expiry = instruments.expiry(instrument)
    if not 0 < expiry <= market.now:
        return 0
    return indexed(market).settlement_price(instruments.underlying(instrument), expiry)
