"""Real books through a real crash, with a report: `ape run demo`."""

import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import click
from ape import accounts, networks
from ape.cli import ConnectedProviderCommand, network_option
from ape.exceptions import ApeException
from ape.logging import LogLevel, logger

from reference_model.types import Health
from scripts._accounts import remember_test_accounts
from scripts._configuration import DEFAULT_PATH, Configuration, Expiries, load_configuration
from scripts._deployment import Deployment, deploy
from scripts._options import out_option
from scripts._running import INTERRUPTED, listen_to_interrupts
from scripts.demonstration import console, report
from scripts.demonstration.crash_day import console as crash_day
from scripts.demonstration.crash_day.market import thin
from scripts.demonstration.crash_day.record import Day
from scripts.demonstration.crash_day.replay import CALM_STEPS, Replay
from scripts.demonstration.crash_day.venue import Cast
from scripts.demonstration.ledger import Actors
from scripts.demonstration.story import Play, Story
from scripts.fuzzing import campaign, subjects

OUTPUT = Path("out") / "demo"
# Of the accounts of the crash day; steps of its market in an hour.
DAY_SEED, HOURLY = 1, 30


class Settings(NamedTuple):
    """How much of everything.

    Attributes
    ----------
    hours
        Between two steps of the market; a divisor of 48.
    cases
        Of the fuzz campaign, at least.
    seed
        Of the fuzz campaign.
    folder
        Where the report goes.
    accounts
        Of the crash day.
    calm_steps
        Steps of its market at a time, two minutes each, while nothing happens.
    """

    hours: int
    cases: int
    seed: int
    folder: Path
    accounts: int
    calm_steps: int = CALM_STEPS


class Result(NamedTuple):
    """What came of it."""

    story: Story
    day: Day
    fuzz: list[report.FuzzRow]
    page: Path
    picture: Path

    @property
    def disagreements(self) -> int:
        """Of the models with the chain, books and cases together; and of the books with sums."""
        found = len(self.story.disagreements) + report.total(self.fuzz).disagreements
        return found + len(self.day.failures)


def demonstrate(deployment: Deployment, actors: Actors, settings: Settings) -> Result:
    """Run the whole demonstration on a fresh deployment of a local chain."""
    started = time.perf_counter()
    console.chapter("Books: real option chain, signed orders, one admission check per batch")
    play = Play(deployment, actors, settings.hours)
    story = play.story
    play.open_books()
    console.books(story)

    console.chapter("Crash: 4 to 7 February 2026, requirement and state as prices move")
    _crash(play)
    click.echo(
        f"{story.compared:,} states of accounts recomputed: {len(story.disagreements)} "
        "disagreements with the exact model (to the wei) and the numpy model (within its bound)\n"
        f"cash unaccounted for: {story.unaccounted_cash} wei; funding paid by each long unit: "
        + ", ".join(f"{paid:+,.2f} USD on {symbol}" for symbol, paid in story.funding.items())
    )

    console.chapter(
        f"Fuzz: {settings.cases:,} random cases on the same chain, seed {settings.seed}"
    )
    fuzz = _fuzz(deployment, actors, settings)

    console.chapter("Crash day: 10 October 2025, at half the shipped margin")
    day = _crash_day(settings)

    seconds = time.perf_counter() - started
    page, picture = report.write(story, day, fuzz, settings.seed, seconds, settings.folder)
    console.chapter(f"Report: {page} and {picture}")
    return Result(story, day, fuzz, page, picture)


def configuration_without_expiries(path: Path = DEFAULT_PATH) -> Configuration:
    """Return the configuration of a deployment to which the real expiries are added later."""
    configuration = load_configuration(path)
    underlyings = {
        symbol: underlying.model_copy(update={"expiries": Expiries()})
        for symbol, underlying in configuration.underlyings.items()
    }
    return configuration.with_feed().model_copy(update={"underlyings": underlyings})


def _crash(play: Play) -> None:
    """Play the crash; ask the lens about every book that leaves the healthy state."""
    story, asked = play.story, set()
    console.step_header(story)
    for step in play.crash():
        console.step(story, step)
        for index in range(len(story.books)):
            if step.health(index) is not Health.HEALTHY and index not in asked:
                asked.add(index)
                console.what_if(play.hedge(step, index))
    play.finish()


def _fuzz(deployment: Deployment, actors: Actors, settings: Settings) -> list[report.FuzzRow]:
    everything = subjects.deploy(actors.deployer, deployment)
    kept = settings.folder / "disagreements"
    # Sharing them out among the kinds may round half a case down for each.
    tallies = campaign.run(everything, settings.cases + len(everything), settings.seed, kept)
    rows = report.fuzz_rows(tallies)
    console.fuzz([*rows, report.total(rows)])
    if report.total(rows).cases < settings.cases:
        raise KeyboardInterrupt
    return rows


def _crash_day(settings: Settings) -> Day:
    """Replay the day on a deployment of its own."""
    deployer, _, market_maker, sponsor, *others = accounts.test_accounts
    cast = Cast(deployer, sponsor, market_maker, tuple(others[:2]), tuple(others[2:]))
    deployment = deploy(thin(configuration_without_expiries()), deployer)
    with TemporaryDirectory() as folder:
        replay = Replay(
            *(deployment, cast, settings.accounts, DAY_SEED),
            *(Path(folder), settings.calm_steps),
        )
        before = replay.open()
        crash_day.header(replay.day)
        for moment in replay.run():
            crash_day.moment(moment, before)
            before = moment
        day = replay.finish()
    crash_day.outcome(day)
    return day


@contextmanager
def _plain_messages() -> Iterator[None]:
    """Say what went wrong and what to do, for trouble that can be foreseen."""
    try:
        with logger.at_level(LogLevel.WARNING):
            yield
    except KeyboardInterrupt:
        click.echo("\nInterrupted: no report was written. Start again with `make demo`.", err=True)
        sys.exit(INTERRUPTED)
    except OSError as error:
        if error.filename is None:  # what the client of the chain raises
            raise click.ClickException(
                "the chain does not answer any more (was Anvil stopped?): start again with "
                "`make demo`"
            ) from error
        if "oracle_mock" in str(error.filename):
            hint = "bring the market data back with `git checkout -- oracle_mock`"
        else:
            hint = "choose another folder for the report with `--out`"
        raise click.ClickException(f"{error.filename}: {error.strerror}; {hint}") from error
    except ApeException as error:
        raise click.ClickException(
            f"the chain refused: {error}\nStart again with `make demo`; if it fails again, "
            "`make clean demo` sets everything up anew."
        ) from error


@click.command(cls=ConnectedProviderCommand)
@network_option()
@click.option(
    "--hours",
    type=click.Choice(["1", "2", "3", "4", "6", "12"]),
    default="1",
    show_default=True,
    help="Hours between two steps of the market.",
)
@click.option(
    "--cases",
    type=click.IntRange(min=1),
    default=100_000,
    show_default=True,
    help="Cases of the fuzz campaign.",
)
@click.option("--seed", type=int, help="Seed of the fuzz campaign; a new one by default.")
@out_option(OUTPUT, "Folder of the report.")
@click.option(
    "--accounts",
    "count",
    type=click.IntRange(20, 2_000),
    default=500,
    show_default=True,
    help="Accounts of the crash day.",
)
@click.option("--quick", is_flag=True, help="Steps of twelve hours, 2,000 cases, 60 accounts.")
def cli(hours: str, cases: int, seed: int | None, folder: Path, count: int, quick: bool) -> None:
    """Margin real books through a real crash, fuzz the contracts, write a report."""
    if not networks.provider.network.is_dev:
        raise click.ClickException(
            "the demonstration mints tokens and moves the clock: run it on a local chain, which "
            "`ape run demo` starts by itself"
        )
    remember_test_accounts()
    listen_to_interrupts()
    seed = secrets.randbelow(2**32) if seed is None else seed
    settings = Settings(int(hours), cases, seed, folder, count)
    if quick:
        settings = settings._replace(hours=12, cases=2_000, accounts=60, calm_steps=HOURLY)
    with _plain_messages():
        started = time.perf_counter()
        console.chapter("Deploy: every contract and parameter of scripts/deploy.yaml")
        actors = Actors(*accounts.test_accounts[:4])
        deployment = deploy(configuration_without_expiries(), actors.deployer, show_progress=True)
        click.echo(f"MarginEngine at {deployment.margin_engine.address}")
        result = demonstrate(deployment, actors, settings)
        click.echo(f"{time.perf_counter() - started:.0f} seconds in all")
    sys.exit(result.disagreements > 0)
