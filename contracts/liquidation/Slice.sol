// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Positions} from "../ledger/Positions.sol";
import {FixedPoint} from "../math/FixedPoint.sol";
import {Position} from "../types/Position.sol";

/// @title A slice of everything passes from one account to another
/// @notice Specification, Liquidation, section 4. Nothing is lost or made: what one side gives is
/// what the other gets.
library Slice {
    using Position for uint256;

    /// @notice Part of an amount, rounded towards zero.
    /// @param amount Abs below 2^190.
    /// @param fraction At most 1e18.
    function part(int256 amount, uint256 fraction) internal pure returns (int256) {
        return FixedPoint.mulToZero(amount, int256(fraction));
    }

    /// @notice Part of an amount, rounded down.
    /// @param amount Below 2^190.
    /// @param fraction At most 1e18.
    function part(uint256 amount, uint256 fraction) internal pure returns (uint256) {
        return FixedPoint.mulDown(amount, fraction);
    }

    /// @notice Moves a part of every position, in slot order, into the slots of the receiver.
    /// Changes the list `from`; reverts with `PositionOverflow` only if a slot of the receiver
    /// cannot hold it.
    /// @param from Slots of the account sold.
    /// @param to Slots of the receiver, of any length.
    /// @param fraction At most 1e18.
    /// @return remaining What is left of `from`, without empty slots.
    /// @return merged `to` with the slice, without empty slots.
    /// @return netted Gross open interest that ceased, a word for each slot of `from` as it was:
    /// underlying in bits 248-255, units in bits 0-127.
    function move(uint256[] memory from, uint256[] memory to, uint256 fraction)
        internal
        pure
        returns (uint256[] memory remaining, uint256[] memory merged, uint256[] memory netted)
    {
        merged = _withRoom(to, from.length);
        netted = new uint256[](from.length);
        uint256 count = to.length;
        for (uint256 i = 0; i < from.length; ++i) {
            uint256 slot = from[i];
            int256 size = part(slot.size(), fraction);
            int256 quote = part(slot.quote(), fraction);
            uint256 place = Positions.find(to, slot.instrument());
            if (place == to.length) {
                place = count++;
                merged[place] = Position.pack(slot.instrument(), 0, 0);
            }
            int256 sizeBefore = merged[place].size();
            merged[place] = _add(merged[place], size, quote);
            from[i] = _add(slot, -size, -quote);
            netted[i] = uint256(slot.underlying()) << 248 | _netted(sizeBefore, size);
        }
        // Shortens the array in place: there was room for all.
        assembly ("memory-safe") {
            mstore(merged, count)
        }
        remaining = Positions.removeEmpty(from);
        merged = Positions.removeEmpty(merged);
    }

    function _add(uint256 slot, int256 size, int256 quote) private pure returns (uint256) {
        return Position.pack(slot.instrument(), slot.size() + size, slot.quote() + quote);
    }

    /// @dev What two sizes lose of their sum by being added.
    function _netted(int256 a, int256 b) private pure returns (uint256) {
        return FixedPoint.abs(a) + FixedPoint.abs(b) - FixedPoint.abs(a + b);
    }

    function _withRoom(uint256[] memory list, uint256 room)
        private
        pure
        returns (uint256[] memory longer)
    {
        longer = new uint256[](list.length + room);
        for (uint256 i = 0; i < list.length; ++i) {
            longer[i] = list[i];
        }
    }
}
