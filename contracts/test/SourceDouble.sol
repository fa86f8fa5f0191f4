// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPriceSource} from "../interfaces/IPriceSource.sol";

/// @title A price source that says, or fails, as a test wants
contract SourceDouble is IPriceSource {
    /// @notice How `read` ends. `REVERT`: with an error; `SHORT`: with two words instead of three;
    /// `BURN`: when all gas is spent; `BOMB`: as an error of 64 KB; `LONG`: with 64 KB that begin
    /// as they should; `CURRENT`: with the time of the block instead of the stored one;
    /// `HEAVY`: as it should, but at a price in gas.
    enum Mode {
        ANSWER,
        REVERT,
        SHORT,
        BURN,
        BOMB,
        LONG,
        CURRENT,
        HEAVY
    }

    uint256 private constant BOMB_BYTES = 65_536;
    uint256 private constant HEAVY_GAS = 150_000;

    uint256 public price;
    uint256 public confidence;
    uint256 public timestamp;
    Mode public mode;

    error NoPrice();

    /// @notice Sets what `read` answers.
    function set(uint256 price_, uint256 confidence_, uint256 timestamp_) external {
        (price, confidence, timestamp) = (price_, confidence_, timestamp_);
    }

    /// @notice Sets how `read` ends.
    function setMode(Mode mode_) external {
        mode = mode_;
    }

    /// @inheritdoc IPriceSource
    function read() external view returns (uint256, uint256, uint256) {
        if (mode == Mode.REVERT) revert NoPrice();
        if (mode == Mode.SHORT) _end({succeeds: true, size: 64});
        if (mode == Mode.BURN) _burn();
        if (mode == Mode.BOMB) _end({succeeds: false, size: BOMB_BYTES});
        if (mode == Mode.HEAVY) _work();
        if (mode == Mode.LONG) _end({succeeds: true, size: BOMB_BYTES});
        return (price, confidence, mode == Mode.CURRENT ? block.timestamp : timestamp);
    }

    function _end(bool succeeds, uint256 size) private view {
        (uint256 p, uint256 c, uint256 t) = (price, confidence, timestamp);
        // The call ends here: no memory is used after this.
        assembly ("memory-safe") {
            mstore(0, p)
            mstore(32, c)
            mstore(64, t)
            if succeeds { return(0, size) }
            revert(0, size)
        }
    }

    function _work() private view {
        uint256 atStart = gasleft();
        while (atStart - gasleft() < HEAVY_GAS) {}
    }

    function _burn() private pure {
        // An invalid instruction takes all the gas that is left.
        assembly ("memory-safe") {
            invalid()
        }
    }
}
