"""What must hold whatever happens, each as a function that explains what is broken.

Source: specification, section 15.
"""

from collections import Counter

from reference_model.exact import instrument as instruments
from reference_model.exact import position as slots
from reference_model.exact import risk_model
from reference_model.exact.engine import Engine
from reference_model.exact.fixed_point import mul_down, to_raw_up
from reference_model.exact.ledger import CASH, MarketState, State, is_risk_reducing
from reference_model.exact.market import indexed
from reference_model.types import Market


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
        *collateral_is_conserved(state),
        *sizes_cancel(state, market),
        *quotes_cancel(state, market, settled_slots),
        *open_interest_is_gross_size(state),
        *slots_are_tidy(state),
        *requirements_are_ordered(engine),
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
    """I7: IM ≥ MM ≥ 0, neither above that of generation 1."""
    found = []
    for account in engine.state.accounts:
        parts = risk_model.breakdown(engine.portfolio(account), engine.market)
        maintenance = parts.assessment.maintenance_margin
        initial = parts.assessment.initial_margin
        ordered = 0 <= maintenance <= initial
        netted = maintenance <= parts.isolated_maintenance_margin
        if not (ordered and netted and initial <= parts.isolated_initial_margin):
            found.append(f"I7: requirements of account {account:#x}: {parts}")
    return found


def _slots(state: State) -> list[int]:
    return [slot for account in state.accounts.values() for slot in account.positions]


def _settlement_price(slot: int, market: Market) -> int:
    """Settlement price of what has expired and has one, else 0."""
    instrument = slots.instrument(slot)
    expiry = instruments.expiry(instrument)
    if not 0 < expiry <= market.now:
        return 0
    return indexed(market).settlement_price(instruments.underlying(instrument), expiry)
