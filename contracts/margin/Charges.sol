// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {FixedPoint} from "../math/FixedPoint.sol";
import {Words} from "./Words.sol";

/// @title Charges beside the scenarios (specification, section 9)
/// @notice All in USD, rounded up. Ranges: deltas below 2^140, prices below 2^96, rates below 2^64,
/// depth at least 1 USD; no product of these leaves 256 bits.
library Charges {
    using Words for uint256[];
    using Words for int256[];

    uint256 private constant WAD = 1e18;
    uint256 private constant BASIS_SECONDS = 30 days;

    /// @notice Cost of hedging one time bucket with another: the least flow across each cut between
    /// them, times its length.
    /// @param times Time per bucket, ascending, seconds.
    /// @param deltas Dollar delta per bucket.
    /// @param count Buckets in use.
    /// @param errorBound Bound on the error of any sum of deltas.
    /// @param rate κ_u, per 30 days.
    function basis(
        uint256[] memory times,
        int256[] memory deltas,
        uint256 count,
        uint256 errorBound,
        uint256 rate
    ) internal pure returns (uint256) {
        int256 low;
        int256 high;
        uint256 transport;
        // Flow below 2^141 and a sum of gaps below 2^33 seconds.
        unchecked {
            for (uint256 b; b < count; ++b) high += deltas.word(b);
            for (uint256 b = 1; b < count; ++b) {
                int256 delta = deltas.word(b - 1);
                low += delta;
                high -= delta;
                uint256 flow = errorBound;
                if (low < 0 != high < 0) {
                    flow += FixedPoint.min(FixedPoint.abs(low), FixedPoint.abs(high));
                }
                transport += (times.word(b) - times.word(b - 1)) * flow;
            }
        }
        return FixedPoint.mulDivUp(rate, transport, WAD * BASIS_SECONDS);
    }

    /// @notice Square-root law beyond the depth.
    /// @param delta Absolute dollar delta.
    function concentration(uint256 delta, uint256 depth, uint256 rate)
        internal
        pure
        returns (uint256)
    {
        if (delta <= depth) return 0;
        uint256 root = FixedPoint.sqrtUp(FixedPoint.divUp(delta, depth) * WAD);
        return FixedPoint.mulUp(FixedPoint.mulUp(rate, delta), root - WAD);
    }

    /// @notice Oracle uncertainty on the delta.
    /// @param delta Absolute dollar delta.
    function confidence(uint256 delta, uint256 interval, uint256 index)
        internal
        pure
        returns (uint256)
    {
        return FixedPoint.mulDivUp(interval, delta, index);
    }

    /// @notice Minimum for short options.
    /// @param size Sum of the absolute sizes of short options.
    function shortOption(uint256 size, uint256 index, uint256 rate)
        internal
        pure
        returns (uint256)
    {
        return FixedPoint.mulUp(FixedPoint.mulUp(rate, index), size);
    }

    /// @notice Factor on a worst loss by which initial margin runs ahead of the scan range.
    /// @param range R_u, above zero.
    /// @param initialRange R_u^init, at least R_u.
    function scanRangeFactor(uint256 range, uint256 initialRange, uint256 initialFactor)
        internal
        pure
        returns (uint256)
    {
        if (initialRange == range) return 0;
        return FixedPoint.mulUp(initialFactor, FixedPoint.divUp(initialRange, range) - WAD);
    }

    /// @notice Factor on a worst loss that open interest adds to initial margin.
    /// @param openInterest Gross open interest, both sides, units.
    function openInterestFactor(
        uint256 openInterest,
        uint256 lower,
        uint256 upper,
        uint256 maxMultiplier,
        uint256 initialFactor
    ) internal pure returns (uint256) {
        uint256 oneSide = (openInterest + 1) / 2;
        if (oneSide <= lower) return 0;
        uint256 ramp = oneSide >= upper ? WAD : FixedPoint.divUp(oneSide - lower, upper - lower);
        return FixedPoint.mulUp(initialFactor, FixedPoint.mulUp(maxMultiplier, ramp));
    }
}
