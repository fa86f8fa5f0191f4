// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Exposure} from "../types/Predictive.sol";
import {Assessment, Breakdown, Portfolio} from "../types/Types.sol";
import {IPredictiveModel} from "./IPredictiveModel.sol";

/// @title Stateless risk model
/// @notice Values a portfolio and computes its requirement. Assumes `portfolio` is what an engine's
/// `portfolio` view returns. Never reverts for an account an engine can hold, unless a price was
/// never posted.
interface IRiskModel {
    /// @notice Equity and requirement.
    /// @param portfolio Account, up to date.
    /// @return assessment Both, and the state that follows.
    function assess(Portfolio calldata portfolio)
        external
        view
        returns (Assessment memory assessment);

    /// @notice The same computation with every intermediate.
    /// @param portfolio Account, up to date.
    /// @return Requirement and equity, with all they are made of.
    function breakdown(Portfolio calldata portfolio) external view returns (Breakdown memory);

    /// @notice The model asked for predictive margin.
    function predictiveModel() external view returns (IPredictiveModel);

    /// @notice What the predictive model is given of a portfolio, whatever its mode.
    /// @param portfolio Account, up to date.
    /// @return One per underlying, ascending.
    function exposures(Portfolio calldata portfolio) external view returns (Exposure[] memory);

    /// @notice Haircut value of collateral at initial prices, the lower of spot and stable: what it
    /// can pay.
    /// @param collateral As in `Portfolio.collateral`.
    /// @return value USD, rounded down.
    /// @return oldestTimestamp Time of the oldest price used; the current time if none was.
    function collateralValue(uint256[] calldata collateral)
        external
        view
        returns (uint256 value, uint256 oldestTimestamp);
}
