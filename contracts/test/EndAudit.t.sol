// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {AuditItem, AuditRequest, IAuditGame} from "../src/interfaces/IAuditGame.sol";
import {IDisputeGame, Outcome, Reason} from "../src/interfaces/IDisputeGame.sol";
import {ResponseStatus} from "../src/interfaces/IInferenceLedger.sol";
import {IProviderStake} from "../src/interfaces/IProviderStake.sol";
import {Receipt} from "../src/interfaces/IReceipts.sol";
import {IModelRegistry} from "../src/interfaces/IModelRegistry.sol";
import {AuditScenario} from "./AuditScenario.sol";

/// @notice An account that takes no ether.
contract Refusing {
    function act(address target, uint256 value, bytes calldata data) external returns (bool done) {
        (done,) = target.call{value: value}(data);
    }
}

/// @notice An account that audits and, when it is paid, ends the audit again and withdraws again.
contract Reentering {
    IAuditGame private immutable _audits;
    IProviderStake private immutable _stake;
    uint256 public refusals;

    constructor(IAuditGame audits, IProviderStake stake) {
        (_audits, _stake) = (audits, stake);
    }

    function withdraw() external {
        _stake.withdraw();
    }

    receive() external payable {
        try _stake.withdraw() {}
        catch {
            ++refusals;
        }
        try _audits.timeout(1) {}
        catch {
            ++refusals;
        }
    }
}

contract EndAuditTest is AuditScenario {
    function test_an_item_that_is_not_proven_in_time_voids_the_response() external {
        uint256 auditId = openAudit(two(stepItem(3, 1), inputItem(1)));
        uint256 bond = audits.audit(auditId).bond;
        uint256 staked = stake.totalStake();
        uint256 burned = stake.totalBurned();
        proveAuditedStep(auditId, 3, 1);
        vm.warp(block.timestamp + p.auditWindow + 1);
        audits.timeout(auditId);
        expectAudit(auditId, Outcome.ChallengerWon, Reason.TimedOut);
        expectStatus(ResponseStatus.Void);
        vm.assertEq(stake.credits(challenger), bond + p.gameReward);
        vm.assertEq(staked - stake.totalStake(), p.lockPerResponse + p.providerBond);
        // What no challenger can claim is burned: at least three fifths of the lock.
        vm.assertEq(
            stake.totalBurned() - burned,
            p.providerBond + p.lockPerResponse - p.maxGamesPerResponse * p.gameReward
        );
        vm.assertGe(5 * (stake.totalBurned() - burned - p.providerBond), 3 * p.lockPerResponse);
        vm.assertTrue(stake.isPaused(provider));
        vm.assertEq(stake.escrowOf(address(audits)), 0);
    }

    /// @dev All steps are honest, and one item of the head is not proven: the bond comes back, with a reward.
    function test_a_tile_that_is_not_proven_in_time_voids_the_response() external {
        uint256 auditId = openAudit(two(stepItem(11, 1), headItem(1, 1)));
        uint256 bond = audits.audit(auditId).bond;
        uint256 staked = stake.totalStake();
        proveAuditedStep(auditId, 11, 1);
        expectProven(headItem(1, 1), auditId, false);
        vm.warp(block.timestamp + p.auditWindow + 1);
        audits.timeout(auditId);
        expectAudit(auditId, Outcome.ChallengerWon, Reason.TimedOut);
        expectStatus(ResponseStatus.Void);
        vm.assertEq(stake.credits(challenger), bond + p.gameReward);
        vm.assertEq(staked - stake.totalStake(), p.lockPerResponse + p.providerBond);
    }

    /// @dev Of three audits of one response one wins by its tile; the others get their bonds back.
    function test_a_tile_of_a_response_that_became_void_is_refunded() external {
        uint256 lost = openAudit(one(headItem(1, 1)));
        uint256 other = openAuditAs(copycat, two(headItem(0, 1), headItem(2, 2)));
        uint256 bond = audits.audit(other).bond;
        proveAuditedHead(other, 0, 1);
        vm.prank(provider);
        audits.concede(lost, idsOfAudit(lost));
        refuseHeads(other, headAnswer(2, 2), IDisputeGame.ResponseAlreadyVoid.selector);
        audits.resolveVoid(other);
        expectAudit(other, Outcome.ResponseVoided, Reason.VoidedElsewhere);
        vm.assertEq(stake.credits(copycat), bond + p.gameReward);
        vm.assertEq(stake.escrowOf(address(audits)), 0);
    }

    function test_the_provider_concedes_and_nobody_else() external {
        uint256 auditId = openAudit(one(stepItem(5, 1)));
        vm.prank(challenger);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.NotPlayer.selector, challenger));
        audits.concede(auditId, idsOfAudit(auditId));
        vm.prank(provider);
        audits.concede(auditId, idsOfAudit(auditId));
        expectAudit(auditId, Outcome.ChallengerWon, Reason.Conceded);
        vm.prank(provider);
        vm.expectPartialRevert(IAuditGame.AuditOver.selector);
        audits.concede(auditId, idsOfAudit(auditId));
        vm.expectPartialRevert(IAuditGame.AuditOver.selector);
        audits.timeout(auditId);
    }

    function test_every_open_audit_of_a_response_that_becomes_void_is_paid_the_same() external {
        uint256 lost = openAudit(one(stepItem(5, 1)));
        uint256 other = openAuditAs(copycat, two(stepItem(5, 0), stepItem(4, 0)));
        uint256 bond = audits.audit(other).bond;
        vm.expectPartialRevert(IDisputeGame.ResponseNotVoid.selector);
        audits.resolveVoid(other);
        vm.prank(provider);
        audits.concede(lost, idsOfAudit(lost));
        refuseSteps(other, stepAnswer(5, 0), IDisputeGame.ResponseAlreadyVoid.selector);
        vm.warp(block.timestamp + p.auditWindow + 1);
        vm.expectPartialRevert(IDisputeGame.ResponseAlreadyVoid.selector);
        audits.timeout(other);
        audits.resolveVoid(other);
        expectAudit(other, Outcome.ResponseVoided, Reason.VoidedElsewhere);
        vm.assertEq(stake.credits(copycat), bond + p.gameReward);
        vm.assertEq(ledger.openGamesOf(provider), 0);
    }

    function test_a_withheld_leaf_of_a_private_response_is_shown_or_lost() external {
        uint256 auditId = openAudit(one(stepItem(5, 1)));
        vm.prank(requester);
        ledger.ask{value: p.askPrice}(batchId, TARGET);
        uint256 here = vm.snapshotState();
        ledger.show(batchId, TARGET, response.fields, batchPath(), response.promptIds, response.outputIds);
        proveAuditedStep(auditId, 5, 1);
        expectStatus(ResponseStatus.Pending);
        vm.revertToState(here);
        vm.warp(block.timestamp + p.showWindow + 1);
        ledger.claimNotShown(batchId, TARGET);
        audits.resolveVoid(auditId);
        expectAudit(auditId, Outcome.ResponseVoided, Reason.VoidedElsewhere);
    }

    function test_attack_the_provider_exits_while_an_audit_is_open() external {
        uint256 auditId = openAudit(one(stepItem(5, 1)));
        vm.startPrank(provider);
        uint256 free = stake.account(provider).total - stake.account(provider).locked - p.providerBond;
        vm.expectPartialRevert(IProviderStake.InsufficientStake.selector);
        stake.requestExit(free + 1);
        stake.requestExit(free);
        vm.warp(block.timestamp + p.exitDelay);
        stake.completeExit();
        vm.stopPrank();
        uint256 staked = stake.totalStake();
        audits.timeout(auditId);
        vm.assertEq(staked - stake.totalStake(), p.lockPerResponse + p.providerBond);
        expectSolvent();
    }

    function test_attack_an_audit_and_a_claim_on_the_receipt_of_the_same_answer() external {
        Receipt memory receipt = makeReceipt(response, "never posted", TARGET);
        bytes memory signature = sign(receipt, PROVIDER_KEY);
        uint256 auditId = openAudit(one(stepItem(5, 1)));
        vm.prank(provider);
        audits.concede(auditId, idsOfAudit(auditId));
        vm.warp(receipt.postingDeadline + 1);
        uint256 staked = stake.totalStake();
        vm.prank(requester);
        receipts.claimUnposted{value: p.receiptClaimBond}(receipt, signature);
        vm.assertEq(staked - stake.totalStake(), p.lockPerResponse);
        vm.assertEq(stake.account(provider).locked, 5 * p.lockPerResponse); // two batches of three, less the lost one
        expectSolvent();
    }

    function test_answer_of_a_private_model_cut_short_or_running_on() external {
        // Shorter than asked for, and the last id is 14.
        response = makeResponse(40, 30, 31);
        commitBoundaries();
        batchId = post(response, "short");
        uint256 auditId = openAudit(one(stepItem(5, 1)));
        bytes32 promptHash = response.fields.promptHash;
        vm.prank(copycat);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.NotPlayer.selector, copycat));
        audits.claimTruncated(auditId, promptHash, response.outputIds, endTokens());
        vm.startPrank(challenger);
        vm.expectRevert(IDisputeGame.WrongTokenIds.selector);
        audits.claimTruncated(auditId, "another", response.outputIds, endTokens());
        vm.expectRevert(IModelRegistry.WrongEndTokens.selector);
        audits.claimTruncated(auditId, promptHash, response.outputIds, new uint256[](0));
        vm.expectRevert(IDisputeGame.NotOverrun.selector);
        audits.claimOverrun(auditId, promptHash, response.outputIds, endTokens(), 0);
        audits.claimTruncated(auditId, promptHash, response.outputIds, endTokens());
        vm.stopPrank();
        expectAudit(auditId, Outcome.ChallengerWon, Reason.Truncated);

        response = makeResponse(40, 30, 30);
        commitBoundaries();
        batchId = post(response, "on");
        auditId = openAudit(one(stepItem(5, 1)));
        uint256 place = 0;
        while (outputToken(place) != END_TOKEN) ++place;
        vm.startPrank(challenger);
        vm.expectRevert(IDisputeGame.NotTruncated.selector);
        audits.claimTruncated(auditId, promptHash, response.outputIds, endTokens());
        audits.claimOverrun(auditId, promptHash, response.outputIds, endTokens(), place);
        vm.stopPrank();
        expectAudit(auditId, Outcome.ChallengerWon, Reason.Overrun);
    }

    /// @dev Friends name everything, so that no item is left; a claim about the end needs none.
    function test_attack_friends_name_every_item_of_an_answer_that_is_cut_short() external {
        response = makeResponse(10, 5, 9); // one window
        commitBoundaries();
        batchId = post(response, "short");
        AuditItem[] memory first = new AuditItem[](8);
        AuditItem[] memory second = new AuditItem[](5);
        for (uint256 i = 0; i < 8; ++i) {
            first[i] = stepItem(i, 0);
            if (i < 4) second[i] = stepItem(8 + i, 0);
        }
        second[4] = inputItem(0);
        openAuditAs(stranger, first);
        openAuditAs(stranger, second);
        uint256 auditId = openAudit(new AuditItem[](0));
        vm.prank(challenger);
        audits.claimTruncated(auditId, response.fields.promptHash, response.outputIds, endTokens());
        expectAudit(auditId, Outcome.ChallengerWon, Reason.Truncated);
        expectStatus(ResponseStatus.Void);
    }

    function test_an_audit_without_items_and_without_a_claim_is_lost() external {
        uint256 bond = auditBond(1);
        uint256 auditId = openAudit(new AuditItem[](0));
        vm.assertEq(audits.audit(auditId).bond, bond);
        refuseSteps(auditId, stepAnswer(0, 0), IAuditGame.WrongItemCount.selector);
        vm.warp(block.timestamp + p.auditWindow);
        vm.expectPartialRevert(IAuditGame.AuditDeadlineNotPassed.selector);
        audits.timeout(auditId);
        vm.warp(block.timestamp + 1);
        uint256 before = stake.credits(provider);
        audits.timeout(auditId);
        expectAudit(auditId, Outcome.ProviderWon, Reason.TimedOut);
        vm.assertEq(stake.credits(provider) - before, bond / 2);
        vm.assertEq(stake.escrowOf(address(audits)), 0);
    }

    function test_attack_an_auditor_that_takes_no_ether() external {
        Refusing auditor = new Refusing();
        vm.deal(address(auditor), 10 ether);
        AuditRequest memory request = requestOf(one(stepItem(5, 1)), readyAs(address(auditor)));
        uint256 bond = auditBond(1);
        vm.assertTrue(auditor.act(address(audits), bond + 1, abi.encodeCall(IAuditGame.openAudit, (request))));
        vm.warp(block.timestamp + p.auditWindow + 1);
        audits.timeout(1); // credits only: nobody is called
        expectAudit(1, Outcome.ChallengerWon, Reason.TimedOut);
        vm.assertEq(stake.credits(address(auditor)), bond + 1 + p.gameReward);
        vm.assertFalse(auditor.act(address(stake), 0, abi.encodeCall(IProviderStake.withdraw, ())));
        vm.assertTrue(
            auditor.act(address(stake), 0, abi.encodeCall(IProviderStake.withdrawTo, (payable(stranger))))
        );
    }

    function test_attack_reentering_from_a_payment_of_an_audit() external {
        Reentering auditor = new Reentering(audits, stake);
        vm.deal(address(auditor), 10 ether);
        openAuditAs(address(auditor), one(stepItem(5, 1)));
        vm.warp(block.timestamp + p.auditWindow + 1);
        audits.timeout(1);
        uint256 due = stake.credits(address(auditor));
        uint256 had = address(auditor).balance;
        auditor.withdraw();
        vm.assertEq(address(auditor).balance - had, due);
        vm.assertEq(auditor.refusals(), 2);
        expectSolvent();
    }
}
