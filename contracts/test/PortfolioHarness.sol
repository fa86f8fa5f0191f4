// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SSTORE2} from "solady/src/utils/SSTORE2.sol";

import {IMarketData} from "../interfaces/IMarketData.sol";
import {IParameters} from "../interfaces/IParameters.sol";
import {IRiskModel} from "../interfaces/IRiskModel.sol";
import {
    CollateralParameters,
    GlobalParameters,
    InterestParameters,
    Portfolio,
    Scenario,
    UnderlyingParameters
} from "../types/Types.sol";
import {TryMany} from "./TryMany.sol";

/// @title Whole random markets and portfolios against the risk model
/// @notice Plays both the parameters and the market data, so that one `eth_call` can set a market
/// that no governance would allow and margin many portfolios in it.
contract PortfolioHarness is IMarketData, IParameters, TryMany {
    struct UnderlyingCase {
        uint8 underlying;
        UnderlyingParameters parameters;
        uint256 index;
        uint256 confidence;
        uint256 mark;
        uint256 stableIndex;
        uint256 timestamp;
        uint256 scanRange;
        uint256 initialScanRange;
    }

    struct SliceCase {
        uint8 underlying;
        uint32 expiry;
        uint256 forward;
        uint256 discount;
        uint256 svi;
        uint256 timestamp;
        uint256 settlementPrice;
    }

    struct CollateralCase {
        uint8 asset;
        CollateralParameters parameters;
        uint256 rate;
        uint256 stableRate;
        uint256 timestamp;
    }

    struct MarketCase {
        GlobalParameters global;
        uint64[8] decorrelations;
        bytes scenarios;
        uint256 progress;
        UnderlyingCase[] underlyings;
        SliceCase[] slices;
        CollateralCase[] collaterals;
    }

    IRiskModel public riskModel;

    address private _scenarios;
    uint256 private _progress;
    GlobalParameters private _global;
    uint64[8] private _decorrelations;
    mapping(uint8 underlying => UnderlyingCase) private _underlyings;
    mapping(uint8 underlying => mapping(uint32 expiry => SliceCase)) private _slices;
    mapping(uint8 asset => CollateralCase) private _collaterals;

    /// @param model Deployed with this contract for its parameters and market data.
    function setRiskModel(IRiskModel model) external {
        riskModel = model;
    }

    /// @notice Sets the market and assesses every portfolio in it; meant for `eth_call`.
    /// @param full Whether to return breakdowns instead of assessments.
    function assessMany(MarketCase calldata market, Portfolio[] calldata portfolios, bool full)
        external
        returns (Outcome[] memory outcomes)
    {
        setMarket(market);
        outcomes = new Outcome[](portfolios.length);
        for (uint256 i = 0; i < portfolios.length; ++i) {
            bytes memory call = full
                ? abi.encodeCall(IRiskModel.breakdown, (portfolios[i]))
                : abi.encodeCall(IRiskModel.assess, (portfolios[i]));
            (outcomes[i].ok, outcomes[i].data) = address(riskModel).staticcall(call);
        }
    }

    /// @notice Sets the market and returns what the predictive model would be given of a portfolio,
    /// encoded; meant for `eth_call`.
    function exposuresOf(MarketCase calldata market, Portfolio calldata portfolio)
        external
        returns (bytes memory)
    {
        setMarket(market);
        return abi.encode(riskModel.exposures(portfolio));
    }

    /// @notice Sets the market to be margined in.
    function setMarket(MarketCase calldata market) public {
        _global = market.global;
        _decorrelations = market.decorrelations;
        _scenarios = SSTORE2.write(market.scenarios);
        _progress = market.progress;
        for (uint256 i = 0; i < market.underlyings.length; ++i) {
            _underlyings[market.underlyings[i].underlying] = market.underlyings[i];
        }
        for (uint256 i = 0; i < market.slices.length; ++i) {
            SliceCase calldata s = market.slices[i];
            _slices[s.underlying][s.expiry] = s;
        }
        for (uint256 i = 0; i < market.collaterals.length; ++i) {
            _collaterals[market.collaterals[i].asset] = market.collaterals[i];
        }
    }

    /// @inheritdoc IMarketData
    function spot(uint8 underlying)
        external
        view
        returns (uint256, uint256, uint256, uint256, uint256)
    {
        UnderlyingCase storage u = _underlyings[underlying];
        if (u.index == 0) revert MissingPrice(underlying, 0);
        return (u.index, u.confidence, u.mark, u.stableIndex, u.timestamp);
    }

    /// @inheritdoc IMarketData
    function slice(uint8 underlying, uint32 expiry, uint256)
        external
        view
        returns (uint256, uint256, uint256, uint256)
    {
        SliceCase storage s = _slices[underlying][expiry];
        if (s.forward == 0) revert MissingPrice(underlying, expiry);
        return (s.forward, s.discount, s.svi, s.timestamp);
    }

    /// @inheritdoc IMarketData
    function settlementPrice(uint8 underlying, uint32 expiry) external view returns (uint256) {
        return _slices[underlying][expiry].settlementPrice;
    }

    /// @inheritdoc IMarketData
    function collateralRate(uint8 asset) external view returns (uint256, uint256, uint256) {
        CollateralCase storage c = _collaterals[asset];
        if (c.rate == 0) revert MissingCollateralRate(asset);
        return (c.rate, c.stableRate, c.timestamp);
    }

    /// @inheritdoc IParameters
    function globalParameters() external view returns (GlobalParameters memory) {
        return _global;
    }

    /// @inheritdoc IParameters
    function scenarioPointer() external view returns (address, uint256) {
        return (_scenarios, _progress);
    }

    /// @dev The risk model reads the packed ones.
    /// @inheritdoc IParameters
    function scenarios() external pure returns (Scenario[] memory list) {}

    /// @inheritdoc IParameters
    function decorrelations() external view returns (uint64[8] memory) {
        return _decorrelations;
    }

    /// @inheritdoc IParameters
    function underlyingParameters(uint8 underlying)
        external
        view
        returns (UnderlyingParameters memory)
    {
        return _underlyings[underlying].parameters;
    }

    /// @inheritdoc IParameters
    function scanRanges(uint8 underlying) external view returns (uint256, uint256) {
        UnderlyingCase storage u = _underlyings[underlying];
        return (u.scanRange, u.initialScanRange);
    }

    /// @inheritdoc IParameters
    function isExpiryListed(uint8 underlying, uint32 expiry) external view returns (bool) {
        return _slices[underlying][expiry].forward != 0;
    }

    /// @inheritdoc IParameters
    function collateralParameters(uint8 asset)
        external
        view
        returns (CollateralParameters memory)
    {
        return _collaterals[asset].parameters;
    }

    /// @inheritdoc IParameters
    function interestParameters() external pure returns (InterestParameters memory parameters) {}
}
