// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {LibBit} from "solady/src/utils/LibBit.sol";
import {LibSort} from "solady/src/utils/LibSort.sol";

import {IMarketData} from "./interfaces/IMarketData.sol";
import {IParameters} from "./interfaces/IParameters.sol";
import {IPredictiveModel} from "./interfaces/IPredictiveModel.sol";
import {IRiskModel} from "./interfaces/IRiskModel.sol";
import {Admission} from "./ledger/Admission.sol";
import {Positions} from "./ledger/Positions.sol";
import {Charges} from "./margin/Charges.sol";
import {Losses} from "./margin/Losses.sol";
import {OptionPricing, Slice} from "./margin/OptionPricing.sol";
import {ScenarioGrid, ScenarioGrids} from "./margin/ScenarioGrid.sol";
import {Valuation} from "./margin/Valuation.sol";
import {Words} from "./margin/Words.sol";
import {FixedPoint} from "./math/FixedPoint.sol";
import {NormalCdf} from "./math/NormalCdf.sol";
import {Grid, ScenarioKernel} from "./math/ScenarioKernel.sol";
import {Instrument} from "./types/Instrument.sol";
import {Position} from "./types/Position.sol";
import {Exposure, PredictiveBreakdown, PredictiveTerms} from "./types/Predictive.sol";
import {
    Assessment,
    Breakdown,
    CollateralParameters,
    GlobalParameters,
    MarginMode,
    Portfolio,
    UnderlyingBreakdown,
    UnderlyingParameters
} from "./types/Types.sol";

/// @title Stateless risk model
/// @notice Implements sections 8 to 10 of the specification, and sections 4 and 7 of its chapter on
/// predictive margin. Positions are sorted, so that one pass
/// handles each underlying and each expiry once; sums over positions are exact integers, rounded
/// once per underlying, in USD.
/// @dev Ranges, from which no operation can overflow: sizes below 2^95 and prices below 2^96 make a
/// dollar delta below 2^132; a balance is worth below 2^128. There are at most 128 positions and 31
/// balances, so sums of deltas stay below 2^140. A move below 2^69 (X64) and a weight below 2^20
/// (Ppm) make 2^229.
contract RiskModel is IRiskModel {
    using Position for uint256;
    using Instrument for uint128;
    using ScenarioKernel for Grid;
    using Words for uint256[];
    using Words for int256[];

    uint256 private constant GROUPS = 8;
    /// @dev Roundings in a profile and in what is made of it, wei.
    uint256 private constant ROUNDING = 16;

    IParameters private immutable PARAMETERS;
    IMarketData private immutable MARKET_DATA;
    /// @inheritdoc IRiskModel
    IPredictiveModel public immutable predictiveModel;

    /// @dev Table of the normal distribution, most of a contract's size on its own.
    address private immutable NORMAL_TABLE;

    /// @dev Scenarios to be priced: all; as many as it takes to find the worst netted loss, if
    /// there is no other underlying to net it with; the ends of runs, enough for each position's
    /// own worst loss; or what predictive margin reads, which knows no own losses: tails and nodes
    /// and, of an underlying that published vectors do not cover, all.
    enum Extent {
        ALL,
        WORST,
        ENDS,
        NODES
    }

    /// @dev A collateral balance with its rates, waiting for the index of its underlying.
    struct Balance {
        uint256 amount;
        uint256 rate;
        uint256 stableRate;
        CollateralParameters parameters;
    }

    /// @dev What the pass over an account needs and accumulates.
    /// @param isPredictive Whether predictive margin is wanted and the account exposed to anything.
    /// @param extent Scenarios to be priced.
    /// @param exposures Bit u is set if underlying u has a position or a balance.
    /// @param positions Ascending, with a zero behind the last.
    /// @param balanceKeys Underlying in bits 248-255, index into `balances` below; ascending.
    /// @param bucketTimes Time buckets of the underlying at hand, with `bucketDeltas`.
    /// @param initialValue Collateral at the worse of spot and stable price.
    /// @param errorBound Kernel error and rounding of all options, to be taken off their value.
    /// @param initialCharges Charges to initial margin alone, with `isolatedInitialCharges`.
    /// @param groupNetted Netted profit and loss per group and scenario.
    /// @param profiles What is known of each underlying, for the predictive model.
    struct Pass {
        bool isPredictive;
        Extent extent;
        GlobalParameters globals;
        ScenarioGrid grid;
        uint256 exposures;
        uint256[] positions;
        uint256 nextPosition;
        Balance[] balances;
        uint256[] balanceKeys;
        uint256 nextBalance;
        uint256[] openInterest;
        uint256[] bucketTimes;
        int256[] bucketDeltas;
        uint256 initialValue;
        uint256 errorBound;
        uint256 charges;
        uint256 isolatedCharges;
        uint256 initialCharges;
        uint256 isolatedInitialCharges;
        int256[][GROUPS] groupNetted;
        uint256[GROUPS] groupGross;
        uint256[GROUPS] groupError;
        PredictiveTerms terms;
        Exposure[] profiles;
        Breakdown result;
    }

    /// @dev What the pass accumulates for one underlying.
    /// @param range R_u, with R_u^init in `initialRange`; if there is a deviation, that and the
    /// initial one, once the scenarios are set.
    /// @param deviation In predictive margin, if vectors cover the underlying.
    /// @param isUncovered In predictive margin, whether vectors in force do not cover it.
    /// @param scenarioLoss W over all scenarios, if uncovered.
    /// @param buckets Time buckets in use.
    /// @param shortSize Sum of the sizes of short options, unsigned.
    /// @param isolated Sum of every position's own worst loss, in the kernel's `LOSS_UNIT`ths.
    /// @param errorBound Bound on the error of the options, in any scenario, value and delta.
    struct Book {
        UnderlyingParameters parameters;
        uint256 range;
        uint256 initialRange;
        uint256 deviation;
        bool isUncovered;
        uint256 scenarioLoss;
        uint256 index;
        uint256 confidence;
        uint256 mark;
        uint256 stableIndex;
        uint256 buckets;
        uint256 shortSize;
        uint256 isolated;
        uint256 errorBound;
        UnderlyingBreakdown result;
    }

    constructor(
        IParameters parameters,
        IMarketData marketData,
        IPredictiveModel predictiveModel_
    ) {
        PARAMETERS = parameters;
        MARKET_DATA = marketData;
        predictiveModel = predictiveModel_;
        NORMAL_TABLE = NormalCdf.deploy();
    }

    /// @inheritdoc IRiskModel
    function assess(Portfolio calldata portfolio) external view returns (Assessment memory) {
        return _compute(portfolio).result.assessment;
    }

    /// @inheritdoc IRiskModel
    function breakdown(Portfolio calldata portfolio) external view returns (Breakdown memory) {
        return _compute(portfolio).result;
    }

    /// @inheritdoc IRiskModel
    function exposures(Portfolio calldata portfolio) external view returns (Exposure[] memory) {
        return _compute(portfolio).profiles;
    }

    /// @inheritdoc IRiskModel
    function collateralValue(uint256[] calldata collateral)
        external
        view
        returns (uint256 value, uint256 oldestTimestamp)
    {
        oldestTimestamp = block.timestamp;
        for (uint256 i; i < collateral.length; ++i) {
            uint8 asset = uint8(collateral[i] >> 248);
            CollateralParameters memory parameters = PARAMETERS.collateralParameters(asset);
            (uint256 price, uint256 stablePrice, uint256 timestamp) =
                MARKET_DATA.collateralRate(asset);
            oldestTimestamp = FixedPoint.min(oldestTimestamp, timestamp);
            if (parameters.underlying != 0) {
                uint256 index;
                uint256 stableIndex;
                (index,,, stableIndex, timestamp) = MARKET_DATA.spot(parameters.underlying);
                oldestTimestamp = FixedPoint.min(oldestTimestamp, timestamp);
                price = Valuation.tokenPrice(price, index);
                stablePrice = Valuation.tokenPrice(stablePrice, stableIndex);
            }
            value += Valuation.haircutValue(
                uint128(collateral[i]), FixedPoint.min(price, stablePrice), parameters.haircut
            );
        }
    }

    // -------------------------------------------------------------------------------- The passes

    /// @dev The view that was called tells what is wanted: an assessment needs one pass over only
    /// those scenarios it depends on; a breakdown shows all scenarios and, by a second pass,
    /// predictive margin. As an argument it would make the compiler write the body of a pass more
    /// than once, beyond the limit on code.
    function _compute(Portfolio calldata portfolio) private view returns (Pass memory pass) {
        pass.isPredictive = msg.sig == this.exposures.selector
            || (msg.sig == this.assess.selector && portfolio.marginMode == MarginMode.PREDICTIVE);
        _pass(pass, portfolio);
        if (msg.sig != this.breakdown.selector) return pass;
        Pass memory second;
        second.isPredictive = true;
        _pass(second, portfolio);
        if (!second.isPredictive) return pass;
        Breakdown memory result = pass.result;
        result.predictive = second.result.predictive;
        if (portfolio.marginMode == MarginMode.PREDICTIVE) {
            result.assessment = second.result.assessment;
            result.health = second.result.health;
        }
    }

    function _pass(Pass memory pass, Portfolio calldata portfolio) private view {
        Breakdown memory result = pass.result;
        result.assessment.oldestTimestamp = block.timestamp;
        pass.globals = PARAMETERS.globalParameters();
        pass.openInterest = portfolio.openInterest;
        _loadPositions(pass, portfolio.positions);
        _loadBalances(pass, portfolio.collateral);
        if (pass.isPredictive) {
            // To an account exposed to nothing all generations are the same.
            pass.isPredictive = pass.exposures != 0;
            if (pass.isPredictive) pass.terms = predictiveModel.terms(pass.exposures);
            else if (msg.sig != this.assess.selector) return;
        }
        (address pointer, uint256 progress) = PARAMETERS.scenarioPointer();
        pass.grid = ScenarioGrids.load(
            pointer, progress, NORMAL_TABLE, pass.isPredictive, pass.terms.uncovered == 0
        );

        uint256 underlyings = pass.exposures;
        uint256 count = LibBit.popCount(underlyings);
        if (pass.isPredictive) {
            pass.extent = Extent.NODES;
            pass.profiles = new Exposure[](count);
        } else if (msg.sig == this.assess.selector) {
            if (portfolio.marginMode == MarginMode.ISOLATED) pass.extent = Extent.ENDS;
            else if (count == 1) pass.extent = Extent.WORST;
        }
        result.underlyings = new UnderlyingBreakdown[](count);
        for (uint256 k; underlyings != 0; ++k) {
            result.underlyings[k] = _underlying(pass, uint8(LibBit.ffs(underlyings)), k);
            underlyings &= underlyings - 1;
        }
        if (pass.extent == Extent.ALL || pass.isPredictive) _netGroups(pass);
        if (pass.isPredictive) _requirePredictive(pass);
        else _require(pass, portfolio.marginMode);
        _judge(pass, portfolio.cash);
    }

    /// @dev Copies the positions in ascending order, with a zero behind the last.
    function _loadPositions(Pass memory pass, uint256[] calldata positions) private pure {
        // Cannot overflow: see the ranges above the contract.
        unchecked {
            uint256 count = positions.length;
            uint256[] memory sorted = new uint256[](count + 1);
            // One word per position, and the array is then one shorter than what was allocated.
            assembly ("memory-safe") {
                calldatacopy(add(sorted, 32), positions.offset, shl(5, count))
                mstore(sorted, count)
            }
            LibSort.sort(sorted);
            uint256 exposures;
            for (uint256 i; i < count; ++i) exposures |= 1 << sorted.word(i).underlying();
            pass.exposures = exposures;
            pass.positions = sorted;
            pass.bucketTimes = new uint256[](count + 1);
            pass.bucketDeltas = new int256[](count + 1);
        }
    }

    /// @dev Values cash-like tokens at once; the others wait for the index of their underlying.
    function _loadBalances(Pass memory pass, uint256[] calldata collateral) private view {
        pass.balances = new Balance[](collateral.length);
        uint256[] memory keys = new uint256[](collateral.length);
        uint256 count;
        for (uint256 i; i < collateral.length; ++i) {
            uint8 asset = uint8(collateral[i] >> 248);
            Balance memory balance = pass.balances[i];
            balance.amount = uint128(collateral[i]);
            balance.parameters = PARAMETERS.collateralParameters(asset);
            uint256 timestamp;
            (balance.rate, balance.stableRate, timestamp) = MARKET_DATA.collateralRate(asset);
            _note(pass, timestamp);
            uint256 underlying = balance.parameters.underlying;
            if (underlying == 0) {
                uint256 value = _addCollateral(pass, balance, balance.rate, balance.stableRate);
                pass.result.depegCharge += FixedPoint.mulUp(balance.parameters.depegRate, value);
            } else {
                keys[count++] = underlying << 248 | i;
                pass.exposures |= 1 << underlying;
            }
        }
        // Shrinks the array to the keys in use.
        assembly ("memory-safe") {
            mstore(keys, count)
        }
        LibSort.insertionSort(keys);
        pass.balanceKeys = keys;
    }

    /// @param k Its index among those of the account.
    function _underlying(Pass memory pass, uint8 underlying, uint256 k)
        private
        view
        returns (UnderlyingBreakdown memory)
    {
        Book memory book;
        book.result.underlying = underlying;
        book.parameters = PARAMETERS.underlyingParameters(underlying);
        uint256 timestamp;
        (book.index, book.confidence, book.mark, book.stableIndex, timestamp) =
            MARKET_DATA.spot(underlying);
        _note(pass, timestamp);
        (book.range, book.initialRange) = PARAMETERS.scanRanges(underlying);
        ScenarioGrids.prepare(pass.grid, book.range);
        if (pass.isPredictive) _prepareNodes(pass, book, k);
        pass.bucketTimes[0] = block.timestamp;
        pass.bucketDeltas[0] = 0;
        book.buckets = 1;
        _addBalances(pass, book);
        _addPositions(pass, book);
        _workOutLosses(pass, book);
        if (pass.isPredictive) pass.profiles[k] = _profile(pass, book);
        _workOutCharges(pass, book);
        return book.result;
    }

    /// @dev Nodes only for what published vectors cover, at least some of them.
    function _prepareNodes(Pass memory pass, Book memory book, uint256 k) private pure {
        book.isUncovered = pass.terms.uncovered >> book.result.underlying & 1 != 0;
        uint256 deviation = pass.terms.deviations[k];
        if (deviation == 0) return;
        book.deviation = deviation;
        (book.range, book.initialRange) = (deviation, pass.terms.initialDeviations[k]);
        ScenarioGrids.prepareNodes(pass.grid, deviation);
    }

    // ------------------------------------------------------------------ Collateral and positions

    function _addBalances(Pass memory pass, Book memory book) private pure {
        uint256[] memory keys = pass.balanceKeys;
        uint256 i = pass.nextBalance;
        for (; i < keys.length && keys[i] >> 248 == book.result.underlying; ++i) {
            Balance memory balance = pass.balances[uint8(keys[i])];
            uint256 value = _addCollateral(
                pass,
                balance,
                Valuation.tokenPrice(balance.rate, book.index),
                Valuation.tokenPrice(balance.stableRate, book.stableIndex)
            );
            _addLinearDelta(pass, book, int256(value));
        }
        pass.nextBalance = i;
    }

    /// @return value At maintenance prices.
    function _addCollateral(
        Pass memory pass,
        Balance memory balance,
        uint256 price,
        uint256 stablePrice
    ) private pure returns (uint256 value) {
        uint256 haircut = balance.parameters.haircut;
        value = Valuation.haircutValue(balance.amount, price, haircut);
        pass.result.collateralValue += value;
        pass.initialValue += stablePrice < price
            ? Valuation.haircutValue(balance.amount, stablePrice, haircut)
            : value;
    }

    function _addPositions(Pass memory pass, Book memory book) private view {
        uint256 i = pass.nextPosition;
        uint256 slot = pass.positions.word(i);
        while (slot.underlying() == book.result.underlying) {
            uint32 expiry = slot.expiry();
            uint256 price;
            if (expiry != 0 && expiry <= block.timestamp) {
                price = MARKET_DATA.settlementPrice(book.result.underlying, expiry);
            }
            i = price == 0
                ? _addExpiry(pass, book, i, _openSlice(pass, book, expiry))
                : _addSettled(pass, i, price);
            slot = pass.positions.word(i);
        }
        pass.nextPosition = i;
    }

    /// @dev Adds all positions of one expiry at its settlement price: value without risk.
    /// @return i Index of the first position after them.
    function _addSettled(Pass memory pass, uint256 first, uint256 price)
        private
        pure
        returns (uint256 i)
    {
        // Cannot overflow: see the ranges above the contract.
        unchecked {
            i = first;
            uint256 slot = pass.positions.word(i);
            uint256 head = slot.upToExpiry();
            while (slot.upToExpiry() == head) {
                pass.result.derivativeValue += Positions.payoff(slot, price);
                slot = pass.positions.word(++i);
            }
        }
    }

    /// @dev Reads an expiry that stays in the scenarios and opens its time bucket. A perpetual is a
    /// future at its mark; an expired option without a settlement price expires now on the index.
    function _openSlice(Pass memory pass, Book memory book, uint32 expiry)
        private
        view
        returns (Slice memory slice)
    {
        slice.discount = 1e18;
        if (expiry == 0) {
            slice.forward = book.mark;
        } else if (expiry <= block.timestamp) {
            slice.forward = book.index;
        } else {
            uint256 timestamp;
            (slice.forward, slice.discount, slice.svi, timestamp) =
                MARKET_DATA.slice(book.result.underlying, expiry, book.index);
            _note(pass, timestamp);
            slice.tauSeconds = expiry - block.timestamp;
            pass.bucketTimes[book.buckets] = expiry;
            pass.bucketDeltas[book.buckets++] = 0;
        }
    }

    /// @dev Adds all positions of one expiry that stays in the scenarios.
    /// @return i Index of the first position after them.
    function _addExpiry(Pass memory pass, Book memory book, uint256 first, Slice memory slice)
        private
        pure
        returns (uint256 i)
    {
        // Cannot overflow: see the ranges above the contract.
        unchecked {
            i = first;
            uint256 slot = pass.positions.word(i);
            uint256 head = slot.upToExpiry();
            (int256 before,) = pass.grid.kernel.deltas();
            while (slot.upToExpiry() == head) {
                if (slot.isOption()) {
                    i = _addStrike(pass, book, slice, i);
                } else {
                    int256 value = FixedPoint.mulDown(slot.size(), int256(slice.forward));
                    pass.result.derivativeValue += value + slot.quote();
                    _addLinearDelta(pass, book, value);
                    ++i;
                }
                slot = pass.positions.word(i);
            }
            (int256 delta,) = pass.grid.kernel.deltas();
            pass.bucketDeltas.increase(book.buckets - 1, delta - before);
        }
    }

    function _addLinearDelta(Pass memory pass, Book memory book, int256 value) private pure {
        // Cannot overflow: see the ranges above the contract.
        unchecked {
            book.isolated += pass.grid.kernel.addLinear(value);
            pass.bucketDeltas.increase(book.buckets - 1, value);
            book.result.delta += value;
            book.result.grossDelta += FixedPoint.abs(value);
        }
    }

    /// @dev Adds the call, the put or both of one strike; they share all but their notional.
    /// @return i Index of the first position after them.
    function _addStrike(Pass memory pass, Book memory book, Slice memory slice, uint256 first)
        private
        pure
        returns (uint256 i)
    {
        if (slice.volFactorX64.length == 0) {
            OptionPricing.prepare(slice, pass.globals, book.parameters, pass.grid.classVolPpm);
        }
        // Cannot overflow: see the ranges above the contract.
        unchecked {
            i = first;
            Grid kernel = pass.grid.kernel;
            uint256 slot = pass.positions.word(i);
            uint256 head = slot.upToStrike();
            OptionPricing.open(slice, kernel, slot.strike());
            while (slot.upToStrike() == head) {
                pass.result.derivativeValue += OptionPricing.add(slice, kernel, slot);
                book.shortSize += slot.shortSize();
                slot = pass.positions.word(++i);
            }
            kernel.closeStrike();
        }
    }

    // ------------------------------------------------------------------------ Losses and charges

    /// @dev Prices the scenarios that are asked for and books the losses into the risk group.
    function _workOutLosses(Pass memory pass, Book memory book) private pure {
        // Cannot overflow: see the ranges above the contract.
        unchecked {
            UnderlyingBreakdown memory result = book.result;
            Grid kernel = pass.grid.kernel;
            uint256 errorBound = kernel.errorBound();
            book.errorBound = errorBound;
            pass.errorBound += errorBound;
            pass.result.derivativeValue += kernel.value();
            (int256 delta, uint256 grossDelta) = kernel.deltas();
            result.delta += delta;
            result.grossDelta += grossDelta;
            if (pass.isPredictive) return _netAllScenarios(pass, book);
            // Without options there is nothing to price for own losses or the worst netted one.
            if (errorBound != 0 || pass.extent == Extent.ALL) book.isolated += kernel.priceEnds();
            result.isolatedLoss =
                FixedPoint.divideUp(book.isolated, ScenarioKernel.LOSS_UNIT) + 3 * errorBound;
            pass.result.isolatedScanRisk += result.isolatedLoss;
            if (pass.extent == Extent.ALL) {
                _netAllScenarios(pass, book);
            } else if (pass.extent == Extent.WORST) {
                result.worstLoss = kernel.worstLoss() + errorBound;
                pass.result.scanRisk = result.worstLoss;
            }
        }
    }

    /// @dev In predictive margin "all" are the tails; what vectors do not cover counts its own
    /// worst scenario beside.
    function _netAllScenarios(Pass memory pass, Book memory book) private pure {
        // Cannot overflow: see the ranges above the contract.
        unchecked {
            UnderlyingBreakdown memory result = book.result;
            Grid kernel = pass.grid.kernel;
            uint256 tails = pass.grid.tails;
            uint256 count = book.isUncovered ? pass.grid.count : tails;
            if (pass.isPredictive) kernel.priceFirst(count);
            else kernel.priceAll();
            int256[] memory netted = new int256[](count);
            for (uint256 j; j < count; ++j) netted[j] = kernel.netted(j);
            uint256 loss;
            if (book.isUncovered) {
                (loss,) = Losses.worst(netted);
                book.scenarioLoss = loss + book.errorBound;
                // Shortening an array in memory leaves it valid.
                assembly ("memory-safe") {
                    mstore(netted, tails)
                }
            }
            (loss, result.bindingScenario) = Losses.worst(netted);
            result.netted = netted;
            result.worstLoss = loss + book.errorBound;

            uint256 group = book.parameters.group;
            int256[] memory others = pass.groupNetted[group];
            pass.groupNetted[group] = others.length == 0 ? netted : Losses.sum(others, netted);
            pass.groupGross[group] += result.worstLoss;
            pass.groupError[group] += book.errorBound;
        }
    }

    /// @dev What the predictive model is given.
    function _profile(Pass memory pass, Book memory book)
        private
        pure
        returns (Exposure memory exposure)
    {
        // Cannot overflow: see the ranges above the contract.
        unchecked {
            exposure.underlying = book.result.underlying;
            exposure.deviation = book.deviation;
            exposure.scenarioLoss = book.scenarioLoss;
            exposure.delta = book.result.delta;
            exposure.slack = 3 * pass.grid.kernel.nodeErrorBound()
                + (FixedPoint.abs(exposure.delta) >> 60) + ROUNDING;
            if (book.deviation == 0) return exposure;
            ScenarioGrids.priceNodes(pass.grid);
            ScenarioGrids.profile(pass.grid, exposure);
        }
    }

    function _workOutCharges(Pass memory pass, Book memory book) private pure {
        UnderlyingBreakdown memory result = book.result;
        UnderlyingParameters memory p = book.parameters;
        uint256 net = FixedPoint.abs(result.delta) + book.errorBound;
        uint256 gross = result.grossDelta + book.errorBound;
        result.basisCharge = Charges.basis(
            pass.bucketTimes, pass.bucketDeltas, book.buckets, book.errorBound, p.basisRate
        );
        result.shortOptionCharge =
            Charges.shortOption(book.shortSize, book.index, p.shortOptionRate);
        result.concentrationCharge = Charges.concentration(net, p.depth, p.concentrationRate);
        result.isolatedConcentrationCharge =
            Charges.concentration(gross, p.depth, p.concentrationRate);
        result.confidenceCharge = Charges.confidence(net, book.confidence, book.index);
        result.isolatedConfidenceCharge = Charges.confidence(gross, book.confidence, book.index);
        pass.charges += result.basisCharge + result.shortOptionCharge
            + result.concentrationCharge + result.confidenceCharge;
        pass.isolatedCharges += result.shortOptionCharge + result.isolatedConcentrationCharge
            + result.isolatedConfidenceCharge;
        _workOutInitialCharges(pass, book);
    }

    /// @dev Charges on the worst losses, to initial margin alone; in predictive margin on those in
    /// the tails, and the first for the deviation instead of the scan range, or without one on
    /// the worst of all scenarios.
    function _workOutInitialCharges(Pass memory pass, Book memory book) private pure {
        UnderlyingBreakdown memory result = book.result;
        UnderlyingParameters memory p = book.parameters;
        uint256 initialFactor = pass.globals.initialFactor;
        uint256 factor =
            Charges.scanRangeFactor(book.range, book.initialRange, initialFactor);
        bool isOfAll = pass.isPredictive && book.deviation == 0;
        result.scanRangeCharge =
            FixedPoint.mulUp(factor, isOfAll ? book.scenarioLoss : result.worstLoss);
        result.isolatedScanRangeCharge = FixedPoint.mulUp(factor, result.isolatedLoss);
        uint256 openInterest = _openInterestOf(pass, result.underlying);
        factor = Charges.openInterestFactor(
            openInterest, p.oiLower, p.oiUpper, p.maxOiMultiplier, initialFactor
        );
        result.openInterestCharge = FixedPoint.mulUp(factor, result.worstLoss);
        result.isolatedOpenInterestCharge = FixedPoint.mulUp(factor, result.isolatedLoss);
        pass.initialCharges += result.scanRangeCharge + result.openInterestCharge;
        pass.isolatedInitialCharges +=
            result.isolatedScanRangeCharge + result.isolatedOpenInterestCharge;
        if (!pass.isPredictive) return;
        pass.result.predictive.deviationCharge += result.scanRangeCharge;
        pass.result.predictive.openInterestCharge += result.openInterestCharge;
    }

    function _openInterestOf(Pass memory pass, uint256 underlying) private pure returns (uint256) {
        uint256[] memory words = pass.openInterest;
        for (uint256 i; i < words.length; ++i) {
            if (words[i] >> 248 == underlying) return uint128(words[i]);
        }
        return 0;
    }

    // ------------------------------------------------------------------- Requirement and health

    /// @dev R_g: between what a group loses in one scenario and what each loses in its own. The
    /// weights are read only if the two differ, which they never do for a single underlying.
    function _netGroups(Pass memory pass) private view {
        uint64[8] memory decorrelations;
        bool isRead;
        for (uint256 g; g < GROUPS; ++g) {
            if (pass.groupNetted[g].length == 0) continue;
            (uint256 risk,) = Losses.worst(pass.groupNetted[g]);
            risk += pass.groupError[g];
            // Each net loss is at most the worst of its underlying.
            uint256 offset = pass.groupGross[g] - risk;
            if (offset != 0) {
                if (!isRead) decorrelations = PARAMETERS.decorrelations();
                isRead = true;
                risk += FixedPoint.mulUp(decorrelations[g], offset);
            }
            pass.result.groupRisk[g] = risk;
            pass.result.scanRisk += risk;
        }
    }

    function _require(Pass memory pass, MarginMode mode) private pure {
        Breakdown memory result = pass.result;
        GlobalParameters memory globals = pass.globals;
        uint256 charges = pass.charges + result.depegCharge;
        uint256 isolatedCharges = pass.isolatedCharges + result.depegCharge;
        result.netMaintenanceMargin =
            FixedPoint.mulUp(globals.maintenanceFactor, result.scanRisk) + charges;
        result.netInitialMargin = FixedPoint.mulUp(globals.initialFactor, result.scanRisk)
            + charges + pass.initialCharges;
        result.isolatedMaintenanceMargin =
            FixedPoint.mulUp(globals.maintenanceFactor, result.isolatedScanRisk) + isolatedCharges;
        result.isolatedInitialMargin =
            FixedPoint.mulUp(globals.initialFactor, result.isolatedScanRisk) + isolatedCharges
                + pass.isolatedInitialCharges;

        Assessment memory assessment = result.assessment;
        assessment.maintenanceMargin = result.isolatedMaintenanceMargin;
        assessment.initialMargin = result.isolatedInitialMargin;
        if (mode != MarginMode.ISOLATED) {
            assessment.maintenanceMargin =
                FixedPoint.min(assessment.maintenanceMargin, result.netMaintenanceMargin);
            assessment.initialMargin =
                FixedPoint.min(assessment.initialMargin, result.netInitialMargin);
        }
    }

    /// @dev Specification, Predictive margin, 7. For `exposures` nothing is measured.
    function _requirePredictive(Pass memory pass) private view {
        if (msg.sig == this.exposures.selector) return;
        PredictiveBreakdown memory result = pass.result.predictive;
        GlobalParameters memory globals = pass.globals;
        result.applies = true;
        result.tailRisk = pass.result.scanRisk;
        (result.shortfall, result.parametric) = predictiveModel.measure(pass.profiles);
        uint256 charges = pass.charges + pass.result.depegCharge;
        uint256 risk = FixedPoint.max(
            result.shortfall, FixedPoint.mulUp(pass.terms.floorWeight, result.tailRisk)
        );
        result.maintenanceMargin = FixedPoint.mulUp(globals.maintenanceFactor, risk) + charges;
        risk = FixedPoint.max(
            risk, FixedPoint.mulUp(pass.terms.parametricWeight, result.parametric)
        );
        result.initialMargin =
            FixedPoint.mulUp(globals.initialFactor, risk) + charges + pass.initialCharges;
        pass.result.assessment.maintenanceMargin = result.maintenanceMargin;
        pass.result.assessment.initialMargin = result.initialMargin;
    }

    function _judge(Pass memory pass, int256 cash) private pure {
        Breakdown memory result = pass.result;
        Assessment memory assessment = result.assessment;
        int256 derivatives = result.derivativeValue - int256(pass.errorBound);
        result.derivativeValue = derivatives;
        assessment.equity = cash + int256(result.collateralValue) + derivatives;
        assessment.collateralEquity = cash + int256(pass.initialValue);
        if (derivatives > 0) {
            derivatives = FixedPoint.min(
                FixedPoint.mulDown(int256(uint256(pass.globals.profitWeight)), derivatives),
                int256(uint256(pass.globals.profitCap))
            );
        }
        assessment.initialEquity = assessment.collateralEquity + derivatives;
        result.health = Admission.healthOf(assessment);
    }

    function _note(Pass memory pass, uint256 timestamp) private pure {
        Assessment memory assessment = pass.result.assessment;
        if (timestamp < assessment.oldestTimestamp) assessment.oldestTimestamp = timestamp;
    }
}
