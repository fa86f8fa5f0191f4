// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {LibSort} from "solady/src/utils/LibSort.sol";

import {FixedPoint} from "../math/FixedPoint.sol";

/// @title One price out of several
/// @notice Specification, Market data, section 3, with what each value is worth when fewer than
/// half of the answers are wrong.
library Aggregation {
    /// @notice Median, interval and time of some answers.
    /// @dev The arrays of confidences and timestamps are used up.
    /// @param prices At least one.
    /// @param confidences Half-width of the interval of each.
    /// @param timestamps Time of each, seconds.
    /// @return price The median; of two in the middle their mean, Down.
    /// @return confidence More than half of the intervals lie within it of the price; at most the
    /// price.
    /// @return timestamp More than half of the answers are at least as new, seconds.
    function aggregate(
        uint256[] memory prices,
        uint256[] memory confidences,
        uint256[] memory timestamps
    ) internal pure returns (uint256 price, uint256 confidence, uint256 timestamp) {
        uint256 middle = prices.length / 2;
        price = _median(LibSort.copy(prices));
        for (uint256 i = 0; i < prices.length; ++i) {
            confidences[i] += prices[i] < price ? price - prices[i] : prices[i] - price;
        }
        LibSort.insertionSort(confidences);
        LibSort.insertionSort(timestamps);
        confidence = FixedPoint.min(confidences[middle], price);
        timestamp = timestamps[timestamps.length - 1 - middle];
    }

    function _median(uint256[] memory values) private pure returns (uint256) {
        LibSort.insertionSort(values);
        uint256 middle = values.length / 2;
        if (values.length % 2 == 1) return values[middle];
        return (values[middle - 1] + values[middle]) / 2;
    }
}
