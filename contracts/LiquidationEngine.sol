// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {
    IERC20Metadata
} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {IInsuranceFund} from "./interfaces/IInsuranceFund.sol";
import {ILiquidationEngine} from "./interfaces/ILiquidationEngine.sol";
import {ILiquidationParameters} from "./interfaces/ILiquidationParameters.sol";
import {IMarketData} from "./interfaces/IMarketData.sol";
import {IParameters} from "./interfaces/IParameters.sol";
import {IRiskModel} from "./interfaces/IRiskModel.sol";
import {Account, Accounts, Header} from "./ledger/Accounts.sol";
import {Admission} from "./ledger/Admission.sol";
import {Bitmap} from "./ledger/Bitmap.sol";
import {Extension} from "./ledger/Extension.sol";
import {Interest} from "./ledger/Interest.sol";
import {Ledger} from "./ledger/Ledger.sol";
import {TransientSnapshot} from "./ledger/TransientSnapshot.sol";
import {Auction} from "./liquidation/Auction.sol";
import {AuctionClock} from "./liquidation/AuctionClock.sol";
import {Slice} from "./liquidation/Slice.sol";
import {Waterfall} from "./liquidation/Waterfall.sol";
import {Windows} from "./liquidation/Windows.sol";
import {FixedPoint} from "./math/FixedPoint.sol";
import {
    AccountStatus,
    AuctionParameters,
    AuctionPreview,
    AuctionState,
    LastStep,
    Window,
    WindowLevel
} from "./types/Liquidation.sol";
import {Position} from "./types/Position.sol";
import {Assessment, CashState, Health, MarginMode} from "./types/Types.sol";

/// @title Liquidation and the waterfall
/// @notice Specification, Liquidation. The last part of the ledger's code that calls of the margin
/// engine are delegated to.
contract LiquidationEngine is ILiquidationEngine, Extension {
    using SafeCast for uint256;
    using Position for uint256;

    /// @dev An account and what a bid would find of it.
    /// @param fraction The slice that is sold.
    /// @param volumes As `Windows.volumesOf` returns them.
    /// @param exhausted Least underlying that nothing more may be sold of; 0 if there is none.
    struct Sale {
        AuctionParameters rules;
        AuctionPreview found;
        Account account;
        uint256 fraction;
        uint256[] volumes;
        uint8 exhausted;
    }

    /// @dev What was found of a bidder's claim, USD.
    struct Sources {
        uint256 fees;
        uint256 fund;
        uint256 socialised;
    }

    uint256 private constant WAD = 1e18;
    /// @dev More than a fund needs, and as much as one that burns it can cost a bid.
    uint256 private constant FUND_GAS = 500_000;

    /// @notice Sets what the ledger trusts, for ever; the rest of its code takes it from here.
    /// @param parameters_ Parameters set by governance, with the clock that stops in outages.
    /// @param liquidationParameters_ Rules of auctions and the waterfall.
    /// @param marketData_ Prices and surfaces.
    /// @param riskModel_ Requirement and equity.
    /// @param settlementToken_ USD stablecoin, the only cash; at most 24 decimals.
    /// @param accessManager Decides who may collect fees, and nothing else.
    constructor(
        IParameters parameters_,
        ILiquidationParameters liquidationParameters_,
        IMarketData marketData_,
        IRiskModel riskModel_,
        IERC20Metadata settlementToken_,
        address accessManager
    )
        Ledger(
            parameters_,
            liquidationParameters_,
            marketData_,
            riskModel_,
            settlementToken_,
            accessManager
        )
    {}

    // ------------------------------------------------------------------------------ liquidation

    /// @inheritdoc ILiquidationEngine
    function startAuction(uint256 id, uint256 rewardAccount)
        external
        onlyDelegated
        entryPoint
        returns (uint256 reward)
    {
        Accounts.requireValid(id);
        Accounts.requireValid(rewardAccount);
        _requireAdmitted(id);
        if (id == rewardAccount) revert InvalidRewardAccount(id);
        Account memory account = _loadAccount(id);
        Assessment memory found = _assess(account);
        AuctionParameters memory rules = liquidationParameters.auctionParameters();
        if (account.header.inAuction && !_hasLapsed(_elapsedSeconds(id, found), found, rules)) {
            revert AlreadyInAuction(id);
        }
        _requireLiquidatable(id, found);

        // Profit that was never paid in cannot leave by this way either.
        int256 funds = FixedPoint.max(found.collateralEquity, 0);
        reward = FixedPoint.min(Auction.reward(found, rules), uint256(funds));
        CashState memory state = _accruedCash();
        _touch(account, 0, state);
        _payReward(account, rewardAccount, reward, state);
        emit AuctionStarted(id, rewardAccount, reward, found.equity, found.maintenanceMargin);
        AuctionState memory auction = _auctions[id];
        AuctionClock.start(auction, found, _activeTime());
        _auctions[id] = auction;
        _record(account, found, true);
        _storeAccount(account);
        _cashState = state;
    }

    /// @inheritdoc ILiquidationEngine
    function bid(uint256 id, uint256 bidder, uint256 fraction, int256 maxPrice)
        external
        onlyDelegated
        entryPoint
        returns (uint256, int256 payment)
    {
        Accounts.requireValid(id);
        _requireAuthorised(bidder);
        _requireAdmitted(id);
        if (id == bidder) revert InvalidBidder(id);
        Sale memory sale = _requireForSale(id, fraction);
        fraction = _soldFraction(sale, fraction);
        sale.fraction = fraction;
        payment = Auction.priceOfSlice(sale.found.price, fraction);

        CashState memory state = _accruedCash();
        Sources memory sources;
        if (payment < 0) {
            sources = _findSources(sale, uint256(-payment), state);
            // The sum is at most the claim.
            payment = -int256(sources.fees + sources.fund + sources.socialised);
        }
        Account memory seller = sale.account;
        _touch(seller, 0, state);
        Account memory buyer = _openAccount(bidder, TransientSnapshot.BID, state);
        int256 soldCash = seller.header.cash;
        _movePositions(seller, buyer, fraction);
        _moveCollateral(seller, buyer, fraction);
        _requireLight(buyer);
        int256 limit = Auction.limitOfSlice(maxPrice, fraction);
        if (payment > limit) revert SlicePriceNotAcceptable(payment, limit);
        _moveCash(seller, buyer, fraction, payment, state);
        _fillWindows(sale.volumes, fraction);
        emit SliceSold(
            id, bidder, fraction, payment, sources.fees, sources.fund, sources.socialised
        );
        _recordSale(sale, seller, fraction);
        if (_isHealthyCopy(sale, soldCash, buyer)) {
            TransientSnapshot.forget(bidder);
        }
        _storeAccount(seller);
        _storeAccount(buyer);
        _cashState = state;
        return (fraction, payment);
    }

    /// @inheritdoc ILiquidationEngine
    function statusOf(uint256 id) external view onlyDelegated returns (AccountStatus) {
        Header memory header = Accounts.unpack(_headers[id]);
        return Accounts.status(header.health, header.inAuction);
    }

    /// @inheritdoc ILiquidationEngine
    function auctionOf(uint256 id)
        external
        view
        onlyDelegated
        returns (AuctionPreview memory)
    {
        return _saleOf(id).found;
    }

    /// @inheritdoc ILiquidationEngine
    function windowOf(uint8 underlying)
        external
        view
        onlyDelegated
        returns (uint256 level, uint256 capacity)
    {
        return _windowOf(underlying);
    }

    // ------------------------------------------------------------------------ parts of a sale

    function _requireLiquidatable(uint256 id, Assessment memory a) private pure {
        if (a.equity >= int256(a.maintenanceMargin)) {
            revert NotLiquidatable(id, a.equity, a.maintenanceMargin);
        }
    }

    function _payReward(
        Account memory account,
        uint256 rewardAccount,
        uint256 reward,
        CashState memory state
    ) private {
        Account memory receiver = _openAccount(rewardAccount, 0, state);
        // A reward is below 2^96.
        Interest.changeCash(account, state, -int256(reward));
        Interest.changeCash(receiver, state, int256(reward));
        _storeAccount(receiver);
    }

    /// @dev Whether a solvent account's auction was forgotten.
    function _hasLapsed(
        uint256 elapsedSeconds,
        Assessment memory found,
        AuctionParameters memory rules
    ) private pure returns (bool) {
        return found.equity >= 0 && Auction.hasRunOut(elapsedSeconds, rules);
    }

    function _saleOf(uint256 id) private view returns (Sale memory sale) {
        Account memory account = _loadAccount(id);
        sale.account = account;
        sale.rules = liquidationParameters.auctionParameters();
        sale.volumes = _volumesOf(account);

        AuctionPreview memory found = sale.found;
        Assessment memory assessment = _assess(account);
        found.assessment = assessment;
        Health health = Admission.healthOf(assessment);
        found.status = Accounts.status(health, account.header.inAuction);
        found.elapsedSeconds = _elapsedSeconds(id, assessment);
        found.discount = _discountOf(sale);
        found.price = Auction.priceOfWhole(assessment, found.discount, sale.rules);
        found.restoringFraction = Auction.restoringFraction(assessment, found.price, sale.rules);
        uint256 windowFraction;
        (windowFraction, sale.exhausted) = _windowFraction(sale.volumes);
        found.largestFraction =
            Auction.largestFraction(assessment, found.restoringFraction, windowFraction);
    }

    function _requireForSale(uint256 id, uint256 fraction)
        private
        view
        returns (Sale memory sale)
    {
        if (!_isInAuction(id)) revert NoAuction(id);
        sale = _saleOf(id);
        Assessment memory assessment = sale.found.assessment;
        if (_hasLapsed(sale.found.elapsedSeconds, assessment, sale.rules)) revert NoAuction(id);
        if (fraction == 0) revert ZeroAmount();
        _requireLiquidatable(id, assessment);
        if (sale.found.largestFraction != 0) return sale;
        (uint256 level, uint256 capacity) = _windowOf(sale.exhausted);
        revert WindowExhausted(sale.exhausted, level, capacity);
    }

    function _soldFraction(Sale memory sale, uint256 wanted) private pure returns (uint256) {
        return Auction.soldFraction(
            wanted,
            sale.found.restoringFraction,
            sale.found.largestFraction,
            sale.found.assessment,
            sale.rules
        );
    }

    /// @dev Whether an account has neither positions nor collateral.
    function _isBare(Account memory account) private pure returns (bool) {
        return account.positions.length == 0 && account.header.collateralBitmap == 0;
    }

    function _discountOf(Sale memory sale) private view returns (uint256) {
        if (_isBare(sale.account)) return WAD;
        if (sale.found.assessment.equity >= 0 && _isStale(sale.account.positions)) {
            return sale.rules.openingDiscount;
        }
        return Auction.discountAfter(sale.found.elapsedSeconds, sale.rules);
    }

    /// @dev Whether nobody vouches for the price of a market that the account has a size in.
    function _isStale(uint256[] memory positions) private view returns (bool) {
        uint256 oldest = block.timestamp;
        uint256 seen;
        for (uint256 i = 0; i < positions.length; ++i) {
            uint8 u = positions[i].underlying();
            if (seen >> u & 1 != 0 || positions[i].size() == 0) continue;
            seen |= 1 << u;
            (,, uint256 timestamp) = _spot(u);
            oldest = FixedPoint.min(oldest, timestamp);
        }
        uint256 maxAge = _globals().liquidationMaxAgeSeconds;
        return Admission.isStale(oldest, block.timestamp, maxAge);
    }

    function _volumesOf(Account memory account) private view returns (uint256[] memory) {
        uint256[] memory words = _collateralWords(account);
        uint8[] memory followed = new uint8[](words.length);
        for (uint256 i = 0; i < words.length; ++i) {
            followed[i] = parameters.collateralParameters(uint8(words[i] >> 248)).underlying;
        }
        return Windows.volumesOf(account.positions, words, followed, block.timestamp);
    }

    function _windowOf(uint8 underlying) private view returns (uint256 level, uint256 capacity) {
        Window memory window = liquidationParameters.window(underlying);
        return (_levelOf(underlying, window), window.capacity);
    }

    function _levelOf(uint8 underlying, Window memory window) private view returns (uint256) {
        WindowLevel storage stored = _windows[underlying];
        return Windows.levelAfter(stored.level, _activeSince(stored.updatedAt), window);
    }

    function _windowFraction(uint256[] memory volumes)
        private
        view
        returns (uint256 fraction, uint8 exhausted)
    {
        fraction = WAD;
        for (uint256 i = 0; i < volumes.length; ++i) {
            uint8 u = uint8(volumes[i] >> 248);
            Window memory window = liquidationParameters.window(u);
            if (window.capacity == 0) continue;
            uint256 volume = uint248(volumes[i]);
            uint256 room = Windows.fractionFor(window.capacity, _levelOf(u, window), volume);
            if (room == 0 && exhausted == 0) exhausted = u;
            fraction = FixedPoint.min(fraction, room);
        }
    }

    function _fillWindows(uint256[] memory volumes, uint256 fraction) private {
        uint40 activeTime = uint40(_activeTime());
        for (uint256 i = 0; i < volumes.length; ++i) {
            uint8 u = uint8(volumes[i] >> 248);
            Window memory window = liquidationParameters.window(u);
            if (window.capacity == 0) continue;
            uint256 level = Windows.filled(
                window.capacity, _levelOf(u, window), uint248(volumes[i]), fraction
            );
            // At most the capacity.
            _windows[u] = WindowLevel(uint96(level), activeTime);
        }
    }

    function _movePositions(Account memory seller, Account memory buyer, uint256 fraction)
        private
    {
        uint256[] memory netted;
        (uint256 count, uint256 sold) = (buyer.positions.length, seller.positions.length);
        (seller.positions, buyer.positions, netted) =
            Slice.move(seller.positions, buyer.positions, fraction);
        if (buyer.positions.length > count) {
            // An account from before the cap was lowered must find somebody.
            uint256 cap = FixedPoint.max(_globals().maxPositions, sold);
            if (buyer.positions.length > cap) revert TooManyPositions(buyer.id, cap);
        }
        for (uint256 i = 0; i < netted.length; ++i) {
            // Both sizes are in the open interest.
            uint104 change = uint104(netted[i]);
            if (change != 0) _markets[uint8(netted[i] >> 248)].openInterest -= change;
        }
    }

    function _moveCollateral(Account memory seller, Account memory buyer, uint256 fraction)
        private
    {
        uint256[] memory assets = Bitmap.members(seller.header.collateralBitmap);
        for (uint256 i = 0; i < assets.length; ++i) {
            (uint256 asset, uint256 balanceRaw) = (assets[i], seller.balancesRaw[i]);
            uint256 part = Slice.part(balanceRaw, fraction);
            if (part == 0) continue;
            _balancesRaw[seller.id][asset] = balanceRaw - part;
            _balancesRaw[buyer.id][asset] += part;
            buyer.header.collateralBitmap |= 1 << asset;
            if (part == balanceRaw) seller.header.collateralBitmap &= ~(1 << asset);
        }
    }

    function _moveCash(
        Account memory seller,
        Account memory buyer,
        uint256 fraction,
        int256 payment,
        CashState memory state
    ) private pure {
        int256 part = Slice.part(seller.header.cash, fraction);
        Interest.changeCash(seller, state, FixedPoint.max(payment, 0) - part);
        Interest.changeCash(buyer, state, part - payment);
    }

    /// @dev Whether a bidder had cash alone, in mode `PORTFOLIO` and healthy, and the account sold
    /// tells that it is still, so that it needs no assessment of its own. Sizes scale closely
    /// enough for that; collateral, of few large pieces maybe, does if all of it goes.
    function _isHealthyCopy(Sale memory sale, int256 soldCash, Account memory buyer)
        private
        view
        returns (bool)
    {
        Header memory sold = sale.account.header;
        return sale.found.price >= 0 && Accounts.isPlain(_headers[buyer.id])
            && TransientSnapshot.flags(buyer.id) & TransientSnapshot.MUST_CHECK == 0
            && sold.marginMode != MarginMode.PREDICTIVE
            && (sale.fraction == WAD || sold.collateralBitmap == 0)
            && Auction.isCopyHealthy(
                sale.found.assessment, soldCash, buyer.header.cash, sale.fraction
            );
    }

    /// @dev A slice that restores the account leaves it healthy, and is not assessed again.
    function _recordSale(Sale memory sale, Account memory seller, uint256 fraction) private {
        bool restored = fraction >= sale.found.restoringFraction;
        Assessment memory healthy;
        _record(seller, restored ? healthy : sale.found.assessment, !restored);
    }

    // ----------------------------------------------------------------------- parts of a default

    /// @dev Finds what a bidder claims, each source as far as it goes.
    function _findSources(Sale memory sale, uint256 claim, CashState memory state)
        private
        returns (Sources memory sources)
    {
        sources.fees = Waterfall.takeFees(state, claim);
        uint256 rest = claim - sources.fees;
        if (rest == 0) return sources;
        sources.fund = Waterfall.takeReceived(state, _drawOnFund(rest), rest);
        rest -= sources.fund;
        if (rest == 0 || !_maySocialise(sale)) return sources;
        // Owners of cash answer for cash that is missing, not for what was lost to other accounts.
        int256 collateralEquity = sale.found.assessment.collateralEquity;
        uint256 missing =
            Slice.part(FixedPoint.abs(FixedPoint.min(collateralEquity, 0)), sale.fraction);
        sources.socialised = _socialise(
            sources.fees + sources.fund,
            FixedPoint.min(rest, missing),
            sale.rules.maxSocialisedShare,
            state
        );
    }

    /// @dev Deleveraging goes first where it is chosen, but it may find nobody.
    function _maySocialise(Sale memory sale) private pure returns (bool) {
        AuctionParameters memory rules = sale.rules;
        uint256 elapsedSeconds = sale.found.elapsedSeconds;
        if (!_isBare(sale.account) && !Auction.hasRunOut(elapsedSeconds, rules)) return false;
        return rules.lastStep == LastStep.SOCIALISE
            || elapsedSeconds >= uint256(rules.fastSeconds) + 2 * uint256(rules.slowSeconds)
            || !_hasSize(sale.account.positions);
    }

    function _hasSize(uint256[] memory positions) private pure returns (bool) {
        for (uint256 i = 0; i < positions.length; ++i) {
            if (positions[i].size() != 0) return true;
        }
        return false;
    }

    /// @dev No more than a share of all cash is taken in a week, however many bids there are.
    function _socialise(uint256 found, uint256 loss, uint256 maxShare, CashState memory state)
        private
        returns (uint256 taken)
    {
        uint256 elapsedSeconds = _activeSince(_losses.socialisedAt);
        uint256 share = Waterfall.shareAfter(_losses.socialisedShare, elapsedSeconds, maxShare);
        if (share >= maxShare) return 0;
        uint256 newShare;
        (taken, newShare) =
            Waterfall.socialise(state, _pnlPools(), found, loss, maxShare - share);
        if (taken == 0) return 0;
        // Both are at most a half.
        _losses.socialisedShare = uint64(share + newShare);
        _losses.socialisedAt = uint40(_activeTime());
        emit LossSocialised(taken, state.supplyIndex);
    }

    /// @dev Whatever the fund does or says, what arrived counts.
    function _drawOnFund(uint256 amount) private returns (uint256) {
        address fund = liquidationParameters.insuranceFund();
        if (fund == address(0)) return 0;
        uint256 before = _heldRaw(settlementToken);
        uint256 wantedRaw = FixedPoint.toRawUp(amount, settlementDecimals);
        (bool success,) =
            fund.call{gas: FUND_GAS}(abi.encodeCall(IInsuranceFund.cover, (wantedRaw)));
        if (!success) return 0;
        uint256 balanceRaw = _heldRaw(settlementToken);
        return balanceRaw > before ? _cashDown(balanceRaw - before) : 0;
    }

    function _pnlPools() private view returns (uint256 sum) {
        for (uint256 u = 1; u <= type(uint8).max; ++u) {
            sum += _markets[uint8(u)].pnlPool;
        }
    }
}
