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
/// by making the first of them dear.
contract InsuranceFund is IInsuranceFund, ERC4626 {
    using SafeERC20 for IERC20;

    /// @dev Shares that may leave, and when (active time).
    struct Request {
        uint256 shares;
        uint40 start;
        uint40 until;
    }

    uint8 private constant SHARE_DECIMALS = 6;

    /// @notice Engine whose losses the fund covers.
    ISettlement public immutable engine;

    /// @notice Clock that requests wait by.
    IOutageClock public immutable clock;

    /// @inheritdoc IInsuranceFund
    uint256 public immutable cooldownSeconds;

    /// @inheritdoc IInsuranceFund
    uint256 public immutable exitWindowSeconds;

    mapping(address owner => Request) private _requests;

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
        paidRaw = Math.min(amountRaw, totalAssets());
        emit LossCovered(paidRaw);
        IERC20(asset()).safeTransfer(msg.sender, paidRaw);
    }

    /// @inheritdoc IInsuranceFund
    function requestExit(uint256 shares) external {
        uint256 balance = balanceOf(msg.sender);
        if (shares > balance) revert InsufficientShares(shares, balance);
        uint256 start = clock.activeTime() + cooldownSeconds;
        uint256 until = start + exitWindowSeconds;
        _requests[msg.sender] = Request(shares, uint40(start), uint40(until));
        emit ExitRequested(msg.sender, shares, start, until);
    }

    /// @inheritdoc IInsuranceFund
    function exitRequest(address owner)
        external
        view
        returns (uint256 shares, uint256 start, uint256 until)
    {
        Request memory request = _requests[owner];
        return (request.shares, request.start, request.until);
    }

    /// @notice Shares that may leave now. (What `maxWithdraw` says follows from it.)
    /// @param owner Any staker.
    function maxRedeem(address owner) public view override(IERC4626, ERC4626) returns (uint256) {
        Request memory request = _requests[owner];
        if (request.shares == 0 || engine.isLossPending()) return 0;
        uint256 time = clock.activeTime();
        return time >= request.start && time <= request.until ? request.shares : 0;
    }

    function _withdraw(
        address caller,
        address receiver,
        address owner,
        uint256 assets,
        uint256 shares
    ) internal override {
        // At most `maxRedeem`, so at most the request.
        _requests[owner].shares -= shares;
        super._withdraw(caller, receiver, owner, assets, shares);
    }

    /// @dev A request is worth no more than the balance ever was since: shares that leave take
    /// theirs with them, or the same shares could wait in many accounts, and always leave by one.
    function _update(address from, address to, uint256 shares) internal override {
        super._update(from, to, shares);
        uint256 balance = balanceOf(from);
        if (_requests[from].shares > balance) _requests[from].shares = balance;
    }

    function _decimalsOffset() internal pure override returns (uint8) {
        return SHARE_DECIMALS;
    }
}
