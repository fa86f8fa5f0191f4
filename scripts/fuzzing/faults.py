"""Faults on paths: what a minority of broken sources is worth to an attacker, and costs the honest.

Every trial takes a path, lets one fault hit a minority of the sources of one price, and runs the
exact hub and risk model along it, beside a twin without the fault. At each step

* attackers withdraw all the cash that the hub's prices let them, those that were there and others
  who have just come with fresh collateral, and may not get more than true prices would let them,
  beyond a bound;
* an honest, hedged and leveraged account that is above its maintenance margin at true prices by a
  buffer may not become liquidatable.

Bound and buffer are stated in `Doubt`: as wrong as honest sources are at that moment (they are late
and round), a price may be. Whatever exceeds them is a loss, in USD.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import NamedTuple

import numpy as np

from oracle_mock import catalogue, faults, sources
from oracle_mock.faults import Fault
from oracle_mock.market import InvalidSnapshotError, Snapshot, to_wad
from oracle_mock.sources import MARK, Broadcast, ChainlinkLike, PythLike, Reading, SignedLike, Step
from reference_model.exact import instrument as instruments
from reference_model.exact import position as slots
from reference_model.exact import price_sources, risk_model
from reference_model.exact.aggregation import Answer
from reference_model.exact.errors import InvalidAnswer, ModelError
from reference_model.exact.oracle_hub import (
    COLLATERAL_FEEDS,
    FeedParameters,
    FeedSource,
    OracleHub,
)
from reference_model.exact.outage_clock import OutageClock, UptimeFeed, UptimeRound
from reference_model.types import (
    WAD,
    Assessment,
    Collateral,
    CollateralParameters,
    GlobalParameters,
    Market,
    Portfolio,
    Scenario,
    Spot,
    UnderlyingParameters,
)
from scripts._configuration import load_configuration

# Ages beyond which answers do not count, by the venues' own rhythm.
MAX_AGE = {ChainlinkLike: 3_900, PythLike: 300, SignedLike: 300}
VENUES_OF_5 = (*sources.VENUES, ChainlinkLike(deviation=0.01), PythLike(exponent=-5, noise=4e-4))
# Of how many sources, and which of them fail.
MINORITIES = ((3, (1,)), (3, (2,)), (3, (3,)), (5, (1, 2)), (5, (2, 3)), (5, (1, 5)))
BAND = 100
FEED, UPTIME = b"feed", 1
FIXED = FeedParameters((), 0, WAD, WAD, WAD // 10, WAD // 100, 0, 0)
MAX_MOVE, STABLE_RATE, MARK_BAND, CACHE_SECONDS = WAD // 10, 6 * WAD // 100, WAD // 50, 60
GRACE_SECONDS = 600


# --- sources as adapters ------------------------------------------------------------------------


class Adapter:
    """What the hub reads of one venue: what was published, through the exact adapter."""

    def __init__(self, venue: sources.Venue) -> None:
        self.venue = venue
        self.reports = price_sources.Reports()
        self._last = self._pulled = 0
        self._read: Callable[[], price_sources.Reading] = lambda: self.reports.read(FEED)

    def read(self) -> Answer | None:
        """Return the latest answer; None if the call fails."""
        try:
            return Answer(*self._read())
        except ModelError:
            return None

    def last(self) -> int:
        """Return the last price that could be read: what a reader sees who asks no questions."""
        if answer := self.read():
            self._last = answer.price
        return self._last

    def take(self, number: int, reading: Reading, now: int) -> None:
        """Let a reading arrive; what its feed refuses does not."""
        is_signed = isinstance(self.venue, SignedLike)
        if reading.price is None:
            # Reports stay readable whatever becomes of their signers.
            self._read = self._read if is_signed else _unreadable
            return
        try:
            published = self.venue.encode(reading, number)
            if is_signed:
                self.reports.post(FEED, price_sources.Reading(*published), now, now)
                return
        except (InvalidSnapshotError, ModelError):
            return
        if isinstance(self.venue, ChainlinkLike):
            deviation = to_wad(self.venue.deviation)
            arguments = published.answer, published.updated_at, self.venue.decimals, deviation
            self._read = partial(price_sources.chainlink_read, *arguments)
        elif published.publish_time > self._pulled:  # the contract keeps the newest
            self._pulled = published.publish_time
            self._read = partial(price_sources.pyth_read, *published)


def _unreadable() -> price_sources.Reading:
    raise InvalidAnswer(0, 0)


class Uptime:
    """Uptime feed of a sequencer."""

    def __init__(self) -> None:
        self.rounds = [UptimeRound(1, 0, 1)]

    def halt(self, start: int, end: int) -> None:
        """Say afterwards that the sequencer was down."""
        known = len(self.rounds)
        self.rounds += [UptimeRound(known + 1, 1, start), UptimeRound(known + 2, 0, end)]

    def feed(self) -> UptimeFeed:
        """Feed as the clock reads it."""

        def read(number: int) -> UptimeRound | None:
            return self.rounds[number - 1] if 0 < number <= len(self.rounds) else None

        return UptimeFeed(UPTIME, lambda: self.rounds[-1], read)


class Desk:
    """An exact hub with its sources.

    Parameters
    ----------
    published : Broadcast
    ids : dict of str to int
        Feeds by name.
    fixed : sequence of int
        Feeds that are always one.
    """

    def __init__(
        self, published: Broadcast, ids: dict[str, int], fixed: Sequence[int] = ()
    ) -> None:
        self.published, self.ids = published, ids
        self.uptime = Uptime()
        self.clock = OutageClock()
        start = published.path[0].time
        self.clock.set_sequencer_feed(start, self.uptime.feed(), GRACE_SECONDS)
        self.adapters = {
            (name, place): Adapter(venue)
            for name, venues in published.venues.items()
            for place, venue in enumerate(venues, 1)
        }
        self.hub = OracleHub(self.clock, lambda underlying, expiry: False)  # no surfaces
        for name, feed in ids.items():
            self.hub.set_feed(start, feed, self._parameters(name))
        for feed in fixed:
            self.hub.set_feed(start, feed, FIXED)

    def _parameters(self, name: str) -> FeedParameters:
        def listed(key: str) -> tuple[FeedSource, ...]:
            return tuple(
                FeedSource(self.adapters[key, place], MAX_AGE[type(venue)])
                for place, venue in enumerate(self.published.venues.get(key, ()), 1)
            )

        first = to_wad(sources.true_price(self.published.path[0], name))
        feeds, marks = listed(name), listed(name + MARK)
        return FeedParameters(
            *(feeds, len(feeds) // 2 + 1, first // BAND, first * BAND),
            *(MAX_MOVE, STABLE_RATE, MARK_BAND, CACHE_SECONDS),
            marks[0] if marks else None,
        )

    def take(self, step: Step) -> None:
        """Let what has arrived arrive, then observe every feed."""
        time = step.truth.time
        for start, end in self.published.halts:
            if end <= time and len(self.uptime.rounds) == 1:
                self.uptime.halt(start, end)
        for key, readings in step.arrived.items():
            self.adapters[key].take(*readings[-1], time)
        self.hub.observe_many(time, tuple(self.ids.values()))


# --- accounts and prices ------------------------------------------------------------------------


def _snake(struct: dict) -> dict:
    return {
        "".join("_" + c.lower() if c.isupper() else c for c in name): value
        for name, value in struct.items()
    }


@dataclass(frozen=True)
class Subject:
    """What a path is about: an underlying and the token of it that serves as collateral."""

    underlying: str
    token: str
    cash_like: str = catalogue.CASH_LIKE

    @property
    def names(self) -> tuple[str, ...]:
        """Prices that have sources; a token of the same name as its underlying is one to one."""
        tokens = dict.fromkeys((self.underlying, self.token, self.cash_like))
        return *tokens, self.underlying + MARK


class Rules:
    """Parameters of `scripts/deploy.yaml`, and markets made of prices and them."""

    def __init__(self, subject: Subject) -> None:
        c = load_configuration()
        self.subject = subject
        self.global_ = GlobalParameters(**_snake(c.global_.struct()))
        decorrelations = [c.decorrelations.get(group, 1) for group in range(8)]
        self.decorrelations = tuple(int(value * WAD) for value in decorrelations)
        self.scenarios = tuple(Scenario(*s.values()) for s in c.scenario_structs())
        listed = c.underlyings[subject.underlying]
        self.id = listed.id
        self.underlying = UnderlyingParameters(**_snake(listed.struct()))
        self.collaterals = {}
        for token, follows in ((subject.token, self.id), (subject.cash_like, 0)):
            struct = c.collaterals[token].struct(f"0x{len(self.collaterals) + 1:040x}", follows)
            parameters = CollateralParameters(**_snake(struct))
            self.collaterals[token] = (c.collaterals[token].asset, parameters)
        self.feeds = {subject.underlying: self.id} | {
            token: COLLATERAL_FEEDS + asset
            for token, (asset, _) in self.collaterals.items()
            if token != subject.underlying
        }
        self.fixed = [
            COLLATERAL_FEEDS + asset
            for token, (asset, _) in self.collaterals.items()
            if token == subject.underlying
        ]

    def market(self, now: int, spot: tuple, rates: dict[str, tuple]) -> Market:
        """Market with the fields of `spot` and `collateralRate` given."""
        ranges = (self.underlying.scan_range,) * 2
        spots = (Spot(self.id, self.underlying, *spot, *ranges),)
        collaterals = tuple(
            Collateral(asset, parameters, *rates[token])
            for token, (asset, parameters) in self.collaterals.items()
        )
        return Market(
            now, self.global_, self.decorrelations, self.scenarios, spots, (), collaterals
        )

    def of_hub(self, hub: OracleHub, now: int) -> Market:
        """Market as the hub says."""
        rates = {t: hub.collateral_rate(now, asset) for t, (asset, _) in self.collaterals.items()}
        return self.market(now, hub.spot(now, self.id), rates)

    def of_truth(self, truth: Snapshot) -> Market:
        """Market at true prices, known exactly and at once."""
        now = truth.time
        index, mark = (
            to_wad(sources.true_price(truth, name))
            for name in (self.subject.underlying, self.subject.underlying + MARK)
        )
        prices = {token: to_wad(truth.rates[token].value) for token in self.collaterals}
        rates = {token: (price, price, now) for token, price in prices.items()}
        return self.market(now, (index, 0, mark, index, now), rates)

    def of_source(self, desk: Desk, source: int, now: int) -> Market:
        """Market as one source of each price says, taken at its word and for new."""

        def price(name: str) -> int:
            numbers = [place for key, place in desk.adapters if key == name]
            return desk.adapters[name, min(source, len(numbers))].last() if numbers else WAD

        rates = {t: price(t) if t in self.feeds else WAD for t in self.collaterals}
        index, mark = price(self.subject.underlying), price(self.subject.underlying + MARK)
        lasting = {token: (rate, rate, now) for token, rate in rates.items()}
        return self.market(now, (index, 0, mark, index, now), lasting)


@dataclass
class Holder:
    """An account: cash in WAD, whole tokens, one perpetual."""

    cash: int
    tokens: dict[str, int] = field(default_factory=dict)
    size: int = 0
    quote: int = 0

    def portfolio(self, rules: Rules) -> Portfolio:
        """Return the account as the risk model sees it."""
        assets = sorted((rules.collaterals[t][0], n) for t, n in self.tokens.items())
        words = tuple(asset << 248 | amount for asset, amount in assets)
        perpetual = instruments.perpetual(rules.id)
        held = (slots.pack(perpetual, self.size, self.quote),) if self.size else ()
        return Portfolio(self.cash, 0, words, held, ())

    def assess(self, rules: Rules, market: Market) -> Assessment:
        """Equity and requirement in a market."""
        return risk_model.assess(self.portfolio(rules), market)

    def gross(self, truth: Snapshot, subject: Subject) -> float:
        """Value of everything that has a price, USD, nothing netted."""
        index = truth.markets[subject.underlying].index
        worth = {
            subject.token: truth.rates[subject.token].value * index,
            subject.cash_like: truth.rates[subject.cash_like].value,
        }
        held = sum(n / WAD * worth[token] for token, n in self.tokens.items())
        return held + abs(self.size) / WAD * index


def withdrawable(a: Assessment, market: Market) -> int:
    """Most cash that admission lets go (specification, section 11), WAD."""
    if market.now > a.oldest_timestamp + market.global_parameters.withdraw_max_age_seconds:
        return 0
    return max(0, min(a.initial_equity - a.initial_margin, a.collateral_equity))


def borrowers(rules: Rules, now: Snapshot) -> dict[str, Holder]:
    """Accounts that come at some moment with collateral bought for a million dollars of it each."""
    index = to_wad(now.markets[rules.subject.underlying].index)
    rate, dollar = (
        to_wad(now.rates[token].value) for token in (rules.subject.token, rules.subject.cash_like)
    )
    subject = rules.subject
    return {
        "borrower": Holder(0, {subject.token: 10**6 * WAD**3 // (index * rate)}),
        "cash-like borrower": Holder(0, {subject.cash_like: 10**6 * WAD**2 // dollar}),
    }


def attackers(rules: Rules, first: Snapshot) -> dict[str, Holder]:
    """Accounts that are there from the start: borrowers, and two with perpetuals."""
    index = to_wad(first.markets[rules.subject.underlying].index)
    units = 10**6 * WAD * WAD // index
    return {
        **borrowers(rules, first),
        "long": Holder(10**6 * WAD, {}, 2 * units, -2 * 10**6 * WAD),
        "short": Holder(10**6 * WAD, {}, -2 * units, 2 * 10**6 * WAD),
    }


def honest(rules: Rules, first: Snapshot) -> Holder:
    """Return a holder of the token short of perpetuals against it, who owes 70 % of its worth."""
    index = to_wad(first.markets[rules.subject.underlying].index)
    rate = to_wad(first.rates[rules.subject.token].value)
    units = 10**6 * WAD * WAD // index
    size = units * rate // WAD
    value = size * index // WAD
    return Holder(-7 * value // 10, {rules.subject.token: units}, -size, value)


# --- how wrong honest sources are ---------------------------------------------------------------


class Doubt(NamedTuple):
    """How far a price may be off at a moment, as a fraction of it.

    Attributes
    ----------
    price : float
        Greatest distance from the truth of an honest source, or of the twin's price; the sum over
        the prices an account depends on.
    width : float
        Greatest reach of an honest interval from the price in force: what the confidence charge
        may take at most.
    """

    price: float
    width: float

    def bound(self, gross: float) -> float:
        """USD by which a withdrawal may exceed what true prices allow.

        A requirement is at most three tenths of what moves it, and every price enters once into
        equity and once into the requirement; the last term is for rounding.
        """
        return 1.5 * self.price * gross + 0.01

    def buffer(self, gross: float) -> float:
        """USD above maintenance that keep an account from being liquidated."""
        return self.bound(gross) + self.width * gross


def doubt(trial: "Trial", sound: Desk, hurt: Desk, truth: Snapshot) -> Doubt:
    """Judge how wrong honest sources, and the hub without the fault, are at a moment."""
    fault, off, width = trial.fault, 0.0, 0.0
    for name, feed in sound.ids.items():
        true = sources.true_price(truth, name)
        in_force = sound.hub.state.observations[feed].price / WAD
        hub_price = hurt.hub.state.observations[feed].price / WAD
        distances = [abs(in_force / true - 1)]
        for (key, place), adapter in sound.adapters.items():
            if key == name and not (fault.name == name and place in fault.sources):
                answer = adapter.read()
                distances.append(abs(answer.price / WAD / true - 1))
                reach = abs(answer.price / WAD - hub_price) + answer.confidence / WAD
                width += reach / true if feed < COLLATERAL_FEEDS else 0.0
        off += max(distances)
    if fault.name.endswith(MARK):
        off += MARK_BAND / WAD
    return Doubt(off, width)


# --- trials -------------------------------------------------------------------------------------


class Trial(NamedTuple):
    """One path with one fault."""

    path: str
    seed: int
    fault: Fault
    venues: int

    def __str__(self) -> str:
        """Say what is tried, so that it can be tried again."""
        f = self.fault
        hit = f"{f.kind} of {f.name}, sources {', '.join(map(str, f.sources))} of {self.venues}"
        return f"{self.path}, seed {self.seed}: {hit}"


class Loss(NamedTuple):
    """What went beyond a bound: who, when, by how much (USD)."""

    who: str
    time: int
    usd: float


@dataclass
class Outcome:
    """What came of a trial.

    Attributes
    ----------
    losses : list of Loss
        Beyond the bounds; must be empty.
    withdrawn : float
        By all attackers, USD.
    reach : float
        Greatest share of a bound that a withdrawal used.
    guarded : int
        Steps at which the honest account was above the buffer, and so had to be spared.
    naive : float
        Loss in the same trial with the faulty source alone, taken at its word, USD.
    """

    losses: list[Loss] = field(default_factory=list)
    withdrawn: float = 0.0
    reach: float = 0.0
    guarded: int = 0
    naive: float = 0.0


def subject_of(path: str) -> Subject:
    """Return what a path is about."""
    return Subject("SOL", "SOL") if path == "pump" else Subject("ETH", catalogue.STAKED)


@cache
def _path(name: str, seed: int) -> list[Snapshot]:
    return catalogue.build(name, seed)


@cache
def _published(name: str, seed: int, count: int) -> Broadcast:
    subject = subject_of(name)
    venues: dict[str, tuple] = {key: VENUES_OF_5[:count] for key in subject.names}
    venues[subject.underlying + MARK] = (SignedLike(),)
    return sources.broadcast(_path(name, seed), seed, venues)


@cache
def _rules(subject: Subject) -> Rules:
    return Rules(subject)


def run(trial: Trial) -> Outcome:
    """Try one fault on one path."""
    rules = _rules(subject_of(trial.path))
    sound = _published(trial.path, trial.seed, trial.venues)
    hurt = faults.applied(sound, [trial.fault])
    if trial.fault.kind == faults.HALT:
        sound = hurt  # without a chain there is no twin
    twin, desk = (Desk(published, rules.feeds, rules.fixed) for published in (sound, hurt))
    outcome = Outcome()
    crowd, naive = (attackers(rules, sound.path[0]) for _ in range(2))
    hedger = honest(rules, sound.path[0])
    for calm, step in zip(sound.steps(), hurt.steps(), strict=True):
        if step.halted:
            continue
        twin.take(calm)
        desk.take(step)
        now = step.truth.time
        if not all(twin.hub.state.observations.get(feed) for feed in rules.feeds.values()):
            continue
        doubted = doubt(trial, twin, desk, step.truth)
        true, hub = rules.of_truth(step.truth), rules.of_hub(desk.hub, now)
        markets = true, rules.of_hub(twin.hub, now), hub
        new = {f"new {who}": holder for who, holder in borrowers(rules, step.truth).items()}
        _attack(outcome, rules, crowd | new, step.truth, true, hub, doubted)
        _spare(outcome, rules, hedger, step.truth, markets, doubted)
        alone = rules.of_source(desk, trial.fault.sources[0], now)
        new = borrowers(rules, step.truth).values()
        _fool(outcome, rules, [*naive.values(), *new], step.truth, true, alone, doubted)
    return outcome


def _attack(
    outcome: Outcome,
    rules: Rules,
    crowd: dict[str, Holder],
    truth: Snapshot,
    true: Market,
    hub: Market,
    doubted: Doubt,
) -> None:
    """Let every attacker withdraw what the hub lets him, and hold it against the truth."""
    for name, holder in crowd.items():
        taken = withdrawable(holder.assess(rules, hub), hub)
        if not taken:
            continue
        due = withdrawable(holder.assess(rules, true), true)
        bound = doubted.bound(holder.gross(truth, rules.subject))
        excess = (taken - due) / WAD
        holder.cash -= taken
        outcome.withdrawn += taken / WAD
        outcome.reach = max(outcome.reach, excess / bound)
        if excess > bound:
            outcome.losses.append(Loss(name, truth.time, excess - bound))


def _spare(
    outcome: Outcome,
    rules: Rules,
    hedger: Holder,
    truth: Snapshot,
    markets: tuple[Market, Market, Market],
    doubted: Doubt,
) -> None:
    """See that the honest account is not liquidatable unless it is without the fault."""
    true, twin, hub = (hedger.assess(rules, market) for market in markets)
    buffer = int(doubted.buffer(hedger.gross(truth, rules.subject)) * WAD)
    safe = min(a.equity - a.maintenance_margin for a in (true, twin)) >= buffer
    outcome.guarded += safe
    if safe and hub.equity < hub.maintenance_margin:
        usd = (hub.maintenance_margin - hub.equity) / WAD
        outcome.losses.append(Loss("honest", truth.time, usd))


def _fool(
    outcome: Outcome,
    rules: Rules,
    crowd: Iterable[Holder],
    truth: Snapshot,
    true: Market,
    alone: Market,
    doubted: Doubt,
) -> None:
    """Let the attackers do the same where one source is taken at its word; count what it costs."""
    for holder in crowd:
        taken = withdrawable(holder.assess(rules, alone), alone)
        due = withdrawable(holder.assess(rules, true), true)
        holder.cash -= taken
        bound = doubted.bound(holder.gross(truth, rules.subject))
        outcome.naive += max(0.0, (taken - due) / WAD - bound)


def trials(seed: int, paths: Sequence[str] = tuple(catalogue.PATHS)) -> Iterator[Trial]:
    """Every path with every fault on every price, a minority of its sources at a time."""
    for path in paths:
        for kind in faults.KINDS:
            yield from _trials_of(path, kind, seed)


def sample(seed: int) -> list[Trial]:
    """One trial of every path and fault, its price and sources chosen by the seed."""
    random = np.random.default_rng(seed)
    chosen = []
    for path in catalogue.PATHS:
        for kind in faults.KINDS:
            every = list(_trials_of(path, kind, seed))
            chosen.append(every[random.integers(len(every))])
    return chosen


def _trials_of(path: str, kind: str, seed: int) -> Iterator[Trial]:
    """Yield trials of one path and fault: the middle half of the path is faulty."""
    snapshots = _path(path, seed)
    span = snapshots[-1].time - snapshots[0].time
    window = snapshots[0].time + span // 4, snapshots[0].time + 3 * span // 4
    names = subject_of(path).names
    if kind == faults.HALT:  # hits everything
        yield Trial(path, seed, Fault(kind, names[0], *window), 3)
        return
    for name in names:
        minorities = MINORITIES[:1] if name.endswith(MARK) else MINORITIES
        for count, numbers in minorities:
            yield Trial(path, seed, Fault(kind, name, *window, numbers), count)


@dataclass
class Tally:
    """Sum of many trials; `worst` is the greatest share of a bound that was used."""

    trials: int = 0
    withdrawals: float = 0.0
    losses: list[str] = field(default_factory=list)
    naive: float = 0.0
    worst: float = 0.0

    def add(self, trial: Trial, outcome: Outcome) -> None:
        """Count one more."""
        self.trials += 1
        self.withdrawals += outcome.withdrawn
        self.naive += outcome.naive
        self.worst = max(self.worst, outcome.reach)
        self.losses += [f"{trial}: {loss}" for loss in outcome.losses]


def campaign(chosen: Iterable[Trial], each: Callable[[Trial], None] = lambda _: None) -> Tally:
    """Run trials one after the other; `each` is told before every one."""
    tally = Tally()
    for trial in chosen:
        each(trial)
        tally.add(trial, run(trial))
    return tally
