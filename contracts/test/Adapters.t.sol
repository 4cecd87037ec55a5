// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";

import {IProofVerifier} from "../src/adapters/IProofVerifier.sol";
import {ResponseEvidence, ResponseProofVerifier} from "../src/adapters/ResponseProofVerifier.sol";
import {ResponseValidator} from "../src/adapters/ResponseValidator.sol";
import {StepEvidence, StepProofVerifier} from "../src/adapters/StepProofVerifier.sol";
import {IInferenceLedger, ResponseFields, ResponseStatus} from "../src/interfaces/IInferenceLedger.sol";
import {IModelRegistry} from "../src/interfaces/IModelRegistry.sol";
import {Curve} from "../src/libraries/Curve.sol";
import {AgentRegistries} from "./AgentRegistries.sol";
import {Scenario} from "./Scenario.sol";

/// @notice The generated verifiers behind ERC-8274.
contract StepProofVerifierTest is Scenario {
    StepProofVerifier private adapter;

    function setUp() public override {
        super.setUp();
        adapter = new StepProofVerifier(registry);
    }

    function evidence(uint256 step, uint256 window) private view returns (StepEvidence memory) {
        return StepEvidence(kindOf(step), stepKey(step), stepKeyPath(step), stepInputs(step, window), PROOF);
    }

    /// @dev Hashes of what is read and of what is written.
    function hashes(uint256 step, uint256[] memory words)
        private
        pure
        returns (bytes32 input, bytes32 output)
    {
        uint256 count = 0;
        for (uint256 stream = 0; stream < STREAMS; ++stream) {
            if (accessOf(step, stream) & 4 != 0) count += 2;
        }
        if (words.length < count) return (0, 0);
        uint256[] memory read = new uint256[](words.length - count);
        uint256[] memory written_ = new uint256[](count);
        for (uint256 i = 0; i < words.length; ++i) {
            if (i < read.length) read[i] = words[i];
            else written_[i - read.length] = words[i];
        }
        return (keccak256(abi.encodePacked(read)), keccak256(abi.encodePacked(written_)));
    }

    /// @dev What the adapter says about the evidence as it is, under the hashes of its own words.
    function says(uint256 step, StepEvidence memory e) private view returns (bool) {
        (bytes32 input, bytes32 output) = hashes(step, e.inputs);
        return adapter.verify(input, output, abi.encode(modelId, step), abi.encode(e));
    }

    function test_a_step_of_every_kind_is_verified() external {
        for (uint256 step = 0; step < 6; ++step) {
            presetStep(step, 1);
            vm.assertTrue(says(step, evidence(step, 1)));
        }
        vm.assertTrue(adapter.supportsInterface(type(IProofVerifier).interfaceId));
        vm.assertTrue(adapter.supportsInterface(type(IERC165).interfaceId));
        vm.assertFalse(adapter.supportsInterface(0xffffffff));
        vm.assertEq(keccak256(bytes(adapter.proofSystem())), keccak256("zk/gainsay-step"));
        vm.assertTrue(
            adapter.proofProfile() != new StepProofVerifier(IModelRegistry(address(1))).proofProfile()
        );
    }

    function test_attack_an_adapted_step_under_another_input_output_key_step_or_proof() external {
        presetStep(5, 1);
        StepEvidence memory e = evidence(5, 1);
        (bytes32 input, bytes32 output) = hashes(5, e.inputs);
        bytes memory metadata = abi.encode(modelId, 5);
        vm.assertTrue(adapter.verify(input, output, metadata, abi.encode(e)));
        vm.assertFalse(adapter.verify(output, output, metadata, abi.encode(e)));
        vm.assertFalse(adapter.verify(input, input, metadata, abi.encode(e)));
        vm.assertFalse(adapter.verify(input, output, abi.encode(modelId, 3), abi.encode(e)));
        vm.assertFalse(adapter.verify(input, output, abi.encode(modelId, STEPS), abi.encode(e)));
        vm.expectPartialRevert(IModelRegistry.ModelUnknown.selector);
        adapter.verify(input, output, abi.encode(bytes32("unknown"), 5), abi.encode(e));
        e.key = stepKey(3);
        vm.assertFalse(says(5, e));
        e = evidence(5, 1);
        e.kind = ATTENTION; // whose verifier accepts it
        verifiers[ATTENTION].preset(stepKey(5), e.inputs, PROOF);
        vm.assertFalse(says(5, e));
        e = evidence(5, 1);
        e.keyPath = stepKeyPath(3);
        vm.assertFalse(says(5, e));
        e = evidence(5, 1);
        e.proof = "another proof";
        vm.assertFalse(says(5, e));
        e = evidence(5, 1);
        e.inputs[0] += 1;
        vm.assertFalse(says(5, e));
    }

    /// @dev The verifier here accepts these words: that the adapter refuses them is its own doing.
    function test_attack_an_adapted_statement_in_another_form() external {
        for (uint256 step = 0; step < 6; ++step) {
            bool named = namesWindow(step);
            for (uint256 window = 0; window < 9; window += 4) {
                uint256[] memory words = stepInputs(step, window);
                accepts(step, words, true);
                words[words.length - 1] = Curve.Q - 1;
                accepts(step, words, true);
                words[words.length - 1] = Curve.Q;
                accepts(step, words, false);
                words[words.length - 1] = 0;
                // Another window's number fits where it has as many chunks, as all do that are read and written alone.
                if (named) words[0] += 4;
                accepts(step, words, !named || kindOf(step) == KEYS_VALUES);
            }
            uint256 length = stepInputs(step, 1).length;
            for (uint256 sent = 0; sent < length + 4; ++sent) {
                uint256[] memory words = new uint256[](sent);
                if (named && sent != 0) words[0] = 1;
                accepts(step, words, sent == length);
            }
        }
    }

    function test_attack_an_adapted_statement_about_a_window_that_no_model_has() external {
        uint256[] memory words = stepInputs(0, 1);
        uint256[4] memory beyond = [uint256(511), 512, 2 ** 128, type(uint256).max];
        for (uint256 i = 0; i < 4; ++i) {
            words[0] = beyond[i];
            accepts(0, words, i == 0);
        }
    }

    function accepts(uint256 step, uint256[] memory words, bool expected) private {
        verifiers[kindOf(step)].preset(stepKey(step), words, PROOF);
        StepEvidence memory e = StepEvidence(kindOf(step), stepKey(step), stepKeyPath(step), words, PROOF);
        vm.assertTrue(says(step, e) == expected);
    }
}

/// @notice Final responses behind ERC-8274, and settled ones as ERC-8004 validations.
contract ResponseAdaptersTest is Scenario {
    uint256 private constant AGENT = 22;
    ResponseProofVerifier private adapter;
    ResponseValidator private validator;
    AgentRegistries private agents;

    function setUp() public override {
        super.setUp();
        adapter = new ResponseProofVerifier(ledger);
        agents = new AgentRegistries();
        validator = new ResponseValidator(ledger, agents);
        vm.prank(provider);
        agents.register(AGENT, address(0));
    }

    function makeFinal() private {
        vm.warp(uint256(ledger.batch(batchId).deadline) + 1);
        expectStatus(ResponseStatus.Final);
    }

    function makeVoid() private {
        uint256 gameId = open();
        vm.prank(provider);
        game.concede(gameId, aboutOf(gameId));
        expectStatus(ResponseStatus.Void);
    }

    function evidence() private view returns (ResponseEvidence memory) {
        return ResponseEvidence(batchId, TARGET, response.fields, batchPath());
    }

    function says(ResponseEvidence memory e) private view returns (bool) {
        return adapter.verify(e.fields.promptHash, e.fields.outputHash, abi.encode(modelId), abi.encode(e));
    }

    function request(uint256 agentId, address owner, bytes32 salt) private returns (bytes32 hash) {
        hash = validator.requestHash(agentId, batchId, TARGET, salt);
        vm.prank(owner);
        agents.validationRequest(address(validator), agentId, "", hash);
    }

    function expectReported(bytes32 hash, uint8 expected, string memory expectedTag) private view {
        (,, uint8 value,, string memory tag,) = agents.getValidationStatus(hash);
        vm.assertEq(value, expected);
        vm.assertEq(keccak256(bytes(tag)), keccak256(bytes(expectedTag)));
        vm.assertEq(agents.responses(), 1);
    }

    function test_a_final_response_is_a_proof_of_its_answer() external {
        vm.assertFalse(says(evidence()));
        makeFinal();
        vm.assertTrue(says(evidence()));
        vm.assertTrue(adapter.supportsInterface(type(IProofVerifier).interfaceId));
        vm.assertFalse(adapter.supportsInterface(0xffffffff));
        vm.assertEq(keccak256(bytes(adapter.proofSystem())), keccak256("op/gainsay"));
        vm.assertTrue(
            adapter.proofProfile() != new ResponseProofVerifier(IInferenceLedger(address(1))).proofProfile()
        );
    }

    function test_attack_an_adapted_response_that_is_void_or_another() external {
        ResponseEvidence memory e = evidence();
        ResponseFields memory f = e.fields;
        makeFinal();
        vm.assertFalse(adapter.verify(f.outputHash, f.outputHash, abi.encode(modelId), abi.encode(e)));
        vm.assertFalse(adapter.verify(f.promptHash, f.promptHash, abi.encode(modelId), abi.encode(e)));
        vm.assertFalse(
            adapter.verify(f.promptHash, f.outputHash, abi.encode(bytes32("another")), abi.encode(e))
        );
        e.index = 0;
        vm.assertFalse(says(e));
        e = evidence();
        e.fields.outputHash = "another answer";
        vm.assertFalse(says(e));
        e = evidence();
        e.path = new bytes32[](0);
        vm.assertFalse(says(e));
        e = evidence();
        e.batchId = batchId + 1;
        vm.expectPartialRevert(IInferenceLedger.BatchUnknown.selector);
        says(e);
        batchId = post(response, "void");
        makeVoid();
        makeFinalTime();
        vm.assertFalse(says(evidence()));
    }

    function makeFinalTime() private {
        vm.warp(block.timestamp + 365 days);
    }

    function test_anybody_reports_a_final_response_as_passed() external {
        bytes32 hash = request(AGENT, provider, "salt");
        makeFinal();
        vm.expectEmit(true, true, true, true, address(validator));
        emit ResponseValidator.ResponseReported(AGENT, batchId, TARGET, 100);
        vm.prank(stranger);
        validator.report(AGENT, batchId, TARGET, "salt");
        expectReported(hash, 100, "final");
    }

    function test_anybody_reports_a_void_response_as_failed() external {
        bytes32 hash = request(AGENT, provider, "salt");
        makeVoid();
        vm.prank(stranger);
        validator.report(AGENT, batchId, TARGET, "salt");
        expectReported(hash, 0, "void");
    }

    function test_the_wallet_of_an_agent_may_be_the_provider() external {
        vm.prank(stranger);
        agents.register(7, provider);
        bytes32 hash = request(7, stranger, "salt");
        makeFinal();
        validator.report(7, batchId, TARGET, "salt");
        expectReported(hash, 100, "final");
    }

    function test_attack_a_report_before_the_response_is_settled() external {
        request(AGENT, provider, "salt");
        vm.expectRevert(
            abi.encodeWithSelector(
                ResponseValidator.NotSettled.selector, batchId, TARGET, ResponseStatus.Pending
            )
        );
        validator.report(AGENT, batchId, TARGET, "salt");
        open();
        vm.expectPartialRevert(ResponseValidator.NotSettled.selector);
        validator.report(AGENT, batchId, TARGET, "salt");
        bytes32 unknown = validator.requestHash(AGENT, batchId, 3, "salt");
        vm.prank(provider);
        agents.validationRequest(address(validator), AGENT, "", unknown);
        vm.expectPartialRevert(ResponseValidator.NotSettled.selector);
        validator.report(AGENT, batchId, 3, "salt");
        vm.assertEq(agents.responses(), 0);
    }

    function test_attack_an_agent_is_validated_for_what_another_answered() external {
        vm.prank(stranger);
        agents.register(7, stranger);
        request(7, stranger, "salt");
        makeFinal();
        vm.expectRevert(abi.encodeWithSelector(ResponseValidator.NotTheProvidersAgent.selector, 7, provider));
        validator.report(7, batchId, TARGET, "salt");
    }

    function test_attack_a_stranger_takes_the_hash_of_a_request_first() external {
        bytes32 hash = validator.requestHash(AGENT, batchId, TARGET, "salt");
        vm.startPrank(stranger);
        agents.register(7, address(0));
        agents.validationRequest(address(validator), 7, "", hash);
        vm.stopPrank();
        makeFinal();
        vm.expectRevert(abi.encodeWithSelector(ResponseValidator.AnothersRequest.selector, hash));
        validator.report(AGENT, batchId, TARGET, "salt");
        bytes32 again = request(AGENT, provider, "another salt");
        validator.report(AGENT, batchId, TARGET, "another salt");
        expectReported(again, 100, "final");
    }

    function test_a_request_to_another_validator_is_not_answered() external {
        bytes32 hash = validator.requestHash(AGENT, batchId, TARGET, "salt");
        vm.prank(provider);
        agents.validationRequest(stranger, AGENT, "", hash);
        makeFinal();
        vm.expectRevert(abi.encodeWithSelector(ResponseValidator.AnothersRequest.selector, hash));
        validator.report(AGENT, batchId, TARGET, "salt");
    }
}
