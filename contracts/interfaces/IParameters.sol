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

    /// @notice A value that open accounts rely on cannot change any more.
    error FixedOnceListed(bytes32 name, uint256 current, uint256 proposed);

    /// @notice All places for expiries ahead are taken.
    error TooManyExpiries(uint8 underlying, uint256 max);

    /// @notice Parameters common to all underlyings.
    /// @return Each with the unit its name says.
    function globalParameters() external view returns (GlobalParameters memory);

    /// @notice Scenarios, packed: 12 bytes each (pricePpm, volPpm, weightPpm, big-endian), in
    /// groups of equal `volPpm`. The bytes are the code of a data contract after a leading zero
    /// byte.
    /// @return The data contract.
    function scenarioPointer() external view returns (address);

    /// @notice The same scenarios, decoded.
    /// @return In the order of the packed ones.
    function scenarios() external view returns (Scenario[] memory);

    /// @notice Decorrelation weight per risk group.
    /// @return WAD in [0, 1], indexed by group; one means no offset between underlyings.
    function decorrelations() external view returns (uint64[8] memory);

    /// @notice Parameters of an underlying; all zero if it is not listed.
    /// @param underlying Underlying.
    /// @return Each with the unit its name says.
    function underlyingParameters(uint8 underlying)
        external
        view
        returns (UnderlyingParameters memory);

    /// @notice Whether instruments with this expiry may be traded on the underlying.
    /// @param underlying Underlying.
    /// @param expiry Expiry, seconds.
    /// @return True once it was listed.
    function isExpiryListed(uint8 underlying, uint32 expiry) external view returns (bool);

    /// @notice Parameters of a collateral asset; all zero if it is unknown.
    /// @param asset Collateral asset.
    /// @return Each with the unit its name says.
    function collateralParameters(uint8 asset) external view returns (CollateralParameters memory);

    /// @notice Interest on cash.
    /// @return Rates per year.
    function interestParameters() external view returns (InterestParameters memory);
}
