// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IDisputeGame, Outcome, Phase, Reason} from "../src/interfaces/IDisputeGame.sol";
import {Claimed} from "./Claimed.sol";
import {AuditScenario} from "./AuditScenario.sol";
import {Scenario} from "./Scenario.sol";

/// @notice Blocks are taken back and others come instead. Games are numbered as they are opened, so that a move that was signed before
///         finds another game under its number, or the same one after other moves; it is sent again by whoever has it.
contract ReorganisationsTest is Scenario {
    function expectRefused(address who, bytes memory move) private {
        expectRefused(who, move, IDisputeGame.AboutSomethingElse.selector);
    }

    function expectRefused(address who, bytes memory move, bytes4 error) private {
        vm.prank(who);
        (bool ok, bytes memory answer) = address(game).call(move);
        vm.assertFalse(ok);
        vm.assertEq(bytes32(bytes4(answer)), bytes32(error));
    }

    /// @dev The provider answers something else first, and that is what is disputed.
    function openAnother() private returns (uint256) {
        response = makeResponse(41, 30, 30);
        batchId = post(response, "another");
        return open();
    }

    function test_about_is_what_the_game_says_it_is() external {
        uint256 gameId = open();
        vm.assertEq(game.game(gameId).boundariesHash, bytes32(0));
        vm.assertEq(aboutOf(gameId), game.game(gameId).idsHash);
        postBoundaries(gameId, 6, 1);
        vm.assertEq(aboutOf(gameId), game.game(gameId).boundariesHash);
        vm.assertEq(idsOf(gameId), game.game(gameId).idsHash);
    }

    /// @dev A game and the provider's first move in it, both taken back.
    function takenBack() private returns (uint256 gameId, bytes memory move) {
        uint256 start = vm.snapshotState();
        gameId = open();
        move = abi.encodeCall(
            IDisputeGame.postBoundaries, (gameId, aboutOf(gameId), dueHashes(gameId, NEVER, 0))
        );
        vm.revertToState(start);
    }

    function test_attack_boundaries_of_another_history_find_another_game() external {
        (uint256 gameId, bytes memory move) = takenBack();
        vm.assertEq(openAnother(), gameId);
        expectRefused(provider, move);
        postBoundaries(gameId, NEVER, 0);
        expectPhase(gameId, Phase.AwaitChallenge);
    }

    function test_boundaries_of_another_history_count_in_the_same_game() external {
        (uint256 gameId, bytes memory move) = takenBack();
        vm.assertEq(openAs(copycat), gameId);
        vm.prank(provider);
        (bool ok,) = address(game).call(move);
        vm.assertTrue(ok, "another challenger, the same response");
    }

    /// @dev The challenger has seen the proof, and claims that its window is what was posted; or the refutation, and claims another one.
    function test_attack_an_answer_to_a_claim_of_another_history_finds_another_claim() external {
        bytes memory asPosted = stepClaim(5, Lie(6, 1));
        uint256 gameId = open();
        uint256 start = vm.snapshotState();
        narrow(gameId, 5, 1);
        presetStep(5, 1);
        bytes memory proof =
            abi.encodeCall(IDisputeGame.proveStep, (gameId, stepProof(5, 1), shownOf(gameId)));
        bytes memory refutation = abi.encodeCall(IDisputeGame.refuteClaim, (gameId, agreedStep(5, 1)));
        expectRefused(provider, refutation, IDisputeGame.WrongPreimage.selector);
        vm.revertToState(start);
        narrow(gameId, 5, 1, asPosted);
        presetStep(5, 1);
        expectRefused(provider, proof, IDisputeGame.WrongPreimage.selector);
        vm.prank(provider);
        (bool ok,) = address(game).call(refutation);
        vm.assertTrue(ok, "the refutation of this claim");
        vm.revertToState(start);
        narrow(gameId, 5, 1, Claimed.butAll(asPosted));
        presetStep(5, 1);
        expectRefused(provider, proof, IDisputeGame.WrongPreimage.selector);
        expectRefused(provider, refutation, IDisputeGame.WrongPreimage.selector);
        proveStep(gameId, stepProof(5, 1)); // against the claim that was made
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Proven);
    }

    function test_attack_giving_up_in_another_history_gives_up_nothing() external {
        uint256 start = vm.snapshotState();
        uint256 gameId = open();
        bytes memory before = abi.encodeCall(IDisputeGame.concede, (gameId, aboutOf(gameId)));
        postBoundaries(gameId, 6, 1);
        bytes memory afterwards = abi.encodeCall(IDisputeGame.concede, (gameId, aboutOf(gameId)));
        vm.revertToState(start);
        vm.assertEq(openAnother(), gameId);
        for (uint256 i = 0; i < 2; ++i) {
            expectRefused(provider, before);
            expectRefused(provider, afterwards);
            expectRefused(challenger, before);
            expectRefused(challenger, afterwards);
            if (i == 0) postBoundaries(gameId, NEVER, 0);
        }
        vm.prank(provider);
        game.concede(gameId, aboutOf(gameId));
        expectOutcome(gameId, Outcome.ChallengerWon, Reason.Conceded);
    }

    function test_moves_about_anything_else_are_refused(bytes32 about) external {
        uint256 gameId = open();
        vm.assume(about != aboutOf(gameId));
        bytes32[] memory hashes = dueHashes(gameId, 6, 1);
        expectRefused(provider, abi.encodeCall(IDisputeGame.postBoundaries, (gameId, about, hashes)));
        expectRefused(provider, abi.encodeCall(IDisputeGame.concede, (gameId, about)));
        bytes32 ids = idsOf(gameId);
        postBoundaries(gameId, 6, 1);
        expectRefused(challenger, abi.encodeCall(IDisputeGame.concede, (gameId, ids)));
        challengeStep(gameId, 5);
        hashes = dueHashes(gameId, 6, 1);
        expectRefused(provider, abi.encodeCall(IDisputeGame.postBoundaries, (gameId, ids, hashes)));
        expectRefused(provider, abi.encodeCall(IDisputeGame.postBoundaries, (gameId, 0, hashes)));
    }
}

/// @notice The same of audits.
contract ReorganisedAuditsTest is AuditScenario {
    function test_attack_giving_up_an_audit_of_another_history_gives_up_nothing() external {
        uint256 auditId = openAudit(one(stepItem(5, 1)));
        vm.assertEq(idsOfAudit(auditId), audits.audit(auditId).idsHash);
        vm.prank(provider);
        vm.expectRevert(
            abi.encodeWithSelector(
                IDisputeGame.AboutSomethingElse.selector, bytes32("another"), idsOfAudit(auditId)
            )
        );
        audits.concede(auditId, "another");
        vm.prank(provider);
        audits.concede(auditId, idsOfAudit(auditId));
        vm.assertTrue(audits.audit(auditId).outcome == Outcome.ChallengerWon);
    }
}
