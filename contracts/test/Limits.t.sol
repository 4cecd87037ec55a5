// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IProviderStake} from "../src/interfaces/IProviderStake.sol";
import {Receipt} from "../src/interfaces/IReceipts.sol";
import {Curve} from "../src/libraries/Curve.sol";
import {Merkle} from "./Merkle.sol";
import {Scenario} from "./Scenario.sol";

/// @notice First and last of what is checked one by one, and the exact ends of what is timed.
contract LimitsTest is Scenario {
    /// @dev The base field of BN254, as EIP-197 writes it.
    uint256 private constant Q =
        21888242871839275222246405745257275088696311157297823662689037894645226208583;

    /// @dev A game that waits for the preimage of an input with this coordinate.
    function gameAtCoordinate(uint256 coordinate)
        private
        returns (uint256 gameId, bytes32[] memory all, uint256[][] memory shown)
    {
        gameId = open();
        bytes32[] memory hashes = dueHashes(gameId, NEVER, 0);
        shown = shownInput();
        shown[0][0] = coordinate;
        all = new bytes32[](STREAMS);
        all[0] = Merkle.root(leavesOf(shown[0]));
        hashes[0] = keccak256(abi.encodePacked(all));
        postHashes(gameId, hashes);
        challengeInput(gameId);
    }

    function test_the_largest_coordinate_is_accepted() external {
        (uint256 gameId, bytes32[] memory all, uint256[][] memory shown) = gameAtCoordinate(Q - 1);
        vm.prank(provider);
        game.revealWindows(gameId, 0, all, new bytes32[](0), shown);
    }

    function test_the_order_of_the_field_is_no_coordinate() external {
        (uint256 gameId, bytes32[] memory all, uint256[][] memory shown) = gameAtCoordinate(Q);
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(Curve.CoordinateOutOfRange.selector, Q));
        game.revealWindows(gameId, 0, all, new bytes32[](0), shown);
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
        address code = address(0xC0DE);
        vm.etch(code, hex"00");
        IProviderStake fresh = IProviderStake(vm.deployCode("ProviderStake.sol:ProviderStake", abi.encode(p)));
        vm.expectRevert(abi.encodeWithSelector(IProviderStake.NotAContract.selector, stranger));
        fresh.initialise(stranger, code, code, code);
        vm.expectRevert(abi.encodeWithSelector(IProviderStake.NotAContract.selector, stranger));
        fresh.initialise(code, stranger, code, code);
        vm.expectRevert(abi.encodeWithSelector(IProviderStake.NotAContract.selector, stranger));
        fresh.initialise(code, code, stranger, code);
        vm.expectRevert(abi.encodeWithSelector(IProviderStake.NotAContract.selector, stranger));
        fresh.initialise(code, code, code, stranger);
        fresh.initialise(code, code, code, code);
        vm.assertEq(fresh.game(), code);
    }
}
