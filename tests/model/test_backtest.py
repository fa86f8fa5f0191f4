"""The backtest's parts on seeded histories: statistics by hand, margins against the ideal layer."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from reference_model import types, vectors
from reference_model.backtest import books, crash, history, statistics, summary
from reference_model.backtest import generations as g
from reference_model.backtest.generations import Margins, Moments, Predictive
from reference_model.ideal import margin, scenarios
from reference_model.ideal.instruments import Instruments, Kind
from reference_model.ideal.predictive import Vectors

DAYS, LISTED_DAY = 420, 40
AT_HOUR = 24
DEFAULT = Predictive()
COUNT, SHARE = DEFAULT.dates, DEFAULT.tail_share


def synthetic(seed=1, days=DAYS):
    """Three underlyings with fat tails and a common factor; SOL is listed later."""
    rng = np.random.default_rng(seed)
    hours = days * 24 + 1
    common = rng.standard_t(4, (hours, 1))
    own = rng.standard_t(4, (hours, 3))
    returns = 0.0045 * np.array([1.0, 1.3, 1.7]) * (0.8 * common + 0.6 * own) / np.sqrt(2)
    prices = np.array([10_000.0, 300.0, 20.0]) * np.exp(np.cumsum(returns, axis=0))
    prices[: LISTED_DAY * 24, 2] = np.nan
    implied = 0.7 * np.exp(0.02 * np.cumsum(rng.standard_t(4, hours)) / np.sqrt(24))
    time = 1_600_000_000 // 86_400 * 86_400 + 3_600 * np.arange(hours)
    return history.Hourly(time, prices, implied[:, None] * [1.0, 1.27, 1.87])


def explore(hourly, rows):
    """Everything known at some rows about the standard books."""
    following, holdings = history.Following(), books.arrange(books.standard(1))
    world = g.World(hourly, history.observe(hourly, following), g.Terms())
    lists = [history.dates(hourly, following, places, AT_HOUR) for places in (2, 3)]
    moments = Moments(rows, rows)
    scanned = g.scan(world, moments, holdings)
    found = g.profile(world, moments, holdings)
    measured = g.shortfalls(world, moments, holdings, found, lists, [COUNT], [SHARE])
    return world, holdings, lists, moments, scanned, found, measured[COUNT, SHARE]


@pytest.fixture(scope="module")
def hourly():
    return synthetic()


@pytest.fixture(scope="module")
def explored(hourly):
    return explore(hourly, np.arange(320 * 24, (DAYS - 1) * 24, 72))


# Statistics --------------------------------------------------------------------------------------


def test_kupiec_agrees_with_the_example_of_jorion():
    # Jorion, "Value at Risk", backtesting: 20 exceptions in 252 days at 95 %, LR = 3.91.
    assert statistics.likelihood_ratio_of_rate(20, 252, 0.05) == pytest.approx(3.91, abs=0.005)


def test_kupiec_is_zero_at_the_expected_rate_and_by_hand_without_exceptions():
    assert statistics.likelihood_ratio_of_rate(5, 100, 0.05) == pytest.approx(0, abs=1e-12)
    by_hand = -2 * 100 * np.log(0.95)
    assert statistics.likelihood_ratio_of_rate(0, 100, 0.05) == pytest.approx(by_hand)


def test_christoffersen_agrees_with_a_chain_by_hand():
    hits = np.array([0, 0, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0], bool)
    n00, n01, n10, n11 = 4, 2, 2, 3
    chain = n00 * np.log(4 / 6) + n01 * np.log(2 / 6) + n10 * np.log(2 / 5) + n11 * np.log(3 / 5)
    common = (n00 + n10) * np.log(6 / 11) + (n01 + n11) * np.log(5 / 11)
    found = statistics.likelihood_ratio_of_independence(hits)
    assert found == pytest.approx(2 * (chain - common))


def test_clusters_are_rejected_and_spread_exceptions_are_not():
    clustered, spread = np.zeros(1_000, bool), np.zeros(1_000, bool)
    clustered[500:510], spread[::100] = True, True
    assert statistics.coverage(clustered, 0.01).independence < 1e-6
    assert statistics.coverage(spread, 0.01).independence > 0.5
    assert statistics.coverage(spread, 0.01).unconditional == pytest.approx(1)


def test_tests_reject_a_true_rate_as_often_as_they_say():
    rng = np.random.default_rng(1)
    found = [statistics.coverage(row, 0.05) for row in rng.random((2_000, 500)) < 0.05]
    for name in ("unconditional", "conditional"):
        rejected = np.mean([getattr(each, name) < 0.05 for each in found])
        assert 0.025 < rejected < 0.085, name


def test_no_exception_is_no_cluster():
    found = statistics.coverage(np.zeros(100, bool), 0.01)
    assert (found.exceptions, found.rate, found.independence) == (0, 0, 1)


def test_shortfall_ratio_looks_beyond_value_at_risk_alone():
    losses, risk, shortfall = np.array([1.0, 5, 9]), np.array([2.0, 2, 2]), np.array([4.0, 4, 6])
    assert statistics.shortfall_ratio(losses, risk, shortfall) == pytest.approx((5 / 4 + 9 / 6) / 2)
    assert np.isnan(statistics.shortfall_ratio(losses, risk + 10, shortfall))


def test_procyclicality_of_a_path_by_hand():
    path = np.array([2.0, 1, 3, 6, 2])
    assert statistics.greatest_rise(path, 1) == 2
    assert statistics.greatest_rise(path, 2) == 5
    assert statistics.peak_to_trough(path) == 6


# Histories ---------------------------------------------------------------------------------------


def test_corners_interpolate_moves_exactly():
    rng = np.random.default_rng(2)
    z = rng.uniform(vectors.NODES[0], vectors.NODES[-1], (500, 2))
    y = rng.uniform(vectors.VOL_NODES[0], vectors.VOL_NODES[-1], (500, 2))
    z[:20, 0], y[:20, 1] = vectors.NODES[rng.integers(0, 11, 20)], vectors.VOL_NODES[1]
    weights = history.corners(z, y)
    k, v, c, d = np.indices((10, 3, 2, 2)).reshape(4, -1)
    assert weights.min() >= -1e-12 and (np.count_nonzero(weights, axis=2) <= 3).all()
    np.testing.assert_allclose(weights.sum(axis=2), 1)
    np.testing.assert_allclose(weights @ vectors.NODES[k + d], z, atol=1e-12)
    np.testing.assert_allclose(weights @ vectors.VOL_NODES[v + c], y, atol=1e-12)


def test_dates_in_force_end_a_day_before():
    dates = history.Dates(np.zeros((600, 2, 120)), 24 * np.arange(600))
    rows = history.in_force(dates, 24 * 550, 500, 250)
    assert (rows.start, rows.stop) == (50, 550)
    assert dates.hours[rows][-1] == 24 * 549
    assert history.in_force(dates, 24 * 249, 500, 250) is None
    assert history.in_force(dates, 24 * 250, 500, 250) == slice(0, 250)


def test_states_keep_their_bounds_and_look_ahead_upwards(explored, hourly):
    state, following = explored[0].state, history.Following()
    assert (state.scan_range >= np.array(following.scan_range)).all()
    assert (state.scan_range <= np.array(following.max_scan_range)).all()
    assert (state.initial_scan_range >= state.scan_range).all()
    assert (state.initial_deviation >= state.deviation).all()
    fall = np.log(state.deviation[1:] / state.deviation[:-1])
    assert fall.min() > -following.fall_rate - 1e-12 and fall.max() < following.rise_rate + 1e-12
    listed = LISTED_DAY * 24
    assert (state.correlation[: listed + 1, 0, 2] == 0).all()
    assert state.correlation[-1, 0, 2] > 0.3
    assert np.isnan(hourly.prices[listed - 1, 2])


def test_no_margin_knows_the_future(hourly):
    rows, cut = np.array([330 * 24, 350 * 24]), 350 * 24
    rng = np.random.default_rng(3)
    prices, implied = hourly.prices.copy(), hourly.implied.copy()
    prices[cut + 1 :] *= np.exp(0.1 * rng.normal(size=prices[cut + 1 :].shape))
    implied[cut + 1 :] *= 1.5
    before = explore(hourly, rows)
    after = explore(hourly._replace(prices=prices, implied=implied), rows)
    for known, changed in zip(before[4:], after[4:], strict=True):
        for one, other in zip(known, changed, strict=True):
            np.testing.assert_array_equal(one, other)
    assert np.isfinite(before[-1].shortfall).any()
    following = Moments(rows + 24, rows)
    assert (
        g.profits(before[0], following, before[1])[1] != g.profits(after[0], following, after[1])[1]
    ).all()


# Margins -----------------------------------------------------------------------------------------


def all_words(hourly):
    """Every date of a history, as the publisher packs it."""
    following = history.Following()
    found = vectors.from_history(
        hourly.prices,
        hourly.implied,
        following.decay_seconds,
        following.vol_range,
        bar_seconds=3_600,
    )
    return vectors.encode(found.price_moves, found.vol_moves)


def ideal_margins(world, holdings, words, hour):
    """The ideal layer's own requirements of books, every option revalued at every date."""
    market = g._market(world, hour, hour, holdings)
    covered = np.ones(3, bool)
    given = Vectors(
        SHARE, 86_400, DEFAULT.floor_weight, DEFAULT.parametric_weight, DEFAULT.correlation_width,
        DEFAULT.single_asset_floor, *vectors.decode(words, 3), 0, 0, 1.0, covered, covered,
        world.state.deviation[hour], world.state.initial_deviation[hour],
        world.state.correlation[hour],
    )  # fmt: skip
    market = market._replace(predictive=given)
    first = world.hourly.prices[hour][holdings.underlying]
    is_dated = holdings.days > 0
    instruments = Instruments(
        holdings.underlying + 1,
        np.where(is_dated, world.hourly.time[hour] + holdings.days * 86_400, 0),
        holdings.kind,
        np.where(holdings.kind >= Kind.CALL, holdings.strike * first, 1.0),
    )
    account, column = np.nonzero(holdings.sizes)
    count = len(holdings.sizes)
    portfolios = margin.Portfolios(
        account, column, holdings.sizes[account, column] * books.NOTIONAL / first[column],
        np.zeros(len(account)), np.zeros(count), np.full(count, 2),
        np.zeros((count, 0)), np.zeros((count, 3)),
    )  # fmt: skip
    return margin.margin(market, scenarios.price(market, instruments), portfolios)


def test_predictive_margin_is_never_below_the_ideal_layer_and_equal_for_linear_books(hourly):
    rows = np.array([AT_HOUR + 24 * day for day in (330, 380)])
    world, holdings, (_, three), moments, scanned, found, _ = explore(hourly, rows)
    # One list for all books, as the ideal layer has it.
    measured = g.shortfalls(world, moments, holdings, found, [three], [COUNT], [SHARE])[
        COUNT, SHARE
    ]
    risk = g.parametric(world, moments, found, DEFAULT)
    mine = g.predictive_margins(world, moments, scanned, measured.shortfall, risk, DEFAULT)
    is_linear = (np.abs(holdings.sizes) @ (holdings.kind >= Kind.CALL)) == 0
    assert is_linear.sum() >= 5
    words = all_words(hourly)
    for t, hour in enumerate(rows):
        in_force = words[history.in_force(three, hour, COUNT, 250)]
        ideal = ideal_margins(world, holdings, in_force, hour)
        exact = ideal.predictive
        assert (measured.shortfall[t] >= exact.shortfall * (1 - 1e-9)).all()
        np.testing.assert_allclose(
            measured.shortfall[t, is_linear], exact.shortfall[is_linear], rtol=1e-9
        )
        # What the contract charges for not revaluing options at every date.
        assert measured.shortfall[t].sum() <= 1.2 * exact.shortfall.sum()
        np.testing.assert_allclose(scanned.tail_risk[t], exact.tail_risk, rtol=1e-9)
        np.testing.assert_allclose(risk[t], exact.parametric, rtol=1e-9)
        np.testing.assert_allclose(
            mine.maintenance[t, is_linear], exact.maintenance_margin[is_linear], rtol=1e-9
        )
        np.testing.assert_allclose(
            mine.initial[t, is_linear], exact.initial_margin[is_linear], rtol=1e-9
        )


def test_generations_are_ordered_where_the_specification_says_so(explored):
    _, _, _, _, scanned, _, measured = explored
    assert (scanned.maintenance <= scanned.isolated_maintenance + 1e-6).all()
    assert (scanned.initial <= scanned.isolated_initial + 1e-6).all()
    assert (scanned.initial >= scanned.maintenance).all()
    assert (measured.shortfall >= measured.value_at_risk).all()
    assert (measured.value_at_risk >= 0).all()


def test_more_floor_more_margin_and_a_full_floor_covers_the_tails(explored):
    world, _, _, moments, scanned, found, measured = explored
    risk = g.parametric(world, moments, found, DEFAULT)
    several = [
        g.predictive_margins(
            world, moments, scanned, measured.shortfall, risk, replace(DEFAULT, floor_weight=weight)
        )
        for weight in (0.25, 0.5, 1.0)
    ]
    for less, more in pairwise(several):
        assert (more.maintenance >= less.maintenance).all()
    least = world.terms.maintenance_factor * scanned.tail_risk + scanned.charges
    assert (several[-1].maintenance >= least - 1e-6).all()


def test_a_wider_box_never_needs_less(explored):
    world, _, _, moments, _, found, _ = explored
    widths = [
        g.parametric(world, moments, found, replace(DEFAULT, correlation_width=width))
        for width in (0, 0.3, 1)
    ]
    assert (widths[0] <= widths[1] + 1e-6).all() and (widths[1] <= widths[2] + 1e-6).all()


def test_value_at_risk_is_exceeded_as_often_as_it_says_where_days_are_alike():
    # Independent days, the same volatility throughout: nothing but the counting is tested.
    hourly = synthetic(seed=5, days=760)
    rows = AT_HOUR + 24 * np.arange(360, 755)
    holdings = books.arrange([books.Book("long", (books.perpetual(0, 1.0),), False)])
    following = history.Following(decay_seconds=86_400 * 100)
    world = g.World(hourly, history.observe(hourly, following), g.Terms())
    lists = [history.dates(hourly, following, 2, AT_HOUR)]
    moments = Moments(rows, rows)
    found = g.profile(world, moments, holdings)
    measured = g.shortfalls(world, moments, holdings, found, lists, [250], [0.05])[250, 0.05]
    losses = -g.profits(world, Moments(rows + 24, rows), holdings)[:, 0]
    tested = statistics.coverage(losses > measured.value_at_risk[:, 0], 0.05)
    assert tested.days == 395 and tested.unconditional > 0.01, tested


# Profits -----------------------------------------------------------------------------------------


def test_profits_are_those_of_the_prices(explored, hourly):
    world, rows = explored[0], np.array([340 * 24, 341 * 24])
    legs = (books.call(0, 1.0, 30, 1), books.put(0, 1.0, 30, -1))
    holdings = books.arrange(
        [
            books.Book("long", (books.perpetual(0, 1),), False),
            books.Book("parity", legs, True),
            books.Book("carry", (books.spot(0, 1), books.perpetual(0, -1)), True),
        ]
    )
    profit = g.profits(world, Moments(rows + 24, rows), holdings)
    returns = hourly.prices[rows + 24, 0] / hourly.prices[rows, 0] - 1
    np.testing.assert_allclose(profit[:, 0], books.NOTIONAL * returns)
    np.testing.assert_allclose(profit[:, 1], books.NOTIONAL * returns, rtol=1e-9)
    np.testing.assert_allclose(profit[:, 2], -books.HAIRCUTS[0] * books.NOTIONAL * returns)


def test_theta_and_volatility_count(explored, hourly):
    world, row = explored[0], np.array([340 * 24])
    still = hourly._replace(
        prices=np.broadcast_to(hourly.prices[row], hourly.prices.shape),
        implied=np.broadcast_to(hourly.implied[row], hourly.implied.shape),
    )
    straddle = books.Book("s", (books.call(0, 1.0, 30, 1), books.put(0, 1.0, 30, 1)), False)
    holdings = books.arrange([straddle])
    decay = g.profits(world._replace(hourly=still), Moments(row + 24, row), holdings)[0, 0]
    assert -0.01 * books.NOTIONAL < decay < 0
    timeless = g.profits(world._replace(hourly=still), Moments(row + 24, row), holdings, ages=False)
    assert timeless[0, 0] == 0
    higher = still._replace(implied=still.implied.copy())
    higher.implied[row + 24] *= 1.2
    gain = g.profits(world._replace(hourly=higher), Moments(row + 24, row), holdings)[0, 0]
    assert gain > decay + 0.01 * books.NOTIONAL


def test_what_is_not_known_is_nan(hourly):
    state = history.observe(hourly, history.Following())
    world, row = g.World(hourly, state, g.Terms()), np.array([LISTED_DAY * 12])
    standard = books.standard(1)
    known = g.known(world, Moments(row, row), books.arrange(standard))[0]
    assert known.tolist() == [books.SOL not in book.underlyings for book in standard]


# Crashes and the choice --------------------------------------------------------------------------


def test_accounts_are_sold_at_the_first_hour_below_maintenance():
    equity = np.array([[10.0, 10, 10, 10], [4, 6, -3, np.nan], [20, -9, 20, 10]])
    maintenance = np.full((3, 4), 5.0)
    found = crash.outcome(equity, maintenance)
    assert found.liquidated.tolist() == [True, True, True, False]
    assert found.insolvent.tolist() == [False, True, True, False]


def test_one_account_outlives_the_positions_it_is_made_of(hourly):
    prices = hourly.prices.copy()
    opened = 340 * 24
    fall = np.interp(np.arange(25), [0, 24], [0, np.log(0.75)])
    prices[opened : opened + 25, :2] = prices[opened, :2] * np.exp(fall)[:, None]
    changed = hourly._replace(prices=prices)
    world, holdings, lists, *_ = explore(changed, np.array([opened]))
    played = crash.play(world, holdings, lists, opened, 24, DEFAULT)
    names = [book.name for book in books.standard(1)]
    pair = names.index("BTC against ETH")
    assert crash.isolated_positions(played, 1.0).liquidated[pair]
    assert not crash.same_capital(played, "portfolio", 1.0).liquidated[pair]
    assert not crash.same_capital(played, "predictive", 1.0).liquidated[pair]
    assert crash.own_capital(played, "predictive", 1.0).liquidated[names.index("long BTC")]
    legs = np.bincount(played.leg_book, played.leg_margins.initial[0], len(names))
    np.testing.assert_allclose(legs[pair], played.margins["isolated"].initial[0, pair], rtol=1e-9)


def test_score_counts_the_worst_book_by_hand():
    profits = np.tile([[-2.0, 1], [-1, -1], [3, 3], [0, 0]], (10, 1))
    initial = np.tile([[2.0, 1], [4, 1], [2, 1], [2, 1]], (10, 1))
    margins = Margins(np.full((40, 2), 1.5), initial)
    found = summary.score(margins, profits, np.ones((40, 2), bool))
    assert (found.maintenance, found.worst_maintenance) == (0.125, 0.25)
    assert (found.initial, found.worst_initial) == (0.0, 0.0)
    assert found.excess == pytest.approx(2 / 1.5)
    assert found.rise_1 == pytest.approx((1.0 + 0.0) / 2)
    assert found.peak_to_trough == pytest.approx((2.0 + 1.0) / 2)
    assert found.capital == pytest.approx((2.5 + 1.0) / 2)


def test_score_counts_books_with_significantly_too_many():
    profits, ones = np.zeros((1_000, 3)), np.ones((1_000, 3))
    profits[::100, 0], profits[::40, 1], profits[:11, 2] = -1.5, -1.5, -2.5
    # The expected rate; far more than it of maintenance; too many of initial margin alone.
    found = summary.score(Margins(ones, 2 * ones), profits, ones > 0)
    assert found.too_many == 2


def test_choice_keeps_to_targets_then_takes_the_least_dear():
    base = summary.Score(0.001, 0.01, 0.001, 0.005, 0, 1.2, 2.0, 0.5, 1.0, 1.0, 100.0)
    calm = base._replace(peak_to_trough=1.5, capital=120.0)
    dear = base._replace(peak_to_trough=1.4, capital=150.0)
    unsafe = base._replace(too_many=1, peak_to_trough=1.0, capital=50.0)
    assert summary.choose([base, unsafe, dear, calm]) == 3
    assert summary.choose([unsafe]) is None


def test_defaults_are_those_of_the_model():
    chosen, model = Predictive(), types.PredictiveParameters()
    for name in (
        "tail_share", "floor_weight", "parametric_weight", "correlation_width", "single_asset_floor"
    ):  # fmt: skip
        assert getattr(chosen, name) == getattr(model, name) / types.WAD, name
