// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Packed instrument ids
/// @notice Layout of a `uint128` id (specification, section 3): underlying in bits 120-127, expiry
/// 88-119, isOption 80-87, strike in 1e-8 USD 16-79, isPut 8-15, the rest zero.
library Instrument {
    /// @notice The bits are not those of any instrument.
    error UnknownInstrument(uint128 instrument);

    function perpetual(uint8 underlying_) internal pure returns (uint128) {
        return uint128(underlying_) << 120;
    }

    function future(uint8 underlying_, uint32 expiry_) internal pure returns (uint128) {
        return uint128(underlying_) << 120 | uint128(expiry_) << 88;
    }

    function option(uint8 underlying_, uint32 expiry_, uint64 strikeE8_, bool isPut_)
        internal
        pure
        returns (uint128)
    {
        return future(underlying_, expiry_) | uint128(1) << 80 | uint128(strikeE8_) << 16
            | (isPut_ ? uint128(1) << 8 : 0);
    }

    function underlying(uint128 instrument) internal pure returns (uint8) {
        return uint8(instrument >> 120);
    }

    function expiry(uint128 instrument) internal pure returns (uint32) {
        return uint32(instrument >> 88);
    }

    function isOption(uint128 instrument) internal pure returns (bool) {
        return uint8(instrument >> 80) != 0;
    }

    function isPut(uint128 instrument) internal pure returns (bool) {
        return uint8(instrument >> 8) != 0;
    }

    function isPerpetual(uint128 instrument) internal pure returns (bool) {
        return expiry(instrument) == 0;
    }

    /// @notice Strike, USD; zero unless an option.
    function strike(uint128 instrument) internal pure returns (uint256) {
        // Below 2^98.
        unchecked {
            return uint256(uint64(instrument >> 16)) * 1e10;
        }
    }

    /// @notice Reverts with `UnknownInstrument` unless the bits are canonical.
    function requireCanonical(uint128 instrument) internal pure {
        uint8 u = underlying(instrument);
        uint32 t = expiry(instrument);
        uint64 k = uint64(instrument >> 16);
        uint128 canonical =
            isOption(instrument) ? option(u, t, k, isPut(instrument)) : future(u, t);
        bool complete = u != 0 && (!isOption(instrument) || (t != 0 && k != 0));
        if (!complete || canonical != instrument) revert UnknownInstrument(instrument);
    }
}
