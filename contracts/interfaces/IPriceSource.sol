// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title One source of one price
/// @notice Assumes nothing of whoever reads it: age, sanity and agreement with other sources are
/// the reader's to judge. Reverts if there is no price.
interface IPriceSource {
    /// @notice The latest price of the source.
    /// @return price USD per unit, or a rate; WAD, above zero.
    /// @return confidence Half-width of the interval the source vouches for, WAD.
    /// @return timestamp When the price was seen, seconds.
    function read()
        external
        view
        returns (uint256 price, uint256 confidence, uint256 timestamp);
}
