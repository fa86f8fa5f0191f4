"""Random walks through crashes: invariants after every step, and wrong models caught by them."""

from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model import ledger_actions as actions
from model import ledger_world as world
from model import liquidation_actions as falls
from model.test_exact_walks import ACCOUNTS, PEOPLE

from reference_model.exact import (
    auction,
    invariants,
    liquidation,
    risk_model,
    waterfall,
)
from reference_model.exact.engine import Engine
from reference_model.exact.insurance_fund import InsuranceFund
from reference_model.exact.ledger import Ledger
from reference_model.types import DAY, WAD, Window

KINDS = falls.LIQUIDATION_KINDS


def start() -> tuple[Engine, actions.Cast]:
    """Funded accounts, a fund with two stakers, and a window for one market."""
    engine = world.engine(fee_collectors={PEOPLE[0]})
    for account in ACCOUNTS:
        engine.deposit(PEOPLE[0], account, 0, 300_000 * 10**6)
    engine.deposit(PEOPLE[0], ACCOUNTS[0], world.WETH, 100 * 10**18)
    engine.deposit(PEOPLE[1], ACCOUNTS[3], world.COARSE, 300)
    fund = InsuranceFund(engine, 3_600, DAY)
    engine.rules.set_insurance_fund(fund)
    engine.rules.set_window(world.ETH, Window(100 * WAD, 3_600))
    for person in PEOPLE[:2]:
        fund.deposit(person, 2_000 * 10**6, person)
    return engine, actions.Cast(PEOPLE, ACCOUNTS, world.instruments())


class Walk:
    """One walk, and what it has met."""

    def __init__(self, choose: actions.Chooser) -> None:
        self.choose = choose
        self.engine, self.cast = start()
        self.seen: set[str] = set()
        self.settled = 0

    def step(self) -> list[str]:
        """Do one thing and return what it broke."""
        engine, choose = self.engine, self.choose
        self.settled += 10
        moves = choose.integer(0, 12)
        if moves < 3:
            if moves:
                engine.market = actions.draw_market(choose, engine.market, falls.JUMPS)
            else:
                engine.market = falls.crash(choose, engine.market, world.PRICES)
            return invariants.broken(engine, self.settled)
        action = actions.draw(choose, engine, self.cast, KINDS)
        before, staked = engine.state.copy(), engine.rules.insurance_fund.state.copy()
        emitted, offer = len(engine.events), self._offer(action)
        refused = actions.perform(engine, action)
        self.seen.add(refused[0] if refused else action.name)
        found = invariants.broken(engine, self.settled)
        if refused:
            left = engine.state != before or engine.rules.insurance_fund.state != staked
            left = left or len(engine.events) > emitted
            return found + (["an error left a trace"] if left else [])
        for event in engine.events[emitted:]:
            self.seen.add(event.name)
            if event.name == "SliceSold" and action.name == "bid":
                found += invariants.sale_is_fair(engine, invariants.Sale(before, offer, event))
                self.seen |= {
                    name
                    for name, paid in zip(("fees", "fund", "all"), event.values[4:], strict=True)
                    if paid
                }
        if action.name == "deleverage":
            closed = [event for event in engine.events[emitted:] if event.name == "Deleveraged"]
            found += invariants.closing_is_fair(engine, before, closed)
        found += self._unchecked(action, before)
        return [f"{message} after {action}" for message in found]

    def _offer(self, action):
        """Return what a bid will find."""
        if action.name != "bid" or action.arguments[1] not in ACCOUNTS:
            return None
        return self.engine.auction_of(action.arguments[1])

    def _unchecked(self, action, before) -> list[str]:
        """Return what admission should have refused, or has not recorded."""
        found = []
        for account, name in judged(action):
            seen = risk_model.assess(self.engine.portfolio(account), self.engine.market)
            stored = self.engine.account(account)
            if name == "bid" and (seen.initial_equity < seen.initial_margin or stored.in_auction):
                found.append(f"I5: bidder {account:#x} ended with {seen}")
            if name != "bid":
                found += invariants.risk_is_admitted(self.engine, before, account)
            if action.name != "batch" and stored.health != risk_model.health(seen):
                found.append(f"L2: {account:#x} is not recorded as {seen}")
        return found


def judged(action: actions.Action) -> list[tuple[int, str]]:
    """Accounts that an action's admission has judged, and what for."""
    name, given = action
    if name == "batch":
        return []
    if name == "match_orders":
        return [(given[0].account, name), (given[2].account, name)]
    if name == "bid":
        return [(given[2], name)]
    return [(given[1], name)] if name in ("withdraw", "set_margin_mode") else []


def walk(seed: int, steps: int) -> tuple[list[str], set[str]]:
    """Return what the first bad step of a seeded walk broke, and what was met."""
    journey = Walk(actions.Seeded(seed))
    for _ in range(steps):
        found = journey.step()
        if found:
            return found, journey.seen
    return [], journey.seen


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_invariants_hold_through_any_crash(data):
    journey = Walk(actions.Drawn(data))
    for _ in range(data.draw(st.integers(1, 25))):
        assert not journey.step()


@pytest.fixture(scope="module")
def met() -> set[str]:
    """Actions, errors, events and payers that all walks have met."""
    return set()


@pytest.mark.parametrize("seed", range(12))
def test_invariants_hold_along_a_long_walk(seed, met):
    found, seen = walk(seed, 400)
    met |= seen
    assert found == []


def test_the_walks_have_met_what_matters(met):
    if not met:
        pytest.skip("no walk was asked for")
    missed = {
        *("update_status", "start_auction", "bid", "deleverage", "contribute", "batch"),
        *("fund_deposit", "fund_mint", "fund_request_exit", "fund_redeem", "fund_withdraw"),
        *("StatusChanged", "AuctionStarted", "AuctionEnded", "SliceSold", "LossSocialised"),
        *("Deleveraged", "Contributed", "fees", "fund", "all"),
        *("InAuction", "NoAuction", "AlreadyInAuction", "NotLiquidatable", "WindowExhausted"),
        *("InvalidBidder", "InvalidRewardAccount", "SlicePriceNotAcceptable", "PendingLoss"),
        *("DeleveragingNotDue", "NothingToDeleverage"),
        *("AdmissionPending", "TooManyPositions", "BelowInitialMargin", "ZeroAmount"),
        *("ERC4626ExceededMaxRedeem", "ERC4626ExceededMaxWithdraw", "InsufficientShares"),
    } - met
    assert not missed


def _sold_too_little(assessment, price, rules):
    """Sell half of what restores."""
    return RESTORING(assessment, price, rules) // 2 or 1


RESTORING = auction.restoring_fraction
TWINS = {
    "half of what restores": (auction, "restoring_fraction", _sold_too_little),
    "a bidder that need not be healthy": (
        Ledger,
        "_require_admitted",
        lambda self, account, check, after: None,
    ),
    "socialising that takes from nobody": (
        waterfall,
        "socialise",
        lambda rest, base, index, share: waterfall.Socialisation(rest, index),
    ),
    "the fund before protocol capital": (
        liquidation.Liquidation,
        "_pay_claim",
        lambda self, account, offer, fraction: waterfall.Payment(
            0, self._draw_on_fund(-offer.price * fraction // WAD), 0
        ),
    ),
    "sales that leave open interest": (
        Ledger,
        "_change_open_interest",
        lambda self, instrument, change: None,
    ),
    "insolvency that nobody writes down": (Ledger, "_record", lambda self, account, seen: None),
}


@pytest.mark.parametrize("name", TWINS)
def test_a_wrong_model_is_caught(name):
    with patch.object(*TWINS[name]):
        assert any(walk(seed, 400)[0] for seed in range(6)), f"nobody noticed {name}"
