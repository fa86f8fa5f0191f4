"""The deployed ledger against the exact model through crashes, auctions, losses and outages.

Compared is what `test_engine_state` compares, and the fund, its stakers, the windows, and
what a bid would find on every account.
"""

from unittest.mock import patch

import pytest
from differential.test_engine_state import (  # noqa: F401
    Pair,
    _revert,
    _snapshot,
    deployed,
    start,
)
from model import ledger_actions as actions
from model import ledger_world as world
from model import liquidation_actions as falls

from reference_model.exact import auction, deleveraging, liquidation, sale, waterfall, windows
from reference_model.exact.insurance_fund import InsuranceFund
from reference_model.exact.ledger import Ledger
from reference_model.types import WAD

SEEDS = (1, 2, 3, 4)
STEPS = 300


class FallingPair(Pair):
    """A pair that goes through crashes."""

    def step(self, choose: actions.Chooser) -> list[str]:
        """Do whatever is drawn."""
        moves = choose.integer(0, 12)
        if moves == 0:
            before = self.engine.market
            self.engine.market = falls.crash(choose, before, world.PRICES)
            self.chain.post(self.engine.market, before)
            return self._compare()
        if moves < 3:
            return self.post(choose, falls.JUMPS)
        kinds = falls.LIQUIDATION_KINDS
        return self.do(actions.draw(choose, self.engine, self.cast, kinds))


@pytest.fixture(scope="module")
def insured(start) -> FallingPair:  # noqa: F811
    """Both ledgers with collateral in some accounts, two stakers, and a window."""
    pair = FallingPair(start.chain, start.copy().engine, start.cast)
    people, accounts = pair.cast.people, pair.cast.accounts
    for action in (
        actions.Action("deposit", (people[0], accounts[0], world.WETH, 100 * 10**18)),
        actions.Action("deposit", (people[0], accounts[3], world.COARSE, 300)),
        actions.Action("set_window", (world.ETH, falls.Window(100 * WAD, 3_600))),
        actions.Action("fund_deposit", (people[0], 2_000 * 10**6, people[0])),
        actions.Action("fund_deposit", (people[1], 2_000 * 10**6, people[1])),
    ):
        assert pair.do(action) == []
    return pair


@pytest.fixture(scope="module")
def seen() -> set[str]:
    """Entry points that succeeded, events and errors met, by all walks."""
    return set()


@pytest.mark.parametrize("seed", SEEDS)
def test_chain_and_model_agree_through_crashes(insured, seen, seed):
    pair = insured.copy()
    assert pair.walk(seed, STEPS) == []
    seen |= pair.seen


def test_the_walks_have_met_what_matters(seen):
    if not seen:
        pytest.skip("no walk was asked for")
    missed = {
        *("update_status", "start_auction", "bid", "deleverage", "contribute", "batch"),
        *("declare_outage", "set_auction_parameters", "set_window", "fund_request_exit"),
        *("StatusChanged", "AuctionStarted", "AuctionEnded", "SliceSold", "Deleveraged"),
        *("LossSocialised", "LossCovered", "Contributed", "InterestBooked"),
        *("InAuction", "NoAuction", "AlreadyInAuction", "NotLiquidatable", "PendingLoss"),
        *("InvalidRewardAccount", "SlicePriceNotAcceptable"),
        *("DeleveragingNotDue", "NothingToDeleverage", "BelowInitialMargin", "ZeroAmount"),
        *("ERC4626ExceededMaxRedeem", "InsufficientShares", "ParameterOutOfRange"),
    } - seen
    assert not missed


PART = sale.part
TWINS = {
    "parts rounded up": (sale, "part", lambda x, f: PART(x, f) + (x > 0 and f < WAD)),
    "a clock that is never paused": (auction, "recorded", lambda clock, seen, now: clock),
    "windows that bind everybody": (auction, "is_deep", lambda seen: seen.equity < 0),
    "windows that never leak": (windows, "level_at", lambda stored, window, now: stored.level),
    "losses that everybody pays at once": (
        liquidation.Liquidation,
        "_may_socialise",
        lambda self, account, elapsed: True,
    ),
    "haircuts of what was paid in": (
        deleveraging,
        "unpaid_profit",
        lambda value, closed, size: 2**200,
    ),
    "a week that never ends": (waterfall, "share_taken", lambda share, seconds, most: share),
    "a run for the exit": (InsuranceFund, "max_redeem", InsuranceFund.balance_of),
    "a bidder judged like a trader": (
        Ledger,
        "_require_no_admission_owed",
        lambda self, account: None,
    ),
}


@pytest.mark.parametrize("name", TWINS)
def test_a_wrong_twin_of_the_model_is_caught(insured, name):
    with patch.object(*TWINS[name]):
        assert any(_differs(insured, seed) for seed in SEEDS), f"nobody noticed {name}"


def _differs(pair: FallingPair, seed: int) -> bool:
    snapshot = _snapshot()
    found = pair.copy().walk(seed, STEPS)
    _revert(snapshot)
    return bool(found)
