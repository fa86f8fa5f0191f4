"""The deployed ledger against the exact model: same actions, same outcomes, same state.

After every action the two must agree to the last unit on the value or the error with all its
arguments, on everything stored, and on portfolio and breakdown of every account.
"""

from contextlib import ExitStack
from copy import deepcopy
from itertools import zip_longest
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import ape
import pytest
from differential.chain_ledger import ANSWERS, ChainLedger, Owner
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from model import ledger_actions as actions
from model import ledger_world as world

from reference_model.cases import random_words
from reference_model.exact import charges, fees, funding, interest, ledger, position, risk_model
from reference_model.exact.engine import Engine
from reference_model.exact.events import Event
from reference_model.exact.fixed_point import mul_down
from reference_model.exact.insurance_fund import InsuranceFund
from reference_model.exact.tokens import Token
from reference_model.types import Window
from scripts._configuration import load_configuration
from scripts._deployment import deploy
from scripts._isolation import isolated
from scripts.fuzzing.portfolios import prediction_of

CONFIGURATION = Path(__file__).with_name("ledger.yaml")
MINTED = 2**128
SEEDS = (8, 5, 4, 7)


class Pair:
    """A model and a deployed ledger that have been through the same."""

    def __init__(self, chain: ChainLedger, engine: Engine, cast: actions.Cast) -> None:
        self.chain, self.engine, self.cast = chain, engine, cast
        self.seen: set[str] = set()
        self.steps = 0

    def copy(self) -> "Pair":
        """Return a pair whose model is its own; the chain is the same."""
        cast = actions.Cast(self.cast.people, self.cast.accounts, self.cast.instruments)
        engine = deepcopy(self.engine, {id(self.chain): self.chain})
        return type(self)(self.chain, engine, cast)

    def do(self, action: actions.Action) -> list[str]:
        """Do an action on both sides a second after the last, and return how they differ."""
        self._let_pass(1)
        self._tell_active_time()
        marks = {name: len(events) for name, events in self._events().items()}
        expected, returned = actions.attempt(self.engine, action)
        now, is_refused = self.engine.market.now, expected is not None
        found = []
        if action.name in ANSWERS and not is_refused:
            found += self._compare_answer(action, returned)
        answered = self.chain.perform(action, now, is_refused=is_refused)
        self.seen.add(expected[0] if expected else action.name)
        found += [] if answered == expected else [f"chain answers {answered}, model {expected}"]
        # A refusal is seen in a call, after which the chain is as it was.
        if not is_refused and not found:
            found += self._compare_events(marks) + self._compare()
        return [f"{message} after {action}" for message in found]

    def _events(self) -> dict[str, list[Event]]:
        """All events of the model by who emitted them."""
        engine, fund = self.engine, self.engine.rules.insurance_fund
        return {
            "ledger": engine.events,
            "fund": fund.events,
            "rules": engine.rules.events,
            "clock": engine.clock.events,
        }

    def _compare_events(self, marks: dict[str, int]) -> list[str]:
        """Compare the events of the latest action."""
        found = []
        for name, emitted in self.chain.emitted().items():
            expected = [tuple(event) for event in self._events()[name][marks[name] :]]
            self.seen |= {event for event, _ in expected}
            if emitted != expected:
                pairs = zip_longest(emitted, expected)
                differing = next((c, m) for c, m in pairs if c != m)
                found.append(f"events of the {name}: (chain, model) {differing}")
        return found

    def _compare_answer(self, action: actions.Action, returned: Any) -> list[str]:
        """Compare what an action returns, asked for before it is done."""
        answer = self.chain.answer(action, self.engine.market.now)
        expected = returned if isinstance(returned, tuple) else (returned,)
        return [] if answer == expected else [f"chain returns {answer}, model {expected}"]

    def post(self, choose: actions.Chooser, jumps: tuple[int, ...] = ()) -> list[str]:
        """Let time pass, one of some jumps, and prices move on both sides."""
        before = self.engine.market
        self.engine.market = actions.draw_market(choose, before, jumps)
        self.chain.post(self.engine.market, before)
        return self._compare()

    def step(self, choose: actions.Chooser) -> list[str]:
        """Do whatever is drawn."""
        if choose.integer(0, 5) == 0:
            return self.post(choose)
        return self.do(actions.draw(choose, self.engine, self.cast))

    def walk(self, seed: int, steps: int) -> list[str]:
        """Return how the two differ after the first step after which they do."""
        choose = actions.Seeded(seed)
        for _ in range(steps):
            found = self.step(choose)
            if found:
                return found
        return []

    def _let_pass(self, seconds: int) -> None:
        market = self.engine.market
        self.engine.market = market._replace(now=market.now + seconds)

    def _tell_active_time(self) -> None:
        """Let the model's vectors come into force as the chain's do."""
        market = self.engine.market
        prediction = market.prediction._replace(active=self.engine.active_time)
        self.engine.market = market._replace(prediction=prediction)

    def _compare(self) -> list[str]:
        self._tell_active_time()
        self.steps += 1
        supposed = actions.draw_hypothesis(actions.Seeded(self.steps), self.engine, self.cast)
        return self.chain.differences(self.engine, self.steps % 20 == 0, supposed)


@pytest.fixture(scope="module")
def deployed(project, accounts, chain):
    """The ledger deployed from a configuration, prices posted, accounts funded."""
    ledger_, deployment, owners = set_up(project, accounts, load_configuration(CONFIGURATION))
    # Of two underlyings the list to come covers one.
    words = random_words(Random(5), 250, 1)
    deployment.predictive_model.publish(words, 0, 1, sender=accounts[0])
    return ledger_, deployment, owners


def set_up(project, accounts, configuration):
    """Deploy a configuration; return it, as what is acted upon too, and owners with tokens."""
    poster = accounts[0]
    deployment = deploy(configuration, poster)
    harness = poster.deploy(project.TryMany)
    wallet = accounts[3].deploy(project.Wallet, accounts[3])
    owners = [
        Owner(poster.address, poster.private_key),
        Owner(accounts[1].address, accounts[1].private_key),
        Owner(wallet.address, accounts[3].private_key),
    ]
    for owner in owners:
        _let_send(owner, deployment)
    return ChainLedger(deployment, harness, owners, poster), deployment, owners


def _let_send(owner, deployment):
    """Give an address, which may be a contract's, gas, tokens and the right to send."""
    provider = ape.networks.provider
    address = f"0x{owner.address:040x}"
    provider.make_request("anvil_impersonateAccount", [address])
    provider.make_request("anvil_setBalance", [address, hex(10**24)])
    for token in deployment.tokens.values():
        token.mint(address, MINTED, sender=ape.accounts.test_accounts[9])
        for spender in (deployment.margin_engine, deployment.insurance_fund):
            data = token.approve.encode_input(spender, 2**256 - 1)
            request = {"from": address, "to": token.address, "data": data.to_0x_hex()}
            provider.make_request("eth_sendTransaction", [request])


@pytest.fixture(scope="module")
def start(deployed) -> Pair:
    """Both ledgers with cash in every account and some collateral."""
    chain, deployment, owners = deployed
    people = tuple(owner.address for owner in owners)
    accounts = tuple(world.account(person, sub_id) for person in people for sub_id in (0, 1))
    engine = world.engine(
        market_of(deployment), fee_collectors={people[0]}, hash_order=chain.hash_order
    )
    engine.settlement_token = Token(int(deployment.tokens["USDC"].address, 16), 6)
    engine.state.accrued_at = deployment.margin_engine.cashState().accruedAt
    insure(engine, deployment)
    pair = Pair(chain, engine, actions.Cast(people, accounts, world.instruments()))
    chain.post(engine.market, engine.market)
    for account in accounts:
        deposit = actions.Action("deposit", (people[0], account, 0, 300_000 * 10**6))
        pair._let_pass(1)
        assert chain.perform(deposit, engine.market.now, is_refused=False) is None
        actions.run(engine, deposit)
    chain.find_headers(accounts[0], 300_000 * 10**18)
    assert not pair._compare()
    return pair


def insure(engine: Engine, deployment) -> None:
    """Let the model know the rules, the fund and the address of what is deployed."""
    contract = deployment.insurance_fund
    times = contract.cooldownSeconds(), contract.exitWindowSeconds()
    engine.address = int(deployment.margin_engine.address, 16)
    engine.rules.set_insurance_fund(InsuranceFund(engine, *times, int(contract.address, 16)))
    for spot in engine.market.spots:
        window = deployment.liquidation_parameters.window(spot.underlying)
        engine.rules.set_window(spot.underlying, Window(*window))


def market_of(deployment):
    """The market of the model with the addresses of the deployed tokens."""
    predictive = ape.project.PredictiveModel.at(deployment.risk_model.predictiveModel())
    prediction = prediction_of(predictive, deployment.volatility_estimator, 0)
    market = world.market(prediction=prediction)
    symbols = {asset: symbol for symbol, asset in deployment.manifest.assets.items()}
    return market._replace(
        collaterals=tuple(
            c._replace(
                parameters=c.parameters._replace(token=deployment.tokens[symbols[c.asset]].address)
            )
            for c in market.collaterals
        )
    )


def test_the_configuration_deploys_the_parameters_of_the_model(start, deployed):
    parameters, market = deployed[1].parameters, start.engine.market
    assert tuple(parameters.globalParameters()) == market.global_parameters
    assert tuple(parameters.interestParameters()) == start.engine.interest_parameters
    assert tuple(parameters.decorrelations()) == market.decorrelations
    assert [tuple(s) for s in parameters.scenarios()] == list(market.scenarios)
    rules = deployed[1].liquidation_parameters
    assert tuple(rules.auctionParameters()) == start.engine.rules.auction
    for spot in market.spots:
        assert tuple(parameters.underlyingParameters(spot.underlying)) == spot.parameters
    for collateral in market.collaterals:
        on_chain = parameters.collateralParameters(collateral.asset)
        assert tuple(on_chain) == collateral.parameters


def test_an_order_has_the_hash_of_the_specification(start, deployed):
    exchange = ape.project.Exchange.at(start.chain.exchange)
    order = actions.Order(2**168 - 1, 2**160 - 1, 2**128 - 1, -(2**127), 2**128 - 1, 5, 6, True)
    struct = (order.account, f"0x{order.signer:040x}", *order[2:])
    assert exchange.hashOrder(struct) == start.chain.hash_order(order)


@pytest.fixture(scope="module")
def seen() -> set[str]:
    """Entry points that succeeded and errors met, by all walks."""
    return set()


@pytest.mark.parametrize("seed", SEEDS)
def test_chain_and_model_agree_along_a_long_walk(start, seen, seed):
    pair = start.copy()
    assert pair.walk(seed, 300) == []
    seen |= pair.seen


def test_the_walks_have_met_what_matters(seen):
    if not seen:
        pytest.skip("no walk was asked for")
    assert {
        *("deposit", "withdraw", "match_orders", "settle", "accrue", "batch", "set_margin_mode"),
        *("set_operator", "cancel_order", "cancel_orders_below", "collect_fees", "declare_outage"),
        *("BelowInitialMargin", "StalePrice", "UnrealisedProfitWithdrawal", "InsufficientCash"),
        *("OrderOverfilled", "OrderExpired", "OrderCancelled", "OrdersDoNotMatch", "ReduceOnly"),
        *("InvalidSignature", "NotAuthorised", "InvalidAccount", "InvalidSize", "InvalidPrice"),
        *("InstrumentExpired", "UnknownInstrument", "TooManyPositions", "OpenInterestCap"),
        "StrikeTooFar",
        *("PositionOverflow", "CollateralCap", "InsufficientCollateral", "InsufficientFees"),
        *("UnknownAsset", "AssetDisabled", "MissingCollateralRate", "MissingPrice", "ZeroAmount"),
        "Reentrancy",
    } <= seen, "too little happened"


class Ledgers(RuleBasedStateMachine):
    """Whatever Hypothesis thinks of, done to both."""

    start: Pair

    @initialize()
    def isolate(self):
        self.stack = ExitStack()
        self.stack.enter_context(isolated(ape.chain))
        self.pair = self.start.copy()

    @rule(data=st.data(), kind=st.sampled_from(list(actions.KINDS)))
    def act(self, data, kind):
        action = kind(actions.Drawn(data), self.pair.engine, self.pair.cast)
        assert self.pair.do(action) == []

    @rule(data=st.data())
    def move_market(self, data):
        assert self.pair.post(actions.Drawn(data)) == []

    def teardown(self):
        if hasattr(self, "stack"):
            self.stack.close()


def test_chain_and_model_agree_on_what_hypothesis_does(start):
    machine = type("Started", (Ledgers,), {"start": start})
    quick = settings(
        max_examples=20,
        stateful_step_count=20,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=quick)


def _shifted(held, place, slot):
    """Close the hole by moving every later slot up."""
    if place is None or slot:
        REPLACE(held, place, slot)
    else:
        del held[place]


def _wall_time(self):
    """Count block time."""
    return self.market.now


def _profits_first(self, account):
    """Settle slots in order, whether they gain or lose."""
    for place, slot in enumerate(self._account(account).positions):
        if not position.is_option(slot):
            value = self._linear_value(slot)
            (self._pay_out if value > 0 else self._pay_in)(account, place, abs(value))


def _passed_over(funding_at, active_time, *price):
    """Let time without a price go by for nothing."""
    return DUE(funding_at, active_time, *price)[0], active_time


REPLACE = position.replace
DUE = funding.due
ROUNDED_CASH = interest.current_cash
TWINS = {
    "a fee that rounds down": (fees, "mul_up", mul_down),
    "interest in favour of the debtor": (
        interest,
        "current_cash",
        lambda *state: ROUNDED_CASH(*state) + 1,
    ),
    "amounts that round down for both": (position, "mul_to_zero", mul_down),
    "charges that round down": (charges, "mul_div_up", lambda a, b, c: a * b // c),
    "requirements that round down": (risk_model, "mul_up", mul_down),
    "holes closed by shifting": (position, "replace", _shifted),
    "no exemption for less risk": (ledger, "is_risk_reducing", lambda before, after: False),
    "no admission": (Engine, "_admit", lambda self: None),
    "funding that is never clamped": (funding, "clamp", lambda value, low, high: value),
    "funding that an unknown price erases": (funding, "due", _passed_over),
    "time that outages do not stop": (ledger.Ledger, "active_time", property(_wall_time)),
    "losses settled in slot order": (Engine, "_settle_linear", _profits_first),
}


@pytest.mark.parametrize("name", TWINS)
def test_a_wrong_twin_of_the_model_is_caught(start, name):
    with patch.object(*TWINS[name]):
        assert any(_differs(start, seed) for seed in SEEDS), f"nobody noticed {name}"


def _differs(start, seed) -> bool:
    with isolated(ape.chain):
        return bool(start.copy().walk(seed, 300))
