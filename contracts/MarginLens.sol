// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {MarginEngine} from "./MarginEngine.sol";
import {ILedger} from "./interfaces/ILedger.sol";
import {ILiquidationEngine} from "./interfaces/ILiquidationEngine.sol";
import {
    Hypothesis,
    HypotheticalTrade,
    HypotheticalTransfer,
    IMarginLens,
    PositionView,
    Validity
} from "./interfaces/IMarginLens.sol";
import {IMarketData} from "./interfaces/IMarketData.sol";
import {IParameters} from "./interfaces/IParameters.sol";
import {IPredictiveModel} from "./interfaces/IPredictiveModel.sol";
import {IRiskModel} from "./interfaces/IRiskModel.sol";
import {Admission} from "./ledger/Admission.sol";
import {Fees} from "./ledger/Fees.sol";
import {Positions} from "./ledger/Positions.sol";
import {FixedPoint} from "./math/FixedPoint.sol";
import {Instrument} from "./types/Instrument.sol";
import {AuctionPreview} from "./types/Liquidation.sol";
import {Position} from "./types/Position.sol";
import {Exposure} from "./types/Predictive.sol";
import {
    Assessment,
    Breakdown,
    CollateralParameters,
    GlobalParameters,
    Portfolio,
    UnderlyingParameters
} from "./types/Types.sol";

/// @title Lens on the engine's accounts
contract MarginLens is IMarginLens {
    using Instrument for uint128;
    using Position for uint256;

    uint8 private constant CASH = 0;
    uint256 private constant WAD = 1e18;

    MarginEngine public immutable engine;
    IParameters private immutable PARAMETERS;
    IMarketData private immutable MARKET_DATA;
    IRiskModel private immutable RISK_MODEL;
    IPredictiveModel private immutable PREDICTIVE_MODEL;
    uint8 private immutable SETTLEMENT_DECIMALS;

    /// @dev An account while it is being changed.
    /// @param id Account.
    /// @param portfolio Its portfolio; cash and collateral change here.
    /// @param slots Position slots as the engine stores them, funding not yet taken in.
    /// @param balanceChangesRaw Sum of transfers per asset.
    struct Draft {
        uint256 id;
        Portfolio portfolio;
        uint256[] slots;
        int256[32] balanceChangesRaw;
    }

    /// @param engine_ Engine whose accounts are looked at.
    constructor(MarginEngine engine_) {
        engine = engine_;
        PARAMETERS = engine_.parameters();
        MARKET_DATA = engine_.marketData();
        RISK_MODEL = engine_.riskModel();
        PREDICTIVE_MODEL = RISK_MODEL.predictiveModel();
        SETTLEMENT_DECIMALS = engine_.settlementToken().decimals();
    }

    /// @inheritdoc IMarginLens
    function assess(uint256 account) public view returns (Assessment memory) {
        // The encoding of a portfolio as a result is that of the same portfolio as an argument: it
        // goes on to the risk model as it is, which for a large account saves reading and writing
        // it once more.
        bytes memory portfolio =
            _ask(address(engine), abi.encodeCall(engine.portfolio, (account)));
        bytes memory answer = _ask(
            address(RISK_MODEL), bytes.concat(IRiskModel.assess.selector, portfolio)
        );
        return abi.decode(answer, (Assessment));
    }

    /// @inheritdoc IMarginLens
    function assessMany(uint256[] calldata accounts)
        external
        view
        returns (Assessment[] memory assessments)
    {
        assessments = new Assessment[](accounts.length);
        for (uint256 i; i < accounts.length; ++i) assessments[i] = assess(accounts[i]);
    }

    /// @inheritdoc IMarginLens
    function auctionMany(uint256[] calldata accounts)
        external
        view
        returns (AuctionPreview[] memory previews)
    {
        ILiquidationEngine delegated = ILiquidationEngine(address(engine));
        previews = new AuctionPreview[](accounts.length);
        for (uint256 i; i < accounts.length; ++i) previews[i] = delegated.auctionOf(accounts[i]);
    }

    /// @inheritdoc IMarginLens
    function validity(uint256 account) external view returns (Validity memory) {
        GlobalParameters memory p = PARAMETERS.globalParameters();
        uint256 oldest = assess(account).oldestTimestamp;
        return Validity({
            oldestTimestamp: oldest,
            withdraw: !Admission.isStale(oldest, block.timestamp, p.withdrawMaxAgeSeconds),
            open: !Admission.isStale(oldest, block.timestamp, p.openMaxAgeSeconds),
            margin: !Admission.isStale(oldest, block.timestamp, p.marginMaxAgeSeconds),
            liquidation: !Admission.isStale(oldest, block.timestamp, p.liquidationMaxAgeSeconds)
        });
    }

    /// @inheritdoc IMarginLens
    function breakdown(uint256 account) public view returns (Breakdown memory) {
        return RISK_MODEL.breakdown(engine.portfolio(account));
    }

    /// @inheritdoc IMarginLens
    function breakdownMany(uint256[] calldata accounts)
        external
        view
        returns (Breakdown[] memory breakdowns)
    {
        breakdowns = new Breakdown[](accounts.length);
        for (uint256 i; i < accounts.length; ++i) breakdowns[i] = breakdown(accounts[i]);
    }

    /// @inheritdoc IMarginLens
    function whatIf(uint256 account, Hypothesis calldata hypothesis)
        external
        view
        returns (Breakdown memory before, Breakdown memory afterwards)
    {
        Draft memory draft;
        draft.id = account;
        draft.portfolio = engine.portfolio(account);
        draft.slots = engine.positionsOf(account);
        before = RISK_MODEL.breakdown(draft.portfolio);
        if (hypothesis.changesMode) draft.portfolio.marginMode = hypothesis.marginMode;
        for (uint256 i; i < hypothesis.transfers.length; ++i) {
            _transfer(draft, hypothesis.transfers[i]);
        }
        for (uint256 i; i < hypothesis.trades.length; ++i) _trade(draft, hypothesis.trades[i]);
        draft.portfolio.positions = _netOfFunding(draft.slots);
        _dropUnheld(draft);
        afterwards = RISK_MODEL.breakdown(draft.portfolio);
    }

    /// @inheritdoc IMarginLens
    function positions(uint256 account) external view returns (PositionView[] memory views) {
        Portfolio memory single = engine.portfolio(account);
        uint256[] memory slots = single.positions;
        views = new PositionView[](slots.length);
        single.cash = 0;
        single.collateral = new uint256[](0);
        single.positions = new uint256[](1);
        for (uint256 i; i < slots.length; ++i) {
            uint256 slot = slots[i];
            uint128 instrument = slot.instrument();
            single.positions[0] = slot;
            Breakdown memory alone = RISK_MODEL.breakdown(single);
            views[i] = PositionView({
                instrument: instrument,
                underlying: instrument.underlying(),
                expiry: instrument.expiry(),
                isOption: instrument.isOption(),
                isPut: instrument.isPut(),
                strike: instrument.strike(),
                size: slot.size(),
                quote: slot.quote(),
                value: alone.derivativeValue,
                delta: alone.underlyings[0].delta,
                isolatedLoss: alone.isolatedScanRisk
            });
        }
    }

    /// @inheritdoc IMarginLens
    function capitalEfficiency(uint256 account) external view returns (uint256) {
        Breakdown memory b = breakdown(account);
        uint256 isolated = b.isolatedInitialMargin;
        if (isolated == 0) return 0;
        uint256 portfolio = FixedPoint.min(b.netInitialMargin, isolated);
        return WAD - FixedPoint.divUp(portfolio, isolated);
    }

    /// @inheritdoc IMarginLens
    function shortfallAt(uint256 account, uint256 hint) external view returns (uint256) {
        return PREDICTIVE_MODEL.shortfallAt(_exposures(account), hint);
    }

    /// @inheritdoc IMarginLens
    function exceedances(uint256 account, uint256 amount)
        external
        view
        returns (uint256 count, uint256 limit)
    {
        return PREDICTIVE_MODEL.exceedances(_exposures(account), amount);
    }

    function _exposures(uint256 account) private view returns (Exposure[] memory) {
        return RISK_MODEL.exposures(engine.portfolio(account));
    }

    // ------------------------------------------------------------------------- what would happen

    function _transfer(Draft memory draft, HypotheticalTransfer calldata transfer) private view {
        uint256 amountRaw = FixedPoint.abs(transfer.amountRaw);
        if (transfer.asset == CASH) {
            draft.portfolio.cash += transfer.amountRaw > 0
                ? int256(FixedPoint.toWadDown(amountRaw, SETTLEMENT_DECIMALS))
                : -int256(FixedPoint.toWadUp(amountRaw, SETTLEMENT_DECIMALS));
            return;
        }
        CollateralParameters memory p = PARAMETERS.collateralParameters(transfer.asset);
        if (p.token == address(0)) revert ILedger.UnknownAsset(transfer.asset);
        int256 balanceRaw = int256(engine.collateralOf(draft.id, transfer.asset))
            + draft.balanceChangesRaw[transfer.asset];
        if (balanceRaw + transfer.amountRaw < 0) {
            revert ILedger.InsufficientCollateral(
                transfer.asset, amountRaw, uint256(balanceRaw)
            );
        }
        draft.balanceChangesRaw[transfer.asset] += transfer.amountRaw;
        uint256 balance =
            FixedPoint.toWadDown(uint256(balanceRaw + transfer.amountRaw), p.decimals);
        _setBalance(draft.portfolio, transfer.asset, balance);
    }

    /// @dev Replaces, adds or removes the word of an asset.
    function _setBalance(Portfolio memory portfolio, uint8 asset, uint256 balance) private pure {
        uint256[] memory words = portfolio.collateral;
        uint256 i;
        while (i < words.length && words[i] >> 248 != asset) ++i;
        if (balance == 0) {
            if (i < words.length) portfolio.collateral = Positions.remove(words, i);
            return;
        }
        if (i == words.length) words = Positions.append(words);
        words[i] = uint256(asset) << 248 | uint128(FixedPoint.min(balance, type(uint128).max));
        portfolio.collateral = words;
    }

    function _trade(Draft memory draft, HypotheticalTrade calldata trade) private view {
        uint128 instrument = trade.instrument;
        UnderlyingParameters memory p = _requireTradable(instrument);
        (uint256 index,,,,) = MARKET_DATA.spot(instrument.underlying());
        int256 price = int256(trade.price);
        if (instrument.isPerpetual()) {
            price -= engine.currentFundingIndex(instrument.underlying());
        }
        Positions.Change memory change;
        (draft.slots, change) =
            Positions.applyTrade(draft.slots, instrument, trade.size, price);

        uint256 size = FixedPoint.abs(trade.size);
        uint256 rate = trade.isTaker ? p.takerFee : p.makerFee;
        uint256 fee =
            Fees.onFill(instrument, size, index, rate, change.premium, p.optionFeeCap);
        draft.portfolio.cash -= change.premium + int256(fee);
        _settleClosed(draft, instrument);
        _changeOpenInterest(
            draft.portfolio, instrument.underlying(), Positions.grossChange(change) + int256(size)
        );
    }

    function _requireTradable(uint128 instrument)
        private
        view
        returns (UnderlyingParameters memory p)
    {
        instrument.requireCanonical();
        uint8 underlying = instrument.underlying();
        uint32 expiry = instrument.expiry();
        p = PARAMETERS.underlyingParameters(underlying);
        if (!p.listed || (expiry != 0 && !PARAMETERS.isExpiryListed(underlying, expiry))) {
            revert Instrument.UnknownInstrument(instrument);
        }
        if (expiry != 0 && block.timestamp >= expiry) {
            revert ILedger.InstrumentExpired(instrument, expiry);
        }
    }

    /// @dev A linear position of size zero becomes cash as far as the loser, or the pool, can pay.
    function _settleClosed(Draft memory draft, uint128 instrument) private view {
        if (instrument.isOption()) return;
        (uint256 i, int256 value) = Positions.closedValue(draft.slots, instrument);
        if (value == 0) return;
        int256 funds = value < 0
            ? draft.portfolio.cash + _coverOf(draft.portfolio.collateral)
            : int256(uint256(engine.marketState(instrument.underlying()).pnlPool));
        int256 settled = Positions.settledAmount(value, funds > 0 ? uint256(funds) : 0);
        draft.portfolio.cash += settled;
        draft.slots[i] = Positions.addQuote(draft.slots[i], -settled);
        draft.slots = Positions.removeEmpty(draft.slots);
    }

    /// @dev Haircut value of collateral with which a loss can be paid: none at old prices.
    function _coverOf(uint256[] memory collateral) private view returns (int256) {
        (uint256 value, uint256 oldest) = RISK_MODEL.collateralValue(collateral);
        uint256 maxAge = PARAMETERS.globalParameters().marginMaxAgeSeconds;
        return Admission.isStale(oldest, block.timestamp, maxAge) ? int256(0) : int256(value);
    }

    /// @dev Changes the word of an underlying, or adds it.
    function _changeOpenInterest(Portfolio memory portfolio, uint8 underlying, int256 change)
        private
        view
    {
        uint256[] memory words = portfolio.openInterest;
        uint256 i;
        while (i < words.length && words[i] >> 248 != underlying) ++i;
        if (i == words.length) {
            words = Positions.append(words);
            words[i] =
                uint256(underlying) << 248 | uint256(engine.marketState(underlying).openInterest);
            portfolio.openInterest = words;
        }
        // The counterparty's part makes the sum of changes at least zero.
        words[i] += uint256(change);
    }

    /// @dev Leaves the words of those underlyings alone that there still are positions in.
    function _dropUnheld(Draft memory draft) private pure {
        uint256[] memory words = draft.portfolio.openInterest;
        uint256 held;
        for (uint256 i; i < draft.slots.length; ++i) held |= 1 << draft.slots[i].underlying();
        uint256 count;
        for (uint256 i; i < words.length; ++i) {
            if (held >> (words[i] >> 248) & 1 != 0) words[count++] = words[i];
        }
        // Shortening an array in memory leaves it valid.
        assembly ("memory-safe") {
            mstore(words, count)
        }
    }

    /// @dev A copy of the slots as a portfolio has them.
    function _netOfFunding(uint256[] memory slots) private view returns (uint256[] memory netted) {
        netted = new uint256[](slots.length);
        for (uint256 i; i < slots.length; ++i) {
            uint256 slot = slots[i];
            if (slot.instrument().isPerpetual() && slot.size() != 0) {
                slot = Positions.netOfFunding(
                    slot, engine.currentFundingIndex(slot.underlying())
                );
            }
            netted[i] = slot;
        }
    }

    /// @dev A view call whose error is passed on.
    function _ask(address target, bytes memory call) private view returns (bytes memory answer) {
        bool ok;
        (ok, answer) = target.staticcall(call);
        assembly ("memory-safe") {
            if iszero(ok) { revert(add(answer, 32), mload(answer)) }
        }
    }
}
