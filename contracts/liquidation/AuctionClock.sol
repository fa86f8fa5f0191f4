// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AuctionState} from "../types/Liquidation.sol";
import {Assessment} from "../types/Types.sol";

/// @title Clock of an auction
/// @notice Specification, Liquidation, section 2. All times are active time, below 2^40. Each
/// function but `elapsed` changes the state that it is given.
library AuctionClock {
    /// @notice Starts an auction, or starts it again.
    function start(AuctionState memory state, Assessment memory assessment, uint256 activeTime)
        internal
        pure
    {
        state.startedAt = uint40(activeTime);
        state.pausedAt = 0;
        state.insolvencySeen = assessment.equity < 0;
    }

    /// @notice Ends an auction.
    function end(AuctionState memory state) internal pure {
        state.startedAt = 0;
        state.pausedAt = 0;
        state.insolvencySeen = false;
    }

    /// @notice Goes on where the account was found below maintenance margin again, and starts anew
    /// where it was first found insolvent.
    function resume(AuctionState memory state, Assessment memory assessment, uint256 activeTime)
        internal
        pure
    {
        if (_isBelow(assessment) && state.pausedAt != 0) {
            if (activeTime > state.pausedAt) state.startedAt += uint40(activeTime - state.pausedAt);
            state.pausedAt = 0;
        }
        if (assessment.equity < 0 && !state.insolvencySeen) {
            state.startedAt = uint40(activeTime);
            state.insolvencySeen = true;
        }
    }

    /// @notice The same, or stands still while the account is above maintenance margin.
    function record(AuctionState memory state, Assessment memory assessment, uint256 activeTime)
        internal
        pure
    {
        resume(state, assessment, activeTime);
        if (!_isBelow(assessment) && state.pausedAt == 0) state.pausedAt = uint40(activeTime);
    }

    /// @notice Active time for which the account has been for sale; 0 if it is not.
    function elapsed(AuctionState memory state, uint256 activeTime)
        internal
        pure
        returns (uint256)
    {
        uint256 until = state.pausedAt == 0 ? activeTime : state.pausedAt;
        // An outage that is learned of late sets the clock back.
        return state.startedAt != 0 && until > state.startedAt ? until - state.startedAt : 0;
    }

    function _isBelow(Assessment memory assessment) private pure returns (bool) {
        return assessment.equity < int256(assessment.maintenanceMargin);
    }
}
