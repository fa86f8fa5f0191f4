// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {
    CollateralParameters,
    GlobalParameters,
    UnderlyingParameters
} from "../types/Types.sol";

/// @title Parameters on their way from one set of values to another
/// @notice Specification, Market data, section 9. `part` of `whole` has passed: at most `whole`,
/// which is above zero; both are below 2^128. Fields that are not ramped are those of `to`.
library Ramp {
    /// @notice The value in force, rounded towards `from`.
    /// @param from Value at the start, below 2^128.
    /// @param to Value at the end, below 2^128.
    function between(uint256 from, uint256 to, uint256 part, uint256 whole)
        internal
        pure
        returns (uint256)
    {
        return to < from
            ? from - (from - to) * part / whole
            : from + (to - from) * part / whole;
    }

    /// @notice Parameters common to all underlyings, in force; written over `to`.
    function blend(
        GlobalParameters memory to,
        GlobalParameters memory from,
        uint256 part,
        uint256 whole
    ) internal pure {
        to.maintenanceFactor =
            _between(from.maintenanceFactor, to.maintenanceFactor, part, whole);
        to.initialFactor = _between(from.initialFactor, to.initialFactor, part, whole);
        to.volExponentShort = _between(from.volExponentShort, to.volExponentShort, part, whole);
        to.volExponentLong = _between(from.volExponentLong, to.volExponentLong, part, whole);
        to.minimumTauSeconds =
            uint32(between(from.minimumTauSeconds, to.minimumTauSeconds, part, whole));
        to.profitWeight = _between(from.profitWeight, to.profitWeight, part, whole);
        to.profitCap = _between96(from.profitCap, to.profitCap, part, whole);
        to.riseRate = _between(from.riseRate, to.riseRate, part, whole);
        to.fallRate = _between(from.fallRate, to.fallRate, part, whole);
    }

    /// @notice Parameters of an underlying, in force; written over `to`.
    function blend(
        UnderlyingParameters memory to,
        UnderlyingParameters memory from,
        uint256 part,
        uint256 whole
    ) internal pure {
        to.scanRange = _between(from.scanRange, to.scanRange, part, whole);
        to.maxScanRange = _between(from.maxScanRange, to.maxScanRange, part, whole);
        to.volRange = _between(from.volRange, to.volRange, part, whole);
        to.volFloor = _between(from.volFloor, to.volFloor, part, whole);
        to.basisRate = _between(from.basisRate, to.basisRate, part, whole);
        to.shortOptionRate = _between(from.shortOptionRate, to.shortOptionRate, part, whole);
        to.concentrationRate =
            _between(from.concentrationRate, to.concentrationRate, part, whole);
        to.depth = _between96(from.depth, to.depth, part, whole);
        to.oiLower = _between96(from.oiLower, to.oiLower, part, whole);
        to.oiUpper = _between96(from.oiUpper, to.oiUpper, part, whole);
        to.maxOiMultiplier = _between(from.maxOiMultiplier, to.maxOiMultiplier, part, whole);
    }

    /// @notice Parameters of a collateral asset, in force; written over `to`.
    function blend(
        CollateralParameters memory to,
        uint64 haircut,
        uint64 depegRate,
        uint256 part,
        uint256 whole
    ) internal pure {
        to.haircut = _between(haircut, to.haircut, part, whole);
        to.depegRate = _between(depegRate, to.depegRate, part, whole);
    }

    /// @notice Decorrelation weights in force; written over `to`.
    function blend(uint64[8] memory to, uint64[8] memory from, uint256 part, uint256 whole)
        internal
        pure
    {
        for (uint256 g; g < 8; ++g) to[g] = _between(from[g], to[g], part, whole);
    }

    /// @dev The result lies between `from` and `to`, so it fits where they do.
    function _between(uint64 from, uint64 to, uint256 part, uint256 whole)
        private
        pure
        returns (uint64)
    {
        return uint64(between(from, to, part, whole));
    }

    /// @dev The result lies between `from` and `to`, so it fits where they do.
    function _between96(uint96 from, uint96 to, uint256 part, uint256 whole)
        private
        pure
        returns (uint96)
    {
        return uint96(between(from, to, part, whole));
    }
}
