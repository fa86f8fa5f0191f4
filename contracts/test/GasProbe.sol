// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMarketData} from "../interfaces/IMarketData.sol";
import {FixedPoint} from "../math/FixedPoint.sol";
import {Svi} from "../math/Svi.sol";
import {Transcendental} from "../math/Transcendental.sol";

/// @title Execution gas of a view call, as a contract pays for it
/// @notice Meant for `eth_call`: each call starts cold, and no transaction's base cost is in it.
contract GasProbe {
    uint256 private constant YEAR = 365 days;

    /// @notice Calls `target` and measures; an error of the target is passed on.
    function measure(address target, bytes calldata call)
        external
        view
        returns (uint256 gasUsed, bytes memory result)
    {
        return _measure(target, call);
    }

    /// @notice The same of a second call, which finds everything warm.
    function measureAgain(address target, bytes calldata call)
        external
        view
        returns (uint256 gasUsed, bytes memory result)
    {
        _measure(target, call);
        return _measure(target, call);
    }

    /// @notice Implied volatility of a strike, from a stored slice.
    /// @param index Index price the forward is relative to.
    /// @return Per year, WAD.
    function volatility(
        IMarketData market,
        uint8 underlying,
        uint32 expiry,
        uint256 index,
        uint256 strike
    ) external view returns (uint256) {
        (uint256 forward,, uint256 svi,) = market.slice(underlying, expiry, index);
        int256 kX64 = Transcendental.lnRatioX64(strike, forward);
        uint256 variance = Svi.totalVariance(svi, kX64) * YEAR / (expiry - block.timestamp);
        return (FixedPoint.sqrt(variance << 64) * 1e18) >> 64;
    }

    function _measure(address target, bytes calldata call)
        private
        view
        returns (uint256 gasUsed, bytes memory result)
    {
        bytes memory data = call;
        uint256 before = gasleft();
        bool ok;
        (ok, result) = target.staticcall(data);
        gasUsed = before - gasleft();
        // Passes on the revert data of the target, whose length precedes it.
        assembly ("memory-safe") {
            if iszero(ok) { revert(add(result, 32), mload(result)) }
        }
    }
}
