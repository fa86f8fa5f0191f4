"""The picture of the study: how much is forced, how far prices fall, a real day, the window."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from reference_model.cascade.policies import Window
from scripts.cascading.study import (
    BAD,
    DEFAULT,
    POLICIES,
    POLICY_SWEEPS,
    SHOCKS,
    WORST,
    Case,
    Summary,
)
from scripts.demonstration.figures import STYLE, save

# Okabe and Ito, safe for colour-blind readers; dashes tell the lines apart without colour.
LINES = {
    "full": ("#D55E00", "-", "o", "everything, at market"),
    "windowed": ("#E69F00", "--", "s", "everything, in windows"),
    "partial": ("#CC79A7", "-.", "^", "slices, at market"),
    "auction": ("#56B4E9", ":", "D", "slices, by auction"),
    "auction, window": ("#0072B2", "-", "o", "slices, by auction, in windows"),
}
FIRST_HOUR = 18
TITLE = "What forced selling does to the market that forces it"


def write(summaries: dict[Case, Summary], traces: dict[str, list], note: str, path: Path) -> None:
    """Draw the four panels.

    Parameters
    ----------
    summaries
        By case, of the whole study.
    traces
        Of one run of 10 October 2025 by policy: seconds, and the fall below the path.
    note
        What the runs have in common, below the title.
    path
        File to write.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(12.4, 9.8))
        figure.text(0.02, 0.963, TITLE, fontsize=21, weight="bold")
        figure.text(0.02, 0.935, note, fontsize=12, color="#555555")
        grid = figure.add_gridspec(
            2, 2, left=0.065, right=0.985, top=0.845, bottom=0.065, hspace=0.36, wspace=0.17
        )
        _amplification(figure.add_subplot(grid[0, 0]), summaries)
        _overshoot(figure.add_subplot(grid[0, 1]), summaries)
        _day(figure.add_subplot(grid[1, 0]), traces)
        _windows(figure.add_subplot(grid[1, 1]), summaries)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="upper center", bbox_to_anchor=(0.52, 0.918), ncol=5,
            columnspacing=1.5, handlelength=2.6,
        )  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        save(figure, path)


def _band(ax: Axes, x: np.ndarray, points: list[Summary], name: str, scale: float, **style) -> None:
    """Draw means with their 95 % confidence bands."""
    mean = np.array([point.mean[name] for point in points]) * scale
    half = np.array([point.half_width[name] for point in points]) * scale
    ax.fill_between(
        x, np.maximum(mean - half, 0), mean + half, color=style["color"], alpha=0.13, lw=0
    )
    ax.plot(x, mean, ms=5, lw=2, **style)


def _by_policy(ax: Axes, summaries: dict[Case, Summary], name: str, scale: float) -> None:
    for policy in POLICIES:
        colour, dash, marker, label = LINES[policy]
        points = [summaries[Case("policies", policy, f"{size:g}")] for size in SHOCKS]
        x = 100 * np.array(SHOCKS)
        _band(ax, x, points, name, scale, color=colour, ls=dash, marker=marker, label=label)
    ax.set_xlabel("initial fall of BTC within 15 minutes, %   (ETH: 1.25 times as far)")
    ax.set_xlim(0, 31)


def _amplification(ax: Axes, summaries: dict[Case, Summary]) -> None:
    _by_policy(ax, summaries, "amplification", 1)
    ax.axhline(1, color="#888888", lw=1)
    ax.set_ylim(0, None)
    ax.set_title("Forced volume over what the fall alone puts under water")


def _overshoot(ax: Axes, summaries: dict[Case, Summary]) -> None:
    _by_policy(ax, summaries, "overshoot", 100)
    ax.set_ylim(0, None)
    ax.set_title("How far the price falls below where it belongs, %")


def _day(ax: Axes, traces: dict[str, list]) -> None:
    """How far ETH falls below where it was through the crash of October 2025."""
    for policy, trace in traces.items():
        colour, dash, *_ = LINES[policy]
        hours = [FIRST_HOUR + seconds / 3600 for seconds, *_ in trace]
        below = [100 * shortfall[1] for _, shortfall in trace]
        ax.plot(hours, below, dash, color=colour, lw=2)
    ax.set_xlim(20, 24)
    ax.set_ylim(0, None)
    ax.xaxis.set_major_locator(FixedLocator([20, 21, 22, 23, 24]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda hour, _: f"{hour:.0f}:00"))
    ax.set_xlabel("time, UTC")
    ax.set_title("10 October 2025 again: ETH below its real price, %")


def _windows(ax: Axes, summaries: dict[Case, Summary]) -> None:
    """What a wider window buys and costs."""
    chosen = Window()
    values = sorted([*POLICY_SWEEPS["window.capacity"], chosen.capacity])
    x = 100 * np.array(values)
    for size, name, colour, dash, marker, label in (
        (WORST, "overshoot", "#D55E00", "-", "o", "overshoot, fall of 30 %"),
        (BAD, "overshoot", "#E69F00", "--", "s", "overshoot, fall of 12 %"),
        (BAD, "cost", "#009E73", "-.", "^", "cost to those sold, fall of 12 %"),
        (WORST, "fund", "#0072B2", ":", "D", "paid by the insurance fund, fall of 30 %"),
    ):
        points = [
            summaries[
                Case("policies", DEFAULT, f"{size:g}")
                if value == chosen.capacity
                else Case("window.capacity", f"{value:g}", f"{size:g}")
            ]
            for value in values
        ]
        _band(ax, x, points, name, 100, color=colour, ls=dash, marker=marker, label=label)
    ax.axvline(100 * chosen.capacity, color="#888888", lw=1)
    ax.text(100 * chosen.capacity * 1.03, 0.26, "default", color="#555555", fontsize=10,
            transform=ax.get_xaxis_transform())  # fmt: skip
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator(x))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    ax.set_ylim(0, None)
    minutes = chosen.period_seconds // 60
    ax.set_xlabel(f"capacity of the window, % of a day's volume per {minutes:.0f} minutes")
    ax.set_title("Choosing the window, %")
    ax.set_ylim(0, 15.5)
    ax.legend(loc="upper right", fontsize=9.5, ncols=2, columnspacing=1.2)
