// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @notice Outages so far (specification, Market data, section 1).
/// @param stoppedSeconds Seconds of past outages folded away.
/// @param outageFrom Start of the latest outage, seconds.
/// @param declaredUntil End of the latest declared outage, seconds; 0 if none.
/// @param sequencerUntil End of the latest sequencer outage; 2^40 - 1 while it lasts; 0 if none.
/// @param sequencerRound Latest round of the uptime feed that was taken in.
struct Outage {
    uint40 stoppedSeconds;
    uint40 outageFrom;
    uint40 declaredUntil;
    uint40 sequencerUntil;
    uint80 sequencerRound;
}

/// @title Clock that stands still during outages
interface IOutageClock {
    /// @notice Takes in what the sequencer-uptime feed says; nothing without a feed. Never reverts.
    function syncSequencer() external;

    /// @notice Seconds since the epoch less all outages.
    /// @return Seconds of active time.
    function activeTime() external view returns (uint256);

    /// @notice Whether an outage, or the grace after one, is on.
    /// @return True if prices must not be relied on.
    function isOutage() external view returns (bool);

    /// @notice Outages so far.
    /// @return The state of the clock.
    function outage() external view returns (Outage memory);
}
