// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {StakeAccount} from "../src/interfaces/IProviderStake.sol";
import {Scenario} from "./Scenario.sol";

/// @notice An exit that is over leaves nothing behind.
contract ExitsTest is Scenario {
    function expectNoExit(uint256 total) private view {
        StakeAccount memory account = stake.account(provider);
        vm.assertEq(account.total, total);
        vm.assertEq(account.exiting, 0);
        vm.assertEq(account.exitAvailableAt, 0);
        vm.assertEq(stake.freeStake(provider), total - account.locked - p.providerBond);
    }

    function test_after_a_completed_exit_all_unlocked_stake_is_free_again() external {
        vm.startPrank(provider);
        stake.requestExit(10 ether);
        vm.warp(stake.account(provider).exitAvailableAt);
        stake.completeExit();
        vm.stopPrank();
        expectNoExit(10 ether);
        vm.assertEq(stake.totalStake(), 10 ether);
    }

    function test_after_a_cancelled_exit_all_unlocked_stake_is_free_again() external {
        vm.startPrank(provider);
        stake.requestExit(10 ether);
        stake.cancelExit();
        vm.stopPrank();
        expectNoExit(20 ether);
    }

    function test_attack_complete_an_exit_twice() external {
        vm.startPrank(provider);
        stake.requestExit(5 ether);
        vm.warp(stake.account(provider).exitAvailableAt);
        stake.completeExit();
        vm.expectRevert();
        stake.completeExit();
        vm.stopPrank();
        vm.assertEq(stake.credits(provider), 5 ether);
    }
}
