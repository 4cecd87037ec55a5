// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Philox4x64-10, a counter-based generator
/// @notice Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011; NumPy's `Philox` makes the same blocks.
library Philox {
    uint256 private constant _WORD = type(uint64).max;
    uint256 private constant _FIRST_MULTIPLIER = 0xD2E7470EE14C6C93;
    uint256 private constant _SECOND_MULTIPLIER = 0xCA5A826395121157;
    uint256 private constant _FIRST_WEYL = 0x9E3779B97F4A7C15;
    uint256 private constant _SECOND_WEYL = 0xBB67AE8584CAA73B;

    /// @notice Word `lane` (0..3) of the block at the counter (a, b, 0, 0) under the key (k, m), all words below 2^64.
    function word(uint256 a, uint256 b, uint256 k, uint256 m, uint256 lane) internal pure returns (uint256) {
        uint256 c = 0;
        uint256 d = 0;
        // Words stay below 2^64, so products stay below 2^128 and the key's words below 2^68 before they are cut.
        unchecked {
            for (uint256 i = 0; i < 10; ++i) {
                uint256 left = a * _FIRST_MULTIPLIER;
                uint256 right = c * _SECOND_MULTIPLIER;
                a = (right >> 64) ^ b ^ k;
                c = (left >> 64) ^ d ^ m;
                b = right & _WORD;
                d = left & _WORD;
                k = (k + _FIRST_WEYL) & _WORD;
                m = (m + _SECOND_WEYL) & _WORD;
            }
        }
        return lane == 0 ? a : lane == 1 ? b : lane == 2 ? c : d;
    }
}
