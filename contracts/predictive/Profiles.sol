// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {LibBit} from "solady/src/utils/LibBit.sol";

import {Exposure} from "../types/Predictive.sol";

/// @title From the nodes of a profile to what a book earns in every triangle between them
/// @notice Specification, Predictive margin, section 5 (rows and lanes).
/// @dev Memory: each place p of the basket has 4,096 bytes from `BASE` + 4,096 p on, of which the
/// words of its 60 rows are the first 1,920. So the bits of a date's word that say where a row is
/// are the address itself, once bit 11 and the number of the place are put into those that no row
/// needs.
/// What no exposure was written to is zero: it earns nothing. Only rows of cells that a stored date
/// uses are written, which are about half of all: the others are never read.
///
/// Ranges: the risk model's amounts are below 2^140, a width or move at most 13 (X64), so products
/// stay below 2^210. In units nodes less gaps are within ±2^61 and charges at most 2^70; a twist
/// is within ±2^63, so the lanes c0, cz, cy of a row are within ±2^73, ±2^62 and ±2^62.
///
/// Numbers that a loop needs again and again are read from memory: the compiler would compute them
/// anew each time. What is to be rounded up is kept negative, so that a shift does it.
library Profiles {
    uint256 internal constant NODES = 11;
    uint256 internal constant CLASSES = 4;

    uint256 private constant NODE_BITS = 60;
    uint256 private constant BASE = 0x800;
    uint256 private constant END = 0x8800;
    /// @dev Behind the rows of the first place: what `corners` and `rows` below need.
    uint256 private constant EXPONENT = 0x1000;
    uint256 private constant WIDTH = 0x1020;
    uint256 private constant MOVE = 0x1040;
    /// @dev Bytes from a class of nodes to the next.
    uint256 private constant CLASS = 0x160;
    /// @dev In deviations, a byte for each of the ten intervals: how wide it is, and how far from 0
    /// its second node.
    uint256 private constant WIDTHS = 0x06030101010101010306 << 176;
    uint256 private constant SECONDS = 0x0603020100010203060c << 176;
    /// @dev Below: no product of such slopes and a width runs over.
    uint256 private constant SLOPE_BITS = 160;
    uint256 private constant ONE = 2 ** 64;
    /// @dev floor(ONE / 100).
    uint256 private constant LEAST_MOVE = 184467440737095516;
    uint256 private constant WAD = 1e18;
    /// @dev What a corner is multiplied by: 1,024 * 2^166 less once along each leg.
    uint256 private constant CORNER = 2 ** 176 - 2 ** 87 - 2 ** 2;

    /// @notice Sets the memory of the rows apart. To be called before anything was written to it,
    /// so that it is zero: first of all in an external function.
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

    /// @notice As many bits as the greatest amounts of an exposure have.
    /// @return bits Of nodes and charges: their disjunction.
    /// @return most At least as great as any gap.
    function amounts(Exposure calldata exposure)
        internal
        pure
        returns (uint256 bits, uint256 most)
    {
        // Ranges are with the title.
        unchecked {
            uint256 x = exposure.deviation << 64;
            bits = _nodes(exposure.pnl);
            if (exposure.pnl.length > NODES) {
                bits |= _greatestCharge(exposure.volErrors, ONE + 12 * x / WAD);
            }
            // Not negative, they rise by no more than the greatest; a negative one has bit 255.
            uint256 slopes = _slopes(exposure.slopes);
            if (slopes >> SLOPE_BITS != 0) return (bits, type(uint256).max);
            most = (slopes * (6 * x / WAD + 1) >> 66) + 1;
        }
    }

    /// @notice Disjunction of the gaps of all cells.
    function gaps(Exposure calldata exposure) internal pure returns (uint256 bits) {
        uint256 x = exposure.deviation << 64;
        int256[] calldata slopes = exposure.slopes;
        // Reads the 11 or 44 elements of `slopes`.
        assembly ("memory-safe") {
            let end := add(slopes.offset, shl(5, slopes.length))
            for { let class := slopes.offset } lt(class, end) { class := add(class, CLASS) } {
                let slope := calldataload(class)
                for { let k := 0 } lt(k, 10) {} {
                    let width := div(add(mul(byte(k, WIDTHS), x), sub(WAD, 1)), WAD)
                    k := add(k, 1)
                    let next := calldataload(add(class, shl(5, k)))
                    let gap := mul(mul(sub(slope, next), sgt(next, slope)), width)
                    bits := or(bits, sub(0, sar(66, gap)))
                    slope := next
                }
            }
        }
    }

    /// @notice Writes the words of an exposure's rows.
    /// @param exponent e: a unit is 2^e wei of a node.
    /// @param cells Those whose rows are needed: bit 3k + v is set for interval k, vol interval v.
    function fill(Exposure calldata exposure, uint256 place, uint256 exponent, uint256 cells)
        internal
        pure
    {
        // Behind the rows of the first place.
        assembly ("memory-safe") {
            mstore(EXPONENT, exponent)
        }
        uint256 x = exposure.deviation << 64;
        if (exposure.pnl.length > NODES) {
            _fillClasses(exposure.pnl, exposure.slopes, exposure.volErrors, x, place, cells);
        } else {
            _fillLinear(exposure.pnl, exposure.slopes, x, place, cells);
        }
    }

    /// @dev Disjunction of 11 or 44 slopes.
    function _slopes(int256[] calldata slopes) private pure returns (uint256 bits) {
        // Reads the elements of `slopes`, eleven a turn.
        assembly ("memory-safe") {
            let at := slopes.offset
            for { let end := add(at, shl(5, slopes.length)) } lt(at, end) { at := add(at, CLASS) } {
                bits := or(bits, calldataload(at))
                bits := or(bits, calldataload(add(at, 0x20)))
                bits := or(bits, calldataload(add(at, 0x40)))
                bits := or(bits, calldataload(add(at, 0x60)))
                bits := or(bits, calldataload(add(at, 0x80)))
                bits := or(bits, calldataload(add(at, 0xa0)))
                bits := or(bits, calldataload(add(at, 0xc0)))
                bits := or(bits, calldataload(add(at, 0xe0)))
                bits := or(bits, calldataload(add(at, 0x100)))
                bits := or(bits, calldataload(add(at, 0x120)))
                bits := or(bits, calldataload(add(at, 0x140)))
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
    /// @param x Deviation, X64 times 1e18.
    function _fillLinear(
        int256[] calldata pnl,
        int256[] calldata slopes,
        uint256 x,
        uint256 place,
        uint256 cells
    ) private pure {
        // Reads the 11 elements of `pnl` and `slopes`; writes to the 60 words of the place's rows.
        assembly ("memory-safe") {
            let node := pnl.offset
            let apart := sub(slopes.offset, node)
            let to := add(BASE, shl(12, place))
            let exponent := mload(EXPONENT)
            for { let k := 0 } cells { k := add(k, 1) } {
                if and(cells, 7) {
                    let width := div(add(mul(byte(k, WIDTHS), x), sub(WAD, 1)), WAD)
                    let slope := add(node, apart)
                    let fall := sub(calldataload(slope), calldataload(add(slope, 0x20)))
                    let gap := sar(66, mul(mul(fall, slt(fall, 0)), width))
                    let near := sar(exponent, add(calldataload(node), gap))
                    let far := sar(exponent, add(calldataload(add(node, 0x20)), gap))
                    let row := add(add(mul(near, CORNER), shl(87, far)), shl(2, near))
                    mstore(to, row)
                    mstore(add(to, 0x40), row)
                    mstore(add(to, 0x80), row)
                    row := add(add(mul(far, CORNER), shl(87, near)), shl(2, far))
                    mstore(add(to, 0x20), row)
                    mstore(add(to, 0x60), row)
                    mstore(add(to, 0xa0), row)
                }
                cells := shr(3, cells)
                node := add(node, 0x20)
                to := add(to, 0xc0)
            }
        }
    }

    /// @dev Rows of a profile with four classes, from one class to the next for each vol interval.
    /// @param x Deviation, X64 times 1e18.
    function _fillClasses(
        int256[] calldata pnl,
        int256[] calldata slopes,
        uint256[3] calldata volErrors,
        uint256 x,
        uint256 place,
        uint256 cells
    ) private pure {
        // Reads the 44 elements of `pnl` and `slopes` and those of `volErrors`; writes to the 60
        // words of the place's rows, and behind those of the first.
        assembly ("memory-safe") {
            // Both nodes of an interval in one class, in units, less the gap.
            function corners(node, slope) -> near, far {
                let fall := sub(calldataload(slope), calldataload(add(slope, 0x20)))
                let gap := sar(66, mul(mul(fall, slt(fall, 0)), mload(WIDTH)))
                near := sar(mload(EXPONENT), add(calldataload(node), gap))
                far := sar(mload(EXPONENT), add(calldataload(add(node, 0x20)), gap))
            }
            // Both triangles of a cell. The charge is scaled, with a quarter of a negative twist,
            // and brought to where c0 is.
            function rows(to, a00, a01, a10, a11, volError) {
                let twist := sub(add(a11, a00), add(a10, a01))
                let charge := shl(10, sar(64, mul(volError, mload(MOVE))))
                charge := add(sar(mload(EXPONENT), charge), shl(8, mul(twist, slt(twist, 0))))
                charge := shl(166, charge)
                mstore(to, add(add(add(mul(a00, mload(0)), shl(87, a01)), shl(2, a10)), charge))
                to := add(to, 0x20)
                mstore(to, add(add(add(mul(a11, mload(0)), shl(87, a10)), shl(2, a01)), charge))
            }
            // Width of an interval and, negative, the greatest move in it: falls are rounded up,
            // and no move is below a hundredth.
            function interval(k, x_) {
                mstore(WIDTH, div(add(mul(byte(k, WIDTHS), x_), sub(WAD, 1)), WAD))
                let span := mul(byte(k, SECONDS), x_)
                switch lt(k, 4)
                case 0 { mstore(MOVE, sub(0, add(ONE, div(span, WAD)))) }
                default {
                    span := div(add(span, sub(WAD, 1)), WAD)
                    let move := sub(0, LEAST_MOVE)
                    if lt(span, sub(ONE, LEAST_MOVE)) { move := sub(span, ONE) }
                    mstore(MOVE, move)
                }
            }
            mstore(0, CORNER)
            let node := pnl.offset
            let apart := sub(slopes.offset, node)
            let to := add(BASE, shl(12, place))
            for { let k := 0 } cells { k := add(k, 1) } {
                if and(cells, 7) {
                    interval(k, x)
                    let slope := add(node, apart)
                    let near, far
                    if and(cells, 3) { near, far := corners(add(node, 0x160), add(slope, 0x160)) }
                    if and(cells, 1) {
                        let a00, a01 := corners(node, slope)
                        rows(to, a00, a01, near, far, calldataload(volErrors))
                    }
                    if and(cells, 6) {
                        let a10, a11 := corners(add(node, 0x2c0), add(slope, 0x2c0))
                        if and(cells, 2) {
                            let error := calldataload(add(volErrors, 0x20))
                            rows(add(to, 0x40), near, far, a10, a11, error)
                        }
                        near := a10
                        far := a11
                    }
                    if and(cells, 4) {
                        let a10, a11 := corners(add(node, 0x420), add(slope, 0x420))
                        let error := calldataload(add(volErrors, 0x40))
                        rows(add(to, 0x80), near, far, a10, a11, error)
                    }
                }
                cells := shr(3, cells)
                node := add(node, 0x20)
                to := add(to, 0xc0)
            }
        }
    }
}
