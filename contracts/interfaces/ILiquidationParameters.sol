// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AuctionParameters, Window} from "../types/Liquidation.sol";

/// @title Rules of auctions and the waterfall
/// @notice Specification, Liquidation, 10. Setters are for the governor and revert with
/// `ParameterOutOfRange`.
interface ILiquidationParameters {
    /// @notice The rules of auctions were set.
    /// @param before As it was.
    /// @param afterwards As it is.
    event AuctionParametersSet(AuctionParameters before, AuctionParameters afterwards);

    /// @notice The bound of forced volume in a market was set.
    /// @param underlying Underlying.
    /// @param before As it was.
    /// @param afterwards As it is.
    event WindowSet(uint8 indexed underlying, Window before, Window afterwards);

    /// @notice The insurance fund was set.
    /// @param before As it was.
    /// @param afterwards As it is.
    event InsuranceFundSet(address before, address afterwards);

    /// @notice Sets the rules of auctions, for those that run as well.
    /// @param proposed The rules.
    function setAuctionParameters(AuctionParameters calldata proposed) external;

    /// @notice Sets the bound of forced volume in a market.
    /// @param underlying Underlying.
    /// @param proposed The bound.
    function setWindow(uint8 underlying, Window calldata proposed) external;

    /// @notice Sets the fund that pays after protocol capital.
    /// @param fund An `InsuranceFund` of the engine, or zero for none.
    function setInsuranceFund(address fund) external;

    /// @notice Rules of auctions in force.
    function auctionParameters() external view returns (AuctionParameters memory);

    /// @notice Bound of forced volume in a market.
    /// @param underlying Underlying.
    function window(uint8 underlying) external view returns (Window memory);

    /// @notice Fund that pays after protocol capital; zero if there is none.
    function insuranceFund() external view returns (address);

    /// @notice Refuses what would be too much for a step of the account's liquidation
    /// (specification, Liquidation, section 2).
    /// @dev Error: `AccountTooHeavy`.
    /// @param account Id, for the error.
    /// @param positions Position slots.
    /// @param kinds Number of assets it holds as collateral.
    /// @param followed Bit u is set if one of them follows underlying u; bit 0 counts for nothing.
    /// @param isPredictive Whether it is held to predictive margin.
    function requireLight(
        uint256 account,
        uint256[] calldata positions,
        uint256 kinds,
        uint256 followed,
        bool isPredictive
    ) external pure;
}
