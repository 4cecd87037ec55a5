// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Audit, HeadAnswer, IAuditGame, InputAnswer, StepAnswer} from "../interfaces/IAuditGame.sol";
import {IDisputeGame} from "../interfaces/IDisputeGame.sol";
import {HeadTileRules, StepRules} from "../interfaces/IModelRegistry.sol";
import {Boundary} from "./Boundary.sol";
import {Leaves} from "./Leaves.sol";
import {MerklePath} from "./MerklePath.sol";
import {Statements} from "./Statements.sol";
import {Streams} from "./Streams.sol";
import {TokenIds} from "./TokenIds.sol";

/// @title The public inputs of a proof in an audit, rebuilt from the response's `auditRoot` and the model
/// @notice Where a game has the two boundaries that both sides narrowed it to, an audit has their paths; all else is
///         `Statements`.
library AuditStatements {
    /// @dev Places under `auditRoot` beyond one per step: one boundary more, and the chosen logits.
    uint256 internal constant MORE_PLACES = 2;

    /// @dev Of a head's statement in front of the tokens of the rows: tile, first, end.
    uint256 private constant _HEAD_WORDS = 3;

    /// @notice `Statements.step` of the answer's step and window.
    function step(Audit storage audit, uint256 stepCount, StepRules memory rules, StepAnswer calldata answer)
        internal
        view
        returns (uint256[] memory)
    {
        uint256 places = stepCount + MORE_PLACES;
        uint256 start = answer.step;
        checkBoundary(audit, answer.proof.rootsBefore, answer.pathBefore, start, places);
        checkBoundary(audit, answer.proof.rootsAfter, answer.pathAfter, start + 1, places);
        Statements.checkUnmoved(
            rules.streams, rules.access, answer.proof.rootsBefore, answer.proof.rootsAfter
        );
        Statements.checkStepKey(
            start, rules, answer.proof.kind, keccak256(answer.proof.key), answer.proof.keyPath
        );
        uint256 windows = Boundary.windows(audit.promptLength, audit.outputLength);
        return Statements.stepInputs(answer.window, windows, rules, answer.proof);
    }

    /// @notice `Statements.embedding` of the answer's window.
    function input(
        Audit storage audit,
        bytes32 rowsRoot,
        uint256 vocabSize,
        uint256 stepCount,
        InputAnswer calldata answer
    ) internal view returns (uint256[] memory) {
        checkBoundary(audit, answer.proof.window.roots, answer.path, 0, stepCount + MORE_PLACES);
        require(
            answer.proof.promptIds.length == 4 * uint256(audit.promptLength), IDisputeGame.WrongTokenIds()
        );
        checkOutput(audit, keccak256(answer.proof.promptIds), answer.proof.outputIds);
        uint256 positions = Boundary.positions(audit.promptLength, audit.outputLength);
        return Statements.embeddingInputs(answer.window, positions, rowsRoot, vocabSize, answer.proof);
    }

    /// @notice [tile, first, end, token_0, ..., token_31, window.x, window.y, chosen.x, chosen.y]: the rows first <= t < end are those
    ///         that an output token follows, token_t the token at position 32 w + t + 1, 0 in all other rows. No word but the two
    ///         points is the prover's to say, and these are leaves under `auditRoot`.
    function head(Audit storage audit, HeadTileRules memory rules, HeadAnswer calldata answer)
        internal
        view
        returns (uint256[] memory inputs)
    {
        _checkHeadWindows(audit, rules, answer);
        _checkTileKey(rules, answer);
        checkOutput(audit, answer.promptHash, answer.outputIds);
        inputs = new uint256[](_HEAD_WORDS + Boundary.WINDOW + 4);
        uint256 start = Boundary.WINDOW * uint256(answer.window);
        uint256 promptLength = audit.promptLength;
        uint256 first = _rowOf(promptLength - 1, start);
        uint256 end = _rowOf(Boundary.positions(promptLength, audit.outputLength), start);
        (inputs[0], inputs[1], inputs[2]) = (answer.tile, first, end);
        for (uint256 row = first; row < end; ++row) {
            inputs[_HEAD_WORDS + row] = TokenIds.at(answer.outputIds, start + row + 1 - promptLength);
        }
        uint256 point = _HEAD_WORDS + Boundary.WINDOW;
        (inputs[point], inputs[point + 1]) = (answer.residual.sum[0], answer.residual.sum[1]);
        (inputs[point + 2], inputs[point + 3]) = (answer.chosen.sum[0], answer.chosen.sum[1]);
    }

    /// @notice The roots are those of place `place` under the response's `auditRoot`.
    function checkBoundary(
        Audit storage audit,
        bytes32[] calldata roots,
        bytes32[] calldata path,
        uint256 place,
        uint256 places
    ) internal view {
        bytes32 hash = Boundary.hash(roots);
        require(
            MerklePath.leads(path, audit.auditRoot, Leaves.boundary(place, hash), place, places),
            IAuditGame.WrongAuditedBoundary(place, hash)
        );
    }

    /// @notice The ids are the output of the response, whose prompt has this hash.
    function checkOutput(Audit storage audit, bytes32 promptHash, bytes calldata outputIds) internal view {
        require(
            outputIds.length == 4 * uint256(audit.outputLength)
                && Statements.idsHash(promptHash, keccak256(outputIds)) == audit.idsHash,
            IDisputeGame.WrongTokenIds()
        );
    }

    /// @dev Both windows are committed ones: of the last boundary, and of the chosen logits, a stream by itself.
    function _checkHeadWindows(Audit storage audit, HeadTileRules memory rules, HeadAnswer calldata answer)
        private
        view
    {
        uint256 last = rules.stepCount;
        uint256 places = last + MORE_PLACES;
        Statements.checkRootCount(answer.residual.roots, Streams.count(rules.streams));
        Statements.checkRootCount(answer.chosen.roots, 1);
        checkBoundary(audit, answer.residual.roots, answer.pathLast, last, places);
        checkBoundary(audit, answer.chosen.roots, answer.pathChosen, last + 1, places);
        uint256 windows = Boundary.windows(audit.promptLength, audit.outputLength);
        Statements.checkResidualWindow(answer.residual, answer.window, windows);
        Statements.checkResidualWindow(answer.chosen, answer.window, windows);
    }

    /// @dev The key is the model's for this tile.
    function _checkTileKey(HeadTileRules memory rules, HeadAnswer calldata answer) private pure {
        uint256 number = rules.stepCount + answer.tile;
        bytes32 digest = keccak256(answer.key);
        bytes32 leaf = Leaves.stepKey(number, rules.kind, digest);
        require(
            MerklePath.leads(answer.keyPath, rules.stepKeysRoot, leaf, number, rules.stepCount + rules.tiles),
            IDisputeGame.WrongStepKey(number, rules.kind, digest)
        );
    }

    /// @dev The row of a position in the window that begins at `start`: 0 in front of it, 32 behind it.
    function _rowOf(uint256 position, uint256 start) private pure returns (uint256) {
        if (position <= start) return 0;
        return position - start < Boundary.WINDOW ? position - start : Boundary.WINDOW;
    }
}
