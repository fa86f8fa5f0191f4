"""A deployment that takes its prices from one poster, with traders in it."""

import csv
from decimal import Decimal
from itertools import count

import click
import pytest

from oracle_mock.market import pack_svi
from oracle_mock.surface import Svi
from scripts import keeper
from scripts._configuration import load_configuration
from scripts._deployment import deploy
from scripts._orders import OrderDesk, account_of
from scripts.keeping.chain import Chain
from scripts.keeping.posting import Poster

WAD = 10**18
PRICES = {"BTC": 60_000.0, "ETH": 2_000.0, "SOL": 100.0}


class World:
    """A deployment, its people, and their words for what they do."""

    def __init__(self, deployment, accounts, chain, folder):
        self.deployment, self.chain, self.folder = deployment, chain, folder
        self.engine = deployment.margin_engine
        self.deployer, self.trader, self.maker, self.keeper, self.rival = accounts[:5]
        self.desk = OrderDesk(self.engine)
        self.prices = dict(PRICES)
        self._names = count(1)

    @property
    def now(self):
        return self.chain.blocks.head.timestamp

    def post(self, **prices):
        """Post prices, all of now."""
        self.prices |= prices
        ids, now = self.deployment.manifest.underlyings, self.now
        spots = [
            (ids[s], *(round(v * WAD) for v in (p, 0, p, p)), now) for s, p in self.prices.items()
        ]
        self.deployment.market_data.post(spots, [], [], [], sender=self.deployer)

    def post_rates(self):
        """Post one for every collateral."""
        assets = [a for a in self.deployment.manifest.assets.values() if a]
        rates = [(a, WAD, WAD, self.now) for a in assets]
        self.deployment.market_data.post([], [], rates, [], sender=self.deployer)

    def post_slice(self, symbol, expiry, volatility=0.6):
        """Post a slice at the index."""
        years = (expiry - self.now) / 31_536_000
        svi = Svi(volatility**2 * years * 0.8, 0.1 * years**0.5, 0.0, 0.0, 0.2)
        u, forward = self.deployment.manifest.underlyings[symbol], round(self.prices[symbol] * WAD)
        row = (u, expiry, forward, WAD, pack_svi(svi), self.now)
        self.deployment.market_data.post([], [row], [], [], sender=self.deployer)

    def deposit(self, account, amount, symbol="USDC"):
        """Let the owner of an account mint whole tokens and pay them in."""
        token, owners = self.deployment.tokens[symbol], (self.trader, self.maker, self.rival)
        payer = next((o for o in owners if account_of(o) >> 8 == account >> 8), self.deployer)
        raw = round(amount * 10 ** token.decimals())
        token.mint(payer, raw, sender=payer)
        token.approve(self.engine, raw, sender=payer)
        asset = self.deployment.manifest.assets[symbol]
        self.engine.deposit(account, asset, raw, sender=payer)
        return account

    def trade(self, account, size, price, instrument, sub_id=0):
        """Let the trader's account buy from the maker, or sell; size in whole units."""
        maker, deadline = account_of(self.maker), self.now + 86_400
        units, price = round(size * WAD), round(price * WAD)
        resting = self.desk.order(self.maker, maker, instrument, -units, price, deadline)
        taking = self.desk.order(self.trader, account, instrument, units, price, deadline)
        arguments = self.desk.fill(self.maker, resting, self.trader, taking)
        self.engine.matchOrders(*arguments, sender=self.deployer)

    def perpetual(self, symbol="ETH"):
        return self.deployment.manifest.underlyings[symbol] << 120

    def assess(self, account):
        return self.deployment.margin_lens.assess(account)

    def file(self, rows, suffix=".csv"):
        """Write rows to a file of their own."""
        path = self.folder / f"rows-{next(self._names)}{suffix}"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("keeper")


@pytest.fixture(scope="module")
def manifest_file(folder):
    return folder / "manifest.json"


@pytest.fixture(scope="module")
def deployment(accounts, manifest_file):
    """Without stakers, so that deleveraging can come to be due."""
    configuration = load_configuration().with_feed()
    rules = configuration.liquidation
    fund = rules.insurance_fund.model_copy(update={"seed": Decimal(0)})
    rules = rules.model_copy(update={"insurance_fund": fund})
    configuration = configuration.model_copy(update={"liquidation": rules})
    return deploy(configuration, accounts[0], manifest_file)


@pytest.fixture(scope="module")
def world(deployment, accounts, chain, folder):
    """Vectors in force, prices posted, the maker rich, one trader ten ETH long with 6,000 USD."""
    chain.mine(timestamp=deployment.predictive_model.publication().end)
    world = World(deployment, accounts, chain, folder)
    world.post()
    world.post_rates()
    world.deposit(account_of(world.maker), 500_000)
    world.deposit(account_of(world.keeper), 100_000)
    world.deposit(account_of(world.rival), 100_000)
    world.long = world.deposit(account_of(world.trader), 6_000)
    world.trade(world.long, 10, 2_000, world.perpetual())
    return world


@pytest.fixture
def poster(world):
    return Poster(Chain(), world.deployment, world.deployer, [])


@pytest.fixture
def call(world, manifest_file, folder, capsys):
    """Run a command in this process, on the tests' chain, with the defaults of its options."""

    def run(name, **given):
        command = keeper.cli.commands[name]
        none = click.Context(command)
        values = {
            p.name: () if getattr(p, "multiple", False) else p.get_default(none)
            for p in command.params
        }
        values |= {"manifest_file": manifest_file, "log_format": "json"}
        if "checkpoint_file" in values:
            values["checkpoint_file"] = folder / "commands.sqlite"
        unknown = {"network", "provider_settings", "help"}
        capsys.readouterr()
        command.callback(**{k: v for k, v in (values | given).items() if k not in unknown})
        return capsys.readouterr()

    return run
