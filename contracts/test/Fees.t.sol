// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IInferenceLedger} from "../src/interfaces/IInferenceLedger.sol";
import {IReceipts, Receipt, ReceiptStatus} from "../src/interfaces/IReceipts.sol";
import {Scenario} from "./Scenario.sol";

contract FeesTest is Scenario {
    Receipt private receipt;
    bytes32 private leaf;

    function setUp() public override {
        super.setUp();
        receipt = makeReceipt(response, SALT, TARGET);
        leaf = batchLeaves[TARGET];
    }

    function pay() private {
        bytes memory signature = sign(receipt, PROVIDER_KEY);
        vm.prank(requester);
        ledger.payFee{value: receipt.feeWei}(receipt, signature);
    }

    function claim() private {
        ledger.claimFee(batchId, TARGET, response.fields, batchPath());
    }

    function test_the_provider_gets_the_fee_of_a_final_response() external {
        pay();
        vm.expectPartialRevert(IInferenceLedger.ResponseNotFinal.selector);
        claim();
        vm.warp(ledger.batch(batchId).deadline + 1);
        claim();
        vm.assertEq(stake.credits(provider), receipt.feeWei);
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.NoFee.selector, leaf));
        claim();
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.NoFee.selector, leaf));
        ledger.refundFee(leaf);
        expectSolvent();
    }

    function test_the_requester_gets_the_fee_of_a_void_response_back() external {
        pay();
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.NotRefundable.selector, leaf));
        ledger.refundFee(leaf);
        uint256 gameId = open();
        vm.prank(provider);
        game.concede(gameId);
        ledger.refundFee(leaf);
        vm.assertEq(stake.credits(requester), receipt.feeWei);
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.NoFee.selector, leaf));
        ledger.refundFee(leaf);
        vm.warp(ledger.batch(batchId).deadline + 1);
        vm.expectPartialRevert(IInferenceLedger.ResponseNotFinal.selector);
        claim();
        expectSolvent();
    }

    function test_the_fee_of_a_response_never_posted_goes_back() external {
        receipt.batchSalt = "never posted";
        leaf = ledger.responseLeaf(provider, modelId, receipt.batchSalt, TARGET, response.fields);
        pay();
        vm.warp(receipt.postingDeadline);
        vm.expectPartialRevert(IInferenceLedger.NotRefundable.selector);
        ledger.refundFee(leaf);
        vm.warp(receipt.postingDeadline + 1);
        ledger.refundFee(leaf);
        vm.assertEq(stake.credits(requester), receipt.feeWei);
        expectSolvent();
    }

    function test_the_fee_of_a_response_posted_late_goes_back() external {
        receipt.batchSalt = "late";
        pay();
        vm.warp(receipt.postingDeadline + 1);
        batchId = post(response, "late");
        vm.warp(ledger.batch(batchId).deadline + 1);
        vm.expectPartialRevert(IInferenceLedger.PostedLate.selector);
        claim();
        ledger.refundFee(batchLeaves[TARGET]);
        vm.assertEq(stake.credits(requester), receipt.feeWei);
    }

    function test_a_fee_is_paid_once_exactly_and_on_the_providers_signature() external {
        bytes memory signature = sign(receipt, PROVIDER_KEY);
        vm.startPrank(requester);
        vm.expectPartialRevert(IInferenceLedger.WrongAmount.selector);
        ledger.payFee{value: receipt.feeWei - 1}(receipt, signature);
        vm.stopPrank();
        bytes memory forged = sign(receipt, 0xBAD);
        vm.startPrank(requester);
        vm.expectPartialRevert(IReceipts.InvalidReceiptSignature.selector);
        ledger.payFee{value: receipt.feeWei}(receipt, forged);
        ledger.payFee{value: receipt.feeWei}(receipt, signature);
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.FeeAlreadyPaid.selector, leaf));
        ledger.payFee{value: receipt.feeWei}(receipt, signature);
        vm.stopPrank();
        vm.warp(ledger.batch(batchId).deadline + 1);
        claim();
        vm.prank(requester);
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.FeeAlreadyPaid.selector, leaf));
        ledger.payFee{value: receipt.feeWei}(receipt, signature);
    }

    function test_no_fee_without_the_leaf_in_the_batch() external {
        pay();
        vm.warp(ledger.batch(batchId).deadline + 1);
        bytes32[] memory path = batchPath();
        vm.expectPartialRevert(IInferenceLedger.LeafNotInBatch.selector);
        ledger.claimFee(batchId, 0, response.fields, path);
        vm.expectPartialRevert(IInferenceLedger.IndexOutOfRange.selector);
        ledger.claimFee(batchId, 3, response.fields, path);
    }

    function test_a_slashed_receipt_earns_no_fee() external {
        pay();
        vm.warp(receipt.postingDeadline + 1);
        bytes memory signature = sign(receipt, PROVIDER_KEY);
        vm.prank(requester);
        bytes32 id = receipts.claimUnposted{value: p.receiptClaimBond}(receipt, signature);
        vm.warp(block.timestamp + p.receiptAnswerWindow + 1);
        receipts.slashUnposted(id);
        vm.assertTrue(receipts.receiptClaim(id).status == ReceiptStatus.Slashed);
        vm.expectPartialRevert(IInferenceLedger.NoFee.selector);
        claim();
        ledger.refundFee(leaf);
        expectSolvent();
    }
}
