// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Assessment} from "../types/Types.sol";

/// @title Who may act
/// @notice Specification, section 11.
library Admission {
    /// @notice Whether an action was strictly risk-reducing: the margin surplus did not fall and
    /// the requirement did not rise.
    function isNoRiskier(Assessment memory afterwards, Assessment memory before)
        internal
        pure
        returns (bool)
    {
        return surplus(afterwards) >= surplus(before)
            && afterwards.maintenanceMargin <= before.maintenanceMargin;
    }

    /// @notice E − MM.
    function surplus(Assessment memory assessment) internal pure returns (int256) {
        return assessment.equity - int256(assessment.maintenanceMargin);
    }
}
