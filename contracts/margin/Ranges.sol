// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IParameters} from "../interfaces/IParameters.sol";

/// @title Ranges of what governance chooses (specification, section 13)
library Ranges {
    /// @notice Reverts with `ParameterOutOfRange` unless min <= value <= max.
    function requireIn(bytes32 name, uint256 value, uint256 min, uint256 max) internal pure {
        if (value < min || value > max) {
            revert IParameters.ParameterOutOfRange(name, value, min, max);
        }
    }
}
