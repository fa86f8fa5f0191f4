// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {FixedPoint} from "../math/FixedPoint.sol";
import {Transcendental} from "../math/Transcendental.sol";

/// @title A price that moves at a bounded rate
/// @notice Specification, Market data, section 4.
library StablePrice {
    /// @notice Time beyond which waiting moves the stable price no further.
    uint256 internal constant MAX_STEP_SECONDS = 1 hours;

    uint256 private constant ONE = 2 ** 64;

    /// @notice The stable price after `activeSeconds` in which `target` was in force.
    /// @param stable Stable price so far.
    /// @param target Price that was in force.
    /// @param activeSeconds Active time it was; at most `MAX_STEP_SECONDS` of it count.
    /// @param rate Greatest change, log per hour, at most 10.
    /// @return Between `stable` and `target`, rounded towards `stable`.
    function step(uint256 stable, uint256 target, uint256 activeSeconds, uint256 rate)
        internal
        pure
        returns (uint256)
    {
        uint256 time = FixedPoint.min(activeSeconds, MAX_STEP_SECONDS);
        // The exponent is at most 10 (X64).
        uint256 exponentX64 = rate * time * ONE / (FixedPoint.WAD * 1 hours);
        uint256 factorX64 = Transcendental.expX64(int256(exponentX64));
        return target > stable
            ? FixedPoint.min(target, FixedPoint.mulDivDown(stable, factorX64, ONE))
            : FixedPoint.max(target, FixedPoint.mulDivUp(stable, ONE, factorX64));
    }
}
