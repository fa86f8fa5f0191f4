// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Header} from "../ledger/Accounts.sol";
import {Admission} from "../ledger/Admission.sol";
import {Fees} from "../ledger/Fees.sol";
import {Funding} from "../ledger/Funding.sol";
import {Interest} from "../ledger/Interest.sol";
import {Positions} from "../ledger/Positions.sol";
import {Instrument} from "../types/Instrument.sol";
import {Position} from "../types/Position.sol";
import {
    Assessment,
    CashState,
    Health,
    InterestParameters,
    MarginMode
} from "../types/Types.sol";
import {CaseMap} from "./CaseMap.sol";

/// @title Every pure function of the ledger, callable and in bulk
contract LedgerHarness is CaseMap {
    /// @return borrowIndex_ Borrow index.
    /// @return supplyIndex_ Supply index.
    /// @return rest Total debt from bit 0, time of the accrual from bit 128.
    function accrueInterest(
        uint88 borrowIndex,
        uint88 supplyIndex,
        uint128 totalDebt,
        uint128 cashHeld,
        uint40 accruedAt,
        uint40 activeTime,
        InterestParameters calldata parameters
    ) external pure returns (uint256 borrowIndex_, uint256 supplyIndex_, uint256 rest) {
        CashState memory state;
        state.borrowIndex = borrowIndex;
        state.supplyIndex = supplyIndex;
        state.totalDebt = totalDebt;
        state.cashHeld = cashHeld;
        state.accruedAt = accruedAt;
        Interest.accrue(state, parameters, activeTime);
        rest = state.totalDebt | uint256(state.accruedAt) << 128;
        return (state.borrowIndex, state.supplyIndex, rest);
    }

    function currentCash(int104 cash, uint88 cashIndex, uint88 borrowIndex, uint88 supplyIndex)
        external
        pure
        returns (int256)
    {
        CashState memory state;
        state.borrowIndex = borrowIndex;
        state.supplyIndex = supplyIndex;
        Header memory header =
            Header(cash, cashIndex, 0, MarginMode.PORTFOLIO, 0, Health.HEALTHY, false);
        return Interest.currentCash(header, state);
    }

    function fundingDue(
        uint256 accruedAt,
        uint256 activeTime,
        uint256 currentTimestamp,
        uint256 timestamp,
        uint256 maxAgeSeconds
    ) external pure returns (uint256, uint256) {
        return
            Funding.due(accruedAt, activeTime, currentTimestamp, timestamp, maxAgeSeconds);
    }

    function accrueFunding(
        int256 fundingIndex,
        uint256 mark,
        uint256 index,
        uint256 fundingCap,
        uint256 elapsedSeconds
    ) external pure returns (int256) {
        return Funding.accrue(fundingIndex, mark, index, fundingCap, elapsedSeconds);
    }

    function fee(uint256 size, uint256 index, uint256 rate) external pure returns (uint256) {
        return Fees.onNotional(size, index, rate);
    }

    function optionFee(
        uint256 size,
        uint256 index,
        uint256 rate,
        uint256 premium,
        uint256 optionFeeCap
    ) external pure returns (uint256) {
        return Fees.onOption(size, index, rate, premium, optionFeeCap);
    }

    function applyTrade(uint256 slot, int256 size, int256 price)
        external
        pure
        returns (uint256 newSlot, int256 premium)
    {
        Positions.Change memory change;
        (newSlot, change) = Positions.applyTrade(slot, size, price);
        premium = change.premium;
    }

    function linearValue(uint256 slot, int256 price) external pure returns (int256) {
        return Positions.linearValue(slot, price);
    }

    function payoff(uint256 slot, uint256 settlementPrice) external pure returns (int256) {
        return Positions.payoff(slot, settlementPrice);
    }

    function netOfFunding(uint256 slot, int256 fundingIndex) external pure returns (uint256) {
        return Positions.netOfFunding(slot, fundingIndex);
    }

    function settledAmount(int256 value, uint256 funds) external pure returns (int256) {
        return Positions.settledAmount(value, funds);
    }

    function pack(uint128 instrument, int256 size, int256 quote) external pure returns (uint256) {
        return Position.pack(instrument, size, quote);
    }

    function unpack(uint256 slot) external pure returns (uint128, int256, int256) {
        return (Position.instrument(slot), Position.size(slot), Position.quote(slot));
    }

    function requireCanonical(uint128 instrument) external pure {
        Instrument.requireCanonical(instrument);
    }

    function healthOf(Assessment calldata a) external pure returns (Health) {
        return Admission.healthOf(a);
    }

    function isNoRiskier(Assessment calldata afterwards, Assessment calldata before)
        external
        pure
        returns (bool)
    {
        return Admission.isNoRiskier(afterwards, before);
    }

    function leastEquity(Assessment calldata before, uint256 maintenanceMargin)
        external
        pure
        returns (int256)
    {
        return Admission.leastEquity(before, maintenanceMargin);
    }

    function isStale(uint256 timestamp, uint256 currentTimestamp, uint256 maxAgeSeconds)
        external
        pure
        returns (bool)
    {
        return Admission.isStale(timestamp, currentTimestamp, maxAgeSeconds);
    }
}
