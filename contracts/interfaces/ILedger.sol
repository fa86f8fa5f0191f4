// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {MarginMode} from "../types/Types.sol";

/// @title What the ledger's code refuses and tells, whichever contract holds that code
/// @notice Specification, sections 2 to 6, 11 and 12. Amounts are WAD unless their name ends in
/// `Raw` (a token's smallest unit).
interface ILedger {
    // ------------------------------------------------------------------------------------ errors

    /// @notice The id has bits above 168 or no owner.
    error InvalidAccount(uint256 account);

    /// @notice The caller, or signer, is neither owner nor operator of the account.
    error NotAuthorised(uint256 account, address caller);

    /// @notice What is asked for stays while recorded deficits of this sum, USD, are not covered.
    error PendingLoss(uint256 pendingLoss);

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

    /// @notice No option is opened or increased at a strike beyond a tenth and ten times the index.
    /// Both USD.
    error StrikeTooFar(uint256 strike, uint256 index);

    /// @notice The trade would bring open interest (one side, units, rounded up) above the cap.
    error OpenInterestCap(uint8 underlying, uint256 openInterest, uint256 cap);

    /// @notice The account would hold more positions than allowed.
    error TooManyPositions(uint256 account, uint256 cap);

    /// @notice The account would be too much for a step of its liquidation.
    /// @param weight In positions: specification, Liquidation, section 2.
    error AccountTooHeavy(uint256 account, uint256 weight, uint256 limit);

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
}
