"""Random actions on prices: honest, late, frozen, lying, absent; and governance in between.

Actions aim at the guards: ages, bands, moves and times are often exactly at one, or one beside it.
"""

from collections.abc import Callable
from random import Random

from model.ledger_actions import Chooser
from model.market_world import (
    COLLATERAL,
    DOWN,
    FEEDS,
    FIXED,
    GLOBAL,
    LEVELS,
    PUPPETS,
    SCENARIOS,
    SOURCES,
    UNDERLYING,
    UNDERLYINGS,
    UNKNOWN_FEEDS,
    UP,
    Action,
    World,
)

from reference_model import cases
from reference_model.exact import svi
from reference_model.exact.aggregation import Answer
from reference_model.exact.oracle_hub import FeedSource, SurfaceReport
from reference_model.exact.surface_checks import SurfaceParameters
from reference_model.exact.volatility_estimator import EstimatorParameters
from reference_model.types import DAY, PPM, WAD, YEAR, PredictiveParameters

HOUR = 3_600
PACES = (0, 1, 12, 30, 59, 60, 61, 300, 599, 600, 601, 900, 1_799, 1_800, HOUR, HOUR + 1, 7_200)
OBSERVED = tuple(SOURCES)


def draw(choose: Chooser, world: World, kinds: dict | None = None) -> list[Action]:
    """Draw what happens next: one thing, or several that belong together."""
    weights = (kinds or KINDS).items()
    kind = choose.item([kind for kind, weight in weights for _ in range(weight)])
    return kind(choose, world)


def near(choose: Chooser, guard: int) -> int:
    """One of guard − 1, guard, guard + 1."""
    return guard + choose.integer(-1, 1)


# Time and prices ------------------------------------------------------------------------------


def wait(choose: Chooser, world: World) -> list[Action]:
    """Let time pass, often to just before or after a full hour."""
    kind = choose.integer(0, 9)
    if kind == 0:
        seconds = choose.item((DAY, 3 * DAY, 12 * DAY)) + choose.integer(0, 100)
    elif kind < 4:
        seconds = max(0, HOUR - world.now % HOUR + choose.integer(-1, 1))
    else:
        seconds = choose.item(PACES)
    return [Action("wait", (seconds,)), *move(choose, world)]


def move(choose: Chooser, world: World) -> list[Action]:
    """Let a market move a little, or jump."""
    feed = choose.item(OBSERVED)
    span = 700_000 if choose.integer(0, 9) == 0 else 20_000
    level = world.levels[feed] * (PPM + choose.integer(-span, span)) // PPM
    return [Action("move", (feed, max(level, LEVELS[feed] // 40)))]


def honest(choose: Chooser, world: World, feed: int) -> list[Action]:
    """All sources of a feed say about what the market is."""
    actions = []
    for puppet in world.puppets_of(feed):
        price = world.levels[feed] * (PPM + choose.integer(-2_000, 2_000)) // PPM
        seen = Answer(price, price * choose.integer(0, 3_000) // PPM, world.now)
        seen = seen._replace(timestamp=world.now - choose.item((0, 0, 5, 60, 300)))
        actions.append(Action("show", (puppet.place, "ANSWER", seen)))
    return actions


def refresh(choose: Chooser, world: World) -> list[Action]:
    """Honest prices, observed."""
    feeds = tuple({choose.item(OBSERVED) for _ in range(choose.integer(1, 4))})
    shown = [action for feed in feeds for action in honest(choose, world, feed)]
    return [*shown, Action("observe_many", (feeds,))]


def watch(choose: Chooser, world: World) -> list[Action]:
    """Somebody keeps observing an underlying, as one does before an expiry."""
    feed, pace = choose.item((1, 2, 3)), choose.item((60, 240, 599, 601))
    actions = []
    for _ in range(choose.integer(2, 8)):
        actions += [Action("wait", (pace,)), *honest(choose, world, feed)]
        actions += [Action("fresh", (feed,)), Action("observe", (feed,))]
    return actions


def show(choose: Chooser, world: World) -> list[Action]:
    """One source says something it should not."""
    place = choose.integer(0, PUPPETS - 1)
    feed = next((f for f in OBSERVED if world.puppets[place] in world.puppets_of(f)), 1)
    price = world.levels[feed]
    answer = Answer(price, price // 1_000, world.now)
    return [Action("show", (place, *choose.item(FAULTS)(choose, world, feed, answer)))]


FAULTS: tuple[Callable, ...] = (
    lambda choose, world, feed, a: (
        "ANSWER",
        a._replace(timestamp=world.now - near(choose, choose.item((600, 900, 1_200, 1_500, DAY)))),
    ),
    lambda choose, world, feed, a: ("ANSWER", a._replace(timestamp=near(choose, world.now + 60))),
    lambda choose, world, feed, a: (
        "ANSWER",
        a._replace(timestamp=choose.item((0, 2**40, 2**255, 2**256 - 1))),
    ),
    lambda choose, world, feed, a: ("ANSWER", Answer(0, 0, world.now)),
    lambda choose, world, feed, a: ("ANSWER", Answer(2**256 - 1, 0, world.now)),
    lambda choose, world, feed, a: (
        "ANSWER",
        Answer(max(0, near(choose, LEVELS[feed] // 50)), 0, world.now),
    ),
    lambda choose, world, feed, a: (
        "ANSWER",
        Answer(near(choose, LEVELS[feed] * 50), 0, world.now),
    ),
    lambda choose, world, feed, a: ("ANSWER", a._replace(confidence=near(choose, a.price))),
    lambda choose, world, feed, a: (
        "ANSWER",
        a._replace(confidence=a.price * choose.integer(0, 999) // 1_000),
    ),
    lambda choose, world, feed, a: (
        "ANSWER",
        a._replace(price=a.price * choose.integer(300, 3_000) // 1_000),
    ),
    lambda choose, world, feed, a: (choose.item(("REVERT", "SHORT", "BURN", "BOMB")), a),
    lambda choose, world, feed, a: (choose.item(("CURRENT", "LONG", "ANSWER")), a),
)


def leave(choose: Chooser, world: World) -> list[Action]:
    """Some sources of a feed, or all, leave its band together; now and then they are soon back."""
    feed = choose.item(OBSERVED)
    p, puppets = world.hub.state.feeds[feed], world.puppets_of(feed)
    price = choose.item((p.min_price - 1, p.min_price // 2 + 1, p.max_price + 1, 2 * p.max_price))
    seen = Answer(price, price * choose.integer(0, 999) // 1_000, world.now)
    stay = choose.item((0, p.quorum - 1, p.quorum, p.quorum))
    gone = [Action("show", (q.place, "CURRENT", seen)) for q in puppets[stay:]]
    later = [Action("wait", (choose.item((1, 61, 300)),)), Action("observe", (feed,))]
    back = honest(choose, world, feed) if choose.integer(0, 1) else []
    return [*honest(choose, world, feed)[:stay], *gone, *later, *back, *(later if back else [])]


def observe(choose: Chooser, world: World) -> list[Action]:
    """Observe anything, also what cannot be."""
    if choose.integer(0, 3) == 0:
        return [Action("observe", (choose.item((*FEEDS, *UNKNOWN_FEEDS)),))]
    feeds = tuple(choose.item((*OBSERVED, *OBSERVED, 4, 5)) for _ in range(choose.integer(0, 4)))
    return [Action("observe_many", (feeds,))]


# Surface and settlement -----------------------------------------------------------------------


def post_surface(choose: Chooser, world: World) -> list[Action]:
    """Post slices, mostly sound ones of the next hours and weeks."""
    underlying = choose.item((1, 1, 1, 2, 2, 3, 4, 5))
    volatility = world.volatility * choose.integer(900, 1_100) / 1_000
    timestamp = world.now - choose.item((0, 0, 0, 1, 60, 3_600, 3_601, -1))
    hour = world.now // HOUR * HOUR
    ahead = (1, 1, 2, 3, 4, 24, 48, 168, 720)
    expiries = sorted({hour + choose.item(ahead) * HOUR for _ in range(choose.integer(1, 5))})
    known = world.hub.state.expiries.get(underlying, ())
    live = [expiry for expiry in known if expiry > world.now]
    if live and choose.integer(0, 1):
        expiries = live[choose.integer(0, len(live) - 1) :]
    slices = [_slice(choose, expiry, timestamp, volatility) for expiry in expiries]
    report = SurfaceReport(
        underlying, tuple(expiries), *zip(*[s[1:] for s in slices], strict=True), timestamp
    )
    if choose.integer(0, 2) == 0:
        report = choose.item(FLAWS)(choose, world, report)
    listed = _listed(choose, world, underlying, report.expiries)
    return [*listed, Action("post_surface", (report,))]


def _listed(choose: Chooser, world: World, underlying: int, expiries: tuple) -> list[Action]:
    """List what is not yet listed and could be, mostly."""
    is_listed, now = world.parameters.is_expiry_listed, world.now
    missing = {e for e in expiries if e > now and e % HOUR == 0 and not is_listed(underlying, e)}
    if not missing or choose.integer(0, 5) == 0:
        return []
    return [Action("list_expiries", (underlying, tuple(sorted(missing))))]


def list_expiries(choose: Chooser, world: World) -> list[Action]:
    """List expiries, some of which cannot be."""
    underlying, hour = choose.item((1, 1, 2, 3)), world.now // HOUR * HOUR
    known = world.parameters.live_expiries(world.now, underlying) or (hour + HOUR,)
    candidates = (
        hour + choose.integer(1, 720) * HOUR,
        near(choose, hour + choose.integer(0, 1) * HOUR),
        near(choose, hour + 1_095 * DAY),
        choose.item(known),
    )
    expiries = tuple(choose.item(candidates) for _ in range(choose.item((0, 1, 1, 2))))
    return [Action("list_expiries", (underlying, expiries))]


def _slice(choose, expiry, timestamp, volatility) -> tuple[int, int, int, int]:
    """Slice of about a volatility: expiry, forward ratio, discount factor, packed SVI."""
    variance = volatility**2 * max(expiry - timestamp, 1) / YEAR
    skew = choose.integer(-300, 300) / 1_000
    word = svi.pack(variance * 0.76, variance * 0.8, skew, 0.0, 0.3)
    ratio = WAD + choose.integer(-(WAD // 200), WAD // 200)
    return expiry, ratio, WAD - choose.integer(0, WAD // 50), word


def _with(values: tuple, place: int, value: int) -> tuple:
    return (*values[:place], value, *values[place + 1 :])


FLAWS: tuple[Callable, ...] = (
    lambda choose, world, r: r._replace(expiries=(*r.expiries, r.expiries[-1] + HOUR)),
    lambda choose, world, r: r._replace(expiries=(), forward_ratios=(), discounts=(), svis=()),
    lambda choose, world, r: r._replace(expiries=_with(r.expiries, 0, near(choose, world.now))),
    lambda choose, world, r: r._replace(expiries=r.expiries[::-1]),
    lambda choose, world, r: r._replace(
        expiries=_with(r.expiries, -1 % len(r.expiries), r.expiries[0])
    ),
    lambda choose, world, r: r._replace(
        forward_ratios=_with(r.forward_ratios, 0, near(choose, choose.item((WAD // 5, 5 * WAD))))
    ),
    lambda choose, world, r: r._replace(
        discounts=_with(r.discounts, 0, near(choose, choose.item((WAD // 100, WAD))))
    ),
    lambda choose, world, r: r._replace(svis=_with(r.svis, 0, choose.integer(0, 2**256 - 1))),
    lambda choose, world, r: r._replace(svis=r.svis[::-1]),
    lambda choose, world, r: r._replace(svis=_with(r.svis, 0, svi.pack(0.01, 1.0, 0.9, 0.5, 0.01))),
    lambda choose, world, r: r._replace(timestamp=choose.integer(0, world.now)),
    lambda choose, world, r: r._replace(
        forward_ratios=tuple(WAD - WAD // 30 - ratio % 9 for ratio in r.forward_ratios)
    ),
    lambda choose, world, r: r._replace(svis=tuple(_scaled(word, 3) for word in r.svis)),
)


def _scaled(word: int, factor: int) -> int:
    """Slice of that many times the variance."""
    a, b, *_ = svi.unpack(word)
    return word >> 128 << 128 | factor * b << 64 | factor * a


def crowd(choose: Chooser, world: World) -> list[Action]:
    """Many expiries at once, listed before or not, so that there are too many."""
    underlying, hour = choose.item((1, 2)), world.now // HOUR * HOUR
    slices = [
        _slice(choose, hour + i * choose.item((HOUR, 5 * HOUR)), world.now, world.volatility)
        for i in range(1, choose.integer(9, 17))
    ]
    slices = sorted({s[0]: s for s in slices}.values())
    report = SurfaceReport(underlying, *zip(*slices, strict=True), world.now)
    listed = _listed(choose, world, underlying, report.expiries)
    return [*listed, Action("post_surface", (report,))]


def set_surface(choose: Chooser, world: World) -> list[Action]:
    """Other bounds on the change of a surface."""
    parameters = SurfaceParameters(
        choose.item((WAD // 100 - 1, WAD // 100, WAD // 2, WAD, 10 * WAD, 10 * WAD + 1)),
        choose.item((WAD // 50, WAD // 10_000 - 1, WAD // 10_000, WAD, WAD + 1)),
        choose.item((0, 1, 60, 600, DAY, DAY + 1)),
    )
    return [Action("set_surface", (choose.item(UNDERLYINGS), parameters))]


def settle_uncovered(choose: Chooser, world: World) -> list[Action]:
    """Say a price that the observations left unknown, or did not."""
    known = sorted(world.hub.state.slices) or [(1, world.now)]
    underlying, expiry = choose.item(known)
    level = world.levels.get(underlying, WAD)
    price = choose.item((level, level, 0, near(choose, LEVELS.get(underlying, WAD) * 50)))
    actions = [Action("settle_uncovered", (underlying, expiry, price))]
    if choose.integer(0, 2) == 0 and expiry + DAY > world.now:
        return [Action("wait", (max(0, near(choose, expiry + DAY) - world.now),)), *actions]
    return actions


# Governance -----------------------------------------------------------------------------------


def set_feed(choose: Chooser, world: World) -> list[Action]:
    """Other sources or bounds, some out of range."""
    feed = choose.item(FEEDS)
    p = world.hub.state.feeds[feed]
    sources = tuple(
        FeedSource(world.puppets[choose.integer(0, PUPPETS - 1)], choose.item((60, 900, DAY)))
        for _ in range(choose.integer(1, 5))
    )
    own = world.feed_parameters(feed)
    changes = (
        {},
        {"sources": own.sources, "quorum": len(own.sources)},
        {"sources": own.sources, "quorum": own.quorum},
        {"sources": own.sources[:1], "quorum": 1} if own.sources else {},
        {"sources": sources, "quorum": len(sources) // 2 + 1},
        {"sources": own.sources[:1] * 2, "quorum": 2},
        {"sources": ()},
        {"sources": (), "quorum": 0, "max_price": p.min_price, "mark_source": None},
        {"quorum": choose.integer(0, 6)},
        {"max_move": choose.item((WAD // 1_000 - 1, WAD // 1_000, WAD // 5, 9 * WAD // 10))},
        {"stable_rate": choose.item((WAD // 10_000 - 1, WAD // 10_000, WAD, 10 * WAD + 1))},
        {"mark_band": choose.item((0, WAD // 5, WAD // 5 + 1))},
        {"cache_seconds": choose.item((0, 30, 60, HOUR, HOUR + 1))},
        {"max_price": near(choose, p.min_price * 10_000)},
        {"min_price": 2 * WAD, "max_price": 2 * WAD},
        {"min_price": choose.item((0, 1, p.max_price, p.max_price + 1))},
        {"max_price": choose.item((p.min_price, 2**95 - 1, 2**95))},
        {"mark_source": FeedSource(world.puppets[-1], choose.item((0, 600, DAY + 1)))},
    )
    return [Action("set_feed", (feed, p._replace(**choose.item(changes))))]


def outage(choose: Chooser, world: World) -> list[Action]:
    """Declare an outage, end it, or let the sequencer fail, recover, or be replaced."""
    kind = choose.integer(0, 9)
    if kind < 2:
        return [Action("declare_outage", (choose.item((0, 1, 600, HOUR, DAY, DAY + 1)),))]
    if kind == 2:
        declared = [Action("declare_outage", (HOUR,)), Action("wait", (choose.item((0, 60)),))]
        return [*(declared if choose.integer(0, 1) else ()), Action("end_outage")]
    if kind < 6:
        answer = choose.item((UP, DOWN))
        started = world.now - choose.item((0, 0, 0, 1, 30, 900, -1))
        return [
            Action("change_sequencer", (answer, choose.item((started, started, 0)))),
            *([Action("sync_sequencer")] if choose.integer(0, 1) else []),
        ]
    if kind == 6:
        return [Action("break_sequencer", (not world.sequencer.fails,))]
    if kind == 7:
        grace = choose.item((0, 600, DAY, DAY + 1))
        return [Action("set_sequencer_feed", (choose.integer(0, 3) > 0, grace))]
    return [Action("sync_sequencer")]


def sample(choose: Chooser, world: World) -> list[Action]:
    """Sample, mostly once it is time, with fresh prices."""
    actions = []
    if choose.integer(0, 3):
        actions = [Action("wait", (choose.item((HOUR, HOUR, 2 * HOUR, 9 * HOUR)),))]
        for feed in (1, 2, 3):
            if choose.integer(0, 3):
                actions += [*honest(choose, world, feed), Action("fresh", (feed,))]
                actions += [Action("observe", (feed,))] if choose.integer(0, 1) else []
    return [*actions, Action("sample")]


def estimator(choose: Chooser, world: World) -> list[Action]:
    """Another basket or pace."""
    if choose.integer(0, 2):
        volatility = choose.item((WAD // 20 - 1, WAD // 20, WAD, 5 * WAD, 5 * WAD + 1))
        first = choose.integer(1, 10)
        added = range(first, first + choose.item((1, 1, 4)))
        return [Action("add_underlying", (underlying, volatility)) for underlying in added]
    parameters = EstimatorParameters(
        choose.item((59, 60, HOUR, HOUR, DAY, DAY + 1)),
        choose.item((DAY - 1, DAY, 10 * DAY, 10 * DAY, YEAR, YEAR + 1)),
        choose.item((2 * WAD - 1, 2 * WAD, 6 * WAD, 20 * WAD, 20 * WAD + 1)),
    )
    return [Action("set_estimator", (parameters,))]


def publish(choose: Chooser, world: World) -> list[Action]:
    """Publish joint moves, some beyond what may be; mostly once the last are in force."""
    model = world.predictive
    last, basket = model.publication, len(world.estimator.basket)
    kept = last.before if last.cancelled_at else len(model.words) - last.leaving
    leaving = choose.item((0, 0, 1, kept, kept, max(0, kept - 250), kept + 1))
    count = choose.item((250, 250, 249, 1_025 - kept) if leaving >= kept else (0, 1, 24, 25))
    most = basket if leaving == kept else last.places
    places = choose.item((most, most, most, last.places, most + 1, max(0, last.places - 1)))
    rng = Random(choose.integer(0, 2**32))
    words = [cases.random_word(rng, min(places, 8)) for _ in range(count)]
    if words and choose.integer(0, 3) == 0:
        words[choose.integer(0, count - 1)] ^= 1 << choose.integer(0, 255)
    action = Action("publish", (tuple(words), leaving, places))
    if choose.integer(0, 3) == 0:
        cancelled = [Action("wait", (choose.item((0, HOUR, DAY)),)), Action("cancel_publication")]
        return [action, *cancelled, Action("wait", (choose.item((1, HOUR)),)), cancelled[1]]
    return [Action("wait", (DAY,)), action] if choose.integer(0, 3) else [action]


def parameters(choose: Chooser, world: World) -> list[Action]:
    """Ramp something, or move a scan range."""
    return [choose.item(CHANGES)(choose, world)]


def _underlying(choose: Chooser, world: World) -> Action:
    changes = (
        {},
        {"scan_range": choose.item((WAD // 10, WAD // 4, WAD // 1_000 - 1))},
        {"max_scan_range": choose.item((WAD // 2, 9 * WAD // 10, 15 * WAD // 100))},
        {"scan_multiplier": choose.item((0, 3 * WAD, 20 * WAD + 1))},
        {"vol_range": choose.integer(0, 2 * WAD), "depth": choose.integer(WAD, 2**96 - 1)},
        {"oi_lower": choose.integer(0, 10**22), "oi_upper": choose.integer(1, 10**22)},
        {"lot_size": choose.item((WAD // 2_000, WAD // 1_000, WAD))},
        {"group": 1},
        {"reduce_only": True, "maker_fee": 0},
    )
    return Action(
        "set_underlying_parameters",
        (choose.integer(1, 3), UNDERLYING._replace(**choose.item(changes))),
    )


def _global(choose: Chooser, world: World) -> Action:
    changes = (
        {},
        {"maintenance_factor": WAD // 2, "initial_factor": choose.integer(WAD // 2, 4 * WAD)},
        {"minimum_tau_seconds": choose.integer(HOUR, 30 * DAY)},
        {"ramp_seconds": choose.item((HOUR - 1, HOUR, DAY, 30 * DAY))},
        {"rise_rate": choose.item((WAD // 1_000 - 1, WAD // 1_000, 2 * WAD))},
        {"fall_rate": choose.item((WAD // 10_000, 2 * WAD, 2 * WAD + 1))},
        {"profit_cap": choose.integer(0, 2**96 - 1), "profit_weight": choose.integer(0, WAD)},
    )
    return Action("set_global_parameters", (GLOBAL._replace(**choose.item(changes)),))


def _predictive(choose: Chooser, world: World) -> Action:
    changes = (
        {},
        {"tail_share": choose.item((WAD // 200 - 1, WAD // 200, WAD // 20, WAD // 10 + 1))},
        {"horizon_seconds": choose.item((HOUR - 1, HOUR, 3 * DAY, 10 * DAY, 10 * DAY + 1))},
        {"floor_weight": choose.item((WAD // 10 - 1, WAD // 10, WAD, WAD + 1))},
        {"parametric_weight": choose.item((0, WAD // 3, WAD + 1))},
        {"correlation_width": choose.item((0, WAD, WAD + 1))},
        {"single_asset_floor": choose.item((0, WAD, WAD + 1))},
    )
    changed = PredictiveParameters()._replace(**choose.item(changes))
    return Action("set_predictive_parameters", (changed,))


def _scenarios(choose: Chooser, world: World) -> Action:
    listed = list(SCENARIOS)
    for _ in range(choose.integer(0, 6)):
        place = choose.integer(0, len(listed) - 1)
        if choose.integer(0, 1):
            weight = choose.integer(0, 20) * PPM // 20
            listed[place] = listed[place]._replace(weight_ppm=weight)
        else:
            del listed[place]
    return Action("set_scenarios", (tuple(listed),))


CHANGES = (
    _underlying,
    _underlying,
    _global,
    _predictive,
    _scenarios,
    lambda choose, world: Action(
        "set_decorrelation", (choose.integer(0, 8), choose.item((0, WAD // 3, WAD, WAD + 1)))
    ),
    lambda choose, world: Action(
        "move_scan_range",
        (choose.integer(1, 3), choose.item((0, WAD // 50, WAD // 10, WAD, 2**255 // (20 * WAD)))),
    ),
    lambda choose, world: Action(
        "set_collateral_parameters",
        (
            1,
            COLLATERAL._replace(
                haircut=choose.item((0, WAD // 3, WAD - 1, WAD)),
                depeg_rate=choose.item((0, WAD, WAD + 1)),
                underlying=choose.item((0, 0, 0, 1)),
            ),
        ),
    ),
    lambda choose, world: Action("halt_increases", (choose.integer(1, 3),)),
)
KINDS = {
    wait: 5,
    move: 2,
    refresh: 6,
    watch: 2,
    show: 5,
    leave: 2,
    observe: 3,
    post_surface: 5,
    list_expiries: 1,
    crowd: 1,
    set_surface: 1,
    settle_uncovered: 1,
    set_feed: 2,
    outage: 3,
    sample: 3,
    estimator: 1,
    publish: 1,
    parameters: 4,
}
assert not set(FIXED) & set(SOURCES)
