// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {
    IERC20Metadata
} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";

import {IMarketData} from "./interfaces/IMarketData.sol";
import {IParameters} from "./interfaces/IParameters.sol";
import {IRiskModel} from "./interfaces/IRiskModel.sol";
import {ISettlement} from "./interfaces/ISettlement.sol";
import {Account, Accounts} from "./ledger/Accounts.sol";
import {Ledger} from "./ledger/Ledger.sol";
import {Positions} from "./ledger/Positions.sol";
import {FixedPoint} from "./math/FixedPoint.sol";
import {Instrument} from "./types/Instrument.sol";
import {Position} from "./types/Position.sol";
import {CashState} from "./types/Types.sol";

/// @title The part of the ledger's code that the margin engine has no room for
/// @notice The margin engine delegates to it whatever it does not know itself; it works on the
/// engine's state, tokens and caller. It has none of its own, and refuses calls at its own address.
contract LiquidationEngine is ISettlement, Ledger {
    using Instrument for uint128;
    using Position for uint256;

    address private immutable SELF = address(this);

    /// @notice Sets what the ledger trusts, for ever; the margin engine takes it from here.
    /// @param parameters_ Parameters set by governance.
    /// @param marketData_ Prices and surfaces.
    /// @param riskModel_ Requirement and equity.
    /// @param settlementToken_ USD stablecoin, the only cash; at most 24 decimals.
    /// @param accessManager Decides who may collect fees, and nothing else.
    constructor(
        IParameters parameters_,
        IMarketData marketData_,
        IRiskModel riskModel_,
        IERC20Metadata settlementToken_,
        address accessManager
    ) Ledger(parameters_, marketData_, riskModel_, settlementToken_, accessManager) {}

    /// @dev Lets nobody in but through the margin engine.
    modifier onlyDelegated() {
        if (address(this) == SELF) revert OnlyDelegated(SELF);
        _;
    }

    // ------------------------------------------------------------------------------- settlement

    /// @inheritdoc ISettlement
    function settle(uint256 id) external onlyDelegated entryPoint {
        Accounts.requireValid(id);
        CashState memory state = _accruedCash();
        Account memory account = _openAccount(id, 0, state);
        _settleExpired(account);

        uint256[] memory positions = account.positions;
        int256[] memory profits = new int256[](positions.length);
        for (uint256 i = 0; i < positions.length; ++i) {
            if (positions[i].isOption() || _hasExpired(positions[i])) continue;
            int256 value = Positions.linearValue(positions[i], _accruedPrice(positions[i]));
            if (value < 0) _settlePosition(account, i, value, state);
            else profits[i] = value;
        }
        for (uint256 i = 0; i < positions.length; ++i) {
            if (profits[i] > 0) _settlePosition(account, i, profits[i], state);
        }
        account.positions = Positions.removeEmpty(positions);
        _storeAccount(account);
        _cashState = state;
    }

    /// @inheritdoc ISettlement
    function accrue(uint8 underlying) external onlyDelegated entryPoint {
        _cashState = _accruedCash();
        _spot(underlying);
        _accruedFunding(underlying);
    }

    /// @inheritdoc ISettlement
    function collectFees(address to, uint256 amountRaw)
        external
        onlyDelegated
        restricted
        entryPoint
    {
        if (amountRaw == 0) revert ZeroAmount();
        uint256 amount = _cashUp(amountRaw);
        CashState memory state = _cashState;
        if (amount > state.fees) revert InsufficientFees(amount, state.fees);
        if (amount > state.cashHeld) revert InsufficientCash(amount, state.cashHeld);
        // Below 2^128 by either.
        state.fees -= uint128(amount);
        state.cashHeld -= uint128(amount);
        _cashState = state;
        emit FeesCollected(to, amountRaw);
        _push(settlementToken, to, amountRaw);
    }

    // ---------------------------------------------------------------------- parts of settlement

    function _hasExpired(uint256 slot) private view returns (bool) {
        uint256 expiry = slot.expiry();
        return expiry != 0 && expiry <= block.timestamp;
    }

    /// @dev Turns expired positions into claims, from the last to the first, so that removal moves
    /// only slots already seen.
    function _settleExpired(Account memory account) private {
        for (uint256 i = account.positions.length; i > 0; --i) {
            uint256 slot = account.positions[i - 1];
            if (!_hasExpired(slot)) continue;
            uint8 underlying = slot.underlying();
            uint256 price = marketData.settlementPrice(underlying, slot.expiry());
            if (price == 0) continue;
            int256 payoff = Positions.payoff(slot, price);
            account.positions = Positions.expire(account.positions, i - 1, payoff);
            // abs(size) is below 2^95.
            _markets[underlying].openInterest -= uint104(FixedPoint.abs(slot.size()));
            emit PositionExpired(account.id, slot.instrument(), slot.size(), price, payoff);
        }
    }

    /// @dev Price at which a linear position is settled; none is read for a bare claim.
    function _accruedPrice(uint256 slot) private returns (int256 price) {
        if (slot.size() == 0) return 0;
        if (slot.instrument().isPerpetual()) {
            (, uint256 mark) = _spot(slot.underlying());
            return int256(mark) - _accruedFunding(slot.underlying());
        }
        (uint256 index,) = _spot(slot.underlying());
        (uint256 forward,,,) = marketData.slice(slot.underlying(), slot.expiry(), index);
        return int256(forward);
    }
}
