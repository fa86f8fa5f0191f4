// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {FixedPoint} from "../math/FixedPoint.sol";
import {CashState, InterestParameters} from "../types/Types.sol";
import {Account, Accounts, Header} from "./Accounts.sol";

/// @title Interest on cash
/// @notice Specification, section 4. Every change of an account's cash goes through `book` or
/// `changeCash`, so that the total debt follows.
library Interest {
    using FixedPoint for uint256;
    using SafeCast for int256;
    using SafeCast for uint256;

    uint256 private constant YEAR_SECONDS = 365 days;

    /// @notice Brings the indexes and the total debt to `activeTime`, unless they are there.
    function accrue(
        CashState memory state,
        InterestParameters memory parameters,
        uint256 activeTime
    ) internal pure {
        // An outage learned of late may have set active time back.
        if (activeTime <= state.accruedAt) return;
        uint256 elapsedSeconds = activeTime - state.accruedAt;
        state.accruedAt = uint40(activeTime);

        uint256 utilisation = utilisationOf(state.totalDebt, state.cashHeld);
        uint256 growth = FixedPoint.divideUp(
            rateAt(parameters, utilisation) * elapsedSeconds, YEAR_SECONDS
        );
        uint256 borrowIndex = state.borrowIndex + uint256(state.borrowIndex).mulUp(growth);
        uint256 totalDebt = state.totalDebt + uint256(state.totalDebt).mulUp(growth);
        // Interest that no field can hold stops; it must not block a repayment.
        if (borrowIndex > type(uint88).max || totalDebt > type(uint128).max) return;

        uint256 supplyGrowth =
            growth.mulDown(utilisation).mulDown(FixedPoint.WAD - parameters.reserveFactor);
        state.borrowIndex = uint88(borrowIndex);
        state.totalDebt = uint128(totalDebt);
        // Utilisation is at most 1, so the supply index never passes the borrow index.
        state.supplyIndex += uint88(uint256(state.supplyIndex).mulDown(supplyGrowth));
    }

    /// @notice Fraction of the pool that is lent.
    function utilisationOf(uint256 totalDebt, uint256 cashHeld) internal pure returns (uint256) {
        return totalDebt == 0 ? 0 : totalDebt.divDown(totalDebt + cashHeld);
    }

    /// @notice Borrowing rate per year, rounded up.
    function rateAt(InterestParameters memory parameters, uint256 utilisation)
        internal
        pure
        returns (uint256)
    {
        uint256 kink = parameters.kink;
        if (utilisation <= kink) {
            return parameters.base + uint256(parameters.slope1).mulUp(utilisation.divUp(kink));
        }
        uint256 excess = (utilisation - kink).divUp(FixedPoint.WAD - kink);
        return uint256(parameters.base) + parameters.slope1
            + uint256(parameters.slope2).mulUp(excess);
    }

    /// @notice Cash including interest to the time of `state`: what is owned rounds down, what is
    /// owed up.
    function currentCash(Header memory header, CashState memory state)
        internal
        pure
        returns (int256)
    {
        int256 cash = header.cash;
        if (cash == 0 || header.cashIndex == 0) return cash;
        // abs(cash) < 2^104 and the indexes < 2^88.
        if (cash > 0) return int256(uint256(cash) * state.supplyIndex / header.cashIndex);
        return -int256(
            FixedPoint.divideUp(uint256(-cash) * state.borrowIndex, header.cashIndex)
        );
    }

    /// @notice Books the interest of an account; the pool receives the opposite.
    /// @return interest Change of cash.
    function book(Account memory account, CashState memory state)
        internal
        pure
        returns (int256 interest)
    {
        int256 cash = currentCash(account.header, state);
        interest = cash - account.header.cash;
        state.interestPool = (state.interestPool - interest).toInt128();
        _setCash(account, state, cash);
    }

    /// @notice Changes the cash of an account that is up to date, and the total debt with it.
    function changeCash(Account memory account, CashState memory state, int256 change)
        internal
        pure
    {
        uint256 debtBefore = debtOf(account.header.cash);
        _setCash(account, state, account.header.cash + change);
        uint256 totalDebt = state.totalDebt;
        totalDebt = totalDebt > debtBefore ? totalDebt - debtBefore : 0;
        state.totalDebt = (totalDebt + debtOf(account.header.cash)).toUint128();
    }

    /// @notice What an account owes, without sign.
    function debtOf(int256 cash) internal pure returns (uint256) {
        return cash < 0 ? uint256(-cash) : 0;
    }

    function _setCash(Account memory account, CashState memory state, int256 cash) private pure {
        Accounts.requireCash(account.id, cash);
        account.header.cash = cash;
        account.header.cashIndex = cash < 0 ? state.borrowIndex : state.supplyIndex;
    }
}
