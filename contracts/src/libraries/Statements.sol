// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    EmbeddingProof,
    Game,
    HeadProof,
    IDisputeGame,
    StepProof,
    TokenRow
} from "../interfaces/IDisputeGame.sol";
import {ModelSpec} from "../interfaces/IModelRegistry.sol";
import {Boundary} from "./Boundary.sol";
import {Leaves} from "./Leaves.sol";
import {MerklePath} from "./MerklePath.sol";
import {TokenIds} from "./TokenIds.sol";

/// @title The public inputs of a proof, rebuilt from the game's state and the model
/// @notice Nothing in `inputs` is the prover's choice: points are preimages of hashes in the game, token
///         ids are preimages of the response, keys and rows have paths in the model's trees.
library Statements {
    /// @notice [before.x, before.y, after.x, after.y] for an MLP step (odd); for an attention step (even)
    ///         [w, x_0.x, x_0.y, ..., x_w.x, x_w.y, after_w.x, after_w.y].
    function step(Game storage game, bytes32 stepKeysRoot, uint256 stepCount, StepProof calldata stepProof)
        internal
        view
        returns (uint256[] memory inputs)
    {
        checkPoints(stepProof.pointsBefore, game.startHash);
        checkPoints(stepProof.pointsAfter, game.endHash);
        uint256 number = game.rangeStart;
        bytes32 keyDigest = keccak256(stepProof.key);
        require(
            MerklePath.leads(
                stepProof.keyPath, stepKeysRoot, Leaves.stepKey(number, keyDigest), number, stepCount
            ),
            IDisputeGame.WrongStepKey(number, keyDigest)
        );
        uint256 window = game.window;
        bool isAttention = number % 2 == 0;
        uint256 first = isAttention ? 0 : window;
        uint256 next = 0;
        inputs = new uint256[](2 * (window - first + 2) + (isAttention ? 1 : 0));
        if (isAttention) inputs[next++] = window;
        for (uint256 i = 2 * first; i < 2 * window + 2; ++i) {
            inputs[next++] = stepProof.pointsBefore[i];
        }
        inputs[next++] = stepProof.pointsAfter[2 * window];
        inputs[next] = stepProof.pointsAfter[2 * window + 1];
    }

    /// @notice [E_0.x, E_0.y, ..., E_31.x, E_31.y, window.x, window.y], E = (0, 0) for padded positions.
    function embedding(Game storage game, ModelSpec memory spec, EmbeddingProof calldata embeddingProof)
        internal
        view
        returns (uint256[] memory inputs)
    {
        checkPoints(embeddingProof.points, game.startHash);
        checkTokens(game, embeddingProof.promptIds, embeddingProof.outputIds);
        require(
            embeddingProof.rows.length == Boundary.WINDOW,
            IDisputeGame.WrongRowCount(embeddingProof.rows.length, Boundary.WINDOW)
        );
        inputs = new uint256[](2 * Boundary.WINDOW + 2);
        uint256 window = game.window;
        uint256 positions = Boundary.positions(game.promptLength, game.outputLength);
        for (uint256 row = 0; row < Boundary.WINDOW; ++row) {
            uint256 position = Boundary.WINDOW * window + row;
            if (position >= positions) break; // padded: new memory is zero
            TokenRow calldata token = embeddingProof.rows[row];
            checkToken(
                spec, TokenIds.inSequence(embeddingProof.promptIds, embeddingProof.outputIds, position), token
            );
            inputs[2 * row] = token.embedding[0];
            inputs[2 * row + 1] = token.embedding[1];
        }
        inputs[2 * Boundary.WINDOW] = embeddingProof.points[2 * window];
        inputs[2 * Boundary.WINDOW + 1] = embeddingProof.points[2 * window + 1];
    }

    /// @notice [row, strict, chosen.x, chosen.y, rival.x, rival.y, window.x, window.y]
    // The division is meant to lose the row: it gives the window.
    // slither-disable-next-line divide-before-multiply
    function head(Game storage game, ModelSpec memory spec, HeadProof calldata headProof)
        internal
        view
        returns (uint256[] memory inputs)
    {
        // Nobody revealed these points before, so their number is checked here.
        checkPointCount(headProof.points.length, 2 * Boundary.windows(game.promptLength, game.outputLength));
        checkPoints(headProof.points, game.startHash);
        checkToken(spec, game.chosenId, headProof.chosen);
        checkToken(spec, game.rivalId, headProof.rival);
        uint256 position = game.position;
        uint256 window = position / Boundary.WINDOW;
        inputs = new uint256[](8);
        inputs[0] = position % Boundary.WINDOW;
        inputs[1] = game.rivalId < game.chosenId ? 1 : 0;
        inputs[2] = headProof.chosen.head[0];
        inputs[3] = headProof.chosen.head[1];
        inputs[4] = headProof.rival.head[0];
        inputs[5] = headProof.rival.head[1];
        inputs[6] = headProof.points[2 * window];
        inputs[7] = headProof.points[2 * window + 1];
    }

    /// @notice The points are the preimage of an agreed or posted boundary hash, every coordinate below q.
    function checkPoints(uint256[] calldata points, bytes32 expected) internal pure {
        bytes32 actual = Boundary.hash(points);
        require(actual == expected, IDisputeGame.WrongPreimage(actual, expected));
        (bool found, uint256 coordinate) = Boundary.outOfRange(points);
        require(!found, IDisputeGame.CoordinateOutOfRange(coordinate));
    }

    function checkPointCount(uint256 sent, uint256 expected) internal pure {
        require(sent == expected, IDisputeGame.WrongPointCount(sent, expected));
    }

    /// @notice The ids are those of the response.
    function checkTokens(Game storage game, bytes calldata promptIds, bytes calldata outputIds)
        internal
        view
    {
        require(TokenIds.matches(promptIds, game.promptLength, game.promptHash), IDisputeGame.WrongTokenIds());
        checkOutput(game, outputIds);
    }

    /// @notice The ids are the output of the response.
    function checkOutput(Game storage game, bytes calldata outputIds) internal view {
        require(TokenIds.matches(outputIds, game.outputLength, game.outputHash), IDisputeGame.WrongTokenIds());
    }

    /// @notice The commitments are the model's for this token.
    function checkToken(ModelSpec memory spec, uint256 tokenId, TokenRow calldata token) internal pure {
        bytes32 leaf = Leaves.tokenRow(tokenId, token.embedding, token.head);
        require(
            MerklePath.leads(token.path, spec.embeddingRowsRoot, leaf, tokenId, spec.vocabSize),
            IDisputeGame.WrongTokenRow(tokenId)
        );
    }
}
