"""The deployed ledger, acted upon and read like the exact model.

Actions are those of `model.ledger_actions`. A call that the chain refuses is not sent: its error is
read from a call at the same time. Everything else becomes a transaction in a block of its own.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import ape
from ape.api import AccountAPI
from ape.contracts import ContractInstance
from eth_abi import decode, encode
from eth_account import Account
from eth_utils import function_signature_to_4byte_selector, keccak
from model.ledger_actions import Action

from reference_model.exact import lens, risk_model
from reference_model.exact.engine import Engine
from reference_model.exact.errors import ModelError
from reference_model.exact.exchange import Order
from reference_model.types import Market
from scripts._deployment import Deployment

ORDER = "(uint256,address,uint128,int128,uint128,uint64,uint64,bool)"
ORDER_TYPE = (
    "Order(uint256 account,address signer,uint128 instrument,int128 size,uint128 price,"
    "uint64 deadline,uint64 nonce,bool reduceOnly)"
)
DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
POST = (
    "post((uint8,uint96,uint96,uint96,uint96,uint40)[],"
    "(uint8,uint32,uint96,uint64,uint256,uint40)[],"
    "(uint8,uint96,uint96,uint40)[],(uint8,uint32,uint96)[])"
)
TRY_MANY = "tryMany(address,bytes[])"
GAS = hex(10**9)
# Returns the contents of all storage slots that the call data names.
READ_STORAGE = "0x5f5b80361460135780355481526020016001565b365ff3"
# Lowest bit and width of cash, cash index, position count, margin mode, collateral bitmap, health,
# and whether the account is in auction.
HEADER_FIELDS = ((0, 104), (104, 88), (192, 8), (200, 8), (208, 32), (240, 8), (248, 1))
RULES = "(uint64,uint64,uint32,uint32,uint64,uint96,uint64,uint96,uint64,uint8,uint64,uint64)"
# Actions that go to one contract as they are: contract, signature, whether a caller comes first.
PLAIN = {
    "settle": ("engine", "settle(uint256)", False),
    "accrue": ("engine", "accrue(uint8)", False),
    "deposit": ("engine", "deposit(uint256,uint8,uint256)", True),
    "set_margin_mode": ("engine", "setMarginMode(uint256,uint8)", True),
    "cancel_orders_below": ("exchange", "cancelOrdersBelow(uint256,uint64)", True),
    "update_status": ("engine", "updateStatus(uint256)", False),
    "start_auction": ("engine", "startAuction(uint256,uint256)", False),
    "bid": ("engine", "bid(uint256,uint256,uint256,int256)", True),
    "deleverage": ("engine", "deleverage(uint256,uint128,uint256[])", False),
    "contribute": ("engine", "contribute(uint256)", True),
    "set_auction_parameters": ("rules", f"setAuctionParameters({RULES})", False),
    "set_window": ("rules", "setWindow(uint8,(uint96,uint32))", False),
    "declare_outage": ("parameters", "declareOutage(uint256)", False),
    "end_outage": ("parameters", "endOutage()", False),
    "fund_request_exit": ("fund", "requestExit(uint256)", True),
}
# What comes back from those that answer.
ANSWERS = {
    "update_status": ("uint8",),
    "start_auction": ("uint256",),
    "bid": ("uint256", "int256"),
    "deleverage": ("uint256",),
}
# Whose events are compared, in the order in which they were emitted.
EMITTERS = {
    "ledger": ("engine", "exchange"),
    "fund": ("fund",),
    "rules": ("rules",),
    "clock": ("parameters",),
}


class Owner:
    """Who owns accounts: an externally owned account, or a wallet contract with its key."""

    def __init__(self, address: str, key: str) -> None:
        self.address = int(address, 16)
        self._key = key

    def sign(self, digest: bytes) -> bytes:
        """Return a signature that is valid for the owner."""
        return bytes(Account.unsafe_sign_hash(digest, self._key).signature)


class ChainLedger:
    """A deployment under test.

    Parameters
    ----------
    deployment : Deployment
    harness : ContractInstance
        A `TryMany`.
    owners : list of Owner
    poster : AccountAPI
        May post prices, collect fees and govern.
    """

    def __init__(
        self,
        deployment: Deployment,
        harness: ContractInstance,
        owners: list[Owner],
        poster: AccountAPI,
    ) -> None:
        self.engine = deployment.margin_engine.address
        self.exchange = deployment.margin_engine.exchange()
        self.risk_model = deployment.risk_model.address
        self.lens = deployment.margin_lens.address
        self.feed = deployment.market_data.address
        self.rules = deployment.liquidation_parameters.address
        self.parameters = deployment.parameters.address
        self.fund = deployment.insurance_fund.address
        self._logs: list[dict] = []
        self.tokens = [deployment.tokens[symbol] for symbol in deployment.manifest.assets]
        self.harness = harness.address
        self.poster = poster
        self._signers = {owner.address: owner for owner in owners}
        self._domain = keccak(
            keccak(text=DOMAIN_TYPE)
            + keccak(text="Cross Margin Engine")
            + keccak(text="1")
            + encode(["uint256", "address"], [ape.chain.chain_id, self.exchange])
        )
        self._headers_slot = 0

    # ------------------------------------------------------------------------------------- acting

    def hash_order(self, order: Order) -> bytes:
        """EIP-712 hash, from the specification and not from the contract."""
        words = encode(ORDER[1:-1].split(","), _struct(order))
        return keccak(b"\x19\x01" + self._domain + keccak(keccak(text=ORDER_TYPE) + words))

    def post(self, market: Market, before: Market) -> None:
        """Post what is new in a market as of its time."""
        now = market.now
        spots = [
            (s.underlying, s.index, s.confidence, s.mark, s.stable_index, s.timestamp)
            for s in market.spots
            if s.timestamp == now
        ]
        slices = [
            (s.underlying, s.expiry, s.forward, s.discount, s.svi, s.timestamp)
            for s in market.slices
            if s.timestamp == now
        ]
        rates = [
            (c.asset, c.rate, c.stable_rate, c.timestamp)
            for c in market.collaterals
            if c.timestamp == now and c.rate
        ]
        known = {s[:2] for s in before.slices if s.settlement_price}
        settled = [
            (*s[:2], s.settlement_price)
            for s in market.slices
            if s.settlement_price and s[:2] not in known
        ]
        data = call_data(POST, (spots, slices, rates, settled))
        request = {"from": self.poster.address, "to": self.feed, "data": "0x" + data.hex()}
        assert self._send(request | {"gas": GAS}, now), "the feed refuses the market"

    def perform(self, action: Action, now: int, *, is_refused: bool) -> tuple | None:
        """Do an action at a time and return the error's name and values, if it was refused.

        Whether it should be refused decides what is tried first, a call or a transaction.
        """
        caller, target, data = self._encode(action)
        request = {"from": _address(caller), "to": target, "data": "0x" + data.hex(), "gas": GAS}
        if not is_refused and self._send(request, now):
            return None
        response = _rpc("eth_call", [request, "latest", {}, {"time": hex(now)}])
        if "error" not in response:
            return None
        assert "data" in response["error"], f"{action} is no revert: {response['error']}"
        return decode_error(bytes.fromhex(response["error"]["data"].removeprefix("0x")))

    def _encode(self, action: Action) -> tuple[int, str, bytes]:
        """Sender, contract and data of an action."""
        name, given = action
        engine, anyone = self.engine, int(self.poster.address, 16)
        if name in PLAIN:
            target, signature, has_caller = PLAIN[name]
            caller, arguments = (given[0], given[1:]) if has_caller else (anyone, given)
            return caller, getattr(self, target), call_data(signature, arguments)
        if name.startswith("fund_"):
            return self._encode_staking(name, given)
        if name == "withdraw":
            arguments = (*given[1:], _address(given[0]))
            return given[0], engine, call_data("withdraw(uint256,uint8,uint256,address)", arguments)
        if name == "match_orders":
            return anyone, engine, self._encode_match(*given)
        if name == "set_operator":
            arguments = _address(given[1]), given[2]
            return given[0], engine, call_data("setOperator(address,uint256)", arguments)
        if name == "cancel_order":
            data = call_data(f"cancelOrder({ORDER})", [_struct(given[1])])
            return given[0], self.exchange, data
        if name == "collect_fees":
            arguments = _address(given[0]), given[1]
            return given[0], engine, call_data("collectFees(address,uint256)", arguments)
        items = [self._encode(item)[2] for item in given[1]]
        return given[0], engine, call_data("batch(bytes[])", [items])

    def _encode_staking(self, name: str, given: tuple) -> tuple[int, str, bytes]:
        """What concerns the insurance fund; a reward is a transfer of tokens to it."""
        if name == "fund_reward":
            arguments, token = (self.fund, given[0]), self.tokens[0].address
            data = call_data("transfer(address,uint256)", arguments)
            return int(self.poster.address, 16), token, data
        caller, first, *rest = given
        if name == "fund_transfer":
            arguments = _address(first), *rest
            return caller, self.fund, call_data("transfer(address,uint256)", arguments)
        method, people = name.removeprefix("fund_"), [_address(person) for person in rest]
        if method in ("withdraw", "redeem"):
            people.append(_address(caller))
        signature = f"{method}(uint256{',address' * len(people)})"
        return caller, self.fund, call_data(signature, (first, *people))

    def _encode_match(
        self, maker: Order, maker_signed: bool, taker: Order, taker_signed: bool, size: int
    ) -> bytes:
        arguments = []
        for order, signed in ((maker, maker_signed), (taker, taker_signed)):
            digest = self.hash_order(order if signed else order._replace(nonce=order.nonce ^ 1))
            signature = self._signers[order.signer].sign(digest)
            arguments += [_struct(order), signature]
        signature = f"matchOrders({ORDER},bytes,{ORDER},bytes,uint128)"
        return call_data(signature, [*arguments, size])

    def _send(self, request: dict, now: int) -> bool:
        """Send a transaction in a block of that time; return whether it succeeded."""
        result_of("evm_setNextBlockTimestamp", [now])
        receipt = result_of("eth_sendTransactionSync", [request])
        self._logs = receipt["logs"]
        return receipt["status"] == "0x1"

    def answer(self, action: Action, now: int) -> tuple:
        """Values that an action would return at a time, or its error."""
        caller, target, data = self._encode(action)
        request = {"from": _address(caller), "to": target, "data": "0x" + data.hex(), "gas": GAS}
        response = _rpc("eth_call", [request, "latest", {}, {"time": hex(now)}])
        if "error" in response:
            return decode_error(_bytes(response["error"]["data"]))
        return decode(ANSWERS[action.name], _bytes(response["result"]))

    def emitted(self) -> dict[str, list[tuple]]:
        """Events of the latest transaction, name and values, by who emitted them."""
        found: dict[str, list[tuple]] = {group: [] for group in EMITTERS}
        groups = {
            getattr(self, name).lower(): group
            for group, names in EMITTERS.items()
            for name in names
        }
        for log in self._logs:
            if group := groups.get(log["address"].lower()):
                found[group].append(decode_event(log))
        return found

    # ------------------------------------------------------------------------------------ reading

    def differences(
        self, engine: Engine, full: bool, supposed: tuple[int, lens.Hypothesis] | None = None
    ) -> list[str]:
        """Everything that the chain sees otherwise than the model, stored or computed.

        Parameters
        ----------
        engine : Engine
            The model.
        full : bool
            Whether to look at what seldom changes too.
        supposed : tuple, optional
            An account and a hypothesis to ask the lens about.
        """
        found = []
        asked = list(probes(engine, full))
        if supposed:
            asked += lens_probes(engine, *supposed)
        for probe, (ok, data) in zip(asked, self._ask(asked, engine.market.now), strict=True):
            found += probe.differences(ok, data)
        accounts = engine.state.accounts
        for account, header in zip(accounts, self._headers(list(accounts)), strict=True):
            stored = accounts[account]
            expected = (
                *(stored.cash, stored.cash_index, len(stored.positions)),
                *(stored.margin_mode, stored.collateral_bitmap),
                *(stored.health, stored.in_auction),
            )
            if header != expected:
                found.append(f"header of {account:#x}: chain {header}, model {expected}")
        return found + (self._token_differences(engine) if full else [])

    def _ask(self, asked: list["Probe"], now: int) -> list[tuple[bool, bytes]]:
        """Outcomes of all probes by one call: the harness is asked to ask each contract."""
        calls = [call_data(probe.signature, probe.arguments) for probe in asked]
        targets = ("engine", "exchange", "risk_model", "lens", "fund")
        places = [[i for i, probe in enumerate(asked) if probe.target == t] for t in targets]
        batches = [
            call_data(TRY_MANY, [getattr(self, target), [calls[i] for i in group]])
            for target, group in zip(targets, places, strict=True)
        ]
        data = call_data(TRY_MANY, [self.harness, batches])
        request = {"to": self.harness, "data": "0x" + data.hex(), "gas": GAS}
        result = result_of("eth_call", [request, "latest", {}, {"time": hex(now)}])
        outcomes: dict[int, tuple[bool, bytes]] = {}
        for group, (_, answer) in zip(places, _outcomes(bytes.fromhex(result[2:])), strict=True):
            outcomes |= zip(group, _outcomes(answer), strict=True)
        return [outcomes[i] for i in range(len(asked))]

    def _token_differences(self, engine: Engine) -> list[str]:
        found = []
        for asset, expected in engine.state.token_balance_raw.items():
            balance = self.tokens[asset].balanceOf(self.engine)
            if balance != expected:
                found.append(f"tokens of asset {asset}: chain {balance}, model {expected}")
        staked, expected = self.tokens[0].balanceOf(self.fund), engine.rules.insurance_fund
        if staked != expected.total_assets():
            found.append(f"tokens of the fund: chain {staked}, model {expected.total_assets()}")
        return found

    def find_headers(self, account: int, cash: int) -> None:
        """Find the storage slot of the headers by the known cash of an untouched account."""
        for slot in range(32):
            self._headers_slot = slot
            if self._headers([account])[0][0] == cash:
                return
        raise AssertionError("no mapping from accounts to headers")

    def _headers(self, accounts: list[int]) -> list[tuple[int, ...]]:
        """Fields of accounts' headers, cash signed; read by code put in place of the engine's."""
        slots = [keccak(encode(["uint256"] * 2, [a, self._headers_slot])) for a in accounts]
        request = {"to": self.engine, "data": "0x" + b"".join(slots).hex()}
        result = result_of("eth_call", [request, "latest", {self.engine: {"code": READ_STORAGE}}])
        words = [int(result[i : i + 64], 16) for i in range(2, len(result), 64)]
        return [_header(word) for word in words]


class Probe(NamedTuple):
    """A view and what the model says it must return."""

    target: str
    signature: str
    arguments: tuple
    outputs: tuple[str, ...]
    expect: Callable[[], tuple]

    def differences(self, ok: bool, data: bytes) -> list[str]:
        """Compare an outcome with the model's, value or error."""
        try:
            expected = True, encode(self.outputs, self.expect())
        except ModelError as error:
            expected = False, (error.name, error.arguments)
        if (ok, data if ok else decode_error(data)) == expected:
            return []
        call = f"{self.signature} of {self.arguments}"
        if not (ok and expected[0]):
            shown = decode(self.outputs, data) if ok else decode_error(data)
            return [f"{call}: chain {shown}, model {expected[1] if not expected[0] else 'returns'}"]
        pairs = zip(_flat(decode(self.outputs, data)), _flat(self.expect()), strict=False)
        which = [(i, c, m) for i, (c, m) in enumerate(pairs) if c != m]
        return [f"{call}: (place, chain, model) {which[:6]}"]


def probes(engine: Engine, full: bool) -> Iterator[Probe]:
    """What to ask the chain, with the model's answers."""
    state = engine.state
    for account, stored in state.accounts.items():
        yield _engine("positionsOf(uint256)", (account,), "uint256[]", (stored.positions,))
        portfolio = _view_type("IEngine", "portfolio")
        yield Probe(
            "engine",
            "portfolio(uint256)",
            (account,),
            (portfolio,),
            lambda a=account: (engine.portfolio(a),),
        )
        yield from _breakdowns(engine, account, portfolio)
        yield Probe(
            "engine",
            "cashOf(uint256)",
            (account,),
            ("int256",),
            lambda a=account: (engine.cash_of(a),),
        )
        for asset, balance in enumerate(stored.collateral):
            if balance or (full and 0 < asset < 8):
                signature = "collateralOf(uint256,uint8)"
                yield _engine(signature, (account, asset), "uint256", (balance,))
        yield from _auction(engine, account)
        nonce = engine.exchange.min_nonce(account)
        yield Probe("exchange", "minNonce(uint256)", (account,), ("uint64",), lambda n=nonce: (n,))
    yield from _globals(engine)
    yield from _losses(engine)
    if full:
        for (owner, operator), sub_ids in state.operators.items():
            arguments = _address(owner), _address(operator)
            signature = "operatorSubIds(address,address)"
            yield _engine(signature, arguments, "uint256", (sub_ids,))
    hashes = list(state.filled)
    for order_hash in hashes if full else hashes[-2:]:
        filled = state.filled[order_hash]
        yield Probe(
            "exchange", "filled(bytes32)", (order_hash,), ("uint256",), lambda f=filled: (f,)
        )


def _breakdowns(engine: Engine, account: int, portfolio_type: str) -> Iterator[Probe]:
    """The risk model asked with the model's portfolio, so that each is judged on its own."""
    try:
        portfolio = engine.portfolio(account)
    except ModelError:
        return
    yield Probe(
        "risk_model",
        f"breakdown({portfolio_type})",
        (portfolio,),
        (_view_type("RiskModel", "breakdown"),),
        lambda: (risk_model.breakdown(portfolio, engine.market),),
    )


def lens_probes(engine: Engine, account: int, hypothesis: lens.Hypothesis) -> Iterator[Probe]:
    """What to ask the lens."""
    breakdown = _view_type("RiskModel", "breakdown")
    yield Probe(
        "lens",
        "whatIf(uint256,((uint8,int256)[],(uint128,int256,uint256,bool)[],bool,uint8))",
        (account, hypothesis),
        (breakdown, breakdown),
        lambda: lens.what_if(engine, account, hypothesis),
    )
    yield Probe(
        "lens",
        "validity(uint256)",
        (account,),
        ("(uint256,bool,bool,bool,bool)",),
        lambda: (lens.validity(engine, account),),
    )
    yield Probe(
        "lens",
        "capitalEfficiency(uint256)",
        (account,),
        ("uint256",),
        lambda: (lens.capital_efficiency(engine, account),),
    )


def _globals(engine: Engine) -> Iterator[Probe]:
    s = engine.state
    cash = (
        *(s.cash_held, s.total_debt, s.borrow_index, s.supply_index),
        *(s.accrued_at, s.interest_pool, s.fees),
    )
    yield _engine("cashState()", (), _view_type("IEngine", "cashState"), (cash,))
    for spot in engine.market.spots:
        u = spot.underlying
        state = _view_type("IEngine", "marketState")
        yield _engine("marketState(uint8)", (u,), state, (engine.market_state(u),))
        yield Probe(
            "engine",
            "currentFundingIndex(uint8)",
            (u,),
            ("int256",),
            lambda u=u: (engine.current_funding_index(u),),
        )
    for asset, total in s.total_collateral_raw.items():
        yield _engine("totalCollateralRaw(uint8)", (asset,), "uint256", (total,))


def _auction(engine: Engine, account: int) -> Iterator[Probe]:
    """Status of an account, and what a bid would find."""
    status = engine.status_of(account)
    yield _engine("statusOf(uint256)", (account,), "uint8", (status,))
    yield Probe(
        "engine",
        "auctionOf(uint256)",
        (account,),
        (_view_type("IEngine", "auctionOf"),),
        lambda: (engine.auction_of(account),),
    )


def _losses(engine: Engine) -> Iterator[Probe]:
    """Windows, losses that are pending, and the fund with its stakers."""
    yield _engine("pendingLoss()", (), "uint256", (engine.pending_loss(),))
    yield _engine("isLossPending()", (), "bool", (engine.is_loss_pending(),))
    for spot in engine.market.spots:
        window = engine.window_of(spot.underlying)
        arguments = "windowOf(uint8)", (spot.underlying,), ("uint256", "uint256")
        yield Probe("engine", *arguments, lambda w=window: w)
    fund = engine.rules.insurance_fund
    yield _fund("totalAssets()", (), (fund.total_assets(),))
    yield _fund("totalSupply()", (), (fund.total_supply(),))
    for owner in fund.state.shares:
        whose = (_address(owner),)
        yield _fund("balanceOf(address)", whose, (fund.balance_of(owner),))
        yield _fund("maxRedeem(address)", whose, (fund.max_redeem(owner),))
        yield _fund("maxWithdraw(address)", whose, (fund.max_withdraw(owner),))
        yield _fund("exitRequest(address)", whose, fund.exit_request(owner))


def _fund(signature: str, arguments: tuple, expected: tuple) -> Probe:
    return Probe("fund", signature, arguments, ("uint256",) * len(expected), lambda: expected)


def _engine(signature: str, arguments: tuple, output: str, expected: tuple) -> Probe:
    """Return a probe of the engine for a value that is known."""
    return Probe("engine", signature, arguments, (output,), lambda: expected)


@cache
def _view_type(contract: str, view: str) -> str:
    """Type of what a view returns."""
    methods = getattr(ape.project, contract).contract_type.view_methods
    return next(m for m in methods if m.name == view).outputs[0].canonical_type


@cache
def _errors() -> dict[bytes, tuple[str, list[str]]]:
    """Name and argument types of every error that a contract declares, by selector."""
    found = {function_signature_to_4byte_selector("Panic(uint256)"): ("Panic", ["uint256"])}
    for contract in ape.project.contracts.values():
        for error in contract.errors:
            types = [parameter.canonical_type for parameter in error.inputs]
            selector = function_signature_to_4byte_selector(f"{error.name}({','.join(types)})")
            found[selector] = (error.name, types)
    return found


@cache
def _events() -> dict[str, tuple[str, list, list]]:
    """Name, indexed and other parameters of every event that a contract declares, by topic."""
    found = {}
    for contract in ape.project.contracts.values():
        for event in contract.events:
            types = [parameter.canonical_type for parameter in event.inputs]
            topic = "0x" + keccak(text=f"{event.name}({','.join(types)})").hex()
            found[topic] = (event.name, [p.indexed for p in event.inputs], types)
    return found


def decode_event(log: dict) -> tuple[str, tuple]:
    """Name and values of an event in the order of their declaration; addresses as integers."""
    name, indexed, types = _events()[log["topics"][0]]
    topics = iter(log["topics"][1:])
    data = iter(
        decode([t for t, i in zip(types, indexed, strict=True) if not i], _bytes(log["data"]))
    )
    values = [
        decode([kind], _bytes(next(topics)))[0] if is_indexed else next(data)
        for kind, is_indexed in zip(types, indexed, strict=True)
    ]
    pairs = zip(types, values, strict=True)
    return name, tuple(int(v, 16) if kind == "address" else v for kind, v in pairs)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def decode_error(data: bytes) -> tuple[str, tuple]:
    """Name and values of an error; addresses as integers, like the model's."""
    if data[:4] not in _errors():
        return "an undeclared error", (data,)
    name, types = _errors()[data[:4]]
    values = decode(types, data[4:])
    if name == "ParameterOutOfRange":
        values = (values[0].rstrip(b"\0").decode(), *values[1:])
    pairs = zip(types, values, strict=True)
    return name, tuple(int(v, 16) if kind == "address" else v for kind, v in pairs)


def call_data(signature: str, arguments: Sequence) -> bytes:
    """Encode a call."""
    types = signature[signature.index("(") :]
    body = encode([types], [tuple(arguments)]) if arguments else b""
    # A tuple with dynamic members is encoded behind an offset that a call does not have.
    selector = function_signature_to_4byte_selector(signature)
    return selector + (body[32:] if arguments and is_dynamic(types) else body)


def is_dynamic(types: str) -> bool:
    """Whether arguments of these types have no fixed length."""
    return "[]" in types or "bytes," in types or types.endswith("bytes)") or "string" in types


def _outcomes(data: bytes) -> tuple[tuple[bool, bytes], ...]:
    return decode(["(bool,bytes)[]"], data)[0]


def _header(word: int) -> tuple[int, ...]:
    cash, *others = (word >> lowest & (1 << width) - 1 for lowest, width in HEADER_FIELDS)
    return (cash - (cash >> 103 << 104), *others)


def _struct(order: Order) -> tuple:
    return (order.account, _address(order.signer), *order[2:])


def _address(number: int) -> str:
    return f"0x{number:040x}"


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _flat(item)
    else:
        yield value


def _rpc(method: str, parameters: list) -> dict:
    return ape.networks.provider.web3.provider.make_request(method, parameters)


def result_of(method: str, parameters: list) -> Any:
    response = _rpc(method, parameters)
    if "error" in response:
        raise AssertionError(f"{method}: {response['error']}")
    return response["result"]
