// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title A chess clock with a minimum per turn
/// @notice Each side has a budget for the whole game, and every turn lasts at least as long as its action
///         can need, however little of the budget is left. Move and timeout exclude each other at every
///         timestamp: a move needs now <= deadline, a timeout needs now > deadline.
library ChessClock {
    /// @notice Last second of a turn that starts at `startedAt`.
    function deadline(uint64 startedAt, uint64 budget, uint64 minimum) internal pure returns (uint64) {
        return startedAt + (budget > minimum ? budget : minimum);
    }

    /// @notice What is left of the budget after a turn from `startedAt` to `movedAt`.
    function remaining(uint64 budget, uint64 startedAt, uint64 movedAt) internal pure returns (uint64) {
        uint64 used = movedAt - startedAt;
        return used < budget ? budget - used : 0;
    }

    /// @notice Whether the turn is over: true exactly when a timeout is allowed and a move is not.
    function isOver(uint64 turnDeadline, uint256 timestamp) internal pure returns (bool) {
        return timestamp > turnDeadline;
    }
}
