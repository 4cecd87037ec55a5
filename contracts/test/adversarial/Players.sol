// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Game, IDisputeGame, Outcome, Phase, Target} from "../../src/interfaces/IDisputeGame.sol";
import {IInferenceLedger, ResponseStatus} from "../../src/interfaces/IInferenceLedger.sol";
import {Answer} from "./Arena.sol";
import {Settlement} from "./Settlement.sol";

/// @title What honest and malicious actors do, one action per function, driven by a random seed
/// @notice What the contracts must refuse is asserted to be refused; nothing else may revert.
contract Players is Settlement {
    uint256 private constant _MOST_ANSWERS = 16;
    uint256 private constant _MOST_GAMES = 24;

    function setUp() external {
        begin();
        openBooks();
    }

    // --- time

    function waitShortly(uint256 seed) external {
        seed = _mixed(seed);
        waitUntil(block.timestamp + seed % 25, seed);
    }

    function waitLonger(uint256 seed) external {
        seed = _mixed(seed);
        waitUntil(block.timestamp + seed % 130, seed);
    }

    // --- responses

    function answerHonestly(uint256 seed) external {
        seed = _mixed(seed);
        address provider = providers[seed % 2];
        if (answers.length >= _MOST_ANSWERS || stake.freeStake(provider) < 2 ether) return;
        uint256 id = sign(provider, 0, (seed >> 8) % 2, seed);
        post(id);
    }

    /// @dev Right or false; posted, posted twice at one index, replaced by another answer, or left out.
    function answerSomehow(uint256 seed) external {
        seed = _mixed(seed);
        address provider = providers[2 + seed % 2];
        if (answers.length + 1 >= _MOST_ANSWERS || stake.freeStake(provider) < 2 ether) return;
        uint256 id = sign(provider, _flaw(seed >> 8), (seed >> 16) % 2, seed);
        uint256 how = (seed >> 32) % 6;
        if (how == 0) tried["receipt not posted"]++;
        else if (how == 1) _postInstead(id, seed);
        else if (how == 2) _postTwin(id, seed);
        else post(id);
    }

    /// @dev Of ten answers two are right, three have a wrong token, three stop early, one runs on, one is malformed.
    function _flaw(uint256 seed) private pure returns (uint256) {
        uint8[10] memory flaws = [0, 0, 1, 1, 2, 3, 3, 3, 7, uint8(4 + (seed >> 8) % 3)];
        return flaws[seed % 10];
    }

    function _postInstead(uint256 id, uint256 seed) private {
        uint256 other = signTwin(id, 1, uint256(keccak256(abi.encode(seed, "another"))));
        post(other);
        tried["another answer than signed"]++;
    }

    /// @dev Whatever the twin says, only one leaf of the batch has its index.
    function _postTwin(uint256 id, uint256 seed) private {
        uint256 twin = signTwin(id, _flaw(seed >> 40), uint256(keccak256(abi.encode(seed, "twin"))));
        post(id, answers[twin].leaf);
        bytes32[] memory path = new bytes32[](1);
        path[0] = answers[id].leaf;
        (address challenger, uint256 batchId) = (challengers[2 + seed % 3], answers[id].batchId);
        vm.expectPartialRevert(IInferenceLedger.LeafNotInBatch.selector);
        vm.prank(challenger);
        game.open{value: p.challengerBond}(
            batchId, answers[twin].receipt.index, fieldsOf(answers[twin]), path, ""
        );
        tried["two leaves at one index"]++;
    }

    function postLate(uint256 seed) external {
        seed = _mixed(seed);
        uint256 id = _some(seed);
        if (id == answers.length) return;
        Answer storage a = answers[id];
        bool isUsed = ledger.batchOf(a.provider, a.receipt.batchSalt) != 0;
        if (isUsed || isHonest[a.provider] || stake.freeStake(a.provider) < 2 ether) return;
        post(id);
        tried["posted late"]++;
    }

    // --- games

    function challengeHonestly(uint256 seed) external {
        seed = _mixed(seed);
        for (uint256 i = 0; i < answers.length; ++i) {
            uint256 id = (seed + i) % answers.length;
            if (!mustBeChallenged(id) || game.gameCount() >= _MOST_GAMES) continue;
            if (block.timestamp <= emptyUntil(answers[id])) {
                _mustFailToOpen(id, challengers[(seed >> 8) % 2]);
                tried["a place that stays empty"]++;
                continue;
            }
            _openAndLie(id, challengers[(seed >> 8) % 2], seed);
            return;
        }
    }

    /// @dev Disputes a response, right or false, where that is possible, and tries it where it is not.
    function challengeMaliciously(uint256 seed) external {
        seed = _mixed(seed);
        if (game.gameCount() >= _MOST_GAMES) return;
        for (uint256 i = 0; i < answers.length; ++i) {
            uint256 id = (seed + i) % answers.length;
            if (answers[id].batchId == 0) continue;
            address who = challengers[2 + (seed >> 8) % 3];
            _mustFailToOpen(id, answers[id].provider);
            if (_canBeChallenged(id)) return _openAndLie(id, who, seed);
            _mustFailToOpen(id, who);
            tried["closed or full response"]++;
        }
    }

    function _canBeChallenged(uint256 id) private view returns (bool) {
        Answer storage a = answers[id];
        ResponseStatus status = statusOf(id);
        bool isOpen = status == ResponseStatus.Pending || status == ResponseStatus.Disputed;
        return
            isOpen && hasRoom(a) && block.timestamp > emptyUntil(a) && block.timestamp <= challengeDeadline(a);
    }

    function _openAndLie(uint256 id, address challenger, uint256 seed) private {
        uint256 gameId = open(id, challenger);
        if (isHonest[answers[id].provider]) return;
        // 0 .. STEPS: a lie from there on; STEPS + 1: the true trace.
        lies[gameId] = Lie((seed >> 32) % 8, (seed >> 40) % 3);
    }

    function _mustFailToOpen(uint256 id, address who) private {
        bytes32 secret = commitOpening(id, who);
        vm.roll(block.number + 1);
        vm.assertFalse(_tryToOpen(id, who, secret));
    }

    function _tryToOpen(uint256 id, address who, bytes32 secret) private returns (bool done) {
        Answer storage a = answers[id];
        uint256 bond = ledger.bondFor(a.provider);
        vm.deal(who, who.balance + bond);
        bytes memory data =
            abi.encodeCall(IDisputeGame.open, (a.batchId, a.receipt.index, fieldsOf(a), a.path, secret));
        vm.prank(who);
        (done,) = address(game).call{value: bond}(data);
    }

    /// @dev An honest opening in the mempool is copied: with its secret, and with a commitment of the same block.
    function copyOpening(uint256 seed) external {
        seed = _mixed(seed);
        for (uint256 i = 0; i < answers.length; ++i) {
            uint256 id = (seed + i) % answers.length;
            if (!mustBeChallenged(id) || game.gameCount() >= _MOST_GAMES) continue;
            if (!_canBeChallenged(id)) continue;
            bytes32 secret = commitOpening(id, challengers[seed % 2]);
            vm.roll(block.number + 1);
            vm.assertFalse(_tryToOpen(id, challengers[2], secret));
            vm.assertFalse(_tryToOpen(id, challengers[2], commitOpening(id, challengers[2])));
            openCommitted(id, challengers[seed % 2], secret);
            vm.assertFalse(_tryToOpen(id, challengers[seed % 2], secret));
            tried["copied opening"]++;
            return;
        }
    }

    /// @dev A provider that is about to lose concedes to a friend first.
    function concedeToAFriend(uint256 seed) external {
        seed = _mixed(seed);
        for (uint256 gameId = 1; gameId <= game.gameCount(); ++gameId) {
            Game memory g = game.game(gameId);
            if (!isRunning(g) || !isHonest[g.challenger] || game.gameCount() >= _MOST_GAMES) continue;
            if (isHonest[g.provider] || !_canBeChallenged(answerOf[gameId])) continue;
            uint256 friends = open(answerOf[gameId], challengers[2 + seed % 3]);
            // Another honest challenger's opening may be on its way; in the same block it comes too late.
            _commit(answerOf[gameId], challengers[(seed >> 16) % 2]);
            vm.roll(block.number + (seed >> 24) % 2);
            _concede(friends, g.provider);
            if ((seed >> 32) % 2 == 0) _joinNewest();
            tried["concession to a friend"]++;
            return;
        }
    }

    /// @dev Friends take all places, lose one, and cannot have it back at once.
    function refill(uint256 seed) external {
        seed = _mixed(seed);
        uint256 id = _some(seed);
        if (id == answers.length || answers[id].batchId == 0 || (seed >> 8) % 2 == 0) return;
        uint256 friends = 0;
        while (game.gameCount() < _MOST_GAMES && _canBeChallenged(id)) friends = open(id, challengers[2]);
        if (friends == 0 || hasRoom(answers[id])) return;
        if (_isVoid(id)) return; // malformed
        _concede(friends, challengers[2]);
        _mustFailToOpen(id, challengers[2]);
        vm.assertGe(challengeDeadline(answers[id]), block.timestamp + p.joinWindow + p.challengeWindow);
        tried["refill at once"]++;
    }

    /// @dev A few moves, each in some running game.
    function play(uint256 seed) external {
        seed = _mixed(seed);
        for (uint256 moves = 1 + seed % 6; moves != 0; --moves) {
            seed = uint256(keccak256(abi.encode(seed)));
            _playOne(seed);
        }
    }

    /// @dev The next move of a running game; malicious movers may also move at random or give up.
    function _playOne(uint256 seed) private {
        (uint256 gameId, Game memory g) = _someRunning(seed);
        if (gameId == 0 || block.timestamp > g.deadline) return;
        address mover = moverOf(gameId);
        if (isHonest[mover]) return moveHonestly(gameId);
        uint256 how = (seed >> 16) % 16;
        if (how == 0) return _concede(gameId, mover);
        if (mover == g.challenger && how % 2 == 0) {
            send(mover, honestOrRandom(gameId, g, seed >> 24));
        } else if (mover == g.challenger) {
            send(mover, randomChallenge(gameId, g, seed >> 24));
        } else {
            if (g.phase == Phase.AwaitProof) _answerAgainstTheClaim(gameId, g);
            moveHonestly(gameId); // along its own trace, which may be a lie
        }
    }

    /// @dev A false challenge has no honest move in it.
    function honestOrRandom(uint256 gameId, Game memory g, uint256 seed) private view returns (bytes memory) {
        bool isFalse = !answers[answerOf[gameId]].isRight;
        bool isCopy = isFalse && g.round == 1 && g.phase == Phase.AwaitChallenge;
        return isCopy ? honestChallenge(gameId, g) : randomChallenge(gameId, g, seed);
    }

    function _concede(uint256 gameId, address who) private {
        vm.prank(who);
        game.concede(gameId, aboutOf(gameId));
        tried["concession"]++;
    }

    /// @dev Anyone ends what is over. Timeouts too early and ends without reason are refused.
    function end(uint256 seed) external {
        seed = _mixed(seed);
        if (game.gameCount() == 0) return;
        uint256 gameId = 1 + seed % game.gameCount();
        Game memory g = game.game(gameId);
        bool isOver = isRunning(g) && block.timestamp > g.deadline;
        vm.assertTrue(_tryAs(bystander, abi.encodeCall(IDisputeGame.timeout, (gameId))) == isOver);
        bool isMoot = g.phase != Phase.Resolved && ledger.isVoid(g.batchId, g.index) && !isOver;
        vm.assertTrue(_tryAs(bystander, abi.encodeCall(IDisputeGame.resolveVoid, (gameId))) == isMoot);
        if (isRunning(g)) tried[isOver ? bytes32("timeout") : bytes32("early timeout")]++;
    }

    /// @dev The right move by the wrong party, or too late, or with a forged proof: always refused.
    function cheat(uint256 seed) external {
        seed = _mixed(seed);
        (uint256 gameId, Game memory g) = _someToProve(seed);
        if (gameId == 0) (gameId, g) = _someRunning(seed);
        if (gameId == 0) return;
        address mover = moverOf(gameId);
        bytes memory data =
            mover == g.provider ? providerMove(gameId, g) : randomChallenge(gameId, g, seed >> 16);
        address[4] memory thieves = [challengers[2], challengers[4], providers[2], bystander];
        address thief_ = thieves[(seed >> 8) % 4];
        if (thief_ != mover) {
            vm.assertFalse(_tryAs(thief_, data));
            vm.assertTrue(thief_ == g.challenger || thief_ == g.provider || !_tryConcede(thief_, gameId));
            tried["a move of somebody else"]++;
        }
        if (block.timestamp > g.deadline) {
            vm.assertFalse(_tryAs(mover, data));
            tried["late move"]++;
        } else if (g.phase == Phase.AwaitProof) {
            _forge(gameId, g, data);
        }
    }

    /// @dev Another game voided the response: nobody can win or lose here any more, whoever is out of time.
    function playOnVoid(uint256 seed) external {
        seed = _mixed(seed);
        for (uint256 gameId = 1; gameId <= game.gameCount(); ++gameId) {
            Game memory g = game.game(gameId);
            if (g.phase == Phase.Resolved || isRunning(g)) continue;
            bool isProviders = moverOf(gameId) == g.provider;
            bytes memory move = isProviders ? providerMove(gameId, g) : randomChallenge(gameId, g, seed);
            bytes32 money = _money();
            bool moved = _tryAs(moverOf(gameId), move);
            vm.assertFalse(moved && g.phase == Phase.AwaitProof);
            vm.assertEq(uint256(game.game(gameId).outcome), uint256(Outcome.Undecided), "no move ends it");
            vm.assertTrue(_money() == money, "no move pays anybody");
            vm.assertFalse(_tryConcede(g.provider, gameId) || _tryConcede(g.challenger, gameId));
            vm.assertFalse(_tryAs(bystander, abi.encodeCall(IDisputeGame.timeout, (gameId))));
            tried["move in a void game"]++;
        }
    }

    function _money() private view returns (bytes32) {
        return keccak256(
            abi.encode(stake.totalStake(), stake.totalEscrow(), stake.totalCredits(), stake.totalBurned())
        );
    }

    /// @dev Then both games have one statement and one claim, and a proof in either is one in the other, whatever its bytes are.
    function _isAboutTheSame(Game memory a, Game memory b) private pure returns (bool) {
        return a.batchId == b.batchId && a.index == b.index && a.target == b.target
            && a.rangeStart == b.rangeStart && a.rangeEnd == b.rangeEnd
            && a.boundariesHash == b.boundariesHash && a.position == b.position && a.rivalId == b.rivalId;
    }

    /// @dev Windows that are as claimed are not proven, and a claim that is another one anywhere is not refuted.
    function _answerAgainstTheClaim(uint256 gameId, Game memory g) private {
        if (g.target == Target.Head) return;
        uint256 count = windowsOf(gameId);
        uint256 other = firstOther(gameId, g);
        for (uint256 window = 0; window < other; ++window) {
            (bytes memory proof,,) = windowMove(gameId, g, window);
            vm.assertFalse(_tryAs(g.provider, proof));
            tried["a window as claimed"]++;
        }
        if (other == count) return;
        (bytes memory data,,) = refutation(gameId, g);
        vm.assertFalse(_tryAs(g.provider, data));
        tried["refutation of another claim"]++;
    }

    /// @dev A changed proof and the proof of a game about something else are refused.
    function _forge(uint256 gameId, Game memory g, bytes memory data) private {
        (,, bytes memory proof) = proofMove(gameId, g);
        bytes32 needle = bytes32(proof);
        bytes memory forged = data;
        for (uint256 at = 36; at + 32 <= forged.length; at += 32) {
            bytes32 word;
            assembly ("memory-safe") {
                word := mload(add(add(forged, 0x20), at))
            }
            if (word != needle) continue;
            forged[at + 31] ^= 0x01;
            break;
        }
        vm.assertFalse(_tryAs(g.provider, forged));
        tried["forged proof"]++;
        _answerAgainstTheClaim(gameId, g);
        for (uint256 other = 1; other <= game.gameCount(); ++other) {
            if (other == gameId || game.game(other).phase != Phase.AwaitProof) continue;
            if (game.game(other).provider != g.provider || !isRunning(game.game(other))) continue;
            if (_isAboutTheSame(game.game(other), g)) continue;
            (bytes memory replayed,,) = proofMove(other, game.game(other));
            assembly ("memory-safe") {
                mstore(add(replayed, 0x24), gameId) // the same calldata for this game
            }
            vm.assertFalse(_tryAs(g.provider, replayed));
            tried["replayed proof"]++;
        }
    }

    /// @dev A copycat sees a claim that is conclusive at once and is faster, in a game of its own.
    function frontRun(uint256 seed) external {
        seed = _mixed(seed);
        address provider = providers[2 + seed % 2];
        bool isFull = answers.length >= _MOST_ANSWERS || stake.freeStake(provider) < 2 ether;
        if (isFull || (seed >> 8) % 4 != 0) return;
        uint256 id = sign(provider, seed >> 16 & 1 == 0 ? 3 : 7, 0, seed);
        post(id);
        if (!answers[id].isCutShort && !answers[id].runsOn) return; // the model stopped there, too
        uint256 victim = open(id, challengers[seed % 2]);
        uint256 copy = open(id, challengers[2]);
        send(challengers[2], claimAboutEnd(copy, answers[id]));
        vm.assertFalse(_tryAs(challengers[seed % 2], claimAboutEnd(victim, answers[id])));
        tried["front-run claim"]++;
    }

    function _someRunning(uint256 seed) private view returns (uint256 gameId, Game memory g) {
        uint256 count = game.gameCount();
        for (uint256 i = 0; i < count; ++i) {
            gameId = 1 + (seed + i) % count;
            g = game.game(gameId);
            if (isRunning(g)) return (gameId, g);
        }
        return (0, g);
    }

    function _someToProve(uint256 seed) private view returns (uint256 gameId, Game memory g) {
        uint256 count = game.gameCount();
        for (uint256 i = 0; i < count; ++i) {
            gameId = 1 + (seed + i) % count;
            g = game.game(gameId);
            if (isRunning(g) && g.phase == Phase.AwaitProof) return (gameId, g);
        }
        return (0, g);
    }

    function _tryAs(address who, bytes memory data) private returns (bool done) {
        vm.prank(who);
        (done,) = address(game).call(data);
        if (done) rememberClaim(data);
    }

    function _tryConcede(address who, uint256 gameId) private returns (bool) {
        return _tryAs(who, abi.encodeCall(IDisputeGame.concede, (gameId, aboutOf(gameId))));
    }
}
