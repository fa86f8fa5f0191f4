// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {MockToken} from "./MockToken.sol";

/// @title Token that keeps one percent of every transfer
contract FeeToken is MockToken {
    constructor(string memory name_, string memory symbol_, uint8 decimals_)
        MockToken(name_, symbol_, decimals_)
    {}

    function _update(address from, address to, uint256 amountRaw) internal override {
        super._update(from, to, amountRaw);
        bool isTransfer = from != address(0) && to != address(0);
        if (isTransfer) super._update(to, address(0), amountRaw / 100);
    }
}
