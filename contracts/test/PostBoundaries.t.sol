// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Game, IDisputeGame, Phase} from "../src/interfaces/IDisputeGame.sol";
import {Scenario} from "./Scenario.sol";

contract PostBoundariesTest is Scenario {
    uint256 private gameId;

    function setUp() public override {
        super.setUp();
        gameId = open();
    }

    function refuse(uint256 count, uint256 expected) private {
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.WrongHashCount.selector, count, expected));
        game.postBoundaries(gameId, new bytes32[](count));
    }

    function test_round_one_takes_all_cuts() external {
        refuse(8, 9);
        refuse(10, 9);
        refuse(0, 9);
        bytes32[] memory hashes = dueHashes(gameId, 5, 0);
        vm.expectEmit(true, true, true, true, address(game));
        emit IDisputeGame.BoundariesPosted(gameId, 1, 0, uint32(STEPS), hashes);
        postBoundaries(gameId, 5, 0);
        Game memory g = game.game(gameId);
        vm.assertEq(g.boundaries.length, 9);
        vm.assertEq(g.boundaries[8], boundaryHash(STEPS, 5, 0));
        expectPhase(gameId, Phase.AwaitChallenge);
        vm.assertEq(game.mover(gameId), challenger);
    }

    function test_round_two_takes_the_inner_cuts_and_keeps_both_ends() external {
        postBoundaries(gameId, 5, 0);
        challengeStep(gameId, 5); // 12 steps in 8 parts: step 5 shares a part with step 4
        Game memory g = game.game(gameId);
        vm.assertEq(g.rangeStart, 4);
        vm.assertEq(g.rangeEnd, 6);
        vm.assertEq(g.round, 2);
        refuse(0, 1);
        refuse(2, 1);
        refuse(3, 1);
        bytes32[] memory inner = new bytes32[](1);
        inner[0] = "five";
        vm.prank(provider);
        game.postBoundaries(gameId, inner);
        bytes32[] memory boundaries = game.game(gameId).boundaries;
        vm.assertEq(boundaries.length, 3);
        vm.assertEq(boundaries[0], g.startHash);
        vm.assertEq(boundaries[1], "five");
        vm.assertEq(boundaries[2], g.endHash);
    }

    function test_only_the_provider_and_only_once() external {
        bytes32[] memory hashes = dueHashes(gameId, 5, 0);
        vm.prank(challenger);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.NotMover.selector, challenger, provider));
        game.postBoundaries(gameId, hashes);
        postBoundaries(gameId, 5, 0);
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.WrongPhase.selector, Phase.AwaitChallenge));
        game.postBoundaries(gameId, hashes);
    }

    function test_the_deadline_is_the_last_second() external {
        bytes32[] memory hashes = dueHashes(gameId, 5, 0);
        uint64 deadline = game.game(gameId).deadline;
        vm.warp(deadline + 1);
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.TurnOver.selector, deadline));
        game.postBoundaries(gameId, hashes);
        vm.warp(deadline);
        vm.prank(provider);
        game.postBoundaries(gameId, hashes);
    }
}
