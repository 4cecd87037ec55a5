// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IInferenceLedger, ResponseFields} from "./IInferenceLedger.sol";
import {IModelRegistry} from "./IModelRegistry.sol";
import {IProviderStake} from "./IProviderStake.sol";

/// @notice Whose move it is and which. See the state table in contracts/README.md.
enum Phase {
    None,
    AwaitBoundaries, // provider: postBoundaries
    AwaitChallenge, // challenger: challengePart (round 1 also challengeInput, challengeHead)
    AwaitProof, // provider: proveStep, proveEmbedding or proveHead; refuteClaim of a step or the input
    Resolved
}

/// @notice What the game was narrowed to.
enum Target {
    None,
    Step,
    Embedding,
    Head
}

enum Outcome {
    Undecided,
    ProviderWon,
    ChallengerWon,
    ResponseVoided // another game voided the response; the bond went back, with the same reward
}

enum Reason {
    None,
    Proven,
    TimedOut,
    Conceded,
    Malformed,
    Truncated,
    VoidedElsewhere,
    Overrun,
    Refuted
}

/// @notice The whole state of a game, in the order in which it fills storage slots (`// ---`); most turns change two, the one of phase, clocks and range and
///         the boundaries' hash.
///         What bounds the small fields: an index is below its batch's `uint32` count, steps are at most 2^20 and positions 2^14
///         (`ModelRegistry`), which has 32 kinds at most, a round has at least half the steps of the one before, nobody pays for 2^40 batches, the
///         bonds of so many open games that the next one reached 2^80 wei would be more than all ether (a first one is below 2^72), and `Parameters.validate` bounds the clock and every extension by ten years; 2^40
///         seconds are over in the year 36812. A length that no model has is cut to 2^16 - 1: its game is over when it begins.
/// @param isShort whether the output has fewer tokens than `maxTokens`
/// @param idsHash keccak256 of the response's promptHash and outputHash; the model is the batch's (`IInferenceLedger.modelOf`)
/// @param deadline last second of the mover's turn
/// @param turnStartedAt when the turn began
/// @param providerClock seconds the provider has left on its chess clock (not counting this turn)
/// @param challengerClock likewise for the challenger
/// @param round bisection round, 1 for the first
/// @param rangeStart the disputed steps are rangeStart .. rangeEnd-1
/// @param position head: the position whose next token is disputed
/// @param chosenId head: the id that the response has after `position`
/// @param rivalId head: the id that the challenger says beats it
/// @param sampling how the response's tokens were chosen, as `IModelRegistry.responseRules` gives it: 0 for greedy
/// @param boundariesHash of what the game is about (`Boundary.hash`), which every move takes back in calldata. AwaitChallenge: the hashes
///        of the groups of the round's cuts; AwaitBoundaries of a later round: the boundary hash of the range's start, agreed, and that of
///        its end, disputed; AwaitProof: the same two and the hash of the challenger's claim (`Claims.hash`) of a step, b_0 and
///        the claim's of the input, b_n of the head
struct Game {
    uint40 batchId;
    uint32 index;
    address provider;
    uint16 promptLength;
    bool isShort;
    // ---
    address challenger;
    uint80 bond;
    uint16 outputLength;
    // ---
    bytes32 idsHash;
    // ---
    Phase phase;
    Target target;
    Outcome outcome;
    Reason reason;
    uint40 deadline;
    uint40 turnStartedAt;
    uint32 providerClock;
    uint32 challengerClock;
    uint24 rangeStart;
    uint24 rangeEnd;
    uint8 round;
    // ---
    bytes32 boundariesHash;
    // ---
    uint16 position;
    uint32 chosenId;
    uint32 rivalId;
    uint96 sampling;
}

/// @notice One group of the list of boundary hashes that `BoundariesPosted` showed last (`Boundary.listHash`).
/// @param groups the hashes of all its groups
/// @param boundaries the group itself
struct ShownGroup {
    bytes32[] groups;
    bytes32[] boundaries;
}

/// @notice What a proof shows of the challenger's claim (`Claims`): that the game is about it, and what it says of one window.
/// @param window the window that is proven
/// @param groups the hashes of all groups of the claim
/// @param leaves the claim's group that the window is in, number window / 32
struct ShownClaim {
    uint256 window;
    bytes32[] groups;
    bytes leaves;
}

/// @notice A step, or the input, in which every window is as the challenger claims it to be.
/// @param kind the step's kind; 0 for the input
/// @param keyDigest keccak256 of the step key; zero for the input
/// @param keyPath Merkle path of the step key in the model's `stepKeysRoot`; none for the input
/// @param rootsBefore stream roots of the start boundary, or of b_0
/// @param rootsAfter stream roots of the end boundary; none for the input
/// @param sums for each stream in order that the kind writes, at the end (for the input: the residual stream, in b_0), the
///        running sums x_0, y_0, x_1, y_1, ... of all windows
/// @param claim all leaves of the claim
struct AgreedStep {
    uint256 kind;
    bytes32 keyDigest;
    bytes32[] keyPath;
    bytes32[] rootsBefore;
    bytes32[] rootsAfter;
    uint256[][] sums;
    bytes claim;
}

/// @notice Proof of one window of one step.
/// @param kind the step's kind
/// @param rootsBefore stream roots of the start boundary
/// @param rootsAfter stream roots of the end boundary
/// @param key the step key
/// @param keyPath Merkle path of the step key in the model's `stepKeysRoot`
/// @param sums the running sums x, y, x, y, ... that the statement follows from. For each stream in order, at the start: of the
///        window and, where that does not start its chunk, of the one before (own); or of the last window of every chunk up
///        to and with the window (all). Then for each stream in order that the step writes, at the end: as for own
/// @param siblings of their leaves, in the same order, from the leaf up; where all is read, those in each sum's chunk and then
///        what the root needs beside the chunks. None for a stream whose root is zero: its sums are infinity
struct StepProof {
    uint256 kind;
    bytes32[] rootsBefore;
    bytes32[] rootsAfter;
    bytes key;
    bytes32[] keyPath;
    uint256[] sums;
    bytes32[] siblings;
    bytes proof;
}

/// @notice A window of the residual stream in a boundary.
/// @param roots stream roots of the boundary
/// @param sum (x, y) of the window's commitment
/// @param path Merkle path of its leaf in `roots[0]`
struct ResidualWindow {
    bytes32[] roots;
    uint256[2] sum;
    bytes32[] path;
}

/// @notice A token's leaf in the model's `embeddingRowsRoot`.
/// @param embedding commitment (x, y) of its embedding row
/// @param head commitment (x, y) of its head row
struct TokenRow {
    uint256[2] embedding;
    uint256[2] head;
    bytes32[] path;
}

/// @notice Proof of one window of b_0.
/// @param window the window of b_0
/// @param rows the leaves of the 32 tokens of the window; those of padded positions are ignored
struct EmbeddingProof {
    bytes promptIds;
    bytes outputIds;
    ResidualWindow window;
    TokenRow[] rows;
    bytes proof;
}

/// @notice Proof that the chosen token beats the rival at the disputed position, or that another one excludes it by min_p.
/// @param window the position's window of b_n
/// @param winnerId the chosen token, or the one that excludes the rival: its logit is larger by more than min_p allows
struct HeadProof {
    ResidualWindow window;
    uint256 winnerId;
    TokenRow winner;
    TokenRow rival;
    bytes proof;
}

/// @title Disputes: opening, bisection, claim, proof or refutation, timeouts, resolution
/// @notice Boundary hash = keccak256(abi.encodePacked(roots)) over the roots of the model's streams (`Streams`), each over
///         W = ceil(T / 32) windows, T = promptLength + outputLength - 1. Token ids in calldata are
///         4 bytes big-endian each. A move is allowed at `block.timestamp <= deadline`, a timeout after.
interface IDisputeGame {
    event GameOpened(
        uint256 indexed gameId,
        uint256 indexed batchId,
        uint256 indexed index,
        address challenger,
        address provider,
        bytes32 modelId,
        bytes32 leaf,
        ResponseFields fields
    );
    /// @notice A new turn: in which phase, which says who has to move, and until when.
    event TurnStarted(uint256 indexed gameId, Phase phase, uint64 deadline);
    /// @notice `hashes` always holds all cuts of the range, its start and end included.
    event BoundariesPosted(
        uint256 indexed gameId, uint32 round, uint32 rangeStart, uint32 rangeEnd, bytes32[] hashes
    );
    /// @notice `claim`: what the challenger says every window of b_0 should have been (`Claims`).
    event InputChallenged(uint256 indexed gameId, bytes32 boundaryHash, bytes claim);
    /// @notice `claim`: the same of the step's end where the part is one step, else empty.
    event PartChallenged(
        uint256 indexed gameId,
        uint256 part,
        uint32 rangeStart,
        uint32 rangeEnd,
        bytes32 startHash,
        bytes32 endHash,
        bytes claim
    );
    event HeadChallenged(
        uint256 indexed gameId, uint256 position, uint256 chosenId, uint256 rivalId, bytes32 boundaryHash
    );
    /// @notice A proof of this window decided the game; of the head, the window of the disputed position.
    event ProofAccepted(uint256 indexed gameId, address verifier, uint256 window);
    /// @notice The challenger claimed what was posted.
    event ClaimRefuted(uint256 indexed gameId);
    /// @notice `winner` is zero when another game voided the response.
    event GameResolved(uint256 indexed gameId, Outcome outcome, Reason reason, address winner);

    /// No such game.
    error GameUnknown(uint256 gameId);
    /// This move does not fit the game's phase; see `game(gameId).phase`.
    error WrongPhase(Phase actual);
    /// The game was narrowed to something else; see `game(gameId).target`.
    error WrongTarget(Target actual);
    /// It is the other side's move.
    error NotMover(address caller, address mover);
    /// The turn ended at `deadline`.
    error TurnOver(uint64 deadline);
    /// The mover still has time.
    error TurnNotOver(uint64 deadline);
    /// Only the two sides may do this.
    error NotPlayer(address caller);
    /// The model is private, so nobody could play against its provider; open an audit (`IAuditGame.openAudit`).
    error ModelIsPrivate(bytes32 modelId);
    /// Send at least the bond that is due (`bondFor`); other games may have raised it.
    error WrongBond(uint256 sent, uint256 expected);
    /// Another game voided the response; call `resolveVoid`.
    error ResponseAlreadyVoid(uint256 batchId, uint256 index);
    /// The response is not void; this game must be played out.
    error ResponseNotVoid(uint256 batchId, uint256 index);
    /// The ids, or the prompt's hash beside them, are not those of the response, or the ids are not that many.
    error WrongTokenIds();
    /// Post exactly this many hashes.
    error WrongHashCount(uint256 sent, uint256 expected);
    /// The boundaries are not those that the game is about: not of the list that was posted last (`BoundariesPosted`), not the group
    /// that the move has to show, or, when a later round is posted, not the two ends of the range.
    error WrongBoundaries(bytes32 actual, bytes32 expected);
    /// The game is not about what the move was made for: blocks were taken back, and others came instead.
    error AboutSomethingElse(bytes32 actual, bytes32 expected);
    /// Only possible against the first round's boundaries.
    error OnlyInFirstRound();
    /// The head decides positions promptLength-1 .. promptLength+outputLength-2 only.
    error PositionOutOfRange(uint256 position, uint256 first, uint256 last);
    /// The rival must be another token of the vocabulary.
    error InvalidRival(uint256 rivalId, uint256 chosenId, uint256 vocabSize);
    /// A claim has 16 bytes for each window where what is challenged is one step or the input, else none.
    error WrongClaimLength(uint256 sent, uint256 expected);
    /// What is shown of the claim is not its group that the window is in.
    error WrongClaim();
    /// The challenger claims that this window is what was posted, so nothing about it is disputed; prove another one.
    error AsClaimed(uint256 window);
    /// The challenger claims that this window is not what was posted; prove it.
    error NotAsClaimed(uint256 window);
    /// Send exactly this many words of running sums.
    error WrongSumCount(uint256 sent, uint256 expected);
    /// Send one list of running sums for each stream that the kind writes.
    error WrongStreamCount(uint256 sent, uint256 expected);
    /// A boundary has one root per stream of the model (Embedding: there are no roots of an end).
    error WrongRootCount(uint256 sent, uint256 expected);
    /// The roots, or the claim beside them, are not those that the game is about.
    error WrongPreimage(bytes32 actual, bytes32 expected);
    /// The running sums are not the stream's: they have another root.
    error WrongStreamRoot(uint256 stream, bytes32 actual, bytes32 expected);
    /// A stream that the step's kind does not write has another root than it must: that of the start, or zero when it is
    /// reset, or in b_0.
    error StreamMoved(uint256 stream, bytes32 actual, bytes32 expected);
    /// The running sum is not the stream's at this window, or its siblings are too few.
    error WrongWindow(uint256 stream, uint256 window);
    /// There are more siblings than the running sums need.
    error WrongSiblingCount(uint256 sent, uint256 expected);
    /// There is no such window.
    error WindowOutOfRange(uint256 window, uint256 windows);
    /// The step key is not in the model's tree at this step, or not as one of this kind; or a refutation of the input names one.
    error WrongStepKey(uint256 step, uint256 kind, bytes32 keyDigest);
    /// The token's row commitments are not in the model's tree.
    error WrongTokenRow(uint256 tokenId);
    /// An embedding proof has one row for each of the 32 positions of a window.
    error WrongRowCount(uint256 sent, uint256 expected);
    /// The verifier did not accept the proof; correct it and try again while the clock runs.
    error ProofRejected(address verifier);
    /// The output ends as it should: it is full, or its last id is an end token.
    error NotTruncated();
    /// The output does not run on: there is nothing behind this place, or no end token at it.
    error NotOverrun();

    // --- opening

    /// @notice Opens a game on a response. Anyone but the provider, who committed this opening with `secret` in an earlier
    ///         block (`commitOpening`); `msg.value` >= `bondFor(provider)`, what is beyond it is credited.
    ///         A response whose fields break the rules (see `ResponseFields`) loses at once.
    function open(
        uint256 batchId,
        uint256 index,
        ResponseFields calldata fields,
        bytes32[] calldata path,
        bytes32 secret
    ) external payable returns (uint256 gameId);

    // --- provider's moves

    // Moves that the game's own state does not refuse in a wrong place say what they are about: the game's hash of boundaries, or of
    // the response's ids before any were posted. Games are numbered as they are opened; where blocks are taken back, a
    // signed move may find another game under its number.

    /// @notice Posts the m + 1 boundary hashes that cut the range of n steps into m = min(k, n) parts, part i
    ///         ending at floor(n (i + 1) / m); its start and end are included. Later rounds: they are those of the part that was challenged.
    function postBoundaries(uint256 gameId, bytes32 about, bytes32[] calldata hashes) external;

    /// @notice Proves a window of the step that is another one than the challenger claims: any such window, of which an honest
    ///         challenger's claim leaves no right one. Every root of a stream that the step's kind does not write must be the same at
    ///         both ends, or zero at the end where the kind resets the stream.
    function proveStep(uint256 gameId, StepProof calldata stepProof, ShownClaim calldata shown) external;

    /// @notice The same of a window of b_0, in which no stream but the residual one has windows.
    function proveEmbedding(uint256 gameId, EmbeddingProof calldata embeddingProof, ShownClaim calldata shown)
        external;

    /// @notice Shows that every window of the step or of b_0 is what the challenger claims it should be: the provider wins at
    ///         once. The roots are as for a proof, and the step's kind is the one that its key has.
    function refuteClaim(uint256 gameId, AgreedStep calldata agreed) external;

    /// @notice Proves that the response's token beats the rival under the response's sampling rule, or that the rival is none.
    function proveHead(uint256 gameId, HeadProof calldata headProof) external;

    // --- challenger's moves

    /// @notice Round 1: b_0 is wrong. Shows the first group of what was posted last, and claims what every window of b_0 should have
    ///         been (`Claims`).
    function challengeInput(uint256 gameId, ShownGroup calldata shown, bytes calldata claim) external;

    /// @notice The start of this part is right, its end is wrong. Shows the group that the part is in, number part / GROUP. Where the
    ///         part is one step, claims what every window should have been at its end (`Claims`): also behind the first wrong
    ///         one, because the provider proves any window that is not as claimed, each as a statement of its own. What no proof
    ///         can exist of, because the step leaves its range there, is claimed to be 16 random bytes. Else the claim is empty.
    function challengePart(uint256 gameId, ShownGroup calldata shown, uint256 part, bytes calldata claim)
        external;

    /// @notice Round 1: b_n is right, but `rivalId` beats the token after `position`, or excludes it by min_p. Shows the last group.
    function challengeHead(
        uint256 gameId,
        ShownGroup calldata shown,
        uint256 position,
        uint256 rivalId,
        bytes32 promptHash,
        bytes calldata outputIds
    ) external;

    /// @notice Shows that the output is shorter than `maxTokens` and does not end with an end token: the
    ///         challenger wins at once. In any phase; when it is the challenger's turn, in time.
    function claimTruncated(
        uint256 gameId,
        bytes32 promptHash,
        bytes calldata outputIds,
        uint256[] calldata endTokens
    ) external;

    /// @notice Shows that the output runs on behind an end token, the id at `place` (0 for the first): the challenger
    ///         wins at once. When, as for `claimTruncated`.
    function claimOverrun(
        uint256 gameId,
        bytes32 promptHash,
        bytes calldata outputIds,
        uint256[] calldata endTokens,
        uint256 place
    ) external;

    // --- ending

    /// @notice Ends a game whose mover is out of time; the other side wins. Anyone.
    function timeout(uint256 gameId) external;

    /// @notice The caller, one of the two sides, gives up.
    function concede(uint256 gameId, bytes32 about) external;

    /// @notice Ends a game on a response that another game voided; the bond goes back, with the same reward. Anyone.
    function resolveVoid(uint256 gameId) external;

    // --- views

    function registry() external view returns (IModelRegistry);
    function stake() external view returns (IProviderStake);
    function ledger() external view returns (IInferenceLedger);
    function gameCount() external view returns (uint256);
    function game(uint256 gameId) external view returns (Game memory);
}
