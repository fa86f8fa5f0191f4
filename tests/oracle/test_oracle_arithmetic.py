"""What the arithmetic of the hub promises, over thousands of cases each."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from eth_abi import encode
from eth_utils import keccak
from oracle.hub_world import HOUR, WAD

from reference_model.exact import stable_price
from reference_model.exact import svi as slices
from reference_model.exact.errors import ModelError

WORDS = 4 * 32
CASES = 3_000
GAP, WINDOW = 600, 1_800


@pytest.fixture(scope="module")
def run(harness):
    """Evaluate a function of the harness on many cases; each must return."""
    functions = {m.name: m for m in harness.contract_type.view_methods}

    def on_cases(name: str, cases: Sequence[Any], results: int) -> list[tuple[int, ...]]:
        method = functions[name]
        types = [parameter.canonical_type for parameter in method.inputs]
        packed = b"".join(encode(types, case) for case in cases)
        words = len(packed) // 32 // len(cases)
        data = bytes(harness.map(keccak(text=method.selector)[:4], words, packed))
        outcomes = []
        for i in range(len(cases)):
            ok, *values = (
                int.from_bytes(data[j : j + 32], "big")
                for j in range(i * WORDS, (i + 1) * WORDS, 32)
            )
            assert ok, cases[i]
            outcomes.append(tuple(values[:results]))
        return outcomes

    return on_cases


# ----------------------------------------------------------------------------------- aggregation


def five(values: Sequence[int]) -> list[int]:
    return [*values, *[0] * (5 - len(values))]


def random_answers(rng: np.random.Generator) -> tuple[list[Any], int]:
    """Return answers, honest ones first, and how many are honest: more than half.

    The true price is 10,000. Honest intervals hold it; the rest say anything.
    """
    n = int(rng.integers(1, 6))
    honest = int(rng.integers(n // 2 + 1, n + 1))
    answers = []
    for i in range(n):
        if i < honest:
            width = int(rng.integers(0, 300))
            price = 10_000 + int(rng.integers(-width, width + 1))
            answers.append((price, width, int(rng.integers(900, 1_000))))
        else:
            price = int(rng.choice([1, 9_000, 10_000, 10_050, 11_000, 2**90]))
            width = int(rng.choice([0, price // 2, price - 1]))
            answers.append((price, width, int(rng.choice([0, 950, 1_000]))))
    return answers, honest


@pytest.fixture(scope="module")
def aggregates(run):
    rng = np.random.default_rng(3)
    cases = [random_answers(rng) for _ in range(CASES)]
    calls = []
    for answers, _ in cases:
        order = rng.permutation(len(answers))
        columns = zip(*(answers[i] for i in order), strict=True)
        calls.append((len(answers), *map(five, columns)))
    return [(*case, result) for case, result in zip(cases, run("aggregate", calls, 3), strict=True)]


def test_an_aggregate_is_the_ranks_the_specification_names(aggregates):
    for answers, _, (price, confidence, timestamp) in aggregates:
        prices = sorted(p for p, _, _ in answers)
        n = len(prices)
        assert price == (prices[(n - 1) // 2] + prices[n // 2]) // 2
        distances = sorted(abs(p - price) + c for p, c, _ in answers)
        assert confidence == min(distances[n // 2], price)
        assert timestamp == sorted((t for _, _, t in answers), reverse=True)[n // 2]


def test_the_price_lies_between_honest_prices(aggregates):
    """Promise (a)."""
    for answers, honest, (price, _, _) in aggregates:
        prices = [p for p, _, _ in answers[:honest]]
        assert min(prices) <= price <= max(prices)


def test_the_confidence_is_at_most_the_widest_honest_distance(aggregates):
    """Promise (b)."""
    for answers, honest, (price, confidence, _) in aggregates:
        assert confidence <= max(abs(p - price) + c for p, c, _ in answers[:honest])


def test_the_interval_holds_the_true_price(aggregates):
    """Promise (c)."""
    for _, _, (price, confidence, _) in aggregates:
        assert price - confidence <= 10_000 <= price + confidence


def test_the_price_lies_between_prices_as_new_as_its_time(aggregates):
    """Promise (d)."""
    for answers, _, (price, _, timestamp) in aggregates:
        prices = [p for p, _, t in answers if t >= timestamp]
        assert 2 * len(prices) > len(answers)
        assert min(prices) <= price <= max(prices)


def test_what_half_of_the_sources_can_do_and_a_minority_cannot(run):
    """Two of four at 2 against two at 100 move the median; two of five do not."""
    times = five([1] * 5)
    half, minority = run(
        "aggregate",
        [
            (4, five([2, 2, 100, 100]), five([]), times),
            (5, five([2, 2, 100, 100, 100]), five([]), times),
        ],
        3,
    )
    assert half[0] == 51
    assert minority[0] == 100


# ---------------------------------------------------------------------------------- stable price

RATE = 6 * WAD // 100


def test_a_step_is_bounded_and_never_passes_its_target(run):
    rng = np.random.default_rng(5)
    cases = [
        (
            int(np.exp(rng.uniform(0, 60))) or 1,
            int(np.exp(rng.uniform(0, 60))) or 1,
            int(rng.integers(0, 3 * HOUR)),
            int(np.exp(rng.uniform(np.log(1e14), np.log(1e19)))),
        )
        for _ in range(CASES)
    ]
    for (stable, target, seconds, rate), (result,) in zip(
        cases, run("step", cases, 1), strict=True
    ):
        assert min(stable, target) <= result <= max(stable, target)
        bound = rate / WAD * min(seconds, HOUR) / HOUR
        assert abs(np.log(result / stable)) <= bound + 1e-12
        if result != target and stable > 10**15:
            assert abs(np.log(result / stable)) == pytest.approx(bound, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_irregular_observations_do_not_bias_the_stable_price(run, seed):
    """A price far above for as long as far below leaves the stable price where it was.

    However the time is cut into observations, by chance or by whoever wants it up: only the time
    for which a price was in force counts, the same in numerator and denominator.
    """
    rng = np.random.default_rng(seed)
    paths, start = 200, 10**20
    # Six hours in turn above and below; each path is observed at times of its own in each.
    stable = [start] * paths
    for hour in range(6):
        target = start * 2 if hour % 2 == 0 else start // 2
        cuts = np.sort(rng.integers(0, HOUR + 1, (paths, 9)), axis=1)
        # Some paths are observed once an hour only when it suits the price, others all the time.
        cuts[: paths // 2] = HOUR if hour % 2 == 0 else 0
        ends = np.hstack([np.zeros((paths, 1), int), cuts, np.full((paths, 1), HOUR)])
        for seconds in np.diff(ends, axis=1).T:
            cases = [(s, target, int(d), RATE) for s, d in zip(stable, seconds, strict=True)]
            stable = [result for (result,) in run("step", cases, 1)]
    assert np.allclose([s / start for s in stable], 1, rtol=0, atol=1e-15)


def test_waiting_longer_than_the_cap_moves_it_no_further(run):
    (cap,), (longer,) = run("step", [(WAD, 9 * WAD, HOUR, RATE), (WAD, 9 * WAD, 2**40, RATE)], 1)
    assert cap == longer == pytest.approx(WAD * np.exp(0.06), rel=1e-15)


# ---------------------------------------------------------------------------------- observations


def next_observation(last, said, answer, limits, active, time):
    """Return what follows an observation, word by word as the harness packs it."""
    max_move, rate, band = limits
    price = stable = said[0]
    if last[0]:
        price = within(price, last[0], max_move)
        stable = stable_price.step(last[4], last[0], min(active, HOUR), rate)
    mark = within(answer, price, band) if answer else price
    disputed = price != said[0]
    return (
        price | min(said[1], price) << 128,
        stable | mark << 128,
        said[2] | disputed << 40 | time << 48 | last[7] << 88,
    )


def within(value: int, centre: int, band: int) -> int:
    """Return the nearest value whose relative distance of `centre` is at most `band`."""
    low, high = -(-centre * (WAD - band) // WAD), centre * (WAD + band) // WAD
    return min(max(value, low), high)


def test_an_observation_follows_from_the_one_before(run):
    rng = np.random.default_rng(6)
    cases = []
    for i in range(CASES):
        before, band, move = (int(rng.integers(1, 2**62)) for _ in range(3))
        band, move, centre = band % WAD, move % WAD, before
        # At, just within and just beyond the breaker and the band of the mark.
        edges = [-(-centre * (WAD - move) // WAD), centre * (WAD + move) // WAD]
        price = max(1, int(rng.choice(edges)) + int(rng.integers(-1, 2)))
        price = price if i % 2 else int(rng.integers(1, 2**62))
        edges = [0, price, price * (WAD - band) // WAD, price * (WAD + band) // WAD]
        mark = max(0, edges[i % 4] + int(rng.integers(-1, 2))) if i % 8 else 0
        last = (before, before // 7, 11, False, int(rng.integers(1, 2**62)), before, 900, i % 9)
        last = last if i % 5 else (*[0] * 3, False, *[0] * 3, i % 9)
        confidence = max(0, price + int(rng.integers(-1, 2)))
        said = (price, confidence, int(rng.integers(1, 2**40)), 3, 0)
        limits = (move, int(rng.integers(10**14, 9 * 10**18)), band)
        cases.append((last, said, mark, limits, int(rng.integers(0, 2 * HOUR)), 10**9 + i))
    expected = [next_observation(*case) for case in cases]
    assert run("next", cases, 3) == expected
    disputed = sum(rest >> 40 & 1 for *_, rest in expected)
    assert CASES // 10 < disputed < CASES


# ------------------------------------------------------------------------------------ settlement


def settle(run, observations: Sequence[tuple[int, int]], until: int) -> tuple[int, int, int]:
    """Run observations (time, price) and a last one at `until` through the window."""
    times = [*(t for t, _ in observations[1:]), until]
    state = (0, 0, 0)
    for (at, price), then in zip(observations, times, strict=True):
        (state,) = run("advance", [(*state, price, at, then)], 3)
    return state


def test_the_window_weighs_each_price_by_the_time_it_was_in_force(run):
    end = 10 * HOUR
    observations = [
        (end - WINDOW - 100, 7),  # 100 of its 400 seconds lie before the window
        (end - WINDOW + 300, 11),  # 600 of 1000 count
        (end - WINDOW + 1_300, 13),  # 500 to the end
    ]
    expected = (end, 7 * 300 + 11 * GAP + 13 * 500, 300 + GAP + 500)
    assert settle(run, observations, end) == expected


@pytest.mark.parametrize("late", [0, 1, 100, HOUR, 100 * HOUR])
def test_who_comes_late_chooses_nothing(run, late):
    """Neither when the first observation after the hour comes nor, so, what it says."""
    end = 10 * HOUR
    observations = [(end - WINDOW + i * 100, 1_000 + i) for i in range(18)]
    assert settle(run, observations, end + late) == settle(run, observations, end)


def test_an_observation_moves_the_average_by_its_share_of_time_at_most(run):
    rng = np.random.default_rng(8)
    end = 10 * HOUR
    for _ in range(20):
        times = np.sort(rng.choice(np.arange(end - WINDOW, end), 12, replace=False))
        honest = [(int(t), 10**6) for t in times]
        i = int(rng.integers(12))
        lying = [*honest[:i], (honest[i][0], 2 * 10**6), *honest[i + 1 :]]
        _, honest_sum, covered = settle(run, honest, end + 5)
        _, lying_sum, same = settle(run, lying, end + 5)
        assert covered == same
        then = int(times[i + 1]) if i < 11 else end
        share = min(then - int(times[i]), GAP) / covered
        assert lying_sum / covered - honest_sum / covered == pytest.approx(10**6 * share)


def test_no_two_windows_share_a_second(run):
    """An observation before the hour never counts in the next window, nor a disputed one at all."""
    end = 10 * HOUR
    assert settle(run, [(end - 1, 5)], end + 2 * HOUR) == (end, 5, 1)
    assert settle(run, [(end - 1, 5), (end, 7)], end + HOUR) == (end + HOUR, 0, 0)
    assert settle(run, [(end - 100, 0)], end) == (end, 0, 0)
    assert settle(run, [(end - 100, 1)], end) == (end, 100, 100)


# --------------------------------------------------------------------------------------- surface


def random_slices(rng: np.random.Generator, count: int) -> list[int]:
    """Return slices without butterfly arbitrage."""
    found = []
    while len(found) < count:
        word = slices.pack(
            rng.uniform(0.001, 0.1),
            rng.uniform(0, 0.5),
            rng.uniform(-0.9, 0.9),
            rng.uniform(-0.3, 0.3),
            rng.uniform(0.05, 0.8),
        )
        try:
            slices.require_butterfly_free(word)
        except ModelError:
            continue
        found.append(word)
    return found


def test_a_slice_free_of_butterfly_arbitrage_stays_so_as_it_decays(run):
    rng = np.random.default_rng(13)
    expiry = 30 * 24 * HOUR
    cases = [(s, 0, expiry, int(expiry * rng.uniform(0, 0.999))) for s in random_slices(rng, 150)]
    for (svi, _, _, time), (decayed,) in zip(cases, run("decayed", cases, 1), strict=True):
        a, b, *shape = slices.unpack(svi)
        decayed_a, decayed_b, *same = slices.unpack(decayed)
        assert same == shape
        assert 0 <= a * (expiry - time) // expiry - decayed_a <= 1
        assert 0 <= b * (expiry - time) // expiry - decayed_b <= 1
        slices.require_butterfly_free(decayed)


def test_slices_of_one_time_free_of_calendar_arbitrage_stay_so_as_they_decay(run):
    rng = np.random.default_rng(14)
    near_expiry, far_expiry = 20 * 24 * HOUR, 30 * 24 * HOUR
    pairs = []
    for near in random_slices(rng, 100):
        a, b, rho, m, sigma = slices.unpack(near)
        far = slices.pack(
            a / 2**56 * 1.2, b / 2**56 * 1.2, rho / 2**30, m / 2**40, sigma / 2**40
        )  # fmt: skip
        slices.require_calendar_free(near, far)
        pairs.append((near, far))
    times = [int(near_expiry * rng.uniform(0, 0.999)) for _ in pairs]
    near_cases = [(n, 0, near_expiry, t) for (n, _), t in zip(pairs, times, strict=True)]
    far_cases = [(f, 0, far_expiry, t) for (_, f), t in zip(pairs, times, strict=True)]
    decayed = zip(run("decayed", near_cases, 1), run("decayed", far_cases, 1), strict=True)
    for (near,), (far,) in decayed:
        slices.require_calendar_free(near, far)


def test_a_negative_level_decays_downwards(run):
    svi = slices.pack(-0.01, 0.2, 0, 0, 0.2)
    ((half,),) = run("decayed", [(svi, 0, 3, 1)], 1)
    a, _, *_ = slices.unpack(svi)
    assert slices.unpack(half)[0] == a * (2 * 2**64 // 3) >> 64
    assert slices.unpack(half)[0] < a * 2 / 3


def test_a_forward_stays_in_range(run):
    cases = [(1, WAD // 5), (2**96 - 1, 5 * WAD), (100 * WAD, 101 * WAD // 100), (7, WAD // 2)]
    assert run("forward", cases, 1) == [(1,), (2**96 - 1,), (101 * WAD,), (3,)]


def test_expiries_are_merged_stored_and_dropped(harness):
    rng = np.random.default_rng(21)
    for _ in range(40):
        known, posted = (
            sorted(map(int, rng.choice(np.arange(1, 30), rng.integers(1, 9), replace=False)))
            for _ in range(2)
        )
        time = int(rng.integers(0, 30))
        expected = [e for e in sorted({*known, *posted}) if e > time]
        assert list(harness.expiries(known, posted, time)) == expected
    assert list(harness.expiries(list(range(1, 17)), [16], 0)) == list(range(1, 17))
