// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SSTORE2} from "solady/src/utils/SSTORE2.sol";

import {FixedPoint} from "../math/FixedPoint.sol";
import {NormalCdf} from "../math/NormalCdf.sol";
import {Grid, ScenarioKernel} from "../math/ScenarioKernel.sol";
import {Exposure} from "../types/Predictive.sol";
import {Ramp} from "./Ramp.sol";

/// @notice The scenarios of governance, with the kernel's grid for the underlying at hand.
/// @param packed As in `IParameters.scenarioPointer`, each second weight being the one in force.
/// @param count Number of scenarios, with nodes the tails first.
/// @param tails Number of tails; without nodes, that of scenarios.
/// @param classVolPpm Volatility move per vol class, in vol ranges; with nodes, theirs come last.
/// @param nodes Number of nodes priced for the underlying at hand.
/// @param kernel Grid the kernel accumulates in.
struct ScenarioGrid {
    bytes packed;
    uint256 count;
    uint256 tails;
    int256[] classVolPpm;
    uint256 nodes;
    Grid kernel;
}

/// @title Scenario grid (specification, section 8)
library ScenarioGrids {
    using ScenarioKernel for Grid;

    int256 private constant ONE = 2 ** 64;
    int256 private constant LEAST_MOVE = ONE / 100;
    uint256 private constant WAD = 1e18;
    uint256 private constant SCENARIO_BYTES = 16;
    /// @dev Moves of scenarios from which on they are tails.
    uint256 private constant TAIL_PPM = 1e6;

    /// @notice Nodes of a class (specification, Predictive margin, 2).
    uint256 internal constant NODES = 11;
    /// @notice Their vol classes.
    uint256 internal constant NODE_CLASSES = 4;
    /// @dev Moves of the nodes in deviations, volatility moves of the classes in quarters of a vol
    /// range: one signed byte each.
    bytes11 private constant NODE_MOVES = hex"f4fafdfeff00010203060c";
    bytes4 private constant NODE_VOLS = hex"fe000209";

    /// @notice Reads the scenarios once for an account.
    /// @param pointer Data contract (`IParameters.scenarioPointer`).
    /// @param progress Share of a ramp of the weights that has passed, WAD.
    /// @param normalTable Result of `NormalCdf.deploy`.
    /// @param withNodes Whether nodes are wanted, and before them the tails.
    /// @param tailsAlone Whether with the nodes only the tails are wanted.
    function load(
        address pointer,
        uint256 progress,
        address normalTable,
        bool withNodes,
        bool tailsAlone
    ) internal view returns (ScenarioGrid memory grid) {
        // Counts are below 2^12; abs(x) < 2^31 and R < 2^64 make products below 2^160.
        unchecked {
            grid.packed = SSTORE2.read(pointer);
            uint256 count = grid.packed.length / SCENARIO_BYTES;
            if (progress != WAD) _ramp(grid.packed, count, progress);
            grid.tails = count;
            if (withNodes) {
                (grid.packed, grid.tails) = _tailsFirst(grid.packed, count);
                if (tailsAlone) count = grid.tails;
            }
            grid.count = count;
            int256[] memory volPpm = new int256[](count + NODE_CLASSES);
            uint256[] memory ends = new uint256[](count + NODE_CLASSES);
            uint256 classes;
            for (uint256 j; j < count; ++j) {
                int256 vol = int32(uint32(_word(grid.packed, j) >> 64));
                if (classes == 0 || volPpm[classes - 1] != vol) volPpm[classes++] = vol;
                ends[classes - 1] = j + 1;
            }
            for (uint256 c; withNodes && c < NODE_CLASSES; ++c) {
                volPpm[classes] = int256(int8(uint8(NODE_VOLS[c]))) * 250_000;
                count += NODES;
                ends[classes++] = count;
            }
            // Shrinks the array to the classes found.
            assembly ("memory-safe") {
                mstore(volPpm, classes)
            }
            grid.classVolPpm = volPpm;
            grid.kernel = ScenarioKernel.create(NormalCdf.load(normalTable), count, classes);
            for (uint256 c; c < classes; ++c) grid.kernel.setClass(c, ends[c]);
        }
    }

    /// @notice Makes the grid of an underlying and clears what was added to it.
    /// @param scanRange R_u.
    function prepare(ScenarioGrid memory grid, uint256 scanRange) internal pure {
        // Counts are below 2^12; abs(x) < 2^31 and R < 2^64 make products below 2^160.
        unchecked {
            grid.kernel.clear();
            for (uint256 j; j < grid.count; ++j) {
                uint256 word = _word(grid.packed, j);
                grid.kernel.setScenario(j, _moveX64(_pricePpm(word), scanRange), uint32(word));
            }
        }
    }

    /// @notice Sets the nodes behind the scenarios.
    /// @param deviation Standard deviation of the price over the horizon, below 2^64.
    function prepareNodes(ScenarioGrid memory grid, uint256 deviation) internal pure {
        // As above.
        unchecked {
            uint256 class = grid.classVolPpm.length - NODE_CLASSES;
            for (uint256 n; n < NODES; ++n) {
                int256 pricePpm = int256(int8(uint8(NODE_MOVES[n]))) * 1e6;
                grid.kernel.setNode(grid.count + n, class, _moveX64(pricePpm, deviation));
            }
        }
    }

    /// @notice Prices the nodes that were set.
    function priceNodes(ScenarioGrid memory grid) internal pure {
        grid.nodes = grid.kernel.priceNodes(grid.count, NODES, NODE_CLASSES);
    }

    /// @notice Reads what an exposure says about the nodes, priced before.
    function profile(ScenarioGrid memory grid, Exposure memory exposure) internal pure {
        // Counts are below 2^12.
        unchecked {
            Grid kernel = grid.kernel;
            uint256 nodes = grid.nodes;
            exposure.pnl = new int256[](nodes);
            for (uint256 j; j < nodes; ++j) exposure.pnl[j] = kernel.netted(grid.count + j);
            exposure.slopes = kernel.slopes(grid.count, nodes);
            uint256 class = grid.classVolPpm.length - NODE_CLASSES;
            for (uint256 v; v < 3; ++v) exposure.volErrors[v] = kernel.volError(class + v);
        }
    }

    /// @dev m: the move of so many millionths of a range.
    function _moveX64(int256 pricePpm, uint256 range) private pure returns (uint256) {
        // abs(x) < 2^31 and R < 2^64, so the product stays below 2^159.
        unchecked {
            int256 change = FixedPoint.floorDiv(pricePpm * int256(range) * ONE, 1e24);
            if (change < LEAST_MOVE - ONE) change = LEAST_MOVE - ONE;
            return uint256(ONE + change);
        }
    }

    /// @dev The tails in their order, behind them the others in theirs.
    /// @return ordered Without its length, which nobody reads.
    /// @return tails Their number.
    function _tailsFirst(bytes memory packed, uint256 count)
        private
        pure
        returns (bytes memory ordered, uint256 tails)
    {
        // As many bytes more as are written behind the last.
        ordered = new bytes(packed.length + SCENARIO_BYTES);
        // Counts are below 2^12.
        unchecked {
            for (uint256 j; j < count; ++j) {
                if (_isTail(packed, j)) _putWord(ordered, tails++, _word(packed, j));
            }
            uint256 next = tails;
            for (uint256 j; j < count; ++j) {
                if (!_isTail(packed, j)) _putWord(ordered, next++, _word(packed, j));
            }
        }
    }

    function _isTail(bytes memory packed, uint256 j) private pure returns (bool) {
        return FixedPoint.abs(_pricePpm(_word(packed, j))) >= TAIL_PPM;
    }

    function _pricePpm(uint256 word) private pure returns (int256) {
        return int32(uint32(word >> 96));
    }

    /// @dev Puts the weights in force in place of those that the ramp leads to.
    function _ramp(bytes memory packed, uint256 count, uint256 progress) private pure {
        // Counts are below 2^12.
        unchecked {
            for (uint256 j; j < count; ++j) {
                uint256 word = _word(packed, j);
                uint256 weight = Ramp.between(uint32(word >> 32), uint32(word), progress, WAD);
                // The last four of the sixteen bytes of scenario j, which end the word read here.
                assembly ("memory-safe") {
                    let place := add(add(packed, 16), shl(4, j))
                    mstore(place, or(shl(32, shr(32, mload(place))), weight))
                }
            }
        }
    }

    /// @dev Writes scenario j, and zeros behind it.
    function _putWord(bytes memory packed, uint256 j, uint256 word) private pure {
        // Within `packed` by assumption.
        assembly ("memory-safe") {
            mstore(add(add(packed, 32), shl(4, j)), shl(128, word))
        }
    }

    /// @dev The four fields of scenario j in the low 128 bits.
    function _word(bytes memory packed, uint256 j) private pure returns (uint256 word) {
        // j < count: the last of its sixteen bytes is within `packed`.
        assembly ("memory-safe") {
            word := shr(128, mload(add(add(packed, 32), shl(4, j))))
        }
    }
}
