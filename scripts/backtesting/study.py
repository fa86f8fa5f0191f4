"""The runs of the backtest: every day under every rule, crashes hour by hour."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from oracle_mock.history import seconds
from reference_model.backtest import crash, history, summary
from reference_model.backtest import generations as g
from reference_model.backtest.books import Book, Holdings, arrange, standard
from reference_model.backtest.crash import Crash
from reference_model.backtest.generations import Margins, Predictive, Profile, Scanned, Shortfalls
from reference_model.backtest.history import DAY_HOURS, Dates, Following, Hourly

# At this hour of the day books are struck, margined and, a day later, valued; options expire then.
DAILY_HOUR_SECONDS = 8 * 3_600
DAY_SECONDS = 86_400
DEFAULT = Predictive()
QUICK_DAYS = 500
GENERATIONS = crash.GENERATIONS
# Opened at 08:00 UTC before each event of the data's list of crashes; hours until it is over.
EVENTS = {
    "2020-03-12": ("2020-03-11T08:00:00Z", 72),
    "2021-05-19": ("2021-05-18T08:00:00Z", 72),
    "2022-05, LUNA": ("2022-05-10T08:00:00Z", 72),
    "2022-06, Celsius": ("2022-06-12T08:00:00Z", 160),
    "2022-11, FTX": ("2022-11-07T08:00:00Z", 72),
    "2023-03, USDC": ("2023-03-09T08:00:00Z", 72),
    "2024-08-05": ("2024-08-04T08:00:00Z", 72),
    "2025-10-10": ("2025-10-10T08:00:00Z", 48),
    "2026-02-05": ("2026-02-04T08:00:00Z", 72),
}
CAPITALS = (1.0, 1.5)
ASSETS = ("BTC", "ETH", "SOL")
PAIRS = "tail_share, floor_weight"
# What else than the default is tried: alone, and shares and floors together.
SWEEPS: dict[str, tuple] = {
    "tail_share": (0.01, 0.025, 0.05),
    "floor_weight": (0.25, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 1.0),
    "correlation_width": (0.0, 0.15, 0.3, 0.5, 1.0),
    "parametric_weight": (0.0, 0.5, 0.8, 1.0),
    "single_asset_floor": (0.0, 0.5, 1.0),
    "dates": (250, 500, 1_000),
}
DECAY_DAYS = (5, 10, 20)
Step = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """What is run; with the same settings it gives the same figures.

    `days` are the last so many days, all if None; without `sweep` only the defaults are run.
    """

    seed: int = 1
    days: int | None = None
    sweep: bool = True

    @property
    def decays(self) -> tuple[int, ...]:
        """Days of the estimator's memory, the default first."""
        chosen = Following().decay_seconds / DAY_SECONDS
        others = [days for days in DECAY_DAYS if days != chosen]
        return (int(chosen), *(others if self.sweep else ()))


class Days(NamedTuple):
    """Every book on every day with one memory of the estimator; see `generations`.

    `profits` are those of the moves of the next 24 hours, `decayed` those with the decay of time.
    """

    world: g.World
    moments: g.Moments
    lists: list[Dates]
    scanned: Scanned
    profile: Profile
    measured: dict[tuple[int, float], Shortfalls]
    profits: NDArray[np.float64]
    decayed: NDArray[np.float64]

    def predictive(self, chosen: Predictive) -> Margins:
        """Requirements of generation 3 with some parameters."""
        return g.predictive_margins(
            self.world,
            self.moments,
            self.scanned,
            self.measured[chosen.dates, chosen.tail_share].shortfall,
            g.parametric(self.world, self.moments, self.profile, chosen),
            chosen,
        )

    @property
    def counting(self) -> NDArray[np.bool_]:
        """Days that count for a book: a list in force, and known what happened next."""
        first = next(iter(self.measured.values()))
        return np.isfinite(first.shortfall) & np.isfinite(self.profits)


class Trial(NamedTuple):
    """One point of the sweep: what differs from the defaults, and its score."""

    name: str
    value: str
    score: summary.Score


class Results(NamedTuple):
    """Everything the report is made of."""

    books: tuple[Book, ...]
    days: Days
    margins: dict[str, Margins]
    trials: list[Trial]
    crashes: dict[str, Crash]

    @property
    def times(self) -> NDArray[np.datetime64]:
        """UTC times of the days."""
        return self.days.world.hourly.time[self.days.moments.hour].astype("datetime64[s]")


def daily_rows(hourly: Hourly) -> NDArray[np.int64]:
    """Rows of the history at which books are struck; the day after is in it as well."""
    rows = np.flatnonzero(hourly.time % DAY_SECONDS == DAILY_HOUR_SECONDS)
    return rows[rows + DAY_HOURS < len(hourly.time)]


def steps(hourly: Hourly, settings: Settings) -> int:
    """How many steps `run` will report."""
    days = min(len(daily_rows(hourly)), settings.days or len(hourly.time))
    return (days + 4) * len(settings.decays) + len(EVENTS)


def run(hourly: Hourly, settings: Settings, step: Step) -> Results:
    """Run everything.

    Parameters
    ----------
    hourly
        The history.
    settings
        What to run.
    step
        Told what is being done, once a step.
    """
    books = standard(settings.seed)
    holdings = arrange(books)
    days = every_day(hourly, holdings, settings, Following(), step)
    margins = {
        "isolated": Margins(days.scanned.isolated_maintenance, days.scanned.isolated_initial),
        "portfolio": Margins(days.scanned.maintenance, days.scanned.initial),
        "predictive": days.predictive(DEFAULT),
    }
    trials = list(_trials(days)) if settings.sweep else []
    for decay in settings.decays[1:]:
        following = Following(decay_seconds=decay * DAY_SECONDS)
        other = every_day(hourly, holdings, settings, following, step)
        trials.append(_trial("decay", f"{decay} days", other, DEFAULT))
    crashes = {}
    for name, (start, hours) in EVENTS.items():
        step(name)
        opened = int(np.searchsorted(hourly.time, seconds(start)))
        if opened + hours < len(hourly.time):
            crashes[name] = crash.play(days.world, holdings, days.lists, opened, hours, DEFAULT)
    return Results(books, days, margins, trials, crashes)


def every_day(
    hourly: Hourly, holdings: Holdings, settings: Settings, following: Following, step: Step
) -> Days:
    """Margin every book on every day, and see what the next day does to it."""
    label = f"memory of {following.decay_seconds / DAY_SECONDS:.0f} days"
    step(f"{label}: volatility")
    world = g.World(hourly, history.observe(hourly, following), g.Terms())
    rows = daily_rows(hourly)
    step(f"{label}: vectors")
    lists = [history.dates(hourly, following, places, rows[0]) for places in (2, 3)]
    rows = rows[-settings.days :] if settings.days else rows
    moments = g.Moments(rows, rows)
    scanned = g.scan(world, moments, holdings, lambda: step(f"{label}: scenarios"))
    step(f"{label}: profiles")
    profile = g.profile(world, moments, holdings)
    step(f"{label}: past dates")
    wanted = SWEEPS if settings.sweep else {}
    counts = wanted.get("dates", (DEFAULT.dates,))
    shares = wanted.get("tail_share", (DEFAULT.tail_share,))
    measured = g.shortfalls(world, moments, holdings, profile, lists, counts, shares)
    after = g.Moments(rows + DAY_HOURS, rows)
    profits = [g.profits(world, after, holdings, ages) for ages in (False, True)]
    return Days(world, moments, lists, scanned, profile, measured, *profits)


def _trials(days: Days) -> Iterator[Trial]:
    """One parameter changed at a time; shares and floors together."""
    yield _trial("defaults", "", days, DEFAULT)
    for name, values in SWEEPS.items():
        for value in values:
            if value != getattr(DEFAULT, name):
                yield _trial(name, f"{value:g}", days, replace(DEFAULT, **{name: value}))
    for share in SWEEPS["tail_share"]:
        for floor in SWEEPS["floor_weight"]:
            both = replace(DEFAULT, tail_share=share, floor_weight=floor)
            yield _trial(PAIRS, f"{share:g}, {floor:g}", days, both)


def _trial(name: str, value: str, days: Days, chosen: Predictive) -> Trial:
    found = summary.score(days.predictive(chosen), days.profits, days.counting)
    return Trial(name, value, found)
