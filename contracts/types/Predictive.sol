// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @dev All amounts, deviations and shares are WAD (1e18) unless the name says otherwise. Node n of
/// class c of a profile is at index 11 * c + n.

/// @notice What a book loses in one underlying, on the nodes of predictive margin (specification,
/// Predictive margin, 4).
/// @param underlying Underlying id.
/// @param deviation Standard deviation of the price over the horizon, fraction.
/// @param delta Net dollar delta, USD, signed.
/// @param slack Bound on the error of everything below, USD.
/// @param scenarioLoss Worst netted loss over all scenarios of governance, if a list in force does
/// not cover the underlying; else 0.
/// @param volErrors Per vol interval, what options may lose between two classes beyond the
/// interpolation, USD per unit of move.
/// @param pnl Net profit and loss at every node, USD; 44 values, 11 without options, none if
/// no list covers the underlying.
/// @param slopes Slope in the move, at every node, of what is convex in it, USD.
struct Exposure {
    uint8 underlying;
    uint256 deviation;
    int256 delta;
    uint256 slack;
    uint256 scenarioLoss;
    uint256[3] volErrors;
    int256[] pnl;
    int256[] slopes;
}

/// @notice Parameters of predictive margin (specification, Predictive margin, 9).
/// @param tailShare Share of the dates whose mean loss is the expected shortfall.
/// @param horizonSeconds Time over which losses are measured.
/// @param floorWeight Least margin as a share of the tail scenarios' risk.
/// @param parametricWeight Share of parametric margin that initial margin reaches at least.
/// @param correlationWidth Width of the box of correlations.
/// @param singleAssetFloor Least linear parametric margin as a share of the largest underlying's.
struct PredictiveParameters {
    uint64 tailShare;
    uint32 horizonSeconds;
    uint64 floorWeight;
    uint64 parametricWeight;
    uint64 correlationWidth;
    uint64 singleAssetFloor;
}

/// @notice What the risk model needs to make a profile.
/// @param floorWeight As in `PredictiveParameters`.
/// @param parametricWeight As in `PredictiveParameters`.
/// @param uncovered Bit u is set if a list in force does not cover underlying u.
/// @param deviations Of the horizon, for maintenance; one per underlying asked for, ascending by
/// id; 0 if no list covers it.
/// @param initialDeviations The same for initial margin, at least as great.
struct PredictiveTerms {
    uint256 floorWeight;
    uint256 parametricWeight;
    uint256 uncovered;
    uint256[] deviations;
    uint256[] initialDeviations;
}

/// @notice State of the published vectors.
/// @param stored Dates stored: those in force before the last publication, then those it added.
/// @param before Dates in force before it, the first of those stored.
/// @param leaving Of these, how many leave.
/// @param placesBefore Places of the basket covered before it.
/// @param places Places covered from the end of its ramp on.
/// @param start Active time at which its ramp starts, seconds.
/// @param end Active time at which it ends, seconds.
/// @param cancelledAt Active time at which it was taken back, seconds; 0 if it was not.
struct Publication {
    uint16 stored;
    uint16 before;
    uint16 leaving;
    uint8 placesBefore;
    uint8 places;
    uint40 start;
    uint40 end;
    uint40 cancelledAt;
}

/// @notice Predictive margin of an account with its parts, whatever mode the account is in.
/// @param applies Whether the account has few enough positions, and any; the rest is 0 if not.
/// @param shortfall Expected shortfall, ES.
/// @param tailRisk Risk over the tail scenarios, R_tail.
/// @param parametric Parametric margin, P.
/// @param deviationCharge Charge to initial margin for volatility that is still to come.
/// @param openInterestCharge Charge to initial margin for open interest.
/// @param maintenanceMargin MM in mode PREDICTIVE.
/// @param initialMargin IM in mode PREDICTIVE.
struct PredictiveBreakdown {
    bool applies;
    uint256 shortfall;
    uint256 tailRisk;
    uint256 parametric;
    uint256 deviationCharge;
    uint256 openInterestCharge;
    uint256 maintenanceMargin;
    uint256 initialMargin;
}
