// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AccountStatus} from "../types/Liquidation.sol";
import {ILedger} from "./ILedger.sol";

/// @title Settlement in time or by force, accrual, status, fees and protocol capital
/// @notice Specification, sections 4 to 6; Liquidation, sections 2, 6 and 8. Part of the engine:
/// call these on the engine's address.
interface ISettlement is ILedger {
    // ------------------------------------------------------------------------------------ errors

    /// @notice Deleveraging is not the last step, or not yet.
    error DeleveragingNotDue(uint256 account);

    /// @notice The account has no live position in the instrument.
    error NothingToDeleverage(uint256 account, uint128 instrument);

    /// @notice Counterparties must ascend, and be other accounts.
    error NotAscending(uint256 account);

    /// @notice The counterparty has no opposite position.
    error NotOpposite(uint256 account);

    // ------------------------------------------------------------------------------------ events

    /// @notice A counterparty's position was closed against an insolvent account's.
    /// @param account The insolvent account.
    /// @param counterparty The other side.
    /// @param instrument What was closed.
    /// @param size Units that the account bought; negative if it sold.
    /// @param price Fair price, USD.
    /// @param haircut What the counterparty gave up, USD.
    event Deleveraged(
        uint256 indexed account,
        uint256 indexed counterparty,
        uint128 indexed instrument,
        int256 size,
        uint256 price,
        uint256 haircut
    );

    /// @notice Protocol capital was added.
    /// @param contributor Whose tokens.
    /// @param amountRaw Tokens.
    /// @param amount USD.
    event Contributed(address indexed contributor, uint256 amountRaw, uint256 amount);

    // --------------------------------------------------------------------------------- functions

    /// @notice Turns expired positions into claims and profit and loss into cash, losses first, as
    /// far as collateral covers the losses and the pools the profits; collateral with a price older
    /// than `marginMaxAge` covers nothing. Anyone may call, for any account: equity does not change
    /// but for rounding against the account.
    /// @param account Account id.
    /// @dev Errors: `InvalidAccount`; `CashOverflow`, `PositionOverflow` at the edges of the
    /// fields.
    function settle(uint256 account) external;

    /// @notice Accrues interest, and funding of one underlying. Anyone may call.
    /// @param underlying Underlying id.
    function accrue(uint8 underlying) external;

    /// @notice Sends fees earned to a receiver. Restricted by the access manager.
    /// @param to Receiver.
    /// @param amountRaw Tokens sent; fees are debited rounded up.
    /// @dev Errors: `AccessManagedUnauthorized`, `PendingLoss`, `ZeroAmount`, `InsufficientFees`,
    /// `InsufficientCash`, `TransferMismatch`.
    function collectFees(address to, uint256 amountRaw) external;

    /// @notice Records the present health of an account, and ends its auction if it is over.
    /// @param account Any account.
    /// @return status Its status now.
    function updateStatus(uint256 account) external returns (AccountStatus status);

    /// @notice Closes an insolvent account's position against opposite ones, the deficit shared in
    /// proportion to what is closed.
    /// @param account The account.
    /// @param instrument The instrument.
    /// @param counterparties Accounts with opposite positions, ascending.
    /// @return closed Units closed.
    function deleverage(
        uint256 account,
        uint128 instrument,
        uint256[] calldata counterparties
    ) external returns (uint256 closed);

    /// @notice Adds the caller's settlement tokens to protocol capital.
    /// @param amountRaw Tokens.
    function contribute(uint256 amountRaw) external;

    // ------------------------------------------------------------------------------------- views

    /// @notice Sum of the deficits of all accounts recorded insolvent, USD.
    function pendingLoss() external view returns (uint256);

    /// @notice Whether that sum is more than dust: stakers and fees stay as long as it is.
    function isLossPending() external view returns (bool);
}
