// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {LibBit} from "solady/src/utils/LibBit.sol";

/// @title The pass over the dates: what a book earns on each
/// @notice Specification, Predictive margin, section 5 (lanes).
/// @dev One multiplication is the whole interpolation in an underlying. A row's word is
/// W = c0 * 2^166 + cz * 2^87 + cy * 2^2 (`Profiles`), the date's fields are F = 2^11 + a * 2^90 +
/// b * 2^175, and of the nine products
///
///     c0 * 2^177 + cz * a * 2^177 + cy * b * 2^177           are what is wanted,
///     c0 * a * 2^256, c0 * b * 2^341, cz * b * 2^262         are zero modulo 2^256,
///     cz * 2^98 + cy * 2^13 + cy * a * 2^92                  are within 2^160 + 2^75 + 2^164.
///
/// With a + b at most 1,024 what is wanted is within 2^73 * 2^177 per place (a mean of three nodes,
/// times 1,024, less a charge): eight places stay within 2^253. Their rest is within 2^168, less
/// than half of 2^177, so adding that half and shifting yields the sum exactly.
///
/// Numbers that a loop needs again and again are made unknown to the compiler by the bit that is
/// set if an address is zero, which it is not: it would compute them anew each time.
library Pass {
    uint256 private constant HALF = 2 ** 176;
    /// @dev Bit 11 of a place's field, and its number p in bits 12 to 14: none of them is of a row.
    uint256 private constant PLACES = 0x800 + (0x1800 << 10) + (0x2800 << 20) + (0x3800 << 30)
        + (0x4800 << 40) + (0x5800 << 50) + (0x6800 << 60) + (0x7800 << 70);
    /// @dev Address of a row (`Profiles`), and F, in the word shifted by 10p.
    uint256 private constant ADDRESS = 0x7fe0;
    uint256 private constant FIELDS = 2 ** 11 + (2 ** 10 - 1) * (2 ** 90 + 2 ** 175);

    /// @notice Replaces the word of each date by the sum over underlyings, to be read by `loss`.
    /// @param words Dates, of which those from `from` up to, not including, `to` are replaced.
    /// @param present Bit p is set if the rows of place p were written; those of others are zero.
    function run(uint256[] memory words, uint256 from, uint256 to, uint256 present) internal pure {
        // Memory, and places below 8: absent ones stand in where there are fewer than in a loop.
        unchecked {
            (from, to) = (from + 1 << 5, to + 1 << 5);
            assembly ("memory-safe") {
                from := add(words, from)
                to := add(words, to)
            }
            uint256 count = LibBit.popCount(present);
            if (count > 4) return _all(from, to);
            uint256[4] memory shifts;
            uint256 absent = LibBit.ffs(~present);
            for (uint256 i; i < 4; ++i) {
                shifts[i] = 10 * (present == 0 ? absent : LibBit.ffs(present));
                if (present != 0) present &= present - 1;
            }
            if (count > 2) _four(from, to, shifts[0], shifts[1], shifts[2], shifts[3]);
            else _two(from, to, shifts[0], shifts[1]);
        }
    }

    /// @notice Loss of a date, in units of 2^e / 1024 wei; 0 for a profit.
    function loss(uint256 sum) internal pure returns (uint256 units) {
        // Within 2^76.
        assembly ("memory-safe") {
            units := sub(0, sar(177, add(sum, HALF)))
            units := mul(units, sgt(units, 0))
        }
    }

    /// @notice The sum that every date with a loss above `units` is below, as signed numbers.
    function below(uint256 units) internal pure returns (int256) {
        // A loss is within 2^76: -floor((sum + 2^176) / 2^177) > units.
        unchecked {
            return -int256((units << 177) + HALF);
        }
    }

    function _two(uint256 at, uint256 end, uint256 a, uint256 b) private pure {
        // Reads rows in the memory that `Profiles.reserve` set apart, and writes to the words.
        assembly ("memory-safe") {
            let marks := or(PLACES, iszero(end))
            let fields := or(FIELDS, iszero(end))
            for {} lt(at, end) { at := add(at, 32) } {
                let word := or(mload(at), marks)
                let v := shr(a, word)
                let sum := mul(mload(and(v, ADDRESS)), and(v, fields))
                v := shr(b, word)
                mstore(at, add(sum, mul(mload(and(v, ADDRESS)), and(v, fields))))
            }
        }
    }

    function _four(uint256 at, uint256 end, uint256 a, uint256 b, uint256 c, uint256 d)
        private
        pure
    {
        // Reads rows in the memory that `Profiles.reserve` set apart, and writes to the words.
        assembly ("memory-safe") {
            let marks := or(PLACES, iszero(end))
            let fields := or(FIELDS, iszero(end))
            for {} lt(at, end) { at := add(at, 32) } {
                let word := or(mload(at), marks)
                let v := shr(a, word)
                let sum := mul(mload(and(v, ADDRESS)), and(v, fields))
                v := shr(b, word)
                sum := add(sum, mul(mload(and(v, ADDRESS)), and(v, fields)))
                v := shr(c, word)
                sum := add(sum, mul(mload(and(v, ADDRESS)), and(v, fields)))
                v := shr(d, word)
                mstore(at, add(sum, mul(mload(and(v, ADDRESS)), and(v, fields))))
            }
        }
    }

    function _all(uint256 at, uint256 end) private pure {
        // Reads rows in the memory that `Profiles.reserve` set apart, and writes to the words.
        assembly ("memory-safe") {
            let marks := or(PLACES, iszero(end))
            let fields := or(FIELDS, iszero(end))
            for {} lt(at, end) { at := add(at, 32) } {
                let v := or(mload(at), marks)
                let sum := mul(mload(and(v, ADDRESS)), and(v, fields))
                v := shr(10, v)
                sum := add(sum, mul(mload(and(v, ADDRESS)), and(v, fields)))
                v := shr(10, v)
                sum := add(sum, mul(mload(and(v, ADDRESS)), and(v, fields)))
                v := shr(10, v)
                sum := add(sum, mul(mload(and(v, ADDRESS)), and(v, fields)))
                v := shr(10, v)
                sum := add(sum, mul(mload(and(v, ADDRESS)), and(v, fields)))
                v := shr(10, v)
                sum := add(sum, mul(mload(and(v, ADDRESS)), and(v, fields)))
                v := shr(10, v)
                sum := add(sum, mul(mload(and(v, ADDRESS)), and(v, fields)))
                v := shr(10, v)
                mstore(at, add(sum, mul(mload(and(v, ADDRESS)), and(v, fields))))
            }
        }
    }
}
