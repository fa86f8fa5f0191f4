// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Outage} from "../interfaces/IOutageClock.sol";
import {Ramp} from "../margin/Ramp.sol";
import {ScanRange} from "../margin/ScanRange.sol";
import {Ewma} from "../oracle/Ewma.sol";
import {Outages, UptimeRound} from "../oracle/Outages.sol";
import {CaseMap} from "./CaseMap.sol";

/// @title The arithmetic of moving parameters, callable and in bulk
/// @notice All take a fixed number of words and return at most three, so that `map` takes thousands
/// of cases of them in one call; each says how many words one case is.
contract RiskParameterHarness is CaseMap {
    /// @notice `Outages.activeTime`. 6 words, one returned.
    function activeTime(Outage calldata o, uint256 time) external pure returns (uint256) {
        return Outages.activeTime(o, time);
    }

    /// @notice `Outages.isOutage`. 7 words, one returned.
    function isOutage(Outage calldata o, uint256 graceSeconds, uint256 time)
        external
        pure
        returns (bool)
    {
        return Outages.isOutage(o, graceSeconds, time);
    }

    /// @notice `Outages.declare`. 7 words.
    /// @return The state: 40 bits for each time from bit 0, the round from bit 160.
    function declare(Outage calldata outage, uint256 time, uint256 duration)
        external
        pure
        returns (uint256)
    {
        Outage memory o = outage;
        Outages.declare(o, time, duration);
        return _pack(o);
    }

    /// @notice `Outages.sync`. 11 words.
    /// @return The state: 40 bits for each time from bit 0, the round from bit 160.
    function sync(Outage calldata outage, UptimeRound calldata latest, UptimeRound calldata before)
        external
        pure
        returns (uint256)
    {
        Outage memory o = outage;
        Outages.sync(o, latest, before);
        return _pack(o);
    }

    /// @notice `Ramp.between`. 4 words, one returned.
    function between(uint256 from, uint256 to, uint256 part, uint256 whole)
        external
        pure
        returns (uint256)
    {
        return Ramp.between(from, to, part, whole);
    }

    /// @notice `ScanRange.moved`. 5 words, one returned.
    function moved(
        uint256 range,
        uint256 goal,
        uint256 elapsedSeconds,
        uint256 riseRate,
        uint256 fallRate
    ) external pure returns (uint256) {
        return ScanRange.moved(range, goal, elapsedSeconds, riseRate, fallRate);
    }

    /// @notice `ScanRange.target`. 2 words, one returned.
    function target(uint256 multiplier, uint256 deviation) external pure returns (uint256) {
        return ScanRange.target(multiplier, deviation);
    }

    /// @notice `Ewma.winsorised`. 4 words, one returned.
    function winsorised(int256 returnX64, int256 variance, uint256 maxDeviation, uint256 span)
        external
        pure
        returns (int256)
    {
        return Ewma.winsorised(returnX64, variance, maxDeviation, span);
    }

    /// @notice `Ewma.weightX64`. 2 words, one returned.
    function weightX64(uint256 span, uint256 decaySeconds) external pure returns (uint256) {
        return Ewma.weightX64(span, decaySeconds);
    }

    /// @notice `Ewma.updated` with its weight. 5 words, one returned.
    function updated(
        int256 covariance,
        int256 a,
        int256 b,
        uint256 span,
        uint256 decaySeconds
    ) external pure returns (int256) {
        return Ewma.updated(covariance, a, b, span, Ewma.weightX64(span, decaySeconds));
    }

    /// @notice `Ewma.dailyDeviation`. 1 word, one returned.
    function dailyDeviation(int256 variance) external pure returns (uint256) {
        return Ewma.dailyDeviation(variance);
    }

    /// @notice `Ewma.varianceOf`. 1 word, one returned.
    function varianceOf(uint256 volatility) external pure returns (int256) {
        return Ewma.varianceOf(volatility);
    }

    /// @notice `Ewma.correlation`. 3 words, one returned.
    function correlation(int256 covariance, int256 v1, int256 v2) external pure returns (int256) {
        return Ewma.correlation(covariance, v1, v2);
    }

    function _pack(Outage memory o) private pure returns (uint256) {
        return uint256(o.stoppedSeconds) | uint256(o.outageFrom) << 40
            | uint256(o.declaredUntil) << 80 | uint256(o.sequencerUntil) << 120
            | uint256(o.sequencerRound) << 160;
    }
}
