// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IDisputeGame, ShownClaim} from "../interfaces/IDisputeGame.sol";

/// @title Claims: what a challenger says every window of a step's end, or of the input, should have been
/// @notice A claim has one leaf of 16 bytes for each window: the first half of keccak256 of the hash of the boundary that was posted
///         and the window's commitments x, y in all streams that the step writes, in their order; of b_0, of that in the residual
///         stream. They are commitments of the window alone, not running sums: of a placed stream, all later sums differ once one
///         does, and a right window behind a wrong one would be another one than claimed. Half a hash is enough, because what was
///         posted is in it: whoever posts something wrong tries one boundary at a time, 2^128 of them. Leaves of
///         commitments alone would be met by a collision of two prompts (2^64), once for all games.
library Claims {
    /// @notice Bytes per window.
    uint256 internal constant LEAF = 16;

    /// @notice Windows per group, the last one of a claim may have fewer.
    uint256 internal constant GROUP = 32;

    /// @notice keccak256 of the hashes of the claim's groups, so that a proof shows one group and the hashes of all.
    // The hash of group j takes place j, which no later group holds.
    // slither-disable-next-line assembly
    function hash(bytes calldata claim) internal pure returns (bytes32 whole) {
        bytes memory leaves = claim;
        uint256 groupBytes = LEAF * GROUP;
        assembly ("memory-safe") {
            let first := add(leaves, 32)
            let length := mload(leaves)
            let place := first
            for { let start := 0 } lt(start, length) { start := add(start, groupBytes) } {
                let left := sub(length, start)
                if gt(left, groupBytes) { left := groupBytes }
                mstore(place, keccak256(add(first, start), left))
                place := add(place, 32)
            }
            whole := keccak256(first, sub(place, first))
        }
    }

    /// @notice The leaf of a window whose commitments are the words from number `from` on, where the boundary with this hash was posted.
    // slither-disable-next-line assembly
    function leaf(bytes32 posted, uint256[] memory words, uint256 from) internal pure returns (bytes16) {
        bytes32 whole = 0;
        assembly ("memory-safe") {
            // What is in front of the words, their length or another word, gives its place for a moment.
            let first := add(words, shl(5, from))
            let kept := mload(first)
            let count := sub(mload(words), from)
            mstore(first, posted)
            whole := keccak256(first, shl(5, add(count, 1)))
            mstore(first, kept)
        }
        return bytes16(whole);
    }

    /// @notice The window, whose commitments are the words from number `from` on, is another one than the claim, whose groups have
    ///         the hashes that are shown, says it should be.
    function checkDiffers(ShownClaim calldata shown, bytes32 posted, uint256[] memory words, uint256 from)
        internal
        pure
    {
        uint256 window = shown.window;
        require(keccak256(shown.leaves) == shown.groups[window / GROUP], IDisputeGame.WrongClaim());
        require(at(shown.leaves, window % GROUP) != leaf(posted, words, from), IDisputeGame.AsClaimed(window));
    }

    /// @notice Leaf `number` of these.
    function at(bytes calldata leaves, uint256 number) internal pure returns (bytes16) {
        return bytes16(leaves[LEAF * number:]);
    }
}
