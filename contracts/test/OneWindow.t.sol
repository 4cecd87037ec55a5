// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    EmbeddingProof,
    IDisputeGame,
    Outcome,
    Phase,
    Reason,
    StepProof,
    Target
} from "../src/interfaces/IDisputeGame.sol";
import {IModelRegistry} from "../src/interfaces/IModelRegistry.sol";
import {Leaves} from "../src/libraries/Leaves.sol";
import {Scenario} from "./Scenario.sol";

/// @title Responses of one window: a claim of one leaf, and proofs of ends in which more moved than a step writes
contract OneWindowTest is Scenario {
    // Steps of a kind that writes one stream, that writes a sum, and that resets it.
    uint256 private constant STEP = 5;
    uint256 private constant TILE_STEP = 8;
    uint256 private constant CLOSE_STEP = 9;

    function setUp() public override {
        super.setUp();
        dispute(20, 13); // 32 positions
    }

    function test_a_step_is_proven_right_after_it_is_named() external {
        uint256 fresh = vm.snapshotState();
        for (uint256 step = 0; step < 6; ++step) {
            uint256 gameId = open();
            narrow(gameId, step, 0);
            expectPhase(gameId, Phase.AwaitProof);
            vm.assertEq(uint256(game.game(gameId).target), uint256(Target.Step));
            vm.assertEq(
                game.game(gameId).deadline - game.game(gameId).turnStartedAt, turnOf(p.proveExtension)
            );
            presetStep(step, 0);
            proveStep(gameId, stepProof(step, 0));
            expectOutcome(gameId, Outcome.ProviderWon, Reason.Proven);
            vm.revertToState(fresh);
        }
    }

    function test_the_input_is_proven_right_after_it_is_named() external {
        uint256 gameId = open();
        postBoundaries(gameId, NEVER, 0);
        challengeInput(gameId);
        expectPhase(gameId, Phase.AwaitProof);
        presetEmbedding(0);
        proveEmbedding(gameId, embeddingProof(0));
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Proven);
    }

    /// @dev A proof of the step as it should be does not help who posted an end in which more moved.
    function test_attack_one_window_and_a_stream_moved_that_the_step_does_not_write() external {
        for (uint256 stream = 1; stream < STREAMS; ++stream) {
            (uint256 gameId, StepProof memory proof) = withEnd(STEP, stream, keccak256("moved"));
            refuse(
                gameId,
                proof,
                abi.encodeWithSelector(
                    IDisputeGame.StreamMoved.selector,
                    stream,
                    proof.rootsAfter[stream],
                    proof.rootsBefore[stream]
                )
            );
            batchId = post(response, bytes32(stream));
        }
    }

    function test_attack_one_window_and_a_stream_that_must_be_reset_is_not_zero() external {
        (uint256 gameId, StepProof memory proof) = withEnd(CLOSE_STEP, 3, keccak256("not reset"));
        refuse(
            gameId,
            proof,
            abi.encodeWithSelector(IDisputeGame.StreamMoved.selector, 3, proof.rootsAfter[3], bytes32(0))
        );
    }

    /// @dev A tile of experts that no row chose writes a sum of zero, and the honest end has a leaf that says so. An end in which
    ///      the stream was never written commits to the same: a provider that could prove it would win, by a true proof, whatever
    ///      is wrong with its response further on, because an honest challenger names the first end that differs.
    function test_attack_one_window_and_a_written_zero_posted_as_never_written() external {
        StepProof memory proof = stepProof(TILE_STEP, 0);
        uint256[] memory inputs = stepInputs(TILE_STEP, 0);
        for (uint256 i = 1; i <= 2; ++i) {
            proof.sums[proof.sums.length - i] = 0;
            inputs[inputs.length - i] = 0;
        }
        proof.rootsAfter[3] = 0;
        verifiers[TILE].preset(stepKey(TILE_STEP), inputs, PROOF);
        refuse(
            atEnd(TILE_STEP, proof.rootsAfter),
            proof,
            abi.encodeWithSelector(IDisputeGame.WrongWindow.selector, 3, 0)
        );
        batchId = post(response, "written");
        proof.rootsAfter[3] = Leaves.window(0, 0, 0);
        uint256 gameId = atEnd(TILE_STEP, proof.rootsAfter);
        proveStep(gameId, proof);
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Proven);
    }

    /// @dev What is written under another kind has moved, or no step key has that kind.
    function test_attack_one_window_proven_as_another_kind() external {
        uint256 gameId = gameAtStepProof(STEP, 0);
        StepProof memory proof = stepProof(STEP, 0);
        for (uint256 kind = 0; kind <= KINDS; ++kind) {
            if (kind == MLP) continue;
            bytes memory error = abi.encodeWithSelector(
                IDisputeGame.WrongStepKey.selector, STEP, kind, keccak256(stepKey(STEP))
            );
            if (kind == KEYS_VALUES || kind == TILE) {
                error = abi.encodeWithSelector(
                    IDisputeGame.StreamMoved.selector, 0, proof.rootsAfter[0], proof.rootsBefore[0]
                );
            }
            if (kind == KINDS) {
                error = abi.encodeWithSelector(IModelRegistry.KindUnknown.selector, modelId, kind);
            }
            proof.kind = kind;
            vm.prank(provider);
            vm.expectRevert(error);
            game.proveStep(gameId, proof, shownOf(gameId));
        }
    }

    function withEnd(uint256 step, uint256 stream, bytes32 root)
        private
        returns (uint256 gameId, StepProof memory proof)
    {
        proof = stepProof(step, 0);
        proof.rootsAfter[stream] = root;
        gameId = atEnd(step, proof.rootsAfter);
        presetStep(step, 0);
    }

    /// @dev A game about a step whose end was posted with these roots.
    function atEnd(uint256 step, bytes32[] memory end) private returns (uint256 gameId) {
        gameId = open();
        narrowToEnd(gameId, step, end, trueClaimOf(step, end));
    }

    function refuse(uint256 gameId, StepProof memory proof, bytes memory error) private {
        vm.prank(provider);
        vm.expectRevert(error);
        game.proveStep(gameId, proof, shownOf(gameId));
        letTimePass(gameId);
        game.timeout(gameId);
        expectOutcome(gameId, Outcome.ChallengerWon, Reason.TimedOut);
    }

    function test_attack_one_window_and_another_number_of_roots() external {
        StepProof memory proof = stepProof(STEP, 0);
        bytes32[] memory more = new bytes32[](STREAMS + 1);
        for (uint256 i = 0; i < STREAMS; ++i) {
            more[i] = proof.rootsAfter[i];
        }
        more[STREAMS] = keccak256("one stream more");
        uint256 gameId = atEnd(STEP, more);
        proof.rootsAfter = more;
        presetStep(STEP, 0);
        refuse(
            gameId, proof, abi.encodeWithSelector(IDisputeGame.WrongRootCount.selector, STREAMS + 1, STREAMS)
        );
    }

    function test_attack_one_window_and_an_input_with_another_stream_in_it() external {
        EmbeddingProof memory proof = embeddingProof(0);
        for (uint256 stream = 1; stream < STREAMS; ++stream) {
            bytes32[] memory roots = embeddingProof(0).window.roots;
            roots[stream] = keccak256("written before any step");
            proof.window.roots = roots;
            refuseInput(
                proof, abi.encodeWithSelector(IDisputeGame.StreamMoved.selector, stream, roots[stream], 0)
            );
            batchId = post(response, bytes32(stream));
        }
        bytes32[] memory fewer = new bytes32[](STREAMS - 1);
        fewer[0] = embeddingProof(0).window.roots[0];
        proof.window.roots = fewer;
        refuseInput(proof, abi.encodeWithSelector(IDisputeGame.WrongRootCount.selector, STREAMS - 1, STREAMS));
    }

    function refuseInput(EmbeddingProof memory proof, bytes memory error) private {
        uint256 gameId = open();
        bytes32[] memory hashes = dueHashes(gameId, NEVER, 0);
        hashes[0] = keccak256(abi.encodePacked(proof.window.roots));
        postHashes(gameId, hashes);
        challengeInput(gameId);
        presetEmbedding(0);
        vm.prank(provider);
        vm.expectRevert(error);
        game.proveEmbedding(gameId, proof, shownOf(gameId));
        letTimePass(gameId);
        game.timeout(gameId);
        expectOutcome(gameId, Outcome.ChallengerWon, Reason.TimedOut);
    }

    function turnOf(uint64 extension) private view returns (uint256) {
        return p.clock > extension ? p.clock : extension;
    }
}
