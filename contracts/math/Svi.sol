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
}
