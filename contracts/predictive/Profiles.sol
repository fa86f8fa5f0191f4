// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {LibBit} from "solady/src/utils/LibBit.sol";

import {Exposure} from "../types/Predictive.sol";

/// @title From the nodes of a profile to what a book earns in every triangle between them
/// @notice Specification, Predictive margin, section 5 (rows and lanes).
/// @dev Memory: each place p of the basket has 4,096 bytes from `BASE` + 4,096 p on, the words of its
/// 60 rows first, what they are made from (`GAPS`, `MOVES`) behind. So the bits of a date's word that
/// say where a row is are the address itself, once bit 11 and the number of the place are put into
/// those that no row needs. What no exposure was written to is zero: it earns nothing.
///
/// Ranges: the risk model's amounts are below 2^140, a width or move at most 13 (X64), so products
/// stay below 2^210. In units nodes less gaps are within ±2^61 and charges at most 2^70; a twist is
/// within ±2^63, so the lanes c0, cz, cy of a row are within ±2^73, ±2^62 and ±2^62.
///
/// Numbers that a loop needs again and again are read from memory: the compiler would compute them
/// anew each time. What is to be rounded up is kept negative, so that a shift does it.
library Profiles {
    uint256 internal constant NODES = 11;
    uint256 internal constant CLASSES = 4;

    uint256 private constant NODE_BITS = 60;
    uint256 private constant BASE = 0x800;
    uint256 private constant END = 0x8800;
    /// @dev Behind the rows of a place, negative: ten gaps for each class; the moves at the far ends of
    /// the ten intervals.
    uint256 private constant GAPS = 0x800;
    uint256 private constant MOVES = 0xd00;
    /// @dev Bytes of the gaps of a class.
    uint256 private constant CLASS_GAPS = 0x140;
    /// @dev Bytes from a class of nodes to the next.
    uint256 private constant CLASS = 0x160;
    uint256 private constant ONE = 2 ** 64;
    /// @dev floor(ONE / 100).
    uint256 private constant LEAST_MOVE = 184467440737095516;
    uint256 private constant WAD = 1e18;
    /// @dev What a corner is multiplied by: 1,024 * 2^166 less once along each leg.
    uint256 private constant CORNER = 2 ** 176 - 2 ** 87 - 2 ** 2;

    /// @notice Sets the memory of the rows apart. To be called before anything was written to it, so
    /// that it is zero: first of all in an external function.
    function reserve() internal pure {
        // Nothing was allocated at or above `BASE`; what the compiler needs itself is far below.
        assembly ("memory-safe") {
            if gt(mload(0x40), BASE) { invalid() }
            mstore(0x40, END)
        }
    }

    /// @notice Whether an exposure has all that is read of it.
    function isComplete(Exposure calldata exposure) internal pure returns (bool) {
        uint256 count = exposure.pnl.length;
        return exposure.slopes.length == count && exposure.deviation <= WAD
            && (count == NODES || count == NODES * CLASSES);
    }

    /// @notice e of amounts of so many bits.
    function exponentOf(uint256 bits) internal pure returns (uint256) {
        // The place of the highest bit is below 256.
        unchecked {
            return bits >> NODE_BITS == 0 ? 0 : LibBit.fls(bits) + 1 - NODE_BITS;
        }
    }

    /// @notice Computes the gaps and moves of an exposure.
    /// @return bits As many as the greatest of nodes, gaps and charges has: their disjunction.
    function prepare(Exposure calldata exposure, uint256 place)
        internal
        pure
        returns (uint256 bits)
    {
        uint256 x = exposure.deviation << 64;
        // A node at n deviations moves by n * x / 1e18, rounded down.
        assembly ("memory-safe") {
            function fallen(n) -> move {
                let fall := div(add(mul(mload(0x00), n), sub(WAD, 1)), WAD)
                move := sub(0, LEAST_MOVE)
                if lt(fall, sub(ONE, LEAST_MOVE)) { move := sub(fall, ONE) }
            }
            function risen(n) -> move {
                move := sub(0, add(ONE, div(mul(mload(0x00), n), WAD)))
            }
            mstore(0x00, x)
            let to := add(add(BASE, MOVES), shl(12, place))
            mstore(to, fallen(6))
            mstore(add(to, 0x20), fallen(3))
            mstore(add(to, 0x40), fallen(2))
            mstore(add(to, 0x60), fallen(1))
            mstore(add(to, 0x80), sub(0, ONE))
            mstore(add(to, 0xa0), risen(1))
            mstore(add(to, 0xc0), risen(2))
            mstore(add(to, 0xe0), risen(3))
            mstore(add(to, 0x100), risen(6))
            mstore(add(to, 0x120), risen(12))
        }
        bits = _gaps(exposure.slopes, x, place) | _nodes(exposure.pnl);
        if (exposure.pnl.length > NODES) {
            bits |= _greatestCharge(exposure.volErrors, ONE + 12 * x / WAD);
        }
    }

    /// @notice Writes the words of an exposure's rows.
    /// @param exponent e: a unit is 2^e wei of a node.
    function fill(Exposure calldata exposure, uint256 place, uint256 exponent) internal pure {
        if (exposure.pnl.length > NODES) {
            _fillClasses(exposure.pnl, exposure.volErrors, place, exponent);
        } else {
            _fillLinear(exposure.pnl, place, exponent);
        }
    }

    /// @dev -ceil(max(0, change of slope) * width / (4 * ONE)), negative so that a shift rounds it away
    /// from zero, for each interval of each class.
    /// @param x Deviation, X64 times 1e18.
    function _gaps(int256[] calldata slopes, uint256 x, uint256 place)
        private
        pure
        returns (uint256 bits)
    {
        // Reads the 11 or 44 elements of `slopes`; writes to the 10 or 40 gaps of the place, and the
        // width of the outer intervals behind its moves.
        assembly ("memory-safe") {
            let at := slopes.offset
            let end := add(at, shl(5, slopes.length))
            let to := add(add(BASE, GAPS), shl(12, place))
            let wide := add(to, 0x700)
            mstore(0x00, div(add(x, sub(WAD, 1)), WAD))
            mstore(0x20, div(add(mul(x, 3), sub(WAD, 1)), WAD))
            mstore(wide, div(add(mul(x, 6), sub(WAD, 1)), WAD))
            for {} lt(at, end) { at := add(at, CLASS) } {
                let slope := calldataload(at)
                let next
                let gap
                next := calldataload(add(at, 0x20))
                gap := sar(66, mul(mul(sub(slope, next), sgt(next, slope)), mload(wide)))
                mstore(to, gap)
                bits := or(bits, sub(0, gap))
                slope := calldataload(add(at, 0x40))
                gap := sar(66, mul(mul(sub(next, slope), sgt(slope, next)), mload(0x20)))
                mstore(add(to, 0x20), gap)
                bits := or(bits, sub(0, gap))
                next := calldataload(add(at, 0x60))
                gap := sar(66, mul(mul(sub(slope, next), sgt(next, slope)), mload(0x00)))
                mstore(add(to, 0x40), gap)
                bits := or(bits, sub(0, gap))
                slope := calldataload(add(at, 0x80))
                gap := sar(66, mul(mul(sub(next, slope), sgt(slope, next)), mload(0x00)))
                mstore(add(to, 0x60), gap)
                bits := or(bits, sub(0, gap))
                next := calldataload(add(at, 0xa0))
                gap := sar(66, mul(mul(sub(slope, next), sgt(next, slope)), mload(0x00)))
                mstore(add(to, 0x80), gap)
                bits := or(bits, sub(0, gap))
                slope := calldataload(add(at, 0xc0))
                gap := sar(66, mul(mul(sub(next, slope), sgt(slope, next)), mload(0x00)))
                mstore(add(to, 0xa0), gap)
                bits := or(bits, sub(0, gap))
                next := calldataload(add(at, 0xe0))
                gap := sar(66, mul(mul(sub(slope, next), sgt(next, slope)), mload(0x00)))
                mstore(add(to, 0xc0), gap)
                bits := or(bits, sub(0, gap))
                slope := calldataload(add(at, 0x100))
                gap := sar(66, mul(mul(sub(next, slope), sgt(slope, next)), mload(0x00)))
                mstore(add(to, 0xe0), gap)
                bits := or(bits, sub(0, gap))
                next := calldataload(add(at, 0x120))
                gap := sar(66, mul(mul(sub(slope, next), sgt(next, slope)), mload(0x20)))
                mstore(add(to, 0x100), gap)
                bits := or(bits, sub(0, gap))
                slope := calldataload(add(at, 0x140))
                gap := sar(66, mul(mul(sub(next, slope), sgt(slope, next)), mload(wide)))
                mstore(add(to, 0x120), gap)
                bits := or(bits, sub(0, gap))
                to := add(to, CLASS_GAPS)
            }
        }
    }

    /// @dev Disjunction of the absolute values of 11 or 44 nodes.
    function _nodes(int256[] calldata pnl) private pure returns (uint256 bits) {
        // Reads the elements of `pnl`, eleven a turn.
        assembly ("memory-safe") {
            let at := pnl.offset
            for { let end := add(at, shl(5, pnl.length)) } lt(at, end) { at := add(at, CLASS) } {
                let value := calldataload(at)
                let sign := sar(255, value)
                bits := or(bits, xor(add(value, sign), sign))
                value := calldataload(add(at, 0x20))
                sign := sar(255, value)
                bits := or(bits, xor(add(value, sign), sign))
                value := calldataload(add(at, 0x40))
                sign := sar(255, value)
                bits := or(bits, xor(add(value, sign), sign))
                value := calldataload(add(at, 0x60))
                sign := sar(255, value)
                bits := or(bits, xor(add(value, sign), sign))
                value := calldataload(add(at, 0x80))
                sign := sar(255, value)
                bits := or(bits, xor(add(value, sign), sign))
                value := calldataload(add(at, 0xa0))
                sign := sar(255, value)
                bits := or(bits, xor(add(value, sign), sign))
                value := calldataload(add(at, 0xc0))
                sign := sar(255, value)
                bits := or(bits, xor(add(value, sign), sign))
                value := calldataload(add(at, 0xe0))
                sign := sar(255, value)
                bits := or(bits, xor(add(value, sign), sign))
                value := calldataload(add(at, 0x100))
                sign := sar(255, value)
                bits := or(bits, xor(add(value, sign), sign))
                value := calldataload(add(at, 0x120))
                sign := sar(255, value)
                bits := or(bits, xor(add(value, sign), sign))
                value := calldataload(add(at, 0x140))
                sign := sar(255, value)
                bits := or(bits, xor(add(value, sign), sign))
            }
        }
    }

    /// @dev Disjunction of the charges at the greatest move.
    function _greatestCharge(uint256[3] calldata volErrors, uint256 move)
        private
        pure
        returns (uint256 bits)
    {
        // Ranges are with the title.
        unchecked {
            for (uint256 v; v < 3; ++v) bits |= volErrors[v] * move + ONE - 1 >> 64;
        }
    }

    /// @dev Rows of a profile with one class: the same in all vol intervals.
    function _fillLinear(int256[] calldata pnl, uint256 place, uint256 exponent) private pure {
        // Reads the 11 elements of `pnl` and ten gaps; writes to the 60 words of the place's rows.
        assembly ("memory-safe") {
            let node := pnl.offset
            let last := add(node, 0x140)
            let to := add(BASE, shl(12, place))
            let from := add(to, GAPS)
            for {} lt(node, last) { node := add(node, 0x20) } {
                let gap := mload(from)
                from := add(from, 0x20)
                let near := sar(exponent, add(calldataload(node), gap))
                let far := sar(exponent, add(calldataload(add(node, 0x20)), gap))
                let lower := add(add(mul(near, CORNER), shl(87, far)), shl(2, near))
                let upper := add(add(mul(far, CORNER), shl(87, near)), shl(2, far))
                mstore(to, lower)
                mstore(add(to, 0x20), upper)
                mstore(add(to, 0x40), lower)
                mstore(add(to, 0x60), upper)
                mstore(add(to, 0x80), lower)
                mstore(add(to, 0xa0), upper)
                to := add(to, 0xc0)
            }
        }
    }

    /// @dev Rows of a profile with four classes, from one class to the next for each vol interval.
    function _fillClasses(
        int256[] calldata pnl,
        uint256[3] calldata volErrors,
        uint256 place,
        uint256 exponent
    ) private pure {
        // Reads the 44 elements of `pnl`, the gaps and moves of the place and the elements of
        // `volErrors`; writes to the 60 words of the place's rows. Charges are scaled, with a quarter
        // of a negative twist, and brought to where c0 is.
        assembly ("memory-safe") {
            let node := pnl.offset
            let to := add(BASE, shl(12, place))
            let from := add(to, GAPS)
            mstore(0x00, CORNER)
            for { let end := add(node, 0x140) } lt(node, end) { node := add(node, 0x20) } {
                let move := mload(add(from, sub(MOVES, GAPS)))
                let gap := mload(from)
                let a00 := sar(exponent, add(calldataload(node), gap))
                let a01 := sar(exponent, add(calldataload(add(node, 0x20)), gap))
                gap := mload(add(from, 0x140))
                let a10 := sar(exponent, add(calldataload(add(node, 0x160)), gap))
                let a11 := sar(exponent, add(calldataload(add(node, 0x180)), gap))
                let charge := shl(10, sar(64, mul(calldataload(volErrors), move)))
                let twist := sub(add(a11, a00), add(a10, a01))
                charge := add(sar(exponent, charge), shl(8, mul(twist, slt(twist, 0))))
                charge := shl(166, charge)
                mstore(to, add(add(add(mul(a00, mload(0x00)), shl(87, a01)), shl(2, a10)), charge))
                mstore(
                    add(to, 0x20),
                    add(add(add(mul(a11, mload(0x00)), shl(87, a10)), shl(2, a01)), charge)
                )
                gap := mload(add(from, 0x280))
                a00 := sar(exponent, add(calldataload(add(node, 0x2c0)), gap))
                a01 := sar(exponent, add(calldataload(add(node, 0x2e0)), gap))
                charge := shl(10, sar(64, mul(calldataload(add(volErrors, 0x20)), move)))
                twist := sub(add(a01, a10), add(a00, a11))
                charge := add(sar(exponent, charge), shl(8, mul(twist, slt(twist, 0))))
                charge := shl(166, charge)
                mstore(add(to, 0x40), add(add(add(mul(a10, mload(0x00)), shl(87, a11)), shl(2, a00)), charge))
                mstore(
                    add(to, 0x60),
                    add(add(add(mul(a01, mload(0x00)), shl(87, a00)), shl(2, a11)), charge)
                )
                gap := mload(add(from, 0x3c0))
                a10 := sar(exponent, add(calldataload(add(node, 0x420)), gap))
                a11 := sar(exponent, add(calldataload(add(node, 0x440)), gap))
                charge := shl(10, sar(64, mul(calldataload(add(volErrors, 0x40)), move)))
                twist := sub(add(a11, a00), add(a10, a01))
                charge := add(sar(exponent, charge), shl(8, mul(twist, slt(twist, 0))))
                charge := shl(166, charge)
                mstore(add(to, 0x80), add(add(add(mul(a00, mload(0x00)), shl(87, a01)), shl(2, a10)), charge))
                mstore(
                    add(to, 0xa0),
                    add(add(add(mul(a11, mload(0x00)), shl(87, a10)), shl(2, a01)), charge)
                )
                from := add(from, 0x20)
                to := add(to, 0xc0)
            }
        }
    }
}
