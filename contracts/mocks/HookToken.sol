// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Address} from "@openzeppelin/contracts/utils/Address.sol";

import {MockToken} from "./MockToken.sol";

/// @title Token that makes a call of anyone's choice during every transfer
/// @notice Errors of that call pass through; what it returned last can be read.
contract HookToken is MockToken {
    address public target;
    bytes public call;
    bytes public returned;

    constructor(string memory name_, string memory symbol_, uint8 decimals_)
        MockToken(name_, symbol_, decimals_)
    {}

    /// @notice Sets the call; none if `target_` is zero.
    function setHook(address target_, bytes calldata call_) external {
        (target, call) = (target_, call_);
    }

    function _update(address from, address to, uint256 amountRaw) internal override {
        super._update(from, to, amountRaw);
        if (target != address(0)) returned = Address.functionCall(target, call);
    }
}
