"""All accounts a keeper knows, as arrays, and their margin at the market of a block."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from reference_model.ideal import book as layout
from reference_model.ideal import instruments as packed
from reference_model.ideal import margin, scenarios
from reference_model.ideal import market as ideal
from reference_model.ideal.instruments import Kind
from reference_model.types import WAD, MarginMode
from scripts.keeping.chain import Chain, Head, Method, Refusal
from scripts.keeping.market import MarketView


class Held(NamedTuple):
    """What an account holds, in natural units; as a list it is what the checkpoint keeps.

    Attributes
    ----------
    cash : float
        USD, signed, with interest when it was read.
    margin_mode : int
    collateral : list of (int, float)
        Asset and whole tokens.
    positions : list of (int, float, float)
        Instrument, size and quote; that of a perpetual as stored, without funding.
    status : int
        `AccountStatus` recorded by the engine.
    """

    cash: float
    margin_mode: int
    collateral: list
    positions: list
    status: int


class Reader:
    """Reads what accounts hold, many at a time.

    Parameters
    ----------
    chain : Chain
    portfolio, status, funding : Method
        ``portfolio``, ``statusOf`` and ``currentFundingIndex`` of the engine.
    underlyings : iterable of int
    """

    def __init__(
        self,
        chain: Chain,
        portfolio: Method,
        status: Method,
        funding: Method,
        underlyings: Iterable[int],
    ):
        self.chain = chain
        self._portfolio, self._status, self._funding = portfolio, status, funding
        self._underlyings = sorted(underlyings)

    def read(self, accounts: list[int], head: Head) -> Iterator[tuple[int, Held | Refusal]]:
        """What each account holds at a block, or how the chain refuses to say."""
        calls = [self._funding(u) for u in self._underlyings]
        funding = {
            u: 0.0 if isinstance(row, Refusal) else row[0] / WAD
            for u, row in zip(
                self._underlyings, self.chain.read_many(calls, head.number), strict=True
            )
        }
        calls = [method(a) for a in accounts for method in (self._portfolio, self._status)]
        rows = self.chain.read_many(calls, head.number)
        for account, portfolio, status in zip(accounts, rows[::2], rows[1::2], strict=True):
            if isinstance(portfolio, Refusal) or isinstance(status, Refusal):
                yield account, portfolio if isinstance(portfolio, Refusal) else status
            elif unknown := underlyings_of(portfolio[0]) - funding.keys():
                numbers = ", ".join(map(str, sorted(unknown)))
                yield account, Refusal("", (), f"the manifest names no underlying {numbers}")
            else:
                yield account, held(portfolio[0], status[0], funding)


def underlyings_of(portfolio: tuple) -> set[int]:
    """Underlyings of a portfolio's positions."""
    return {slot >> 248 for slot in portfolio[3]}


def held(portfolio: tuple, status: int, funding: dict[int, float]) -> Held:
    """Natural units of a portfolio, the quotes of perpetuals as the engine stores them."""
    cash, mode, collateral, slots, _ = portfolio
    positions = []
    for slot in slots:
        word, size, quote = packed.decode_position(slot)
        underlying, _, kind, _ = packed.decode_instrument(word)
        if kind == Kind.PERPETUAL:
            quote += size * funding[underlying]
        positions.append((word, size, quote))
    balances = [(word >> 248, (word & (1 << 128) - 1) / WAD) for word in collateral]
    return Held(cash / WAD, mode, balances, positions, status)


class Instruments:
    """Rows of all instruments that anyone holds; an instrument keeps its row."""

    def __init__(self) -> None:
        self._row_of: dict[int, int] = {}
        self._decoded = packed.decode(())

    def rows(self, words: Iterable[int]) -> list[int]:
        """Rows of instruments, new ones at the end."""
        return [self._row_of.setdefault(word, len(self._row_of)) for word in words]

    @property
    def expiries(self) -> set[tuple[int, int]]:
        """Underlyings and expiries of all instruments."""
        return set(zip(self.decoded.underlying.tolist(), self.decoded.expiry.tolist(), strict=True))

    @property
    def decoded(self) -> packed.Instruments:
        if len(self._decoded.strike) != len(self._row_of):
            self._decoded = packed.decode(self._row_of)
        return self._decoded

    def price(self, view: MarketView) -> scenarios.InstrumentRisk:
        """Price all instruments in all scenarios; perpetuals net of all funding since the start.

        The quotes of perpetuals are kept as the engine stores them, so that they need not be read
        again when funding accrues.
        """
        risk = scenarios.price(view.arrays, self.decoded)
        is_perpetual = self.decoded.kind == Kind.PERPETUAL
        funding = np.where(is_perpetual, view.funding_index[risk.underlying], 0.0)
        return risk._replace(value=risk.value - funding)


class _Layout(NamedTuple):
    """Accounts laid out for margining, and what for: underlyings, assets, number of instruments.

    `predictive` are the rows of the accounts in that mode, `joint` these accounts alone.
    """

    made_for: tuple
    book: layout.Book
    predictive: np.ndarray
    joint: layout.Book


class Fleet:
    """All accounts; their layout is made anew only when one of them has changed."""

    def __init__(self) -> None:
        self.instruments = Instruments()
        self._held: dict[int, Held] = {}
        self._arrays: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        self._layout: _Layout | None = None

    def __len__(self) -> int:
        return len(self._held)

    def __getitem__(self, account: int) -> Held:
        return self._held[account]

    def __contains__(self, account: int) -> bool:
        return account in self._held

    @property
    def accounts(self) -> list[int]:
        """Accounts in the order of the results of `margin`."""
        return list(self._held)

    def put(self, account: int, each: Held) -> None:
        """Take in what an account holds now."""
        words, sizes, quotes = zip(*each.positions, strict=True) if each.positions else ((),) * 3
        rows = np.array(self.instruments.rows(words), np.int64)
        self._arrays[account] = rows, np.array(sizes, float), np.array(quotes, float)
        self._held[account] = each
        self._layout = None

    def keep_only(self, accounts: set[int]) -> None:
        """Forget accounts that never were."""
        for account in self._held.keys() - accounts:
            del self._held[account], self._arrays[account]
            self._layout = None

    def margin(self, view: MarketView, risk: scenarios.InstrumentRisk) -> margin.Margin:
        """Margin all accounts; those in predictive mode alone over past dates, which costs more."""
        u, a = view.arrays.underlyings, view.arrays.assets
        made_for = tuple(u.underlying), tuple(a.asset), len(risk.value)
        if self._layout is None or self._layout.made_for != made_for:
            self._layout = self._arranged(made_for, view, risk)
        scanned = view.arrays._replace(predictive=None)
        result = _remargin(view, scanned, risk, self._layout.book)
        rows = self._layout.predictive
        if len(rows) and view.arrays.predictive:
            found = _remargin(view, view.arrays, risk, self._layout.joint)
            for name in ("maintenance_margin", "initial_margin", "health"):
                getattr(result, name)[rows] = getattr(found, name)
        return result

    def _arranged(
        self, made_for: tuple, view: MarketView, risk: scenarios.InstrumentRisk
    ) -> _Layout:
        portfolios = self._portfolios(view)
        rows = np.flatnonzero(portfolios.margin_mode == MarginMode.PREDICTIVE)
        both = portfolios, _alone(portfolios, rows)
        whole, joint = (layout.arrange(view.arrays, risk, each) for each in both)
        return _Layout(made_for, whole, rows, joint)

    def _portfolios(self, view: MarketView) -> layout.Portfolios:
        arrays = self._arrays.values()
        counts = [len(rows) for rows, _, _ in arrays]
        none = [np.empty(0)]
        held = self._held.values()
        return layout.Portfolios(
            np.repeat(np.arange(len(counts)), counts),
            np.concatenate([rows for rows, _, _ in arrays] or none).astype(np.int64),
            np.concatenate([sizes for _, sizes, _ in arrays] or none),
            np.concatenate([quotes for _, _, quotes in arrays] or none),
            np.array([each.cash for each in held], float),
            np.array([each.margin_mode for each in held], np.int64),
            balances([each.collateral for each in held], view.arrays.assets.asset),
            np.zeros((len(counts), len(view.open_interest))),
        )


def _remargin(
    view: MarketView, market: ideal.Market, risk: scenarios.InstrumentRisk, book: layout.Book
) -> margin.Margin:
    """Margin a book at the open interest of the market."""
    shape = len(book.portfolios.cash), len(view.open_interest)
    held = book.portfolios._replace(open_interest=np.broadcast_to(view.open_interest, shape))
    return margin.remargin(market, risk, book._replace(portfolios=held))


def _alone(portfolios: layout.Portfolios, rows: np.ndarray) -> layout.Portfolios:
    """Some of the accounts, rows ascending; entries are in the order of accounts."""
    chosen = np.isin(portfolios.account, rows)
    return layout.Portfolios(
        np.searchsorted(rows, portfolios.account[chosen]),
        *(each[chosen] for each in portfolios[1:4]),
        *(each[rows] for each in portfolios[4:]),
    )


def balances(collateral: Iterable[list], assets: np.ndarray) -> np.ndarray:
    """Whole tokens of accounts by asset, shape (accounts, assets)."""
    collateral = list(collateral)
    column = {int(asset): i for i, asset in enumerate(assets)}
    out = np.zeros((len(collateral), len(assets)))
    for row, each in enumerate(collateral):
        for asset, tokens in each:
            if asset in column:
                out[row, column[asset]] = tokens
    return out
