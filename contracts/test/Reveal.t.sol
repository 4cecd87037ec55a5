// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IDisputeGame, Outcome, Phase, Reason} from "../src/interfaces/IDisputeGame.sol";
import {Scenario} from "./Scenario.sol";

contract RevealTest is Scenario {
    uint256 private gameId;

    function setUp() public override {
        super.setUp();
        gameId = openAs(challenger, true);
    }

    function reveal(bytes memory promptIds, bytes memory outputIds) private {
        vm.prank(provider);
        game.reveal(gameId, promptIds, outputIds);
    }

    function test_the_ids_come_out_in_an_event_and_the_game_goes_on() external {
        expectPhase(gameId, Phase.AwaitReveal);
        vm.expectEmit(true, true, true, true, address(game));
        emit IDisputeGame.TokensRevealed(gameId, response.promptIds, response.outputIds);
        reveal(response.promptIds, response.outputIds);
        expectPhase(gameId, Phase.AwaitBoundaries);
    }

    function test_attack_reveal_other_ids() external {
        bytes memory wrong = response.promptIds;
        wrong[3] ^= 0x01;
        vm.prank(provider);
        vm.expectRevert(IDisputeGame.WrongTokenIds.selector);
        game.reveal(gameId, wrong, response.outputIds);
        wrong = response.outputIds;
        wrong[3] ^= 0x01;
        vm.prank(provider);
        vm.expectRevert(IDisputeGame.WrongTokenIds.selector);
        game.reveal(gameId, response.promptIds, wrong);
        vm.prank(provider);
        vm.expectRevert(IDisputeGame.WrongTokenIds.selector);
        game.reveal(gameId, response.outputIds, response.promptIds);
        vm.prank(provider);
        vm.expectRevert(IDisputeGame.WrongTokenIds.selector);
        game.reveal(gameId, "", "");
    }

    function test_attack_data_withholding() external {
        letTimePass(gameId);
        vm.prank(provider);
        vm.expectPartialRevert(IDisputeGame.TurnOver.selector);
        game.reveal(gameId, response.promptIds, response.outputIds);
        game.timeout(gameId);
        expectOutcome(gameId, Outcome.ChallengerWon, Reason.TimedOut);
        vm.assertEq(stake.credits(challenger), p.challengerBond + p.lockPerResponse / 2);
    }

    function test_attack_lengths_that_are_not_the_ids_lengths() external {
        // The leaf says 41 prompt ids, but the hash is of 40: nothing can be revealed.
        response.fields.promptLength += 1;
        batchId = post(response, "length");
        gameId = openAs(challenger, true);
        vm.prank(provider);
        vm.expectRevert(IDisputeGame.WrongTokenIds.selector);
        game.reveal(gameId, response.promptIds, response.outputIds);
    }

    function test_only_the_provider_and_only_when_asked() external {
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.NotMover.selector, stranger, provider));
        game.reveal(gameId, response.promptIds, response.outputIds);
        uint256 other = openAs(copycat, false);
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.WrongPhase.selector, Phase.AwaitBoundaries));
        game.reveal(other, response.promptIds, response.outputIds);
    }
}
