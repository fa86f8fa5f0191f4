"""What is pushed is what the chain then says; what is nonsense reverts with the feed's error."""

from dataclasses import replace

import pytest
from eth_utils import keccak

from oracle_mock import faults, paths, sources
from oracle_mock.market import Ids, InvalidSnapshotError, Rate, pack_svi, to_wad
from oracle_mock.pusher import Pusher, from_now
from tests.reverts import reverts_with

IDS = Ids({"BTC": 1, "ETH": 2}, {"USDC": 3})
MODEL = paths.JumpDiffusion({"BTC": 0.6, "ETH": 0.8})
STEPS, STEP_SECONDS = 6, 3 * 3_600


@pytest.fixture(scope="module")
def poster(accounts):
    return accounts[1]


@pytest.fixture
def feed(project, accounts, poster):
    admin = accounts[0]
    governance = admin.deploy(project.Governance, admin)
    feed = admin.deploy(project.MarketDataFeed, governance)
    (post,) = (method for method in feed.contract_type.mutable_methods if method.name == "post")
    selector = keccak(text=post.selector)[:4]
    governance.setTargetFunctionRole(feed, [selector], governance.POSTER(), sender=admin)
    governance.grantRole(governance.POSTER(), poster, 0, sender=admin)
    return feed


@pytest.fixture
def pusher(feed, poster):
    return Pusher(feed, poster, IDS)


@pytest.fixture
def path(start, chain):
    """A path whose first expiry settles on the way, from the chain's next block on."""
    return from_now(paths.jump_diffusion(start, MODEL, STEPS, STEP_SECONDS, seed=1), chain)


def check_feed_says(feed, snapshot):
    for name, market in snapshot.markets.items():
        underlying = IDS.underlyings[name]
        values = (market.index, market.confidence, market.mark, market.stable_index)
        assert tuple(feed.spot(underlying)) == (*map(to_wad, values), market.observed)
        for part in market.slices:
            assert tuple(feed.slice(underlying, part.expiry, 0)) == (
                to_wad(part.forward),
                to_wad(part.discount),
                pack_svi(part.svi),
                market.observed,
            )
    for token, rate in snapshot.rates.items():
        expected = (to_wad(rate.value), to_wad(rate.stable_value), rate.observed)
        assert tuple(feed.collateralRate(IDS.assets[token])) == expected
    for (name, expiry), price in snapshot.settlements.items():
        assert feed.settlementPrice(IDS.underlyings[name], expiry) == to_wad(price)


def test_feed_says_what_was_pushed_all_along_a_path(pusher, feed, path, chain):
    for snapshot, receipt in pusher.play(path, chain):
        assert receipt.timestamp == snapshot.time
        check_feed_says(feed, snapshot)
    assert snapshot.settlements, "an expiry settled on the way"


def test_another_pusher_leaves_final_settlement_prices_alone(pusher, feed, poster, path, chain):
    list(pusher.play(path, chain))
    Pusher(feed, poster, IDS).push(path[-1])
    check_feed_says(feed, path[-1])


def test_path_is_postponed_by_whole_days_and_only_as_few_as_needed(start, chain):
    now = chain.pending_timestamp
    (moved,) = from_now([start], chain)
    assert (moved.time - start.time) % paths.DAY == 0
    assert now <= moved.time < now + paths.DAY or moved.time == start.time > now
    assert from_now([moved], chain) == [moved], "what lies ahead stays"


def with_index(snapshot, name, index):
    return snapshot.with_market(name, replace(snapshot.markets[name], index=index))


def test_feed_refuses_a_price_of_zero(pusher, path, chain):
    chain.pending_timestamp = path[0].time
    with reverts_with("ZeroPrice", name=b"index".ljust(32, b"\0")):
        pusher.push(with_index(path[0], "BTC", 0.0))
    with reverts_with("ZeroPrice", name=b"rate".ljust(32, b"\0")):
        pusher.push(path[0].with_rate("USDC", Rate(0.0, 1.0, path[0].time)))


def test_feed_refuses_confidence_above_the_index(pusher, path, chain):
    chain.pending_timestamp = path[0].time
    market = path[0].markets["ETH"]
    confidence = market.index * 2
    with reverts_with(
        "ConfidenceAboveIndex",
        underlying=2,
        confidence=to_wad(confidence),
        index=to_wad(market.index),
    ):
        pusher.push(path[0].with_market("ETH", replace(market, confidence=confidence)))


def test_negative_price_cannot_even_be_sent(pusher, path):
    with pytest.raises(InvalidSnapshotError, match=r"ETH: -.* cannot be encoded"):
        pusher.push(with_index(path[0], "ETH", -1.0))


def one_source(path, kind):
    """What a single feed says whose only source of ETH is faulty from the second step on."""
    fault = faults.Fault(kind, "ETH", path[1].time, path[-1].time, (1,))
    published = faults.applied(sources.broadcast(path[:3], seed=1), [fault])
    return sources.combined(published)


@pytest.mark.parametrize("kind", ["stale", "outage"])
def test_silent_source_leaves_the_last_price_standing(pusher, feed, path, chain, kind):
    for _ in pusher.play(one_source(path, kind), chain):
        pass
    assert path[0].time <= feed.spot(2).timestamp < path[1].time
    assert feed.spot(1).timestamp > path[1].time
