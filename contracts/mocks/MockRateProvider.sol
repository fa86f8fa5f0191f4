// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IRateProvider} from "../interfaces/IRateProvider.sol";

/// @title Rate provider that says what anyone tells it
contract MockRateProvider is IRateProvider {
    /// @inheritdoc IRateProvider
    uint256 public getRate;

    constructor(uint256 rate) {
        getRate = rate;
    }

    function setRate(uint256 rate) external {
        getRate = rate;
    }
}
