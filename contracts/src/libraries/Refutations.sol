// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {AgreedStep, IDisputeGame} from "../interfaces/IDisputeGame.sol";
import {StepRules} from "../interfaces/IModelRegistry.sol";
import {Boundary} from "./Boundary.sol";
import {Claims} from "./Claims.sol";
import {Curve} from "./Curve.sol";
import {Statements} from "./Statements.sol";
import {Streams} from "./Streams.sol";

/// @title Refutations: a challenger claims of every window what was posted, so there is nothing to prove
/// @notice What is shown is checked against its own roots and the model; that the game is about these roots and this claim is for
///         the game to compare with the hash that follows.
library Refutations {
    /// @notice The hash of a game (`Game.boundariesHash`) about this step and a claim that it is right everywhere. The kind is the step's,
    ///         or streams would count that it does not write.
    function stepHash(StepRules memory rules, uint256 step, uint256 windows, AgreedStep calldata agreed)
        internal
        view
        returns (bytes32)
    {
        Statements.checkUnmoved(rules.streams, rules.access, agreed.rootsBefore, agreed.rootsAfter);
        Statements.checkStepKey(step, rules, agreed.kind, agreed.keyDigest, agreed.keyPath);
        _checkWindows(rules.streams, rules.access, windows, agreed.rootsAfter, agreed);
        return Boundary.hashOfThree(
            Boundary.hash(agreed.rootsBefore), Boundary.hash(agreed.rootsAfter), Claims.hash(agreed.claim)
        );
    }

    /// @notice The same of a game about the input, in which the residual stream alone has windows.
    function inputHash(uint256 streams, uint256 windows, AgreedStep calldata agreed)
        internal
        view
        returns (bytes32)
    {
        require(
            agreed.kind == 0 && agreed.keyDigest == 0 && agreed.keyPath.length == 0,
            IDisputeGame.WrongStepKey(0, agreed.kind, agreed.keyDigest)
        );
        Statements.checkRootCount(agreed.rootsAfter, 0);
        Statements.checkInputRoots(streams, agreed.rootsBefore);
        _checkWindows(streams, Streams.WRITES, windows, agreed.rootsBefore, agreed);
        return Boundary.hashOfTwo(Boundary.hash(agreed.rootsBefore), Claims.hash(agreed.claim));
    }

    /// @dev The sums are those of what is written, and every window is as claimed.
    function _checkWindows(
        uint256 streams,
        uint256 access,
        uint256 windows,
        bytes32[] calldata roots,
        AgreedStep calldata agreed
    ) private view {
        uint256[] memory bits = new uint256[](agreed.sums.length);
        uint256 shown = 0;
        for (uint256 stream = 0; stream < roots.length; ++stream) {
            if (Streams.ofStream(access, stream) & Streams.WRITES == 0) continue;
            if (shown < bits.length) {
                _checkSums(agreed.sums[shown], windows, stream, roots[stream]);
                bits[shown] = Streams.chunkBits(streams, stream);
            }
            ++shown;
        }
        require(bits.length == shown, IDisputeGame.WrongStreamCount(bits.length, shown));
        uint256 expected = Claims.LEAF * windows;
        require(agreed.claim.length == expected, IDisputeGame.WrongClaimLength(agreed.claim.length, expected));
        _checkLeaves(Boundary.hash(roots), agreed.claim, windows, agreed.sums, bits);
    }

    /// @dev The running sums are all of the stream's, every coordinate below q.
    // Nothing here, or below, exceeds the number of words.
    function _checkSums(uint256[] calldata sums, uint256 windows, uint256 stream, bytes32 expected)
        private
        pure
    {
        require(sums.length == 2 * windows, IDisputeGame.WrongSumCount(sums.length, 2 * windows));
        unchecked {
            for (uint256 i = 0; i < sums.length; i += 2) {
                Curve.checkCanonical(sums[i], sums[i + 1]);
            }
        }
        bytes32 actual = Streams.root(sums);
        require(actual == expected, IDisputeGame.WrongStreamRoot(stream, actual, expected));
    }

    /// @dev The claim's leaf of every window is that of the commitments of the window.
    function _checkLeaves(
        bytes32 posted,
        bytes calldata claim,
        uint256 windows,
        uint256[][] calldata sums,
        uint256[] memory bits
    ) private view {
        uint256[] memory words = new uint256[](2 * sums.length);
        unchecked {
            for (uint256 window = 0; window < windows; ++window) {
                for (uint256 stream = 0; stream < sums.length; ++stream) {
                    (words[2 * stream], words[2 * stream + 1]) = _own(sums[stream], window, bits[stream]);
                }
                require(
                    Claims.at(claim, window) == Claims.leaf(posted, words, 0),
                    IDisputeGame.NotAsClaimed(window)
                );
            }
        }
    }

    /// @dev The commitment of a window: its running sum, less that of the one before in the same chunk.
    function _own(uint256[] calldata sums, uint256 window, uint256 bits)
        private
        view
        returns (uint256 x, uint256 y)
    {
        unchecked {
            uint256 word = 2 * window;
            (x, y) = (sums[word], sums[word + 1]);
            if (!Streams.startsChunk(window, bits)) {
                (x, y) = Curve.minus(x, y, sums[word - 2], sums[word - 1]);
            }
        }
    }
}
