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
        refuse(4, 5); // 12 steps in four parts
        refuse(6, 5);
        refuse(0, 5);
        bytes32[] memory hashes = dueHashes(gameId, 5, 0);
        vm.expectEmit(true, true, true, true, address(game));
        emit IDisputeGame.BoundariesPosted(gameId, 1, 0, uint32(STEPS), hashes);
        postBoundaries(gameId, 5, 0);
        Game memory g = game.game(gameId);
        vm.assertEq(hashes.length, 5);
        vm.assertEq(hashes[4], boundaryHash(STEPS, 5, 0));
        vm.assertEq(g.boundariesHash, listHash(hashes));
        expectPhase(gameId, Phase.AwaitChallenge);
        vm.assertEq(moverOf(gameId), challenger);
    }

    function test_round_two_takes_the_inner_cuts_and_keeps_both_ends() external {
        postBoundaries(gameId, 5, 0);
        challengeStep(gameId, 5); // 12 steps in four parts
        Game memory g = game.game(gameId);
        vm.assertEq(g.rangeStart, 3);
        vm.assertEq(g.rangeEnd, 6);
        vm.assertEq(g.round, 2);
        refuse(0, 4);
        refuse(2, 4);
        refuse(3, 4);
        refuse(5, 4);
        bytes32[] memory hashes = dueHashes(gameId, 5, 0);
        vm.assertEq(g.boundariesHash, listHash(hashes[0], hashes[3]));
        hashes[1] = "five";
        postHashes(gameId, hashes);
        vm.assertEq(game.game(gameId).boundariesHash, listHash(hashes));
    }

    function test_attack_a_later_round_with_another_start_or_end() external {
        postBoundaries(gameId, 5, 0);
        challengeStep(gameId, 5);
        bytes32 disputed = game.game(gameId).boundariesHash;
        bytes32[] memory due = dueHashes(gameId, 5, 0);
        bytes32[2][3] memory others =
            [[bytes32("another start"), due[3]], [due[0], bytes32("another end")], [due[3], due[0]]];
        for (uint256 i = 0; i < others.length; ++i) {
            bytes32[] memory hashes = dueHashes(gameId, 5, 0);
            (hashes[0], hashes[3]) = (others[i][0], others[i][1]);
            bytes32 actual = listHash(hashes[0], hashes[3]);
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
