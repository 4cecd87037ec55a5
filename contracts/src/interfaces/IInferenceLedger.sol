// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IModelRegistry} from "./IModelRegistry.sol";
import {IOpenings} from "./IOpenings.sol";
import {IProviderStake} from "./IProviderStake.sol";
import {Receipt} from "./IReceipts.sol";

/// @notice What one response says, beside provider, model, batch salt and index.
/// @param promptHash keccak256 of the prompt ids, each 4 bytes big-endian
/// @param outputHash keccak256 of the output ids, each 4 bytes big-endian
/// @param promptLength number of prompt ids, at least 1
/// @param outputLength number of output ids, 1..maxTokens
/// @param maxTokens the requester's limit; a shorter output must end with an end token
/// @param samplingHash how tokens are chosen: keccak256("greedy"), or the rule in one word (`Sampling`)
/// @param feeWei fee of this response, in the smallest unit of the receipt's token
/// @param auditRoot what a private model's provider answers audits with: the root over the response's boundaries
///        (`Leaves.boundary`), committed with hiding commitments; 0 for a public model
struct ResponseFields {
    bytes32 promptHash;
    bytes32 outputHash;
    uint256 promptLength;
    uint256 outputLength;
    uint256 maxTokens;
    bytes32 samplingHash;
    uint256 feeWei;
    bytes32 auditRoot;
}

/// @param root Merkle root over the leaves in the order of their indices (`MerklePath`)
/// @param salt unique per provider; every leaf contains it
/// @param deadline last second at which a response can be disputed
/// @param disputedCount responses with at least one game ever
/// @param finalised whether the locks of the undisputed responses were released
struct Batch {
    address provider;
    bytes32 modelId;
    bytes32 root;
    bytes32 salt;
    uint32 count;
    uint32 disputedCount;
    uint64 postedAt;
    uint64 deadline;
    bool finalised;
}

enum ResponseStatus {
    Unknown,
    Pending,
    Disputed,
    Final,
    Void
}

/// @notice A response that had a game or was asked for; all zero for any other.
/// @param openGames games open now
/// @param challengeDeadline last second at which a game can be opened (the batch's, or later)
/// @param disputed whether a game was ever opened, or somebody asked for it
/// @param isVoid whether a game was lost by the provider, or the response was not shown
/// @param released whether its lock was released
/// @param shown whether fields and ids were published because somebody asked
/// @param showDeadline last second at which the provider can show what `asker` asked for
/// @param emptyUntil last second at which a place that a challenger's loss freed among a full house stays empty
/// @param asker who asked and waits for an answer; zero when nobody does
struct ResponseState {
    uint32 openGames;
    uint64 challengeDeadline;
    bool disputed;
    bool isVoid;
    bool released;
    bool shown;
    uint64 showDeadline;
    uint64 emptyUntil;
    address asker;
}

/// @title Batches of responses and their finality
/// @notice leaf = keccak256(bytes.concat(keccak256(abi.encode(RESPONSE_LEAF_TYPEHASH, chainId, ledger,
///         provider, modelId, batchSalt, index, promptHash, outputHash, promptLength, outputLength,
///         maxTokens, samplingHash, feeWei, auditRoot))))
interface IInferenceLedger is IOpenings {
    event BatchPosted(
        uint256 indexed batchId,
        address indexed provider,
        bytes32 indexed modelId,
        bytes32 root,
        bytes32 salt,
        uint32 count,
        uint64 deadline
    );
    event BatchFinalised(uint256 indexed batchId, uint256 releasedResponses);
    event ResponseDisputed(
        uint256 indexed batchId, uint256 indexed index, bytes32 leaf, uint32 openGames, uint256 bond
    );
    event DisputeEnded(uint256 indexed batchId, uint256 indexed index, bool responseVoid, uint32 openGames);
    event ResponseAsked(
        uint256 indexed batchId, uint256 indexed index, address indexed asker, uint64 showDeadline
    );
    event ResponseShown(
        uint256 indexed batchId,
        uint256 indexed index,
        bytes32 leaf,
        ResponseFields fields,
        bytes32[] path,
        bytes promptIds,
        bytes outputIds
    );
    event ResponseNotShown(uint256 indexed batchId, uint256 indexed index, address indexed asker);
    event ChallengeWindowExtended(uint256 indexed batchId, uint256 indexed index, uint64 challengeDeadline);
    event ResponseVoided(
        uint256 indexed batchId, uint256 indexed index, address indexed provider, address winner
    );
    event ResponseFinalised(uint256 indexed batchId, uint256 indexed index);

    /// Only the dispute game and the audit game may do this.
    error NotGame(address caller);
    /// Only the provider's owner or operator posts its batches.
    error NotOperator(address caller, address provider);
    /// A batch holds 1..2^32-1 responses and a non-zero root.
    error InvalidBatch();
    /// The provider used this salt before; draw a new one.
    error SaltUsed(bytes32 salt);
    /// No such batch.
    error BatchUnknown(uint256 batchId);
    /// The batch has fewer responses.
    error IndexOutOfRange(uint256 index, uint256 count);
    /// Leaf and path do not lead to the batch's root; check the fields, the index and the path.
    error LeafNotInBatch(bytes32 leaf, uint256 batchId);
    /// The response can no longer be disputed.
    error ChallengeWindowClosed(uint64 deadline);
    /// The response can still be disputed.
    error ChallengeWindowOpen(uint64 deadline);
    /// As many games as allowed are open on this response (who asked for it and waits counts as one); try again when one
    /// has ended.
    error TooManyGames(uint32 limit);
    /// A provider's owner cannot dispute its own response.
    error ProviderCannotChallenge(address provider);
    /// The response is void.
    error ResponseIsVoid(uint256 batchId, uint256 index);
    /// Somebody asked for this response already; wait for the answer.
    error AlreadyAsked(uint256 batchId, uint256 index);
    /// The response was shown already: read `ResponseShown`.
    error AlreadyShown(uint256 batchId, uint256 index);
    /// Nobody waits for this response to be shown.
    error NobodyAsked(uint256 batchId, uint256 index);
    /// The time to show the response is over.
    error ShowWindowClosed(uint64 showDeadline);
    /// The provider can still show the response.
    error ShowWindowOpen(uint64 showDeadline);
    /// The ids are not those that the leaf commits to.
    error WrongTokenIds(uint256 batchId, uint256 index);
    /// The response is not final.
    error ResponseNotFinal(uint256 batchId, uint256 index);
    /// This was done already.
    error AlreadyFinalised();
    /// The response never had a game; `finaliseBatch` releases its lock.
    error ResponseNotDisputed(uint256 batchId, uint256 index);
    /// Send exactly this amount.
    error WrongAmount(uint256 sent, uint256 expected);

    // --- batches

    /// @notice Posts a batch of `count` responses and locks `lockPerResponse` for each of them; by the provider's owner or
    ///         operator. `providerBond` must stay free beside the locks.
    function postBatch(address provider, bytes32 root, bytes32 salt, bytes32 modelId, uint32 count)
        external
        returns (uint256 batchId);

    /// @notice After the deadline: releases the locks of all responses that never had a game. Anyone.
    function finaliseBatch(uint256 batchId) external;

    /// @notice Releases the lock of a response that had games and survived them all. Anyone.
    function finaliseResponse(uint256 batchId, uint256 index) external;

    // --- looking at what is hidden

    /// @notice Asks for fields and token ids of a response, by its place alone; `msg.value` = `askPrice`. Anyone but the
    ///         provider, while the response can be disputed, once per response: the answer is on chain for everybody.
    function ask(uint256 batchId, uint256 index) external payable;

    /// @notice Answers with what the leaf commits to. Anyone, within `showWindow`; the price goes to the provider, and the
    ///         response can be disputed for another `challengeWindow`.
    function show(
        uint256 batchId,
        uint256 index,
        ResponseFields calldata fields,
        bytes32[] calldata path,
        bytes calldata promptIds,
        bytes calldata outputIds
    ) external;

    /// @notice The response was not shown in time: it is void. Anyone. Whoever asked gets the price back and is paid like
    ///         an open game, also when a game makes the response void meanwhile; with a full house of games, the price alone.
    function claimNotShown(uint256 batchId, uint256 index) external;

    // --- the games only: disputes and audits

    /// @notice Checks and counts a new game on a response, uses up the challenger's opening, and says what bond is due.
    function beginGame(
        uint256 batchId,
        uint256 index,
        ResponseFields calldata fields,
        bytes32[] calldata path,
        address challenger,
        bytes32 secret
    ) external returns (address provider, bytes32 modelId, bytes32 leaf, uint80 bond);

    /// @notice Ends a game; if the challenger won, the response becomes void and its lock is slashed. On a void response the
    ///         challenger is paid the reward.
    function endGame(uint256 batchId, uint256 index, bool challengerWon, address challenger) external;

    // --- views

    function registry() external view returns (IModelRegistry);
    function stake() external view returns (IProviderStake);
    function batchCount() external view returns (uint256);
    function batch(uint256 batchId) external view returns (Batch memory);

    /// @notice A batch's model, or 0. It never changes.
    function modelOf(uint256 batchId) external view returns (bytes32);

    /// @notice The batch in which `provider` used `salt`, or 0.
    function batchOf(address provider, bytes32 salt) external view returns (uint256 batchId);
    function response(uint256 batchId, uint256 index) external view returns (ResponseState memory);
    function responseStatus(uint256 batchId, uint256 index) external view returns (ResponseStatus);
    function isVoid(uint256 batchId, uint256 index) external view returns (bool);

    /// @notice The leaf of a response in a batch of this ledger.
    function responseLeaf(
        address provider,
        bytes32 modelId,
        bytes32 batchSalt,
        uint256 index,
        ResponseFields calldata fields
    ) external view returns (bytes32);
}
