// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Audit, AuditItem, AuditRequest, AuditTarget, IAuditGame} from "../src/interfaces/IAuditGame.sol";
import {IDisputeGame, Outcome, Reason} from "../src/interfaces/IDisputeGame.sol";
import {IInferenceLedger, ResponseStatus} from "../src/interfaces/IInferenceLedger.sol";
import {IOpenings} from "../src/interfaces/IOpenings.sol";
import {AuditScenario} from "./AuditScenario.sol";

contract OpenAuditTest is AuditScenario {
    function test_opening_escrows_a_bond_for_every_item_and_takes_a_place() external {
        uint256 bond = 2 * ledger.bondFor(provider);
        uint256 auditId = openAudit(two(stepItem(3, 1), inputItem(0)));
        Audit memory a = audits.audit(auditId);
        vm.assertEq(a.auditor, challenger);
        vm.assertEq(a.provider, provider);
        vm.assertEq(a.bond, bond);
        vm.assertEq(a.deadline, block.timestamp + p.auditWindow);
        vm.assertEq(a.remaining, 2);
        vm.assertEq(a.auditRoot, response.fields.auditRoot);
        vm.assertEq(stake.escrowOf(address(audits)), bond);
        vm.assertEq(ledger.response(batchId, TARGET).openGames, 1);
        vm.assertEq(ledger.openGamesOf(provider), 1);
        expectProven(stepItem(3, 1), auditId, false);
        expectProven(inputItem(0), auditId, false);
        expectProven(stepItem(3, 0), 0, false);
        expectStatus(ResponseStatus.Disputed);
        expectSolvent();
    }

    function test_a_bond_too_small_is_refused_and_what_is_beyond_it_is_credited() external {
        AuditRequest memory request = requestOf(two(stepItem(0, 0), stepItem(1, 0)), readyAs(challenger));
        uint256 bond = auditBond(2);
        vm.startPrank(challenger);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.WrongBond.selector, bond - 1, bond));
        audits.openAudit{value: bond - 1}(request);
        audits.openAudit{value: bond + 7}(request);
        vm.assertEq(stake.credits(challenger), 7);
        vm.assertEq(stake.escrowOf(address(audits)), bond);
        vm.stopPrank();
        expectSolvent();
    }

    function test_the_bond_rises_with_the_games_against_the_provider() external {
        openAudit(one(stepItem(0, 0)));
        uint256 auditId = openAudit(two(stepItem(1, 0), stepItem(2, 0)));
        vm.assertEq(audits.audit(auditId).bond, 2 * (p.challengerBond + p.challengerBond / p.bondLoad));
    }

    function test_attack_an_audit_of_a_public_model() external {
        modelId = publicModel;
        response.fields.auditRoot = 0;
        batchId = post(response, "public");
        expectRefusedAudit(IAuditGame.ModelIsPublic.selector, one(stepItem(0, 0)));
        expectStatus(ResponseStatus.Pending);
        response.fields.auditRoot = bytes32(uint256(1));
        batchId = post(response, "public with boundaries");
        expectRefusedAudit(IAuditGame.ModelIsPublic.selector, one(stepItem(0, 0)));
    }

    function test_attack_items_that_nobody_can_prove() external {
        bytes4 error = IAuditGame.ItemOutOfRange.selector;
        expectRefusedAudit(error, one(stepItem(STEPS, 0)));
        expectRefusedAudit(error, one(stepItem(2 ** 24 - 1, 0)));
        expectRefusedAudit(error, one(stepItem(0, windows())));
        expectRefusedAudit(error, two(stepItem(0, 0), inputItem(windows())));
        expectRefusedAudit(error, one(AuditItem(AuditTarget.Input, 1, 0)));
        openAudit(two(stepItem(STEPS - 1, windows() - 1), inputItem(windows() - 1)));
    }

    /// @dev Tiles behind the last, windows behind the last, and those whose rows no output token follows.
    function test_attack_items_of_the_head_that_nobody_can_prove() external {
        bytes4 error = IAuditGame.ItemOutOfRange.selector;
        expectRefusedAudit(error, one(headItem(TILES, 1)));
        expectRefusedAudit(error, one(headItem(0, windows())));
        expectRefusedAudit(error, one(headItem(0, 0)));
        expectRefusedAudit(error, one(stepItem(STEPS, 1))); // the tile as a step
        openAudit(two(headItem(TILES - 1, windows() - 1), headItem(0, firstHeadWindow())));
        // A prompt that ends with a window: its last row counts. One token more, and it has none.
        response = makeResponse(32, 30, 30);
        commitBoundaries();
        batchId = post(response, "ends with a window");
        openAudit(one(headItem(0, 0)));
        response = makeResponse(33, 30, 30);
        commitBoundaries();
        batchId = post(response, "one more");
        expectRefusedAudit(error, one(headItem(0, 0)));
        openAudit(one(headItem(0, 1)));
    }

    function test_attack_more_items_than_an_audit_holds() external {
        bytes4 error = IAuditGame.WrongItemCount.selector;
        AuditItem[] memory most = new AuditItem[](p.maxAuditItems + 1);
        for (uint256 i = 0; i < most.length; ++i) {
            most[i] = stepItem(i, 1);
        }
        expectRefusedAudit(error, most);
        assembly ("memory-safe") {
            mstore(most, sub(mload(most), 1))
        }
        vm.assertEq(audits.audit(openAudit(most)).remaining, p.maxAuditItems);
    }

    function test_attack_an_item_is_named_twice() external {
        bytes4 error = IAuditGame.ItemNamedBefore.selector;
        expectRefusedAudit(error, two(stepItem(3, 1), stepItem(3, 1)));
        uint256 auditId = openAudit(one(stepItem(3, 1)));
        expectRefusedAudit(error, two(stepItem(3, 0), stepItem(3, 1)));
        proveAuditedStep(auditId, 3, 1);
        expectAudit(auditId, Outcome.ProviderWon, Reason.Proven);
        expectRefusedAudit(error, one(stepItem(3, 1)));
        openAudit(two(stepItem(3, 0), inputItem(1))); // another window, another target
    }

    function test_the_same_item_of_another_response_is_another() external {
        openAudit(one(stepItem(3, 1)));
        batchId = post(response, "another batch");
        openAudit(one(stepItem(3, 1)));
    }

    function test_attack_a_private_response_without_boundaries_loses_at_once() external {
        response.fields.auditRoot = 0;
        batchId = post(response, "hidden");
        uint256 before = stake.credits(challenger);
        uint256 bond = auditBond(1);
        uint256 auditId = openAudit(one(stepItem(0, 0)));
        expectAudit(auditId, Outcome.ChallengerWon, Reason.Malformed);
        expectStatus(ResponseStatus.Void);
        vm.assertEq(stake.credits(challenger) - before, bond + p.gameReward);
    }

    function test_a_malformed_response_loses_at_once_whatever_is_named() external {
        for (uint256 flaw = 0; flaw < 4; ++flaw) {
            response = makeResponse(40, 30, 30);
            response.fields.auditRoot = bytes32(uint256(1));
            if (flaw == 0) response.fields.promptLength = 0;
            if (flaw == 1) response.fields.outputLength = 2 ** 40;
            if (flaw == 2) response.fields.samplingHash = "beam";
            if (flaw == 3) response.fields.promptLength = 228; // 257 positions
            batchId = post(response, bytes32(flaw));
            uint256 auditId = openAudit(one(stepItem(99, 99)));
            expectAudit(auditId, Outcome.ChallengerWon, Reason.Malformed);
            expectStatus(ResponseStatus.Void);
        }
    }

    function test_attack_an_audit_of_another_response_batch_or_chain() external {
        AuditItem[] memory items = one(stepItem(0, 0));
        AuditRequest memory request = requestOf(items, readyAs(challenger));
        uint256 bond = auditBond(1);
        vm.startPrank(challenger);
        request.fields.auditRoot = bytes32(uint256(1));
        vm.expectPartialRevert(IInferenceLedger.LeafNotInBatch.selector);
        audits.openAudit{value: bond}(request);
        request.fields.auditRoot = response.fields.auditRoot;
        request.index = 0;
        vm.expectPartialRevert(IInferenceLedger.LeafNotInBatch.selector);
        audits.openAudit{value: bond}(request);
        request.index = 3;
        vm.expectPartialRevert(IInferenceLedger.IndexOutOfRange.selector);
        audits.openAudit{value: bond}(request);
        request.index = TARGET;
        request.batchId = batchId + 1;
        vm.expectPartialRevert(IInferenceLedger.BatchUnknown.selector);
        audits.openAudit{value: bond}(request);
        request.batchId = batchId;
        vm.chainId(5);
        vm.expectPartialRevert(IInferenceLedger.LeafNotInBatch.selector);
        audits.openAudit{value: bond}(request);
        vm.stopPrank();
    }

    function test_attack_a_provider_audits_itself() external {
        AuditRequest memory request = requestOf(one(stepItem(0, 0)), readyAs(provider));
        uint256 bond = auditBond(1);
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.ProviderCannotChallenge.selector, provider));
        audits.openAudit{value: bond}(request);
    }

    function test_attack_copying_an_audit_from_the_mempool() external {
        AuditRequest memory request = requestOf(one(stepItem(0, 0)), readyAs(challenger));
        uint256 bond = auditBond(1);
        vm.prank(copycat);
        vm.expectPartialRevert(IOpenings.OpeningNotCommitted.selector);
        audits.openAudit{value: bond}(request);
        request.secret = commitAs(copycat); // in this block
        vm.prank(copycat);
        vm.expectPartialRevert(IOpenings.OpeningCommittedLate.selector);
        audits.openAudit{value: bond}(request);
    }

    function test_attack_an_audit_in_the_last_second_before_finality() external {
        uint64 deadline = ledger.batch(batchId).deadline;
        vm.warp(deadline - 1);
        uint256 early = openAudit(one(stepItem(0, 0)));
        vm.warp(deadline);
        uint256 late = openAudit(one(stepItem(1, 0)));
        vm.warp(deadline + 1);
        expectRefusedAudit(IInferenceLedger.ChallengeWindowClosed.selector, one(stepItem(2, 0)));
        ledger.finaliseBatch(batchId); // the others
        vm.expectPartialRevert(IInferenceLedger.ResponseNotFinal.selector);
        ledger.finaliseResponse(batchId, TARGET);
        proveAuditedStep(early, 0, 0);
        expectStatus(ResponseStatus.Disputed);
        vm.assertEq(stake.account(provider).locked, 4 * p.lockPerResponse); // this one, and the public batch
        proveAuditedStep(late, 1, 0);
        expectStatus(ResponseStatus.Final);
        ledger.finaliseResponse(batchId, TARGET);
        vm.assertEq(stake.account(provider).locked, 3 * p.lockPerResponse);
    }

    function test_attack_friends_hold_all_places_with_audits() external {
        uint256[] memory ids = new uint256[](p.maxGamesPerResponse);
        for (uint256 i = 0; i < ids.length; ++i) {
            ids[i] = openAuditAs(stranger, one(stepItem(i, 0)));
        }
        expectRefusedAudit(IInferenceLedger.TooManyGames.selector, one(stepItem(9, 0)));
        vm.warp(ledger.batch(batchId).deadline);
        proveAuditedStep(ids[0], 0, 0);
        // The place stays empty for a while, then everybody else has a whole challenge window.
        expectRefusedAudit(IOpenings.PlaceStaysEmpty.selector, one(stepItem(9, 0)));
        uint64 emptyUntil = ledger.response(batchId, TARGET).emptyUntil;
        vm.assertEq(ledger.response(batchId, TARGET).challengeDeadline, emptyUntil + p.challengeWindow);
        vm.warp(emptyUntil + 1);
        openAudit(one(stepItem(9, 0)));
    }

    function test_attack_a_void_response_is_audited_again() external {
        uint256 auditId = openAudit(one(stepItem(0, 0)));
        vm.prank(provider);
        audits.concede(auditId, idsOfAudit(auditId));
        expectRefusedAudit(IInferenceLedger.ResponseIsVoid.selector, one(stepItem(1, 0)));
    }

    function test_only_the_games_end_games() external {
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.NotGame.selector, stranger));
        ledger.endGame(batchId, TARGET, true, stranger);
    }
}
