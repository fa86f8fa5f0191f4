"""`ape run keeper publish-vectors` against a deployment that has the shipped vectors in force."""

import csv
import json
from datetime import UTC, datetime

import click
import numpy as np
import pytest

from scripts import _vectors, keeper
from scripts.keeping.histories import Rules, dates, read_history

DAY = 86_400
DAYS, WINDOW = 320, 300
SYMBOLS = ("BTC", "ETH", "SOL")


class Files:
    """Daily prices of all underlyings up to the day before yesterday; each call adds days."""

    def __init__(self, folder, now):
        self.folder, self.first = folder, (now // DAY - DAYS - 2) * DAY
        steps = np.random.default_rng(5).normal(size=(DAYS + 20, 3)) * 0.03
        self.closes = 100 * np.exp(np.cumsum(steps, axis=0))

    def __call__(self, days=DAYS):
        paths = {}
        for place, symbol in enumerate(SYMBOLS):
            paths[symbol] = self.folder / f"{symbol}.csv"
            with paths[symbol].open("w", newline="") as file:
                rows = csv.writer(file)
                rows.writerow(["timestamp", "close"])
                for i in range(days):
                    opened = datetime.fromtimestamp(self.first + i * DAY, UTC)
                    rows.writerow([opened.isoformat(), repr(float(self.closes[i, place]))])
        return paths


@pytest.fixture
def files(tmp_path, world):
    return Files(tmp_path, world.now)


@pytest.fixture
def publish(call, files):
    def run(days=DAYS, **given):
        return call("publish-vectors", **{"history": files(days), "volatility": {}} | given)

    return run


@pytest.fixture
def model(world):
    return world.deployment.predictive_model


@pytest.fixture
def published(world, publish):
    """All dates published anew, and in force."""
    publish(window=WINDOW, replace=True, execute=True)
    pass_ramp(world)


def pass_ramp(world):
    world.chain.mine(timestamp=world.deployment.predictive_model.publication().end)


def words_of(files):
    rules = _vectors.read_vectors(_vectors.SHIPPED).rules
    assert isinstance(rules, Rules)
    return dates({s: read_history(path) for s, path in files.items()}, {}, rules, 0).words


def in_force(model):
    publication = model.publication()
    return list(model.vectors(publication.leaving, 2_000))


def test_deployment_has_the_shipped_vectors(model, world):
    assert in_force(model) == _vectors.read_vectors(_vectors.SHIPPED).integers()
    assert model.publication().places == 3


def test_dates_are_published_only_when_asked_to(publish, model, files):
    before = in_force(model)
    output = publish(window=WINDOW, replace=True)
    assert "BTC, ETH, SOL: 300 dates enter, 500 leave, 300 in force" in output.out
    assert "cut at the ends: 0.00% of price moves" in output.out
    assert "1 would" in output.out and "give --execute" in output.err
    assert in_force(model) == before
    output = publish(window=WINDOW, replace=True, execute=True)
    (line,) = (json.loads(x) for x in output.out.splitlines() if x.startswith("{"))
    assert line["event"] == "publish" and line["gas"] > 1_000_000 and line["entering"] == 300
    assert in_force(model) == words_of(files())[-WINDOW:]


def test_new_dates_are_found_by_what_is_stored(publish, published, model, files, world):
    assert "Nothing is due" in publish(window=WINDOW, execute=True).out
    world.chain.mine(timestamp=world.now + 3 * DAY)
    output = publish(DAYS + 3, window=WINDOW, execute=True)
    assert "3 dates enter, 3 leave, 300 in force" in output.out and "1 done" in output.out
    assert in_force(model) == words_of(files(DAYS + 3))[-WINDOW:]
    publication = model.publication()
    assert (publication.stored, publication.before, publication.leaving) == (303, 300, 3)


def test_what_lies_ahead_of_the_chain_is_not_taken(publish, published, files, world):
    """Two days later on the chain, of ten more days in the files two count."""
    world.chain.mine(timestamp=(world.now // DAY + 1) * DAY)
    ended = (world.now - files.first) // DAY
    output = publish(ended + 4, window=WINDOW)
    assert f"{ended - DAYS} dates enter" in output.out


def test_publication_under_way_is_waited_for(publish, published, world):
    world.chain.mine(timestamp=world.now + 3 * DAY)
    publish(DAYS + 2, window=WINDOW, execute=True)
    world.chain.mine(timestamp=world.now + 3_600)
    with pytest.raises(click.ClickException, match=r"ends in 82,\d{3} s of active time"):
        publish(DAYS + 3, window=WINDOW, execute=True)
    assert "Nothing is due" in publish(DAYS + 2, window=WINDOW, execute=True).out


def test_dates_of_another_history_are_refused(publish):
    with pytest.raises(click.ClickException, match="are not those of these histories"):
        publish(window=WINDOW, execute=True)


def test_too_few_dates_are_refused(publish):
    with pytest.raises(click.ClickException, match="dates would be in force, at least 250"):
        publish(200, replace=True)


def test_role_is_needed(publish, world):
    governance = world.deployment.governance
    governance.revokeRole(governance.PUBLISHER(), world.deployer, sender=world.deployer)
    with pytest.raises(click.ClickException, match="may not publish: it takes the role PUBLISHER"):
        publish(window=WINDOW, replace=True, execute=True)


@pytest.mark.parametrize(
    ("symbols", "message"),
    [
        (("BTC", "ETH", "XRP"), "no underlying 'XRP'; there are BTC, ETH, SOL, DOGE"),
        (("BTC", "ETH", "DOGE"), "DOGE is not in the basket of the estimator, which has BTC"),
        (("ETH", "SOL"), "a history of BTC is missing: places are filled in the order"),
        (("BTC", "ETH"), "the chain has vectors of BTC, ETH, SOL: dates that stay say nothing"),
    ],
)
def test_places_are_those_of_the_basket(publish, files, manifest_file, tmp_path, symbols, message):
    manifest = json.loads(manifest_file.read_text())
    manifest["underlyings"]["DOGE"] = 9
    longer = tmp_path / "manifest.json"
    longer.write_text(json.dumps(manifest))
    history = dict(zip(symbols, files().values(), strict=False))
    with pytest.raises(click.ClickException, match=message):
        publish(history=history, manifest_file=longer)


def test_volatility_without_prices_is_refused(publish, tmp_path):
    with pytest.raises(click.ClickException, match="a volatility of XRP, but no --history of it"):
        publish(volatility={"XRP": tmp_path / "xrp.csv"})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--history", "BTC"), "'BTC' is not SYMBOL=PATH"),
        (("--history", "BTC=a.csv", "--history", "BTC=b.csv"), "BTC is there more than once"),
        (("--history", "BTC=a.csv", "--window", "249"), "249 is not in the range"),
        ((), "Missing option '--history'"),
    ],
)
def test_what_is_wrong_with_an_option_is_said(given, message):
    with pytest.raises(click.ClickException) as refused:
        keeper.cli.main(["publish-vectors", *given], standalone_mode=False)
    assert message in refused.value.format_message()
