"""The loop of a liquidation keeper: find, margin, confirm, act.

A pass reads what happened since the last, margins every account with the model at the prices of the
latest block, and asks the chain about those near the limit alone. The chain decides: nothing is
sent that was not tried on the latest state before.
"""

import sqlite3
import threading
import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import structlog
from ape.contracts import ContractInstance
from ape.exceptions import ApeException

from reference_model.ideal.margin import Margin
from reference_model.types import WAD, Health
from scripts.keeping.chain import Chain, Head, NodeError, Refusal, methods
from scripts.keeping.deleveraging import counterparties
from scripts.keeping.follower import Follower
from scripts.keeping.hand import Attempt, Hand
from scripts.keeping.market import MarketReader, MarketView
from scripts.keeping.pricing import Auction, Offer, Terms, best_offer
from scripts.keeping.telemetry import Metrics

INSOLVENT, IN_AUCTION, RECOVERING = 3, 4, 5
LONGEST_PAUSE_SECONDS = 60
# Until a bid was tried, what it is taken to cost.
TYPICAL_BID_GAS = 2_000_000
HEADROOM = 1.02
STARTED_AT_ONCE = 5

log = structlog.get_logger()


class Settings(NamedTuple):
    """How a keeper watches.

    Attributes
    ----------
    bidder
        Account that takes slices over and receives rewards.
    near
        Candidates are accounts whose equity is below maintenance margin times one plus this.
    poll_seconds
        Pause between two passes.
    max_start_cost
        USD that starting or ending an auction may cost beyond its reward.
    max_candidates
        Accounts that the chain is asked about in one pass, the worst of the solvent first.
    """

    bidder: int
    near: float = 0.05
    poll_seconds: float = 3
    max_start_cost: float = 5.0
    max_candidates: int = 500


class Preview(NamedTuple):
    """``AuctionPreview`` in USD and fractions; see there."""

    status: int
    equity: float
    maintenance_margin: float
    initial_margin: float
    elapsed_seconds: int
    discount: float
    price: float
    restoring: float
    largest: float

    @property
    def is_below(self) -> bool:
        """Whether equity is below maintenance margin."""
        return self.equity < self.maintenance_margin

    def is_worth(self, gas_usd: float) -> bool:
        """Whether somebody may gain by a bid that costs as much, or there is a deficit to tell of.

        A solvent account is sold for its equity less at most its maintenance margin. One that
        nobody can gain by would be put up for sale again whenever its auction has lapsed.
        """
        return self.equity < 0 or self.maintenance_margin > gas_usd

    @property
    def auction(self) -> Auction:
        """What pricing needs of it."""
        return Auction(self.price, self.largest, self.initial_margin)

    @classmethod
    def of(cls, struct: tuple) -> "Preview":
        status, assessment, elapsed, *numbers = struct
        equity, _, _, maintenance, initial, _ = assessment
        usd = (each / WAD for each in (equity, maintenance, initial))
        return cls(status, *usd, elapsed, *(each / WAD for each in numbers))


class Pass(NamedTuple):
    """What one pass saw and did: outcomes by action."""

    head: Head
    accounts: int
    candidates: list[int]
    outcomes: dict[str, list[str]]


@dataclass
class Keeper:
    """A keeper of one engine."""

    chain: Chain
    engine: ContractInstance
    follower: Follower
    market: MarketReader
    hand: Hand
    metrics: Metrics
    terms: Terms
    settings: Settings
    _bid_gas: int = field(default=TYPICAL_BID_GAS, init=False)
    _stopped: threading.Event = field(default_factory=threading.Event, init=False)

    def __post_init__(self) -> None:
        self._views = methods(self.engine)
        self.fleet = self.follower.fleet

    # ----------------------------------------------------------------------------------- loop

    def stop(self) -> None:
        """End after the pass that is under way."""
        self._stopped.set()

    def run(self) -> None:
        """Pass after pass until stopped; failures of node and checkpoint are waited out."""
        pause = self.settings.poll_seconds
        while not self._stopped.is_set():
            try:
                self.once()
                pause = self.settings.poll_seconds
            except (NodeError, ApeException, sqlite3.Error) as error:
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
                self.metrics.errors.labels(type(error).__name__).inc()
                log.error("pass failed", error=str(error), again_in_seconds=pause)
            self._stopped.wait(pause)
        log.info("stopped")

    def once(self) -> Pass:
        """One pass."""
        with self.metrics.pass_time.time():
            head, view = self._follow()
            risk = self.fleet.instruments.price(view)
            with self.metrics.margined.time():
                result = self.fleet.margin(view, risk)
            candidates = self._candidates(result)
            self._observe(head, result, candidates)
            outcomes = self._act(view, risk, candidates)
        self.metrics.passed.set_to_current_time()
        log.info(
            "pass",
            block=head.number,
            accounts=len(self.fleet),
            candidates=len(candidates),
            **{name: ", ".join(found) for name, found in outcomes.items()},
        )
        return Pass(head, len(self.fleet), candidates, outcomes)

    # ---------------------------------------------------------------------------------- reading

    def _follow(self) -> tuple[Head, MarketView]:
        """Read what has happened; return the block and its market."""
        sync = self.follower.follow()
        if sync.stepped_back:
            self.metrics.reorganisations.inc()
        if self.settings.bidder not in self.fleet:
            raise NodeError("the bidder's account cannot be read: the log says why")
        view = self.market.read(sync.head, self.fleet.instruments.expiries)
        for underlying, expiry in view.unpriced:
            log.warning("no price: taken at the index", underlying=underlying, expiry=expiry)
        return sync.head, view

    def _candidates(self, result: Margin) -> list[int]:
        """Accounts that the chain is to be asked about, solvent ones first, the worst of each.

        Half of the places are for either kind, as far as it fills them: deficits that nobody takes
        hide no account that can still be sold, and small accounts hide no deficit.
        """
        accounts = self.fleet.accounts
        surplus = result.equity - result.maintenance_margin
        recorded = np.array([self.fleet[a].status >= INSOLVENT for a in accounts], bool)
        near = surplus < self.settings.near * result.maintenance_margin
        chosen = np.flatnonzero(near | (result.equity < 0) | recorded)
        chosen = chosen[np.argsort(surplus[chosen], kind="stable")]
        is_deficit = result.equity[chosen] < 0
        solvent, deficits = chosen[~is_deficit], chosen[is_deficit]
        places = self.settings.max_candidates
        most = max(places - places // 2, places - len(deficits))
        worst = np.concatenate(
            [solvent[:most], deficits[: max(places // 2, places - len(solvent))]]
        )
        return [accounts[row] for row in worst.tolist()]

    def _observe(self, head: Head, result: Margin, candidates: list[int]) -> None:
        m = self.metrics
        m.block.set(head.number)
        m.lag.set(max(0, time.time() - head.timestamp))
        m.accounts.set(len(self.fleet))
        m.below_initial.set(int(np.sum(result.health >= Health.MARGIN_CALL)))
        m.candidates.set(len(candidates))
        m.auctions.set(sum(self.fleet[a].status in (IN_AUCTION, RECOVERING) for a in candidates))
        m.shortfall.set(float(-np.minimum(result.equity, 0).sum()))
        row = self.fleet.accounts.index(self.settings.bidder)
        m.equity.set(result.equity[row])
        m.spare.set(result.initial_equity[row] - result.initial_margin[row])

    # ----------------------------------------------------------------------------------- acting

    def preview(self, accounts: list[int]) -> list[Preview | Refusal]:
        """What a bid for each account would find on the latest state."""
        rows = self.chain.read_many([self._views["auctionOf"](a) for a in accounts])
        return [row if isinstance(row, Refusal) else Preview.of(row[0]) for row in rows]

    def _act(self, view: MarketView, risk: Any, candidates: list[int]) -> dict[str, list[str]]:
        """Do for every candidate what the chain says is due."""
        outcomes: dict[str, list[str]] = {}
        previews: dict[int, Preview] = {}
        for account, found in zip(candidates, self.preview(candidates), strict=True):
            if isinstance(found, Refusal):
                log.error("no preview", account=hex(account), reason=str(found))
            elif account == self.settings.bidder:
                log.warning("the bidder's own account is near its limit", equity=found.equity)
            else:
                previews[account] = found
        changed = {a for a, found in previews.items() if self._record(a, found, outcomes)}
        below = [a for a, found in previews.items() if found.is_below]
        least = self.hand.gas_usd(self._bid_gas)
        changed |= self._start([a for a in below if previews[a].is_worth(least)], outcomes)
        fresh = [account for account in below if account in changed]
        if fresh:  # Their rewards have passed from them to the bidder.
            self.follower.read([*fresh, self.settings.bidder], self.chain.head())
        previews |= dict(zip(fresh, self.preview(fresh), strict=True))
        for account in below:
            found = previews[account]
            if isinstance(found, Preview) and found.is_below:
                sold = self._bid(account, found, view, risk, outcomes)
                if not sold and found.equity < 0 and found.discount >= 1:
                    self._deleverage(account, outcomes)
        return outcomes

    def _record(self, account: int, found: Preview, outcomes: dict[str, list[str]]) -> bool:
        """Have the engine note what became of an account for sale or in deficit; whether it did.

        So the clock of an auction stands while the account is above maintenance and runs when it is
        below again, an auction that is over ends, and a deficit, or that there is none any more, is
        known to those whom it concerns.
        """
        recorded = self.fleet[account].status
        is_new = found.status != recorded or not found.is_below
        if recorded < INSOLVENT or not is_new:
            return False
        attempt = self.hand.attempt(self.engine, "updateStatus", account)
        if attempt.is_refused or attempt.result[0] == recorded:
            return False
        return self._send("updateStatus", (account,), attempt, outcomes) == "done"

    def _send(
        self,
        name: str,
        arguments: tuple,
        attempt: Attempt,
        outcomes: dict[str, list[str]],
        *,
        reward_usd: float = 0.0,
        **facts: Any,
    ) -> str:
        """Send what brings nothing but a reward, unless it costs more than is allowed."""
        cost = attempt.gas_usd - reward_usd
        if cost > self.settings.max_start_cost:
            log.info(f"no {name}: it costs too much", account=hex(arguments[0]), cost_usd=cost)
            return "dear"
        if reward_usd:
            facts["reward_usd"] = round(reward_usd, 2)
        outcome = self.hand.send(
            self.engine, name, arguments, attempt, account=arguments[0], **facts
        )
        outcomes.setdefault(name, []).append(outcome)
        return outcome

    def _start(self, accounts: list[int], outcomes: dict[str, list[str]]) -> set[int]:
        """Put accounts up for sale that are not, or no longer; return those for which it was done.

        In a crash there are many: several fit in one transaction.
        """
        due: list[tuple[int, Attempt]] = []
        for account in accounts:
            attempt = self.hand.attempt(self.engine, "startAuction", account, self.settings.bidder)
            if not isinstance(attempt.result, Refusal):
                due.append((account, attempt))
            elif attempt.result.name != "AlreadyInAuction":
                log.info("not started", account=hex(account), reason=str(attempt.result))
        done: set[int] = set()
        for start in range(0, len(due), STARTED_AT_ONCE):
            group = due[start : start + STARTED_AT_ONCE]
            if not self._start_together(group, outcomes, done):
                for account, attempt in group:
                    arguments, reward = (account, self.settings.bidder), attempt.result[0] / WAD
                    if (
                        self._send(
                            *("startAuction", arguments, attempt, outcomes), reward_usd=reward
                        )
                        == "done"
                    ):
                        done.add(account)
        return done

    def _start_together(
        self, group: list[tuple[int, Attempt]], outcomes: dict[str, list[str]], done: set[int]
    ) -> bool:
        """Start several auctions in one transaction; return whether that was tried and is fit."""
        if len(group) == 1:
            return False
        cost = sum(attempt.gas_usd - attempt.result[0] / WAD for _, attempt in group)
        if cost > self.settings.max_start_cost:
            return False
        accounts = [account for account, _ in group]
        encode = self.engine.startAuction.encode_input
        calls = [encode(account, self.settings.bidder) for account in accounts]
        attempt = self.hand.attempt(self.engine, "batch", calls)
        if attempt.is_refused or not attempt.fits:
            return False
        started = [hex(account) for account in accounts]
        outcome = self.hand.send(self.engine, "batch", (calls,), attempt, started=started)
        outcomes.setdefault("startAuction", []).extend([outcome] * len(group))
        if outcome == "done":
            done.update(accounts)
        return True

    def _bid(
        self,
        account: int,
        found: Preview,
        view: MarketView,
        risk: Any,
        outcomes: dict[str, list[str]],
    ) -> bool:
        """Bid for the best slice, if one is worth it; return whether one was."""

        def offer(
            gas_usd: float, auction: Auction, shares: np.ndarray | None = None
        ) -> Offer | None:
            verdict = best_offer(
                *(view, risk, self.fleet.instruments, self.fleet[self.settings.bidder]),
                *(self.fleet[account], auction, self.terms, gas_usd, shares),
            )
            if verdict.offer is None:
                facts = {"discount": round(found.discount, 4), "reason": verdict.reason}
                log.info("no bid", account=hex(account), **facts)
            return verdict.offer

        wanted = offer(self.hand.gas_usd(self._bid_gas), found.auction)
        if wanted is None:
            return False
        arguments = self._arguments(account, wanted, found)
        attempt = self.hand.attempt(self.engine, "bid", *arguments)
        if isinstance(attempt.result, Refusal):
            log.info("no bid", account=hex(account), reason=str(attempt.result))
            return False
        self._bid_gas = attempt.gas
        # What the trial sold, and for what, decides: the rule on dust may sell more than was asked
        # for, the waterfall pay less than its claim.
        sold, payment = (each / WAD for each in attempt.result)
        tried = found.auction._replace(price=payment / sold)
        certain = offer(attempt.gas_usd, tried, np.array([sold]))
        if certain is not None:
            arguments = self._arguments(account, certain, found)
            self._send_bid(arguments, certain, attempt, outcomes)
        return certain is not None

    def _arguments(self, account: int, offer: Offer, found: Preview) -> tuple[int, int, int, int]:
        """Arguments of a bid; who wants the largest slice asks for a little more.

        The price falls until the transaction is mined, so the slice that restores grows: asked for
        as it was previewed, it would be missed by a hair and the auction go on. The engine sells no
        more than the largest.
        """
        share, most = offer.fraction, self.terms.max_payment
        if share >= found.largest * (1 - 1e-9) and offer.payment * HEADROOM <= most:
            share *= HEADROOM
        fraction = min(round(share * WAD), WAD)
        max_price = min(offer.max_price, most / share)
        return account, self.settings.bidder, fraction, round(max_price * WAD)

    def _send_bid(
        self, arguments: tuple, offer: Offer, attempt: Attempt, outcomes: dict[str, list[str]]
    ) -> None:
        outcome = self.hand.send(
            *(self.engine, "bid", arguments, attempt),
            account=arguments[0],
            payment_usd=attempt.result[1] / WAD,
            fraction=round(offer.fraction, 6),
            profit_usd=round(offer.profit, 2),
            added_margin_usd=round(offer.added_margin, 2),
        )
        outcomes.setdefault("bid", []).append(outcome)
        if outcome == "done":
            self.follower.read([self.settings.bidder], self.chain.head())

    def _deleverage(self, account: int, outcomes: dict[str, list[str]]) -> None:
        """Close positions that nobody buys against those whose profit they are, where it is due."""
        for instrument, size, _ in self.fleet[account].positions:
            others = counterparties(self.fleet, account, instrument, size)
            if not others:
                continue
            arguments, attempt = self._fitting(account, instrument, others)
            if isinstance(attempt.result, Refusal):
                log.info("not deleveraged", account=hex(account), reason=str(attempt.result))
            elif attempt.result[0]:
                facts = {"instrument": hex(instrument), "closed": attempt.result[0] / WAD}
                self._send("deleverage", arguments, attempt, outcomes, **facts)

    def _fitting(self, account: int, instrument: int, others: list[int]) -> tuple[tuple, Attempt]:
        """Try to deleverage against as many, the largest first, as one transaction has gas for."""
        while True:
            arguments = account, instrument, sorted(others)
            attempt = self.hand.attempt(self.engine, "deleverage", *arguments)
            is_too_much = not attempt.fits or (attempt.is_refused and not attempt.result.name)
            if not is_too_much or len(others) == 1:
                return arguments, attempt
            others = others[: len(others) // 2]
