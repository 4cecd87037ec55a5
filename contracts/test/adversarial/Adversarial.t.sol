// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Outcome, Reason, Target} from "../../src/interfaces/IDisputeGame.sol";
import {ResponseStatus} from "../../src/interfaces/IInferenceLedger.sol";
import {ReceiptStatus} from "../../src/interfaces/IReceipts.sol";
import {Test} from "../Vm.sol";
import {Exits} from "./Exits.sol";
import {Honest} from "./Honest.sol";
import {Players} from "./Players.sol";
import {Settlement} from "./Settlement.sol";

/// @notice Honest and malicious actors at random; what the protocol promises holds after every action.
/// forge-config: default.invariant.runs = 3
/// forge-config: default.invariant.depth = 60
/// forge-config: deep.invariant.runs = 510
/// forge-config: deep.invariant.depth = 200
contract AdversarialTest is Test {
    event log_named_uint(string key, uint256 value);

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    Exits private _exits;

    function setUp() external {
        _exits = new Exits();
        _exits.setUp();
    }

    function targetContracts() external view returns (address[] memory all) {
        all = new address[](1);
        all[0] = address(_exits);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory all) {
        bytes4[36] memory weighted = _actions();
        all = new FuzzSelector[](1);
        all[0].addr = address(_exits);
        all[0].selectors = new bytes4[](weighted.length);
        for (uint256 i = 0; i < weighted.length; ++i) {
            all[0].selectors[i] = weighted[i];
        }
    }

    /// @dev An action that is often needed is here more than once.
    function _actions() private pure returns (bytes4[36] memory) {
        return [
            Players.waitShortly.selector,
            Players.cheat.selector,
            Players.waitLonger.selector,
            Players.answerHonestly.selector,
            Players.answerSomehow.selector,
            Players.answerSomehow.selector,
            Players.postLate.selector,
            Players.challengeHonestly.selector,
            Players.challengeHonestly.selector,
            Players.challengeMaliciously.selector,
            Players.challengeMaliciously.selector,
            Players.play.selector,
            Players.play.selector,
            Players.play.selector,
            Players.play.selector,
            Players.end.selector,
            Players.cheat.selector,
            Players.playOnVoid.selector,
            Players.frontRun.selector,
            Players.copyOpening.selector,
            Players.concedeToAFriend.selector,
            Players.refill.selector,
            Settlement.settle.selector,
            Settlement.claimReceipt.selector,
            Settlement.settleReceipt.selector,
            Settlement.askFor.selector,
            Settlement.settleAsk.selector,
            Settlement.settleAsk.selector,
            Settlement.commitSomehow.selector,
            Settlement.commitSomehow.selector,
            Settlement.joinSomehow.selector,
            Settlement.joinSomehow.selector,
            Settlement.closeRewards.selector,
            Settlement.exit.selector,
            Settlement.withdraw.selector,
            Settlement.forceEther.selector
        ];
    }

    // --- invariants

    function invariant_solvency() external view {
        _exits.checkSolvency();
    }

    function invariant_a_valid_proof_always_wins() external view {
        _exits.checkProofs();
    }

    function invariant_an_honest_provider_never_loses_stake() external view {
        _exits.checkHonestProviders();
    }

    function invariant_an_honest_challenger_always_wins_against_a_false_response() external view {
        _exits.checkHonestChallengers();
    }

    function invariant_nobody_is_paid_twice() external view {
        _exits.checkPayments();
    }

    function invariant_no_state_without_an_exit() external {
        _exits.checkEveryGameCanEnd();
    }

    /// @dev Runs once at the end of every run.
    function afterInvariant() external {
        _finish();
    }

    function _finish() private {
        _exits.playOut();
        _checkAll();
        _exits.settleEverything();
        _exits.checkSolvency();
        _exits.checkPayments();
    }

    function _checkAll() private {
        _exits.checkSolvency();
        _exits.checkProofs();
        _exits.checkHonestProviders();
        _exits.checkHonestChallengers();
        _exits.checkPayments();
        _exits.checkEveryGameCanEnd();
    }

    // --- the same actions from a fixed seed: no invariant above holds only because nothing happens

    function test_a_fixed_play_reaches_every_ending_and_tries_every_attack() external {
        uint256 fresh = vm.snapshotState();
        uint256[39] memory sums;
        for (uint256 season = 0; season < 26; ++season) {
            bytes4[36] memory actions = _actions();
            for (uint256 i = 0; i < 80; ++i) {
                uint256 seed = uint256(keccak256(abi.encode("season", season, i)));
                _act(abi.encodeWithSelector(actions[seed % 36], seed >> 8));
            }
            _checkAll();
            _finish();
            uint256[39] memory counts = _summary();
            for (uint256 i = 0; i < counts.length; ++i) {
                sums[i] += counts[i];
            }
            vm.revertToState(fresh);
        }
        string[39] memory names = _names();
        for (uint256 i = 0; i < sums.length; ++i) {
            emit log_named_uint(names[i], sums[i]);
        }
        for (uint256 i = 0; i < sums.length; ++i) {
            vm.assertGt(sums[i], 0, names[i]);
        }
    }

    function _act(bytes memory data) private {
        (bool done, bytes memory why) = address(_exits).call(data);
        if (done) return;
        assembly ("memory-safe") {
            revert(add(why, 0x20), mload(why))
        }
    }

    function _summary() private view returns (uint256[39] memory c) {
        c[0] = _exits.provenGames(Target.Step);
        c[1] = _exits.provenGames(Target.Embedding);
        c[2] = _exits.provenGames(Target.Head);
        c[3] = _exits.endings(Outcome.ProviderWon, Reason.TimedOut);
        c[4] = _exits.endings(Outcome.ProviderWon, Reason.Conceded);
        c[5] = _exits.endings(Outcome.ChallengerWon, Reason.TimedOut);
        c[6] = _exits.endings(Outcome.ChallengerWon, Reason.Conceded);
        c[7] = _exits.endings(Outcome.ChallengerWon, Reason.Malformed);
        c[8] = _exits.endings(Outcome.ChallengerWon, Reason.Truncated);
        c[9] = _exits.endings(Outcome.ResponseVoided, Reason.VoidedElsewhere);
        c[10] = _exits.responses(ResponseStatus.Final, true);
        c[11] = _exits.responses(ResponseStatus.Final, false);
        c[12] = _exits.responses(ResponseStatus.Void, false);
        c[13] = _exits.claims(ReceiptStatus.Answered);
        c[14] = _exits.claims(ReceiptStatus.Slashed);
        c[15] = _exits.gamesOfHonestChallengers();
        c[16] = _exits.falseProofsRefused();
        c[17] = _exits.movesInTheLastSecond();
        c[18] = _exits.theftAttempts();
        c[19] = _exits.tried("a move of somebody else");
        c[20] = _exits.tried("forged proof");
        c[21] = _exits.tried("late move");
        c[22] = _exits.tried("front-run claim");
        c[23] = _exits.tried("early timeout");
        c[24] = _exits.tried("move in a void game");
        c[25] = _exits.endings(Outcome.ChallengerWon, Reason.Overrun);
        c[26] = _exits.asksSettled(Honest.AskEnd.Shown);
        c[27] = _exits.asksSettled(Honest.AskEnd.NotShown);
        c[28] = _exits.asksSettled(Honest.AskEnd.Overtaken);
        c[29] = _exits.tried("early claim of what is not shown");
        c[30] = _exits.tried("copied opening");
        c[31] = _exits.tried("concession to a friend");
        c[32] = _exits.tried("refill at once");
        c[33] = _exits.tried("join");
        c[34] = _exits.tried("join against the rules");
        c[35] = _exits.tried("rewards closed");
        c[36] = _exits.endings(Outcome.ProviderWon, Reason.Refuted);
        c[37] = _exits.tried("a window as claimed");
        c[38] = _exits.tried("refutation of another claim");
    }

    function _names() private pure returns (string[39] memory) {
        return [
            "provider won: step proven",
            "provider won: embedding proven",
            "provider won: head proven",
            "provider won: challenger out of time",
            "provider won: challenger conceded",
            "challenger won: provider out of time",
            "challenger won: provider conceded",
            "challenger won: malformed leaf",
            "challenger won: answer cut short",
            "voided by another game",
            "final responses of honest providers",
            "final responses of the others",
            "void responses",
            "receipt claims answered",
            "receipt claims slashed",
            "games of honest challengers",
            "proofs of false statements refused",
            "honest moves in the last second",
            "withdrawals with reentrance tried",
            "moves of somebody else tried",
            "forged proofs tried",
            "late moves tried",
            "claims front-run",
            "early timeouts tried",
            "moves in void games tried",
            "challenger won: answer that runs on",
            "asks shown",
            "asks not shown",
            "asks overtaken by a game",
            "early claims of what is not shown tried",
            "copied openings tried",
            "concessions to a friend before an honest challenger wins",
            "refills of a freed place at once tried",
            "openings that joined",
            "joins against the rules tried",
            "rewards closed",
            "provider won: claim refuted",
            "proofs of a window that is as claimed tried",
            "refutations of another claim tried"
        ];
    }
}
