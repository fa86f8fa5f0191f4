"""Whole outcomes, value or error, of sources on the chain and in the model."""

from collections.abc import Callable, Sequence
from typing import Any

import ape
from eth_abi import decode, encode
from eth_utils import keccak

from reference_model.exact.errors import ModelError
from reference_model.exact.price_sources import Reading
from scripts.fuzzing.chain import call, describe, encode_error

Outcome = tuple[bool, bytes]

READING = ["uint256"] * 3
READ = keccak(text="read()")[:4]
TRY_MANY = keccak(text="tryMany(address,bytes[])")[:4]
BATCH = 100


def predicted(
    model: Callable[..., tuple | None], *case: Any, types: Sequence[str] = READING
) -> Outcome:
    """Outcome the model predicts, in the bytes of the chain."""
    try:
        return True, encode(types, model(*case) or ())
    except ModelError as error:
        return False, encode_error(error.name, error.arguments)


class Bench:
    """Calls that change nothing, many in one.

    Parameters
    ----------
    sender
        Account that deploys.
    """

    def __init__(self, sender: Any) -> None:
        self._harness = sender.deploy(ape.project.SourceHarness)
        self._caller = sender.deploy(ape.project.TryMany)

    def try_many(
        self, target: Any, calls: Sequence[bytes], now: int | None = None
    ) -> list[Outcome]:
        """Outcome of each call, in a block of the time `now`."""
        data = TRY_MANY + encode(["address", "bytes[]"], [target.address, calls])
        answer = call(self._caller.address, data, now or ape.chain.pending_timestamp)
        return decode(["(bool,bytes)[]"], answer)[0]

    def read(self, source: Any, now: int | None = None) -> Outcome:
        """Outcome of `read` of a source, in a block of the time `now`."""
        return self.try_many(source, [READ], now)[0]

    def reading(self, source: Any, now: int | None = None) -> Reading:
        """What a source answers that must not revert."""
        ok, data = self.read(source, now)
        assert ok, describe(ok, data, READING)
        return Reading(*decode(READING, data))

    def disagreements(
        self, name: str, model: Callable[..., Reading], cases: Sequence[tuple]
    ) -> list[tuple]:
        """Compare a function of the harness with the model.

        Returns
        -------
        list of tuple
            Case, what the model says, what the chain says, where they differ.
        """
        method = getattr(self._harness, name).abis[0]
        types = [parameter.canonical_type for parameter in method.inputs]
        selector = keccak(text=f"{name}({','.join(types)})")[:4]
        outcomes = []
        for start in range(0, len(cases), BATCH):
            calls = [selector + encode(types, case) for case in cases[start : start + BATCH]]
            outcomes += self.try_many(self._harness, calls)
        found = []
        for case, actual in zip(cases, outcomes, strict=True):
            expected = predicted(model, *case)
            if expected != actual:
                shown = (describe(*outcome, READING) for outcome in (expected, actual))
                found.append((case, *shown))
        return found
