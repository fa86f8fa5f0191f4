"""The market of the crash day, 10 October 2025, and the venue's thin margins."""

from datetime import UTC, datetime
from decimal import Decimal

from ape.managers.chain import ChainManager

from oracle_mock.market import Rate, Snapshot, postponed
from oracle_mock.paths import DAY, Path
from oracle_mock.pusher import from_now
from oracle_mock.replays import crash_2025_10
from scripts._configuration import Configuration
from scripts.demonstration.crash import PREPARATION_SECONDS
from scripts.demonstration.crash_day.population import Listing
from scripts.demonstration.ledger import WAD, Ledger, call

FIRST = datetime(2025, 10, 10, 12, 30, tzinfo=UTC)
LAST = datetime(2025, 10, 11, 12, 0, tzinfo=UTC)
STEP_SECONDS = 120
# While it is worst, no keeper reaches the chain.
DARK = (
    datetime(2025, 10, 10, 20, 40, tzinfo=UTC),
    datetime(2025, 10, 10, 21, 12, tzinfo=UTC),
)
COINS = {"BTC": "WBTC", "ETH": "WETH"}
PUTS = {"BTC": (104_000, 112_000), "ETH": (3_600, 3_900)}
CALLS = {"BTC": (128_000, 134_000), "ETH": (4_600, 4_900)}
# Half the shipped scan ranges: twice the leverage, and still less than most venues gave that day.
SCAN_RANGE_FACTOR = Decimal("0.5")


def thin(configuration: Configuration) -> Configuration:
    """Return the configuration with half the margin."""
    underlyings = {
        symbol: each.model_copy(update={"scan_range": each.scan_range * SCAN_RANGE_FACTOR})
        for symbol, each in configuration.underlyings.items()
    }
    return configuration.model_copy(update={"underlyings": underlyings})


def market_path(chain: ChainManager) -> tuple[Path, int]:
    """Path of the day, and by how many seconds it was moved to lie ahead of the chain."""
    times = range(int(FIRST.timestamp()), int(LAST.timestamp()) + 1, STEP_SECONDS)
    path = [_with_coins(snapshot) for snapshot in crash_2025_10(times)]
    moved = from_now(path, chain)
    while moved[0].time < chain.pending_timestamp + PREPARATION_SECONDS:
        moved = [postponed(snapshot, DAY) for snapshot in moved]
    return moved, moved[0].time - path[0].time


def listings(ledger: Ledger, first: Snapshot) -> dict[str, Listing]:
    """Return what is traded: the farthest expiry has the future, the nearer ones the options."""
    found = {}
    for symbol, coin in COINS.items():
        number = ledger.ids.underlyings[symbol]
        *options, future = (part.expiry for part in first.markets[symbol].slices)
        # The last field of the struct.
        lot = call(ledger.deployment.parameters, "underlyingParameters", number)[0][-1] / WAD
        found[symbol] = Listing(
            *(number, ledger.ids.assets[coin], lot, future, tuple(options)),
            *(PUTS[symbol], CALLS[symbol]),
        )
    return found


def _with_coins(snapshot: Snapshot) -> Snapshot:
    for coin in COINS.values():
        snapshot = snapshot.with_rate(coin, Rate(1.0, 1.0, snapshot.time))
    return snapshot
