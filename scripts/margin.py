"""Show what an account must hold and why: `ape run margin --account N`."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import ape
import click
import numpy as np
from ape.cli import ConnectedProviderCommand, network_option
from ape.exceptions import ApeException

from reference_model import vectors
from reference_model.types import Health, MarginMode, Publication
from scripts._accounts import format_account, parse_account
from scripts._deployment import Deployment, Manifest, manifest_option, manifest_path
from scripts.keeping.prediction import settled_dates

WAD = 10**18
PPM = 10**6
LABEL, COLUMN = 30, 17

USES = {
    "withdraw": "withdrawals",
    "open": "increases of risk",
    "margin": "funding and losses paid out of collateral",
    "liquidation": "the clock of a liquidation",
}

GENERATIONS = ("isolated", "portfolio", "predictive")
PREDICTIVE = {
    "expected shortfall": "shortfall",
    "risk of the tails": "tailRisk",
    "parametric": "parametric",
    "deviation, initial only": "deviationCharge",
    "open interest, initial only": "openInterestCharge",
}
UNSPOKEN = (
    "predictive margin does not apply, and an account in that mode is held to portfolio margin: "
    "it is\nexposed to nothing, or has more than 32 positions"
)

CHARGES = {
    "basis": ("basisCharge", None),
    "short options": ("shortOptionCharge", "shortOptionCharge"),
    "concentration": ("concentrationCharge", "isolatedConcentrationCharge"),
    "confidence": ("confidenceCharge", "isolatedConfidenceCharge"),
    "scan range, initial only": ("scanRangeCharge", "isolatedScanRangeCharge"),
    "open interest, initial only": ("openInterestCharge", "isolatedOpenInterestCharge"),
}


def usd(value: int) -> str:
    """Return a WAD amount with two decimals."""
    return f"{Decimal(value) / WAD:,.2f}"


def age_of_prices(validity: Any, now: int) -> str:
    """Return what the prices of an account are young enough for, in words.

    Parameters
    ----------
    validity
        Struct ``Validity`` as the lens returned it.
    now
        Time of the block, seconds.
    """
    if validity.oldestTimestamp:
        age = f"the oldest is {now - validity.oldestTimestamp:,} s old"
    else:
        age = "one is disputed or seen in an outage"
    fit = [words for use, words in USES.items() if validity[use]]
    unfit = [words for use, words in USES.items() if not validity[use]]
    lines = [f"prices: {age}"]
    lines += [f"  young enough for {'; '.join(fit)}"] if fit else []
    if unfit:
        lines += [f"  too old for {'; '.join(unfit)}"]
        lines += ["  deposits, repayments, reductions and liquidations go on at any age"]
    return "\n".join(lines)


def saving(portfolio: int, isolated: int) -> str:
    """Return what netting saves, of the isolated requirement."""
    return f"{1 - Decimal(portfolio) / isolated:.1%}" if isolated else "-"


def instrument_name(position: Any, symbols: dict[int, str]) -> str:
    """Return what an option, future or perpetual is called, such as ``ETH 2026-03-27 2000 put``."""
    symbol = symbols.get(position.underlying, f"#{position.underlying}")
    if position.expiry == 0:
        return f"{symbol} perpetual"
    expiry = f"{symbol} {datetime.fromtimestamp(position.expiry, UTC):%Y-%m-%d}"
    if not position.isOption:
        return f"{expiry} future"
    strike = (Decimal(position.strike) / WAD).normalize()
    return f"{expiry} {strike:f} {'put' if position.isPut else 'call'}"


def render(
    breakdown: Any, positions: Any, mode: MarginMode, scenarios: Any, symbols: dict[int, str]
) -> str:
    """Return a breakdown as a text of several tables.

    Parameters
    ----------
    breakdown, positions
        Structs ``Breakdown`` and ``PositionView`` as the lens returned them.
    mode
        Margin mode the account is held to.
    scenarios
        Structs ``Scenario``.
    symbols
        Name of each underlying by its id.
    """
    blocks = [_totals(breakdown, mode), _generations(breakdown)]
    if breakdown.underlyings:
        blocks += [_underlyings(breakdown.underlyings, scenarios, symbols)]
    if positions:
        blocks += [_positions(positions, symbols)]
    return "\n\n".join(blocks)


def _row(label: str, *cells: str) -> str:
    return label.ljust(LABEL) + "".join(cell.rjust(COLUMN) for cell in cells)


def _totals(breakdown: Any, mode: MarginMode) -> str:
    a = breakdown.assessment
    return "\n".join(
        [
            _row("health", Health(breakdown.health).name),
            _row("margin mode", mode.name),
            _row("equity", usd(a.equity)),
            _row("maintenance margin", usd(a.maintenanceMargin)),
            _row("initial equity", usd(a.initialEquity)),
            _row("initial margin", usd(a.initialMargin)),
            _row("collateral after haircuts", usd(breakdown.collateralValue)),
            _row("positions, mark to market", usd(breakdown.derivativeValue)),
        ]
    )


def _generations(b: Any) -> str:
    """Compare the three generations of the same account."""
    a, p = b.assessment, b.predictive

    def predictive(value: int) -> str:
        return usd(value) if p.applies else "-"

    def row(label: str, isolated: int, netted: int, of_predictive: int) -> str:
        return _row(label, usd(isolated), usd(netted), predictive(of_predictive))

    netted_maintenance = min(b.netMaintenanceMargin, b.isolatedMaintenanceMargin)
    netted_initial = min(b.netInitialMargin, b.isolatedInitialMargin)
    isolated = b.isolatedInitialMargin
    lines = [
        _row("USD", *GENERATIONS),
        _row("scan risk", usd(b.isolatedScanRisk), usd(b.scanRisk)),
        *(_row(label, "", "", predictive(p[field])) for label, field in PREDICTIVE.items()),
        row("de-peg", b.depegCharge, b.depegCharge, b.depegCharge),
        row(
            "maintenance margin",
            b.isolatedMaintenanceMargin,
            netted_maintenance,
            p.maintenanceMargin,
        ),
        row("initial margin", isolated, netted_initial, p.initialMargin),
        _row(
            "saving",
            "",
            saving(netted_initial, isolated),
            saving(p.initialMargin, isolated) if p.applies else "-",
        ),
        _row("to spare before initial margin", usd(a.initialEquity - a.initialMargin)),
    ]
    return "\n".join(lines if p.applies else [*lines, UNSPOKEN])


def _underlyings(parts: Any, scenarios: Any, symbols: dict[int, str]) -> str:
    """Show each underlying in a column, and its binding scenario below."""

    def row(label: str, value: Callable[[Any], str]) -> str:
        return _row(label, *(value(part) for part in parts))

    names = [symbols.get(part.underlying, f"#{part.underlying}") for part in parts]
    lines = [
        _row("by underlying, USD", *names),
        row("net delta", lambda p: usd(p.delta)),
        row("gross delta", lambda p: usd(p.grossDelta)),
        row("worst loss, portfolio", lambda p: usd(p.worstLoss)),
        row("worst loss, isolated", lambda p: usd(p.isolatedLoss)),
        row("saving", lambda p: saving(p.worstLoss, p.isolatedLoss)),
    ]
    for label, (netted, isolated) in CHARGES.items():
        lines += [row(f"{label} charge", lambda p, field=netted: usd(p[field]))]
        if isolated not in (None, netted):
            lines += [row("  the same, isolated", lambda p, field=isolated: usd(p[field]))]
    bound = [scenarios[part.bindingScenario] for part in parts]
    lines += [
        _row("binding scenario", *(f"#{part.bindingScenario}" for part in parts)),
        _row("  price, in scan ranges", *(f"{s.pricePpm / PPM:+.3f}" for s in bound)),
        _row("  volatility, in vol ranges", *(f"{s.volPpm / PPM:+.3f}" for s in bound)),
        _row("  weight", *(f"{s.weightPpm / PPM:.3f}" for s in bound)),
    ]
    return "\n".join(lines)


def _positions(positions: Any, symbols: dict[int, str]) -> str:
    lines = [_row("position", "size", "value, USD", "delta, USD", "worst loss alone")]
    for p in positions:
        size = f"{(Decimal(p.size) / WAD).normalize():f}"
        cells = (size, usd(p.value), usd(p.delta), usd(p.isolatedLoss))
        lines += [_row(instrument_name(p, symbols), *cells)]
    return "\n".join(lines)


def best_hint(losses: Sequence[int], slack: int, tail_share: float) -> int:
    """Return the hint at which `shortfallAt` is the expected shortfall, WAD.

    Parameters
    ----------
    losses
        Of every date, as the predictive model gives them: with slack where above zero.
    slack
        Of all exposures, USD.
    tail_share
        Share of the dates.
    """
    bare = np.array([max(0, loss - slack) for loss in losses], object)
    return int(vectors.best_hint(bare, tail_share))


def certificate(deployment: Deployment, account: int) -> str:
    """Return the best hint of an account, found here, and what the chain makes of it."""
    lens, model = deployment.margin_lens, deployment.predictive_model
    exposures = deployment.risk_model.exposures(deployment.margin_engine.portfolio(account))
    if not exposures:
        return UNSPOKEN
    dates, _ = settled_dates(Publication(*model.publication()))
    losses = model.losses(exposures)[dates]
    if not losses:
        return "no vectors are published: `ape run keeper publish-vectors`"
    slack = sum(each.slack for each in exposures)
    hint = best_hint(losses, slack, model.parameters().tailShare / WAD)
    # What no list covers counts its own worst scenario on every date.
    amount = hint + slack + sum(each.scenarioLoss for each in exposures if not each.pnl)
    count, limit = lens.exceedances(account, amount)
    verdict = "certified" if count <= limit else "not certified"
    return "\n".join(
        [
            _row("best hint", usd(hint), f"  {hint}"),
            _row("expected shortfall at it", usd(lens.shortfallAt(account, hint))),
            _row("value at risk", usd(amount), f"  {verdict}:"),
            f"  {count} of {len(losses)} dates lose more, {limit} may",
        ]
    )


@click.command(cls=ConnectedProviderCommand)
@network_option()
@click.option(
    "--account",
    "text",
    required=True,
    help="Id, 0xowner:subaccount, or a name that the manifest gives.",
)
@manifest_option()
@click.option(
    "--hint", "with_hint", is_flag=True, help="Find the best hint and certify a value at risk."
)
def cli(text: str, manifest_file: Path | None, with_hint: bool) -> None:
    """Show an account's requirement in all three generations, with all its parts."""
    manifest = Manifest.read(manifest_file or manifest_path())
    deployment = Deployment.of(manifest)
    account = parse_account(text, manifest.accounts)
    try:
        breakdown = deployment.margin_lens.breakdown(account)
        validity = deployment.margin_lens.validity(account)
        positions = deployment.margin_lens.positions(account)
        mode = MarginMode(deployment.margin_engine.portfolio(account).marginMode)
        scenarios = deployment.parameters.scenarios()
        hint = certificate(deployment, account) if with_hint else None
    except ApeException as error:
        raise click.ClickException(
            f"the chain cannot assess {format_account(account)}: {error}. Has every price been "
            "posted that the account needs?"
        ) from error
    symbols = {number: symbol for symbol, number in manifest.underlyings.items()}
    click.echo(f"account {format_account(account)}\n")
    click.echo(render(breakdown, positions, mode, scenarios, symbols))
    if hint:
        click.echo("\n" + hint)
    click.echo("\n" + age_of_prices(validity, ape.chain.blocks.head.timestamp))
