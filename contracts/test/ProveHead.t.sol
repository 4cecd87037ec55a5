// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {HeadProof, IDisputeGame, Outcome, Reason} from "../src/interfaces/IDisputeGame.sol";
import {Curve} from "../src/libraries/Curve.sol";
import {Scenario} from "./Scenario.sol";

contract ProveHeadTest is Scenario {
    function prove(uint256 position, uint256 rivalId) private {
        uint256 chosenId = outputToken(position + 1 - response.fields.promptLength);
        uint256 gameId = gameAtHeadProof(position, rivalId);
        presetHead(position, chosenId, rivalId);
        proveHead(gameId, headProof(position, chosenId, rivalId));
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Proven);
        expectSolvent();
    }

    function test_a_smaller_rival_must_be_beaten_strictly() external {
        prove(39, 0); // chosen 3
    }

    function test_a_larger_rival_may_tie() external {
        prove(39, 9);
    }

    function test_first_and_last_position_at_every_length() external {
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
            prove(shapes[i][0] - 1, 0);
            prove(shapes[i][0] + shapes[i][1] - 2, 0);
            vm.revertToState(start);
        }
    }

    function test_attack_other_points_tokens_or_order() external {
        uint256 chosen = outputToken(1);
        uint256 gameId = gameAtHeadProof(40, 0);
        presetHead(40, chosen, 0);
        HeadProof memory proof = headProof(40, chosen, 0);
        (proof.winner, proof.rival) = (proof.rival, proof.winner);
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.WrongTokenRow.selector, chosen));
        game.proveHead(gameId, proof);
        proof = headProof(40, chosen, 1); // an easier rival
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.WrongTokenRow.selector, 0));
        game.proveHead(gameId, proof);
        proof = headProof(40, chosen, 0);
        proof.window = residualWindow(STEPS - 1, 1);
        vm.prank(provider);
        vm.expectPartialRevert(IDisputeGame.WrongPreimage.selector);
        game.proveHead(gameId, proof);
        proof.window.roots = new bytes32[](0);
        vm.prank(provider);
        vm.expectPartialRevert(IDisputeGame.WrongPreimage.selector);
        game.proveHead(gameId, proof);
        proof.window = residualWindow(STEPS, 0); // another window of the right boundary
        refuseWindow(gameId, proof);
        proof.window = residualWindow(STEPS, 1);
        proof.window.sum[0] ^= 1;
        refuseWindow(gameId, proof);
        proof.window = residualWindow(STEPS, 1);
        proof.window.path = new bytes32[](1);
        refuseWindow(gameId, proof);
        for (uint256 i = 0; i < 2; ++i) {
            proof.window = residualWindow(STEPS, 1);
            uint256 beyond = proof.window.sum[i] + Curve.Q;
            proof.window.sum[i] = beyond;
            vm.prank(provider);
            vm.expectRevert(abi.encodeWithSelector(Curve.CoordinateOutOfRange.selector, beyond));
            game.proveHead(gameId, proof);
        }
    }

    function refuseWindow(uint256 gameId, HeadProof memory proof) private {
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.WrongWindow.selector, 0, 1));
        game.proveHead(gameId, proof);
    }

    function test_attack_proof_of_another_position() external {
        uint256 gameId = gameAtHeadProof(40, 0);
        presetHead(41, outputToken(1), 0);
        HeadProof memory proof = headProof(41, outputToken(1), 0);
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.ProofRejected.selector, address(headVerifier)));
        game.proveHead(gameId, proof);
    }

    function test_a_wrong_output_token_loses_by_time() external {
        uint256 gameId = gameAtHeadProof(40, 0);
        letTimePass(gameId);
        game.timeout(gameId);
        expectOutcome(gameId, Outcome.ChallengerWon, Reason.TimedOut);
    }
}
