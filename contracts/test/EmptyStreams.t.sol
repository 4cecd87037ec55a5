// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IDisputeGame, StepProof} from "../src/interfaces/IDisputeGame.sol";
import {StepRules} from "../src/interfaces/IModelRegistry.sol";
import {Leaves} from "../src/libraries/Leaves.sol";
import {Statements} from "../src/libraries/Statements.sol";
import {Test} from "./Vm.sol";

/// @title A step reads all windows of a stream that has none: it was never written, or was reset
contract EmptyStreamsTest is Test {
    uint256 private constant _STREAMS = 0x0301; // the residual one, and one of four windows a chunk
    uint256 private constant _ACCESS = 0x0024; // writes the first, reads all of the second

    function inputs(uint256 windows, StepProof calldata proof) external view returns (uint256[] memory) {
        StepRules memory rules;
        (rules.streams, rules.access) = (_STREAMS, _ACCESS);
        return Statements.stepInputs(windows - 1, windows, rules, proof);
    }

    /// @dev Of the last of so many windows, which is committed to by (1, 2).
    function proofOf(uint256 windows) private pure returns (StepProof memory proof) {
        uint256 last = windows - 1;
        uint256 chunks = last / 4 + 1;
        proof.sums = new uint256[](2 * chunks + 2);
        (proof.sums[2 * chunks], proof.sums[2 * chunks + 1]) = (1, 2);
        proof.rootsBefore = new bytes32[](2);
        proof.rootsAfter = new bytes32[](2);
        bytes32 node = Leaves.window(last, 1, 2);
        if (windows > 1) {
            proof.siblings = new bytes32[](1);
            proof.siblings[0] = keccak256("all windows in front");
            node = keccak256(abi.encode(proof.siblings[0], node));
        }
        proof.rootsAfter[0] = node;
    }

    function test_nothing_is_read_and_no_sibling_is_taken() external view {
        // The last of 2, 3, 5 and 9 windows has one sibling, the root over all others.
        uint256[5] memory counts = [uint256(1), 2, 3, 5, 9];
        for (uint256 i = 0; i < counts.length; ++i) {
            StepProof memory proof = proofOf(counts[i]);
            uint256[] memory words = this.inputs(counts[i], proof);
            vm.assertEq(words.length, proof.sums.length);
            for (uint256 at = 0; at < words.length; ++at) {
                vm.assertEq(words[at], proof.sums[at]);
            }
        }
    }

    function test_attack_something_is_read_where_nothing_is() external {
        StepProof memory proof = proofOf(5);
        for (uint256 at = 0; at < 4; ++at) {
            proof.sums[at] = 1;
            vm.expectRevert(abi.encodeWithSelector(IDisputeGame.WrongWindow.selector, 1, at < 2 ? 3 : 4));
            this.inputs(5, proof);
            proof.sums[at] = 0;
        }
    }
}
