"""Push snapshots and readings into contracts: the one module here that knows a chain."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ape import project
from ape.api import AccountAPI, ReceiptAPI
from ape.contracts import ContractInstance
from ape.managers.chain import ChainManager
from eth_abi import encode
from eth_account.messages import encode_typed_data
from eth_utils import keccak
from web3.exceptions import ContractLogicError as Web3Error

from oracle_mock.market import (
    Ids,
    InvalidSnapshotError,
    Snapshot,
    pack_svi,
    postponed,
    to_wad,
    updates,
)
from oracle_mock.paths import DAY, Path
from oracle_mock.sources import (
    ChainlinkLike,
    PythLike,
    RateLike,
    Reading,
    SignedLike,
    Step,
    Venue,
)

# `PythStructs.PriceFeed`: id, price, and the moving average that nobody here reads.
PYTH_FEED = "(bytes32,(int64,uint64,int32,uint256),(int64,uint64,int32,uint256))"
# No adapter reads a price in a unit like this.
UNREADABLE_EXPONENT = 100
PRICE_REPORT = [
    {"name": "feed", "type": "bytes32"},
    {"name": "price", "type": "uint96"},
    {"name": "confidence", "type": "uint96"},
    {"name": "timestamp", "type": "uint40"},
]


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


def sign_report(
    reports: ContractInstance, chain_id: int, signers: Sequence[AccountAPI], report: tuple
) -> list[bytes]:
    """Signatures of a price report as `SignedReports` takes them, signers ascending."""
    message = encode_typed_data(
        domain_data={
            "name": "Cross Margin Reports",
            "version": "1",
            "chainId": chain_id,
            "verifyingContract": reports.address,
        },
        message_types={"PriceReport": PRICE_REPORT},
        message_data=dict(zip((part["name"] for part in PRICE_REPORT), report, strict=True)),
    )
    ascending = sorted(signers, key=lambda signer: int(signer.address, 16))
    return [
        bytes.fromhex(signer.address[2:]) + signer.sign_message(message).encode_rsv()
        for signer in ascending
    ]


def venue_of(entry: Mapping[str, Any]) -> Venue:
    """Venue that publishes as a deployed source reads it (`Manifest.sources`)."""
    rules = entry["rules"]
    if rules["type"] == "chainlink":
        # A feed that is on time is never too old for the hub.
        heartbeat = max(1, min(3_600, entry["maxAge"] - 60)) if entry["maxAge"] else 3_600
        return ChainlinkLike(rules["decimals"], float(rules["deviation"]), heartbeat)
    if rules["type"] == "pyth":
        return PythLike(rules["exponent"])
    if rules["type"] == "signed":
        return SignedLike()
    return RateLike()


class HubPusher:
    """Speaks through the mock feeds behind a hub's sources, and pokes the hub.

    Parameters
    ----------
    hub : ContractInstance
        An `OracleHub`.
    feeds : mapping of str to int
        Its feeds by name of the price.
    sources : mapping of str to sequence of mappings
        What was deployed for each source, in order (`Manifest.sources`).
    sender : AccountAPI
        Pays for everything, and posts surfaces if the hub's authority lets it.
    signers : sequence of AccountAPI
        Of signed reports.
    uptime : ContractInstance, optional
        Mock of the sequencer-uptime feed.
    estimator : ContractInstance, optional
        A `VolatilityEstimator`.

    Attributes
    ----------
    refused : dict of str to int
        How often the chain refused what was published, by what it was.
    """

    def __init__(
        self,
        hub: ContractInstance,
        feeds: Mapping[str, int],
        sources: Mapping[str, Sequence[Mapping[str, Any]]],
        sender: AccountAPI,
        signers: Sequence[AccountAPI],
        *,
        uptime: ContractInstance | None = None,
        estimator: ContractInstance | None = None,
    ):
        self.hub, self.feeds, self.sources = hub, feeds, sources
        self.sender, self.signers = sender, signers
        self.uptime, self.estimator = uptime, estimator
        self.reports = project.SignedReports.at(hub.REPORTS())
        self.parameters = project.Parameters.at(hub.CLOCK())
        self._listed: set[tuple[int, int]] = set()
        self.refused: dict[str, int] = defaultdict(int)

    def venues(self) -> dict[str, tuple[Venue, ...]]:
        """Venues behind the sources of every price, for `sources.broadcast`."""
        names = [name for name in self.sources if " leg " not in name]
        return {name: tuple(map(venue_of, self.sources[name])) for name in names}

    def push(self, step: Step) -> None:
        """Publish what has arrived, let the hub observe all feeds, post surfaces, sample."""
        pulled: list[bytes] = []
        reported: list[tuple] = []
        for (name, place), readings in step.arrived.items():
            number, reading = readings[-1]
            self._publish(self.sources[name][place - 1], name, number, reading, pulled, reported)
        self._pull(pulled)
        self._report(reported)
        feeds = [feed for name, feed in self.feeds.items() if self.sources.get(name)]
        self.hub.observeMany(feeds, sender=self.sender)
        for name in step.truth.markets:
            self._post_surface(name, step.truth)
        self._sample()

    def halt(self, start: int, end: int) -> None:
        """Say, once it is over, that the sequencer was down."""
        if self.uptime is not None:
            self._set_uptime(1, start)
            self._set_uptime(0, end)

    def begin(self, time: int) -> None:
        """Say that the sequencer is up, if nothing was ever said of it."""
        if self.uptime is not None and self._last_uptime_round() == 0:
            self._set_uptime(0, time)

    def _set_uptime(self, answer: int, since: int) -> None:
        number = self._last_uptime_round() + 1
        self.uptime.setRound(number, answer, since, since, number, sender=self.sender)

    def _last_uptime_round(self) -> int:
        """Number of the latest round of the uptime feed; 0 before the first."""
        call = {"to": self.uptime.address, "data": self.uptime.latestRoundData.encode_input()}
        try:
            return int.from_bytes(self.sender.provider.web3.eth.call(call)[:32], "big")
        except Web3Error:
            return 0

    def _publish(
        self,
        entry: Mapping[str, Any],
        name: str,
        number: int,
        reading: Reading,
        pulled: list[bytes],
        reported: list[tuple],
    ) -> None:
        """Write one reading into its feed, or put it by for the transaction of all of its kind."""
        kind = entry["rules"]["type"]
        if kind == "cross":
            self._publish_cross(entry, name, number, reading, pulled, reported)
            return
        try:
            published = None if reading.price is None else venue_of(entry).encode(reading, number)
        except InvalidSnapshotError:
            self.refused[f"{kind}: no field holds it"] += 1
            return
        if kind == "chainlink":
            # A round that was never completed is one without a time.
            values = published or (number, 0, reading.observed, 0, number)
            project.MockAggregator.at(entry["feed"]).setRound(*values, sender=self.sender)
        elif kind == "pyth":
            price = published or (0, 0, UNREADABLE_EXPONENT, reading.observed)
            update = bytes.fromhex(entry["id"][2:]), price, price
            pulled.append(encode([PYTH_FEED, "uint64"], [update, price[-1]]))
        elif kind == "rate":
            rate = published.rate if published else 0
            project.MockRateProvider.at(entry["feed"]).setRate(rate, sender=self.sender)
        elif published and 0 <= published.confidence < published.price:
            reported.append((bytes.fromhex(entry["id"][2:]), *published))
        elif published:
            self.refused["signed: SignedReports would refuse it"] += 1

    def _publish_cross(
        self,
        entry: Mapping[str, Any],
        name: str,
        number: int,
        reading: Reading,
        pulled: list[bytes],
        reported: list[tuple],
    ) -> None:
        """Write a reading into the first leg of a cross; the second is held at one."""
        one = reading._replace(price=1.0, confidence=0.0)
        for leg, part in ((1, reading), (2, one)):
            (deployed,) = self.sources[f"{name} leg {leg}"]
            self._publish(deployed, name, number, part, pulled, reported)

    def _pull(self, updates_: list[bytes]) -> None:
        """Update Pyth's prices for the fee it asks for."""
        if not updates_:
            return
        entries = (entry for part in self.sources.values() for entry in part)
        address = next(entry["feed"] for entry in entries if entry["rules"]["type"] == "pyth")
        pyth = project.MockPyth.at(address)
        fee = pyth.getUpdateFee(updates_)
        pyth.updatePriceFeeds(updates_, value=fee, sender=self.sender)

    def _report(self, reports: list[tuple]) -> None:
        """Post price reports, signed by all signers."""
        if reports:
            chain_id = self.sender.provider.chain_id
            signatures = [
                sign_report(self.reports, chain_id, self.signers, report) for report in reports
            ]
            self._attempt("signed", self.reports.post, reports, signatures)

    def _post_surface(self, name: str, truth: Snapshot) -> None:
        """Post the slices of an underlying that are listed; forwards relative to its true index."""
        market, underlying = truth.markets[name], self.feeds.get(name)
        slices = [s for s in market.slices if underlying and self._is_listed(underlying, s.expiry)]
        if not slices:
            return
        report = (
            underlying,
            [part.expiry for part in slices],
            [to_wad(part.forward / market.index) for part in slices],
            [to_wad(part.discount) for part in slices],
            [pack_svi(part.svi) for part in slices],
            market.observed,
        )
        self._attempt("surface", self.hub.postSurface, report)

    def _is_listed(self, underlying: int, expiry: int) -> bool:
        """Ask whether an expiry is listed; what is stays so."""
        key = underlying, expiry
        if key not in self._listed and self.parameters.isExpiryListed(*key):
            self._listed.add(key)
        return key in self._listed

    def _sample(self) -> None:
        """Let the estimator take its sample when it is due."""
        if self.estimator is not None:
            self._attempt("sample", self.estimator.sample)
            self.refused.pop("sample: SampleTooEarly", None)

    def _attempt(self, what: str, method: Any, *arguments: Any) -> None:
        """Send what the chain may refuse, if it does not; count it by its error if it does."""
        contract = method.contract
        call = {
            "from": self.sender.address,
            "to": contract.address,
            "data": method.encode_input(*arguments),
        }
        try:
            self.sender.provider.web3.eth.call(call)
        except Web3Error as error:
            code = str(getattr(error, "data", ""))[:10]
            names = {
                keccak(text=e.selector).hex()[:8]: e.name for e in contract.contract_type.errors
            }
            self.refused[f"{what}: {names.get(code.removeprefix('0x'), code)}"] += 1
        else:
            method(*arguments, sender=self.sender)
