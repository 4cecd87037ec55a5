// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Audit, IAuditGame, InputAnswer, StepAnswer} from "../interfaces/IAuditGame.sol";
import {IDisputeGame} from "../interfaces/IDisputeGame.sol";
import {StepRules} from "../interfaces/IModelRegistry.sol";
import {Boundary} from "./Boundary.sol";
import {Leaves} from "./Leaves.sol";
import {MerklePath} from "./MerklePath.sol";
import {Statements} from "./Statements.sol";

/// @title The public inputs of a proof in an audit, rebuilt from the response's `auditRoot` and the model
/// @notice Where a game has the two boundaries that both sides narrowed it to, an audit has their paths; all else is
///         `Statements`. Nothing is revealed before, so what a step must not move is compared with its proof.
library AuditStatements {
    /// @notice `Statements.step` of the answer's step and window.
    function step(Audit storage audit, StepRules memory rules, StepAnswer calldata answer)
        internal
        view
        returns (uint256[] memory)
    {
        uint256 places = rules.stepCount + 1;
        uint256 start = answer.step;
        checkBoundary(audit, answer.proof.rootsBefore, answer.pathBefore, start, places);
        checkBoundary(audit, answer.proof.rootsAfter, answer.pathAfter, start + 1, places);
        Statements.checkUnmoved(
            rules.streams, rules.access, answer.proof.rootsBefore, answer.proof.rootsAfter
        );
        Statements.checkStepKey(start, rules, answer.proof);
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
        checkBoundary(audit, answer.proof.window.roots, answer.path, 0, stepCount + 1);
        require(
            answer.proof.promptIds.length == 4 * uint256(audit.promptLength), IDisputeGame.WrongTokenIds()
        );
        checkOutput(audit, keccak256(answer.proof.promptIds), answer.proof.outputIds);
        uint256 positions = Boundary.positions(audit.promptLength, audit.outputLength);
        return Statements.embeddingInputs(answer.window, positions, rowsRoot, vocabSize, answer.proof);
    }

    /// @notice The roots are those of boundary `place` of the response.
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
}
