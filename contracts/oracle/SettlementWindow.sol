// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {FixedPoint} from "../math/FixedPoint.sol";

/// @title Average price of the half hour before the hour
/// @notice Specification, Market data, section 6. Only prices observed before the hour count, each
/// for as long as it was in force, so that whoever observes first after it chooses nothing.
library SettlementWindow {
    /// @notice Length of the window, which ends on the hour.
    uint256 internal constant WINDOW_SECONDS = 1800;

    /// @notice Time for which one observation can stand.
    uint256 internal constant GAP_SECONDS = 600;

    /// @notice Coverage without which there is no settlement price.
    uint256 internal constant LEAST_COVERED_SECONDS = WINDOW_SECONDS / 2;

    /// @notice Counts an observation in, when the next one ends its time.
    /// @param windowEnd Hour the sums are of, seconds.
    /// @param weightedSum Sum of price times seconds.
    /// @param coveredSeconds Seconds that count.
    /// @param price Price of the observation; 0 counts for nothing.
    /// @param observedAt Its time, seconds.
    /// @param time Time of the next one, seconds.
    /// @return The three sums, now of the hour after `observedAt`.
    function advance(
        uint256 windowEnd,
        uint256 weightedSum,
        uint256 coveredSeconds,
        uint256 price,
        uint256 observedAt,
        uint256 time
    ) internal pure returns (uint256, uint256, uint256) {
        uint256 end = (observedAt / 1 hours + 1) * 1 hours;
        if (windowEnd != end) (weightedSum, coveredSeconds) = (0, 0);
        uint256 from = FixedPoint.max(observedAt, end - WINDOW_SECONDS);
        uint256 to = FixedPoint.min(FixedPoint.min(time, observedAt + GAP_SECONDS), end);
        if (price > 0 && to > from) {
            weightedSum += price * (to - from);
            coveredSeconds += to - from;
        }
        return (end, weightedSum, coveredSeconds);
    }
}
