// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ILedger} from "./ILedger.sol";

/// @title Settlement, accrual and fees
/// @notice Specification, sections 4 to 6. Called at the address of the margin engine.
interface ISettlement is ILedger {
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
    /// @dev Errors: `AccessManagedUnauthorized`, `ZeroAmount`, `InsufficientFees`,
    /// `InsufficientCash`, `TransferMismatch`.
    function collectFees(address to, uint256 amountRaw) external;
}
