// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Outage} from "../interfaces/IOutageClock.sol";
import {FixedPoint} from "../math/FixedPoint.sol";

/// @notice What a sequencer-uptime feed says of a round.
/// @param id Number of the round.
/// @param isDown Whether the sequencer is down.
/// @param startedAt Since when, seconds; not ahead of the present.
struct UptimeRound {
    uint80 id;
    bool isDown;
    uint40 startedAt;
}

/// @title Arithmetic of outages (specification, Market data, section 1)
/// @notice Times are seconds below 2^40 - 1. Assumes a state that came about through these
/// functions, at times that never ran back: then an outage never begins after the present, nor ends
/// before it begins.
library Outages {
    /// @notice End of a sequencer outage that lasts.
    uint40 internal constant LASTING = type(uint40).max;

    /// @notice Seconds up to `timestamp` less all outages.
    /// @param timestamp Not before the last change.
    function activeTime(Outage memory o, uint256 timestamp) internal pure returns (uint256) {
        uint256 stopped = o.stoppedSeconds;
        if (timestamp > o.outageFrom) {
            stopped += FixedPoint.min(timestamp, _until(o)) - o.outageFrom;
        }
        return timestamp - stopped;
    }

    /// @notice Whether a declared outage, or one of the sequencer or the grace after it, is on.
    function isOutage(Outage memory o, uint256 graceSeconds, uint256 timestamp)
        internal
        pure
        returns (bool)
    {
        if (timestamp < o.declaredUntil) return true;
        return o.sequencerUntil != 0 && timestamp < o.sequencerUntil + graceSeconds;
    }

    /// @notice Declares an outage from `timestamp` on.
    function declare(Outage memory o, uint256 timestamp, uint256 duration) internal pure {
        _extend(o, uint40(timestamp));
        o.declaredUntil = uint40(timestamp + duration);
    }

    /// @notice Takes in the latest round of the uptime feed.
    /// @param before The round before it, which may tell of an outage that nobody saw; all zero if
    /// it is not known.
    function sync(Outage memory o, UptimeRound memory latest, UptimeRound memory before)
        internal
        pure
    {
        if (latest.isDown) {
            if (o.sequencerUntil != LASTING) {
                _extend(o, _notBefore(o, latest.startedAt));
                o.sequencerUntil = LASTING;
            }
        } else if (o.sequencerUntil == LASTING) {
            o.sequencerUntil =
                latest.startedAt > o.outageFrom ? latest.startedAt : o.outageFrom;
        } else if (missedOne(o, latest) && before.isDown) {
            uint40 from = _notBefore(o, before.startedAt);
            if (from < latest.startedAt) {
                _extend(o, from);
                o.sequencerUntil = latest.startedAt;
            }
        }
        o.sequencerRound = latest.id;
    }

    /// @notice Whether the round before the latest may tell of an outage that nobody saw.
    function missedOne(Outage memory o, UptimeRound memory latest) internal pure returns (bool) {
        return !latest.isDown && o.sequencerUntil != LASTING && o.sequencerRound != 0
            && latest.id > o.sequencerRound;
    }

    /// @dev An outage that begins before the one in memory has ended, or as it ends, continues it;
    /// else that one is over and is folded away.
    function _extend(Outage memory o, uint40 from) private pure {
        uint40 until = _until(o);
        if (from > until) {
            o.stoppedSeconds += until - o.outageFrom;
            o.outageFrom = from;
        }
    }

    /// @dev No second counts twice.
    function _notBefore(Outage memory o, uint40 startedAt) private pure returns (uint40) {
        uint40 until = _until(o);
        return startedAt > until ? startedAt : until;
    }

    function _until(Outage memory o) private pure returns (uint40) {
        return o.declaredUntil > o.sequencerUntil ? o.declaredUntil : o.sequencerUntil;
    }
}
