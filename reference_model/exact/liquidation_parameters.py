"""Rules of auctions and the waterfall, as governance sets them.

Source: specification, Liquidation, section 10; ``contracts/interfaces/ILiquidationParameters.sol``.
"""

from reference_model.exact.events import Event
from reference_model.exact.insurance_fund import InsuranceFund
from reference_model.exact.parameters import require_in_range
from reference_model.types import DAY, WAD, AuctionParameters, LastStep, Window

MAX_AMOUNT = 10**6 * WAD
WEEK = 7 * DAY

DEFAULTS = AuctionParameters(
    opening_discount=2 * WAD // 100,
    cusp_discount=3 * WAD // 10,
    fast_seconds=600,
    slow_seconds=7_200,
    buffer=WAD // 10,
    dust_margin=50 * WAD,
    reward_rate=2 * WAD // 100,
    reward_cap=500 * WAD,
    insolvency_bonus=WAD // 2,
    last_step=LastStep.DELEVERAGE,
    max_socialised_share=WAD // 4,
    max_deleverage_share=WAD // 4,
)


class LiquidationParameters:
    """The rules in force; they do not ramp.

    Attributes
    ----------
    auction : AuctionParameters
    insurance_fund : InsuranceFund or None
        Pays after protocol capital.
    events : list of Event
        All that was emitted.
    """

    def __init__(self, auction: AuctionParameters = DEFAULTS) -> None:
        require_auction(auction)
        self.auction = auction
        self.insurance_fund: InsuranceFund | None = None
        self.events: list[Event] = []
        self._windows: dict[int, Window] = {}

    def window(self, underlying: int) -> Window:
        """Bound of forced volume in a market."""
        return self._windows.get(underlying, Window())

    def set_auction_parameters(self, proposed: AuctionParameters) -> None:
        """Set the rules of auctions, for those that run as well.

        Raises
        ------
        ParameterOutOfRange
        """
        require_auction(proposed)
        self.events.append(Event("AuctionParametersSet", (self.auction, proposed)))
        self.auction = proposed

    def set_window(self, underlying: int, proposed: Window) -> None:
        """Set the bound of forced volume in a market.

        Raises
        ------
        ParameterOutOfRange
        """
        require_in_range("periodSeconds", proposed.period_seconds, 1, WEEK)
        self.events.append(Event("WindowSet", (underlying, self.window(underlying), proposed)))
        self._windows[underlying] = proposed

    def set_insurance_fund(self, fund: InsuranceFund | None) -> None:
        """Set the fund that pays after protocol capital, or none."""
        pair = (f.address if f else 0 for f in (self.insurance_fund, fund))
        self.events.append(Event("InsuranceFundSet", tuple(pair)))
        self.insurance_fund = fund


def require_auction(p: AuctionParameters) -> None:
    """Check the rules of auctions; raises `ParameterOutOfRange`."""
    require_in_range("openingDiscount", p.opening_discount, 0, min(WAD // 2, p.cusp_discount))
    require_in_range("cuspDiscount", p.cusp_discount, 0, WAD)
    require_in_range("fastSeconds", p.fast_seconds, 1, DAY)
    require_in_range("slowSeconds", p.slow_seconds, 1, WEEK)
    require_in_range("buffer", p.buffer, 0, WAD)
    require_in_range("dustMargin", p.dust_margin, 0, MAX_AMOUNT)
    require_in_range("rewardRate", p.reward_rate, 0, WAD // 10)
    require_in_range("rewardCap", p.reward_cap, 0, MAX_AMOUNT)
    require_in_range("insolvencyBonus", p.insolvency_bonus, 0, WAD)
    require_in_range("maxSocialisedShare", p.max_socialised_share, 0, WAD // 2)
    require_in_range("maxDeleverageShare", p.max_deleverage_share, WAD // 100, WAD)
