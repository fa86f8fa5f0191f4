// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMarketData} from "../interfaces/IMarketData.sol";
import {IParameters} from "../interfaces/IParameters.sol";
import {IPredictiveModel} from "../interfaces/IPredictiveModel.sol";
import {IRiskModel} from "../interfaces/IRiskModel.sol";
import {Positions} from "../ledger/Positions.sol";
import {FixedPoint} from "../math/FixedPoint.sol";
import {Instrument} from "../types/Instrument.sol";
import {Position} from "../types/Position.sol";
import {Exposure} from "../types/Predictive.sol";
import {
    Assessment,
    Breakdown,
    CollateralParameters,
    MarginMode,
    Portfolio
} from "../types/Types.sol";

/// @title A risk model simple enough to reckon with in one's head
/// @notice Maintenance margin is a tenth of the gross notional at the index, initial margin a fifth
/// (twice that in isolated mode); options are worth their intrinsic value.
contract RiskDouble is IRiskModel {
    using Instrument for uint128;
    using Position for uint256;

    IParameters private immutable parameters;
    IMarketData private immutable marketData;
    /// @inheritdoc IRiskModel
    IPredictiveModel public immutable predictiveModel;

    /// @notice There is nothing to break down.
    error NoBreakdown();

    constructor(IParameters parameters_, IMarketData marketData_, IPredictiveModel model) {
        predictiveModel = model;
        parameters = parameters_;
        marketData = marketData_;
    }

    /// @inheritdoc IRiskModel
    function assess(Portfolio calldata p) external view returns (Assessment memory a) {
        a.oldestTimestamp = block.timestamp;
        a.collateralEquity = p.cash;
        int256 worth;
        uint256 notional;
        for (uint256 i = 0; i < p.positions.length; ++i) {
            worth += _value(p.positions[i], a);
            (uint256 index,,,, uint256 timestamp) = marketData.spot(p.positions[i].underlying());
            _see(a, timestamp);
            int256 size = p.positions[i].size();
            notional += FixedPoint.mulUp(uint256(size < 0 ? -size : size), index);
        }
        for (uint256 i = 0; i < p.collateral.length; ++i) {
            a.collateralEquity += int256(_collateralValue(p.collateral[i], a));
        }
        a.equity = a.collateralEquity + worth;
        a.initialEquity = a.equity;
        a.maintenanceMargin = notional / 10;
        a.initialMargin = notional / 5;
        if (p.marginMode == MarginMode.ISOLATED) {
            a.maintenanceMargin *= 2;
            a.initialMargin *= 2;
        }
    }

    /// @inheritdoc IRiskModel
    function collateralValue(uint256[] calldata collateral)
        external
        view
        returns (uint256 value, uint256 oldestTimestamp)
    {
        Assessment memory seen;
        seen.oldestTimestamp = block.timestamp;
        for (uint256 i = 0; i < collateral.length; ++i) {
            value += _collateralValue(collateral[i], seen);
        }
        oldestTimestamp = seen.oldestTimestamp;
    }

    /// @inheritdoc IRiskModel
    function breakdown(Portfolio calldata) external pure returns (Breakdown memory) {
        revert NoBreakdown();
    }

    /// @dev None: nothing is predicted.
    /// @inheritdoc IRiskModel
    function exposures(Portfolio calldata) external pure returns (Exposure[] memory none) {}

    function _value(uint256 slot, Assessment memory a) private view returns (int256) {
        (uint8 underlying, uint32 expiry) = (slot.underlying(), slot.expiry());
        (uint256 price,, uint256 mark,,) = marketData.spot(underlying);
        if (expiry == 0) return Positions.linearValue(slot, int256(mark));
        uint256 settled = marketData.settlementPrice(underlying, expiry);
        if (expiry <= block.timestamp) price = settled == 0 ? price : settled;
        else if (!slot.isOption()) {
            uint256 timestamp;
            (price,,, timestamp) = marketData.slice(underlying, expiry, price);
            _see(a, timestamp);
        }
        return Positions.payoff(slot, price);
    }

    function _collateralValue(uint256 word, Assessment memory a) private view returns (uint256) {
        CollateralParameters memory p = parameters.collateralParameters(uint8(word >> 248));
        (uint256 price,, uint256 timestamp) = marketData.collateralRate(uint8(word >> 248));
        _see(a, timestamp);
        if (p.underlying != 0) {
            (uint256 index,,,, uint256 spotTimestamp) = marketData.spot(p.underlying);
            _see(a, spotTimestamp);
            price = FixedPoint.mulDown(price, index);
        }
        uint256 value = FixedPoint.mulDown(uint256(uint128(word)), price);
        return FixedPoint.mulDown(value, 1e18 - p.haircut);
    }

    function _see(Assessment memory a, uint256 timestamp) private pure {
        if (timestamp < a.oldestTimestamp) a.oldestTimestamp = timestamp;
    }
}
