// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice What is left of a void response's lock for those who found it out; all zero while it is not void.
/// @param voidBlock block in which the response became void; openings committed in earlier ones can join
/// @param joinDeadline last second at which they can
/// @param placesLeft rewards that nobody has a claim on yet; games that were open have theirs kept beside these
struct RewardPot {
    uint64 voidBlock;
    uint64 joinDeadline;
    uint32 placesLeft;
}

/// @title Openings, committed before they are revealed, and what they are paid
/// @notice commitment = keccak256(abi.encode(chainId, ledger, challenger, batchId, index, secret)), `secret` 32 random
///         bytes. It tells nobody which response was found to be wrong, and nobody else can use it.
///         When a response becomes void, `maxGamesPerResponse * gameReward` of its lock is put aside, the rest is burned at
///         once. Every game open on it then is paid the same `gameReward`, whoever's was decisive, and so is whoever asked
///         for it and waits; places that are left go to openings committed before, in the order in which they join; what is
///         left after `joinWindow` is burned. Games and a waiting ask together never exceed the places.
interface IOpenings {
    event OpeningCommitted(bytes32 indexed commitment, address indexed sender);
    event PlaceFreed(uint256 indexed batchId, uint256 indexed index, uint64 emptyUntil);
    event RewardsSetAside(
        uint256 indexed batchId, uint256 indexed index, uint64 joinDeadline, uint32 placesLeft
    );
    event RewardPaid(uint256 indexed batchId, uint256 indexed index, address indexed to, uint256 amount);
    event OpeningJoined(uint256 indexed batchId, uint256 indexed index, address indexed challenger);
    event RewardsClosed(uint256 indexed batchId, uint256 indexed index, uint256 burned);

    /// The caller committed no such opening, or used it; call `commitOpening` first.
    error OpeningNotCommitted(bytes32 commitment);
    /// The opening was committed in block `committedAt`, which is not before this one; wait for the next block, and to
    /// join it had to be before the response became void.
    error OpeningCommittedLate(uint256 committedAt, uint256 before);
    /// A challenger's loss freed a place among a full house; nobody takes it until this second is over.
    error PlaceStaysEmpty(uint64 emptyUntil);
    /// The response is not void.
    error NothingToJoin(uint256 batchId, uint256 index);
    /// The time to join is over.
    error JoinWindowClosed(uint64 joinDeadline);
    /// Committed openings can still join.
    error JoinWindowOpen(uint64 joinDeadline);
    /// All rewards of this response are taken or burned.
    error NoRewardLeft(uint256 batchId, uint256 index);

    /// @notice Stores in which block an opening was committed. What is committed already keeps its block.
    function commitOpening(bytes32 commitment) external;

    /// @notice Is paid `gameReward` for an opening that was committed before the response became void. No bond: nothing is
    ///         at risk any more. Within `joinWindow`, while places are left.
    function join(uint256 batchId, uint256 index, bytes32 secret) external;

    /// @notice After the join window: burns what nobody claimed. Anyone.
    function closeRewards(uint256 batchId, uint256 index) external;

    // --- views

    /// @notice The block in which an opening was committed; 0: it was not, or it is used up.
    function openingBlock(bytes32 commitment) external view returns (uint256);
    function openingCommitment(address challenger, uint256 batchId, uint256 index, bytes32 secret)
        external
        view
        returns (bytes32);

    /// @notice Bond of the next game against `provider`: challengerBond + challengerBond * openGamesOf / bondLoad.
    function bondFor(address provider) external view returns (uint256);

    /// @notice Games open against `provider` on responses that are not void.
    function openGamesOf(address provider) external view returns (uint256);
    function rewardPot(uint256 batchId, uint256 index) external view returns (RewardPot memory);
}
