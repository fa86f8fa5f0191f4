"""Standard books, struck anew every day with the same dollar size.

Sizes are shares of the book's notional: a size of 1 is a position in as much of the underlying as
the notional buys when the book is opened. Strikes are relative to the price at that time.
"""

from typing import NamedTuple

import numpy as np

from reference_model.ideal.instruments import Kind

BTC, ETH, SOL = range(3)
NOTIONAL = 1_000_000.0
HAIRCUTS = (0.06, 0.05, 0.08)
RANDOM_BOOKS = 6
RANDOM_LEGS = 8


class Leg(NamedTuple):
    """One position: row of the underlying, kind, strike, days to expiry (0: none) and size.

    `is_spot` tells collateral, of which only what the haircut leaves counts, from a perpetual.
    """

    underlying: int
    kind: Kind
    strike: float
    days: int
    size: float
    is_spot: bool = False


class Book(NamedTuple):
    """Positions under a name; a hedged book has some that offset each other."""

    name: str
    legs: tuple[Leg, ...]
    is_hedged: bool

    @property
    def underlyings(self):
        """Rows of the underlyings it holds."""
        return sorted({leg.underlying for leg in self.legs})


def perpetual(underlying, size):
    """Return a perpetual."""
    return Leg(underlying, Kind.PERPETUAL, 1.0, 0, size)


def spot(underlying, size):
    """Return spot collateral, haircut."""
    kept = size * (1 - HAIRCUTS[underlying])
    return Leg(underlying, Kind.PERPETUAL, 1.0, 0, kept, True)


def call(underlying, strike, days, size):
    """Return a call."""
    return Leg(underlying, Kind.CALL, strike, days, size)


def put(underlying, strike, days, size):
    """Return a put."""
    return Leg(underlying, Kind.PUT, strike, days, size)


def standard(seed):
    """Return all books: the ones a desk would name, and random ones over all underlyings."""
    third = 1 / 3
    named = (
        Book("long BTC", (perpetual(BTC, 1),), False),
        Book("short ETH", (perpetual(ETH, -1),), False),
        Book("long SOL", (perpetual(SOL, 1),), False),
        Book("long all three", tuple(perpetual(u, third) for u in range(3)), False),
        Book("BTC against ETH", (perpetual(BTC, 1), perpetual(ETH, -1)), True),
        Book("cash and carry", (spot(BTC, 1), perpetual(BTC, -1)), True),
        Book("covered call", (perpetual(BTC, 1), call(BTC, 1.1, 30, -1)), True),
        Book("protective put", (perpetual(ETH, 1), put(ETH, 0.9, 30, 1)), True),
        Book("short strangle", (put(BTC, 0.85, 30, -1), call(BTC, 1.15, 30, -1)), True),
        Book("iron condor", _condor(ETH), True),
        Book("calendar", (call(BTC, 1.0, 7, -1), call(BTC, 1.0, 60, 1)), True),
        Book("long straddle", (call(BTC, 1.0, 30, 1), put(BTC, 1.0, 30, 1)), False),
        Book("hedged straddle", _hedged_straddle(ETH), True),
        Book("short puts on three", tuple(put(u, 0.9, 30, -third) for u in range(3)), False),
    )
    rng = np.random.default_rng(seed)
    return named + tuple(_random(rng, number) for number in range(1, RANDOM_BOOKS + 1))


def _condor(u):
    wings = put(u, 0.8, 30, 1), call(u, 1.2, 30, 1)
    return (put(u, 0.9, 30, -1), call(u, 1.1, 30, -1), *wings)


def _hedged_straddle(u):
    """Short straddle with its delta at 60 to 100 % of volatility hedged, about."""
    return (call(u, 1.0, 30, -1), put(u, 1.0, 30, -1), perpetual(u, 0.1))


def _random(rng, number):
    """Perpetuals and options of all kinds in all underlyings, in sizes of either sign."""
    legs = {}
    for i in range(RANDOM_LEGS):
        underlying, kind = i % 3, Kind(rng.choice([Kind.PERPETUAL, Kind.CALL, Kind.PUT]))
        size = float(rng.normal()) / 2
        strike, days = float(rng.choice([0.8, 0.9, 1.0, 1.1, 1.2])), int(rng.choice([7, 30, 60]))
        if kind is Kind.PERPETUAL:
            strike, days = 1.0, 0
        legs[underlying, kind, strike, days] = Leg(underlying, kind, strike, days, size)
    return Book(f"random {number}", tuple(legs.values()), True)


class Holdings(NamedTuple):
    """Books as arrays over the distinct instruments.

    Attributes
    ----------
    underlying, kind, days : ndarray of int64, shape (instruments,)
    strike : ndarray of float64, shape (instruments,)
        Relative to the price when the book is opened; 1 unless an option.
    sizes : ndarray of float64, shape (books, instruments)
        Shares of the notional, signed.
    """

    underlying: np.ndarray
    kind: np.ndarray
    days: np.ndarray
    strike: np.ndarray
    sizes: np.ndarray


def arrange(books):
    """Lay books out over their distinct instruments.

    Parameters
    ----------
    books : sequence of Book

    Returns
    -------
    Holdings
    """
    keys = [leg._replace(size=0.0) for book in books for leg in book.legs]
    column = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    sizes = np.zeros((len(books), len(column)))
    for row, book in enumerate(books):
        for leg in book.legs:
            sizes[row, column[leg._replace(size=0.0)]] += leg.size
    underlying, kind, strike, days, _, _ = zip(*column, strict=True)
    as_int = (np.array(each, np.int64) for each in (underlying, kind, days))
    return Holdings(*as_int, np.array(strike, float), sizes)


def single_legs(holdings):
    """Every position of every book as a book of its own.

    Returns
    -------
    Holdings
        One row for each position.
    ndarray of int64
        The book that a row belongs to.
    """
    book, instrument = np.nonzero(holdings.sizes)
    sizes = np.zeros((len(book), holdings.sizes.shape[1]))
    sizes[np.arange(len(book)), instrument] = holdings.sizes[book, instrument]
    return holdings._replace(sizes=sizes), book
