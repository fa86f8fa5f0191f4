"""One observation after the other: breaker, stable price, mark, clock, and what views say."""

import numpy as np
import pytest
from eth_abi import decode
from oracle.hub_world import BTC, FIRST_PRICE, HOUR, WAD, WBTC_FEED, Mode
from reverts import reverts_with

SPOT = ["uint256"] * 5
P = FIRST_PRICE


def stored(hub, feed=BTC):
    """Return price, confidence, timestamp, disputed, stable price, mark and time observed."""
    return tuple(hub.observation(feed))[:7]


def test_the_first_observation_is_what_the_sources_say(world, hub):
    world.set_feed(3)
    with reverts_with("MissingPrice", underlying=BTC, expiry=0):
        hub.spot(BTC)
    world.say(P + 30, P, P - 10, confidence=5)
    receipt = world.observe(at=world.start)
    now = world.start
    # Distances with confidence: 35, 5, 15; the second smallest of three.
    assert stored(hub) == (P, 15, now, False, P, P, now)
    assert tuple(hub.spot(BTC)) == (P, 15, P, P, now)
    (log,) = receipt.decode_logs(hub.Observed)
    assert list(log.event_arguments.values()) == [BTC, P, 15, P, P, now, False]
    assert hub.trail(BTC).activeAt == world.clock.activeTime()


def test_a_second_observation_in_a_block_is_nothing(world, hub):
    world.observed()
    world.say(P + 1, P + 1, P + 1)
    calls = [hub.observe.encode_input(BTC), hub.observeMany.encode_input([BTC, BTC])]
    syncs = world.clock.syncs()
    world.next_block()
    receipt = world.many.tryMany(hub, calls, sender=world.actors.outsider)
    assert len(receipt.decode_logs(hub.Observed)) == 1
    assert world.clock.syncs() == syncs + 1
    assert hub.observation(BTC).price == P + 1


def test_many_feeds_are_observed_in_one_call(world, hub):
    world.observed()
    world.set_feed(3, feed=WBTC_FEED)
    world.next_block()
    receipt = hub.observeMany([BTC, WBTC_FEED], sender=world.actors.outsider)
    assert [log.feed for log in receipt.decode_logs(hub.Observed)] == [BTC, WBTC_FEED]
    with reverts_with("UnknownFeed", feed=2):
        hub.observeMany([BTC, 2], sender=world.actors.outsider)


def test_without_a_quorum_the_observation_stays(world, hub):
    world.observed()
    before = stored(hub)
    for source in world.sources[:2]:
        world.answer(source, P, 0, 0, Mode.REVERT)
    receipt = world.observe(at=world.start + 2 * HOUR)
    (log,) = receipt.decode_logs(hub.QuorumMissed)
    assert list(log.event_arguments.values()) == [BTC, 1, 2]
    assert stored(hub) == before
    assert tuple(hub.aggregate(BTC)) == (0, 0, 0, 1, 0)
    # Nor is there anything newer to say, whatever the age.
    assert tuple(hub.spot(BTC)) == (P, 0, P, P, world.start)


def test_the_newest_source_falling_silent_stops_nothing(world, hub):
    """It once did: the others had to wait for their next rounds, up to an hour."""
    world.observed()
    for source in world.sources[:3]:
        world.answer(source, P + 1, 0, world.start - 1)
    world.observe(at=world.start + 100)
    assert stored(hub)[:3] == (P + 1, 0, world.start - 1)
    assert hub.spot(BTC).timestamp == world.start - 1


# Sources, how many of them answer within the band, how many beyond it, and where.
PRICED, DISPUTED, SILENT = "priced", "disputed", "silent"
BELOW, ABOVE = P // 100 - 1, P * 100 + 1
SPLITS = [
    *((1, 0, 1, ABOVE, DISPUTED), (2, 1, 1, BELOW, DISPUTED), (2, 0, 1, ABOVE, SILENT)),
    *((3, 2, 1, BELOW, PRICED), (3, 1, 1, ABOVE, DISPUTED), (3, 0, 2, BELOW, DISPUTED)),
    *((3, 0, 1, BELOW, SILENT), (5, 3, 2, ABOVE, PRICED), (5, 2, 1, BELOW, DISPUTED)),
]


@pytest.mark.parametrize("count, within, outside, beyond, outcome", SPLITS)
def test_sources_beyond_the_band_dispute_a_price_they_could_have_made(
    world, hub, count, within, outside, beyond, outcome
):
    """Read or observed, at once: the price stays, but nothing is withdrawn or increased on it."""
    world.observed(count, cacheSeconds=0)
    prices = [P + 2] * within + [beyond] * outside
    world.say(*prices, confidence=1)
    for source in world.sources[len(prices) : count]:
        world.answer(source, P, 0, 0, Mode.REVERT)
    now = world.start + 60
    world.move_to(now)
    live, reading = tuple(hub.spot(BTC)), hub.spot.encode_input(BTC)
    price = P + 2 if outcome is PRICED else P
    time = {PRICED: now, DISPUTED: 0, SILENT: world.start}[outcome]
    assert live[::4] == (price, time)
    _, after = world.in_one_block(hub.observe.encode_input(BTC), reading)
    assert decode(SPOT, after.data) == live
    receipt = world.observe()
    missed, seen = (receipt.decode_logs(event) for event in (hub.QuorumMissed, hub.Observed))
    assert [list(log.event_arguments.values()) for log in missed] == (
        [] if outcome is PRICED else [[BTC, within, count // 2 + 1]]
    )
    assert [log.disputed for log in seen] == ([] if outcome is SILENT else [outcome is DISPUTED])
    o = hub.observation(BTC)
    assert (o.price, o.disputed) == (price, outcome is DISPUTED)
    if outcome is DISPUTED:
        # As it was seen: not what the sources beyond say, nor what they say of their own doubt.
        assert (o.confidence, o.timestamp, o.observedAt) == (0, world.start, world.now)
    world.say(*[P] * count)
    world.wait(1)
    assert hub.spot(BTC).timestamp == world.now, "it ends with the next quorum within the band"


def test_nothing_is_known_of_a_feed_that_was_never_within_its_band(world, hub):
    world.set_feed(3)
    world.say(*[P * 100 + 1] * 3)
    (log,) = world.observe().decode_logs(hub.QuorumMissed)
    assert (log.valid, log.quorum) == (0, 2)
    with reverts_with("MissingPrice", underlying=BTC, expiry=0):
        hub.spot(BTC)


def test_a_liar_within_the_band_gains_nothing_by_honest_sources_beyond_it(world, hub):
    """At the edge of the band the honest are on both sides; once those beyond counted as silent."""
    low = P // 100
    world.observed(5, price=low)
    world.say(low, low, low - 1, 3 * low, 3 * low)
    assert tuple(hub.aggregate(BTC)) == (low, 1, world.now, 4, 1)
    world.say(low, low - 1, 3 * low)
    world.set_feed(3)
    world.observe()
    assert stored(hub)[:4] == (low, 1, world.now, False)


def test_of_many_sources_one_beyond_the_band_blocks_nothing(world, hub):
    """Whatever it says, also what no sum could hold, price and time are those of the others."""
    world.observed(3, cacheSeconds=0)
    for lie in (1, P // 100 - 1, P * 100 + 1, 2**95 - 1, 2**95, 2**256 - 1):
        world.say(P, P + 2)
        world.answer(world.sources[2], lie, lie - 1, 0, Mode.CURRENT)
        world.wait(1)
        index, *_, timestamp = hub.spot(BTC)
        assert P <= index <= P + 2
        assert timestamp == world.now


@pytest.mark.parametrize("factor, step", [(3, 1.1), (1 / 3, 0.9)])
def test_a_jump_that_lasts_is_followed_step_by_step(world, hub, factor, step):
    world.observed()
    target = int(P * factor)
    world.say(target, target, target, confidence=target - 1)
    price, steps = P, 0
    while price != target:
        world.observe()
        o = hub.observation(BTC)
        bound = price * 110 // 100 if factor > 1 else -(-price * 90 // 100)
        expected = min(target, bound) if factor > 1 else max(target, bound)
        assert o.price == expected
        assert o.disputed == (expected != target)
        assert o.confidence == min(target - 1, o.price)
        assert hub.spot(BTC).timestamp == (0 if o.disputed else world.now)
        price, steps = o.price, steps + 1
    assert steps == int(np.ceil(np.log(factor) / np.log(step)))


def test_a_jump_that_does_not_last_is_not_followed(world, hub):
    world.observed()
    world.say(3 * P, 3 * P, 3 * P)
    world.observe()
    assert stored(hub)[0] == P * 110 // 100
    world.say(P, P, P)
    world.observe()
    assert stored(hub)[0] == P
    assert not hub.observation(BTC).disputed


def test_a_move_within_the_bound_is_no_dispute(world, hub):
    world.observed()
    for price, disputed in ((P * 11 // 10, False), (P * 11 // 10 * 11 // 10 + 1, True)):
        world.say(price, price, price)
        world.observe()
        assert hub.observation(BTC).disputed is disputed


def test_in_an_outage_prices_have_no_time(world, hub):
    world.observed()
    world.set_feed(3, feed=WBTC_FEED)
    world.observe(feed=WBTC_FEED)
    fresh = tuple(hub.spot(BTC))
    world.clock.setOutage(True, sender=world.actors.admin)
    assert tuple(hub.spot(BTC)) == (*fresh[:4], 0)
    assert hub.collateralRate(WBTC_FEED - 256).timestamp == 0
    assert hub.snapshot([BTC])[0].timestamp == 0
    world.clock.setOutage(False, sender=world.actors.admin)
    assert hub.spot(BTC).timestamp > 0


def test_the_stable_price_follows_what_was_in_force_and_for_as_long(world, hub):
    world.observed(maxMove=WAD * 9 // 10)
    world.say(P * 3 // 2, P * 3 // 2, P * 3 // 2)
    # The new price was in force for no time at all yet.
    world.observe(at=world.start + HOUR)
    assert stored(hub)[4] == P
    world.observe(at=world.start + 2 * HOUR)
    assert stored(hub)[4] == pytest.approx(P * np.exp(0.06), rel=1e-15)
    # What is longer than an hour counts as an hour.
    world.observe(at=world.start + 9 * HOUR)
    assert stored(hub)[4] == pytest.approx(P * np.exp(0.12), rel=1e-15)
    world.observe(at=world.start + 10 * HOUR)
    world.observe(at=world.start + 20 * HOUR)
    world.observe(at=world.start + 30 * HOUR)
    world.observe(at=world.start + 40 * HOUR)
    # ln 1.5 is 0.405: it has arrived, and goes no further.
    world.observe(at=world.start + 50 * HOUR)
    assert stored(hub)[4] == P * 3 // 2


def test_the_stable_price_stands_still_with_the_clock(world, hub):
    world.observed(maxMove=WAD * 9 // 10)
    world.say(2 * P, 2 * P, 2 * P)
    world.observe(at=world.start + 60)
    # What is found to have been stopped does not count, though the clock learns of it only now.
    world.clock.stop(HOUR // 2, sender=world.actors.admin)
    world.observe(at=world.start + 60 + HOUR)
    assert stored(hub)[4] == pytest.approx(P * np.exp(0.03), rel=1e-15)
    # Nor does time run back.
    world.clock.stop(2 * HOUR, sender=world.actors.admin)
    before = stored(hub)[4]
    world.observe(at=world.start + 60 + 2 * HOUR)
    assert stored(hub)[4] == before


@pytest.mark.parametrize(
    "answer, mark",
    [
        (P * 101 // 100, P * 101 // 100),
        (P * 103 // 100, P * 102 // 100),
        (P * 97 // 100, P * 98 // 100),
        (0, P * 98 // 100),
        (2**256 - 1, P * 102 // 100),
    ],
)
def test_the_mark_keeps_to_a_band_around_the_index(world, hub, answer, mark):
    world.answer(world.mark, answer, 2**256 - 1, 0, Mode.CURRENT)
    world.observed(markSource=(world.mark.address, 100))
    assert hub.spot(BTC).mark == mark


def test_a_mark_that_is_not_valid_is_the_index(world, hub):
    world.observed(markSource=(world.mark.address, 100))
    cases = [
        (101, Mode.ANSWER, False),
        (-61, Mode.ANSWER, False),
        (0, Mode.REVERT, False),
        (100, Mode.ANSWER, True),
        (-60, Mode.ANSWER, True),
    ]
    for i, (age, mode, counts) in enumerate(cases):
        at = world.start + 1000 * (i + 1)
        world.answer(world.mark, P * 101 // 100, 0, at - age, mode)
        world.observe(at=at)
        assert hub.spot(BTC).mark == (P * 101 // 100 if counts else P), (age, mode)


def test_a_collateral_counts_the_low_end_of_its_interval(world, hub):
    with reverts_with("MissingCollateralRate", asset=3):
        hub.collateralRate(3)
    world.say(P, P, P, confidence=P // 50)
    world.set_feed(3, feed=WBTC_FEED)
    world.observe(feed=WBTC_FEED)
    assert tuple(hub.collateralRate(3)) == (P, P - P // 50, world.now)
    # A price that falls is passed on before the stable price has followed, and one that rises not.
    world.say(P * 95 // 100, P * 95 // 100, P * 95 // 100)
    world.observe(feed=WBTC_FEED)
    assert tuple(hub.collateralRate(3)) == (P * 95 // 100, P * 95 // 100, world.now)
    world.say(P, P, P)
    world.observe(at=world.now + HOUR, feed=WBTC_FEED)
    rate = hub.collateralRate(3)
    assert rate.rate == P
    assert rate.stableRate == hub.observation(WBTC_FEED).stablePrice < P


def test_a_collateral_that_may_be_worth_nothing_counts_one_unit(world, hub):
    world.set_feed(3, feed=WBTC_FEED, maxMove=WAD // 10)
    world.say(P, P, P, confidence=P - 1)
    world.observe(feed=WBTC_FEED)
    lower = P * 85 // 100
    world.say(lower, lower, lower, confidence=lower - 1)
    world.observe(feed=WBTC_FEED)
    # Held at 0.9 with a confidence of 0.85 of the first price; then an interval down to zero.
    assert hub.collateralRate(3).stableRate == P * 90 // 100 - (lower - 1)
    world.say(P, *[P * 2] * 2, confidence=P - 1)
    world.observe(feed=WBTC_FEED)
    o = hub.observation(WBTC_FEED)
    assert o.confidence == o.price
    assert hub.collateralRate(3).stableRate == 1


@pytest.mark.parametrize("cache", [0, 60, HOUR])
def test_an_observation_serves_for_as_long_as_the_feed_says(world, hub, cache):
    world.observed(cacheSeconds=cache)
    world.say(P + 5, P + 5, P + 5)
    world.move_to(world.start + max(cache, 10))
    assert hub.spot(BTC).index == (P if cache >= 10 else P + 5)
    world.move_to(world.start + max(cache, 10) + 1)
    assert hub.spot(BTC).index == P + 5
    assert hub.observation(BTC).price == P


@pytest.mark.parametrize("seed", range(12))
def test_what_spot_says_live_is_what_observe_stores(world, hub, seed):
    """Random sources, ages, failures, jumps, outages: the views before and after are equal."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 6))
    mark = (world.mark.address, 120)
    feed = int(rng.choice([BTC, WBTC_FEED]))
    more = {"markSource": mark} if feed == BTC else {}
    world.set_feed(count, feed=feed, cacheSeconds=0, maxMove=WAD // 20, **more)
    world.say(*[P] * 5)
    world.observe(at=world.start, feed=feed)
    read = hub.spot if feed == BTC else hub.collateralRate
    reading = read.encode_input(feed % 256)
    different = 0
    for _ in range(4):
        now = world.now + int(rng.integers(15, 2 * HOUR))
        for source in (*world.sources[:count], world.mark):
            price = int(P * np.exp(rng.normal(0, 0.03)))
            age = int(rng.choice([-61, -60, 0, 1, 119, 121, HOUR, HOUR + 1]))
            mode = rng.choice([Mode.ANSWER, Mode.CURRENT, Mode.REVERT], p=[0.5, 0.4, 0.1])
            world.answer(source, price, int(price * rng.uniform(0, 0.01)), now - age, Mode(mode))
        world.clock.stop(int(rng.integers(0, 2) * 300), sender=world.actors.admin)
        world.clock.syncSequencer(sender=world.actors.admin)
        world.move_to(now)
        before, observed, after = world.in_one_block(
            reading, hub.observe.encode_input(feed), reading
        )
        assert before.ok and observed.ok
        assert before.data == after.data
        stored_price = hub.observation(feed).price
        different += decode(["uint256"], before.data)[0] != stored_price
        world.observe(feed=feed)
    assert different


def test_a_snapshot_is_what_spot_and_slice_say(world, hub):
    world.observed()
    with reverts_with("MissingPrice", underlying=2, expiry=0):
        hub.snapshot([BTC, 2])
    (market,) = hub.snapshot([BTC])
    assert tuple(market)[:5] == tuple(hub.spot(BTC))
    assert list(market.slices) == []
