// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    AgreedStep,
    EmbeddingProof,
    Game,
    HeadProof,
    Outcome,
    Phase,
    Reason,
    StepProof,
    TokenRow
} from "../src/interfaces/IDisputeGame.sol";
import {ResponseStatus} from "../src/interfaces/IInferenceLedger.sol";
import {Moves} from "./Moves.sol";
import {Response} from "./Responses.sol";

/// @title What most tests start from: a deployment, responses, moves, proofs, and how a game must end
abstract contract Scenario is Moves {
    // --- proofs

    function proveStep(uint256 gameId, StepProof memory proof) internal {
        vm.prank(provider);
        game.proveStep(gameId, proof, shownOf(gameId));
    }

    function embeddingProof(uint256 window) internal view returns (EmbeddingProof memory proof) {
        proof.promptIds = response.promptIds;
        proof.outputIds = response.outputIds;
        proof.window = residualWindow(0, window);
        proof.proof = PROOF;
        proof.rows = new TokenRow[](32);
        uint256 positions = response.fields.promptLength + response.fields.outputLength - 1;
        for (uint256 row = 0; row < 32 && 32 * window + row < positions; ++row) {
            proof.rows[row] = tokenRow(sequenceToken(response, 32 * window + row));
        }
    }

    function proveEmbedding(uint256 gameId, EmbeddingProof memory proof) internal {
        vm.prank(provider);
        game.proveEmbedding(gameId, proof, shownOf(gameId));
    }

    function headProof(uint256 position, uint256 chosenId, uint256 rivalId)
        internal
        view
        returns (HeadProof memory)
    {
        return HeadProof({
            window: residualWindow(STEPS, position / 32),
            winnerId: chosenId,
            winner: tokenRow(chosenId),
            rival: tokenRow(rivalId),
            proof: PROOF
        });
    }

    function proveHead(uint256 gameId, HeadProof memory proof) internal {
        vm.prank(provider);
        game.proveHead(gameId, proof);
    }

    // --- refutations

    /// @dev That the end of a step, which is wrong in one window, is what the challenger claims.
    function agreedStep(uint256 step, uint256 wrongWindow) internal view returns (AgreedStep memory) {
        Lie memory lie = Lie(step + 1, wrongWindow);
        return AgreedStep({
            kind: kindOf(step),
            keyDigest: keccak256(stepKey(step)),
            keyPath: stepKeyPath(step),
            rootsBefore: roots(step, lie),
            rootsAfter: roots(step + 1, lie),
            sums: written(step, wrongWindow),
            claim: stepClaim(step, lie)
        });
    }

    function agreedInput() internal view returns (AgreedStep memory) {
        return AgreedStep({
            kind: 0,
            keyDigest: 0,
            keyPath: new bytes32[](0),
            rootsBefore: roots(0, Lie(NEVER, 0)),
            rootsAfter: new bytes32[](0),
            sums: shownInput(),
            claim: inputClaim()
        });
    }

    function refuteClaim(uint256 gameId, AgreedStep memory agreed) internal {
        vm.prank(provider);
        game.refuteClaim(gameId, agreed);
    }

    // --- what the contracts must rebuild

    function presetStep(uint256 step, uint256 window) internal {
        verifiers[kindOf(step)].preset(stepKey(step), stepInputs(step, window), PROOF);
    }

    /// @dev 32 embedding commitments, zero after the last position.
    function presetEmbedding(uint256 window) internal {
        uint256[] memory inputs = new uint256[](66);
        uint256 positions = response.fields.promptLength + response.fields.outputLength - 1;
        for (uint256 row = 0; row < 32; ++row) {
            uint256 position = 32 * window + row;
            if (position >= positions) continue;
            uint256[2] memory point = embeddingPoint(sequenceToken(response, position));
            (inputs[2 * row], inputs[2 * row + 1]) = (point[0], point[1]);
        }
        (inputs[64], inputs[65]) = commitment(0, 0, window, Lie(NEVER, 0));
        embeddingVerifier.preset("", inputs, PROOF);
    }

    function presetHead(uint256 position, uint256 chosenId, uint256 rivalId) internal {
        presetPair(position, chosenId, rivalId, 1, (1 << 63) - (rivalId < chosenId ? 1 : 0));
    }

    function presetPair(uint256 position, uint256 winnerId, uint256 rivalId, uint256 factor, uint256 offset)
        internal
    {
        uint256[] memory inputs = new uint256[](9);
        (inputs[0], inputs[1], inputs[2]) = (position % 32, factor, offset);
        (inputs[3], inputs[4]) = (headPoint(winnerId)[0], headPoint(winnerId)[1]);
        (inputs[5], inputs[6]) = (headPoint(rivalId)[0], headPoint(rivalId)[1]);
        (inputs[7], inputs[8]) = commitment(0, STEPS, position / 32, Lie(NEVER, 0));
        headVerifier.preset("", inputs, PROOF);
    }

    // --- ends

    function expectOutcome(uint256 gameId, Outcome outcome, Reason reason) internal view {
        Game memory g = game.game(gameId);
        vm.assertEq(uint256(g.phase), uint256(Phase.Resolved));
        vm.assertEq(uint256(g.outcome), uint256(outcome), "outcome");
        vm.assertEq(uint256(g.reason), uint256(reason), "reason");
        vm.assertEq(moverOf(gameId), address(0));
        vm.assertEq(g.deadline, 0, "nobody has to move");
    }

    function expectPhase(uint256 gameId, Phase phase) internal view {
        vm.assertEq(uint256(game.game(gameId).phase), uint256(phase), "phase");
    }

    function expectStatus(ResponseStatus status) internal view {
        vm.assertEq(uint256(ledger.responseStatus(batchId, TARGET)), uint256(status), "status");
    }

    /// @dev Σ of all accounts = balance.
    function expectSolvent() internal view {
        uint256 owed = stake.totalStake() + stake.totalEscrow() + stake.totalCredits() + stake.totalBurned();
        vm.assertEq(owed, address(stake).balance, "solvency");
    }

    /// @dev Lets the mover's time run out.
    function letTimePass(uint256 gameId) internal {
        vm.warp(uint256(game.game(gameId).deadline) + 1);
    }

    /// @dev The provider can show nothing, so time decides.
    function expectLostByTime(uint256 gameId) internal {
        letTimePass(gameId);
        game.timeout(gameId);
        expectOutcome(gameId, Outcome.ChallengerWon, Reason.TimedOut);
    }
}
