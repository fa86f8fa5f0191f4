"""Arithmetic of auctions, slices, windows and the waterfall: by hand, and whatever is drawn."""

from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from reference_model import cases
from reference_model.exact import (
    auction,
    deleveraging,
    instrument,
    position,
    risk_model,
    sale,
    waterfall,
)
from reference_model.exact import windows as limits
from reference_model.exact.fixed_point import mul_down, mul_up
from reference_model.types import (
    WAD,
    AccountStatus,
    Assessment,
    AuctionParameters,
    Health,
    Window,
)

RULES = AuctionParameters(
    opening_discount=2 * WAD // 100,
    cusp_discount=3 * WAD // 10,
    fast_seconds=600,
    slow_seconds=7_200,
    buffer=WAD // 10,
    dust_margin=50 * WAD,
    reward_rate=2 * WAD // 100,
    reward_cap=500 * WAD,
    insolvency_bonus=WAD // 2,
    last_step=0,
    max_socialised_share=WAD // 4,
    max_deleverage_share=WAD // 4,
)
NOW = 1_800_000_000
FAR = NOW + 10**6
amounts = st.integers(0, 10**27)
fractions = st.integers(1, WAD)


def assessment(equity: int, maintenance: int, initial: int, initial_equity=None) -> Assessment:
    """Return USD as an assessment."""
    found = equity if initial_equity is None else initial_equity
    return Assessment(equity, found, found, maintenance, initial, NOW)


@st.composite
def below_maintenance(draw) -> Assessment:
    """Draw an account that is for sale."""
    initial = draw(st.integers(1, 10**27))
    maintenance = draw(st.integers(1, initial))
    equity = draw(st.integers(-maintenance, maintenance - 1))
    return assessment(equity, maintenance, initial, draw(st.integers(equity - initial, equity)))


@pytest.mark.parametrize(
    ("health", "in_auction", "expected"),
    [
        (Health.HEALTHY, False, AccountStatus.HEALTHY),
        (Health.HEALTHY, True, AccountStatus.RECOVERING),
        (Health.MARGIN_CALL, False, AccountStatus.MARGIN_CALL),
        (Health.MARGIN_CALL, True, AccountStatus.RECOVERING),
        (Health.LIQUIDATABLE, False, AccountStatus.LIQUIDATABLE),
        (Health.LIQUIDATABLE, True, AccountStatus.IN_AUCTION),
        (Health.INSOLVENT, False, AccountStatus.INSOLVENT),
        (Health.INSOLVENT, True, AccountStatus.INSOLVENT),
    ],
)
def test_status_is_health_and_whether_it_is_for_sale(health, in_auction, expected):
    assert auction.status(health, in_auction) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, 0.02),
        (300, 0.16),
        (599, 0.02 + 0.28 * 599 / 600),
        (600, 0.3),
        (4_200, 0.65),
        (7_800, 1),
        (10**9, 1),
    ],
)
def test_the_discount_rises_fast_to_the_cusp_and_slowly_to_all(seconds, expected):
    assert auction.discount(seconds, RULES) == pytest.approx(expected * WAD, abs=1, rel=1e-15)


def test_a_clock_that_was_set_back_counts_no_time():
    assert auction.elapsed(auction.Clock(1_000), 999) == 0
    assert auction.elapsed(auction.Clock(1_000), 1_007) == 7


SOUND, FALLEN, BROKE = (assessment(equity, 1_000, 1_250) for equity in (1_000, 999, -1))


def test_the_clock_of_an_auction_stands_while_the_account_is_recovering():
    clock = auction.started(FALLEN, 1_000)
    clock = auction.recorded(clock, FALLEN, 1_100)
    assert clock == (1_000, 0, False)
    paused = auction.recorded(clock, SOUND, 1_200)
    assert paused == auction.recorded(paused, SOUND, 1_300) == (1_000, 1_200, False)
    assert auction.elapsed(paused, 5_000) == 200
    fallen = auction.recorded(paused, FALLEN, 1_500)
    assert fallen == (1_300, 0, False)
    assert auction.elapsed(fallen, 1_500) == 200
    assert auction.recorded(paused, FALLEN, 1_100) == (1_000, 0, False)


def test_insolvency_starts_the_clock_again_once():
    assert auction.started(BROKE, 1_000) == (1_000, 0, True)
    clock = auction.recorded(auction.started(FALLEN, 1_000), BROKE, 1_400)
    assert clock == (1_400, 0, True)
    assert auction.recorded(clock, BROKE, 1_900) == clock
    paused = auction.recorded(clock, SOUND, 2_000)
    assert auction.recorded(paused, BROKE, 2_100) == (1_500, 0, True)


def test_an_auction_of_a_solvent_account_lapses():
    assert not auction.has_lapsed(FALLEN, 7_799, RULES)
    assert auction.has_lapsed(FALLEN, 7_800, RULES)
    assert not auction.has_lapsed(BROKE, 7_800, RULES)


@pytest.mark.parametrize(
    ("equity", "discount", "expected"),
    [
        (900, 0.02, 880),
        (900, 0.3, 600),
        (900, 1, 0),
        (0, 0, 0),
        (-100, 0.02, -12),
        (-100, 1, -600),
    ],
)
def test_a_sound_portfolio_never_costs_less_than_nothing(equity, discount, expected):
    seen = assessment(equity * WAD, 1_000 * WAD, 1_250 * WAD)
    assert auction.price(seen, round(discount * 100) * WAD // 100, RULES) == expected * WAD


@pytest.mark.parametrize(
    ("equity", "margin", "expected"),
    [(900, 1_000, 20), (90_000, 100_000, 500), (500, 1_000, 20), (499, 1_000, 0), (-1, 1_000, 0)],
)
def test_the_reward_is_within_rate_and_cap_while_half_the_margin_is_there(equity, margin, expected):
    seen = assessment(equity * WAD, margin * WAD, margin * WAD)
    assert auction.reward(seen, RULES) == expected * WAD


@given(below_maintenance(), st.integers(0, 10_000))
def test_the_restoring_fraction_restores_and_no_smaller_one_does(seen, seconds):
    rules = RULES._replace(dust_margin=0)
    price = auction.price(seen, auction.discount(seconds, rules), rules)
    fraction = auction.restoring_fraction(seen, price, rules)
    assert 0 < fraction <= WAD
    if price > 0:

        def lacks(f):
            """Return what initial equity after selling f lacks of the buffered margin, 1e-36."""
            needed = auction.buffered(seen, rules) - seen.initial_equity
            return needed * (WAD - f) - price * f

        assert lacks(fraction) <= 0
        assert lacks(fraction - 1) > 0


@given(below_maintenance(), st.integers(0, 10_000), fractions, fractions)
def test_no_bid_leaves_dust_that_may_take_all(seen, seconds, wanted, window):
    price = auction.price(seen, auction.discount(seconds, RULES), RULES)
    restore = auction.restoring_fraction(seen, price, RULES)
    largest = min(restore, window)
    sold = auction.sold_fraction(wanted, restore, largest, seen, RULES)
    assert 0 < sold <= largest
    if largest == WAD and sold < WAD:
        assert mul_down(WAD - sold, seen.maintenance_margin) >= RULES.dust_margin


@given(below_maintenance(), st.integers(0, 10_000), fractions)
def test_owner_and_bidder_of_a_sound_account_gain_nothing_together(seen, seconds, fraction):
    assume(seen.equity >= 0)
    price = auction.price(seen, auction.discount(seconds, RULES), RULES)
    assert 0 <= price <= seen.equity
    paid = mul_up(price, fraction)
    owner = seen.equity - sale.part(seen.equity, fraction) + paid
    bidder = sale.part(seen.equity, fraction) - paid
    assert owner + bidder == seen.equity


def test_an_auction_ends_restored_or_sound_and_run_out():
    sound = assessment(1_000 * WAD, 1_000 * WAD, 1_250 * WAD)
    assert not auction.may_end(sound, 7_799, RULES)
    assert auction.may_end(sound, 7_800, RULES)
    assert not auction.may_end(sound._replace(equity=1_000 * WAD - 1), 7_800, RULES)
    restored = sound._replace(initial_equity=1_375 * WAD)
    assert auction.may_end(restored, 0, RULES)
    almost = restored._replace(initial_equity=1_375 * WAD - 1)
    assert not auction.may_end(almost, 0, RULES)


@pytest.mark.parametrize(("x", "expected"), [(7, 3), (-7, -3), (0, 0), (1, 0)])
def test_a_part_is_cut_off_towards_zero(x, expected):
    assert sale.part(x, WAD // 2) == expected


PERPETUAL, OTHER = instrument.perpetual(1), instrument.perpetual(2)
CALL, PUT = (instrument.option(1, FAR, 10**13, is_put) for is_put in (False, True))
sizes = st.integers(-(10**24), 10**24)
books = st.dictionaries(
    st.sampled_from([PERPETUAL, OTHER, CALL, PUT]), st.tuples(sizes, sizes), max_size=4
).map(
    lambda book: tuple(
        s for s in (position.pack(i, *pair) for i, pair in book.items()) if not position.is_empty(s)
    )
)


@given(books, books, fractions)
def test_a_slice_passes_every_unit_from_one_to_the_other(sold, bidder, fraction):
    after = sale.transfer(sold, bidder, fraction)
    for measure in (position.size, position.quote):
        for i in (PERPETUAL, OTHER, CALL, PUT):
            before = sum(measure(s) for s in sold + bidder if position.instrument(s) == i)
            there = after.kept + after.received
            assert sum(measure(s) for s in there if position.instrument(s) == i) == before
    for slots in after.kept, after.received:
        assert not any(position.is_empty(slot) for slot in slots)
        assert len({position.instrument(slot) for slot in slots}) == len(slots)
    for u in (1, 2):
        gross = [
            sum(abs(position.size(s)) for s in slots if position.instrument(s) >> 120 == u)
            for slots in (sold + bidder, after.kept + after.received)
        ]
        assert gross[0] - gross[1] == after.netted.get(u, 0) >= 0
    if fraction == WAD:
        assert after.kept == ()


def least_cash_of_a_copy(seen, sold_cash, fraction):
    """Least cash with which a copy counts as healthy."""
    margin = mul_up(fraction, seen.initial_margin)
    wanted = margin + (margin >> 20) + auction.COPY_SLACK
    return max(
        wanted - mul_down(seen.initial_equity - sold_cash, fraction),
        -mul_down(seen.collateral_equity - sold_cash, fraction),
    )


@pytest.mark.parametrize("whole", [False, True])
def test_whoever_counts_as_a_healthy_copy_is_healthy(whole):
    """Random books in random markets, in which no interval is wider than the index."""
    rng, closest = Random(8), 2**200
    for _ in range(60):
        market, books = cases.random_case(rng, 10)
        if any(spot.confidence > spot.index for spot in market.spots):
            continue
        for sold in books:
            if not whole:
                sold = sold._replace(collateral=())
            fraction = WAD if whole else rng.choice((rng.randint(1, WAD), WAD - 1, WAD // 2))
            seen = risk_model.assess(sold, market)
            cash = least_cash_of_a_copy(seen, sold.cash, fraction)
            assert auction.is_copy_healthy(seen, sold.cash, cash, fraction)
            assert not auction.is_copy_healthy(seen, sold.cash, cash - 1, fraction)
            positions = sale.transfer(list(sold.positions), [], fraction).received
            copy = sold._replace(cash=cash, positions=tuple(positions), margin_mode=0)
            found = risk_model.assess(copy, market)
            assert found.collateral_equity >= 0
            free = found.initial_equity - found.initial_margin
            assert free >= -(found.initial_margin >> 30)
            closest = min(closest, free)
    assert closest < 2 * auction.COPY_SLACK


def test_the_volume_of_a_hedge_is_small():
    book = [
        position.pack(PERPETUAL, -5 * WAD, 0),
        position.pack(CALL, 5 * WAD),
        position.pack(PUT, -2 * WAD),
        position.pack(OTHER, 3 * WAD, 0),
    ]
    assert limits.volumes(book, [], NOW) == {1: 3 * WAD, 2: 3 * WAD}
    assert limits.volumes(book, [(1, 5 * WAD), (3, 2 * WAD)], NOW) == {
        1: 5 * WAD,
        2: 3 * WAD,
        3: 2 * WAD,
    }


def test_what_has_expired_and_what_cancels_has_no_volume():
    book = [position.pack(CALL, WAD), position.pack(OTHER, 2 * WAD, 0)]
    assert limits.volumes(book, [(2, 0)], FAR) == {2: 2 * WAD}
    assert limits.volumes(book[1:], [], FAR) == {2: 2 * WAD}
    assert limits.volumes([position.pack(OTHER, -WAD, 7)], [(2, WAD)], NOW) == {}


def test_a_window_leaks_its_capacity_in_its_period():
    window = Window(3_600 * WAD, 3_600)
    stored = limits.Level(100 * WAD, 1_000)
    assert limits.level_at(stored, window, 1_001) == 99 * WAD
    assert limits.level_at(stored, window, 1_100) == 0
    assert limits.level_at(stored, window, 999) == 100 * WAD
    assert limits.fraction(7_200 * WAD, 0, 3_600 * WAD) == WAD // 2
    assert limits.fraction(WAD, 5, 4) == 0
    assert limits.filled(3, 4, WAD, 6) == 6
    assert limits.filled(3, 4, WAD // 2 + 1, 7) == 6


@given(
    st.integers(1, 10**27),
    st.integers(1, 604_800),
    st.lists(st.tuples(st.integers(0, 10**5), st.integers(1, 10**27), fractions), max_size=30),
)
def test_forced_volume_in_any_time_is_bounded(capacity, period, bids):
    window, stored, now, sold = Window(capacity, period), limits.Level(0, 0), 0, []
    for wait, volume, wanted in bids:
        now += wait
        level = limits.level_at(stored, window, now)
        fraction = min(wanted, limits.fraction(volume, level, capacity))
        if fraction:
            stored = limits.Level(limits.filled(level, volume, fraction, capacity), now)
            assert stored.level <= capacity
            sold.append((now, volume * fraction))
    for i, (start, _) in enumerate(sold):
        for j in range(i, len(sold)):
            interval = sold[j][0] - start
            forced = sum(units for _, units in sold[i : j + 1])
            # What leaks is rounded Down once a bid.
            assert forced * period <= (capacity * (period + interval) + period) * WAD


@given(
    st.integers(0, 10**30),
    st.integers(1, 10**30),
    st.integers(10**12, 2**88),
    st.integers(0, WAD // 2),
)
def test_socialising_takes_at_least_the_loss_and_no_more_than_a_share(rest, base, index, most):
    loss = waterfall.socialise(rest, base, index, most)
    assert loss.amount == min(rest, mul_down(most, base))
    kept = base * loss.supply_index // index
    assert 0 <= base - loss.amount - kept <= base // index + 1


@pytest.mark.parametrize(("base", "index"), [(0, WAD), (-5, WAD), (10**20, 10**12 - 1)])
def test_nothing_is_socialised_where_there_is_nothing(base, index):
    assert waterfall.socialise(WAD, base, index, WAD // 2) == (0, index)


def test_what_was_taken_is_forgotten_in_a_week():
    assert waterfall.share_taken(WAD // 8, 0, WAD // 4) == WAD // 8
    assert waterfall.share_taken(WAD // 8, 604_800 // 4, WAD // 4) == WAD // 16
    assert waterfall.share_taken(WAD // 8, 604_800 // 2, WAD // 4) == 0


@given(st.integers(0, 10**30), st.lists(st.integers(0, 10**27), min_size=1, max_size=20))
def test_parts_add_up_to_the_total(total, weights):
    assume(sum(weights))
    parts = deleveraging.split(total, weights)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part * sum(weights) - total * weight) < sum(weights)


def test_nobody_loses_more_than_the_opposite_position():
    weights = [3, 0, 10**20, 1]
    closed = deleveraging.closed_size(-(10**30), sum(weights), WAD)
    assert deleveraging.split(closed, weights) == weights


@given(st.integers(1, 10**27), st.integers(1, 10**24), fractions, st.integers(1, 10**24), st.data())
def test_the_last_position_closed_takes_the_whole_deficit(deficit, size, part, index, data):
    others = data.draw(st.integers(0, 10**48))
    closed = sale.part(size, part)
    taken = deleveraging.haircut(deficit, closed, size, index, others)
    assert 0 <= taken <= deficit
    assert deleveraging.haircut(deficit, size, size, index, 0) == deficit


def test_only_profit_never_paid_in_is_given():
    assert deleveraging.unpaid_profit(100, 1, 3) == 33
    assert deleveraging.unpaid_profit(-100, 3, 3) == 0


def test_a_counterparty_is_hurt_by_more_requirement_alone_or_for_its_equity():
    before = assessment(100, 50, 60)
    assert not deleveraging.hurts(before, assessment(50, 25, 30))
    assert deleveraging.hurts(before, assessment(49, 25, 30))
    assert deleveraging.hurts(before, assessment(200, 51, 60))
    assert not deleveraging.hurts(before, assessment(100, 50, 70))
