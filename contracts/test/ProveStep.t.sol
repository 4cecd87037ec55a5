// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    EmbeddingProof,
    HeadProof,
    IDisputeGame,
    Outcome,
    Phase,
    Reason,
    StepProof
} from "../src/interfaces/IDisputeGame.sol";
import {ResponseStatus} from "../src/interfaces/IInferenceLedger.sol";
import {Curve} from "../src/libraries/Curve.sol";
import {Merkle} from "./Merkle.sol";
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

    /// @dev Trees over an odd number of chunks, or of windows in the last one.
    function test_whole_chunks_are_read_of_any_number_of_windows() external {
        uint256 start = vm.snapshotState();
        for (uint256 count = 5; count < 8; ++count) {
            dispute(32 * count, 1);
            uint256 ready = vm.snapshotState();
            for (uint256 window = 0; window < count; ++window) {
                prove(1, window);
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
        game.proveStep(gameId, proof, shownOf(gameId));
        presetStep(5, 1);
        proveStep(gameId, proof);
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Proven);
    }

    function test_every_kind_asks_its_own_verifier_about_every_window() external {
        dispute(250, 7); // eight windows: two chunks of the placed streams
        uint256 fresh = vm.snapshotState();
        for (uint256 step = 0; step < 6; ++step) {
            for (uint256 window = 0; window < windows(); ++window) {
                uint256 gameId = gameAtStepProof(step, window);
                StepProof memory proof = stepProof(step, window);
                address expected = address(verifiers[kindOf(step)]);
                vm.prank(provider);
                vm.expectRevert(abi.encodeWithSelector(IDisputeGame.ProofRejected.selector, expected));
                game.proveStep(gameId, proof, shownOf(gameId));
                presetStep(step, window);
                proveStep(gameId, proof);
                expectOutcome(gameId, Outcome.ProviderWon, Reason.Proven);
                vm.revertToState(fresh);
            }
        }
    }

    function test_attack_replay_of_a_proof_for_another_step_or_window() external {
        presetStep(5, 1);
        uint256 gameId = gameAtStepProof(5, 2); // the preset statement is of window 1
        StepProof memory proof = stepProof(5, 2);
        vm.prank(provider);
        vm.expectPartialRevert(IDisputeGame.ProofRejected.selector);
        game.proveStep(gameId, proof, shownOf(gameId));
        gameId = gameAtStepProof(11, 1); // and of step 5, of the same kind
        proof = stepProof(11, 1);
        vm.prank(provider);
        vm.expectPartialRevert(IDisputeGame.ProofRejected.selector);
        game.proveStep(gameId, proof, shownOf(gameId));
    }

    function test_attack_key_of_another_step_or_model() external {
        uint256 gameId = gameAtStepProof(5, 1);
        presetStep(5, 1);
        StepProof memory proof = stepProof(5, 1);
        proof.key = stepKey(7);
        vm.prank(provider);
        vm.expectRevert(
            abi.encodeWithSelector(IDisputeGame.WrongStepKey.selector, 5, MLP, keccak256(stepKey(7)))
        );
        game.proveStep(gameId, proof, shownOf(gameId));
        proof.keyPath = stepKeyPath(7);
        vm.prank(provider);
        vm.expectPartialRevert(IDisputeGame.WrongStepKey.selector);
        game.proveStep(gameId, proof, shownOf(gameId));
        proof.key = "foreign key";
        proof.keyPath = stepKeyPath(5);
        vm.prank(provider);
        vm.expectPartialRevert(IDisputeGame.WrongStepKey.selector);
        game.proveStep(gameId, proof, shownOf(gameId));
    }

    function refuse(uint256 gameId, StepProof memory proof, bytes memory error) private {
        vm.prank(provider);
        vm.expectRevert(error);
        game.proveStep(gameId, proof, shownOf(gameId));
    }

    function wrongWindow(uint256 stream, uint256 window) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IDisputeGame.WrongWindow.selector, stream, window);
    }

    function test_attack_sums_that_were_not_posted() external {
        uint256 gameId = gameAtStepProof(5, 1);
        presetStep(5, 1);
        StepProof memory proof = stepProof(5, 1);
        proof.rootsAfter = roots(6, Lie(NEVER, 0)); // the honest ones, not the posted ones
        vm.prank(provider);
        vm.expectPartialRevert(IDisputeGame.WrongPreimage.selector);
        game.proveStep(gameId, proof, shownOf(gameId));
        proof = stepProof(5, 1);
        proof.rootsBefore[3] = "another root";
        vm.prank(provider);
        vm.expectPartialRevert(IDisputeGame.WrongPreimage.selector);
        game.proveStep(gameId, proof, shownOf(gameId));
        proof = stepProof(5, 1);
        (proof.sums[2], proof.sums[3]) = commitment(0, 6, 1, Lie(NEVER, 0));
        refuse(gameId, proof, wrongWindow(0, 1));
    }

    /// @dev Every word of the sums and every sibling of a tile's proof is fixed by something.
    function test_attack_every_changed_sum_and_sibling_is_refused() external {
        dispute(250, 7);
        uint256 gameId = gameAtStepProof(8, 6);
        presetStep(8, 6);
        StepProof memory proof = stepProof(8, 6);
        // residual; keys and values of two chunks each; the sum before and after.
        vm.assertEq(proof.sums.length, 2 * (1 + 2 + 2 + 1 + 1));
        bytes4 error = IDisputeGame.WrongWindow.selector;
        for (uint256 i = 0; i < proof.sums.length; ++i) {
            proof.sums[i] ^= 1;
            vm.prank(provider);
            vm.expectPartialRevert(error);
            game.proveStep(gameId, proof, shownOf(gameId));
            proof.sums[i] ^= 1;
        }
        for (uint256 i = 0; i < proof.siblings.length; ++i) {
            proof.siblings[i] ^= bytes32(uint256(1));
            vm.prank(provider);
            vm.expectPartialRevert(error);
            game.proveStep(gameId, proof, shownOf(gameId));
            proof.siblings[i] ^= bytes32(uint256(1));
        }
        proveStep(gameId, proof);
    }

    function test_attack_leaf_of_another_window() external {
        uint256 gameId = gameAtStepProof(5, 1);
        presetStep(5, 1);
        StepProof memory other = stepProof(5, 2); // as if it were about the same posted boundaries
        other.rootsBefore = roots(5, Lie(6, 1));
        other.rootsAfter = roots(6, Lie(6, 1));
        refuse(gameId, other, wrongWindow(0, 1));
    }

    function test_attack_another_streams_leaf() external {
        uint256 gameId = gameAtStepProof(8, 1);
        presetStep(8, 1);
        StepProof memory proof = stepProof(8, 1); // residual, keys, values, sum, sum
        (proof.sums[2], proof.sums[3], proof.sums[4], proof.sums[5]) =
        (proof.sums[4], proof.sums[5], proof.sums[2], proof.sums[3]);
        refuse(gameId, proof, wrongWindow(1, 1));
    }

    /// @dev Windows 3 and 4 lie in different chunks: the sum of window 3 is nothing that window 4 adds to.
    function test_attack_the_window_before_from_another_chunk() external {
        dispute(250, 7);
        uint256 gameId = gameAtStepProof(6, 4);
        presetStep(6, 4);
        StepProof memory proof = stepProof(6, 4); // residual, keys, values
        vm.assertEq(proof.sums.length, 6);
        uint256[] memory more = new uint256[](8);
        for (uint256 i = 0; i < 4; ++i) {
            more[i] = proof.sums[i];
        }
        (more[4], more[5]) = sum(1, 7, 3, Lie(7, 4));
        (more[6], more[7]) = (proof.sums[4], proof.sums[5]);
        proof.sums = more;
        refuse(gameId, proof, abi.encodeWithSelector(IDisputeGame.WrongSumCount.selector, 8, 6));
        // And within a chunk it is the window in front, no other one: 5 adds to 4.
        gameId = gameAtStepProof(6, 5);
        proof = stepProof(6, 5); // residual, keys of 5 and 4, values of 5 and 4
        vm.assertEq(proof.sums.length, 10);
        (proof.sums[4], proof.sums[5]) = sum(1, 7, 3, Lie(7, 5));
        refuse(gameId, proof, wrongWindow(1, 4));
    }

    function test_attack_wrong_number_of_chunk_sums_or_siblings() external {
        dispute(250, 7);
        uint256 gameId = gameAtStepProof(8, 6);
        presetStep(8, 6);
        StepProof memory proof = stepProof(8, 6);
        uint256 due = proof.sums.length;
        bytes4 error = IDisputeGame.WrongSumCount.selector;
        for (uint256 sent = 0; sent <= due + 2; ++sent) {
            if (sent == due) continue;
            proof.sums = new uint256[](sent);
            refuse(gameId, proof, abi.encodeWithSelector(error, sent, due));
        }
        proof = stepProof(8, 6);
        uint256 length = proof.siblings.length;
        bytes32[] memory more = new bytes32[](length + 1);
        bytes32[] memory fewer = new bytes32[](length - 1);
        for (uint256 i = 0; i < length; ++i) {
            more[i] = proof.siblings[i];
            if (i + 1 < length) fewer[i] = proof.siblings[i];
        }
        proof.siblings = more;
        error = IDisputeGame.WrongSiblingCount.selector;
        refuse(gameId, proof, abi.encodeWithSelector(error, length + 1, length));
        proof.siblings = fewer;
        refuse(gameId, proof, wrongWindow(3, 6));
        proof.siblings = new bytes32[](0);
        refuse(gameId, proof, wrongWindow(0, 6));
    }

    /// @dev The first tile adds to a sum that was never written: nothing but infinity is its window.
    function test_attack_a_sum_of_a_stream_without_windows() external {
        uint256 gameId = gameAtStepProof(1, 1);
        presetStep(1, 1);
        StepProof memory proof = stepProof(1, 1); // residual, keys, values, sum, sum
        vm.assertEq(proof.sums[6], 0);
        for (uint256 i = 6; i < 8; ++i) {
            proof.sums[i] = 1;
            refuse(gameId, proof, wrongWindow(3, 1));
            proof.sums[i] = 0;
        }
        proveStep(gameId, proof);
    }

    function test_attack_sums_that_are_not_canonical() external {
        uint256 gameId = gameAtStepProof(6, 1);
        presetStep(6, 1);
        StepProof memory proof = stepProof(6, 1);
        for (uint256 i = 0; i < proof.sums.length; ++i) {
            uint256 honest = proof.sums[i];
            proof.sums[i] += Curve.Q;
            bytes4 error = Curve.CoordinateOutOfRange.selector;
            refuse(gameId, proof, abi.encodeWithSelector(error, honest + Curve.Q));
            proof.sums[i] = honest;
        }
        proveStep(gameId, proof);
    }

    /// @dev A posted sum that is no point of the curve: the window's commitment cannot be taken out of it.
    function test_attack_a_sum_that_is_not_on_the_curve() external {
        uint256 gameId = open();
        uint256[] memory keys = sums(1, 7, Lie(7, 1));
        keys[2] ^= 1; // window 1
        bytes32[] memory posted = roots(7, Lie(7, 1));
        posted[1] = Merkle.root(leavesOf(keys));
        windowOf[gameId] = 1;
        narrowToEnd(gameId, 6, posted, trueClaimOf(6, posted));
        presetStep(6, 1);
        StepProof memory proof = stepProof(6, 1); // residual, keys of 1 and 0, values of 1 and 0
        proof.rootsAfter = posted;
        (proof.sums[2], proof.sums[3]) = (keys[2], keys[3]);
        proof.siblings[4] = leavesOf(keys)[1]; // of window 0, behind two each of residual and keys
        bytes4 error = Curve.NotOnCurve.selector;
        refuse(gameId, proof, abi.encodeWithSelector(error, keys[2], keys[3], keys[0], keys[1]));
        letTimePass(gameId);
        game.timeout(gameId);
        expectOutcome(gameId, Outcome.ChallengerWon, Reason.TimedOut);
    }

    function test_attack_stealing_a_proof_from_the_mempool() external {
        uint256 gameId = gameAtStepProof(5, 1);
        presetStep(5, 1);
        StepProof memory proof = stepProof(5, 1);
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.NotMover.selector, stranger, provider));
        game.proveStep(gameId, proof, shownOf(gameId));
    }

    function test_the_target_decides_which_proof_counts() external {
        uint256 gameId = gameAtStepProof(5, 1);
        HeadProof memory aboutHead = headProof(40, 1, 2);
        EmbeddingProof memory aboutInput = embeddingProof(1);
        vm.startPrank(provider);
        vm.expectPartialRevert(IDisputeGame.WrongTarget.selector);
        game.proveHead(gameId, aboutHead);
        vm.expectPartialRevert(IDisputeGame.WrongTarget.selector);
        game.proveEmbedding(gameId, aboutInput, shownOf(gameId));
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
        game.proveStep(gameId, proof, shownOf(gameId));
        vm.warp(deadline);
        proveStep(gameId, proof);
        expectPhase(gameId, Phase.Resolved);
    }
}
