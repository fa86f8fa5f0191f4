// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {FixedPoint} from "../math/FixedPoint.sol";
import {Grid, ScenarioKernel} from "../math/ScenarioKernel.sol";
import {Svi} from "../math/Svi.sol";
import {Transcendental} from "../math/Transcendental.sol";
import {GlobalParameters, UnderlyingParameters} from "../types/Types.sol";

/// @notice One expiry of an underlying.
/// @param forward Forward, or the index for an expired option that has no settlement price.
/// @param discount Discount factor.
/// @param svi Packed SVI slice.
/// @param tauSeconds Time to expiry; 0 once expired.
/// @param volFactorX64 Factor on the total deviation per vol class; empty until first needed.
/// @param deviationFloorX64 Least total deviation in a scenario.
struct Slice {
    uint256 forward;
    uint256 discount;
    uint256 svi;
    uint256 tauSeconds;
    uint256[] volFactorX64;
    uint256 deviationFloorX64;
}

/// @title Volatility of options in the scenarios (specification, section 8)
library OptionPricing {
    using ScenarioKernel for Grid;

    uint256 private constant ONE = 2 ** 64;
    uint256 private constant YEAR = 365 days;
    uint256 private constant VOL_TENOR = 30 days;

    /// @notice Prepares what all options of the slice have in common.
    /// @param classVolPpm Volatility move per vol class, in vol ranges.
    function prepare(
        Slice memory slice,
        GlobalParameters memory globals,
        UnderlyingParameters memory parameters,
        int256[] memory classVolPpm
    ) internal pure {
        slice.volFactorX64 = new uint256[](classVolPpm.length);
        if (slice.tauSeconds == 0) return;
        uint256 tau = FixedPoint.max(slice.tauSeconds, globals.minimumTauSeconds);
        uint256 power =
            slice.tauSeconds < VOL_TENOR ? globals.volExponentShort : globals.volExponentLong;
        int256 exponent =
            FixedPoint.mulDown(int256(power), Transcendental.lnX64(VOL_TENOR * ONE / tau));
        int256 tenorFactor = int256(Transcendental.expX64(exponent));
        for (uint256 i; i < classVolPpm.length; ++i) {
            int256 move = classVolPpm[i] * int256(uint256(parameters.volRange));
            int256 factor = int256(ONE) + FixedPoint.mulDivDown(move, tenorFactor, 1e24);
            slice.volFactorX64[i] = factor > 0 ? uint256(factor) : 0;
        }
        slice.deviationFloorX64 = FixedPoint.mulDown(
            parameters.volFloor, FixedPoint.sqrt((slice.tauSeconds << 128) / YEAR)
        );
    }

    /// @notice Adds an option to every scenario of the kernel's grid.
    /// @param notional N, signed, USD.
    /// @return value N·c_0, rounded down; for a put still without parity.
    /// @return delta Dollar delta, rounded down.
    /// @return ownLoss Own worst weighted loss, in `LOSS_UNIT`ths.
    function add(
        Slice memory slice,
        Grid kernel,
        int256 notional,
        uint256 strike,
        bool isPut
    ) internal pure returns (int256 value, int256 delta, uint256 ownLoss) {
        // abs(N) < 2^132, deviations < 2^69, factors < 2^80, kernel values < 2^69: below 2^202.
        unchecked {
            int256 lnRatioX64 = Transcendental.lnRatioX64(slice.forward, strike);
            uint256 deviation;
            if (slice.tauSeconds != 0) deviation = Svi.totalDeviation(slice.svi, -lnRatioX64);
            deviation = FixedPoint.min(deviation, ScenarioKernel.MAX_DEVIATION);
            uint256[] memory volFactorX64 = slice.volFactorX64;
            for (uint256 c; c < volFactorX64.length; ++c) {
                uint256 shocked = FixedPoint.max(
                    slice.deviationFloorX64, deviation * volFactorX64[c] / ONE
                );
                kernel.setDeviation(c, FixedPoint.min(shocked, ScenarioKernel.MAX_DEVIATION));
            }
            uint256 callDeltaX64;
            (value, callDeltaX64, ownLoss) = kernel.addOption(
                notional, isPut, (strike << 64) / slice.forward, lnRatioX64, deviation
            );
            // Kernel values are at most 2^69 and |N| < 2^132.
            value = notional * value >> 64;
            delta = notional * (int256(callDeltaX64) - (isPut ? int256(ONE) : int256(0))) >> 64;
        }
    }
}
