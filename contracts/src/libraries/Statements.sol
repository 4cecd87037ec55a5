// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    EmbeddingProof,
    Game,
    HeadProof,
    IDisputeGame,
    ResidualWindow,
    ShownClaim,
    ShownGroup,
    StepProof,
    TokenRow
} from "../interfaces/IDisputeGame.sol";
import {HeadRules, StepRules} from "../interfaces/IModelRegistry.sol";
import {Boundary} from "./Boundary.sol";
import {Claims} from "./Claims.sol";
import {Curve} from "./Curve.sol";
import {Leaves} from "./Leaves.sol";
import {MerklePath} from "./MerklePath.sol";
import {Streams} from "./Streams.sol";
import {TokenIds} from "./TokenIds.sol";

/// @title The public inputs of a proof, rebuilt from the game's state and the model
/// @notice Nothing in `inputs` is the prover's choice: running sums are leaves under roots whose hash is in the game, token
///         ids are preimages of the response, keys and rows have paths in the model's trees.
library Statements {
    /// @dev Where the reading of a step's proof stands.
    struct Cursor {
        uint256 window;
        uint256 windows;
        uint256 word; // of the inputs
        uint256 written; // the word from which on the inputs say what is written
        uint256 sum; // of the proof's sums
        uint256 sibling;
    }

    /// @notice [w, read ..., written ...], each a point (x, y). Read, for each stream in order: the commitment of window w
    ///         (own), or the sums of the commitments of each chunk up to and with window w (all). Written, for each stream in
    ///         order: the commitment of window w. The number w is left out where it says nothing (`Streams.namesWindow`).
    function step(
        Game storage game,
        StepRules memory rules,
        StepProof calldata stepProof,
        ShownClaim calldata shown
    ) internal view returns (uint256[] memory inputs) {
        checkEnds(game, stepProof.rootsBefore, stepProof.rootsAfter, Boundary.hash(shown.groups));
        checkUnmoved(rules.streams, rules.access, stepProof.rootsBefore, stepProof.rootsAfter);
        checkStepKey(game.rangeStart, rules, stepProof.kind, keccak256(stepProof.key), stepProof.keyPath);
        Cursor memory at;
        at.window = shown.window;
        at.windows = Boundary.windows(game.promptLength, game.outputLength);
        _checkWindow(at.window, at.windows);
        inputs = _stepInputs(at, rules, stepProof);
        Claims.checkDiffers(shown, Boundary.hash(stepProof.rootsAfter), inputs, at.written);
    }

    /// @notice The same of a step's proof whose ends and key are checked elsewhere.
    function stepInputs(uint256 window, uint256 windows, StepRules memory rules, StepProof calldata stepProof)
        internal
        view
        returns (uint256[] memory)
    {
        Cursor memory at;
        (at.window, at.windows) = (window, windows);
        return _stepInputs(at, rules, stepProof);
    }

    function _stepInputs(Cursor memory at, StepRules memory rules, StepProof calldata stepProof)
        private
        view
        returns (uint256[] memory inputs)
    {
        uint256 uses = Streams.uses(rules.access);
        inputs = _emptyInputs(at, rules, stepProof);
        for (uint256 stream = 0; uses >> (4 * stream) != 0; ++stream) {
            uint256 how = Streams.ofStream(uses, stream);
            if (how & Streams.READS_OWN != 0) {
                _own(at, inputs, rules.streams, stream, stepProof.rootsBefore[stream], stepProof);
            }
            if (how & Streams.READS_ALL != 0) _all(at, inputs, rules.streams, stream, stepProof);
        }
        at.written = at.word;
        for (uint256 stream = 0; uses >> (4 * stream) != 0; ++stream) {
            if (Streams.ofStream(uses, stream) & Streams.WRITES == 0) continue;
            // What is written has windows, if only zeros: one without commits to zeros, too, but is another boundary.
            require(stepProof.rootsAfter[stream] != 0, IDisputeGame.WrongWindow(stream, at.window));
            _own(at, inputs, rules.streams, stream, stepProof.rootsAfter[stream], stepProof);
        }
        require(
            at.sibling == stepProof.siblings.length,
            IDisputeGame.WrongSiblingCount(stepProof.siblings.length, at.sibling)
        );
    }

    /// @notice [E_0.x, E_0.y, ..., E_31.x, E_31.y, window.x, window.y], E = (0, 0) for padded positions.
    function embedding(
        Game storage game,
        bytes32 rowsRoot,
        uint256 vocabSize,
        EmbeddingProof calldata embeddingProof,
        ShownClaim calldata shown
    ) internal view returns (uint256[] memory inputs) {
        checkTokens(game, embeddingProof.promptIds, embeddingProof.outputIds);
        checkInput(game, embeddingProof.window.roots, Boundary.hash(shown.groups));
        uint256 positions = Boundary.positions(game.promptLength, game.outputLength);
        _checkWindow(shown.window, Boundary.windowsOf(positions));
        inputs = embeddingInputs(shown.window, positions, rowsRoot, vocabSize, embeddingProof);
        Claims.checkDiffers(shown, Boundary.hash(embeddingProof.window.roots), inputs, inputs.length - 2);
    }

    /// @notice The same of a proof whose token ids and boundary are checked elsewhere.
    function embeddingInputs(
        uint256 window,
        uint256 positions,
        bytes32 rowsRoot,
        uint256 vocabSize,
        EmbeddingProof calldata embeddingProof
    ) internal pure returns (uint256[] memory inputs) {
        require(
            embeddingProof.rows.length == Boundary.WINDOW,
            IDisputeGame.WrongRowCount(embeddingProof.rows.length, Boundary.WINDOW)
        );
        inputs = new uint256[](2 * Boundary.WINDOW + 2);
        for (uint256 row = 0; row < Boundary.WINDOW; ++row) {
            uint256 position = Boundary.WINDOW * window + row;
            if (position >= positions) break; // padded: new memory is zero
            TokenRow calldata token = embeddingProof.rows[row];
            checkToken(
                rowsRoot,
                vocabSize,
                TokenIds.inSequence(embeddingProof.promptIds, embeddingProof.outputIds, position),
                token
            );
            inputs[2 * row] = token.embedding[0];
            inputs[2 * row + 1] = token.embedding[1];
        }
        checkResidualWindow(embeddingProof.window, window, Boundary.windowsOf(positions));
        inputs[2 * Boundary.WINDOW] = embeddingProof.window.sum[0];
        inputs[2 * Boundary.WINDOW + 1] = embeddingProof.window.sum[1];
    }

    /// @notice [row, factor, offset, winner.x, winner.y, rival.x, rival.y, window.x, window.y]
    function head(Game storage game, HeadRules memory rules, HeadProof calldata headProof)
        internal
        view
        returns (uint256[] memory inputs)
    {
        checkToken(rules.rowsRoot, rules.vocabSize, headProof.winnerId, headProof.winner);
        checkToken(rules.rowsRoot, rules.vocabSize, game.rivalId, headProof.rival);
        uint256 position = game.position;
        checkPreimage(game, Boundary.hashOfOne(Boundary.hash(headProof.window.roots)));
        checkResidualWindow(
            headProof.window,
            position / Boundary.WINDOW,
            Boundary.windows(game.promptLength, game.outputLength)
        );
        inputs = new uint256[](9);
        inputs[0] = position % Boundary.WINDOW;
        inputs[1] = rules.factor;
        inputs[2] = rules.offset;
        inputs[3] = headProof.winner.head[0];
        inputs[4] = headProof.winner.head[1];
        inputs[5] = headProof.rival.head[0];
        inputs[6] = headProof.rival.head[1];
        inputs[7] = headProof.window.sum[0];
        inputs[8] = headProof.window.sum[1];
    }

    /// @notice The roots are as many as the model has streams, and of what a kind does not write nothing moved.
    function checkUnmoved(
        uint256 streams,
        uint256 access,
        bytes32[] calldata rootsBefore,
        bytes32[] calldata rootsAfter
    ) internal pure {
        uint256 number = Streams.count(streams);
        checkRootCount(rootsBefore, number);
        checkRootCount(rootsAfter, number);
        for (uint256 stream = 0; stream < number; ++stream) {
            uint256 how = Streams.ofStream(access, stream);
            if (how & Streams.WRITES != 0) continue;
            bytes32 expected = how & Streams.RESETS != 0 ? bytes32(0) : rootsBefore[stream];
            require(
                rootsAfter[stream] == expected, IDisputeGame.StreamMoved(stream, rootsAfter[stream], expected)
            );
        }
    }

    /// @notice The roots are as many as the model has streams, and b_0 has none but the residual one.
    function checkInputRoots(uint256 streams, bytes32[] calldata roots) internal pure {
        uint256 number = Streams.count(streams);
        checkRootCount(roots, number);
        for (uint256 stream = 1; stream < number; ++stream) {
            require(roots[stream] == 0, IDisputeGame.StreamMoved(stream, roots[stream], 0));
        }
    }

    /// @notice The roots are as many as the model has streams.
    function checkRootCount(bytes32[] calldata roots, uint256 number) internal pure {
        require(roots.length == number, IDisputeGame.WrongRootCount(roots.length, number));
    }

    /// @notice A claim has a leaf for every window where what is challenged is a step or the input, else none.
    function checkClaimLength(Game storage game, bytes calldata claim, bool isDue) internal view {
        uint256 expected = isDue ? Claims.LEAF * Boundary.windows(game.promptLength, game.outputLength) : 0;
        require(claim.length == expected, IDisputeGame.WrongClaimLength(claim.length, expected));
    }

    /// @notice The boundaries, as `actual` their list hashes to, are those that the game is about.
    function checkBoundaries(Game storage game, bytes32 actual) internal view {
        require(actual == game.boundariesHash, IDisputeGame.WrongBoundaries(actual, game.boundariesHash));
    }

    /// @notice The boundaries that are shown: the group of this number in the list that the game is about.
    function groupOf(Game storage game, ShownGroup calldata shown, uint256 number)
        internal
        view
        returns (bytes32[] calldata boundaries)
    {
        checkBoundaries(game, Boundary.hash(shown.groups));
        boundaries = shown.boundaries;
        bytes32 actual = Boundary.hash(boundaries);
        bytes32 expected = shown.groups[number];
        require(actual == expected, IDisputeGame.WrongBoundaries(actual, expected));
    }

    /// @notice The ends of a part of the list that the game is about.
    function endsOf(Game storage game, ShownGroup calldata shown, uint256 part)
        internal
        view
        returns (bytes32 startHash, bytes32 endHash)
    {
        bytes32[] calldata boundaries = groupOf(game, shown, part / Boundary.GROUP);
        uint256 place = part % Boundary.GROUP;
        return (boundaries[place], boundaries[place + 1]);
    }

    /// @notice A move was made for what the game is about: its boundaries, or the response's ids while there are none.
    function checkAbout(Game storage game, bytes32 about) internal view {
        bytes32 expected = game.boundariesHash;
        if (expected == 0) expected = game.idsHash;
        require(about == expected, IDisputeGame.AboutSomethingElse(about, expected));
    }

    /// @notice The roots are those of the disputed step's start and end, and the claim about it has this hash.
    function checkEnds(
        Game storage game,
        bytes32[] calldata rootsBefore,
        bytes32[] calldata rootsAfter,
        bytes32 claimHash
    ) internal view {
        checkPreimage(
            game, Boundary.hashOfThree(Boundary.hash(rootsBefore), Boundary.hash(rootsAfter), claimHash)
        );
    }

    /// @notice The roots are those of the disputed b_0, and the claim about it has this hash.
    function checkInput(Game storage game, bytes32[] calldata roots, bytes32 claimHash) internal view {
        checkPreimage(game, Boundary.hashOfTwo(Boundary.hash(roots), claimHash));
    }

    /// @notice Roots and a claim, of which `actual` follows, are those that the game is about.
    function checkPreimage(Game storage game, bytes32 actual) internal view {
        require(actual == game.boundariesHash, IDisputeGame.WrongPreimage(actual, game.boundariesHash));
    }

    /// @notice The key is the model's for this step, and the step is of the kind that the proof names.
    function checkStepKey(
        uint256 number,
        StepRules memory rules,
        uint256 kind,
        bytes32 keyDigest,
        bytes32[] calldata keyPath
    ) internal pure {
        bytes32 leaf = Leaves.stepKey(number, kind, keyDigest);
        require(
            MerklePath.leads(keyPath, rules.stepKeysRoot, leaf, number, rules.keyCount),
            IDisputeGame.WrongStepKey(number, kind, keyDigest)
        );
    }

    /// @notice The sum is the residual stream's at this window of the boundary with these roots. The stream is not placed, so
    ///         it is the window's commitment.
    function checkResidualWindow(ResidualWindow calldata residual, uint256 window, uint256 windows)
        internal
        pure
    {
        Curve.checkCanonical(residual.sum[0], residual.sum[1]);
        bytes32 leaf = Leaves.window(window, residual.sum[0], residual.sum[1]);
        require(
            residual.roots.length != 0
                && MerklePath.leads(residual.path, residual.roots[0], leaf, window, windows),
            IDisputeGame.WrongWindow(0, window)
        );
    }

    /// @notice The ids are those of the response.
    function checkTokens(Game storage game, bytes calldata promptIds, bytes calldata outputIds)
        internal
        view
    {
        require(promptIds.length == 4 * uint256(game.promptLength), IDisputeGame.WrongTokenIds());
        checkOutput(game, keccak256(promptIds), outputIds);
    }

    /// @notice The ids are the output of the response, whose prompt has this hash.
    function checkOutput(Game storage game, bytes32 promptHash, bytes calldata outputIds) internal view {
        require(
            outputIds.length == 4 * uint256(game.outputLength)
                && idsHash(promptHash, keccak256(outputIds)) == game.idsHash,
            IDisputeGame.WrongTokenIds()
        );
    }

    /// @notice What a game keeps of the ids of its response.
    function idsHash(bytes32 promptHash, bytes32 outputHash) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(promptHash, outputHash));
    }

    /// @notice The commitments are the model's for this token.
    function checkToken(bytes32 rowsRoot, uint256 vocabSize, uint256 tokenId, TokenRow calldata token)
        internal
        pure
    {
        bytes32 leaf = Leaves.tokenRow(tokenId, token.embedding, token.head);
        require(
            MerklePath.leads(token.path, rowsRoot, leaf, tokenId, vocabSize),
            IDisputeGame.WrongTokenRow(tokenId)
        );
    }

    // --- private: windows of a step

    function _checkWindow(uint256 window, uint256 windows) private pure {
        require(window < windows, IDisputeGame.WindowOutOfRange(window, windows));
    }

    /// @dev The words of the statement, of which only the window's number is there yet; the proof has the sums for them.
    function _emptyInputs(Cursor memory at, StepRules memory rules, StepProof calldata stepProof)
        private
        pure
        returns (uint256[] memory inputs)
    {
        (uint256 words,, uint256 sums) = Streams.sizes(rules.streams, rules.access, at.window);
        require(
            stepProof.sums.length == 2 * sums, IDisputeGame.WrongSumCount(stepProof.sums.length, 2 * sums)
        );
        inputs = new uint256[](words);
        if (words % 2 == 1) inputs[at.word++] = at.window;
    }

    /// @dev The commitment of the window: its running sum, less that of the one before in the same chunk.
    function _own(
        Cursor memory at,
        uint256[] memory inputs,
        uint256 streams,
        uint256 stream,
        bytes32 root,
        StepProof calldata stepProof
    ) private view {
        uint256 window = at.window;
        uint256 from = at.word;
        _leaf(at, inputs, root, stream, window, stepProof);
        if (Streams.startsChunk(window, Streams.chunkBits(streams, stream))) return;
        uint256 x = inputs[from];
        uint256 y = inputs[from + 1];
        at.word = from; // both sums make one point
        _leaf(at, inputs, root, stream, window - 1, stepProof);
        (inputs[from], inputs[from + 1]) = Curve.minus(x, y, inputs[from], inputs[from + 1]);
    }

    /// @dev One running sum, into the inputs, under the stream's root.
    function _leaf(
        Cursor memory at,
        uint256[] memory inputs,
        bytes32 root,
        uint256 stream,
        uint256 window,
        StepProof calldata stepProof
    ) private pure {
        bytes32 node = _take(at, inputs, root, stream, window, stepProof);
        if (root == 0) return;
        uint256 next;
        (node, next) =
            MerklePath.climb(stepProof.siblings, at.sibling, node, window, at.windows, type(uint256).max);
        require(next != MerklePath.TOO_SHORT && node == root, IDisputeGame.WrongWindow(stream, window));
        at.sibling = next;
    }

    /// @dev The running sums at the ends of the window's chunk and of all before, into the inputs, under the stream's root.
    function _all(
        Cursor memory at,
        uint256[] memory inputs,
        uint256 streams,
        uint256 stream,
        StepProof calldata stepProof
    ) private pure {
        bytes32 root = stepProof.rootsBefore[stream];
        uint256 bits = Streams.chunkBits(streams, stream);
        bytes32[] memory nodes = new bytes32[]((at.window >> bits) + 1);
        for (uint256 chunk = 0; chunk < nodes.length; ++chunk) {
            uint256 window = chunk + 1 == nodes.length ? at.window : ((chunk + 1) << bits) - 1;
            nodes[chunk] = _take(at, inputs, root, stream, window, stepProof);
            if (root == 0) continue;
            (nodes[chunk], at.sibling) =
                MerklePath.climb(stepProof.siblings, at.sibling, nodes[chunk], window, at.windows, bits);
        }
        if (root == 0) return;
        uint256 width = at.windows;
        for (uint256 level = 0; level < bits && width > 1; ++level) {
            width = (width + 1) / 2;
        }
        (bytes32 node, uint256 next) = MerklePath.prefix(stepProof.siblings, at.sibling, nodes, width);
        require(next != MerklePath.TOO_SHORT && node == root, IDisputeGame.WrongWindow(stream, at.window));
        at.sibling = next;
    }

    /// @dev The next sum of the proof, into the inputs; its leaf. A stream without windows commits to nothing.
    function _take(
        Cursor memory at,
        uint256[] memory inputs,
        bytes32 root,
        uint256 stream,
        uint256 window,
        StepProof calldata stepProof
    ) private pure returns (bytes32) {
        uint256 x;
        uint256 y;
        // Their numbers are those of `Streams.sizes`.
        unchecked {
            x = stepProof.sums[at.sum++];
            y = stepProof.sums[at.sum++];
            inputs[at.word++] = x;
            inputs[at.word++] = y;
        }
        Curve.checkCanonical(x, y);
        require(root != 0 || (x == 0 && y == 0), IDisputeGame.WrongWindow(stream, window));
        return Leaves.window(window, x, y);
    }
}
