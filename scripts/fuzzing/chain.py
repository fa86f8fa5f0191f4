"""Calls to a local chain at a chosen time, many cases at once, and errors by name."""

from functools import cache

import ape
from eth_abi import decode, encode
from eth_utils import function_signature_to_4byte_selector as selector_of

GAS = 2**48


class CallFailed(Exception):
    """A whole batch failed; the harness itself should never revert."""


def call(address: str, data: bytes, now: int) -> bytes:
    """Call a contract in a block whose time is `now` seconds.

    Raises
    ------
    CallFailed
        If the call reverts or the chain refuses it.
    """
    request = [
        {"to": address, "data": "0x" + data.hex(), "gas": hex(GAS)},
        "latest",
        {},
        {"time": hex(now), "gasLimit": hex(GAS)},
    ]
    response = ape.networks.provider.web3.provider.make_request("eth_call", request)
    if "error" in response:
        raise CallFailed(f"{response['error'].get('message')} {response['error'].get('data', '')}")
    return bytes.fromhex(response["result"][2:])


def many(target: str, calls: list[bytes]) -> bytes:
    """Call data for a ``TryMany`` to call a target once with each of `calls`."""
    return selector_of("tryMany(address,bytes[])") + encode(["address", "bytes[]"], [target, calls])


def outcomes(data: bytes) -> list[tuple[bool, bytes]]:
    """What a ``TryMany`` returned."""
    return list(decode(["(bool,bytes)[]"], data)[0])


@cache
def _errors() -> dict[str, tuple[bytes, list[str]]]:
    """Selector and argument types of every error a project contract declares, by name."""
    found = {"Panic": (selector_of("Panic(uint256)"), ["uint256"])}
    for contract in ape.project.contracts.values():
        for error in contract.errors:
            types = [parameter.canonical_type for parameter in error.inputs]
            found[error.name] = (selector_of(f"{error.name}({','.join(types)})"), types)
    return found


def encode_error(name: str, arguments: tuple) -> bytes:
    """Revert data of a named error."""
    selector, types = _errors()[name]
    return selector + encode(types, arguments)


def describe(ok: bool, data: bytes, types: list[str]) -> str:
    """One outcome for a reader: the values returned, or the error with its arguments.

    Of an error that was cut short the arguments that are missing are shown as zeros.
    """
    if ok:
        return str(decode(types, data)[0] if len(types) == 1 else decode(types, data))
    for name, (selector, inputs) in _errors().items():
        if data[:4] == selector:
            return f"{name}{decode(inputs, data[4:].ljust(32 * len(inputs), bytes(1)))}"
    return f"an undeclared error 0x{data.hex()}" if data else "a revert without data"
