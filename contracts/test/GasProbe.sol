// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Execution gas of a view call, as a contract pays for it
/// @notice Meant for `eth_call`: each call starts cold, and no transaction's base cost is in it.
contract GasProbe {
    /// @notice Calls `target` and measures; an error of the target is passed on.
    function measure(address target, bytes calldata call)
        external
        view
        returns (uint256 gasUsed, bytes memory result)
    {
        bytes memory data = call;
        uint256 before = gasleft();
        bool ok;
        (ok, result) = target.staticcall(data);
        gasUsed = before - gasleft();
        // Passes on the revert data of the target, whose length precedes it.
        assembly ("memory-safe") {
            if iszero(ok) { revert(add(result, 32), mload(result)) }
        }
    }
}
