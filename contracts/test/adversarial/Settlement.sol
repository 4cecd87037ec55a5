// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IInferenceLedger} from "../../src/interfaces/IInferenceLedger.sol";
import {RewardPot} from "../../src/interfaces/IOpenings.sol";
import {StakeAccount} from "../../src/interfaces/IProviderStake.sol";
import {ReceiptStatus} from "../../src/interfaces/IReceipts.sol";
import {Answer} from "./Arena.sol";
import {Books} from "./Books.sol";

/// @title What actors do outside games: finality, receipts, stake, withdrawals
abstract contract Settlement is Books {
    uint256 private _actions;

    /// @notice How often an attack was tried, by name.
    mapping(bytes32 attack => uint256) public tried;

    /// @dev Fuzzed numbers are often small or extreme; every bit of a seed decides something here.
    function _mixed(uint256 seed) internal returns (uint256) {
        return uint256(keccak256(abi.encode(seed, ++_actions))) >> 1;
    }

    function _some(uint256 seed) internal view returns (uint256) {
        return answers.length == 0 ? 0 : seed % answers.length;
    }

    // --- finality

    function settle(uint256 seed) external {
        seed = _mixed(seed);
        uint256 id = _some(seed);
        if (id == answers.length) return;
        Answer storage a = answers[id];
        if (a.batchId == 0) return;
        _finalise(a);
        _finalise(a); // twice: the second time nothing is left
    }

    function _finalise(Answer storage a) internal {
        try ledger.finaliseBatch(a.batchId) {} catch {}
        try ledger.finaliseResponse(a.batchId, a.receipt.index) {} catch {}
    }

    // --- what was asked for

    /// @dev Anybody wants to see anything: the price is all that it costs a provider that shows it.
    function askFor(uint256 seed) external {
        seed = _mixed(seed);
        uint256 id = _some(seed);
        if (id == answers.length || answers[id].batchId == 0) return;
        (Answer storage a, address who) = (answers[id], challengers[(seed >> 8) % CHALLENGERS]);
        vm.prank(who);
        try ledger.ask{value: p.askPrice}(a.batchId, a.receipt.index) {
            asks.push(Asked(id, who, AskEnd.Open));
        } catch {}
    }

    /// @dev Providers that are not honest show it, show it too late, or never.
    function settleAsk(uint256 seed) external {
        seed = _mixed(seed);
        if (asks.length == 0) return;
        uint256 askId = seed % asks.length;
        Answer storage a = answers[asks[askId].answerId];
        if (asks[askId].end != AskEnd.Open) return;
        bool isLate = block.timestamp > ledger.response(a.batchId, a.receipt.index).showDeadline;
        if (endOfAsk(askId) == AskEnd.Overtaken) {
            vm.expectPartialRevert(IInferenceLedger.NobodyAsked.selector);
            ledger.claimNotShown(a.batchId, a.receipt.index);
        } else if (!isLate && (seed >> 8) % 8 == 0) {
            show(askId);
        } else if (isLate) {
            claimNotShown(askId);
        } else {
            vm.expectPartialRevert(IInferenceLedger.ShowWindowOpen.selector);
            ledger.claimNotShown(a.batchId, a.receipt.index);
            tried["early claim of what is not shown"]++;
        }
    }

    // --- openings that wait, and what is left of a lock

    struct Opening {
        uint256 answerId;
        address who;
        bytes32 secret;
        uint256 blockNumber; // 0: used
    }

    Opening[] private _openings;

    /// @dev Anybody may commit to anything; who found nothing hopes that somebody else did.
    function commitSomehow(uint256 seed) external {
        seed = _mixed(seed);
        uint256 id = _some(seed);
        if (id == answers.length || answers[id].batchId == 0) return;
        _commit(id, challengers[(seed >> 8) % CHALLENGERS]);
        vm.roll(block.number + (seed >> 16) % 2);
    }

    function _commit(uint256 id, address who) internal {
        _openings.push(Opening(id, who, commitOpening(id, who), block.number));
    }

    function _joinNewest() internal {
        _join(_openings[_openings.length - 1]);
    }

    /// @dev Works if and only if the response is void since a later block, in time, while places are left, once.
    function joinSomehow(uint256 seed) external {
        seed = _mixed(seed);
        for (uint256 i = 0; i < _openings.length; ++i) {
            Opening storage o = _openings[(seed + i) % _openings.length];
            if (_isVoid(o.answerId) || i == 0) _join(o);
        }
    }

    function _join(Opening storage o) private {
        Answer storage a = answers[o.answerId];
        RewardPot memory pot = ledger.rewardPot(a.batchId, a.receipt.index);
        bool isWaiting = o.blockNumber != 0 && o.blockNumber < pot.voidBlock;
        bool works =
            _isVoid(o.answerId) && isWaiting && block.timestamp <= pot.joinDeadline && pot.placesLeft != 0;
        vm.prank(o.who);
        try ledger.join(a.batchId, a.receipt.index, o.secret) {
            vm.assertTrue(works, "joined against the rules");
            joins[o.answerId]++;
            joined[o.who]++;
            o.blockNumber = 0;
            tried["join"]++;
        } catch {
            vm.assertTrue(!works, "kept out against the rules");
            tried["join against the rules"]++;
        }
    }

    function closeRewards(uint256 seed) external {
        seed = _mixed(seed);
        uint256 id = _some(seed);
        if (id != answers.length && answers[id].batchId != 0) _closeRewards(id);
    }

    function _closeRewards(uint256 id) internal {
        Answer storage a = answers[id];
        RewardPot memory pot = ledger.rewardPot(a.batchId, a.receipt.index);
        bool works = _isVoid(id) && block.timestamp > pot.joinDeadline && pot.placesLeft != 0;
        try ledger.closeRewards(a.batchId, a.receipt.index) {
            vm.assertTrue(works, "closed against the rules");
            closed[id] += pot.placesLeft;
            tried["rewards closed"]++;
        } catch {
            vm.assertTrue(!works, "could not be closed");
        }
    }

    // --- receipts

    /// @dev Claims that a receipt was not posted: true against some malicious providers, else griefing.
    function claimReceipt(uint256 seed) external {
        seed = _mixed(seed);
        uint256 id = _some(seed);
        if (id == answers.length) return;
        Answer storage a = answers[id];
        if (block.timestamp <= a.receipt.postingDeadline) waitUntil(a.receipt.postingDeadline + 1, seed);
        bytes32 claimId = receipts.receiptDigest(a.receipt);
        if (receipts.receiptClaim(claimId).status != ReceiptStatus.None) return;
        address who = challengers[2 + (seed >> 8) % 3];
        vm.prank(who);
        receipts.claimUnposted{value: p.receiptClaimBond}(a.receipt, a.signature);
        claimIds.push(claimId);
        claimedAnswer[claimId] = id;
    }

    function settleReceipt(uint256 seed) external {
        seed = _mixed(seed);
        if (claimIds.length == 0) return;
        bytes32 claimId = claimIds[seed % claimIds.length];
        if ((seed >> 8) % 3 == 0 || isHonest[receipts.receiptClaim(claimId).provider]) {
            try receipts.answerClaim(claimId, answers[claimedAnswer[claimId]].path) {} catch {}
        } else {
            try receipts.slashUnposted(claimId) {} catch {}
        }
    }

    // --- stake

    /// @dev Out with the stake as soon as the vault lets go of it, in the middle of disputes too.
    function exit(uint256 seed) external {
        seed = _mixed(seed);
        address provider = providers[seed % PROVIDERS];
        StakeAccount memory account = stake.account(provider);
        if (account.exitAvailableAt == 0) {
            uint256 free = stake.freeStake(provider);
            if (free == 0) return;
            vm.prank(provider);
            stake.requestExit(1 + (seed >> 8) % free);
        } else {
            _completeExit(provider, account);
        }
    }

    function _completeExit(address provider, StakeAccount memory account) internal {
        vm.prank(provider);
        try stake.completeExit() {
            vm.assertGe(block.timestamp, account.exitAvailableAt);
            exited[provider] += account.total - stake.account(provider).total;
            vm.assertGe(stake.account(provider).total, account.locked);
        } catch {
            vm.assertLt(block.timestamp, account.exitAvailableAt);
        }
    }

    function withdraw(uint256 seed) external {
        seed = _mixed(seed);
        address who = payees[seed % payees.length];
        if (who == address(thief)) thief.refuse(seed % 3 == 0);
        _withdraw(who);
        thief.refuse(false);
    }

    function _withdraw(address who) internal {
        uint256 owed = stake.credits(who);
        uint256 before = who.balance;
        vm.prank(who);
        try stake.withdraw() {
            withdrawn[who] += owed;
            vm.assertEq(who.balance, before + owed);
        } catch {
            vm.assertEq(who.balance, before);
            vm.assertEq(stake.credits(who), owed);
        }
    }

    function forceEther(uint256 seed) external {
        seed = _mixed(seed);
        vm.deal(address(stake), address(stake).balance + seed % 1 ether);
        forced = address(stake).balance - stake.totalStake() - stake.totalEscrow() - stake.totalCredits()
            - stake.totalBurned();
    }
}
