"""What happened on the crash day, added up from events and a model that margins all accounts."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from reference_model.ideal import margin, scenarios
from reference_model.ideal.market import Market
from reference_model.types import WAD, Health, Portfolio
from scripts.demonstration.crash_day.events import Event, Events
from scripts.demonstration.crash_day.record import (
    BELOW_MAINTENANCE,
    FOR_SALE,
    HEALTHY,
    INSOLVENT,
    MARGIN_CALL,
    RECOVERING,
    STATUSES,
    Sums,
    Tally,
)
from scripts.demonstration.crash_day.venue import Venue

EVENTS = ("AuctionStarted", "SliceSold", "AuctionEnded", "LossSocialised", "StatusChanged")


class Accounting:
    """Follows everyone's holdings and sums up what was sold and paid.

    Parameters
    ----------
    venue
        With all accounts open.

    Attributes
    ----------
    live
        Accounts in auction.
    sold
        Accounts that were put up for sale.
    tallies
        What each keeper's account has done.
    """

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self._events = Events(venue.engine, EVENTS)
        self._events.since_last()
        self._owned = set(venue.accounts)
        self._sums = Sums()
        self._held: dict[int, Portfolio] = {}
        self.live: set[int] = set()
        self.sold: set[int] = set()
        self.tallies: dict[int, Tally] = defaultdict(Tally)
        self._read(venue.everyone)

    def take_in(self, market: Market) -> Sums:
        """Add up what happened since the last time, at these prices; return all sums so far."""
        events = self._events.since_last()
        if events:
            self._add_up(events, self.assess(market))
            everyone = any(event.name == "LossSocialised" for event in events)
            touched = {account for event in events for account in _accounts(event)}
            self._read(self.venue.everyone if everyone else touched)
        return replace(self._sums)

    def assess(self, market: Market) -> margin.Margin:
        """Margin everyone, in the order of `Venue.everyone`."""
        words, held = margin.from_integers(market, list(self._held.values()))
        return margin.margin(market, scenarios.price(market, words), held)

    def equities(self, market: Market) -> dict[int, float]:
        """Equity by account, USD."""
        return dict(zip(self._held, self.assess(market).equity.tolist(), strict=True))

    def count(self, market: Market) -> dict[str, int]:
        """Accounts of the owners by status: health as the model sees it, and who is for sale."""
        counts = Counter(
            _status(Health(int(health)), account in self.live)
            for account, health in zip(self._held, self.assess(market).health, strict=True)
            if account in self._owned
        )
        return {name: counts[name] for name in STATUSES}

    def read_everyone(self) -> list[Portfolio]:
        """Read what everyone holds now."""
        self._read(self.venue.everyone)
        return list(self._held.values())

    def _read(self, accounts: Iterable[int]) -> None:
        accounts = list(accounts)
        self._held |= dict(zip(accounts, self.venue.portfolios(accounts), strict=True))

    def _add_up(self, events: Iterable[Event], before: margin.Margin) -> None:
        """Follow the equity of what is sold, slice by slice; prices stand still meanwhile."""
        row = {account: i for i, account in enumerate(self._held)}
        equity, gross = before.equity.copy(), before.underlyings.gross_delta.sum(axis=1)
        for event in events:
            account = event.values.get("account")
            usd = {k: v / WAD for k, v in event.values.items() if isinstance(v, int)}
            if event.name == "AuctionStarted":
                self._start(account, event.values["rewardAccount"], usd["reward"])
                equity[row[account]] -= usd["reward"]
            elif event.name == "AuctionEnded":
                self.live.discard(account)
            elif event.name == "SliceSold":
                self._sell(event.values["bidder"], usd, row[account], equity, gross)

    def _start(self, account: int, keeper: int, reward: float) -> None:
        self.live.add(account)
        self.sold.add(account)
        self.tallies[keeper].rewards += reward
        self._sums.auctions += 1
        self._sums.rewards += reward

    def _sell(
        self, bidder: int, usd: dict[str, float], at: int, equity: np.ndarray, gross: np.ndarray
    ) -> None:
        sums, tally, fraction = self._sums, self.tallies[bidder], usd["fraction"]
        given = fraction * equity[at] - usd["payment"]
        tally.slices, tally.gained = tally.slices + 1, tally.gained + given
        sums.slices += 1
        sums.volume += fraction * gross[at]
        if equity[at] >= 0:
            sums.discounts += given
        else:
            sums.bonuses += given
        sums.from_fees += usd["fromFees"]
        sums.from_fund += usd["fromFund"]
        sums.socialised += usd["socialised"]
        gross[at] *= 1 - fraction
        equity[at] = (1 - fraction) * equity[at] + max(usd["payment"], 0)


def _status(health: Health, in_auction: bool) -> str:
    """Name of a status as the contracts understand it."""
    if health is Health.INSOLVENT:
        return INSOLVENT
    if health is Health.LIQUIDATABLE:
        return FOR_SALE if in_auction else BELOW_MAINTENANCE
    return RECOVERING if in_auction else (HEALTHY, MARGIN_CALL)[health]


def _accounts(event: Event) -> list[int]:
    names = ("account", "bidder", "rewardAccount")
    return [event.values[name] for name in names if name in event.values]
