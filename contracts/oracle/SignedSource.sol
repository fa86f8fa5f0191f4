// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPriceSource} from "../interfaces/IPriceSource.sol";
import {ISignedReports} from "../interfaces/ISignedReports.sol";

/// @title Latest signed report of one feed
contract SignedSource is IPriceSource {
    ISignedReports public immutable REPORTS;

    /// @notice Name of the feed.
    bytes32 public immutable FEED;

    constructor(ISignedReports reports, bytes32 feed) {
        (REPORTS, FEED) = (reports, feed);
    }

    /// @inheritdoc IPriceSource
    function read()
        external
        view
        returns (uint256 price, uint256 confidence, uint256 timestamp)
    {
        (price, confidence, timestamp) = REPORTS.latestReport(FEED);
        if (price == 0) revert ISignedReports.NoReport(FEED);
    }
}
