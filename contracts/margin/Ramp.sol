// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Values on their way from one to another (specification, Market data, section 9)
library Ramp {
    /// @notice The value in force once `part` of `whole` has passed, rounded towards `from`.
    /// @param from Value at the start, below 2^128.
    /// @param to Value at the end, below 2^128.
    /// @param part At most `whole`, which is above zero and below 2^128.
    function between(uint256 from, uint256 to, uint256 part, uint256 whole)
        internal
        pure
        returns (uint256)
    {
        return to < from
            ? from - (from - to) * part / whole
            : from + (to - from) * part / whole;
    }
}
