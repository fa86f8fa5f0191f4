// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPredictiveModel} from "../interfaces/IPredictiveModel.sol";
import {
    Exposure,
    PredictiveParameters,
    PredictiveTerms,
    Publication
} from "../types/Predictive.sol";

/// @title A predictive model that says what it is told
/// @notice Covers the underlyings it was told to, and none at first. Of what is not covered it says
/// what the model says; beside that, what it was told.
contract PredictiveDouble is IPredictiveModel {
    struct Answers {
        uint256 floorWeight;
        uint256 parametricWeight;
        uint256 shortfall;
        uint256 parametric;
    }

    struct Deviations {
        bool isCovered;
        uint256 deviation;
        uint256 initialDeviation;
    }

    Answers private _answers;
    mapping(uint256 underlying => Deviations) private _deviations;

    /// @notice The double has no such function.
    error NotDoubled();

    /// @notice Sets the weights, and what `measure` answers.
    function setAnswers(Answers calldata answers) external {
        _answers = answers;
    }

    /// @notice Covers an underlying or, with deviations above zero, one of two lists does.
    function setDeviations(uint8 underlying, Deviations calldata deviations) external {
        _deviations[underlying] = deviations;
    }

    /// @inheritdoc IPredictiveModel
    function terms(uint256 underlyings) external view returns (PredictiveTerms memory result) {
        result.floorWeight = _answers.floorWeight;
        result.parametricWeight = _answers.parametricWeight;
        uint256[] memory deviations = new uint256[](256);
        uint256[] memory initialDeviations = new uint256[](256);
        uint256 count;
        for (uint256 u = 0; u < 256; ++u) {
            if (underlyings >> u & 1 == 0) continue;
            if (!_deviations[u].isCovered) result.uncovered |= 1 << u;
            deviations[count] = _deviations[u].deviation;
            initialDeviations[count++] = _deviations[u].initialDeviation;
        }
        // Shortening an array in memory leaves it valid.
        assembly ("memory-safe") {
            mstore(deviations, count)
            mstore(initialDeviations, count)
        }
        (result.deviations, result.initialDeviations) = (deviations, initialDeviations);
    }

    /// @inheritdoc IPredictiveModel
    function measure(Exposure[] calldata exposures)
        external
        view
        returns (uint256 shortfall, uint256 parametric)
    {
        (shortfall, parametric) = (_answers.shortfall, _answers.parametric);
        for (uint256 i = 0; i < exposures.length; ++i) {
            shortfall += exposures[i].scenarioLoss + exposures[i].slack;
            parametric += exposures[i].scenarioLoss + exposures[i].slack;
        }
    }

    /// @dev The hint itself, so that a test sees that it arrived.
    /// @inheritdoc IPredictiveModel
    function shortfallAt(Exposure[] calldata exposures, uint256 hint)
        external
        pure
        returns (uint256)
    {
        return hint + exposures.length;
    }

    /// @dev The amount itself, so that a test sees that it arrived.
    /// @inheritdoc IPredictiveModel
    function exceedances(Exposure[] calldata exposures, uint256 amount)
        external
        pure
        returns (uint256 count, uint256 limit)
    {
        return (exposures.length, amount);
    }

    /// @inheritdoc IPredictiveModel
    function publish(uint256[] calldata, uint256, uint256) external pure {
        revert NotDoubled();
    }

    /// @inheritdoc IPredictiveModel
    function cancelPublication() external pure {
        revert NotDoubled();
    }

    /// @inheritdoc IPredictiveModel
    function setParameters(PredictiveParameters calldata) external pure {
        revert NotDoubled();
    }

    /// @inheritdoc IPredictiveModel
    function losses(Exposure[] calldata) external pure returns (uint256[] memory) {
        revert NotDoubled();
    }

    /// @inheritdoc IPredictiveModel
    function vectors(uint256, uint256) external pure returns (uint256[] memory) {
        revert NotDoubled();
    }

    /// @inheritdoc IPredictiveModel
    function publication() external pure returns (Publication memory) {
        revert NotDoubled();
    }

    /// @inheritdoc IPredictiveModel
    function parameters() external pure returns (PredictiveParameters memory) {
        revert NotDoubled();
    }

    /// @inheritdoc IPredictiveModel
    function target() external pure returns (PredictiveParameters memory) {
        revert NotDoubled();
    }
}
