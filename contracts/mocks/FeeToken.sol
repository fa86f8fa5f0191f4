// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Token} from "./Token.sol";

/// @title Token that keeps one percent of every transfer
contract FeeToken is Token {
    constructor(string memory symbol_, uint8 decimals_) Token(symbol_, decimals_) {}

    function _update(address from, address to, uint256 amountRaw) internal override {
        super._update(from, to, amountRaw);
        bool isTransfer = from != address(0) && to != address(0);
        if (isTransfer) super._update(to, address(0), amountRaw / 100);
    }
}
