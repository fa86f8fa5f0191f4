// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {FixedPoint} from "../math/FixedPoint.sol";

/// @title Value of collateral (specification, section 10)
library Valuation {
    uint256 private constant WAD = 1e18;
    uint256 private constant PRICE_LIMIT = 2 ** 96 - 1;
    uint256 private constant VALUE_LIMIT = 2 ** 128 - 1;

    /// @notice Price of a collateral token that follows an underlying, rounded down.
    /// @param rate Units of the underlying per token, below 2^96.
    /// @param index Price of the underlying, below 2^96.
    function tokenPrice(uint256 rate, uint256 index) internal pure returns (uint256) {
        return FixedPoint.min(FixedPoint.mulDown(rate, index), PRICE_LIMIT);
    }

    /// @notice Value of a balance after its haircut, rounded down.
    /// @param balance Whole tokens, below 2^128.
    /// @param price USD per token, below 2^96.
    function haircutValue(uint256 balance, uint256 price, uint256 haircut)
        internal
        pure
        returns (uint256)
    {
        uint256 value = FixedPoint.mulDown(FixedPoint.mulDown(balance, price), WAD - haircut);
        return FixedPoint.min(value, VALUE_LIMIT);
    }
}
