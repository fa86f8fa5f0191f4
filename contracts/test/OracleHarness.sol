// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Aggregate, Observation, SurfaceParameters} from "../interfaces/IOracleHub.sol";
import {Aggregation} from "../oracle/Aggregation.sol";
import {Limits, Observations} from "../oracle/Observations.sol";
import {SettlementWindow} from "../oracle/SettlementWindow.sol";
import {StablePrice} from "../oracle/StablePrice.sol";
import {Surfaces} from "../oracle/Surfaces.sol";
import {CaseMap} from "./CaseMap.sol";

/// @title The arithmetic of the oracle hub, callable and in bulk
/// @notice All but `expiries` take a fixed number of words and return at most three, so that `map`
/// takes thousands of cases of them in one call; each says how many words one case is.
contract OracleHarness is CaseMap {
    /// @notice `Aggregation.aggregate`. 16 words; the first `count` of each five count.
    /// @return price The median.
    /// @return confidence Half-width of the interval.
    /// @return timestamp Time.
    function aggregate(
        uint256 count,
        uint256[5] calldata prices,
        uint256[5] calldata confidences,
        uint256[5] calldata timestamps
    ) external pure returns (uint256 price, uint256 confidence, uint256 timestamp) {
        uint256[] memory p = new uint256[](count);
        uint256[] memory c = new uint256[](count);
        uint256[] memory t = new uint256[](count);
        for (uint256 i = 0; i < count; ++i) {
            (p[i], c[i], t[i]) = (prices[i], confidences[i], timestamps[i]);
        }
        return Aggregation.aggregate(p, c, t);
    }

    /// @notice `Observations.next`. 18 words: `last` 8, `said` 4, the answer of the mark, `limits`
    /// 3, active seconds, time.
    /// @return prices Price from bit 0, confidence from bit 128.
    /// @return others Stable price from bit 0, mark from bit 128.
    /// @return rest Timestamp from bit 0, disputed from bit 40, time observed from bit 48, seconds
    /// it serves from bit 88.
    function next(
        Observation calldata last,
        Aggregate calldata said,
        uint256 markAnswer,
        Limits calldata limits,
        uint256 activeSeconds,
        uint256 time
    ) external pure returns (uint256 prices, uint256 others, uint256 rest) {
        Observation memory o =
            Observations.next(last, said, markAnswer, limits, activeSeconds, time);
        prices = uint256(o.price) | uint256(o.confidence) << 128;
        others = uint256(o.stablePrice) | uint256(o.mark) << 128;
        rest = uint256(o.timestamp) | uint256(o.disputed ? 1 : 0) << 40
            | uint256(o.observedAt) << 48 | uint256(o.cacheSeconds) << 88;
    }

    /// @notice `StablePrice.step`. 4 words, one returned.
    function step(uint256 stable, uint256 target, uint256 activeSeconds, uint256 rate)
        external
        pure
        returns (uint256)
    {
        return StablePrice.step(stable, target, activeSeconds, rate);
    }

    /// @notice `Observations.clampAround`. 3 words, one returned.
    function clampAround(uint256 value, uint256 centre, uint256 band)
        external
        pure
        returns (uint256)
    {
        return Observations.clampAround(value, centre, band);
    }

    /// @notice `SettlementWindow.advance`. 6 words; end of the window, sum and seconds returned.
    function advance(
        uint256 windowEnd,
        uint256 weightedSum,
        uint256 coveredSeconds,
        uint256 price,
        uint256 observedAt,
        uint256 time
    ) external pure returns (uint256, uint256, uint256) {
        return SettlementWindow.advance(
            windowEnd, weightedSum, coveredSeconds, price, observedAt, time
        );
    }

    /// @notice `Surfaces.decayed`. 4 words, one returned.
    function decayed(uint256 svi, uint256 timestamp, uint256 expiry, uint256 time)
        external
        pure
        returns (uint256)
    {
        return Surfaces.decayed(svi, timestamp, expiry, time);
    }

    /// @notice `Surfaces.forward`. 2 words, one returned.
    function forward(uint256 index, uint256 forwardRatio) external pure returns (uint256) {
        return Surfaces.forward(index, forwardRatio);
    }

    /// @notice `Surfaces.requireBoundedChange`. 9 words, the last three are the limits; nothing
    /// returned.
    function requireBoundedChange(
        uint8 underlying,
        uint32 expiry,
        uint256 oldSvi,
        uint256 newSvi,
        uint256 oldRatio,
        uint256 newRatio,
        SurfaceParameters calldata limits
    ) external pure {
        Surfaces.requireBoundedChange(
            underlying, expiry, oldSvi, newSvi, oldRatio, newRatio, limits
        );
    }

    /// @notice What is ahead of `time` after expiries were merged and stored: `Surfaces.merge`,
    /// `pack`, `unpackAhead`. Dynamic, so one call per case.
    function expiries(uint32[] calldata known, uint32[] calldata posted, uint256 time)
        external
        pure
        returns (uint32[] memory)
    {
        return Surfaces.unpackAhead(Surfaces.pack(Surfaces.merge(1, known, posted)), time);
    }
}
