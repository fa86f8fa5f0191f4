"""The ledger as a state machine over integers.

`Engine` has the entry points of ``contracts/interfaces/IMarginEngine.sol`` and
``ILiquidationEngine.sol``, each taking its caller where one matters. Time, prices and risk
parameters are those of `Engine.market`, which whoever drives the engine replaces. A refusal is a
`ModelError` and leaves the state as it was.

Source: specification, sections 2 to 6, 11 and 12.
"""

from reference_model.exact import fees
from reference_model.exact import instrument as instruments
from reference_model.exact import position as slots
from reference_model.exact.errors import (
    AccessManagedUnauthorized,
    AssetDisabled,
    CollateralCap,
    InstrumentExpired,
    InsufficientCollateral,
    InsufficientFees,
    InvalidPrice,
    InvalidSize,
    OpenInterestCap,
    PendingLoss,
    ReduceOnly,
    StrikeTooFar,
    TooManyPositions,
    UnknownInstrument,
    ZeroAmount,
)
from reference_model.exact.exchange import Fill, Order
from reference_model.exact.ledger import (
    CASH,
    require_valid,
)
from reference_model.exact.liquidation import Liquidation
from reference_model.exact.tokens import cash_down, cash_up

MAX_STRIKE_RATIO = 10


class Engine(Liquidation):
    """The ledger: deposits, withdrawals and trades, on top of settlement and liquidation."""

    def deposit(
        self,
        caller: int,
        account: int,
        asset: int,
        amount_raw: int,
        arrived_raw: int | None = None,
    ) -> None:
        """Deposit tokens of the caller; a stranger cash, or what the account holds already.

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
        InvalidAccount, NotAuthorised, ZeroAmount, UnknownAsset, AssetDisabled
        MissingCollateralRate, MissingPrice, CollateralCap, AccountTooHeavy
        TransferMismatch, TokenShortfall, CashOverflow
        """
        with self._entry():
            require_valid(account)
            if asset != CASH and not self._account(account).collateral_bitmap >> asset & 1:
                self.require_authorised(account, caller)
            if asset == CASH:
                self._deposit_cash(caller, account, amount_raw, arrived_raw)
            else:
                self._deposit_collateral(caller, account, asset, amount_raw, arrived_raw)

    def withdraw(
        self, caller: int, account: int, asset: int, amount_raw: int, sent_raw: int | None = None
    ) -> None:
        """Withdraw tokens to the caller; cash may become a loan against collateral, debited Up.

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
        InvalidAccount, NotAuthorised, ZeroAmount, PendingLoss, UnknownAsset, InsufficientCash
        InsufficientCollateral, CashOverflow, TransferMismatch
        StalePrice, BelowInitialMargin, UnrealisedProfitWithdrawal
            By admission.
        """
        with self._entry():
            self.require_authorised(account, caller)
            if amount_raw == 0:
                raise ZeroAmount
            if asset == CASH:
                self._require_no_run()
            check = self._changing(account)
            check.required = check.withdrew = True
            amount = 0
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
            self._emit("Withdrawn", account, asset, caller, amount_raw, amount)

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
            `PositionOverflow`, `ReduceOnly`, `StrikeTooFar`, `TooManyPositions`,
            `AccountTooHeavy`, `CashOverflow`; then `InvalidSize` of an odd size that
            closes nothing, `OpenInterestCap`, and those of admission.
        """
        with self._entry():
            fill = self.exchange.match_orders(maker, maker_signed, taker, taker_signed, size)
            self._require_tradable(fill.instrument, abs(fill.taker_size), fill.price)
            self._trade_both(fill)

    def set_operator(self, caller: int, operator: int, sub_ids: int) -> None:
        """Let an operator act for the caller's sub-accounts in the bitmap `sub_ids`."""
        with self._entry():
            before = self.state.operators.get((caller, operator), 0)
            self.state.operators[caller, operator] = sub_ids
            self._emit("OperatorSet", caller, operator, before, sub_ids)

    def set_margin_mode(self, caller: int, account: int, mode: int) -> None:
        """Choose the generation of margin an account is held to, if it is healthy then.

        Raises
        ------
        InvalidAccount, NotAuthorised, AccountTooHeavy
        StalePrice, InAuction, BelowInitialMargin
            By admission.
        """
        with self._entry():
            self.require_authorised(account, caller)
            check = self._changing(account)
            check.required = check.switched = True
            before = self._account(account)
            after = before._replace(margin_mode=mode)
            self._require_light(account, after)
            self.state.accounts[account] = after
            self._emit("MarginModeSet", account, before.margin_mode, mode)

    def collect_fees(self, caller: int, amount_raw: int, sent_raw: int | None = None) -> None:
        """Send fees earned, debited Up, to the caller.

        Raises
        ------
        AccessManagedUnauthorized, PendingLoss, ZeroAmount, InsufficientFees, InsufficientCash
        TransferMismatch
        """
        with self._entry():
            if caller not in self.fee_collectors:
                raise AccessManagedUnauthorized(caller)
            if self.is_loss_pending():
                raise PendingLoss(self.state.pending_loss)
            if amount_raw == 0:
                raise ZeroAmount
            amount = cash_up(amount_raw, self.settlement_token)
            self._accrue_interest()
            if amount > self.state.fees:
                raise InsufficientFees(amount, self.state.fees)
            self.state.fees -= amount
            self._release_cash(amount)
            self._send(CASH, amount_raw, sent_raw)
            self._emit("FeesCollected", caller, amount_raw)

    def _deposit_cash(
        self, caller: int, account: int, amount_raw: int, arrived_raw: int | None
    ) -> None:
        amount = cash_down(amount_raw, self.settlement_token)
        if amount == 0:
            raise ZeroAmount
        self._changing(account)
        self._accrue_interest()
        self.state.cash_held += amount
        self._pull(CASH, amount_raw, arrived_raw)
        self._change_cash(account, self._touch(account), amount)
        self._emit("Deposited", account, CASH, caller, amount_raw, amount)

    def _deposit_collateral(
        self, caller: int, account: int, asset: int, amount_raw: int, arrived_raw: int | None
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
        self._require_room_for(account, asset)
        self._changing(account)
        balance = self._account(account).collateral[asset]
        self._set_collateral(account, asset, balance + amount_raw)
        self._pull(asset, amount_raw, arrived_raw)
        self._emit("Deposited", account, asset, caller, amount_raw, 0)

    def _require_room_for(self, account: int, asset: int) -> None:
        """Refuse a collateral not yet held that would make the account too heavy."""
        stored = self._account(account)
        if stored.collateral[asset] != 0:
            return
        collateral = list(stored.collateral)
        collateral[asset] = 1
        self._require_light(account, stored._replace(collateral=tuple(collateral)))

    # ------------------------------------------------------------------------------------ trading

    def _require_tradable(self, instrument: int, size: int, price: int) -> None:
        self._require_listed(instrument)
        lot_size = self._data.underlying_parameters(instruments.underlying(instrument)).lot_size
        if size == 0:
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
        self._require_whole_lots(fill, parameters.lot_size)
        open_after = self.market_state(underlying).open_interest
        one_sided = -(-open_after // 2)
        if open_after > open_before and one_sided > parameters.open_interest_cap:
            raise OpenInterestCap(underlying, one_sided, parameters.open_interest_cap)
        self._settle_closed(fill)

    def _require_whole_lots(self, fill: Fill, lot_size: int) -> None:
        """Let odd sizes, which slices leave behind, only close a position."""
        size = abs(fill.taker_size)
        accounts = fill.maker_account, fill.taker_account
        closes = any(self.position_of(a, fill.instrument)[0] == 0 for a in accounts)
        if size % lot_size and not closes:
            raise InvalidSize(size, lot_size)

    def _fee(self, fill: Fill, index: int, fee_rate: int) -> int:
        underlying = instruments.underlying(fill.instrument)
        cap = self._data.underlying_parameters(underlying).option_fee_cap
        size = abs(fill.taker_size)
        premium = slots.signed_amount(size, fill.price)
        return fees.on_fill(fill.instrument, size, index, fee_rate, premium, cap)

    def _trade(self, account: int, fill: Fill, size: int, fee: int, reduce_only: bool) -> None:
        """Change one party's position and cash."""
        check = self._changing(account)
        check.required = True
        touched = self._touch(account)
        held = list(touched.positions)
        place = slots.place(held, fill.instrument)
        old = 0 if place is None else held[place]
        trade = slots.apply_trade(fill.instrument, old, size, self._trade_price(fill))
        before, after = slots.size(old), slots.size(trade.slot)
        if abs(after) >= abs(before) or after * before < 0:
            if reduce_only:
                raise ReduceOnly(account, before, after)
            self._require_near_strike(fill.instrument)
        check.paid = check.paid or trade.cash_change < 0
        slots.replace(held, place, trade.slot)
        if len(held) > len(touched.positions):
            cap = self.market.global_parameters.max_positions
            if len(held) > cap:
                raise TooManyPositions(account, cap)
            self._require_light(account, touched._replace(positions=tuple(held)))
        self._change_open_interest(fill.instrument, abs(after) - abs(before))
        self.state.fees += fee
        self._change_cash(account, touched._replace(positions=tuple(held)), trade.cash_change - fee)
        self._emit(
            *("Traded", account, fill.instrument, size, fill.price),
            *(trade.cash_change, fee, after),
        )

    def _require_near_strike(self, instrument: int) -> None:
        """Refuse more of an option that is far from the index."""
        if not instruments.is_option(instrument):
            return
        strike = instruments.strike(instrument)
        index = self._data.spot(instruments.underlying(instrument)).index
        if strike * MAX_STRIKE_RATIO < index or strike > index * MAX_STRIKE_RATIO:
            raise StrikeTooFar(strike, index)

    def _trade_price(self, fill: Fill) -> int:
        """Price that a position's quote is changed by."""
        if not instruments.is_perpetual(fill.instrument):
            return fill.price
        return fill.price - self.market_state(fill.instrument >> 120).funding_index
