// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    HeadRules,
    IModelRegistry,
    ModelSpec,
    StepKindSpec,
    HeadTileRules,
    StepRules,
    TokenPair
} from "../src/interfaces/IModelRegistry.sol";
import {Scenario} from "./Scenario.sol";

contract RegisterTest is Scenario {
    function test_model_id_is_the_hash_of_the_spec() external view {
        vm.assertEq(modelId, keccak256(abi.encode(spec)));
        vm.assertTrue(registry.isRegistered(modelId));
        vm.assertEq(keccak256(abi.encode(registry.spec(modelId))), modelId);
    }

    function test_what_moves_read_is_what_was_registered() external view {
        for (uint256 kind = 0; kind < KINDS; ++kind) {
            StepRules memory rules = registry.stepRules(modelId, kind);
            vm.assertEq(rules.stepKeysRoot, spec.stepKeysRoot);
            vm.assertEq(rules.keyCount, STEPS);
            vm.assertEq(rules.streams, spec.streams);
            vm.assertEq(rules.access, spec.kinds[kind].access);
            vm.assertEq(rules.verifier, address(verifiers[kind]));
        }
        (bytes32 rowsRoot, uint256 vocabSize, address verifier, uint256 streams) =
            registry.embeddingRules(modelId);
        vm.assertEq(streams, spec.streams);
        vm.assertEq(rowsRoot, spec.embeddingRowsRoot);
        vm.assertEq(vocabSize, VOCABULARY);
        vm.assertEq(verifier, address(embeddingVerifier));
        HeadRules memory head = registry.headRules(modelId, TokenPair(0, 3, 5, 4, 5));
        vm.assertEq(head.rowsRoot, spec.embeddingRowsRoot);
        vm.assertEq(head.vocabSize, VOCABULARY);
        vm.assertEq(head.verifier, address(headVerifier));
        vm.assertEq(head.factor, 1);
        vm.assertEq(head.offset, 2 ** 63 - 1); // the rival has the smaller id
        vm.assertTrue(registry.isEnd(modelId, endTokens(), END_TOKEN));
        vm.assertFalse(registry.isEnd(modelId, endTokens(), END_TOKEN + 1));
    }

    function test_a_model_is_registered_once() external {
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelAlreadyRegistered.selector, modelId));
        register();
    }

    function test_an_unknown_model_has_no_spec_and_no_verifier() external {
        bytes4 unknown = IModelRegistry.ModelUnknown.selector;
        vm.expectPartialRevert(unknown);
        registry.spec("unknown");
        vm.expectPartialRevert(unknown);
        registry.sizes("unknown");
        vm.expectPartialRevert(unknown);
        registry.stepRules("unknown", 0);
        vm.expectPartialRevert(unknown);
        registry.embeddingRules("unknown");
        vm.expectPartialRevert(unknown);
        registry.headRules("unknown", TokenPair(0, 3, 5, 4, 5));
        vm.expectPartialRevert(unknown);
        registry.responseRules("unknown", response.fields);
        vm.expectPartialRevert(unknown);
        registry.isEnd("unknown", new uint256[](0), 1);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.KindUnknown.selector, modelId, KINDS));
        registry.stepRules(modelId, KINDS);
    }

    function test_attack_register_with_a_foreign_verifier() external {
        for (uint256 place = 0; place < KINDS + 2; ++place) {
            spec.architectureDigest = keccak256(abi.encode(place));
            refuse(place, address(registry), IModelRegistry.VerifierCodeMismatch.selector);
            refuse(place, address(0xBEEF), IModelRegistry.VerifierWithoutCode.selector);
        }
    }

    /// @dev Registers with one foreign verifier: code, but not the code that the id names; or no code.
    function refuse(uint256 place, address foreign, bytes4 error) private {
        address[] memory all = stepVerifiers();
        address embedding = place == KINDS ? foreign : address(embeddingVerifier);
        address head = place == KINDS + 1 ? foreign : address(headVerifier);
        if (place < KINDS) all[place] = foreign;
        vm.expectPartialRevert(error);
        registry.register(spec, all, embedding, head);
    }

    function test_attack_malicious_verifier_gives_another_model_id() external {
        spec.kinds[3].verifierCodeHash = keccak256("malicious");
        vm.assertTrue(registry.modelIdOf(spec) != modelId);
    }

    function test_attack_another_access_or_other_streams_give_another_model_id() external {
        spec.kinds[MLP].access = 0x0006;
        vm.assertTrue(registry.modelIdOf(spec) != modelId);
        spec.kinds[MLP].access = 0x0005;
        vm.assertEq(registry.modelIdOf(spec), modelId);
        spec.streams = 0x01030201;
        vm.assertTrue(registry.modelIdOf(spec) != modelId);
    }

    function test_sizes_are_checked() external {
        uint256[3][6] memory bad = [
            [uint256(0), 16, 256],
            [uint256(2 ** 20 + 1), 16, 256],
            [uint256(12), 1, 256],
            [uint256(12), 2 ** 32 + 1, 256],
            [uint256(12), 16, 0],
            [uint256(12), 16, 2 ** 14 + 1]
        ];
        for (uint256 i = 0; i < bad.length; ++i) {
            (spec.stepCount, spec.vocabSize, spec.maxPositions) = (bad[i][0], bad[i][1], bad[i][2]);
            vm.expectPartialRevert(IModelRegistry.InvalidModelSize.selector);
            register();
        }
    }

    function test_a_model_is_public_or_commits_to_every_boundary() external {
        (spec.auditStride, spec.headTiles) = (1, TILES);
        bytes32 id = register();
        vm.assertTrue(id != modelId);
        vm.assertEq(keccak256(abi.encode(registry.spec(id))), id);
        (,,, uint256 headTiles) = registry.sizes(id);
        vm.assertEq(headTiles, TILES);
        HeadTileRules memory rules = registry.headTileRules(id);
        vm.assertEq(rules.stepKeysRoot, spec.stepKeysRoot);
        vm.assertEq(rules.stepCount, STEPS);
        vm.assertEq(rules.tiles, TILES);
        vm.assertEq(rules.kind, KINDS);
        vm.assertEq(rules.streams, spec.streams);
        vm.assertEq(rules.verifier, address(headVerifier));
        vm.assertEq(registry.stepRules(id, 0).keyCount, STEPS + TILES);
        uint256[3] memory bad = [uint256(2), 256, type(uint256).max];
        for (uint256 i = 0; i < bad.length; ++i) {
            spec.auditStride = bad[i];
            vm.expectRevert(abi.encodeWithSelector(IModelRegistry.InvalidAuditStride.selector, bad[i]));
            register();
        }
    }

    /// @dev Without tiles nobody could ask about the head; what no token is in can be asked of nobody.
    function test_attack_a_private_model_without_tiles_of_its_head() external {
        uint256[2][5] memory bad = [
            [uint256(1), 0],
            [uint256(0), 1],
            [uint256(1), VOCABULARY + 1],
            [uint256(1), 2 ** 20 + 1],
            [uint256(1), 2 ** 24 + 1]
        ];
        for (uint256 i = 0; i < bad.length; ++i) {
            (spec.auditStride, spec.headTiles) = (bad[i][0], bad[i][1]);
            if (i > 2) spec.vocabSize = 2 ** 32;
            vm.expectRevert(
                abi.encodeWithSelector(IModelRegistry.InvalidHeadTiles.selector, bad[i][1], bad[i][0])
            );
            register();
        }
        (spec.auditStride, spec.headTiles) = (1, 2 ** 20);
        (,,, uint256 headTiles) = registry.sizes(register());
        vm.assertEq(headTiles, 2 ** 20);
    }

    function test_a_scale_of_logits_fits_a_byte() external {
        spec.logitScale = 256;
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.InvalidLogitScale.selector, 256));
        register();
        spec.logitScale = 255;
        vm.assertEq(registry.spec(register()).logitScale, 255);
    }

    function test_the_largest_sizes_are_kept() external {
        (spec.stepCount, spec.vocabSize, spec.maxPositions) = (2 ** 20, 2 ** 32, 2 ** 14);
        bytes32 id = register();
        vm.assertEq(keccak256(abi.encode(registry.spec(id))), keccak256(abi.encode(spec)));
        (uint256 stepCount, uint256 vocabSize, uint256 maxPositions, uint256 headTiles) = registry.sizes(id);
        vm.assertEq(headTiles, 0);
        vm.assertEq(stepCount, 2 ** 20);
        vm.assertEq(vocabSize, 2 ** 32);
        vm.assertEq(maxPositions, 2 ** 14);
    }

    /// @dev A gap, a placed residual stream, none, a seventeenth.
    function test_streams_are_checked() external {
        uint256[6] memory bad =
            [uint256(0), 0x0100, 0x010001, 0x02, 0x01 << 248, type(uint256).max / 0xff & ((1 << 128) - 1)];
        for (uint256 i = 0; i < bad.length; ++i) {
            spec.streams = bad[i];
            vm.expectRevert(abi.encodeWithSelector(IModelRegistry.InvalidStreams.selector, bad[i]));
            register();
        }
        spec.streams = type(uint256).max / 0xff & ((1 << 120) - 1); // fifteen
        register();
    }

    function test_as_many_verifiers_as_kinds_and_neither_none_nor_too_many() external {
        bytes4 error = IModelRegistry.InvalidKindCount.selector;
        spec.architectureDigest = "another model";
        address[] memory one = new address[](1);
        vm.expectRevert(abi.encodeWithSelector(error, KINDS, 1));
        registry.register(spec, one, address(embeddingVerifier), address(headVerifier));
        StepKindSpec memory kind = spec.kinds[0];
        for (uint256 i = KINDS; i < 33; ++i) {
            spec.kinds.push(kind);
        }
        address[] memory many = new address[](33);
        for (uint256 i = 0; i < 33; ++i) {
            many[i] = address(verifiers[0]);
        }
        vm.expectRevert(abi.encodeWithSelector(error, 33, 33));
        registry.register(spec, many, address(embeddingVerifier), address(headVerifier));
        spec.kinds.pop();
        assembly ("memory-safe") {
            mstore(many, 32)
        }
        registry.register(spec, many, address(embeddingVerifier), address(headVerifier));
        delete spec.kinds;
        vm.expectRevert(abi.encodeWithSelector(error, 0, 0));
        registry.register(spec, new address[](0), address(embeddingVerifier), address(headVerifier));
    }

    function test_attack_a_kind_with_overlapping_access_is_refused() external {
        // Nothing written; own and all of one stream; written and reset; a stream beyond the last; all of it at once.
        uint64[7] memory bad = [uint64(0x0000), 0x0001, 0x0008, 0x0007, 0x000d, 0x10005, 0xffff];
        for (uint256 i = 0; i < bad.length; ++i) {
            spec.kinds[TILE].access = bad[i];
            vm.expectRevert(abi.encodeWithSelector(IModelRegistry.InvalidAccess.selector, TILE, bad[i]));
            register();
        }
    }

    function testFuzz_a_kind_is_taken_iff_its_access_is_one(uint64 word) external {
        word = uint64(word % 2 ** 20); // so that both answers are frequent
        bool writes = false;
        bool isFine = word >> 16 == 0;
        for (uint256 stream = 0; stream < STREAMS; ++stream) {
            uint256 how = (word >> (4 * stream)) & 15;
            if (how & 3 == 3 || how & 12 == 12) isFine = false;
            if (how & 4 != 0) writes = true;
        }
        spec.kinds[TILE].access = word;
        // Sixteen windows at most, so no kind is too long.
        if (isFine && writes) vm.assertTrue(word == accessWord(TILE) || register() != modelId);
        if (isFine && writes) return;
        vm.expectPartialRevert(IModelRegistry.InvalidAccess.selector);
        register();
    }

    /// @dev At 2^14 positions a move holds three streams of windows, or three whole unplaced ones as sums.
    function test_attack_a_kind_whose_moves_fit_no_transaction_is_refused() external {
        spec.maxPositions = 2 ** 14;
        spec.streams = 0x0101010101;
        uint64[4] memory words = [uint64(0x00444), 0x04444, 0x02226, 0x22226];
        for (uint256 i = 0; i < words.length; ++i) {
            delete spec.kinds;
            spec.kinds.push(StepKindSpec(address(verifiers[0]).codehash, words[i]));
            address[] memory one = new address[](1);
            one[0] = address(verifiers[0]);
            if (i == 0) registry.register(spec, one, address(embeddingVerifier), address(headVerifier));
            if (i == 0) continue;
            uint256 needed = i == 3 ? 5 * 512 * 64 : 4 * 512 * 64;
            vm.expectRevert(abi.encodeWithSelector(IModelRegistry.KindTooLong.selector, 0, needed, 96 * 1024));
            registry.register(spec, one, address(embeddingVerifier), address(headVerifier));
        }
    }
}
