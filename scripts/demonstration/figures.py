"""The plots of the report. Colours are those of Okabe and Ito, safe for colour-blind readers."""

from base64 import b64encode
from collections.abc import Callable, Iterable
from datetime import timedelta
from io import BytesIO
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.dates as mdates
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter
from PIL import Image

from reference_model.types import PPM, Breakdown, Health, UnderlyingBreakdown
from scripts.demonstration.crash_day import figures as crash_day
from scripts.demonstration.crash_day.record import Day
from scripts.demonstration.story import Story

PORTFOLIO, ISOLATED, EQUITY = "#0072B2", "#E69F00", "#1a1a1a"
CALL, LIQUIDATABLE, GREEN, SKY = "#F0E442", "#CC79A7", "#009E73", "#56B4E9"
UNHEDGED = "#D55E00"
HEALTH_COLOURS = {Health.MARGIN_CALL: CALL, Health.LIQUIDATABLE: LIQUIDATABLE}
THOUSAND = 1e21
# With fewer colours the tints of bands take the place of lines'.
DPI, COLOURS = 115, 256
BOOKS_HEIGHT, DAY_HEIGHT = 16, 7.5
SUBTITLE = (
    "Real strategies on chain through the crash of February 2026, every number confirmed by two "
    "independent models"
)
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "legend.frameon": False,
    "legend.fontsize": 10,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
}
CHARGES = (
    ("worst scenario", "#0072B2", lambda b: b.scan_risk),
    ("calendar basis", "#E69F00", lambda b: _sum(b, "basis_charge")),
    ("short options", "#D55E00", lambda b: _sum(b, "short_option_charge")),
    ("price confidence", "#009E73", lambda b: _sum(b, "confidence_charge")),
    ("concentration", "#CC79A7", lambda b: _sum(b, "concentration_charge")),
    ("open interest", "#56B4E9", lambda b: _sum(b, "open_interest_charge")),
    ("de-peg", "#999999", lambda b: b.depeg_charge),
)


def _sum(breakdown: Breakdown, name: str) -> int:
    return sum(getattr(part, name) for part in breakdown.underlyings)


def requirements(ax: Axes, story: Story) -> None:
    """All three generations, a bar of each for each book."""
    rows = np.arange(len(story.books))
    breakdowns = story.opening.breakdowns[: len(story.books)]
    isolated = np.array([b.isolated_initial_margin for b in breakdowns], float) / THOUSAND
    netted = np.array([b.assessment.initial_margin for b in breakdowns], float) / THOUSAND
    predictive = np.array([b.predictive.initial_margin for b in breakdowns], float) / THOUSAND
    for place, (label, margins, colour) in enumerate(
        (
            ("isolated (generation 1)", isolated, ISOLATED),
            ("portfolio (generation 2)", netted, PORTFOLIO),
            ("predictive (generation 3)", predictive, GREEN),
        )
    ):
        at = rows + (place - 1) * 0.27
        ax.barh(at, margins, 0.25, color=colour, label=label)
        for y, margin, alone in zip(at, margins, isolated, strict=True):
            saved = f"   saves {1 - margin / alone:.0%}".replace("-", "−") if place else ""
            text_colour = colour if place else "#555555"
            ax.text(
                margin + 5, y, f"{margin:,.0f}{saved}", va="center", fontsize=9, color=text_colour
            )
    ax.set_yticks(rows, [book.name for book in story.books])
    ax.tick_params(axis="y", length=0, labelsize=11)
    ax.invert_yaxis()
    ax.set_xlim(0, isolated.max() * 1.12)
    ax.set_xlabel("initial margin, thousand USD")
    ax.grid(axis="y", visible=False)
    ax.set_title("What each book must hold")
    ax.legend(loc="lower right")


def prices(ax: Axes, story: Story) -> None:
    """Index prices relative to the first."""
    times = [step.time for step in story.steps]
    ends = []
    for name, colour, dash in (("BTC", "#555555", "-"), ("ETH", GREEN, "--")):
        values = np.array([step.prices[name] for step in story.steps])
        ax.plot(times, (values / values[0] - 1) * 100, dash, color=colour, lw=1.8)
        label = f"{name} {values[0]:,.0f} → {values.min():,.0f} → {values[-1]:,.0f} USD"
        ends.append(Line2D([], [], color=colour, ls=dash, lw=1.8, label=label))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.0f} %".replace("-", "−")))
    ax.set_title("The market: hourly prices of 4 to 7 February 2026")
    ax.legend(handles=ends, loc="upper right")
    _days(ax, story)


def book(ax: Axes, story: Story, index: int) -> None:
    """Equity against the requirement of both generations, and the account's state."""
    times = [step.time for step in story.steps]
    rows = [step.breakdowns[index] for step in story.steps]
    series = (
        ([b.isolated_initial_margin for b in rows], ISOLATED, ":", 2.0),
        ([b.assessment.initial_margin for b in rows], PORTFOLIO, "-", 1.6),
        ([b.assessment.maintenance_margin for b in rows], PORTFOLIO, "--", 1.3),
        ([b.assessment.initial_equity for b in rows], EQUITY, "-", 2.0),
    )
    for values, colour, dash, width in series:
        ax.plot(times, np.array(values, float) / THOUSAND, dash, color=colour, lw=width)
    for first, last, health in _episodes(story, index):
        ax.axvspan(first, last, color=HEALTH_COLOURS.get(health, LIQUIDATABLE), alpha=0.45, lw=0)
    ax.set_ylim(0, None)
    for expiry in {leg.expiry for leg in story.books[index].legs if leg.expiry}:
        if times[0] < expiry <= times[-1]:
            ax.axvline(expiry, color="#888888", lw=1)
            ax.text(
                expiry,
                0.97,
                " settled",
                color="#555555",
                fontsize=9.5,
                va="top",
                transform=ax.get_xaxis_transform(),
            )
    ax.set_title(story.books[index].name)
    _days(ax, story)


def _episodes(story: Story, index: int) -> Iterable[tuple]:
    """Spans of time in which a book was not healthy."""
    for step, following in zip(story.steps, [*story.steps[1:], None], strict=True):
        if (health := step.health(index)) is not Health.HEALTHY:
            yield step.time, following.time if following else step.time, health


def _days(ax: Axes, story: Story) -> None:
    ax.set_xlim(story.steps[0].time, story.steps[-1].time + timedelta(hours=1))
    ax.xaxis.set_major_locator(mdates.DayLocator())
    ax.xaxis.set_major_formatter(mdates.DateFormatter("%-d %b"))


def book_legend() -> list:
    """Say what the lines and shades of `book` mean."""
    return [
        Line2D([], [], color=EQUITY, lw=2, label="equity"),
        Line2D([], [], color=PORTFOLIO, lw=1.6, label="initial margin, portfolio"),
        Line2D([], [], color=PORTFOLIO, lw=1.3, ls="--", label="maintenance margin, portfolio"),
        Line2D([], [], color=ISOLATED, lw=2, ls=":", label="initial margin, isolated"),
        Patch(color=CALL, alpha=0.45, label="margin call"),
        Patch(color=LIQUIDATABLE, alpha=0.45, label="liquidatable"),
    ]


def scenarios(ax: Axes, story: Story, hedged: int, unhedged: int) -> None:
    """Profit and loss per scenario of two books on ETH, the binding one marked."""
    moves = sorted({s.price_ppm for s in story.scenarios})
    weights = {s.price_ppm: s.weight_ppm / PPM for s in story.scenarios}
    for index, colour in ((hedged, PORTFOLIO), (unhedged, UNHEDGED)):
        part = story.opening.breakdowns[index].underlyings[0]
        name = story.books[index].name
        up, down = (_profile(story, part, moves, rise) for rise in (True, False))
        style = {"marker": "o", "ms": 4, "color": colour}
        if down.items() <= up.items():
            ax.plot(up.keys(), up.values(), "-", label=f"{name}, whatever volatility", **style)
        else:
            ax.plot(up.keys(), up.values(), "-", label=f"{name}, volatility up", **style)
            ax.plot(down.keys(), down.values(), "--", label=f"{name}, volatility down", **style)
        worst = story.scenarios[part.binding_scenario]
        at = moves.index(worst.price_ppm), part.netted[part.binding_scenario] / THOUSAND
        ax.plot(*at, marker="*", ms=18, color=colour, mec="white", mew=1, ls="none", zorder=5)
    part = story.opening.breakdowns[unhedged].underlyings[0]
    scan_range = story.scan_ranges[part.underlying]
    labels = [_move(move / PPM * scan_range, weights[move]) for move in moves]
    ax.set_xticks(range(len(moves)), labels)
    ax.axhline(0, color="#888888", lw=0.8)
    ax.set_xlabel("move of ETH in the scenario, and its weight if not 1")
    ax.set_ylabel("weighted P&L, thousand USD")
    ax.set_title("Every scenario of a hedged and an unhedged book (★ binds)")
    ax.legend(loc="lower center", fontsize=9)


def _profile(
    story: Story, part: UnderlyingBreakdown, moves: list[int], volatility_up: bool
) -> dict[int, float]:
    """Profit and loss, thousand USD, by the place of the price move, ascending."""
    chosen = {
        moves.index(s.price_ppm): pnl / THOUSAND
        for s, pnl in zip(story.scenarios, part.netted, strict=True)
        if (s.vol_ppm > 0) is volatility_up
    }
    return dict(sorted(chosen.items()))


def _move(move: float, weight: float) -> str:
    text = f"{move:+.0%}".replace("-", "−").replace("+0%", "0%")
    return text if weight == 1 else f"{text}\n×{weight:g}"


def charges(ax: Axes, story: Story) -> None:
    """What the portfolio requirement is made of."""
    rows = np.arange(len(story.books))
    breakdowns = story.opening.breakdowns[: len(story.books)]
    left = np.zeros(len(rows))
    for label, colour, value in CHARGES:
        widths = np.array([value(b) for b in breakdowns], float) / THOUSAND
        if widths.max() >= 0.05:
            ax.barh(rows, widths, 0.6, left=left, color=colour, label=label)
            left += widths
    ax.set_yticks(rows, [book.name for book in story.books])
    ax.tick_params(axis="y", length=0)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set_xlim(0, left.max() * 1.8)
    ax.set_xlabel("initial margin, thousand USD")
    ax.set_title("Parts of portfolio margin")
    ax.legend(loc="upper right", fontsize=9.5)


def page(story: Story, day: Day, facts: list[tuple[str, str]], path: Path) -> None:
    """Draw everything on one page.

    Parameters
    ----------
    story
        What happened to the books.
    day
        What happened on the crash day.
    facts
        Pairs of a figure and what it counts, shown large beside the first plot.
    path
        File to write.
    """
    with matplotlib.rc_context(STYLE):
        whole = Figure(figsize=(12.4, BOOKS_HEIGHT + DAY_HEIGHT))
        figure, below = whole.subfigures(2, 1, height_ratios=(BOOKS_HEIGHT, DAY_HEIGHT))
        _heading(figure, 0.972, "One account, one netted requirement", SUBTITLE, 21)
        top = figure.add_gridspec(1, 3, left=0.115, right=0.985, top=0.912, bottom=0.742)
        requirements(figure.add_subplot(top[0, :2]), story)
        _facts(figure.add_subplot(top[0, 2]), facts)
        market = figure.add_gridspec(1, 1, left=0.065, right=0.985, top=0.682, bottom=0.592)
        prices(figure.add_subplot(market[0]), story)
        _books(figure, story)
        bottom = figure.add_gridspec(
            1, 3, left=0.065, right=0.985, top=0.232, bottom=0.055, wspace=0.5
        )
        scenarios(figure.add_subplot(bottom[0, :2]), story, 0, len(story.books) - 1)
        charges(figure.add_subplot(bottom[0, 2]), story)
        _day(below, day)
        save(whole, path)


def _day(figure: SubFigure, day: Day) -> None:
    """Draw the crash day below the books."""
    held = len(day.checks) - len(day.failures)
    title = f"Liquidation on 10 October 2025: {len(day.touched)} of {len(day.kinds)} accounts"
    text = (
        f"Sold in {day.sums.slices} slices at auction, at half the shipped margin; {held} of "
        f"{len(day.checks)} checks of accounts, cash, positions, tokens and fund hold at the end"
    )
    _heading(figure, 0.955, title, text, 16, gap=0.04)
    grid = figure.add_gridspec(
        2, 2, left=0.065, right=0.985, top=0.845, bottom=0.06, hspace=0.35, wspace=0.12
    )
    for place, draw in zip(grid, crash_day.DRAWINGS, strict=True):
        draw(figure.add_subplot(place), day)


def _heading(
    figure: SubFigure, y: float, title: str, text: str, size: int, gap: float = 0.021
) -> None:
    figure.text(0.02, y, title, fontsize=size, weight="bold")
    figure.text(0.02, y - gap, text, fontsize=12, color="#555555")


def _facts(ax: Axes, facts: list[tuple[str, str]]) -> None:
    ax.axis("off")
    for row, (figure, what) in enumerate(facts):
        y = 1.06 - 1.2 * row / len(facts)
        ax.text(0.05, y, figure, fontsize=17, weight="bold", color=PORTFOLIO, va="top")
        ax.text(0.05, y - 0.092, what, fontsize=10, color="#444444", va="top", linespacing=1.15)


def _books(figure: SubFigure, story: Story) -> None:
    """Draw the panels of all books, three in a row."""
    grid = figure.add_gridspec(
        2, 3, left=0.065, right=0.985, top=0.517, bottom=0.287, hspace=0.42, wspace=0.18
    )
    for index in range(len(story.books)):
        row, column = divmod(index, 3)
        ax = figure.add_subplot(grid[row, column])
        book(ax, story, index)
        if column == 0:
            ax.set_ylabel("thousand USD")
    figure.legend(
        handles=book_legend(),
        loc="upper center",
        bbox_to_anchor=(0.53, 0.562),
        ncol=6,
        columnspacing=1.6,
        handlelength=2,
    )


def save(figure: Figure, target: Path | BytesIO) -> None:
    """Write a small PNG: plots need few colours."""
    canvas = BytesIO()
    figure.savefig(canvas, dpi=DPI)
    image = Image.open(canvas).convert("RGB")
    image = image.quantize(COLOURS, method=Image.Quantize.MEDIANCUT)
    image.save(target, format="png", optimize=True)


def single(draw: Callable[[Figure], None], width: float, height: float) -> str:
    """Draw a figure of its own, as the address of an image inside a page."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure)
        canvas = BytesIO()
        save(figure, canvas)
    return "data:image/png;base64," + b64encode(canvas.getvalue()).decode()


def embedded(story: Story) -> dict[str, str]:
    """Return the figures of the HTML page by name."""
    last = len(story.books) - 1

    def market_and_books(figure: Figure) -> None:
        grid = figure.add_gridspec(3, 3)
        prices(figure.add_subplot(grid[0, :]), story)
        for index in range(len(story.books)):
            row, column = divmod(index, 3)
            ax = figure.add_subplot(grid[1 + row, column])
            book(ax, story, index)
            if column == 0:
                ax.set_ylabel("thousand USD")
        figure.legend(handles=book_legend(), loc="outside lower center", ncol=3)

    return {
        "requirements": single(lambda f: requirements(f.add_subplot(), story), 10, 4.2),
        "crash": single(market_and_books, 10, 8),
        "scenarios": single(lambda f: scenarios(f.add_subplot(), story, 0, last), 10, 4.4),
        "charges": single(lambda f: charges(f.add_subplot(), story), 10, 3.4),
    }
