// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Fill, Order} from "../types/Types.sol";

/// @title Signed orders
/// @notice Specification, section 6. Checks who signed what, and keeps how much of it is filled;
/// owned by one engine, which it serves alone. Orders are signed for this contract (EIP-712 name
/// "Cross Margin Engine", version "1"). `InvalidAccount` and `NotAuthorised` are the engine's.
interface IExchange {
    /// @notice Only the engine may fill orders.
    error OnlyEngine(address caller);

    /// @notice The signature is not the signer's for this order.
    error InvalidSignature(bytes32 orderHash, address signer);

    /// @notice Instrument, direction or account of the orders do not go together.
    error OrdersDoNotMatch(bytes32 makerHash, bytes32 takerHash);

    /// @notice The maker's price is beyond the taker's limit.
    error PriceNotAcceptable(uint256 price, uint256 limit);

    /// @notice The deadline has passed.
    error OrderExpired(bytes32 orderHash, uint64 deadline);

    /// @notice The order, or its nonce, was cancelled.
    error OrderCancelled(bytes32 orderHash);

    /// @notice The fill is larger than what is left.
    error OrderOverfilled(bytes32 orderHash, uint256 remaining, uint256 size);

    /// @notice The least nonce can only rise.
    error NonceNotIncreasing(uint256 account, uint64 current, uint64 proposed);

    /// @notice An order was filled, `filled` units in all.
    /// @param orderHash EIP-712 hash of the order.
    /// @param account Account id.
    /// @param filled Units filled so far, unsigned.
    event OrderFilled(bytes32 indexed orderHash, uint256 indexed account, uint256 filled);

    /// @notice An order was cancelled.
    /// @param orderHash EIP-712 hash of the order.
    /// @param account Account id.
    event OrderWasCancelled(bytes32 indexed orderHash, uint256 indexed account);

    /// @notice All orders with a nonce below `newNonce` were cancelled.
    /// @param account Account id.
    /// @param oldNonce Least nonce until now.
    /// @param newNonce Least nonce from now on.
    event MinNonceSet(uint256 indexed account, uint64 oldNonce, uint64 newNonce);

    /// @notice Checks two orders, records their fill and returns it. For the engine alone, which is
    /// where one calls it: the arguments are those of `IMarginEngine.matchOrders`.
    /// @param maker As there.
    /// @param makerSignature As there.
    /// @param taker As there.
    /// @param takerSignature As there.
    /// @param size As there.
    /// @return What both accounts trade.
    /// @dev Errors: `OnlyEngine`, `OrdersDoNotMatch`, `PriceNotAcceptable`; then of the maker's
    /// order, then the taker's: `InvalidAccount`, `NotAuthorised`, `OrderExpired`,
    /// `OrderCancelled`, `OrderOverfilled`, `InvalidSignature`.
    function matchOrders(
        Order calldata maker,
        bytes calldata makerSignature,
        Order calldata taker,
        bytes calldata takerSignature,
        uint128 size
    ) external returns (Fill memory);

    /// @notice Makes an order unfillable for ever. For the account's owner or an operator.
    /// @param order Order.
    /// @dev Errors: `InvalidAccount`, `NotAuthorised`.
    function cancelOrder(Order calldata order) external;

    /// @notice Cancels all orders of an account with a nonce below `minNonce`. For its owner or an
    /// operator.
    /// @param account Account id.
    /// @param minNonce Least nonce from now on.
    /// @dev Errors: `InvalidAccount`, `NotAuthorised`, `NonceNotIncreasing`.
    function cancelOrdersBelow(uint256 account, uint64 minNonce) external;

    /// @notice Units filled of an order; the greatest `uint256` if it was cancelled.
    /// @param orderHash EIP-712 hash of the order.
    /// @return Units, unsigned.
    function filled(bytes32 orderHash) external view returns (uint256);

    /// @notice Least nonce that an account's orders may have.
    /// @param account Account id.
    /// @return Zero until it was raised.
    function minNonce(uint256 account) external view returns (uint64);

    /// @notice EIP-712 hash of an order, which is what its signer signs.
    /// @param order Order.
    /// @return Hash.
    function hashOrder(Order calldata order) external view returns (bytes32);
}
