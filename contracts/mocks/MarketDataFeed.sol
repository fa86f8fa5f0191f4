// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";

import {IMarketData} from "../interfaces/IMarketData.sol";
import {Svi} from "../math/Svi.sol";

/// @title Market data as a trusted poster sends it
/// @notice For tests, demonstrations and testnets: one poster, no second source. What is nonsense
/// whoever says it is refused: zero prices, discount factors above one, times ahead of the block
/// or before what is known already, slices with butterfly arbitrage, slices of one underlying
/// posted together with calendar arbitrage, a second settlement price. All values are WAD in USD,
/// timestamps Unix seconds. The errors of slices are those of `Svi`.
contract MarketDataFeed is IMarketData, AccessManaged {
    /// @param underlying Underlying id.
    /// @param index Index price.
    /// @param confidence Half-width of the price interval, below the index.
    /// @param mark Mark price of the perpetual.
    /// @param stableIndex Rate-limited index.
    /// @param timestamp Time of the oldest input.
    struct SpotUpdate {
        uint8 underlying;
        uint96 index;
        uint96 confidence;
        uint96 mark;
        uint96 stableIndex;
        uint40 timestamp;
    }

    /// @param underlying Underlying id.
    /// @param expiry Expiry the slice is of, after its timestamp.
    /// @param forward Forward price.
    /// @param discount Discount factor, at most one.
    /// @param svi Packed SVI slice (specification, Mathematics).
    /// @param timestamp Time of the oldest input.
    struct SliceUpdate {
        uint8 underlying;
        uint32 expiry;
        uint96 forward;
        uint64 discount;
        uint256 svi;
        uint40 timestamp;
    }

    /// @param asset Collateral asset id.
    /// @param rate Units of its underlying per whole token; USD if it is cash-like.
    /// @param stableRate Rate-limited rate.
    /// @param timestamp Time of the oldest input.
    struct CollateralRateUpdate {
        uint8 asset;
        uint96 rate;
        uint96 stableRate;
        uint40 timestamp;
    }

    /// @param underlying Underlying id.
    /// @param expiry Expiry that has passed.
    /// @param price Its final settlement price.
    struct SettlementUpdate {
        uint8 underlying;
        uint32 expiry;
        uint96 price;
    }

    /// @dev Two slots, one of them for what changes most.
    struct Spot {
        uint96 index;
        uint96 mark;
        uint40 timestamp;
        uint96 stableIndex;
        uint96 confidence;
    }

    /// @dev Two slots.
    struct Slice {
        uint96 forward;
        uint64 discount;
        uint40 timestamp;
        uint256 svi;
    }

    /// @dev One slot.
    struct CollateralRate {
        uint96 rate;
        uint96 stableRate;
        uint40 timestamp;
    }

    mapping(uint8 underlying => Spot) private _spots;
    mapping(uint8 underlying => mapping(uint32 expiry => Slice)) private _slices;
    mapping(uint8 underlying => mapping(uint32 expiry => uint256)) private _settlementPrices;
    mapping(uint8 asset => CollateralRate) private _collateralRates;

    event SpotPosted(
        uint8 indexed underlying,
        uint256 index,
        uint256 confidence,
        uint256 mark,
        uint256 stableIndex,
        uint256 timestamp
    );
    event SlicePosted(
        uint8 indexed underlying,
        uint32 indexed expiry,
        uint256 forward,
        uint256 discount,
        uint256 svi,
        uint256 timestamp
    );
    event CollateralRatePosted(
        uint8 indexed asset, uint256 rate, uint256 stableRate, uint256 timestamp
    );
    event SettlementPricePosted(uint8 indexed underlying, uint32 indexed expiry, uint256 price);

    /// @notice Underlyings and assets are numbered from one.
    error InvalidId();

    /// @notice A price, rate or discount factor of zero.
    error ZeroPrice(bytes32 name);

    /// @notice The price may be anywhere.
    error ConfidenceAboveIndex(uint8 underlying, uint256 confidence, uint256 index);

    /// @notice One USD later is worth at most one USD now.
    error DiscountAboveOne(uint8 underlying, uint32 expiry, uint256 discount);

    /// @param authority The `AccessManager`, which names the poster.
    constructor(address authority) AccessManaged(authority) {}

    /// @notice Posts a whole market, or any part of it: all that is given or, on an error, nothing.
    /// @param slices Those of one underlying one after the other, by expiry.
    function post(
        SpotUpdate[] calldata spots,
        SliceUpdate[] calldata slices,
        CollateralRateUpdate[] calldata collateralRates,
        SettlementUpdate[] calldata settlements
    ) external restricted {
        for (uint256 i = 0; i < spots.length; ++i) {
            _postSpot(spots[i]);
        }
        for (uint256 i = 0; i < slices.length; ++i) {
            _postSlice(slices[i]);
            if (i > 0) _requireCalendarFree(slices[i - 1], slices[i]);
        }
        for (uint256 i = 0; i < collateralRates.length; ++i) {
            _postCollateralRate(collateralRates[i]);
        }
        for (uint256 i = 0; i < settlements.length; ++i) {
            _postSettlement(settlements[i]);
        }
    }

    /// @inheritdoc IMarketData
    function spot(uint8 underlying)
        external
        view
        returns (
            uint256 index,
            uint256 confidence,
            uint256 mark,
            uint256 stableIndex,
            uint256 timestamp
        )
    {
        Spot memory s = _spots[underlying];
        if (s.index == 0) revert MissingPrice(underlying, 0);
        return (s.index, s.confidence, s.mark, s.stableIndex, s.timestamp);
    }

    /// @inheritdoc IMarketData
    function slice(uint8 underlying, uint32 expiry, uint256)
        external
        view
        returns (uint256 forward, uint256 discount, uint256 svi, uint256 timestamp)
    {
        Slice memory s = _slices[underlying][expiry];
        if (s.forward == 0) revert MissingPrice(underlying, expiry);
        return (s.forward, s.discount, s.svi, s.timestamp);
    }

    /// @inheritdoc IMarketData
    function settlementPrice(uint8 underlying, uint32 expiry) external view returns (uint256) {
        return _settlementPrices[underlying][expiry];
    }

    /// @inheritdoc IMarketData
    function collateralRate(uint8 asset)
        external
        view
        returns (uint256 rate, uint256 stableRate, uint256 timestamp)
    {
        CollateralRate memory c = _collateralRates[asset];
        if (c.rate == 0) revert MissingCollateralRate(asset);
        return (c.rate, c.stableRate, c.timestamp);
    }

    function _postSpot(SpotUpdate calldata s) private {
        _requireId(s.underlying);
        _requirePrice("index", s.index);
        _requirePrice("mark", s.mark);
        _requirePrice("stableIndex", s.stableIndex);
        if (s.confidence > s.index) {
            revert ConfidenceAboveIndex(s.underlying, s.confidence, s.index);
        }
        _requireTimestamp(s.timestamp, _spots[s.underlying].timestamp);
        _spots[s.underlying] = Spot({
            index: s.index,
            mark: s.mark,
            timestamp: s.timestamp,
            stableIndex: s.stableIndex,
            confidence: s.confidence
        });
        emit SpotPosted(
            s.underlying, s.index, s.confidence, s.mark, s.stableIndex, s.timestamp
        );
    }

    function _postSlice(SliceUpdate calldata s) private {
        _requireId(s.underlying);
        _requirePrice("forward", s.forward);
        _requirePrice("discount", s.discount);
        if (s.discount > 1e18) revert DiscountAboveOne(s.underlying, s.expiry, s.discount);
        if (s.expiry <= s.timestamp) revert SliceExpired(s.underlying, s.expiry, s.timestamp);
        Svi.requireButterflyFree(s.svi);
        _requireTimestamp(s.timestamp, _slices[s.underlying][s.expiry].timestamp);
        _slices[s.underlying][s.expiry] = Slice({
            forward: s.forward, discount: s.discount, timestamp: s.timestamp, svi: s.svi
        });
        emit SlicePosted(s.underlying, s.expiry, s.forward, s.discount, s.svi, s.timestamp);
    }

    function _postCollateralRate(CollateralRateUpdate calldata c) private {
        _requireId(c.asset);
        _requirePrice("rate", c.rate);
        _requirePrice("stableRate", c.stableRate);
        _requireTimestamp(c.timestamp, _collateralRates[c.asset].timestamp);
        _collateralRates[c.asset] =
            CollateralRate({rate: c.rate, stableRate: c.stableRate, timestamp: c.timestamp});
        emit CollateralRatePosted(c.asset, c.rate, c.stableRate, c.timestamp);
    }

    function _postSettlement(SettlementUpdate calldata s) private {
        _requireId(s.underlying);
        _requirePrice("settlementPrice", s.price);
        if (s.expiry == 0 || s.expiry > block.timestamp) {
            revert SettlementTooEarly(s.underlying, s.expiry, block.timestamp);
        }
        uint256 known = _settlementPrices[s.underlying][s.expiry];
        if (known != 0) revert SettlementFinal(s.underlying, s.expiry, known, s.price);
        _settlementPrices[s.underlying][s.expiry] = s.price;
        emit SettlementPricePosted(s.underlying, s.expiry, s.price);
    }

    function _requireCalendarFree(SliceUpdate calldata near, SliceUpdate calldata far)
        private
        pure
    {
        if (near.underlying != far.underlying) return;
        if (near.expiry >= far.expiry) {
            revert SlicesNotAscending(far.underlying, far.expiry, near.expiry);
        }
        Svi.requireCalendarFree(near.svi, far.svi);
    }

    function _requireId(uint8 id) private pure {
        if (id == 0) revert InvalidId();
    }

    function _requirePrice(bytes32 name, uint256 price) private pure {
        if (price == 0) revert ZeroPrice(name);
    }

    /// @dev The same time again is admitted: a correction of the same observation.
    function _requireTimestamp(uint256 timestamp, uint256 previous) private view {
        if (timestamp > block.timestamp) revert TimestampAhead(timestamp, block.timestamp);
        if (timestamp < previous) revert TimestampBackwards(timestamp, previous);
    }
}
