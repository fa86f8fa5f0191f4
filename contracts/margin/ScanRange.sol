// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {FixedPoint} from "../math/FixedPoint.sol";
import {Transcendental} from "../math/Transcendental.sol";

/// @title Scan ranges that follow volatility, fast up and slow down
/// @notice Specification, Market data, section 8. Ranges are WAD fractions, rates log per hour.
library ScanRange {
    uint256 internal constant MAX_TARGET = 2 ** 63;

    uint256 private constant ONE = 2 ** 64;
    uint256 private constant RATE_UNIT = 3600e18;
    /// @dev Enough for any range to get anywhere.
    uint256 private constant MAX_SECONDS = 10 days;
    /// @dev 40 (X64): from any range to any other, and far below the end of `expX64`.
    uint256 private constant MAX_EXPONENT_X64 = 40 * 2 ** 64;
    /// @dev A deviation no market has, far below what `mulUp` could not multiply.
    uint256 private constant MAX_DEVIATION = 2 ** 128;

    /// @notice Range asked for by volatility.
    /// @param multiplier Standard deviations of a day in one range, at most 20e18.
    /// @param deviation Standard deviation of a day.
    function target(uint256 multiplier, uint256 deviation) internal pure returns (uint256) {
        deviation = FixedPoint.min(deviation, MAX_DEVIATION);
        return FixedPoint.min(FixedPoint.mulUp(multiplier, deviation), MAX_TARGET);
    }

    /// @notice Where a range has got to on its way to its target; rounded against the move up,
    /// against the account on the way down.
    /// @param range Where it was, below 2^72.
    /// @param goal Its target, below 2^72.
    /// @param elapsedSeconds Active time since.
    function moved(
        uint256 range,
        uint256 goal,
        uint256 elapsedSeconds,
        uint256 riseRate,
        uint256 fallRate
    ) internal pure returns (uint256) {
        uint256 elapsed = FixedPoint.min(elapsedSeconds, MAX_SECONDS);
        if (goal > range) {
            uint256 growth = Transcendental.expX64(int256(_exponent(riseRate, elapsed)));
            return FixedPoint.min(goal, range * growth / ONE);
        }
        uint256 left = Transcendental.expX64(-int256(_exponent(fallRate, elapsed)));
        return FixedPoint.max(goal, FixedPoint.mulDivUp(range, left, ONE));
    }

    /// @notice The value of [low, high] nearest to a range; low at most high.
    function clamp(uint256 range, uint256 low, uint256 high) internal pure returns (uint256) {
        return FixedPoint.max(low, FixedPoint.min(range, high));
    }

    function _exponent(uint256 rate, uint256 elapsed) private pure returns (uint256) {
        return FixedPoint.min(rate * elapsed * ONE / RATE_UNIT, MAX_EXPONENT_X64);
    }
}
