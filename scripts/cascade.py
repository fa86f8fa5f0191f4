"""Simulate liquidation cascades under every policy: ``ape run cascade``."""

import sys
from dataclasses import asdict
from pathlib import Path

import click
from tqdm import tqdm

from scripts._options import out_option
from scripts._running import INTERRUPTED, listen_to_interrupts, with_folder, writing
from scripts.cascading import figure, study
from scripts.cascading.study import BAD, WORST, Case, Progress, Settings, Summary

OUTPUT = Path("out/cascade")
RUNS_BETWEEN_SAVES = 50


def simulate(progress: Progress, state: Path) -> None:
    """Make all runs, with a bar; keep them if interrupted."""
    listen_to_interrupts()
    _save(progress, state)  # Whether that can be is better known at once.
    total = len(study.runs(Settings(**progress.settings)))
    bar = tqdm(total=total, initial=len(progress.rows), unit="run", disable=None)
    try:
        with bar:
            for case in study.play(progress):
                bar.set_description(f"{case.part} {case.setting} {case.at}")
                bar.update()
                if len(progress.rows) % RUNS_BETWEEN_SAVES == 0:
                    _save(progress, state)
    except KeyboardInterrupt:
        _save(progress, state)
        click.echo(
            f"\nInterrupted after {len(progress.rows)} of {total} runs. "
            f"Go on with: {with_folder('ape run cascade --resume', state.parent, OUTPUT)}",
            err=True,
        )
        sys.exit(INTERRUPTED)


def _save(progress: Progress, state: Path) -> None:
    with writing(state):
        progress.save(state)


def _interrupted(state: Path) -> Progress:
    """Return the study to go on with."""
    try:
        return Progress.load(state)
    except OSError as error:
        raise click.ClickException(f"there is no interrupted study in {state.parent}") from error
    except (ValueError, TypeError) as error:
        raise click.ClickException(
            f"{state} cannot be resumed ({error}): start anew, without --resume"
        ) from error


def table(summaries: dict[Case, Summary]) -> str:
    """Compare the policies on three falls and a real day."""
    falls = [("policies", "0.05"), ("policies", f"{BAD:g}"), ("policies", f"{WORST:g}")]
    lines = [
        f"{'':18}{'fall':>12}{'forced/':>15}{'overshoot':>15}{'paid by':>15}{'cost to':>15}"
        f"{'minutes':>9}",
        f"{'policy':18}{'':>12}{'under water':>15}{'%':>15}{'fund, %':>15}{'owners, %':>15}"
        f"{'to clear':>9}",
    ]
    for part, at in [*falls, ("days", study.DAY)]:
        for policy in study.POLICIES:
            mean, half = summaries[Case(part, policy, at)]
            cells = (
                f"{scale * mean[name]:8.2f} ± {scale * half[name]:4.2f}"
                for name, scale in (
                    ("amplification", 1),
                    ("overshoot", 100),
                    ("fund", 100),
                    ("cost", 100),
                )
            )
            fall = f"{float(at):.0%}" if part == "policies" else at
            minutes = f"{mean['clear_seconds'] / 60:9.0f}"
            lines.append(f"{policy:18}{fall:>12}{''.join(cells)}{minutes}")
    return "\n".join(lines)


def changes(differences: dict[Case, Summary]) -> str:
    """Say what a change of one default does to a bad day and to one worse than any."""
    names = (("overshoot", 100), ("fund", 100), ("cost", 100))
    heads = [f"{name} at {fall:.0%}" for fall in (BAD, WORST) for name, _ in names]
    lines = [
        "Change of one default, percentage points, by the same seeds:",
        f"{'':40}{''.join(f'{head:>18}' for head in heads)}",
    ]
    for case in differences:
        if case.at == f"{BAD:g}":
            cells = ""
            for fall in (BAD, WORST):
                mean, half = differences[case._replace(at=f"{fall:g}")]
                cells += "".join(f"{k * mean[n]:+10.2f} ± {k * half[n]:5.2f}" for n, k in names)
            lines.append(f"{case.part:26}{case.setting:>14}{cells}")
    return "\n".join(lines)


@click.command()
@click.option(
    "--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Study to repeat."
)
@click.option(
    "--accounts",
    type=click.IntRange(min=50),
    default=2_000,
    show_default=True,
    help="Accounts in every run.",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=2),
    default=5,
    show_default=True,
    help="Runs of each policy and fall; fewer elsewhere.",
)
@out_option(OUTPUT, "Folder of tables, picture and of a study that was interrupted.")
@click.option("--resume", is_flag=True, help="Go on with the study that was interrupted.")
def cli(seed: int, accounts: int, seeds: int, folder: Path, resume: bool) -> None:
    """Simulate liquidation cascades, write tables and a picture."""
    state = folder / "progress.json"
    settings = Settings(seed, accounts, seeds)
    progress = _interrupted(state) if resume else Progress(asdict(settings))
    settings = Settings(**progress.settings)
    click.echo(
        f"seed {settings.seed}, {settings.accounts:,} accounts, {settings.seeds} runs of each"
    )
    simulate(progress, state)
    summaries = study.summarise(progress.rows)
    with writing(folder):
        study.write_tables(progress, folder)
    note = (
        f"{settings.accounts:,} accounts, {len(progress.rows):,} runs; bands are 95 % confidence "
        "over seeds. What it assumes, and what follows: docs/cascade.md"
    )
    with writing(folder):
        figure.write(summaries, study.traces(settings), note, folder / "cascade.png")
    state.unlink(missing_ok=True)
    click.echo(f"\n{table(summaries)}\n\n{changes(study.differences(progress.rows))}")
    click.echo(f"\n{folder}: cascade.png, summary.csv, differences.csv, runs.csv")
