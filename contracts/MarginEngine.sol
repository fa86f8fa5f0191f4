// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {
    IERC20Metadata
} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {Exchange} from "./Exchange.sol";
import {IExchange} from "./interfaces/IExchange.sol";
import {IMarginEngine} from "./interfaces/IMarginEngine.sol";
import {Account, Accounts} from "./ledger/Accounts.sol";
import {Fees} from "./ledger/Fees.sol";
import {Interest} from "./ledger/Interest.sol";
import {Ledger} from "./ledger/Ledger.sol";
import {Positions} from "./ledger/Positions.sol";
import {TransientSnapshot} from "./ledger/TransientSnapshot.sol";
import {FixedPoint} from "./math/FixedPoint.sol";
import {Instrument} from "./types/Instrument.sol";
import {Position} from "./types/Position.sol";
import {
    CashState,
    CollateralParameters,
    Fill,
    MarginMode,
    MarketState,
    Order,
    Portfolio,
    UnderlyingParameters
} from "./types/Types.sol";

/// @title The ledger of accounts, collateral, cash and positions
/// @notice Every entry point runs in one order: authorise, load, compute (libraries), require,
/// store, emit, call out; then admission judges the accounts it could have hurt.
contract MarginEngine is IMarginEngine, Ledger {
    using SafeCast for int256;
    using SafeCast for uint256;
    using Instrument for uint128;
    using Position for uint256;
    using Positions for Positions.Change;

    /// @dev What the two sides of a fill have in common.
    struct Trade {
        uint128 instrument;
        uint8 underlying;
        uint256 price;
        int256 entryPrice;
        uint256 index;
        int256 openInterestChange;
        bool closes;
        UnderlyingParameters parameters;
    }

    /// @inheritdoc IMarginEngine
    IExchange public immutable exchange;
    /// @notice Code for the calls that are not found here; it works on this contract's state.
    Ledger public immutable settlementEngine;

    /// @dev Greatest ratio of strike to index, or of index to strike, at which an option is bought
    /// or sold anew.
    uint256 private constant MAX_STRIKE_RATIO = 10;

    /// @notice Takes what the ledger trusts from the other part of its code, so that they agree.
    /// @param settlementEngine_ Deployed before, for this engine.
    constructor(Ledger settlementEngine_)
        Ledger(
            settlementEngine_.parameters(),
            settlementEngine_.liquidationParameters(),
            settlementEngine_.marketData(),
            settlementEngine_.riskModel(),
            settlementEngine_.settlementToken(),
            settlementEngine_.authority()
        )
    {
        settlementEngine = settlementEngine_;
        exchange = new Exchange(this);
        _cashState.borrowIndex = 1e18;
        _cashState.supplyIndex = 1e18;
        _cashState.accruedAt = uint40(_activeTime());
    }

    /// @dev What is unknown here, the settlement engine may know. Its reverts pass through.
    fallback(bytes calldata call) external returns (bytes memory) {
        return Address.functionDelegateCall(address(settlementEngine), call);
    }

    // ------------------------------------------------------------------------ deposit, withdraw

    /// @inheritdoc IMarginEngine
    function deposit(uint256 account, uint8 asset, uint256 amountRaw) external entryPoint {
        Accounts.requireValid(account);
        uint256 held = Accounts.unpack(_headers[account]).collateralBitmap;
        bool isNew = asset != CASH && held >> asset & 1 == 0;
        // A stranger could make the account stale, or heavier to margin, by what it does not hold.
        if (isNew) _requireAuthorised(account);
        if (amountRaw == 0) revert ZeroAmount();
        if (asset == CASH) _depositCash(account, amountRaw);
        else _depositCollateral(account, asset, amountRaw, isNew);
    }

    /// @inheritdoc IMarginEngine
    function withdraw(uint256 account, uint8 asset, uint256 amountRaw, address to)
        external
        entryPoint
    {
        _requireAuthorised(account);
        if (amountRaw == 0) revert ZeroAmount();
        if (asset == CASH) _requireLossesCovered();
        _save(_loadAccount(account), TransientSnapshot.MUST_CHECK | TransientSnapshot.WITHDREW);
        if (asset == CASH) _withdrawCash(account, amountRaw, to);
        else _withdrawCollateral(account, asset, amountRaw, to);
    }

    // ---------------------------------------------------------------------------------- trading

    /// @inheritdoc IMarginEngine
    function matchOrders(
        Order calldata,
        bytes calldata,
        Order calldata,
        bytes calldata,
        uint128
    ) external entryPoint {
        // The exchange takes the same arguments.
        bytes memory returned = Address.functionCall(address(exchange), msg.data);
        Fill memory fill = abi.decode(returned, (Fill));
        Trade memory trade = _requireTradable(fill);
        CashState memory state = _accruedCash();
        _priceTrade(trade);

        uint256 feeRate = trade.parameters.makerFee;
        Account memory maker =
            _openAccount(fill.makerAccount, TransientSnapshot.MUST_CHECK, state);
        _trade(maker, trade, -fill.takerSize, fill.makerReduceOnly, feeRate, state);
        feeRate = trade.parameters.takerFee;
        Account memory taker =
            _openAccount(fill.takerAccount, TransientSnapshot.MUST_CHECK, state);
        _trade(taker, trade, fill.takerSize, fill.takerReduceOnly, feeRate, state);

        _requireLots(trade, FixedPoint.abs(fill.takerSize));
        _changeOpenInterest(trade);
        _settleClosed(maker, taker, fill.instrument, state);
        _storeAccount(maker);
        _storeAccount(taker);
        _cashState = state;
    }

    // --------------------------------------------------------------------------------- accounts

    /// @inheritdoc IMarginEngine
    function setOperator(address operator, uint256 subIds) external entryPoint {
        uint256 oldSubIds = _operatorSubIds[msg.sender][operator];
        _operatorSubIds[msg.sender][operator] = subIds;
        emit OperatorSet(msg.sender, operator, oldSubIds, subIds);
    }

    /// @inheritdoc IMarginEngine
    function setMarginMode(uint256 account, MarginMode mode) external entryPoint {
        _requireAuthorised(account);
        Account memory changed = _loadAccount(account);
        _save(changed, TransientSnapshot.MUST_CHECK | TransientSnapshot.CHANGED_MODE);
        MarginMode oldMode = changed.header.marginMode;
        changed.header.marginMode = mode;
        _requireLight(changed);
        _headers[account] = Accounts.pack(changed.header);
        emit MarginModeSet(account, oldMode, mode);
    }

    /// @inheritdoc IMarginEngine
    function batch(bytes[] calldata calls) external {
        if (_entered || _batching) revert Reentrancy();
        _batching = true;
        for (uint256 i = 0; i < calls.length; ++i) {
            Address.functionDelegateCall(address(this), calls[i]);
        }
        _entered = true;
        _batching = false;
        _admit();
        _entered = false;
    }

    // ------------------------------------------------------------------------------------ views

    /// @inheritdoc IMarginEngine
    function portfolio(uint256 account) external view returns (Portfolio memory) {
        return _portfolioOf(_loadAccount(account));
    }

    /// @inheritdoc IMarginEngine
    function cashOf(uint256 account) external view returns (int256) {
        return Interest.currentCash(Accounts.unpack(_headers[account]), _currentCash());
    }

    /// @inheritdoc IMarginEngine
    function collateralOf(uint256 account, uint8 asset) external view returns (uint256) {
        return asset < MAX_ASSETS ? _balancesRaw[account][asset] : 0;
    }

    /// @inheritdoc IMarginEngine
    function positionsOf(uint256 account) external view returns (uint256[] memory) {
        return _loadPositions(account);
    }

    /// @inheritdoc IMarginEngine
    function positionOf(uint256 account, uint128 instrument)
        external
        view
        returns (int256 size, int256 quote)
    {
        uint256[] memory positions = _loadPositions(account);
        uint256 i = Positions.find(positions, instrument);
        if (i < positions.length) (size, quote) = (positions[i].size(), positions[i].quote());
    }

    /// @inheritdoc IMarginEngine
    function currentFundingIndex(uint8 underlying) external view returns (int256) {
        (int256 fundingIndex,) = _currentFunding(underlying);
        return fundingIndex;
    }

    /// @inheritdoc IMarginEngine
    function cashState() external view returns (CashState memory) {
        return _cashState;
    }

    /// @inheritdoc IMarginEngine
    function marketState(uint8 underlying) external view returns (MarketState memory) {
        return _markets[underlying];
    }

    /// @inheritdoc IMarginEngine
    function totalCollateralRaw(uint8 asset) external view returns (uint256) {
        return _totalCollateralRaw[asset];
    }

    /// @inheritdoc IMarginEngine
    function operatorSubIds(address owner, address operator) external view returns (uint256) {
        return _operatorSubIds[owner][operator];
    }

    // -------------------------------------------------------------------------- accounts, tokens

    function _depositCash(uint256 id, uint256 amountRaw) private {
        uint256 amount = _cashDown(amountRaw);
        if (amount == 0) revert ZeroAmount();
        // Tokens come first: seen from a token's hook, the account is not yet richer.
        uint256 balanceRaw = _pull(settlementToken, amountRaw);
        if (_batching) _save(_loadAccount(id), 0);
        CashState memory state = _accruedCash();
        _changeCash(id, amount.toInt256(), state);
        _receiveCash(state, amount, balanceRaw);
        _cashState = state;
        emit Deposited(id, CASH, msg.sender, amountRaw, amount);
    }

    /// @dev Nobody leaves the other owners of cash alone with a loss that they will have to bear.
    function _requireLossesCovered() private view {
        if (!_isLossPending()) return;
        uint256 pendingLoss = _losses.pendingLoss;
        if (pendingLoss > _capital()) revert PendingLoss(pendingLoss);
    }

    function _withdrawCash(uint256 id, uint256 amountRaw, address to) private {
        uint256 amount = _cashUp(amountRaw);
        uint256 cashHeld = _cashState.cashHeld;
        if (amount > cashHeld) revert InsufficientCash(amount, cashHeld);
        // Below 2^128 by that.
        CashState memory state = _accruedCash();
        _changeCash(id, -int256(amount), state);
        state.cashHeld -= uint128(amount);
        _cashState = state;
        emit Withdrawn(id, CASH, to, amountRaw, amount);
        _push(settlementToken, to, amountRaw);
    }

    /// @param isNew Whether the account holds none of it yet.
    function _depositCollateral(uint256 account, uint8 asset, uint256 amountRaw, bool isNew)
        private
    {
        CollateralParameters memory p = _requireAsset(asset);
        if (!p.enabled) revert AssetDisabled(asset);
        // What was never priced could not be valued, and would block the account for ever.
        marketData.collateralRate(asset);
        if (p.underlying != 0) _spot(p.underlying);
        uint256 totalRaw = Math.saturatingAdd(_totalCollateralRaw[asset], amountRaw);
        if (totalRaw > p.capRaw) revert CollateralCap(asset, totalRaw, p.capRaw);
        if (isNew || _batching) {
            Account memory holder = _loadAccount(account);
            _save(holder, 0);
            holder.header.collateralBitmap |= 1 << asset;
            if (isNew) _requireLight(holder);
        }

        uint256 balanceRaw = _pull(IERC20Metadata(p.token), amountRaw);
        _requireCovered(IERC20Metadata(p.token), balanceRaw, totalRaw);
        _totalCollateralRaw[asset] = totalRaw;
        _setBalance(account, asset, _balancesRaw[account][asset] + amountRaw);
        emit Deposited(account, asset, msg.sender, amountRaw, 0);
    }

    function _withdrawCollateral(uint256 account, uint8 asset, uint256 amountRaw, address to)
        private
    {
        CollateralParameters memory p = _requireAsset(asset);
        uint256 balanceRaw = _balancesRaw[account][asset];
        if (amountRaw > balanceRaw) revert InsufficientCollateral(asset, amountRaw, balanceRaw);
        _totalCollateralRaw[asset] -= amountRaw;
        _setBalance(account, asset, balanceRaw - amountRaw);
        emit Withdrawn(account, asset, to, amountRaw, 0);
        _push(IERC20Metadata(p.token), to, amountRaw);
    }

    // ------------------------------------------------------------------------- parts of a trade

    function _requireTradable(Fill memory fill) private view returns (Trade memory trade) {
        uint128 instrument = fill.instrument;
        instrument.requireCanonical();
        (trade.instrument, trade.underlying) = (instrument, instrument.underlying());
        trade.parameters = _underlyingParameters(trade.underlying);
        uint32 expiry = instrument.expiry();
        bool listed = trade.parameters.listed;
        if (listed && expiry != 0) listed = parameters.isExpiryListed(trade.underlying, expiry);
        if (!listed) revert Instrument.UnknownInstrument(instrument);
        if (expiry != 0 && block.timestamp >= expiry) revert InstrumentExpired(instrument, expiry);

        if (fill.takerSize == 0) revert InvalidSize(0, trade.parameters.lotSize);
        trade.price = fill.price;
        if (trade.price == 0 && !instrument.isOption()) revert InvalidPrice(trade.price);
    }

    /// @dev Index for the fees, and the price at which positions are entered.
    function _priceTrade(Trade memory trade) private {
        (trade.index,,) = _spot(trade.underlying);
        trade.entryPrice = int256(trade.price);
        if (trade.instrument.isPerpetual()) trade.entryPrice -= _accruedFunding(trade.underlying);
    }

    /// @dev One side of a trade: position, premium and fee.
    function _trade(
        Account memory account,
        Trade memory trade,
        int256 size,
        bool reduceOnly,
        uint256 feeRate,
        CashState memory state
    ) private {
        uint256 count = account.positions.length;
        Positions.Change memory change;
        (account.positions, change) =
            Positions.applyTrade(account.positions, trade.instrument, size, trade.entryPrice);
        if (!change.isReduction()) {
            if (reduceOnly || trade.parameters.reduceOnly) {
                revert ReduceOnly(account.id, change.sizeBefore, change.sizeAfter);
            }
            if (trade.instrument.isOption()) _requireNearStrike(trade);
        }
        if (account.positions.length > count) {
            uint256 cap = _globals().maxPositions;
            if (count >= cap) revert TooManyPositions(account.id, cap);
            _requireLight(account);
        }
        if (change.premium > 0) TransientSnapshot.addFlags(account.id, TransientSnapshot.PAID);
        uint256 feeCap = trade.parameters.optionFeeCap;
        uint256 fee = Fees.onFill(
            trade.instrument, FixedPoint.abs(size), trade.index, feeRate, change.premium, feeCap
        );
        Interest.changeCash(account, state, -change.premium - fee.toInt256());
        state.fees = (state.fees + fee).toUint128();
        trade.openInterestChange += change.grossChange();
        if (change.sizeAfter == 0) trade.closes = true;
        emit Traded(
            account.id,
            trade.instrument,
            size,
            trade.price,
            -change.premium,
            fee,
            change.sizeAfter
        );
    }

    function _requireNearStrike(Trade memory trade) private pure {
        (uint256 strike, uint256 index) = (trade.instrument.strike(), trade.index);
        // Both are below 2^98.
        if (strike * MAX_STRIKE_RATIO < index || strike > index * MAX_STRIKE_RATIO) {
            revert StrikeTooFar(strike, index);
        }
    }

    /// @dev Slices of a liquidation leave odd lots; whoever has one must be able to close it.
    function _requireLots(Trade memory trade, uint256 size) private pure {
        uint256 lotSize = trade.parameters.lotSize;
        if (size % lotSize != 0 && !trade.closes) revert InvalidSize(size, lotSize);
    }

    function _changeOpenInterest(Trade memory trade) private {
        int256 change = trade.openInterestChange;
        if (change == 0) return;
        MarketState storage market = _markets[trade.underlying];
        uint256 openInterest = (int256(uint256(market.openInterest)) + change).toUint256();
        uint256 oneSided = FixedPoint.divideUp(openInterest, 2);
        uint256 cap = trade.parameters.openInterestCap;
        if (change > 0 && oneSided > cap) {
            revert OpenInterestCap(trade.underlying, oneSided, cap);
        }
        market.openInterest = openInterest.toUint104();
    }

    /// @dev Settles a position that a trade has brought to size zero, a loss before a profit.
    function _settleClosed(
        Account memory maker,
        Account memory taker,
        uint128 instrument,
        CashState memory state
    ) private {
        if (instrument.isOption()) return;
        (uint256 i, int256 makerValue) = Positions.closedValue(maker.positions, instrument);
        (uint256 j, int256 takerValue) = Positions.closedValue(taker.positions, instrument);
        bool takerFirst = takerValue < 0 && makerValue > 0;
        if (takerFirst) _settlePosition(taker, j, takerValue, state);
        if (makerValue != 0) _settlePosition(maker, i, makerValue, state);
        if (takerValue != 0 && !takerFirst) _settlePosition(taker, j, takerValue, state);
        maker.positions = Positions.removeEmpty(maker.positions);
        taker.positions = Positions.removeEmpty(taker.positions);
    }
}
