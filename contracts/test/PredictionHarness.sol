// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {PredictiveModel} from "../PredictiveModel.sol";
import {PredictiveParameters} from "../types/Predictive.sol";
import {GlobalParameters} from "../types/Types.sol";
import {TryMany} from "./TryMany.sol";

/// @title All that a predictive model reads, so that one `eth_call` can bring it to any state
/// @notice Plays clock, parameters, estimator and authority of the model.
contract PredictionHarness is TryMany {
    struct PublicationCase {
        uint256[] words;
        uint256 leaving;
        uint256 places;
    }

    /// @param publications In their order, one ramp after the other.
    /// @param start Active time of the last publication.
    /// @param active Active time afterwards.
    /// @param cancelledAt Active time at which the last publication is taken back; 0 if it is not.
    struct PredictionCase {
        PredictiveParameters parameters;
        uint8[] basket;
        uint256[] deviations;
        uint256[] initialDeviations;
        int64[36] covariances;
        PublicationCase[] publications;
        uint256 rampSeconds;
        uint256 start;
        uint256 active;
        uint256 cancelledAt;
    }

    uint256 public activeTime;
    int64[36] private _covariances;
    uint8[] private _basket;
    uint32 private _rampSeconds;
    mapping(uint8 underlying => uint256[2]) private _deviations;

    /// @notice Brings a model deployed with this double to a state; meant for `eth_call`.
    function prepare(PredictiveModel model, PredictionCase calldata state) public {
        _basket = state.basket;
        _covariances = state.covariances;
        _rampSeconds = uint32(state.rampSeconds);
        for (uint256 i = 0; i < state.basket.length; ++i) {
            _deviations[state.basket[i]] = [state.deviations[i], state.initialDeviations[i]];
        }
        uint256 count = state.publications.length;
        activeTime = state.start - (count + 1) * state.rampSeconds;
        model.setParameters(state.parameters);
        for (uint256 i = 0; i < count; ++i) {
            activeTime = state.start - (count - 1 - i) * state.rampSeconds;
            PublicationCase calldata p = state.publications[i];
            model.publish(p.words, p.leaving, p.places);
        }
        if (state.cancelledAt != 0) {
            activeTime = state.cancelledAt;
            model.cancelPublication();
        }
        activeTime = state.active;
    }

    /// @notice Brings a model to a state and calls it once with each element of `calls`.
    function ask(PredictiveModel model, PredictionCase calldata state, bytes[] calldata calls)
        external
        returns (Outcome[] memory outcomes)
    {
        prepare(model, state);
        outcomes = new Outcome[](calls.length);
        for (uint256 i = 0; i < calls.length; ++i) {
            (outcomes[i].ok, outcomes[i].data) = address(model).staticcall(calls[i]);
        }
    }

    /// @notice As of `Parameters`.
    function globalParameters() external view returns (GlobalParameters memory p) {
        p.rampSeconds = _rampSeconds;
    }

    /// @notice As of `VolatilityEstimator`.
    function basket() external view returns (uint8[] memory) {
        return _basket;
    }

    /// @notice As of `VolatilityEstimator`.
    function covariances() external view returns (int64[36] memory) {
        return _covariances;
    }

    /// @notice As of `VolatilityEstimator`.
    function deviations(uint8[] calldata underlyings)
        external
        view
        returns (uint256[] memory current, uint256[] memory initial)
    {
        current = new uint256[](underlyings.length);
        initial = new uint256[](underlyings.length);
        for (uint256 i = 0; i < underlyings.length; ++i) {
            uint256[2] storage both = _deviations[underlyings[i]];
            (current[i], initial[i]) = (both[0], both[1]);
        }
    }

    /// @notice As of an `AccessManager` that lets everybody do everything.
    function canCall(address, address, bytes4) external pure returns (bool, uint32) {
        return (true, 0);
    }
}
