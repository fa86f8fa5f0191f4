// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {Assessment, Health} from "../types/Types.sol";
import {Account, Header} from "./Accounts.sol";

/// @title Who may act
/// @notice Specification, sections 10 and 11.
library Admission {
    /// @notice Health that an assessment shows.
    function healthOf(Assessment memory a) internal pure returns (Health) {
        if (a.equity < 0) return Health.INSOLVENT;
        if (a.equity < int256(a.maintenanceMargin)) return Health.LIQUIDATABLE;
        if (a.initialEquity < int256(a.initialMargin)) return Health.MARGIN_CALL;
        return Health.HEALTHY;
    }

    /// @notice Whether an action was strictly risk-reducing: the requirement did not rise, and
    /// equity fell by no more than that allows.
    function isNoRiskier(Assessment memory afterwards, Assessment memory before)
        internal
        pure
        returns (bool)
    {
        return afterwards.maintenanceMargin <= before.maintenanceMargin
            && afterwards.equity >= leastEquity(before, afterwards.maintenanceMargin);
    }

    /// @notice What must be left of equity once the requirement has fallen. Above maintenance the
    /// surplus must not fall; below it the ratio of equity to requirement must not, or an account
    /// could hand margin that it does not own to an accomplice, by a price far from the market.
    /// @param before Account before.
    /// @param maintenanceMargin Requirement now, at most the one before.
    function leastEquity(Assessment memory before, uint256 maintenanceMargin)
        internal
        pure
        returns (int256)
    {
        int256 equity = before.equity;
        if (equity < 0) return equity;
        uint256 required = before.maintenanceMargin;
        if (uint256(equity) >= required) return equity - int256(required - maintenanceMargin);
        // At most the equity: the fraction is at most one.
        return int256(
            Math.mulDiv(uint256(equity), maintenanceMargin, required, Math.Rounding.Ceil)
        );
    }

    /// @notice Whether a price is too old for a use.
    /// @param timestamp Its time; 0 if it must not be relied on.
    /// @param maxAgeSeconds Greatest age for that use, below 2^32.
    function isStale(uint256 timestamp, uint256 currentTimestamp, uint256 maxAgeSeconds)
        internal
        pure
        returns (bool)
    {
        return currentTimestamp > timestamp + maxAgeSeconds;
    }

    /// @notice Whether an account has cash and nothing else: it is healthy, whatever prices are.
    function isCashAlone(Account memory account) internal pure returns (bool) {
        Header memory header = account.header;
        return header.cash >= 0 && header.positionCount == 0 && header.collateralBitmap == 0;
    }
}
