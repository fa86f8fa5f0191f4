// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Many calls in one, every outcome kept
/// @notice For differential tests: a revert of one case is an outcome like any other.
contract TryMany {
    /// @param ok Whether the call returned.
    /// @param data What it returned, or its revert data.
    struct Outcome {
        bool ok;
        bytes data;
    }

    /// @notice Calls `target` once with each element of `calls`.
    function tryMany(address target, bytes[] calldata calls)
        external
        returns (Outcome[] memory outcomes)
    {
        outcomes = new Outcome[](calls.length);
        for (uint256 i = 0; i < calls.length; ++i) {
            // A plain call: an `external view` target cannot write, another one is meant to.
            (outcomes[i].ok, outcomes[i].data) = target.call(calls[i]);
        }
    }
}
