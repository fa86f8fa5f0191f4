"""Attacks on the market data, each named for what it does; the docstring says what it would cost.

Found by auditing. The clock's are in `tests/parameters/test_clock.py`.
"""

import pytest
from oracle.hub_world import BTC, DAY, FIRST_PRICE, HOUR, WAD
from reverts import reverts_with

from reference_model.exact import svi as slices
from reference_model.exact.surface_checks import decayed

INTERVAL, RATIO = 60, WAD
SMILE = slices.pack(0.01, 0.1, -0.3, 0.02, 0.2)


def louder(svi, factor):
    """Return a slice of `factor` times the variance."""
    a, b, *_ = slices.unpack(svi)
    return svi >> 128 << 128 | int(b * factor) << 64 | int(a * factor)


def post(world, expiry, svi, at, seen):
    """Post one slice in a block of the time `at` as of another."""
    report = (BTC, [expiry], [RATIO], [WAD], [svi], seen)
    world.next_block(at - world.now)
    return world.hub.postSurface(report, sender=world.actors.poster)


def test_an_hour_of_silence_is_not_saved_up_to_be_posted_at_once(world, hub):
    """The distance in time was one of the reports alone, and a report may be an hour old.

    After an hour without reports whoever posts could hand in sixty in one block, each of half as
    much volatility again as the one before: every option at any volatility, and every forward at
    more than twice the index, at one stroke. Whoever was short of options was to be liquidated
    before anybody could halt the poster.
    """
    world.observed()
    expiry, start = world.start + 30 * DAY, world.start
    post(world, expiry, SMILE, at=start + 1, seen=start + 1)
    now = start + 2 * HOUR
    first = louder(decayed(SMILE, start + 1, expiry, now - HOUR), 2)
    post(world, expiry, first, at=now, seen=now - HOUR)
    again = louder(decayed(first, now - HOUR, expiry, now - HOUR + INTERVAL), 2)
    for at in (now + 1, now + INTERVAL - 1):
        with reverts_with("SliceTooEarly", blockTimestamp=at, earliest=now + INTERVAL):
            post(world, expiry, again, at=at, seen=now - HOUR + INTERVAL)
    post(world, expiry, again, at=now + INTERVAL, seen=now - HOUR + INTERVAL)
    assert hub.slice(BTC, expiry, FIRST_PRICE)[3] == now - HOUR + INTERVAL


@pytest.mark.parametrize("jump", [50, -50])
def test_setting_a_feed_moves_no_price_at_one_stroke(world, hub, jump):
    """Other sources counted at once where nobody had observed for `cacheSeconds`.

    They count within the new bound on moves, which is at most 90 %: every account on the wrong
    side of the underlying was to be liquidated in the block of the governor's call.
    """
    world.observed()
    world.wait(HOUR // 2)
    before = hub.spot(BTC)
    others = [(s.address, HOUR) for s in world.sources[3:]]
    for source in world.sources[3:]:
        world.answer(source, FIRST_PRICE * (100 + jump) // 100, 0, world.now)
    world.set_feed(2, sources=others, maxMove=9 * WAD // 10)
    assert hub.spot(BTC)[:3] == before[:3]
    world.observe()
    assert hub.spot(BTC).index == FIRST_PRICE * (100 + jump) // 100


def test_a_longer_cache_does_not_bring_an_old_price_back(world, hub):
    """A stored price that had long been replaced by what sources say came into force again.

    With the cache set from a minute to an hour, the price of half an hour ago was in force, and
    young enough to open positions against.
    """
    world.observed()
    world.wait(HOUR // 2)
    world.say(*[FIRST_PRICE * 93 // 100] * 3)
    assert hub.spot(BTC).index == FIRST_PRICE * 93 // 100
    world.set_feed(3, cacheSeconds=HOUR)
    assert hub.spot(BTC).index == FIRST_PRICE * 93 // 100


def test_a_feed_never_observed_is_not_observed_by_setting_it(world, hub):
    """Wrong sources that are noticed before their first observation leave no trace.

    The first observation is bound by no breaker, but binds the next.
    """
    world.set_feed(3)
    world.say(*[FIRST_PRICE // 90] * 3)
    world.set_feed(3, sources=[(s.address, HOUR) for s in world.sources[2:]])
    assert hub.observation(BTC).price == 0
