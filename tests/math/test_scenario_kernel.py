"""The scenario kernel: bit for bit as the model, within its error bound of the truth."""

from functools import partial

import numpy as np
import pytest
from mpmath import mp, mpf

from reference_model.exact import scenario_kernel as model
from reference_model.exact.transcendental import ln_ratio_x64
from tests.math.cases import ONE, WAD
from tests.math.grid import Grid, Scenario

BOOKS = 150
LEAST_MOVE = ONE // 100


def option(rng, classes, spread=1.0):
    """Return an option of any size and moneyness as the kernel takes it, and its exact terms."""
    forward = int(10 ** rng.uniform(-6, 9) * WAD)
    strike = max(10**10, int(forward * np.exp(rng.uniform(-spread, spread))))
    size = int(10 ** rng.uniform(-9, 9) * WAD) * int(rng.choice([-1, 1]))
    deviations = [int(2.0 ** rng.uniform(-12, 2) * ONE) for _ in range(classes + 1)]
    if rng.random() < 0.05:
        deviations = [0] * (classes + 1)
    terms = (
        size * forward // WAD,
        bool(rng.random() < 0.5),
        (strike << 64) // forward,
        ln_ratio_x64(forward, strike),
        min(deviations[0], model.MAX_DEVIATION),
        [min(s, model.MAX_DEVIATION) for s in deviations[1:]],
    )
    return terms, mpf(strike) / forward


def scenarios(rng, count, classes):
    """Moves to both sides, weights, and classes of random length, some of them empty."""
    ends = [*sorted(int(e) for e in rng.integers(0, count + 1, classes - 1)), count]
    places = np.searchsorted(ends, np.arange(count), side="right")
    rows = []
    for vol_class in places:
        move = max(LEAST_MOVE, int(np.exp(rng.normal(0, 0.4)) * ONE))
        weight = int(rng.choice([10**6, 500_000, 250_000, 1]))
        rows.append(Scenario(move, weight, int(vol_class)))
    return rows, ends


def book(seed, options=3, linears=2):
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(1, 5))
    rows, ends = scenarios(rng, int(rng.integers(1, 41)), classes)
    positions = [option(rng, classes) for _ in range(options)]
    notionals = [int(rng.normal(0, 1e6) * WAD) for _ in range(linears)]
    return rows, ends, positions, notionals


def encoded(case):
    rows, ends, positions, notionals = case
    moves, weights = [r.move_x64 for r in rows], [r.weight_ppm for r in rows]
    return moves, weights, ends, [terms for terms, _ in positions], notionals


def scan(case, grid_type=Grid):
    """Run the model over a book; the result is laid out as the harness's."""
    rows, _, positions, notionals = case
    grid = grid_type(rows)
    added = [grid.add_option(*terms) for terms, _ in positions]
    losses = [loss for *_, loss in added] + [grid.add_linear(n) for n in notionals]
    calls, deltas = [a[0] for a in added], [a[1] for a in added]
    netted = [grid.netted(j) for j in range(len(rows))]
    return calls, deltas, losses, netted, max(0, -min(netted)), grid.error_bound()


def disagreements(chain_math, cases, grid_type=Grid):
    results = chain_math.contract.scan([encoded(case) for case in cases])
    return [
        (case, expected, tuple(result))
        for case, result in zip(cases, results, strict=True)
        if (expected := scan(case, grid_type)) != tuple(result)
    ]


@pytest.fixture(scope="module")
def cases():
    return [book(seed) for seed in range(BOOKS)]


def test_books_agree_with_the_model(chain_math, cases):
    assert disagreements(chain_math, cases) == []


def test_largest_legal_positions_agree_with_the_model(chain_math):
    rows = [Scenario(m, 10**6, 0) for m in (LEAST_MOVE, ONE, 19 * ONE, 2**72 - 1)]
    positions = []
    for forward, strike in [(2**96 - 1, 10**10), (2**96 - 1, 2**97), (1, 2**97), (1, 10**10)]:
        notional = (2**95 - 1) * forward // WAD
        ratio, logarithm = (strike << 64) // forward, ln_ratio_x64(forward, strike)
        for s in (0, 1, ONE, model.MAX_DEVIATION):
            for sign in (-1, 1):
                terms = sign * notional, sign > 0, ratio, logarithm, s, [s]
                positions.append((terms, mpf(strike) / forward))
    case = rows, [4], positions * 4, [2**132, -(2**131)]
    assert disagreements(chain_math, [case]) == []


class ParityReversed(Grid):
    def add_option(self, notional, is_put, *terms):
        return super().add_option(notional, not is_put, *terms)


class WeightMissing(Grid):
    def netted(self, j):
        self.scenarios = [s._replace(weight_ppm=10**6) for s in self.scenarios]
        return super().netted(j)


class WeightMissingInOwnLoss(Grid):
    def add_option(self, *terms):
        honest = self.scenarios
        self.scenarios = [s._replace(weight_ppm=10**6) for s in honest]
        result = super().add_option(*terms)
        self.scenarios = honest
        return result


class EndsSwapped(Grid):
    """Takes the best scenario of a run for the worst."""

    def __init__(self, scenarios):
        super().__init__(scenarios)
        self._runs = [run[::-1] for run in self._runs]


class RunsIgnored(Grid):
    """Takes the whole list for one run."""

    def __init__(self, scenarios):
        super().__init__(scenarios)
        self._runs = [range(len(scenarios))]


class ClassesSwapped(Grid):
    def add_option(self, *terms):
        return super().add_option(*terms[:-1], terms[-1][::-1])


class RoundedUp(Grid):
    def netted(self, j):
        return super().netted(j) + 1


TWINS = [
    ParityReversed,
    WeightMissing,
    WeightMissingInOwnLoss,
    RunsIgnored,
    EndsSwapped,
    ClassesSwapped,
    RoundedUp,
]


@pytest.mark.parametrize("twin", TWINS)
def test_wrong_twins_are_caught(chain_math, cases, twin):
    assert disagreements(chain_math, cases[:40], twin) != []


def exact_unit_call(ratio, logarithm, deviation, move):
    s, x = mpf(deviation) / ONE, logarithm + mp.log(move)
    if s == 0:
        return max(move - ratio, mpf(0))
    d1 = x / s + s / 2
    return move * mp.ncdf(d1) - ratio * mp.ncdf(d1 - s)


def exact_pnl(row, terms, ratio):
    """Return the weighted profit and loss of one option in one scenario, USD, WAD, 50 digits."""
    notional, is_put, _, _, deviation, deviations = terms
    move, value = mpf(row.move_x64) / ONE, partial(exact_unit_call, ratio, -mp.log(ratio))
    change = value(deviations[row.vol_class], move) - value(deviation, mpf(1))
    return notional * (change - is_put * (move - 1)) * row.weight_ppm / 10**6


def test_every_scenario_is_within_the_error_bound_of_the_exact_value():
    reached = 0
    with mp.workdps(50):
        for seed in range(60):
            rng = np.random.default_rng(1000 + seed)
            rows, _ = scenarios(rng, 9, 2)
            positions = [option(rng, 2, spread=float(rng.choice([0.3, 3, 30])))]
            *_, netted, _, bound = scan((rows, [9], positions, []))
            for row, computed in zip(rows, netted, strict=True):
                error = abs(computed - exact_pnl(row, *positions[0]))
                assert error <= bound, (seed, row)
                reached = max(reached, error / bound)
    assert reached > 0.05, "the bound is far from what is reached"


def test_nothing_between_the_ends_of_a_run_is_worse():
    rng = np.random.default_rng(11)
    for _ in range(200):
        terms, _ = option(rng, 1)
        moves = sorted(max(LEAST_MOVE, int(np.exp(rng.normal(0, 0.5)) * ONE)) for _ in range(12))
        run = Grid([Scenario(move, 10**6, 0) for move in moves])
        _, _, loss = run.add_option(*terms)
        worst = max(0, *(-run.netted(j) for j in range(len(moves)))) * model.LOSS_UNIT
        assert worst <= loss + 2 * (run.error_bound() + 1) * model.LOSS_UNIT


def test_a_market_that_stands_still_costs_nothing():
    rng = np.random.default_rng(7)
    for _ in range(200):
        terms, _ = option(rng, 1)
        grid = Grid([Scenario(ONE, 10**6, 0)])
        _, _, loss = grid.add_option(*terms[:5], [terms[4]])
        assert (loss, grid.netted(0)) == (0, 0)


def test_netted_loss_is_at_most_the_sum_of_own_losses(cases):
    for case in cases:
        _, _, losses, netted, _, error = scan(case)
        assert max(0, -min(netted)) * model.LOSS_UNIT <= sum(losses) + 2 * error * model.LOSS_UNIT


def test_gas_of_one_option_in_one_scenario_is_at_most_515(chain_math):
    """In a scenario that is priced; how many are is the business of the tests of margin."""
    contract = chain_math.contract
    s = ONE // 4

    def gas(count, options):
        moves = [ONE * (90 + 20 * j // count) // 100 for j in range(count)]
        terms = (-10 * WAD, True, ONE, 0, s, [s, 2 * s])
        half = count // 2
        return contract.pricingGas((moves, [10**6] * count, [half, count], [terms] * options, []))

    more_options = {count: gas(count, 17) - gas(count, 1) for count in (8, 32)}
    assert (more_options[32] - more_options[8]) / (16 * 24) <= 515


def flat_book(rng):
    """Sorted scenarios in long runs, and options that offset each other but for a little."""
    volatilities = int(rng.integers(1, 4))
    spread = float(rng.choice([0.02, 0.3, 1.5]))
    moves = sorted(
        max(LEAST_MOVE, int(np.exp(x) * ONE)) for x in rng.normal(0, spread, rng.integers(3, 13))
    )
    count = len(moves)
    rows = [Scenario(m, 10**6, c) for c in range(volatilities) for m in moves]
    ends = [count * (c + 1) for c in range(volatilities)]
    scale = int(10 ** rng.uniform(-3, 7) * WAD)
    shape, deviation = rng.integers(0, 4), 10 ** rng.uniform(-4, 0.3)
    positions, total, before = [], 0, ONE
    for i in range(int(rng.integers(6, 20))):
        ratio = int(np.exp(rng.normal(0, spread / 2)) * ONE)
        if shape == 0:  # butterflies
            ratio = int((1 + spread * ((i % 3) - 1 + i // 3 % 2) / 10) * ONE)
            size = scale * (1, -2, 1)[i % 3]
        elif shape == 1:  # calendars
            ratio, size = ratio if i % 2 == 0 else before, scale * (-1) ** i
        elif shape == 2:  # a hedge in all
            size = int(scale * rng.normal())
        else:  # one side alone
            size = scale
        before, own = ratio, deviation * float(rng.choice([1, 1, 1.1, 0.01, 30]))
        deviations = [min(int(own * f * ONE), model.MAX_DEVIATION) for f in (1, 1.5, 1, 0.5)]
        total += size
        terms = (
            size,
            bool(rng.random() < 0.3),
            ratio,
            ln_ratio_x64(ONE, ratio),
            deviations[0],
            deviations[1 : volatilities + 1],
        )
        positions.append((terms, mpf(ratio) / ONE))
    hedges = [int(-total * h) for h in rng.choice([0, 0.5, 1], rng.integers(0, 2))]
    return rows, ends, positions, hedges


def test_worst_loss_is_that_of_all_scenarios(chain_math):
    rng, inside = np.random.default_rng(2_026), 0
    books = [flat_book(rng) for _ in range(400)]
    for start in range(0, len(books), 40):
        part = books[start : start + 40]
        for case, result in zip(
            part, chain_math.contract.scan([encoded(each) for each in part]), strict=True
        ):
            *_, netted, worst, _ = tuple(result)
            assert worst == max(0, -min(netted))
            ends = {end - 1 for end in case[1]} | {0, *case[1]}
            at_ends = min(pnl for j, pnl in enumerate(netted) if j in ends)
            inside += min(netted) < min(0, at_ends)
    assert inside > 50, "books in which the ends of runs say it all test little"


def test_few_scenarios_are_priced_where_few_decide(chain_math):
    """A straddle's worst case is at an end or, if it is long, near the strike."""
    moves = [ONE * (70 + 2 * j) // 100 for j in range(30)]
    s = ONE // 5

    def gas(sign):
        options = [(sign * WAD, j % 2 == 1, ONE, 0, s, [s]) for j in range(20)]
        return chain_math.contract.searchGas((moves, [10**6] * 30, [30], options, []))

    for sign in (1, -1):
        searched, everything = gas(sign)
        assert searched < everything / 2
