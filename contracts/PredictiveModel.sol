// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {LibBit} from "solady/src/utils/LibBit.sol";

import {Parameters} from "./Parameters.sol";
import {IPredictiveModel} from "./interfaces/IPredictiveModel.sol";
import {IVolatilityEstimator} from "./interfaces/IVolatilityEstimator.sol";
import {Ramp} from "./margin/Ramp.sol";
import {Ranges} from "./margin/Ranges.sol";
import {FixedPoint} from "./math/FixedPoint.sol";
import {Parametric} from "./predictive/Parametric.sol";
import {Pass} from "./predictive/Pass.sol";
import {Profiles} from "./predictive/Profiles.sol";
import {Tail} from "./predictive/Tail.sol";
import {Vectors} from "./predictive/Vectors.sol";
import {
    Exposure,
    PredictiveParameters,
    PredictiveTerms,
    Publication
} from "./types/Predictive.sol";

/// @title Predictive margin: vectors, parameters and the pass over the dates
/// @notice Specification, Predictive margin, sections 2, 5, 6, 8 and 9. What the publisher and the
/// governor set comes into force over a ramp of active time.
contract PredictiveModel is IPredictiveModel, AccessManaged {
    uint256 public constant MIN_DATES = 250;
    uint256 public constant MAX_DATES = 1000;

    uint256 private constant WAD = 1e18;
    /// @dev Units of a loss in 2^e wei.
    uint256 private constant UNITS = 1024;
    uint256 private constant DAY = 1 days;
    uint256 private constant NOWHERE = Vectors.MAX_PLACES;

    Parameters public immutable PARAMETERS;
    IVolatilityEstimator public immutable ESTIMATOR;

    /// @dev A publication, and the ramp of the parameters; one slot.
    struct State {
        uint16 stored;
        uint16 before;
        uint16 leaving;
        uint8 placesBefore;
        uint8 places;
        uint40 start;
        uint40 end;
        uint40 parametersStart;
        uint40 parametersEnd;
    }

    /// @dev A book on the dates stored from `first` on.
    /// @param sums One per date, as `Pass` leaves them.
    /// @param first Index of the first date.
    /// @param exponent e: a unit is 2^e / 1024 wei.
    /// @param slack Of all exposures.
    /// @param places Of the exposures' underlyings in the basket; `NOWHERE` for those without.
    /// @param uncovered Worst scenarios of exposures that the latest publication does not cover.
    /// @param uncoveredBefore The same of the list before it.
    struct Book {
        uint256[] sums;
        uint256 first;
        uint256 exponent;
        uint256 slack;
        uint256[] places;
        uint256 uncovered;
        uint256 uncoveredBefore;
    }

    State private _state;
    PredictiveParameters private _to;
    PredictiveParameters private _from;
    address[2] private _pointers;

    /// @param authority The `AccessManager`.
    /// @param clock Owns the clock and the length of ramps.
    /// @param estimator Says what volatility is, and which underlying has which place.
    /// @param initial Parameters, in force at once.
    constructor(
        address authority,
        Parameters clock,
        IVolatilityEstimator estimator,
        PredictiveParameters memory initial
    ) AccessManaged(authority) {
        PARAMETERS = clock;
        ESTIMATOR = estimator;
        _requireInRange(initial);
        emit ParametersSet(_to, initial, 0, 0);
        (_from, _to) = (initial, initial);
    }

    // ---------------------------------------------------------------------------------------------
    // Setters
    // ---------------------------------------------------------------------------------------------

    /// @inheritdoc IPredictiveModel
    function publish(uint256[] calldata words, uint256 leaving, uint256 places)
        external
        restricted
    {
        State memory s = _state;
        (uint40 start, uint40 end) = _ramp();
        if (start < s.end) revert RampUnderWay(s.end);
        uint256 before = s.stored - s.leaving;
        Ranges.requireIn("leaving", leaving, 0, before);
        uint256 count = before - leaving + words.length;
        Ranges.requireIn("dates", count, MIN_DATES, MAX_DATES);
        Ranges.requireIn("stored", before + words.length, 0, Vectors.MAX_STORED);
        // A date that stays says nothing of a new place.
        uint256 most = leaving == before ? ESTIMATOR.basket().length : s.places;
        Ranges.requireIn("places", places, s.places, most);
        Vectors.requireValid(words, places);

        _pointers = Vectors.write(_joined(s.leaving, s.stored, words));
        // Counts are at most 1,024, places at most 8.
        _state.stored = uint16(before + words.length);
        _state.before = uint16(before);
        _state.leaving = uint16(leaving);
        _state.placesBefore = s.places;
        _state.places = uint8(places);
        (_state.start, _state.end) = (start, end);
        emit Published(count, words.length, leaving, places, start, end);
    }

    /// @inheritdoc IPredictiveModel
    function setParameters(PredictiveParameters calldata newParameters) external restricted {
        _requireInRange(newParameters);
        PredictiveParameters memory old = parameters();
        (uint40 start, uint40 end) = _ramp();
        (_state.parametersStart, _state.parametersEnd) = (start, end);
        (_from, _to) = (old, newParameters);
        emit ParametersSet(old, newParameters, start, end);
    }

    // ---------------------------------------------------------------------------------------------
    // Margin
    // ---------------------------------------------------------------------------------------------

    /// @inheritdoc IPredictiveModel
    function terms(uint256 underlyings) external view returns (PredictiveTerms memory result) {
        State memory s = _state;
        uint256 time = PARAMETERS.activeTime();
        PredictiveParameters memory p = _parametersAt(s, time);
        (result.floorWeight, result.parametricWeight) = (p.floorWeight, p.parametricWeight);
        uint256 covered = underlyings & ~_uncovered(underlyings, s.places);
        uint256 listed = time < s.end ? s.placesBefore : s.places;
        result.uncovered = _uncovered(underlyings, listed);
        uint8[] memory ids = new uint8[](LibBit.popCount(covered));
        for (uint256 i; i < ids.length; ++i) {
            ids[i] = uint8(LibBit.ffs(covered));
            covered &= covered - 1;
        }
        (uint256[] memory current, uint256[] memory initial) = ESTIMATOR.deviations(ids);
        uint256 root = FixedPoint.sqrtUp(FixedPoint.divideUp(uint256(p.horizonSeconds) * 1e36, DAY));
        uint256 count = LibBit.popCount(underlyings);
        result.deviations = new uint256[](count);
        result.initialDeviations = new uint256[](count);
        uint256 next;
        for (uint256 i; i < count && next < ids.length; ++i) {
            if (LibBit.ffs(underlyings) == ids[next]) {
                result.deviations[i] = _ofHorizon(current[next], root);
                result.initialDeviations[i] = _ofHorizon(initial[next], root);
                ++next;
            }
            underlyings &= underlyings - 1;
        }
    }

    /// @inheritdoc IPredictiveModel
    function measure(Exposure[] calldata exposures)
        external
        view
        returns (uint256 shortfall, uint256 parametric)
    {
        Profiles.reserve();
        if (exposures.length == 0) return (0, 0);
        State memory s = _state;
        uint256 time = PARAMETERS.activeTime();
        PredictiveParameters memory p = _parametersAt(s, time);
        Book memory book = _bookOf(exposures, s, time, _firstInForce(s, time));
        shortfall = _blended(book, s, time, Tail.shortfall, p.tailShare, 0);
        int64[36] memory covariances;
        if (exposures.length > 1) covariances = ESTIMATOR.covariances();
        parametric = Parametric.margin(
            exposures,
            book.places,
            s.places,
            covariances,
            p.correlationWidth,
            p.singleAssetFloor
        );
    }

    /// @inheritdoc IPredictiveModel
    function shortfallAt(Exposure[] calldata exposures, uint256 hint)
        external
        view
        returns (uint256)
    {
        Profiles.reserve();
        State memory s = _state;
        uint256 time = PARAMETERS.activeTime();
        Book memory book = _bookOf(exposures, s, time, _firstInForce(s, time));
        hint = FixedPoint.divideUp(hint * UNITS, 1 << book.exponent);
        return _blended(book, s, time, Tail.bound, _parametersAt(s, time).tailShare, hint);
    }

    /// @inheritdoc IPredictiveModel
    function exceedances(Exposure[] calldata exposures, uint256 amount)
        external
        view
        returns (uint256 count, uint256 limit)
    {
        Profiles.reserve();
        State memory s = _state;
        uint256 time = PARAMETERS.activeTime();
        Book memory book = _bookOf(exposures, s, time, _firstInForce(s, time));
        limit = _parametersAt(s, time).tailShare * uint256(s.stored - s.leaving) / WAD;
        uint256 apart = book.slack + book.uncovered;
        amount = amount > apart ? (amount - apart) * UNITS : 0;
        for (uint256 i = s.leaving - book.first; i < book.sums.length; ++i) {
            if (Pass.loss(book.sums[i]) << book.exponent > amount) ++count;
        }
    }

    /// @inheritdoc IPredictiveModel
    function losses(Exposure[] calldata exposures)
        external
        view
        returns (uint256[] memory result)
    {
        Profiles.reserve();
        State memory s = _state;
        Book memory book = _bookOf(exposures, s, PARAMETERS.activeTime(), 0);
        result = book.sums;
        for (uint256 i; i < result.length; ++i) {
            uint256 loss = Pass.loss(result[i]);
            result[i] = loss == 0 ? 0 : _toWei(loss, book.exponent) + book.slack;
        }
    }

    // ---------------------------------------------------------------------------------------------
    // State
    // ---------------------------------------------------------------------------------------------

    /// @inheritdoc IPredictiveModel
    function vectors(uint256 offset, uint256 count) external view returns (uint256[] memory) {
        uint256 stored = _state.stored;
        uint256 from = FixedPoint.min(offset, stored);
        return Vectors.read(_pointers, from, from + FixedPoint.min(count, stored - from));
    }

    /// @inheritdoc IPredictiveModel
    function publication() external view returns (Publication memory) {
        State memory s = _state;
        return Publication(
            s.stored, s.before, s.leaving, s.placesBefore, s.places, s.start, s.end
        );
    }

    /// @inheritdoc IPredictiveModel
    function parameters() public view returns (PredictiveParameters memory) {
        return _parametersAt(_state, PARAMETERS.activeTime());
    }

    /// @inheritdoc IPredictiveModel
    function target() external view returns (PredictiveParameters memory) {
        return _to;
    }

    // ---------------------------------------------------------------------------------------------
    // Internals
    // ---------------------------------------------------------------------------------------------

    /// @dev A book on the dates stored from `first` on.
    function _bookOf(
        Exposure[] calldata exposures,
        State memory s,
        uint256 time,
        uint256 first
    ) private view returns (Book memory book) {
        _place(exposures, s, book);
        uint256 bits;
        for (uint256 i; i < exposures.length; ++i) {
            uint256 place = book.places[i];
            if (place < s.places) bits |= Profiles.charge(exposures[i], place);
        }
        book.exponent = Profiles.exponentOf(bits);
        book.first = first;
        book.sums = Vectors.read(_pointers, first, s.stored);
        // Places are new only if no date stays: dates of the list before know nothing of them.
        uint256 split = first < s.leaving && s.placesBefore < s.places ? s.before - first : 0;
        if (split != 0) _earn(exposures, book, 0, split, 0, s.placesBefore);
        uint256 from = split == 0 ? 0 : s.placesBefore;
        _earn(exposures, book, split, book.sums.length, from, s.places);
    }

    /// @dev Writes the rows of exposures with places in [newPlace, places), and runs over the dates
    /// in [from, to) with all that have places below.
    function _earn(
        Exposure[] calldata exposures,
        Book memory book,
        uint256 from,
        uint256 to,
        uint256 newPlace,
        uint256 places
    ) private pure {
        uint256 present;
        for (uint256 i; i < exposures.length; ++i) {
            uint256 place = book.places[i];
            if (place >= places) continue;
            present |= 1 << place;
            if (place >= newPlace) Profiles.fill(exposures[i], place, book.exponent);
        }
        Pass.run(book.sums, from, to, present);
    }

    /// @dev Finds the exposures' places, refuses what is not complete, and sums up what needs none.
    function _place(Exposure[] calldata exposures, State memory s, Book memory book)
        private
        view
    {
        uint8[] memory basket = ESTIMATOR.basket();
        // By underlying, one more than its place.
        bytes memory known = new bytes(256);
        for (uint256 p; p < basket.length; ++p) known[basket[p]] = bytes1(uint8(p + 1));
        book.places = new uint256[](exposures.length);
        uint256 last;
        for (uint256 i; i < exposures.length; ++i) {
            Exposure calldata exposure = exposures[i];
            uint256 place = uint8(known[exposure.underlying]);
            place = place == 0 ? NOWHERE : place - 1;
            bool isComplete = place >= s.places || Profiles.isComplete(exposure);
            if (exposure.underlying <= last || !isComplete) revert InvalidExposure(i);
            last = exposure.underlying;
            book.places[i] = place;
            book.slack += exposure.slack;
            if (place >= s.places) book.uncovered += exposure.scenarioLoss;
            if (place >= s.placesBefore) book.uncoveredBefore += exposure.scenarioLoss;
        }
    }

    /// @return Those of a bitmap of underlyings that have none of the first places of the basket.
    function _uncovered(uint256 underlyings, uint256 places) private view returns (uint256) {
        uint8[] memory basket = ESTIMATOR.basket();
        for (uint256 place; place < places; ++place) underlyings &= ~(1 << basket[place]);
        return underlyings;
    }

    /// @dev Selects from the list before and from that after the last publication, and goes from
    /// the one to the other.
    /// @param hint Units.
    /// @return USD, with the slack of all exposures.
    function _blended(
        Book memory book,
        State memory s,
        uint256 time,
        function(uint256[] memory, uint256, uint256, uint256, uint256)
            pure
            returns (uint256) select,
        uint256 tailShare,
        uint256 hint
    ) private pure returns (uint256) {
        uint256 units =
            select(book.sums, s.leaving - book.first, book.sums.length, tailShare, hint);
        uint256 amount = _toWei(units, book.exponent) + book.uncovered;
        if (time < s.end) {
            units = select(book.sums, 0, s.before, tailShare, hint);
            uint256 progress =
                time > s.start ? (time - s.start) * WAD / (s.end - s.start) : 0;
            uint256 before = _toWei(units, book.exponent) + book.uncoveredBefore;
            amount = Ramp.between(before, amount, progress, WAD);
        }
        return amount + book.slack;
    }

    function _firstInForce(State memory s, uint256 time) private pure returns (uint256) {
        return time < s.end ? 0 : s.leaving;
    }

    function _parametersAt(State memory s, uint256 time)
        private
        view
        returns (PredictiveParameters memory p)
    {
        p = _to;
        (uint256 start, uint256 end) = (s.parametersStart, s.parametersEnd);
        if (time >= end) return p;
        PredictiveParameters memory from = _from;
        (uint256 part, uint256 whole) = (time > start ? time - start : 0, end - start);
        // The results lie between values of the same fields.
        p.tailShare = uint64(Ramp.between(from.tailShare, p.tailShare, part, whole));
        p.horizonSeconds =
            uint32(Ramp.between(from.horizonSeconds, p.horizonSeconds, part, whole));
        p.floorWeight = uint64(Ramp.between(from.floorWeight, p.floorWeight, part, whole));
        p.parametricWeight =
            uint64(Ramp.between(from.parametricWeight, p.parametricWeight, part, whole));
        p.correlationWidth =
            uint64(Ramp.between(from.correlationWidth, p.correlationWidth, part, whole));
        p.singleAssetFloor =
            uint64(Ramp.between(from.singleAssetFloor, p.singleAssetFloor, part, whole));
    }

    function _ramp() private view returns (uint40 start, uint40 end) {
        start = uint40(PARAMETERS.activeTime());
        end = start + PARAMETERS.globalParameters().rampSeconds;
    }

    /// @dev The words stored from `from` up to `to`, with others behind them.
    function _joined(uint256 from, uint256 to, uint256[] calldata words)
        private
        view
        returns (uint256[] memory all)
    {
        uint256[] memory kept = Vectors.read(_pointers, from, to);
        all = new uint256[](kept.length + words.length);
        for (uint256 i; i < kept.length; ++i) all[i] = kept[i];
        for (uint256 i; i < words.length; ++i) all[kept.length + i] = words[i];
    }

    /// @param root Square root of the horizon in days.
    function _ofHorizon(uint256 deviation, uint256 root) private pure returns (uint256) {
        return FixedPoint.min(FixedPoint.mulUp(deviation, root), WAD);
    }

    function _toWei(uint256 units, uint256 exponent) private pure returns (uint256) {
        return FixedPoint.divideUp(units << exponent, UNITS);
    }

    function _requireInRange(PredictiveParameters memory p) private pure {
        Ranges.requireIn("tailShare", p.tailShare, WAD / 200, WAD / 10);
        Ranges.requireIn("horizonSeconds", p.horizonSeconds, 1 hours, 10 days);
        Ranges.requireIn("floorWeight", p.floorWeight, WAD / 10, WAD);
        Ranges.requireIn("parametricWeight", p.parametricWeight, 0, WAD);
        Ranges.requireIn("correlationWidth", p.correlationWidth, 0, WAD);
        Ranges.requireIn("singleAssetFloor", p.singleAssetFloor, 0, WAD);
    }
}
