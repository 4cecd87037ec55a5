// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";

/// @title Paths in Merkle trees that bind positions
/// @notice A node is keccak256(left, right) in the order of the leaves; an odd last node of a level goes up unchanged.
///         The number of leaves fixes the shape of the tree and an index the side on every level, so a root has exactly
///         one leaf per index: a second one would be a collision of keccak256. Siblings are listed from the leaf up, none
///         for a level on which the node is promoted.
library MerklePath {
    /// What `climb` and `prefix` say where they had too few siblings: no list is that long.
    uint256 internal constant TOO_SHORT = type(uint256).max;

    /// @notice Whether `leaf` is leaf `index` of the `count` leaves under `root`; `path` holds its siblings and nothing more.
    function leads(bytes32[] calldata path, bytes32 root, bytes32 leaf, uint256 index, uint256 count)
        internal
        pure
        returns (bool)
    {
        if (index >= count) return false;
        (bytes32 node, uint256 used) = climb(path, 0, leaf, index, count, type(uint256).max);
        return used == path.length && node == root;
    }

    /// @notice The ancestor, `levels` levels up or the root, of the node at `index` < `width` of a level; its siblings are
    ///         taken from `siblings[at]` on. Also the place behind them, or `TOO_SHORT`.
    // Nothing here exceeds `width` or the number of siblings.
    function climb(
        bytes32[] calldata siblings,
        uint256 at,
        bytes32 node,
        uint256 index,
        uint256 width,
        uint256 levels
    ) internal pure returns (bytes32, uint256) {
        unchecked {
            for (; width > 1 && levels != 0; --levels) {
                if ((index ^ 1) < width) {
                    if (at >= siblings.length) return (node, TOO_SHORT);
                    bytes32 sibling = siblings[at++];
                    node = index % 2 == 0
                        ? Hashes.efficientKeccak256(node, sibling)
                        : Hashes.efficientKeccak256(sibling, node);
                }
                index /= 2;
                width = (width + 1) / 2;
            }
        }
        return (node, at);
    }

    /// @notice The root over a level of `width` nodes of which the first ones are `nodes`, which are overwritten; what the
    ///         others add is taken from `siblings[at]` on. Also the place behind it, or `TOO_SHORT`.
    // Nothing here exceeds `width` or the number of siblings.
    function prefix(bytes32[] calldata siblings, uint256 at, bytes32[] memory nodes, uint256 width)
        internal
        pure
        returns (bytes32, uint256)
    {
        unchecked {
            for (uint256 known = nodes.length; width > 1; known = (known + 1) / 2) {
                for (uint256 i = 0; i < known / 2; ++i) {
                    nodes[i] = Hashes.efficientKeccak256(nodes[2 * i], nodes[2 * i + 1]);
                }
                if (known % 2 == 1) {
                    bytes32 last = nodes[known - 1];
                    if (known < width) {
                        if (at >= siblings.length) return (last, TOO_SHORT);
                        last = Hashes.efficientKeccak256(last, siblings[at++]);
                    }
                    nodes[known / 2] = last;
                }
                width = (width + 1) / 2;
            }
        }
        return (nodes[0], at);
    }

    /// @notice The root over these leaves, which are overwritten.
    // slither-disable-next-line assembly
    function root(bytes32[] memory leaves) internal pure returns (bytes32 top) {
        bytes32[] calldata none;
        assembly ("memory-safe") {
            none.offset := 0
            none.length := 0
        }
        // All nodes are there, so nothing is taken from a list of siblings.
        // slither-disable-next-line unused-return
        (top,) = prefix(none, 0, leaves, leaves.length);
    }
}
