// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Game, IDisputeGame, Outcome, Phase, Reason, Target} from "../../src/interfaces/IDisputeGame.sol";
import {ResponseStatus} from "../../src/interfaces/IInferenceLedger.sol";
import {StakeAccount} from "../../src/interfaces/IProviderStake.sol";
import {ReceiptStatus} from "../../src/interfaces/IReceipts.sol";
import {Answer} from "./Arena.sol";
import {Players} from "./Players.sol";

/// @title Every state has an exit that is open to anybody, and at the end nothing is left behind
contract Exits is Players {
    /// @dev Wherever a game stands: once its turn is over, a stranger ends it.
    function checkEveryGameCanEnd() external {
        uint256 here = vm.snapshotState();
        for (uint256 id = 1; id <= game.gameCount(); ++id) {
            if (game.game(id).phase != Phase.Resolved) _endAsStranger(id);
            vm.assertEq(uint256(game.game(id).phase), uint256(Phase.Resolved), "a game without an exit");
        }
        vm.revertToState(here);
    }

    function _endAsStranger(uint256 id) private {
        Game memory g = game.game(id);
        bool isMoot = ledger.isVoid(g.batchId, g.index);
        if (!isMoot && block.timestamp <= g.deadline) vm.warp(uint256(g.deadline) + 1);
        vm.prank(bystander);
        if (isMoot) game.resolveVoid(id);
        else game.timeout(id);
    }

    /// @dev The honest go on playing, the others fall silent, strangers end what is over.
    function playOut() external {
        for (uint256 turn = 0; turn < 64 && _hasOpenGames(); ++turn) {
            waitUntil(block.timestamp + p.clock + 1, turn);
            for (uint256 id = 1; id <= game.gameCount(); ++id) {
                Game memory g = game.game(id);
                bool isMoot = g.phase != Phase.Resolved && !isRunning(g);
                if (isMoot || (isRunning(g) && block.timestamp > g.deadline)) _endAsStranger(id);
            }
        }
        vm.assertFalse(_hasOpenGames());
        // Challenge windows that opened again are used, and what was opened in them is played out.
        waitUntil(block.timestamp + p.challengeWindow + 1, 0);
        if (_hasOpenGames()) this.playOut();
    }

    function _hasOpenGames() private view returns (bool) {
        for (uint256 id = 1; id <= game.gameCount(); ++id) {
            if (game.game(id).phase != Phase.Resolved) return true;
        }
        return false;
    }

    /// @dev After the games: all locks, claims and stakes can leave, and only burned ether stays.
    function settleEverything() external {
        _settleAsks();
        _settleClaims();
        for (uint256 i = 0; i < answers.length; ++i) {
            if (answers[i].batchId != 0) {
                _finalise(answers[i]);
                ResponseStatus status = statusOf(i);
                vm.assertTrue(status == ResponseStatus.Final || status == ResponseStatus.Void, "not settled");
            }
        }
        vm.assertEq(stake.totalEscrow(), 0, "escrow left behind");
        _leave();
        vm.assertEq(stake.totalStake() + stake.totalCredits(), 0, "stake left behind");
        vm.assertEq(address(stake).balance, stake.totalBurned() + forced, "ether left behind");
    }

    /// @dev What honest providers still owe is shown in time; then the others are too late, and every window is over.
    function _settleAsks() private {
        for (uint256 i = 0; i < asks.length; ++i) {
            if (endOfAsk(i) == AskEnd.Open && isHonest[answers[asks[i].answerId].provider]) show(i);
        }
        vm.warp(block.timestamp + p.showWindow + 1);
        for (uint256 i = 0; i < asks.length; ++i) {
            if (endOfAsk(i) == AskEnd.Open) claimNotShown(i);
        }
        // Games on what was not shown are moot.
        for (uint256 id = 1; id <= game.gameCount(); ++id) {
            if (game.game(id).phase != Phase.Resolved) game.resolveVoid(id);
        }
        vm.warp(block.timestamp + p.challengeWindow + p.joinWindow + 1);
        for (uint256 i = 0; i < answers.length; ++i) {
            if (_isVoid(i)) _closeRewards(i);
        }
    }

    function _settleClaims() private {
        for (uint256 i = 0; i < claimIds.length; ++i) {
            if (receipts.receiptClaim(claimIds[i]).status != ReceiptStatus.Claimed) continue;
            if (isHonest[receipts.receiptClaim(claimIds[i]).provider]) {
                answerClaimHonestly(claimIds[i]);
            } else {
                vm.warp(block.timestamp + p.receiptAnswerWindow + 1);
                receipts.slashUnposted(claimIds[i]);
            }
        }
    }

    function _leave() private {
        for (uint256 i = 0; i < PROVIDERS; ++i) {
            StakeAccount memory account = stake.account(providers[i]);
            vm.assertEq(account.locked, 0, "a lock without an exit");
            vm.startPrank(providers[i]);
            if (account.exitAvailableAt != 0) stake.cancelExit();
            if (account.total != 0) stake.requestExit(account.total);
            vm.stopPrank();
        }
        vm.warp(block.timestamp + p.exitDelay);
        for (uint256 i = 0; i < PROVIDERS; ++i) {
            if (stake.account(providers[i]).total != 0) {
                _completeExit(providers[i], stake.account(providers[i]));
            }
        }
        for (uint256 i = 0; i < payees.length; ++i) {
            if (stake.credits(payees[i]) != 0) _withdraw(payees[i]);
        }
    }

    // --- how deep a run went

    /// @notice Games that ended so.
    function endings(Outcome outcome, Reason reason) external view returns (uint256 count) {
        for (uint256 id = 1; id <= game.gameCount(); ++id) {
            Game memory g = game.game(id);
            if (g.outcome == outcome && g.reason == reason) count++;
        }
    }

    /// @notice Games that were decided by a proof about `target`.
    function provenGames(Target target) external view returns (uint256 count) {
        for (uint256 id = 1; id <= game.gameCount(); ++id) {
            Game memory g = game.game(id);
            if (g.reason == Reason.Proven && g.target == target) count++;
        }
    }

    function responses(ResponseStatus status, bool honestProvider) external view returns (uint256 count) {
        for (uint256 i = 0; i < answers.length; ++i) {
            bool counts = answers[i].batchId != 0 && isHonest[answers[i].provider] == honestProvider;
            if (counts && statusOf(i) == status) count++;
        }
    }

    function claims(ReceiptStatus status) external view returns (uint256 count) {
        for (uint256 i = 0; i < claimIds.length; ++i) {
            if (receipts.receiptClaim(claimIds[i]).status == status) count++;
        }
    }

    function asksSettled(AskEnd end) external view returns (uint256 count) {
        for (uint256 i = 0; i < asks.length; ++i) {
            if (endOfAsk(i) == end) count++;
        }
    }

    function exits() external view returns (uint256 total) {
        for (uint256 i = 0; i < PROVIDERS; ++i) {
            if (exited[providers[i]] != 0) total++;
        }
    }

    function gamesOfHonestChallengers() external view returns (uint256 count) {
        for (uint256 id = 1; id <= game.gameCount(); ++id) {
            if (isHonest[game.game(id).challenger]) count++;
        }
    }

    function theftAttempts() external view returns (uint256) {
        return thief.attempts();
    }

    function falseProofsRefused() external view returns (uint256) {
        return refusedProofs;
    }

    function movesInTheLastSecond() external view returns (uint256) {
        return lastSecondMoves;
    }
}
