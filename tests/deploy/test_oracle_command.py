"""`ape run oracle` as a person runs it, and what the hub makes of what it publishes."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from oracle_mock import catalogue, faults, sources
from oracle_mock.faults import Fault
from oracle_mock.pusher import HubPusher, from_now, sign_report
from oracle_mock.sources import MARK
from scripts._hub import SEQUENCER, mock_signers
from scripts.fuzzing.faults import Desk
from scripts.oracle import cli, parse_duration, parse_fault, parse_sources
from scripts.playback.player import FaultPlan
from tests.commands import run_here
from tests.reverts import reverts_with

PROJECT = Path(__file__).parents[2]
APE = Path(sys.executable).with_name("ape")
DEFAULTS = ("ETH", "1", "30m", "10m")
RUN = (
    '{"settings": {"path": "%s", "seed": 1, "faults": []}, "manifest": %s, "shift_seconds": 0, '
    '"factors": {}}'
)
NAMES = ("ETH", "USDT", "ETH" + MARK)


@pytest.fixture
def command(chain):
    """Start a command against the tests' chain."""

    def start(*arguments):
        return subprocess.Popen(
            [APE, "run", "oracle", *map(str, arguments)],
            cwd=PROJECT,
            env=os.environ | {"APE_FOUNDRY_HOST": chain.provider.uri},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


@pytest.fixture
def run(command):
    def wait(*arguments):
        process = command(*arguments)
        output, _ = process.communicate(timeout=400)
        return process.returncode, output

    return wait


# --- what is asked -----------------------------------------------------------------------------


def test_durations_are_written_as_people_write_them():
    assert [parse_duration(text) for text in ("90s", "30m", "2h", "1d", "1h30m")] == [
        *(90, 1_800, 7_200, 86_400, 5_400),
    ]
    for text in ("", "2", "h", "2x", "1h!", "-1h"):
        with pytest.raises(click.BadParameter, match="is no duration: write 90s"):
            parse_duration(text)


def test_sources_are_numbers():
    assert parse_sources("1,3,1") == (1, 3)
    for text in ("", "0", "a", "1,", "12"):
        with pytest.raises(click.BadParameter, match="are no sources"):
            parse_sources(text)


def test_fault_is_a_kind_with_what_differs_from_the_other_options():
    assert parse_fault("stale", DEFAULTS) == FaultPlan("stale", "ETH", (1,), 1_800, 600)
    full = parse_fault("jump:USDT:1,2:1h::0.5", DEFAULTS)
    assert full == FaultPlan("jump", "USDT", (1, 2), 3_600, 600, 0.5)
    for text, message in (
        ("flood", "no fault 'flood'; there are stale, frozen"),
        ("jump:ETH:1:1h:1h:x", "size 'x' is no number"),
        ("jump:ETH:1:1h:1h:nan", "size 'nan' is not finite"),
        ("zero:ETH:1:1h:1h:2", "zero has no size"),
        ("zero:ETH:1:1h:1h:2:3", "write KIND:ASSET"),
        ("zero:ETH:1:1h:0s", "lasts no time"),
    ):
        with pytest.raises(click.BadParameter, match=re.escape(message)):
            parse_fault(text, DEFAULTS)


def test_list_shows_every_path_and_fault(capsys):
    run_here(cli, "--list")
    output = capsys.readouterr().out
    for name in [*catalogue.PATHS, *faults.KINDS]:
        assert re.search(rf"^  {name} ", output, re.MULTILINE)


@pytest.mark.usefixtures("deployment")
def test_bad_input_is_answered_with_what_to_do(run, path, tmp_path):
    known = ("--manifest", path, "--out", tmp_path)
    for arguments, message in (
        (("--path", "moon", *known), "no path 'moon'; there are jump-diffusion"),
        (("--speed", "nan", *known), "'nan' is no number"),
        (("--speed", "1e-300", *known), "is too slow: at least 0.001"),
        (("--manifest", path, "--out", path / "out"), "cannot be written .*: make room, or name"),
        (("--fault", "flood", *known), "no fault 'flood'; there are stale"),
        (("--fault", "stale", "--asset", "DOGE", *known), "no price 'DOGE' in the deployment"),
        (("--fault", "stale", "--sources", "9", *known), "ETH has sources 1 to 3, not 9"),
        (("--fault", "stale", "--from", "2h", *known), "but flash-crash lasts 90: begin earlier"),
        (("--resume", "--out", tmp_path / "none"), "nothing to resume"),
    ):
        with pytest.raises(click.ClickException, match=message):
            run_here(cli, *arguments)
    for text in ("{", "[]", RUN % ("moon", 5), RUN % ("depeg", 5), RUN % ("depeg", '"-"')):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(click.ClickException, match=r"cannot be resumed|no manifest at -"):
            run_here(cli, "--resume", "--out", tmp_path)
    code, output = run("--manifest", tmp_path / "none.json")
    assert code, output
    assert "deploy with `ape run deploy`" in output
    assert "Traceback" not in output


# --- what is played ----------------------------------------------------------------------------


def _position(state):
    return json.loads(state.read_text())["position"] if state.exists() else 0


def test_run_is_interrupted_resumed_and_summed_up(
    command, run, deployment, path, tmp_path, chain, deployer
):
    arguments = ("--path", "depeg", "--fault", "jump:USDT:1:1h:4h:0.5", "--seed", 7)
    process = command(*arguments, "--manifest", path, "--out", tmp_path, "--speed", 1_800)
    state = tmp_path / "run.json"
    deadline = time.time() + 200
    while _position(state) < 2 and time.time() < deadline:
        time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode, output
    begun = json.loads(state.read_text())["position"]
    assert 2 <= begun < 31
    assert f"Interrupted after {begun} of 31 steps" in output
    assert f"ape run oracle --resume --out {tmp_path}" in output
    code, output = run("--resume", "--out", tmp_path)
    assert code == 0, output
    assert not state.exists()
    assert (tmp_path / "depeg-jump.png").stat().st_size > 10_000
    rows = list(csv.DictReader((tmp_path / "depeg-jump.csv").open()))
    assert len(rows) == 31
    times = [int(row["time"]) for row in rows]
    assert times == sorted(times)
    hit = [row for row in rows if float(row["source_1"]) < 0.6 * float(row["truth"])]
    assert 7 <= len(hit) <= 9, "half an hour between steps, four hours of the fault"
    for row in hit:
        if row["disputed"] == "False":
            assert float(row["price"]) == pytest.approx(float(row["truth"]), rel=0.01)
    assert re.search(r"^USDT +\d+\.\d%", output, re.MULTILINE)


# --- what is published -------------------------------------------------------------------------


@pytest.fixture
def pusher(deployment, deployer, project):
    manifest = deployment.manifest
    uptime = project.MockAggregator.at(manifest.contracts[SEQUENCER])
    return HubPusher(
        *(deployment.market_data, manifest.feeds, manifest.sources, deployer, mock_signers()),
        uptime=uptime,
    )


def publish(pusher, chain, plans=()):
    """Broadcast of a short crash that lies ahead of the chain, through the deployment's venues."""
    path = from_now(catalogue.build("flash-crash", 5)[20:60:4], chain)
    venues = {name: venue for name, venue in pusher.venues().items() if name in NAMES}
    published = sources.broadcast(path, 5, venues)
    found = [
        Fault(kind, name, path[3].time, path[7].time, numbers, SIZES.get(kind))
        for kind, name, numbers in plans
    ]
    return faults.applied(published, found)


# Beyond every sanity band, for the exact hub has its own.
SIZES = {"wrong-decimals": 4.0}
FAULTY = [
    (),
    [("jump", "ETH", (1,)), ("zero", "USDT", (2,))],
    [("outage", "ETH", (2,)), ("negative", "USDT", (3,))],
    [("stale", "ETH", (3,)), ("wrong-decimals", "USDT", (2,))],
    [("confidence-blow-out", "ETH", (2,)), ("out-of-order", "USDT", (1,))],
    [("disagreeing", "ETH", (3,)), ("frozen", "USDT", (3,))],
]


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("plans", FAULTY, ids=lambda plans: "+".join(p[0] for p in plans) or "none")
def test_hub_on_chain_says_what_the_exact_hub_says(deployment, pusher, chain, plans):
    """A sample of the campaign through real adapters, mock feeds, fees and signatures."""
    published = publish(pusher, chain, plans)
    ids = {name: deployment.manifest.feeds[name] for name in ("ETH", "USDT")}
    desk = Desk(published, ids)
    hub, compared = deployment.market_data, 0
    for step in published.steps():
        chain.pending_timestamp = step.truth.time
        pusher.push(step)
        assert chain.blocks.head.timestamp == step.truth.time
        desk.take(step)
        for feed in ids.values():
            there, here = hub.observation(feed), desk.hub.state.observations[feed]
            seen = (there.price, there.confidence, there.timestamp, there.disputed)
            assert seen == here[:4]
            compared += 1
    assert compared == 2 * len(published.path)


def test_update_fee_is_paid(deployment, pusher, chain, project):
    pyth = project.MockPyth.at(deployment.manifest.contracts["MockPyth"])
    before = pyth.balance
    step = next(publish(pusher, chain).steps())
    chain.pending_timestamp = step.truth.time
    pusher.push(step)
    assert pyth.balance - before == 2, "one wei for each price that is pulled"


def test_reports_need_the_signers(deployment, pusher, chain, accounts):
    report = (b"ETH".ljust(32, b"\0"), 10**18, 0, chain.blocks.head.timestamp)
    sign = (pusher.reports, chain.chain_id)
    two = sign_report(*sign, mock_signers()[:2], report)
    pusher.reports.requireSigned(pusher.reports.priceDigest(report), two)
    digest = pusher.reports.priceDigest(report)
    for signers in (mock_signers()[:1], [accounts[3], accounts[4]]):
        with reverts_with("InvalidSignatures", digest=digest):
            pusher.reports.requireSigned(digest, sign_report(*sign, signers, report))


def test_sequencer_outage_stops_the_clock(deployment, pusher, chain):
    steps = list(publish(pusher, chain).steps())
    chain.pending_timestamp = steps[0].truth.time
    pusher.begin(steps[0].truth.time - 60)
    pusher.push(steps[0])
    down, up = steps[2].truth.time, steps[6].truth.time
    stopped = chain.blocks.head.timestamp - deployment.parameters.activeTime()
    chain.pending_timestamp = up
    pusher.halt(down, up)
    pusher.push(steps[6])
    now = chain.blocks.head.timestamp
    assert now - deployment.parameters.activeTime() == stopped + up - down
    assert deployment.parameters.isOutage(), "grace"
    assert deployment.market_data.spot(2).timestamp == 0
