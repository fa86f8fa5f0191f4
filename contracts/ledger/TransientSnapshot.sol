// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Account, Accounts} from "./Accounts.sol";
import {Bitmap} from "./Bitmap.sol";

/// @title Accounts as they were before an entry point or batch changed them
/// @notice Kept in transient storage and read only if an account is not healthy afterwards. Each
/// account takes a head word, which is its header and flags, then its positions and balances.
library TransientSnapshot {
    uint256 private constant LIST = uint256(keccak256("TransientSnapshot.accounts"));
    uint256 private constant POSITIONS_OFFSET = 1;
    uint256 private constant BALANCES_OFFSET = 129;

    // Headers end with bit 248.
    uint256 private constant HEADER_MASK = 2 ** 249 - 1;
    uint256 internal constant SAVED = 1 << 255;
    uint256 internal constant MUST_CHECK = 1 << 254;
    uint256 internal constant WITHDREW = 1 << 253;
    uint256 internal constant PAID = 1 << 252;
    uint256 internal constant BID = 1 << 251;
    uint256 internal constant CHANGED_MODE = 1 << 250;

    /// @notice Flags of an account; zero if it has not been saved.
    function flags(uint256 account) internal view returns (uint256) {
        return _load(_base(account)) & ~HEADER_MASK;
    }

    /// @notice Adds flags to a saved account.
    function addFlags(uint256 account, uint256 flags_) internal {
        uint256 base = _base(account);
        _store(base, _load(base) | flags_);
    }

    /// @notice Forgets what an account was; if it is saved again, it is as it has become.
    function forget(uint256 account) internal {
        _store(_base(account), 0);
    }

    /// @notice Saves an account and puts it on the list.
    function save(Account memory account) internal {
        uint256 base = _base(account.id);
        _store(base, Accounts.pack(account.header) | SAVED);
        for (uint256 i = 0; i < account.positions.length; ++i) {
            _store(base + POSITIONS_OFFSET + i, account.positions[i]);
        }
        for (uint256 i = 0; i < account.balancesRaw.length; ++i) {
            _store(base + BALANCES_OFFSET + i, account.balancesRaw[i]);
        }
        uint256 count = _load(LIST) + 1;
        _store(LIST, count);
        _store(LIST + count, account.id);
    }

    /// @notice A saved account.
    function read(uint256 id) internal view returns (Account memory account) {
        uint256 base = _base(id);
        account.id = id;
        account.header = Accounts.unpack(_load(base) & HEADER_MASK);
        account.positions = new uint256[](account.header.positionCount);
        for (uint256 i = 0; i < account.positions.length; ++i) {
            account.positions[i] = _load(base + POSITIONS_OFFSET + i);
        }
        account.balancesRaw = Bitmap.members(account.header.collateralBitmap);
        for (uint256 i = 0; i < account.balancesRaw.length; ++i) {
            account.balancesRaw[i] = _load(base + BALANCES_OFFSET + i);
        }
    }

    /// @notice Accounts saved, in that order.
    function list() internal view returns (uint256[] memory accounts) {
        accounts = new uint256[](_load(LIST));
        for (uint256 i = 0; i < accounts.length; ++i) {
            accounts[i] = _load(LIST + 1 + i);
        }
    }

    /// @notice Forgets all accounts: transient storage outlives the entry point.
    function clear(uint256[] memory accounts) internal {
        _store(LIST, 0);
        for (uint256 i = 0; i < accounts.length; ++i) {
            _store(_base(accounts[i]), 0);
        }
    }

    function _base(uint256 account) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(LIST, account)));
    }

    function _load(uint256 slot) private view returns (uint256 value) {
        assembly ("memory-safe") {
            value := tload(slot)
        }
    }

    function _store(uint256 slot, uint256 value) private {
        assembly ("memory-safe") {
            tstore(slot, value)
        }
    }
}
