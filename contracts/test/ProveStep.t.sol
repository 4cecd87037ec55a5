// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IDisputeGame, Outcome, Phase, Reason, StepProof} from "../src/interfaces/IDisputeGame.sol";
import {ResponseStatus} from "../src/interfaces/IInferenceLedger.sol";
import {Scenario} from "./Scenario.sol";

contract ProveStepTest is Scenario {
    function prove(uint256 step, uint256 window) private {
        uint256 gameId = gameAtStepProof(step, window);
        presetStep(step, window);
        proveStep(gameId, stepProof(step, window));
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Proven);
    }

    function test_a_valid_proof_wins_half_the_bond_and_burns_the_rest() external {
        prove(5, 1);
        vm.assertEq(stake.credits(provider), p.challengerBond / 2);
        vm.assertEq(stake.totalBurned(), p.challengerBond / 2);
        vm.assertEq(stake.credits(challenger), 0);
        vm.assertEq(stake.account(provider).locked, 3 * p.lockPerResponse);
        expectStatus(ResponseStatus.Pending);
        expectSolvent();
    }

    /// @dev First and last step, first and last window, for T = 1, 31, 32, 33, 69 and the maximum 256.
    function test_first_and_last_step_and_window_at_every_length() external {
        uint256[2][6] memory shapes = [
            [uint256(1), 1],
            [uint256(1), 31],
            [uint256(2), 31],
            [uint256(2), 32],
            [uint256(40), 30],
            [uint256(250), 7]
        ];
        uint256 start = vm.snapshotState();
        for (uint256 i = 0; i < shapes.length; ++i) {
            dispute(shapes[i][0], shapes[i][1]);
            uint256 last = windows() - 1;
            uint256 ready = vm.snapshotState();
            for (uint256 corner = 0; corner < 4; ++corner) {
                prove(corner < 2 ? 0 : STEPS - 1, corner % 2 == 0 ? 0 : last);
                vm.revertToState(ready);
            }
            vm.revertToState(start);
        }
    }

    function test_a_refused_proof_can_be_replaced_while_the_clock_runs() external {
        uint256 gameId = gameAtStepProof(5, 1);
        StepProof memory proof = stepProof(5, 1);
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.ProofRejected.selector, address(verifiers[0])));
        // Step 5 is an MLP step; the expected verifier is the first.
        game.proveStep(gameId, proof);
        presetStep(5, 1);
        proveStep(gameId, proof);
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Proven);
    }

    function test_even_steps_ask_the_attention_verifier() external {
        uint256 gameId = gameAtStepProof(4, 2);
        StepProof memory proof = stepProof(4, 2);
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.ProofRejected.selector, address(verifiers[1])));
        game.proveStep(gameId, proof);
    }

    function test_attack_replay_of_a_proof_for_another_step_or_window() external {
        presetStep(5, 1);
        uint256 gameId = gameAtStepProof(5, 2); // the preset statement is of window 1
        StepProof memory proof = stepProof(5, 2);
        vm.prank(provider);
        vm.expectPartialRevert(IDisputeGame.ProofRejected.selector);
        game.proveStep(gameId, proof);
        gameId = gameAtStepProof(7, 1); // and of step 5
        proof = stepProof(7, 1);
        vm.prank(provider);
        vm.expectPartialRevert(IDisputeGame.ProofRejected.selector);
        game.proveStep(gameId, proof);
    }

    function test_attack_key_of_another_step_or_model() external {
        uint256 gameId = gameAtStepProof(5, 1);
        presetStep(5, 1);
        StepProof memory proof = stepProof(5, 1);
        proof.key = stepKey(7);
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.WrongStepKey.selector, 5, keccak256(stepKey(7))));
        game.proveStep(gameId, proof);
        proof.keyPath = stepKeyPath(7);
        vm.prank(provider);
        vm.expectPartialRevert(IDisputeGame.WrongStepKey.selector);
        game.proveStep(gameId, proof);
        proof.key = "foreign key";
        proof.keyPath = stepKeyPath(5);
        vm.prank(provider);
        vm.expectPartialRevert(IDisputeGame.WrongStepKey.selector);
        game.proveStep(gameId, proof);
    }

    function test_attack_points_that_were_not_revealed() external {
        uint256 gameId = gameAtStepProof(5, 1);
        presetStep(5, 1);
        StepProof memory proof = stepProof(5, 1);
        proof.pointsAfter = points(6, NEVER, 0); // the honest ones, not the posted ones
        vm.prank(provider);
        vm.expectPartialRevert(IDisputeGame.WrongPreimage.selector);
        game.proveStep(gameId, proof);
        proof = stepProof(5, 1);
        proof.pointsBefore[0] ^= 1;
        vm.prank(provider);
        vm.expectPartialRevert(IDisputeGame.WrongPreimage.selector);
        game.proveStep(gameId, proof);
    }

    function test_attack_stealing_a_proof_from_the_mempool() external {
        uint256 gameId = gameAtStepProof(5, 1);
        presetStep(5, 1);
        StepProof memory proof = stepProof(5, 1);
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.NotMover.selector, stranger, provider));
        game.proveStep(gameId, proof);
    }

    function test_the_target_decides_which_proof_counts() external {
        uint256 gameId = gameAtStepProof(5, 1);
        vm.startPrank(provider);
        vm.expectPartialRevert(IDisputeGame.WrongTarget.selector);
        game.proveHead(gameId, headProof(1, 2));
        vm.expectPartialRevert(IDisputeGame.WrongTarget.selector);
        game.proveEmbedding(gameId, embeddingProof(1));
        vm.stopPrank();
    }

    function test_the_deadline_of_a_proof() external {
        uint256 gameId = gameAtStepProof(5, 1);
        presetStep(5, 1);
        StepProof memory proof = stepProof(5, 1);
        uint64 deadline = game.game(gameId).deadline;
        vm.warp(deadline + 1);
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.TurnOver.selector, deadline));
        game.proveStep(gameId, proof);
        vm.warp(deadline);
        proveStep(gameId, proof);
        expectPhase(gameId, Phase.Resolved);
    }
}
