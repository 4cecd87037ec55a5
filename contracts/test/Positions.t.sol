// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IInferenceLedger} from "../src/interfaces/IInferenceLedger.sol";
import {Receipt} from "../src/interfaces/IReceipts.sol";
import {Merkle} from "./Merkle.sol";
import {Response} from "./Responses.sol";
import {Scenario} from "./Scenario.sol";

/// @notice A batch has one leaf per index, so one lock backs one answer.
contract PositionsTest is Scenario {
    bytes32 private constant ONE = "a batch of one";

    /// @dev Answers that differ in their outputs, all signed for index 0 of one batch.
    function answer(uint256 which) private pure returns (Response memory) {
        return makeResponse(40, 1 + which, 70);
    }

    function receiptOf(uint256 which) private view returns (Receipt memory) {
        return makeReceipt(answer(which), ONE, 0);
    }

    function leafOf(uint256 which) private view returns (bytes32) {
        return ledger.responseLeaf(provider, modelId, ONE, 0, answer(which).fields);
    }

    function test_attack_many_answers_on_one_lock() external {
        uint256 count = 64;
        bytes32[] memory leaves = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            leaves[i] = leafOf(i);
        }
        vm.prank(provider);
        uint256 id = ledger.postBatch(provider, Merkle.root(leaves), ONE, modelId, 1);
        vm.startPrank(challenger);
        for (uint256 i = 0; i < count; ++i) {
            bytes32[] memory path = Merkle.path(leaves, i);
            vm.expectPartialRevert(IInferenceLedger.LeafNotInBatch.selector);
            game.open{value: p.challengerBond}(id, 0, answer(i).fields, path, "");
        }
        vm.stopPrank();
    }

    /// @dev The leaf stands in the tree, at a place that its index does not name.
    function test_attack_a_second_leaf_for_an_index_at_another_place() external {
        bytes32[] memory leaves = new bytes32[](3);
        for (uint256 i = 0; i < 3; ++i) {
            leaves[i] = leafOf(i);
        }
        vm.prank(provider);
        uint256 id = ledger.postBatch(provider, Merkle.root(leaves), ONE, modelId, 3);
        for (uint256 place = 1; place < 3; ++place) {
            bytes32[] memory path = Merkle.path(leaves, place);
            vm.startPrank(challenger);
            for (uint256 index = 0; index < 3; ++index) {
                vm.expectPartialRevert(IInferenceLedger.LeafNotInBatch.selector);
                game.open{value: p.challengerBond}(id, index, answer(place).fields, path, "");
            }
            vm.stopPrank();
        }
        bytes32[] memory right = Merkle.path(leaves, 0);
        bytes32 commitment = ledger.openingCommitment(challenger, id, 0, "");
        ledger.commitOpening(commitment);
        vm.roll(block.number + 1);
        vm.prank(challenger);
        game.open{value: p.challengerBond}(id, 0, answer(0).fields, right, "");
    }

    /// @dev Of two receipts for one index, the one that the batch does not hold is slashed.
    function test_attack_answering_a_claim_with_another_place() external {
        bytes32[] memory leaves = new bytes32[](2);
        (leaves[0], leaves[1]) = (leafOf(0), leafOf(1));
        vm.prank(provider);
        ledger.postBatch(provider, Merkle.root(leaves), ONE, modelId, 2);
        Receipt memory hidden = receiptOf(1);
        vm.warp(hidden.postingDeadline + 1);
        bytes memory signature = sign(hidden, PROVIDER_KEY);
        vm.prank(requester);
        bytes32 claim = receipts.claimUnposted{value: p.receiptClaimBond}(hidden, signature);
        for (uint256 place = 0; place < 2; ++place) {
            bytes32[] memory path = Merkle.path(leaves, place);
            vm.expectPartialRevert(IInferenceLedger.LeafNotInBatch.selector);
            receipts.answerClaim(claim, path);
        }
        vm.warp(receipts.receiptClaim(claim).answerDeadline + 1);
        receipts.slashUnposted(claim);
        expectSolvent();
    }
}
