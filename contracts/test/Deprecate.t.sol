// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Outcome, Reason} from "../src/interfaces/IDisputeGame.sol";
import {IModelRegistry} from "../src/interfaces/IModelRegistry.sol";
import {Scenario} from "./Scenario.sol";

/// @notice A registrant's mark on its model, which stops nobody.
contract DeprecateTest is Scenario {
    function test_the_registrant_marks_its_model_once() external {
        vm.assertEq(registry.registrantOf(modelId), address(this));
        vm.assertFalse(registry.isDeprecated(modelId));
        vm.expectEmit(true, true, true, true, address(registry));
        emit IModelRegistry.ModelDeprecated(modelId, address(this));
        registry.deprecate(modelId);
        vm.assertTrue(registry.isDeprecated(modelId));
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.AlreadyDeprecated.selector, modelId));
        registry.deprecate(modelId);
    }

    function test_nobody_else_does_and_no_model_that_is_not_there() external {
        vm.prank(stranger);
        vm.expectRevert(
            abi.encodeWithSelector(IModelRegistry.NotRegistrant.selector, stranger, address(this))
        );
        registry.deprecate(modelId);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelUnknown.selector, bytes32("unknown")));
        registry.deprecate("unknown");
    }

    function test_attack_a_registrant_stops_the_business_of_others_with_its_mark() external {
        uint256 gameId = gameAtStepProof(5, 1);
        registry.deprecate(modelId);
        vm.assertTrue(registry.isRegistered(modelId));
        presetStep(5, 1);
        proveStep(gameId, stepProof(5, 1));
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Proven);
        batchId = post(response, "after the mark");
        uint256 later = open();
        vm.prank(provider);
        game.concede(later, aboutOf(later));
        expectOutcome(later, Outcome.ChallengerWon, Reason.Conceded);
    }
}
