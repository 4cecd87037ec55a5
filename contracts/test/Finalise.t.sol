// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IInferenceLedger, ResponseStatus} from "../src/interfaces/IInferenceLedger.sol";
import {Scenario} from "./Scenario.sol";

contract FinaliseTest is Scenario {
    function test_undisputed_responses_are_final_one_second_after_the_deadline() external {
        uint64 deadline = ledger.batch(batchId).deadline;
        for (uint256 i = 0; i < 2; ++i) {
            vm.warp(deadline - 1 + i); // t - 1, t
            expectStatus(ResponseStatus.Pending);
            vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.ChallengeWindowOpen.selector, deadline));
            ledger.finaliseBatch(batchId);
        }
        vm.warp(deadline + 1);
        expectStatus(ResponseStatus.Final);
        ledger.finaliseBatch(batchId);
        vm.assertEq(stake.account(provider).locked, 0);
        vm.expectRevert(IInferenceLedger.AlreadyFinalised.selector);
        ledger.finaliseBatch(batchId);
    }

    function test_a_disputed_response_keeps_its_lock_until_it_is_final() external {
        uint256 gameId = open();
        vm.warp(ledger.batch(batchId).deadline + 1);
        ledger.finaliseBatch(batchId);
        vm.assertEq(stake.account(provider).locked, p.lockPerResponse);
        expectStatus(ResponseStatus.Disputed);
        vm.expectPartialRevert(IInferenceLedger.ResponseNotFinal.selector);
        ledger.finaliseResponse(batchId, TARGET);
        vm.prank(challenger);
        game.concede(gameId, aboutOf(gameId));
        expectStatus(ResponseStatus.Final);
        ledger.finaliseResponse(batchId, TARGET);
        vm.assertEq(stake.account(provider).locked, 0);
        vm.expectRevert(IInferenceLedger.AlreadyFinalised.selector);
        ledger.finaliseResponse(batchId, TARGET);
        expectSolvent();
    }

    function test_one_lost_challenge_does_not_finalise_a_response() external {
        uint256 gameId = open();
        vm.prank(challenger);
        game.concede(gameId, aboutOf(gameId));
        expectStatus(ResponseStatus.Pending);
        vm.expectPartialRevert(IInferenceLedger.ResponseNotFinal.selector);
        ledger.finaliseResponse(batchId, TARGET);
        openAs(copycat);
        expectStatus(ResponseStatus.Disputed);
    }

    function test_a_response_without_games_is_not_finalised_alone() external {
        vm.warp(ledger.batch(batchId).deadline + 1);
        vm.expectPartialRevert(IInferenceLedger.ResponseNotDisputed.selector);
        ledger.finaliseResponse(batchId, TARGET);
        vm.expectPartialRevert(IInferenceLedger.BatchUnknown.selector);
        ledger.finaliseBatch(99);
    }

    function test_a_void_response_is_never_finalised() external {
        uint256 gameId = open();
        vm.prank(provider);
        game.concede(gameId, aboutOf(gameId));
        vm.warp(ledger.batch(batchId).deadline + 1);
        expectStatus(ResponseStatus.Void);
        vm.expectPartialRevert(IInferenceLedger.ResponseNotFinal.selector);
        ledger.finaliseResponse(batchId, TARGET);
        ledger.finaliseBatch(batchId);
        vm.assertEq(stake.account(provider).locked, 0);
        expectSolvent();
    }

    function test_only_the_game_reports_games() external {
        bytes32[] memory path = batchPath();
        vm.expectPartialRevert(IInferenceLedger.NotGame.selector);
        ledger.beginGame(batchId, TARGET, response.fields, path, stranger, "");
        vm.expectPartialRevert(IInferenceLedger.NotGame.selector);
        ledger.endGame(batchId, TARGET, true, stranger);
    }
}
