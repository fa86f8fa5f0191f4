// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IInsuranceFund} from "../interfaces/IInsuranceFund.sol";

/// @title An engine as the insurance fund sees it
contract InsuredDouble {
    bool public isLossPending;

    /// @notice Sets whether a loss is pending.
    function setLossPending(bool isPending) external {
        isLossPending = isPending;
    }

    /// @notice Draws on the fund.
    function draw(IInsuranceFund fund, uint256 amountRaw) external returns (uint256) {
        return fund.cover(amountRaw);
    }
}
