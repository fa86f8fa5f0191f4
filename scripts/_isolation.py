"""Blocks of which nothing stays on the chain."""

from collections.abc import Iterator
from contextlib import contextmanager

from ape.managers.chain import ChainManager


@contextmanager
def isolated(chain: ChainManager) -> Iterator[None]:
    """Undo on the chain what the block does, and pass on its errors.

    ape's own `isolate` drops them: an assertion could not fail, nor a measurement be missed.
    """
    pending, snapshot = chain.pending_timestamp, chain.snapshot()
    try:
        yield
    finally:
        chain.restore(snapshot)
        chain.pending_timestamp = pending
