"""Coverage, procyclicality and efficiency of margins on real histories, by the backtest."""

import json
from collections.abc import Callable
from pathlib import Path

import click

from scripts.backtesting import data, report, study

MEASURED = "backtest.measured_here"


def backtest(folder: Path, step: Callable[[str], None]) -> dict[str, float]:
    """Run the backtest at its defaults; without the histories quote what was last published.

    Parameters
    ----------
    folder
        Of the full histories, which are no part of the repository.
    step
        Told what is being done.

    Returns
    -------
    dict
        `MEASURED` is 1 if it was run, 0 if the figures are those of ``docs/backtest.json``.
    """
    try:
        step("reading histories")
        sources = data.read(folder)
    except data.MissingData:
        click.echo(f"no histories in {folder}: backtest figures are those of {report.PUBLISHED}")
        return {MEASURED: 0, **json.loads(report.PUBLISHED.read_text())}
    results = study.run(sources.hourly, study.Settings(sweep=False), step)
    return {MEASURED: 1, **report.figures(results)}
