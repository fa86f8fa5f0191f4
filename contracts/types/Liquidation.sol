// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Assessment} from "./Types.sol";

/// @dev All amounts and fractions are WAD (1e18) unless the name says otherwise.

/// @notice Health of an account together with whether it is for sale. The first four are those of
/// `Health`.
enum AccountStatus {
    HEALTHY,
    MARGIN_CALL,
    LIQUIDATABLE,
    INSOLVENT,
    IN_AUCTION,
    RECOVERING
}

/// @notice Who pays when protocol capital and insurance do not do.
enum LastStep {
    SOCIALISE,
    DELEVERAGE
}

/// @notice Rules of auctions (specification, Liquidation, 10).
/// @param openingDiscount Share of maintenance margin given away at the start.
/// @param cuspDiscount Share given away after `fastSeconds`.
/// @param fastSeconds Active time of the first, fast stretch.
/// @param slowSeconds Active time of the second, slow stretch, up to the whole of it.
/// @param buffer What a restored account has above its initial margin, fraction.
/// @param dustMargin Requirement, USD, below which nothing is left behind.
/// @param rewardRate Share of maintenance margin paid to who starts an auction.
/// @param rewardCap Greatest such reward, USD.
/// @param insolvencyBonus Share of maintenance margin paid on top of a deficit, at most.
/// @param lastStep Who pays in the end.
/// @param maxSocialisedShare Greatest share of all cash that one bid may socialise.
/// @param maxDeleverageShare Greatest share of the listed opposite positions closed at a time.
struct AuctionParameters {
    uint64 openingDiscount;
    uint64 cuspDiscount;
    uint32 fastSeconds;
    uint32 slowSeconds;
    uint64 buffer;
    uint96 dustMargin;
    uint64 rewardRate;
    uint96 rewardCap;
    uint64 insolvencyBonus;
    LastStep lastStep;
    uint64 maxSocialisedShare;
    uint64 maxDeleverageShare;
}

/// @notice Bound of forced volume in one market.
/// @param capacity Units; 0 if there is no limit.
/// @param periodSeconds Active time in which a full window empties.
struct Window {
    uint96 capacity;
    uint32 periodSeconds;
}

/// @notice What is kept of an account for sale, or insolvent. Times are active time, seconds.
/// @param startedAt Start of the auction; 0 if the account is not for sale.
/// @param pausedAt Time at which its clock was stopped; 0 if it runs.
/// @param insolvencySeen Whether the account was found insolvent in this auction.
/// @param deficit Equity that it lacked when last seen, USD.
struct AuctionState {
    uint40 startedAt;
    uint40 pausedAt;
    bool insolvencySeen;
    uint112 deficit;
}

/// @notice Losses that are pending, and those that all owners of cash bore.
/// @param pendingLoss Sum of all recorded deficits, USD.
/// @param lossRecordedAt When that last became more than dust, or doubled at a stroke.
/// @param socialisedShare Share of all cash that was taken, as of `socialisedAt`.
/// @param socialisedAt When it was taken. Both are active time, seconds.
struct Losses {
    uint112 pendingLoss;
    uint40 lossRecordedAt;
    uint64 socialisedShare;
    uint40 socialisedAt;
}

/// @notice Forced volume of one market.
/// @param level Units, as of `updatedAt`.
/// @param updatedAt Active time, seconds.
struct WindowLevel {
    uint96 level;
    uint40 updatedAt;
}

/// @notice What a bid would find.
/// @param status Status as of now.
/// @param assessment Assessment as of now.
/// @param elapsedSeconds Active time since the auction started.
/// @param discount Share of maintenance margin given away.
/// @param price Of the whole portfolio, USD; negative is paid to the bidder.
/// @param restoringFraction Slice that restores the account.
/// @param largestFraction Largest slice for sale: at most that, less if windows say so.
struct AuctionPreview {
    AccountStatus status;
    Assessment assessment;
    uint256 elapsedSeconds;
    uint256 discount;
    int256 price;
    uint256 restoringFraction;
    uint256 largestFraction;
}
