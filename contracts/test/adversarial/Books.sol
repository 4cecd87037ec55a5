// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Game, Outcome, Phase} from "../../src/interfaces/IDisputeGame.sol";
import {ResponseState, ResponseStatus} from "../../src/interfaces/IInferenceLedger.sol";
import {ReceiptStatus, ReceiptClaim} from "../../src/interfaces/IReceipts.sol";
import {Answer} from "./Arena.sol";
import {Honest} from "./Honest.sol";

/// @title The accounts, kept a second time: what everybody must have been paid, event by event
/// @notice Recomputed from outcomes alone, each counted once; the vault must agree to the wei.
abstract contract Books is Honest {
    address[] internal payees;
    mapping(address => uint256) internal withdrawn;
    mapping(address => uint256) internal exited;
    uint256 internal forced;
    mapping(uint256 answerId => uint256) internal joins; // openings that joined after the response was void
    mapping(uint256 answerId => uint256) internal closed; // rewards burned because nobody claimed them
    mapping(address => uint256) internal joined;

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
        uint256 claims = 0;
        for (uint256 id = 1; id <= game.gameCount(); ++id) {
            if (game.game(id).phase != Phase.Resolved) bonds += game.game(id).bond;
        }
        for (uint256 i = 0; i < claimIds.length; ++i) {
            if (receipts.receiptClaim(claimIds[i]).status == ReceiptStatus.Claimed) {
                claims += p.receiptClaimBond;
            }
        }
        for (uint256 i = 0; i < asks.length; ++i) {
            if (endOfAsk(i) == AskEnd.Open) others += p.askPrice;
        }
        for (uint256 i = 0; i < answers.length; ++i) {
            if (!_isVoid(i)) continue;
            (uint256 open, uint256 paid) = _gamesAtTheVoid(i);
            uint256 places = open + (_paysAsker(i) ? 1 : 0) + joins[i] + closed[i];
            vm.assertLe(places, p.maxGamesPerResponse); // never more rewards than the pot holds
            uint256 left = p.maxGamesPerResponse - paid - (_paysAsker(i) ? 1 : 0) - joins[i] - closed[i];
            others += left * p.gameReward;
        }
        vm.assertEq(stake.escrowOf(address(game)), bonds, "bonds of open games");
        vm.assertEq(stake.escrowOf(address(ledger)), others, "asks, rewards");
        vm.assertEq(stake.escrowOf(address(receipts)), claims, "open claims");
        vm.assertEq(stake.totalEscrow(), bonds + others + claims, "escrow");
        for (uint256 i = 0; i < PROVIDERS; ++i) {
            vm.assertEq(stake.account(providers[i]).locked, _expectedLocks(providers[i]), "locks");
            vm.assertEq(ledger.openGamesOf(providers[i]), openGamesAgainst(providers[i]), "load");
        }
    }

    function _isVoid(uint256 id) internal view returns (bool) {
        return answers[id].batchId != 0 && ledger.isVoid(answers[id].batchId, answers[id].receipt.index);
    }

    /// @dev Games that were open when the response became void, and how many of them were paid since.
    function _gamesAtTheVoid(uint256 answerId) private view returns (uint256 open, uint256 paid) {
        for (uint256 id = 1; id <= game.gameCount(); ++id) {
            Game memory g = game.game(id);
            if (answerOf[id] != answerId || g.outcome == Outcome.ProviderWon) continue;
            open++;
            if (g.phase == Phase.Resolved) paid++;
        }
    }

    /// @dev Whether somebody asked for a void response, waited, and a place was left.
    function _paysAsker(uint256 answerId) private view returns (bool) {
        (uint256 open,) = _gamesAtTheVoid(answerId);
        if (open >= p.maxGamesPerResponse) return false;
        for (uint256 i = 0; i < asks.length; ++i) {
            AskEnd end = endOfAsk(i);
            bool waited = end == AskEnd.NotShown || end == AskEnd.Overtaken;
            if (asks[i].answerId == answerId && waited) return true;
        }
        return false;
    }

    /// @dev A lock per response that is neither void nor released; claims hold nothing.
    function _expectedLocks(address provider) private view returns (uint256 locks) {
        for (uint256 id = 1; id <= ledger.batchCount(); ++id) {
            if (ledger.batch(id).provider != provider) continue;
            for (uint256 index = 0; index < 2; ++index) {
                ResponseState memory state = ledger.response(id, index);
                bool isFree = state.disputed ? state.isVoid || state.released : ledger.batch(id).finalised;
                if (!isFree) locks += p.lockPerResponse;
            }
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
            if (g.outcome == Outcome.ProviderWon && g.provider == who) earned += g.bond / 2;
            if (g.challenger != who) continue;
            // Whoever's game was decisive, every one is paid the same.
            bool isOfVoid = g.outcome == Outcome.ChallengerWon || g.outcome == Outcome.ResponseVoided;
            if (isOfVoid) earned += g.bond + p.gameReward;
        }
        earned += overpaid[who] + joined[who] * p.gameReward;
        for (uint256 i = 0; i < claimIds.length; ++i) {
            ReceiptClaim memory claim = receipts.receiptClaim(claimIds[i]);
            if (claim.status == ReceiptStatus.Answered && claim.provider == who) {
                earned += p.receiptClaimBond / 2;
            }
            if (claim.status == ReceiptStatus.Slashed && claim.claimant == who) {
                earned += p.receiptClaimBond + claim.penalty * 2 / 5;
            }
        }
        for (uint256 i = 0; i < asks.length; ++i) {
            Asked storage asked = asks[i];
            AskEnd end = endOfAsk(i);
            if (end == AskEnd.Shown && answers[asked.answerId].provider == who) earned += p.askPrice;
            if (asked.asker != who) continue;
            if (end == AskEnd.NotShown || end == AskEnd.Overtaken) {
                earned += p.askPrice + (_paysAsker(asked.answerId) ? p.gameReward : 0);
            }
        }
    }

    /// @dev What is missing from a provider's stake beside exits, void responses and lost receipts: its bond, once, if and
    ///      only if a response is void (nobody here resumes).
    function _burnedBond(uint256 i) private view returns (uint256 bond) {
        address provider = providers[i];
        bool isLost = false;
        bond = DEPOSIT - exited[provider] - stake.account(provider).total;
        for (uint256 id = 1; id <= ledger.batchCount(); ++id) {
            if (ledger.batch(id).provider != provider) continue;
            for (uint256 index = 0; index < 2; ++index) {
                if (!ledger.isVoid(id, index)) continue;
                isLost = true;
                bond -= p.lockPerResponse;
            }
        }
        for (uint256 c = 0; c < claimIds.length; ++c) {
            ReceiptClaim memory claim = receipts.receiptClaim(claimIds[c]);
            if (claim.provider == provider) bond -= claim.penalty;
        }
        vm.assertTrue(stake.isPaused(provider) == isLost, "paused by a void response only");
        vm.assertLe(bond, isLost ? p.providerBond : 0);
    }

    function _expectedBurned() private view returns (uint256 burned) {
        for (uint256 i = 0; i < PROVIDERS; ++i) {
            burned += _burnedBond(i);
        }
        for (uint256 id = 1; id <= game.gameCount(); ++id) {
            Outcome outcome = game.game(id).outcome;
            if (outcome == Outcome.ProviderWon) burned += game.game(id).bond - game.game(id).bond / 2;
        }
        for (uint256 i = 0; i < answers.length; ++i) {
            if (!_isVoid(i)) continue;
            burned += p.lockPerResponse - (p.maxGamesPerResponse - closed[i]) * p.gameReward;
        }
        for (uint256 i = 0; i < claimIds.length; ++i) {
            ReceiptClaim memory claim = receipts.receiptClaim(claimIds[i]);
            if (claim.status == ReceiptStatus.Answered) {
                burned += p.receiptClaimBond - p.receiptClaimBond / 2;
            }
            if (claim.status == ReceiptStatus.Slashed) burned += claim.penalty - claim.penalty * 2 / 5;
        }
    }

    /// @dev Every proof that was sent for a true statement ended its game, and no game ended by another.
    function checkProofs() public view {
        uint256 proven = 0;
        for (uint256 id = 1; id <= game.gameCount(); ++id) {
            bool byProof = uint256(game.game(id).reason) == 1; // Reason.Proven
            vm.assertTrue(byProof == provenTrue[id], "won by a true statement only");
            bool isRefuted = uint256(game.game(id).reason) == 8; // Reason.Refuted
            vm.assertTrue(isRefuted == refuted[id], "refuted where nothing else was claimed only");
            if (isRefuted) vm.assertTrue(!isHonest[game.game(id).challenger], "not an honest claim");
            if (byProof || isRefuted) vm.assertTrue(game.game(id).outcome == Outcome.ProviderWon);
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
            ReceiptClaim memory claim = receipts.receiptClaim(claimIds[i]);
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
