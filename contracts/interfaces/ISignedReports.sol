// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {PriceReport, SurfaceReport} from "../types/Types.sol";

/// @title Reports that several signers vouch for
/// @notice A report is valid if at least `threshold` of the signers have signed its EIP-712 digest.
/// A signature is the signer's address, 20 bytes, followed by what it signed with: 65 bytes of
/// ECDSA, or whatever its contract accepts by ERC-1271. Assumes that fewer than `threshold` of the
/// signers err together; the threshold is more than half of them, so that two reports that
/// contradict each other need a signer who signed both.
interface ISignedReports {
    /// @notice Too few signatures, one of an unknown signer, one that does not hold, or signers not
    /// in ascending order.
    error InvalidSignatures(bytes32 digest);

    /// @notice A price of zero, or a confidence that leaves no price above zero.
    error InvalidReport(bytes32 feed);

    /// @notice A report of the future.
    error ReportAhead(bytes32 feed, uint256 timestamp, uint256 blockTimestamp);

    /// @notice Nothing was ever reported.
    error NoReport(bytes32 feed);

    /// @notice Signers are given in ascending order, each once, none of them zero.
    error SignersNotAscending(address signer);

    /// @notice The threshold is at most half of the signers, or more than there are.
    error ThresholdOutOfRange(uint256 threshold, uint256 signers);

    /// @notice A report became the latest of its feed.
    /// @param feed Name of the feed.
    /// @param price WAD.
    /// @param confidence Half-width of the interval, WAD.
    /// @param timestamp When it was seen, seconds.
    event PriceReported(
        bytes32 indexed feed, uint256 price, uint256 confidence, uint256 timestamp
    );

    /// @notice The signers were replaced.
    /// @param oldSigners Ascending.
    /// @param oldThreshold Signatures a report needed.
    /// @param newSigners Ascending.
    /// @param newThreshold Signatures a report needs.
    event SignersSet(
        address[] oldSigners, uint256 oldThreshold, address[] newSigners, uint256 newThreshold
    );

    /// @notice Stores valid reports, newest only and one of each feed in a block; anyone may call.
    /// @dev Reports that are valid but not newer than what is stored, or the second of their feed
    /// in this block, are left out without an error: that is what losing a race looks like.
    /// @param reports Reports of any feeds.
    /// @param signatures Signatures of each report, in ascending order of signers.
    /// @return stored Whether each report was stored.
    function post(PriceReport[] calldata reports, bytes[][] calldata signatures)
        external
        returns (bool[] memory stored);

    /// @notice Replaces all signers. Reports stored before remain.
    /// @param signers 1 to 16 addresses, ascending.
    /// @param threshold Signatures a report needs: more than half of the signers.
    function setSigners(address[] calldata signers, uint256 threshold) external;

    /// @notice Reverts with `InvalidSignatures` unless enough signers have signed.
    /// @param digest EIP-712 digest of a report.
    /// @param signatures In ascending order of signers.
    function requireSigned(bytes32 digest, bytes[] calldata signatures) external view;

    /// @notice What signers of a price sign.
    /// @param report The price.
    /// @return EIP-712 digest.
    function priceDigest(PriceReport calldata report) external view returns (bytes32);

    /// @notice What signers of a surface sign.
    /// @param report The slices.
    /// @return EIP-712 digest.
    function surfaceDigest(SurfaceReport calldata report) external view returns (bytes32);

    /// @notice The latest report of a feed.
    /// @param feed Name of the feed.
    /// @return price WAD; zero if nothing was ever reported.
    /// @return confidence Half-width of the interval, WAD.
    /// @return timestamp When it was seen, seconds.
    function latestReport(bytes32 feed)
        external
        view
        returns (uint256 price, uint256 confidence, uint256 timestamp);

    /// @notice Who may sign, and how many of them must.
    /// @return signers Ascending.
    /// @return threshold Signatures a report needs.
    function signers() external view returns (address[] memory signers, uint256 threshold);
}
