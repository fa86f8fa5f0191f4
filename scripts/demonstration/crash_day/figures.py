"""The plots of the crash day."""

from collections.abc import Callable
from datetime import UTC, datetime

import matplotlib.dates as mdates
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from scripts.demonstration.crash_day.market import DARK
from scripts.demonstration.crash_day.record import (
    BELOW_MAINTENANCE,
    FOR_SALE,
    INSOLVENT,
    MARGIN_CALL,
    RECOVERING,
    Day,
    Sums,
)

MILLION = 1e6
GREY, GREEN, BLUE, ORANGE, RED, PURPLE = (
    "#555555",
    "#009E73",
    "#0072B2",
    "#E69F00",
    "#D55E00",
    "#CC79A7",
)
STATUS_COLOURS = {
    INSOLVENT: RED,
    BELOW_MAINTENANCE: "#999999",
    FOR_SALE: PURPLE,
    RECOVERING: "#56B4E9",
    MARGIN_CALL: "#F0E442",
}


STORM = datetime(2025, 10, 10, 20, 0, tzinfo=UTC), datetime(2025, 10, 10, 22, 0, tzinfo=UTC)


def prices(ax: Axes, day: Day) -> None:
    """Index prices relative to the first, over the whole day."""
    for name, colour, dash in (("BTC", GREY, "-"), ("ETH", GREEN, "--")):
        values = np.array([moment.prices[name] for moment in day.moments])
        label = f"{name} {values[0]:,.0f} → {values.min():,.0f} → {values[-1]:,.0f} USD"
        ax.plot(_times(day), (values / values[0] - 1) * 100, dash, color=colour, label=label)
    ax.axvspan(*STORM, color="#dddddd", alpha=0.6, lw=0, label="shown beside and below")
    ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.0f} %".replace("-", "−")))
    ax.set_ylim(-27, 3)
    ax.set_title("The market, noon to noon (UTC)")
    ax.legend(loc="lower right", fontsize=9.5)
    ax.set_xlim(day.moments[0].time, day.moments[-1].time)
    ax.xaxis.set_major_locator(mdates.HourLocator(byhour=range(0, 24, 3)))
    ax.xaxis.set_major_formatter(mdates.DateFormatter("%H:%M"))


def statuses(ax: Axes, day: Day) -> None:
    """Accounts that are not healthy, by status, one above the other."""
    rows = [[moment.counts[name] for moment in day.moments] for name in STATUS_COLOURS]
    ax.stackplot(
        _times(day), rows, colors=STATUS_COLOURS.values(), labels=STATUS_COLOURS, step="post"
    )
    ax.set_title(f"Accounts, of {len(day.kinds)}, that are not healthy")
    _storm(ax)


def volume(ax: Axes, day: Day) -> None:
    """What was sold by force, here and where an account is sold whole."""
    ours = [moment.sums.volume / MILLION for moment in day.moments]
    naive = day.naive.volume / MILLION
    ax.step(day.imagined_times, naive, where="post", color=ORANGE, lw=2, label="whole accounts")
    ax.step(_times(day), ours, where="post", color=BLUE, lw=2, label="slices at auction")
    ax.set_ylim(0, None)
    ax.set_title("Forced sales so far, million USD")
    _storm(ax)


def payments(ax: Axes, day: Day) -> None:
    """What owners gave away, and what the waterfall paid, so far."""
    series: tuple[tuple[str, str, str, Callable[[Sums], float]], ...] = (
        ("owners: discounts, rewards", BLUE, "-", lambda s: s.discounts + s.rewards),
        ("protocol capital", GREEN, "--", lambda s: s.from_fees),
        ("insurance fund", RED, "-", lambda s: s.from_fund),
        ("everyone's cash", PURPLE, ":", lambda s: s.socialised),
    )
    for label, colour, dash, value in series:
        values = [value(moment.sums) / 1e3 for moment in day.moments]
        ax.step(_times(day), values, dash, where="post", color=colour, lw=2, label=label)
    ax.set_title("Who has paid so far, thousand USD")
    _storm(ax)


DRAWINGS = prices, statuses, volume, payments


def everything(figure: Figure, day: Day) -> None:
    """Draw all four."""
    for ax, draw in zip(figure.subplots(2, 2).ravel(), DRAWINGS, strict=True):
        draw(ax, day)


def _times(day: Day) -> list[datetime]:
    return [moment.time for moment in day.moments]


def _storm(ax: Axes) -> None:
    """Show the worst hours, and when no keeper acts."""
    ax.axvspan(*DARK, color="#dddddd", alpha=0.6, lw=0, zorder=0, label="no keeper")
    ax.set_xlim(*STORM)
    ax.xaxis.set_major_locator(mdates.MinuteLocator(byminute=(0, 30)))
    ax.xaxis.set_major_formatter(mdates.DateFormatter("%H:%M"))
    ax.legend(loc="upper left", fontsize=9.5)
