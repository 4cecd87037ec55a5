// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Phase} from "../src/interfaces/IDisputeGame.sol";
import {Traces} from "./Traces.sol";
import {Groups} from "./Groups.sol";

/// @title The moves of both sides, up to the proof
abstract contract Moves is Traces {
    /// @dev What was posted last in each game.
    mapping(uint256 gameId => bytes32[]) internal listOf;

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
        postHashes(gameId, dueHashes(gameId, wrongFrom, wrongWindow));
    }

    function postHashes(uint256 gameId, bytes32[] memory hashes) internal {
        vm.prank(provider);
        game.postBoundaries(gameId, aboutOf(gameId), hashes);
        listOf[gameId] = hashes;
    }

    /// @dev The part that contains `step`.
    function challengeStep(uint256 gameId, uint256 step) internal {
        uint256[] memory cuts = cutsOf(gameId);
        uint256 part = 0;
        while (cuts[part + 1] <= step) part++;
        address who = game.game(gameId).challenger;
        vm.prank(who);
        game.challengePart(gameId, Groups.ofPart(listOf[gameId], part), part);
    }

    function challengeInput(uint256 gameId) internal {
        vm.prank(challenger);
        game.challengeInput(gameId, Groups.first(listOf[gameId]));
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
        while (game.game(gameId).phase == Phase.AwaitBoundaries) {
            postBoundaries(gameId, step + 1, wrongWindow);
            challengeStep(gameId, step);
        }
    }

    function revealWindows(uint256 gameId, uint256 step, uint256 wrongWindow) internal {
        Lie memory lie = Lie(step + 1, wrongWindow);
        bytes32[] memory before = roots(step, lie);
        bytes32[] memory afterwards = roots(step + 1, lie);
        uint256[][] memory shown = written(step, wrongWindow);
        vm.prank(provider);
        game.revealWindows(gameId, kindOf(step), before, afterwards, shown);
    }

    function chooseWindow(uint256 gameId, uint256 window) internal {
        vm.prank(challenger);
        game.chooseWindow(gameId, aboutOf(gameId), window);
    }

    function revealInput(uint256 gameId) internal {
        bytes32[] memory all = roots(0, Lie(NEVER, 0));
        uint256[][] memory shown = shownInput();
        vm.prank(provider);
        game.revealWindows(gameId, 0, all, new bytes32[](0), shown);
    }

    /// @dev A game that waits for the proof of `window` of `step`.
    function gameAtStepProof(uint256 step, uint256 window) internal returns (uint256 gameId) {
        gameId = open();
        narrow(gameId, step, window);
        if (windows() == 1) return gameId;
        revealWindows(gameId, step, window);
        chooseWindow(gameId, window);
    }

    /// @dev A game that waits for the proof of `window` of b_0.
    function gameAtEmbeddingProof(uint256 window) internal returns (uint256 gameId) {
        gameId = open();
        postBoundaries(gameId, NEVER, 0);
        challengeInput(gameId);
        if (windows() == 1) return gameId;
        revealInput(gameId);
        chooseWindow(gameId, window);
    }

    /// @dev A game that waits for the proof of the token after `position` against `rivalId`.
    function gameAtHeadProof(uint256 position, uint256 rivalId) internal returns (uint256 gameId) {
        gameId = open();
        postBoundaries(gameId, NEVER, 0);
        challengeHead(gameId, position, rivalId);
    }
}
