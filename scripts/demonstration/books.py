"""The books that are demonstrated, and what their legs cost on the real surfaces."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import log

from oracle_mock.market import Slice, Snapshot
from oracle_mock.surface import YEAR_SECONDS, black76
from reference_model.exact import instrument as instruments

E8 = 10**8
# What the market maker earns: a share of a price, and points of volatility.
LINEAR_HALF_SPREAD = 1e-4
VOLATILITY_HALF_SPREAD = 0.005

FEB_06 = datetime(2026, 2, 6, 8, tzinfo=UTC)
FEB_13 = datetime(2026, 2, 13, 8, tzinfo=UTC)
FEB_27 = datetime(2026, 2, 27, 8, tzinfo=UTC)
MAR_27 = datetime(2026, 3, 27, 8, tzinfo=UTC)
EXPIRIES = (FEB_06, FEB_13, FEB_27, MAR_27)


@dataclass(frozen=True)
class Leg:
    """One position of a book.

    Attributes
    ----------
    size
        Units of the underlying; positive is bought.
    expiry
        As it was in 2026; nothing for a perpetual.
    strike
        USD; nothing unless an option.
    """

    underlying: str
    size: int
    expiry: datetime | None = None
    strike: int | None = None
    is_put: bool = False

    def __str__(self) -> str:
        if self.expiry is None:
            what = "perpetual"
        else:
            what = f"{self.expiry.day} {self.expiry:%b}"
            option = "put" if self.is_put else "call"
            what += " future" if self.strike is None else f" {self.strike:,} {option}"
        return f"{self.size:+,} {self.underlying} {what}".replace("-", "−")

    def instrument(self, underlying: int, moved_seconds: int) -> int:
        """Packed id on a chain whose market was moved in time."""
        if self.expiry is None:
            return instruments.perpetual(underlying)
        expiry = int(self.expiry.timestamp()) + moved_seconds
        if self.strike is None:
            return instruments.future(underlying, expiry)
        return instruments.option(underlying, expiry, self.strike * E8, self.is_put)

    def quote(self, snapshot: Snapshot, moved_seconds: int) -> float:
        """Price at which the market maker trades the leg, USD: fair value and its half spread."""
        market = snapshot.markets[self.underlying]
        side = 1 if self.size > 0 else -1
        if self.expiry is None:
            return market.mark * (1 + side * LINEAR_HALF_SPREAD)
        expiry = int(self.expiry.timestamp()) + moved_seconds
        part = next(part for part in market.slices if part.expiry == expiry)
        if self.strike is None:
            return part.forward * (1 + side * LINEAR_HALF_SPREAD)
        years = (expiry - snapshot.time) / YEAR_SECONDS
        return self._premium(part, years, side * VOLATILITY_HALF_SPREAD)

    def _premium(self, part: Slice, years: float, spread: float) -> float:
        moneyness = log(self.strike / part.forward)
        deviation = (float(part.svi.volatility(moneyness, years)) + spread) * years**0.5
        return part.discount * black76(part.forward, self.strike, deviation, self.is_put)


@dataclass(frozen=True)
class Book:
    """A strategy as somebody runs it, in one account.

    Attributes
    ----------
    idea
        One sentence for a reader.
    hedged
        Whether its parts offset each other.
    cash
        Settlement token paid in, USD.
    collateral
        Whole tokens paid in, by symbol.
    borrowed
        Settlement token withdrawn against the rest, USD.
    """

    name: str
    idea: str
    hedged: bool
    legs: tuple[Leg, ...]
    cash: int = 0
    collateral: dict[str, int] = field(default_factory=dict)
    borrowed: int = 0

    @property
    def holdings(self) -> list[str]:
        """What is in the account, for a reader."""
        tokens = [f"+{amount:,} {symbol}" for symbol, amount in self.collateral.items()]
        cash = [f"{self.cash:+,} USD"] if self.cash else []
        debt = [f"−{self.borrowed:,} USD borrowed"] if self.borrowed else []
        return [*tokens, *map(str, self.legs), *cash, *debt]


BOOKS = (
    Book(
        "cash and carry",
        "ETH against its future, bought with borrowed cash: earns the basis",
        True,
        (Leg("ETH", -400, MAR_27),),
        collateral={"WETH": 400},
        borrowed=700_000,
    ),
    Book(
        "covered call",
        "BTC with a call sold against it, and a loan on top",
        True,
        (Leg("BTC", -10, FEB_27, 85_000),),
        collateral={"WBTC": 10},
        borrowed=510_000,
    ),
    Book(
        "long-short",
        "long ETH, short as many dollars of BTC, by perpetuals",
        True,
        (Leg("ETH", 335), Leg("BTC", -10)),
        cash=130_000,
    ),
    Book(
        "iron condor",
        "bets that BTC stays between 74,000 and 79,000 for two days",
        True,
        (
            Leg("BTC", 20, FEB_06, 70_000, is_put=True),
            Leg("BTC", -20, FEB_06, 74_000, is_put=True),
            Leg("BTC", -20, FEB_06, 79_000),
            Leg("BTC", 20, FEB_06, 83_000),
        ),
        cash=120_000,
    ),
    Book(
        "protective put",
        "long BTC by perpetuals, insured below 70,000",
        True,
        (Leg("BTC", 10), Leg("BTC", 10, FEB_27, 70_000, is_put=True)),
        cash=150_000,
    ),
    Book(
        "short strangle",
        "ETH puts and calls sold, backed by ETH: wrong-way risk",
        False,
        (Leg("ETH", -300, FEB_13, 2_000, is_put=True), Leg("ETH", -300, FEB_13, 2_600)),
        collateral={"WETH": 90},
    ),
)
