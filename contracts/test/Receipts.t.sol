// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IInferenceLedger} from "../src/interfaces/IInferenceLedger.sol";
import {IReceipts, Receipt, ReceiptStatus} from "../src/interfaces/IReceipts.sol";
import {Response, Scenario} from "./Scenario.sol";

contract ReceiptsTest is Scenario {
    function claim(Receipt memory receipt) private returns (bytes32) {
        bytes memory signature = sign(receipt, PROVIDER_KEY);
        vm.prank(requester);
        return receipts.claimUnposted{value: p.receiptClaimBond}(receipt, signature);
    }

    function expectSlashed(bytes32 id) private view {
        vm.assertTrue(receipts.receiptClaim(id).status == ReceiptStatus.Slashed);
        vm.assertEq(stake.credits(requester), p.receiptClaimBond + p.lockPerResponse * 2 / 5);
        vm.assertEq(stake.totalBurned(), p.lockPerResponse * 3 / 5);
        vm.assertEq(stake.account(provider).total, 20 ether - p.lockPerResponse);
        expectSolvent();
    }

    function test_a_receipt_never_posted_is_slashed_at_once() external {
        Receipt memory receipt = makeReceipt(response, "never posted", TARGET);
        vm.warp(receipt.postingDeadline + 1);
        bytes32 id = claim(receipt);
        expectSlashed(id);
        vm.assertEq(receipts.receiptClaim(id).answerDeadline, block.timestamp, "nothing to wait for");
    }

    function test_a_receipt_posted_late_is_slashed_at_once() external {
        Receipt memory receipt = makeReceipt(response, "late", TARGET);
        vm.warp(receipt.postingDeadline + 1);
        post(response, "late");
        expectSlashed(claim(receipt));
    }

    function test_an_index_beyond_the_batch_is_slashed_at_once() external {
        Receipt memory receipt = makeReceipt(response, SALT, 3);
        vm.warp(receipt.postingDeadline + 1);
        expectSlashed(claim(receipt));
    }

    function test_the_deadline_itself_is_still_in_time() external {
        Receipt memory receipt = makeReceipt(response, "just in time", TARGET);
        bytes memory signature = sign(receipt, PROVIDER_KEY);
        vm.warp(receipt.postingDeadline);
        vm.prank(requester);
        vm.expectPartialRevert(IReceipts.PostingDeadlineNotPassed.selector);
        receipts.claimUnposted{value: p.receiptClaimBond}(receipt, signature);
        post(response, "just in time");
        vm.warp(receipt.postingDeadline + 1);
        bytes32 id = claim(receipt);
        receipts.answerClaim(id, batchPath());
        vm.assertTrue(receipts.receiptClaim(id).status == ReceiptStatus.Answered);
    }

    function test_a_posted_receipt_is_answered_and_the_claimant_pays() external {
        Receipt memory receipt = makeReceipt(response, SALT, TARGET);
        vm.warp(receipt.postingDeadline + 1);
        bytes32 id = claim(receipt);
        vm.assertEq(stake.account(provider).locked, 3 * p.lockPerResponse);
        vm.warp(receipts.receiptClaim(id).answerDeadline);
        receipts.answerClaim(id, batchPath());
        vm.assertEq(stake.account(provider).locked, 3 * p.lockPerResponse);
        vm.assertEq(stake.credits(provider), p.receiptClaimBond / 2);
        vm.assertEq(stake.credits(requester), 0);
        vm.expectPartialRevert(IReceipts.NoPendingClaim.selector);
        receipts.slashUnposted(id);
        expectSolvent();
    }

    function test_attack_answer_a_claim_twice() external {
        Receipt memory receipt = makeReceipt(response, SALT, TARGET);
        vm.warp(receipt.postingDeadline + 1);
        bytes32 id = claim(receipt);
        bytes32[] memory path = batchPath();
        receipts.answerClaim(id, path);
        vm.expectRevert(abi.encodeWithSelector(IReceipts.NoPendingClaim.selector, id));
        receipts.answerClaim(id, path);
        expectSolvent();
    }

    function test_attack_post_another_answer_than_the_signed_one() external {
        Response memory other = makeResponse(40, 29, 30); // same index, other output
        Receipt memory receipt = makeReceipt(other, SALT, TARGET);
        vm.warp(receipt.postingDeadline + 1);
        bytes32 id = claim(receipt);
        bytes32[] memory path = batchPath();
        vm.expectPartialRevert(IInferenceLedger.LeafNotInBatch.selector);
        receipts.answerClaim(id, path);
        uint64 deadline = receipts.receiptClaim(id).answerDeadline;
        vm.warp(deadline);
        vm.expectRevert(abi.encodeWithSelector(IReceipts.AnswerWindowOpen.selector, deadline));
        receipts.slashUnposted(id);
        vm.warp(deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(IReceipts.AnswerWindowClosed.selector, deadline));
        receipts.answerClaim(id, path);
        receipts.slashUnposted(id);
        expectSlashed(id);
    }

    function test_attack_the_leaf_under_another_model_does_not_count() external {
        Receipt memory receipt = makeReceipt(response, SALT, TARGET);
        receipt.modelId = "another model";
        vm.warp(receipt.postingDeadline + 1);
        expectSlashed(claim(receipt));
    }

    function test_attack_a_forged_or_foreign_receipt_slashes_nobody() external {
        Receipt memory receipt = makeReceipt(response, "never posted", TARGET);
        bytes memory forged = sign(receipt, 0xBAD);
        bytes memory signature = sign(receipt, PROVIDER_KEY);
        vm.warp(receipt.postingDeadline + 1);
        vm.startPrank(requester);
        vm.expectPartialRevert(IReceipts.InvalidReceiptSignature.selector);
        receipts.claimUnposted{value: p.receiptClaimBond}(receipt, forged);
        vm.stopPrank();
        // A receipt of another chain has another digest.
        vm.chainId(5);
        vm.startPrank(requester);
        vm.expectPartialRevert(IReceipts.InvalidReceiptSignature.selector);
        receipts.claimUnposted{value: p.receiptClaimBond}(receipt, signature);
        vm.stopPrank();
    }

    function test_a_receipt_is_claimed_once_and_with_the_bond() external {
        Receipt memory receipt = makeReceipt(response, "never posted", TARGET);
        bytes memory signature = sign(receipt, PROVIDER_KEY);
        vm.warp(receipt.postingDeadline + 1);
        vm.startPrank(requester);
        vm.expectPartialRevert(IInferenceLedger.WrongAmount.selector);
        receipts.claimUnposted{value: p.receiptClaimBond - 1}(receipt, signature);
        bytes32 id = receipts.claimUnposted{value: p.receiptClaimBond}(receipt, signature);
        vm.expectRevert(abi.encodeWithSelector(IReceipts.ReceiptAlreadyClaimed.selector, id));
        receipts.claimUnposted{value: p.receiptClaimBond}(receipt, signature);
        vm.stopPrank();
    }

    function test_attack_exit_before_the_claim() external {
        Receipt memory receipt = makeReceipt(response, "never posted", TARGET);
        uint256 free = stake.freeStake(provider);
        vm.prank(provider);
        stake.requestExit(free);
        vm.warp(uint256(receipt.postingDeadline) + p.receiptClaimWindow);
        vm.prank(provider);
        vm.expectRevert(); // the delay outlasts the window of the claim
        stake.completeExit();
        expectSlashed(claim(receipt));
        // What is left of the exiting stake leaves; the accounts still add up.
        vm.warp(block.timestamp + p.exitDelay);
        vm.prank(provider);
        stake.completeExit();
        vm.assertEq(stake.account(provider).total, 3 * p.lockPerResponse + p.providerBond);
        expectSolvent();
    }

    function test_a_late_claim_takes_no_stake() external {
        Receipt memory receipt = makeReceipt(response, "never posted", TARGET);
        vm.warp(uint256(receipt.postingDeadline) + p.receiptClaimWindow + 1);
        bytes32 id = claim(receipt);
        vm.assertTrue(receipts.receiptClaim(id).status == ReceiptStatus.Slashed);
        vm.assertEq(stake.account(provider).total, 20 ether);
        vm.assertEq(stake.credits(requester), p.receiptClaimBond);
        expectSolvent();
    }

    function test_attack_malleable_signature() external {
        Receipt memory receipt = makeReceipt(response, "never posted", TARGET);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(PROVIDER_KEY, receipts.receiptDigest(receipt));
        uint256 order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
        bytes memory flipped = abi.encodePacked(r, order - uint256(s), v == 27 ? uint8(28) : uint8(27));
        vm.warp(receipt.postingDeadline + 1);
        vm.prank(requester);
        vm.expectRevert();
        receipts.claimUnposted{value: p.receiptClaimBond}(receipt, flipped);
    }

    function test_a_batch_of_one_has_an_empty_path() external {
        bytes32 leaf = ledger.responseLeaf(provider, modelId, "single", 0, response.fields);
        vm.prank(provider);
        ledger.postBatch(provider, leaf, "single", modelId, 1);
        Receipt memory receipt = makeReceipt(response, "single", 0);
        vm.warp(receipt.postingDeadline + 1);
        bytes32 id = claim(receipt);
        receipts.answerClaim(id, new bytes32[](0));
        vm.assertTrue(receipts.receiptClaim(id).status == ReceiptStatus.Answered);
    }
}
