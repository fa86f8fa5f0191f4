// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Profit and loss per scenario (specification, sections 8 and 9)
library Losses {
    /// @notice Greatest loss over all scenarios, at least 0, and the first scenario with the least
    /// profit.
    /// @param pnl Profit and loss per scenario.
    function worst(int256[] memory pnl) internal pure returns (uint256 loss, uint256 scenario) {
        int256 least = type(int256).max;
        // In bounds: p runs over the words of the array.
        assembly ("memory-safe") {
            let end := add(pnl, shl(5, mload(pnl)))
            let binding := add(pnl, 32)
            for { let p := pnl } lt(p, end) {} {
                p := add(p, 32)
                let value := mload(p)
                if slt(value, least) {
                    least := value
                    binding := p
                }
            }
            scenario := shr(5, sub(sub(binding, pnl), 32))
            loss := mul(slt(least, 0), sub(0, least))
        }
    }

    /// @notice Sum scenario by scenario.
    /// @param a Profit and loss per scenario.
    /// @param b The same for as many scenarios. Sums stay below 2^255, see `RiskModel`.
    function sum(int256[] memory a, int256[] memory b) internal pure returns (int256[] memory c) {
        c = new int256[](a.length);
        // In bounds: the three arrays have the same length.
        assembly ("memory-safe") {
            let end := shl(5, mload(a))
            for { let i := 0 } lt(i, end) {} {
                i := add(i, 32)
                mstore(add(c, i), add(mload(add(a, i)), mload(add(b, i))))
            }
        }
    }
}
