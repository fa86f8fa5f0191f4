// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExchange} from "../interfaces/IExchange.sol";
import {Order} from "../types/Types.sol";

/// @title Orders: their hash and their match
/// @notice Specification, section 6.
library Orders {
    /// @notice EIP-712 type of an order.
    bytes32 internal constant ORDER_TYPEHASH = keccak256(
        "Order(uint256 account,address signer,uint128 instrument,int128 size,uint128 price,"
        "uint64 deadline,uint64 nonce,bool reduceOnly)"
    );

    /// @notice Amount filled that stands for a cancelled order.
    uint256 internal constant CANCELLED = type(uint256).max;

    /// @notice EIP-712 struct hash.
    function structHash(Order memory order) internal pure returns (bytes32) {
        return keccak256(abi.encode(ORDER_TYPEHASH, order));
    }

    /// @notice Reverts unless the two orders may trade with each other at the maker's price.
    function requireMatch(
        Order memory maker,
        bytes32 makerHash,
        Order memory taker,
        bytes32 takerHash
    ) internal pure {
        bool opposite = taker.size > 0 ? maker.size < 0 : (taker.size < 0 && maker.size > 0);
        if (!opposite || maker.instrument != taker.instrument || maker.account == taker.account) {
            revert IExchange.OrdersDoNotMatch(makerHash, takerHash);
        }
        if (taker.size > 0 ? maker.price > taker.price : maker.price < taker.price) {
            revert IExchange.PriceNotAcceptable(maker.price, taker.price);
        }
    }

    /// @notice Amount filled after a fill of `size`; reverts unless the order is alive and has it.
    /// @param filled Amount filled so far.
    /// @param minNonce Least nonce the account has not cancelled.
    function fill(
        Order memory order,
        bytes32 orderHash,
        uint256 filled,
        uint256 minNonce,
        uint256 size,
        uint256 timestamp
    ) internal pure returns (uint256) {
        if (timestamp > order.deadline) {
            revert IExchange.OrderExpired(orderHash, order.deadline);
        }
        if (order.nonce < minNonce || filled == CANCELLED) {
            revert IExchange.OrderCancelled(orderHash);
        }
        uint256 total = uint256(order.size < 0 ? -int256(order.size) : int256(order.size));
        // Never more was filled than the total; and size is below 2^128.
        if (filled + size > total) {
            revert IExchange.OrderOverfilled(orderHash, total - filled, size);
        }
        return filled + size;
    }
}
