"""Compare the contracts with the exact model on random cases: ``ape run fuzz``."""

import secrets
import sys
from pathlib import Path

import ape
import click
from ape.cli import ConnectedProviderCommand

from scripts.fuzzing import campaign, subjects

FOLDER = Path("out/fuzz")


@click.command(cls=ConnectedProviderCommand)
@click.option("--cases", default=100_000, show_default=True, help="Outcomes to compare.")
@click.option("--seed", type=int, help="Campaign to repeat; a new one by default.")
@click.option("--first", default=0, help="Batch to start with, to go on after an interruption.")
@click.option("--only", default="", help="Only subjects whose name begins with this.")
@click.option(
    "--replay", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Kept case."
)
def cli(cases: int, seed: int | None, first: int, only: str, replay: Path | None) -> None:
    """Compare contracts and exact model, outcome by outcome, value or error."""
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
