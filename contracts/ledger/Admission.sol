// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Assessment} from "../types/Types.sol";
import {Account, Header} from "./Accounts.sol";

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

    /// @notice Whether an account has cash and nothing else: it is healthy, whatever prices are.
    function isCashAlone(Account memory account) internal pure returns (bool) {
        Header memory header = account.header;
        return header.cash >= 0 && header.positionCount == 0 && header.collateralBitmap == 0;
    }

    /// @notice E − MM.
    function surplus(Assessment memory assessment) internal pure returns (int256) {
        return assessment.equity - int256(assessment.maintenanceMargin);
    }
}
