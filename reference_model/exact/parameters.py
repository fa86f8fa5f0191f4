"""Ranges that governance may choose parameters from.

Each function accepts or refuses a whole structure, in the order of its checks.

Source: specification, section 13.
"""

from reference_model.exact.errors import ParameterOutOfRange
from reference_model.types import (
    DAY,
    PPM,
    WAD,
    CollateralParameters,
    GlobalParameters,
    InterestParameters,
    Scenario,
    UnderlyingParameters,
)

HOUR = 3_600
MAX_SCENARIOS = 40
MAX_VOL_CLASSES = 4
MAX_ASSET = 31
MAX_GROUP = 7
MAX_BALANCE = 2**127
MAX_PRICE_PPM = 20 * PPM
MAX_VOL_PPM = 5 * PPM


def require_in_range(name: str, value: int, low: int, high: int) -> None:
    """Refuse a value outside its range.

    Raises
    ------
    ParameterOutOfRange
        With the name as the contracts spell it, the value and the range.
    """
    if not low <= value <= high:
        raise ParameterOutOfRange(name, value, low, high)


def require_global(p: GlobalParameters) -> None:
    """Check the parameters common to all underlyings; raises `ParameterOutOfRange`."""
    require_in_range("initialFactor", p.initial_factor, WAD // 10, 4 * WAD)
    require_in_range("maintenanceFactor", p.maintenance_factor, WAD // 10, p.initial_factor)
    require_in_range("volExponentShort", p.vol_exponent_short, 0, WAD)
    require_in_range("volExponentLong", p.vol_exponent_long, 0, WAD)
    require_in_range("minimumTau", p.minimum_tau_seconds, HOUR, 30 * DAY)
    require_in_range("profitWeight", p.profit_weight, 0, WAD)
    require_in_range("withdrawMaxAge", p.withdraw_max_age_seconds, 1, DAY)
    require_in_range("openMaxAge", p.open_max_age_seconds, 1, DAY)
    require_in_range("marginMaxAge", p.margin_max_age_seconds, 1, DAY)
    require_in_range("liquidationMaxAge", p.liquidation_max_age_seconds, 1, 7 * DAY)
    require_in_range("rampSeconds", p.ramp_seconds, HOUR, 30 * DAY)
    require_in_range("maxPositions", p.max_positions, 1, 64)
    require_in_range("riseRate", p.rise_rate, WAD // 1000, 2 * WAD)
    require_in_range("fallRate", p.fall_rate, WAD // 10_000, 2 * WAD)


def require_underlying(p: UnderlyingParameters) -> None:
    """Check the parameters of one underlying; raises `ParameterOutOfRange`."""
    require_in_range("group", p.group, 0, MAX_GROUP)
    require_in_range("scanRange", p.scan_range, WAD // 1000, 9 * WAD // 10)
    require_in_range("maxScanRange", p.max_scan_range, p.scan_range, 9 * WAD // 10)
    require_in_range("scanMultiplier", p.scan_multiplier, 0, 20 * WAD)
    require_in_range("volRange", p.vol_range, 0, 2 * WAD)
    require_in_range("volFloor", p.vol_floor, 0, WAD)
    require_in_range("basisRate", p.basis_rate, 0, WAD // 5)
    require_in_range("shortOptionRate", p.short_option_rate, 0, WAD // 5)
    require_in_range("concentrationRate", p.concentration_rate, 0, WAD)
    require_in_range("depth", p.depth, WAD, 2**96 - 1)
    require_in_range("maxOiMultiplier", p.max_oi_multiplier, 0, 10 * WAD)
    require_in_range("oiUpper", p.oi_upper, 1, 2**96 - 1)
    require_in_range("oiLower", p.oi_lower, 0, p.oi_upper - 1)
    require_in_range("lotSize", p.lot_size, 1, 2**64 - 1)
    require_in_range("fundingCap", p.funding_cap, 0, WAD // 10)
    require_in_range("makerFee", p.maker_fee, 0, WAD // 100)
    require_in_range("takerFee", p.taker_fee, 0, WAD // 100)
    require_in_range("optionFeeCap", p.option_fee_cap, 0, WAD // 2)


def require_collateral(asset: int, p: CollateralParameters) -> None:
    """Check the parameters of one collateral asset; raises `ParameterOutOfRange`."""
    require_in_range("asset", asset, 1, MAX_ASSET)
    require_in_range("decimals", p.decimals, 0, 24)
    require_in_range("haircut", p.haircut, 0, WAD - 1)
    require_in_range("depegRate", p.depeg_rate, 0, 0 if p.underlying else WAD)
    most = 2**128 - 1 if p.decimals > 18 else MAX_BALANCE // 10 ** (18 - p.decimals)
    require_in_range("capRaw", p.cap_raw, 0, most)


def require_interest(p: InterestParameters) -> None:
    """Check the parameters of interest on cash; raises `ParameterOutOfRange`."""
    require_in_range("base", p.base, 0, 10 * WAD)
    require_in_range("slope1", p.slope1, 0, 10 * WAD)
    require_in_range("slope2", p.slope2, 0, 10 * WAD)
    require_in_range("kink", p.kink, WAD // 100, 99 * WAD // 100)
    require_in_range("reserveFactor", p.reserve_factor, 0, WAD)


def require_decorrelation(group: int, decorrelation: int) -> None:
    """Check the weight of one risk group; raises `ParameterOutOfRange`."""
    require_in_range("group", group, 0, MAX_GROUP)
    require_in_range("decorrelation", decorrelation, 0, WAD)


def require_scenarios(scenarios: tuple[Scenario, ...]) -> None:
    """Check count and ranges of scenarios, then the count of vol classes.

    Raises
    ------
    ParameterOutOfRange
        Negative moves and bounds are in two's complement of 256 bits.
    """
    require_in_range("scenarios", len(scenarios), 1, MAX_SCENARIOS)
    for scenario in scenarios:
        _require_abs_in_range("pricePpm", scenario.price_ppm, MAX_PRICE_PPM)
        _require_abs_in_range("volPpm", scenario.vol_ppm, MAX_VOL_PPM)
        require_in_range("weightPpm", scenario.weight_ppm, 1, PPM)
    require_in_range("volClasses", len({s.vol_ppm for s in scenarios}), 1, MAX_VOL_CLASSES)


def _require_abs_in_range(name: str, value: int, high: int) -> None:
    if abs(value) > high:
        raise ParameterOutOfRange(name, value % 2**256, -high % 2**256, high)
