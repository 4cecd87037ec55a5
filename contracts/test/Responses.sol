// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ResponseFields} from "../src/interfaces/IInferenceLedger.sol";
import {Receipt} from "../src/interfaces/IReceipts.sol";
import {Deployment} from "./Deployment.sol";
import {Merkle} from "./Merkle.sol";

/// @notice A response with its token ids.
struct Response {
    ResponseFields fields;
    bytes promptIds;
    bytes outputIds;
}

/// @title A batch of three responses, and receipts for them
abstract contract Responses is Deployment {
    uint256 internal constant TARGET = 1; // index of the disputed response in its batch
    bytes32 internal constant SALT = keccak256("salt");

    Response internal response; // the one under dispute
    uint256 internal batchId;
    bytes32[] internal batchLeaves;

    function setUp() public virtual override {
        super.setUp();
        response = makeResponse(40, 30, 30);
        batchId = post(response, SALT);
    }

    // --- responses and batches

    function promptToken(uint256 i) internal pure returns (uint256) {
        return (5 * i + 1) % VOCABULARY;
    }

    function outputToken(uint256 j) internal pure returns (uint256) {
        return (7 * j + 3) % VOCABULARY;
    }

    function sequenceToken(Response memory r, uint256 position) internal pure returns (uint256) {
        uint256 length = r.fields.promptLength;
        return position < length ? promptToken(position) : outputToken(position - length);
    }

    function makeResponse(uint256 promptLength, uint256 outputLength, uint256 maxTokens)
        internal
        pure
        returns (Response memory r)
    {
        r.promptIds = new bytes(4 * promptLength);
        for (uint256 i = 0; i < promptLength; ++i) {
            r.promptIds[4 * i + 3] = bytes1(uint8(promptToken(i)));
        }
        r.outputIds = new bytes(4 * outputLength);
        for (uint256 j = 0; j < outputLength; ++j) {
            r.outputIds[4 * j + 3] = bytes1(uint8(outputToken(j)));
        }
        r.fields = ResponseFields({
            promptHash: keccak256(r.promptIds),
            outputHash: keccak256(r.outputIds),
            promptLength: promptLength,
            outputLength: outputLength,
            maxTokens: maxTokens,
            samplingHash: keccak256("greedy"),
            feeWei: 0.01 ether,
            auditRoot: 0
        });
    }

    function windows() internal view returns (uint256) {
        return (response.fields.promptLength + response.fields.outputLength - 1 + 31) / 32;
    }

    /// @dev A batch of three: the response at index 1 between two others.
    function post(Response memory r, bytes32 salt) internal returns (uint256 id) {
        if (stake.isPaused(provider)) resume();
        batchLeaves = leavesOf(r, salt);
        vm.prank(provider);
        id = ledger.postBatch(provider, Merkle.root(batchLeaves), salt, modelId, 3);
    }

    /// @dev After a lost response: the owner puts the bond and the lock back.
    function resume() internal {
        vm.warp(block.timestamp + 1);
        vm.startPrank(provider);
        stake.deposit{value: p.providerBond + p.lockPerResponse}();
        stake.resume();
        vm.stopPrank();
    }

    function leavesOf(Response memory r, bytes32 salt) internal view returns (bytes32[] memory leaves) {
        leaves = new bytes32[](3);
        leaves[0] = ledger.responseLeaf(provider, modelId, salt, 0, makeResponse(3, 4, 4).fields);
        leaves[1] = ledger.responseLeaf(provider, modelId, salt, 1, r.fields);
        leaves[2] = ledger.responseLeaf(provider, modelId, salt, 2, makeResponse(5, 6, 6).fields);
    }

    function batchPath() internal view returns (bytes32[] memory) {
        return Merkle.path(batchLeaves, TARGET);
    }

    /// @dev Disputes a response of this shape instead, in a batch of its own.
    function dispute(uint256 promptLength, uint256 outputLength) internal {
        response = makeResponse(promptLength, outputLength, outputLength);
        batchId = post(response, keccak256(abi.encode(promptLength, outputLength)));
    }

    function makeReceipt(Response memory r, bytes32 salt, uint256 index)
        internal
        view
        returns (Receipt memory)
    {
        return Receipt({
            provider: provider,
            modelId: modelId,
            batchSalt: salt,
            index: index,
            promptHash: r.fields.promptHash,
            outputHash: r.fields.outputHash,
            promptLength: r.fields.promptLength,
            outputLength: r.fields.outputLength,
            maxTokens: r.fields.maxTokens,
            samplingHash: r.fields.samplingHash,
            feeWei: r.fields.feeWei,
            auditRoot: r.fields.auditRoot,
            payer: requester,
            feeToken: address(0),
            issuedAt: uint64(block.timestamp),
            postingDeadline: uint64(block.timestamp) + p.postingWindow,
            signer: provider
        });
    }

    function sign(Receipt memory receipt, uint256 key) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, receipts.receiptDigest(receipt));
        return abi.encodePacked(r, s, v);
    }
}
