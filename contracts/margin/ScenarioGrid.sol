// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SSTORE2} from "solady/src/utils/SSTORE2.sol";

import {FixedPoint} from "../math/FixedPoint.sol";
import {NormalCdf} from "../math/NormalCdf.sol";
import {Grid, ScenarioKernel} from "../math/ScenarioKernel.sol";
import {Ramp} from "./Ramp.sol";

/// @notice The scenarios of governance, with the kernel's grid for the underlying at hand.
/// @param packed As in `IParameters.scenarioPointer`, each second weight being the one in force.
/// @param count Number of scenarios.
/// @param classVolPpm Volatility move per vol class, in vol ranges.
/// @param kernel Grid the kernel accumulates in.
struct ScenarioGrid {
    bytes packed;
    uint256 count;
    int256[] classVolPpm;
    Grid kernel;
}

/// @title Scenario grid (specification, section 8)
library ScenarioGrids {
    using ScenarioKernel for Grid;

    int256 private constant ONE = 2 ** 64;
    int256 private constant LEAST_MOVE = ONE / 100;
    uint256 private constant WAD = 1e18;
    uint256 private constant SCENARIO_BYTES = 16;

    /// @notice Reads the scenarios once for an account.
    /// @param pointer Data contract (`IParameters.scenarioPointer`).
    /// @param progress Share of a ramp of the weights that has passed, WAD.
    /// @param normalTable Result of `NormalCdf.deploy`.
    function load(address pointer, uint256 progress, address normalTable)
        internal
        view
        returns (ScenarioGrid memory grid)
    {
        // Counts are below 2^12; abs(x) < 2^31 and R < 2^64 make products below 2^160.
        unchecked {
            grid.packed = SSTORE2.read(pointer);
            uint256 count = grid.packed.length / SCENARIO_BYTES;
            grid.count = count;
            if (progress != WAD) _ramp(grid.packed, count, progress);
            int256[] memory volPpm = new int256[](count);
            uint256[] memory ends = new uint256[](count);
            uint256 classes;
            for (uint256 j; j < count; ++j) {
                int256 vol = int32(uint32(_word(grid.packed, j) >> 64));
                if (classes == 0 || volPpm[classes - 1] != vol) volPpm[classes++] = vol;
                ends[classes - 1] = j + 1;
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
                // abs(x) < 2^31 and R < 2^64, so the product stays below 2^159.
                int256 shift = int256(int32(uint32(word >> 96))) * int256(scanRange) * ONE;
                int256 change = FixedPoint.floorDiv(shift, 1e24);
                if (change < LEAST_MOVE - ONE) change = LEAST_MOVE - ONE;
                grid.kernel.setScenario(j, uint256(ONE + change), uint32(word));
            }
        }
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

    /// @dev The four fields of scenario j in the low 128 bits.
    function _word(bytes memory packed, uint256 j) private pure returns (uint256 word) {
        // j < count: the last of its sixteen bytes is within `packed`.
        assembly ("memory-safe") {
            word := shr(128, mload(add(add(packed, 32), shl(4, j))))
        }
    }
}
