"""Tables of the backtest: markdown, CSV, and the few figures that `make bench` quotes."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import chdtrc

from reference_model.backtest import crash, generations, statistics, summary
from reference_model.backtest.generations import Margins
from reference_model.backtest.history import DAY_HOURS
from reference_model.backtest.statistics import Coverage
from scripts.backtesting.study import (
    ASSETS,
    CAPITALS,
    DEFAULT,
    GENERATIONS,
    PAIRS,
    SWEEPS,
    Results,
)

PUBLISHED = Path("docs/backtest.json")
SIGNIFICANT = 0.05
BOX_DAYS = (1, 10, 30)
WARM_UP_DAYS = 30
HALF = np.datetime64("2023-01-01")
EXPECTED = {"maintenance": summary.MAINTENANCE_TARGET, "initial": summary.INITIAL_TARGET}


class CoverageRow(NamedTuple):
    """Coverage of one book by one limit of one generation."""

    book: str
    generation: str
    limit: str
    expected: float
    found: Coverage


def coverage(results: Results) -> list[CoverageRow]:
    """Test every book against both margins of every generation, and value at risk."""
    rows = []
    measured = results.days.measured[DEFAULT.dates, DEFAULT.tail_share]
    for column, book in enumerate(results.books):
        counting = results.days.counting[:, column]
        losses = -results.days.profits[counting, column]
        limits = [
            (generation, limit, EXPECTED[limit], getattr(results.margins[generation], limit))
            for generation in GENERATIONS
            for limit in EXPECTED
        ]
        limits.append(("predictive", "value at risk", DEFAULT.tail_share, measured.value_at_risk))
        for generation, limit, expected, values in limits:
            exceptions = losses > values[counting, column]
            found = statistics.coverage(exceptions, expected)
            rows.append(CoverageRow(book.name, generation, limit, expected, found))
    return rows


def accepted(days: int, expected: float) -> tuple[float, float]:
    """Least and greatest rate of exceptions that Kupiec's test does not reject."""
    counts = np.arange(days // 5)
    ratios = np.array(
        [statistics.likelihood_ratio_of_rate(int(count), days, expected) for count in counts]
    )
    kept = counts[chdtrc(1, ratios) >= SIGNIFICANT] / days
    return float(kept[0]), float(kept[-1])


def shortfall_ratios(results: Results) -> dict[str, float]:
    """Mean of loss over expected shortfall beyond value at risk, by book."""
    measured = results.days.measured[DEFAULT.dates, DEFAULT.tail_share]
    out = {}
    for column, book in enumerate(results.books):
        counting = results.days.counting[:, column]
        losses, risk, shortfall = (
            each[counting, column]
            for each in (-results.days.profits, measured.value_at_risk, measured.shortfall)
        )
        out[book.name] = statistics.shortfall_ratio(losses, risk, shortfall)
    return out


def with_decay(results: Results) -> dict[str, int]:
    """Days on which moves and the decay of time together exceeded predictive maintenance margin."""
    exceeded = -results.days.decayed > results.margins["predictive"].maintenance
    counts = (exceeded & results.days.counting).sum(axis=0)
    return {book.name: int(count) for book, count in zip(results.books, counts, strict=True)}


def binding(results: Results) -> dict[str, tuple[float, float]]:
    """Share of days on which the floor is maintenance, and on which P is initial margin."""
    days, counting = results.days, results.days.counting
    shortfall = days.measured[DEFAULT.dates, DEFAULT.tail_share].shortfall
    floor = DEFAULT.floor_weight * days.scanned.tail_risk
    risk = np.fmax(shortfall, floor)
    wide = DEFAULT.parametric_weight * generations.parametric(
        days.world, days.moments, days.profile, DEFAULT
    )
    return {
        book.name: tuple(
            float(share[counting[:, b], b].mean()) for share in (floor > shortfall, wide > risk)
        )
        for b, book in enumerate(results.books)
    }


def efficiency(results: Results) -> dict[str, dict[str, float]]:
    """``1 − IM / IM_isolated``, mean of the days, by generation and book."""
    isolated = results.margins["isolated"].initial
    out: dict[str, dict[str, float]] = {}
    for generation in ("portfolio", "predictive"):
        share = 1 - results.margins[generation].initial / isolated
        out[generation] = {
            book.name: float(share[results.days.counting[:, b], b].mean())
            for b, book in enumerate(results.books)
        }
    return out


class Liquidations(NamedTuple):
    """Accounts of one kind in all crashes: how many there were, were sold, then were below zero."""

    accounts: int
    liquidated: int
    insolvent: int


def liquidations(results: Results) -> dict[tuple[str, float], Liquidations]:
    """Every book in every crash, by generation and capital in terms of its own initial margin."""
    found = {}
    for capital in CAPITALS:
        for generation in GENERATIONS:
            outcomes = [
                (crash.own_capital(each, generation, capital), _known(each))
                for each in results.crashes.values()
            ]
            found[generation, capital] = _count(outcomes)
    return found


def avoided(results: Results) -> dict[tuple[str, float], Liquidations]:
    """Hedged books with the capital that isolated positions need, alone and under one margin."""
    hedged = np.array([book.is_hedged for book in results.books])
    found = {}
    for capital in CAPITALS:
        for name in ("isolated positions", "portfolio", "predictive"):
            outcomes = []
            for each in results.crashes.values():
                if name == "isolated positions":
                    outcome = crash.isolated_positions(each, capital)
                else:
                    outcome = crash.same_capital(each, name, capital)
                outcomes.append((outcome, _known(each) & hedged))
            found[name, capital] = _count(outcomes)
    return found


def _known(each: crash.Crash) -> np.ndarray:
    """Books whose every margin is known when the crash begins."""
    return np.all([np.isfinite(m.initial[0]) for m in each.margins.values()], axis=0)


def _count(outcomes: Iterable[tuple[crash.Outcome, np.ndarray]]) -> Liquidations:
    triples = [
        (known.sum(), (found.liquidated & known).sum(), (found.insolvent & known).sum())
        for found, known in outcomes
    ]
    return Liquidations(*(int(x) for x in np.sum(triples, axis=0)))


def figures(results: Results) -> dict[str, float]:
    """Return what `make bench` quotes; `docs/backtest.json` keeps it for machines without data."""
    out: dict[str, float] = {"backtest.days": int(results.days.counting.sum())}
    for generation, margins in results.margins.items():
        found = summary.score(margins, results.days.profits, results.days.counting)
        key = f"backtest.coverage.{generation}"
        out[f"{key}.maintenance"] = 1 - found.maintenance
        out[f"{key}.maintenance.worst_book"] = 1 - found.worst_maintenance
        out[f"{key}.initial"] = 1 - found.initial
        out[f"{key}.initial.worst_book"] = 1 - found.worst_initial
        out[f"backtest.procyclicality.{generation}.peak_to_trough"] = found.peak_to_trough
        out[f"backtest.procyclicality.{generation}.rise_1_day"] = found.rise_1
    tested = [row for row in coverage(results) if row.limit == "value at risk"]
    exceptions = sum(row.found.exceptions for row in tested)
    out["backtest.coverage.predictive.value_at_risk"] = 1 - exceptions / out["backtest.days"]
    for generation, shares in efficiency(results).items():
        out[f"backtest.efficiency.{generation}"] = float(np.mean([*shares.values()]))
    for (name, capital), found in avoided(results).items():
        if capital == 1:
            out[f"backtest.liquidations.{name.replace(' ', '_')}"] = found.liquidated
    return out


# Writing -----------------------------------------------------------------------------------------


def write(results: Results, ratios: dict[str, float], folder: Path) -> str:
    """Write ``report.md`` and the tables behind it; return the report."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_csv(results, folder)
    text = "\n\n".join(
        (
            "# Backtest",
            _about(results, ratios),
            "## Rules\n\n" + _rules(results),
            "## Coverage\n\n" + _coverage(results),
            "## Procyclicality and capital\n\n" + _cost(results),
            "## Crashes\n\n" + _crashes(results),
            *(["## Choice of the defaults\n\n" + _choice(results)] if results.trials else []),
        )
    )
    (folder / "report.md").write_text(text + "\n")
    return text


def _table(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    lines = [[*heads], ["---"] * len([*heads]), *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _about(results: Results, ratios: dict[str, float]) -> str:
    times, counting = results.times, results.days.counting
    covered = times[counting.any(axis=1)]
    measured = "; ".join(f"{name} {value:.2f}" for name, value in ratios.items())
    return (
        f"{len(results.books)} books, {counting.sum():,} days of books from {covered[0]} to "
        f"{covered[-1]} UTC. Median ratios of volatilities: {measured}."
    )


def _percent(value: float, digits: int = 2) -> str:
    return f"{100 * value:.{digits}f} %"


SCORE_HEADS = (
    "loss > MM", "worst book", "loss > IM", "worst book", "books with too many",
    "loss / MM beyond", "peak / trough",
    "1 day", "5 days", "30 days", "mean IM, USD",
)  # fmt: skip


def _score_cells(found: summary.Score) -> list[str]:
    rates = (found.maintenance, found.worst_maintenance, found.initial, found.worst_initial)
    rises = (found.rise_1, found.rise_5, found.rise_30)
    return [
        *(_percent(rate) for rate in rates),
        str(found.too_many),
        f"{found.excess:.2f}",
        f"{found.peak_to_trough:.2f}",
        *(f"+{100 * rise:.0f} %" for rise in rises),
        f"{found.capital:,.0f}",
    ]


def _rules(results: Results) -> str:
    """Each generation over all days, and in each half of them."""
    whole = np.ones(len(results.times), bool)
    halves = (
        ("", whole),
        (f"until {HALF}", results.times < HALF),
        ("since", results.times >= HALF),
    )
    rows = [
        [name, when, *_score_cells(_score_of(results, margins, chosen))]
        for name, margins in results.margins.items()
        for when, chosen in halves
        if results.days.counting[chosen].any(axis=0).all()
    ]
    return _table(["generation", "days", *SCORE_HEADS], rows)


def _score_of(results: Results, margins: Margins, days: np.ndarray) -> summary.Score:
    counting, profits = results.days.counting[days], results.days.profits[days]
    return summary.score(Margins(*(each[days] for each in margins)), profits, counting)


def _coverage(results: Results) -> str:
    """One row a book: exceptions, with a mark where a test rejects; then how many were rejected."""
    rows, ratios, aged = coverage(results), shortfall_ratios(results), with_decay(results)
    limits = list(dict.fromkeys((row.generation, row.limit) for row in rows))
    lines = []
    for book in results.books:
        mine = {(r.generation, r.limit): r for r in rows if r.book == book.name}
        days = next(iter(mine.values())).found.days
        cells = (_exceptions(mine[limit]) for limit in limits)
        lines.append([book.name, f"{days:,}", *cells, aged[book.name], f"{ratios[book.name]:.2f}"])
    heads = [f"{generation} {limit}" for generation, limit in limits]
    heads += ["predictive maintenance, with decay of time", "loss / ES beyond VaR"]
    table = _table(["book", "days", *heads], lines)
    return table + "\n\n" + _rejections(rows, limits)


def _exceptions(row: CoverageRow) -> str:
    """Count, with + for significantly many, − for few, c for clustered exceptions."""
    found = row.found
    text = str(found.exceptions)
    if found.unconditional < SIGNIFICANT:
        text += " +" if found.rate > row.expected else " −"
    return text + (" c" if found.independence < SIGNIFICANT else "")


def _rejections(rows: list[CoverageRow], limits: list[tuple[str, str]]) -> str:
    lines = []
    for generation, limit in limits:
        mine = [row for row in rows if (row.generation, row.limit) == (generation, limit)]
        low = [row for row in mine if row.found.unconditional < SIGNIFICANT]
        lines.append(
            [
                f"{generation} {limit}",
                _percent(mine[0].expected, 1),
                _percent(sum(r.found.exceptions for r in mine) / sum(r.found.days for r in mine)),
                sum(row.found.rate > row.expected for row in low),
                sum(row.found.rate < row.expected for row in low),
                sum(row.found.independence < SIGNIFICANT for row in mine),
                sum(row.found.conditional < SIGNIFICANT for row in mine),
            ]
        )
    heads = (
        "limit", "expected at most", "found", "books with too many (Kupiec, 5 %)",
        "with too few", "with clusters (Christoffersen)", "conditional coverage rejected",
    )  # fmt: skip
    return _table(heads, lines)


def _cost(results: Results) -> str:
    """Initial margin of each book: mean, peak to trough, worst rise, saving."""
    shares, ruled, counting = efficiency(results), binding(results), results.days.counting
    lines = []
    for b, book in enumerate(results.books):
        cells = []
        for generation in GENERATIONS:
            path = results.margins[generation].initial[counting[:, b], b]
            cells += [
                f"{path.mean():,.0f}",
                f"{statistics.peak_to_trough(path):.1f}",
                *(f"+{100 * statistics.greatest_rise(path, n):.0f} %" for n in (1, 30)),
            ]
        cells += [_percent(s[book.name], 0) for s in shares.values()]
        lines.append([book.name, *cells, *(_percent(share, 0) for share in ruled[book.name])])
    heads = [
        f"{generation} {what}"
        for generation in GENERATIONS
        for what in ("IM", "peak / trough", "1 day", "30 days")
    ]
    heads += ["portfolio saves", "predictive saves", "floor rules MM", "P rules IM"]
    return _table(["book", *heads], lines)


def _crashes(results: Results) -> str:
    own = [
        [name, f"{capital:g}", *found] for (name, capital), found in liquidations(results).items()
    ]
    same = [[name, f"{capital:g}", *found] for (name, capital), found in avoided(results).items()]
    heads = ("margin", "capital / IM", "accounts", "liquidated", "insolvent by then")
    return (
        "Every book, with capital in terms of its own initial margin:\n\n"
        + _table(heads, own)
        + "\n\nHedged books with the same capital, that of isolated positions:\n\n"
        + _table(heads, same)
    )


def _choice(results: Results) -> str:
    lines = [
        [
            trial.name,
            trial.value,
            "no" if trial.score.too_many else "yes",
            *_score_cells(trial.score),
        ]
        for trial in results.trials
    ]
    pairs = [trial for trial in results.trials if trial.name == PAIRS]
    row = summary.choose([trial.score for trial in pairs])
    said = "no pair keeps to the targets" if row is None else f"the rule takes {pairs[row].value}"
    return (
        f"Of {PAIRS} {said}; the defaults are {DEFAULT.tail_share:g}, {DEFAULT.floor_weight:g}.\n\n"
        + _table(["parameter", "value", "keeps to targets", *SCORE_HEADS], lines)
        + "\n\nShare of days on which the correlation stays inside a box drawn before:\n\n"
        + _boxes(results)
    )


def _boxes(results: Results) -> str:
    """How often the estimate, some days later, is still inside the box around that of today."""
    world, hours = results.days.world, results.days.moments.hour
    lines = []
    for first, second in ((0, 1), (0, 2), (1, 2)):
        listed = np.isfinite(world.hourly.prices[:, [first, second]]).all(axis=1).argmax()
        rows = hours[hours > listed + WARM_UP_DAYS * DAY_HOURS]
        correlation = world.state.correlation[:, first, second]
        for width in SWEEPS["correlation_width"][1:-1]:
            shares = (_inside(correlation, rows, width, days) for days in BOX_DAYS)
            names = f"{ASSETS[first]}, {ASSETS[second]}"
            lines.append([names, f"{width:g}", *(_percent(share, 1) for share in shares)])
    return _table(["pair", "width", *(f"after {days} days" for days in BOX_DAYS)], lines)


def _inside(correlation: np.ndarray, rows: np.ndarray, width: float, days: int) -> float:
    rows = rows[rows + days * DAY_HOURS < len(correlation)]
    before, after = correlation[rows], correlation[rows + days * DAY_HOURS]
    return float(np.mean(np.abs(after - (1 - width) * before) <= width))


def _write_csv(results: Results, folder: Path) -> None:
    with (folder / "coverage.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*CoverageRow._fields[:-1], *Coverage._fields])
        writer.writerows([*row[:-1], *row.found] for row in coverage(results))
    with (folder / "choice.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["parameter", "value", *summary.Score._fields])
        writer.writerows([trial.name, trial.value, *trial.score] for trial in results.trials)
    with (folder / "margins.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["time", "book", "profit_next_day"]
            + [f"{generation}_{limit}" for generation in GENERATIONS for limit in EXPECTED]
        )
        for t, b in zip(*np.nonzero(results.days.counting), strict=True):
            limits = (
                getattr(results.margins[g], limit)[t, b] for g in GENERATIONS for limit in EXPECTED
            )
            profit = results.days.profits[t, b]
            values = (f"{value:.0f}" for value in (profit, *limits))
            writer.writerow([results.times[t], results.books[b].name, *values])
