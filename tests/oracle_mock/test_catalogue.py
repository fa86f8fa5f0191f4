"""Every named path can be played: same names on each, sound snapshots, one path per seed."""

import pytest

from oracle_mock import catalogue, replays
from oracle_mock.market import validate


@pytest.mark.parametrize("name", catalogue.PATHS)
def test_named_path_is_sound_and_holds_every_name(name):
    path = catalogue.build(name, seed=7)
    assert len(path) >= 30
    times = [snapshot.time for snapshot in path]
    assert times == sorted(set(times))
    for snapshot in path:
        validate(snapshot)
        assert {"BTC", "ETH", "SOL"} <= set(snapshot.markets)
        assert set(catalogue.RATES) <= set(snapshot.rates)


@pytest.mark.parametrize("name", ["flash-crash", "pump", "depeg"])
def test_seeded_path_is_that_of_its_seed(name):
    assert catalogue.build(name, 1) == catalogue.build(name, 1)
    assert catalogue.build(name, 1) != catalogue.build(name, 2)


def test_unknown_path_is_refused_with_those_there_are():
    with pytest.raises(KeyError, match="no path 'moon'; there are jump-diffusion, flash-crash"):
        catalogue.build("moon", 1)


def extremes(path, price):
    values = [price(snapshot) for snapshot in path]
    return min(values), max(values)


def test_paths_do_what_they_say():
    crash = catalogue.build("flash-crash", 3)
    low, high = extremes(crash, lambda s: s.markets["ETH"].index)
    assert low / high == pytest.approx(0.6)
    low, high = extremes(catalogue.build("pump", 3), lambda s: s.markets["SOL"].index)
    assert high / low == pytest.approx(24)
    low, _ = extremes(catalogue.build("depeg", 3), lambda s: s.rates["USDT"].value)
    assert low == pytest.approx(0.7)
    low, _ = extremes(catalogue.build("usdc-2023-03", 3), lambda s: s.rates["USDT"].value)
    assert 0.87 < low < 0.93
    low, _ = extremes(catalogue.build("steth-2022-06", 3), lambda s: s.rates["wstETH"].value)
    assert low == pytest.approx(1.2 * 0.937, rel=0.01)


def test_one_venue_printed_a_price_that_no_other_did():
    path, venue = replays.usde_2025_10(), replays.usde_venue()
    assert venue.value.min() == 0.65
    assert extremes(path, lambda s: s.rates["USDe"].value) == (1.0, 1.0)
    low, high = extremes(path, lambda s: s.markets["ETH"].index)
    assert low / high < 0.92
