// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    Audit,
    AuditItem,
    AuditRequest,
    AuditTarget,
    InputAnswer,
    StepAnswer
} from "../src/interfaces/IAuditGame.sol";
import {Outcome, Reason} from "../src/interfaces/IDisputeGame.sol";
import {Leaves} from "../src/libraries/Leaves.sol";
import {Merkle} from "./Merkle.sol";
import {Response} from "./Responses.sol";
import {Scenario} from "./Scenario.sol";

/// @title A private model, a response of it that commits to its boundaries, audits of it and their answers
abstract contract AuditScenario is Scenario {
    bytes32 internal publicModel;
    bytes32[] internal boundaryLeaves;

    function setUp() public virtual override {
        super.setUp();
        publicModel = modelId;
        makePrivate();
    }

    /// @dev From here on the model is private, and so is the response.
    function makePrivate() internal {
        spec.auditStride = 1;
        modelId = register();
        commitBoundaries();
        batchId = post(response, "private");
    }

    /// @dev The boundaries of `response` into its fields.
    function commitBoundaries() internal {
        delete boundaryLeaves;
        for (uint256 place = 0; place <= STEPS; ++place) {
            boundaryLeaves.push(Leaves.boundary(place, boundaryHash(place, NEVER, 0)));
        }
        response.fields.auditRoot = Merkle.root(boundaryLeaves);
    }

    // --- auditor

    function stepItem(uint256 step, uint256 window) internal pure returns (AuditItem memory) {
        return AuditItem(AuditTarget.Step, uint24(step), uint16(window));
    }

    function inputItem(uint256 window) internal pure returns (AuditItem memory) {
        return AuditItem(AuditTarget.Input, 0, uint16(window));
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
