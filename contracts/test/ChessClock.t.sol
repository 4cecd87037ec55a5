// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ChessClock} from "../src/libraries/ChessClock.sol";
import {Test} from "./Vm.sol";

contract ChessClockTest is Test {
    function testFuzz_a_turn_lasts_the_larger_of_budget_and_minimum(
        uint40 start,
        uint32 budget,
        uint32 minimum
    ) external pure {
        uint64 deadline = ChessClock.deadline(start, budget, minimum);
        vm.assertEq(deadline - start, budget > minimum ? budget : minimum);
    }

    function testFuzz_the_budget_never_grows_and_never_wraps(uint40 start, uint32 used, uint32 budget)
        external
        pure
    {
        uint64 left = ChessClock.remaining(budget, start, uint64(start) + used);
        vm.assertEq(left, used < budget ? budget - used : 0);
    }

    function testFuzz_move_and_timeout_exclude_each_other(uint64 deadline, uint64 timestamp) external pure {
        bool moveAllowed = timestamp <= deadline;
        vm.assertTrue(moveAllowed != ChessClock.isOver(deadline, timestamp));
    }

    function testFuzz_all_turns_together_are_bounded(uint8[16] calldata waits, uint16 budget, uint16 minimum)
        external
        pure
    {
        uint64 left = budget;
        uint256 total = 0;
        for (uint256 i = 0; i < waits.length; ++i) {
            uint64 deadline = ChessClock.deadline(0, left, minimum);
            uint64 moved = uint64(waits[i]) < deadline ? uint64(waits[i]) : deadline;
            left = ChessClock.remaining(left, 0, moved);
            total += moved;
        }
        vm.assertLe(total, uint256(budget) + waits.length * uint256(minimum));
    }
}
