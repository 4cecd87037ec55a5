// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Leaves} from "./Leaves.sol";
import {MerklePath} from "./MerklePath.sol";

/// @title Streams: named tensors of one row per position, that steps read and write window by window
/// @notice Stream 0 is the residual stream. A model's streams are one word, 8 bits each from stream 0 on: p + 1, and 0
///         behind the last. 2^p windows share a chunk of the commitment's powers: window w is committed at place w mod 2^p
///         of its chunk. A stream with p > 0 is *placed*; with p = 0 every window is its own chunk.
///
///         What a step does to the streams is one word, 4 bits each: it may read its own window, or windows 0 .. w of w,
///         and may write its own window, or reset the stream to zero windows.
///
///         A stream's root is that of the Merkle tree (`MerklePath`) over its W leaves (`Leaves.window`), each with the
///         running sum of its chunk; zero for a stream that was never written or was reset.
library Streams {
    uint256 internal constant MOST = 15;

    uint256 internal constant READS_OWN = 1;
    uint256 internal constant READS_ALL = 2;
    uint256 internal constant WRITES = 4;
    uint256 internal constant RESETS = 8;

    uint256 internal constant NAMES_WINDOW = 1 << 63;

    uint256 private constant _READS = READS_OWN | READS_ALL;

    /// @notice Number of streams.
    function count(uint256 streams) internal pure returns (uint256 number) {
        while (streams & 0xff != 0) {
            streams >>= 8;
            ++number;
        }
    }

    /// @notice p
    function chunkBits(uint256 streams, uint256 stream) internal pure returns (uint256) {
        return ((streams >> (8 * stream)) & 0xff) - 1;
    }

    /// @notice What a step does to one stream.
    function ofStream(uint256 access, uint256 stream) internal pure returns (uint256) {
        return (access >> (4 * stream)) & 0xf;
    }

    /// @notice Whether a window is the first one of its chunk, so that its running sum is its commitment.
    function startsChunk(uint256 window, uint256 bits) internal pure returns (bool) {
        return window & ((1 << bits) - 1) == 0;
    }

    /// @notice Whether the words make streams: at least one, without a gap, the residual stream not placed.
    function areValid(uint256 streams) internal pure returns (bool) {
        uint256 number = count(streams);
        return streams & 0xff == 1 && number <= MOST && streams >> (8 * number) == 0;
    }

    /// @notice Whether the word is what a step can do to `number` streams: it writes, reads a stream in one way, and does
    ///         not write what it resets.
    function isAccess(uint256 access, uint256 number) internal pure returns (bool) {
        bool writes = false;
        access = uses(access);
        for (uint256 stream = 0; stream < number; ++stream) {
            uint256 how = ofStream(access, stream);
            if (how & _READS == _READS) return false;
            if (how & (WRITES | RESETS) == WRITES | RESETS) return false;
            if (how & WRITES != 0) writes = true;
        }
        return writes && access >> (4 * number) == 0;
    }

    /// @notice Whether a step's statement starts with the window's number: the highest bit of its access word.
    function namesWindow(uint256 access) internal pure returns (bool) {
        return access & NAMES_WINDOW != 0;
    }

    /// @notice The access word without that bit.
    function uses(uint256 access) internal pure returns (uint256) {
        return access & (NAMES_WINDOW - 1);
    }

    /// @notice Words of a step's statement about `window`, how many of them, the last ones, say what it writes, and the
    ///         running sums that these follow from.
    function sizes(uint256 streams, uint256 access, uint256 window)
        internal
        pure
        returns (uint256 words, uint256 written, uint256 sums)
    {
        words = namesWindow(access) ? 1 : 0;
        access = uses(access);
        for (uint256 stream = 0; access != 0; ++stream) {
            uint256 how = access & 0xf;
            access >>= 4;
            if (how & (_READS | WRITES) == 0) continue;
            uint256 bits = chunkBits(streams, stream);
            uint256 perOwn = startsChunk(window, bits) ? 1 : 2;
            if (how & READS_OWN != 0) {
                words += 2;
                sums += perOwn;
            }
            if (how & READS_ALL != 0) {
                words += 2 * ((window >> bits) + 1);
                sums += (window >> bits) + 1;
            }
            if (how & WRITES != 0) {
                words += 2;
                written += 2;
                sums += perOwn;
            }
        }
    }

    /// @notice At most so many bytes of a move are sums of windows, of a response of `windows`: all sums of what is written, or
    ///         a sum per chunk, with its path in the chunk, of what is read as a whole.
    function longestMove(uint256 streams, uint256 access, uint256 windows) internal pure returns (uint256) {
        uint256 agreed = 0;
        uint256 proven = 0;
        access = uses(access);
        for (uint256 stream = 0; access != 0; ++stream) {
            uint256 bits = access & 0xf == 0 ? 0 : chunkBits(streams, stream);
            if (access & WRITES != 0) agreed += 64 * windows;
            if (access & READS_ALL != 0) {
                uint256 inChunk = bits > 16 ? 16 : bits; // no path is longer
                proven += (((windows - 1) >> bits) + 1) * (64 + 32 * inChunk);
            }
            access >>= 4;
        }
        return agreed > proven ? agreed : proven;
    }

    /// @notice Root of the stream whose W >= 1 running sums are x_0, y_0, ..., x_{W-1}, y_{W-1}.
    // Nothing here exceeds the number of words.
    function root(uint256[] calldata sums) internal pure returns (bytes32) {
        uint256 width = sums.length / 2;
        bytes32[] memory level = new bytes32[](width);
        unchecked {
            for (uint256 window = 0; window < width; ++window) {
                level[window] = Leaves.window(window, sums[2 * window], sums[2 * window + 1]);
            }
        }
        return MerklePath.root(level);
    }
}
