"""The arithmetic of moving parameters, against its mirror in integers, case by case in bulk."""

from random import Random

import pytest

from reference_model.exact import ewma, outage_clock, ramp, scan_range
from reference_model.exact.fixed_point import clamp, div_to_zero, sqrt
from reference_model.exact.outage_clock import FOREVER, Outage, OutageClock, UptimeFeed, UptimeRound
from reference_model.types import DAY, WAD, YEAR
from tests.math.harness import Chain

ONE_X64 = 2**64
NOW = 1_800_000_000
COUNT = 2_000


@pytest.fixture(scope="module")
def harness(project, accounts):
    return Chain(accounts[0].deploy(project.RiskParameterHarness))


@pytest.fixture
def rng():
    return Random(8)


def wide(rng, low, high):
    """Draw by magnitude, at an end, or evenly."""
    kind = rng.random()
    if kind < 0.1:
        return rng.choice((low, high))
    if kind < 0.6:
        return min(max(int(2 ** rng.uniform(0, (high + 1).bit_length())), low), high)
    return rng.randint(low, high)


# Outages


def random_outage(rng):
    """Draw a state as the clock can have it at `NOW`."""
    start = NOW - rng.randint(0, 3 * DAY)
    declared = rng.choice((0, start + rng.randint(0, 2 * DAY)))
    sequencer = rng.choice((0, FOREVER, start + rng.randint(0, NOW - start)))
    sequencer_round = rng.choice((0, rng.randint(1, 2**80 - 2)))
    if max(declared, sequencer) < start:
        start = 0
    return Outage(
        rng.choice((0, rng.randint(0, 10**8))), start, declared, sequencer, sequencer_round
    )


def packed(outage):
    *times, sequencer_round = outage
    word = sequencer_round << 160
    return word | sum(time << 40 * i for i, time in enumerate(times))


def clock_in(outage, latest=None, before=None):
    clock = OutageClock()
    clock.outage = outage
    clock.feed = UptimeFeed(1, lambda: latest, lambda _: before)
    return clock


def test_active_time_and_outage_agree_with_the_model(harness, rng):
    cases = [
        (random_outage(rng), NOW + rng.choice((0, 1, rng.randint(0, 5 * DAY))))
        for _ in range(COUNT)
    ]
    assert not harness.disagreements("activeTime", outage_clock.active_time, cases)
    graced = [(outage, rng.choice((0, 600, DAY)), time) for outage, time in cases]
    for time in (NOW - 1, NOW, NOW + 1):
        # To its end and no further: a declared outage, and the grace after one of the sequencer.
        graced.append((Outage(0, NOW - DAY, NOW, 0, 1), 600, time))
        graced.append((Outage(0, NOW - DAY, 0, NOW - 600, 1), 600, time))
    assert not harness.disagreements(
        "isOutage", lambda o, grace, time: int(outage_clock.is_outage(o, time, grace)), graced
    )


def test_declared_outages_agree_with_the_model(harness, rng):
    cases = []
    while len(cases) < COUNT:
        outage = random_outage(rng)
        if outage.declared_until + DAY <= NOW:
            cases.append((outage, NOW, rng.randint(1, DAY)))

    def model(outage, now, seconds):
        clock = clock_in(outage)
        clock.declare_outage(now, seconds)
        return packed(clock.outage)

    assert not harness.disagreements("declare", model, cases)


def test_rounds_of_the_uptime_feed_agree_with_the_model(harness, rng):
    def model(outage, latest, before):
        known = UptimeRound(before[0], before[1], before[2]) if before[0] else None
        clock = clock_in(outage, UptimeRound(*latest), known)
        clock.sync_sequencer(NOW)
        return packed(clock.outage)

    cases = []
    for _ in range(COUNT):
        outage = random_outage(rng)
        number = outage.sequencer_round + rng.randint(0, 2) or 1
        # Older ones are brought forward to a day ago before they get here, and an outage found at
        # the first look at a feed to that look.
        is_down = rng.random() < 0.5
        is_first = is_down and outage.sequencer_round == 0
        latest = (number, is_down, NOW if is_first else NOW - rng.randint(0, DAY))
        before = (number - 1, rng.random() < 0.7, NOW - rng.randint(0, DAY))
        ended = max(outage.declared_until, outage.sequencer_until)
        if not is_first and NOW - DAY <= ended <= NOW and rng.random() < 0.5:
            # As the outage in memory ends, or next to that.
            latest = (*latest[:2], min(ended + rng.randint(-1, 1), NOW))
        cases.append((outage, latest, rng.choice((before, (0, False, 0)))))
    assert not harness.disagreements("sync", model, cases)


# Ramps and scan ranges


def test_ramped_values_agree_with_the_model_and_stay_between(harness, rng):
    cases = []
    for _ in range(COUNT):
        whole = wide(rng, 1, 30 * DAY)
        ends = wide(rng, 0, 2**96 - 1), wide(rng, 0, 2**96 - 1)
        cases.append((*ends, rng.choice((0, whole, rng.randint(0, whole))), whole))
    assert not harness.disagreements(
        "between", lambda a, b, part, whole: ramp.value(a, b, 0, whole, part), cases
    )
    for (a, b, part, whole), (value,) in zip(cases, harness.values("between", cases), strict=True):
        assert min(a, b) <= value <= max(a, b)
        assert part not in (0, whole) or value == (a if part == 0 else b)


def test_two_ordered_ramps_never_cross(harness, rng):
    pairs = []
    for _ in range(COUNT):
        low = [wide(rng, 0, 2**96 - 1) for _ in range(2)]
        high = [rng.randint(value, 2**96 - 1) for value in low]
        step = rng.randint(0, DAY)
        pairs += [(*low, step, DAY), (*high, step, DAY)]
    values = [value for (value,) in harness.values("between", pairs)]
    assert all(a <= b for a, b in zip(values[::2], values[1::2], strict=True))


def random_move(rng):
    start, target = wide(rng, WAD // 1000, 9 * WAD // 10), wide(rng, 0, 2**63)
    rates = wide(rng, WAD // 1000, 2 * WAD), wide(rng, WAD // 10_000, 2 * WAD)
    return start, target, wide(rng, 0, 20 * DAY), *rates


def test_moved_ranges_agree_with_the_model(harness, rng):
    cases = [random_move(rng) for _ in range(COUNT)]
    assert not harness.disagreements("moved", scan_range.moved, cases)
    targets = [(wide(rng, 0, 20 * WAD), wide(rng, 0, 2**128)) for _ in range(COUNT)]
    assert not harness.disagreements("target", scan_range.aim, targets)
    assert harness.values("target", [(20 * WAD, 2**256 - 1)]) == [(2**63,)]


def test_two_steps_are_one_step_of_their_sum_within_rounding(harness, rng):
    """A range moved now and again gets no further than one left alone, and no less far."""
    whole, first = [], []
    for _ in range(COUNT):
        start, target, elapsed, *rates = random_move(rng)
        elapsed %= 8 * DAY
        whole.append((start, target, elapsed, *rates))
        first.append((start, target, rng.randint(0, elapsed), *rates))
    reached = [value for (value,) in harness.values("moved", first)]
    second = [
        (middle, target, elapsed - part, *rates)
        for middle, (_, target, part, *_), (_, _, elapsed, *rates) in zip(
            reached, first, whole, strict=True
        )
    ]
    pairs = zip(harness.values("moved", second), harness.values("moved", whole), strict=True)
    for (stepped,), (direct,) in pairs:
        # Two roundings of ranges, and of exponents by 2^-64 each: below a millionth of a millionth.
        assert abs(stepped - direct) <= 4 + direct // 10**12


def test_a_range_rises_and_falls_by_its_rate_and_no_faster(harness):
    """The bound is reached: e^(rate · hours) exactly, to the last digits."""
    hours, rise, fall = 2, WAD // 4, WAD // 200
    start, beyond = 16 * WAD // 100, 2**63
    ((up,), (down,)) = harness.values(
        "moved",
        [(start, beyond, hours * 3600, rise, fall), (start, 0, hours * 3600, rise, fall)],
    )
    assert up == pytest.approx(start * 2.718281828459045**0.5, rel=1e-14)
    assert down == pytest.approx(start * 2.718281828459045**-0.01, rel=1e-14)


# Estimator


def test_winsorised_updates_agree_with_the_model(harness, rng):
    def model(return_x64, variance, max_deviation, span):
        bound = ewma.bound_x64(variance, span, max_deviation)
        return clamp(return_x64, -bound, bound)

    cases = [
        (
            rng.choice((-1, 1)) * wide(rng, 0, 2**71),
            wide(rng, ewma.MIN_VARIANCE_X40, 2**63 - 1),
            rng.randint(2 * WAD, 20 * WAD),
            wide(rng, 1, YEAR),
        )
        for _ in range(COUNT)
    ]
    assert not harness.disagreements("winsorised", model, cases)
    returns = [value for (value,) in harness.values("winsorised", cases)]
    updates = [
        (rng.choice((variance, -variance)), a, rng.choice((a, -a, b)), span, rng.randint(DAY, YEAR))
        for (_, variance, _, span), a, b in zip(cases, returns, reversed(returns), strict=True)
    ]
    assert not harness.disagreements("updated", ewma.update, updates)


def test_views_of_the_estimator_agree_with_the_model(harness, rng):
    variances = [(wide(rng, ewma.MIN_VARIANCE_X40, 2**63 - 1),) for _ in range(COUNT)]
    assert not harness.disagreements("dailyDeviation", ewma.daily_deviation, variances)
    volatilities = [(rng.randint(WAD // 20, 5 * WAD),) for _ in range(COUNT)]
    volatilities += [(WAD // 20,), (5 * WAD,)]
    assert not harness.disagreements("varianceOf", ewma.variance_of, volatilities)

    def correlation(c, v, w):
        return clamp(div_to_zero(c, sqrt(v * w)), -WAD, WAD)

    triples = [
        (rng.choice((-1, 1)) * wide(rng, 0, 2**63 - 1), v, w)
        for (v,), (w,) in zip(variances, reversed(variances), strict=True)
    ]
    assert not harness.disagreements("correlation", correlation, triples)
    spans = [(wide(rng, 1, 2**40 - 1), rng.randint(DAY, YEAR)) for _ in range(COUNT)]

    def weight(span, decay):
        exponent = span * ONE_X64 // decay
        return ONE_X64 - scan_range.exp_x64(-exponent)

    assert not harness.disagreements("weightX64", weight, spans)
