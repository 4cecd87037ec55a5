// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {TokenRow} from "../src/interfaces/IDisputeGame.sol";
import {ModelSpec} from "../src/interfaces/IModelRegistry.sol";
import {Leaves} from "../src/libraries/Leaves.sol";
import {Parameters, ProtocolParameters} from "../src/libraries/Parameters.sol";
import {Merkle} from "./Merkle.sol";
import {PresetVerifier} from "./PresetVerifier.sol";
import {Protocol} from "./Protocol.sol";

/// @title A deployment, a model of 12 steps, and actors with money
abstract contract Deployment is Protocol {
    uint256 internal constant PROVIDER_KEY = 0xA11CE;
    uint256 internal constant STEPS = 12;
    uint256 internal constant VOCABULARY = 16;
    uint256 internal constant END_TOKEN = 2;

    PresetVerifier[4] internal verifiers;
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
        for (uint256 i = 0; i < 4; ++i) {
            verifiers[i] = new PresetVerifier();
        }
        spec = makeSpec();
        modelId = registry.register(spec, verifierAddresses());
        address[5] memory actors = [provider, challenger, copycat, requester, stranger];
        for (uint256 i = 0; i < actors.length; ++i) {
            vm.deal(actors[i], 1000 ether);
        }
        vm.startPrank(provider);
        stake.deposit{value: 20 ether}();
        stake.registerSigner(provider, 20 ether);
        vm.stopPrank();
    }

    function _parameters() internal pure virtual returns (ProtocolParameters memory) {
        return Parameters.devnet();
    }

    function makeSpec() internal view returns (ModelSpec memory made) {
        bytes32 codeHash = address(verifiers[0]).codehash;
        made = ModelSpec({
            architectureDigest: keccak256("architecture"),
            stepKeysRoot: Merkle.root(stepKeyLeaves()),
            embeddingRowsRoot: Merkle.root(tokenLeaves()),
            tokenizerDigest: keccak256("tokenizer"),
            srsDigest: keccak256("srs"),
            stepCount: STEPS,
            vocabSize: VOCABULARY,
            maxPositions: 256,
            endTokensDigest: keccak256(abi.encode(endTokens())),
            mlpVerifierCodeHash: codeHash,
            attentionVerifierCodeHash: codeHash,
            embeddingVerifierCodeHash: codeHash,
            headVerifierCodeHash: codeHash
        });
    }

    function verifierAddresses() internal view returns (address[4] memory all) {
        for (uint256 i = 0; i < 4; ++i) {
            all[i] = address(verifiers[i]);
        }
    }

    function endTokens() internal pure returns (uint256[] memory all) {
        all = new uint256[](1);
        all[0] = END_TOKEN;
    }

    function stepKey(uint256 step) internal pure returns (bytes memory) {
        return abi.encodePacked("step key ", step);
    }

    function stepKeyLeaves() internal pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](STEPS);
        for (uint256 s = 0; s < STEPS; ++s) {
            leaves[s] = Leaves.stepKey(s, keccak256(stepKey(s)));
        }
    }

    function stepKeyPath(uint256 step) internal pure returns (bytes32[] memory) {
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
