"""What the demonstration says while it runs."""

import click

from reference_model.types import Health
from scripts.demonstration.report import MARKET_MAKER, NAMES, FuzzRow, generations, usd
from scripts.demonstration.story import Step, Story, WhatIf

NAME, COLUMN = 16, 14
COLOURS = {Health.MARGIN_CALL: "yellow", Health.LIQUIDATABLE: "red", Health.INSOLVENT: "red"}
MARKS = {Health.MARGIN_CALL: "!", Health.LIQUIDATABLE: "!!", Health.INSOLVENT: "!!!"}
HOURS_BETWEEN_LINES = 3


def chapter(title: str) -> None:
    """Begin a part of the demonstration."""
    click.secho(f"\n{title}", bold=True)


def books(story: Story) -> None:
    """Print every book's requirement in all three generations."""
    header = ("isolated", "portfolio", "saving", "predictive", "saving", "equity", "if isolated")
    click.echo(f"{'initial margin, USD':<{NAME + 4}}" + "".join(f"{h:>{COLUMN}}" for h in header))
    names = [*(book.name for book in story.books), MARKET_MAKER]
    rows = zip(names, story.opening.breakdowns, story.if_isolated, strict=True)
    for name, b, alone in rows:
        of = generations(b)
        cells = [usd(of["isolated"])]
        cells += [text for margin, saved in of["later"] for text in (usd(margin), f"{saved:.0%}")]
        cells += [usd(b.assessment.initial_equity), NAMES[alone]]
        click.echo(f"{name:<{NAME + 4}}" + "".join(f"{cell:>{COLUMN}}" for cell in cells))


def step_header(story: Story) -> None:
    """Explain the lines that follow."""
    click.echo(
        "Equity over initial margin: below 100 % is a margin call (!), !! can be liquidated.\n"
    )
    names = "".join(f"{book.name:>{NAME}}" for book in story.books)
    click.echo(f"{'UTC':<13}{'BTC':>8}{'ETH':>8}{names}")


def step(story: Story, now: Step) -> None:
    """Print a line every few hours, and whenever a book's state changes."""
    previous = story.steps[-2]
    indices = range(len(story.books))
    changed = any(now.health(i) is not previous.health(i) for i in indices)
    if not changed and now.time.hour % HOURS_BETWEEN_LINES != 2:
        return
    cells = "".join(_cell(now, index) for index in indices)
    prices = "".join(f"{price:>8,.0f}" for price in now.prices.values())
    click.echo(f"{now.time:%d %b %H:%M} {prices}{cells}")


def _cell(now: Step, index: int) -> str:
    a, health = now.breakdowns[index].assessment, now.health(index)
    cover = f"{a.initial_equity / a.initial_margin:.0%}" if a.initial_margin else "no margin"
    text = f"{MARKS.get(health, '')} {cover}".rjust(NAME)
    return click.style(text, fg=COLOURS[health]) if health in COLOURS else text


def what_if(asked: WhatIf) -> None:
    """Print what the lens answered."""
    before, after = asked.before, asked.after
    margins = [usd(b.assessment.initial_margin) for b in (before, after)]
    click.secho(
        f"  lens: {asked.book.name}, {NAMES[Health(before.health)]}. If it were to {asked.trade}: "
        f"initial margin {margins[0]} → {margins[1]} USD, {NAMES[Health(after.health)]}",
        fg="cyan",
    )


def fuzz(rows: list[FuzzRow]) -> None:
    """Print the campaign's results by kind."""
    click.echo(f"{'kind':<{NAME}}{'cases':>12}{'errors':>12}{'disagree':>12}{'cases/s':>12}")
    for row in rows:
        click.echo(
            f"{row.kind:<{NAME}}{row.cases:>12,}{row.errors:>12,}{row.disagreements:>12,}"
            f"{row.rate:>12,.0f}"
        )
