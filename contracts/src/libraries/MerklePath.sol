// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";

/// @title Paths in Merkle trees that bind positions
/// @notice A node is keccak256(left, right) in the order of the leaves; an odd last node of a level goes up unchanged.
///         `count` fixes the shape of the tree and `index` the side on every level, so a root has exactly one leaf per
///         index: a second one would be a collision of keccak256.
library MerklePath {
    /// @notice Whether `leaf` is leaf `index` of the `count` leaves under `root`; `path` holds the siblings from
    ///         the leaf up, none for a level on which the node is promoted, and nothing more.
    function leads(bytes32[] calldata path, bytes32 root, bytes32 leaf, uint256 index, uint256 count)
        internal
        pure
        returns (bool)
    {
        if (index >= count) return false;
        bytes32 node = leaf;
        uint256 used = 0;
        for (uint256 width = count; width > 1; width = (width + 1) / 2) {
            if ((index ^ 1) < width) {
                if (used == path.length) return false;
                bytes32 sibling = path[used++];
                node = index % 2 == 0
                    ? Hashes.efficientKeccak256(node, sibling)
                    : Hashes.efficientKeccak256(sibling, node);
            }
            index /= 2;
        }
        return used == path.length && node == root;
    }
}
