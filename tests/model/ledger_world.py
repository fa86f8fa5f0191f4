"""A small market and a ledger in it, in integers, for tests of the exact model."""

from reference_model.exact import instrument
from reference_model.exact.engine import Engine
from reference_model.exact.svi import pack
from reference_model.exact.tokens import Token
from reference_model.types import (
    DAY,
    WAD,
    YEAR,
    Collateral,
    CollateralParameters,
    GlobalParameters,
    InterestParameters,
    Market,
    Scenario,
    Slice,
    Spot,
    UnderlyingParameters,
)

NOW = 1_800_000_000  # 2027-01-15 08:00 UTC
BTC, ETH = 1, 2
UNDERLYINGS = (BTC, ETH)
WETH, STABLE, FINE, COARSE, DISABLED, UNPOSTED = range(1, 7)
SETTLEMENT_TOKEN = Token(0xC0FFEE, 6)
PRICES = {BTC: 60_000 * WAD, ETH: 3_000 * WAD}
EXPIRIES = (NOW + 7 * DAY, NOW + 91 * DAY)
# The first is as far from the index as an option may be opened.
STRIKES = {BTC: (6_000, 60_000, 75_000), ETH: (30_000, 2_500, 3_000)}

GLOBAL = GlobalParameters(
    profit_weight=9 * WAD // 10,
    margin_max_age_seconds=7_200,
    max_positions=7,
)
INTEREST = InterestParameters(WAD // 100, 6 * WAD // 100, WAD, 8 * WAD // 10, WAD // 10)


def wad(value: float) -> int:
    """Return a value of at most six decimal places in WAD, exactly."""
    return round(value * 10**6) * 10**12


def scenarios() -> tuple[Scenario, ...]:
    """Return the SPAN grid with two weighted tails, volatility up first."""
    span = [round(x * 10**6 / 3) for x in range(-3, 4)]
    tails = [(-2_000_000, 500_000), (2_000_000, 500_000), (-4_000_000, 250_000)]
    up = [Scenario(x, 10**6, 10**6) for x in span] + [Scenario(x, 10**6, w) for x, w in tails]
    return tuple(up + [Scenario(x, -(10**6), 10**6) for x in span])


def underlying_parameters(underlying: int) -> UnderlyingParameters:
    """Return plausible parameters; the open-interest cap is within reach."""
    unit = 1 if underlying == BTC else 20
    return UnderlyingParameters(
        listed=True,
        reduce_only=False,
        group=0,
        scan_range=wad(0.15),
        max_scan_range=wad(0.6),
        scan_multiplier=0,
        vol_range=wad(0.4),
        vol_floor=wad(0.1),
        basis_rate=wad(0.005),
        short_option_rate=wad(0.005),
        concentration_rate=wad(0.02),
        max_oi_multiplier=wad(0.5),
        funding_cap=wad(0.0075),
        maker_fee=wad(0.0001),
        taker_fee=wad(0.0003),
        option_fee_cap=wad(0.125),
        lot_size=wad(0.001),
        depth=wad(2_000_000),
        oi_lower=wad(10 * unit),
        oi_upper=wad(60 * unit),
        open_interest_cap=wad(100 * unit),
    )


def collaterals(now: int = NOW) -> tuple[Collateral, ...]:
    """Tokens of 18, 6, 24 and no decimals, one disabled and one without a rate."""
    tokens = (
        (WETH, 18, ETH, True, 0.05, 0, 10_000 * 10**18, 1.0, 1.0),
        (STABLE, 6, 0, True, 0.02, 0.03, 5_000_000 * 10**6, 0.999, 0.998),
        (FINE, 24, BTC, True, 0.1, 0, 100 * 10**24, 1.05, 1.04),
        (COARSE, 0, ETH, True, 0.2, 0, 1_000, 0.1, 0.1),
        (DISABLED, 18, ETH, False, 0.5, 0, 1_000 * 10**18, 1.0, 1.0),
        (UNPOSTED, 18, BTC, True, 0, 0, 1_000 * 10**18, 0, 0),
    )
    return tuple(
        Collateral(
            asset,
            CollateralParameters(
                f"0x{0xA0 + asset:040x}", decimals, follows, enabled, wad(haircut), wad(depeg), cap
            ),
            wad(rate),
            wad(stable),
            now,
        )
        for asset, decimals, follows, enabled, haircut, depeg, cap, rate, stable in tokens
    )


def market(now: int = NOW, prices: dict[int, int] | None = None, **changes) -> Market:
    """Two underlyings in one group, two expiries each, marks a little above the index."""
    prices = prices or PRICES
    spots = tuple(
        Spot(
            *(u, underlying_parameters(u), p, p // 1000, p * 1001 // 1000, p * 99 // 100, now),
            *(wad(0.15), wad(0.15)),
        )
        for u, p in prices.items()
    )
    slices = tuple(
        Slice(u, expiry, p * 1002 // 1000, wad(0.99), svi(u, expiry), now, 0)
        for u, p in prices.items()
        for expiry in EXPIRIES
    )
    whole = Market(
        now, GLOBAL, (wad(0.3), *[WAD] * 7), scenarios(), spots, slices, collaterals(now)
    )
    return whole._replace(**changes)


def svi(underlying: int, expiry: int) -> int:
    """Return a packed slice with a gentle smile, about 50 % or 60 % volatility a year."""
    years = (expiry - NOW) / YEAR
    variance = (0.2 + 0.05 * underlying) * years
    return pack(0.8 * variance, 0.2 * variance, -0.3, 0.02, 0.5)


def engine(market_: Market | None = None, **options) -> Engine:
    """Return an empty ledger in the market."""
    listed = {(u, expiry) for u in UNDERLYINGS for expiry in EXPIRIES}
    return Engine(market_ or market(), INTEREST, listed, SETTLEMENT_TOKEN, **options)


def instruments() -> list[int]:
    """Everything that trades."""
    listed = []
    for u in UNDERLYINGS:
        listed.append(instrument.perpetual(u))
        for expiry in EXPIRIES:
            listed.append(instrument.future(u, expiry))
            listed += [
                instrument.option(u, expiry, strike * 10**8, is_put)
                for strike in STRIKES[u]
                for is_put in (False, True)
            ]
    return listed


def account(owner: int, sub_id: int = 0) -> int:
    """Return the id of a sub-account."""
    return owner << 8 | sub_id


def change_spot(market_: Market, underlying: int, **changes) -> Market:
    """Return the market with fields of one spot replaced."""
    spots = [s._replace(**changes) if s.underlying == underlying else s for s in market_.spots]
    return market_._replace(spots=tuple(spots))


def change_slice(market_: Market, underlying: int, expiry: int, **changes) -> Market:
    """Return the market with fields of one slice replaced."""
    key = underlying, expiry
    slices = [s._replace(**changes) if s[:2] == key else s for s in market_.slices]
    return market_._replace(slices=tuple(slices))
