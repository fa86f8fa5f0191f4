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

    /// @notice Parameters common to all underlyings, in force now.
    /// @return Each with the unit its name says.
    function globalParameters() external view returns (GlobalParameters memory);

    /// @notice Scenarios, packed: 16 bytes each (pricePpm, volPpm, weight from, weight to, four
    /// bytes each, big-endian), in groups of equal `volPpm`. The bytes are the code of a data
    /// contract after a leading zero byte. The weight in force, Ppm, is
    /// `from ± ⌊|to − from| · progress / 1e18⌋`.
    /// @return pointer The data contract.
    /// @return progress How far the weights are on their way, WAD in [0, 1].
    function scenarioPointer() external view returns (address pointer, uint256 progress);

    /// @notice The same scenarios, decoded, with the weights in force.
    /// @return In the order of the packed ones.
    function scenarios() external view returns (Scenario[] memory);

    /// @notice Decorrelation weight per risk group, in force now.
    /// @return WAD in [0, 1], indexed by group; one means no offset between underlyings.
    function decorrelations() external view returns (uint64[8] memory);

    /// @notice Parameters of an underlying, in force now; all zero if it is not listed.
    /// @param underlying Underlying.
    /// @return Each with the unit its name says.
    function underlyingParameters(uint8 underlying)
        external
        view
        returns (UnderlyingParameters memory);

    /// @notice Scan range of an underlying, which follows volatility between its bounds.
    /// @param underlying Underlying.
    /// @return scanRange R_u: price move of one scan range, fraction, WAD; 0 if it is not listed.
    /// @return initialScanRange The range that initial margin is to be scaled to, at least R_u.
    function scanRanges(uint8 underlying)
        external
        view
        returns (uint256 scanRange, uint256 initialScanRange);

    /// @notice Whether instruments with this expiry may be traded on the underlying.
    /// @param underlying Underlying.
    /// @param expiry Expiry, seconds.
    /// @return True once it was listed.
    function isExpiryListed(uint8 underlying, uint32 expiry) external view returns (bool);

    /// @notice Parameters of a collateral asset, in force now; all zero if it is unknown.
    /// @param asset Collateral asset.
    /// @return Each with the unit its name says.
    function collateralParameters(uint8 asset) external view returns (CollateralParameters memory);

    /// @notice Interest on cash.
    /// @return Rates per year.
    function interestParameters() external view returns (InterestParameters memory);
}
