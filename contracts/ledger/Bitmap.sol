// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @title Sets of small ids in one word
library Bitmap {
    /// @notice Ids whose bit is set, ascending.
    function members(uint256 bitmap) internal pure returns (uint256[] memory ids) {
        uint256 count;
        for (uint256 rest = bitmap; rest != 0; rest &= rest - 1) {
            ++count;
        }
        ids = new uint256[](count);
        for (uint256 i = 0; bitmap != 0; bitmap &= bitmap - 1) {
            // The lowest bit alone: x and its two's complement share no other.
            ids[i++] = Math.log2(bitmap & (~bitmap + 1));
        }
    }
}
