// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IDisputeGame, Outcome, Reason} from "../src/interfaces/IDisputeGame.sol";
import {ResponseStatus} from "../src/interfaces/IInferenceLedger.sol";
import {IModelRegistry} from "../src/interfaces/IModelRegistry.sol";
import {Scenario} from "./Scenario.sol";

contract ClaimTruncatedTest is Scenario {
    /// @dev The output of 30 ids with a limit of 31; its last id is replaced.
    function short(uint256 lastId, bytes32 salt) private {
        response = makeResponse(40, 30, 31);
        bytes4 last = bytes4(uint32(lastId));
        for (uint256 i = 0; i < 4; ++i) {
            response.outputIds[116 + i] = last[i];
        }
        response.fields.outputHash = keccak256(response.outputIds);
        batchId = post(response, salt);
    }

    function claim(uint256 gameId) private {
        vm.prank(challenger);
        game.claimTruncated(gameId, response.fields.promptHash, response.outputIds, endTokens());
    }

    function test_attack_answer_cut_short() external {
        short(14, "cut");
        uint256 gameId = open();
        claim(gameId);
        expectOutcome(gameId, Outcome.ChallengerWon, Reason.Truncated);
        expectStatus(ResponseStatus.Void);
        vm.assertEq(stake.credits(challenger), p.challengerBond + p.gameReward);
        expectSolvent();
    }

    function test_a_short_answer_may_end_with_an_end_token() external {
        short(END_TOKEN, "ended");
        uint256 gameId = open();
        vm.prank(challenger);
        vm.expectRevert(IDisputeGame.NotTruncated.selector);
        game.claimTruncated(gameId, response.fields.promptHash, response.outputIds, endTokens());
    }

    function test_a_full_answer_may_end_with_anything() external {
        uint256 gameId = open();
        vm.prank(challenger);
        vm.expectRevert(IDisputeGame.NotTruncated.selector);
        game.claimTruncated(gameId, response.fields.promptHash, response.outputIds, endTokens());
    }

    function test_attack_claim_with_other_ids_or_other_end_tokens() external {
        short(END_TOKEN, "ended");
        uint256 gameId = open();
        bytes memory wrong = response.outputIds;
        wrong[119] ^= 0x01;
        vm.startPrank(challenger);
        vm.expectRevert(IDisputeGame.WrongTokenIds.selector);
        game.claimTruncated(gameId, response.fields.promptHash, wrong, endTokens());
        vm.expectRevert(IDisputeGame.WrongTokenIds.selector);
        game.claimTruncated(gameId, response.fields.outputHash, response.outputIds, endTokens());
        vm.expectRevert(IDisputeGame.WrongTokenIds.selector);
        game.claimTruncated(gameId, response.fields.outputHash, response.promptIds, endTokens());
        vm.expectRevert(IModelRegistry.WrongEndTokens.selector);
        game.claimTruncated(gameId, response.fields.promptHash, response.outputIds, new uint256[](0));
        vm.stopPrank();
    }

    function test_attack_stealing_the_claim() external {
        short(14, "cut");
        uint256 gameId = open();
        vm.prank(copycat);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.NotPlayer.selector, copycat));
        game.claimTruncated(gameId, response.fields.promptHash, response.outputIds, endTokens());
    }

    function test_it_works_in_any_phase_until_the_challengers_own_time_is_over() external {
        short(14, "cut");
        uint256 gameId = open();
        uint256 start = vm.snapshotState();
        letTimePass(gameId); // the provider's time
        claim(gameId);
        expectOutcome(gameId, Outcome.ChallengerWon, Reason.Truncated);
        vm.revertToState(start);
        postBoundaries(gameId, NEVER, 0);
        uint64 deadline = game.game(gameId).deadline;
        vm.warp(deadline + 1); // the challenger's time
        vm.prank(challenger);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.TurnOver.selector, deadline));
        game.claimTruncated(gameId, response.fields.promptHash, response.outputIds, endTokens());
        vm.warp(deadline);
        claim(gameId);
        expectOutcome(gameId, Outcome.ChallengerWon, Reason.Truncated);
    }

    function test_a_resolved_game_takes_no_claim() external {
        short(14, "cut");
        uint256 gameId = open();
        claim(gameId);
        vm.prank(challenger);
        vm.expectPartialRevert(IDisputeGame.WrongPhase.selector);
        game.claimTruncated(gameId, response.fields.promptHash, response.outputIds, endTokens());
    }
}
