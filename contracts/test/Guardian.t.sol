// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Outcome, Reason} from "../src/interfaces/IDisputeGame.sol";
import {IGuardian} from "../src/interfaces/IGuardian.sol";
import {ResponseStatus} from "../src/interfaces/IInferenceLedger.sol";
import {CreditReason, IProviderStake} from "../src/interfaces/IProviderStake.sol";
import {IReceipts, Receipt, ReceiptStatus} from "../src/interfaces/IReceipts.sol";
import {Parameters, ProtocolParameters} from "../src/libraries/Parameters.sol";
import {Merkle} from "./Merkle.sol";
import {Scenario} from "./Scenario.sol";

/// @notice A deployment with a guardian that can delay for three hours in all, and what that can never do.
contract GuardianTest is Scenario {
    uint64 internal constant LEAST = 1 hours;
    uint64 internal constant BUDGET = 3 hours;
    address internal guardian = address(0x60A2D);
    uint64 internal start;

    function _parameters() internal pure override returns (ProtocolParameters memory p) {
        p = Parameters.devnet();
        p.guardian = address(0x60A2D);
        p.guardianDelay = BUDGET;
        p.exitDelay = 7 hours;
    }

    function setUp() public override {
        super.setUp();
        start = uint64(block.timestamp);
    }

    function delay(uint64 until) internal {
        vm.prank(guardian);
        stake.delayUntil(until);
    }

    function refuse(uint64 until, bytes4 error) internal {
        vm.prank(guardian);
        vm.expectPartialRevert(error);
        stake.delayUntil(until);
    }

    function tryToPost(bytes32 salt) internal {
        vm.prank(provider);
        ledger.postBatch(provider, "root", salt, modelId, 1);
    }

    function claim(Receipt memory receipt) internal returns (bytes32) {
        bytes memory signature = sign(receipt, PROVIDER_KEY);
        vm.prank(requester);
        return receipts.claimUnposted{value: p.receiptClaimBond}(receipt, signature);
    }

    function claimIsTooEarly(Receipt memory receipt) internal {
        bytes memory signature = sign(receipt, PROVIDER_KEY);
        vm.prank(requester);
        vm.expectPartialRevert(IReceipts.PostingDeadlineNotPassed.selector);
        receipts.claimUnposted{value: p.receiptClaimBond}(receipt, signature);
    }

    function withdrawAs(address who) internal returns (uint256 received) {
        uint256 before = who.balance;
        vm.prank(who);
        stake.withdraw();
        received = who.balance - before;
    }

    // --- what it can delay, and how long

    function test_only_the_guardian_delays() external {
        vm.expectRevert(abi.encodeWithSelector(IGuardian.NotGuardian.selector, address(this)));
        stake.delayUntil(start + LEAST);
        vm.expectEmit(true, true, true, true, address(stake));
        emit IGuardian.DelayChanged(start, start + LEAST, BUDGET - LEAST);
        delay(start + LEAST);
        vm.assertEq(stake.delayedUntil(), start + LEAST);
        vm.assertEq(stake.delayLeft(), BUDGET - LEAST);
    }

    function test_new_batches_wait_until_the_second_that_was_named() external {
        delay(start + LEAST);
        for (uint64 time = start; time < start + LEAST; time += LEAST - 1) {
            vm.warp(time);
            vm.prank(provider);
            vm.expectRevert(abi.encodeWithSelector(IGuardian.PostingDelayed.selector, start + LEAST));
            ledger.postBatch(provider, "root", "late", modelId, 1);
        }
        vm.warp(start + LEAST);
        tryToPost("late");
    }

    function test_attack_the_guardian_delays_for_longer_than_its_time() external {
        refuse(start + BUDGET + 1, IGuardian.DelayTooLong.selector);
        delay(start + BUDGET);
        vm.warp(start + BUDGET - 1);
        vm.prank(provider);
        vm.expectPartialRevert(IGuardian.PostingDelayed.selector);
        ledger.postBatch(provider, "root", "one", modelId, 1);
        refuse(start + BUDGET + 1, IGuardian.DelayTooLong.selector);
        vm.warp(start + BUDGET);
        tryToPost("one");
        // Nothing is left, for ever.
        refuse(start + BUDGET + LEAST, IGuardian.DelayTooLong.selector);
        vm.warp(start + 365 days);
        refuse(start + 365 days + LEAST, IGuardian.DelayTooLong.selector);
    }

    function test_attack_the_guardian_cuts_its_time_into_pieces() external {
        // Pieces shorter than the time between two blocks would stop every block, for a second each.
        refuse(start + LEAST - 1, IGuardian.DelayTooShort.selector);
        refuse(start + 1, IGuardian.DelayTooShort.selector);
        refuse(start, IGuardian.DelayTooShort.selector);
        delay(start + LEAST);
        // Nor can it end within the block, nor before its least length is over.
        refuse(start, IGuardian.DelayTooShort.selector);
        vm.warp(start + LEAST - 1);
        refuse(start + LEAST - 1, IGuardian.DelayTooShort.selector);
        vm.warp(start + LEAST);
        refuse(start + LEAST + 1, IGuardian.DelayTooShort.selector); // that one is over
        delay(start + 2 * LEAST);
        vm.warp(start + 2 * LEAST + 12);
        delay(start + 3 * LEAST + 12);
        vm.warp(start + 3 * LEAST + 12);
        vm.assertEq(stake.delayLeft(), 0);
        refuse(start + 4 * LEAST + 12, IGuardian.DelayTooLong.selector);
    }

    function test_what_a_delay_gives_up_is_left_for_later() external {
        delay(start + BUDGET);
        vm.assertEq(stake.delayLeft(), 0);
        vm.warp(start + LEAST + 5);
        delay(start + LEAST + 5);
        vm.assertEq(stake.delayLeft(), BUDGET - LEAST - 5);
        tryToPost("at once");
        delay(start + LEAST + 5 + LEAST);
        vm.assertEq(stake.delayLeft(), BUDGET - 2 * LEAST - 5);
        vm.prank(guardian);
        vm.expectRevert(
            abi.encodeWithSelector(IGuardian.DelayTooLong.selector, start + BUDGET + 1, start + BUDGET)
        );
        stake.delayUntil(start + BUDGET + 1);
    }

    function test_attack_the_guardian_takes_time_back_that_was_delayed() external {
        delay(start + BUDGET);
        vm.warp(start + 2 * LEAST);
        refuse(start + 2 * LEAST - 1, IGuardian.DelayTooShort.selector);
        refuse(start + LEAST, IGuardian.DelayTooShort.selector);
        delay(start + 2 * LEAST);
        vm.assertEq(stake.delayLeft(), LEAST);
    }

    function test_the_least_delay_is_longer_than_the_chain_keeps_a_transaction_out() external {
        vm.assertEq(stake.leastDelay(), LEAST);
        ProtocolParameters memory parameters = _parameters();
        parameters.inclusionDelay = 10;
        deployProtocol(parameters);
        vm.assertEq(stake.leastDelay(), LEAST + 10);
        refuse(start + LEAST + 9, IGuardian.DelayTooShort.selector);
        delay(start + LEAST + 10);
    }

    /// @dev However the guardian moves the end: what really was delayed is never more than its time.
    function test_the_time_that_was_delayed_is_within_the_budget(
        uint64[12] memory waits,
        uint64[12] memory lengths
    ) external {
        uint64 current = start;
        uint64 delayed = 0;
        uint64 clock = start;
        for (uint256 i = 0; i < waits.length; ++i) {
            uint64 wait = waits[i] % 40 minutes;
            uint64 until = stake.delayedUntil();
            delayed += until <= current ? 0 : until < current + wait ? until - current : wait;
            current += wait;
            vm.warp(current);
            uint64 left = stake.delayLeft();
            vm.prank(guardian);
            try stake.delayUntil(current + lengths[i] % 2 hours) {}
            catch {
                vm.assertEq(stake.delayLeft(), left);
            }
            uint64 shown = stake.postingTime(start + p.postingWindow, current);
            vm.assertLe(clock, shown); // never backwards
            vm.assertLe(shown, clock + wait); // nor faster than time
            clock = shown;
        }
        uint64 last = stake.delayedUntil();
        if (last > current) delayed += last - current;
        vm.assertEq(delayed + stake.delayLeft(), BUDGET, "what was delayed and what is left");
        // Twice the delays stand still, no more, and at the end no less.
        vm.warp(start + 30 days);
        uint64 paused = uint64(block.timestamp) - stake.postingTime(start + 60, uint64(block.timestamp));
        vm.assertEq(paused, 2 * delayed, "the clock of posting");
    }

    // --- rewards, and nobody's own money

    function test_rewards_wait_and_nothing_else_does() external {
        uint256 gameId = open();
        vm.prank(provider);
        vm.expectEmit(true, true, true, true, address(stake));
        emit IProviderStake.Credited(challenger, p.gameReward, CreditReason.Reward);
        game.concede(gameId, aboutOf(gameId));
        uint256 reward = p.gameReward;
        vm.assertEq(stake.credits(challenger), p.challengerBond + reward);
        vm.assertEq(stake.delayableCredits(challenger), reward);
        delay(start + LEAST);
        vm.assertEq(withdrawAs(challenger), p.challengerBond, "its own bond");
        vm.assertEq(stake.credits(challenger), reward);
        vm.warp(start + LEAST - 1);
        vm.prank(challenger);
        vm.expectRevert(abi.encodeWithSelector(IGuardian.RewardsDelayed.selector, start + LEAST));
        stake.withdraw();
        vm.warp(start + LEAST);
        vm.assertEq(withdrawAs(challenger), reward, "to the wei");
        vm.assertEq(stake.delayableCredits(challenger), 0);
        vm.prank(challenger);
        vm.expectRevert(IProviderStake.NothingToWithdraw.selector);
        stake.withdraw();
        expectSolvent();
    }

    function test_attack_the_guardian_holds_stake_back() external {
        uint256 free = stake.freeStake(provider);
        delay(start + LEAST);
        vm.prank(provider);
        stake.requestExit(free);
        vm.warp(start + LEAST);
        delay(start + BUDGET);
        vm.warp(start + p.exitDelay);
        vm.prank(provider);
        stake.completeExit();
        vm.assertEq(withdrawAs(provider), free);
        expectSolvent();
    }

    function test_attack_the_guardian_takes() external {
        uint256 gameId = open();
        vm.prank(provider);
        game.concede(gameId, aboutOf(gameId));
        uint256 held = address(stake).balance;
        delay(start + BUDGET);
        vm.assertEq(stake.credits(guardian), 0);
        vm.startPrank(guardian);
        vm.expectRevert(IProviderStake.NothingToWithdraw.selector);
        stake.withdraw();
        vm.expectPartialRevert(IProviderStake.NotProtocol.selector);
        stake.payEscrow(guardian, 1);
        vm.expectPartialRevert(IProviderStake.NotProtocol.selector);
        stake.slash(provider, 1, 1);
        vm.expectPartialRevert(IProviderStake.NotProtocol.selector);
        stake.slashReceipt(provider, provider, 1, guardian);
        vm.expectPartialRevert(IProviderStake.NotProtocol.selector);
        stake.slashBond(provider, 0);
        vm.expectPartialRevert(IProviderStake.NotProtocol.selector);
        stake.payReward(guardian, 1);
        vm.expectPartialRevert(IProviderStake.NotProtocol.selector);
        stake.release(provider, 1);
        vm.stopPrank();
        vm.assertEq(address(stake).balance, held);
        expectSolvent();
    }

    function test_attack_the_guardian_stops_a_game() external {
        bytes32[] memory leaves = batchLeaves;
        uint256 other = post(response, "asked for");
        batchLeaves = leaves;
        delay(start + BUDGET);
        // Asks, games, moves, proofs, timeouts and finality go on while everything is delayed, with the same clocks.
        vm.prank(stranger);
        ledger.ask{value: p.askPrice}(other, 0);
        uint256 gameId = gameAtStepProof(5, 1);
        presetStep(5, 1);
        proveStep(gameId, stepProof(5, 1));
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Proven);
        uint256 late = open();
        letTimePass(late);
        game.timeout(late);
        expectOutcome(late, Outcome.ChallengerWon, Reason.TimedOut);
        expectStatus(ResponseStatus.Void);
        vm.warp(uint256(ledger.response(other, 0).showDeadline) + 1);
        ledger.claimNotShown(other, 0);
        vm.assertEq(withdrawAs(stranger), p.askPrice);
        vm.warp(uint256(ledger.batch(other).deadline) + 1);
        ledger.finaliseBatch(other);
        vm.assertLt(block.timestamp, stake.delayedUntil());
        expectSolvent();
    }

    // --- receipts: nobody loses because it was not allowed to post

    function test_attack_a_receipt_is_claimed_because_posting_was_delayed() external {
        Receipt memory receipt = makeReceipt(response, "delayed", TARGET);
        // In the last second in time, before the provider's own transaction.
        vm.warp(receipt.postingDeadline);
        uint64 since = receipt.postingDeadline;
        delay(since + LEAST);
        vm.warp(since + LEAST);
        claimIsTooEarly(receipt);
        // The clock stands still for as long again: time to get a transaction in.
        vm.warp(since + 2 * LEAST);
        claimIsTooEarly(receipt);
        post(response, "delayed");
        vm.warp(since + 2 * LEAST + 1);
        bytes32 id = claim(receipt);
        vm.assertTrue(receipts.receiptClaim(id).status == ReceiptStatus.Claimed, "it can be answered");
        receipts.answerClaim(id, batchPath());
        vm.assertTrue(receipts.receiptClaim(id).status == ReceiptStatus.Answered);
        expectSolvent();
    }

    function test_attack_one_delay_after_another_keeps_a_provider_from_posting() external {
        Receipt memory receipt = makeReceipt(response, "delayed", TARGET);
        vm.warp(receipt.postingDeadline);
        uint64 since = receipt.postingDeadline;
        for (uint64 i = 0; i < 3; ++i) {
            delay(since + (i + 1) * LEAST);
            vm.warp(since + (i + 1) * LEAST);
        }
        vm.warp(since + 2 * BUDGET);
        claimIsTooEarly(receipt);
        post(response, "delayed");
        vm.warp(since + 2 * BUDGET + 1);
        receipts.answerClaim(claim(receipt), batchPath());
        expectSolvent();
    }

    function test_a_receipt_that_is_not_posted_after_the_delay_is_slashed() external {
        Receipt memory receipt = makeReceipt(response, "never", TARGET);
        uint64 free = receipt.postingDeadline - start; // counts, before or after
        delay(start + LEAST);
        vm.warp(start + 2 * LEAST + free);
        claimIsTooEarly(receipt);
        // The claim takes stake for as long as ever, and until then no stake can have left.
        uint256 last = start + 2 * LEAST + free + p.receiptClaimWindow;
        vm.assertLt(last, start + uint256(p.exitDelay));
        vm.warp(last);
        bytes32 id = claim(receipt);
        vm.assertEq(receipts.receiptClaim(id).penalty, p.lockPerResponse);
        vm.assertTrue(receipts.receiptClaim(id).status == ReceiptStatus.Slashed);
    }

    function test_a_delay_that_was_over_before_the_posting_window_began_changes_nothing() external {
        delay(start + LEAST);
        vm.warp(start + 2 * LEAST);
        Receipt memory receipt = makeReceipt(response, "later", TARGET);
        vm.warp(receipt.postingDeadline);
        claimIsTooEarly(receipt);
        vm.warp(uint256(receipt.postingDeadline) + 1);
        claim(receipt);
    }

    function test_of_a_pause_only_what_is_within_the_posting_window_counts() external {
        delay(start + LEAST);
        vm.warp(start + LEAST + 30 minutes);
        Receipt memory receipt = makeReceipt(response, "later", TARGET);
        vm.warp(uint256(receipt.postingDeadline) + 30 minutes);
        claimIsTooEarly(receipt);
        vm.warp(uint256(receipt.postingDeadline) + 30 minutes + 1);
        claim(receipt);
    }

    function test_a_batch_that_was_posted_after_all_that_time_is_late() external {
        Receipt memory receipt = makeReceipt(response, "late", TARGET);
        vm.warp(receipt.postingDeadline);
        delay(receipt.postingDeadline + LEAST);
        vm.warp(uint256(receipt.postingDeadline) + 2 * LEAST + 1);
        post(response, "late");
        bytes32 id = claim(receipt);
        vm.assertTrue(receipts.receiptClaim(id).status == ReceiptStatus.Slashed);
    }
}

/// @notice A guardian that does its worst, in every block first, against a provider that posts as soon as it may.
contract GuardianAgainstProviderTest is Scenario {
    address internal guardian = address(0x60A2D);
    Receipt[] private _open;
    Receipt[] private _posted;

    function _parameters() internal pure override returns (ProtocolParameters memory p) {
        p = Parameters.devnet();
        p.guardian = address(0x60A2D);
        p.guardianDelay = 4 hours;
        p.exitDelay = 9 hours;
    }

    function test_attack_no_play_of_a_guardian_costs_an_honest_provider_a_receipt(uint256 seed) external {
        bytes32 salt = "honest";
        for (uint256 i = 0; i < 100; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            bool isDelayed = block.timestamp < stake.delayedUntil();
            // Blocks come every few seconds; while nothing can be posted, time may run in leaps.
            vm.warp(block.timestamp + 1 + (isDelayed ? (seed >> 8) % 1200 : (seed >> 8) % 12));
            if (seed % 3 == 0) _delay(seed >> 32);
            for (uint256 j = 0; j < _open.length; ++j) {
                vm.assertFalse(_claims(_open[j]));
            }
            _postAll();
            if ((seed >> 64) % 4 == 0 && _posted.length + _open.length < 5) {
                salt = keccak256(abi.encode(salt));
                _open.push(makeReceipt(response, salt, TARGET));
            }
        }
        while (block.timestamp < stake.delayedUntil()) vm.warp(stake.delayedUntil());
        _postAll();
        vm.assertEq(_open.length, 0);
        vm.warp(block.timestamp + 12 hours);
        for (uint256 i = 0; i < _posted.length; ++i) {
            vm.assertTrue(_claims(_posted[i]));
            bytes32 id = receipts.receiptDigest(_posted[i]);
            vm.assertTrue(receipts.receiptClaim(id).status == ReceiptStatus.Claimed, "it can be answered");
        }
    }

    function _delay(uint256 seed) private {
        uint64[4] memory lengths = [uint64(0), 1 hours, 1 hours + 1, 90 minutes];
        vm.prank(guardian);
        try stake.delayUntil(uint64(block.timestamp) + lengths[seed % 4]) {} catch {}
    }

    function _claims(Receipt memory receipt) private returns (bool) {
        bytes memory signature = sign(receipt, PROVIDER_KEY);
        vm.prank(requester);
        try receipts.claimUnposted{value: p.receiptClaimBond}(receipt, signature) {
            return true;
        } catch {
            return false;
        }
    }

    function _postAll() private {
        while (_open.length != 0) {
            Receipt memory receipt = _open[_open.length - 1];
            bytes32[] memory leaves = leavesOf(response, receipt.batchSalt);
            vm.prank(provider);
            try ledger.postBatch(provider, Merkle.root(leaves), receipt.batchSalt, modelId, 3) {}
            catch {
                vm.assertLt(block.timestamp, stake.delayedUntil());
                return;
            }
            _posted.push(receipt);
            _open.pop();
        }
    }
}

/// @notice Without a guardian nothing can ever be delayed.
contract NoGuardianTest is Scenario {
    function test_nobody_can_delay_where_nobody_is_named() external {
        vm.prank(address(0));
        vm.expectPartialRevert(IGuardian.DelayTooLong.selector);
        stake.delayUntil(uint64(block.timestamp) + 1 hours);
        vm.expectPartialRevert(IGuardian.NotGuardian.selector);
        stake.delayUntil(uint64(block.timestamp) + 1 hours);
        vm.assertEq(stake.delayedUntil(), 0);
        vm.assertEq(stake.postingTime(uint64(block.timestamp), uint64(block.timestamp)), block.timestamp);
        uint256 gameId = open();
        vm.prank(provider);
        game.concede(gameId, aboutOf(gameId));
        vm.assertEq(stake.delayableCredits(challenger), 0);
        vm.assertEq(stake.credits(challenger), p.challengerBond + p.gameReward);
    }
}
