// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {SSTORE2} from "solady/src/utils/SSTORE2.sol";

import {ParameterRanges} from "./ParameterRanges.sol";
import {IParameters} from "./interfaces/IParameters.sol";
import {Ramp} from "./margin/Ramp.sol";
import {Ranges} from "./margin/Ranges.sol";
import {ScanRange} from "./margin/ScanRange.sol";
import {FixedPoint} from "./math/FixedPoint.sol";
import {OutageClock} from "./oracle/OutageClock.sol";
import {
    CollateralParameters,
    GlobalParameters,
    InterestParameters,
    Scenario,
    UnderlyingParameters
} from "./types/Types.sol";

/// @title Parameters set by governance, each inside its range
/// @notice Specification, section 13. Every setter validates all it is given, stores it and emits
/// old and new. Who may call which setter, and how long a call must wait in public, is not decided
/// here but in OpenZeppelin's `AccessManager`: one contract that others build tools for holds roles
/// and delays of the whole deployment, and a change of governance touches no code of ours.
/// @dev What would corrupt live state is refused whoever asks: nothing is ever delisted, an
/// underlying keeps its group, a collateral asset its token, decimals and underlying, and positions
/// remain multiples of the lot size. A change of interest or funding parameters applies from the
/// last accrual on: whoever makes it should call the engine's `accrue` in the same transaction.
contract Parameters is IParameters, OutageClock {
    using Ramp for GlobalParameters;
    using Ramp for UnderlyingParameters;
    using Ramp for CollateralParameters;
    using Ramp for uint64[8];

    uint256 public constant MAX_LIVE_EXPIRIES = 16;
    uint256 public constant MAX_TENOR_SECONDS = 1095 days;

    uint256 private constant GROUPS = 8;

    /// @dev Scenarios; one slot.
    /// @param pointer Data contract that holds them with their ramp.
    /// @param start Active time at which it begins.
    /// @param end Active time at which it ends; 0 if there never was one.
    struct ScenarioSet {
        address pointer;
        uint40 start;
        uint40 end;
    }

    /// @dev What an underlying has besides its parameters; one slot.
    /// @param start Active time at which the ramp of its parameters begins.
    /// @param end Active time at which it ends; 0 if there never was one.
    /// @param movedAt Active time of the latest move of the scan range; 0 if it never moved.
    /// @param range Scan range at that time.
    /// @param target Scan range it is on its way to.
    struct UnderlyingState {
        uint40 start;
        uint40 end;
        uint40 movedAt;
        uint64 range;
        uint64 target;
    }

    /// @dev An underlying.
    /// @param to Parameters as they will be at the end of their ramp.
    /// @param from Parameters as they were at its beginning.
    /// @param expiries Those that lie ahead, and some that have passed.
    struct UnderlyingSet {
        UnderlyingParameters to;
        UnderlyingParameters from;
        UnderlyingState state;
        uint32[] expiries;
    }

    /// @dev Ramp of a collateral asset: where it comes from, from when to when (active time).
    struct CollateralRamp {
        uint64 haircut;
        uint64 depegRate;
        uint40 start;
        uint40 end;
    }

    /// @dev A collateral asset.
    /// @param to Parameters as they will be at the end of their ramp.
    struct CollateralSet {
        CollateralParameters to;
        CollateralRamp ramp;
    }

    /// @notice Judges parameters before they are stored.
    ParameterRanges public immutable RANGES;

    /// @notice The only token that is cash; it cannot be a collateral asset as well.
    address public immutable SETTLEMENT_TOKEN;


    /// @inheritdoc IParameters
    /// @dev Remains true after the expiry, so that the engine can tell expired from unknown.
    mapping(uint8 underlying => mapping(uint32 expiry => bool)) public isExpiryListed;

    /// @notice Asset id under which a token is listed; zero if it is not.
    mapping(address token => uint8 asset) public assetOf;

    // What is set is stored as it will be at the end of its ramp; what it comes from is apart, and
    // read while the ramp lasts only.
    ScenarioSet private _scenarios;
    uint40 private _globalStart;
    uint40 private _globalEnd;
    uint40 private _decorrelationsStart;
    uint40 private _decorrelationsEnd;
    GlobalParameters private _global;
    GlobalParameters private _globalBefore;
    uint64[GROUPS] private _decorrelations;
    uint64[GROUPS] private _decorrelationsBefore;
    InterestParameters private _interest;
    mapping(uint8 underlying => UnderlyingSet) private _underlyings;
    mapping(uint8 asset => CollateralSet) private _collaterals;

    // The values in force before, and those that will be at the end of the ramp.
    event GlobalParametersSet(GlobalParameters oldParameters, GlobalParameters newParameters);
    event ScenariosSet(Scenario[] oldScenarios, Scenario[] newScenarios);
    event DecorrelationSet(uint8 indexed group, uint64 oldDecorrelation, uint64 newDecorrelation);
    event UnderlyingParametersSet(
        uint8 indexed underlying,
        UnderlyingParameters oldParameters,
        UnderlyingParameters newParameters
    );
    event ExpiryListed(uint8 indexed underlying, uint32 indexed expiry);
    event CollateralParametersSet(
        uint8 indexed asset, CollateralParameters oldParameters, CollateralParameters newParameters
    );
    event InterestParametersSet(
        InterestParameters oldParameters, InterestParameters newParameters
    );

    /// @notice What was set comes into force between two active times.
    /// @param set `global`, `scenarios`, `decorrelations`, `underlying` or `collateral`.
    /// @param id Underlying or asset; 0 for the others.
    /// @param start Active time.
    /// @param end Active time.
    event RampStarted(bytes32 indexed set, uint256 indexed id, uint256 start, uint256 end);

    /// @notice The scan range of an underlying is on its way to another.
    event ScanRangeMoved(uint8 indexed underlying, uint256 range, uint256 target);

    /// @notice The underlying has never been listed.
    error UnderlyingNotListed(uint8 underlying);

    /// @notice The collateral asset has never been listed.
    error AssetNotListed(uint8 asset);

    /// @notice Open positions are multiples of the current lot size; it must be one of the new.
    error LotSizeNotDivisor(uint256 current, uint256 proposed);

    /// @notice The address does not answer `decimals()` as a token would.
    error NotAToken(address token);

    /// @notice The token says otherwise.
    error TokenDecimalsMismatch(address token, uint256 actual, uint256 proposed);

    /// @notice The token is asset `asset` already; asset 0 is the settlement token.
    error TokenAlreadyListed(address token, uint8 asset);

    /// @notice The expiry is listed already.
    error ExpiryAlreadyListed(uint8 underlying, uint32 expiry);

    /// @notice Expiries lie on the hour.
    error ExpiryNotOnTheHour(uint32 expiry);

    /// @param authority The `AccessManager`.
    /// @param settlementToken Token that is cash.
    /// @param global Parameters common to all underlyings.
    /// @param interest Interest on cash.
    /// @param decorrelations_ Decorrelation weight of each risk group.
    /// @param scenarios_ Scenarios. All of these are in force at once, and demanded here because
    /// without them the engine would run without margin.
    constructor(
        address authority,
        address settlementToken,
        GlobalParameters memory global,
        InterestParameters memory interest,
        uint64[8] memory decorrelations_,
        Scenario[] memory scenarios_
    ) AccessManaged(authority) {
        RANGES = new ParameterRanges();
        _tokenDecimals(settlementToken);
        SETTLEMENT_TOKEN = settlementToken;
        RANGES.requireGlobal(global);
        emit GlobalParametersSet(_global, global);
        _global = global;
        _setInterestParameters(interest);
        for (uint8 group = 0; group < GROUPS; ++group) {
            RANGES.requireDecorrelation(group, decorrelations_[group]);
            emit DecorrelationSet(group, 0, decorrelations_[group]);
        }
        _decorrelations = decorrelations_;
        _setScenarios(new Scenario[](0), scenarios_);
    }

    // ---------------------------------------------------------------------------------------------
    // Setters
    // ---------------------------------------------------------------------------------------------

    /// @notice Sets the parameters common to all underlyings.
    function setGlobalParameters(GlobalParameters calldata parameters) external restricted {
        RANGES.requireGlobal(parameters);
        GlobalParameters memory old = globalParameters();
        emit GlobalParametersSet(old, parameters);
        (_globalStart, _globalEnd) = _startRamp("global", 0);
        (_globalBefore, _global) = (old, parameters);
    }

    /// @notice Replaces all scenarios. They must cover a fall and a rise of a full scan range at
    /// full weight and a fall and a rise of volatility, with the weights they will have and with
    /// those they start from: what the same moves weigh now, nothing for new ones.
    /// @param list In groups of equal `volPpm`.
    function setScenarios(Scenario[] calldata list) external restricted {
        _setScenarios(scenarios(), list);
    }

    /// @notice Sets the decorrelation weight of a risk group, 0 for full offset, 1e18 for none.
    function setDecorrelation(uint8 group, uint64 decorrelation) external restricted {
        RANGES.requireDecorrelation(group, decorrelation);
        uint64[GROUPS] memory old = decorrelations();
        emit DecorrelationSet(group, old[group], decorrelation);
        (_decorrelationsStart, _decorrelationsEnd) = _startRamp("decorrelations", 0);
        _decorrelationsBefore = old;
        _decorrelations[group] = decorrelation;
    }

    /// @notice Lists an underlying or changes its parameters. Once listed, it keeps its group (the
    /// group's decorrelation says what offset is worth) and its lot size may only become a divisor
    /// of what it is.
    function setUnderlyingParameters(uint8 underlying, UnderlyingParameters calldata parameters)
        external
        restricted
    {
        RANGES.requireUnderlying(underlying, parameters);
        UnderlyingParameters memory old = underlyingParameters(underlying);
        if (old.listed) {
            _requireUnchanged("group", old.group, parameters.group);
            if (old.lotSize % parameters.lotSize != 0) {
                revert LotSizeNotDivisor(old.lotSize, parameters.lotSize);
            }
            // A range that is to move no longer falls back to its lower bound as any other.
            bool hasMoved = _underlyings[underlying].state.movedAt != 0;
            if (hasMoved && parameters.scanMultiplier == 0) _move(underlying, 0);
        }
        emit UnderlyingParametersSet(underlying, old, parameters);
        if (old.listed) {
            UnderlyingState storage state = _underlyings[underlying].state;
            (state.start, state.end) = _startRamp("underlying", underlying);
            _underlyings[underlying].from = old;
        }
        _underlyings[underlying].to = parameters;
    }

    /// @notice Lets trades in an underlying reduce positions only. There is no way back here:
    /// a guardian may be allowed to stop at once, to resume takes `setUnderlyingParameters`.
    function haltIncreases(uint8 underlying) external restricted {
        UnderlyingParameters memory old = underlyingParameters(underlying);
        if (!old.listed) revert UnderlyingNotListed(underlying);
        _underlyings[underlying].to.reduceOnly = true;
        emit UnderlyingParametersSet(underlying, old, _underlyings[underlying].to);
    }

    /// @notice Sets the scan range of an underlying on its way to `scanMultiplier` standard
    /// deviations of a day; nothing if it is not listed or its scan range does not move.
    /// @param deviation Standard deviation of a day, fraction, WAD.
    function moveScanRange(uint8 underlying, uint256 deviation) external restricted {
        uint256 multiplier = _underlyings[underlying].to.scanMultiplier;
        if (multiplier != 0) _move(underlying, ScanRange.target(multiplier, deviation));
    }

    /// @notice Lists expiries for an underlying. Those that have passed make room.
    /// @param expiries_ Unix seconds, on the hour, ahead by no more than `MAX_TENOR_SECONDS`.
    function listExpiries(uint8 underlying, uint32[] calldata expiries_) external restricted {
        if (!_underlyings[underlying].to.listed) revert UnderlyingNotListed(underlying);
        _dropPassedExpiries(underlying);
        for (uint256 i = 0; i < expiries_.length; ++i) {
            uint32 expiry = expiries_[i];
            uint256 latest = block.timestamp + MAX_TENOR_SECONDS;
            Ranges.requireIn("expiry", expiry, block.timestamp + 1, latest);
            if (expiry % 1 hours != 0) revert ExpiryNotOnTheHour(expiry);
            if (isExpiryListed[underlying][expiry]) revert ExpiryAlreadyListed(underlying, expiry);
            if (_underlyings[underlying].expiries.length == MAX_LIVE_EXPIRIES) {
                revert TooManyExpiries(underlying, MAX_LIVE_EXPIRIES);
            }
            isExpiryListed[underlying][expiry] = true;
            _underlyings[underlying].expiries.push(expiry);
            emit ExpiryListed(underlying, expiry);
        }
    }

    /// @notice Lists a collateral asset or changes its parameters. Once listed, it keeps its token,
    /// decimals and underlying: balances are counted in them.
    function setCollateralParameters(uint8 asset, CollateralParameters calldata parameters)
        external
        restricted
    {
        RANGES.requireCollateral(asset, parameters);
        if (parameters.underlying != 0 && !_underlyings[parameters.underlying].to.listed) {
            revert UnderlyingNotListed(parameters.underlying);
        }
        CollateralParameters memory old = collateralParameters(asset);
        if (old.token == address(0)) {
            _registerToken(asset, parameters);
        } else {
            _requireUnchanged("token", uint160(old.token), uint160(parameters.token));
            _requireUnchanged("decimals", old.decimals, parameters.decimals);
            _requireUnchanged("underlying", old.underlying, parameters.underlying);
        }
        emit CollateralParametersSet(asset, old, parameters);
        if (old.token != address(0)) {
            (uint40 start, uint40 end) = _startRamp("collateral", asset);
            _collaterals[asset].ramp = CollateralRamp(old.haircut, old.depegRate, start, end);
        }
        _collaterals[asset].to = parameters;
    }

    /// @notice Stops deposits of an asset; like `haltIncreases`, without a way back here.
    function haltDeposits(uint8 asset) external restricted {
        CollateralParameters memory old = collateralParameters(asset);
        if (old.token == address(0)) revert AssetNotListed(asset);
        _collaterals[asset].to.enabled = false;
        emit CollateralParametersSet(asset, old, _collaterals[asset].to);
    }

    /// @notice Sets the interest on cash.
    function setInterestParameters(InterestParameters calldata parameters) external restricted {
        _setInterestParameters(parameters);
    }

    // ---------------------------------------------------------------------------------------------
    // Views
    // ---------------------------------------------------------------------------------------------

    /// @inheritdoc IParameters
    function globalParameters() public view returns (GlobalParameters memory parameters) {
        parameters = _global;
        (uint256 part, uint256 whole) = _progress(_globalStart, _globalEnd);
        if (whole != 0) parameters.blend(_globalBefore, part, whole);
    }

    /// @inheritdoc IParameters
    function scenarioPointer() public view returns (address, uint256) {
        (uint256 part, uint256 whole) = _progress(_scenarios.start, _scenarios.end);
        return (_scenarios.pointer, whole == 0 ? 1e18 : part * 1e18 / whole);
    }

    /// @inheritdoc IParameters
    function scenarios() public view returns (Scenario[] memory) {
        (address pointer, uint256 progress) = scenarioPointer();
        return _unpack(pointer, progress);
    }

    /// @inheritdoc IParameters
    function decorrelations() public view returns (uint64[8] memory weights) {
        weights = _decorrelations;
        (uint256 part, uint256 whole) = _progress(_decorrelationsStart, _decorrelationsEnd);
        if (whole != 0) weights.blend(_decorrelationsBefore, part, whole);
    }

    /// @inheritdoc IParameters
    function underlyingParameters(uint8 underlying)
        public
        view
        returns (UnderlyingParameters memory parameters)
    {
        parameters = _underlyings[underlying].to;
        UnderlyingState storage state = _underlyings[underlying].state;
        (uint256 part, uint256 whole) = _progress(state.start, state.end);
        if (whole != 0) parameters.blend(_underlyings[underlying].from, part, whole);
    }

    /// @inheritdoc IParameters
    function scanRanges(uint8 underlying) public view returns (uint256, uint256) {
        (uint256 least, uint256 greatest) = _scanBounds(underlying);
        UnderlyingState memory state = _underlyings[underlying].state;
        if (state.movedAt == 0) return (least, least);
        uint256 time = activeTime();
        (uint256 riseRate, uint256 fallRate) = _scanRates();
        uint256 range = ScanRange.moved(
            state.range,
            state.target,
            time > state.movedAt ? time - state.movedAt : 0,
            riseRate,
            fallRate
        );
        range = ScanRange.clamp(range, least, greatest);
        return (range, FixedPoint.max(range, ScanRange.clamp(state.target, least, greatest)));
    }

    /// @inheritdoc IParameters
    function collateralParameters(uint8 asset)
        public
        view
        returns (CollateralParameters memory parameters)
    {
        parameters = _collaterals[asset].to;
        CollateralRamp memory ramp = _collaterals[asset].ramp;
        (uint256 part, uint256 whole) = _progress(ramp.start, ramp.end);
        if (whole != 0) parameters.blend(ramp.haircut, ramp.depegRate, part, whole);
    }

    /// @inheritdoc IParameters
    function interestParameters() external view returns (InterestParameters memory) {
        return _interest;
    }

    /// @notice What the parameters common to all underlyings will be at the end of their ramp.
    function globalTarget() external view returns (GlobalParameters memory) {
        return _global;
    }

    /// @notice What the scenarios will be at the end of their ramp.
    function scenarioTarget() external view returns (Scenario[] memory) {
        return _unpack(_scenarios.pointer, 1e18);
    }

    /// @notice What the decorrelation weights will be at the end of their ramp.
    function decorrelationTarget() external view returns (uint64[8] memory) {
        return _decorrelations;
    }

    /// @notice What the parameters of an underlying will be at the end of their ramp.
    function underlyingTarget(uint8 underlying)
        external
        view
        returns (UnderlyingParameters memory)
    {
        return _underlyings[underlying].to;
    }

    /// @notice What the parameters of a collateral asset will be at the end of their ramp.
    function collateralTarget(uint8 asset) external view returns (CollateralParameters memory) {
        return _collaterals[asset].to;
    }

    /// @notice Listed expiries of an underlying that lie ahead, in no particular order.
    function liveExpiries(uint8 underlying) external view returns (uint32[] memory live) {
        live = _underlyings[underlying].expiries;
        uint256 count = 0;
        for (uint256 i = 0; i < live.length; ++i) {
            if (live[i] > block.timestamp) live[count++] = live[i];
        }
        // Shortens the array in place: count ≤ length.
        assembly ("memory-safe") {
            mstore(live, count)
        }
    }

    // ---------------------------------------------------------------------------------------------
    // Ramps
    // ---------------------------------------------------------------------------------------------

    function _startRamp(bytes32 set, uint256 id) private returns (uint40 start, uint40 end) {
        start = uint40(activeTime());
        end = start + _global.rampSeconds;
        emit RampStarted(set, id, start, end);
    }

    /// @return part Seconds of a ramp that have passed.
    /// @return whole Seconds it takes; 0 if it is over.
    function _progress(uint256 start, uint256 end)
        private
        view
        returns (uint256 part, uint256 whole)
    {
        if (end == 0) return (0, 0);
        uint256 time = activeTime();
        if (time >= end) return (0, 0);
        return (time > start ? time - start : 0, end - start);
    }

    function _scanBounds(uint8 underlying) private view returns (uint256 least, uint256 greatest) {
        UnderlyingParameters storage to = _underlyings[underlying].to;
        (least, greatest) = (to.scanRange, to.maxScanRange);
        UnderlyingState storage state = _underlyings[underlying].state;
        (uint256 part, uint256 whole) = _progress(state.start, state.end);
        if (whole == 0) return (least, greatest);
        UnderlyingParameters storage from = _underlyings[underlying].from;
        least = Ramp.between(from.scanRange, least, part, whole);
        greatest = Ramp.between(from.maxScanRange, greatest, part, whole);
    }

    function _scanRates() private view returns (uint256 riseRate, uint256 fallRate) {
        (riseRate, fallRate) = (_global.riseRate, _global.fallRate);
        (uint256 part, uint256 whole) = _progress(_globalStart, _globalEnd);
        if (whole == 0) return (riseRate, fallRate);
        riseRate = Ramp.between(_globalBefore.riseRate, riseRate, part, whole);
        fallRate = Ramp.between(_globalBefore.fallRate, fallRate, part, whole);
    }

    /// @dev Sets a scan range on its way, from where it is.
    function _move(uint8 underlying, uint256 target) private {
        (uint256 range,) = scanRanges(underlying);
        UnderlyingState storage state = _underlyings[underlying].state;
        // A range is at most 0.9e18, a target at most 2^63.
        (state.range, state.target) = (uint64(range), uint64(target));
        state.movedAt = uint40(activeTime());
        emit ScanRangeMoved(underlying, range, target);
    }

    // ---------------------------------------------------------------------------------------------
    // Store
    // ---------------------------------------------------------------------------------------------

    function _setInterestParameters(InterestParameters memory p) private {
        RANGES.requireInterest(p);
        emit InterestParametersSet(_interest, p);
        _interest = p;
    }

    /// @param old Scenarios with the weights in force; empty if the new ones are to be at once.
    function _setScenarios(Scenario[] memory old, Scenario[] memory list) private {
        address pointer = SSTORE2.write(RANGES.packScenarios(old, list));
        emit ScenariosSet(old, list);
        uint40 start;
        uint40 end;
        if (old.length != 0) (start, end) = _startRamp("scenarios", 0);
        _scenarios = ScenarioSet(pointer, start, end);
    }

    function _unpack(address pointer, uint256 progress)
        private
        view
        returns (Scenario[] memory list)
    {
        bytes memory packed = SSTORE2.read(pointer);
        list = new Scenario[](packed.length / 16);
        for (uint256 i = 0; i < list.length; ++i) {
            uint128 word;
            // Reads the i-th 16 bytes: `packed` holds 16 for each element of `list`, and the word
            // read beyond the last of them is shifted out.
            assembly ("memory-safe") {
                word := shr(128, mload(add(add(packed, 0x20), shl(4, i))))
            }
            list[i] = Scenario({
                pricePpm: int32(uint32(word >> 96)),
                volPpm: int32(uint32(word >> 64)),
                weightPpm: uint32(Ramp.between(uint32(word >> 32), uint32(word), progress, 1e18))
            });
        }
    }

    function _registerToken(uint8 asset, CollateralParameters memory p) private {
        if (p.token == SETTLEMENT_TOKEN) revert TokenAlreadyListed(p.token, 0);
        if (assetOf[p.token] != 0) revert TokenAlreadyListed(p.token, assetOf[p.token]);
        uint256 actual = _tokenDecimals(p.token);
        if (p.decimals != actual) revert TokenDecimalsMismatch(p.token, actual, p.decimals);
        assetOf[p.token] = asset;
    }

    function _dropPassedExpiries(uint8 underlying) private {
        uint32[] storage listed = _underlyings[underlying].expiries;
        for (uint256 i = listed.length; i > 0; --i) {
            if (listed[i - 1] > block.timestamp) continue;
            listed[i - 1] = listed[listed.length - 1];
            listed.pop();
        }
    }

    /// @dev By hand, since a call through an interface would revert without a reason when the
    /// address has no code or answers nonsense.
    function _tokenDecimals(address token) private view returns (uint256) {
        (bool ok, bytes memory data) = token.staticcall(abi.encodeWithSignature("decimals()"));
        if (!ok || data.length < 32) revert NotAToken(token);
        return abi.decode(data, (uint256));
    }

    function _requireUnchanged(bytes32 name, uint256 current, uint256 proposed) private pure {
        if (proposed != current) revert FixedOnceListed(name, current, proposed);
    }
}
