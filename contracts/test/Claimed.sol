// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ShownClaim} from "../src/interfaces/IDisputeGame.sol";

/// @title Claims of what every window should have been, written apart from the contracts' `Claims`
library Claimed {
    /// @dev The hash of the boundary that was posted, then x, y, ... of the window in every stream that is written.
    function leaf(bytes32 posted, uint256[] memory points) internal pure returns (bytes16) {
        return bytes16(keccak256(abi.encodePacked(posted, points)));
    }

    function join(bytes16[] memory leaves) internal pure returns (bytes memory claim) {
        claim = new bytes(16 * leaves.length);
        for (uint256 i = 0; i < claim.length; ++i) {
            claim[i] = leaves[i / 16][i % 16];
        }
    }

    /// @dev The same claim, but that this window is another one.
    function but(bytes memory claim, uint256 window) internal pure returns (bytes memory other) {
        other = bytes.concat(claim);
        other[16 * window + 15] ^= 0x01;
    }

    /// @dev Another claim about every window.
    function butAll(bytes memory claim) internal pure returns (bytes memory other) {
        other = bytes.concat(claim);
        for (uint256 i = 0; i < other.length; i += 16) {
            other[i] ^= 0x80;
        }
    }

    /// @dev 32 leaves, or the rest.
    function group(bytes memory claim, uint256 number) internal pure returns (bytes memory some) {
        uint256 start = 512 * number;
        uint256 length = claim.length - start;
        some = new bytes(length < 512 ? length : 512);
        for (uint256 i = 0; i < some.length; ++i) {
            some[i] = claim[start + i];
        }
    }

    function groups(bytes memory claim) internal pure returns (bytes32[] memory all) {
        all = new bytes32[]((claim.length + 511) / 512);
        for (uint256 i = 0; i < all.length; ++i) {
            all[i] = keccak256(group(claim, i));
        }
    }

    function hash(bytes memory claim) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(groups(claim)));
    }

    /// @dev What a proof of this window shows; of a window beyond the last group, the last group.
    function shown(bytes memory claim, uint256 window) internal pure returns (ShownClaim memory) {
        bytes32[] memory all = groups(claim);
        uint256 number = window / 32;
        return ShownClaim(window, all, group(claim, number < all.length ? number : all.length - 1));
    }
}
