// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC165} from "@openzeppelin/contracts/utils/introspection/ERC165.sol";

import {Batch, IInferenceLedger, ResponseFields, ResponseStatus} from "../interfaces/IInferenceLedger.sol";
import {MerklePath} from "../libraries/MerklePath.sol";
import {IProofVerifier} from "./IProofVerifier.sol";

/// @param batchId batch of the response
/// @param index its place there
/// @param fields what its leaf commits to
/// @param path Merkle path of the leaf
struct ResponseEvidence {
    uint256 batchId;
    uint256 index;
    ResponseFields fields;
    bytes32[] path;
}

/// @title Final responses behind ERC-8274: this model answered that prompt like this, and nobody could show otherwise
/// @notice metadata = abi.encode(bytes32 modelId)
///         proof = abi.encode(ResponseEvidence)
///         inputHash = keccak256 of the prompt's token ids, outputHash = keccak256 of the output's, each id 4 bytes big-endian
///         The trust is that of an optimistic system: it holds if one honest challenger re-ran the response in time.
contract ResponseProofVerifier is IProofVerifier, ERC165 {
    IInferenceLedger public immutable ledger;

    constructor(IInferenceLedger newLedger) {
        ledger = newLedger;
    }

    /// @inheritdoc IProofVerifier
    /// @dev False for what is not final, or not this; reverts for bytes that are no such encoding, and for unknown batches.
    function verify(bytes32 inputHash, bytes32 outputHash, bytes calldata metadata, bytes calldata proof)
        external
        view
        returns (bool)
    {
        bytes32 modelId = abi.decode(metadata, (bytes32));
        // Through a call of its own, so that the evidence is read from calldata.
        return this.proves(modelId, inputHash, outputHash, abi.decode(proof, (ResponseEvidence)));
    }

    /// @notice `verify`, with everything named.
    function proves(
        bytes32 modelId,
        bytes32 inputHash,
        bytes32 outputHash,
        ResponseEvidence calldata evidence
    ) external view returns (bool) {
        Batch memory posted = ledger.batch(evidence.batchId);
        if (posted.modelId != modelId) return false;
        if (evidence.fields.promptHash != inputHash || evidence.fields.outputHash != outputHash) {
            return false;
        }
        if (ledger.responseStatus(evidence.batchId, evidence.index) != ResponseStatus.Final) return false;
        bytes32 leaf = ledger.responseLeaf(
            posted.provider, posted.modelId, posted.salt, evidence.index, evidence.fields
        );
        return MerklePath.leads(evidence.path, posted.root, leaf, evidence.index, posted.count);
    }

    /// @inheritdoc IProofVerifier
    function proofProfile() external view returns (bytes32) {
        return keccak256(abi.encodePacked(proofSystem(), keccak256(abi.encode(block.chainid, ledger))));
    }

    /// @inheritdoc IProofVerifier
    function proofSystem() public pure returns (string memory) {
        return "op/gainsay";
    }

    /// @inheritdoc ERC165
    function supportsInterface(bytes4 interfaceId) public view override returns (bool) {
        return interfaceId == type(IProofVerifier).interfaceId || super.supportsInterface(interfaceId);
    }
}
