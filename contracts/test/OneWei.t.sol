// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Receipt} from "../src/interfaces/IInferenceLedger.sol";
import {Scenario} from "./Scenario.sol";

/// @notice The least amount that is not nothing is treated like every other one.
contract OneWeiTest is Scenario {
    function leaveFree(uint256 amount) private {
        uint256 free = stake.freeStake(provider);
        vm.startPrank(provider);
        stake.requestExit(free - amount);
        vm.warp(stake.account(provider).exitAvailableAt);
        stake.completeExit();
        vm.stopPrank();
        vm.assertEq(stake.freeStake(provider), amount);
    }

    function claimUnposted(Receipt memory receipt) private returns (bytes32 id) {
        bytes memory signature = sign(receipt, PROVIDER_KEY);
        vm.warp(receipt.postingDeadline + 1);
        vm.prank(requester);
        id = ledger.claimUnposted{value: p.receiptClaimBond}(receipt, signature);
    }

    function test_a_stake_of_one_wei_comes_and_goes() external {
        vm.deal(stranger, 1);
        vm.startPrank(stranger);
        stake.deposit{value: 1}();
        stake.requestExit(1);
        vm.warp(stake.account(stranger).exitAvailableAt);
        stake.completeExit();
        stake.withdraw();
        vm.stopPrank();
        vm.assertEq(stranger.balance, 1);
        expectSolvent();
    }

    function test_a_penalty_of_one_wei_is_slashed() external {
        leaveFree(1);
        uint256 locked = stake.account(provider).locked;
        claimUnposted(makeReceipt(response, "never posted", TARGET));
        vm.assertEq(stake.account(provider).total, locked);
        vm.assertEq(stake.account(provider).locked, locked);
        vm.assertEq(stake.totalBurned(), 1); // half of it, rounded down, is the claimant's
        vm.assertEq(stake.credits(requester), p.receiptClaimBond);
        expectSolvent();
    }

    function test_a_penalty_of_one_wei_is_released() external {
        leaveFree(1);
        bytes32 id = claimUnposted(makeReceipt(response, SALT, TARGET));
        vm.assertEq(stake.freeStake(provider), 0);
        ledger.answerClaim(id, batchPath());
        vm.assertEq(stake.freeStake(provider), 1);
        expectSolvent();
    }
}
