// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice The four kinds of step a generated verifier exists for, in the order of `register`'s array.
enum StepKind {
    Mlp,
    Attention,
    Embedding,
    Head
}

/// @notice Everything that identifies a model; `modelId` = keccak256(abi.encode(spec)). Its trees are those of
///         `MerklePath`: leaf s of 2L, leaf v of the vocabulary.
/// @param architectureDigest digest of the layer program
/// @param stepKeysRoot Merkle root over the 2L step keys: leaf(s) = keccak(keccak(abi.encode(s, keyDigest)))
/// @param embeddingRowsRoot Merkle root over the vocabulary:
///        leaf(v) = keccak(keccak(abi.encode(v, E.x, E.y, H.x, H.y))), E embedding row, H head row
/// @param tokenizerDigest digest of the tokenizer
/// @param srsDigest digest of the structured reference string
/// @param stepCount 2L: step 2l is attention of layer l, step 2l+1 its MLP
/// @param vocabSize number of token ids
/// @param maxPositions longest T = promptLength + outputLength - 1
/// @param endTokensDigest keccak256(abi.encode(uint256[] sorted end token ids))
/// @param mlpVerifierCodeHash code hash of the MLP verifier; likewise the other three
struct ModelSpec {
    bytes32 architectureDigest;
    bytes32 stepKeysRoot;
    bytes32 embeddingRowsRoot;
    bytes32 tokenizerDigest;
    bytes32 srsDigest;
    uint256 stepCount;
    uint256 vocabSize;
    uint256 maxPositions;
    bytes32 endTokensDigest;
    bytes32 mlpVerifierCodeHash;
    bytes32 attentionVerifierCodeHash;
    bytes32 embeddingVerifierCodeHash;
    bytes32 headVerifierCodeHash;
}

/// @title Models, immutable once registered
/// @notice A new version of a model is a new id. Anyone may register: the id commits to the code hashes
///         of the verifiers, so whoever registers can only point at contracts with exactly that code.
interface IModelRegistry {
    event ModelRegistered(
        bytes32 indexed modelId, address indexed registrant, ModelSpec spec, address[4] verifiers
    );
    event ModelDeprecated(bytes32 indexed modelId, address indexed registrant);

    /// The model was registered before; use the registered one.
    error ModelAlreadyRegistered(bytes32 modelId);
    /// No model has this id; register it first.
    error ModelUnknown(bytes32 modelId);
    /// A size in the spec is out of range: `stepCount` even and in 2..65536, `vocabSize` in 2..2^32,
    /// `maxPositions` in 1..2^14.
    error InvalidModelSize(uint256 stepCount, uint256 vocabSize, uint256 maxPositions);
    /// There is no code at the verifier's address; deploy it first.
    error VerifierWithoutCode(StepKind kind, address verifier);
    /// The code at the verifier's address is not the code that the spec names.
    error VerifierCodeMismatch(StepKind kind, address verifier, bytes32 expected, bytes32 actual);
    /// Only the account that registered the model may mark it.
    error NotRegistrant(address caller, address registrant);
    /// The model has the mark already.
    error AlreadyDeprecated(bytes32 modelId);

    /// @notice Registers a model. `verifiers` in the order of `StepKind`.
    function register(ModelSpec calldata newSpec, address[4] calldata verifiers)
        external
        returns (bytes32 modelId);

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
        returns (uint256 stepCount, uint256 vocabSize, uint256 maxPositions);

    /// @notice The tree of a registered model's step keys, without reading the whole spec.
    function stepKeys(bytes32 modelId) external view returns (bytes32 root, uint256 stepCount);

    /// @notice The verifier of one kind of step of a registered model.
    function verifier(bytes32 modelId, StepKind kind) external view returns (address);
}
