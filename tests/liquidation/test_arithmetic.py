"""The arithmetic of liquidation on the chain against its mirror in integers, in bulk."""

from random import Random

import pytest
from eth_abi import decode

from reference_model.exact import (
    auction,
    deleveraging,
    fixed_point,
    instrument,
    position,
    sale,
    waterfall,
    windows,
)
from reference_model.exact.errors import PositionOverflow
from reference_model.types import WAD, Assessment, AuctionParameters, Window
from tests.math.harness import Chain, Refusal

COUNT = 1_500
NOW = 1_800_000_000
MAX_PRICE = 2**192
FEES, CASH_HELD, INTEREST_POOL, SUPPLY_INDEX = 6, 0, 5, 3
CASH_STATE = "(uint128,uint128,uint88,uint88,uint40,int128,uint128)"


@pytest.fixture(scope="module")
def contract(project, accounts):
    return accounts[0].deploy(project.LiquidationHarness)


@pytest.fixture(scope="module")
def harness(contract):
    return Chain(contract)


@pytest.fixture(scope="module")
def ask(project, accounts, contract):
    """Call a function of the harness with many cases at once: value, or revert data, of each."""
    caller = accounts[0].deploy(project.TryMany)

    def run(name, cases):
        method = getattr(contract, name)
        results = caller.tryMany.call(contract, [method.encode_input(*case) for case in cases])
        return [(result.ok, bytes(result.data)) for result in results]

    return run


@pytest.fixture
def rng():
    return Random(4)


# Drawing --------------------------------------------------------------------------------------


def wide(rng, high, low=0):
    """Draw an integer at an end, by magnitude, or evenly."""
    kind = rng.random()
    if kind < 0.15:
        return rng.choice((low, high))
    if kind < 0.6:
        return min(max(rng.getrandbits(rng.randint(1, max(1, high.bit_length()))), low), high)
    return rng.randint(low, high)


def rules(rng):
    """Draw rules of auctions within their ranges."""
    cusp = wide(rng, WAD)
    return AuctionParameters(
        opening_discount=wide(rng, min(cusp, WAD // 2)),
        cusp_discount=cusp,
        fast_seconds=wide(rng, 86_400, 1),
        slow_seconds=wide(rng, 604_800, 1),
        buffer=wide(rng, WAD),
        dust_margin=wide(rng, 10**6 * WAD),
        reward_rate=wide(rng, WAD // 10),
        reward_cap=wide(rng, 10**6 * WAD),
        insolvency_bonus=wide(rng, WAD),
        last_step=rng.randrange(2),
        max_socialised_share=wide(rng, WAD // 2),
        max_deleverage_share=wide(rng, WAD, WAD // 100),
    )


def assessment(rng, bits=140):
    """Draw an assessment as the risk model makes them: E_IM ≤ E, MM ≤ IM."""
    initial_margin = wide(rng, 2**bits)
    margin = wide(rng, initial_margin)
    around = rng.choice((0, margin, -margin))
    equity = around + rng.choice((-1, 0, 1, wide(rng, 2**bits), -wide(rng, 2**bits)))
    initial_equity = equity - rng.choice((0, wide(rng, 2**bits)))
    return Assessment(equity, initial_equity, initial_equity, margin, initial_margin, NOW)


def elapsed(rng, p):
    """Draw a time at, just before and just after every corner of the discount."""
    corner = rng.choice((0, p.fast_seconds, p.fast_seconds + p.slow_seconds))
    return max(0, corner + rng.choice((-1, 0, 1, rng.randint(-corner, 10**6), 2**40)))


def book(rng, count, reach=2**95 - 1):
    """Draw slots of different instruments of few underlyings, some expired, some mere claims."""
    instruments = set()
    while len(instruments) < count:
        underlying = rng.choice((1, 2, 7, 255))
        expiry = rng.choice((NOW - 1, NOW, NOW + 1, NOW + 10**6, 2**32 - 1))
        strike = rng.randint(1, 12)
        option = instrument.option(underlying, expiry, strike, rng.random() < 0.5)
        linear = instrument.future(underlying, expiry)
        perpetual = instrument.perpetual(underlying)
        instruments.add(rng.choice((option, option, linear, perpetual)))
    slots = [
        position.pack(
            id_,
            rng.choice((-1, 1)) * (wide(rng, reach) or instrument.is_option(id_)),
            rng.choice((-1, 1)) * wide(rng, min(2**111 - 1, reach * 2**16)),
        )
        for id_ in sorted(instruments, key=lambda _: rng.random())
    ]
    return [slot for slot in slots if position.size(slot) or position.quote(slot)]


# Auction --------------------------------------------------------------------------------------


def test_discount_reward_and_end_agree_with_the_model(harness, rng):
    cases = []
    for _ in range(COUNT):
        p = rules(rng)
        cases.append((elapsed(rng, p), p))
    assert harness.disagreements("discountAfter", auction.discount, cases) == []
    assert harness.disagreements("hasRunOut", auction.has_ended, cases) == []

    cases = [(assessment(rng), rules(rng)) for _ in range(COUNT)]
    assert harness.disagreements("reward", auction.reward, cases) == []
    assert 0 < sum(auction.reward(*case) > 0 for case in cases) < COUNT

    cases = [(a, elapsed(rng, p), p) for a, p in cases]
    assert harness.disagreements("hasRecovered", auction.may_end, cases) == []
    assert 0 < sum(auction.may_end(*case) for case in cases) < COUNT


def clock_of(rng, time):
    """Draw a clock as it can be some time after its auction started; active time may run back."""
    started = time - rng.choice((-9, 0, 1, rng.randint(0, 10**6)))
    paused = rng.choice((0, 0, started + rng.randint(0, 10), time - rng.randint(-9, 9)))
    return auction.Clock(started, paused, rng.random() < 0.5)


def test_clock_of_an_auction_agrees_with_the_model(harness, rng):
    time = 10**9

    def recorded(clock, seen, now):
        clock = auction.Clock(*clock[:3])
        return tuple(auction.recorded(clock, seen, now))

    def resumed(clock, seen, now):
        after = auction.recorded(auction.Clock(*clock[:3]), seen, now)
        # Only what records what it finds lets a running clock stand.
        return tuple(after if clock[1] else after._replace(paused_at=0))

    # A deficit is none of the clock's.
    cases = [((*clock_of(rng, time), 7), assessment(rng), time) for _ in range(COUNT)]
    assert harness.disagreements("record", recorded, cases) == []
    assert harness.disagreements("resume", resumed, cases) == []
    assert (
        harness.disagreements(
            "start", lambda _, seen, now: tuple(auction.started(seen, now)), cases
        )
        == []
    )

    def elapsed(clock, now):
        return auction.elapsed(auction.Clock(*clock[:3]), now) if clock[0] else 0

    clocks = [(rng.choice((clock, (0, *clock[1:]))), now) for clock, _, now in cases]
    assert harness.disagreements("elapsed", elapsed, clocks) == []
    assert harness.disagreements("end", lambda _: (0, 0, 0), [(c,) for c, *_ in cases]) == []


def test_price_of_the_whole_agrees_with_the_model(harness, rng):
    cases = [(assessment(rng), wide(rng, WAD), rules(rng)) for _ in range(COUNT)]
    assert harness.disagreements("priceOfWhole", auction.price, cases) == []
    insolvent = [(a, p) for a, _, p in cases if a.equity < 0]
    assert len(insolvent) > COUNT // 10
    assert harness.disagreements("compensation", auction.most_wanted, insolvent) == []


def for_sale(rng):
    """Draw an account below maintenance margin with its rules and price."""
    while True:
        a, p = assessment(rng), rules(rng)
        if auction.is_liquidatable(a):
            return a, auction.price(a, wide(rng, WAD), p), p


def test_slices_for_sale_agree_with_the_model(harness, rng):
    cases = [for_sale(rng) for _ in range(COUNT)]
    assert harness.disagreements("restoringFraction", auction.restoring_fraction, cases) == []
    restoring = [auction.restoring_fraction(*case) for case in cases]
    assert any(0 < f < WAD for f in restoring)
    assert any(f == WAD and price > 0 for f, (_, price, _) in zip(restoring, cases, strict=True))

    def sold(wanted, f, largest, a, p):
        return auction.sold_fraction(wanted, f, largest, a, p)

    cases = [
        (wide(rng, 2**256 - 1), f, rng.choice((f, wide(rng, f))), a, p)
        for f, (a, _, p) in zip(restoring, cases, strict=True)
    ]
    for _ in range(COUNT // 5):
        # What is left is dust, or just not.
        a, p, wanted = assessment(rng, bits=79), rules(rng), wide(rng, WAD)
        left = fixed_point.mul_down(WAD - wanted, a.maintenance_margin)
        p = p._replace(dust_margin=left + rng.randrange(2))
        cases.append((wanted, WAD, WAD, a, p))
    assert harness.disagreements("soldFraction", sold, cases) == []


def test_nothing_is_for_sale_at_or_above_maintenance_margin(harness, rng):
    cases = []
    for _ in range(COUNT):
        a, p = assessment(rng), rules(rng)
        sound = a._replace(equity=a.maintenance_margin + rng.choice((0, 1, wide(rng, 2**100))))
        cases.append((sound, auction.price(sound, wide(rng, WAD), p), p))
    assert all(auction.restoring_fraction(*case) == 0 for case in cases)
    assert harness.disagreements("restoringFraction", lambda *_: 0, cases) == []


def test_windows_bind_nobody_whose_solvency_they_could_cost(harness, rng):
    cases = [(assessment(rng), wide(rng, WAD), wide(rng, WAD)) for _ in range(COUNT)]
    assert harness.disagreements("largestFraction", auction.largest_fraction, cases) == []
    assert 0 < sum(auction.is_deep(a) for a, *_ in cases) < COUNT


def test_what_tells_that_a_copy_is_healthy_agrees_with_the_model(harness, rng):
    cases, answers = [], []
    for _ in range(COUNT):
        a, fraction = assessment(rng), wide(rng, WAD)
        # Profit that counts as initial equity is no money.
        profit = rng.choice((0, wide(rng, 2**140)))
        a = a._replace(collateral_equity=a.initial_equity - profit)
        sold_cash = rng.choice((-1, 1)) * wide(rng, 2**103)
        # The least cash that does, and one unit less.
        least = -(2**200)
        for bit in reversed(range(202)):
            if not auction.is_copy_healthy(a, sold_cash, least + (1 << bit) - 1, fraction):
                least += 1 << bit
        cases += [(a, sold_cash, least - below, fraction) for below in (0, 1)]
        answers += [True, False]
    assert [auction.is_copy_healthy(*case) for case in cases] == answers
    assert harness.disagreements("isCopyHealthy", auction.is_copy_healthy, cases) == []


def test_price_of_a_slice_rounds_against_the_bidder(harness, rng):
    prices = [rng.choice((-1, 1)) * wide(rng, 2**190) for _ in range(COUNT)]
    cases = [(price, wide(rng, WAD)) for price in prices]

    def price_of_slice(price, fraction):
        product = abs(price) * fraction
        return -(product // WAD) if price < 0 else -(-product // WAD)

    assert harness.disagreements("priceOfSlice", price_of_slice, cases) == []

    limits = [2**255 - 1, -(2**255), MAX_PRICE, -MAX_PRICE, MAX_PRICE + 1, -MAX_PRICE - 1]
    cases += [(limit, fraction) for limit in limits for fraction in (1, WAD // 3, WAD)]

    def limit_of_slice(price, fraction):
        return price_of_slice(max(-MAX_PRICE, min(MAX_PRICE, price)), fraction)

    assert harness.disagreements("limitOfSlice", limit_of_slice, cases) == []


# Windows --------------------------------------------------------------------------------------


def as_words(values):
    """Return amounts by id as the words the contracts pack them in."""
    return [id_ << 248 | value for id_, value in values.items()]


def test_volumes_agree_with_the_model(ask, rng):
    cases, expected = [], []
    for _ in range(300):
        slots = book(rng, rng.randint(0, 40), rng.choice((3, 2**95 - 1)))
        balances = [(rng.choice((0, 1, 2, 9)), wide(rng, 2**127)) for _ in range(rng.randint(0, 4))]
        words = [asset + 1 << 248 | balance for asset, (_, balance) in enumerate(balances)]
        cases.append((slots, words, [u for u, _ in balances], NOW))
        followed = [(u, balance) for u, balance in balances if u]
        expected.append(as_words(windows.volumes(slots, followed, NOW)))
    results = [list(decode(["uint256[]"], data)[0]) for _, data in ask("volumesOf", cases)]
    assert results == expected
    assert any(expected) and [] in expected


def test_a_hedged_book_has_hardly_any_volume(contract):
    """A call bought, a put sold and a future against them: no delta at either end."""
    expiry = NOW + 86_400
    slots = [
        position.pack(instrument.option(1, expiry, 10**12, False), 5 * WAD, 0),
        position.pack(instrument.option(1, expiry, 10**12, True), -5 * WAD, 0),
        position.pack(instrument.future(1, expiry), -5 * WAD, 0),
    ]
    assert contract.volumesOf(slots, [], [], NOW) == []
    assert contract.volumesOf(slots[:2], [], [], NOW) == [1 << 248 | 5 * WAD]
    collateral = [1 << 248 | 5 * WAD]
    assert contract.volumesOf(slots[2:], collateral, [1], NOW) == []
    assert contract.volumesOf(slots, collateral, [0], NOW) == []
    assert contract.volumesOf(slots, [], [], expiry) == []


def test_levels_agree_with_the_model(harness, rng):
    cases = [
        (
            wide(rng, 2**96 - 1),
            wide(rng, 2**40),
            Window(rng.choice((0, wide(rng, 2**96 - 1))), wide(rng, 604_800, 1)),
        )
        for _ in range(COUNT)
    ]
    cases.append((7, 10, Window()))

    def level(stored, seconds, window):
        return windows.level_at(windows.Level(stored, NOW), window, NOW + seconds)

    assert harness.disagreements("levelAfter", level, cases) == []


def test_room_and_filling_agree_with_the_model(harness, rng):
    cases = []
    for _ in range(COUNT):
        capacity = wide(rng, 2**96 - 1, 1)
        level = rng.choice((wide(rng, 2**96 - 1), capacity, capacity - 1))
        cases.append((capacity, level, wide(rng, 2**132, 1)))

    def fraction(capacity, level, volume):
        return windows.fraction(volume, level, capacity)

    assert harness.disagreements("fractionFor", fraction, cases) == []

    def filled(capacity, level, volume, sold):
        return windows.filled(level, volume, sold, capacity)

    cases = [(*case, wide(rng, WAD)) for case in cases]
    assert harness.disagreements("filled", filled, cases) == []


# Slices ---------------------------------------------------------------------------------------


def test_parts_agree_with_the_model(harness, rng):
    cases = [(rng.choice((-1, 1)) * wide(rng, 2**190), wide(rng, WAD)) for _ in range(COUNT)]
    assert harness.disagreements("part", sale.part, cases) == []
    cases = [(abs(amount), fraction) for amount, fraction in cases]
    assert harness.disagreements("partUnsigned", sale.part, cases) == []


def overlapping(rng, slots, count):
    """Draw slots of another account, some in the same instruments, some of opposite size."""
    others = {position.instrument(slot): slot for slot in book(rng, count, 2 ** rng.randint(1, 94))}
    for slot in rng.sample(slots, len(slots) // 2):
        id_, sign = position.instrument(slot), rng.choice((-1, 1))
        size, quote = sign * position.size(slot), sign * position.quote(slot)
        others[id_] = position.pack(id_, size, quote)
    return rng.sample(list(others.values()), len(others))


def moved(sold, bidder, fraction):
    """Return what the model makes of a slice, or the error it ends in."""
    try:
        return sale.transfer(tuple(sold), tuple(bidder), fraction)
    except PositionOverflow as error:
        return Refusal("PositionOverflow(uint128,int256)", error.args)


def test_moved_positions_agree_with_the_model(ask, rng):
    cases = []
    for _ in range(250):
        slots = book(rng, rng.randint(0, 24), rng.choice((5, 2**94, 2**95 - 1)))
        # Many a bidder has nothing but cash.
        bidder = overlapping(rng, slots, rng.randint(0, 24)) if rng.random() < 0.9 else []
        cases.append((slots, bidder, rng.choice((0, 1, WAD, wide(rng, WAD)))))
    seen = {True: 0, False: 0}
    for case, (ok, data) in zip(cases, ask("move", cases), strict=True):
        expected = moved(*case)
        seen[ok] += 1
        if isinstance(expected, Refusal):
            assert (ok, data) == (False, expected.data()), case
            continue
        assert ok, (case, data.hex())
        remaining, merged, netted, _ = decode(
            ["uint256[]", "uint256[]", "uint256[]", "uint256"], data
        )
        assert (remaining, merged) == (expected.kept, expected.received)
        total = {}
        for word in netted:
            total[word >> 248] = total.get(word >> 248, 0) + word % 2**248
        assert total == expected.netted
    assert min(seen.values()) > 10


@pytest.mark.parametrize("count", [8, 32, 64])
def test_moving_a_slice_into_a_full_account_is_cheap(contract, rng, count):
    slots = book(rng, count + 4, 2**90)[:count]
    bidder = overlapping(rng, slots, count)[:count]
    *_, gas = contract.move(slots, bidder, WAD // 3)
    assert gas < 6_000 * count


# Waterfall ------------------------------------------------------------------------------------


def cash_state(rng):
    """Draw cash, debt, indexes, time, interest and fees, all below 2^126."""
    return (
        wide(rng, 2**126),
        wide(rng, 2**126),
        wide(rng, 2**88 - 1, WAD),
        rng.choice((10**12 - 1, 10**12, WAD, wide(rng, 2**88 - 1))),
        NOW,
        rng.choice((-1, 1)) * wide(rng, 2**126),
        wide(rng, 2**126),
    )


def replaced(state, changes):
    return tuple(changes.get(i, value) for i, value in enumerate(state))


def outcome(result):
    ok, data = result
    assert ok, data.hex()
    return decode(["uint256", CASH_STATE], data)


def test_protocol_capital_pays_what_it_has(ask, rng):
    cases = [(cash_state(rng), wide(rng, 2**127)) for _ in range(300)]
    for (state, claim), result in zip(cases, ask("takeFees", cases), strict=True):
        paid = min(claim, state[FEES])
        assert outcome(result) == (paid, replaced(state, {FEES: state[FEES] - paid}))


def test_what_the_fund_sent_pays_the_claim_and_the_rest_is_kept(ask, rng):
    cases = [
        (cash_state(rng), wide(rng, rng.choice((2**127, 2**256 - 1))), wide(rng, 2**127))
        for _ in range(300)
    ]
    for (state, received, claim), result in zip(cases, ask("takeReceived", cases), strict=True):
        counted = min(received, 2**128 - 1 - max(state[CASH_HELD], state[FEES]))
        paid = min(counted, claim)
        after = {
            CASH_HELD: state[CASH_HELD] + counted,
            FEES: state[FEES] + counted - paid,
        }
        assert outcome(result) == (paid, replaced(state, after))


def test_socialised_losses_agree_with_the_model(ask, rng):
    cases = [
        (
            cash_state(rng),
            wide(rng, 2**124),
            wide(rng, 2**124),
            wide(rng, 2**127),
            wide(rng, WAD // 2),
        )
        for _ in range(500)
    ]
    # Nobody owns any cash, or a single unit of it.
    cases += [((held, 0, WAD, WAD, NOW, 7, 1), 3, 1, 10, WAD // 2) for held in (5, 6)]
    shares = 0
    for case, result in zip(cases, ask("socialise", cases), strict=True):
        state, pools, found, loss, most = case
        held, debt, _, index, _, interest_pool, fees = state
        base = held + debt - pools - fees - found
        amount, after = waterfall.socialise(loss, base, index, most)
        share = -(-amount * WAD // base) if amount else 0
        expected = {SUPPLY_INDEX: after, INTEREST_POOL: interest_pool - amount}
        ok, data = result
        assert ok, data.hex()
        assert decode(["uint256", "uint256", CASH_STATE], data) == (
            amount,
            share,
            replaced(state, expected),
        )
        shares += amount > 0
    assert 100 < shares < 450


def test_socialised_share_is_forgotten_within_a_week(harness, rng):
    cases = [
        (wide(rng, WAD // 2), rng.choice((604_800, wide(rng, 2**40))), wide(rng, WAD // 2))
        for _ in range(COUNT)
    ]
    assert harness.disagreements("shareAfter", waterfall.share_taken, cases) == []


# Deleveraging ---------------------------------------------------------------------------------


def test_closable_size_and_haircut_agree_with_the_model(harness, rng):
    cases = [
        (wide(rng, 2**95 - 1, 1), wide(rng, 2**103, 1), wide(rng, WAD, WAD // 100))
        for _ in range(COUNT)
    ]
    assert harness.disagreements("closable", deleveraging.closed_size, cases) == []

    cases = []
    for _ in range(COUNT):
        closed = wide(rng, 2**191)
        cases.append((wide(rng, 2**190), closed, closed + wide(rng, 2**198)))

    def haircut(deficit, closed, whole):
        return fixed_point.mul_div_up(deficit, closed, whole) if closed else 0

    assert harness.disagreements("haircut", haircut, cases) == []


def test_haircut_takes_in_what_the_account_cannot_pay(harness, rng):
    cases = []
    for _ in range(COUNT):
        deficit = wide(rng, 2**140)
        share, funds = wide(rng, deficit), rng.choice((-1, 1)) * wide(rng, 2**140)
        near = max(funds, 0) + rng.choice((share, deficit)) + rng.randint(-1, 1)
        premium = rng.choice((near, -wide(rng, 2**140), wide(rng, 2**140)))
        cases.append((premium, funds, share, deficit))
    assert harness.disagreements("haircutFor", deleveraging.haircut_for, cases) == []


def test_what_hurts_a_counterparty_agrees_with_the_model(harness, rng):
    cases = []
    for _ in range(COUNT):
        before, after = assessment(rng), assessment(rng)
        margin = before.maintenance_margin
        lower = rng.choice((0, margin, margin + 1, margin // 2, wide(rng, margin)))
        # Where the ratio of equity to requirement stays the same, and next to it.
        same = before.equity * lower // margin if margin else 0
        equity = rng.choice((after.equity, 0, same + rng.randint(-1, 1)))
        cases.append((before, after._replace(equity=equity, maintenance_margin=lower)))
    # Equal ratios, whose products differ in all 512 bits or in none.
    small, large = (before._replace(equity=e, maintenance_margin=m) for e, m in ((3, 2), (9, 6)))
    cases += [(large, small), (large, small._replace(equity=2)), (large, small._replace(equity=4))]
    cases += [(a._replace(equity=-a.equity), b._replace(equity=-b.equity)) for a, b in cases[-3:]]
    assert harness.disagreements("hurts", deleveraging.hurts, cases) == []
    assert [deleveraging.hurts(*case) for case in cases[-6:]] == [0, 1, 0, 0, 0, 1]


def test_only_unpaid_profit_is_taken(harness, rng):
    cases = []
    for _ in range(COUNT):
        size = wide(rng, 2**95 - 1, 1)
        cases.append((rng.choice((-1, 1)) * wide(rng, 2**140), wide(rng, size), size))
    assert harness.disagreements("unpaidProfit", deleveraging.unpaid_profit, cases) == []


def test_splits_agree_with_the_model_and_add_up(ask, rng):
    cases = []
    for _ in range(400):
        weights = [wide(rng, 2 ** rng.choice((3, 96, 190))) for _ in range(rng.randint(0, 12))]
        cases.append((wide(rng, 2 ** rng.choice((3, 95, 190))), weights))
    for (total, weights), (ok, data) in zip(cases, ask("split", cases), strict=True):
        assert ok, data.hex()
        parts = list(decode(["uint256[]"], data)[0])
        if not any(weights):
            assert parts == [0] * len(weights)
            continue
        assert parts == deleveraging.split(total, weights)
        assert sum(parts) == total


# Proof that these tests can fail ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "twin"),
    [
        ("priceOfWhole", lambda a, d, p: auction.price(a, d, p._replace(insolvency_bonus=0))),
        ("priceOfWhole", lambda a, d, p: a.equity - fixed_point.mul_down(d, a.maintenance_margin)),
        ("restoringFraction", lambda a, _, p: auction.restoring_fraction(a, 1, p)),
        (
            "restoringFraction",
            lambda a, x, p: auction.restoring_fraction(a, x, p._replace(dust_margin=0)),
        ),
    ],
)
def test_a_wrong_twin_is_caught(harness, rng, name, twin):
    cases = [for_sale(rng) for _ in range(COUNT)]
    if name == "priceOfWhole":
        cases = [(a, wide(rng, WAD), p) for a, _, p in cases]
    assert harness.disagreements(name, twin, cases) != []
