// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IDisputeGame, Outcome, Phase, Reason, StepProof} from "../src/interfaces/IDisputeGame.sol";
import {ResponseStatus} from "../src/interfaces/IInferenceLedger.sol";
import {Scenario} from "./Scenario.sol";

contract ConcedeTest is Scenario {
    function test_the_provider_may_give_up_in_any_phase() external {
        uint256 gameId = gameAtStepProof(5, 1);
        vm.prank(provider);
        game.concede(gameId, aboutOf(gameId));
        expectOutcome(gameId, Outcome.ChallengerWon, Reason.Conceded);
        expectStatus(ResponseStatus.Void);
        expectSolvent();
    }

    function test_the_challenger_may_give_up_in_any_phase() external {
        uint256 gameId = gameAtStepProof(5, 1);
        vm.prank(challenger);
        game.concede(gameId, aboutOf(gameId));
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Conceded);
        vm.assertEq(stake.credits(provider), p.challengerBond / 2);
        expectSolvent();
    }

    function test_nobody_else_and_not_twice() external {
        uint256 gameId = open();
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.NotPlayer.selector, stranger));
        game.concede(gameId, aboutOf(gameId));
        vm.prank(challenger);
        game.concede(gameId, aboutOf(gameId));
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.WrongPhase.selector, Phase.Resolved));
        game.concede(gameId, aboutOf(gameId));
    }

    // --- several games on one response

    function test_when_one_challenger_wins_all_open_games_are_paid_the_same() external {
        uint256 first = open();
        uint256 second = openAs(copycat);
        uint256 secondBond = game.game(second).bond;
        vm.expectPartialRevert(IDisputeGame.ResponseNotVoid.selector);
        game.resolveVoid(second);
        vm.prank(provider);
        game.concede(first, aboutOf(first));
        game.resolveVoid(second);
        expectOutcome(second, Outcome.ResponseVoided, Reason.VoidedElsewhere);
        vm.assertEq(stake.credits(challenger), p.challengerBond + p.gameReward);
        vm.assertEq(stake.credits(copycat), secondBond + p.gameReward);
        vm.assertEq(stake.account(provider).total, 20 ether - p.lockPerResponse - p.providerBond);
        vm.assertEq(stake.escrowOf(address(game)), 0);
        expectSolvent();
        vm.expectPartialRevert(IDisputeGame.WrongPhase.selector);
        game.resolveVoid(second);
    }

    /// @dev Moves that end nothing do not ask whether the response is void; wherever the game stands, it ends in one way.
    function test_attack_moving_on_in_a_game_on_a_void_response() external {
        uint256 first = open();
        uint256 second = openAs(copycat);
        vm.prank(provider);
        game.concede(first, aboutOf(first));
        narrow(second, 5, 1);
        presetStep(5, 1);
        StepProof memory proof = stepProof(5, 1);
        vm.prank(provider);
        vm.expectPartialRevert(IDisputeGame.ResponseAlreadyVoid.selector);
        game.proveStep(second, proof, shownOf(second));
        letTimePass(second);
        vm.expectPartialRevert(IDisputeGame.ResponseAlreadyVoid.selector);
        game.timeout(second);
        vm.assertEq(stake.credits(copycat), 0);
        game.resolveVoid(second);
        expectOutcome(second, Outcome.ResponseVoided, Reason.VoidedElsewhere);
        vm.assertEq(stake.credits(copycat), game.game(second).bond + p.gameReward);
        expectSolvent();
    }

    function test_attack_nobody_loses_a_game_on_a_void_response() external {
        uint256 first = open();
        uint256 second = openAs(copycat);
        postBoundaries(second, NEVER, 0);
        vm.prank(provider);
        game.concede(first, aboutOf(first));
        letTimePass(second);
        vm.expectPartialRevert(IDisputeGame.ResponseAlreadyVoid.selector);
        game.timeout(second);
        vm.prank(copycat);
        vm.expectPartialRevert(IDisputeGame.ResponseAlreadyVoid.selector);
        game.concede(second, aboutOf(second));
        game.resolveVoid(second);
        vm.assertEq(stake.credits(copycat), game.game(second).bond + p.gameReward);
    }
}
