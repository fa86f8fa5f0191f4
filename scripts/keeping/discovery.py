"""Accounts from events, through restarts and reorganisations.

Every event of the engine that names an account does so in an indexed field; whichever it is, the
account was touched and is to be read again. So no event needs to be understood, and a new one is
followed as soon as the contract has it.
"""

from dataclasses import dataclass
from typing import NamedTuple

import structlog
from ape.contracts import ContractInstance
from eth_utils import keccak

from scripts.keeping.chain import Chain, Head, NodeError
from scripts.keeping.checkpoint import Checkpoint

ACCOUNT_FIELDS = {"account", "bidder", "counterparty", "rewardAccount"}
BLOCKS_AT_ONCE = 2_000
MANY_BLOCKS = 100_000

log = structlog.get_logger()


class Sync(NamedTuple):
    """Outcome of reading up to a block."""

    head: Head
    blocks: int
    touched: int
    stepped_back: int


@dataclass
class Discovery:
    """Reads events into a checkpoint.

    Attributes
    ----------
    chain, checkpoint
        From where and to where.
    engine
        Address whose events count.
    fields
        By first topic, which of the other topics are accounts.
    confirmations
        Blocks below the latest that are left for the next time.
    first_block
        From where to read when nothing was; that of the engine if none is given.
    """

    chain: Chain
    checkpoint: Checkpoint
    engine: str
    fields: dict[str, tuple[int, ...]]
    confirmations: int = 0
    first_block: int | None = None

    def sync(self) -> Sync:
        """Read what is new; step back first where the chain is not what it was."""
        stepped_back = self._return_to_the_chain()
        head = self.chain.head()
        if self.checkpoint.first_block is None:
            self.checkpoint.begin(self._begin(head))
        known = self.checkpoint.blocks()
        start = known[0][0] + 1 if known else self.checkpoint.first_block
        last = max(head.number - self.confirmations, 0)
        touched, position, step = 0, start, BLOCKS_AT_ONCE
        while position <= last:
            until = self.chain.block(min(position + step - 1, last))
            if until is None:
                break  # The chain has become shorter: the next sync steps back.
            try:
                found = self._touched(position, until.number)
            except NodeError:
                # Nodes limit how much one answer may hold; a single block must do.
                if until.number == position:
                    raise
                step = max(1, (until.number - position + 1) // 4)
                continue
            self.checkpoint.advance(found, until)
            touched, position = touched + len(found), until.number + 1
            step = min(2 * step, BLOCKS_AT_ONCE)
        return Sync(head, max(0, position - start), touched, stepped_back)

    def _begin(self, head: Head) -> int:
        """Return the block from which to read."""
        if self.first_block is not None:
            return self.first_block
        first = self.chain.first_block_of(self.engine)
        if not first and head.number > MANY_BLOCKS:
            log.warning("the node keeps no old states: --from-block spares reading from block 0")
        return first

    def _return_to_the_chain(self) -> int:
        """Step back to the last block read that is still on the chain; return how far."""
        known = self.checkpoint.blocks()
        if not known:
            return 0
        for number, block_hash in known:
            block = self.chain.block(number)
            if block is not None and block.hash == block_hash:
                break
        else:
            number = (self.checkpoint.first_block or 0) - 1
        if number < known[0][0]:
            self.checkpoint.step_back(number)
        return known[0][0] - number

    def _touched(self, first: int, last: int) -> list[tuple[int, int]]:
        """Accounts and the last block of these that touched them."""
        found: dict[int, set[int]] = {}
        for log in self.chain.logs(self.engine, list(self.fields), first, last):
            for place in self.fields[f"0x{log.topics[0]:064x}"]:
                found.setdefault(log.topics[place], set()).add(log.block)
        return [(account, block) for account, blocks in found.items() for block in sorted(blocks)]


def account_topics(*contracts: ContractInstance) -> dict[str, tuple[int, ...]]:
    """By first topic of every event that names accounts, where they stand among the topics."""
    topics = {}
    for contract in contracts:
        for abi in contract.contract_type.events:
            indexed = [each.name for each in abi.inputs if each.indexed]
            places = tuple(i for i, name in enumerate(indexed, 1) if name in ACCOUNT_FIELDS)
            if places:
                types = ",".join(each.canonical_type for each in abi.inputs)
                topics["0x" + keccak(text=f"{abi.name}({types})").hex()] = places
    return topics
