"""The crash day, in order."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from ape import chain

from oracle_mock.market import Snapshot, postponed, updates
from reference_model.exact import instrument as instruments
from reference_model.ideal import market as markets
from reference_model.ideal import tolerance
from reference_model.ideal.market import Market
from scripts._deployment import Deployment
from scripts.demonstration.crash_day import alternatives, audit, keepers, population
from scripts.demonstration.crash_day.accounting import Accounting
from scripts.demonstration.crash_day.market import (
    DARK,
    SCAN_RANGE_FACTOR,
    STEP_SECONDS,
    listings,
    market_path,
)
from scripts.demonstration.crash_day.record import FOR_SALE, INSOLVENT, Day, KeeperRow, Moment
from scripts.demonstration.crash_day.venue import Cast, Trade, Venue, send
from scripts.demonstration.ledger import CASH, WAD, Actors, Ledger
from scripts.demonstration.witnesses import Witnesses
from scripts.keeping.chain import Chain
from scripts.keeping.telemetry import configure_logs
from scripts.keeping.watch import Keeper

# USD for each account of the owners.
MARKET_MAKER_CASH = 300_000
PROTOCOL_CAPITAL = 20
INSURANCE = 500
# Ten minutes, which meet every price that is known.
CALM_STEPS = 5
# After the last price, while anything is still for sale.
MAX_EXTRA_STEPS = 120


class Replay:
    """The day on one deployment.

    Parameters
    ----------
    deployment
        On a local chain, with thin margins and nothing in it.
    cast
        Who acts.
    count
        Accounts of the owners.
    seed
        Of the accounts.
    folder
        Where the keepers remember what they know.
    calm_steps
        Steps of the market at a time while nothing happens.
    """

    def __init__(
        self,
        deployment: Deployment,
        cast: Cast,
        count: int,
        seed: int,
        folder: Path,
        calm_steps: int = CALM_STEPS,
    ) -> None:
        self.cast, self.folder, self.calm_steps = cast, folder, calm_steps
        self.started, self.first_block = time.perf_counter(), chain.blocks.height
        self.path, self.moved_seconds = market_path(chain)
        actors = Actors(cast.deployer, cast.owners[0], cast.market_maker, cast.sponsor)
        self.ledger = Ledger(deployment, actors, self.moved_seconds)
        self.witnesses = Witnesses(self.ledger)
        self._markets: dict[int, Market] = {}
        self.fund = deployment.insurance_fund
        for symbol, market in self.path[0].markets.items():
            expiries = [part.expiry for part in market.slices]
            deployment.list_expiries(symbol, expiries, cast.deployer)
        self._push(self.path[0])
        self.listings = listings(self.ledger, self.path[0])
        first = self._market(self.path[0])
        holders = population.draw(count, seed, self.listings, first)
        self.venue = Venue(self.ledger, cast, holders)
        modes = [holder.mode for holder in holders]
        self.day = Day(seed, [holder.kind for holder in holders], modes)
        self._imagine(count, seed)

    # ----------------------------------------------------------------------------------- opening

    def open(self) -> Moment:
        """Pay in, trade, borrow; fill protocol capital and the insurance fund; hire keepers."""
        market = self._market(self.path[0])
        self.venue.choose_modes()
        self.venue.pay_in(self._deposits())
        words = [word for each in self.listings.values() for word in each.every_instrument()]
        fair = population.prices(words, market)
        self.venue.trade(self._trades(fair), fair, self.path[0].time)
        self.venue.borrow()
        self._endow()
        self.keepers = self._hire()
        self.accounting = Accounting(self.venue)
        self.equities = self.accounting.equities(market)
        self.before = audit.take(self.venue, self.fund)
        self.day.protocol_capital = self.before.fees / WAD
        self.day.insurance = self.before.fund_raw / self.venue.unit(CASH)
        return self._note(self.path[0], market)

    def _deposits(self) -> list[tuple[int, int, float]]:
        venue = self.venue
        count = len(venue.accounts)
        cash = [(venue.market_maker, float(MARKET_MAKER_CASH * count))]
        cash += [
            (account, float(profile.capital * count))
            for account, profile in zip(venue.keepers, keepers.PROFILES, strict=True)
        ]
        cash += [(a, h.cash) for a, h in zip(venue.accounts, venue.holders, strict=True)]
        coins = [
            (account, asset, tokens)
            for account, holder in zip(venue.accounts, venue.holders, strict=True)
            for asset, tokens in holder.coins.items()
        ]
        return [(account, 0, amount) for account, amount in cash if amount > 0] + coins

    def _trades(self, fair: dict[int, float]) -> list[Trade]:
        venue = self.venue
        trades = [
            Trade(owner, account, instrument, size)
            for owner, account, holder in zip(
                venue.owner, venue.accounts, venue.holders, strict=True
            )
            for instrument, size in holder.sizes.items()
        ]
        for signer, account, profile in zip(
            self.cast.keepers, venue.keepers, keepers.PROFILES, strict=True
        ):
            for symbol, dollars in profile.inventory.items():
                perpetual = instruments.perpetual(self.listings[symbol].number)
                size = round(dollars * len(venue.accounts) / fair[perpetual]) * WAD
                trades.append(Trade(signer, account, perpetual, size))
        return trades

    def _endow(self) -> None:
        """Collect the fees so far, leave a round sum as protocol capital, stake in the fund."""
        sponsor, engine, unit = self.cast.sponsor, self.ledger.engine, self.venue.unit(CASH)
        fees_raw = engine.cashState().fees * unit // WAD
        send(self.cast.deployer, engine, "collectFees", sponsor.address, fees_raw)
        capital_raw, stake_raw = (
            each * len(self.venue.accounts) * unit for each in (PROTOCOL_CAPITAL, INSURANCE)
        )
        self.venue.fund(CASH, engine.address, capital_raw)
        send(sponsor, engine, "contribute", capital_raw)
        self.venue.fund(CASH, self.fund.address, stake_raw)
        send(sponsor, self.fund, "deposit", stake_raw, sponsor.address)

    def _hire(self) -> list[Keeper]:
        configure_logs("console", "error")  # What keepers do is told in other words here.
        node, deployment = Chain(), self.ledger.deployment
        return [
            keepers.hire(node, deployment, signer, account, profile, self.folder)
            for signer, account, profile in zip(
                self.cast.keepers, self.venue.keepers, keepers.PROFILES, strict=True
            )
        ]

    def _imagine(self, count: int, seed: int) -> None:
        """Play the day without a chain: where all is sold at once, and where nothing is done."""
        day, first = self.day, self.path[0]
        path = [self._market(snapshot) for snapshot in self.path]
        day.imagined_times = [self._time(snapshot) for snapshot in self.path]
        held = population.opened(self.venue.holders, self._market(first))
        acts = [not _is_dark(moment) for moment in day.imagined_times]
        day.naive = alternatives.close_out(path, STEP_SECONDS, acts, *held)
        path = path[::CALM_STEPS]
        day.unattended["thin"] = alternatives.worst_health(path, *held)
        shipped = [_with_shipped_margin(market) for market in path]
        holders = population.draw(count, seed, self.listings, shipped[0])
        held = population.opened(holders, shipped[0])
        day.unattended["shipped"] = alternatives.worst_health(shipped, *held)

    # ----------------------------------------------------------------------------------- the day

    def run(self) -> Iterator[Moment]:
        """Move the market step by step, in small steps while anything is for sale."""
        position, extra = 0, 0
        while position < len(self.path) - 1 or (self.accounting.live and extra < MAX_EXTRA_STEPS):
            if position == len(self.path) - 1:
                extra += 1
                self.path.append(_later(self.path[-1]))
            position += 1
            is_due = position % self.calm_steps == 0 or position == len(self.path) - 1
            if is_due or self._is_selling() or self._is_trouble(self.path[position]):
                yield self._step(self.path[position])

    def _is_selling(self) -> bool:
        counts = self.day.moments[-1].counts
        return bool(counts[FOR_SALE] + counts[INSOLVENT])

    def _is_trouble(self, snapshot: Snapshot) -> bool:
        """Whether the model sees an account below maintenance margin at these prices."""
        result = self.accounting.assess(self._market(snapshot))
        return bool((result.equity < result.maintenance_margin).any())

    def _step(self, snapshot: Snapshot) -> Moment:
        self._push(snapshot)
        if not _is_dark(self._time(snapshot)):
            for keeper in self.keepers:
                keeper.once()
        return self._note(snapshot, self._market(snapshot))

    def _note(self, snapshot: Snapshot, market: Market) -> Moment:
        sums, prices = self.accounting.take_in(market), snapshot.markets
        moment = Moment(
            self._time(snapshot),
            {name: prices[name].index for name in prices},
            self.accounting.count(market),
            sums,
        )
        self.day.moments.append(moment)
        return moment

    def finish(self) -> Day:
        """Have every account's status recorded, count what everyone has, check the books."""
        day, venue = self.day, self.venue
        venue.record_all()
        day.touched = {venue.accounts.index(account) for account in self.accounting.sold}
        day.checks = audit.check(venue, self.fund, self.before)
        day.checks.append(self._second_opinion())
        after = self.accounting.equities(self._market(self.path[-1]))
        for keeper, account, profile in zip(
            self.keepers, venue.keepers, keepers.PROFILES, strict=True
        ):
            done, ends = self.accounting.tallies[account], (self.equities[account], after[account])
            row = KeeperRow(profile.name, done.slices, done.rewards, done.gained, *ends)
            day.keepers.append(row)
            day.refused += keeper.hand.refused
        day.blocks = self.first_block, chain.blocks.height
        day.seconds = time.perf_counter() - self.started
        return day

    def _second_opinion(self) -> audit.Check:
        """Compare what the lens says of every account with the numpy model."""
        market = self.witnesses.observe(self.path[-1])._replace(now=chain.blocks.head.timestamp)
        held = self.accounting.read_everyone()
        found = tolerance.compare(market, held, self.ledger.breakdowns(self.venue.everyone))
        text = f"{len(found)} disagreements on {len(held)} accounts"
        return audit.Check("numpy model on every account's margin", text, not found)

    # ----------------------------------------------------------------------------------- prices

    def _push(self, snapshot: Snapshot) -> None:
        """Post a snapshot; no expiry settles on this day."""
        chain.pending_timestamp = max(snapshot.time, chain.pending_timestamp)
        new = updates(snapshot, self.ledger.ids)
        feed = self.ledger.deployment.market_data
        send(self.cast.deployer, feed, "post", new.spots, new.slices, new.rates, [])

    def _time(self, snapshot: Snapshot) -> datetime:
        """As it was in 2025."""
        return datetime.fromtimestamp(snapshot.time - self.moved_seconds, UTC)

    def _market(self, snapshot: Snapshot) -> Market:
        if snapshot.time not in self._markets:
            market = markets.from_integers(self.witnesses.observe(snapshot))
            self._markets[snapshot.time] = market
        return self._markets[snapshot.time]


def _is_dark(moment: datetime) -> bool:
    return DARK[0] <= moment < DARK[1]


def _later(snapshot: Snapshot) -> Snapshot:
    """The same prices a step later."""
    expiries = {name: market.slices for name, market in snapshot.markets.items()}
    later = postponed(snapshot, STEP_SECONDS)
    for name, market in later.markets.items():
        later = later.with_market(name, replace(market, slices=expiries[name]))
    return later


def _with_shipped_margin(market: Market) -> Market:
    """Return the market with the scan ranges of scripts/deploy.yaml."""
    factor = 1 / float(SCAN_RANGE_FACTOR)
    u = market.underlyings
    wider = u._replace(
        scan_range=u.scan_range * factor, initial_scan_range=u.initial_scan_range * factor
    )
    return market._replace(underlyings=wider)
