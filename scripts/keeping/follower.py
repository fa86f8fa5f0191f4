"""Keeps the accounts of an engine up to date: events say who was touched, views what they hold."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from scripts._deployment import Deployment
from scripts.keeping.chain import Chain, Head, Refusal, methods
from scripts.keeping.checkpoint import Checkpoint
from scripts.keeping.discovery import Discovery, Sync, account_topics
from scripts.keeping.fleet import Fleet, Held, Reader

READ_AT_ONCE = 2_000

log = structlog.get_logger()


@dataclass
class Follower:
    """Follows the accounts of one engine.

    Attributes
    ----------
    discovery, reader, checkpoint
        How accounts are found and read, and where that is remembered.
    always
        Accounts to read even if no event has named them.
    refresh_seconds
        After how long all are read again, touched or not: for the interest on their cash.
    fleet
        The accounts.
    """

    discovery: Discovery
    reader: Reader
    checkpoint: Checkpoint
    always: tuple[int, ...] = ()
    refresh_seconds: float = 3_600
    fleet: Fleet = field(default_factory=Fleet)
    _refreshed: float = field(default_factory=time.monotonic, init=False)
    _revision: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._take_changes()

    def follow(self) -> Sync:
        """Take in all that has happened."""
        sync = self.discovery.sync()
        if sync.stepped_back:
            log.warning("the chain was reorganised", blocks=sync.stepped_back)
        if time.monotonic() - self._refreshed > self.refresh_seconds:
            self.checkpoint.forget_holdings()
            self._refreshed = time.monotonic()
        unnamed = [account for account in self.always if account not in self.fleet]
        self.read([*self.checkpoint.unread(), *unnamed], sync.head)
        if sync.stepped_back or len(self.fleet) > self.checkpoint.count():
            self.fleet.keep_only(self.checkpoint.accounts() | set(self.always))
        return sync

    def read(self, accounts: Sequence[int], head: Head) -> None:
        """Read accounts at a block; what was read stays known if the rest fails."""
        for start in range(0, len(accounts), READ_AT_ONCE):
            read = []
            part = accounts[start : start + READ_AT_ONCE]
            for account, held in self.reader.read(part, head):
                if isinstance(held, Refusal):
                    log.error("account cannot be read", account=hex(account), reason=str(held))
                    continue
                self.fleet.put(account, held)
                read.append((account, list(held)))
            self.checkpoint.remember(read, head.number)
        self._take_changes()

    def _take_changes(self) -> None:
        """Take in what the checkpoint has learned, from whichever command."""
        for revision, account, held in self.checkpoint.changes(self._revision):
            self.fleet.put(account, Held(*held))
            self._revision = revision


def follower(
    chain: Chain,
    deployment: Deployment,
    checkpoint: Checkpoint,
    always: tuple[int, ...] = (),
    *,
    confirmations: int = 0,
    first_block: int | None = None,
    refresh_seconds: float = 3_600,
) -> Follower:
    """Follow the engine of a deployment."""
    engine = deployment.margin_engine
    views = methods(engine)
    discovery = Discovery(
        chain, checkpoint, engine.address, account_topics(engine), confirmations, first_block
    )
    names = ("portfolio", "statusOf", "currentFundingIndex")
    reader = Reader(chain, *(views[n] for n in names), deployment.manifest.underlyings.values())
    return Follower(discovery, reader, checkpoint, always, refresh_seconds)
