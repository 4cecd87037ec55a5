// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {AuditItem, StepAnswer} from "../src/interfaces/IAuditGame.sol";
import {Outcome, Phase, Reason} from "../src/interfaces/IDisputeGame.sol";
import {AuditScenario} from "./AuditScenario.sol";
import {HeadRules, TokenPair} from "../src/interfaces/IModelRegistry.sol";
import {Parameters, ProtocolParameters} from "../src/libraries/Parameters.sol";
import {Merkle} from "./Merkle.sol";
import {Scenario} from "./Scenario.sol";

/// @title What each move costs, in a file that a review sees
/// @notice One false challenge of a step that reads and writes its own window, one of a tile that reads keys and values, and one
///         of an embedding row. Under the profile `gas`
///         every call is a transaction of its own and must cost what `snapshots/GasPerMove.json` says. The verifier
///         is the preset one, so proofs stand without their verification.
contract GasPerMoveTest is Scenario {
    // An MLP step in a part of two, so that there is a second round, and a tile in a part of one.
    uint256 private constant STEP = 5;
    uint256 private constant TILE_STEP = 8;
    uint256 private constant KEYS_STEP = 6;

    function test_gas_of_a_false_challenge_of_an_mlp_step() public {
        uint256 gameId = open();
        measured("1 open");
        postBoundaries(gameId, STEP + 1, 0);
        measured("2 postBoundaries, round 1");
        challengeStep(gameId, STEP);
        measured("3 challengePart, of several steps");
        postBoundaries(gameId, STEP + 1, 0);
        measured("4 postBoundaries, round 2");
        challengeStep(gameId, STEP);
        measured("5 challengePart, of one step");
        presetStep(STEP, 0);
        proveStep(gameId, stepProof(STEP, 0));
        measured("6 proveStep");
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Proven);
    }

    /// @dev The same about a response of one window.
    function test_gas_of_a_false_challenge_of_one_window() public {
        dispute(20, 13);
        uint256 gameId = open();
        postBoundaries(gameId, STEP + 1, 0);
        challengeStep(gameId, STEP);
        postBoundaries(gameId, STEP + 1, 0);
        challengeStep(gameId, STEP);
        measured("one window: challengePart, of one step");
        presetStep(STEP, 0);
        proveStep(gameId, stepProof(STEP, 0));
        measured("one window: proveStep");
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Proven);
    }

    function test_gas_of_a_false_challenge_of_a_tile() public {
        uint256 gameId = open();
        narrow(gameId, TILE_STEP, 0);
        presetStep(TILE_STEP, 0);
        proveStep(gameId, stepProof(TILE_STEP, 0));
        measured("proveStep of a tile");
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Proven);
    }

    /// @dev What the challenger claims of all three windows is what was posted.
    function test_gas_of_a_refutation() public {
        uint256 gameId = gameAtRefutation(STEP, 0);
        refuteClaim(gameId, agreedStep(STEP, 0));
        measured("refuteClaim");
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Refuted);
    }

    function test_gas_of_a_refutation_of_keys_and_values() public {
        uint256 gameId = gameAtRefutation(KEYS_STEP, 0);
        refuteClaim(gameId, agreedStep(KEYS_STEP, 0));
        measured("refuteClaim of keys and values");
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Refuted);
    }

    function test_gas_of_an_embedding_challenge() public {
        uint256 gameId = open();
        postBoundaries(gameId, NEVER, 0);
        challengeInput(gameId);
        measured("challengeInput");
        presetEmbedding(0);
        proveEmbedding(gameId, embeddingProof(0));
        measured("proveEmbedding");
    }

    function test_gas_of_a_head_challenge() public {
        measureHead("");
    }

    function test_gas_of_a_head_challenge_of_a_sampled_response() public {
        sampled(700 << 64 | 12345);
        measureHead(", sampled");
    }

    function test_gas_of_a_head_challenge_of_a_response_with_min_p() public {
        sampled(50 << 80 | 700 << 64 | 12345);
        measureHead(", sampled with min_p");
    }

    function sampled(uint256 rule) private {
        response.fields.samplingHash = bytes32(1 << 96 | rule);
        batchId = post(response, bytes32(rule));
    }

    function measureHead(string memory how) private {
        uint256 chosen = outputToken(0);
        uint256 gameId = open();
        measured(string.concat("open for a head", how));
        postBoundaries(gameId, NEVER, 0);
        challengeHead(gameId, 39, 9);
        measured(string.concat("challengeHead", how));
        uint256 rule = game.game(gameId).sampling;
        HeadRules memory rules = registry.headRules(modelId, TokenPair(rule, 39, chosen, 9, chosen));
        presetPair(39, chosen, 9, rules.factor, rules.offset);
        proveHead(gameId, headProof(39, chosen, 9));
        measured(string.concat("proveHead", how));
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Proven);
    }

    function test_gas_of_the_endings() public {
        uint256 gameId = open();
        uint256 other = openAs(copycat);
        letTimePass(gameId);
        game.timeout(gameId);
        measured("timeout");
        game.resolveVoid(other);
        measured("resolveVoid");
    }

    function measured(string memory move) private {
        vm.snapshotGasLastCall("GasPerMove", move);
        vm.warp(block.timestamp + 12); // clocks and deadlines change with every move, as on a chain
    }
}

/// @title What the moves cost that show all 90 boundaries of a model like SmolLM2 at once
contract GasOfManyStepsTest is Scenario {
    uint256 private constant STEP = 35;

    function setUp() public override {
        super.setUp();
        spec.stepCount = 90;
        spec.stepKeysRoot = Merkle.root(stepKeyLeaves());
        modelId = register();
        batchId = post(response, "of 90 steps");
    }

    function _parameters() internal pure override returns (ProtocolParameters memory) {
        return Parameters.devnet();
    }

    function test_gas_of_one_round() public {
        uint256 gameId = open();
        postBoundaries(gameId, STEP + 1, 0);
        vm.snapshotGasLastCall("GasPerMove", "90 steps: postBoundaries");
        challengeStep(gameId, STEP);
        vm.snapshotGasLastCall("GasPerMove", "90 steps: challengePart, of one step");
        expectPhase(gameId, Phase.AwaitProof);
    }
}

/// @title What an audit costs its auditor and its provider, likewise
contract GasPerAuditTest is AuditScenario {
    function test_gas_of_an_audit() public {
        AuditItem[] memory items = new AuditItem[](4);
        (items[0], items[1], items[2], items[3]) =
        (stepItem(5, 0), stepItem(8, 0), stepItem(4, 0), inputItem(0));
        uint256 auditId = openAudit(items);
        measured("openAudit of four items");
        proveAuditedStep(auditId, 5, 0);
        measured("proveSteps of one step");
        proveAuditedStep(auditId, 8, 0);
        measured("proveSteps of a tile");
        proveAuditedInput(auditId, 0);
        measured("proveInputs");
        proveAuditedStep(auditId, 4, 0);
        measured("proveSteps of the last item");
        expectAudit(auditId, Outcome.ProviderWon, Reason.Proven);
    }

    /// @dev Thirty rows that count need two windows; this is the fuller one.
    function test_gas_of_a_head() public {
        uint256 auditId = openAudit(two(headItem(1, 1), headItem(2, 1)));
        measured("openAudit of two tiles");
        proveAuditedHead(auditId, 1, 1);
        measured("proveHeads of one tile");
    }

    function test_gas_of_two_answers_and_of_the_ending() public {
        uint256 auditId = openAudit(two(stepItem(5, 0), stepItem(4, 0)));
        uint256 other = openAuditAs(copycat, one(stepItem(3, 0)));
        presetAudited(5, 0);
        presetAudited(4, 0);
        StepAnswer[] memory answers = new StepAnswer[](2);
        (answers[0], answers[1]) = (stepAnswer(5, 0), stepAnswer(4, 0));
        vm.prank(provider);
        audits.proveSteps(auditId, answers);
        measured("proveSteps of two, all of an audit");
        vm.warp(block.timestamp + p.auditWindow + 1);
        audits.timeout(other);
        measured("timeout of an audit");
    }

    function measured(string memory move) private {
        vm.snapshotGasLastCall("GasPerAudit", move);
        vm.warp(block.timestamp + 12);
    }
}
