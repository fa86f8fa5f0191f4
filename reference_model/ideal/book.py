"""Accounts laid out so that margining all of them is one sparse product.

What accounts hold is a sparse matrix of sizes: a column for every instrument and, after these, one
for the spot collateral that follows each underlying, whose size is its dollar value. A row of it is
a *cell*: what one account holds in one underlying. Whatever is a sum over holdings is the product
of that matrix with what one unit of each column is worth, loses or weighs, which is shared by all
accounts. Rows of a coarser cut, an account's holdings in one risk group, are the same numbers with
fewer row pointers.

The layout depends on what is held and not on prices: it is made once and used for every price.

Source: specification, sections 8 to 10.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix

GROUPS = 8
# Rows of a product taken at a time: few enough to stay in a processor's cache.
SLAB = 8_192


class Portfolios(NamedTuple):
    """Accounts, in natural units, floats unless said otherwise; interest and funding up to date.

    Attributes
    ----------
    account, instrument : ndarray of int64, shape (entries,)
        Row of the account and row of the instrument of each position, any order.
    size, quote : ndarray of float64, shape (entries,)
        Units, signed; USD, signed, 0 for options.
    cash : ndarray of float64, shape (accounts,)
        USD, signed.
    margin_mode : ndarray of int64, shape (accounts,)
        0 portfolio, 1 isolated, 2 predictive.
    collateral : ndarray of float64, shape (accounts, assets)
        Whole tokens.
    open_interest : ndarray of float64, shape (accounts, underlyings)
        Units, both sides; ignored where an account has no position.
    """

    account: np.ndarray
    instrument: np.ndarray
    size: np.ndarray
    quote: np.ndarray
    cash: np.ndarray
    margin_mode: np.ndarray
    collateral: np.ndarray
    open_interest: np.ndarray


class Rows(NamedTuple):
    """Consecutive holdings that form a row: pointers (rows + 1,), and whose and in what (rows,)."""

    start: np.ndarray
    account: np.ndarray
    key: np.ndarray


class Book(NamedTuple):
    """Holdings sorted by account, risk group and underlying.

    Attributes
    ----------
    portfolios : Portfolios
        What it was made from.
    column : ndarray of int32, shape (holdings,)
        Instrument of each holding, or past these the underlying that collateral follows.
    size : ndarray of float64, shape (holdings,)
        Units, signed; 0 for collateral, whose size is a value.
    collateral_at, collateral_cell : tuple of ndarray of int64
        Where collateral stands among the holdings, and its (account, underlying).
    cells, groups : Rows
        Rows per account and underlying (key: row of the underlying), and per account and group.
    group_of_cell : ndarray of int64, shape (cells,)
        Row of `groups` that a cell belongs to.
    has_position : ndarray of bool, shape (cells,)
        Whether a cell holds more than collateral.
    quote : ndarray of float64, shape (accounts,)
        Sum of the quotes, USD, signed.
    """

    portfolios: Portfolios
    column: np.ndarray
    size: np.ndarray
    collateral_at: np.ndarray
    collateral_cell: tuple[np.ndarray, np.ndarray]
    cells: Rows
    groups: Rows
    group_of_cell: np.ndarray
    has_position: np.ndarray
    quote: np.ndarray


def arrange(market, risk, portfolios):
    """Lay out accounts.

    Parameters
    ----------
    market : reference_model.ideal.market.Market
        Decides which underlying collateral follows, and groups.
    risk : reference_model.ideal.scenarios.InstrumentRisk
        The instruments that the entries of `portfolios` point to; their order counts, not prices.
    portfolios : Portfolios

    Returns
    -------
    Book
    """
    instruments, underlyings = len(risk.underlying), len(market.underlyings.index)
    followed = by_underlying(market, portfolios.collateral != 0) > 0
    spot_account, spot_underlying = np.nonzero(followed)
    account = np.concatenate([portfolios.account, spot_account])
    underlying = np.concatenate([risk.underlying[portfolios.instrument], spot_underlying])
    column = np.concatenate([portfolios.instrument, instruments + spot_underlying])
    size = np.concatenate([portfolios.size, np.zeros(len(spot_account))])
    group = account * GROUPS + market.underlyings.group[underlying]
    order = np.argsort(group * underlyings + underlying, kind="stable")
    cells = _rows((group * underlyings + underlying)[order], account[order], underlyings)
    groups = _rows(group[order], account[order], GROUPS)
    is_spot = column[order] >= instruments
    spot_at = np.flatnonzero(is_spot)
    return Book(
        portfolios,
        column[order].astype(np.int32),
        size[order],
        spot_at,
        (account[order][spot_at], column[order][spot_at] - instruments),
        cells,
        groups,
        np.searchsorted(groups.start, cells.start[:-1], "right") - 1,
        _any(~is_spot, cells),
        np.bincount(portfolios.account, portfolios.quote, len(portfolios.cash)),
    )


def _rows(keys, account, base):
    """Rows of equal, ascending keys; what they are of is the key's last digit in a base."""
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    start = np.append(first, len(keys)).astype(np.int32)
    return Rows(start, account[first], keys[first] % base)


def _any(flags, rows):
    """Whether any holding of each row has a flag."""
    count = np.append(0, np.cumsum(flags))[rows.start]
    return np.diff(count) > 0


def by_underlying(market, values):
    """Value of the collateral that follows each underlying, shape (p, u), from that per asset."""
    return values @ (market.assets.underlying[:, None] == np.arange(len(market.underlyings.index)))


def sizes(book, collateral):
    """Size of every holding, with the dollar value of collateral by account and underlying."""
    out = book.size.copy()
    out[book.collateral_at] = collateral[book.collateral_cell]
    return out


def products(book, rows, weights, columns) -> Iterator[tuple[slice, np.ndarray]]:
    """Sums over the holdings of each row, a slab of rows at a time.

    Parameters
    ----------
    book : Book
    rows : Rows
    weights : ndarray of float64, shape (holdings,)
    columns : ndarray of float64, shape (instruments + underlyings, k)

    Yields
    ------
    slice, ndarray of float64, shape (slab, k)
        ``Σ weight · columns[column]`` over the holdings of the rows of the slice.
    """
    columns = np.ascontiguousarray(columns)
    for first in range(0, len(rows.account), SLAB):
        start = rows.start[first : first + SLAB + 1]
        held = slice(start[0], start[-1])
        shape = len(start) - 1, len(columns)
        matrix = csr_matrix((weights[held], book.column[held], start - start[0]), shape)
        yield slice(first, first + shape[0]), matrix @ columns


def product(book, rows, weights, columns):
    """All slabs of `products`, transposed: one row per column, shape (k, rows)."""
    out = np.empty((columns.shape[1], len(rows.account)))
    for slab, part in products(book, rows, weights, columns):
        out[:, slab] = part.T
    return out


def total(book, rows, values):
    """Sum of values of the columns that a row holds, whatever the size, shape (rows,)."""
    return (
        np.add.reduceat(values[book.column], rows.start[:-1]) if len(rows.account) else np.zeros(0)
    )


def greatest(book, rows, values):
    """Greatest value among the columns that a row holds, shape (rows,)."""
    if not len(rows.account):
        return np.zeros(0)
    return np.maximum.reduceat(values[book.column], rows.start[:-1])
