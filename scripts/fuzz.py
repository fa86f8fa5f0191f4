"""Compare the contracts with the exact model on random cases: ``ape run fuzz``."""

import secrets
import sys
from pathlib import Path

import ape
import click
from ape.cli import ConnectedProviderCommand
from tqdm import tqdm

from oracle_mock import catalogue
from scripts._running import INTERRUPTED, listen_to_interrupts
from scripts.fuzzing import campaign, faults, subjects

FOLDER = Path("out/fuzz")


@click.command(cls=ConnectedProviderCommand)
@click.option(
    "--cases",
    type=click.IntRange(min=1),
    default=100_000,
    show_default=True,
    help="Outcomes to compare.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), help="Campaign to repeat; a new one by default."
)
@click.option(
    "--first",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Batch, or trial of --faults, to start with: to go on after an interruption.",
)
@click.option(
    "--only", default="", help="Only subjects, or paths of --faults, whose name begins with this."
)
@click.option(
    "--replay",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Kept case to compare again.",
)
@click.option("--faults", "tries_faults", is_flag=True, help="Try faults on price paths instead.")
def cli(
    cases: int, seed: int | None, first: int, only: str, replay: Path | None, tries_faults: bool
) -> None:
    """Compare contracts and exact model, outcome by outcome, value or error."""
    if tries_faults:
        sys.exit(try_faults(secrets.randbelow(2**32) if seed is None else seed, first, only))
    everything = subjects.deploy(ape.accounts.test_accounts[0])
    if replay:
        try:
            agree, text = campaign.replay(everything, replay)
        except campaign.NoKeptCase as error:
            raise click.ClickException(str(error)) from error
        click.echo(f"{text}\n  {'they agree' if agree else 'THEY DISAGREE'}")
        sys.exit(not agree)
    chosen = [subject for subject in everything if subject.name.startswith(only)]
    if not chosen:
        names = ", ".join(subject.name for subject in everything)
        raise click.ClickException(f"no subject begins with {only!r}; there are {names}")
    seed = secrets.randbelow(2**32) if seed is None else seed
    planned = campaign.planned(chosen, cases, first)
    if not planned:
        raise click.ClickException(f"{cases} cases have fewer than {first} batches: lower --first")
    click.echo(f"seed {seed}: comparing {planned} cases of {len(chosen)} kinds")
    listen_to_interrupts()
    tallies = campaign.run(chosen, cases, seed, FOLDER, first=first, only=only)
    click.echo(table(tallies))
    disagreements = sum(len(tally.disagreements) for tally in tallies.values())
    click.echo(f"seed {seed}: {disagreements} disagreements")
    is_whole = sum(tally.cases for tally in tallies.values()) == planned
    sys.exit(1 if disagreements else 0 if is_whole else INTERRUPTED)


def table(tallies: dict[str, campaign.Tally]) -> str:
    """Cases, errors among them, disagreements and rate of every subject."""
    lines = [f"{'subject':<28}{'cases':>10}{'errors':>10}{'differ':>8}{'cases/s':>10}"]
    for name, tally in tallies.items():
        rate = tally.cases / tally.seconds if tally.seconds else 0.0
        lines.append(
            f"{name:<28}{tally.cases:>10}{tally.errors:>10}"
            f"{len(tally.disagreements):>8}{rate:>10.0f}"
        )
    return "\n".join(lines)


def try_faults(seed: int, first: int, only: str) -> int:
    """Try every fault of a minority of sources on every path; return the exit code."""
    chosen = [t for t in faults.trials(seed) if t.path.startswith(only)][first:]
    if not chosen:
        names = ", ".join(catalogue.PATHS)
        raise click.ClickException(f"no trial is left: paths are {names}, and --first is {first}")
    listen_to_interrupts()
    bar = tqdm(chosen, unit="trial", disable=None)  # None: unless on a terminal
    tally = faults.Tally()
    try:
        for trial in bar:
            bar.set_description(f"{trial.path}, {trial.fault.kind}")
            tally.add(trial, faults.run(trial))
    except KeyboardInterrupt:
        again = f"--faults --seed {seed} --first {first + tally.trials}"
        again += f" --only {only}" if only else ""
        click.echo(f"\nInterrupted. Go on with: ape run fuzz {again}", err=True)
    click.echo(
        f"seed {seed}: {tally.trials} faults on paths, {len(tally.losses)} losses; attackers took "
        f"{tally.withdrawals:,.0f} USD that was theirs, at most {tally.worst:.0%} of a bound was "
        f"used; one source taken at its word would have lost {tally.naive:,.0f} USD"
    )
    for loss in tally.losses:
        click.echo(f"  {loss}")
    return 1 if tally.losses else 0 if tally.trials == len(chosen) else INTERRUPTED
