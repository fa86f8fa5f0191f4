// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {FixedPoint} from "../math/FixedPoint.sol";
import {Instrument} from "../types/Instrument.sol";

/// @title Trading fees
/// @notice Specification, section 6.
library Fees {
    using FixedPoint for uint256;
    using Instrument for uint128;

    /// @dev Fraction of the notional that a premium counts as at least: open interest, which raises
    /// everyone's initial margin, is not to be had for nothing.
    uint256 private constant LEAST_PREMIUM = 0.0005e18;

    /// @notice Fee on a fill, USD, rounded up.
    /// @param size Units of the underlying, unsigned.
    /// @param index Index price.
    /// @param rate Fee rate on notional.
    /// @param premium Premium of the fill, USD, signed; zero if linear.
    /// @param optionFeeCap Greatest fraction of the premium.
    function onFill(
        uint128 instrument,
        uint256 size,
        uint256 index,
        uint256 rate,
        int256 premium,
        uint256 optionFeeCap
    ) internal pure returns (uint256) {
        if (!instrument.isOption()) return onNotional(size, index, rate);
        return onOption(size, index, rate, FixedPoint.abs(premium), optionFeeCap);
    }

    /// @notice Fee on a linear fill.
    function onNotional(uint256 size, uint256 index, uint256 rate)
        internal
        pure
        returns (uint256)
    {
        return size.mulUp(index).mulUp(rate);
    }

    /// @notice Fee on a fill of an option: no more than a fraction of its premium.
    /// @param premium Premium of the fill, USD, unsigned.
    function onOption(
        uint256 size,
        uint256 index,
        uint256 rate,
        uint256 premium,
        uint256 optionFeeCap
    ) internal pure returns (uint256) {
        uint256 notional = size.mulUp(index);
        uint256 least = notional.mulUp(LEAST_PREMIUM);
        uint256 cap = (premium > least ? premium : least).mulUp(optionFeeCap);
        return FixedPoint.min(notional.mulUp(rate), cap);
    }
}
