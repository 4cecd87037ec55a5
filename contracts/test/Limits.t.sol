// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Receipt} from "../src/interfaces/IInferenceLedger.sol";
import {IProviderStake} from "../src/interfaces/IProviderStake.sol";
import {Boundary} from "../src/libraries/Boundary.sol";
import {Scenario} from "./Scenario.sol";

/// @notice First and last of what is checked one by one, and the exact ends of what is timed.
contract LimitsTest is Scenario {
    function test_the_largest_coordinate_is_accepted() external {
        uint256 gameId = open();
        bytes32[] memory hashes = dueHashes(gameId, NEVER, 0);
        uint256[] memory all = points(0, NEVER, 0);
        all[0] = Boundary.Q - 1;
        hashes[0] = keccak256(abi.encodePacked(all));
        vm.prank(provider);
        game.postBoundaries(gameId, hashes);
        challengeInput(gameId);
        vm.prank(provider);
        game.revealWindows(gameId, all, new uint256[](0));
    }

    function test_a_claim_on_a_posted_receipt_leaves_time_to_answer() external {
        Receipt memory receipt = makeReceipt(response, SALT, TARGET);
        bytes memory signature = sign(receipt, PROVIDER_KEY);
        vm.warp(receipt.postingDeadline + 1);
        vm.prank(requester);
        bytes32 id = ledger.claimUnposted{value: p.receiptClaimBond}(receipt, signature);
        vm.assertEq(ledger.receiptClaim(id).answerDeadline, block.timestamp + p.receiptAnswerWindow);
    }

    function test_the_vault_takes_contracts_of_any_size_only() external {
        vm.etch(address(0xC0DE), hex"00");
        IProviderStake fresh = IProviderStake(vm.deployCode("ProviderStake.sol:ProviderStake", abi.encode(p)));
        vm.expectRevert(abi.encodeWithSelector(IProviderStake.NotAContract.selector, stranger));
        fresh.initialise(stranger, address(0xC0DE));
        vm.expectRevert(abi.encodeWithSelector(IProviderStake.NotAContract.selector, stranger));
        fresh.initialise(address(0xC0DE), stranger);
        fresh.initialise(address(0xC0DE), address(0xC0DE));
        vm.assertEq(fresh.game(), address(0xC0DE));
    }
}
