// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {LibBit} from "solady/src/utils/LibBit.sol";

import {Exposure} from "../types/Predictive.sol";

/// @title From the nodes of a profile to what a book earns in every triangle between them
/// @notice Specification, Predictive margin, section 5 (rows and lanes).
/// @dev Memory: each place p of the basket has 4,096 bytes from `BASE` + 4,096 p on, the words of its
/// 60 rows first, the charges of its 30 cells from `CHARGES` on. So the bits of a date's word that
/// say where a row is are the address itself, once bit 11 and the number of the place are put into
/// those that no row needs. What no exposure was written to is zero: it earns nothing.
///
/// Ranges: the risk model's amounts are below 2^140, a width or move at most 17 (X64), so products
/// stay below 2^210. In units nodes are within ±2^61 and charges at most 2^71; a twist is within
/// ±2^63, so the lanes c0, cz, cy of a row within ±2^73, ±2^62 and ±2^62.
library Profiles {
    uint256 internal constant NODES = 11;
    uint256 internal constant CLASSES = 4;

    uint256 private constant NODE_BITS = 61;
    uint256 private constant BASE = 0x800;
    uint256 private constant CHARGES = 0x800;
    uint256 private constant END = 0x8800;
    /// @dev Bytes of a node's value.
    uint256 private constant NEXT = 0x20;
    /// @dev Bytes from a class to the next.
    uint256 private constant CLASS = 0x160;
    uint256 private constant ONE = 2 ** 64;
    /// @dev floor(ONE / 100).
    uint256 private constant LEAST_MOVE = 184467440737095516;
    /// @dev Nodes are multiples of half a standard deviation.
    uint256 private constant HALVES = 2e18;

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
        return exposure.slopes.length == count && exposure.deviation <= 1e18
            && (count == NODES || count == NODES * CLASSES);
    }

    /// @notice e of amounts of so many bits.
    function exponentOf(uint256 bits) internal pure returns (uint256) {
        // The place of the highest bit is below 256.
        unchecked {
            return bits >> NODE_BITS == 0 ? 0 : LibBit.fls(bits) + 1 - NODE_BITS;
        }
    }

    /// @notice Computes the charges of an exposure's cells, in wei.
    /// @return bits As many as the greatest of nodes and charges has: their disjunction.
    function charge(Exposure calldata exposure, uint256 place)
        internal
        pure
        returns (uint256 bits)
    {
        int256[] calldata pnl = exposure.pnl;
        int256[] calldata slopes = exposure.slopes;
        uint256 deviation = exposure.deviation;
        uint256 count = pnl.length;
        uint256[3] calldata volErrors = exposure.volErrors;
        // Ranges are with the title. Reads the elements of `slopes` and `pnl`, of which there are 11
        // or 44, and the three of `volErrors`; writes to the 30 words of the place's charges.
        assembly ("memory-safe") {
            function positive(x) -> y {
                y := mul(x, sgt(x, 0))
            }
            function greater(x, y) -> z {
                z := xor(x, mul(xor(x, y), gt(y, x)))
            }
            // ceil(width * rise / (4 * ONE)), rise being the change of a slope.
            function gap(width, rise) -> y {
                y := shr(66, add(mul(width, rise), sub(shl(66, 1), 1)))
            }
            function change(at) -> y {
                y := positive(sub(calldataload(add(at, NEXT)), calldataload(at)))
            }
            function bend(volError, move) -> y {
                y := shr(64, add(mul(calldataload(volError), move), sub(ONE, 1)))
            }
            function interval(at, to, width, move, errors) -> all {
                let near := change(at)
                let far := change(add(at, CLASS))
                all := add(gap(width, greater(near, far)), bend(errors, move))
                mstore(to, all)
                near := change(add(at, mul(2, CLASS)))
                let value := add(gap(width, greater(near, far)), bend(add(errors, 32), move))
                mstore(add(to, 32), value)
                all := or(all, value)
                far := change(add(at, mul(3, CLASS)))
                value := add(gap(width, greater(near, far)), bend(add(errors, 64), move))
                mstore(add(to, 64), value)
                all := or(all, value)
            }
            function linear(at, to, width) -> all {
                all := gap(width, change(at))
                mstore(to, all)
            }
            function up(x, halves) -> y {
                y := div(add(mul(x, halves), sub(HALVES, 1)), HALVES)
            }
            function risen(x, halves) -> y {
                y := add(ONE, div(mul(x, halves), HALVES))
            }
            function fallen(fall) -> y {
                y := LEAST_MOVE
                if lt(fall, sub(ONE, LEAST_MOVE)) { y := sub(ONE, fall) }
            }

            let x := shl(64, deviation)
            let at := slopes.offset
            let to := add(add(BASE, CHARGES), shl(12, place))
            let w15 := up(x, 3)
            let w2 := up(x, 4)
            let w3 := up(x, 6)
            let w8 := up(x, 16)
            switch gt(count, NODES)
            case 0 {
                bits := or(linear(at, to, w8), linear(add(at, 0x20), add(to, 0x60), w3))
                bits := or(bits, linear(add(at, 0x40), add(to, 0xc0), w2))
                bits := or(bits, linear(add(at, 0x60), add(to, 0x120), w15))
                bits := or(bits, linear(add(at, 0x80), add(to, 0x180), w15))
                bits := or(bits, linear(add(at, 0xa0), add(to, 0x1e0), w15))
                bits := or(bits, linear(add(at, 0xc0), add(to, 0x240), w15))
                bits := or(bits, linear(add(at, 0xe0), add(to, 0x2a0), w2))
                bits := or(bits, linear(add(at, 0x100), add(to, 0x300), w3))
                bits := or(bits, linear(add(at, 0x120), add(to, 0x360), w8))
            }
            default {
                let e := volErrors
                bits := interval(at, to, w8, fallen(w8), e)
                bits := or(bits, interval(add(at, 0x20), add(to, 0x60), w3, fallen(up(x, 10)), e))
                bits := or(bits, interval(add(at, 0x40), add(to, 0xc0), w2, fallen(w3), e))
                bits := or(bits, interval(add(at, 0x60), add(to, 0x120), w15, fallen(w15), e))
                bits := or(bits, interval(add(at, 0x80), add(to, 0x180), w15, ONE, e))
                bits := or(bits, interval(add(at, 0xa0), add(to, 0x1e0), w15, risen(x, 3), e))
                bits := or(bits, interval(add(at, 0xc0), add(to, 0x240), w15, risen(x, 6), e))
                bits := or(bits, interval(add(at, 0xe0), add(to, 0x2a0), w2, risen(x, 10), e))
                bits := or(bits, interval(add(at, 0x100), add(to, 0x300), w3, risen(x, 16), e))
                bits := or(bits, interval(add(at, 0x120), add(to, 0x360), w8, risen(x, 32), e))
            }
            let node := pnl.offset
            for { let end := add(node, shl(5, count)) } lt(node, end) { node := add(node, NEXT) } {
                let value := calldataload(node)
                let sign := sar(255, value)
                bits := or(bits, xor(add(value, sign), sign))
            }
        }
    }

    /// @notice Writes the words of an exposure's rows.
    /// @param exponent e: a unit is 2^e wei of a node.
    function fill(Exposure calldata exposure, uint256 place, uint256 exponent) internal pure {
        int256[] calldata pnl = exposure.pnl;
        uint256 count = pnl.length;
        // Ranges are with the title. Reads the nodes and the charges of the place, and writes to the
        // 60 words of its rows.
        assembly ("memory-safe") {
            // c0 * 2^166 + cz * 2^87 + cy * 2^2 of the triangle at `corner`, whose neighbours are
            // `along` in the move and `across` in volatility.
            function row(corner, along, across, charged) -> word {
                word := mul(corner, sub(sub(shl(176, 1), shl(87, 1)), 4))
                word := sub(add(add(word, shl(87, along)), shl(2, across)), shl(166, charged))
            }
            // ceil(1024 * charge / 2^e) + 256 * max(0, -twist)
            function scaled(value, e) -> y {
                y := shr(e, add(shl(10, value), sub(shl(e, 1), 1)))
            }
            function cell(a00, a01, a10, a11, charged, to) {
                let twist := sub(add(a11, a00), add(a10, a01))
                charged := sub(charged, shl(8, mul(twist, slt(twist, 0))))
                mstore(to, row(a00, a01, a10, charged))
                mstore(add(to, 32), row(a11, a10, a01, charged))
            }

            let node := pnl.offset
            let last := add(node, mul(NEXT, sub(NODES, 1)))
            let to := add(BASE, shl(12, place))
            let from := add(to, CHARGES)
            switch gt(count, NODES)
            case 0 {
                for {} lt(node, last) { node := add(node, NEXT) } {
                    let a0 := sar(exponent, calldataload(node))
                    let a1 := sar(exponent, calldataload(add(node, NEXT)))
                    let charged := scaled(mload(from), exponent)
                    from := add(from, 0x60)
                    let lower := row(a0, a1, a0, charged)
                    let upper := row(a1, a0, a1, charged)
                    mstore(to, lower)
                    mstore(add(to, 32), upper)
                    mstore(add(to, 64), lower)
                    mstore(add(to, 96), upper)
                    mstore(add(to, 128), lower)
                    mstore(add(to, 160), upper)
                    to := add(to, 192)
                }
            }
            default {
                for {} lt(node, last) { node := add(node, NEXT) } {
                    let a00 := sar(exponent, calldataload(node))
                    let a01 := sar(exponent, calldataload(add(node, NEXT)))
                    let a10 := sar(exponent, calldataload(add(node, CLASS)))
                    let a11 := sar(exponent, calldataload(add(node, add(CLASS, NEXT))))
                    cell(a00, a01, a10, a11, scaled(mload(from), exponent), to)
                    a00 := sar(exponent, calldataload(add(node, mul(2, CLASS))))
                    a01 := sar(exponent, calldataload(add(node, add(mul(2, CLASS), NEXT))))
                    cell(a10, a11, a00, a01, scaled(mload(add(from, 32)), exponent), add(to, 64))
                    a10 := sar(exponent, calldataload(add(node, mul(3, CLASS))))
                    a11 := sar(exponent, calldataload(add(node, add(mul(3, CLASS), NEXT))))
                    cell(a00, a01, a10, a11, scaled(mload(add(from, 64)), exponent), add(to, 128))
                    from := add(from, 96)
                    to := add(to, 192)
                }
            }
        }
    }
}
