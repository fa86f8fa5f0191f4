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
    /// @dev No book loses as much; units of it fit, and its product with a WAD.
    uint256 private constant MAX_AMOUNT = type(uint192).max;
    uint256 private constant NOWHERE = Vectors.MAX_PLACES;
    /// @dev One in each of eight bytes.
    uint256 private constant EACH_BYTE = (2 ** 64 - 1) / 255;

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
        uint40 cancelledAt;
        uint40 parametersStart;
        uint32 parametersSeconds;
    }

    /// @dev Dates from `from` up to, not including, `to` of those stored, and what they cover.
    struct Dates {
        uint256 from;
        uint256 to;
        uint256 places;
    }

    /// @dev Which list is in force.
    /// @param former The list before the last publication.
    /// @param latter The list after it.
    /// @param toCome That of both which is in force at the end of the ramp, or is already.
    /// @param isRamping Whether both are in force.
    /// @param progress How far from the former to the latter, WAD.
    struct Lists {
        Dates former;
        Dates latter;
        Dates toCome;
        bool isRamping;
        uint256 progress;
    }

    /// @dev A book on the dates stored from `first` on.
    /// @param sums One per date, as `Pass` leaves them.
    /// @param first Index of the first date.
    /// @param exponent e: a unit is 2^e / 1024 wei.
    /// @param slack Of all exposures.
    /// @param places Of the exposures' underlyings; `NOWHERE` for those without nodes.
    /// @param cells Those that the stored dates use.
    /// @param uncovered Worst scenarios of exposures that the latter list does not cover.
    /// @param uncoveredBefore The same of the former list.
    struct Book {
        uint256[] sums;
        uint256 first;
        uint256 exponent;
        uint256 slack;
        uint256[] places;
        uint256 cells;
        uint256 uncovered;
        uint256 uncoveredBefore;
    }

    State private _state;
    PredictiveParameters private _to;
    PredictiveParameters private _from;
    address[2] private _pointers;
    /// @dev The estimator's basket, as far as the stored dates cover it: its underlyings in the
    /// order of places, eight bits each, then zeros. It only grows, so places stay what they are.
    uint256 private _basket;
    /// @dev The cells that the stored dates use (`Vectors.cells`).
    uint256 private _cells;

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
        (uint40 start, uint40 end) = _ramp();
        Lists memory lists = _listsAt(_state, start);
        if (lists.isRamping) revert RampUnderWay(_state.end);
        Dates memory kept = lists.toCome;
        uint256 before = kept.to - kept.from;
        Ranges.requireIn("leaving", leaving, 0, before);
        uint256 count = before - leaving + words.length;
        Ranges.requireIn("dates", count, MIN_DATES, MAX_DATES);
        Ranges.requireIn("stored", before + words.length, 0, Vectors.MAX_STORED);
        // A date that stays says nothing of a new place.
        uint8[] memory basket = ESTIMATOR.basket();
        uint256 most = leaving == before ? basket.length : kept.places;
        Ranges.requireIn("places", places, kept.places, most);
        Vectors.requireValid(words, places);

        uint256[] memory all = _joined(kept.from, kept.to, words);
        _pointers = Vectors.write(all);
        (_basket, _cells) = (_packed(basket, places), Vectors.cells(all, places));
        // Counts are at most 1,024, places at most 8.
        State storage s = _state;
        (s.stored, s.before) = (uint16(before + words.length), uint16(before));
        (s.leaving, s.cancelledAt) = (uint16(leaving), 0);
        (s.placesBefore, s.places) = (uint8(kept.places), uint8(places));
        (s.start, s.end) = (start, end);
        emit Published(count, words.length, leaving, places, start, end);
    }

    /// @inheritdoc IPredictiveModel
    function cancelPublication() external restricted {
        uint256 time = PARAMETERS.activeTime();
        Lists memory lists = _listsAt(_state, time);
        if (!lists.isRamping) revert NoRampUnderWay();
        if (_state.cancelledAt != 0) revert RampUnderWay(_state.end);
        _state.cancelledAt = uint40(time);
        emit PublicationCancelled(time, lists.progress);
    }

    /// @inheritdoc IPredictiveModel
    function setParameters(PredictiveParameters calldata newParameters) external restricted {
        _requireInRange(newParameters);
        PredictiveParameters memory old = parameters();
        (uint40 start, uint40 end) = _ramp();
        (_state.parametersStart, _state.parametersSeconds) = (start, uint32(end - start));
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
        Lists memory lists = _listsAt(s, time);
        uint256 covered = underlyings & ~_uncovered(underlyings, _coveredBySome(lists));
        Dates memory narrow = lists.isRamping ? lists.former : lists.toCome;
        result.uncovered = _uncovered(underlyings, narrow.places);
        uint8[] memory ids = new uint8[](LibBit.popCount(covered));
        for (uint256 i; i < ids.length; ++i) {
            ids[i] = uint8(LibBit.ffs(covered));
            covered &= covered - 1;
        }
        (uint256[] memory current, uint256[] memory initial) = ESTIMATOR.deviations(ids);
        uint256 days_ = FixedPoint.divideUp(uint256(p.horizonSeconds) * 1e36, DAY);
        uint256 root = FixedPoint.sqrtUp(days_);
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
        State memory s = _state;
        uint256 time = PARAMETERS.activeTime();
        PredictiveParameters memory p = _parametersAt(s, time);
        Lists memory lists = _listsAt(s, time);
        Book memory book = _bookOf(exposures, lists, _inForce(lists));
        shortfall = _blended(book, lists, Tail.shortfall, p.tailShare, 0);
        int64[36] memory covariances;
        if (exposures.length > 1) covariances = ESTIMATOR.covariances();
        parametric = Parametric.margin(
            exposures, book.places, covariances, p.correlationWidth, p.singleAssetFloor
        );
    }

    /// @inheritdoc IPredictiveModel
    function shortfallAt(Exposure[] calldata exposures, uint256 hint)
        external
        view
        returns (uint256)
    {
        _requireAmount(hint);
        Profiles.reserve();
        State memory s = _state;
        uint256 time = PARAMETERS.activeTime();
        Lists memory lists = _listsAt(s, time);
        Book memory book = _bookOf(exposures, lists, _inForce(lists));
        hint = FixedPoint.divideUp(hint * UNITS, 1 << book.exponent);
        return _blended(book, lists, Tail.bound, _tailShareAt(s, time), hint);
    }

    /// @inheritdoc IPredictiveModel
    function exceedances(Exposure[] calldata exposures, uint256 amount)
        external
        view
        returns (uint256 count, uint256 limit)
    {
        _requireAmount(amount);
        Profiles.reserve();
        State memory s = _state;
        uint256 time = PARAMETERS.activeTime();
        Lists memory lists = _listsAt(s, time);
        Dates memory dates = lists.toCome;
        Book memory book = _bookOf(exposures, lists, dates);
        bool isFormer = s.cancelledAt != 0;
        uint256 apart = book.slack + (isFormer ? book.uncoveredBefore : book.uncovered);
        uint256 units = amount > apart ? (amount - apart) * UNITS >> book.exponent : 0;
        count = Tail.beyond(book.sums, 0, book.sums.length, units).length;
        limit = _tailShareAt(s, time) * (dates.to - dates.from) / WAD;
    }

    /// @inheritdoc IPredictiveModel
    function losses(Exposure[] calldata exposures)
        external
        view
        returns (uint256[] memory result)
    {
        Profiles.reserve();
        State memory s = _state;
        Lists memory lists = _listsAt(s, PARAMETERS.activeTime());
        Book memory book = _bookOf(exposures, lists, Dates(0, s.stored, s.places));
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
            s.stored,
            s.before,
            s.leaving,
            s.placesBefore,
            s.places,
            s.start,
            s.end,
            s.cancelledAt
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

    /// @dev Which list is in force at an active time, and how far.
    function _listsAt(State memory s, uint256 time) private pure returns (Lists memory lists) {
        lists.former = Dates(0, s.before, s.placesBefore);
        lists.latter = Dates(s.leaving, s.stored, s.places);
        if (s.cancelledAt == 0) {
            lists.toCome = lists.latter;
            lists.progress = _progress(s.start, s.end, time);
            lists.isRamping = time < s.end;
        } else {
            lists.toCome = lists.former;
            uint256 reached = _progress(s.start, s.end, s.cancelledAt);
            uint256 since = time > s.cancelledAt ? time - s.cancelledAt : 0;
            uint256 undone = since * WAD / (s.end - s.start);
            lists.progress = reached > undone ? reached - undone : 0;
            lists.isRamping = lists.progress != 0;
        }
    }

    /// @dev Progress of a ramp, WAD.
    function _progress(uint256 start, uint256 end, uint256 time) private pure returns (uint256) {
        if (time >= end) return WAD;
        return time > start ? (time - start) * WAD / (end - start) : 0;
    }

    /// @dev All dates that a list in force has.
    function _inForce(Lists memory lists) private pure returns (Dates memory) {
        if (!lists.isRamping) return lists.toCome;
        return Dates(0, lists.latter.to, lists.latter.places);
    }

    /// @dev Number of places that any list in force covers.
    function _coveredBySome(Lists memory lists) private pure returns (uint256) {
        return lists.isRamping ? lists.latter.places : lists.toCome.places;
    }

    /// @dev A book on some dates of those stored.
    function _bookOf(Exposure[] calldata exposures, Lists memory lists, Dates memory dates)
        private
        view
        returns (Book memory book)
    {
        _place(exposures, lists, book);
        book.exponent = _exponent(exposures, book.places);
        book.cells = _cells;
        (uint256 from, uint256 to) = (dates.from, dates.to);
        book.first = from;
        book.sums = Vectors.read(_pointers, from, to);
        uint256 places = lists.latter.places;
        uint256 written;
        // Places are new only if no date stays: dates of the former list know nothing of them.
        if (lists.former.places != places && from < lists.former.to) {
            written = lists.former.places;
            uint256 end = FixedPoint.min(to, lists.former.to);
            _earn(exposures, book, 0, end - from, 0, written);
            from = end;
        }
        if (from < to) {
            _earn(exposures, book, from - book.first, to - book.first, written, places);
        }
    }

    /// @dev e of a book. Gaps are looked at one by one only if they may be what is greatest.
    function _exponent(Exposure[] calldata exposures, uint256[] memory places)
        private
        pure
        returns (uint256 exponent)
    {
        uint256 bits;
        uint256 gaps;
        for (uint256 i; i < exposures.length; ++i) {
            if (places[i] == NOWHERE) continue;
            (uint256 some, uint256 most) = Profiles.amounts(exposures[i]);
            bits |= some;
            gaps |= most;
        }
        exponent = Profiles.exponentOf(bits);
        if (Profiles.exponentOf(bits | gaps) == exponent) return exponent;
        for (uint256 i; i < exposures.length; ++i) {
            if (places[i] != NOWHERE) bits |= Profiles.gaps(exposures[i]);
        }
        return Profiles.exponentOf(bits);
    }

    /// @dev Writes the rows of exposures with places in [written, places), and runs over the sums
    /// in [from, to) with all that have places below.
    function _earn(
        Exposure[] calldata exposures,
        Book memory book,
        uint256 from,
        uint256 to,
        uint256 written,
        uint256 places
    ) private pure {
        uint256 present;
        for (uint256 i; i < exposures.length; ++i) {
            uint256 place = book.places[i];
            if (place >= places) continue;
            present |= 1 << place;
            if (place < written) continue;
            uint256 cells = book.cells >> Vectors.CELLS * place & (1 << Vectors.CELLS) - 1;
            Profiles.fill(exposures[i], place, book.exponent, cells);
        }
        Pass.run(book.sums, from, to, present);
    }

    /// @dev Finds the exposures' places, refuses what is not complete, and sums up what needs none.
    function _place(Exposure[] calldata exposures, Lists memory lists, Book memory book)
        private
        view
    {
        uint256 basket = _basket;
        uint256 covered = _coveredBySome(lists);
        book.places = new uint256[](exposures.length);
        uint256 last;
        for (uint256 i; i < exposures.length; ++i) {
            Exposure calldata exposure = exposures[i];
            uint256 place = _placeOf(exposure.underlying, basket);
            bool isEmpty = exposure.pnl.length == 0;
            bool isRight = isEmpty
                ? place >= covered
                : place != NOWHERE && Profiles.isComplete(exposure);
            if (exposure.underlying <= last || !isRight) revert InvalidExposure(i);
            last = exposure.underlying;
            book.places[i] = isEmpty ? NOWHERE : place;
            book.slack += exposure.slack;
            if (place >= lists.latter.places) book.uncovered += exposure.scenarioLoss;
            if (place >= lists.former.places) book.uncoveredBefore += exposure.scenarioLoss;
        }
    }

    /// @return Those of a bitmap of underlyings that have none of the first places of the basket.
    function _uncovered(uint256 underlyings, uint256 places) private view returns (uint256) {
        uint256 basket = _basket;
        for (uint256 place; place < places; ++place) {
            underlyings &= ~(1 << uint8(basket >> 8 * place));
        }
        return underlyings;
    }

    /// @dev The first places of a basket as `_basket` holds them.
    function _packed(uint8[] memory basket, uint256 places) private pure returns (uint256 packed) {
        for (uint256 place; place < places; ++place) {
            packed |= uint256(basket[place]) << 8 * place;
        }
    }

    /// @dev Place of an underlying, whose id is not 0, or `NOWHERE`: the first byte that is its id.
    function _placeOf(uint256 underlying, uint256 basket) private pure returns (uint256) {
        // Less one, a byte gains its highest bit if it was zero; others may after it, not before.
        unchecked {
            uint256 apart = basket ^ EACH_BYTE * underlying;
            uint256 same = apart - EACH_BYTE & ~apart & EACH_BYTE << 7;
            return same == 0 ? NOWHERE : LibBit.ffs(same) >> 3;
        }
    }

    /// @dev Selects from the lists in force and goes from the former to the latter.
    /// @param hint Units.
    /// @return USD, with the slack of all exposures.
    function _blended(
        Book memory book,
        Lists memory lists,
        function(uint256[] memory, uint256, uint256, uint256, uint256)
            pure
            returns (uint256) select,
        uint256 tailShare,
        uint256 hint
    ) private pure returns (uint256) {
        uint256 former;
        uint256 latter;
        if (lists.progress != WAD) {
            Dates memory dates = lists.former;
            former = select(book.sums, dates.from, dates.to, tailShare, hint);
            former = _toWei(former, book.exponent) + book.uncoveredBefore;
        }
        if (lists.progress != 0) {
            (uint256 from, uint256 to) = (lists.latter.from, lists.latter.to);
            latter = select(book.sums, from - book.first, to - book.first, tailShare, hint);
            latter = _toWei(latter, book.exponent) + book.uncovered;
        }
        return Ramp.between(former, latter, lists.progress, WAD) + book.slack;
    }

    function _parametersAt(State memory s, uint256 time)
        private
        view
        returns (PredictiveParameters memory p)
    {
        p = _to;
        (uint256 start, uint256 whole) = (s.parametersStart, s.parametersSeconds);
        if (time >= start + whole) return p;
        PredictiveParameters memory from = _from;
        uint256 part = time > start ? time - start : 0;
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

    /// @dev Reads the one slot alone that it is in, unless it ramps.
    function _tailShareAt(State memory s, uint256 time) private view returns (uint256) {
        if (time >= uint256(s.parametersStart) + s.parametersSeconds) return _to.tailShare;
        return _parametersAt(s, time).tailShare;
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

    function _requireAmount(uint256 amount) private pure {
        if (amount > MAX_AMOUNT) revert AmountTooLarge(amount, MAX_AMOUNT);
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
