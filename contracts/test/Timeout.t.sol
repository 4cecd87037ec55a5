// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Game, IDisputeGame, Outcome, Phase, Reason} from "../src/interfaces/IDisputeGame.sol";
import {ResponseStatus} from "../src/interfaces/IInferenceLedger.sol";
import {Scenario} from "./Scenario.sol";
import {Groups} from "./Groups.sol";

contract TimeoutTest is Scenario {
    /// @dev t - 1 and t: no timeout; t + 1: no move, and the mover loses.
    function expectTimeout(uint256 gameId, Phase phase, Outcome outcome) private {
        expectPhase(gameId, phase);
        uint64 deadline = game.game(gameId).deadline;
        for (uint256 i = 0; i < 2; ++i) {
            vm.warp(deadline - 1 + i);
            vm.expectRevert(abi.encodeWithSelector(IDisputeGame.TurnNotOver.selector, deadline));
            game.timeout(gameId);
        }
        vm.warp(deadline + 1);
        vm.prank(stranger);
        game.timeout(gameId);
        expectOutcome(gameId, outcome, Reason.TimedOut);
        expectSolvent();
    }

    function test_the_provider_must_post_boundaries() external {
        expectTimeout(open(), Phase.AwaitBoundaries, Outcome.ChallengerWon);
        expectStatus(ResponseStatus.Void);
        vm.assertEq(stake.credits(challenger), p.challengerBond + p.gameReward);
        vm.assertEq(
            stake.totalBurned(), p.lockPerResponse - p.maxGamesPerResponse * p.gameReward + p.providerBond
        );
    }

    function test_the_challenger_must_challenge() external {
        uint256 gameId = open();
        postBoundaries(gameId, NEVER, 0);
        expectTimeout(gameId, Phase.AwaitChallenge, Outcome.ProviderWon);
        vm.assertEq(stake.credits(provider), p.challengerBond / 2);
        vm.assertEq(stake.totalBurned(), p.challengerBond / 2);
    }

    function test_the_provider_must_prove() external {
        expectTimeout(gameAtStepProof(5, 1), Phase.AwaitProof, Outcome.ChallengerWon);
    }

    function test_a_resolved_game_does_not_time_out() external {
        uint256 gameId = open();
        letTimePass(gameId);
        game.timeout(gameId);
        vm.expectPartialRevert(IDisputeGame.WrongPhase.selector);
        game.timeout(gameId);
    }

    function test_the_clock_runs_only_for_the_mover() external {
        uint256 gameId = open();
        vm.warp(block.timestamp + 50);
        postBoundaries(gameId, 5, 0);
        Game memory g = game.game(gameId);
        vm.assertEq(g.providerClock, p.clock - 50);
        vm.assertEq(g.challengerClock, p.clock);
        vm.assertEq(g.deadline, block.timestamp + p.clock);
        vm.warp(block.timestamp + 30);
        challengeStep(gameId, 5);
        g = game.game(gameId);
        vm.assertEq(g.providerClock, p.clock - 50);
        vm.assertEq(g.challengerClock, p.clock - 30);
        vm.assertEq(g.deadline, block.timestamp + p.clock - 50);
    }

    function test_attack_last_second_move_still_leaves_time_for_the_next_action() external {
        uint256 gameId = open();
        vm.warp(game.game(gameId).deadline); // the provider's whole budget is gone
        postBoundaries(gameId, 5, 1);
        vm.warp(game.game(gameId).deadline); // and the challenger's
        challengeStep(gameId, 5);
        Game memory g = game.game(gameId);
        vm.assertEq(g.providerClock, 0);
        vm.assertEq(g.challengerClock, 0);
        vm.assertEq(g.deadline, block.timestamp + p.moveExtension);
        bytes32[] memory hashes = dueHashes(gameId, 5, 1);
        hashes[2] = boundaryHash(5, 6, 1);
        vm.warp(g.deadline);
        postHashes(gameId, hashes);
        vm.assertEq(game.game(gameId).deadline, block.timestamp + p.moveExtension);
        challengeStep(gameId, 4);
        vm.assertEq(game.game(gameId).deadline, block.timestamp + p.proveExtension);
    }

    function test_attack_stalling_is_bounded() external {
        uint256 started = block.timestamp;
        uint256 gameId = open();
        while (game.game(gameId).phase == Phase.AwaitBoundaries) {
            vm.warp(game.game(gameId).deadline);
            postBoundaries(gameId, 6, 1);
            vm.warp(game.game(gameId).deadline);
            challengeStep(gameId, 5);
        }
        letTimePass(gameId);
        game.timeout(gameId);
        // Two clocks, and an extension for each of the five turns.
        uint256 turns = 2 * p.moveExtension + 2 * p.traceExtension + p.proveExtension;
        vm.assertLe(block.timestamp - started, 2 * p.clock + turns + 1);
    }
}
