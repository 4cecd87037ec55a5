// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Phase, ShownClaim} from "../src/interfaces/IDisputeGame.sol";
import {Claimed} from "./Claimed.sol";
import {Groups} from "./Groups.sol";
import {Traces} from "./Traces.sol";

/// @title The moves of both sides, up to the proof
abstract contract Moves is Traces {
    /// @dev What was posted last in each game.
    mapping(uint256 gameId => bytes32[]) internal listOf;
    /// @dev In which window what was posted is wrong, and the last claim about it.
    mapping(uint256 gameId => uint256) internal windowOf;
    mapping(uint256 gameId => bytes) internal claimOf;

    uint256 private _secrets;

    function open() internal returns (uint256) {
        return openAs(challenger);
    }

    /// @dev Commits the opening, waits for a block, opens with the bond that is due.
    function openAs(address who) internal returns (uint256) {
        bytes32 secret = readyAs(who);
        bytes32[] memory path = batchPath();
        uint256 bond = ledger.bondFor(provider);
        vm.prank(who);
        return game.open{value: bond}(batchId, TARGET, response.fields, path, secret);
    }

    /// @dev An opening of the response under dispute that can be used in this block.
    function readyAs(address who) internal returns (bytes32 secret) {
        secret = commitAs(who);
        vm.roll(block.number + 1);
    }

    /// @dev The same, committed in this block.
    function commitAs(address who) internal returns (bytes32 secret) {
        secret = bytes32(++_secrets);
        bytes32 commitment = ledger.openingCommitment(who, batchId, TARGET, secret);
        vm.prank(who);
        ledger.commitOpening(commitment);
    }

    /// @dev The hashes that the provider owes now.
    function dueHashes(uint256 gameId, uint256 wrongFrom, uint256 wrongWindow)
        internal
        view
        returns (bytes32[] memory hashes)
    {
        uint256[] memory cuts = cutsOf(gameId);
        hashes = new bytes32[](cuts.length);
        for (uint256 i = 0; i < hashes.length; ++i) {
            hashes[i] = boundaryHash(cuts[i], wrongFrom, wrongWindow);
        }
    }

    function postBoundaries(uint256 gameId, uint256 wrongFrom, uint256 wrongWindow) internal {
        windowOf[gameId] = wrongWindow;
        postHashes(gameId, dueHashes(gameId, wrongFrom, wrongWindow));
    }

    function postHashes(uint256 gameId, bytes32[] memory hashes) internal {
        vm.prank(provider);
        game.postBoundaries(gameId, aboutOf(gameId), hashes);
        listOf[gameId] = hashes;
    }

    /// @dev The part that contains `step`; where it is one step, with a true claim about it.
    function challengeStep(uint256 gameId, uint256 step) internal {
        bytes32 posted = listOf[gameId][partOf(gameId, step) + 1];
        challengeStep(gameId, step, stepClaim(step, Lie(NEVER, 0), posted));
    }

    function partOf(uint256 gameId, uint256 step) internal view returns (uint256 part) {
        uint256[] memory cuts = cutsOf(gameId);
        while (cuts[part + 1] <= step) part++;
    }

    function challengeStep(uint256 gameId, uint256 step, bytes memory claim) internal {
        uint256[] memory cuts = cutsOf(gameId);
        uint256 part = partOf(gameId, step);
        if (cuts[part + 1] - cuts[part] != 1) claim = "";
        claimOf[gameId] = claim;
        address who = game.game(gameId).challenger;
        vm.prank(who);
        game.challengePart(gameId, Groups.ofPart(listOf[gameId], part), part, claim);
    }

    /// @dev With a claim that is false everywhere.
    function challengeInput(uint256 gameId) internal {
        challengeInput(gameId, Claimed.butAll(inputClaim()));
    }

    function challengeInput(uint256 gameId, bytes memory claim) internal {
        claimOf[gameId] = claim;
        vm.prank(challenger);
        game.challengeInput(gameId, Groups.first(listOf[gameId]), claim);
    }

    function challengeHead(uint256 gameId, uint256 position, uint256 rivalId) internal {
        vm.prank(challenger);
        game.challengeHead(
            gameId,
            Groups.last(listOf[gameId]),
            position,
            rivalId,
            response.fields.promptHash,
            response.outputIds
        );
    }

    /// @dev Bisects down to one step: everything after `step` is wrong in `wrongWindow`.
    function narrow(uint256 gameId, uint256 step, uint256 wrongWindow) internal {
        narrow(gameId, step, wrongWindow, trueClaim(step, wrongWindow));
    }

    function narrow(uint256 gameId, uint256 step, uint256 wrongWindow, bytes memory claim) internal {
        while (game.game(gameId).phase == Phase.AwaitBoundaries) {
            postBoundaries(gameId, step + 1, wrongWindow);
            challengeStep(gameId, step, claim);
        }
    }

    /// @dev Bisects down to a step whose end is posted with these roots, whatever they are.
    function narrowToEnd(uint256 gameId, uint256 step, bytes32[] memory end, bytes memory claim) internal {
        while (game.game(gameId).phase == Phase.AwaitBoundaries) {
            bytes32[] memory hashes = dueHashes(gameId, step + 1, windowOf[gameId]);
            uint256[] memory cuts = cutsOf(gameId);
            for (uint256 i = 0; i < hashes.length; ++i) {
                if (cuts[i] == step + 1) hashes[i] = keccak256(abi.encodePacked(end));
            }
            postHashes(gameId, hashes);
            challengeStep(gameId, step, claim);
        }
    }

    /// @dev What a proof of this window shows of the claim that was made.
    function shownOf(uint256 gameId, uint256 window) internal view returns (ShownClaim memory) {
        return Claimed.shown(claimOf[gameId], window);
    }

    /// @dev The same of the window that is wrong.
    function shownOf(uint256 gameId) internal view returns (ShownClaim memory) {
        return shownOf(gameId, windowOf[gameId]);
    }

    /// @dev A game that waits for the proof of `window` of `step`.
    function gameAtStepProof(uint256 step, uint256 window) internal returns (uint256 gameId) {
        gameId = open();
        narrow(gameId, step, window);
    }

    /// @dev A game about a step that is wrong in one window, in which the challenger claims just that.
    function gameAtRefutation(uint256 step, uint256 window) internal returns (uint256 gameId) {
        gameId = open();
        narrow(gameId, step, window, stepClaim(step, Lie(step + 1, window)));
    }

    /// @dev A game that waits for the proof of `window` of b_0, which alone is falsely claimed to be wrong.
    function gameAtEmbeddingProof(uint256 window) internal returns (uint256 gameId) {
        gameId = open();
        postBoundaries(gameId, NEVER, window);
        challengeInput(gameId, Claimed.but(inputClaim(), window));
    }

    /// @dev A game that waits for the proof of the token after `position` against `rivalId`.
    function gameAtHeadProof(uint256 position, uint256 rivalId) internal returns (uint256 gameId) {
        gameId = open();
        postBoundaries(gameId, NEVER, 0);
        challengeHead(gameId, position, rivalId);
    }
}
