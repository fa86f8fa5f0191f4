// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {LibBit} from "solady/src/utils/LibBit.sol";

import {FixedPoint} from "../math/FixedPoint.sol";
import {Ewma} from "../oracle/Ewma.sol";
import {Exposure} from "../types/Predictive.sol";

/// @title Linear risk at the worst correlations of a box, and what options add to it
/// @notice Specification, Predictive margin, section 6.
/// @dev Ranges: the risk model's amounts are below 2^140 and its deviations at most 1e18. Linear
/// risks are brought below 2^90, so that a product of two and 1e18 is below 2^240, and the sum of
/// 64 such below 2^246.
library Parametric {
    uint256 private constant WAD = 1e18;
    int256 private constant SIGNED_WAD = 1e18;
    uint256 private constant ROOT_BITS = 90;
    uint256 private constant DEVIATIONS = 3;
    /// @dev 2^64 - floor(2^64 / 100).
    uint256 private constant GREATEST_FALL = 18262276632972456100;

    /// @notice Parametric margin, USD, rounded up. An exposure without nodes, which no list covers,
    /// counts its worst scenario alone.
    /// @param places Of the exposures' underlyings in the basket.
    /// @param covariances Of the basket (`IVolatilityEstimator.covariances`); not read for one.
    /// @param width Of the box of correlations.
    /// @param singleAssetFloor Share of the largest underlying's linear risk.
    function margin(
        Exposure[] calldata exposures,
        uint256[] memory places,
        int64[36] memory covariances,
        uint256 width,
        uint256 singleAssetFloor
    ) internal pure returns (uint256 result) {
        uint256 count = exposures.length;
        int256[] memory risks = new int256[](count);
        uint256 greatest;
        for (uint256 i; i < count; ++i) {
            Exposure calldata exposure = exposures[i];
            result += exposure.slack;
            if (exposure.pnl.length == 0) {
                result += exposure.scenarioLoss;
                continue;
            }
            uint256 amount = FixedPoint.abs(exposure.delta) + exposure.slack;
            amount = FixedPoint.mulUp(amount, exposure.deviation);
            risks[i] = exposure.delta < 0 ? -int256(amount) : int256(amount);
            greatest = FixedPoint.max(greatest, amount);
            result += _beyondDelta(exposure);
        }
        if (greatest == 0) return result;
        uint256 bits = LibBit.fls(greatest) + 1;
        uint256 shift = bits > ROOT_BITS ? bits - ROOT_BITS : 0;
        // Away from zero.
        for (uint256 i; i < count; ++i) {
            risks[i] = risks[i] < 0 ? risks[i] >> shift : -(-risks[i] >> shift);
        }
        greatest = (greatest + (1 << shift) - 1) >> shift;
        uint256 root = _root(risks, places, covariances, int256(width));
        uint256 floor = FixedPoint.mulUp(singleAssetFloor, greatest);
        result += DEVIATIONS * FixedPoint.max(root, floor) << shift;
    }

    /// @dev Square root of the greatest variance in the box. A sum of risks at a matrix of
    /// correlations is not negative but for the rounding of the estimates.
    function _root(
        int256[] memory risks,
        uint256[] memory places,
        int64[36] memory covariances,
        int256 width
    ) private pure returns (uint256) {
        // Ranges are with the title.
        unchecked {
            int256 total;
            for (uint256 j; j < risks.length; ++j) {
                if (risks[j] == 0) continue;
                int256 inner;
                for (uint256 i; i < j; ++i) {
                    int256 product = risks[i] * risks[j];
                    if (product == 0) continue;
                    int256 correlation = _correlation(covariances, places[i], places[j]);
                    // The worst is of the product times the correlation, whatever its sign.
                    if (product < 0) (product, correlation) = (-product, -correlation);
                    inner += product * (width + _mulUp(SIGNED_WAD - width, correlation));
                }
                total += 2 * inner + risks[j] * risks[j] * SIGNED_WAD;
            }
            if (total <= 0) return 0;
            return FixedPoint.sqrtUp((uint256(total) + WAD - 1) / WAD);
        }
    }

    /// @dev `VolatilityEstimator.correlation` of two places.
    function _correlation(int64[36] memory covariances, uint256 i, uint256 j)
        private
        pure
        returns (int256)
    {
        if (i > j) (i, j) = (j, i);
        return Ewma.correlation(
            covariances[Ewma.index(i, j)],
            covariances[Ewma.index(i, i)],
            covariances[Ewma.index(j, j)]
        );
    }

    /// @dev ceil(a * b / 1e18), a and b within ±1e18.
    function _mulUp(int256 a, int256 b) private pure returns (int256) {
        // Division truncates, which is up for a negative product.
        unchecked {
            int256 product = a * b;
            return (product > 0 ? product + SIGNED_WAD - 1 : product) / SIGNED_WAD;
        }
    }

    /// @dev Most that an exposure loses beyond its delta on the nodes up to three deviations and in
    /// the vol classes up to 0.5: nodes 2 to 8 of the first three classes.
    function _beyondDelta(Exposure calldata exposure) private pure returns (uint256 worst) {
        int256[] calldata pnl = exposure.pnl;
        uint256 deviation = exposure.deviation;
        int256 delta = exposure.delta;
        // Reads nodes of `pnl`, of which there are 11 or 44. A move is within ±3 (X64), a product
        // with delta below 2^206.
        assembly ("memory-safe") {
            function greater(x, y) -> z {
                z := xor(x, mul(xor(x, y), sgt(y, x)))
            }
            function lost(node_, linear, classes_) -> most {
                most := sub(linear, calldataload(node_))
                if classes_ {
                    most := greater(most, sub(linear, calldataload(add(node_, 0x160))))
                    most := greater(most, sub(linear, calldataload(add(node_, 0x2c0))))
                }
            }
            let classes := gt(pnl.length, 11)
            let node := add(pnl.offset, 0x40)
            let x := shl(64, deviation)
            for { let n := 3 } n { n := sub(n, 1) } {
                // The far fall is rounded up, and no more than to a hundredth.
                let fall := div(add(mul(x, n), sub(WAD, 1)), WAD)
                if gt(fall, GREATEST_FALL) { fall := GREATEST_FALL }
                worst := greater(worst, lost(node, sar(64, mul(delta, sub(0, fall))), classes))
                let rise := sar(64, mul(delta, div(mul(x, n), WAD)))
                worst := greater(worst, lost(add(node, shl(6, n)), rise, classes))
                node := add(node, 0x20)
            }
            worst := greater(worst, lost(node, 0, classes))
            worst := mul(worst, sgt(worst, 0))
        }
    }
}
