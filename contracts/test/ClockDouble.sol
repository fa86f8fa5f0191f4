// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IOutageClock, Outage} from "../interfaces/IOutageClock.sol";

/// @title A clock that stands still as a test says, and lists every expiry but those it says
contract ClockDouble is IOutageClock {
    mapping(uint8 underlying => mapping(uint32 expiry => bool)) private _isUnlisted;

    /// @inheritdoc IOutageClock
    bool public isOutage;

    uint256 public stoppedSeconds;
    uint256 public pendingSeconds;
    uint256 public syncs;

    /// @notice Declares an outage, or ends it.
    function setOutage(bool isOutage_) external {
        isOutage = isOutage_;
    }

    /// @notice Lists an expiry, or lists it no longer.
    function setListed(uint8 underlying, uint32 expiry, bool isListed) external {
        _isUnlisted[underlying][expiry] = !isListed;
    }

    /// @notice As `IParameters.isExpiryListed`.
    function isExpiryListed(uint8 underlying, uint32 expiry) external view returns (bool) {
        return !_isUnlisted[underlying][expiry];
    }

    /// @notice Time that is found at the next sync to have been stopped.
    function stop(uint256 pendingSeconds_) external {
        pendingSeconds = pendingSeconds_;
    }

    /// @inheritdoc IOutageClock
    function syncSequencer() external returns (uint256) {
        stoppedSeconds += pendingSeconds;
        pendingSeconds = 0;
        ++syncs;
        return activeTime();
    }

    /// @inheritdoc IOutageClock
    function activeTime() public view returns (uint256) {
        return block.timestamp - stoppedSeconds;
    }

    /// @inheritdoc IOutageClock
    function outage() external view returns (Outage memory state) {
        state.stoppedSeconds = uint40(stoppedSeconds);
    }
}
