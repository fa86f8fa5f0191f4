"""Compare the contracts with the exact model on random cases: ``ape run fuzz``."""

import secrets
import signal
import sys
from pathlib import Path

import ape
import click
from ape.cli import ConnectedProviderCommand
from tqdm import tqdm

from oracle_mock import catalogue
from scripts.fuzzing import campaign, faults, subjects

FOLDER = Path("out/fuzz")


@click.command(cls=ConnectedProviderCommand)
@click.option("--cases", default=100_000, show_default=True, help="Outcomes to compare.")
@click.option("--seed", type=int, help="Campaign to repeat; a new one by default.")
@click.option("--first", default=0, help="Batch to start with, to go on after an interruption.")
@click.option("--only", default="", help="Only subjects whose name begins with this.")
@click.option(
    "--replay", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Kept case."
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
        agree, text = campaign.replay(everything, replay)
        click.echo(f"{text}\n  {'they agree' if agree else 'THEY DISAGREE'}")
        sys.exit(not agree)
    chosen = [subject for subject in everything if subject.name.startswith(only)]
    if not chosen:
        names = ", ".join(subject.name for subject in everything)
        raise click.ClickException(f"no subject begins with {only!r}; there are {names}")
    seed = secrets.randbelow(2**32) if seed is None else seed
    click.echo(f"seed {seed}: comparing {cases} cases of {len(chosen)} kinds")
    tallies = campaign.run(chosen, cases, seed, FOLDER, first=first)
    click.echo(table(tallies))
    disagreements = sum(len(tally.disagreements) for tally in tallies.values())
    click.echo(f"seed {seed}: {disagreements} disagreements")
    sys.exit(disagreements > 0)


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
    """Try every fault of a minority of sources on every path; return whether anything was lost."""
    chosen = [t for t in faults.trials(seed) if t.path.startswith(only)][first:]
    if not chosen:
        names = ", ".join(catalogue.PATHS)
        raise click.ClickException(f"no trial is left: paths are {names}, and --first is {first}")
    # `ape run` would end the command without a word.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    bar = tqdm(chosen, unit="trial")
    tally = faults.Tally()
    try:
        for trial in bar:
            bar.set_description(f"{trial.path}, {trial.fault.kind}")
            tally.add(trial, faults.run(trial))
    except KeyboardInterrupt:
        again = f"--faults --seed {seed} --first {first + tally.trials}"
        click.echo(f"\nInterrupted. Go on with: ape run fuzz {again}", err=True)
    click.echo(
        f"seed {seed}: {tally.trials} faults on paths, {len(tally.losses)} losses; attackers took "
        f"{tally.withdrawals:,.0f} USD that was theirs, at most {tally.worst:.0%} of a bound was "
        f"used; one source taken at its word would have lost {tally.naive:,.0f} USD"
    )
    for loss in tally.losses:
        click.echo(f"  {loss}")
    return bool(tally.losses)
