// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {FixedPoint} from "../math/FixedPoint.sol";

/// @title Funding of perpetuals
/// @notice Specification, section 5.
library Funding {
    uint256 private constant PERIOD_SECONDS = 8 hours;
    /// @dev Nobody answers for one premium over longer.
    uint256 private constant MAX_SECONDS = 1 days;

    /// @notice Time for which funding is due, and how far the clock of funding gets by it: not into
    /// time for which no price is known, which stays due.
    /// @param accruedAt Active time up to which funding has accrued.
    /// @param activeTime Active time at present.
    /// @param timestamp Time of the spot price; 0 if it must not be relied on.
    /// @param maxAgeSeconds Age up to which a price counts as known.
    /// @return elapsedSeconds Time due, at most a day.
    /// @return until Active time up to which funding has accrued then.
    function due(
        uint256 accruedAt,
        uint256 activeTime,
        uint256 currentTimestamp,
        uint256 timestamp,
        uint256 maxAgeSeconds
    ) internal pure returns (uint256 elapsedSeconds, uint256 until) {
        uint256 knownUntil = timestamp + maxAgeSeconds;
        uint256 unknownSeconds =
            currentTimestamp > knownUntil ? currentTimestamp - knownUntil : 0;
        // An outage learned of late may have set active time back.
        if (activeTime <= accruedAt + unknownSeconds) return (0, accruedAt);
        until = activeTime - unknownSeconds;
        elapsedSeconds = FixedPoint.min(until - accruedAt, MAX_SECONDS);
    }

    /// @notice Funding index after `elapsedSeconds` at one mark and index price.
    /// @param fundingIndex Index so far, USD per unit, signed.
    /// @param mark Mark price, below 2^96.
    /// @param index Index price, in (0, 2^96).
    /// @param fundingCap Greatest rate per eight hours, at most 0.1.
    /// @return The new index, rounded down.
    function accrue(
        int256 fundingIndex,
        uint256 mark,
        uint256 index,
        uint256 fundingCap,
        uint256 elapsedSeconds
    ) internal pure returns (int256) {
        int256 cap = int256(fundingCap);
        int256 premium = FixedPoint.divToZero(int256(mark) - int256(index), int256(index));
        if (premium > cap) premium = cap;
        if (premium < -cap) premium = -cap;
        // index < 2^96, abs(premium) < 2^57, elapsedSeconds < 2^17.
        int256 payment = int256(index) * premium * int256(elapsedSeconds);
        return fundingIndex + FixedPoint.floorDiv(payment, int256(1e18 * PERIOD_SECONDS));
    }
}
