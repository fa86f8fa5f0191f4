"""What governance sets comes into force little by little: no field forgotten, no jump in time."""

from random import Random

import pytest
from reverts import reverts_with

from reference_model.exact import governed, ramp
from reference_model.exact.outage_clock import OutageClock
from reference_model.types import (
    CollateralParameters,
    GlobalParameters,
    Scenario,
    UnderlyingParameters,
)

WAD = 10**18
PPM = 10**6
HOUR, DAY = 3_600, 86_400
RAMP = DAY  # rampSeconds of the default configuration

GLOBAL_AT_ONCE = {
    *("withdrawMaxAgeSeconds", "openMaxAgeSeconds", "marginMaxAgeSeconds"),
    *("liquidationMaxAgeSeconds", "rampSeconds", "maxPositions"),
}
UNDERLYING_AT_ONCE = {
    *("listed", "reduceOnly", "group", "scanMultiplier", "openInterestCap", "lotSize"),
    *("fundingCap", "makerFee", "takerFee", "optionFeeCap"),
}
COLLATERAL_AT_ONCE = {"token", "decimals", "underlying", "enabled", "capRaw"}
FIXED = {"listed", "group", "token", "decimals", "underlying"}
FALL, RISE = (-PPM, PPM, PPM), (PPM, -PPM, PPM)


def as_dict(struct):
    return dict(struct.items())


@pytest.fixture
def governor(actors):
    return actors.governor


@pytest.fixture
def underlying(configuration):
    return configuration.underlyings["BTC"].struct()


@pytest.fixture
def collateral(make_token):
    return {
        "token": make_token(18).address,
        "decimals": 18,
        "underlying": 0,
        "enabled": True,
        "haircut": WAD // 20,
        "depegRate": WAD // 10,
        "capRaw": 10**24,
    }


def altered(struct):
    """Return a struct every field of which differs and is within its range, but what is fixed."""
    out = {}
    for name, value in struct.items():
        if name in FIXED:
            out[name] = value
        elif isinstance(value, bool):
            out[name] = not value
        elif name == "lotSize":
            out[name] = value // 5
        elif name == "maxPositions":
            out[name] = value - 1  # as shipped it stands at the top of its range
        else:
            out[name] = value + 1 if value < 1_000 else value * 9 // 10
    assert all(out[name] != struct[name] for name in struct.keys() - FIXED)
    return out


def assert_ramps(chain, read, before, after, at_once, start):
    """Hold every field, at the start, on the way and at the end, against the formula."""
    ends = start, start + RAMP
    for time in (start, start + 1, start + RAMP // 3, start + RAMP - 1, start + RAMP):
        if time > start:
            chain.mine(timestamp=time)
        current = as_dict(read())
        assert current.keys() == before.keys()
        for name, value in current.items():
            expected = after[name]
            if name not in at_once:
                expected = ramp.value(before[name], after[name], *ends, time)
            assert value == expected, (name, time - start)


def test_every_global_parameter_ramps_or_is_at_once(parameters, configuration, governor, chain):
    before = as_dict(parameters.globalParameters())
    after = altered(before)
    receipt = parameters.setGlobalParameters(after, sender=governor)
    (event,) = receipt.decode_logs(parameters.RampStarted)
    start = receipt.timestamp
    assert bytes(event.set).rstrip(b"\0") == b"global"
    assert (event.id, event.start, event.end) == (0, start, start + RAMP)  # the ramp set before
    assert_ramps(chain, parameters.globalParameters, before, after, GLOBAL_AT_ONCE, start)
    assert as_dict(parameters.globalTarget()) == after


def test_every_parameter_of_an_underlying_ramps_or_is_at_once(
    parameters, underlying, governor, chain
):
    receipt = parameters.setUnderlyingParameters(1, underlying, sender=governor)
    assert not receipt.decode_logs(parameters.RampStarted)
    before = as_dict(parameters.underlyingParameters(1))  # a first listing is in force at once
    assert before == underlying
    after = altered(before)
    receipt = parameters.setUnderlyingParameters(1, after, sender=governor)
    (event,) = receipt.decode_logs(parameters.RampStarted)
    assert (bytes(event.set).rstrip(b"\0"), event.id) == (b"underlying", 1)

    def read():
        return parameters.underlyingParameters(1)

    assert_ramps(chain, read, before, after, UNDERLYING_AT_ONCE, receipt.timestamp)
    assert as_dict(parameters.underlyingTarget(1)) == after


def test_every_parameter_of_collateral_ramps_or_is_at_once(parameters, collateral, governor, chain):
    parameters.setCollateralParameters(1, collateral, sender=governor)
    before = as_dict(parameters.collateralParameters(1))
    assert before == collateral
    after = altered(before)
    receipt = parameters.setCollateralParameters(1, after, sender=governor)

    def read():
        return parameters.collateralParameters(1)

    assert_ramps(chain, read, before, after, COLLATERAL_AT_ONCE, receipt.timestamp)
    assert as_dict(parameters.collateralTarget(1)) == after


def test_the_eight_decorrelations_share_a_ramp(parameters, governor, chain):
    receipt = parameters.setDecorrelation(0, 0, sender=governor)
    chain.mine(timestamp=receipt.timestamp + RAMP // 4)
    half = parameters.setDecorrelation(7, WAD // 2, sender=governor)
    passed = half.timestamp - receipt.timestamp
    reached = WAD - WAD * passed // RAMP
    assert list(parameters.decorrelations()) == [reached, *[WAD] * 7]
    chain.mine(timestamp=half.timestamp + RAMP // 2)
    assert list(parameters.decorrelations()) == [
        reached - reached // 2,
        *[WAD] * 6,
        WAD - WAD // 4,
    ]
    chain.mine(timestamp=half.timestamp + RAMP)
    assert list(parameters.decorrelations()) == [0, *[WAD] * 6, WAD // 2]


def test_a_halt_changes_its_flag_and_leaves_the_ramp_alone(parameters, underlying, actors, chain):
    """A guardian who halts again and again would else hold up what the governor has set."""
    parameters.setUnderlyingParameters(1, underlying, sender=actors.governor)
    wanted = underlying | {"volFloor": WAD}
    receipt = parameters.setUnderlyingParameters(1, wanted, sender=actors.governor)
    chain.mine(timestamp=receipt.timestamp + RAMP // 2)
    parameters.haltIncreases(1, sender=actors.guardian)
    assert parameters.underlyingParameters(1).reduceOnly
    chain.mine(timestamp=receipt.timestamp + RAMP)
    assert parameters.underlyingParameters(1).volFloor == WAD
    assert parameters.underlyingParameters(1).reduceOnly


# Scenarios


def read_scenarios(parameters):
    return [tuple(scenario) for scenario in parameters.scenarios()]


def test_weights_start_from_what_the_same_moves_weigh(parameters, governor, chain):
    first = [FALL, (0, PPM, 400_000), (2 * PPM, PPM, 500_000), RISE]
    receipt = parameters.setScenarios(first, sender=governor)
    assert [weight for *_, weight in read_scenarios(parameters)] == [PPM, PPM, 500_000, PPM]
    chain.mine(timestamp=receipt.timestamp + RAMP)
    assert read_scenarios(parameters) == first
    second = [FALL, (0, PPM, PPM), (3 * PPM, PPM, 500_000), RISE]
    receipt = parameters.setScenarios(second, sender=governor)
    assert [weight for *_, weight in read_scenarios(parameters)] == [PPM, 400_000, 0, PPM]
    chain.mine(timestamp=receipt.timestamp + RAMP // 3)
    _, progress = parameters.scenarioPointer()
    assert progress == (RAMP // 3) * WAD // RAMP
    assert [weight for *_, weight in read_scenarios(parameters)] == [
        PPM,
        400_000 + 600_000 * progress // WAD,
        500_000 * progress // WAD,
        PPM,
    ]
    # On the way, what is in force is what counts.
    third = [FALL, (3 * PPM, PPM, 500_000), RISE]
    parameters.setScenarios(third, sender=governor)
    (_, _, weight), *_ = read_scenarios(parameters)[1:2]
    assert 500_000 * progress // WAD <= weight < 500_000


def test_a_repeated_move_starts_from_its_greatest_weight(parameters, governor, chain):
    twice = [FALL, (0, PPM, 300_000), (0, PPM, 100_000), RISE]
    receipt = parameters.setScenarios(twice, sender=governor)
    chain.mine(timestamp=receipt.timestamp + RAMP)
    parameters.setScenarios([FALL, (0, PPM, PPM), RISE], sender=governor)
    assert read_scenarios(parameters)[1] == (0, PPM, 300_000)


@pytest.mark.parametrize(
    ("side", "replaced"),
    [
        ("priceDown", [(-PPM - 1, PPM, PPM), (-1, PPM, PPM), RISE]),
        ("priceUp", [FALL, (PPM + 1, -PPM, PPM)]),
        ("volUp", [(-PPM, 2 * PPM, PPM), (-PPM, -PPM, PPM), RISE]),
    ],
)
def test_a_side_is_replaced_in_two_steps(parameters, governor, chain, side, replaced):
    """New moves weigh nothing yet: on the day they are set nothing else may look their way."""
    with reverts_with("ScenarioSideMissing", side=side.encode().ljust(32, b"\0")):
        parameters.setScenarios(replaced, sender=governor)
    both = sorted({*replaced, FALL, RISE, (-PPM, -PPM, PPM)}, key=lambda s: s[1])
    receipt = parameters.setScenarios(both, sender=governor)
    chain.mine(timestamp=receipt.timestamp + RAMP)
    parameters.setScenarios(replaced, sender=governor)


# Any sequence of changes


def camel(name):
    head, *tail = name.split("_")
    return head + "".join(part.title() for part in tail)


def of_model(structure, struct):
    return structure(*(struct[camel(name)] for name in structure._fields))


def draw(rng, struct):
    """Return a random change of a struct: most fields scaled, orders kept."""
    out = dict(altered(struct))
    for name, value in struct.items():
        if name in FIXED or isinstance(value, bool) or name in ("lotSize", "maxPositions"):
            out[name] = value
        elif rng.random() < 0.7:
            out[name] = max(value * rng.randint(60, 100) // 100, 1)
    for low, high, least in (
        ("maintenanceFactor", "initialFactor", WAD // 10),
        ("scanRange", "maxScanRange", WAD // 1_000),
        ("oiLower", "oiUpper", 0),
    ):
        if low in out:
            out[high] = max(out[high], least + 1)
            out[low] = min(max(out[low], least), out[high] - 1)
    return out


@pytest.mark.parametrize("seed", range(3))
def test_no_sequence_of_changes_makes_a_value_jump(
    parameters, configuration, underlying, collateral, actors, chain, seed
):
    """In the block of a change what was in force stays, at any time it is what the model says."""
    rng = Random(seed)
    clock = OutageClock()
    now = chain.blocks.head.timestamp
    common = GlobalParameters(*as_dict(parameters.globalParameters()).values())
    scenarios = [Scenario(*s) for s in read_scenarios(parameters)]
    model = governed.GovernedParameters(clock, common, scenarios)
    kinds = {
        "Global": (parameters.globalParameters, GlobalParameters, GLOBAL_AT_ONCE, ()),
        "Underlying": (
            *(parameters.underlyingParameters, UnderlyingParameters),
            *(UNDERLYING_AT_ONCE, (1,)),
        ),
        "Collateral": (
            *(parameters.collateralParameters, CollateralParameters),
            *(COLLATERAL_AT_ONCE, (1,)),
        ),
    }
    targets = {"Global": as_dict(parameters.globalTarget())}
    for kind, first in (("Underlying", underlying), ("Collateral", collateral)):
        setter = getattr(parameters, f"set{kind}Parameters")
        setter(1, first, sender=actors.governor)
        structure = kinds[kind][1]
        apply = getattr(model, f"set_{kind.lower()}_parameters")
        apply(now, 1, of_model(structure, first))
        targets[kind] = first
    for _ in range(12):
        chain.mine(deltatime=rng.choice([1, 60, HOUR, RAMP // 2, RAMP]))
        kind = rng.choice([*kinds, *kinds, "outage", "end"])
        if kind == "outage" and chain.blocks.head.timestamp > clock.outage.declared_until + DAY:
            seconds = rng.randint(1, DAY)
            receipt = parameters.declareOutage(seconds, sender=actors.guardian)
            clock.declare_outage(receipt.timestamp, seconds)
        elif kind == "end":
            receipt = parameters.endOutage(sender=actors.guardian)
            clock.end_outage(receipt.timestamp)
        elif kind in kinds:
            read, structure, at_once, ids = kinds[kind]
            targets[kind] = draw(rng, targets[kind])
            setter = getattr(parameters, f"set{kind}Parameters")
            receipt = setter(*ids, targets[kind], sender=actors.governor)
            (event,) = receipt.decode_logs(getattr(parameters, f"{kind}ParametersSet"))
            after = as_dict(read(*ids))
            before = dict(zip(after, event.oldParameters, strict=True))
            ramped = after.keys() - at_once
            assert {name: after[name] for name in ramped} == {name: before[name] for name in ramped}
            apply = getattr(model, f"set_{kind.lower()}_parameters")
            apply(receipt.timestamp, *ids, of_model(structure, targets[kind]))
        now = chain.blocks.head.timestamp
        assert parameters.activeTime() == clock.active_time(now)
        for kind_, (read, _, _, ids) in kinds.items():
            in_force = getattr(model, f"{kind_.lower()}_parameters")(now, *ids)
            assert tuple(as_dict(read(*ids)).values()) == tuple(in_force), kind_
