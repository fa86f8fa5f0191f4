"""The runs of the study, each named by what is varied in it, and their summary."""

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path as File
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import t as student

from oracle_mock import history, replays
from reference_model.cascade.policies import Follow, Policy, Window
from reference_model.cascade.simulation import Outcome, Path, World, shock, simulate

POLICIES = {
    "full": Policy(auctions=False, partial=False, window=None),
    "windowed": Policy(auctions=False, partial=False, window=Window()),
    "partial": Policy(auctions=False, window=None),
    "auction": Policy(window=None),
    "auction, window": Policy(),
}
SHOCKS = (0.02, 0.05, 0.08, 0.12, 0.16, 0.20, 0.30)
# Where nothing else is varied: a bad day and one that is worse than any on record in 15 minutes.
BAD, WORST = 0.12, 0.20
SWEEP_SHOCKS = (BAD, WORST)
DEPTHS = (0.005, 0.01, 0.02, 0.05, 0.2)
# Name -> file of bars, first and last hour (UTC) of what is replayed.
DAYS = {
    "2020-03-12": ("bars_1h_2020-03.csv.gz", "2020-03-12T09:00:00Z", "2020-03-12T15:00:00Z"),
    "2025-10-10": ("bars_1h_2025-10.csv.gz", "2025-10-10T18:00:00Z", "2025-10-11T00:00:00Z"),
}
ASSETS = ("BTC", "ETH")
# Scan ranges that follow volatility: one with a memory of a day, which the crash itself moves, and
# the estimator of scripts/deploy.yaml with its memory of ten days.
DEPLOYED = Follow(decay_seconds=864_000, sample_seconds=3_600, most_deviations=6)
RISES = {
    "stands still": Policy(),
    "10 days, ramp 0.25": Policy(follow=DEPLOYED),
    "1 day, ramp 0.05": Policy(follow=Follow(rise_rate=0.05)),
    "1 day, ramp 0.1": Policy(follow=Follow(rise_rate=0.1)),
    "1 day, ramp 0.25": Policy(follow=Follow(rise_rate=0.25)),
    "1 day, jump": Policy(follow=Follow(rise_rate=np.inf)),
}
# Fields of a policy, and the values tried; the rest stays as by default.
POLICY_SWEEPS: dict[str, tuple] = {
    "discount.opening": (0.0, 0.02, 0.05, 0.1, 0.2),
    "discount.cusp": (0.1, 0.2, 0.3, 0.4, 0.6),
    "discount.fast_seconds": (300, 600, 1_200),
    "discount.slow_seconds": (900, 3_600, 7_200, 28_800),
    "buffer": (0.0, 0.05, 0.1, 0.2, 0.5),
    "insolvency_bonus": (0.1, 0.25, 0.5, 1.0),
    "window.capacity": (0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12, 0.24),
    "window.period_seconds": (300, 900, 1_800, 3_600),
    "window.urgent": (0.0, 0.25, 0.5, 0.75),
    "clock_waits": (False, True),
}
WORLD_SWEEPS: dict[str, tuple] = {
    "terms.maintenance_factor": (0.6, 0.7, 0.8, 0.9, 1.0),
    "liquidity.recovery_seconds": (600, 7_200),
    "bidding.capital": (0.02, 0.4),
    "bidding.least": (0.02, 0.1),
    "bidding.hedged_at_once": (0.2, 1.0),
    "crowd.open_interest": (0.1, 1.0),
    "crowd.excess": (0.8, 3.2),
}


class Case(NamedTuple):
    """One point of the study: `part` says what is varied, `setting` and `at` say how."""

    part: str
    setting: str
    at: str


class Plan(NamedTuple):
    """How a case is played: world, policy, and a path for every seed."""

    world: World
    policy: Policy
    path: Callable[[int], Path]
    seeds: int


@dataclass(frozen=True)
class Settings:
    """What is studied; with the same settings it gives the same figures.

    `seeds` are runs of every point of the policies, the rest has three fifths of them.
    """

    seed: int = 1
    accounts: int = 2_000
    seeds: int = 5

    @property
    def fewer(self) -> int:
        """Runs of the other points."""
        return max(2, self.seeds * 3 // 5)


def changed(whole: Any, name: str, value: Any) -> Any:
    """Return a dataclass with one field changed, given as ``field`` or ``field.field``."""
    first, _, rest = name.partition(".")
    inner = changed(getattr(whole, first), rest, value) if rest else value
    return replace(whole, **{first: inner})


@cache
def replay(day: str, scale: float = 1.0) -> Path:
    """Minutes of a real day, each bar's extremes and close joined in logarithms.

    Parameters
    ----------
    day
        One of `DAYS`.
    scale
        Factor on the logarithm of every move.
    """
    name, first, last = DAYS[day]
    begin, end = history.seconds(first), history.seconds(last)
    minutes = np.arange(begin, end + 1, 60)
    columns = []
    for asset in ASSETS:
        series = replays.swings(history.bars(name, asset))
        columns.append(np.interp(minutes, series.time, np.log(series.value)))
    log_prices = np.stack(columns, axis=1)
    return Path((log_prices - log_prices[0]) * scale, len(minutes) - 1)


def plans(settings: Settings) -> Iterator[tuple[Case, Plan]]:
    """All points of the study."""
    world = changed(World(), "crowd.accounts", settings.accounts)

    def falling(size: float) -> Callable[[int], Path]:
        return lambda seed: shock(size, seed)

    for name, policy in POLICIES.items():
        for size in SHOCKS:
            plan = Plan(world, policy, falling(size), settings.seeds)
            yield Case("policies", name, f"{size:g}"), plan
        for depth in DEPTHS:
            thin = changed(world, "liquidity.depth", depth)
            yield (
                Case("depth", name, f"{depth:g}"),
                Plan(thin, policy, falling(BAD), settings.fewer),
            )
        for day in DAYS:
            plan = Plan(world, policy, lambda _, day=day: replay(day), settings.fewer)
            yield Case("days", name, day), plan
    for scale in (0.5, 1.5):
        for name in ("full", "auction, window"):
            path = replay("2025-10-10", scale)
            plan = Plan(world, POLICIES[name], lambda _, path=path: path, settings.fewer)
            yield Case("days", name, f"2025-10-10 × {scale:g}"), plan
    for name, policy in RISES.items():
        for size in (0.05, BAD):
            yield (
                Case("parameters", name, f"{size:g}"),
                Plan(world, policy, falling(size), settings.fewer),
            )
    for name, values in POLICY_SWEEPS.items():
        for value in values:
            policy = changed(Policy(), name, value)
            for size in SWEEP_SHOCKS:
                plan = Plan(world, policy, falling(size), settings.fewer)
                yield Case(name, f"{value:g}", f"{size:g}"), plan
    for name, values in WORLD_SWEEPS.items():
        for value in values:
            other = changed(world, name, value)
            for size in (BAD, WORST):
                plan = Plan(other, Policy(), falling(size), settings.fewer)
                yield Case(name, f"{value:g}", f"{size:g}"), plan


@dataclass
class Progress:
    """How far a study has come; `--resume` goes on from it."""

    settings: dict
    rows: list[list] = field(default_factory=list)

    def save(self, file: File) -> None:
        """Write it, whole or not at all."""
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        part.write_text(json.dumps(asdict(self)))
        part.replace(file)

    @classmethod
    def load(cls, file: File) -> "Progress":
        """Read what `save` wrote."""
        return cls(**json.loads(file.read_text()))


def runs(settings: Settings) -> list[tuple[Case, int, Plan]]:
    """Return every run, in order."""
    return [
        (case, settings.seed * 1_000 + number, plan)
        for case, plan in plans(settings)
        for number in range(plan.seeds)
    ]


def play(progress: Progress) -> Iterator[Case]:
    """Go on to the end; yields the case of each run when it is done."""
    for case, seed, plan in runs(Settings(**progress.settings))[len(progress.rows) :]:
        outcome = simulate(plan.world, plan.policy, plan.path(seed), seed)
        progress.rows.append([*case, seed, *map(float, outcome)])
        yield case


class Summary(NamedTuple):
    """Mean of each figure over the seeds, and half the width of its 95 % confidence interval."""

    mean: dict[str, float]
    half_width: dict[str, float]


FIGURES = ("amplification", *Outcome._fields)


def summarise(rows: list[list]) -> dict[Case, Summary]:
    """Sum the runs of each case up (Student's t)."""
    by_case: dict[Case, list[list[float]]] = {}
    for row in rows:
        outcome = Outcome(*row[4:])
        ratio = outcome.forced / outcome.initial if outcome.initial else np.nan
        by_case.setdefault(Case(*row[:3]), []).append([ratio, *outcome])
    summaries = {}
    for case, values in by_case.items():
        table = np.array(values)
        count = len(table)
        error = table.std(axis=0, ddof=1) / np.sqrt(count)
        half = student.ppf(0.975, count - 1) * error
        summaries[case] = Summary(
            dict(zip(FIGURES, table.mean(axis=0), strict=True)),
            dict(zip(FIGURES, half, strict=True)),
        )
    return summaries


def write_tables(progress: Progress, folder: File) -> None:
    """Write ``runs.csv``, one row a run, and ``summary.csv``, one row a point."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "runs.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*Case._fields, "seed", *Outcome._fields])
        writer.writerows(progress.rows)
    with (folder / "summary.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        bands = [f"{name}_{suffix}" for name in FIGURES for suffix in ("mean", "half_width")]
        writer.writerow([*Case._fields, *bands])
        for case, summary in summarise(progress.rows).items():
            both = [x for n in FIGURES for x in (summary.mean[n], summary.half_width[n])]
            writer.writerow([*case, *(f"{x:.6g}" for x in both)])


def traces(settings: Settings, day: str) -> dict[str, list]:
    """Seconds, and fall of each price below the path, of one run of a day under each policy."""
    world = changed(World(), "crowd.accounts", settings.accounts)
    path = replay(day)
    real = np.exp(path.log_prices)
    found = {}
    for name, policy in POLICIES.items():
        trace: list = []
        simulate(world, policy, path, settings.seed * 1_000, trace)
        found[name] = [
            (seconds, 1 - prices / truth)
            for (seconds, prices, *_), truth in zip(trace, real, strict=True)
        ]
    return found
