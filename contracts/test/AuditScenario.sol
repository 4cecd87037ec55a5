// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    Audit,
    AuditItem,
    AuditRequest,
    AuditTarget,
    HeadAnswer,
    InputAnswer,
    StepAnswer
} from "../src/interfaces/IAuditGame.sol";
import {Outcome, Reason, ResidualWindow} from "../src/interfaces/IDisputeGame.sol";
import {Leaves} from "../src/libraries/Leaves.sol";
import {Merkle} from "./Merkle.sol";
import {Response} from "./Responses.sol";
import {Scenario} from "./Scenario.sol";

/// @title A private model, a response of it that commits to its boundaries, audits of it and their answers
abstract contract AuditScenario is Scenario {
    bytes32 internal publicModel;
    bytes32[] internal boundaryLeaves; // and behind them that of the chosen logits

    function setUp() public virtual override {
        super.setUp();
        publicModel = modelId;
        makePrivate();
    }

    /// @dev From here on the model is private, and so is the response.
    function makePrivate() internal {
        (spec.auditStride, spec.headTiles) = (1, TILES);
        spec.stepKeysRoot = Merkle.root(stepKeyLeaves());
        modelId = register();
        commitBoundaries();
        batchId = post(response, "private");
    }

    /// @dev The boundaries of `response` and the logits of its tokens into its fields.
    function commitBoundaries() internal {
        delete boundaryLeaves;
        for (uint256 place = 0; place <= STEPS; ++place) {
            boundaryLeaves.push(Leaves.boundary(place, boundaryHash(place, NEVER, 0)));
        }
        bytes32 chosen = Merkle.root(chosenLeaves());
        boundaryLeaves.push(Leaves.boundary(STEPS + 1, keccak256(abi.encodePacked(chosen))));
        response.fields.auditRoot = Merkle.root(boundaryLeaves);
    }

    /// @dev The first window with a row that an output token follows; those in front of it commit to nothing.
    function firstHeadWindow() internal view returns (uint256) {
        return (response.fields.promptLength - 1) / 32;
    }

    function chosenPoint(uint256 window) internal view returns (uint256[2] memory) {
        if (window < firstHeadWindow()) return [uint256(0), 0];
        return [5000 + window, 6000 + window];
    }

    function chosenLeaves() internal view returns (bytes32[] memory leaves) {
        leaves = new bytes32[](windows());
        for (uint256 w = 0; w < leaves.length; ++w) {
            leaves[w] = Leaves.window(w, chosenPoint(w)[0], chosenPoint(w)[1]);
        }
    }

    // --- auditor

    function stepItem(uint256 step, uint256 window) internal pure returns (AuditItem memory) {
        return AuditItem(AuditTarget.Step, uint24(step), uint16(window));
    }

    function inputItem(uint256 window) internal pure returns (AuditItem memory) {
        return AuditItem(AuditTarget.Input, 0, uint16(window));
    }

    function headItem(uint256 tile, uint256 window) internal pure returns (AuditItem memory) {
        return AuditItem(AuditTarget.Head, uint24(tile), uint16(window));
    }

    function one(AuditItem memory item) internal pure returns (AuditItem[] memory items) {
        items = new AuditItem[](1);
        items[0] = item;
    }

    function two(AuditItem memory first, AuditItem memory second)
        internal
        pure
        returns (AuditItem[] memory items)
    {
        items = new AuditItem[](2);
        (items[0], items[1]) = (first, second);
    }

    function requestOf(AuditItem[] memory items, bytes32 secret) internal view returns (AuditRequest memory) {
        return AuditRequest(batchId, TARGET, response.fields, batchPath(), secret, items);
    }

    function auditBond(uint256 items) internal view returns (uint256) {
        return (items == 0 ? 1 : items) * ledger.bondFor(provider);
    }

    function openAudit(AuditItem[] memory items) internal returns (uint256) {
        return openAuditAs(challenger, items);
    }

    function openAuditAs(address who, AuditItem[] memory items) internal returns (uint256) {
        AuditRequest memory request = requestOf(items, readyAs(who));
        uint256 bond = auditBond(items.length);
        vm.prank(who);
        return audits.openAudit{value: bond}(request);
    }

    function expectRefusedAudit(bytes4 error, AuditItem[] memory items) internal {
        AuditRequest memory request = requestOf(items, readyAs(copycat));
        uint256 bond = auditBond(items.length);
        vm.prank(copycat);
        vm.expectPartialRevert(error);
        audits.openAudit{value: bond}(request);
    }

    // --- provider

    function stepAnswer(uint256 step, uint256 window) internal view returns (StepAnswer memory answer) {
        (answer.step, answer.window) = (uint24(step), uint16(window));
        answer.pathBefore = Merkle.path(boundaryLeaves, step);
        answer.pathAfter = Merkle.path(boundaryLeaves, step + 1);
        answer.proof = stepProof(step, window, Lie(NEVER, 0));
    }

    function inputAnswer(uint256 window) internal view returns (InputAnswer memory answer) {
        answer.window = uint16(window);
        answer.path = Merkle.path(boundaryLeaves, 0);
        answer.proof = embeddingProof(window);
    }

    function chosenWindow(uint256 window) internal view returns (ResidualWindow memory shown) {
        shown.roots = new bytes32[](1);
        shown.roots[0] = Merkle.root(chosenLeaves());
        shown.sum = chosenPoint(window);
        shown.path = Merkle.path(chosenLeaves(), window);
    }

    function headAnswer(uint256 tile, uint256 window) internal view returns (HeadAnswer memory answer) {
        (answer.tile, answer.window) = (uint24(tile), uint16(window));
        (answer.promptHash, answer.outputIds) = (response.fields.promptHash, response.outputIds);
        answer.pathLast = Merkle.path(boundaryLeaves, STEPS);
        answer.pathChosen = Merkle.path(boundaryLeaves, STEPS + 1);
        (answer.residual, answer.chosen) = (residualWindow(STEPS, window), chosenWindow(window));
        (answer.key, answer.keyPath) = (stepKey(STEPS + tile), stepKeyPath(STEPS + tile));
        answer.proof = PROOF;
    }

    /// @dev The statement about a tile, written down position by position.
    function headInputs(uint256 tile, uint256 window) internal view returns (uint256[] memory inputs) {
        inputs = new uint256[](39);
        inputs[0] = tile;
        uint256 prompt = response.fields.promptLength;
        uint256 length = prompt + response.fields.outputLength;
        inputs[1] = 32;
        for (uint256 row = 32; row > 0; --row) {
            uint256 next = 32 * window + row; // the position behind that of row - 1
            if (next < prompt || next >= length) continue;
            inputs[1] = row - 1; // first
            if (inputs[2] == 0) inputs[2] = row; // end
            inputs[2 + row] = sequenceToken(response, next);
        }
        ResidualWindow memory residual = residualWindow(STEPS, window);
        (inputs[35], inputs[36]) = (residual.sum[0], residual.sum[1]);
        (inputs[37], inputs[38]) = (chosenPoint(window)[0], chosenPoint(window)[1]);
    }

    function presetTile(uint256 tile, uint256 window) internal {
        headVerifier.preset(stepKey(STEPS + tile), headInputs(tile, window), PROOF);
    }

    /// @dev What the contract must rebuild of an audited step.
    function presetAudited(uint256 step, uint256 window) internal {
        verifiers[kindOf(step)].preset(stepKey(step), stepInputs(step, window, Lie(NEVER, 0)), PROOF);
    }

    function sendSteps(uint256 auditId, StepAnswer memory answer) internal {
        StepAnswer[] memory answers = new StepAnswer[](1);
        answers[0] = answer;
        vm.prank(provider);
        audits.proveSteps(auditId, answers);
    }

    function sendInputs(uint256 auditId, InputAnswer memory answer) internal {
        InputAnswer[] memory answers = new InputAnswer[](1);
        answers[0] = answer;
        vm.prank(provider);
        audits.proveInputs(auditId, answers);
    }

    function proveAuditedStep(uint256 auditId, uint256 step, uint256 window) internal {
        presetAudited(step, window);
        sendSteps(auditId, stepAnswer(step, window));
    }

    function sendHeads(uint256 auditId, HeadAnswer memory answer) internal {
        HeadAnswer[] memory answers = new HeadAnswer[](1);
        answers[0] = answer;
        vm.prank(provider);
        audits.proveHeads(auditId, answers);
    }

    function proveAuditedHead(uint256 auditId, uint256 tile, uint256 window) internal {
        presetTile(tile, window);
        sendHeads(auditId, headAnswer(tile, window));
    }

    function refuseHeads(uint256 auditId, HeadAnswer memory answer, bytes4 error) internal {
        HeadAnswer[] memory answers = new HeadAnswer[](1);
        answers[0] = answer;
        vm.prank(provider);
        vm.expectPartialRevert(error);
        audits.proveHeads(auditId, answers);
    }

    function proveAuditedInput(uint256 auditId, uint256 window) internal {
        presetEmbedding(window);
        sendInputs(auditId, inputAnswer(window));
    }

    function refuseSteps(uint256 auditId, StepAnswer memory answer, bytes4 error) internal {
        StepAnswer[] memory answers = new StepAnswer[](1);
        answers[0] = answer;
        vm.prank(provider);
        vm.expectPartialRevert(error);
        audits.proveSteps(auditId, answers);
    }

    function refuseInputs(uint256 auditId, InputAnswer memory answer, bytes4 error) internal {
        InputAnswer[] memory answers = new InputAnswer[](1);
        answers[0] = answer;
        vm.prank(provider);
        vm.expectPartialRevert(error);
        audits.proveInputs(auditId, answers);
    }

    // --- ends

    function expectAudit(uint256 auditId, Outcome outcome, Reason reason) internal view {
        Audit memory a = audits.audit(auditId);
        vm.assertEq(uint256(a.outcome), uint256(outcome), "outcome");
        vm.assertEq(uint256(a.reason), uint256(reason), "reason");
        vm.assertEq(a.deadline, 0, "nobody has to answer");
        expectSolvent();
    }

    function expectProven(AuditItem memory item, uint256 auditId, bool proven) internal view {
        (uint256 by, bool isProven) = audits.itemState(batchId, TARGET, item);
        vm.assertEq(by, auditId, "named by");
        vm.assertTrue(isProven == proven, "proven");
    }
}
