// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Game, IDisputeGame, Outcome, Phase, Reason, StepProof} from "../src/interfaces/IDisputeGame.sol";
import {IInferenceLedger, ResponseStatus} from "../src/interfaces/IInferenceLedger.sol";
import {Scenario} from "./Scenario.sol";
import {Claimed} from "./Claimed.sol";
import {Groups} from "./Groups.sol";

/// @notice The attacks that need more than one action; the others are beside the action they abuse.
contract AttacksTest is Scenario {
    function total(address who) private view returns (uint256) {
        return who.balance + stake.credits(who);
    }

    function test_attack_playing_against_oneself_costs_on_both_sides() external {
        // The provider's friend wins: all of the lock is gone but for one reward, and the bond.
        uint256 before = total(provider) + total(copycat) + stake.account(provider).total;
        uint256 gameId = openAs(copycat);
        vm.prank(provider);
        game.concede(gameId, aboutOf(gameId));
        uint256 afterwards = total(provider) + total(copycat) + stake.account(provider).total;
        vm.assertEq(before - afterwards, p.lockPerResponse - p.gameReward + p.providerBond);
        // The provider's friend loses: half the bond is gone.
        batchId = post(response, "again");
        before = total(provider) + total(copycat) + stake.account(provider).total;
        gameId = openAs(copycat);
        vm.prank(copycat);
        game.concede(gameId, aboutOf(gameId));
        afterwards = total(provider) + total(copycat) + stake.account(provider).total;
        vm.assertEq(before - afterwards, p.challengerBond / 2);
    }

    function test_attack_provider_preempts_with_its_own_challenge() external {
        // A friend of the provider loses on purpose; the response is as open to dispute as before.
        uint256 gameId = openAs(copycat);
        vm.prank(copycat);
        game.concede(gameId, aboutOf(gameId));
        gameId = open();
        letTimePass(gameId);
        game.timeout(gameId);
        expectStatus(ResponseStatus.Void);
    }

    function test_attack_provider_fills_all_places_until_the_window_closes() external {
        uint256[] memory games = new uint256[](p.maxGamesPerResponse);
        for (uint256 i = 0; i < games.length; ++i) {
            games[i] = openAs(copycat);
        }
        vm.warp(ledger.batch(batchId).deadline + 1);
        // The friend gives up on all; once the place was empty for a while, whoever was kept out gets a whole window.
        for (uint256 i = 0; i < games.length; ++i) {
            vm.prank(copycat);
            game.concede(games[i], aboutOf(games[i]));
        }
        expectStatus(ResponseStatus.Pending);
        uint256 opens = block.timestamp + p.joinWindow;
        vm.assertEq(ledger.response(batchId, TARGET).emptyUntil, opens);
        vm.assertEq(ledger.response(batchId, TARGET).challengeDeadline, opens + p.challengeWindow);
        vm.expectPartialRevert(IInferenceLedger.ResponseNotFinal.selector);
        ledger.finaliseResponse(batchId, TARGET);
        vm.warp(opens + p.challengeWindow);
        uint256 honest = open();
        expectPhase(honest, Phase.AwaitBoundaries);
        expectSolvent();
    }

    function test_attack_challenge_spam_pays_the_provider() external {
        uint256 before = total(provider);
        for (uint256 i = 0; i < p.maxGamesPerResponse; ++i) {
            uint256 gameId = open();
            presetStep(5, 1);
            narrow(gameId, 5, 1);
            proveStep(gameId, stepProof(5, 1));
        }
        vm.assertEq(total(provider) - before, p.maxGamesPerResponse * (p.challengerBond / 2));
        vm.warp(ledger.response(batchId, TARGET).challengeDeadline + 1);
        expectStatus(ResponseStatus.Final);
        expectSolvent();
    }

    function test_attack_copycat_gets_only_what_its_own_bond_earns() external {
        uint256 gameId = open();
        uint256 copy = openAs(copycat);
        // The copycat cannot move in the challenger's game, nor be paid from it.
        postHashes(gameId, dueHashes(gameId, NEVER, 0));
        vm.prank(copycat);
        vm.expectPartialRevert(IDisputeGame.NotMover.selector);
        game.challengePart(gameId, Groups.ofPart(listOf[gameId], 0), 0, "");
        vm.prank(copycat);
        vm.expectPartialRevert(IDisputeGame.NotPlayer.selector);
        game.concede(gameId, aboutOf(gameId));
        vm.prank(challenger);
        game.challengePart(gameId, Groups.ofPart(listOf[gameId], 0), 0, "");
        letTimePass(gameId);
        vm.prank(copycat);
        game.timeout(gameId); // anyone may; the pay-out goes to the named party
        vm.assertEq(stake.credits(challenger), p.challengerBond + p.gameReward);
        game.resolveVoid(copy);
        vm.assertEq(stake.credits(copycat), game.game(copy).bond + p.gameReward);
    }

    function test_attack_replay_of_a_proof_in_another_game() external {
        // The same step and window of the same response, but other boundaries were posted.
        uint256 first = gameAtStepProof(5, 1);
        presetStep(5, 1);
        uint256 second = gameAtStepProof(5, 0);
        StepProof memory proof = stepProof(5, 1);
        vm.prank(provider);
        vm.expectPartialRevert(IDisputeGame.WrongPreimage.selector);
        game.proveStep(second, proof, shownOf(second));
        proveStep(first, proof);
        expectOutcome(first, Outcome.ProviderWon, Reason.Proven);
        expectPhase(second, Phase.AwaitProof);
    }

    function test_attack_games_of_a_response_of_another_index() external {
        // Disputes at one index leave the neighbours alone.
        uint256 gameId = open();
        vm.prank(provider);
        game.concede(gameId, aboutOf(gameId));
        vm.warp(ledger.batch(batchId).deadline + 1);
        vm.assertTrue(ledger.responseStatus(batchId, 0) == ResponseStatus.Final);
        vm.assertTrue(ledger.responseStatus(batchId, 1) == ResponseStatus.Void);
        vm.assertTrue(ledger.responseStatus(batchId, 2) == ResponseStatus.Final);
    }

    function test_attack_early_exit_during_a_dispute() external {
        uint256 gameId = gameAtStepProof(5, 1);
        uint256 free = stake.freeStake(provider);
        vm.prank(provider);
        stake.requestExit(free);
        vm.warp(block.timestamp + p.exitDelay);
        ledger.finaliseBatch(batchId);
        vm.prank(provider);
        stake.completeExit();
        // Released by the batch: two locks. The disputed one is still there and pays.
        vm.assertEq(stake.account(provider).locked, p.lockPerResponse);
        game.timeout(gameId);
        vm.assertEq(stake.credits(challenger), p.challengerBond + p.gameReward);
        expectSolvent();
    }

    function test_attack_range_cannot_be_stretched_or_moved() external {
        uint256 gameId = open();
        postBoundaries(gameId, 6, 1);
        challengeStep(gameId, 5);
        bytes32[] memory hashes = dueHashes(gameId, 6, 1); // of the steps 3, 4 and 5
        bytes32 end = hashes[3];
        postHashes(gameId, hashes);
        challengeStep(gameId, 5);
        Game memory g = game.game(gameId);
        // The start of the part is the posted cut, its end the one disputed a round earlier.
        bytes32 claim = Claimed.hash(claimOf[gameId]);
        vm.assertEq(g.boundariesHash, listHash(boundaryHash(5, 6, 1), end, claim));
        vm.assertEq(g.rangeStart, 5);
        vm.assertEq(g.rangeEnd, 6);
    }

    function test_attack_bisection_with_a_wrong_number_of_hashes() external {
        uint256 gameId = open();
        for (uint256 round = 1; round <= 2; ++round) {
            uint256 due = dueHashes(gameId, 6, 1).length;
            for (uint256 sent = 0; sent <= due + 1; ++sent) {
                if (sent == due) continue;
                vm.prank(provider);
                vm.expectRevert(abi.encodeWithSelector(IDisputeGame.WrongHashCount.selector, sent, due));
                game.postBoundaries(gameId, aboutOf(gameId), new bytes32[](sent));
            }
            postBoundaries(gameId, 6, 1);
            challengeStep(gameId, 5);
        }
        expectPhase(gameId, Phase.AwaitProof);
    }

    function test_attack_bisection_whose_end_is_unchanged() external {
        // In round two the provider says that nothing changed in the range: the end stays what it was.
        uint256 gameId = open();
        postBoundaries(gameId, 6, 1);
        challengeStep(gameId, 5);
        bytes32[] memory hashes = dueHashes(gameId, 6, 1);
        uint256 last = hashes.length - 1;
        for (uint256 i = 1; i < last; ++i) {
            hashes[i] = hashes[0];
        }
        postHashes(gameId, hashes);
        challengeStep(gameId, 5);
        bytes32 claim = Claimed.hash(claimOf[gameId]);
        vm.assertEq(game.game(gameId).boundariesHash, listHash(hashes[0], hashes[last], claim));
        letTimePass(gameId);
        game.timeout(gameId);
        expectOutcome(gameId, Outcome.ChallengerWon, Reason.TimedOut);
    }

    function test_attack_replay_of_a_leaf_in_another_model() external {
        spec.architectureDigest = "another model";
        bytes32 otherModel = register();
        bytes32 root = ledger.batch(batchId).root;
        vm.startPrank(provider);
        uint256 other = ledger.postBatch(provider, root, "another salt", otherModel, 3);
        vm.stopPrank();
        bytes32[] memory path = batchPath();
        vm.prank(challenger);
        vm.expectPartialRevert(IInferenceLedger.LeafNotInBatch.selector);
        game.open{value: p.challengerBond}(other, TARGET, response.fields, path, "");
    }

    function test_attack_stealing_a_move() external {
        uint256 gameId = open();
        bytes32[] memory hashes = dueHashes(gameId, 6, 1);
        vm.prank(copycat);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.NotMover.selector, copycat, provider));
        game.postBoundaries(gameId, aboutOf(gameId), hashes);
        postBoundaries(gameId, 6, 1);
        vm.startPrank(copycat);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.NotMover.selector, copycat, challenger));
        game.challengePart(gameId, Groups.ofPart(listOf[gameId], 3), 3, "");
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.NotMover.selector, copycat, challenger));
        game.challengeInput(gameId, Groups.first(listOf[gameId]), "");
        vm.stopPrank();
        vm.prank(provider); // nor may one side move for the other
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.NotMover.selector, provider, challenger));
        game.challengePart(gameId, Groups.ofPart(listOf[gameId], 3), 3, "");
    }

    function test_attack_front_running_a_conclusive_claim_takes_nothing_from_the_first() external {
        response = makeResponse(40, 20, 30);
        batchId = post(response, "cut short");
        uint256 first = open();
        uint256 copy = openAs(copycat);
        vm.prank(copycat);
        game.claimTruncated(copy, response.fields.promptHash, response.outputIds, endTokens());
        vm.prank(challenger);
        vm.expectPartialRevert(IDisputeGame.ResponseAlreadyVoid.selector);
        game.claimTruncated(first, response.fields.promptHash, response.outputIds, endTokens());
        game.resolveVoid(first);
        vm.assertEq(stake.credits(challenger), p.challengerBond + p.gameReward);
        expectStatus(ResponseStatus.Void);
    }
}
