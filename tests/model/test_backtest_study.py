"""The backtest's command: what it reads, what it writes, what it says without the histories."""

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from model.test_backtest import synthetic

from reference_model.backtest import books, generations, history
from scripts import backtest
from scripts.backtesting import data, figures, report, study
from scripts.benchmarks import coverage

ROOT = Path(__file__).parents[2]
ASSETS = ("BTC", "ETH", "SOL")
DAYS = 330


def write_gzip(path, heads, rows):
    with gzip.open(path, "wt", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(heads)
        writer.writerows(rows)


def stamps(times):
    return [f"{np.datetime64(int(time), 's')}Z" for time in times]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The files of the real folder, with seeded histories in them."""
    folder, hourly = tmp_path_factory.mktemp("histories"), synthetic(days=DAYS)
    opened = stamps(hourly.time - 3_600)
    for column, name in enumerate(data.PRICES.values()):
        rows = [
            (at, price)
            for at, price in zip(opened, hourly.prices[:, column], strict=True)
            if np.isfinite(price)
        ]
        write_gzip(folder / name, ("timestamp", "close"), rows)
    half = len(opened) // 2
    index = 100 * hourly.implied[half:, 0]
    write_gzip(
        folder / data.VOLATILITY_INDEX,
        ("timestamp", "dvol_close"),
        zip(opened[half:], index, strict=True),
    )
    after = hourly.time[-1] + 86_400
    rows = [
        (stamps([after])[0], "BTC", stamps([after + days * 86_400])[0], iv)
        for days, iv in ((20, 0.5), (40, 0.6))
    ]
    write_gzip(folder / data.TERM_STRUCTURE, ("timestamp", "currency", "expiry", "atm_iv"), rows)
    return folder


@pytest.fixture(scope="module")
def results(folder):
    told = []
    settings = study.Settings(days=12, sweep=False)
    found = study.run(data.read(folder).hourly, settings, told.append)
    assert len(told) == study.steps(data.read(folder).hourly, settings)
    return found


def test_missing_histories_say_what_to_do(tmp_path):
    said = CliRunner().invoke(backtest.cli, ["--data", str(tmp_path), "--out", str(tmp_path / "x")])
    assert said.exit_code == 1
    for word in ("--data", data.VOLATILITY_INDEX, "docs/backtest.md"):
        assert word in said.output
    assert not (tmp_path / "x").exists()


def test_a_quick_run_is_not_published(tmp_path):
    said = CliRunner().invoke(backtest.cli, ["--quick", "--publish", "--data", str(tmp_path)])
    assert said.exit_code == 1 and "whole run" in said.output


def test_reading_keeps_prices_gaps_and_seams(folder):
    hourly, source = data.read(folder)
    original = synthetic(days=DAYS)
    np.testing.assert_array_equal(hourly.time, original.time)
    np.testing.assert_allclose(hourly.prices, original.prices)
    half = len(hourly.time) // 2
    assert (source[:half] == 0).all() and (source[half:] == 1).all()
    assert np.isnan(hourly.implied[half - history.DAY_HOURS : half]).all()
    np.testing.assert_allclose(hourly.implied[half:, 0], original.implied[half:, 0])
    before = half - history.DAY_HOURS - 1
    realised = data.realised(original.prices)[before, 0]
    assert hourly.implied[before, 0] == pytest.approx(data.IMPLIED_OVER_REALISED * realised)
    ratios = np.array(data.OVER_BTC)
    np.testing.assert_allclose(hourly.implied[before], hourly.implied[before, 0] * ratios)


def test_thirty_days_are_interpolated_in_variance(folder):
    _, (found,) = data._thirty_days(folder / data.TERM_STRUCTURE)
    assert found**2 * 30 == pytest.approx((0.25 * 20 + 0.36 * 40) / 2)


def test_report_and_pictures_are_written(results, folder, tmp_path):
    text = report.write(results, {"a ratio": 1.0}, tmp_path)
    assert figures.write(results, tmp_path) == ["backtest-coverage.png", "backtest-paths.png"]
    for book in results.books:
        assert f"| {book.name} |" in text
    with (tmp_path / "coverage.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 7 * len(results.books)
    assert all(0 <= float(row["unconditional"]) <= 1 for row in rows)
    assert {path.name for path in tmp_path.iterdir()} >= {"report.md", "choice.csv", "margins.csv"}


def test_the_same_settings_give_the_same_figures(results, folder):
    again = study.run(
        data.read(folder).hourly, study.Settings(days=12, sweep=False), lambda _: None
    )
    assert report.figures(again) == report.figures(results)


def test_bench_quotes_what_was_published_where_there_are_no_histories(tmp_path, capsys):
    found = coverage.backtest(tmp_path, lambda _: None)
    assert found.pop(coverage.MEASURED) == 0
    assert found == json.loads((ROOT / report.PUBLISHED).read_text())
    assert "no histories" in capsys.readouterr().out


def test_what_is_published_has_the_figures_of_a_run(results):
    published = json.loads((ROOT / report.PUBLISHED).read_text())
    assert published.keys() == report.figures(results).keys()
    for name, value in published.items():
        assert (
            name == "backtest.days"
            or "procyclicality" in name
            or "liquidations" in name
            or (0 <= value <= 1)
        ), name


def test_terms_are_those_that_are_deployed():
    deployed = yaml.safe_load((ROOT / "scripts/deploy.yaml").read_text())
    terms, following = generations.Terms(), history.Following()
    assert terms.maintenance_factor == deployed["global"]["maintenanceFactor"]
    assert terms.initial_factor == deployed["global"]["initialFactor"]
    assert terms.decorrelation == deployed["decorrelations"][0]
    assert following.rise_rate == deployed["global"]["riseRate"]
    assert following.fall_rate == deployed["global"]["fallRate"]
    assert following.decay_seconds == deployed["estimator"]["decaySeconds"]
    assert following.start == tuple(deployed["estimator"]["basket"].values())
    for row, name in enumerate(ASSETS):
        market = deployed["underlyings"][name]
        assert following.scan_range[row] == market["scanRange"]
        assert following.max_scan_range[row] == market["maxScanRange"]
        assert following.scan_multiplier == market["scanMultiplier"]
        assert following.vol_range == terms.vol_range == market["volRange"]
        assert terms.vol_floor == market["volFloor"]
        assert terms.basis_rate[row] == market["basisRate"]
        assert terms.short_option_rate[row] == market["shortOptionRate"]
    haircuts = (deployed["collaterals"][name]["haircut"] for name in ("WBTC", "WETH", "SOL"))
    assert tuple(haircuts) == books.HAIRCUTS
    grid = generations.grid()
    listed = [
        (x, group["vol"], weight)
        for group in deployed["scenarios"]
        for x, weight in group["weightByPrice"].items()
    ]
    mine = zip(grid.price_move, grid.vol_move, grid.weight, strict=True)
    assert sorted((round(x, 6), y, w) for x, y, w in listed) == sorted(
        (round(x, 6), y, w) for x, y, w in mine
    )
    chosen, section = generations.Predictive(), deployed["predictive"]
    assert chosen.tail_share == section["tailShare"]
    assert chosen.floor_weight == section["floorWeight"]
    assert chosen.parametric_weight == section["parametricWeight"]
    assert chosen.correlation_width == section["correlationWidth"]
    assert chosen.single_asset_floor == section["singleAssetFloor"]
