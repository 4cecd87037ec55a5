// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Batch, IInferenceLedger, ResponseStatus} from "../src/interfaces/IInferenceLedger.sol";
import {IModelRegistry} from "../src/interfaces/IModelRegistry.sol";
import {IProviderStake} from "../src/interfaces/IProviderStake.sol";
import {Scenario} from "./Scenario.sol";

contract PostBatchTest is Scenario {
    function test_posting_locks_stake_and_starts_the_window() external view {
        Batch memory posted = ledger.batch(batchId);
        vm.assertEq(posted.provider, provider);
        vm.assertEq(posted.modelId, modelId);
        vm.assertEq(posted.count, 3);
        vm.assertEq(posted.deadline, block.timestamp + p.challengeWindow);
        vm.assertEq(stake.account(provider).locked, 3 * p.lockPerResponse);
        vm.assertEq(ledger.batchOf(provider, SALT), batchId);
        expectStatus(ResponseStatus.Pending);
    }

    function test_status_beyond_the_batch_is_unknown() external view {
        vm.assertTrue(ledger.responseStatus(batchId, 3) == ResponseStatus.Unknown);
        vm.assertTrue(ledger.responseStatus(batchId + 1, 0) == ResponseStatus.Unknown);
    }

    function test_a_salt_is_used_once_per_provider() external {
        vm.startPrank(provider);
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.SaltUsed.selector, SALT));
        ledger.postBatch(provider, "root", SALT, modelId, 1);
        vm.stopPrank();
        vm.startPrank(stranger);
        stake.deposit{value: p.lockPerResponse + p.providerBond}();
        ledger.postBatch(stranger, "root", SALT, modelId, 1);
        vm.stopPrank();
    }

    function test_empty_batches_and_unknown_models_are_refused() external {
        vm.startPrank(provider);
        vm.expectRevert(IInferenceLedger.InvalidBatch.selector);
        ledger.postBatch(provider, "root", "s", modelId, 0);
        vm.expectRevert(IInferenceLedger.InvalidBatch.selector);
        ledger.postBatch(provider, bytes32(0), "s", modelId, 1);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelUnknown.selector, bytes32("none")));
        ledger.postBatch(provider, "root", "s", "none", 1);
        vm.stopPrank();
    }

    function test_without_stake_nothing_is_posted() external {
        vm.prank(stranger);
        vm.expectPartialRevert(IProviderStake.InsufficientStake.selector);
        ledger.postBatch(stranger, "root", "s", modelId, 1);
    }
}
