// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IReceipts, Receipt} from "../src/interfaces/IReceipts.sol";
import {Channel, IPayments, Voucher} from "../src/interfaces/IPayments.sol";
import {ContractPayer, FeeToken, ReentrantToken, Token} from "./PaymentTokens.sol";
import {Scenario} from "./Scenario.sol";

contract PaymentsTest is Scenario {
    uint256 private constant PAYER_KEY = 0x9A7E4;
    address private payer = vm.addr(PAYER_KEY);
    address private constant ETHER_TOKEN = address(0);

    function setUp() public override {
        super.setUp();
        vm.deal(payer, 1000 ether);
        vm.prank(payer);
        payments.deposit{value: 10 ether}(provider, ETHER_TOKEN, 10 ether);
    }

    // --- vouchers

    function voucher(uint256 cumulative) private view returns (Voucher memory) {
        return Voucher(payer, provider, ETHER_TOKEN, cumulative);
    }

    function signed(Voucher memory v, uint256 key) private view returns (bytes memory) {
        (uint8 y, bytes32 r, bytes32 s) = vm.sign(key, payments.voucherDigest(v));
        return abi.encodePacked(r, s, y);
    }

    function redeem(Voucher memory v, bytes memory signature) private returns (uint256) {
        Voucher[] memory all = new Voucher[](1);
        bytes[] memory signatures = new bytes[](1);
        (all[0], signatures[0]) = (v, signature);
        return payments.redeem(all, signatures)[0];
    }

    function pay(uint256 cumulative) private returns (uint256) {
        return redeem(voucher(cumulative), signed(voucher(cumulative), PAYER_KEY));
    }

    function channel() private view returns (Channel memory) {
        return payments.channel(payer, provider, ETHER_TOKEN);
    }

    function release() private {
        address[] memory payers = new address[](1);
        payers[0] = payer;
        payments.release(provider, ETHER_TOKEN, payers);
    }

    function free() private view returns (uint256) {
        return payments.account(provider, ETHER_TOKEN).balance;
    }

    function voidReceipt(uint256 fee) private returns (Receipt memory receipt, bytes memory signature) {
        receipt = makeReceipt(response, SALT, TARGET);
        (receipt.payer, receipt.feeWei) = (payer, fee);
        signature = sign(receipt, PROVIDER_KEY);
        if (!ledger.isVoid(batchId, TARGET)) {
            uint256 gameId = open();
            vm.prank(provider);
            game.concede(gameId, aboutOf(gameId));
        }
    }

    function test_only_the_increase_of_a_voucher_is_paid() external {
        vm.assertEq(pay(1 ether), 1 ether);
        vm.assertEq(pay(3 ether), 2 ether);
        vm.assertEq(pay(3 ether), 0);
        Channel memory c = channel();
        vm.assertEq(c.balance, 7 ether);
        vm.assertEq(uint256(c.heldOlder) + c.heldRecent, 3 ether);
    }

    function test_a_voucher_beyond_the_deposit_is_paid_in_part_and_in_full_after_a_top_up() external {
        vm.assertEq(pay(12 ether), 10 ether);
        vm.assertEq(pay(12 ether), 0);
        vm.prank(payer);
        payments.deposit{value: 5 ether}(provider, ETHER_TOKEN, 5 ether);
        vm.assertEq(pay(12 ether), 2 ether);
        vm.assertEq(channel().balance, 3 ether);
    }

    function test_attack_redeem_a_lower_cumulative() external {
        pay(3 ether);
        vm.assertEq(pay(2 ether), 0);
        vm.assertEq(channel().redeemed, 3 ether);
    }

    function test_attack_replay_a_voucher_on_another_chain_contract_or_channel() external {
        Voucher memory v = voucher(1 ether);
        bytes memory signature = signed(v, PAYER_KEY);
        vm.chainId(5);
        vm.assertEq(redeem(v, signature), 0);
        vm.chainId(31_337);
        IPayments other = IPayments(vm.deployCode("Payments.sol:Payments", abi.encode(receipts)));
        vm.prank(payer);
        other.deposit{value: 1 ether}(provider, ETHER_TOKEN, 1 ether);
        vm.assertFalse(other.isSigned(v, signature));
        v.provider = stranger;
        vm.prank(payer);
        payments.deposit{value: 1 ether}(stranger, ETHER_TOKEN, 1 ether);
        vm.assertEq(redeem(v, signature), 0);
        Token token = new Token();
        fund(token);
        v = voucher(1 ether);
        v.token = address(token);
        vm.assertEq(redeem(v, signature), 0);
        vm.assertEq(redeem(voucher(1 ether), signature), 1 ether);
    }

    function test_attack_a_forged_payer() external {
        vm.assertEq(redeem(voucher(1 ether), signed(voucher(1 ether), 0xBAD)), 0);
        vm.assertEq(redeem(voucher(1 ether), ""), 0);
        Voucher memory nobody = Voucher(address(0), provider, ETHER_TOKEN, 1 ether);
        vm.assertFalse(payments.isSigned(nobody, new bytes(65)));
        vm.startPrank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IPayments.NoWithdrawalRequested.selector));
        payments.completeWithdrawal(provider, ETHER_TOKEN, stranger);
        vm.expectRevert(abi.encodeWithSelector(IPayments.NothingToWithdraw.selector));
        payments.withdraw(ETHER_TOKEN, stranger);
        vm.stopPrank();
    }

    function test_attack_a_bad_voucher_in_a_bulk_blocks_no_other() external {
        ContractPayer hostile = new ContractPayer();
        hostile.deposit{value: 1 ether}(payments, provider);
        Voucher[] memory all = new Voucher[](5);
        bytes[] memory signatures = new bytes[](5);
        for (uint256 kind = 0; kind < 2; ++kind) {
            hostile.misbehave(kind == 0, kind == 1);
            all[0] = voucher(1 ether); // forged
            signatures[0] = signed(all[0], 0xBAD);
            all[1] = Voucher(address(hostile), provider, ETHER_TOKEN, 1 ether); // eats gas, or answers with a megabyte
            all[2] = Voucher(stranger, provider, ETHER_TOKEN, 1 ether); // no channel
            all[3] = Voucher(payer, provider, ETHER_TOKEN, type(uint256).max); // beyond everything, and forged
            signatures[3] = signed(voucher(5), PAYER_KEY);
            all[4] = voucher((1 + kind) * 1 ether);
            signatures[4] = signed(all[4], PAYER_KEY);
            uint256[] memory paid = payments.redeem{gas: 600_000}(all, signatures);
            for (uint256 i = 0; i < 4; ++i) {
                vm.assertEq(paid[i], 0);
            }
            vm.assertEq(paid[4], 1 ether);
        }
    }

    function test_a_contract_pays_by_erc1271() external {
        ContractPayer wallet = new ContractPayer();
        wallet.deposit{value: 1 ether}(payments, provider);
        Voucher memory v = Voucher(address(wallet), provider, ETHER_TOKEN, 0.4 ether);
        vm.assertEq(redeem(v, "x"), 0);
        wallet.approve(payments.voucherDigest(v));
        vm.assertEq(redeem(v, "x"), 0.4 ether);
    }

    function test_attack_code_put_at_a_payer_unsays_no_voucher() external {
        bytes memory signature = signed(voucher(1 ether), PAYER_KEY);
        vm.etch(payer, address(new ContractPayer()).code);
        vm.assertEq(redeem(voucher(1 ether), signature), 1 ether);
    }

    function test_deadline_of_a_revoked_voucher_key() external {
        vm.prank(payer);
        payments.authoriseVoucherKey(vm.addr(7));
        vm.assertEq(redeem(voucher(1 ether), signed(voucher(1 ether), 7)), 1 ether);
        vm.prank(payer);
        payments.revokeVoucherKey(vm.addr(7));
        uint256 time = block.timestamp + payments.withdrawalDelay();
        Voucher memory v = voucher(2 ether);
        bytes memory signature = signed(v, 7);
        for (uint256 i = 0; i < 3; ++i) {
            vm.warp(time - 1 + i);
            vm.assertTrue(payments.isSigned(v, signature) == (i < 2));
        }
        vm.expectRevert(abi.encodeWithSelector(IPayments.InvalidParty.selector, vm.addr(7)));
        vm.prank(payer);
        payments.revokeVoucherKey(vm.addr(7)); // another delay from now on would be another life
    }

    // --- withdrawals

    function test_attack_withdrawal_races_redemption() external {
        vm.prank(payer);
        payments.requestWithdrawal(provider, ETHER_TOKEN, 10 ether);
        uint256 time = channel().withdrawableAt;
        vm.assertEq(time, block.timestamp + p.challengeWindow + p.inclusionDelay);
        for (uint256 i = 0; i < 3; ++i) {
            uint256 here = vm.snapshotState();
            vm.warp(time - 1 + i);
            if (i < 2) {
                vm.prank(payer);
                vm.expectPartialRevert(IPayments.WithdrawalTooEarly.selector);
                payments.completeWithdrawal(provider, ETHER_TOKEN, payer);
            }
            vm.assertEq(pay(4 ether), 4 ether); // as long as the money is there
            if (i == 2) {
                vm.startPrank(payer);
                payments.completeWithdrawal(provider, ETHER_TOKEN, requester);
                vm.expectRevert(abi.encodeWithSelector(IPayments.NoWithdrawalRequested.selector));
                payments.completeWithdrawal(provider, ETHER_TOKEN, requester);
                vm.stopPrank();
                vm.assertEq(requester.balance, 1006 ether);
                vm.assertEq(pay(10 ether), 0);
                vm.assertEq(payments.totalOwed(ETHER_TOKEN), 4 ether);
            }
            vm.revertToState(here);
        }
    }

    function test_deadline_of_a_withdrawal() external {
        vm.prank(payer);
        payments.requestWithdrawal(provider, ETHER_TOKEN, 1 ether);
        uint256 time = channel().withdrawableAt;
        for (uint256 i = 0; i < 3; ++i) {
            vm.warp(time - 1 + i);
            vm.prank(payer);
            bytes memory data =
                abi.encodeCall(IPayments.completeWithdrawal, (provider, ETHER_TOKEN, requester));
            (bool done,) = address(payments).call(data);
            vm.assertTrue(done == (i == 2));
        }
    }

    function test_a_request_is_replaced_and_taken_back() external {
        vm.startPrank(payer);
        payments.requestWithdrawal(provider, ETHER_TOKEN, 1 ether);
        vm.warp(block.timestamp + 10);
        payments.requestWithdrawal(provider, ETHER_TOKEN, 2 ether);
        vm.assertEq(channel().withdrawableAt, block.timestamp + payments.withdrawalDelay());
        payments.requestWithdrawal(provider, ETHER_TOKEN, 0);
        vm.warp(block.timestamp + payments.withdrawalDelay() + 1);
        vm.expectRevert(abi.encodeWithSelector(IPayments.NoWithdrawalRequested.selector));
        payments.completeWithdrawal(provider, ETHER_TOKEN, payer);
        vm.stopPrank();
    }

    function test_deadline_of_the_hold() external {
        uint256 hold = payments.holdPeriod();
        vm.assertEq(hold, p.postingWindow + p.challengeWindow + p.showWindow + 2 * p.clock);
        vm.warp((block.timestamp / hold + 1) * hold - 1); // the last second of a period: the shortest hold
        uint256 paidAt = block.timestamp;
        pay(1 ether);
        for (uint256 i = 0; i < 3; ++i) {
            vm.warp(paidAt + hold - 1 + i);
            release();
            vm.assertEq(free(), i < 2 ? 0 : 1 ether);
        }
        vm.startPrank(provider);
        vm.assertEq(payments.withdraw(ETHER_TOKEN, stranger), 1 ether);
        vm.expectRevert(abi.encodeWithSelector(IPayments.NothingToWithdraw.selector));
        payments.withdraw(ETHER_TOKEN, stranger);
        vm.stopPrank();
        vm.assertEq(stranger.balance, 1001 ether);
    }

    // --- refunds

    function test_the_fee_of_a_void_response_goes_back_from_the_hold() external {
        pay(3 ether);
        (Receipt memory receipt, bytes memory signature) = voidReceipt(1 ether);
        payments.refund(receipt, signature);
        vm.assertEq(channel().balance, 8 ether);
        vm.assertEq(channel().heldRecent, 2 ether);
    }

    function test_the_fee_of_a_void_response_that_was_not_redeemed_is_waived() external {
        (Receipt memory receipt, bytes memory signature) = voidReceipt(1 ether);
        payments.refund(receipt, signature);
        vm.assertEq(channel().credit, 1 ether);
        vm.assertEq(pay(0.4 ether), 0);
        vm.assertEq(pay(3 ether), 2 ether);
        vm.assertEq(channel().redeemed, 3 ether);
        vm.assertFalse(channel().hasCredit);
        vm.assertEq(pay(4 ether), 1 ether);
    }

    function test_the_fee_of_a_response_never_posted_goes_back() external {
        pay(1 ether);
        Receipt memory receipt = makeReceipt(response, "never posted", TARGET);
        (receipt.payer, receipt.feeWei) = (payer, 1 ether);
        bytes memory signature = sign(receipt, PROVIDER_KEY);
        vm.warp(receipt.postingDeadline);
        vm.expectPartialRevert(IReceipts.NotRefundable.selector);
        payments.refund(receipt, signature);
        vm.warp(receipt.postingDeadline + 1);
        payments.refund(receipt, signature);
        vm.assertEq(channel().balance, 10 ether);
    }

    function test_a_slashed_receipt_is_refunded() external {
        Receipt memory receipt = makeReceipt(response, SALT, TARGET);
        receipt.payer = payer;
        bytes memory signature = sign(receipt, PROVIDER_KEY);
        pay(1 ether);
        vm.warp(receipt.postingDeadline + 1);
        vm.prank(requester);
        bytes32 id = receipts.claimUnposted{value: p.receiptClaimBond}(receipt, signature);
        vm.expectPartialRevert(IReceipts.NotRefundable.selector);
        payments.refund(receipt, signature);
        vm.warp(block.timestamp + p.receiptAnswerWindow + 1);
        receipts.slashUnposted(id);
        payments.refund(receipt, signature);
        vm.assertEq(channel().balance, 9 ether + receipt.feeWei);
    }

    function test_attack_refund_twice() external {
        pay(3 ether);
        (Receipt memory receipt, bytes memory signature) = voidReceipt(1 ether);
        payments.refund(receipt, signature);
        vm.expectPartialRevert(IPayments.AlreadyRefunded.selector);
        payments.refund(receipt, signature);
    }

    function test_attack_refund_of_a_response_that_is_not_void() external {
        pay(3 ether);
        Receipt memory receipt = makeReceipt(response, SALT, TARGET);
        receipt.payer = payer;
        bytes memory signature = sign(receipt, PROVIDER_KEY);
        vm.expectPartialRevert(IReceipts.NotRefundable.selector);
        payments.refund(receipt, signature);
        uint256 here = vm.snapshotState();
        vm.warp(uint256(ledger.batch(batchId).deadline) + 1);
        vm.expectPartialRevert(IReceipts.NotRefundable.selector);
        payments.refund(receipt, signature);
        bytes memory forged = sign(receipt, 0xBAD);
        vm.expectPartialRevert(IReceipts.InvalidReceiptSignature.selector);
        payments.refund(receipt, forged);
        vm.revertToState(here);
        (receipt,) = voidReceipt(1 ether);
        receipt.payer = address(0);
        signature = sign(receipt, PROVIDER_KEY);
        vm.expectPartialRevert(IPayments.NothingPaid.selector);
        payments.refund(receipt, signature);
    }

    /// @dev A fee of 10^30: the payer gets back what it paid this provider, and nobody else loses a wei.
    function test_attack_a_lying_receipt_takes_nothing_of_others() external {
        address other = vm.addr(5);
        vm.deal(other, 5 ether);
        vm.prank(other);
        payments.deposit{value: 5 ether}(provider, ETHER_TOKEN, 5 ether);
        Voucher memory theirs = Voucher(other, provider, ETHER_TOKEN, 5 ether);
        redeem(theirs, signed(theirs, 5));
        pay(2 ether);
        (Receipt memory receipt, bytes memory signature) = voidReceipt(10 ** 30);
        payments.refund(receipt, signature);
        vm.assertEq(channel().balance, 10 ether);
        vm.assertEq(payments.channel(other, provider, ETHER_TOKEN).heldRecent, 5 ether);
        vm.assertEq(payments.account(provider, ETHER_TOKEN).debt, 0);
        vm.assertEq(pay(9 ether), 0); // all further vouchers of this payer are waived
        vm.assertEq(payments.totalOwed(ETHER_TOKEN), 15 ether);
    }

    function test_attack_the_provider_withdraws_before_the_response_is_void() external {
        pay(3 ether);
        vm.warp(block.timestamp + 2 * payments.holdPeriod());
        release();
        vm.prank(provider);
        payments.withdraw(ETHER_TOKEN, provider);
        batchId = post(response, "later");
        Receipt memory receipt = makeReceipt(response, "later", TARGET);
        (receipt.payer, receipt.feeWei) = (payer, 2 ether);
        bytes memory signature = sign(receipt, PROVIDER_KEY);
        uint256 gameId = open();
        vm.prank(provider);
        game.concede(gameId, aboutOf(gameId));
        payments.refund(receipt, signature);
        vm.assertEq(channel().owed, 2 ether);
        vm.assertEq(payments.account(provider, ETHER_TOKEN).debt, 2 ether);
        vm.expectRevert(abi.encodeWithSelector(IPayments.NothingToWithdraw.selector));
        payments.collectDebt(payer, provider, ETHER_TOKEN);
        // Another payer's money pays the debt, once it is the provider's.
        address other = vm.addr(5);
        vm.deal(other, 5 ether);
        vm.prank(other);
        payments.deposit{value: 5 ether}(provider, ETHER_TOKEN, 5 ether);
        Voucher memory theirs = Voucher(other, provider, ETHER_TOKEN, 5 ether);
        redeem(theirs, signed(theirs, 5));
        vm.warp(block.timestamp + 2 * payments.holdPeriod());
        address[] memory payers = new address[](1);
        payers[0] = other;
        payments.release(provider, ETHER_TOKEN, payers);
        vm.assertEq(free(), 3 ether);
        payments.collectDebt(payer, provider, ETHER_TOKEN);
        vm.assertEq(channel().balance, 9 ether);
        vm.assertEq(channel().owed, 0);
        vm.assertEq(payments.account(provider, ETHER_TOKEN).pot, 0);
    }

    function test_released_money_that_is_still_here_pays_the_refund() external {
        pay(3 ether);
        vm.warp(block.timestamp + 2 * payments.holdPeriod());
        batchId = post(response, "later");
        Receipt memory receipt = makeReceipt(response, "later", TARGET);
        (receipt.payer, receipt.feeWei) = (payer, 2 ether);
        bytes memory signature = sign(receipt, PROVIDER_KEY);
        uint256 gameId = open();
        vm.prank(provider);
        game.concede(gameId, aboutOf(gameId));
        payments.refund(receipt, signature);
        vm.assertEq(channel().balance, 9 ether);
        vm.assertEq(channel().released, 1 ether);
        vm.assertEq(free(), 1 ether);
    }

    // --- tokens

    function fund(Token token) private {
        token.mint(payer, 100 ether);
        vm.startPrank(payer);
        token.approve(address(payments), 100 ether);
        payments.deposit(provider, address(token), 10 ether);
        vm.stopPrank();
    }

    function test_a_token_that_returns_nothing() external {
        Token token = new Token();
        fund(token);
        Voucher memory v = Voucher(payer, provider, address(token), 4 ether);
        vm.assertEq(redeem(v, signed(v, PAYER_KEY)), 4 ether);
        vm.startPrank(payer);
        payments.requestWithdrawal(provider, address(token), 100 ether);
        vm.warp(block.timestamp + payments.withdrawalDelay() + 1);
        payments.completeWithdrawal(provider, address(token), payer);
        vm.stopPrank();
        vm.assertEq(token.balanceOf(payer), 96 ether);
        vm.assertEq(token.balanceOf(address(payments)), payments.totalOwed(address(token)));
    }

    function test_attack_a_token_that_takes_a_fee() external {
        Token token = new FeeToken();
        token.mint(payer, 100 ether);
        vm.startPrank(payer);
        token.approve(address(payments), 100 ether);
        vm.expectRevert(
            abi.encodeWithSelector(IPayments.UnexpectedAmount.selector, address(token), 10 ether, 9.9 ether)
        );
        payments.deposit(provider, address(token), 10 ether);
        vm.expectPartialRevert(IPayments.UnexpectedAmount.selector);
        payments.deposit(provider, address(0x1234), 10 ether); // no code: nothing would move
        vm.stopPrank();
    }

    function test_attack_a_reentrant_token() external {
        ReentrantToken token = new ReentrantToken();
        token.arm(address(payments), abi.encodeCall(IPayments.deposit, (provider, address(token), 1)));
        fund(token);
        vm.assertEq(token.refusals(), 1);
        token.arm(address(payments), abi.encodeCall(IPayments.withdraw, (address(token), address(token))));
        vm.startPrank(payer);
        payments.requestWithdrawal(provider, address(token), 10 ether);
        vm.warp(block.timestamp + payments.withdrawalDelay() + 1);
        payments.completeWithdrawal(provider, address(token), payer);
        vm.stopPrank();
        vm.assertEq(token.refusals(), 2);
        vm.assertEq(payments.totalOwed(address(token)), 0);
    }

    function test_deposits_that_are_refused() external {
        vm.startPrank(payer);
        vm.expectPartialRevert(IPayments.WrongEther.selector);
        payments.deposit{value: 1}(provider, ETHER_TOKEN, 2);
        vm.expectPartialRevert(IPayments.InvalidAmount.selector);
        payments.deposit(provider, ETHER_TOKEN, 0);
        vm.expectPartialRevert(IPayments.InvalidParty.selector);
        payments.deposit{value: 1}(payer, ETHER_TOKEN, 1);
        Token token = new Token();
        token.mint(payer, type(uint256).max);
        token.approve(address(payments), type(uint256).max);
        vm.expectPartialRevert(IPayments.InvalidAmount.selector);
        payments.deposit(provider, address(token), uint256(type(uint112).max) + 1);
        payments.deposit(provider, address(token), type(uint112).max);
        address another = address(new Token());
        vm.expectPartialRevert(IPayments.WrongEther.selector);
        payments.deposit{value: 1}(stranger, another, 1);
        vm.stopPrank();
    }

    // --- gas

    /// @dev Gas of one bulk, calldata included, with channels that were used before. In one test their slots are warm, which a
    ///      transaction's are not: this is a snapshot that tells when it grows, not what a bulk costs on a chain.
    function test_gas_of_a_bulk() external {
        uint256[3] memory sizes = [uint256(1), 16, 256];
        uint256[3] memory limits = [uint256(60_000), 36_000, 34_000];
        for (uint256 s = 0; s < 3; ++s) {
            (Voucher[] memory all, bytes[] memory signatures) = bulk(sizes[s]);
            payments.redeem(all, signatures);
            for (uint256 i = 0; i < all.length; ++i) {
                all[i].cumulative = 2;
                signatures[i] = signed(all[i], 1000 + i);
            }
            bytes memory data = abi.encodeCall(IPayments.redeem, (all, signatures));
            uint256 gas_ = 21_000 + calldataGas(data);
            uint256 before = gasleft();
            (bool done,) = address(payments).call(data);
            gas_ += before - gasleft();
            vm.assertTrue(done);
            emit GasPerVoucher(sizes[s], gas_ / sizes[s]);
            vm.assertLt(gas_ / sizes[s], limits[s]);
        }
    }

    event GasPerVoucher(uint256 vouchers, uint256 gas_);

    function bulk(uint256 count) private returns (Voucher[] memory all, bytes[] memory signatures) {
        (all, signatures) = (new Voucher[](count), new bytes[](count));
        for (uint256 i = 0; i < count; ++i) {
            address from = vm.addr(1000 + i);
            vm.deal(from, 1 ether);
            vm.prank(from);
            payments.deposit{value: 100}(provider, ETHER_TOKEN, 100);
            all[i] = Voucher(
                from, provider, ETHER_TOKEN, payments.channel(from, provider, ETHER_TOKEN).redeemed + 1
            );
            signatures[i] = signed(all[i], 1000 + i);
        }
    }

    function calldataGas(bytes memory data) private pure returns (uint256 sum) {
        for (uint256 i = 0; i < data.length; ++i) {
            sum += data[i] == 0 ? 4 : 16;
        }
    }
}
