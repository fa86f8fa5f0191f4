// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {MockAggregator} from "../mocks/MockAggregator.sol";
import {MockPyth} from "../mocks/MockPyth.sol";
import {ChainlinkSource} from "../oracle/ChainlinkSource.sol";
import {CrossSource} from "../oracle/CrossSource.sol";
import {PythSource} from "../oracle/PythSource.sol";
import {SourceDouble} from "./SourceDouble.sol";

/// @title Price sources made and read in one call
/// @notice Every function makes a source of its own, so that the cases of a batch are independent.
contract SourceHarness {
    /// @param price As `IPriceSource.read` answers.
    /// @param confidence Likewise.
    /// @param timestamp Likewise.
    struct Reading {
        uint256 price;
        uint256 confidence;
        uint256 timestamp;
    }

    MockPyth private immutable PYTH = new MockPyth(60, 0);
    uint256 private _cases;

    function chainlink(int256 answer, uint256 updatedAt, uint8 decimals, uint256 deviation)
        external
        returns (uint256, uint256, uint256)
    {
        MockAggregator aggregator = new MockAggregator(decimals, "");
        aggregator.setRound(1, answer, updatedAt, updatedAt, 1);
        return new ChainlinkSource(aggregator, deviation).read();
    }

    function pyth(int64 price, uint64 confidence, int32 exponent, uint64 publishTime)
        external
        returns (uint256, uint256, uint256)
    {
        bytes32 id = bytes32(++_cases);
        bytes[] memory updates = new bytes[](1);
        updates[0] = PYTH.createPriceFeedUpdateData(
            id, price, confidence, exponent, price, confidence, publishTime, 0
        );
        PYTH.updatePriceFeeds(updates);
        return new PythSource(PYTH, id).read();
    }

    function cross(Reading calldata a, Reading calldata b, bool isQuotient)
        external
        returns (uint256, uint256, uint256)
    {
        return new CrossSource(_double(a), _double(b), isQuotient).read();
    }

    function _double(Reading calldata reading) private returns (SourceDouble source) {
        source = new SourceDouble();
        source.set(reading.price, reading.confidence, reading.timestamp);
    }
}
