"""Random books on the desk's markets, and books at the edges of every range."""

from itertools import product

from margin import desk
from margin.desk import BTC, ETH, USDX, WETH, wad

from reference_model.types import DAY, WAD, MarginMode, Portfolio

DAYS = (30, 90)
PRICES = {BTC: desk.BTC_PRICE, ETH: desk.ETH_PRICE}


def rich_market(now, **changes):
    """Return a market in which every charge is above zero."""
    charges = {
        "basis_rate": wad(0.005),
        "short_option_rate": wad(0.005),
        "concentration_rate": wad(0.02),
        "depth": 100_000 * WAD,
        "max_oi_multiplier": WAD,
        "oi_upper": 1_000 * WAD,
    }
    spots = [
        desk.spot(u, price, now, wad(0.18), **charges)._replace(confidence=wad(price / 1_000))
        for u, price in PRICES.items()
    ]
    return desk.market(now, spots=spots)._replace(**changes)


def instruments(now):
    """Return underlying, expiry, strike (None unless an option) and isPut of every instrument."""
    every = []
    for underlying, price in PRICES.items():
        expiries = [now + days * DAY for days in DAYS]
        every += [(underlying, expiry, None, False) for expiry in (0, *expiries)]
        strikes = [round(price * moneyness) for moneyness in (0.7, 0.9, 1.0, 1.15, 1.4)]
        every += product([underlying], expiries, strikes, (False, True))
    return every


def slot(instrument, size, quote):
    """Return a position; the size in bitcoin, for others in units of the same worth."""
    underlying, expiry, strike, is_put = instrument
    units = size * desk.BTC_PRICE / PRICES[underlying]
    if strike is None:
        return desk.linear(underlying, units, quote, expiry)
    return desk.option(underlying, expiry, strike, units, is_put)


def random_book(generator, now, count=None, scale=1):
    """Return a portfolio of distinct instruments, some of them hedging each other."""
    every = instruments(now)
    count = generator.integers(1, 25) if count is None else count
    chosen = generator.choice(len(every), size=count, replace=False)
    sizes = scale * generator.choice([-1, 1], count) * generator.integers(1, 500, count) / 100
    quotes = scale * generator.integers(-50_000, 50_000, count)
    collateral = [
        asset << 248 | int(amount * scale) * WAD
        for asset, amount in (
            (WETH, generator.integers(0, 40)),
            (USDX, generator.integers(0, 9_000)),
        )
        if amount
    ]
    words = [u << 248 | int(generator.integers(0, 3_000)) * WAD for u in (BTC, ETH)]
    return Portfolio(
        int(generator.integers(-100_000, 100_000)) * WAD * scale,
        MarginMode.PORTFOLIO,
        tuple(collateral),
        tuple(
            slot(every[i], float(size), int(quote))
            for i, size, quote in zip(chosen, sizes, quotes, strict=True)
        ),
        tuple(words),
    )


def shuffled(generator, portfolio):
    """Return the same portfolio in another order."""

    def mixed(words):
        return tuple(words[i] for i in generator.permutation(len(words)))

    return portfolio._replace(
        collateral=mixed(portfolio.collateral),
        positions=mixed(portfolio.positions),
        open_interest=mixed(portfolio.open_interest),
    )
