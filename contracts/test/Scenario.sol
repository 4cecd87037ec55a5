// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    EmbeddingProof,
    Game,
    HeadProof,
    IDisputeGame,
    Outcome,
    Phase,
    Reason,
    StepProof,
    Target,
    TokenRow
} from "../src/interfaces/IDisputeGame.sol";
import {
    IInferenceLedger,
    Receipt,
    ResponseFields,
    ResponseStatus
} from "../src/interfaces/IInferenceLedger.sol";
import {IModelRegistry, ModelSpec, StepKind} from "../src/interfaces/IModelRegistry.sol";
import {IProviderStake} from "../src/interfaces/IProviderStake.sol";
import {Leaves} from "../src/libraries/Leaves.sol";
import {Parameters, ProtocolParameters} from "../src/libraries/Parameters.sol";
import {Merkle} from "./Merkle.sol";
import {PresetVerifier} from "./PresetVerifier.sol";
import {Test} from "./Vm.sol";

/// @notice A response with its token ids.
struct Response {
    ResponseFields fields;
    bytes promptIds;
    bytes outputIds;
}

/// @title A deployment, a model of 12 steps, a batch of three responses, and the moves of both sides
/// @notice The provider's trace is honest up to a boundary of choice and differs in one window after it.
abstract contract Scenario is Test {
    uint256 internal constant PROVIDER_KEY = 0xA11CE;
    uint256 internal constant STEPS = 12;
    uint256 internal constant VOCABULARY = 16;
    uint256 internal constant END_TOKEN = 2;
    uint256 internal constant NEVER = type(uint256).max;
    uint256 internal constant TARGET = 1; // index of the disputed response in its batch
    bytes32 internal constant SALT = keccak256("salt");
    bytes internal constant PROOF = "the step proof";

    IModelRegistry internal registry;
    IProviderStake internal stake;
    IInferenceLedger internal ledger;
    IDisputeGame internal game;
    ProtocolParameters internal p;
    PresetVerifier[4] internal verifiers;
    ModelSpec internal spec;
    bytes32 internal modelId;

    address internal provider = vm.addr(PROVIDER_KEY);
    address internal challenger = address(0xC4A1);
    address internal copycat = address(0xC0CA);
    address internal requester = address(0x4E0);
    address internal stranger = address(0x57A);

    Response internal response; // the one under dispute
    uint256 internal batchId;
    bytes32[] internal batchLeaves;

    function setUp() public virtual {
        vm.warp(1_800_000_000);
        p = _parameters();
        registry = IModelRegistry(vm.deployCode("ModelRegistry.sol:ModelRegistry"));
        stake = IProviderStake(vm.deployCode("ProviderStake.sol:ProviderStake", abi.encode(p)));
        ledger = IInferenceLedger(
            vm.deployCode("InferenceLedger.sol:InferenceLedger", abi.encode(stake, registry))
        );
        game = IDisputeGame(vm.deployCode("DisputeGame.sol:DisputeGame", abi.encode(ledger)));
        stake.initialise(address(ledger), address(game));
        for (uint256 i = 0; i < 4; ++i) {
            verifiers[i] = new PresetVerifier();
        }
        spec = makeSpec();
        modelId = registry.register(spec, verifierAddresses());
        address[5] memory actors = [provider, challenger, copycat, requester, stranger];
        for (uint256 i = 0; i < actors.length; ++i) {
            vm.deal(actors[i], 1000 ether);
        }
        vm.prank(provider);
        stake.deposit{value: 20 ether}();
        response = makeResponse(40, 30, 30);
        batchId = post(response, SALT);
    }

    function _parameters() internal pure virtual returns (ProtocolParameters memory) {
        return Parameters.devnet();
    }

    // --- the model

    function makeSpec() internal view returns (ModelSpec memory made) {
        bytes32 codeHash = address(verifiers[0]).codehash;
        made = ModelSpec({
            architectureDigest: keccak256("architecture"),
            stepKeysRoot: Merkle.root(stepKeyLeaves()),
            embeddingRowsRoot: Merkle.root(tokenLeaves()),
            tokenizerDigest: keccak256("tokenizer"),
            srsDigest: keccak256("srs"),
            stepCount: STEPS,
            vocabSize: VOCABULARY,
            maxPositions: 256,
            endTokensDigest: keccak256(abi.encode(endTokens())),
            mlpVerifierCodeHash: codeHash,
            attentionVerifierCodeHash: codeHash,
            embeddingVerifierCodeHash: codeHash,
            headVerifierCodeHash: codeHash
        });
    }

    function verifierAddresses() internal view returns (address[4] memory all) {
        for (uint256 i = 0; i < 4; ++i) {
            all[i] = address(verifiers[i]);
        }
    }

    function endTokens() internal pure returns (uint256[] memory all) {
        all = new uint256[](1);
        all[0] = END_TOKEN;
    }

    function stepKey(uint256 step) internal pure returns (bytes memory) {
        return abi.encodePacked("step key ", step);
    }

    function stepKeyLeaves() internal pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](STEPS);
        for (uint256 s = 0; s < STEPS; ++s) {
            leaves[s] = Leaves.stepKey(s, keccak256(stepKey(s)));
        }
    }

    function stepKeyPath(uint256 step) internal pure returns (bytes32[] memory) {
        return Merkle.path(stepKeyLeaves(), step);
    }

    function embeddingPoint(uint256 token) internal pure returns (uint256[2] memory) {
        return [1000 + token, 2000 + token];
    }

    function headPoint(uint256 token) internal pure returns (uint256[2] memory) {
        return [3000 + token, 4000 + token];
    }

    function tokenLeaves() internal pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](VOCABULARY);
        for (uint256 v = 0; v < VOCABULARY; ++v) {
            leaves[v] = Leaves.tokenRow(v, embeddingPoint(v), headPoint(v));
        }
    }

    function tokenRow(uint256 token) internal pure returns (TokenRow memory) {
        return TokenRow(embeddingPoint(token), headPoint(token), Merkle.path(tokenLeaves(), token));
    }

    // --- responses and batches

    function promptToken(uint256 i) internal pure returns (uint256) {
        return (5 * i + 1) % VOCABULARY;
    }

    function outputToken(uint256 j) internal pure returns (uint256) {
        return (7 * j + 3) % VOCABULARY;
    }

    function sequenceToken(Response memory r, uint256 position) internal pure returns (uint256) {
        uint256 length = r.fields.promptLength;
        return position < length ? promptToken(position) : outputToken(position - length);
    }

    function makeResponse(uint256 promptLength, uint256 outputLength, uint256 maxTokens)
        internal
        pure
        returns (Response memory r)
    {
        r.promptIds = new bytes(4 * promptLength);
        for (uint256 i = 0; i < promptLength; ++i) {
            r.promptIds[4 * i + 3] = bytes1(uint8(promptToken(i)));
        }
        r.outputIds = new bytes(4 * outputLength);
        for (uint256 j = 0; j < outputLength; ++j) {
            r.outputIds[4 * j + 3] = bytes1(uint8(outputToken(j)));
        }
        r.fields = ResponseFields({
            promptHash: keccak256(r.promptIds),
            outputHash: keccak256(r.outputIds),
            promptLength: promptLength,
            outputLength: outputLength,
            maxTokens: maxTokens,
            samplingHash: keccak256("greedy"),
            feeWei: 0.01 ether
        });
    }

    function windows() internal view returns (uint256) {
        return (response.fields.promptLength + response.fields.outputLength - 1 + 31) / 32;
    }

    /// @dev A batch of three: the response at index 1 between two others.
    function post(Response memory r, bytes32 salt) internal returns (uint256 id) {
        batchLeaves = leavesOf(r, salt);
        vm.prank(provider);
        id = ledger.postBatch(Merkle.root(batchLeaves), salt, modelId, 3);
    }

    function leavesOf(Response memory r, bytes32 salt) internal view returns (bytes32[] memory leaves) {
        leaves = new bytes32[](3);
        leaves[0] = ledger.responseLeaf(provider, modelId, salt, 0, makeResponse(3, 4, 4).fields);
        leaves[1] = ledger.responseLeaf(provider, modelId, salt, 1, r.fields);
        leaves[2] = ledger.responseLeaf(provider, modelId, salt, 2, makeResponse(5, 6, 6).fields);
    }

    function batchPath() internal view returns (bytes32[] memory) {
        return Merkle.path(batchLeaves, TARGET);
    }

    /// @dev Disputes a response of this shape instead, in a batch of its own.
    function dispute(uint256 promptLength, uint256 outputLength) internal {
        response = makeResponse(promptLength, outputLength, outputLength);
        batchId = post(response, keccak256(abi.encode(promptLength, outputLength)));
    }

    function makeReceipt(Response memory r, bytes32 salt, uint256 index)
        internal
        view
        returns (Receipt memory)
    {
        return Receipt({
            provider: provider,
            modelId: modelId,
            batchSalt: salt,
            index: index,
            promptHash: r.fields.promptHash,
            outputHash: r.fields.outputHash,
            promptLength: r.fields.promptLength,
            outputLength: r.fields.outputLength,
            maxTokens: r.fields.maxTokens,
            samplingHash: r.fields.samplingHash,
            feeWei: r.fields.feeWei,
            postingDeadline: uint64(block.timestamp) + p.postingWindow
        });
    }

    function sign(Receipt memory receipt, uint256 key) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, ledger.receiptDigest(receipt));
        return abi.encodePacked(r, s, v);
    }

    // --- traces

    /// @dev Window commitments of boundary `s`; from boundary `wrongFrom` on, `wrongWindow` is wrong.
    function points(uint256 s, uint256 wrongFrom, uint256 wrongWindow)
        internal
        view
        virtual
        returns (uint256[] memory all)
    {
        all = new uint256[](2 * windows());
        for (uint256 i = 0; i < all.length; ++i) {
            bool isWrong = s >= wrongFrom && i / 2 == wrongWindow;
            all[i] = uint256(keccak256(abi.encode(s, i, isWrong))) >> 3; // below q
        }
    }

    function boundaryHash(uint256 s, uint256 wrongFrom, uint256 wrongWindow) internal view returns (bytes32) {
        return keccak256(abi.encodePacked(points(s, wrongFrom, wrongWindow)));
    }

    // --- moves

    function open() internal returns (uint256) {
        return openAs(challenger, false);
    }

    function openAs(address who, bool revealRequested) internal returns (uint256) {
        bytes32[] memory path = batchPath();
        vm.prank(who);
        return game.open{value: p.challengerBond}(batchId, TARGET, response.fields, path, revealRequested);
    }

    /// @dev The hashes that the provider owes now.
    function dueHashes(uint256 gameId, uint256 wrongFrom, uint256 wrongWindow)
        internal
        view
        returns (bytes32[] memory hashes)
    {
        uint256[] memory cuts = game.cuts(gameId);
        uint256 skipped = game.game(gameId).round == 1 ? 0 : 1;
        hashes = new bytes32[](cuts.length - 2 * skipped);
        for (uint256 i = 0; i < hashes.length; ++i) {
            hashes[i] = boundaryHash(cuts[i + skipped], wrongFrom, wrongWindow);
        }
    }

    function postBoundaries(uint256 gameId, uint256 wrongFrom, uint256 wrongWindow) internal {
        bytes32[] memory hashes = dueHashes(gameId, wrongFrom, wrongWindow);
        vm.prank(provider);
        game.postBoundaries(gameId, hashes);
    }

    /// @dev The part that contains `step`.
    function challengeStep(uint256 gameId, uint256 step) internal {
        uint256[] memory cuts = game.cuts(gameId);
        uint256 part = 0;
        while (cuts[part + 1] <= step) part++;
        address who = game.game(gameId).challenger;
        vm.prank(who);
        game.challengePart(gameId, part);
    }

    function challengeInput(uint256 gameId) internal {
        vm.prank(challenger);
        game.challengeInput(gameId);
    }

    function challengeHead(uint256 gameId, uint256 position, uint256 rivalId) internal {
        vm.prank(challenger);
        game.challengeHead(gameId, position, rivalId, response.outputIds);
    }

    /// @dev Bisects down to one step: everything after `step` is wrong in `wrongWindow`.
    function narrow(uint256 gameId, uint256 step, uint256 wrongWindow) internal {
        while (game.game(gameId).phase == Phase.AwaitBoundaries) {
            postBoundaries(gameId, step + 1, wrongWindow);
            challengeStep(gameId, step);
        }
    }

    function revealWindows(uint256 gameId, uint256 step, uint256 wrongWindow) internal {
        uint256[] memory before = points(step, step + 1, wrongWindow);
        uint256[] memory afterwards = points(step + 1, step + 1, wrongWindow);
        vm.prank(provider);
        game.revealWindows(gameId, before, afterwards);
    }

    function chooseWindow(uint256 gameId, uint256 window) internal {
        vm.prank(challenger);
        game.chooseWindow(gameId, window);
    }

    function revealInput(uint256 gameId) internal {
        uint256[] memory all = points(0, NEVER, 0);
        vm.prank(provider);
        game.revealWindows(gameId, all, new uint256[](0));
    }

    /// @dev A game that waits for the proof of `window` of `step`.
    function gameAtStepProof(uint256 step, uint256 window) internal returns (uint256 gameId) {
        gameId = open();
        narrow(gameId, step, window);
        revealWindows(gameId, step, window);
        chooseWindow(gameId, window);
    }

    /// @dev A game that waits for the proof of `window` of b_0.
    function gameAtEmbeddingProof(uint256 window) internal returns (uint256 gameId) {
        gameId = open();
        postBoundaries(gameId, NEVER, 0);
        challengeInput(gameId);
        revealInput(gameId);
        chooseWindow(gameId, window);
    }

    /// @dev A game that waits for the proof of the token after `position` against `rivalId`.
    function gameAtHeadProof(uint256 position, uint256 rivalId) internal returns (uint256 gameId) {
        gameId = open();
        postBoundaries(gameId, NEVER, 0);
        challengeHead(gameId, position, rivalId);
    }

    function stepProof(uint256 step, uint256 window) internal view returns (StepProof memory) {
        return StepProof({
            pointsBefore: points(step, step + 1, window),
            pointsAfter: points(step + 1, step + 1, window),
            key: stepKey(step),
            keyPath: stepKeyPath(step),
            proof: PROOF
        });
    }

    function proveStep(uint256 gameId, StepProof memory proof) internal {
        vm.prank(provider);
        game.proveStep(gameId, proof);
    }

    function embeddingProof(uint256 window) internal view returns (EmbeddingProof memory proof) {
        proof.promptIds = response.promptIds;
        proof.outputIds = response.outputIds;
        proof.points = points(0, NEVER, 0);
        proof.proof = PROOF;
        proof.rows = new TokenRow[](32);
        uint256 positions = response.fields.promptLength + response.fields.outputLength - 1;
        for (uint256 row = 0; row < 32 && 32 * window + row < positions; ++row) {
            proof.rows[row] = tokenRow(sequenceToken(response, 32 * window + row));
        }
    }

    function proveEmbedding(uint256 gameId, EmbeddingProof memory proof) internal {
        vm.prank(provider);
        game.proveEmbedding(gameId, proof);
    }

    function headProof(uint256 chosenId, uint256 rivalId) internal view returns (HeadProof memory) {
        return HeadProof({
            points: points(STEPS, NEVER, 0),
            chosen: tokenRow(chosenId),
            rival: tokenRow(rivalId),
            proof: PROOF
        });
    }

    function proveHead(uint256 gameId, HeadProof memory proof) internal {
        vm.prank(provider);
        game.proveHead(gameId, proof);
    }

    // --- what the contracts must rebuild

    function stepInputs(uint256 step, uint256 window) internal view returns (uint256[] memory inputs) {
        uint256[] memory before = points(step, step + 1, window);
        uint256[] memory afterwards = points(step + 1, step + 1, window);
        if (step % 2 == 1) {
            inputs = new uint256[](4);
            inputs[0] = before[2 * window];
            inputs[1] = before[2 * window + 1];
        } else {
            inputs = new uint256[](2 * window + 5);
            inputs[0] = window;
            for (uint256 i = 0; i < 2 * window + 2; ++i) {
                inputs[1 + i] = before[i];
            }
        }
        inputs[inputs.length - 2] = afterwards[2 * window];
        inputs[inputs.length - 1] = afterwards[2 * window + 1];
    }

    function presetStep(uint256 step, uint256 window) internal {
        StepKind kind = step % 2 == 0 ? StepKind.Attention : StepKind.Mlp;
        verifiers[uint256(kind)].preset(stepKey(step), stepInputs(step, window), PROOF);
    }

    /// @dev 32 embedding commitments, zero after the last position.
    function presetEmbedding(uint256 window) internal {
        uint256[] memory inputs = new uint256[](66);
        uint256 positions = response.fields.promptLength + response.fields.outputLength - 1;
        for (uint256 row = 0; row < 32; ++row) {
            uint256 position = 32 * window + row;
            if (position >= positions) continue;
            uint256[2] memory point = embeddingPoint(sequenceToken(response, position));
            (inputs[2 * row], inputs[2 * row + 1]) = (point[0], point[1]);
        }
        uint256[] memory all = points(0, NEVER, 0);
        (inputs[64], inputs[65]) = (all[2 * window], all[2 * window + 1]);
        verifiers[2].preset("", inputs, PROOF);
    }

    function presetHead(uint256 position, uint256 chosenId, uint256 rivalId) internal {
        uint256[] memory all = points(STEPS, NEVER, 0);
        uint256[] memory inputs = new uint256[](8);
        inputs[0] = position % 32;
        inputs[1] = rivalId < chosenId ? 1 : 0;
        (inputs[2], inputs[3]) = (headPoint(chosenId)[0], headPoint(chosenId)[1]);
        (inputs[4], inputs[5]) = (headPoint(rivalId)[0], headPoint(rivalId)[1]);
        (inputs[6], inputs[7]) = (all[2 * (position / 32)], all[2 * (position / 32) + 1]);
        verifiers[3].preset("", inputs, PROOF);
    }

    // --- ends

    function expectOutcome(uint256 gameId, Outcome outcome, Reason reason) internal view {
        Game memory g = game.game(gameId);
        vm.assertEq(uint256(g.phase), uint256(Phase.Resolved));
        vm.assertEq(uint256(g.outcome), uint256(outcome), "outcome");
        vm.assertEq(uint256(g.reason), uint256(reason), "reason");
        vm.assertEq(game.mover(gameId), address(0));
        vm.assertEq(g.deadline, 0, "nobody has to move");
    }

    function expectPhase(uint256 gameId, Phase phase) internal view {
        vm.assertEq(uint256(game.game(gameId).phase), uint256(phase), "phase");
    }

    function expectStatus(ResponseStatus status) internal view {
        vm.assertEq(uint256(ledger.responseStatus(batchId, TARGET)), uint256(status), "status");
    }

    /// @dev Σ of all accounts = balance.
    function expectSolvent() internal view {
        uint256 owed = stake.totalStake() + stake.totalEscrow() + stake.totalCredits() + stake.totalBurned();
        vm.assertEq(owed, address(stake).balance, "solvency");
    }

    /// @dev Lets the mover's time run out.
    function letTimePass(uint256 gameId) internal {
        vm.warp(uint256(game.game(gameId).deadline) + 1);
    }
}
