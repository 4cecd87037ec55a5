// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    AgreedStep,
    EmbeddingProof,
    Game,
    HeadProof,
    IDisputeGame,
    Phase,
    ResidualWindow,
    ShownGroup,
    StepProof,
    Target,
    TokenRow
} from "../../src/interfaces/IDisputeGame.sol";
import {Boundary} from "../../src/libraries/Boundary.sol";
import {Claimed} from "../Claimed.sol";
import {Merkle} from "../Merkle.sol";
import {Answer, Arena} from "./Arena.sol";
import {StepKind, SyntheticModel} from "./SyntheticModel.sol";
import {Groups} from "../Groups.sol";

/// @title What can be done in a game, as calldata: the honest move and dishonest ones
/// @notice A provider's trace in a game is the true one, or differs from it in one window from one boundary
///         on. An honest challenger compares what was posted with the truth.
abstract contract Moves is Arena {
    struct Lie {
        uint256 from; // first wrong boundary; beyond STEPS: an honest trace
        uint256 window;
    }

    mapping(uint256 gameId => Lie) internal lies;
    mapping(uint256 gameId => bytes) internal claimOf;

    function truthOf(Answer storage a) internal view returns (uint256[][] memory) {
        return SyntheticModel.trace(a.promptIds, a.outputIds);
    }

    /// @dev Boundary `s` as the provider shows it in this game.
    function posted(uint256 gameId, uint256[][] memory truth, uint256 s)
        internal
        view
        returns (uint256[] memory all)
    {
        all = new uint256[](truth[s].length);
        Lie storage lie = lies[gameId];
        for (uint256 i = 0; i < all.length; ++i) {
            bool isWrong = s >= lie.from && i / 2 == lie.window % (all.length / 2);
            all[i] = isWrong ? uint256(keccak256(abi.encode(truth[s][i], "a lie"))) >> 3 : truth[s][i];
        }
    }

    function hashOf(uint256[] memory points) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(SyntheticModel.roots(points)));
    }

    // --- provider

    function providerMove(uint256 gameId, Game memory g) internal view returns (bytes memory) {
        Answer storage a = answers[answerOf[gameId]];
        uint256[][] memory truth = truthOf(a);
        if (g.phase == Phase.AwaitBoundaries) {
            return
                abi.encodeCall(
                    IDisputeGame.postBoundaries, (gameId, aboutOf(gameId), dueHashes(gameId, truth))
                );
        }
        (bytes memory data,,) = proofMove(gameId, g);
        return data;
    }

    /// @dev What the provider posts in this phase, and a challenger gives back in the next.
    function dueHashes(uint256 gameId, uint256[][] memory truth)
        internal
        view
        returns (bytes32[] memory hashes)
    {
        uint256[] memory cuts = cutsOf(gameId);
        hashes = new bytes32[](cuts.length);
        for (uint256 i = 0; i < hashes.length; ++i) {
            hashes[i] = hashOf(posted(gameId, truth, cuts[i]));
        }
    }

    /// @dev The proof that the game waits for, and whether its statement is true.
    function proofMove(uint256 gameId, Game memory g)
        internal
        view
        returns (bytes memory data, bool isTrue, bytes memory proof)
    {
        if (g.target == Target.Head) return _headMove(gameId, g);
        uint256 window = firstOther(gameId, g);
        if (window == windowsOf(gameId)) return refutation(gameId, g);
        return windowMove(gameId, g, window);
    }

    /// @dev The proof of this window, whatever was claimed about it.
    function windowMove(uint256 gameId, Game memory g, uint256 window)
        internal
        view
        returns (bytes memory data, bool isTrue, bytes memory proof)
    {
        if (g.target == Target.Step) return _stepMove(gameId, g, window);
        return _embeddingMove(gameId, g, window);
    }

    /// @dev That all windows are as claimed, and a word of it that cannot be another one.
    function refutation(uint256 gameId, Game memory g)
        internal
        view
        returns (bytes memory data, bool isTrue, bytes memory word)
    {
        uint256[][] memory truth = truthOf(answers[answerOf[gameId]]);
        bool isStep = g.target == Target.Step;
        AgreedStep memory agreed;
        agreed.sums = new uint256[][](1);
        agreed.sums[0] = posted(gameId, truth, isStep ? g.rangeEnd : 0);
        agreed.rootsBefore = SyntheticModel.roots(posted(gameId, truth, isStep ? g.rangeStart : 0));
        if (isStep) {
            agreed.kind = uint256(SyntheticModel.kindOf(g.rangeStart));
            agreed.keyDigest = keccak256(SyntheticModel.stepKey(g.rangeStart));
            agreed.keyPath = stepKeyPath(g.rangeStart);
            agreed.rootsAfter = SyntheticModel.roots(agreed.sums[0]);
        }
        agreed.claim = claimOf[gameId];
        data = abi.encodeCall(IDisputeGame.refuteClaim, (gameId, agreed));
        return (data, firstOther(gameId, g) == windowsOf(gameId), abi.encode(agreed.sums[0][0]));
    }

    function _stepMove(uint256 gameId, Game memory g, uint256 window)
        private
        view
        returns (bytes memory, bool isTrue, bytes memory)
    {
        uint256[][] memory truth = truthOf(answers[answerOf[gameId]]);
        StepProof memory s;
        s.key = SyntheticModel.stepKey(g.rangeStart);
        s.keyPath = stepKeyPath(g.rangeStart);
        uint256[] memory inputs = _showWindows(
            s, g.rangeStart, window, posted(gameId, truth, g.rangeStart), posted(gameId, truth, g.rangeEnd)
        );
        StepKind kind = SyntheticModel.kindOf(g.rangeStart);
        s.kind = uint256(kind);
        s.proof = SyntheticModel.proofOf(kind, s.key, inputs);
        isTrue = SyntheticModel.isTrue(kind, s.key, inputs);
        bytes memory data =
            abi.encodeCall(IDisputeGame.proveStep, (gameId, s, Claimed.shown(claimOf[gameId], window)));
        return (data, isTrue, s.proof);
    }

    /// @dev The windows of the proof, and the statement that follows from them.
    function _showWindows(
        StepProof memory s,
        uint256 step,
        uint256 window,
        uint256[] memory before,
        uint256[] memory afterwards
    ) private pure returns (uint256[] memory inputs) {
        (s.rootsBefore, s.rootsAfter) = (SyntheticModel.roots(before), SyntheticModel.roots(afterwards));
        inputs = SyntheticModel.stepInputs(step, window, before, afterwards);
        uint256 skipped = inputs.length % 2;
        s.sums = new uint256[](inputs.length - skipped);
        for (uint256 i = 0; i < s.sums.length; ++i) {
            s.sums[i] = inputs[i + skipped];
        }
        bytes32[] memory read = SyntheticModel.leaves(before);
        bool isAll = SyntheticModel.kindOf(step) == StepKind.Attention;
        bytes32[] memory first = isAll ? _right(read, window) : Merkle.path(read, window);
        bytes32[] memory second = Merkle.path(SyntheticModel.leaves(afterwards), window);
        s.siblings = new bytes32[](first.length + second.length);
        for (uint256 i = 0; i < s.siblings.length; ++i) {
            s.siblings[i] = i < first.length ? first[i] : second[i - first.length];
        }
    }

    /// @dev What a root needs beside the leaves up to and with one.
    function _right(bytes32[] memory level, uint256 index) private pure returns (bytes32[] memory right) {
        right = new bytes32[](8);
        uint256 used = 0;
        for (; level.length > 1; level = Merkle.above(level)) {
            if (index % 2 == 0 && index + 1 < level.length) right[used++] = level[index + 1];
            index /= 2;
        }
        assembly ("memory-safe") {
            mstore(right, used)
        }
    }

    function _residual(uint256[] memory points, uint256 window)
        private
        pure
        returns (ResidualWindow memory shown)
    {
        shown.roots = SyntheticModel.roots(points);
        shown.sum = [points[2 * window], points[2 * window + 1]];
        shown.path = Merkle.path(SyntheticModel.leaves(points), window);
    }

    function _embeddingMove(uint256 gameId, Game memory g, uint256 window)
        private
        view
        returns (bytes memory, bool isTrue, bytes memory)
    {
        Answer storage a = answers[answerOf[gameId]];
        EmbeddingProof memory e;
        (e.promptIds, e.outputIds) = (a.promptIds, a.outputIds);
        e.window = _residual(posted(gameId, truthOf(a), 0), window);
        e.rows = _rows(a, window);
        uint256[] memory inputs = SyntheticModel.embeddingRows(a.promptIds, a.outputIds, window);
        inputs[inputs.length - 2] = e.window.sum[0];
        inputs[inputs.length - 1] = e.window.sum[1];
        e.proof = SyntheticModel.proofOf(StepKind.Embedding, "", inputs);
        isTrue = SyntheticModel.isTrue(StepKind.Embedding, "", inputs);
        bytes memory data =
            abi.encodeCall(IDisputeGame.proveEmbedding, (gameId, e, Claimed.shown(claimOf[gameId], window)));
        return (data, isTrue, e.proof);
    }

    function _rows(Answer storage a, uint256 window) private view returns (TokenRow[] memory rows) {
        TokenRow[] memory all = new TokenRow[](SyntheticModel.VOCABULARY);
        for (uint256 v = 0; v < all.length; ++v) {
            all[v] = _row(v);
        }
        rows = new TokenRow[](Boundary.WINDOW);
        (bytes memory promptIds, bytes memory outputIds) = (a.promptIds, a.outputIds);
        uint256 count = SyntheticModel.positions(promptIds, outputIds);
        for (uint256 i = 0; i < rows.length; ++i) {
            uint256 position = Boundary.WINDOW * window + i;
            rows[i] =
                all[position < count ? SyntheticModel.tokenInSequence(promptIds, outputIds, position) : 0];
        }
    }

    function _row(uint256 v) private view returns (TokenRow memory) {
        return TokenRow(SyntheticModel.embeddingPoint(v), SyntheticModel.headPoint(v), tokenPath(v));
    }

    function _headMove(uint256 gameId, Game memory g)
        private
        view
        returns (bytes memory, bool isTrue, bytes memory)
    {
        HeadProof memory h;
        h.window = _residual(
            posted(gameId, truthOf(answers[answerOf[gameId]]), SyntheticModel.STEPS),
            g.position / Boundary.WINDOW
        );
        h.winnerId = g.chosenId;
        (h.winner, h.rival) = (_row(g.chosenId), _row(g.rivalId));
        uint256[] memory inputs = new uint256[](9);
        (inputs[0], inputs[1]) = (g.position % Boundary.WINDOW, 1);
        inputs[2] = (1 << 63) - (g.rivalId < g.chosenId ? 1 : 0);
        (inputs[3], inputs[4]) = (h.winner.head[0], h.winner.head[1]);
        (inputs[5], inputs[6]) = (h.rival.head[0], h.rival.head[1]);
        (inputs[7], inputs[8]) = (h.window.sum[0], h.window.sum[1]);
        h.proof = SyntheticModel.proofOf(StepKind.Head, "", inputs);
        isTrue = SyntheticModel.isTrue(StepKind.Head, "", inputs);
        return (abi.encodeCall(IDisputeGame.proveHead, (gameId, h)), isTrue, h.proof);
    }

    // --- challenger

    /// @dev What a challenger does that wants to win against a false response, in any phase of its own.
    function honestChallenge(uint256 gameId, Game memory g) internal view returns (bytes memory) {
        Answer storage a = answers[answerOf[gameId]];
        if (a.isCutShort || a.runsOn) return claimAboutEnd(gameId, a);
        uint256[][] memory truth = truthOf(a);
        bytes32[] memory boundaries = dueHashes(gameId, truth);
        if (g.round == 1 && boundaries[0] != hashOf(truth[0])) {
            return abi.encodeCall(
                IDisputeGame.challengeInput,
                (gameId, Groups.first(boundaries), claimThat(truth[0], boundaries[0]))
            );
        }
        uint256[] memory cuts = cutsOf(gameId);
        for (uint256 part = 0; part + 1 < cuts.length; ++part) {
            if (boundaries[part + 1] != hashOf(truth[cuts[part + 1]])) {
                bool isStep = cuts[part + 1] - cuts[part] == 1;
                bytes memory claim =
                    isStep ? claimThat(truth[cuts[part + 1]], boundaries[part + 1]) : bytes("");
                return abi.encodeCall(
                    IDisputeGame.challengePart, (gameId, Groups.ofPart(boundaries, part), part, claim)
                );
            }
        }
        (, uint256 position, uint256 rival) = firstWrongToken(a.promptIds, a.outputIds);
        return abi.encodeCall(
            IDisputeGame.challengeHead,
            (gameId, Groups.last(boundaries), position, rival, keccak256(a.promptIds), a.outputIds)
        );
    }

    /// @dev What is conclusive at once about an output that does not end where it should.
    function claimAboutEnd(uint256 gameId, Answer storage a) internal view returns (bytes memory) {
        if (a.runsOn) {
            return abi.encodeCall(
                IDisputeGame.claimOverrun, (gameId, keccak256(a.promptIds), a.outputIds, endTokens(), 0)
            );
        }
        return abi.encodeCall(
            IDisputeGame.claimTruncated, (gameId, keccak256(a.promptIds), a.outputIds, endTokens())
        );
    }

    // --- claims

    /// @dev That every window is as in this boundary, where that with this hash was posted.
    function claimThat(uint256[] memory points, bytes32 shown) internal pure returns (bytes memory) {
        bytes16[] memory leaves = new bytes16[](points.length / 2);
        uint256[] memory point = new uint256[](2);
        for (uint256 w = 0; w < leaves.length; ++w) {
            (point[0], point[1]) = (points[2 * w], points[2 * w + 1]);
            leaves[w] = Claimed.leaf(shown, point);
        }
        return Claimed.join(leaves);
    }

    /// @dev The truth, what was posted, the same but for one window, or nothing that is anywhere.
    function randomClaim(uint256 gameId, uint256[][] memory truth, uint256 s, uint256 seed)
        internal
        view
        returns (bytes memory)
    {
        uint256[] memory shown = posted(gameId, truth, s);
        if (seed % 8 == 0) return claimThat(truth[s], hashOf(shown));
        bytes memory asPosted = claimThat(shown, hashOf(shown));
        if (seed % 8 == 1) return asPosted;
        if (seed % 8 < 5) return Claimed.but(asPosted, (seed >> 8) % (asPosted.length / 16));
        return Claimed.butAll(asPosted);
    }

    /// @dev The first window that is another one than the challenger claims; W where all are as claimed.
    function firstOther(uint256 gameId, Game memory g) internal view returns (uint256 window) {
        uint256 s = g.target == Target.Step ? g.rangeEnd : 0;
        uint256[] memory shown = posted(gameId, truthOf(answers[answerOf[gameId]]), s);
        bytes memory own = claimThat(shown, hashOf(shown));
        bytes memory claim = claimOf[gameId];
        while (16 * window < own.length && _leafAt(own, window) == _leafAt(claim, window)) window++;
    }

    function _leafAt(bytes memory claim, uint256 window) private pure returns (bytes16) {
        bytes memory leaf = new bytes(16);
        for (uint256 i = 0; i < 16; ++i) {
            leaf[i] = claim[16 * window + i];
        }
        return bytes16(leaf);
    }

    /// @dev What a challenger claimed, from the move that was made.
    function rememberClaim(bytes memory move) internal {
        bytes4 selector = bytes4(move);
        bytes memory arguments = new bytes(move.length - 4);
        for (uint256 i = 0; i < arguments.length; ++i) {
            arguments[i] = move[4 + i];
        }
        if (selector == IDisputeGame.challengePart.selector) {
            (uint256 gameId,,, bytes memory claim) =
                abi.decode(arguments, (uint256, ShownGroup, uint256, bytes));
            claimOf[gameId] = claim;
        } else if (selector == IDisputeGame.challengeInput.selector) {
            (uint256 gameId,, bytes memory claim) = abi.decode(arguments, (uint256, ShownGroup, bytes));
            claimOf[gameId] = claim;
        }
    }

    // --- moves at random

    /// @dev Some legal move, right or wrong.
    function randomChallenge(uint256 gameId, Game memory g, uint256 seed)
        internal
        view
        returns (bytes memory)
    {
        Answer storage a = answers[answerOf[gameId]];
        uint256[][] memory truth = truthOf(a);
        bytes32[] memory boundaries = dueHashes(gameId, truth);
        uint256 choice = g.round == 1 ? seed % 4 : 3;
        if (choice == 0) {
            bytes memory about = randomClaim(gameId, truth, 0, seed >> 32);
            return abi.encodeCall(IDisputeGame.challengeInput, (gameId, Groups.first(boundaries), about));
        }
        if (choice == 1) {
            uint256 j = (seed >> 8) % g.outputLength;
            uint256 chosen = SyntheticModel.token(a.outputIds, j);
            uint256 rival =
                (chosen + 1 + (seed >> 16) % (SyntheticModel.VOCABULARY - 1)) % SyntheticModel.VOCABULARY;
            return abi.encodeCall(
                IDisputeGame.challengeHead,
                (
                    gameId,
                    Groups.last(boundaries),
                    g.promptLength - 1 + j,
                    rival,
                    keccak256(a.promptIds),
                    a.outputIds
                )
            );
        }
        return _randomPart(gameId, truth, boundaries, seed);
    }

    function _randomPart(uint256 gameId, uint256[][] memory truth, bytes32[] memory boundaries, uint256 seed)
        private
        view
        returns (bytes memory)
    {
        uint256 part = (seed >> 8) % (boundaries.length - 1);
        uint256[] memory cuts = cutsOf(gameId);
        bool isStep = cuts[part + 1] - cuts[part] == 1;
        bytes memory claim = isStep ? randomClaim(gameId, truth, cuts[part + 1], seed >> 32) : bytes("");
        return
            abi.encodeCall(IDisputeGame.challengePart, (gameId, Groups.ofPart(boundaries, part), part, claim));
    }
}
