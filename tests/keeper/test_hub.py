"""Prices and surfaces from files to a hub, through the sources that can be spoken through."""

import json

import click
import pytest

from scripts import keeper
from scripts._configuration import load_configuration
from scripts._deployment import deploy
from scripts.keeping.chain import Chain
from scripts.keeping.files import FileError, PriceRow
from scripts.keeping.posting import Poster

WAD = 10**18


@pytest.fixture(scope="module")
def hub_file(folder):
    return folder / "hub.json"


@pytest.fixture(scope="module")
def hub(accounts, hub_file):
    return deploy(load_configuration(), accounts[0], hub_file)


@pytest.fixture
def push(hub, hub_file, folder):
    def pushed(name, rows):
        path = folder / "rows.json"
        path.write_text(json.dumps(rows))
        command = keeper.cli.commands[name].callback
        signers = {"signers": ()} if name == "push-prices" else {}
        command(
            manifest_file=hub_file,
            **{"alias": None, "execute": True, "log_format": "json", "file": path},
            **signers,
        )

    return pushed


def test_price_pushed_is_the_hubs_and_a_surface_is_relative_to_it(push, hub, chain):
    push("push-prices", [{"name": "ETH", "price": 2_000}, {"name": "USDT", "price": 0.998}])
    spot = hub.market_data.spot(2)
    assert (spot.index, spot.mark) == (2_000 * WAD, 2_000 * WAD)
    assert hub.market_data.collateralRate(hub.manifest.assets["USDT"]).rate == 998 * 10**15
    chain.mine(timestamp=chain.blocks.head.timestamp + 60)
    push("push-prices", [{"name": "ETH", "price": 1_960, "mark": 1_958, "confidence": 1}])
    spot = hub.market_data.spot(2)
    assert (spot.index, spot.mark) == (1_960 * WAD, 1_958 * WAD)
    expiry = hub.market_data.liveExpiries(2)
    assert not expiry, "no surface was posted"
    now = chain.blocks.head.timestamp
    listed = next(
        e
        for e in range(now // 3_600 * 3_600 + 3_600, now + 15 * 86_400, 3_600)
        if hub.parameters.isExpiryListed(2, e)
    )
    row = {"underlying": "ETH", "expiry": listed, "forward": 1_979.6, "a": 0.002, "b": 0.02}
    push("post-surfaces", [row | {"rho": -0.1, "m": 0, "sigma": 0.1}])
    assert hub.market_data.slice(2, listed, spot.index).forward == 19_796 * 10**17


def test_price_without_a_source_that_can_be_spoken_through_is_refused(push, hub):
    with pytest.raises(click.ClickException, match="no name 'WETH' in the deployment"):
        push("push-prices", [{"name": "WETH", "price": 1}])


def test_signatures_that_are_missing_are_asked_for(hub, accounts, folder):
    poster = Poster(Chain(), hub, accounts[0], [accounts[0]])
    with pytest.raises(FileError, match=r"reports need 2 of the signatures of .* --signer ALIAS"):
        poster.check_prices(folder, [PriceRow(name="ETH", price=2_000)])
