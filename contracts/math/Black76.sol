// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {FixedPoint} from "./FixedPoint.sol";
import {NormalCdf} from "./NormalCdf.sol";

/// @title Black-76 on the total deviation
/// @notice With s the implied volatility times the root of time, d1 = ln(F/K)/s + s/2 and
/// d2 = d1 - s, a call is worth D * (F * N(d1) - K * N(d2)) and a put D * (F - K) less. The
/// scenario kernel evaluates the same formula; bounds are proven in the specification,
/// Mathematics.
library Black76 {
    /// @notice Greatest total deviation the bounds hold for, X64.
    uint256 internal constant MAX_DEVIATION = 16 * 2 ** 64;

    /// @dev Divided by a deviation in steps: steps per unit of a logarithm, X84 over X64.
    uint256 private constant SLOPE_NUMERATOR = NormalCdf.STEPS_PER_UNIT ** 2 * 2 ** 20;

    /// @notice Total deviation in steps of the table, rounded down, at least one step: below that
    /// a price is its intrinsic value within the error bound.
    /// @param deviationX64 At most `MAX_DEVIATION`.
    function toSteps(uint256 deviationX64) internal pure returns (uint256 s) {
        // At most 2^68 * 2^54.
        unchecked {
            s = (deviationX64 * NormalCdf.STEPS_PER_UNIT) >> 64;
            if (s == 0) s = 1;
        }
    }

    /// @notice Place of d1 in the table as a line in the logarithm of the price:
    /// place = centre + floor(slope * logarithm / 2^84).
    /// @param lnRatioX64 ln(F/K), abs below 2^71.
    /// @param s Total deviation, steps.
    function line(int256 lnRatioX64, uint256 s)
        internal
        pure
        returns (int256 slope, int256 centre)
    {
        // The slope is below 2^127, its product with a logarithm below 2^198.
        unchecked {
            slope = int256(SLOPE_NUMERATOR / s);
            centre = ((lnRatioX64 * slope) >> 84) + int256(s >> 1) + NormalCdf.CENTRE;
        }
    }

    /// @notice Call per unit of D * F.
    /// @param table Address from `NormalCdf.load`.
    /// @param strikeRatioX64 K/F, rounded down, below 2^162.
    /// @param lnRatioX64 ln(F/K): `Transcendental.lnRatioX64`.
    /// @param deviationX64 At most `MAX_DEVIATION`.
    /// @return callX64 N(d1) - K/F * N(d2), rounded down; within its error of the exact value and
    /// so possibly just below zero.
    /// @return deltaX64 N(d1).
    function unitCall(
        uint256 table,
        uint256 strikeRatioX64,
        int256 lnRatioX64,
        uint256 deviationX64
    ) internal pure returns (int256 callX64, uint256 deltaX64) {
        // The distribution is at most 2^48 (X48): both products are below 2^211.
        unchecked {
            uint256 s = toSteps(deviationX64);
            (, int256 place) = line(lnRatioX64, s);
            uint256 y1 = NormalCdf.cdfAt(table, place);
            uint256 y2 = NormalCdf.cdfAt(table, place - int256(s));
            callX64 = int256((y1 << 64) - strikeRatioX64 * y2) >> 48;
            deltaX64 = y1 << 16;
        }
    }

    /// @notice Value of a call, within the bounds of no arbitrage.
    /// @param forward F, USD, above zero, below 2^98.
    /// @param strike K, USD, above zero, below 2^98.
    /// @param lnRatioX64 ln(F/K).
    /// @param deviationX64 At most `MAX_DEVIATION`.
    /// @param discount D, at most 1.
    /// @return USD, rounded down, in [D * max(F - K, 0), D * F].
    function call(
        uint256 table,
        uint256 forward,
        uint256 strike,
        int256 lnRatioX64,
        uint256 deviationX64,
        uint256 discount
    ) internal pure returns (uint256) {
        int256 value = _undiscounted(table, forward, strike, lnRatioX64, deviationX64);
        return FixedPoint.mulDown(uint256(value), discount);
    }

    /// @notice Value of a put by parity; parameters as for `call`.
    /// @return USD, rounded down, in [D * max(K - F, 0), D * K].
    function put(
        uint256 table,
        uint256 forward,
        uint256 strike,
        int256 lnRatioX64,
        uint256 deviationX64,
        uint256 discount
    ) internal pure returns (uint256) {
        int256 value = _undiscounted(table, forward, strike, lnRatioX64, deviationX64);
        return FixedPoint.mulDown(uint256(value + int256(strike) - int256(forward)), discount);
    }

    function _undiscounted(
        uint256 table,
        uint256 forward,
        uint256 strike,
        int256 lnRatioX64,
        uint256 deviationX64
    ) private pure returns (int256) {
        int256 intrinsic = FixedPoint.max(int256(forward) - int256(strike), 0);
        if (deviationX64 == 0) return intrinsic;
        (int256 callX64,) =
            unitCall(table, (strike << 64) / forward, lnRatioX64, deviationX64);
        // abs(callX64) * F is at most (F + K) * 2^64.
        return FixedPoint.clamp((callX64 * int256(forward)) >> 64, intrinsic, int256(forward));
    }
}
