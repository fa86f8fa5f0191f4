"""Liquidation and default: states, auctions, waterfall and deleveraging of the ledger.

Source: specification, Liquidation; ``contracts/interfaces/ILiquidationEngine.sol``.
"""

from collections.abc import Sequence

from reference_model.exact import auction, deleveraging, risk_model, sale, waterfall, windows
from reference_model.exact import instrument as instruments
from reference_model.exact import position as slots
from reference_model.exact.errors import (
    AlreadyInAuction,
    DeleveragingNotDue,
    InvalidBidder,
    InvalidRewardAccount,
    ModelError,
    NoAuction,
    NotAscending,
    NothingToDeleverage,
    NotLiquidatable,
    NotOpposite,
    PendingLoss,
    SlicePriceNotAcceptable,
    TooManyPositions,
    WindowExhausted,
    ZeroAmount,
)
from reference_model.exact.fixed_point import (
    clamp,
    div_up,
    mul_down,
    mul_up,
    to_raw_up,
    to_wad_down,
)
from reference_model.exact.ledger import CASH, Account, Check, require_valid
from reference_model.exact.settlement import Settlement
from reference_model.exact.tokens import cash_down
from reference_model.types import (
    DAY,
    WAD,
    AccountStatus,
    Assessment,
    AuctionPreview,
    LastStep,
    MarginMode,
    Portfolio,
)

# More than any payment; what a bidder accepts beyond it counts as this.
MAX_PRICE = 2**192


class Liquidation(Settlement):
    """The ledger with everything that happens below maintenance margin."""

    # ------------------------------------------------------------------------------------ actions

    def update_status(self, account: int) -> AccountStatus:
        """Record the health of an account, and end its auction if it is over; anyone may.

        Raises
        ------
        InvalidAccount, AdmissionPending
        """
        with self._entry():
            require_valid(account)
            self._require_no_admission_owed(account)
            seen, stored = self._assess(account), self._account(account)
            age = self._since(stored.clock.started_at)
            may_end = auction.may_end(seen, age, self.rules.auction)
            if stored.in_auction and may_end:
                self._end_auction(account, seen)
            else:
                self._record(account, seen)
        return self.status_of(account)

    def start_auction(self, account: int, reward_account: int) -> int:
        """Put an account below maintenance margin up for sale; return the reward, USD, WAD.

        Raises
        ------
        InvalidAccount, AdmissionPending, InvalidRewardAccount, AlreadyInAuction, NotLiquidatable
        CashOverflow
        """
        with self._entry():
            require_valid(account)
            require_valid(reward_account)
            self._require_no_admission_owed(account)
            if reward_account == account:
                raise InvalidRewardAccount(account)
            seen = self._assess(account)
            if self._is_for_sale(account, seen):
                raise AlreadyInAuction(account)
            require_liquidatable(account, seen)
            reward = auction.reward(seen, self.rules.auction)
            reward = min(reward, max(0, seen.collateral_equity))
            self._pass_cash(account, reward_account, reward)
            self._emit(
                *("AuctionStarted", account, reward_account),
                *(reward, seen.equity, seen.maintenance_margin),
            )
            self._set_status(account, seen, True, auction.started(seen, self.active_time))
        return reward

    def bid(
        self, caller: int, account: int, bidder: int, fraction: int, max_price: int
    ) -> tuple[int, int]:
        """Take over a slice of an account in auction; the bidder must end healthy.

        Parameters
        ----------
        caller, account, bidder : int
            The caller is owner or operator of `bidder`.
        fraction : int
            Greatest slice wanted, WAD.
        max_price : int
            Greatest price of the whole, USD, WAD; negative is to be received.

        Returns
        -------
        fraction_sold, payment : int
            WAD; the payment is USD, negative if the bidder received it.

        Raises
        ------
        InvalidAccount, NotAuthorised, AdmissionPending, InvalidBidder, NoAuction, ZeroAmount
        NotLiquidatable, WindowExhausted, PositionOverflow, TooManyPositions
        AccountTooHeavy, SlicePriceNotAcceptable, CashOverflow
            In this order.
        InAuction, BelowInitialMargin, UnrealisedProfitWithdrawal
            By admission of the bidder.
        """
        with self._entry():
            require_valid(account)
            self.require_authorised(bidder, caller)
            self._require_no_admission_owed(account)
            if bidder == account:
                raise InvalidBidder(account)
            offer = self.auction_of(account)
            if not self._is_for_sale(account, offer.assessment):
                raise NoAuction(account)
            if fraction == 0:
                raise ZeroAmount
            require_liquidatable(account, offer.assessment)
            if offer.largest_fraction == 0:
                raise self._exhausted(account)
            return self._sell(account, bidder, offer, (fraction, max_price))

    def deleverage(self, account: int, instrument: int, counterparties: Sequence[int]) -> int:
        """Close an insolvent account's position against opposite ones; return the units closed.

        The deficit is shared in proportion to what is closed, out of profits never paid in.

        Raises
        ------
        InvalidAccount, AdmissionPending, NothingToDeleverage, DeleveragingNotDue, NotAscending
        NotOpposite, PositionOverflow, CashOverflow
        """
        with self._entry():
            require_valid(account)
            self._require_no_admission_owed(account)
            size, seen = self._live_size(account, instrument), self._assess_insolvent(account)
            self._require_deleveraging_due(account, seen)
            opposite = self._opposite_sizes(account, instrument, counterparties)
            share = self.rules.auction.max_deleverage_share
            most = deleveraging.closed_size(size, sum(opposite), share)
            if most == 0:
                raise NothingToDeleverage(account, instrument)
            sizes = deleveraging.split(most, opposite)
            haircut = deleveraging.haircut_for(
                self._premium(instrument, -most if size > 0 else most),
                seen.collateral_equity,
                self._haircut(account, instrument, most, -seen.equity),
                -seen.equity,
            )
            haircuts = deleveraging.split(haircut, sizes)
            self._touch_all([account, *counterparties])
            if instruments.is_perpetual(instrument):
                self._accrue_funding(instruments.underlying(instrument))
            closed, deficit = 0, -seen.equity
            for counterparty, units, cut in zip(counterparties, sizes, haircuts, strict=True):
                terms = units, cut, deficit
                taken = self._close(account, counterparty, instrument, terms)
                if taken is not None:
                    closed += units
                    deficit -= taken
            self._record(account, seen)
        return closed

    def contribute(self, caller: int, amount_raw: int, arrived_raw: int | None = None) -> None:
        """Add tokens of the caller to protocol capital.

        Raises
        ------
        ZeroAmount, TransferMismatch, TokenShortfall
        """
        with self._entry():
            amount = cash_down(amount_raw, self.settlement_token)
            if amount == 0:
                raise ZeroAmount
            self._accrue_interest()
            self.state.cash_held += amount
            self.state.fees += amount
            self._pull(CASH, amount_raw, arrived_raw)
            self._emit("Contributed", caller, amount_raw, amount)

    # -------------------------------------------------------------------------------------- views

    def status_of(self, account: int) -> AccountStatus:
        """Status as last recorded."""
        return self._account(account).status

    def pending_loss(self) -> int:
        """Sum of all deficits recorded, USD, WAD."""
        return self.state.pending_loss

    def is_loss_pending(self) -> bool:
        """Whether accounts recorded insolvent lack more than dust, for a day at most."""
        is_recent = self.active_time < self.state.loss_recorded_at + DAY
        return is_recent and self.state.pending_loss > self.rules.auction.dust_margin

    def window_of(self, underlying: int) -> tuple[int, int]:
        """Units of forced volume counted at present, and units allowed, WAD; 0 for no limit."""
        window = self.rules.window(underlying)
        stored = self.state.windows.get(underlying, windows.Level())
        return windows.level_at(stored, window, self.active_time), window.capacity

    def auction_of(self, account: int) -> AuctionPreview:
        """Return what a bid would find at present."""
        stored, seen, rules = self._account(account), self._assess(account), self.rules.auction
        elapsed = self._elapsed(account, seen)
        discount = self._discount(stored, seen, elapsed)
        price = auction.price(seen, discount, rules)
        restore = auction.restoring_fraction(seen, price, rules)
        window = min(self._window_fractions(stored).values(), default=WAD)
        largest = auction.largest_fraction(seen, restore, window)
        status = auction.status(risk_model.health(seen), stored.in_auction)
        return AuctionPreview(status, seen, elapsed, discount, price, restore, largest)

    # ------------------------------------------------------------------------------------ auction

    def _assess(self, account: int) -> Assessment:
        return risk_model.assess(self.portfolio(account), self.market)

    def _assess_insolvent(self, account: int) -> Assessment:
        """Assess by portfolio margin an account held to predictive margin."""
        seen = self.portfolio(account)
        if seen.margin_mode == MarginMode.PREDICTIVE:
            seen = seen._replace(margin_mode=MarginMode.PORTFOLIO)
        return risk_model.assess(seen, self.market)

    def _since(self, active_time: int) -> int:
        """Seconds of active time since a moment; the clock may have been set back."""
        return max(0, self.active_time - active_time)

    def _elapsed(self, account: int, seen: Assessment) -> int:
        """Seconds that the auction of an account has run, seen like this; 0 without one."""
        stored, now = self._account(account), self.active_time
        if not stored.in_auction:
            return 0
        return auction.elapsed(auction.recorded(stored.clock, seen, now), now)

    def _is_for_sale(self, account: int, seen: Assessment) -> bool:
        """Whether there is an auction, and it has not lapsed."""
        elapsed = self._elapsed(account, seen)
        lapsed = auction.has_lapsed(seen, elapsed, self.rules.auction)
        return self._account(account).in_auction and not lapsed

    def _discount(self, account: Account, seen: Assessment, elapsed: int) -> int:
        """Share of MM given away now."""
        if account.is_bare:
            return WAD
        if seen.equity >= 0 and self._is_dark(account):
            return self.rules.auction.opening_discount
        return auction.discount(elapsed, self.rules.auction)

    def _is_dark(self, account: Account) -> bool:
        """Whether nobody vouches for the price of something the account has a position in."""
        max_age = self.market.global_parameters.liquidation_max_age_seconds
        held = [slot for slot in account.positions if slots.size(slot)]
        underlyings = {slots.instrument(slot) >> 120 for slot in held}
        times = [self._data.spot(underlying).timestamp for underlying in underlyings]
        return any(time == 0 or time + max_age < self.market.now for time in times)

    def _end_auction(self, account: int, seen: Assessment | None) -> None:
        """End an auction, the account being as it was seen; None after it was restored."""
        self._emit("AuctionEnded", account)
        self._set_status(account, seen, False, auction.Clock())

    def _pass_cash(self, payer: int, payee: int, amount: int) -> None:
        """Touch two accounts and move cash from one to the other."""
        self._changing(payer)
        self._changing(payee)
        touched = self._touch(payer), self._touch(payee)
        self._change_cash(payer, touched[0], -amount)
        self._change_cash(payee, touched[1], amount)

    # ------------------------------------------------------------------------------------ windows

    def _volumes(self, account: Account) -> dict[int, int]:
        """Volume of an account in each underlying, units, WAD."""
        balances = []
        for word in self._collateral_words(account):
            parameters = self._data.collateral_parameters(word >> 248)
            if parameters.underlying:
                balances.append((parameters.underlying, word & risk_model.BALANCE_MASK))
        return windows.volumes(account.positions, balances, self.market.now)

    def _window_fractions(self, account: Account) -> dict[int, int]:
        """Largest slice that each limited window lets through, by underlying, ascending."""
        fractions = {}
        for underlying, volume in self._volumes(account).items():
            level, capacity = self.window_of(underlying)
            if capacity:
                fractions[underlying] = windows.fraction(volume, level, capacity)
        return fractions

    def _exhausted(self, account: int) -> WindowExhausted:
        fractions = self._window_fractions(self._account(account))
        underlying = next(u for u, fraction in fractions.items() if fraction == 0)
        return WindowExhausted(underlying, *self.window_of(underlying))

    def _fill_windows(self, account: Account, fraction: int) -> None:
        for underlying, volume in self._volumes(account).items():
            level, capacity = self.window_of(underlying)
            if capacity:
                filled = windows.filled(level, volume, fraction, capacity)
                self.state.windows[underlying] = windows.Level(filled, self.active_time)

    # ---------------------------------------------------------------------------------------- bid

    def _sell(
        self, account: int, bidder: int, offer: AuctionPreview, wanted: tuple[int, int]
    ) -> tuple[int, int]:
        """Sell what is wanted, a fraction and a price for the whole, as far as it is for sale."""
        fraction = auction.sold_fraction(
            wanted[0],
            offer.restoring_fraction,
            offer.largest_fraction,
            offer.assessment,
            self.rules.auction,
        )
        self._changing(account)
        self._changing(bidder).bid = True
        self._accrue_interest()
        sold, buyer = self._account(account), self._account(bidder)
        sold_cash = self._cash_of(sold)
        paid, payment = waterfall.Payment(), mul_up(max(0, offer.price), fraction)
        if offer.price < 0:
            paid = self._pay_claim(account, offer, fraction)
            payment = -paid.total
        self._fill_windows(self._account(account), fraction)
        limit = mul_up(clamp(wanted[1], -MAX_PRICE, MAX_PRICE), fraction)
        self._transfer(account, bidder, fraction, (payment, limit))
        self._emit("SliceSold", account, bidder, fraction, payment, *paid)
        if fraction >= offer.restoring_fraction:
            self._end_auction(account, None)
        else:
            self._record(account, offer.assessment)
        may_copy = offer.price >= 0 and is_plain(buyer) and scales(sold, fraction)
        if may_copy and not self._checks[bidder].required:
            after = self._account(bidder)
            if auction.is_copy_healthy(offer.assessment, sold_cash, after.cash, fraction):
                self._checks[bidder] = Check(after)
        return fraction, payment

    def _transfer(self, account: int, bidder: int, fraction: int, price: tuple[int, int]) -> None:
        """Pass a slice of everything for a payment, which must be within a limit."""
        payment, limit = price
        seller, buyer = self._touch(account), self._touch(bidder)
        passed = sale.transfer(seller.positions, buyer.positions, fraction)
        cap = max(self.market.global_parameters.max_positions, len(seller.positions))
        if len(buyer.positions) < len(passed.received) > cap:
            raise TooManyPositions(bidder, cap)
        parts = [sale.part(balance, fraction) for balance in seller.collateral]
        pairs = list(zip(seller.collateral, buyer.collateral, parts, strict=True))
        cash = sale.part(seller.cash, fraction)
        kept = seller._replace(
            positions=passed.kept, collateral=tuple(mine - part for mine, _, part in pairs)
        )
        received = buyer._replace(
            positions=passed.received, collateral=tuple(its + part for _, its, part in pairs)
        )
        self._require_light(bidder, received)
        if payment > limit:
            raise SlicePriceNotAcceptable(payment, limit)
        self._change_cash(account, kept, max(0, payment) - cash)
        self._change_cash(bidder, received, cash - payment)
        for underlying, netted in passed.netted.items():
            self._change_open_interest(instruments.perpetual(underlying), -netted)

    # ---------------------------------------------------------------------------------- waterfall

    def _pay_claim(self, account: int, offer: AuctionPreview, fraction: int) -> waterfall.Payment:
        """Find what pays a bidder's claim for a slice, in order."""
        claim = mul_down(-offer.price, fraction)
        from_fees = min(claim, self.state.fees)
        self.state.fees -= from_fees
        from_fund = self._draw_on_fund(claim - from_fees)
        found, socialised = from_fees + from_fund, 0
        if self._may_socialise(self._account(account), offer.elapsed_seconds):
            missing = mul_down(max(0, -offer.assessment.collateral_equity), fraction)
            socialised = self._socialise(min(claim - found, missing), found)
        return waterfall.Payment(from_fees, from_fund, socialised)

    def _draw_on_fund(self, rest: int) -> int:
        """Ask the insurance fund; what exceeds the rest becomes protocol capital."""
        fund, token = self.rules.insurance_fund, self.settlement_token
        if fund is None or rest == 0:
            return 0
        try:
            arrived_raw = fund.cover(self.address, to_raw_up(rest, token.decimals))
        except ModelError:
            return 0
        balances = self.state.token_balance_raw
        balances[CASH] = balances.get(CASH, 0) + arrived_raw
        arrived = cash_down(arrived_raw, token)
        self.state.cash_held += arrived
        self.state.fees += max(0, arrived - rest)
        return min(arrived, rest)

    def _capital(self) -> int:
        """What stands before the owners of cash, USD, WAD: protocol capital and the fund."""
        fund = self.rules.insurance_fund
        insured_raw = fund.total_assets() if fund else 0
        return self.state.fees + to_wad_down(insured_raw, self.settlement_token.decimals)

    def _require_no_run(self) -> None:
        """Refuse that cash leaves ahead of a pending loss beyond fees and fund."""
        if self.is_loss_pending() and self.state.pending_loss > self._capital():
            raise PendingLoss(self.state.pending_loss)

    def _may_socialise(self, account: Account, elapsed: int) -> bool:
        """Whether it is time for the last step, and nobody is left to be deleveraged first."""
        rules = self.rules.auction
        is_time = auction.has_ended(elapsed, rules) or account.is_bare
        is_late = auction.is_late(elapsed, rules)
        comes_first = rules.last_step == LastStep.SOCIALISE
        return is_time and (comes_first or is_late or not account.has_size)

    def _socialise(self, rest: int, found: int) -> int:
        """Take cash that is missing from all owners of cash, by the supply index."""
        s = self.state
        pools = sum(market.pnl_pool for market in s.markets.values())
        base = s.cash_held + s.total_debt - pools - s.fees - found
        most, seconds = (
            self.rules.auction.max_socialised_share,
            self._since(s.socialised.updated_at),
        )
        taken = waterfall.share_taken(s.socialised.share, seconds, most)
        amount, index = waterfall.socialise(rest, base, s.supply_index, max(0, most - taken))
        if amount:
            share = taken + div_up(amount, base)
            s.supply_index, s.socialised = index, waterfall.Socialised(share, self.active_time)
            s.interest_pool -= amount
            self._emit("LossSocialised", amount, s.supply_index)
        return amount

    # ------------------------------------------------------------------------------- deleveraging

    def _live_size(self, account: int, instrument: int) -> int:
        """Size of a position that is neither zero nor expired."""
        size, _ = self.position_of(account, instrument)
        if size == 0 or 0 < instruments.expiry(instrument) <= self.market.now:
            raise NothingToDeleverage(account, instrument)
        return size

    def _require_deleveraging_due(self, account: int, seen: Assessment) -> None:
        rules = self.rules.auction
        is_last_step = rules.last_step == LastStep.DELEVERAGE
        is_time = auction.has_ended(self._elapsed(account, seen), rules)
        is_uncovered = seen.equity < 0 and self._capital() < auction.most_wanted(seen, rules)
        if not (is_last_step and is_time and is_uncovered):
            raise DeleveragingNotDue(account)

    def _opposite_sizes(
        self, account: int, instrument: int, counterparties: Sequence[int]
    ) -> list[int]:
        """Sizes of the counterparties' positions, unsigned."""
        size, _ = self.position_of(account, instrument)
        sizes, last = [], -1
        for counterparty in counterparties:
            if counterparty <= last or counterparty == account:
                raise NotAscending(counterparty)
            self._require_no_admission_owed(counterparty)
            held, _ = self.position_of(counterparty, instrument)
            if held * size >= 0:
                raise NotOpposite(counterparty)
            sizes.append(abs(held))
            last = counterparty
        return sizes

    def _haircut(self, account: int, instrument: int, closed: int, deficit: int) -> int:
        """Part of the deficit that goes with what is closed, USD, WAD."""

        def weight(slot: int) -> int:
            return abs(slots.size(slot)) * self._data.spot(slots.instrument(slot) >> 120).index

        held = self._account(account).positions
        others = sum(weight(slot) for slot in held if slots.instrument(slot) != instrument)
        index = self._data.spot(instruments.underlying(instrument)).index
        size, _ = self.position_of(account, instrument)
        return deleveraging.haircut(deficit, closed, abs(size), index, others)

    def _fair_price(self, instrument: int) -> int:
        """Equity of one unit of an instrument, USD, WAD, at least 0."""
        unit = Portfolio(0, 0, (), (slots.pack(instrument, WAD, 0),), ())
        return max(0, risk_model.assess(unit, self.market).equity)

    def _premium(self, instrument: int, bought: int) -> int:
        """Cash paid at the fair price for units bought, signed; 0 if linear."""
        if not instruments.is_option(instrument):
            return 0
        premium = mul_down(abs(bought), self._fair_price(instrument))
        return premium if bought > 0 else -premium

    def _touch_all(self, accounts: Sequence[int]) -> None:
        for account in accounts:
            self._changing(account)
            self._touch(account)

    def _close(
        self, account: int, counterparty: int, instrument: int, terms: tuple[int, int, int]
    ) -> int | None:
        """Trade units at the fair price less a haircut, which is returned.

        None if that hurts the counterparty, or somebody could pay the premium only with what
        others have lent; then nothing happens.
        """
        units, share, deficit = terms
        saved, old = self.state.copy(), self._assess(counterparty)
        size, _ = self.position_of(counterparty, instrument)
        sign, price = (1 if size > 0 else -1), self._fair_price(instrument)
        premium = self._premium(instrument, sign * units)
        funds = self._assess(account).collateral_equity
        haircut = min(
            deleveraging.haircut_for(premium, funds, share, deficit),
            self._unpaid_profit(counterparty, instrument, units, price),
        )
        self._exchange(counterparty, instrument, -sign * units, (price, -haircut))
        new = self._assess(counterparty)
        is_paid = deleveraging.is_paid(premium, haircut, funds, new.collateral_equity)
        if not is_paid or deleveraging.hurts(old, new):
            self.state = saved
            return None
        self._exchange(account, instrument, sign * units, (price, haircut))
        self._emit(
            *("Deleveraged", account, counterparty, instrument),
            *(sign * units, price, haircut),
        )
        return haircut

    def _unpaid_profit(self, counterparty: int, instrument: int, units: int, price: int) -> int:
        """Profit of what is closed that nobody has paid in, USD, WAD."""
        size, quote = self.position_of(counterparty, instrument)
        if instruments.is_option(instrument):
            return mul_down(units, price) if size > 0 else 0
        value = mul_down(size, self._net_price(instrument, price)) + quote
        return deleveraging.unpaid_profit(value, units, abs(size))

    def _net_price(self, instrument: int, price: int) -> int:
        """Price that a quote is changed by: of a perpetual, less its funding index."""
        if not instruments.is_perpetual(instrument):
            return price
        return price - self.market_state(instruments.underlying(instrument)).funding_index

    def _exchange(self, account: int, instrument: int, size: int, terms: tuple[int, int]) -> None:
        """One side: buy a size at a price and receive some cash, both signed."""
        price, received = terms
        stored = self._account(account)
        held = list(stored.positions)
        place = slots.place(held, instrument)
        before = 0 if place is None else held[place]
        net_price = self._net_price(instrument, price)
        slot, premium = slots.apply_trade(instrument, before, size, net_price)
        change = abs(slots.size(slot)) - abs(slots.size(before))
        self._change_open_interest(instrument, change)
        if instruments.is_option(instrument):
            slots.replace(held, place, slot)
            after = stored._replace(positions=tuple(held))
            self._change_cash(account, after, premium + received)
            return
        quote = slots.quote(slot) + received
        if place is not None:
            held[place] = slots.pack(instrument, slots.size(slot), quote)
        slots.remove_empty(held)
        self._set_positions(account, held)


def require_liquidatable(account: int, seen: Assessment) -> None:
    """Refuse an account at or above maintenance margin.

    Raises
    ------
    NotLiquidatable
    """
    if not auction.is_liquidatable(seen):
        raise NotLiquidatable(account, seen.equity, seen.maintenance_margin)


def is_plain(account: Account) -> bool:
    """Whether an account has nothing but cash, in mode `PORTFOLIO` and healthy."""
    return account == Account(account.cash, account.cash_index)


def scales(account: Account, fraction: int) -> bool:
    """Whether a slice is so nearly a scaled copy that what is found of one tells of the other.

    Sizes scale closely enough; collateral, of few large pieces maybe, does if all of it goes.
    """
    is_predictive = account.margin_mode == MarginMode.PREDICTIVE
    return not is_predictive and (fraction == WAD or not account.collateral_bitmap)
