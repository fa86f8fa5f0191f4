// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {FixedPoint} from "../math/FixedPoint.sol";
import {Assessment, CashState} from "../types/Types.sol";

/// @title Who pays what an insolvent account lacks
/// @notice Specification, Liquidation, sections 6 and 8. Nothing here reverts while amounts are
/// below 2^126, sizes below 2^95 and prices below 2^96.
library Waterfall {
    using SafeCast for int256;

    /// @dev Below this a further loss could bring the index to nothing.
    uint256 private constant LEAST_SUPPLY_INDEX = 1e12;

    /// @notice Takes from protocol capital what it has of a claim.
    /// @return paid USD.
    function takeFees(CashState memory state, uint256 claim) internal pure returns (uint256 paid) {
        paid = FixedPoint.min(claim, state.fees);
        // At most the fees.
        state.fees -= uint128(paid);
    }

    /// @notice Takes in what the insurance fund sent for a claim; what exceeds it is kept as fees.
    /// @param received USD; what the field of cash cannot hold does not count.
    /// @return paid USD.
    function takeReceived(CashState memory state, uint256 received, uint256 claim)
        internal
        pure
        returns (uint256 paid)
    {
        uint256 room = type(uint128).max - FixedPoint.max(state.cashHeld, state.fees);
        // Below 2^128, as are both sums.
        uint256 counted = FixedPoint.min(received, room);
        paid = FixedPoint.min(counted, claim);
        state.cashHeld += uint128(counted);
        state.fees += uint128(counted - paid);
    }

    /// @notice What is left after some time of the share of all cash that was taken.
    /// @param share As of then.
    /// @param elapsedSeconds Active time since.
    /// @param maxShare Greatest share that may be taken in a week.
    function shareAfter(uint256 share, uint256 elapsedSeconds, uint256 maxShare)
        internal
        pure
        returns (uint256)
    {
        uint256 forgotten = FixedPoint.mulDivDown(maxShare, elapsedSeconds, 7 days);
        return forgotten < share ? share - forgotten : 0;
    }

    /// @notice Takes a loss from all owners of cash in proportion, by the supply index. Whoever is
    /// to bear a part must be booked after this.
    /// @param pnlPools Sum of the settlement pools, USD.
    /// @param found What was found of the claim before, and is in no account yet, USD.
    /// @param loss What is left of it, USD.
    /// @param maxShare Greatest share of all cash that may be taken, at most a half.
    /// @return taken USD, at most the loss.
    /// @return share Of all cash, rounded up.
    function socialise(
        CashState memory state,
        uint256 pnlPools,
        uint256 found,
        uint256 loss,
        uint256 maxShare
    ) internal pure returns (uint256 taken, uint256 share) {
        int256 owned = int256(uint256(state.cashHeld)) + int256(uint256(state.totalDebt))
            - int256(pnlPools) - int256(uint256(state.fees)) - int256(found);
        if (owned <= 0 || state.supplyIndex < LEAST_SUPPLY_INDEX) return (0, 0);
        uint256 base = uint256(owned);
        taken = FixedPoint.min(loss, FixedPoint.mulDown(maxShare, base));
        share = FixedPoint.divUp(taken, base);
        // At least half of all is left, so the index falls and does not vanish.
        uint256 index = FixedPoint.mulDivDown(state.supplyIndex, base - taken, base);
        state.supplyIndex = uint88(index);
        state.interestPool = (int256(state.interestPool) - int256(taken)).toInt128();
    }

    /// @notice Units to close in all.
    /// @param size Of the insolvent account, without sign.
    /// @param opposite Sum of the listed opposite sizes, without sign.
    /// @param maxShare Greatest share of those that may be closed.
    function closable(uint256 size, uint256 opposite, uint256 maxShare)
        internal
        pure
        returns (uint256)
    {
        return FixedPoint.min(size, FixedPoint.mulDown(maxShare, opposite));
    }

    /// @notice Sum of a list.
    /// @param list Below 2^256 together.
    function sum(uint256[] memory list) internal pure returns (uint256 total) {
        for (uint256 i = 0; i < list.length; ++i) {
            total += list[i];
        }
    }

    /// @notice Splits a total in proportion to weights. Sums are rounded, not parts, so that these
    /// add up to the total exactly.
    /// @param weights Their sum is below 2^256; if it is zero, so are all parts.
    function split(uint256 total, uint256[] memory weights)
        internal
        pure
        returns (uint256[] memory parts)
    {
        uint256 whole = sum(weights);
        parts = new uint256[](weights.length);
        if (whole == 0) return parts;
        uint256 weightUpTo;
        uint256 before;
        for (uint256 i = 0; i < weights.length; ++i) {
            weightUpTo += weights[i];
            uint256 upTo = Math.mulDiv(total, weightUpTo, whole);
            parts[i] = upTo - before;
            before = upTo;
        }
    }

    /// @notice Unpaid profit of a part of a linear position, USD, rounded down: no more than that
    /// is taken from who is closed.
    /// @param value Of the whole position, USD.
    /// @param closed Units closed.
    /// @param size Of the whole position, without sign, above zero.
    function unpaidProfit(int256 value, uint256 closed, uint256 size)
        internal
        pure
        returns (uint256)
    {
        if (value <= 0) return 0;
        return FixedPoint.mulDivDown(uint256(value), closed, size);
    }

    /// @notice Part of a deficit that goes with what is closed, USD, rounded up.
    /// @param deficit Below 2^190.
    /// @param closedValue Units closed times the index.
    /// @param wholeValue The same of all positions of the account; at least `closedValue`.
    function haircut(uint256 deficit, uint256 closedValue, uint256 wholeValue)
        internal
        pure
        returns (uint256)
    {
        // Without a price nothing can be told apart; the last position closed bears all.
        if (closedValue == 0) return 0;
        return Math.mulDiv(deficit, closedValue, wholeValue, Math.Rounding.Ceil);
    }

    /// @notice Haircut of what is closed: its share, and at least what the account cannot pay.
    /// @param premium That the account owes for it, USD; negative is received.
    /// @param funds Collateral equity of the account, USD.
    /// @param share Of the deficit, USD.
    /// @param deficit What is left of it, USD.
    function haircutFor(int256 premium, int256 funds, uint256 share, uint256 deficit)
        internal
        pure
        returns (uint256)
    {
        int256 lacking = premium - FixedPoint.max(funds, 0);
        if (lacking > int256(share)) share = uint256(lacking);
        return FixedPoint.min(share, deficit);
    }

    /// @notice Whether an account would be left with a greater requirement, or with more of it for
    /// its equity.
    function hurts(Assessment memory before, Assessment memory afterwards)
        internal
        pure
        returns (bool)
    {
        (uint256 oldMargin, uint256 newMargin) =
            (before.maintenanceMargin, afterwards.maintenanceMargin);
        if (newMargin > oldMargin) return true;
        // Equity and requirement are below 2^140 each: of the product all 512 bits are compared.
        (uint256 newHigh, uint256 newLow) =
            Math.mul512(FixedPoint.abs(afterwards.equity), oldMargin);
        (uint256 oldHigh, uint256 oldLow) = Math.mul512(FixedPoint.abs(before.equity), newMargin);
        bool isSmaller = newHigh < oldHigh || (newHigh == oldHigh && newLow < oldLow);
        bool isEqual = newHigh == oldHigh && newLow == oldLow;
        if (afterwards.equity >= 0) return before.equity >= 0 && isSmaller;
        // Minus nothing is nothing.
        if (before.equity >= 0) return !(isEqual && newHigh == 0 && newLow == 0);
        return !isSmaller && !isEqual;
    }
}
