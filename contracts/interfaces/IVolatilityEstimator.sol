// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Variances and covariances of a basket of underlyings
/// @notice Exponentially weighted, of logarithmic returns of index prices, per year (specification,
/// Market data, section 7). Assumes of the market data no more than that a price it calls fresh was
/// seen: what one who decides k observations can make of them is bounded there.
interface IVolatilityEstimator {
    /// @notice The estimates took in a sample.
    /// @param activeTime Active time of the sample.
    /// @param covariances As `covariances` returns them.
    event Sampled(uint256 activeTime, int64[36] covariances);

    /// @notice An underlying joined the basket.
    /// @param underlying Underlying.
    /// @param annualVolatility What its estimate starts from, WAD.
    event UnderlyingAdded(uint8 indexed underlying, uint256 annualVolatility);

    /// @notice How the estimates move changed.
    /// @param oldIntervalSeconds Interval before.
    /// @param oldDecaySeconds Decay before.
    /// @param oldMaxDeviation Bound before.
    /// @param newIntervalSeconds Interval from then on.
    /// @param newDecaySeconds Decay from then on.
    /// @param newMaxDeviation Bound from then on.
    event EstimatorSet(
        uint256 oldIntervalSeconds,
        uint256 oldDecaySeconds,
        uint256 oldMaxDeviation,
        uint256 newIntervalSeconds,
        uint256 newDecaySeconds,
        uint256 newMaxDeviation
    );

    /// @notice The latest sample is too recent.
    error SampleTooEarly(uint256 activeTime, uint256 earliest);

    /// @notice All places of the basket are taken.
    error BasketFull(uint256 max);

    /// @notice The underlying has its place already.
    error AlreadyInBasket(uint8 underlying);

    /// @notice The underlying has no place.
    error NotInBasket(uint8 underlying);

    /// @notice Adds an underlying, for ever; the governor's.
    /// @param underlying Underlying.
    /// @param annualVolatility What to start from, WAD in [0.05, 5].
    function addUnderlying(uint8 underlying, uint256 annualVolatility) external;

    /// @notice Sets how the estimates move; the governor's.
    /// @param intervalSeconds Least active time between two samples, and greatest age of a price in
    /// a sample, 60 to 86,400.
    /// @param decaySeconds Active time in which the weight of what was seen falls to 1/e, 86,400 to
    /// 31,536,000.
    /// @param maxDeviation Standard deviations beyond which a return is cut, WAD in [2, 20].
    function setEstimator(uint256 intervalSeconds, uint256 decaySeconds, uint256 maxDeviation)
        external;

    /// @notice Takes in the prices of now and sets the scan ranges on their way; anyone's.
    function sample() external;

    /// @notice Annual variance.
    /// @param underlying Underlying of the basket.
    /// @return WAD, rounded down.
    function variance(uint8 underlying) external view returns (uint256);

    /// @notice Annual covariance of two underlyings of the basket.
    /// @param u One underlying.
    /// @param v Another, or the same.
    /// @return WAD, rounded down.
    function covariance(uint8 u, uint8 v) external view returns (int256);

    /// @notice Correlation of two underlyings of the basket.
    /// @param u One underlying.
    /// @param v Another, or the same.
    /// @return WAD in [-1, 1], rounded towards zero.
    function correlation(uint8 u, uint8 v) external view returns (int256);

    /// @notice Standard deviations of a day that predictive margin is scaled to: they follow the
    /// estimate as scan ranges do, up at `riseRate` and down at `fallRate`.
    /// @param underlyings Underlyings of the basket.
    /// @return current For maintenance margin, fraction, WAD; one per underlying asked for.
    /// @return initial For initial margin: at least the estimate itself.
    function deviations(uint8[] calldata underlyings)
        external
        view
        returns (uint256[] memory current, uint256[] memory initial);

    /// @notice Underlyings of the basket.
    /// @return In the order in which they joined.
    function basket() external view returns (uint8[] memory);

    /// @notice All annual covariances, 40 fraction bits: row i holds those of i with j >= i, for
    /// eight places.
    /// @return Zero for places not taken.
    function covariances() external view returns (int64[36] memory);

    /// @notice How the estimates move.
    /// @return intervalSeconds As in `setEstimator`.
    /// @return decaySeconds As in `setEstimator`.
    /// @return maxDeviation As in `setEstimator`.
    /// @return sampledAt Active time of the latest sample; 0 if there was none.
    function estimator()
        external
        view
        returns (
            uint32 intervalSeconds,
            uint32 decaySeconds,
            uint72 maxDeviation,
            uint40 sampledAt
        );

    /// @notice What the next return of an underlying is taken against.
    /// @param underlying Underlying of the basket.
    /// @return price Price of the latest sample it was fresh in; 0 if there was none.
    /// @return activeAt Active time of that sample.
    function anchor(uint8 underlying) external view returns (uint96 price, uint40 activeAt);
}
