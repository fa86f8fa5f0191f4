"""Venues with the rules that cost their owners money, each as small as the incident allows.

Amounts are floats, USD; sizes are units, positive when long. None of them is a caricature: each
rule was in force at a venue named in the test that uses it.
"""

from collections import defaultdict
from collections.abc import Mapping

VAULT = "vault"


class LeverageVenue:
    """Perpetuals with margin by leverage alone; profit that nobody has paid counts like cash.

    Parameters
    ----------
    leverage : float
        Initial margin is notional over it, maintenance margin half of that.
    prices : mapping of str to float
        First price of every market.
    """

    def __init__(self, leverage: float, prices: Mapping[str, float]) -> None:
        self.leverage, self.prices, self.before = leverage, dict(prices), dict(prices)
        self.cash: dict[str, float] = defaultdict(float)
        self.sizes: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        self.spot: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))

    def trade(self, buyer: str, seller: str, market: str, size: float) -> None:
        """Trade at the present price."""
        self._change(buyer, market, size, self.prices[market])
        self._change(seller, market, -size, self.prices[market])

    def _change(self, name: str, market: str, size: float, price: float) -> None:
        self.sizes[name][market] += size
        self.cash[name] -= size * price

    def equity(self, name: str) -> float:
        """Cash, tokens and positions at present prices."""
        held = (self.sizes[name], self.spot[name])
        return self.cash[name] + sum(n * self.prices[m] for h in held for m, n in h.items())

    def notional(self, name: str) -> float:
        """Value of all positions, and of tokens beyond what a short position hedges."""
        held = self.sizes[name]
        naked = {m: max(0.0, n + min(0.0, held[m])) for m, n in self.spot[name].items()}
        every = [*held.items(), *naked.items()]
        return sum(abs(n) * self.prices[m] for m, n in every)

    def is_liquidatable(self, name: str) -> bool:
        """Whether equity is below maintenance margin."""
        return self.equity(name) < self.notional(name) / self.leverage / 2

    def withdraw_most(self, name: str) -> float:
        """Let go what exceeds initial margin, profit or not."""
        amount = max(0.0, self.equity(name) - self.notional(name) / self.leverage)
        self.cash[name] -= amount
        return amount

    def move(self, prices: Mapping[str, float]) -> None:
        """Change prices, then do what the venue does to those who fail."""
        self.before = dict(self.prices)
        self.prices.update(prices)
        for name in sorted(set(self.cash) - {VAULT}):
            if self.is_liquidatable(name):
                self.liquidate(name)

    def liquidate(self, name: str) -> None:
        """Do what this venue does to an account below maintenance margin."""
        raise NotImplementedError


class VaultVenue(LeverageVenue):
    """A vault of depositors' money takes over whole accounts at the mark, whatever the market."""

    def liquidate(self, name: str) -> None:
        """Pass everything to the vault."""
        for market, size in self.sizes.pop(name).items():
            self.sizes[VAULT][market] += size
        self.cash[VAULT] += self.cash.pop(name)

    def unwind(self, market: str, share: float) -> None:
        """Sell a share of the vault's position into the market at the present price."""
        self._change(VAULT, market, -share * self.sizes[VAULT][market], self.prices[market])


class QueueVenue(LeverageVenue):
    """Insolvent accounts are closed, whole, against those with most profit times leverage.

    The price is the one before the move that made them insolvent, so the winner forgoes the move
    on all that is closed, not only the deficit. Positions of accounts that are merely below
    maintenance find no buyers while prices fall; tokens do, and are sold where no position is left.
    """

    def __init__(self, leverage: float, prices: Mapping[str, float]) -> None:
        super().__init__(leverage, prices)
        self.deficits = self.haircuts = 0.0
        self.entry: dict[tuple[str, str], float] = {}
        self.deleveraged: dict[str, float] = defaultdict(float)

    def trade(self, buyer: str, seller: str, market: str, size: float) -> None:
        """Trade at the present price, and remember it."""
        super().trade(buyer, seller, market, size)
        self.entry |= {(name, market): self.prices[market] for name in (buyer, seller)}

    def liquidate(self, name: str) -> None:
        """Close an insolvent account against the head of the queue."""
        equity = self.equity(name)
        if not any(self.sizes[name].values()):
            self._sell_tokens(name)
        if equity >= 0:
            return
        self.deficits -= equity
        for market, size in list(self.sizes[name].items()):
            self._deleverage(name, market, size)

    def _sell_tokens(self, name: str) -> None:
        for market, tokens in self.spot[name].items():
            self.cash[name] += tokens * self.prices[market]
            self.spot[name][market] = 0.0

    def _deleverage(self, name: str, market: str, size: float) -> None:
        price, sign = self.before[market], 1 if size > 0 else -1
        for winner in self._queue(market, sign):
            closed = min(abs(size), abs(self.sizes[winner][market])) * sign
            self._change(winner, market, closed, price)
            self._change(name, market, -closed, price)
            self.haircuts += closed * (price - self.prices[market])
            self.deleveraged[winner] += abs(closed)
            size -= closed

    def _queue(self, market: str, sign: int) -> list[str]:
        """Accounts on the other side of a market, most profit times leverage first."""

        def rank(name: str) -> float:
            size = self.sizes[name][market]
            profit = size * (self.prices[market] - self.entry[name, market])
            return profit * self.notional(name) / max(self.equity(name), 1.0)

        opposite = [name for name in self.sizes if self.sizes[name][market] * sign < 0]
        return sorted(opposite, key=rank, reverse=True)


class FirstComeFund:
    """A fund whose shares are worth what the fund has, to whoever asks first."""

    def __init__(self, stakes: Mapping[str, float]) -> None:
        self.shares, self.assets = dict(stakes), sum(stakes.values())

    def leave(self, name: str) -> float:
        """Pay a staker out at once."""
        total = sum(self.shares.values())
        amount = self.assets * self.shares.pop(name) / total
        self.assets -= amount
        return amount

    def pay(self, loss: float) -> float:
        """Pay for a loss as far as the fund goes."""
        paid = min(loss, self.assets)
        self.assets -= paid
        return paid
