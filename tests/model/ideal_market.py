"""A small market in the arrays of the ideal layer, and portfolios in it, for the model's tests."""

import numpy as np

from reference_model.ideal import scenarios
from reference_model.ideal.instruments import Instruments, Kind
from reference_model.ideal.margin import Portfolios
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
BTC, ETH, SOL = 1, 2, 3
THIRDS = np.arange(-3, 4) / 3
PARAMETERS = Globals(0.8, 1.0, 0.30, 0.13, DAY, 1.0, 1e7)


def grid(tails=((-4, 0.25), (-2, 0.5), (2, 0.5), (4, 0.25))):
    """Span the grid with weighted tails, vol up first."""
    x = np.concatenate([THIRDS, [x for x, _ in tails], THIRDS])
    y = np.concatenate([np.ones(7 + len(tails)), -np.ones(7)])
    weight = np.concatenate([np.ones(7), [w for _, w in tails], np.ones(7)])
    return Scenarios(x, y, weight)


def market(scenarios=None, decorrelation=0.3, **changes):
    """Build BTC and ETH in one group and SOL in another; two expiries each; one token on each."""
    index = np.array([60_000.0, 3_000.0, 150.0])
    columns = {
        "underlying": np.array([BTC, ETH, SOL]),
        "group": np.array([0, 0, 1]),
        "index": index,
        "confidence": index * 1e-3,
        "mark": index * 1.001,
        "stable_index": index * 0.98,
        "scan_range": np.array([0.15, 0.18, 0.25]),
        "initial_scan_range": np.array([0.15, 0.18, 0.25]),
        "vol_range": np.full(3, 0.4),
        "vol_floor": np.full(3, 0.1),
        "basis_rate": np.full(3, 0.005),
        "short_option_rate": np.full(3, 0.005),
        "concentration_rate": np.full(3, 0.02),
        "depth": np.full(3, 25e6),
        "max_oi_multiplier": np.full(3, 0.5),
        "oi_lower": np.full(3, 1e4),
        "oi_upper": np.full(3, 1e5),
    }
    columns |= {name: np.full(3, value, float) for name, value in changes.items()}
    return Market(
        NOW,
        PARAMETERS,
        np.full(8, decorrelation),
        scenarios or grid(),
        Underlyings(**columns),
        _slices(index),
        Assets(
            np.array([1, 2, 3, 4]),
            np.array([0, 1, 2, -1]),
            np.array([1.0, 1.1, 1.0, 0.999]),
            np.array([1.0, 1.08, 1.0, 0.998]),
            1 - np.array([0.05, 0.07, 0.1, 0.0]),
            np.array([0.0, 0.0, 0.0, 0.01]),
        ),
    )


def _slices(index):
    rows, days = np.repeat(np.arange(3), 2), np.tile([7, 60], 3)
    variance = 0.6**2 * days / 365
    svi = np.stack(
        [0.7 * variance, 0.1 * np.sqrt(variance), *np.outer([-0.3, 0.02, 0.15], np.ones(6))], axis=1
    )
    columns = (
        rows,
        NOW + days * DAY,
        index[rows] * (1 + 1e-4 * days),
        np.exp(-0.04 * days / 365),
        svi,
        np.zeros(6),
    )
    return Slices(*(np.append(x, blank, axis=0) for x, blank in zip(columns, BLANK, strict=True)))


def instruments(market):
    """Every perpetual, every future, calls and puts at five strikes of every expiry."""
    rows = [(int(u), 0, Kind.PERPETUAL, 1.0) for u in market.underlyings.underlying]
    slices = zip(*market.slices[:3], strict=True)
    for row, expiry, forward in list(slices)[:-1]:
        u = int(market.underlyings.underlying[row])
        rows.append((u, expiry, Kind.FUTURE, 1.0))
        for moneyness in (0.7, 0.9, 1.0, 1.1, 1.4):
            strike = round(forward * moneyness, 2)
            rows += [(u, expiry, kind, strike) for kind in (Kind.CALL, Kind.PUT)]
    underlying, expiry, kind, strike = zip(*rows, strict=True)
    return Instruments(np.array(underlying), np.array(expiry), np.array(kind), np.array(strike))


def priced(market):
    """Instruments of the market and their risk."""
    all_instruments = instruments(market)
    return all_instruments, scenarios.price(market, all_instruments)


def books(market, sizes, collateral=None, cash=0.0, mode=0, open_interest=0.0):
    """Portfolios from dense sizes (accounts, instruments) and balances (accounts, assets)."""
    sizes = np.atleast_2d(np.asarray(sizes, float))
    account, instrument = np.nonzero(sizes)
    count = len(sizes)
    balances = np.zeros((count, len(market.assets.asset))) if collateral is None else collateral
    return Portfolios(
        account,
        instrument,
        sizes[account, instrument],
        np.zeros(len(account)),
        np.full(count, cash, float),
        np.full(count, mode, np.int64),
        np.atleast_2d(np.asarray(balances, float)),
        np.full((count, len(market.underlyings.index)), open_interest, float),
    )


def random_sizes(rng, risk, accounts, density=0.1):
    """Sparse sizes worth about 10,000 USD each, either sign."""
    shape = accounts, len(risk.value)
    price = np.maximum(risk.notional, np.abs(risk.delta))
    dollars = rng.normal(size=shape) * 1e4 * (rng.random(shape) < density)
    return dollars / price
