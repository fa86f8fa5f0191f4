// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";

import {Parameters} from "./Parameters.sol";
import {IMarketData} from "./interfaces/IMarketData.sol";
import {IVolatilityEstimator} from "./interfaces/IVolatilityEstimator.sol";
import {Ranges} from "./margin/Ranges.sol";
import {ScanRange} from "./margin/ScanRange.sol";
import {FixedPoint} from "./math/FixedPoint.sol";
import {Transcendental} from "./math/Transcendental.sol";
import {Ewma} from "./oracle/Ewma.sol";
import {GlobalParameters} from "./types/Types.sol";

/// @title Estimator of volatilities that scan ranges follow (specification, Market data, section 7)
/// @notice Weight and return are of the same span of active time, so that whoever chooses when to
/// sample cannot bias the estimate; a return counts up to a bound that the estimate itself sets, so
/// that whoever decides some of the prices cannot move it far.
contract VolatilityEstimator is IVolatilityEstimator, AccessManaged {
    uint256 public constant MAX_UNDERLYINGS = 8;

    /// @dev A triangle of `MAX_UNDERLYINGS` rows.
    uint256 private constant PAIRS = 36;

    Parameters public immutable PARAMETERS;
    IMarketData public immutable MARKET_DATA;

    struct Anchor {
        uint96 price;
        uint40 activeAt;
    }

    /// @dev Standard deviation of a day on its way, WAD; below 2^68, as variances are below 2^23.
    struct Deviation {
        uint72 deviation;
        uint72 target;
        uint40 movedAt;
    }

    struct Settings {
        uint32 intervalSeconds;
        uint32 decaySeconds;
        uint72 maxDeviation;
        uint40 sampledAt;
    }

    /// @inheritdoc IVolatilityEstimator
    Settings public estimator = Settings(3600, 864_000, 6e18, 0);

    /// @inheritdoc IVolatilityEstimator
    mapping(uint8 underlying => Anchor) public anchor;

    uint8[] private _basket;
    /// @dev One more than the place in the basket; 0 for none.
    mapping(uint8 underlying => uint256) private _places;
    int64[PAIRS] private _covariances;
    mapping(uint8 underlying => Deviation) private _deviations;

    /// @param authority The `AccessManager`.
    /// @param parameters Owns the clock and the scan ranges.
    /// @param marketData Prices.
    constructor(address authority, Parameters parameters, IMarketData marketData)
        AccessManaged(authority)
    {
        PARAMETERS = parameters;
        MARKET_DATA = marketData;
    }

    /// @inheritdoc IVolatilityEstimator
    function addUnderlying(uint8 underlying, uint256 annualVolatility) external restricted {
        Ranges.requireIn("annualVolatility", annualVolatility, 0.05e18, 5e18);
        uint256 place = _basket.length;
        if (_places[underlying] != 0) revert AlreadyInBasket(underlying);
        if (place == MAX_UNDERLYINGS) revert BasketFull(MAX_UNDERLYINGS);
        _basket.push(underlying);
        _places[underlying] = place + 1;
        int64 first = Ewma.varianceOf(annualVolatility);
        _covariances[Ewma.index(place, place)] = first;
        uint72 deviation = uint72(Ewma.dailyDeviation(first));
        _deviations[underlying] =
            Deviation(deviation, deviation, uint40(PARAMETERS.activeTime()));
        emit UnderlyingAdded(underlying, annualVolatility);
    }

    /// @inheritdoc IVolatilityEstimator
    function setEstimator(uint256 intervalSeconds, uint256 decaySeconds, uint256 maxDeviation)
        external
        restricted
    {
        Ranges.requireIn("intervalSeconds", intervalSeconds, 60, 1 days);
        Ranges.requireIn("decaySeconds", decaySeconds, 1 days, 365 days);
        Ranges.requireIn("maxDeviation", maxDeviation, 2e18, 20e18);
        Settings memory s = estimator;
        estimator = Settings(
            uint32(intervalSeconds), uint32(decaySeconds), uint72(maxDeviation), s.sampledAt
        );
        emit EstimatorSet(
            s.intervalSeconds,
            s.decaySeconds,
            s.maxDeviation,
            intervalSeconds,
            decaySeconds,
            maxDeviation
        );
    }

    /// @inheritdoc IVolatilityEstimator
    function sample() external {
        Settings memory s = estimator;
        uint256 time = PARAMETERS.activeTime();
        uint256 earliest = uint256(s.sampledAt) + s.intervalSeconds;
        if (time < earliest) revert SampleTooEarly(time, earliest);
        estimator.sampledAt = uint40(time);

        uint8[] memory underlyings = _basket;
        int64[PAIRS] memory c = _covariances;
        (uint256[] memory spans, int256[] memory returns_) = _observe(underlyings, c, s, time);
        for (uint256 i; i < underlyings.length; ++i) {
            if (spans[i] == 0) continue;
            uint256 weight = Ewma.weightX64(spans[i], s.decaySeconds);
            for (uint256 j = i; j < underlyings.length; ++j) {
                if (spans[j] != spans[i]) continue;
                uint256 k = Ewma.index(i, j);
                int256 value = Ewma.updated(c[k], returns_[i], returns_[j], spans[i], weight);
                if (i == j) value = FixedPoint.max(value, Ewma.MIN_VARIANCE);
                // Within ±(2^63 - 1), as `updated` says.
                c[k] = int64(value);
            }
        }
        _covariances = c;
        emit Sampled(time, c);
        GlobalParameters memory rates = PARAMETERS.globalParameters();
        for (uint256 i; i < underlyings.length; ++i) {
            if (spans[i] == 0) continue;
            uint256 target = Ewma.dailyDeviation(c[Ewma.index(i, i)]);
            (uint256 moved,) = _moved(underlyings[i], time, rates);
            _deviations[underlyings[i]] = Deviation(uint72(moved), uint72(target), uint40(time));
            PARAMETERS.moveScanRange(underlyings[i], target);
        }
    }

    /// @inheritdoc IVolatilityEstimator
    function variance(uint8 underlying) external view returns (uint256) {
        return uint256(covariance(underlying, underlying));
    }

    /// @inheritdoc IVolatilityEstimator
    function covariance(uint8 u, uint8 v) public view returns (int256) {
        return Ewma.toWad(_covariance(_placeOf(u), _placeOf(v)));
    }

    /// @inheritdoc IVolatilityEstimator
    function correlation(uint8 u, uint8 v) external view returns (int256) {
        (uint256 i, uint256 j) = (_placeOf(u), _placeOf(v));
        return Ewma.correlation(_covariance(i, j), _covariance(i, i), _covariance(j, j));
    }

    /// @inheritdoc IVolatilityEstimator
    function deviations(uint8[] calldata underlyings)
        external
        view
        returns (uint256[] memory current, uint256[] memory initial)
    {
        uint256 count = underlyings.length;
        (current, initial) = (new uint256[](count), new uint256[](count));
        uint256 time = PARAMETERS.activeTime();
        GlobalParameters memory rates = PARAMETERS.globalParameters();
        for (uint256 i; i < count; ++i) {
            _placeOf(underlyings[i]);
            (current[i], initial[i]) = _moved(underlyings[i], time, rates);
        }
    }

    /// @inheritdoc IVolatilityEstimator
    function basket() external view returns (uint8[] memory) {
        return _basket;
    }

    /// @inheritdoc IVolatilityEstimator
    function covariances() external view returns (int64[PAIRS] memory) {
        return _covariances;
    }

    /// @dev Moves the anchors of all that are fresh.
    /// @return spans Time since the anchor before; 0 where there is no return.
    /// @return returns_ Winsorised returns over it, X64.
    function _observe(
        uint8[] memory underlyings,
        int64[PAIRS] memory c,
        Settings memory s,
        uint256 time
    ) private returns (uint256[] memory spans, int256[] memory returns_) {
        spans = new uint256[](underlyings.length);
        returns_ = new int256[](underlyings.length);
        for (uint256 i; i < underlyings.length; ++i) {
            uint256 price = _freshPrice(underlyings[i], s.intervalSeconds);
            if (price == 0) continue;
            Anchor memory before = anchor[underlyings[i]];
            anchor[underlyings[i]] = Anchor(uint96(price), uint40(time));
            if (before.price == 0) continue;
            uint256 span = time - before.activeAt;
            spans[i] = span;
            returns_[i] = Ewma.winsorised(
                Transcendental.lnRatioX64(price, before.price),
                c[Ewma.index(i, i)],
                s.maxDeviation,
                span
            );
        }
    }

    /// @return current Where the moving deviation has got to.
    /// @return initial What initial margin is to be scaled to, at least as much.
    function _moved(uint8 underlying, uint256 time, GlobalParameters memory rates)
        private
        view
        returns (uint256 current, uint256 initial)
    {
        Deviation memory d = _deviations[underlying];
        current = ScanRange.moved(
            d.deviation,
            d.target,
            time > d.movedAt ? time - d.movedAt : 0,
            rates.riseRate,
            rates.fallRate
        );
        initial = FixedPoint.max(current, d.target);
    }

    /// @return price Zero if there never was one, or it is too old or disputed. Any other failure
    /// is passed on: if it were taken for no price, a caller short of gas could choose who is left
    /// out.
    function _freshPrice(uint8 underlying, uint256 maxAge) private view returns (uint256 price) {
        try MARKET_DATA.spot(underlying) returns (
            uint256 index, uint256, uint256, uint256, uint256 timestamp
        ) {
            if (timestamp != 0 && block.timestamp <= timestamp + maxAge) price = index;
        } catch (bytes memory reason) {
            if (bytes4(reason) == IMarketData.MissingPrice.selector) return 0;
            // Hands on what the call reverted with: `reason` is a length and as many bytes.
            assembly ("memory-safe") {
                revert(add(reason, 32), mload(reason))
            }
        }
    }

    function _placeOf(uint8 underlying) private view returns (uint256 place) {
        place = _places[underlying];
        if (place == 0) revert NotInBasket(underlying);
        return place - 1;
    }

    function _covariance(uint256 i, uint256 j) private view returns (int256) {
        return _covariances[i < j ? Ewma.index(i, j) : Ewma.index(j, i)];
    }
}
