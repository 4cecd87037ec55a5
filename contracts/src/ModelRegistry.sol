// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {AgreedStep} from "./interfaces/IDisputeGame.sol";
import {ResponseFields} from "./interfaces/IInferenceLedger.sol";
import {
    HeadRules,
    HeadTileRules,
    IModelRegistry,
    ModelSpec,
    StepKindSpec,
    StepRules,
    TokenPair
} from "./interfaces/IModelRegistry.sol";
import {Boundary} from "./libraries/Boundary.sol";
import {Refutations} from "./libraries/Refutations.sol";
import {ResponseRules} from "./libraries/ResponseRules.sol";
import {Sampling} from "./libraries/Sampling.sol";
import {Streams} from "./libraries/Streams.sol";

/// @title Models, immutable once registered; documented on `IModelRegistry`
contract ModelRegistry is IModelRegistry {
    /// @dev What moves read of a kind is one slot.
    struct Kind {
        address verifier;
        uint64 access;
        // ---
        bytes32 verifierCodeHash;
    }

    /// @dev A spec and its verifiers; what moves read is one slot beside the roots.
    struct Model {
        uint24 stepCount;
        uint40 vocabSize;
        uint16 maxPositions;
        uint120 streams;
        uint8 kindCount;
        uint8 logitScale;
        uint8 auditStride;
        uint24 headTiles;
        // ---
        bytes32 stepKeysRoot;
        bytes32 embeddingRowsRoot;
        address embeddingVerifier;
        address headVerifier;
        bytes32 endTokensDigest;
        bytes32 architectureDigest;
        bytes32 tokenizerDigest;
        bytes32 srsDigest;
        bytes32 embeddingVerifierCodeHash;
        bytes32 headVerifierCodeHash;
        mapping(uint256 kind => Kind) kinds;
    }

    uint256 private constant _MOST_KINDS = 32;

    /// @dev With longer strides an auditor would name chains of steps, which no proof is about yet.
    uint256 private constant _LARGEST_STRIDE = 1;

    /// @dev Of steps, and of tiles of the head.
    uint256 private constant _MOST_STEPS = 2 ** 20;

    /// @dev What sums of windows may take of a move, so that it fits the 128 KiB that nodes take, the proof and its key, or a claim of at
    ///      most 8 KiB, included.
    uint256 private constant _MOST_WINDOW_BYTES = 96 * 1024;

    mapping(bytes32 modelId => Model) private _models;

    /// @inheritdoc IModelRegistry
    mapping(bytes32 modelId => address) public registrantOf;
    /// @inheritdoc IModelRegistry
    mapping(bytes32 modelId => bool) public isDeprecated;

    /// @inheritdoc IModelRegistry
    function register(
        ModelSpec calldata newSpec,
        address[] calldata stepVerifiers,
        address embeddingVerifier,
        address headVerifier
    ) external returns (bytes32 modelId) {
        modelId = modelIdOf(newSpec);
        require(!isRegistered(modelId), ModelAlreadyRegistered(modelId));
        _checkSizes(newSpec, stepVerifiers.length);
        _checkCode(embeddingVerifier, newSpec.embeddingVerifierCodeHash);
        _checkCode(headVerifier, newSpec.headVerifierCodeHash);
        Model storage m = _models[modelId];
        _store(m, newSpec);
        (m.embeddingVerifier, m.headVerifier) = (embeddingVerifier, headVerifier);
        for (uint256 kind = 0; kind < stepVerifiers.length; ++kind) {
            StepKindSpec calldata k = newSpec.kinds[kind];
            _checkAccess(newSpec, kind);
            _checkCode(stepVerifiers[kind], k.verifierCodeHash);
            m.kinds[kind] = Kind(stepVerifiers[kind], k.access, k.verifierCodeHash);
        }
        registrantOf[modelId] = msg.sender;
        emit ModelRegistered(modelId, msg.sender, newSpec, stepVerifiers, embeddingVerifier, headVerifier);
    }

    /// @inheritdoc IModelRegistry
    function deprecate(bytes32 modelId) external {
        require(isRegistered(modelId), ModelUnknown(modelId));
        require(msg.sender == registrantOf[modelId], NotRegistrant(msg.sender, registrantOf[modelId]));
        require(!isDeprecated[modelId], AlreadyDeprecated(modelId));
        isDeprecated[modelId] = true;
        emit ModelDeprecated(modelId, msg.sender);
    }

    /// @inheritdoc IModelRegistry
    function spec(bytes32 modelId) external view returns (ModelSpec memory found) {
        Model storage m = _model(modelId);
        found.architectureDigest = m.architectureDigest;
        found.stepKeysRoot = m.stepKeysRoot;
        found.embeddingRowsRoot = m.embeddingRowsRoot;
        found.tokenizerDigest = m.tokenizerDigest;
        found.srsDigest = m.srsDigest;
        found.stepCount = m.stepCount;
        found.vocabSize = m.vocabSize;
        found.maxPositions = m.maxPositions;
        found.logitScale = m.logitScale;
        found.endTokensDigest = m.endTokensDigest;
        found.streams = m.streams;
        found.kinds = new StepKindSpec[](m.kindCount);
        for (uint256 kind = 0; kind < found.kinds.length; ++kind) {
            Kind storage k = m.kinds[kind];
            found.kinds[kind] = StepKindSpec(k.verifierCodeHash, k.access);
        }
        found.auditStride = m.auditStride;
        found.headTiles = m.headTiles;
        found.embeddingVerifierCodeHash = m.embeddingVerifierCodeHash;
        found.headVerifierCodeHash = m.headVerifierCodeHash;
    }

    /// @inheritdoc IModelRegistry
    function sizes(bytes32 modelId)
        external
        view
        returns (uint256 stepCount, uint256 vocabSize, uint256 maxPositions, uint256 headTiles)
    {
        Model storage m = _model(modelId);
        return (m.stepCount, m.vocabSize, m.maxPositions, m.headTiles);
    }

    /// @inheritdoc IModelRegistry
    function stepRules(bytes32 modelId, uint256 kind) public view returns (StepRules memory) {
        Model storage m = _model(modelId);
        Kind storage k = _kind(modelId, kind);
        uint256 keyCount = uint256(m.stepCount) + m.headTiles;
        return StepRules(m.stepKeysRoot, keyCount, m.streams, k.access, k.verifier);
    }

    /// @inheritdoc IModelRegistry
    function embeddingRules(bytes32 modelId)
        external
        view
        returns (bytes32 rowsRoot, uint256 vocabSize, address verifier, uint256 streams)
    {
        Model storage m = _model(modelId);
        return (m.embeddingRowsRoot, m.vocabSize, m.embeddingVerifier, m.streams);
    }

    /// @inheritdoc IModelRegistry
    function agreedHash(
        bytes32 modelId,
        bool isStep,
        uint256 step,
        uint256 windows,
        AgreedStep calldata agreed
    ) external view returns (bytes32) {
        if (!isStep) return Refutations.inputHash(_model(modelId).streams, windows, agreed);
        return Refutations.stepHash(stepRules(modelId, agreed.kind), step, windows, agreed);
    }

    /// @inheritdoc IModelRegistry
    function headRules(bytes32 modelId, TokenPair calldata pair) external view returns (HeadRules memory) {
        Model storage m = _model(modelId);
        (bool isPair, uint256 factor, uint256 offset) = Sampling.pair(pair, m.logitScale);
        require(isPair, WrongWinner(pair.winnerId, pair.chosenId));
        return HeadRules(m.embeddingRowsRoot, m.vocabSize, m.headVerifier, factor, offset);
    }

    /// @inheritdoc IModelRegistry
    function headTileRules(bytes32 modelId) external view returns (HeadTileRules memory) {
        Model storage m = _model(modelId);
        return HeadTileRules(m.stepKeysRoot, m.stepCount, m.headTiles, m.kindCount, m.streams, m.headVerifier);
    }

    /// @inheritdoc IModelRegistry
    function responseRules(bytes32 modelId, ResponseFields calldata fields)
        external
        view
        returns (uint256 stepCount, bool isPrivate, bool isMalformed, uint256 sampling)
    {
        Model storage m = _model(modelId);
        bool isRule;
        (isRule, sampling) = Sampling.parse(fields.samplingHash, m.logitScale);
        isMalformed = !isRule || ResponseRules.isMalformed(fields, m.maxPositions, false);
        return (m.stepCount, m.auditStride != 0, isMalformed, sampling);
    }

    /// @inheritdoc IModelRegistry
    function isEnd(bytes32 modelId, uint256[] calldata endTokens, uint256 id) external view returns (bool) {
        require(keccak256(abi.encode(endTokens)) == _model(modelId).endTokensDigest, WrongEndTokens());
        for (uint256 i = 0; i < endTokens.length; ++i) {
            if (endTokens[i] == id) return true;
        }
        return false;
    }

    /// @inheritdoc IModelRegistry
    function modelIdOf(ModelSpec calldata newSpec) public pure returns (bytes32) {
        return keccak256(abi.encode(newSpec));
    }

    /// @inheritdoc IModelRegistry
    function isRegistered(bytes32 modelId) public view returns (bool) {
        return _models[modelId].stepCount != 0;
    }

    function _model(bytes32 modelId) private view returns (Model storage m) {
        require(isRegistered(modelId), ModelUnknown(modelId));
        m = _models[modelId];
    }

    function _kind(bytes32 modelId, uint256 kind) private view returns (Kind storage k) {
        k = _model(modelId).kinds[kind];
        require(k.verifier != address(0), KindUnknown(modelId, kind));
    }

    /// @dev All but the verifiers and the kinds. `_checkSizes` bounds what is cut off here.
    function _store(Model storage m, ModelSpec calldata newSpec) private {
        m.stepCount = uint24(newSpec.stepCount);
        m.vocabSize = uint40(newSpec.vocabSize);
        m.maxPositions = uint16(newSpec.maxPositions);
        m.logitScale = uint8(newSpec.logitScale);
        m.streams = uint120(newSpec.streams);
        m.kindCount = uint8(newSpec.kinds.length);
        m.auditStride = uint8(newSpec.auditStride);
        m.headTiles = uint24(newSpec.headTiles);
        m.stepKeysRoot = newSpec.stepKeysRoot;
        m.embeddingRowsRoot = newSpec.embeddingRowsRoot;
        m.endTokensDigest = newSpec.endTokensDigest;
        m.architectureDigest = newSpec.architectureDigest;
        m.tokenizerDigest = newSpec.tokenizerDigest;
        m.srsDigest = newSpec.srsDigest;
        m.embeddingVerifierCodeHash = newSpec.embeddingVerifierCodeHash;
        m.headVerifierCodeHash = newSpec.headVerifierCodeHash;
    }

    /// @dev 2^14 positions are what can be defended: the token ids of an embedding proof stay below the 128 KiB that
    ///      nodes take as a transaction.
    function _checkSizes(ModelSpec calldata newSpec, uint256 verifierCount) private pure {
        require(
            newSpec.stepCount >= 1 && newSpec.stepCount <= _MOST_STEPS && newSpec.vocabSize >= 2
                && newSpec.vocabSize <= 2 ** 32 && newSpec.maxPositions >= 1
                && newSpec.maxPositions <= Boundary.MOST_POSITIONS,
            InvalidModelSize(newSpec.stepCount, newSpec.vocabSize, newSpec.maxPositions)
        );
        require(newSpec.logitScale <= type(uint8).max, InvalidLogitScale(newSpec.logitScale));
        require(newSpec.auditStride <= _LARGEST_STRIDE, InvalidAuditStride(newSpec.auditStride));
        require(
            (newSpec.headTiles == 0) == (newSpec.auditStride == 0) && newSpec.headTiles <= _MOST_STEPS
                && newSpec.headTiles <= newSpec.vocabSize,
            InvalidHeadTiles(newSpec.headTiles, newSpec.auditStride)
        );
        require(Streams.areValid(newSpec.streams), InvalidStreams(newSpec.streams));
        uint256 kinds = newSpec.kinds.length;
        require(
            kinds >= 1 && kinds <= _MOST_KINDS && kinds == verifierCount,
            InvalidKindCount(kinds, verifierCount)
        );
    }

    /// @dev The longest moves about a step show all windows that it writes (`refuteClaim`), and prove the last window of one that reads all.
    function _checkAccess(ModelSpec calldata newSpec, uint256 kind) private pure {
        uint64 access = newSpec.kinds[kind].access;
        require(Streams.isAccess(access, Streams.count(newSpec.streams)), InvalidAccess(kind, access));
        uint256 windows = Boundary.windowsOf(newSpec.maxPositions);
        uint256 needed = Streams.longestMove(newSpec.streams, access, windows);
        require(needed <= _MOST_WINDOW_BYTES, KindTooLong(kind, needed, _MOST_WINDOW_BYTES));
    }

    function _checkCode(address account, bytes32 expected) private view {
        require(account.code.length != 0, VerifierWithoutCode(account));
        require(account.codehash == expected, VerifierCodeMismatch(account, expected, account.codehash));
    }
}
