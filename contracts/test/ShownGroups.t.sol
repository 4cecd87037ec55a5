// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Game, IDisputeGame, Phase, ShownGroup, Target} from "../src/interfaces/IDisputeGame.sol";
import {Bisection} from "../src/libraries/Bisection.sol";
import {Boundary} from "../src/libraries/Boundary.sol";
import {Parameters, ProtocolParameters} from "../src/libraries/Parameters.sol";
import {Claimed} from "./Claimed.sol";
import {Groups} from "./Groups.sol";
import {Scenario} from "./Scenario.sol";

/// @notice A challenge shows one group of what was posted: the twelve steps in one round are two groups, of ten parts and of two.
contract ShownGroupsTest is Scenario {
    uint256 private gameId;

    function setUp() public override {
        super.setUp();
        gameId = open();
        postBoundaries(gameId, 5, 0);
    }

    function _parameters() internal pure override returns (ProtocolParameters memory) {
        return Parameters.devnet();
    }

    function listHashOf(bytes32[] calldata list) external pure returns (bytes32) {
        return Boundary.listHash(list);
    }

    function testFuzz_a_list_hashes_to_its_groups(bytes32 seed, uint8 extra) external view {
        bytes32[] memory list = new bytes32[](2 + uint256(extra) % 128);
        for (uint256 i = 0; i < list.length; ++i) {
            list[i] = keccak256(abi.encode(seed, i));
        }
        vm.assertEq(this.listHashOf(list), listHash(list));
    }

    /// @dev 3 is a list of one part short of a group, 11 and 21 end with one, 12 begins another.
    function test_groups_of_known_lengths() external pure {
        uint256[2][7] memory known = [
            [uint256(2), 1],
            [uint256(3), 1],
            [uint256(11), 1],
            [uint256(12), 2],
            [uint256(21), 2],
            [uint256(22), 3],
            [uint256(91), 9]
        ];
        for (uint256 i = 0; i < known.length; ++i) {
            vm.assertEq(Groups.count(new bytes32[](known[i][0])), known[i][1]);
        }
    }

    function test_every_step_is_reached_in_one_round() external {
        uint256 start = vm.snapshotState();
        for (uint256 step = 0; step < STEPS; ++step) {
            challengeStep(gameId, step);
            Game memory g = game.game(gameId);
            vm.assertTrue(g.phase == Phase.AwaitProof && g.target == Target.Step);
            vm.assertEq(g.round, 1);
            vm.assertEq(g.rangeStart, step);
            bytes32 end = boundaryHash(step + 1, 5, 0);
            bytes32 claim = Claimed.hash(claimOf[gameId]);
            vm.assertEq(g.boundariesHash, listHash(boundaryHash(step, 5, 0), end, claim));
            vm.revertToState(start);
        }
    }

    function refused(ShownGroup memory shown, uint256 part) private {
        vm.prank(challenger);
        vm.expectPartialRevert(IDisputeGame.WrongBoundaries.selector);
        game.challengePart(gameId, shown, part, "");
    }

    function test_attack_the_group_of_another_part() external {
        bytes32[] memory list = listOf[gameId];
        for (uint256 part = 0; part < STEPS; ++part) {
            refused(Groups.ofPart(list, part < Boundary.GROUP ? 10 : 0), part);
        }
        vm.startPrank(challenger);
        vm.expectPartialRevert(IDisputeGame.WrongBoundaries.selector);
        game.challengeInput(gameId, Groups.last(list), "");
        ShownGroup memory first = Groups.first(list);
        vm.expectPartialRevert(IDisputeGame.WrongBoundaries.selector);
        game.challengeHead(gameId, first, 40, 0, response.fields.promptHash, response.outputIds);
        vm.stopPrank();
        challengeStep(gameId, 11);
    }

    function test_attack_a_group_with_more_or_less_than_it_has() external {
        bytes32[] memory list = listOf[gameId];
        ShownGroup memory shown = Groups.ofPart(list, 9);
        shown.boundaries = list;
        refused(shown, 9);
        shown.boundaries = new bytes32[](Boundary.GROUP); // without the end that it shares with the next
        for (uint256 i = 0; i < shown.boundaries.length; ++i) {
            shown.boundaries[i] = list[i];
        }
        refused(shown, 8);
        shown.boundaries = new bytes32[](0);
        refused(shown, 0);
        challengeStep(gameId, 9);
    }

    function test_attack_other_groups_than_those_of_the_list() external {
        bytes32[] memory list = listOf[gameId];
        ShownGroup memory shown = Groups.ofPart(list, 10);
        (bytes32 first, bytes32 second) = (shown.groups[0], shown.groups[1]);
        shown.boundaries = new bytes32[](3); // hashes of the challenger's own
        shown.groups[1] = keccak256(abi.encodePacked(shown.boundaries));
        refused(shown, 10);
        (shown.groups[0], shown.groups[1]) = (second, first);
        refused(shown, 10);
        shown.groups = new bytes32[](1);
        shown.groups[0] = second;
        refused(shown, 0);
        shown.groups = new bytes32[](3);
        (shown.groups[0], shown.groups[1]) = (first, second);
        refused(shown, 10);
        // The list itself as the hashes of groups, and as one group.
        shown.groups = list;
        shown.boundaries = list;
        refused(shown, 0);
        challengeStep(gameId, 10);
    }

    function test_attack_no_groups_at_all() external {
        ShownGroup memory none;
        refused(none, 0);
        vm.startPrank(challenger);
        vm.expectPartialRevert(IDisputeGame.WrongBoundaries.selector);
        game.challengeInput(gameId, none, "");
        vm.expectRevert();
        game.challengeHead(gameId, none, 40, 0, response.fields.promptHash, response.outputIds);
        vm.stopPrank();
    }

    function test_a_part_beyond_the_last_is_refused_whatever_is_shown() external {
        bytes32[] memory list = listOf[gameId];
        for (uint256 part = STEPS; part < 32; ++part) {
            ShownGroup memory shown = Groups.ofPart(list, part);
            vm.prank(challenger);
            vm.expectRevert(abi.encodeWithSelector(Bisection.PartOutOfRange.selector, part, STEPS));
            game.challengePart(gameId, shown, part, "");
        }
    }
}
