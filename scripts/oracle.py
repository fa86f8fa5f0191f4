"""Play a price path with faults against a deployment: `ape run oracle`."""

import math
import re
import secrets
import sys
from pathlib import Path

import click
from ape import networks
from ape.cli import ConnectedProviderCommand, network_option
from ape.exceptions import ApeException
from ape.logging import LogLevel, logger
from tqdm import tqdm

from oracle_mock import catalogue, faults
from scripts._accounts import remember_test_accounts
from scripts._deployment import (
    Deployment,
    DeploymentError,
    Manifest,
    choose_account,
    manifest_option,
    manifest_path,
)
from scripts._options import Number, out_option
from scripts._running import INTERRUPTED, listen_to_interrupts, with_folder
from scripts.playback import figure, record
from scripts.playback.player import FaultPlan, Player, Progress, Settings, begin, catch_up

OUTPUT = Path("out") / "oracle"
# Slower than this, a step of half an hour would take three weeks.
SLOWEST = 0.001
UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def parse_duration(text: str) -> int:
    """Return seconds from ``90s``, ``30m``, ``2h``, ``1d``, or parts of these like ``1h30m``."""
    parts = re.findall(r"(\d+)([smhd])", text)
    if not parts or "".join(map("".join, parts)) != text:
        raise click.BadParameter(f"'{text}' is no duration: write 90s, 30m, 2h, 1d or 1h30m")
    return sum(int(count) * UNITS[unit] for count, unit in parts)


def parse_sources(text: str) -> tuple[int, ...]:
    """Return numbers of sources from ``1,3``."""
    if not re.fullmatch(r"[1-9](,[1-9])*", text):
        raise click.BadParameter(f"'{text}' are no sources: write their numbers, like 1 or 1,3")
    return tuple(dict.fromkeys(int(number) for number in text.split(",")))


def parse_fault(text: str, defaults: tuple[str, str, str, str]) -> FaultPlan:
    """Return a fault from ``KIND[:ASSET[:SOURCES[:FROM[:FOR[:SIZE]]]]]``, the rest by default."""
    kind, *given = text.split(":")
    if kind not in faults.KINDS:
        raise click.BadParameter(f"no fault '{kind}'; there are {', '.join(faults.KINDS)}")
    if len(given) > 5:
        raise click.BadParameter(f"'{text}': write KIND:ASSET:SOURCES:FROM:FOR:SIZE")
    asset, numbers, start, duration = (
        given[place] if place < len(given) and given[place] else default
        for place, default in enumerate(defaults)
    )
    size = None
    if len(given) == 5:
        if faults.KINDS[kind].size is None:
            raise click.BadParameter(f"{kind} has no size")
        try:
            size = float(given[4])
        except ValueError as error:
            raise click.BadParameter(f"size '{given[4]}' is no number") from error
        if not math.isfinite(size):
            raise click.BadParameter(f"size '{given[4]}' is not finite")
    seconds = parse_duration(duration)
    if seconds == 0:
        raise click.BadParameter(f"'{text}' lasts no time: give --for")
    return FaultPlan(kind, asset, parse_sources(numbers), parse_duration(start), seconds, size)


def listing() -> str:
    """Say what can be played."""
    lines = ["Paths (--path):"]
    lines += [f"  {name:<22}{named.text}" for name, named in catalogue.PATHS.items()]
    lines += ["", "Faults (--fault):"]
    for name, kind in faults.KINDS.items():
        size = f" Size: {kind.meaning}, {kind.size:g} by default." if kind.size else ""
        lines += [f"  {name:<22}{kind.text}{size}"]
    return "\n".join(lines)


def play(player: Player, folder: Path) -> None:
    """Play to the end with a bar; keep the run if it is interrupted."""
    listen_to_interrupts()
    progress = player.progress
    state = folder / "run.json"
    record.save(progress, state)
    start, end = progress.position, player.steps
    bar = tqdm(total=end, initial=start, unit="step", disable=None)  # None: unless on a terminal
    try:
        with bar:
            for step, rows in player.play():
                bar.set_description("halted" if step.halted else _said(rows))
                bar.update()
                record.save(progress, state)
    except KeyboardInterrupt:
        record.save(progress, state)
        click.echo(
            f"\nInterrupted after {progress.position} of {player.steps} steps. "
            f"Go on with: {with_folder('ape run oracle --resume', folder, OUTPUT)}",
            err=True,
        )
        sys.exit(INTERRUPTED)
    except ApeException:
        record.save(progress, state)
        raise
    state.unlink(missing_ok=True)


def _said(rows: list[dict]) -> str:
    return ", ".join(
        f"{row['name']} {row['price']:,.4g}{' disputed' if row['disputed'] else ''}" for row in rows
    )


def _new(
    deployment: Deployment, manifest: Path, settings: Settings, watched: list[str]
) -> Progress:
    """Begin a run, after checking that the deployment has the prices that are to fail."""
    known = [*deployment.manifest.feeds, *deployment.manifest.sources] or [
        *deployment.manifest.underlyings,
        *(token for token, asset in deployment.manifest.assets.items() if asset),
    ]
    for name in watched:
        if name not in known:
            prices = ", ".join(dict.fromkeys(n for n in known if " leg " not in n))
            raise click.BadParameter(f"no price '{name}' in the deployment; there are {prices}")
    return begin(deployment, str(manifest), settings)


@click.command(cls=ConnectedProviderCommand)
@network_option()
@click.option(
    "--path", "path_name", default="flash-crash", show_default=True, help="What happens: --list."
)
@click.option(
    "--fault",
    "texts",
    multiple=True,
    help="KIND or KIND:ASSET:SOURCES:FROM:FOR:SIZE, several; kinds: --list.",
)
@click.option("--asset", default="ETH", show_default=True, help="Price whose sources fail.")
@click.option("--sources", "numbers", default="1", show_default=True, help="Which, like 1 or 1,3.")
@click.option(
    "--from", "start", default="30m", show_default=True, help="When it begins: 90s, 1h30m."
)
@click.option(
    "--for", "duration", default="30m", show_default=True, help="How long it lasts: 30m, 1d."
)
@click.option("--seed", type=click.IntRange(min=0), help="Run to repeat; a new one by default.")
@click.option(
    "--speed",
    type=Number(min=0),
    default=0,
    show_default="as fast as it goes",
    help="Seconds of the path per second: 1 is real time, 60 a minute a second.",
)
@manifest_option()
@click.option("--account", "alias", help="Account that sends, by its alias in ape.")
@out_option(OUTPUT, "Folder of table, picture and of a run that was interrupted.")
@click.option("--resume", is_flag=True, help="Go on with the run that was interrupted.")
@click.option("--list", "lists", is_flag=True, help="List paths and faults.")
def cli(
    path_name: str,
    texts: tuple[str, ...],
    asset: str,
    numbers: str,
    start: str,
    duration: str,
    seed: int | None,
    speed: float,
    manifest_file: Path | None,
    alias: str | None,
    folder: Path,
    resume: bool,
    lists: bool,
) -> None:
    """Play a price path with faults against a deployment."""
    if lists:
        click.echo(listing())
        return
    if path_name not in catalogue.PATHS:
        raise click.BadParameter(
            f"no path '{path_name}'; there are {', '.join(catalogue.PATHS)}", param_hint="--path"
        )
    plans = tuple(parse_fault(text, (asset, numbers, start, duration)) for text in texts)
    if 0 < speed < SLOWEST:
        raise click.BadParameter(f"{speed} is too slow: at least {SLOWEST}", param_hint="--speed")
    if not networks.provider.network.is_dev and speed != 1:
        raise click.ClickException(
            f"the clock of {networks.provider.network.name} cannot be moved: play in real time, "
            "with --speed 1"
        )
    remember_test_accounts()
    progress = record.load(folder / "run.json") if resume else None
    file = Path(progress.manifest) if progress else manifest_file or manifest_path()
    deployment = Deployment.of(Manifest.read(file))
    account = choose_account(alias)
    try:
        with logger.at_level(LogLevel.ERROR):
            if progress:
                catch_up(progress)
            else:
                seed = secrets.randbelow(2**32) if seed is None else seed
                settings = Settings(path_name, seed, plans, speed)
                progress = _new(deployment, file, settings, [plan.asset for plan in plans])
            settings = progress.settings
            click.echo(f"path {settings['path']}, seed {settings['seed']}")
            play(Player(deployment, account, progress), folder)
    except ApeException as error:
        raise DeploymentError(
            f"the chain refused: {error}\nGo on with "
            f"`{with_folder('ape run oracle --resume', folder, OUTPUT)}`, or start anew"
        ) from error
    name = "-".join([settings["path"], *dict.fromkeys(f["kind"] for f in settings["faults"])])
    record.write_table(progress, folder / f"{name}.csv")
    figure.write(progress, folder / f"{name}.png")
    click.echo(record.summary(progress))
    click.echo(f"\n{folder / name}.csv and .png")
