// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Instrument} from "./Instrument.sol";

/// @title Packed positions
/// @notice One storage slot each (specification, section 3). An option holds its size in bits
/// 0-127; a linear position its size in bits 112-207 and its quote in bits 0-111.
library Position {
    using Instrument for uint128;

    /// @notice A size or quote outgrew its field.
    error PositionOverflow(uint128 instrument, int256 value);

    int256 internal constant SIZE_LIMIT = 2 ** 95;
    int256 internal constant QUOTE_LIMIT = 2 ** 111;
    /// @dev Expiry and underlying are above this bit.
    uint256 private constant EXPIRY_SHIFT = 216;
    /// @dev And the strike of an option, above this one.
    uint256 private constant STRIKE_SHIFT = 144;
    uint256 private constant LINEAR_MASK = uint256(type(uint48).max) << 208;
    uint256 private constant OPTION_MASK = uint256(type(uint128).max) << 128;

    /// @notice Instrument the slot holds.
    function instrument(uint256 slot) internal pure returns (uint128) {
        uint256 mask = isOption(slot) ? OPTION_MASK : LINEAR_MASK;
        return uint128((slot & mask) >> 128);
    }

    function underlying(uint256 slot) internal pure returns (uint8) {
        return uint8(slot >> 248);
    }

    function expiry(uint256 slot) internal pure returns (uint32) {
        return uint32(slot >> EXPIRY_SHIFT);
    }

    /// @notice Underlying and expiry in one: what the slots of one expiry have in common.
    function upToExpiry(uint256 slot) internal pure returns (uint256) {
        return slot >> EXPIRY_SHIFT;
    }

    /// @notice All but whether it is a put: what the call and the put of one strike have in common.
    function upToStrike(uint256 slot) internal pure returns (uint256) {
        return slot >> STRIKE_SHIFT;
    }

    function isOption(uint256 slot) internal pure returns (bool) {
        return uint8(slot >> 208) != 0;
    }

    /// @notice Signed size, units of the underlying.
    function size(uint256 slot) internal pure returns (int256) {
        return isOption(slot) ? int256(int128(uint128(slot))) : int256(int96(uint96(slot >> 112)));
    }

    /// @notice Strike of an option, USD.
    function strike(uint256 slot) internal pure returns (uint256) {
        return uint128(slot >> 128).strike();
    }

    /// @notice Whether an option is a put.
    function isPut(uint256 slot) internal pure returns (bool) {
        return uint128(slot >> 128).isPut();
    }

    /// @notice Signed size of an option, units of the underlying.
    function optionSize(uint256 slot) internal pure returns (int256) {
        return int128(uint128(slot));
    }

    /// @notice Absolute size of an option if it is short, else zero.
    function shortSize(uint256 slot) internal pure returns (uint256) {
        // Above -2^127: a size is below 2^95.
        unchecked {
            int256 signed = int128(uint128(slot));
            return signed < 0 ? uint256(-signed) : 0;
        }
    }

    /// @notice Signed quote of a linear position, USD; zero for an option.
    function quote(uint256 slot) internal pure returns (int256) {
        return isOption(slot) ? int256(0) : int256(int112(uint112(slot)));
    }

    /// @notice Packs a position; reverts with `PositionOverflow` outside the fields' ranges.
    /// @param instrument_ Canonical instrument id.
    /// @param size_ Signed size, abs below 2^95.
    /// @param quote_ Signed quote, abs below 2^111; ignored for an option.
    function pack(uint128 instrument_, int256 size_, int256 quote_)
        internal
        pure
        returns (uint256)
    {
        if (size_ <= -SIZE_LIMIT || size_ >= SIZE_LIMIT) {
            revert PositionOverflow(instrument_, size_);
        }
        uint256 head = uint256(instrument_) << 128;
        if (instrument_.isOption()) return head | uint128(int128(size_));
        if (quote_ <= -QUOTE_LIMIT || quote_ >= QUOTE_LIMIT) {
            revert PositionOverflow(instrument_, quote_);
        }
        return head | uint256(uint96(int96(size_))) << 112 | uint112(int112(quote_));
    }

    /// @notice Whether nothing is left in the slot.
    function isEmpty(uint256 slot) internal pure returns (bool) {
        return size(slot) == 0 && quote(slot) == 0;
    }
}
