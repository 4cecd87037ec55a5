// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IDisputeGame} from "../../src/interfaces/IDisputeGame.sol";
import {ResponseFields} from "../../src/interfaces/IInferenceLedger.sol";
import {ModelSpec, StepKindSpec} from "../../src/interfaces/IModelRegistry.sol";
import {IProviderStake} from "../../src/interfaces/IProviderStake.sol";
import {Receipt} from "../../src/interfaces/IReceipts.sol";
import {Leaves} from "../../src/libraries/Leaves.sol";
import {Parameters, ProtocolParameters} from "../../src/libraries/Parameters.sol";
import {Merkle} from "../Merkle.sol";
import {Protocol} from "../Protocol.sol";
import {StepKind, SyntheticModel, SyntheticVerifier} from "./SyntheticModel.sol";
import {Thief} from "./Thief.sol";

/// @notice A response that a provider signed a receipt for, and what is known about it.
struct Answer {
    address provider;
    bytes promptIds;
    bytes outputIds;
    Receipt receipt;
    bytes signature;
    bytes32 leaf;
    uint256 batchId; // 0: not posted
    bytes32[] path;
    bool isRight;
    bool isCutShort;
    bool runsOn; // behind an end token
    bool isMalformed;
}

/// @title A deployment, a model, four providers, five challengers, two requesters, a bystander
/// @notice Two providers and two challengers are honest; the others do what they like.
abstract contract Arena is Protocol {
    uint256 internal constant PROVIDERS = 4;
    uint256 internal constant CHALLENGERS = 5;
    uint256 internal constant DEPOSIT = 60 ether;

    bytes32 internal modelId;

    uint256[PROVIDERS] internal keys;
    address[PROVIDERS] internal providers; // 0, 1: honest
    address[CHALLENGERS] internal challengers; // 0, 1: honest; 4: a contract that steals if it can
    address internal requester = address(0x4E0);
    address internal bystander = address(0x57A);
    Thief internal thief;
    mapping(address => bool) internal isHonest;
    mapping(address => uint256) internal keyOf;

    Answer[] internal answers;
    mapping(uint256 gameId => uint256) internal answerOf;
    uint256 internal saltCount;

    bytes32[] private _stepKeyLeaves;
    bytes32[] private _tokenLeaves;

    /// @notice Deploys everything and hands out ether.
    function begin() public {
        vm.warp(1_800_000_000);
        ProtocolParameters memory parameters = Parameters.devnet();
        parameters.arity = 2; // several rounds on six steps
        parameters.maxGamesPerResponse = 2; // so that all places are taken now and then
        parameters.gameReward = 0.2 ether; // two fifths of the lock
        parameters.bondLoad = 3;
        parameters.joinWindow = 60; // long enough to be used now and then
        deployProtocol(parameters);
        _registerModel();
        for (uint256 i = 0; i < PROVIDERS; ++i) {
            keys[i] = 0xA11CE + i;
            providers[i] = vm.addr(keys[i]);
            keyOf[providers[i]] = keys[i];
            isHonest[providers[i]] = i < 2;
            vm.deal(providers[i], DEPOSIT);
            vm.startPrank(providers[i]);
            stake.deposit{value: DEPOSIT}();
            stake.registerSigner(providers[i], DEPOSIT);
            vm.stopPrank();
        }
        thief = new Thief(stake, ledger, game);
        challengers = [address(0xC0A1), address(0xC0A2), address(0xBAD1), address(0xBAD2), address(thief)];
        for (uint256 i = 0; i < CHALLENGERS; ++i) {
            isHonest[challengers[i]] = i < 2;
            vm.deal(challengers[i], 1000 ether);
        }
        vm.deal(requester, 1000 ether);
    }

    function _registerModel() private {
        for (uint256 s = 0; s < SyntheticModel.STEPS; ++s) {
            _stepKeyLeaves.push(
                Leaves.stepKey(s, uint256(SyntheticModel.kindOf(s)), keccak256(SyntheticModel.stepKey(s)))
            );
        }
        for (uint256 v = 0; v < SyntheticModel.VOCABULARY; ++v) {
            _tokenLeaves.push(
                Leaves.tokenRow(v, SyntheticModel.embeddingPoint(v), SyntheticModel.headPoint(v))
            );
        }
        address[4] memory verifiers;
        for (uint256 kind = 0; kind < 4; ++kind) {
            verifiers[kind] = address(new SyntheticVerifier(StepKind(kind)));
        }
        address[] memory ofSteps = new address[](2);
        (ofSteps[0], ofSteps[1]) = (verifiers[0], verifiers[1]);
        modelId = registry.register(_spec(verifiers), ofSteps, verifiers[2], verifiers[3]);
    }

    function _spec(address[4] memory verifiers) private view returns (ModelSpec memory spec) {
        spec.architectureDigest = "synthetic";
        spec.stepKeysRoot = Merkle.root(_stepKeyLeaves);
        spec.embeddingRowsRoot = Merkle.root(_tokenLeaves);
        spec.stepCount = SyntheticModel.STEPS;
        spec.vocabSize = SyntheticModel.VOCABULARY;
        spec.maxPositions = SyntheticModel.MAX_POSITIONS;
        spec.logitScale = 24;
        spec.endTokensDigest = keccak256(abi.encode(endTokens()));
        spec.streams = 1;
        spec.kinds = new StepKindSpec[](2);
        spec.kinds[0] = StepKindSpec(verifiers[0].codehash, 5); // reads and writes its own window
        spec.kinds[1] = StepKindSpec(verifiers[1].codehash, 6 | (1 << 63)); // reads all up to it
        spec.embeddingVerifierCodeHash = verifiers[2].codehash;
        spec.headVerifierCodeHash = verifiers[3].codehash;
    }

    function endTokens() internal pure returns (uint256[] memory all) {
        all = new uint256[](1);
        all[0] = SyntheticModel.END_TOKEN;
    }

    function stepKeyPath(uint256 step) internal view returns (bytes32[] memory) {
        return Merkle.path(_stepKeyLeaves, step);
    }

    function tokenPath(uint256 token) internal view returns (bytes32[] memory) {
        return Merkle.path(_tokenLeaves, token);
    }

    // --- responses

    /// @dev Has `provider` answer: right, or with a flaw that `flaw` and the model make of it.
    ///      0 right, 1 wrong token, 2 two random tokens, 3 stopped early, 4 too long, 5 unknown sampling,
    ///      6 more tokens than asked for, 7 running on behind an end token.
    function sign(address provider, uint256 flaw, uint256 index, uint256 seed) internal returns (uint256 id) {
        id = answers.length;
        Answer storage a = answers.push();
        a.provider = provider;
        a.promptIds = _prompt(flaw == 4 ? SyntheticModel.MAX_POSITIONS + 1 : _promptLength(seed), seed);
        uint256 right = _rightToken(a.promptIds);
        if (flaw == 1) {
            a.outputIds = SyntheticModel.encode(
                (right + 1 + seed % (SyntheticModel.VOCABULARY - 1)) % SyntheticModel.VOCABULARY
            );
        } else if (flaw == 2) {
            a.outputIds = bytes.concat(_id(seed, "first"), _id(seed, "second"));
        } else if (flaw == 7) {
            a.outputIds = bytes.concat(SyntheticModel.encode(SyntheticModel.END_TOKEN), _id(seed, "second"));
        } else {
            a.outputIds = SyntheticModel.encode(right);
        }
        uint256 wanted = a.outputIds.length / 4;
        if (flaw == 3) wanted += 1;
        if (flaw == 6) wanted = 0;
        a.isMalformed = flaw >= 4 && flaw <= 6;
        a.runsOn = a.outputIds.length == 8 && SyntheticModel.END_TOKEN == uint8(a.outputIds[3]);
        a.isCutShort = flaw == 3 && right != SyntheticModel.END_TOKEN;
        a.isRight = !a.isMalformed && !a.isCutShort && !a.runsOn && _isModels(a.promptIds, a.outputIds);
        a.receipt = Receipt({
            provider: provider,
            modelId: modelId,
            batchSalt: keccak256(abi.encode("salt", ++saltCount)),
            index: index,
            promptHash: keccak256(a.promptIds),
            outputHash: keccak256(a.outputIds),
            promptLength: a.promptIds.length / 4,
            outputLength: a.outputIds.length / 4,
            maxTokens: wanted,
            samplingHash: flaw == 5 ? bytes32("warm") : keccak256("greedy"),
            feeWei: 0.01 ether + id,
            auditRoot: 0,
            payer: requester,
            feeToken: address(0),
            issuedAt: uint64(block.timestamp),
            postingDeadline: uint64(block.timestamp) + p.postingWindow,
            signer: provider
        });
        _seal(a);
    }

    /// @dev Another answer for the same salt and index: a batch has room for one of the two.
    function signTwin(uint256 id, uint256 flaw, uint256 seed) internal returns (uint256 twin) {
        twin = sign(answers[id].provider, flaw, answers[id].receipt.index, seed);
        answers[twin].receipt.batchSalt = answers[id].receipt.batchSalt;
        _seal(answers[twin]);
    }

    function _seal(Answer storage a) private {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keyOf[a.provider], receipts.receiptDigest(a.receipt));
        a.signature = abi.encodePacked(r, s, v);
        a.leaf = ledger.responseLeaf(a.provider, modelId, a.receipt.batchSalt, a.receipt.index, fieldsOf(a));
    }

    function fieldsOf(Answer storage a) internal view returns (ResponseFields memory) {
        Receipt storage r = a.receipt;
        return ResponseFields(
            r.promptHash,
            r.outputHash,
            r.promptLength,
            r.outputLength,
            r.maxTokens,
            r.samplingHash,
            r.feeWei,
            r.auditRoot
        );
    }

    /// @dev Posts a batch of two with the answer in its place, and `other` in the other one.
    function post(uint256 id, bytes32 other) internal {
        uint256 index = answers[id].receipt.index;
        bytes32[] memory leaves = new bytes32[](2);
        leaves[index] = answers[id].leaf;
        leaves[1 - index] = other;
        bytes32 salt = answers[id].receipt.batchSalt;
        vm.prank(answers[id].provider);
        uint256 batchId = ledger.postBatch(answers[id].provider, Merkle.root(leaves), salt, modelId, 2);
        (answers[id].batchId, answers[id].path) = (batchId, Merkle.path(leaves, index));
    }

    function post(uint256 id) internal {
        post(id, keccak256(abi.encode("the other response", id)));
    }

    function _promptLength(uint256 seed) private pure returns (uint256) {
        uint8[7] memory lengths = [1, 31, 32, 33, 63, 65, 69];
        return lengths[seed % 7];
    }

    function _prompt(uint256 length, uint256 seed) private pure returns (bytes memory ids) {
        ids = new bytes(4 * length);
        for (uint256 i = 0; i < length; ++i) {
            ids[4 * i + 3] =
                bytes1(uint8(uint256(keccak256(abi.encode(seed, i))) % SyntheticModel.VOCABULARY));
        }
    }

    function _id(uint256 seed, string memory domain) private pure returns (bytes memory) {
        return SyntheticModel.encode(uint256(keccak256(abi.encode(seed, domain))) % SyntheticModel.VOCABULARY);
    }

    function _rightToken(bytes memory promptIds) private pure returns (uint256) {
        uint256[][] memory truth = SyntheticModel.trace(promptIds, SyntheticModel.encode(0));
        return SyntheticModel.argmax(truth[SyntheticModel.STEPS], promptIds.length / 4 - 1);
    }

    function _isModels(bytes memory promptIds, bytes memory outputIds) private pure returns (bool) {
        (bool found,,) = firstWrongToken(promptIds, outputIds);
        return !found;
    }

    /// @dev The first position whose next token is not the model's, and the token that beats it.
    function firstWrongToken(bytes memory promptIds, bytes memory outputIds)
        internal
        pure
        returns (bool found, uint256 position, uint256 rival)
    {
        uint256[][] memory truth = SyntheticModel.trace(promptIds, outputIds);
        uint256 first = promptIds.length / 4 - 1;
        for (uint256 j = 0; j < outputIds.length / 4; ++j) {
            rival = SyntheticModel.argmax(truth[SyntheticModel.STEPS], first + j);
            if (rival != SyntheticModel.token(outputIds, j)) return (true, first + j, rival);
        }
    }
}
