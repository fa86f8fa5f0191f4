"""Measure gas, sizes, rates and errors: ``ape run bench``."""

import json
import sys
from pathlib import Path

import ape
import click
from ape.cli import ConnectedProviderCommand
from ape.logging import LogLevel, logger
from tqdm import tqdm

from scripts.backtesting import data
from scripts.benchmarks import coverage, gas, rates

RESULT = Path("bench.json")
SNAPSHOT = Path("tests/gas_snapshot.json")


@click.command(cls=ConnectedProviderCommand)
@click.option("--check", is_flag=True, help="Gas and sizes alone: fail unless as in the snapshot.")
@click.option("--update", is_flag=True, help="Gas and sizes alone: write the snapshot.")
def cli(check: bool, update: bool) -> None:
    """Measure what the engine costs and how fast its checks are."""
    with tqdm(desc="bench", unit=" steps") as bar, logger.at_level(LogLevel.ERROR):

        def step(what: str) -> None:
            bar.set_description(what)
            bar.update()

        # Fresh accounts of a fresh chain: gas depends on addresses through the calldata.
        accounts = ape.accounts.test_accounts
        figures = gas.measure((accounts[0], accounts[1], accounts[2]), step)
        if not (check or update):
            figures |= rates.rates(accounts[3], Path("out/fuzz"), step) | rates.errors(step)
            figures |= rates.faults_on_paths(step)
            figures |= coverage.backtest(data.FOLDER, step)
    if check:
        sys.exit(compare(figures, json.loads(SNAPSHOT.read_text())))
    if update:
        SNAPSHOT.write_text(json.dumps(figures, indent=2) + "\n")
    else:
        RESULT.write_text(json.dumps(figures, indent=2) + "\n")
    for key, value in figures.items():
        click.echo(f"{key:<40}{show(value):>16}")


def compare(figures: dict[str, int], snapshot: dict[str, int]) -> int:
    """Say what differs from the snapshot; return 1 if anything does."""
    differing = 0
    for key in sorted(figures | snapshot):
        before, now = snapshot.get(key), figures.get(key)
        if before != now:
            differing = 1
            click.echo(f"{key}: {before} in the snapshot, now {now}")
    if differing:
        click.echo("if this is meant, take it over: make bench ARGS=--update")
    else:
        click.echo(f"gas and sizes are those of {SNAPSHOT} ({len(figures)} figures)")
    return differing


def show(value: float) -> str:
    """Whole numbers with separators, small ones in scientific notation."""
    return f"{value:,.0f}" if value >= 1 or value == 0 else f"{value:.2e}"
