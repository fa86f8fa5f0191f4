"""Replays say what the extracts say, when they say it."""

import numpy as np
import pytest

from oracle_mock import history, replays
from oracle_mock.market import validate
from oracle_mock.surface import YEAR_SECONDS, delta_moneyness


def quoted(smiles, expiry, time):
    """At-the-money and 25-delta volatilities observed for an expiry at exactly a time."""
    smile = smiles[expiry]
    position = list(smile.time).index(time)
    return smile.atm[position], smile.put25[position], smile.call25[position]


@pytest.mark.parametrize(
    "make",
    [replays.crash_2020_03, replays.usdc_2023_03, replays.steth_2022_06],
)
def test_other_replays_are_valid_throughout(make):
    path = make()
    assert len(path) > 20
    for snapshot in path:
        validate(snapshot)


def test_crash_is_valid_throughout(crash):
    for snapshot in crash:
        validate(snapshot)


@pytest.mark.parametrize("name", ["BTC", "ETH", "SOL"])
def test_crash_shows_each_close_from_the_end_of_its_hour(crash, name):
    bars = history.bars("bars_1h_2026-02.csv.gz", name)
    assert [s.time for s in crash] == [int(time) + 3_600 for time in bars.time]
    assert [s.markets[name].index for s in crash] == list(bars.close)
    assert all(s.markets[name].observed == s.time for s in crash)


def test_crash_with_extremes_reaches_the_low_of_the_day():
    path = replays.crash_2026_02(with_extremes=True)
    assert len(path) == 3 * 96
    assert min(s.markets["BTC"].index for s in path) == 59_800.0


@pytest.mark.parametrize("name", ["BTC", "ETH"])
def test_crash_volatilities_are_those_quoted(crash, name):
    """Exactly at the money; at 25 delta within a few points, for the shape is the chain's."""
    smiles = history.term_structure("term_structure_2026-02.csv.gz", name)
    shapes = {part.expiry: part.svi for part in crash[0].markets[name].slices}
    errors = []
    for time in smiles[max(smiles)].time:
        live = {expiry: svi for expiry, svi in shapes.items() if expiry > time}
        for part in replays._slices(live, smiles, 1.0, int(time)):
            if time not in smiles[part.expiry].time:
                continue
            years = (part.expiry - time) / YEAR_SECONDS
            atm, put, call = quoted(smiles, part.expiry, time)
            assert float(part.svi.volatility(0.0, years)) == pytest.approx(atm)
            for delta, value in ((0.75, put), (0.25, call)):
                k = delta_moneyness(delta, value * years**0.5)
                errors.append(float(part.svi.volatility(k, years)) - value)
    assert len(errors) > 100
    assert np.sqrt(np.mean(np.square(errors))) < 0.025


def test_crash_volatility_rises_and_the_front_most(crash):
    def atm(snapshot, position):
        part = snapshot.markets["BTC"].slices[position]
        return float(part.svi.volatility(0.0, (part.expiry - snapshot.time) / YEAR_SECONDS))

    bottom = min(crash, key=lambda snapshot: snapshot.markets["BTC"].index)
    front = atm(bottom, -7) / atm(crash[0], -7)
    back = atm(bottom, -1) / atm(crash[0], -1)
    assert front > 1.5 > back > 1.05


def test_crash_settles_the_expiry_of_6_february_at_its_hour(crash):
    expiry = history.seconds("2026-02-06T08:00:00Z")
    at_expiry = next(snapshot for snapshot in crash if snapshot.time == expiry)
    assert crash[-1].settlements["BTC", expiry] == at_expiry.markets["BTC"].index
    assert expiry not in [part.expiry for part in at_expiry.markets["BTC"].slices]


def test_series_know_nothing_before_their_time():
    series = replays.Series(np.array([100, 200]), np.array([1.0, 2.0]))
    assert series.at(199) == (1.0, 100)
    assert series.at(200) == (2.0, 200)
    assert series.last_move(250) == 1.0
    with pytest.raises(ValueError, match="nothing known at 99"):
        series.at(99)


def test_swings_pass_the_high_before_the_low_in_a_falling_bar():
    bars = history.Bars(
        np.array([0, 300]), *(np.array(v, float) for v in ([9, 5], [10, 8], [4, 3], [5, 7]))
    )
    swings = replays.swings(bars)
    assert list(swings.time) == [100, 200, 300, 400, 500, 600]
    assert list(swings.value) == [10, 4, 5, 3, 8, 7]


def test_2020_has_stale_bitcoin_between_hours_and_a_discount_of_the_mark():
    path = replays.crash_2020_03()
    ages = {snapshot.time - snapshot.markets["BTC"].observed for snapshot in path}
    assert ages == {0, 600, 1_200, 1_800, 2_400, 3_000}
    last = path[-1].markets["BTC"]
    # Funding of -0.3 %, paid on the 13th at 08:00, means a premium of -0.35 %.
    assert last.mark / last.index - 1 == pytest.approx(-0.0035)
    assert min(snapshot.markets["ETH"].index for snapshot in path) < 100


def test_depegs_reach_their_closing_lows():
    assert min(s.rates["USDC"].value for s in replays.usdc_2023_03()) == pytest.approx(0.901)
    assert min(s.rates["stETH"].value for s in replays.steth_2022_06()) == pytest.approx(
        0.937, abs=5e-4
    )


HALF_PAST_NOON, NOON = (history.seconds(f"2025-10-{day}:00Z") for day in ("10T12:30", "11T12:00"))


def test_october_2025_reaches_both_lows_at_once_with_the_highest_volatility():
    path = replays.crash_2025_10(range(HALF_PAST_NOON, NOON + 1, 600))
    for snapshot in path:
        validate(snapshot)
    lowest = min(path, key=lambda snapshot: snapshot.markets["BTC"].index)
    assert lowest.markets["BTC"].index == pytest.approx(101_516.5)
    assert lowest.markets["ETH"].index == pytest.approx(3_400.0)
    deviation = [float(s.markets["BTC"].slices[0].svi.total_variance(0.0)) for s in path]
    assert path[int(np.argmax(deviation))] is lowest


def test_october_2025_begins_at_the_volatility_of_the_calm_chain():
    first = replays.crash_2025_10([HALF_PAST_NOON])[0]
    month = first.markets["BTC"].slices[1]
    years = (month.expiry - first.time) / YEAR_SECONDS
    assert float(month.svi.volatility(0.0, years)) == pytest.approx(0.385, abs=0.005)
