"""Settlement of profit, loss and expiry, and accrual of interest and funding.

Source: specification, sections 4 and 5.
"""

from reference_model.exact import instrument as instruments
from reference_model.exact import position as slots
from reference_model.exact import risk_model
from reference_model.exact.exchange import Fill
from reference_model.exact.fixed_point import mul_down
from reference_model.exact.ledger import Account, Ledger, require_valid


class Settlement(Ledger):
    """The ledger with what anyone may do to bring it up to date."""

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
            self._data.spot(underlying)
            self._accrue_funding(underlying)

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
            claim = slots.place(held, perpetual)
            if claim is None:
                held[place] = slots.pack(perpetual, 0, payoff)
            else:
                quote = slots.quote(held[claim]) + payoff
                held[claim] = slots.pack(perpetual, slots.size(held[claim]), quote)
                slots.replace(held, place, 0)
            self._change_open_interest(instrument, -abs(size))
            self._emit("PositionExpired", account, instrument, size, price, payoff)
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
        pool = self.market_state(underlying).pnl_pool
        self._emit("PnlSettled", account, instrument, cash_change, pool)
