// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Bitmap} from "../ledger/Bitmap.sol";
import {FixedPoint} from "../math/FixedPoint.sol";
import {Instrument} from "../types/Instrument.sol";
import {Window} from "../types/Liquidation.sol";
import {Position} from "../types/Position.sol";

/// @title Leaky buckets that bound forced volume
/// @notice Specification, Liquidation, section 5. Nothing here reverts: sizes are below 2^95,
/// balances below 2^128, capacities and levels below 2^96 and times below 2^40.
library Windows {
    using Instrument for uint128;
    using Position for uint256;

    uint256 private constant UNDERLYINGS = 256;

    /// @notice Volume of a portfolio in each underlying, units: the larger of the deltas it can
    /// have at the two ends of the price axis.
    /// @param positions Position slots, in any order; those that have expired do not count.
    /// @param collateral Words as in `Portfolio`: whole tokens (WAD, rounded down) in bits 0-127.
    /// @param followed Underlying that each of those follows, in the same order; 0 if none.
    /// @param timestamp The present, seconds.
    /// @return volumes One word per underlying with a volume, ascending: underlying in bits
    /// 248-255, volume in bits 0-247.
    function volumesOf(
        uint256[] memory positions,
        uint256[] memory collateral,
        uint8[] memory followed,
        uint256 timestamp
    ) internal pure returns (uint256[] memory volumes) {
        // Delta where all calls, and where all puts are in the money.
        int256[] memory high = new int256[](UNDERLYINGS);
        int256[] memory low = new int256[](UNDERLYINGS);
        uint256 underlyings = _addPositions(high, low, positions, timestamp);
        for (uint256 i = 0; i < collateral.length; ++i) {
            uint8 u = followed[i];
            if (u == 0) continue;
            int256 balance = int256(uint256(uint128(collateral[i])));
            (high[u], low[u]) = (high[u] + balance, low[u] + balance);
            underlyings |= 1 << u;
        }
        return _larger(high, low, Bitmap.members(underlyings));
    }

    /// @notice What is left of a level after some time.
    /// @param level Units, as of then.
    /// @param elapsedSeconds Active time since.
    function levelAfter(uint256 level, uint256 elapsedSeconds, Window memory window)
        internal
        pure
        returns (uint256)
    {
        if (window.capacity == 0) return level;
        // The period is at least a second.
        uint256 leaked =
            FixedPoint.mulDivDown(window.capacity, elapsedSeconds, window.periodSeconds);
        // A capacity that was lowered since is no reason to be full for more than a period.
        level = FixedPoint.min(level, window.capacity);
        return leaked < level ? level - leaked : 0;
    }

    /// @notice Slice that there is room for, at most 1e18, rounded down.
    /// @param capacity Units, above zero.
    /// @param level Units, as of now.
    /// @param volume Of the whole portfolio, units, above zero.
    function fractionFor(uint256 capacity, uint256 level, uint256 volume)
        internal
        pure
        returns (uint256)
    {
        if (level >= capacity) return 0;
        return FixedPoint.min(FixedPoint.WAD, FixedPoint.divDown(capacity - level, volume));
    }

    /// @notice Level after a slice was sold, rounded up; at most full, so that no sale blocks
    /// others beyond one period.
    /// @param capacity Units.
    /// @param level Units, as of now.
    /// @param volume Of the whole portfolio, units.
    /// @param fraction The slice.
    function filled(uint256 capacity, uint256 level, uint256 volume, uint256 fraction)
        internal
        pure
        returns (uint256)
    {
        return FixedPoint.min(capacity, level + FixedPoint.mulUp(volume, fraction));
    }

    /// @return underlyings Bitmap of those that have a live position.
    function _addPositions(
        int256[] memory high,
        int256[] memory low,
        uint256[] memory positions,
        uint256 timestamp
    ) private pure returns (uint256 underlyings) {
        for (uint256 i = 0; i < positions.length; ++i) {
            uint256 slot = positions[i];
            uint256 expiry = slot.expiry();
            if (expiry != 0 && expiry <= timestamp) continue;
            (uint8 u, int256 size) = (slot.underlying(), slot.size());
            bool isPut = slot.isOption() && slot.instrument().isPut();
            if (isPut) low[u] -= size;
            else high[u] += size;
            if (!slot.isOption()) low[u] += size;
            underlyings |= 1 << u;
        }
    }

    function _larger(int256[] memory high, int256[] memory low, uint256[] memory underlyings)
        private
        pure
        returns (uint256[] memory volumes)
    {
        volumes = underlyings;
        uint256 count;
        for (uint256 i = 0; i < underlyings.length; ++i) {
            uint256 u = underlyings[i];
            uint256 volume = FixedPoint.max(FixedPoint.abs(high[u]), FixedPoint.abs(low[u]));
            if (volume != 0) volumes[count++] = u << 248 | volume;
        }
        // Shortens the array in place: count is at most its length.
        assembly ("memory-safe") {
            mstore(volumes, count)
        }
    }
}
