// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {FixedPoint} from "./FixedPoint.sol";

/// @title Volatility surface by SVI slices
/// @notice Total variance of one expiry, with k = ln(K/F):
///
///     w(k) = a + b * (rho * (k - m) + sqrt((k - m)^2 + sigma^2))
///
/// A slice is one word:
///
/// | bits | field | |
/// |---|---|---|
/// | 0-63 | a | int64, X56 |
/// | 64-127 | b | uint64, X56 |
/// | 128-159 | rho | int32, X30 |
/// | 160-207 | m | int48, X40 |
/// | 208-255 | sigma | uint48, X40 |
///
/// Bounds and what the two checks guarantee: specification, Mathematics, "SVI".
library Svi {
    /// @notice Parameters that describe no smile. Needed are abs(rho) < 1, sigma > 0, total
    /// variance above zero everywhere and b * (1 + abs(rho)) <= 2.
    error InvalidSlice(uint256 svi);
    /// @notice The density implied at log-moneyness `kX64` is negative.
    error ButterflyArbitrage(uint256 svi, int256 kX64, int256 densityX64);
    /// @notice Total variance at log-moneyness `kX64`, or its slope beyond, falls with expiry.
    error CalendarArbitrage(uint256 near, uint256 far, int256 kX64);

    /// @notice Points a check looks at: k = m + sigma * t for t = 0 and 24 values on each side.
    uint256 internal constant CHECK_POINTS = 49;

    int256 private constant ONE = 2 ** 64;

    /// @notice Greatest absolute log-moneyness; beyond it counts as this. X64.
    int256 internal constant MAX_LOG_X64 = 128 * 2 ** 64;

    /// @notice Total variance.
    /// @param svi Packed slice.
    /// @param kX64 ln(K/F).
    /// @return X64, rounded down: below w(k) by less than (b + 1) * 2^-64; 0 if w(k) is negative.
    function totalVariance(uint256 svi, int256 kX64) internal pure returns (uint256) {
        (int256 a, int256 b, int256 rho, int256 m, int256 sigma) = unpack(svi);
        kX64 = FixedPoint.clamp(kX64, -MAX_LOG_X64, MAX_LOG_X64);
        // abs(x) < 2^72 and sigma < 2^72: the sum of squares is below 2^145, the wings below 2^105
        // (X94), their product with b below 2^169 (X150).
        unchecked {
            int256 x = kX64 - (m << 24);
            sigma <<= 24;
            int256 root = int256(FixedPoint.sqrt(uint256(x * x + sigma * sigma)));
            int256 wings = rho * x + (root << 30);
            int256 w = (a << 8) + ((b * wings) >> 86);
            return w > 0 ? uint256(w) : 0;
        }
    }

    /// @notice Total deviation s = sqrt(w(k)): implied volatility times the root of time.
    /// @return X64, rounded down.
    function totalDeviation(uint256 svi, int256 kX64) internal pure returns (uint256) {
        // The variance is below 2^84.
        unchecked {
            return FixedPoint.sqrt(totalVariance(svi, kX64) << 64);
        }
    }

    /// @notice The five parameters in their own scales.
    function unpack(uint256 svi)
        internal
        pure
        returns (int256 a, int256 b, int256 rho, int256 m, int256 sigma)
    {
        a = int64(uint64(svi));
        b = int256(uint256(uint64(svi >> 64)));
        rho = int32(uint32(svi >> 128));
        m = int48(uint48(svi >> 160));
        sigma = int256(svi >> 208);
    }

    /// @notice Reverts unless the slice is valid and its density at no check point negative.
    function requireButterflyFree(uint256 svi) internal pure {
        _requireValid(svi);
        for (uint256 i; i < CHECK_POINTS; ++i) {
            int256 k = checkPoint(svi, i);
            int256 g = densityX64(svi, k);
            if (g < 0) revert ButterflyArbitrage(svi, k, g);
        }
    }

    /// @notice Reverts if total variance falls from the nearer to the farther expiry at a check
    /// point of either slice, or its slope does in a wing.
    function requireCalendarFree(uint256 near, uint256 far) internal pure {
        for (uint256 i; i < 2 * CHECK_POINTS; ++i) {
            int256 k = i < CHECK_POINTS
                ? checkPoint(near, i)
                : checkPoint(far, i - CHECK_POINTS);
            if (totalVariance(far, k) < totalVariance(near, k)) {
                revert CalendarArbitrage(near, far, k);
            }
        }
        (, int256 nearB, int256 nearRho,,) = unpack(near);
        (, int256 farB, int256 farRho,,) = unpack(far);
        if (farB * (2 ** 30 - farRho) < nearB * (2 ** 30 - nearRho)) {
            revert CalendarArbitrage(near, far, -MAX_LOG_X64);
        }
        if (farB * (2 ** 30 + farRho) < nearB * (2 ** 30 + nearRho)) {
            revert CalendarArbitrage(near, far, MAX_LOG_X64);
        }
    }

    /// @notice The i-th point the checks look at: t = 0, 1/8, -1/8, ... doubling every third step,
    /// up to 25.
    /// @param i Below `CHECK_POINTS`.
    /// @return kX64 m + sigma * t, rounded down.
    function checkPoint(uint256 svi, uint256 i) internal pure returns (int256 kX64) {
        (,,, int256 m, int256 sigma) = unpack(svi);
        // t is below 32 (X64: 2^69) and sigma below 2^48: their product is below 2^117.
        unchecked {
            if (i == 0) return m << 24;
            uint256 step = (i - 1) / 2;
            uint256 third = step % 3;
            // 2^(0), 2^(1/3), 2^(2/3), X16.
            uint256 mantissa = third == 0 ? 65536 : third == 1 ? 82570 : 104032;
            int256 offset = (sigma * int256(mantissa << (step / 3 + 45))) >> 40;
            return (m << 24) + (i % 2 == 1 ? offset : -offset);
        }
    }

    /// @notice Durrleman's function g(k) of a slice with w(k) > 0: the implied density is g(k)
    /// times a positive factor.
    ///
    ///     g = (1 - k * w' / (2 * w))^2 - w'^2 / 4 * (1 / w + 1 / 4) + w'' / 2
    ///
    /// @return X64; its error is in the specification.
    function densityX64(uint256 svi, int256 kX64) internal pure returns (int256) {
        (, int256 b, int256 rho, int256 m, int256 sigma) = unpack(svi);
        int256 w = int256(totalVariance(svi, kX64));
        int256 x = kX64 - (m << 24);
        sigma <<= 24;
        int256 root = int256(FixedPoint.sqrt(uint256(x * x + sigma * sigma)));
        // First and second derivative of w, X64.
        int256 first = (b * ((rho << 34) + FixedPoint.floorDiv(x << 64, root))) >> 56;
        int256 ratio = FixedPoint.floorDiv(sigma << 64, root);
        int256 second = FixedPoint.floorDiv((b << 8) * ((ratio * ratio) >> 64), root);
        int256 skew = ONE - FixedPoint.floorDiv(kX64 * first, 2 * w);
        int256 square = (first * first) >> 66;
        return ((skew * skew) >> 64) - FixedPoint.floorDiv(square << 64, w) - (square >> 2)
            + (second >> 1);
    }

    function _requireValid(uint256 svi) private pure {
        (int256 a, int256 b, int256 rho,, int256 sigma) = unpack(svi);
        uint256 slope = FixedPoint.abs(rho);
        if (slope >= 2 ** 30 || sigma == 0) revert InvalidSlice(svi);
        // The least variance is a + b * sigma * sqrt(1 - rho^2); X56, the product X126 before.
        int256 least = a + (b * sigma * int256(FixedPoint.sqrt(2 ** 60 - slope * slope)) >> 70);
        bool steep = uint256(b) * (2 ** 30 + slope) > 2 ** 87;
        if (least <= 0 || steep) revert InvalidSlice(svi);
    }
}
