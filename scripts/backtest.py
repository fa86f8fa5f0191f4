"""Test margins on the real histories: ``ape run backtest``."""

import json
import sys
from pathlib import Path

import click
from tqdm import tqdm

from scripts._options import out_option
from scripts._running import INTERRUPTED, listen_to_interrupts
from scripts.backtesting import data, figures, report, study
from scripts.backtesting.report import PUBLISHED
from scripts.backtesting.study import QUICK_DAYS, Settings

OUTPUT = Path("out/backtest")


def measure(folder: Path, settings: Settings) -> tuple[study.Results, data.Sources]:
    """Read the histories and run everything, with a bar."""
    listen_to_interrupts()
    try:
        click.echo(f"reading {folder}")
        sources = data.read(folder)
        with tqdm(total=study.steps(sources.hourly, settings), disable=None) as bar:

            def step(what: str) -> None:
                bar.set_description(what)
                bar.update()

            return study.run(sources.hourly, settings, step), sources
    except data.MissingData as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        click.echo("\nInterrupted; nothing was written.", err=True)
        sys.exit(INTERRUPTED)


@click.command()
@click.option(
    "--data",
    "source",
    type=click.Path(file_okay=False, path_type=Path),
    default=data.FOLDER,
    show_default=True,
    help="Folder of the full histories.",
)
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Of books.")
@click.option("--quick", is_flag=True, help="The last days at the defaults, no sweep.")
@out_option(OUTPUT, "Folder of report, tables and pictures.")
@click.option("--publish", is_flag=True, help=f"Write {PUBLISHED} and its pictures anew.")
def cli(source: Path, seed: int, quick: bool, folder: Path, publish: bool) -> None:
    """Backtest the three generations of margin, write a report with plots."""
    if quick and publish:
        raise click.ClickException("what is published is a whole run: leave out --quick")
    settings = Settings(seed, days=QUICK_DAYS, sweep=False) if quick else Settings(seed)
    results, sources = measure(source, settings)
    text = report.write(results, data.ratios(sources), folder)
    names = figures.write(results, folder)
    if publish:
        found = report.figures(results)
        PUBLISHED.write_text(json.dumps(found, indent=2) + "\n")
        figures.write(results, PUBLISHED.parent)
    click.echo(f"\n{text}\n\n{folder}: report.md, {', '.join(names)}, and tables (csv)")
