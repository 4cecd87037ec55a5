// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ResponseFields} from "../interfaces/IInferenceLedger.sol";

/// @title Leaves of the protocol's five Merkle trees
/// @notice Every leaf is hashed twice, so that no inner node (keccak of 64 bytes) can pass for a leaf. It contains its
///         own position, so that one hash names a response wherever it is shown; the trees bind it too.
library Leaves {
    bytes32 internal constant RESPONSE_TYPEHASH = keccak256(
        "Response(uint256 chainId,address ledger,address provider,bytes32 modelId,bytes32 batchSalt,uint256 index,bytes32 promptHash,bytes32 outputHash,uint256 promptLength,uint256 outputLength,uint256 maxTokens,bytes32 samplingHash,uint256 feeWei,bytes32 auditRoot)"
    );

    /// @notice Leaf of a response in a batch of `ledger` on this chain.
    function response(
        address ledger,
        address provider,
        bytes32 modelId,
        bytes32 batchSalt,
        uint256 index,
        ResponseFields memory fields
    ) internal view returns (bytes32) {
        return _twice(
            // Static values only, so encoding in two halves gives the same bytes (and fits the stack).
            bytes.concat(
                abi.encode(RESPONSE_TYPEHASH, block.chainid, ledger, provider, modelId, batchSalt, index),
                abi.encode(fields)
            )
        );
    }

    /// @notice Leaf of a step key in a model's `stepKeysRoot`: all that the contracts know of a step.
    function stepKey(uint256 step, uint256 kind, bytes32 keyDigest) internal pure returns (bytes32) {
        return _twice(abi.encode(step, kind, keyDigest));
    }

    /// @notice Leaf of a window in its stream's root: (x, y) is the running sum of the window commitments of the window's
    ///         chunk, up to and with it.
    // A boundary has hundreds of these, so they are hashed in place and leave no memory behind.
    // slither-disable-next-line assembly
    function window(uint256 place, uint256 x, uint256 y) internal pure returns (bytes32 leaf) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, place)
            mstore(add(free, 0x20), x)
            mstore(add(free, 0x40), y)
            mstore(0x00, keccak256(free, 0x60))
            leaf := keccak256(0x00, 0x20)
        }
    }

    /// @notice Leaf `place` in a response's `auditRoot`: the tree (`MerklePath`) over what a private model's response commits to.
    ///         Places 0 .. stepCount are the boundaries, whose `hash` is that of their stream roots (`Boundary.hash`); place
    ///         stepCount + 1, the last, is the stream of chosen logits, and `hash` that of its one root.
    function boundary(uint256 place, bytes32 hash) internal pure returns (bytes32) {
        return _twice(abi.encode(place, hash));
    }

    /// @notice Leaf of a token's commitments in a model's `embeddingRowsRoot`.
    function tokenRow(uint256 tokenId, uint256[2] memory embedding, uint256[2] memory head)
        internal
        pure
        returns (bytes32)
    {
        return _twice(abi.encode(tokenId, embedding, head));
    }

    function _twice(bytes memory encoded) private pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(encoded)));
    }
}
