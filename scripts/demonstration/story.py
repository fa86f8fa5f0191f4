"""What happens in the demonstration, in order, and the record that the report is made of."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from ape import chain

from oracle_mock.market import Snapshot
from oracle_mock.pusher import Pusher
from reference_model.exact import instrument as instruments
from reference_model.types import Breakdown, Health, MarginMode, Scenario
from scripts._deployment import Deployment
from scripts._orders import account_of
from scripts.demonstration.books import BOOKS, EXPIRIES, Book
from scripts.demonstration.crash import UNDERLYINGS, market_path
from scripts.demonstration.ledger import CASH, WAD, Actors, Ledger, call, to_breakdown
from scripts.demonstration.witnesses import Witnesses

MARKET_MAKER_CASH = 8_000_000
SETTLE_EVERY_HOURS = 6
HOUR = 3_600


class Step(NamedTuple):
    """The state of everything at one moment.

    Attributes
    ----------
    time
        As it was in 2026.
    prices
        Index prices, USD.
    breakdowns
        One for each book, then the market maker's.
    """

    time: datetime
    prices: dict[str, float]
    breakdowns: list[Breakdown]

    def health(self, book: int) -> Health:
        """State of a book."""
        return Health(self.breakdowns[book].health)


class WhatIf(NamedTuple):
    """What the lens says an account would be after a trade that nobody made."""

    time: datetime
    book: Book
    trade: str
    before: Breakdown
    after: Breakdown


@dataclass
class Story:
    """Everything that happened.

    Attributes
    ----------
    steps
        The first is the state right after all books were opened.
    if_isolated
        State of each account then, if it chose isolated margin.
    unaccounted_cash
        What conservation of cash says is zero, WAD.
    compared, disagreements
        Breakdowns compared with both models, and what differed.
    gas
        Most gas an action of each kind took.
    funding
        What holding one perpetual cost, USD, by underlying.
    """

    books: tuple[Book, ...]
    scenarios: tuple[Scenario, ...]
    scan_ranges: dict[int, float]
    started: datetime
    chain_id: int = 0
    first_block: int = 0
    last_block: int = 0
    steps: list[Step] = field(default_factory=list)
    if_isolated: list[Health] = field(default_factory=list)
    what_ifs: list[WhatIf] = field(default_factory=list)
    gas: dict[str, int] = field(default_factory=dict)
    funding: dict[str, float] = field(default_factory=dict)
    unaccounted_cash: int = 0
    compared: int = 0
    disagreements: list[str] = field(default_factory=list)

    @property
    def opening(self) -> Step:
        """State after all books were opened."""
        return self.steps[0]


class Play:
    """The demonstration on one deployment.

    Parameters
    ----------
    deployment
        On a local chain, with nothing in it.
    actors
        Who acts; the deployer may post prices and list expiries.
    hours
        Time between two snapshots of the market.
    """

    def __init__(self, deployment: Deployment, actors: Actors, hours: int) -> None:
        self.path, moved_seconds = market_path(chain, hours)
        self.moved_seconds = moved_seconds
        self.ledger = Ledger(deployment, actors, moved_seconds)
        self.actors = actors
        self.witnesses = Witnesses(self.ledger)
        self.pusher = Pusher(deployment.market_data, actors.deployer, self.ledger.ids)
        self.market_maker = account_of(actors.market_maker)
        self.accounts = [account_of(actors.trader, i) for i in range(len(BOOKS))]
        self.everyone = [*self.accounts, self.market_maker]
        scan_ranges = deployment.parameters.scanRanges
        self.story = Story(
            BOOKS,
            self.witnesses.scenarios,
            {u: scan_ranges(u)[0] / WAD for u in self.ledger.ids.underlyings.values()},
            datetime.now(UTC),
            chain.chain_id,
            chain.blocks.height,
        )

    def open_books(self) -> Step:
        """List the real expiries, post the first prices and open every book."""
        deployment, snapshot = self.ledger.deployment, self.path[0]
        expiries = [int(expiry.timestamp()) + self.moved_seconds for expiry in EXPIRIES]
        for symbol in UNDERLYINGS:
            deployment.list_expiries(symbol, expiries, self.actors.deployer)
        self._push(snapshot)
        maker = self.actors.market_maker
        self.ledger.deposit(maker, self.market_maker, CASH, MARKET_MAKER_CASH)
        for account, book in zip(self.accounts, BOOKS, strict=True):
            self.ledger.open(book, account, snapshot)
        self.ledger.measure_requirement("market maker", self.market_maker)
        self.story.if_isolated = [self._if_isolated(account) for account in self.everyone]
        return self._observe(snapshot)

    def crash(self) -> Iterator[Step]:
        """Move the market and settle, one step after the other."""
        last_settlement = self.path[0].time
        for snapshot in self.path[1:]:
            settlements = len(snapshot.settlements)
            self._push(snapshot)
            if snapshot.time - last_settlement >= SETTLE_EVERY_HOURS * HOUR or settlements:
                # Losers pay in during the first round what winners may miss until the second.
                self.ledger.settle(self.everyone * 2)
                last_settlement = snapshot.time
            yield self._observe(snapshot)

    def finish(self) -> None:
        """Settle everyone and count the cash."""
        self.ledger.settle(self.everyone * 2)
        story = self.story
        ids = self.ledger.ids.underlyings
        engine = self.ledger.engine
        story.funding = {s: engine.marketState(ids[s]).fundingIndex / WAD for s in UNDERLYINGS}
        story.unaccounted_cash = self.ledger.unaccounted_cash(self.everyone)
        story.last_block = chain.blocks.height
        story.gas = self.ledger.gas
        story.compared = self.witnesses.compared
        story.disagreements = self.witnesses.disagreements

    def hedge(self, step: Step, index: int) -> WhatIf:
        """Ask the lens what a book would be without its largest delta, by a perpetual."""
        before = step.breakdowns[index]
        part = max(before.underlyings, key=lambda part: abs(part.delta))
        symbol = next(s for s, n in self.ledger.ids.underlyings.items() if n == part.underlying)
        mark = call(self.ledger.deployment.market_data, "spot", part.underlying)[2]
        size = -round(part.delta / mark)
        trade = (instruments.perpetual(part.underlying), size * WAD, mark, True)
        hypothesis = ([], [trade], False, 0)
        account = self.accounts[index]
        rows = call(self.ledger.deployment.margin_lens, "whatIf", account, hypothesis)
        text = f"{'buy' if size > 0 else 'sell'} {abs(size):,} {symbol} perpetual"
        what_if = WhatIf(step.time, BOOKS[index], text, *map(to_breakdown, rows))
        self.story.what_ifs.append(what_if)
        return what_if

    def _if_isolated(self, account: int) -> Health:
        """Ask the lens what state an account would be in if it chose isolated margin."""
        hypothesis = ([], [], True, MarginMode.ISOLATED)
        _, after = call(self.ledger.deployment.margin_lens, "whatIf", account, hypothesis)
        return Health(to_breakdown(after).health)

    def _push(self, snapshot: Snapshot) -> None:
        chain.pending_timestamp = snapshot.time
        self.pusher.push(snapshot)

    def _observe(self, snapshot: Snapshot) -> Step:
        accounts = self.everyone
        breakdowns = self.ledger.breakdowns(accounts)
        market = self.witnesses.observe(snapshot)._replace(now=chain.blocks.head.timestamp)
        self.witnesses.examine(market, self.ledger.portfolios(accounts), breakdowns)
        time = datetime.fromtimestamp(snapshot.time - self.moved_seconds, UTC)
        prices = {name: snapshot.markets[name].index for name in UNDERLYINGS}
        step = Step(time, prices, breakdowns)
        self.story.steps.append(step)
        return step
