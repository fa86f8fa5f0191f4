// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SignedMath} from "@openzeppelin/contracts/utils/math/SignedMath.sol";
import {FixedPointMathLib} from "solady/src/utils/FixedPointMathLib.sol";

/// @title Fixed-point arithmetic in which every rounding has a name
/// @notice `Down` is towards minus infinity, `Up` towards plus infinity, `ToZero` truncates, for
/// negative operands too. Amounts are WAD. Every function is exact before it rounds once; a
/// product outside 256 bits or a division by zero is a `Panic`. The only place where `/` and `%`
/// meet signed values.
library FixedPoint {
    uint256 internal constant WAD = 1e18;
    int256 private constant SIGNED_WAD = 1e18;

    /// @notice floor(a * b / 1e18).
    function mulDown(uint256 a, uint256 b) internal pure returns (uint256) {
        return a * b / WAD;
    }

    /// @notice ceil(a * b / 1e18).
    function mulUp(uint256 a, uint256 b) internal pure returns (uint256) {
        return divideUp(a * b, WAD);
    }

    /// @notice floor(a * 1e18 / b).
    function divDown(uint256 a, uint256 b) internal pure returns (uint256) {
        return a * WAD / b;
    }

    /// @notice ceil(a * 1e18 / b).
    function divUp(uint256 a, uint256 b) internal pure returns (uint256) {
        return divideUp(a * WAD, b);
    }

    /// @notice ceil(a / b).
    function divideUp(uint256 a, uint256 b) internal pure returns (uint256) {
        return Math.ceilDiv(a, b);
    }

    /// @notice ceil(a * b / denominator).
    function mulDivUp(uint256 a, uint256 b, uint256 denominator) internal pure returns (uint256) {
        return divideUp(a * b, denominator);
    }

    /// @notice floor(a * b / denominator).
    function mulDivDown(uint256 a, uint256 b, uint256 denominator) internal pure returns (uint256) {
        return a * b / denominator;
    }

    /// @notice floor(a / b), b above zero.
    function floorDiv(int256 a, int256 b) internal pure returns (int256 quotient) {
        // With b above zero nothing overflows: a / b is at most abs(a), and is rounded further down
        // only if it is not a whole number, so never at the least one.
        unchecked {
            quotient = a / b;
            // Truncation rounded a negative inexact quotient up; the remainder has the sign of a.
            if (a % b < 0) --quotient;
        }
    }

    /// @notice floor(a * b / 1e18).
    function mulDown(int256 a, int256 b) internal pure returns (int256) {
        return floorDiv(a * b, SIGNED_WAD);
    }

    /// @notice ceil(a * b / 1e18).
    function mulUp(int256 a, int256 b) internal pure returns (int256) {
        return -floorDiv(-(a * b), SIGNED_WAD);
    }

    /// @notice a * b / 1e18, truncated.
    function mulToZero(int256 a, int256 b) internal pure returns (int256) {
        return a * b / SIGNED_WAD;
    }

    /// @notice a * 1e18 / b, truncated.
    function divToZero(int256 a, int256 b) internal pure returns (int256) {
        return a * SIGNED_WAD / b;
    }

    /// @notice floor(a * b / denominator), denominator above zero.
    function mulDivDown(int256 a, int256 b, int256 denominator) internal pure returns (int256) {
        return floorDiv(a * b, denominator);
    }

    /// @notice floor of the square root.
    function sqrt(uint256 x) internal pure returns (uint256) {
        return FixedPointMathLib.sqrt(x);
    }

    /// @notice ceil of the square root.
    function sqrtUp(uint256 x) internal pure returns (uint256) {
        uint256 root = FixedPointMathLib.sqrt(x);
        // The root is below 2^128.
        unchecked {
            return root * root < x ? root + 1 : root;
        }
    }

    function abs(int256 a) internal pure returns (uint256) {
        return SignedMath.abs(a);
    }

    function min(uint256 a, uint256 b) internal pure returns (uint256) {
        return Math.min(a, b);
    }

    function min(int256 a, int256 b) internal pure returns (int256) {
        return SignedMath.min(a, b);
    }

    function max(uint256 a, uint256 b) internal pure returns (uint256) {
        return Math.max(a, b);
    }

    function max(int256 a, int256 b) internal pure returns (int256) {
        return SignedMath.max(a, b);
    }

    /// @notice The value of [low, high] nearest to `a`; low at most high.
    function clamp(int256 a, int256 low, int256 high) internal pure returns (int256) {
        return max(low, min(a, high));
    }

    /// @notice Token amount as WAD, rounded down.
    /// @param decimals At most 36.
    function toWadDown(uint256 amountRaw, uint8 decimals) internal pure returns (uint256) {
        if (decimals <= 18) return amountRaw * 10 ** (18 - decimals);
        return amountRaw / 10 ** (decimals - 18);
    }

    /// @notice Token amount as WAD, rounded up.
    /// @param decimals At most 24.
    function toWadUp(uint256 amountRaw, uint8 decimals) internal pure returns (uint256) {
        if (decimals <= 18) return amountRaw * 10 ** (18 - decimals);
        return divideUp(amountRaw, 10 ** (decimals - 18));
    }

    /// @notice WAD as token amount, rounded down.
    /// @param decimals At most 24.
    function toRawDown(uint256 amount, uint8 decimals) internal pure returns (uint256) {
        if (decimals >= 18) return amount * 10 ** (decimals - 18);
        return amount / 10 ** (18 - decimals);
    }

    /// @notice WAD as token amount, rounded up.
    /// @param decimals At most 24.
    function toRawUp(uint256 amount, uint8 decimals) internal pure returns (uint256) {
        if (decimals >= 18) return amount * 10 ** (decimals - 18);
        return divideUp(amount, 10 ** (18 - decimals));
    }
}
