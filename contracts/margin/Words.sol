// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Arrays in loops that know their bounds
/// @notice Solidity checks every index; in the loops over options, scenarios and vol classes that
/// costs as much as the arithmetic. Assumes an index below the number of words allocated.
library Words {
    function word(uint256[] memory array, uint256 i) internal pure returns (uint256 value) {
        // Within the array by assumption.
        assembly ("memory-safe") {
            value := mload(add(add(array, 32), shl(5, i)))
        }
    }

    function word(int256[] memory array, uint256 i) internal pure returns (int256 value) {
        // Within the array by assumption.
        assembly ("memory-safe") {
            value := mload(add(add(array, 32), shl(5, i)))
        }
    }

    function increase(int256[] memory array, uint256 i, int256 change) internal pure {
        // Within the array by assumption; the sums are the caller's to bound.
        assembly ("memory-safe") {
            let place := add(add(array, 32), shl(5, i))
            mstore(place, add(mload(place), change))
        }
    }
}
