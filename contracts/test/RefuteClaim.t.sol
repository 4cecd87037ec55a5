// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {AgreedStep, IDisputeGame, Outcome, Phase, Reason} from "../src/interfaces/IDisputeGame.sol";
import {IModelRegistry} from "../src/interfaces/IModelRegistry.sol";
import {ResponseStatus} from "../src/interfaces/IInferenceLedger.sol";
import {Curve} from "../src/libraries/Curve.sol";
import {Claimed} from "./Claimed.sol";
import {Merkle} from "./Merkle.sol";
import {Scenario} from "./Scenario.sol";

/// @title Challenges that claim what was posted, and what passes for the proof of that
contract RefuteClaimTest is Scenario {
    function refuse(uint256 gameId, AgreedStep memory agreed, bytes memory error) private {
        vm.prank(provider);
        vm.expectRevert(error);
        game.refuteClaim(gameId, agreed);
    }

    /// @dev A game about a step whose end was posted as `agreed` says it is, and claimed to be right.
    function gameAtEnd(uint256 step, AgreedStep memory agreed) private returns (uint256 gameId) {
        gameId = open();
        windowOf[gameId] = 1;
        narrowToEnd(gameId, step, agreed.rootsAfter, agreed.claim);
    }

    function moved(uint256 stream, bytes32 actual, bytes32 expected) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IDisputeGame.StreamMoved.selector, stream, actual, expected);
    }

    function test_attack_a_challenger_that_claims_what_was_posted_loses() external {
        uint256 fresh = vm.snapshotState();
        for (uint256 step = 0; step < 6; ++step) {
            uint256 gameId = gameAtRefutation(step, 1);
            AgreedStep memory agreed = agreedStep(step, 1);
            vm.expectEmit(true, true, true, true, address(game));
            emit IDisputeGame.ClaimRefuted(gameId);
            refuteClaim(gameId, agreed);
            expectOutcome(gameId, Outcome.ProviderWon, Reason.Refuted);
            vm.assertEq(stake.credits(provider), p.challengerBond / 2);
            vm.assertEq(stake.totalBurned(), p.challengerBond / 2);
            vm.assertEq(stake.credits(challenger), 0);
            expectStatus(ResponseStatus.Pending);
            expectSolvent();
            vm.revertToState(fresh);
        }
    }

    /// @dev Two chunks of placed streams: the commitment of a window is not its running sum.
    function test_claims_about_several_chunks_are_refuted() external {
        dispute(250, 7);
        uint256 fresh = vm.snapshotState();
        for (uint256 window = 0; window < windows(); ++window) {
            uint256 gameId = gameAtRefutation(6, window);
            refuteClaim(gameId, agreedStep(6, window));
            expectOutcome(gameId, Outcome.ProviderWon, Reason.Refuted);
            vm.revertToState(fresh);
        }
    }

    function test_attack_refuting_a_claim_that_is_another_one_in_some_window() external {
        uint256 fresh = vm.snapshotState();
        for (uint256 window = 0; window < windows(); ++window) {
            bytes memory asPosted = stepClaim(6, Lie(7, 1));
            bytes memory other = Claimed.but(asPosted, window);
            uint256 gameId = open();
            narrow(gameId, 6, 1, other);
            AgreedStep memory agreed = agreedStep(6, 1);
            bytes32 start = keccak256(abi.encodePacked(agreed.rootsBefore));
            bytes32 end = keccak256(abi.encodePacked(agreed.rootsAfter));
            refuse( // as if that had been claimed
                gameId,
                agreed,
                abi.encodeWithSelector(
                    IDisputeGame.WrongPreimage.selector,
                    listHash(start, end, Claimed.hash(asPosted)),
                    listHash(start, end, Claimed.hash(other))
                )
            );
            agreed.claim = other;
            refuse(gameId, agreed, abi.encodeWithSelector(IDisputeGame.NotAsClaimed.selector, window));
            vm.revertToState(fresh);
        }
    }

    function test_attack_a_claim_of_another_length_in_a_refutation() external {
        uint256 gameId = gameAtRefutation(5, 1);
        AgreedStep memory agreed = agreedStep(5, 1);
        bytes memory claim = agreed.claim;
        uint256 due = claim.length;
        uint256[5] memory lengths = [uint256(0), due - 16, due - 1, due + 1, due + 16];
        for (uint256 i = 0; i < lengths.length; ++i) {
            agreed.claim = new bytes(lengths[i]);
            for (uint256 at = 0; at < due && at < lengths[i]; ++at) {
                agreed.claim[at] = claim[at];
            }
            bytes4 error = IDisputeGame.WrongClaimLength.selector;
            refuse(gameId, agreed, abi.encodeWithSelector(error, lengths[i], due));
        }
    }

    function test_attack_wrong_preimage() external {
        uint256 gameId = gameAtRefutation(8, 1); // a tile
        AgreedStep memory agreed = agreedStep(8, 1);
        bytes32 claim = Claimed.hash(agreed.claim);
        bytes32 start = keccak256(abi.encodePacked(agreed.rootsBefore));
        bytes32 end = keccak256(abi.encodePacked(agreed.rootsAfter));
        agreed.rootsBefore[3] = "another sum"; // which the step reads and writes
        bytes32 other = keccak256(abi.encodePacked(agreed.rootsBefore));
        refuse(
            gameId,
            agreed,
            abi.encodeWithSelector(
                IDisputeGame.WrongPreimage.selector, listHash(other, end, claim), listHash(start, end, claim)
            )
        );
    }

    function test_attack_sums_of_another_boundary_stream_or_place() external {
        uint256 gameId = gameAtRefutation(6, 1);
        AgreedStep memory agreed = agreedStep(6, 1);
        uint256[] memory keys = agreed.sums[0];
        uint256[][3] memory others;
        others[0] = sums(1, 7, Lie(NEVER, 0)); // the honest ones, not the posted ones
        others[1] = agreed.sums[1]; // values as keys
        others[2] = new uint256[](keys.length); // two windows change places
        for (uint256 i = 0; i < keys.length; ++i) {
            others[2][i] = keys[i < 4 ? i ^ 2 : i];
        }
        for (uint256 i = 0; i < 3; ++i) {
            agreed.sums[0] = others[i];
            bytes32 actual = Merkle.root(leavesOf(others[i]));
            bytes4 error = IDisputeGame.WrongStreamRoot.selector;
            refuse(gameId, agreed, abi.encodeWithSelector(error, 1, actual, agreed.rootsAfter[1]));
        }
        agreed.sums[0] = keys;
        refuteClaim(gameId, agreed);
    }

    function test_attack_another_number_of_windows() external {
        uint256 gameId = gameAtRefutation(5, 1);
        AgreedStep memory agreed = agreedStep(5, 1);
        uint256 expected = 2 * windows();
        bytes4 error = IDisputeGame.WrongSumCount.selector;
        uint256[] memory all = agreed.sums[0];
        uint256[4] memory counts = [0, expected - 1, expected - 2, expected + 2];
        for (uint256 i = 0; i < counts.length; ++i) {
            agreed.sums[0] = new uint256[](counts[i]);
            refuse(gameId, agreed, abi.encodeWithSelector(error, counts[i], expected));
        }
        agreed.sums[0] = all;
        refuteClaim(gameId, agreed);
    }

    /// @dev A posted root over one window more or one less.
    function test_attack_extra_or_missing_windows_in_the_tree() external {
        uint256 fresh = vm.snapshotState();
        for (uint256 count = windows() - 1; count <= windows() + 1; count += 2) {
            AgreedStep memory agreed = agreedStep(5, 1);
            bytes32[] memory leaves = leavesOf(agreed.sums[0]);
            bytes32[] memory other = new bytes32[](count);
            for (uint256 i = 0; i < count; ++i) {
                other[i] = leaves[i % leaves.length];
            }
            agreed.rootsAfter[0] = Merkle.root(other);
            uint256 gameId = gameAtEnd(5, agreed);
            bytes4 error = IDisputeGame.WrongStreamRoot.selector;
            bytes32 actual = Merkle.root(leaves);
            refuse(gameId, agreed, abi.encodeWithSelector(error, 0, actual, agreed.rootsAfter[0]));
            agreed.sums[0] = new uint256[](2 * count);
            error = IDisputeGame.WrongSumCount.selector;
            refuse(gameId, agreed, abi.encodeWithSelector(error, 2 * count, 2 * windows()));
            expectLostByTime(gameId);
            vm.revertToState(fresh);
        }
    }

    function test_attack_a_refutation_that_leaves_out_a_stream() external {
        uint256 gameId = gameAtRefutation(6, 1);
        AgreedStep memory agreed = agreedStep(6, 1);
        bytes4 error = IDisputeGame.WrongStreamCount.selector;
        uint256[][] memory two = agreed.sums;
        for (uint256 count = 0; count <= 3; ++count) {
            if (count == 2) continue;
            agreed.sums = new uint256[][](count);
            for (uint256 i = 0; i < count; ++i) {
                agreed.sums[i] = two[i < 2 ? i : 1];
            }
            refuse(gameId, agreed, abi.encodeWithSelector(error, count, 2));
        }
    }

    /// @dev A boundary hash over a root too few, or one too many.
    function test_attack_another_number_of_roots() external {
        uint256 fresh = vm.snapshotState();
        for (uint256 count = 0; count <= STREAMS + 1; ++count) {
            if (count == STREAMS) continue;
            AgreedStep memory agreed = agreedStep(5, 1);
            bytes32[] memory other = new bytes32[](count);
            for (uint256 i = 0; i < count && i < STREAMS; ++i) {
                other[i] = agreed.rootsAfter[i];
            }
            agreed.rootsAfter = other;
            uint256 gameId = gameAtEnd(5, agreed);
            refuse(
                gameId, agreed, abi.encodeWithSelector(IDisputeGame.WrongRootCount.selector, count, STREAMS)
            );
            expectLostByTime(gameId);
            vm.revertToState(fresh);
        }
    }

    /// @dev What is written is right everywhere, and so is the claim about it; but the end is wrong elsewhere.
    function test_attack_a_refutation_of_an_end_in_which_an_unwritten_stream_moved() external {
        uint256 fresh = vm.snapshotState();
        for (uint256 stream = 1; stream < STREAMS; ++stream) {
            for (uint256 attack = 0; attack < 3; ++attack) {
                AgreedStep memory agreed = agreedStep(5, 1);
                bytes32 honest = agreed.rootsAfter[stream];
                if (attack == 0) agreed.rootsAfter[stream] = "moved";
                // of a later boundary, or as if it were reset
                if (attack == 1) agreed.rootsAfter[stream] = roots(9, Lie(NEVER, 0))[stream];
                if (attack == 2) agreed.rootsAfter[stream] = 0;
                if (agreed.rootsAfter[stream] == honest) continue;
                uint256 gameId = gameAtEnd(5, agreed);
                refuse(gameId, agreed, moved(stream, agreed.rootsAfter[stream], honest));
                expectLostByTime(gameId);
                vm.revertToState(fresh);
            }
        }
    }

    function test_attack_another_streams_root_swapped_in() external {
        AgreedStep memory agreed = agreedStep(8, 1); // a tile, with keys and values
        bytes32[] memory end = agreed.rootsAfter;
        (end[1], end[2]) = (end[2], end[1]);
        uint256 gameId = gameAtEnd(8, agreed);
        refuse(gameId, agreed, moved(1, end[1], agreed.rootsBefore[1]));
        expectLostByTime(gameId);
    }

    function test_attack_a_stream_that_must_be_reset_is_not_zero() external {
        uint256 fresh = vm.snapshotState();
        AgreedStep memory agreed = agreedStep(9, 1);
        vm.assertEq(agreed.rootsAfter[3], 0);
        bytes32[2] memory left = [agreed.rootsBefore[3], bytes32("another sum")];
        for (uint256 i = 0; i < 2; ++i) {
            agreed.rootsAfter[3] = left[i];
            uint256 gameId = gameAtEnd(9, agreed);
            refuse(gameId, agreed, moved(3, left[i], 0));
            expectLostByTime(gameId);
            vm.revertToState(fresh);
        }
    }

    /// @dev The step writes the residual stream. Its end has what that should hold in the sum, which tiles write, and the residual
    ///      stream as it was: an honest claim would be refuted if the provider chose the kind.
    function test_attack_a_refutation_under_another_kind() external {
        AgreedStep memory agreed = agreedStep(5, NEVER); // an MLP step, right everywhere
        bytes32 right = agreed.rootsAfter[0];
        agreed.rootsAfter[0] = agreed.rootsBefore[0];
        agreed.rootsAfter[3] = right;
        agreed.claim = trueClaimOf(5, agreed.rootsAfter);
        uint256 gameId = gameAtEnd(5, agreed);
        bytes4 error = IDisputeGame.WrongStepKey.selector;
        agreed.kind = TILE;
        refuse(gameId, agreed, abi.encodeWithSelector(error, 5, TILE, agreed.keyDigest));
        agreed.keyDigest = keccak256(stepKey(7)); // a tile's
        agreed.keyPath = stepKeyPath(7);
        refuse(gameId, agreed, abi.encodeWithSelector(error, 5, TILE, agreed.keyDigest));
        agreed.keyDigest = keccak256(stepKey(5));
        agreed.keyPath = stepKeyPath(5);
        agreed.kind = MLP;
        refuse(gameId, agreed, moved(3, right, agreed.rootsBefore[3]));
        agreed.kind = KEYS_VALUES;
        refuse(gameId, agreed, moved(3, right, agreed.rootsBefore[3]));
        agreed.kind = KINDS;
        refuse(gameId, agreed, abi.encodeWithSelector(IModelRegistry.KindUnknown.selector, modelId, KINDS));
        expectLostByTime(gameId);
    }

    /// @dev A stream without windows commits to zeros, too, but is another boundary than a written one.
    function test_attack_a_written_zero_posted_as_never_written() external {
        AgreedStep memory agreed = agreedStep(8, 1);
        agreed.rootsAfter[3] = 0;
        agreed.sums[0] = new uint256[](2 * windows());
        bytes16[] memory zeros = new bytes16[](windows());
        for (uint256 w = 0; w < zeros.length; ++w) {
            zeros[w] = Claimed.leaf(keccak256(abi.encodePacked(agreed.rootsAfter)), new uint256[](2));
        }
        agreed.claim = Claimed.join(zeros);
        uint256 gameId = gameAtEnd(8, agreed);
        bytes32 actual = Merkle.root(leavesOf(agreed.sums[0]));
        bytes4 error = IDisputeGame.WrongStreamRoot.selector;
        refuse(gameId, agreed, abi.encodeWithSelector(error, 3, actual, bytes32(0)));
        expectLostByTime(gameId);
    }

    /// @dev A root over coordinates that are not below q has no admissible preimage.
    function test_attack_coordinates_that_are_not_canonical() external {
        uint256 start = vm.snapshotState();
        for (uint256 place = 0; place < 2 * windows(); ++place) {
            AgreedStep memory agreed = agreedStep(6, 1);
            agreed.sums[1][place] = Curve.Q;
            agreed.rootsAfter[2] = Merkle.root(leavesOf(agreed.sums[1]));
            uint256 gameId = gameAtEnd(6, agreed);
            bytes4 error = Curve.CoordinateOutOfRange.selector;
            refuse(gameId, agreed, abi.encodeWithSelector(error, Curve.Q));
            vm.revertToState(start);
        }
    }

    function test_attack_a_refutation_with_a_sum_that_is_not_on_the_curve() external {
        AgreedStep memory agreed = agreedStep(6, 1);
        uint256[] memory keys = agreed.sums[0];
        keys[2] ^= 1; // window 1
        agreed.rootsAfter[1] = Merkle.root(leavesOf(keys));
        agreed.claim = stepClaim(6, Lie(7, 1), keccak256(abi.encodePacked(agreed.rootsAfter)));
        uint256 gameId = gameAtEnd(6, agreed);
        bytes4 error = Curve.NotOnCurve.selector;
        refuse(gameId, agreed, abi.encodeWithSelector(error, keys[2], keys[3], keys[0], keys[1]));
        expectLostByTime(gameId);
    }

    // --- who, when, about what

    function test_attack_a_refutation_by_somebody_else_or_too_late() external {
        uint256 gameId = gameAtRefutation(5, 1);
        AgreedStep memory agreed = agreedStep(5, 1);
        address[2] memory others = [challenger, stranger];
        for (uint256 i = 0; i < 2; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(IDisputeGame.NotMover.selector, others[i], provider));
            game.refuteClaim(gameId, agreed);
        }
        uint64 deadline = game.game(gameId).deadline;
        vm.warp(deadline + 1);
        refuse(gameId, agreed, abi.encodeWithSelector(IDisputeGame.TurnOver.selector, deadline));
    }

    function test_attack_a_refutation_in_another_phase_or_of_another_target() external {
        AgreedStep memory agreed = agreedStep(5, 1);
        uint256 gameId = open();
        bytes4 error = IDisputeGame.WrongPhase.selector;
        refuse(gameId, agreed, abi.encodeWithSelector(error, Phase.AwaitBoundaries));
        postBoundaries(gameId, NEVER, 0);
        refuse(gameId, agreed, abi.encodeWithSelector(error, Phase.AwaitChallenge));
        challengeHead(gameId, 40, 0);
        bytes memory wrong =
            abi.encodeWithSelector(IDisputeGame.WrongTarget.selector, game.game(gameId).target);
        refuse(gameId, agreed, wrong);
        refuse(gameId, agreedInput(), wrong);
        gameId = gameAtRefutation(5, 1);
        refuse(
            gameId, agreedInput(), abi.encodeWithSelector(IDisputeGame.WrongRootCount.selector, 0, STREAMS)
        );
        gameId = open();
        postBoundaries(gameId, NEVER, 0);
        challengeInput(gameId, inputClaim());
        refuse(
            gameId,
            agreed,
            abi.encodeWithSelector(IDisputeGame.WrongStepKey.selector, 0, agreed.kind, agreed.keyDigest)
        );
    }

    function test_attack_a_refutation_in_a_game_on_a_void_response() external {
        uint256 first = openAs(copycat);
        uint256 gameId = gameAtRefutation(5, 1);
        AgreedStep memory agreed = agreedStep(5, 1);
        vm.prank(provider);
        game.concede(first, aboutOf(first));
        refuse(
            gameId, agreed, abi.encodeWithSelector(IDisputeGame.ResponseAlreadyVoid.selector, batchId, TARGET)
        );
    }

    // --- the input

    function gameAtInput(bytes32[] memory posted) private returns (uint256 gameId) {
        gameId = open();
        bytes32[] memory hashes = dueHashes(gameId, NEVER, 0);
        hashes[0] = keccak256(abi.encodePacked(posted));
        postHashes(gameId, hashes);
        challengeInput(gameId, inputClaim());
    }

    function test_a_claim_of_the_posted_input_is_refuted() external {
        AgreedStep memory agreed = agreedInput();
        uint256 gameId = gameAtInput(agreed.rootsBefore);
        uint256[] memory residual = agreed.sums[0];
        bytes4 error = IDisputeGame.WrongStreamCount.selector;
        agreed.sums = new uint256[][](2);
        (agreed.sums[0], agreed.sums[1]) = (residual, residual);
        refuse(gameId, agreed, abi.encodeWithSelector(error, 2, 1));
        agreed.sums = new uint256[][](0);
        refuse(gameId, agreed, abi.encodeWithSelector(error, 0, 1));
        agreed = agreedInput();
        vm.expectEmit(true, true, true, true, address(game));
        emit IDisputeGame.ClaimRefuted(gameId);
        refuteClaim(gameId, agreed);
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Refuted);
    }

    function test_a_refutation_of_the_input_names_no_step() external {
        AgreedStep memory agreed = agreedInput();
        uint256 gameId = gameAtInput(agreed.rootsBefore);
        bytes4 error = IDisputeGame.WrongStepKey.selector;
        agreed.kind = 1;
        refuse(gameId, agreed, abi.encodeWithSelector(error, 0, 1, bytes32(0)));
        (agreed.kind, agreed.keyDigest) = (0, "key");
        refuse(gameId, agreed, abi.encodeWithSelector(error, 0, 0, bytes32("key")));
        (agreed.keyDigest, agreed.keyPath) = (0, new bytes32[](1));
        refuse(gameId, agreed, abi.encodeWithSelector(error, 0, 0, bytes32(0)));
        agreed.keyPath = new bytes32[](0);
        agreed.rootsAfter = agreed.rootsBefore;
        refuse(gameId, agreed, abi.encodeWithSelector(IDisputeGame.WrongRootCount.selector, STREAMS, 0));
    }

    function test_attack_refuting_a_claim_that_is_another_one_in_some_window_of_the_input() external {
        uint256 fresh = vm.snapshotState();
        for (uint256 window = 0; window < windows(); ++window) {
            uint256 gameId = gameAtEmbeddingProof(window);
            AgreedStep memory agreed = agreedInput();
            vm.prank(provider);
            vm.expectPartialRevert(IDisputeGame.WrongPreimage.selector);
            game.refuteClaim(gameId, agreed);
            agreed.claim = claimOf[gameId];
            refuse(gameId, agreed, abi.encodeWithSelector(IDisputeGame.NotAsClaimed.selector, window));
            vm.revertToState(fresh);
        }
    }

    function test_attack_an_input_in_which_another_stream_is_not_zero() external {
        uint256 fresh = vm.snapshotState();
        for (uint256 stream = 1; stream < STREAMS; ++stream) {
            AgreedStep memory agreed = agreedInput();
            agreed.rootsBefore[stream] = roots(2, Lie(NEVER, 0))[stream];
            vm.assertTrue(agreed.rootsBefore[stream] != 0);
            uint256 gameId = gameAtInput(agreed.rootsBefore);
            refuse(gameId, agreed, moved(stream, agreed.rootsBefore[stream], 0));
            expectLostByTime(gameId);
            vm.revertToState(fresh);
        }
        AgreedStep memory none = agreedInput();
        none.rootsBefore = new bytes32[](0);
        uint256 last = gameAtInput(none.rootsBefore);
        refuse(last, none, abi.encodeWithSelector(IDisputeGame.WrongRootCount.selector, 0, STREAMS));
    }
}
