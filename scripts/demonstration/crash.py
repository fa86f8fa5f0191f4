"""The market of the demonstration: the days of February 2026, moved to the chain's present."""

from dataclasses import replace
from datetime import UTC, datetime

from ape.managers.chain import ChainManager

from oracle_mock.market import Market, Rate, Snapshot, postponed
from oracle_mock.paths import DAY, Path
from oracle_mock.pusher import from_now
from oracle_mock.replays import crash_2026_02
from scripts.demonstration.books import EXPIRIES

HOUR = 3_600
FUNDING_PERIOD = 8 * HOUR
# The day's expiry is gone by then, and the one of 6 February still ahead.
FIRST = datetime(2026, 2, 4, 8, tzinfo=UTC)
LAST = datetime(2026, 2, 7, 8, tzinfo=UTC)
# The books hold the first two; fuzzed portfolios all.
RATES = {"WETH": 1.0, "WBTC": 1.0, "wstETH": 1.2, "USDT": 1.0, "SOL": 1.0}
# Those with options.
UNDERLYINGS = ("BTC", "ETH")
# Before the first price is pushed the vectors come into force, and some time passes besides.
PREPARATION_SECONDS = DAY + 600


def market_path(chain: ChainManager, hours: int) -> tuple[Path, int]:
    """Path of the crash, and by how many seconds it was moved to lie ahead of the chain.

    Parameters
    ----------
    chain
        Its clock is what the path must lie ahead of.
    hours
        Time between snapshots; a divisor of 48, so that the expiry's hour is among them.
    """
    days = [s for s in crash_2026_02() if FIRST.timestamp() <= s.time <= LAST.timestamp()]
    path = [_with_tokens(_with_premiums(_kept(snapshot))) for snapshot in days[::hours]]
    moved = from_now(path, chain)
    while moved[0].time < chain.pending_timestamp + PREPARATION_SECONDS:
        moved = [postponed(snapshot, DAY) for snapshot in moved]
    return moved, moved[0].time - path[0].time


def _kept(snapshot: Snapshot) -> Snapshot:
    """Only the expiries that the books trade."""
    wanted = {int(expiry.timestamp()) for expiry in EXPIRIES}
    markets = {
        name: replace(market, slices=tuple(s for s in market.slices if s.expiry in wanted))
        for name, market in snapshot.markets.items()
    }
    settlements = {key: price for key, price in snapshot.settlements.items() if key[1] in wanted}
    return replace(snapshot, markets=markets, settlements=settlements)


def _with_premiums(snapshot: Snapshot) -> Snapshot:
    """Let the perpetual trade above its index as the nearest future does.

    No funding of these days is at hand. What a future costs to hold for eight hours is known: a
    perpetual in balance with it has that premium, and funding at that rate.
    """
    for name in UNDERLYINGS:
        market = snapshot.markets[name]
        rate = _carry(market, snapshot.time)
        snapshot = snapshot.with_market(name, replace(market, mark=market.index * (1 + rate)))
    return snapshot


def _carry(market: Market, time: int) -> float:
    """Rise of the forward over eight hours, by the first expiry three days ahead or more."""
    part = next(part for part in market.slices if part.expiry >= time + 3 * 24 * HOUR)
    return (part.forward / market.index) ** (FUNDING_PERIOD / (part.expiry - time)) - 1


def _with_tokens(snapshot: Snapshot) -> Snapshot:
    for token, rate in RATES.items():
        snapshot = snapshot.with_rate(token, Rate(rate, rate, snapshot.time))
    return snapshot
