"""Publishing vectors: what is refused, how lists follow each other, and taking one back."""

from random import Random

import pytest
from predictive.books import BASKET, PLACES, WAD, random_exposure, random_words
from reverts import reverts_with

from reference_model.exact import predictive_model as exact
from reference_model.exact.shortfall import is_valid

IDS = sorted(BASKET)


def refused(world, words, leaving, places, error, /, **values):
    with reverts_with(error, **values):
        world.publish(words, leaving, places)


def out_of_range(name, value, low, high):
    return {"name": name.encode().ljust(32, b"\0"), "value": value, "min": low, "max": high}


@pytest.fixture(autouse=True)
def apart(world, chain):
    with chain.isolate():
        yield


def test_publisher_alone_publishes_and_guardian_alone_takes_back(world, actors):
    words = random_words(Random(0), 250)
    with reverts_with("AccessManagedUnauthorized", caller=actors.outsider):
        world.model.publish(words, 0, PLACES, sender=actors.outsider)
    world.publish(words)
    with reverts_with("AccessManagedUnauthorized", caller=actors.publisher):
        world.model.cancelPublication(sender=actors.publisher)


def test_lists_follow_each_other(world):
    rng = Random(1)
    first, second, third = (random_words(rng, n) for n in (600, 300, 100))
    receipt = world.publish(first)
    start, end = receipt.timestamp, receipt.timestamp + world.ramp_seconds()
    (event,) = receipt.decode_logs(world.model.Published)
    assert list(event.event_arguments.values()) == [600, 600, 0, PLACES, start, end]
    assert list(world.model.vectors(0, 2000)) == first
    assert list(world.model.vectors(510, 5)) == first[510:515]
    assert list(world.model.vectors(700, 5)) == []
    refused(world, second, 0, PLACES, "RampUnderWay", end=end)
    world.wait(world.ramp_seconds())
    world.publish_in_force(second, leaving=400)
    assert tuple(world.model.publication())[:5] == (900, 600, 400, PLACES, PLACES)
    assert list(world.model.vectors(0, 2000)) == first + second
    world.publish_in_force(third, leaving=250)
    assert list(world.model.vectors(0, 2000)) == first[400:] + second + third


def test_counts_out_of_range_are_refused_in_order(world):
    words = random_words(Random(2), 1001)
    name = "ParameterOutOfRange"
    refused(world, words[:249], 0, 9, name, **out_of_range("dates", 249, 250, 1000))
    refused(world, words, 0, 9, name, **out_of_range("dates", 1001, 250, 1000))
    refused(world, words[:250], 1, 9, name, **out_of_range("leaving", 1, 0, 0))
    refused(world, words[:250], 0, 9, name, **out_of_range("places", 9, 0, 8))
    world.publish_in_force(random_words(Random(2), 1000, 3), 0, 3)
    refused(world, words, 1001, 9, name, **out_of_range("leaving", 1001, 0, 1000))
    more = words[:100]
    refused(world, more, 100, 9, name, **out_of_range("stored", 1100, 0, 1024))
    refused(world, more[:24], 24, 4, name, **out_of_range("places", 4, 3, 3))
    refused(world, more[:24], 24, 2, name, **out_of_range("places", 2, 3, 3))


@pytest.mark.parametrize("place", [0, 3, 7])
@pytest.mark.parametrize(
    "fields", [(60, 0, 0), (64, 0, 0), (1023, 0, 0), (0, 1000, 25), (0, 1023, 2), (59, 1023, 1023)]
)
def test_fields_out_of_range_are_refused(world, place, fields):
    words = random_words(Random(3), 250)
    clear = ~sum(1023 << at + 10 * place for at in (5, 90, 175))
    wrong = words[77] & clear
    wrong |= sum(field << at + 10 * place for at, field in zip((5, 90, 175), fields, strict=True))
    assert not is_valid(wrong, PLACES)
    words[77] = wrong
    refused(world, words, 0, PLACES, "InvalidVector", index=77, word=wrong)


@pytest.mark.parametrize("bit", [0, 4, 85, 89, 170, 174, 255, 5 + 30, 90 + 30, 175 + 79])
def test_bits_outside_of_the_fields_are_refused(world, bit):
    words = random_words(Random(4), 250, 3)
    words[-1] |= 1 << bit
    refused(world, words, 0, 3, "InvalidVector", index=249, word=words[-1])


def test_fields_at_their_bounds_are_accepted(world):
    fields = [(59, 1023, 1), (59, 1, 1023), (0, 512, 512), (31, 0, 0)]
    words = [
        sum((row << 5 | a << 90 | b << 175) << 10 * p for p in range(PLACES))
        for row, a, b in fields
    ]
    world.publish(words * 63)
    assert world.model.publication().stored == 252


def measured(world, words, exposures):
    found = tuple(world.model.measure(exposures))
    read = world.prediction(words)
    assert found == exact.measure(read, exposures)
    assert tuple(world.model.losses(exposures)) == exact.losses(read, exposures)
    for amount in (2**80, exact.MAX_AMOUNT):
        counted = tuple(world.model.exceedances(exposures, amount))
        assert counted == exact.exceedances(read, exposures, amount)
        bound = world.model.shortfallAt(exposures, amount)
        assert bound == exact.shortfall_at(read, exposures, amount)
    return found[0]


def test_nothing_changes_at_publication_then_all_moves_with_time(world):
    rng = Random(5)
    old, new = random_words(rng, 260, cells=range(12, 18)), random_words(rng, 250)
    exposures = [random_exposure(rng, u) for u in IDS[:3]]
    world.publish_in_force(old)
    before = measured(world, old, exposures)
    world.publish(new, 200)
    words = old + new
    ramp = world.ramp_seconds()
    assert measured(world, words, exposures) == before
    world.wait(ramp // 2)
    half = measured(world, words, exposures)
    world.wait(ramp)
    after = measured(world, words, exposures)
    assert after != before
    assert half == pytest.approx((before + after) / 2, rel=1e-3)


def test_new_places_come_with_their_worst_scenario(world):
    """Of the list before, and of none before the first, nothing is known of a place."""
    rng = Random(6)
    old, new = random_words(rng, 250, 2), random_words(rng, 300, PLACES)
    ids = list(BASKET)
    exposures = [random_exposure(rng, u) for u in sorted((ids[0], ids[1], ids[5]))]
    empty = [x._replace(pnl=(), slopes=()) for x in exposures]
    apart = sum(x.scenario_loss + x.slack for x in exposures)
    assert measured(world, [], empty) == apart
    covered = [x if x.underlying in ids[:2] else e for x, e in zip(exposures, empty, strict=True)]
    world.publish(old, 0, 2)
    assert measured(world, old, covered) == apart
    world.wait(world.ramp_seconds())
    before = measured(world, old, covered)
    terms = world.model.terms(sum(1 << u for u in ids))
    assert terms.uncovered == sum(1 << u for u in ids[2:])
    shown = {u: d > 0 for u, d in zip(sorted(ids), terms.deviations, strict=True)}
    assert shown == {u: u in ids[:2] for u in ids}
    world.publish(new, len(old), PLACES)
    assert measured(world, old + new, exposures) == before
    assert world.model.terms(1 << ids[5]).uncovered == 1 << ids[5]
    assert world.model.terms(1 << ids[5]).deviations[0] > 0
    world.wait(world.ramp_seconds() // 3)
    measured(world, old + new, exposures)
    world.wait(world.ramp_seconds())
    assert world.model.terms(sum(1 << u for u in ids)).uncovered == 0
    measured(world, old + new, exposures)


def test_a_publication_is_taken_back_at_the_speed_at_which_it_came(world, actors):
    rng = Random(7)
    old, new = random_words(rng, 250, cells=range(12, 18)), random_words(rng, 100)
    exposures = [random_exposure(rng, u) for u in IDS[:2]]
    with reverts_with("NoRampUnderWay"):
        world.model.cancelPublication(sender=actors.guardian)
    world.publish_in_force(old)
    before, ramp = measured(world, old, exposures), world.ramp_seconds()
    world.publish(new)
    world.wait(ramp // 4)
    receipt = world.model.cancelPublication(sender=actors.guardian)
    words = old + new
    (event,) = receipt.decode_logs(world.model.PublicationCancelled)
    assert event.activeTime == world.model.publication().cancelledAt == receipt.timestamp
    assert event.progress == pytest.approx(WAD / 4, rel=1e-3)
    end = world.model.publication().end
    with reverts_with("RampUnderWay", end=end):
        world.model.cancelPublication(sender=actors.guardian)
    refused(world, new, 0, PLACES, "RampUnderWay", end=end)
    quarter = measured(world, words, exposures)
    world.wait(ramp // 8)
    eighth = measured(world, words, exposures)
    assert abs(quarter - before) > abs(eighth - before) > 0
    world.wait(ramp // 4)
    assert measured(world, words, exposures) == before
    with reverts_with("NoRampUnderWay"):
        world.model.cancelPublication(sender=actors.guardian)
    world.publish_in_force(new, 100)
    assert list(world.model.vectors(0, 2000)) == old + new
    measured(world, words, exposures)
