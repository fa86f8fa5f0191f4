"""Posting slices: who may, what is refused with which error, and what views say in between."""

import pytest
from ape.exceptions import TransactionError
from eth_abi import decode
from oracle.hub_world import BTC, DAY, FIRST_PRICE, HOUR, WAD
from reverts import revert_data, reverts_with

from reference_model.exact import svi as slices
from reference_model.exact.surface_checks import decayed

MAX_EXPIRIES = 16
RATIO, DISCOUNT = 101 * WAD // 100, 99 * WAD // 100


def smile(level=1.0, slope=1.0):
    """Return a slice whose variance is `level` times that of the others."""
    return slices.pack(0.01 * level, 0.1 * level * slope, -0.3, 0.02, 0.2)


# Where slices that differ in level alone are compared first: their m.
M_X64 = slices.check_point(smile(), 0)


def name(text):
    return text.encode().ljust(32, b"\0")


class Poster:
    """Posts surfaces at times it is told."""

    def __init__(self, world):
        self.world, self.hub = world, world.hub
        self.start = world.start
        self.expiries = [self.start + days * DAY for days in (1, 7, 30, 90)]

    def report(self, *expiries, at, svis=None, ratios=None, discounts=None, underlying=BTC):
        count = len(expiries)
        svis = svis or [smile((e - self.start) / DAY / 30) for e in expiries]
        return {
            "underlying": underlying,
            "expiries": list(expiries),
            "forwardRatios": ratios or [RATIO] * count,
            "discounts": discounts or [DISCOUNT] * count,
            "svis": svis,
            "timestamp": at,
        }

    def post(self, *expiries, at, seen=None, sender=None, **changes):
        """Post in a block of the time `at`, as seen then or at another time."""
        report = self.report(*expiries, at=at if seen is None else seen, **changes)
        self.world.next_block(at - self.world.now)
        return self.hub.postSurface(report, sender=sender or self.world.actors.poster)

    def slice(self, expiry, index=FIRST_PRICE, underlying=BTC):
        return tuple(self.hub.slice(underlying, expiry, index))


@pytest.fixture
def poster(world):
    world.observed()
    return Poster(world)


def test_a_surface_is_posted_and_read(poster, hub, world):
    at = poster.start + 60
    receipt = poster.post(*poster.expiries, at=at)
    logs = receipt.decode_logs(hub.SlicePosted)
    assert [log.expiry for log in logs] == poster.expiries
    svis = poster.report(*poster.expiries, at=at)["svis"]
    assert [list(log.event_arguments.values())[2:] for log in logs] == [
        [RATIO, DISCOUNT, svi, at] for svi in svis
    ]
    assert list(hub.liveExpiries(BTC)) == poster.expiries
    for expiry, svi in zip(poster.expiries, svis, strict=True):
        assert poster.slice(expiry) == (FIRST_PRICE * 101 // 100, DISCOUNT, svi, at)


def test_between_reports_forwards_follow_the_index_and_variance_the_time(poster, world):
    at, expiry = poster.start + 60, poster.start + DAY
    poster.post(expiry, at=at)
    (svi,) = poster.report(expiry, at=at)["svis"]
    for later in (at + 1, at + 5 * HOUR, expiry - 1):
        world.move_to(later)
        index = FIRST_PRICE * 3 + later
        forward = index * RATIO // WAD
        expected = forward, DISCOUNT, decayed(svi, at, expiry, later), at
        assert poster.slice(expiry, index) == expected
    for later in (expiry, expiry + DAY):
        world.move_to(later)
        with reverts_with("MissingPrice", underlying=BTC, expiry=expiry):
            poster.slice(expiry)
    assert list(poster.hub.liveExpiries(BTC)) == []


def test_a_slice_that_was_never_posted_is_missing(poster):
    with reverts_with("MissingPrice", underlying=BTC, expiry=7):
        poster.slice(7)


def test_a_snapshot_holds_every_live_slice(poster, hub, world):
    poster.post(*poster.expiries, at=poster.start + 60)
    world.say(*[FIRST_PRICE + 7] * 3)
    for later, live in ((poster.start + HOUR, 4), (poster.expiries[0], 3), (poster.expiries[2], 1)):
        world.move_to(later)
        (market,) = hub.snapshot([BTC])
        spot = hub.spot(BTC)
        assert tuple(market)[:5] == tuple(spot)
        assert [s.expiry for s in market.slices] == poster.expiries[4 - live :]
        for s in market.slices:
            assert tuple(s)[1:] == poster.slice(s.expiry, spot.index)


def test_only_the_poster_posts_by_role(poster, world):
    for who in ("admin", "governor", "guardian", "treasurer", "outsider"):
        caller = getattr(world.actors, who)
        with reverts_with("AccessManagedUnauthorized", caller=caller):
            poster.post(poster.expiries[0], at=poster.start + 60, sender=caller)


def test_a_slice_of_an_expiry_nobody_listed_is_refused(poster, hub, world):
    """Whoever posts could once fill all places with them, and no listed expiry found room."""
    at, listed = poster.start + 60, poster.expiries[0]
    for expiry in poster.expiries[1:]:
        world.clock.setListed(BTC, expiry, False, sender=world.actors.admin)
    with reverts_with("ExpiryNotListed", underlying=BTC, expiry=poster.expiries[1]):
        poster.post(*poster.expiries[:2], at=at)
    assert list(hub.liveExpiries(BTC)) == []
    poster.post(listed, at=at)
    assert list(hub.liveExpiries(BTC)) == [listed]


# ------------------------------------------------------------------------------- the whole report


@pytest.mark.parametrize("field", ["forwardRatios", "discounts", "svis", "expiries"])
def test_arrays_of_different_lengths_are_refused(poster, hub, world, field):
    report = poster.report(*poster.expiries, at=poster.start)
    report[field] = report[field][:-1]
    with reverts_with("LengthMismatch"):
        hub.postSurface(report, sender=world.actors.poster)


def test_an_empty_report_is_refused(poster):
    with reverts_with("LengthMismatch"):
        poster.post(at=poster.start + 60)


def test_a_report_is_neither_ahead_nor_old(poster, hub):
    at, expiry = poster.start + 2 * HOUR, poster.expiries[0]
    with reverts_with("TimestampAhead", timestamp=at + 1, blockTimestamp=at):
        poster.post(expiry, at=at, seen=at + 1)
    with reverts_with("TimestampBackwards", timestamp=at + 9 - HOUR, previous=at + 10 - HOUR):
        poster.post(expiry, at=at + 10, seen=at + 9 - HOUR)
    poster.post(expiry, at=at + 20, seen=at + 20 - HOUR)
    assert poster.slice(expiry)[3] == at + 20 - HOUR


def test_a_surface_needs_an_index(poster):
    with reverts_with("MissingPrice", underlying=2, expiry=0):
        poster.post(poster.expiries[0], at=poster.start + 60, underlying=2)


# --------------------------------------------------------------------------------- slice by slice


def test_expiries_ascend(poster):
    one, other = poster.expiries[:2]
    for expiries in ((one, one), (other, one)):
        with reverts_with("SlicesNotAscending", underlying=BTC, expiry=one, previous=expiries[0]):
            poster.post(*expiries, at=poster.start + 60)
    with reverts_with("SlicesNotAscending", underlying=BTC, expiry=0, previous=0):
        poster.post(0, at=poster.start + 120, svis=[smile()])


def test_a_slice_of_an_expiry_that_passed_is_refused(poster):
    now = poster.start + HOUR
    for expiry in (now, now - 1):
        with reverts_with("SliceExpired", underlying=BTC, expiry=expiry, timestamp=now):
            poster.post(expiry, at=now)
        now += 10
    poster.post(now + 1, at=now)


@pytest.mark.parametrize(
    "field, parameter, least, greatest",
    [
        ("ratios", "forwardRatio", WAD // 5, 5 * WAD),
        ("discounts", "discount", WAD // 100, WAD),
    ],
)
def test_ratios_and_discounts_have_ranges(poster, field, parameter, least, greatest):
    at, expiries = poster.start, iter(poster.expiries)
    for value in (least - 1, greatest + 1):
        at += 10
        with reverts_with(
            "ParameterOutOfRange", name=name(parameter), value=value, min=least, max=greatest
        ):
            poster.post(poster.expiries[0], at=at, **{field: [value]})
    for value in (least, greatest):
        at += 10
        poster.post(next(expiries), at=at, **{field: [value]})


def test_a_slice_that_is_no_smile_is_refused(poster):
    broken = slices.pack(0.01, 0.1, 1, 0, 0.2)
    with reverts_with("InvalidSlice", svi=broken):
        poster.post(poster.expiries[0], at=poster.start + 60, svis=[broken])


def test_a_slice_with_butterfly_arbitrage_is_refused(poster):
    # Axel Vogt's example, in Gatheral and Jacquier (2014), section 5.2.
    vogt = slices.pack(-0.0410, 0.1331, 0.3060, 0.3586, 0.4153)
    with pytest.raises(TransactionError) as failure:
        poster.post(poster.expiries[0], at=poster.start + 60, svis=[vogt])
    svi, k, density = decode(["uint256", "int256", "int256"], revert_data(failure.value)[4:])
    assert svi == vogt
    assert density == slices.density_x64(vogt, k) < 0


def test_slices_of_one_expiry_keep_their_distance_in_time(poster, hub, world):
    at, expiry = poster.start + 60, poster.expiries[0]
    poster.post(expiry, at=at)
    with reverts_with("TimestampBackwards", timestamp=at + 59, previous=at + 60):
        poster.post(expiry, at=at + 100, seen=at + 59)
    poster.post(expiry, at=at + 120, seen=at + 60)
    hub.setSurface(BTC, (WAD, WAD, 1_000), sender=world.actors.governor)
    with reverts_with("TimestampBackwards", timestamp=at + 1_059, previous=at + 1_060):
        poster.post(expiry, at=at + 1_059)
    with reverts_with("SliceTooEarly", blockTimestamp=at + 1_119, earliest=at + 1_120):
        poster.post(expiry, at=at + 1_119)
    poster.post(expiry, at=at + 1_120)


def test_a_slice_of_another_expiry_or_underlying_has_a_clock_of_its_own(poster, world):
    world.set_feed(3, feed=2)
    at = poster.start + 60
    poster.post(poster.expiries[0], at=at)
    world.next_block()
    world.hub.observe(2, sender=world.actors.outsider)
    poster.post(poster.expiries[1], at=at + 10)
    poster.post(poster.expiries[0], at=at + 20, underlying=2)
    with reverts_with("MissingPrice", underlying=2, expiry=poster.expiries[1]):
        poster.slice(poster.expiries[1], underlying=2)


# -------------------------------------------------------------------------------- bounded change


@pytest.mark.parametrize(
    "level, allowed",
    [(1.5**2 * 0.9999, True), (1.5**2 * 1.0001, False), (0.2501, True), (0.2499, False)],
)
def test_volatility_moves_by_a_bounded_share(poster, level, allowed):
    """Half up or down; deviation is the root of variance."""
    at, expiry, old, new = poster.start + 60, poster.expiries[2], smile(), smile(level)
    poster.post(expiry, at=at, svis=[old])
    if allowed:
        poster.post(expiry, at=at + 60, svis=[decayed(new, at, expiry, at + 60)])
        return
    old_s, new_s = (slices.total_deviation(decayed(s, at, expiry, at + 60), 0) for s in (old, new))
    with reverts_with(
        "VolMoveTooLarge", underlying=BTC, expiry=expiry, kX64=0, oldX64=old_s, newX64=new_s
    ):
        poster.post(expiry, at=at + 60, svis=[decayed(new, at, expiry, at + 60)])


def test_wings_move_by_a_bounded_share_too(poster, hub, world):
    """Of a slice as high at the money, the first of the other four points that moved is named."""
    hub.setSurface(BTC, (WAD // 100, WAD // 50, 60), sender=world.actors.governor)
    at, expiry = poster.start + 60, poster.expiries[2]
    old = slices.pack(0.04, 0.1, 0, 0, 0.5)
    steeper = slices.pack(0.04, 0.1, -0.2, 0, 0.5)
    poster.post(expiry, at=at, svis=[old])
    then = at + 60
    old_now = decayed(old, at, expiry, then)
    s = slices.total_deviation(old_now, 0)
    old_s, new_s = (slices.total_deviation(each, -s) for each in (old_now, steeper))
    assert abs(slices.total_deviation(steeper, 0) - s) * 100 < s
    with reverts_with(
        "VolMoveTooLarge", underlying=BTC, expiry=expiry, kX64=-s, oldX64=old_s, newX64=new_s
    ):
        poster.post(expiry, at=then, svis=[steeper])


def test_the_new_slice_is_compared_as_it_is_now(poster, hub, world):
    """A report of some age says as much of now as one of now."""
    hub.setSurface(BTC, (WAD // 100, WAD // 50, 1), sender=world.actors.governor)
    at, expiry = poster.start + 60, poster.start + 2 * HOUR
    old = smile()
    poster.post(expiry, at=at, svis=[old])
    # Half the time has passed for the old one: its like, seen an hour ago, has done the same.
    then = at + HOUR
    poster.post(expiry, at=then, seen=at + 1, svis=[decayed(old, at, expiry, at + 1)])
    assert poster.slice(expiry)[3] == at + 1


@pytest.mark.parametrize("side", [1, -1])
def test_forwards_move_by_a_bounded_step(poster, side):
    at, expiry, step = poster.start + 60, poster.expiries[0], WAD // 50
    poster.post(expiry, at=at)
    ratio = RATIO + side * step
    svis = [decayed(poster.report(expiry, at=at)["svis"][0], at, expiry, at + 100)]
    with reverts_with(
        "ForwardMoveTooLarge", underlying=BTC, expiry=expiry, oldRatio=RATIO, newRatio=ratio + side
    ):
        poster.post(expiry, at=at + 100, svis=svis, ratios=[ratio + side])
    poster.post(expiry, at=at + 110, svis=svis, ratios=[ratio])
    assert poster.slice(expiry)[0] == FIRST_PRICE * ratio // WAD


@pytest.mark.parametrize(
    "parameter, position, least, greatest",
    [
        ("maxVolMove", 0, WAD // 100, 10 * WAD),
        ("maxForwardMove", 1, WAD // 10_000, WAD),
        ("minIntervalSeconds", 2, 1, DAY),
    ],
)
def test_limits_of_a_surface_have_ranges(world, hub, parameter, position, least, greatest):
    assert tuple(hub.surfaceParameters(BTC)) == (WAD // 2, WAD // 50, 60)
    limits = [WAD // 2, WAD // 50, 60]
    for value in (least - 1, greatest + 1):
        limits[position] = value
        with reverts_with(
            "ParameterOutOfRange", name=name(parameter), value=value, min=least, max=greatest
        ):
            hub.setSurface(BTC, limits, sender=world.actors.governor)
    for value in (least, greatest):
        limits[position] = value
        old = tuple(hub.surfaceParameters(BTC))
        receipt = hub.setSurface(BTC, limits, sender=world.actors.governor)
        assert tuple(hub.surfaceParameters(BTC)) == tuple(limits)
        (log,) = receipt.decode_logs(hub.SurfaceSet)
        assert (tuple(log.oldParameters), tuple(log.newParameters)) == (old, tuple(limits))


# --------------------------------------------------------------------------------- all of them


def test_sixteen_expiries_are_all_and_those_that_passed_make_room(poster, hub):
    at = poster.start + 60
    expiries = [poster.start + (i + 1) * HOUR for i in range(MAX_EXPIRIES)]
    svis = [smile(1 + i / 50) for i in range(MAX_EXPIRIES)]
    poster.post(*expiries[:8], at=at, svis=svis[:8])
    poster.post(*expiries[8:], at=at + 1, svis=svis[8:])
    assert list(hub.liveExpiries(BTC)) == expiries
    late = poster.start + DAY
    with reverts_with("TooManyExpiries", underlying=BTC, max=MAX_EXPIRIES):
        poster.post(late, at=at + 2, svis=[smile(2)])
    poster.post(late, at=expiries[0], svis=[smile(2)])
    assert list(hub.liveExpiries(BTC)) == [*expiries[1:], late]


def test_posted_slices_must_not_cross_each_other(poster):
    one, other = poster.expiries[:2]
    with reverts_with("CalendarArbitrage", near=smile(2), far=smile(1), kX64=M_X64):
        poster.post(one, other, at=poster.start + 60, svis=[smile(2), smile(1)])


def test_a_posted_slice_must_not_cross_its_live_neighbours(poster, hub, world):
    near, middle, far = poster.expiries[:3]
    at = poster.start + 60
    poster.post(near, far, at=at, svis=[smile(2), smile(4)])
    then = at + 600
    near_now, far_now = decayed(smile(2), at, near, then), decayed(smile(4), at, far, then)
    with reverts_with("CalendarArbitrage", near=near_now, far=smile(1), kX64=M_X64):
        poster.post(middle, at=then, svis=[smile(1)])
    with reverts_with("CalendarArbitrage", near=smile(5), far=far_now, kX64=M_X64):
        poster.post(middle, at=then, svis=[smile(5)])


def test_one_wrong_slice_undoes_the_whole_report(poster, hub):
    one, other = poster.expiries[:2]
    with reverts_with("CalendarArbitrage", near=smile(2), far=smile(1), kX64=M_X64):
        poster.post(one, other, at=poster.start + 60, svis=[smile(2), smile(1)])
    assert list(hub.liveExpiries(BTC)) == []
    with reverts_with("MissingPrice", underlying=BTC, expiry=one):
        poster.slice(one)


# ------------------------------------------------------------------------------------- signatures


def test_whoever_has_the_signatures_posts(poster, hub, world):
    """Signed by two of three; not with one signature, nor for another report."""
    signers = sorted(world.signers, key=lambda account: int(account.address, 16))
    world.appoint_signers(signers, 2)
    report = poster.report(*poster.expiries, at=poster.start)
    digest = world.reports.surfaceDigest(report)
    signatures = [world.sign(account, digest) for account in signers[:2]]
    outsider = world.actors.outsider
    other = report | {"discounts": [DISCOUNT - 1, *report["discounts"][1:]]}
    with reverts_with("InvalidSignatures", digest=digest):
        hub.postSignedSurface(report, signatures[:1], sender=outsider)
    with reverts_with("InvalidSignatures", digest=world.reports.surfaceDigest(other)):
        hub.postSignedSurface(other, signatures, sender=outsider)
    last = poster.expiries[-1]
    world.clock.setListed(BTC, last, False, sender=world.actors.admin)
    with reverts_with("ExpiryNotListed", underlying=BTC, expiry=last):
        hub.postSignedSurface(report, signatures, sender=outsider)
    world.clock.setListed(BTC, last, True, sender=world.actors.admin)
    hub.postSignedSurface(report, signatures, sender=outsider)
    assert list(hub.liveExpiries(BTC)) == poster.expiries
    # The same checks hold as for the poster.
    with reverts_with("TimestampBackwards", timestamp=poster.start, previous=poster.start + 60):
        hub.postSignedSurface(report, signatures, sender=outsider)
