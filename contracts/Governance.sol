// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";

/// @title Who may do what, and how long it waits in public
/// @notice OpenZeppelin's `AccessManager` unchanged; here only its roles get their numbers.
contract Governance is AccessManager {
    /// @notice Sets parameters and lists what can be traded; meant to act with a delay.
    uint64 public constant GOVERNOR = 1;

    /// @notice May only halt: increases of positions, deposits of a collateral asset, for a while,
    /// by an outage, whatever relies on prices, and a publication of vectors under way.
    uint64 public constant GUARDIAN = 2;

    /// @notice Posts market data.
    uint64 public constant POSTER = 3;

    /// @notice Collects fees.
    uint64 public constant TREASURER = 4;

    /// @notice Moves scan ranges; meant for the `VolatilityEstimator` alone.
    uint64 public constant ESTIMATOR = 5;

    /// @notice Publishes the joint moves that predictive margin looks back on.
    uint64 public constant PUBLISHER = 6;

    /// @param admin Grants and revokes the roles.
    constructor(address admin) AccessManager(admin) {}
}
