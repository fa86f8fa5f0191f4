// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SurfaceReport} from "../types/Types.sol";

/// @title What a reader of signed reports other than prices needs
/// @notice Assumes fewer than the threshold of signers are dishonest.
interface ISignedReports {
    /// @notice Reverts unless enough signers vouch for a digest.
    /// @param digest EIP-712 digest.
    /// @param signatures In ascending order of signers; see `SignedReports`.
    function requireSigned(bytes32 digest, bytes[] calldata signatures) external view;

    /// @notice EIP-712 digest of a surface report under the domain of the reports.
    /// @param report The report.
    /// @return Digest that signers sign.
    function surfaceDigest(SurfaceReport calldata report) external view returns (bytes32);
}
