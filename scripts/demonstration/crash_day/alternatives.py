"""The same day for the same accounts without a chain: sold whole at market, or left alone.

Selling whole accounts moves prices as in the study of cascades (docs/cascade.md), and with its
assumption on the market's size: longs hold half of a day's volume in each underlying.
"""

from typing import NamedTuple

import numpy as np

from reference_model.cascade.books import Crowd
from reference_model.cascade.market import Liquidity
from reference_model.cascade.market import Market as Impact
from reference_model.ideal import margin, scenarios
from reference_model.ideal.book import Portfolios
from reference_model.ideal.instruments import Instruments
from reference_model.ideal.market import Market


class CloseOut(NamedTuple):
    """Outcome of selling whole accounts.

    Attributes
    ----------
    volume
        Dollar deltas sold so far after each step, USD.
    closed
        Which accounts were closed.
    overshoot
        How far each underlying's price was pushed below its path at most, fraction.
    deficit
        What the accounts closed lacked in all, USD.
    """

    volume: np.ndarray
    closed: np.ndarray
    overshoot: np.ndarray
    deficit: float


def close_out(
    markets: list[Market],
    step_seconds: int,
    acts: list[bool],
    instruments: Instruments,
    holdings: Portfolios,
) -> CloseOut:
    """Sell every account whole at market when it is first seen below maintenance margin.

    Parameters
    ----------
    markets
        One after the other.
    step_seconds
        Time between two of them.
    acts
        Whether the venue can act in each.
    instruments, holdings
        What the accounts hold at first.
    """
    impact, daily_volume = Impact(Liquidity()), _daily_volume(markets[0], instruments, holdings)
    closed, volume = np.zeros(len(holdings.cash), bool), []
    total, deficit, lowest = 0.0, 0.0, np.zeros(len(daily_volume))
    for market, can_act in zip(markets, acts, strict=True):
        impact.recover(step_seconds)
        result = _margin(_displaced(market, impact.displacement), instruments, holdings)
        due = can_act & ~closed & (result.equity < result.maintenance_margin)
        deltas = result.underlyings.delta[due]
        # All that is sold within a step gets its average price.
        moves = impact.trade(-deltas.sum(axis=0) / daily_volume) / 2
        total += result.underlyings.gross_delta[due].sum()
        deficit += np.maximum(-(result.equity[due] + deltas @ moves), 0).sum()
        lowest = np.minimum(lowest, impact.displacement)
        closed |= due
        volume.append(total)
    return CloseOut(np.array(volume), closed, 1 - np.exp(lowest), deficit)


def worst_health(
    markets: list[Market], instruments: Instruments, holdings: Portfolios
) -> np.ndarray:
    """Worst health of every account if nobody does anything."""
    rows = [_margin(market, instruments, holdings).health.astype(int) for market in markets]
    return np.max(rows, axis=0)


def _margin(market: Market, instruments: Instruments, holdings: Portfolios) -> margin.Margin:
    return margin.margin(market, scenarios.price(market, instruments), holdings)


def _daily_volume(market: Market, instruments: Instruments, holdings: Portfolios) -> np.ndarray:
    """Dollars of a day's volume by underlying, from the accounts' long exposure."""
    deltas = _margin(market, instruments, holdings).underlyings.delta
    return np.maximum(deltas, 0).sum(axis=0) / Crowd().open_interest


def _displaced(market: Market, displacement: np.ndarray) -> Market:
    """Return the market with all prices moved; logarithms by underlying."""
    u, factor = market.underlyings, np.exp(displacement)
    moved = u._replace(
        index=u.index * factor,
        mark=u.mark * factor,
        confidence=u.confidence * factor,
    )
    # The last, blank slice belongs to no underlying.
    by_slice = np.append(factor, 1.0)[market.slices.underlying]
    slices = market.slices._replace(forward=market.slices.forward * by_slice)
    return market._replace(underlyings=moved, slices=slices)
