// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {FixedPoint} from "../math/FixedPoint.sol";
import {Instrument} from "../types/Instrument.sol";
import {Position} from "../types/Position.sol";

/// @title Arithmetic of positions
/// @notice Specification, sections 3 and 4. Lists of slots live in memory; a function that says so
/// changes the list it is given and returns it, longer or shorter.
library Positions {
    using Instrument for uint128;
    using Position for uint256;

    /// @notice What a trade did to a position.
    /// @param premium Cash paid for an option, USD; negative is received, zero if linear.
    /// @param sizeBefore Size before the trade.
    /// @param sizeAfter Size after the trade.
    struct Change {
        int256 premium;
        int256 sizeBefore;
        int256 sizeAfter;
    }

    /// @notice Index of an instrument in the list; the length of the list if it is not there.
    function find(uint256[] memory positions, uint128 instrument)
        internal
        pure
        returns (uint256 i)
    {
        uint256 head = uint256(instrument) << 128;
        uint256 shift = instrument.isOption() ? 128 : 208;
        for (; i < positions.length; ++i) {
            if ((positions[i] ^ head) >> shift == 0) return i;
        }
    }

    /// @notice Trades `size` at `price`, changing the list.
    /// @param price USD; for a perpetual less the funding index, so possibly negative.
    /// @return The list, one longer if the position is new and one shorter if nothing is left of
    /// it.
    /// @return change Premium and sizes.
    function applyTrade(
        uint256[] memory positions,
        uint128 instrument,
        int256 size,
        int256 price
    ) internal pure returns (uint256[] memory, Change memory change) {
        uint256 i = find(positions, instrument);
        bool isNew = i == positions.length;
        uint256 slot = isNew ? uint256(instrument) << 128 : positions[i];
        (slot, change) = applyTrade(slot, size, price);
        if (slot.isEmpty()) return (isNew ? positions : remove(positions, i), change);
        if (isNew) positions = append(positions);
        positions[i] = slot;
        return (positions, change);
    }

    /// @notice Trades `size` at `price` in one slot.
    function applyTrade(uint256 slot, int256 size, int256 price)
        internal
        pure
        returns (uint256 newSlot, Change memory change)
    {
        change.sizeBefore = slot.size();
        change.sizeAfter = change.sizeBefore + size;
        // Sizes that fit their field keep the product below within 256 bits.
        newSlot = Position.pack(slot.instrument(), change.sizeAfter, slot.quote());
        int256 amount = signedAmount(size, price);
        if (slot.isOption()) change.premium = amount;
        else newSlot = addQuote(newSlot, -amount);
    }

    /// @notice `size · price`, rounded towards zero, so that both sides of a trade exchange the
    /// same amount.
    function signedAmount(int256 size, int256 price) internal pure returns (int256) {
        return FixedPoint.mulToZero(size, price);
    }

    /// @notice Value of a linear position, USD, rounded down.
    /// @param price Mark less funding index, forward or settlement price.
    function linearValue(uint256 slot, int256 price) internal pure returns (int256) {
        return FixedPoint.mulDown(slot.size(), price) + slot.quote();
    }

    /// @notice What an expired option or future is worth, USD, rounded down.
    function payoff(uint256 slot, uint256 settlementPrice) internal pure returns (int256) {
        int256 price = int256(settlementPrice);
        if (!slot.isOption()) return linearValue(slot, price);
        int256 intrinsic = price - int256(slot.instrument().strike());
        if (slot.instrument().isPut()) intrinsic = -intrinsic;
        return intrinsic > 0 ? FixedPoint.mulDown(slot.size(), intrinsic) : int256(0);
    }

    /// @notice Change of abs(size).
    function grossChange(Change memory change) internal pure returns (int256) {
        uint256 before = FixedPoint.abs(change.sizeBefore);
        // Sizes are below 2^95.
        return int256(FixedPoint.abs(change.sizeAfter)) - int256(before);
    }

    /// @notice Whether the size fell towards zero and not beyond.
    function isReduction(Change memory change) internal pure returns (bool) {
        if (change.sizeBefore < 0 ? change.sizeAfter > 0 : change.sizeAfter < 0) return false;
        return grossChange(change) < 0;
    }

    /// @notice Index and value of a linear position of size zero; the value is zero if it is not.
    function closedValue(uint256[] memory positions, uint128 instrument)
        internal
        pure
        returns (uint256 i, int256 value)
    {
        i = find(positions, instrument);
        if (i < positions.length && positions[i].size() == 0) value = positions[i].quote();
    }

    /// @notice How much of a position's value becomes cash.
    /// @param value Value of the position, USD.
    /// @param funds What the loser, or for a profit the pool, can pay.
    function settledAmount(int256 value, uint256 funds) internal pure returns (int256) {
        if (value < 0) return funds < uint256(-value) ? -int256(funds) : value;
        return funds < uint256(value) ? int256(funds) : value;
    }

    /// @notice The slot with its quote changed.
    function addQuote(uint256 slot, int256 change) internal pure returns (uint256) {
        return Position.pack(slot.instrument(), slot.size(), slot.quote() + change);
    }

    /// @notice The slot of a perpetual with funding taken into its quote, rounded down.
    function netOfFunding(uint256 slot, int256 fundingIndex) internal pure returns (uint256) {
        return addQuote(slot, -FixedPoint.mulUp(slot.size(), fundingIndex));
    }

    /// @notice Turns an expired slot into a claim on its payoff, kept in the quote of the
    /// underlying's perpetual. Changes the list; may leave an empty slot.
    function expire(uint256[] memory positions, uint256 i, int256 amount)
        internal
        pure
        returns (uint256[] memory)
    {
        uint128 perpetual = Instrument.perpetual(positions[i].underlying());
        uint256 j = find(positions, perpetual);
        if (j == positions.length) {
            positions[i] = Position.pack(perpetual, 0, amount);
            return positions;
        }
        positions[j] = addQuote(positions[j], amount);
        return remove(positions, i);
    }

    /// @notice Removes empty slots from the last to the first. Changes the list.
    function removeEmpty(uint256[] memory positions) internal pure returns (uint256[] memory) {
        for (uint256 i = positions.length; i > 0; --i) {
            if (positions[i - 1].isEmpty()) remove(positions, i - 1);
        }
        return positions;
    }

    /// @notice Removes one slot by moving the last into its place. Changes the list.
    function remove(uint256[] memory positions, uint256 i)
        internal
        pure
        returns (uint256[] memory)
    {
        uint256 last = positions.length - 1;
        positions[i] = positions[last];
        // Shortening an array in memory leaves it valid.
        assembly ("memory-safe") {
            mstore(positions, last)
        }
        return positions;
    }

    /// @notice A copy with room for one more slot.
    function append(uint256[] memory positions) internal pure returns (uint256[] memory longer) {
        longer = new uint256[](positions.length + 1);
        for (uint256 i = 0; i < positions.length; ++i) {
            longer[i] = positions[i];
        }
    }
}
