// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {SSTORE2} from "solady/src/utils/SSTORE2.sol";

import {IParameters} from "./interfaces/IParameters.sol";
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
contract Parameters is IParameters, AccessManaged {
    uint256 public constant MAX_SCENARIOS = 40;
    uint256 public constant MAX_VOL_CLASSES = 4;
    uint256 public constant MAX_LIVE_EXPIRIES = 16;
    uint256 public constant MAX_ASSET = 31;
    uint256 public constant MAX_GROUP = 7;
    uint256 public constant MAX_TENOR_SECONDS = 1095 days;

    int256 private constant MAX_PRICE_PPM = 20e6;
    int256 private constant MAX_VOL_PPM = 5e6;
    uint256 private constant ONE_PPM = 1e6;
    uint256 private constant MAX_BALANCE = 2 ** 127;

    /// @notice The only token that is cash; it cannot be a collateral asset as well.
    address public immutable SETTLEMENT_TOKEN;


    /// @inheritdoc IParameters
    /// @dev Remains true after the expiry, so that the engine can tell expired from unknown.
    mapping(uint8 underlying => mapping(uint32 expiry => bool)) public isExpiryListed;

    /// @notice Asset id under which a token is listed; zero if it is not.
    mapping(address token => uint8 asset) public assetOf;

    address private _scenarios;
    GlobalParameters private _global;
    InterestParameters private _interest;
    uint64[MAX_GROUP + 1] private _decorrelations;
    mapping(uint8 underlying => UnderlyingParameters) private _underlyings;
    mapping(uint8 underlying => uint32[]) private _expiries;
    mapping(uint8 asset => CollateralParameters) private _collaterals;

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

    /// @notice Scenarios of equal volatility move must be adjacent.
    error VolClassSplit(int32 volPpm);

    /// @notice No scenario looks to that side, so that some position would need no margin.
    /// @param side `priceDown` or `priceUp`: a full scan range at full weight; `volDown` or
    /// `volUp`: any move.
    error ScenarioSideMissing(bytes32 side);

    /// @param authority The `AccessManager`.
    /// @param settlementToken Token that is cash.
    /// @param global Parameters common to all underlyings.
    /// @param interest Interest on cash.
    /// @param scenarios_ Scenarios. These three are demanded here because without them the engine
    /// would run without margin.
    constructor(
        address authority,
        address settlementToken,
        GlobalParameters memory global,
        InterestParameters memory interest,
        Scenario[] memory scenarios_
    ) AccessManaged(authority) {
        _tokenDecimals(settlementToken);
        SETTLEMENT_TOKEN = settlementToken;
        _setGlobalParameters(global);
        _setInterestParameters(interest);
        _setScenarios(scenarios_);
        // No offset between underlyings of any group until governance grants it.
        for (uint8 group = 0; group <= MAX_GROUP; ++group) {
            _setDecorrelation(group, 1e18);
        }
    }

    // ---------------------------------------------------------------------------------------------
    // Setters
    // ---------------------------------------------------------------------------------------------

    /// @notice Sets the parameters common to all underlyings.
    function setGlobalParameters(GlobalParameters calldata parameters) external restricted {
        _setGlobalParameters(parameters);
    }

    /// @notice Replaces all scenarios. They must cover a fall and a rise of a full scan range at
    /// full weight and a fall and a rise of volatility.
    /// @param list In groups of equal `volPpm`.
    function setScenarios(Scenario[] calldata list) external restricted {
        _setScenarios(list);
    }

    /// @notice Sets the decorrelation weight of a risk group, 0 for full offset, 1e18 for none.
    function setDecorrelation(uint8 group, uint64 decorrelation) external restricted {
        _setDecorrelation(group, decorrelation);
    }

    /// @notice Lists an underlying or changes its parameters. Once listed, it keeps its group (the
    /// group's decorrelation says what offset is worth) and its lot size may only become a divisor
    /// of what it is.
    function setUnderlyingParameters(uint8 underlying, UnderlyingParameters calldata parameters)
        external
        restricted
    {
        _requireUnderlyingInRange(underlying, parameters);
        UnderlyingParameters memory old = _underlyings[underlying];
        if (old.listed) {
            _requireUnchanged("group", old.group, parameters.group);
            if (old.lotSize % parameters.lotSize != 0) {
                revert LotSizeNotDivisor(old.lotSize, parameters.lotSize);
            }
        }
        _storeUnderlying(underlying, old, parameters);
    }

    /// @notice Lets trades in an underlying reduce positions only. There is no way back here:
    /// a guardian may be allowed to stop at once, to resume takes `setUnderlyingParameters`.
    function haltIncreases(uint8 underlying) external restricted {
        UnderlyingParameters memory old = _underlyings[underlying];
        if (!old.listed) revert UnderlyingNotListed(underlying);
        UnderlyingParameters memory parameters = _underlyings[underlying];
        parameters.reduceOnly = true;
        _storeUnderlying(underlying, old, parameters);
    }

    /// @notice Lists expiries for an underlying. Those that have passed make room.
    /// @param expiries_ Unix seconds, on the hour, ahead by no more than `MAX_TENOR_SECONDS`.
    function listExpiries(uint8 underlying, uint32[] calldata expiries_) external restricted {
        if (!_underlyings[underlying].listed) revert UnderlyingNotListed(underlying);
        _dropPassedExpiries(underlying);
        for (uint256 i = 0; i < expiries_.length; ++i) {
            uint32 expiry = expiries_[i];
            uint256 latest = block.timestamp + MAX_TENOR_SECONDS;
            _requireInRange("expiry", expiry, block.timestamp + 1, latest);
            if (expiry % 1 hours != 0) revert ExpiryNotOnTheHour(expiry);
            if (isExpiryListed[underlying][expiry]) revert ExpiryAlreadyListed(underlying, expiry);
            if (_expiries[underlying].length == MAX_LIVE_EXPIRIES) {
                revert TooManyExpiries(underlying, MAX_LIVE_EXPIRIES);
            }
            isExpiryListed[underlying][expiry] = true;
            _expiries[underlying].push(expiry);
            emit ExpiryListed(underlying, expiry);
        }
    }

    /// @notice Lists a collateral asset or changes its parameters. Once listed, it keeps its token,
    /// decimals and underlying: balances are counted in them.
    function setCollateralParameters(uint8 asset, CollateralParameters calldata parameters)
        external
        restricted
    {
        _requireCollateralInRange(asset, parameters);
        CollateralParameters memory old = _collaterals[asset];
        if (old.token == address(0)) {
            _registerToken(asset, parameters);
        } else {
            _requireUnchanged("token", uint160(old.token), uint160(parameters.token));
            _requireUnchanged("decimals", old.decimals, parameters.decimals);
            _requireUnchanged("underlying", old.underlying, parameters.underlying);
        }
        _storeCollateral(asset, old, parameters);
    }

    /// @notice Stops deposits of an asset; like `haltIncreases`, without a way back here.
    function haltDeposits(uint8 asset) external restricted {
        CollateralParameters memory old = _collaterals[asset];
        if (old.token == address(0)) revert AssetNotListed(asset);
        CollateralParameters memory parameters = _collaterals[asset];
        parameters.enabled = false;
        _storeCollateral(asset, old, parameters);
    }

    /// @notice Sets the interest on cash.
    function setInterestParameters(InterestParameters calldata parameters) external restricted {
        _setInterestParameters(parameters);
    }

    // ---------------------------------------------------------------------------------------------
    // Views
    // ---------------------------------------------------------------------------------------------

    /// @inheritdoc IParameters
    function globalParameters() external view returns (GlobalParameters memory) {
        return _global;
    }

    /// @inheritdoc IParameters
    function scenarioPointer() external view returns (address, uint256) {
        return (_scenarios, 1e18);
    }

    /// @inheritdoc IParameters
    function scanRanges(uint8 underlying) external view returns (uint256, uint256) {
        uint256 scanRange = _underlyings[underlying].scanRange;
        return (scanRange, scanRange);
    }

    /// @inheritdoc IParameters
    function scenarios() public view returns (Scenario[] memory list) {
        bytes memory packed = SSTORE2.read(_scenarios);
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
                weightPpm: uint32(word)
            });
        }
    }

    /// @inheritdoc IParameters
    function decorrelations() external view returns (uint64[8] memory) {
        return _decorrelations;
    }

    /// @inheritdoc IParameters
    function underlyingParameters(uint8 underlying)
        external
        view
        returns (UnderlyingParameters memory)
    {
        return _underlyings[underlying];
    }

    /// @notice Listed expiries of an underlying that lie ahead, in no particular order.
    function liveExpiries(uint8 underlying) external view returns (uint32[] memory live) {
        live = _expiries[underlying];
        uint256 count = 0;
        for (uint256 i = 0; i < live.length; ++i) {
            if (live[i] > block.timestamp) live[count++] = live[i];
        }
        // Shortens the array in place: count ≤ length.
        assembly ("memory-safe") {
            mstore(live, count)
        }
    }

    /// @inheritdoc IParameters
    function collateralParameters(uint8 asset)
        external
        view
        returns (CollateralParameters memory)
    {
        return _collaterals[asset];
    }

    /// @inheritdoc IParameters
    function interestParameters() external view returns (InterestParameters memory) {
        return _interest;
    }

    // ---------------------------------------------------------------------------------------------
    // Validate and store
    // ---------------------------------------------------------------------------------------------

    function _setGlobalParameters(GlobalParameters memory p) private {
        _requireInRange("initialFactor", p.initialFactor, 0.1e18, 4e18);
        _requireInRange("maintenanceFactor", p.maintenanceFactor, 0.1e18, p.initialFactor);
        _requireInRange("volExponentShort", p.volExponentShort, 0, 1e18);
        _requireInRange("volExponentLong", p.volExponentLong, 0, 1e18);
        _requireInRange("minimumTau", p.minimumTauSeconds, 1 hours, 30 days);
        _requireInRange("profitWeight", p.profitWeight, 0, 1e18);
        _requireInRange("withdrawMaxAge", p.withdrawMaxAgeSeconds, 1, 1 days);
        _requireInRange("openMaxAge", p.openMaxAgeSeconds, 1, 1 days);
        _requireInRange("marginMaxAge", p.marginMaxAgeSeconds, 1, 1 days);
        _requireInRange("liquidationMaxAge", p.liquidationMaxAgeSeconds, 1, 7 days);
        _requireInRange("rampSeconds", p.rampSeconds, 1 hours, 30 days);
        _requireInRange("maxPositions", p.maxPositions, 1, 128);
        _requireInRange("riseRate", p.riseRate, 0.001e18, 2e18);
        _requireInRange("fallRate", p.fallRate, 0.0001e18, 2e18);
        emit GlobalParametersSet(_global, p);
        _global = p;
    }

    function _setInterestParameters(InterestParameters memory p) private {
        _requireInRange("base", p.base, 0, 10e18);
        _requireInRange("slope1", p.slope1, 0, 10e18);
        _requireInRange("slope2", p.slope2, 0, 10e18);
        _requireInRange("kink", p.kink, 0.01e18, 0.99e18);
        _requireInRange("reserveFactor", p.reserveFactor, 0, 1e18);
        emit InterestParametersSet(_interest, p);
        _interest = p;
    }

    function _setDecorrelation(uint8 group, uint64 decorrelation) private {
        _requireInRange("group", group, 0, MAX_GROUP);
        _requireInRange("decorrelation", decorrelation, 0, 1e18);
        emit DecorrelationSet(group, _decorrelations[group], decorrelation);
        _decorrelations[group] = decorrelation;
    }

    function _setScenarios(Scenario[] memory list) private {
        _requireScenariosInRange(list);
        _requireVolClasses(list);
        _requireAllSides(list);
        bytes memory packed;
        for (uint256 i = 0; i < list.length; ++i) {
            Scenario memory s = list[i];
            packed = abi.encodePacked(packed, s.pricePpm, s.volPpm, s.weightPpm, s.weightPpm);
        }
        Scenario[] memory old;
        if (_scenarios != address(0)) old = scenarios();
        emit ScenariosSet(old, list);
        _scenarios = SSTORE2.write(packed);
    }

    function _storeUnderlying(
        uint8 underlying,
        UnderlyingParameters memory old,
        UnderlyingParameters memory parameters
    ) private {
        _underlyings[underlying] = parameters;
        emit UnderlyingParametersSet(underlying, old, parameters);
    }

    function _storeCollateral(
        uint8 asset,
        CollateralParameters memory old,
        CollateralParameters memory parameters
    ) private {
        _collaterals[asset] = parameters;
        emit CollateralParametersSet(asset, old, parameters);
    }

    function _registerToken(uint8 asset, CollateralParameters memory p) private {
        if (p.token == SETTLEMENT_TOKEN) revert TokenAlreadyListed(p.token, 0);
        if (assetOf[p.token] != 0) revert TokenAlreadyListed(p.token, assetOf[p.token]);
        uint256 actual = _tokenDecimals(p.token);
        if (p.decimals != actual) revert TokenDecimalsMismatch(p.token, actual, p.decimals);
        assetOf[p.token] = asset;
    }

    function _dropPassedExpiries(uint8 underlying) private {
        uint32[] storage listed = _expiries[underlying];
        for (uint256 i = listed.length; i > 0; --i) {
            if (listed[i - 1] > block.timestamp) continue;
            listed[i - 1] = listed[listed.length - 1];
            listed.pop();
        }
    }

    // ---------------------------------------------------------------------------------------------
    // Checks
    // ---------------------------------------------------------------------------------------------

    function _requireUnderlyingInRange(uint8 underlying, UnderlyingParameters memory p)
        private
        pure
    {
        _requireInRange("underlying", underlying, 1, type(uint8).max);
        _requireInRange("listed", p.listed ? 1 : 0, 1, 1);
        _requireInRange("group", p.group, 0, MAX_GROUP);
        _requireInRange("scanRange", p.scanRange, 0.001e18, 0.9e18);
        _requireInRange("maxScanRange", p.maxScanRange, p.scanRange, 0.9e18);
        _requireInRange("scanMultiplier", p.scanMultiplier, 0, 20e18);
        _requireInRange("volRange", p.volRange, 0, 2e18);
        _requireInRange("volFloor", p.volFloor, 0, 1e18);
        _requireInRange("basisRate", p.basisRate, 0, 0.2e18);
        _requireInRange("shortOptionRate", p.shortOptionRate, 0, 0.2e18);
        _requireInRange("concentrationRate", p.concentrationRate, 0, 1e18);
        _requireInRange("depth", p.depth, 1e18, type(uint96).max);
        _requireInRange("maxOiMultiplier", p.maxOiMultiplier, 0, 10e18);
        _requireInRange("oiUpper", p.oiUpper, 1, type(uint96).max);
        _requireInRange("oiLower", p.oiLower, 0, p.oiUpper - 1);
        _requireInRange("lotSize", p.lotSize, 1, type(uint64).max);
        _requireInRange("fundingCap", p.fundingCap, 0, 0.1e18);
        _requireInRange("makerFee", p.makerFee, 0, 0.01e18);
        _requireInRange("takerFee", p.takerFee, 0, 0.01e18);
        _requireInRange("optionFeeCap", p.optionFeeCap, 0, 0.5e18);
    }

    function _requireCollateralInRange(uint8 asset, CollateralParameters memory p) private view {
        _requireInRange("asset", asset, 1, MAX_ASSET);
        _requireInRange("decimals", p.decimals, 0, 24);
        if (p.underlying != 0 && !_underlyings[p.underlying].listed) {
            revert UnderlyingNotListed(p.underlying);
        }
        _requireInRange("haircut", p.haircut, 0, 1e18 - 1);
        // Only what is meant to be worth a fixed price can depart from it.
        _requireInRange("depegRate", p.depegRate, 0, p.underlying == 0 ? 1e18 : 0);
        uint256 maxRaw =
            p.decimals > 18 ? type(uint128).max : MAX_BALANCE / 10 ** (18 - p.decimals);
        _requireInRange("capRaw", p.capRaw, 0, maxRaw);
    }

    function _requireScenariosInRange(Scenario[] memory list) private pure {
        _requireInRange("scenarios", list.length, 1, MAX_SCENARIOS);
        for (uint256 i = 0; i < list.length; ++i) {
            _requireAbsInRange("pricePpm", list[i].pricePpm, MAX_PRICE_PPM);
            _requireAbsInRange("volPpm", list[i].volPpm, MAX_VOL_PPM);
            _requireInRange("weightPpm", list[i].weightPpm, 1, ONE_PPM);
        }
    }

    /// @dev The risk model computes one deviation per option and class of equal volatility move.
    function _requireVolClasses(Scenario[] memory list) private pure {
        uint256 count = 0;
        for (uint256 i = 0; i < list.length; ++i) {
            if (i > 0 && list[i].volPpm == list[i - 1].volPpm) continue;
            for (uint256 k = 0; k < i; ++k) {
                if (list[k].volPpm == list[i].volPpm) revert VolClassSplit(list[i].volPpm);
            }
            ++count;
        }
        _requireInRange("volClasses", count, 1, MAX_VOL_CLASSES);
    }

    function _requireAllSides(Scenario[] memory list) private pure {
        bool priceDown;
        bool priceUp;
        bool volDown;
        bool volUp;
        for (uint256 i = 0; i < list.length; ++i) {
            Scenario memory s = list[i];
            bool full = s.weightPpm == ONE_PPM;
            priceDown = priceDown || (full && s.pricePpm <= -int256(ONE_PPM));
            priceUp = priceUp || (full && s.pricePpm >= int256(ONE_PPM));
            volDown = volDown || s.volPpm < 0;
            volUp = volUp || s.volPpm > 0;
        }
        if (!priceDown) revert ScenarioSideMissing("priceDown");
        if (!priceUp) revert ScenarioSideMissing("priceUp");
        if (!volDown) revert ScenarioSideMissing("volDown");
        if (!volUp) revert ScenarioSideMissing("volUp");
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

    /// @dev Negative numbers are given in two's complement.
    function _requireAbsInRange(bytes32 name, int256 value, int256 max) private pure {
        if (value < -max || value > max) {
            revert ParameterOutOfRange(name, uint256(value), uint256(-max), uint256(max));
        }
    }

    function _requireInRange(bytes32 name, uint256 value, uint256 min, uint256 max) private pure {
        if (value < min || value > max) revert ParameterOutOfRange(name, value, min, max);
    }
}
