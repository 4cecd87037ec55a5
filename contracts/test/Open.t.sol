// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Game, IDisputeGame, Outcome, Phase, Reason} from "../src/interfaces/IDisputeGame.sol";
import {IInferenceLedger, ResponseFields, ResponseStatus} from "../src/interfaces/IInferenceLedger.sol";
import {Scenario} from "./Scenario.sol";

contract OpenTest is Scenario {
    function test_opening_escrows_the_bond_and_waits_for_boundaries() external {
        uint256 gameId = open();
        Game memory g = game.game(gameId);
        vm.assertEq(g.challenger, challenger);
        vm.assertEq(g.provider, provider);
        vm.assertEq(g.rangeEnd, STEPS);
        vm.assertEq(g.deadline, block.timestamp + p.clock);
        vm.assertEq(moverOf(gameId), provider);
        vm.assertEq(windowsOf(gameId), windows());
        vm.assertEq(stake.escrowOf(address(game)), p.challengerBond);
        expectPhase(gameId, Phase.AwaitBoundaries);
        expectStatus(ResponseStatus.Disputed);
        expectSolvent();
    }

    function test_a_bond_too_small_is_refused_and_what_is_beyond_it_is_credited() external {
        bytes32[] memory path = batchPath();
        bytes32 secret = readyAs(challenger);
        vm.prank(challenger);
        vm.expectRevert(
            abi.encodeWithSelector(IDisputeGame.WrongBond.selector, p.challengerBond - 1, p.challengerBond)
        );
        game.open{value: p.challengerBond - 1}(batchId, TARGET, response.fields, path, secret);
        vm.prank(challenger);
        uint256 gameId =
            game.open{value: p.challengerBond + 7}(batchId, TARGET, response.fields, path, secret);
        vm.assertEq(game.game(gameId).bond, p.challengerBond);
        vm.assertEq(stake.escrowOf(address(game)), p.challengerBond);
        vm.assertEq(stake.credits(challenger), 7);
        expectSolvent();
    }

    function test_at_the_deadline_yes_after_it_no() external {
        uint64 deadline = ledger.batch(batchId).deadline;
        vm.warp(deadline - 1);
        open();
        vm.warp(deadline);
        openAs(copycat);
        vm.warp(deadline + 1);
        bytes32[] memory path = batchPath();
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.ChallengeWindowClosed.selector, deadline));
        game.open{value: p.challengerBond}(batchId, TARGET, response.fields, path, "");
    }

    function test_a_first_game_after_the_deadline_is_refused() external {
        vm.warp(ledger.batch(batchId).deadline + 1);
        bytes32[] memory path = batchPath();
        vm.prank(challenger);
        vm.expectPartialRevert(IInferenceLedger.ChallengeWindowClosed.selector);
        game.open{value: p.challengerBond}(batchId, TARGET, response.fields, path, "");
    }

    function test_attack_provider_challenges_itself() external {
        bytes32[] memory path = batchPath();
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.ProviderCannotChallenge.selector, provider));
        game.open{value: p.challengerBond}(batchId, TARGET, response.fields, path, "");
    }

    function test_attack_open_with_other_fields_index_or_path() external {
        bytes32[] memory path = batchPath();
        for (uint256 field = 0; field < 8; ++field) {
            ResponseFields memory f = response.fields;
            if (field == 0) f.promptHash = "x";
            if (field == 1) f.outputHash = "x";
            if (field == 2) f.promptLength += 1;
            if (field == 3) f.outputLength -= 1;
            if (field == 4) f.maxTokens += 1;
            if (field == 5) f.samplingHash = "x";
            if (field == 6) f.feeWei += 1;
            if (field == 7) f.auditRoot = "x";
            vm.prank(challenger);
            vm.expectPartialRevert(IInferenceLedger.LeafNotInBatch.selector);
            game.open{value: p.challengerBond}(batchId, TARGET, f, path, "");
        }
        vm.startPrank(challenger);
        vm.expectPartialRevert(IInferenceLedger.LeafNotInBatch.selector);
        game.open{value: p.challengerBond}(batchId, 0, response.fields, path, "");
        vm.expectPartialRevert(IInferenceLedger.IndexOutOfRange.selector);
        game.open{value: p.challengerBond}(batchId, 3, response.fields, path, "");
        vm.expectPartialRevert(IInferenceLedger.BatchUnknown.selector);
        game.open{value: p.challengerBond}(batchId + 1, TARGET, response.fields, path, "");
        path[0] = bytes32(0);
        vm.expectPartialRevert(IInferenceLedger.LeafNotInBatch.selector);
        game.open{value: p.challengerBond}(batchId, TARGET, response.fields, path, "");
        vm.stopPrank();
    }

    function test_attack_replay_of_a_leaf_in_another_batch_or_chain() external {
        bytes32[] memory path = batchPath();
        uint256 other = post(response, "another salt");
        vm.prank(challenger);
        vm.expectPartialRevert(IInferenceLedger.LeafNotInBatch.selector);
        game.open{value: p.challengerBond}(other, TARGET, response.fields, path, "");
        vm.chainId(5);
        vm.prank(challenger);
        vm.expectPartialRevert(IInferenceLedger.LeafNotInBatch.selector);
        game.open{value: p.challengerBond}(batchId, TARGET, response.fields, path, "");
    }

    /// @dev Posts and opens a response whose fields no honest provider would post.
    function expectMalformed(ResponseFields memory fields, bytes32 salt) private {
        response.fields = fields;
        batchId = post(response, salt);
        uint256 before = stake.credits(challenger);
        uint256 gameId = open();
        expectOutcome(gameId, Outcome.ChallengerWon, Reason.Malformed);
        expectStatus(ResponseStatus.Void);
        vm.assertEq(stake.credits(challenger) - before, p.challengerBond + p.gameReward);
        expectSolvent();
    }

    function test_a_malformed_response_loses_at_once() external {
        ResponseFields memory f = response.fields;
        f.promptLength = 0;
        expectMalformed(f, "no prompt");
        f.promptLength = 40;
        f.outputLength = 0;
        expectMalformed(f, "no output");
        f.outputLength = 31;
        expectMalformed(f, "longer than asked");
        f.outputLength = 30;
        f.samplingHash = keccak256("beam");
        expectMalformed(f, "sampling");
        f.samplingHash = keccak256("greedy");
        f.auditRoot = bytes32(uint256(1));
        expectMalformed(f, "boundaries of a public model");
    }

    function test_attack_a_game_about_a_private_model() external {
        (spec.auditStride, spec.headTiles) = (1, TILES);
        modelId = register();
        batchId = post(response, "private");
        bytes32[] memory path = batchPath();
        bytes32 secret = readyAs(challenger);
        vm.prank(challenger);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.ModelIsPrivate.selector, modelId));
        game.open{value: p.challengerBond}(batchId, TARGET, response.fields, path, secret);
        expectStatus(ResponseStatus.Pending);
    }

    function test_a_response_beyond_the_models_positions_loses_at_once() external {
        ResponseFields memory f = response.fields;
        f.promptLength = 228; // 228 + 30 - 1 = 257 > 256
        expectMalformed(f, "too long");
        f.promptLength = type(uint256).max;
        expectMalformed(f, "huge prompt");
        f.promptLength = 2;
        f.maxTokens = type(uint256).max;
        expectMalformed(f, "huge limit");
    }

    function test_the_longest_response_is_playable() external {
        dispute(227, 30); // T = 256
        vm.assertEq(windowsOf(open()), 8);
    }

    function test_a_void_response_cannot_be_disputed_again() external {
        uint256 gameId = open();
        vm.prank(provider);
        game.concede(gameId, aboutOf(gameId));
        bytes32[] memory path = batchPath();
        vm.prank(copycat);
        vm.expectPartialRevert(IInferenceLedger.ResponseIsVoid.selector);
        game.open{value: p.challengerBond}(batchId, TARGET, response.fields, path, "");
    }

    function test_games_per_response_are_capped() external {
        for (uint256 i = 0; i < p.maxGamesPerResponse; ++i) {
            open();
        }
        bytes32[] memory path = batchPath();
        vm.prank(copycat);
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.TooManyGames.selector, p.maxGamesPerResponse));
        game.open{value: p.challengerBond}(batchId, TARGET, response.fields, path, "");
    }

    function test_unknown_games_are_named_so() external {
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.GameUnknown.selector, 7));
        game.game(7);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.GameUnknown.selector, 7));
        game.timeout(7);
    }
}
