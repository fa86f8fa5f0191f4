"""What a slice of an account in auction is worth to the account that would take it over.

A slice brings equity, and it brings or takes away risk: what it adds to the bidder's initial
margin is charged at a rate, what it frees by hedging the bidder's own positions is credited at the
same rate. Both come from margining the bidder's account as it is and as it would be after slices of
many sizes, all in one go of the model.
"""

from typing import NamedTuple

import numpy as np

from reference_model.ideal import margin
from reference_model.ideal.book import Portfolios
from reference_model.ideal.scenarios import InstrumentRisk
from scripts.keeping.fleet import Held, Instruments, balances
from scripts.keeping.market import MarketView

SIZES = 32


class Auction(NamedTuple):
    """What the chain's preview says, in USD and fractions."""

    price: float
    largest: float
    initial_margin: float


class Terms(NamedTuple):
    """What a keeper asks of a bid.

    Attributes
    ----------
    risk_rate
        USD wanted for each USD that the bidder's initial margin grows; credited when it falls.
    cushion
        Share of initial margin that the bidder must have above it afterwards.
    min_profit
        Least profit after gas, USD.
    max_size
        Greatest initial margin of a slice, USD.
    max_payment
        Greatest payment, USD.
    """

    risk_rate: float = 0.05
    cushion: float = 0.2
    min_profit: float = 1.0
    max_size: float = 100_000.0
    max_payment: float = 100_000.0


class Offer(NamedTuple):
    """A bid worth making.

    Attributes
    ----------
    fraction, payment, profit
        Of the whole portfolio; USD at the price previewed, negative is received; USD after gas.
    max_price
        For the whole portfolio: at this price it is just still worth making, and its payment no
        greater than allowed.
    added_margin
        Change of the bidder's initial margin, USD; negative if the slice hedges it.
    """

    fraction: float
    payment: float
    profit: float
    max_price: float
    added_margin: float


class Verdict(NamedTuple):
    """The best offer, or why there is none."""

    offer: Offer | None
    reason: str


def greatest_allowed(auction: Auction, terms: Terms) -> float:
    """Greatest fraction within the limits of size and payment, at most 1."""
    greatest = 1.0
    if auction.initial_margin > 0:
        greatest = min(greatest, terms.max_size / auction.initial_margin)
    if auction.price > 0:
        greatest = min(greatest, terms.max_payment / auction.price)
    return greatest


def fractions(auction: Auction, terms: Terms) -> np.ndarray:
    """Slices to consider, ascending; none if even the least allowed is too large."""
    largest = min(auction.largest, greatest_allowed(auction, terms))
    return np.linspace(0, largest, SIZES + 1)[1:] if largest > 0 else np.empty(0)


def best_offer(
    view: MarketView,
    risk: InstrumentRisk,
    instruments: Instruments,
    bidder: Held,
    account: Held,
    auction: Auction,
    terms: Terms,
    gas_usd: float,
    candidates: np.ndarray | None = None,
) -> Verdict:
    """Return the most profitable slice that leaves the bidder healthy with a cushion.

    Parameters
    ----------
    view, risk, instruments
        The market, and instruments priced in it; both accounts' instruments are among them.
    bidder, account : Held
        Both as of the block of `view`.
    auction : Auction
    terms : Terms
    gas_usd : float
        Cost of the transaction.
    candidates : ndarray of float64, optional
        Fractions to choose from, as far as the terms allow; all such if none are given.
    """
    if candidates is None:
        shares = fractions(auction, terms)
    else:
        shares = candidates[candidates <= greatest_allowed(auction, terms) * (1 + 1e-9)]
    if not len(shares):
        return Verdict(None, "nothing of it may be sold within the limits")
    result = _margins(view, risk, instruments, bidder, account, auction.price, shares)
    gained = result.equity[1:] - result.equity[0]
    added = result.initial_margin[1:] - result.initial_margin[0]
    profit = gained - terms.risk_rate * added - gas_usd
    spare = result.initial_equity[1:] - (1 + terms.cushion) * result.initial_margin[1:]
    spare = np.minimum(spare, result.collateral_equity[1:])
    healthy = spare >= 0
    if not healthy.any():
        return Verdict(None, "the bidder would not be healthy with the cushion")
    best = int(np.argmax(np.where(healthy, profit, -np.inf)))
    if profit[best] < terms.min_profit:
        return Verdict(None, f"the best slice earns {profit[best]:,.2f} USD")
    # Every dollar more that is paid is a dollar less of profit, of equity and of spare margin.
    room = min(profit[best] - terms.min_profit, spare[best])
    share = float(shares[best])
    most = max(auction.price, terms.max_payment / share)
    offer = Offer(
        share,
        auction.price * share,
        float(profit[best]),
        min(auction.price + float(room) / share, most),
        float(added[best]),
    )
    return Verdict(offer, "")


def _margins(
    view: MarketView,
    risk: InstrumentRisk,
    instruments: Instruments,
    bidder: Held,
    account: Held,
    price: float,
    shares: np.ndarray,
) -> margin.Margin:
    """Margin of the bidder as it is, in the first row, and after each slice."""
    shares = np.append(0.0, shares)
    words = list(dict.fromkeys(word for each in (bidder, account) for word, _, _ in each.positions))
    own, sold = (_dense(each, words) for each in (bidder, account))
    size, quote = (own[i] + shares[:, None] * sold[i] for i in (0, 1))
    rows = np.array(instruments.rows(words), np.int64)
    tokens = balances([bidder.collateral, account.collateral], view.arrays.assets.asset)
    count = len(shares)
    after = Portfolios(
        np.repeat(np.arange(count), len(words)),
        np.tile(rows, count),
        size.ravel(),
        quote.ravel(),
        bidder.cash + shares * (account.cash - price),
        np.full(count, bidder.margin_mode),
        tokens[0] + shares[:, None] * tokens[1],
        np.tile(view.open_interest, (count, 1)),
    )
    return margin.margin(view.arrays, risk, after)


def _dense(each: Held, words: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Sizes and quotes by instrument."""
    held = {word: (size, quote) for word, size, quote in each.positions}
    columns = np.array([held.get(word, (0.0, 0.0)) for word in words], float).reshape(-1, 2)
    return columns[:, 0], columns[:, 1]
