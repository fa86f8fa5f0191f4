"""Seeded paths repeat by seed, do what they are named for and keep every snapshot valid."""

import numpy as np
import pytest

from oracle_mock import paths
from oracle_mock.market import STABLE_LIMIT_PER_HOUR, validate
from oracle_mock.surface import YEAR_SECONDS

MODEL = paths.JumpDiffusion({"BTC": 0.6, "ETH": 0.8})


def index_of(path, name):
    return np.array([snapshot.markets[name].index for snapshot in path])


def volatility(snapshot, name, position):
    part = snapshot.markets[name].slices[position]
    return float(part.svi.volatility(0.0, (part.expiry - snapshot.time) / YEAR_SECONDS))


@pytest.fixture(scope="module", params=[paths.jump_diffusion, paths.flash_crash, paths.depeg])
def make(request, start):
    arguments = {
        paths.jump_diffusion: (MODEL, 30, 3_600),
        paths.flash_crash: ({"BTC": 0.3, "ETH": 0.4},),
        paths.depeg: ("USDC", 0.12),
    }[request.param]
    return lambda seed: request.param(start, *arguments, seed=seed)


def test_same_seed_same_path_and_another_seed_another(make):
    assert make(7) == make(7)
    assert make(7) != make(8)


def test_every_snapshot_is_valid_and_later_than_the_last(make, start):
    path = make(7)
    assert path[0] == start
    for snapshot in path:
        validate(snapshot)
    times = [snapshot.time for snapshot in path]
    assert times == sorted(set(times))


def test_jump_diffusion_has_the_moments_it_names():
    steps, step = 200_000, 86_400
    years = step / YEAR_SECONDS
    returns = MODEL.log_returns(steps, step, seed=1)
    growth = np.exp(np.stack([returns["BTC"], returns["ETH"]]))
    error = growth.std(axis=1) / np.sqrt(steps)
    assert (np.abs(growth.mean(axis=1) - 1) < 4 * error).all(), "a martingale"
    jump_variance = MODEL.jumps_per_year * (MODEL.jump_mean**2 + MODEL.jump_deviation**2)
    for name, sigma in MODEL.volatility.items():
        assert returns[name].var() / years == pytest.approx(sigma**2 + jump_variance, rel=0.03)
    covariance = np.cov(returns["BTC"], returns["ETH"])[0, 1] / years
    common = MODEL.jumps_per_year * MODEL.jump_mean**2
    assert covariance == pytest.approx(MODEL.correlation * 0.6 * 0.8 + common, rel=0.03)


def test_without_jumps_returns_are_those_of_the_diffusion():
    calm = paths.JumpDiffusion({"BTC": 0.6}, jumps_per_year=0.0)
    returns = calm.log_returns(50_000, 3_600, seed=2)["BTC"]
    kurtosis = np.mean((returns - returns.mean()) ** 4) / returns.var() ** 2
    assert kurtosis == pytest.approx(3, abs=0.15)


@pytest.mark.parametrize("seed", range(5))
def test_profile_falls_to_its_depth_and_recovers_the_share_named(seed):
    random = np.random.default_rng(seed)
    profile = paths.fall_and_recovery(0.3, 10, 0.5, 20, random)
    assert len(profile) == 30
    assert profile.min() == profile[9] == 0.7
    assert profile[-1] == pytest.approx(0.85)
    assert (np.diff(np.concatenate([[1.0], profile[:10]])) <= 0).all()
    assert (np.diff(profile[9:]) >= 0).all()


def test_flash_crash_falls_as_deep_as_asked_with_volatility_rising_most_up_front(start):
    path = paths.flash_crash(start, {"BTC": 0.3, "ETH": 0.4}, seed=3)
    for name, depth in (("BTC", 0.3), ("ETH", 0.4)):
        index = index_of(path, name)
        assert index.min() == pytest.approx(index[0] * (1 - depth))
        bottom = path[int(index.argmin())]
        front, back = (volatility(bottom, name, i) / volatility(start, name, i) for i in (4, -1))
        assert front > back > 1
    confidences = [snapshot.markets["BTC"].confidence for snapshot in path]
    assert max(confidences[1:]) > 5 * confidences[0]


def test_depeg_moves_the_rate_and_no_price(start):
    path = paths.depeg(start, "USDC", 0.12, seed=4)
    rates = [snapshot.rates["USDC"].value for snapshot in path]
    assert min(rates) == pytest.approx(0.88)
    assert rates[-1] == pytest.approx(1 - 0.12 * 0.1)
    assert set(index_of(path, "BTC")) == {start.markets["BTC"].index}


def test_advance_without_a_move_lets_variance_and_carry_run_off(start):
    market, later = start.markets["ETH"], start.time + 5 * 86_400
    moved = paths.advance(market, start.time, later, market.index)
    before = {part.expiry: part for part in market.slices}
    assert [part.expiry for part in moved.slices] == [e for e in before if e > later]
    for part in moved.slices[1:]:
        old = before[part.expiry]
        left = (part.expiry - later) / (part.expiry - start.time)
        assert np.log(part.forward / moved.index) == pytest.approx(
            left * np.log(old.forward / market.index)
        )
        assert np.log(part.discount) == pytest.approx(left * np.log(old.discount))
        ratio = part.svi.total_variance(0.0) / old.svi.total_variance(0.0)
        assert float(ratio) == pytest.approx(left)


def test_expiries_settle_once_at_the_first_index_after_them(start):
    path = paths.jump_diffusion(start, MODEL, 48, 3_600, seed=5)
    expiry = start.markets["BTC"].slices[0].expiry
    first = next(snapshot for snapshot in path if snapshot.time >= expiry)
    price = first.markets["BTC"].index
    for snapshot in path:
        known = snapshot.settlements.get(("BTC", expiry))
        assert known == (price if snapshot.time >= expiry else None)


def test_stable_prices_follow_at_a_bounded_rate(start):
    path = paths.flash_crash(start, {"BTC": 0.3}, seed=3, recovery=0.0)
    allowed = STABLE_LIMIT_PER_HOUR * 60 / 3_600
    stable = np.array([snapshot.markets["BTC"].stable_index for snapshot in path])
    changes = stable[1:] / stable[:-1] - 1
    assert changes.min() == pytest.approx(-allowed)
    assert changes.max() <= 0
    assert stable[-1] > index_of(path, "BTC")[-1]
