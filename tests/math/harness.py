"""The mathematics on a chain, many cases in one call, and the comparison every test uses."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from eth_abi import encode
from eth_utils import keccak

WORD = 32
OUTCOME_WORDS = 4
BATCH = 4096


class Refusal(NamedTuple):
    """An error the chain is expected to answer with."""

    signature: str
    arguments: tuple = ()

    def data(self) -> bytes:
        types = self.signature[self.signature.index("(") + 1 : -1]
        return keccak(text=self.signature)[:4] + encode(
            types.split(",") if types else [], self.arguments
        )


OVERFLOW = Refusal("Panic(uint256)", (0x11,))
ZERO_DIVISOR = Refusal("Panic(uint256)", (0x12,))


class Disagreement(NamedTuple):
    case: tuple
    model: Any
    chain: Any


class Chain:
    """`MathHarness` by function name."""

    def __init__(self, contract: Any) -> None:
        self.contract = contract
        self._functions = {m.name: m for m in contract.contract_type.view_methods}

    def outcomes(self, name: str, cases: Sequence[tuple]) -> list[bytes]:
        """Return the outcome words of every case as the harness packs them."""
        method = self._functions[name]
        types = [parameter.canonical_type for parameter in method.inputs]
        selector = keccak(text=method.selector)[:4]
        outcomes = []
        for start in range(0, len(cases), BATCH):
            encoded = [encode(types, case) for case in cases[start : start + BATCH]]
            words = len(encoded[0]) // WORD
            data = bytes(self.contract.map(selector, words, b"".join(encoded)))
            size = OUTCOME_WORDS * WORD
            outcomes += [data[i : i + size] for i in range(0, len(data), size)]
        return outcomes

    def values(self, name: str, cases: Sequence[tuple]) -> list[tuple]:
        """Return what the function returns, for cases in which it must not revert."""
        types = [parameter.canonical_type for parameter in self._functions[name].outputs]
        values = []
        for case, outcome in zip(cases, self.outcomes(name, cases), strict=True):
            assert outcome[WORD - 1] == 1, (name, case, outcome[WORD:].hex())
            words = [outcome[i : i + WORD] for i in range(WORD, len(outcome), WORD)]
            signed = [t.startswith("int") for t in types]
            pairs = zip(words, signed, strict=False)
            values.append(tuple(int.from_bytes(word, "big", signed=s) for word, s in pairs))
        return values

    def disagreements(
        self, name: str, model: Callable[..., Any], cases: Iterable[tuple]
    ) -> list[Disagreement]:
        """Compare whole outcomes, value or error, of the chain and a model.

        Parameters
        ----------
        name
            Function of the harness.
        model
            Takes a case; returns an integer, a tuple, None or a `Refusal`.
        """
        cases = list(cases)
        found = []
        for case, chain in zip(cases, self.outcomes(name, cases), strict=True):
            expected = model(*case)
            if self._packed(expected) != chain:
                found.append(Disagreement(case, expected, chain.hex()))
        return found

    @staticmethod
    def _packed(expected: Any) -> bytes:
        if isinstance(expected, Refusal):
            ok, data = 0, expected.data()
        else:
            values = () if expected is None else expected
            values = values if isinstance(values, tuple) else (values,)
            ok, data = 1, b"".join((v % 2**256).to_bytes(WORD, "big") for v in values)
        size = (OUTCOME_WORDS - 1) * WORD
        return ok.to_bytes(WORD, "big") + data[:size].ljust(size, b"\0")
