"""The pictures of the backtest: coverage, margins through crashes, what they cost."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.dates as mdates
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from scripts.backtesting import report
from scripts.backtesting.study import DEFAULT, GENERATIONS, PAIRS, SWEEPS, Results
from scripts.demonstration.figures import EQUITY, STYLE, save

# Okabe and Ito, safe for colour-blind readers; markers and dashes tell the same without colour.
COLOURS = {"isolated": "#E69F00", "portfolio": "#0072B2", "predictive": "#009E73"}
MARKERS = {"isolated": "s", "portfolio": "D", "predictive": "o"}
DASHES = {"isolated": ":", "portfolio": "--", "predictive": "-"}
LABELS = {
    "isolated": "isolated (generation 1)",
    "portfolio": "portfolio (generation 2)",
    "predictive": "predictive (generation 3)",
}
GREY = "#555555"
THOUSAND = 1e3
# Where there is no exception: what half of one would be, so that it has a place on a log axis.
NONE_AT = 0.5
PATHS = (
    ("2020-03-12", "long BTC"),
    ("2025-10-10", "BTC against ETH"),
    ("2026-02-05", "short strangle"),
)


def write(results: Results, folder: Path) -> list[str]:
    """Draw all pictures of what was run; return their names."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {"backtest-coverage.png": _coverage, "backtest-paths.png": _paths}
    if results.trials:
        drawn["backtest-cost.png"] = _cost
    with matplotlib.rc_context(STYLE):
        for name, draw in drawn.items():
            save(draw(results), folder / name)
    return list(drawn)


def _titled(size: tuple[float, float], title: str, note: str) -> Figure:
    figure = Figure(figsize=size)
    height = size[1]
    figure.text(0.02, 1 - 0.42 / height, title, fontsize=19, weight="bold")
    figure.text(0.02, 1 - 0.72 / height, note, fontsize=11.5, color=GREY)
    return figure


# Coverage ----------------------------------------------------------------------------------------


def _coverage(results: Results) -> Figure:
    times = results.times[results.days.counting.any(axis=1)]
    note = (
        f"Each book on each day from {str(times[0])[:10]} to {str(times[-1])[:10]}, revalued in "
        "full 24 hours later. A hollow mark: not once"
    )
    figure = _titled((12.4, 7.6), "How often a day's loss exceeded the margin", note)
    grid = figure.add_gridspec(1, 3, left=0.155, right=0.985, top=0.80, bottom=0.085, wspace=0.06)
    rows = report.coverage(results)
    axes = [figure.add_subplot(grid[0, column]) for column in range(3)]
    for ax, limit, title in zip(
        axes,
        ("maintenance", "initial", "value at risk"),
        ("Maintenance margin", "Initial margin", "Value at risk of predictive margin"),
        strict=True,
    ):
        _dots(ax, results, [row for row in rows if row.limit == limit])
        ax.set_title(title)
        if ax is not axes[0]:
            ax.tick_params(axis="y", labelleft=False)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper left", bbox_to_anchor=(0.148, 0.895), ncol=4)
    return figure


def _dots(ax: Axes, results: Results, rows: list[report.CoverageRow]) -> None:
    """Rates by book on a log axis, the expected rate as a line, where chance explains as a band."""
    names = [book.name for book in results.books]
    expected = rows[0].expected
    days = min(row.found.days for row in rows)
    low, high = report.accepted(days, expected)
    ax.axvspan(
        100 * low, 100 * high, color="#dddddd", lw=0, zorder=0, label="chance explains (95 %)"
    )
    ax.axvline(100 * expected, color="#888888", lw=1.2)
    for generation in GENERATIONS:
        mine = [row for row in rows if row.generation == generation]
        if not mine:
            continue
        shift = 0.22 * (GENERATIONS.index(generation) - 1) if len(rows) > len(names) else 0
        y = np.array([names.index(row.book) + shift for row in mine])
        counts = np.array([row.found.exceptions for row in mine])
        x = 100 * np.maximum(counts, NONE_AT) / [row.found.days for row in mine]
        style = {"marker": MARKERS[generation], "s": 26, "edgecolors": COLOURS[generation]}
        seen = counts > 0
        ax.scatter(x[seen], y[seen], color=COLOURS[generation], label=LABELS[generation], **style)
        ax.scatter(x[~seen], y[~seen], facecolors="white", **style)
    ax.set_xscale("log")
    ax.set_xlim(0.015, 6)
    ax.xaxis.set_major_locator(FixedLocator([0.03, 0.1, 0.3, 1, 2.5]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlabel("days with a greater loss, %")


# Paths -------------------------------------------------------------------------------------------


def _paths(results: Results) -> Figure:
    note = (
        "Per million dollars of a position. Below: maintenance margin by hour, thousand USD, and "
        "equity, at first the initial margin of predictive margin"
    )
    figure = _titled((12.4, 8.4), "Margins through seven years, and through three crashes", note)
    grid = figure.add_gridspec(
        2, 3, left=0.06, right=0.985, top=0.835, bottom=0.06, hspace=0.3, wspace=0.2
    )
    wide = figure.add_subplot(grid[0, :])
    _years(wide, results, "long BTC")
    shown = [pair for pair in PATHS if pair[0] in results.crashes]
    for column, (event, book) in enumerate(shown):
        _crash(figure.add_subplot(grid[1, column]), results, event, book)
    handles, labels = figure.axes[1].get_legend_handles_labels() if shown else ([], [])
    more, names = wide.get_legend_handles_labels()
    figure.legend(
        more + handles, names + labels, loc="upper left", bbox_to_anchor=(0.05, 0.912), ncol=6
    )
    return figure


def _years(ax: Axes, results: Results, name: str) -> None:
    """Initial margin of one book on every day, and the losses that there were."""
    b = [book.name for book in results.books].index(name)
    counting = results.days.counting[:, b]
    times = results.times[counting]
    # Generations 1 and 2 are one line for a single position.
    for generation in GENERATIONS:
        path = results.margins[generation].initial[counting, b] / THOUSAND
        ax.plot(
            times, path, DASHES[generation], color=COLOURS[generation], lw=1.6,
            label=LABELS[generation],
        )  # fmt: skip
    lost = np.maximum(-results.days.profits[counting, b], 0) / THOUSAND
    ax.vlines(times, 0, lost, color="#999999", lw=0.7, label="loss of the next 24 hours")
    ax.set_ylim(0, None)
    ax.set_xlim(times[0], times[-1])
    ax.xaxis.set_major_formatter(mdates.DateFormatter("%Y"))
    ax.xaxis.set_major_locator(mdates.YearLocator())
    ax.set_title(f"Initial margin of “{name}”, thousand USD (generations 1 and 2 ask for the same)")


def _crash(ax: Axes, results: Results, event: str, name: str) -> None:
    """Maintenance margin of each generation and equity, by hour."""
    b = [book.name for book in results.books].index(name)
    crash = results.crashes[event]
    hours = np.arange(len(crash.profits))
    for generation in GENERATIONS:
        path = crash.margins[generation].maintenance[:, b] / THOUSAND
        ax.plot(hours, path, DASHES[generation], color=COLOURS[generation], lw=1.8)
    start = crash.margins["predictive"].initial[0, b]
    equity = (start + crash.profits[:, b]) / THOUSAND
    ax.plot(hours, equity, color=EQUITY, lw=1.8, label="equity")
    ax.axhline(0, color="#888888", lw=0.8)
    ax.set_xlim(0, hours[-1])
    ax.xaxis.set_major_locator(FixedLocator(range(0, len(hours), 12)))
    ax.set_xlabel("hours")
    ax.set_title(f"{event}: {name}", fontsize=11)


# Cost --------------------------------------------------------------------------------------------


def _cost(results: Results) -> Figure:
    note = "Means over all days; hedged books are those whose positions offset each other"
    figure = _titled((12.4, 9.2), "What each generation costs, and what it buys", note)
    grid = figure.add_gridspec(
        2, 2, left=0.15, right=0.985, top=0.875, bottom=0.065, hspace=0.28, wspace=0.2,
        width_ratios=(1, 1),
    )  # fmt: skip
    _requirements(figure.add_subplot(grid[:, 0]), results)
    _frontier(figure.add_subplot(grid[0, 1]), results)
    _liquidations(figure.add_subplot(grid[1, 1]), results)
    return figure


def _requirements(ax: Axes, results: Results) -> None:
    """Mean initial margin by book, with what each generation saves."""
    rows, saved = np.arange(len(results.books)), report.efficiency(results)
    for at, generation in enumerate(GENERATIONS):
        margin = results.margins[generation].initial
        means = [margin[results.days.counting[:, b], b].mean() / THOUSAND for b in range(len(rows))]
        ax.barh(
            rows + 0.27 * (at - 1), means, 0.25, color=COLOURS[generation], label=LABELS[generation]
        )
        if generation in saved:
            for row, mean in zip(rows, means, strict=True):
                saving = saved[generation][results.books[row].name]
                text = f"−{saving:.0%}" if saving >= 0.005 else ""
                ax.text(
                    mean + 5, row + 0.27 * (at - 1), text, va="center", fontsize=8,
                    color=COLOURS[generation],
                )  # fmt: skip
    ax.set_yticks(rows, [book.name for book in results.books])
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("mean initial margin, thousand USD; less than isolated by")
    ax.set_title("Capital")
    ax.set_xlim(0, 640)
    ax.legend(loc="lower right", fontsize=9.5, bbox_to_anchor=(1.0, 0.295))


def _frontier(ax: Axes, results: Results) -> None:
    """Every share and floor: capital against procyclicality, hollow where a target is missed."""
    by_value = {trial.value: trial.score for trial in results.trials if trial.name == PAIRS}
    colours = ("#CC79A7", "#009E73", "#56B4E9")
    for share, colour, marker in zip(SWEEPS["tail_share"], colours, "^os", strict=True):
        scores = [by_value[f"{share:g}, {floor:g}"] for floor in SWEEPS["floor_weight"]]
        x = [score.capital / THOUSAND for score in scores]
        y = [score.peak_to_trough for score in scores]
        ax.plot(x, y, color=colour, lw=1.2)
        for i, score in enumerate(scores):
            face = "white" if score.too_many else colour
            ax.scatter(
                x[i], y[i], marker=marker, s=40, facecolors=face, edgecolors=colour, zorder=3
            )
        ax.scatter([], [], marker=marker, color=colour, label=f"worst {100 * share:g} % of dates")
    chosen = by_value[f"{DEFAULT.tail_share:g}, {DEFAULT.floor_weight:g}"]
    ax.annotate(
        f"default: floor {DEFAULT.floor_weight:g}",
        (chosen.capital / THOUSAND, chosen.peak_to_trough),
        xytext=(70, 92), textcoords="offset points", fontsize=10,
        arrowprops={"arrowstyle": "-", "color": GREY}, color=GREY,
    )  # fmt: skip
    ax.set_xlabel("mean initial margin, thousand USD")
    ax.set_title("Peak over trough of initial margin, by floor")
    ax.legend(loc="upper right", fontsize=9.5, title="filled: keeps to targets", title_fontsize=9.5)


def _liquidations(ax: Axes, results: Results) -> None:
    """Hedged books through all crashes with the same capital."""
    found = report.avoided(results)
    names = list(dict.fromkeys(name for name, _ in found))
    labels = ["isolated\npositions", "one account,\nportfolio", "one account,\npredictive"]
    for at, capital in enumerate(dict.fromkeys(capital for _, capital in found)):
        shares = [100 * found[n, capital].liquidated / found[n, capital].accounts for n in names]
        x = np.arange(len(names)) + 0.36 * (at - 0.5)
        colours = [COLOURS[generation] for generation in GENERATIONS]
        bars = ax.bar(x, shares, 0.34, color=colours, alpha=1 if at == 0 else 0.55)
        ax.bar_label(
            bars, [f"{found[n, capital].liquidated}" for n in names], fontsize=10, padding=2
        )
    ax.set_xticks(range(len(names)), labels)
    ax.set_ylim(0, 105)
    ax.grid(axis="x", visible=False)
    accounts = found[names[0], 1.0].accounts
    ax.set_title(f"Hedged books sold in nine crashes, % of {accounts}")
    ax.text(
        0.98, 0.95, "capital: initial margin of the isolated positions\n(pale: 1.5 times that)",
        transform=ax.transAxes, ha="right", va="top", fontsize=10, color=GREY,
    )  # fmt: skip
