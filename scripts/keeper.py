"""Keep an engine: `ape run keeper` liquidates; its companions settle, accrue, post and publish."""

import math
import signal
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from ape import networks
from ape.api import AccountAPI
from ape.cli import ConnectedProviderCommand, network_option
from ape.exceptions import ApeException
from ape.logging import LogLevel, logger

from scripts._accounts import format_account, parse_account, remember_test_accounts
from scripts._deployment import (
    Deployment,
    DeploymentError,
    Manifest,
    choose_account,
    manifest_option,
    manifest_path,
)
from scripts._hub import mock_signers
from scripts._options import Number
from scripts.keeping import chores, files, publishing
from scripts.keeping.chain import Chain, NodeError, methods
from scripts.keeping.checkpoint import Checkpoint, CheckpointError
from scripts.keeping.files import PriceRow, SliceRow
from scripts.keeping.follower import follower
from scripts.keeping.hand import Hand, Limits, network_currency
from scripts.keeping.histories import dates, read_history
from scripts.keeping.market import MarketReader
from scripts.keeping.posting import Poster
from scripts.keeping.pricing import Terms
from scripts.keeping.telemetry import Metrics, configure_logs
from scripts.keeping.watch import Keeper, Settings

OUTPUT = Path("out") / "keeper"
WAD = 10**18


class Default(click.Group):
    """A group whose first command is meant where none is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        is_watch = not args or (args[0].startswith("-") and args[0] not in ("--help", "-h"))
        return super().parse_args(ctx, ["watch", *args] if is_watch else args)


@click.group(cls=Default)
def cli() -> None:
    """Keep an engine: watch and liquidate (the default), settle, accrue, post and publish.

    Nothing is sent without --execute. Options of the default: watch --help.
    """


def command(name: str, *options: Callable) -> Callable:
    """Declare a command with the options that all have, and its own."""
    shared = (
        network_option(),
        manifest_option(),
        click.option("--account", "alias", help="Account that pays, by its alias in ape."),
        click.option("--execute", is_flag=True, help="Send; without it, only say what would be."),
        click.option(
            "--log-format",
            type=click.Choice(["auto", "console", "json"]),
            default="auto",
            show_default=True,
            help="One line per event; auto: JSON unless on a terminal.",
        ),
    )

    def declare(function: Callable) -> click.Command:
        for option in reversed((*shared, *options)):
            function = option(function)
        return cli.command(name=name, cls=ConnectedProviderCommand)(function)

    return declare


def dollars(name: str, default: float, text: str) -> Callable:
    """Declare an option in USD."""
    kind = Number(min=0)
    return click.option(name, type=kind, default=default, show_default=True, help=text)


SPENDING = (
    dollars("--max-spend-run", 100_000, "USD on payments and gas in this run."),
    dollars("--max-spend-day", 250_000, "USD on payments and gas within 24 hours."),
    click.option(
        "--native-usd",
        type=Number(min=0, min_open=True),
        show_default="price of the underlying of that name",
        help="USD per unit of what gas is paid in.",
    ),
    click.option(
        "--checkpoint",
        "checkpoint_file",
        type=click.Path(path_type=Path),
        show_default="out/keeper/<network>-<engine>.sqlite",
        help="File that remembers accounts, blocks read and spending.",
    ),
)
EVENTS = (
    click.option(
        "--from-block",
        type=click.IntRange(min=0),
        show_default="the engine's first",
        help="Where to begin to read events, the first time; worth giving where the node keeps no "
        "old states.",
    ),
    click.option(
        "--confirmations",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        help="Latest blocks whose events wait. Reorganisations are followed in any case.",
    ),
)
SIGNERS = click.option(
    "--signer", "signers", multiple=True, help="Account that signs reports, by alias; several."
)
FILE = click.argument("file", type=click.Path(path_type=Path))


class Desk:
    """What a command works with: a deployment, an account, and where all is remembered."""

    def __init__(
        self, manifest_file: Path | None, alias: str | None, execute: bool, log_format: str
    ) -> None:
        remember_test_accounts()
        configure_logs(log_format)
        self.manifest = Manifest.read(manifest_file or manifest_path())
        self.deployment = Deployment.of(self.manifest)
        self.engine = self.deployment.margin_engine
        self.chain = Chain()
        self.executes = execute
        self.sender = self._sender(alias)

    def _sender(self, alias: str | None) -> AccountAPI | None:
        if alias is None and not self.executes and not networks.provider.network.is_dev:
            return None
        if alias is None and not networks.provider.network.is_dev:
            raise DeploymentError(
                "name the account that pays: --account ALIAS (see `ape accounts list`)"
            )
        return choose_account(alias)

    def checkpoint(self, file: Path | None) -> Checkpoint:
        """Open the checkpoint of this engine."""
        name = f"{self.manifest.network.replace(':', '-')}-{self.engine.address[:10]}.sqlite"
        of = f"{self.manifest.chain_id} {self.manifest.genesis} {self.engine.address}"
        return Checkpoint(file or OUTPUT / name, of)

    def hand(
        self,
        checkpoint: Checkpoint,
        metrics: Metrics,
        per_run: float,
        per_day: float,
        native_usd: float | None,
        speaks_for: str | None = None,
    ) -> Hand:
        """Return the hand that sends, within limits."""
        return Hand(
            self.chain,
            checkpoint,
            metrics,
            self.sender,
            self.executes,
            Limits(per_run, per_day),
            native_usd or self._native_usd(),
            speaks_for,
        )

    def _native_usd(self) -> float:
        symbol = network_currency()
        number = self.manifest.underlyings.get(symbol)
        if number is None:
            raise DeploymentError(
                f"gas is paid in {symbol}, which the deployment has no price of: give --native-usd"
            )
        try:
            spot = self.chain.read(methods(self.deployment.market_data)["spot"](number))
        except NodeError as error:
            raise DeploymentError(
                f"gas is paid in {symbol}, whose price was never posted ({error}): post it with "
                "`ape run keeper push-prices`, or give --native-usd"
            ) from error
        return spot[0] / WAD

    def first_block(self, number: int | None) -> int | None:
        """Require that the block from which events are to be read is there."""
        if number is not None and number > (last := self.chain.head().number):
            raise click.BadParameter(
                f"the chain has got to block {last:,} only", param_hint="--from-block"
            )
        return number

    def account(self, text: str | None) -> int:
        """Return the account that bids: named, or the first of the sender."""
        if text is not None:
            return parse_account(text, self.manifest.accounts)
        if self.sender is None:
            raise click.UsageError("name the account that would bid: --bidder, or --account")
        return int(self.sender.address, 16) << 8


def explained(function: Callable, *arguments: Any) -> Any:
    """Run something; what the node or the chain has against it becomes a message."""
    try:
        with logger.at_level(LogLevel.ERROR):
            return function(*arguments)
    except (NodeError, ApeException) as error:
        raise DeploymentError(f"the chain did not answer as it should: {error}") from error
    except CheckpointError as error:
        raise DeploymentError(str(error)) from error
    except sqlite3.Error as error:
        raise DeploymentError(
            f"the checkpoint cannot be read or written ({error}): is the disk full, or does "
            "another program hold the file?"
        ) from error


def say_dry(executes: bool) -> None:
    """Remind of what a dry run is."""
    if not executes:
        click.echo("Nothing was sent: give --execute to act.", err=True)


@command(
    "watch",
    click.option("--once", is_flag=True, help="One pass, for cron."),
    click.option(
        "--bidder",
        show_default="sub-account 0 of the account that pays",
        help="Account that takes slices over: id, 0xowner:subaccount, or a name of the manifest.",
    ),
    click.option(
        "--poll",
        type=Number(min=0.1, max=86_400),
        default=3,
        show_default=True,
        help="Seconds between two passes.",
    ),
    click.option(
        "--refresh",
        type=Number(min=1),
        default=3_600,
        show_default=True,
        help="Seconds after which all accounts are read again.",
    ),
    click.option(
        "--near",
        type=Number(min=0),
        default=0.05,
        show_default=True,
        help="The chain is asked about accounts with less equity than maintenance margin and this "
        "share of it.",
    ),
    click.option(
        "--risk-rate",
        type=Number(min=0),
        default=0.05,
        show_default=True,
        help="USD wanted per USD that initial margin of the bidder grows; credited for hedges.",
    ),
    click.option(
        "--cushion",
        type=Number(min=0),
        default=0.2,
        show_default=True,
        help="Share of initial margin that the bidder keeps above it.",
    ),
    dollars("--min-profit", 1, "Least profit of a bid after gas, USD."),
    dollars("--max-size", 100_000, "Greatest initial margin of a slice, USD."),
    dollars("--max-payment", 100_000, "Greatest payment for a slice, USD."),
    dollars(
        "--max-start-cost",
        5,
        "USD that a start, an end or deleveraging may cost beyond its reward.",
    ),
    click.option(
        "--metrics-port",
        type=click.IntRange(1, 65_535),
        help="Serve Prometheus metrics on this port of the local host.",
    ),
    *SPENDING,
    *EVENTS,
)
def watch(
    manifest_file: Path | None,
    alias: str | None,
    execute: bool,
    log_format: str,
    once: bool,
    bidder: str | None,
    poll: float,
    refresh: float,
    near: float,
    risk_rate: float,
    cushion: float,
    min_profit: float,
    max_size: float,
    max_payment: float,
    max_start_cost: float,
    metrics_port: int | None,
    max_spend_run: float,
    max_spend_day: float,
    native_usd: float | None,
    checkpoint_file: Path | None,
    from_block: int | None,
    confirmations: int,
) -> None:
    """Find accounts below maintenance margin, put them up for sale, bid for slices."""

    def prepare() -> Keeper:
        desk = Desk(manifest_file, alias, execute, log_format)
        account, metrics = desk.account(bidder), Metrics()
        checkpoint = desk.checkpoint(checkpoint_file)
        owner = format_account(account).partition(":")[0]
        hand = desk.hand(checkpoint, metrics, max_spend_run, max_spend_day, native_usd, owner)
        return Keeper(
            desk.chain,
            desk.engine,
            follower(
                *(desk.chain, desk.deployment, checkpoint, (account,)),
                confirmations=confirmations,
                first_block=desk.first_block(from_block),
                refresh_seconds=refresh,
            ),
            MarketReader(desk.chain, desk.deployment),
            hand,
            metrics,
            Terms(risk_rate, cushion, min_profit, max_size, max_payment),
            Settings(account, near, poll, max_start_cost),
        )

    keeper = explained(prepare)
    if metrics_port:
        serve(keeper.metrics, metrics_port)
    if once:
        explained(keeper.once)
    else:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: keeper.stop())
        explained(keeper.run)
    say_dry(execute)


def serve(metrics: Metrics, port: int) -> None:
    """Serve metrics, or say why not."""
    try:
        metrics.serve(port)
    except OSError as error:
        raise DeploymentError(
            f"metrics cannot be served on port {port} ({error.strerror}): choose another"
        ) from error


def chore(
    manifest_file: Path | None,
    alias: str | None,
    execute: bool,
    log_format: str,
    spending: dict[str, Any],
    do: Callable[[Desk, Checkpoint, Hand], list[str]],
) -> None:
    """Do a chore and say what came of it."""

    def whole() -> list[str]:
        desk = Desk(manifest_file, alias, execute, log_format)
        checkpoint = desk.checkpoint(spending["checkpoint_file"])
        limits = spending["max_spend_run"], spending["max_spend_day"], spending["native_usd"]
        return do(desk, checkpoint, desk.hand(checkpoint, Metrics(), *limits))

    outcomes = explained(whole)
    counted = ", ".join(f"{outcomes.count(o)} {o}" for o in dict.fromkeys(outcomes))
    click.echo(counted or "Nothing is due.")
    say_dry(execute)
    if any(outcome in ("failed", "refused", "limit") for outcome in outcomes):
        raise DeploymentError("not all was done: the log says why")


@command(
    "settle",
    click.option(
        "--at-once",
        type=click.IntRange(1, 100),
        default=10,
        show_default=True,
        help="Accounts settled in one transaction.",
    ),
    *SPENDING,
    *EVENTS,
)
def settle(
    manifest_file: Path | None,
    alias: str | None,
    execute: bool,
    log_format: str,
    at_once: int,
    **spending: Any,
) -> None:
    """Settle accounts that hold expired positions whose settlement price is known."""

    def do(desk: Desk, checkpoint: Checkpoint, hand: Hand) -> list[str]:
        following = follower(
            *(desk.chain, desk.deployment, checkpoint),
            confirmations=spending["confirmations"],
            first_block=desk.first_block(spending["from_block"]),
        )
        head = following.follow().head
        price = methods(desk.deployment.market_data)["settlementPrice"]
        due = chores.expired(following.fleet, desk.chain, price, head)
        return chores.settle(hand, desk.engine, due, at_once)

    chore(manifest_file, alias, execute, log_format, spending, do)


@command(
    "accrue",
    click.option("--underlying", "symbols", multiple=True, show_default="all", help="Symbol."),
    *SPENDING,
)
def accrue(
    manifest_file: Path | None,
    alias: str | None,
    execute: bool,
    log_format: str,
    symbols: Sequence[str],
    **spending: Any,
) -> None:
    """Accrue interest, and the funding of perpetuals."""

    def do(desk: Desk, _: Checkpoint, hand: Hand) -> list[str]:
        known = desk.manifest.underlyings
        for symbol in symbols:
            if symbol not in known:
                raise DeploymentError(f"no underlying '{symbol}'; there are {', '.join(known)}")
        return chores.accrue(hand, desk.engine, [known[s] for s in symbols or known])

    chore(manifest_file, alias, execute, log_format, spending, do)


def poster(desk: Desk, signers: Sequence[str]) -> Poster:
    """Return who posts: with the signers named, or those of a local network."""
    chosen = [choose_account(alias) for alias in signers]
    if not chosen and networks.provider.network.is_dev:
        chosen = mock_signers()
    if desk.sender is None:
        raise click.UsageError("name the account that posts: --account ALIAS")
    return Poster(desk.chain, desk.deployment, desk.sender, chosen)


@command("push-prices", FILE, SIGNERS)
def push_prices(
    manifest_file: Path | None,
    alias: str | None,
    execute: bool,
    log_format: str,
    file: Path,
    signers: Sequence[str],
) -> None:
    """Push prices from FILE (.csv or .json; fields name, price, confidence, mark, stable, time)."""

    def whole() -> None:
        rows = files.read_rows(file, PriceRow)
        desk = Desk(manifest_file, alias, execute, log_format)
        who, now = poster(desk, signers), desk.chain.head().timestamp
        files.require_once(file, [row.name for row in rows])
        files.require_times(file, rows, now)
        who.check_prices(file, rows)
        if execute:
            who.post_prices(rows, now)
        for row in rows:
            if not execute:
                click.echo(f"would push {row.name} {row.price:,.10g}")
                continue
            price = who.price_in_force(row.name)
            says = (
                "" if math.isclose(price, row.price, rel_tol=1e-6) else f", in force {price:,.10g}"
            )
            click.echo(f"pushed {row.name} {row.price:,.10g}{says}")

    explained(whole)
    say_dry(execute)


@command("post-surfaces", FILE)
def post_surfaces(
    manifest_file: Path | None, alias: str | None, execute: bool, log_format: str, file: Path
) -> None:
    """Post volatility surfaces from FILE.

    A .csv or .json with the fields underlying, expiry, forward, discount, a, b, rho, m, sigma,
    index, time: one row for each expiry, the SVI parameters of the total variance left.
    """

    def whole() -> None:
        rows = files.read_rows(file, SliceRow)
        desk = Desk(manifest_file, alias, execute, log_format)
        who, now = poster(desk, ()), desk.chain.head().timestamp
        files.require_known(file, rows, "underlying", list(desk.manifest.underlyings))
        files.require_times(file, rows, now)
        for name, slices in files.surfaces(file, rows, now).items():
            who.check_surface(file, name, slices)
            if execute:
                who.post_surface(name, slices, now)
            done = "posted" if execute else "would post"
            click.echo(f"{done} {name}: {len(slices)} expiries")

    explained(whole)
    say_dry(execute)


def of_symbols(name: str, required: bool, text: str) -> Callable:
    """Declare an option that names a file for a symbol, as SYMBOL=PATH, several times."""

    def split(_: click.Context, __: click.Parameter, given: Sequence[str]) -> dict[str, Path]:
        pairs = [each.partition("=") for each in given]
        symbols = [symbol for symbol, _, _ in pairs]
        for each, (symbol, _, path) in zip(given, pairs, strict=True):
            if not symbol or not path:
                raise click.BadParameter(f"'{each}' is not SYMBOL=PATH")
            if symbols.count(symbol) > 1:
                raise click.BadParameter(f"{symbol} is there more than once")
        return {symbol: Path(path) for symbol, _, path in pairs}

    return click.option(name, multiple=True, required=required, callback=split, help=text)


@command(
    "publish-vectors",
    of_symbols(
        "--history", True, "Prices, SYMBOL=PATH: .csv or .csv.gz with timestamp and close; several."
    ),
    of_symbols(
        "--volatility", False, "Index of 30-day volatility, SYMBOL=PATH; without one: the first's."
    ),
    click.option(
        "--window",
        type=click.IntRange(publishing.MIN_DATES, publishing.MAX_DATES),
        default=500,
        show_default=True,
        help="Dates to keep.",
    ),
    click.option(
        "--hour",
        type=click.IntRange(0, 23),
        default=0,
        show_default=True,
        help="Hour, UTC, at which a day ends; the same every time.",
    ),
    click.option("--replace", is_flag=True, help="Publish all dates anew."),
    *SPENDING,
)
def publish_vectors(
    manifest_file: Path | None,
    alias: str | None,
    execute: bool,
    log_format: str,
    history: dict[str, Path],
    volatility: dict[str, Path],
    window: int,
    hour: int,
    replace: bool,
    **spending: Any,
) -> None:
    """Publish the joint moves of days that the contract of predictive margin has not got yet."""

    def do(desk: Desk, _: Checkpoint, hand: Hand) -> list[str]:
        if desk.sender is None:
            raise click.UsageError("name the account that publishes: --account ALIAS")
        publisher = publishing.Publisher(desk.chain, desk.deployment)
        symbols = publisher.require_places(history)
        if unknown := sorted(volatility.keys() - history.keys()):
            raise DeploymentError(f"a volatility of {unknown[0]}, but no --history of it")
        prices, volatilities = (
            {symbol: read_history(files[symbol]) for symbol in symbols if symbol in files}
            for files in (history, volatility)
        )
        found = dates(
            prices, volatilities, publisher.basket.rules, hour, desk.chain.head().timestamp
        )
        stored = publisher.stored()
        made = publishing.plan(stored, found, symbols, window, replace)
        if not made.entering:
            return []
        click.echo("\n".join(publishing.summary(symbols, found, made, len(stored.words))))
        if stored.ramp_seconds:
            raise DeploymentError(
                f"the ramp of the last publication ends in {stored.ramp_seconds:,} s of active "
                "time: publish again then"
            )
        return [publisher.publish(hand, found.words[-made.entering :], made.leaving, len(symbols))]

    chore(manifest_file, alias, execute, log_format, spending, do)
