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
/// @notice Assumes of the sequencer-uptime feed that it tells the truth; a feed that fails, in
/// whatever way, tells nothing.
interface IOutageClock {
    /// @notice The guardian declared an outage.
    /// @param from Its first second.
    /// @param until The first second after it.
    event OutageDeclared(uint256 from, uint256 until);

    /// @notice The guardian ended a declared outage early.
    /// @param until The first second after it.
    event OutageEnded(uint256 until);

    /// @notice The uptime feed told of an outage, or of its end.
    /// @param stoppedSeconds As in `Outage`, from then on.
    /// @param outageFrom As in `Outage`, from then on.
    /// @param sequencerUntil As in `Outage`, from then on.
    event SequencerSynced(uint256 stoppedSeconds, uint256 outageFrom, uint256 sequencerUntil);

    /// @notice Another feed, or another grace, counts.
    /// @param oldFeed Feed before; the zero address if there was none.
    /// @param newFeed Feed from then on.
    /// @param oldGraceSeconds Grace before.
    /// @param newGraceSeconds Grace from then on.
    event SequencerFeedSet(
        address oldFeed, address newFeed, uint256 oldGraceSeconds, uint256 newGraceSeconds
    );

    /// @notice The guardian has declared an outage not long ago.
    error OutageTooSoon(uint256 timestamp, uint256 earliest);

    /// @notice Takes in what the sequencer-uptime feed says; nothing without a feed. Never reverts.
    /// With 250,000 gas or more the feed need not be asked again in this transaction.
    /// @return time Active time; 0 if there was less gas.
    function syncSequencer() external returns (uint256 time);

    /// @notice Seconds since the epoch less all outages, as a sync would find them now.
    /// @return Seconds of active time.
    function activeTime() external view returns (uint256);

    /// @notice Whether an outage, or the grace after one of the sequencer, is on, as
    /// `syncSequencer` would find it now.
    /// @return True if prices must not be relied on.
    function isOutage() external view returns (bool);

    /// @notice Outages so far.
    /// @return The state of the clock.
    function outage() external view returns (Outage memory);
}
