"""Fits are close to the market and free of arbitrage, and stay so when moved."""

import numpy as np
import pytest

from oracle_mock import history
from oracle_mock.surface import (
    YEAR_SECONDS,
    ArbitrageError,
    Svi,
    black76,
    delta_moneyness,
    durrleman,
    fit_error,
    fit_slice,
    flatten,
    grid,
    is_butterfly_free,
    is_calendar_free,
    repair,
    require_arbitrage_free,
    scale_level,
    shift,
    slope_through,
    tilt,
    vega_weight,
)

SOUND = Svi(a=0.01, b=0.1, rho=-0.3, m=0.02, sigma=0.2)
# Vogt's example, known to admit butterfly arbitrage (Gatheral and Jacquier, example 3.1).
VOGT = Svi(a=-0.0410, b=0.1331, rho=0.3060, m=0.3586, sigma=0.4153)


def slices_of(snapshot, underlying):
    return [part.svi for part in snapshot.markets[underlying].slices]


def at_the_money(svi):
    return float(svi.total_variance(0.0))


def skew(svi, deviation):
    return float(svi.total_variance(-deviation) - svi.total_variance(deviation))


def test_black76_agrees_with_a_published_value():
    # Haug, The Complete Guide to Option Pricing Formulas: 1.7011 for F = K = 19, r = 10 %.
    value = black76(19, 19, 0.28 * 0.75**0.5, is_put=True) * np.exp(-0.10 * 0.75)
    assert value == pytest.approx(1.7011, abs=5e-5)


def test_black76_satisfies_parity_and_its_limit():
    for strike in (50.0, 100.0, 180.0):
        call, put = (black76(100.0, strike, 0.3, is_put) for is_put in (False, True))
        assert call - put == pytest.approx(100 - strike)
        assert black76(100.0, strike, 0.0) == max(100 - strike, 0)


def test_vega_weight_is_the_relative_slope_of_the_price_per_root_of_strike():
    step, strikes = 1e-5, np.array([70.0, 100.0, 140.0])
    slopes = np.array(
        [(black76(100, k, 0.3 + step) - black76(100, k, 0.3 - step)) / (2 * step) for k in strikes]
    )
    weights = vega_weight(np.log(strikes / 100), 0.3)
    assert np.allclose(slopes / slopes[1], weights / weights[1], rtol=1e-6)


def test_delta_moneyness_gives_the_delta_asked_for():
    k, step = delta_moneyness(0.25, 0.4), 1e-4
    up, down = (black76(100 * (1 + s), 100 * np.exp(k), 0.4) for s in (step, -step))
    assert (up - down) / (200 * step) == pytest.approx(0.25, abs=1e-6)


@pytest.mark.parametrize("k", np.linspace(-0.5, 0.5, 5))
def test_durrleman_is_the_density_up_to_a_positive_factor(k):
    step = 1e-4

    def call(strike):
        deviation = np.sqrt(SOUND.total_variance(np.log(strike)))
        return black76(1.0, strike, float(deviation))

    strike = np.exp(k)
    density = (call(strike - step) - 2 * call(strike) + call(strike + step)) / step**2
    w = float(SOUND.total_variance(k))
    d2 = -k / w**0.5 - w**0.5 / 2
    factor = np.exp(-(d2**2) / 2) / np.sqrt(2 * np.pi * w) / strike
    assert density == pytest.approx(float(durrleman(SOUND, k)) * factor, rel=1e-3)


def test_checks_find_known_arbitrage():
    assert is_butterfly_free(SOUND)
    assert not is_butterfly_free(VOGT)
    assert not is_butterfly_free(Svi(0.01, 1.9, 0.5, 0.0, 0.2)), "wing above Lee's bound"
    assert not is_butterfly_free(Svi(-0.03, 0.1, 0.0, 0.0, 0.2)), "negative variance"
    assert is_calendar_free(SOUND, scale_level(SOUND, 1.1))
    assert not is_calendar_free(scale_level(SOUND, 1.1), SOUND)
    leaning = Svi(0.02, 0.1, 0.3, 0.02, 0.2)
    assert not is_calendar_free(SOUND, leaning), "the left wing of the far slice is lower"
    with pytest.raises(ArbitrageError, match="butterfly"):
        require_arbitrage_free([VOGT])
    with pytest.raises(ArbitrageError, match="calendar"):
        require_arbitrage_free([scale_level(SOUND, 1.1), SOUND])


@pytest.mark.parametrize("underlying", ["BTC", "ETH"])
def test_fits_are_within_a_volatility_point_on_liquid_strikes(chain_start, underlying):
    name, snapshot = chain_start
    _, chain = history.chain(name, underlying)
    for quotes, svi in zip(chain, slices_of(snapshot, underlying), strict=True):
        use = quotes.liquid
        error = fit_error(svi, quotes.k[use], quotes.mark_iv[use], quotes.tau)
        # Half a day before expiry the wings are no longer those of any SVI slice.
        assert error.rms < (0.01 if quotes.tau > 0.5 / 365 else 0.025)


@pytest.mark.parametrize("underlying", ["BTC", "ETH"])
def test_fits_are_free_of_arbitrage(chain_start, underlying):
    slices = slices_of(chain_start[1], underlying)
    assert len(slices) > 10
    require_arbitrage_free(slices)


def test_fit_recovers_a_slice_from_its_own_quotes():
    k = np.linspace(-0.6, 0.6, 25)
    volatility = SOUND.volatility(k, 0.5)
    assert fit_error(fit_slice(k, volatility, 0.5), k, volatility, 0.5).largest < 5e-4


def test_fit_to_quotes_with_arbitrage_is_free_of_it():
    k = np.linspace(-1.4, 1.4, 57)
    volatility = VOGT.volatility(k, 1.0)
    fitted = fit_slice(k, volatility, 1.0)
    assert is_butterfly_free(fitted)
    assert fit_error(fitted, k, volatility, 1.0).rms < 0.01


def test_fit_under_a_ceiling_stays_under_it():
    k = np.linspace(-0.6, 0.6, 25)
    ceiling = scale_level(SOUND, 0.9)
    fitted = fit_slice(k, SOUND.volatility(k, 0.5), 0.5, ceiling)
    assert is_calendar_free(fitted, ceiling)
    assert fit_error(fitted, k, ceiling.volatility(k, 0.5), 0.5).rms < 0.005


def test_level_tilt_and_flatten_are_the_transformations_they_claim():
    k, w = np.linspace(-1, 1, 21), SOUND.total_variance
    assert np.allclose(scale_level(SOUND, 4).total_variance(k), 4 * w(k / 2))
    assert np.allclose(tilt(SOUND, -0.02).total_variance(k), w(k) - 0.02 * k)
    assert np.allclose(flatten(SOUND, 0.3).total_variance(k), w(0) + 0.3 * (w(k) - w(0)))


def test_tilt_stops_where_a_slice_cannot_lean_further():
    leaning = tilt(SOUND, 1.0)
    assert leaning.rho < 1
    assert at_the_money(leaning) == pytest.approx(at_the_money(SOUND))


def test_slope_through_finds_the_tilt():
    k = np.array([-0.2, 0.15])
    assert slope_through(SOUND, k, tilt(SOUND, 0.03).total_variance(k)) == pytest.approx(0.03)


def test_repair_leaves_sound_slices_alone():
    assert repair(SOUND) is SOUND
    assert repair(SOUND, scale_level(SOUND, 1.2)) is SOUND


def test_repair_keeps_the_level_and_as_much_of_the_smile_as_it_can():
    repaired = repair(VOGT)
    assert is_butterfly_free(repaired)
    assert at_the_money(repaired) == pytest.approx(at_the_money(VOGT))
    assert not is_butterfly_free(flatten(VOGT, repaired.b / VOGT.b * 1.001))


def test_repair_takes_the_ceilings_shape_where_even_a_flat_slice_is_above_it():
    ceiling = scale_level(SOUND, 0.5)
    repaired = repair(SOUND, ceiling)
    require_arbitrage_free([repaired, ceiling])
    assert at_the_money(repaired) == pytest.approx(at_the_money(ceiling), rel=1e-3)


@pytest.mark.parametrize("underlying", ["BTC", "ETH"])
def test_shift_without_a_move_changes_nothing(start, underlying):
    slices = slices_of(start, underlying)
    for old, new in zip(
        slices, shift(slices, np.ones(len(slices)), np.zeros(len(slices))), strict=True
    ):
        k = grid(old)
        assert np.allclose(new.total_variance(k), old.total_variance(k), rtol=1e-6)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("underlying", ["BTC", "ETH"])
def test_shifts_of_any_size_are_free_of_arbitrage(start, underlying, seed):
    slices = slices_of(start, underlying)
    random = np.random.default_rng(seed)
    ratios = np.exp(random.normal(0, 1.5, len(slices)))
    slopes = random.normal(0, 0.3, len(slices)) * [svi.b for svi in slices]
    moved = shift(slices, ratios, slopes)
    require_arbitrage_free(moved)
    assert at_the_money(moved[-1]) == pytest.approx(ratios[-1] * at_the_money(slices[-1]))


@pytest.mark.parametrize("underlying", ["BTC", "ETH"])
def test_a_crash_moves_the_level_as_asked_and_the_skew_towards_puts(start, underlying):
    parts = [part for part in start.markets[underlying].slices if part.expiry > start.time + 86_400]
    slices = [part.svi for part in parts]
    days = np.array([(part.expiry - start.time) / YEAR_SECONDS * 365 for part in parts])
    ratios = (1 + 0.63 * (30 / np.clip(days, 2, 60)) ** 0.35) ** 2
    moved = shift(slices, ratios, [-0.1 * svi.b for svi in slices])
    level = shift(slices, ratios, np.zeros(len(slices)))
    require_arbitrage_free(moved)
    for old, flat, new, ratio in zip(slices, level, moved, ratios, strict=True):
        assert at_the_money(new) == pytest.approx(ratio * at_the_money(old))
        deviation = at_the_money(new) ** 0.5
        assert skew(new, deviation) > skew(flat, deviation)


def test_grid_is_fine_at_the_vertex_and_reaches_the_far_wings():
    points = grid(SOUND)
    assert points.min() < SOUND.m - 24.9 and points.max() > SOUND.m + 24.9
    assert np.diff(points).min() < SOUND.sigma / 50
