// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {
    AggregatorV3Interface
} from "@chainlink/contracts/src/v0.8/interfaces/AggregatorV3Interface.sol";

import {IPriceSource} from "../interfaces/IPriceSource.sol";
import {Ranges} from "../margin/Ranges.sol";
import {FixedPoint} from "../math/FixedPoint.sol";

/// @title Price of a Chainlink feed
/// @notice Assumes that the feed keeps its decimals, as Chainlink promises.
contract ChainlinkSource is IPriceSource {
    uint256 private constant MAX_DECIMALS = 36;
    uint256 private constant MAX_DEVIATION = 0.1e18;

    AggregatorV3Interface public immutable AGGREGATOR;

    /// @notice Decimals of the feed's answers.
    uint8 public immutable DECIMALS;

    /// @notice Move at which the feed updates, fraction: until then its answer may be off by it.
    uint256 public immutable DEVIATION;

    /// @notice The answer is no price.
    error InvalidAnswer(int256 answer, uint256 updatedAt);

    constructor(AggregatorV3Interface aggregator, uint256 deviation) {
        uint8 decimals = aggregator.decimals();
        Ranges.requireIn("decimals", decimals, 0, MAX_DECIMALS);
        Ranges.requireIn("deviation", deviation, 0, MAX_DEVIATION);
        (AGGREGATOR, DECIMALS, DEVIATION) = (aggregator, decimals, deviation);
    }

    /// @inheritdoc IPriceSource
    function read()
        external
        view
        returns (uint256 price, uint256 confidence, uint256 timestamp)
    {
        int256 answer;
        (, answer,, timestamp,) = AGGREGATOR.latestRoundData();
        if (answer > 0) price = FixedPoint.toWadDown(uint256(answer), DECIMALS);
        if (price == 0 || timestamp == 0) revert InvalidAnswer(answer, timestamp);
        confidence = FixedPoint.mulUp(price, DEVIATION);
    }
}
