"""Who may list a feed, and within which ranges."""

import pytest
from oracle.hub_world import ALWAYS, BTC, DAY, FIRST_PRICE, HOUR, NO_SOURCE, WAD, WBTC_FEED
from reverts import reverts_with

MAX_PRICE = 2**95 - 1


def name(text):
    return text.encode().ljust(32, b"\0")


def plain(value):
    """Return a value with tuples for lists and structs, and addresses without capitals."""
    if isinstance(value, str):
        return value.lower()
    if isinstance(value, int):
        return value
    values = value.values() if isinstance(value, dict) else value
    return tuple(plain(element) for element in values)


def test_a_feed_is_kept_as_set_and_the_event_tells_old_and_new(world, hub):
    first = world.parameters(3)
    second = world.parameters(
        2,
        minPrice=FIRST_PRICE // 2,
        maxPrice=FIRST_PRICE * 2,
        maxMove=WAD // 5,
        stableRate=WAD,
        markBand=WAD // 7,
        cacheSeconds=7,
        markSource=(world.mark.address, 11),
    )
    for old, new in ((None, first), (first, second), (second, first)):
        receipt = world.hub.setFeed(BTC, new, sender=world.actors.governor)
        assert plain(hub.feedParameters(BTC)) == plain(new)
        (log,) = receipt.decode_logs(hub.FeedSet)
        assert log.feed == BTC
        assert plain(log.newParameters) == plain(new)
        nothing = ((), 0, 0, 0, 0, 0, 0, 0, NO_SOURCE)
        assert plain(log.oldParameters) == (plain(old) if old else nothing)


# name in the error, what is set, value in the error, bounds in the error
OUTSIDE = [
    ("quorum", {"quorum": 1}, 1, 2, 3),
    ("quorum", {"quorum": 4}, 4, 2, 3),
    ("minPrice", {"minPrice": 0}, 0, 1, MAX_PRICE),
    ("minPrice", {"minPrice": 2**95}, 2**95, 1, MAX_PRICE),
    ("maxPrice", {"minPrice": WAD, "maxPrice": WAD - 1}, WAD - 1, WAD, 10_000 * WAD),
    ("maxPrice", {"minPrice": 1, "maxPrice": 10_001}, 10_001, 1, 10_000),
    ("maxPrice", {"minPrice": 2**94, "maxPrice": 2**95}, 2**95, 2**94, MAX_PRICE),
    ("maxMove", {"maxMove": WAD // 1000 - 1}, WAD // 1000 - 1, WAD // 1000, WAD * 9 // 10),
    ("maxMove", {"maxMove": WAD * 9 // 10 + 1}, WAD * 9 // 10 + 1, WAD // 1000, WAD * 9 // 10),
    ("stableRate", {"stableRate": 10**14 - 1}, 10**14 - 1, 10**14, 10 * WAD),
    ("stableRate", {"stableRate": 10 * WAD + 1}, 10 * WAD + 1, 10**14, 10 * WAD),
    ("markBand", {"markBand": WAD // 5 + 1}, WAD // 5 + 1, 0, WAD // 5),
    ("cacheSeconds", {"cacheSeconds": HOUR + 1}, HOUR + 1, 0, HOUR),
]


@pytest.mark.parametrize("parameter, changes, value, least, greatest", OUTSIDE)
def test_a_parameter_outside_its_range_is_refused(
    world, parameter, changes, value, least, greatest
):
    with reverts_with(
        "ParameterOutOfRange", name=name(parameter), value=value, min=least, max=greatest
    ):
        world.set_feed(3, **changes)


INSIDE = [
    {"quorum": 2},
    {"quorum": 3},
    {"minPrice": 1, "maxPrice": 10_000},
    {"minPrice": MAX_PRICE, "maxPrice": MAX_PRICE},
    {"maxMove": WAD // 1000},
    {"maxMove": WAD * 9 // 10},
    {"stableRate": 10**14},
    {"stableRate": 10 * WAD},
    {"markBand": 0},
    {"markBand": WAD // 5},
    {"cacheSeconds": 0},
    {"cacheSeconds": HOUR},
]


@pytest.mark.parametrize("changes", INSIDE)
def test_a_parameter_may_reach_its_bounds(world, hub, changes):
    world.set_feed(3, **changes)
    kept = hub.feedParameters(BTC)
    assert {key: getattr(kept, key) for key in changes} == changes


@pytest.mark.parametrize("age", [0, DAY + 1])
def test_an_age_outside_its_range_is_refused(world, age):
    refusal = {"name": name("maxAgeSeconds"), "value": age, "min": 1, "max": DAY}
    one, other = (source.address for source in world.sources[:2])
    with reverts_with("ParameterOutOfRange", **refusal):
        world.set_feed(2, sources=[(one, DAY), (other, age)])
    with reverts_with("ParameterOutOfRange", **refusal):
        world.set_feed(2, markSource=(world.mark.address, age))


def test_six_sources_are_too_many_and_one_twice_is_one(world):
    addresses = [source.address for source in (*world.sources, world.mark)]
    with reverts_with("ParameterOutOfRange", name=name("sources"), value=6, min=0, max=5):
        world.set_feed(5, sources=[(a, HOUR) for a in addresses])
    with reverts_with("SourceTwice", source=addresses[0]):
        world.set_feed(3, sources=[(addresses[i], HOUR + i) for i in (0, 1, 0)])


@pytest.mark.parametrize("feed", [0, 256, 512, 2**16 - 1])
def test_what_is_neither_underlying_nor_collateral_is_no_feed(world, feed):
    with reverts_with("UnknownFeed", feed=feed):
        world.set_feed(3, feed=feed)


def test_only_an_underlying_with_sources_has_a_mark_of_its_own(world):
    mark = (world.mark.address, HOUR)
    refusal = {"name": name("markSource"), "value": 1, "min": 0, "max": 0}
    for feed, count in ((WBTC_FEED, 3), (BTC, 0)):
        with reverts_with("ParameterOutOfRange", **refusal):
            world.set_feed(count, feed=feed, markSource=mark)


def test_a_feed_without_sources_has_a_fixed_price_seen_now(world, hub):
    world.set_feed(0, feed=WBTC_FEED, minPrice=WAD, maxPrice=WAD)
    world.set_feed(0, minPrice=7 * WAD, maxPrice=7 * WAD)
    for wait in (0, DAY):
        world.wait(wait)
        assert tuple(hub.collateralRate(WBTC_FEED - 256)) == (WAD, WAD, world.now)
        assert tuple(hub.spot(BTC)) == (7 * WAD, 0, 7 * WAD, 7 * WAD, world.now)
    assert hub.observation(BTC).observedAt == ALWAYS
    for call in (world.observe, lambda: hub.aggregate(BTC)):
        with reverts_with("UnknownFeed", feed=BTC):
            call()
    world.clock.setOutage(True, sender=world.actors.admin)
    assert hub.spot(BTC).timestamp == 0


def test_a_fixed_price_has_one_value_and_no_quorum(world):
    refusal = {"name": name("maxPrice"), "value": WAD + 1, "min": WAD, "max": WAD}
    with reverts_with("ParameterOutOfRange", **refusal):
        world.set_feed(0, minPrice=WAD, maxPrice=WAD + 1)
    with reverts_with("ParameterOutOfRange", name=name("quorum"), value=1, min=0, max=0):
        world.set_feed(0, quorum=1)


def test_a_feed_does_not_become_fixed_nor_a_fixed_one_free(world):
    world.set_feed(3)
    with reverts_with("FixedOnceListed", name=name("fixed"), current=0, proposed=1):
        world.set_feed(0)
    world.set_feed(0, feed=BTC + 1)
    with reverts_with("FixedOnceListed", name=name("fixed"), current=1, proposed=0):
        world.set_feed(3, feed=BTC + 1)


def test_a_fixed_price_stays_what_it_is(world, hub):
    world.set_feed(0, minPrice=WAD, maxPrice=WAD)
    with reverts_with("FixedOnceListed", name=name("minPrice"), current=WAD, proposed=WAD + 1):
        world.set_feed(0, minPrice=WAD + 1, maxPrice=WAD + 1)
    world.set_feed(0, minPrice=WAD, maxPrice=WAD, cacheSeconds=7)
    assert hub.feedParameters(BTC).cacheSeconds == 7
    assert hub.spot(BTC).index == WAD


def test_a_change_of_a_feed_keeps_its_observation(world, hub):
    world.observed()
    before = hub.observation(BTC)
    world.set_feed(5, maxMove=WAD // 100, cacheSeconds=7)
    after = hub.observation(BTC)
    assert after.cacheSeconds == 7
    assert [v for v in after][:-1] == [v for v in before][:-1]
    # ... so the breaker, the new one, holds for what follows.
    world.say(*[2 * FIRST_PRICE] * 5)
    world.observe()
    assert hub.observation(BTC).price == FIRST_PRICE * 101 // 100


@pytest.mark.parametrize("who", ["admin", "guardian", "poster", "treasurer", "outsider"])
def test_feeds_surfaces_and_prices_of_last_resort_are_the_governors(world, hub, who):
    caller = getattr(world.actors, who)
    calls = (
        lambda: hub.setFeed(BTC, world.parameters(), sender=caller),
        lambda: hub.setSurface(BTC, (WAD, WAD, 1), sender=caller),
        lambda: hub.settleUncovered(BTC, HOUR, WAD, sender=caller),
    )
    for call in calls:
        with reverts_with("AccessManagedUnauthorized", caller=caller):
            call()
