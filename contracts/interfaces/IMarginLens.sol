// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AuctionPreview} from "../types/Liquidation.sol";
import {Assessment, Breakdown, MarginMode} from "../types/Types.sol";

/// @notice A transfer not made: tokens into the account, or out of it.
/// @param asset 0 for the settlement token, else a collateral id.
/// @param amountRaw Positive is deposited, negative withdrawn.
struct HypotheticalTransfer {
    uint8 asset;
    int256 amountRaw;
}

/// @notice A trade not made.
/// @param instrument Packed instrument id.
/// @param size Units of the underlying; positive buys.
/// @param price USD.
/// @param isTaker Whether the account pays the taker's fee, or else the maker's.
struct HypotheticalTrade {
    uint128 instrument;
    int256 size;
    uint256 price;
    bool isTaker;
}

/// @notice What is supposed to happen to an account: transfers, then trades, in this order.
/// @param transfers Deposits and withdrawals.
/// @param trades Fills.
/// @param changesMode Whether the margin mode changes too.
/// @param marginMode The mode it changes to; ignored otherwise.
struct Hypothesis {
    HypotheticalTransfer[] transfers;
    HypotheticalTrade[] trades;
    bool changesMode;
    MarginMode marginMode;
}

/// @notice A position as a person reads it.
/// @param instrument Packed instrument id.
/// @param underlying Underlying id.
/// @param expiry Unix seconds; 0 for a perpetual.
/// @param isOption Whether it is an option.
/// @param isPut Whether it is a put.
/// @param strike USD; 0 unless an option.
/// @param size Units, signed.
/// @param quote USD, signed, net of funding; 0 for an option.
/// @param value Mark-to-market, USD, rounded down.
/// @param delta Dollar delta, signed.
/// @param isolatedLoss Worst loss of the position on its own, USD, rounded up.
struct PositionView {
    uint128 instrument;
    uint8 underlying;
    uint32 expiry;
    bool isOption;
    bool isPut;
    uint256 strike;
    int256 size;
    int256 quote;
    int256 value;
    int256 delta;
    uint256 isolatedLoss;
}

/// @notice What the prices of an account are young enough for (specification, Market data, 4). Only
/// ages are judged, not margin; deposits, repayments and reductions go on at any age.
/// @param oldestTimestamp Time of the oldest price used; the current time if none was, 0 if one of
/// them is disputed or seen in an outage.
/// @param withdraw Withdrawals.
/// @param open Increases of risk.
/// @param margin Funding, and losses paid out of collateral.
/// @param liquidation An auction's clock; liquidation itself goes on at any age.
struct Validity {
    uint256 oldestTimestamp;
    bool withdraw;
    bool open;
    bool margin;
    bool liquidation;
}

/// @title What accounts are worth, what they require, and what they would after a change
/// @notice Every number comes from the engine's `portfolio`, the functions the engine itself trades
/// with, and the risk model the engine asks. Nothing on chain depends on the lens. A price never
/// posted is the data source's `MissingPrice` or `MissingCollateralRate`.
interface IMarginLens {
    /// @notice Equity and requirement of an account.
    /// @param account Account id.
    /// @return Both, and the state that follows.
    function assess(uint256 account) external view returns (Assessment memory);

    /// @notice The same of many.
    /// @param accounts Account ids.
    /// @return assessments In their order.
    function assessMany(uint256[] calldata accounts)
        external
        view
        returns (Assessment[] memory assessments);

    /// @notice What bids for many accounts would find, for whoever looks for those to start or bid.
    /// @param accounts Account ids.
    /// @return previews In their order, as the engine's `auctionOf`.
    function auctionMany(uint256[] calldata accounts)
        external
        view
        returns (AuctionPreview[] memory previews);

    /// @notice What the account's prices, taken together, are young enough for.
    /// @param account Account id.
    /// @return One answer for each of the four limits of age.
    function validity(uint256 account) external view returns (Validity memory);

    /// @notice Equity and requirement of an account with every intermediate.
    /// @param account Account id.
    /// @return Both, with all they are made of.
    function breakdown(uint256 account) external view returns (Breakdown memory);

    /// @notice The same of many.
    /// @param accounts Account ids.
    /// @return breakdowns In their order.
    function breakdownMany(uint256[] calldata accounts)
        external
        view
        returns (Breakdown[] memory breakdowns);

    /// @notice An account's breakdown now, and as it would be.
    /// @dev A linear position that a trade closes is settled from the pool as it is now, whatever
    /// the counterparty would pay in; open interest grows by the fill as if it opened the
    /// counterparty's position. Errors: `UnknownInstrument`, `InstrumentExpired`,
    /// `PositionOverflow`, `UnknownAsset`, `InsufficientCollateral`. Caps, lots, strikes, prices'
    /// age and admission are not judged.
    /// @param account Account id.
    /// @param hypothesis What changes.
    /// @return before As it is.
    /// @return afterwards As it would be.
    function whatIf(uint256 account, Hypothesis calldata hypothesis)
        external
        view
        returns (Breakdown memory before, Breakdown memory afterwards);

    /// @notice An account's positions, decoded and valued one by one.
    /// @param account Account id.
    /// @return views One per position, in the order they are stored.
    function positions(uint256 account) external view returns (PositionView[] memory views);

    /// @notice What netting saves: 1 − IM_portfolio / IM_isolated of the same account, WAD, rounded
    /// down; zero for an account that needs no margin.
    /// @param account Account id.
    /// @return Share saved, from zero to one.
    function capitalEfficiency(uint256 account) external view returns (uint256);

    /// @notice Upper bound of an account's expected shortfall from any hint, sharp at the best one,
    /// whatever its mode: `IPredictiveModel.shortfallAt`.
    /// @param account Account id.
    /// @param hint Loss that a share of dates as great as the tail's exceeds, USD, below 2^192.
    /// @return USD, rounded up.
    function shortfallAt(uint256 account, uint256 hint) external view returns (uint256);

    /// @notice Dates on which an account would lose more than an amount, whatever its mode:
    /// `IPredictiveModel.exceedances`.
    /// @param account Account id.
    /// @param amount USD, below 2^192.
    /// @return count Dates.
    /// @return limit Greatest count that certifies the amount as value at risk.
    function exceedances(uint256 account, uint256 amount)
        external
        view
        returns (uint256 count, uint256 limit);
}
