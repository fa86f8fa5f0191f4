"""Whatever a source does, it does not count, and nothing else happens."""

import ape
import pytest
from oracle.hub_world import BTC, FIRST_PRICE, HOUR, Mode, error_name

P = FIRST_PRICE
LIAR = P * 2


@pytest.mark.parametrize("mode", [Mode.REVERT, Mode.SHORT, Mode.BURN, Mode.BOMB])
def test_a_source_that_fails_does_not_count(world, hub, mode):
    world.set_feed(3)
    world.say(P, P + 2, P + 4)
    assert tuple(hub.aggregate(BTC)) == (P + 2, 2, world.now, 3, 0)
    world.answer(world.sources[2], P + 4, 0, 0, mode)
    assert tuple(hub.aggregate(BTC)) == (P + 1, 1, world.now, 2, 0)
    assert world.observe().gas_used < 500_000


def test_an_answer_followed_by_much_else_is_an_answer(world, hub):
    world.set_feed(3)
    world.say(P, P, P)
    world.answer(world.sources[0], P + 10, 3, world.now, Mode.LONG)
    assert hub.aggregate(BTC).valid == 3


def test_an_address_without_code_is_no_source(world, hub):
    world.set_feed(3)
    world.say(P, P, P)
    sources = [(s.address, HOUR) for s in world.sources[:2]]
    world.set_feed(3, sources=[*sources, (world.actors.outsider.address, HOUR)])
    assert hub.aggregate(BTC).valid == 2


BAND = (P // 100, P * 100)


@pytest.mark.parametrize(
    "price, confidence, age, counts",
    [
        (BAND[0], 0, 0, True),
        (BAND[0] - 1, 0, 0, None),
        (1, 0, 0, None),
        (BAND[1], 0, 0, True),
        (BAND[1] + 1, 0, 0, None),
        (BAND[1] + 1, BAND[1] + 1, 0, False),
        (2**95 - 1, 0, 0, None),
        (2**95, 0, 0, False),
        (2**256 - 1, 0, 0, False),
        (0, 0, 0, False),
        (P, P - 1, 0, True),
        (P, P, 0, False),
        (P, 2**256 - 1, 0, False),
        (P, 0, HOUR, True),
        (P, 0, HOUR + 1, False),
        (P, 0, -60, True),
        (P, 0, -61, False),
    ],
)
def test_an_answer_counts_within_band_confidence_and_age(
    world, hub, price, confidence, age, counts
):
    """None: it counts as one beyond the band."""
    world.set_feed(1)
    now = world.start
    world.answer(world.sources[0], price, confidence, now - age)
    world.move_to(now)
    seen = hub.aggregate(BTC)
    # A time ahead of the block's counts as the block's.
    said = (price, confidence, now - max(age, 0)) if counts else (0, 0, 0)
    assert tuple(seen) == (*said, int(counts is True), int(counts is None))


@pytest.mark.parametrize("timestamp", [0, 2**255, 2**256 - 1])
def test_a_time_that_cannot_be_does_not_count(world, hub, timestamp):
    world.set_feed(1)
    world.answer(world.sources[0], P, 0, timestamp)
    assert hub.aggregate(BTC).valid == 0


def test_each_source_has_an_age_of_its_own(world, hub):
    one, other, third = (source.address for source in world.sources[:3])
    world.set_feed(3, sources=[(one, 10), (other, 100), (third, 1000)])
    for source in world.sources[:3]:
        world.answer(source, P, 0, world.start)
    for age, valid in ((10, 3), (11, 2), (100, 2), (101, 1), (1000, 1), (1001, 0)):
        world.move_to(world.start + age)
        assert hub.aggregate(BTC).valid == valid


def test_a_caller_cannot_make_sources_fail_by_starving_them(world, hub):
    """With any gas the call says the same or nothing, though the sources need most of theirs."""
    world.set_feed(5, quorum=3)
    world.say(*[P] * 5, mode=Mode.HEAVY)
    for source in world.sources:
        world.answer(source, P, 0, world.now, Mode.HEAVY)
    whole = tuple(hub.aggregate(BTC))
    assert whole[3] == 5
    data = hub.aggregate.encode_input(BTC).to_0x_hex()
    web3 = ape.networks.provider.web3.provider
    refusals, answers = set(), 0
    for gas in range(30_000, 1_400_000, 9_973):
        call = {"to": hub.address, "data": data, "gas": hex(gas)}
        response = web3.make_request("eth_call", [call, "latest"])
        if "error" in response:
            text = response["error"].get("data") or "0x"
            refusals.add(error_name(bytes.fromhex(text[2:])) if len(text) > 2 else "out of gas")
            continue
        words = [int(response["result"][2 + i : 66 + i], 16) for i in range(0, 320, 64)]
        assert tuple(words) == whole, gas
        answers += 1
    assert "InsufficientGas" in refusals
    assert refusals <= {"InsufficientGas", "out of gas"}
    assert answers > 10


def test_one_source_that_lies_moves_nothing_beyond_the_honest(world, hub):
    """Where one source alone decides, the lie is the price."""
    world.set_feed(1)
    world.say(LIAR)
    assert hub.aggregate(BTC).price == LIAR
    world.set_feed(3)
    world.say(LIAR, P, P + 2)
    assert hub.aggregate(BTC).price == P + 2
    world.set_feed(5)
    world.say(LIAR, LIAR, P, P + 1, P + 2)
    assert hub.aggregate(BTC).price == P + 2
