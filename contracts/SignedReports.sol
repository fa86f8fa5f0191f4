// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {
    SignatureChecker
} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

import {IOracleHub} from "./interfaces/IOracleHub.sol";
import {ISignedReports} from "./interfaces/ISignedReports.sol";
import {Ranges} from "./margin/Ranges.sol";
import {PriceReport, SurfaceReport} from "./types/Types.sol";

/// @title Reports that several signers vouch for
/// @notice Who the signers are is the governor's to say, through `AccessManager`; nobody can make
/// them sign.
contract SignedReports is ISignedReports, EIP712, AccessManaged {
    uint256 public constant MAX_SIGNERS = 16;

    bytes32 private constant PRICE_TYPE = keccak256(
        "PriceReport(bytes32 feed,uint96 price,uint96 confidence,uint40 timestamp)"
    );
    bytes32 private constant SURFACE_TYPE = keccak256(
        "SurfaceReport(uint8 underlying,uint32[] expiries,uint64[] forwardRatios,"
        "uint64[] discounts,uint256[] svis,uint40 timestamp)"
    );
    uint256 private constant ADDRESS_BYTES = 20;

    /// @dev One slot. Of the block only the low bits: should a report come exactly 2^24 blocks
    /// after the last of its feed, it waits for the next block.
    struct Latest {
        uint96 price;
        uint96 confidence;
        uint40 timestamp;
        uint24 blockBits;
    }

    mapping(bytes32 feed => Latest) private _latest;
    mapping(address signer => bool) private _isSigner;
    address[] private _signers;
    uint256 private _threshold;

    constructor(address authority) EIP712("Cross Margin Reports", "1") AccessManaged(authority) {}

    /// @inheritdoc ISignedReports
    function setSigners(address[] calldata signers_, uint256 threshold) external restricted {
        uint256 count = signers_.length;
        Ranges.requireIn("signers", count, 1, MAX_SIGNERS);
        if (2 * threshold <= count || threshold > count) {
            revert ThresholdOutOfRange(threshold, count);
        }
        (address[] memory oldSigners, uint256 oldThreshold) = (_signers, _threshold);
        for (uint256 i; i < oldSigners.length; ++i) delete _isSigner[oldSigners[i]];
        address previous = address(0);
        for (uint256 i; i < count; ++i) {
            if (signers_[i] <= previous) revert SignersNotAscending(signers_[i]);
            previous = signers_[i];
            _isSigner[previous] = true;
        }
        (_signers, _threshold) = (signers_, threshold);
        emit SignersSet(oldSigners, oldThreshold, signers_, threshold);
    }

    /// @inheritdoc ISignedReports
    function post(PriceReport[] calldata reports, bytes[][] calldata signatures)
        external
        returns (bool[] memory stored)
    {
        if (reports.length != signatures.length) revert IOracleHub.LengthMismatch();
        stored = new bool[](reports.length);
        for (uint256 i; i < reports.length; ++i) stored[i] = _post(reports[i], signatures[i]);
    }

    /// @inheritdoc ISignedReports
    function latestReport(bytes32 feed)
        external
        view
        returns (uint256 price, uint256 confidence, uint256 timestamp)
    {
        Latest memory latest = _latest[feed];
        return (latest.price, latest.confidence, latest.timestamp);
    }

    /// @inheritdoc ISignedReports
    function signers() external view returns (address[] memory, uint256) {
        return (_signers, _threshold);
    }

    /// @inheritdoc ISignedReports
    function requireSigned(bytes32 digest, bytes[] calldata signatures) public view {
        uint256 threshold = _threshold;
        if (threshold == 0 || signatures.length < threshold) revert InvalidSignatures(digest);
        address previous = address(0);
        for (uint256 i; i < signatures.length; ++i) {
            bytes calldata entry = signatures[i];
            if (entry.length < ADDRESS_BYTES) revert InvalidSignatures(digest);
            address signer = address(bytes20(entry));
            bool valid = signer > previous && _isSigner[signer]
                && SignatureChecker.isValidSignatureNowCalldata(
                    signer, digest, entry[ADDRESS_BYTES:]
                );
            if (!valid) revert InvalidSignatures(digest);
            previous = signer;
        }
    }

    /// @inheritdoc ISignedReports
    function priceDigest(PriceReport calldata report) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(PRICE_TYPE, report)));
    }

    /// @inheritdoc ISignedReports
    function surfaceDigest(SurfaceReport calldata report) external view returns (bytes32) {
        // Packed encoding fills the elements of arrays up to words, as EIP-712 asks.
        return _hashTypedDataV4(
            keccak256(
                abi.encode(
                    SURFACE_TYPE,
                    report.underlying,
                    keccak256(abi.encodePacked(report.expiries)),
                    keccak256(abi.encodePacked(report.forwardRatios)),
                    keccak256(abi.encodePacked(report.discounts)),
                    keccak256(abi.encodePacked(report.svis)),
                    report.timestamp
                )
            )
        );
    }

    /// @return Whether the report became the latest of its feed.
    function _post(PriceReport calldata report, bytes[] calldata signatures)
        private
        returns (bool)
    {
        requireSigned(priceDigest(report), signatures);
        if (report.price == 0 || report.confidence >= report.price) {
            revert InvalidReport(report.feed);
        }
        if (report.timestamp > block.timestamp) {
            revert ReportAhead(report.feed, report.timestamp, block.timestamp);
        }
        Latest memory latest = _latest[report.feed];
        uint24 blockBits = uint24(block.number);
        bool isSecond = latest.price != 0 && latest.blockBits == blockBits;
        if (report.timestamp <= latest.timestamp || isSecond) return false;
        _latest[report.feed] =
            Latest(report.price, report.confidence, report.timestamp, blockBits);
        emit PriceReported(report.feed, report.price, report.confidence, report.timestamp);
        return true;
    }
}
