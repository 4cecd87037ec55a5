// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IDisputeGame, Outcome, Phase, Reason} from "../src/interfaces/IDisputeGame.sol";
import {IModelRegistry} from "../src/interfaces/IModelRegistry.sol";
import {IInferenceLedger, ResponseFields} from "../src/interfaces/IInferenceLedger.sol";
import {Groups} from "./Groups.sol";
import {LongTraces} from "./LongTraces.sol";

/// @notice Every kind of dispute at T = 1, 31, 32, 33, 63, 64, 65, the model's maximum, and one more.
contract LengthsTest is LongTraces {
    /// @dev Everything at one length: a response of `promptLength` + `outputLength` - 1 = T positions.
    function check(uint256 promptLength, uint256 outputLength) private {
        dispute(promptLength, outputLength);
        uint256 ready = vm.snapshotState();
        uint256 length = promptLength + outputLength - 1;
        uint256 last = (length + 31) / 32 - 1;
        vm.assertEq(windowsOf(open()), last + 1);
        vm.revertToState(ready);
        for (uint256 corner = 0; corner < 4; ++corner) {
            checkStep(corner < 2 ? 0 : STEPS - 1, corner % 2 == 0 ? 0 : last);
            vm.revertToState(ready);
        }
        // The last window behind whole chunks, as the sum of a part of one, read and written.
        checkStep(2, last);
        vm.revertToState(ready);
        checkEmbedding(last);
        vm.revertToState(ready);
        checkHead(promptLength - 1);
        vm.revertToState(ready);
        checkHead(length - 1);
        vm.revertToState(ready);
        checkShow();
        vm.revertToState(ready);
    }

    function checkStep(uint256 step, uint256 window) private {
        uint256 gameId = gameAtStepProof(step, window);
        presetStep(step, window);
        proveStep(gameId, stepProof(step, window));
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Proven);
    }

    function checkEmbedding(uint256 window) private {
        uint256 gameId = gameAtEmbeddingProof(window);
        presetEmbedding(window);
        proveEmbedding(gameId, embeddingProof(window));
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Proven);
    }

    function checkHead(uint256 position) private {
        uint256 chosen = outputToken(position + 1 - response.fields.promptLength);
        uint256 rival = (chosen + 1) % VOCABULARY;
        uint256 gameId = gameAtHeadProof(position, rival);
        presetHead(position, chosen, rival);
        proveHead(gameId, headProof(position, chosen, rival));
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Proven);
    }

    function checkShow() private {
        vm.prank(challenger);
        ledger.ask{value: p.askPrice}(batchId, TARGET);
        vm.prank(provider);
        ledger.show(batchId, TARGET, response.fields, batchPath(), response.promptIds, response.outputIds);
        vm.assertTrue(ledger.response(batchId, TARGET).shown);
    }

    /// @dev All of it prompt, all of it output, and both.
    function checkShapes(uint256 length) private {
        uint256 fresh = vm.snapshotState();
        check(length, 1);
        vm.revertToState(fresh);
        if (length == 1) return;
        check(1, length);
        vm.revertToState(fresh);
        check(length / 2 + 1, length - length / 2);
    }

    function test_length_1() external {
        checkShapes(1);
    }

    function test_length_31() external {
        checkShapes(31);
    }

    function test_length_32() external {
        checkShapes(32);
    }

    function test_length_33() external {
        checkShapes(33);
    }

    function test_length_63() external {
        checkShapes(63);
    }

    function test_length_64() external {
        checkShapes(64);
    }

    function test_length_65() external {
        checkShapes(65);
    }

    function test_length_of_the_models_maximum() external {
        checkShapes(spec.maxPositions);
    }

    function test_one_position_more_than_the_maximum_is_malformed() external {
        uint256[2][3] memory shapes = [[uint256(257), 1], [uint256(1), 257], [uint256(200), 58]];
        for (uint256 i = 0; i < shapes.length; ++i) {
            dispute(shapes[i][0], shapes[i][1]);
            expectOutcome(open(), Outcome.ChallengerWon, Reason.Malformed);
        }
        expectSolvent();
    }

    function test_lengths_at_the_ends_of_32_and_256_bits_are_malformed_and_never_overflow() external {
        uint256[4] memory lengths = [uint256(0), 2 ** 32 - 1, 2 ** 32, type(uint256).max];
        uint256 fresh = vm.snapshotState();
        for (uint256 i = 0; i < lengths.length; ++i) {
            for (uint256 field = 0; field < 3; ++field) {
                ResponseFields memory fields = makeResponse(3, 4, 4).fields;
                if (field == 0) fields.promptLength = lengths[i];
                if (field == 1) (fields.outputLength, fields.maxTokens) = (lengths[i], lengths[i]);
                if (field == 2) fields.maxTokens = lengths[i];
                response.fields = fields;
                batchId = post(response, "extreme");
                // A limit of 2^32 - 1 tokens is a limit like any other.
                bool isFine = field == 2 && lengths[i] == 2 ** 32 - 1;
                uint256 gameId = open();
                if (isFine) expectPhase(gameId, Phase.AwaitBoundaries);
                else expectOutcome(gameId, Outcome.ChallengerWon, Reason.Malformed);
                vm.revertToState(fresh);
            }
        }
    }
}

/// @notice The longest sequence of the longest model that the registry takes: 2^14 positions.
contract LongestModelTest is LongTraces {
    uint256 private constant _LONGEST = 2 ** 14;
    uint256 private constant _ONES =
        uint256(0x0101010101010101010101010101010101010101010101010101010101010101);

    function setUp() public override {
        super.setUp();
        spec.maxPositions = _LONGEST;
        modelId = register();
        disputeLong(_LONGEST);
    }

    /// @dev A long prompt and one token of output: `length` positions.
    function disputeLong(uint256 length) private {
        response = makeResponse(length, 1, 1);
        batchId = post(response, bytes32(length));
    }

    /// @dev Without zero bytes, to cost what points cost.
    function coordinate(uint256 s, uint256 i, bool isWrong) internal pure override returns (uint256) {
        return _ONES + (i << 64) + (s << 32) + (isWrong ? 1 : 0);
    }

    /// @dev What a transaction of this calldata costs beside its execution, and whether nodes take it.
    function checkTransaction(bytes memory data, uint256 executionGas) private pure {
        uint256 calldataGas = 0;
        for (uint256 i = 0; i < data.length; ++i) {
            calldataGas += data[i] == 0 ? 4 : 16;
        }
        vm.assertLt(data.length, 128 * 1024);
        vm.assertLt(21_000 + calldataGas + executionGas, 2 ** 24);
    }

    function send(address target, bytes memory data) private {
        sendAs(provider, target, data);
    }

    function checkChallenge(bytes memory data) private {
        sendAs(challenger, address(game), data);
    }

    function sendAs(address who, address target, bytes memory data) private {
        vm.prank(who);
        uint256 gasBefore = gasleft();
        (bool done,) = target.call(data);
        uint256 used = gasBefore - gasleft();
        vm.assertTrue(done);
        checkTransaction(data, used);
    }

    function test_showing_the_longest_sequence_fits_a_transaction() external {
        vm.prank(challenger);
        ledger.ask{value: p.askPrice}(batchId, TARGET);
        bytes memory show = abi.encodeCall(
            IInferenceLedger.show,
            (batchId, TARGET, response.fields, batchPath(), response.promptIds, response.outputIds)
        );
        send(address(ledger), show);
    }

    function test_every_move_about_the_longest_input_fits_a_transaction() external {
        uint256 window = windows() - 1;
        vm.assertEq(window, 511);
        uint256 fresh = vm.snapshotState();
        uint256 gameId = open();
        postBoundaries(gameId, NEVER, 0);
        checkChallenge(
            abi.encodeCall(IDisputeGame.challengeInput, (gameId, Groups.first(listOf[gameId]), inputClaim()))
        );
        send(address(game), abi.encodeCall(IDisputeGame.refuteClaim, (gameId, agreedInput())));
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Refuted);
        vm.revertToState(fresh);
        gameId = gameAtEmbeddingProof(window);
        presetEmbedding(window);
        send(
            address(game),
            abi.encodeCall(
                IDisputeGame.proveEmbedding, (gameId, embeddingProof(window), shownOf(gameId, window))
            )
        );
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Proven);
    }

    /// @dev The proof of a step's last window, and the refutation of a claim that there is nothing wrong with it.
    function checkLongest(uint256 step) private {
        uint256 window = windows() - 1;
        uint256 fresh = vm.snapshotState();
        uint256 gameId = gameAtStepProof(step, window);
        presetStep(step, window);
        send(
            address(game),
            abi.encodeCall(IDisputeGame.proveStep, (gameId, stepProof(step, window), shownOf(gameId, window)))
        );
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Proven);
        vm.revertToState(fresh);
        gameId = gameAtRefutation(step, window);
        send(address(game), abi.encodeCall(IDisputeGame.refuteClaim, (gameId, agreedStep(step, window))));
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Refuted);
    }

    function test_every_move_about_the_longest_step_of_keys_and_values_fits_a_transaction() external {
        checkLongest(6);
    }

    function test_every_move_about_the_longest_tile_fits_a_transaction() external {
        checkLongest(8);
    }

    function test_every_move_about_the_longest_closing_step_fits_a_transaction() external {
        checkLongest(9);
    }

    function test_every_move_about_the_longest_unplaced_attention_fits_a_transaction() external {
        checkLongest(10);
    }

    function test_every_move_about_the_longest_step_of_its_own_window_fits_a_transaction() external {
        checkLongest(11);
    }

    function test_one_position_more_is_malformed() external {
        disputeLong(_LONGEST + 1);
        expectOutcome(open(), Outcome.ChallengerWon, Reason.Malformed);
    }

    function test_the_registry_takes_no_longer_model() external {
        spec.maxPositions = _LONGEST + 1;
        vm.expectPartialRevert(IModelRegistry.InvalidModelSize.selector);
        register();
    }
}
