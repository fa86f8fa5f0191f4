// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {LibBit} from "solady/src/utils/LibBit.sol";
import {LibSort} from "solady/src/utils/LibSort.sol";

import {ILedger} from "./interfaces/ILedger.sol";
import {ILiquidationParameters} from "./interfaces/ILiquidationParameters.sol";
import {Ranges} from "./margin/Ranges.sol";
import {AuctionParameters, Window} from "./types/Liquidation.sol";
import {Position} from "./types/Position.sol";

/// @title Rules of auctions and the waterfall set by governance, each inside its range
/// @notice Specification, Liquidation, section 10. None of them makes an account liquidatable, so
/// they come into force at once; whoever sets them acts with the delay that the `AccessManager`
/// keeps.
contract LiquidationParameters is ILiquidationParameters, AccessManaged {
    using Position for uint256;

    uint256 private constant ONE = 1e18;
    uint256 private constant MAX_AMOUNT = 1e6 * 1e18;

    /// @dev Greatest weights: the most with which no step needs 8 million gas.
    uint256 private constant MAX_WEIGHT = 85;
    uint256 private constant MAX_PREDICTIVE_WEIGHT = 32;
    /// @dev Positions that cost as much as an underlying does.
    uint256 private constant UNDERLYING_WEIGHT = 7;
    uint256 private constant PREDICTIVE_UNDERLYING_WEIGHT = 5;

    AuctionParameters private _auction;
    mapping(uint8 underlying => Window) private _windows;

    /// @inheritdoc ILiquidationParameters
    address public insuranceFund;

    /// @param authority The `AccessManager`.
    /// @param auction Rules of auctions, demanded here because without them an account would be
    /// given away at once.
    constructor(address authority, AuctionParameters memory auction) AccessManaged(authority) {
        _setAuctionParameters(auction);
    }

    /// @inheritdoc ILiquidationParameters
    function setAuctionParameters(AuctionParameters calldata proposed) external restricted {
        _setAuctionParameters(proposed);
    }

    /// @inheritdoc ILiquidationParameters
    function setWindow(uint8 underlying, Window calldata proposed) external restricted {
        Ranges.requireIn("underlying", underlying, 1, type(uint8).max);
        Ranges.requireIn("periodSeconds", proposed.periodSeconds, 1, 7 days);
        emit WindowSet(underlying, _windows[underlying], proposed);
        _windows[underlying] = proposed;
    }

    /// @inheritdoc ILiquidationParameters
    function setInsuranceFund(address fund) external restricted {
        emit InsuranceFundSet(insuranceFund, fund);
        insuranceFund = fund;
    }

    /// @inheritdoc ILiquidationParameters
    function auctionParameters() external view returns (AuctionParameters memory) {
        return _auction;
    }

    /// @inheritdoc ILiquidationParameters
    function window(uint8 underlying) external view returns (Window memory) {
        return _windows[underlying];
    }

    /// @inheritdoc ILiquidationParameters
    function requireLight(
        uint256 account,
        uint256[] calldata positions,
        uint256 kinds,
        uint256 followed,
        bool isPredictive
    ) external pure {
        uint256 underlyings = followed;
        for (uint256 i = 0; i < positions.length; ++i) {
            underlyings |= 1 << positions[i].underlying();
        }
        uint256 others = _butOne(LibBit.popCount(underlyings >> 1));
        uint256 weight = positions.length + _butOne(kinds);
        uint256 limit = isPredictive ? MAX_PREDICTIVE_WEIGHT : MAX_WEIGHT;
        if (isPredictive) weight += PREDICTIVE_UNDERLYING_WEIGHT * others;
        else weight += _slicesOf(positions) + UNDERLYING_WEIGHT * others;
        if (weight > limit) revert ILedger.AccountTooHeavy(account, weight, limit);
    }

    /// @dev Number of pairs of underlying and expiry.
    function _slicesOf(uint256[] calldata positions) private pure returns (uint256 count) {
        uint256[] memory slices = new uint256[](positions.length);
        for (uint256 i = 0; i < positions.length; ++i) {
            uint256 slot = positions[i];
            // A perpetual has no expiry, and shares the place of nothing.
            slices[i] = slot.expiry() == 0 ? 0 : slot.upToExpiry();
        }
        LibSort.sort(slices);
        LibSort.uniquifySorted(slices);
        count = slices.length;
        if (count != 0 && slices[0] == 0) --count;
    }

    function _butOne(uint256 count) private pure returns (uint256) {
        return count == 0 ? 0 : count - 1;
    }

    function _setAuctionParameters(AuctionParameters memory p) private {
        Ranges.requireIn("cuspDiscount", p.cuspDiscount, 0, ONE);
        uint256 mostAtFirst = p.cuspDiscount < ONE / 2 ? p.cuspDiscount : ONE / 2;
        Ranges.requireIn("openingDiscount", p.openingDiscount, 0, mostAtFirst);
        Ranges.requireIn("fastSeconds", p.fastSeconds, 1, 1 days);
        Ranges.requireIn("slowSeconds", p.slowSeconds, 1, 7 days);
        Ranges.requireIn("buffer", p.buffer, 0, ONE);
        Ranges.requireIn("dustMargin", p.dustMargin, 0, MAX_AMOUNT);
        Ranges.requireIn("rewardRate", p.rewardRate, 0, ONE / 10);
        Ranges.requireIn("rewardCap", p.rewardCap, 0, MAX_AMOUNT);
        Ranges.requireIn("insolvencyBonus", p.insolvencyBonus, 0, ONE);
        Ranges.requireIn("maxSocialisedShare", p.maxSocialisedShare, 0, ONE / 2);
        Ranges.requireIn("maxDeleverageShare", p.maxDeleverageShare, ONE / 100, ONE);
        emit AuctionParametersSet(_auction, p);
        _auction = p;
    }
}
