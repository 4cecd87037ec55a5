// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IInferenceLedger} from "../src/interfaces/IInferenceLedger.sol";
import {IPayments, Voucher} from "../src/interfaces/IPayments.sol";
import {IReceipts, Receipt} from "../src/interfaces/IReceipts.sol";
import {Parameters, ProtocolParameters} from "../src/libraries/Parameters.sol";
import {Response, Scenario} from "./Scenario.sol";

/// @notice Refunds end with the time in which a receipt can cost anything.
abstract contract Refunds is Scenario {
    uint256 internal constant PAYER_KEY = 0x9A7E4;
    uint256 internal constant SIGNER_KEY = 0x51;
    address internal payer = vm.addr(PAYER_KEY);
    address internal signer = vm.addr(SIGNER_KEY);

    function setUp() public virtual override {
        super.setUp();
        vm.deal(payer, 1000 ether);
        vm.prank(payer);
        payments.deposit{value: 10 ether}(provider, address(0), 10 ether);
    }

    function pay(uint256 cumulative) internal returns (uint256) {
        Voucher[] memory all = new Voucher[](1);
        bytes[] memory signatures = new bytes[](1);
        all[0] = Voucher(payer, provider, address(0), cumulative);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(PAYER_KEY, payments.voucherDigest(all[0]));
        signatures[0] = abi.encodePacked(r, s, v);
        return payments.redeem(all, signatures)[0];
    }

    function release() internal {
        address[] memory payers = new address[](1);
        payers[0] = payer;
        payments.release(provider, address(0), payers);
    }

    function earnings() internal view returns (uint256) {
        return payments.account(provider, address(0)).balance;
    }

    function tryRefund(Receipt memory receipt, bytes memory signature) internal returns (bool done) {
        (done,) = address(payments).call(abi.encodeCall(IPayments.refund, (receipt, signature)));
    }

    function claimAs(address who, Receipt memory receipt, uint256 key) internal returns (bytes32) {
        bytes memory signature = sign(receipt, key);
        vm.prank(who);
        return receipts.claimUnposted{value: p.receiptClaimBond}(receipt, signature);
    }
}

contract LateRefundsTest is Refunds {
    /// @dev Key with an allowance of 1 wei, retired at once. A year later it takes all free earnings.
    function test_attack_a_retired_key_takes_earnings_a_year_later() external {
        vm.startPrank(provider);
        stake.registerSigner(signer, 1);
        stake.retireSigner(signer);
        vm.stopPrank();
        uint64 retiredAt = uint64(block.timestamp);
        pay(10 ether);
        vm.warp(block.timestamp + 365 days);
        release();
        vm.assertEq(earnings(), 10 ether);
        Receipt memory receipt = makeReceipt(response, "never", 0);
        (receipt.payer, receipt.feeWei, receipt.signer) = (payer, 10 ** 30, signer);
        (receipt.issuedAt, receipt.postingDeadline) = (retiredAt, retiredAt);
        tryRefund(receipt, sign(receipt, SIGNER_KEY));
        vm.assertEq(uint256(payments.channel(payer, provider, address(0)).credit), 0, "free for ever");
        vm.assertEq(earnings(), 10 ether, "earnings");
    }

    /// @dev The same, after the provider withdrew: a debt on what it earns from others.
    function test_attack_a_retired_key_makes_a_debt() external {
        vm.startPrank(provider);
        stake.registerSigner(signer, 1);
        stake.retireSigner(signer);
        vm.stopPrank();
        uint64 retiredAt = uint64(block.timestamp);
        pay(10 ether);
        vm.warp(block.timestamp + 365 days);
        release();
        vm.prank(provider);
        payments.withdraw(address(0), provider);
        Receipt memory receipt = makeReceipt(response, "never", 0);
        (receipt.payer, receipt.feeWei, receipt.signer) = (payer, 10 ** 30, signer);
        (receipt.issuedAt, receipt.postingDeadline) = (retiredAt, retiredAt);
        tryRefund(receipt, sign(receipt, SIGNER_KEY));
        vm.assertEq(payments.account(provider, address(0)).debt, 0, "debt");
    }

    /// @dev Its window over: a receipt that was honoured is claimed a year later, and its provider is gone.
    function test_attack_an_honoured_receipt_is_claimed_a_year_later() external {
        Receipt memory receipt = makeReceipt(response, SALT, TARGET);
        (receipt.payer, receipt.feeWei) = (payer, 10 ether);
        response.fields.feeWei = 10 ether;
        batchId = post(response, "a");
        receipt.batchSalt = "a"; // posted as promised
        pay(10 ether);
        vm.warp(block.timestamp + 365 days);
        release();
        bytes32 id = claimAs(payer, receipt, PROVIDER_KEY);
        vm.warp(block.timestamp + p.receiptAnswerWindow + 1);
        receipts.slashUnposted(id);
        tryRefund(receipt, sign(receipt, PROVIDER_KEY));
        vm.assertEq(earnings(), 10 ether, "earnings");
    }
}

/// @notice An answer window that is longer than everything else.
contract LongAnswerWindowTest is Refunds {
    function _parameters() internal pure override returns (ProtocolParameters memory q) {
        q = Parameters.devnet();
        q.receiptAnswerWindow = 1 days;
        q.exitDelay = 2 days;
    }

    function test_attack_the_fee_leaves_the_hold_before_a_claim_is_lost() external {
        Response memory other = makeResponse(40, 29, 30);
        Receipt memory receipt = makeReceipt(other, SALT, TARGET); // another answer was posted
        (receipt.payer, receipt.feeWei) = (payer, 1 ether);
        pay(1 ether);
        vm.warp(receipt.postingDeadline + 1);
        bytes32 id = claimAs(payer, receipt, PROVIDER_KEY);
        vm.warp(receipts.receiptClaim(id).answerDeadline);
        release();
        vm.prank(provider);
        vm.expectRevert(IPayments.NothingToWithdraw.selector);
        payments.withdraw(address(0), provider);
        vm.warp(block.timestamp + 1);
        receipts.slashUnposted(id);
        vm.assertTrue(tryRefund(receipt, sign(receipt, PROVIDER_KEY)));
        vm.assertEq(uint256(payments.channel(payer, provider, address(0)).balance), 10 ether, "refund");
    }
}
