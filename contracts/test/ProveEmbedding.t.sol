// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {EmbeddingProof, IDisputeGame, Outcome, Reason, TokenRow} from "../src/interfaces/IDisputeGame.sol";
import {Scenario} from "./Scenario.sol";

contract ProveEmbeddingTest is Scenario {
    function test_every_window_at_every_length() external {
        uint256[2][6] memory shapes = [
            [uint256(1), 1],
            [uint256(1), 31],
            [uint256(2), 31],
            [uint256(2), 32],
            [uint256(40), 30],
            [uint256(60), 5]
        ];
        uint256 start = vm.snapshotState();
        for (uint256 i = 0; i < shapes.length; ++i) {
            dispute(shapes[i][0], shapes[i][1]);
            for (uint256 window = 0; window < windows(); ++window) {
                uint256 gameId = gameAtEmbeddingProof(window);
                presetEmbedding(window);
                proveEmbedding(gameId, embeddingProof(window));
                expectOutcome(gameId, Outcome.ProviderWon, Reason.Proven);
            }
            vm.revertToState(start);
        }
        expectSolvent();
    }

    function test_attack_rows_of_padded_positions_are_ignored() external {
        uint256 gameId = gameAtEmbeddingProof(2); // positions 64..68 are real
        presetEmbedding(2);
        EmbeddingProof memory proof = embeddingProof(2);
        proof.rows[5] = tokenRow(3);
        proveEmbedding(gameId, proof);
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Proven);
    }

    function test_attack_row_of_another_token() external {
        uint256 gameId = gameAtEmbeddingProof(1);
        presetEmbedding(1);
        EmbeddingProof memory proof = embeddingProof(1);
        uint256 right = sequenceToken(response, 32 + 7);
        proof.rows[7] = tokenRow((right + 1) % VOCABULARY);
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.WrongTokenRow.selector, right));
        game.proveEmbedding(gameId, proof, shownOf(gameId));
        proof = embeddingProof(1);
        proof.rows[7].embedding[0] += 1;
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.WrongTokenRow.selector, right));
        game.proveEmbedding(gameId, proof, shownOf(gameId));
        proof = embeddingProof(1);
        proof.rows[7].embedding = proof.rows[7].head;
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.WrongTokenRow.selector, right));
        game.proveEmbedding(gameId, proof, shownOf(gameId));
    }

    function test_attack_other_ids_other_points_other_count() external {
        uint256 gameId = gameAtEmbeddingProof(1);
        presetEmbedding(1);
        EmbeddingProof memory proof = embeddingProof(1);
        proof.promptIds[3] ^= 0x01;
        vm.prank(provider);
        vm.expectRevert(IDisputeGame.WrongTokenIds.selector);
        game.proveEmbedding(gameId, proof, shownOf(gameId));
        proof = embeddingProof(1);
        proof.window.roots[0] ^= bytes32(uint256(1));
        vm.prank(provider);
        vm.expectPartialRevert(IDisputeGame.WrongPreimage.selector);
        game.proveEmbedding(gameId, proof, shownOf(gameId));
        proof = embeddingProof(1);
        proof.window.sum[0] ^= 1;
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.WrongWindow.selector, 0, 1));
        game.proveEmbedding(gameId, proof, shownOf(gameId));
        proof = embeddingProof(1);
        proof.window = residualWindow(0, 2);
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.WrongWindow.selector, 0, 1));
        game.proveEmbedding(gameId, proof, shownOf(gameId));
        proof = embeddingProof(1);
        proof.rows = new TokenRow[](31);
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.WrongRowCount.selector, 31, 32));
        game.proveEmbedding(gameId, proof, shownOf(gameId));
    }

    function test_attack_proof_of_another_window() external {
        uint256 gameId = gameAtEmbeddingProof(1);
        presetEmbedding(0);
        EmbeddingProof memory proof = embeddingProof(1);
        vm.prank(provider);
        vm.expectRevert(
            abi.encodeWithSelector(IDisputeGame.ProofRejected.selector, address(embeddingVerifier))
        );
        game.proveEmbedding(gameId, proof, shownOf(gameId));
    }

    /// @dev A token outside the vocabulary has no leaf: the provider cannot prove what it embedded.
    function test_attack_prompt_token_outside_the_vocabulary() external {
        bytes4 foreign = bytes4(uint32(VOCABULARY));
        for (uint256 i = 0; i < 4; ++i) {
            response.promptIds[i] = foreign[i];
        }
        response.fields.promptHash = keccak256(response.promptIds);
        batchId = post(response, "foreign token");
        uint256 gameId = gameAtEmbeddingProof(0);
        EmbeddingProof memory proof = embeddingProof(0);
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.WrongTokenRow.selector, VOCABULARY));
        game.proveEmbedding(gameId, proof, shownOf(gameId));
        letTimePass(gameId);
        game.timeout(gameId);
        expectOutcome(gameId, Outcome.ChallengerWon, Reason.TimedOut);
    }

    /// @dev Every position behind the prompt would embed the token of another one.
    function test_attack_a_prompt_longer_or_shorter_than_it_says() external {
        uint256 start = vm.snapshotState();
        for (uint256 i = 0; i < 2; ++i) {
            bytes memory said = response.promptIds;
            bytes memory shown = new bytes(i == 0 ? said.length + 4 : said.length - 4);
            for (uint256 at = 0; at < said.length && at < shown.length; ++at) {
                shown[at] = said[at];
            }
            response.promptIds = shown;
            response.fields.promptHash = keccak256(shown);
            batchId = post(response, "another length");
            uint256 gameId = gameAtEmbeddingProof(0);
            presetEmbedding(0);
            EmbeddingProof memory proof = embeddingProof(0);
            vm.prank(provider);
            vm.expectRevert(IDisputeGame.WrongTokenIds.selector);
            game.proveEmbedding(gameId, proof, shownOf(gameId));
            vm.revertToState(start);
        }
    }
}
