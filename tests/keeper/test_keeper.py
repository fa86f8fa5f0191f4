"""A keeper on a chain: it finds, starts, waits and bids; it loses races, restarts and reorgs."""

import sqlite3
import urllib.request
from types import SimpleNamespace

import numpy as np
import pytest
from ape.exceptions import TransactionNotFoundError

from reference_model.types import MarginMode
from scripts._orders import account_of
from scripts.keeping.chain import Chain, NodeError
from scripts.keeping.checkpoint import Checkpoint
from scripts.keeping.follower import follower
from scripts.keeping.hand import Hand, Limits
from scripts.keeping.market import MarketReader
from scripts.keeping.pricing import Terms
from scripts.keeping.telemetry import Metrics, configure_logs
from scripts.keeping.watch import IN_AUCTION, Keeper, Settings

WAD = 10**18
FALL = 1_640.0  # The trader's equity is 2,400 USD then, its maintenance margin about 2,620.


@pytest.fixture(autouse=True)
def _logs():
    configure_logs("json")


@pytest.fixture
def hire(world, tmp_path):
    """Hire a keeper; two of one name share their memory."""

    def hired(who="keeper", *, executes=True, limits=None, terms=None, **settings):
        sender = getattr(world, who)
        chain = Chain()
        checkpoint = Checkpoint(tmp_path / f"{who}.sqlite", "test")
        account, metrics = account_of(sender), Metrics()
        return Keeper(
            chain,
            world.engine,
            follower(chain, world.deployment, checkpoint, (account,)),
            MarketReader(chain, world.deployment),
            Hand(chain, checkpoint, metrics, sender, executes, limits or Limits(), 2_000.0),
            metrics,
            terms or Terms(risk_rate=0.1),
            Settings(account, **settings),
        )

    return hired


def pass_time(world, seconds):
    world.chain.mine(timestamp=world.now + seconds)
    world.post()


def status(world, account):
    return world.engine.statusOf(account)


def metric(keeper, name, **labels):
    collected = keeper.metrics.registry
    return collected.get_sample_value(name, labels) or 0


def actions(keeper, action, outcome):
    return metric(keeper, "keeper_actions_total", action=action, outcome=outcome)


def predictive(world, sub_id):
    """An account of the trader in predictive mode, with 6,000 USD."""
    account = world.deposit(account_of(world.trader, sub_id), 6_000)
    world.engine.setMarginMode(account, MarginMode.PREDICTIVE, sender=world.trader)
    return account


# Margin


def test_model_margins_every_account_as_the_chain_does(world, hire):
    world.deposit(account_of(world.rival), 3, "WETH")
    world.trade(world.long, -0.1, 60_500, world.perpetual("BTC"))
    world.post(ETH=1_900, BTC=61_000)
    keeper = hire(executes=False)
    _, view = keeper._follow()
    result = keeper.fleet.margin(view, keeper.fleet.instruments.price(view))
    accounts = keeper.fleet.accounts
    assert {world.long, *map(account_of, (world.maker, world.keeper, world.rival))} <= set(accounts)
    for row, account in enumerate(accounts):
        seen = world.assess(account)
        for name, value in (
            ("equity", seen.equity),
            ("initial_equity", seen.initialEquity),
            ("collateral_equity", seen.collateralEquity),
            ("maintenance_margin", seen.maintenanceMargin),
            ("initial_margin", seen.initialMargin),
        ):
            assert getattr(result, name)[row] == pytest.approx(value / WAD, rel=1e-9, abs=1e-6)
    assert np.any(result.maintenance_margin > 1_000)


def test_model_margins_accounts_in_predictive_mode_as_the_chain_does(world, hire):
    cautious, daring = predictive(world, 1), predictive(world, 2)
    world.deposit(cautious, 1, "WETH")
    world.trade(cautious, -0.1, 60_500, world.perpetual("BTC"))
    world.trade(daring, 5, 2_000, world.perpetual())
    world.post(ETH=1_900, BTC=61_000)
    keeper = hire(executes=False)
    _, view = keeper._follow()
    result = keeper.fleet.margin(view, keeper.fleet.instruments.price(view))
    for account in (cautious, daring):
        row, seen = keeper.fleet.accounts.index(account), world.assess(account)
        for value, own in (
            (result.maintenance_margin, seen.maintenanceMargin),
            (result.initial_margin, seen.initialMargin),
        ):
            # Perpetuals and coins are linear, so nothing is charged for interpolation.
            assert value[row] == pytest.approx(own / WAD, rel=1e-9)
        assert result.maintenance_margin[row] != result.net_maintenance_margin[row]


# Liquidation


def test_account_in_predictive_mode_is_found_by_its_own_losses(world, hire):
    """Its twin in portfolio mode is sold at a price at which it is still healthy, and later too."""
    twin, keeper = predictive(world, 1), hire()
    world.trade(twin, 10, 2_000, world.perpetual())
    assert world.assess(twin).maintenanceMargin < world.assess(world.long).maintenanceMargin
    world.post(ETH=FALL)
    assert keeper.once().candidates == [world.long]
    world.post(ETH=1_535)
    assert twin in keeper.once().candidates
    assert status(world, twin) == IN_AUCTION
    pass_time(world, 400)
    keeper.once()
    pass_time(world, 60)
    keeper.once()
    sold = world.assess(twin)
    assert status(world, twin) < IN_AUCTION
    assert sold.initialEquity >= sold.initialMargin


def test_account_that_falls_below_maintenance_is_started_waited_for_and_bought(world, hire):
    keeper = hire()
    assert keeper.once().candidates == []
    world.post(ETH=FALL)
    first = keeper.once()
    assert first.candidates == [world.long]
    assert first.outcomes == {"startAuction": ["done"]}
    assert status(world, world.long) == IN_AUCTION
    assert keeper.once().outcomes == {}, "the opening discount does not pay for the risk"
    before = world.assess(keeper.settings.bidder).equity
    pass_time(world, 400)
    bought = keeper.once()
    assert bought.outcomes == {"bid": ["done"]}
    assert status(world, world.long) < IN_AUCTION
    sold = world.assess(world.long)
    assert sold.initialEquity >= sold.initialMargin
    assert world.assess(keeper.settings.bidder).equity > before
    assert keeper.once().outcomes == {}
    assert keeper.hand.spent > 0
    assert keeper.follower.checkpoint.spent(0) == pytest.approx(keeper.hand.spent)


def test_many_accounts_are_started_in_few_transactions(world, hire):
    others = [world.deposit(account_of(world.trader, i), 6_000) for i in range(1, 7)]
    for account in others:
        world.trade(account, 10, 2_000, world.perpetual())
    world.post(ETH=FALL)
    keeper, nonce = hire(), world.keeper.nonce
    assert keeper.once().outcomes == {"startAuction": ["done"] * 7}
    assert world.keeper.nonce == nonce + 2
    assert {status(world, account) for account in (world.long, *others)} == {IN_AUCTION}


def test_dry_run_says_what_it_would_do_and_does_nothing(world, hire, capsys):
    world.post(ETH=FALL)
    keeper = hire(executes=False)
    nonce = world.keeper.nonce
    assert keeper.once().outcomes == {"startAuction": ["would"]}
    assert "would startAuction" in capsys.readouterr().out
    assert world.keeper.nonce == nonce
    world.engine.startAuction(world.long, account_of(world.rival), sender=world.rival)
    pass_time(world, 400)
    assert keeper.once().outcomes == {"bid": ["would"]}
    assert world.keeper.nonce == nonce
    assert status(world, world.long) == IN_AUCTION


def test_hedged_keeper_bids_at_once_where_others_wait(world, hire):
    """Short what the account is long, it is paid twice: by the discount and in margin."""
    flat, hedged = hire("rival"), hire("keeper")
    world.deposit(account_of(world.trader, 1), 50_000)
    maker_side = world.desk.order(
        *(world.keeper, account_of(world.keeper), world.perpetual(), -10 * WAD),
        *(2_000 * WAD, world.now + 86_400),
    )
    trader_side = world.desk.order(
        *(world.trader, account_of(world.trader, 1), world.perpetual(), 10 * WAD),
        *(2_000 * WAD, world.now + 86_400),
    )
    fill = world.desk.fill(world.keeper, maker_side, world.trader, trader_side)
    world.engine.matchOrders(*fill, sender=world.deployer)
    world.post(ETH=FALL)
    assert flat.once().outcomes == {"startAuction": ["done"]}
    assert flat.once().outcomes == {}
    margin = world.assess(account_of(world.keeper)).initialMargin
    assert hedged.once().outcomes == {"bid": ["done"]}
    assert world.assess(account_of(world.keeper)).initialMargin < margin


def test_insolvent_account_is_taken_over_for_what_protocol_capital_pays(world, hire):
    token, amount = world.deployment.tokens["USDC"], 20_000 * 10**6
    token.mint(world.deployer, amount, sender=world.deployer)
    token.approve(world.engine, amount, sender=world.deployer)
    world.engine.contribute(amount, sender=world.deployer)
    world.post(ETH=1_350)
    assert world.assess(world.long).equity < 0
    keeper = hire()
    assert keeper.once().outcomes == {"startAuction": ["done"]}
    fees = world.engine.cashState().fees
    outcomes = {}
    for _ in range(12):
        pass_time(world, 600)
        outcomes = keeper.once().outcomes
        if outcomes:
            break
    assert outcomes == {"bid": ["done"]}
    assert world.engine.cashState().fees < fees
    assert world.assess(world.long).equity >= 0
    assert len(world.engine.positionsOf(world.long)) == 0


def test_what_nobody_buys_is_closed_against_those_who_won(world, hire):
    keeper = hire(terms=Terms(min_profit=1e9))
    world.post(ETH=1_350)
    assert keeper.once().outcomes == {"startAuction": ["done"]}
    pass_time(world, 600 + 7_200)
    size = world.engine.positionOf(world.long, world.perpetual()).size
    assert keeper.once().outcomes == {"deleverage": ["done"]}
    left = world.engine.positionOf(world.long, world.perpetual()).size
    assert 0 <= left < size
    won = world.engine.positionOf(account_of(world.maker), world.perpetual()).size
    assert won == -left, "the maker was short against it"


def test_limits_of_spending_stop_it(world, hire):
    world.post(ETH=FALL)
    keeper = hire(limits=Limits(per_run=0.0))
    assert keeper.once().outcomes == {"startAuction": ["limit"]}
    assert status(world, world.long) != IN_AUCTION


@pytest.mark.parametrize(
    "trouble", [TransactionNotFoundError("0x" + "00" * 32), ConnectionError(), IndexError()]
)
def test_transaction_of_unknown_fate_counts_as_spent(world, hire, trouble):
    """It may be mined after the wait for it is over, beyond any limit else.

    ape fell over its own trace of a transaction that a rival had made to revert, and so did the
    keeper.
    """
    keeper = hire(limits=Limits(per_run=500.0, per_day=1_000.0))
    hand = keeper.hand
    attempt = hand.attempt(world.engine, "updateStatus", world.long)

    def never_seen(*_, **__):
        raise trouble

    late = SimpleNamespace(updateStatus=never_seen)
    assert hand._transact(late, "updateStatus", (), attempt, world.long, 400.0, {}) == "failed"
    assert hand.left() == pytest.approx(100.0)
    again = hand.send(world.engine, "updateStatus", (world.long,), attempt, payment_usd=200.0)
    assert again == "limit"


def test_auction_that_costs_too_much_to_start_is_left_to_others(world, hire):
    world.post(ETH=FALL)
    keeper = hire(max_start_cost=0.0)
    keeper.hand.native_usd = 1e9
    assert keeper.once().outcomes == {}
    assert status(world, world.long) != IN_AUCTION


def test_auction_that_is_over_is_ended(world, hire):
    keeper = hire()
    world.post(ETH=FALL)
    keeper.once()
    world.deposit(world.long, 10_000)
    assert keeper.once().outcomes == {"updateStatus": ["done"]}
    assert status(world, world.long) == 0


# Others


def overtaken(keeper, rival):
    """Let the rival act between a keeper's trial and its transaction, once."""
    original = keeper.hand._transact
    waiting = [rival]

    def transact(*arguments):
        if waiting:
            waiting.pop().once()
        return original(*arguments)

    keeper.hand._transact = transact
    return keeper


@pytest.mark.parametrize("action", ["startAuction", "bid"])
def test_keeper_that_comes_too_late_has_lost_a_race_and_goes_on(world, hire, action):
    rival, keeper = hire("rival"), hire("keeper")
    world.post(ETH=FALL)
    if action == "bid":
        rival.once()
        pass_time(world, 400)
    overtaken(keeper, rival)
    assert keeper.once().outcomes == {action: ["lost"]}
    assert actions(keeper, action, "lost") == 1 and actions(rival, action, "done") == 1
    assert 0 < keeper.hand.spent < 10, "gas, and no payment"
    pass_time(world, 400)
    keeper.once()
    assert actions(keeper, "startAuction", "failed") + actions(keeper, "bid", "failed") == 0


def test_account_is_bought_once_by_keepers_that_take_turns(world, hire):
    keepers = [hire("keeper"), hire("rival")]
    world.post(ETH=FALL)
    for _ in range(3):
        for each in keepers:
            each.once()
        pass_time(world, 300)
    assert sum(actions(each, "startAuction", "done") for each in keepers) == 1
    assert sum(actions(each, "bid", "done") for each in keepers) == 1
    assert status(world, world.long) < IN_AUCTION


# Interruptions


def counted(keeper):
    """Count the accounts that are read."""
    read, original = [], keeper.follower.reader.read

    def reading(accounts, head):
        read.extend(accounts)
        return original(accounts, head)

    keeper.follower.reader = SimpleNamespace(read=reading)
    return read


def test_restart_resumes_where_it_stopped(world, hire):
    hire().once()
    again = hire()
    assert world.long in again.fleet, "known before anything is read"
    read = counted(again)
    again.once()
    assert read == []
    world.deposit(world.long, 5)
    again.once()
    assert read == [world.long]
    world.post(ETH=FALL)
    killed = hire()
    assert killed.once().outcomes == {"startAuction": ["done"]}
    pass_time(world, 400)
    assert hire().once().outcomes == {"bid": ["done"]}


def test_reorganisation_is_survived(world, hire, chain):
    keeper = hire()
    keeper.once()
    known = set(keeper.fleet.accounts)
    snapshot = chain.snapshot()
    orphan = world.deposit(account_of(world.trader, 9), 70)
    world.deposit(world.long, 4_000)
    world.post(ETH=FALL)
    keeper.once()
    assert set(keeper.fleet.accounts) == known | {orphan}
    cash = keeper.fleet[world.long].cash
    chain.restore(snapshot)
    world.post(ETH=2_000)
    chain.mine(3)
    assert keeper.once().outcomes == {}
    assert set(keeper.fleet.accounts) == known
    assert keeper.fleet[world.long].cash == pytest.approx(cash - 4_000)
    assert metric(keeper, "keeper_reorganisations_total") == 1
    world.post(ETH=FALL)
    assert keeper.once().outcomes == {"startAuction": ["done"]}


def test_node_that_fails_is_waited_for(world, hire, monkeypatch):
    keeper = hire(poll_seconds=0.01)
    passes = []

    def once():
        passes.append(None)
        if len(passes) < 3:
            raise NodeError("gone")
        keeper.stop()

    monkeypatch.setattr(keeper, "once", once)
    keeper.run()
    assert len(passes) == 3
    assert metric(keeper, "keeper_errors_total", reason="NodeError") == 2


def test_neither_a_long_outage_nor_a_full_disk_ends_it(world, hire, monkeypatch):
    """Pauses that doubled without end were too long a number after a day."""
    keeper = hire(poll_seconds=3.0)
    passes, pauses = [], []

    def once():
        passes.append(None)
        if len(passes) > 1_500:
            keeper.stop()
        elif len(passes) % 2:
            raise sqlite3.OperationalError("database or disk is full")
        else:
            raise NodeError("gone")

    monkeypatch.setattr(keeper, "once", once)
    monkeypatch.setattr(keeper._stopped, "wait", pauses.append)
    keeper.run()
    assert pauses[:6] == [6, 12, 24, 48, 60, 60] and max(pauses) == 60 and pauses[-1] == 3
    assert metric(keeper, "keeper_errors_total", reason="OperationalError") == 750


def test_node_that_refuses_batches_is_asked_one_by_one(world, hire, monkeypatch):
    provider = Chain().web3.provider
    monkeypatch.setattr(type(provider), "make_batch_request", lambda *_: {"error": "no batches"})
    assert hire(executes=False).once().accounts >= 4


def test_metrics_are_served(world, hire):
    keeper = hire()
    server = keeper.metrics.serve(0)
    try:
        keeper.once()
        address = f"http://127.0.0.1:{server.server_port}/metrics"
        text = urllib.request.urlopen(address, timeout=5).read().decode()
    finally:
        server.shutdown()
        server.server_close()
    assert f"keeper_accounts {float(len(keeper.fleet))}" in text
    assert "keeper_margining_seconds_count 1.0" in text
    assert "keeper_bidder_equity_usd 100000.0" in text
