// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {AuditItem, IAuditGame, InputAnswer, StepAnswer} from "../src/interfaces/IAuditGame.sol";
import {IDisputeGame, Outcome, Reason} from "../src/interfaces/IDisputeGame.sol";
import {ResponseStatus} from "../src/interfaces/IInferenceLedger.sol";
import {IModelRegistry} from "../src/interfaces/IModelRegistry.sol";
import {Leaves} from "../src/libraries/Leaves.sol";
import {AuditScenario} from "./AuditScenario.sol";
import {Merkle} from "./Merkle.sol";

contract ProveAuditTest is AuditScenario {
    function test_everything_proven_in_several_transactions_pays_for_the_work() external {
        AuditItem[] memory items = new AuditItem[](7);
        for (uint256 i = 0; i < 6; ++i) {
            items[i] = stepItem(i, i % 3); // every kind, every window
        }
        items[6] = inputItem(2);
        uint256 auditId = openAudit(items);
        uint256 bond = audits.audit(auditId).bond;
        uint256 before = stake.credits(provider);
        uint256 burned = stake.totalBurned();
        for (uint256 i = 6; i > 0; --i) {
            proveAuditedStep(auditId, i - 1, (i - 1) % 3);
            expectProven(items[i - 1], auditId, true);
            vm.assertEq(audits.audit(auditId).remaining, i);
            expectStatus(ResponseStatus.Disputed);
        }
        proveAuditedInput(auditId, 2);
        expectAudit(auditId, Outcome.ProviderWon, Reason.Proven);
        expectStatus(ResponseStatus.Pending);
        vm.assertEq(stake.credits(provider) - before, bond / 2);
        vm.assertEq(stake.totalBurned() - burned, bond - bond / 2);
        vm.assertEq(stake.escrowOf(address(audits)), 0);
        vm.assertEq(ledger.openGamesOf(provider), 0);
    }

    function test_several_items_are_proven_in_one_transaction_by_the_operator() external {
        // Two kinds: the verifier of each accepts one preset statement.
        uint256 auditId = openAudit(two(stepItem(5, 1), stepItem(4, 2)));
        presetAudited(5, 1);
        presetAudited(4, 2);
        StepAnswer[] memory answers = new StepAnswer[](2);
        (answers[0], answers[1]) = (stepAnswer(5, 1), stepAnswer(4, 2));
        vm.prank(provider);
        stake.setOperator(stranger);
        vm.prank(stranger);
        audits.proveSteps(auditId, answers);
        expectAudit(auditId, Outcome.ProviderWon, Reason.Proven);
    }

    function test_a_response_of_one_window() external {
        response = makeResponse(20, 13, 13);
        commitBoundaries();
        batchId = post(response, "one window");
        uint256 auditId = openAudit(two(stepItem(1, 0), stepItem(0, 0)));
        proveAuditedStep(auditId, 1, 0);
        proveAuditedStep(auditId, 0, 0);
        expectAudit(auditId, Outcome.ProviderWon, Reason.Proven);
    }

    function testFuzz_every_item_of_a_response_can_be_proven(uint256 step, uint256 window) external {
        (step, window) = (step % STEPS, window % 3);
        uint256 auditId = openAudit(one(stepItem(step, window)));
        proveAuditedStep(auditId, step, window);
        expectAudit(auditId, Outcome.ProviderWon, Reason.Proven);
    }

    function testFuzz_another_item_than_was_named_is_refused(uint256 step, uint256 window, uint256 other)
        external
    {
        (step, window) = (step % STEPS, window % 3);
        (uint256 otherStep, uint256 otherWindow) = ((other / 3) % STEPS, other % 3);
        vm.assume(step != otherStep || window != otherWindow);
        uint256 auditId = openAudit(one(stepItem(step, window)));
        presetAudited(otherStep, otherWindow);
        refuseSteps(auditId, stepAnswer(otherStep, otherWindow), IAuditGame.ItemNotNamed.selector);
    }

    function test_attack_an_item_of_another_audit() external {
        uint256 auditId = openAudit(one(stepItem(3, 1)));
        openAuditAs(copycat, one(stepItem(4, 1)));
        presetAudited(4, 1);
        refuseSteps(auditId, stepAnswer(4, 1), IAuditGame.ItemNotNamed.selector);
        presetEmbedding(0);
        refuseInputs(auditId, inputAnswer(0), IAuditGame.ItemNotNamed.selector);
    }

    function test_attack_an_item_is_proven_twice() external {
        uint256 auditId = openAudit(two(stepItem(3, 1), stepItem(4, 1)));
        proveAuditedStep(auditId, 3, 1);
        refuseSteps(auditId, stepAnswer(3, 1), IAuditGame.ItemProvenBefore.selector);
        StepAnswer[] memory answers = new StepAnswer[](2);
        (answers[0], answers[1]) = (stepAnswer(4, 1), stepAnswer(4, 1));
        vm.startPrank(provider);
        vm.expectRevert(abi.encodeWithSelector(IAuditGame.WrongItemCount.selector, 2, 1));
        audits.proveSteps(auditId, answers);
        vm.expectRevert(abi.encodeWithSelector(IAuditGame.WrongItemCount.selector, 0, 1));
        audits.proveSteps(auditId, new StepAnswer[](0));
        vm.stopPrank();
    }

    function test_attack_an_answer_with_other_boundaries() external {
        uint256 auditId = openAudit(one(stepItem(3, 1)));
        presetAudited(3, 1);
        bytes4 error = IAuditGame.WrongAuditedBoundary.selector;
        // Those of a step that the provider computed as it liked, after the commitment.
        StepAnswer memory answer = stepAnswer(3, 1);
        answer.proof = stepProof(3, 1, Lie(4, 1));
        refuseSteps(auditId, answer, error);
        // True ones in another place.
        answer = stepAnswer(3, 1);
        (answer.proof.rootsBefore, answer.pathBefore) =
        (roots(2, Lie(NEVER, 0)), Merkle.path(boundaryLeaves, 2));
        refuseSteps(auditId, answer, error);
        answer = stepAnswer(3, 1);
        (answer.proof.rootsAfter, answer.pathAfter) =
        (roots(5, Lie(NEVER, 0)), Merkle.path(boundaryLeaves, 5));
        refuseSteps(auditId, answer, error);
        // An inner node as a leaf, a path too long or too short.
        answer = stepAnswer(3, 1);
        answer.pathBefore = new bytes32[](answer.pathBefore.length - 1);
        refuseSteps(auditId, answer, error);
        answer.pathBefore = new bytes32[](0);
        refuseSteps(auditId, answer, error);
        answer = stepAnswer(3, 1);
        answer.pathAfter[0] = bytes32(0);
        refuseSteps(auditId, answer, error);
        sendSteps(auditId, stepAnswer(3, 1));
    }

    function test_attack_an_answer_about_another_response() external {
        uint256 auditId = openAudit(one(stepItem(3, 1)));
        bytes32 root = response.fields.auditRoot;
        // The same model's other response, of more windows: its boundaries are others.
        response = makeResponse(120, 30, 30);
        commitBoundaries();
        vm.assertTrue(response.fields.auditRoot != root);
        presetAudited(3, 1);
        refuseSteps(auditId, stepAnswer(3, 1), IAuditGame.WrongAuditedBoundary.selector);
    }

    function test_attack_an_answer_of_another_kind_or_with_another_key() external {
        uint256 auditId = openAudit(one(stepItem(4, 1)));
        presetAudited(4, 1);
        StepAnswer memory answer = stepAnswer(4, 1);
        answer.proof.kind = MLP; // writes what the attention step writes
        refuseSteps(auditId, answer, IDisputeGame.WrongStepKey.selector);
        answer.proof.kind = KINDS;
        refuseSteps(auditId, answer, IModelRegistry.KindUnknown.selector);
        answer = stepAnswer(4, 1);
        answer.proof.key = "key of substituted weights";
        refuseSteps(auditId, answer, IDisputeGame.WrongStepKey.selector);
        answer.proof.key = stepKey(10); // the same kind, another step
        answer.proof.keyPath = stepKeyPath(10);
        refuseSteps(auditId, answer, IDisputeGame.WrongStepKey.selector);
        sendSteps(auditId, stepAnswer(4, 1));
    }

    /// @dev The provider commits to a public twin's key: the path leads to another root than the model's.
    function test_attack_the_key_of_a_public_model() external {
        uint256 auditId = openAudit(one(stepItem(4, 1)));
        StepAnswer memory answer = stepAnswer(4, 1);
        answer.proof.key = "key of the public model";
        bytes32[] memory leaves = stepKeyLeaves();
        leaves[4] = Leaves.stepKey(4, kindOf(4), keccak256(answer.proof.key));
        answer.proof.keyPath = Merkle.path(leaves, 4);
        refuseSteps(auditId, answer, IDisputeGame.WrongStepKey.selector);
    }

    function test_attack_a_committed_stream_that_the_step_does_not_write_moved() external {
        // The provider committed to boundaries in which step 5 (residual only) changed the sum, too.
        bytes32[] memory moved = roots(6, Lie(NEVER, 0));
        moved[3] = bytes32(uint256(1));
        boundaryLeaves[6] = Leaves.boundary(6, keccak256(abi.encodePacked(moved)));
        response.fields.auditRoot = Merkle.root(boundaryLeaves);
        batchId = post(response, "moved");
        uint256 auditId = openAudit(one(stepItem(5, 1)));
        presetAudited(5, 1);
        StepAnswer memory answer = stepAnswer(5, 1);
        answer.proof.rootsAfter = moved;
        refuseSteps(auditId, answer, IDisputeGame.StreamMoved.selector);
    }

    function test_attack_an_answer_with_other_windows_siblings_or_proof() external {
        uint256 auditId = openAudit(one(stepItem(5, 1)));
        presetAudited(5, 1);
        StepAnswer memory answer = stepAnswer(5, 1);
        answer.proof.sums[0] ^= 1;
        refuseSteps(auditId, answer, IDisputeGame.WrongWindow.selector);
        answer = stepAnswer(5, 1);
        answer.proof.sums = new uint256[](2);
        refuseSteps(auditId, answer, IDisputeGame.WrongSumCount.selector);
        answer = stepAnswer(5, 1);
        answer.proof.siblings = Merkle.path(boundaryLeaves, 0);
        refuseSteps(auditId, answer, IDisputeGame.WrongWindow.selector);
        answer = stepAnswer(5, 1);
        answer.proof.proof = "another proof";
        refuseSteps(auditId, answer, IDisputeGame.ProofRejected.selector);
        // The statement about another window does not pass for this one.
        presetAudited(5, 2);
        refuseSteps(auditId, stepAnswer(5, 1), IDisputeGame.ProofRejected.selector);
        expectProven(stepItem(5, 1), auditId, false);
    }

    function test_attack_an_input_with_other_tokens_rows_or_boundary() external {
        uint256 auditId = openAudit(one(inputItem(1)));
        presetEmbedding(1);
        InputAnswer memory answer = inputAnswer(1);
        answer.proof.promptIds[3] ^= 0x01;
        refuseInputs(auditId, answer, IDisputeGame.WrongTokenIds.selector);
        answer = inputAnswer(1);
        answer.proof.outputIds[3] ^= 0x01;
        refuseInputs(auditId, answer, IDisputeGame.WrongTokenIds.selector);
        answer = inputAnswer(1);
        (answer.proof.promptIds, answer.proof.outputIds) = (answer.proof.outputIds, answer.proof.promptIds);
        refuseInputs(auditId, answer, IDisputeGame.WrongTokenIds.selector);
        answer = inputAnswer(1);
        answer.proof.rows[2] = tokenRow(7 - sequenceToken(response, 34) % 7);
        refuseInputs(auditId, answer, IDisputeGame.WrongTokenRow.selector);
        answer = inputAnswer(1);
        answer.proof.window.sum[0] ^= 1;
        refuseInputs(auditId, answer, IDisputeGame.WrongWindow.selector);
        answer = inputAnswer(1);
        answer.proof.window.roots = roots(6, Lie(NEVER, 0));
        refuseInputs(auditId, answer, IDisputeGame.StreamMoved.selector);
        answer = inputAnswer(1);
        answer.proof.window.roots[0] = bytes32(uint256(1));
        refuseInputs(auditId, answer, IAuditGame.WrongAuditedBoundary.selector);
        answer = inputAnswer(1);
        answer.proof.proof = "another proof";
        refuseInputs(auditId, answer, IDisputeGame.ProofRejected.selector);
        presetEmbedding(0);
        refuseInputs(auditId, inputAnswer(0), IAuditGame.ItemNotNamed.selector);
        proveAuditedInput(auditId, 1);
        expectAudit(auditId, Outcome.ProviderWon, Reason.Proven);
    }

    function test_attack_a_stranger_answers_with_a_proof_from_the_mempool() external {
        uint256 auditId = openAudit(one(stepItem(5, 1)));
        presetAudited(5, 1);
        StepAnswer[] memory answers = new StepAnswer[](1);
        answers[0] = stepAnswer(5, 1);
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.NotMover.selector, stranger, provider));
        audits.proveSteps(auditId, answers);
        vm.prank(challenger);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.NotMover.selector, challenger, provider));
        audits.proveSteps(auditId, answers);
    }

    function test_unknown_audits_are_named_so() external {
        bytes memory unknown = abi.encodeWithSelector(IAuditGame.AuditUnknown.selector, 7);
        vm.expectRevert(unknown);
        audits.audit(7);
        vm.expectRevert(unknown);
        audits.timeout(7);
        vm.expectRevert(unknown);
        audits.resolveVoid(7);
        refuseSteps(7, stepAnswer(0, 0), IAuditGame.AuditUnknown.selector);
    }
}
