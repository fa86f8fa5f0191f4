"""Books, dates and the contracts they are measured by."""

from math import exp
from random import Random
from typing import NamedTuple

import ape
from eth_abi import decode

from reference_model import vectors
from reference_model.exact.predictive_model import Publication
from reference_model.types import Exposure, Prediction, PredictiveParameters

WAD = 10**18
HOUR = 3_600
# By place; ids neither ascending nor adjacent.
BASKET = dict(zip((3, 1, 200, 2, 7, 255, 50, 4), (6 * WAD // 10,) * 8, strict=True))
PLACES = len(BASKET)


class World(NamedTuple):
    """Contracts, and what the exact model needs to do the same."""

    chain: object
    actors: object
    parameters: object
    market: object
    estimator: object
    model: object
    probe: object

    def wait(self, seconds):
        """Let active time pass."""
        self.chain.pending_timestamp = self.chain.blocks.head.timestamp + seconds
        self.chain.mine()

    def ramp_seconds(self):
        return self.parameters.globalParameters().rampSeconds

    def publish(self, words, leaving=0, places=PLACES):
        return self.model.publish(words, leaving, places, sender=self.actors.publisher)

    def publish_in_force(self, words, leaving=0, places=PLACES):
        self.publish(words, leaving, places)
        self.wait(self.ramp_seconds())

    def sample(self, rng, count=6):
        """Let prices move together, so that there are correlations of either sign."""
        time = self.chain.blocks.head.timestamp
        prices = dict.fromkeys(BASKET, 1_000.0)
        for _ in range(count):
            time += HOUR
            common = rng.gauss(0, 0.01)
            for place, underlying in enumerate(BASKET):
                beta = (1, 1, -1, 0.5, 0, 1, 0.8, -0.2)[place]
                prices[underlying] *= exp(beta * common + rng.gauss(0, 0.004))
                value = int(prices[underlying] * WAD)
                spot = (value, 0, value, value, time)
                self.market.setSpot(underlying, spot, sender=self.actors.admin)
            self.chain.pending_timestamp = time
            self.estimator.sample(sender=self.actors.outsider)

    def prediction(self, words):
        """Return what the exact model reads at this block."""
        estimator, block = self.estimator, self.chain.blocks.head
        ids = list(BASKET)
        deviations = list(zip(*estimator.deviations(ids), strict=True))
        correlations = tuple(tuple(estimator.correlation(u, v) for v in ids) for u in ids)
        return Prediction(
            PredictiveParameters(*self.model.parameters()),
            tuple(ids),
            tuple(deviations),
            correlations,
            Publication(*self.model.publication()),
            tuple(words),
            block.timestamp,
        )

    def gas(self, method, *arguments):
        """Execution gas of a view, as a contract pays for it, everything cold."""
        call = getattr(self.model, method).encode_input(*arguments)
        data = self.probe.measure.encode_input(self.model, call)
        answer = ape.networks.provider.web3.eth.call({"to": self.probe.address, "data": data})
        return decode(["uint256", "bytes"], bytes(answer))[0]


def random_words(rng: Random, count, places=PLACES, cells=None):
    """Draw valid words: rows of the given cells, shares anywhere, also at their bounds."""
    words = []
    for _ in range(count):
        word = 0
        for p in range(places):
            row = 2 * rng.choice(cells or range(30)) + rng.randrange(2)
            a = rng.choice([rng.randrange(1024)] * 8 + [0, 1023])
            b = rng.choice([rng.randrange(min(1024, 1025 - a))] * 4 + [min(1023, 1024 - a), 0])
            word |= row << (5 + 10 * p) | a << (90 + 10 * p) | b << (175 + 10 * p)
        words.append(word)
    return words


def market_words(rng: Random, count, places=PLACES):
    """Draw dates like those of markets: fat tails, moves in common."""
    z, y = [], []
    for _ in range(count):
        scale = 1 / max(0.2, rng.gammavariate(2, 0.5)) ** 0.5
        common = rng.gauss(0, 1) * scale
        z.append([0.8 * common + 0.6 * scale * rng.gauss(0, 1) for _ in range(places)])
        y.append([-0.1 * m + 0.1 * scale * rng.gauss(0, 1) for m in z[-1]])
    return vectors.encode(z, y)


def random_exposure(rng: Random, underlying, bits=90, options=True):
    """Draw any numbers: nothing that a market would make, and all of it legal."""
    count = 44 if options else 11

    def amount():
        size = 2 ** rng.uniform(0, bits)
        return int(rng.choice([0, size, size, size, 2**bits]))

    def signed():
        return rng.choice([-1, 1]) * amount()

    return Exposure(
        underlying,
        rng.choice([0, rng.randrange(WAD), rng.randrange(WAD // 10), WAD]),
        signed(),
        amount() >> 20,
        amount(),
        tuple(amount() if options else 0 for _ in range(3)),
        tuple(signed() for _ in range(count)),
        tuple(amount() for _ in range(count)),
    )
