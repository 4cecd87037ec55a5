// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Bisection} from "../src/libraries/Bisection.sol";
import {Parameters} from "../src/libraries/Parameters.sol";
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

    /// @dev The 90 steps of SmolLM2.
    function test_as_many_steps_as_parts_take_one_round() external pure {
        uint256 arity = Parameters.l1().arity;
        vm.assertEq(arity, Parameters.devnet().arity);
        vm.assertEq(arity, Parameters.l2().arity);
        uint256[] memory cuts = Bisection.cuts(7, 97, arity);
        vm.assertEq(cuts.length, 91);
        for (uint256 i = 0; i < cuts.length; ++i) {
            vm.assertEq(cuts[i], 7 + i);
        }
    }

    /// @dev Two rounds that are enough show about twice the root of the number of steps, not k and what is left.
    function testFuzz_two_rounds_share_what_they_show(uint16 n, uint8 k) external pure {
        uint256 arity = 2 + uint256(k) % 127;
        uint256 length = 1 + uint256(n);
        uint256 parts = Bisection.partCount(length, arity);
        vm.assertLe(parts, arity);
        if (length <= arity) {
            vm.assertEq(parts, length);
        } else if (length > arity * arity) {
            vm.assertEq(parts, arity);
        } else {
            vm.assertLe((length + parts - 1) / parts, parts); // the next round is the last
            if (parts != arity) vm.assertLt(parts / 2 * (parts / 2), length); // no smaller power of two
        }
    }

    function test_known_counts() external pure {
        uint256[2][8] memory known = [
            [uint256(1), 1],
            [uint256(128), 128],
            [uint256(129), 16],
            [uint256(256), 16],
            [uint256(257), 32],
            [uint256(4097), 128],
            [uint256(16384), 128],
            [uint256(16385), 128]
        ];
        for (uint256 i = 0; i < known.length; ++i) {
            vm.assertEq(Bisection.partCount(known[i][0], 128), known[i][1]);
        }
        vm.assertEq(Bisection.partCount(9900, 100), 100); // no power of two
        vm.assertEq(Bisection.partCount(3, 2), 2);
    }

    function test_a_part_beyond_the_last_is_refused() external {
        vm.expectRevert(abi.encodeWithSelector(Bisection.PartOutOfRange.selector, 3, 3));
        this.part(10, 13, 8, 3);
    }
}
