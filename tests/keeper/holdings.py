"""Accounts and a market that the tests without a chain share."""

import numpy as np
from model import ideal_market as small

from reference_model.ideal.predictive import Vectors
from scripts.keeping.fleet import Held
from scripts.keeping.market import MarketView
from scripts.keeping.pricing import Terms

ETH_PERPETUAL = small.ETH << 120
BTC_PERPETUAL = small.BTC << 120
MARKET = small.market()
# The same market with vectors: moves of all three together, with fat tails.
_MOVES = np.clip(np.random.default_rng(3).standard_t(3, (250, 1)) * np.ones(3), -12, 12)
PREDICTIVE_MARKET = MARKET._replace(
    predictive=Vectors(
        *(0.025, 86_400.0, 0.5, 1.0, 0.3, 0.5, _MOVES, np.zeros((250, 3)), 250, 0, 1.0),
        *(np.ones(3, bool), np.ones(3, bool), np.full(3, 0.03), np.full(3, 0.03)),
        np.eye(3) * 0.2 + 0.8,
    )
)
VIEW = MarketView(None, MARKET, np.zeros(3), np.zeros(3), ())
TERMS = Terms(risk_rate=0.05, cushion=0.2, min_profit=1.0)
MARK = float(MARKET.underlyings.mark[1])


def long_eth(units, cash):
    """An account that bought so many ETH perpetuals at the mark."""
    return Held(cash, 0, [], [(ETH_PERPETUAL, units, -units * MARK)], 0)


# Ten ETH, 30,000 USD: scan risk 0.18 of it, so maintenance about 4,320.
SOLD = long_eth(10.0, 3_000.0)
