"""Every refusal of the contracts as an exception with the same name and the same values.

An exception's `name` and `arguments` are those of the Solidity error, in its order; addresses and
hashes are integers and bytes, signed values are signed. A test compares the pair with decoded
revert data.

Source: specification, the sections named; declared in ``contracts/interfaces`` and
``contracts/types``.
"""

from typing import Any, ClassVar


class ModelError(Exception):
    """A refusal of the contracts; the state is as it was before.

    Attributes
    ----------
    parameters : tuple of str
        Names of the error's arguments, of the class.
    """

    parameters: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *arguments: Any) -> None:
        if len(arguments) != len(self.parameters):
            raise TypeError(f"{type(self).__name__} takes {self.parameters}, got {arguments}")
        super().__init__(*arguments)

    @property
    def name(self) -> str:
        """Name of the Solidity error."""
        return type(self).__name__

    @property
    def arguments(self) -> tuple:
        """Values of the Solidity error."""
        return self.args

    def __str__(self) -> str:
        pairs = zip(self.parameters, self.args, strict=True)
        return f"{self.name}({', '.join(f'{name}={value}' for name, value in pairs)})"


class Panic(ModelError):
    """A product or sum beyond 256 bits (0x11); the compiler's own error."""

    parameters = ("code",)


# Mathematics.


class LogarithmOfZero(ModelError):
    pass


class ExponentTooLarge(ModelError):
    parameters = ("x_x64",)


class InvalidSlice(ModelError):
    parameters = ("svi",)


class ButterflyArbitrage(ModelError):
    parameters = ("svi", "k_x64", "density_x64")


class CalendarArbitrage(ModelError):
    parameters = ("near", "far", "k_x64")


# Instruments and positions: section 3.


class UnknownInstrument(ModelError):
    parameters = ("instrument",)


class PositionOverflow(ModelError):
    parameters = ("instrument", "value")


# Market data: section 7.


class MissingPrice(ModelError):
    parameters = ("underlying", "expiry")


class MissingCollateralRate(ModelError):
    parameters = ("asset",)


# Market data chapter: the clock, the hub, its surface and settlement, the estimator.


class OutageTooSoon(ModelError):
    parameters = ("now", "earliest")


class UnknownFeed(ModelError):
    parameters = ("feed",)


class SourceTwice(ModelError):
    parameters = ("source",)


class FixedOnceListed(ModelError):
    parameters = ("name", "current", "proposed")


class RampUnderWay(ModelError):
    parameters = ("end",)


class NoRampUnderWay(ModelError):
    pass


class InvalidVector(ModelError):
    parameters = ("index", "word")


class AmountTooLarge(ModelError):
    parameters = ("amount", "max")


class NotPredicted(ModelError):
    parameters = ("account",)


class LengthMismatch(ModelError):
    pass


class TimestampAhead(ModelError):
    parameters = ("timestamp", "now")


class TimestampBackwards(ModelError):
    parameters = ("timestamp", "earliest")


class SlicesNotAscending(ModelError):
    parameters = ("underlying", "expiry", "previous")


class SliceExpired(ModelError):
    parameters = ("underlying", "expiry", "now")


class ExpiryNotListed(ModelError):
    parameters = ("underlying", "expiry")


class VolMoveTooLarge(ModelError):
    parameters = ("underlying", "expiry", "k_x64", "old_x64", "new_x64")


class ForwardMoveTooLarge(ModelError):
    parameters = ("underlying", "expiry", "old", "new")


class SliceTooEarly(ModelError):
    parameters = ("now", "earliest")


class ExpiryAlreadyListed(ModelError):
    parameters = ("underlying", "expiry")


class ExpiryNotOnTheHour(ModelError):
    parameters = ("expiry",)


class TooManyExpiries(ModelError):
    parameters = ("underlying", "max")


class SettlementTooEarly(ModelError):
    parameters = ("underlying", "expiry", "now")


class SettlementFinal(ModelError):
    parameters = ("underlying", "expiry", "known", "proposed")


class BasketFull(ModelError):
    parameters = ("max",)


class AlreadyInBasket(ModelError):
    parameters = ("underlying",)


class NotInBasket(ModelError):
    parameters = ("underlying",)


class SampleTooEarly(ModelError):
    parameters = ("now", "earliest")


# Sources of prices: Market data, section 2.


class InvalidAnswer(ModelError):
    parameters = ("answer", "updated_at")


class InvalidPythPrice(ModelError):
    parameters = ("price", "exponent")


class InvalidReport(ModelError):
    parameters = ("feed",)


class ReportAhead(ModelError):
    parameters = ("feed", "timestamp", "block_timestamp")


class NoReport(ModelError):
    parameters = ("feed",)


class InvalidRate(ModelError):
    parameters = ("rate",)


class RateBelowSnapshot(ModelError):
    """The rate is below where the line starts."""

    parameters = ("rate", "ratio")


class SnapshotTooEarly(ModelError):
    parameters = ("block_timestamp", "earliest")


class DivisorUncertain(ModelError):
    parameters = ("divisor", "confidence")


class CrossTooSmall(ModelError):
    parameters = ("a", "b")


# Parameters: section 13.


class ParameterOutOfRange(ModelError):
    parameters = ("name", "value", "min", "max")


class UnderlyingNotListed(ModelError):
    parameters = ("underlying",)


class LotSizeNotDivisor(ModelError):
    parameters = ("current", "proposed")


class VolClassSplit(ModelError):
    parameters = ("vol_ppm",)


class ScenarioSideMissing(ModelError):
    parameters = ("side",)


# The ledger: sections 2, 4, 6, 11 and 12.


class OnlyEngine(ModelError):
    parameters = ("caller",)


class InvalidAccount(ModelError):
    parameters = ("account",)


class NotAuthorised(ModelError):
    parameters = ("account", "caller")


class Reentrancy(ModelError):
    pass


class ZeroAmount(ModelError):
    pass


class UnsupportedDecimals(ModelError):
    parameters = ("token", "decimals")


class UnknownAsset(ModelError):
    parameters = ("asset",)


class AssetDisabled(ModelError):
    parameters = ("asset",)


class CollateralCap(ModelError):
    parameters = ("asset", "total_raw", "cap_raw")


class TransferMismatch(ModelError):
    parameters = ("token", "expected_raw", "received_raw")


class TokenShortfall(ModelError):
    parameters = ("token", "balance_raw", "accounted_raw")


class InsufficientCash(ModelError):
    parameters = ("requested", "cash_held")


class InsufficientFees(ModelError):
    parameters = ("requested", "fees")


class InsufficientCollateral(ModelError):
    parameters = ("asset", "requested_raw", "balance_raw")


class CashOverflow(ModelError):
    parameters = ("account", "value")


class InstrumentExpired(ModelError):
    parameters = ("instrument", "expiry")


class InvalidSignature(ModelError):
    parameters = ("order_hash", "signer")


class OrdersDoNotMatch(ModelError):
    parameters = ("maker_hash", "taker_hash")


class PriceNotAcceptable(ModelError):
    parameters = ("price", "limit")


class OrderExpired(ModelError):
    parameters = ("order_hash", "deadline")


class OrderCancelled(ModelError):
    parameters = ("order_hash",)


class OrderOverfilled(ModelError):
    parameters = ("order_hash", "remaining", "size")


class NonceNotIncreasing(ModelError):
    parameters = ("account", "current", "proposed")


class InvalidSize(ModelError):
    parameters = ("size", "lot_size")


class InvalidPrice(ModelError):
    parameters = ("price",)


class ReduceOnly(ModelError):
    parameters = ("account", "size_before", "size_after")


class StrikeTooFar(ModelError):
    parameters = ("strike", "index")


class OpenInterestCap(ModelError):
    parameters = ("underlying", "open_interest", "cap")


class TooManyPositions(ModelError):
    parameters = ("account", "cap")


class AccountTooHeavy(ModelError):
    parameters = ("account", "weight", "limit")


class BelowInitialMargin(ModelError):
    parameters = ("account", "initial_equity", "initial_margin")


class StalePrice(ModelError):
    parameters = ("account", "oldest_timestamp", "max_price_age")


class UnrealisedProfitWithdrawal(ModelError):
    parameters = ("account", "collateral_equity")


class AccessManagedUnauthorized(ModelError):
    parameters = ("caller",)


# Liquidation: Liquidation, sections 3 to 9.


class NotLiquidatable(ModelError):
    parameters = ("account", "equity", "maintenance_margin")


class AlreadyInAuction(ModelError):
    parameters = ("account",)


class NoAuction(ModelError):
    parameters = ("account",)


class InAuction(ModelError):
    parameters = ("account",)


class InvalidBidder(ModelError):
    parameters = ("account",)


class InvalidRewardAccount(ModelError):
    parameters = ("account",)


class SlicePriceNotAcceptable(ModelError):
    parameters = ("payment", "limit")


class WindowExhausted(ModelError):
    parameters = ("underlying", "level", "capacity")


class PendingLoss(ModelError):
    parameters = ("pending_loss",)


class DeleveragingNotDue(ModelError):
    parameters = ("account",)


class NothingToDeleverage(ModelError):
    parameters = ("account", "instrument")


class NotAscending(ModelError):
    parameters = ("account",)


class NotOpposite(ModelError):
    parameters = ("account",)


class AdmissionPending(ModelError):
    parameters = ("account",)


# Insurance fund: Liquidation, section 7.


class InsufficientShares(ModelError):
    parameters = ("shares", "balance")


class ERC20InsufficientBalance(ModelError):
    parameters = ("sender", "balance", "needed")


class ERC4626ExceededMaxWithdraw(ModelError):
    parameters = ("owner", "assets", "max")


class ERC4626ExceededMaxRedeem(ModelError):
    parameters = ("owner", "shares", "max")
