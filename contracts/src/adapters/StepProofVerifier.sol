// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC165} from "@openzeppelin/contracts/utils/introspection/ERC165.sol";

import {IModelRegistry, ModelSpec, StepKind} from "../interfaces/IModelRegistry.sol";
import {Boundary} from "../libraries/Boundary.sol";
import {Leaves} from "../libraries/Leaves.sol";
import {MerklePath} from "../libraries/MerklePath.sol";
import {VerifierCall} from "../libraries/VerifierCall.sol";
import {IProofVerifier} from "./IProofVerifier.sol";

/// @param key step key
/// @param keyPath Merkle path of the key in the model's `stepKeysRoot`
/// @param inputs public inputs as in `ILayerVerifier`; the last two words are the window that the step writes
/// @param proof the step proof
struct StepEvidence {
    bytes key;
    bytes32[] keyPath;
    uint256[] inputs;
    bytes proof;
}

/// @title Step proofs behind ERC-8274: step `s` of a registered model turns these committed windows into that one
/// @notice metadata = abi.encode(bytes32 modelId, uint256 step)
///         proof = abi.encode(StepEvidence)
///         inputHash = keccak256 of all words of `inputs` but the last two, outputHash = keccak256 of those two
///         It says nothing about whole answers: see `ResponseProofVerifier`. Embedding and head have no such adapter,
///         because they do not turn windows into a window.
contract StepProofVerifier is IProofVerifier, ERC165 {
    IModelRegistry public immutable registry;

    constructor(IModelRegistry newRegistry) {
        registry = newRegistry;
    }

    /// @inheritdoc IProofVerifier
    /// @dev False for what is not proven; reverts for bytes that are no such encoding, and for unknown models.
    function verify(bytes32 inputHash, bytes32 outputHash, bytes calldata metadata, bytes calldata proof)
        external
        view
        returns (bool)
    {
        (bytes32 modelId, uint256 step) = abi.decode(metadata, (bytes32, uint256));
        // Through a call of its own, so that the evidence is read from calldata.
        return this.proves(modelId, step, inputHash, outputHash, abi.decode(proof, (StepEvidence)));
    }

    /// @notice `verify`, with everything named.
    function proves(
        bytes32 modelId,
        uint256 step,
        bytes32 inputHash,
        bytes32 outputHash,
        StepEvidence calldata evidence
    ) external view returns (bool) {
        ModelSpec memory spec = registry.spec(modelId);
        bytes32 leaf = Leaves.stepKey(step, keccak256(evidence.key));
        if (!MerklePath.leads(evidence.keyPath, spec.stepKeysRoot, leaf, step, spec.stepCount)) return false;
        if (!_isStatement(step, inputHash, outputHash, evidence.inputs)) return false;
        address verifier = registry.verifier(modelId, _kind(step));
        return VerifierCall.accepts(verifier, evidence.key, evidence.inputs, evidence.proof);
    }

    /// @inheritdoc IProofVerifier
    function proofProfile() external view returns (bytes32) {
        return keccak256(abi.encodePacked(proofSystem(), keccak256(abi.encode(block.chainid, registry))));
    }

    /// @inheritdoc IProofVerifier
    function proofSystem() public pure returns (string memory) {
        return "zk/gainsay-step";
    }

    /// @inheritdoc ERC165
    function supportsInterface(bytes4 interfaceId) public view override returns (bool) {
        return interfaceId == type(IProofVerifier).interfaceId || super.supportsInterface(interfaceId);
    }

    /// @dev The words are a statement of this kind of step, in the one form that counts, and hash to what is claimed.
    function _isStatement(uint256 step, bytes32 inputHash, bytes32 outputHash, uint256[] calldata words)
        private
        pure
        returns (bool)
    {
        if (words.length < 4) return false;
        if (_kind(step) == StepKind.Mlp) {
            if (words.length != 4) return false;
        } else if (words.length % 2 == 0 || words[0] != (words.length - 5) / 2) {
            return false;
        }
        // Which coordinate it is, nobody asks.
        // slither-disable-next-line unused-return
        (bool found,) = Boundary.outOfRange(words);
        uint256 last = words.length - 2;
        return !found && keccak256(abi.encodePacked(words[:last])) == inputHash
            && keccak256(abi.encodePacked(words[last:])) == outputHash;
    }

    function _kind(uint256 step) private pure returns (StepKind) {
        return step % 2 == 0 ? StepKind.Attention : StepKind.Mlp;
    }
}
