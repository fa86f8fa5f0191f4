// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SSTORE2} from "solady/src/utils/SSTORE2.sol";

import {IPredictiveModel} from "../interfaces/IPredictiveModel.sol";

/// @title Joint moves of past dates, one word each, kept as code of data contracts
/// @notice Specification, Predictive margin, section 2: per place of the basket three fields of ten
/// bits, from bits 5 (`row`), 90 (`a`) and 175 (`b`) on.
library Vectors {
    uint256 internal constant MAX_PLACES = 8;
    uint256 internal constant MAX_STORED = 1024;
    /// @dev Of a place.
    uint256 internal constant CELLS = 30;

    /// @dev Words of one data contract.
    uint256 private constant CHUNK = 512;
    uint256 private constant ROW_BIT = 5;
    uint256 private constant A_BIT = 90;
    uint256 private constant B_BIT = 175;
    /// @dev Lowest bit of a field of ten bits, for eight places; and for every other place.
    uint256 private constant EACH = (2 ** 80 - 1) / (2 ** 10 - 1);
    uint256 private constant OTHER = (2 ** 80 - 1) / (2 ** 20 - 1);

    /// @notice Reverts with `InvalidVector` unless every word has its fields in range and all its
    /// other bits zero.
    /// @param places Number of places covered, at most 8.
    function requireValid(uint256[] calldata words, uint256 places) internal pure {
        // Constants are below 2^80, shifts at most 175 + 80 bits.
        unchecked {
            uint256 used = ((1 << 10 * places) - 1)
                * (2 ** ROW_BIT + 2 ** A_BIT + 2 ** B_BIT);
            for (uint256 i; i < words.length; ++i) {
                uint256 word = words[i];
                if (word & ~used != 0 || !_isInRange(word)) {
                    revert IPredictiveModel.InvalidVector(i, word);
                }
            }
        }
    }

    /// @notice The cells that some date uses: 30 bits for each place, bit 3k + v of them for
    /// interval k and vol interval v.
    /// @param words Valid.
    /// @param places Number of places covered, at most 8.
    function cells(uint256[] memory words, uint256 places) internal pure returns (uint256 used) {
        // A row is at most 59, so shifts are at most 7 * 30 + 29 bits.
        unchecked {
            for (uint256 i; i < words.length; ++i) {
                uint256 word = words[i] >> ROW_BIT + 1;
                for (uint256 first; first < CELLS * places; first += CELLS) {
                    used |= 1 << first + (word & 31);
                    word >>= 10;
                }
            }
        }
    }

    /// @notice Stores words, of which there are at most `MAX_STORED`.
    function write(uint256[] memory words) internal returns (address[2] memory pointers) {
        for (uint256 from; from < words.length; from += CHUNK) {
            uint256 left = words.length - from;
            bytes memory chunk = new bytes(32 * (left < CHUNK ? left : CHUNK));
            // `chunk` ends where the words do, or before.
            assembly ("memory-safe") {
                mcopy(add(chunk, 32), add(add(words, 32), shl(5, from)), mload(chunk))
            }
            pointers[from / CHUNK] = SSTORE2.write(chunk);
        }
    }

    /// @notice Reads words from `from` up to, not including, `to`.
    /// @param pointers Where `write` stored them.
    /// @param to At least `from`, at most the number of words stored.
    function read(address[2] storage pointers, uint256 from, uint256 to)
        internal
        view
        returns (uint256[] memory words)
    {
        // All of it is written below: the compiler would clear it first.
        assembly ("memory-safe") {
            words := mload(0x40)
            mstore(words, sub(to, from))
            mstore(0x40, add(add(words, 32), shl(5, sub(to, from))))
        }
        uint256 place;
        while (from < to) {
            uint256 end = (from / CHUNK + 1) * CHUNK;
            if (end > to) end = to;
            address pointer = pointers[from / CHUNK];
            // Copies end - from words behind those copied before: in all as many as there is room
            // for. The code begins with one byte more.
            assembly ("memory-safe") {
                let size := shl(5, sub(end, from))
                let offset := add(1, shl(5, mod(from, CHUNK)))
                extcodecopy(pointer, add(add(words, 32), place), offset, size)
                place := add(place, size)
            }
            from = end;
        }
    }

    /// @dev All places at once. A row is at most 59 unless it has a bit from the sixth on, itself
    /// or with 4 more; the first also says that no sum runs into the next field. a + b is at most
    /// 1,024 unless 1,023 more reach 2^11; fields of every other place have the room.
    function _isInRange(uint256 word) private pure returns (bool) {
        // Sums stay within their fields.
        unchecked {
            uint256 rows = word >> ROW_BIT & EACH * 1023;
            uint256 wrong = (rows | rows + EACH * 4) & EACH * 960;
            uint256 shares = OTHER * 1023;
            uint256 even = (word >> A_BIT & shares) + (word >> B_BIT & shares) + shares;
            uint256 odd =
                (word >> A_BIT + 10 & shares) + (word >> B_BIT + 10 & shares) + shares;
            return wrong | (even | odd) & OTHER * 2048 == 0;
        }
    }
}
