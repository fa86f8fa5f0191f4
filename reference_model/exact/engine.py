"""The ledger as a state machine over integers.

`Engine` has the entry points of ``contracts/interfaces/IMarginEngine.sol``, each taking its caller
where one matters. Time, prices and risk parameters are those of `Engine.market`, which whoever
drives the engine replaces. A refusal is a `ModelError` and leaves the state as it was.

Source: specification, sections 2 to 6, 11 and 12.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import NamedTuple

from reference_model.exact import fees, funding, interest, risk_model
from reference_model.exact import instrument as instruments
from reference_model.exact import position as slots
from reference_model.exact.errors import (
    AccessManagedUnauthorized,
    AssetDisabled,
    BelowInitialMargin,
    CashOverflow,
    CollateralCap,
    InstrumentExpired,
    InsufficientCash,
    InsufficientCollateral,
    InsufficientFees,
    InvalidAccount,
    InvalidPrice,
    InvalidSize,
    NotAuthorised,
    OpenInterestCap,
    ReduceOnly,
    Reentrancy,
    StalePrice,
    TokenShortfall,
    TooManyPositions,
    TransferMismatch,
    UnknownAsset,
    UnknownInstrument,
    UnrealisedProfitWithdrawal,
    ZeroAmount,
)
from reference_model.exact.exchange import Exchange, Fill, Order, any_hash
from reference_model.exact.fixed_point import (
    mul_div_up,
    mul_down,
    mul_up,
    to_raw_up,
    to_wad_down,
)
from reference_model.exact.market import MarketData, indexed
from reference_model.exact.tokens import Token, cash_down, cash_up, require_supported
from reference_model.types import WAD, InterestParameters, MarginMode, Market, Portfolio

CASH = 0
ASSETS = 32
CASH_LIMIT = 2**103


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
    """

    cash: int = 0
    cash_index: int = 0
    margin_mode: int = MarginMode.PORTFOLIO
    collateral: tuple[int, ...] = (0,) * ASSETS
    positions: tuple[int, ...] = ()

    @property
    def collateral_bitmap(self) -> int:
        """Bit a is set while the balance of asset a is above zero."""
        return sum(1 << asset for asset, balance in enumerate(self.collateral) if balance)


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

    def copy(self) -> "State":
        """Return an independent copy; everything below the dictionaries is immutable."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return State(**{k: dict(v) if isinstance(v, dict) else v for k, v in values.items()})


@dataclass
class _Check:
    """Admission that an entry point or batch owes to one account it has changed."""

    before: Account
    required: bool = False
    withdrew: bool = False
    paid: bool = False


class Engine:
    """The ledger.

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
    ) -> None:
        require_supported(settlement_token)
        self.market = market
        self.interest_parameters = interest_parameters
        self.listed_expiries = listed_expiries
        self.settlement_token = settlement_token
        self.fee_collectors = fee_collectors
        self.exchange = Exchange(self, hash_order)
        self.state = State(accrued_at=market.now)
        self._checks: dict[int, _Check] | None = None

    # ------------------------------------------------------------------------------------ actions

    def deposit(
        self,
        caller: int,
        account: int,
        asset: int,
        amount_raw: int,
        arrived_raw: int | None = None,
    ) -> None:
        """Deposit tokens of the caller into any account.

        Parameters
        ----------
        caller, account, asset : int
            Asset 0 is the settlement token and becomes cash, Down.
        amount_raw : int
            Tokens pulled.
        arrived_raw : int, optional
            Tokens that arrived, if the token does not do as it is told.

        Raises
        ------
        InvalidAccount, ZeroAmount, UnknownAsset, AssetDisabled, MissingCollateralRate, MissingPrice
        CollateralCap, TransferMismatch, TokenShortfall, CashOverflow
        """
        with self._entry():
            require_valid(account)
            if asset == CASH:
                self._deposit_cash(account, amount_raw, arrived_raw)
            else:
                self._deposit_collateral(account, asset, amount_raw, arrived_raw)

    def withdraw(
        self, caller: int, account: int, asset: int, amount_raw: int, sent_raw: int | None = None
    ) -> None:
        """Withdraw tokens; cash may become a loan against collateral and is debited Up.

        Parameters
        ----------
        caller, account, asset : int
            The caller is owner or operator.
        amount_raw : int
            Tokens to send.
        sent_raw : int, optional
            Tokens that left, if the token does not do as it is told.

        Raises
        ------
        InvalidAccount, NotAuthorised, ZeroAmount, UnknownAsset, InsufficientCash
        InsufficientCollateral, CashOverflow, TransferMismatch
        StalePrice, BelowInitialMargin, UnrealisedProfitWithdrawal
            By admission.
        """
        with self._entry():
            self.require_authorised(account, caller)
            if amount_raw == 0:
                raise ZeroAmount
            check = self._changing(account)
            check.required = check.withdrew = True
            if asset == CASH:
                amount = cash_up(amount_raw, self.settlement_token)
                self._accrue_interest()
                self._release_cash(amount)
                self._change_cash(account, self._touch(account), -amount)
            else:
                self._token(asset)
                balance = self._account(account).collateral[asset]
                if amount_raw > balance:
                    raise InsufficientCollateral(asset, amount_raw, balance)
                self._set_collateral(account, asset, balance - amount_raw)
            self._send(asset, amount_raw, sent_raw)

    def match_orders(
        self, maker: Order, maker_signed: bool, taker: Order, taker_signed: bool, size: int
    ) -> None:
        """Fill two signed orders against each other at the maker's price; anyone may.

        Parameters
        ----------
        maker, taker : Order
        maker_signed, taker_signed : bool
            Whether the signatures are valid.
        size : int
            Units, WAD, unsigned.

        Raises
        ------
        ModelError
            Those of `Exchange.match_orders`, then `UnknownInstrument`, `InstrumentExpired`,
            `InvalidSize`, `InvalidPrice`, `MissingPrice`; per account, maker first, `CashOverflow`,
            `PositionOverflow`, `ReduceOnly`, `TooManyPositions`, `CashOverflow`; then
            `OpenInterestCap`, and those of admission.
        """
        with self._entry():
            fill = self.exchange.match_orders(maker, maker_signed, taker, taker_signed, size)
            self._require_tradable(fill.instrument, abs(fill.taker_size), fill.price)
            self._trade_both(fill)

    def settle(self, account: int) -> None:
        """Turn expired positions into claims and profit and loss into cash; anyone may.

        Raises
        ------
        InvalidAccount
        CashOverflow, PositionOverflow
            At the edges of the fields.
        """
        with self._entry():
            require_valid(account)
            self._changing(account)
            self._touch(account)
            self._settle_expired(account)
            self._settle_linear(account)
            self._remove_empty(account)

    def accrue(self, underlying: int) -> None:
        """Accrue interest, and funding of one underlying; anyone may.

        Raises
        ------
        MissingPrice
        """
        with self._entry():
            self._accrue_interest()
            self._accrue_funding(underlying)

    def set_operator(self, caller: int, operator: int, sub_ids: int) -> None:
        """Let an operator act for the caller's sub-accounts in the bitmap `sub_ids`."""
        with self._entry():
            self.state.operators[caller, operator] = sub_ids

    def set_margin_mode(self, caller: int, account: int, mode: int) -> None:
        """Choose the generation of margin an account is held to.

        Raises
        ------
        InvalidAccount, NotAuthorised
        StalePrice, BelowInitialMargin
            By admission.
        """
        with self._entry():
            self.require_authorised(account, caller)
            self._changing(account).required = True
            self.state.accounts[account] = self._account(account)._replace(margin_mode=mode)

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

    def collect_fees(self, caller: int, amount_raw: int, sent_raw: int | None = None) -> None:
        """Send fees earned, debited Up, to a receiver.

        Raises
        ------
        AccessManagedUnauthorized, ZeroAmount, InsufficientFees, InsufficientCash, TransferMismatch
        """
        with self._entry():
            if caller not in self.fee_collectors:
                raise AccessManagedUnauthorized(caller)
            if amount_raw == 0:
                raise ZeroAmount
            amount = cash_up(amount_raw, self.settlement_token)
            if amount > self.state.fees:
                raise InsufficientFees(amount, self.state.fees)
            self.state.fees -= amount
            self._release_cash(amount)
            self._send(CASH, amount_raw, sent_raw)

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
        stored = self.market_state(underlying)
        spot = self._data.spot(underlying)
        cap = self._data.underlying_parameters(underlying).funding_cap
        max_age = self.market.global_parameters.margin_max_age_seconds
        elapsed = funding.elapsed_seconds(
            stored.funding_at, self.market.now, spot.timestamp, max_age
        )
        return funding.accrue(stored.funding_index, spot.mark, spot.index, cap, elapsed)

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
        saved = self.state.copy()
        self._checks = {}
        try:
            yield
            self._admit()
        except BaseException:
            self.state = saved
            raise
        finally:
            self._checks = None

    def _changing(self, account: int) -> _Check:
        """Remember the account as it was before anything changed it."""
        return self._checks.setdefault(account, _Check(self._account(account)))

    def _admit(self) -> None:
        for account, check in self._checks.items():
            if check.required:
                self._require_admitted(account, check)

    def _require_admitted(self, account: int, check: _Check) -> None:
        after = risk_model.assess(self.portfolio(account), self.market)
        unrealised = (check.withdrew or check.paid) and after.collateral_equity < 0
        if not check.withdrew and not unrealised:
            before = risk_model.assess(self.portfolio_of(check.before), self.market)
            if is_risk_reducing(before, after):
                return
        ages = self.market.global_parameters
        max_age = ages.withdraw_max_age_seconds if check.withdrew else ages.open_max_age_seconds
        if self.market.now > after.oldest_timestamp + max_age:
            raise StalePrice(account, after.oldest_timestamp, max_age)
        if after.initial_equity < after.initial_margin:
            raise BelowInitialMargin(account, after.initial_equity, after.initial_margin)
        if unrealised:
            raise UnrealisedProfitWithdrawal(account, after.collateral_equity)

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
        return interest.accrue(stored, s.cash_held, self.interest_parameters, self.market.now)

    def _accrue_interest(self) -> None:
        accrued = self._accrued_interest()
        for name, value in accrued._asdict().items():
            setattr(self.state, name, value)

    def _touch(self, account: int) -> Account:
        """Accrue interest and bring the account's cash up to date."""
        self._accrue_interest()
        stored = self._account(account)
        cash = self._cash_of(stored)
        if not -CASH_LIMIT <= cash < CASH_LIMIT:
            raise CashOverflow(account, cash)
        self.state.interest_pool -= cash - stored.cash
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

    def _deposit_cash(self, account: int, amount_raw: int, arrived_raw: int | None) -> None:
        amount = cash_down(amount_raw, self.settlement_token)
        if amount == 0:
            raise ZeroAmount
        self._changing(account)
        self._accrue_interest()
        self.state.cash_held += amount
        self._pull(CASH, amount_raw, arrived_raw)
        self._change_cash(account, self._touch(account), amount)

    def _deposit_collateral(
        self, account: int, asset: int, amount_raw: int, arrived_raw: int | None
    ) -> None:
        if amount_raw == 0:
            raise ZeroAmount
        self._token(asset)
        parameters = self._data.collateral_parameters(asset)
        if not parameters.enabled:
            raise AssetDisabled(asset)
        self._data.collateral_rate(asset)
        if parameters.underlying:
            self._data.spot(parameters.underlying)
        total_raw = self.state.total_collateral_raw.get(asset, 0) + amount_raw
        if total_raw > parameters.cap_raw:
            raise CollateralCap(asset, total_raw, parameters.cap_raw)
        self._changing(account)
        balance = self._account(account).collateral[asset]
        self._set_collateral(account, asset, balance + amount_raw)
        self._pull(asset, amount_raw, arrived_raw)

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

    # ------------------------------------------------------------------------------------ trading

    def _require_tradable(self, instrument: int, size: int, price: int) -> None:
        self._require_listed(instrument)
        lot_size = self._data.underlying_parameters(instruments.underlying(instrument)).lot_size
        if size == 0 or size % lot_size:
            raise InvalidSize(size, lot_size)
        if price == 0 and not instruments.is_option(instrument):
            raise InvalidPrice(price)

    def _require_listed(self, instrument: int) -> None:
        """Refuse what does not trade, or not any more."""
        instruments.require_canonical(instrument)
        underlying, expiry = instruments.underlying(instrument), instruments.expiry(instrument)
        parameters = self._data.underlying_parameters(underlying)
        listed = instruments.is_perpetual(instrument) or (
            (underlying, expiry) in self.listed_expiries
        )
        if not parameters.listed or not listed:
            raise UnknownInstrument(instrument)
        if not instruments.is_perpetual(instrument) and self.market.now >= expiry:
            raise InstrumentExpired(instrument, expiry)

    def _trade_both(self, fill: Fill) -> None:
        underlying = instruments.underlying(fill.instrument)
        parameters = self._data.underlying_parameters(underlying)
        spot = self._data.spot(underlying)
        self._accrue_interest()
        if instruments.is_perpetual(fill.instrument):
            self._accrue_funding(underlying)
        open_before = self.market_state(underlying).open_interest
        parties = (
            (fill.maker_account, -fill.taker_size, parameters.maker_fee, fill.maker_reduce_only),
            (fill.taker_account, fill.taker_size, parameters.taker_fee, fill.taker_reduce_only),
        )
        for account, size, fee_rate, reduce_only in parties:
            self._trade(
                account,
                fill,
                size,
                self._fee(fill, spot.index, fee_rate),
                reduce_only or parameters.reduce_only,
            )
        open_after = self.market_state(underlying).open_interest
        one_sided = -(-open_after // 2)
        if open_after > open_before and one_sided > parameters.open_interest_cap:
            raise OpenInterestCap(underlying, one_sided, parameters.open_interest_cap)
        self._settle_closed(fill)

    def _fee(self, fill: Fill, index: int, fee_rate: int) -> int:
        size = abs(fill.taker_size)
        if not instruments.is_option(fill.instrument):
            return fees.fee(size, index, fee_rate)
        underlying = instruments.underlying(fill.instrument)
        cap = self._data.underlying_parameters(underlying).option_fee_cap
        premium = abs(slots.signed_amount(size, fill.price))
        return fees.option_fee(size, index, fee_rate, premium, cap)

    def _trade(self, account: int, fill: Fill, size: int, fee: int, reduce_only: bool) -> None:
        """Change one party's position and cash."""
        check = self._changing(account)
        check.required = True
        touched = self._touch(account)
        held = list(touched.positions)
        place = self._place(held, fill.instrument)
        old = 0 if place is None else held[place]
        trade = slots.apply_trade(fill.instrument, old, size, self._trade_price(fill))
        before, after = slots.size(old), slots.size(trade.slot)
        if reduce_only and (abs(after) >= abs(before) or after * before < 0):
            raise ReduceOnly(account, before, after)
        check.paid = check.paid or trade.cash_change < 0
        replace(held, place, trade.slot)
        cap = self.market.global_parameters.max_positions
        if len(held) > len(touched.positions) and len(held) > cap:
            raise TooManyPositions(account, cap)
        self._change_open_interest(fill.instrument, abs(after) - abs(before))
        self.state.fees += fee
        self._change_cash(account, touched._replace(positions=tuple(held)), trade.cash_change - fee)

    @staticmethod
    def _place(held: list[int], instrument: int) -> int | None:
        """Where an instrument is held; None if it is not."""
        return next((i for i, s in enumerate(held) if slots.instrument(s) == instrument), None)

    def _trade_price(self, fill: Fill) -> int:
        """Price that a position's quote is changed by."""
        if not instruments.is_perpetual(fill.instrument):
            return fill.price
        return fill.price - self.market_state(fill.instrument >> 120).funding_index

    def _change_open_interest(self, instrument: int, change: int) -> None:
        underlying = instruments.underlying(instrument)
        stored = self.market_state(underlying)
        self.state.markets[underlying] = stored._replace(
            open_interest=stored.open_interest + change
        )

    # --------------------------------------------------------------------- funding and settlement

    def _accrue_funding(self, underlying: int) -> None:
        index = self.current_funding_index(underlying)
        self.state.markets[underlying] = self.market_state(underlying)._replace(
            funding_index=index, funding_at=self.market.now
        )

    def _net_of_funding(self, slot: int) -> int:
        """Return a slot as the risk model takes it."""
        instrument, size, quote = slots.instrument(slot), slots.size(slot), slots.quote(slot)
        if not instruments.is_perpetual(instrument) or size == 0:
            return slot
        paid = mul_up(size, self.current_funding_index(instruments.underlying(instrument)))
        return slots.pack(instrument, size, quote - paid)

    def _settle_expired(self, account: int) -> None:
        """Turn expired slots into claims, from the last to the first."""
        held = list(self._account(account).positions)
        for place in reversed(range(len(held))):
            slot = held[place]
            instrument, size = slots.instrument(slot), slots.size(slot)
            underlying = instruments.underlying(instrument)
            price = self._posted_settlement(instrument)
            if price == 0:
                continue
            payoff = mul_down(size, instruments.payoff(instrument, price)) + slots.quote(slot)
            perpetual = instruments.perpetual(underlying)
            claim = self._place(held, perpetual)
            if claim is None:
                held[place] = slots.pack(perpetual, 0, payoff)
            else:
                quote = slots.quote(held[claim]) + payoff
                held[claim] = slots.pack(perpetual, slots.size(held[claim]), quote)
                replace(held, place, 0)
            self._change_open_interest(instrument, -abs(size))
        self._set_positions(account, held)

    def _posted_settlement(self, instrument: int) -> int:
        """Settlement price of an instrument that has expired, else 0."""
        expiry = instruments.expiry(instrument)
        if not 0 < expiry <= self.market.now:
            return 0
        return self._data.settlement_price(instruments.underlying(instrument), expiry)

    def _settle_linear(self, account: int) -> None:
        """Pay all losses in, then profits out, both in slot order."""
        profits = []
        for place, slot in enumerate(self._account(account).positions):
            instrument = slots.instrument(slot)
            expired = 0 < instruments.expiry(instrument) <= self.market.now
            if instruments.is_option(instrument) or expired:
                continue
            value = self._linear_value(slot)
            if value < 0:
                self._pay_in(account, place, -value)
            elif value > 0:
                profits.append((place, value))
        for place, value in profits:
            self._pay_out(account, place, value)

    def _linear_value(self, slot: int) -> int:
        """Worth of a linear slot that has not expired, USD, WAD, Down."""
        instrument, size, quote = slots.instrument(slot), slots.size(slot), slots.quote(slot)
        if size == 0:
            return quote
        underlying = instruments.underlying(instrument)
        if instruments.is_perpetual(instrument):
            self._accrue_funding(underlying)
            mark = self._data.spot(underlying).mark
            price = mark - self.market_state(underlying).funding_index
        else:
            price = self._data.slice(underlying, instruments.expiry(instrument)).forward
        return mul_down(size, price) + quote

    def _settle_closed(self, fill: Fill) -> None:
        """Settle what a trade has brought to size zero: losses first, else maker first."""
        closed = []
        for account in (fill.maker_account, fill.taker_account):
            size, quote = self.position_of(account, fill.instrument)
            if size == 0 and quote != 0:
                closed.append((quote > 0, account, quote))
        for is_profit, account, quote in sorted(closed, key=lambda item: item[0]):
            held = self._account(account).positions
            place = [slots.instrument(slot) for slot in held].index(fill.instrument)
            (self._pay_out if is_profit else self._pay_in)(account, place, abs(quote))
            self._remove_empty(account)

    def _pay_in(self, account: int, place: int, loss: int) -> None:
        """Move a loss from cash into the pool, as far as collateral covers it."""
        stored = self._account(account)
        covered = stored.cash
        if loss > stored.cash:
            covered += self._collateral_cover(stored)
        self._settle_slot(account, place, -min(loss, max(0, covered)))

    def _collateral_cover(self, account: Account) -> int:
        """Haircut value of collateral, USD, WAD; 0 if one of its prices is too old."""
        words = self._collateral_words(account)
        value, oldest = risk_model.collateral_value(words, self.market)
        max_age = self.market.global_parameters.margin_max_age_seconds
        return value if self.market.now <= oldest + max_age else 0

    def _pay_out(self, account: int, place: int, profit: int) -> None:
        """Move a profit from the pool into cash, as far as the pool has it."""
        underlying = slots.instrument(self._account(account).positions[place]) >> 120
        pool = self.market_state(underlying).pnl_pool
        self._settle_slot(account, place, min(profit, pool))

    def _settle_slot(self, account: int, place: int, cash_change: int) -> None:
        """Add to cash what is taken from the slot's quote and the pool; all signed."""
        if cash_change == 0:
            return
        stored = self._account(account)
        held = list(stored.positions)
        instrument, size = slots.instrument(held[place]), slots.size(held[place])
        quote = slots.quote(held[place]) - cash_change
        held[place] = slots.pack(instrument, size, quote)
        underlying = instruments.underlying(instrument)
        market = self.market_state(underlying)
        self.state.markets[underlying] = market._replace(pnl_pool=market.pnl_pool - cash_change)
        self._change_cash(account, stored._replace(positions=tuple(held)), cash_change)

    def _remove_empty(self, account: int) -> None:
        held = list(self._account(account).positions)
        for place in reversed(range(len(held))):
            if slots.is_empty(held[place]):
                replace(held, place, 0)
        self._set_positions(account, held)

    def _set_positions(self, account: int, held: list[int]) -> None:
        self.state.accounts[account] = self._account(account)._replace(positions=tuple(held))


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


def replace(held: list[int], place: int | None, slot: int) -> None:
    """Write a slot: append a new one, move the last one into the hole of an empty one.

    `place` is None for an instrument not held; `slot` is 0 if nothing is left.
    """
    if place is None:
        held.extend([slot] if slot else [])
    elif slot:
        held[place] = slot
    else:
        held[place] = held[-1]
        held.pop()
