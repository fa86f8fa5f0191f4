// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPyth} from "@pythnetwork/pyth-sdk-solidity/IPyth.sol";
import {PythStructs} from "@pythnetwork/pyth-sdk-solidity/PythStructs.sol";

import {IPriceSource} from "../interfaces/IPriceSource.sol";

/// @title Price of a Pyth feed as it was last pushed
/// @notice Whoever wants a newer one pays Pyth's update fee to Pyth; nothing is paid here.
contract PythSource is IPriceSource {
    int256 private constant WAD_EXPONENT = 18;

    IPyth public immutable PYTH;

    /// @notice Id of the feed.
    bytes32 public immutable ID;

    /// @notice The price is none, or its exponent outside [-18, 18].
    error InvalidPythPrice(int64 price, int32 exponent);

    constructor(IPyth pyth, bytes32 id) {
        (PYTH, ID) = (pyth, id);
    }

    /// @inheritdoc IPriceSource
    function read()
        external
        view
        returns (uint256 price, uint256 confidence, uint256 timestamp)
    {
        PythStructs.Price memory latest = PYTH.getPriceUnsafe(ID);
        bool isScalable = -WAD_EXPONENT <= latest.expo && latest.expo <= WAD_EXPONENT;
        if (latest.price <= 0 || !isScalable) revert InvalidPythPrice(latest.price, latest.expo);
        uint256 unit = 10 ** uint256(WAD_EXPONENT + latest.expo);
        price = uint256(int256(latest.price)) * unit;
        confidence = latest.conf * unit;
        timestamp = latest.publishTime;
    }
}
