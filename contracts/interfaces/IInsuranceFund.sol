// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC4626} from "@openzeppelin/contracts/interfaces/IERC4626.sol";

/// @title Stakers' money that pays for insolvent accounts
/// @notice Specification, Liquidation, 7. An ERC-4626 vault of the settlement token; leaving takes
/// a request, a cool-down, and no loss pending.
interface IInsuranceFund is IERC4626 {
    /// @notice Only the engine may draw on the fund.
    error OnlyEngine(address caller);

    /// @notice The owner has fewer shares.
    error InsufficientShares(uint256 shares, uint256 balance);

    /// @notice A staker asked to leave.
    /// @param owner Whose shares.
    /// @param shares Shares that may leave; 0 cancels an earlier request.
    /// @param start Active time from which they may.
    /// @param until Active time up to which they may.
    event ExitRequested(address indexed owner, uint256 shares, uint256 start, uint256 until);

    /// @notice The fund paid for an insolvent account.
    /// @param paidRaw Tokens.
    event LossCovered(uint256 paidRaw);

    /// @notice Pays the engine, up to what the fund has.
    /// @param amountRaw Tokens asked for.
    /// @return paidRaw Tokens paid.
    function cover(uint256 amountRaw) external returns (uint256 paidRaw);

    /// @notice Asks to leave with shares, replacing an earlier request.
    /// @param shares Shares of the caller.
    function requestExit(uint256 shares) external;

    /// @notice Request of an owner.
    /// @param owner Whose.
    /// @return shares Shares not yet redeemed.
    /// @return start Active time from which they may leave.
    /// @return until Active time up to which they may.
    function exitRequest(address owner)
        external
        view
        returns (uint256 shares, uint256 start, uint256 until);

    /// @notice Active time between a request and the exit.
    function cooldownSeconds() external view returns (uint256);

    /// @notice Active time for which the exit is open.
    function exitWindowSeconds() external view returns (uint256);
}
