// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Game, IDisputeGame, Phase, Target} from "../src/interfaces/IDisputeGame.sol";
import {Bisection} from "../src/libraries/Bisection.sol";
import {Scenario} from "./Scenario.sol";
import {Claimed} from "./Claimed.sol";
import {Groups} from "./Groups.sol";

contract ChallengeTest is Scenario {
    uint256 private gameId;

    function setUp() public override {
        super.setUp();
        gameId = open();
        postBoundaries(gameId, 5, 0);
    }

    // --- a part

    function test_every_step_can_be_reached() external {
        uint256 start = vm.snapshotState();
        for (uint256 step = 0; step < STEPS; ++step) {
            uint256 id = open();
            narrow(id, step, 1);
            Game memory g = game.game(id);
            vm.assertTrue(g.phase == Phase.AwaitProof && g.target == Target.Step);
            vm.assertEq(g.rangeStart, step);
            vm.assertEq(g.rangeEnd, step + 1);
            bytes32 end = boundaryHash(step + 1, step + 1, 1);
            bytes32 claim = Claimed.hash(claimOf[id]);
            vm.assertEq(g.boundariesHash, listHash(boundaryHash(step, step + 1, 1), end, claim));
            vm.assertLe(g.round, 2);
            vm.revertToState(start);
        }
    }

    function test_a_part_beyond_the_last_is_refused() external {
        vm.startPrank(challenger);
        vm.expectRevert(abi.encodeWithSelector(Bisection.PartOutOfRange.selector, 4, 4));
        game.challengePart(gameId, Groups.ofPart(listOf[gameId], 4), 4, "");
        vm.expectPartialRevert(Bisection.PartOutOfRange.selector);
        game.challengePart(gameId, Groups.ofPart(listOf[gameId], type(uint256).max), type(uint256).max, "");
        vm.stopPrank();
    }

    function test_only_the_challenger_and_in_time() external {
        vm.prank(copycat);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.NotMover.selector, copycat, challenger));
        game.challengePart(gameId, Groups.ofPart(listOf[gameId], 0), 0, "");
        uint64 deadline = game.game(gameId).deadline;
        vm.warp(deadline + 1);
        vm.prank(challenger);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.TurnOver.selector, deadline));
        game.challengePart(gameId, Groups.ofPart(listOf[gameId], 0), 0, "");
        vm.warp(deadline);
        vm.prank(challenger);
        game.challengePart(gameId, Groups.ofPart(listOf[gameId], 0), 0, "");
    }

    function test_no_challenge_before_the_boundaries() external {
        uint256 other = openAs(copycat);
        vm.prank(copycat);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.WrongPhase.selector, Phase.AwaitBoundaries));
        game.challengePart(other, Groups.ofPart(listOf[other], 0), 0, "");
    }

    // --- the boundaries in calldata

    /// @dev No challenge can be made with this list instead of the posted one.
    function refuseList(bytes32[] memory list) private {
        bytes32 expected = game.game(gameId).boundariesHash;
        bytes memory wrong =
            abi.encodeWithSelector(IDisputeGame.WrongBoundaries.selector, listHash(list), expected);
        vm.startPrank(challenger);
        vm.expectRevert(wrong);
        game.challengeInput(gameId, Groups.first(list), "");
        vm.expectRevert(wrong);
        game.challengePart(gameId, Groups.ofPart(list, 0), 0, "");
        vm.expectRevert(wrong);
        game.challengeHead(gameId, Groups.last(list), 40, 0, response.fields.promptHash, response.outputIds);
        vm.stopPrank();
    }

    function test_attack_a_challenge_with_other_boundaries() external {
        bytes32[] memory list = listOf[gameId];
        for (uint256 i = 0; i < list.length; ++i) {
            bytes32 honest = list[i];
            list[i] ^= bytes32(uint256(1));
            refuseList(list);
            list[i] = honest;
        }
        challengeStep(gameId, 4); // the posted list counts
    }

    function test_attack_a_challenge_with_swapped_boundaries() external {
        bytes32[] memory list = listOf[gameId];
        for (uint256 i = 0; i + 1 < list.length; ++i) {
            (list[i], list[i + 1]) = (list[i + 1], list[i]);
            refuseList(list);
            (list[i], list[i + 1]) = (list[i + 1], list[i]);
        }
        challengeStep(gameId, 4);
    }

    function test_attack_a_challenge_with_fewer_or_more_boundaries() external {
        bytes32[] memory list = listOf[gameId];
        for (uint256 length = 0; length <= list.length + 2; ++length) {
            if (length == list.length) continue;
            bytes32[] memory other = new bytes32[](length);
            for (uint256 i = 0; i < length && i < list.length; ++i) {
                other[i] = list[i];
            }
            refuseList(other);
        }
        challengeStep(gameId, 4);
    }

    function test_attack_a_challenge_with_the_boundaries_of_another_round() external {
        bytes32[] memory first = listOf[gameId];
        challengeStep(gameId, 5);
        postBoundaries(gameId, 5, 0);
        refuseList(first);
        bytes32[] memory ends = new bytes32[](2); // what the game was about before the round was posted
        (ends[0], ends[1]) = (listOf[gameId][0], listOf[gameId][3]);
        refuseList(ends);
        challengeStep(gameId, 5);
    }

    function test_attack_a_challenge_with_the_boundaries_of_another_game() external {
        uint256 other = openAs(copycat);
        postBoundaries(other, 7, 1); // about the same response
        refuseList(listOf[other]);
        challengeStep(gameId, 4);
    }

    // --- the input

    function test_the_input_can_be_challenged_in_round_one() external {
        challengeInput(gameId);
        Game memory g = game.game(gameId);
        vm.assertTrue(g.phase == Phase.AwaitProof && g.target == Target.Embedding);
        vm.assertEq(g.boundariesHash, listHash(boundaryHash(0, 5, 0), Claimed.hash(claimOf[gameId])));
        vm.assertEq(g.rangeStart, 0);
        vm.assertEq(g.rangeEnd, 0); // no step is disputed
    }

    function test_attack_the_input_was_agreed_in_round_two() external {
        challengeStep(gameId, 5);
        postBoundaries(gameId, 5, 0);
        vm.startPrank(challenger);
        vm.expectRevert(IDisputeGame.OnlyInFirstRound.selector);
        game.challengeInput(gameId, Groups.first(listOf[gameId]), "");
        vm.expectRevert(IDisputeGame.OnlyInFirstRound.selector);
        game.challengeHead(
            gameId, Groups.last(listOf[gameId]), 39, 1, response.fields.promptHash, response.outputIds
        );
        vm.stopPrank();
    }

    // --- the head

    function test_first_and_last_position_of_the_head() external {
        uint256 start = vm.snapshotState();
        challengeHead(gameId, 39, 0); // predicts the first output token
        Game memory g = game.game(gameId);
        vm.assertTrue(g.phase == Phase.AwaitProof && g.target == Target.Head);
        vm.assertEq(g.chosenId, outputToken(0));
        vm.assertEq(g.rivalId, 0);
        vm.assertEq(g.boundariesHash, listHash(boundaryHash(STEPS, 5, 0)));
        vm.revertToState(start);
        challengeHead(gameId, 68, 0); // predicts the last
        vm.assertEq(game.game(gameId).chosenId, outputToken(29));
    }

    function test_attack_head_positions_of_the_prompt_or_beyond_the_output() external {
        vm.startPrank(challenger);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.PositionOutOfRange.selector, 38, 39, 68));
        game.challengeHead(
            gameId, Groups.last(listOf[gameId]), 38, 1, response.fields.promptHash, response.outputIds
        );
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.PositionOutOfRange.selector, 69, 39, 68));
        game.challengeHead(
            gameId, Groups.last(listOf[gameId]), 69, 1, response.fields.promptHash, response.outputIds
        );
        vm.stopPrank();
    }

    function test_attack_the_rival_is_the_chosen_token_or_no_token() external {
        uint256 chosen = outputToken(1);
        vm.startPrank(challenger);
        vm.expectRevert(
            abi.encodeWithSelector(IDisputeGame.InvalidRival.selector, chosen, chosen, VOCABULARY)
        );
        game.challengeHead(
            gameId, Groups.last(listOf[gameId]), 40, chosen, response.fields.promptHash, response.outputIds
        );
        vm.expectRevert(
            abi.encodeWithSelector(IDisputeGame.InvalidRival.selector, VOCABULARY, chosen, VOCABULARY)
        );
        game.challengeHead(
            gameId,
            Groups.last(listOf[gameId]),
            40,
            VOCABULARY,
            response.fields.promptHash,
            response.outputIds
        );
        vm.stopPrank();
    }

    function test_attack_head_challenge_with_other_output_ids() external {
        bytes memory wrong = response.outputIds;
        wrong[7] ^= 0x01;
        vm.startPrank(challenger);
        vm.expectRevert(IDisputeGame.WrongTokenIds.selector);
        game.challengeHead(gameId, Groups.last(listOf[gameId]), 40, 1, response.fields.promptHash, wrong);
        vm.expectRevert(IDisputeGame.WrongTokenIds.selector);
        game.challengeHead(
            gameId, Groups.last(listOf[gameId]), 40, 1, response.fields.promptHash, response.promptIds
        );
        bytes32 outputHash = response.fields.outputHash;
        bytes32[3] memory others = [bytes32(0), outputHash, response.fields.promptHash ^ bytes32(uint256(1))];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.expectRevert(IDisputeGame.WrongTokenIds.selector);
            game.challengeHead(gameId, Groups.last(listOf[gameId]), 40, 1, others[i], response.outputIds);
        }
        vm.expectRevert(IDisputeGame.WrongTokenIds.selector);
        game.challengeHead(gameId, Groups.last(listOf[gameId]), 40, 1, outputHash, response.promptIds);
        vm.stopPrank();
    }
}
