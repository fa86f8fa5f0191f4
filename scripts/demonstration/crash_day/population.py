"""Who is there when the crash comes: accounts of many kinds, drawn from a seed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from oracle_mock.market import to_wad
from reference_model.exact import instrument as instruments
from reference_model.ideal import instruments as packed
from reference_model.ideal import margin, scenarios
from reference_model.ideal.book import Portfolios
from reference_model.ideal.market import Market
from reference_model.types import MarginMode

E8 = 10**8
WAD = 10**18
# Dollars in the middle of the accounts' sizes, spread of the logarithm, and both ends.
TYPICAL_SIZE, SPREAD, SMALLEST, LARGEST = 120_000, 1.0, 10_000, 3_000_000
# The higher, the more accounts are far from the greatest fullness of their kind.
CAUTION = 2
# What the market maker earns of each price.
HALF_SPREAD = 2e-4
# Set aside for fees and the spread, a share of what is traded.
COSTS = 8e-4
# Of all accounts, in predictive mode; who they are is drawn apart, so that all else stays as it is.
PREDICTIVE_SHARE, PREDICTIVE_STREAM = 0.2, 3
# What the contracts may charge options in that mode above the numpy model: for interpolation.
INTERPOLATION = 1.5


class Product(NamedTuple):
    """What a leg is in; strikes are chosen among those listed."""

    other: bool = False
    dated: bool = False
    is_put: bool | None = None


PERPETUAL, OTHER_PERPETUAL = Product(), Product(other=True)
FUTURE = Product(dated=True)
CALL, PUT = Product(dated=True, is_put=False), Product(dated=True, is_put=True)


class Kind(NamedTuple):
    """A way to use an account.

    Attributes
    ----------
    share
        Of all accounts.
    legs
        Products with dollars of each per dollar of size; negative is sold.
    coin
        Dollars of the underlying's own coin as collateral, per dollar of size.
    fullness
        Least and greatest part of its equity that an account's initial margin takes.
    """

    name: str
    share: float
    legs: tuple[tuple[Product, float], ...]
    coin: float
    fullness: tuple[float, float]


KINDS = (
    Kind("long perpetual", 0.28, ((PERPETUAL, 1),), 0, (0.15, 0.97)),
    Kind("short perpetual", 0.12, ((PERPETUAL, -1),), 0, (0.15, 0.95)),
    Kind("long, backed by its coin", 0.14, ((PERPETUAL, 1),), 0.4, (0.2, 0.97)),
    Kind("loan against coin", 0.10, (), 1, (0.25, 0.95)),
    Kind("cash and carry", 0.08, ((FUTURE, -1),), 1, (0.1, 0.5)),
    Kind("long-short", 0.08, ((PERPETUAL, 1), (OTHER_PERPETUAL, -1)), 0, (0.2, 0.95)),
    Kind("short strangle", 0.08, ((PUT, -1), (CALL, -1)), 0, (0.2, 0.95)),
    Kind("short puts, backed by coin", 0.05, ((PUT, -1),), 0.3, (0.2, 0.95)),
    Kind("covered call", 0.04, ((CALL, -1),), 1, (0.2, 0.9)),
    Kind("protective put", 0.03, ((PERPETUAL, 1), (PUT, 1)), 0, (0.2, 0.95)),
)


class Listing(NamedTuple):
    """What can be traded in one underlying.

    Attributes
    ----------
    number
        Of the underlying.
    asset
        Its own coin as collateral.
    lot
        Units of the smallest trade.
    future_expiry, option_expiries
        Unix times on the chain.
    puts, calls
        Strikes, USD.
    """

    number: int
    asset: int
    lot: float
    future_expiry: int
    option_expiries: tuple[int, ...]
    puts: tuple[int, ...]
    calls: tuple[int, ...]

    def instrument(self, product: Product, rng: np.random.Generator) -> int:
        """Packed id; option series are drawn."""
        if not product.dated:
            return instruments.perpetual(self.number)
        if product.is_put is None:
            return instruments.future(self.number, self.future_expiry)
        expiry = int(rng.choice(self.option_expiries))
        strike = int(rng.choice(self.puts if product.is_put else self.calls))
        return instruments.option(self.number, expiry, strike * E8, product.is_put)

    def every_instrument(self) -> list[int]:
        """All packed ids."""
        linear = [instruments.perpetual(self.number)]
        linear.append(instruments.future(self.number, self.future_expiry))
        options = [
            instruments.option(self.number, expiry, strike * E8, strikes is self.puts)
            for expiry in self.option_expiries
            for strikes in (self.puts, self.calls)
            for strike in strikes
        ]
        return linear + options


@dataclass
class Holder:
    """One account before it exists.

    Attributes
    ----------
    sizes
        Units by packed instrument, WAD.
    coins
        Collateral by asset, whole tokens.
    cash
        To pay in before it trades, USD; negative is borrowed afterwards.
    mode
        The generation of margin it chooses.
    """

    kind: str
    sizes: dict[int, int] = field(default_factory=dict)
    coins: dict[int, float] = field(default_factory=dict)
    cash: float = 0.0
    mode: MarginMode = MarginMode.PORTFOLIO


def draw(count: int, seed: int, listings: dict[str, Listing], market: Market) -> list[Holder]:
    """Draw accounts; each pays in what makes its margin as full as its kind is.

    Parameters
    ----------
    count
        How many.
    seed
        The same seed in the same market draws the same accounts.
    listings
        By symbol.
    market
        Decides sizes and what must be paid in.
    """
    rng = np.random.default_rng(seed)
    index = dict(zip(market.underlyings.underlying.tolist(), market.underlyings.index, strict=True))
    shares = np.array([kind.share for kind in KINDS])
    holders, fullness = [], []
    for number in rng.choice(len(KINDS), count, p=shares / shares.sum()):
        kind = KINDS[number]
        symbol, other = rng.permutation(list(listings))
        size = float(np.clip(TYPICAL_SIZE * np.exp(SPREAD * rng.normal()), SMALLEST, LARGEST))
        holder = Holder(kind.name)
        for product, part in kind.legs:
            listing = listings[other if product.other else symbol]
            lots = round(part * size / index[listing.number] / listing.lot)
            if lots:
                holder.sizes[listing.instrument(product, rng)] = lots * to_wad(listing.lot)
        if kind.coin:
            coin = listings[symbol]
            holder.coins[coin.asset] = round(kind.coin * size / index[coin.number], 4)
        holders.append(holder)
        least, greatest = kind.fullness
        fullness.append(least + (greatest - least) * rng.random() ** CAUTION)
    chooses = np.random.default_rng((seed, PREDICTIVE_STREAM)).random(count) < PREDICTIVE_SHARE
    for place in np.flatnonzero(chooses).tolist():
        holders[place].mode = MarginMode.PREDICTIVE
    return _funded(holders, np.array(fullness), market)


def prices(words: Sequence[int], market: Market) -> dict[int, float]:
    """Fair price of instruments, USD."""
    risk = scenarios.price(market, packed.decode(words))
    return dict(zip(words, risk.value.tolist(), strict=True))


def opened(holders: list[Holder], market: Market) -> tuple[packed.Instruments, Portfolios]:
    """Holders after they have traded at fair prices, as the numpy model sees them."""
    words = sorted({word for holder in holders for word in holder.sizes})
    fair, row = prices(words, market), {word: i for i, word in enumerate(words)}
    entries = [
        (account, row[word], size / WAD, fair[word], instruments.is_option(word))
        for account, holder in enumerate(holders)
        for word, size in holder.sizes.items()
    ]
    account, instrument, size, price, is_option = (
        np.array(column) for column in zip(*entries, strict=True)
    )
    paid = np.bincount(account, size * price * is_option, len(holders))
    coins = [[h.coins.get(a, 0.0) for a in market.assets.asset.tolist()] for h in holders]
    portfolios = Portfolios(
        account,
        instrument,
        size,
        -size * price * ~is_option,
        np.array([holder.cash for holder in holders]) - paid,
        np.array([holder.mode for holder in holders], np.int64),
        np.array(coins),
        np.zeros((len(holders), len(market.underlyings.index))),
    )
    return packed.decode(words), portfolios


def _is_interpolated(holder: Holder) -> bool:
    is_predictive = holder.mode == MarginMode.PREDICTIVE
    return is_predictive and any(instruments.is_option(word) for word in holder.sizes)


def _funded(holders: list[Holder], fullness: np.ndarray, market: Market) -> list[Holder]:
    """Set the cash of each: initial margin over fullness, less what it has already, and costs."""
    words, portfolios = opened(holders, market)
    risk = scenarios.price(market, words)
    result = margin.margin(market, risk, portfolios)
    charged = [INTERPOLATION if _is_interpolated(holder) else 1.0 for holder in holders]
    wanted = result.initial_margin * charged / fullness - result.initial_equity
    traded = np.abs(portfolios.size) * risk.value[portfolios.instrument]
    costs = COSTS * np.bincount(portfolios.account, traded, len(holders))
    for holder, cash in zip(holders, (wanted + costs).tolist(), strict=True):
        holder.cash = round(cash, 2)
    return holders
