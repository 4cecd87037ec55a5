// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ShownGroup} from "../src/interfaces/IDisputeGame.sol";
import {Boundary} from "../src/libraries/Boundary.sol";

/// @title What a challenge shows of a list of boundary hashes, written apart from the contracts' `Boundary.listHash`
library Groups {
    /// @dev For a challenge of b_0.
    function first(bytes32[] memory list) internal pure returns (ShownGroup memory) {
        return ShownGroup(hashes(list), group(list, 0));
    }

    /// @dev For a challenge of a part; of a part beyond the last one, the last group.
    function ofPart(bytes32[] memory list, uint256 part) internal pure returns (ShownGroup memory) {
        uint256 number = part / Boundary.GROUP;
        uint256 groups = count(list);
        return ShownGroup(hashes(list), group(list, number < groups ? number : groups - 1));
    }

    /// @dev For a challenge of the head.
    function last(bytes32[] memory list) internal pure returns (ShownGroup memory) {
        return ShownGroup(hashes(list), group(list, count(list) - 1));
    }

    function count(bytes32[] memory list) internal pure returns (uint256 groups) {
        for (groups = 1; groups * Boundary.GROUP + 1 < list.length; ++groups) {}
    }

    function group(bytes32[] memory list, uint256 number) internal pure returns (bytes32[] memory some) {
        uint256 start = number * Boundary.GROUP;
        uint256 length = list.length - start;
        if (length > Boundary.GROUP + 1) length = Boundary.GROUP + 1;
        some = new bytes32[](length);
        for (uint256 i = 0; i < length; ++i) {
            some[i] = list[start + i];
        }
    }

    function hashes(bytes32[] memory list) internal pure returns (bytes32[] memory all) {
        all = new bytes32[](count(list));
        for (uint256 j = 0; j < all.length; ++j) {
            all[j] = keccak256(abi.encodePacked(group(list, j)));
        }
    }
}
