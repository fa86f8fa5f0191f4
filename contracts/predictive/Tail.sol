// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {MinHeapLib} from "solady/src/utils/MinHeapLib.sol";

import {FixedPoint} from "../math/FixedPoint.sol";
import {Pass} from "./Pass.sol";

/// @title Mean of the worst share of a list of dates
/// @notice Specification, Predictive margin, section 5 (selection). `sums` are what `Pass.run` left,
/// the list is of those from `from` up to, not including, `to`; losses are in its units.
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
        // K losses of 0 to begin with: what is not a loss counts as that.
        uint256 count = FixedPoint.divideUp(q, WAD);
        MinHeapLib.MemHeap memory heap;
        heap.reserve(count);
        for (uint256 k; k < count; ++k) heap.push(0);
        int256 bar = Pass.below(0);
        while (true) {
            from = _next(sums, from, to, bar);
            if (from == to) break;
            heap.enqueue(Pass.loss(sums[from]), count);
            bar = Pass.below(heap.root());
            ++from;
        }
        uint256 total;
        for (uint256 k; k < count; ++k) total += heap.data[k];
        uint256 least = heap.root();
        uint256 part = q - (count - 1) * WAD;
        return FixedPoint.divideUp(WAD * (total - least) + part * least, q);
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
        uint256 beyond;
        // A loss is below 2^76; one that a hint is above is never met.
        int256 bar = Pass.below(FixedPoint.min(hint, 2 ** 77));
        while (true) {
            from = _next(sums, from, to, bar);
            if (from == to) return hint + FixedPoint.mulDivUp(beyond, WAD, q);
            beyond += Pass.loss(sums[from]) - hint;
            ++from;
        }
    }

    /// @return The first date from `from` on whose sum is below `bar`; `to` if none is.
    function _next(uint256[] memory sums, uint256 from, uint256 to, int256 bar)
        private
        pure
        returns (uint256)
    {
        // Reads the elements from `from` up to `to` alone.
        assembly ("memory-safe") {
            let at := add(add(sums, 32), shl(5, from))
            let end := add(add(sums, 32), shl(5, to))
            for {} lt(at, end) { at := add(at, 32) } { if slt(mload(at), bar) { break } }
            from := shr(5, sub(sub(at, sums), 32))
        }
        return from;
    }
}
