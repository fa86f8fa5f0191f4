"""The feed returns what was posted, refuses nonsense, and is cheap to read."""

import pytest
from ape.exceptions import TransactionError
from eth_abi import decode
from eth_utils import keccak
from hypothesis import given
from hypothesis import strategies as st
from reverts import revert_data, reverts_with

from reference_model.exact import svi as smiles

WAD = 10**18
HOUR = 3_600
MAX_UINT96 = 2**96 - 1
READ_GAS_LIMIT = 400_000

SVI = smiles.pack(0.01, 0.1, -0.3, 0.02, 0.2)
M_X64 = round(0.02 * 2**40) << 24
FAR_SVI = smiles.pack(0.02, 0.1, -0.3, 0.02, 0.2)

prices = st.integers(1, MAX_UINT96)
timestamps = st.integers(1, 10**9)
# Gatheral and Jacquier: no butterfly arbitrage where b * (1 + abs(rho)) < 4 and b is small beside
# sigma and the least variance.
slices = st.builds(
    smiles.pack,
    a=st.floats(0.1, 2),
    b=st.floats(0, 0.1),
    rho=st.floats(-0.5, 0.5),
    m=st.floats(-0.1, 0.1),
    sigma=st.floats(0.5, 2),
)


@pytest.fixture
def now(chain):
    return chain.blocks.head.timestamp


@pytest.fixture
def expiry(now):
    return (now // HOUR + 48) * HOUR


def spot_update(timestamp, **changes):
    update = {
        "underlying": 1,
        "index": 100_000 * WAD,
        "confidence": 20 * WAD,
        "mark": 100_100 * WAD,
        "stableIndex": 99_000 * WAD,
        "timestamp": timestamp,
    }
    return update | changes


def slice_update(timestamp, expiry, **changes):
    update = {
        "underlying": 1,
        "expiry": expiry,
        "forward": 101_000 * WAD,
        "discount": 99 * WAD // 100,
        "svi": SVI,
        "timestamp": timestamp,
    }
    return update | changes


def rate_update(timestamp, **changes):
    update = {"asset": 1, "rate": 119 * WAD // 100, "stableRate": WAD, "timestamp": timestamp}
    return update | changes


@pytest.fixture
def post(feed, actors):
    """Post any part of a market as the poster."""

    def send(spots=(), slices=(), rates=(), settlements=(), sender=actors.poster):
        return feed.post(list(spots), list(slices), list(rates), list(settlements), sender=sender)

    return send


@pytest.fixture(scope="module")
def poster_of_many(project, governance, feed, actors):
    caller = actors.admin.deploy(project.TryMany)
    governance.grantRole(governance.POSTER(), caller, 0, sender=actors.admin)
    return caller


def test_what_was_never_posted_is_missing(feed):
    with reverts_with("MissingPrice", underlying=1, expiry=0):
        feed.spot(1)
    with reverts_with("MissingPrice", underlying=1, expiry=7):
        feed.slice(1, 7, 0)
    with reverts_with("MissingCollateralRate", asset=1):
        feed.collateralRate(1)
    assert feed.settlementPrice(1, 7) == 0


def test_a_market_is_posted_whole(feed, post, now, expiry):
    spot, slice_, rate = spot_update(now), slice_update(now, expiry), rate_update(now)
    settlement = {"underlying": 1, "expiry": now - 60, "price": 98_000 * WAD}
    receipt = post([spot], [slice_], [rate], [settlement])
    assert tuple(feed.spot(1)) == tuple(list(spot.values())[1:])
    assert tuple(feed.slice(1, expiry, 0)) == tuple(list(slice_.values())[2:])
    assert tuple(feed.collateralRate(1)) == tuple(list(rate.values())[1:])
    assert feed.settlementPrice(1, now - 60) == settlement["price"]
    for event, update in (
        (feed.SpotPosted, spot),
        (feed.SlicePosted, slice_),
        (feed.CollateralRatePosted, rate),
        (feed.SettlementPricePosted, settlement),
    ):
        (log,) = receipt.decode_logs(event)
        assert log.event_arguments == update


@given(
    spot=st.tuples(prices, st.integers(0, MAX_UINT96), prices, prices, timestamps),
    slice_=st.tuples(prices, st.integers(1, WAD), slices, timestamps),
    rate=st.tuples(prices, prices, timestamps),
)
def test_packing_keeps_every_value(feed, poster_of_many, spot, slice_, rate):
    index, confidence, *rest = spot
    spot = (index, min(index, confidence), *rest)
    expiry = 2**32 - 1
    calls = [
        feed.post.encode_input([(255, *spot)], [(255, expiry, *slice_)], [(31, *rate)], []),
        feed.spot.encode_input(255),
        feed.slice.encode_input(255, expiry, 0),
        feed.collateralRate.encode_input(31),
    ]
    posted, *read = poster_of_many.tryMany.call(feed, calls)
    assert posted.ok, posted.data.hex()
    assert [decode(["uint256"] * (len(r.data) // 32), r.data) for r in read] == [spot, slice_, rate]


@pytest.mark.parametrize("name", ["index", "mark", "stableIndex"])
def test_spot_price_of_zero_reverts(post, now, name):
    confidence = {"confidence": 0}
    with reverts_with("ZeroPrice", name=name.encode().ljust(32, b"\0")):
        post([spot_update(now, **confidence | {name: 0})])


@pytest.mark.parametrize("name", ["forward", "discount"])
def test_slice_price_of_zero_reverts(post, now, expiry, name):
    with reverts_with("ZeroPrice", name=name.encode().ljust(32, b"\0")):
        post(slices=[slice_update(now, expiry, **{name: 0})])


@pytest.mark.parametrize("name", ["rate", "stableRate"])
def test_rate_of_zero_reverts(post, now, name):
    with reverts_with("ZeroPrice", name=name.encode().ljust(32, b"\0")):
        post(rates=[rate_update(now, **{name: 0})])


def test_settlement_price_of_zero_reverts(post, now):
    with reverts_with("ZeroPrice", name=b"settlementPrice".ljust(32, b"\0")):
        post(settlements=[(1, now, 0)])


def test_confidence_may_reach_the_index_but_not_exceed_it(feed, post, now):
    index = spot_update(now)["index"]
    post([spot_update(now, confidence=index)])
    assert feed.spot(1).confidence == index
    with reverts_with("ConfidenceAboveIndex", underlying=1, confidence=index + 1, index=index):
        post([spot_update(now, confidence=index + 1)])


def test_discount_may_reach_one_but_not_exceed_it(feed, post, now, expiry):
    post(slices=[slice_update(now, expiry, discount=WAD)])
    assert feed.slice(1, expiry, 0).discount == WAD
    with reverts_with("DiscountAboveOne", underlying=1, expiry=expiry, discount=WAD + 1):
        post(slices=[slice_update(now, expiry, discount=WAD + 1)])


def test_time_ahead_of_the_block_reverts(post, now, expiry, chain):
    later = now + 100
    for parts in (
        {"spots": [spot_update(later + 1)]},
        {"slices": [slice_update(later + 1, expiry)]},
        {"rates": [rate_update(later + 1)]},
    ):
        with chain.isolate():
            chain.pending_timestamp = later
            with reverts_with("TimestampAhead", timestamp=later + 1, blockTimestamp=later):
                post(**parts)


def test_time_may_stand_still_but_not_run_backwards(post, now, expiry):
    post([spot_update(now)], [slice_update(now, expiry)], [rate_update(now)])
    post([spot_update(now)], [slice_update(now, expiry)], [rate_update(now)])
    for parts in (
        {"spots": [spot_update(now - 1)]},
        {"slices": [slice_update(now - 1, expiry)]},
        {"rates": [rate_update(now - 1)]},
    ):
        with reverts_with("TimestampBackwards", timestamp=now - 1, previous=now):
            post(**parts)
    # Another underlying, expiry or asset has a clock of its own.
    post(
        [spot_update(now - 1, underlying=2)],
        [slice_update(now - 1, expiry + HOUR)],
        [rate_update(now - 1, asset=2)],
    )


def test_slice_must_lie_before_its_expiry(post, now):
    post(slices=[slice_update(now - 1, now)])
    with reverts_with("SliceExpired", underlying=1, expiry=now, timestamp=now):
        post(slices=[slice_update(now, now)])


@pytest.mark.parametrize(
    "svi",
    [
        smiles.pack(-0.5, 0.1, 0, 0, 0.2),  # variance below zero
        smiles.pack(0.01, 0.1, 1, 0, 0.2),  # a wing without slope
        smiles.pack(0.01, 0.1, 0, 0, 0),  # a kink
        smiles.pack(0.01, 1.6, 0.3, 0, 0.2),  # a wing steeper than 2
    ],
)
def test_slice_that_is_no_smile_reverts(post, now, expiry, svi):
    with reverts_with("InvalidSlice", svi=svi):
        post(slices=[slice_update(now, expiry, svi=svi)])


def test_slice_with_butterfly_arbitrage_reverts(post, now, expiry, feed, actors):
    # Axel Vogt's example, in Gatheral and Jacquier (2014), section 5.2.
    vogt = slice_update(now, expiry, svi=smiles.pack(-0.0410, 0.1331, 0.3060, 0.3586, 0.4153))
    with pytest.raises(TransactionError) as failure:
        feed.post.call([], [vogt], [], [], sender=actors.poster)
    selector = keccak(text="ButterflyArbitrage(uint256,int256,int256)")[:4]
    error = revert_data(failure.value)
    assert error[:4] == selector
    svi, _, density = decode(["uint256", "int256", "int256"], error[4:])
    assert svi == vogt["svi"]
    assert density < 0


def test_slices_posted_together_must_not_cross(feed, post, now, expiry):
    near = slice_update(now, expiry, svi=SVI)
    far = slice_update(now, expiry + HOUR, svi=FAR_SVI)
    post(slices=[near, far])
    # The far slice is the lower one everywhere: the first point looked at is its m.
    crossed = [near | {"svi": FAR_SVI}, far | {"svi": SVI}]
    with reverts_with("CalendarArbitrage", near=FAR_SVI, far=SVI, kX64=M_X64):
        post(slices=crossed)
    post(slices=[crossed[0], crossed[1] | {"underlying": 2}])


def test_slices_of_one_underlying_come_by_expiry(post, now, expiry):
    near, far = slice_update(now, expiry), slice_update(now, expiry + HOUR)
    for slices in ([far, near], [near, near]):
        previous = slices[0]["expiry"]
        with reverts_with("SlicesNotAscending", underlying=1, expiry=expiry, previous=previous):
            post(slices=slices)


def test_settlement_price_is_final_and_not_before_expiry(feed, post, now, chain):
    expiry = now + 1_000
    for early in (expiry, 0):
        with chain.isolate():
            chain.pending_timestamp = expiry - 1
            with reverts_with(
                "SettlementTooEarly", underlying=1, expiry=early, blockTimestamp=expiry - 1
            ):
                post(settlements=[(1, early, WAD)])
    chain.pending_timestamp = expiry
    post(settlements=[(1, expiry, WAD)])
    with reverts_with("SettlementFinal", underlying=1, expiry=expiry, price=WAD, proposed=2 * WAD):
        post(settlements=[(1, expiry, 2 * WAD)])
    assert feed.settlementPrice(1, expiry) == WAD


def test_ids_are_numbered_from_one(post, now, expiry):
    for parts in (
        {"spots": [spot_update(now, underlying=0)]},
        {"slices": [slice_update(now, expiry, underlying=0)]},
        {"rates": [rate_update(now, asset=0)]},
        {"settlements": [(0, now, WAD)]},
    ):
        with reverts_with("InvalidId"):
            post(**parts)


def test_one_wrong_update_undoes_the_whole_post(feed, post, now, expiry):
    with reverts_with("DiscountAboveOne", underlying=1, expiry=expiry, discount=2 * WAD):
        post([spot_update(now)], [slice_update(now, expiry, discount=2 * WAD)])
    with reverts_with("MissingPrice", underlying=1, expiry=0):
        feed.spot(1)


@pytest.mark.parametrize("who", ["governor", "guardian", "treasurer", "admin", "outsider"])
def test_posting_is_the_posters_alone(post, actors, now, who):
    caller = getattr(actors, who)
    with reverts_with("AccessManagedUnauthorized", caller=caller):
        post([spot_update(now)], sender=caller)


def test_a_large_market_is_cheap_to_read(feed, post, poster_of_many, now, expiry, chain):
    expiries = [expiry + i * HOUR for i in range(4)]
    underlyings = range(1, 9)
    for u in underlyings:
        slices = [slice_update(now, e, underlying=u) for e in expiries]
        post([spot_update(now, underlying=u)], slices)
    calls = [feed.spot.encode_input(u) for u in underlyings]
    calls += [feed.slice.encode_input(u, e, 0) for u in underlyings for e in expiries]
    # More than a contract pays that reads in a loop: this includes the transaction's own costs.
    data = poster_of_many.tryMany.encode_input(feed, calls).to_0x_hex()
    transaction = {"to": poster_of_many.address, "data": data, "gas": hex(10**7)}
    gas = int(chain.provider.make_request("eth_estimateGas", [transaction]), 16)
    assert gas < READ_GAS_LIMIT
