// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Outcome, Reason} from "../src/interfaces/IDisputeGame.sol";
import {
    IInferenceLedger,
    ResponseFields,
    ResponseState,
    ResponseStatus
} from "../src/interfaces/IInferenceLedger.sol";
import {Response} from "./Responses.sol";
import {Scenario} from "./Scenario.sol";

/// @notice Looking at what a provider hides: by place alone, for the price of publishing it.
contract AskTest is Scenario {
    function askAs(address who, uint256 index) private {
        vm.prank(who);
        ledger.ask{value: p.askPrice}(batchId, index);
    }

    function show() private {
        bytes32[] memory path = batchPath();
        vm.prank(provider);
        ledger.show(batchId, TARGET, response.fields, path, response.promptIds, response.outputIds);
    }

    function deadline() private view returns (uint64) {
        return ledger.response(batchId, TARGET).showDeadline;
    }

    function test_what_is_shown_is_on_chain_for_everybody_and_pays_for_itself() external {
        uint256 window = ledger.batch(batchId).deadline;
        vm.warp(window);
        vm.expectEmit(true, true, true, true, address(ledger));
        emit IInferenceLedger.ResponseAsked(batchId, TARGET, stranger, uint64(window) + p.showWindow);
        askAs(stranger, TARGET);
        expectStatus(ResponseStatus.Disputed);
        vm.warp(deadline());
        bytes32[] memory path = batchPath();
        vm.expectEmit(true, true, true, true, address(ledger));
        emit IInferenceLedger.ResponseShown(
            batchId,
            TARGET,
            batchLeaves[TARGET],
            response.fields,
            path,
            response.promptIds,
            response.outputIds
        );
        show();
        vm.assertEq(stake.credits(provider), p.askPrice);
        expectStatus(ResponseStatus.Pending);
        // Whoever reads it has a whole window to dispute it, the asker or anybody else.
        ResponseState memory state = ledger.response(batchId, TARGET);
        vm.assertTrue(state.shown && state.asker == address(0));
        vm.assertEq(state.challengeDeadline, block.timestamp + p.challengeWindow);
        vm.warp(state.challengeDeadline);
        uint256 gameId = open();
        vm.prank(provider);
        game.concede(gameId, aboutOf(gameId));
        expectOutcome(gameId, Outcome.ChallengerWon, Reason.Conceded);
        expectSolvent();
    }

    function test_a_response_that_was_shown_and_not_disputed_becomes_final() external {
        askAs(challenger, TARGET);
        show();
        vm.warp(uint256(ledger.response(batchId, TARGET).challengeDeadline) + 1);
        expectStatus(ResponseStatus.Final);
        ledger.finaliseBatch(batchId);
        vm.assertEq(stake.account(provider).locked, p.lockPerResponse);
        ledger.finaliseResponse(batchId, TARGET);
        vm.assertEq(stake.account(provider).locked, 0);
        expectSolvent();
    }

    function test_attack_hiding_a_response_loses_it() external {
        askAs(challenger, TARGET);
        uint64 time = deadline();
        vm.warp(time);
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.ShowWindowOpen.selector, time));
        ledger.claimNotShown(batchId, TARGET);
        vm.warp(uint256(time) + 1);
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.ShowWindowClosed.selector, time));
        show();
        vm.prank(copycat); // the reward is the asker's, whoever calls
        ledger.claimNotShown(batchId, TARGET);
        expectStatus(ResponseStatus.Void);
        vm.assertEq(stake.credits(challenger), p.askPrice + p.gameReward);
        vm.assertEq(stake.credits(copycat), 0);
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.NobodyAsked.selector, batchId, TARGET));
        ledger.claimNotShown(batchId, TARGET);
        expectSolvent();
    }

    /// @dev The batch's root is over something that nobody knows, so nobody has a path: its place is enough.
    function test_attack_a_batch_of_which_nobody_knows_a_leaf() external {
        vm.prank(provider);
        batchId = ledger.postBatch(provider, keccak256("a secret"), "hidden", modelId, 3);
        askAs(stranger, TARGET);
        vm.warp(uint256(deadline()) + 1);
        ledger.claimNotShown(batchId, TARGET);
        expectStatus(ResponseStatus.Void);
        vm.assertEq(stake.credits(stranger), p.askPrice + p.gameReward);
    }

    function test_attack_showing_something_else() external {
        askAs(challenger, TARGET);
        bytes32[] memory path = batchPath();
        bytes memory wrong = response.outputIds;
        wrong[0] ^= 0x01;
        bytes memory longer = bytes.concat(response.outputIds, hex"00000000");
        vm.startPrank(provider);
        bytes4 wrongIds = IInferenceLedger.WrongTokenIds.selector;
        vm.expectPartialRevert(wrongIds);
        ledger.show(batchId, TARGET, response.fields, path, response.promptIds, wrong);
        vm.expectPartialRevert(wrongIds);
        ledger.show(batchId, TARGET, response.fields, path, response.promptIds, longer);
        vm.expectPartialRevert(wrongIds);
        ledger.show(batchId, TARGET, response.fields, path, "", response.outputIds);
        vm.expectPartialRevert(wrongIds);
        ledger.show(batchId, TARGET, response.fields, path, response.outputIds, response.promptIds);
        ResponseFields memory fields = response.fields;
        fields.outputHash = keccak256(wrong);
        vm.expectPartialRevert(IInferenceLedger.LeafNotInBatch.selector);
        ledger.show(batchId, TARGET, fields, path, response.promptIds, wrong);
        Response memory neighbour = makeResponse(3, 4, 4);
        vm.expectPartialRevert(IInferenceLedger.LeafNotInBatch.selector);
        ledger.show(batchId, TARGET, neighbour.fields, path, neighbour.promptIds, neighbour.outputIds);
        vm.expectPartialRevert(IInferenceLedger.NobodyAsked.selector);
        ledger.show(batchId, 0, neighbour.fields, path, neighbour.promptIds, neighbour.outputIds);
        vm.stopPrank();
        show();
    }

    /// @dev The leaf says one prompt id more than its hash is of: nothing can be shown, so the response is lost.
    function test_attack_lengths_that_are_not_the_ids_lengths() external {
        response.fields.promptLength += 1;
        batchId = post(response, "length");
        askAs(challenger, TARGET);
        bytes32[] memory path = batchPath();
        vm.prank(provider);
        vm.expectPartialRevert(IInferenceLedger.WrongTokenIds.selector);
        ledger.show(batchId, TARGET, response.fields, path, response.promptIds, response.outputIds);
        vm.warp(uint256(deadline()) + 1);
        ledger.claimNotShown(batchId, TARGET);
        expectStatus(ResponseStatus.Void);
        vm.assertEq(stake.credits(challenger), p.askPrice + p.gameReward);
    }

    function test_asking_costs_its_price_once_and_only_while_the_response_can_be_disputed() external {
        vm.startPrank(challenger);
        vm.expectPartialRevert(IInferenceLedger.WrongAmount.selector);
        ledger.ask{value: p.askPrice - 1}(batchId, TARGET);
        vm.expectPartialRevert(IInferenceLedger.IndexOutOfRange.selector);
        ledger.ask{value: p.askPrice}(batchId, 3);
        vm.expectPartialRevert(IInferenceLedger.BatchUnknown.selector);
        ledger.ask{value: p.askPrice}(batchId + 1, 0);
        ledger.ask{value: p.askPrice}(batchId, TARGET);
        vm.expectPartialRevert(IInferenceLedger.AlreadyAsked.selector);
        ledger.ask{value: p.askPrice}(batchId, TARGET);
        vm.stopPrank();
        show();
        vm.startPrank(challenger);
        vm.expectPartialRevert(IInferenceLedger.AlreadyShown.selector);
        ledger.ask{value: p.askPrice}(batchId, TARGET);
        vm.warp(uint256(ledger.batch(batchId).deadline) + 1);
        vm.expectPartialRevert(IInferenceLedger.ChallengeWindowClosed.selector);
        ledger.ask{value: p.askPrice}(batchId, 0);
        vm.stopPrank();
        vm.prank(provider);
        vm.expectPartialRevert(IInferenceLedger.ProviderCannotChallenge.selector);
        ledger.ask{value: p.askPrice}(batchId, 0);
    }

    /// @dev A game voids the response first: there is nothing to show any more. The price goes back, and whoever asked is
    ///      paid like an open game: else a provider that cannot show it would concede to a friend in the last second.
    function test_who_asked_is_paid_when_a_game_voids_the_response() external {
        askAs(stranger, TARGET);
        uint256 gameId = open();
        vm.prank(provider);
        game.concede(gameId, aboutOf(gameId));
        expectStatus(ResponseStatus.Void);
        bytes32[] memory path = batchPath();
        vm.expectPartialRevert(IInferenceLedger.ResponseIsVoid.selector);
        ledger.show(batchId, TARGET, response.fields, path, response.promptIds, response.outputIds);
        vm.expectPartialRevert(IInferenceLedger.NobodyAsked.selector);
        ledger.claimNotShown(batchId, TARGET);
        vm.assertEq(stake.credits(stranger), p.askPrice + p.gameReward);
        vm.assertEq(stake.credits(challenger), p.challengerBond + p.gameReward);
        vm.assertEq(ledger.rewardPot(batchId, TARGET).placesLeft, p.maxGamesPerResponse - 2);
        vm.assertEq(stake.account(provider).locked, 2 * p.lockPerResponse);
        expectSolvent();
    }

    /// @dev And the other way round: games on a response that was not shown get their bonds back.
    function test_games_on_a_response_that_was_not_shown_are_paid() external {
        uint256 gameId = open();
        askAs(stranger, TARGET);
        vm.warp(uint256(deadline()) + 1);
        ledger.claimNotShown(batchId, TARGET);
        game.resolveVoid(gameId);
        expectOutcome(gameId, Outcome.ResponseVoided, Reason.VoidedElsewhere);
        vm.assertEq(stake.credits(challenger), p.challengerBond + p.gameReward);
        vm.assertEq(stake.credits(stranger), p.askPrice + p.gameReward);
        expectSolvent();
    }

    /// @dev Nobody but the provider earns by asking, so asking for everything is a present to it.
    function test_attack_asking_for_everything_pays_the_provider() external {
        for (uint256 index = 0; index < 3; ++index) {
            askAs(copycat, index);
        }
        show();
        vm.assertEq(stake.credits(provider), p.askPrice);
        vm.assertEq(stake.credits(copycat), 0);
    }
}
