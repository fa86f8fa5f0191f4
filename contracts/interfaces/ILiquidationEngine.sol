// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AccountStatus, AuctionPreview} from "../types/Liquidation.sol";

/// @title Liquidation and default
/// @notice Specification, Liquidation. Part of the engine: call these on the engine's address.
/// Amounts are WAD unless their name ends in `Raw`; fractions are WAD.
interface ILiquidationEngine {
    // ------------------------------------------------------------------------------------ errors

    /// @notice The extension serves the engine alone, by delegation.
    error OnlyDelegated();

    /// @notice The account is at or above maintenance margin.
    error NotLiquidatable(uint256 account, int256 equity, uint256 maintenanceMargin);

    /// @notice The account is for sale already.
    error AlreadyInAuction(uint256 account);

    /// @notice The account is not for sale.
    error NoAuction(uint256 account);

    /// @notice An account in auction may only reduce its risk; `updateStatus` ends an auction that
    /// is over.
    error InAuction(uint256 account);

    /// @notice The account to be sold cannot bid for itself.
    error InvalidBidder(uint256 account);

    /// @notice The account to be sold cannot be rewarded for it.
    error InvalidRewardAccount(uint256 account);

    /// @notice The slice costs more, or pays less (negative), than the bidder accepts.
    error SlicePriceNotAcceptable(int256 payment, int256 limit);

    /// @notice No more of this market may be sold by force at present. Units.
    error WindowExhausted(uint8 underlying, uint256 level, uint256 capacity);

    /// @notice The account has yet to be admitted at the end of this batch.
    error AdmissionPending(uint256 account);

    // ------------------------------------------------------------------------------------ events

    /// @notice An account was seen in another state than before.
    /// @param account The account.
    /// @param before Status recorded before.
    /// @param afterwards Status recorded now.
    event StatusChanged(uint256 indexed account, AccountStatus before, AccountStatus afterwards);

    /// @notice An account was put up for sale.
    /// @param account The account.
    /// @param rewardAccount Account of who started it.
    /// @param reward Cash that passed from the account to `rewardAccount`, USD.
    /// @param equity Equity before the reward.
    /// @param maintenanceMargin Requirement at that time.
    event AuctionStarted(
        uint256 indexed account,
        uint256 indexed rewardAccount,
        uint256 reward,
        int256 equity,
        uint256 maintenanceMargin
    );

    /// @notice A slice of everything the account had passed to the bidder.
    /// @param account The account for sale.
    /// @param bidder Account that took it.
    /// @param fraction Of every position, balance and the cash.
    /// @param payment Cash that the bidder paid, USD; negative if it was paid.
    /// @param fromFees Part of that paid by protocol capital.
    /// @param fromFund Part of that paid by the insurance fund.
    /// @param socialised Part of that paid by all owners of cash.
    event SliceSold(
        uint256 indexed account,
        uint256 indexed bidder,
        uint256 fraction,
        int256 payment,
        uint256 fromFees,
        uint256 fromFund,
        uint256 socialised
    );

    /// @notice An account is no longer for sale.
    /// @param account The account.
    event AuctionEnded(uint256 indexed account);

    /// @notice A loss was spread over all owners of cash.
    /// @param amount USD.
    /// @param supplyIndex Index of cash that is owned, after it.
    event LossSocialised(uint256 amount, uint256 supplyIndex);

    // -------------------------------------------------------------------------------- functions

    /// @notice Puts an account below maintenance margin up for sale.
    /// @param account The account.
    /// @param rewardAccount Receives the reward as cash; any other account.
    /// @return reward USD.
    function startAuction(uint256 account, uint256 rewardAccount)
        external
        returns (uint256 reward);

    /// @notice Takes over a slice of an account in auction. The bidder must end healthy.
    /// @param account The account for sale.
    /// @param bidder Account of the caller, or one it may act for.
    /// @param fraction Greatest slice wanted; the largest for sale is sold if it is less.
    /// @param maxPrice Greatest price for the whole portfolio, USD; negative is to be received.
    /// @return fractionSold The slice.
    /// @return payment What the bidder paid, USD; negative if it received.
    function bid(uint256 account, uint256 bidder, uint256 fraction, int256 maxPrice)
        external
        returns (uint256 fractionSold, int256 payment);

    // ------------------------------------------------------------------------------------ views

    /// @notice Status as last recorded.
    /// @param account Any account.
    /// @return status Its status.
    function statusOf(uint256 account) external view returns (AccountStatus status);

    /// @notice What a bid would find at present.
    /// @param account Any account.
    /// @return preview Status as of now, discount, price and largest slice.
    function auctionOf(uint256 account) external view returns (AuctionPreview memory preview);

    /// @notice Forced volume in a market.
    /// @param underlying Underlying.
    /// @return level Units counted at present.
    /// @return capacity Units allowed; 0 if there is no limit.
    function windowOf(uint8 underlying) external view returns (uint256 level, uint256 capacity);
}
