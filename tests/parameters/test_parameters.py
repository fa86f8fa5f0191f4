"""Every parameter at, just below and just above each of its bounds; every setter's caller."""

import pytest
from eth_abi import encode
from eth_utils import keccak
from reverts import reverts_with

from scripts._configuration import to_wad

WAD = 10**18
MAX_UINT64 = 2**64 - 1
MAX_UINT96 = 2**96 - 1
HOUR = 3_600
DAY = 24 * HOUR
NO_DELAY = 0
OUT = "ParameterOutOfRange"

# Name in the error, field of the struct, least, greatest; types that end at a bound go no further.
GLOBAL_RANGES = [
    ("initialFactor", "initialFactor", WAD // 10, 4 * WAD),
    ("volExponentShort", "volExponentShort", 0, WAD),
    ("volExponentLong", "volExponentLong", 0, WAD),
    ("minimumTau", "minimumTauSeconds", HOUR, 30 * DAY),
    ("profitWeight", "profitWeight", 0, WAD),
    ("withdrawMaxAge", "withdrawMaxAgeSeconds", 1, DAY),
    ("openMaxAge", "openMaxAgeSeconds", 1, DAY),
    ("marginMaxAge", "marginMaxAgeSeconds", 1, DAY),
    ("liquidationMaxAge", "liquidationMaxAgeSeconds", 1, 7 * DAY),
    ("rampSeconds", "rampSeconds", HOUR, 30 * DAY),
    ("maxPositions", "maxPositions", 1, 64),
    ("riseRate", "riseRate", WAD // 1_000, 2 * WAD),
    ("fallRate", "fallRate", WAD // 10_000, 2 * WAD),
]
INTEREST_RANGES = [
    ("base", "base", 0, 10 * WAD),
    ("slope1", "slope1", 0, 10 * WAD),
    ("slope2", "slope2", 0, 10 * WAD),
    ("kink", "kink", WAD // 100, 99 * WAD // 100),
    ("reserveFactor", "reserveFactor", 0, WAD),
]
UNDERLYING_RANGES = [
    ("group", "group", 0, 7),
    ("scanRange", "scanRange", WAD // 1000, 9 * WAD // 10),
    ("scanMultiplier", "scanMultiplier", 0, 20 * WAD),
    ("volRange", "volRange", 0, 2 * WAD),
    ("volFloor", "volFloor", 0, WAD),
    ("basisRate", "basisRate", 0, WAD // 5),
    ("shortOptionRate", "shortOptionRate", 0, WAD // 5),
    ("concentrationRate", "concentrationRate", 0, WAD),
    ("depth", "depth", WAD, MAX_UINT96),
    ("maxOiMultiplier", "maxOiMultiplier", 0, 10 * WAD),
    ("lotSize", "lotSize", 1, MAX_UINT64),
    ("fundingCap", "fundingCap", 0, WAD // 10),
    ("makerFee", "makerFee", 0, WAD // 100),
    ("takerFee", "takerFee", 0, WAD // 100),
    ("optionFeeCap", "optionFeeCap", 0, WAD // 2),
]
TYPE_LIMITS = {"maxPositions": 2**8, "group": 2**8, "depth": 2**96}


def name32(name):
    """Return a parameter's name as the error carries it."""
    return name.encode().ljust(32, b"\0")


def out_of_range(name, value, low, high):
    """Return the bytes of the error."""
    selector = keccak(text="ParameterOutOfRange(bytes32,uint256,uint256,uint256)")[:4]
    values = [name32(name), value, low, high]
    return selector + encode(["bytes32", "uint256", "uint256", "uint256"], values)


def as_dict(struct, like=None):
    """Return a struct by field names; those of an event carry none and borrow them."""
    return dict(struct.items()) if like is None else dict(zip(like, struct, strict=True))


def around_bounds(ranges):
    """Return name, field, value, least and greatest for values at and just beyond each bound."""
    return [
        (name, field, value, low, high)
        for name, field, low, high in ranges
        for value in (low - 1, low, high, high + 1)
        if 0 <= value < TYPE_LIMITS.get(field, 2**64)
    ]


@pytest.fixture
def assert_bounds(parameters, outcomes):
    """Require that a setter stores what is at a bound and refuses what is beyond."""

    def check(ranges, setter, getter, valid, numbered=False):
        cases = around_bounds(ranges)
        calls = []
        for i, (_, field, value, _, _) in enumerate(cases):
            ids = (i + 1,) if numbered else ()
            calls += [setter.encode_input(*ids, valid | {field: value}), getter.encode_input(*ids)]
        results = outcomes(parameters, calls)
        names = list(as_dict(getter(*([1] if numbered else []))))
        for i, (name, field, value, low, high) in enumerate(cases):
            (accepted, error), (_, stored) = results[2 * i : 2 * i + 2]
            if low <= value <= high:
                words = [stored[k : k + 32] for k in range(0, len(stored), 32)]
                integers = dict(zip(names, map(int.from_bytes, words), strict=True))
                assert accepted, (field, value, error.hex())
                assert integers == as_integers(valid | {field: value}), (field, value)
            else:
                assert not accepted, (field, value)
                assert error == out_of_range(name, value, low, high), (field, value, error.hex())

    return check


def as_integers(struct):
    return {k: int(v, 16) if isinstance(v, str) else int(v) for k, v in struct.items()}


@pytest.fixture
def global_parameters(configuration):
    # Room for every initial factor: the maintenance factor may not be above it.
    return configuration.global_.struct() | {"maintenanceFactor": WAD // 10}


@pytest.fixture
def interest(configuration):
    return configuration.interest.struct()


@pytest.fixture
def underlying(configuration):
    return configuration.underlyings["BTC"].struct()


@pytest.fixture
def governor(actors):
    return actors.governor


@pytest.fixture
def listed(parameters, underlying, governor):
    """List an underlying, id 1."""
    parameters.setUnderlyingParameters(1, underlying, sender=governor)
    return 1


@pytest.fixture
def collateral(make_token, listed):
    return {
        "token": make_token(18).address,
        "decimals": 18,
        "underlying": listed,
        "enabled": True,
        "haircut": WAD // 20,
        "depegRate": 0,
        "capRaw": 10**24,
    }


# Global parameters


def test_global_parameters_stay_within_their_ranges(parameters, global_parameters, assert_bounds):
    setter, getter = parameters.setGlobalParameters, parameters.globalTarget
    assert_bounds(GLOBAL_RANGES, setter, getter, global_parameters)


@pytest.mark.parametrize("initial", [WAD // 2, 4 * WAD])
def test_maintenance_factor_is_at_most_the_initial_factor(
    parameters, global_parameters, governor, initial
):
    wanted = global_parameters | {"initialFactor": initial}
    parameters.setGlobalParameters(wanted | {"maintenanceFactor": initial}, sender=governor)
    for value in (initial + 1, WAD // 10 - 1):
        with reverts_with(
            OUT, name=name32("maintenanceFactor"), value=value, min=WAD // 10, max=initial
        ):
            parameters.setGlobalParameters(wanted | {"maintenanceFactor": value}, sender=governor)


def test_profit_cap_may_be_anything(parameters, global_parameters, governor):
    for value in (0, MAX_UINT96):
        wanted = global_parameters | {"profitCap": value}
        parameters.setGlobalParameters(wanted, sender=governor)
        assert parameters.globalTarget().profitCap == value


def test_global_parameters_emit_old_and_new(parameters, global_parameters, governor):
    old = as_dict(parameters.globalParameters())
    receipt = parameters.setGlobalParameters(global_parameters, sender=governor)
    (event,) = receipt.decode_logs(parameters.GlobalParametersSet)
    assert as_dict(event.oldParameters, old) == old
    assert as_dict(event.newParameters, old) == global_parameters


# Interest


def test_interest_parameters_stay_within_their_ranges(parameters, interest, assert_bounds):
    setter, getter = parameters.setInterestParameters, parameters.interestParameters
    assert_bounds(INTEREST_RANGES, setter, getter, interest)


def test_interest_parameters_emit_old_and_new(parameters, interest, governor):
    wanted = interest | {"base": 0}
    receipt = parameters.setInterestParameters(wanted, sender=governor)
    (event,) = receipt.decode_logs(parameters.InterestParametersSet)
    assert as_dict(event.oldParameters, interest) == interest
    assert as_dict(event.newParameters, interest) == wanted


# Groups


@pytest.mark.parametrize("group", [0, 7])
@pytest.mark.parametrize("value", [0, WAD])
def test_decorrelation_may_be_at_its_bound(parameters, governor, group, value):
    receipt = parameters.setDecorrelation(group, value, sender=governor)
    wanted = [value if g == group else WAD for g in range(8)]
    assert list(parameters.decorrelationTarget()) == wanted
    (event,) = receipt.decode_logs(parameters.DecorrelationSet)
    assert (event.group, event.oldDecorrelation, event.newDecorrelation) == (group, WAD, value)


def test_decorrelation_reverts_beyond_its_bound(parameters, governor):
    with reverts_with(OUT, name=name32("decorrelation"), value=WAD + 1, min=0, max=WAD):
        parameters.setDecorrelation(0, WAD + 1, sender=governor)
    with reverts_with(OUT, name=name32("group"), value=8, min=0, max=7):
        parameters.setDecorrelation(8, WAD, sender=governor)


# Underlyings


def test_underlying_parameters_stay_within_their_ranges(parameters, underlying, assert_bounds):
    setter, getter = parameters.setUnderlyingParameters, parameters.underlyingParameters
    # A new underlying for each value: what is listed keeps its group and lot size.
    widest = underlying | {"maxScanRange": 9 * WAD // 10}
    assert_bounds(UNDERLYING_RANGES, setter, getter, widest, numbered=True)


def test_scan_range_bounds_are_ordered(parameters, underlying, governor):
    least, greatest = underlying["scanRange"], 9 * WAD // 10
    for value in (least, greatest):
        wanted = underlying | {"maxScanRange": value}
        parameters.setUnderlyingParameters(value % 97 + 1, wanted, sender=governor)
    for value in (least - 1, greatest + 1):
        with reverts_with(OUT, name=name32("maxScanRange"), value=value, min=least, max=greatest):
            wanted = underlying | {"maxScanRange": value}
            parameters.setUnderlyingParameters(100, wanted, sender=governor)


def test_underlying_is_numbered_from_one(parameters, underlying, governor):
    with reverts_with(OUT, name=name32("underlying"), value=0, min=1, max=255):
        parameters.setUnderlyingParameters(0, underlying, sender=governor)


def test_open_interest_bounds_are_ordered(parameters, underlying, governor):
    def set_bounds(lower, upper):
        wanted = underlying | {"oiLower": lower, "oiUpper": upper}
        parameters.setUnderlyingParameters(1, wanted, sender=governor)

    set_bounds(0, 1)
    set_bounds(MAX_UINT96 - 1, MAX_UINT96)
    with reverts_with(OUT, name=name32("oiUpper"), value=0, min=1, max=MAX_UINT96):
        set_bounds(0, 0)
    with reverts_with(OUT, name=name32("oiLower"), value=5, min=0, max=4):
        set_bounds(5, 5)


def test_open_interest_cap_may_be_anything(parameters, underlying, governor):
    for value in (0, MAX_UINT96):
        wanted = underlying | {"openInterestCap": value}
        parameters.setUnderlyingParameters(1, wanted, sender=governor)
        assert parameters.underlyingTarget(1).openInterestCap == value


def test_underlying_parameters_emit_old_and_new(parameters, underlying, listed, governor):
    wanted = underlying | {"scanRange": WAD // 2}
    receipt = parameters.setUnderlyingParameters(listed, wanted, sender=governor)
    (event,) = receipt.decode_logs(parameters.UnderlyingParametersSet)
    assert event.underlying == listed
    names = as_dict(parameters.underlyingParameters(listed))
    assert as_dict(event.oldParameters, names) == underlying
    assert as_dict(event.newParameters, names) == wanted


def test_underlying_is_never_delisted(parameters, underlying, listed, governor):
    with reverts_with(OUT, name=name32("listed"), value=0, min=1, max=1):
        parameters.setUnderlyingParameters(listed, underlying | {"listed": False}, sender=governor)


def test_underlying_keeps_its_group(parameters, underlying, listed, governor):
    with reverts_with("FixedOnceListed", name=name32("group"), current=0, proposed=1):
        parameters.setUnderlyingParameters(listed, underlying | {"group": 1}, sender=governor)


def test_lot_size_may_only_become_a_divisor(parameters, underlying, listed, governor):
    current = underlying["lotSize"]
    for proposed in (current + 1, 2 * current, current // 2 + 1):
        with reverts_with("LotSizeNotDivisor", current=current, proposed=proposed):
            parameters.setUnderlyingParameters(
                listed, underlying | {"lotSize": proposed}, sender=governor
            )
    finer = underlying | {"lotSize": current // 5}
    parameters.setUnderlyingParameters(listed, finer, sender=governor)
    assert parameters.underlyingParameters(listed).lotSize == current // 5


def test_guardian_halts_increases_and_only_the_governor_resumes(
    parameters, underlying, listed, actors
):
    receipt = parameters.haltIncreases(listed, sender=actors.guardian)
    halted = underlying | {"reduceOnly": True}
    assert as_dict(parameters.underlyingParameters(listed)) == halted
    (event,) = receipt.decode_logs(parameters.UnderlyingParametersSet)
    names = as_dict(parameters.underlyingParameters(listed))
    assert as_dict(event.oldParameters, names) == underlying
    assert as_dict(event.newParameters, names) == halted
    parameters.setUnderlyingParameters(listed, underlying, sender=actors.governor)
    assert not parameters.underlyingParameters(listed).reduceOnly


def test_halting_an_unlisted_underlying_reverts(parameters, actors):
    with reverts_with("UnderlyingNotListed", underlying=9):
        parameters.haltIncreases(9, sender=actors.guardian)


# Collateral


def test_collateral_is_listed_with_an_event(parameters, collateral, governor):
    receipt = parameters.setCollateralParameters(31, collateral, sender=governor)
    assert as_dict(parameters.collateralParameters(31)) == collateral
    assert parameters.assetOf(collateral["token"]) == 31
    (event,) = receipt.decode_logs(parameters.CollateralParametersSet)
    assert event.asset == 31
    assert not any(as_integers(as_dict(event.oldParameters, collateral)).values())
    assert as_integers(as_dict(event.newParameters, collateral)) == as_integers(collateral)


@pytest.mark.parametrize("asset", [0, 32])
def test_asset_id_reverts_beyond_its_bound(parameters, collateral, governor, asset):
    with reverts_with(OUT, name=name32("asset"), value=asset, min=1, max=31):
        parameters.setCollateralParameters(asset, collateral, sender=governor)


@pytest.mark.parametrize("decimals", [0, 6, 18, 24])
def test_collateral_of_supported_decimals(parameters, collateral, make_token, governor, decimals):
    wanted = collateral | {"token": make_token(decimals).address, "decimals": decimals}
    greatest = 2**127 // 10 ** (18 - decimals) if decimals <= 18 else 2**128 - 1
    parameters.setCollateralParameters(1, wanted | {"capRaw": greatest}, sender=governor)
    assert parameters.collateralParameters(1).capRaw == greatest
    if decimals <= 18:
        with reverts_with(OUT, name=name32("capRaw"), value=greatest + 1, min=0, max=greatest):
            too_much = wanted | {"capRaw": greatest + 1}
            parameters.setCollateralParameters(1, too_much, sender=governor)


def test_collateral_of_25_decimals_reverts(parameters, collateral, make_token, governor):
    wanted = collateral | {"token": make_token(25).address, "decimals": 25}
    with reverts_with(OUT, name=name32("decimals"), value=25, min=0, max=24):
        parameters.setCollateralParameters(1, wanted, sender=governor)


def test_declared_decimals_are_the_tokens_own(parameters, collateral, governor):
    with reverts_with("TokenDecimalsMismatch", token=collateral["token"], actual=18, proposed=6):
        parameters.setCollateralParameters(1, collateral | {"decimals": 6}, sender=governor)


def test_address_without_decimals_is_not_a_token(parameters, collateral, actors, governor):
    for address in (actors.outsider.address, parameters.address):
        with reverts_with("NotAToken", token=address):
            parameters.setCollateralParameters(1, collateral | {"token": address}, sender=governor)


def test_token_is_listed_once(parameters, collateral, settlement_token, governor):
    parameters.setCollateralParameters(1, collateral, sender=governor)
    with reverts_with("TokenAlreadyListed", token=collateral["token"], asset=1):
        parameters.setCollateralParameters(2, collateral, sender=governor)
    cash = collateral | {"token": settlement_token.address, "decimals": 6}
    with reverts_with("TokenAlreadyListed", token=settlement_token.address, asset=0):
        parameters.setCollateralParameters(2, cash, sender=governor)


def test_collateral_follows_a_listed_underlying(parameters, collateral, governor):
    with reverts_with("UnderlyingNotListed", underlying=2):
        parameters.setCollateralParameters(1, collateral | {"underlying": 2}, sender=governor)


@pytest.mark.parametrize("value", [0, WAD - 1])
def test_haircut_may_be_at_its_bound(parameters, collateral, governor, value):
    parameters.setCollateralParameters(1, collateral | {"haircut": value}, sender=governor)
    assert parameters.collateralParameters(1).haircut == value


def test_haircut_of_one_reverts(parameters, collateral, governor):
    with reverts_with(OUT, name=name32("haircut"), value=WAD, min=0, max=WAD - 1):
        parameters.setCollateralParameters(1, collateral | {"haircut": WAD}, sender=governor)


def test_depeg_rate_is_for_cash_like_tokens(parameters, collateral, governor):
    with reverts_with(OUT, name=name32("depegRate"), value=1, min=0, max=0):
        parameters.setCollateralParameters(1, collateral | {"depegRate": 1}, sender=governor)
    cash_like = collateral | {"underlying": 0}
    for value in (0, WAD):
        wanted = cash_like | {"depegRate": value}
        parameters.setCollateralParameters(1, wanted, sender=governor)
        assert parameters.collateralTarget(1).depegRate == value
    with reverts_with(OUT, name=name32("depegRate"), value=WAD + 1, min=0, max=WAD):
        parameters.setCollateralParameters(1, cash_like | {"depegRate": WAD + 1}, sender=governor)


def test_listed_collateral_keeps_what_balances_are_counted_in(
    parameters, collateral, underlying, make_token, governor
):
    parameters.setUnderlyingParameters(2, underlying, sender=governor)
    parameters.setCollateralParameters(1, collateral, sender=governor)
    other = make_token(18).address
    changes = {
        "token": (other, int(collateral["token"], 16), int(other, 16)),
        "decimals": (6, 18, 6),
        "underlying": (2, 1, 2),
    }
    for field, (value, current, proposed) in changes.items():
        with reverts_with(
            "FixedOnceListed", name=name32(field), current=current, proposed=proposed
        ):
            parameters.setCollateralParameters(1, collateral | {field: value}, sender=governor)
    free = {"haircut": WAD // 2, "capRaw": 0, "enabled": False}
    parameters.setCollateralParameters(1, collateral | free, sender=governor)
    assert as_dict(parameters.collateralTarget(1)) == collateral | free


def test_guardian_halts_deposits(parameters, collateral, actors):
    with reverts_with("AssetNotListed", asset=1):
        parameters.haltDeposits(1, sender=actors.guardian)
    parameters.setCollateralParameters(1, collateral, sender=actors.governor)
    receipt = parameters.haltDeposits(1, sender=actors.guardian)
    assert as_dict(parameters.collateralParameters(1)) == collateral | {"enabled": False}
    (event,) = receipt.decode_logs(parameters.CollateralParametersSet)
    assert as_integers(as_dict(event.oldParameters, collateral)) == as_integers(collateral)


# Scenarios


def scenario(price, vol, weight=10**6):
    return {"pricePpm": price, "volPpm": vol, "weightPpm": weight}


FALL, RISE = scenario(-(10**6), 10**6), scenario(10**6, -(10**6))


def read_scenarios(parameters):
    return [as_dict(s) for s in parameters.scenarioTarget()]


def test_scenarios_are_stored_as_code_behind_a_zero_byte(parameters, governor, chain):
    wanted = [FALL, scenario(-20 * 10**6, 10**6, 1), RISE]
    starts = [10**6, 0, 10**6]  # the first and last were there before
    parameters.setScenarios(wanted, sender=governor)
    assert read_scenarios(parameters) == wanted
    packed = b"".join(
        s["pricePpm"].to_bytes(4, "big", signed=True)
        + s["volPpm"].to_bytes(4, "big", signed=True)
        + start.to_bytes(4, "big")
        + s["weightPpm"].to_bytes(4, "big")
        for s, start in zip(wanted, starts, strict=True)
    )
    pointer, progress = parameters.scenarioPointer()
    assert bytes(chain.provider.get_code(pointer)) == b"\0" + packed and progress == 0


@pytest.mark.parametrize(
    ("name", "field", "value", "low", "high"),
    [
        ("pricePpm", "pricePpm", 20_000_001, -20_000_000, 20_000_000),
        ("pricePpm", "pricePpm", -20_000_001, -20_000_000, 20_000_000),
        ("volPpm", "volPpm", 5_000_001, -5_000_000, 5_000_000),
        ("volPpm", "volPpm", -5_000_001, -5_000_000, 5_000_000),
        ("weightPpm", "weightPpm", 0, 1, 1_000_000),
        ("weightPpm", "weightPpm", 1_000_001, 1, 1_000_000),
    ],
)
def test_scenario_reverts_beyond_its_bound(parameters, governor, name, field, value, low, high):
    with reverts_with(
        OUT, name=name32(name), value=value % 2**256, min=low % 2**256, max=high % 2**256
    ):
        wanted = [FALL, RISE, scenario(0, 0) | {field: value}]
        parameters.setScenarios(wanted, sender=governor)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pricePpm", 20_000_000),
        ("pricePpm", -20_000_000),
        ("volPpm", 5_000_000),
        ("volPpm", -5_000_000),
        ("weightPpm", 1),
        ("weightPpm", 1_000_000),
    ],
)
def test_scenario_may_be_at_its_bound(parameters, governor, field, value):
    wanted = [FALL, RISE, scenario(0, 0) | {field: value}]
    parameters.setScenarios(wanted, sender=governor)
    assert read_scenarios(parameters) == wanted


def test_scenarios_are_at_most_40(parameters, governor):
    wanted = [*(FALL for _ in range(39)), RISE]
    parameters.setScenarios(wanted, sender=governor)
    assert read_scenarios(parameters) == wanted
    for count, scenarios in ((41, [FALL, *wanted]), (0, [])):
        with reverts_with(OUT, name=name32("scenarios"), value=count, min=1, max=40):
            parameters.setScenarios(scenarios, sender=governor)


def test_vol_classes_are_at_most_four(parameters, governor):
    four = [FALL, RISE, scenario(0, 0), scenario(0, 1)]
    parameters.setScenarios(four, sender=governor)
    with reverts_with(OUT, name=name32("volClasses"), value=5, min=1, max=4):
        parameters.setScenarios([*four, scenario(0, 2)], sender=governor)


def test_vol_class_must_be_adjacent(parameters, governor):
    with reverts_with("VolClassSplit", volPpm=10**6):
        parameters.setScenarios([FALL, RISE, FALL], sender=governor)


@pytest.mark.parametrize(
    ("side", "scenarios"),
    [
        ("priceDown", [RISE, scenario(-999_999, 1), scenario(-(10**6), 1, 999_999)]),
        ("priceUp", [FALL, scenario(999_999, -1), scenario(10**6, -1, 999_999)]),
        ("volDown", [FALL, scenario(10**6, 0)]),
        ("volUp", [RISE, scenario(-(10**6), 0)]),
    ],
)
def test_scenarios_must_look_to_every_side(parameters, governor, side, scenarios):
    with reverts_with("ScenarioSideMissing", side=name32(side)):
        parameters.setScenarios(scenarios, sender=governor)


def test_scenarios_emit_old_and_new(parameters, configuration, governor):
    receipt = parameters.setScenarios([FALL, RISE], sender=governor)
    (event,) = receipt.decode_logs(parameters.ScenariosSet)
    assert [as_dict(s, FALL) for s in event.oldScenarios] == configuration.scenario_structs()
    assert [as_dict(s, FALL) for s in event.newScenarios] == [FALL, RISE]


# Expiries


@pytest.fixture
def next_hour(chain):
    return (chain.blocks.head.timestamp // HOUR + 2) * HOUR


def test_expiry_is_listed_with_an_event(parameters, listed, next_hour, governor):
    receipt = parameters.listExpiries(listed, [next_hour, next_hour + HOUR], sender=governor)
    events = receipt.decode_logs(parameters.ExpiryListed)
    assert [(e.underlying, e.expiry) for e in events] == [
        (listed, next_hour),
        (listed, next_hour + HOUR),
    ]
    assert parameters.isExpiryListed(listed, next_hour)
    assert list(parameters.liveExpiries(listed)) == [next_hour, next_hour + HOUR]


def test_expiry_reverts_unless_ahead_and_near(parameters, listed, next_hour, chain, governor):
    far = 1095 * DAY
    for at, expiry in ((next_hour, next_hour), (next_hour + 1, next_hour + far + HOUR)):
        chain.pending_timestamp = at
        with reverts_with(OUT, name=name32("expiry"), value=expiry, min=at + 1, max=at + far):
            parameters.listExpiries.call(
                listed, [expiry], sender=governor, block_identifier="pending"
            )


def test_expiry_off_the_hour_reverts(parameters, listed, next_hour, governor):
    with reverts_with("ExpiryNotOnTheHour", expiry=next_hour + 1):
        parameters.listExpiries(listed, [next_hour + 1], sender=governor)


def test_expiry_is_listed_once(parameters, listed, next_hour, governor):
    with reverts_with("ExpiryAlreadyListed", underlying=listed, expiry=next_hour):
        parameters.listExpiries(listed, [next_hour, next_hour], sender=governor)


def test_expiry_of_an_unlisted_underlying_reverts(parameters, next_hour, governor):
    with reverts_with("UnderlyingNotListed", underlying=7):
        parameters.listExpiries(7, [next_hour], sender=governor)


def test_passed_expiries_make_room(parameters, listed, next_hour, chain, governor):
    first = [next_hour + i * HOUR for i in range(16)]
    parameters.listExpiries(listed, first, sender=governor)
    later = first[-1] + HOUR
    with reverts_with("TooManyExpiries", underlying=listed, max=16):
        parameters.listExpiries(listed, [later], sender=governor)
    chain.mine(timestamp=first[2])
    assert sorted(parameters.liveExpiries(listed)) == first[3:]
    parameters.listExpiries(listed, [later, later + HOUR, later + 2 * HOUR], sender=governor)
    assert sorted(parameters.liveExpiries(listed)) == [
        *first[3:],
        later,
        later + HOUR,
        later + 2 * HOUR,
    ]
    assert all(parameters.isExpiryListed(listed, expiry) for expiry in first)
    with reverts_with("TooManyExpiries", underlying=listed, max=16):
        parameters.listExpiries(listed, [later + 3 * HOUR], sender=governor)


# Who may call


@pytest.mark.parametrize("who", ["guardian", "poster", "treasurer", "admin", "outsider"])
def test_setters_are_the_governors_alone(
    parameters, global_parameters, interest, underlying, collateral, next_hour, actors, who
):
    calls = [
        (parameters.setGlobalParameters, global_parameters),
        (parameters.setInterestParameters, interest),
        (parameters.setScenarios, [FALL, RISE]),
        (parameters.setDecorrelation, 0, 0),
        (parameters.setUnderlyingParameters, 1, underlying),
        (parameters.listExpiries, 1, [next_hour]),
        (parameters.setCollateralParameters, 1, collateral),
        (parameters.setSequencerFeed, actors.outsider, HOUR),
    ]
    caller = getattr(actors, who)
    for setter, *arguments in calls:
        with reverts_with("AccessManagedUnauthorized", caller=caller):
            setter(*arguments, sender=caller)
        setter.call(*arguments, sender=actors.governor)


@pytest.mark.parametrize("who", ["governor", "poster", "treasurer", "admin", "outsider"])
def test_halts_are_the_guardians_alone(parameters, listed, actors, who):
    caller = getattr(actors, who)
    for halt in (parameters.haltIncreases, parameters.haltDeposits, parameters.declareOutage):
        with reverts_with("AccessManagedUnauthorized", caller=caller):
            halt(listed, sender=caller)
    with reverts_with("AccessManagedUnauthorized", caller=caller):
        parameters.endOutage(sender=caller)


@pytest.mark.parametrize("who", ["governor", "guardian", "poster", "treasurer", "admin"])
def test_scan_ranges_are_the_estimators_alone(parameters, listed, actors, who):
    caller = getattr(actors, who)
    with reverts_with("AccessManagedUnauthorized", caller=caller):
        parameters.moveScanRange(listed, WAD, sender=caller)


def test_delayed_governor_must_schedule_in_public(parameters, governance, actors, chain):
    governance.grantRole(governance.GOVERNOR(), actors.outsider, 2 * DAY, sender=actors.admin)
    call = parameters.setDecorrelation.encode_input(0, 5)
    operation = governance.hashOperation(actors.outsider, parameters, call)
    with reverts_with("AccessManagerNotScheduled", operationId=operation):
        parameters.setDecorrelation(0, 5, sender=actors.outsider)
    governance.schedule(parameters, call, 0, sender=actors.outsider)
    with reverts_with("AccessManagerNotReady", operationId=operation):
        parameters.setDecorrelation(0, 5, sender=actors.outsider)
    chain.mine(deltatime=2 * DAY)
    parameters.setDecorrelation(0, 5, sender=actors.outsider)
    assert parameters.decorrelationTarget()[0] == 5


# Deployment


def test_parameters_need_a_real_settlement_token(project, actors, governance, configuration):
    with reverts_with("NotAToken", token=actors.outsider.address):
        actors.admin.deploy(
            project.Parameters,
            governance,
            actors.outsider,
            configuration.global_.struct(),
            configuration.interest.struct(),
            configuration.decorrelation_weights(),
            configuration.scenario_structs(),
        )


def test_configuration_writes_exact_integers(configuration):
    assert to_wad(configuration.underlyings["BTC"].scan_range) == 16 * WAD // 100
