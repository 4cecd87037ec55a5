// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {AuditItem, HeadAnswer, IAuditGame} from "../src/interfaces/IAuditGame.sol";
import {IDisputeGame, Outcome, Reason} from "../src/interfaces/IDisputeGame.sol";
import {ResponseStatus} from "../src/interfaces/IInferenceLedger.sol";
import {Leaves} from "../src/libraries/Leaves.sol";
import {AuditScenario} from "./AuditScenario.sol";
import {Merkle} from "./Merkle.sol";

/// @title The head in audits: which tokens a proof is about is nobody's to say
contract ProveHeadsTest is AuditScenario {
    function test_every_tile_of_every_window_with_output_is_proven() external {
        AuditItem[] memory items = new AuditItem[](2 * TILES);
        for (uint256 i = 0; i < items.length; ++i) {
            items[i] = headItem(i % TILES, firstHeadWindow() + i / TILES);
        }
        uint256 auditId = openAudit(items);
        for (uint256 i = 0; i < items.length; ++i) {
            proveAuditedHead(auditId, items[i].step, items[i].window);
            expectProven(items[i], auditId, true);
        }
        expectAudit(auditId, Outcome.ProviderWon, Reason.Proven);
        expectStatus(ResponseStatus.Pending);
    }

    function test_one_request_names_steps_inputs_and_tiles() external {
        AuditItem[] memory items = new AuditItem[](3);
        (items[0], items[1], items[2]) = (stepItem(1, 1), inputItem(0), headItem(1, 1));
        uint256 auditId = openAudit(items);
        refuseSteps(auditId, stepAnswer(0, 1), IAuditGame.ItemNotNamed.selector);
        proveAuditedHead(auditId, 1, 1);
        refuseHeads(auditId, headAnswer(1, 1), IAuditGame.ItemProvenBefore.selector);
        proveAuditedStep(auditId, 1, 1);
        proveAuditedInput(auditId, 0);
        expectAudit(auditId, Outcome.ProviderWon, Reason.Proven);
    }

    /// @dev Prompts that end in front of, at and behind the end of a window; one token and many windows.
    /// forge-config: default.fuzz.runs = 24
    function testFuzz_rows_and_tokens_follow_from_the_response(uint256 prompt, uint256 output, uint256 window)
        external
    {
        (prompt, output) = (1 + prompt % 70, 1 + output % 70);
        response = makeResponse(prompt, output, output);
        commitBoundaries();
        batchId = post(response, "fuzzed");
        window = firstHeadWindow() + window % (windows() - firstHeadWindow());
        uint256 auditId = openAudit(one(headItem(2, window)));
        proveAuditedHead(auditId, 2, window);
        expectAudit(auditId, Outcome.ProviderWon, Reason.Proven);
    }

    /// @dev A provider that computed honestly and said something else: what it can prove is about other tokens.
    function test_attack_a_proof_about_the_tokens_that_the_model_would_have_said() external {
        uint256 auditId = openAudit(one(headItem(1, 1)));
        uint256[] memory inputs = headInputs(1, 1);
        inputs[3 + 7] ^= 1; // of position 39, the first one that counts
        headVerifier.preset(stepKey(STEPS + 1), inputs, PROOF);
        refuseHeads(auditId, headAnswer(1, 1), IDisputeGame.ProofRejected.selector);
        HeadAnswer memory answer = headAnswer(1, 1);
        answer.outputIds[3] ^= 0x01;
        refuseHeads(auditId, answer, IDisputeGame.WrongTokenIds.selector);
        vm.warp(block.timestamp + p.auditWindow + 1);
        audits.timeout(auditId);
        expectAudit(auditId, Outcome.ChallengerWon, Reason.TimedOut);
        expectStatus(ResponseStatus.Void);
    }

    function test_attack_a_row_that_counts_is_said_not_to() external {
        uint256 auditId = openAudit(one(headItem(1, 1)));
        for (uint256 word = 1; word < 3; ++word) {
            uint256[] memory inputs = headInputs(1, 1);
            // first one later, end one earlier: the row's token with it.
            uint256 row = word == 1 ? inputs[1]++ : --inputs[2];
            inputs[3 + row] = 0;
            headVerifier.preset(stepKey(STEPS + 1), inputs, PROOF);
            refuseHeads(auditId, headAnswer(1, 1), IDisputeGame.ProofRejected.selector);
        }
        // Lengths are of the leaf: fewer ids are not the response's.
        HeadAnswer memory answer = headAnswer(1, 1);
        answer.outputIds = new bytes(4 * 29);
        refuseHeads(auditId, answer, IDisputeGame.WrongTokenIds.selector);
        answer.outputIds = bytes.concat(response.outputIds, new bytes(4));
        refuseHeads(auditId, answer, IDisputeGame.WrongTokenIds.selector);
    }

    function test_attack_tokens_of_another_response() external {
        uint256 auditId = openAudit(one(headItem(1, 1)));
        HeadAnswer memory answer = headAnswer(1, 1);
        answer.promptHash = keccak256("another prompt");
        refuseHeads(auditId, answer, IDisputeGame.WrongTokenIds.selector);
        answer = headAnswer(1, 1);
        answer.outputIds = makeResponse(40, 31, 31).outputIds;
        refuseHeads(auditId, answer, IDisputeGame.WrongTokenIds.selector);
        (answer.promptHash, answer.outputIds) = (response.fields.outputHash, response.promptIds);
        refuseHeads(auditId, answer, IDisputeGame.WrongTokenIds.selector);
    }

    /// @dev A logit that suits the tile that was named: it is not in the leaf.
    function test_attack_a_chosen_logit_that_is_chosen_after_the_request() external {
        uint256 auditId = openAudit(one(headItem(1, 1)));
        HeadAnswer memory answer = headAnswer(1, 1);
        answer.chosen.sum[0] ^= 1;
        refuseHeads(auditId, answer, IDisputeGame.WrongWindow.selector);
        // With a tree of its own.
        bytes32[] memory leaves = chosenLeaves();
        leaves[1] = Leaves.window(1, answer.chosen.sum[0], answer.chosen.sum[1]);
        answer.chosen.roots[0] = Merkle.root(leaves);
        answer.chosen.path = Merkle.path(leaves, 1);
        refuseHeads(auditId, answer, IAuditGame.WrongAuditedBoundary.selector);
        // Another window's, which is committed.
        answer = headAnswer(1, 1);
        answer.chosen = chosenWindow(2);
        refuseHeads(auditId, answer, IDisputeGame.WrongWindow.selector);
        // A boundary in the place of the logits, and the logits in that of the boundary.
        answer = headAnswer(1, 1);
        (answer.chosen, answer.pathChosen) = (residualWindow(STEPS, 1), answer.pathLast);
        refuseHeads(auditId, answer, IDisputeGame.WrongRootCount.selector);
        answer = headAnswer(1, 1);
        (answer.residual, answer.pathLast) = (chosenWindow(1), answer.pathChosen);
        refuseHeads(auditId, answer, IDisputeGame.WrongRootCount.selector);
    }

    /// @dev The residual stream of another boundary, window or invention.
    function test_attack_a_head_about_another_residual() external {
        uint256 auditId = openAudit(one(headItem(1, 1)));
        HeadAnswer memory answer = headAnswer(1, 1);
        (answer.residual, answer.pathLast) =
        (residualWindow(STEPS - 1, 1), Merkle.path(boundaryLeaves, STEPS - 1));
        refuseHeads(auditId, answer, IAuditGame.WrongAuditedBoundary.selector);
        answer = headAnswer(1, 1);
        answer.residual = residualWindow(STEPS, 2);
        refuseHeads(auditId, answer, IDisputeGame.WrongWindow.selector);
        answer = headAnswer(1, 1);
        answer.residual.roots[0] = keccak256("of another trace");
        refuseHeads(auditId, answer, IAuditGame.WrongAuditedBoundary.selector);
    }

    /// @dev With it no id of tile 1 would be compared with anything.
    function test_attack_the_key_of_a_tile_under_another_number() external {
        uint256 auditId = openAudit(one(headItem(1, 1)));
        HeadAnswer memory answer = headAnswer(1, 1);
        (answer.key, answer.keyPath) = (stepKey(STEPS + 2), stepKeyPath(STEPS + 2));
        refuseHeads(auditId, answer, IDisputeGame.WrongStepKey.selector);
        answer.keyPath = stepKeyPath(STEPS + 1);
        refuseHeads(auditId, answer, IDisputeGame.WrongStepKey.selector);
        // The tile that the key belongs to, under its own number: nobody asked for it.
        presetTile(2, 1);
        refuseHeads(auditId, headAnswer(2, 1), IAuditGame.ItemNotNamed.selector);
        // A true proof of tile 2 in the place of tile 1.
        refuseHeads(auditId, headAnswer(1, 1), IDisputeGame.ProofRejected.selector);
    }

    /// @dev Leaves of steps and of tiles are in one tree: neither passes for the other.
    function test_attack_the_key_of_a_step_as_that_of_a_tile() external {
        uint256 auditId = openAudit(two(headItem(0, 1), stepItem(5, 1)));
        HeadAnswer memory answer = headAnswer(0, 1);
        (answer.key, answer.keyPath) = (stepKey(STEPS - 1), stepKeyPath(STEPS - 1));
        refuseHeads(auditId, answer, IDisputeGame.WrongStepKey.selector);
        answer = headAnswer(TILES, 1);
        (answer.key, answer.keyPath) = (stepKey(STEPS), stepKeyPath(STEPS));
        refuseHeads(auditId, answer, IDisputeGame.WrongStepKey.selector);
    }

    /// @dev Whoever registers keys for fewer tiles than it says has no path for the others.
    function test_attack_a_model_without_keys_of_its_tiles() external {
        spec.headTiles = 0;
        bytes32 root = Merkle.root(stepKeyLeaves());
        (spec.headTiles, spec.stepKeysRoot) = (TILES, root);
        modelId = register();
        batchId = post(response, "keyless");
        uint256 auditId = openAudit(two(headItem(1, 1), stepItem(5, 1)));
        presetTile(1, 1);
        refuseHeads(auditId, headAnswer(1, 1), IDisputeGame.WrongStepKey.selector);
        presetAudited(5, 1);
        refuseSteps(auditId, stepAnswer(5, 1), IDisputeGame.WrongStepKey.selector);
    }

    function test_attack_a_head_proof_that_is_none() external {
        uint256 auditId = openAudit(one(headItem(1, 1)));
        presetTile(1, 1);
        HeadAnswer memory answer = headAnswer(1, 1);
        answer.proof = "another proof";
        refuseHeads(auditId, answer, IDisputeGame.ProofRejected.selector);
        HeadAnswer[] memory answers = new HeadAnswer[](1);
        answers[0] = headAnswer(1, 1);
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.NotMover.selector, stranger, provider));
        audits.proveHeads(auditId, answers);
        sendHeads(auditId, headAnswer(1, 1));
        expectAudit(auditId, Outcome.ProviderWon, Reason.Proven);
    }
}
