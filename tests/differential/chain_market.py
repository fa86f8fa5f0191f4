"""The deployed market data, acted upon and read like the exact model.

Actions are those of `model.market_actions`. Sources and the sequencer are doubles that are set
without a block of their own, so that any number of actions can share a second.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import ape
from ape.api import AccountAPI
from ape.contracts import ContractInstance
from differential.chain_ledger import (
    Probe,
    _address,
    _outcomes,
    _rpc,
    call_data,
    decode_error,
    result_of,
)
from eth_abi import decode
from eth_utils import keccak
from model import market_world as world_of
from model.market_world import BOOK, FEEDS, UNKNOWN_FEEDS, Action, World

from reference_model.exact import predictive_model
from reference_model.exact.market import UNKNOWN as UNKNOWN_ASSET
from reference_model.exact.market import UNLISTED
from reference_model.exact.oracle_hub import COLLATERAL_FEEDS, FeedParameters
from reference_model.exact.volatility_estimator import Anchor

GAS = hex(10**8)
MODES = ("ANSWER", "REVERT", "SHORT", "BURN", "BOMB", "LONG", "CURRENT")
FIXED_AT = 2**40 - 1
REVERTING_CODE = "0x5f5ffd"
TARGETS = ("hub", "parameters", "estimator", "predictive")

BESIDE = ("wait", "show", "fresh", "move", "change_sequencer", "break_sequencer")
UNKNOWN = FeedParameters((), 0, 0, 0, 0, 0, 0, 0)
UNSET = {
    "FeedSet": UNKNOWN,
    "UnderlyingParametersSet": UNLISTED,
    "CollateralParametersSet": UNKNOWN_ASSET,
}
NO_SOURCE = (_address(0), 0)


class Contracts(NamedTuple):
    """What is deployed for a test."""

    hub: ContractInstance
    parameters: ContractInstance
    estimator: ContractInstance
    predictive: ContractInstance
    sequencer: ContractInstance
    token: ContractInstance
    puppets: list[ContractInstance]
    harness: ContractInstance
    governor: AccountAPI


class ChainMarket:
    """A deployment under test.

    Parameters
    ----------
    contracts : Contracts
        The governor may do everything that somebody may.
    """

    def __init__(self, contracts: Contracts) -> None:
        self.contracts = contracts
        self._sequencer_code = result_of("eth_getCode", [contracts.sequencer.address, "latest"])

    # ------------------------------------------------------------------------------------- acting

    def beside(self, world: World, action: Action) -> None:
        """Bring doubles to where the world's are, after something no contract was called for."""
        name = action.name
        if name == "show":
            self._set_puppet(world.puppets[action.arguments[0]])
        elif name == "fresh":
            for puppet in world.puppets_of(action.arguments[0]):
                self._set_puppet(puppet)
        elif name == "change_sequencer":
            self._set_round(world)
        elif name == "break_sequencer":
            code = REVERTING_CODE if world.sequencer.fails else self._sequencer_code
            result_of("anvil_setCode", [self.contracts.sequencer.address, code])

    def perform(self, action: Action, now: int, *, is_refused: bool) -> tuple[Any, dict]:
        """Do an action at a time.

        Returns
        -------
        error : tuple or None
            Name and values, if it was refused.
        events : dict
            Raw logs by contract, if it was not.
        """
        target, data = self._encode(action)
        sender = self.contracts.governor.address
        request = {"from": sender, "to": target, "data": "0x" + data.hex(), "gas": GAS}
        if not is_refused:
            result_of("evm_setNextBlockTimestamp", [now])
            receipt = result_of("eth_sendTransactionSync", [request])
            if receipt["status"] == "0x1":
                return None, self._events(receipt["logs"])
        response = _rpc("eth_call", [request, "latest", {}, {"time": hex(now)}])
        if "error" not in response:
            return None, {}
        assert "data" in response["error"], f"{action} is no revert: {response['error']}"
        return named(decode_error(bytes.fromhex(response["error"]["data"][2:]))), {}

    def _encode(self, action: Action) -> tuple[str, bytes]:
        """Contract and data of an action."""
        contract, method = ENTRY_POINTS[action.name]
        arguments = tuple(to_abi(value) for value in action.arguments)
        if action.name == "set_sequencer_feed":
            is_set, grace = action.arguments
            arguments = (self.contracts.sequencer.address if is_set else _address(0), grace)
        elif action.name == "set_collateral_parameters":
            asset, parameters = action.arguments
            arguments = (asset, (self.contracts.token.address, *parameters[1:]))
        elif action.name == "set_estimator":
            arguments = arguments[0]
        instance = getattr(self.contracts, contract)
        return instance.address, call_data(_selector(instance, method), arguments)

    def _events(self, logs: list[dict]) -> dict[str, list]:
        found: dict[str, list] = {name: [] for name in TARGETS}
        addresses = {getattr(self.contracts, name).address.lower(): name for name in found}
        for log in logs:
            name = addresses[log["address"].lower()]
            found[name].append(decode_event(getattr(self.contracts, name), log))
        return found

    def _set_puppet(self, puppet: world_of.Puppet) -> None:
        address = self.contracts.puppets[puppet.place].address
        words = (*puppet.answer, MODES.index(puppet.mode))
        for slot, word in enumerate(words):
            result_of("anvil_setStorageAt", [address, hex(slot), f"0x{word:064x}"])

    def _set_round(self, world: World) -> None:
        """Tell the uptime feed's double of the latest round, in a block of the present."""
        latest = world.sequencer.rounds[-1]
        sequencer = self.contracts.sequencer
        arguments = (*latest, latest.started_at, latest.round_id)
        data = call_data("setRound(uint80,int256,uint256,uint256,uint80)", arguments)
        result_of("anvil_setCode", [sequencer.address, self._sequencer_code])
        result_of("evm_setNextBlockTimestamp", [world.now])
        request = {"from": self.contracts.governor.address, "to": sequencer.address}
        request |= {"data": "0x" + data.hex(), "gas": GAS}
        assert result_of("eth_sendTransactionSync", [request])["status"] == "0x1"
        if world.sequencer.fails:
            result_of("anvil_setCode", [sequencer.address, REVERTING_CODE])

    # ------------------------------------------------------------------------------------ reading

    def differences(self, world: World, later: int = 0) -> list[str]:
        """Everything that the chain sees otherwise than the model, some time from now."""
        now, world.now = world.now, world.now + later
        try:
            asked = list(probes(world, self.contracts))
            found = []
            for probe, outcome in zip(asked, self._ask(asked, world.now), strict=True):
                found += probe.differences(*outcome)
            return found
        finally:
            world.now = now

    def _ask(self, asked: list[Probe], now: int) -> list[tuple[bool, bytes]]:
        """Outcomes of all probes by one call: the harness is asked to ask each contract."""
        places = [[i for i, probe in enumerate(asked) if probe.target == t] for t in TARGETS]
        harness = self.contracts.harness.address
        many = "tryMany(address,bytes[])"
        batches = [
            call_data(
                many,
                [
                    getattr(self.contracts, target).address,
                    [call_data(asked[i].signature, asked[i].arguments) for i in group],
                ],
            )
            for target, group in zip(TARGETS, places, strict=True)
        ]
        data = call_data(many, [harness, batches])
        request = {"to": harness, "data": "0x" + data.hex(), "gas": hex(10**9)}
        result = result_of("eth_call", [request, "latest", {}, {"time": hex(now)}])
        outcomes: dict[int, tuple[bool, bytes]] = {}
        for group, (_, answer) in zip(places, _outcomes(bytes.fromhex(result[2:])), strict=True):
            outcomes |= zip(group, _outcomes(answer), strict=True)
        return [outcomes[i] for i in range(len(asked))]


ENTRY_POINTS = {
    "observe": ("hub", "observe"),
    "observe_many": ("hub", "observeMany"),
    "set_feed": ("hub", "setFeed"),
    "set_surface": ("hub", "setSurface"),
    "post_surface": ("hub", "postSurface"),
    "settle_uncovered": ("hub", "settleUncovered"),
    "declare_outage": ("parameters", "declareOutage"),
    "end_outage": ("parameters", "endOutage"),
    "sync_sequencer": ("parameters", "syncSequencer"),
    "set_sequencer_feed": ("parameters", "setSequencerFeed"),
    "sample": ("estimator", "sample"),
    "add_underlying": ("estimator", "addUnderlying"),
    "set_estimator": ("estimator", "setEstimator"),
    "move_scan_range": ("parameters", "moveScanRange"),
    "set_global_parameters": ("parameters", "setGlobalParameters"),
    "set_underlying_parameters": ("parameters", "setUnderlyingParameters"),
    "halt_increases": ("parameters", "haltIncreases"),
    "list_expiries": ("parameters", "listExpiries"),
    "set_collateral_parameters": ("parameters", "setCollateralParameters"),
    "set_decorrelation": ("parameters", "setDecorrelation"),
    "set_scenarios": ("parameters", "setScenarios"),
    "publish": ("predictive", "publish"),
    "cancel_publication": ("predictive", "cancelPublication"),
    "set_predictive_parameters": ("predictive", "setParameters"),
}


# Views ----------------------------------------------------------------------------------------


def probes(world: World, contracts: Contracts) -> Iterator[Probe]:
    """What to ask the chain, with the model's answers."""

    def ask(target: str, method: str, arguments: tuple, expect: Callable[[], Any]) -> Probe:
        instance = getattr(contracts, target)
        outputs = _outputs(instance, method)
        wrap = (lambda: (to_abi(expect()),)) if len(outputs) == 1 else lambda: to_abi(expect())
        return Probe(target, _selector(instance, method), arguments, outputs, wrap)

    yield from _of_hub(world, ask)
    yield from _of_surface(world, ask)
    yield from _of_parameters(world, ask)
    yield from _of_estimator(world, ask)
    yield from _of_predictive(world, ask)


def _of_hub(world: World, ask: Callable[..., Probe]) -> Iterator[Probe]:
    hub, now = world.hub, world.now
    for feed in (*FEEDS, *UNKNOWN_FEEDS):
        if feed < COLLATERAL_FEEDS:
            yield ask("hub", "spot", (feed,), lambda u=feed: hub.spot(now, u))
        else:
            asset = feed - COLLATERAL_FEEDS
            rate = lambda a=asset: hub.collateral_rate(now, a)  # noqa: E731
            yield ask("hub", "collateralRate", (asset,), rate)
        yield ask("hub", "observation", (feed,), lambda f=feed: _observation(world, f))
        yield ask("hub", "trail", (feed,), lambda f=feed: _trail(world, f))
        yield ask("hub", "aggregate", (feed,), lambda f=feed: hub.aggregate(now, f))
        yield ask("hub", "feedParameters", (feed,), lambda f=feed: hub.state.feeds.get(f, UNKNOWN))


def _observation(world: World, feed: int) -> tuple:
    parameters = world.hub.state.feeds.get(feed)
    seen = world.hub.state.observations.get(feed)
    if parameters is None:
        return (0, 0, 0, False, 0, 0, 0, 0)
    if parameters.is_fixed:
        price = parameters.min_price
        return (price, 0, FIXED_AT, False, price, price, FIXED_AT, parameters.cache_seconds)
    stored = seen[:7] if seen else (0, 0, 0, False, 0, 0, 0)
    return (*stored, parameters.cache_seconds)


def _trail(world: World, feed: int) -> tuple:
    seen = world.hub.state.observations.get(feed)
    window = world.hub.state.windows.get(feed, (0, 0, 0))
    return (seen.active_at if seen else 0, *window)


def _of_surface(world: World, ask: Callable[..., Probe]) -> Iterator[Probe]:
    hub, now = world.hub, world.now
    known = sorted(hub.state.slices)
    for u, expiry in [*known[-12:], (1, now // 3_600 * 3_600 + 7)]:
        index = world.levels.get(u, 10**18)
        slice_ = lambda u=u, e=expiry, i=index: hub.slice(now, u, e, i)  # noqa: E731
        yield ask("hub", "slice", (u, expiry, index), slice_)
        price = hub.settlement_price(u, expiry)
        yield ask("hub", "settlementPrice", (u, expiry), lambda p=price: p)
    for u in (*world_of.UNDERLYINGS, 5):
        yield ask("hub", "liveExpiries", (u,), lambda u=u: _live(world, u))
        yield ask("hub", "surfaceParameters", (u,), lambda u=u: hub.surface(u))
    both = (1, 2)
    yield ask("hub", "snapshot", (both,), lambda: tuple(_market(world, u) for u in both))


def _live(world: World, underlying: int) -> tuple[int, ...]:
    known = world.hub.state.expiries.get(underlying, ())
    return tuple(expiry for expiry in known if expiry > world.now)


def _market(world: World, underlying: int) -> tuple:
    spot = world.hub.spot(world.now, underlying)
    live = _live(world, underlying)
    slices = [(e, *world.hub.slice(world.now, underlying, e, spot[0])) for e in live]
    return (*spot, tuple(slices))


def _of_parameters(world: World, ask: Callable[..., Probe]) -> Iterator[Probe]:
    p, clock, now = world.parameters, world.clock, world.now
    yield ask("parameters", "activeTime", (), lambda: clock.active_time(now))
    yield ask("parameters", "isOutage", (), lambda: clock.is_outage(now))
    yield ask("parameters", "outage", (), lambda: clock.outage)
    yield ask("parameters", "globalParameters", (), lambda: p.global_parameters(now))
    yield ask("parameters", "decorrelations", (), lambda: p.decorrelations(now))
    of_collateral = lambda: p.collateral_parameters(now, 1) or UNKNOWN_ASSET  # noqa: E731
    yield ask("parameters", "collateralParameters", (1,), of_collateral)
    yield ask("parameters", "scenarios", (), lambda: p.scenarios(now))
    for u in (1, 2, 3, 4):
        yield ask("parameters", "scanRanges", (u,), lambda u=u: p.scan_ranges(now, u))
        yield ask("parameters", "liveExpiries", (u,), lambda u=u: p.live_expiries(now, u))
        of_u = lambda u=u: p.underlying_parameters(now, u) or UNLISTED  # noqa: E731
        yield ask("parameters", "underlyingParameters", (u,), of_u)


def _of_estimator(world: World, ask: Callable[..., Probe]) -> Iterator[Probe]:
    e = world.estimator
    yield ask("estimator", "basket", (), lambda: tuple(e.basket))
    yield ask("estimator", "covariances", (), e.packed_covariances)
    yield ask("estimator", "estimator", (), lambda: (*e.parameters, e.sampled_at))
    for place, u in enumerate(e.basket):
        anchor = e.anchors.get(place, Anchor(0, 0))
        yield ask("estimator", "anchor", (u,), lambda a=anchor: a)
        yield ask("estimator", "variance", (u,), lambda u=u: e.variance(u))
    for u, v in ((1, 2), (2, 1), (3, 1), (2, 2), (1, 11)):
        yield ask("estimator", "covariance", (u, v), lambda u=u, v=v: e.covariance(u, v))
        yield ask("estimator", "correlation", (u, v), lambda u=u, v=v: e.correlation(u, v))


def _of_predictive(world: World, ask: Callable[..., Probe]) -> Iterator[Probe]:
    model, now = world.predictive, world.now
    yield ask("predictive", "publication", (), lambda: model.publication)
    yield ask("predictive", "parameters", (), lambda: model.parameters(now))
    yield ask("predictive", "target", (), model.target)
    prediction, exposures = model.prediction(now), world.exposures()
    bitmap = sum(1 << u for u in BOOK)
    terms = lambda: predictive_model.terms(prediction, BOOK)  # noqa: E731
    yield ask("predictive", "terms", (bitmap,), terms)
    measure = lambda: predictive_model.measure(prediction, exposures)  # noqa: E731
    yield ask("predictive", "measure", (exposures,), measure)
    first = max(0, len(model.words) - 2)
    vectors = lambda: predictive_model.vectors(prediction, first, 4)  # noqa: E731
    yield ask("predictive", "vectors", (first, 4), vectors)
    active = world.clock.active_time(now)
    for u in (*world.estimator.basket[:4], 12):
        deviations = lambda u=u: tuple((d,) for d in world.estimator.deviations(u, active))  # noqa: E731
        yield ask("estimator", "deviations", ((u,),), deviations)


# Encoding -------------------------------------------------------------------------------------


def to_abi(value: Any) -> Any:
    """Make of the model's structures what the contracts' are encoded of."""
    if isinstance(value, FeedParameters):
        sources = tuple((_address(s.address), age) for s, age in value.sources)
        mark = value.mark_source
        last = (_address(mark.source.address), mark.max_age_seconds) if mark else NO_SOURCE
        return (sources, *value[1:8], last)
    if isinstance(value, list | tuple):
        return tuple(to_abi(item) for item in value)
    if isinstance(value, str) and not value.startswith("0x"):
        return value.encode().ljust(32, bytes(1))
    return value


def named(error: tuple[str, tuple]) -> tuple[str, tuple]:
    """Error whose names are text, as the model's are."""
    name, values = error
    texts = (
        v.rstrip(b"\0").decode() if isinstance(v, bytes) and len(v) == 32 else v for v in values
    )
    return name, tuple(texts)


def event_values(event: Any) -> tuple:
    """Values of a model's event as they are decoded from a log; None is what was not there yet."""
    unset = UNSET.get(event.name)
    return tuple(to_abi(unset if value is None else value) for value in event.values)


def decode_event(contract: ContractInstance, log: dict) -> tuple[str, tuple]:
    """Name and values of a log, in the order of the declaration."""
    name, inputs = _event_types(contract.contract_type)[log["topics"][0]]
    topics = iter(log["topics"][1:])
    types = [kind for kind, indexed in inputs if not indexed]
    data = iter(decode(types, bytes.fromhex(log["data"][2:])))
    values = []
    for kind, indexed in inputs:
        value = decode([kind], bytes.fromhex(next(topics)[2:]))[0] if indexed else next(data)
        values.append(int(value, 16) if kind == "address" else value)
    return name, tuple(values)


def _event_types(contract_type: Any) -> dict[str, tuple[str, list]]:
    return {
        "0x" + keccak(text=event.selector).hex(): (
            event.name,
            [(i.canonical_type, i.indexed) for i in event.inputs],
        )
        for event in contract_type.events
    }


@cache
def _methods(name: str) -> dict[str, Any]:
    contract_type = getattr(ape.project, name).contract_type
    return {m.name: m for m in (*contract_type.view_methods, *contract_type.mutable_methods)}


def _selector(contract: ContractInstance, method: str) -> str:
    return _methods(contract.contract_type.name)[method].selector


def _outputs(contract: ContractInstance, method: str) -> tuple[str, ...]:
    outputs = _methods(contract.contract_type.name)[method].outputs
    return tuple(output.canonical_type for output in outputs)
