// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IModelRegistry, ModelSpec, StepKind} from "./interfaces/IModelRegistry.sol";

/// @title Models, immutable once registered; documented on `IModelRegistry`
contract ModelRegistry is IModelRegistry {
    mapping(bytes32 modelId => ModelSpec) private _specs;
    mapping(bytes32 modelId => address[4]) private _verifiers;

    /// @inheritdoc IModelRegistry
    mapping(bytes32 modelId => address) public registrantOf;
    /// @inheritdoc IModelRegistry
    mapping(bytes32 modelId => bool) public isDeprecated;

    /// @inheritdoc IModelRegistry
    function register(ModelSpec calldata newSpec, address[4] calldata verifiers)
        external
        returns (bytes32 modelId)
    {
        modelId = modelIdOf(newSpec);
        require(!isRegistered(modelId), ModelAlreadyRegistered(modelId));
        require(
            _sizesAreValid(newSpec),
            InvalidModelSize(newSpec.stepCount, newSpec.vocabSize, newSpec.maxPositions)
        );
        _checkCode(StepKind.Mlp, verifiers[0], newSpec.mlpVerifierCodeHash);
        _checkCode(StepKind.Attention, verifiers[1], newSpec.attentionVerifierCodeHash);
        _checkCode(StepKind.Embedding, verifiers[2], newSpec.embeddingVerifierCodeHash);
        _checkCode(StepKind.Head, verifiers[3], newSpec.headVerifierCodeHash);
        _specs[modelId] = newSpec;
        _verifiers[modelId] = verifiers;
        registrantOf[modelId] = msg.sender;
        emit ModelRegistered(modelId, msg.sender, newSpec, verifiers);
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
    function spec(bytes32 modelId) external view returns (ModelSpec memory) {
        require(isRegistered(modelId), ModelUnknown(modelId));
        return _specs[modelId];
    }

    /// @inheritdoc IModelRegistry
    function sizes(bytes32 modelId)
        external
        view
        returns (uint256 stepCount, uint256 vocabSize, uint256 maxPositions)
    {
        require(isRegistered(modelId), ModelUnknown(modelId));
        ModelSpec storage s = _specs[modelId];
        return (s.stepCount, s.vocabSize, s.maxPositions);
    }

    /// @inheritdoc IModelRegistry
    function stepKeys(bytes32 modelId) external view returns (bytes32 root, uint256 stepCount) {
        require(isRegistered(modelId), ModelUnknown(modelId));
        return (_specs[modelId].stepKeysRoot, _specs[modelId].stepCount);
    }

    /// @inheritdoc IModelRegistry
    function verifier(bytes32 modelId, StepKind kind) external view returns (address) {
        require(isRegistered(modelId), ModelUnknown(modelId));
        return _verifiers[modelId][uint256(kind)];
    }

    /// @inheritdoc IModelRegistry
    function modelIdOf(ModelSpec calldata newSpec) public pure returns (bytes32) {
        return keccak256(abi.encode(newSpec));
    }

    /// @inheritdoc IModelRegistry
    function isRegistered(bytes32 modelId) public view returns (bool) {
        return _specs[modelId].stepCount != 0;
    }

    /// @dev 2^14 positions are what can be defended: the token ids and points of an embedding proof stay below
    ///      the 128 KiB that nodes take as a transaction, and a proof about the last window below 2^24 gas.
    function _sizesAreValid(ModelSpec calldata newSpec) private pure returns (bool) {
        return newSpec.stepCount >= 2 && newSpec.stepCount <= 2 ** 16 && newSpec.stepCount % 2 == 0
            && newSpec.vocabSize >= 2 && newSpec.vocabSize <= 2 ** 32 && newSpec.maxPositions >= 1
            && newSpec.maxPositions <= 2 ** 14;
    }

    function _checkCode(StepKind kind, address account, bytes32 expected) private view {
        require(account.code.length != 0, VerifierWithoutCode(kind, account));
        require(account.codehash == expected, VerifierCodeMismatch(kind, account, expected, account.codehash));
    }
}
