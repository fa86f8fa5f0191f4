"""What the ledger stores, and how an action begins, changes accounts, and ends.

`Ledger` holds the state and what all actions share: views, all or nothing, admission, cash and its
interest, tokens. Actions are in `settlement`, `liquidation` and `engine`.

Source: specification, sections 2, 4, 5, 11 and 12; Liquidation, section 2.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from reference_model.exact import auction, funding, interest, risk_model
from reference_model.exact import instrument as instruments
from reference_model.exact import position as slots
from reference_model.exact.errors import (
    AccountTooHeavy,
    AdmissionPending,
    BelowInitialMargin,
    CashOverflow,
    InAuction,
    InsufficientCash,
    InvalidAccount,
    NotAuthorised,
    Reentrancy,
    StalePrice,
    TokenShortfall,
    TransferMismatch,
    UnknownAsset,
    UnrealisedProfitWithdrawal,
)
from reference_model.exact.events import Event
from reference_model.exact.exchange import Exchange, Order, any_hash
from reference_model.exact.fixed_point import mul_div_up, mul_up, to_raw_up, to_wad_down
from reference_model.exact.liquidation_parameters import LiquidationParameters
from reference_model.exact.market import MarketData, indexed
from reference_model.exact.outage_clock import OutageClock
from reference_model.exact.tokens import Token, require_supported
from reference_model.exact.waterfall import Socialised
from reference_model.exact.windows import Level
from reference_model.types import (
    WAD,
    AccountStatus,
    Assessment,
    Health,
    InterestParameters,
    MarginMode,
    Market,
    Portfolio,
)

CASH = 0
ASSETS = 32
CASH_LIMIT = 2**103
MAX_PREDICTIVE_WEIGHT = 32
PREDICTIVE_UNDERLYING_WEIGHT = 5
MAX_WEIGHT = 85
UNDERLYING_WEIGHT = 7
MAX_DEFICIT = 2**112 - 1
NEVER_SOCIALISED = Socialised()


class Account(NamedTuple):
    """One account as stored.

    Attributes
    ----------
    cash : int
        USD, WAD, signed, as of `cash_index`.
    cash_index : int
        Interest index, WAD; 0 if never touched.
    margin_mode : int
        A `MarginMode`.
    collateral : tuple of int
        Raw balance by asset id.
    positions : tuple of int
        Slots in storage order.
    health : int
        A `Health`, as last recorded.
    in_auction : bool
        Whether it is for sale.
    clock : auction.Clock
        Of its auction.
    deficit : int
        What it lacks if it is insolvent, as last recorded, USD, WAD.
    """

    cash: int = 0
    cash_index: int = 0
    margin_mode: int = MarginMode.PORTFOLIO
    collateral: tuple[int, ...] = (0,) * ASSETS
    positions: tuple[int, ...] = ()
    health: int = Health.HEALTHY
    in_auction: bool = False
    clock: auction.Clock = auction.Clock()
    deficit: int = 0

    @property
    def collateral_bitmap(self) -> int:
        """Bit a is set while the balance of asset a is above zero."""
        return sum(1 << asset for asset, balance in enumerate(self.collateral) if balance)

    @property
    def status(self) -> AccountStatus:
        """Health as last recorded, together with whether the account is for sale."""
        return auction.status(self.health, self.in_auction)

    @property
    def has_size(self) -> bool:
        """Whether there is a position of a size other than 0: not a mere claim."""
        return any(slots.size(slot) for slot in self.positions)

    @property
    def is_bare(self) -> bool:
        """Whether there is nothing but cash, or debt."""
        return not self.positions and not any(self.collateral)


class MarketState(NamedTuple):
    """What all accounts share in one underlying, as stored: USD per unit, seconds, units, USD."""

    funding_index: int = 0
    funding_at: int = 0
    open_interest: int = 0
    pnl_pool: int = 0


@dataclass
class State:
    """All that is stored. Values are WAD; `borrow_index` and `supply_index` start at 1.

    Attributes
    ----------
    operators : dict
        Bitmap of sub-accounts by (owner, operator).
    token_balance_raw : dict
        What the contract holds by asset; 0 is the settlement token.
    windows : dict
        Forced volume by underlying.
    pending_loss : int
        Sum of all recorded deficits.
    loss_recorded_at : int
        Active time, seconds, at which it last became more than dust.
    socialised : Socialised
        How much of all cash was taken of late.
    """

    accrued_at: int
    cash_held: int = 0
    total_debt: int = 0
    borrow_index: int = WAD
    supply_index: int = WAD
    interest_pool: int = 0
    fees: int = 0
    accounts: dict[int, Account] = field(default_factory=dict)
    markets: dict[int, MarketState] = field(default_factory=dict)
    total_collateral_raw: dict[int, int] = field(default_factory=dict)
    operators: dict[tuple[int, int], int] = field(default_factory=dict)
    filled: dict[bytes, int] = field(default_factory=dict)
    min_nonce: dict[int, int] = field(default_factory=dict)
    token_balance_raw: dict[int, int] = field(default_factory=dict)
    windows: dict[int, Level] = field(default_factory=dict)
    pending_loss: int = 0
    loss_recorded_at: int = 0
    socialised: Socialised = NEVER_SOCIALISED

    def copy(self) -> "State":
        """Return an independent copy; everything below the dictionaries is immutable."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return State(**{k: dict(v) if isinstance(v, dict) else v for k, v in values.items()})


@dataclass
class Check:
    """Admission that an entry point or batch owes to one account it has changed.

    Attributes
    ----------
    before : Account
        As it was before anything changed it.
    required : bool
        Whether it did what needs admission, other than to bid.
    withdrew, paid, bid, switched : bool
        Whether it withdrew, paid a premium, bid for a slice, changed its margin mode.
    """

    before: Account
    required: bool = False
    withdrew: bool = False
    paid: bool = False
    switched: bool = False
    bid: bool = False


class Ledger:
    """State, and what all actions share.

    Parameters
    ----------
    market : Market
        Time, prices and risk parameters; its `now` is the time of deployment.
    interest_parameters : InterestParameters
        Interest on cash.
    listed_expiries : collection of (int, int)
        (underlying, expiry) that may be traded.
    settlement_token : Token
        The only cash.
    fee_collectors : collection of int, optional
        Addresses the access manager lets collect fees.
    hash_order : callable, optional
        EIP-712 hash of an order.
    rules : LiquidationParameters, optional
        Rules of auctions, windows and the insurance fund.
    clock : OutageClock, optional
        Whose active time interest, funding, auctions and windows count.

    Attributes
    ----------
    events : list of Event
        All that was emitted.
    address : int
        Of the ledger, to whom it speaks.

    Raises
    ------
    UnsupportedDecimals
        Of the settlement token.
    """

    def __init__(
        self,
        market: Market,
        interest_parameters: InterestParameters,
        listed_expiries: Collection[tuple[int, int]],
        settlement_token: Token,
        fee_collectors: Collection[int] = (),
        hash_order: Callable[[Order], bytes] = any_hash,
        rules: LiquidationParameters | None = None,
        clock: OutageClock | None = None,
    ) -> None:
        require_supported(settlement_token)
        self.market = market
        self.interest_parameters = interest_parameters
        self.listed_expiries = listed_expiries
        self.settlement_token = settlement_token
        self.fee_collectors = fee_collectors
        self.exchange = Exchange(self, hash_order)
        self.rules = rules or LiquidationParameters()
        self.clock = clock or OutageClock()
        self.state = State(accrued_at=self.active_time)
        self.events: list[Event] = []
        self.address = 0
        self._checks: dict[int, Check] | None = None

    @property
    def active_time(self) -> int:
        """Seconds of active time at present."""
        return self.clock.active_time(self.market.now)

    def batch(self, calls: Collection[Callable[[], None]]) -> None:
        """Run entry points one after the other; admission is judged once, at the end.

        Raises
        ------
        Reentrancy
            In a batch.
        ModelError
            The first of any call, or of admission; nothing has happened then.
        """
        if self._checks is not None:
            raise Reentrancy
        with self._entry():
            for call in calls:
                call()

    # -------------------------------------------------------------------------------------- views

    def account(self, account: int) -> Account:
        """Return an account as stored."""
        return self._account(account)

    def market_state(self, underlying: int) -> MarketState:
        """Return the market of one underlying as stored."""
        return self.state.markets.get(underlying, MarketState())

    def portfolio(self, account: int) -> Portfolio:
        """Return an account as the risk model takes it, interest and funding up to date."""
        return self.portfolio_of(self._account(account))

    def portfolio_of(self, account: Account) -> Portfolio:
        """Return what the risk model would be given if an account stood like this."""
        underlyings = sorted({slots.instrument(slot) >> 120 for slot in account.positions})
        return Portfolio(
            self._cash_of(account),
            account.margin_mode,
            self._collateral_words(account),
            tuple(self._net_of_funding(slot) for slot in account.positions),
            tuple(u << 248 | self.market_state(u).open_interest for u in underlyings),
        )

    def cash_of(self, account: int) -> int:
        """Cash with interest to now, USD, WAD, Down."""
        return self._cash_of(self._account(account))

    def position_of(self, account: int, instrument: int) -> tuple[int, int]:
        """Size and quote of one position as stored, units and USD, WAD; zeros if there is none."""
        held = self._account(account).positions
        slot = next((s for s in held if slots.instrument(s) == instrument), 0)
        return slots.size(slot), slots.quote(slot)

    def current_funding_index(self, underlying: int) -> int:
        """Funding index with funding to now, USD per unit, WAD, Down.

        Raises
        ------
        MissingPrice
        """
        return self._current_funding(underlying)[0]

    def require_authorised(self, account: int, caller: int) -> None:
        """Refuse whoever is neither owner nor operator.

        Raises
        ------
        InvalidAccount, NotAuthorised
        """
        require_valid(account)
        owner, sub_id = account >> 8, account & 0xFF
        allowed = self.state.operators.get((owner, caller), 0) >> sub_id & 1
        if caller != owner and not allowed:
            raise NotAuthorised(account, caller)

    # ---------------------------------------------------------------- one action, all or nothing

    @contextmanager
    def _entry(self) -> Iterator[None]:
        """Undo everything on an error, admit at the end; an item of a batch leaves both to it."""
        if self._checks is not None:
            yield
            return
        fund = self.rules.insurance_fund
        saved, events_before = self.state.copy(), len(self.events)
        staked = fund.state.copy() if fund else None
        outage, told = self.clock.outage, len(self.clock.events)
        self._checks = {}
        try:
            self.clock.sync_sequencer(self.market.now)
            yield
            self._admit()
        except BaseException:
            self.state = saved
            del self.events[events_before:]
            self.clock.outage = outage
            del self.clock.events[told:]
            if fund:
                fund.state = staked
            raise
        finally:
            self._checks = None

    def _changing(self, account: int) -> Check:
        """Remember the account as it was before anything changed it."""
        return self._checks.setdefault(account, Check(self._account(account)))

    def _admit(self) -> None:
        for account, check in self._checks.items():
            if check.required or check.bid:
                after = risk_model.assess(self.portfolio(account), self.market)
                self._require_admitted(account, check, after)
                self._record(account, after)

    def _require_admitted(self, account: int, check: Check, after: Assessment) -> None:
        """Refuse what leaves an account neither healthy nor strictly less risky."""
        cash_left = check.withdrew or check.paid or check.bid
        unrealised = cash_left and after.collateral_equity < 0
        if not (check.withdrew or check.bid or check.switched or unrealised):
            before = risk_model.assess(self.portfolio_of(check.before), self.market)
            if is_risk_reducing(before, after):
                return
        if check.required:
            ages = self.market.global_parameters
            withdrew = check.withdrew
            max_age = ages.withdraw_max_age_seconds if withdrew else ages.open_max_age_seconds
            if self.market.now > after.oldest_timestamp + max_age:
                raise StalePrice(account, after.oldest_timestamp, max_age)
        if self._account(account).in_auction:
            raise InAuction(account)
        if after.initial_equity < after.initial_margin:
            raise BelowInitialMargin(account, after.initial_equity, after.initial_margin)
        if unrealised:
            raise UnrealisedProfitWithdrawal(account, after.collateral_equity)

    def _require_no_admission_owed(self, account: int) -> None:
        """Refuse to judge, in a batch, an account whose admission is still owed."""
        check = self._checks.get(account)
        if check and (check.required or check.bid):
            raise AdmissionPending(account)

    def _record(self, account: int, seen: Assessment) -> None:
        """Record an account as it was found."""
        stored = self._account(account)
        clock = stored.clock
        if stored.in_auction:
            clock = auction.recorded(clock, seen, self.active_time)
        self._set_status(account, seen, stored.in_auction, clock)

    def _set_status(
        self, account: int, seen: Assessment | None, in_auction: bool, clock: auction.Clock
    ) -> None:
        """Store health and deficit as found, of None nothing, and the state of the auction."""
        before = self._account(account)
        health = risk_model.health(seen) if seen else Health.HEALTHY
        deficit = min(max(0, -seen.equity), MAX_DEFICIT) if seen else 0
        after = before._replace(health=health, in_auction=in_auction, clock=clock, deficit=deficit)
        if account in self._checks:  # it owes no admission: what follows is judged by what it is
            self._checks[account] = Check(after)
        if after == before:
            return
        self.state.accounts[account] = after
        self._change_pending_loss(deficit - before.deficit)
        if after.status != before.status:
            self._emit("StatusChanged", account, before.status, after.status)

    def _change_pending_loss(self, change: int) -> None:
        """Add to the sum of recorded deficits; note when it becomes more than dust, or doubles."""
        before, dust = self.state.pending_loss, self.rules.auction.dust_margin
        self.state.pending_loss = min(max(0, before + change), MAX_DEFICIT)
        is_new = before <= dust or self.state.pending_loss > 2 * before
        if self.state.pending_loss > dust and is_new:
            self.state.loss_recorded_at = self.active_time

    def _emit(self, name: str, *values: Any) -> None:
        self.events.append(Event(name, values))

    # ------------------------------------------------------------------------ cash and collateral

    def _account(self, account: int) -> Account:
        return self.state.accounts.get(account, Account())

    @property
    def _data(self) -> MarketData:
        return indexed(self.market)

    def _cash_of(self, account: Account) -> int:
        accrued = self._accrued_interest()
        return interest.current_cash(
            account.cash, account.cash_index, accrued.borrow_index, accrued.supply_index
        )

    def _accrued_interest(self) -> interest.InterestState:
        s = self.state
        stored = interest.InterestState(s.borrow_index, s.supply_index, s.total_debt, s.accrued_at)
        return interest.accrue(stored, s.cash_held, self.interest_parameters, self.active_time)

    def _accrue_interest(self) -> None:
        accrued = self._accrued_interest()
        has_passed = accrued.accrued_at != self.state.accrued_at
        for name, value in accrued._asdict().items():
            setattr(self.state, name, value)
        if has_passed:
            self._emit("InterestAccrued", *accrued[:3])

    def _touch(self, account: int) -> Account:
        """Accrue interest and bring the account's cash up to date."""
        self._accrue_interest()
        stored = self._account(account)
        cash = self._cash_of(stored)
        if not -CASH_LIMIT <= cash < CASH_LIMIT:
            raise CashOverflow(account, cash)
        self.state.interest_pool -= cash - stored.cash
        if cash != stored.cash:
            self._emit("InterestBooked", account, cash - stored.cash)
        return self._store_cash(account, stored, cash)

    def _change_cash(self, account: int, touched: Account, change: int) -> Account:
        """Store an account, brought up to date, with its cash changed."""
        cash = touched.cash + change
        if not -CASH_LIMIT <= cash < CASH_LIMIT:
            raise CashOverflow(account, cash)
        others_debt = max(0, self.state.total_debt - max(0, -touched.cash))
        self.state.total_debt = others_debt + max(0, -cash)
        return self._store_cash(account, touched, cash)

    def _store_cash(self, account: int, stored: Account, cash: int) -> Account:
        index = self.state.supply_index if cash >= 0 else self.state.borrow_index
        self.state.accounts[account] = stored._replace(cash=cash, cash_index=index)
        return self.state.accounts[account]

    def _set_collateral(self, account: int, asset: int, balance_raw: int) -> None:
        stored = self._account(account)
        balances = list(stored.collateral)
        change = balance_raw - balances[asset]
        balances[asset] = balance_raw
        total = self.state.total_collateral_raw
        total[asset] = total.get(asset, 0) + change
        self.state.accounts[account] = stored._replace(collateral=tuple(balances))

    def _release_cash(self, amount: int) -> None:
        if amount > self.state.cash_held:
            raise InsufficientCash(amount, self.state.cash_held)
        self.state.cash_held -= amount

    def _token(self, asset: int) -> Token:
        if asset == CASH:
            return self.settlement_token
        parameters = self._data.collateral_parameters(asset)
        token = Token(int(parameters.token, 16), parameters.decimals)
        if token.address in (0, self.settlement_token.address):
            raise UnknownAsset(asset)
        return token

    def _accounted_raw(self, asset: int) -> int:
        if asset == CASH:
            return to_raw_up(self.state.cash_held, self.settlement_token.decimals)
        return self.state.total_collateral_raw.get(asset, 0)

    def _pull(self, asset: int, amount_raw: int, arrived_raw: int | None) -> None:
        arrived_raw = amount_raw if arrived_raw is None else arrived_raw
        token = self._token(asset).address
        if arrived_raw != amount_raw:
            raise TransferMismatch(token, amount_raw, arrived_raw)
        balance = self.state.token_balance_raw.get(asset, 0) + arrived_raw
        if balance < self._accounted_raw(asset):
            raise TokenShortfall(token, balance, self._accounted_raw(asset))
        self.state.token_balance_raw[asset] = balance

    def _send(self, asset: int, amount_raw: int, sent_raw: int | None) -> None:
        sent_raw = amount_raw if sent_raw is None else sent_raw
        if sent_raw != amount_raw:
            raise TransferMismatch(self._token(asset).address, amount_raw, sent_raw)
        self.state.token_balance_raw[asset] -= sent_raw

    def _collateral_words(self, account: Account) -> tuple[int, ...]:
        words = []
        for asset, balance_raw in enumerate(account.collateral):
            if balance_raw:
                decimals = self._data.collateral_parameters(asset).decimals
                balance = to_wad_down(balance_raw, decimals)
                words += [asset << 248 | balance] if balance else []
        return tuple(words)

    def _change_open_interest(self, instrument: int, change: int) -> None:
        underlying = instruments.underlying(instrument)
        stored = self.market_state(underlying)
        self.state.markets[underlying] = stored._replace(
            open_interest=stored.open_interest + change
        )

    # ------------------------------------------------------------------------ funding and slots

    def _current_funding(self, underlying: int) -> tuple[int, int]:
        """Funding index at present, and the active time up to which it has accrued."""
        stored = self.market_state(underlying)
        # The first accrual only starts the clock: no price is asked for.
        if stored.funding_at == 0:
            return stored.funding_index, self.active_time
        if self.active_time <= stored.funding_at:
            return stored.funding_index, stored.funding_at
        spot = self._data.spot(underlying)
        cap = self._data.underlying_parameters(underlying).funding_cap
        max_age = self.market.global_parameters.margin_max_age_seconds
        elapsed, until = funding.due(
            stored.funding_at, self.active_time, self.market.now, spot.timestamp, max_age
        )
        index = funding.accrue(stored.funding_index, spot.mark, spot.index, cap, elapsed)
        return index, until

    def _accrue_funding(self, underlying: int) -> None:
        index, until = self._current_funding(underlying)
        stored = self.market_state(underlying)
        if stored.funding_at == until:
            return
        self.state.markets[underlying] = stored._replace(funding_index=index, funding_at=until)
        self._emit("FundingAccrued", underlying, index)

    def _net_of_funding(self, slot: int) -> int:
        """Return a slot as the risk model takes it."""
        instrument, size, quote = slots.instrument(slot), slots.size(slot), slots.quote(slot)
        if not instruments.is_perpetual(instrument) or size == 0:
            return slot
        paid = mul_up(size, self.current_funding_index(instruments.underlying(instrument)))
        return slots.pack(instrument, size, quote - paid)

    def _set_positions(self, account: int, held: Collection[int]) -> None:
        self.state.accounts[account] = self._account(account)._replace(positions=tuple(held))

    def _remove_empty(self, account: int) -> None:
        held = list(self._account(account).positions)
        slots.remove_empty(held)
        self._set_positions(account, held)

    def _require_light(self, account: int, held: Account) -> None:
        """Refuse what would be too much for a step of its liquidation.

        Raises
        ------
        AccountTooHeavy
        """
        assets = [asset for asset, balance in enumerate(held.collateral) if balance]
        followed = {self._data.collateral_parameters(asset).underlying for asset in assets}
        is_predictive = held.margin_mode == MarginMode.PREDICTIVE
        weight, limit = weight_of(held.positions, len(assets), followed, is_predictive)
        if weight > limit:
            raise AccountTooHeavy(account, weight, limit)


def weight_of(
    positions: Collection[int], kinds: int, followed: Collection[int], is_predictive: bool
) -> tuple[int, int]:
    """What an account weighs in a step of its liquidation, in positions, and the greatest weight.

    Parameters
    ----------
    positions : collection of int
        Slots.
    kinds : int
        Assets held as collateral.
    followed : collection of int
        Underlyings that those follow; 0 counts for nothing.
    is_predictive : bool
        Whether it is held to predictive margin.
    """
    held = [slots.instrument(slot) for slot in positions]
    underlyings = {instruments.underlying(instrument) for instrument in held} | set(followed)
    others = max(0, len(underlyings - {0}) - 1)
    weight = len(held) + max(0, kinds - 1)
    if is_predictive:
        return weight + PREDICTIVE_UNDERLYING_WEIGHT * others, MAX_PREDICTIVE_WEIGHT
    slices = {
        (instruments.underlying(each), instruments.expiry(each))
        for each in held
        if instruments.expiry(each)
    }
    return weight + len(slices) + UNDERLYING_WEIGHT * others, MAX_WEIGHT


def require_valid(account: int) -> None:
    """Refuse an id without an owner or with bits above 168.

    Raises
    ------
    InvalidAccount
    """
    if account >> 168 or account >> 8 == 0:
        raise InvalidAccount(account)


def is_risk_reducing(before: risk_model.Assessment, after: risk_model.Assessment) -> bool:
    """Whether ``MM`` did not rise and equity fell by no more than that allows."""
    if after.maintenance_margin > before.maintenance_margin:
        return False
    return after.equity >= least_equity(before, after.maintenance_margin)


def least_equity(before: risk_model.Assessment, maintenance_margin: int) -> int:
    """Return what must be left of equity after margin has fallen to `maintenance_margin`.

    Above maintenance ``E − MM`` must not fall; below it ``E / MM`` must not, so that nothing
    can be given away that the account does not own.
    """
    equity = before.equity
    if equity < 0:
        return equity
    if equity >= before.maintenance_margin:
        return equity - (before.maintenance_margin - maintenance_margin)
    return mul_div_up(equity, maintenance_margin, before.maintenance_margin)
