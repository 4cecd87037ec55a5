// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IModelRegistry, ModelSpec, StepKind} from "../src/interfaces/IModelRegistry.sol";
import {Scenario} from "./Scenario.sol";

contract RegisterTest is Scenario {
    function test_model_id_is_the_hash_of_the_spec() external view {
        vm.assertEq(modelId, keccak256(abi.encode(spec)));
        vm.assertTrue(registry.isRegistered(modelId));
        vm.assertEq(keccak256(abi.encode(registry.spec(modelId))), modelId);
        for (uint256 kind = 0; kind < 4; ++kind) {
            vm.assertEq(registry.verifier(modelId, StepKind(kind)), address(verifiers[kind]));
        }
    }

    function test_a_model_is_registered_once() external {
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelAlreadyRegistered.selector, modelId));
        registry.register(spec, verifierAddresses());
    }

    function test_an_unknown_model_has_no_spec_and_no_verifier() external {
        vm.expectPartialRevert(IModelRegistry.ModelUnknown.selector);
        registry.spec("unknown");
        vm.expectPartialRevert(IModelRegistry.ModelUnknown.selector);
        registry.verifier("unknown", StepKind.Head);
    }

    function test_attack_register_with_a_foreign_verifier() external {
        for (uint256 kind = 0; kind < 4; ++kind) {
            ModelSpec memory other = spec;
            other.architectureDigest = keccak256(abi.encode(kind));
            address[4] memory all = verifierAddresses();
            all[kind] = address(registry); // code, but not the code that the id names
            vm.expectPartialRevert(IModelRegistry.VerifierCodeMismatch.selector);
            registry.register(other, all);
            all[kind] = address(0xBEEF);
            vm.expectPartialRevert(IModelRegistry.VerifierWithoutCode.selector);
            registry.register(other, all);
        }
    }

    function test_attack_malicious_verifier_gives_another_model_id() external view {
        ModelSpec memory other = spec;
        other.mlpVerifierCodeHash = keccak256("malicious");
        vm.assertTrue(registry.modelIdOf(other) != modelId);
    }

    function test_sizes_are_checked() external {
        uint256[3][7] memory bad = [
            [uint256(0), 16, 256],
            [uint256(3), 16, 256],
            [uint256(2 ** 16 + 2), 16, 256],
            [uint256(12), 1, 256],
            [uint256(12), 2 ** 32 + 1, 256],
            [uint256(12), 16, 0],
            [uint256(12), 16, 2 ** 14 + 1]
        ];
        for (uint256 i = 0; i < bad.length; ++i) {
            ModelSpec memory other = spec;
            (other.stepCount, other.vocabSize, other.maxPositions) = (bad[i][0], bad[i][1], bad[i][2]);
            vm.expectPartialRevert(IModelRegistry.InvalidModelSize.selector);
            registry.register(other, verifierAddresses());
        }
    }
}
