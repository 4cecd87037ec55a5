// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ResidualWindow, StepProof} from "../src/interfaces/IDisputeGame.sol";
import {Leaves} from "../src/libraries/Leaves.sol";
import {Claimed} from "./Claimed.sol";
import {Groups} from "./Groups.sol";
import {Merkle} from "./Merkle.sol";
import {Responses} from "./Responses.sol";

/// @title The streams of the response under dispute, boundary by boundary
/// @notice The provider's trace is honest up to a boundary of choice; what steps write from there on differs in one window.
///         Placed streams hold multiples of the generator, whose factors add up; the points of the others are on no curve.
abstract contract Traces is Responses {
    uint256 internal constant NEVER = type(uint256).max;
    bytes internal constant PROOF = "the step proof";

    uint256 private constant _GROUP_ORDER =
        0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001;

    /// @dev From boundary `from` on, `window` is wrong.
    struct Lie {
        uint256 from;
        uint256 window;
    }

    struct Siblings {
        bytes32[] all;
        uint256 used;
    }

    /// @dev Leaves no memory behind: for what is often done and returns no reference.
    modifier forgetful() {
        uint256 free;
        assembly ("memory-safe") {
            free := mload(0x40)
        }
        _;
        assembly ("memory-safe") {
            mstore(0x40, free)
        }
    }

    // --- streams

    /// @dev The boundary at which the stream was written last, seen from boundary `s`; whether it has windows at all.
    function versionAt(uint256 stream, uint256 s) internal pure returns (bool exists, uint256 version) {
        for (version = s; version > 0; --version) {
            uint256 how = accessOf(version - 1, stream);
            if (how & 8 != 0) return (false, 0);
            if (how & 4 != 0) return (true, version);
        }
        return (stream == 0, 0);
    }

    function accessOf(uint256 step, uint256 stream) internal pure returns (uint256) {
        return (accessWord(kindOf(step)) >> (4 * stream)) & 15;
    }

    /// @dev Commitment of one window of a stream at boundary `s`.
    function commitment(uint256 stream, uint256 s, uint256 window, Lie memory lie)
        internal
        view
        returns (uint256 x, uint256 y)
    {
        (bool exists, uint256 version) = versionAt(stream, s);
        if (!exists) return (0, 0);
        bool isWrong = version >= lie.from && window == lie.window;
        if (chunkBits(stream) != 0) return multiple(factor(stream, version, window, isWrong));
        uint256 place = version + (stream << 16);
        return (coordinate(place, 2 * window, isWrong), coordinate(place, 2 * window + 1, isWrong));
    }

    /// @dev Running sum of one window's chunk up to and with the window.
    function sum(uint256 stream, uint256 s, uint256 window, Lie memory lie)
        internal
        view
        returns (uint256 x, uint256 y)
    {
        uint256 bits = chunkBits(stream);
        (bool exists, uint256 version) = versionAt(stream, s);
        if (bits == 0 || !exists) return commitment(stream, s, window, lie);
        uint256 total = 0;
        for (uint256 w = (window >> bits) << bits; w <= window; ++w) {
            total += factor(stream, version, w, version >= lie.from && w == lie.window);
        }
        return multiple(total);
    }

    /// @dev All running sums of a stream at boundary `s`; none where it has no windows.
    function sums(uint256 stream, uint256 s, Lie memory lie) internal view returns (uint256[] memory all) {
        (bool exists, uint256 version) = versionAt(stream, s);
        if (!exists) return all;
        uint256 count = windows();
        uint256 bits = chunkBits(stream);
        uint256 total = 0;
        all = new uint256[](2 * count);
        for (uint256 w = 0; w < count; ++w) {
            if (bits == 0) {
                (all[2 * w], all[2 * w + 1]) = commitment(stream, s, w, lie);
                continue;
            }
            if (w % (1 << bits) == 0) total = 0;
            total += factor(stream, version, w, version >= lie.from && w == lie.window);
            (all[2 * w], all[2 * w + 1]) = multiple(total);
        }
    }

    function factor(uint256 stream, uint256 version, uint256 window, bool isWrong)
        internal
        pure
        virtual
        returns (uint256)
    {
        return uint256(keccak256(abi.encode("factor", stream, version, window, isWrong))) >> 8;
    }

    /// @dev factor * G
    function multiple(uint256 by) internal view forgetful returns (uint256 x, uint256 y) {
        (bool done, bytes memory point) =
            address(7).staticcall(abi.encode(uint256(1), uint256(2), by % _GROUP_ORDER));
        vm.assertTrue(done);
        (x, y) = abi.decode(point, (uint256, uint256));
    }

    /// @dev Below q, and different for every boundary, place and truth.
    function coordinate(uint256 s, uint256 i, bool isWrong) internal pure virtual returns (uint256) {
        return uint256(keccak256(abi.encode(s, i, isWrong))) >> 3;
    }

    // --- boundaries

    /// @dev Of what was posted.
    function listHash(bytes32[] memory boundaries) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(Groups.hashes(boundaries)));
    }

    /// @dev Of what a game is about once it is narrowed: one boundary, or two, or those and a claim.
    function listHash(bytes32 boundary) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(boundary));
    }

    function listHash(bytes32 start, bytes32 end) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(start, end));
    }

    function listHash(bytes32 start, bytes32 end, bytes32 claim) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(start, end, claim));
    }

    function leavesOf(uint256[] memory all) internal pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](all.length / 2);
        for (uint256 w = 0; w < leaves.length; ++w) {
            leaves[w] = Leaves.window(w, all[2 * w], all[2 * w + 1]);
        }
    }

    function roots(uint256 s, Lie memory lie) internal view returns (bytes32[] memory all) {
        all = new bytes32[](STREAMS);
        for (uint256 stream = 0; stream < STREAMS; ++stream) {
            all[stream] = root(stream, s, lie);
        }
    }

    function root(uint256 stream, uint256 s, Lie memory lie) private view forgetful returns (bytes32) {
        uint256[] memory words = sums(stream, s, lie);
        return words.length == 0 ? bytes32(0) : Merkle.root(leavesOf(words));
    }

    function boundaryHash(uint256 s, uint256 wrongFrom, uint256 wrongWindow) internal view returns (bytes32) {
        return keccak256(abi.encodePacked(roots(s, Lie(wrongFrom, wrongWindow))));
    }

    /// @dev All sums of what a step writes whose end is wrong in one window: what a refutation owes.
    function written(uint256 step, uint256 wrongWindow) internal view returns (uint256[][] memory shown) {
        uint256 count = 0;
        for (uint256 stream = 0; stream < STREAMS; ++stream) {
            if (accessOf(step, stream) & 4 != 0) count++;
        }
        shown = new uint256[][](count);
        count = 0;
        for (uint256 stream = 0; stream < STREAMS; ++stream) {
            if (accessOf(step, stream) & 4 == 0) continue;
            shown[count++] = sums(stream, step + 1, Lie(step + 1, wrongWindow));
        }
    }

    /// @dev The same of the input.
    function shownInput() internal view returns (uint256[][] memory shown) {
        shown = new uint256[][](1);
        shown[0] = sums(0, 0, Lie(NEVER, 0));
    }

    // --- claims

    /// @dev That the end of a step is as in this trace, which was posted.
    function stepClaim(uint256 step, Lie memory lie) internal view returns (bytes memory) {
        return stepClaim(step, lie, boundaryHash(step + 1, lie.from, lie.window));
    }

    /// @dev The truth about a step whose end was posted with something wrong in one window.
    function trueClaim(uint256 step, uint256 wrongWindow) internal view returns (bytes memory) {
        return stepClaim(step, Lie(NEVER, 0), boundaryHash(step + 1, step + 1, wrongWindow));
    }

    /// @dev The truth about a step whose end was posted with these roots.
    function trueClaimOf(uint256 step, bytes32[] memory end) internal view returns (bytes memory) {
        return stepClaim(step, Lie(NEVER, 0), keccak256(abi.encodePacked(end)));
    }

    /// @dev That the end of a step is as in this trace, where the end with this hash was posted.
    function stepClaim(uint256 step, Lie memory lie, bytes32 posted) internal view returns (bytes memory) {
        bytes16[] memory leaves = new bytes16[](windows());
        for (uint256 w = 0; w < leaves.length; ++w) {
            leaves[w] = stepLeaf(step, w, lie, posted);
        }
        return Claimed.join(leaves);
    }

    function stepLeaf(uint256 step, uint256 window, Lie memory lie, bytes32 posted)
        internal
        view
        forgetful
        returns (bytes16)
    {
        uint256[] memory points = new uint256[](2 * STREAMS);
        uint256 used = 0;
        for (uint256 stream = 0; stream < STREAMS; ++stream) {
            if (accessOf(step, stream) & 4 == 0) continue;
            (points[used], points[used + 1]) = commitment(stream, step + 1, window, lie);
            used += 2;
        }
        assembly ("memory-safe") {
            mstore(points, used)
        }
        return Claimed.leaf(posted, points);
    }

    /// @dev That b_0 is as it is.
    function inputClaim() internal view returns (bytes memory) {
        bytes16[] memory leaves = new bytes16[](windows());
        uint256[] memory points = new uint256[](2);
        bytes32 posted = boundaryHash(0, NEVER, 0);
        for (uint256 w = 0; w < leaves.length; ++w) {
            (points[0], points[1]) = commitment(0, 0, w, Lie(NEVER, 0));
            leaves[w] = Claimed.leaf(posted, points);
        }
        return Claimed.join(leaves);
    }

    function residualWindow(uint256 s, uint256 window) internal view returns (ResidualWindow memory shown) {
        shown.roots = roots(s, Lie(NEVER, 0));
        (shown.sum[0], shown.sum[1]) = sum(0, s, window, Lie(NEVER, 0));
        shown.path = Merkle.path(leavesOf(sums(0, s, Lie(NEVER, 0))), window);
    }

    // --- proofs of steps

    /// @dev As a provider proves it whose window is challenged.
    function stepProof(uint256 step, uint256 window) internal view returns (StepProof memory) {
        return stepProof(step, window, Lie(step + 1, window));
    }

    function stepProof(uint256 step, uint256 window, Lie memory lie)
        internal
        view
        returns (StepProof memory proof)
    {
        proof.kind = kindOf(step);
        proof.rootsBefore = roots(step, lie);
        proof.rootsAfter = roots(step + 1, lie);
        proof.key = stepKey(step);
        proof.keyPath = stepKeyPath(step);
        proof.proof = PROOF;
        Siblings memory siblings = Siblings(new bytes32[](4096), 0);
        uint256[] memory taken = new uint256[](2 * (windows() + 1) * 2 * STREAMS);
        uint256 used = 0;
        for (uint256 pass = 0; pass < 2; ++pass) {
            for (uint256 stream = 0; stream < STREAMS; ++stream) {
                uint256 how = accessOf(step, stream);
                if (how & (pass == 0 ? 3 : 4) == 0) continue;
                uint256[] memory all = sums(stream, step + pass, lie);
                bool isAll = pass == 0 && how & 2 != 0;
                used = isAll
                    ? _takeAll(all, window, chunkBits(stream), taken, used, siblings)
                    : _takeOwn(all, window, chunkBits(stream), taken, used, siblings);
            }
        }
        proof.sums = taken;
        proof.siblings = siblings.all;
        (uint256[] memory s, bytes32[] memory h, uint256 n) = (taken, siblings.all, siblings.used);
        assembly ("memory-safe") {
            mstore(s, used)
            mstore(h, n)
        }
    }

    function _takeOwn(
        uint256[] memory all,
        uint256 window,
        uint256 bits,
        uint256[] memory taken,
        uint256 used,
        Siblings memory siblings
    ) private pure returns (uint256) {
        bytes32[] memory leaves = leavesOf(all);
        uint256 count = window % (1 << bits) == 0 ? 1 : 2;
        for (uint256 i = 0; i < count; ++i) {
            used = _take(all, window - i, taken, used);
            if (all.length != 0) _append(siblings, leaves, window - i, 0, 64, false);
        }
        return used;
    }

    function _takeAll(
        uint256[] memory all,
        uint256 window,
        uint256 bits,
        uint256[] memory taken,
        uint256 used,
        Siblings memory siblings
    ) private pure returns (uint256) {
        bytes32[] memory leaves = leavesOf(all);
        for (uint256 chunk = 0; chunk <= window >> bits; ++chunk) {
            uint256 end = chunk == window >> bits ? window : ((chunk + 1) << bits) - 1;
            used = _take(all, end, taken, used);
            if (all.length != 0) _append(siblings, leaves, end, 0, bits, false);
        }
        if (all.length != 0) _append(siblings, leaves, window, bits, 64, true);
        return used;
    }

    function _take(uint256[] memory all, uint256 window, uint256[] memory taken, uint256 used)
        private
        pure
        returns (uint256)
    {
        if (all.length != 0) (taken[used], taken[used + 1]) = (all[2 * window], all[2 * window + 1]);
        return used + 2;
    }

    /// @dev The siblings on the levels `from` .. `to` - 1 of the way up, or only those on the right.
    function _append(
        Siblings memory siblings,
        bytes32[] memory leaves,
        uint256 index,
        uint256 from,
        uint256 to,
        bool onlyRight
    ) private pure forgetful {
        bytes32[] memory level = leaves;
        for (uint256 height = 0; level.length > 1 && height < to; ++height) {
            if (height >= from && index ^ 1 < level.length && !(onlyRight && index % 2 == 1)) {
                siblings.all[siblings.used++] = level[index ^ 1];
            }
            level = Merkle.above(level);
            index /= 2;
        }
    }

    /// @dev The statement that the contract must rebuild.
    function stepInputs(uint256 step, uint256 window) internal view returns (uint256[] memory) {
        return stepInputs(step, window, Lie(step + 1, window));
    }

    function stepInputs(uint256 step, uint256 window, Lie memory lie)
        internal
        view
        returns (uint256[] memory inputs)
    {
        inputs = new uint256[](1 + 2 * (windows() + 2) * STREAMS);
        inputs[0] = window;
        uint256 used = namesWindow(step) ? 1 : 0;
        for (uint256 stream = 0; stream < STREAMS; ++stream) {
            uint256 how = accessOf(step, stream);
            uint256 bits = chunkBits(stream);
            if (how & 1 != 0) {
                (inputs[used], inputs[used + 1]) = commitment(stream, step, window, lie);
                used += 2;
            }
            for (uint256 w = 0; how & 2 != 0 && w <= window; ++w) {
                if (w != window && (w + 1) % (1 << bits) != 0) continue;
                (inputs[used], inputs[used + 1]) = sum(stream, step, w, lie);
                used += 2;
            }
        }
        for (uint256 stream = 0; stream < STREAMS; ++stream) {
            if (accessOf(step, stream) & 4 == 0) continue;
            (inputs[used], inputs[used + 1]) = commitment(stream, step + 1, window, lie);
            used += 2;
        }
        assembly ("memory-safe") {
            mstore(inputs, used)
        }
    }

    /// @dev All kinds here but the one that reads and writes the residual stream's own window alone.
    function namesWindow(uint256 step) internal pure returns (bool) {
        uint256 kind = kindOf(step);
        return kind != MLP && kind != CLOSE;
    }
}
