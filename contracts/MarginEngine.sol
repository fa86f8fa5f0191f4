// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {
    IERC20Metadata
} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {Exchange} from "./Exchange.sol";
import {IExchange} from "./interfaces/IExchange.sol";
import {IMarginEngine} from "./interfaces/IMarginEngine.sol";
import {IMarketData} from "./interfaces/IMarketData.sol";
import {IParameters} from "./interfaces/IParameters.sol";
import {IRiskModel} from "./interfaces/IRiskModel.sol";
import {Account, Accounts, Header} from "./ledger/Accounts.sol";
import {Admission} from "./ledger/Admission.sol";
import {Bitmap} from "./ledger/Bitmap.sol";
import {Fees} from "./ledger/Fees.sol";
import {Funding} from "./ledger/Funding.sol";
import {Interest} from "./ledger/Interest.sol";
import {Positions} from "./ledger/Positions.sol";
import {TransientSnapshot} from "./ledger/TransientSnapshot.sol";
import {FixedPoint} from "./math/FixedPoint.sol";
import {Instrument} from "./types/Instrument.sol";
import {Position} from "./types/Position.sol";
import {
    Assessment,
    CashState,
    CollateralParameters,
    Fill,
    GlobalParameters,
    MarginMode,
    MarketState,
    Order,
    Portfolio,
    UnderlyingParameters
} from "./types/Types.sol";

/// @title The ledger of accounts, collateral, cash and positions
/// @notice Every entry point runs in one order: authorise, load, compute (libraries), require,
/// store, emit, call out; then admission judges the accounts it could have hurt.
contract MarginEngine is IMarginEngine, AccessManaged {
    using SafeERC20 for IERC20Metadata;
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
        UnderlyingParameters parameters;
    }

    uint8 private constant CASH = 0;
    uint256 private constant MAX_ASSETS = 32;
    /// @dev More than any amount of cash, of any decimals; what is above counts as this.
    uint256 private constant MAX_CASH_RAW = 2 ** 192;

    IParameters public immutable parameters;
    IMarketData public immutable marketData;
    IRiskModel public immutable riskModel;
    IERC20Metadata public immutable settlementToken;
    /// @inheritdoc IMarginEngine
    IExchange public immutable exchange;
    uint8 private immutable settlementDecimals;

    CashState private _cashState;
    mapping(uint256 account => uint256) private _headers;
    mapping(uint256 account => uint256[128]) private _positions;
    mapping(uint256 account => uint256[MAX_ASSETS]) private _balancesRaw;
    mapping(uint8 underlying => MarketState) private _markets;

    /// @inheritdoc IMarginEngine
    mapping(uint8 asset => uint256) public totalCollateralRaw;
    /// @inheritdoc IMarginEngine
    mapping(address owner => mapping(address operator => uint256)) public operatorSubIds;

    bool private transient _entered;
    bool private transient _batching;

    /// @notice Sets what the engine trusts, for ever.
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
    ) AccessManaged(accessManager) {
        parameters = parameters_;
        marketData = marketData_;
        riskModel = riskModel_;
        settlementToken = settlementToken_;
        exchange = new Exchange(this);
        settlementDecimals = settlementToken_.decimals();
        if (settlementDecimals > 24) {
            revert UnsupportedDecimals(address(settlementToken_), settlementDecimals);
        }
        _cashState.borrowIndex = 1e18;
        _cashState.supplyIndex = 1e18;
        _cashState.accruedAt = uint40(block.timestamp);
    }

    /// @dev Guards a state-changing function and, unless it is an item of a batch, ends it with
    /// admission. Within an item only calls to tokens and signers leave the contract, and
    /// `_entered` is set during those.
    modifier entryPoint() {
        if (_entered) revert Reentrancy();
        _entered = true;
        _;
        if (!_batching) _admit();
        _entered = false;
    }

    // ------------------------------------------------------------------------ deposit, withdraw

    /// @inheritdoc IMarginEngine
    function deposit(uint256 account, uint8 asset, uint256 amountRaw) external entryPoint {
        Accounts.requireValid(account);
        if (amountRaw == 0) revert ZeroAmount();
        if (asset == CASH) _depositCash(account, amountRaw);
        else _depositCollateral(account, asset, amountRaw);
    }

    /// @inheritdoc IMarginEngine
    function withdraw(uint256 account, uint8 asset, uint256 amountRaw, address to)
        external
        entryPoint
    {
        _requireAuthorised(account);
        if (amountRaw == 0) revert ZeroAmount();
        _save(_loadAccount(account), TransientSnapshot.MUST_CHECK | TransientSnapshot.WITHDREW);
        if (asset == CASH) _withdrawCash(account, amountRaw, to);
        else _withdrawCollateral(account, asset, amountRaw, to);
    }

    /// @inheritdoc IMarginEngine
    function collectFees(address to, uint256 amountRaw) external restricted entryPoint {
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

        _changeOpenInterest(trade);
        _settleClosed(maker, taker, fill.instrument, state);
        _storeAccount(maker);
        _storeAccount(taker);
        _cashState = state;
    }

    // ------------------------------------------------------------------ settlement and accounts

    /// @inheritdoc IMarginEngine
    function settle(uint256 id) external entryPoint {
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

    /// @inheritdoc IMarginEngine
    function accrue(uint8 underlying) external entryPoint {
        _cashState = _accruedCash();
        _spot(underlying);
        _accruedFunding(underlying);
    }

    /// @inheritdoc IMarginEngine
    function setOperator(address operator, uint256 subIds) external entryPoint {
        uint256 oldSubIds = operatorSubIds[msg.sender][operator];
        operatorSubIds[msg.sender][operator] = subIds;
        emit OperatorSet(msg.sender, operator, oldSubIds, subIds);
    }

    /// @inheritdoc IMarginEngine
    function setMarginMode(uint256 account, MarginMode mode) external entryPoint {
        _requireAuthorised(account);
        _save(_loadAccount(account), TransientSnapshot.MUST_CHECK);
        Header memory header = Accounts.unpack(_headers[account]);
        MarginMode oldMode = header.marginMode;
        header.marginMode = mode;
        _headers[account] = Accounts.pack(header);
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
        return _loadPositions(account, Accounts.unpack(_headers[account]).positionCount);
    }

    /// @inheritdoc IMarginEngine
    function positionOf(uint256 account, uint128 instrument)
        external
        view
        returns (int256 size, int256 quote)
    {
        uint256[] memory positions =
            _loadPositions(account, Accounts.unpack(_headers[account]).positionCount);
        uint256 i = Positions.find(positions, instrument);
        if (i < positions.length) (size, quote) = (positions[i].size(), positions[i].quote());
    }

    /// @inheritdoc IMarginEngine
    function currentFundingIndex(uint8 underlying) external view returns (int256) {
        return _currentFunding(underlying);
    }

    /// @inheritdoc IMarginEngine
    function cashState() external view returns (CashState memory) {
        return _cashState;
    }

    /// @inheritdoc IMarginEngine
    function marketState(uint8 underlying) external view returns (MarketState memory) {
        return _markets[underlying];
    }

    // -------------------------------------------------------------------------- accounts, tokens

    function _requireAuthorised(uint256 account) private view {
        Accounts.requireValid(account);
        address owner = Accounts.owner(account);
        uint256 subIds = msg.sender == owner ? 0 : operatorSubIds[owner][msg.sender];
        Accounts.requireAuthorised(account, msg.sender, subIds);
    }

    /// @dev Keeps an account as it is now, once per entry point or batch. Only a batch, or an
    /// account that must be checked, will ever ask for it.
    function _save(Account memory account, uint256 flags) private {
        if (flags == 0 && !_batching) return;
        uint256 known = TransientSnapshot.flags(account.id);
        if (known == 0) TransientSnapshot.save(account);
        if (known & flags != flags) TransientSnapshot.addFlags(account.id, flags);
    }

    function _loadPositions(uint256 account, uint256 count)
        private
        view
        returns (uint256[] memory positions)
    {
        positions = new uint256[](count);
        for (uint256 i = 0; i < count; ++i) {
            positions[i] = _positions[account][i];
        }
    }

    function _loadAccount(uint256 id) private view returns (Account memory account) {
        account.id = id;
        account.header = Accounts.unpack(_headers[id]);
        account.positions = _loadPositions(id, account.header.positionCount);
        // The ids of the assets become their balances.
        account.balancesRaw = Bitmap.members(account.header.collateralBitmap);
        for (uint256 i = 0; i < account.balancesRaw.length; ++i) {
            account.balancesRaw[i] = _balancesRaw[id][account.balancesRaw[i]];
        }
    }

    /// @dev Loads an account, saves it and books its interest.
    function _openAccount(uint256 id, uint256 flags, CashState memory state)
        private
        returns (Account memory account)
    {
        account = _loadAccount(id);
        _save(account, flags);
        int256 interest = Interest.book(account, state);
        if (interest != 0) emit InterestBooked(id, interest);
    }

    /// @dev Writes header and positions, only where they changed.
    function _storeAccount(Account memory account) private {
        uint256[128] storage slots = _positions[account.id];
        uint256 count = account.positions.length;
        for (uint256 i = 0; i < count; ++i) {
            if (slots[i] != account.positions[i]) slots[i] = account.positions[i];
        }
        for (uint256 i = count; i < account.header.positionCount; ++i) {
            slots[i] = 0;
        }
        account.header.positionCount = count;
        _headers[account.id] = Accounts.pack(account.header);
    }

    function _depositCash(uint256 id, uint256 amountRaw) private {
        uint256 amount = FixedPoint.toWadDown(
            FixedPoint.min(amountRaw, MAX_CASH_RAW), settlementDecimals
        );
        if (amount == 0) revert ZeroAmount();
        // Tokens come first: seen from a token's hook, the account is not yet richer.
        uint256 balanceRaw = _pull(settlementToken, amountRaw);
        if (_batching) _save(_loadAccount(id), 0);
        CashState memory state = _changeCash(id, amount.toInt256());
        state.cashHeld = (state.cashHeld + amount).toUint128();
        uint256 accountedRaw = FixedPoint.toRawUp(state.cashHeld, settlementDecimals);
        _requireCovered(settlementToken, balanceRaw, accountedRaw);
        _cashState = state;
        emit Deposited(id, CASH, msg.sender, amountRaw, amount);
    }

    function _cashUp(uint256 amountRaw) private view returns (uint256) {
        return FixedPoint.toWadUp(FixedPoint.min(amountRaw, MAX_CASH_RAW), settlementDecimals);
    }

    function _withdrawCash(uint256 id, uint256 amountRaw, address to) private {
        uint256 amount = _cashUp(amountRaw);
        uint256 cashHeld = _cashState.cashHeld;
        if (amount > cashHeld) revert InsufficientCash(amount, cashHeld);
        // Below 2^128 by that.
        CashState memory state = _changeCash(id, -int256(amount));
        state.cashHeld -= uint128(amount);
        _cashState = state;
        emit Withdrawn(id, CASH, to, amountRaw, amount);
        _push(settlementToken, to, amountRaw);
    }

    /// @dev Books interest and changes the cash of an account whose positions stay as they are.
    function _changeCash(uint256 id, int256 change) private returns (CashState memory state) {
        state = _accruedCash();
        Account memory account;
        account.id = id;
        account.header = Accounts.unpack(_headers[id]);
        int256 interest = Interest.book(account, state);
        if (interest != 0) emit InterestBooked(id, interest);
        Interest.changeCash(account, state, change);
        _headers[id] = Accounts.pack(account.header);
    }

    function _depositCollateral(uint256 account, uint8 asset, uint256 amountRaw) private {
        CollateralParameters memory p = _requireAsset(asset);
        if (!p.enabled) revert AssetDisabled(asset);
        // What was never priced could not be valued, and would block the account for ever.
        marketData.collateralRate(asset);
        if (p.underlying != 0) _spot(p.underlying);
        uint256 totalRaw = Math.saturatingAdd(totalCollateralRaw[asset], amountRaw);
        if (totalRaw > p.capRaw) revert CollateralCap(asset, totalRaw, p.capRaw);
        if (_batching) _save(_loadAccount(account), 0);

        uint256 balanceRaw = _pull(IERC20Metadata(p.token), amountRaw);
        _requireCovered(IERC20Metadata(p.token), balanceRaw, totalRaw);
        totalCollateralRaw[asset] = totalRaw;
        _setBalance(account, asset, _balancesRaw[account][asset] + amountRaw);
        emit Deposited(account, asset, msg.sender, amountRaw, 0);
    }

    function _withdrawCollateral(uint256 account, uint8 asset, uint256 amountRaw, address to)
        private
    {
        CollateralParameters memory p = _requireAsset(asset);
        uint256 balanceRaw = _balancesRaw[account][asset];
        if (amountRaw > balanceRaw) revert InsufficientCollateral(asset, amountRaw, balanceRaw);
        totalCollateralRaw[asset] -= amountRaw;
        _setBalance(account, asset, balanceRaw - amountRaw);
        emit Withdrawn(account, asset, to, amountRaw, 0);
        _push(IERC20Metadata(p.token), to, amountRaw);
    }

    function _requireAsset(uint8 asset) private view returns (CollateralParameters memory p) {
        p = parameters.collateralParameters(asset);
        if (asset >= MAX_ASSETS || p.token == address(0)) revert UnknownAsset(asset);
    }

    function _setBalance(uint256 account, uint8 asset, uint256 balanceRaw) private {
        _balancesRaw[account][asset] = balanceRaw;
        Header memory header = Accounts.unpack(_headers[account]);
        uint256 bit = 1 << asset;
        uint256 bitmap = header.collateralBitmap;
        header.collateralBitmap = balanceRaw == 0 ? bitmap & ~bit : bitmap | bit;
        if (header.collateralBitmap != bitmap) _headers[account] = Accounts.pack(header);
    }

    /// @dev Pulls tokens from the caller and returns the balance held afterwards.
    function _pull(IERC20Metadata token, uint256 amountRaw) private returns (uint256 balanceRaw) {
        uint256 before = token.balanceOf(address(this));
        token.safeTransferFrom(msg.sender, address(this), amountRaw);
        balanceRaw = token.balanceOf(address(this));
        uint256 movedRaw = balanceRaw > before ? balanceRaw - before : 0;
        if (movedRaw != amountRaw) {
            revert TransferMismatch(address(token), amountRaw, movedRaw);
        }
    }

    function _push(IERC20Metadata token, address to, uint256 amountRaw) private {
        uint256 before = token.balanceOf(address(this));
        token.safeTransfer(to, amountRaw);
        uint256 balanceRaw = token.balanceOf(address(this));
        uint256 movedRaw = before > balanceRaw ? before - balanceRaw : 0;
        if (movedRaw != amountRaw) {
            revert TransferMismatch(address(token), amountRaw, movedRaw);
        }
    }

    function _requireCovered(IERC20Metadata token, uint256 balanceRaw, uint256 accountedRaw)
        private
        pure
    {
        if (balanceRaw < accountedRaw) {
            revert TokenShortfall(address(token), balanceRaw, accountedRaw);
        }
    }

    // --------------------------------------------------------------------- interest and funding

    function _spot(uint8 underlying) private view returns (uint256 index, uint256 mark) {
        (index,, mark,,) = marketData.spot(underlying);
    }

    function _globals() private view returns (GlobalParameters memory) {
        return parameters.globalParameters();
    }

    function _underlyingParameters(uint8 underlying)
        private
        view
        returns (UnderlyingParameters memory)
    {
        return parameters.underlyingParameters(underlying);
    }

    function _currentCash() private view returns (CashState memory state) {
        state = _cashState;
        if (state.accruedAt == block.timestamp) return state;
        Interest.accrue(state, parameters.interestParameters(), block.timestamp);
    }

    /// @dev The same for one who will store it.
    function _accruedCash() private returns (CashState memory state) {
        bool accrued = _cashState.accruedAt != block.timestamp;
        state = _currentCash();
        if (accrued) {
            emit InterestAccrued(state.borrowIndex, state.supplyIndex, state.totalDebt);
        }
    }

    function _currentFunding(uint8 underlying) private view returns (int256) {
        MarketState storage market = _markets[underlying];
        uint256 accruedAt = market.fundingAt;
        // The first accrual only starts the clock.
        if (accruedAt == 0 || accruedAt == block.timestamp) return market.fundingIndex;
        (uint256 index,, uint256 mark,, uint256 timestamp) = marketData.spot(underlying);
        uint256 elapsed = Funding.elapsedSeconds(
            accruedAt, block.timestamp, timestamp, _globals().marginMaxAgeSeconds
        );
        uint256 cap = _underlyingParameters(underlying).fundingCap;
        return Funding.accrue(market.fundingIndex, mark, index, cap, elapsed);
    }

    /// @dev The same, stored.
    function _accruedFunding(uint8 underlying) private returns (int256 fundingIndex) {
        fundingIndex = _currentFunding(underlying);
        MarketState storage market = _markets[underlying];
        if (market.fundingAt == block.timestamp) return fundingIndex;
        market.fundingIndex = fundingIndex.toInt112();
        market.fundingAt = uint40(block.timestamp);
        emit FundingAccrued(underlying, fundingIndex);
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

        uint256 size = FixedPoint.abs(fill.takerSize);
        uint256 lotSize = trade.parameters.lotSize;
        if (size == 0 || size % lotSize != 0) revert InvalidSize(size, lotSize);
        trade.price = fill.price;
        if (trade.price == 0 && !instrument.isOption()) revert InvalidPrice(trade.price);
    }

    /// @dev Index for the fees, and the price at which positions are entered.
    function _priceTrade(Trade memory trade) private {
        (trade.index,) = _spot(trade.underlying);
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
        if ((reduceOnly || trade.parameters.reduceOnly) && !change.isReduction()) {
            revert ReduceOnly(account.id, change.sizeBefore, change.sizeAfter);
        }
        if (account.positions.length > count) {
            uint256 cap = _globals().maxPositions;
            if (count >= cap) revert TooManyPositions(account.id, cap);
        }
        if (change.premium > 0) TransientSnapshot.addFlags(account.id, TransientSnapshot.PAID);
        uint256 fee = Fees.onNotional(FixedPoint.abs(size), trade.index, feeRate);
        if (trade.instrument.isOption()) {
            uint256 premium = FixedPoint.abs(change.premium);
            fee = Fees.capped(fee, premium, trade.parameters.optionFeeCap);
        }
        Interest.changeCash(account, state, -change.premium - fee.toInt256());
        state.fees = (state.fees + fee).toUint128();
        trade.openInterestChange += change.grossChange();
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

    /// @dev Moves the value of one position into cash as far as the loser, or the pool, can pay.
    function _settlePosition(
        Account memory account,
        uint256 i,
        int256 value,
        CashState memory state
    ) private {
        uint256 slot = account.positions[i];
        MarketState storage market = _markets[slot.underlying()];
        uint256 pool = market.pnlPool;
        uint256 funds = value < 0 ? _fundsOf(account, uint256(-value)) : pool;
        int256 change = Positions.settledAmount(value, funds);
        if (change == 0) return;
        Interest.changeCash(account, state, change);
        account.positions[i] = Positions.addQuote(slot, -change);
        // A profit takes at most the pool.
        pool = uint256(int256(pool) - change);
        market.pnlPool = pool.toUint128();
        emit PnlSettled(account.id, slot.instrument(), change, pool);
    }

    /// @dev Cash and haircut collateral with which an account can pay a loss; collateral is valued
    /// only if cash does not do, and counts only at prices young enough.
    function _fundsOf(Account memory account, uint256 loss) private view returns (uint256) {
        int256 funds = account.header.cash;
        if (funds < int256(loss) && account.header.collateralBitmap != 0) {
            (uint256 value, uint256 oldest) =
                riskModel.collateralValue(_collateralWords(account));
            uint256 maxAge = _globals().marginMaxAgeSeconds;
            if (!Admission.isStale(oldest, block.timestamp, maxAge)) funds += value.toInt256();
        }
        return funds > 0 ? uint256(funds) : 0;
    }

    // ------------------------------------------------------------------------------- assessment

    /// @dev Judges every account that must be, in the order in which they were first changed.
    function _admit() private {
        uint256[] memory accounts = TransientSnapshot.list();
        if (accounts.length == 0) return;
        for (uint256 i = 0; i < accounts.length; ++i) {
            uint256 flags = TransientSnapshot.flags(accounts[i]);
            if (flags & TransientSnapshot.MUST_CHECK == 0) continue;
            _requireAdmissible(accounts[i], flags);
        }
        TransientSnapshot.clear(accounts);
    }

    function _requireAdmissible(uint256 id, uint256 flags) private view {
        Account memory account = _loadAccount(id);
        if (Admission.isCashAlone(account)) return;
        Assessment memory a = riskModel.assess(_portfolioOf(account));
        GlobalParameters memory globals = _globals();
        bool withdrew = flags & TransientSnapshot.WITHDREW != 0;
        uint256 maxPriceAge =
            withdrew ? globals.withdrawMaxAgeSeconds : globals.openMaxAgeSeconds;
        bool stale = Admission.isStale(a.oldestTimestamp, block.timestamp, maxPriceAge);
        bool below = a.initialEquity < a.initialMargin.toInt256();
        bool pays = withdrew || flags & TransientSnapshot.PAID != 0;
        bool unrealised = pays && a.collateralEquity < 0;
        if (!stale && !below && !unrealised) return;
        if (!withdrew && !unrealised) {
            Assessment memory b = riskModel.assess(_portfolioOf(TransientSnapshot.read(id)));
            if (Admission.isNoRiskier(a, b)) return;
        }
        if (stale) revert StalePrice(id, a.oldestTimestamp, maxPriceAge);
        if (below) revert BelowInitialMargin(id, a.initialEquity, a.initialMargin);
        revert UnrealisedProfitWithdrawal(id, a.collateralEquity);
    }

    function _portfolioOf(Account memory account) private view returns (Portfolio memory p) {
        p.cash = Interest.currentCash(account.header, _currentCash());
        p.marginMode = account.header.marginMode;
        p.collateral = _collateralWords(account);
        p.positions = account.positions;
        uint256 underlyings;
        for (uint256 i = 0; i < p.positions.length; ++i) {
            uint256 slot = p.positions[i];
            underlyings |= 1 << slot.underlying();
            if (slot.instrument().isPerpetual() && slot.size() != 0) {
                int256 fundingIndex = _currentFunding(slot.underlying());
                p.positions[i] = Positions.netOfFunding(slot, fundingIndex);
            }
        }
        // The ids of the underlyings become their words.
        p.openInterest = Bitmap.members(underlyings);
        for (uint256 i = 0; i < p.openInterest.length; ++i) {
            uint256 u = p.openInterest[i];
            p.openInterest[i] = u << 248 | _markets[uint8(u)].openInterest;
        }
    }

    /// @dev Balances as the risk model takes them; dust below one WAD unit is left out.
    function _collateralWords(Account memory account)
        private
        view
        returns (uint256[] memory words)
    {
        words = Bitmap.members(account.header.collateralBitmap);
        uint256 count;
        for (uint256 i = 0; i < words.length; ++i) {
            uint256 asset = words[i];
            uint8 decimals = parameters.collateralParameters(uint8(asset)).decimals;
            uint256 balance = FixedPoint.toWadDown(account.balancesRaw[i], decimals);
            // Caps keep balances below 2^127; the bound keeps the asset's bits clean regardless.
            balance = FixedPoint.min(balance, type(uint128).max);
            if (balance != 0) words[count++] = asset << 248 | balance;
        }
        // Shortening an array in memory leaves it valid.
        assembly ("memory-safe") {
            mstore(words, count)
        }
    }
}
