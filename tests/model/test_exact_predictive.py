"""Predictive margin of the exact layer against independent mathematics, and its properties."""

from fractions import Fraction
from random import Random

import mpmath
import numpy as np
import pytest

from reference_model import cases
from reference_model.exact import parametric, predictive_model, profile, risk_model, scenarios, svi
from reference_model.exact import shortfall as es
from reference_model.exact.errors import ModelError
from reference_model.exact.governed import GovernedParameters
from reference_model.exact.outage_clock import OutageClock
from reference_model.exact.predictive_model import PredictiveModel
from reference_model.exact.volatility_estimator import VolatilityEstimator
from reference_model.types import (
    DAY,
    WAD,
    Exposure,
    GlobalParameters,
    MarginMode,
    PredictiveParameters,
    Publication,
    Scenario,
)

ONE = 2**64
START = 10**9
BOTH_SIDES = (
    Scenario(-(10**6), -(10**6), 10**6),
    Scenario(10**6, -(10**6), 10**6),
    Scenario(-(10**6), 10**6, 10**6),
    Scenario(10**6, 10**6, 10**6),
)


# Losses and their tail ---------------------------------------------------------------------------


def conditional(losses, share):
    """Mean of the worst share: the last of them counts in part."""
    left, total = Fraction(share * len(losses), WAD), Fraction(0)
    size = left
    for loss in sorted(losses, reverse=True):
        part = min(left, Fraction(1))
        total, left = total + part * loss, left - part
    return total / size


@pytest.mark.parametrize("seed", range(40))
def test_shortfall_is_the_mean_of_the_worst_losses(seed):
    rng = Random(seed)
    units = [max(0, rng.randint(-(10**20), 10**20)) for _ in range(rng.randint(250, 400))]
    share = rng.randint(WAD // 200, WAD // 10)
    exact = conditional(units, share)
    assert 0 <= es.shortfall(units, share) - exact < 1
    for hint in (0, rng.choice(units), rng.randint(0, 10**20)):
        assert es.shortfall_at(units, share, hint) >= es.shortfall(units, share)
    best = min(es.shortfall_at(units, share, hint) for hint in set(units))
    assert best - es.shortfall(units, share) <= 1


def test_one_multiplication_is_the_sum_of_three():
    """What the specification says of the lanes of a word, at their ends too."""
    rng, place_mask = Random(3), 2**11 | 1023 << 90 | 1023 << 175
    for _ in range(2_000):
        word, total, product = cases.random_word(rng, 8), 0, 0
        for p in range(8):
            c0 = rng.choice((-1, 1)) * rng.choice((2**73, rng.randrange(2**73)))
            cz, cy = (rng.choice((-1, 1)) * rng.choice((2**62, rng.randrange(2**62))) for _ in "zy")
            _, a, b = es.place(word, p)
            total += c0 + cz * a + cy * b
            weights = (word | 2 ** (11 + 10 * p)) >> 10 * p & place_mask
            product += (c0 * 2**166 + cz * 2**87 + cy * 4) * weights
        signed = (product + 2**176 + 2**255) % 2**256 - 2**255
        assert signed >> 177 == total


def test_a_word_is_valid_only_with_its_places_and_nothing_else():
    rng = Random(1)
    for places in range(9):
        word = cases.random_word(rng, places)
        assert es.is_valid(word, places)
        for bit in range(256):
            changed = word ^ 1 << bit
            fields = [es.place(changed, p) for p in range(places)]
            within = any(
                0 <= bit - low - 10 * p < 10 for low in (5, 90, 175) for p in range(places)
            )
            in_range = all(row < 60 and a + b <= 1024 for row, a, b in fields)
            assert es.is_valid(changed, places) == (within and in_range)


# The profile is a lower bound --------------------------------------------------------------------


def revalued(things, move, share_b, vol_interval):
    """Profit of linear value and options, in ``mpmath``, at a move and between two vol classes."""
    linear, options = things
    total = linear * (move - 1)
    for option, row in options:
        near, far = (mpmath.mpf(row.deviations[11 * (vol_interval + d)]) / ONE for d in range(2))
        kappa = mpmath.mpf(row.strike_ratio) / ONE
        moved = call(kappa, near + (far - near) * share_b, move)
        now = mpmath.mpf(row.value) / ONE
        total += option.notional * (moved - now - option.is_put * (move - 1))
    return total


def call(kappa, s, move):
    d1 = mpmath.log(move / kappa) / s + s / 2
    return move * mpmath.ncdf(d1) - kappa * mpmath.ncdf(d1 - s)


def random_book(rng, deviation):
    """A linear value and up to four options of two expiries, with the rows of their nodes."""
    grid = scenarios.grid(es.NODES, deviation)
    options = []
    for _ in range(rng.randint(1, 4)):
        tau = rng.choice((2 * DAY, 60 * DAY))
        surface = flat(rng.choice((0.002, 0.05)))
        slice_ = scenarios.slice_risk(
            WAD, WAD, surface, tau, (4 * WAD // 10, WAD // 10, GLOBAL), es.NODES
        )
        strike = int(WAD * np.exp(rng.uniform(-0.3, 0.3)))
        notional = rng.choice((-1, 1)) * rng.randint(10**20, 10**22)
        option = profile.Option(tau, strike, notional, rng.random() < 0.5, slice_)
        options.append((option, scenarios.option_row(slice_, grid, strike)))
    linear = rng.choice((0, -1, 1)) * rng.randint(10**20, 10**22)
    return linear, options


def flat(variance):
    """Slice of one variance at every strike, packed."""
    return svi.pack(variance, 0, 0, 0, 0.1)


GLOBAL = GlobalParameters()


@pytest.mark.parametrize("seed", range(12))
def test_what_a_book_earns_is_never_overstated(seed):
    """In every triangle of the grid, against a full revaluation of every option."""
    rng = Random(seed)
    deviation = rng.choice((WAD // 50, WAD // 16, WAD // 10, WAD // 5))
    linear, options = random_book(rng, deviation)
    exposure = profile.exposure(1, deviation, 0, linear, [option for option, _ in options], ONE, 0)
    exponent = es.exponent((exposure,))
    rows = es.rows(exposure, exponent)
    slack = 0
    for row, (c0, cz, cy) in enumerate(rows):
        k, v, upper = row // 6, row // 2 % 3, row % 2
        a = rng.choice((0, 1_023, rng.randint(0, 1_023)))
        b = rng.randint(0, min(1_023, 1_024 - a))
        low, high = es.Z_PPM[k], es.Z_PPM[k + 1]
        share_z = mpmath.mpf(a) / 1_024
        share_y = mpmath.mpf(b) / 1_024
        if upper:
            share_z, share_y = 1 - share_z, 1 - share_y
        z = (low + (high - low) * share_z) / 10**6
        move = max(1 + z * mpmath.mpf(deviation) / WAD, mpmath.mpf("0.01"))
        truth = revalued((linear, options), move, share_y, v)
        bound = mpmath.mpf((c0 + cz * a + cy * b) << exponent) / 1_024
        assert bound <= truth + exposure.slack, (row, bound, truth)
        slack = max(slack, truth - bound)
    assert slack > 0


@pytest.mark.parametrize("seed", range(6))
def test_without_options_nothing_is_charged(seed):
    rng = Random(seed)
    linear, deviation = rng.choice((-1, 1)) * rng.randint(1, 10**30), rng.randint(1, WAD // 20)
    exposure = profile.exposure(1, deviation, linear, linear, [], ONE, 0)
    assert len(exposure.pnl) == 11
    assert max(es.charges(exposure).all) == 0


# Parametric margin -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_parametric_margin_is_at_least_that_of_any_matrix_of_the_box(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 7))
    factors = rng.normal(size=(count, 3))
    raw = factors @ factors.T + np.diag(rng.uniform(0.1, 1, count))
    root = np.sqrt(np.diag(raw))
    estimate = raw / np.outer(root, root)
    width = rng.uniform()
    exposures = [linear_exposure(u, int(d)) for u, d in enumerate(rng.normal(size=count) * 1e24)]
    found = parametric.margin(
        exposures, lambda u, v: int(estimate[u, v] * WAD), int(width * WAD), 0
    )
    scaled = np.array([x.delta * x.deviation / WAD**2 for x in exposures])
    for _ in range(2_000):
        signs = rng.choice((-1, 1), count)
        mix = rng.uniform() * width
        other = (1 - width) * estimate + mix * np.outer(signs, signs)
        other += (width - mix) * np.eye(count)
        assert found / WAD >= 3 * np.sqrt(scaled @ other @ scaled) * (1 - 1e-12)
    signs = np.where(scaled < 0, -1, 1)
    worst = (1 - width) * estimate + width * np.outer(signs, signs)
    assert found / WAD == pytest.approx(3 * np.sqrt(scaled @ worst @ scaled), rel=1e-9)


def test_an_open_box_is_gross_and_a_floor_holds():
    exposures = [linear_exposure(1, 10**24), linear_exposure(2, -3 * 10**24)]

    def perfect(_u, _v):
        return WAD

    gross = parametric.margin(exposures, perfect, WAD, 0)
    assert gross / WAD == pytest.approx(3 * 4e6 * 0.05, rel=1e-9)
    hedged = parametric.margin(exposures, perfect, 0, 0)
    assert hedged / WAD == pytest.approx(3 * 2e6 * 0.05, rel=1e-9)
    floored = parametric.margin(exposures, perfect, 0, 9 * WAD // 10)
    assert floored / WAD == pytest.approx(3 * 0.9 * 3e6 * 0.05, rel=1e-9)


def linear_exposure(underlying, delta):
    return profile.exposure(underlying, WAD // 20, delta, delta, [], ONE, 0)


# Publication -------------------------------------------------------------------------------------


@pytest.fixture
def clock():
    return OutageClock()


@pytest.fixture
def model(clock):
    governed = GovernedParameters(clock, GLOBAL, BOTH_SIDES)
    estimator = VolatilityEstimator(lambda u: None)
    for underlying in (5, 7, 9):
        estimator.add_underlying(underlying, WAD // 2, START)
    return PredictiveModel(governed, estimator)


def words(count, places, seed=0):
    rng = Random(seed)
    return [cases.random_word(rng, places) for _ in range(count)]


def refusal(action):
    with pytest.raises(ModelError) as caught:
        action()
    return caught.value.name, caught.value.arguments


def test_a_publication_is_refused_for_the_first_thing_that_is_wrong(model):
    out_of_range = "ParameterOutOfRange"
    bad = [*words(249, 2), 1 << 25]

    def publish(new, leaving, places, now=START):
        return refusal(lambda: model.publish(now, new, leaving, places))

    assert publish(bad[:2], 1, 4) == (out_of_range, ("leaving", 1, 0, 0))
    assert publish(bad[1:], 0, 4) == (out_of_range, ("dates", 249, 250, 1_000))
    assert publish(bad * 5, 0, 4) == (out_of_range, ("dates", 1_250, 250, 1_000))
    assert publish(bad, 0, 4) == (out_of_range, ("places", 4, 0, 3))
    assert publish(bad, 0, 2) == ("InvalidVector", (249, 1 << 25))
    model.publish(START, words(1_000, 2), 0, 2)
    assert publish(bad, 2_000, 9, START + DAY - 1) == ("RampUnderWay", (START + DAY,))
    later = START + DAY
    assert publish(bad, 1_001, 4, later) == (out_of_range, ("leaving", 1_001, 0, 1_000))
    assert publish(bad, 999, 4, later) == (out_of_range, ("stored", 1_250, 0, 1_024))
    assert publish(bad[:24], 500, 1, later) == (out_of_range, ("places", 1, 2, 2))
    assert publish(bad[:24], 500, 3, later) == (out_of_range, ("places", 3, 2, 2))
    assert model.publication == Publication(1_000, 0, 0, 0, 2, START, START + DAY)


def test_new_dates_take_the_place_of_old_ones_once_they_are_in_force(model):
    first, second, third = words(300, 2), words(20, 2, 1), words(260, 3, 2)
    model.publish(START, first, 0, 2)
    model.publish(START + DAY, second, 30, 2)
    assert model.words == (*first, *second)
    model.publish(START + 2 * DAY, third, 290, 3)
    assert model.words == (*first[30:], *second, *third)
    prediction = model.prediction(START + 3 * DAY)
    assert prediction.publication.places == 3
    assert predictive_model.vectors(prediction, 289, 3) == (second[-1], *third[:2])
    assert [event.values[0] for event in model.events] == [300, 290, 260]


def test_no_publication_and_no_parameter_moves_margin_at_one_stroke(model):
    exposures = [
        linear_exposure(u, d)._replace(scenario_loss=10**24)
        for u, d in ((5, 10**25), (7, -(10**25)))
    ]

    def measured(now):
        return predictive_model.measure(model.prediction(now), exposures)

    seen = []
    for i, now in enumerate(range(START, START + 4 * DAY, DAY)):
        before = measured(now)
        leaving = len(model.words) - model.publication.leaving
        model.publish(now, words(250, 2 + (i > 1), i), leaving, 2 + (i > 1))
        assert measured(now) == before
        seen += [before, measured(now + DAY // 2)]
        model.set_parameters(
            now + DAY // 2, PredictiveParameters(tail_share=WAD // (20 + 20 * (i % 2)))
        )
        assert measured(now + DAY // 2) == seen[-1]
    assert len(set(seen)) == len(seen)


def test_a_publication_taken_back_goes_as_it_came(model):
    exposures = [linear_exposure(5, 10**24)._replace(scenario_loss=10**24)]

    def measured(now):
        return predictive_model.measure(model.prediction(now), exposures)[0]

    assert refusal(lambda: model.cancel_publication(START)) == ("NoRampUnderWay", ())
    model.publish(START, words(250, 1), 0, 1)
    model.publish(START + DAY, words(20, 1, 1), 20, 1)
    noon = START + DAY + DAY // 2
    way = [measured(START + DAY + hours * 3_600) for hours in range(13)]
    model.cancel_publication(noon)
    back = [measured(noon + hours * 3_600) for hours in range(13)]
    assert back == pytest.approx(way[::-1], rel=1e-15)
    # An outage that is learned of late sets the clock back: no further than was reached.
    assert measured(noon - 3_600) == way[-1]
    again = refusal(lambda: model.cancel_publication(noon + 3_600))
    assert again == ("RampUnderWay", (START + 2 * DAY,))
    assert refusal(lambda: model.publish(noon + 3_600, [], 0, 1))[0] == "RampUnderWay"
    over = noon + DAY // 2
    assert refusal(lambda: model.cancel_publication(over)) == ("NoRampUnderWay", ())
    model.publish(over, words(10, 1, 2), 0, 1)
    assert model.words == (*words(250, 1), *words(10, 1, 2))
    assert measured(over) == way[0]


@pytest.mark.parametrize(
    ("name", "field", "low", "high"),
    [
        ("tailShare", "tail_share", WAD // 200, WAD // 10),
        ("horizonSeconds", "horizon_seconds", 3_600, 10 * DAY),
        ("floorWeight", "floor_weight", WAD // 10, WAD),
        ("parametricWeight", "parametric_weight", 0, WAD),
        ("correlationWidth", "correlation_width", 0, WAD),
        ("singleAssetFloor", "single_asset_floor", 0, WAD),
    ],
)
def test_parameters_have_their_ranges(model, name, field, low, high):
    for value in (low, high):
        model.set_parameters(START, PredictiveParameters()._replace(**{field: value}))
    for value in {low - 1, high + 1} - {-1}:
        wrong = PredictiveParameters()._replace(**{field: value})
        found = refusal(lambda wrong=wrong: model.set_parameters(START, wrong))
        assert found == ("ParameterOutOfRange", (name, value, low, high))


def test_maintenance_follows_volatility_and_initial_margin_is_there_at_once():
    price = {"now": 100 * WAD, "at": START}
    estimator = VolatilityEstimator(lambda u: (price["now"], 0, 0, 0, price["at"]))
    estimator.add_underlying(1, WAD // 2, START)
    estimator.sample(START, START)
    price |= {"now": 130 * WAD, "at": START + 3_600}
    before = estimator.deviations(1, START + 3_600)
    estimator.sample(START + 3_600, START + 3_600)
    deviation, initial = estimator.deviations(1, START + 3_600)
    assert deviation == before[0] == before[1]
    assert initial > deviation
    assert estimator.deviations(1, START + 3_600 + DAY) == (initial, initial)
    minute = estimator.deviations(1, START + 3_660)[0]
    assert minute / deviation == pytest.approx(np.exp(0.25 / 60), rel=1e-12)


# Whole books -------------------------------------------------------------------------------------


def predicted(seed, portfolios=24):
    rng = Random(seed)
    market, books = cases.random_case(rng, portfolios)
    market = market._replace(prediction=cases.random_prediction(rng, market))
    return market, [book._replace(margin_mode=MarginMode.PREDICTIVE) for book in books]


@pytest.mark.parametrize("seed", range(10))
def test_predictive_margin_of_random_books_holds_together(seed):
    market, books = predicted(seed)
    for book in books:
        parts = risk_model.breakdown(book, market)
        p, seen = parts.predictive, parts.assessment
        assert risk_model.assess(book, market) == seen
        exposed = {u.underlying for u in parts.underlyings}
        assert p.applies == bool(exposed)
        if not p.applies:
            assert p == type(p)()
            other = risk_model.assess(book._replace(margin_mode=MarginMode.PORTFOLIO), market)
            assert seen == other
            continue
        assert (seen.maintenance_margin, seen.initial_margin) == (
            p.maintenance_margin,
            p.initial_margin,
        )
        assert 0 <= p.maintenance_margin <= p.initial_margin
        assert p.tail_risk <= parts.scan_risk
        floor = market.prediction.parameters.floor_weight * p.tail_risk // WAD
        factor = market.global_parameters.maintenance_factor
        assert p.maintenance_margin >= factor * max(p.shortfall, floor) // WAD


@pytest.mark.parametrize("seed", range(6))
def test_merging_never_needs_more_expected_shortfall(seed):
    """Of profiles, node by node: the interpolation is charged for as both parts are, at most."""
    rng = Random(seed)
    market = cases.random_market(rng)
    prediction = cases.random_prediction(rng, market)
    covered = prediction.basket[: prediction.publication.places]
    books = []
    for _ in range(2):
        parts = []
        for u in sorted(covered):
            linear, options = random_book(rng, WAD // 20)
            parts.append(profile.exposure(u, WAD // 20, 0, linear, [o for o, _ in options], ONE, 0))
        books.append(parts)
    merged = [
        Exposure(
            a.underlying,
            a.deviation,
            0,
            a.slack + b.slack,
            0,
            *(
                tuple(x + y for x, y in zip(getattr(a, name), getattr(b, name), strict=True))
                for name in ("vol_errors", "pnl", "slopes")
            ),
        )
        for a, b in zip(*books, strict=True)
    ]
    prediction = prediction._replace(active=prediction.publication.end)
    one, two, both = (predictive_model.measure(prediction, each)[0] for each in (*books, merged))
    assert both <= one + two + 8


def test_the_order_of_positions_does_not_matter():
    market, books = predicted(4)
    for book in books:
        shuffled = book._replace(positions=tuple(reversed(book.positions)))
        before, after = (risk_model.breakdown(b, market).predictive for b in (book, shuffled))
        assert before == after
