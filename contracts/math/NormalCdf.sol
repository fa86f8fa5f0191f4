// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {NormalTable} from "./NormalTable.sol";

/// @title Standard normal distribution from a table of polynomials
/// @notice [-7.5, 7.5) is cut into 600 intervals of 1/40, each of 2^48 steps. A word of the table
/// holds the five signed 48-bit coefficients of the interval's polynomial, multiples of 2^-52, the
/// highest power lowest. Error bound, monotonicity and symmetry are proven in the specification,
/// Mathematics, "Normal distribution".
library NormalCdf {
    /// @notice Steps in a unit of the argument.
    uint256 internal constant STEPS_PER_UNIT = 40 * 2 ** 48;
    /// @notice Steps from the start of the table to argument 0.
    int256 internal constant CENTRE = 300 * 2 ** 48;
    /// @notice Steps in the whole table.
    uint256 internal constant END = 600 * 2 ** 48;
    /// @notice Size of the table in bytes.
    uint256 internal constant TABLE_SIZE = 600 * 32;

    /// @notice Puts the table on chain.
    function deploy() internal returns (address) {
        return address(new NormalTable());
    }

    /// @notice Copies the table into memory.
    /// @param source Assumes the result of `deploy`.
    /// @return table Address of its first word.
    function load(address source) internal view returns (uint256 table) {
        // Allocation as Solidity does it; the copy is what the pointer moves by.
        assembly ("memory-safe") {
            table := mload(0x40)
            extcodecopy(source, table, 0, TABLE_SIZE)
            mstore(0x40, add(table, TABLE_SIZE))
        }
    }

    /// @notice Distribution at a place of the table; 0 before it and 1 after.
    /// @param table Address from `load`.
    /// @param step Steps from the start of the table: argument * STEPS_PER_UNIT + CENTRE.
    /// @return y X48, rounded down.
    function cdfAt(uint256 table, int256 step) internal pure returns (uint256 y) {
        if (step < 0) return 0;
        if (uint256(step) >= END) return 2 ** 48;
        // The word's low lanes, sign-extended, hold a coefficient and below it, as noise of less
        // than one of its units, those of higher powers. No intermediate leaves 245 bits: the
        // specification derives the bounds.
        assembly ("memory-safe") {
            let word := mload(add(table, and(shr(43, step), 0x7fe0)))
            let t := and(step, 0xffffffffffff)
            y := add(signextend(11, word), mul(t, signextend(5, word)))
            y := add(signextend(17, word), mul(t, y))
            y := add(signextend(23, word), mul(t, y))
            y := shr(196, add(word, mul(t, y)))
        }
    }

    /// @notice Distribution function.
    /// @param table Address from `load`.
    /// @param xX64 Argument, X64, abs below 2^127.
    /// @return X64, a multiple of 2^-48, rounded down.
    function cdfX64(uint256 table, int256 xX64) internal pure returns (uint256) {
        return cdfAt(table, ((xX64 * int256(STEPS_PER_UNIT)) >> 64) + CENTRE) << 16;
    }
}
