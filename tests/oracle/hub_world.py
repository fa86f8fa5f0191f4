"""A hub, five sources that say what a test wants, and the words in which tests speak of them."""

from enum import IntEnum
from typing import Any

import ape
from eth_utils import keccak

from scripts._deployment import selector

WAD = 10**18
HOUR = 3_600
DAY = 86_400
NO_SOURCE = ("0x" + "00" * 20, 0)
ALWAYS = 2**40 - 1
FIRST_PRICE = 100_000 * WAD
BTC, WBTC_FEED = 1, 256 + 3


class Mode(IntEnum):
    """`SourceDouble.Mode`."""

    ANSWER = 0
    REVERT = 1
    SHORT = 2
    BURN = 3
    BOMB = 4
    LONG = 5
    CURRENT = 6
    HEAVY = 7


ROLE_FUNCTIONS = {
    "governor": ("setFeed", "setSurface", "settleUncovered"),
    "poster": ("postSurface",),
}


class HubWorld:
    """A hub with one underlying of five sources and a clock that is told what to do.

    Time is that of `start`, on the hour, until `wait` or `move_to` moves it. Two transactions may
    fall into one second, which is a block to the hub.
    """

    def __init__(self, project: Any, actors: Any) -> None:
        self.project, self.actors = project, actors
        admin = actors.admin
        self.governance = admin.deploy(project.Governance, admin)
        self.clock = admin.deploy(project.ClockDouble)
        self.reports = admin.deploy(project.SignedReports, self.governance)
        self.hub = admin.deploy(project.OracleHub, self.governance, self.clock, self.reports)
        self.many = admin.deploy(project.TryMany)
        for role, functions in ROLE_FUNCTIONS.items():
            role_id = getattr(self.governance, role.upper())()
            selectors = [selector(self.hub, function) for function in functions]
            self.governance.setTargetFunctionRole(self.hub, selectors, role_id, sender=admin)
            self.governance.grantRole(role_id, getattr(actors, role), 0, sender=admin)
        self.sources = [admin.deploy(project.SourceDouble) for _ in range(5)]
        self.mark = admin.deploy(project.SourceDouble)
        self.start = (ape.chain.blocks.head.timestamp // HOUR + 2) * HOUR

    # ----------------------------------------------------------------------------------------- time

    @property
    def now(self) -> int:
        """Time of the latest block, at which views are called."""
        return ape.chain.blocks.head.timestamp

    def move_to(self, timestamp: int) -> None:
        """Mine a block of this time."""
        ape.chain.mine(timestamp=timestamp)

    def wait(self, seconds: int) -> None:
        """Mine a block that much later."""
        self.move_to(self.now + seconds)

    def next_block(self, seconds: int = 1) -> None:
        """Let the next transaction's block be that much later, and no sooner."""
        ape.chain.pending_timestamp = self.now + seconds

    # -------------------------------------------------------------------------------------- sources

    def parameters(self, count: int = 3, **changes: Any) -> dict[str, Any]:
        """Return parameters of a feed with the first `count` sources."""
        return {
            "sources": [(s.address, HOUR) for s in self.sources[:count]],
            "quorum": count // 2 + 1 if count else 0,
            "minPrice": FIRST_PRICE // 100,
            "maxPrice": FIRST_PRICE * 100 if count else FIRST_PRICE // 100,
            "maxMove": WAD // 10,
            "stableRate": 6 * WAD // 100,
            "markBand": WAD // 50,
            "cacheSeconds": 60,
            "markSource": NO_SOURCE,
        } | changes

    def set_feed(self, count: int = 3, feed: int = BTC, **changes: Any) -> Any:
        """Set the feed as governor."""
        parameters = self.parameters(count, **changes)
        return self.hub.setFeed(feed, parameters, sender=self.actors.governor)

    def say(self, *prices: int, confidence: int = 0, mode: Mode = Mode.CURRENT) -> None:
        """Let the sources say these prices, each at the time it is asked."""
        for source, price in zip(self.sources, prices, strict=False):
            self.answer(source, price, confidence, 0, mode)

    def answer(
        self, source: Any, price: int, confidence: int, timestamp: int, mode: Mode = Mode.ANSWER
    ) -> None:
        """Let one source answer so."""
        source.set(price, confidence, timestamp, sender=self.actors.admin)
        source.setMode(mode, sender=self.actors.admin)

    def observe(self, at: int | None = None, feed: int = BTC) -> Any:
        """Observe a feed as an outsider, at a time or a second after the last block."""
        ape.chain.pending_timestamp = self.now + 1 if at is None else at
        return self.hub.observe(feed, sender=self.actors.outsider)

    def observed(self, count: int = 3, price: int = FIRST_PRICE, **changes: Any) -> "HubWorld":
        """Set the feed up and observe it once, all sources of one mind, on the hour."""
        self.set_feed(count, **changes)
        self.say(*[price] * count)
        self.observe(at=self.start)
        return self

    # -------------------------------------------------------------------------------------- signing

    @property
    def signers(self) -> list[Any]:
        """Three accounts that may sign."""
        actors = self.actors
        return [actors.guardian, actors.treasurer, actors.outsider]

    def appoint_signers(self, signers: list[Any], threshold: int) -> None:
        """Name the signers of reports, in ascending order, as admin."""
        self.reports.setSigners(signers, threshold, sender=self.actors.admin)

    def sign(self, account: Any, digest: bytes) -> bytes:
        """Sign a digest: the signer's address, then the signature."""
        signature = account.sign_raw_msghash(digest).encode_rsv()
        return bytes.fromhex(account.address[2:]) + signature

    # ----------------------------------------------------------------------------------- one block

    def in_one_block(self, *calls: Any) -> list[Any]:
        """Make several encoded calls of the hub in one block and return their outcomes."""
        return list(self.many.tryMany.call(self.hub, list(calls)))


def error_name(data: bytes) -> str:
    """Name an error of the hub by its first bytes."""
    for error in ape.project.OracleHub.contract_type.errors:
        if data[:4] == keccak(text=error.selector)[:4]:
            return error.name
    return data.hex()
