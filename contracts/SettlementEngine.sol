// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {ISettlement} from "./interfaces/ISettlement.sol";
import {Account, Accounts} from "./ledger/Accounts.sol";
import {Extension} from "./ledger/Extension.sol";
import {Interest} from "./ledger/Interest.sol";
import {Ledger} from "./ledger/Ledger.sol";
import {Positions} from "./ledger/Positions.sol";
import {Auction} from "./liquidation/Auction.sol";
import {Waterfall} from "./liquidation/Waterfall.sol";
import {FixedPoint} from "./math/FixedPoint.sol";
import {Instrument} from "./types/Instrument.sol";
import {AccountStatus, AuctionParameters, LastStep} from "./types/Liquidation.sol";
import {Position} from "./types/Position.sol";
import {Assessment, CashState, MarginMode, Portfolio} from "./types/Types.sol";

/// @title Settlement of positions, in time or by force, and protocol capital
/// @notice The margin engine delegates to it whatever it does not know itself; what is unknown here
/// goes on to the liquidation engine.
contract SettlementEngine is ISettlement, Extension {
    using SafeCast for uint256;
    using Instrument for uint128;
    using Position for uint256;

    /// @dev A position that is being closed against others.
    /// @param account Whose; its deficit is what was found before.
    /// @param size Units before, signed.
    /// @param entryPrice At which positions trade: for a perpetual, less the funding index.
    /// @param parts Units to be closed with each counterparty.
    /// @param haircuts Of the deficit with each of these parts, USD.
    /// @param deficit What no haircut has taken of it yet, USD.
    /// @param funds What the account has for premiums: its collateral equity, USD.
    /// @param closed Units closed in all.
    struct Closing {
        Account account;
        Assessment found;
        uint128 instrument;
        int256 size;
        uint256 price;
        int256 entryPrice;
        uint256[] parts;
        uint256[] haircuts;
        uint256 deficit;
        int256 funds;
        uint256 closed;
    }

    int256 private constant ONE_UNIT = 1e18;

    /// @notice Code for the calls that are not found here either.
    Extension public immutable liquidationEngine;

    /// @notice Takes what the ledger trusts from the liquidation engine, so that the two agree.
    /// @param liquidationEngine_ Deployed before, for the same margin engine.
    constructor(Extension liquidationEngine_)
        Ledger(
            liquidationEngine_.parameters(),
            liquidationEngine_.liquidationParameters(),
            liquidationEngine_.marketData(),
            liquidationEngine_.riskModel(),
            liquidationEngine_.settlementToken(),
            liquidationEngine_.authority()
        )
    {
        liquidationEngine = liquidationEngine_;
    }

    /// @dev Reverts of the liquidation engine pass through.
    fallback(bytes calldata call) external onlyDelegated returns (bytes memory) {
        return Address.functionDelegateCall(address(liquidationEngine), call);
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
        if (_isLossPending()) revert PendingLoss(_losses.pendingLoss);
        if (amountRaw == 0) revert ZeroAmount();
        uint256 amount = _cashUp(amountRaw);
        // Interest for the time before counts what was lent then.
        CashState memory state = _accruedCash();
        if (amount > state.fees) revert InsufficientFees(amount, state.fees);
        if (amount > state.cashHeld) revert InsufficientCash(amount, state.cashHeld);
        // Below 2^128 by either.
        state.fees -= uint128(amount);
        state.cashHeld -= uint128(amount);
        _cashState = state;
        emit FeesCollected(to, amountRaw);
        _push(settlementToken, to, amountRaw);
    }

    /// @inheritdoc ISettlement
    function updateStatus(uint256 id)
        external
        onlyDelegated
        entryPoint
        returns (AccountStatus)
    {
        Accounts.requireValid(id);
        _requireAdmitted(id);
        Account memory account = _loadAccount(id);
        Assessment memory found = _assess(account);
        bool inAuction = account.header.inAuction && !_isOver(id, found);
        _record(account, found, inAuction);
        _headers[id] = Accounts.pack(account.header);
        return Accounts.status(account.header.health, inAuction);
    }

    /// @inheritdoc ISettlement
    function deleverage(uint256 id, uint128 instrument, uint256[] calldata counterparties)
        external
        onlyDelegated
        entryPoint
        returns (uint256)
    {
        Accounts.requireValid(id);
        _requireAdmitted(id);
        Closing memory c = _planClosing(id, instrument, counterparties);
        CashState memory state = _accruedCash();
        _touch(c.account, 0, state);
        for (uint256 k = 0; k < counterparties.length; ++k) {
            _storeAccount(_openAccount(counterparties[k], 0, state));
        }
        _cashState = state;
        c.entryPrice = int256(c.price);
        uint8 underlying = instrument.underlying();
        if (instrument.isPerpetual()) c.entryPrice -= _accruedFunding(underlying);
        for (uint256 k = 0; k < counterparties.length; ++k) {
            _closeWith(c, k, counterparties[k], state);
        }
        // Sizes on both sides fell by as much.
        _markets[underlying].openInterest -= uint104(2 * c.closed);
        c.account.positions = Positions.removeEmpty(c.account.positions);
        _record(c.account, c.found, true);
        _storeAccount(c.account);
        _cashState = state;
        return c.closed;
    }

    /// @inheritdoc ISettlement
    function contribute(uint256 amountRaw) external onlyDelegated entryPoint {
        uint256 amount = _cashDown(amountRaw);
        if (amount == 0) revert ZeroAmount();
        uint256 balanceRaw = _pull(settlementToken, amountRaw);
        CashState memory state = _accruedCash();
        _receiveCash(state, amount, balanceRaw);
        state.fees = (state.fees + amount).toUint128();
        _cashState = state;
        emit Contributed(msg.sender, amountRaw, amount);
    }

    /// @inheritdoc ISettlement
    function pendingLoss() external view onlyDelegated returns (uint256) {
        return _losses.pendingLoss;
    }

    /// @inheritdoc ISettlement
    function isLossPending() external view onlyDelegated returns (bool) {
        return _isLossPending();
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
            (, uint256 mark,) = _spot(slot.underlying());
            return int256(mark) - _accruedFunding(slot.underlying());
        }
        (uint256 index,,) = _spot(slot.underlying());
        (uint256 forward,,,) = marketData.slice(slot.underlying(), slot.expiry(), index);
        return int256(forward);
    }

    /// @dev Whether an auction ends, given what was found of the account.
    function _isOver(uint256 id, Assessment memory found) private view returns (bool) {
        AuctionParameters memory rules = liquidationParameters.auctionParameters();
        return Auction.hasRecovered(found, _activeSince(_auctions[id].startedAt), rules);
    }

    // -------------------------------------------------------------------- parts of deleveraging

    /// @dev Judges whether a position may be closed by force, and decides how much and at what
    /// price.
    function _planClosing(uint256 id, uint128 instrument, uint256[] calldata counterparties)
        private
        view
        returns (Closing memory c)
    {
        Account memory account = _loadAccount(id);
        c.account = account;
        (c.instrument, c.size) = (instrument, _liveSize(account.positions, instrument));
        if (c.size == 0) revert NothingToDeleverage(id, instrument);
        AuctionParameters memory rules = liquidationParameters.auctionParameters();
        c.found = _assessInsolvent(account);
        _requireDeleveragingDue(id, c.found, rules);
        uint256[] memory opposite = _oppositeSizes(id, c, counterparties);
        uint256 size = FixedPoint.abs(c.size);
        uint256 closed =
            Waterfall.closable(size, Waterfall.sum(opposite), rules.maxDeleverageShare);
        if (closed == 0) revert NothingToDeleverage(id, instrument);
        c.parts = Waterfall.split(closed, opposite);
        (c.deficit, c.funds) = (FixedPoint.abs(c.found.equity), c.found.collateralEquity);
        c.price = _fairPrice(instrument);
        uint256 haircut = _haircut(account.positions, c, closed);
        haircut = Waterfall.haircutFor(_premium(c, closed), c.funds, haircut, c.deficit);
        c.haircuts = Waterfall.split(haircut, c.parts);
    }

    /// @dev Equity is the same in all modes. A step has room for no more predictive margin than
    /// that of a counterparty, before and afterwards: here the portfolio margin stands for it.
    function _assessInsolvent(Account memory account) private view returns (Assessment memory) {
        Portfolio memory portfolio = _portfolioOf(account);
        if (portfolio.marginMode == MarginMode.PREDICTIVE) {
            portfolio.marginMode = MarginMode.PORTFOLIO;
        }
        return riskModel.assess(portfolio);
    }

    /// @dev Size of a position that has not expired; zero if there is none.
    function _liveSize(uint256[] memory positions, uint128 instrument)
        private
        view
        returns (int256)
    {
        uint256 i = Positions.find(positions, instrument);
        if (i == positions.length || positions[i].instrument() != instrument) return 0;
        return _hasExpired(positions[i]) ? int256(0) : positions[i].size();
    }

    function _requireDeleveragingDue(
        uint256 id,
        Assessment memory found,
        AuctionParameters memory rules
    ) private view {
        bool due = rules.lastStep == LastStep.DELEVERAGE && found.equity < 0
            && Auction.hasRunOut(_elapsedSeconds(id, found), rules)
            && _capital() < Auction.compensation(found, rules);
        if (!due) revert DeleveragingNotDue(id);
    }

    function _oppositeSizes(uint256 id, Closing memory c, uint256[] calldata counterparties)
        private
        view
        returns (uint256[] memory sizes)
    {
        sizes = new uint256[](counterparties.length);
        for (uint256 k = 0; k < counterparties.length; ++k) {
            uint256 counterparty = counterparties[k];
            bool ascends = k == 0 || counterparty > counterparties[k - 1];
            if (!ascends || counterparty == id) revert NotAscending(counterparty);
            _requireAdmitted(counterparty);
            int256 size = _liveSize(_loadPositions(counterparty), c.instrument);
            if (c.size > 0 ? size >= 0 : size <= 0) revert NotOpposite(counterparty);
            sizes[k] = FixedPoint.abs(size);
        }
    }

    /// @dev Part of the deficit that goes with what is closed; all of it with the last position.
    function _haircut(uint256[] memory positions, Closing memory c, uint256 closed)
        private
        view
        returns (uint256)
    {
        uint256 value;
        uint256 count;
        for (uint256 i = 0; i < positions.length; ++i) {
            uint256 size = FixedPoint.abs(positions[i].size());
            if (size == 0) continue;
            (uint256 index,,) = _spot(positions[i].underlying());
            value += size * index;
            ++count;
        }
        if (count == 1 && closed == FixedPoint.abs(c.size)) return c.deficit;
        (uint256 ownIndex,,) = _spot(c.instrument.underlying());
        return Waterfall.haircut(c.deficit, closed * ownIndex, value);
    }

    /// @dev Cash that the account owes for units of an option that it is short of.
    function _premium(Closing memory c, uint256 units) private pure returns (int256) {
        if (!c.instrument.isOption()) return 0;
        int256 bought = c.size > 0 ? -int256(units) : int256(units);
        return Positions.signedAmount(bought, int256(c.price));
    }

    /// @dev What one unit is worth to the risk model.
    function _fairPrice(uint128 instrument) private view returns (uint256) {
        Portfolio memory unit;
        unit.positions = new uint256[](1);
        unit.positions[0] = Position.pack(instrument, ONE_UNIT, 0);
        return uint256(FixedPoint.max(riskModel.assess(unit).equity, 0));
    }

    /// @dev Closes the part of one counterparty, unless that would take a hedge away from it, or
    /// a premium could be paid only with what others have lent.
    function _closeWith(Closing memory c, uint256 k, uint256 id, CashState memory state) private {
        Account memory other = _loadAccount(id);
        Assessment memory before = _assess(other);
        (uint256 part, uint128 totalDebt) = (c.parts[k], state.totalDebt);
        int256 bought = c.size > 0 ? -int256(part) : int256(part);
        int256 premium = _premium(c, part);
        uint256 haircut =
            Waterfall.haircutFor(premium, c.funds, c.haircuts[k], c.deficit);
        haircut = FixedPoint.min(haircut, _unpaidProfit(other, c, part));
        _closePart(other, c, -bought, -int256(haircut), state);
        other.positions = Positions.removeEmpty(other.positions);
        Assessment memory afterwards = _assess(other);
        // Nobody is made to pay a premium that a trade would not let him pay.
        bool isPaid = premium < 0
            ? afterwards.collateralEquity >= 0
            : premium - int256(haircut) <= FixedPoint.max(c.funds, 0);
        if (!isPaid || Waterfall.hurts(before, afterwards)) {
            state.totalDebt = totalDebt;
            return;
        }
        _storeAccount(other);
        _closePart(c.account, c, bought, int256(haircut), state);
        c.deficit -= haircut;
        c.funds += int256(haircut) - premium;
        c.closed += part;
        emit Deleveraged(c.account.id, id, c.instrument, bought, c.price, haircut);
    }

    /// @dev Profit of what is closed that was never paid in: the most that can be taken for it.
    function _unpaidProfit(Account memory other, Closing memory c, uint256 part)
        private
        pure
        returns (uint256)
    {
        uint256 slot = other.positions[Positions.find(other.positions, c.instrument)];
        if (c.instrument.isOption()) {
            return slot.size() > 0 ? FixedPoint.mulDown(part, c.price) : 0;
        }
        int256 value = Positions.linearValue(slot, c.entryPrice);
        return Waterfall.unpaidProfit(value, part, FixedPoint.abs(slot.size()));
    }

    /// @dev One side: what passes between the two beyond the price is in the quote, or in cash.
    function _closePart(
        Account memory account,
        Closing memory c,
        int256 size,
        int256 gain,
        CashState memory state
    ) private pure {
        uint256 i = Positions.find(account.positions, c.instrument);
        (uint256 slot, Positions.Change memory change) =
            Positions.applyTrade(account.positions[i], size, c.entryPrice);
        if (!c.instrument.isOption()) slot = Positions.addQuote(slot, gain);
        else Interest.changeCash(account, state, gain - change.premium);
        account.positions[i] = slot;
    }
}
