// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {FixedPoint} from "../math/FixedPoint.sol";
import {Grid, ScenarioKernel} from "../math/ScenarioKernel.sol";
import {Svi} from "../math/Svi.sol";
import {Transcendental} from "../math/Transcendental.sol";
import {Position} from "../types/Position.sol";
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
    using Position for uint256;
    using ScenarioKernel for Grid;
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

    /// @notice Opens a strike in the kernel's grid.
    /// @param strike K, USD.
    function open(Slice memory slice, Grid kernel, uint256 strike) internal pure {
        uint256 forward = slice.forward;
        int256 lnRatioX64 = Transcendental.lnRatioX64(forward, strike);
        uint256 deviationX64;
        if (slice.tauSeconds != 0) {
            deviationX64 = _capped(Svi.totalDeviation(slice.svi, -lnRatioX64));
        }
        kernel.openStrike((strike << 64) / forward, lnRatioX64, deviationX64);
        kernel.setDeviations(
            lnRatioX64, deviationX64, slice.volFactorX64, slice.deviationFloorX64
        );
    }

    /// @notice Adds an option of the strike opened last.
    /// @param slot Position slot.
    /// @return parity What its value is beside the call's: for a put size * D * (K - F), USD,
    /// rounded down.
    function add(Slice memory slice, Grid kernel, uint256 slot)
        internal
        pure
        returns (int256 parity)
    {
        // abs(size) < 2^95, F < 2^96, K < 2^98 and D <= 1e18 < 2^60, so abs(N) < 2^132.
        unchecked {
            int256 forward = int256(slice.forward);
            int256 discounted = slot.optionSize() * int256(slice.discount);
            bool isPut = slot.isPut();
            kernel.addOption(FixedPoint.floorDiv(discounted * forward, 1e36), isPut);
            if (isPut) {
                parity = FixedPoint.floorDiv(discounted * (int256(slot.strike()) - forward), 1e36);
            }
        }
    }

    function _capped(uint256 deviationX64) private pure returns (uint256) {
        return deviationX64 < ScenarioKernel.MAX_DEVIATION
            ? deviationX64
            : ScenarioKernel.MAX_DEVIATION;
    }
}
