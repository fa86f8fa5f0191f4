// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {LibSort} from "solady/src/utils/LibSort.sol";

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
        uint256[] memory places = _placesOf(to);
        uint256 count = to.length;
        // Sizes are below 2^95, quotes below 2^111, and parts of them no more; places are few.
        unchecked {
            for (uint256 i = 0; i < from.length; ++i) {
                uint256 slot = from[i];
                uint128 instrument = slot.instrument();
                (int256 size, int256 quote) = (slot.size(), slot.quote());
                (int256 moved, int256 movedQuote) = (part(size, fraction), part(quote, fraction));
                from[i] = Position.pack(instrument, size - moved, quote - movedQuote);

                (bool isHeld, uint256 place) = _find(places, instrument);
                if (!isHeld) place = count++;
                // Zero, and so of size and quote zero, if it is new.
                slot = merged[place];
                size = slot.size();
                merged[place] = Position.pack(instrument, size + moved, slot.quote() + movedQuote);
                netted[i] = uint256(instrument >> 120) << 248 | _netted(size, moved);
            }
        }
        // Shortens the array in place: there was room for all.
        assembly ("memory-safe") {
            mstore(merged, count)
        }
        remaining = Positions.removeEmpty(from);
        merged = Positions.removeEmpty(merged);
    }

    /// @dev What two sizes lose of their sum by being added.
    function _netted(int256 a, int256 b) private pure returns (uint256) {
        return FixedPoint.abs(a) + FixedPoint.abs(b) - FixedPoint.abs(a + b);
    }

    /// @dev Instruments of a list in order, each with its place there: a list is asked for as many
    /// instruments as it has, so that walking through it would cost the square of their number.
    function _placesOf(uint256[] memory list) private pure returns (uint256[] memory places) {
        places = new uint256[](list.length);
        for (uint256 i = 0; i < list.length; ++i) {
            places[i] = uint256(list[i].instrument()) << 128 | i;
        }
        LibSort.sort(places);
    }

    function _find(uint256[] memory places, uint128 instrument)
        private
        pure
        returns (bool isHeld, uint256 place)
    {
        if (places.length == 0) return (false, 0);
        // No place is as high as this, so the nearest before it is found.
        uint256 beyond = uint256(instrument) << 128 | type(uint128).max;
        (, uint256 nearest) = LibSort.searchSorted(places, beyond);
        place = uint128(places[nearest]);
        isHeld = places[nearest] >> 128 == instrument;
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
