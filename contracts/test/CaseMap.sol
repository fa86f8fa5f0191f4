// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title One function over thousands of packed cases in one call, every outcome kept
abstract contract CaseMap {
    /// @dev Words of an outcome: whether the call returned, then what it returned or reverted with.
    uint256 private constant OUTCOME_WORDS = 4;

    /// @notice Calls a function of this contract once per case.
    /// @param words Words of arguments per case.
    /// @param cases Arguments of all cases, one after the other.
    /// @return outcomes Four words per case: 1 or 0 for a return or a revert, and the first 96
    /// bytes of the data, zeros after its end.
    function map(bytes4 selector, uint256 words, bytes calldata cases)
        external
        view
        returns (bytes memory outcomes)
    {
        uint256 size = words * 32;
        outcomes = new bytes(cases.length / size * OUTCOME_WORDS * 32);
        uint256 target;
        assembly ("memory-safe") {
            target := add(outcomes, 32)
        }
        for (uint256 start; start < cases.length; start += size) {
            (bool ok, bytes memory data) =
                address(this).staticcall(abi.encodePacked(selector, cases[start:start + size]));
            bytes memory padded = bytes.concat(data, new bytes(96));
            // `target` walks through `outcomes`, 128 bytes for each of its cases.
            assembly ("memory-safe") {
                mstore(target, ok)
                mcopy(add(target, 32), add(padded, 32), 96)
                target := add(target, 128)
            }
        }
    }
}
