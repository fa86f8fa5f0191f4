// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMarketData} from "../interfaces/IMarketData.sol";

/// @title Market data as a test says, without question
contract MarketDouble is IMarketData {
    struct Spot {
        uint256 index;
        uint256 confidence;
        uint256 mark;
        uint256 stableIndex;
        uint256 timestamp;
    }

    struct Slice {
        uint256 forward;
        uint256 discount;
        uint256 svi;
        uint256 timestamp;
    }

    struct Rate {
        uint256 rate;
        uint256 stableRate;
        uint256 timestamp;
    }

    mapping(uint8 underlying => Spot) private _spots;
    mapping(uint8 underlying => mapping(uint32 expiry => Slice)) private _slices;
    mapping(uint8 asset => Rate) private _rates;

    /// @inheritdoc IMarketData
    mapping(uint8 underlying => mapping(uint32 expiry => uint256)) public settlementPrice;

    function setSpot(uint8 underlying, Spot calldata spot_) external {
        _spots[underlying] = spot_;
    }

    function setSlice(uint8 underlying, uint32 expiry, Slice calldata slice_) external {
        _slices[underlying][expiry] = slice_;
    }

    function setRate(uint8 asset, Rate calldata rate_) external {
        _rates[asset] = rate_;
    }

    function setSettlementPrice(uint8 underlying, uint32 expiry, uint256 price) external {
        settlementPrice[underlying][expiry] = price;
    }

    /// @inheritdoc IMarketData
    function spot(uint8 underlying)
        external
        view
        returns (uint256, uint256, uint256, uint256, uint256)
    {
        Spot storage s = _spots[underlying];
        if (s.index == 0) revert MissingPrice(underlying, 0);
        return (s.index, s.confidence, s.mark, s.stableIndex, s.timestamp);
    }

    /// @inheritdoc IMarketData
    function slice(uint8 underlying, uint32 expiry, uint256)
        external
        view
        returns (uint256, uint256, uint256, uint256)
    {
        Slice storage s = _slices[underlying][expiry];
        if (s.forward == 0) revert MissingPrice(underlying, expiry);
        return (s.forward, s.discount, s.svi, s.timestamp);
    }

    /// @inheritdoc IMarketData
    function collateralRate(uint8 asset) external view returns (uint256, uint256, uint256) {
        Rate storage r = _rates[asset];
        if (r.rate == 0) revert MissingCollateralRate(asset);
        return (r.rate, r.stableRate, r.timestamp);
    }
}
