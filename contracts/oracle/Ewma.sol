// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {FixedPoint} from "../math/FixedPoint.sol";
import {Transcendental} from "../math/Transcendental.sol";

/// @title Exponentially weighted moving covariances of winsorised returns
/// @notice Specification, Market data, section 7. Covariances are annual, X40, within ±(2^63 - 1);
/// returns logarithmic, X64; spans of time in seconds, above zero and below 2^40.
library Ewma {
    uint256 private constant ONE = 2 ** 64;
    int256 private constant SIGNED_ONE = 2 ** 64;
    uint256 private constant YEAR = 365 days;
    /// @dev From X40 to X128, what a product of two returns is.
    uint256 private constant X128_PER_X40 = 2 ** 88;
    int256 private constant LIMIT = 2 ** 63 - 1;
    uint256 private constant WAD = 1e18;

    /// @notice Least variance: a volatility of 5 %.
    int256 internal constant MIN_VARIANCE = int256(uint256(2 ** 40) / 400);

    /// @notice Where the covariance of the places i <= j of a basket of 8 is among its 36: row i
    /// begins after i rows of 8, 7, … values and holds j >= i.
    /// @param i At most 7.
    /// @param j From i to 7.
    function index(uint256 i, uint256 j) internal pure returns (uint256) {
        // At most 7 · 8 / 2 + 7.
        unchecked {
            return i * (15 - i) / 2 + j;
        }
    }

    /// @notice Annual variance of an annual volatility.
    /// @param volatility WAD, at most 5e18.
    function varianceOf(uint256 volatility) internal pure returns (int64) {
        return int64(int256(volatility * volatility * 2 ** 40 / 1e36));
    }

    /// @notice Standard deviation of a return over a span, X64, rounded down.
    /// @param variance At least zero.
    function deviationX64(int256 variance, uint256 span) internal pure returns (uint256) {
        return FixedPoint.sqrt(uint256(variance) * X128_PER_X40 * span / YEAR);
    }

    /// @notice A return over a span, cut to `maxDeviation` standard deviations on either side.
    function winsorised(int256 returnX64, int256 variance, uint256 maxDeviation, uint256 span)
        internal
        pure
        returns (int256)
    {
        int256 bound =
            int256(FixedPoint.mulDown(maxDeviation, deviationX64(variance, span)));
        return FixedPoint.clamp(returnX64, -bound, bound);
    }

    /// @notice Weight of an observation over a span, X64.
    function weightX64(uint256 span, uint256 decaySeconds) internal pure returns (uint256) {
        return ONE - Transcendental.expX64(-int256(span * ONE / decaySeconds));
    }

    /// @notice A covariance after an observation of two returns over one span.
    /// @param a Return of one underlying, winsorised.
    /// @param b Return of the other, winsorised.
    function updated(int256 covariance, int256 a, int256 b, uint256 span, uint256 weight)
        internal
        pure
        returns (int256)
    {
        int256 observed =
            FixedPoint.mulDivDown(a * b, int256(YEAR), int256(span * X128_PER_X40));
        int256 change =
            FixedPoint.mulDivDown(int256(weight), observed - covariance, SIGNED_ONE);
        return FixedPoint.clamp(covariance + change, -LIMIT, LIMIT);
    }

    /// @notice Standard deviation of a day, WAD, rounded down.
    function dailyDeviation(int256 variance) internal pure returns (uint256) {
        return deviationX64(variance, 1 days) * WAD / ONE;
    }

    /// @notice A covariance, WAD, rounded down.
    function toWad(int256 covariance) internal pure returns (int256) {
        return FixedPoint.mulDivDown(covariance, int256(WAD), 2 ** 40);
    }

    /// @notice Correlation, WAD in [-1, 1], rounded towards zero.
    /// @param v1 Variance of one, above zero.
    /// @param v2 Variance of the other, above zero.
    function correlation(int256 covariance, int256 v1, int256 v2) internal pure returns (int256) {
        int256 root = int256(FixedPoint.sqrt(uint256(v1 * v2)));
        int256 ratio = FixedPoint.divToZero(covariance, root);
        return FixedPoint.clamp(ratio, -int256(WAD), int256(WAD));
    }
}
