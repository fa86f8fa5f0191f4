// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {MockPyth as PublishedMockPyth} from "@pythnetwork/pyth-sdk-solidity/MockPyth.sol";

/// @title Pyth's own mock: any price, confidence, exponent and publish time, for its update fee
contract MockPyth is PublishedMockPyth {
    constructor(uint256 validSeconds, uint256 updateFeeWei)
        PublishedMockPyth(validSeconds, updateFeeWei)
    {}
}
