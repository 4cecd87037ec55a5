// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Boundaries: what is between two steps
/// @notice A boundary is the state of all streams of the model. T positions make W = ceil(T / 32) windows; the boundary's
///         hash is keccak256 of the roots of its streams in their order (`Streams`).
library Boundary {
    /// @notice Positions per window.
    uint256 internal constant WINDOW = 32;

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

    /// @notice keccak256 of the words one after another: of a boundary's roots, or of a list of boundary hashes.
    function hash(bytes32[] calldata words) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(words));
    }

    /// @notice `hash` of a list of one.
    function hashOfOne(bytes32 boundary) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(boundary));
    }

    /// @notice `hash` of a list of two.
    function hashOfTwo(bytes32 start, bytes32 end) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(start, end));
    }
}
