"""Reads of a chain: many at a time, of one block, and refusals by their names.

Calls travel as JSON-RPC batches, which every node of a network that ape knows understands; where
one refuses batches they travel one by one. No contract is needed beside the engine's own.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from ape import networks, project
from ape.contracts import ContractInstance
from eth_abi import decode, encode
from eth_utils import keccak

BATCH = 200
PANIC = (keccak(text="Panic(uint256)")[:4], "Panic", ("uint256",))
MESSAGE = (keccak(text="Error(string)")[:4], "Error", ("string",))


class NodeError(Exception):
    """The node did not answer, or not what was asked: a later attempt may succeed."""


class Head(NamedTuple):
    """A block."""

    number: int
    hash: str
    timestamp: int


class Refusal(NamedTuple):
    """A call that reverted: name and values of the error; no name if nobody declares it.

    `data` is then all that is known: the revert data, or what the node says.
    """

    name: str
    values: tuple
    data: str

    def __str__(self) -> str:
        return f"{self.name}{self.values}" if self.name else self.data or "revert without data"


@dataclass(frozen=True)
class Method:
    """A function of a contract, as a node takes it."""

    address: str
    selector: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def __call__(self, *arguments: Any) -> "Call":
        data = "0x" + (self.selector + encode(self.inputs, arguments)).hex()
        return Call(self, data)


class Call(NamedTuple):
    """A call with its arguments."""

    method: Method
    data: str

    def request(self, sender: str | None = None) -> dict[str, str]:
        """Arguments of ``eth_call``."""
        request = {"to": self.method.address, "data": self.data}
        return request | {"from": sender} if sender else request


class Log(NamedTuple):
    """An event: topics and data as integers and bytes."""

    block: int
    topics: tuple[int, ...]


def methods(contract: ContractInstance) -> dict[str, Method]:
    """Every function of a contract by its name; structs are plain tuples."""
    return {
        abi.name: Method(
            contract.address,
            keccak(text=abi.selector)[:4],
            tuple(each.canonical_type for each in abi.inputs),
            tuple(each.canonical_type for each in abi.outputs),
        )
        for abi in contract.contract_type.methods
    }


@cache
def declared_errors() -> dict[bytes, tuple[str, tuple[str, ...]]]:
    """Name and types of every error that a contract of the project declares."""
    known = {PANIC[0]: PANIC[1:], MESSAGE[0]: MESSAGE[1:]}
    for contract in project.contracts.values():
        for abi in contract.errors:
            types = tuple(each.canonical_type for each in abi.inputs)
            known[keccak(text=f"{abi.name}({','.join(types)})")[:4]] = abi.name, types
    return known


@dataclass
class Chain:
    """The connected chain.

    Attributes
    ----------
    batch
        Calls that travel together at most.
    """

    batch: int = BATCH
    _refuses_batches: bool = field(default=False, init=False)

    @property
    def web3(self) -> Any:
        return networks.provider.web3

    def head(self) -> Head:
        """Return the latest block."""
        return self._block("latest")

    def block(self, number: int) -> Head | None:
        """Return a block, or nothing if the chain has not got so far."""
        return self._block(hex(number))

    def _block(self, name: str) -> Head | None:
        answer = self.ask("eth_getBlockByNumber", [name, False])
        if not answer:
            return None
        return Head(int(answer["number"], 16), _hex(answer["hash"]), int(answer["timestamp"], 16))

    def first_block_of(self, address: str) -> int:
        """Block in which a contract was created; 0 if the node does not keep old states."""
        low, high = 0, self.head().number
        try:
            while low < high:
                middle = (low + high) // 2
                code = self.ask("eth_getCode", [address, hex(middle)])
                low, high = (low, middle) if len(_hex(code)) > 2 else (middle + 1, high)
        except NodeError:
            return 0
        return low

    def logs(self, address: str, topics: Sequence[str], first: int, last: int) -> Iterator[Log]:
        """Events of a contract with one of some first topics, blocks inclusive."""
        query = {
            "address": address,
            "topics": [list(topics)],
            "fromBlock": hex(first),
            "toBlock": hex(last),
        }
        for row in self.ask("eth_getLogs", [query]):
            yield Log(
                int(row["blockNumber"], 16), tuple(int(_hex(topic), 16) for topic in row["topics"])
            )

    def read(self, call: Call, block: int | None = None, sender: str | None = None) -> tuple:
        """Return what one call does; raise `NodeError` if it is refused."""
        (outcome,) = self.read_many([call], block, sender)
        if isinstance(outcome, Refusal):
            raise NodeError(f"the chain refused a view: {outcome}")
        return outcome

    def read_many(
        self, calls: Iterable[Call], block: int | None = None, sender: str | None = None
    ) -> list[tuple | Refusal]:
        """Return what calls return or how they are refused, at one block."""
        calls, at = list(calls), "latest" if block is None else hex(block)
        outcomes: list[tuple | Refusal] = []
        for start in range(0, len(calls), self.batch):
            part = calls[start : start + self.batch]
            answers = self._ask_many([("eth_call", [each.request(sender), at]) for each in part])
            outcomes += [self._outcome(*each) for each in zip(part, answers, strict=True)]
        return outcomes

    def ask(self, method: str, parameters: list) -> Any:
        """Ask the node; raise `NodeError` instead of an error of the library."""
        answer = self._attempt(lambda: self.web3.provider.make_request(method, parameters))
        if "error" in answer:
            raise NodeError(f"{method}: {answer['error'].get('message', answer['error'])}")
        return answer.get("result")

    def _ask_many(self, requests: list[tuple[str, list]]) -> list[dict]:
        provider = self.web3.provider
        if not self._refuses_batches and hasattr(provider, "make_batch_request"):
            answers = self._attempt(lambda: provider.make_batch_request(requests))
            if isinstance(answers, list) and len(answers) == len(requests):
                return answers
            self._refuses_batches = True
        return [self._attempt(lambda r=each: provider.make_request(*r)) for each in requests]

    @staticmethod
    def _attempt(request: Any) -> Any:
        """Whatever the transport raises, it is the node that did not answer."""
        try:
            return request()
        except Exception as error:
            raise NodeError(f"{type(error).__name__}: {error}") from error

    def _outcome(self, call: Call, answer: dict) -> tuple | Refusal:
        if "error" not in answer:
            data = bytes.fromhex(_hex(answer["result"])[2:])
            if data or not call.method.outputs:
                return decode(call.method.outputs, data)
            raise NodeError(f"there is no contract at {call.method.address}")
        error = answer["error"]
        data = error.get("data")
        if not isinstance(data, str) and "revert" not in str(error.get("message", "")).lower():
            raise NodeError(str(error.get("message", error)))
        return self.refusal(data if isinstance(data, str) else "")

    def refusal(self, data: str) -> Refusal:
        """Name the error in revert data."""
        raw = bytes.fromhex(data.removeprefix("0x"))
        name, types = declared_errors().get(raw[:4], ("", ()))
        return Refusal(name, tuple(decode(types, raw[4:])) if name else (), data)


def _hex(value: Any) -> str:
    return value if isinstance(value, str) else "0x" + bytes(value).hex()
