// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {FixedPoint} from "../math/FixedPoint.sol";

/// @title Trading fees
/// @notice Specification, section 6.
library Fees {
    using FixedPoint for uint256;

    /// @notice Fee on a fill, USD, rounded up.
    /// @param size Units of the underlying.
    /// @param index Index price.
    /// @param rate Fee rate on notional.
    function onNotional(uint256 size, uint256 index, uint256 rate)
        internal
        pure
        returns (uint256)
    {
        return size.mulUp(index).mulUp(rate);
    }

    /// @notice The same for an option: no more than a fraction of its premium.
    /// @param fee Fee on the notional.
    /// @param premium Premium of the fill, USD.
    /// @param optionFeeCap Greatest fraction of the premium.
    function capped(uint256 fee, uint256 premium, uint256 optionFeeCap)
        internal
        pure
        returns (uint256)
    {
        uint256 cap = premium.mulUp(optionFeeCap);
        return fee < cap ? fee : cap;
    }
}
