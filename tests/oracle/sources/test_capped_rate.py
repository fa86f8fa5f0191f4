"""Rates of vaults and providers: jumps are cut, honest growth never is, falls pass at once."""

from math import exp

import pytest
from eth_utils import keccak
from hypothesis import example, given, settings
from hypothesis import strategies as st
from reverts import reverts_with

from reference_model.exact.price_sources import CappedRate
from tests.oracle.sources.bench import predicted

WAD = 10**18
DAY = 86_400
YEAR = 365 * DAY
MAX_RATE = 2**96 - 1
GROWTH = WAD // 10
SNAPSHOT = keccak(text="snapshot()")[:4]
START = 1_900_000_000

# A step of a walk: seconds that pass, how the rate moves, whether somebody takes a snapshot.
gaps = st.one_of(st.sampled_from([1, DAY - 1, DAY, DAY + 1]), st.integers(1, 90 * DAY))
parts = st.one_of(st.sampled_from([0, 1_000]), st.integers(0, 1_000))


def name32(name):
    return name.encode().ljust(32, b"\0")


def honest_walk(rate, growth, steps):
    """Yield time, rate and snapshot of a walk that keeps its bound between any two times.

    Of what the rate may become, half of what it was (a slashing) to all that is allowed, a step
    says how many parts in a thousand.
    """
    now, seen = START, [(START, rate)]
    for gap, parts, is_snapshot in steps:
        now += gap
        least = max(1, seen[-1][1] // 2)
        most = min(r + r * growth * (now - t) // (WAD * YEAR) for t, r in seen)
        rate = least + (most - least) * parts // 1_000
        seen.append((now, rate))
        yield now, rate, is_snapshot


class SplitCap(CappedRate):
    """A cap whose ratio lags behind its time, as on 10 March 2026."""

    def snapshot(self, rate, now):
        step = self.ratio * 3 // 1_000
        self.ratio, self.ratio_at = min(self.read(rate, now).price, self.ratio + step), now


def cuts(model, walk):
    """Return times at which a model cuts the rate of a walk, a snapshot taken where allowed."""
    found = []
    for now, rate, is_snapshot in walk:
        if model.read(rate, now).price != rate:
            found.append(now)
        if is_snapshot:
            try_snapshot(model, rate, now)
    return found


def try_snapshot(model, rate, now):
    """Take a snapshot where one is allowed."""
    if now >= model.ratio_at + DAY and rate >= model.ratio:
        model.snapshot(rate, now)


@settings(max_examples=500)
@given(
    st.one_of(st.integers(1, 10**6), st.integers(WAD // 2, 2 * WAD)),
    st.integers(0, WAD),
    st.lists(st.tuples(gaps, parts, st.booleans()), min_size=1, max_size=20),
)
@example(WAD, GROWTH, [(30 * DAY, 1_000, True)] * 12)
@example(7, WAD, [(DAY, 1_000, True)] * 40)
@example(WAD, GROWTH, [(DAY, 0.0, True), (300 * DAY, 1_000, True), (1, 1.0, False)])
def test_a_rate_within_its_bound_is_never_cut_whatever_snapshots_are_taken(rate, growth, steps):
    assert not cuts(CappedRate(rate, growth, START), honest_walk(rate, growth, steps))


def test_a_ratio_that_lags_behind_its_time_cuts_an_honest_rate():
    """The same walk that passes above: monthly snapshots of a rate that grows 10 % a year."""
    steps = [(30 * DAY, 1_000, True)] * 12
    assert cuts(SplitCap(WAD, GROWTH, START), honest_walk(WAD, GROWTH, steps))


@settings(max_examples=300)
@given(st.lists(st.tuples(gaps, st.integers(1, MAX_RATE), st.booleans()), min_size=1, max_size=20))
def test_whatever_the_rate_does_the_price_rises_by_its_growth_at_most(steps):
    model, now = CappedRate(WAD, GROWTH, START), START
    for gap, rate, is_snapshot in steps:
        now += gap
        price = model.read(rate, now).price
        # The compound of all lines is below the exponential; 1e-12 is for its own rounding.
        assert price <= min(rate, WAD * exp(0.1 * (now - START) / YEAR) * (1 + 1e-12))
        if is_snapshot:
            try_snapshot(model, rate, now)


@pytest.fixture(scope="module")
def provider(project, actors):
    return actors.governor.deploy(project.MockRateProvider, WAD)


@pytest.fixture(scope="module")
def source(project, actors, provider):
    return actors.governor.deploy(project.CappedRateSource, provider, False, GROWTH)


@pytest.fixture
def vault(project, actors):
    """Deploy a vault of a token of some decimals, and the source of its rate."""

    def deploy(decimals=18, offset=0, deposit=1_000):
        token = actors.governor.deploy(project.MockToken, "T", "T", decimals)
        contract = actors.governor.deploy(project.MockVault, token, offset)
        amount = deposit * 10**decimals
        token.mint(actors.poster, amount, sender=actors.poster)
        token.approve(contract, amount, sender=actors.poster)
        contract.deposit(amount, actors.poster, sender=actors.poster)
        source = actors.governor.deploy(project.CappedRateSource, contract, True, GROWTH)
        return token, contract, source

    return deploy


def cap(ratio, seconds):
    return ratio + ratio * GROWTH * seconds // (WAD * YEAR)


@pytest.mark.parametrize("offset", [0, 6, 12])
@pytest.mark.parametrize("decimals", [0, 6, 8, 18, 24])
def test_the_rate_of_a_vault_has_eighteen_digits_whatever_the_decimals(
    vault, bench, actors, decimals, offset
):
    token, contract, source = vault(decimals, offset)
    assert bench.reading(source)[:2] == (WAD, 0)
    token.mint(contract, 3 * 10**decimals, sender=actors.outsider)
    shares_raw = 10 ** (decimals + offset + 18 - decimals)
    assets_raw, supply_raw = 1_003 * 10**decimals, 1_000 * 10 ** (decimals + offset)
    rate = shares_raw * (assets_raw + 1) // (supply_raw + 10**offset)
    half_a_year = source.ratioAt() + YEAR // 2
    assert WAD < rate < cap(WAD, YEAR // 2)
    assert bench.reading(source, half_a_year) == (rate, 0, half_a_year)


def test_a_donation_lifts_the_price_to_the_line_and_no_further(vault, bench, actors):
    token, contract, source = vault()
    start = source.ratioAt()
    token.mint(contract, 10**9 * WAD, sender=actors.outsider)
    for seconds in (1, 3_600, DAY, YEAR):
        assert bench.reading(source, start + seconds) == (cap(WAD, seconds), 0, start + seconds)


def test_a_snapshot_of_a_donation_keeps_the_line(vault, bench, actors, chain):
    token, contract, source = vault()
    start = source.ratioAt()
    token.mint(contract, 10**9 * WAD, sender=actors.outsider)
    chain.pending_timestamp = start + 2 * DAY
    source.snapshot(sender=actors.outsider)
    assert (source.ratio(), source.ratioAt()) == (cap(WAD, 2 * DAY), start + 2 * DAY)
    later = start + 3 * DAY
    assert bench.reading(source, later).price == cap(cap(WAD, 2 * DAY), DAY)


def test_a_slashing_is_passed_on_at_once(vault, bench, actors):
    token, contract, source = vault()
    token.burn(contract, 400 * WAD, sender=actors.outsider)
    price = bench.reading(source).price
    assert price == WAD * (600 * WAD + 1) // (1_000 * WAD + 1)


def test_the_price_follows_a_provider_up_to_the_line(source, provider, bench, actors):
    year = source.ratioAt() + YEAR
    for rate in (WAD // 2, WAD, cap(WAD, YEAR) - 1, cap(WAD, YEAR)):
        provider.setRate(rate, sender=actors.poster)
        assert bench.reading(source, year).price == rate
    provider.setRate(cap(WAD, YEAR) + 1, sender=actors.poster)
    assert bench.reading(source, year).price == cap(WAD, YEAR)


def test_a_snapshot_is_taken_once_a_day_by_anyone(source, provider, actors, chain):
    start = source.ratioAt()
    chain.pending_timestamp = start + DAY - 1
    with reverts_with("SnapshotTooEarly", blockTimestamp=start + DAY - 1, earliest=start + DAY):
        source.snapshot(sender=actors.outsider)
    provider.setRate(WAD + 1, sender=actors.poster)
    chain.pending_timestamp = start + DAY + 7
    receipt = source.snapshot(sender=actors.outsider)
    assert receipt.events == [source.SnapshotTaken(ratio=WAD + 1, ratioAt=start + DAY + 7)]
    assert (source.ratio(), source.ratioAt()) == (WAD + 1, start + DAY + 7)


def test_a_rate_pushed_down_for_a_moment_moves_no_line(source, provider, bench, actors, chain):
    """A snapshot of the low rate would undervalue the token until growth had caught up."""
    start = source.ratioAt()
    provider.setRate(WAD - 1, sender=actors.outsider)
    chain.pending_timestamp = start + DAY
    with reverts_with("RateBelowSnapshot", rate=WAD - 1, ratio=WAD):
        source.snapshot(sender=actors.outsider)
    provider.setRate(cap(WAD, DAY), sender=actors.outsider)
    assert bench.reading(source, start + DAY).price == cap(WAD, DAY)


def test_a_rate_that_stands_still_starts_the_line_anew(source, actors, chain):
    chain.pending_timestamp = later = source.ratioAt() + DAY
    source.snapshot(sender=actors.outsider)
    assert (source.ratio(), source.ratioAt()) == (WAD, later)


@pytest.mark.parametrize("rate", [0, MAX_RATE + 1, 2**256 - 1])
def test_a_rate_that_is_none_is_refused(project, source, provider, actors, chain, rate):
    provider.setRate(rate, sender=actors.poster)
    chain.pending_timestamp = source.ratioAt() + DAY
    with reverts_with("InvalidRate", rate=rate):
        source.read()
    with reverts_with("InvalidRate", rate=rate):
        source.snapshot(sender=actors.outsider)
    with reverts_with("InvalidRate", rate=rate):
        actors.governor.deploy(project.CappedRateSource, provider, False, GROWTH)


def test_the_greatest_rate_and_growth_do_not_overflow(project, provider, bench, actors):
    provider.setRate(MAX_RATE, sender=actors.poster)
    source = actors.governor.deploy(project.CappedRateSource, provider, False, WAD)
    assert bench.reading(source, 2**40 - 1) == (MAX_RATE, 0, 2**40 - 1)


def test_growth_beyond_one_a_year_is_refused(project, provider, actors):
    with reverts_with("ParameterOutOfRange", name=name32("growth"), value=WAD + 1, min=0, max=WAD):
        actors.governor.deploy(project.CappedRateSource, provider, False, WAD + 1)


rates = st.one_of(
    st.integers(9 * WAD // 10, 12 * WAD // 10), st.sampled_from([0, 1, MAX_RATE, MAX_RATE + 1])
)


@settings(max_examples=10)
@given(st.lists(st.tuples(gaps, rates, st.booleans()), min_size=1, max_size=6))
def test_walks_of_any_rate_are_those_of_the_model(project, provider, bench, actors, chain, steps):
    with chain.isolate():
        source = actors.governor.deploy(project.CappedRateSource, provider, False, GROWTH)
        now = source.ratioAt()
        model = CappedRate(WAD, GROWTH, now)
        for gap, rate, is_snapshot in steps:
            chain.pending_timestamp = now + gap
            provider.setRate(rate, sender=actors.poster)
            now += gap + 1
            assert bench.read(source, now) == predicted(model.read, rate, now)
            if is_snapshot:
                outcome = bench.try_many(source, [SNAPSHOT], now)[0]
                assert outcome == predicted(model.snapshot, rate, now, types=())
                if outcome[0]:
                    chain.pending_timestamp = now
                    source.snapshot(sender=actors.outsider)
        assert (source.ratio(), source.ratioAt()) == (model.ratio, model.ratio_at)
