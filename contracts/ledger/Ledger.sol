// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {
    IERC20Metadata
} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {ILedger} from "../interfaces/ILedger.sol";
import {ILiquidationEngine} from "../interfaces/ILiquidationEngine.sol";
import {ILiquidationParameters} from "../interfaces/ILiquidationParameters.sol";
import {IMarketData} from "../interfaces/IMarketData.sol";
import {IOutageClock} from "../interfaces/IOutageClock.sol";
import {IParameters} from "../interfaces/IParameters.sol";
import {IRiskModel} from "../interfaces/IRiskModel.sol";
import {AuctionClock} from "../liquidation/AuctionClock.sol";
import {FixedPoint} from "../math/FixedPoint.sol";
import {Instrument} from "../types/Instrument.sol";
import {
    AccountStatus,
    AuctionState,
    Losses,
    WindowLevel
} from "../types/Liquidation.sol";
import {Position} from "../types/Position.sol";
import {
    Assessment,
    CashState,
    CollateralParameters,
    GlobalParameters,
    Health,
    MarginMode,
    MarketState,
    Portfolio,
    UnderlyingParameters
} from "../types/Types.sol";
import {Account, Accounts, Header} from "./Accounts.sol";
import {Admission} from "./Admission.sol";
import {Bitmap} from "./Bitmap.sol";
import {Funding} from "./Funding.sol";
import {Interest} from "./Interest.sol";
import {Positions} from "./Positions.sol";
import {TransientSnapshot} from "./TransientSnapshot.sol";

/// @title All that the ledger keeps, and what every part of its code does with it
/// @notice Base of the two contracts whose code works on one ledger, the margin engine and the
/// liquidation engine that it delegates to: whatever is stored is declared here, so that both see
/// it in the same place.
abstract contract Ledger is ILedger, AccessManaged {
    using SafeERC20 for IERC20Metadata;
    using SafeCast for int256;
    using SafeCast for uint256;
    using Instrument for uint128;
    using Position for uint256;

    /// @dev Active time after which a loss holds nobody back any more.
    uint256 private constant MAX_PENDING_SECONDS = 1 days;
    uint8 internal constant CASH = 0;
    uint256 internal constant MAX_ASSETS = 32;
    /// @dev Nine times the positions and eight times the kinds of collateral of an account that is
    /// too small for any weight that matters.
    uint256 private constant LIGHT = 93;
    /// @dev More than any amount of cash, of any decimals; what is above counts as this.
    uint256 internal constant MAX_CASH_RAW = 2 ** 192;

    IParameters public immutable parameters;
    ILiquidationParameters public immutable liquidationParameters;
    IMarketData public immutable marketData;
    IRiskModel public immutable riskModel;
    IERC20Metadata public immutable settlementToken;
    uint8 internal immutable settlementDecimals;

    CashState internal _cashState;
    mapping(uint256 account => uint256) internal _headers;
    mapping(uint256 account => uint256[128]) internal _positions;
    mapping(uint256 account => uint256[MAX_ASSETS]) internal _balancesRaw;
    mapping(uint8 underlying => MarketState) internal _markets;
    mapping(uint8 asset => uint256) internal _totalCollateralRaw;
    mapping(address owner => mapping(address operator => uint256)) internal _operatorSubIds;
    mapping(uint256 account => AuctionState) internal _auctions;
    mapping(uint8 underlying => WindowLevel) internal _windows;
    Losses internal _losses;

    bool internal transient _entered;
    bool internal transient _batching;
    /// @dev Active time within an entry point; else, and if that began with little gas, zero.
    uint256 private transient _knownActiveTime;

    /// @dev Sets what the ledger trusts, for ever.
    /// @param accessManager Decides who may collect fees, and nothing else.
    constructor(
        IParameters parameters_,
        ILiquidationParameters liquidationParameters_,
        IMarketData marketData_,
        IRiskModel riskModel_,
        IERC20Metadata settlementToken_,
        address accessManager
    ) AccessManaged(accessManager) {
        parameters = parameters_;
        liquidationParameters = liquidationParameters_;
        marketData = marketData_;
        riskModel = riskModel_;
        settlementToken = settlementToken_;
        settlementDecimals = settlementToken_.decimals();
        if (settlementDecimals > 24) {
            revert UnsupportedDecimals(address(settlementToken_), settlementDecimals);
        }
    }

    /// @dev Guards a state-changing function and, unless it is an item of a batch, ends it with
    /// admission. Within an item only calls to tokens and signers leave the contract, and
    /// `_entered` is set during those.
    modifier entryPoint() {
        _enter();
        _;
        _leave();
    }

    // Code that a modifier contains is there once for each function.
    function _enter() private {
        if (_entered) revert Reentrancy();
        _entered = true;
        // So that the uptime feed is asked once, not for every price and clock.
        _knownActiveTime = IOutageClock(address(parameters)).syncSequencer();
    }

    function _leave() private {
        if (!_batching) _admit();
        _knownActiveTime = 0;
        _entered = false;
    }

    // --------------------------------------------------------------------------------- accounts

    function _requireAuthorised(uint256 account) internal view {
        Accounts.requireValid(account);
        address owner = Accounts.owner(account);
        uint256 subIds = msg.sender == owner ? 0 : _operatorSubIds[owner][msg.sender];
        Accounts.requireAuthorised(account, msg.sender, subIds);
    }

    /// @dev Keeps an account as it is now, once per entry point or batch. Only a batch, or an
    /// account that must be checked, will ever ask for it.
    function _save(Account memory account, uint256 flags) internal {
        if (flags == 0 && !_batching) return;
        uint256 known = TransientSnapshot.flags(account.id);
        if (known == 0) TransientSnapshot.save(account);
        if (known & flags != flags) TransientSnapshot.addFlags(account.id, flags);
    }

    function _loadPositions(uint256 account) internal view returns (uint256[] memory) {
        return _loadPositions(account, Accounts.unpack(_headers[account]).positionCount);
    }

    function _loadPositions(uint256 account, uint256 count)
        internal
        view
        returns (uint256[] memory positions)
    {
        positions = new uint256[](count);
        for (uint256 i = 0; i < count; ++i) {
            positions[i] = _positions[account][i];
        }
    }

    function _loadAccount(uint256 id) internal view returns (Account memory account) {
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
        internal
        returns (Account memory account)
    {
        account = _loadAccount(id);
        _touch(account, flags, state);
    }

    function _touch(Account memory account, uint256 flags, CashState memory state) internal {
        _save(account, flags);
        _book(account, state);
    }

    /// @dev Brings the cash of an account up to date.
    function _book(Account memory account, CashState memory state) private {
        int256 interest = Interest.book(account, state);
        if (interest != 0) emit InterestBooked(account.id, interest);
    }

    /// @dev Books interest and changes the cash of an account whose positions stay as they are.
    function _changeCash(uint256 id, int256 change, CashState memory state) internal {
        Account memory account;
        account.id = id;
        account.header = Accounts.unpack(_headers[id]);
        _book(account, state);
        Interest.changeCash(account, state, change);
        _headers[id] = Accounts.pack(account.header);
    }

    /// @dev Writes header and positions, only where they changed.
    function _storeAccount(Account memory account) internal {
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

    // ----------------------------------------------------------------------------------- tokens

    function _cashDown(uint256 amountRaw) internal view returns (uint256) {
        return FixedPoint.toWadDown(FixedPoint.min(amountRaw, MAX_CASH_RAW), settlementDecimals);
    }

    function _cashUp(uint256 amountRaw) internal view returns (uint256) {
        return FixedPoint.toWadUp(FixedPoint.min(amountRaw, MAX_CASH_RAW), settlementDecimals);
    }

    function _requireAsset(uint8 asset) internal view returns (CollateralParameters memory p) {
        p = parameters.collateralParameters(asset);
        if (asset >= MAX_ASSETS || p.token == address(0)) revert UnknownAsset(asset);
    }

    /// @dev Adds tokens that have arrived to the cash held; all of it must be there.
    function _receiveCash(CashState memory state, uint256 amount, uint256 balanceRaw)
        internal
        view
    {
        state.cashHeld = (state.cashHeld + amount).toUint128();
        uint256 accountedRaw = FixedPoint.toRawUp(state.cashHeld, settlementDecimals);
        _requireCovered(settlementToken, balanceRaw, accountedRaw);
    }

    function _setBalance(uint256 account, uint8 asset, uint256 balanceRaw) internal {
        _balancesRaw[account][asset] = balanceRaw;
        Header memory header = Accounts.unpack(_headers[account]);
        uint256 bit = 1 << asset;
        uint256 bitmap = header.collateralBitmap;
        header.collateralBitmap = balanceRaw == 0 ? bitmap & ~bit : bitmap | bit;
        if (header.collateralBitmap != bitmap) _headers[account] = Accounts.pack(header);
    }

    function _heldRaw(IERC20Metadata token) internal view returns (uint256) {
        return token.balanceOf(address(this));
    }

    /// @dev Pulls tokens from the caller and returns the balance held afterwards.
    function _pull(IERC20Metadata token, uint256 amountRaw) internal returns (uint256 balanceRaw) {
        uint256 before = _heldRaw(token);
        token.safeTransferFrom(msg.sender, address(this), amountRaw);
        balanceRaw = _heldRaw(token);
        uint256 movedRaw = balanceRaw > before ? balanceRaw - before : 0;
        if (movedRaw != amountRaw) {
            revert TransferMismatch(address(token), amountRaw, movedRaw);
        }
    }

    function _push(IERC20Metadata token, address to, uint256 amountRaw) internal {
        uint256 before = _heldRaw(token);
        token.safeTransfer(to, amountRaw);
        uint256 balanceRaw = _heldRaw(token);
        uint256 movedRaw = before > balanceRaw ? before - balanceRaw : 0;
        if (movedRaw != amountRaw) {
            revert TransferMismatch(address(token), amountRaw, movedRaw);
        }
    }

    function _requireCovered(IERC20Metadata token, uint256 balanceRaw, uint256 accountedRaw)
        internal
        pure
    {
        if (balanceRaw < accountedRaw) {
            revert TokenShortfall(address(token), balanceRaw, accountedRaw);
        }
    }

    // --------------------------------------------------------------------- interest and funding

    function _spot(uint8 underlying)
        internal
        view
        returns (uint256 index, uint256 mark, uint256 timestamp)
    {
        (index,, mark,, timestamp) = marketData.spot(underlying);
    }

    function _globals() internal view returns (GlobalParameters memory) {
        return parameters.globalParameters();
    }

    /// @dev Refuses what would be too much for a step of a liquidation.
    function _requireLight(Account memory account) internal view {
        uint256[] memory assets = Bitmap.members(account.header.collateralBitmap);
        bool isPredictive = account.header.marginMode == MarginMode.PREDICTIVE;
        if (!isPredictive && 9 * account.positions.length + 8 * assets.length <= LIGHT) return;
        uint256 followed;
        for (uint256 i = 0; i < assets.length; ++i) {
            followed |= 1 << parameters.collateralParameters(uint8(assets[i])).underlying;
        }
        liquidationParameters.requireLight(
            account.id, account.positions, assets.length, followed, isPredictive
        );
    }

    function _underlyingParameters(uint8 underlying)
        internal
        view
        returns (UnderlyingParameters memory)
    {
        return parameters.underlyingParameters(underlying);
    }

    function _currentCash() internal view returns (CashState memory state) {
        state = _cashState;
        uint256 activeTime = _activeTime();
        if (activeTime <= state.accruedAt) return state;
        Interest.accrue(state, parameters.interestParameters(), activeTime);
    }

    /// @dev The same for one who will store it.
    function _accruedCash() internal returns (CashState memory state) {
        state = _currentCash();
        if (state.accruedAt != _cashState.accruedAt) {
            emit InterestAccrued(state.borrowIndex, state.supplyIndex, state.totalDebt);
        }
    }

    /// @return fundingIndex Funding index at present.
    /// @return until Active time up to which it has accrued.
    function _currentFunding(uint8 underlying)
        internal
        view
        returns (int256 fundingIndex, uint256 until)
    {
        MarketState storage market = _markets[underlying];
        uint256 accruedAt = market.fundingAt;
        fundingIndex = market.fundingIndex;
        uint256 activeTime = _activeTime();
        // The first accrual only starts the clock.
        if (accruedAt == 0) return (fundingIndex, activeTime);
        if (activeTime <= accruedAt) return (fundingIndex, accruedAt);
        (uint256 index, uint256 mark, uint256 timestamp) = _spot(underlying);
        uint256 elapsedSeconds;
        (elapsedSeconds, until) = Funding.due(
            accruedAt, activeTime, block.timestamp, timestamp, _globals().marginMaxAgeSeconds
        );
        uint256 cap = _underlyingParameters(underlying).fundingCap;
        fundingIndex = Funding.accrue(fundingIndex, mark, index, cap, elapsedSeconds);
    }

    /// @dev The same, stored.
    function _accruedFunding(uint8 underlying) internal returns (int256 fundingIndex) {
        uint256 until;
        (fundingIndex, until) = _currentFunding(underlying);
        MarketState storage market = _markets[underlying];
        if (market.fundingAt == until) return fundingIndex;
        market.fundingIndex = fundingIndex.toInt112();
        market.fundingAt = uint40(until);
        emit FundingAccrued(underlying, fundingIndex);
    }

    // ------------------------------------------------------------------------------- settlement

    /// @dev Moves the value of one position into cash as far as the loser, or the pool, can pay.
    function _settlePosition(
        Account memory account,
        uint256 i,
        int256 value,
        CashState memory state
    ) internal {
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
    function _fundsOf(Account memory account, uint256 loss) internal view returns (uint256) {
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

    /// @dev Ends an entry point or batch: judges every account that must be, in the order in which
    /// they were first changed.
    function _admit() internal {
        uint256[] memory accounts = TransientSnapshot.list();
        for (uint256 i = 0; i < accounts.length; ++i) {
            uint256 flags = TransientSnapshot.flags(accounts[i]);
            if (flags & (TransientSnapshot.MUST_CHECK | TransientSnapshot.BID) == 0) continue;
            _requireAdmissible(accounts[i], flags);
        }
        if (accounts.length != 0) TransientSnapshot.clear(accounts);
    }

    /// @dev A bidder has to be healthy, at prices of any age; so has, at prices that are young,
    /// whoever changed the mode, for risk cannot be compared by two yardsticks; everybody else may
    /// also reduce risk.
    function _requireAdmissible(uint256 id, uint256 flags) internal {
        Account memory account = _loadAccount(id);
        bool inAuction = account.header.inAuction;
        if (!inAuction && Admission.isCashAlone(account)) {
            Assessment memory nothing;
            return _recordAndStore(account, nothing);
        }
        Assessment memory a = riskModel.assess(_portfolioOf(account));
        GlobalParameters memory globals = _globals();
        bool withdrew = flags & TransientSnapshot.WITHDREW != 0;
        uint256 maxPriceAge =
            withdrew ? globals.withdrawMaxAgeSeconds : globals.openMaxAgeSeconds;
        bool stale = flags & TransientSnapshot.MUST_CHECK != 0
            && Admission.isStale(a.oldestTimestamp, block.timestamp, maxPriceAge);
        bool below = a.initialEquity < a.initialMargin.toInt256();
        bool isBidder = flags & TransientSnapshot.BID != 0;
        bool pays = withdrew || isBidder || flags & TransientSnapshot.PAID != 0;
        bool unrealised = pays && a.collateralEquity < 0;
        if (stale || below || inAuction || unrealised) {
            bool mayReduce = !withdrew && !isBidder && !unrealised
                && flags & TransientSnapshot.CHANGED_MODE == 0;
            if (!mayReduce || !_isNoRiskier(id, a)) {
                if (stale) revert StalePrice(id, a.oldestTimestamp, maxPriceAge);
                if (inAuction) revert ILiquidationEngine.InAuction(id);
                if (below) revert BelowInitialMargin(id, a.initialEquity, a.initialMargin);
                revert UnrealisedProfitWithdrawal(id, a.collateralEquity);
            }
        }
        _recordAndStore(account, a);
    }

    function _isNoRiskier(uint256 id, Assessment memory afterwards) private view returns (bool) {
        Assessment memory before = riskModel.assess(_portfolioOf(TransientSnapshot.read(id)));
        return Admission.isNoRiskier(afterwards, before);
    }

    /// @dev Records what was found of an account, in its header in memory and the rest in storage.
    /// What follows in a batch is judged by what it is now: else it could be brought back to what
    /// it was before others paid for it, or before its auction ended. Nothing is owed for it here.
    /// @param inAuction Whether the account is for sale from now on.
    function _record(Account memory account, Assessment memory a, bool inAuction) internal {
        TransientSnapshot.forget(account.id);
        Header memory header = account.header;
        Health health = Admission.healthOf(a);
        bool isInsolvent = health == Health.INSOLVENT;
        AccountStatus before = Accounts.status(header.health, header.inAuction);
        if (isInsolvent || header.health == Health.INSOLVENT || header.inAuction || inAuction) {
            AuctionState memory state = _auctions[account.id];
            _recordDeficit(state, isInsolvent ? FixedPoint.abs(a.equity) : 0);
            if (inAuction) AuctionClock.record(state, a, _activeTime());
            else AuctionClock.end(state);
            _auctions[account.id] = state;
        }
        if (header.inAuction && !inAuction) emit ILiquidationEngine.AuctionEnded(account.id);
        (header.health, header.inAuction) = (health, inAuction);
        AccountStatus afterwards = Accounts.status(health, inAuction);
        if (afterwards != before) {
            emit ILiquidationEngine.StatusChanged(account.id, before, afterwards);
        }
    }

    function _recordDeficit(AuctionState memory state, uint256 deficit) private {
        uint256 most = type(uint112).max;
        deficit = FixedPoint.min(deficit, most);
        if (deficit == state.deficit) return;
        Losses memory losses = _losses;
        // Each is below 2^112.
        uint256 sum = losses.pendingLoss + deficit;
        sum = sum > state.deficit ? FixedPoint.min(sum - state.deficit, most) : 0;
        uint256 dustMargin = _dustMargin();
        bool isNew = losses.pendingLoss <= dustMargin || sum > 2 * uint256(losses.pendingLoss);
        if (sum > dustMargin && isNew) {
            losses.lossRecordedAt = uint40(_activeTime());
        }
        losses.pendingLoss = uint112(sum);
        _losses = losses;
        state.deficit = uint112(deficit);
    }

    /// @dev The same where nothing else of the account changes.
    function _recordAndStore(Account memory account, Assessment memory a) private {
        Health health = account.header.health;
        _record(account, a, account.header.inAuction);
        if (account.header.health != health) {
            _headers[account.id] = Accounts.pack(account.header);
        }
    }

    /// @dev Active time, seconds.
    function _activeTime() internal view returns (uint256) {
        uint256 known = _knownActiveTime;
        return known == 0 ? IOutageClock(address(parameters)).activeTime() : known;
    }

    /// @dev What stands before the owners of cash: protocol capital and the insurance fund, USD.
    function _capital() internal view returns (uint256 capital) {
        capital = _cashState.fees;
        address fund = liquidationParameters.insuranceFund();
        if (fund != address(0)) capital += _cashDown(settlementToken.balanceOf(fund));
    }

    function _dustMargin() private view returns (uint256) {
        return liquidationParameters.auctionParameters().dustMargin;
    }

    /// @dev Whether a loss is known that may yet be covered: no longer than a day.
    function _isLossPending() internal view returns (bool) {
        Losses memory losses = _losses;
        if (losses.pendingLoss == 0 || losses.pendingLoss <= _dustMargin()) return false;
        return _activeTime() < losses.lossRecordedAt + MAX_PENDING_SECONDS;
    }

    function _portfolioOf(Account memory account) internal view returns (Portfolio memory p) {
        p.cash = Interest.currentCash(account.header, _currentCash());
        p.marginMode = account.header.marginMode;
        p.collateral = _collateralWords(account);
        p.positions = new uint256[](account.positions.length);
        uint256 underlyings;
        for (uint256 i = 0; i < p.positions.length; ++i) {
            uint256 slot = account.positions[i];
            underlyings |= 1 << slot.underlying();
            if (slot.instrument().isPerpetual() && slot.size() != 0) {
                (int256 fundingIndex,) = _currentFunding(slot.underlying());
                slot = Positions.netOfFunding(slot, fundingIndex);
            }
            p.positions[i] = slot;
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
        internal
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
