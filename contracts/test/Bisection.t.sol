// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Bisection} from "../src/libraries/Bisection.sol";
import {Test} from "./Vm.sol";

contract BisectionTest is Test {
    function part(uint256 start, uint256 end, uint256 arity, uint256 index)
        external
        pure
        returns (uint256, uint256)
    {
        return Bisection.part(start, end, arity, index);
    }

    function testFuzz_parts_cover_the_range_without_gap_or_overlap(uint32 start, uint16 extra, uint8 k)
        external
        view
    {
        uint256 arity = 2 + uint256(k) % 127;
        uint256 end = uint256(start) + 1 + extra;
        uint256 parts = Bisection.partCount(end - start, arity);
        uint256 expectedStart = start;
        for (uint256 i = 0; i < parts; ++i) {
            (uint256 partStart, uint256 partEnd) = this.part(start, end, arity, i);
            vm.assertEq(partStart, expectedStart);
            vm.assertGt(partEnd, partStart);
            expectedStart = partEnd;
        }
        vm.assertEq(expectedStart, end);
    }

    function testFuzz_part_sizes_differ_by_at_most_one(uint32 start, uint16 extra, uint8 k) external pure {
        uint256 arity = 2 + uint256(k) % 127;
        uint256 length = 1 + uint256(extra);
        uint256[] memory cuts = Bisection.cuts(start, start + length, arity);
        uint256 least = length / (cuts.length - 1);
        for (uint256 i = 1; i < cuts.length; ++i) {
            uint256 size = cuts[i] - cuts[i - 1];
            vm.assertGe(size, least);
            vm.assertLe(size, least + 1);
        }
    }

    function testFuzz_every_step_is_reached_in_log_k_rounds(uint16 n, uint16 wanted, uint8 k) external pure {
        uint256 arity = 2 + uint256(k) % 15;
        uint256 start = 0;
        uint256 end = 1 + uint256(n);
        uint256 step = uint256(wanted) % end;
        uint256 reach = 1;
        uint256 most = 0;
        while (reach < end) {
            reach *= arity;
            most++;
        }
        uint256 rounds = 0;
        while (end - start > 1) {
            uint256[] memory cuts = Bisection.cuts(start, end, arity);
            uint256 i = 0;
            while (cuts[i + 1] <= step) i++;
            (start, end) = (cuts[i], cuts[i + 1]);
            rounds++;
        }
        vm.assertEq(start, step);
        vm.assertLe(rounds, most);
    }

    function test_smollm2_takes_two_rounds() external pure {
        uint256[] memory cuts = Bisection.cuts(0, 60, 8);
        uint256[9] memory expected = [uint256(0), 7, 15, 22, 30, 37, 45, 52, 60];
        for (uint256 i = 0; i < 9; ++i) {
            vm.assertEq(cuts[i], expected[i]);
        }
    }

    function test_a_part_beyond_the_last_is_refused() external {
        vm.expectRevert(abi.encodeWithSelector(Bisection.PartOutOfRange.selector, 3, 3));
        this.part(10, 13, 8, 3);
    }
}
