// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {
    AggregatorV3Interface
} from "@chainlink/contracts/src/v0.8/interfaces/AggregatorV3Interface.sol";

/// @title Chainlink feed, of a price or of a sequencer, that says what anyone tells it
/// @notice Honours the whole interface. Rounds may come in any order, and with any values: the
/// latest is the one set last. Chainlink's own mock ties some of them together and invents rounds
/// that never were.
contract MockAggregator is AggregatorV3Interface {
    struct Round {
        int256 answer;
        uint256 startedAt;
        uint256 updatedAt;
        uint80 answeredInRound;
        bool exists;
    }

    uint8 public decimals;
    string public description;
    uint80 private _latest;
    mapping(uint80 round => Round) private _rounds;

    event AnswerUpdated(int256 indexed current, uint256 indexed roundId, uint256 updatedAt);

    constructor(uint8 decimals_, string memory description_) {
        (decimals, description) = (decimals_, description_);
    }

    /// @notice Sets a round, which becomes the latest.
    function setRound(
        uint80 roundId,
        int256 answer,
        uint256 startedAt,
        uint256 updatedAt,
        uint80 answeredInRound
    ) external {
        _rounds[roundId] = Round(answer, startedAt, updatedAt, answeredInRound, true);
        _latest = roundId;
        emit AnswerUpdated(answer, roundId, updatedAt);
    }

    /// @notice Sets the round after the latest, started and updated now.
    function setAnswer(int256 answer) external {
        uint80 roundId = ++_latest;
        _rounds[roundId] = Round(answer, block.timestamp, block.timestamp, roundId, true);
        emit AnswerUpdated(answer, roundId, block.timestamp);
    }

    /// @notice Changes the decimals, which no true feed ever does.
    function setDecimals(uint8 decimals_) external {
        decimals = decimals_;
    }

    /// @inheritdoc AggregatorV3Interface
    function version() external pure returns (uint256) {
        return 1;
    }

    /// @inheritdoc AggregatorV3Interface
    function latestRoundData()
        external
        view
        returns (uint80, int256, uint256, uint256, uint80)
    {
        return getRoundData(_latest);
    }

    /// @inheritdoc AggregatorV3Interface
    function getRoundData(uint80 roundId)
        public
        view
        returns (uint80, int256, uint256, uint256, uint80)
    {
        Round memory round = _rounds[roundId];
        // solhint-disable-next-line gas-custom-errors
        require(round.exists, "No data present"); // the words that the interface asks for
        return (roundId, round.answer, round.startedAt, round.updatedAt, round.answeredInRound);
    }
}
