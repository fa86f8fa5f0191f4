"""The deployed ledger against the exact model through crashes, auctions, losses and outages.

Compared is what `test_engine_state` compares, and the fund, its stakers, the windows, and
what a bid would find on every account.
"""

from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import ape
import pytest
from differential.test_engine_state import Pair, deployed, start  # noqa: F401
from model import ledger_actions as actions
from model import ledger_world as world
from model import liquidation_actions as falls
from model.ledger_actions import Action, Order

from reference_model.exact import (
    auction,
    deleveraging,
    instrument,
    liquidation,
    sale,
    waterfall,
    windows,
)
from reference_model.exact.insurance_fund import InsuranceFund
from reference_model.exact.ledger import Ledger
from reference_model.types import WAD, Market
from scripts._isolation import isolated

SEEDS = (3, 1, 4, 2)
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

    def move(self, market: Market) -> list[str]:
        """Put both sides into a market."""
        before, self.engine.market = self.engine.market, market
        self.chain.post(market, before)
        return self._compare()

    def play(self, story: Callable[["FallingPair"], Iterator[Action | Market]]) -> list[str]:
        """Return how the two differ after the first step of a story after which they do."""
        for step in story(self):
            found = self.do(step) if isinstance(step, Action) else self.move(step)
            if found:
                return found
        return []


def prices(pair: FallingPair, percent: int, seconds: int) -> Market:
    """Return the market some seconds later, everything at a share of its price at the start."""
    market = pair.engine.market
    now = market.now + seconds
    price = {u: p * percent // 100 for u, p in world.PRICES.items()}
    return market._replace(
        now=now,
        spots=tuple(
            s._replace(
                index=price[s.underlying],
                mark=price[s.underlying],
                stable_index=price[s.underlying],
                timestamp=now,
            )
            for s in market.spots
        ),
        slices=tuple(
            s._replace(forward=price[s.underlying], timestamp=now) if s.expiry > now else s
            for s in market.slices
        ),
        collaterals=tuple(c._replace(timestamp=now) for c in market.collaterals),
    )


def fill(pair: FallingPair, maker: int, taker: int, size: int, price: int) -> Action:
    """Return the fill by which the taker buys perpetuals of ETH from the maker."""
    pair.cast.nonce += 1
    terms = price, pair.engine.market.now + 100, pair.cast.nonce, False
    sold = Order(maker, maker >> 8, instrument.perpetual(world.ETH), -size, *terms)
    bought = sold._replace(account=taker, signer=taker >> 8, size=size)
    return Action("match_orders", (sold, True, bought, True, size))


def a_lost_loan(pair: FallingPair) -> Iterator[Action | Market]:
    """Cash that was lent is missing: all who own cash pay, late, and by the week."""
    debtor, bidder, keeper = (pair.cast.accounts[i] for i in (1, 2, 5))
    yield prices(pair, 100, 1)
    rules = pair.engine.rules.auction._replace(max_socialised_share=WAD // 100)
    yield Action("set_auction_parameters", (rules,))
    yield Action("deposit", (debtor >> 8, debtor, world.WETH, 100 * 10**18))
    yield Action("withdraw", (debtor >> 8, debtor, 0, 500_000 * 10**6))
    yield prices(pair, 50, 60)
    yield Action("start_auction", (debtor, keeper))
    for seconds, fraction in ((1_000, 5), (6_900, 2), (1, 2), (302_400, 3), (604_800, 1)):
        yield prices(pair, 50, seconds)
        part = WAD // fraction
        yield Action("bid", (bidder >> 8, debtor, bidder, part, falls.UNLIMITED))
    yield Action("update_status", (debtor,))


def a_bet_lost_to_two(pair: FallingPair) -> Iterator[Action | Market]:
    """One who lost 100,000 too much is closed against one with a profit and one without."""
    loser, winner, late, bidder, keeper = pair.cast.accounts[:5]
    yield prices(pair, 100, 1)
    rules = pair.engine.rules.auction._replace(max_deleverage_share=WAD)
    yield Action("set_auction_parameters", (rules,))
    yield Action("withdraw", (loser >> 8, loser, world.WETH, 100 * 10**18))
    yield fill(pair, winner, loser, 400 * WAD, 3_000 * WAD)
    yield prices(pair, 70, 60)
    yield fill(pair, late, winner, 200 * WAD, 2_100 * WAD)
    yield Action("start_auction", (loser, keeper))
    yield prices(pair, 70, 7_900)
    perpetual = instrument.perpetual(world.ETH)
    yield Action("deleverage", (loser, perpetual, tuple(sorted((winner, late)))))
    yield Action("update_status", (loser,))
    yield Action("bid", (bidder >> 8, loser, bidder, WAD, falls.UNLIMITED))


def a_batch_that_judges_too_early(pair: FallingPair) -> Iterator[Action | Market]:
    """What has yet to be admitted cannot be recorded, sold, or closed."""
    account = pair.cast.accounts[0]
    yield prices(pair, 100, 1)
    for item in (
        Action("update_status", (account,)),
        Action("start_auction", (account, pair.cast.accounts[1])),
    ):
        items = Action("withdraw", (account >> 8, account, 0, 1)), item
        yield Action("batch", (account >> 8, items))


STORIES = (a_lost_loan, a_bet_lost_to_two, a_batch_that_judges_too_early)


@pytest.fixture(scope="module")
def insured(start) -> FallingPair:  # noqa: F811
    """Both ledgers with collateral in some accounts, two stakers, and a window."""
    pair = FallingPair(start.chain, start.copy().engine, start.cast)
    people, accounts = pair.cast.people, pair.cast.accounts
    for action in (
        Action("deposit", (people[0], accounts[0], world.WETH, 100 * 10**18)),
        Action("deposit", (people[1], accounts[3], world.COARSE, 300)),
        Action("set_window", (world.ETH, falls.Window(100 * WAD, 3_600))),
        Action("fund_deposit", (people[0], 2_000 * 10**6, people[0])),
        Action("fund_deposit", (people[1], 2_000 * 10**6, people[1])),
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


@pytest.mark.parametrize("story", STORIES)
def test_chain_and_model_agree_on_a_story(insured, seen, story):
    pair = insured.copy()
    assert pair.play(story) == []
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
        *(
            "AdmissionPending",
            "ERC4626ExceededMaxRedeem",
            "InsufficientShares",
            "ParameterOutOfRange",
        ),
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
    "accounts judged before they are admitted": (
        Ledger,
        "_require_no_admission_owed",
        lambda self, account: None,
    ),
}


@pytest.mark.parametrize("name", TWINS)
def test_a_wrong_twin_of_the_model_is_caught(insured, name):
    with patch.object(*TWINS[name]):
        told = any(_differs(insured, FallingPair.play, story) for story in STORIES)
        assert told or any(_differs(insured, FallingPair.walk, seed, STEPS) for seed in SEEDS), (
            f"nobody noticed {name}"
        )


def _differs(pair: FallingPair, follow: Callable[..., list[str]], *where: Any) -> bool:
    with isolated(ape.chain):
        return bool(follow(pair.copy(), *where))
