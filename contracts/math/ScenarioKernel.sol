// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Black76} from "./Black76.sol";
import {FixedPoint} from "./FixedPoint.sol";
import {Transcendental} from "./Transcendental.sol";

/// @notice Memory pointer to the scenarios of one underlying and what has been added to them.
type Grid is uint256;

/// @title Profit and loss of positions over a grid of scenarios
/// @notice One pass over a position adds its profit and loss to every scenario of the grid and
/// returns its own worst, so that netted and isolated margin come from the same numbers. The proof
/// of ranges and bounds is in the specification, Mathematics, "Scenario kernel".
/// @dev Usage. Once: `create`, `setClass` for every vol class. For each underlying: `setScenario`
/// for every scenario and `clear`. For each option: `setDeviation` for every class, `addOption`;
/// for everything else `addLinear`. Then `netted`, `worstLoss`, `errorBound`.
///
/// Sums are exact and kept in units of 2^-64 wei (not weighted) or, weighted, in `LOSS_UNIT`ths of
/// a wei; each is rounded once, when it is read.
library ScenarioKernel {
    /// @notice Bound on the error of a call's value and of the difference of two, WAD, per unit of
    /// notional: see `errorBound`.
    uint256 internal constant KERNEL_ERROR = 500_000;
    /// @notice Rounding of a notional and of values, wei per option: see `errorBound`.
    uint256 internal constant ROUNDING_ERROR = 32;
    /// @notice Units of `addOption`'s and `addLinear`'s losses in one wei: weight (Ppm) times X64.
    uint256 internal constant LOSS_UNIT = 1e6 * 2 ** 64;
    /// @notice Greatest total deviation, X64.
    uint256 internal constant MAX_DEVIATION = Black76.MAX_DEVIATION;

    uint256 private constant ONE = 2 ** 64;
    uint256 private constant WAD = 1e18;
    /// @dev `NormalCdf.END` - 1, which assembly cannot reach.
    uint256 private constant LAST_STEP = 600 * 2 ** 48 - 1;

    /// @dev Byte offsets in a grid: a header, then the classes, the scenarios and the runs.
    uint256 private constant TABLE = 0x00;
    uint256 private constant CLASSES = 0x20;
    uint256 private constant SCENARIOS = 0x40;
    uint256 private constant RUNS = 0x60;
    uint256 private constant RUNS_END = 0x80;
    uint256 private constant CLASS = 0xa0;
    uint256 private constant LINEAR = 0xc0;
    uint256 private constant BASE = 0xe0;
    uint256 private constant NOTIONAL = 0x100;
    uint256 private constant OPTIONS = 0x120;
    uint256 private constant MAX_MOVE = 0x140;
    uint256 private constant LEAST_LINEAR = 0x160;
    uint256 private constant GREATEST_LINEAR = 0x180;
    uint256 private constant HEADER = 0x1a0;
    /// @dev A class: address of the end of its scenarios, total deviation (steps), and the line of
    /// `Black76.line` for the option at hand.
    uint256 private constant CLASS_DEVIATION = 0x20;
    uint256 private constant CLASS_SLOPE = 0x40;
    uint256 private constant CLASS_CENTRE = 0x60;
    uint256 private constant CLASS_SIZE = 0x80;
    /// @dev A scenario: ln(move) (X64), move (X64), profit and loss of options (2^-64 wei), weight
    /// (Ppm).
    uint256 private constant MOVE = 0x20;
    uint256 private constant PNL = 0x40;
    uint256 private constant WEIGHT = 0x60;
    uint256 private constant SCENARIO_SIZE = 0x80;
    /// @dev A run, of adjacent scenarios of one class and weight whose moves do not fall: addresses
    /// of its first scenario, of the end of its last, and of its class.
    uint256 private constant RUN_END = 0x20;
    uint256 private constant RUN_CLASS = 0x40;
    uint256 private constant RUN_SIZE = 0x60;

    /// @notice Allocates a grid.
    /// @param table Address in memory of the table of the normal distribution: `NormalCdf.load`.
    /// @param scenarioCount Number of scenarios.
    /// @param classCount Number of vol classes.
    function create(uint256 table, uint256 scenarioCount, uint256 classCount)
        internal
        pure
        returns (Grid grid)
    {
        // Within the block limit no allocation can exceed memory; sizes are small multiples.
        assembly ("memory-safe") {
            grid := mload(0x40)
            let scenarios := add(add(grid, HEADER), mul(classCount, CLASS_SIZE))
            let runs := add(scenarios, mul(scenarioCount, SCENARIO_SIZE))
            let end := add(runs, mul(scenarioCount, RUN_SIZE))
            calldatacopy(grid, calldatasize(), sub(end, grid))
            mstore(add(grid, TABLE), table)
            mstore(add(grid, CLASSES), add(grid, HEADER))
            mstore(add(grid, SCENARIOS), scenarios)
            mstore(add(grid, RUNS), runs)
            mstore(0x40, end)
        }
    }

    /// @notice Declares the scenarios of a vol class: those from the end of the class before.
    /// @param c Index of the class.
    /// @param end One past its last scenario; for the last class the number of scenarios.
    function setClass(Grid grid, uint256 c, uint256 end) internal pure {
        assembly ("memory-safe") {
            let class := add(mload(add(grid, CLASSES)), mul(c, CLASS_SIZE))
            mstore(class, add(mload(add(grid, SCENARIOS)), mul(end, SCENARIO_SIZE)))
        }
    }

    /// @notice Sets a scenario and clears what has been added to it. Scenarios are set in order.
    /// Ascending moves within a class and weight make long runs, and a run costs gas of its own.
    /// @param j Index of the scenario.
    /// @param moveX64 Shocked price over present price, in (0, 256).
    /// @param weightPpm Weight, at most 1e6.
    function setScenario(Grid grid, uint256 j, uint256 moveX64, uint256 weightPpm) internal pure {
        int256 lnMoveX64 = Transcendental.lnX64(moveX64);
        // Move below 2^72 and weight below 2^20: no product overflows.
        assembly ("memory-safe") {
            let scenario := add(mload(add(grid, SCENARIOS)), mul(j, SCENARIO_SIZE))
            mstore(scenario, lnMoveX64)
            mstore(add(scenario, MOVE), moveX64)
            mstore(add(scenario, PNL), 0)
            mstore(add(scenario, WEIGHT), weightPpm)
            let linear := mul(weightPpm, sub(moveX64, ONE))
            if slt(linear, mload(add(grid, LEAST_LINEAR))) {
                mstore(add(grid, LEAST_LINEAR), linear)
            }
            if sgt(linear, mload(add(grid, GREATEST_LINEAR))) {
                mstore(add(grid, GREATEST_LINEAR), linear)
            }
            if gt(moveX64, mload(add(grid, MAX_MOVE))) { mstore(add(grid, MAX_MOVE), moveX64) }

            // The run goes on, or the next one begins.
            let class := mload(add(grid, CLASS))
            let run := mload(add(grid, RUNS_END))
            let before := sub(scenario, SCENARIO_SIZE)
            let goesOn := gt(mload(class), scenario)
            goesOn := and(goesOn, eq(weightPpm, mload(add(before, WEIGHT))))
            goesOn := and(goesOn, iszero(lt(moveX64, mload(add(before, MOVE)))))
            goesOn := and(goesOn, gt(run, mload(add(grid, RUNS))))
            switch goesOn
            case 0 {
                for {} iszero(gt(mload(class), scenario)) {} { class := add(class, CLASS_SIZE) }
                mstore(add(grid, CLASS), class)
                mstore(run, scenario)
                mstore(add(run, RUN_CLASS), class)
                run := add(run, RUN_SIZE)
                mstore(add(grid, RUNS_END), run)
            }
            mstore(add(sub(run, RUN_SIZE), RUN_END), add(scenario, SCENARIO_SIZE))
        }
    }

    /// @notice Forgets positions and bounds of the underlying before; call it before `setScenario`.
    function clear(Grid grid) internal pure {
        assembly ("memory-safe") {
            mstore(add(grid, CLASS), mload(add(grid, CLASSES)))
            mstore(add(grid, RUNS_END), mload(add(grid, RUNS)))
            mstore(add(grid, LINEAR), 0)
            mstore(add(grid, BASE), 0)
            mstore(add(grid, NOTIONAL), 0)
            mstore(add(grid, OPTIONS), 0)
            mstore(add(grid, MAX_MOVE), ONE)
            mstore(add(grid, LEAST_LINEAR), 0)
            mstore(add(grid, GREATEST_LINEAR), 0)
        }
    }

    /// @notice Places the scenarios of a vol class for the option added next.
    /// @param c Index of the class.
    /// @param lnRatioX64 ln(F/K): see `Transcendental.lnRatioX64`.
    /// @param deviationX64 Shocked total deviation, at most `MAX_DEVIATION`; see `Black76.toSteps`.
    function setDeviation(Grid grid, uint256 c, int256 lnRatioX64, uint256 deviationX64)
        internal
        pure
    {
        uint256 s = Black76.toSteps(deviationX64);
        (int256 slope, int256 centre) = Black76.line(lnRatioX64, s);
        assembly ("memory-safe") {
            let class := add(mload(add(grid, CLASSES)), mul(c, CLASS_SIZE))
            mstore(add(class, CLASS_DEVIATION), s)
            mstore(add(class, CLASS_SLOPE), slope)
            mstore(add(class, CLASS_CENTRE), centre)
        }
    }

    /// @notice Adds an option to every scenario.
    /// @param notional N = size * D * F, USD, signed, abs below 2^132.
    /// @param isPut Whether it is a put: the call less N * (move - K/F).
    /// @param strikeRatioX64 K/F, rounded down, below 2^162.
    /// @param lnRatioX64 ln(F/K), as given to `setDeviation`.
    /// @param deviationX64 Total deviation at market, at most `MAX_DEVIATION`.
    /// @return callX64 Value of the call per unit of D * F at market.
    /// @return callDeltaX64 N(d1) at market.
    /// @return ownLoss The position's own worst weighted loss, at least 0, in `LOSS_UNIT`ths of a
    /// wei.
    function addOption(
        Grid grid,
        int256 notional,
        bool isPut,
        uint256 strikeRatioX64,
        int256 lnRatioX64,
        uint256 deviationX64
    ) internal pure returns (int256 callX64, uint256 callDeltaX64, uint256 ownLoss) {
        uint256 table;
        assembly ("memory-safe") {
            table := mload(add(grid, TABLE))
        }
        (callX64, callDeltaX64) =
            Black76.unitCall(table, strikeRatioX64, lnRatioX64, deviationX64);
        _addErrorBound(grid, notional, strikeRatioX64);
        ownLoss = _scan(grid, notional, isPut, strikeRatioX64, callX64);
    }

    /// @notice Adds a position whose value moves with the price: profit and loss
    /// notional * (move - 1).
    /// @param notional Dollar delta, signed, USD.
    /// @return ownLoss Its own worst weighted loss, at least 0, in `LOSS_UNIT`ths of a wei.
    function addLinear(Grid grid, int256 notional) internal pure returns (uint256 ownLoss) {
        assembly ("memory-safe") {
            let p := add(grid, LINEAR)
            mstore(p, add(mload(p), notional))
            switch slt(notional, 0)
            case 0 { ownLoss := sub(0, mul(notional, mload(add(grid, LEAST_LINEAR)))) }
            default { ownLoss := sub(0, mul(notional, mload(add(grid, GREATEST_LINEAR)))) }
        }
    }

    /// @notice Weighted profit and loss of everything added, in one scenario, USD, rounded down.
    function netted(Grid grid, uint256 j) internal pure returns (int256 pnl) {
        assembly ("memory-safe") {
            let p := add(mload(add(grid, SCENARIOS)), mul(j, SCENARIO_SIZE))
            pnl := mul(mload(add(grid, LINEAR)), sub(mload(add(p, MOVE)), ONE))
            pnl := sub(add(pnl, mload(add(p, PNL))), mload(add(grid, BASE)))
            pnl := mul(pnl, mload(add(p, WEIGHT)))
            // Floor of the quotient by LOSS_UNIT.
            let quotient := sdiv(pnl, LOSS_UNIT)
            pnl := sub(quotient, slt(smod(pnl, LOSS_UNIT), 0))
        }
    }

    /// @notice Bound on the error of any scenario's profit and loss, of the value of all options
    /// added, and on rounding, USD, rounded up:
    ///
    ///     KERNEL_ERROR * sum of (abs(N) + 1) * (M + K/F) + ROUNDING_ERROR per option,
    ///
    /// with M = max(1, greatest move); zero without options. It covers any part of what was added,
    /// too.
    function errorBound(Grid grid) internal pure returns (uint256) {
        uint256 notional;
        uint256 options;
        assembly ("memory-safe") {
            notional := mload(add(grid, NOTIONAL))
            options := mload(add(grid, OPTIONS))
        }
        if (options == 0) return 0;
        // The sum is below 2^214 for 256 positions, so its product with the constant below 2^170.
        unchecked {
            notional = (notional + ONE - 1) / ONE;
            return notional * KERNEL_ERROR / WAD + 1 + ROUNDING_ERROR * options;
        }
    }

    function _addErrorBound(Grid grid, int256 notional, uint256 strikeRatioX64) private pure {
        // abs(N) * (M + K/F) is below 2^205 for every position an engine can hold.
        uint256 size = FixedPoint.abs(notional);
        assembly ("memory-safe") {
            let sum := add(grid, NOTIONAL)
            let each := mul(add(size, 1), add(mload(add(grid, MAX_MOVE)), strikeRatioX64))
            mstore(sum, add(mload(sum), each))
            let options := add(grid, OPTIONS)
            mstore(options, add(mload(options), 1))
        }
    }

    /// @dev The loop over all scenarios adds N * c to each, c the value of the call per unit of
    /// D * F after the move. What it is worth at market, N * base, is the same in each and kept
    /// once; a put's N * (1 - m) is a linear position.
    ///
    /// At one deviation and weight an option's profit and loss is monotone in the move, so its own
    /// worst is that of the first scenario of a run, or of the last if it loses from a rise: what
    /// `PNL` has grown by there.
    function _scan(
        Grid grid,
        int256 notional,
        bool isPut,
        uint256 strikeRatioX64,
        int256 base
    ) private pure returns (uint256 ownLoss) {
        // Nothing to add. This early return also keeps the compiler from inlining the loop into a
        // caller, where its variables would not all stay on the stack (a tenth more gas).
        if (notional == 0) return 0;
        assembly ("memory-safe") {
            let worst := 0
            let atMarket := mul(notional, base)
            let losesFromRise := xor(slt(notional, 0), isPut)
            let end := mload(add(grid, RUNS_END))
            for { let run := mload(add(grid, RUNS)) } lt(run, end) { run := add(run, RUN_SIZE) } {
                let scenario := mload(run)
                if losesFromRise { scenario := sub(mload(add(run, RUN_END)), SCENARIO_SIZE) }
                let pnl := add(mload(add(scenario, PNL)), atMarket)
                addRun(mload(add(grid, TABLE)), run, notional, strikeRatioX64)
                pnl := sub(mload(add(scenario, PNL)), pnl)
                if isPut { pnl := sub(pnl, mul(notional, sub(mload(add(scenario, MOVE)), ONE))) }
                pnl := mul(pnl, mload(add(scenario, WEIGHT)))
                if slt(pnl, worst) { worst := pnl }
            }
            ownLoss := sub(0, worst)
            let sum := add(grid, BASE)
            mstore(sum, add(mload(sum), atMarket))
            if isPut {
                sum := add(grid, LINEAR)
                mstore(sum, sub(mload(sum), notional))
            }

            // Adds N * c to every scenario of a run, with u and v the places of d1 and d2:
            //
            //     c = m * N(u) - K/F * N(v)
            //
            // As u rises with the move, the scenarios outside the table are the first and the last
            // of the run: N(v) = 0 in the former, N(u) = 1 in the latter. Inside, the loop needs
            // not look. Both distributions are `NormalCdf.cdfAt`, written out because a call costs
            // as much as a term of the polynomial. Ranges: distributions X48 in [0, 2^48],
            // m < 2^72, K/F < 2^162, so c < 2^210; N times it stays below 2^206 since N * K/F does.
            function addRun(table, run, notional_, strikeRatio) {
                let class := mload(add(run, RUN_CLASS))
                let s := mload(add(class, CLASS_DEVIATION))
                let slope := mload(add(class, CLASS_SLOPE))
                let centre := mload(add(class, CLASS_CENTRE))
                let p := mload(run)
                let end_ := mload(add(run, RUN_END))
                for {} 1 {} {
                    let u := add(centre, sar(84, mul(slope, mload(p))))
                    if iszero(slt(u, s)) { break }
                    if iszero(slt(u, 0)) {
                        u := mul(mload(add(p, MOVE)), cdfAt(table, u))
                        let place := add(p, PNL)
                        mstore(place, add(mload(place), mul(notional_, sar(48, u))))
                    }
                    p := add(p, SCENARIO_SIZE)
                    if eq(p, end_) { leave }
                }
                for {} 1 {} {
                    let last := sub(end_, SCENARIO_SIZE)
                    let u := add(centre, sar(84, mul(slope, mload(last))))
                    if iszero(sgt(u, LAST_STEP)) { break }
                    u := mul(strikeRatio, cdfAt(table, sub(u, s)))
                    u := sub(shl(48, mload(add(last, MOVE))), u)
                    let place := add(last, PNL)
                    mstore(place, add(mload(place), mul(notional_, sar(48, u))))
                    end_ := last
                    if eq(p, end_) { leave }
                }
                // Leaving from the bottom saves a jump in every scenario.
                for {} 1 {} {
                    let u := add(centre, sar(84, mul(slope, mload(p))))
                    let v := sub(u, s)
                    let w := mload(add(table, and(shr(43, u), 0x7fe0)))
                    u := and(u, 0xffffffffffff)
                    let c := add(signextend(11, w), mul(u, signextend(5, w)))
                    c := add(signextend(17, w), mul(u, c))
                    c := add(signextend(23, w), mul(u, c))
                    c := mul(shr(196, add(w, mul(u, c))), mload(add(p, MOVE)))
                    w := mload(add(table, and(shr(43, v), 0x7fe0)))
                    v := and(v, 0xffffffffffff)
                    u := add(signextend(11, w), mul(v, signextend(5, w)))
                    u := add(signextend(17, w), mul(v, u))
                    u := add(signextend(23, w), mul(v, u))
                    c := sub(c, mul(strikeRatio, shr(196, add(w, mul(v, u)))))
                    let place := add(p, PNL)
                    mstore(place, add(mload(place), mul(notional_, sar(48, c))))
                    p := add(p, SCENARIO_SIZE)
                    if eq(p, end_) { break }
                }
            }
            function cdfAt(table, step) -> y {
                if gt(step, LAST_STEP) {
                    y := shl(48, 1)
                    leave
                }
                let word := mload(add(table, and(shr(43, step), 0x7fe0)))
                let t := and(step, 0xffffffffffff)
                y := add(signextend(11, word), mul(t, signextend(5, word)))
                y := add(signextend(17, word), mul(t, y))
                y := add(signextend(23, word), mul(t, y))
                y := shr(196, add(word, mul(t, y)))
            }
        }
    }
}
