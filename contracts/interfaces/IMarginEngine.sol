// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExchange} from "./IExchange.sol";
import {ILedger} from "./ILedger.sol";
import {CashState, MarginMode, MarketState, Order, Portfolio} from "../types/Types.sol";

/// @title The ledger of accounts, collateral, cash and positions
/// @notice Specification, sections 2 to 6, 11 and 12. `account` is `uint160(owner) << 8 | subId`
/// and needs no opening. Amounts are WAD unless their name ends in `Raw` (a token's smallest unit);
/// signed values are positive when the account owns and negative when it owes. Every state-changing
/// function refuses re-entry with `Reentrancy`; the data source's `MissingPrice` and
/// `MissingCollateralRate` pass through wherever a price is read. Assumes parameters, market data,
/// risk model and access manager are trusted, the first two to keep every asset's token and every
/// price once posted, and never to list the settlement token, or a token twice, as collateral.
interface IMarginEngine is ILedger {
    // ----------------------------------------------------------------------------------- actions

    /// @notice Deposits tokens of the caller. Cash goes into any account, reads no price, has no
    /// cap and is credited rounded down; collateral needs a price that was posted once, of any age,
    /// and, unless the account holds some already, the account's owner or an operator.
    /// @param account Account credited.
    /// @param asset 0 for the settlement token, which becomes cash; else a collateral id.
    /// @param amountRaw Tokens pulled from the caller, who must have approved them.
    /// @dev Errors: `InvalidAccount`, `NotAuthorised`, `ZeroAmount`, `UnknownAsset`,
    /// `AssetDisabled`, `CollateralCap`, `AccountTooHeavy`, `TransferMismatch`,
    /// `TokenShortfall`, `CashOverflow`.
    function deposit(uint256 account, uint8 asset, uint256 amountRaw) external;

    /// @notice Withdraws tokens; cash may become a loan against collateral and is debited rounded
    /// up. The account must be healthy afterwards, without unrealised profit behind what left.
    /// @param account Account debited; the caller is its owner or an operator.
    /// @param asset 0 for the settlement token, else a collateral id.
    /// @param amountRaw Tokens sent.
    /// @param to Receiver.
    /// @dev Errors: `InvalidAccount`, `NotAuthorised`, `ZeroAmount`, `PendingLoss`, `UnknownAsset`,
    /// `InsufficientCash`, `InsufficientCollateral`, `CashOverflow`, `TransferMismatch`, and those
    /// of admission: `StalePrice`, `BelowInitialMargin`, `UnrealisedProfitWithdrawal`.
    function withdraw(uint256 account, uint8 asset, uint256 amountRaw, address to) external;

    /// @notice Fills two signed orders against each other at the maker's price. Anyone may call.
    /// The exchange checks the orders and records the fill; then both accounts trade, and must be
    /// healthy afterwards or have strictly reduced their risk.
    /// @param maker Order that gives the price.
    /// @param makerSignature ECDSA or ERC-1271 signature of the maker's signer.
    /// @param taker Order whose limit admits that price.
    /// @param takerSignature The same for the taker.
    /// @param size Units filled, unsigned; a multiple of the underlying's lot size.
    /// @dev Errors: those of `IExchange.matchOrders`, then `UnknownInstrument`,
    /// `InstrumentExpired`, `InvalidSize`, `InvalidPrice`, `PositionOverflow`, `ReduceOnly`,
    /// `StrikeTooFar`, `TooManyPositions`, `AccountTooHeavy`, `CashOverflow`,
    /// `OpenInterestCap`, and those of admission.
    function matchOrders(
        Order calldata maker,
        bytes calldata makerSignature,
        Order calldata taker,
        bytes calldata takerSignature,
        uint128 size
    ) external;

    /// @notice Lets an operator do for the caller's sub-accounts all the caller can, except this.
    /// @param operator Address allowed.
    /// @param subIds Bit i allows sub-account i; replaces the earlier bitmap.
    function setOperator(address operator, uint256 subIds) external;

    /// @notice Chooses the generation of margin the account is held to; it must be healthy
    /// afterwards, at young prices, and not in auction. For the owner or an operator.
    /// @param account Account id.
    /// @param mode Generation.
    /// @dev Errors: `InvalidAccount`, `NotAuthorised`, `AccountTooHeavy`,
    /// `StalePrice`, `InAuction`, `BelowInitialMargin`.
    function setMarginMode(uint256 account, MarginMode mode) external;

    /// @notice Runs calls on this contract one after the other, as the caller; admission of all
    /// accounts is judged once, at the end. Any error reverts the whole with that error.
    /// @param calls Encoded calls of the functions above.
    function batch(bytes[] calldata calls) external;

    // ------------------------------------------------------------------------------------- views

    /// @notice An account as the risk model takes it, interest and funding up to date.
    /// @param account Account id.
    /// @return Portfolio with the time it is valued at.
    function portfolio(uint256 account) external view returns (Portfolio memory);

    /// @notice Cash with interest to now, USD, rounded down.
    /// @param account Account id.
    /// @return Signed; negative is debt.
    function cashOf(uint256 account) external view returns (int256);

    /// @notice Balance of a collateral asset.
    /// @param account Account id.
    /// @param asset 0 for the settlement token, else a collateral id.
    /// @return amountRaw Tokens, in their smallest unit.
    function collateralOf(uint256 account, uint8 asset) external view returns (uint256 amountRaw);

    /// @notice Position slots as stored: quotes of perpetuals contain no funding.
    /// @param account Account id.
    /// @return slots One word each, as specified in section 3.
    function positionsOf(uint256 account) external view returns (uint256[] memory slots);

    /// @notice Size and quote of one position as stored; zero if there is none.
    /// @param account Account id.
    /// @param instrument Packed instrument.
    /// @return size Units, signed.
    /// @return quote USD, signed; for a perpetual, relative to the funding index.
    function positionOf(uint256 account, uint128 instrument)
        external
        view
        returns (int256 size, int256 quote);

    /// @notice Funding index of an underlying with funding to now, USD per unit, rounded down. From
    /// the time on when the spot price is older than `marginMaxAge`, it waits for the next.
    /// @param underlying Underlying id.
    /// @return Signed.
    function currentFundingIndex(uint8 underlying) external view returns (int256);

    /// @notice Cash of the whole ledger as stored.
    /// @return Each with the unit its name says.
    function cashState() external view returns (CashState memory);

    /// @notice Market of one underlying as stored.
    /// @param underlying Underlying id.
    /// @return Each with the unit its name says.
    function marketState(uint8 underlying) external view returns (MarketState memory);

    /// @notice Sum of all balances of a collateral asset.
    /// @param asset 0 for the settlement token, else a collateral id.
    /// @return Tokens, in their smallest unit.
    function totalCollateralRaw(uint8 asset) external view returns (uint256);

    /// @notice Where orders are checked, cancelled and their fills kept.
    /// @return Contract that serves this engine alone.
    function exchange() external view returns (IExchange);

    /// @notice Bitmap of the owner's sub-accounts that an operator may act for.
    /// @param owner Owner of the sub-accounts.
    /// @param operator Address acting for the owner.
    /// @return Bit i stands for sub-account i.
    function operatorSubIds(address owner, address operator) external view returns (uint256);
}
