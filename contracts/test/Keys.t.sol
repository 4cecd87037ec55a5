// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Phase} from "../src/interfaces/IDisputeGame.sol";
import {IDisputeGame} from "../src/interfaces/IDisputeGame.sol";
import {IInferenceLedger} from "../src/interfaces/IInferenceLedger.sol";
import {IProviderStake} from "../src/interfaces/IProviderStake.sol";
import {IReceipts, Receipt} from "../src/interfaces/IReceipts.sol";
import {Scenario} from "./Scenario.sol";

/// @notice A wallet that signs by its owner's key (ERC-1271), or refuses everything.
contract Wallet {
    address private immutable _owner;

    constructor(address owner) payable {
        _owner = owner;
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        (bytes32 r, bytes32 s) = abi.decode(signature[:64], (bytes32, bytes32));
        return ecrecover(digest, uint8(signature[64]), r, s) == _owner ? bytes4(0x1626ba7e) : bytes4(0);
    }

    function act(address target, uint256 value, bytes calldata data) external returns (bytes memory) {
        (bool done, bytes memory answer) = target.call{value: value}(data);
        require(done, "refused");
        return answer;
    }
}

contract KeysTest is Scenario {
    uint256 private constant SIGNER_KEY = 0x51;
    address private operator = address(0x09);
    address private signer = vm.addr(SIGNER_KEY);

    function setUp() public override {
        super.setUp();
        vm.startPrank(provider);
        stake.setOperator(operator);
        stake.registerSigner(signer, 3 ether / 2);
        vm.stopPrank();
    }

    function receiptNumber(uint256 i) private view returns (Receipt memory receipt) {
        receipt = makeReceipt(response, bytes32(1000 + i), TARGET);
        receipt.signer = signer;
    }

    function claim(Receipt memory receipt, uint256 key) private returns (bytes32) {
        bytes memory signature = sign(receipt, key);
        vm.prank(requester);
        return receipts.claimUnposted{value: p.receiptClaimBond}(receipt, signature);
    }

    function expectVoid(Receipt memory receipt, uint256 key, bytes4 why) private {
        bytes memory signature = sign(receipt, key);
        vm.prank(requester);
        vm.expectPartialRevert(why);
        receipts.claimUnposted{value: p.receiptClaimBond}(receipt, signature);
    }

    // --- operator

    function test_the_operator_posts_and_moves_for_the_owner() external {
        vm.prank(operator);
        uint256 id = ledger.postBatch(provider, "root", "by the operator", modelId, 1);
        vm.assertEq(ledger.batch(id).provider, provider);
        uint256 gameId = open();
        bytes32[] memory hashes = new bytes32[](5);
        vm.prank(operator);
        game.postBoundaries(gameId, aboutOf(gameId), hashes);
        expectPhase(gameId, Phase.AwaitChallenge);
        vm.prank(operator);
        game.concede(gameId, aboutOf(gameId));
        vm.assertTrue(ledger.isVoid(batchId, TARGET));
    }

    function test_attack_a_rotated_operator_neither_posts_nor_moves() external {
        uint256 gameId = open();
        vm.prank(provider);
        stake.setOperator(address(0));
        vm.startPrank(operator);
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.NotOperator.selector, operator, provider));
        ledger.postBatch(provider, "root", "again", modelId, 1);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.NotMover.selector, operator, provider));
        game.postBoundaries(gameId, aboutOf(gameId), new bytes32[](5));
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.NotPlayer.selector, operator));
        game.concede(gameId, aboutOf(gameId));
        vm.stopPrank();
    }

    function test_attack_an_operator_takes_and_renames_nothing() external {
        vm.startPrank(operator);
        vm.expectPartialRevert(IProviderStake.InsufficientStake.selector);
        stake.requestExit(1);
        vm.expectRevert(IProviderStake.NothingToWithdraw.selector);
        stake.withdraw();
        stake.setOperator(stranger);
        vm.expectPartialRevert(IProviderStake.NotPaused.selector);
        stake.resume();
        vm.stopPrank();
        vm.assertEq(stake.operatorOf(provider), operator);
        vm.assertFalse(stake.actsFor(address(0), stranger));
    }

    function test_attack_naming_a_challenger_as_operator_bars_nobody() external {
        uint256 first = open();
        vm.startPrank(provider);
        stake.setOperator(challenger);
        stake.registerSigner(challenger, 1);
        vm.stopPrank();
        vm.prank(challenger);
        game.concede(first, aboutOf(first)); // speaks for itself
        vm.assertFalse(ledger.isVoid(batchId, TARGET));
        vm.assertEq(moverOf(open()), provider);
    }

    // --- receipt signer

    function test_attack_a_stolen_receipt_key_takes_at_most_the_allowance() external {
        for (uint256 i = 0; i < 4; ++i) {
            Receipt memory receipt = receiptNumber(i);
            receipt.postingDeadline = receipt.issuedAt;
            vm.warp(receipt.postingDeadline + 1);
            claim(receipt, SIGNER_KEY);
            uint256 left = i == 0 ? p.lockPerResponse / 2 : 0;
            vm.assertEq(stake.receiptBacking(provider, signer), left);
        }
        vm.assertEq(stake.account(provider).total, 20 ether - 3 ether / 2);
        vm.assertEq(stake.totalBurned(), 9 ether / 10);
        expectSolvent();
    }

    function test_attack_a_receipt_dated_before_the_registration_is_void() external {
        Receipt memory receipt = receiptNumber(0);
        receipt.issuedAt -= 1;
        receipt.postingDeadline = receipt.issuedAt;
        vm.warp(block.timestamp + 1);
        expectVoid(receipt, SIGNER_KEY, IReceipts.SignerNotValid.selector);
        receipt = receiptNumber(1);
        receipt.signer = stranger;
        expectVoid(receipt, SIGNER_KEY, IReceipts.InvalidReceiptSignature.selector);
    }

    function test_attack_a_backdated_receipt_of_a_retired_key_ends_with_its_windows() external {
        Receipt memory receipt = receiptNumber(0);
        uint64 retiredAt = uint64(block.timestamp) + 5;
        vm.warp(retiredAt);
        vm.prank(provider);
        stake.retireSigner(signer);
        for (uint64 i = 0; i < 3; ++i) {
            uint256 here = vm.snapshotState();
            receipt.issuedAt = retiredAt - 1 + i;
            receipt.postingDeadline = receipt.issuedAt + p.postingWindow;
            vm.warp(receipt.postingDeadline + 1);
            if (i < 2) claim(receipt, SIGNER_KEY);
            else expectVoid(receipt, SIGNER_KEY, IReceipts.SignerNotValid.selector);
            vm.revertToState(here);
        }
        // The latest date and deadline that a thief can write: after its window it costs nothing more.
        receipt.issuedAt = retiredAt;
        receipt.postingDeadline = retiredAt + p.postingWindow + 1;
        vm.warp(uint256(receipt.postingDeadline) + p.receiptClaimWindow);
        expectVoid(receipt, SIGNER_KEY, IReceipts.InvalidReceiptDates.selector);
        receipt.postingDeadline -= 1;
        claim(receipt, SIGNER_KEY);
        vm.assertEq(stake.account(provider).total, 20 ether);
    }

    function test_dates_of_a_receipt_at_their_limits() external {
        Receipt memory receipt = receiptNumber(0);
        receipt.postingDeadline = receipt.issuedAt - 1;
        vm.warp(block.timestamp + 1);
        expectVoid(receipt, SIGNER_KEY, IReceipts.InvalidReceiptDates.selector);
        receipt.postingDeadline = receipt.issuedAt;
        claim(receipt, SIGNER_KEY);
    }

    function test_attack_a_key_cannot_take_its_word_back_by_delegating_its_account() external {
        Receipt memory receipt = receiptNumber(0);
        vm.warp(receipt.postingDeadline + 1);
        vm.etch(signer, address(new Wallet(stranger)).code);
        claim(receipt, SIGNER_KEY);
        vm.assertEq(stake.account(provider).total, 20 ether - p.lockPerResponse);
    }

    function test_attack_an_allowance_is_never_lowered_and_a_retired_key_stays_retired() external {
        vm.startPrank(provider);
        vm.expectPartialRevert(IProviderStake.AllowanceOnlyRises.selector);
        stake.registerSigner(signer, 3 ether / 2);
        stake.registerSigner(signer, 3 ether / 2 + 1);
        stake.retireSigner(signer);
        vm.expectPartialRevert(IProviderStake.SignerRetired.selector);
        stake.registerSigner(signer, 5 ether);
        vm.expectPartialRevert(IProviderStake.SignerRetired.selector);
        stake.retireSigner(signer);
        vm.expectPartialRevert(IProviderStake.SignerUnknown.selector);
        stake.retireSigner(stranger);
        vm.expectRevert(IProviderStake.InvalidSigner.selector);
        stake.registerSigner(address(0), 1);
        vm.stopPrank();
    }

    function test_a_contract_owns_posts_and_signs() external {
        Wallet wallet = new Wallet{value: 10 ether}(signer);
        wallet.act(address(stake), 10 ether, abi.encodeCall(IProviderStake.deposit, ()));
        wallet.act(
            address(stake), 0, abi.encodeCall(IProviderStake.registerSigner, (address(wallet), 1 ether))
        );
        wallet.act(
            address(ledger),
            0,
            abi.encodeCall(IInferenceLedger.postBatch, (address(wallet), "root", "wallet", modelId, 1))
        );
        Receipt memory receipt = makeReceipt(response, "never", TARGET);
        (receipt.provider, receipt.signer) = (address(wallet), address(wallet));
        vm.warp(receipt.postingDeadline + 1);
        expectVoid(receipt, PROVIDER_KEY, IReceipts.InvalidReceiptSignature.selector);
        claim(receipt, SIGNER_KEY);
        vm.assertEq(stake.account(address(wallet)).total, 9 ether);
    }

    function test_attack_a_flood_of_claims_stops_no_posting() external {
        uint256 free = stake.freeStake(provider);
        Receipt memory receipt = receiptNumber(0);
        receipt.batchSalt = SALT;
        vm.warp(receipt.postingDeadline + 1);
        for (uint256 i = 0; i < 20; ++i) {
            receipt.payer = address(uint160(i)); // another receipt for the same leaf
            bytes32 id = claim(receipt, SIGNER_KEY);
            vm.assertEq(stake.freeStake(provider), free);
            if (i % 2 == 0) receipts.answerClaim(id, batchPath());
        }
        vm.assertEq(stake.account(provider).locked, 3 * p.lockPerResponse);
        vm.prank(operator);
        ledger.postBatch(provider, "root", "meanwhile", modelId, uint32(free / p.lockPerResponse));
    }

    // --- the bond

    function lose(uint256 id) private {
        vm.prank(challenger);
        ledger.ask{value: p.askPrice}(id, TARGET);
        vm.warp(block.timestamp + p.showWindow + 1);
        ledger.claimNotShown(id, TARGET);
    }

    function test_the_bond_is_taken_once_and_pauses_until_the_owner_resumes() external {
        uint256 second = post(response, "posted before the slash");
        vm.prank(challenger);
        ledger.ask{value: p.askPrice}(second, TARGET);
        lose(batchId);
        uint256 left = 20 ether - p.providerBond - p.lockPerResponse;
        vm.assertEq(stake.account(provider).total, left);
        vm.assertTrue(stake.isPaused(provider) && stake.freeStake(provider) == 0);
        vm.startPrank(provider);
        vm.expectRevert(abi.encodeWithSelector(IProviderStake.ProviderPaused.selector, provider));
        ledger.postBatch(provider, "root", "paused", modelId, 1);
        vm.expectPartialRevert(IProviderStake.ResumeTooEarly.selector);
        stake.resume();
        vm.warp(block.timestamp + 1);
        stake.resume();
        vm.stopPrank();
        ledger.claimNotShown(second, TARGET);
        vm.assertEq(stake.account(provider).total, left - p.lockPerResponse);
        vm.assertFalse(stake.isPaused(provider));
        uint256 third = post(response, "posted after the slash");
        lose(third);
        vm.assertEq(stake.account(provider).total, left - 2 * p.lockPerResponse - p.providerBond);
        vm.assertTrue(stake.isPaused(provider));
        expectSolvent();
    }

    function test_resuming_needs_the_whole_bond() external {
        vm.startPrank(provider);
        stake.requestExit(stake.freeStake(provider));
        vm.stopPrank();
        lose(batchId);
        vm.warp(block.timestamp + 1);
        vm.startPrank(provider);
        vm.expectPartialRevert(IProviderStake.InsufficientStake.selector);
        stake.resume();
        stake.deposit{value: p.providerBond - 1}();
        vm.expectPartialRevert(IProviderStake.InsufficientStake.selector);
        stake.resume();
        stake.deposit{value: 1}();
        stake.resume();
        vm.expectPartialRevert(IProviderStake.NotPaused.selector);
        stake.resume();
        vm.stopPrank();
    }

    function test_attack_an_exit_leaves_the_bond_while_anything_is_locked() external {
        uint256 most = 20 ether - 3 * p.lockPerResponse - p.providerBond;
        vm.startPrank(provider);
        vm.expectPartialRevert(IProviderStake.InsufficientStake.selector);
        stake.requestExit(most + 1);
        vm.warp(block.timestamp + p.challengeWindow + 1);
        ledger.finaliseBatch(batchId);
        stake.requestExit(20 ether);
        stake.deposit{value: p.providerBond + p.lockPerResponse}();
        ledger.postBatch(provider, "root", "while leaving", modelId, 1);
        vm.warp(block.timestamp + p.exitDelay);
        stake.completeExit();
        vm.stopPrank();
        vm.assertEq(stake.account(provider).total, p.providerBond + p.lockPerResponse);
    }

    /// @dev What a friend saves of the bond before it is burned: two fifths, as everywhere.
    function test_attack_receipts_of_a_friend_save_two_fifths_of_the_bond() external {
        vm.startPrank(provider);
        stake.requestExit(stake.freeStake(provider));
        vm.warp(block.timestamp + p.exitDelay);
        stake.completeExit();
        vm.stopPrank();
        for (uint256 i = 0; i < 3; ++i) {
            Receipt memory receipt = makeReceipt(response, bytes32(i), TARGET);
            receipt.postingDeadline = receipt.issuedAt;
            vm.warp(block.timestamp + 1);
            claim(receipt, PROVIDER_KEY);
        }
        vm.assertEq(stake.account(provider).total, 3 * p.lockPerResponse);
        vm.assertEq(stake.totalBurned(), p.providerBond * 3 / 5);
        expectSolvent();
    }
}
