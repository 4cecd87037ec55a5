// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Token ids in calldata: 4 bytes each, big-endian, without separators
library TokenIds {
    /// @notice Whether `ids` are exactly `count` ids with the given hash.
    function matches(bytes calldata ids, uint256 count, bytes32 hash) internal pure returns (bool) {
        return ids.length == 4 * count && keccak256(ids) == hash;
    }

    /// @notice The id at `position`, which must be below the number of ids.
    function at(bytes calldata ids, uint256 position) internal pure returns (uint256) {
        return uint256(uint32(bytes4(ids[4 * position:4 * position + 4])));
    }

    /// @notice The id at `position` of the sequence prompt ‖ output.
    function inSequence(bytes calldata promptIds, bytes calldata outputIds, uint256 position)
        internal
        pure
        returns (uint256)
    {
        uint256 promptLength = promptIds.length / 4;
        return position < promptLength ? at(promptIds, position) : at(outputIds, position - promptLength);
    }
}
