// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {
    SignatureChecker
} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

import {IExchange} from "./interfaces/IExchange.sol";
import {IMarginEngine} from "./interfaces/IMarginEngine.sol";
import {Accounts} from "./ledger/Accounts.sol";
import {Orders} from "./ledger/Orders.sol";
import {Fill, Order} from "./types/Types.sol";

/// @title Signed orders
/// @notice A contract of its own because it owns its own state, and the ledger needs the room.
contract Exchange is IExchange, EIP712 {
    IMarginEngine public immutable engine;

    /// @inheritdoc IExchange
    mapping(bytes32 orderHash => uint256) public filled;
    /// @inheritdoc IExchange
    mapping(uint256 account => uint64) public minNonce;

    constructor(IMarginEngine engine_) EIP712("Cross Margin Engine", "1") {
        engine = engine_;
    }

    /// @inheritdoc IExchange
    function matchOrders(
        Order calldata maker,
        bytes calldata makerSignature,
        Order calldata taker,
        bytes calldata takerSignature,
        uint128 size
    ) external returns (Fill memory) {
        if (msg.sender != address(engine)) revert OnlyEngine(msg.sender);
        bytes32 makerHash = hashOrder(maker);
        bytes32 takerHash = hashOrder(taker);
        Orders.requireMatch(maker, makerHash, taker, takerHash);
        _fill(maker, makerHash, makerSignature, size);
        _fill(taker, takerHash, takerSignature, size);
        int256 magnitude = int256(uint256(size));
        return Fill({
            makerAccount: maker.account,
            takerAccount: taker.account,
            instrument: maker.instrument,
            takerSize: taker.size > 0 ? magnitude : -magnitude,
            price: maker.price,
            makerReduceOnly: maker.reduceOnly,
            takerReduceOnly: taker.reduceOnly
        });
    }

    /// @inheritdoc IExchange
    function cancelOrder(Order calldata order) external {
        _requireAuthorised(order.account, msg.sender);
        bytes32 orderHash = hashOrder(order);
        filled[orderHash] = Orders.CANCELLED;
        emit OrderWasCancelled(orderHash, order.account);
    }

    /// @inheritdoc IExchange
    function cancelOrdersBelow(uint256 account, uint64 minNonce_) external {
        _requireAuthorised(account, msg.sender);
        uint64 current = minNonce[account];
        if (minNonce_ <= current) revert NonceNotIncreasing(account, current, minNonce_);
        minNonce[account] = minNonce_;
        emit MinNonceSet(account, current, minNonce_);
    }

    /// @inheritdoc IExchange
    function hashOrder(Order calldata order) public view returns (bytes32) {
        return _hashTypedDataV4(Orders.structHash(order));
    }

    function _fill(
        Order calldata order,
        bytes32 orderHash,
        bytes calldata signature,
        uint128 size
    ) private {
        _requireAuthorised(order.account, order.signer);
        uint256 total = Orders.fill(
            order, orderHash, filled[orderHash], minNonce[order.account], size, block.timestamp
        );
        if (!SignatureChecker.isValidSignatureNowCalldata(order.signer, orderHash, signature)) {
            revert InvalidSignature(orderHash, order.signer);
        }
        filled[orderHash] = total;
        emit OrderFilled(orderHash, order.account, total);
    }

    function _requireAuthorised(uint256 account, address actor) private view {
        Accounts.requireValid(account);
        address owner = Accounts.owner(account);
        uint256 subIds = actor == owner ? 0 : engine.operatorSubIds(owner, actor);
        Accounts.requireAuthorised(account, actor, subIds);
    }
}
