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
        game.postBoundaries(gameId, aboutOf(gameId), new bytes32[](count));
    }

    function test_round_one_takes_all_cuts() external {
        refuse(10, 11);
        refuse(12, 11);
        refuse(0, 11);
        bytes32[] memory hashes = dueHashes(gameId, 5, 0);
        vm.expectEmit(true, true, true, true, address(game));
        emit IDisputeGame.BoundariesPosted(gameId, 1, 0, uint32(STEPS), hashes);
        postBoundaries(gameId, 5, 0);
        Game memory g = game.game(gameId);
        vm.assertEq(hashes.length, 11);
        vm.assertEq(hashes[10], boundaryHash(STEPS, 5, 0));
        vm.assertEq(g.boundariesHash, listHash(hashes));
        expectPhase(gameId, Phase.AwaitChallenge);
        vm.assertEq(moverOf(gameId), challenger);
    }

    function test_round_two_takes_the_inner_cuts_and_keeps_both_ends() external {
        postBoundaries(gameId, 5, 0);
        challengeStep(gameId, 5); // 12 steps in 10 parts: step 5 shares a part with step 4
        Game memory g = game.game(gameId);
        vm.assertEq(g.rangeStart, 4);
        vm.assertEq(g.rangeEnd, 6);
        vm.assertEq(g.round, 2);
        refuse(0, 3);
        refuse(1, 3);
        refuse(2, 3);
        refuse(4, 3);
        bytes32[] memory hashes = dueHashes(gameId, 5, 0);
        vm.assertEq(g.boundariesHash, listHash(hashes[0], hashes[2]));
        hashes[1] = "five";
        postHashes(gameId, hashes);
        vm.assertEq(game.game(gameId).boundariesHash, listHash(hashes));
    }

    function test_attack_a_later_round_with_another_start_or_end() external {
        postBoundaries(gameId, 5, 0);
        challengeStep(gameId, 5);
        bytes32 disputed = game.game(gameId).boundariesHash;
        bytes32[] memory due = dueHashes(gameId, 5, 0);
        bytes32[3][3] memory others = [
            [bytes32("another start"), due[1], due[2]],
            [due[0], due[1], bytes32("another end")],
            [due[2], due[1], due[0]]
        ];
        for (uint256 i = 0; i < others.length; ++i) {
            bytes32[] memory hashes = new bytes32[](3);
            (hashes[0], hashes[1], hashes[2]) = (others[i][0], others[i][1], others[i][2]);
            bytes32 actual = listHash(hashes[0], hashes[2]);
            vm.prank(provider);
            vm.expectRevert(abi.encodeWithSelector(IDisputeGame.WrongBoundaries.selector, actual, disputed));
            game.postBoundaries(gameId, aboutOf(gameId), hashes);
        }
        postHashes(gameId, due);
    }

    function test_only_the_provider_and_only_once() external {
        bytes32[] memory hashes = dueHashes(gameId, 5, 0);
        vm.prank(challenger);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.NotMover.selector, challenger, provider));
        game.postBoundaries(gameId, aboutOf(gameId), hashes);
        postBoundaries(gameId, 5, 0);
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.WrongPhase.selector, Phase.AwaitChallenge));
        game.postBoundaries(gameId, aboutOf(gameId), hashes);
    }

    function test_the_deadline_is_the_last_second() external {
        bytes32[] memory hashes = dueHashes(gameId, 5, 0);
        uint64 deadline = game.game(gameId).deadline;
        vm.warp(deadline + 1);
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.TurnOver.selector, deadline));
        game.postBoundaries(gameId, aboutOf(gameId), hashes);
        vm.warp(deadline);
        postHashes(gameId, hashes);
    }
}
