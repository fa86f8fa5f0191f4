"""State exactly which error a call or a transaction reverts with.

``ape.reverts`` lets a view call pass with the wrong error, wrong arguments or misspelt ones, and
a transaction with misspelt ones. Here the bytes that came back are compared with the encoding of
the whole expected error.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Any
from unittest.mock import patch

import ape
import pytest
from ape.exceptions import TransactionError
from ape_ethereum.trace import Trace
from eth_abi import decode, encode
from eth_utils import keccak
from ethpm_types.abi import ABIType, ErrorABI

BUILT_IN = (
    ErrorABI(name="Error", inputs=[ABIType(name="message", type="string")]),
    ErrorABI(name="Panic", inputs=[ABIType(name="code", type="uint256")]),
)


@contextmanager
def reverts_with(name: str, /, **arguments: Any) -> Iterator[None]:
    """Require that the body reverts with this error and exactly these arguments.

    Parameters
    ----------
    name
        An error that some contract of the project declares, or ``Error`` or ``Panic``.
    arguments
        Every argument of the error under its name. Structs are tuples; an address may be an
        account or a contract.

    Examples
    --------
    >>> with reverts_with("UnknownAsset", asset=outsider):
    ...     engine.deposit(account, outsider, 1, sender=trader)
    """
    error = _find(name, arguments)
    expected = _encode(error, arguments)
    try:
        with _untraced():
            yield
    except TransactionError as failure:
        actual = revert_data(failure)
    else:
        pytest.fail(f"expected {_show(expected)}, but nothing reverted")
    if actual != expected:
        pytest.fail(f"expected {_show(expected)}\n but got {_show(actual)}")


def revert_data(failure: TransactionError) -> bytes:
    """Return the bytes a failed call or transaction reverted with."""
    data = getattr(failure.__cause__, "data", None)
    if data is None:
        # ape keeps only a lossy text of a failed call, so ask the chain for it once more.
        call = failure.trace
        provider = ape.networks.provider.web3.provider
        response = provider.make_request("eth_call", [call.tx, *call.arguments])
        data = response["error"].get("data", "0x")
    return bytes.fromhex(data.removeprefix("0x"))


def _untraced() -> AbstractContextManager:
    """Keep ape from printing the trace of every revert, at a third of a second each."""
    return patch.object(Trace, "show", lambda *_: None)


@cache
def _errors() -> tuple[ErrorABI, ...]:
    declared = {
        _selector(error): error
        for contract in ape.project.contracts.values()
        for error in contract.errors
    }
    return (*BUILT_IN, *declared.values())


def _find(name: str, arguments: dict[str, Any]) -> ErrorABI:
    named = [error for error in _errors() if error.name == name]
    for error in named:
        if {parameter.name for parameter in error.inputs} == set(arguments):
            return error
    known = " or ".join(error.signature for error in named) or "unknown to every contract"
    raise ValueError(f"{name}({', '.join(arguments)}) cannot be: {name} is {known}")


def _types(error: ErrorABI) -> list[str]:
    return [parameter.canonical_type for parameter in error.inputs]


def _selector(error: ErrorABI) -> bytes:
    return keccak(text=f"{error.name}({','.join(_types(error))})")[:4]


def _encode(error: ErrorABI, arguments: dict[str, Any]) -> bytes:
    values = [_plain(arguments[parameter.name]) for parameter in error.inputs]
    return _selector(error) + encode(_types(error), values)


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return getattr(value, "address", value)


def _show(data: bytes) -> str:
    for error in _errors():
        if data[:4] == _selector(error):
            names = [parameter.name for parameter in error.inputs]
            values = decode(_types(error), data[4:])
            listed = ", ".join(f"{n}={v!r}" for n, v in zip(names, values, strict=True))
            return f"{error.name}({listed})"
    return f"an undeclared error 0x{data.hex()}" if data else "a revert without data"
