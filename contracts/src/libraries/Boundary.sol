// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Boundaries: lists of window commitments and their hash
/// @notice A boundary of T positions has W = ceil(T / 32) windows; its points are x_0, y_0, ..., x_{W-1},
///         y_{W-1}, and its hash is keccak256 of those words.
library Boundary {
    /// @notice Positions per window.
    uint256 internal constant WINDOW = 32;

    /// @notice The modulus of BN254's base field; coordinates are below it.
    uint256 internal constant Q = 0x30644e72e131a029b85045b68181585d97816a916871ca8d3c208c16d87cfd47;

    /// @notice T = promptLength + outputLength - 1: the last output token is never fed.
    function positions(uint256 promptLength, uint256 outputLength) internal pure returns (uint256) {
        return promptLength + outputLength - 1;
    }

    /// @notice W = ceil(T / 32)
    function windows(uint256 promptLength, uint256 outputLength) internal pure returns (uint256) {
        return (positions(promptLength, outputLength) + WINDOW - 1) / WINDOW;
    }

    function hash(uint256[] calldata points) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(points));
    }

    /// @notice The first coordinate that is not below the modulus, if any.
    function outOfRange(uint256[] calldata points) internal pure returns (bool found, uint256 coordinate) {
        for (uint256 i = 0; i < points.length; ++i) {
            if (points[i] >= Q) return (true, points[i]);
        }
        return (false, 0);
    }
}
