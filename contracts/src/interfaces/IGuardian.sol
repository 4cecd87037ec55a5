// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title A delay for what has never been audited
/// @notice A deployment may name a guardian (`ProtocolParameters.guardian`; most name nobody). It can delay two things, for
///         `guardianDelay` seconds in total and for ever: the withdrawal of rewards (what slashed stake and lost bonds
///         pay) and new batches. It cannot take, decide, change or stop anything else: games, moves, proofs, timeouts,
///         asks, exits, returned money and finality go on.
/// @dev While a delay lasts nobody can post, so receipts must not become claimable by it: the clock that posting
///      deadlines are measured by (`postingTime`) stands still while a delay lasts and for as long again after it.
interface IGuardian {
    /// @notice A delay began, or its end was moved. `left`: seconds that can still be delayed once it is over.
    event DelayChanged(uint64 since, uint64 until, uint64 left);

    /// Only the guardian of this deployment may delay.
    error NotGuardian(address caller);
    /// A delay lasts at least this long, and none is left that long, or ends before now; choose a later end.
    error DelayTooShort(uint64 until, uint64 earliest);
    /// The guardian has not so much time left; choose an earlier end.
    error DelayTooLong(uint64 until, uint64 latest);
    /// The guardian delays new batches until then; post afterwards, the receipts' posting deadlines wait too.
    error PostingDelayed(uint64 until);
    /// The guardian delays the withdrawal of rewards until then; what is not a reward can be withdrawn.
    error RewardsDelayed(uint64 until);

    /// @notice By the guardian: rewards and new batches wait until `until`, the first second at which they go on. Begins a
    ///         delay, or moves the end of the one that lasts; what it gives up is left for later.
    function delayUntil(uint64 until) external;

    /// @notice Who can delay; zero: nobody.
    function guardian() external view returns (address);

    /// @notice First second at which nothing is delayed (any more); 0 if nothing ever was.
    function delayedUntil() external view returns (uint64);

    /// @notice Seconds that can still be delayed once the delay that lasts, if any, is over.
    function delayLeft() external view returns (uint64);

    /// @notice Least length of a delay: a shorter one would stop a block for less than the time between two.
    function leastDelay() external view returns (uint64);

    /// @notice What a receipt's posting deadline is compared with at the second `at` (now or earlier): `at`, less the seconds
    ///         between the beginning of the deadline's posting window and `at` that do not count.
    function postingTime(uint64 postingDeadline, uint64 at) external view returns (uint64);
}
