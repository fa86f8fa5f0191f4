// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Black76} from "../math/Black76.sol";
import {FixedPoint} from "../math/FixedPoint.sol";
import {NormalCdf} from "../math/NormalCdf.sol";
import {Grid, ScenarioKernel} from "../math/ScenarioKernel.sol";
import {Svi} from "../math/Svi.sol";
import {Transcendental} from "../math/Transcendental.sol";
import {CaseMap} from "./CaseMap.sol";

/// @title Every function of the mathematics, callable and in bulk
contract MathHarness is CaseMap {
    /// @notice Option of a `Book`; fields as in `ScenarioKernel.addOption`.
    /// @param deviationsX64 Shocked total deviation per vol class.
    struct Option {
        int256 notional;
        bool isPut;
        uint256 strikeRatioX64;
        int256 lnRatioX64;
        uint256 deviationX64;
        uint256[] deviationsX64;
    }

    /// @notice Grid and positions of one underlying.
    struct Book {
        uint256[] movesX64;
        uint256[] weightsPpm;
        uint256[] classEnds;
        Option[] options;
        int256[] linears;
    }

    /// @notice All the kernel says about a `Book`. Losses are those of the options, then those of
    /// the linear positions. The worst loss is found before all scenarios are priced.
    struct Scan {
        int256[] callsX64;
        uint256[] deltasX64;
        uint256[] ownLosses;
        int256[] netted;
        uint256 worstLoss;
        uint256 errorBound;
    }

    error LossesDiffer();

    uint256 private constant ONE = 2 ** 64;

    address private immutable NORMAL_TABLE;

    constructor() {
        NORMAL_TABLE = NormalCdf.deploy();
    }

    /// @notice Runs whole books through the kernel.
    function scan(Book[] calldata books) external view returns (Scan[] memory scans) {
        uint256 table = NormalCdf.load(NORMAL_TABLE);
        scans = new Scan[](books.length);
        for (uint256 i; i < books.length; ++i) scans[i] = _scan(table, books[i]);
    }

    /// @notice Gas of adding options to a grid and pricing every scenario.
    function pricingGas(Book calldata book) external view returns (uint256 gasUsed) {
        gasUsed = gasleft();
        Grid grid = _gridOf(NormalCdf.load(NORMAL_TABLE), book);
        ScenarioKernel.priceEnds(grid);
        ScenarioKernel.priceAll(grid);
        gasUsed -= gasleft();
    }

    /// @notice Gas of finding the worst loss of a book, and of pricing every scenario instead.
    function searchGas(Book calldata book)
        external
        view
        returns (uint256 searched, uint256 everything)
    {
        uint256 table = NormalCdf.load(NORMAL_TABLE);
        Grid grid = _gridOf(table, book);
        searched = gasleft();
        ScenarioKernel.priceEnds(grid);
        ScenarioKernel.worstLoss(grid);
        searched -= gasleft();
        grid = _gridOf(table, book);
        everything = gasleft();
        ScenarioKernel.priceEnds(grid);
        ScenarioKernel.priceAll(grid);
        everything -= gasleft();
    }

    /// @notice Gas of one logarithm, exponential, distribution, total deviation and table load.
    function functionGas(uint256 xX64, uint256 svi)
        external
        view
        returns (uint256 ln, uint256 exp, uint256 cdf, uint256 deviation, uint256 load)
    {
        load = gasleft();
        uint256 table = NormalCdf.load(NORMAL_TABLE);
        load -= gasleft();
        ln = gasleft();
        int256 logarithm = Transcendental.lnX64(xX64);
        ln -= gasleft();
        exp = gasleft();
        uint256 exponential = Transcendental.expX64(int256(xX64));
        exp -= gasleft();
        cdf = gasleft();
        uint256 probability = NormalCdf.cdfX64(table, logarithm);
        cdf -= gasleft();
        deviation = gasleft();
        uint256 s = Svi.totalDeviation(svi, logarithm);
        deviation -= gasleft();
        // The results are used, so that no call is optimised away.
        if (exponential + probability + s == 0) load = 0;
    }

    // ---------------------------------------------------------------------------- Single functions

    function mulDown(uint256 a, uint256 b) external pure returns (uint256) {
        return FixedPoint.mulDown(a, b);
    }

    function mulUp(uint256 a, uint256 b) external pure returns (uint256) {
        return FixedPoint.mulUp(a, b);
    }

    function divDown(uint256 a, uint256 b) external pure returns (uint256) {
        return FixedPoint.divDown(a, b);
    }

    function divUp(uint256 a, uint256 b) external pure returns (uint256) {
        return FixedPoint.divUp(a, b);
    }

    function divideUp(uint256 a, uint256 b) external pure returns (uint256) {
        return FixedPoint.divideUp(a, b);
    }

    function mulDivDown(uint256 a, uint256 b, uint256 c) external pure returns (uint256) {
        return FixedPoint.mulDivDown(a, b, c);
    }

    function mulDivUp(uint256 a, uint256 b, uint256 c) external pure returns (uint256) {
        return FixedPoint.mulDivUp(a, b, c);
    }

    function floorDiv(int256 a, int256 b) external pure returns (int256) {
        return FixedPoint.floorDiv(a, b);
    }

    function mulDownSigned(int256 a, int256 b) external pure returns (int256) {
        return FixedPoint.mulDown(a, b);
    }

    function mulUpSigned(int256 a, int256 b) external pure returns (int256) {
        return FixedPoint.mulUp(a, b);
    }

    function mulToZero(int256 a, int256 b) external pure returns (int256) {
        return FixedPoint.mulToZero(a, b);
    }

    function divToZero(int256 a, int256 b) external pure returns (int256) {
        return FixedPoint.divToZero(a, b);
    }

    function mulDivDownSigned(int256 a, int256 b, int256 c) external pure returns (int256) {
        return FixedPoint.mulDivDown(a, b, c);
    }

    function sqrt(uint256 a) external pure returns (uint256) {
        return FixedPoint.sqrt(a);
    }

    function sqrtUp(uint256 a) external pure returns (uint256) {
        return FixedPoint.sqrtUp(a);
    }

    function absolute(int256 a) external pure returns (uint256) {
        return FixedPoint.abs(a);
    }

    function clamp(int256 a, int256 low, int256 high) external pure returns (int256) {
        return FixedPoint.clamp(a, low, high);
    }

    function toWadDown(uint256 raw, uint8 decimals) external pure returns (uint256) {
        return FixedPoint.toWadDown(raw, decimals);
    }

    function toWadUp(uint256 raw, uint8 decimals) external pure returns (uint256) {
        return FixedPoint.toWadUp(raw, decimals);
    }

    function toRawDown(uint256 wad, uint8 decimals) external pure returns (uint256) {
        return FixedPoint.toRawDown(wad, decimals);
    }

    function toRawUp(uint256 wad, uint8 decimals) external pure returns (uint256) {
        return FixedPoint.toRawUp(wad, decimals);
    }

    function lnX64(uint256 xX64) external pure returns (int256) {
        return Transcendental.lnX64(xX64);
    }

    function lnRatioX64(uint256 a, uint256 b) external pure returns (int256) {
        return Transcendental.lnRatioX64(a, b);
    }

    function expX64(int256 xX64) external pure returns (uint256) {
        return Transcendental.expX64(xX64);
    }

    function cdfAt(int256 step) external view returns (uint256) {
        return NormalCdf.cdfAt(NormalCdf.load(NORMAL_TABLE), step);
    }

    function cdfX64(int256 xX64) external view returns (uint256) {
        return NormalCdf.cdfX64(NormalCdf.load(NORMAL_TABLE), xX64);
    }

    function unitCall(uint256 strikeRatioX64, int256 logarithmX64, uint256 deviationX64)
        external
        view
        returns (int256, uint256)
    {
        return Black76.unitCall(
            NormalCdf.load(NORMAL_TABLE), strikeRatioX64, logarithmX64, deviationX64
        );
    }

    function call(uint256 forward, uint256 strike, uint256 deviationX64, uint256 discount)
        external
        view
        returns (uint256)
    {
        return Black76.call(
            NormalCdf.load(NORMAL_TABLE),
            forward,
            strike,
            Transcendental.lnRatioX64(forward, strike),
            deviationX64,
            discount
        );
    }

    function put(uint256 forward, uint256 strike, uint256 deviationX64, uint256 discount)
        external
        view
        returns (uint256)
    {
        return Black76.put(
            NormalCdf.load(NORMAL_TABLE),
            forward,
            strike,
            Transcendental.lnRatioX64(forward, strike),
            deviationX64,
            discount
        );
    }

    function totalVariance(uint256 svi, int256 kX64) external pure returns (uint256) {
        return Svi.totalVariance(svi, kX64);
    }

    function totalDeviation(uint256 svi, int256 kX64) external pure returns (uint256) {
        return Svi.totalDeviation(svi, kX64);
    }

    function densityX64(uint256 svi, int256 kX64) external pure returns (int256) {
        return Svi.densityX64(svi, kX64);
    }

    function requireButterflyFree(uint256 svi) external pure {
        Svi.requireButterflyFree(svi);
    }

    function requireCalendarFree(uint256 near, uint256 far) external pure {
        Svi.requireCalendarFree(near, far);
    }

    // -------------------------------------------------------------------------------------- Kernel

    function _scan(uint256 table, Book calldata book) private pure returns (Scan memory result) {
        Grid grid = _grid(table, book);
        uint256 options = book.options.length;
        uint256 sumOfLosses;
        result.callsX64 = new int256[](options);
        result.deltasX64 = new uint256[](options);
        result.ownLosses = new uint256[](options + book.linears.length);
        for (uint256 i; i < options; ++i) {
            Option memory o = book.options[i];
            (result.callsX64[i], result.deltasX64[i]) = _addOption(grid, o);
            Grid alone = _grid(table, book);
            _addOption(alone, o);
            result.ownLosses[i] = ScenarioKernel.priceEnds(alone);
            sumOfLosses += result.ownLosses[i];
        }
        for (uint256 i; i < book.linears.length; ++i) {
            result.ownLosses[options + i] = ScenarioKernel.addLinear(grid, book.linears[i]);
        }
        if (ScenarioKernel.priceEnds(grid) != sumOfLosses) revert LossesDiffer();
        result.worstLoss = ScenarioKernel.worstLoss(grid);
        ScenarioKernel.priceAll(grid);
        result.netted = new int256[](book.movesX64.length);
        for (uint256 j; j < book.movesX64.length; ++j) {
            result.netted[j] = ScenarioKernel.netted(grid, j);
        }
        result.errorBound = ScenarioKernel.errorBound(grid);
    }

    function _gridOf(uint256 table, Book calldata book) private pure returns (Grid grid) {
        grid = _grid(table, book);
        for (uint256 i; i < book.options.length; ++i) _addOption(grid, book.options[i]);
    }

    function _addOption(Grid grid, Option memory o)
        private
        pure
        returns (int256 callX64, uint256 deltaX64)
    {
        int256 delta;
        (callX64, delta) = ScenarioKernel.openStrike(
            grid, o.strikeRatioX64, o.lnRatioX64, o.deviationX64
        );
        ScenarioKernel.setDeviations(grid, o.lnRatioX64, ONE, o.deviationsX64, 0);
        deltaX64 = uint256(delta);
        ScenarioKernel.addOption(grid, o.notional, o.isPut);
        ScenarioKernel.closeStrike(grid);
    }

    function _grid(uint256 table, Book calldata book) private pure returns (Grid grid) {
        grid = ScenarioKernel.create(table, book.movesX64.length, book.classEnds.length);
        for (uint256 c; c < book.classEnds.length; ++c) {
            ScenarioKernel.setClass(grid, c, book.classEnds[c]);
        }
        ScenarioKernel.clear(grid);
        for (uint256 j; j < book.movesX64.length; ++j) {
            ScenarioKernel.setScenario(grid, j, book.movesX64[j], book.weightsPpm[j]);
        }
    }
}
