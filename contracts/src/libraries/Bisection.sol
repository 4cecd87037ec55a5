// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title How a range of steps is cut into parts
/// @notice A range of n >= 1 steps is cut into m parts as even as possible: part i covers the
///         steps floor(n i / m) .. floor(n (i + 1) / m) - 1 of the range, so every part has a step. m = n, where that is at most k; where
///         two rounds are needed and are enough, the smallest power of two with m^2 >= n, which leaves the second no more than m
///         parts, so both together show few boundaries; never more than k.
library Bisection {
    /// There is no such part.
    error PartOutOfRange(uint256 part, uint256 parts);

    /// @notice m of n = length and k = arity
    function partCount(uint256 length, uint256 arity) internal pure returns (uint256 parts) {
        if (length <= arity) return length;
        parts = 2;
        while (parts < arity && parts * parts < length) parts *= 2;
        if (parts > arity) parts = arity;
    }

    /// @notice floor(n i / m): where part i starts; i = m gives the end of the range.
    function cut(uint256 length, uint256 parts, uint256 i) internal pure returns (uint256) {
        return (length * i) / parts;
    }

    /// @notice The steps of one part of the range start .. end-1.
    function part(uint256 start, uint256 end, uint256 arity, uint256 index)
        internal
        pure
        returns (uint256 partStart, uint256 partEnd)
    {
        uint256 length = end - start;
        uint256 parts = partCount(length, arity);
        require(index < parts, PartOutOfRange(index, parts));
        partStart = start + cut(length, parts, index);
        partEnd = start + cut(length, parts, index + 1);
    }

    /// @notice All m + 1 cuts of the range, its start and end included.
    function cuts(uint256 start, uint256 end, uint256 arity) internal pure returns (uint256[] memory all) {
        uint256 length = end - start;
        uint256 parts = partCount(length, arity);
        all = new uint256[](parts + 1);
        for (uint256 i = 0; i <= parts; ++i) {
            all[i] = start + cut(length, parts, i);
        }
    }
}
