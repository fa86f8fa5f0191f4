// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {MinHeapLib} from "solady/src/utils/MinHeapLib.sol";

import {FixedPoint} from "../math/FixedPoint.sol";
import {Pass} from "./Pass.sol";

/// @title Mean of the worst share of a list of dates
/// @notice Specification, Predictive margin, section 5 (selection). `sums` are what `Pass.run`
/// left, the list is of those from `from` up to, not including, `to`; losses are in its units.
library Tail {
    using MinHeapLib for MinHeapLib.MemHeap;

    uint256 private constant WAD = 1e18;

    /// @notice Expected shortfall of a list; 0 of an empty one.
    /// @param tailShare Share of the dates.
    function shortfall(
        uint256[] memory sums,
        uint256 from,
        uint256 to,
        uint256 tailShare,
        uint256
    ) internal pure returns (uint256) {
        uint256 q = tailShare * (to - from);
        if (q == 0) return 0;
        uint256 count = FixedPoint.divideUp(q, WAD);
        uint256 least = _leastOfGreatest(sums, from, to, count);
        uint256[] memory worst = beyond(sums, from, to, least == 0 ? 0 : least - 1);
        // A heap and no sorting: whoever orders the dates could make a sort quadratic, and deep.
        MinHeapLib.MemHeap memory heap;
        heap.reserve(count);
        for (uint256 i; i < worst.length; ++i) heap.enqueue(worst[i], count);
        uint256 total;
        for (uint256 i; i < heap.length(); ++i) total += heap.data[i];
        // Fewer than there are in the tail only if all others lose nothing.
        uint256 last = heap.length() < count ? 0 : heap.root();
        return FixedPoint.divideUp(WAD * (total - last) + (q - (count - 1) * WAD) * last, q);
    }

    /// @notice Upper bound of the shortfall of a list from a hint; 0 of an empty list.
    /// @param hint t, units.
    function bound(
        uint256[] memory sums,
        uint256 from,
        uint256 to,
        uint256 tailShare,
        uint256 hint
    ) internal pure returns (uint256) {
        uint256 q = tailShare * (to - from);
        if (q == 0) return 0;
        uint256[] memory worse = beyond(sums, from, to, hint);
        uint256 total;
        for (uint256 i; i < worse.length; ++i) total += worse[i] - hint;
        return hint + FixedPoint.mulDivUp(total, WAD, q);
    }

    /// @notice Losses above `units`, in the order of the dates.
    function beyond(uint256[] memory sums, uint256 from, uint256 to, uint256 units)
        internal
        pure
        returns (uint256[] memory found)
    {
        // A loss is below 2^76; one that is above it is met by none.
        int256 bar = Pass.below(FixedPoint.min(units, 2 ** 77));
        // Reads the elements from `from` up to `to`; writes behind all that is allocated, and
        // allocates that.
        assembly ("memory-safe") {
            let at := add(add(sums, 32), shl(5, from))
            let end := add(add(sums, 32), shl(5, to))
            found := mload(0x40)
            let next := add(found, 32)
            let whole := add(at, and(sub(end, at), not(0x7f)))
            for {} lt(at, whole) { at := add(at, 0x80) } {
                if or(
                    or(slt(mload(at), bar), slt(mload(add(at, 0x20)), bar)),
                    or(slt(mload(add(at, 0x40)), bar), slt(mload(add(at, 0x60)), bar))
                ) {
                    let sum := mload(at)
                    mstore(next, sum)
                    next := add(next, shl(5, slt(sum, bar)))
                    sum := mload(add(at, 0x20))
                    mstore(next, sum)
                    next := add(next, shl(5, slt(sum, bar)))
                    sum := mload(add(at, 0x40))
                    mstore(next, sum)
                    next := add(next, shl(5, slt(sum, bar)))
                    sum := mload(add(at, 0x60))
                    mstore(next, sum)
                    next := add(next, shl(5, slt(sum, bar)))
                }
            }
            for {} lt(at, end) { at := add(at, 0x20) } {
                mstore(next, mload(at))
                next := add(next, shl(5, slt(mload(at), bar)))
            }
            mstore(found, shr(5, sub(sub(next, found), 32)))
            mstore(0x40, next)
        }
        // Reads and writes the elements of `found`.
        assembly ("memory-safe") {
            let end := add(add(found, 32), shl(5, mload(found)))
            for { let at := add(found, 32) } lt(at, end) { at := add(at, 0x20) } {
                mstore(at, sub(0, sar(177, add(mload(at), shl(176, 1)))))
            }
        }
    }

    /// @dev The list is cut into `groups` of one length, up to a rest: of their greatest losses
    /// this is the least, so that as many dates as there are groups lose as much.
    /// @param groups At most a tenth of the dates, which are at least 250.
    function _leastOfGreatest(uint256[] memory sums, uint256 from, uint256 to, uint256 groups)
        private
        pure
        returns (uint256)
    {
        // A multiple of four.
        uint256 size = (to - from) / groups / 4 * 0x80;
        int256 most = type(int256).min;
        // Reads elements from `from` up to `to`.
        assembly ("memory-safe") {
            let at := add(add(sums, 32), shl(5, from))
            for {} groups { groups := sub(groups, 1) } {
                let least := mload(at)
                for { let end := add(at, size) } lt(at, end) { at := add(at, 0x80) } {
                    if slt(mload(at), least) { least := mload(at) }
                    if slt(mload(add(at, 0x20)), least) { least := mload(add(at, 0x20)) }
                    if slt(mload(add(at, 0x40)), least) { least := mload(add(at, 0x40)) }
                    if slt(mload(add(at, 0x60)), least) { least := mload(add(at, 0x60)) }
                }
                if sgt(least, most) { most := least }
            }
        }
        return Pass.loss(uint256(most));
    }
}
