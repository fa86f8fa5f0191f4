// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title Token of any decimals that anyone may mint
/// @notice For tests, demonstrations and testnets.
contract MockToken is ERC20 {
    uint8 private immutable _decimals;

    constructor(string memory name_, string memory symbol_, uint8 decimals_)
        ERC20(name_, symbol_)
    {
        _decimals = decimals_;
    }

    /// @notice Creates tokens out of nothing.
    function mint(address to, uint256 amountRaw) external {
        _mint(to, amountRaw);
    }

    /// @notice Makes tokens disappear from any balance, as a token that rebases downwards does.
    function burn(address from, uint256 amountRaw) external {
        _burn(from, amountRaw);
    }

    /// @inheritdoc ERC20
    function decimals() public view override returns (uint8) {
        return _decimals;
    }
}
