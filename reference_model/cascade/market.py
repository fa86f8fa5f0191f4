"""What forced volume does to prices.

A trade moves the logarithm of the price in two ways:

* for good, in proportion to its volume, ``γ·σ·q/V`` (linear, as anything else could be pumped);
* for a while, by the square root of all volume the market still remembers,
  ``Y·σ·√(|Q|/(depth·V))``, where Q forgets exponentially as books refill.

σ is the volatility of a day, V the volume of a day, `depth` the share of the usual liquidity that
is left in a crash. Whoever trades within one step gets its average price.

Source: docs/cascade.md, which names where each number comes from.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Liquidity:
    """Parameters of impact; volumes in usual daily volumes."""

    depth: float = 0.02
    temporary: float = 1.0
    permanent: float = 0.314
    recovery_seconds: float = 1_800
    volatility: tuple[float, float] = (0.6, 0.8)


class Market:
    """Displacement of prices by forced volume; arrays of shape (underlyings,)."""

    def __init__(self, liquidity):
        self.liquidity = liquidity
        self.sigma = np.array(liquidity.volatility) / np.sqrt(365)
        self.remembered = np.zeros(len(self.sigma))
        self.permanent = np.zeros(len(self.sigma))

    @property
    def displacement(self):
        """Logarithm of price over fundamental."""
        return self.permanent + self._temporary(self.remembered, self.sigma)

    def _temporary(self, remembered, sigma):
        root = np.sign(remembered) * np.sqrt(np.abs(remembered) / self.liquidity.depth)
        return self.liquidity.temporary * sigma * root

    def recover(self, seconds):
        """Let books refill."""
        self.remembered = self.remembered * np.exp(-seconds / self.liquidity.recovery_seconds)

    def move(self, volumes):
        """Change of the logarithm of prices that signed volumes (u, ...) would bring."""
        ranks = (-1, *(1,) * (np.ndim(volumes) - 1))
        sigma, remembered = self.sigma.reshape(ranks), self.remembered.reshape(ranks)
        after = self._temporary(remembered + volumes, sigma)
        gone = self.liquidity.permanent * sigma * volumes
        return after - self._temporary(remembered, sigma) + gone

    def trade(self, volume):
        """Trade a signed volume (u,), positive bought; returns the move of the logarithm."""
        move = self.move(volume)
        self.remembered = self.remembered + volume
        self.permanent = self.permanent + self.liquidity.permanent * self.sigma * volume
        return move
