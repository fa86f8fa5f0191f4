// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {FixedPoint} from "./FixedPoint.sol";
import {Transcendental} from "./Transcendental.sol";

/// @notice Memory pointer to the scenarios of one underlying and what has been added to them.
type Grid is uint256;

/// @title Profit and loss of positions over a grid of scenarios
/// @notice Options are noted first and priced later, scenario by scenario, so that only those
/// scenarios are priced that somebody needs: all of them for a breakdown; the ends of runs for the
/// positions' own losses; and for the worst netted loss as many as it takes to exclude the others.
/// The proof of ranges and bounds is in the specification, Mathematics, "Scenario kernel".
/// @dev Usage. Once: `create`, `setClass` for every vol class. For each underlying: `clear` and
/// `setScenario` for every scenario. For each strike of an expiry: `openStrike`, `setDeviations`,
/// `addOption` for the call, the put or both, `closeStrike`; for everything else `addLinear`. Then
/// `priceEnds`, if wanted followed by `worstLoss` or by `priceAll` and `netted`; or, with `setNode`
/// after the scenarios, `priceFirst`, `priceNodes` and `netted`, `slopes` and `volError`.
///
/// Sums are exact and kept in units of 2^-64 wei (not weighted) or, weighted, in `LOSS_UNIT`ths of
/// a wei; each is rounded once, when it is read.
library ScenarioKernel {
    /// @notice Bound on the error of a call's value and of the difference of two, WAD, per unit of
    /// notional: see `errorBound`.
    uint256 internal constant KERNEL_ERROR = 500_000;
    /// @notice Rounding of a notional and of values, wei per option: see `errorBound`.
    uint256 internal constant ROUNDING_ERROR = 32;
    /// @notice Units of own losses in one wei: weight (Ppm) times X64.
    uint256 internal constant LOSS_UNIT = 1e6 * 2 ** 64;
    /// @notice Greatest total deviation, X64.
    uint256 internal constant MAX_DEVIATION = 16 * 2 ** 64;

    uint256 private constant ONE = 2 ** 64;
    uint256 private constant WAD = 1e18;
    /// @dev `NormalCdf.END` - 1, which assembly cannot reach.
    uint256 private constant LAST_STEP = 600 * 2 ** 48 - 1;
    /// @dev The same of `NormalCdf.STEPS_PER_UNIT`, `NormalCdf.CENTRE`, `Black76.SLOPE_NUMERATOR`.
    uint256 private constant STEPS_PER_UNIT = 40 * 2 ** 48;
    uint256 private constant TABLE_CENTRE = 300 * 2 ** 48;
    uint256 private constant SLOPE_NUMERATOR = 1600 * 2 ** 116;
    /// @dev What lifts a place beyond the table to 2^58 and above.
    uint256 private constant ABOVE_TABLE = 424 * 2 ** 48;
    /// @dev Computed values and bounds differ from exact ones by less than this many error bounds.
    int256 private constant SLACK = 4;
    /// @dev `NormalCdf.STEPS_PER_UNIT` (X16): divided by a deviation in steps, its inverse.
    uint256 private constant INVERSE_X16 = 40 * 2 ** 64;
    /// @dev Of `ScenarioGrids`, rounded down: moves are cut at a hundredth.
    uint256 private constant LEAST_MOVE = 184467440737095516;
    /// @dev Beyond these, and between moves closer or farther than these, a cubic tells nothing.
    uint256 private constant GREATEST_INVERSE_X16 = 2 ** 23 - 1;
    uint256 private constant GREATEST_NOTIONAL = 2 ** 176;
    uint256 private constant LEAST_GAP = 2 ** 44;
    uint256 private constant GREATEST_GAP = 2 ** 70;
    int256 private constant NO_BOUND = -(2 ** 254);

    /// @dev Byte offsets in a grid: a header, then the classes, the scenarios and the runs. Lists
    /// are linked by their first word; those of strikes are told apart by the sign of their net
    /// notional, those of options by whether they lose from a rise.
    uint256 private constant TABLE = 0x00;
    uint256 private constant CLASSES = 0x20;
    uint256 private constant SCENARIOS = 0x40;
    uint256 private constant RUNS = 0x60;
    uint256 private constant RUNS_END = 0x80;
    uint256 private constant CLASS = 0xa0;
    uint256 private constant MAX_MOVE = 0xc0;
    uint256 private constant STRIKE = 0xe0;
    uint256 private constant STRIKE_SIZE = 0x100;
    /// @dev From here to the end of the totals everything starts at zero.
    uint256 private constant TOTALS = 0x120;
    uint256 private constant LINEAR = 0x120;
    uint256 private constant BASE = 0x140;
    uint256 private constant NOTIONAL = 0x160;
    uint256 private constant OPTIONS = 0x180;
    uint256 private constant LEAST_LINEAR = 0x1a0;
    uint256 private constant GREATEST_LINEAR = 0x1c0;
    uint256 private constant LONGS = 0x1e0;
    uint256 private constant SHORTS = 0x200;
    uint256 private constant RISE_LOSERS = 0x220;
    uint256 private constant FALL_LOSERS = 0x240;
    uint256 private constant VALUE = 0x260;
    uint256 private constant DELTA = 0x280;
    uint256 private constant GROSS_DELTA = 0x2a0;
    uint256 private constant SIZES = 0x2c0;
    uint256 private constant MAX_NODE = 0x2e0;
    uint256 private constant TOTALS_END = 0x300;
    /// @dev A scenario in which nothing moves.
    uint256 private constant MARKET = 0x300;
    uint256 private constant HEADER = 0x380;
    /// @dev A class: address of the end of its scenarios.
    uint256 private constant CLASS_SIZE = 0x20;
    /// @dev A scenario: ln(move) (X64), move (X64), weight (Ppm), offset of its class's line in a
    /// strike, then, once priced, value of the strikes of positive and of negative net notional
    /// (2^-64 wei) and their slopes in the move (2^-40 wei, in nodes 2^-48); before, a lower bound
    /// of its weighted profit and loss.
    uint256 private constant MOVE = 0x20;
    uint256 private constant WEIGHT = 0x40;
    uint256 private constant LINE = 0x60;
    uint256 private constant IS_PRICED = 0x80;
    uint256 private constant LONG = 0xa0;
    uint256 private constant SHORT = 0xc0;
    uint256 private constant LONG_SLOPE = 0xe0;
    uint256 private constant SHORT_SLOPE = 0x100;
    uint256 private constant BOUND = 0x120;
    uint256 private constant SCENARIO_SIZE = 0x140;
    /// @dev A run, of adjacent scenarios of one class and weight whose moves do not fall: addresses
    /// of its first and last, roughness (see `_roughness`; 0 if not yet known), the scenario not
    /// priced whose bound is least, and that bound.
    uint256 private constant LAST = 0x20;
    uint256 private constant ROUGHNESS = 0x40;
    uint256 private constant LEAST = 0x60;
    uint256 private constant LEAST_BOUND = 0x80;
    uint256 private constant RUN_SIZE = 0xa0;
    /// @dev A strike: the next, net notional of its call and put, K/F (X64), value of the call per
    /// unit of D * F at market and when last priced (X64), N(d1) at market (X64); then for the
    /// market and for each class the total deviation (steps) and the line of `Black76.line`.
    uint256 private constant NET = 0x20;
    uint256 private constant RATIO = 0x40;
    uint256 private constant AT_MARKET = 0x60;
    uint256 private constant CALL = 0x80;
    uint256 private constant CALL_DELTA = 0xa0;
    uint256 private constant LINES = 0xc0;
    uint256 private constant SLOPE = 0x20;
    uint256 private constant CENTRE = 0x40;
    uint256 private constant LINE_SIZE = 0x60;
    /// @dev An option: the next, its strike, its notional, the same if it is a put and else zero,
    /// its least weighted profit and loss, at most 0.
    uint256 private constant OF_STRIKE = 0x20;
    uint256 private constant SIZE = 0x40;
    uint256 private constant PUT_SIZE = 0x60;
    uint256 private constant WORST = 0x80;
    uint256 private constant OPTION_SIZE = 0xa0;

    // ---------------------------------------------------------------------------- The scenarios

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
            mstore(0x40, add(runs, mul(scenarioCount, RUN_SIZE)))
            mstore(add(grid, TABLE), table)
            mstore(add(grid, CLASSES), add(grid, HEADER))
            mstore(add(grid, SCENARIOS), scenarios)
            mstore(add(grid, RUNS), runs)
            mstore(add(grid, STRIKE_SIZE), add(LINES, mul(add(classCount, 1), LINE_SIZE)))
            mstore(add(grid, MARKET), 0)
            mstore(add(grid, add(MARKET, MOVE)), ONE)
            mstore(add(grid, add(MARKET, LINE)), LINES)
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

    /// @notice Forgets positions and bounds of the underlying before; call it before `setScenario`.
    function clear(Grid grid) internal pure {
        assembly ("memory-safe") {
            mstore(add(grid, CLASS), mload(add(grid, CLASSES)))
            mstore(add(grid, RUNS_END), mload(add(grid, RUNS)))
            mstore(add(grid, MAX_MOVE), ONE)
            // Zeroes from beyond the calldata.
            calldatacopy(add(grid, TOTALS), calldatasize(), sub(TOTALS_END, TOTALS))
        }
    }

    /// @notice Sets a scenario. Scenarios are set in order. Ascending moves within a class and
    /// weight make long runs, and a run costs gas of its own.
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
            mstore(add(scenario, WEIGHT), weightPpm)
            mstore(add(scenario, IS_PRICED), 0)
            mstore(add(scenario, BOUND), NO_BOUND)
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
                mstore(add(run, ROUGHNESS), 0)
                run := add(run, RUN_SIZE)
                mstore(add(grid, RUNS_END), run)
            }
            mstore(add(sub(run, RUN_SIZE), LAST), scenario)
            let c := div(sub(class, mload(add(grid, CLASSES))), CLASS_SIZE)
            mstore(add(scenario, LINE), add(LINES, mul(add(c, 1), LINE_SIZE)))
        }
    }

    /// @notice Sets a node: a scenario of weight one that belongs to no run and is priced by
    /// `priceNodes`. Nodes are set behind the scenarios, in their first class alone.
    /// @param j Index, as if it were a scenario's.
    /// @param class Index of the class.
    /// @param moveX64 As in `setScenario`.
    function setNode(Grid grid, uint256 j, uint256 class, uint256 moveX64) internal pure {
        assembly ("memory-safe") {
            let node := add(mload(add(grid, SCENARIOS)), mul(j, SCENARIO_SIZE))
            mstore(add(node, MOVE), moveX64)
            mstore(add(node, WEIGHT), 1000000)
            mstore(add(node, LONG), 0)
            mstore(add(node, SHORT), 0)
            mstore(add(node, LONG_SLOPE), 0)
            mstore(add(node, LINE), add(LINES, mul(add(class, 1), LINE_SIZE)))
            if gt(moveX64, mload(add(grid, MAX_NODE))) { mstore(add(grid, MAX_NODE), moveX64) }
        }
    }

    // ---------------------------------------------------------------------------- The positions

    /// @notice Opens a strike of an expiry, for the options added next.
    /// @param strikeRatioX64 K/F, rounded down, below 2^162.
    /// @param lnRatioX64 ln(F/K): see `Transcendental.lnRatioX64`.
    /// @param deviationX64 Total deviation at market, at most `MAX_DEVIATION`.
    /// @return callX64 Value of the call per unit of D * F at market.
    /// @return callDeltaX64 N(d1) at market.
    function openStrike(
        Grid grid,
        uint256 strikeRatioX64,
        int256 lnRatioX64,
        uint256 deviationX64
    ) internal pure returns (int256 callX64, int256 callDeltaX64) {
        uint256 strike;
        uint256 market;
        // As in `setDeviations`. A list of this strike alone, of notional one, prices it.
        assembly ("memory-safe") {
            strike := mload(0x40)
            mstore(0x40, add(strike, mload(add(grid, STRIKE_SIZE))))
            mstore(add(grid, STRIKE), strike)
            mstore(strike, 0)
            mstore(add(strike, NET), 1)
            mstore(add(strike, RATIO), strikeRatioX64)
            let s := shr(64, mul(deviationX64, STEPS_PER_UNIT))
            s := add(s, iszero(s))
            mstore(add(strike, LINES), s)
            let centre := sar(84, mul(lnRatioX64, div(SLOPE_NUMERATOR, s)))
            centre := add(add(centre, shr(1, s)), TABLE_CENTRE)
            mstore(add(strike, add(LINES, CENTRE)), centre)
            mstore(add(strike, add(LINES, SLOPE)), 0)
            market := add(grid, MARKET)
        }
        (callX64, callDeltaX64) = _value(_word(grid, TABLE), strike, market);
        callDeltaX64 <<= 16;
        assembly ("memory-safe") {
            mstore(add(strike, NET), 0)
            mstore(add(strike, AT_MARKET), callX64)
            mstore(add(strike, CALL_DELTA), callDeltaX64)
        }
    }

    /// @notice Places the scenarios of all vol classes for the strike opened last: the total
    /// deviation of class c is max(leastX64, floor(deviationX64 * factorsX64[c] / 2^64)), at most
    /// `MAX_DEVIATION`, as steps by `Black76.toSteps` and as a line by `Black76.line`.
    /// @param lnRatioX64 ln(F/K), as given to `openStrike`.
    /// @param deviationX64 At most `MAX_DEVIATION`.
    /// @param factorsX64 One per class, below 2^126.
    /// @param leastX64 Least total deviation.
    function setDeviations(
        Grid grid,
        int256 lnRatioX64,
        uint256 deviationX64,
        uint256[] memory factorsX64,
        uint256 leastX64
    ) internal pure {
        // The two functions of Black76 written out: calling them costs as much as what they do.
        assembly ("memory-safe") {
            let line := add(mload(add(grid, STRIKE)), add(LINES, LINE_SIZE))
            let end := add(add(factorsX64, 32), shl(5, mload(factorsX64)))
            for { let p := add(factorsX64, 32) } lt(p, end) { p := add(p, 32) } {
                let s := shr(64, mul(deviationX64, mload(p)))
                if lt(s, leastX64) { s := leastX64 }
                if gt(s, MAX_DEVIATION) { s := MAX_DEVIATION }
                s := shr(64, mul(s, STEPS_PER_UNIT))
                s := add(s, iszero(s))
                let slope := div(SLOPE_NUMERATOR, s)
                mstore(line, s)
                mstore(add(line, SLOPE), slope)
                s := add(shr(1, s), add(sar(84, mul(lnRatioX64, slope)), TABLE_CENTRE))
                mstore(add(line, CENTRE), s)
                line := add(line, LINE_SIZE)
            }
        }
    }

    /// @notice Adds an option of the strike opened last, at most one call and one put.
    /// @param notional N = size * D * F, USD, signed, abs below 2^132.
    /// @param isPut Whether it is a put: the call less N * (move - K/F).
    function addOption(Grid grid, int256 notional, bool isPut) internal pure {
        // abs(N) * (M + K/F) is below 2^205 for every position an engine can hold; a call is worth
        // at most 1 (X64) and at least the negative of its error.
        assembly ("memory-safe") {
            let strike := mload(add(grid, STRIKE))
            increase(add(strike, NET), notional)
            increase(add(grid, OPTIONS), 1)
            let bound := add(mload(add(grid, MAX_MOVE)), mload(add(strike, RATIO)))
            let size := add(absolute(notional), 1)
            increase(add(grid, SIZES), size)
            increase(add(grid, NOTIONAL), mul(size, bound))
            increase(add(grid, VALUE), sar(64, mul(notional, mload(add(strike, AT_MARKET)))))
            let delta := mload(add(strike, CALL_DELTA))
            let option := mload(0x40)
            mstore(0x40, add(option, OPTION_SIZE))
            mstore(add(option, PUT_SIZE), 0)
            let losesFromRise := slt(notional, 0)
            if isPut {
                delta := sub(delta, ONE)
                increase(add(grid, LINEAR), sub(0, notional))
                mstore(add(option, PUT_SIZE), notional)
                losesFromRise := iszero(losesFromRise)
            }
            delta := sar(64, mul(notional, delta))
            increase(add(grid, DELTA), delta)
            increase(add(grid, GROSS_DELTA), absolute(delta))

            let list := add(grid, sub(FALL_LOSERS, shl(5, losesFromRise)))
            mstore(option, mload(list))
            mstore(list, option)
            mstore(add(option, OF_STRIKE), strike)
            mstore(add(option, SIZE), notional)
            mstore(add(option, WORST), 0)

            function increase(place, change) {
                mstore(place, add(mload(place), change))
            }
            function absolute(x) -> y {
                y := sar(255, x)
                y := sub(xor(x, y), y)
            }
        }
    }

    /// @notice Closes the strike opened last: all its options have been added.
    function closeStrike(Grid grid) internal pure {
        assembly ("memory-safe") {
            let strike := mload(add(grid, STRIKE))
            let net := mload(add(strike, NET))
            let sum := add(grid, BASE)
            mstore(sum, add(mload(sum), mul(net, mload(add(strike, AT_MARKET)))))
            let list := add(grid, LONGS)
            if slt(net, 0) { list := add(grid, SHORTS) }
            mstore(strike, mload(list))
            mstore(list, strike)
        }
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

    /// @notice Value of the options added, N * c at market each rounded down: puts still without
    /// parity. USD.
    function value(Grid grid) internal pure returns (int256) {
        return int256(_word(grid, VALUE));
    }

    /// @notice Dollar delta of the options added, each rounded down, and the sum of its absolutes.
    function deltas(Grid grid) internal pure returns (int256 delta, uint256 grossDelta) {
        return (int256(_word(grid, DELTA)), _word(grid, GROSS_DELTA));
    }

    // ------------------------------------------------------------------------------- The losses

    /// @notice Prices the ends of all runs and works out each option's own worst loss. At one
    /// deviation and weight its profit and loss is monotone in the move, so the worst is at the
    /// first scenario of a run, or at the last if it loses from a rise.
    /// @return ownLosses Sum of the options' own worst weighted losses, each at least 0, in
    /// `LOSS_UNIT`ths of a wei.
    function priceEnds(Grid grid) internal pure returns (uint256 ownLosses) {
        unchecked {
            uint256 end = _word(grid, RUNS_END);
            uint256 fallLosers = _word(grid, FALL_LOSERS);
            uint256 riseLosers = _word(grid, RISE_LOSERS);
            for (uint256 run = _word(grid, RUNS); run < end; run += RUN_SIZE) {
                uint256 first = _at(run);
                uint256 last = _at(run + LAST);
                _price(grid, first);
                _lowerWorst(fallLosers, first);
                if (last != first) _price(grid, last);
                _lowerWorst(riseLosers, last);
            }
            ownLosses = _sumOfWorst(fallLosers) + _sumOfWorst(riseLosers);
        }
    }

    /// @notice Prices every scenario. Assumes `priceEnds`.
    function priceAll(Grid grid) internal pure {
        unchecked {
            uint256 end = _word(grid, RUNS_END);
            for (uint256 run = _word(grid, RUNS); run < end; run += RUN_SIZE) {
                uint256 first = _at(run);
                uint256 last = _at(run + LAST);
                if (last - first <= SCENARIO_SIZE) continue;
                for (uint256 j = first + SCENARIO_SIZE; j < last; j += SCENARIO_SIZE) {
                    _put(j + IS_PRICED, 1);
                    _put(j + LONG, 0);
                    _put(j + SHORT, 0);
                }
                _priceBetween(_word(grid, TABLE), _word(grid, LONGS), first, last);
                _priceBetween(_word(grid, TABLE), _word(grid, SHORTS), first, last);
            }
        }
    }

    /// @notice Prices the first scenarios, one by one.
    /// @param count Their number.
    function priceFirst(Grid grid, uint256 count) internal pure {
        unchecked {
            uint256 j = _word(grid, SCENARIOS);
            uint256 end = j + count * SCENARIO_SIZE;
            for (; j < end; j += SCENARIO_SIZE) _price(grid, j);
        }
    }

    /// @notice Prices the nodes behind the scenarios: those set and, if there are options, as many
    /// of the same moves in each of the classes that follow.
    /// @param first Index of the first node.
    /// @param nodes Number of nodes set.
    /// @param classes Number of their classes.
    /// @return count Nodes priced.
    function priceNodes(Grid grid, uint256 first, uint256 nodes, uint256 classes)
        internal
        pure
        returns (uint256 count)
    {
        if (_word(grid, OPTIONS) == 0) return nodes;
        // Sizes of what `create` allocated.
        unchecked {
            uint256 node = _word(grid, SCENARIOS) + first * SCENARIO_SIZE;
            uint256 size = nodes * SCENARIO_SIZE;
            for (uint256 j = node; j < node + size; j += SCENARIO_SIZE) {
                _put(j, uint256(Transcendental.lnX64(_at(j + MOVE))));
            }
            count = nodes * classes;
            uint256 end = node + classes * size;
            for (uint256 j = node + size; j < end; j += SCENARIO_SIZE) _copyNode(j, j - size);
            for (; node < end; node += size) {
                for (uint256 list = LONGS; list <= SHORTS; list += 0x20) {
                    uint256 slopes_ = LONG_SLOPE + list - LONGS;
                    _addNodes(grid, _word(grid, list), node, node + size, slopes_);
                }
            }
        }
    }

    /// @notice Slope in the move, at every node, of what is convex in it: of the strikes of
    /// positive net notional and of a linear position, if positive in all. USD, rounded down; zero
    /// at the least move, where moves are cut.
    /// @param first Index of the first node.
    /// @param count Nodes priced.
    function slopes(Grid grid, uint256 first, uint256 count)
        internal
        pure
        returns (int256[] memory values)
    {
        values = new int256[](count);
        // Slopes (X48) below 2^187, the linear position below 2^140.
        assembly ("memory-safe") {
            let linear := mload(add(grid, LINEAR))
            linear := mul(linear, sgt(linear, 0))
            let node := add(mload(add(grid, SCENARIOS)), mul(first, SCENARIO_SIZE))
            let end := add(values, shl(5, count))
            for { let p := values } lt(p, end) { node := add(node, SCENARIO_SIZE) } {
                p := add(p, 32)
                let slope := add(sar(48, mload(add(node, LONG_SLOPE))), linear)
                mstore(p, mul(slope, gt(mload(add(node, MOVE)), LEAST_MOVE)))
            }
        }
    }

    /// @notice The same bound as `errorBound` for nodes too, whose moves may be greater.
    function nodeErrorBound(Grid grid) internal pure returns (uint256) {
        uint256 notional = _word(grid, NOTIONAL);
        uint256 move = _word(grid, MAX_MOVE);
        uint256 node = _word(grid, MAX_NODE);
        // As in `addOption`.
        unchecked {
            if (node > move) notional += (node - move) * _word(grid, SIZES);
        }
        return _errorBound(grid, notional);
    }

    /// @notice What all options may lose, per unit of move, between two classes that follow each
    /// other, below the chord of their values there: USD, rounded up (specification, Predictive
    /// margin, 4).
    /// @param class Index of the first.
    function volError(Grid grid, uint256 class) internal pure returns (uint256) {
        unchecked {
            uint256 line = LINES + (class + 1) * LINE_SIZE;
            return _volError(_word(grid, LONGS), line) + _volError(_word(grid, SHORTS), line);
        }
    }

    /// @notice Weighted profit and loss of everything added, in one scenario, USD, rounded down.
    /// Assumes that it is priced.
    function netted(Grid grid, uint256 j) internal pure returns (int256) {
        unchecked {
            uint256 scenario = _word(grid, SCENARIOS) + j * SCENARIO_SIZE;
            return FixedPoint.floorDiv(_weighted(grid, scenario), int256(LOSS_UNIT));
        }
    }

    /// @notice Worst loss of everything added over all scenarios, at least 0: the negative of the
    /// least `netted`, to the last unit. Assumes `priceEnds`, unless there are no options.
    /// @dev Prices the scenario whose bound is least until no bound is below the least found. A
    /// bound is below what pricing would compute by more than what either may be off.
    function worstLoss(Grid grid) internal pure returns (uint256) {
        if (_word(grid, OPTIONS) == 0) return _linearLoss(grid);
        unchecked {
            int256 slack = SLACK * int256(errorBound(grid)) << 64;
            int256 least = _leastAtEnds(grid);
            uint256 end = _word(grid, RUNS_END);
            for (uint256 run = _word(grid, RUNS); run < end; run += RUN_SIZE) {
                _bound(grid, run, _at(run), _at(run + LAST), least, slack);
            }
            while (true) {
                uint256 run = _runOfLeast(grid, least);
                if (run == 0) break;
                uint256 scenario = _at(run + LEAST);
                if (_at(run + ROUGHNESS) == 0) {
                    _put(run + ROUGHNESS, _roughness(grid, _at(scenario + LINE)));
                    _bound(grid, run, _at(run), _at(run + LAST), least, slack);
                } else {
                    _price(grid, scenario);
                    least = FixedPoint.min(least, _weighted(grid, scenario));
                    (uint256 a, uint256 b) = _neighbours(scenario);
                    _bound(grid, run, a, b, least, slack);
                }
            }
            return uint256(-FixedPoint.floorDiv(least, int256(LOSS_UNIT)));
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
        return _errorBound(grid, _word(grid, NOTIONAL));
    }

    function _errorBound(Grid grid, uint256 notional) private pure returns (uint256) {
        uint256 options = _word(grid, OPTIONS);
        if (options == 0) return 0;
        // The sum is below 2^214 for 256 positions, so its product with the constant below 2^170.
        unchecked {
            notional = (notional + ONE - 1) / ONE;
            return notional * KERNEL_ERROR / WAD + 1 + ROUNDING_ERROR * options;
        }
    }

    /// @dev Profit and loss in a scenario that is priced, in `LOSS_UNIT`ths of a wei.
    function _weighted(Grid grid, uint256 scenario) private pure returns (int256 pnl) {
        assembly ("memory-safe") {
            pnl := mul(mload(add(grid, LINEAR)), sub(mload(add(scenario, MOVE)), ONE))
            pnl := add(pnl, mload(add(scenario, LONG)))
            pnl := add(pnl, mload(add(scenario, SHORT)))
            pnl := mul(sub(pnl, mload(add(grid, BASE))), mload(add(scenario, WEIGHT)))
        }
    }

    /// @dev Worst loss of the linear positions alone.
    function _linearLoss(Grid grid) private pure returns (uint256 loss) {
        assembly ("memory-safe") {
            let linear := mload(add(grid, LINEAR))
            let move := mload(add(grid, LEAST_LINEAR))
            if slt(linear, 0) { move := mload(add(grid, GREATEST_LINEAR)) }
            loss := sub(0, mul(linear, move))
        }
        return FixedPoint.divideUp(loss, LOSS_UNIT);
    }

    /// @dev The least weighted profit and loss at the ends of runs, at most 0.
    function _leastAtEnds(Grid grid) private pure returns (int256 least) {
        unchecked {
            uint256 end = _word(grid, RUNS_END);
            for (uint256 run = _word(grid, RUNS); run < end; run += RUN_SIZE) {
                least = FixedPoint.min(least, _weighted(grid, _at(run)));
                least = FixedPoint.min(least, _weighted(grid, _at(run + LAST)));
            }
        }
    }

    /// @dev The run with the least bound, if that is below `least`; else 0.
    function _runOfLeast(Grid grid, int256 least) private pure returns (uint256 found) {
        assembly ("memory-safe") {
            let end := mload(add(grid, RUNS_END))
            for { let run := mload(add(grid, RUNS)) } lt(run, end) { run := add(run, RUN_SIZE) } {
                let bound := mload(add(run, LEAST_BOUND))
                if slt(bound, least) {
                    least := bound
                    found := run
                }
            }
        }
    }

    /// @dev The nearest scenarios before and after that are priced; the ends of a run are.
    function _neighbours(uint256 scenario) private pure returns (uint256 a, uint256 b) {
        assembly ("memory-safe") {
            a := sub(scenario, SCENARIO_SIZE)
            for {} iszero(mload(add(a, IS_PRICED))) {} { a := sub(a, SCENARIO_SIZE) }
            b := add(scenario, SCENARIO_SIZE)
            for {} iszero(mload(add(b, IS_PRICED))) {} { b := add(b, SCENARIO_SIZE) }
        }
    }

    /// @dev Bounds the scenarios of a run between two that are priced, a and last, and finds the
    /// least bound of the run. Bounds that are not below `least` are left as they are. The bounds:
    ///
    /// Envelope. Calls are convex in the move: between two scenarios that are priced, strikes of
    /// positive notional are above their tangents at both, those of negative notional above their
    /// chord.
    ///
    /// Cubic. With d between the two, x and z from the one and to the other, the value of all
    /// strikes is off the cubic through their values and slopes there by at most
    /// x^2 * z^2 / 24 times their fourth derivative: with that `_roughness` * 2 / 5 / move^3,
    /// `distance` (X16) is roughness / 60 over the cube of the move at a (X48).
    function _bound(
        Grid grid,
        uint256 run,
        uint256 a,
        uint256 last,
        int256 least,
        int256 slack
    ) private pure {
        // Moves below 2^72, values below 2^211, slopes (X40) below 2^179. A chord's slope is below
        // 2^180 or, where rounding makes it steeper, times x at most what it was divided from. The
        // cubic is used for notionals below 2^112 and h below 2^71: values below 2^184, slopes
        // below 2^181, distance below 2^165, square below 2^85. No product leaves 2^254.
        assembly ("memory-safe") {
            let roughness := mload(add(run, ROUGHNESS))
            slack := add(slack, mload(add(grid, BASE)))
            for {} lt(a, last) {} {
                let j := add(a, SCENARIO_SIZE)
                let b := j
                for {} iszero(mload(add(b, IS_PRICED))) {} { b := add(b, SCENARIO_SIZE) }
                let h := sub(mload(add(b, MOVE)), mload(add(a, MOVE)))
                let distance := 0
                if and(sgt(roughness, 0), lt(sub(h, LEAST_GAP), GREATEST_GAP)) {
                    distance := shr(48, mload(add(a, MOVE)))
                    distance := mul(60, mul(distance, mul(distance, distance)))
                    distance := add(div(shl(48, add(shr(32, roughness), 1)), distance), 1)
                }
                for {} lt(j, b) { j := add(j, SCENARIO_SIZE) } {
                    if iszero(slt(mload(add(j, BOUND)), least)) { continue }
                    let x := sub(mload(add(j, MOVE)), mload(add(a, MOVE)))
                    if distance {
                        let bound := cubic(a, b, x, h, distance)
                        mstore(add(j, BOUND), ofAll(grid, j, sub(bound, slack)))
                        if iszero(slt(mload(add(j, BOUND)), least)) { continue }
                    }
                    let bound := ofAll(grid, j, sub(envelope(a, b, x, h), slack))
                    if sgt(bound, mload(add(j, BOUND))) { mstore(add(j, BOUND), bound) }
                }
                a := b
            }
            // The least of the run; what is not below `least` does not matter.
            for { a := mload(run) } lt(a, mload(add(run, LAST))) { a := add(a, SCENARIO_SIZE) } {
                let bound := mload(add(a, BOUND))
                if slt(bound, least) {
                    if mload(add(a, IS_PRICED)) { continue }
                    least := bound
                    mstore(add(run, LEAST), a)
                }
            }
            mstore(add(run, LEAST_BOUND), least)

            // The weighted profit and loss of all positions from the value of all options.
            function ofAll(grid_, scenario, options) -> pnl {
                pnl := mul(mload(add(grid_, LINEAR)), sub(mload(add(scenario, MOVE)), ONE))
                pnl := mul(add(options, pnl), mload(add(scenario, WEIGHT)))
            }
            function envelope(a_, b_, x, h) -> low {
                low := sar(40, mul(mload(add(a_, LONG_SLOPE)), x))
                low := add(mload(add(a_, LONG)), low)
                let other := sar(40, mul(mload(add(b_, LONG_SLOPE)), sub(h, x)))
                other := sub(mload(add(b_, LONG)), other)
                if sgt(other, low) { low := other }
                let short := mload(add(a_, SHORT))
                other := sdiv(shl(40, sub(mload(add(b_, SHORT)), short)), h)
                low := add(add(low, short), sar(40, mul(other, x)))
            }
            function cubic(a_, b_, x, h, distance) -> low {
                low := add(mload(add(a_, LONG)), mload(add(a_, SHORT)))
                let chord := add(mload(add(b_, LONG)), mload(add(b_, SHORT)))
                chord := sdiv(shl(40, sub(chord, low)), h)
                let slopeA := add(mload(add(a_, LONG_SLOPE)), mload(add(a_, SHORT_SLOPE)))
                let slopeB := add(mload(add(b_, LONG_SLOPE)), mload(add(b_, SHORT_SLOPE)))
                slopeA := sub(slopeA, chord)
                slopeB := sub(slopeB, chord)
                // chord + (1 - t) * (slopeA - t * (slopeA + slopeB)), t = x / h (X64).
                let t := div(shl(64, x), h)
                slopeB := sar(64, mul(t, add(slopeA, slopeB)))
                slopeA := sar(64, mul(sub(ONE, t), sub(slopeA, slopeB)))
                low := add(low, sar(40, mul(x, add(chord, slopeA))))
                // Times the square of x * z (X64), rounded up.
                let square := add(shr(64, mul(x, sub(h, x))), 1)
                square := add(shr(64, mul(square, square)), 1)
                low := sub(low, add(shr(16, mul(distance, square)), 1))
            }
        }
    }

    /// @dev Sum over all strikes of abs(N) * r * ((r + 1)^2 + 1), X48, with r = 1 / s in the class
    /// at `line`: 5/2 of what the fourth derivative of their value in the move is at most, times
    /// the cube of the move. Negative (two's complement) if that is too much to be of use.
    function _roughness(Grid grid, uint256 line) private pure returns (uint256 sum) {
        if (_word(grid, NOTIONAL) > GREATEST_NOTIONAL) return type(uint256).max;
        // abs(N) < 2^126 and r < 2^23.
        assembly ("memory-safe") {
            let greatest := 0
            let strike := mload(add(grid, LONGS))
            for { let lists := 2 } lists { lists := sub(lists, 1) } {
                for {} strike { strike := mload(strike) } {
                    let r := add(div(INVERSE_X16, mload(add(strike, line))), 1)
                    greatest := or(greatest, r)
                    let square := add(r, 0x10000)
                    square := mul(r, add(mul(square, square), 0x100000000))
                    sum := add(sum, mul(mload(add(strike, NET)), square))
                }
                // After the long strikes the short ones, whose sum is below zero.
                sum := sub(0, sum)
                strike := mload(add(grid, SHORTS))
            }
            sum := add(sum, 1)
            if gt(greatest, GREATEST_INVERSE_X16) { sum := shl(255, 1) }
        }
    }

    /// @dev A node that is not priced becomes one of the next class.
    function _copyNode(uint256 to, uint256 from) private pure {
        assembly ("memory-safe") {
            mcopy(to, from, SCENARIO_SIZE)
            mstore(add(to, LINE), add(mload(add(to, LINE)), LINE_SIZE))
        }
    }

    /// @dev Adds N * c and its slope (X48, at the offset `slopes_`) of a list of strikes to the
    /// nodes of one class, as `_value` does to one scenario, strike by strike.
    function _addNodes(Grid grid, uint256 strike, uint256 first, uint256 end, uint256 slopes_)
        private
        pure
    {
        if (strike == 0) return;
        uint256 table = _word(grid, TABLE);
        assembly ("memory-safe") {
            for {} strike { strike := mload(strike) } {
                let s := add(strike, mload(add(first, LINE)))
                let slope := mload(add(s, SLOPE))
                let centre := mload(add(s, CENTRE))
                s := mload(s)
                let j := first
                for {} 1 {} {
                    let u := add(centre, sar(84, mul(slope, mload(j))))
                    let v := sub(u, s)
                    switch shr(58, or(v, add(u, ABOVE_TABLE)))
                    case 0 {
                        let w := mload(add(table, and(shr(43, u), 0x7fe0)))
                        u := and(u, 0xffffffffffff)
                        let c := add(signextend(11, w), mul(u, signextend(5, w)))
                        c := add(signextend(17, w), mul(u, c))
                        c := add(signextend(23, w), mul(u, c))
                        u := shr(196, add(w, mul(u, c)))
                        w := mload(add(table, and(shr(43, v), 0x7fe0)))
                        v := and(v, 0xffffffffffff)
                        c := add(signextend(11, w), mul(v, signextend(5, w)))
                        c := add(signextend(17, w), mul(v, c))
                        c := add(signextend(23, w), mul(v, c))
                        v := shr(196, add(w, mul(v, c)))
                    }
                    default {
                        v := cdfAt(table, v)
                        u := cdfAt(table, u)
                    }
                    v := sub(mul(u, mload(add(j, MOVE))), mul(v, mload(add(strike, RATIO))))
                    v := mul(mload(add(strike, NET)), sar(48, v))
                    mstore(add(j, LONG), add(mload(add(j, LONG)), v))
                    u := mul(mload(add(strike, NET)), u)
                    mstore(add(j, slopes_), add(mload(add(j, slopes_)), u))
                    j := add(j, SCENARIO_SIZE)
                    if eq(j, end) { break }
                }
            }
            function cdfAt(table_, step) -> y {
                if slt(step, 0) { leave }
                if gt(step, LAST_STEP) {
                    y := shl(48, 1)
                    leave
                }
                let word := mload(add(table_, and(shr(43, step), 0x7fe0)))
                let t := and(step, 0xffffffffffff)
                y := add(signextend(11, word), mul(t, signextend(5, word)))
                y := add(signextend(17, word), mul(t, y))
                y := add(signextend(23, word), mul(t, y))
                y := shr(196, add(word, mul(t, y)))
            }
        }
    }

    /// @dev The same over a list of strikes between the class at `line` and the next.
    function _volError(uint256 strike, uint256 line) private pure returns (uint256 sum) {
        // Deviations in steps, from 1 to 2^58: r below 2^69, its square below 2^74 (X64) and the
        // curvature below 2^74; bends are then at most r; notionals below 2^133.
        unchecked {
            for (; strike != 0; strike = _at(strike)) {
                uint256 low = _at(strike + line);
                uint256 high = _at(strike + line + LINE_SIZE);
                if (low == high) continue;
                if (low > high) (low, high) = (high, low);
                int256 net = int256(_at(strike + NET));
                uint256 curvature = net < 0
                    ? FixedPoint.divideUp(99_800 * high, STEPS_PER_UNIT)
                    : FixedPoint.divideUp(293_600 * STEPS_PER_UNIT, low) + 242_000;
                uint256 r = (high - low) * ONE / STEPS_PER_UNIT + 1;
                uint256 bend = FixedPoint.divideUp(r * r, ONE) * curvature;
                bend = FixedPoint.min(FixedPoint.divideUp(bend, 8e6), r / 10 + 1);
                sum += FixedPoint.divideUp(FixedPoint.abs(net) * bend, ONE);
            }
        }
    }

    /// @dev Values all strikes in a scenario.
    function _price(Grid grid, uint256 scenario) private pure {
        uint256 table = _word(grid, TABLE);
        (int256 long, int256 slope) = _value(table, _word(grid, LONGS), scenario);
        (int256 short, int256 shortSlope) = _value(table, _word(grid, SHORTS), scenario);
        assembly ("memory-safe") {
            mstore(add(scenario, IS_PRICED), 1)
            mstore(add(scenario, LONG), long)
            mstore(add(scenario, SHORT), short)
            mstore(add(scenario, LONG_SLOPE), sar(8, slope))
            mstore(add(scenario, SHORT_SLOPE), sar(8, shortSlope))
        }
    }

    /// @dev Sum of N * c over a list of strikes, with u and v the places of d1 and d2:
    ///
    ///     c = m * N(u) - K/F * N(v)
    ///
    /// and its slope, the sum of N * N(u) (X48). Both distributions are `NormalCdf.cdfAt`, written
    /// out because a call costs as much as a term of the polynomial. Ranges: distributions X48 in
    /// [0, 2^48], m < 2^72, K/F < 2^162, so c < 2^210; N times it stays below 2^206 since N * K/F
    /// does.
    function _value(uint256 table, uint256 strike, uint256 scenario)
        private
        pure
        returns (int256 sum, int256 slope)
    {
        // Nothing to add. This early return also keeps the compiler from inlining the loop into a
        // caller, where its variables would not all stay on the stack (a tenth more gas).
        if (strike == 0) return (0, 0);
        assembly ("memory-safe") {
            let lnMove := mload(scenario)
            let move := mload(add(scenario, MOVE))
            let line := mload(add(scenario, LINE))
            for {} 1 {} {
                let c := add(strike, line)
                let u := add(mload(add(c, CENTRE)), sar(84, mul(mload(add(c, SLOPE)), lnMove)))
                let v := sub(u, mload(c))
                // As v < u, this is zero if and only if both are in the table.
                let outside := shr(58, or(v, add(u, ABOVE_TABLE)))
                let w := mload(add(table, and(shr(43, u), 0x7fe0)))
                u := and(u, 0xffffffffffff)
                c := add(signextend(11, w), mul(u, signextend(5, w)))
                c := add(signextend(17, w), mul(u, c))
                c := add(signextend(23, w), mul(u, c))
                u := shr(196, add(w, mul(u, c)))
                w := mload(add(table, and(shr(43, v), 0x7fe0)))
                v := and(v, 0xffffffffffff)
                c := add(signextend(11, w), mul(v, signextend(5, w)))
                c := add(signextend(17, w), mul(v, c))
                c := add(signextend(23, w), mul(v, c))
                v := shr(196, add(w, mul(v, c)))
                if outside {
                    c := add(strike, line)
                    u := add(mload(add(c, CENTRE)), sar(84, mul(mload(add(c, SLOPE)), lnMove)))
                    v := cdfAt(table, sub(u, mload(c)))
                    u := cdfAt(table, u)
                }
                c := sar(48, sub(mul(u, move), mul(v, mload(add(strike, RATIO)))))
                mstore(add(strike, CALL), c)
                v := mload(add(strike, NET))
                sum := add(sum, mul(v, c))
                slope := add(slope, mul(v, u))
                strike := mload(strike)
                if iszero(strike) { break }
            }
            function cdfAt(table_, step) -> y {
                if slt(step, 0) { leave }
                if gt(step, LAST_STEP) {
                    y := shl(48, 1)
                    leave
                }
                let word := mload(add(table_, and(shr(43, step), 0x7fe0)))
                let t := and(step, 0xffffffffffff)
                y := add(signextend(11, word), mul(t, signextend(5, word)))
                y := add(signextend(17, word), mul(t, y))
                y := add(signextend(23, word), mul(t, y))
                y := shr(196, add(word, mul(t, y)))
            }
        }
    }

    /// @dev Adds N * c of a list of strikes to all scenarios between the ends of a run, as `_value`
    /// does to one, strike by strike: a sixth less gas where all are wanted, and no slopes. As the
    /// place of d1 rises with the move, all are in the table if the first and the last are.
    function _priceBetween(uint256 table, uint256 strike, uint256 first, uint256 last)
        private
        pure
    {
        if (strike == 0) return;
        assembly ("memory-safe") {
            for {} strike { strike := mload(strike) } {
                let s := add(strike, mload(add(first, LINE)))
                let slope := mload(add(s, SLOPE))
                let centre := mload(add(s, CENTRE))
                s := mload(s)
                let u := sub(add(centre, sar(84, mul(slope, mload(first)))), s)
                let v := add(centre, sar(84, mul(slope, mload(last))))
                let j := add(first, SCENARIO_SIZE)
                if or(slt(u, 0), sgt(v, LAST_STEP)) {
                    for {} lt(j, last) { j := add(j, SCENARIO_SIZE) } {
                        u := add(centre, sar(84, mul(slope, mload(j))))
                        v := mul(cdfAt(table, sub(u, s)), mload(add(strike, RATIO)))
                        u := sub(mul(cdfAt(table, u), mload(add(j, MOVE))), v)
                        u := mul(mload(add(strike, NET)), sar(48, u))
                        mstore(add(j, LONG), add(mload(add(j, LONG)), u))
                    }
                    continue
                }
                for {} 1 {} {
                    u := add(centre, sar(84, mul(slope, mload(j))))
                    v := sub(u, s)
                    let w := mload(add(table, and(shr(43, u), 0x7fe0)))
                    u := and(u, 0xffffffffffff)
                    let c := add(signextend(11, w), mul(u, signextend(5, w)))
                    c := add(signextend(17, w), mul(u, c))
                    c := add(signextend(23, w), mul(u, c))
                    c := mul(shr(196, add(w, mul(u, c))), mload(add(j, MOVE)))
                    w := mload(add(table, and(shr(43, v), 0x7fe0)))
                    v := and(v, 0xffffffffffff)
                    u := add(signextend(11, w), mul(v, signextend(5, w)))
                    u := add(signextend(17, w), mul(v, u))
                    u := add(signextend(23, w), mul(v, u))
                    u := mul(shr(196, add(w, mul(v, u))), mload(add(strike, RATIO)))
                    u := mul(mload(add(strike, NET)), sar(48, sub(c, u)))
                    mstore(add(j, LONG), add(mload(add(j, LONG)), u))
                    j := add(j, SCENARIO_SIZE)
                    if eq(j, last) { break }
                }
            }
            function cdfAt(table_, step) -> y {
                if slt(step, 0) { leave }
                if gt(step, LAST_STEP) {
                    y := shl(48, 1)
                    leave
                }
                let word := mload(add(table_, and(shr(43, step), 0x7fe0)))
                let t := and(step, 0xffffffffffff)
                y := add(signextend(11, word), mul(t, signextend(5, word)))
                y := add(signextend(17, word), mul(t, y))
                y := add(signextend(23, word), mul(t, y))
                y := shr(196, add(word, mul(t, y)))
            }
        }
    }

    /// @dev Lowers each option's worst to what it loses in the scenario priced last.
    function _lowerWorst(uint256 option, uint256 scenario) private pure {
        // Ranges as in `_value`; the weight is below 2^20.
        assembly ("memory-safe") {
            let change := sub(mload(add(scenario, MOVE)), ONE)
            let weight := mload(add(scenario, WEIGHT))
            for {} option { option := mload(option) } {
                let strike := mload(add(option, OF_STRIKE))
                let pnl := sub(mload(add(strike, CALL)), mload(add(strike, AT_MARKET)))
                pnl := mul(pnl, mload(add(option, SIZE)))
                pnl := mul(weight, sub(pnl, mul(change, mload(add(option, PUT_SIZE)))))
                let worst := add(option, WORST)
                if slt(pnl, mload(worst)) { mstore(worst, pnl) }
            }
        }
    }

    function _sumOfWorst(uint256 option) private pure returns (uint256 losses) {
        assembly ("memory-safe") {
            for {} option { option := mload(option) } {
                losses := sub(losses, mload(add(option, WORST)))
            }
        }
    }

    function _word(Grid grid, uint256 offset) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := mload(add(grid, offset))
        }
    }

    function _put(uint256 place, uint256 word) private pure {
        assembly ("memory-safe") {
            mstore(place, word)
        }
    }

    function _at(uint256 place) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := mload(place)
        }
    }
}
