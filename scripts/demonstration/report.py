"""The report: one HTML page that stands alone, and one picture."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from reference_model.types import Breakdown, Health
from scripts.demonstration import figures
from scripts.demonstration.crash_day import figures as crash_day
from scripts.demonstration.crash_day.market import DARK
from scripts.demonstration.crash_day.record import Day
from scripts.demonstration.ledger import WAD
from scripts.demonstration.story import Story

NAMES = {
    Health.HEALTHY: "healthy",
    Health.MARGIN_CALL: "margin call",
    Health.LIQUIDATABLE: "liquidatable",
    Health.INSOLVENT: "insolvent",
}
MARKET_MAKER = "market maker"


@dataclass(frozen=True)
class FuzzRow:
    """Cases of one kind."""

    kind: str
    cases: int
    errors: int
    disagreements: int
    seconds: float

    @property
    def rate(self) -> float:
        """Cases per second."""
        return self.cases / self.seconds if self.seconds else 0.0


def fuzz_rows(tallies: Mapping[str, Any]) -> list[FuzzRow]:
    """Sum a campaign's tallies by the first part of their names."""
    rows: dict[str, FuzzRow] = {}
    for name, tally in tallies.items():
        kind = name.split(".")[0]
        old = rows.get(kind, FuzzRow(kind, 0, 0, 0, 0.0))
        rows[kind] = FuzzRow(
            kind,
            old.cases + tally.cases,
            old.errors + tally.errors,
            old.disagreements + len(tally.disagreements),
            old.seconds + tally.seconds,
        )
    return list(rows.values())


def total(rows: list[FuzzRow]) -> FuzzRow:
    """Sum of all kinds."""
    columns = ("cases", "errors", "disagreements", "seconds")
    return FuzzRow("all", *(sum(getattr(row, column) for row in rows) for column in columns))


def usd(value: int) -> str:
    """Return a WAD amount in whole USD."""
    return f"{value / WAD:,.0f}".replace("-", "−")


def saving(breakdown: Breakdown, of: Callable[[Breakdown], int]) -> float:
    """Return the share of the isolated initial margin that another generation saves."""
    isolated = breakdown.isolated_initial_margin
    return 1 - of(breakdown) / isolated if isolated else 0.0


def netted(breakdown: Breakdown) -> int:
    """Return the initial margin of the portfolio mode, whatever the account's mode."""
    return min(breakdown.net_initial_margin, breakdown.isolated_initial_margin)


def predictive(breakdown: Breakdown) -> int:
    """Return the initial margin of the predictive mode, whatever the account's mode."""
    applies = breakdown.predictive.applies
    return breakdown.predictive.initial_margin if applies else netted(breakdown)


def generations(breakdown: Breakdown) -> dict[str, Any]:
    """Return what the three generations ask of an account, and what the later two save."""
    return {
        "isolated": breakdown.isolated_initial_margin,
        "later": [(of(breakdown), saving(breakdown, of)) for of in (netted, predictive)],
    }


def worst(story: Story, index: int) -> Health:
    """Return the worst state an account went through."""
    return max(step.health(index) for step in story.steps)


def verdict(story: Story, fuzz: FuzzRow) -> list[tuple[str, str]]:
    """Return the figures a reader should take away, and what they count."""
    market_maker = story.gas[f"requirement of {MARKET_MAKER}"]
    return [
        (
            f"{len(story.steps) - 1} steps",
            "through three days of February 2026,\nan expiry among them",
        ),
        (
            f"{story.compared:,} states",
            f"of accounts, {len(story.disagreements)} disagreements: exact\n"
            "model to the wei, numpy in its bound",
        ),
        (
            f"{fuzz.cases:,} fuzz cases",
            f"{fuzz.disagreements} disagreements on the same chain,\n"
            f"{fuzz.errors:,} of the cases agreed errors",
        ),
        (f"{abs(story.unaccounted_cash)} wei", "of cash unaccounted for at the end"),
        (
            f"{market_maker / 1e6:.2f} million gas",
            "for the requirement of the market maker,\nwho holds the other side of everything",
        ),
    ]


def write(
    story: Story, day: Day, fuzz: list[FuzzRow], seed: int, seconds: float, folder: Path
) -> tuple[Path, Path]:
    """Write the page and the picture; return where.

    Parameters
    ----------
    story
        What happened to the books.
    day
        What happened on the crash day.
    fuzz
        Results by kind of case.
    seed
        Of the campaign.
    seconds
        How long everything took.
    folder
        Created if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sums = total(fuzz)
    facts = verdict(story, sums)
    picture = folder / "report.png"
    figures.page(story, day, facts, picture)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"usd": usd, "generations": generations}
    text = environment.get_template("report.html").render(
        story=story,
        day=day,
        dark=DARK,
        day_figure=figures.single(lambda figure: crash_day.everything(figure, day), 10, 7),
        figures=figures.embedded(story),
        facts=facts,
        fuzz=[*fuzz, sums],
        seed=seed,
        seconds=seconds,
        health=NAMES,
        worst=[worst(story, index) for index in range(len(story.opening.breakdowns))],
    )
    page = folder / "report.html"
    page.write_text(text, encoding="utf-8")
    return page, picture
