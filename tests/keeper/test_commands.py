"""`ape run keeper` and its companions as a person runs them."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import click
import pytest

from scripts import keeper
from scripts._deployment import choose_account
from scripts._orders import account_of

PROJECT = Path(__file__).parents[2]
APE = Path(sys.executable).with_name("ape")
WAD = 10**18


def lines(output):
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


@pytest.fixture
def spoken(world):
    """Run a command in a process of its own."""

    def run(*arguments):
        done = subprocess.run(
            [APE, "run", "keeper", *map(str, arguments)],
            cwd=PROJECT,
            env=os.environ | {"APE_FOUNDRY_HOST": world.chain.provider.uri},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return run


# Prices and surfaces


def test_prices_are_pushed_only_when_asked_to(call, world):
    file = world.file([{"name": "ETH", "price": 2_010, "mark": 2_012, "confidence": 1}])
    before = world.deployment.market_data.spot(2)
    output = call("push-prices", file=file)
    assert "would push ETH 2,010" in output.out and "give --execute" in output.err
    assert world.deployment.market_data.spot(2) == before
    output = call("push-prices", file=file, execute=True)
    assert "pushed ETH 2,010" in output.out and not output.err
    spot = world.deployment.market_data.spot(2)
    assert (spot.index, spot.mark, spot.confidence) == (2_010 * WAD, 2_012 * WAD, WAD)


def test_surface_is_posted_and_priced_with(call, world):
    symbol, underlying = "ETH", world.deployment.manifest.underlyings["ETH"]
    lists = world.deployment.parameters.isExpiryListed
    week = 7 * 86_400
    friday = next(
        e
        for e in range(world.now // 3_600 * 3_600, world.now + 2 * week, 3_600)
        if e > world.now and lists(underlying, e)
    )
    row = {"underlying": symbol, "expiry": friday, "forward": 2_020, "discount": 0.999}
    row |= {"a": 0.002, "b": 0.02, "rho": -0.1, "m": 0, "sigma": 0.1}
    output = call("post-surfaces", file=world.file([row]), execute=True)
    assert "posted ETH: 1 expiries" in output.out
    assert world.deployment.market_data.slice(underlying, friday, 0).forward == 2_020 * WAD
    for change, message in (
        ({"expiry": friday + 3_600}, "is not listed for ETH"),
        ({"underlying": "DOGE"}, "no underlying 'DOGE' in the deployment"),
        ({"b": 3, "rho": 0.9, "sigma": 0.01}, "butterfly arbitrage"),
        ({"a": 1e300}, r"SVI parameter a 1e\+300 cannot be encoded"),
    ):
        for execute in (False, True):
            with pytest.raises(click.ClickException, match=message):
                call("post-surfaces", file=world.file([row | change]), execute=execute)


def test_refusal_of_the_chain_is_named(call, world):
    """Time stands still for one who posts what is older than what is known."""
    file = world.file([{"name": "ETH", "price": 2_000, "time": world.now - 500}])
    with pytest.raises(click.ClickException, match="the chain refuses post: "):
        call("push-prices", file=file, execute=True)


# Interest, funding, settlement


def test_accrual_moves_the_clock_of_funding(call, world):
    world.post(ETH=2_000)
    world.chain.mine(timestamp=world.now + 600)
    before = world.engine.marketState(2).fundingAt
    output = call("accrue", symbols=("ETH",))
    assert "1 would" in output.out
    assert world.engine.marketState(2).fundingAt == before
    output = call("accrue", symbols=("ETH",), execute=True)
    assert "1 done" in output.out
    assert world.engine.marketState(2).fundingAt > before
    (line,) = (each for each in lines(output.out) if each["event"] == "accrue")
    assert line["underlying"] == 2 and line["gas_usd"] > 0 and line["transaction"]
    with pytest.raises(click.ClickException, match="no underlying 'DOGE'; there are BTC, ETH, SOL"):
        call("accrue", symbols=("DOGE",))


def test_limit_of_spending_is_kept_over_runs(call, world):
    tight = {"symbols": ("ETH",), "execute": True, "native_usd": 1e9}
    with pytest.raises(click.ClickException, match="not all was done"):
        call("accrue", max_spend_run=0.0, **tight)
    spent = call("accrue", max_spend_day=1e9, max_spend_run=1e9, **tight)
    assert "1 done" in spent.out
    with pytest.raises(click.ClickException, match="not all was done"):
        call("accrue", max_spend_day=10.0, **tight)


def test_expired_accounts_are_settled_once_their_price_is_known(call, world, chain):
    underlying, expiry = 2, world.now // 3_600 * 3_600 + 7_200
    world.deployment.parameters.listExpiries(underlying, [expiry], sender=world.deployer)
    world.post_slice("ETH", expiry)
    option = underlying << 120 | expiry << 88 | 1 << 80 | 2_000 * 10**8 << 16
    world.trade(world.long, 1, 30, option)
    assert "Nothing is due" in call("settle", execute=True).out
    chain.mine(timestamp=expiry + 60)
    waiting = call("settle", execute=True)
    assert "Nothing is due" in waiting.out
    assert any(line["event"] == "no settlement price yet" for line in lines(waiting.out))
    price = (underlying, expiry, 2_100 * WAD)
    world.deployment.market_data.post([], [], [], [price], sender=world.deployer)
    before = world.assess(world.long).equity
    assert "1 would" in call("settle").out
    output = call("settle", execute=True)
    assert "1 done" in output.out
    for account in (world.long, account_of(world.maker)):
        slots = world.engine.positionsOf(account)
        assert all(not slot >> 208 & 0xFF for slot in slots), "no option is left"
    assert abs(world.assess(world.long).equity - before) < 10**12
    assert "Nothing is due" in call("settle", execute=True).out


# What a person is told


def test_checkpoint_that_another_program_holds_is_named(call, world, tmp_path, monkeypatch):
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **k | {"timeout": 0.1}))
    file = tmp_path / "held.sqlite"
    call("watch", once=True, checkpoint_file=file)
    holder = connect(file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    world.post(ETH=2_000)
    with pytest.raises(click.ClickException, match=r"cannot be read or written \(database is lock"):
        call("watch", once=True, checkpoint_file=file)
    holder.close()
    call("watch", once=True, checkpoint_file=file)


def test_test_account_is_named_by_its_alias(call, accounts):
    output = call("watch", once=True, alias="TEST::3")
    assert lines(output.out)[-1]["event"] == "pass"
    assert choose_account("TEST::3").address == accounts[3].address


def test_bad_input_is_answered_with_what_to_do(spoken, call, world, tmp_path):
    bad = world.file([{"name": "DOGE", "price": 1}])
    with pytest.raises(click.ClickException, match="no name 'DOGE' in the deployment"):
        call("push-prices", file=bad)
    code, output = spoken("--once", "--manifest", tmp_path / "none.json")
    assert code, output
    assert "deploy with `ape run deploy`" in output
    assert "Traceback" not in output


def test_command_that_there_is_not_is_named():
    with pytest.raises(click.UsageError, match="No such command 'fly'"):
        keeper.cli.main(["fly"], standalone_mode=False)


@pytest.mark.parametrize("option", ["--max-spend-run", "--max-size", "--native-usd", "--poll"])
def test_limit_that_no_sum_exceeds_is_refused(option):
    """Nothing is greater than what is no number: spending went on without a limit."""
    with pytest.raises(click.BadParameter, match="'nan' is no number"):
        keeper.cli.main(["watch", option, "nan"], standalone_mode=False)


def test_keeper_watches_until_it_is_told_to_stop(world, manifest_file, tmp_path):
    """As a person starts it: passes are logged as JSON, a signal ends it after a pass."""
    arguments = ["--manifest", manifest_file, "--checkpoint", tmp_path / "watch.sqlite"]
    process = subprocess.Popen(
        [APE, "run", "keeper", *map(str, arguments), "--poll", "0.2"],
        cwd=PROJECT,
        env=os.environ | {"APE_FOUNDRY_HOST": world.chain.provider.uri},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    seen = []
    for line in process.stdout:
        seen.append(json.loads(line))
        if len(seen) == 2:
            process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    assert [line["event"] for line in seen[:2]] == ["pass", "pass"]
    assert seen[0]["accounts"] >= 4 and seen[0]["level"] == "info"
    assert seen[-1]["event"] == "stopped"
    assert "give --execute to act" in process.stderr.read()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bidder": "nobody"}, "'nobody' is neither an id"),
        ({"alias": "nobody"}, "no account 'nobody'; known:"),
        ({"checkpoint_file": Path("pyproject.toml")}, "cannot be used as a checkpoint"),
        ({"from_block": 10**9}, "the chain has got to block"),
    ],
)
def test_what_is_wrong_with_an_option_is_said(call, given, message):
    with pytest.raises(click.ClickException, match=message):
        call("watch", once=True, **given)
