// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {
    CollateralParameters,
    GlobalParameters,
    InterestParameters,
    Scenario,
    UnderlyingParameters
} from "../types/Types.sol";

/// @title Parameters set by governance
/// @notice Values and ranges are in the specification, section 13.
interface IParameters {
    /// @notice A value is outside the range that governance may choose from.
    error ParameterOutOfRange(bytes32 name, uint256 value, uint256 min, uint256 max);

    /// @notice Parameters common to all underlyings.
    function globalParameters() external view returns (GlobalParameters memory);

    /// @notice Scenarios, packed: 12 bytes each (pricePpm, volPpm, weightPpm, big-endian), in
    /// groups of equal `volPpm`. The bytes are the code of a data contract after a leading zero byte.
    function scenarioPointer() external view returns (address);

    /// @notice The same scenarios, decoded.
    function scenarios() external view returns (Scenario[] memory);

    /// @notice Decorrelation weight per risk group.
    function decorrelations() external view returns (uint64[8] memory);

    /// @notice Parameters of an underlying; all zero if it is not listed.
    function underlyingParameters(uint8 underlying)
        external
        view
        returns (UnderlyingParameters memory);

    /// @notice Whether instruments with this expiry may be traded on the underlying.
    function isExpiryListed(uint8 underlying, uint32 expiry) external view returns (bool);

    /// @notice Parameters of a collateral asset; all zero if it is unknown.
    function collateralParameters(uint8 asset) external view returns (CollateralParameters memory);

    /// @notice Interest on cash.
    function interestParameters() external view returns (InterestParameters memory);
}
