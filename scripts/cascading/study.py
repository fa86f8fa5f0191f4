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
from reference_model.cascade.market import Liquidity
from reference_model.cascade.policies import Bidding, Follow, Policy, Window
from reference_model.cascade.simulation import Outcome, Path, World, shock, simulate

POLICIES = {
    "full": Policy(auctions=False, partial=False, window=None),
    "windowed": Policy(auctions=False, partial=False),
    "partial": Policy(auctions=False, window=None),
    "auction": Policy(window=None),
    "auction, window": Policy(),
}
SHOCKS = (0.02, 0.05, 0.08, 0.12, 0.16, 0.20, 0.30)
# Where nothing else is varied: a bad day and one that is worse than any on record in 15 minutes.
BAD, WORST = 0.12, 0.30
DEPTHS = (0.005, 0.01, 0.02, 0.05, 0.2)
# Name -> file of bars, first and last hour (UTC) of what is replayed.
DAYS = {
    "2020-03-12": ("bars_1h_2020-03.csv.gz", "2020-03-12T09:00:00Z", "2020-03-12T15:00:00Z"),
    "2025-10-10": ("bars_1h_2025-10.csv.gz", "2025-10-10T18:00:00Z", "2025-10-11T00:00:00Z"),
}
DAY = "2025-10-10"  # what the figure shows
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
# Fields of a policy and of the world, and what else than the default is tried, one at a time.
POLICY_SWEEPS: dict[str, tuple] = {
    "discount.opening": (0.02, 0.1, 0.2),
    "discount.cusp": (0.1, 0.2, 0.4, 0.6),
    "discount.fast_seconds": (300, 1_200),
    "discount.slow_seconds": (1_800, 3_600, 14_400),
    "buffer": (0.0, 0.2, 0.5),
    "insolvency_bonus": (0.25, 1.0),
    "window.capacity": (0.01, 0.02, 0.03, 0.06, 0.12),
    "window.period_seconds": (300, 900, 3_600),
}
WORLD_SWEEPS: dict[str, tuple] = {
    "terms.maintenance_factor": (0.6, 0.7, 0.9, 1.0),
    "liquidity.recovery_seconds": (600, 7_200),
    "bidding.capital": (0.02, 0.4),
    "bidding.least": (0.02, 0.1),
    "bidding.hedged_at_once": (0.2, 1.0),
    "crowd.open_interest": (0.1, 1.0),
    "crowd.excess": (0.8, 3.2),
}
# Other rules than those specified.
PROPOSALS = {
    "urgent 0": Policy(window=Window(urgent=0)),
    "urgent 0.25": Policy(window=Window(urgent=0.25)),
    "clock waits": Policy(clock_waits=True),
}
# An ordinary day: books as deep as ever, bidders with much capital who ask for little. Opening
# discounts are what those sold pay there.
CALM = World(liquidity=Liquidity(depth=0.2), bidding=Bidding(capital=0.4, least=0.02))
CALM_OPENINGS = (0.02, 0.05, 0.1)
DEFAULT = "auction, window"
VARIED = ("rules", *POLICY_SWEEPS, *WORLD_SWEEPS)


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

    `seeds` are runs of every policy and fall. What is compared by the same seeds has four fifths of
    them, the rest three.
    """

    seed: int = 1
    accounts: int = 2_000
    seeds: int = 5

    @property
    def paired(self) -> int:
        """Runs of what is compared by the same seeds."""
        return max(2, self.seeds * 4 // 5)

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
    yield from _policies(settings, world)
    yield from _days(settings, world)
    yield from _sweeps(settings, world)


def _falling(size: float) -> Callable[[int], Path]:
    return lambda seed: shock(size, seed)


def _policies(settings: Settings, world: World) -> Iterator[tuple[Case, Plan]]:
    """Every policy in every fall and at every depth; parameters that follow the market."""
    for name, policy in POLICIES.items():
        for size in SHOCKS:
            plan = Plan(world, policy, _falling(size), settings.seeds)
            yield Case("policies", name, f"{size:g}"), plan
        for depth in DEPTHS:
            thin = changed(world, "liquidity.depth", depth)
            plan = Plan(thin, policy, _falling(BAD), settings.fewer)
            yield Case("depth", name, f"{depth:g}"), plan
    for name, policy in RISES.items():
        for size in (0.05, BAD):
            plan = Plan(world, policy, _falling(size), settings.fewer)
            yield Case("parameters", name, f"{size:g}"), plan


def _days(settings: Settings, world: World) -> Iterator[tuple[Case, Plan]]:
    """Every policy on real days; two of them also in half of it and half more."""
    for name, policy in (POLICIES | PROPOSALS).items():
        for day in DAYS:
            scales = (0.5, 1.0, 1.5) if day == DAY and name in ("full", DEFAULT) else (1.0,)
            for scale in scales:
                path = replay(day, scale)
                plan = Plan(world, policy, lambda _, path=path: path, settings.fewer)
                yield Case("days", name, day if scale == 1 else f"{day} × {scale:g}"), plan


def _sweeps(settings: Settings, world: World) -> Iterator[tuple[Case, Plan]]:
    """One field of the default policy, or of the world, changed at a time; other rules."""
    calm = replace(CALM, crowd=world.crowd)
    for opening in CALM_OPENINGS:
        plan = Plan(
            calm, changed(Policy(), "discount.opening", opening), _falling(0.05), settings.paired
        )
        yield Case("calm", f"{opening:g}", "0.05"), plan
    for name, policy in PROPOSALS.items():
        for size in (BAD, WORST):
            plan = Plan(world, policy, _falling(size), settings.paired)
            yield Case("rules", name, f"{size:g}"), plan
    for sweeps, whole in ((POLICY_SWEEPS, Policy()), (WORLD_SWEEPS, world)):
        for name, values in sweeps.items():
            for value in values:
                other = changed(whole, name, value)
                parts = (world, other) if whole == Policy() else (other, Policy())
                for size in (BAD, WORST):
                    plan = Plan(*parts, _falling(size), settings.paired)
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
        """Read what `save` wrote; raise `ValueError` or `TypeError` if this is not it."""
        found = cls(**json.loads(file.read_text()))
        settings = Settings(**found.settings)
        if not all(isinstance(number, int) for number in asdict(settings).values()):
            raise ValueError(f"{settings} are no settings")
        done = [tuple(row[:4]) for row in found.rows]
        if done != [(*case, seed) for case, seed, _ in runs(settings)[: len(done)]]:
            raise ValueError("its runs are not those of its settings")
        return found


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


def differences(rows: list[list]) -> dict[Case, Summary]:
    """What a change of one default makes of each figure, by the same seeds.

    Confidence intervals are of the difference: what is common to both runs of a seed, such as how
    many accounts there are near the edge, does not widen them.
    """
    outcomes = {(Case(*row[:3]), row[3]): _figures(row) for row in rows}
    found: dict[Case, list[np.ndarray]] = {}
    for (case, seed), figures in outcomes.items():
        part = "days" if case.part == "days" else "policies"
        base = outcomes.get((Case(part, DEFAULT, case.at), seed))
        is_proposal = case.part == "days" and case.setting in PROPOSALS
        if base is not None and (case.part in VARIED or is_proposal):
            found.setdefault(case, []).append(figures - base)
    return {case: _summary(np.array(values)) for case, values in found.items()}


def summarise(rows: list[list]) -> dict[Case, Summary]:
    """Sum the runs of each case up."""
    by_case: dict[Case, list[np.ndarray]] = {}
    for row in rows:
        by_case.setdefault(Case(*row[:3]), []).append(_figures(row))
    return {case: _summary(np.array(values)) for case, values in by_case.items()}


def _figures(row: list) -> np.ndarray:
    """Return amplification, then all of the outcome of a run."""
    outcome = Outcome(*row[4:])
    ratio = outcome.forced / outcome.initial if outcome.initial else np.nan
    return np.array([ratio, *outcome])


def _summary(table: np.ndarray) -> Summary:
    """Mean and half the width of its confidence interval (Student's t) of each column."""
    count = len(table)
    error = table.std(axis=0, ddof=1) / np.sqrt(count)
    half = student.ppf(0.975, count - 1) * error
    return Summary(
        dict(zip(FIGURES, table.mean(axis=0).tolist(), strict=True)),
        dict(zip(FIGURES, half.tolist(), strict=True)),
    )


def write_tables(progress: Progress, folder: File) -> None:
    """Write ``runs.csv``, a row for each run, ``summary.csv`` and ``differences.csv``."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "runs.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*Case._fields, "seed", *Outcome._fields])
        writer.writerows(progress.rows)
    for name, found in (
        ("summary", summarise(progress.rows)),
        ("differences", differences(progress.rows)),
    ):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            bands = [
                f"{figure}_{suffix}" for figure in FIGURES for suffix in ("mean", "half_width")
            ]
            writer.writerow([*Case._fields, *bands])
            for case, (mean, half) in found.items():
                both = [x for figure in FIGURES for x in (mean[figure], half[figure])]
                writer.writerow([*case, *(f"{x:.6g}" for x in both)])


def traces(settings: Settings) -> dict[str, list]:
    """Seconds, and fall of each price below the path, of one run of `DAY` under each policy."""
    world = changed(World(), "crowd.accounts", settings.accounts)
    path = replay(DAY)
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
