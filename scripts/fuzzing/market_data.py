"""Every pure function of the market data: how to draw its arguments, and what the model says."""

from random import Random

from reference_model.cases import around, drawn, log_uniform
from reference_model.exact import (
    aggregation,
    ewma,
    fixed_point,
    outage_clock,
    ramp,
    scan_range,
    settlement_window,
    stable_price,
    surface_checks,
)
from reference_model.exact.aggregation import Answer
from reference_model.exact.outage_clock import FOREVER, Outage, OutageClock, UptimeFeed, UptimeRound
from reference_model.exact.settlement_window import Window
from reference_model.exact.surface_checks import PostedSlice, SurfaceParameters
from reference_model.types import DAY, WAD
from scripts.fuzzing.formulas import (
    Formula,
    between,
    fraction,
    magnitude,
    signed,
    surface,
)

HOUR = 3_600
NOW = 2**31
MAX_FEED_PRICE = 2**95 - 1
SOURCES = 5

feed_price = between(1, MAX_FEED_PRICE)
stable_rate = between(WAD // 10_000, 10 * WAD, 6 * WAD // 100)


# Drawing --------------------------------------------------------------------------------------


def near_or_far(rng: Random, price: int) -> int:
    """Price beside another, a little off, or anything."""
    kind = rng.randrange(4)
    if kind == 0:
        return around(rng, price, 1, MAX_FEED_PRICE)
    if kind == 1:
        return log_uniform(rng, 1, MAX_FEED_PRICE)
    return max(1, min(price * rng.randint(900, 1_100) // 1_000, MAX_FEED_PRICE))


def answers(rng: Random) -> tuple[int, ...]:
    """Number of answers, then prices, confidences and times of five, of which as many count."""
    price = log_uniform(rng, 1, MAX_FEED_PRICE)
    prices = [near_or_far(rng, price) for _ in range(SOURCES)]
    confidences = [drawn(rng, 0, p - 1) if rng.random() < 0.5 else p // 1_000 for p in prices]
    times = [NOW - drawn(rng, 0, DAY) for _ in range(SOURCES)]
    return (rng.randint(1, SOURCES), *prices, *confidences, *times)


def two_prices(rng: Random) -> tuple[int, int]:
    """A price and another, beside it or not."""
    price = log_uniform(rng, 1, MAX_FEED_PRICE)
    return price, near_or_far(rng, price)


def observation(rng: Random) -> tuple[int, ...]:
    """Window, price in force (0: disputed), its time, and the next; around an hour."""
    hour = NOW // HOUR * HOUR
    observed_at = hour + drawn(rng, -HOUR, HOUR, 0, -1_800, -600, 1_800, 3_000)
    end = (observed_at // HOUR + 1) * HOUR
    covered = drawn(rng, 0, 1_800)
    window_end = rng.choice((end, end, end - HOUR, 0))
    price = rng.choice((0, *[log_uniform(rng, 1, MAX_FEED_PRICE)] * 3))
    elapsed = drawn(rng, 0, 2 * HOUR, 600, 1_800, end - observed_at)
    weighted_sum = covered * log_uniform(rng, 1, MAX_FEED_PRICE)
    return window_end, weighted_sum, covered, price, observed_at, observed_at + elapsed


def life_of_slice(rng: Random) -> tuple[int, int, int]:
    """When a slice was posted, its expiry, and a time between."""
    posted = NOW - drawn(rng, 0, 30 * DAY)
    expiry = NOW + drawn(rng, 1, 3 * 365 * DAY)
    return posted, expiry, drawn(rng, posted, expiry - 1)


def successors(rng: Random) -> tuple[int, ...]:
    """Two slices and forward ratios, near each other or not, and bounds at or beside a move."""
    old, old_ratio = surface(rng), rng.randint(WAD // 5, 5 * WAD)
    kind = rng.randrange(3)
    new = (old, surface(rng), _shifted(rng, old))[kind]
    new_ratio = min(max(old_ratio + drawn(rng, -WAD // 50, WAD // 50), WAD // 5), 5 * WAD)
    max_move = drawn(rng, WAD // 10_000, WAD, abs(new_ratio - old_ratio))
    bounds = drawn(rng, WAD // 100, 10 * WAD), max(max_move, 1), rng.randint(1, DAY)
    return rng.randint(1, 255), NOW, old, new, old_ratio, new_ratio, *bounds


def outage(rng: Random) -> tuple[int, ...]:
    """State of a clock that came about, all its outages begun by NOW."""
    start = NOW - drawn(rng, 0, 2 * DAY, DAY)
    declared = rng.choice((0, start + drawn(rng, 1, DAY), NOW, NOW + drawn(rng, 0, DAY)))
    sequencer = rng.choice((0, start + drawn(rng, 0, NOW - start), FOREVER))
    if max(declared, sequencer) < start:
        start = max(declared, sequencer)
    return drawn(rng, 0, start), start, declared, sequencer, rng.choice((0, 7, 2**80 - 3))


def later(rng: Random) -> int:
    """Time from NOW on, often that of an end."""
    return NOW + drawn(rng, 0, 3 * DAY, DAY)


def rounds(rng: Random) -> tuple[int, ...]:
    """Latest round and the one before as the clock hands them on, which looks back for one day.

    The one before is all zero if it could not be read.
    """
    latest = NOW - drawn(rng, 0, DAY)
    earlier = max(latest - drawn(rng, 0, DAY), NOW - DAY)
    number = rng.choice((6, 7, 8, 2**80 - 2))
    before = rng.choice(((0, 0, 0), (number - 1, rng.randrange(2), earlier)))
    return number, rng.randrange(2), latest, *before


def look(rng: Random) -> tuple[int, ...]:
    """State of a clock and the rounds handed on to it; an outage counts from a first look on."""
    state, (number, is_down, since, *before) = outage(rng), rounds(rng)
    if is_down and state[4] == 0:
        since = NOW
    return (*state, number, is_down, since, *before)


def way(rng: Random) -> tuple[int, int]:
    """Part of a ramp's time, and the whole."""
    whole = drawn(rng, 1, 30 * DAY, HOUR)
    return drawn(rng, 0, whole), whole


def _shifted(rng: Random, svi: int) -> int:
    """Slice whose lowest field, the variance itself, is a little more."""
    variance = svi % 2**63
    return svi - variance + min(variance * rng.randint(1_000, 2_000) // 1_000, 2**63 - 1)


# Expecting ------------------------------------------------------------------------------------


def aggregate(count: int, *words: int) -> tuple[int, ...]:
    """Aggregate of the answers that count."""
    columns = words[:count], words[SOURCES:][:count], words[2 * SOURCES :][:count]
    return aggregation.aggregate([Answer(*each) for each in zip(*columns, strict=True)])


def step(stable: int, target: int, seconds: int, rate: int) -> int:
    """Stable price, of at most an hour."""
    return stable_price.step(stable, target, min(seconds, HOUR), rate)


def clamp_around(value: int, centre: int, band: int) -> int:
    """Value within a band around another."""
    low = fixed_point.mul_up(centre, WAD - band)
    return min(max(value, low), fixed_point.mul_down(centre, WAD + band))


def advance(
    window_end: int, weighted_sum: int, covered: int, price: int, observed_at: int, time: int
) -> tuple[int, ...]:
    """Window after an observation."""
    window = Window(window_end, weighted_sum, covered)
    return settlement_window.update(window, price, observed_at, price == 0, time)


def decayed(svi: int, posted: int, expiry: int, now: int) -> int:
    """Slice of the time left."""
    return surface_checks.decayed(svi, posted, expiry, now)


def require_bounded_change(
    underlying: int, expiry: int, old: int, new: int, old_ratio: int, new_ratio: int, *bounds: int
) -> tuple:
    """Nothing, or a refusal; both slices are as of now."""
    now = expiry - 1
    before = PostedSlice(old_ratio, WAD, old, now, now)
    after = PostedSlice(new_ratio, WAD, new, now, now)
    surface_checks.require_bounded_change(
        underlying, expiry, before, after, now, SurfaceParameters(*bounds)
    )
    return ()


def pack(state: Outage) -> int:
    """State of a clock as the harness packs it."""
    return sum(field << 40 * place for place, field in enumerate(state))


def declare(*words: int) -> int:
    """State after a declaration."""
    return pack(outage_clock.declared(Outage(*words[:5]), *words[5:]))


def sync(*words: int) -> int:
    """State after the uptime feed was read."""
    clock = OutageClock()
    clock.outage = Outage(*words[:5])
    latest, before = UptimeRound(*words[5:8]), UptimeRound(*words[8:])
    clock.feed = UptimeFeed(0, lambda: latest, lambda _: before if before.round_id else None)
    clock.sync_sequencer(NOW)
    return pack(clock.outage)


HUB = (
    Formula("aggregate(uint256,uint256[5],uint256[5],uint256[5])", (answers,), aggregate),
    Formula("step(uint256,uint256,uint256,uint256)",
            (two_prices, between(0, 3 * HOUR, HOUR), stable_rate), step),
    Formula("clampAround(uint256,uint256,uint256)", (two_prices, fraction), clamp_around),
    Formula("advance(uint256,uint256,uint256,uint256,uint256,uint256)", (observation,), advance),
    Formula("decayed(uint256,uint256,uint256,uint256)", (surface, life_of_slice), decayed),
    Formula("forward(uint256,uint256)", (feed_price, between(WAD // 5, 5 * WAD)),
            surface_checks.forward),
    Formula("requireBoundedChange(uint8,uint32,uint256,uint256,uint256,uint256,(uint64,uint64,uint32))",
            (successors,), require_bounded_change),
)  # fmt: skip

variance = between(ewma.MIN_VARIANCE_X40, 2**63 - 1, 2**40)
span = between(1, 2**32, HOUR, DAY)
decay = between(DAY, 365 * DAY)
a_return = signed(magnitude(2**66))
hourly = between(WAD // 10_000, 2 * WAD)
OUTAGE = "(uint40,uint40,uint40,uint40,uint80)"
ROUND = "(uint80,bool,uint40)"

PARAMETERS = (
    Formula(f"activeTime({OUTAGE},uint256)", (outage, later),
            lambda *a: outage_clock.active_time(Outage(*a[:5]), a[5])),
    Formula(f"isOutage({OUTAGE},uint256,uint256)", (outage, between(0, DAY), later),
            lambda *a: outage_clock.is_outage(Outage(*a[:5]), a[6], a[5])),
    Formula(f"declare({OUTAGE},uint256,uint256)", (outage, later, between(0, DAY + 1)), declare),
    Formula(f"sync({OUTAGE},{ROUND},{ROUND})", (look,), sync),
    Formula("between(uint256,uint256,uint256,uint256)", (magnitude(2**128 - 1),) * 2 + (way,),
            lambda before, after, part, whole: ramp.value(before, after, 0, whole, part)),
    Formula("moved(uint256,uint256,uint256,uint256,uint256)",
            (between(WAD // 1_000, WAD), magnitude(2**63), between(0, 20 * DAY, 10 * DAY), hourly,
             hourly),
            scan_range.moved),
    Formula("target(uint256,uint256)", (between(0, 20 * WAD), magnitude(2**128)), scan_range.aim),
    Formula("winsorised(int256,int256,uint256,uint256)",
            (a_return, variance, between(2 * WAD, 20 * WAD), span), ewma.winsorised),
    Formula("weightX64(uint256,uint256)", (span, decay), ewma.weight_x64),
    Formula("updated(int256,int256,int256,uint256,uint256)",
            (signed(variance), a_return, a_return, span, decay), ewma.update),
    Formula("dailyDeviation(int256)", (variance,), ewma.daily_deviation),
    Formula("varianceOf(uint256)", (between(WAD // 20, 5 * WAD),), ewma.variance_of),
    Formula("correlation(int256,int256,int256)", (signed(magnitude(2**63 - 1)), variance, variance),
            ewma.correlation),
)  # fmt: skip
