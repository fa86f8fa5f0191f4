// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SurfaceReport} from "../types/Types.sol";
import {IMarketData} from "./IMarketData.sol";

/// @notice A price source and how old its answers may be. One slot.
/// @param source Answers `IPriceSource.read`.
/// @param maxAgeSeconds Age beyond which its answer does not count, 1 to 86,400.
struct Source {
    address source;
    uint32 maxAgeSeconds;
}

/// @notice How the price of a feed comes about (specification, Market data, sections 3 and 4).
/// @param sources Up to five, each once; none makes the price fixed.
/// @param quorum Valid answers within the band without which there is no price: more than half of
/// the sources; 0 if the price is fixed.
/// @param minPrice Least price that is believed; the price itself if it is fixed.
/// @param maxPrice Greatest price that is believed, at most 10,000 times the least; equal to
/// `minPrice` if the price is fixed.
/// @param maxMove Greatest relative change from one observation to the next, in [0.001, 0.9].
/// @param stableRate Greatest change of the stable price, log per hour, in [0.0001, 10].
/// @param markBand Greatest relative distance of the mark from the index, in [0, 0.2].
/// @param cacheSeconds How long an observation serves, at most 3,600.
/// @param markSource Source of the perpetual's mark; the zero address if the index is the mark.
/// Feeds of underlyings that have sources only.
struct FeedParameters {
    Source[] sources;
    uint8 quorum;
    uint96 minPrice;
    uint96 maxPrice;
    uint64 maxMove;
    uint64 stableRate;
    uint64 markBand;
    uint16 cacheSeconds;
    Source markSource;
}

/// @notice What is known of a feed. Two slots, all that `spot` reads while it is fresh.
/// @param price Price in force, below 2^95; 0 if there never was an observation.
/// @param confidence Half-width of the price interval, at most the price.
/// @param timestamp As old as the older half of the answers, seconds. 2^40 - 1: fixed.
/// @param disputed Whether the breaker held the price back, answers beyond the band completed the
/// quorum, or there was an outage.
/// @param stablePrice Rate-limited price.
/// @param mark Mark of the perpetual; the price if the feed has none.
/// @param observedAt When it was observed, seconds. 2^40 - 1: fixed.
/// @param cacheSeconds How long it serves, as `FeedParameters` says.
struct Observation {
    uint96 price;
    uint96 confidence;
    uint40 timestamp;
    bool disputed;
    uint96 stablePrice;
    uint96 mark;
    uint40 observedAt;
    uint16 cacheSeconds;
}

/// @notice What only the next observation needs: its clock, and the average before the hour. One
/// slot.
/// @param activeAt Active time of the observation, seconds.
/// @param windowEnd H: end of the hour of the observation before the last, seconds.
/// @param weightedSum Sum of price times seconds over the covered part of [H - 1800, H].
/// @param coveredSeconds Seconds of the window that count, at most 1,800.
struct Trail {
    uint40 activeAt;
    uint40 windowEnd;
    uint112 weightedSum;
    uint16 coveredSeconds;
}

/// @notice What the sources say together.
/// @param price Median of all valid answers; 0 without a quorum within the band.
/// @param confidence Half-width of the interval that more than half of the sources lie in, at most
/// the price.
/// @param timestamp More than half of the answers are at least as new, seconds.
/// @param valid Number of valid answers within the band.
/// @param beyond Number of valid answers beyond it.
struct Aggregate {
    uint256 price;
    uint256 confidence;
    uint256 timestamp;
    uint256 valid;
    uint256 beyond;
}

/// @notice Limits on what a report may change in a surface.
/// @param maxVolMove Greatest relative change of total deviation, in [0.01, 10].
/// @param maxForwardMove Greatest absolute change of the forward ratio, in [0.0001, 1].
/// @param minIntervalSeconds Least time between two slices of one expiry, both of their times and
/// of the blocks they are posted in, 1 to 86,400.
struct SurfaceParameters {
    uint64 maxVolMove;
    uint64 maxForwardMove;
    uint32 minIntervalSeconds;
}

/// @notice One expiry as it is now.
/// @param expiry Expiry, seconds.
/// @param forward Forward price.
/// @param discount Discount factor.
/// @param svi Packed SVI slice, its variance that of the time left.
/// @param timestamp When the slice was seen, seconds.
struct SliceView {
    uint32 expiry;
    uint256 forward;
    uint256 discount;
    uint256 svi;
    uint256 timestamp;
}

/// @notice One underlying as it is now; the fields of `spot` and every live slice.
/// @param index Index price.
/// @param confidence Half-width of the price interval.
/// @param mark Mark of the perpetual.
/// @param stableIndex Rate-limited index.
/// @param timestamp Time of the index; 0 while disputed or in an outage.
/// @param slices Live slices, ascending by expiry.
struct MarketView {
    uint256 index;
    uint256 confidence;
    uint256 mark;
    uint256 stableIndex;
    uint256 timestamp;
    SliceView[] slices;
}

/// @title Market data that no single source decides
/// @notice Specification, Market data, sections 3 to 6. A feed is a number: underlying u is feed u,
/// the rate of collateral asset a is feed 256 + a. Prices and rates are WAD, below 2^95.
/// Assumes that fewer than half of the valid answers of a feed are wrong, that the clock never
/// reverts, and that whoever posts surfaces stays within the bounded change per interval.
interface IOracleHub is IMarketData {
    /// @notice A feed was listed or changed.
    /// @param feed Feed.
    /// @param oldParameters Before; all zero for a new feed.
    /// @param newParameters From now on.
    event FeedSet(
        uint16 indexed feed, FeedParameters oldParameters, FeedParameters newParameters
    );

    /// @notice A feed was observed.
    /// @param feed Feed.
    /// @param price Price in force from now on.
    /// @param confidence Half-width of its interval.
    /// @param mark Mark of the perpetual.
    /// @param stablePrice Rate-limited price.
    /// @param timestamp Time of the answers, seconds.
    /// @param disputed As in `Observation`.
    event Observed(
        uint16 indexed feed,
        uint256 price,
        uint256 confidence,
        uint256 mark,
        uint256 stablePrice,
        uint256 timestamp,
        bool disputed
    );

    /// @notice Too few valid answers within the band: the price before stays. If those beyond
    /// complete the quorum, `Observed` tells that it is disputed.
    /// @param feed Feed.
    /// @param valid Number of valid answers within the band.
    /// @param quorum Number needed.
    event QuorumMissed(uint16 indexed feed, uint256 valid, uint256 quorum);

    /// @notice The limits of a surface were set.
    /// @param underlying Underlying.
    /// @param oldParameters Before.
    /// @param newParameters From now on.
    event SurfaceSet(
        uint8 indexed underlying, SurfaceParameters oldParameters, SurfaceParameters newParameters
    );

    /// @notice A slice was posted.
    /// @param underlying Underlying.
    /// @param expiry Expiry, seconds.
    /// @param forwardRatio Forward over index.
    /// @param discount Discount factor.
    /// @param svi Packed SVI slice as of its timestamp.
    /// @param timestamp When it was seen, seconds.
    event SlicePosted(
        uint8 indexed underlying,
        uint32 indexed expiry,
        uint256 forwardRatio,
        uint256 discount,
        uint256 svi,
        uint256 timestamp
    );

    /// @notice The settlement price of an expiry is known; of a price the governor gave nothing
    /// counts as covered.
    /// @param underlying Underlying.
    /// @param expiry Expiry, seconds.
    /// @param price Settlement price.
    /// @param coveredSeconds Seconds of the window that counted.
    event Settled(
        uint8 indexed underlying, uint32 indexed expiry, uint256 price, uint256 coveredSeconds
    );

    /// @notice Less than half of the window was covered: there is no settlement price.
    /// @param underlying Underlying.
    /// @param expiry Expiry, seconds.
    /// @param coveredSeconds Seconds of the window that counted.
    event SettlementUncovered(
        uint8 indexed underlying, uint32 indexed expiry, uint256 coveredSeconds
    );

    /// @notice The feed has no sources, or there is no such feed.
    error UnknownFeed(uint16 feed);

    /// @notice A source counts once.
    error SourceTwice(address source);

    /// @notice With so little gas a source could fail for lack of it.
    error InsufficientGas(uint256 gasLeft);

    /// @notice The arrays of a report are of different lengths, or empty.
    error LengthMismatch();

    /// @notice Nobody can trade this expiry: it is to be listed first.
    error ExpiryNotListed(uint8 underlying, uint32 expiry);

    /// @notice Total deviation at log-moneyness `kX64` would change from `oldX64` to `newX64`, more
    /// than a report may.
    error VolMoveTooLarge(
        uint8 underlying, uint32 expiry, int256 kX64, uint256 oldX64, uint256 newX64
    );

    /// @notice The forward ratio would change by more than a report may.
    error ForwardMoveTooLarge(
        uint8 underlying, uint32 expiry, uint256 oldRatio, uint256 newRatio
    );

    /// @notice A slice of the expiry was posted not long ago, whenever the two were seen.
    error SliceTooEarly(uint256 blockTimestamp, uint256 earliest);

    // ------------------------------------------------------------------------------- Governance

    /// @notice Lists a feed or changes it. What its old sources say is observed first and in force
    /// in this block, and the breaker holds for what follows: no price moves at one stroke. A fixed
    /// price stays what it is, and a feed with sources keeps having some. Ranges are those of
    /// `FeedParameters`, checked in the order of its fields. Governor.
    /// @param feed 1 to 255, or 257 to 511.
    /// @param parameters How its price comes about.
    function setFeed(uint16 feed, FeedParameters calldata parameters) external;

    /// @notice Sets the limits of a surface. Governor.
    /// @param underlying Underlying.
    /// @param parameters Ranges are those of `SurfaceParameters`.
    function setSurface(uint8 underlying, SurfaceParameters calldata parameters) external;

    /// @notice Says a settlement price that the observations did not give, a day after the expiry
    /// or later. Governor.
    /// @param underlying Underlying.
    /// @param expiry Expiry, seconds.
    /// @param price Within the sanity band of the feed.
    function settleUncovered(uint8 underlying, uint32 expiry, uint256 price) external;

    // ------------------------------------------------------------------------------- Observation

    /// @notice Observes a feed: anyone may, once in a block; again is nothing. Without a quorum
    /// nothing but an event; if answers beyond the band complete it, the price before is disputed.
    /// @param feed A feed with sources.
    function observe(uint16 feed) external;

    /// @notice Observes several feeds.
    /// @param feeds Feeds with sources.
    function observeMany(uint16[] calldata feeds) external;

    // ----------------------------------------------------------------------------------- Surface

    /// @notice Posts slices of listed expiries of one underlying. Poster.
    /// @param report All is taken or, on an error, nothing.
    function postSurface(SurfaceReport calldata report) external;

    /// @notice Posts slices that signers vouch for. Anyone.
    /// @param report All is taken or, on an error, nothing.
    /// @param signatures As `ISignedReports.requireSigned` wants them.
    function postSignedSurface(SurfaceReport calldata report, bytes[] calldata signatures)
        external;

    // ------------------------------------------------------------------------------------- Views

    /// @notice Spot and all live slices of several underlyings.
    /// @param underlyings Underlyings, each observed or fixed.
    /// @return markets In the same order.
    function snapshot(uint8[] calldata underlyings)
        external
        view
        returns (MarketView[] memory markets);

    /// @notice What the sources of a feed say now; `valid` below the quorum leaves price,
    /// confidence and time zero.
    /// @param feed A feed with sources.
    /// @return What `observe` would see, before breaker and rate limit.
    function aggregate(uint16 feed) external view returns (Aggregate memory);

    /// @notice The stored observation; all zero before the first but for `cacheSeconds`.
    /// @param feed Feed.
    /// @return As stored; `spot` and `collateralRate` say what is in force.
    function observation(uint16 feed) external view returns (Observation memory);

    /// @notice Clock and settlement window of a feed.
    /// @param feed Feed.
    /// @return As stored at the last observation.
    function trail(uint16 feed) external view returns (Trail memory);

    /// @notice Parameters of a feed; all zero if it is unknown.
    /// @param feed Feed.
    /// @return As set.
    function feedParameters(uint16 feed) external view returns (FeedParameters memory);

    /// @notice Limits of a surface.
    /// @param underlying Underlying.
    /// @return As set, or the defaults.
    function surfaceParameters(uint8 underlying) external view returns (SurfaceParameters memory);

    /// @notice Expiries with a slice that lie ahead.
    /// @param underlying Underlying.
    /// @return Ascending, at most 16.
    function liveExpiries(uint8 underlying) external view returns (uint32[] memory);
}
