// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IDisputeGame} from "../src/interfaces/IDisputeGame.sol";
import {IProviderStake} from "../src/interfaces/IProviderStake.sol";
import {Receipt} from "../src/interfaces/IReceipts.sol";
import {Scenario} from "./Scenario.sol";

/// @notice First and last of what is checked one by one, and the exact ends of what is timed.
contract LimitsTest is Scenario {
    /// @dev The base field of BN254, as EIP-197 writes it.
    uint256 private constant Q =
        21888242871839275222246405745257275088696311157297823662689037894645226208583;

    /// @dev A game that waits for the preimage of a boundary with this coordinate.
    function gameAtCoordinate(uint256 coordinate) private returns (uint256 gameId, uint256[] memory all) {
        gameId = open();
        bytes32[] memory hashes = dueHashes(gameId, NEVER, 0);
        all = points(0, NEVER, 0);
        all[0] = coordinate;
        hashes[0] = keccak256(abi.encodePacked(all));
        vm.prank(provider);
        game.postBoundaries(gameId, hashes);
        challengeInput(gameId);
    }

    function test_the_largest_coordinate_is_accepted() external {
        (uint256 gameId, uint256[] memory all) = gameAtCoordinate(Q - 1);
        vm.prank(provider);
        game.revealWindows(gameId, all, new uint256[](0));
    }

    function test_the_order_of_the_field_is_no_coordinate() external {
        (uint256 gameId, uint256[] memory all) = gameAtCoordinate(Q);
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.CoordinateOutOfRange.selector, Q));
        game.revealWindows(gameId, all, new uint256[](0));
    }

    function test_a_claim_on_a_posted_receipt_leaves_time_to_answer() external {
        Receipt memory receipt = makeReceipt(response, SALT, TARGET);
        bytes memory signature = sign(receipt, PROVIDER_KEY);
        vm.warp(receipt.postingDeadline + 1);
        vm.prank(requester);
        bytes32 id = receipts.claimUnposted{value: p.receiptClaimBond}(receipt, signature);
        vm.assertEq(receipts.receiptClaim(id).answerDeadline, block.timestamp + p.receiptAnswerWindow);
    }

    function test_the_vault_takes_contracts_of_any_size_only() external {
        vm.etch(address(0xC0DE), hex"00");
        IProviderStake fresh = IProviderStake(vm.deployCode("ProviderStake.sol:ProviderStake", abi.encode(p)));
        vm.expectRevert(abi.encodeWithSelector(IProviderStake.NotAContract.selector, stranger));
        fresh.initialise(stranger, address(0xC0DE), address(0xC0DE));
        vm.expectRevert(abi.encodeWithSelector(IProviderStake.NotAContract.selector, stranger));
        fresh.initialise(address(0xC0DE), stranger, address(0xC0DE));
        vm.expectRevert(abi.encodeWithSelector(IProviderStake.NotAContract.selector, stranger));
        fresh.initialise(address(0xC0DE), address(0xC0DE), stranger);
        fresh.initialise(address(0xC0DE), address(0xC0DE), address(0xC0DE));
        vm.assertEq(fresh.game(), address(0xC0DE));
    }
}
