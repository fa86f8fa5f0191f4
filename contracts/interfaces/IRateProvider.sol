// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Rate provider of a staked token
/// @notice The part of the interface known from Balancer's pools that is needed here.
interface IRateProvider {
    /// @notice Value of one token in units of its underlying.
    /// @return WAD.
    function getRate() external view returns (uint256);
}
