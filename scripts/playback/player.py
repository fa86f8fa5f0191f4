"""Lead a deployment along a path: settings, the broadcast they describe, and the steps on chain."""

import time as wall
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial

from ape import chain, networks, project
from ape.api import AccountAPI
from ape.exceptions import ContractLogicError
from web3.exceptions import ContractLogicError as Web3Error

from oracle_mock import catalogue, faults, sources
from oracle_mock.faults import Fault
from oracle_mock.market import Ids, Market, Snapshot, postponed
from oracle_mock.paths import Path
from oracle_mock.pusher import HubPusher, Pusher, from_now
from oracle_mock.sources import MARK, RATE, Broadcast, Step
from scripts._deployment import Deployment, DeploymentError
from scripts._hub import SEQUENCER, mock_signers

WAD = 10**18


@dataclass(frozen=True)
class FaultPlan:
    """A fault by its distance from the beginning of the path, seconds."""

    kind: str
    asset: str
    sources: tuple[int, ...]
    start: int
    duration: int
    size: float | None = None

    def on(self, path: Path) -> Fault:
        """Fault on a path."""
        start = path[0].time + self.start
        return Fault(self.kind, self.asset, start, start + self.duration, self.sources, self.size)


@dataclass(frozen=True)
class Settings:
    """What is played; with the same settings it is played again.

    Attributes
    ----------
    path, seed
        As in `catalogue.build`; the seed is also that of the venues' noise.
    faults
        In the order in which they apply.
    speed
        Seconds of the path per second of the clock on the wall; 0: as fast as it goes.
    """

    path: str
    seed: int
    faults: tuple[FaultPlan, ...] = ()
    speed: float = 0.0

    @classmethod
    def of(cls, content: dict) -> "Settings":
        """Return settings as `asdict` wrote them."""
        plans = (FaultPlan(**{**f, "sources": tuple(f["sources"])}) for f in content["faults"])
        return cls(**{**content, "faults": tuple(plans)})


@dataclass
class Progress:
    """How far a run has come, and all that was seen on the way; what `--resume` goes on from.

    Attributes
    ----------
    shift_seconds
        By how much the path was moved to lie ahead of the chain.
    factors
        By what prices were multiplied, so that they go on from where the hub's stood.
    position
        Steps done.
    rows
        What was seen, one for each step and watched price (`record.Row`).
    refused
        How often the chain refused what was published.
    """

    settings: dict
    manifest: str
    shift_seconds: int
    factors: dict[str, float]
    position: int = 0
    rows: list[dict] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)


def scaled(snapshot: Snapshot, factors: dict[str, float]) -> Snapshot:
    """Multiply prices and rates by their factors."""

    def market(name: str, m: Market) -> Market:
        factor = factors.get(name, 1.0)
        prices = {
            p: getattr(m, p) * factor for p in ("index", "mark", "confidence", "stable_index")
        }
        slices = tuple(replace(part, forward=part.forward * factor) for part in m.slices)
        return replace(m, **prices, slices=slices)

    def key(token: str) -> str:
        return token + RATE if token in snapshot.markets else token

    return replace(
        snapshot,
        markets={name: market(name, m) for name, m in snapshot.markets.items()},
        rates={
            token: replace(
                rate,
                value=rate.value * factors.get(key(token), 1.0),
                stable_value=rate.stable_value * factors.get(key(token), 1.0),
            )
            for token, rate in snapshot.rates.items()
        },
        settlements={
            (name, expiry): price * factors.get(name, 1.0)
            for (name, expiry), price in snapshot.settlements.items()
        },
    )


class Player:
    """Plays settings against a deployment, step by step.

    Parameters
    ----------
    deployment
        With a hub whose sources are mocks, or with a `MarketDataFeed`.
    account
        Sends everything; the poster of surfaces or of the feed.
    progress
        Where to go on.
    """

    def __init__(self, deployment: Deployment, account: AccountAPI, progress: Progress) -> None:
        self.deployment, self.account, self.progress = deployment, account, progress
        self.settings = Settings.of(progress.settings)
        self.is_hub = deployment.manifest.market_data == "OracleHub"
        self.pusher = hub_pusher(deployment, account) if self.is_hub else None
        self.published = self._broadcast()
        self.watched = self._watched()

    @property
    def steps(self) -> int:
        """Number of steps of the path."""
        return len(self.published.path)

    def play(self) -> Iterator[tuple[Step, list[dict]]]:
        """Go on to the end; yields each step with the rows seen after it."""
        self._list_expiries()
        last = None
        halts = [halt for halt in self.published.halts if halt[1] > self._reached()]
        if self.is_hub:
            self.pusher.begin(chain.blocks.head.timestamp)
        single = None if self.is_hub else self._single()
        for place, step in enumerate(self.published.steps()):
            if place < self.progress.position:
                continue
            self._wait(last, step.truth.time)
            last = step.truth.time
            rows = []
            if not step.halted:
                if networks.provider.network.is_dev:
                    chain.pending_timestamp = max(step.truth.time, chain.pending_timestamp)
                while halts and halts[0][1] <= step.truth.time and self.is_hub:
                    self.pusher.halt(*halts.pop(0))
                if self.is_hub:
                    self.pusher.push(step)
                    self._count_refused()
                else:
                    single(step)
                rows = [self._row(step, name) for name in self.watched]
            self.progress.rows += rows
            self.progress.position = place + 1
            yield step, rows

    def _reached(self) -> int:
        """Time of the last step that is done; 0 before the first."""
        return self.published.path[self.progress.position - 1].time if self.progress.position else 0

    def _count_refused(self) -> None:
        for what, times in self.pusher.refused.items():
            self.progress.refused[what] = self.progress.refused.get(what, 0) + times
        self.pusher.refused.clear()

    def _broadcast(self) -> Broadcast:
        """What venues publish of the path, moved and scaled as the progress says."""
        path = catalogue.build(self.settings.path, self.settings.seed)
        shift, factors = self.progress.shift_seconds, self.progress.factors
        path = [scaled(postponed(snapshot, shift), factors) for snapshot in path]
        lasts = path[-1].time - path[0].time
        for plan in self.settings.faults:
            if plan.start >= lasts:
                raise DeploymentError(
                    f"{plan.kind} of {plan.asset} would begin after {plan.start // 60} minutes, "
                    f"but {self.settings.path} lasts {lasts // 60}: begin earlier, with --from"
                )
        venues = self.pusher.venues() if self.is_hub else None
        published = sources.broadcast(path, self.settings.seed, venues)
        try:
            return faults.applied(published, [plan.on(path) for plan in self.settings.faults])
        except KeyError as error:
            raise DeploymentError(f"the fault cannot be: {error.args[0]}") from error

    def _watched(self) -> list[str]:
        """Prices that are recorded: those with faults, else the first of the deployment."""
        names = [plan.asset.removesuffix(MARK) for plan in self.settings.faults]
        manifest = self.deployment.manifest
        known = [n for n in (manifest.feeds or manifest.underlyings) if n in self.published.tapes]
        return list(dict.fromkeys(names)) or ["ETH" if "ETH" in known else known[0]]

    def _wait(self, last: int | None, now: int) -> None:
        if self.settings.speed and last is not None:
            wall.sleep((now - last) / self.settings.speed)

    def _list_expiries(self) -> None:
        """List the expiries of the path's surfaces, where this account may."""
        now = chain.pending_timestamp
        for name, market in self.published.path[-1].markets.items():
            if name in self.deployment.manifest.underlyings:
                ahead = [s.expiry for s in market.slices if now < s.expiry]
                if missing := self.deployment.missing_expiries(name, ahead):
                    self._list_if_allowed(name, missing)

    def _list_if_allowed(self, name: str, expiries: list[int]) -> None:
        """Send what the chain would take; slices of expiries not listed are left out."""
        method = self.deployment.parameters.listExpiries
        arguments = self.deployment.manifest.underlyings[name], expiries
        call = {
            "from": self.account.address,
            "to": self.deployment.parameters.address,
            "data": method.encode_input(*arguments),
        }
        try:
            networks.provider.web3.eth.call(call)
        except Web3Error:
            what = f"expiries of {name}: listed are too many, or not by this account"
            self.progress.refused[what] = self.progress.refused.get(what, 0) + 1
        else:
            method(*arguments, sender=self.account)

    def _single(self):
        """Return what pushes a step into a single feed, from its first source."""
        manifest = self.deployment.manifest
        tokens = {t: n for t, n in manifest.assets.items() if n}
        pusher = Pusher(
            self.deployment.market_data, self.account, Ids(manifest.underlyings, tokens)
        )
        path = {snapshot.time: snapshot for snapshot in sources.combined(self.published)}
        return partial(self._push_single, pusher, path)

    def _push_single(self, pusher: Pusher, path: dict[int, Snapshot], step: Step) -> None:
        try:
            pusher.push(path[step.truth.time])
        except (ContractLogicError, ValueError) as error:
            what = f"feed: {type(error).__name__}"
            self.progress.refused[what] = self.progress.refused.get(what, 0) + 1

    # ------------------------------------------------------------------------------------ looking

    def _row(self, step: Step, name: str) -> dict:
        """See what a price is after a step: truth, each source, and what is in force."""
        row = {"time": step.truth.time, "name": name, "truth": sources.true_price(step.truth, name)}
        seen = self._hub_row(name) if self.is_hub else self._feed_row(name)
        return {**row, **seen}

    def _hub_row(self, name: str) -> dict:
        hub, feed = self.deployment.market_data, self.deployment.manifest.feeds[name]
        o = hub.observation(feed)
        return {
            "sources": [self._read(entry["source"]) for entry in self._entries(name)],
            "price": o.price / WAD,
            "confidence": o.confidence / WAD,
            "stable": o.stablePrice / WAD,
            "mark": o.mark / WAD,
            "disputed": bool(o.disputed),
            "age": chain.blocks.head.timestamp - o.timestamp,
        }

    def _feed_row(self, name: str) -> dict:
        manifest, feed = self.deployment.manifest, self.deployment.market_data
        try:
            if name in manifest.underlyings:
                price, confidence, mark, stable, at = feed.spot(manifest.underlyings[name])
            else:
                price, stable, at = feed.collateralRate(manifest.assets[name.removesuffix(RATE)])
                confidence, mark = 0, price
        except ContractLogicError:
            price = confidence = mark = stable = at = 0
        values = {"price": price, "confidence": confidence, "stable": stable, "mark": mark}
        age = chain.blocks.head.timestamp - at
        wads = {key: value / WAD for key, value in values.items()}
        return {"sources": [wads["price"]], **wads, "disputed": False, "age": age}

    def _entries(self, name: str) -> list[dict]:
        return self.deployment.manifest.sources.get(name, [])

    def _read(self, address: str) -> float | None:
        """Price that a source gives; None if it cannot be read."""
        source = project.IPriceSource.at(address)
        call = {"to": address, "data": source.read.encode_input()}
        try:
            answer = networks.provider.web3.eth.call(call)
        except Web3Error:
            return None
        return int.from_bytes(answer[:32], "big") / WAD


def hub_pusher(deployment: Deployment, account: AccountAPI) -> HubPusher:
    """Return what speaks through the deployment's mock feeds; refuses feeds that are none."""
    manifest = deployment.manifest
    for name, entries in manifest.sources.items():
        for place, entry in enumerate(entries, 1):
            if entry["rules"].get("address", "mock") != "mock":
                raise DeploymentError(
                    f"source {place} of {name} is a real feed, which only its owner can move: "
                    "deploy with `address: mock` to play with it"
                )
    uptime = manifest.contracts.get(SEQUENCER)
    return HubPusher(
        *(deployment.market_data, manifest.feeds, manifest.sources, account, mock_signers()),
        uptime=project.MockAggregator.at(uptime) if uptime else None,
        estimator=deployment.volatility_estimator,
    )


def begin(deployment: Deployment, manifest: str, settings: Settings) -> Progress:
    """Place a path in time and price: ahead of the chain, going on from the hub's prices."""
    path = catalogue.build(settings.path, settings.seed)
    shift = from_now(path, chain)[0].time - path[0].time
    factors = {}
    if deployment.manifest.market_data == "OracleHub":
        for name, feed in deployment.manifest.feeds.items():
            stands = deployment.market_data.observation(feed).price
            if stands and deployment.manifest.sources.get(name):
                factors[name] = stands / WAD / sources.true_price(path[0], name)
    return Progress(asdict(settings), manifest, shift, factors)


def catch_up(progress: Progress) -> None:
    """Postpone what is left of a run, if the chain's clock went on without it."""
    path = catalogue.build(Settings.of(progress.settings).path, progress.settings["seed"])
    next_ = path[min(progress.position, len(path) - 1)].time + progress.shift_seconds
    progress.shift_seconds += max(0, chain.pending_timestamp + 1 - next_)
