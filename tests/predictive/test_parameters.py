"""Parameters of predictive margin and the moving deviations that its terms are made of."""

from math import exp, sqrt
from random import Random

import pytest
from predictive.books import BASKET, WAD, random_words
from reverts import reverts_with

from reference_model.exact import ewma, scan_range
from reference_model.exact import predictive_model as exact

HOUR, DAY = 3_600, 86_400
RANGES = {
    "tailShare": (WAD // 200, WAD // 10),
    "horizonSeconds": (HOUR, 10 * DAY),
    "floorWeight": (WAD // 10, WAD),
    "parametricWeight": (0, WAD),
    "correlationWidth": (0, WAD),
    "singleAssetFloor": (0, WAD),
}


@pytest.fixture(autouse=True)
def apart(world, chain):
    with chain.isolate():
        yield


def values(parameters):
    return {name: getattr(parameters, name) for name in RANGES}


@pytest.mark.parametrize("name", RANGES)
def test_parameters_stay_in_their_ranges(world, actors, name):
    low, high = RANGES[name]
    current = values(world.model.target())
    for wrong in (low - 1, high + 1):
        if wrong < 0:
            continue
        with reverts_with(
            "ParameterOutOfRange",
            name=name.encode().ljust(32, b"\0"),
            value=wrong,
            min=low,
            max=high,
        ):
            world.model.setParameters(current | {name: wrong}, sender=actors.governor)
    for right in (low, high):
        world.model.setParameters(current | {name: right}, sender=actors.governor)
        assert getattr(world.model.target(), name) == right


def test_parameters_move_with_time_from_where_they_are(world, actors):
    before = values(world.model.parameters())
    assert before == values(world.model.target())
    wanted = {name: (low + 3 * high) // 4 for name, (low, high) in RANGES.items()}
    with reverts_with("AccessManagedUnauthorized", caller=actors.publisher):
        world.model.setParameters(wanted, sender=actors.publisher)
    receipt = world.model.setParameters(wanted, sender=actors.governor)
    (event,) = receipt.decode_logs(world.model.ParametersSet)
    ramp = world.ramp_seconds()
    assert (event.start, event.end) == (receipt.timestamp, receipt.timestamp + ramp)
    assert values(world.model.parameters()) == before
    world.wait(ramp // 2)
    half = values(world.model.parameters())
    for name in RANGES:
        assert half[name] == pytest.approx((before[name] + wanted[name]) / 2, rel=1e-3)
    world.model.setParameters(before, sender=actors.governor)  # from here, not from the start
    now = values(world.model.parameters())
    assert all(now[name] == pytest.approx(half[name], rel=1e-3) for name in RANGES)
    world.wait(ramp)
    assert values(world.model.parameters()) == before


# ------------------------------------------------------------------------------------- deviations


def post(world, underlying, price, time):
    value = int(price * WAD)
    world.market.setSpot(underlying, (value, 0, value, value, time), sender=world.actors.admin)


def sample(world, prices, time):
    for underlying, price in prices.items():
        post(world, underlying, price, time)
    world.chain.pending_timestamp = time
    world.estimator.sample(sender=world.actors.outsider)


def both(world, underlying):
    (current,), (initial,) = world.estimator.deviations([underlying])
    return current, initial


def test_deviations_start_at_the_estimate(world):
    expected = ewma.daily_deviation(ewma.variance_of(BASKET[1]))
    assert both(world, 1) == (expected, expected)
    assert expected / WAD == pytest.approx(0.6 / sqrt(365), rel=1e-9)
    with reverts_with("NotInBasket", underlying=99):
        world.estimator.deviations([1, 99])


def test_initial_follows_a_jump_at_once_and_maintenance_at_the_rate_of_rise(world):
    start, _ = both(world, 1)
    time = world.chain.blocks.head.timestamp + HOUR
    sample(world, {1: 1_000}, time)
    sample(world, {1: 1_500}, time + HOUR)  # cut to six deviations of an hour
    goal = ewma.daily_deviation(world.estimator.covariances()[8])
    current, initial = both(world, 1)
    assert (current, initial) == (start, goal) and 1.05 * start < goal < 1.08 * start
    rates = world.parameters.globalParameters()
    for seconds in (60, 600, 2_000):
        world.wait(seconds)
        elapsed = world.chain.blocks.head.timestamp - time - HOUR
        moved = scan_range.moved(start, goal, elapsed, rates.riseRate, rates.fallRate)
        assert both(world, 1) == (moved, goal)
        assert moved == pytest.approx(min(goal, start * exp(0.25 * elapsed / HOUR)), rel=1e-9)
    assert moved == goal


def test_deviations_fall_slowly(world):
    start, _ = both(world, 1)
    time = world.chain.blocks.head.timestamp + HOUR
    sample(world, {1: 1_000}, time)
    sample(world, {1: 1_000}, time + 10 * DAY)  # nothing moved for as long as memory lasts
    goal = ewma.daily_deviation(world.estimator.covariances()[8])
    assert both(world, 1) == (start, start) and goal < 0.7 * start
    world.wait(DAY)
    current, initial = both(world, 1)
    assert current == initial == pytest.approx(start * exp(-0.005 * 24), rel=1e-4)


def test_who_decides_every_price_of_a_day_moves_deviations_no_further_than_its_bound(world):
    """24 samples at the bound of winsorising: 6.8 % each, at 28 % an hour at most."""
    start, _ = both(world, 1)
    time, price = world.chain.blocks.head.timestamp + HOUR, 1_000
    sample(world, {1: price}, time)
    for hour in range(1, 25):
        price = price * 3 if hour % 2 else price / 3
        sample(world, {1: price}, time + hour * HOUR)
    current, initial = both(world, 1)
    weight = 1 - exp(-HOUR / (10 * DAY))
    bound = start * (1 + weight * 35) ** 12
    assert initial <= bound * (1 + 1e-9)
    assert initial == pytest.approx(bound, rel=1e-6)
    assert current < initial


def test_terms_are_those_of_the_horizon(world, actors):
    words = random_words(Random(1), 250)
    world.sample(Random(2))
    world.publish_in_force(words)
    ids = list(BASKET)
    for horizon in (HOUR, DAY, 10 * DAY):
        new = values(world.model.target()) | {"horizonSeconds": horizon}
        world.model.setParameters(new, sender=actors.governor)
        world.wait(world.ramp_seconds())
        for chosen in (ids, ids[:1], ids[3:5]):
            found = world.model.terms(sum(1 << u for u in chosen))
            expected = exact.terms(world.prediction(words), chosen)
            assert (found.floorWeight, found.parametricWeight) == expected[:2]
            assert found.uncovered == 0
            assert tuple(found.deviations) == expected.deviations
            assert tuple(found.initialDeviations) == expected.initial_deviations
