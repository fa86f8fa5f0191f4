"""What accounts are worth and require, now and after a hypothetical change.

Source: specification, section 12; Predictive margin, 8; ``contracts/interfaces/IMarginLens.sol``.
"""

from typing import NamedTuple

from reference_model.exact import instrument as instruments
from reference_model.exact import position as slots
from reference_model.exact import predictive_model, risk_model
from reference_model.exact.engine import Engine
from reference_model.exact.errors import InsufficientCollateral, NotPredicted
from reference_model.exact.exchange import Fill
from reference_model.exact.fixed_point import div_down
from reference_model.exact.ledger import CASH
from reference_model.exact.tokens import cash_down, cash_up
from reference_model.types import Breakdown, Exposure, Prediction


class Transfer(NamedTuple):
    """A transfer not made: raw tokens of asset 0, which is cash, or of collateral; signed."""

    asset: int
    amount_raw: int


class Trade(NamedTuple):
    """A trade not made: units bought, negative if sold, and price in USD, both WAD."""

    instrument: int
    size: int
    price: int
    is_taker: bool


class Hypothesis(NamedTuple):
    """Transfers, then trades, in this order, then perhaps another margin mode."""

    transfers: tuple[Transfer, ...]
    trades: tuple[Trade, ...]
    changes_mode: bool
    margin_mode: int


class Validity(NamedTuple):
    """Time of an account's oldest price, seconds, and the uses it is young enough for."""

    oldest_timestamp: int
    withdraw: bool
    open: bool
    margin: bool
    liquidation: bool


def validity(engine: Engine, account: int) -> Validity:
    """Return what the prices of an account, taken together, are young enough for."""
    oldest = breakdown(engine, account).assessment.oldest_timestamp
    ages, age = engine.market.global_parameters, engine.market.now - oldest
    return Validity(
        oldest,
        age <= ages.withdraw_max_age_seconds,
        age <= ages.open_max_age_seconds,
        age <= ages.margin_max_age_seconds,
        age <= ages.liquidation_max_age_seconds,
    )


def breakdown(engine: Engine, account: int) -> Breakdown:
    """Equity and requirement of an account with every intermediate."""
    return risk_model.breakdown(engine.portfolio(account), engine.market)


def capital_efficiency(engine: Engine, account: int) -> int:
    """``1 − IM_portfolio / IM_isolated`` of an account, WAD, Down; 0 if it needs no margin."""
    parts = breakdown(engine, account)
    isolated = parts.isolated_initial_margin
    saved = isolated - min(parts.net_initial_margin, isolated)
    return div_down(saved, isolated) if isolated else 0


def shortfall_at(engine: Engine, account: int, hint: int) -> int:
    """Upper bound of an account's expected shortfall from any hint; USD, WAD, Up.

    Raises
    ------
    NotPredicted, AmountTooLarge
    """
    return predictive_model.shortfall_at(*_exposed(engine, account), hint)


def exceedances(engine: Engine, account: int, amount: int) -> tuple[int, int]:
    """Dates on which an account loses more than an amount, and the count that certifies it.

    Raises
    ------
    NotPredicted, AmountTooLarge
    """
    return predictive_model.exceedances(*_exposed(engine, account), amount)


def _exposed(engine: Engine, account: int) -> tuple[Prediction, tuple[Exposure, ...]]:
    """What there is to measure by, and of an account."""
    exposures = risk_model.exposures(engine.portfolio(account), engine.market)
    if not exposures:
        raise NotPredicted(account)
    return engine.market.prediction, exposures


def what_if(engine: Engine, account: int, hypothesis: Hypothesis) -> tuple[Breakdown, Breakdown]:
    """Return an account's breakdown now and as it would be.

    Caps, lots, strikes, the age of prices and admission are not judged. A linear position that a
    trade closes is settled from the pool as it is, whatever the counterparty would pay in; open
    interest grows as if the fill opened the counterparty's position.

    Raises
    ------
    MissingPrice, UnknownInstrument, InstrumentExpired, PositionOverflow, UnknownAsset
    InsufficientCollateral
    """
    before = breakdown(engine, account)
    supposed = _Supposed(engine, account)
    for transfer in hypothesis.transfers:
        supposed.transfer(transfer)
    for trade in hypothesis.trades:
        supposed.trade(trade)
    if hypothesis.changes_mode:
        supposed.change(margin_mode=hypothesis.margin_mode)
    return before, breakdown(supposed, account)


class _Supposed(Engine):
    """A copy of a ledger in which one account is changed without being asked for anything."""

    def __init__(self, engine: Engine, account: int) -> None:
        super().__init__(
            engine.market,
            engine.interest_parameters,
            engine.listed_expiries,
            engine.settlement_token,
            clock=engine.clock,
        )
        self.state = engine.state.copy()
        self._id = account
        self._checks = {}
        self._touch(account)

    def change(self, **changes) -> None:
        """Replace fields of the account."""
        self.state.accounts[self._id] = self._account(self._id)._replace(**changes)

    def transfer(self, transfer: Transfer) -> None:
        """Add or take tokens."""
        asset, amount_raw = transfer
        stored = self._account(self._id)
        if asset == CASH:
            token = self.settlement_token
            credited = cash_down(max(0, amount_raw), token) - cash_up(max(0, -amount_raw), token)
            self._store_cash(self._id, stored, stored.cash + credited)
            return
        self._token(asset)
        balance = stored.collateral[asset]
        if -amount_raw > balance:
            raise InsufficientCollateral(asset, -amount_raw, balance)
        balances = list(stored.collateral)
        balances[asset] += amount_raw
        self.change(collateral=tuple(balances))

    def trade(self, trade: Trade) -> None:
        """Trade with nobody."""
        self._require_listed(trade.instrument)
        underlying = instruments.underlying(trade.instrument)
        parameters = self._data.underlying_parameters(underlying)
        spot = self._data.spot(underlying)
        if instruments.is_perpetual(trade.instrument):
            self._accrue_funding(underlying)
        fill = Fill(0, self._id, trade.instrument, trade.size, trade.price, False, False)
        account = self._account(self._id)
        held = list(account.positions)
        place = slots.place(held, trade.instrument)
        old = 0 if place is None else held[place]
        new = slots.apply_trade(trade.instrument, old, trade.size, self._trade_price(fill))
        slots.replace(held, place, new.slot)
        grown = abs(slots.size(new.slot)) - abs(slots.size(old)) + abs(trade.size)
        self._change_open_interest(trade.instrument, grown)
        fee_rate = parameters.taker_fee if trade.is_taker else parameters.maker_fee
        cash = account.cash + new.cash_change - self._fee(fill, spot.index, fee_rate)
        self._store_cash(self._id, account._replace(positions=tuple(held)), cash)
        pool = self.market_state(underlying).pnl_pool
        self._settle_closed(fill)
        # The pool stays as it is, for the next trade too.
        stored = self.market_state(underlying)
        self.state.markets[underlying] = stored._replace(pnl_pool=pool)
