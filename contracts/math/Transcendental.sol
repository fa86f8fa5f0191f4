// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {FixedPointMathLib} from "solady/src/utils/FixedPointMathLib.sol";

/// @title Logarithm and exponential in binary fixed point
/// @notice Error bounds are proven in the specification, Mathematics.
library Transcendental {
    /// @notice The argument of a logarithm is zero.
    error LogarithmOfZero();
    /// @notice The exponential of this argument does not fit.
    error ExponentTooLarge(int256 xX64);

    /// @notice Greatest argument of `expX64`: 64 (X64).
    int256 internal constant GREATEST_EXPONENT_X64 = 64 * 2 ** 64;
    /// @dev Below this, 45 less, the exponential rounds to zero.
    int256 private constant LEAST_EXPONENT_X64 = -45 * 2 ** 64;

    /// @dev ln 2 / 2 and sqrt 2, X96, rounded to nearest.
    int256 private constant HALF_LN2_X96 = 27458388733853736675570735564;
    int256 private constant SQRT2_X96 = 112045541949572279837463876455;
    /// @dev ln 2, X96, rounded to nearest.
    int256 private constant LN2_X96 = 54916777467707473351141471128;
    /// @dev 1 / ln 2, X64, rounded to nearest.
    int256 private constant INVERSE_LN2_X64 = 26613026195688644983;

    /// @notice Natural logarithm.
    /// @param xX64 Argument, above zero.
    /// @return X64; off by less than 1.12 * 2^-64.
    function lnX64(uint256 xX64) internal pure returns (int256) {
        if (xX64 == 0) revert LogarithmOfZero();
        return _ln(xX64, 64);
    }

    /// @notice Natural logarithm of a ratio. A ratio below 2^-128 counts as 2^-128.
    /// @param a Numerator, above zero and below 2^128.
    /// @param b Denominator, above zero.
    /// @return X64; off by less than 1.19 * 2^-64 for ratios of at least 2^-60.
    function lnRatioX64(uint256 a, uint256 b) internal pure returns (int256) {
        if (a == 0 || b == 0) revert LogarithmOfZero();
        uint256 ratio = (a << 128) / b;
        return _ln(ratio == 0 ? 1 : ratio, 128);
    }

    /// @notice Exponential.
    /// @param xX64 Argument, at most `GREATEST_EXPONENT_X64`.
    /// @return result X64, rounded down; below e^x by less than 2^-66 * e^x + 2^-64.
    function expX64(int256 xX64) internal pure returns (uint256 result) {
        if (xX64 > GREATEST_EXPONENT_X64) revert ExponentTooLarge(xX64);
        // e^-45 is below 2^-64. Otherwise abs(r) < 0.35, every factor is below 2^97: no overflow.
        if (xX64 < LEAST_EXPONENT_X64) return 0;
        assembly ("memory-safe") {
            let k := sar(128, add(mul(xX64, INVERSE_LN2_X64), shl(127, 1)))
            let r := sub(shl(32, xX64), mul(k, LN2_X96))
            // 2^96 / k! for k = 15 ... 0.
            let sum := 60587073091780856
            sum := add(908806096376712848, sar(96, mul(r, sum)))
            sum := add(12723285349273979877, sar(96, mul(r, sum)))
            sum := add(165402709540561738402, sar(96, mul(r, sum)))
            sum := add(1984832514486740860829, sar(96, mul(r, sum)))
            sum := add(21833157659354149469120, sar(96, mul(r, sum)))
            sum := add(218331576593541494691203, sar(96, mul(r, sum)))
            sum := add(1964984189341873452220832, sar(96, mul(r, sum)))
            sum := add(15719873514734987617766656, sar(96, mul(r, sum)))
            sum := add(110039114603144913324366597, sar(96, mul(r, sum)))
            sum := add(660234687618869479946199586, sar(96, mul(r, sum)))
            sum := add(3301173438094347399730997930, sar(96, mul(r, sum)))
            sum := add(13204693752377389598923991722, sar(96, mul(r, sum)))
            sum := add(39614081257132168796771975168, sar(96, mul(r, sum)))
            sum := add(79228162514264337593543950336, sar(96, mul(r, sum)))
            sum := add(79228162514264337593543950336, sar(96, mul(r, sum)))
            result := shr(sub(96, k), shl(64, sum))
        }
    }

    /// @dev ln(x / 2^fractionBits) for x > 0: with x = 2^n * y, y in [1, 2), and
    /// z = (y - sqrt 2) / (y + sqrt 2), it is (2n + 1) * ln 2 / 2 + 2 * atanh(z), abs(z) < 0.1716.
    function _ln(uint256 x, uint256 fractionBits) private pure returns (int256 result) {
        // Prices mostly stay within a factor of two, moves always do.
        uint256 n = x >> fractionBits == 1
            ? fractionBits
            : x >> (fractionBits - 1) == 1 ? fractionBits - 1 : FixedPointMathLib.log2(x);
        // x is not 0. Every factor stays below 2^97 in absolute value, so no product overflows.
        assembly ("memory-safe") {
            let y := shr(159, shl(sub(255, n), x))
            let z := sdiv(shl(96, sub(y, SQRT2_X96)), add(y, SQRT2_X96))
            let square := shr(96, mul(z, z))
            // 2^96 / (2k + 1) for k = 11 ... 0.
            let sum := 3444702718011492938849736971
            sum := add(3772769643536397028263997635, shr(96, mul(square, sum)))
            sum := add(4169903290224438820712839491, shr(96, mul(square, sum)))
            sum := add(4660480147897902211384938255, shr(96, mul(square, sum)))
            sum := add(5281877500950955839569596689, shr(96, mul(square, sum)))
            sum := add(6094474039558795199503380795, shr(96, mul(square, sum)))
            sum := add(7202560228569485235776722757, shr(96, mul(square, sum)))
            sum := add(8803129168251593065949327815, shr(96, mul(square, sum)))
            sum := add(11318308930609191084791992905, shr(96, mul(square, sum)))
            sum := add(15845632502852867518708790067, shr(96, mul(square, sum)))
            sum := add(26409387504754779197847983445, shr(96, mul(square, sum)))
            sum := add(79228162514264337593543950336, shr(96, mul(square, sum)))
            sum := sar(95, mul(z, sum))
            let exponent := sub(add(shl(1, n), 1), shl(1, fractionBits))
            result := sar(32, add(mul(exponent, HALF_LN2_X96), sum))
        }
    }
}
