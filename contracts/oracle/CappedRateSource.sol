// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC4626} from "@openzeppelin/contracts/interfaces/IERC4626.sol";
import {
    IERC20Metadata
} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";

import {IPriceSource} from "../interfaces/IPriceSource.sol";
import {IRateProvider} from "../interfaces/IRateProvider.sol";
import {Ranges} from "../margin/Ranges.sol";
import {FixedPoint} from "../math/FixedPoint.sol";

/// @title Rate of a vault or of a rate provider that cannot jump upwards
/// @notice The rate counts up to a line that starts at a rate seen before and rises at `GROWTH`
/// per year; whatever lies above it (a donation, a manipulated balance) is not counted. Rate and
/// time of the start always move together, so a rate that grows within its bound is never cut. A
/// rate that falls is passed on at once, and the line stays where it was until the rate is back:
/// what pushes it down for a moment changes nothing that lasts.
contract CappedRateSource is IPriceSource {
    uint256 public constant SNAPSHOT_SECONDS = 1 days;

    uint256 private constant MAX_GROWTH = 1e18;
    uint256 private constant MAX_RATE = type(uint96).max;
    uint256 private constant WAD_YEAR = 1e18 * 365 days;
    uint256 private constant WAD_DECIMALS = 18;

    /// @notice The ERC-4626 vault or the rate provider.
    address public immutable ORIGIN;

    /// @notice Shares whose assets are the rate in WAD, whatever the decimals of both; zero for a
    /// rate provider, whose rate is WAD already.
    uint256 public immutable SHARES_RAW;

    /// @notice Greatest growth of the rate per year, fraction.
    uint256 public immutable GROWTH;

    /// @notice Rate from which the line starts, WAD.
    uint96 public ratio;

    /// @notice Time at which the line starts, seconds.
    uint40 public ratioAt;

    /// @notice The line starts anew.
    event SnapshotTaken(uint256 ratio, uint256 ratioAt);

    /// @notice The rate is zero, or beyond 96 bits.
    error InvalidRate(uint256 rate);

    /// @notice The rate is below where the line starts; it will start anew once the rate is back.
    error RateBelowSnapshot(uint256 rate, uint256 ratio);

    /// @notice The line started less than a day ago.
    error SnapshotTooEarly(uint256 blockTimestamp, uint256 earliest);

    /// @param origin An ERC-4626 vault or a rate provider.
    /// @param isVault Which of the two.
    /// @param growth Greatest growth of the rate per year, at most one.
    constructor(address origin, bool isVault, uint256 growth) {
        Ranges.requireIn("growth", growth, 0, MAX_GROWTH);
        uint256 sharesRaw = isVault ? _unit(IERC4626(origin)) : 0;
        (ORIGIN, SHARES_RAW, GROWTH) = (origin, sharesRaw, growth);
        _start(_rate(origin, sharesRaw));
    }

    /// @notice Starts the line anew from the rate that counts now, at most once a day; anyone may.
    function snapshot() external {
        uint256 earliest = ratioAt + SNAPSHOT_SECONDS;
        if (block.timestamp < earliest) revert SnapshotTooEarly(block.timestamp, earliest);
        uint256 rate = _cappedRate();
        if (rate < ratio) revert RateBelowSnapshot(rate, ratio);
        _start(rate);
    }

    /// @inheritdoc IPriceSource
    function read()
        external
        view
        returns (uint256 price, uint256 confidence, uint256 timestamp)
    {
        return (_cappedRate(), 0, block.timestamp);
    }

    function _start(uint256 rate) private {
        // A rate that counts is at most MAX_RATE.
        (ratio, ratioAt) = (uint96(rate), uint40(block.timestamp));
        emit SnapshotTaken(rate, block.timestamp);
    }

    function _cappedRate() private view returns (uint256) {
        uint256 rise = FixedPoint.mulDivDown(
            ratio * GROWTH, block.timestamp - ratioAt, WAD_YEAR
        );
        return FixedPoint.min(_rate(ORIGIN, SHARES_RAW), ratio + rise);
    }

    function _rate(address origin, uint256 sharesRaw) private view returns (uint256 rate) {
        rate = sharesRaw == 0
            ? IRateProvider(origin).getRate()
            : IERC4626(origin).convertToAssets(sharesRaw);
        if (rate == 0 || rate > MAX_RATE) revert InvalidRate(rate);
    }

    /// @dev One share is worth `rate` assets, so 10^shareDecimals · 10^18 / 10^assetDecimals raw
    /// shares are worth rate · 10^18 raw assets.
    function _unit(IERC4626 vault) private view returns (uint256) {
        uint256 assetDecimals = IERC20Metadata(vault.asset()).decimals();
        return 10 ** (vault.decimals() + WAD_DECIMALS - assetDecimals);
    }
}
