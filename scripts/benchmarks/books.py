"""A large market and many accounts in it, as arrays: what a keeper margins at every price."""

from typing import NamedTuple

import numpy as np

from reference_model.ideal.book import Portfolios
from reference_model.ideal.instruments import Instruments, Kind
from reference_model.ideal.market import (
    BLANK,
    Assets,
    Globals,
    Market,
    Scenarios,
    Slices,
    Underlyings,
)

NOW = 1_770_000_000
DAY = 86_400
INDEX = np.array([90_000.0, 3_000.0, 150.0, 2.5, 20.0])
DAYS = np.array([1, 2, 7, 14, 30, 60, 90, 180])


class Books(NamedTuple):
    """A market, the instruments in it, and accounts that hold them."""

    market: Market
    instruments: Instruments
    portfolios: Portfolios


def books(seed, accounts, positions=8, instruments=500, scenarios=33):
    """Draw accounts that each hold so many of the instruments, and two of five collaterals.

    Returns
    -------
    Books
    """
    rng = np.random.default_rng(seed)
    market, traded = _market(scenarios), _instruments(instruments)
    # Distinct instruments per account: a random start and a random stride without common divisor.
    stride = rng.integers(1, instruments // positions, (accounts, 1))
    start = rng.integers(0, instruments, (accounts, 1))
    held = ((start + stride * np.arange(positions)) % instruments).ravel()
    price = INDEX[traded.underlying[held] - 1]
    size = rng.normal(size=len(held)) * 10 ** rng.uniform(2, 5, len(held)) / price
    quote = np.where(traded.is_option[held], 0.0, -size * price * rng.uniform(0.9, 1.1, len(held)))
    tokens = 10 ** rng.uniform(2, 5, (accounts, 5)) / [*INDEX[:3], 1, 1]
    return Books(
        market,
        traded,
        Portfolios(
            np.repeat(np.arange(accounts), positions),
            held,
            size,
            quote,
            rng.uniform(-1e4, 1e5, accounts),
            rng.integers(0, 2, accounts),
            tokens * (rng.random((accounts, 5)) < 0.4),
            np.full((accounts, len(INDEX)), 5e5),
        ),
    )


def _market(scenarios):
    """Five underlyings in two groups, eight expiries each, five collaterals."""
    count = len(INDEX)
    underlying, days = (each.ravel() for each in np.meshgrid(np.arange(count), DAYS, indexing="ij"))
    years = days * DAY / 31_536_000
    svi = np.stack(
        [0.2 * years, 0.1 * np.sqrt(years), -0.2 + 0 * years, 0 * years, 0.2 + 0 * years], axis=1
    )
    forward = INDEX[underlying] * (1 + 0.05 * years)
    columns = (underlying, NOW + days * DAY, forward, np.exp(-0.04 * years), svi, 0 * years)
    moves = np.tile(np.linspace(-2, 2, -(-scenarios // 3)), 3)[:scenarios]

    def each(value):
        return np.full(count, value)

    return Market(
        NOW,
        Globals(0.8, 1.0, 0.3, 0.13, DAY, 1.0, 1e7),
        np.full(8, 0.3),
        Scenarios(moves, np.repeat([1.0, -1.0, 0.0], -(-scenarios // 3))[:scenarios], moves**0),
        Underlyings(
            *(1 + np.arange(count), np.array([0, 0, 0, 1, 1])),
            *(INDEX, INDEX * 1e-3, INDEX * 1.001, INDEX * 0.99, each(0.15), each(0.18)),
            *(each(0.4), each(0.1), each(0.005), each(0.005), each(0.02), each(1e5)),
            *(each(2.0), each(1e5), each(1e6)),
        ),
        Slices(*(np.append(x, last, axis=0) for x, last in zip(columns, BLANK, strict=True))),
        Assets(
            *(1 + np.arange(5), np.array([0, 1, 2, -1, -1]), np.ones(5), np.full(5, 0.99)),
            *(np.array([0.95, 0.93, 0.8, 0.99, 0.98]), np.array([0, 0, 0, 0.01, 0.02])),
        ),
    )


def _instruments(count):
    """A perpetual and a future per expiry of each underlying, the rest calls and puts."""
    per_underlying = count // len(INDEX)
    rows = []
    for underlying, index in enumerate(INDEX, 1):
        rows.append((underlying, 0, Kind.PERPETUAL, 1.0))
        rows += [(underlying, NOW + days * DAY, Kind.FUTURE, 1.0) for days in DAYS]
        for i in range(per_underlying - 1 - len(DAYS)):
            kind = Kind.PUT if i // len(DAYS) % 2 else Kind.CALL
            strike = index * (0.6 + 0.8 * i / per_underlying)
            rows.append((underlying, NOW + DAYS[i % len(DAYS)] * DAY, kind, strike))
    *integers, strike = zip(*rows, strict=True)
    return Instruments(*(np.array(each, np.int64) for each in integers), np.array(strike))
