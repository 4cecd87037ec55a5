// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title What every generated step verifier implements
/// @notice Layouts of `inputs` (each element one word, points affine, infinity = (0, 0)):
///
///   step       [w, read ..., written ...]     read, for each stream in order: the commitment of window w (own), or the sums
///              of the commitments of each chunk up to and with window w (all); written, for each stream in order: the
///              commitment of window w. w is there iff the kind reads all of a stream, or reads or writes a placed one
///   embedding  [E_0.x, E_0.y, ..., E_31.x, E_31.y, window.x, window.y]    E_i = (0, 0) for a padded position
///   head       [row, strict, chosen.x, chosen.y, rival.x, rival.y, window.x, window.y]
///              proves logit(chosen) >= logit(rival) + strict, strict = 1 iff rival id < chosen id
///
///   `key` is the step key, and empty for embedding and head.
interface ILayerVerifier {
    /// @notice Whether `proof` proves the statement that `key` and `inputs` describe.
    /// @dev May revert on a malformed proof; callers treat a revert as "not proven".
    function verify(bytes calldata key, uint256[] calldata inputs, bytes calldata proof)
        external
        view
        returns (bool);
}
