// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IDisputeGame, Outcome, Reason} from "../src/interfaces/IDisputeGame.sol";
import {Scenario} from "./Scenario.sol";
import {Vm} from "./Vm.sol";

/// @notice Whom the event of a resolved game names: bots and the explorer go by it.
contract WinnersTest is Scenario {
    function expectWinner(uint256 gameId, Outcome outcome, Reason reason, address winner) private {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        uint256 found = 0;
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] != IDisputeGame.GameResolved.selector) continue;
            found += 1;
            vm.assertEq(logs[i].topics[1], bytes32(gameId));
            vm.assertEq(keccak256(logs[i].data), keccak256(abi.encode(outcome, reason, winner)));
        }
        vm.assertEq(found, 1);
    }

    function test_whoever_does_not_concede_wins() external {
        uint256 first = open();
        uint256 second = openAs(copycat);
        vm.recordLogs();
        vm.prank(challenger);
        game.concede(first, aboutOf(first));
        expectWinner(first, Outcome.ProviderWon, Reason.Conceded, provider);
        vm.recordLogs();
        vm.prank(provider);
        game.concede(second, aboutOf(second));
        expectWinner(second, Outcome.ChallengerWon, Reason.Conceded, copycat);
    }

    function test_nobody_wins_when_the_response_is_void_already() external {
        uint256 first = open();
        uint256 second = openAs(copycat);
        vm.prank(provider);
        game.concede(first, aboutOf(first));
        vm.recordLogs();
        game.resolveVoid(second);
        expectWinner(second, Outcome.ResponseVoided, Reason.VoidedElsewhere, address(0));
    }
}
