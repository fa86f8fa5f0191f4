"""Ledger and prices in one walk: engine and hub, deployed together, against the exact models.

Sources fall silent, lie and disagree, outages come and go, surfaces, volatility and parameters
move, and between any two of these accounts deposit, trade, settle, fall and are sold. After every
action error or events agree, after every step all that either side stores or computes.
"""

from pathlib import Path
from random import Random
from unittest.mock import patch

import ape
import pytest
import yaml
from differential import test_market_state
from differential.chain_market import ChainMarket, Contracts
from differential.test_engine_state import CONFIGURATION, Pair, insure, market_of, set_up
from model import joint_world, market_actions, market_world
from model import ledger_actions as actions
from model import ledger_world as world
from model import liquidation_actions as falls
from model.joint_world import JointWorld
from model.test_market_walks import LEFT_BAND

from reference_model.cases import random_words
from reference_model.exact import oracle_hub, surface_checks
from reference_model.exact.tokens import Token
from reference_model.types import WAD
from scripts._configuration import load_configuration
from scripts._isolation import isolated

SEEDS = (1, 3)
CASH = 300_000 * 10**6
STEPS = 200
ESTIMATOR = 5
SOURCE = {"sources": [{"type": "signed", "maxAge": 300}], "quorum": 1}
PRICE, RATE = {**SOURCE, "band": [1_000, 2_000_000]}, {**SOURCE, "band": [0.02, 50]}
HUB = {
    "signers": {"members": "mock", "threshold": 2},
    "surface": {"maxVolMove": 0.5, "maxForwardMove": 0.02, "minInterval": 60},
    "feeds": {"BTC": PRICE, "ETH": {**PRICE, "band": [50, 150_000]}},
    "rates": {t: RATE for t in ("WETH", "FINE", "COARSE", "DISABLED", "UNPOSTED")}
    | {"STABLE": {"fixed": 1}},
}


# Between crashes as much is settled and accrued as is sold.
KINDS = {
    **falls.LIQUIDATION_KINDS,
    actions._trade: 6,
    actions._withdraw: 5,
    actions._settle: 5,
    actions._accrue: 3,
}


class JointPair(Pair):
    """A pair of ledgers, each with a hub of its own kind."""

    def __init__(self, ledgers: Pair, hubs: test_market_state.Pair) -> None:
        super().__init__(ledgers.chain, ledgers.engine, ledgers.cast)
        self.hubs, self.world = hubs, hubs.world
        self._tell_active_time()

    def _let_pass(self, seconds: int) -> None:
        self.world.now += seconds

    def _tell_active_time(self) -> None:
        """The market of the model is what the hub says now."""
        self.engine.market = self.world.market()

    def market_step(self, choose: actions.Chooser) -> list[str]:
        """Let something happen to prices or parameters."""
        for action in market_actions.draw(choose, self.world, joint_world.KINDS):
            found = self.hubs.do(action)
            if found:
                return found
        return self._compare()

    def step(self, choose: actions.Chooser) -> list[str]:
        """Do whatever is drawn, and look at everything."""
        if choose.integer(0, 2) == 0:
            found = self.market_step(choose)
        else:
            found = self.do(actions.draw(choose, self.engine, self.cast, KINDS))
            self.world.drain()
        return found or self.hubs.chain.differences(self.world)


@pytest.fixture(scope="module")
def machinery(project, accounts, tmp_path_factory):
    """The small market of the ledger's walks, its prices from a hub whose sources are doubles."""
    content = yaml.safe_load(CONFIGURATION.read_text())
    content |= {"marketData": "hub", "hub": HUB}
    content["estimator"]["basket"] = {}
    for underlying in content["underlyings"].values():
        underlying["scanMultiplier"] = 4
    path: Path = tmp_path_factory.mktemp("joint") / "hub.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    chain, deployment, owners = set_up(project, accounts, load_configuration(path))
    governor = accounts[0]
    deployment.governance.grantRole(ESTIMATOR, governor, 0, sender=governor)
    doubles = [governor.deploy(project.SourceDouble) for _ in range(market_world.PUPPETS)]
    sequencer = governor.deploy(project.MockAggregator, 0, "L2 sequencer uptime")
    harness = governor.deploy(project.TryMany)
    contracts = Contracts(
        *(deployment.market_data, deployment.parameters, deployment.volatility_estimator),
        *(deployment.predictive_model, sequencer, deployment.tokens["WETH"]),
        *(doubles, harness, governor),
    )
    return chain, deployment, owners, contracts


def begin(machinery) -> JointPair:
    """Return both sides with prices, and cash in every account."""
    chain, deployment, owners, contracts = machinery
    market = market_of(deployment)
    spots = tuple(
        s._replace(parameters=s.parameters._replace(scan_multiplier=4 * WAD)) for s in market.spots
    )
    addresses = [int(p.address, 16) for p in contracts.puppets]
    prices = JointWorld(addresses, world.NOW, market._replace(spots=spots))
    feeds = deployment.manifest.feeds.values()
    prices.silence({feed: tuple(contracts.hub.feedParameters(feed)) for feed in feeds})
    prices.token = contracts.token.address
    prices.sequencer.address = int(contracts.sequencer.address, 16)
    hubs = test_market_state.Pair(ChainMarket(contracts), prices)
    hubs.chain.beside(prices, market_world.Action("change_sequencer"))
    words = random_words(Random(5), 250, 1)
    for action in (*prices.prices(), market_world.Action("publish", (words, 0, 1))):
        assert hubs.do(action) == []
    people = tuple(owner.address for owner in owners)
    accounts = tuple(world.account(person, sub_id) for person in people for sub_id in (0, 1))
    engine = world.engine(
        prices.market(), fee_collectors={people[0]}, hash_order=chain.hash_order, clock=prices.clock
    )
    engine.settlement_token = Token(int(deployment.tokens["USDC"].address, 16), 6)
    engine.state.accrued_at = deployment.margin_engine.cashState().accruedAt
    insure(engine, deployment)
    cast = actions.Cast(people, accounts, world.instruments())
    pair = JointPair(Pair(chain, engine, cast), hubs)
    for account in accounts:
        deposit = actions.Action("deposit", (people[0], account, 0, CASH))
        pair._let_pass(1)
        pair._tell_active_time()
        assert chain.perform(deposit, prices.now, is_refused=False) is None
        actions.run(engine, deposit)
    chain.find_headers(accounts[0], CASH * 10**12)
    for action in (
        actions.Action("deposit", (people[0], accounts[0], world.WETH, 100 * 10**18)),
        actions.Action("fund_deposit", (people[0], 2_000 * 10**6, people[0])),
    ):
        assert pair.do(action) == []
    return pair


@pytest.fixture
def pair(machinery):
    """Both sides as they begin; the chain is given back as it was."""
    with isolated(ape.chain):
        yield begin(machinery)


@pytest.fixture(scope="module")
def seen() -> set[str]:
    """Entry points that succeeded, errors and events met by all walks."""
    return set()


@pytest.mark.parametrize("seed", SEEDS)
def test_engine_and_hub_agree_with_the_models_in_one_walk(pair, seen, seed):
    assert pair.walk(seed, STEPS) == []
    seen |= pair.seen | set(pair.hubs.seen)


def test_the_walks_have_met_what_matters(seen):
    if not seen:
        pytest.skip("no walk was asked for")
    missed = {
        *("deposit", "withdraw", "match_orders", "settle", "accrue", "update_status", "batch"),
        *("start_auction", "bid", "observe_many", "post_surface", "sample", "declare_outage"),
        *(
            "Observed",
            "QuorumMissed",
            LEFT_BAND,
            "OutageDeclared",
            "Settled",
            "ScanRangeMoved",
            "SliceSold",
        ),
        *("FundingAccrued", "InterestAccrued", "PnlSettled", "StalePrice", "BelowInitialMargin"),
    } - seen
    assert not missed


TWINS = {
    "prices that are never disputed": (
        oracle_hub.OracleHub,
        "_time",
        lambda self, seen, now: seen.timestamp,
    ),
    "variance that does not decay": (
        surface_checks,
        "decayed",
        lambda svi, posted, expiry, now: svi,
    ),
}


@pytest.mark.parametrize("name", TWINS)
def test_a_wrong_twin_of_the_models_is_caught(machinery, name):
    with isolated(ape.chain), patch.object(*TWINS[name]):
        try:
            noticed = bool(begin(machinery).walk(SEEDS[0], STEPS))
        except AssertionError:
            noticed = True
        assert noticed, f"nobody noticed {name}"
