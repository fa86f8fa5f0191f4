// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @notice Reverts on request, to show what the tests' own check of reverts lets through.
contract Reverter {
    /// @notice Something that happened to an account.
    struct Detail {
        address account;
        int256[] amounts;
    }

    /// @notice The value is above the limit.
    error AboveLimit(uint256 value, uint256 limit);

    /// @notice The same arguments under another name.
    error BelowLimit(uint256 value, uint256 limit);

    /// @notice An error whose arguments have every kind of shape.
    error Detailed(Detail detail, bytes32 id, string text);

    /// @notice An error without arguments.
    error Closed();

    /// @notice Only here so that a transaction has something to change.
    uint256 public count;

    /// @notice Reverts with AboveLimit, seen from a call.
    function lookAboveLimit(uint256 value, uint256 limit) external pure {
        revert AboveLimit(value, limit);
    }

    /// @notice Reverts with AboveLimit, seen from a transaction.
    function doAboveLimit(uint256 value, uint256 limit) external {
        ++count;
        revert AboveLimit(value, limit);
    }

    /// @notice Reverts with Detailed.
    function lookDetailed(Detail calldata detail, bytes32 id, string calldata text) external pure {
        revert Detailed(detail, id, text);
    }

    /// @notice Reverts with Closed.
    function lookClosed() external pure {
        revert Closed();
    }

    /// @notice Reverts with the error of a called contract.
    function doNested(uint256 value, uint256 limit) external {
        ++count;
        this.lookAboveLimit(value, limit);
    }

    /// @notice Reverts by arithmetic below zero.
    function lookUnderflow(uint256 value) external pure returns (uint256) {
        return value - type(uint256).max;
    }

    /// @notice Reverts with a text.
    function lookText(string calldata text) external pure {
        // solhint-disable-next-line gas-custom-errors
        revert(text);
    }

    /// @notice Reverts without any data.
    function lookNothing() external pure {
        // solhint-disable-next-line gas-custom-errors, reason-string
        revert();
    }

    /// @notice Does not revert.
    function doFine() external {
        ++count;
    }
}
