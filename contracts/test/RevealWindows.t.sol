// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IDisputeGame, Outcome, Phase, Reason, StepProof} from "../src/interfaces/IDisputeGame.sol";
import {IModelRegistry} from "../src/interfaces/IModelRegistry.sol";
import {Curve} from "../src/libraries/Curve.sol";
import {Merkle} from "./Merkle.sol";
import {Scenario} from "./Scenario.sol";

contract RevealWindowsTest is Scenario {
    uint256 private gameId;
    bytes32[] private before;
    bytes32[] private afterwards;
    uint256[][] private shown;

    /// @dev A game that waits for the windows of a step, and what its provider owes.
    function atStep(uint256 step) private {
        gameId = open();
        narrow(gameId, step, 1);
        owed(step);
    }

    function owed(uint256 step) private {
        before = roots(step, Lie(step + 1, 1));
        afterwards = roots(step + 1, Lie(step + 1, 1));
        shown = written(step, 1);
    }

    /// @dev The game, with the posted end of the step changed to what the provider shows now.
    function atMovedEnd(uint256 step) private {
        gameId = open();
        while (game.game(gameId).phase == Phase.AwaitBoundaries) {
            bytes32[] memory hashes = dueHashes(gameId, step + 1, 1);
            uint256[] memory cuts = cutsOf(gameId);
            for (uint256 i = 0; i < hashes.length; ++i) {
                if (cuts[i] == step + 1) hashes[i] = keccak256(abi.encodePacked(afterwards));
            }
            postHashes(gameId, hashes);
            challengeStep(gameId, step);
        }
    }

    function reveal(uint256 kind) private {
        vm.prank(provider);
        game.revealWindows(gameId, kind, before, afterwards, shown);
    }

    function refuse(uint256 kind, bytes memory error) private {
        vm.prank(provider);
        vm.expectRevert(error);
        game.revealWindows(gameId, kind, before, afterwards, shown);
    }

    function moved(uint256 stream, bytes32 actual, bytes32 expected) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IDisputeGame.StreamMoved.selector, stream, actual, expected);
    }

    /// @dev Nothing else can be revealed, so time decides.
    function expectLostByTime() private {
        letTimePass(gameId);
        game.timeout(gameId);
        expectOutcome(gameId, Outcome.ChallengerWon, Reason.TimedOut);
    }

    function test_the_sums_of_every_written_stream_come_out_in_an_event() external {
        uint256 fresh = vm.snapshotState();
        for (uint256 step = 0; step < 6; ++step) {
            atStep(step);
            vm.expectEmit(true, true, true, true, address(game));
            emit IDisputeGame.WindowsRevealed(gameId, kindOf(step), shown);
            revealWindows(gameId, step, 1);
            expectPhase(gameId, Phase.AwaitChoice);
            vm.assertEq(game.game(gameId).kind, kindOf(step));
            vm.revertToState(fresh);
        }
    }

    function test_attack_wrong_preimage() external {
        atStep(5);
        bytes4 error = IDisputeGame.WrongPreimage.selector;
        (bytes32[] memory honest, bytes32[] memory honestEnd) = (before, afterwards);
        bytes32 start = keccak256(abi.encodePacked(before));
        bytes32 end = keccak256(abi.encodePacked(afterwards));
        before = afterwards;
        refuse(MLP, abi.encodeWithSelector(error, listHash(end, end), listHash(start, end)));
        before = honest;
        afterwards = honest;
        refuse(MLP, abi.encodeWithSelector(error, listHash(start, start), listHash(start, end)));
        before = honestEnd;
        refuse(MLP, abi.encodeWithSelector(error, listHash(end, start), listHash(start, end)));
    }

    function test_attack_sums_of_another_boundary_stream_or_place() external {
        atStep(6);
        bytes4 error = IDisputeGame.WrongStreamRoot.selector;
        uint256[] memory keys = shown[0];
        uint256[][3] memory others;
        others[0] = sums(1, 7, Lie(NEVER, 0)); // the honest ones, not the posted ones
        others[1] = shown[1]; // values as keys
        others[2] = new uint256[](keys.length); // two windows change places
        for (uint256 i = 0; i < keys.length; ++i) {
            others[2][i] = keys[i < 4 ? i ^ 2 : i];
        }
        for (uint256 i = 0; i < 3; ++i) {
            shown[0] = others[i];
            bytes32 actual = Merkle.root(leavesOf(others[i]));
            refuse(KEYS_VALUES, abi.encodeWithSelector(error, 1, actual, afterwards[1]));
        }
        shown[0] = keys;
        reveal(KEYS_VALUES);
    }

    function test_attack_another_number_of_windows() external {
        atStep(5);
        uint256 expected = 2 * windows();
        bytes4 error = IDisputeGame.WrongSumCount.selector;
        uint256[] memory all = shown[0];
        uint256[4] memory counts = [0, expected - 1, expected - 2, expected + 2];
        for (uint256 i = 0; i < counts.length; ++i) {
            shown[0] = new uint256[](counts[i]);
            refuse(MLP, abi.encodeWithSelector(error, counts[i], expected));
        }
        shown[0] = all;
        reveal(MLP);
    }

    /// @dev A posted root over one window more or one less.
    function test_attack_extra_or_missing_windows_in_the_tree() external {
        uint256 fresh = vm.snapshotState();
        for (uint256 count = windows() - 1; count <= windows() + 1; count += 2) {
            owed(5);
            bytes32[] memory leaves = leavesOf(shown[0]);
            bytes32[] memory other = new bytes32[](count);
            for (uint256 i = 0; i < count; ++i) {
                other[i] = leaves[i % leaves.length];
            }
            afterwards[0] = Merkle.root(other);
            atMovedEnd(5);
            bytes4 error = IDisputeGame.WrongStreamRoot.selector;
            refuse(MLP, abi.encodeWithSelector(error, 0, Merkle.root(leaves), afterwards[0]));
            shown[0] = new uint256[](2 * count);
            error = IDisputeGame.WrongSumCount.selector;
            refuse(MLP, abi.encodeWithSelector(error, 2 * count, 2 * windows()));
            expectLostByTime();
            vm.revertToState(fresh);
        }
    }

    function test_attack_another_number_of_streams() external {
        atStep(6);
        bytes4 error = IDisputeGame.WrongStreamCount.selector;
        uint256[][] memory two = shown;
        shown = new uint256[][](1);
        shown[0] = two[0];
        refuse(KEYS_VALUES, abi.encodeWithSelector(error, 1, 2));
        shown = new uint256[][](3);
        (shown[0], shown[1], shown[2]) = (two[0], two[1], two[1]);
        refuse(KEYS_VALUES, abi.encodeWithSelector(error, 3, 2));
        shown = new uint256[][](0);
        refuse(KEYS_VALUES, abi.encodeWithSelector(error, 0, 2));
    }

    /// @dev A boundary hash over a root too few, or one too many.
    function test_attack_another_number_of_roots() external {
        uint256 fresh = vm.snapshotState();
        for (uint256 count = 0; count <= STREAMS + 1; ++count) {
            if (count == STREAMS) continue;
            owed(5);
            bytes32[] memory other = new bytes32[](count);
            for (uint256 i = 0; i < count && i < STREAMS; ++i) {
                other[i] = afterwards[i];
            }
            afterwards = other;
            atMovedEnd(5);
            bytes memory error = abi.encodeWithSelector(IDisputeGame.WrongRootCount.selector, count, STREAMS);
            refuse(MLP, error);
            expectLostByTime();
            vm.revertToState(fresh);
        }
    }

    /// @dev A boundary in which a stream moved that the step does not write: it cannot be revealed as any kind.
    function test_attack_an_untouched_stream_that_moved_cannot_be_revealed() external {
        uint256 fresh = vm.snapshotState();
        for (uint256 stream = 1; stream < STREAMS; ++stream) {
            for (uint256 attack = 0; attack < 3; ++attack) {
                owed(5);
                bytes32 honest = afterwards[stream];
                if (attack == 0) afterwards[stream] = "moved";
                if (attack == 1) afterwards[stream] = roots(9, Lie(NEVER, 0))[stream]; // of a later boundary
                if (attack == 2) afterwards[stream] = 0; // as if it were reset
                if (afterwards[stream] == honest) continue;
                atMovedEnd(5);
                refuse(MLP, moved(stream, afterwards[stream], honest));
                expectLostByTime();
                vm.revertToState(fresh);
            }
        }
    }

    function test_attack_another_streams_root_swapped_in() external {
        owed(8); // a tile, with keys and values
        (afterwards[1], afterwards[2]) = (afterwards[2], afterwards[1]);
        atMovedEnd(8);
        refuse(TILE, moved(1, afterwards[1], before[1]));
        expectLostByTime();
    }

    function test_attack_a_stream_that_must_be_reset_is_not_zero() external {
        uint256 fresh = vm.snapshotState();
        owed(9);
        vm.assertEq(afterwards[3], 0);
        bytes32[2] memory left = [before[3], bytes32("another sum")];
        for (uint256 i = 0; i < 2; ++i) {
            owed(9);
            afterwards[3] = left[i];
            atMovedEnd(9);
            refuse(CLOSE, moved(3, left[i], 0));
            expectLostByTime();
            vm.revertToState(fresh);
        }
    }

    /// @dev The kind that was revealed is the one that must be proven, so another one ends without a proof.
    function test_attack_wrong_kind_for_a_step() external {
        atStep(5);
        uint256[][] memory own = shown;
        // Where the other kind writes the same streams, the sums are taken, and no step key has this kind.
        reveal(ATTENTION);
        chooseWindow(gameId, 1);
        StepProof memory proof = stepProof(5, 1);
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.AnotherKind.selector, MLP, ATTENTION));
        game.proveStep(gameId, proof);
        proof.kind = ATTENTION;
        vm.prank(provider);
        vm.expectRevert(
            abi.encodeWithSelector(IDisputeGame.WrongStepKey.selector, 5, ATTENTION, keccak256(stepKey(5)))
        );
        game.proveStep(gameId, proof);
        letTimePass(gameId);
        game.timeout(gameId);
        expectOutcome(gameId, Outcome.ChallengerWon, Reason.TimedOut);
        // Where it writes others, they are missing or moved.
        batchId = post(response, "again");
        atStep(5);
        refuse(KEYS_VALUES, moved(0, afterwards[0], before[0]));
        refuse(TILE, moved(0, afterwards[0], before[0]));
        refuse(KINDS, abi.encodeWithSelector(IModelRegistry.KindUnknown.selector, modelId, KINDS));
        shown = own;
        reveal(MLP);
    }

    /// @dev A root over coordinates that are not below q has no admissible preimage.
    function test_attack_coordinates_that_are_not_canonical() external {
        uint256 start = vm.snapshotState();
        for (uint256 place = 0; place < 2 * windows(); ++place) {
            owed(6);
            shown[1][place] = Curve.Q;
            afterwards[2] = Merkle.root(leavesOf(shown[1]));
            atMovedEnd(6);
            refuse(KEYS_VALUES, abi.encodeWithSelector(Curve.CoordinateOutOfRange.selector, Curve.Q));
            vm.revertToState(start);
        }
    }

    // --- the input

    function atInput(bytes32[] memory posted) private {
        gameId = open();
        bytes32[] memory hashes = dueHashes(gameId, NEVER, 0);
        hashes[0] = keccak256(abi.encodePacked(posted));
        postHashes(gameId, hashes);
        challengeInput(gameId);
        (before, afterwards, shown) = (posted, new bytes32[](0), shownInput());
    }

    function test_the_input_is_the_residual_stream_alone() external {
        atInput(roots(0, Lie(NEVER, 0)));
        refuse(1, abi.encodeWithSelector(IDisputeGame.KindNotExpected.selector, 1));
        afterwards = before;
        refuse(0, abi.encodeWithSelector(IDisputeGame.WrongRootCount.selector, STREAMS, 0));
        afterwards = new bytes32[](0);
        uint256[] memory residual = shown[0];
        shown = new uint256[][](2);
        (shown[0], shown[1]) = (residual, residual);
        refuse(0, abi.encodeWithSelector(IDisputeGame.WrongStreamCount.selector, 2, 1));
        shown = new uint256[][](0);
        refuse(0, abi.encodeWithSelector(IDisputeGame.WrongStreamCount.selector, 0, 1));
        shown = shownInput();
        vm.expectEmit(true, true, true, true, address(game));
        emit IDisputeGame.WindowsRevealed(gameId, 0, shown);
        reveal(0);
        expectPhase(gameId, Phase.AwaitChoice);
    }

    function test_attack_an_input_in_which_another_stream_is_not_zero() external {
        uint256 fresh = vm.snapshotState();
        for (uint256 stream = 1; stream < STREAMS; ++stream) {
            bytes32[] memory posted = roots(0, Lie(NEVER, 0));
            posted[stream] = roots(2, Lie(NEVER, 0))[stream];
            vm.assertTrue(posted[stream] != 0);
            atInput(posted);
            refuse(0, moved(stream, posted[stream], 0));
            expectLostByTime();
            vm.revertToState(fresh);
        }
        atInput(new bytes32[](0));
        refuse(0, abi.encodeWithSelector(IDisputeGame.WrongRootCount.selector, 0, STREAMS));
    }

    function test_only_the_provider() external {
        atStep(5);
        vm.prank(challenger);
        vm.expectPartialRevert(IDisputeGame.NotMover.selector);
        game.revealWindows(gameId, MLP, before, afterwards, shown);
    }

    function test_choosing_first_and_last_window_and_none_beyond() external {
        atStep(5);
        revealWindows(gameId, 5, 1);
        uint256 count = windows();
        vm.prank(challenger);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.WindowOutOfRange.selector, count, count));
        game.chooseWindow(gameId, aboutOf(gameId), count);
        vm.prank(provider);
        vm.expectPartialRevert(IDisputeGame.NotMover.selector);
        game.chooseWindow(gameId, aboutOf(gameId), 0);
        uint256 start = vm.snapshotState();
        for (uint256 window = 0; window < count; ++window) {
            chooseWindow(gameId, window);
            vm.assertEq(game.game(gameId).window, window);
            expectPhase(gameId, Phase.AwaitProof);
            vm.revertToState(start);
        }
    }
}
