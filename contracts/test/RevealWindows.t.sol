// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IDisputeGame, Phase} from "../src/interfaces/IDisputeGame.sol";
import {Boundary} from "../src/libraries/Boundary.sol";
import {Scenario} from "./Scenario.sol";

contract RevealWindowsTest is Scenario {
    uint256 private gameId;

    function atStep(uint256 step) private {
        gameId = open();
        narrow(gameId, step, 1);
    }

    function test_both_lists_come_out_in_an_event() external {
        atStep(5);
        uint256[] memory before = points(5, 6, 1);
        uint256[] memory afterwards = points(6, 6, 1);
        vm.expectEmit(true, true, true, true, address(game));
        emit IDisputeGame.WindowsRevealed(gameId, before, afterwards);
        revealWindows(gameId, 5, 1);
        expectPhase(gameId, Phase.AwaitChoice);
    }

    function test_attack_wrong_preimage() external {
        atStep(5);
        uint256[] memory before = points(5, 6, 1);
        uint256[] memory afterwards = points(6, 6, 1);
        vm.startPrank(provider);
        vm.expectPartialRevert(IDisputeGame.WrongPreimage.selector);
        game.revealWindows(gameId, afterwards, before);
        vm.expectPartialRevert(IDisputeGame.WrongPreimage.selector);
        game.revealWindows(gameId, before, before);
        before[0] ^= 1;
        vm.expectPartialRevert(IDisputeGame.WrongPreimage.selector);
        game.revealWindows(gameId, before, afterwards);
        vm.stopPrank();
    }

    function test_attack_another_number_of_windows() external {
        atStep(5);
        uint256[] memory before = points(5, 6, 1);
        uint256[] memory afterwards = points(6, 6, 1);
        uint256 expected = 2 * windows();
        vm.startPrank(provider);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.WrongPointCount.selector, 0, expected));
        game.revealWindows(gameId, new uint256[](0), afterwards);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.WrongPointCount.selector, expected - 1, expected));
        game.revealWindows(gameId, before, new uint256[](expected - 1));
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.WrongPointCount.selector, expected + 2, expected));
        game.revealWindows(gameId, new uint256[](expected + 2), afterwards);
        vm.stopPrank();
    }

    /// @dev A hash of coordinates that are not below q has no admissible preimage.
    function test_attack_coordinates_that_are_not_canonical() external {
        uint256 start = vm.snapshotState();
        for (uint256 place = 0; place < 2 * windows(); ++place) {
            gameId = open();
            bytes32[] memory hashes = dueHashes(gameId, NEVER, 0);
            uint256[] memory bad = points(0, NEVER, 0);
            bad[place] = Boundary.Q;
            hashes[0] = keccak256(abi.encodePacked(bad));
            vm.prank(provider);
            game.postBoundaries(gameId, hashes);
            challengeInput(gameId);
            vm.prank(provider);
            vm.expectRevert(abi.encodeWithSelector(IDisputeGame.CoordinateOutOfRange.selector, Boundary.Q));
            game.revealWindows(gameId, bad, new uint256[](0));
            vm.revertToState(start);
        }
    }

    function test_the_input_has_no_second_list() external {
        gameId = open();
        postBoundaries(gameId, NEVER, 0);
        challengeInput(gameId);
        uint256[] memory all = points(0, NEVER, 0);
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.WrongPointCount.selector, all.length, 0));
        game.revealWindows(gameId, all, all);
        revealInput(gameId);
        expectPhase(gameId, Phase.AwaitChoice);
    }

    function test_only_the_provider() external {
        atStep(5);
        uint256[] memory before = points(5, 6, 1);
        vm.prank(challenger);
        vm.expectPartialRevert(IDisputeGame.NotMover.selector);
        game.revealWindows(gameId, before, before);
    }

    function test_choosing_first_and_last_window_and_none_beyond() external {
        atStep(5);
        revealWindows(gameId, 5, 1);
        uint256 count = windows();
        vm.prank(challenger);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.WindowOutOfRange.selector, count, count));
        game.chooseWindow(gameId, count);
        vm.prank(provider);
        vm.expectPartialRevert(IDisputeGame.NotMover.selector);
        game.chooseWindow(gameId, 0);
        uint256 start = vm.snapshotState();
        for (uint256 window = 0; window < count; ++window) {
            chooseWindow(gameId, window);
            vm.assertEq(game.game(gameId).window, window);
            expectPhase(gameId, Phase.AwaitProof);
            vm.revertToState(start);
        }
    }
}
