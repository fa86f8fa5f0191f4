"""The market at one moment, its validity, and its conversion to the contracts' integers.

Prices are USD floats, times Unix seconds. Paths and faults produce snapshots freely, faults also
invalid ones; whoever needs a valid one asks `validate`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from math import isfinite

from oracle_mock.surface import ArbitrageError, Svi, require_arbitrage_free

WAD = 10**18
PRICE_LIMIT = 2.0**96 / WAD

# Name, lowest bit, width, binary digits after the point, signed (specification, Mathematics: SVI).
SVI_FIELDS = (
    ("a", 0, 64, 56, True),
    ("b", 64, 64, 56, False),
    ("rho", 128, 32, 30, True),
    ("m", 160, 48, 40, True),
    ("sigma", 208, 48, 40, False),
)

# How fast a stable price may follow: fast enough for a week's trend, too slow for a raid.
STABLE_LIMIT_PER_HOUR = 0.01


class InvalidSnapshotError(ValueError):
    """A snapshot that no honest feed would post."""


@dataclass(frozen=True)
class Slice:
    """Forward market of one expiry.

    Parameters
    ----------
    expiry : int
        Unix time.
    forward : float
        Forward price, USD, above zero.
    discount : float
        Discount factor, in (0, 1].
    svi : Svi
        Total variance from the snapshot's time to expiry.
    """

    expiry: int
    forward: float
    discount: float
    svi: Svi


@dataclass(frozen=True)
class Market:
    """Everything known about one underlying.

    Parameters
    ----------
    index : float
        Index price, USD, above zero.
    mark : float
        Mark price of the perpetual, USD, above zero.
    confidence : float
        Half-width of the price interval, USD, at least zero and at most the index.
    stable_index : float
        Rate-limited index, USD, above zero (`follow`).
    observed : int
        Unix time at which all this was seen; never after the snapshot's time.
    slices : tuple of Slice
        By expiry, ascending.
    """

    index: float
    mark: float
    confidence: float
    stable_index: float
    observed: int
    slices: tuple[Slice, ...] = ()


@dataclass(frozen=True)
class Rate:
    """Conversion rate of a collateral token.

    Parameters
    ----------
    value : float
        Units of its underlying per whole token, or USD per whole token if it is cash-like.
    stable_value : float
        Rate-limited value (`follow`).
    observed : int
        Unix time at which it was seen.
    """

    value: float
    stable_value: float
    observed: int


@dataclass(frozen=True)
class Snapshot:
    """What feeds would publish at one moment.

    Parameters
    ----------
    time : int
        Unix time.
    markets : mapping of str to Market
        By underlying, "BTC" for instance.
    rates : mapping of str to Rate
        By collateral token, "USDC" for instance.
    settlements : mapping of (str, int) to float
        Final settlement prices by underlying and expiry, all that are known by now.
    """

    time: int
    markets: Mapping[str, Market]
    rates: Mapping[str, Rate] = field(default_factory=dict)
    settlements: Mapping[tuple[str, int], float] = field(default_factory=dict)

    def with_market(self, underlying: str, market: Market) -> "Snapshot":
        """Return a copy in which one market is another."""
        return replace(self, markets={**self.markets, underlying: market})

    def with_rate(self, token: str, rate: Rate) -> "Snapshot":
        """Return a copy in which one rate is another."""
        return replace(self, rates={**self.rates, token: rate})


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise InvalidSnapshotError(message)


def _validate_market(name: str, market: Market, time: int) -> None:
    for field_name in ("index", "mark", "stable_index"):
        price = getattr(market, field_name)
        _require(0 < price < PRICE_LIMIT, f"{name}: {field_name} {price} out of range")
    confidence = market.confidence
    _require(0 <= confidence <= market.index, f"{name}: confidence {confidence} out of range")
    _require(0 < market.observed <= time, f"{name}: observed {market.observed}, now {time}")
    expiries = [part.expiry for part in market.slices]
    _require(expiries == sorted(set(expiries)), f"{name}: expiries {expiries} do not ascend")
    for part in market.slices:
        where = f"{name} {part.expiry}"
        _require(part.expiry > time, f"{where}: expired, now {time}")
        _require(0 < part.forward < PRICE_LIMIT, f"{where}: forward {part.forward} out of range")
        _require(0 < part.discount <= 1, f"{where}: discount {part.discount} out of range")
    try:
        require_arbitrage_free([part.svi for part in market.slices])
    except ArbitrageError as error:
        raise InvalidSnapshotError(f"{name}: {error}") from error


def validate(snapshot: Snapshot) -> None:
    """Raise `InvalidSnapshotError`, naming the first fault, unless a snapshot is sound."""
    for name, market in snapshot.markets.items():
        _validate_market(name, market, snapshot.time)
    for token, rate in snapshot.rates.items():
        for value in (rate.value, rate.stable_value):
            _require(0 < value < PRICE_LIMIT, f"{token}: rate {value} out of range")
        _require(0 < rate.observed <= snapshot.time, f"{token}: observed {rate.observed}")
    for (name, expiry), price in snapshot.settlements.items():
        where = f"{name} {expiry}"
        _require(0 < price < PRICE_LIMIT, f"{where}: settlement price {price} out of range")
        _require(expiry <= snapshot.time, f"{where}: settled before its expiry")


def follow(stable: float, price: float, elapsed_seconds: int) -> float:
    """Rate-limited price: `stable` moved towards `price` as far as the elapsed time allows."""
    reach = STABLE_LIMIT_PER_HOUR * elapsed_seconds / 3_600
    return min(max(price, stable * (1 - min(reach, 1.0))), stable * (1 + reach))


def postponed(snapshot: Snapshot, seconds: int) -> Snapshot:
    """Move all times of a snapshot by as many seconds, back if negative; nothing else changes."""

    def later(market: Market) -> Market:
        slices = tuple(replace(part, expiry=part.expiry + seconds) for part in market.slices)
        return replace(market, observed=market.observed + seconds, slices=slices)

    return Snapshot(
        snapshot.time + seconds,
        {name: later(market) for name, market in snapshot.markets.items()},
        {
            token: replace(rate, observed=rate.observed + seconds)
            for token, rate in snapshot.rates.items()
        },
        {(name, expiry + seconds): price for (name, expiry), price in snapshot.settlements.items()},
    )


def to_wad(value: float) -> int:
    """Nearest integer to ``value * 1e18``, through the shortest decimal that names the float.

    So 0.1 becomes exactly 10**17, although the nearest float to 0.1 is a little more.
    """
    return int(Decimal(repr(float(value))).scaleb(18).to_integral_value())


def pack_svi(svi: Svi) -> int:
    """Pack a slice into the word of `Svi.sol`, each parameter rounded to the nearest.

    Raises
    ------
    InvalidSnapshotError
        If a parameter does not fit its field.
    """
    word = 0
    for name, shift, bits, fraction_bits, signed in SVI_FIELDS:
        value = getattr(svi, name)
        shifted = value * 2.0**fraction_bits
        scaled = round(shifted) if isfinite(shifted) else 2**bits
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if signed else (0, 2**bits)
        if not low <= scaled < high:
            raise InvalidSnapshotError(f"SVI parameter {name} {value} cannot be encoded")
        word |= (scaled % 2**bits) << shift
    return word


def unpack_svi(word: int) -> Svi:
    """Return the slice a word holds."""
    parameters = {}
    for name, shift, bits, fraction_bits, signed in SVI_FIELDS:
        value = word >> shift & (2**bits - 1)
        if signed and value >> (bits - 1):
            value -= 2**bits
        parameters[name] = value / 2**fraction_bits
    return Svi(**parameters)


@dataclass(frozen=True)
class Ids:
    """Numbers under which a chain knows underlyings and collateral tokens."""

    underlyings: Mapping[str, int]
    assets: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Updates:
    """A snapshot as the feed takes it: tuples of integers, in the order of its structs."""

    spots: list[tuple[int, ...]]
    slices: list[tuple[int, ...]]
    rates: list[tuple[int, ...]]
    settlements: list[tuple[int, ...]]


def to_price(value: float, name: str) -> int:
    """Convert a price to WAD; raise `InvalidSnapshotError` for what no feed can encode."""
    if not 0 <= value < PRICE_LIMIT:
        raise InvalidSnapshotError(f"{name}: {value} cannot be encoded")
    return to_wad(value)


def updates(snapshot: Snapshot, ids: Ids) -> Updates:
    """Convert a snapshot to integers.

    Raises
    ------
    InvalidSnapshotError
        If a value is negative, not a number or too large. Zero and arbitrage pass: refusing them
        is the chain's part.
    KeyError
        If the chain has no number for a name.
    """
    spots, slices = [], []
    for name, market in snapshot.markets.items():
        underlying = ids.underlyings[name]
        prices = (market.index, market.confidence, market.mark, market.stable_index)
        spots.append((underlying, *(to_price(price, name) for price in prices), market.observed))
        for part in market.slices:
            values = (to_price(part.forward, name), to_price(part.discount, name))
            packed = pack_svi(part.svi)
            slices.append((underlying, part.expiry, *values, packed, market.observed))
    rates = [
        (
            ids.assets[token],
            to_price(rate.value, token),
            to_price(rate.stable_value, token),
            rate.observed,
        )
        for token, rate in snapshot.rates.items()
    ]
    settlements = [
        (ids.underlyings[name], expiry, to_price(price, name))
        for (name, expiry), price in snapshot.settlements.items()
    ]
    return Updates(spots, slices, rates, settlements)
