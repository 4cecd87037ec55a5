// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Boundaries: what is between two steps
/// @notice A boundary is the state of all streams of the model. T positions make W = ceil(T / 32) windows; the boundary's
///         hash is keccak256 of the roots of its streams in their order (`Streams`).
library Boundary {
    /// @notice Positions per window.
    uint256 internal constant WINDOW = 32;

    /// @notice Parts per group of a list of boundary hashes (`listHash`).
    uint256 internal constant GROUP = 10;

    /// @notice No model has more (`ModelRegistry`).
    uint256 internal constant MOST_POSITIONS = 2 ** 14;

    /// @notice T = promptLength + outputLength - 1: the last output token is never fed.
    function positions(uint256 promptLength, uint256 outputLength) internal pure returns (uint256) {
        return promptLength + outputLength - 1;
    }

    /// @notice W = ceil(T / 32)
    function windows(uint256 promptLength, uint256 outputLength) internal pure returns (uint256) {
        return windowsOf(positions(promptLength, outputLength));
    }

    /// @notice The same of T.
    function windowsOf(uint256 numberOfPositions) internal pure returns (uint256) {
        return (numberOfPositions + WINDOW - 1) / WINDOW;
    }

    /// @notice keccak256 of the words one after another: of a boundary's roots, of a group of boundary hashes, of the hashes of groups.
    function hash(bytes32[] calldata words) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(words));
    }

    /// @notice `hash` of the hashes of a list's groups, of m + 1 >= 2 boundary hashes at the ends of m parts: group j holds both ends
    ///         of the parts GROUP j .. GROUP (j + 1) - 1, so neighbours share a hash, and the last one holds what is left. Who
    ///         names a part shows one group and the hashes of all, not the whole list.
    // A group's hash takes a place that no later group holds: 200 bytes of the game's code less than copying every group.
    // slither-disable-next-line assembly
    function listHash(bytes32[] calldata hashes) internal pure returns (bytes32 list) {
        uint256 parts = hashes.length - 1;
        bytes32[] memory words = hashes;
        uint256 groups = 0;
        for (uint256 start = 0; start < parts; start += GROUP) {
            uint256 length = (start + GROUP < parts ? GROUP : parts - start) + 1;
            assembly ("memory-safe") {
                let first := add(words, 32)
                mstore(add(first, shl(5, groups)), keccak256(add(first, shl(5, start)), shl(5, length)))
                groups := add(groups, 1)
            }
        }
        assembly ("memory-safe") {
            list := keccak256(add(words, 32), shl(5, groups))
        }
    }

    /// @notice `hash` of a list of one.
    function hashOfOne(bytes32 boundary) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(boundary));
    }

    /// @notice `hash` of a list of two.
    function hashOfTwo(bytes32 start, bytes32 end) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(start, end));
    }

    /// @notice `hash` of a list of three.
    function hashOfThree(bytes32 start, bytes32 end, bytes32 claim) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(start, end, claim));
    }
}
