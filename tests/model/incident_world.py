"""An exact ledger led along a path of prices, and those who act in it."""

from collections.abc import Iterable, Mapping
from itertools import count

from oracle_mock.market import to_wad
from reference_model.exact import instrument, invariants, risk_model
from reference_model.exact.engine import Engine
from reference_model.exact.errors import ModelError
from reference_model.exact.exchange import Order
from reference_model.exact.insurance_fund import InsuranceFund
from reference_model.exact.liquidation_parameters import DEFAULTS, LiquidationParameters
from reference_model.exact.tokens import Token
from reference_model.types import (
    DAY,
    WAD,
    Assessment,
    Collateral,
    CollateralParameters,
    GlobalParameters,
    InterestParameters,
    Market,
    Scenario,
    Slice,
    Spot,
    UnderlyingParameters,
)
from scripts._configuration import load_configuration
from scripts.fuzzing.faults import _snake

USD = 10**6
FOREVER = 2**40
KEEPER, STAKER = 0xC0FFEE << 8, 0x57A4E
CONFIGURATION = load_configuration()


def listing(name: str, **changes: float) -> UnderlyingParameters:
    """Parameters of a market of `scripts/deploy.yaml`, some of them changed."""
    deployed = UnderlyingParameters(**_snake(CONFIGURATION.underlyings[name].struct()))
    return deployed._replace(**{key: to_wad(value) for key, value in changes.items()})


class Scene:
    """An exact ledger; parameters are those of `scripts/deploy.yaml` unless said otherwise.

    Parameters
    ----------
    markets : mapping of int to UnderlyingParameters
        By underlying.
    prices : mapping of int to float
        The first, USD.
    staked : int, optional
        USD in the insurance fund.
    expiry : int, optional
        Of a future of every market, whose forward is the spot price; none without.
    rules : dict
        Rules of auctions that differ from the defaults.
    """

    def __init__(
        self,
        markets: Mapping[int, UnderlyingParameters],
        prices: Mapping[int, float],
        now: int = 1_800_000_000,
        staked: int = 0,
        expiry: int = 0,
        **rules: int,
    ) -> None:
        c = CONFIGURATION
        self.markets, self.nonces = dict(markets), count()
        self.global_ = GlobalParameters(**_snake(c.global_.struct()))
        self.collaterals = {
            asset.asset: CollateralParameters(
                **_snake(asset.struct(f"0x{asset.asset:040x}", c.underlyings[asset.underlying].id))
            )
            for asset in c.collaterals.values()
            if asset.underlying and c.underlyings[asset.underlying].id in markets
        }
        interest = InterestParameters(**_snake(c.interest.struct()))
        self.now, self.prices, self.expiry = now, dict(prices), expiry
        self.rules = LiquidationParameters(DEFAULTS._replace(**rules))
        listed = {(underlying, expiry) for underlying in markets if expiry}
        self.engine = Engine(self._market(), interest, listed, Token(0xCA54, 6), rules=self.rules)
        self.fund = InsuranceFund(self.engine, 7 * DAY, DAY)
        self.rules.set_insurance_fund(self.fund)
        if staked:
            self.fund.deposit(STAKER, staked * USD, STAKER)

    def _market(self) -> Market:
        c = CONFIGURATION
        decorrelations = tuple(int(c.decorrelations.get(g, 1) * WAD) for g in range(8))
        scenarios = tuple(Scenario(*s.values()) for s in c.scenario_structs())
        spots = tuple(self._spot(u, to_wad(price)) for u, price in sorted(self.prices.items()))
        collaterals = tuple(
            Collateral(asset, parameters, WAD, WAD, self.now)
            for asset, parameters in sorted(self.collaterals.items())
        )
        slices = tuple(
            Slice(spot.underlying, self.expiry, spot.index, WAD, 0, self.now, 0)
            for spot in spots
            if self.expiry
        )
        return Market(self.now, self.global_, decorrelations, scenarios, spots, slices, collaterals)

    def _spot(self, underlying: int, price: int) -> Spot:
        parameters = self.markets[underlying]
        scan_range = parameters.scan_range
        # The stable price lags; here it is the price itself, which lets more leave.
        prices = (price, 0, price, price, self.now)
        return Spot(underlying, parameters, *prices, scan_range, scan_range)

    # ------------------------------------------------------------------------------------- acting

    def move(self, seconds: int, prices: Mapping[int, float]) -> None:
        """Let time pass and prices move."""
        self.now += seconds
        self.prices.update(prices)
        self.engine.market = self._market()

    def deposit(self, account: int, usd: float, asset: int = 0) -> None:
        """Deposit cash, or whole tokens of an asset."""
        decimals = self.collaterals[asset].decimals if asset else 6
        self.engine.deposit(account >> 8, account, asset, int(usd * 10**decimals))

    def trade(
        self,
        buyer: int,
        seller: int,
        underlying: int,
        size: float,
        is_future: bool = False,
        price: float = 0,
    ) -> None:
        """Trade a perpetual, or the future, at its present price unless another is given."""
        traded = instrument.perpetual(underlying)
        if is_future:
            traded = instrument.future(underlying, self.expiry)
        price = to_wad(price or self.prices[underlying])
        units, nonce = to_wad(size), next(self.nonces)
        maker = Order(seller, seller >> 8, traded, -units, price, FOREVER, nonce, False)
        taker = Order(buyer, buyer >> 8, traded, units, price, FOREVER, nonce, False)
        self.engine.match_orders(maker, True, taker, True, units)

    def trade_most(self, buyer: int, seller: int, underlying: int, lots: int) -> float:
        """Trade as many lots as both may, at most `lots`; return the size."""
        lot, low, high = self.markets[underlying].lot_size / WAD, 0, lots
        while low < high:
            middle = (low + high + 1) // 2
            if self._may(lambda n=middle: self.trade(buyer, seller, underlying, n * lot)):
                low = middle
            else:
                high = middle - 1
        self.trade(buyer, seller, underlying, low * lot)
        return low * lot

    def withdraw_most(self, account: int) -> float:
        """Withdraw the most cash that admission lets go; return it, USD."""
        low, high = 0, max(0, self.engine.state.cash_held // 10**12)
        while low < high:
            middle = (low + high + 1) // 2
            if self._may(lambda n=middle: self.engine.withdraw(account >> 8, account, 0, n)):
                low = middle
            else:
                high = middle - 1
        if low:
            self.engine.withdraw(account >> 8, account, 0, low)
        return low / USD

    def _may(self, action) -> bool:
        before = self.engine.state.copy()
        try:
            action()
        except ModelError:
            return False
        finally:
            self.engine.state = before
        return True

    def keep(self, accounts: Iterable[int], wanted: float, bidder: int = KEEPER) -> float:
        """Start auctions, and bid wherever a bidder gains the share of MM wanted; return gains."""
        gained = 0.0
        for account in accounts:
            offer = self.engine.auction_of(account)
            a = offer.assessment
            if a.equity >= a.maintenance_margin:
                continue
            if not self.engine.account(account).in_auction:
                self.engine.start_auction(account, bidder)
                offer = self.engine.auction_of(account)
                a = offer.assessment
            gain = a.equity - offer.price
            if gain >= wanted * a.maintenance_margin and offer.largest_fraction:
                fraction, _ = self.engine.bid(bidder >> 8, account, bidder, WAD, offer.price)
                gained += gain * fraction / WAD / WAD
        return gained

    # ------------------------------------------------------------------------------------- seeing

    def assess(self, account: int) -> Assessment:
        """Equity and requirement, USD, WAD."""
        return risk_model.assess(self.engine.portfolio(account), self.engine.market)

    def equity(self, account: int) -> float:
        """Equity, USD."""
        return self.assess(account).equity / WAD

    def size(self, account: int, underlying: int) -> float:
        """Size of a perpetual, units."""
        return self.engine.position_of(account, instrument.perpetual(underlying))[0] / WAD

    def paid_by_waterfall(self) -> tuple[float, float, float]:
        """What fees, fund and owners of cash have paid for insolvent accounts, USD."""
        sales = [event.values for event in self.engine.events if event.name == "SliceSold"]
        return tuple(sum(sale[i] for sale in sales) / WAD for i in (4, 5, 6))

    def require_conservation(self) -> None:
        """Check every invariant of the ledger."""
        assert not invariants.broken(self.engine, 0)
