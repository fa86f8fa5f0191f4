"""Gas of market data: of a price with one, three and five sources, a volatility, a whole market.

Every source is a Chainlink adapter on a feed that honours the real interface. "Cold" is the first
call of a transaction, "warm" a second one within it; both include the call itself.
"""

import ape
from ape.api import AccountAPI
from ape.contracts import ContractInstance
from eth_abi import decode

from reference_model.exact import svi
from reference_model.types import DAY, WAD

SOURCES = (1, 3, 5)
SNAPSHOT_UNDERLYINGS = 8
SNAPSHOT_SOURCES = 3
TENORS_DAYS = (7, 30, 90, 180)
INDEX = 100_000
FEED_DECIMALS = 8
DEVIATION = WAD // 200
SERVES_SECONDS = 3_600
NO_SOURCE = ("0x" + "00" * 20, 0)


class MarketBench:
    """A hub with feeds of one, three and five sources and eight whole markets of three each."""

    def __init__(self, deployer: AccountAPI) -> None:
        self.deployer = deployer
        project = ape.project
        governance = deployer.deploy(project.Governance, deployer)
        clock = deployer.deploy(project.ClockDouble)
        reports = deployer.deploy(project.SignedReports, governance)
        self.hub = deployer.deploy(project.OracleHub, governance, clock, reports)
        self.probe: ContractInstance = deployer.deploy(project.GasProbe)
        self.aggregators = [
            deployer.deploy(project.MockAggregator, FEED_DECIMALS, "BTC / USD")
            for _ in range(max(SOURCES))
        ]
        self.sources = [
            deployer.deploy(project.ChainlinkSource, aggregator, DEVIATION)
            for aggregator in self.aggregators
        ]
        self.feeds = {count: SNAPSHOT_UNDERLYINGS + count for count in SOURCES}
        self.underlyings = list(range(1, SNAPSHOT_UNDERLYINGS + 1))
        self.answer(0)
        for count, feed in self.feeds.items():
            self.set_feed(feed, count)
        for feed in self.underlyings:
            self.set_feed(feed, SNAPSHOT_SOURCES)
        self.hub.observeMany([*self.feeds.values(), *self.underlyings], sender=deployer)
        now = ape.chain.blocks.head.timestamp
        self.expiries = [now + days * DAY for days in TENORS_DAYS]
        for feed in self.underlyings:
            self.post(feed, now)

    def answer(self, step: int) -> None:
        """Let each feed answer a little other than the next, and other than at other steps."""
        for i, aggregator in enumerate(self.aggregators):
            answer = (INDEX + 10 * i + step) * 10**FEED_DECIMALS
            aggregator.setAnswer(answer, sender=self.deployer)

    def set_feed(self, feed: int, count: int) -> None:
        """Take the price of a feed from the first sources."""
        parameters = {
            "sources": [(source.address, DAY) for source in self.sources[:count]],
            "quorum": count // 2 + 1,
            "minPrice": INDEX * WAD // 100,
            "maxPrice": INDEX * WAD * 100,
            "maxMove": WAD // 10,
            "stableRate": 6 * WAD // 100,
            "markBand": WAD // 50,
            "cacheSeconds": SERVES_SECONDS,
            "markSource": NO_SOURCE,
        }
        self.hub.setFeed(feed, parameters, sender=self.deployer)

    def post(self, underlying: int, now: int) -> None:
        """Post a slice of each tenor."""
        count = len(self.expiries)
        smiles = [
            svi.pack(0.01 * (1 + i), 0.05 * (1 + i / 10), -0.3, 0.0, 0.2) for i in range(count)
        ]
        report = (underlying, self.expiries, [WAD] * count, [WAD] * count, smiles, now)
        self.hub.postSurface(report, sender=self.deployer)

    def gas(self, target: ContractInstance, call: bytes, warm: bool = False) -> int:
        """Execution gas of a view."""
        measure = self.probe.measureAgain if warm else self.probe.measure
        data = measure.encode_input(target, call)
        answer = ape.networks.provider.web3.eth.call({"to": self.probe.address, "data": data})
        return decode(["uint256", "bytes"], bytes(answer))[0]

    def both(self, key: str, target: ContractInstance, call: bytes) -> dict[str, int]:
        """Gas of a view cold and warm."""
        return {
            f"{key}.cold": self.gas(target, call),
            f"{key}.warm": self.gas(target, call, warm=True),
        }


def measure(deployer: AccountAPI) -> dict[str, int]:
    """Gas figures under their keys in ``bench.json``.

    Parameters
    ----------
    deployer
        Holds every role.
    """
    bench = MarketBench(deployer)
    hub, figures = bench.hub, {}
    for count, feed in bench.feeds.items():
        call = hub.aggregate.encode_input(feed)
        figures |= bench.both(f"gas.market.price.{count}", hub, call)
    figures |= bench.both("gas.market.spot", hub, hub.spot.encode_input(bench.underlyings[0]))
    strike = INDEX * WAD * 11 // 10
    volatility = bench.probe.volatility.encode_input(
        hub, bench.underlyings[0], bench.expiries[1], INDEX * WAD, strike
    )
    figures["gas.market.vol"] = bench.gas(bench.probe, volatility)
    figures["gas.market.vol.warm"] = bench.gas(bench.probe, volatility, warm=True)
    figures["gas.market.snapshot.8x4"] = bench.gas(
        hub, hub.snapshot.encode_input(bench.underlyings)
    )
    # An observation like most: one of many, of prices that moved.
    bench.answer(1)
    for count, feed in bench.feeds.items():
        receipt = hub.observe(feed, sender=deployer)
        figures[f"gas.market.observe.{count}"] = receipt.gas_used
    return figures
