"""The one file that says what is deployed, and its validation.

Values are written as people say them (``scanRange: 0.16``, ``cap: 100_000`` tokens) and become
the contracts' integers here. Ranges are those of the specification, section 13; the contracts
enforce them again. (The underscore keeps this file out of the list of `ape run`.)
"""

import difflib
from collections.abc import Hashable, Iterable
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

import click
import yaml
from eth_utils import (
    is_address,
    is_checksum_address,
    is_checksum_formatted_address,
    to_checksum_address,
)
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

DEFAULT_PATH = Path(__file__).with_name("deploy.yaml")
WAD = 10**18
PPM = 10**6
HOUR = 3_600
DAY = 24 * HOUR
MAX_BALANCE = 2**127
ZERO_ADDRESS = "0x" + "0" * 40
MAX_SCENARIOS = 40
MAX_VOL_CLASSES = 4
MAX_LIVE_EXPIRIES = 16
MAX_TENOR_WEEKS = 156
FRIDAY = 4
SETTLEMENT_TIME = time(8, tzinfo=UTC)


class ConfigurationError(click.ClickException):
    """A configuration that cannot be deployed; the message says what to change."""


# --------------------------------------------------------------------------------------------------
# Kinds of values
# --------------------------------------------------------------------------------------------------


def to_wad(value: Decimal) -> int:
    """Return a value of at most 18 decimal places as a WAD integer, exactly."""
    return int(Fraction(value) * WAD)


def _between(low: Decimal | int, high: Decimal | int) -> AfterValidator:
    def check(value: Any) -> Any:
        if not low <= value <= high:
            raise ValueError(f"must lie between {low:,} and {high:,}")
        return value

    return AfterValidator(check)


def _places(places: int) -> AfterValidator:
    def check(value: Decimal) -> Decimal:
        if (Fraction(value) * 10**places).denominator != 1:
            raise ValueError(f"must have at most {places} decimal places")
        return value

    return AfterValidator(check)


def _decimal(low: str, high: str, places: int = 18) -> Any:
    return Annotated[Decimal, _between(Decimal(low), Decimal(high)), _places(places)]


def _integer(low: int, high: int) -> Any:
    return Annotated[int, Field(strict=True), _between(low, high)]


def _word_or_address(*words: str) -> Any:
    def check(value: str) -> str:
        if value in words:
            return value
        if not is_address(value) or (
            is_checksum_formatted_address(value) and not is_checksum_address(value)
        ):
            raise ValueError(f"must be {' or '.join(words)}, or an address with its checksum right")
        return to_checksum_address(value)

    return Annotated[str, AfterValidator(check)]


# The ledger's fields end a little above; a round number is easier to read in a message.
Amount = _decimal("0", "79000000000")
Share = _decimal("0", "1")
Member = _word_or_address("deployer")
Token = _word_or_address("mock")
MarketData = _word_or_address("feed", "hub")


class _Section(BaseModel):
    """Part of the file: camelCase there, unknown fields refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, validate_by_name=True
    )

    def wads(self, *names: str) -> dict[str, int]:
        """Return fields as WAD integers under their names in Solidity."""
        return {to_camel(name): to_wad(getattr(self, name)) for name in names}


# --------------------------------------------------------------------------------------------------
# Sections of the file
# --------------------------------------------------------------------------------------------------


class Role(_Section):
    """Accounts that hold a role, and how long their calls wait in public."""

    members: list[Member] = Field(min_length=1)
    delay_seconds: _integer(0, 30 * DAY) = 0


class GovernanceRoles(_Section):
    """Holders of the roles that the Governance contract numbers."""

    admin: Member
    governor: Role
    guardian: Role
    poster: Role
    treasurer: Role
    publisher: Role


class SettlementToken(_Section):
    """The only token that is cash."""

    symbol: str = Field(min_length=1, max_length=16)
    token: Token
    decimals: _integer(0, 24)


class GlobalParameters(_Section):
    """Parameters common to all underlyings."""

    maintenance_factor: _decimal("0.1", "4")
    initial_factor: _decimal("0.1", "4")
    vol_exponent_short: Share
    vol_exponent_long: Share
    minimum_tau: _integer(HOUR, 30 * DAY)
    profit_weight: Share
    profit_cap: Amount
    withdraw_max_age: _integer(1, DAY)
    open_max_age: _integer(1, DAY)
    margin_max_age: _integer(1, DAY)
    liquidation_max_age: _integer(1, 7 * DAY)
    ramp_seconds: _integer(HOUR, 30 * DAY)
    max_positions: _integer(1, 64)
    rise_rate: _decimal("0.001", "2")
    fall_rate: _decimal("0.0001", "2")

    @model_validator(mode="after")
    def _factors_are_ordered(self) -> "GlobalParameters":
        if self.maintenance_factor > self.initial_factor:
            raise ValueError("maintenanceFactor must not be above initialFactor")
        return self

    def struct(self) -> dict[str, int]:
        """Return the Solidity struct."""
        return {
            **self.wads("maintenance_factor", "initial_factor"),
            **self.wads("vol_exponent_short", "vol_exponent_long"),
            "minimumTauSeconds": self.minimum_tau,
            **self.wads("profit_weight", "profit_cap"),
            "withdrawMaxAgeSeconds": self.withdraw_max_age,
            "openMaxAgeSeconds": self.open_max_age,
            "marginMaxAgeSeconds": self.margin_max_age,
            "liquidationMaxAgeSeconds": self.liquidation_max_age,
            "rampSeconds": self.ramp_seconds,
            "maxPositions": self.max_positions,
            **self.wads("rise_rate", "fall_rate"),
        }


class InterestParameters(_Section):
    """Interest on cash, rates per year."""

    base: _decimal("0", "10")
    slope1: _decimal("0", "10")
    slope2: _decimal("0", "10")
    kink: _decimal("0.01", "0.99")
    reserve_factor: Share

    def struct(self) -> dict[str, int]:
        """Return the Solidity struct."""
        return self.wads(*InterestParameters.model_fields)


class Window(_Section):
    """Forced volume of a market: units in as much active time; 0 for no limit."""

    capacity: Amount
    period_seconds: _integer(1, 7 * DAY)

    def struct(self) -> dict[str, int]:
        """Return the Solidity struct."""
        return {**self.wads("capacity"), "periodSeconds": self.period_seconds}


class InsuranceFund(_Section):
    """How stakers may leave; and what a mock token is minted for, so that there is one."""

    cooldown_seconds: _integer(HOUR, 30 * DAY)
    exit_window_seconds: _integer(HOUR, 30 * DAY)
    seed: Amount = Decimal(0)


class Liquidation(_Section):
    """Rules of auctions and the waterfall, windows by underlying, and the insurance fund."""

    opening_discount: _decimal("0", "0.5")
    cusp_discount: Share
    fast_seconds: _integer(1, DAY)
    slow_seconds: _integer(1, 7 * DAY)
    buffer: Share
    dust_margin: _decimal("0", "1000000")
    reward_rate: _decimal("0", "0.1")
    reward_cap: _decimal("0", "1000000")
    insolvency_bonus: Share
    last_step: Literal["socialise", "deleverage"]
    max_socialised_share: _decimal("0", "0.5")
    max_deleverage_share: _decimal("0.01", "1")
    windows: dict[str, Window]
    insurance_fund: InsuranceFund

    @model_validator(mode="after")
    def _discounts_are_ordered(self) -> "Liquidation":
        if self.opening_discount > self.cusp_discount:
            raise ValueError("openingDiscount must not be above cuspDiscount")
        return self

    def struct(self) -> dict[str, int]:
        """Return the Solidity struct of the rules."""
        return {
            **self.wads("opening_discount", "cusp_discount"),
            "fastSeconds": self.fast_seconds,
            "slowSeconds": self.slow_seconds,
            **self.wads("buffer", "dust_margin", "reward_rate", "reward_cap", "insolvency_bonus"),
            "lastStep": ("socialise", "deleverage").index(self.last_step),
            **self.wads("max_socialised_share", "max_deleverage_share"),
        }


class VolClass(_Section):
    """Scenarios of one move of volatility."""

    vol: _decimal("-5", "5", places=6)
    weight_by_price: dict[_decimal("-20", "20", places=6), _decimal("0.000001", "1", places=6)]


class Expiries(_Section):
    """Expiries to list: the n-th Friday from now, 08:00 UTC, and any given times."""

    fridays: list[_integer(1, MAX_TENOR_WEEKS)] = []
    at: list[AwareDatetime] = []

    def timestamps(self, now: int) -> list[int]:
        """Return the expiries ahead of a time, ascending, Unix seconds."""
        today = datetime.fromtimestamp(now, UTC).date()
        friday = datetime.combine(today, SETTLEMENT_TIME)
        friday += timedelta(days=(FRIDAY - friday.weekday()) % 7)
        if friday.timestamp() <= now:
            friday += timedelta(weeks=1)
        times = {int((friday + timedelta(weeks=n - 1)).timestamp()) for n in self.fridays}
        return sorted(times | {t for t in map(_unix, self.at) if t > now})

    @model_validator(mode="after")
    def _can_be_listed(self) -> "Expiries":
        if len(self.fridays) + len(self.at) > MAX_LIVE_EXPIRIES:
            raise ValueError(f"at most {MAX_LIVE_EXPIRIES} expiries may be listed at a time")
        for moment in self.at:
            if _unix(moment) % HOUR:
                raise ValueError(f"{moment:%Y-%m-%d %H:%M:%S} is not on the hour")
        return self


class UnderlyingParameters(_Section):
    """Parameters of one underlying."""

    id: _integer(1, 255)
    group: _integer(0, 7)
    scan_range: _decimal("0.001", "0.9")
    max_scan_range: _decimal("0.001", "0.9")
    scan_multiplier: _decimal("0", "20")
    vol_range: _decimal("0", "2")
    vol_floor: Share
    basis_rate: _decimal("0", "0.2")
    short_option_rate: _decimal("0", "0.2")
    concentration_rate: Share
    max_oi_multiplier: _decimal("0", "10")
    funding_cap: _decimal("0", "0.1")
    maker_fee: _decimal("0", "0.01")
    taker_fee: _decimal("0", "0.01")
    option_fee_cap: _decimal("0", "0.5")
    lot_size: _decimal("0.000000000000000001", "18")
    depth: _decimal("1", "79000000000")
    oi_lower: Amount
    oi_upper: Amount
    open_interest_cap: Amount
    reduce_only: bool = False
    expiries: Expiries = Expiries()

    @model_validator(mode="after")
    def _bounds_are_ordered(self) -> "UnderlyingParameters":
        if self.oi_lower >= self.oi_upper:
            raise ValueError("oiLower must be below oiUpper")
        if self.scan_range > self.max_scan_range:
            raise ValueError("scanRange must not be above maxScanRange")
        return self

    def struct(self) -> dict[str, int | bool]:
        """Return the Solidity struct."""
        plain = {"id", "group", "reduce_only", "expiries"}
        return {
            "listed": True,
            "reduceOnly": self.reduce_only,
            "group": self.group,
            **self.wads(*(set(UnderlyingParameters.model_fields) - plain)),
        }


class Collateral(_Section):
    """Parameters of one collateral token; ``cap`` counts whole tokens."""

    asset: _integer(1, 31)
    token: Token
    decimals: _integer(0, 24)
    underlying: str | None
    haircut: _decimal("0", "0.999999999999999999")
    depeg_rate: Share = Decimal(0)
    cap: Annotated[Decimal, _between(0, Decimal(2**127))]
    enabled: bool = True

    @property
    def cap_raw(self) -> int:
        """Cap in the token's smallest unit."""
        return int(Fraction(self.cap) * 10**self.decimals)

    @model_validator(mode="after")
    def _fits_the_ledger(self) -> "Collateral":
        if self.depeg_rate and self.underlying is not None:
            raise ValueError("depegRate is for cash-like tokens: set it to 0, or underlying: null")
        if self.cap > MAX_BALANCE // WAD or self.cap_raw >= 2**128:
            raise ValueError("cap is more than the ledger can count")
        return self

    def struct(self, token: str, underlying: int) -> dict[str, Any]:
        """Return the Solidity struct for a token address and an underlying id."""
        return {
            "token": token,
            "decimals": self.decimals,
            "underlying": underlying,
            "enabled": self.enabled,
            **self.wads("haircut", "depeg_rate"),
            "capRaw": self.cap_raw,
        }


class Estimator(_Section):
    """How volatilities are estimated, and of what: annual volatilities to start from."""

    interval_seconds: _integer(60, DAY)
    decay_seconds: _integer(DAY, 365 * DAY)
    max_deviation: _decimal("2", "20")
    basket: dict[str, _decimal("0.05", "5")] = Field(max_length=8)

    def settings(self) -> dict[str, int]:
        """Return the arguments of ``setEstimator``, by name."""
        return {
            "intervalSeconds": self.interval_seconds,
            "decaySeconds": self.decay_seconds,
            **self.wads("max_deviation"),
        }


class Predictive(_Section):
    """Parameters of predictive margin, and the file of the joint moves that are published first."""

    tail_share: _decimal("0.005", "0.1")
    horizon_seconds: _integer(HOUR, 10 * DAY)
    floor_weight: _decimal("0.1", "1")
    parametric_weight: Share
    correlation_width: Share
    single_asset_floor: Share
    vectors: Path | None = None

    def struct(self) -> dict[str, int]:
        """Return the Solidity struct."""
        return {
            **self.wads("tail_share"),
            "horizonSeconds": self.horizon_seconds,
            **self.wads("floor_weight", "parametric_weight"),
            **self.wads("correlation_width", "single_asset_floor"),
        }


# --------------------------------------------------------------------------------------------------
# The oracle hub
# --------------------------------------------------------------------------------------------------


class _Source(_Section):
    """Source of a price; how old its answers may be is said where the hub itself asks it."""

    max_age: _integer(1, DAY) | None = None

    @property
    def is_mock(self) -> bool:
        """Whether anyone may say what it says."""
        return getattr(self, "address", None) == "mock"


class ChainlinkFeed(_Source):
    """A Chainlink feed; `decimals` are those of a mock, a real one knows its own."""

    type: Literal["chainlink"]
    address: Token
    decimals: _integer(0, 36) = 8
    deviation: _decimal("0", "0.1")


class PythFeed(_Source):
    """A price of a Pyth contract; a mock names it by itself."""

    type: Literal["pyth"]
    address: Token
    id: Annotated[str, Field(pattern="^0x[0-9a-fA-F]{64}$")] | None = None
    exponent: _integer(-18, 18) = -8

    @model_validator(mode="after")
    def _has_a_name(self) -> "PythFeed":
        if not self.is_mock and self.id is None:
            raise ValueError("id of the price is missing")
        return self


class SignedFeed(_Source):
    """Reports of the hub's signers under the name of the price."""

    type: Literal["signed"]


class RateFeed(_Source):
    """An ERC-4626 vault or a rate provider; `rate` is what a mock says at first."""

    type: Literal["rate"]
    address: Token
    is_vault: bool = False
    growth: _decimal("0", "1")
    rate: _decimal("0.000001", "1000000") = Decimal(1)

    @model_validator(mode="after")
    def _mock_is_a_provider(self) -> "RateFeed":
        if self.is_mock and self.is_vault:
            raise ValueError("a mock is a rate provider: set isVault to false")
        return self


Leg = Annotated[ChainlinkFeed | PythFeed | SignedFeed | RateFeed, Field(discriminator="type")]


class CrossFeed(_Source):
    """Product of two sources, or their quotient."""

    type: Literal["cross"]
    legs: tuple[Leg, Leg]
    is_quotient: bool = False

    @property
    def is_mock(self) -> bool:
        """Whether anyone may say what one of its legs says."""
        return any(leg.is_mock for leg in self.legs)


AnySource = Annotated[
    ChainlinkFeed | PythFeed | SignedFeed | RateFeed | CrossFeed, Field(discriminator="type")
]


class FeedRules(_Section):
    """How one price comes about: a fixed value, or sources with the limits of the hub."""

    fixed: _decimal("0.000000000000000001", "39000000000") | None = None
    sources: list[AnySource] = Field(default=[], max_length=5)
    quorum: _integer(0, 5) = 0
    band: tuple[Amount, Amount] | None = None
    max_move: _decimal("0.001", "0.9") = Decimal("0.1")
    stable_rate: _decimal("0.0001", "10") = Decimal("0.06")
    mark: AnySource | None = None
    mark_band: _decimal("0", "0.2") = Decimal("0.02")
    cache: _integer(0, HOUR) = 60

    @property
    def listed(self) -> list[Any]:
        """All sources that the hub asks itself."""
        return [*self.sources, *([self.mark] if self.mark else [])]

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> "FeedRules":
        if (self.fixed is None) == (not self.sources):
            raise ValueError("needs either fixed, or sources")
        if self.fixed is not None:
            if self.mark or self.band or self.quorum:
                raise ValueError("a fixed price has no mark, band or quorum")
            return self
        if not len(self.sources) // 2 < self.quorum <= len(self.sources):
            raise ValueError("quorum must be more than half of the sources, at most all")
        if self.band is None or not 0 < self.band[0] <= self.band[1] <= 10_000 * self.band[0]:
            raise ValueError("band must be [low, high], above 0 and at most 10,000 times as high")
        if any(source.max_age is None for source in self.listed):
            raise ValueError("every source needs a maxAge")
        return self

    def struct(self, sources: list[str], mark: str | None) -> dict[str, Any]:
        """Return the Solidity struct for the addresses of its sources."""
        low, high = self.band or (self.fixed, self.fixed)
        ages = [source.max_age for source in self.sources]
        return {
            "sources": list(zip(sources, ages, strict=True)),
            "quorum": self.quorum,
            "minPrice": to_wad(low),
            "maxPrice": to_wad(high),
            **self.wads("max_move", "stable_rate", "mark_band"),
            "cacheSeconds": self.cache,
            "markSource": (mark, self.mark.max_age) if mark else (ZERO_ADDRESS, 0),
        }


class Signers(_Section):
    """Who signs reports; `mock` are three keys that anyone knows, on local networks alone."""

    members: Literal["mock"] | list[Member] = Field(default="mock", min_length=1, max_length=16)
    threshold: _integer(1, 16)

    @model_validator(mode="after")
    def _are_a_majority(self) -> "Signers":
        count = 3 if self.members == "mock" else len(self.members)
        if not count // 2 < self.threshold <= count:
            raise ValueError(f"threshold must be more than half of {count} signers, at most all")
        return self


class SurfaceRules(_Section):
    """What one report may change in a volatility surface."""

    max_vol_move: _decimal("0.01", "10")
    max_forward_move: _decimal("0.0001", "1")
    min_interval: _integer(1, DAY)

    def struct(self) -> dict[str, int]:
        """Return the Solidity struct."""
        moves = self.wads("max_vol_move", "max_forward_move")
        return {**moves, "minIntervalSeconds": self.min_interval}


class Hub(_Section):
    """All that `marketData: hub` deploys."""

    signers: Signers
    pyth_update_fee: _integer(0, 10**18) = 0
    sequencer: Token | None = None
    grace_seconds: _integer(0, DAY) = 0
    surface: SurfaceRules
    feeds: dict[str, FeedRules]
    rates: dict[str, FeedRules]

    @property
    def uses_mocks(self) -> bool:
        """Whether anyone may say what a source says."""
        rules = [*self.feeds.values(), *self.rates.values()]
        mocks = (source.is_mock for rule in rules for source in rule.listed)
        return "mock" in (self.signers.members, self.sequencer) or any(mocks)

    @model_validator(mode="after")
    def _marks_are_of_underlyings(self) -> "Hub":
        for token, rule in self.rates.items():
            if rule.mark is not None:
                raise ValueError(f"rates.{token}: only an underlying has a mark")
        return self


class Configuration(_Section):
    """All that is deployed."""

    governance: GovernanceRoles
    market_data: MarketData
    hub: Hub | None = None
    settlement_token: SettlementToken
    global_: Annotated[GlobalParameters, Field(alias="global")]
    interest: InterestParameters
    liquidation: Liquidation
    scenarios: list[VolClass]
    # In JSON keys are text.
    decorrelations: dict[Annotated[int, _between(0, 7)], Share]
    underlyings: dict[str, UnderlyingParameters]
    collaterals: dict[str, Collateral]
    estimator: Estimator
    predictive: Predictive

    @property
    def uses_mocks(self) -> bool:
        """Whether any token is one that anyone may mint."""
        tokens = [self.settlement_token, *self.collaterals.values()]
        return any(token.token == "mock" for token in tokens)

    @property
    def uses_mock_sources(self) -> bool:
        """Whether anyone may say what a source of the hub says."""
        return self.market_data == "hub" and self.hub.uses_mocks

    def beside(self, path: Path) -> "Configuration":
        """Return the same with the file that it names found from its own folder."""
        if self.predictive.vectors is None:
            return self
        vectors = path.parent / self.predictive.vectors
        predictive = self.predictive.model_copy(update={"vectors": vectors})
        return self.model_copy(update={"predictive": predictive})

    def with_feed(self) -> "Configuration":
        """Return the same with prices that one poster says, without the hub."""
        return self.model_copy(update={"market_data": "feed", "hub": None})

    def scenario_structs(self) -> list[dict[str, int]]:
        """Return the scenarios as Solidity structs, sorted so that they make the fewest runs."""
        return [
            {
                "pricePpm": int(price * PPM),
                "volPpm": int(group.vol * PPM),
                "weightPpm": int(weight * PPM),
            }
            for group in self.scenarios
            for price, weight in sorted(
                group.weight_by_price.items(), key=lambda item: (-item[1], item[0])
            )
        ]

    def decorrelation_weights(self) -> list[int]:
        """Return the weight of each of the eight groups, 1 where none is given."""
        return [to_wad(self.decorrelations.get(group, Decimal(1))) for group in range(8)]

    @model_validator(mode="after")
    def _names_and_numbers_agree(self) -> "Configuration":
        _require_unique("id", {k: u.id for k, u in self.underlyings.items()})
        _require_unique("asset", {k: c.asset for k, c in self.collaterals.items()})
        tokens = {k: c.token for k, c in self.collaterals.items() if c.token != "mock"}
        _require_unique("token", tokens | {"settlementToken": self.settlement_token.token})
        if self.settlement_token.symbol in self.collaterals:
            raise ValueError(f"{self.settlement_token.symbol} is cash, it cannot be collateral")
        for name, underlying in self.underlyings.items():
            if underlying.group not in self.decorrelations:
                raise ValueError(f"decorrelations lacks group {underlying.group} of {name}")
        for name, collateral in self.collaterals.items():
            if collateral.underlying not in {None, *self.underlyings}:
                known = ", ".join(self.underlyings)
                raise ValueError(
                    f"collaterals.{name}.underlying = {collateral.underlying}: "
                    f"must be null or one of {known}"
                )
        for section, names in (
            ("estimator.basket", self.estimator.basket),
            ("liquidation.windows", self.liquidation.windows),
        ):
            for name in names:
                if name not in self.underlyings:
                    raise ValueError(f"{section}.{name} is not an underlying")
        return self

    @model_validator(mode="after")
    def _liquidation_is_complete(self) -> "Configuration":
        if missing := sorted(self.underlyings.keys() - self.liquidation.windows.keys()):
            raise ValueError(f"liquidation.windows lacks {', '.join(missing)}")
        if self.liquidation.insurance_fund.seed and self.settlement_token.token != "mock":
            raise ValueError(
                "liquidation.insuranceFund.seed is minted, which only a mock settlementToken "
                "allows: set it to 0 and let stakers come"
            )
        return self

    @model_validator(mode="after")
    def _hub_has_every_price(self) -> "Configuration":
        if self.market_data != "hub":
            return self
        if self.hub is None:
            raise ValueError("marketData = hub: the section hub is missing")
        for what, wanted, given in (
            ("feeds", self.underlyings, self.hub.feeds),
            ("rates", self.collaterals, self.hub.rates),
        ):
            if missing := sorted(wanted.keys() - given.keys()):
                raise ValueError(f"hub.{what} lacks {', '.join(missing)}")
            if unknown := sorted(given.keys() - wanted.keys()):
                raise ValueError(f"hub.{what}.{unknown[0]} is not in the configuration")
        return self

    @model_validator(mode="after")
    def _scenarios_look_to_all_sides(self) -> "Configuration":
        moves = [(s["pricePpm"], s["volPpm"], s["weightPpm"]) for s in self.scenario_structs()]
        if len(moves) > MAX_SCENARIOS or len(self.scenarios) > MAX_VOL_CLASSES:
            raise ValueError(
                f"at most {MAX_SCENARIOS} scenarios of {MAX_VOL_CLASSES} moves of volatility"
            )
        if len({group.vol for group in self.scenarios}) < len(self.scenarios):
            raise ValueError("scenarios of one move of volatility belong into one list")
        full = [price for price, _, weight in moves if weight == PPM]
        sides: dict[str, Iterable[bool]] = {
            "a price fall of 1 or more at weight 1": (price <= -PPM for price in full),
            "a price rise of 1 or more at weight 1": (price >= PPM for price in full),
            "a fall of volatility": (vol < 0 for _, vol, _ in moves),
            "a rise of volatility": (vol > 0 for _, vol, _ in moves),
        }
        for side, present in sides.items():
            if not any(present):
                raise ValueError(f"scenarios must contain {side}")
        return self


def _unix(moment: datetime) -> int:
    return int(moment.timestamp())


def _require_unique(field: str, values: dict[str, Hashable]) -> None:
    seen: dict[Hashable, str] = {}
    for name, value in values.items():
        if value in seen:
            raise ValueError(f"{seen[value]} and {name} have the same {field}, {value}")
        seen[value] = name


# --------------------------------------------------------------------------------------------------
# Reading
# --------------------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """YAML in which a key given twice is an error and an address is not a number."""

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int | str:
        return node.value if node.value.startswith("0x") else super().construct_yaml_int(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys: list[Any] = []
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=deep)
            if key in keys:
                line = key_node.start_mark.line + 1
                raise ConfigurationError(f"line {line} gives '{key}' a second time")
            keys.append(key)
        return super().construct_mapping(node, deep=deep)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)

# What pydantic says in its own words of types.
TYPE_MESSAGES = {
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "decimal_parsing": "must be a number",
    "decimal_type": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "dict_type": "must be a mapping of names to values",
    "model_type": "must be a mapping of names to values",
    "list_type": "must be a list",
}


def load_configuration(path: Path = DEFAULT_PATH) -> Configuration:
    """Read and validate a configuration.

    Parameters
    ----------
    path
        A YAML or JSON file.

    Raises
    ------
    ConfigurationError
        Names every field that is wrong, its value and what it may be.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not YAML: {error}") from error
    try:
        return Configuration.model_validate(content).beside(path)
    except ValidationError as error:
        lines = [_explain(detail) for detail in error.errors()]
        raise ConfigurationError("\n  ".join([f"{path} cannot be deployed:", *lines])) from error


def _explain(detail: Any) -> str:
    """Return one line on one wrong field: its name, its value, what to do."""
    location = [str(part) for part in detail["loc"] if part != "[key]"]
    name = ".".join(location)
    if detail["type"] == "missing":
        return f"{name}: is missing"
    if detail["type"] == "extra_forbidden":
        close = difflib.get_close_matches(location[-1], _all_fields(), n=1)
        return f"{name}: is not a field" + (f", did you mean {close[0]}?" if close else "")
    message = detail["msg"].removeprefix("Value error, ")
    message = TYPE_MESSAGES.get(detail["type"], message)
    value = detail["input"]
    if isinstance(value, dict):
        return f"{name}: {message}" if name else message
    return f"{name or 'the whole'} = {value}: {message}"


def _all_fields() -> list[str]:
    return [
        field.alias or name
        for section in _Section.__subclasses__()
        for name, field in section.model_fields.items()
    ]
