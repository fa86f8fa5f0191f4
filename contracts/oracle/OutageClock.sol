// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {
    AggregatorV3Interface
} from "@chainlink/contracts/src/v0.8/interfaces/AggregatorV3Interface.sol";
import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";

import {IOutageClock, Outage} from "../interfaces/IOutageClock.sol";
import {Ranges} from "../margin/Ranges.sol";
import {FixedPoint} from "../math/FixedPoint.sol";
import {Outages, UptimeRound} from "./Outages.sol";

/// @title Clock that stands still during outages (specification, Market data, section 1)
/// @dev The state fills one slot, so that whoever inherits the clock reads the time for one.
abstract contract OutageClock is IOutageClock, AccessManaged {
    using Outages for Outage;

    uint256 private constant MAX_OUTAGE_SECONDS = 1 days;
    uint256 private constant MAX_GRACE_SECONDS = 1 days;
    /// @dev Between the end of a declared outage and the next.
    uint256 private constant PAUSE_SECONDS = 1 days;
    /// @dev Time before it is seen for which an outage of the sequencer can count.
    uint256 private constant MAX_LATE_SECONDS = 1 days;
    /// @dev Of a call to the uptime feed; several times what one takes.
    uint256 private constant FEED_GAS = 100_000;
    /// @dev With which no call of a sync falls short of that.
    uint256 private constant GAS_AT_HAND = 250_000;

    Outage private _outage;

    /// @dev Whether the feed was asked in this transaction. It has nothing new to say then, and one
    /// that burns its gas does so once, not for every price.
    bool private transient _isSynced;

    /// @notice The sequencer-uptime feed; the zero address if there is none.
    address public sequencerFeed;

    /// @notice For how long after an outage of the sequencer prices must not be relied on.
    uint32 public graceSeconds;

    /// @notice Declares that prices must not be relied on from now on; the guardian's.
    /// @param seconds_ For how long, 1 to 86,400.
    function declareOutage(uint256 seconds_) external restricted {
        Ranges.requireIn("seconds", seconds_, 1, MAX_OUTAGE_SECONDS);
        uint256 earliest = _outage.declaredUntil + PAUSE_SECONDS;
        if (block.timestamp < earliest) revert OutageTooSoon(block.timestamp, earliest);
        // An outage of the sequencer that nobody saw comes first.
        syncSequencer();
        Outage memory o = _outage;
        o.declare(block.timestamp, seconds_);
        _outage = o;
        emit OutageDeclared(block.timestamp, o.declaredUntil);
    }

    /// @notice Ends a declared outage; nothing if none is on. The guardian's.
    function endOutage() external restricted {
        if (block.timestamp >= _outage.declaredUntil) return;
        _outage.declaredUntil = uint40(block.timestamp);
        emit OutageEnded(block.timestamp);
    }

    /// @notice Chooses the sequencer-uptime feed; the governor's.
    /// @param feed Chainlink `AggregatorV3Interface`, or the zero address for none.
    /// @param graceSeconds_ For how long after an outage of the sequencer prices must not be relied
    /// on, at most 86,400.
    function setSequencerFeed(address feed, uint256 graceSeconds_) external restricted {
        Ranges.requireIn("graceSeconds", graceSeconds_, 0, MAX_GRACE_SECONDS);
        // What the old feed tells of is not lost.
        syncSequencer();
        _outage.sequencerRound = 0;
        if (_outage.sequencerUntil == Outages.LASTING) {
            _outage.sequencerUntil = uint40(block.timestamp);
        }
        emit SequencerFeedSet(sequencerFeed, feed, graceSeconds, graceSeconds_);
        sequencerFeed = feed;
        graceSeconds = uint32(graceSeconds_);
        syncSequencer();
    }

    /// @inheritdoc IOutageClock
    function syncSequencer() public returns (uint256 time) {
        // Who brought too little gas may have made the feed fail: it is asked again.
        bool isSure = gasleft() >= GAS_AT_HAND;
        _isSynced = isSure;
        Outage memory o = _outage;
        uint256 until = o.sequencerUntil;
        if (_takeIn(o)) {
            _outage = o;
            if (o.sequencerUntil != until) {
                emit SequencerSynced(o.stoppedSeconds, o.outageFrom, o.sequencerUntil);
            }
        }
        if (isSure) time = o.activeTime(block.timestamp);
    }

    /// @inheritdoc IOutageClock
    function activeTime() public view returns (uint256) {
        return _current().activeTime(block.timestamp);
    }

    /// @inheritdoc IOutageClock
    function isOutage() external view returns (bool) {
        return _current().isOutage(graceSeconds, block.timestamp);
    }

    /// @inheritdoc IOutageClock
    function outage() external view returns (Outage memory) {
        return _outage;
    }

    /// @dev The state that a sync would leave now: nobody gains by being the first after an outage.
    function _current() private view returns (Outage memory o) {
        o = _outage;
        if (!_isSynced) _takeIn(o);
    }

    /// @dev Brings a copy of the state up to what the uptime feed says.
    /// @return changed Whether there was anything new.
    function _takeIn(Outage memory o) private view returns (bool changed) {
        address feed = sequencerFeed;
        if (feed == address(0)) return false;
        (bool ok, UptimeRound memory latest) =
            _readRound(feed, abi.encodeCall(AggregatorV3Interface.latestRoundData, ()));
        if (!ok) return false;
        bool wasDown = o.sequencerUntil == Outages.LASTING;
        if (latest.id == o.sequencerRound && latest.isDown == wasDown) return false;
        UptimeRound memory before;
        if (o.missedOne(latest)) {
            bytes memory call = abi.encodeCall(AggregatorV3Interface.getRoundData, (latest.id - 1));
            (, before) = _readRound(feed, call);
        }
        // The first look at a feed counts from now on: no setter moves a clock.
        if (o.sequencerRound == 0 && latest.isDown) latest.startedAt = uint40(block.timestamp);
        o.sync(latest, before);
        return true;
    }

    /// @dev By hand, since `try` reverts where there is no code and where the answer is nonsense,
    /// and with a limit of gas and of return data, since every price asks whether there is an
    /// outage. An outage that began long before it is seen counts as one of the last day: whatever
    /// the feed says of the past, no clock is set back further.
    /// @return ok Whether the feed gave a round that says up or down since a time that has been.
    function _readRound(address feed, bytes memory request)
        private
        view
        returns (bool ok, UptimeRound memory round)
    {
        (uint256 id, uint256 answer, uint256 startedAt) = (0, 0, 0);
        // Memory beyond the free pointer serves for the first three of the five words returned.
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            ok := staticcall(FEED_GAS, feed, add(request, 32), mload(request), buffer, 96)
            ok := and(ok, gt(returndatasize(), 159))
            id := mload(buffer)
            answer := mload(add(buffer, 32))
            startedAt := mload(add(buffer, 64))
        }
        if (!ok || id > type(uint80).max || answer > 1) return (false, round);
        if (startedAt == 0 || startedAt > block.timestamp) return (false, round);
        if (answer == 1) {
            startedAt = FixedPoint.max(startedAt, block.timestamp - MAX_LATE_SECONDS);
        }
        round = UptimeRound(uint80(id), answer == 1, uint40(startedAt));
    }
}
