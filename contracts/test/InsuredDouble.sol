// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IInsuranceFund} from "../interfaces/IInsuranceFund.sol";

/// @title An engine as the insurance fund sees it
contract InsuredDouble {
    uint256 public insolvents;

    /// @notice Sets how many accounts are recorded insolvent.
    function setInsolvents(uint256 count) external {
        insolvents = count;
    }

    /// @notice Draws on the fund.
    function draw(IInsuranceFund fund, uint256 amountRaw) external returns (uint256) {
        return fund.cover(amountRaw);
    }
}
