"""Hub, clock, parameters and estimator against the exact model: same actions, same outcomes.

After every action the two must agree to the last unit on the error with all its arguments or on
every event; after every step, of one action or some that belong together, on every view, at that
time or later.
"""

from collections import Counter
from contextlib import ExitStack
from unittest.mock import patch

import ape
import pytest
from differential.chain_ledger import result_of
from differential.chain_market import BESIDE, ChainMarket, Contracts, event_values
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from model import market_actions as actions
from model import market_world as world_of
from model.ledger_actions import Drawn, Seeded
from model.market_world import Action, World
from model.test_market_walks import MET, left_band

from reference_model.exact import (
    aggregation,
    ewma,
    oracle_hub,
    ramp,
    scan_range,
    settlement_window,
    stable_price,
    surface_checks,
)
from reference_model.types import PredictiveParameters
from scripts._isolation import isolated

# Together they meet everything that `MET` names.
SEEDS = (12, 6, 56, 71, 87, 14)
STEPS = 120
LATER = (61, 3_700)
ESTIMATOR = 5


class Pair:
    """A model and a deployment that have been through the same."""

    def __init__(self, chain: ChainMarket, world: World) -> None:
        self.chain, self.world = chain, world
        self.seen: Counter = Counter()
        self.steps = 0

    def do(self, action: Action) -> list[str]:
        """Do an action on both sides, and return how error or events differ."""
        error = self.world.run(action)
        events = {
            name: [(e.name, event_values(e)) for e in log]
            for name, log in self.world.drain().items()
        }
        self.seen[error[0] if error else action.name] += 1
        self.seen.update(name for log in events.values() for name, _ in log)
        self.seen.update(left_band(events["hub"]))
        if action.name in BESIDE:
            self.chain.beside(self.world, action)
            return []
        answered, logs = self.chain.perform(action, self.world.now, is_refused=error is not None)
        found = [] if answered == error else [f"chain answers {answered}, model {error}"]
        for name, log in logs.items() if not found and error is None else ():
            if log != events[name]:
                found.append(f"{name} says {log}, model {events[name]}")
        return [f"{message} after {action}" for message in found]

    def step(self, choose: actions.Chooser) -> list[str]:
        """Do whatever is drawn, and look at everything."""
        self.steps += 1
        for action in actions.draw(choose, self.world):
            found = self.do(action)
            if found:
                return found
        later = choose.item(LATER) if self.steps % 4 == 0 else 0
        return [
            f"{message} {later} s later" for message in self.chain.differences(self.world, later)
        ]

    def walk(self, seed: int, steps: int) -> list[str]:
        """Return how the two differ after the first step after which they do."""
        choose = Seeded(seed)
        for _ in range(steps):
            found = self.step(choose)
            if found:
                return found
        return []


@pytest.fixture(scope="module")
def contracts(project, accounts):
    """Everything deployed, and one account that may do everything."""
    governor = accounts[0]
    governance = governor.deploy(project.Governance, governor)
    token = governor.deploy(project.MockToken, "USD Coin", "USDC", 6)
    parameters = governor.deploy(
        project.Parameters,
        governance,
        token,
        tuple(world_of.GLOBAL),
        (0, 0, 0, 8 * 10**17, 0),
        [10**18] * 8,
        [tuple(scenario) for scenario in world_of.SCENARIOS],
    )
    nobody = "0x" + "00" * 20
    hub = governor.deploy(project.OracleHub, governance, parameters, nobody)
    estimator = governor.deploy(project.VolatilityEstimator, governance, parameters, hub)
    predictive = governor.deploy(
        project.PredictiveModel, governance, parameters, estimator, PredictiveParameters()
    )
    move = bytes.fromhex(parameters.moveScanRange.encode_input(1, 1).hex()[:8])
    governance.setTargetFunctionRole(parameters, [move], ESTIMATOR, sender=governor)
    for account in (estimator, governor):
        governance.grantRole(ESTIMATOR, account, 0, sender=governor)
    puppets = [governor.deploy(project.SourceDouble) for _ in range(world_of.PUPPETS)]
    sequencer = governor.deploy(project.MockAggregator, 0, "L2 sequencer uptime")
    asset = governor.deploy(project.MockToken, "Asset", "AST", world_of.COLLATERAL.decimals)
    harness = governor.deploy(project.TryMany)
    machinery = hub, parameters, estimator, predictive, sequencer
    return Contracts(*machinery, asset, puppets, harness, governor)


@pytest.fixture
def lent(contracts):
    """Give the deployment back as it was."""
    with isolated(ape.chain):
        yield contracts


def begin(contracts: Contracts) -> Pair:
    """Return both sides at the opening of a walk."""
    latest = int(result_of("eth_getBlockByNumber", ["latest", False])["timestamp"], 16)
    start = max(world_of.START, (latest // 3_600 + 1) * 3_600)
    world = World([int(p.address, 16) for p in contracts.puppets], start)
    world.token = contracts.token.address.lower()
    world.sequencer.address = int(contracts.sequencer.address, 16)
    pair = Pair(ChainMarket(contracts), world)
    pair.chain.beside(world, Action("change_sequencer"))
    for action in world.opening():
        assert pair.do(action) == []
    return pair


@pytest.fixture(scope="module")
def seen() -> Counter:
    """Entry points that succeeded, errors and events met by all walks."""
    return Counter()


@pytest.mark.parametrize("seed", SEEDS)
def test_chain_and_model_agree_along_a_walk(lent, seen, seed):
    pair = begin(lent)
    found = pair.walk(seed, STEPS)
    assert not found, "\n".join(found)
    seen.update(pair.seen)


def test_the_walks_have_met_what_matters(seen):
    assert sorted(MET - set(seen)) == []


class Markets(RuleBasedStateMachine):
    """Whatever Hypothesis thinks of, done to both."""

    contracts: Contracts

    @initialize()
    def isolate(self):
        self.stack = ExitStack()
        self.stack.enter_context(isolated(ape.chain))
        self.pair = begin(self.contracts)

    @rule(data=st.data(), kind=st.sampled_from(list(actions.KINDS)))
    def act(self, data, kind):
        for action in kind(Drawn(data), self.pair.world):
            assert self.pair.do(action) == []
        assert self.pair.chain.differences(self.pair.world) == []

    @rule(later=st.sampled_from(LATER))
    def look(self, later):
        assert self.pair.chain.differences(self.pair.world, later) == []

    def teardown(self):
        if hasattr(self, "stack"):
            self.stack.close()


def test_chain_and_model_agree_on_what_hypothesis_does(contracts):
    machine = type("Deployed", (Markets,), {"contracts": contracts})
    quick = settings(
        max_examples=10,
        stateful_step_count=15,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=quick)


# A wrong twin of each part: the mistake somebody could make.

STEP, AGGREGATE, MOVED = stable_price.step, aggregation.aggregate, scan_range.moved
UPDATE, DECAYED, WINDOW = ewma.update, surface_checks.decayed, settlement_window.update
RAMP, SAID = ramp.value, oracle_hub.what_is_said


def _lower_median(given):
    seen = AGGREGATE(given)
    return seen._replace(price=sorted(a.price for a in given)[(len(given) - 1) // 2])


def _oldest(given):
    return AGGREGATE(given)._replace(timestamp=min(a.timestamp for a in given))


def _without_those_beyond(parameters, now):
    answers = ((s, s.source.read()) for s in parameters.sources)
    band = range(parameters.min_price, parameters.max_price + 1)
    within = tuple(s for s, answer in answers if answer and answer.price in band)
    seen = SAID(parameters._replace(sources=within), now)
    return seen._replace(beyond=SAID(parameters, now).beyond)


TWINS = {
    "sources beyond the band that dispute nothing": (
        oracle_hub,
        "is_completed_beyond",
        lambda seen, quorum: False,
    ),
    "a median of those within the band alone": (
        oracle_hub,
        "what_is_said",
        _without_those_beyond,
    ),
    "the lower of two middle prices": (oracle_hub, "aggregate", _lower_median),
    "the age of the oldest source": (oracle_hub, "aggregate", _oldest),
    "a stable price a unit off": (
        stable_price,
        "step",
        lambda stable, price, *rest: STEP(stable, price, *rest) + (price > stable),
    ),
    "a window without a gap": (settlement_window, "GAP_SECONDS", 601),
    "variance that does not decay": (
        surface_checks,
        "decayed",
        lambda svi, posted, expiry, now: DECAYED(svi, posted, expiry, posted),
    ),
    "samples that are not per year": (ewma, "YEAR", 364 * 86_400),
    "a range a unit off": (
        scan_range,
        "moved",
        lambda start, target, *rest: MOVED(start, target, *rest) + (target > start),
    ),
    "ramps that round the other way": (
        ramp,
        "value",
        lambda before, after, start, end, active: (
            RAMP(after, before, start, end, start + end - active)
            if start < active < end
            else RAMP(before, after, start, end, active)
        ),
    ),
}


@pytest.mark.parametrize("name", TWINS)
def test_a_wrong_twin_of_the_model_is_caught(contracts, name):
    with patch.object(*TWINS[name]):
        assert any(_differs(contracts, seed) for seed in SEEDS), f"nobody noticed {name}"


def _differs(contracts: Contracts, seed: int) -> bool:
    with isolated(ape.chain):
        try:
            return bool(begin(contracts).walk(seed, STEPS))
        except AssertionError:
            return True
