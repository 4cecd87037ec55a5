// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Game, IDisputeGame, Phase} from "../src/interfaces/IDisputeGame.sol";
import {ProtocolParameters} from "../src/libraries/Parameters.sol";
import {Scenario} from "./Scenario.sol";

/// @notice What a turn lasts when the mover's clock is too short to matter, and what a game says of itself.
contract TurnsTest is Scenario {
    function _parameters() internal pure override returns (ProtocolParameters memory made) {
        made = super._parameters();
        made.clock = 1;
        made.proveExtension = 70;
    }

    function expectTurn(uint256 gameId, Phase phase, uint64 extension) private view {
        expectPhase(gameId, phase);
        vm.assertEq(game.game(gameId).deadline, block.timestamp + extension, "length of the turn");
    }

    function test_only_the_first_round_leaves_time_for_the_whole_trace() external {
        uint256 gameId = open();
        expectTurn(gameId, Phase.AwaitBoundaries, p.traceExtension);
        postBoundaries(gameId, 5, 1);
        expectTurn(gameId, Phase.AwaitChallenge, p.traceExtension);
        challengeStep(gameId, 4);
        expectTurn(gameId, Phase.AwaitBoundaries, p.moveExtension);
        postBoundaries(gameId, 5, 1);
        expectTurn(gameId, Phase.AwaitChallenge, p.moveExtension);
    }

    function test_a_proof_has_its_own_time() external {
        uint256 gameId = open();
        postBoundaries(gameId, NEVER, 0);
        challengeInput(gameId);
        expectTurn(gameId, Phase.AwaitProof, p.proveExtension);
    }

    function test_a_game_about_a_token_has_no_range_to_cut() external {
        uint256 gameId = open();
        postBoundaries(gameId, NEVER, 0);
        challengeHead(gameId, 40, 0);
        Game memory g = game.game(gameId);
        vm.assertEq(g.rangeStart, g.rangeEnd);
    }

    function test_an_unknown_game_has_no_views() external {
        bytes memory unknown = abi.encodeWithSelector(IDisputeGame.GameUnknown.selector, 7);
        vm.expectRevert(unknown);
        game.game(7);
    }
}
