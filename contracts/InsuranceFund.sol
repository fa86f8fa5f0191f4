// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC4626} from "@openzeppelin/contracts/interfaces/IERC4626.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ERC4626} from "@openzeppelin/contracts/token/ERC20/extensions/ERC4626.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {IInsuranceFund} from "./interfaces/IInsuranceFund.sol";
import {IOutageClock} from "./interfaces/IOutageClock.sol";
import {ISettlement} from "./interfaces/ISettlement.sol";
import {Ranges} from "./margin/Ranges.sol";

/// @title Stakers' money that pays for insolvent accounts
/// @notice Specification, Liquidation, section 7. What stakers own is what the fund has: a loss, or
/// a reward sent to it, is shared by all of them at once.
/// @dev Shares have more decimals than the token and there are virtual ones, so that nobody gains
/// by making the first of them dear. Balances are kept here, a series at a time: shares that a loss
/// left worthless are void, or the next deposit would be worth so many that their number, after a
/// few such losses, could not be counted any more.
contract InsuranceFund is IInsuranceFund, ERC4626 {
    using SafeERC20 for IERC20;

    /// @dev What an owner has: shares, how many of them may leave, and when (active time).
    struct Stake {
        uint256 shares;
        uint256 leaving;
        uint40 start;
        uint40 until;
    }

    uint8 private constant SHARE_DECIMALS = 6;
    /// @dev Shares per token, in smallest units, above which they are worth nothing: a millionth of
    /// what the first ones cost.
    uint256 private constant WORTHLESS = 1e12;

    /// @notice Engine whose losses the fund covers.
    ISettlement public immutable engine;

    /// @notice Clock that requests wait by.
    IOutageClock public immutable clock;

    /// @inheritdoc IInsuranceFund
    uint256 public immutable cooldownSeconds;

    /// @inheritdoc IInsuranceFund
    uint256 public immutable exitWindowSeconds;

    /// @inheritdoc IInsuranceFund
    uint256 public series;

    mapping(uint256 series => mapping(address owner => Stake)) private _stakes;
    uint256 private _supply;

    /// @param engine_ The engine: the only one who may draw on the fund, and who knows of losses.
    /// @param clock_ Keeps active time.
    /// @param settlementToken The engine's only cash.
    /// @param cooldownSeconds_ Active time between a request and the exit, [1 hour, 30 days].
    /// @param exitWindowSeconds_ Active time for which the exit is open, [1 hour, 30 days].
    constructor(
        ISettlement engine_,
        IOutageClock clock_,
        IERC20 settlementToken,
        uint256 cooldownSeconds_,
        uint256 exitWindowSeconds_
    ) ERC20("Cross Margin Insurance Fund", "CMIF") ERC4626(settlementToken) {
        Ranges.requireIn("cooldownSeconds", cooldownSeconds_, 1 hours, 30 days);
        Ranges.requireIn("exitWindowSeconds", exitWindowSeconds_, 1 hours, 30 days);
        engine = engine_;
        clock = clock_;
        cooldownSeconds = cooldownSeconds_;
        exitWindowSeconds = exitWindowSeconds_;
    }

    /// @inheritdoc IInsuranceFund
    function cover(uint256 amountRaw) external returns (uint256 paidRaw) {
        if (msg.sender != address(engine)) revert OnlyEngine(msg.sender);
        uint256 heldRaw = totalAssets();
        paidRaw = Math.min(amountRaw, heldRaw);
        emit LossCovered(paidRaw);
        if (_supply > (heldRaw - paidRaw + 1) * WORTHLESS) {
            emit SharesVoided(series++, _supply);
            _supply = 0;
        }
        IERC20(asset()).safeTransfer(msg.sender, paidRaw);
    }

    /// @inheritdoc IInsuranceFund
    function requestExit(uint256 shares) external {
        Stake storage stake = _stakes[series][msg.sender];
        if (shares > stake.shares) revert InsufficientShares(shares, stake.shares);
        uint256 start = clock.activeTime() + cooldownSeconds;
        uint256 until = start + exitWindowSeconds;
        (stake.leaving, stake.start, stake.until) = (shares, uint40(start), uint40(until));
        emit ExitRequested(msg.sender, shares, start, until);
    }

    /// @inheritdoc IInsuranceFund
    function exitRequest(address owner)
        external
        view
        returns (uint256 shares, uint256 start, uint256 until)
    {
        Stake storage stake = _stakes[series][owner];
        return (stake.leaving, stake.start, stake.until);
    }

    /// @notice Shares that may leave now. (What `maxWithdraw` says follows from it.)
    /// @param owner Any staker.
    function maxRedeem(address owner) public view override(IERC4626, ERC4626) returns (uint256) {
        Stake memory stake = _stakes[series][owner];
        if (stake.leaving == 0 || engine.isLossPending()) return 0;
        uint256 time = clock.activeTime();
        return time >= stake.start && time <= stake.until ? stake.leaving : 0;
    }

    /// @notice Shares of the present series.
    function totalSupply() public view override(IERC20, ERC20) returns (uint256) {
        return _supply;
    }

    /// @notice Shares of an owner, of the present series.
    function balanceOf(address owner) public view override(IERC20, ERC20) returns (uint256) {
        return _stakes[series][owner].shares;
    }

    function _withdraw(
        address caller,
        address receiver,
        address owner,
        uint256 assets,
        uint256 shares
    ) internal override {
        // At most `maxRedeem`, so at most the request.
        _stakes[series][owner].leaving -= shares;
        super._withdraw(caller, receiver, owner, assets, shares);
    }

    /// @dev As in ERC20, within the present series. A request is worth no more than the balance
    /// ever was since: shares that leave take theirs with them, or the same shares could wait in
    /// many accounts, and always leave by one.
    function _update(address from, address to, uint256 shares) internal override {
        mapping(address owner => Stake) storage stakes = _stakes[series];
        if (from == address(0)) {
            _supply += shares;
        } else {
            uint256 balance = stakes[from].shares;
            if (shares > balance) revert ERC20InsufficientBalance(from, balance, shares);
            stakes[from].shares = balance - shares;
        }
        if (to == address(0)) _supply -= shares;
        else stakes[to].shares += shares;
        emit Transfer(from, to, shares);
        Stake storage left = stakes[from];
        if (left.leaving > left.shares) left.leaving = left.shares;
    }

    function _decimalsOffset() internal pure override returns (uint8) {
        return SHARE_DECIMALS;
    }
}
