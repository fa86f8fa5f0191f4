"""Prices and parameters by id, as the contracts ask for them.

Source: specification, sections 7 and 13; ``contracts/interfaces/IMarketData.sol``.
"""

from functools import lru_cache

from reference_model.exact.errors import MissingCollateralRate, MissingPrice
from reference_model.types import (
    Collateral,
    CollateralParameters,
    Market,
    Slice,
    Spot,
    UnderlyingParameters,
)

UNLISTED = UnderlyingParameters(False, False, *[0] * (len(UnderlyingParameters._fields) - 2))
UNKNOWN = CollateralParameters("0x" + "0" * 40, 0, 0, False, 0, 0, 0)


class MarketData:
    """A market, indexed. A price of 0 has never been posted.

    Attributes
    ----------
    market : Market
        What is indexed.
    """

    def __init__(self, market: Market) -> None:
        self.market = market
        self._spots = {spot.underlying: spot for spot in market.spots}
        self._slices = {(slice_.underlying, slice_.expiry): slice_ for slice_ in market.slices}
        self._collaterals = {collateral.asset: collateral for collateral in market.collaterals}

    def spot(self, underlying: int) -> Spot:
        """Spot market of an underlying.

        Raises
        ------
        MissingPrice
            If no price was ever posted.
        """
        spot = self._spots.get(underlying)
        if spot is None or spot.index == 0:
            raise MissingPrice(underlying, 0)
        return spot

    def slice(self, underlying: int, expiry: int) -> Slice:
        """Forward market of one expiry.

        Raises
        ------
        MissingPrice
            If no forward was ever posted.
        """
        slice_ = self._slices.get((underlying, expiry))
        if slice_ is None or slice_.forward == 0:
            raise MissingPrice(underlying, expiry)
        return slice_

    def settlement_price(self, underlying: int, expiry: int) -> int:
        """Final price of an expiry, USD, WAD; 0 until it is known."""
        slice_ = self._slices.get((underlying, expiry))
        return slice_.settlement_price if slice_ else 0

    def collateral_rate(self, asset: int) -> Collateral:
        """Rates of a collateral asset.

        Raises
        ------
        MissingCollateralRate
            If none was ever posted.
        """
        collateral = self._collaterals.get(asset)
        if collateral is None or collateral.rate == 0:
            raise MissingCollateralRate(asset)
        return collateral

    def underlying_parameters(self, underlying: int) -> UnderlyingParameters:
        """Parameters of an underlying, all zero if it is not listed."""
        spot = self._spots.get(underlying)
        return spot.parameters if spot else UNLISTED

    def collateral_parameters(self, asset: int) -> CollateralParameters:
        """Parameters of a collateral asset, all zero if it is unknown."""
        collateral = self._collaterals.get(asset)
        return collateral.parameters if collateral else UNKNOWN


@lru_cache(maxsize=16)
def indexed(market: Market) -> MarketData:
    """Return the market indexed, kept for the next portfolio in it."""
    return MarketData(market)
