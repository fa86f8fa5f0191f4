// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title Contract wallet with one key
/// @notice Signs by ERC-1271 what its key has signed, and does what its key says.
contract Wallet is IERC1271 {
    address public immutable key;

    /// @notice Only the key may command the wallet.
    error NotKey(address caller);

    constructor(address key_) {
        key = key_;
    }

    /// @notice Makes a call as the wallet.
    function execute(address target, bytes calldata data) external returns (bytes memory) {
        if (msg.sender != key) revert NotKey(msg.sender);
        return Address.functionCall(target, data);
    }

    /// @inheritdoc IERC1271
    function isValidSignature(bytes32 hash, bytes calldata signature)
        external
        view
        returns (bytes4)
    {
        (address recovered, ECDSA.RecoverError error,) = ECDSA.tryRecover(hash, signature);
        bool valid = error == ECDSA.RecoverError.NoError && recovered == key;
        return valid ? IERC1271.isValidSignature.selector : bytes4(0xffffffff);
    }
}
