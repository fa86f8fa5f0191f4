"""Scan ranges on the chain: fast up, slow down, between bounds, never at one stroke."""

import pytest

from reference_model.exact import scan_range
from reference_model.exact.scan_range import Movement

WAD = 10**18
HOUR, DAY = 3_600, 86_400
LOW, HIGH, MULTIPLIER = 16 * WAD // 100, 6 * WAD // 10, 4 * WAD
RISE, FALL = WAD // 4, WAD // 200  # of the default configuration


@pytest.fixture
def underlying(configuration):
    wanted = {"scanRange": LOW, "maxScanRange": HIGH, "scanMultiplier": MULTIPLIER}
    return configuration.underlyings["BTC"].struct() | wanted


@pytest.fixture
def listed(parameters, underlying, actors):
    parameters.setUnderlyingParameters(1, underlying, sender=actors.governor)
    return 1


@pytest.fixture
def move(parameters, actors):
    def to(deviation):
        receipt = parameters.moveScanRange(1, deviation, sender=actors.estimator)
        return receipt, receipt.decode_logs(parameters.ScanRangeMoved)

    return to


def ranges(parameters):
    return tuple(parameters.scanRanges(1))


def test_a_range_that_never_moved_is_the_lower_bound(parameters, listed, underlying, move, actors):
    assert ranges(parameters) == (LOW, LOW)
    assert tuple(parameters.scanRanges(9)) == (0, 0)
    still = underlying | {"scanMultiplier": 0}
    parameters.setUnderlyingParameters(1, still, sender=actors.governor)
    assert move(WAD)[1] == []
    assert ranges(parameters) == (LOW, LOW)
    assert not parameters.moveScanRange(9, WAD, sender=actors.estimator).decode_logs(
        parameters.ScanRangeMoved
    )


def test_maintenance_follows_at_the_rate_and_initial_margin_looks_ahead(
    parameters, listed, move, chain
):
    receipt, ((event),) = move(WAD // 10)
    assert (event.underlying, event.range, event.target) == (1, LOW, 4 * WAD // 10)
    assert ranges(parameters) == (LOW, 4 * WAD // 10)  # nothing at the stroke itself
    start = receipt.timestamp
    movement = Movement(LOW, 4 * WAD // 10, start)
    for hours in (1, 2, 3, 4, 100):
        chain.mine(timestamp=start + hours * HOUR)
        current, initial = ranges(parameters)
        expected = scan_range.ranges(movement, LOW, HIGH, start + hours * HOUR, RISE, FALL)
        assert (current, initial) == tuple(expected)
        # The bound of the specification, reached until the target is.
        bound = LOW * 2.718281828459045 ** (0.25 * hours)
        assert current == pytest.approx(min(bound, 0.4 * WAD), rel=1e-12)
    assert ranges(parameters) == (4 * WAD // 10, 4 * WAD // 10)

    receipt, _ = move(WAD // 100)
    assert ranges(parameters) == (4 * WAD // 10, 4 * WAD // 10)
    chain.mine(timestamp=receipt.timestamp + DAY)
    fallen = 0.4 * WAD * 2.718281828459045**-0.12
    assert ranges(parameters)[0] == pytest.approx(fallen, rel=1e-12)
    chain.mine(timestamp=receipt.timestamp + 10 * DAY)
    assert ranges(parameters) == (LOW, LOW)  # not to 0.04


def test_ranges_stay_between_their_bounds_whatever_they_are_told(parameters, listed, move, chain):
    # Left alone a range moves for ten days at most, in which 0.6 falls to 0.18.
    fallen = HIGH * 2.718281828459045**-1.2
    for deviation, settled in ((2**256 - 1, HIGH), (0, fallen), (0, LOW), (2**256 - 1, HIGH)):
        move(deviation)
        chain.mine(deltatime=30 * DAY)
        current, initial = ranges(parameters)
        assert LOW <= current <= initial <= HIGH
        assert current == pytest.approx(settled, rel=1e-12)


def test_a_range_does_not_move_while_the_clock_stands(parameters, listed, move, actors, chain):
    move(WAD // 10)
    parameters.declareOutage(DAY, sender=actors.guardian)
    before = ranges(parameters)
    chain.mine(deltatime=DAY - 10)
    assert ranges(parameters) == before
    chain.mine(deltatime=HOUR)
    assert ranges(parameters)[0] > before[0]


def test_a_range_that_is_to_move_no_longer_falls_back_at_its_rate(
    parameters, listed, underlying, move, actors, chain
):
    move(WAD // 10)
    chain.mine(deltatime=DAY)
    still = underlying | {"scanMultiplier": 0}
    chain.pending_timestamp = chain.blocks.head.timestamp + 1
    receipt = parameters.setUnderlyingParameters(1, still, sender=actors.governor)
    (event,) = receipt.decode_logs(parameters.ScanRangeMoved)
    assert (event.range, event.target) == (4 * WAD // 10, 0)
    assert ranges(parameters) == (4 * WAD // 10, 4 * WAD // 10)
    chain.mine(timestamp=receipt.timestamp + DAY)
    assert LOW < ranges(parameters)[0] < 36 * WAD // 100
    chain.mine(timestamp=receipt.timestamp + 10 * DAY)
    assert ranges(parameters) == (LOW, LOW)


def test_other_rates_and_bounds_change_no_range_at_one_stroke(
    parameters, listed, underlying, configuration, move, actors, chain
):
    move(WAD // 10)
    chain.mine(deltatime=2 * HOUR)
    wild = configuration.global_.struct() | {"riseRate": 2 * WAD, "fallRate": 2 * WAD}
    moved = underlying | {"scanRange": LOW // 2, "maxScanRange": LOW}
    for setter, arguments in (
        (parameters.setGlobalParameters, (wild,)),
        (parameters.setUnderlyingParameters, (1, moved)),
    ):
        chain.mine()
        before, time = ranges(parameters)[0], chain.blocks.head.timestamp
        receipt = setter(*arguments, sender=actors.governor)
        elapsed = receipt.timestamp - time
        # What it rises by in those seconds anyway.
        greatest = before * 2.718281828459045 ** (0.25 * elapsed / HOUR)
        assert before <= ranges(parameters)[0] <= greatest * (1 + 1e-12)
