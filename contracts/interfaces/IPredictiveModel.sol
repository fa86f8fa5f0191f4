// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {
    Exposure,
    PredictiveParameters,
    PredictiveTerms,
    Publication
} from "../types/Predictive.sol";

/// @title Predictive margin: joint moves of the past at the volatility of today
/// @notice Specification, Predictive margin. Assumes that the publisher's vectors are what markets
/// did, and of exposures that the risk model made them: a bound on the error of each is in `slack`.
interface IPredictiveModel {
    /// @notice Vectors were published.
    /// @param count Dates in force at the end of the ramp.
    /// @param entering Dates added.
    /// @param leaving Oldest dates that leave.
    /// @param places Places of the basket covered at the end of the ramp.
    /// @param start Active time at which the ramp starts.
    /// @param end Active time at which it ends.
    event Published(
        uint256 count,
        uint256 entering,
        uint256 leaving,
        uint256 places,
        uint256 start,
        uint256 end
    );

    /// @notice The last publication was taken back while it ramped.
    /// @param activeTime From then on the ramp runs backwards.
    /// @param progress How far it had come, WAD.
    event PublicationCancelled(uint256 activeTime, uint256 progress);

    /// @notice Parameters were set.
    /// @param oldParameters In force before.
    /// @param newParameters In force at the end of the ramp.
    /// @param start Active time at which the ramp starts.
    /// @param end Active time at which it ends.
    event ParametersSet(
        PredictiveParameters oldParameters,
        PredictiveParameters newParameters,
        uint256 start,
        uint256 end
    );

    /// @notice The last publication has not come into force yet.
    error RampUnderWay(uint256 end);

    /// @notice There is no publication to take back.
    error NoRampUnderWay();

    /// @notice A vector has a row or a place in it that does not exist, or a bit outside fields.
    error InvalidVector(uint256 index, uint256 word);

    /// @notice An exposure that a list covers without 11 or 44 values in each of its arrays, or
    /// with a deviation above one; or whose underlying is not above that of the one before.
    error InvalidExposure(uint256 index);

    /// @notice An amount is beyond what any book can lose.
    error AmountTooLarge(uint256 amount, uint256 max);

    /// @notice Publishes vectors; the publisher's.
    /// @param words New dates, ascending by time, one word each (specification, Predictive margin,
    /// 2).
    /// @param leaving Number of oldest dates that leave.
    /// @param places Number of places of the basket that the words cover.
    function publish(uint256[] calldata words, uint256 leaving, uint256 places) external;

    /// @notice Takes back the last publication while it ramps; the guardian's.
    function cancelPublication() external;

    /// @notice Sets the parameters; the governor's.
    /// @param newParameters In force at the end of a ramp.
    function setParameters(PredictiveParameters calldata newParameters) external;

    /// @notice What the risk model needs to make the profiles of a book.
    /// @param underlyings Bit u is set if the book is exposed to underlying u.
    /// @return terms Weights, deviations, and which underlyings are not covered.
    function terms(uint256 underlyings) external view returns (PredictiveTerms memory terms);

    /// @notice Expected shortfall and parametric margin of a book.
    /// @param exposures One per underlying.
    /// @return shortfall ES, USD, rounded up.
    /// @return parametric P, USD, rounded up.
    function measure(Exposure[] calldata exposures)
        external
        view
        returns (uint256 shortfall, uint256 parametric);

    /// @notice Upper bound of the expected shortfall from any hint, sharp at the best one.
    /// @param exposures One per underlying.
    /// @param hint t, USD, below 2^192: the loss that a share of dates as great as the tail's
    /// exceeds.
    /// @return USD, rounded up.
    function shortfallAt(Exposure[] calldata exposures, uint256 hint)
        external
        view
        returns (uint256);

    /// @notice Dates on which a book loses more than an amount: it is certified as value at risk if
    /// they are no more than the limit.
    /// @param exposures One per underlying.
    /// @param amount USD, below 2^192.
    /// @return count Dates.
    /// @return limit Greatest count that certifies.
    function exceedances(Exposure[] calldata exposures, uint256 amount)
        external
        view
        returns (uint256 count, uint256 limit);

    /// @notice What a book loses on every date stored.
    /// @param exposures One per underlying.
    /// @return USD, at least zero, rounded up.
    function losses(Exposure[] calldata exposures) external view returns (uint256[] memory);

    /// @notice Vectors as stored, old first.
    /// @param offset Index of the first.
    /// @param count Greatest number of vectors to return.
    /// @return One word each.
    function vectors(uint256 offset, uint256 count) external view returns (uint256[] memory);

    /// @notice State of the vectors.
    function publication() external view returns (Publication memory);

    /// @notice Parameters in force.
    function parameters() external view returns (PredictiveParameters memory);

    /// @notice Parameters in force at the end of the ramp.
    function target() external view returns (PredictiveParameters memory);
}
