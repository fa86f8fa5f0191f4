"""The oracle hub as a state machine over integers.

`OracleHub` has the entry points of ``contracts/OracleHub.sol``, each taking the time of its block.
Sources are objects of the caller's that answer `read`. A refusal is a `ModelError` and leaves the
state as it was. Prices are WAD, times seconds of the epoch.

Source: specification, Market data, sections 3 to 6.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, Protocol

from reference_model.exact import settlement_window, stable_price, surface_checks
from reference_model.exact import svi as slices
from reference_model.exact.aggregation import MAX_PRICE, Answer, aggregate, is_timely, valid
from reference_model.exact.errors import (
    ExpiryNotListed,
    FixedOnceListed,
    LengthMismatch,
    MissingCollateralRate,
    MissingPrice,
    SettlementFinal,
    SettlementTooEarly,
    SliceExpired,
    SlicesNotAscending,
    SliceTooEarly,
    SourceTwice,
    TimestampAhead,
    TimestampBackwards,
    TooManyExpiries,
    UnknownFeed,
)
from reference_model.exact.events import Event
from reference_model.exact.fixed_point import clamp, mul_down, mul_up
from reference_model.exact.outage_clock import OutageClock
from reference_model.exact.parameters import require_in_range
from reference_model.exact.settlement_window import Window
from reference_model.exact.surface_checks import PostedSlice, SurfaceParameters
from reference_model.types import DAY, WAD

HOUR_SECONDS = 3_600
COLLATERAL_FEEDS = 256
MAX_FEED = 511
MAX_SOURCES = 5
MAX_BAND = 10_000
MAX_EXPIRIES = 16
MAX_REPORT_AGE_SECONDS = 3_600
DEFAULT_SURFACE = SurfaceParameters(WAD // 2, WAD // 50, 60)


class Source(Protocol):
    """Whatever a price can be read from; None is a call that fails."""

    address: int

    def read(self) -> Answer | None:
        """Return the latest price of the source."""


class FeedSource(NamedTuple):
    """A source and how old its answers may be."""

    source: Source
    max_age_seconds: int


class FeedParameters(NamedTuple):
    """One feed, as ``setFeed`` takes it. Without sources the price is `min_price`, for ever.

    `max_move`, `mark_band` are fractions, `stable_rate` is a logarithm per hour, all WAD.
    `mark_source` is None if there is none.
    """

    sources: tuple[FeedSource, ...]
    quorum: int
    min_price: int
    max_price: int
    max_move: int
    stable_rate: int
    mark_band: int
    cache_seconds: int
    mark_source: FeedSource | None = None

    @property
    def is_fixed(self) -> bool:
        """Whether the price never changes."""
        return not self.sources


class Aggregate(NamedTuple):
    """What the sources say together: `valid` answers within the band, so many `beyond` it.

    Price, confidence and time are those of all of them, or 0 without a quorum within.
    """

    price: int
    confidence: int
    timestamp: int
    valid: int
    beyond: int


class Observation(NamedTuple):
    """What is known of a feed since `observed_at`; `active_at` is active time."""

    price: int
    confidence: int
    timestamp: int
    disputed: bool
    stable_price: int
    mark: int
    observed_at: int
    active_at: int


class SurfaceReport(NamedTuple):
    """Slices of one underlying as posted."""

    underlying: int
    expiries: tuple[int, ...]
    forward_ratios: tuple[int, ...]
    discounts: tuple[int, ...]
    svis: tuple[int, ...]
    timestamp: int


@dataclass
class State:
    """All that is stored.

    Attributes
    ----------
    feeds, observations : dict
        By feed: an underlying, or 256 plus a collateral asset.
    slices, settlement_prices : dict
        By underlying and expiry; a slice stays known after its expiry.
    expiries : dict
        The live ones in ascending order, and passed ones not yet dropped, by underlying.
    surfaces, windows : dict
        By underlying.
    """

    feeds: dict[int, FeedParameters] = field(default_factory=dict)
    observations: dict[int, Observation] = field(default_factory=dict)
    slices: dict[tuple[int, int], PostedSlice] = field(default_factory=dict)
    expiries: dict[int, tuple[int, ...]] = field(default_factory=dict)
    surfaces: dict[int, SurfaceParameters] = field(default_factory=dict)
    windows: dict[int, Window] = field(default_factory=dict)
    settlement_prices: dict[tuple[int, int], int] = field(default_factory=dict)

    def copy(self) -> "State":
        """Return an independent copy; everything below the dictionaries is immutable."""
        return State(**{f.name: dict(getattr(self, f.name)) for f in fields(self)})


class OracleHub:
    """Several sources per price, a surface, and settlement prices.

    Parameters
    ----------
    clock : OutageClock
        Synced by every observation.
    is_expiry_listed : callable
        Of an underlying and an expiry: slices of no other are taken.

    Attributes
    ----------
    state : State
    events : list of Event
        All that it emitted; the clock keeps its own.
    """

    def __init__(self, clock: OutageClock, is_expiry_listed: Callable[[int, int], bool]) -> None:
        self.clock, self.is_expiry_listed = clock, is_expiry_listed
        self.state = State()
        self.events: list[Event] = []

    # ------------------------------------------------------------------------------------ governing

    def set_feed(self, now: int, feed: int, parameters: FeedParameters) -> None:
        """Take prices of a feed from other sources, or within other bounds, from the next block on.

        Raises
        ------
        UnknownFeed, ParameterOutOfRange, SourceTwice, FixedOnceListed
        """
        require_feed(feed, parameters)
        known = self.state.feeds.get(feed)
        if known is not None and known.is_fixed != parameters.is_fixed:
            raise FixedOnceListed("fixed", int(known.is_fixed), int(parameters.is_fixed))
        if known is not None and known.is_fixed and known.min_price != parameters.min_price:
            raise FixedOnceListed("minPrice", known.min_price, parameters.min_price)
        if feed in self.state.observations:
            self._observe(now, feed)
        self.state.feeds[feed] = parameters
        self._emit("FeedSet", feed, known, parameters)

    def set_surface(self, underlying: int, parameters: SurfaceParameters) -> None:
        """Bound the change of an underlying's surface otherwise.

        Raises
        ------
        ParameterOutOfRange
        """
        require_in_range("maxVolMove", parameters.max_vol_move, WAD // 100, 10 * WAD)
        require_in_range("maxForwardMove", parameters.max_forward_move, WAD // 10_000, WAD)
        require_in_range("minIntervalSeconds", parameters.min_interval_seconds, 1, DAY)
        old = self.surface(underlying)
        self.state.surfaces[underlying] = parameters
        self._emit("SurfaceSet", underlying, old, parameters)

    # ------------------------------------------------------------------------------------ observing

    def observe(self, now: int, feed: int) -> None:
        """Store what the sources of a feed say; nothing a second time in a block.

        Raises
        ------
        UnknownFeed
        """
        self.observe_many(now, (feed,))

    def observe_many(self, now: int, feeds: Collection[int]) -> None:
        """Observe each feed in turn.

        Raises
        ------
        UnknownFeed
        """
        with self._atomic():
            for feed in feeds:
                self._observe(now, feed)

    def _observe(self, now: int, feed: int) -> None:
        parameters = self.state.feeds.get(feed)
        if parameters is None or parameters.is_fixed:
            raise UnknownFeed(feed)
        before = self.state.observations.get(feed)
        if before is not None and before.observed_at == now:
            return
        self.clock.sync_sequencer(now)
        seen = what_is_said(parameters, now)
        if seen.valid < parameters.quorum:
            self._emit("QuorumMissed", feed, seen.valid, parameters.quorum)
        after = self._next(feed, parameters, before, seen, now)
        if after is None or after is before:
            return
        if self.clock.is_outage(now):
            after = after._replace(disputed=True)
        if feed < COLLATERAL_FEEDS and before is not None:
            self._settle(feed, before, now)
        self.state.observations[feed] = after
        values = after.price, after.confidence, after.mark, after.stable_price, after.timestamp
        self._emit("Observed", feed, *values, after.disputed)

    def _next(
        self,
        feed: int,
        parameters: FeedParameters,
        before: Observation | None,
        seen: Aggregate,
        now: int,
    ) -> Observation | None:
        """Observation that follows from what is said; without a quorum the one before.

        Where answers beyond the band complete the quorum the price before stays, disputed.
        """
        is_beyond = seen.valid < parameters.quorum
        if is_beyond:
            if before is None or not is_completed_beyond(seen, parameters.quorum):
                return before
            seen = Aggregate(before.price, before.confidence, before.timestamp, *seen[3:])
        active = self.clock.active_time(now)
        price, stable = seen.price, seen.price
        if before is not None:
            low = mul_up(before.price, WAD - parameters.max_move)
            high = mul_down(before.price, WAD + parameters.max_move)
            price = min(max(seen.price, low), high)
            elapsed = clamp(active - before.active_at, 0, stable_price.MAX_STEP_SECONDS)
            rate = parameters.stable_rate
            stable = stable_price.step(before.stable_price, before.price, elapsed, rate)
        confidence = min(seen.confidence, price)
        disputed = price != seen.price or is_beyond or self.clock.is_outage(now)
        mark = _mark(parameters, price, now) if feed < COLLATERAL_FEEDS else price
        return Observation(
            price, confidence, seen.timestamp, disputed, stable, mark, now, active
        )  # fmt: skip

    def _settle(self, underlying: int, before: Observation, now: int) -> None:
        """Let the price that was in force count, and settle the expiry that has passed."""
        s = self.state
        window = settlement_window.update(
            s.windows.get(underlying, Window()),
            before.price,
            before.observed_at,
            before.disputed,
            now,
        )
        s.windows[underlying] = window
        key = underlying, window.window_end
        if now < window.window_end or key not in s.slices or key in s.settlement_prices:
            return
        price = settlement_window.average(window)
        if price is None:
            self._emit("SettlementUncovered", *key, window.covered_seconds)
        else:
            s.settlement_prices[key] = price
            self._emit("Settled", *key, price, window.covered_seconds)

    # -------------------------------------------------------------------------------------- reading

    def spot(self, now: int, underlying: int) -> tuple[int, int, int, int, int]:
        """Index, confidence, mark, stable index and time of an underlying.

        Raises
        ------
        MissingPrice
        """
        seen = self._current(now, underlying)
        if seen is None:
            raise MissingPrice(underlying, 0)
        return seen.price, seen.confidence, seen.mark, seen.stable_price, self._time(seen, now)

    def collateral_rate(self, now: int, asset: int) -> tuple[int, int, int]:
        """Rate, stable rate and time of a collateral asset.

        Raises
        ------
        MissingCollateralRate
        """
        seen = self._current(now, COLLATERAL_FEEDS + asset)
        if seen is None:
            raise MissingCollateralRate(asset)
        stable = max(1, min(seen.stable_price, seen.price - seen.confidence))
        return seen.price, stable, self._time(seen, now)

    def slice(
        self, now: int, underlying: int, expiry: int, index: int
    ) -> tuple[int, int, int, int]:
        """Forward, discount factor, packed slice and time of an expiry, at an index.

        Raises
        ------
        MissingPrice
        """
        known = self.state.slices.get((underlying, expiry))
        if known is None or now >= expiry:
            raise MissingPrice(underlying, expiry)
        svi = surface_checks.decayed(known.svi, known.timestamp, expiry, now)
        forward = surface_checks.forward(index, known.forward_ratio)
        return forward, known.discount, svi, known.timestamp

    def aggregate(self, now: int, feed: int) -> Aggregate:
        """Return what the sources of a feed say now, before breaker and rate limit.

        Raises
        ------
        UnknownFeed
        """
        parameters = self.state.feeds.get(feed)
        if parameters is None or parameters.is_fixed:
            raise UnknownFeed(feed)
        return what_is_said(parameters, now)

    def settlement_price(self, underlying: int, expiry: int) -> int:
        """Return the settlement price, or 0 until it is known."""
        return self.state.settlement_prices.get((underlying, expiry), 0)

    def surface(self, underlying: int) -> SurfaceParameters:
        """Bounds on the change of an underlying's surface."""
        return self.state.surfaces.get(underlying, DEFAULT_SURFACE)

    def _current(self, now: int, feed: int) -> Observation | None:
        """Return the stored observation while it is fresh, else what would be stored now."""
        parameters = self.state.feeds.get(feed)
        if parameters is not None and parameters.is_fixed:
            price = parameters.min_price
            return Observation(price, 0, now, False, price, price, now, self.clock.active_time(now))
        before = self.state.observations.get(feed)
        if before is None or now <= before.observed_at + parameters.cache_seconds:
            return before
        return self._next(feed, parameters, before, what_is_said(parameters, now), now)

    def _time(self, seen: Observation, now: int) -> int:
        """Time of an observation; 0 if it must not be relied on."""
        return 0 if seen.disputed or self.clock.is_outage(now) else seen.timestamp

    # -------------------------------------------------------------------------------------- surface

    def post_surface(self, now: int, report: SurfaceReport) -> None:
        """Take in slices of one underlying, all or none.

        Raises
        ------
        LengthMismatch, TimestampAhead, TimestampBackwards, MissingPrice
            The report as a whole.
        SlicesNotAscending, SliceExpired, ExpiryNotListed, ParameterOutOfRange, InvalidSlice,
        ButterflyArbitrage
            One of its slices.
        TimestampBackwards, SliceTooEarly, VolMoveTooLarge, ForwardMoveTooLarge
            Too soon after, or too far from, the slice known before.
        TooManyExpiries, CalendarArbitrage
            All slices together.
        """
        self._require_report(now, report)
        underlying, previous, posted = report.underlying, 0, {}
        columns = report.forward_ratios, report.discounts, report.svis
        for expiry, *values in zip(report.expiries, *columns, strict=True):
            if expiry <= previous:
                raise SlicesNotAscending(underlying, expiry, previous)
            posted[expiry] = PostedSlice(*values, report.timestamp, now)
            self._require_slice(now, underlying, expiry, posted[expiry])
            previous = expiry
        live = {e for e in self.state.expiries.get(underlying, ()) if e > now} | set(posted)
        if len(live) > MAX_EXPIRIES:
            raise TooManyExpiries(underlying, MAX_EXPIRIES)
        with self._atomic():
            self.state.slices |= {(underlying, expiry): s for expiry, s in posted.items()}
            self.state.expiries[underlying] = tuple(sorted(live))
            self._require_calendar_free(now, underlying, report.expiries)
        for expiry, s in posted.items():
            self._emit("SlicePosted", underlying, expiry, *s[:-1])

    def _require_report(self, now: int, report: SurfaceReport) -> None:
        lengths = {len(column) for column in report[1:5]}
        if len(lengths) > 1 or not report.expiries:
            raise LengthMismatch
        if report.timestamp > now:
            raise TimestampAhead(report.timestamp, now)
        if report.timestamp + MAX_REPORT_AGE_SECONDS < now:
            raise TimestampBackwards(report.timestamp, now - MAX_REPORT_AGE_SECONDS)
        if self._current(now, report.underlying) is None:
            raise MissingPrice(report.underlying, 0)

    def _require_slice(self, now: int, underlying: int, expiry: int, new: PostedSlice) -> None:
        """Check one slice by itself and against the one known before."""
        if expiry <= now:
            raise SliceExpired(underlying, expiry, now)
        if not self.is_expiry_listed(underlying, expiry):
            raise ExpiryNotListed(underlying, expiry)
        require_in_range("forwardRatio", new.forward_ratio, WAD // 5, 5 * WAD)
        require_in_range("discount", new.discount, WAD // 100, WAD)
        slices.require_butterfly_free(new.svi)
        known = self.state.slices.get((underlying, expiry))
        if known is None:
            return
        parameters = self.surface(underlying)
        earliest = known.timestamp + parameters.min_interval_seconds
        if new.timestamp < earliest:
            raise TimestampBackwards(new.timestamp, earliest)
        earliest = known.posted_at + parameters.min_interval_seconds
        if now < earliest:
            raise SliceTooEarly(now, earliest)
        surface_checks.require_bounded_change(underlying, expiry, known, new, now, parameters)

    def _require_calendar_free(self, now: int, underlying: int, expiries: Collection[int]) -> None:
        """Hold each posted slice against the live expiries before and after it."""
        live = self.state.expiries[underlying]
        for expiry in expiries:
            place = live.index(expiry)
            for near, far in ((place - 1, place), (place, place + 1)):
                if near >= 0 and far < len(live):
                    pair = (self._decayed(now, underlying, live[i]) for i in (near, far))
                    slices.require_calendar_free(*pair)

    def _decayed(self, now: int, underlying: int, expiry: int) -> int:
        known = self.state.slices[underlying, expiry]
        return surface_checks.decayed(known.svi, known.timestamp, expiry, now)

    # ----------------------------------------------------------------------------------- settlement

    def settle_uncovered(self, now: int, underlying: int, expiry: int, price: int) -> None:
        """Say the settlement price that too few observations left unknown, by the governor.

        Raises
        ------
        SettlementTooEarly, SettlementFinal, UnknownFeed, ParameterOutOfRange
        """
        if now < expiry + DAY:
            raise SettlementTooEarly(underlying, expiry, now)
        known = self.settlement_price(underlying, expiry)
        if known:
            raise SettlementFinal(underlying, expiry, known, price)
        parameters = self.state.feeds.get(underlying)
        if parameters is None:
            raise UnknownFeed(underlying)
        require_in_range("price", price, parameters.min_price, parameters.max_price)
        self.state.settlement_prices[underlying, expiry] = price
        self._emit("Settled", underlying, expiry, price, 0)

    # ---------------------------------------------------------------------------------------- state

    def _emit(self, name: str, *values: Any) -> None:
        self.events.append(Event(name, values))

    @contextmanager
    def _atomic(self) -> Iterator[None]:
        """Leave everything as it was if the body is refused."""
        state, outage = self.state.copy(), self.clock.outage
        logs = [(log, len(log)) for log in (self.events, self.clock.events)]
        try:
            yield
        except BaseException:
            self.state, self.clock.outage = state, outage
            for log, length in logs:
                del log[length:]
            raise


def require_feed(feed: int, parameters: FeedParameters) -> None:
    """Check all parameters of a feed.

    Raises
    ------
    UnknownFeed, ParameterOutOfRange, SourceTwice
    """
    if not 0 < feed <= MAX_FEED or feed == COLLATERAL_FEEDS:
        raise UnknownFeed(feed)
    p, count = parameters, len(parameters.sources)
    require_in_range("sources", count, 0, MAX_SOURCES)
    require_in_range("quorum", p.quorum, count // 2 + 1 if count else 0, count)
    for i, (source, max_age_seconds) in enumerate(p.sources):
        require_in_range("maxAgeSeconds", max_age_seconds, 1, DAY)
        if any(source is other for other, _ in p.sources[:i]):
            raise SourceTwice(source.address)
    highest = min(MAX_PRICE, MAX_BAND * p.min_price) if count else p.min_price
    require_in_range("minPrice", p.min_price, 1, MAX_PRICE)
    require_in_range("maxPrice", p.max_price, p.min_price, highest)
    require_in_range("maxMove", p.max_move, WAD // 1_000, 9 * WAD // 10)
    require_in_range("stableRate", p.stable_rate, WAD // 10_000, 10 * WAD)
    require_in_range("markBand", p.mark_band, 0, WAD // 5)
    require_in_range("cacheSeconds", p.cache_seconds, 0, HOUR_SECONDS)
    if p.mark_source is not None:
        require_in_range("markSource", 1, 0, int(count > 0 and feed < COLLATERAL_FEEDS))
        require_in_range("maxAgeSeconds", p.mark_source.max_age_seconds, 1, DAY)


def what_is_said(parameters: FeedParameters, now: int) -> Aggregate:
    """Aggregate of a feed's sources.

    A quorum within the band is more than half of all valid answers, so that their median is within.
    """
    p = parameters
    answers = (valid(s.source.read(), now, s.max_age_seconds) for s in p.sources)
    given = [answer for answer in answers if answer is not None]
    within = sum(p.min_price <= answer.price <= p.max_price for answer in given)
    seen = aggregate(given) if within >= p.quorum else Answer(0, 0, 0)
    return Aggregate(*seen, within, len(given) - within)


def is_completed_beyond(seen: Aggregate, quorum: int) -> bool:
    """Whether answers beyond the band complete a quorum that those within do not make."""
    return seen.valid < quorum <= seen.valid + seen.beyond


def _mark(parameters: FeedParameters, price: int, now: int) -> int:
    """Mark of a perpetual: what its source says, within a band around the index."""
    source = parameters.mark_source
    answer = source.source.read() if source else None
    if answer is None or not is_timely(answer, now, source.max_age_seconds):
        return price
    low = mul_up(price, WAD - parameters.mark_band)
    high = mul_down(price, WAD + parameters.mark_band)
    return min(max(answer.price, low), high)
