// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Game, IDisputeGame, Phase} from "../../src/interfaces/IDisputeGame.sol";
import {ResponseState, ResponseStatus} from "../../src/interfaces/IInferenceLedger.sol";
import {ReceiptStatus, ReceiptClaim} from "../../src/interfaces/IReceipts.sol";
import {Answer} from "./Arena.sol";
import {Moves} from "./Moves.sol";

/// @title Parties that follow the protocol: they act in time, at the latest in the last second
/// @notice Time passes through here only, so that no honest deadline is missed: a duty is done somewhere
///         between now and its deadline, often at the deadline itself.
abstract contract Honest is Moves {
    enum Duty {
        None,
        Move,
        Challenge,
        AnswerClaim,
        Show
    }

    /// @dev How somebody's wish to see a response ended.
    enum AskEnd {
        Open,
        Shown,
        NotShown,
        Overtaken // a game voided the response meanwhile
    }

    struct Asked {
        uint256 answerId;
        address asker;
        AskEnd end;
    }

    bytes32[] internal claimIds;
    mapping(bytes32 receiptId => uint256) internal claimedAnswer;
    Asked[] internal asks;
    mapping(uint256 gameId => bool) internal provenTrue;
    mapping(uint256 gameId => bool) internal refuted;
    uint256 internal validProofs;
    uint256 internal refusedProofs;
    uint256 internal lastSecondMoves;
    uint256 internal secretCount;
    mapping(address => uint256) internal overpaid; // what openers sent beyond the bond

    function waitUntil(uint256 target, uint256 seed) internal {
        while (true) {
            (Duty duty, uint256 id, uint256 latest) = _mostUrgent(target);
            if (duty == Duty.None) break;
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 earliest = block.timestamp;
            if (duty == Duty.Challenge && emptyUntil(answers[id]) >= earliest) {
                earliest = emptyUntil(answers[id]) + 1;
            }
            vm.warp(seed % 2 == 0 ? latest : earliest + (seed >> 8) % (latest - earliest + 1));
            if (block.timestamp == latest) lastSecondMoves++;
            if (duty == Duty.Move) moveHonestly(id);
            else if (duty == Duty.Challenge) open(id, challengers[(seed >> 16) % 2]);
            else if (duty == Duty.Show) show(id);
            else answerClaimHonestly(claimIds[id]);
        }
        vm.warp(target);
    }

    function _mostUrgent(uint256 target) private view returns (Duty duty, uint256 id, uint256 latest) {
        latest = target; // a duty whose deadline is the target itself can wait
        for (uint256 gameId = 1; gameId <= game.gameCount(); ++gameId) {
            Game memory g = game.game(gameId);
            if (g.deadline < latest && isRunning(g) && isHonest[moverOf(gameId)]) {
                (duty, id, latest) = (Duty.Move, gameId, g.deadline);
            }
        }
        for (uint256 i = 0; i < answers.length; ++i) {
            if (!mustBeChallenged(i)) continue;
            uint256 deadline = challengeDeadline(answers[i]);
            if (deadline < latest) (duty, id, latest) = (Duty.Challenge, i, deadline);
        }
        for (uint256 i = 0; i < claimIds.length; ++i) {
            ReceiptClaim memory claim = receipts.receiptClaim(claimIds[i]);
            if (claim.status != ReceiptStatus.Claimed || !isHonest[claim.provider]) continue;
            if (claim.answerDeadline < latest) {
                (duty, id, latest) = (Duty.AnswerClaim, i, claim.answerDeadline);
            }
        }
        for (uint256 i = 0; i < asks.length; ++i) {
            Answer storage a = answers[asks[i].answerId];
            if (endOfAsk(i) != AskEnd.Open || !isHonest[a.provider]) continue;
            uint256 deadline = ledger.response(a.batchId, a.receipt.index).showDeadline;
            if (deadline < latest) (duty, id, latest) = (Duty.Show, i, deadline);
        }
    }

    // --- games

    /// @dev A game that can still be won or lost.
    function isRunning(Game memory g) internal view returns (bool) {
        return g.phase != Phase.Resolved && !ledger.isVoid(g.batchId, g.index);
    }

    /// @dev The protocol's next move of the side whose turn it is.
    function moveHonestly(uint256 gameId) internal {
        Game memory g = game.game(gameId);
        address mover = moverOf(gameId);
        if (g.phase == Phase.AwaitProof) submitProof(gameId, g);
        else if (mover == g.provider) send(mover, providerMove(gameId, g));
        else send(mover, honestChallenge(gameId, g));
    }

    /// @dev A move that must succeed.
    function send(address mover, bytes memory data) internal {
        vm.prank(mover);
        (bool done, bytes memory why) = address(game).call(data);
        if (!done) {
            assembly ("memory-safe") {
                revert(add(why, 0x20), mload(why))
            }
        }
        rememberClaim(data);
    }

    /// @dev In time and by the provider: accepted if and only if the statement is true, or the challenger claims what was posted.
    function submitProof(uint256 gameId, Game memory g) internal {
        (bytes memory data, bool isTrue,) = proofMove(gameId, g);
        vm.prank(g.provider);
        (bool done, bytes memory why) = address(game).call(data);
        vm.assertTrue(done == isTrue, "a valid proof wins, a forged one is refused");
        if (bytes4(data) == IDisputeGame.refuteClaim.selector) {
            refuted[gameId] = true;
        } else if (done) {
            validProofs++;
            provenTrue[gameId] = true;
        } else {
            refusedProofs++;
            vm.assertTrue(bytes4(why) == IDisputeGame.ProofRejected.selector, "refused as a proof");
        }
    }

    // --- responses

    function challengeDeadline(Answer storage a) internal view returns (uint256) {
        ResponseState memory state = ledger.response(a.batchId, a.receipt.index);
        return state.disputed ? state.challengeDeadline : ledger.batch(a.batchId).deadline;
    }

    function emptyUntil(Answer storage a) internal view returns (uint256) {
        return ledger.response(a.batchId, a.receipt.index).emptyUntil;
    }

    /// @dev A place among the games; one that a loss freed may have to stay empty yet.
    function hasRoom(Answer storage a) internal view returns (bool) {
        ResponseState memory state = ledger.response(a.batchId, a.receipt.index);
        return state.openGames + (state.asker == address(0) ? 0 : 1) < p.maxGamesPerResponse;
    }

    /// @dev False, not void, not disputed by an honest challenger yet, and there is room for a game, now or soon.
    function mustBeChallenged(uint256 id) internal view returns (bool) {
        Answer storage a = answers[id];
        if (a.isRight || a.batchId == 0) return false;
        ResponseState memory state = ledger.response(a.batchId, a.receipt.index);
        if (state.isVoid || !hasRoom(a)) return false;
        if (block.timestamp > challengeDeadline(a)) return false;
        for (uint256 gameId = 1; gameId <= game.gameCount(); ++gameId) {
            if (answerOf[gameId] == id && isHonest[game.game(gameId).challenger]) return false;
        }
        return true;
    }

    function open(uint256 id, address challenger) internal returns (uint256 gameId) {
        bytes32 secret = commitOpening(id, challenger);
        vm.roll(block.number + 1);
        return openCommitted(id, challenger, secret);
    }

    function commitOpening(uint256 id, address challenger) internal returns (bytes32 secret) {
        secret = bytes32(++secretCount);
        Answer storage a = answers[id];
        bytes32 commitment = ledger.openingCommitment(challenger, a.batchId, a.receipt.index, secret);
        vm.prank(challenger);
        ledger.commitOpening(commitment);
    }

    /// @dev With the bond that is due, or more.
    function openCommitted(uint256 id, address challenger, bytes32 secret) internal returns (uint256 gameId) {
        Answer storage a = answers[id];
        uint256 due = p.challengerBond + p.challengerBond * openGamesAgainst(a.provider) / p.bondLoad;
        uint256 more = secretCount % 2 * 0.1 ether;
        overpaid[challenger] += more;
        vm.deal(challenger, challenger.balance + due + more);
        vm.prank(challenger);
        gameId = game.open{value: due + more}(a.batchId, a.receipt.index, fieldsOf(a), a.path, secret);
        vm.assertEq(game.game(gameId).bond, due, "the bond that is due");
        answerOf[gameId] = id;
        lies[gameId].from = type(uint256).max;
    }

    /// @dev Counted without the ledger: games that can still be lost.
    function openGamesAgainst(address provider) internal view returns (uint256 count) {
        for (uint256 gameId = 1; gameId <= game.gameCount(); ++gameId) {
            Game memory g = game.game(gameId);
            if (g.provider == provider && isRunning(g)) count++;
        }
    }

    function statusOf(uint256 id) internal view returns (ResponseStatus) {
        return ledger.responseStatus(answers[id].batchId, answers[id].receipt.index);
    }

    // --- what was asked for

    function show(uint256 askId) internal {
        Answer storage a = answers[asks[askId].answerId];
        ledger.show(a.batchId, a.receipt.index, fieldsOf(a), a.path, a.promptIds, a.outputIds);
        asks[askId].end = AskEnd.Shown;
    }

    function claimNotShown(uint256 askId) internal {
        Answer storage a = answers[asks[askId].answerId];
        ledger.claimNotShown(a.batchId, a.receipt.index);
        asks[askId].end = AskEnd.NotShown;
    }

    /// @dev A game that made the response void settled what was asked for.
    function endOfAsk(uint256 askId) internal view returns (AskEnd) {
        Answer storage a = answers[asks[askId].answerId];
        bool isOvertaken = asks[askId].end == AskEnd.Open && ledger.isVoid(a.batchId, a.receipt.index);
        return isOvertaken ? AskEnd.Overtaken : asks[askId].end;
    }

    // --- receipts

    function answerClaimHonestly(bytes32 claimId) internal {
        receipts.answerClaim(claimId, answers[claimedAnswer[claimId]].path);
    }
}
