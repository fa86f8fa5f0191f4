// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAccessManaged} from "@openzeppelin/contracts/access/manager/IAccessManaged.sol";
import {
    IERC20Metadata
} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";

import {ILiquidationEngine} from "./ILiquidationEngine.sol";
import {ILiquidationParameters} from "./ILiquidationParameters.sol";
import {IMarginEngine} from "./IMarginEngine.sol";
import {IMarketData} from "./IMarketData.sol";
import {IParameters} from "./IParameters.sol";
import {IRiskModel} from "./IRiskModel.sol";
import {ISettlement} from "./ISettlement.sol";

/// @title All that can be called at the address of the margin engine
/// @notice What it does itself, and what it delegates.
interface IEngine is IMarginEngine, ISettlement, ILiquidationEngine, IAccessManaged {
    /// @notice Parameters set by governance.
    function parameters() external view returns (IParameters);

    /// @notice Prices and surfaces.
    function marketData() external view returns (IMarketData);

    /// @notice Requirement and equity.
    function riskModel() external view returns (IRiskModel);

    /// @notice The token that is cash.
    function settlementToken() external view returns (IERC20Metadata);

    /// @notice Rules of auctions and the waterfall.
    function liquidationParameters() external view returns (ILiquidationParameters);

    /// @notice Code that the margin engine delegates to.
    function settlementEngine() external view returns (address);

    /// @notice Code that the settlement engine delegates to.
    function liquidationEngine() external view returns (address);
}
