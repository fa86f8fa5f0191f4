// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {FixedPoint} from "../math/FixedPoint.sol";
import {AuctionParameters} from "../types/Liquidation.sol";
import {Assessment} from "../types/Types.sol";

/// @title Dutch auction of slices of an account
/// @notice Specification, Liquidation, sections 2 to 4. Nothing here reverts while equity and
/// requirements are below 2^190, which the ranges of `RiskModel` keep them far below, discounts at
/// most 1e18 and the parameters in their ranges.
library Auction {
    using FixedPoint for uint256;

    int256 private constant MAX_PRICE = 2 ** 192;
    /// @dev More than the rounding of sizes can cost a copy, where an index is above its interval:
    /// 64 times 1e-18 units at prices below 2^96 and 2^11 USD of requirement for each USD of delta.
    uint256 private constant SLACK = 2 ** 56;

    /// @notice Reward for starting the auction, USD, rounded down; none that could make the account
    /// insolvent.
    function reward(Assessment memory assessment, AuctionParameters memory p)
        internal
        pure
        returns (uint256)
    {
        if (isFarBelow(assessment)) return 0;
        uint256 share = uint256(p.rewardRate).mulDown(assessment.maintenanceMargin);
        return FixedPoint.min(p.rewardCap, share);
    }

    /// @notice Whether less than half of maintenance margin is left: windows may cost an account
    /// equity, but not make it insolvent.
    function isFarBelow(Assessment memory assessment) internal pure returns (bool) {
        return 2 * assessment.equity < int256(assessment.maintenanceMargin);
    }

    /// @notice Share of maintenance margin given away, rounded down.
    /// @param elapsedSeconds Active time since the auction started.
    function discountAfter(uint256 elapsedSeconds, AuctionParameters memory p)
        internal
        pure
        returns (uint256)
    {
        uint256 cusp = p.cuspDiscount;
        if (elapsedSeconds < p.fastSeconds) {
            uint256 rise = cusp - p.openingDiscount;
            return p.openingDiscount + rise.mulDivDown(elapsedSeconds, p.fastSeconds);
        }
        uint256 slow = elapsedSeconds - p.fastSeconds;
        if (slow >= p.slowSeconds) return FixedPoint.WAD;
        return cusp + (FixedPoint.WAD - cusp).mulDivDown(slow, p.slowSeconds);
    }

    /// @notice Whether the auction has run its whole length.
    function hasRunOut(uint256 elapsedSeconds, AuctionParameters memory p)
        internal
        pure
        returns (bool)
    {
        return elapsedSeconds >= uint256(p.fastSeconds) + p.slowSeconds;
    }

    /// @notice Whether the account recovered so far that its auction ends.
    function hasRecovered(
        Assessment memory assessment,
        uint256 elapsedSeconds,
        AuctionParameters memory p
    ) internal pure returns (bool) {
        if (_neededEquity(assessment, p.buffer) <= 0) return true;
        return assessment.equity >= int256(assessment.maintenanceMargin)
            && hasRunOut(elapsedSeconds, p);
    }

    /// @notice Price of all the account has, USD, rounded down; negative is paid to the bidder, and
    /// only for an account of negative equity.
    /// @param discount Share of maintenance margin given away.
    function priceOfWhole(
        Assessment memory assessment,
        uint256 discount,
        AuctionParameters memory p
    ) internal pure returns (int256) {
        uint256 margin = assessment.maintenanceMargin;
        if (assessment.equity >= 0) {
            return FixedPoint.max(0, assessment.equity - int256(discount.mulUp(margin)));
        }
        return -int256(discount.mulDown(compensation(assessment, p)));
    }

    /// @notice What an insolvent account lacks, and the most its taker is paid besides, USD.
    /// @param assessment Of negative equity.
    function compensation(Assessment memory assessment, AuctionParameters memory p)
        internal
        pure
        returns (uint256)
    {
        return uint256(-assessment.equity)
            + uint256(p.insolvencyBonus).mulDown(assessment.maintenanceMargin);
    }

    /// @notice Least slice that leaves initial margin and the buffer, rounded up; 1e18 if none does
    /// or hardly anything would be left, 0 for an account at or above maintenance margin.
    /// @param price Of the whole.
    function restoringFraction(
        Assessment memory assessment,
        int256 price,
        AuctionParameters memory p
    ) internal pure returns (uint256) {
        if (assessment.equity >= int256(assessment.maintenanceMargin)) return 0;
        if (price <= 0) return FixedPoint.WAD;
        // Above zero, since E_IM is at most E, below MM and so below IM.
        uint256 needed = uint256(_neededEquity(assessment, p.buffer));
        uint256 restoring = needed.divUp(needed + uint256(price));
        return _leavesDust(restoring, assessment, p) ? FixedPoint.WAD : restoring;
    }

    /// @notice Largest slice for sale.
    /// @param restoring Slice that restores the account.
    /// @param windowFraction Slice that the windows leave room for.
    function largestFraction(
        Assessment memory assessment,
        uint256 restoring,
        uint256 windowFraction
    ) internal pure returns (uint256) {
        return isFarBelow(assessment) ? restoring : FixedPoint.min(restoring, windowFraction);
    }

    /// @notice Slice that a bid for `wanted` gets.
    function soldFraction(
        uint256 wanted,
        uint256 restoring,
        uint256 largest,
        Assessment memory assessment,
        AuctionParameters memory p
    ) internal pure returns (uint256 fraction) {
        fraction = FixedPoint.min(wanted, largest);
        if (restoring == FixedPoint.WAD && largest == FixedPoint.WAD) {
            if (_leavesDust(fraction, assessment, p)) fraction = FixedPoint.WAD;
        }
    }

    /// @notice Price of a slice, USD, signed, rounded up: what the bidder pays goes up, what it may
    /// claim down.
    /// @param price Of the whole.
    function priceOfSlice(int256 price, uint256 fraction) internal pure returns (int256) {
        // Fractions are at most 1e18.
        return FixedPoint.mulUp(price, int256(fraction));
    }

    /// @notice Whether a bidder who had nothing but cash is healthy with a slice, by what was found
    /// of the account sold: requirement and profit that counts scale with the positions, and
    /// concentration falls faster.
    /// @param assessment Of the account sold, before.
    /// @param soldCash Its cash then.
    /// @param cash Cash of the bidder afterwards.
    /// @return False also if it cannot be told.
    function isCopyHealthy(
        Assessment memory assessment,
        int256 soldCash,
        int256 cash,
        uint256 fraction
    ) internal pure returns (bool) {
        int256 f = int256(fraction);
        uint256 margin = fraction.mulUp(assessment.initialMargin);
        int256 free = cash + FixedPoint.mulDown(assessment.initialEquity - soldCash, f);
        return free >= int256(margin + (margin >> 20) + SLACK)
            && cash + FixedPoint.mulDown(assessment.collateralEquity - soldCash, f) >= 0;
    }

    /// @notice Greatest payment for a slice that a bidder accepts, USD, signed, rounded up.
    /// @param maxPrice For the whole; beyond 2^192 counts as that, more than any price.
    function limitOfSlice(int256 maxPrice, uint256 fraction) internal pure returns (int256) {
        return priceOfSlice(FixedPoint.clamp(maxPrice, -MAX_PRICE, MAX_PRICE), fraction);
    }

    /// @dev Initial equity that lacks for initial margin and the buffer, USD, signed.
    function _neededEquity(Assessment memory assessment, uint256 buffer)
        private
        pure
        returns (int256)
    {
        uint256 goal = (FixedPoint.WAD + buffer).mulUp(assessment.initialMargin);
        return int256(goal) - assessment.initialEquity;
    }

    function _leavesDust(
        uint256 fraction,
        Assessment memory assessment,
        AuctionParameters memory p
    ) private pure returns (bool) {
        // Fractions are at most 1e18.
        return (FixedPoint.WAD - fraction).mulDown(assessment.maintenanceMargin) < p.dustMargin;
    }
}
