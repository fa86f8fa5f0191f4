// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPriceSource} from "../interfaces/IPriceSource.sol";
import {FixedPoint} from "../math/FixedPoint.sol";

/// @title Product or quotient of two sources
/// @notice E.g. (cbETH/USD) / (ETH/USD), the rate of cbETH in ETH. Its interval holds the cross of
/// any two prices that the intervals of the two hold; it is as old as the older.
contract CrossSource is IPriceSource {
    IPriceSource public immutable A;
    IPriceSource public immutable B;

    /// @notice Whether the price is a / b; else it is a * b.
    bool public immutable IS_QUOTIENT;

    /// @notice The divisor may be zero.
    error DivisorUncertain(uint256 divisor, uint256 confidence);

    /// @notice The cross rounds to zero.
    error CrossTooSmall(uint256 a, uint256 b);

    constructor(IPriceSource a, IPriceSource b, bool isQuotient) {
        (A, B, IS_QUOTIENT) = (a, b, isQuotient);
    }

    /// @inheritdoc IPriceSource
    function read()
        external
        view
        returns (uint256 price, uint256 confidence, uint256 timestamp)
    {
        (uint256 a, uint256 confidenceA, uint256 timestampA) = A.read();
        (uint256 b, uint256 confidenceB, uint256 timestampB) = B.read();
        (price, confidence) = IS_QUOTIENT
            ? _quotient(a, confidenceA, b, confidenceB)
            : _product(a, confidenceA, b, confidenceB);
        if (price == 0) revert CrossTooSmall(a, b);
        timestamp = FixedPoint.min(timestampA, timestampB);
    }

    function _product(uint256 a, uint256 confidenceA, uint256 b, uint256 confidenceB)
        private
        pure
        returns (uint256 price, uint256 confidence)
    {
        price = FixedPoint.mulDown(a, b);
        confidence = FixedPoint.mulUp(a + confidenceA, b + confidenceB) - price;
    }

    function _quotient(uint256 a, uint256 confidenceA, uint256 b, uint256 confidenceB)
        private
        pure
        returns (uint256 price, uint256 confidence)
    {
        if (confidenceB >= b) revert DivisorUncertain(b, confidenceB);
        price = FixedPoint.divDown(a, b);
        confidence = FixedPoint.divUp(a + confidenceA, b - confidenceB) - price;
    }
}
