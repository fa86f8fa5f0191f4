// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExchange} from "./IExchange.sol";
import {CashState, MarginMode, MarketState, Order, Portfolio} from "../types/Types.sol";

/// @title The ledger of accounts, collateral, cash and positions
/// @notice Specification, sections 2 to 6, 11 and 12. `account` is `uint160(owner) << 8 | subId`
/// and needs no opening. Amounts are WAD unless their name ends in `Raw` (a token's smallest unit);
/// signed values are positive when the account owns and negative when it owes. Every state-changing
/// function refuses re-entry with `Reentrancy`; the data source's `MissingPrice` and
/// `MissingCollateralRate` pass through wherever a price is read. Assumes parameters, market data,
/// risk model and access manager are trusted, the first two to keep every asset's token and every
/// price once posted, and never to list the settlement token, or a token twice, as collateral.
interface IMarginEngine {
    // ------------------------------------------------------------------------------------ errors

    /// @notice The id has bits above 168 or no owner.
    error InvalidAccount(uint256 account);

    /// @notice The caller, or signer, is neither owner nor operator of the account.
    error NotAuthorised(uint256 account, address caller);

    /// @notice A state-changing function was entered from within another.
    error Reentrancy();

    /// @notice The amount is zero, or rounds to nothing.
    error ZeroAmount();

    /// @notice No collateral token has this id.
    error UnknownAsset(uint8 asset);

    /// @notice The collateral is not accepted any more.
    error AssetDisabled(uint8 asset);

    /// @notice A token has more than 24 decimals.
    error UnsupportedDecimals(address token, uint8 decimals);

    /// @notice The deposit would bring all accounts' balances to `totalRaw`, above the cap.
    error CollateralCap(uint8 asset, uint256 totalRaw, uint256 capRaw);

    /// @notice A transfer moved another amount than asked for (a fee on transfer, for instance).
    error TransferMismatch(address token, uint256 expectedRaw, uint256 movedRaw);

    /// @notice The engine holds less of the token than it accounts for.
    error TokenShortfall(address token, uint256 balanceRaw, uint256 accountedRaw);

    /// @notice The cash is lent to other accounts. Both values WAD.
    error InsufficientCash(uint256 requested, uint256 cashHeld);

    /// @notice Fewer fees were earned. Both values WAD.
    error InsufficientFees(uint256 requested, uint256 fees);

    /// @notice The account has less of the collateral.
    error InsufficientCollateral(uint8 asset, uint256 requestedRaw, uint256 balanceRaw);

    /// @notice Cash would leave its field, [-2^103, 2^103).
    error CashOverflow(uint256 account, int256 value);

    /// @notice The instrument does not trade any more.
    error InstrumentExpired(uint128 instrument, uint32 expiry);

    /// @notice The size is zero or not a multiple of the lot size.
    error InvalidSize(uint256 size, uint256 lotSize);

    /// @notice Futures and perpetuals cannot trade at this price.
    error InvalidPrice(uint256 price);

    /// @notice The trade would not bring the position towards zero.
    error ReduceOnly(uint256 account, int256 sizeBefore, int256 sizeAfter);

    /// @notice The trade would bring open interest (one side, units, rounded up) above the cap.
    error OpenInterestCap(uint8 underlying, uint256 openInterest, uint256 cap);

    /// @notice The account would hold more positions than allowed.
    error TooManyPositions(uint256 account, uint256 cap);

    /// @notice The account is below initial margin and did not strictly reduce its risk.
    error BelowInitialMargin(uint256 account, int256 initialEquity, uint256 initialMargin);

    /// @notice A price is too old for anything but strictly reducing risk: older than
    /// `withdrawMaxAge` for a withdrawal, or else than `openMaxAge`. Its time is 0 if it is
    /// disputed, or seen in an outage.
    error StalePrice(uint256 account, uint256 oldestTimestamp, uint256 maxPriceAge);

    /// @notice Only unrealised profit stands behind the withdrawal.
    error UnrealisedProfitWithdrawal(uint256 account, int256 collateralEquity);

    // ------------------------------------------------------------------------------------ events

    /// @notice An operator's bitmap of sub-accounts was replaced.
    /// @param owner Owner of the sub-accounts.
    /// @param operator Address acting for the owner.
    /// @param oldSubIds Bitmap until now.
    /// @param newSubIds Bitmap from now on.
    event OperatorSet(
        address indexed owner, address indexed operator, uint256 oldSubIds, uint256 newSubIds
    );

    /// @notice The generation of margin was chosen.
    /// @param account Account id.
    /// @param oldMode Generation until now.
    /// @param newMode Generation from now on.
    event MarginModeSet(uint256 indexed account, MarginMode oldMode, MarginMode newMode);

    /// @notice Tokens arrived.
    /// @param account Account id.
    /// @param asset 0 for the settlement token, else a collateral id.
    /// @param from Who paid.
    /// @param amountRaw Tokens, in their smallest unit.
    /// @param cashChange Credited to cash, WAD; zero for collateral.
    event Deposited(
        uint256 indexed account,
        uint8 indexed asset,
        address from,
        uint256 amountRaw,
        uint256 cashChange
    );

    /// @notice Tokens left.
    /// @param account Account id.
    /// @param asset 0 for the settlement token, else a collateral id.
    /// @param to Receiver.
    /// @param amountRaw Tokens, in their smallest unit.
    /// @param cashChange Debited from cash, WAD, unsigned; zero for collateral.
    event Withdrawn(
        uint256 indexed account,
        uint8 indexed asset,
        address to,
        uint256 amountRaw,
        uint256 cashChange
    );

    /// @notice Interest was added to cash; the interest pool changed by the opposite.
    /// @param account Account id.
    /// @param amount Added to cash, USD, signed.
    event InterestBooked(uint256 indexed account, int256 amount);

    /// @notice Interest accrued to all accounts.
    /// @param borrowIndex Growth of debt since the start, WAD.
    /// @param supplyIndex Growth of cash since the start, WAD.
    /// @param totalDebt Debt of all accounts with interest, USD.
    event InterestAccrued(uint256 borrowIndex, uint256 supplyIndex, uint256 totalDebt);

    /// @notice Funding accrued to all perpetuals of an underlying.
    /// @param underlying Underlying id.
    /// @param fundingIndex Funding per unit held since the start, USD, signed.
    event FundingAccrued(uint8 indexed underlying, int256 fundingIndex);

    /// @notice An account traded.
    /// @param account Account id.
    /// @param instrument Packed instrument.
    /// @param size Signed size of the fill, units.
    /// @param price Price of the fill, USD.
    /// @param cashChange Premium received, negative if paid; zero unless an option.
    /// @param fee Taken from cash besides.
    /// @param sizeAfter Size of the position now.
    event Traded(
        uint256 indexed account,
        uint128 indexed instrument,
        int256 size,
        uint256 price,
        int256 cashChange,
        uint256 fee,
        int256 sizeAfter
    );

    /// @notice Profit or loss of a position became cash; its quote changed by the opposite.
    /// @param account Account id.
    /// @param instrument Packed instrument.
    /// @param cashChange Added to cash, USD, signed.
    /// @param pool Settlement pool of the underlying afterwards.
    event PnlSettled(
        uint256 indexed account, uint128 indexed instrument, int256 cashChange, uint256 pool
    );

    /// @notice An expired position became a claim on its payoff, in the quote of the perpetual.
    /// @param account Account id.
    /// @param instrument Packed instrument.
    /// @param size Units, signed.
    /// @param settlementPrice Final price of the expiry, USD.
    /// @param payoff Worth of the whole position at expiry, USD, signed.
    event PositionExpired(
        uint256 indexed account,
        uint128 indexed instrument,
        int256 size,
        uint256 settlementPrice,
        int256 payoff
    );

    /// @notice Fees left the ledger.
    /// @param to Receiver.
    /// @param amountRaw Tokens, in their smallest unit.
    event FeesCollected(address indexed to, uint256 amountRaw);

    // ----------------------------------------------------------------------------------- actions

    /// @notice Deposits tokens of the caller into any account. Cash reads no price, has no cap and
    /// is credited rounded down; collateral needs a price that was posted once, of any age.
    /// @param account Account credited.
    /// @param asset 0 for the settlement token, which becomes cash; else a collateral id.
    /// @param amountRaw Tokens pulled from the caller, who must have approved them.
    /// @dev Errors: `InvalidAccount`, `ZeroAmount`, `UnknownAsset`, `AssetDisabled`,
    /// `CollateralCap`, `TransferMismatch`, `TokenShortfall`, `CashOverflow`.
    function deposit(uint256 account, uint8 asset, uint256 amountRaw) external;

    /// @notice Withdraws tokens; cash may become a loan against collateral and is debited rounded
    /// up. The account must be healthy afterwards, without unrealised profit behind what left.
    /// @param account Account debited; the caller is its owner or an operator.
    /// @param asset 0 for the settlement token, else a collateral id.
    /// @param amountRaw Tokens sent.
    /// @param to Receiver.
    /// @dev Errors: `InvalidAccount`, `NotAuthorised`, `ZeroAmount`, `UnknownAsset`,
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
    /// `TooManyPositions`, `CashOverflow`, `OpenInterestCap`, and those of admission.
    function matchOrders(
        Order calldata maker,
        bytes calldata makerSignature,
        Order calldata taker,
        bytes calldata takerSignature,
        uint128 size
    ) external;

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

    /// @notice Lets an operator do for the caller's sub-accounts all the caller can, except this.
    /// @param operator Address allowed.
    /// @param subIds Bit i allows sub-account i; replaces the earlier bitmap.
    function setOperator(address operator, uint256 subIds) external;

    /// @notice Chooses the generation of margin the account is held to; admission must hold
    /// afterwards. For the owner or an operator.
    /// @param account Account id.
    /// @param mode Generation.
    /// @dev Errors: `InvalidAccount`, `NotAuthorised`, `StalePrice`, `BelowInitialMargin`.
    function setMarginMode(uint256 account, MarginMode mode) external;

    /// @notice Runs calls on this contract one after the other, as the caller; admission of all
    /// accounts is judged once, at the end. Any error reverts the whole with that error.
    /// @param calls Encoded calls of the functions above.
    function batch(bytes[] calldata calls) external;

    /// @notice Sends fees earned to a receiver. Restricted by the access manager.
    /// @param to Receiver.
    /// @param amountRaw Tokens sent; fees are debited rounded up.
    /// @dev Errors: `AccessManagedUnauthorized`, `ZeroAmount`, `InsufficientFees`,
    /// `InsufficientCash`, `TransferMismatch`.
    function collectFees(address to, uint256 amountRaw) external;

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

    /// @notice Funding index of an underlying with funding to now, USD per unit, rounded down. None
    /// accrues from the time on when the spot price is older than `marginMaxAge`.
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
