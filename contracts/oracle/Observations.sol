// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {Aggregate, Observation} from "../interfaces/IOracleHub.sol";
import {FixedPoint} from "../math/FixedPoint.sol";
import {StablePrice} from "./StablePrice.sol";

/// @notice Limits of a feed that bear on its next observation; as in `FeedParameters`.
struct Limits {
    uint256 maxMove;
    uint256 stableRate;
    uint256 markBand;
}

/// @title From one observation to the next
/// @notice Specification, Market data, section 4: breaker, stable price, mark. The stored path and
/// the live path both take this step and no other.
library Observations {
    using SafeCast for uint256;

    /// @notice The observation that follows.
    /// @param last The one before; price 0 if there is none.
    /// @param aggregate What the sources say, with a quorum.
    /// @param markAnswer What the source of the mark says; 0 if there is none.
    /// @param limits Limits of the feed.
    /// @param activeSeconds Active time since the one before.
    /// @param time Now, seconds.
    /// @return What is in force from now on.
    function next(
        Observation memory last,
        Aggregate memory aggregate,
        uint256 markAnswer,
        Limits memory limits,
        uint256 activeSeconds,
        uint256 time
    ) internal pure returns (Observation memory) {
        uint256 price = aggregate.price;
        uint256 stable = price;
        if (last.price != 0) {
            price = clampAround(price, last.price, limits.maxMove);
            stable =
                StablePrice.step(last.stablePrice, last.price, activeSeconds, limits.stableRate);
        }
        uint256 mark = markAnswer == 0 ? price : clampAround(markAnswer, price, limits.markBand);
        return Observation({
            price: price.toUint96(),
            confidence: FixedPoint.min(aggregate.confidence, price).toUint96(),
            timestamp: aggregate.timestamp.toUint40(),
            disputed: price != aggregate.price,
            stablePrice: stable.toUint96(),
            mark: mark.toUint96(),
            observedAt: time.toUint40(),
            cacheSeconds: last.cacheSeconds
        });
    }

    /// @notice The value nearest to `value` that is within a relative distance of `centre`.
    /// @param band At most one.
    function clampAround(uint256 value, uint256 centre, uint256 band)
        internal
        pure
        returns (uint256)
    {
        uint256 low = FixedPoint.mulUp(centre, FixedPoint.WAD - band);
        uint256 high = FixedPoint.mulDown(centre, FixedPoint.WAD + band);
        return FixedPoint.min(FixedPoint.max(value, low), high);
    }
}
