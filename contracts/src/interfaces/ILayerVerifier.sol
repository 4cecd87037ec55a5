// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title What every generated step verifier implements
/// @notice Layouts of `inputs` (each element one word, points affine, infinity = (0, 0)):
///
///   MLP        [before.x, before.y, after.x, after.y]
///   attention  [w, x_0.x, x_0.y, ..., x_w.x, x_w.y, after_w.x, after_w.y]
///   embedding  [E_0.x, E_0.y, ..., E_31.x, E_31.y, window.x, window.y]    E_i = (0, 0) for a padded position
///   head       [row, strict, chosen.x, chosen.y, rival.x, rival.y, window.x, window.y]
///              proves logit(chosen) >= logit(rival) + strict, strict = 1 iff rival id < chosen id
///
///   `key` is the step key for MLP and attention, and empty for embedding and head.
interface ILayerVerifier {
    /// @notice Whether `proof` proves the statement that `key` and `inputs` describe.
    /// @dev May revert on a malformed proof; callers treat a revert as "not proven".
    function verify(bytes calldata key, uint256[] calldata inputs, bytes calldata proof)
        external
        view
        returns (bool);
}
