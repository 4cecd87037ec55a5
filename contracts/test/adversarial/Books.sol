// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Game, Outcome, Phase} from "../../src/interfaces/IDisputeGame.sol";
import {
    ReceiptClaim,
    ReceiptStatus,
    ResponseState,
    ResponseStatus
} from "../../src/interfaces/IInferenceLedger.sol";
import {Answer} from "./Arena.sol";
import {Honest} from "./Honest.sol";

/// @title The accounts, kept a second time: what everybody must have been paid, event by event
/// @notice Recomputed from outcomes alone, each counted once; the vault must agree to the wei.
abstract contract Books is Honest {
    address[] internal payees;
    mapping(address => uint256) internal withdrawn;
    mapping(address => uint256) internal exited;
    uint256 internal forced;

    function openBooks() internal {
        for (uint256 i = 0; i < PROVIDERS; ++i) {
            payees.push(providers[i]);
        }
        for (uint256 i = 0; i < CHALLENGERS; ++i) {
            payees.push(challengers[i]);
        }
        payees.push(requester);
    }

    /// @dev Solvency: Σ stake + escrow + credits + burned = balance, and each sum is the sum of its parts.
    function checkSolvency() public view {
        uint256 owed = stake.totalStake() + stake.totalEscrow() + stake.totalCredits() + stake.totalBurned();
        vm.assertEq(owed + forced, address(stake).balance, "balance");
        uint256 stakes = 0;
        uint256 credits = 0;
        for (uint256 i = 0; i < payees.length; ++i) {
            stakes += stake.account(payees[i]).total;
            credits += stake.credits(payees[i]);
            vm.assertLe(stake.account(payees[i]).locked, stake.account(payees[i]).total);
        }
        vm.assertEq(stakes, stake.totalStake(), "stakes");
        vm.assertEq(credits, stake.totalCredits(), "credits");
        uint256 others = 0;
        uint256 bonds = 0;
        for (uint256 id = 1; id <= game.gameCount(); ++id) {
            if (game.game(id).phase != Phase.Resolved) bonds += p.challengerBond;
        }
        for (uint256 i = 0; i < claimIds.length; ++i) {
            if (ledger.receiptClaim(claimIds[i]).status == ReceiptStatus.Claimed) {
                others += p.receiptClaimBond;
            }
        }
        for (uint256 i = 0; i < asks.length; ++i) {
            if (asks[i].end == AskEnd.Open) others += p.askPrice;
        }
        vm.assertEq(stake.escrowOf(address(game)), bonds, "bonds of open games");
        vm.assertEq(stake.escrowOf(address(ledger)), others, "open claims and asks");
        vm.assertEq(stake.totalEscrow(), bonds + others, "escrow");
        for (uint256 i = 0; i < PROVIDERS; ++i) {
            vm.assertEq(stake.account(providers[i]).locked, _expectedLocks(providers[i]), "locks");
        }
    }

    /// @dev A lock per response that is neither void nor released, and what open claims hold.
    function _expectedLocks(address provider) private view returns (uint256 locks) {
        for (uint256 id = 1; id <= ledger.batchCount(); ++id) {
            if (ledger.batch(id).provider != provider) continue;
            for (uint256 index = 0; index < 2; ++index) {
                ResponseState memory state = ledger.response(id, index);
                bool isFree = state.disputed ? state.isVoid || state.released : ledger.batch(id).finalised;
                if (!isFree) locks += p.lockPerResponse;
            }
        }
        for (uint256 i = 0; i < claimIds.length; ++i) {
            ReceiptClaim memory claim = ledger.receiptClaim(claimIds[i]);
            if (claim.provider == provider && claim.status == ReceiptStatus.Claimed) locks += claim.penalty;
        }
    }

    /// @dev Every pay-out happened once, and to the named party; the rest was burned.
    function checkPayments() public view {
        for (uint256 i = 0; i < payees.length; ++i) {
            vm.assertEq(
                stake.credits(payees[i]) + withdrawn[payees[i]], _earned(payees[i]), "paid once, in full"
            );
        }
        vm.assertEq(stake.totalBurned(), _expectedBurned(), "burned");
        vm.assertEq(thief.thefts(), 0, "nothing is stolen by reentrance");
    }

    function _earned(address who) private view returns (uint256 earned) {
        earned = exited[who];
        for (uint256 id = 1; id <= game.gameCount(); ++id) {
            Game memory g = game.game(id);
            if (g.outcome == Outcome.ProviderWon && g.provider == who) earned += p.challengerBond / 2;
            if (g.challenger != who) continue;
            if (g.outcome == Outcome.ChallengerWon) earned += p.challengerBond + p.lockPerResponse / 2;
            if (g.outcome == Outcome.ResponseVoided) earned += p.challengerBond;
        }
        for (uint256 i = 0; i < claimIds.length; ++i) {
            ReceiptClaim memory claim = ledger.receiptClaim(claimIds[i]);
            if (claim.status == ReceiptStatus.Answered && claim.provider == who) {
                earned += p.receiptClaimBond / 2;
            }
            if (claim.status == ReceiptStatus.Slashed && claim.claimant == who) {
                earned += p.receiptClaimBond + claim.penalty / 2;
            }
        }
        for (uint256 i = 0; i < asks.length; ++i) {
            Asked storage asked = asks[i];
            if (asked.end == AskEnd.Shown && answers[asked.answerId].provider == who) earned += p.askPrice;
            if (asked.asker != who) continue;
            if (asked.end == AskEnd.NotShown) earned += p.askPrice + p.lockPerResponse / 2;
            if (asked.end == AskEnd.PriceBack) earned += p.askPrice;
        }
    }

    function _expectedBurned() private view returns (uint256 burned) {
        for (uint256 id = 1; id <= game.gameCount(); ++id) {
            Outcome outcome = game.game(id).outcome;
            if (outcome == Outcome.ProviderWon) burned += p.challengerBond - p.challengerBond / 2;
            if (outcome == Outcome.ChallengerWon) burned += p.lockPerResponse - p.lockPerResponse / 2;
        }
        for (uint256 i = 0; i < claimIds.length; ++i) {
            ReceiptClaim memory claim = ledger.receiptClaim(claimIds[i]);
            if (claim.status == ReceiptStatus.Answered) {
                burned += p.receiptClaimBond - p.receiptClaimBond / 2;
            }
            if (claim.status == ReceiptStatus.Slashed) burned += claim.penalty - claim.penalty / 2;
        }
        for (uint256 i = 0; i < asks.length; ++i) {
            if (asks[i].end == AskEnd.NotShown) burned += p.lockPerResponse - p.lockPerResponse / 2;
        }
    }

    /// @dev Every proof that was sent for a true statement ended its game, and no game ended by another.
    function checkProofs() public view {
        uint256 proven = 0;
        for (uint256 id = 1; id <= game.gameCount(); ++id) {
            bool byProof = uint256(game.game(id).reason) == 1; // Reason.Proven
            vm.assertTrue(byProof == provenTrue[id], "won by a true statement only");
            if (byProof) vm.assertTrue(game.game(id).outcome == Outcome.ProviderWon);
            if (byProof) proven++;
        }
        vm.assertEq(proven, validProofs, "every valid proof won");
    }

    /// @dev An honest provider keeps its stake to the wei; its responses are never void.
    function checkHonestProviders() public view {
        for (uint256 i = 0; i < 2; ++i) {
            vm.assertEq(stake.account(providers[i]).total + exited[providers[i]], DEPOSIT, "stake");
        }
        for (uint256 id = 1; id <= game.gameCount(); ++id) {
            Game memory g = game.game(id);
            if (isHonest[g.provider]) vm.assertTrue(g.outcome != Outcome.ChallengerWon, "a game lost");
        }
        for (uint256 i = 0; i < answers.length; ++i) {
            Answer storage a = answers[i];
            if (isHonest[a.provider]) vm.assertTrue(statusOf(i) != ResponseStatus.Void, "a response void");
        }
        for (uint256 i = 0; i < claimIds.length; ++i) {
            ReceiptClaim memory claim = ledger.receiptClaim(claimIds[i]);
            if (isHonest[claim.provider]) vm.assertTrue(claim.status != ReceiptStatus.Slashed, "slashed");
        }
    }

    /// @dev Honest challengers dispute false responses only: none of their games is lost, each leaves the
    ///      response void, and no false response is ever final.
    function checkHonestChallengers() public view {
        for (uint256 id = 1; id <= game.gameCount(); ++id) {
            Game memory g = game.game(id);
            if (!isHonest[g.challenger]) continue;
            vm.assertTrue(g.outcome != Outcome.ProviderWon, "an honest challenger lost");
            if (g.phase == Phase.Resolved) vm.assertTrue(ledger.isVoid(g.batchId, g.index));
        }
        for (uint256 i = 0; i < answers.length; ++i) {
            if (answers[i].batchId != 0 && !answers[i].isRight) {
                vm.assertTrue(statusOf(i) != ResponseStatus.Final, "a false response is final");
            }
        }
    }
}
