"""The picture of a run: sources, what the hub makes of them, and where it disputed."""

from datetime import UTC, datetime
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

from oracle_mock import catalogue
from oracle_mock.faults import HALT
from oracle_mock.sources import MARK
from scripts._running import writing
from scripts.demonstration.figures import STYLE
from scripts.playback.player import Progress, Settings
from scripts.playback.record import names

# Okabe and Ito, safe for colour-blind readers.
SOURCES = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#D55E00")
PRICE, FAULT, DISPUTED = "#0072B2", "#F0E442", "#CC79A7"
# A source that is off by more would leave nothing to see of the others.
REACH = 3.0


def write(progress: Progress, path: Path) -> None:
    """Draw every watched price: above the prices, below confidence and disputes."""
    watched = names(progress)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            2 * len(watched),
            figsize=(11, 6 * len(watched)),
            height_ratios=[3, 1] * len(watched),
            sharex=True,
            squeeze=False,
            layout="constrained",
        )
        for place, name in enumerate(watched):
            rows = [row for row in progress.rows if row["name"] == name]
            prices, widths = axes[2 * place, 0], axes[2 * place + 1, 0]
            for ax in (prices, widths):
                _windows(ax, rows, name, progress)
            _prices(prices, rows, name, progress)
            _widths(widths, rows)
        _clock(axes[-1, 0])
        with writing(path):
            figure.savefig(path, dpi=120)
        plt.close(figure)


def _clock(ax: Axes) -> None:
    """Write times once, with the date where it changes."""
    locator = AutoDateLocator(tz=UTC)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC))
    ax.set_xlabel("time on the chain, UTC")


def _times(rows: list[dict]) -> list[datetime]:
    return [datetime.fromtimestamp(row["time"], UTC) for row in rows]


def _column(rows: list[dict], name: str) -> np.ndarray:
    return np.array([row[name] for row in rows], float)


def _prices(ax: Axes, rows: list[dict], name: str, progress: Progress) -> None:
    times, truth = _times(rows), _column(rows, "truth")
    for number in range(max(len(row["sources"]) for row in rows)):
        said = [row["sources"][number] if number < len(row["sources"]) else None for row in rows]
        values = np.array([np.nan if value is None else value for value in said], float)
        colour = SOURCES[number % len(SOURCES)]
        ax.plot(times, values, color=colour, lw=1.2, label=f"source {number + 1}")
    price, width = _column(rows, "price"), _column(rows, "confidence")
    ax.fill_between(times, price - width, price + width, color=PRICE, alpha=0.15, lw=0)
    ax.plot(times, truth, color="#1a1a1a", lw=1.0, ls=":", label="truth")
    ax.plot(times, price, color=PRICE, lw=2.2, label="in force, with its interval")
    ax.plot(times, _column(rows, "stable"), color=PRICE, lw=1.2, ls="--", label="stable price")
    low, high = truth.min(), truth.max()
    margin = max(high - low, 0.02 * high)
    ax.set_ylim(max(0, low - REACH * margin / 2), high + REACH * margin / 2)
    ax.set_ylabel("USD" if name in catalogue.start().markets else "rate")
    settings = Settings.of(progress.settings)
    hit = [f for f in settings.faults if f.asset in (name, name + MARK) or f.kind == HALT]
    faults = ", ".join(f.kind for f in hit) or "no fault"
    ax.set_title(f"{name}: {settings.path}, seed {settings.seed}, {faults}")
    ax.legend(loc="best", ncols=2)


def _widths(ax: Axes, rows: list[dict]) -> None:
    times = _times(rows)
    price = np.maximum(_column(rows, "price"), 1e-18)
    ax.plot(times, _column(rows, "confidence") / price * 100, color=PRICE, lw=1.6)
    disputed = [time for time, row in zip(times, rows, strict=True) if row["disputed"]]
    ax.set_ylabel("interval, ± %")
    if disputed:
        marks = {"color": DISPUTED, "ms": 14, "mew": 2, "label": "disputed"}
        (line,) = ax.plot(disputed, [0] * len(disputed), "|", **marks)
        ax.legend(handles=[line], loc="upper right")


def _windows(ax: Axes, rows: list[dict], name: str, progress: Progress) -> None:
    """Shade the windows of the faults that hit a price; a halt hits them all."""
    begun, shaded = rows[0]["time"], False
    for plan in Settings.of(progress.settings).faults:
        if plan.asset not in (name, name + MARK) and plan.kind != HALT:
            continue
        start = begun + plan.start
        first, last = (datetime.fromtimestamp(t, UTC) for t in (start, start + plan.duration))
        ax.axvspan(first, last, color=FAULT, alpha=0.25, lw=0, label="_" if shaded else "fault")
        shaded = True
