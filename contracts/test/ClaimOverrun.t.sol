// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IDisputeGame, Outcome, Reason} from "../src/interfaces/IDisputeGame.sol";
import {ResponseStatus} from "../src/interfaces/IInferenceLedger.sol";
import {IModelRegistry} from "../src/interfaces/IModelRegistry.sol";
import {Scenario} from "./Scenario.sol";

contract ClaimOverrunTest is Scenario {
    uint256 private constant LENGTH = 30;

    /// @dev A full output whose id at `place` is an end token, in a game of its own.
    function ending(uint256 place, bytes32 salt) private returns (uint256 gameId) {
        response = makeResponse(40, LENGTH, LENGTH);
        bytes4 end = bytes4(uint32(END_TOKEN));
        for (uint256 i = 0; i < 4; ++i) {
            response.outputIds[4 * place + i] = end[i];
        }
        response.fields.outputHash = keccak256(response.outputIds);
        batchId = post(response, salt);
        return open();
    }

    function claim(uint256 gameId, uint256 place) private {
        vm.prank(challenger);
        game.claimOverrun(gameId, response.fields.promptHash, response.outputIds, endTokens(), place);
    }

    function test_attack_answer_that_runs_on_behind_an_end_token() external {
        uint256[3] memory places = [uint256(0), 7, LENGTH - 2];
        for (uint256 i = 0; i < 3; ++i) {
            uint256 gameId = ending(places[i], bytes32(1 + i));
            claim(gameId, places[i]);
            expectOutcome(gameId, Outcome.ChallengerWon, Reason.Overrun);
            expectStatus(ResponseStatus.Void);
        }
        vm.assertEq(stake.credits(challenger), 3 * (p.challengerBond + p.gameReward));
        expectSolvent();
    }

    function test_an_answer_may_end_with_an_end_token() external {
        uint256 gameId = ending(LENGTH - 1, "ends");
        vm.expectRevert(IDisputeGame.NotOverrun.selector);
        claim(gameId, LENGTH - 1);
    }

    function test_attack_claim_at_a_place_without_an_end_token() external {
        uint256 gameId = ending(7, "runs on");
        uint256[5] memory places = [uint256(6), 8, LENGTH - 1, LENGTH, type(uint256).max];
        for (uint256 i = 0; i < 5; ++i) {
            vm.expectRevert(IDisputeGame.NotOverrun.selector);
            claim(gameId, places[i]);
        }
    }

    function test_attack_claim_an_overrun_with_other_ids_or_other_end_tokens() external {
        uint256 gameId = ending(LENGTH - 1, "ends");
        bytes memory wrong = response.outputIds;
        uint256[] memory wider = new uint256[](2);
        (wider[0], wider[1]) = (outputToken(3), END_TOKEN);
        wrong[119] ^= 0x01;
        vm.startPrank(challenger);
        vm.expectRevert(IDisputeGame.WrongTokenIds.selector);
        game.claimOverrun(gameId, response.fields.promptHash, wrong, endTokens(), 3);
        vm.expectRevert(IDisputeGame.WrongTokenIds.selector);
        game.claimOverrun(gameId, response.fields.outputHash, response.outputIds, endTokens(), 3);
        vm.expectRevert(IDisputeGame.WrongTokenIds.selector);
        game.claimOverrun(gameId, response.fields.outputHash, response.promptIds, endTokens(), 3);
        vm.expectRevert(IModelRegistry.WrongEndTokens.selector);
        game.claimOverrun(gameId, response.fields.promptHash, response.outputIds, wider, 3);
        vm.stopPrank();
    }

    function test_attack_stealing_the_claim_of_an_overrun() external {
        uint256 gameId = ending(7, "runs on");
        vm.prank(copycat);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.NotPlayer.selector, copycat));
        game.claimOverrun(gameId, response.fields.promptHash, response.outputIds, endTokens(), 7);
    }
}
