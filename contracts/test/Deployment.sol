// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {TokenRow} from "../src/interfaces/IDisputeGame.sol";
import {ModelSpec, StepKindSpec} from "../src/interfaces/IModelRegistry.sol";
import {Leaves} from "../src/libraries/Leaves.sol";
import {Parameters, ProtocolParameters} from "../src/libraries/Parameters.sol";
import {Merkle} from "./Merkle.sol";
import {PresetVerifier} from "./PresetVerifier.sol";
import {Protocol} from "./Protocol.sol";

/// @title A deployment, a model of 12 steps, and actors with money
/// @notice The model's streams are the residual stream, keys and values of four windows per chunk, and a sum that a closing
///         step resets. Its steps are of five kinds.
abstract contract Deployment is Protocol {
    uint256 internal constant PROVIDER_KEY = 0xA11CE;
    uint256 internal constant STEPS = 12;
    uint256 internal constant VOCABULARY = 16;
    uint256 internal constant END_TOKEN = 2;
    uint256 internal constant TILES = 3; // of the head, when the model is private

    uint256 internal constant STREAMS = 4;
    uint256 internal constant MLP = 0; // residual (own) -> residual
    uint256 internal constant ATTENTION = 1; // residual (all) -> residual
    uint256 internal constant KEYS_VALUES = 2; // residual (own) -> keys, values
    uint256 internal constant TILE = 3; // residual, sum (own), keys, values (all) -> sum
    uint256 internal constant CLOSE = 4; // residual, sum (own) -> residual, sum = 0
    uint256 internal constant KINDS = 5;

    PresetVerifier[KINDS] internal verifiers;
    PresetVerifier internal embeddingVerifier;
    PresetVerifier internal headVerifier;
    ModelSpec internal spec;
    bytes32 internal modelId;

    address internal provider = vm.addr(PROVIDER_KEY);
    address internal challenger = address(0xC4A1);
    address internal copycat = address(0xC0CA);
    address internal requester = address(0x4E0);
    address internal stranger = address(0x57A);

    function setUp() public virtual {
        vm.warp(1_800_000_000);
        deployProtocol(_parameters());
        for (uint256 i = 0; i < KINDS; ++i) {
            verifiers[i] = new PresetVerifier();
        }
        (embeddingVerifier, headVerifier) = (new PresetVerifier(), new PresetVerifier());
        makeSpec();
        modelId = register();
        address[5] memory actors = [provider, challenger, copycat, requester, stranger];
        for (uint256 i = 0; i < actors.length; ++i) {
            vm.deal(actors[i], 1000 ether);
        }
        vm.startPrank(provider);
        stake.deposit{value: 20 ether}();
        stake.registerSigner(provider, 20 ether);
        vm.stopPrank();
    }

    function _parameters() internal pure virtual returns (ProtocolParameters memory made) {
        made = Parameters.devnet();
        made.arity = 4; // two rounds on twelve steps
    }

    function makeSpec() private {
        bytes32 codeHash = address(verifiers[0]).codehash;
        spec.stepCount = STEPS;
        spec.architectureDigest = keccak256("architecture");
        spec.stepKeysRoot = Merkle.root(stepKeyLeaves());
        spec.embeddingRowsRoot = Merkle.root(tokenLeaves());
        spec.tokenizerDigest = keccak256("tokenizer");
        spec.srsDigest = keccak256("srs");
        spec.vocabSize = VOCABULARY;
        spec.maxPositions = 256;
        spec.logitScale = 24;
        spec.endTokensDigest = keccak256(abi.encode(endTokens()));
        spec.streams = 0x01030301;
        for (uint256 kind = 0; kind < KINDS; ++kind) {
            spec.kinds.push(StepKindSpec(codeHash, accessWord(kind)));
        }
        spec.embeddingVerifierCodeHash = codeHash;
        spec.headVerifierCodeHash = codeHash;
    }

    /// @dev Registers `spec` as it is now.
    function register() internal returns (bytes32) {
        return registry.register(spec, stepVerifiers(), address(embeddingVerifier), address(headVerifier));
    }

    function stepVerifiers() internal view returns (address[] memory all) {
        all = new address[](KINDS);
        for (uint256 i = 0; i < KINDS; ++i) {
            all[i] = address(verifiers[i]);
        }
    }

    /// @dev Four bits per stream from the right: 1 reads its own window, 2 all up to it, 4 writes, 8 resets. The highest bit:
    ///      the statement names the window.
    function accessWord(uint256 kind) internal pure returns (uint64) {
        uint64 named = 1 << 63;
        return [uint64(0x0005), named | 0x0006, named | 0x0441, named | 0x5221, 0x9005][kind];
    }

    function chunkBits(uint256 stream) internal pure returns (uint256) {
        return stream == 1 || stream == 2 ? 2 : 0;
    }

    function kindOf(uint256 step) internal pure returns (uint256) {
        return [KEYS_VALUES, TILE, TILE, CLOSE, ATTENTION, MLP][step % 6];
    }

    function endTokens() internal pure returns (uint256[] memory all) {
        all = new uint256[](1);
        all[0] = END_TOKEN;
    }

    function stepKey(uint256 step) internal pure returns (bytes memory) {
        return abi.encodePacked("step key ", step);
    }

    /// @dev Behind those of the steps the keys of the tiles, of the kind behind the last.
    function stepKeyLeaves() internal view returns (bytes32[] memory leaves) {
        leaves = new bytes32[](spec.stepCount + spec.headTiles);
        for (uint256 s = 0; s < leaves.length; ++s) {
            leaves[s] = Leaves.stepKey(s, s < spec.stepCount ? kindOf(s) : KINDS, keccak256(stepKey(s)));
        }
    }

    function stepKeyPath(uint256 step) internal view returns (bytes32[] memory) {
        return Merkle.path(stepKeyLeaves(), step);
    }

    function embeddingPoint(uint256 token) internal pure returns (uint256[2] memory) {
        return [1000 + token, 2000 + token];
    }

    function headPoint(uint256 token) internal pure returns (uint256[2] memory) {
        return [3000 + token, 4000 + token];
    }

    function tokenLeaves() internal pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](VOCABULARY);
        for (uint256 v = 0; v < VOCABULARY; ++v) {
            leaves[v] = Leaves.tokenRow(v, embeddingPoint(v), headPoint(v));
        }
    }

    function tokenRow(uint256 token) internal pure returns (TokenRow memory) {
        return TokenRow(embeddingPoint(token), headPoint(token), Merkle.path(tokenLeaves(), token));
    }
}
