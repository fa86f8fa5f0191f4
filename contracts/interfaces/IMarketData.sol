// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Prices and surfaces the engine is run on
/// @notice Assumes an implementation that is trusted: every value is taken as it comes. All values
/// are WAD in USD unless said otherwise; timestamps are that of the oldest input.
interface IMarketData {
    /// @notice No price was ever posted for the underlying (expiry 0) or its expiry.
    error MissingPrice(uint8 underlying, uint32 expiry);

    /// @notice No rate was ever posted for the collateral asset.
    error MissingCollateralRate(uint8 asset);

    /// @notice The input is newer than the block it is posted in.
    error TimestampAhead(uint256 timestamp, uint256 blockTimestamp);

    /// @notice The input is older than the one it would replace.
    error TimestampBackwards(uint256 timestamp, uint256 previous);

    /// @notice A slice must be of an expiry ahead of it.
    error SliceExpired(uint8 underlying, uint32 expiry, uint256 timestamp);

    /// @notice Slices of one underlying are posted by expiry, so that neighbours are compared.
    error SlicesNotAscending(uint8 underlying, uint32 expiry, uint32 previous);

    /// @notice The settlement price of an expiry is not known before it.
    error SettlementTooEarly(uint8 underlying, uint32 expiry, uint256 blockTimestamp);

    /// @notice A settlement price is final.
    error SettlementFinal(uint8 underlying, uint32 expiry, uint256 price, uint256 proposed);

    /// @notice Spot market of an underlying.
    /// @param underlying Underlying.
    /// @return index Index price, above zero, below 2^96.
    /// @return confidence Half-width of the price interval, USD.
    /// @return mark Mark price of the perpetual, above zero, below 2^96.
    /// @return stableIndex Rate-limited index.
    /// @return timestamp Time of the oldest input, seconds.
    function spot(uint8 underlying)
        external
        view
        returns (
            uint256 index,
            uint256 confidence,
            uint256 mark,
            uint256 stableIndex,
            uint256 timestamp
        );

    /// @notice Forward market of one expiry of an underlying.
    /// @param underlying Underlying.
    /// @param expiry Expiry, seconds.
    /// @param index Index price that `spot` gave in the same assessment; forwards may be quoted
    /// relative to it.
    /// @return forward Forward price, above zero, below 2^96.
    /// @return discount Discount factor in (0, 1].
    /// @return svi Packed SVI slice (specification, Mathematics).
    /// @return timestamp Time of the oldest input, seconds.
    function slice(uint8 underlying, uint32 expiry, uint256 index)
        external
        view
        returns (uint256 forward, uint256 discount, uint256 svi, uint256 timestamp);

    /// @notice Final settlement price of an expiry; zero until it is known.
    /// @param underlying Underlying.
    /// @param expiry Expiry, seconds.
    /// @return price Settlement price.
    function settlementPrice(uint8 underlying, uint32 expiry)
        external
        view
        returns (uint256 price);

    /// @notice Conversion rate of a collateral asset: units of its underlying per whole token, or
    /// USD per whole token if it is cash-like.
    /// @param asset Collateral asset.
    /// @return rate Current rate.
    /// @return stableRate Rate-limited rate.
    /// @return timestamp Time of the oldest input, seconds.
    function collateralRate(uint8 asset)
        external
        view
        returns (uint256 rate, uint256 stableRate, uint256 timestamp);
}
