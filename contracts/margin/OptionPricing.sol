// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {FixedPoint} from "../math/FixedPoint.sol";
import {Grid, ScenarioKernel} from "../math/ScenarioKernel.sol";
import {Svi} from "../math/Svi.sol";
import {Transcendental} from "../math/Transcendental.sol";
import {GlobalParameters, UnderlyingParameters} from "../types/Types.sol";
import {Words} from "./Words.sol";

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
    using Words for uint256[];
    using Words for int256[];

    int256 private constant ONE = 2 ** 64;
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
        uint256 classes = classVolPpm.length;
        slice.volFactorX64 = new uint256[](classes);
        uint256 tau = slice.tauSeconds;
        if (tau == 0) return;
        slice.deviationFloorX64 =
            FixedPoint.mulDown(parameters.volFloor, FixedPoint.sqrt((tau << 128) / YEAR));
        int256 range = int256(uint256(parameters.volRange)) * _tenorFactorX64(tau, globals);
        // abs(y) < 2^31, ν < 2^64, f < 2^94 (its logarithm is at most 64 times 1): below 2^189.
        unchecked {
            for (uint256 c; c < classes; ++c) {
                int256 factor = ONE + FixedPoint.floorDiv(classVolPpm.word(c) * range, 1e24);
                if (factor > 0) slice.volFactorX64[c] = uint256(factor);
            }
        }
    }

    /// @dev f(τ), X64.
    function _tenorFactorX64(uint256 tau, GlobalParameters memory globals)
        private
        pure
        returns (int256)
    {
        int256 power = int256(
            uint256(tau < VOL_TENOR ? globals.volExponentShort : globals.volExponentLong)
        );
        if (tau < globals.minimumTauSeconds) tau = globals.minimumTauSeconds;
        int256 logarithm = Transcendental.lnX64((VOL_TENOR << 64) / tau);
        return int256(Transcendental.expX64(FixedPoint.mulDown(power, logarithm)));
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
        int256 lnRatioX64 = Transcendental.lnRatioX64(slice.forward, strike);
        uint256 deviationX64;
        if (slice.tauSeconds != 0) {
            deviationX64 = _capped(Svi.totalDeviation(slice.svi, -lnRatioX64));
        }
        _setDeviations(slice, kernel, lnRatioX64, deviationX64);
        uint256 callDeltaX64;
        (value, callDeltaX64, ownLoss) = kernel.addOption(
            notional, isPut, (strike << 64) / slice.forward, lnRatioX64, deviationX64
        );
        // abs(N) < 2^132; a call is worth at most 1 (X64) and at least the negative of its error.
        unchecked {
            value = notional * value >> 64;
            int256 deltaX64 = int256(callDeltaX64);
            if (isPut) deltaX64 -= ONE;
            delta = notional * deltaX64 >> 64;
        }
    }

    function _setDeviations(
        Slice memory slice,
        Grid kernel,
        int256 lnRatioX64,
        uint256 deviationX64
    ) private pure {
        uint256[] memory factors = slice.volFactorX64;
        uint256 least = slice.deviationFloorX64;
        // A deviation is at most 2^68, a factor below 2^126.
        unchecked {
            uint256 classes = factors.length;
            for (uint256 c; c < classes; ++c) {
                uint256 shocked = deviationX64 * factors.word(c) >> 64;
                if (shocked < least) shocked = least;
                kernel.setDeviation(c, lnRatioX64, _capped(shocked));
            }
        }
    }

    function _capped(uint256 deviationX64) private pure returns (uint256) {
        return deviationX64 < ScenarioKernel.MAX_DEVIATION
            ? deviationX64
            : ScenarioKernel.MAX_DEVIATION;
    }
}
