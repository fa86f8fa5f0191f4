"""Settlement prices on the chain: by the window, uncovered, by the governor."""

import pytest
from oracle.hub_world import BTC, DAY, FIRST_PRICE, HOUR, WAD, Mode
from reverts import reverts_with

from reference_model.exact import svi as slices

P = FIRST_PRICE
WINDOW, GAP = 1_800, 600


@pytest.fixture
def expiry(world, hub):
    """One hour after the start; a slice was posted for it."""
    world.observed(maxMove=9 * WAD // 10)
    expiry = world.start + HOUR
    report = (BTC, [expiry], [WAD], [WAD], [slices.pack(0.01, 0.1, 0, 0, 0.2)], world.start)
    hub.postSurface(report, sender=world.actors.poster)
    return expiry


def observe(world, at, price):
    world.say(price, price, price)
    return world.observe(at=at)


def cover(world, expiry, prices, step=300):
    """Observe these prices at even times from the window's start on."""
    for i, price in enumerate(prices):
        observe(world, expiry - WINDOW + i * step, price)


def test_an_expiry_settles_at_the_average_of_the_half_hour_before_it(world, hub, expiry):
    prices = [P + i * 10**18 for i in range(6)]
    cover(world, expiry, prices)
    assert tuple(hub.trail(BTC))[1:] == (expiry, sum(prices[:5]) * 300, 1_500)
    assert hub.settlementPrice(BTC, expiry) == 0
    receipt = observe(world, expiry, 2 * P)
    average = sum(prices) // 6
    assert hub.settlementPrice(BTC, expiry) == average
    (log,) = receipt.decode_logs(hub.Settled)
    assert list(log.event_arguments.values()) == [BTC, expiry, average, WINDOW]


def test_nobody_can_settle_before_the_expiry(world, hub, expiry):
    cover(world, expiry, [P] * 6)
    observe(world, expiry - 1, P)
    assert hub.settlementPrice(BTC, expiry) == 0


@pytest.mark.parametrize("late", [0, 1, 299, 1_000, 50_000])
@pytest.mark.parametrize("price", [P // 2, 3 * P // 2])
def test_a_late_pusher_chooses_nothing(world, hub, expiry, late, price):
    """Whenever the first observation after the expiry comes, and whatever it says."""
    prices = [P + i * 10**18 for i in range(6)]
    cover(world, expiry, prices)
    observe(world, expiry + late, price)
    assert hub.settlementPrice(BTC, expiry) == sum(prices) // 6


def test_later_observations_change_nothing(world, hub, expiry):
    cover(world, expiry, [P] * 6)
    observe(world, expiry + 5, P)
    settled = hub.settlementPrice(BTC, expiry)
    for later in (expiry + 10, expiry + HOUR - 1, expiry + 3 * HOUR):
        receipt = observe(world, later, 3 * P // 2)
        assert receipt.decode_logs(hub.Settled) == []
    assert hub.settlementPrice(BTC, expiry) == settled == P


def test_a_disputed_price_does_not_count(world, hub, expiry):
    world.set_feed(3, maxMove=WAD // 10)
    at = expiry - WINDOW
    cover(world, expiry, [P, P, 3 * P, P, P, P])
    observe(world, expiry, P)
    receipt_average = hub.settlementPrice(BTC, expiry)
    assert receipt_average == P
    # A quarter of an hour or more was covered, less the 300 seconds in dispute.
    assert tuple(hub.trail(BTC))[1:] == (expiry, P * (WINDOW - 300), WINDOW - 300)
    assert at + WINDOW == expiry


def test_a_price_beyond_whose_band_the_sources_are_does_not_count(world, hub, expiry):
    """What was in force until they left it does, and what is once they are back."""
    cover(world, expiry, [P, P, 101 * P, 101 * P, P, P])
    observe(world, expiry, P)
    assert tuple(hub.trail(BTC))[1:] == (expiry, P * (WINDOW - 600), WINDOW - 600)
    assert hub.settlementPrice(BTC, expiry) == P


def test_what_is_seen_during_an_outage_does_not_count(world, hub, expiry):
    cover(world, expiry, [P, P])
    world.clock.setOutage(True, sender=world.actors.guardian)
    observe(world, expiry - WINDOW + 600, 3 * P // 4)
    world.clock.setOutage(False, sender=world.actors.guardian)
    for after in (900, 1_200, 1_500, 1_800):
        observe(world, expiry - WINDOW + after, P)
    assert tuple(hub.trail(BTC))[1:] == (expiry, P * (WINDOW - 300), WINDOW - 300)
    assert hub.settlementPrice(BTC, expiry) == P


@pytest.mark.parametrize("covered, settles", [(899, False), (900, True)])
def test_less_than_half_of_the_window_settles_nothing(world, hub, expiry, covered, settles):
    observe(world, expiry - covered, P)
    observe(world, expiry - covered + GAP, P)
    receipt = observe(world, expiry + 10, P)
    assert hub.settlementPrice(BTC, expiry) == (P if settles else 0)
    logs = receipt.decode_logs(hub.SettlementUncovered)
    values = [list(log.event_arguments.values()) for log in logs]
    assert values == ([] if settles else [[BTC, expiry, covered]])


def test_an_observation_stands_for_ten_minutes_at_most(world, hub, expiry):
    observe(world, expiry - WINDOW, P)
    observe(world, expiry + 10, P)
    assert hub.trail(BTC).coveredSeconds == GAP
    assert hub.settlementPrice(BTC, expiry) == 0


def test_an_hour_nobody_posted_a_slice_for_has_no_settlement_price(world, hub, expiry):
    other = expiry + HOUR
    cover(world, other, [P] * 6)
    receipt = observe(world, other, P)
    assert hub.settlementPrice(BTC, other) == 0
    assert receipt.decode_logs(hub.Settled) == []
    assert receipt.decode_logs(hub.SettlementUncovered) == []


def test_an_observation_that_fails_covers_nothing_new(world, hub, expiry):
    """The price before stays in force for its ten minutes, and then there is none."""
    observe(world, expiry - WINDOW, P)
    for source in world.sources[:3]:
        world.answer(source, P, 0, 0, Mode.REVERT)
    world.observe(at=expiry - 900)
    observe(world, expiry, P)
    assert hub.trail(BTC).coveredSeconds == GAP


def test_the_governor_says_what_nobody_observed_a_day_later(world, hub, expiry):
    governor = world.actors.governor
    early = expiry + DAY - 1
    world.next_block(early - world.now)
    with reverts_with("SettlementTooEarly", underlying=BTC, expiry=expiry, blockTimestamp=early):
        hub.settleUncovered(BTC, expiry, P, sender=governor)
    low, high = P // 100, P * 100
    world.move_to(expiry + DAY - 1)
    for price in (0, low - 1, high + 1):
        world.next_block()
        with reverts_with(
            "ParameterOutOfRange", name=b"price".ljust(32, b"\0"), value=price, min=low, max=high
        ):
            hub.settleUncovered(BTC, expiry, price, sender=governor)
    receipt = hub.settleUncovered(BTC, expiry, low, sender=governor)
    assert hub.settlementPrice(BTC, expiry) == low
    (log,) = receipt.decode_logs(hub.Settled)
    assert list(log.event_arguments.values()) == [BTC, expiry, low, 0]
    with reverts_with("SettlementFinal", underlying=BTC, expiry=expiry, price=low, proposed=high):
        hub.settleUncovered(BTC, expiry, high, sender=governor)


def test_what_was_observed_is_final_for_the_governor_too(world, hub, expiry):
    cover(world, expiry, [P] * 6)
    observe(world, expiry, P)
    world.move_to(expiry + DAY)
    with reverts_with("SettlementFinal", underlying=BTC, expiry=expiry, price=P, proposed=2 * P):
        hub.settleUncovered(BTC, expiry, 2 * P, sender=world.actors.governor)


def test_no_price_can_be_said_of_what_has_no_feed(world, hub):
    with reverts_with("UnknownFeed", feed=9):
        hub.settleUncovered(9, HOUR, 0, sender=world.actors.governor)
