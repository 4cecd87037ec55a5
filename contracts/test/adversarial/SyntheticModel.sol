// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ILayerVerifier} from "../../src/interfaces/ILayerVerifier.sol";
import {Leaves} from "../../src/libraries/Leaves.sol";
import {Merkle} from "../Merkle.sol";

/// @notice The kinds of step in the order of their verifiers, and what is proven beside them.
enum StepKind {
    Mlp,
    Attention,
    Embedding,
    Head
}

/// @title A model so small that the EVM runs it: the ground truth of the adversarial tests
/// @notice It has the residual stream alone, and two kinds of step: one reads and writes its own window, one reads all windows
///         up to the one that it writes. Every step is a hash. A window after a step is H(kind, key, the words before it in the statement),
///         and logit(row, token) = H(row, head row, window) mod 4, so ties are frequent; the lowest id wins.
library SyntheticModel {
    uint256 internal constant STEPS = 6;
    uint256 internal constant VOCABULARY = 8;
    uint256 internal constant END_TOKEN = 2;
    uint256 internal constant MAX_POSITIONS = 70;
    uint256 private constant _WINDOW = 32;

    function stepKey(uint256 step) internal pure returns (bytes memory) {
        return abi.encode("step key", step);
    }

    function kindOf(uint256 step) internal pure returns (StepKind) {
        return step % 2 == 0 ? StepKind.Attention : StepKind.Mlp;
    }

    function embeddingPoint(uint256 id) internal pure returns (uint256[2] memory) {
        return [1000 + id, 2000 + id];
    }

    function headPoint(uint256 id) internal pure returns (uint256[2] memory) {
        return [3000 + id, 4000 + id];
    }

    function token(bytes memory ids, uint256 position) internal pure returns (uint256) {
        return uint8(ids[4 * position + 3]);
    }

    function encode(uint256 id) internal pure returns (bytes memory) {
        return abi.encodePacked(uint32(id));
    }

    /// @dev T = prompt + output - 1 positions.
    function positions(bytes memory promptIds, bytes memory outputIds) internal pure returns (uint256) {
        return (promptIds.length + outputIds.length) / 4 - 1;
    }

    // --- statements

    /// @notice Whether the statement that a verifier is asked about is true.
    function isTrue(StepKind kind, bytes memory key, uint256[] memory inputs) internal pure returns (bool) {
        if (kind == StepKind.Head) {
            uint256 chosen = logit(inputs[0], inputs[3], inputs[4], inputs[7], inputs[8]);
            uint256 rival = logit(inputs[0], inputs[5], inputs[6], inputs[7], inputs[8]);
            return inputs[1] * chosen + inputs[2] >= inputs[1] * rival + 2 ** 63;
        }
        (uint256 x, uint256 y) = image(kind, key, inputs, inputs.length - 2);
        return inputs[inputs.length - 2] == x && inputs[inputs.length - 1] == y;
    }

    /// @notice The only accepted proof of a true statement.
    function proofOf(StepKind kind, bytes memory key, uint256[] memory inputs)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encode(keccak256(abi.encode("proof", kind, key, inputs)));
    }

    function image(StepKind kind, bytes memory key, uint256[] memory inputs, uint256 length)
        internal
        pure
        returns (uint256 x, uint256 y)
    {
        bytes32 digest;
        assembly ("memory-safe") {
            digest := keccak256(add(inputs, 0x20), mul(length, 0x20))
        }
        x = uint256(keccak256(abi.encode(kind, key, digest, "x"))) >> 3; // below q
        y = uint256(keccak256(abi.encode(kind, key, digest, "y"))) >> 3;
    }

    function logit(uint256 row, uint256 headX, uint256 headY, uint256 x, uint256 y)
        internal
        pure
        returns (uint256)
    {
        return uint256(keccak256(abi.encode(row, headX, headY, x, y))) % 4;
    }

    // --- running the model

    /// @notice [boundary][x_0, y_0, x_1, y_1, ...]: all window commitments, boundary 0 after the embedding.
    function trace(bytes memory promptIds, bytes memory outputIds)
        internal
        pure
        returns (uint256[][] memory all)
    {
        uint256 count = positions(promptIds, outputIds);
        uint256 windows = (count + _WINDOW - 1) / _WINDOW;
        all = new uint256[][](STEPS + 1);
        all[0] = new uint256[](2 * windows);
        for (uint256 w = 0; w < windows; ++w) {
            uint256[] memory rows = embeddingRows(promptIds, outputIds, w);
            (all[0][2 * w], all[0][2 * w + 1]) = image(StepKind.Embedding, "", rows, 2 * _WINDOW);
        }
        for (uint256 step = 0; step < STEPS; ++step) {
            all[step + 1] = new uint256[](2 * windows);
            for (uint256 w = 0; w < windows; ++w) {
                uint256[] memory inputs = stepInputs(step, w, all[step], all[step + 1]);
                (all[step + 1][2 * w], all[step + 1][2 * w + 1]) =
                    image(kindOf(step), stepKey(step), inputs, inputs.length - 2);
            }
        }
    }

    /// @notice The token that the model chooses after `position`; `last` is boundary `STEPS`.
    function argmax(uint256[] memory last, uint256 position) internal pure returns (uint256 best) {
        uint256 w = position / _WINDOW;
        uint256 most = 0;
        for (uint256 v = 0; v < VOCABULARY; ++v) {
            uint256[2] memory head = headPoint(v);
            uint256 value = logit(position % _WINDOW, head[0], head[1], last[2 * w], last[2 * w + 1]);
            if (v == 0 || value > most) (best, most) = (v, value);
        }
    }

    // --- boundaries

    function leaves(uint256[] memory points) internal pure returns (bytes32[] memory all) {
        all = new bytes32[](points.length / 2);
        for (uint256 w = 0; w < all.length; ++w) {
            all[w] = Leaves.window(w, points[2 * w], points[2 * w + 1]);
        }
    }

    /// @notice The root of the one stream, as the list that a boundary's hash is taken of.
    function roots(uint256[] memory points) internal pure returns (bytes32[] memory one) {
        one = new bytes32[](1);
        one[0] = Merkle.root(leaves(points));
    }

    // --- statements as the contract must rebuild them

    function stepInputs(uint256 step, uint256 window, uint256[] memory before, uint256[] memory afterwards)
        internal
        pure
        returns (uint256[] memory inputs)
    {
        if (step % 2 == 1) {
            inputs = new uint256[](4);
            inputs[0] = before[2 * window];
            inputs[1] = before[2 * window + 1];
        } else {
            inputs = new uint256[](2 * window + 5);
            inputs[0] = window;
            for (uint256 i = 0; i < 2 * window + 2; ++i) {
                inputs[1 + i] = before[i];
            }
        }
        inputs[inputs.length - 2] = afterwards[2 * window];
        inputs[inputs.length - 1] = afterwards[2 * window + 1];
    }

    /// @notice The 64 words of a window's embedding rows, with two more for its point.
    function embeddingRows(bytes memory promptIds, bytes memory outputIds, uint256 window)
        internal
        pure
        returns (uint256[] memory inputs)
    {
        inputs = new uint256[](2 * _WINDOW + 2);
        uint256 count = positions(promptIds, outputIds);
        for (uint256 row = 0; row < _WINDOW && window * _WINDOW + row < count; ++row) {
            uint256[2] memory point =
                embeddingPoint(tokenInSequence(promptIds, outputIds, window * _WINDOW + row));
            (inputs[2 * row], inputs[2 * row + 1]) = (point[0], point[1]);
        }
    }

    function tokenInSequence(bytes memory promptIds, bytes memory outputIds, uint256 position)
        internal
        pure
        returns (uint256)
    {
        uint256 length = promptIds.length / 4;
        return position < length ? token(promptIds, position) : token(outputIds, position - length);
    }
}

/// @title The oracle of truth: accepts a true statement with its proof, and nothing else
/// @notice It stands for a sound and complete proof system; the generated verifiers are tested elsewhere.
contract SyntheticVerifier is ILayerVerifier {
    StepKind private immutable _kind;

    constructor(StepKind kind) {
        _kind = kind;
    }

    function verify(bytes calldata key, uint256[] calldata inputs, bytes calldata proof)
        external
        view
        returns (bool)
    {
        return SyntheticModel.isTrue(_kind, key, inputs)
            && keccak256(proof) == keccak256(SyntheticModel.proofOf(_kind, key, inputs));
    }
}
