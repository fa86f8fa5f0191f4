// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Auction} from "../liquidation/Auction.sol";
import {AuctionClock} from "../liquidation/AuctionClock.sol";
import {Slice} from "../liquidation/Slice.sol";
import {Waterfall} from "../liquidation/Waterfall.sol";
import {Windows} from "../liquidation/Windows.sol";
import {AuctionParameters, AuctionState, Window} from "../types/Liquidation.sol";
import {Assessment, CashState} from "../types/Types.sol";
import {CaseMap} from "./CaseMap.sol";

/// @title Every pure function of liquidation, callable and in bulk
contract LiquidationHarness is CaseMap {
    function reward(Assessment calldata a, AuctionParameters calldata p)
        external
        pure
        returns (uint256)
    {
        return Auction.reward(a, p);
    }

    function discountAfter(uint256 elapsedSeconds, AuctionParameters calldata p)
        external
        pure
        returns (uint256)
    {
        return Auction.discountAfter(elapsedSeconds, p);
    }

    function hasRunOut(uint256 elapsedSeconds, AuctionParameters calldata p)
        external
        pure
        returns (bool)
    {
        return Auction.hasRunOut(elapsedSeconds, p);
    }

    function hasRecovered(
        Assessment calldata a,
        uint256 elapsedSeconds,
        AuctionParameters calldata p
    ) external pure returns (bool) {
        return Auction.hasRecovered(a, elapsedSeconds, p);
    }

    function priceOfWhole(Assessment calldata a, uint256 discount, AuctionParameters calldata p)
        external
        pure
        returns (int256)
    {
        return Auction.priceOfWhole(a, discount, p);
    }

    function compensation(Assessment calldata a, AuctionParameters calldata p)
        external
        pure
        returns (uint256)
    {
        return Auction.compensation(a, p);
    }

    function restoringFraction(Assessment calldata a, int256 price, AuctionParameters calldata p)
        external
        pure
        returns (uint256)
    {
        return Auction.restoringFraction(a, price, p);
    }

    function largestFraction(Assessment calldata a, uint256 restoring, uint256 windowFraction)
        external
        pure
        returns (uint256)
    {
        return Auction.largestFraction(a, restoring, windowFraction);
    }

    function soldFraction(
        uint256 wanted,
        uint256 restoring,
        uint256 largest,
        Assessment calldata a,
        AuctionParameters calldata p
    ) external pure returns (uint256) {
        return Auction.soldFraction(wanted, restoring, largest, a, p);
    }

    function priceOfSlice(int256 price, uint256 fraction) external pure returns (int256) {
        return Auction.priceOfSlice(price, fraction);
    }

    function limitOfSlice(int256 maxPrice, uint256 fraction) external pure returns (int256) {
        return Auction.limitOfSlice(maxPrice, fraction);
    }

    function isCopyHealthy(
        Assessment calldata a,
        int256 soldCash,
        int256 cash,
        uint256 fraction
    ) external pure returns (bool) {
        return Auction.isCopyHealthy(a, soldCash, cash, fraction);
    }

    function start(AuctionState calldata before, Assessment calldata a, uint256 activeTime)
        external
        pure
        returns (uint256, uint256, bool)
    {
        AuctionState memory state = before;
        AuctionClock.start(state, a, activeTime);
        return (state.startedAt, state.pausedAt, state.insolvencySeen);
    }

    function resume(AuctionState calldata before, Assessment calldata a, uint256 activeTime)
        external
        pure
        returns (uint256, uint256, bool)
    {
        AuctionState memory state = before;
        AuctionClock.resume(state, a, activeTime);
        return (state.startedAt, state.pausedAt, state.insolvencySeen);
    }

    function record(AuctionState calldata before, Assessment calldata a, uint256 activeTime)
        external
        pure
        returns (uint256, uint256, bool)
    {
        AuctionState memory state = before;
        AuctionClock.record(state, a, activeTime);
        return (state.startedAt, state.pausedAt, state.insolvencySeen);
    }

    function end(AuctionState calldata before) external pure returns (uint256, uint256, bool) {
        AuctionState memory state = before;
        AuctionClock.end(state);
        return (state.startedAt, state.pausedAt, state.insolvencySeen);
    }

    function elapsed(AuctionState calldata state, uint256 activeTime)
        external
        pure
        returns (uint256)
    {
        return AuctionClock.elapsed(state, activeTime);
    }

    function volumesOf(
        uint256[] calldata positions,
        uint256[] calldata collateral,
        uint8[] calldata followed,
        uint256 timestamp
    ) external pure returns (uint256[] memory) {
        return Windows.volumesOf(positions, collateral, followed, timestamp);
    }

    function levelAfter(uint256 level, uint256 elapsedSeconds, Window calldata window)
        external
        pure
        returns (uint256)
    {
        return Windows.levelAfter(level, elapsedSeconds, window);
    }

    function fractionFor(uint256 capacity, uint256 level, uint256 volume)
        external
        pure
        returns (uint256)
    {
        return Windows.fractionFor(capacity, level, volume);
    }

    function filled(uint256 capacity, uint256 level, uint256 volume, uint256 fraction)
        external
        pure
        returns (uint256)
    {
        return Windows.filled(capacity, level, volume, fraction);
    }

    function part(int256 amount, uint256 fraction) external pure returns (int256) {
        return Slice.part(amount, fraction);
    }

    function partUnsigned(uint256 amount, uint256 fraction) external pure returns (uint256) {
        return Slice.part(amount, fraction);
    }

    /// @notice Moves a slice, and measures it.
    function move(uint256[] calldata from, uint256[] calldata to, uint256 fraction)
        external
        view
        returns (
            uint256[] memory remaining,
            uint256[] memory merged,
            uint256[] memory netted,
            uint256 gasUsed
        )
    {
        (remaining, merged) = (from, to);
        gasUsed = gasleft();
        (remaining, merged, netted) = Slice.move(remaining, merged, fraction);
        gasUsed -= gasleft();
    }

    function takeFees(CashState calldata before, uint256 claim)
        external
        pure
        returns (uint256 result, CashState memory state)
    {
        state = before;
        result = Waterfall.takeFees(state, claim);
    }

    function takeReceived(CashState calldata before, uint256 received, uint256 claim)
        external
        pure
        returns (uint256 result, CashState memory state)
    {
        state = before;
        result = Waterfall.takeReceived(state, received, claim);
    }

    function socialise(
        CashState calldata before,
        uint256 pnlPools,
        uint256 found,
        uint256 loss,
        uint256 maxShare
    ) external pure returns (uint256 taken, uint256 share, CashState memory state) {
        state = before;
        (taken, share) = Waterfall.socialise(state, pnlPools, found, loss, maxShare);
    }

    function shareAfter(uint256 share, uint256 elapsedSeconds, uint256 maxShare)
        external
        pure
        returns (uint256)
    {
        return Waterfall.shareAfter(share, elapsedSeconds, maxShare);
    }

    function unpaidProfit(int256 value, uint256 closed, uint256 size)
        external
        pure
        returns (uint256)
    {
        return Waterfall.unpaidProfit(value, closed, size);
    }

    function closable(uint256 size, uint256 opposite, uint256 maxShare)
        external
        pure
        returns (uint256)
    {
        return Waterfall.closable(size, opposite, maxShare);
    }

    function split(uint256 total, uint256[] calldata weights)
        external
        pure
        returns (uint256[] memory)
    {
        return Waterfall.split(total, weights);
    }

    function haircut(uint256 deficit, uint256 closedValue, uint256 wholeValue)
        external
        pure
        returns (uint256)
    {
        return Waterfall.haircut(deficit, closedValue, wholeValue);
    }

    function haircutFor(int256 premium, int256 funds, uint256 share, uint256 deficit)
        external
        pure
        returns (uint256)
    {
        return Waterfall.haircutFor(premium, funds, share, deficit);
    }

    function hurts(Assessment calldata before, Assessment calldata afterwards)
        external
        pure
        returns (bool)
    {
        return Waterfall.hurts(before, afterwards);
    }
}
