// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IOracleHub, SurfaceParameters} from "../interfaces/IOracleHub.sol";
import {IParameters} from "../interfaces/IParameters.sol";
import {FixedPoint} from "../math/FixedPoint.sol";
import {Svi} from "../math/Svi.sol";

/// @notice One expiry as it was posted. Two slots.
/// @param timestamp When it was seen, seconds.
/// @param postedAt When it was posted, seconds.
struct Slice {
    uint64 forwardRatio;
    uint64 discount;
    uint40 timestamp;
    uint40 postedAt;
    uint256 svi;
}

/// @notice Expiries ahead, ascending, eight to a word from its lowest bits up; zeros at the end.
struct ExpiryWords {
    uint256 first;
    uint256 second;
}

/// @title Slices between two reports
/// @notice Specification, Market data, section 5.
library Surfaces {
    /// @notice Greatest number of expiries ahead.
    uint256 internal constant MAX_EXPIRIES = 16;

    uint256 private constant PER_WORD = 8;
    uint256 private constant GREATEST_PRICE = 2 ** 96 - 1;

    /// @notice Slice with the variance of the time that is left.
    /// @param svi Packed slice as of `timestamp`.
    /// @param timestamp Time of the slice, before the expiry.
    /// @param expiry Expiry, after `time`.
    /// @param time Now, at or after `timestamp`.
    /// @return Packed slice.
    function decayed(uint256 svi, uint256 timestamp, uint256 expiry, uint256 time)
        internal
        pure
        returns (uint256)
    {
        uint256 leftX64 = ((expiry - time) << 64) / (expiry - timestamp);
        // The share of time left is at most one: both products are below 2^128, and both results
        // stay within their fields.
        unchecked {
            int256 a = (int256(int64(uint64(svi))) * int256(leftX64)) >> 64;
            uint256 b = (uint256(uint64(svi >> 64)) * leftX64) >> 64;
            return (svi >> 128 << 128) | (b << 64) | uint64(int64(a));
        }
    }

    /// @notice Forward price, above zero and below 2^96.
    function forward(uint256 index, uint256 forwardRatio) internal pure returns (uint256) {
        uint256 price = FixedPoint.mulDown(index, forwardRatio);
        return FixedPoint.max(1, FixedPoint.min(price, GREATEST_PRICE));
    }

    /// @notice Reverts if a slice departs too far from the one it replaces.
    /// @param oldSvi The slice before, as it is now.
    /// @param newSvi The new slice, as it is now.
    function requireBoundedChange(
        uint8 underlying,
        uint32 expiry,
        uint256 oldSvi,
        uint256 newSvi,
        uint256 oldRatio,
        uint256 newRatio,
        SurfaceParameters memory limits
    ) internal pure {
        int256 s = int256(Svi.totalDeviation(oldSvi, 0));
        int256[5] memory points = [int256(0), -s, s, -2 * s, 2 * s];
        for (uint256 i = 0; i < points.length; ++i) {
            uint256 oldX64 = Svi.totalDeviation(oldSvi, points[i]);
            uint256 newX64 = Svi.totalDeviation(newSvi, points[i]);
            if (_distance(oldX64, newX64) > FixedPoint.mulUp(limits.maxVolMove, oldX64)) {
                revert IOracleHub.VolMoveTooLarge(underlying, expiry, points[i], oldX64, newX64);
            }
        }
        if (_distance(oldRatio, newRatio) > limits.maxForwardMove) {
            revert IOracleHub.ForwardMoveTooLarge(underlying, expiry, oldRatio, newRatio);
        }
    }

    /// @notice Union of the expiries known and those posted.
    /// @param known Ascending.
    /// @param posted Ascending.
    /// @return merged Ascending, each once.
    function merge(uint8 underlying, uint32[] memory known, uint32[] calldata posted)
        internal
        pure
        returns (uint32[] memory merged)
    {
        merged = new uint32[](known.length + posted.length);
        uint256 count;
        uint256 i;
        uint256 j;
        while (i < known.length || j < posted.length) {
            bool takesPosted =
                i == known.length || (j < posted.length && posted[j] <= known[i]);
            if (takesPosted && i < known.length && known[i] == posted[j]) ++i;
            merged[count++] = takesPosted ? posted[j++] : known[i++];
        }
        if (count > MAX_EXPIRIES) revert IParameters.TooManyExpiries(underlying, MAX_EXPIRIES);
        // Shortens the array in place: count is at most its length.
        assembly ("memory-safe") {
            mstore(merged, count)
        }
    }

    /// @notice Puts expiries into words.
    /// @param expiries At most `MAX_EXPIRIES`.
    function pack(uint32[] memory expiries) internal pure returns (ExpiryWords memory words) {
        for (uint256 i = 0; i < expiries.length; ++i) {
            uint256 field = uint256(expiries[i]) << (32 * (i % PER_WORD));
            if (i < PER_WORD) words.first |= field;
            else words.second |= field;
        }
    }

    /// @notice Whether a word has no room for another expiry: only then is it followed by one.
    function isFull(uint256 word) internal pure returns (bool) {
        return word >> 224 != 0;
    }

    /// @notice Expiries in the words that lie ahead.
    /// @return ahead Ascending.
    function unpackAhead(ExpiryWords memory words, uint256 time)
        internal
        pure
        returns (uint32[] memory ahead)
    {
        ahead = new uint32[](MAX_EXPIRIES);
        uint256 count = _unpackAhead(ahead, 0, words.first, time);
        count = _unpackAhead(ahead, count, words.second, time);
        // Shortens the array in place: count is at most its length.
        assembly ("memory-safe") {
            mstore(ahead, count)
        }
    }

    function _unpackAhead(uint32[] memory ahead, uint256 count, uint256 word, uint256 time)
        private
        pure
        returns (uint256)
    {
        for (; word != 0; word >>= 32) {
            if (uint32(word) > time) ahead[count++] = uint32(word);
        }
        return count;
    }

    function _distance(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? b - a : a - b;
    }
}
