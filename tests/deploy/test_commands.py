"""`ape run deploy` and `ape run margin` as a person runs them."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from oracle_mock import catalogue, sources
from oracle_mock.pusher import HubPusher, from_now
from reference_model.types import MarginMode
from scripts import deploy, margin
from scripts._hub import mock_signers
from scripts.margin import (
    age_of_prices,
    format_account,
    instrument_name,
    parse_account,
    render,
    usd,
)
from tests.commands import run_here

PROJECT = Path(__file__).parents[2]
APE = Path(sys.executable).with_name("ape")
WAD = 10**18
OWNER = "0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045"
ACCOUNT = int(OWNER, 16) << 8 | 3


@pytest.fixture
def run(chain, deployment):
    """Run a command against the tests' chain; without one, the command starts its own."""

    def run_on(*arguments, own_chain=False):
        host = {} if own_chain else {"APE_FOUNDRY_HOST": chain.provider.uri}
        command = [APE, "run", *map(str, arguments)]
        return subprocess.run(
            command,
            cwd=PROJECT,
            env=os.environ | host,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run_on


def assert_message(result, message):
    """Require a failure with a message and without a traceback."""
    output = result.stdout + result.stderr
    assert result.returncode != 0, output
    assert message in output
    assert "Traceback" not in output


# Deploy


def test_deploy_works_by_itself_and_says_that_the_chain_ends(run, tmp_path):
    path = tmp_path / "manifest.json"
    result = run("deploy", "--manifest", path, own_chain=True)
    assert result.returncode == 0, result.stderr
    manifest = json.loads(path.read_text(encoding="utf-8"))
    assert manifest["complete"]
    for name, address in (manifest["contracts"] | manifest["tokens"]).items():
        assert re.search(rf"^{name} +{address}$", result.stdout, re.MULTILINE)
    assert "has ended with it" in result.stdout
    with pytest.raises(click.ClickException, match="of another chain"):
        run_here(margin.cli, "--account", ACCOUNT, "--manifest", path)


def test_deploy_continues_on_a_chain_that_stays(run, path, deployer):
    nonce = deployer.nonce
    result = run("deploy", "--manifest", path)
    assert result.returncode == 0, result.stderr
    assert "has ended with it" not in result.stdout
    assert deployer.nonce == nonce


def test_deploy_names_what_is_wrong_with_a_configuration(tmp_path):
    path = tmp_path / "wrong.yaml"
    text = (PROJECT / "scripts" / "deploy.yaml").read_text(encoding="utf-8")
    path.write_text(text.replace("scanRange: 0.16", "scanRange: 1.6"), encoding="utf-8")
    message = "underlyings.BTC.scanRange = 1.6: must lie between 0.001 and 0.9"
    with pytest.raises(click.ClickException, match=message):
        run_here(deploy.cli, "--config", path)


def test_deploy_check_sends_nothing(deployer, tmp_path, capsys):
    nonce = deployer.nonce
    run_here(deploy.cli, "--check", "--manifest", tmp_path / "manifest.json")
    assert "can be deployed" in capsys.readouterr().out
    assert deployer.nonce == nonce
    assert not list(tmp_path.iterdir())


def test_deploy_names_the_accounts_it_knows(run):
    assert_message(run("deploy", "--account", "nobody"), "no account 'nobody'; known:")


# Margin


def speak(deployment, deployer, chain):
    """Let every mock feed of the deployment say a first price, ETH exactly 2,000 USD."""
    manifest = deployment.manifest
    pusher = HubPusher(
        *(deployment.market_data, manifest.feeds, manifest.sources, deployer, mock_signers()),
    )
    start = catalogue.start()
    ether = replace(start.markets["ETH"], index=2_000.0, mark=2_000.0, slices=())
    path = from_now([start.with_market("ETH", ether)], chain)
    exact = {
        name: tuple(replace(v, noise=0.0) if hasattr(v, "noise") else v for v in venues)
        for name, venues in pusher.venues().items()
    }
    chain.pending_timestamp = path[0].time
    pusher.push(next(sources.broadcast(path, 1, exact).steps()))
    assert not pusher.refused


@pytest.fixture
def funded(deployment, deployer, accounts, chain):
    """Give an account ETH and USDT worth collateral, and return its id."""
    speak(deployment, deployer, chain)
    assets, owner = deployment.manifest.assets, accounts[OWNER]
    owner.balance += 10**6 * WAD  # for gas: nobody else pays collateral into its account
    for symbol, amount in (("WETH", 10 * WAD), ("USDT", 5_000 * 10**6), ("USDC", 1_000 * 10**6)):
        token = deployment.tokens[symbol]
        token.mint(owner, amount, sender=owner)
        token.approve(deployment.margin_engine, amount, sender=owner)
        deployment.margin_engine.deposit(ACCOUNT, assets[symbol], amount, sender=owner)
    return ACCOUNT


def cells(text, label):
    """Return the numbers of the first row of a label."""
    (row, *_) = [line for line in text.splitlines() if line.startswith(label)]
    return row.removeprefix(label).split()


def test_margin_shows_what_the_lens_computes(run, deployment, funded, path):
    result = run("margin", "--account", f"{OWNER}:3", "--manifest", path)
    assert result.returncode == 0, result.stderr
    text = result.stdout
    breakdown = deployment.margin_lens.breakdown(funded)
    assessment = breakdown.assessment
    assert text.startswith(f"account {OWNER.lower()}:3")
    assert cells(text, "health") == ["HEALTHY"]
    assert cells(text, "equity") == [usd(assessment.equity)]
    assert cells(text, "initial margin") == [usd(assessment.initialMargin)]
    assert cells(text, "collateral after") == ["haircuts", usd(breakdown.collateralValue)]
    # 10 ETH at 2,000 less 5 %, 5,000 USDT less 2 %, 1,000 in cash.
    assert usd(assessment.equity) == "24,900.00"
    assert cells(text, "de-peg")[0] == usd(4_900 * WAD * 11 // 100)
    assert cells(text, "by underlying, USD") == ["ETH"]
    assert cells(text, "net delta") == ["19,000.00"]
    (part,) = breakdown.underlyings
    assert cells(text, "worst loss, portfolio") == [usd(part.worstLoss)] == ["3,800.00"]
    assert cells(text, "binding scenario") == [f"#{part.bindingScenario}"]
    assert "young enough for withdrawals; increases of risk; funding" in text
    scenario = deployment.parameters.scenarios()[part.bindingScenario]
    assert cells(text, "  price, in scan ranges") == [f"{scenario.pricePpm / 10**6:+.3f}"]


def test_margin_finds_the_best_hint_and_certifies_a_value_at_risk(
    deployment, funded, path, chain, capsys
):
    chain.mine(timestamp=deployment.predictive_model.publication().end)
    run_here(margin.cli, "--account", f"{OWNER}:3", "--manifest", path, "--hint")
    text = capsys.readouterr().out
    shown, hint = cells(text, "best hint")
    assert shown == usd(int(hint))
    shortfall = deployment.margin_lens.breakdown(funded).predictive.shortfall
    assert cells(text, "expected shortfall at it") == [usd(shortfall)]
    lens = deployment.margin_lens
    assert abs(lens.shortfallAt(funded, int(hint)) - shortfall) <= 10
    for other in (0, int(hint) // 2, 2 * int(hint)):
        assert lens.shortfallAt(funded, other) > shortfall
    assert cells(text, "value at risk")[1] == "certified:"
    assert "12 of 500 dates lose more, 12 may" in text
    count, limit = lens.exceedances(funded, int(hint) // 2)
    assert count > limit, "half of it is no value at risk"


def test_margin_takes_a_name_from_the_manifest(funded, path, tmp_path, capsys):
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["accounts"]["hedger"] = funded
    named = tmp_path / "named.json"
    named.write_text(json.dumps(manifest), encoding="utf-8")
    run_here(margin.cli, "--account", "hedger", "--manifest", named)
    assert capsys.readouterr().out.startswith(f"account {OWNER.lower()}:3")


@pytest.mark.usefixtures("deployment")
def test_margin_says_what_it_does_not_know(run, path):
    result = run("margin", "--account", "somebody", "--manifest", path)
    assert_message(result, "'somebody' is neither an id")


@pytest.mark.parametrize(
    ("text", "account"),
    [
        (str(ACCOUNT), ACCOUNT),
        (hex(ACCOUNT), ACCOUNT),
        (f"{OWNER}:3", ACCOUNT),
        (f"{OWNER.lower()}:255", ACCOUNT - 3 + 255),
        (OWNER, ACCOUNT - 3),
        ("hedger", 1 << 8),
    ],
)
def test_account_is_given_in_any_form(text, account):
    assert parse_account(text, {"hedger": 1 << 8}) == account


@pytest.mark.parametrize(
    "text", [f"{OWNER}:256", f"{OWNER}:x", "0", "255", str(1 << 168), "-1", ""]
)
def test_what_is_no_account_is_refused(text):
    with pytest.raises(click.BadParameter, match=r"no account|not a sub-account|neither an id"):
        parse_account(text, {})


def test_account_is_shown_as_owner_and_sub_account():
    assert format_account(ACCOUNT) == f"{OWNER.lower()}:3"


def test_saving_is_shown_per_underlying_and_in_total():
    part = dict.fromkeys(
        ("basisCharge", "shortOptionCharge", "concentrationCharge", "confidenceCharge"), 0
    ) | dict.fromkeys(("isolatedConcentrationCharge", "isolatedConfidenceCharge"), 0)
    part |= {"openInterestCharge": 0, "isolatedOpenInterestCharge": 0}
    part |= {"scanRangeCharge": 3 * WAD, "isolatedScanRangeCharge": 5 * WAD}
    part |= {"underlying": 1, "delta": -WAD, "grossDelta": 3 * WAD, "bindingScenario": 1}
    part |= {"worstLoss": 25 * WAD, "isolatedLoss": 100 * WAD}
    assessment = {"equity": WAD, "maintenanceMargin": 20 * WAD, "initialMargin": 25 * WAD}
    breakdown = {"health": 2, "collateralValue": WAD, "derivativeValue": 0, "depegCharge": 0}
    breakdown |= {"scanRisk": 25 * WAD, "isolatedScanRisk": 100 * WAD}
    breakdown |= {"netMaintenanceMargin": 90 * WAD, "isolatedMaintenanceMargin": 80 * WAD}
    breakdown |= {"netInitialMargin": 25 * WAD, "isolatedInitialMargin": 100 * WAD}
    breakdown["assessment"] = SimpleNamespace(**assessment, initialEquity=WAD)
    breakdown["underlyings"] = [Struct(part)]
    predictive = {"shortfall": 40, "tailRisk": 60, "parametric": 20, "deviationCharge": 3}
    predictive |= {"openInterestCharge": 2, "maintenanceMargin": 48, "initialMargin": 65}
    predictive = {name: usd * WAD for name, usd in predictive.items()}
    breakdown["predictive"] = Struct(predictive, applies=True)
    scenarios = [Struct(pricePpm=0, volPpm=0, weightPpm=0)]
    scenarios += [Struct(pricePpm=2 * 10**6, volPpm=-(10**6), weightPpm=500_000)]
    text = render(Struct(breakdown), [], MarginMode.ISOLATED, scenarios, {1: "BTC"})
    assert cells(text, "health") == ["LIQUIDATABLE"]
    assert cells(text, "margin mode") == ["ISOLATED"]
    assert cells(text, "scan risk") == ["100.00", "25.00"]
    compared = [line.split() for line in text.splitlines() if "margin  " in line]
    assert ["maintenance", "margin", "80.00", "80.00", "48.00"] in compared
    assert ["initial", "margin", "100.00", "25.00", "65.00"] in compared
    assert cells(text, "expected shortfall") == ["40.00"]
    assert cells(text, "risk of the tails") == ["60.00"]
    assert cells(text, "parametric") == ["20.00"]
    assert cells(text, "to spare before initial margin") == ["-24.00"]
    savings = [line.split() for line in text.splitlines() if line.startswith("saving")]
    assert savings == [["saving", "75.0%", "35.0%"], ["saving", "75.0%"]]
    assert "does not apply" not in text
    breakdown["predictive"] = Struct(dict.fromkeys(predictive, 0), applies=False)
    text = render(Struct(breakdown), [], MarginMode.ISOLATED, scenarios, {1: "BTC"})
    assert cells(text, "expected shortfall") == ["-"]
    assert "predictive margin does not apply" in text
    assert cells(text, "  price, in scan ranges") == ["+2.000"]
    assert cells(text, "  volatility, in vol ranges") == ["-1.000"]
    assert cells(text, "  weight") == ["0.500"]
    assert cells(text, "scan range, initial only charge") == ["3.00"]


@pytest.mark.parametrize(
    ("oldest", "uses", "lines"),
    [
        (
            1_000,
            (True, True, True, True),
            [
                "prices: the oldest is 42 s old",
                "  young enough for withdrawals; increases of risk; funding and losses paid out of "
                "collateral; the clock of a liquidation",
            ],
        ),
        (
            1_000,
            (False, True, True, True),
            [
                "prices: the oldest is 42 s old",
                "  young enough for increases of risk; funding and losses paid out of collateral; "
                "the clock of a liquidation",
                "  too old for withdrawals",
                "  deposits, repayments, reductions and liquidations go on at any age",
            ],
        ),
        (
            0,
            (False, False, False, False),
            [
                "prices: one is disputed or seen in an outage",
                "  too old for withdrawals; increases of risk; funding and losses paid out of "
                "collateral; the clock of a liquidation",
                "  deposits, repayments, reductions and liquidations go on at any age",
            ],
        ),
    ],
)
def test_the_age_of_prices_is_said_in_words(oldest, uses, lines):
    fields = dict(zip(("withdraw", "open", "margin", "liquidation"), uses, strict=True))
    assert age_of_prices(Struct(oldestTimestamp=oldest, **fields), 1_042) == "\n".join(lines)


@pytest.mark.parametrize(
    ("expiry", "is_option", "is_put", "name"),
    [
        (0, False, False, "BTC perpetual"),
        (1_774_598_400, False, False, "BTC 2026-03-27 future"),
        (1_774_598_400, True, False, "BTC 2026-03-27 100000.5 call"),
        (1_774_598_400, True, True, "BTC 2026-03-27 100000.5 put"),
    ],
)
def test_position_is_shown_with_its_name(expiry, is_option, is_put, name):
    strike = 100_000_5 * WAD // 10
    position = Struct(underlying=1, expiry=expiry, isOption=is_option, isPut=is_put, strike=strike)
    assert instrument_name(position, {1: "BTC"}) == name


class Struct(dict):
    """What a contract returns as a struct: fields as attributes and as keys."""

    __getattr__ = dict.__getitem__
