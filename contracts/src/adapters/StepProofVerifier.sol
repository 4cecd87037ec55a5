// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC165} from "@openzeppelin/contracts/utils/introspection/ERC165.sol";

import {IModelRegistry, StepRules} from "../interfaces/IModelRegistry.sol";
import {Boundary} from "../libraries/Boundary.sol";
import {Curve} from "../libraries/Curve.sol";
import {Leaves} from "../libraries/Leaves.sol";
import {MerklePath} from "../libraries/MerklePath.sol";
import {Streams} from "../libraries/Streams.sol";
import {VerifierCall} from "../libraries/VerifierCall.sol";
import {IProofVerifier} from "./IProofVerifier.sol";

/// @param kind the step's kind
/// @param key step key
/// @param keyPath Merkle path of the key in the model's `stepKeysRoot`
/// @param inputs public inputs as in `ILayerVerifier`; the last words, two per stream, are the windows that the step writes
/// @param proof the step proof
struct StepEvidence {
    uint256 kind;
    bytes key;
    bytes32[] keyPath;
    uint256[] inputs;
    bytes proof;
}

/// @title Step proofs behind ERC-8274: step `s` of a registered model turns these committed windows into those
/// @notice metadata = abi.encode(bytes32 modelId, uint256 step)
///         proof = abi.encode(StepEvidence)
///         outputHash = keccak256 of the words of `inputs` that say what is written, inputHash = keccak256 of those before
///         It says nothing about whole answers: see `ResponseProofVerifier`. Embedding and head have no such adapter,
///         because they do not turn windows into windows.
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
        StepRules memory rules = registry.stepRules(modelId, evidence.kind);
        bytes32 leaf = Leaves.stepKey(step, evidence.kind, keccak256(evidence.key));
        if (!MerklePath.leads(evidence.keyPath, rules.stepKeysRoot, leaf, step, rules.keyCount)) {
            return false;
        }
        if (!_isStatement(rules, inputHash, outputHash, evidence.inputs)) return false;
        return VerifierCall.accepts(rules.verifier, evidence.key, evidence.inputs, evidence.proof);
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
    function _isStatement(
        StepRules memory rules,
        bytes32 inputHash,
        bytes32 outputHash,
        uint256[] calldata words
    ) private pure returns (bool) {
        uint256 first = 0;
        if (Streams.namesWindow(rules.access)) {
            if (words.length == 0 || words[0] >= Boundary.MOST_POSITIONS / Boundary.WINDOW) return false;
            first = 1;
        }
        uint256 window = first == 1 ? words[0] : 0;
        // How many sums it follows from, nobody asks.
        // slither-disable-next-line unused-return
        (uint256 expected, uint256 written,) = Streams.sizes(rules.streams, rules.access, window);
        if (words.length != expected) return false;
        for (uint256 i = first; i < words.length; ++i) {
            if (words[i] >= Curve.Q) return false;
        }
        uint256 last = words.length - written;
        return keccak256(abi.encodePacked(words[:last])) == inputHash
            && keccak256(abi.encodePacked(words[last:])) == outputHash;
    }
}
