// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {AuditItem, AuditRequest, AuditTarget, IAuditGame} from "../src/interfaces/IAuditGame.sol";
import {Outcome, Reason} from "../src/interfaces/IDisputeGame.sol";
import {IInferenceLedger} from "../src/interfaces/IInferenceLedger.sol";
import {Parameters, ProtocolParameters} from "../src/libraries/Parameters.sol";
import {AuditScenario} from "./AuditScenario.sol";

/// @notice Every deadline of audits at t - 1, t and t + 1, for every kind of item.
contract AuditDeadlinesTest is AuditScenario {
    function test_deadline_of_an_audited_step() external {
        presetAudited(5, 1);
        check(stepItem(5, 1));
    }

    function test_deadline_of_an_audited_input() external {
        presetEmbedding(1);
        check(inputItem(1));
    }

    function test_deadline_of_an_audited_head() external {
        presetTile(2, 1);
        check(headItem(2, 1));
    }

    function test_deadline_of_opening_an_audit() external {
        uint64 deadline = ledger.batch(batchId).deadline;
        AuditRequest memory request = requestOf(two(headItem(0, 1), headItem(1, 2)), readyAs(challenger));
        uint256 bond = auditBond(2);
        for (uint256 second = deadline - 1; second <= deadline + 1; ++second) {
            uint256 here = vm.snapshotState();
            vm.warp(second);
            vm.prank(challenger);
            if (second > deadline) {
                vm.expectPartialRevert(IInferenceLedger.ChallengeWindowClosed.selector);
            }
            audits.openAudit{value: bond}(request);
            vm.revertToState(here);
        }
    }

    /// @dev It is proven until the deadline, ended after it, and never both.
    function check(AuditItem memory item) private {
        uint256 auditId = openAudit(one(item));
        uint256 deadline = block.timestamp + p.auditWindow;
        vm.assertEq(audits.audit(auditId).deadline, deadline);
        for (uint256 second = deadline - 1; second <= deadline + 1; ++second) {
            uint256 here = vm.snapshotState();
            vm.warp(second);
            if (second > deadline) {
                refuse(auditId, item, IAuditGame.AuditDeadlinePassed.selector);
                audits.timeout(auditId);
                expectAudit(auditId, Outcome.ChallengerWon, Reason.TimedOut);
            } else {
                vm.expectRevert(
                    abi.encodeWithSelector(IAuditGame.AuditDeadlineNotPassed.selector, uint64(deadline))
                );
                audits.timeout(auditId);
                prove(auditId, item);
                expectAudit(auditId, Outcome.ProviderWon, Reason.Proven);
            }
            vm.revertToState(here);
        }
    }

    function prove(uint256 auditId, AuditItem memory item) private {
        if (item.target == AuditTarget.Step) sendSteps(auditId, stepAnswer(item.step, item.window));
        if (item.target == AuditTarget.Input) sendInputs(auditId, inputAnswer(item.window));
        if (item.target == AuditTarget.Head) sendHeads(auditId, headAnswer(item.step, item.window));
    }

    function refuse(uint256 auditId, AuditItem memory item, bytes4 error) private {
        if (item.target == AuditTarget.Step) refuseSteps(auditId, stepAnswer(item.step, item.window), error);
        if (item.target == AuditTarget.Input) refuseInputs(auditId, inputAnswer(item.window), error);
        if (item.target == AuditTarget.Head) refuseHeads(auditId, headAnswer(item.step, item.window), error);
    }
}

/// @notice The same with days and hours.
contract MainnetAuditDeadlinesTest is AuditDeadlinesTest {
    function _parameters() internal pure override returns (ProtocolParameters memory) {
        return Parameters.l2();
    }
}
