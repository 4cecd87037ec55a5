// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {AgreedStep} from "./IDisputeGame.sol";
import {ResponseFields} from "./IInferenceLedger.sol";

/// @notice A kind of step.
/// @param verifierCodeHash code hash of the verifier of its proofs
/// @param access what it does to the streams (`Streams`), 4 bits per stream from stream 0 on: 1 reads its own window,
///        2 reads windows 0 .. w of window w, 4 writes its own window, 8 resets the stream
struct StepKindSpec {
    bytes32 verifierCodeHash;
    uint64 access;
}

/// @notice Everything that identifies a model; `modelId` = keccak256(abi.encode(spec)). Its trees are those of
///         `MerklePath`: leaf s of `stepCount + headTiles`, leaf v of the vocabulary.
/// @param architectureDigest digest of the architecture: its kinds of step, their order and what each computes
/// @param stepKeysRoot Merkle root over the step keys: leaf(s) = keccak(keccak(abi.encode(s, kind, keyDigest))); behind those of
///        the steps the keys of the head's tiles, leaf(stepCount + j) of tile j, whose kind is the number of kinds
/// @param embeddingRowsRoot Merkle root over the vocabulary:
///        leaf(v) = keccak(keccak(abi.encode(v, E.x, E.y, H.x, H.y))), E embedding row, H head row
/// @param tokenizerDigest digest of the tokenizer
/// @param srsDigest digest of the structured reference string
/// @param stepCount number of steps from the embedded tokens to what the head reads
/// @param vocabSize number of token ids
/// @param maxPositions longest T = promptLength + outputLength - 1
/// @param logitScale s: an integer logit v stands for v * 2^-s; what a temperature means follows from it (`Sampling`)
/// @param endTokensDigest keccak256(abi.encode(uint256[] sorted end token ids))
/// @param streams the streams (`Streams`), 8 bits each from stream 0, the residual stream, on: p + 1 where 2^p windows
///        share a chunk, 0 for no stream
/// @param kinds the kinds of step, by the number that step keys name
/// @param auditStride 0: public, anybody with the weights can re-run the model, and responses are disputed (`DisputeGame`).
///        k >= 1: private, responses commit to the boundaries 0, k, 2k, ..., stepCount, and auditors name steps that the
///        provider has to prove (`AuditGame`); 1 is the only k of this version
/// @param headTiles T of a private model: its head is cut into so many tiles of the vocabulary, each with a key. 0 of a public one
/// @param embeddingVerifierCodeHash code hash of the verifier of embedding rows; likewise the head's, which verifies pairs of tokens of
///        a public model and tiles of a private one
struct ModelSpec {
    bytes32 architectureDigest;
    bytes32 stepKeysRoot;
    bytes32 embeddingRowsRoot;
    bytes32 tokenizerDigest;
    bytes32 srsDigest;
    uint256 stepCount;
    uint256 vocabSize;
    uint256 maxPositions;
    uint256 logitScale;
    bytes32 endTokensDigest;
    uint256 streams;
    StepKindSpec[] kinds;
    uint256 auditStride;
    uint256 headTiles;
    bytes32 embeddingVerifierCodeHash;
    bytes32 headVerifierCodeHash;
}

/// @notice What a step's statement follows from, beside the boundaries and its key.
/// @param keyCount leaves under `stepKeysRoot`
struct StepRules {
    bytes32 stepKeysRoot;
    uint256 keyCount;
    uint256 streams;
    uint256 access;
    address verifier;
}

/// @notice One comparison of two tokens.
/// @param sampling the response's rule as `responseRules` gives it
/// @param winnerId the token that is shown to beat the rival: `chosenId`, or one that excludes the rival by min_p
struct TokenPair {
    uint256 sampling;
    uint256 position;
    uint256 chosenId;
    uint256 rivalId;
    uint256 winnerId;
}

/// @notice What a statement about the head follows from.
/// @param factor what the difference of the logits counts, and `offset` what is added to it, plus 2^63 (`Sampling`)
struct HeadRules {
    bytes32 rowsRoot;
    uint256 vocabSize;
    address verifier;
    uint256 factor;
    uint256 offset;
}

/// @notice What a statement about a tile of the head follows from: tile j has key `stepCount + j` of `stepCount + tiles`, of this kind.
struct HeadTileRules {
    bytes32 stepKeysRoot;
    uint256 stepCount;
    uint256 tiles;
    uint256 kind;
    uint256 streams;
    address verifier;
}

/// @title Models, immutable once registered
/// @notice A new version of a model is a new id. Anyone may register: the id commits to the code hashes
///         of the verifiers, so whoever registers can only point at contracts with exactly that code.
interface IModelRegistry {
    event ModelRegistered(
        bytes32 indexed modelId,
        address indexed registrant,
        ModelSpec spec,
        address[] stepVerifiers,
        address embeddingVerifier,
        address headVerifier
    );
    event ModelDeprecated(bytes32 indexed modelId, address indexed registrant);

    /// The model was registered before; use the registered one.
    error ModelAlreadyRegistered(bytes32 modelId);
    /// No model has this id; register it first.
    error ModelUnknown(bytes32 modelId);
    /// A size in the spec is out of range: `stepCount` in 1..2^20, `vocabSize` in 2..2^32, `maxPositions` in 1..2^14.
    error InvalidModelSize(uint256 stepCount, uint256 vocabSize, uint256 maxPositions);
    /// A scale of logits is below 256.
    error InvalidLogitScale(uint256 logitScale);
    /// Only min_p lets another token than the chosen one answer a rival; without it, name the chosen one.
    error WrongWinner(uint256 winnerId, uint256 chosenId);
    /// Boundaries are committed after every step (1) or not at all (0); register the model with one of these.
    error InvalidAuditStride(uint256 auditStride);
    /// A private model's head has 1..2^20 tiles, no more than tokens; a public one's has none.
    error InvalidHeadTiles(uint256 headTiles, uint256 auditStride);
    /// The streams are 1..15 without a gap, and stream 0 is not placed.
    error InvalidStreams(uint256 streams);
    /// A model has 1..32 kinds of step, with one verifier each.
    error InvalidKindCount(uint256 kinds, uint256 verifiers);
    /// A kind writes at least one stream, reads each in one way at most, does not write what it resets, and names no
    /// stream that the model does not have.
    error InvalidAccess(uint256 kind, uint64 access);
    /// Moves about a step of this kind could need more than a transaction holds; lower `maxPositions`.
    error KindTooLong(uint256 kind, uint256 neededBytes, uint256 mostBytes);
    /// The list is not the model's sorted list of end tokens.
    error WrongEndTokens();
    /// The model has no such kind of step.
    error KindUnknown(bytes32 modelId, uint256 kind);
    /// There is no code at the verifier's address; deploy it first.
    error VerifierWithoutCode(address verifier);
    /// The code at the verifier's address is not the code that the spec names.
    error VerifierCodeMismatch(address verifier, bytes32 expected, bytes32 actual);
    /// Only the account that registered the model may mark it.
    error NotRegistrant(address caller, address registrant);
    /// The model has the mark already.
    error AlreadyDeprecated(bytes32 modelId);

    /// @notice Registers a model. `stepVerifiers` in the order of `newSpec.kinds`.
    function register(
        ModelSpec calldata newSpec,
        address[] calldata stepVerifiers,
        address embeddingVerifier,
        address headVerifier
    ) external returns (bytes32 modelId);

    /// @notice By whoever registered the model: a mark, for ever, that it should not be used any more. Nothing else
    ///         changes: batches of it can be posted and disputed as before, because nobody may stop another's business.
    function deprecate(bytes32 modelId) external;

    /// @notice Who registered the model, zero for nobody. Anyone can register any spec first, so the name alone says little.
    function registrantOf(bytes32 modelId) external view returns (address);

    /// @notice Whether its registrant marked the model.
    function isDeprecated(bytes32 modelId) external view returns (bool);

    /// @notice keccak256(abi.encode(newSpec)), registered or not.
    function modelIdOf(ModelSpec calldata newSpec) external pure returns (bytes32);

    function isRegistered(bytes32 modelId) external view returns (bool);

    /// @notice The spec of a registered model; reverts with `ModelUnknown` otherwise.
    function spec(bytes32 modelId) external view returns (ModelSpec memory);

    /// @notice The sizes of a registered model's spec, without reading all of it.
    function sizes(bytes32 modelId)
        external
        view
        returns (uint256 stepCount, uint256 vocabSize, uint256 maxPositions, uint256 headTiles);

    /// @notice What a statement about a step of this kind follows from; like the following views, without reading the whole spec.
    function stepRules(bytes32 modelId, uint256 kind) external view returns (StepRules memory);

    /// @notice The tree of a registered model's token rows, the verifier of embedding rows, and the model's streams.
    function embeddingRules(bytes32 modelId)
        external
        view
        returns (bytes32 rowsRoot, uint256 vocabSize, address verifier, uint256 streams);

    /// @notice What a statement about a pair of tokens follows from, and what it must say of them; of a public model.
    function headRules(bytes32 modelId, TokenPair calldata pair) external view returns (HeadRules memory);

    /// @notice What a statement about a tile of a private model's head follows from.
    function headTileRules(bytes32 modelId) external view returns (HeadTileRules memory);

    /// @notice What follows from a response's fields under a model that is not private: its steps; whether no honest provider
    ///         posts such fields (`ResponseRules`, or `samplingHash` is no way to choose tokens that the model knows); that rule for
    ///         `headRules`, below 2^96 and 0 for greedy.
    function responseRules(bytes32 modelId, ResponseFields calldata fields)
        external
        view
        returns (uint256 stepCount, bool isPrivate, bool isMalformed, uint256 sampling);

    /// @notice The hash that a game keeps (`Game.boundariesHash`) which is about this step, or the input, and about a claim in which
    ///         every window is what was posted; refuses what does not fit itself or the model.
    function agreedHash(
        bytes32 modelId,
        bool isStep,
        uint256 step,
        uint256 windows,
        AgreedStep calldata agreed
    ) external view returns (bytes32);

    /// @notice Whether an id is one of the model's end tokens, which are brought along; refuses another list.
    function isEnd(bytes32 modelId, uint256[] calldata endTokens, uint256 id) external view returns (bool);
}
