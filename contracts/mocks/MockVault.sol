// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC4626} from "@openzeppelin/contracts/token/ERC20/extensions/ERC4626.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @title ERC-4626 vault whose rate anyone can raise by a donation of its token
contract MockVault is ERC4626 {
    uint8 private immutable _offset;

    /// @param offset Decimals of a share beyond those of the asset.
    constructor(IERC20 asset_, uint8 offset) ERC20("Mock Vault", "VAULT") ERC4626(asset_) {
        _offset = offset;
    }

    function _decimalsOffset() internal view override returns (uint8) {
        return _offset;
    }
}
