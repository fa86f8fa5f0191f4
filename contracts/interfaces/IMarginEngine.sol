// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {MarginMode, Order, Portfolio} from "../types/Types.sol";

/// @title The ledger of accounts, collateral, cash and positions
/// @notice Specification, sections 2 to 6, 11 and 12. `account` is `uint160(owner) << 8 | subId`.
interface IMarginEngine {
    error InvalidAccount(uint256 account);
    error NotAuthorised(uint256 account, address caller);
    error Reentrancy();
    error ZeroAmount();
    error UnknownAsset(uint8 asset);
    error AssetDisabled(uint8 asset);
    error CollateralCap(uint8 asset, uint256 totalRaw, uint256 capRaw);
    error TransferMismatch(address token, uint256 expectedRaw, uint256 receivedRaw);
    error TokenShortfall(address token, uint256 balanceRaw, uint256 accountedRaw);
    error InsufficientCash(uint256 requested, uint256 cashHeld);
    error InsufficientCollateral(uint8 asset, uint256 requestedRaw, uint256 balanceRaw);
    error CashOverflow(uint256 account, int256 value);
    error InstrumentExpired(uint128 instrument, uint32 expiry);
    error InvalidSignature(bytes32 orderHash, address signer);
    error OrdersDoNotMatch(bytes32 makerHash, bytes32 takerHash);
    error PriceNotAcceptable(uint256 price, uint256 limit);
    error OrderExpired(bytes32 orderHash, uint64 deadline);
    error OrderCancelled(bytes32 orderHash);
    error OrderOverfilled(bytes32 orderHash, uint256 remaining, uint256 size);
    error NonceNotIncreasing(uint256 account, uint64 current, uint64 proposed);
    error InvalidSize(uint256 size, uint256 lotSize);
    error InvalidPrice(uint256 price);
    error ReduceOnly(uint256 account, int256 sizeBefore, int256 sizeAfter);
    error OpenInterestCap(uint8 underlying, uint256 openInterest, uint256 cap);
    error TooManyPositions(uint256 account, uint256 cap);
    error BelowInitialMargin(uint256 account, int256 initialEquity, uint256 initialMargin);
    error StalePrice(uint256 account, uint256 oldestTimestamp, uint256 maxPriceAge);
    error UnrealisedProfitWithdrawal(uint256 account, int256 collateralEquity);

    event OperatorSet(address indexed owner, address indexed operator, uint256 oldSubIds, uint256 newSubIds);
    event MarginModeSet(uint256 indexed account, MarginMode oldMode, MarginMode newMode);
    event Deposited(uint256 indexed account, uint8 indexed asset, address from, uint256 amountRaw, uint256 credited);
    event Withdrawn(uint256 indexed account, uint8 indexed asset, address to, uint256 amountRaw, uint256 debited);
    event InterestBooked(uint256 indexed account, int256 amount);
    event InterestAccrued(uint256 borrowIndex, uint256 supplyIndex, uint256 totalDebt);
    event FundingAccrued(uint8 indexed underlying, int256 fundingIndex);
    event Traded(
        uint256 indexed account,
        uint128 indexed instrument,
        int256 size,
        uint256 price,
        int256 cashChange,
        uint256 fee,
        int256 sizeAfter
    );
    event OrderFilled(bytes32 indexed orderHash, uint256 indexed account, uint256 filled);
    event OrderWasCancelled(bytes32 indexed orderHash, uint256 indexed account);
    event MinNonceSet(uint256 indexed account, uint64 oldNonce, uint64 newNonce);
    event PnlSettled(uint256 indexed account, uint128 indexed instrument, int256 cashChange, uint256 pool);
    event PositionExpired(uint256 indexed account, uint128 indexed instrument, int256 size, uint256 settlementPrice, int256 payoff);
    event FeesCollected(address indexed to, uint256 amountRaw);

    // Actions (specification, section 12).
    function deposit(uint256 account, uint8 asset, uint256 amountRaw) external;
    function withdraw(uint256 account, uint8 asset, uint256 amountRaw, address to) external;
    function matchOrders(
        Order calldata maker,
        bytes calldata makerSignature,
        Order calldata taker,
        bytes calldata takerSignature,
        uint128 size
    ) external;
    function cancelOrder(Order calldata order) external;
    function cancelOrdersBelow(uint256 account, uint64 minNonce) external;
    function settle(uint256 account) external;
    function accrue(uint8 underlying) external;
    function setOperator(address operator, uint256 subIds) external;
    function setMarginMode(uint256 account, MarginMode mode) external;
    function batch(bytes[] calldata calls) external;
    function collectFees(address to, uint256 amountRaw) external;

    // Views.
    function portfolio(uint256 account) external view returns (Portfolio memory);
    function cashOf(uint256 account) external view returns (int256);
    function collateralOf(uint256 account, uint8 asset) external view returns (uint256 amountRaw);
    function positionOf(uint256 account, uint128 instrument) external view returns (int256 size, int256 quote);
    function currentFundingIndex(uint8 underlying) external view returns (int256);
    function filled(bytes32 orderHash) external view returns (uint256);
    function hashOrder(Order calldata order) external view returns (bytes32);
}
