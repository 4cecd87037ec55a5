// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {EmbeddingProof, Outcome, Reason, ResidualWindow, StepProof} from "./IDisputeGame.sol";
import {IInferenceLedger, ResponseFields} from "./IInferenceLedger.sol";
import {IModelRegistry} from "./IModelRegistry.sol";
import {IProviderStake} from "./IProviderStake.sol";

/// @notice What an item of an audit is about.
enum AuditTarget {
    Step, // one window of one step of the model
    Input, // one window of b_0: the embedding of the tokens
    Head // the output tokens of one window against one tile of the vocabulary
}

/// @param step the step's number; 0 where the target is the input; the tile's number where it is the head
/// @param window which 32 positions; of the head one with a row that an output token follows
struct AuditItem {
    AuditTarget target;
    uint24 step;
    uint16 window;
}

/// @notice What an auditor names.
/// @param fields of the response's leaf
/// @param path of the leaf in its batch
/// @param secret of the opening that was committed in an earlier block (`IOpenings.commitOpening`)
/// @param items what the provider has to prove, each once
struct AuditRequest {
    uint256 batchId;
    uint256 index;
    ResponseFields fields;
    bytes32[] path;
    bytes32 secret;
    AuditItem[] items;
}

/// @notice Answer to an item about a step.
/// @param pathBefore of the step's start, boundary `step`, in the response's `auditRoot` (`Leaves.boundary`)
/// @param pathAfter of its end, boundary `step + 1`
/// @param proof as in a game; the roots are those of these boundaries
struct StepAnswer {
    uint24 step;
    uint16 window;
    bytes32[] pathBefore;
    bytes32[] pathAfter;
    StepProof proof;
}

/// @notice Answer to an item about the input.
/// @param path of boundary 0 in the response's `auditRoot`
/// @param proof as in a game; the roots are those of that boundary
struct InputAnswer {
    uint16 window;
    bytes32[] path;
    EmbeddingProof proof;
}

/// @notice Answer to an item about the head. What the statement says of the tile, of the rows that count and of their tokens is
///         computed from the response's leaf; the answer brings what it cannot know.
/// @param promptHash of the response's fields
/// @param outputIds of the response; the prompt's are in no statement about a head
/// @param pathLast of the last boundary, `stepCount`, in the response's `auditRoot`
/// @param pathChosen of the chosen logits, place `stepCount + 1`
/// @param residual the window of the last boundary
/// @param chosen the window's commitment to the logits of the tokens, under that stream's one root
/// @param key of the tile, and its path in the model's `stepKeysRoot`
struct HeadAnswer {
    uint24 tile;
    uint16 window;
    bytes32 promptHash;
    bytes outputIds;
    bytes32[] pathLast;
    bytes32[] pathChosen;
    ResidualWindow residual;
    ResidualWindow chosen;
    bytes key;
    bytes32[] keyPath;
    bytes proof;
}

/// @notice The whole state of an audit, in the order in which it fills storage slots (`// ---`).
/// @param isShort whether the output has fewer tokens than `maxTokens`
/// @param idsHash keccak256 of the response's promptHash and outputHash
/// @param deadline last second in which items can be proven; 0 once the audit is over
/// @param remaining items that are not proven yet
/// @param outcome `ChallengerWon`: the auditor did
struct Audit {
    uint40 batchId;
    uint32 index;
    address provider;
    uint16 promptLength;
    bool isShort;
    // ---
    address auditor;
    uint80 bond;
    uint16 outputLength;
    // ---
    bytes32 idsHash;
    bytes32 auditRoot;
    // ---
    uint40 deadline;
    uint8 remaining;
    Outcome outcome;
    Reason reason;
}

/// @title Audits: what holds the provider of a private model to its word
/// @notice Nobody can re-run a private model, so there is nothing to bisect. Its responses commit to every boundary and to the logits
///         of their tokens (`auditRoot`); an auditor names items, each one window of one step, and the provider proves them all in time, or the
///         response is void like one that lost a game: same lock, same rewards, same openings, same cap of places, which audits
///         and games share (`IInferenceLedger`). Neighbouring steps are chained by the boundaries under the one root.
///
///         An item is proven once: nobody can name it again. Each pays a bond; when all are proven half of it is the
///         provider's, for the work, and half is burned, so that auditing oneself costs.
///
///         Every other revert of a proof is an error of `IDisputeGame`: the statements are rebuilt by the same code.
interface IAuditGame {
    event AuditOpened(
        uint256 indexed auditId,
        uint256 indexed batchId,
        uint256 indexed index,
        address auditor,
        address provider,
        bytes32 modelId,
        bytes32 leaf,
        ResponseFields fields
    );
    /// @notice The provider has until `deadline` for these items. Missing where the response was malformed: it lost at once.
    event AuditStarted(uint256 indexed auditId, uint256 bond, uint64 deadline, AuditItem[] items);
    event ItemProven(uint256 indexed auditId, AuditItem item, address verifier, uint256 remaining);
    event AuditResolved(uint256 indexed auditId, Outcome outcome, Reason reason, address winner);

    /// No audit has this number.
    error AuditUnknown(uint256 auditId);
    /// The audit is over.
    error AuditOver(uint256 auditId, Outcome outcome);
    /// The model is public; open a game (`IDisputeGame.open`).
    error ModelIsPublic(bytes32 modelId);
    /// An audit names at most `maxAuditItems` items; an answer proves one at least and no more than remain.
    error WrongItemCount(uint256 items, uint256 most);
    /// The item's step is below `steps` (of the input 1; of the head its tiles), and its window in firstWindow .. windows - 1: those in
    /// front of the last prompt token's have no head, because no output token follows any of their rows.
    error ItemOutOfRange(AuditItem item, uint256 steps, uint256 firstWindow, uint256 windows);
    /// An audit of the response named this item before; leave it out.
    error ItemNamedBefore(AuditItem item, uint256 auditId);
    /// The audit does not name this item.
    error ItemNotNamed(uint256 auditId, AuditItem item);
    /// The item is proven already.
    error ItemProvenBefore(uint256 auditId, AuditItem item);
    /// The stream roots and their path do not lead to this place of the response's `auditRoot`; the one behind the last boundary's is the
    /// chosen logits'.
    error WrongAuditedBoundary(uint256 place, bytes32 boundary);
    /// The time to prove is over.
    error AuditDeadlinePassed(uint64 deadline);
    /// The provider can still prove.
    error AuditDeadlineNotPassed(uint64 deadline);

    // --- auditor

    /// @notice Opens an audit of a response of a private model. `msg.value`: at least `ledger.bondFor(provider)` for every
    ///         item; what is beyond comes back as credit. Without items, for one bond, it is an occasion to claim something
    ///         about the answer's end, which is possible even when every item was named before. Anyone but the provider, while the response can be disputed. A
    ///         malformed response loses at once, whatever the items are.
    function openAudit(AuditRequest calldata request) external payable returns (uint256 auditId);

    /// @notice The auditor shows that the output is shorter than `maxTokens` and its last id is no end token.
    function claimTruncated(
        uint256 auditId,
        bytes32 promptHash,
        bytes calldata outputIds,
        uint256[] calldata endTokens
    ) external;

    /// @notice The auditor shows that the output runs on behind an end token, at `place` of the output.
    function claimOverrun(
        uint256 auditId,
        bytes32 promptHash,
        bytes calldata outputIds,
        uint256[] calldata endTokens,
        uint256 place
    ) external;

    // --- provider: owner or operator, until the deadline

    /// @notice Proves some of the items about steps; all of them are proven or the call reverts.
    function proveSteps(uint256 auditId, StepAnswer[] calldata answers) external;

    /// @notice Proves some of the items about the input; likewise.
    function proveInputs(uint256 auditId, InputAnswer[] calldata answers) external;

    /// @notice Proves some of the items about the head; likewise.
    function proveHeads(uint256 auditId, HeadAnswer[] calldata answers) external;

    /// @notice Gives up: the auditor wins. `about`: the hash of the response's ids; another audit may have this number after blocks
    ///         were taken back.
    function concede(uint256 auditId, bytes32 about) external;

    // --- anyone

    /// @notice After the deadline: not all was proven, so the auditor wins; the provider, if nothing was named.
    function timeout(uint256 auditId) external;

    /// @notice The response became void otherwise: the auditor gets its bond back and the same reward.
    function resolveVoid(uint256 auditId) external;

    // --- views

    function ledger() external view returns (IInferenceLedger);
    function stake() external view returns (IProviderStake);
    function registry() external view returns (IModelRegistry);

    /// @notice Audits are numbered from 1.
    function auditCount() external view returns (uint256);
    function audit(uint256 auditId) external view returns (Audit memory);

    /// @notice Which audit named an item of a response, 0 for none, and whether the item is proven.
    function itemState(uint256 batchId, uint256 index, AuditItem calldata item)
        external
        view
        returns (uint256 auditId, bool isProven);
}
