"""Push snapshots into the feed contract: the one module here that knows a chain."""

from collections.abc import Iterator

from ape.api import AccountAPI, ReceiptAPI
from ape.contracts import ContractInstance
from ape.managers.chain import ChainManager

from oracle_mock.market import Ids, Snapshot, postponed, updates
from oracle_mock.paths import DAY, Path


class Pusher:
    """Poster of one feed.

    Parameters
    ----------
    feed : ContractInstance
        A `MarketDataFeed`.
    poster : AccountAPI
        Account that the feed's authority lets post.
    ids : Ids
        Numbers of the underlyings and collateral tokens.
    """

    def __init__(self, feed: ContractInstance, poster: AccountAPI, ids: Ids):
        self.feed = feed
        self.poster = poster
        self.ids = ids
        self._settled: set[tuple[int, int]] = set()

    def push(self, snapshot: Snapshot) -> ReceiptAPI:
        """Post a snapshot in one transaction; settlement prices only once, for they are final.

        Valid or not: what the feed refuses reverts with the feed's own error.
        """
        integers = updates(snapshot, self.ids)
        fresh = [update for update in integers.settlements if not self._is_settled(*update[:2])]
        receipt = self.feed.post(
            integers.spots, integers.slices, integers.rates, fresh, sender=self.poster
        )
        self._settled.update(update[:2] for update in fresh)
        return receipt

    def play(self, path: Path, chain: ChainManager) -> Iterator[tuple[Snapshot, ReceiptAPI]]:
        """Push a path snapshot by snapshot, setting the chain's clock to each.

        The path must not begin in the chain's past (`from_now`).
        """
        for snapshot in path:
            chain.pending_timestamp = snapshot.time
            yield snapshot, self.push(snapshot)

    def _is_settled(self, underlying: int, expiry: int) -> bool:
        key = (underlying, expiry)
        if key not in self._settled and self.feed.settlementPrice(underlying, expiry):
            self._settled.add(key)
        return key in self._settled


def from_now(path: Path, chain: ChainManager) -> Path:
    """Postpone a path by whole days, as few as let it begin in the chain's future.

    Whole days keep expiries at their hour. A path that lies ahead stays as it is.
    """
    missing = chain.pending_timestamp - path[0].time
    days = max(0, -(-missing // DAY))
    return [postponed(snapshot, days * DAY) for snapshot in path]
