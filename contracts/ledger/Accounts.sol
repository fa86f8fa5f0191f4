// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ILedger} from "../interfaces/ILedger.sol";
import {AccountStatus} from "../types/Liquidation.sol";
import {Health, MarginMode} from "../types/Types.sol";

/// @notice The one slot that heads an account, unpacked.
/// @param cash Settled cash as of `cashIndex`, USD, signed.
/// @param cashIndex Interest index at which `cash` was last brought up to date; 0 if never.
/// @param positionCount Position slots in use.
/// @param marginMode Generation of margin.
/// @param collateralBitmap Bit a is set while the balance of asset a is above zero.
/// @param health Health last recorded.
/// @param inAuction Whether the account is for sale.
struct Header {
    int256 cash;
    uint256 cashIndex;
    uint256 positionCount;
    MarginMode marginMode;
    uint256 collateralBitmap;
    Health health;
    bool inAuction;
}

/// @notice All that an account owns and owes, in memory.
/// @param id Account id.
/// @param header Its header.
/// @param balancesRaw Raw balance of every asset in the bitmap, ascending by asset.
/// @param positions Position slots.
struct Account {
    uint256 id;
    Header header;
    uint256[] balancesRaw;
    uint256[] positions;
}

/// @title Account ids and header slots
/// @notice Specification, section 2.
library Accounts {
    uint256 private constant IN_AUCTION = 1 << 248;

    /// @notice Reverts with `InvalidAccount` unless the id is well-formed.
    function requireValid(uint256 account) internal pure {
        if (account >> 168 != 0 || account >> 8 == 0) {
            revert ILedger.InvalidAccount(account);
        }
    }

    /// @notice Owner of an account.
    function owner(uint256 account) internal pure returns (address) {
        return address(uint160(account >> 8));
    }

    /// @notice Reverts with `NotAuthorised` unless `actor` is the owner or an operator.
    /// @param subIds Bitmap of the owner's sub-accounts that the actor may act for.
    function requireAuthorised(uint256 account, address actor, uint256 subIds) internal pure {
        if (actor != owner(account) && subIds >> uint8(account) & 1 == 0) {
            revert ILedger.NotAuthorised(account, actor);
        }
    }

    /// @notice Packs a header; cash must have passed `requireCash`.
    function pack(Header memory header) internal pure returns (uint256) {
        // Cash fits by `requireCash`, the index by `Interest.accrue`, the count by `maxPositions`,
        // the bitmap because assets are below 32.
        return uint256(uint104(int104(header.cash))) | uint256(uint88(header.cashIndex)) << 104
            | uint256(uint8(header.positionCount)) << 192 | uint256(header.marginMode) << 200
            | uint256(uint32(header.collateralBitmap)) << 208 | uint256(header.health) << 240
            | (header.inAuction ? IN_AUCTION : 0);
    }

    /// @notice Unpacks a header.
    function unpack(uint256 word) internal pure returns (Header memory) {
        return Header({
            cash: int104(uint104(word)),
            cashIndex: uint88(word >> 104),
            positionCount: uint8(word >> 192),
            marginMode: MarginMode(uint8(word >> 200)),
            collateralBitmap: uint32(word >> 208),
            health: Health(uint8(word >> 240)),
            inAuction: word & IN_AUCTION != 0
        });
    }

    /// @notice Whether a packed header tells of nothing but cash, in mode `PORTFOLIO` and healthy.
    function isPlain(uint256 word) internal pure returns (bool) {
        return word >> 192 == 0;
    }

    /// @notice Health and whether the account is for sale, in one.
    function status(Health health, bool inAuction) internal pure returns (AccountStatus) {
        if (!inAuction || health == Health.INSOLVENT) return AccountStatus(uint8(health));
        if (health == Health.LIQUIDATABLE) return AccountStatus.IN_AUCTION;
        return AccountStatus.RECOVERING;
    }

    /// @notice Reverts with `CashOverflow` unless the value fits the field of cash.
    function requireCash(uint256 account, int256 value) internal pure {
        if (value < type(int104).min || value > type(int104).max) {
            revert ILedger.CashOverflow(account, value);
        }
    }
}
