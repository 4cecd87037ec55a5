// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Receipt} from "../src/interfaces/IReceipts.sol";
import {Scenario} from "./Scenario.sol";

/// @notice The least amount that is not nothing is treated like every other one.
contract OneWeiTest is Scenario {
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
        uint256 key = 0x51;
        vm.prank(provider);
        stake.registerSigner(vm.addr(key), 1);
        Receipt memory receipt = makeReceipt(response, "never posted", TARGET);
        receipt.signer = vm.addr(key);
        bytes memory signature = sign(receipt, key);
        vm.warp(receipt.postingDeadline + 1);
        vm.prank(requester);
        receipts.claimUnposted{value: p.receiptClaimBond}(receipt, signature);
        vm.assertEq(stake.account(provider).total, 20 ether - 1);
        vm.assertEq(stake.totalBurned(), 1); // two fifths of it, rounded down, are the claimant's
        vm.assertEq(stake.credits(requester), p.receiptClaimBond);
        expectSolvent();
    }
}
