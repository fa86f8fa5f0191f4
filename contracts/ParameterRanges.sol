// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IParameters} from "./interfaces/IParameters.sol";
import {Ranges} from "./margin/Ranges.sol";
import {
    CollateralParameters,
    GlobalParameters,
    InterestParameters,
    Scenario,
    UnderlyingParameters
} from "./types/Types.sol";

/// @title Ranges that governance may choose parameters from (specification, section 13)
/// @notice Part of `Parameters`, which creates it and asks before it stores: the code of both would
/// exceed the size limit of a contract. It has no state, and judges a structure by itself.
contract ParameterRanges {
    uint256 public constant MAX_SCENARIOS = 40;
    uint256 public constant MAX_VOL_CLASSES = 4;
    uint256 public constant MAX_ASSET = 31;
    uint256 public constant MAX_GROUP = 7;

    int256 private constant MAX_PRICE_PPM = 20e6;
    int256 private constant MAX_VOL_PPM = 5e6;
    uint256 private constant ONE_PPM = 1e6;
    uint256 private constant MAX_BALANCE = 2 ** 127;

    /// @notice Scenarios of equal volatility move must be adjacent.
    error VolClassSplit(int32 volPpm);

    /// @notice No scenario looks to that side, so that some position would need no margin.
    /// @param side `priceDown` or `priceUp`: a full scan range at full weight; `volDown` or
    /// `volUp`: any move.
    error ScenarioSideMissing(bytes32 side);

    function requireGlobal(GlobalParameters calldata p) external pure {
        Ranges.requireIn("initialFactor", p.initialFactor, 0.1e18, 4e18);
        Ranges.requireIn("maintenanceFactor", p.maintenanceFactor, 0.1e18, p.initialFactor);
        Ranges.requireIn("volExponentShort", p.volExponentShort, 0, 1e18);
        Ranges.requireIn("volExponentLong", p.volExponentLong, 0, 1e18);
        Ranges.requireIn("minimumTau", p.minimumTauSeconds, 1 hours, 30 days);
        Ranges.requireIn("profitWeight", p.profitWeight, 0, 1e18);
        Ranges.requireIn("withdrawMaxAge", p.withdrawMaxAgeSeconds, 1, 1 days);
        Ranges.requireIn("openMaxAge", p.openMaxAgeSeconds, 1, 1 days);
        Ranges.requireIn("marginMaxAge", p.marginMaxAgeSeconds, 1, 1 days);
        Ranges.requireIn("liquidationMaxAge", p.liquidationMaxAgeSeconds, 1, 7 days);
        Ranges.requireIn("rampSeconds", p.rampSeconds, 1 hours, 30 days);
        Ranges.requireIn("maxPositions", p.maxPositions, 1, 64);
        Ranges.requireIn("riseRate", p.riseRate, 0.001e18, 2e18);
        Ranges.requireIn("fallRate", p.fallRate, 0.0001e18, 2e18);
    }

    function requireInterest(InterestParameters calldata p) external pure {
        Ranges.requireIn("base", p.base, 0, 10e18);
        Ranges.requireIn("slope1", p.slope1, 0, 10e18);
        Ranges.requireIn("slope2", p.slope2, 0, 10e18);
        Ranges.requireIn("kink", p.kink, 0.01e18, 0.99e18);
        Ranges.requireIn("reserveFactor", p.reserveFactor, 0, 1e18);
    }

    function requireDecorrelation(uint256 group, uint256 decorrelation) external pure {
        Ranges.requireIn("group", group, 0, MAX_GROUP);
        Ranges.requireIn("decorrelation", decorrelation, 0, 1e18);
    }

    function requireUnderlying(uint256 underlying, UnderlyingParameters calldata p) external pure {
        Ranges.requireIn("underlying", underlying, 1, type(uint8).max);
        Ranges.requireIn("listed", p.listed ? 1 : 0, 1, 1);
        Ranges.requireIn("group", p.group, 0, MAX_GROUP);
        Ranges.requireIn("scanRange", p.scanRange, 0.001e18, 0.9e18);
        Ranges.requireIn("maxScanRange", p.maxScanRange, p.scanRange, 0.9e18);
        Ranges.requireIn("scanMultiplier", p.scanMultiplier, 0, 20e18);
        Ranges.requireIn("volRange", p.volRange, 0, 2e18);
        Ranges.requireIn("volFloor", p.volFloor, 0, 1e18);
        Ranges.requireIn("basisRate", p.basisRate, 0, 0.2e18);
        Ranges.requireIn("shortOptionRate", p.shortOptionRate, 0, 0.2e18);
        Ranges.requireIn("concentrationRate", p.concentrationRate, 0, 1e18);
        Ranges.requireIn("depth", p.depth, 1e18, type(uint96).max);
        Ranges.requireIn("maxOiMultiplier", p.maxOiMultiplier, 0, 10e18);
        Ranges.requireIn("oiUpper", p.oiUpper, 1, type(uint96).max);
        Ranges.requireIn("oiLower", p.oiLower, 0, p.oiUpper - 1);
        Ranges.requireIn("lotSize", p.lotSize, 1, type(uint64).max);
        Ranges.requireIn("fundingCap", p.fundingCap, 0, 0.1e18);
        Ranges.requireIn("makerFee", p.makerFee, 0, 0.01e18);
        Ranges.requireIn("takerFee", p.takerFee, 0, 0.01e18);
        Ranges.requireIn("optionFeeCap", p.optionFeeCap, 0, 0.5e18);
    }

    function requireCollateral(uint256 asset, CollateralParameters calldata p) external pure {
        Ranges.requireIn("asset", asset, 1, MAX_ASSET);
        Ranges.requireIn("decimals", p.decimals, 0, 24);
        Ranges.requireIn("haircut", p.haircut, 0, 1e18 - 1);
        // Only what is meant to be worth a fixed price can depart from it.
        Ranges.requireIn("depegRate", p.depegRate, 0, p.underlying == 0 ? 1e18 : 0);
        uint256 maxRaw =
            p.decimals > 18 ? type(uint128).max : MAX_BALANCE / 10 ** (18 - p.decimals);
        Ranges.requireIn("capRaw", p.capRaw, 0, maxRaw);
    }

    /// @notice Judges scenarios and packs them with their ramp, as `IParameters.scenarioPointer`
    /// describes.
    /// @param old Scenarios with the weights in force; empty if the new ones are to be at once.
    /// @param list The new ones. Each starts from the greatest weight of the same move in `old`, or
    /// from nothing, and what they start from looks to every side as well.
    function packScenarios(Scenario[] calldata old, Scenario[] calldata list)
        external
        pure
        returns (bytes memory packed)
    {
        _requireScenarios(list);
        Scenario[] memory first = new Scenario[](list.length);
        for (uint256 i = 0; i < list.length; ++i) {
            Scenario memory s = list[i];
            uint32 weight = old.length == 0 ? s.weightPpm : _weightOf(old, s);
            first[i] = Scenario(s.pricePpm, s.volPpm, weight);
            packed = abi.encodePacked(packed, s.pricePpm, s.volPpm, weight, s.weightPpm);
        }
        _requireAllSides(list);
        _requireAllSides(first);
    }

    function _requireScenarios(Scenario[] calldata list) private pure {
        Ranges.requireIn("scenarios", list.length, 1, MAX_SCENARIOS);
        for (uint256 i = 0; i < list.length; ++i) {
            _requireAbsInRange("pricePpm", list[i].pricePpm, MAX_PRICE_PPM);
            _requireAbsInRange("volPpm", list[i].volPpm, MAX_VOL_PPM);
            Ranges.requireIn("weightPpm", list[i].weightPpm, 1, ONE_PPM);
        }
        _requireVolClasses(list);
    }

    function _weightOf(Scenario[] calldata list, Scenario memory move)
        private
        pure
        returns (uint32 weight)
    {
        for (uint256 i = 0; i < list.length; ++i) {
            Scenario calldata s = list[i];
            if (s.pricePpm != move.pricePpm || s.volPpm != move.volPpm) continue;
            if (s.weightPpm > weight) weight = s.weightPpm;
        }
    }

    function _requireAllSides(Scenario[] memory list) private pure {
        bool priceDown;
        bool priceUp;
        bool volDown;
        bool volUp;
        for (uint256 i = 0; i < list.length; ++i) {
            Scenario memory s = list[i];
            bool full = s.weightPpm == ONE_PPM;
            priceDown = priceDown || (full && s.pricePpm <= -int256(ONE_PPM));
            priceUp = priceUp || (full && s.pricePpm >= int256(ONE_PPM));
            volDown = volDown || (s.weightPpm != 0 && s.volPpm < 0);
            volUp = volUp || (s.weightPpm != 0 && s.volPpm > 0);
        }
        if (!priceDown) revert ScenarioSideMissing("priceDown");
        if (!priceUp) revert ScenarioSideMissing("priceUp");
        if (!volDown) revert ScenarioSideMissing("volDown");
        if (!volUp) revert ScenarioSideMissing("volUp");
    }

    /// @dev The risk model computes one deviation per option and class of equal volatility move.
    function _requireVolClasses(Scenario[] calldata list) private pure {
        uint256 count = 0;
        for (uint256 i = 0; i < list.length; ++i) {
            if (i > 0 && list[i].volPpm == list[i - 1].volPpm) continue;
            for (uint256 k = 0; k < i; ++k) {
                if (list[k].volPpm == list[i].volPpm) revert VolClassSplit(list[i].volPpm);
            }
            ++count;
        }
        Ranges.requireIn("volClasses", count, 1, MAX_VOL_CLASSES);
    }

    /// @dev Negative numbers are given in two's complement.
    function _requireAbsInRange(bytes32 name, int256 value, int256 max) private pure {
        if (value < -max || value > max) {
            revert IParameters.ParameterOutOfRange(
                name, uint256(value), uint256(-max), uint256(max)
            );
        }
    }
}
