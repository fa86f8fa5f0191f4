"""Measures of books on the chain against the exact model, and what they promise."""

from random import Random

import pytest
from predictive.books import BASKET, WAD, market_words, random_exposure, random_words
from reverts import reverts_with

from reference_model.exact import predictive_model as exact
from reference_model.exact.errors import AmountTooLarge

IDS = sorted(BASKET)
PLACE = {underlying: place for place, underlying in enumerate(BASKET)}


@pytest.fixture(scope="module")
def published(world):
    """Return a model with 500 dates in force, and its words."""
    rng = Random(1)
    world.sample(rng)
    words = random_words(rng, 260) + market_words(rng, 240)
    world.publish_in_force(words)
    return world, words


def agree(world, words, exposures, hints=(0,)):
    """Compare every measure of a book; return its shortfall."""
    read, model = world.prediction(words), world.model
    measured = tuple(model.measure(exposures))
    assert measured == exact.measure(read, exposures)
    assert tuple(model.losses(exposures)) == exact.losses(read, exposures)
    for hint in hints:
        assert model.shortfallAt(exposures, hint) == exact.shortfall_at(read, exposures, hint)
        assert tuple(model.exceedances(exposures, hint)) == exact.exceedances(read, exposures, hint)
    return measured


def book(rng, ids, bits=90, options=0.7):
    return [random_exposure(rng, u, bits, rng.random() < options) for u in sorted(ids)]


@pytest.mark.parametrize("seed", range(16))
def test_measures_of_any_book_agree_with_the_model(published, seed):
    world, words = published
    rng = Random(seed)
    bits = rng.choice([10, 60, 90, 139])
    exposures = book(rng, rng.sample(IDS, 1 + seed % 8), bits)
    hints = [0, 2 ** (bits - 1), rng.randrange(2**bits), 2**150, exact.MAX_AMOUNT]
    agree(world, words, exposures, hints)


@pytest.mark.parametrize("seed", range(4))
def test_no_hint_is_below_the_shortfall_and_the_best_hint_is_it(published, seed):
    world, _ = published
    rng, model = Random(100 + seed), world.model
    exposures = book(rng, rng.sample(IDS, 3))
    shortfall, _ = model.measure(exposures)
    slack = sum(x.slack for x in exposures)
    losses = sorted((loss - slack for loss in model.losses(exposures) if loss), reverse=True)
    best = losses[12]  # the thirteenth worst of 500 dates: 2.5 % are twelve and a half
    for hint in (0, best // 2, best, 2 * best, losses[0], 10 * losses[0]):
        assert model.shortfallAt(exposures, hint) >= shortfall
    unit = max(1, losses[0] >> 60)
    assert model.shortfallAt(exposures, best) - shortfall <= 2 * unit


@pytest.mark.parametrize("amount", [2**192, 2**246 - 1, 2**256 - 1])
def test_amounts_beyond_any_loss_are_refused(published, amount):
    """Units of 2^246 - 1 wrapped to nothing: a bound below the shortfall."""
    world, words = published
    exposures, error = book(Random(8), IDS[:2], 139), {"amount": amount, "max": exact.MAX_AMOUNT}
    for view, mirror in (("shortfallAt", exact.shortfall_at), ("exceedances", exact.exceedances)):
        with reverts_with("AmountTooLarge", **error):
            getattr(world.model, view)(exposures, amount)
        with pytest.raises(AmountTooLarge) as refusal:
            mirror(world.prediction(words), exposures, amount)
        assert refusal.value.arguments == tuple(error.values())


def test_a_value_at_risk_is_certified_by_as_many_dates_as_exceed_it(published):
    world, _ = published
    exposures = book(Random(7), IDS[:4])
    losses = sorted(world.model.losses(exposures), reverse=True)
    count, limit = world.model.exceedances(exposures, losses[12])
    assert (count, limit) == (12, 12)
    count, _ = world.model.exceedances(exposures, losses[12] * 99 // 100)
    assert count > limit


def test_books_of_nothing_need_nothing(published):
    world, words = published
    assert tuple(world.model.measure([])) == (0, 0)
    flat = random_exposure(Random(0), IDS[0], options=True)._replace(
        delta=0, slack=0, vol_errors=(0, 0, 0), pnl=(0,) * 44, slopes=(0,) * 44
    )
    assert agree(world, words, [flat]) == (0, 0)


@pytest.mark.parametrize("sign", [-1, 1])
def test_greatest_amounts_are_measured(published, sign):
    world, words = published
    most = 2**140
    exposures = [
        random_exposure(Random(0), u)._replace(
            deviation=WAD,
            delta=sign * most,
            slack=most,
            vol_errors=(most,) * 3,
            pnl=tuple(sign * most * (-1) ** i for i in range(44)),
            slopes=tuple(most * (i % 2) for i in range(44)),
        )
        for u in IDS
    ]
    shortfall, parametric = agree(world, words, exposures, hints=[most])
    assert shortfall > 8 * most < parametric


@pytest.mark.parametrize(
    "change",
    [
        {"pnl": (0,) * 12, "slopes": (0,) * 12},
        {"pnl": (0,) * 44, "slopes": (0,) * 11},
        {"pnl": (), "slopes": ()},
        {"deviation": WAD + 1},
        {"underlying": 99},
    ],
)
def test_exposures_that_are_not_complete_are_refused(published, change):
    world, _ = published
    good, wrong = random_exposure(Random(0), 1), random_exposure(Random(0), 2)
    exposures = [good, wrong._replace(**change)]
    for view, arguments in (("measure", ()), ("shortfallAt", (0,)), ("losses", ())):
        with reverts_with("InvalidExposure", index=1):
            getattr(world.model, view)(exposures, *arguments)


@pytest.mark.parametrize("ids", [(1, 1), (2, 1)])
def test_exposures_out_of_order_are_refused(published, ids):
    world, _ = published
    with reverts_with("InvalidExposure", index=1):
        world.model.measure([random_exposure(Random(0), u) for u in ids])


def test_an_underlying_without_a_place_counts_its_worst_scenario(published):
    world, words = published
    known = random_exposure(Random(1), 1)
    stranger = known._replace(underlying=99, pnl=(), slopes=(), scenario_loss=5 * WAD)
    alone = world.model.measure([known])
    both = agree(world, words, [known, stranger])
    assert both == tuple(x + 5 * WAD + stranger.slack for x in alone)


# ------------------------------------------------------------------------------------- parametric


def linear(underlying, delta, deviation=WAD // 20):
    """Return an exposure that is a linear position and nothing else."""
    moves = (-12, -6, -3, -2, -1, 0, 1, 2, 3, 6, 12)
    pnl = tuple(delta * deviation * z // WAD for z in moves)
    slopes = (max(0, delta),) * 11
    return random_exposure(Random(0), underlying, options=False)._replace(
        deviation=deviation, delta=delta, slack=0, scenario_loss=0, pnl=pnl, slopes=slopes
    )


def in_force(world, **changes):
    """Set parameters and wait for the end of their ramp."""
    current = world.model.target()
    names = ("tailShare", "horizonSeconds", "floorWeight", "parametricWeight")
    names = (*names, "correlationWidth", "singleAssetFloor")
    values = {name: getattr(current, name) for name in names} | changes
    world.model.setParameters(values, sender=world.actors.governor)
    world.wait(world.ramp_seconds())


def test_an_open_box_is_gross_and_a_closed_one_the_estimate(published, chain):
    world, words = published
    long, short = linear(1, 10**24), linear(2, -(10**24))
    single = [agree(world, words, [x])[1] for x in (long, short)]
    with chain.isolate():
        in_force(world, correlationWidth=WAD, singleAssetFloor=0)
        gross = agree(world, words, [long, short])[1]
        assert gross == pytest.approx(sum(single), rel=1e-12)
        in_force(world, correlationWidth=0)
        rho = world.estimator.correlation(1, 2) / WAD
        netted = agree(world, words, [long, short])[1]
        assert netted == pytest.approx(single[0] * (2 - 2 * rho) ** 0.5, rel=1e-6)
        assert 0 < rho < 1 and netted < gross


def test_a_hedge_never_brings_parametric_margin_below_the_single_asset_floor(published, chain):
    world, words = published
    with chain.isolate():
        in_force(world, correlationWidth=0, singleAssetFloor=9 * WAD // 10)
        hedged = [linear(1, 10**24), linear(4, -(10**24))]
        alone = agree(world, words, hedged[:1])[1]
        assert agree(world, words, hedged)[1] >= alone * 9 // 10


@pytest.mark.parametrize(("count", "places"), [(260, 2), (500, 8), (1000, 4)])
def test_gas_of_the_pass_grows_with_dates_and_underlyings_only(published, chain, count, places):
    world, words = published
    leaving = len(words) if count <= 500 else 0
    with chain.isolate():
        world.publish_in_force(market_words(Random(3), count - len(words) + leaving), leaving)
        exposures = [linear(u, 10**24) for u in IDS[:places]]
        gas = world.gas("shortfallAt", exposures, 10**30)
    per_date = {2: 200, 4: 260, 8: 480}[places]
    assert gas < 120_000 + places * 18_000 + count * per_date


def falls(order):
    """Return dates on which the first place falls by twelve deviations, less as much of six."""
    return [(1023 - rank) << 90 for rank in order]


@pytest.mark.parametrize("shape", ["ascending", "descending", "in pairs"])
def test_no_order_of_dates_makes_the_tail_dear(published, chain, shape):
    """The first dates lose little, so that all others may be among the greatest losses."""
    world, words = published
    ranks = list(range(1, 461))
    orders = {
        "ascending": ranks,
        "descending": ranks[::-1],
        "in pairs": [rank for pair in zip(ranks[::2], ranks[::-2], strict=True) for rank in pair],
    }
    quiet = [5 * 6 << 5] * 40
    dates = quiet + falls(orders[shape])
    with chain.isolate():
        world.publish_in_force(dates, len(words))
        exposures = [linear(next(iter(BASKET)), 10**24)]
        agree(world, words + dates, exposures)
        assert world.gas("measure", exposures) < 900_000
