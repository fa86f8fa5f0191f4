"""The model's invariants after every step of random walks, and wrong models caught by them."""

from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model import ledger_actions as actions
from model import ledger_world as world

from reference_model.exact import invariants, position
from reference_model.exact.engine import Engine

PEOPLE = (0xA11CE, 0xB0B, 0xCA401)
ACCOUNTS = tuple(world.account(person, sub_id) for person in PEOPLE for sub_id in (0, 1))
CHECKED = ("withdraw", "match_orders", "set_margin_mode")


def start() -> tuple[Engine, actions.Cast]:
    """Funded accounts, some with collateral."""
    engine = world.engine(fee_collectors={PEOPLE[0]})
    for account in ACCOUNTS:
        engine.deposit(PEOPLE[0], account, 0, 300_000 * 10**6)
    engine.deposit(PEOPLE[0], ACCOUNTS[0], world.WETH, 100 * 10**18)
    engine.deposit(PEOPLE[1], ACCOUNTS[2], world.STABLE, 10**5 * 10**6)
    return engine, actions.Cast(PEOPLE, ACCOUNTS, world.instruments())


def step(choose: actions.Chooser, engine: Engine, cast: actions.Cast, settled: int) -> list[str]:
    """Do one thing and return what it broke."""
    if choose.integer(0, 5) == 0:
        engine.market = actions.draw_market(choose, engine.market)
        return invariants.broken(engine, settled)
    action = actions.draw(choose, engine, cast)
    before = engine.state.copy()
    refused = actions.perform(engine, action)
    found = invariants.broken(engine, settled)
    if refused:
        return found + (["an error left a trace"] if engine.state != before else [])
    for account in touched_by(action):
        found += invariants.risk_is_admitted(engine, before, account)
    return [f"{message} after {action}" for message in found]


def touched_by(action: actions.Action) -> list[int]:
    """Accounts that an action's admission has checked."""
    if action.name == "batch":
        return [a for item in action.arguments[1] for a in touched_by(item)]
    if action.name == "match_orders":
        return [action.arguments[0].account, action.arguments[2].account]
    return [action.arguments[1]] if action.name in CHECKED else []


def walk(seed: int, steps: int) -> list[str]:
    """Return what the first bad step of a seeded walk broke."""
    engine, cast = start()
    choose = actions.Seeded(seed)
    for done in range(steps):
        found = step(choose, engine, cast, settled=10 * done)
        if found:
            return found
    return []


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_invariants_hold_after_any_actions(data):
    engine, cast = start()
    for done in range(data.draw(st.integers(1, 25))):
        assert not step(actions.Drawn(data), engine, cast, settled=10 * done)


@pytest.mark.parametrize("seed", range(3))
def test_invariants_hold_along_a_long_walk(seed):
    assert walk(seed, 400) == []


def test_a_walk_sees_most_kinds_of_success_and_refusal():
    seen = set()
    for seed in range(8):
        engine, cast = start()
        choose = actions.Seeded(seed)
        for _ in range(400):
            if choose.integer(0, 5) == 0:
                engine.market = actions.draw_market(choose, engine.market)
                continue
            action = actions.draw(choose, engine, cast)
            refused = actions.perform(engine, action)
            seen.add(refused[0] if refused else action.name)
    assert {"match_orders", "withdraw", "settle", "batch", "set_margin_mode"} <= seen
    assert {
        "BelowInitialMargin", "StalePrice", "OrderOverfilled", "OpenInterestCap", "ReduceOnly",
        "TooManyPositions", "InsufficientCash", "InstrumentExpired", "CollateralCap",
    } <= seen  # fmt: skip


@pytest.mark.parametrize(
    ("where", "name", "twin"),
    [
        (Engine, "_release_cash", lambda self, amount: None),
        (position, "signed_amount", lambda size, price: size * price // 10**18),
        (Engine, "_change_open_interest", lambda self, instrument, change: None),
        (Engine, "_admit", lambda self: None),
        (Engine, "_remove_empty", lambda self, account: None),
    ],
)
def test_a_wrong_model_is_caught(where, name, twin):
    with patch.object(where, name, twin):
        assert any(walk(seed, 300) for seed in range(3))
