// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";

import {IMarketData} from "./interfaces/IMarketData.sol";
import {
    Aggregate,
    FeedParameters,
    IOracleHub,
    MarketView,
    Observation,
    SliceView,
    Source,
    SurfaceParameters,
    Trail
} from "./interfaces/IOracleHub.sol";
import {IOutageClock} from "./interfaces/IOutageClock.sol";
import {IParameters} from "./interfaces/IParameters.sol";
import {IPriceSource} from "./interfaces/IPriceSource.sol";
import {ISignedReports} from "./interfaces/ISignedReports.sol";
import {Ranges} from "./margin/Ranges.sol";
import {FixedPoint} from "./math/FixedPoint.sol";
import {Svi} from "./math/Svi.sol";
import {Aggregation} from "./oracle/Aggregation.sol";
import {Limits, Observations} from "./oracle/Observations.sol";
import {SettlementWindow} from "./oracle/SettlementWindow.sol";
import {ExpiryWords, Slice, Surfaces} from "./oracle/Surfaces.sol";
import {SurfaceReport} from "./types/Types.sol";

/// @title Market data that no single source decides
/// @notice Specification, Market data, sections 3 to 6. Keeps one observation per feed, one slice
/// per expiry and the average before each hour. All arithmetic is in the libraries of `oracle/`;
/// here sources are asked, values stored and events emitted.
/// @dev Sources are called statically, with a limit of gas and of return data: whatever one of them
/// does, it does not count and nothing else happens.
contract OracleHub is IOracleHub, AccessManaged {
    /// @dev First two slots what every read of the price needs, the rest by need.
    struct Feed {
        uint96 minPrice;
        uint96 maxPrice;
        uint8 quorum;
        uint8 sourceCount;
        uint64 maxMove;
        uint64 stableRate;
        uint64 markBand;
        Source markSource;
        Source[5] sources;
    }

    /// @notice Gas of a call to a source.
    uint256 public constant SOURCE_GAS = 200_000;

    uint256 public constant MAX_SOURCES = 5;

    /// @dev More than a call with `SOURCE_GAS` can take, access to a cold account included.
    uint256 private constant GAS_AT_HAND = (SOURCE_GAS + 5000) * 64 / 63;
    uint256 private constant MAX_TIME_AHEAD = 60;
    uint256 private constant COLLATERAL_FEEDS = 256;
    uint256 private constant MAX_FEED = 511;
    uint256 private constant MAX_PRICE = 2 ** 95 - 1;
    uint256 private constant MAX_PRICE_RATIO = 10_000;
    uint256 private constant MAX_REPORT_AGE = 1 hours;
    uint256 private constant GOVERNOR_SETTLES_AFTER = 1 days;
    uint40 private constant ALWAYS = type(uint40).max;

    /// @dev `Parameters`, which lists the expiries as well.
    IOutageClock public immutable CLOCK;
    ISignedReports public immutable REPORTS;

    /// @inheritdoc IMarketData
    mapping(uint8 underlying => mapping(uint32 expiry => uint256)) public settlementPrice;

    mapping(uint16 feed => Feed) private _feeds;
    mapping(uint16 feed => Observation) private _observations;
    mapping(uint16 feed => Trail) private _trails;
    mapping(uint8 underlying => mapping(uint32 expiry => Slice)) private _slices;
    mapping(uint8 underlying => ExpiryWords) private _expiries;
    mapping(uint8 underlying => SurfaceParameters) private _surfaces;

    /// @param authority The `AccessManager`.
    /// @param clock Clock that stands still during outages, and `IParameters` that lists expiries.
    /// @param reports Verifies signed surfaces.
    constructor(address authority, IOutageClock clock, ISignedReports reports)
        AccessManaged(authority)
    {
        CLOCK = clock;
        REPORTS = reports;
    }

    // ---------------------------------------------------------------------------------------------
    // Governance
    // ---------------------------------------------------------------------------------------------

    /// @inheritdoc IOracleHub
    function setFeed(uint16 feed, FeedParameters calldata parameters) external restricted {
        _requireFeedInRange(feed, parameters);
        FeedParameters memory old = feedParameters(feed);
        if (old.minPrice != 0) _requireSameKind(old, parameters);
        // Stored as the old sources have it, what is in force stays so in this block.
        if (_observations[feed].price != 0 && old.sources.length != 0) _observe(feed);
        uint256 count = parameters.sources.length;
        Feed storage f = _feeds[feed];
        (f.minPrice, f.maxPrice) = (parameters.minPrice, parameters.maxPrice);
        (f.quorum, f.sourceCount) = (parameters.quorum, uint8(count));
        (f.maxMove, f.stableRate) = (parameters.maxMove, parameters.stableRate);
        (f.markBand, f.markSource) = (parameters.markBand, parameters.markSource);
        for (uint256 i = 0; i < MAX_SOURCES; ++i) {
            if (i < count) f.sources[i] = parameters.sources[i];
            else delete f.sources[i];
        }
        if (count == 0) _observations[feed] = _fixed(parameters.minPrice);
        _observations[feed].cacheSeconds = parameters.cacheSeconds;
        emit FeedSet(feed, old, parameters);
    }

    /// @inheritdoc IOracleHub
    function setSurface(uint8 underlying, SurfaceParameters calldata parameters)
        external
        restricted
    {
        Ranges.requireIn("maxVolMove", parameters.maxVolMove, 0.01e18, 10e18);
        Ranges.requireIn("maxForwardMove", parameters.maxForwardMove, 0.0001e18, 1e18);
        Ranges.requireIn("minIntervalSeconds", parameters.minIntervalSeconds, 1, 1 days);
        SurfaceParameters memory old = surfaceParameters(underlying);
        _surfaces[underlying] = parameters;
        emit SurfaceSet(underlying, old, parameters);
    }

    /// @inheritdoc IOracleHub
    function settleUncovered(uint8 underlying, uint32 expiry, uint256 price) external restricted {
        if (block.timestamp < uint256(expiry) + GOVERNOR_SETTLES_AFTER) {
            revert SettlementTooEarly(underlying, expiry, block.timestamp);
        }
        uint256 known = settlementPrice[underlying][expiry];
        if (known != 0) revert SettlementFinal(underlying, expiry, known, price);
        Feed storage f = _feeds[underlying];
        if (f.minPrice == 0) revert UnknownFeed(underlying);
        Ranges.requireIn("price", price, f.minPrice, f.maxPrice);
        settlementPrice[underlying][expiry] = price;
        emit Settled(underlying, expiry, price, 0);
    }

    // ---------------------------------------------------------------------------------------------
    // Observation
    // ---------------------------------------------------------------------------------------------

    /// @inheritdoc IOracleHub
    function observe(uint16 feed) external {
        _observe(feed);
    }

    /// @inheritdoc IOracleHub
    function observeMany(uint16[] calldata feeds) external {
        for (uint256 i = 0; i < feeds.length; ++i) {
            _observe(feeds[i]);
        }
    }

    // ---------------------------------------------------------------------------------------------
    // Surface
    // ---------------------------------------------------------------------------------------------

    /// @inheritdoc IOracleHub
    function postSurface(SurfaceReport calldata report) external restricted {
        _postSurface(report);
    }

    /// @inheritdoc IOracleHub
    function postSignedSurface(SurfaceReport calldata report, bytes[] calldata signatures)
        external
    {
        REPORTS.requireSigned(REPORTS.surfaceDigest(report), signatures);
        _postSurface(report);
    }

    // ---------------------------------------------------------------------------------------------
    // Views
    // ---------------------------------------------------------------------------------------------

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
        Observation memory o = _spotInForce(underlying);
        return (o.price, o.confidence, o.mark, o.stablePrice, _usableTime(o, CLOCK.isOutage()));
    }

    /// @inheritdoc IMarketData
    function slice(uint8 underlying, uint32 expiry, uint256 index)
        external
        view
        returns (uint256 forward, uint256 discount, uint256 svi, uint256 timestamp)
    {
        Slice memory s = _slices[underlying][expiry];
        if (s.forwardRatio == 0 || expiry <= block.timestamp) {
            revert MissingPrice(underlying, expiry);
        }
        return (
            Surfaces.forward(index, s.forwardRatio),
            s.discount,
            Surfaces.decayed(s.svi, s.timestamp, expiry, block.timestamp),
            s.timestamp
        );
    }

    /// @inheritdoc IMarketData
    function collateralRate(uint8 asset)
        external
        view
        returns (uint256 rate, uint256 stableRate, uint256 timestamp)
    {
        Observation memory o = _inForce(uint16(COLLATERAL_FEEDS + asset));
        if (o.price == 0) revert MissingCollateralRate(asset);
        uint256 stable = FixedPoint.min(o.stablePrice, o.price - o.confidence);
        return (o.price, FixedPoint.max(1, stable), _usableTime(o, CLOCK.isOutage()));
    }

    /// @inheritdoc IOracleHub
    function snapshot(uint8[] calldata underlyings)
        external
        view
        returns (MarketView[] memory markets)
    {
        bool outage = CLOCK.isOutage();
        markets = new MarketView[](underlyings.length);
        for (uint256 i = 0; i < markets.length; ++i) {
            uint8 underlying = underlyings[i];
            Observation memory o = _spotInForce(underlying);
            MarketView memory market = markets[i];
            (market.index, market.confidence) = (o.price, o.confidence);
            (market.mark, market.stableIndex) = (o.mark, o.stablePrice);
            market.timestamp = _usableTime(o, outage);
            market.slices = _liveSlices(underlying, o.price);
        }
    }

    /// @inheritdoc IOracleHub
    function aggregate(uint16 feed) external view returns (Aggregate memory) {
        return _aggregate(_feedWithSources(feed));
    }

    /// @inheritdoc IOracleHub
    function observation(uint16 feed) external view returns (Observation memory) {
        return _observations[feed];
    }

    /// @inheritdoc IOracleHub
    function trail(uint16 feed) external view returns (Trail memory) {
        return _trails[feed];
    }

    /// @inheritdoc IOracleHub
    function feedParameters(uint16 feed) public view returns (FeedParameters memory) {
        Feed storage f = _feeds[feed];
        Source[] memory sources = new Source[](f.sourceCount);
        for (uint256 i = 0; i < sources.length; ++i) {
            sources[i] = f.sources[i];
        }
        return FeedParameters({
            sources: sources,
            quorum: f.quorum,
            minPrice: f.minPrice,
            maxPrice: f.maxPrice,
            maxMove: f.maxMove,
            stableRate: f.stableRate,
            markBand: f.markBand,
            cacheSeconds: _observations[feed].cacheSeconds,
            markSource: f.markSource
        });
    }

    /// @inheritdoc IOracleHub
    function surfaceParameters(uint8 underlying) public view returns (SurfaceParameters memory p) {
        p = _surfaces[underlying];
        if (p.minIntervalSeconds != 0) return p;
        return SurfaceParameters({
            maxVolMove: 0.5e18, maxForwardMove: 0.02e18, minIntervalSeconds: 60
        });
    }

    /// @inheritdoc IOracleHub
    function liveExpiries(uint8 underlying) public view returns (uint32[] memory) {
        ExpiryWords memory words;
        words.first = _expiries[underlying].first;
        if (Surfaces.isFull(words.first)) words.second = _expiries[underlying].second;
        return Surfaces.unpackAhead(words, block.timestamp);
    }

    // ---------------------------------------------------------------------------------------------
    // From answers to an observation
    // ---------------------------------------------------------------------------------------------

    function _observe(uint16 feed) private {
        Feed storage f = _feedWithSources(feed);
        Observation memory last = _observations[feed];
        if (last.observedAt == block.timestamp) return;
        CLOCK.syncSequencer();
        (Aggregate memory a, Observation memory o, uint256 activeTime) = _next(feed, last);
        if (a.valid < f.quorum) emit QuorumMissed(feed, a.valid, f.quorum);
        if (o.observedAt != block.timestamp) return;
        // What is seen during an outage counts for no settlement either.
        if (CLOCK.isOutage()) o.disputed = true;
        _observations[feed] = o;
        _trails[feed].activeAt = uint40(activeTime);
        if (feed < COLLATERAL_FEEDS && last.price != 0) _advanceWindow(uint8(feed), last);
        emit Observed(
            feed, o.price, o.confidence, o.mark, o.stablePrice, o.timestamp, o.disputed
        );
    }

    /// @dev What the sources say now and the observation it makes; without a quorum the observation
    /// before. Where answers beyond the band complete the quorum the price before stays, observed
    /// anew, but disputed: no other is believed, and it is not either.
    function _next(uint16 feed, Observation memory last)
        private
        view
        returns (Aggregate memory a, Observation memory o, uint256 activeTime)
    {
        Feed storage f = _feeds[feed];
        a = _aggregate(f);
        bool isBeyond = a.valid < f.quorum;
        if (isBeyond) {
            if (a.valid + a.beyond < f.quorum || last.price == 0) return (a, last, 0);
            (a.price, a.confidence, a.timestamp) = (last.price, last.confidence, last.timestamp);
        }
        activeTime = CLOCK.activeTime();
        uint256 activeAt = _trails[feed].activeAt;
        o = Observations.next({
            last: last,
            aggregate: a,
            markAnswer: _markAnswer(f),
            limits: Limits(f.maxMove, f.stableRate, f.markBand),
            // After an outage came to light, time may have been counted that did not run.
            activeSeconds: activeTime > activeAt ? activeTime - activeAt : 0,
            time: block.timestamp
        });
        if (isBeyond) o.disputed = true;
    }

    function _inForce(uint16 feed) private view returns (Observation memory o) {
        o = _observations[feed];
        if (block.timestamp <= uint256(o.observedAt) + o.cacheSeconds || o.price == 0) return o;
        (, o,) = _next(feed, o);
    }

    function _spotInForce(uint8 underlying) private view returns (Observation memory o) {
        o = _inForce(underlying);
        if (o.price == 0) revert MissingPrice(underlying, 0);
    }

    function _usableTime(Observation memory o, bool outage) private view returns (uint256) {
        if (o.disputed || outage) return 0;
        return FixedPoint.min(o.timestamp, block.timestamp);
    }

    function _fixed(uint96 price) private pure returns (Observation memory o) {
        (o.price, o.stablePrice, o.mark) = (price, price, price);
        (o.timestamp, o.observedAt) = (ALWAYS, ALWAYS);
    }

    // ---------------------------------------------------------------------------------------------
    // Sources
    // ---------------------------------------------------------------------------------------------

    function _feedWithSources(uint16 feed) private view returns (Feed storage f) {
        f = _feeds[feed];
        if (f.sourceCount == 0) revert UnknownFeed(feed);
    }

    function _aggregate(Feed storage f) private view returns (Aggregate memory a) {
        (uint256 count, uint256 quorum) = (f.sourceCount, f.quorum);
        (uint256 low, uint256 high, uint256 answered) = (f.minPrice, f.maxPrice, 0);
        uint256[] memory prices = new uint256[](count);
        uint256[] memory confidences = new uint256[](count);
        uint256[] memory timestamps = new uint256[](count);
        for (uint256 i = 0; i < count; ++i) {
            (uint256 p, uint256 c, uint256 t) = _ask(f.sources[i]);
            if (t == 0 || c >= p) continue;
            if (p < low || p > high) {
                if (p > MAX_PRICE) continue;
                ++a.beyond;
            }
            (prices[answered], confidences[answered], timestamps[answered]) = (p, c, t);
            unchecked {
                ++answered;
            }
        }
        // Of those answered some are beyond.
        unchecked {
            a.valid = answered - a.beyond;
        }
        if (a.valid < quorum) return a;
        // Shortens the arrays in place: no more answered than there are. Those beyond the band are
        // among them, or a liar within it would weigh more; they are the fewer, so that the median
        // is within.
        assembly ("memory-safe") {
            mstore(prices, answered)
            mstore(confidences, answered)
            mstore(timestamps, answered)
        }
        (a.price, a.confidence, a.timestamp) =
            Aggregation.aggregate(prices, confidences, timestamps);
    }

    /// @dev Zero if there is no source, or it has no answer of an age that counts. Zero, answered,
    /// is 1, as far below every band.
    function _markAnswer(Feed storage f) private view returns (uint256) {
        Source memory s = f.markSource;
        if (s.source == address(0)) return 0;
        (uint256 price,, uint256 time) = _ask(s);
        return time == 0 ? 0 : FixedPoint.max(1, price);
    }

    /// @dev All zero unless the source answers, with a time that is neither too old nor ahead.
    function _ask(Source memory s)
        private
        view
        returns (uint256 price, uint256 confidence, uint256 timestamp)
    {
        if (gasleft() < GAS_AT_HAND) revert InsufficientGas(gasleft());
        bytes4 selector = IPriceSource.read.selector;
        address source = s.source;
        (bool answers, uint256 time) = (false, 0);
        // Memory beyond the free pointer serves for the call and its first three words; no more of
        // what is returned is copied.
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            mstore(buffer, selector)
            answers := staticcall(SOURCE_GAS, source, buffer, 4, buffer, 96)
            answers := and(answers, gt(returndatasize(), 95))
            price := mload(buffer)
            confidence := mload(add(buffer, 32))
            time := mload(add(buffer, 64))
        }
        if (!answers || time > block.timestamp + MAX_TIME_AHEAD) return (0, 0, 0);
        timestamp = FixedPoint.min(time, block.timestamp);
        if (block.timestamp > timestamp + s.maxAgeSeconds) return (0, 0, 0);
    }

    // ---------------------------------------------------------------------------------------------
    // Settlement
    // ---------------------------------------------------------------------------------------------

    /// @dev Counts the observation before in, and settles the expiry that has passed since.
    function _advanceWindow(uint8 underlying, Observation memory last) private {
        Trail storage t = _trails[underlying];
        (uint256 end, uint256 sum, uint256 covered) = SettlementWindow.advance({
            windowEnd: t.windowEnd,
            weightedSum: t.weightedSum,
            coveredSeconds: t.coveredSeconds,
            price: last.disputed ? 0 : last.price,
            observedAt: last.observedAt,
            time: block.timestamp
        });
        // The sum is at most 2^95 times the 1,800 seconds that are covered at most.
        (t.windowEnd, t.weightedSum, t.coveredSeconds) =
            (uint40(end), uint112(sum), uint16(covered));
        uint32 expiry = uint32(end);
        if (block.timestamp < end || _slices[underlying][expiry].forwardRatio == 0) return;
        if (settlementPrice[underlying][expiry] != 0) return;
        if (covered < SettlementWindow.LEAST_COVERED_SECONDS) {
            emit SettlementUncovered(underlying, expiry, covered);
            return;
        }
        settlementPrice[underlying][expiry] = sum / covered;
        emit Settled(underlying, expiry, sum / covered, covered);
    }

    // ---------------------------------------------------------------------------------------------
    // Posting slices
    // ---------------------------------------------------------------------------------------------

    function _postSurface(SurfaceReport calldata r) private {
        _requireReport(r);
        SurfaceParameters memory limits = surfaceParameters(r.underlying);
        uint32 previous;
        for (uint256 i = 0; i < r.expiries.length; ++i) {
            uint32 expiry = r.expiries[i];
            if (expiry <= previous) revert SlicesNotAscending(r.underlying, expiry, previous);
            previous = expiry;
            Slice memory posted = Slice({
                forwardRatio: r.forwardRatios[i],
                discount: r.discounts[i],
                timestamp: r.timestamp,
                postedAt: uint40(block.timestamp),
                svi: r.svis[i]
            });
            _postSlice(r.underlying, expiry, posted, limits);
        }
        uint32[] memory live =
            Surfaces.merge(r.underlying, liveExpiries(r.underlying), r.expiries);
        _expiries[r.underlying] = Surfaces.pack(live);
        _requireCalendarFree(r, live);
    }

    function _requireReport(SurfaceReport calldata r) private view {
        uint256 count = r.expiries.length;
        bool matches = r.forwardRatios.length == count && r.discounts.length == count
            && r.svis.length == count;
        if (count == 0 || !matches) revert LengthMismatch();
        if (r.timestamp > block.timestamp) revert TimestampAhead(r.timestamp, block.timestamp);
        if (r.timestamp + MAX_REPORT_AGE < block.timestamp) {
            revert TimestampBackwards(r.timestamp, block.timestamp - MAX_REPORT_AGE);
        }
        if (_observations[r.underlying].price == 0) revert MissingPrice(r.underlying, 0);
    }

    function _postSlice(
        uint8 underlying,
        uint32 expiry,
        Slice memory posted,
        SurfaceParameters memory limits
    ) private {
        if (expiry <= block.timestamp) revert SliceExpired(underlying, expiry, block.timestamp);
        if (!IParameters(address(CLOCK)).isExpiryListed(underlying, expiry)) {
            revert ExpiryNotListed(underlying, expiry);
        }
        Ranges.requireIn("forwardRatio", posted.forwardRatio, 0.2e18, 5e18);
        Ranges.requireIn("discount", posted.discount, 0.01e18, 1e18);
        Svi.requireButterflyFree(posted.svi);
        Slice memory known = _slices[underlying][expiry];
        if (known.forwardRatio != 0) {
            uint256 earliest = uint256(known.timestamp) + limits.minIntervalSeconds;
            if (posted.timestamp < earliest) revert TimestampBackwards(posted.timestamp, earliest);
            earliest = uint256(known.postedAt) + limits.minIntervalSeconds;
            if (block.timestamp < earliest) revert SliceTooEarly(block.timestamp, earliest);
            Surfaces.requireBoundedChange({
                underlying: underlying,
                expiry: expiry,
                oldSvi: _sviNow(known, expiry),
                newSvi: _sviNow(posted, expiry),
                oldRatio: known.forwardRatio,
                newRatio: posted.forwardRatio,
                limits: limits
            });
        }
        _slices[underlying][expiry] = posted;
        emit SlicePosted(
            underlying,
            expiry,
            posted.forwardRatio,
            posted.discount,
            posted.svi,
            posted.timestamp
        );
    }

    /// @dev Compares each posted slice with its neighbours among the live ones.
    function _requireCalendarFree(SurfaceReport calldata r, uint32[] memory live) private view {
        uint256 next;
        uint256 nearSvi;
        bool nearPosted;
        for (uint256 i = 0; i < live.length; ++i) {
            uint256 farSvi = _sviNow(_slices[r.underlying][live[i]], live[i]);
            bool farPosted = next < r.expiries.length && live[i] == r.expiries[next];
            if (farPosted) ++next;
            if (i > 0 && (nearPosted || farPosted)) Svi.requireCalendarFree(nearSvi, farSvi);
            (nearSvi, nearPosted) = (farSvi, farPosted);
        }
    }

    function _sviNow(Slice memory s, uint32 expiry) private view returns (uint256) {
        return Surfaces.decayed(s.svi, s.timestamp, expiry, block.timestamp);
    }

    function _liveSlices(uint8 underlying, uint256 index)
        private
        view
        returns (SliceView[] memory slices)
    {
        uint32[] memory expiries = liveExpiries(underlying);
        mapping(uint32 expiry => Slice) storage known = _slices[underlying];
        slices = new SliceView[](expiries.length);
        for (uint256 i = 0; i < slices.length; ++i) {
            uint32 expiry = expiries[i];
            Slice memory s = known[expiry];
            SliceView memory view_ = slices[i];
            view_.expiry = expiry;
            view_.forward = Surfaces.forward(index, s.forwardRatio);
            view_.discount = s.discount;
            view_.svi = _sviNow(s, expiry);
            view_.timestamp = s.timestamp;
        }
    }

    // ---------------------------------------------------------------------------------------------
    // Ranges
    // ---------------------------------------------------------------------------------------------

    function _requireFeedInRange(uint16 feed, FeedParameters calldata p) private pure {
        if (feed == 0 || feed == COLLATERAL_FEEDS || feed > MAX_FEED) revert UnknownFeed(feed);
        uint256 count = p.sources.length;
        Ranges.requireIn("sources", count, 0, MAX_SOURCES);
        Ranges.requireIn("quorum", p.quorum, count == 0 ? 0 : count / 2 + 1, count);
        for (uint256 i = 0; i < count; ++i) {
            Ranges.requireIn("maxAgeSeconds", p.sources[i].maxAgeSeconds, 1, 1 days);
            for (uint256 j = 0; j < i; ++j) {
                if (p.sources[i].source == p.sources[j].source) {
                    revert SourceTwice(p.sources[i].source);
                }
            }
        }
        Ranges.requireIn("minPrice", p.minPrice, 1, MAX_PRICE);
        uint256 ratio = count == 0 ? 1 : MAX_PRICE_RATIO;
        uint256 greatest = FixedPoint.min(MAX_PRICE, uint256(p.minPrice) * ratio);
        Ranges.requireIn("maxPrice", p.maxPrice, p.minPrice, greatest);
        Ranges.requireIn("maxMove", p.maxMove, 0.001e18, 0.9e18);
        Ranges.requireIn("stableRate", p.stableRate, 0.0001e18, 10e18);
        Ranges.requireIn("markBand", p.markBand, 0, 0.2e18);
        Ranges.requireIn("cacheSeconds", p.cacheSeconds, 0, 1 hours);
        if (p.markSource.source == address(0)) return;
        bool canHaveMark = count > 0 && feed < COLLATERAL_FEEDS;
        Ranges.requireIn("markSource", 1, 0, canHaveMark ? 1 : 0);
        Ranges.requireIn("maxAgeSeconds", p.markSource.maxAgeSeconds, 1, 1 days);
    }

    /// @dev What is fixed stays so, price and all: no setter moves a price at one stroke.
    function _requireSameKind(FeedParameters memory old, FeedParameters calldata p) private pure {
        bool wasFixed = old.sources.length == 0;
        bool isFixed = p.sources.length == 0;
        if (wasFixed != isFixed) {
            revert IParameters.FixedOnceListed("fixed", wasFixed ? 1 : 0, isFixed ? 1 : 0);
        }
        if (isFixed && old.minPrice != p.minPrice) {
            revert IParameters.FixedOnceListed("minPrice", old.minPrice, p.minPrice);
        }
    }
}
